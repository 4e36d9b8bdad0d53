//! The map against GNU ddrescue and ddrescuelog, which are skipped where they
//! are not installed.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use pcopy::durable::map::{Destination, Identity, Map, MapFile, Mode, Source};
use pcopy::{ByteRange, RangeSet};

use crate::common::has_tools;

fn range(start: u64, end: u64) -> ByteRange {
    ByteRange::new(start, end).expect("in order")
}

fn set(runs: &[(u64, u64)]) -> RangeSet {
    runs.iter().map(|&(start, end)| range(start, end)).collect()
}

fn identity() -> Identity {
    Identity {
        source: Source {
            path: "/data/disk of Ümit\n.img".into(),
            kind: "file".into(),
            size: 1 << 20,
            mtime_ns: Some(1_700_000_000_123_456_789),
            ctime_ns: None,
            may_change: false,
            id: None,
        },
        range: range(0x200, 0x10200),
        destination: Destination {
            path: "/data/out 100%".into(),
            offset: 4096,
            kind: "file".into(),
            mode: Mode::New,
            id: None,
        },
        list: Some("0123abcd".into()),
    }
}

/// A map with every status.
fn sample() -> Map {
    Map {
        identity: Some(identity()),
        done: set(&[(0x200, 0x1200), (0x4000, 0x5000)]),
        failed: set(&[(0x1200, 0x1400), (0x5000, 0x5200)]),
        extent: range(0x200, 0x10200),
    }
}

fn run(dir: &Path, tool: &str, arguments: &[&str]) -> Output {
    Command::new(tool).args(arguments).current_dir(dir).output().expect("installed")
}

fn succeed(dir: &Path, tool: &str, arguments: &[&str]) -> String {
    let output = run(dir, tool, arguments);
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success(), "{tool} {arguments:?}: {}: {said}", output.status);
    said
}

/// Maps of every shape, by name.
fn maps() -> Vec<(&'static str, Map)> {
    let long = "%\n\u{1}".repeat(1300);
    let mut long_path = sample();
    if let Some(identity) = &mut long_path.identity {
        identity.source.path = long.into();
    }
    let plain = Map { identity: None, ..sample() };
    let finished = Map { done: set(&[(0x200, 0x10200)]), failed: RangeSet::new(), ..sample() };
    let failed = Map { done: set(&[(0x200, 0x400)]), failed: set(&[(0x400, 0x10200)]), ..sample() };
    let done = set(&[(1 << 62, (1 << 62) + 5)]);
    let far =
        Map { done, failed: RangeSet::new(), extent: range(1 << 40, i64::MAX as u64), ..sample() };
    let runs = (0..2000).map(|index| range(index * 1024, index * 1024 + 512)).collect();
    let fragmented =
        Map { done: runs, failed: RangeSet::new(), extent: range(0, 2_048_000), ..sample() };
    vec![
        ("sample", sample()),
        ("plain", plain),
        ("finished", finished),
        ("failed", failed),
        ("far", far),
        ("fragmented", fragmented),
        ("long path", long_path),
    ]
}

#[test]
fn ddrescuelog_reads_our_maps_and_means_the_same() {
    if !has_tools(&["ddrescuelog"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    for (name, map) in maps() {
        MapFile::new(&dir.join("ours")).unwrap().save(&map).unwrap();
        succeed(dir, "ddrescuelog", &["-t", "ours"]);
        let finished = run(dir, "ddrescuelog", &["-q", "-D", "ours"]).status.success();
        assert_eq!(finished, map.done.covers(map.extent), "{name}");

        // Its own copy of the map, written from what it read, equals ours both ways.
        let copy = run(dir, "ddrescuelog", &["-a", "?,?", "ours"]);
        assert!(copy.status.success(), "{name}: {copy:?}");
        fs::write(dir.join("theirs"), &copy.stdout).unwrap();
        succeed(dir, "ddrescuelog", &["-p", "theirs", "ours"]);
        let read = Map::from_bytes(&copy.stdout).unwrap();
        assert_eq!(read, Map { identity: None, ..map }, "{name}");
    }
    // The comparison would see a difference.
    fs::write(dir.join("other"), "0 ? 1\n0x200 0x10000 +\n").unwrap();
    fs::write(dir.join("ours"), sample().to_bytes()).unwrap();
    assert!(!run(dir, "ddrescuelog", &["-q", "-p", "other", "ours"]).status.success());
}

/// A source of 1,000,000 bytes that are all different from zero.
fn source() -> Vec<u8> {
    (0..1_000_000u32).map(|index| (index % 251 + 1) as u8).collect()
}

#[test]
fn a_map_written_by_ddrescue_says_what_it_copied() {
    if !has_tools(&["ddrescue"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    fs::write(dir.join("source"), source()).unwrap();
    fs::write(dir.join("domain"), "0 ? 1\n0 512 ?\n512 4096 +\n4608 1000 ?\n5608 392 +\n").unwrap();
    succeed(dir, "ddrescue", &["-q", "-m", "domain", "source", "out", "map"]);
    let map = MapFile::new(&dir.join("map")).unwrap().load().unwrap().unwrap();
    let done = set(&[(512, 4608), (5608, 6000)]);
    assert_eq!(
        map,
        Map { identity: None, done, failed: RangeSet::new(), extent: range(0, 1_000_000) }
    );
    assert_eq!(map.todo(range(0, 5000)), set(&[(0, 512), (4608, 5000)]));

    fs::write(dir.join("empty"), "").unwrap();
    succeed(dir, "ddrescue", &["-q", "empty", "out2", "map2"]);
    let map = MapFile::new(&dir.join("map2")).unwrap().load().unwrap();
    assert_eq!(map, Some(Map::default()));
}

#[test]
fn ddrescue_copies_what_our_map_leaves_and_nothing_else() {
    if !has_tools(&["ddrescue"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let source = source();
    fs::write(dir.join("source"), &source).unwrap();
    // What the map calls done is zero here, and must still be afterwards.
    fs::write(dir.join("out"), vec![0; source.len()]).unwrap();
    let done = set(&[(4096, 100_000), (300_000, 300_001)]);
    let failed = set(&[(100_000, 100_512), (900_000, 900_512)]);
    let map = Map { identity: Some(identity()), done, failed, extent: range(0, 1_000_000) };
    let file = MapFile::new(&dir.join("map")).unwrap();
    file.save(&map).unwrap();
    succeed(dir, "ddrescue", &["-q", "-r1", "source", "out", "map"]);

    let out = fs::read(dir.join("out")).unwrap();
    let mut wanted = source;
    for run in map.done.iter() {
        wanted[run.start() as usize..run.end() as usize].fill(0);
    }
    assert!(out == wanted, "ddrescue wrote elsewhere than where the map has work");
    // It saved the map its own way: all done, and no longer bound to a job.
    let all = Map {
        identity: None,
        done: set(&[(0, 1_000_000)]),
        failed: RangeSet::new(),
        extent: map.extent,
    };
    assert_eq!(file.load().unwrap(), Some(all));
}
