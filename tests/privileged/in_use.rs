//! Who else uses what is read or was written: one line each, and no refusal.

use std::path::Path;

use crate::common::{Ended, Scene, wait_until};
use crate::devices::{Loop, Mount, possible, tool};

const MIB: u64 = 1 << 20;

/// A loop device with an ext4 file system.
fn formatted(scene: &Scene) -> Loop {
    let image = scene.path("image");
    std::fs::File::create(&image).and_then(|file| file.set_len(16 << 20)).expect("a file");
    tool("mkfs.ext4", &["-q", "-F", image.to_str().expect("plain")]);
    Loop::new(&image, 512)
}

/// How often the text is said.
fn count(ended: &Ended, text: &str) -> usize {
    format!("{}{}", ended.stderr, ended.out()).matches(text).count()
}

#[test]
fn the_image_of_what_is_mounted_for_writing_says_so_once() {
    if !possible(&["mkfs.ext4"]) {
        return;
    }
    let scene = Scene::new();
    let device = formatted(&scene);
    let lines = [
        format!("{} copy", device.path),
        format!("--also second {} third", device.path),
        "image fourth".to_owned(),
        format!("--json {} fifth", device.path),
        format!("batch list.csv --source {} --into d", device.path),
        format!("-n {} sixth", device.path),
    ];
    scene.write("list.csv", b"name,start,len\na,0,4096\nb,4096,4096\n");
    for line in &lines {
        assert_eq!(count(&scene.run(line).code(0), "is in use"), 0, "{line}: not mounted");
    }
    tool(
        "sh",
        &[
            "-c",
            &format!("cd {} && rm -rf copy second third fourth fifth d", scene.folder().display()),
        ],
    );
    let mount = Mount::new(&scene, "m", &[&device.path]);
    for line in &lines {
        let ended = scene.run(line).code(0);

        assert_eq!(count(&ended, "is in use (mounted at"), 1, "{line}: {}", ended.stderr);
    }
    tool("mount", &["-o", "remount,ro", mount.folder.to_str().expect("plain")]);
    let ended = scene.run(&format!("-f {} copy", device.path)).code(0);
    assert_eq!(count(&ended, "is in use"), 0, "mounted for reading: {}", ended.stderr);
}

/// A disk with partitions at 1..5 MiB and 8..14 MiB, the second of which is mounted.
#[test]
fn a_partition_that_is_not_read_is_no_matter() {
    if !possible(&["sfdisk", "partx", "mkfs.ext4"]) {
        return;
    }
    let scene = Scene::new();
    let device = partitioned(&scene, "start=2048, size=8192\nstart=16384, size=12288\n");
    let second = format!("{}p2", device.path);
    tool("mkfs.ext4", &["-q", &second]);
    let _mount = Mount::new(&scene, "m", &[&second]);
    for (range, expected) in
        [("..5MiB", 0), ("7MiB..8MiB", 0), ("..8MiB+1", 1), ("13MiB..", 1), ("14MiB..", 0)]
    {
        let range = range.replace("..8MiB+1", "..8388609");
        let ended = scene.run(&format!("-f -r {range} {} copy", device.path)).code(0);
        assert_eq!(count(&ended, "is in use (mounted at"), expected, "{range}: {}", ended.stderr);
    }
    let ended = scene.run(&format!("{}p1 first", device.path)).code(0);
    assert_eq!(count(&ended, "in use"), 0, "the other partition: {}", ended.stderr);
}

fn partitioned(scene: &Scene, table: &str) -> Loop {
    let disk = scene.path("disk");
    std::fs::File::create(&disk).and_then(|file| file.set_len(16 * MIB)).expect("a file");
    write_table(&disk, &format!("label: dos\n{table}"));
    let device = Loop::with(&disk, &["--partscan"]);
    // Not every kernel reads partition tables.
    let _ = std::process::Command::new("partx").args(["--add", &device.path]).output();
    let first = format!("{}p1", device.path);
    wait_until("the partitions are there", || Path::new(&first).exists());
    device
}

fn write_table(file: &Path, table: &str) {
    let script = format!("printf '{table}' | sfdisk -q \"$0\"");
    tool("sh", &["-c", &script, file.to_str().expect("plain")]);
}

#[test]
fn a_source_that_is_locked_or_claimed_says_so() {
    if !possible(&[]) {
        return;
    }
    let scene = Scene::new();
    scene.source("source", 3 << 20);
    let file =
        std::fs::File::options().read(true).write(true).open(scene.path("source")).expect("a file");
    // A lock as QEMU has, on bytes from 100 on.
    let locked =
        rustix::fs::fcntl_lock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive);
    locked.expect("it can be locked");
    let ended = scene.run("source copy").code(0);
    assert_eq!(count(&ended, "'source' is in use (process"), 1, "{}", ended.stderr);
    drop(file);
    let ended = scene.run("-f source copy").code(0);
    assert_eq!(count(&ended, "in use"), 0, "{}", ended.stderr);
    // Somebody who has the device for himself, as a volume manager does.
    let device = Loop::new(&scene.path("source"), 512);
    let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::EXCL;
    let claim = rustix::fs::open(&device.path, flags, rustix::fs::Mode::empty()).expect("claimed");
    let ended = scene.run(&format!("{} second", device.path)).code(0);
    assert_eq!(count(&ended, "is in use (another program uses it as"), 1, "{}", ended.stderr);
    drop(claim);
}

/// The kernel is asked to read the new table; where it does not, the message says so.
#[test]
fn new_partitions_are_known_or_said_not_to_be() {
    if !possible(&["sfdisk", "partx"]) {
        return;
    }
    let size = |device: &Loop| {
        let name = device.path.trim_start_matches("/dev/").to_owned() + "p1";
        let sizes = std::fs::read_to_string("/proc/partitions").expect("a table");
        sizes.lines().find_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            (fields.last() == Some(&&*name)).then(|| fields[2].to_owned())
        })
    };
    let scene = Scene::new();
    let device = partitioned(&scene, "size=2MiB\n");
    assert_eq!(size(&device).as_deref(), Some("2048"));
    std::fs::File::create(scene.path("new"))
        .and_then(|file| file.set_len(16 * MIB))
        .expect("a file");
    write_table(&scene.path("new"), "label: dos\nsize=7MiB\n");
    scene.source("second", 16 << 20);
    let second = Loop::new(&scene.path("second"), 512);
    for also in ["", &format!("--also {}", second.path)] {
        let line = format!("--to-device {also} new {}", device.path);
        let ended = scene.run(&line).code(0);
        let is_known = size(&device).as_deref() == Some("7168");
        assert_eq!(count(&ended, "partprobe"), usize::from(!is_known), "{also}: {}", ended.stderr);
        // As partprobe does, for the next round.
        let _ = std::process::Command::new("partx").args(["--update", &device.path]).output();
    }
    // What is written elsewhere is not a partition table.
    scene.source("part", 1 << 20);
    let line = format!("--to-device --map map --dest-offset 4MiB part {}", device.path);
    let ended = scene.run(&line).code(0);
    assert_eq!(count(&ended, "partprobe"), 0, "{}", ended.stderr);
}

/// In use, the partitions stay as they were, and the table is written even so.
#[test]
fn partitions_that_are_in_use_keep_the_device_from_being_written() {
    if !possible(&["sfdisk", "partx", "mkfs.ext4"]) {
        return;
    }
    let scene = Scene::new();
    let device = partitioned(&scene, "size=8MiB\n");
    let first = format!("{}p1", device.path);
    tool("mkfs.ext4", &["-q", &first]);
    let _mount = Mount::new(&scene, "m", &[&first]);
    scene.source("new", 1 << 20);
    scene.run(&format!("--to-device --map map new {}", device.path)).code(3).says(&["in use"]);
}

/// A disk with a table at both ends, on a device of another size.
#[test]
fn the_second_partition_table_of_another_size_is_told() {
    if !possible(&["sfdisk"]) {
        return;
    }
    for sector in [512, 4096] {
        let scene = Scene::new();
        let disk = |name: &str, mib: u64| {
            let path = scene.path(name);
            std::fs::File::create(&path).and_then(|file| file.set_len(mib * MIB)).expect("a file");
            path
        };
        let source = disk("source", 16);
        {
            let device = Loop::new(&source, sector);
            write_table(Path::new(&device.path), "label: gpt\nsize=1MiB\n");
        }
        let check = |name: &str, mib: u64, old: bool, expected: &str| {
            let path = disk(name, mib);
            let device = Loop::new(&path, sector);
            if old {
                write_table(Path::new(&device.path), "label: gpt\nsize=2MiB\n");
            }
            let line = format!("--to-device --map map {name}.source {}", device.path);
            let ended = scene.run(&line).code(0);
            let said =
                count(&ended, if expected.is_empty() { "partition table" } else { expected });
            assert_eq!(
                said,
                usize::from(!expected.is_empty()),
                "{name}, {sector}: {}",
                ended.stderr
            );
        };
        let source_is = |name: &str, of: &str| {
            std::fs::copy(scene.path(of), scene.path(format!("{name}.source"))).expect("a copy");
        };
        source_is("same", "source");
        check("same", 16, true, "");
        source_is("larger", "source");
        check("larger", 20, false, "second partition table is not at the end");
        source_is("other", "source");
        check("other", 20, true, "second partition table is not at the end");
        scene.source("plain", 1 << 20);
        source_is("stale", "plain");
        check("stale", 20, true, "still has a partition table (GPT) from before");
        source_is("clean", "plain");
        check("clean", 20, false, "");
    }
}
