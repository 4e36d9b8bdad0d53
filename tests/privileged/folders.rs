//! Folders with what only root can make or see: mounts, owners, access lists,
//! device nodes; and a full disk.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use rustix::fs::{CWD, FileType, Gid, Mode, Uid};

use crate::common::{Scene, SmallDisk, has_tools, is_root, pattern};
use crate::devices::{Mount, possible};
use crate::seen::{assert_alike, look};

/// With --one-file-system a mount is an empty folder, without it what is in it is
/// taken, too.
#[test]
fn a_mount_is_entered_unless_told_not_to() {
    let scene = Scene::new();
    std::fs::create_dir_all(scene.path("from/sub")).unwrap();
    scene.write("from/file", b"here");
    let Some(_mount) = SmallDisk::new(&scene, "from/sub/mount", 8) else { return };
    scene.write("from/sub/mount/inside", b"there");
    for (options, is_entered) in [("-R", true), ("-R -x", false), ("-R -p -x", false)] {
        std::fs::create_dir(scene.path("to")).unwrap();
        let ended = scene.run(&format!("{options} --json from to")).code(0);
        assert_eq!(scene.read("to/from/file"), b"here");
        assert!(scene.has("to/from/sub/mount"), "{options}");
        assert_eq!(scene.has("to/from/sub/mount/inside"), is_entered, "{options}");
        assert_eq!(ended.report()["tree"]["mount_points"], u64::from(!is_entered));
        std::fs::remove_dir_all(scene.path("to")).unwrap();
    }
    // Into a mount, with all that belongs to it.
    let into = "from/sub/mount/to";
    std::fs::create_dir(scene.path(into)).unwrap();
    std::fs::create_dir(scene.path("other")).unwrap();
    scene.write("other/file", b"other");
    scene.run(&format!("-R -p other {into}")).code(0);
    assert_alike(&scene.path(into).join("other"), &scene.path("other"), |_| {});
    // And into itself by way of it.
    scene.run(&format!("-R from {into}")).code(3).says(&["into itself"]);
}

#[test]
fn owners_lists_and_special_bits_are_as_with_cp_a() {
    if !is_root() || !has_tools(&["cp", "setfacl"]) {
        return;
    }
    let scene = Scene::new();
    std::fs::create_dir_all(scene.path("from/in")).unwrap();
    scene.write("from/in/file", b"a file");
    scene.write("from/program", b"a program");
    std::os::unix::fs::symlink("in/file", scene.path("from/link")).unwrap();
    let owner = |name: &str, user, group| {
        let (user, group) = (Some(Uid::from_raw(user)), Some(Gid::from_raw(group)));
        let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
        rustix::fs::chownat(CWD, scene.path(name), user, group, flags).unwrap();
    };
    owner("from/in", 1001, 1002);
    owner("from/in/file", 1003, 0);
    owner("from/link", 1004, 1005);
    owner("from/program", 1006, 1007);
    for (list, name) in [("u:1234:r", "from/in/file"), ("u:1234:rx,d:u:1235:rw", "from/in")] {
        let ended = scene.tool("setfacl", ["-m", list, name]).run();
        if !ended.status.success() {
            return crate::common::skip("no access lists here");
        }
    }
    scene.tool("chmod", ["6755", "from/program"]).run().code(0);
    scene.tool("chmod", ["2775", "from/in"]).run().code(0);
    // What is made in these inherits a list that nothing of ours has.
    for folder in ["ours", "theirs"] {
        std::fs::create_dir(scene.path(folder)).unwrap();
        scene.tool("setfacl", ["-m", "d:u:4321:rwx", folder]).run().code(0);
    }
    scene.tool("cp", ["-a", "from", "theirs"]).run().code(0);
    scene.run("-R -p from ours").code(0);
    assert_alike(&scene.path("ours/from"), &scene.path("theirs/from"), |_| {});
    assert_alike(&scene.path("ours/from"), &scene.path("from"), |_| {});
}

#[test]
fn device_nodes_are_left_out() {
    if !is_root() {
        return;
    }
    let scene = Scene::new();
    std::fs::create_dir_all(scene.path("from")).unwrap();
    std::fs::create_dir(scene.path("to")).unwrap();
    scene.write("from/file", b"a file");
    for (name, kind) in [("block", FileType::BlockDevice), ("character", FileType::CharacterDevice)]
    {
        let device = rustix::fs::makedev(1, 7);
        let made =
            rustix::fs::mknodat(CWD, scene.path("from").join(name), kind, Mode::RUSR, device);
        if made.is_err() {
            return crate::common::skip("no device nodes can be made here");
        }
    }
    let ended = scene.run("-R -p from to").code(0);
    ended.says(&["left out", "device", "and 1 more"]);
    let names: Vec<_> = look(&scene.path("to/from")).into_keys().collect();
    assert_eq!(names, [Path::new(""), Path::new("file")]);
}

/// One of several directories that is full is left out, and the other is complete.
#[test]
fn a_full_disk_of_several_is_left_out() {
    let scene = Scene::new();
    std::fs::create_dir_all(scene.path("from/sub")).unwrap();
    std::fs::create_dir(scene.path("to")).unwrap();
    for file in 0..40 {
        let path = scene.path(format!("from/sub/{file}"));
        std::fs::write(path, pattern(file, 300_000)).unwrap();
    }
    std::os::unix::fs::symlink("sub", scene.path("from/link")).unwrap();
    let Some(_disk) = SmallDisk::new(&scene, "small", 8) else { return };
    for options in ["", "--ignore-space"] {
        let ended = scene.run(&format!("-R -p {options} from to --also small"));
        ended.code(5).says(&["left out", "small"]);
        assert_alike(&scene.path("to/from"), &scene.path("from"), |_| {});
        assert!(!scene.has("small/from/link"), "nothing more is made where it is full");
        std::fs::remove_dir_all(scene.path("to/from")).unwrap();
        let _ = std::fs::remove_dir_all(scene.path("small/from"));
    }
}

/// A disk that is full ends the copy, and more room lets it go on.
#[test]
fn a_full_disk_stops_it_and_it_is_resumed() {
    let scene = Scene::new();
    std::fs::create_dir_all(scene.path("from/sub")).unwrap();
    for file in 0..40 {
        let path = scene.path(format!("from/sub/{file}"));
        std::fs::write(path, pattern(file, 300_000)).unwrap();
    }
    let Some(_disk) = SmallDisk::new(&scene, "to", 8) else { return };
    scene.run("-R -p from to").code(3).says(&["not enough space", "--ignore-space"]);
    scene.run("-R -p --ignore-space from to").code(5).says(&["to go on from here"]);
    for (name, seen) in look(&scene.path("to/from")) {
        if seen.kind == "file" {
            let source = std::fs::read(scene.path("from").join(&name)).unwrap_or_default();
            assert!(source == seen.content, "{name:?} is not whole");
        }
    }
    let more =
        Command::new("mount").args(["-o", "remount,size=64m"]).arg(scene.path("to")).status();
    assert!(more.is_ok_and(|status| status.success()));
    scene.run("-R -p --resume from to").code(0);
    assert_alike(&scene.path("to/from"), &scene.path("from"), |_| {});
    assert_eq!(scene.path("to/from").metadata().unwrap().mode() & 0o700, 0o700);
}

/// A folder that is mounted in itself lies in itself, and is left out there.
#[test]
fn a_folder_that_lies_in_itself_is_left_out() {
    if !possible(&[]) {
        return;
    }
    let scene = Scene::new();
    std::fs::create_dir_all(scene.path("from/sub")).unwrap();
    std::fs::create_dir(scene.path("to")).unwrap();
    scene.write("from/file", b"here");
    let from = scene.path("from");
    let _mount = Mount::new(&scene, "from/sub/loop", &["--bind", from.to_str().unwrap()]);
    scene.run("-R from to").code(1).says(&["'from/sub/loop': it is a folder that it lies in"]);
    assert_eq!(scene.read("to/from/file"), b"here");
    assert!(!scene.has("to/from/sub/loop/file"));
}
