//! Invariant I13 in a batch: what is finished is not thrown away because a number
//! or a time of its source is another, and other bytes are found nevertheless.

use std::fs::{self, File};

use positioned_io::WriteAt;
use rustix::process::Signal;
use serde_json::Value;

use crate::batch::tree;
use crate::common::{Running, Scene, assert_same, pattern};

const ITEMS: usize = 400;
const LEN: usize = 10_000;
const SLOW: &str = "--limit-rate 1MiB --io-size 64KiB --progress json --json";

fn name(n: usize) -> String {
    format!("out/f{n}")
}

/// Many items of one image.
fn of_one_image() -> (Scene, Vec<u8>) {
    let scene = Scene::new();
    let image = scene.source("image", ITEMS * LEN);
    let rows: String = (0..ITEMS).map(|n| format!("f{n},{},{LEN}\n", n * LEN)).collect();
    scene.write("list.csv", format!("name,start,len\n{rows}").as_bytes());
    (scene, image)
}

fn start(scene: &Scene, options: &str) -> Running {
    let line = format!("batch list.csv --source image --into out -t 2 {SLOW} {options}");
    let mut running = scene.pcopy(line.split_whitespace()).start();
    // A group of files has been committed.
    running.wait_for_line(|line| {
        let event: Value = serde_json::from_str(line).unwrap_or_default();
        event["items"].as_u64() > Some(100)
    });
    running
}

fn assert_all(scene: &Scene, image: &[u8]) {
    for n in 0..ITEMS {
        assert_same(&scene.read(name(n)), &image[n * LEN..][..LEN], &name(n));
    }
}

fn notes(report: &Value) -> String {
    report["notes"].to_string()
}

/// Writes to a file, and puts its modification time back.
fn change_unseen(scene: &Scene, name: &str, at: usize) {
    let mut file = File::options().read(true).write(true).open(scene.path(name)).unwrap();
    let time = file.metadata().and_then(|data| data.modified()).expect("a time");
    file.write_all_at(at as u64, b"other").expect("written");
    file.set_modified(time).expect("the time is set");
}

#[test]
fn nothing_is_thrown_away_because_a_change_time_moved() {
    let link: fn(&Scene) =
        |scene| fs::hard_link(scene.path("image"), scene.path("link")).expect("a link");
    let rename: fn(&Scene) = |scene| {
        // Under another name for a moment, as by a tool that rotates files.
        fs::rename(scene.path("image"), scene.path("aside")).expect("a rename");
        fs::rename(scene.path("aside"), scene.path("image")).expect("a rename");
    };
    for (what, touch) in [("link", link), ("rename", rename)] {
        let (scene, image) = of_one_image();
        let running = start(&scene, "");
        touch(&scene);
        let report = running.end().code(0).report();
        assert_eq!(report["items"]["complete"], ITEMS, "{what}: {report}");
        assert!(notes(&report).contains("compared with it again"), "{what}: {report}");
        assert_all(&scene, &image);
    }
}

/// Ranges that say where they end are what they were when the image grows.
#[test]
fn an_image_may_grow_behind_the_items() {
    let (scene, image) = of_one_image();
    let running = start(&scene, "");
    let file = File::options().append(true).open(scene.path("image"));
    std::io::Write::write_all(&mut file.expect("an image"), b"more").expect("it grows");
    let report = running.end().code(0).report();
    assert!(notes(&report).contains("its size was"), "{report}");
    assert_all(&scene, &image);
}

/// Also in items that had their names before the write.
#[test]
fn a_write_behind_an_old_time_ends_the_batch_wherever_it_is() {
    for at in [5, 50 * LEN + 7] {
        let (scene, _) = of_one_image();
        let running = start(&scene, "");
        change_unseen(&scene, "image", at);
        let byte = format!("byte {at} of it is not what was copied");
        running.end().code(5).says(&[&byte, "--allow-changed-source"]);
        assert!(!tree(&scene, "out").iter().any(|name| name.ends_with(".pcopy-part")));
    }
}

/// A user who accepts a changed source gets all of it, with a note.
#[test]
fn a_changed_source_is_accepted_on_request() {
    for time in [false, true] {
        let (scene, _) = of_one_image();
        let running = start(&scene, "--allow-changed-source");
        change_unseen(&scene, "image", 5);
        if time {
            let file = File::options().write(true).open(scene.path("image")).unwrap();
            file.set_modified(std::time::SystemTime::UNIX_EPOCH).expect("a time");
        }
        let report = running.end().code(0).report();
        assert_eq!(report["items"]["complete"], ITEMS, "{report}");
        assert!(notes(&report).contains("accepted"), "{report}");
    }
    // Several sources to one folder are a batch as well.
    let scene = Scene::new();
    for name in ["a", "b"] {
        scene.write(name, name.as_bytes());
    }
    fs::create_dir(scene.path("out")).expect("a folder");
    scene.run("--allow-changed-source a b out").code(0);
    assert_eq!(tree(&scene, "out"), ["a", "b"]);
}

/// Of many sources each is judged by itself.
#[test]
fn of_many_sources_only_that_which_differs_fails() {
    const FILES: usize = 8;
    const SIZE: usize = 512 << 10;
    let scene = Scene::new();
    fs::create_dir(scene.path("out")).expect("a folder");
    for n in 0..FILES {
        scene.write(format!("s{n}"), &pattern(n as u64, SIZE));
    }
    let names: Vec<String> = (0..FILES).map(|n| format!("s{n}")).collect();
    let line = format!("{SLOW} --engine positioned -t 2 {} out", names.join(" "));
    let mut running = scene.pcopy(line.split_whitespace()).start();
    running.wait_until_copying();
    for n in 0..FILES - 1 {
        fs::hard_link(scene.path(format!("s{n}")), scene.path(format!("l{n}"))).expect("a link");
    }
    // Too late, or too early, for its copy: what is there is right either way.
    change_unseen(&scene, "s7", 9);
    let ended = running.end();
    for n in 0..FILES - 1 {
        let copy = scene.read(format!("out/s{n}"));
        assert_same(&copy, &scene.read(format!("s{n}")), "a copy");
    }
    if scene.has("out/s7") {
        ended.code(0);
        assert_same(&scene.read("out/s7"), &scene.read("s7"), "read after the change");
    } else {
        ended.code(1).says(&["s7", "byte 9 of it is not what was copied"]);
    }
}

/// A large file that was interrupted, whose source is another by its numbers.
#[test]
fn a_large_item_is_resumed_whatever_its_numbers_are() {
    const LARGE: usize = 80 << 20;
    type Change = fn(&Scene);
    let touch: Change =
        |scene| fs::hard_link(scene.path("image"), scene.path("link")).expect("a link");
    let replace: Change = |scene| {
        fs::rename(scene.path("image"), scene.path("old")).expect("a rename");
        fs::copy(scene.path("old"), scene.path("image")).expect("a copy");
    };
    let part: Change = |scene| {
        fs::rename(scene.path("out/f.pcopy-part"), scene.path("old")).expect("a rename");
        fs::copy(scene.path("old"), scene.path("out/f.pcopy-part")).expect("a copy");
    };
    let write: Change = |scene| change_unseen(scene, "image", 100_000);
    let changes = [
        ("touch", touch, true),
        ("replace", replace, true),
        ("part", part, true),
        ("write", write, false),
    ];
    for (what, change, goes_on) in changes {
        let scene = Scene::new();
        scene.source("image", LARGE);
        scene.write("list.csv", format!("name,start,len\nf,0,{LARGE}\n").as_bytes());
        let line = "batch list.csv --source image --into out --engine positioned --progress json";
        let slow = format!("{line} --limit-rate 40MiB --checkpoint-every 0");
        let mut running = scene.pcopy(slow.split_whitespace()).start();
        running.wait_until_copied(LARGE as u64 / 4);
        running.signal(Signal::INT);
        running.end().died_by(Signal::INT);
        assert!(scene.has("out/f.pcopy-map"));
        change(&scene);
        let ended = scene.run(&format!("{line} --resume")).code(0);
        let last = ended.stderr.lines().rfind(|line| line.contains("\"finished\""));
        let last: Value = serde_json::from_str(last.expect("events")).expect("an event");
        let copied = last["copied"].as_u64().expect("a number");
        assert_eq!(copied < LARGE as u64, goes_on, "{what}: {last}");
        assert_same(&scene.read("out/f"), &scene.read("image"), "the copy");
    }
}
