//! Uploads that are broken off anywhere, by the connection or by the end of the
//! program: the object is right in the end, nothing that was recorded is sent again,
//! and no upload is left behind.
//!
//! `PCOPY_S3_KILLS` says how many kills.

use std::collections::BTreeMap;

use pcopy::testing::Random;

use crate::common::{Run, Scene, assert_same, pattern, rounds};
use crate::s3_upload::{PART, came, maps, open, told};
use crate::server::s3::S3;
use crate::server::way::Way;

fn by_way(scene: &Scene, service: &S3, way: &Way, words: &[&str]) -> Run {
    let mut run = told(scene, service, words);
    run.command.env("AWS_ENDPOINT_URL_S3", way.url());
    run
}

#[test]
fn a_connection_that_breaks_inside_a_part_costs_nothing_but_that_part() {
    let part = PART as u64;
    // At the begin of a head, in a head, within a part, and within the one after it.
    for at in [1, 2000, part / 2, part + part / 2] {
        let (scene, service) = (Scene::new(), S3::new());
        let source = scene.source("source", 6 * PART + 5);
        // To find out whether the name is taken, few connections are tried.
        let first = usize::from(at == 1);
        let breaks = move |number| (first..4).contains(&number).then_some(at);
        let way = Way::to(service.server.address(), breaks);
        let words = ["--threads", "3", "source", "s3://b/x"];
        by_way(&scene, &service, &way, &words).run().code(0);
        assert!(way.connections() > 3, "{at}: {} connections", way.connections());
        assert_same(&service.get("/b/x").unwrap(), &source, &format!("cut after {at}"));
        let mut count = BTreeMap::new();
        came(&service).iter().for_each(|part| *count.entry(part.number).or_insert(0) += 1);
        assert_eq!(count, (1..=7).map(|number| (number, 1)).collect(), "cut after {at}");
        assert_eq!((open(&service), maps(&scene).len()), (0, 0), "cut after {at}");
    }
}

/// A connection that never carries a part ends the copy, which is resumed by a better one.
#[test]
fn a_way_that_always_breaks_ends_the_copy_and_another_one_completes_it() {
    let (scene, service) = (Scene::new(), S3::new());
    let source = scene.source("source", 3 * PART + 5);
    let way = Way::to(service.server.address(), |_| Some(PART as u64 + PART as u64 / 2));
    let words = ["--threads", "1", "--max-retries", "0", "source", "s3://b/x"];
    let ended = by_way(&scene, &service, &way, &words).run().code(5);
    assert!(ended.stderr.contains("--resume"), "{}", ended.stderr);
    let had = came(&service).len();
    assert!(had > 0 && open(&service) == 1, "{had} parts");
    // The address of the service is a part of the name of the map.
    let map = maps(&scene).remove(0);
    let words = ["--resume", "--map", &map, "--json", "source", "s3://b/x"];
    let report = told(&scene, &service, &words).run().code(0).report();
    assert_eq!(report["bytes"]["resumed"].as_u64(), Some((had * PART) as u64), "{report}");
    assert_same(&service.get("/b/x").unwrap(), &source, "the object");
    assert_eq!((came(&service).len(), open(&service), maps(&scene).len()), (4, 0, 0));
}

/// Parts that the map knows.
fn recorded(scene: &Scene) -> usize {
    let Some(map) = maps(scene).pop() else { return 0 };
    let text = String::from_utf8_lossy(&scene.read(map)).into_owned();
    text.lines().filter(|line| line.contains("dest-part-0")).count()
}

#[test]
fn a_killed_upload_is_resumed_or_given_up() {
    let wanted = rounds("PCOPY_S3_KILLS", 8);
    let (mut kills, mut copies, mut given_up, mut again, mut seed) = (0, 0, 0, 0, 0);
    while kills < wanted {
        let (scene, mut random) = (Scene::new(), Random::new(seed));
        let len = PART + 1 + random.below(4 * PART as u64) as usize;
        let source = pattern(seed, len);
        scene.write("source", &source);
        let service = S3::new();
        let way = Way::to(service.server.address(), |_| None);
        let threads = (1 + random.below(3)).to_string();
        let job = ["--threads", &threads, "--checkpoint-every", "0", "source", "s3://b/x"];
        let mut known = 0;
        for _ in 0..1 + random.below(3) {
            let (begin, goal) = (way.sent(), random.below(len as u64 + 10_000));
            let words = [&["--resume"][..], &job].concat();
            let mut running = by_way(&scene, &service, &way, &words).start();
            while way.sent() < begin + goal && running.child.try_wait().unwrap().is_none() {
                std::thread::yield_now();
            }
            let ended = running.kill();
            if !ended.was_killed() {
                break;
            }
            kills += 1;
            assert!(recorded(&scene) >= known, "seed {seed}: a part was forgotten");
            known = recorded(&scene);
        }
        if service.get("/b/x").is_none() || !maps(&scene).is_empty() {
            // What is there stays there; what is not can be begun anew.
            let is_there = service.get("/b/x").is_some();
            let word = if !is_there && random.chance(1, 3) { "--restart" } else { "--resume" };
            let words = [&[word, "--json"][..], &job].concat();
            let report = by_way(&scene, &service, &way, &words).run().code(0).report();
            let resumed = report["bytes"]["resumed"].as_u64().unwrap();
            match word {
                "--resume" => {
                    let parts = resumed.div_ceil(PART as u64) as usize;
                    assert!(parts >= known, "seed {seed}: {parts} resumed of {known}");
                }
                _ => {
                    assert_eq!(resumed, 0, "seed {seed}");
                    given_up += 1;
                }
            }
        }
        again += came(&service).len().saturating_sub(len.div_ceil(PART));
        assert_same(&service.get("/b/x").unwrap(), &source, &format!("seed {seed}"));
        assert_eq!((open(&service), maps(&scene).len()), (0, 0), "seed {seed}");
        (copies, seed) = (copies + 1, seed + 1);
    }
    println!(
        "measured: killed while uploading: {kills} kills of {copies} copies, all equal, {given_up} \
         started over, {again} parts sent again, 0 uploads left"
    );
}
