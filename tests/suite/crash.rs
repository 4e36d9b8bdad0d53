//! Killed and interrupted at any moment: nothing partial under the final name,
//! and `--resume` ends with the same bytes.

use std::time::Duration;

use rustix::process::Signal;

use pcopy::testing::Random;

use crate::common::{Scene, assert_same, can_engine, rounds, wait_until};
use crate::inject::{Target, can_inject, is_temporary_map};

/// Killed before every k-th write, sync, rename and removal, and again while
/// it is resumed.
#[test]
fn killed_before_every_call() {
    if !can_inject() {
        return;
    }
    type Make = fn() -> Target;
    let jobs: [(&str, Make); 3] = [
        ("new", Target::with_checkpoints),
        ("replaced", Target::with_an_old_file),
        ("in place", Target::in_place),
    ];
    let calls = [
        "pwrite64",
        "fsync,fdatasync",
        "rename,renameat",
        "renameat2",
        "unlink,unlinkat",
        "ftruncate",
    ];
    let mut kills = 0;
    for (job, target) in jobs {
        for call in calls {
            kills += kill_before_every(job, target, call);
        }
    }
    println!("measured: killed before every call: {kills} kills, 0 partial, {kills} resumed");
}

fn kill_before_every(job: &str, target: impl Fn() -> Target, call: &str) -> u32 {
    for k in 1.. {
        let target = target();
        let expression = format!("{call}:signal=KILL:when={k}");
        let what = format!("{job}: {expression}");
        let injected = target.run(&[expression]);
        if !injected.hit() {
            injected.ended.code(0);
            return k - 1;
        }
        target.check_names(false, &what);
        // The last removal and the sync after it: all is done and nothing is left.
        let is_over = target.scene.names() == ["copy", "source"];
        if !is_over || target.scene.read("copy") != target.bytes {
            target.resume(&what);
        }
    }
    unreachable!("the loop ends with the calls")
}

/// What resumes a killed run is its command with `--resume`, whatever engine that names:
/// also where the copy has its name already, and only the map is still there.
#[test]
fn every_engine_goes_on_with_what_it_left() {
    if !can_inject() {
        return;
    }
    for engine in ["positioned", "direct", "mmap", "offload", "splice"] {
        if !can_engine(engine) {
            continue;
        }
        let target = || {
            let mut target = Target::with_checkpoints();
            target.options = target.options.replace("positioned", engine);
            target
        };
        for call in ["rename,renameat,renameat2", "unlink,unlinkat"] {
            assert!(kill_before_every(engine, target, call) > 0, "{engine}: {call}");
        }
    }
}

/// A signal that comes during a write ends the copy with that write: the next
/// request is not begun (invariant I8), and all that was written is recorded.
#[test]
fn a_signal_stops_within_one_request() {
    if !can_inject() {
        return;
    }
    let mut signals = 0;
    for (signal, name) in [(Signal::INT, "INT"), (Signal::TERM, "TERM")] {
        for k in 1..5 {
            let target = Target::new();
            let what = format!("pwrite64:signal={name}:when={k}");
            let injected = target.run(std::slice::from_ref(&what));
            let arrived = format!("--- SIG{name} ");
            let mut after = injected.log.lines().skip_while(|line| !line.contains(&arrived));
            assert!(after.next().is_some(), "{what}: it never came\n{}", injected.log);
            let moves = |line: &str| line.contains("pread64(") || line.contains("pwrite64(");
            assert!(!after.any(moves), "{what}: it went on\n{}", injected.log);
            injected.ended.died_by(signal).says(&["interrupted", "--resume"]);
            target.check_names(false, &what);
            target.resume(&what);
            signals += 1;
        }
    }
    println!("measured: signals during a write: {signals}, 0 further requests, all resumed");
}

/// A job of some dozens of milliseconds with checkpoints all along.
const JOB: &str = "-t 2 --io-size 16KiB --stripe-size 64KiB --checkpoint-every 0";
const LEN: usize = 1 << 20;

/// Waits for a time that `random` decides, up to a little more than the job takes.
fn some_time(random: &mut Random) {
    // Not a delay that anything relies on: whenever it ends, the same holds.
    std::thread::park_timeout(Duration::from_micros(random.below(150_000)));
}

/// What a run has left: the names, and the map.
fn left(scene: &Scene) -> (Vec<String>, Option<Vec<u8>>) {
    let map = scene.has("copy.pcopy-map").then(|| scene.read("copy.pcopy-map"));
    (scene.names(), map)
}

/// One copy, ended by `signal` at some moment as often as it takes, then resumed.
/// Returns how many signals met a copy that had begun to leave something.
fn end_at_random(seed: u64, signals: &[Signal], rate: &str) -> u32 {
    let mut random = Random::new(seed);
    let scene = Scene::new();
    let bytes = scene.source("source", LEN);
    let mut hits = 0;
    // The second signal meets a copy that is going on already.
    for attempt in 0..2 {
        let before = left(&scene);
        let line = format!("{JOB} --limit-rate {rate} --resume source copy");
        let running = scene.pcopy(line.split_whitespace()).start();
        // Half of them meet it at work, however long a start takes.
        if random.chance(1, 2) {
            wait_until("it has begun", || left(&scene) != before || scene.has("copy"));
        }
        some_time(&mut random);
        let signal = signals[usize::try_from(random.below(signals.len() as u64)).unwrap()];
        running.signal_if_there(signal);
        let ended = running.end();
        let has_changed = left(&scene) != before;
        let what = format!("seed {seed}, attempt {attempt}, {signal:?}");
        if scene.has("copy") {
            assert_same(&scene.read("copy"), &bytes, &what);
        }
        if ended.status.success() || scene.names() == ["copy", "source"] {
            // Through, or killed after the last call that changes anything.
            assert_eq!(scene.names(), ["copy", "source"], "{what}");
            return hits;
        }
        // Told by a handler that is not yet there, it dies as well.
        let ended = ended.died_by(signal);
        hits += u32::from(has_changed);
        if signal != Signal::KILL && ended.stderr.contains("interrupted") {
            let names = scene.names();
            assert!(!names.iter().any(|name| is_temporary_map(name)), "{what}: {names:?}");
            assert!(ended.stderr.contains("--resume"), "{what}: {}", ended.stderr);
        }
    }
    let line = format!("{JOB} --resume source copy");
    scene.run(&line).code(0);
    assert_same(&scene.read("copy"), &bytes, &format!("seed {seed}"));
    assert_eq!(scene.names(), ["copy", "source"], "seed {seed}");
    hits
}

#[test]
fn killed_at_random() {
    let rounds = rounds("PCOPY_KILLS", 50);
    let hits: u32 = (0..rounds).map(|seed| end_at_random(seed, &[Signal::KILL], "10MiB")).sum();
    assert!(hits > 0, "every kill came too early or too late");
    println!(
        "measured: killed at random: {rounds} copies, {hits} kills in the middle, 0 partial, {rounds} of {rounds} equal"
    );
}

#[test]
fn interrupted_at_random() {
    let rounds = rounds("PCOPY_SIGNALS", 10);
    let signals = [Signal::INT, Signal::TERM];
    let hits: u32 = (0..rounds).map(|seed| end_at_random(seed, &signals, "2MiB")).sum();
    assert!(hits > 0, "every signal came too early or too late");
    println!(
        "measured: interrupted at random: {rounds} copies, {hits} signals in the middle, 0 partial, {rounds} of {rounds} equal"
    );
}
