//! How much storage a copy takes: holes take none, and what will become holes
//! is neither reserved nor asked for.

use std::os::unix::fs::MetadataExt;

use crate::common::{Scene, SmallDisk, assert_same, pattern, skip};

const LEN: usize = 8 << 20;

/// Engines of a copy whose zeros are looked for.
const ENGINES: [&str; 3] = ["auto", "positioned", "direct"];

#[test]
fn zeros_become_holes_whatever_engine_moves_the_rest() {
    let scene = Scene::new();
    let mut source = vec![0; LEN];
    source[LEN / 2..LEN / 2 + 5000].copy_from_slice(&pattern(1, 5000));
    scene.write("source", &source);
    for engine in ENGINES {
        let line = format!("--sparse always --engine {engine} -f --json source copy");
        let ended = scene.run(&line);
        if engine == "direct" && ended.status.code() == Some(3) {
            return skip("the temporary folder has no requests past the page cache");
        }
        let report = ended.code(0).report();
        assert_same(&scene.read("copy"), &source, engine);
        let bytes = scene.path("copy").metadata().unwrap().blocks() * 512;
        assert!(bytes <= 64 << 10, "{engine}: {bytes} bytes of storage are taken: {report}");
    }
    let line = "--sparse always --preallocate full --engine direct -f source copy";
    scene.run(line).code(0);
    let bytes = scene.path("copy").metadata().unwrap().blocks() * 512;
    assert!(bytes >= LEN as u64, "asked for, all of it is reserved: {bytes}");
}

/// What the zeros leave fits.
#[test]
fn no_room_is_asked_for_what_becomes_holes() {
    let scene = Scene::new();
    let Some(_small) = SmallDisk::new(&scene, "small", 1) else { return };
    let mut source = vec![0; LEN];
    source[..5000].copy_from_slice(&pattern(1, 5000));
    scene.write("source", &source);
    scene.run("source small/copy").code(3).says(&["space"]);
    scene.run("--sparse always --preallocate full source small/copy").code(3).says(&["space"]);
    scene.run("--sparse always source small/copy").code(0);
    assert_same(&scene.read("small/copy"), &source, "the copy");
}

/// What an earlier run has reserved is there for the run that resumes it.
#[test]
fn what_was_reserved_is_not_asked_for_again() {
    let scene = Scene::new();
    let source = scene.source("source", LEN);
    let Some(_small) = SmallDisk::new(&scene, "small", 10) else { return };
    // No other serves from every file system to another.
    let how = "--engine positioned --preallocate full";
    let line = format!("{how} --limit-rate 4MiB --progress json source small/copy");
    let mut running = scene.pcopy(line.split_whitespace()).start();
    running.wait_until_copying();
    running.signal(rustix::process::Signal::INT);
    running.end().died_by(rustix::process::Signal::INT);
    scene.run(&format!("--resume {how} source small/copy")).code(0);
    assert_same(&scene.read("small/copy"), &source, "the copy");
}
