//! Copies from a server that are killed at any moment, and go on: the same bytes in
//! the end, and none asked for again that the map had.
//!
//! `PCOPY_HTTP_KILLS` says how many kills.

use pcopy::testing::Random;

use crate::common::{Scene, assert_same, pattern, rounds};
use crate::server::Server;

/// Bytes of a request.
const REQUEST: u64 = 64 << 10;

/// Requests under way at once.
const CONNECTIONS: u64 = 4;

/// Bytes by which a part is recognized as what the map is of, at most.
const LOOKED_AT: u64 = 1 << 20;

const JOB: &str = "--io-size 64KiB --stripe-size 64KiB --connections 4 --checkpoint-every 0 \
                   --limit-rate 20M --resume";

/// What the server was asked for, without the question how long the object is.
fn asked(server: &Server, from: usize) -> u64 {
    let log = server.log();
    let ranges = log[from..].iter().filter_map(|request| request.range());
    ranges.map(|range| range.end - range.start).filter(|&len| len > 1).sum()
}

/// Bytes that the map says are there.
fn done(scene: &Scene) -> u64 {
    let text = match scene.has("copy.pcopy-map") {
        true => String::from_utf8_lossy(&scene.read("copy.pcopy-map")).into_owned(),
        false => return 0,
    };
    let number = |text: &str| u64::from_str_radix(text.trim_start_matches("0x"), 16).unwrap_or(0);
    let rows = text.lines().filter(|line| !line.starts_with('#')).skip(1);
    let words = rows.map(|line| line.split_whitespace().collect::<Vec<_>>());
    words.filter(|row| row.get(2) == Some(&"+")).map(|row| number(row[1])).sum()
}

#[test]
fn a_killed_copy_goes_on_and_asks_for_nothing_that_it_has() {
    let wanted = rounds("PCOPY_HTTP_KILLS", 12);
    let (mut kills, mut copies, mut most_twice, mut seed) = (0, 0, 0, 0);
    while kills < wanted {
        let (scene, mut random) = (Scene::new(), Random::new(seed));
        let len = 300_000 + random.below(700_000) as usize;
        let bytes = pattern(seed, len);
        let server = Server::of(&bytes);
        let url = server.url("x");
        let start = || scene.pcopy(JOB.split_whitespace().chain([&*url, "copy"])).start();
        for _ in 0..1 + random.below(3) {
            let before = server.requests();
            let requests = random.below(len as u64 / REQUEST + 2) as usize;
            let mut running = start();
            while server.requests() < before + requests
                && running.child.try_wait().unwrap().is_none()
            {
                std::thread::yield_now();
            }
            let had = done(&scene);
            let is_over = running.kill().status.success();
            let now = done(&scene);
            // What was asked for and is not in the map is asked for again.
            let twice = asked(&server, before).saturating_sub(now.saturating_sub(had));
            most_twice = twice.max(most_twice);
            if is_over {
                break;
            }
            kills += 1;
        }
        let (before, known) = (server.requests(), done(&scene));
        if !scene.has("copy") {
            start().end().code(0);
            let again = asked(&server, before);
            let most = len as u64 - known + LOOKED_AT;
            assert!(again <= most, "seed {seed}: {again} asked for, {known} known of {len}");
        }
        assert_same(&scene.read("copy"), &bytes, &format!("seed {seed}"));
        assert_eq!(scene.names(), ["copy"], "seed {seed}");
        (copies, seed) = (copies + 1, seed + 1);
    }
    println!(
        "measured: killed while downloading: {kills} kills of {copies} copies, all equal, at most \
         {most_twice} bytes of a killed run asked for again ({} in flight, and what came since the \
         last record)",
        CONNECTIONS * REQUEST
    );
}
