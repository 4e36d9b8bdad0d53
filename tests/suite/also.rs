//! `--also`: one read, several destinations, each on its own.

use crate::common::{Scene, assert_same};

#[test]
fn every_destination_gets_the_range() {
    let scene = Scene::new();
    let source = scene.source("source", 3_000_007);
    for options in ["", "-t 4 --verify", "-r 77..2999999 --digest blake3", "--no-sync"] {
        let line = format!("{options} --also b --also c --json -f source a");
        let report = scene.run(&line).code(0).report();
        let range = if options.contains("-r") { 77..2_999_999 } else { 0..source.len() };
        for name in ["a", "b", "c"] {
            assert_same(&scene.read(name), &source[range.clone()], &format!("{options} {name}"));
        }
        assert_eq!(report["outcome"], "complete");
        assert_eq!(report["also"][0]["path"], "b");
        assert_eq!(report["also"][1]["outcome"], "complete");
        if options.contains("--verify") {
            assert_eq!(report["verified"], true);
            assert_eq!(report["also"][1]["verified"], true);
        }
    }
    assert_eq!(scene.names(), ["a", "b", "c", "source"]);
}

#[test]
fn holes_are_kept_in_every_destination() {
    let scene = Scene::new();
    scene.write("source", b"data");
    let file = std::fs::File::options().write(true).open(scene.path("source")).unwrap();
    file.set_len(10 << 20).unwrap();
    let report = scene.run("--also b --digest sha256 --json source a").code(0).report();
    assert!(report["bytes"]["holes"].as_u64() > Some(9 << 20), "{report}");
    assert_same(&scene.read("b"), &scene.read("source"), "b");
}

#[test]
fn nothing_is_written_where_one_destination_is_refused() {
    let scene = Scene::new();
    scene.source("source", 1000);
    scene.write("old", b"old");
    scene.run("--also old source a").code(3).says(&["old", "--force"]);
    scene.run("--also a source a").code(3).says(&["same destination"]);
    scene.run("--also ./a source a").code(3).says(&["same destination"]);
    scene.run("--also nowhere/b source a").code(3);
    for options in ["--resume", "--restart", "--map m", "--verify --repair"] {
        scene.run(&format!("{options} --also b source a")).code(2).says(&["--also"]);
    }
    scene.run("--also b source -").code(2);
    scene.run("-n --also b source a").code(0);
    assert_eq!(scene.names(), ["old", "source"]);
}

#[test]
fn an_unexpected_digest_commits_no_destination() {
    let scene = Scene::new();
    scene.source("source", 100_000);
    scene.run("--expect crc32c:00000000 --also b source a").code(4);
    assert_eq!(scene.names(), ["source"]);
}

/// A limit on the size of files stands for a disk that is full.
#[cfg(unix)]
#[test]
fn one_failing_destination_does_not_stop_the_others() {
    let full = std::path::Path::new("/dev/shm");
    if !crate::common::is_root() || !full.is_dir() {
        return;
    }
    for threads in ["1", "4"] {
        for full_first in [true, false] {
            check_full(threads, full_first);
        }
    }
}

#[cfg(unix)]
fn check_full(threads: &str, full_first: bool) {
    let scene = Scene::new();
    let source = scene.source("source", 3_000_000);
    std::fs::create_dir(scene.path("small")).unwrap();
    let mounted = scene.tool("mount", ["-t", "tmpfs", "-o", "size=1m", "none", "small"]).run();
    if !mounted.status.success() {
        return crate::common::skip("tmpfs cannot be mounted");
    }
    let (first, second) = if full_first { ("small/x", "good") } else { ("good", "small/x") };
    let arguments = ["-t", threads, "--json", "--also", second, "source", first];
    let checked = std::panic::catch_unwind(|| {
        // Too small from the beginning, and too small because something else fills it.
        let ended = scene.pcopy(arguments).run().code(5).says(&["small/x"]);
        let report = ended.report();
        assert_eq!(report["outcome"], "failed");
        let other = if full_first { &report["also"][0] } else { &report };
        assert_eq!(other["durable"], true, "{report}");
        assert_same(&scene.read("good"), &source, "the other destination");
        assert!(!scene.has("small/x") && !scene.has("small/x.pcopy-part"));
    });
    scene.tool("umount", ["small"]).run().code(0);
    checked.unwrap();
}
