//! Promise: any bytes of a raw volume of Windows can be read and written,
//! although it moves whole sectors only. `scripts/windows-check` says which
//! volume, and which file holds the same bytes.

use std::path::PathBuf;
use std::sync::Mutex;

use crate::common::{Scene, pattern, skip};

/// There is one volume: tests that write to it wait for each other.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// The volume, and the file with the same bytes.
fn volume() -> Option<(String, PathBuf)> {
    let volume = std::env::var("PCOPY_TEST_VOLUME").ok();
    let image = std::env::var_os("PCOPY_TEST_VOLUME_IMAGE").map(PathBuf::from);
    let both = volume.zip(image);
    if both.is_none() {
        skip("needs PCOPY_TEST_VOLUME and PCOPY_TEST_VOLUME_IMAGE");
    }
    both
}

#[test]
fn any_bytes_of_a_volume_are_copied() {
    let Some((volume, image)) = volume() else { return };
    let _alone = ONE_AT_A_TIME.lock();
    let scene = Scene::new();
    let bytes = std::fs::read(image).unwrap();
    let end = bytes.len();
    for (start, stop) in [
        (0, 1),
        (0, 512),
        (1, 512),
        (511, 513),
        (513, 513),
        (12_345, 3_012_346),
        (1 << 20, (2 << 20) + 1),
        (end - 1, end),
        (end - 513, end),
        (0, end),
    ] {
        let range = format!("{start}..{stop}");
        let arguments = ["--json", "-f", "--threads", "4", "--io-size", "128KiB"];
        let line = [&arguments[..], &["-r", &range, &volume, "copy"]].concat();
        let report = scene.pcopy(&line).run().code(0).report();
        assert_eq!(report["source"]["kind"], "block-device");
        assert_eq!(report["source"]["size"], end);
        assert!(scene.read("copy") == bytes[start..stop], "{range}");
    }
    scene.pcopy(["-r", &format!("0..{}", end + 1), &volume, "x"]).run().code(3);
}

#[test]
fn a_volume_is_written_with_consent_and_inside_the_range_alone() {
    let Some((volume, image)) = volume() else { return };
    let _alone = ONE_AT_A_TIME.lock();
    let scene = Scene::new();
    scene.source("new", 700_001);
    scene.pcopy(["new", &volume]).run().code(3).says(&["--to-device"]);

    let mut expected = std::fs::read(&image).unwrap();
    let (at, new) = (5_001, pattern(1, 700_001));
    expected[at..at + new.len()].copy_from_slice(&new);
    scene.pcopy(["--to-device", "--dest-offset", &at.to_string(), "new", &volume]).run().code(0);
    assert!(std::fs::read(&image).unwrap() == expected, "other bytes than the wanted ones changed");
    assert_eq!(scene.names(), ["new"], "a map stays behind");
}

/// The first bytes, which say what is on a volume, come last.
#[test]
fn a_volume_that_is_written_in_part_still_has_its_first_bytes() {
    let Some((volume, image)) = volume() else { return };
    let _alone = ONE_AT_A_TIME.lock();
    let scene = Scene::new();
    let (before, new) = (std::fs::read(&image).unwrap(), scene.source("new", 6 << 20));
    let line = "--to-device --io-size 64KiB --progress json --limit-rate 768KiB -t 2 new";
    let arguments = line.split_whitespace().chain([&*volume]);
    let mut running = scene.pcopy(arguments).start();
    running.wait_until_copied(3 << 20);
    assert!(running.kill().was_killed());
    let found = std::fs::read(&image).unwrap();
    let head = 1 << 20;
    assert!(found[..head] == before[..head], "the first bytes came before the rest");
    assert!(found[head..2 * head] == new[head..2 * head], "the rest came");

    scene.pcopy(["--restart", "--to-device", "--verify", "new", &*volume]).run().code(0);
    let found = std::fs::read(&image).unwrap();
    assert!(found[..new.len()] == new[..] && found[new.len()..] == before[new.len()..]);
}

#[test]
fn a_device_that_is_not_there_is_never_made_a_file() {
    let scene = Scene::new();
    scene.source("new", 1);
    for destination in [r"\\.\Q:", "NUL", "con.txt", r"\\.\PhysicalDrive99"] {
        scene.pcopy(["new", destination]).run().code(3);
    }
    assert_eq!(scene.names(), ["new"]);
}

#[test]
fn the_volume_is_listed() {
    let Some((volume, image)) = volume() else { return };
    let scene = Scene::new();
    let list = scene.pcopy(["devices", "--json"]).run().code(0).report();
    let devices = list["devices"].as_array().unwrap();
    let device = devices.iter().find(|device| device["path"] == volume);
    let device = device.unwrap_or_else(|| panic!("{volume} in {list}"));
    assert_eq!(device["size"], std::fs::metadata(image).unwrap().len());
}
