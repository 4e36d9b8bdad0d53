//! `--in-place`: outside the range nothing changes, and nothing is cut off
//! (invariant I2 on the disk).

use crate::common::{Scene, assert_same, pattern, skip};

const LEN: usize = 200_000;

/// Copies `from..from + len` of a source of `LEN` bytes to byte `to` of an
/// existing file of `LEN` bytes, and asserts every byte of it.
#[track_caller]
fn check(from: usize, len: usize, to: usize, threads: usize) {
    let scene = Scene::new();
    let source = scene.source("source", LEN);
    let before = pattern(2, LEN);
    scene.write("image", &before);
    let line = format!(
        "--in-place -t {threads} --io-size 4KiB --stripe-size 16KiB \
         -r {from}+{len} --dest-offset {to} --json source image"
    );
    let report = scene.run(&line).code(0).report();
    assert_eq!(report["in_place"], true, "an interruption would show, and the report says so");
    let mut expected = before;
    if expected.len() < to {
        expected.resize(to, 0);
    }
    let cut = (to + len).min(expected.len()) - to;
    expected[to..to + cut].copy_from_slice(&source[from..from + cut]);
    expected.extend(&source[from + cut..from + len]);
    assert_same(&scene.read("image"), &expected, &line);
    assert_eq!(scene.names(), ["image", "source"]);
}

#[test]
fn bytes_outside_the_range_stay() {
    for threads in [1, 2, 4, 8] {
        check(0, 1, 0, threads);
        check(0, 0, 5, threads);
        check(333, 512, 1, threads);
        check(1, 4097, 4095, threads);
        check(16_383, 100_001, 65_537, threads);
        check(0, LEN, 0, threads);
    }
}

#[test]
fn a_shorter_copy_does_not_truncate() {
    check(0, 10, 0, 4);
    check(LEN - 10, 10, LEN - 10, 4);
}

#[test]
fn a_range_beyond_the_end_extends_the_file() {
    check(0, 50_000, LEN - 1, 4);
    check(0, 50_000, LEN, 4);
    check(7, 1, LEN + 12_345, 4);
}

#[test]
fn disjoint_ranges_of_one_file_may_be_copied() {
    let scene = Scene::new();
    let before = scene.source("image", LEN);
    scene.run("-t 4 --in-place -r 0..50000 --dest-offset 50000 image image").code(0);
    let mut expected = before;
    expected.copy_within(0..50_000, 50_000);
    assert_same(&scene.read("image"), &expected, "disjoint ranges");
}

#[test]
fn it_needs_a_file_that_is_there() {
    let scene = Scene::new();
    scene.source("source", 100);
    scene.run("--in-place source missing").code(3).says(&["does not exist", "--in-place"]);
    scene.run("--in-place --force source missing").code(2);
    assert_eq!(scene.names(), ["source"]);
}

/// The mode of a file changed in place is none of our business.
#[cfg(unix)]
#[test]
fn mode_and_inode_stay() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let scene = Scene::new();
    scene.source("source", 5000);
    scene.write("image", &pattern(2, 5000));
    let path = scene.path("image");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    if std::fs::hard_link(&path, scene.path("link")).is_err() {
        return skip("this file system has no hard links");
    }
    let before = path.metadata().unwrap();
    scene.run("--in-place source image").code(0);
    let after = path.metadata().unwrap();
    assert_eq!((after.mode(), after.ino()), (before.mode(), before.ino()));
    assert_same(&scene.read("link"), &scene.read("source"), "the other name of the file");
}

/// An empty range, beyond the end too: length, time and bytes stay.
#[test]
fn an_empty_range_changes_nothing() {
    let long_ago = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000);
    let nothing = ["--length 0", "-r 5..5", "-r 200000.."];
    for (range, more) in nothing.iter().flat_map(|range| {
        ["", "--also image2", "--no-sync", "--verify", "--map m"].map(|more| (range, more))
    }) {
        let scene = Scene::new();
        scene.source("source", LEN);
        for name in ["image", "image2"] {
            scene.write(name, b"eighteen bytes, no");
            let file = std::fs::File::options().write(true).open(scene.path(name));
            file.expect("it opens").set_modified(long_ago).expect("set");
            let data = scene.path(name).metadata().expect("it is there");
            if data.modified().expect("a time") != long_ago {
                return skip("this file system changes times by itself");
            }
        }
        let line = format!("--in-place {range} --dest-offset 30 {more} source image");
        scene.run(&line).code(0);
        for name in ["image", "image2"] {
            assert_same(&scene.read(name), b"eighteen bytes, no", &line);
            let modified = scene.path(name).metadata().and_then(|data| data.modified());
            assert_eq!(modified.expect("a time"), long_ago, "{line}: {name}");
        }
        assert_eq!(scene.names(), ["image", "image2", "source"], "{line}");
    }
}
