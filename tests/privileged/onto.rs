//! The ranges of a list onto a block device: what is mapped is there, nothing else
//! was touched, and `bmaptool` makes the same of the same map.

use std::os::unix::fs::FileExt;

use rustix::process::Signal;

use crate::common::{Scene, assert_same, pattern};
use crate::devices::{Loop, possible, tool};

const MIB: usize = 1 << 20;
const SIZE: usize = 16 * MIB;

/// What an image holds, in bytes. It ends in the middle of a block.
const MAPPED: &[(usize, usize)] =
    &[(0, 8192), (1 << 20, 3 << 20), (7 << 20, (7 << 20) + 4096), (10 << 20, 15_000_001)];
const LEN: usize = 15_000_001;

/// Makes `image`, sparse, and `image.bmap`, which `bmaptool` makes of it.
fn image(scene: &Scene) -> Vec<u8> {
    let (mut image, content) = (vec![0; LEN], pattern(1, LEN));
    let file = std::fs::File::create(scene.path("image")).expect("a file");
    file.set_len(LEN as u64).expect("it grows");
    for &(start, end) in MAPPED {
        file.write_all_at(&content[start..end], start as u64).expect("it is written");
        image[start..end].copy_from_slice(&content[start..end]);
    }
    file.sync_all().expect("its extents are known");
    scene.tool("bmaptool", ["create", "image", "-o", "image.bmap"]).run().code(0);
    image
}

/// What a device holds that held `before`.
fn written(before: &[u8], image: &[u8]) -> Vec<u8> {
    let mut expected = before.to_vec();
    for &(start, end) in MAPPED {
        // The last block of the image is not whole.
        expected[start..end].copy_from_slice(&image[start..end]);
    }
    expected
}

/// A device of which every byte is known.
fn device(scene: &Scene, name: &str, sector: u32) -> (Loop, Vec<u8>) {
    let before = pattern(7, SIZE);
    scene.write(name, &before);
    (Loop::new(&scene.path(name), sector), before)
}

#[test]
fn a_device_is_the_same_as_bmaptool_makes_it() {
    if !possible(&["bmaptool"]) {
        return;
    }
    for (sector, options) in
        [(512, ""), (4096, "--verify --digest sha256"), (512, "--engine direct")]
    {
        let scene = Scene::new();
        let image = image(&scene);
        let (ours, before) = device(&scene, "ours", sector);
        let (theirs, _) = device(&scene, "theirs", sector);
        scene
            .tool("bmaptool", ["copy", "--bmap", "image.bmap", "image", &theirs.path])
            .run()
            .code(0);
        let line = format!("batch image.bmap --source image --json {options} --into-device");
        scene.run(&format!("{line} {}", ours.path)).code(3).says(&["--to-device"]);
        let file = format!("batch image.bmap --source image --into-file {}", ours.path);
        scene.run(&file).code(2).says(&["--into-device"]);
        let report = scene.run(&format!("{line} {} --to-device", ours.path)).code(0).report();
        assert_eq!(report["mapped"]["ranges"], 4, "{report}");
        ours.flush();
        theirs.flush();
        let found = scene.read("ours");
        assert_same(&found, &written(&before, &image), options);
        assert_same(&found, &scene.read("theirs"), "as bmaptool makes it");

        let (piped, _) = device(&scene, "piped", sector);
        let options = options.replace("--engine direct", "");
        let line = format!("batch image.bmap --source - {options} --to-device --into-device");
        let run = |input: &[u8], end: &Loop| {
            let line = format!("{line} {}", end.path);
            scene.pcopy(line.split_whitespace()).with_input(input)
        };
        run(&image, &piped).code(0);
        piped.flush();
        assert_same(&scene.read("piped"), &written(&before, &image), "from a pipe");
        // The first bytes come last: nobody boots from half an image.
        let (wrong, _) = device(&scene, "wrong", sector);
        let mut other = image.clone();
        other[(7 << 20) + 1] ^= 1;
        run(&other, &wrong).code(4).says(&["sha256 of bytes 7340032..7344128"]);
        wrong.flush();
        assert_same(&scene.read("wrong")[..8192], &before[..8192], "no first bytes");
    }
}

/// What is wrong is known before the first byte; where `bmaptool` says so as well,
/// it has written some of it.
#[test]
fn what_is_wrong_is_refused_and_the_device_is_as_it_was() {
    if !possible(&["bmaptool"]) {
        return;
    }
    let scene = Scene::new();
    let image = image(&scene);
    let (device, before) = device(&scene, "device", 512);
    let line = format!("batch image.bmap --source image --to-device --into-device {}", device.path);
    let check = |code: i32, says: &[&str]| {
        scene.run(&line).code(code).says(says);
        device.flush();
        assert_same(&scene.read("device"), &before, "as it was");
        let theirs = ["copy", "--bmap", "image.bmap", "image", &device.path];
        assert!(!scene.tool("bmaptool", theirs).run().status.success(), "{says:?}");
        scene.write("device", &before);
        device.flush();
    };
    // A byte that is not what the map says.
    let mut wrong = image.clone();
    wrong[2 << 20] ^= 1;
    scene.write("image", &wrong);
    check(4, &["sha256 of bytes 1048576..3145728", "nothing was written"]);
    scene.write("image", &image[..LEN - 5000]);
    check(3, &["do not lie inside"]);
    scene.write("image", &image);
    let map = String::from_utf8(scene.read("image.bmap")).expect("text");
    scene.write("image.bmap", map.replacen("<BlockSize> 4096", "<BlockSize> 4095", 1).as_bytes());
    check(2, &["bmap"]);

    scene.write("image.bmap", map.as_bytes());
    scene.write("small", &before[..8 * MIB]);
    let small = Loop::new(&scene.path("small"), 512);
    let line = format!("batch image.bmap --source image --to-device --into-device {}", small.path);
    scene.run(&line).code(3).says(&["8388608"]);
    small.flush();
    assert_same(&scene.read("small"), &before[..8 * MIB], "too small");
}

/// The first bytes come last, and what is not mapped is never touched, however often
/// the copy is cut short.
#[test]
fn a_device_that_was_cut_short_is_resumed() {
    if !possible(&["bmaptool"]) {
        return;
    }
    for signal in [Signal::TERM, Signal::KILL] {
        let scene = Scene::new();
        let image = image(&scene);
        let (device, before) = device(&scene, "device", 512);
        let line = format!(
            "batch image.bmap --source image --to-device -t 2 --io-size 64KiB --stripe-size \
             64KiB --into-device {}",
            device.path
        );
        let slow = "--limit-rate 1MiB --checkpoint-every 0 --progress json";
        let mut running = scene.pcopy(format!("{line} {slow}").split_whitespace()).start();
        running.wait_until_recorded(2 << 20);
        running.signal(signal);
        running.end();
        device.flush();
        let expected = written(&before, &image);
        let found = scene.read("device");
        assert_same(&found[..MIB], &before[..MIB], "the beginning is written last");
        let mut at = MIB;
        for &(start, end) in &MAPPED[1..] {
            assert_same(&found[at..start], &before[at..start], "between what is mapped");
            at = end;
        }
        assert_same(&found[LEN..], &before[LEN..], "behind it");
        let report = scene.run(&format!("{line} --resume --json --verify")).code(0).report();
        assert!(report["bytes"]["resumed"].as_u64() > Some(0), "{report}");
        device.flush();
        assert_same(&scene.read("device"), &expected, "all of it");
        assert_eq!(scene.names(), ["device", "image", "image.bmap"]);
    }
}

/// A map of a rescue, with bytes on the way to two devices and zeros punched.
#[test]
fn several_devices_get_what_a_map_chooses() {
    if !possible(&[]) {
        return;
    }
    let scene = Scene::new();
    let (one, before) = device(&scene, "one", 512);
    let (two, _) = device(&scene, "two", 4096);
    let source = scene.source("source", 4 * MIB);
    let map = "0x0 + 1\n0x0 0x100000 +\n0x100000 0x200000 -\n0x300000 0x100000 +\n";
    scene.write("disk.mapfile", map.as_bytes());
    let line = format!(
        "batch disk.mapfile --source source --areas - --to-device --into-device {} --also {}",
        one.path, two.path
    );
    scene.run(&line).code(0);
    let mut expected = before;
    expected[MIB..3 * MIB].copy_from_slice(&source[MIB..3 * MIB]);
    for (device, name) in [(&one, "one"), (&two, "two")] {
        device.flush();
        assert_same(&scene.read(name), &expected, name);
    }
    tool("blockdev", &["--flushbufs", &one.path]);
    let rows = format!("source,start,len,dest_offset\n{},0,512,1048576\n", one.path);
    scene.write("self.csv", rows.as_bytes());
    let line = format!("batch self.csv --to-device --into-device {}", one.path);
    scene.run(&line).code(0);
    scene.write("self.csv", format!("{rows}source,0,512,0\n").as_bytes());
    scene.run(&line).code(3).says(&["overlap"]);
}
