//! Copies from and to block devices with sectors of 512 and of 4096 bytes.

use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use positioned_io::WriteAt;

use crate::common::{Scene, assert_same, pattern};
use crate::devices::{Loop, Mount, possible, tool};

const SIZE: usize = 4 << 20;
const SECTORS: [u32; 2] = [512, 4096];

/// Ranges that begin and end between sectors, at them, and at the ends of the device.
const RANGES: &[(usize, usize)] = &[
    (0, SIZE),
    (0, 0),
    (0, 1),
    (1, 511),
    (511, 2),
    (4095, 2),
    (333, 1_234_567),
    (SIZE - 1, 1),
    (SIZE - 4097, 4097),
    (SIZE, 0),
];

#[test]
fn odd_ranges_from_a_device() {
    if !possible(&[]) {
        return;
    }
    for sector in SECTORS {
        let scene = Scene::new();
        let bytes = scene.source("image", SIZE);
        let device = Loop::new(&scene.path("image"), sector);
        for &(from, len) in RANGES {
            for threads in [1, 4] {
                let path = &device.path;
                let line = format!("--force --json -t {threads} -r {from}+{len} {path} copy");
                let report = scene.run(&line).code(0).report();
                assert_same(&scene.read("copy"), &bytes[from..from + len], &line);
                assert_eq!(report["source"]["kind"], "block-device");
                assert_eq!(report["source"]["logical_sector"], sector);
                assert_eq!(report["source"]["size"], SIZE);
            }
        }
    }
}

/// Invariant I2 on a device: bytes around an odd range stay as they were.
#[test]
fn odd_ranges_to_a_device() {
    if !possible(&[]) {
        return;
    }
    for sector in SECTORS {
        for &(to, len) in RANGES {
            let scene = Scene::new();
            let bytes = scene.source("source", len);
            let mut expected = pattern(2, SIZE);
            scene.write("image", &expected);
            let device = Loop::new(&scene.path("image"), sector);
            let line = format!("--to-device -t 4 --dest-offset {to} source {}", device.path);
            let ended = scene.run(&line).code(0).says(&["loop device on", "4194304 bytes"]);
            let first = ended.stderr.lines().next().unwrap();
            assert!(first.contains(&device.path), "the device is named first: {first}");
            device.flush();
            expected[to..to + len].copy_from_slice(&bytes);
            assert_same(&scene.read("image"), &expected, &line);
            let kind = Path::new(&device.path).metadata().unwrap().file_type();
            assert!(kind.is_block_device(), "a device stays one");
        }
    }
}

/// The first bytes, with the partition table, come last: also where an engine
/// goes around the page cache, or the copy is cut short and resumed.
#[test]
fn the_partition_table_is_written_last() {
    if !possible(&[]) {
        return;
    }
    const HEAD: usize = 1 << 20;
    for engine in ["positioned", "direct", "splice"] {
        let scene = Scene::new();
        let (new, before) = (scene.source("new", SIZE), pattern(2, SIZE));
        scene.write("image", &before);
        let device = Loop::new(&scene.path("image"), 512);
        let line = format!("--to-device -t 2 --engine {engine} --io-size 64KiB new");
        let slow = "--progress json --limit-rate 1MiB";
        let mut running =
            scene.pcopy(format!("{slow} {line} {}", device.path).split_whitespace()).start();
        running.wait_until_copied(2 << 20);
        running.signal(rustix::process::Signal::TERM);
        running.end().died_by(rustix::process::Signal::TERM);
        device.flush();
        let found = scene.read("image");
        assert_same(&found[..HEAD], &before[..HEAD], engine);
        // Each sector is the new one or the old one.
        let sectors = (HEAD..SIZE).step_by(512).map(|at| at..at + 512);
        let (new_ones, old_ones): (Vec<_>, Vec<_>) =
            sectors.partition(|range| found[range.clone()] == new[range.clone()]);
        assert!(!new_ones.is_empty(), "{engine}: nothing is written");
        assert!(
            old_ones.into_iter().all(|range| found[range.clone()] == before[range]),
            "{engine}"
        );

        let report = scene.run(&format!("--json --resume {line} {}", device.path)).code(0).report();
        let resumed = report["bytes"]["resumed"].as_u64().unwrap();
        assert!((1..=(SIZE - HEAD) as u64).contains(&resumed), "{engine}: {report}");
        device.flush();
        assert_same(&scene.read("image"), &new, engine);
    }
}

/// What is not as expected does not get its partition table, and is gone on with.
#[test]
fn a_digest_that_differs_leaves_the_partition_table_alone() {
    if !possible(&[]) {
        return;
    }
    const HEAD: usize = 1 << 20;
    let scene = Scene::new();
    let (new, before) = (scene.source("new", SIZE), pattern(2, SIZE));
    let wrong = "0".repeat(64);
    scene.write("other", &before);
    let other = Loop::new(&scene.path("other"), 512);
    let also = format!("--also {}", other.path);
    for options in ["", "--verify", &also, &format!("--verify {also}")] {
        scene.write("image", &before);
        let device = Loop::new(&scene.path("image"), 512);
        let line = format!("--to-device --expect sha256:{wrong} {options} new {}", device.path);
        scene.run(&line).code(4).says(&["expected"]);
        device.flush();
        let found = scene.read("image");
        assert_same(&found[..HEAD], &before[..HEAD], options);
        assert_same(&found[HEAD..], &new[HEAD..], options);
        if options.contains("also") {
            other.flush();
            assert_same(&scene.read("other")[..HEAD], &before[..HEAD], options);
            scene.run(&format!("--to-device {options} new {}", device.path)).code(0);
            other.flush();
            assert_same(&scene.read("other"), &new, options);
            scene.write("other", &before);
            other.flush();
            continue;
        }
        let line = format!("--to-device --json --resume {options} new {}", device.path);
        let report = scene.run(&line).code(0).report();
        assert_eq!(report["bytes"]["copied"], HEAD, "{options}: {report}");
        device.flush();
        assert_same(&scene.read("image"), &new, options);
    }
}

/// Whatever is to be proved in the end, a run goes on only on the disk that it
/// was on.
#[test]
fn another_disk_under_the_name_is_not_gone_on_with() {
    if !possible(&[]) {
        return;
    }
    for options in ["", "--verify", "--verify --repair"] {
        let scene = Scene::new();
        scene.source("new", SIZE);
        let other = pattern(9, SIZE);
        scene.write("one", &vec![0; SIZE]);
        scene.write("other", &other);
        let device = Loop::new(&scene.path("one"), 512);
        let line = format!("--to-device -t 2 --io-size 64KiB {options} new {}", device.path);
        let slow = format!("--progress json --limit-rate 1MiB {line}");
        let mut running = scene.pcopy(slow.split_whitespace()).start();
        running.wait_until_copied(2 << 20);
        running.signal(rustix::process::Signal::TERM);
        running.end().died_by(rustix::process::Signal::TERM);
        // The same number, and no serial number to tell them apart.
        let path = device.path.clone();
        crate::devices::tool("losetup", &["-d", &path]);
        crate::devices::tool("losetup", &[&path, scene.path("other").to_str().unwrap()]);
        scene.run(&format!("--resume {line}")).code(3).says(&["does not hold", "--restart"]);
        device.flush();
        assert_same(&scene.read("other"), &other, options);
    }
}

/// A source may change behind the copy: what is there is what was read.
#[test]
fn the_first_bytes_are_those_that_were_read_first() {
    if !possible(&[]) {
        return;
    }
    for options in ["--verify", "--verify --repair --digest sha256", "--verify --also"] {
        let scene = Scene::new();
        let old = scene.source("old", SIZE);
        let images = ["one", "two"];
        images.iter().for_each(|name| scene.write(name, &vec![0; SIZE]));
        let from = Loop::new(&scene.path("old"), 512);
        let to = images.map(|name| Loop::new(&scene.path(name), 512));
        let options = match options.strip_suffix("--also") {
            Some(options) => format!("{options} --also {}", to[1].path),
            None => options.to_owned(),
        };
        let line = format!(
            "--to-device -t 1 --io-size 64KiB --limit-rate 2MiB --progress json {options} {} {}",
            from.path, to[0].path
        );
        let mut running = scene.pcopy(line.split_whitespace()).start();
        running.wait_until_copied(2 << 20);
        let mut device = std::fs::OpenOptions::new().write(true).open(&from.path).unwrap();
        device.write_all_at(1000, b"CHANGED").unwrap();
        running.end().code(0);
        to[0].flush();
        assert_same(&scene.read("one"), &old, &options);
    }
}

#[test]
fn where_a_device_was_to_be_no_file_is_made() {
    let scene = Scene::new();
    scene.source("new", 1000);
    scene.run("--to-device new missing").code(3).says(&["missing", "not a block device"]);
    scene.run("--to-device new /dev/missing").code(3).says(&["missing", "does not exist"]);
    assert_eq!(scene.names(), ["new"]);
}

#[test]
fn from_device_to_device() {
    if !possible(&[]) {
        return;
    }
    let scene = Scene::new();
    let bytes = scene.source("from", SIZE);
    let mut expected = pattern(2, SIZE);
    scene.write("to", &expected);
    let from = Loop::new(&scene.path("from"), 512);
    let to = Loop::new(&scene.path("to"), 4096);
    let line =
        format!("--to-device -t 4 -r 777..2000777 --dest-offset 12345 {} {}", from.path, to.path);
    scene.run(&line).code(0);
    to.flush();
    expected[12_345..2_012_345].copy_from_slice(&bytes[777..2_000_777]);
    assert_same(&scene.read("to"), &expected, &line);
}

#[test]
fn the_sector_suffix_counts_sectors_of_the_source() {
    if !possible(&[]) {
        return;
    }
    for sector in SECTORS {
        let scene = Scene::new();
        let bytes = scene.source("image", SIZE);
        let device = Loop::new(&scene.path("image"), sector);
        scene.run(&format!("-r 3s..=5s {} copy", device.path)).code(0);
        let sector = sector as usize;
        assert_same(&scene.read("copy"), &bytes[3 * sector..6 * sector], "3s..=5s");
    }
}

#[test]
fn a_read_only_device_is_a_source_and_no_destination() {
    if !possible(&[]) {
        return;
    }
    let scene = Scene::new();
    let bytes = scene.source("image", SIZE);
    scene.write("source", &pattern(2, 1000));
    let check = |device: &Loop| {
        scene.run(&format!("--force -t 4 {} copy", device.path)).code(0);
        assert_same(&scene.read("copy"), &bytes, "from it");
        let line = format!("--to-device source {}", device.path);
        scene.run(&line).code(3).says(&["read-only"]);
        assert_same(&scene.read("image"), &bytes, "its content");
    };
    check(&Loop::read_only(&scene.path("image")));
    let device = Loop::new(&scene.path("image"), 512);
    device.set_read_only();
    check(&device);
}

#[test]
fn a_device_needs_consent_and_room() {
    if !possible(&[]) {
        return;
    }
    let scene = Scene::new();
    scene.source("source", 8192);
    let before = pattern(2, SIZE);
    scene.write("image", &before);
    let device = Loop::new(&scene.path("image"), 512);
    let check = |options: &str, texts: &[&str]| {
        scene.run(&format!("{options} source {}", device.path)).code(3).says(texts);
    };
    check("", &["block device", "loop device on", "4194304 bytes", "--to-device"]);
    check("--force", &["block device", "--to-device"]);
    check("--in-place", &["block device", "--to-device"]);
    check("--to-device --dest-offset 4190208", &["4190208..4198400", "4194304 bytes"]);
    check("--to-device --dest-offset 4MiB", &["do not fit"]);
    device.flush();
    assert_same(&scene.read("image"), &before, "the device");
    scene.run(&format!("-r 0..4194305 {} copy", device.path)).code(3).says(&["4194304 bytes"]);
    assert!(!scene.has("copy"));
}

#[test]
fn two_ranges_of_one_device() {
    if !possible(&[]) {
        return;
    }
    let scene = Scene::new();
    let mut expected = scene.source("image", SIZE);
    let device = Loop::new(&scene.path("image"), 512);
    let path = &device.path;
    let line = |to: u64| format!("--to-device -t 4 -r 0..1MiB --dest-offset {to} {path} {path}");
    scene.run(&line(0)).code(3).says(&["overlap", "same device"]);
    scene.run(&line((1 << 20) - 1)).code(3).says(&["overlap"]);
    device.flush();
    assert_same(&scene.read("image"), &expected, "after the refusals");
    scene.run(&line(1 << 20)).code(0);
    device.flush();
    expected.copy_within(0..1 << 20, 1 << 20);
    assert_same(&scene.read("image"), &expected, "disjoint ranges");
}

/// udev has a shared lock on a device while it looks at what is on it.
#[test]
fn a_device_that_is_locked_for_a_moment_is_waited_for() {
    if !possible(&["flock"]) {
        return;
    }
    let scene = Scene::new();
    let bytes = scene.source("source", SIZE);
    scene.write("image", &vec![0; SIZE]);
    let device = Loop::with(&scene.path("image"), &[]);
    // Holds the lock until its standard input ends.
    let mut flock = scene.tool("flock", ["-s", &device.path, "sh", "-c", "echo locked; cat"]);
    flock.command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let mut flock = flock.command.spawn().expect("flock runs");
    let mut said = [0; 7];
    let stdout = flock.stdout.as_mut().expect("a pipe");
    std::io::Read::read_exact(stdout, &mut said).expect("it is locked");

    let line = format!("--to-device --wait 0 source {}", device.path);
    scene.run(&line).code(3).says(&["another copy is writing"]);
    let line = format!("-v --to-device --wait 3600 source {}", device.path);
    let mut interrupted = scene.pcopy(line.split(' ')).start();
    interrupted.wait_for_line(|line| line.contains("is locked: waiting"));
    interrupted.signal(rustix::process::Signal::INT);
    interrupted.end().died_by(rustix::process::Signal::INT);
    let mut running = scene.pcopy(line.split(' ')).start();
    running.wait_for_line(|line| line.contains("is locked: waiting"));
    drop(flock.stdin.take());
    flock.wait().expect("flock ends");
    running.end().code(0);
    device.flush();
    assert_same(&scene.read("image"), &bytes, "the device");
}

/// Another copy holds it for as long as it takes, and so does a mount.
#[test]
fn a_device_in_use_is_refused_without_waiting() {
    if !possible(&["mkfs.ext4"]) {
        return;
    }
    let scene = Scene::new();
    scene.source("source", SIZE);
    scene.write("image", &vec![0; SIZE]);
    tool("mkfs.ext4", &["-q", scene.path("image").to_str().unwrap()]);
    let device = Loop::with(&scene.path("image"), &[]);
    // Anything that waits does so for longer than this test may take.
    let line = format!("--to-device --wait 3600 source {}", device.path);
    let mount = Mount::new(&scene, "mounted", &[&device.path]);
    scene.run(&line).code(3).says(&["is in use"]);
    drop(mount);
    let slow = format!("--limit-rate 64KiB --progress json {line}");
    let mut first = scene.pcopy(slow.split(' ')).start();
    first.wait_until_copying();
    scene.run(&format!("{line} --map other.map")).code(3);
    first.signal(rustix::process::Signal::INT);
    first.end().died_by(rustix::process::Signal::INT);
}

/// An empty range beyond the first bytes of a device leaves every byte of it.
#[test]
fn an_empty_range_changes_nothing_on_a_device() {
    if !possible(&[]) {
        return;
    }
    let scene = Scene::new();
    scene.source("source", 5000);
    scene.write("image", &pattern(2, SIZE));
    let device = Loop::new(&scene.path("image"), 512);
    for offset in [0, 30, SIZE] {
        let path = &device.path;
        scene.run(&format!("--to-device --length 0 --dest-offset {offset} source {path}")).code(0);
    }
    device.flush();
    assert_same(&scene.read("image"), &pattern(2, SIZE), "the device");
}

/// In the end the path must lead to the device that was written (invariant I11).
#[test]
fn a_node_of_another_device_by_the_end_is_a_failure() {
    if !possible(&[]) {
        return;
    }
    let scene = Scene::new();
    let bytes = scene.source("source", SIZE);
    scene.write("one.img", &vec![0; SIZE]);
    scene.write("other.img", &vec![0; SIZE]);
    let one = Loop::new(&scene.path("one.img"), 512);
    let other = Loop::new(&scene.path("other.img"), 512);
    std::os::unix::fs::symlink(&one.path, scene.path("disk")).expect("a link");
    let line = "--to-device --limit-rate 1MiB -t 1 --io-size 64KiB --progress json source disk";
    let mut running = scene.pcopy(line.split_whitespace()).start();
    running.wait_until_copied(SIZE as u64 / 4);
    std::fs::remove_file(scene.path("disk")).expect("removed");
    std::os::unix::fs::symlink(&other.path, scene.path("disk")).expect("a link");
    running.end().code(5).says(&["cannot find what was copied at 'disk'"]);
    one.flush();
    assert_same(&scene.read("one.img"), &bytes, "the device that was written");
    assert_same(&scene.read("other.img"), &vec![0; SIZE], "the other");
}
