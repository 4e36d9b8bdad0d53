//! The power goes at a random moment. After it is back the final name is
//! absent, old or complete, or in place anything; everything the map calls done is there, and
//! `--resume` ends with the same bytes.

use std::path::Path;
use std::time::Duration;

use pcopy::durable::map::MapFile;
use pcopy::testing::Random;

use crate::common::{Scene, assert_same, has_tools, is_root};
use crate::devices::{Loop, possible};
use crate::disks::{Mounted, rounds, tool};

const LEN: usize = 1 << 20;
const JOB: &str = "-t 2 --io-size 16KiB --stripe-size 64KiB --checkpoint-every 0";
const OLD: &[u8] = b"what was there before";

/// How the power goes.
enum Cut {
    /// The file system forgets what was not synced; with the log or without.
    Shutdown { log: bool },
    /// The disk is as it was at one moment.
    Snapshot,
}

/// One copy to `disk`, a power cut at some moment of it, and what is left.
/// Returns whether the cut met a running copy.
fn cut_once(scene: &Scene, disk: &mut Mounted, cut: &Cut, seed: u64) -> bool {
    let mut random = Random::new(seed);
    let what = format!("{}, seed {seed}", disk.image().display());
    let bytes = scene.read("source");
    let how = ["", "--force", "--in-place"][usize::try_from(random.below(3)).expect("small")];
    let what = format!("{what}, {how}");
    let copy = disk.folder().join("copy");
    if !how.is_empty() {
        std::fs::write(&copy, OLD).expect("an old file");
    }
    // So that the cut does not bring back what earlier rounds removed.
    disk.sync();
    let words = |more: &str| format!("{JOB} {how} {more} source {}", copy.display());
    let slow = words("--limit-rate 8MiB");
    let mut running = scene.pcopy(slow.split_whitespace()).start();
    // Not a delay that anything relies on: whenever it ends, the same holds.
    std::thread::park_timeout(Duration::from_micros(random.below(200_000)));
    let complete_before = match cut {
        Cut::Shutdown { log } => {
            // Asked first: what is said before the power goes must hold after it.
            let ended = running.child.try_wait().expect("a child can be asked");
            disk.cut_power(*log);
            let _ = running.end();
            disk.power_on();
            ended.is_some_and(|status| status.success())
        }
        Cut::Snapshot => {
            let ended = running.child.try_wait().expect("a child can be asked");
            let snapshot = disk.image().with_extension("snapshot");
            let words =
                ["--reflink=always".as_ref(), disk.image().as_os_str(), snapshot.as_os_str()];
            tool("cp", words);
            running.child.kill().expect("it can be killed");
            let _ = running.end();
            disk.power_on_with(&snapshot);
            ended.is_some_and(|status| status.success())
        }
    };
    check(&copy, &bytes, how, complete_before, &what);
    resume(scene, &copy, &bytes, &words("--resume"), &what);
    std::fs::remove_file(&copy).expect("the next copy begins anew");
    !complete_before
}

fn check(copy: &Path, bytes: &[u8], how: &str, complete: bool, what: &str) {
    let folder = copy.parent().expect("it has one");
    match std::fs::read(copy) {
        Ok(_) if how == "--in-place" && !complete => {}
        Ok(found) if how == "--force" && !complete && found == OLD => {}
        Ok(found) => assert_same(&found, bytes, &format!("{what}: the final name")),
        Err(error) => {
            let gone = format!("{what}: what was there or complete is gone: {error}");
            assert!(!complete && how.is_empty(), "{gone}")
        }
    }
    let map = MapFile::new(&folder.join("copy.pcopy-map")).expect("a good name");
    let map = map.load().unwrap_or_else(|error| panic!("{what}: {error:?}"));
    let Some(map) = map else { return };
    let part = folder.join("copy.pcopy-part");
    // Renamed already, and the map not yet gone.
    let part = if part.exists() { part } else { copy.to_owned() };
    let written = std::fs::read(&part).unwrap_or_else(|error| panic!("{what}: {part:?}: {error}"));
    for run in map.done.iter() {
        let run = run.start() as usize..run.end() as usize;
        let found = written.get(run.clone());
        assert!(found == Some(&bytes[run.clone()]), "{what}: {run:?} is in the map and not there");
    }
}

fn resume(scene: &Scene, copy: &Path, bytes: &[u8], line: &str, what: &str) {
    let folder = copy.parent().expect("it has one");
    let left = |name: &str| folder.join(name).exists();
    let is_complete = std::fs::read(copy).is_ok_and(|found| found == bytes);
    if !is_complete || left("copy.pcopy-part") || left("copy.pcopy-map") {
        scene.run(line).code(0);
    }
    assert_same(&std::fs::read(copy).expect("it is there"), bytes, &format!("{what}: resumed"));
    for name in ["copy.pcopy-part", "copy.pcopy-map"] {
        assert!(!left(name), "{what}: {name} is left");
    }
}

fn shutdowns(kind: &str, mib: u64) {
    if !is_root() || !has_tools(&["xfs_io", "losetup", &format!("mkfs.{kind}")]) {
        return;
    }
    let scene = Scene::new();
    scene.source("source", LEN);
    let mut disk = Mounted::new(scene.folder(), kind, mib);
    let rounds = rounds("PCOPY_CUTS", 20);
    let cut = |seed: u64| cut_once(&scene, &mut disk, &Cut::Shutdown { log: seed % 2 == 1 }, seed);
    let hits = (0..rounds).map(cut).filter(|hit| *hit).count();
    assert!(hits > 0, "every cut came too late");
    println!(
        "measured: power cuts on {kind}, both modes: {rounds} cuts, {hits} in the middle, 0 violations"
    );
}

#[test]
fn power_cuts_on_ext4() {
    shutdowns("ext4", 64);
}

#[test]
fn power_cuts_on_xfs() {
    shutdowns("xfs", 320);
}

/// Of a batch each file is complete or absent, and whatever the report had
/// called complete before the power went is there.
fn batches(kind: &str, mib: u64) {
    if !is_root() || !has_tools(&["xfs_io", "losetup", &format!("mkfs.{kind}")]) {
        return;
    }
    const FILES: usize = 400;
    const FILE: usize = LEN / FILES;
    let scene = Scene::new();
    let bytes = scene.source("source", LEN);
    let row = |n: usize| format!("d{}/{n},{},{FILE}\n", n % 3, n * FILE);
    let rows: String = (0..FILES).map(row).collect();
    scene.write("list.csv", format!("name,start,len\n{rows}").as_bytes());
    let mut disk = Mounted::new(scene.folder(), kind, mib);
    let rounds = rounds("PCOPY_CUTS", 10);
    let mut promised = 0;
    for seed in 0..rounds {
        let what = format!("{kind}, seed {seed}");
        let out = disk.folder().join(format!("out{seed}"));
        let line = format!("batch list.csv --source source -t 2 --into {}", out.display());
        let slow = format!("{line} --limit-rate 4MiB --report r{seed}");
        let running = scene.pcopy(slow.split_whitespace()).start();
        let time = Duration::from_micros(Random::new(seed).below(350_000));
        // Not a delay that anything relies on: whenever it ends, the same holds.
        std::thread::park_timeout(time);
        let said = std::fs::read_to_string(scene.path(format!("r{seed}"))).unwrap_or_default();
        disk.cut_power(seed % 2 == 1);
        let _ = running.end();
        disk.power_on();
        let path = |n: usize| out.join(format!("d{}/{n}", n % 3));
        let right = |n: usize| &bytes[n * FILE..][..FILE];
        for n in 0..FILES {
            let name = format!("\"d{}/{n}\"", n % 3);
            let is_of = |line: &&str| line.contains(&name) && line.contains("\"complete\"");
            let was_promised = said.lines().any(|line| is_of(&line) && line.ends_with('}'));
            promised += usize::from(was_promised);
            match std::fs::read(path(n)) {
                Ok(found) => assert_same(&found, right(n), &format!("{what}: {name}")),
                Err(error) => assert!(!was_promised, "{what}: {name} is gone: {error}"),
            }
        }
        scene.run(&format!("{line} --resume")).code(0);
        for n in 0..FILES {
            assert_same(&std::fs::read(path(n)).expect("a file"), right(n), &what);
        }
        std::fs::remove_dir_all(&out).expect("it can be removed");
        // Or the next cut brings it back, and in the end there is no room.
        disk.sync();
    }
    println!(
        "measured: power cuts in batches on {kind}: {rounds} cuts, {promised} files promised \
         before, 0 violations"
    );
}

#[test]
fn power_cuts_in_batches_on_ext4() {
    batches("ext4", 64);
}

#[test]
fn power_cuts_in_batches_on_xfs() {
    batches("xfs", 320);
}

#[test]
fn power_cuts_on_btrfs() {
    if !is_root() || !has_tools(&["losetup", "mkfs.xfs", "mkfs.btrfs"]) {
        return;
    }
    let scene = Scene::new();
    scene.source("source", LEN);
    // The image lies on a file system that can share its extents in an instant.
    let outer = Mounted::new(scene.folder(), "xfs", 900);
    let mut disk = Mounted::new(outer.folder(), "btrfs", 256);
    let rounds = rounds("PCOPY_CUTS", 20);
    let cut = |seed| cut_once(&scene, &mut disk, &Cut::Snapshot, seed);
    let hits = (0..rounds).map(cut).filter(|hit| *hit).count();
    assert!(hits > 0, "every cut came too late");
    println!(
        "measured: power cuts on btrfs by snapshot: {rounds} cuts, {hits} in the middle, 0 violations"
    );
    drop(disk);
    drop(outer);
}

/// The first MiB of a device is written last, and not recorded before.
const BEHIND_HEAD: usize = 1 << 20;

/// A device has no part: what the map calls done is on it already when the
/// copy is killed, and the next run resumes it.
#[test]
fn a_copy_to_a_device_that_is_killed_goes_on() {
    if !possible(&[]) {
        return;
    }
    let scene = Scene::new();
    let bytes = scene.source("source", LEN);
    let rounds = rounds("PCOPY_KILLS", 4);
    for round in 0..rounds {
        scene.write("image", &vec![0; BEHIND_HEAD + LEN]);
        let device = Loop::new(&scene.path("image"), 512);
        let job = format!("{JOB} --to-device --dest-offset {BEHIND_HEAD} source {}", device.path);
        let line = format!("--limit-rate 256KiB --progress json {job}");
        let mut running = scene.pcopy(line.split_whitespace()).start();
        for _ in 0..=round % 4 {
            running.wait_until_recorded(1);
        }
        running.child.kill().expect("it is running");
        running.end();
        device.flush();
        let name = Path::new(&device.path).file_name().expect("it has one").to_owned();
        let map = MapFile::new(&scene.path(name).with_extension("pcopy-map")).expect("a good name");
        let map = map.load().expect("a good map").expect("a map");
        assert!(map.done.bytes() > 0, "round {round}: nothing is recorded");
        let image = &scene.read("image")[BEHIND_HEAD..];
        for run in map.done.iter() {
            let run = run.start() as usize..run.end() as usize;
            assert!(image[run.clone()] == bytes[run.clone()], "round {round}: {run:?}");
        }
        scene.run(&job).code(3).says(&["--resume", "--restart"]);
        let report = scene.run(&format!("--json --resume {job}")).code(0).report();
        assert_eq!(report["bytes"]["resumed"], map.done.bytes(), "round {round}: {report}");
        device.flush();
        assert_same(&scene.read("image")[BEHIND_HEAD..], &bytes, &format!("round {round}"));
        assert_eq!(scene.names(), ["image", "source"], "round {round}");
    }
    println!("measured: killed on a device: {rounds} copies, all resumed, 0 claims too many");
}
