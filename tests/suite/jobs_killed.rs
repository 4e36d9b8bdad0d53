//! Processes of a job that are killed at any moment, and many that begin at once: what is
//! called done is there, one of them plans, one gives the file its name, nothing is lost.

use std::collections::BTreeMap;

use pcopy::testing::Random;
use serde_json::Value;

use crate::common::{Running, Scene, assert_same, program, rounds, wait_until};
use crate::inject::can_inject;

/// Small shards, so that there are many; a short lease, so that nobody waits.
const SMALL: &str = "--job J --stripe-size 64KiB --lease 0.5 --progress none";

/// The number that stands for the end of a job of 1 MiB in such shards.
const END: &str = "00016";

fn start(scene: &Scene, line: &str) -> Running {
    scene.pcopy(line.split_whitespace()).start()
}

/// Names in the folder of the job.
fn names(scene: &Scene) -> Vec<String> {
    let names = std::fs::read_dir(scene.path("J")).into_iter().flatten().flatten();
    names.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

fn document(scene: &Scene, name: &str) -> Value {
    serde_json::from_slice(&scene.read(format!("J/{name}"))).unwrap()
}

/// Records of shards.
fn records(scene: &Scene) -> Vec<String> {
    names(scene).into_iter().filter(|name| name.starts_with("done.")).collect()
}

/// Every shard that is called done is in the file that all write: a false one fails.
fn check_records(scene: &Scene, source: &[u8]) -> usize {
    let records = records(scene);
    let plan = document(scene, "plan.json");
    let part = format!("copy.{}.pcopy-part", &plan["id"].as_str().unwrap()[..8]);
    // It may get its name in just this moment.
    let there = std::fs::read(scene.path(&part)).unwrap_or_else(|_| scene.read("copy"));
    for name in &records {
        let range = &document(scene, name)["range"];
        let at = |key: &str| usize::try_from(range[key].as_u64().unwrap()).unwrap();
        let range = at("start")..at("end");
        assert_same(&there[range.clone()], &source[range], name);
    }
    records.len()
}

/// One that is killed while it joins may leave the file that it has just made: the one that
/// finishes the job removes it.
#[track_caller]
fn check_no_parts(scene: &Scene) {
    let parts: Vec<_> = scene.names().into_iter().filter(|name| name.contains(".pcopy-")).collect();
    assert!(parts.is_empty(), "{parts:?}");
}

#[test]
fn workers_that_are_killed_at_random_lose_nothing() {
    let kills = rounds("PCOPY_KILLS", 16);
    let mut random = Random::new(kills);
    let (mut left, mut jobs, mut looked_at) = (kills, 0, 0);
    while left > 0 {
        let scene = Scene::new();
        let source = scene.source("source", 16 << 20);
        let line = format!("{SMALL} --limit-rate 2MiB --io-size 16KiB --digest blake3 source copy");
        let mut workers: Vec<Running> = (0..8).map(|_| start(&scene, &line)).collect();
        for _ in 0..left.min(40) {
            let seen = records(&scene).len();
            let next = (seen + random.below(4) as usize).min(28);
            wait_until("some shards are there", || {
                records(&scene).len() >= next || scene.has("copy")
            });
            if scene.has("copy") {
                break;
            }
            let number = random.below(8) as usize;
            let old = std::mem::replace(&mut workers[number], start(&scene, &line));
            old.kill();
            left -= 1;
            if scene.path("J/plan.json").exists() {
                looked_at += check_records(&scene, &source);
            }
        }
        let mut sums: Vec<String> = Vec::new();
        for worker in workers {
            sums.push(worker.end().code(0).out());
        }
        assert_same(&scene.read("copy"), &source, "what all of them made");
        sums.dedup();
        assert_eq!(sums.len(), 1, "{sums:?}");
        check_no_parts(&scene);
        jobs += 1;
    }
    println!(
        "measured: 8 processes of a job killed at random: {kills} kills in {jobs} jobs, \
         {looked_at} shards called done looked at, 0 of them not there, {jobs} of {jobs} equal"
    );
}

/// The claims to each shard, and how many there were.
fn turns(scene: &Scene) -> BTreeMap<String, u32> {
    let mut turns = BTreeMap::new();
    for name in names(scene) {
        if let Some((shard, _)) = name.strip_prefix("claim.").and_then(|name| name.split_once('.'))
        {
            *turns.entry(shard.to_owned()).or_insert(0) += 1;
        }
    }
    turns
}

#[test]
fn of_64_who_begin_at_once_one_plans_and_one_commits() {
    const LEN: u64 = 1 << 20;
    let joins = rounds("PCOPY_JOINS", 1);
    let mut taken_over = 0;
    for _ in 0..joins {
        let scene = Scene::new();
        let source = scene.source("source", LEN as usize);
        let all: Vec<Running> = (1..=64)
            .map(|number| {
                start(&scene, &format!("{SMALL} -t 1 --shard {number}/64 --json source copy"))
            })
            .collect();
        let (mut copied, mut committed) = (0, Vec::new());
        for running in all {
            let pid = running.child.id();
            let report = running.end().code(0).report();
            let own = report["bytes"]["copied"].as_u64().unwrap();
            assert_eq!(report["bytes"]["resumed"].as_u64().unwrap() + own, LEN, "{report}");
            copied += own;
            if document(&scene, "finished.json")["by"]["pid"] == pid {
                committed.push(pid);
            }
        }
        assert_same(&scene.read("copy"), &source, "the copy");
        check_no_parts(&scene);
        let turns = turns(&scene);
        // One that got no time for a whole lease may note the end once more.
        let finishers = 1..=turns[END] as usize;
        assert!(finishers.contains(&committed.len()), "{committed:?}, {turns:?}");
        let again: u32 = turns.values().map(|turns| turns - 1).sum();
        // Nobody was killed: a shard is copied once, but where a process got no time
        // for a whole lease.
        match again {
            0 => assert_eq!((copied, turns[END]), (LEN, 1)),
            _ => assert!(copied >= LEN, "{copied}"),
        }
        taken_over += again;
    }
    println!(
        "measured: 64 processes that begin a job at once: {joins} rounds, one plan and one \
         commit in each, {taken_over} shards taken over from processes that got no time"
    );
}

/// Runs `line` under strace, which kills it at the `k`-th of these calls of a thread;
/// whether it got that far.
fn killed_at(scene: &Scene, call: &str, k: u32, line: &str) -> bool {
    let mut strace = scene.tool("strace", ["-f", "-qqq", "-o", "/dev/null", "-e"]);
    strace.command.arg(format!("inject={call}:signal=KILL:when={k}"));
    strace.command.arg(program()).args(line.split_whitespace());
    !strace.run().status.success()
}

/// One that is killed between two steps leaves what the next one can work with.
#[test]
fn a_process_of_a_job_killed_before_every_call_is_followed_by_the_next() {
    if !can_inject() {
        return;
    }
    const JOB: &str = "--job J --stripe-size 64KiB --lease 0.1 -t 1 --engine positioned \
                       --progress none --digest crc32c source copy";
    let calls = [
        "pwrite64",
        "fsync,fdatasync",
        "rename,renameat,renameat2,link,linkat",
        "unlink,unlinkat",
        "ftruncate,fallocate",
    ];
    let mut kills = 0;
    for call in calls {
        for k in 1.. {
            let scene = Scene::new();
            let source = scene.source("source", (128 << 10) + 7);
            let was_killed = killed_at(&scene, call, k, JOB);
            let what = format!("{call}, {k}");
            if scene.has("copy") {
                assert_same(&scene.read("copy"), &source, &what);
            } else if scene.path("J/plan.json").exists() {
                check_records(&scene, &source);
            }
            scene.pcopy(JOB.split_whitespace()).run().code(0);
            assert_same(&scene.read("copy"), &source, &what);
            // Also if it was killed after it had made the file and before it had written the plan.
            check_no_parts(&scene);
            if !was_killed {
                break;
            }
            kills += 1;
        }
    }
    assert!(kills > 10, "{kills}");
    println!(
        "measured: a process of a job killed before every call: {kills} kills, 0 partial, \
         {kills} finished by the next, 0 files left"
    );
}

/// One that stands still right after a call, which strace stops it at.
struct Stopped {
    running: Running,
    log: tempfile::NamedTempFile,
}

impl Stopped {
    /// Starts a process of the job and waits until it stands still after the `when`-th
    /// `call` with this name of a file.
    fn after(scene: &Scene, call: &str, when: u32, name: &str) -> Stopped {
        let log = tempfile::NamedTempFile::new().expect("a temporary file");
        let inject = format!("inject={call}:signal=STOP:when={when}");
        // Names of files in a folder are given to the system without it.
        let mut strace = scene.tool("strace", ["-f", "-qq", "-P", name, "-e", &inject, "-o"]);
        let line = format!("{SMALL} source copy");
        strace.command.arg(log.path()).arg(program()).args(line.split_whitespace());
        let stopped = Stopped { running: strace.start(), log };
        wait_until("it stands still", || stopped.said().contains("stopped by SIGSTOP"));
        assert!(stopped.said().contains("ENOENT"), "it has found {name}: {}", stopped.said());
        stopped
    }

    fn said(&self) -> String {
        std::fs::read_to_string(self.log.path()).unwrap()
    }

    /// Lets it go on, to a good end.
    fn wake(self) {
        let pid = self.said().split(' ').next().unwrap().parse().unwrap();
        let pid = rustix::process::Pid::from_raw(pid).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::CONT).unwrap();
        self.running.end().code(0);
    }
}

/// A process that is at work for a while.
fn start_slow(scene: &Scene) -> Running {
    let slow = start(scene, &format!("{SMALL} --limit-rate 256KiB --io-size 16KiB source copy"));
    wait_until("it has begun", || !records(scene).is_empty());
    slow
}

/// It looked for the plan a moment before that was written, and at the folder after the
/// first shard had been claimed.
#[test]
fn one_that_looked_for_the_plan_too_early_joins() {
    if !can_inject() {
        return;
    }
    let scene = Scene::new();
    let source = scene.source("source", 1 << 20);
    let early = Stopped::after(&scene, "openat", 1, "plan.json");
    let first = start_slow(&scene);
    early.wake();
    first.end().code(0);
    assert_same(&scene.read("copy"), &source, "the copy");
    check_no_parts(&scene);
}

/// It saw that the copy was not there yet, and then that the job was over.
#[test]
fn one_that_looked_for_the_copy_just_before_the_end_is_content() {
    if !can_inject() {
        return;
    }
    let scene = Scene::new();
    let source = scene.source("source", 1 << 20);
    let first = start_slow(&scene);
    // The second time, it has read the plan.
    let late = Stopped::after(&scene, "newfstatat", 2, "copy");
    first.end().code(0);
    late.wake();
    assert_same(&scene.read("copy"), &source, "the copy");
}
