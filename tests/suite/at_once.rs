//! Several runs that begin at one moment, with one destination: one of them copies, and
//! the others are refused in words, or come after it. Whatever they meet of each other, no
//! byte is wrong, nothing that is another's goes away, and nothing is left that nobody needs.
//!
//! `PCOPY_MEETINGS` says how often each of them meets; the long tier has it 100 times.

use crate::common::{Running, Scene, assert_same, pattern, rounds};

const RUNS: usize = 6;

/// Begins `line` several times at one moment; how many ended with 0. All others are refused.
#[track_caller]
fn meet(scene: &Scene, line: &str, what: &str) -> usize {
    meet_or(3, scene, line, what)
}

/// The same, where a run that is not refused may also end with the code `or`.
#[track_caller]
fn meet_or(or: i32, scene: &Scene, line: &str, what: &str) -> usize {
    let all: Vec<Running> =
        (0..RUNS).map(|_| scene.pcopy(line.split_whitespace()).start()).collect();
    let mut done = 0;
    for running in all {
        let ended = running.end();
        match ended.status.code() {
            Some(0) => done += 1,
            Some(3) => {}
            Some(code) if code == or => {}
            code => panic!("{what}: {code:?}: {}", ended.stderr),
        }
        // All of them are alive, or have ended well. A batch closes its small parts until it
        // syncs them, and nobody sees whose they are then.
        let is_told = !line.starts_with("batch");
        assert!(
            !is_told || !ended.stderr.contains("an earlier run left"),
            "{what}: {}",
            ended.stderr
        );
    }
    done
}

/// Says how often runs met, which was as it should be each time.
fn measured(what: &str, meetings: u64) {
    println!(
        "measured: {RUNS} runs at one moment, {what}: {meetings} meetings, 0 wrong bytes, nothing left"
    );
}

fn names(scene: &Scene, folder: &str) -> Vec<String> {
    let entries = std::fs::read_dir(scene.path(folder)).expect("a folder").flatten();
    let mut names: Vec<_> =
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn one_new_file_is_made_by_one_of_them() {
    let mut meetings = 0;
    for len in [0, 3000, 1_500_000] {
        for options in ["", "--resume", "--restart", "--force", "--force --restart --digest md5"] {
            let scene = Scene::new();
            let source = scene.source("source", len);
            for round in 0..rounds("PCOPY_MEETINGS", 3) {
                let what = format!("{len} bytes, {options}, round {round}");
                meetings += 1;
                std::fs::create_dir(scene.path("out")).expect("a folder");
                let done = meet(&scene, &format!("-q {options} source out/copy"), &what);
                // What comes later may replace it, or find that it is complete.
                let may_end_well = options.contains("--force") || options == "--resume";
                assert!(done == 1 || done > 1 && may_end_well, "{what}: {done} ended with 0");
                assert_same(&scene.read("out/copy"), &source, &what);
                assert_eq!(names(&scene, "out"), ["copy"], "{what}");
                std::fs::remove_dir_all(scene.path("out")).expect("a folder");
            }
        }
    }
    measured("a new file", meetings);
}

#[test]
fn one_set_is_that_of_one_of_them() {
    let mut meetings = 0;
    for options in ["", "--restart", "--force", "--force --restart", "--force --resume"] {
        let scene = Scene::new();
        let source = scene.source("source", 3000);
        for round in 0..rounds("PCOPY_MEETINGS", 3) {
            let what = format!("{options}, round {round}");
            meetings += 1;
            std::fs::create_dir(scene.path("out")).expect("a folder");
            let line = format!("-q {options} --split 1000 source out/copy");
            assert!(meet(&scene, &line, &what) > 0, "{what}: none ended with 0");
            let all = ["copy.001", "copy.002", "copy.003"];
            assert_eq!(names(&scene, "out"), all, "{what}");
            let bytes = all.map(|name| scene.read(format!("out/{name}"))).concat();
            assert_same(&bytes, &source, &what);
            std::fs::remove_dir_all(scene.path("out")).expect("a folder");
        }
    }
    measured("a set of files", meetings);
}

#[test]
fn one_place_is_written_by_one_after_the_other() {
    let mut meetings = 0;
    for options in ["", "--resume", "--restart", "--only-changed"] {
        let scene = Scene::new();
        let source = scene.source("source", 300_000);
        for round in 0..rounds("PCOPY_MEETINGS", 3) {
            let what = format!("{options}, round {round}");
            meetings += 1;
            scene.write("image", &pattern(round, 100_000));
            assert!(meet(&scene, &format!("-q {options} --in-place source image"), &what) > 0);
            assert_same(&scene.read("image"), &source, &what);
            assert_eq!(scene.names(), ["image", "source"], "{what}");
        }
    }
    measured("a file in place", meetings);
}

/// A file that another run has made meanwhile is a failure of that item alone; together
/// they make all.
#[test]
fn the_files_of_a_batch_are_made_by_some_of_them() {
    let mut meetings = 0;
    for (len, count) in [(1000, 20), (9 << 20, 2)] {
        for options in ["", "--resume", "--restart", "--force"] {
            let scene = Scene::new();
            let source = scene.source("source", len * count);
            let rows = (0..count).map(|number| format!("f{number:02},{},{len}\n", number * len));
            let list = format!("name,start,length\n{}", rows.collect::<String>());
            scene.write("list.csv", list.as_bytes());
            let rounds = rounds("PCOPY_MEETINGS", 3);
            for round in 0..if len > 1 << 20 { rounds.div_ceil(5) } else { rounds } {
                let what = format!("{count} files of {len} bytes, {options}, round {round}");
                meetings += 1;
                std::fs::create_dir(scene.path("out")).expect("a folder");
                let line = format!("batch list.csv -q {options} --source source --into out");
                meet_or(1, &scene, &line, &what);
                let all: Vec<_> = (0..count).map(|number| format!("f{number:02}")).collect();
                assert_eq!(names(&scene, "out"), all, "{what}");
                let bytes: Vec<_> =
                    all.iter().flat_map(|name| scene.read(format!("out/{name}"))).collect();
                assert_same(&bytes, &source, &what);
                std::fs::remove_dir_all(scene.path("out")).expect("a folder");
            }
        }
    }
    measured("a batch", meetings);
}
