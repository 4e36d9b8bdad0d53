//! A source that changes under the copy: never passed off as a copy of either
//! state (invariant I9), now or by a later run that resumes it.

use std::fs::File;

use positioned_io::{ReadAt, WriteAt};
#[cfg(unix)]
use rustix::process::Signal;

use crate::common::{Ended, Running, Scene, assert_same};

const LEN: usize = 4 << 20;
const SLOW: &str = "--limit-rate 1MiB --io-size 64KiB --checkpoint-every 0 --progress json --json";

/// A copy in the middle of its bytes.
fn in_the_middle(scene: &Scene, options: &str) -> Running {
    let line = format!("{SLOW} {options} source copy");
    let mut running = scene.pcopy(line.split_whitespace()).start();
    running.wait_until_copying();
    running
}

fn source(scene: &Scene) -> File {
    File::options().read(true).write(true).open(scene.path("source")).expect("the source")
}

/// Changes the first byte, which has been read, and puts the time back.
fn change_unseen(scene: &Scene) {
    let mut file = source(scene);
    let time = file.metadata().and_then(|data| data.modified()).expect("a time");
    let mut byte = [0];
    file.read_exact_at(0, &mut byte).expect("read");
    file.write_all_at(0, &[byte[0] ^ 1]).expect("written");
    file.set_modified(time).expect("the time is set");
}

/// The source has changed in the middle of its copy, which says so at the end.
/// The rate is not met any more, so that the end comes soon.
fn failed(change: fn(&Scene)) -> (Scene, Ended) {
    let scene = Scene::new();
    scene.source("source", LEN);
    let running = in_the_middle(&scene, "");
    change(&scene);
    let ended = running.end().code(5).says(&["changed during the copy"]);
    assert!(!scene.has("copy"), "what cannot be trusted gets no final name");
    (scene, ended)
}

#[test]
fn a_source_that_changes_fails_the_copy_and_every_resume() {
    let (scene, ended) = failed(change_unseen);
    let report = ended.report();
    assert_eq!(report["outcome"], "failed");
    assert!(report["resumable"].is_null(), "no resume can succeed: {report}");
    assert!(!ended.stderr.contains("to go on from here"), "{}", ended.stderr);
    drop(ended.says(&["byte 0 of it is not", "--restart", "--allow-changed-source"]));
    let words = ["does not hold byte 0 of", "--restart", "--allow-changed-source"];
    scene.run("--resume source copy").code(3).says(&words);
    assert!(!scene.has("copy"));
    scene.run("--restart source copy").code(0);
    assert_same(&scene.read("copy"), &scene.read("source"), "the copy");
    assert_eq!(scene.names(), ["copy", "source"]);
}

/// The modification time says that something was written, so the copy fails. A
/// later run finds that what was copied is in the source nevertheless.
#[test]
fn a_source_whose_time_moved_fails_the_copy_and_is_compared_by_a_resume() {
    let (scene, ended) = failed(|scene| {
        source(scene).set_modified(std::time::SystemTime::UNIX_EPOCH).expect("the time is set");
    });
    assert!(ended.report()["resumable"].is_null(), "nobody knows yet");
    assert!(!ended.stderr.contains("to go on from here"), "{}", ended.stderr);
    drop(ended.says(&["modification time", "--restart", "--resume", "--allow-changed-source"]));
    let report = scene.run("--json --resume source copy").code(0).report();
    assert_eq!(report["bytes"]["resumed"], LEN as u64, "{report}");
    let notes = report["notes"].to_string();
    assert!(notes.contains(&format!("all {LEN} bytes that it calls done are the same")), "{notes}");
    assert_same(&scene.read("copy"), &scene.read("source"), "the copy");
    assert_eq!(scene.names(), ["copy", "source"]);
}

/// The change comes and goes while nothing runs: only the change time tells.
#[cfg(unix)]
#[test]
fn a_source_that_changed_before_a_resume_is_refused() {
    let scene = Scene::new();
    scene.source("source", LEN);
    let running = in_the_middle(&scene, "");
    running.signal(Signal::TERM);
    let ended = running.end().died_by(Signal::TERM).says(&["to go on from here"]);
    assert_eq!(ended.report()["resumable"], true);
    change_unseen(&scene);
    let words = ["does not hold byte 0 of", "another change time of the source"];
    scene.run("--resume source copy").code(3).says(&words);
    assert!(!scene.has("copy"));
}

/// A user who accepts a mixture gets it, with a note, without copying again.
#[test]
fn a_changed_source_is_accepted_on_request() {
    let (scene, _) = failed(change_unseen);
    let report = scene.run("--json --allow-changed-source --resume source copy").code(0).report();
    assert_eq!(report["bytes"]["resumed"], LEN as u64, "{report}");
    assert_eq!(scene.names(), ["copy", "source"]);
    std::fs::remove_file(scene.path("copy")).expect("it is there");

    let running = in_the_middle(&scene, "--allow-changed-source");
    change_unseen(&scene);
    let report = running.end().code(0).report();
    let notes = report["notes"].to_string();
    assert!(notes.contains("the source changed during the copy"), "{report}");
    assert!(scene.has("copy"));
}

/// A source cut short under the copy is named with the offset it now ends at.
#[test]
fn a_source_that_shrinks_fails_the_copy_with_the_offset() {
    let scene = Scene::new();
    scene.source("source", LEN);
    let running = in_the_middle(&scene, "-t 2");
    source(&scene).set_len(3 << 20).expect("cut");
    let ended = running.end().code(5).says(&["ends at byte 3145728"]);
    assert!(!ended.stderr.contains("to go on from here"), "{}", ended.stderr);
    assert!(!scene.has("copy"));
}

/// A copy inside one file changes the file that it reads, which is not a reason
/// not to go on.
#[cfg(unix)]
#[test]
fn a_copy_within_one_file_goes_on() {
    let scene = Scene::new();
    let bytes = scene.source("image", LEN);
    let half = LEN / 2;
    let job = format!("--in-place -r 0..{half} --dest-offset {half} image image");
    let mut running = scene.pcopy(format!("{SLOW} {job}").split_whitespace()).start();
    running.wait_until_copying();
    running.signal(Signal::TERM);
    running.end().died_by(Signal::TERM).says(&["to go on from here"]);
    let report = scene.run(&format!("--json --resume {job}")).code(0).report();
    assert!(report["bytes"]["resumed"].as_u64() > Some(0), "{report}");
    let mut expected = bytes;
    expected.copy_within(..half, half);
    assert_same(&scene.read("image"), &expected, "the file");
    assert_eq!(scene.names(), ["image"]);
}
