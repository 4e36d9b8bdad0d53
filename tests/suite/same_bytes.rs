//! Invariant I13: bytes decide, not numbers. What another number, name or time
//! says of a source or a part is not a reason to refuse, fail or throw away what is
//! the same byte by byte; and no number makes other bytes the same.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use positioned_io::{ReadAt, WriteAt};
use rustix::process::Signal;

use crate::common::{Ended, Running, Scene, assert_same, pattern};

const LEN: usize = 4 << 20;
const SLOW: &str = "-t 2 --limit-rate 2MiB --io-size 64KiB --stripe-size 256KiB \
                    --checkpoint-every 0 --progress json --json";

fn in_the_middle(scene: &Scene, job: &str) -> Running {
    let mut running = scene.pcopy(format!("{SLOW} {job}").split_whitespace()).start();
    running.wait_until_copied(LEN as u64 / 8);
    running
}

/// A copy that was interrupted in its middle.
fn interrupted(scene: &Scene, job: &str) {
    let running = in_the_middle(scene, job);
    running.signal(Signal::TERM);
    running.end().died_by(Signal::TERM).says(&["to go on from here"]);
}

fn open(path: &Path) -> File {
    File::options().read(true).write(true).open(path).expect("it opens")
}

fn append(path: &Path, bytes: &[u8]) {
    File::options().append(true).open(path).and_then(|mut file| file.write_all(bytes)).unwrap();
}

/// Changes the byte `at`, and puts the modification time back.
fn change_unseen(path: &Path, at: u64) {
    let mut file = open(path);
    let time = file.metadata().and_then(|data| data.modified()).expect("a time");
    let mut byte = [0];
    file.read_exact_at(at, &mut byte).expect("read");
    file.write_all_at(at, &[byte[0] ^ 1]).expect("written");
    file.set_modified(time).expect("the time is set");
}

fn notes(report: &serde_json::Value) -> String {
    report["notes"].to_string()
}

/// A change, and what it is called.
type Touch = (&'static str, fn(&Scene));

/// What changes the change time of a file and none of its bytes.
fn touches() -> Vec<Touch> {
    use std::os::unix::fs::PermissionsExt;
    let mut touches: Vec<Touch> = vec![
        ("hard link", |scene| {
            fs::hard_link(scene.path("source"), scene.path("link")).expect("a link")
        }),
        ("chmod", |scene| {
            let mode = fs::Permissions::from_mode(0o640);
            fs::set_permissions(scene.path("source"), mode).expect("a mode");
        }),
        ("rename", |scene| {
            fs::rename(scene.path("source"), scene.path("away")).expect("a rename");
            fs::hard_link(scene.path("away"), scene.path("source")).expect("a link");
        }),
    ];
    #[cfg(target_os = "linux")]
    touches.push(("setfattr", |scene| {
        let flags = rustix::fs::XattrFlags::empty();
        // Not every temporary folder has attributes.
        let set = rustix::fs::setxattr(scene.path("source"), "user.note", b"1", flags);
        if set.is_err() {
            crate::common::skip("the temporary folder has no attributes");
        }
    }));
    touches
}

#[test]
fn a_source_of_which_only_the_change_time_moves_is_compared_and_copied() {
    for (what, touch) in touches() {
        for options in ["", "--also second", "--digest sha256 --verify"] {
            let scene = Scene::new();
            let bytes = scene.source("source", LEN);
            let running = in_the_middle(&scene, &format!("{options} source copy"));
            touch(&scene);
            let report = running.end().code(0).report();
            if what != "setfattr" || notes(&report).contains("change time") {
                assert!(notes(&report).contains("are the same"), "{what} {options}: {report}");
            }
            assert_same(&scene.read("copy"), &bytes, what);
            assert!(!scene.has("copy.pcopy-map") && !scene.has("copy.pcopy-part"));
        }
    }
}

/// What is poured into a pipe cannot be read back: its fingerprints are compared.
#[test]
fn a_stream_is_compared_by_its_fingerprints() {
    let touch = touches()[0].1;
    let unseen: fn(&Scene) = |scene| change_unseen(&scene.path("source"), 5);
    for (change, code) in [(touch, 0), (unseen, 5)] {
        let scene = Scene::new();
        let bytes = scene.source("source", LEN);
        let line = "-t 1 --limit-rate 2MiB --io-size 64KiB --progress json source -";
        let mut running = scene.pcopy(line.split_whitespace()).start();
        let mut pipe = running.child.stdout.take().expect("a pipe");
        let reader = std::thread::spawn(move || {
            let mut all = Vec::new();
            std::io::Read::read_to_end(&mut pipe, &mut all).map(|_| all)
        });
        running.wait_until_copied(LEN as u64 / 4);
        change(&scene);
        let ended = running.end().code(code);
        assert_same(&reader.join().unwrap().expect("read"), &bytes, "what was poured");
        if code != 0 {
            ended.says(&["changed during the copy", "is not what was copied"]);
        }
    }
}

/// A write that hides behind its modification time is found, wherever it is,
/// and the first byte that differs is named.
#[test]
fn a_write_behind_an_old_time_is_named_by_its_byte() {
    for (at, options) in [(0, ""), (130_001, "--also second"), (70_001, "--in-place")] {
        let scene = Scene::new();
        scene.source("source", LEN);
        if options == "--in-place" {
            scene.write("copy", &pattern(9, LEN));
        }
        let running = in_the_middle(&scene, &format!("{options} source copy"));
        change_unseen(&scene.path("source"), at);
        let byte = format!("byte {at} of it is not what was copied");
        running.end().code(5).says(&["changed during the copy", &byte]);
        assert!(options == "--in-place" || !scene.has("copy"), "{options}");
    }
}

/// A range that says where it ends does not change when the file grows behind
/// it. What is copied to its end does.
#[test]
fn a_log_may_grow_behind_a_range_and_not_behind_its_end() {
    let end = LEN - 5;
    for (range, is_final) in [
        (format!("-r ..{LEN}"), true),
        (format!("-r 4096..{end}"), true),
        (format!("-r 4096+{}", 3 << 20), true),
        (format!("--offset 512 --length {}", 3 << 20), true),
        (String::new(), false),
        ("-r 4096..".to_owned(), false),
        (format!("--clamp -r ..{}", LEN * 2), false),
    ] {
        let scene = Scene::new();
        scene.source("source", LEN);
        let running = in_the_middle(&scene, &format!("{range} source copy"));
        append(&scene.path("source"), b"one more line\n");
        let ended = running.end();
        if is_final {
            let report = ended.code(0).report();
            assert!(notes(&report).contains("its size was 4194304 and is 4194318"), "{report}");
            let from = if range.contains("4096") {
                4096
            } else if range.contains("512") {
                512
            } else {
                0
            };
            let copy = scene.read("copy");
            assert_same(&copy, &scene.read("source")[from..from + copy.len()], &range);
        } else {
            ended.code(5).says(&["its size was"]);
            assert!(!scene.has("copy"), "{range}");
        }
    }
}

/// A log that grows and is written to inside the range as well.
#[test]
fn a_file_that_grows_and_changes_in_the_range_fails() {
    let scene = Scene::new();
    scene.source("source", LEN);
    let running = in_the_middle(&scene, &format!("-r ..{LEN} source copy"));
    let mut file = open(&scene.path("source"));
    file.write_all_at(9000, b"other").expect("written");
    append(&scene.path("source"), b"more");
    running.end().code(5).says(&["byte 9000 of it is not what was copied"]);
    assert!(!scene.has("copy"));
}

/// Resumes `job`, which must go on with a note of `what`.
#[track_caller]
fn goes_on(scene: &Scene, job: &str, what: &str) {
    let report = scene.run(&format!("--json --resume {job}")).code(0).report();
    assert!(report["bytes"]["resumed"].as_u64() > Some(0), "{report}");
    assert!(notes(&report).contains(what), "{what}: {report}");
}

/// The source is another file by its numbers, name or times, and the same by its
/// bytes.
#[test]
fn a_source_by_another_name_number_or_time_is_resumed() {
    type Move = fn(&Scene);
    let moves: [(&str, &str, Move); 7] = [
        ("away/source", "path of the source", |scene| {
            fs::rename(scene.path("folder"), scene.path("away")).expect("a rename");
        }),
        ("link", "path of the source", |scene| {
            std::os::unix::fs::symlink("folder/source", scene.path("link")).expect("a link");
        }),
        ("by/source", "path of the source", |scene| {
            std::os::unix::fs::symlink("folder", scene.path("by")).expect("a link");
        }),
        ("second", "change time of the source", |scene| {
            fs::hard_link(scene.path("folder/source"), scene.path("second")).expect("a link");
        }),
        ("folder/source", "file number of the source", |scene| {
            // As from a backup, or by an editor that saves what is the same.
            fs::rename(scene.path("folder/source"), scene.path("old")).expect("a rename");
            fs::copy(scene.path("old"), scene.path("folder/source")).expect("a copy");
        }),
        ("folder/source", "change time of the source", |scene| {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::Permissions::from_mode(0o600);
            fs::set_permissions(scene.path("folder/source"), mode).expect("a mode");
        }),
        ("folder/source", "modification time of the source", |scene| {
            let long_ago = std::time::SystemTime::UNIX_EPOCH;
            open(&scene.path("folder/source")).set_modified(long_ago).expect("a time");
        }),
    ];
    for (job, what, change) in moves {
        let scene = Scene::new();
        fs::create_dir(scene.path("folder")).expect("a folder");
        let bytes = scene.source("folder/source", LEN);
        interrupted(&scene, "folder/source copy");
        change(&scene);
        goes_on(&scene, &format!("{job} copy"), what);
        assert_same(&scene.read("copy"), &bytes, what);
    }
}

/// A log that has grown between two runs, and a range that ends where it did.
#[test]
fn a_log_that_grew_between_two_runs_is_resumed() {
    let scene = Scene::new();
    let bytes = scene.source("source", LEN);
    interrupted(&scene, &format!("-r ..{LEN} source copy"));
    append(&scene.path("source"), b"more");
    goes_on(&scene, &format!("-r ..{LEN} source copy"), "size of the source");
    assert_same(&scene.read("copy"), &bytes, "the copy");
}

/// The part or destination is another file by its numbers.
#[test]
fn a_part_by_another_name_or_number_is_resumed() {
    for in_place in [false, true] {
        let scene = Scene::new();
        fs::create_dir(scene.path("folder")).expect("a folder");
        let bytes = scene.source("source", LEN);
        let (option, name) = match in_place {
            true => ("--in-place", "folder/copy"),
            false => ("", "folder/copy.pcopy-part"),
        };
        if in_place {
            scene.write("folder/copy", &pattern(7, LEN));
        }
        interrupted(&scene, &format!("{option} source folder/copy"));
        fs::rename(scene.path(name), scene.path("old")).expect("a rename");
        fs::copy(scene.path("old"), scene.path(name)).expect("a copy");
        fs::rename(scene.path("folder"), scene.path("moved")).expect("a rename");
        goes_on(&scene, &format!("{option} source moved/copy"), "file number of the destination");
        assert_same(&scene.read("moved/copy"), &bytes, name);
    }
}

/// Other bytes are refused, however little of them differs and whatever is the
/// same; nothing is touched, and both ways on are said.
#[test]
fn other_bytes_are_refused_with_the_first_that_differs() {
    let in_source: fn(&Scene) = |scene| change_unseen(&scene.path("source"), 123_456);
    let in_part: fn(&Scene) = |scene| {
        let part = scene.path("copy.pcopy-part");
        change_unseen(&part, 123_456);
        // Another number, so that all of it is looked at.
        fs::rename(&part, scene.path("old")).expect("a rename");
        fs::copy(scene.path("old"), &part).expect("a copy");
    };
    let other_file: fn(&Scene) = |scene| {
        let mut bytes = scene.read("source");
        bytes[123_456] ^= 1;
        fs::rename(scene.path("source"), scene.path("old")).expect("a rename");
        scene.write("source", &bytes);
    };
    for change in [in_source, in_part, other_file] {
        let scene = Scene::new();
        scene.source("source", LEN);
        interrupted(&scene, "source copy");
        change(&scene);
        let (part, map) = (scene.read("copy.pcopy-part"), scene.read("copy.pcopy-map"));
        let ended = refused(&scene, "--resume source copy");
        ended.says(&["does not hold byte 123456 of", "--restart", "--allow-changed-source"]);
        assert!(part == scene.read("copy.pcopy-part") && map == scene.read("copy.pcopy-map"));
        scene.run("--resume --allow-changed-source source copy").code(0);
        assert!(scene.has("copy"));
    }
}

#[track_caller]
fn refused(scene: &Scene, line: &str) -> Ended {
    let ended = scene.run(line).code(3);
    assert!(!scene.has("copy"), "{line}");
    ended
}

/// Two sources that are nearly all zeros look the same in any place.
#[test]
fn a_source_of_zeros_is_compared_throughout() {
    const LONG: u64 = 48 << 20;
    let scene = Scene::new();
    let make = |name: &str, mark: &[u8]| {
        let mut file = File::create(scene.path(name)).expect("a file");
        file.set_len(LONG).expect("room");
        file.write_all_at(5_000_001, mark).expect("written");
        file.set_modified(std::time::SystemTime::UNIX_EPOCH).expect("a time");
    };
    make("source", b"one");
    let line = "-t 1 --sparse never --reflink never --limit-rate 12MiB --checkpoint-every 0 \
                --progress json source copy";
    let mut running = scene.pcopy(line.split_whitespace()).start();
    running.wait_until_copied(LONG / 4);
    running.signal(Signal::TERM);
    running.end().died_by(Signal::TERM);
    fs::rename(scene.path("source"), scene.path("old")).expect("a rename");
    make("source", b"two");
    let first = format!("does not hold byte {} of", 5_000_001);
    refused(&scene, "--resume source copy").says(&[&first]);
    fs::rename(scene.path("old"), scene.path("source")).expect("a rename");
    scene.run("--resume source copy").code(0);
    assert_same(&scene.read("copy"), &scene.read("source"), "the copy");
}

/// A comparison takes as long as it takes, and is stopped like a copy.
#[test]
fn a_comparison_before_a_resume_is_interrupted_and_loses_nothing() {
    use std::os::unix::fs::PermissionsExt;
    let scene = Scene::new();
    let bytes = scene.source("source", LEN);
    interrupted(&scene, "source copy");
    let mode = fs::Permissions::from_mode(0o600);
    fs::set_permissions(scene.path("source"), mode).expect("a mode");
    let (part, map) = (scene.read("copy.pcopy-part"), scene.read("copy.pcopy-map"));
    let slow = "--limit-rate 64KiB --progress json --resume source copy";
    let mut running = scene.pcopy(slow.split_whitespace()).start();
    running.wait_for_line(|line| line.contains("\"verifying\""));
    running.signal(Signal::INT);
    running.end().died_by(Signal::INT);
    assert!(part == scene.read("copy.pcopy-part") && map == scene.read("copy.pcopy-map"));
    goes_on(&scene, "source copy", "change time of the source");
    assert_same(&scene.read("copy"), &bytes, "the copy");
}
