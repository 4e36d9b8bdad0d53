//! Invariant I13 where numbers are made up: file systems that give a file another
//! number at each look, of each path or at each mount, times that are always now,
//! and disks that get another number when they are plugged in again.

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use rustix::process::Signal;

use crate::common::{Scene, assert_same, pattern};
use crate::devices::{Loop, possible};
use crate::odd::Odd;

const LEN: usize = 4 << 20;
const SLOW: &str = "-t 2 --limit-rate 2MiB --io-size 64KiB --stripe-size 256KiB \
                    --checkpoint-every 0 --progress json";

fn interrupt(scene: &Scene, job: &str) {
    let mut running = scene.pcopy(format!("{SLOW} {job}").split_whitespace()).start();
    running.wait_until_copied(LEN as u64 / 4);
    running.signal(Signal::TERM);
    running.end().died_by(Signal::TERM).says(&["to go on from here"]);
}

/// What a run makes for a moment goes away again, also where nothing but its bytes tells
/// that it is the same file.
#[test]
fn nothing_is_left_where_numbers_and_times_are_made_up() {
    if !possible(&[]) {
        return;
    }
    let scene = Scene::new();
    let bytes = scene.source("source", LEN);
    let Some(odd) = Odd::new(&scene, "odd", &["ino=lookup", "times=now"]) else { return };
    scene.run("source odd/copy").code(0);
    assert_same(&scene.read("odd/copy"), &bytes, "the copy");
    assert_eq!(names(odd.folder()), ["copy"]);
}

/// An empty file has no bytes that tell it from another one.
#[test]
fn an_empty_file_is_copied_whatever_its_number_and_its_times_are() {
    if !possible(&[]) {
        return;
    }
    for rule in ["ino=path", "ino=lookup"] {
        for switches in [&[rule][..], &[rule, "times=now"]] {
            let scene = Scene::new();
            let Some(odd) = Odd::new(&scene, "odd", switches) else { return };
            std::fs::create_dir(scene.path("tree")).expect("a folder");
            scene.write("source", b"");
            scene.write("tree/empty", b"");
            scene.write("tree/other", b"some bytes");
            scene.write("odd/left.pcopy-part", b"");
            for job in ["source odd/copy", "--restart source odd/left", "-R tree odd"] {
                let ended = scene.run(job);
                assert_eq!(ended.status.code(), Some(0), "{switches:?} {job}: {}", ended.stderr);
            }
            assert_eq!(names(odd.folder()), ["copy", "left", "tree"], "{switches:?}");
            assert_eq!(names(&odd.folder().join("tree")), ["empty", "other"], "{switches:?}");
        }
    }
}

fn names(folder: &Path) -> Vec<OsString> {
    let entries = fs::read_dir(folder).expect("a folder").flatten();
    let mut names: Vec<_> = entries.map(|entry| entry.file_name()).collect();
    names.sort();
    names
}

#[track_caller]
fn goes_on(scene: &Scene, job: &str) -> String {
    let report = scene.run(&format!("--json --resume {job}")).code(0).report();
    assert!(report["bytes"]["resumed"].as_u64() > Some(0), "{report}");
    report["notes"].to_string()
}

/// Every form of a copy into a folder whose numbers say nothing.
#[test]
fn a_complete_copy_is_complete_whatever_its_number_is() {
    for rule in ["ino=path", "ino=lookup", "ino=mount"] {
        let scene = Scene::new();
        let Some(odd) = Odd::new(&scene, "odd", &[rule]) else { return };
        let bytes = scene.source("source", LEN);
        scene.write("empty", b"");
        let names = |expected: &[&str]| {
            let mut found: Vec<_> = fs::read_dir(odd.below(""))
                .expect("a folder")
                .map(|entry| entry.expect("an entry").file_name().into_string().expect("text"))
                .collect();
            found.sort();
            assert_eq!(found, expected, "{rule}");
        };
        scene.run("source odd/new").code(0);
        scene.run("empty odd/empty").code(0);
        scene.run("-f --verify source odd/new").code(0);
        scene.run("--in-place -r 100..5000 source odd/new --dest-offset 100").code(0);
        scene.run("source odd/one --also odd/two").code(0);
        for name in ["new", "one", "two"] {
            assert_same(&fs::read(odd.below(name)).expect("it is there"), &bytes, name);
        }
        names(&["empty", "new", "one", "two"]);
        for name in ["empty", "new", "one", "two"] {
            fs::remove_file(odd.below(name)).expect("it is there");
        }

        interrupt(&scene, "source odd/copy");
        goes_on(&scene, "source odd/copy");
        assert_same(&fs::read(odd.below("copy")).expect("it is there"), &bytes, rule);
        interrupt(&scene, "source odd/other");
        scene.run("--restart source odd/other").code(0);
        assert_same(&fs::read(odd.below("other")).expect("it is there"), &bytes, rule);
        names(&["copy", "other"]);

        let rows: String = (0..20).map(|n| format!("f{n},{},5000\n", n * 6000)).collect();
        scene.write("list.csv", format!("name,start,len\n{rows}").as_bytes());
        let line = "batch list.csv --source source --into odd/batch --report odd/report";
        scene.run(line).code(0);
        for n in 0..20 {
            let copy = fs::read(odd.below(format!("batch/f{n}"))).expect("it is there");
            assert_same(&copy, &bytes[n * 6000..][..5000], rule);
        }
    }
}

/// Somebody who puts another file under a name is found by its bytes.
#[test]
fn another_file_in_place_of_the_part_is_found_where_numbers_say_nothing() {
    let scene = Scene::new();
    let Some(odd) = Odd::new(&scene, "odd", &["ino=lookup"]) else { return };
    scene.source("source", LEN);
    let mut running = scene.pcopy(format!("{SLOW} source odd/copy").split_whitespace()).start();
    running.wait_until_copied(LEN as u64 / 4);
    fs::rename(odd.below("copy.pcopy-part"), odd.below("kept")).expect("a part");
    fs::write(odd.below("copy.pcopy-part"), pattern(3, LEN)).expect("another");
    let ended = running.end();
    assert_ne!(ended.status.code(), Some(0), "{}", ended.stderr);
    assert!(!odd.below("copy").exists());
    let theirs = fs::read(odd.below("copy.pcopy-part")).expect("it stays");
    assert_same(&theirs, &pattern(3, LEN), "what somebody put there");
}

/// The source, and the part, on a mount that numbers files anew.
#[test]
fn a_copy_is_resumed_after_a_mount_with_other_numbers() {
    for (source, copy) in
        [("odd/source", "copy"), ("source", "odd/copy"), ("odd/source", "odd/copy")]
    {
        let scene = Scene::new();
        let Some(mut odd) = Odd::new(&scene, "odd", &["ino=mount"]) else { return };
        let bytes = scene.source(source, LEN);
        interrupt(&scene, &format!("{source} {copy}"));
        odd.remount(&["ino=mount"]);
        let notes = goes_on(&scene, &format!("{source} {copy}"));
        assert!(notes.contains("file number"), "{notes}");
        assert_same(&scene.read(copy), &bytes, copy);
        if copy.starts_with("odd/") {
            continue;
        }
        // Another file of that name and length is another.
        fs::remove_file(scene.path(copy)).expect("it is there");
        interrupt(&scene, &format!("{source} {copy}"));
        let time = scene.path(source).metadata().and_then(|data| data.modified()).expect("a time");
        fs::write(odd.below("source"), pattern(2, LEN)).expect("written");
        let file = fs::File::options().write(true).open(odd.below("source")).expect("it opens");
        file.set_modified(time).expect("a time");
        odd.remount(&["ino=mount"]);
        scene.run(&format!("--resume {source} {copy}")).code(3).says(&["does not hold byte"]);
    }
}

/// The times of a mount are always now: what changed cannot be known, and the
/// option that accepts that is there for every form of a copy.
#[test]
fn where_times_are_always_now_the_user_may_insist() {
    let scene = Scene::new();
    let Some(odd) = Odd::new(&scene, "odd", &["times=now"]) else { return };
    let bytes = scene.source("odd/source", LEN);
    assert!(odd.below("source").exists());
    scene.write("list.csv", b"name,start,len\na,0,4096\nb,1048576,2097152\n");
    scene.run("--allow-changed-source odd/source copy").code(0);
    assert_same(&scene.read("copy"), &bytes, "the copy");
    let line = "batch --allow-changed-source list.csv --source odd/source --into out";
    scene.run(line).code(0);
    assert_same(&scene.read("out/a"), &bytes[..4096], "a");
    assert_same(&scene.read("out/b"), &bytes[1 << 20..3 << 20], "b");
}

/// The normal case of a rescue: the disk comes back under another name and
/// number, as the source and as the destination.
#[test]
fn a_disk_under_another_number_is_resumed_and_another_disk_is_not() {
    if !possible(&["losetup"]) {
        return;
    }
    let scene = Scene::new();
    let bytes = scene.source("image", LEN);
    scene.write("source", &bytes);
    scene.write("other", &pattern(2, LEN));
    let first = Loop::new(&scene.path("image"), 512);
    interrupt(&scene, &format!("{} copy", first.path));
    let other = Loop::new(&scene.path("other"), 512);
    let line = format!("--resume {} copy", other.path);
    scene.run(&line).code(3).says(&["does not hold byte 0 of", "--allow-changed-source"]);
    // As long as the first is there, the same disk gets another number.
    let again = Loop::new(&scene.path("image"), 512);
    let notes = goes_on(&scene, &format!("{} copy", again.path));
    assert!(notes.contains("device number of the source"), "{notes}");
    assert_same(&scene.read("copy"), &bytes, "the copy");

    // As the destination, with the map under the name that the user gave.
    for (file, code) in [("target", 0), ("blank", 3)] {
        scene.write("target", &pattern(5, LEN));
        scene.write("blank", &pattern(6, LEN));
        let target = Loop::new(&scene.path("target"), 512);
        interrupt(&scene, &format!("--to-device --map m source {}", target.path));
        target.flush();
        let again = Loop::new(&scene.path(file), 512);
        let line = format!("--resume --to-device --map m source {}", again.path);
        scene.run(&line).code(code);
        again.flush();
        if code == 0 {
            assert_same(&scene.read(file), &bytes, file);
        } else {
            assert_same(&scene.read(file), &pattern(6, LEN), "the other disk is untouched");
            fs::remove_file(scene.path("m")).expect("a map");
        }
    }
}
