//! Calls that a file system refuses although the copy could do without them: on a
//! folder that misbehaves, in folders that let others only write, without /proc.

use std::ffi::OsString;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;

use crate::common::{
    Ended, Run, Scene, SmallDisk, assert_same, follow, has_tools, is_root, program,
};
use crate::devices::{Loop, Mount, possible, tool};
use crate::odd::Odd;

const MIB: usize = 1 << 20;
const NOBODY: u32 = 65534;

fn scene() -> (Scene, Vec<u8>) {
    let scene = Scene::new();
    let bytes = scene.source("source", 3 * MIB);
    scene.write("list.csv", b"name,start,len\na,0,4096\nd/b,1MiB,1MiB\n");
    (scene, bytes)
}

/// Every form of a copy into the folder `odd`, on a folder of its own each.
#[track_caller]
fn every_form(switches: &[&str], said: &[&str]) {
    let lines = [
        ("source odd/x", "x"),
        ("-f source odd/old", "old"),
        ("--also odd/x source plain", "x"),
        ("--verify -t 4 source odd/x", "x"),
        ("source list.csv odd", "source"),
        ("--in-place source odd/old", "old"),
        ("batch list.csv --source source --into odd", "a"),
    ];
    for (line, name) in lines {
        let (scene, bytes) = scene();
        let Some(odd) = Odd::new(&scene, "odd", switches) else { return };
        std::fs::write(odd.below("old"), vec![7; 4096]).expect("a file");
        let ended = scene.run(line);
        let what = format!("{switches:?} {line}\n{}", ended.stderr);
        let ended = ended.code(0);
        let bytes = if name == "a" { &bytes[..4096] } else { &bytes };
        assert_same(&std::fs::read(odd.below(name)).expect("it is there"), bytes, &what);
        if !line.contains("--in-place") {
            ended.says(said);
        }
        let entries = std::fs::read_dir(odd.folder()).expect("a folder");
        let left =
            entries.flatten().filter(|entry| entry.file_name().to_string_lossy().contains("pcopy"));
        assert_eq!(left.count(), 0, "{what}");
    }
}

#[test]
fn a_mode_that_is_refused_is_a_note() {
    every_form(&["refuse=chmod:EPERM"], &["the mode could not be set: Operation not permitted"]);
    every_form(
        &["refuse=chmod:EOPNOTSUPP", "refuse=chown:EPERM", "refuse=utimes:EPERM"],
        &["the mode"],
    );
}

#[test]
fn a_length_that_is_refused_comes_by_writing() {
    every_form(&["refuse=truncate:EPERM"], &[]);
    every_form(&["refuse=truncate:ENOSYS", "refuse=fallocate:EPERM"], &[]);
}

#[test]
fn what_says_nothing_of_its_room_has_some() {
    every_form(&["statfs=zero"], &[]);
    every_form(&["refuse=statfs:EPERM"], &[]);
}

#[test]
fn locks_and_attributes_are_not_needed() {
    every_form(&["refuse=flock:ENOLCK", "refuse=getxattr:EPERM", "refuse=listxattr:EPERM"], &[]);
    every_form(&["refuse=flock:EPERM", "refuse=fsyncdir:ENOSYS"], &[]);
}

/// The newer rename, and links, which some file systems have and others not.
#[test]
fn a_rename_without_flags_is_enough() {
    every_form(&["refuse=rename-flags:EINVAL"], &[]);
    every_form(&["refuse=rename-flags:EPERM", "refuse=link:EPERM"], &[]);
}

/// What only grows at its end takes a copy in order.
#[test]
fn a_store_that_only_appends_takes_a_copy_in_order() {
    let (scene, bytes) = scene();
    let Some(odd) = Odd::new(&scene, "odd", &["write=append", "refuse=truncate:EPERM"]) else {
        return;
    };
    scene.run("-t 4 source odd/x").code(0);
    assert_same(&std::fs::read(odd.below("x")).expect("it is there"), &bytes, "in order");
    // A hole would be written over: what would do is named, and does.
    std::fs::File::create(scene.path("holes"))
        .and_then(|file| file.set_len(MIB as u64))
        .expect("a file");
    tool(
        "dd",
        &[
            "if=/dev/urandom",
            &format!("of={}", scene.path("holes").display()),
            "bs=64K",
            "count=1",
            "seek=8",
            "conv=notrunc",
            "status=none",
        ],
    );
    let ended = scene.run("holes odd/y");
    if ended.status.code() != Some(0) {
        let way = ended.stderr.lines().find_map(|line| line.split_once("to the end: pcopy "));
        let (_, way) = way.unwrap_or_else(|| panic!("no way on: {}", ended.stderr));
        let way = format!("{} {way}", program().display());
        scene.tool("bash", ["-c", &way]).run().code(0);
    }
    assert_same(
        &std::fs::read(odd.below("y")).expect("it is there"),
        &scene.read("holes"),
        "holes",
    );
}

/// Before the first byte where that can be known, with what would do.
#[test]
fn a_store_without_renames_is_refused_at_once() {
    for error in ["EPERM", "ENOSYS", "EACCES"] {
        let (scene, bytes) = scene();
        let refuse = format!("refuse=rename:{error}");
        let no_flags = format!("refuse=rename-flags:{error}");
        let Some(odd) = Odd::new(&scene, "odd", &[&refuse, &no_flags]) else { return };
        for line in
            ["source odd/x", "-f source odd/x", "--split 4096 source odd/x", "source list.csv odd"]
        {
            let ended = scene.run(line).code(3);
            ended.says(&["no file can be renamed in", "pcopy SOURCE - > DEST"].map(|text| {
                if line.contains("odd/x") {
                    text.trim_end_matches("SOURCE - > DEST").trim()
                } else {
                    text
                }
            }));
            assert_eq!(std::fs::read_dir(odd.folder()).expect("a folder").count(), 0, "{line}");
        }
        let into = "batch list.csv --source source --into odd/new";
        scene.run(into).code(3).says(&["no file can be renamed"]);
        assert_eq!(std::fs::read_dir(odd.folder()).expect("a folder").count(), 0, "{into}");
        scene.run("--also odd/x source plain").code(5).says(&["no file can be renamed"]);
        assert_same(&scene.read("plain"), &bytes, "the other destination");
        let way = format!("{} source - > odd/x", program().display());
        scene.tool("bash", ["-c", &way]).run().code(0);
        assert_same(&std::fs::read(odd.below("x")).expect("it is there"), &bytes, "the way out");
    }
}

/// An error of the disk is none of what a store cannot do: the copy is made, and kept.
#[test]
fn a_rename_that_fails_is_not_a_store_without_renames() {
    let (scene, bytes) = scene();
    let refuse = ["refuse=rename:EIO", "refuse=rename-flags:EIO", "refuse=link:EIO"];
    let Some(odd) = Odd::new(&scene, "odd", &refuse) else { return };
    scene.run("source odd/x").code(5).says(&["Input/output error"]);
    let part = std::fs::read(odd.below("x.pcopy-part")).expect("it is there");
    assert_same(&part, &bytes, "the part");
}

/// A run that was killed while it tried that leaves an empty file, which the next one
/// takes away; bytes, and files of other names, are not of a trial.
#[test]
fn what_is_left_of_a_trial_of_renames_goes_away() {
    let (scene, bytes) = scene();
    let Some(odd) = Odd::new(&scene, "odd", &[]) else { return };
    let left = |name: &str| format!(".trial.pcopy-{name}.tmp");
    scene.write(odd.below(left("0123456789abcdef")), b"");
    scene.write(odd.below(left("0123456789abcdea")), b"bytes");
    scene.write(odd.below(left("notes")), b"");
    for line in ["source odd/x", "source list.csv odd"] {
        scene.write(odd.below(left("fedcba9876543210")), b"");
        scene.run(line).code(0);
        let names = std::fs::read_dir(odd.folder()).expect("a folder").flatten();
        let mut hidden: Vec<_> = names.map(|entry| entry.file_name()).collect();
        hidden.retain(|name| name.as_encoded_bytes().starts_with(b"."));
        hidden.sort();
        assert_eq!(hidden, [left("0123456789abcdea"), left("notes")].map(OsString::from), "{line}");
    }
    assert_same(&std::fs::read(odd.below("x")).expect("it is there"), &bytes, "the copy");
}

/// Too late to be known: what is complete stays, and the message says where.
#[test]
fn a_copy_that_does_not_get_its_name_in_the_end_is_named() {
    let (scene, bytes) = scene();
    // The first rename is that of the trial.
    let switches = ["refuse=rename:EPERM:1", "refuse=rename-flags:EPERM"];
    let Some(odd) = Odd::new(&scene, "odd", &switches) else { return };
    let ended = scene.run("source odd/x").code(5);
    ended.says(&["the copy is complete in 'odd/x.pcopy-part'", "cannot be renamed to 'odd/x'"]);
    assert_same(&std::fs::read(odd.below("x.pcopy-part")).expect("kept"), &bytes, "one");
    drop(odd);
    let (scene, bytes) = self::scene();
    let Some(odd) = Odd::new(&scene, "odd", &switches) else { return };
    let ended = scene.run("batch list.csv --source source --into odd").code(1);
    ended.says(&["'a': it is complete in 'a.pcopy-part', which cannot be renamed"]);
    assert_same(&std::fs::read(odd.below("a.pcopy-part")).expect("kept"), &bytes[..4096], "batch");
    drop(odd);
    let (scene, bytes) = self::scene();
    let Some(odd) = Odd::new(&scene, "odd", &switches) else { return };
    scene.run("--also odd/x source plain").code(5).says(&["complete in 'odd/x.pcopy-part'"]);
    assert_same(&std::fs::read(odd.below("x.pcopy-part")).expect("kept"), &bytes, "also");
}

#[test]
fn what_was_interrupted_resumes_where_modes_are_refused() {
    let (scene, bytes) = scene();
    let Some(odd) = Odd::new(&scene, "odd", &["refuse=chmod:EPERM"]) else { return };
    let line = "--limit-rate 2MiB --progress json source odd/x";
    let mut running = scene.pcopy(line.split_whitespace()).start();
    running.wait_until_copied(1);
    running.signal(rustix::process::Signal::INT);
    let ended = running.end();
    follow(&scene, ended, "where modes are refused");
    assert_same(&std::fs::read(odd.below("x")).expect("it is there"), &bytes, "resumed");
}

#[test]
fn a_drive_that_only_root_may_open_says_so() {
    if !possible(&["setpriv"]) {
        return;
    }
    let scene = Scene::new();
    set_mode(scene.folder(), 0o755);
    scene.source("image", MIB);
    let device = Loop::new(&scene.path("image"), 512);
    let ended = as_nobody(&scene, &format!("{} copy", device.path)).run().code(3);
    ended.says(&["cannot open source", "by root (sudo)", "group"]);
    // Of a file, the system's own words are enough.
    scene.write("secret", b"x");
    set_mode(&scene.path("secret"), 0o600);
    let ended = as_nobody(&scene, "secret copy").run().code(3).says(&["Permission denied"]);
    assert!(!ended.stderr.contains("sudo"), "{}", ended.stderr);
}

/// `pcopy LINE` as a user that is nobody.
fn as_nobody(scene: &Scene, line: &str) -> Run {
    let options = ["--reuid=65534", "--regid=65534", "--clear-groups"];
    let mut run = scene.tool("setpriv", options);
    run.command.arg(program()).args(line.split_whitespace());
    run
}

fn set_mode(path: &Path, mode: u32) {
    let permissions = std::fs::Permissions::from_mode(mode);
    std::fs::set_permissions(path, permissions).expect("a mode can be set");
}

/// A scene that others may enter, with a folder `box` of this mode.
fn with_box(mode: u32) -> (Scene, Vec<u8>) {
    let (scene, bytes) = scene();
    set_mode(scene.folder(), 0o755);
    std::fs::create_dir(scene.path("box")).expect("a folder");
    set_mode(&scene.path("box"), mode);
    (scene, bytes)
}

#[test]
fn a_drop_box_takes_files_though_it_cannot_be_read() {
    if !is_root() || !has_tools(&["setpriv"]) {
        return;
    }
    for mode in [0o733, 0o1733] {
        let (scene, bytes) = with_box(mode);
        for (line, name) in [
            ("source box/x", "x"),
            ("--verify source box/y", "y"),
            ("-f source box/x", "x"),
            ("source list.csv box", "source"),
            ("--no-sync source box/z", "z"),
        ] {
            as_nobody(&scene, line).run().code(0);
            assert_same(&scene.read(format!("box/{name}")), &bytes, line);
        }
        as_nobody(&scene, "batch list.csv --source source --into box").run().code(0);
        assert_same(&scene.read("box/d/b"), &bytes[MIB..2 * MIB], "batch");
        as_nobody(&scene, "source box/x").run().code(3).says(&["exists"]);
        let names = std::fs::read_dir(scene.path("box")).expect("root reads it").flatten();
        let names = names.map(|entry| entry.file_name().to_string_lossy().into_owned());
        assert!(names.into_iter().all(|name| !name.contains("pcopy")), "{mode:o}");
    }
    let (scene, _) = with_box(0o711);
    as_nobody(&scene, "source box/x").run().code(3).says(&["cannot create", "Permission denied"]);
}

#[test]
fn a_drop_box_keeps_what_was_interrupted() {
    if !is_root() || !has_tools(&["setpriv"]) {
        return;
    }
    let (scene, bytes) = with_box(0o733);
    let line = "--limit-rate 2MiB --progress json source box/x";
    let mut running = as_nobody(&scene, line).start();
    running.wait_until_copied(1);
    running.signal(rustix::process::Signal::INT);
    let ended = running.end();
    assert!(ended.stderr.contains("--resume"), "{}", ended.stderr);
    let report = as_nobody(&scene, "--resume --json source box/x").run().code(0).report();
    assert!(report["bytes"]["resumed"].as_u64() > Some(0), "{report}");
    assert_same(&scene.read("box/x"), &bytes, "resumed");
}

/// A log that its user may write and not read.
#[test]
fn a_file_that_may_only_be_written_is_written_in_place() {
    if !is_root() || !has_tools(&["setpriv"]) {
        return;
    }
    let (scene, bytes) = with_box(0o777);
    for mode in [0o200, 0o300] {
        let file = scene.path("box/log");
        std::fs::write(&file, vec![9; 4 * MIB]).expect("a file");
        chown(&file, Some(NOBODY), Some(NOBODY)).expect("root gives files away");
        set_mode(&file, mode);
        as_nobody(&scene, "--in-place -r 5..70000 --dest-offset 11 source box/log").run().code(0);
        as_nobody(&scene, "--in-place --dest-offset 4MiB source box/log").run().code(0);
        let mut expected = vec![9; 4 * MIB];
        expected[11..11 + 69_995].copy_from_slice(&bytes[5..70_000]);
        expected.extend(&bytes);
        assert_same(&scene.read("box/log"), &expected, "in place");
        let ended = as_nobody(&scene, "--verify --in-place source box/log").run().code(3);
        ended.says(&["can be written and not be read, so it cannot be verified"]);
        assert_same(&scene.read("box/log"), &expected, "refused");
        for engine in ["direct", "mmap", "offload", "splice"] {
            // It serves, or says why not: nothing else.
            let line = format!("--engine {engine} --in-place -r 0..4096 source box/log");
            let ended = as_nobody(&scene, &line).run();
            assert!(matches!(ended.status.code(), Some(0 | 3 | 5)), "{}", ended.stderr);
        }
        std::fs::remove_file(&file).expect("it is there");
    }
    let (scene, _) = with_box(0o777);
    std::fs::write(scene.path("box/theirs"), b"theirs").expect("a file");
    set_mode(&scene.path("box/theirs"), 0o444);
    as_nobody(&scene, "--in-place source box/theirs").run().code(3).says(&["cannot open"]);
}

#[test]
fn a_file_that_is_replaced_keeps_its_owner_and_group() {
    if !is_root() {
        return;
    }
    for (line, name) in [
        ("-f source old", "old"),
        ("-f --also old source other", "old"),
        ("-f other-folder/old list.csv .", "old"),
        ("batch -f owned.csv --source source", "old"),
    ] {
        let (scene, _) = scene();
        std::fs::create_dir(scene.path("other-folder")).expect("a folder");
        scene.source("other-folder/old", 100_000);
        scene.write("owned.csv", b"name,start,len\nold,0,4096\n");
        scene.write("old", b"old");
        chown(scene.path("old"), Some(1234), Some(2345)).expect("root gives files away");
        set_mode(&scene.path("old"), 0o640);
        let line = line.replace(" list.csv .", " source .");
        scene.run(&line).code(if line.ends_with("source .") { 3 } else { 0 });
        let facts = scene.path(name).metadata().expect("it is there");
        assert_eq!((facts.uid(), facts.gid(), facts.mode() & 0o777), (1234, 2345, 0o640), "{line}");
    }
}

/// With its own group, which the mode speaks of, also where nobody may give files away.
#[test]
fn a_user_keeps_the_group_of_what_he_replaces() {
    if !is_root() || !has_tools(&["setpriv"]) {
        return;
    }
    let (scene, _) = with_box(0o777);
    let file = scene.path("box/old");
    std::fs::write(&file, b"old").expect("a file");
    chown(&file, Some(NOBODY), Some(4321)).expect("root gives files away");
    set_mode(&file, 0o640);
    let mut run = scene.tool("setpriv", ["--reuid=65534", "--regid=65534", "--groups=4321"]);
    run.command.arg(program()).args(["-f", "source", "box/old"]);
    run.run().code(0);
    let facts = file.metadata().expect("it is there");
    assert_eq!((facts.uid(), facts.gid(), facts.mode() & 0o777), (NOBODY, 4321, 0o640));
    // Of another user it is this one's from now on, and nothing is said of it.
    chown(&file, Some(1234), Some(1234)).expect("root gives files away");
    let ended = as_nobody(&scene, "-f source box/old").run().code(0);
    assert!(!ended.stderr.contains("owner"), "{}", ended.stderr);
    assert_eq!(file.metadata().expect("it is there").uid(), NOBODY);
}

/// `pcopy LINE` where /proc is not mounted.
fn without_proc(scene: &Scene, umask: &str, line: &str) -> Option<Ended> {
    let script = "umount -l /proc || exit 99; umask $0; exec \"$@\"";
    let mut run = scene.tool("unshare", ["-m", "sh", "-c", script, umask]);
    run.command.arg(program()).args(line.split_whitespace());
    let ended = run.run();
    if ended.status.code() == Some(99) {
        crate::common::skip("/proc cannot be taken away here");
        return None;
    }
    Some(ended)
}

#[test]
fn without_proc_all_is_as_it_was() {
    if !is_root() || !has_tools(&["unshare"]) {
        return;
    }
    for (umask, expected) in [("022", 0o644), ("027", 0o640), ("077", 0o600), ("0", 0o666)] {
        let (scene, bytes) = scene();
        set_mode(&scene.path("source"), 0o666);
        for (line, name) in [
            ("source new", "new"),
            ("--verify -r ..3MiB source carve", "carve"),
            ("batch list.csv --source source --into .", "a"),
            ("--also also source third", "also"),
            ("--engine direct -v source fourth", "fourth"),
            ("-f source new", "new"),
        ] {
            let Some(ended) = without_proc(&scene, umask, line) else { return };
            if line.contains("direct") && ended.status.code() == Some(3) {
                // It says why, and makes nothing.
                assert!(!scene.has(name), "{}", ended.stderr);
                continue;
            }
            let ended = ended.code(0);
            let found = scene.read(name);
            assert_same(&found, &bytes[..found.len()], line);
            let mode = scene.path(name).metadata().expect("it is there").mode() & 0o777;
            assert_eq!(mode, expected, "umask {umask}: {line}\n{}", ended.stderr);
        }
        let Some(ended) = without_proc(&scene, umask, "source -") else { return };
        assert_same(&ended.code(0).stdout, &bytes, "a stream");
        let Some(ended) = without_proc(&scene, umask, "verify source new") else { return };
        ended.code(0);
    }
}

#[test]
fn what_only_appends_is_refused_with_the_way_that_appends() {
    if !possible(&["chattr", "mkfs.ext4"]) {
        return;
    }
    let (scene, bytes) = scene();
    std::fs::File::create(scene.path("image"))
        .and_then(|file| file.set_len(32 << 20))
        .expect("a file");
    tool("mkfs.ext4", &["-q", scene.path("image").to_str().expect("plain")]);
    let device = Loop::new(&scene.path("image"), 512);
    let _mount = Mount::new(&scene, "m", &[&device.path]);
    std::fs::create_dir(scene.path("m/folder")).expect("a folder");
    for file in ["m/log", "m/folder"] {
        if file == "m/log" {
            scene.write(file, b"first line\n");
        }
        tool("chattr", &["+a", scene.path(file).to_str().expect("plain")]);
    }
    for line in ["--in-place source m/log", "-f source m/log"] {
        scene.run(line).code(3).says(&["append-only", "pcopy source - >> m/log"]);
    }
    scene.run("source m/folder/x").code(3).says(&["append-only", "pcopy source - > m/folder/x"]);
    for way in ["source - >> m/log", "source - > m/folder/x"] {
        let way = format!("{} {way}", program().display());
        scene.tool("bash", ["-c", &way]).run().code(0);
    }
    assert_same(&scene.read("m/log"), &[&b"first line\n"[..], &bytes].concat(), "appended");
    assert_same(&scene.read("m/folder/x"), &bytes, "a new file");
}

/// An estimate, which some file systems beat and others do not.
#[test]
fn the_room_that_is_missing_may_be_ignored() {
    let (scene, bytes) = scene();
    let Some(_small) = SmallDisk::new(&scene, "small", 2) else { return };
    scene.run("source small/x").code(3).says(&["not enough space", "--ignore-space"]);
    scene.run("source list.csv small").code(3).says(&["not enough space", "--ignore-space"]);
    let list = "batch list.csv --source source --into small";
    scene.run(list).code(0);
    tool(
        "rm",
        &[
            "-r",
            scene.path("small/a").to_str().expect("plain"),
            scene.path("small/d").to_str().expect("plain"),
        ],
    );
    // What does not fit after all fails as a full disk does, and resumes.
    let ended = scene.run("--ignore-space source small/x").code(5).says(&["No space left"]);
    assert!(ended.stderr.contains("--resume"), "{}", ended.stderr);
    tool("mount", &["-o", "remount,size=16m", scene.path("small").to_str().expect("plain")]);
    scene.run("--resume source small/x").code(0);
    assert_same(&scene.read("small/x"), &bytes, "resumed");
}

#[test]
fn what_is_compressed_takes_less_room_than_it_seems() {
    if !possible(&["mkfs.btrfs"]) {
        return;
    }
    let scene = Scene::new();
    scene.write("source", &b"a line that compresses well\n".repeat(6 << 20));
    scene.write("list.csv", b"name\nb\n");
    std::fs::File::create(scene.path("image"))
        .and_then(|file| file.set_len(128 << 20))
        .expect("a file");
    tool("mkfs.btrfs", &["-q", scene.path("image").to_str().expect("plain")]);
    let device = Loop::new(&scene.path("image"), 512);
    let _mount = Mount::new(&scene, "m", &["-o", "compress=zstd", &device.path]);
    for (line, name) in [("source m/x", "x"), ("batch list.csv --source source --into m", "b")] {
        scene.run(line).code(3).says(&["not enough space", "--ignore-space"]);
        let insisting = match line.strip_prefix("batch") {
            Some(rest) => format!("batch --ignore-space{rest}"),
            None => format!("--ignore-space {line}"),
        };
        scene.run(&insisting).code(0);
        assert_same(&scene.read(format!("m/{name}")), &scene.read("source"), line);
    }
}
