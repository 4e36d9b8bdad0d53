//! `--only-changed` and `pcopy patch` on block devices: how much is written is asked
//! of the kernel, which counts what reaches the device.

use std::os::unix::fs::FileExt;
use std::time::Duration;

use pcopy::testing::Random;

use crate::common::{Scene, assert_same, pattern, rounds, skip};
use crate::devices::{Loop, Mount, possible};

const SIZE: usize = 4 << 20;
const BLOCK: usize = 4096;

/// Bytes that were written to a device since it was made.
fn written(device: &Loop) -> u64 {
    let name = device.path.trim_start_matches("/dev/");
    let stat = std::fs::read_to_string(format!("/sys/block/{name}/stat")).expect("it is a disk");
    let sectors = stat.split_whitespace().nth(6).expect("a field");
    sectors.parse::<u64>().expect("a number") * 512
}

fn with_changes(bytes: &[u8], distance: usize) -> Vec<u8> {
    let mut changed = bytes.to_vec();
    for block in changed.chunks_mut(BLOCK).skip(3).step_by(distance) {
        block[77] ^= 0xff;
    }
    changed
}

/// 1 GiB, mostly a hole, of which one block in a hundred differs.
#[test]
fn of_an_image_that_hardly_differs_hardly_anything_is_written() {
    if !possible(&[]) {
        return;
    }
    const GIB: u64 = 1 << 30;
    let scene = Scene::new();
    let make = |name: &str| {
        let file = std::fs::File::create(scene.path(name)).expect("a file can be made");
        file.set_len(GIB).expect("it is sparse");
        file
    };
    let (new, old) = (make("new"), make("old"));
    let mut bytes = 0;
    for block in (0..GIB / BLOCK as u64).step_by(100) {
        new.write_all_at(&pattern(block, BLOCK), block * BLOCK as u64).expect("written");
        bytes += BLOCK as u64;
    }
    // Half of them are there already.
    for block in (0..GIB / BLOCK as u64).step_by(200) {
        old.write_all_at(&pattern(block, BLOCK), block * BLOCK as u64).expect("written");
    }
    let most = bytes / 2 + BLOCK as u64;
    for options in ["", "--engine direct", "--sparse always --verify"] {
        let device = Loop::new(&scene.path("old"), 512);
        let before = written(&device);
        let line = format!("--only-changed --to-device --json {options} new {}", device.path);
        let report = scene.run(&line).code(0).report();
        device.flush();
        let found = written(&device) - before;
        assert_eq!(report["bytes"]["written"].as_u64(), Some(found), "{line}");
        assert!(found <= most && found > most / 2 - 2 * BLOCK as u64, "{found} of {bytes}: {line}");
        println!(
            "measured: `--only-changed` of 1 GiB of which 0.5 % differs{}{options}: {found} bytes written",
            if options.is_empty() { "" } else { ", " }
        );
        scene.tool("cmp", ["new", "old"]).run().code(0);
        // As it was.
        for block in (100..GIB / BLOCK as u64).step_by(200) {
            old.write_all_at(&[0; BLOCK], block * BLOCK as u64).expect("written");
        }
    }
}

/// The first bytes come last, unless they are the same: then not at all.
#[test]
fn the_partition_table_comes_last_or_not_at_all() {
    if !possible(&[]) {
        return;
    }
    let scene = Scene::new();
    let new = scene.source("new", SIZE);
    for engine in ["positioned", "direct"] {
        let mut old = new.clone();
        old[3 << 20] ^= 1;
        scene.write("image", &old);
        let device = Loop::new(&scene.path("image"), 512);
        let before = written(&device);
        let line = format!("--only-changed --to-device --engine {engine} new {}", device.path);
        scene.run(&line).code(0);
        device.flush();
        assert_eq!(written(&device) - before, BLOCK as u64, "{engine}");
        assert_same(&scene.read("image"), &new, engine);

        // Of the first bytes, those that differ, when all else is there.
        old[100] ^= 1;
        old[BLOCK * 9] ^= 1;
        drop(device);
        scene.write("image", &old);
        let device = Loop::new(&scene.path("image"), 512);
        let wrong = format!("{line} --expect md5:{}", "0".repeat(32))
            .replace(line.rsplit(' ').next().expect("a word"), &device.path);
        scene.run(&wrong).code(4);
        device.flush();
        let found = scene.read("image");
        assert_same(&found[..1 << 20], &old[..1 << 20], engine);
        assert_same(&found[1 << 20..], &new[1 << 20..], engine);
        let before = written(&device);
        let line =
            format!("--only-changed --to-device --resume --engine {engine} new {}", device.path);
        scene.run(&line).code(0);
        device.flush();
        assert_eq!(written(&device) - before, 2 * BLOCK as u64, "{engine}");
        assert_same(&scene.read("image"), &new, engine);
    }
}

/// A device with larger blocks than a page is written in those.
#[test]
fn blocks_are_those_of_the_device_where_they_are_larger() {
    if !possible(&[]) {
        return;
    }
    let scene = Scene::new();
    let new = scene.source("new", SIZE);
    for sector in [512, 4096, 16_384] {
        let block = sector.max(BLOCK);
        let old = with_changes(&new, 40);
        scene.write("image", &old);
        let size = sector.to_string();
        let trial = ["-f", "--show", "--sector-size", &size, "image"];
        let trial = scene.tool("losetup", trial).run();
        if !trial.status.success() {
            skip(&format!("loop devices have no sectors of {sector} bytes"));
            continue;
        }
        let device = Loop::at(trial.out().trim().to_owned());
        let path = &device.path;
        // Neither end of the range lies on a block.
        let line =
            format!("--only-changed --to-device --json -r 1..4194303 --dest-offset 1 new {path}");
        let report = scene.run(&line).code(0).report();
        device.flush();
        assert_same(&scene.read("image"), &new, &line);
        let differs = |place: &usize| old[*place..place + block] != new[*place..place + block];
        let inside = |place: usize| (place + block).min(SIZE - 1) - place.max(1);
        let bytes: usize = (0..SIZE).step_by(block).filter(differs).map(inside).sum();
        assert_eq!(report["bytes"]["written"], bytes, "{line}");
    }
}

/// A mounted device is refused, as ever.
#[test]
fn a_device_in_use_is_neither_updated_nor_patched() {
    if !possible(&["mkfs.ext4"]) {
        return;
    }
    let scene = Scene::new();
    scene.source("source", 4096);
    scene.write("image", &vec![0; SIZE]);
    scene.tool("mkfs.ext4", ["-q", "image"]).run().code(0);
    let device = Loop::new(&scene.path("image"), 512);
    let mount = Mount::new(&scene, "mounted", &[&device.path]);
    let path = &device.path;
    scene.run(&format!("--only-changed --to-device source {path}")).code(3).says(&["in use"]);
    scene.run(&format!("patch --to-device {path} 0 --hex 00")).code(3).says(&["in use"]);
    drop(mount);
    scene.run(&format!("patch {path} 0 --hex 00")).code(3).says(&["--to-device writes to it"]);
}

#[test]
fn a_device_is_patched_between_its_sectors_and_undone() {
    if !possible(&[]) {
        return;
    }
    for sector in [512, 4096] {
        let scene = Scene::new();
        let before = scene.source("image", SIZE);
        let device = Loop::new(&scene.path("image"), sector);
        let path = &device.path;
        for at in [0, 511, 4095, (1 << 20) - 1, SIZE - 2] {
            let line = format!("patch --to-device {path} {at} --hex abcd --print-old");
            let ended = scene.run(&line).code(0);
            device.flush();
            let mut expected = before.clone();
            expected[at..at + 2].copy_from_slice(&[0xab, 0xcd]);
            assert_same(&scene.read("image"), &expected, &line);
            scene.tool("sh", ["-e", "-c", &ended.out()]).run().code(0);
            device.flush();
            assert_same(&scene.read("image"), &before, &line);
        }
        scene.run(&format!("patch --to-device {path} 1s --hex ff")).code(0);
        device.flush();
        assert_eq!(scene.read("image")[sector as usize], 0xff, "sectors of the device");
        let line = format!("patch --to-device {path} {} --hex abcd --grow", SIZE - 1);
        scene.run(&line).code(3).says(&["do not fit"]);
        assert!(!scene.names().iter().any(|name| name.contains("map")), "{:?}", scene.names());
    }
}

/// Killed at any moment and resumed, as often as it takes.
#[test]
fn an_update_that_is_killed_is_resumed() {
    if !possible(&[]) {
        return;
    }
    let rounds = rounds("PCOPY_UPDATES", 6);
    let (mut hits, mut resumed) = (0, 0);
    for seed in 0..rounds {
        let mut random = Random::new(seed);
        let scene = Scene::new();
        let new = scene.source("new", SIZE);
        scene.write("image", &with_changes(&new, 1 + random.below(60) as usize));
        let device = Loop::new(&scene.path("image"), 512);
        let job = format!(
            "--only-changed --to-device -t 2 --io-size 64KiB --stripe-size 128KiB \
             --checkpoint-every 0 --resume new {}",
            device.path
        );
        for _ in 0..2 {
            let slow = format!("--limit-rate 12MiB {job}");
            let running = scene.pcopy(slow.split_whitespace()).start();
            // Not a delay that anything relies on: whenever it ends, the same holds.
            std::thread::park_timeout(Duration::from_micros(random.below(400_000)));
            hits += u32::from(running.kill().was_killed());
        }
        let report = scene.run(&format!("--json {job}")).code(0).report();
        resumed += u32::from(report["bytes"]["resumed"].as_u64() > Some(0));
        device.flush();
        assert_same(&scene.read("image"), &new, &format!("seed {seed}"));
        assert_eq!(scene.names(), ["image", "new"], "seed {seed}");
    }
    assert!(hits > 0, "every kill came too early or too late");
    println!(
        "measured: `--only-changed` on a device, killed at random: {rounds} devices, {hits} kills \
         in the middle, {resumed} resumed from a map, {rounds} of {rounds} equal"
    );
}
