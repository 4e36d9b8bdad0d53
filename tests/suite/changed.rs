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

/// A source in memory, where no page is ever written back and protected against writing
/// again, and a mapping of it that has been written through before, as a program has it
/// that works on the file: what it writes from now on moves no time of the file.
#[cfg(target_os = "linux")]
#[allow(unsafe_code)]
fn mapped_source() -> Option<(tempfile::NamedTempFile, memmap2::MmapMut, Vec<u8>)> {
    let mut named = tempfile::Builder::new().prefix("pcopy-test-").tempfile_in("/dev/shm").ok()?;
    let bytes = crate::common::pattern(1, LEN);
    std::io::Write::write_all(&mut named, &bytes).expect("written");
    // SAFETY: nobody makes it shorter.
    let mut mapping = unsafe { memmap2::MmapMut::map_mut(named.as_file()) }.expect("mapped");
    // The same bytes: it is only touched.
    mapping.copy_from_slice(&bytes);
    Some((named, mapping, bytes))
}

/// What a copy with `options` of a source comes to whose first byte is changed through an
/// old mapping when it has been read; and the source before.
#[cfg(target_os = "linux")]
fn changed_through_a_mapping(options: &str) -> Option<(Scene, Ended, Vec<u8>)> {
    let scene = Scene::new();
    let Some((source, mut mapping, bytes)) = mapped_source() else {
        crate::common::skip("there is no /dev/shm");
        return None;
    };
    let line = format!("{SLOW} -t 1 {options} {} copy", source.path().display());
    let mut running = scene.pcopy(line.split_whitespace()).start();
    running.wait_until_copied(LEN as u64 / 4);
    let times = |file: &File| file.metadata().map(|data| (data.modified().ok(), data.len()));
    let before = times(source.as_file()).expect("its times");
    mapping[0] ^= 1;
    assert_eq!(times(source.as_file()).expect("its times"), before, "the write moves no time");
    let ended = running.end();
    assert_ne!(std::fs::read(source.path()).expect("read")[0], bytes[0]);
    Some((scene, ended, bytes))
}

/// The limit of what can be known from the outside of a file: a write through an old
/// mapping shows nowhere but in the bytes. What is copied is then what was read, also if it
/// is verified: nobody can say that it ever was the whole content.
#[cfg(target_os = "linux")]
#[test]
fn a_write_through_an_old_mapping_is_not_seen_unless_the_source_is_read_again() {
    // Where no byte passes the program, `--verify` reads the source again.
    for options in ["", "--engine positioned --verify"] {
        let Some((scene, ended, bytes)) = changed_through_a_mapping(options) else { return };
        let report = ended.code(0).report();
        assert_eq!(report["outcome"], "complete", "{options}");
        assert_same(&scene.read("copy"), &bytes, "what was read");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn check_source_finds_a_write_through_an_old_mapping() {
    for options in ["", "--also other", "--split 1MiB"] {
        let options = format!("--verify --check-source {options}");
        let Some((scene, ended, _)) = changed_through_a_mapping(&options) else { return };
        let ended = ended.code(5).says(&["changed during the copy", "byte 0 of it is not"]);
        let report = ended.report();
        assert_eq!(
            (&report["outcome"], &report["error_kind"]),
            (&"failed".into(), &"source_changed".into())
        );
        for name in ["copy", "other", "copy.001"] {
            assert!(!scene.has(name), "{options}: {name} is there");
        }
    }
}

/// What the source has not any more is copied again by a resume, even if no time tells.
#[cfg(target_os = "linux")]
#[test]
fn a_resume_copies_again_what_check_source_found() {
    let scene = Scene::new();
    let Some((source, mut mapping, mut bytes)) = mapped_source() else {
        return crate::common::skip("there is no /dev/shm");
    };
    let job = format!("--verify --check-source {} copy", source.path().display());
    let mut running = scene.pcopy(format!("{SLOW} -t 1 {job}").split_whitespace()).start();
    running.wait_until_copied(LEN as u64 / 4);
    mapping[0] ^= 1;
    bytes[0] ^= 1;
    running.end().code(5);
    scene.run(&format!("--resume {job}")).code(0);
    assert_same(&scene.read("copy"), &bytes, "the copy");
}

#[test]
fn check_source_says_that_the_source_is_as_it_was() {
    for options in ["", "--also other", "--range 1000..7000", "--sparse always", "--repair"] {
        let scene = Scene::new();
        let bytes = scene.source("source", LEN);
        let line = format!("--json --verify --check-source {options} source copy");
        let report = scene.run(&line).code(0).report();
        let read = if options.starts_with("--range") { 6000 } else { LEN };
        let notes = report["notes"].to_string();
        let told = format!("{read} bytes of the source were read once more");
        assert!(notes.contains(&told), "{options}: {notes}");
        assert_eq!(report["verified"], true);
        let copied = if read == LEN { &bytes[..] } else { &bytes[1000..7000] };
        assert_same(&scene.read("copy"), copied, options);
    }
}

#[test]
fn check_source_is_refused_where_it_cannot_be() {
    let scene = Scene::new();
    scene.source("source", 1000);
    scene.source("second", 1000);
    std::fs::create_dir(scene.path("folder")).expect("a folder");
    for (line, code, says) in [
        ("--check-source source copy", 2, "--verify"),
        ("--verify --check-source --allow-changed-source source copy", 2, "--allow-changed-source"),
        ("--verify --check-source source second folder", 2, "--check-source"),
        ("--verify --check-source -R folder copy", 2, "--check-source"),
        ("--verify --check-source - copy", 2, "can be read only once"),
        ("--verify --check-source --job job source copy", 2, "--check-source"),
        ("--verify --check-source --engine splice source copy", 3, "looked at"),
    ] {
        let before = scene.names();
        scene.pcopy(line.split_whitespace()).with_input(b"a stream").code(code).says(&[says]);
        assert_eq!(scene.names(), before, "{line}");
    }
}
