//! Several runs that write one file where it is, each a piece of its own: they
//! keep apart, and each can be resumed.

use std::fs::File;

use pcopy::durable::map::{Map, MapFile};
use pcopy::{ByteRange, RangeSet};
use rustix::process::Signal;

use crate::common::{Running, Scene, assert_same, pattern, wait_until};

const PIECE: usize = 1 << 20;

/// Slow enough to be met on the way, and in small requests.
const SLOW: &str = "--limit-rate 512KiB --io-size 64KiB --checkpoint-every 0 --progress json";

/// The words that copy piece `number` in place.
fn words(number: usize) -> String {
    let at = number * PIECE;
    format!("--in-place -r {at}+{PIECE} --dest-offset {at} source image")
}

fn begin(scene: &Scene, number: usize) -> Running {
    let line = format!("{SLOW} {}", words(number));
    let mut running = scene.pcopy(line.split_whitespace()).start();
    running.wait_until_copied(1);
    running
}

/// A run that has recorded something and stands still, so that it cannot end too early.
fn stopped(scene: &Scene, number: usize) -> Running {
    let mut running = begin(scene, number);
    assert!(running.wait_until_recorded(1) > 0);
    running.stand_still();
    running
}

fn scene(pieces: usize) -> (Scene, Vec<u8>) {
    let scene = Scene::new();
    let source = scene.source("source", pieces * PIECE);
    scene.write("image", &pattern(2, pieces * PIECE));
    (scene, source)
}

#[test]
fn eight_runs_write_eight_pieces_of_one_file_at_once() {
    let (scene, source) = scene(8);
    let all: Vec<Running> = (0..8).map(|number| begin(&scene, number)).collect();
    for running in all {
        running.end().code(0);
    }
    assert_same(&scene.read("image"), &source, "the pieces");
    assert_eq!(scene.names(), ["image", "source"], "no map is left");
}

/// Each makes the file longer, and none shorter, whichever comes first.
#[test]
fn pieces_of_a_file_that_is_not_there_yet_are_all_there_in_the_end() {
    const LEN: usize = 100_000;
    let scene = Scene::new();
    let source = scene.source("source", 8 * LEN);
    for round in 0..20 {
        scene.write("image", b"");
        let all: Vec<Running> = (0..8)
            .map(|number| {
                let at = number * LEN;
                let line = format!("--in-place -r {at}+{LEN} --dest-offset {at} source image");
                scene.pcopy(line.split_whitespace()).start()
            })
            .collect();
        for running in all {
            running.end().code(0);
        }
        assert_same(&scene.read("image"), &source, &format!("round {round}"));
    }
    assert_eq!(scene.names(), ["image", "source"], "no map is left");
}

/// A patch has no other length to go by than the one that the file has.
#[test]
fn patches_beyond_the_end_do_not_cut_each_other() {
    let scene = Scene::new();
    for round in 0..20 {
        scene.write("image", b"begin");
        let all: Vec<Running> = (0..4)
            .map(|number| {
                let at = 5 + 1000 * number;
                let line = format!("patch image {at} --text {number}abc --grow");
                scene.pcopy(line.split_whitespace()).start()
            })
            .collect();
        all.into_iter().for_each(|running| drop(running.end().code(0)));
        let image = scene.read("image");
        for number in 0..4 {
            let at = 5 + 1000 * number;
            let there = image.get(at..at + 4).map(String::from_utf8_lossy);
            assert_eq!(there, Some(format!("{number}abc").into()), "round {round}");
        }
    }
}

/// What is refused, or fails before its first byte, leaves the length as it was.
#[test]
fn a_refused_copy_takes_back_the_length() {
    let scene = Scene::new();
    scene.source("source", 5000);
    scene.write("image", b"abc");
    let job = "--reflink always --engine mmap --in-place --dest-offset 8192 source image";
    scene.run(job).code(3);
    assert_eq!(scene.read("image"), b"abc");
    // By a file system that shares no storage; where it does, all is there. Space may have
    // been reserved until then.
    for options in ["--preallocate off", "--preallocate full"] {
        let job = format!("{options} --reflink always --in-place --dest-offset 8192 source image");
        let ended = scene.run(&job);
        let len = if ended.status.success() { 8192 + 5000 } else { 3 };
        assert_eq!(scene.read("image").len(), len, "{options}: {}", ended.stderr);
    }
}

/// A stream that ends early gives back what it made the file longer by, and nothing that
/// another run has written meanwhile.
#[test]
fn a_stream_that_ends_early_cuts_off_no_other_piece() {
    let mib = 1 << 20;
    for (at, behind) in [(2 * mib, mib), (mib, 2 * mib)] {
        let scene = Scene::new();
        let source = scene.source("source", mib);
        scene.write("image", b"");
        scene.tool("mkfifo", ["pipe"]).run().code(0);
        let line = format!("--in-place -r 0+{mib} --dest-offset {at} pipe image");
        let running = scene.pcopy(line.split_whitespace()).start();
        let pipe = File::options().write(true).open(scene.path("pipe")).expect("a reader");
        wait_until("it has its length", || scene.read("image").len() == at + mib);
        let line = format!("--in-place --dest-offset {behind} source image");
        scene.run(&line).code(0);
        drop(pipe);
        let ended = running.end();
        assert_ne!(ended.status.code(), Some(0), "{}", ended.stderr);
        let image = scene.read("image");
        assert_same(&image[behind..behind + mib], &source, "the other piece");
    }
}

/// Each of them finds its own map, though another one looks at the same moment.
#[test]
fn interrupted_pieces_are_all_resumed_at_once() {
    for round in 0..5 {
        let (scene, source) = scene(4);
        let all: Vec<Running> = (0..4).map(|number| stopped(&scene, number)).collect();
        for running in all {
            running.signal(Signal::TERM);
            running.signal(Signal::CONT);
            running.end().died_by(Signal::TERM);
        }
        let resume = |number| format!("--resume {}", words(number));
        let all: Vec<Running> =
            (0..4).map(|number| scene.pcopy(resume(number).split_whitespace()).start()).collect();
        for running in all {
            let ended = running.end().code(0);
            assert!(!ended.stderr.contains("nothing was left"), "{round}: {}", ended.stderr);
        }
        assert_same(&scene.read("image"), &source, "the pieces");
        assert_eq!(scene.names(), ["image", "source"], "round {round}: a map is left");
    }
}

#[test]
fn a_piece_that_another_run_writes_is_refused() {
    let (scene, _) = scene(3);
    let first = begin(&scene, 1);
    first.stand_still();
    let overlapping = format!("--in-place -r 0+{} source image", PIECE + 1);
    let before = scene.read("image");
    scene.run(&overlapping).code(3).says(&["another copy is writing", "pcopy batch"]);
    assert_same(&scene.read("image"), &before, "what was refused");
    // A stream of unknown length may want any byte.
    let line = format!("cat source | {} --in-place - image", crate::common::program().display());
    let refused = scene.tool("sh", ["-c", &line]).run().code(3).says(&["'image'"]);
    assert!(!refused.stderr.contains("46116860"), "{}", refused.stderr);
    scene.run(&words(0)).code(0);
    scene.run(&words(2)).code(0);
    // A whole file in its place would lose the piece.
    scene.run("-f --map other.map source image").code(3).says(&["another copy is writing"]);
    first.signal(Signal::CONT);
    first.end().code(0);
    assert_same(&scene.read("image"), &scene.read("source"), "the pieces");
}

/// The eight lines are what a user repeats after the power came back.
#[test]
fn each_of_the_killed_runs_is_resumed_by_its_own_map() {
    let (scene, source) = scene(4);
    let all: Vec<Running> = (0..4).map(|number| stopped(&scene, number)).collect();
    for running in all {
        assert!(running.kill().was_killed());
    }
    for number in [2, 0, 3, 1] {
        scene.run(&words(number)).code(3).says(&["--resume"]);
        let report = scene.run(&format!("--resume --json {}", words(number))).code(0).report();
        assert!(report["bytes"]["resumed"].as_u64() > Some(0), "{report}");
    }
    assert_same(&scene.read("image"), &source, "the pieces");
    assert_eq!(scene.names(), ["image", "source"]);
}

/// One that was killed keeps nobody from writing another piece, nor does the
/// other lose what the first one recorded.
#[test]
fn the_map_of_a_killed_run_is_not_in_the_way_of_another_piece() {
    let (scene, source) = scene(2);
    let first = begin(&scene, 0);
    wait_until("it has a map", || scene.has("image.pcopy-map"));
    assert!(first.kill().was_killed());
    let map = scene.read("image.pcopy-map");
    scene.run(&words(1)).code(0);
    scene.run(&format!("--restart {}", words(1))).code(0);
    assert_same(&scene.read("image.pcopy-map"), &map, "the map of the first");
    scene.run(&format!("--resume {}", words(0))).code(0);
    assert_same(&scene.read("image"), &source, "both pieces");
    assert_eq!(scene.names(), ["image", "source"]);
}

/// No bytes overlap with none: a run of none has not to be taken for another piece, whose
/// map stays.
#[test]
fn the_map_of_a_run_of_no_bytes_goes_when_that_is_resumed() {
    let (scene, _) = scene(1);
    let first = begin(&scene, 0);
    wait_until("it has a map", || scene.has("image.pcopy-map"));
    assert!(first.kill().was_killed());
    let file = MapFile::new(&scene.path("image.pcopy-map")).expect("a name");
    let Map { identity, .. } = file.load().expect("a map").expect("it is there");
    let mut identity = identity.expect("it is ours");
    let none = ByteRange::between(0, 0);
    identity.range = none;
    let (done, failed) = (RangeSet::new(), RangeSet::new());
    let map = Map { identity: Some(identity), done, failed, extent: none };
    file.save(&map).expect("a map can be saved");
    let before = scene.read("image");
    scene.run("--resume --in-place -r 0+0 source image").code(0);
    assert_same(&scene.read("image"), &before, "nothing was to be written");
    assert_eq!(scene.names(), ["image", "source"]);
}
