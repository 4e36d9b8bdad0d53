//! No space, no quota, no writing: the right code and message, nothing left
//! but part and map, and the copy goes on when there is room.

use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

use rustix::fs::{FallocateFlags, fallocate};
use rustix::process::Signal;

use crate::common::{Ended, Running, Scene, assert_same, has_tools, is_root};
use crate::disks::{Mounted, tool};

const LEN: usize = 8 << 20;
const SLOW: &str =
    "-t 2 --io-size 64KiB --stripe-size 256KiB --limit-rate 2MiB --checkpoint-every 0";

/// Names in `folder` that a run may not leave.
fn litter(folder: &Path, expected: &[&str]) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("it can be listed");
    let names = entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
    let ours = |name: &String| !expected.contains(&name.as_str()) && name != "lost+found";
    names.filter(ours).collect()
}

/// Fills what is left of the file system: at once, as far as it lets itself be
/// reserved, so that it is full before the copy is through.
fn fill(folder: &Path) {
    let mut filler = std::fs::File::create(folder.join("filler")).expect("a filler");
    let (mut len, mut step) = (0, 256 << 20);
    while step >= 64 << 10 {
        match fallocate(&filler, FallocateFlags::empty(), len, step) {
            Ok(()) => len += step,
            Err(_) => step /= 2,
        }
    }
    filler.seek(SeekFrom::End(0)).expect("a file has an end");
    let block = vec![7; 64 << 10];
    // Until it is full; the remainder below one block stays free.
    while filler.write_all(&block).is_ok() {}
    let _ = filler.sync_all();
}

/// Fills it while `running` stands still: what gives back room to record what it did must
/// not give it to whatever fills the disk.
fn fill_under(running: &Running, folder: &Path) {
    running.stand_still();
    fill(folder);
    running.signal(Signal::CONT);
}

/// Takes away what fills it. Emptied first: XFS frees what was removed later.
fn make_room(folder: &Path) {
    let filler = folder.join("filler");
    std::fs::write(&filler, b"").expect("the filler is emptied");
    std::fs::remove_file(filler).expect("the filler goes");
}

/// On a file system with less room than the copy needs: refused before the first byte.
fn early(scene: &Scene, disk: &Mounted) {
    let copy = disk.folder().join("copy");
    let ended = scene.run(&format!("huge {}", copy.display())).code(3);
    assert!(ended.stderr.contains("space"), "{}", ended.stderr);
    assert_eq!(litter(disk.folder(), &[]), Vec::<String>::new());
}

/// Somebody else takes the room while the copy runs, which has reserved none.
fn late(scene: &Scene, disk: &Mounted, bytes: &[u8]) {
    let copy = disk.folder().join("copy");
    let line = format!("{SLOW} --preallocate off --progress json source {}", copy.display());
    let mut running = scene.pcopy(line.split_whitespace()).start();
    running.wait_until_recorded(1);
    fill_under(&running, disk.folder());
    let ended = running.end();
    stopped(&ended, &["No space left on device"]);
    assert!(!copy.exists());
    let may = ["filler", "copy.pcopy-part", "copy.pcopy-map"];
    assert_eq!(litter(disk.folder(), &may), Vec::<String>::new());
    make_room(disk.folder());
    go_on(scene, disk.folder(), bytes);
}

/// The same before there is a map: with the room for the first one set aside,
/// what was copied is recorded even so.
fn before_the_first_map(scene: &Scene, disk: &Mounted, bytes: &[u8], options: &str) {
    let copy = disk.folder().join("copy");
    if options == "--in-place" {
        std::fs::write(&copy, b"old").expect("room for three bytes");
    }
    let job = format!("{options} source {}", copy.display());
    let line = format!(
        "-t 2 --io-size 64KiB --limit-rate 1MiB --checkpoint-every 3600 --preallocate off \
         --progress json {job}"
    );
    let mut running = scene.pcopy(line.split_whitespace()).start();
    running.wait_until_copying();
    fill_under(&running, disk.folder());
    stopped(&running.end(), &["No space left on device"]);
    make_room(disk.folder());
    let report = scene.run(&format!("--json --resume {job}")).code(0).report();
    assert!(report["bytes"]["resumed"].as_u64() > Some(0), "{report}");
    assert_same(&std::fs::read(&copy).expect("it is there"), bytes, "resumed");
    assert_eq!(litter(disk.folder(), &["copy"]), Vec::<String>::new());
    std::fs::remove_file(copy).expect("room for the next");
}

/// A disk that is full in the middle of the second of several segments: what is on
/// the disk is kept, no segment has its name, and the copy goes on.
#[test]
fn a_disk_that_fills_up_under_a_segment() {
    if !is_root() {
        return;
    }
    let (scene, bytes) = scene();
    scene.source("huge", 40 << 20);
    let disk = Mounted::in_memory(scene.folder(), 32);
    let copy = disk.folder().join("copy");
    let job = format!("--split 3MiB source {}", copy.display());
    let early = scene.run(&format!("--split 3MiB huge {}", copy.display())).code(3);
    early.says(&["space", "--ignore-space"]);
    assert_eq!(litter(disk.folder(), &[]), Vec::<String>::new());
    let line = format!("{SLOW} --preallocate off --progress json {job}");
    let mut running = scene.pcopy(line.split_whitespace()).start();
    running.wait_until_copied(4 << 20);
    fill_under(&running, disk.folder());
    stopped(&running.end(), &["No space left on device"]);
    let parts = ["copy.001", "copy.002", "copy.003"];
    let mut may: Vec<String> = parts.iter().map(|name| format!("{name}.pcopy-part")).collect();
    may.extend(["filler".to_owned(), "copy.001.pcopy-map".to_owned()]);
    let may: Vec<&str> = may.iter().map(String::as_str).collect();
    assert_eq!(litter(disk.folder(), &may), Vec::<String>::new());
    make_room(disk.folder());
    let report = scene.run(&format!("--json --resume {job}")).code(0).report();
    assert!(report["bytes"]["resumed"].as_u64() > Some(0), "{report}");
    let read = |name: &str| std::fs::read(disk.folder().join(name)).expect("it is there");
    let found: Vec<u8> = parts.iter().flat_map(|name| read(name)).collect();
    assert_same(&found, &bytes, "resumed");
    assert_eq!(litter(disk.folder(), &parts), Vec::<String>::new());
}

fn stopped(ended: &Ended, reasons: &[&str]) {
    assert_eq!(ended.status.code(), Some(5), "{}", ended.stderr);
    let said = reasons.iter().any(|reason| ended.stderr.contains(reason));
    assert!(said, "{reasons:?}: {}", ended.stderr);
    assert!(ended.stderr.contains("--resume"), "{}", ended.stderr);
}

fn go_on(scene: &Scene, folder: &Path, bytes: &[u8]) {
    let copy = folder.join("copy");
    let report = scene.run(&format!("--json --resume source {}", copy.display())).code(0).report();
    assert!(report["bytes"]["resumed"].as_u64() > Some(0), "{report}");
    assert_same(&std::fs::read(&copy).expect("it is there"), bytes, "resumed");
    assert_eq!(litter(folder, &["copy"]), Vec::<String>::new());
    std::fs::remove_file(copy).expect("room for the next");
}

fn scene() -> (Scene, Vec<u8>) {
    let scene = Scene::new();
    // Numbers that no file system can store in less.
    let bytes = scene.source("source", LEN);
    (scene, bytes)
}

#[test]
fn no_space_is_refused_early_and_reported_late() {
    if !is_root() || !has_tools(&["losetup", "mkfs.ext4", "mkfs.xfs", "mkfs.btrfs"]) {
        return;
    }
    let (scene, bytes) = scene();
    scene.source("huge", 130 << 20);
    let kinds = [("ext4", 64), ("xfs", 320), ("btrfs", 128), ("tmpfs", 32)];
    for (kind, mib) in kinds {
        let disk = match kind {
            "tmpfs" => Mounted::in_memory(scene.folder(), mib),
            _ => Mounted::new(scene.folder(), kind, mib),
        };
        // The smallest XFS there can be has room for more than this test may use.
        if kind != "xfs" {
            early(&scene, &disk);
        }
        late(&scene, &disk, &bytes);
        for options in ["", "--in-place"] {
            before_the_first_map(&scene, &disk, &bytes, options);
        }
    }
    println!(
        "measured: no space on ext4, XFS, btrfs and tmpfs: refused early, reported late, resumed"
    );
}

#[test]
fn a_quota_is_reported_and_the_copy_goes_on() {
    if !is_root() || !has_tools(&["losetup", "mkfs.btrfs", "btrfs"]) {
        return;
    }
    let (scene, bytes) = scene();
    let disk = Mounted::new(scene.folder(), "btrfs", 256);
    let volume = disk.folder().join("volume");
    let volume = volume.to_str().expect("a plain name");
    tool("btrfs", ["quota", "enable", disk.folder().to_str().unwrap()]);
    tool("btrfs", ["subvolume", "create", volume]);
    tool("btrfs", ["qgroup", "limit", "6M", volume]);
    let line = format!("{SLOW} source {volume}/copy");
    let ended = scene.run(&line);
    stopped(&ended, &["quota exceeded"]);
    assert_eq!(
        litter(Path::new(volume), &["copy.pcopy-part", "copy.pcopy-map"]),
        Vec::<String>::new()
    );
    tool("btrfs", ["qgroup", "limit", "none", volume]);
    go_on(&scene, Path::new(volume), &bytes);
    println!("measured: quota on btrfs: reported, resumed");
}

#[test]
fn a_read_only_file_system_is_refused() {
    if !is_root() || !has_tools(&["losetup", "mkfs.ext4"]) {
        return;
    }
    let (scene, bytes) = scene();
    let disk = Mounted::new(scene.folder(), "ext4", 64);
    disk.remount("ro");
    let line = format!("source {}/copy", disk.folder().display());
    scene.run(&line).code(3).says(&["Read-only file system"]);
    disk.remount("rw");
    assert_eq!(litter(disk.folder(), &[]), Vec::<String>::new());
    scene.run(&line).code(0);
    assert_same(&std::fs::read(disk.folder().join("copy")).unwrap(), &bytes, "the copy");
}
