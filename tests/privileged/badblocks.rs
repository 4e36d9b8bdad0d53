//! Bad sectors against an oracle, destinations whose writes start to fail, and
//! requests that do not come back.

use std::path::PathBuf;
use std::time::Duration;

use pcopy::durable::map::{Map, MapFile};
use pcopy::testing::Random;
use pcopy::{ByteRange, RangeSet};
use rustix::process::Signal;
use serde_json::Value;

use crate::common::{Scene, assert_same, has_tools, wait_until};
use crate::devices::{BAD_DEVICE_TOOLS, BadDevice, Loop, possible};
use crate::disks::{Served, rounds, tool};

const LEN: u64 = 4 << 20;
/// Smallest unit a device is read in.
const SECTOR: u64 = 512;
const JOB: &str = "-t 4 --io-size 64KiB --stripe-size 256KiB --retries 0";

fn set(ranges: impl IntoIterator<Item = (u64, u64)>) -> RangeSet {
    ranges.into_iter().filter_map(|(start, len)| ByteRange::with_len(start, len)).collect()
}

/// Copies a block device with the sectors `bad`, and checks that it costs
/// those and nothing else. With `oracle`, GNU ddrescue must find the same.
fn check_bad(bad: &RangeSet, oracle: bool, what: &str) {
    let scene = Scene::new();
    let bytes = scene.source("disk.img", LEN as usize);
    let ends: Vec<_> = bad.iter().map(|run| (run.start(), run.end())).collect();
    let device = BadDevice::new(&scene, &scene.path("disk.img"), &ends);
    let device = &device.device.path;

    let report = scene.run(&format!("{JOB} --json {device} copy")).code(1).report();
    assert_eq!(failed_of(&report), *bad, "{what}: {report}");
    check_copy(&scene, &bytes, bad, what);
    let left = MapFile::new(&scene.path("copy.pcopy-map")).unwrap().load().unwrap().unwrap();
    assert_eq!(left.failed, *bad, "{what}: the map");

    // Going on tries the bad ones again and nothing else.
    let again = scene.run(&format!("{JOB} --json --resume {device} copy")).code(1).report();
    assert_eq!(failed_of(&again), *bad, "{what}: {again}");
    assert_eq!(again["bytes"]["copied"], 0, "{what}: {again}");
    check_copy(&scene, &bytes, bad, what);
    if oracle {
        let words = ["-q", "-d", "-b512", device].map(PathBuf::from);
        tool(
            "ddrescue",
            words.into_iter().chain(["rescued", "rescued.map"].map(|name| scene.path(name))),
        );
        let theirs = Map::from_bytes(&scene.read("rescued.map")).expect("a map");
        assert_eq!(left.failed, theirs.failed, "{what}: ddrescue finds other sectors");
    }
}

fn check_copy(scene: &Scene, bytes: &[u8], failed: &RangeSet, what: &str) {
    let mut expected = bytes.to_vec();
    for run in failed.iter() {
        expected[run.start() as usize..run.end() as usize].fill(0);
    }
    assert_same(&scene.read("copy"), &expected, what);
}

fn failed_of(report: &Value) -> RangeSet {
    let failed = report["failed"].as_array().expect("a list").iter();
    let ends = failed.map(|part| (part["start"].as_u64(), part["end"].as_u64()));
    ends.map(|(start, end)| ByteRange::between(start.unwrap(), end.unwrap())).collect()
}

/// Where source and destination lie differently in their sectors, the memory
/// of a request cannot suit both.
#[test]
fn bad_sectors_cost_no_more_at_odd_offsets() {
    if !possible(BAD_DEVICE_TOOLS) {
        return;
    }
    let bad = (1_000_448, SECTOR);
    let scene = Scene::new();
    let bytes = scene.source("disk.img", LEN as usize);
    let served = BadDevice::new(&scene, &scene.path("disk.img"), &[(bad.0, bad.0 + bad.1)]);
    let device = &served.device.path;
    for (options, from, to) in [("-r 1000..", 1000, 0), ("--dest-offset 77", 0, 77)] {
        let line = format!("{JOB} --json {options} {device} copy");
        let report = scene.run(&line).code(1).report();
        assert_eq!(failed_of(&report), set([bad]), "{options}: {report}");
        let mut expected = vec![0; to];
        expected.extend(&bytes[from..]);
        let hole = bad.0 as usize - from + to;
        expected[hole..hole + bad.1 as usize].fill(0);
        assert_same(&scene.read("copy"), &expected, options);
        for name in ["copy", "copy.pcopy-map"] {
            std::fs::remove_file(scene.path(name)).expect("it is there");
        }
    }
}

#[test]
fn bad_sectors_cost_themselves_and_nothing_else() {
    if !possible(BAD_DEVICE_TOOLS) {
        return;
    }
    let oracle = has_tools(&["ddrescue"]);
    let cases = [
        ("one sector", set([(1_000_448, SECTOR)])),
        ("a run", set([(600_064, 200_704)])),
        ("the first", set([(0, SECTOR)])),
        ("the last", set([(LEN - SECTOR, SECTOR)])),
        ("first of every stripe", set((0..16).map(|stripe| (stripe * (256 << 10), SECTOR)))),
        ("a whole stripe", set([(256 << 10, 256 << 10)])),
    ];
    for (what, bad) in &cases {
        check_bad(bad, oracle, what);
    }
    let rounds = rounds("PCOPY_BAD_MAPS", 4);
    for seed in 0..rounds {
        let mut random = Random::new(seed);
        let runs = 1 + random.below(20);
        let bad = set((0..runs).map(|_| {
            let start = random.below(LEN / SECTOR) * SECTOR;
            (start, (SECTOR * (1 + random.below(40))).min(LEN - start))
        }));
        check_bad(&bad, oracle, &format!("seed {seed}"));
    }
    let oracle = if oracle { ", and to what ddrescue finds" } else { "" };
    println!(
        "measured: bad sectors: {} patterns and {rounds} random maps, \
         each map equal to the injected one at {SECTOR} bytes{oracle}",
        cases.len()
    );
}

/// A device whose writes fail from some moment on, until it is repaired.
#[test]
fn a_failing_device_is_never_a_success_and_repaired_it_goes_on() {
    if !possible(BAD_DEVICE_TOOLS) {
        return;
    }
    let rounds = rounds("PCOPY_REPAIRS", 4);
    for round in 0..rounds {
        let scene = Scene::new();
        let bytes = scene.source("source", LEN as usize);
        let switch = format!("error-file={}", scene.path("broken").display());
        let error = ["error-pwrite=EIO", "error-pwrite-rate=100%", &switch];
        let words = ["--filter=error", "memory", "4M"].into_iter().chain(error);
        let served = Served::new(&scene, "served", false, words);
        let device = Loop::with(&served.file(), &[]);
        let job = format!("{JOB} --to-device --checkpoint-every 0 source {}", device.path);

        let line = format!("--progress json --limit-rate 1MiB {job}");
        let mut running = scene.pcopy(line.split_whitespace()).start();
        let recorded = running.wait_until_recorded((round % 3 + 1) * (256 << 10));
        scene.write("broken", b"");
        running.end().code(5).says(&["Input/output error", "--resume"]);
        std::fs::remove_file(scene.path("broken")).unwrap();
        go_on_until_complete(&scene, &job, recorded);
        drop(device);
        // Past the cache of the device: what the server has.
        assert_same(&std::fs::read(served.file()).unwrap(), &bytes, &format!("round {round}"));
    }
    println!(
        "measured: writes failing on a device, repaired, resumed: {rounds} of {rounds} equal, \
         0 successes while broken"
    );
}

/// A failure that the device had after the end of the job may be reported once
/// more: that is not a success either.
fn go_on_until_complete(scene: &Scene, job: &str, recorded: u64) {
    for _ in 0..3 {
        let ended = scene.run(&format!("--json --resume {job}"));
        let report = ended.report();
        let resumed = report["bytes"]["resumed"].as_u64().expect("a count");
        assert!(resumed >= recorded, "{recorded} recorded: {report}");
        if ended.status.success() {
            return;
        }
        ended.code(5).says(&["Input/output error"]);
    }
    panic!("the device is sound and the copy does not end");
}

/// A wish to stop waits for the requests under way. The next one does not.
#[test]
fn a_second_signal_ends_a_copy_that_cannot_stop() {
    if !possible(BAD_DEVICE_TOOLS) {
        return;
    }
    let scene = Scene::new();
    scene.write("stuck", b"");
    let served = stuck(&scene);
    let line =
        format!("--engine positioned {JOB} --progress json {} copy", served.file().display());
    let mut running = scene.pcopy(line.split_whitespace()).start();
    running.wait_for_line(|line| line.contains("\"offset\""));
    running.signal(Signal::INT);
    let first = std::time::Instant::now();
    // A second wish is one that does not come with the first.
    wait_until("a moment has passed", || first.elapsed() > Duration::from_millis(1500));
    running.signal(Signal::TERM);
    running.end().died_by(Signal::TERM);
    assert!(!scene.has("copy"));
    std::fs::remove_file(scene.path("stuck")).unwrap();
}

/// A served file that does not answer beyond its first MiB while there is a file
/// `stuck`, but for its end, where a copy looks whether the size is true.
fn stuck(scene: &Scene) -> Served {
    let pread = format!(
        "pread=[ $4 -lt 1048576 ] || [ $4 -ge 3932160 ] || while [ -e {} ]; do sleep 0.05; done; head -c $3 /dev/zero",
        scene.path("stuck").display()
    );
    Served::new(scene, "served", true, ["eval", "get_size=echo 4M", &pread])
}

/// A request that does not come back is named by its offset while it is waited
/// for. That it delays no other worker is tested on the library: this device
/// answers one request at a time.
#[test]
fn a_stuck_request_is_named() {
    if !possible(BAD_DEVICE_TOOLS) {
        return;
    }
    let scene = Scene::new();
    scene.write("stuck", b"");
    let served = stuck(&scene);
    let line =
        format!("--engine positioned {JOB} --progress json {} copy", served.file().display());
    let mut running = scene.pcopy(line.split_whitespace()).start();
    let parsed = |line: &str| serde_json::from_str::<Value>(line).unwrap_or_default();
    let line = running.wait_for_line(|line| {
        let event = parsed(line);
        !event["waiting"].is_null() || event["event"] == "finished"
    });
    std::fs::remove_file(scene.path("stuck")).unwrap();
    let offset = parsed(&line)["waiting"]["offset"].as_u64().expect("an offset");
    assert!(offset < LEN && offset % (64 << 10) == 0, "{line}");
    running.end().code(0);
    assert!(scene.read("copy").iter().all(|&byte| byte == 0));
}
