//! `--preserve`: what a file has besides its content.

use std::fs::{File, FileTimes, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::time::{Duration, SystemTime};

use crate::common::{Scene, has_tools, is_root};

fn scene() -> Scene {
    let scene = Scene::new();
    scene.source("source", 10_000);
    let file = File::options().write(true).open(scene.path("source")).unwrap();
    let moment = SystemTime::UNIX_EPOCH + Duration::new(1_234_567_890, 987_654_321);
    // Later than the change and not long ago: reading does not renew it then.
    let accessed = SystemTime::now() - Duration::from_secs(3600);
    file.set_times(FileTimes::new().set_modified(moment).set_accessed(accessed)).unwrap();
    file.set_permissions(Permissions::from_mode(0o641)).unwrap();
    scene
}

#[test]
fn mode_and_times_are_those_of_the_source() {
    for options in ["", "--verify", "--no-sync", "--digest md5 -t 4", "--also other"] {
        let scene = scene();
        let wanted = scene.path("source").metadata().unwrap();
        scene.run(&format!("-p {options} source copy")).code(0);
        for name in ["copy", "other"] {
            let Ok(found) = scene.path(name).metadata() else { continue };
            assert_eq!(found.mode() & 0o7777, 0o641, "{options} {name}");
            assert_eq!((found.mtime(), found.mtime_nsec()), (wanted.mtime(), wanted.mtime_nsec()));
            assert_eq!((found.atime(), found.atime_nsec()), (wanted.atime(), wanted.atime_nsec()));
        }
    }
    let scene = scene();
    scene.run("source copy").code(0);
    let found = scene.path("copy").metadata().unwrap();
    assert_ne!(found.mtime(), 1_234_567_890, "only where it is asked for");
}

/// Who may not read the source must not read its copy either, at no time.
#[test]
fn the_copy_is_private_until_it_has_the_mode_of_the_source() {
    if !has_tools(&["strace"]) {
        return;
    }
    for options in ["", "--also other", "--verify"] {
        let scene = scene();
        std::fs::set_permissions(scene.path("source"), Permissions::from_mode(0o600)).unwrap();
        let mut run = scene.tool("strace", ["-f", "-qqq", "-o", "trace", "-e", "trace=fchmod"]);
        run.command.arg(crate::common::program()).args(options.split_whitespace());
        run.command.args(["--preserve", "source", "copy"]);
        run.run().code(0);
        let trace = String::from_utf8_lossy(&scene.read("trace")).into_owned();
        let modes: Vec<_> = trace.lines().filter(|line| line.contains("fchmod(")).collect();
        assert!(!modes.is_empty(), "{options}: {trace}");
        assert!(modes.iter().all(|line| line.contains("0600")), "{options}: {trace}");
    }
}

#[test]
fn owner_and_attributes_are_those_of_the_source() {
    if !is_root() || !has_tools(&["setfattr", "getfattr", "chown"]) {
        return;
    }
    let scene = scene();
    scene.tool("chown", ["1234:4321", "source"]).run().code(0);
    scene.tool("chmod", ["4755", "source"]).run().code(0);
    let set = scene.tool("setfattr", ["-n", "user.note", "-v", "a value", "source"]).run();
    scene.run("--preserve source copy").code(0);
    let found = scene.path("copy").metadata().unwrap();
    assert_eq!((found.uid(), found.gid(), found.mode() & 0o7777), (1234, 4321, 0o4755));
    if set.status.success() {
        let get = ["--only-values", "-n", "user.note", "copy"];
        assert_eq!(scene.tool("getfattr", get).run().code(0).out(), "a value");
    }
}

#[test]
fn a_part_of_a_file_has_no_metadata() {
    let scene = scene();
    scene.write("place", &[0; 20_000]);
    for options in ["-r 1.. source copy", "--dest-offset 1 source copy", "--in-place source place"]
    {
        scene.run(&format!("-p {options}")).code(2).says(&["whole file"]);
    }
    assert_eq!(scene.names(), ["place", "source"]);
}
