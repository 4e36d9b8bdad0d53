//! Devices and mounts that go away in the middle of a copy.

mod anywhere;

use std::fs::File;

use crate::common::{Scene, assert_same};
use crate::devices::{BAD_DEVICE_TOOLS, Loop, possible};
use crate::disks::Served;

const LEN: usize = 16 << 20;

/// What is served; gone when it is dropped.
fn served(scene: &Scene) -> Served {
    let image = scene.path("image").display().to_string();
    Served::new(scene, "served", true, ["file", &image])
}

/// Starts `line`, and takes away what it reads from when bytes are moving.
#[track_caller]
fn pull(scene: &Scene, served: Served, line: &str) -> crate::common::Ended {
    let line = format!("--progress json --limit-rate 2MiB {line}");
    let line = match line.split_once("batch ") {
        Some((options, rest)) => format!("batch {options} {rest}"),
        None => line,
    };
    let mut running = scene.pcopy(line.split_whitespace()).start();
    running.wait_until_copied(1 << 20);
    drop(served);
    running.end()
}

/// A device was called bad from where it was pulled out on, sector by sector,
/// and the torso got its final name.
#[test]
fn a_device_that_is_pulled_out_is_gone() {
    if !possible(BAD_DEVICE_TOOLS) {
        return;
    }
    for engine in ["positioned", "direct"] {
        let scene = Scene::new();
        scene.source("image", LEN);
        let server = served(&scene);
        let device = Loop::with(&server.file(), &["--read-only"]);
        let line = format!("-t 3 --engine {engine} {} copy", device.path);
        pull(&scene, server, &line).code(5).says(&["is gone", "--resume"]);
        assert!(!scene.has("copy") && scene.has("copy.pcopy-part") && scene.has("copy.pcopy-map"));
    }
}

#[test]
fn a_mount_that_is_lost_is_gone_and_the_copy_is_resumed() {
    if !possible(BAD_DEVICE_TOOLS) {
        return;
    }
    let scene = Scene::new();
    let bytes = scene.source("image", LEN);
    pull(&scene, served(&scene), "-t 3 served/nbd copy").code(5).says(&["is gone", "--resume"]);
    assert!(!scene.has("copy"));
    std::fs::remove_dir(scene.path("served")).expect("nothing is mounted");
    let _again = served(&scene);
    // Mounted again, the file has another time, and the same bytes.
    scene.run("-t 3 --resume served/nbd copy").code(0);
    assert_same(&scene.read("copy"), &bytes, "the resumed copy");
}

#[test]
fn a_batch_of_a_device_that_is_pulled_out_ends() {
    if !possible(BAD_DEVICE_TOOLS) {
        return;
    }
    let scene = Scene::new();
    let bytes = scene.source("image", LEN);
    let rows: String = (0..64).map(|n| format!("f{n},{},262144\n", n << 18)).collect();
    scene.write("list.csv", format!("name,start,len\n{rows}").as_bytes());
    let server = served(&scene);
    let device = Loop::with(&server.file(), &["--read-only"]);
    let line = format!("batch list.csv --source {} --into out -t 2", device.path);
    pull(&scene, server, &line).code(5).says(&["is gone", "not tried", "--resume"]);
    for n in 0..64 {
        let name = format!("out/f{n}");
        if File::open(scene.path(&name)).is_ok() {
            assert_same(&scene.read(&name), &bytes[n << 18..][..1 << 18], &name);
        }
    }
    assert!(!scene.has("out/f63"));
}
