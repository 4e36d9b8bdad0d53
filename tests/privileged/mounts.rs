//! File systems in the way: devices in use, copies onto the disk that is being
//! read, and disks that are too small.

use crate::common::{Scene, assert_same};
use crate::devices::{Loop, Mount, possible, tool};

/// A loop device with an ext4 file system.
fn formatted(scene: &Scene) -> Loop {
    let image = scene.path("image");
    std::fs::File::create(&image).unwrap().set_len(16 << 20).unwrap();
    tool("mkfs.ext4", &["-q", "-F", "-m", "0", image.to_str().unwrap()]);
    Loop::new(&image, 512)
}

#[test]
fn a_mounted_device_is_refused() {
    if !possible(&["mkfs.ext4"]) {
        return;
    }
    let scene = Scene::new();
    scene.source("source", 5000);
    let device = formatted(&scene);
    let mount = Mount::new(&scene, "mounted", &[&device.path]);
    let line = format!("--to-device source {}", device.path);
    scene.run(&line).code(3).says(&["in use: mounted at", "/mounted'"]);
    drop(mount);
    scene.run(&line).code(0);
}

#[test]
fn a_mounted_device_may_be_read_but_not_onto_itself() {
    if !possible(&["mkfs.ext4"]) {
        return;
    }
    let scene = Scene::new();
    let device = formatted(&scene);
    let mount = Mount::new(&scene, "mounted", &[&device.path]);
    let line = |options: &str, to: &str| format!("{options} -r 0..4096 {} {to}", device.path);
    let refused = scene.run(&line("", "mounted/copy")).code(3);
    refused.says(&["lies on the device being read", "--allow-same-device"]);
    assert_eq!(std::fs::read_dir(&mount.folder).unwrap().count(), 1, "only lost+found");
    std::fs::write(mount.folder.join("file"), [1; 8192]).unwrap();
    scene.run(&line("--in-place", "mounted/file")).code(3).says(&["lies on the device"]);
    scene.run(&line("", "elsewhere")).code(0);
    scene.run(&line("--allow-same-device", "mounted/copy")).code(0);
}

/// btrfs shows a number of its own instead of that of its device, another one
/// for each of its subvolumes.
#[test]
fn a_device_may_not_be_read_onto_itself_by_way_of_btrfs() {
    if !possible(&["mkfs.btrfs", "btrfs"]) {
        return;
    }
    let scene = Scene::new();
    let image = scene.path("image");
    std::fs::File::create(&image).unwrap().set_len(128 << 20).unwrap();
    tool("mkfs.btrfs", &["-q", image.to_str().unwrap()]);
    let device = Loop::new(&image, 512);
    let mount = Mount::new(&scene, "mounted", &[&device.path]);
    let volume = mount.folder.join("volume");
    tool("btrfs", &["-q", "subvolume", "create", volume.to_str().unwrap()]);
    for to in ["mounted/copy", "mounted/volume/copy"] {
        let line = format!("-r 0..4096 {} {to}", device.path);
        scene.run(&line).code(3).says(&["lies on the device being read"]);
        assert!(!scene.has(to));
        scene.run(&format!("--allow-same-device {line}")).code(0);
    }
    scene.run(&format!("-r 0..4096 {} elsewhere", device.path)).code(0);
}

/// A volume of the device mapper has a number of its own, too.
#[test]
fn a_device_may_not_be_read_onto_itself_by_way_of_a_mapped_device() {
    if !possible(&["mkfs.ext4", "dmsetup"]) {
        return;
    }
    let scene = Scene::new();
    let device = formatted(&scene);
    let name = format!("pcopy-test-{}", std::process::id());
    let table = format!("0 32768 linear {} 0", device.path);
    let mapped = std::process::Command::new("dmsetup")
        .args(["create", &name, "--table", &table])
        .output()
        .expect("dmsetup is there");
    if !mapped.status.success() {
        return crate::common::skip("devices cannot be mapped here");
    }
    let checked = std::panic::catch_unwind(|| {
        let _mount = Mount::new(&scene, "mounted", &[&format!("/dev/mapper/{name}")]);
        let line = format!("-r 0..4096 {} mounted/copy", device.path);
        scene.run(&line).code(3).says(&["lies on the device being read"]);
    });
    tool("dmsetup", &["remove", &name]);
    checked.expect("all checks held");
}

#[test]
fn the_device_that_holds_the_source_file_is_no_destination() {
    if !possible(&["mkfs.ext4"]) {
        return;
    }
    let scene = Scene::new();
    let device = formatted(&scene);
    let mount = Mount::new(&scene, "mounted", &[&device.path]);
    std::fs::write(mount.folder.join("file"), [1; 8192]).unwrap();
    let line = format!("--to-device mounted/file {}", device.path);
    scene.run(&line).code(3);
    assert_eq!(std::fs::read(mount.folder.join("file")).unwrap(), [1; 8192]);
}

#[test]
fn a_disk_that_is_too_small_is_refused_before_anything_is_created() {
    if !possible(&[]) {
        return;
    }
    let scene = Scene::new();
    let bytes = scene.source("source", 2 << 20);
    let mount = Mount::new(&scene, "small", &["-t", "tmpfs", "-o", "size=1m", "none"]);
    scene.run("source small/copy").code(3).says(&["not enough space", "2097152 bytes needed"]);
    assert_eq!(std::fs::read_dir(&mount.folder).unwrap().count(), 0);
    scene.run("-r ..512KiB source small/copy").code(0);
    assert_same(&scene.read("small/copy"), &bytes[..512 << 10], "what fits");
}

/// Room for a file is counted by its data: holes need none.
#[test]
fn a_file_of_holes_fits_on_a_small_disk() {
    if !possible(&[]) {
        return;
    }
    let scene = Scene::new();
    std::fs::File::create(scene.path("source")).unwrap().set_len(1 << 30).unwrap();
    let _mount = Mount::new(&scene, "small", &["-t", "tmpfs", "-o", "size=1m", "none"]);
    scene.run("-t 4 source small/copy").code(0).says(&["kept as holes"]);
    assert_eq!(scene.path("small/copy").metadata().unwrap().len(), 1 << 30);
}

/// A refusal leaves a file in place as it was, its length too.
#[test]
fn a_file_that_cannot_grow_keeps_its_length() {
    if !possible(&[]) {
        return;
    }
    let scene = Scene::new();
    scene.source("source", 3 << 20);
    let _mount = Mount::new(&scene, "small", &["-t", "tmpfs", "-o", "size=2m", "none"]);
    let check = |len: u64, texts: &[&str]| {
        let file = std::fs::File::create(scene.path("small/image")).expect("room for a name");
        file.set_len(len).expect("holes need no room");
        scene.run("--in-place --preallocate full source small/image").code(3).says(texts);
        assert_eq!(file.metadata().expect("it is open").len(), len);
    };
    // Seen before anything is touched, and seen when the room is reserved.
    check(0, &["not enough space", "3145728 bytes needed"]);
    check(2 << 20, &["cannot reserve 3145728 bytes"]);
}

/// What does not fit is refused before what an earlier run left is touched;
/// its own room counts, because it will be given back.
#[test]
fn a_restart_discards_nothing_before_it_is_known_to_fit() {
    if !possible(&[]) {
        return;
    }
    let scene = Scene::new();
    scene.source("source", 3 << 20);
    let _mount = Mount::new(&scene, "small", &["-t", "tmpfs", "-o", "size=5m", "none"]);
    scene.write("small/copy.pcopy-part", &[1; 2 << 20]);
    scene.write("small/full", &[1; 1 << 20]);
    scene.run("--restart source small/copy").code(0);
    scene.write("small/other.pcopy-part", b"some of it");
    scene.run("--restart source small/other").code(3).says(&["not enough space"]);
    assert!(scene.has("small/other.pcopy-part"));
}

/// With what an earlier run left, the last chance to refuse is gone, too.
#[test]
fn what_is_refused_after_a_restart_is_no_refusal() {
    if !possible(&["strace"]) {
        return;
    }
    let scene = Scene::new();
    scene.source("source", 512 << 10);
    let _mount = Mount::new(&scene, "small", &["-t", "tmpfs", "-o", "size=2m", "none"]);
    scene.write("small/copy.pcopy-part", b"some of it");
    // The room was there when it was asked for, and is gone when it is needed.
    let fault = "inject=fallocate:error=ENOSPC";
    let strace = ["-f", "-qqq", "-o", "/dev/null", "-e", fault];
    let mut run = scene.tool("strace", strace);
    let line = "--restart --preallocate full --json source small/copy";
    run.command.arg(crate::common::program()).args(line.split(' '));
    let ended = run.run().code(5).says(&["is discarded", "cannot reserve 524288 bytes"]);
    assert_eq!(ended.report()["outcome"], "failed");
    assert!(!scene.has("small/copy.pcopy-part") && !scene.has("small/copy"));
}

/// A disk that fills up in place: exit 5 with the offset, never success.
#[test]
fn a_disk_that_fills_up_stops_the_job() {
    if !possible(&[]) {
        return;
    }
    let scene = Scene::new();
    scene.source("source", 2 << 20);
    let _mount = Mount::new(&scene, "small", &["-t", "tmpfs", "-o", "size=1m", "none"]);
    // The length is there already, the room is not.
    std::fs::File::create(scene.path("small/image")).unwrap().set_len(2 << 20).unwrap();
    let ended = scene.run("--in-place --json source small/image").code(5);
    let ended = ended.says(&["cannot write bytes", "No space left on device"]);
    assert_eq!(ended.report()["outcome"], "failed");
}

#[test]
fn a_read_only_file_system_is_refused() {
    if !possible(&[]) {
        return;
    }
    let scene = Scene::new();
    scene.source("source", 100);
    let _mount = Mount::new(&scene, "sealed", &["-t", "tmpfs", "-o", "ro", "none"]);
    scene.run("source sealed/copy").code(3).says(&["sealed", "Read-only file system"]);
}

/// The same file through a bind mount is the same file.
#[test]
fn the_source_itself_through_a_bind_mount() {
    if !possible(&[]) {
        return;
    }
    let scene = Scene::new();
    std::fs::create_dir(scene.path("folder")).unwrap();
    let bytes = scene.source("folder/source", 5000);
    let folder = scene.path("folder");
    let _mount = Mount::new(&scene, "bound", &["--bind", folder.to_str().unwrap()]);
    scene.run("--force folder/source bound/source").code(3).says(&["same file"]);
    scene.run("--in-place folder/source bound/source").code(3).says(&["same file"]);
    assert_same(&scene.read("folder/source"), &bytes, "the source");
}
