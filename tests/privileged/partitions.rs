//! One disk under several names: partitions, and other nodes of a device.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::common::{Scene, assert_same, wait_until};
use crate::devices::{Loop, possible, tool};

const MIB: usize = 1 << 20;

/// A disk with partitions at 1..3 MiB and 4..6 MiB.
fn partitioned(scene: &Scene) -> Loop {
    scene.source("disk", 8 * MIB);
    let disk = scene.path("disk");
    let table = "label: dos\nstart=2048, size=4096\nstart=8192, size=4096\n";
    scene.write("table", table.as_bytes());
    let script = "sfdisk --quiet \"$0\" < \"$1\"";
    let table = scene.path("table");
    tool("sh", &["-c", script, disk.to_str().unwrap(), table.to_str().unwrap()]);
    let device = Loop::new(&disk, 512);
    // Not left to the kernel: not every kernel reads partition tables.
    tool("partx", &["--add", &device.path]);
    let last = format!("{}p2", device.path);
    wait_until("the partitions are there", || Path::new(&last).exists());
    device
}

fn partitions_possible() -> bool {
    possible(&["sfdisk", "partx"])
}

#[test]
fn a_partition_is_copied_like_a_disk() {
    if !partitions_possible() {
        return;
    }
    let scene = Scene::new();
    let device = partitioned(&scene);
    let disk = scene.read("disk");
    scene.run(&format!("-t 4 -r 5..1000005 {}p1 copy", device.path)).code(0);
    assert_same(&scene.read("copy"), &disk[MIB + 5..MIB + 1_000_005], "of the partition");
}

#[test]
fn a_partition_and_its_disk_overlap() {
    if !partitions_possible() {
        return;
    }
    let scene = Scene::new();
    let device = partitioned(&scene);
    let path = &device.path;
    let check = |options: &str, from: &str, to: &str| {
        let line = format!("--to-device -t 2 {options} {path}{from} {path}{to}");
        scene.run(&line).code(3).says(&["overlap", "same device"]);
    };
    // Byte 0 of the first partition is byte 1 MiB of the disk.
    check("-r 1MiB+10", "", "p1");
    check("-r 1048000..1048577", "", "p1");
    check("-r 0+10 --dest-offset 1048580", "p1", "");
    check("-r 0+10", "p1", "p1");
}

#[test]
fn two_partitions_of_one_disk_are_apart() {
    if !partitions_possible() {
        return;
    }
    let scene = Scene::new();
    let device = partitioned(&scene);
    let path = &device.path;
    let mut disk = scene.read("disk");
    scene.run(&format!("--to-device -t 4 {path}p1 {path}p2")).code(0);
    tool("blockdev", &["--flushbufs", &format!("{path}p2")]);
    device.flush();
    disk.copy_within(MIB..3 * MIB, 4 * MIB);
    assert_same(&scene.read("disk"), &disk, "the disk");
}

/// Another node with the same numbers is the same device.
#[test]
fn a_device_under_another_name() {
    if !possible(&["mknod", "sfdisk", "partx"]) {
        return;
    }
    let scene = Scene::new();
    let device = partitioned(&scene);
    let alias = |of: &str, name: &str| {
        let numbers = Path::new(of).metadata().unwrap().rdev();
        let (major, minor) = (rustix::fs::major(numbers), rustix::fs::minor(numbers));
        let node = scene.path(name);
        let node = node.to_str().unwrap();
        tool("mknod", &[node, "b", &major.to_string(), &minor.to_string()]);
    };
    alias(&device.path, "disk-alias");
    alias(&format!("{}p1", device.path), "part-alias");
    let disk = scene.read("disk");
    if scene.run("-n -r 0..1 disk-alias copy").status.code() != Some(0) {
        return crate::common::skip("nodes on this file system are not devices");
    }
    let check = |line: &str| {
        let line = line.replace("DISK", &device.path);
        scene.run(&line).code(3).says(&["overlap", "same device"]);
    };
    check("--to-device -r 0+512 disk-alias DISK");
    check("--to-device -r 0+512 DISK disk-alias");
    check("--to-device -r 0+512 part-alias DISKp1");
    check("--to-device -r 1MiB+512 disk-alias part-alias");
    device.flush();
    assert_same(&scene.read("disk"), &disk, "the disk");
}
