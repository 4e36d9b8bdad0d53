//! `--limit-rate`: whatever moves the bytes, no job is faster.

use std::time::Instant;

use crate::common::{Scene, assert_same, skip};

const RATE: usize = 8 << 20;

const LEN: usize = 3 << 20;

/// A limit is kept by requests of a twentieth of a second, and the first of
/// them need not wait.
const FREE: usize = RATE / 20;

#[test]
fn no_job_is_faster_than_its_limit() {
    let scene = Scene::new();
    let source = scene.source("source", LEN);
    for line in [
        "source copy",
        "-t 1 source copy",
        "-t 8 --io-size 4096 source copy",
        "-t 8 --io-size 1MiB --digest sha256 source copy",
        "--engine offload source copy",
        "--engine direct source copy",
        "--engine mmap source copy",
        "--engine splice source copy",
        "--also other source copy",
        "--verify source copy",
        "--verify --digest sha256 --also other source copy",
        "source -",
    ] {
        if cfg!(not(target_os = "linux")) && line.contains("--engine") {
            continue;
        }
        let begin = Instant::now();
        let ended = scene.run(&format!("--limit-rate 8MiB --reflink never {line}"));
        if line.contains("--engine") && ended.status.code() == Some(3) {
            skip(&format!("{line}: {}", ended.stderr.trim()));
            continue;
        }
        let ended = ended.code(0);
        let seconds = begin.elapsed().as_secs_f64();
        // Reading back counts, of each destination.
        let times = match (line.contains("--verify"), line.contains("--also")) {
            (true, true) => 3,
            (true, false) => 2,
            _ => 1,
        };
        let least = (times * (LEN - FREE)) as f64 / RATE as f64;
        assert!(seconds >= least, "{line}: {LEN} bytes in {seconds} seconds");
        let found = if line == "source -" { ended.stdout } else { scene.read("copy") };
        assert_same(&found, &source, line);
        println!(
            "measured: limit of {RATE} bytes a second: {:.0}, {line}",
            (times * LEN) as f64 / seconds
        );
        let _ = std::fs::remove_file(scene.path("copy"));
        let _ = std::fs::remove_file(scene.path("other"));
    }
}
