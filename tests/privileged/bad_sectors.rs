//! A device with bytes that cannot be read costs exactly those: everything
//! else is copied, and the report lists what is missing.

use pcopy::{ByteRange, RangeSet};
use serde_json::Value;

use crate::common::{Scene, assert_same, pattern};
use crate::devices::{BAD_DEVICE_TOOLS, BadDevice, Loop, possible};

const SIZE: usize = 4 << 20;

/// Smallest unit a device is read in: what one bad byte takes along.
const SECTOR: u64 = 512;

/// Copies a device on which `bad` cannot be read, and compares with what was injected.
#[track_caller]
fn check(bad: &[(u64, u64)], options: &str) {
    let scene = Scene::new();
    let image = scene.source("image", SIZE);
    let device = BadDevice::new(&scene, &scene.path("image"), bad);
    let line = format!("--json {options} {} copy", device.device.path);
    let report = scene.run(&line).code(1).says(&["could not be read"]).report();
    assert_eq!(report["outcome"], "partial");

    let sectors = by_sectors(bad);
    assert_eq!(failed(&report), sectors, "{options}: found and injected");
    let mut expected = image;
    for &(start, end) in &sectors {
        let range = usize::try_from(start).unwrap()..usize::try_from(end).unwrap();
        expected[range].fill(0);
    }
    assert_same(&scene.read("copy"), &expected, options);
    let missing: u64 = sectors.iter().map(|(start, end)| end - start).sum();
    assert_eq!(report["bytes"]["failed"], missing);
    assert_eq!(report["bytes"]["copied"], SIZE as u64 - missing);
}

/// The sectors that `bad` lies in, merged.
fn by_sectors(bad: &[(u64, u64)]) -> Vec<(u64, u64)> {
    let mut sectors: Vec<(u64, u64)> = Vec::new();
    for &(start, end) in bad {
        let (start, end) = (start / SECTOR * SECTOR, end.div_ceil(SECTOR) * SECTOR);
        match sectors.last_mut() {
            Some(last) if last.1 >= start => last.1 = last.1.max(end),
            _ => sectors.push((start, end)),
        }
    }
    sectors
}

/// What the report lists, touching ranges merged.
fn failed(report: &Value) -> Vec<(u64, u64)> {
    let number = |value: &Value| value.as_u64().expect("an offset");
    let listed = report["failed"].as_array().expect("a list").iter();
    by_sectors(
        &listed.map(|part| (number(&part["start"]), number(&part["end"]))).collect::<Vec<_>>(),
    )
}

/// A bad region is a few lines, and one event, however many sectors it has.
#[test]
fn what_cannot_be_read_is_told_as_ranges() {
    if !possible(BAD_DEVICE_TOOLS) {
        return;
    }
    let scene = Scene::new();
    scene.source("image", SIZE);
    let regions: Vec<_> = (0..16u64).map(|n| (n << 18, (n << 18) + (16 << 10))).collect();
    let device = BadDevice::new(&scene, &scene.path("image"), &regions);
    let line = format!("-f --retries 0 -t 4 --engine positioned {} copy", device.device.path);
    let ended = scene.run(&line).code(1).says(&["in 16 ranges"]);
    let told = ended.stderr.matches("cannot read").count();
    assert!((1..=11).contains(&told), "{told}: {}", ended.stderr);
    let ended = scene.run(&format!("--progress json --restart {line}")).code(1);
    let events: RangeSet = events(&ended.stderr).iter().copied().collect();
    let expected: RangeSet =
        regions.iter().map(|&(start, end)| ByteRange::between(start, end)).collect();
    assert_eq!(events, expected, "events tell all of it");
    assert!(!ended.stderr.contains("cannot read bytes"), "{}", ended.stderr);
}

/// What the events in `log` say that could not be read.
fn events(log: &str) -> Vec<ByteRange> {
    let parsed = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let failed = parsed.filter(|event| event["event"] == "read_failed");
    let ends = failed.map(|event| (event["start"].as_u64(), event["end"].as_u64()));
    ends.map(|(start, end)| ByteRange::between(start.unwrap(), end.unwrap())).collect()
}

/// A device of `mib` MiB of which only the first can be read.
fn cut_off(scene: &Scene, mib: u64) -> Loop {
    let image = scene.path("image");
    let file = std::fs::File::create(&image).expect("an image");
    file.set_len(mib << 20).expect("it may be sparse");
    let device = Loop::read_only(&image);
    std::fs::write(&image, pattern(1, 1 << 20)).expect("a shorter image");
    device
}

/// Bad sectors took memory one by one, and each was an event: here, a hundred
/// thousand of them are one range everywhere.
#[test]
fn a_region_of_a_hundred_thousand_bad_sectors_is_one_range() {
    if !possible(&[]) {
        return;
    }
    let scene = Scene::new();
    let (mib, good) = (50, 1 << 20);
    let size = mib << 20;
    let device = cut_off(&scene, mib);
    let one = |failed: &Value, start: u64, end: u64| {
        assert_eq!(failed.as_array().map(Vec::len), Some(1), "{failed}");
        assert_eq!(
            (failed[0]["start"].as_u64(), failed[0]["end"].as_u64()),
            (Some(start), Some(end))
        );
    };
    for options in ["-t 4", "-t 4 --also other", "-t 2 --engine positioned --in-place"] {
        if options.contains("in-place") {
            scene.write("copy", b"");
        }
        let line = format!("--json --progress json --retries 0 {options} {} copy", device.path);
        let ended = scene.run(&line).code(1);
        one(&ended.report()["failed"], good, size);
        let told = events(&ended.stderr);
        assert!(told.len() < 2000, "{} events", told.len());
        let told: RangeSet = told.into_iter().collect();
        assert_eq!(told, ByteRange::between(good, size).into(), "{options}");
        for name in ["copy", "copy.pcopy-map", "other", "other.pcopy-map"] {
            let _ = std::fs::remove_file(scene.path(name));
        }
    }
    scene.write("list.csv", format!("name,start,len\nitem,0,{size}\n").as_bytes());
    let line = format!("batch list.csv --source {} --into out --retries 0 --report r", device.path);
    scene.run(&line).code(1);
    let item: Value = serde_json::from_slice(&scene.read("r")).expect("one line");
    one(&item["failed"], good, size);
    let verified = scene.run(&format!("verify --json {} out/item", device.path)).code(1);
    one(&verified.report()["failed"], good, size);
}

/// A file that lacks something has its name: its user may add to it.
#[test]
fn what_was_appended_to_a_partial_file_is_not_cut_off() {
    if !possible(BAD_DEVICE_TOOLS) {
        return;
    }
    let scene = Scene::new();
    scene.source("image", SIZE);
    let device = BadDevice::new(&scene, &scene.path("image"), &[(100_000, 100_001)]);
    scene.run(&format!("--retries 0 {} copy", device.device.path)).code(1);
    let mut longer = scene.read("copy");
    longer.extend(pattern(3, 5000));
    scene.write("copy", &longer);
    let line = format!("--resume --retries 0 {} copy", device.device.path);
    scene.run(&line).code(3).says(&["changed since"]);
    assert_same(&scene.read("copy"), &longer, "the file with what was appended");
}

#[test]
fn one_sector() {
    if possible(BAD_DEVICE_TOOLS) {
        check(&[(1_000_448, 1_000_960)], "-t 1");
        check(&[(1_000_448, 1_000_960)], "-t 4");
    }
}

#[test]
fn a_run_of_sectors_over_requests_and_stripes() {
    if possible(BAD_DEVICE_TOOLS) {
        check(&[(1_000_448, 1_100_800)], "-t 4 --io-size 64KiB --stripe-size 256KiB");
    }
}

#[test]
fn the_first_sector_and_the_last() {
    if possible(BAD_DEVICE_TOOLS) {
        check(&[(0, 512)], "-t 4");
        check(&[(SIZE as u64 - 512, SIZE as u64)], "-t 4");
    }
}

#[test]
fn sectors_all_over() {
    if possible(BAD_DEVICE_TOOLS) {
        let bad: Vec<_> = (0..40).map(|n| (n * 102_400 + 512, n * 102_400 + 1024)).collect();
        check(&bad, "-t 4 --retries 0");
    }
}

/// In place, what could not be read stays what it was.
#[test]
fn unreadable_bytes_leave_the_destination_alone() {
    if !possible(BAD_DEVICE_TOOLS) {
        return;
    }
    let scene = Scene::new();
    let image = scene.source("image", SIZE);
    let device = BadDevice::new(&scene, &scene.path("image"), &[(8192, 12_288)]);
    let before = pattern(2, SIZE);
    scene.write("copy", &before);
    let ended = scene.run(&format!("--in-place -t 4 {} copy", device.device.path)).code(1);
    ended.says(&["4096 bytes in 1 range", "left as they were", "8192..12288"]);
    let mut expected = image;
    expected[8192..12_288].copy_from_slice(&before[8192..12_288]);
    assert_same(&scene.read("copy"), &expected, "in place");
}

#[test]
fn the_other_policy_stops_at_the_first() {
    if !possible(BAD_DEVICE_TOOLS) {
        return;
    }
    let scene = Scene::new();
    scene.source("image", SIZE);
    let device = BadDevice::new(&scene, &scene.path("image"), &[(1 << 20, (1 << 20) + 4096)]);
    let line = format!("--on-read-error stop -t 4 {} copy", device.device.path);
    scene.run(&line).code(5).says(&["cannot read bytes 1048576..", "Input/output error"]);
    assert!(!scene.has("copy"), "no final name");
}

/// What was rescued can be compared with the drive that it is from.
#[test]
fn what_cannot_be_read_is_left_out_of_a_comparison() {
    if !possible(BAD_DEVICE_TOOLS) {
        return;
    }
    let bad = [(100_000, 100_001), (1 << 20, (1 << 20) + 5000)];
    let scene = Scene::new();
    scene.source("image", SIZE);
    let device = BadDevice::new(&scene, &scene.path("image"), &bad);
    scene.run(&format!("--retries 0 {} copy", device.device.path)).code(1);
    let verify =
        |options: &str| scene.run(&format!("verify {options} {} copy", device.device.path));
    for options in ["--json -t 1", "--json -t 3"] {
        let report = verify(options).code(1).report();
        assert_eq!(report["outcome"], "partial", "{report}");
        assert_eq!(report["verified"], false, "not all of it: {report}");
        assert!(report.get("mismatches").is_none(), "{report}");
        assert_eq!(failed(&report), by_sectors(&bad), "{options}: found and injected");
    }
    verify("").code(1).says(&[
        "could not be read and were not compared",
        "'copy' is equal to what could be read",
    ]);
    let mut copy = scene.read("copy");
    copy[3_000_000] ^= 1;
    scene.write("copy", &copy);
    let ended = verify("").code(4).says(&["were not compared"]);
    let sector = 3_000_000 / 512 * 512;
    assert_eq!(ended.out(), format!("{sector}..{}\n", sector + 512));
}
