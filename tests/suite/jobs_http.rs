//! Jobs of several processes that read what a server hands out: all of them must get the
//! very version that was planned.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use crate::common::{Scene, assert_same, pattern, wait_until};
use crate::jobs::{SLOW, SMALL, recorded, start};
use crate::server::{Object, Server};

/// A server whose object is another one when the switch says so.
fn changing(before: &[u8], after: &[u8]) -> (Server, Arc<AtomicBool>) {
    let changed = Arc::new(AtomicBool::new(false));
    let objects = [Object::new(before), Object::new(after).tagged("\"two\"")];
    let switch = Arc::clone(&changed);
    let server =
        Server::start(move |request| objects[usize::from(switch.load(SeqCst))].answer(request));
    (server, changed)
}

#[test]
fn an_object_is_copied_by_several_processes() {
    let scene = Scene::new();
    let bytes = pattern(1, 1_500_001);
    let server = Server::of(&bytes);
    let url = server.url("object");
    let line = format!("{SMALL} --digest blake3 --digest sha256 --verify --json -r 1.. {url} copy");
    let all: Vec<_> = (0..3).map(|_| start(&scene, &line)).collect();
    let mut copied = 0;
    for running in all {
        let report = running.end().code(0).report();
        assert_eq!(report["verified"], true, "{report}");
        copied += report["bytes"]["copied"].as_u64().unwrap();
    }
    assert_eq!(copied, 1_500_000);
    assert_same(&scene.read("copy"), &bytes[1..], "the copy");
    let before = server.requests();
    let again = scene.run(&line).code(0).report();
    assert_eq!(again["bytes"]["copied"], 0, "{again}");
    assert!(server.requests() - before < 5, "it was asked for bytes again");
    scene.run("job finish J").code(0);
}

#[test]
fn an_object_that_changed_after_the_plan_is_refused() {
    let scene = Scene::new();
    let (before, after) = (pattern(1, 1 << 20), pattern(2, 1 << 20));
    let (server, changed) = changing(&before, &after);
    let url = server.url("object");
    let line = format!("{SMALL} {url} copy");
    let first = start(&scene, &format!("{SLOW} {line}"));
    wait_until("it has begun", || recorded(&scene) > 0);
    changed.store(true, SeqCst);
    // The one that is at work meets it, and so does one that comes later.
    first.end().code(5);
    let ended = scene.run(&line).code(5);
    assert!(ended.stderr.contains("\"two\""), "{}", ended.stderr);
    assert!(!scene.has("copy"));
    // As it was, the job goes on.
    changed.store(false, SeqCst);
    scene.run(&line).code(0);
    assert_same(&scene.read("copy"), &before, "the copy");
    changed.store(true, SeqCst);
    scene.run(&line).code(5);
    assert_same(&scene.read("copy"), &before, "what was there");
}

#[test]
fn a_list_of_objects_is_copied_by_several_processes() {
    let scene = Scene::new();
    let bytes = |number: u64| pattern(number, 20_000 + number as usize * 1000);
    let server = Server::start(move |request| {
        let number: u64 = request.target[1..].parse().unwrap();
        Object::new(&bytes(number)).tagged(&format!("\"{number}\"")).answer(request)
    });
    let mut list = String::from("name,source\n");
    for number in 1..=40 {
        list += &format!("of/{number},{}\n", server.url(&number.to_string()));
    }
    list += &format!("large,{}\n", server.url("400"));
    scene.write("list.csv", list.as_bytes());
    let line = format!("batch {SMALL} --into out --json list.csv");
    let all: Vec<_> = (0..3).map(|_| start(&scene, &line)).collect();
    for running in all {
        let report = running.end().code(0).report();
        assert_eq!(report["items"]["complete"], 41, "{report}");
    }
    for number in 1..=40 {
        assert_same(&scene.read(format!("out/of/{number}")), &bytes(number), "an object");
    }
    assert_same(&scene.read("out/large"), &bytes(400), "the large one");
}

#[test]
fn a_list_of_which_an_object_changed_is_refused() {
    let scene = Scene::new();
    let (server, changed) = changing(&pattern(1, 300_000), &pattern(2, 300_000));
    let mut list = String::from("name,start,len\n");
    for number in 0..70 {
        list += &format!("{number},{},4000\n", number * 4000);
    }
    scene.write("list.csv", list.as_bytes());
    let url = server.url("object");
    let line = format!("batch {SMALL} --into out --source {url} list.csv");
    let first = start(&scene, &format!("{line} {}", SLOW.replace("512KiB", "64KiB")));
    wait_until("it has begun", || recorded(&scene) > 0);
    changed.store(true, SeqCst);
    first.end().code(5);
    scene.run(&line).code(5).says(&["planned"]);
    assert!(!scene.path("J/finished.json").exists());
    changed.store(false, SeqCst);
    scene.run(&line).code(0);
    assert_same(&scene.read("out/69"), &pattern(1, 300_000)[276_000..280_000], "the last one");
}
