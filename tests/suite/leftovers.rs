//! Whose the leftovers are that a run resumes or discards, and whose map: what
//! another user made or could have written is not taken for ours.

use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;

use crate::common::{Ended, Scene, assert_same, copy_program, is_root, skip, wait_until};

const LEN: usize = 4 << 20;

/// The user called nobody.
const NOBODY: u32 = 65534;

/// A scene with the part and the map of a copy that was ended in the middle.
fn interrupted(options: &str) -> (Scene, Vec<u8>) {
    let scene = Scene::new();
    let bytes = scene.source("source", LEN);
    if options.contains("--in-place") {
        scene.write("copy", &vec![0; LEN]);
    }
    interrupt(&scene, options);
    (scene, bytes)
}

fn interrupt(scene: &Scene, options: &str) {
    let slow = "--reflink never -t 2 --io-size 64KiB --limit-rate 1MiB --progress json";
    let line = format!("{slow} {options} source copy");
    let mut running = scene.pcopy(line.split_whitespace()).start();
    running.wait_until_copied(1 << 20);
    running.signal(rustix::process::Signal::INT);
    running.end().died_by(rustix::process::Signal::INT);
}

fn give_to(scene: &Scene, name: &str, user: u32) {
    chown(scene.path(name), Some(user), Some(user)).unwrap();
}

fn mode(scene: &Scene, name: &str) -> u32 {
    scene.path(name).metadata().unwrap().mode() & 0o7777
}

/// Names, owners, modes, lengths and times of change of everything in the scene.
fn state(scene: &Scene) -> Vec<(String, u32, u32, u64, i64, i64)> {
    let describe = |name: String| {
        let data = scene.path(&name).symlink_metadata().unwrap();
        (name, data.uid(), data.mode(), data.len(), data.ctime(), data.ctime_nsec())
    };
    scene.names().into_iter().map(describe).collect()
}

/// Runs `line`, which is refused with `texts`, and changes nothing.
#[track_caller]
fn refused(scene: &Scene, line: &str, texts: &[&str]) -> Ended {
    let before = state(scene);
    let ended = scene.run(line).code(3).says(texts);
    assert_eq!(state(scene), before, "{line}");
    ended
}

#[test]
fn what_another_user_left_is_neither_resumed_nor_discarded() {
    if !is_root() {
        return;
    }
    for (options, theirs) in [
        ("", &["copy.pcopy-part"][..]),
        ("", &["copy.pcopy-map"]),
        ("", &["copy.pcopy-part", "copy.pcopy-map"]),
        ("--map m", &["m"]),
        ("--in-place", &["copy.pcopy-map"]),
        ("--in-place --map m", &["m"]),
    ] {
        let (scene, bytes) = interrupted(options);
        theirs.iter().for_each(|name| give_to(&scene, name, NOBODY));
        let says = ["belongs to user 65534", theirs[0], "--trust-leftovers"];
        for leftovers in ["--resume", "--restart", "-n --resume", "--resume --verify"] {
            refused(&scene, &format!("{leftovers} {options} source copy"), &says);
        }
        // Of what was left, a plain run names the first thing that it finds.
        refused(&scene, &format!("{options} source copy"), &[]);
        for leftovers in ["--resume", "--restart"] {
            let (scene, _) = interrupted(options);
            theirs.iter().for_each(|name| give_to(&scene, name, NOBODY));
            let line = format!("--trust-leftovers {leftovers} {options} --json source copy");
            let report = scene.run(&line).code(0).report();
            assert_same(&scene.read("copy"), &bytes, &line);
            assert!(report["notes"].to_string().contains("trusts all leftovers"), "{report}");
            let resumed = report["bytes"]["resumed"].as_u64() > Some(0);
            assert_eq!(resumed, leftovers == "--resume", "{report}");
            // Nobody is to own what root has copied.
            assert_eq!(scene.path("copy").metadata().unwrap().uid(), 0, "{line}");
            assert_eq!(scene.names(), ["copy", "source"], "{line}");
        }
    }
}

/// It may not even be opened: whose it is, is said.
#[test]
fn what_root_left_is_said_to_be_of_root() {
    if !is_root() {
        return;
    }
    let (scene, _) = interrupted("");
    scene.set_mode(".", 0o777);
    scene.set_mode("source", 0o644);
    for options in ["", "--resume", "--restart"] {
        let line = format!("{options} source copy");
        let Some(run) = scene.pcopy_of_a_user(&line) else { return };
        let before = state(&scene);
        run.run().code(3).says(&["copy.pcopy-part", "belongs to root"]);
        assert_eq!(state(&scene), before, "{options}");
    }
}

/// A run may be killed when the part has the mode of its source already, and its name not.
#[test]
fn a_part_that_its_owner_may_not_write_is_resumed() {
    let (scene, bytes) = interrupted("");
    scene.set_mode(".", 0o777);
    for name in ["copy.pcopy-part", "copy.pcopy-map", "source"] {
        if is_root() {
            give_to(&scene, name, NOBODY);
        }
    }
    scene.set_mode("copy.pcopy-part", 0o400);
    let Some(run) = scene.pcopy_of_a_user("--resume source copy") else { return };
    run.run().code(0);
    assert_same(&scene.read("copy"), &bytes, "the copy");
    assert!(!scene.has("copy.pcopy-part") && !scene.has("copy.pcopy-map"));
}

/// Nothing that a user can do makes the part of another one private.
#[test]
fn a_part_of_another_user_is_resumed_by_root_alone() {
    if !is_root() {
        return skip("needs root");
    }
    let (scene, bytes) = interrupted("");
    for (name, mode) in [(".", 0o777), ("copy.pcopy-part", 0o666), ("copy.pcopy-map", 0o644)] {
        scene.set_mode(name, mode);
    }
    let line = "--resume --trust-leftovers source copy";
    let Some(run) = scene.pcopy_of_a_user(line) else { return };
    run.run().code(3).says(&["copy.pcopy-part", "only that user and root can resume it"]);
    scene.run(line).code(0);
    assert_same(&scene.read("copy"), &bytes, "the copy");
}

/// What cannot be opened for another reason than its mode keeps that mode.
#[test]
fn a_part_that_runs_as_a_program_stays_as_it_is() {
    let (scene, _) = interrupted("");
    std::fs::remove_file(scene.path("copy.pcopy-part")).unwrap();
    copy_program(Path::new("/bin/sleep"), &scene.path("copy.pcopy-part"));
    scene.set_mode("copy.pcopy-part", 0o500);
    let mut program = std::process::Command::new(scene.path("copy.pcopy-part"));
    let mut running = program.arg("600").spawn().unwrap();
    let found = ["--resume", "--restart"].map(|options| {
        let ended = scene.run(&format!("{options} source copy"));
        (ended, mode(&scene, "copy.pcopy-part"))
    });
    // Before anything can fail here.
    running.kill().unwrap();
    running.wait().unwrap();
    for (ended, mode) in found {
        ended.code(3).says(&["copy.pcopy-part", "busy"]);
        assert_eq!(mode, 0o500);
    }
}

/// What is written under one name shows under all of them.
#[test]
fn a_part_with_more_than_one_name_is_never_written() {
    let (scene, bytes) = interrupted("");
    std::fs::hard_link(scene.path("copy.pcopy-part"), scene.path("other")).unwrap();
    let other = scene.read("other");
    for trust in ["", "--trust-leftovers"] {
        let line = format!("--resume {trust} source copy");
        refused(&scene, &line, &["copy.pcopy-part", "2 names", "--restart"]);
    }
    scene.run("--restart source copy").code(0);
    assert_same(&scene.read("copy"), &bytes, "the copy");
    assert_same(&scene.read("other"), &other, "the other name");
}

#[test]
fn what_others_could_have_written_is_not_believed() {
    for name in ["copy.pcopy-part", "copy.pcopy-map"] {
        for bits in [0o666, 0o602] {
            let (scene, bytes) = interrupted("");
            scene.set_mode(name, bits);
            let says = ["could be written by other users", name, "--restart", "--trust-leftovers"];
            refused(&scene, "--resume source copy", &says);
            let report =
                scene.run("--resume --trust-leftovers --json source copy").code(0).report();
            assert!(report["bytes"]["resumed"].as_u64() > Some(0), "{report}");
            assert!(report["notes"].to_string().contains("trusts all leftovers"), "{report}");
            assert_same(&scene.read("copy"), &bytes, name);
            let (scene, bytes) = interrupted("");
            scene.set_mode(name, bits);
            scene.run("--restart source copy").code(0);
            assert_same(&scene.read("copy"), &bytes, name);
        }
    }
}

/// Also one that somebody has opened to readers, and from the first byte on.
#[test]
fn a_resumed_part_is_private_while_it_is_filled() {
    for (options, bits) in [("", 0o644), ("", 0o400), ("--trust-leftovers", 0o666)] {
        let (scene, bytes) = interrupted("");
        scene.set_mode("source", 0o644);
        scene.set_mode("copy.pcopy-part", bits);
        let slow = "--reflink never -t 1 --io-size 64KiB --limit-rate 1MiB --progress json";
        let line = format!("{slow} --resume {options} source copy");
        let mut running = scene.pcopy(line.split_whitespace()).start();
        running.wait_until_copying();
        assert_eq!(mode(&scene, "copy.pcopy-part"), 0o600, "was {bits:o}");
        running.end().code(0);
        assert_same(&scene.read("copy"), &bytes, options);
        assert_eq!(mode(&scene, "copy"), 0o644, "was {bits:o}");
        assert_eq!(scene.names(), ["copy", "source"]);
    }
}

#[test]
fn a_further_destination_discards_only_what_is_ours() {
    if !is_root() {
        return;
    }
    let scene = Scene::new();
    let bytes = scene.source("source", LEN);
    scene.write("also.pcopy-part", b"theirs");
    give_to(&scene, "also.pcopy-part", NOBODY);
    let line = "--restart --also also source copy";
    refused(&scene, line, &["also.pcopy-part", "belongs to user 65534"]);
    let report = scene.run(&format!("--trust-leftovers --json {line}")).code(0).report();
    assert!(report["notes"].to_string().contains("trusts all leftovers"), "{report}");
    assert_same(&scene.read("also"), &bytes, "the further one");
}

/// A file of the right length says nothing where another user has put it there;
/// a digest of the list does.
#[test]
fn a_batch_takes_no_file_of_another_user_for_complete() {
    if !is_root() {
        return;
    }
    let scene = Scene::new();
    let bytes = scene.source("image", 100_000);
    scene.write("list.csv", b"name,start,len\na,0,1000\nb,1000,2000\n");
    let line = "batch list.csv --source image --into out";
    scene.run(line).code(0);
    scene.write("out/a", &[7; 1000]);
    give_to(&scene, "out/a", NOBODY);
    let resume = format!("{line} --resume");
    refused(&scene, &resume, &["out/a", "belongs to user 65534", "--force", "--trust-leftovers"]);
    refused(&scene, &format!("{resume} -n"), &["out/a"]);
    let report = scene.run(&format!("{resume} --trust-leftovers --json")).code(0).report();
    assert_eq!(report["items"]["skipped"], 2);
    assert!(report["notes"].to_string().contains("trusts all leftovers"), "{report}");
    scene.write("out/a", &bytes[..1000]);
    let crc = "batch sums.csv --source image --into out --resume --json";
    let sum = crc32(&bytes[..1000]);
    scene.write("sums.csv", format!("name,start,len,crc32c\na,0,1000,{sum}\n").as_bytes());
    assert_eq!(scene.run(crc).code(0).report()["items"]["skipped"], 1, "it was compared");
    scene.run(&format!("{line} --force")).code(0);
    assert_same(&scene.read("out/a"), &bytes[..1000], "replaced");
}

/// CRC-32C of `bytes`, as the program says it.
fn crc32(bytes: &[u8]) -> String {
    let scene = Scene::new();
    scene.write("x", bytes);
    let digest = scene.run("--digest crc32c --json x y").code(0).report();
    digest["digests"]["crc32c"].as_str().expect("a digest").to_owned()
}

#[test]
fn a_batch_uses_no_parts_and_maps_of_another_user() {
    if !is_root() {
        return;
    }
    let scene = Scene::new();
    scene.source("image", 100_000);
    scene.write("list.csv", b"name,start,len\na,0,1000\nb,1000,2000\n");
    std::fs::create_dir(scene.path("out")).unwrap();
    let line = "batch list.csv --source image --into out";
    for name in ["out/a.pcopy-part", "out/b.pcopy-map"] {
        if name.contains("map") {
            scene.write("out/b", &[0; 2000]);
        }
        scene.write(name, b"# Mapfile. Created by pcopy");
        give_to(&scene, name, NOBODY);
        for leftovers in ["--resume", "--restart --force"] {
            let line = format!("{line} {leftovers}");
            refused(&scene, &line, &[name, "belongs to user 65534", "--trust-leftovers"]);
        }
        scene.run(&format!("{line} --restart --force --trust-leftovers")).code(0);
        assert!(!scene.has(name), "{name}");
        std::fs::remove_dir_all(scene.path("out")).unwrap();
        std::fs::create_dir(scene.path("out")).unwrap();
    }
}

/// Whatever ended the first run, and whatever its file system knows of times.
#[test]
fn without_the_map_of_the_first_run_nothing_begins_anew() {
    for signal in [rustix::process::Signal::INT, rustix::process::Signal::KILL] {
        let scene = Scene::new();
        let bytes = scene.source("source", LEN);
        let slow = "--reflink never -t 2 --io-size 64KiB --limit-rate 1MiB --progress json";
        let line = format!("{slow} --map elsewhere source copy");
        let mut running = scene.pcopy(line.split_whitespace()).start();
        running.wait_until_copied(1 << 20);
        // Long before there is anything to record.
        wait_until("there is a map", || scene.has("elsewhere"));
        running.signal(signal);
        running.end().died_by(signal);
        let says = ["copy.pcopy-part", "copy.pcopy-map", "--map", "--restart"];
        for line in
            ["--resume source copy", "-n --resume source copy", "--resume --map m source copy"]
        {
            refused(&scene, line, &says[..1]);
        }
        refused(&scene, "--resume source copy", &says);
        scene.run("--resume --map elsewhere source copy").code(0);
        assert_same(&scene.read("copy"), &bytes, "the copy");
        assert_eq!(scene.names(), ["copy", "source"]);
    }
}

/// A run has a map before it has anything to record.
#[test]
fn a_run_that_is_killed_early_is_resumed_without_a_word_of_maps() {
    let scene = Scene::new();
    let bytes = scene.source("source", LEN);
    let slow = "--reflink never -t 2 --io-size 64KiB --limit-rate 1MiB --progress json";
    let line = format!("{slow} source copy");
    let mut running = scene.pcopy(line.split_whitespace()).start();
    running.wait_until_copied(1 << 20);
    wait_until("there is a map", || scene.has("copy.pcopy-map"));
    assert!(running.kill().was_killed());
    refused(&scene, "source copy", &["--resume", "--restart"]);
    let report = scene.run("--resume --json source copy").code(0).report();
    assert!(report["notes"].to_string().contains("from the beginning"), "{report}");
    assert_same(&scene.read("copy"), &bytes, "the copy");
    assert_eq!(scene.names(), ["copy", "source"]);
}
