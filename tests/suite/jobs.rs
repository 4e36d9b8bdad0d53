//! One copy by several processes that share nothing but a folder: they end with one
//! file that is the source, even if some of them are killed.

use std::path::Path;

use rustix::process::Signal;

use crate::common::{Running, Scene, assert_same, pattern, wait_until};

/// Small shards, so that there are many; a short lease, so that nobody waits.
pub const SMALL: &str = "--job J --stripe-size 64KiB --lease 0.5 --progress none";

/// Slow enough to be met on the way.
pub const SLOW: &str = "--limit-rate 512KiB --io-size 16KiB";

pub fn start(scene: &Scene, line: &str) -> Running {
    scene.pcopy(line.split_whitespace()).start()
}

/// Shards of which there is a record.
pub fn recorded(scene: &Scene) -> usize {
    let names = std::fs::read_dir(scene.path("J")).into_iter().flatten().flatten();
    names.filter(|entry| entry.file_name().to_string_lossy().starts_with("done.")).count()
}

fn no_part_is_left(scene: &Scene) {
    let left: Vec<String> =
        scene.names().into_iter().filter(|name| name.contains(".pcopy-")).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_job_of_one_process_is_a_copy_and_the_same_line_again_copies_nothing() {
    let scene = Scene::new();
    let source = scene.source("source", 3_000_001);
    let digests = "--digest blake3 --digest crc32c --digest sha256 --verify";
    let line = format!("{SMALL} --json {digests} -r 1.. source copy");
    let report = scene.run(&line).code(0).report();
    assert_same(&scene.read("copy"), &source[1..], "the copy");
    assert_eq!(report["verified"], true, "{report}");
    assert_eq!(report["bytes"]["copied"], 3_000_000, "{report}");
    let plain = scene.run(&format!("--json {digests} -r 1.. source plain")).code(0).report();
    assert_eq!(report["digests"], plain["digests"]);
    let again = scene.run(&line).code(0).report();
    assert_eq!(again["bytes"]["copied"], 0, "{again}");
    assert_eq!(again["digests"], plain["digests"]);
    no_part_is_left(&scene);
    std::fs::remove_file(scene.path("copy")).unwrap();
    scene.run(&line).code(3).says(&["the job is over", "copy"]);
}

#[test]
fn what_one_process_has_written_another_one_reads_back() {
    let scene = Scene::new();
    let source = scene.source("source", 2 << 20);
    let line = format!("{SMALL} {SLOW} --verify --digest blake3 --json source copy");
    let all: Vec<Running> =
        (1..=3).map(|number| start(&scene, &format!("{line} --shard {number}/3"))).collect();
    for running in all {
        let report = running.end().code(0).report();
        assert_eq!(report["verified"], true, "{report}");
        let notes = report["notes"].to_string();
        assert!(notes.contains("read back by another process"), "{notes}");
    }
    assert_same(&scene.read("copy"), &source, "the copy");
}

/// Others have written, and died, and one of them has written something else.
#[test]
fn a_shard_that_is_not_the_source_counts_as_missing() {
    let scene = Scene::new();
    let source = scene.source("source", 1 << 20);
    let line = format!("{SMALL} --verify source copy");
    let all: Vec<Running> =
        (1..=2).map(|k| start(&scene, &format!("{line} {SLOW} --shard {k}/2"))).collect();
    wait_until("some shards are there", || recorded(&scene) > 6);
    for running in all {
        running.kill();
    }
    // Of those that nobody has compared yet, and that are there.
    let text = |name: String| std::fs::read_to_string(scene.path(name)).unwrap_or_default();
    let is_open = |shard: &usize| {
        text(format!("J/done.{shard:05}.json")).contains("\"verified\":null")
            && !scene.path(format!("J/checked.{shard:05}.json")).exists()
    };
    let Some(shard) = (0..16).find(is_open) else {
        return crate::common::skip("every shard was read back before they were killed");
    };
    let part = scene.names().into_iter().find(|name| name.ends_with("pcopy-part"));
    let file = std::fs::File::options().write(true).open(scene.path(part.unwrap())).unwrap();
    std::os::unix::fs::FileExt::write_at(&file, b"other", (shard as u64) << 16).unwrap();
    drop(file);
    scene.run(&line).code(4);
    assert!(!scene.has("copy"));
    scene.run(&line).code(0);
    assert_same(&scene.read("copy"), &source, "the copy");
}

#[test]
fn empty_and_single_and_placed_ranges_are_copied() {
    let scene = Scene::new();
    let source = scene.source("source", 700_000);
    scene.run("--job E -r 5..5 --digest blake3 source empty").code(0);
    assert_eq!(scene.read("empty"), b"");
    scene.run("--job O -r 5..6 --digest blake3 --digest crc32c source one").code(0);
    assert_eq!(scene.read("one"), &source[5..6]);
    // Off the grid, where subtrees of digests are not those of the shards.
    let place = "--dest-offset 1001 -r 77.. --json --digest blake3 --digest crc32c source";
    let report = scene.run(&format!("{SMALL} {place} placed")).code(0).report();
    let plain = scene.run(&format!("{place} plain")).code(0).report();
    assert_eq!(report["digests"], plain["digests"]);
    assert_same(&scene.read("placed"), &scene.read("plain"), "the place");
}

#[test]
fn what_is_for_one_process_or_of_another_job_is_refused() {
    let scene = Scene::new();
    let source = scene.source("source", 300_000);
    scene.write("other", &pattern(2, 300_000));
    scene.run(&format!("{SMALL} source copy")).code(0);
    let again = |line: &str, what: &[&str]| {
        scene.run(&format!("{SMALL} {line}")).code(3).says(&["folder of another job"]).says(what);
    };
    again("other copy", &["source"]);
    again("source copy2", &["destination"]);
    again("-r 1.. source copy", &["range is 0..300000 there, and 1..300000 here"]);
    again("--verify source copy", &["verify is false there, and true here"]);
    // How many threads one machine has is its own.
    scene.run(&format!("{SMALL} -t 3 --limit-rate 1GiB source copy")).code(0);
    scene.run("--job K source other").code(3).says(&["exists", "--force"]);
    assert!(!scene.path("K/plan.json").exists(), "nothing was promised");
    std::fs::create_dir(scene.path("full")).unwrap();
    scene.write("full/letter", b"dear");
    scene.run("--job full source new").code(3).says(&["not a folder of a job", "letter"]);
    let usage = [
        ("--shard 0/4 source new", "1/4"),
        ("--shard 5/4 source new", "no part 5 of 4"),
        ("--in-place source other", "in-place"),
        ("--resume source new", "same line"),
        ("--dry-run source new", "--dry-run"),
        ("source -", "one file"),
        ("- new", "once"),
        ("--split 1KiB source new", "split"),
    ];
    for (line, text) in usage {
        scene.run(&format!("--job L {line}")).code(2).says(&[text]);
    }
    scene.run("--shard 1/4 source new").code(2).says(&["--job"]);
    assert!(!scene.has("new") && !scene.has("L"));
    assert_same(&scene.read("copy"), &source, "what was there");
    no_part_is_left(&scene);
}

/// It slept for so long that the others are done, and the user works with the file.
#[test]
fn a_process_that_wakes_up_when_all_is_over_writes_nothing() {
    let scene = Scene::new();
    scene.source("source", 1 << 20);
    let sleeper = start(&scene, &format!("{SMALL} {SLOW} source copy"));
    wait_until("it has begun", || recorded(&scene) > 0);
    sleeper.stand_still();
    scene.run(&format!("{SMALL} source copy")).code(0);
    let edited = vec![7; 1 << 20];
    scene.write("copy", &edited);
    sleeper.signal(Signal::CONT);
    sleeper.end().code(0);
    assert_same(&scene.read("copy"), &edited, "what the user made of it");
}

#[test]
fn a_process_that_is_asked_to_stop_gives_its_shard_back_at_once() {
    let scene = Scene::new();
    let source = scene.source("source", 1 << 20);
    // With the usual lease, of a minute.
    let line = "--job J --stripe-size 64KiB --progress none source copy";
    let stopped = start(&scene, &format!("{SLOW} {line}"));
    wait_until("it has begun", || recorded(&scene) > 0);
    stopped.signal(Signal::TERM);
    let ended = stopped.end().died_by(Signal::TERM);
    assert!(ended.stderr.contains("the same line again"), "{}", ended.stderr);
    assert!(!ended.stderr.contains("--resume"), "{}", ended.stderr);
    let begin = std::time::Instant::now();
    let report = scene.run(&format!("--json {line}")).code(0).report();
    assert!(begin.elapsed().as_secs() < 50, "it waited for the lease");
    assert!(report["bytes"]["resumed"].as_u64() > Some(0), "{report}");
    assert_same(&scene.read("copy"), &source, "the copy");
}

#[test]
fn what_is_missing_is_listed_as_a_scheduler_takes_it_and_finish_may_be_said_twice() {
    let scene = Scene::new();
    let source = scene.source("source", 1 << 20);
    let slow = SLOW.replace("512KiB", "128KiB");
    let first = start(&scene, &format!("{SMALL} {slow} --shard 2/4 source copy"));
    wait_until("it has begun", || recorded(&scene) > 1);
    first.kill();
    let ended = scene.run("job finish J").code(75);
    assert!(ended.stderr.contains("missing: 0,"), "{}", ended.stderr);
    assert!(ended.stderr.contains("--array=0,"), "{}", ended.stderr);
    let status = scene.run("job status --json J").code(0).report();
    assert_eq!(status["state"], "copying", "{status}");
    assert_eq!(status["shards"], 16, "{status}");
    assert!(status["shards_done"].as_u64() >= Some(2), "{status}");
    scene.run("job status J").code(0);
    scene.run(&format!("{SMALL} source copy")).code(0);
    assert_same(&scene.read("copy"), &source, "the copy");
    for _ in 0..2 {
        scene.run("job finish J").code(0);
    }
    let status = scene.run("job status --json J").code(0).report();
    assert_eq!((&status["state"], &status["missing"]), (&"finished".into(), &"".into()));
    let none = scene.run("job status --json nowhere").code(3).says(&["no such folder"]).report();
    assert_eq!(none["error_kind"], "other", "{none}");
    scene.run("job finish nowhere").code(3).says(&["there is no job in 'nowhere'"]);
    std::fs::create_dir(scene.path("empty")).unwrap();
    scene.run("job status empty").code(3).says(&["no job"]);
}

/// As it stands where the one that gave the name was killed before it noted that.
#[test]
fn a_file_that_has_its_name_already_is_found_by_who_comes_next() {
    let scene = Scene::new();
    let source = scene.source("source", 300_000);
    let line = format!("{SMALL} --digest sha256 source copy");
    let first = scene.run(&line).code(0).out();
    std::fs::remove_file(scene.path("J/finished.json")).unwrap();
    let end = |name: &str| name.contains("claim.00005");
    for entry in std::fs::read_dir(scene.path("J")).unwrap().flatten() {
        if end(&entry.file_name().to_string_lossy()) {
            std::fs::remove_file(entry.path()).unwrap();
        }
    }
    assert_eq!(scene.run(&line).code(0).out(), first);
    // Somebody else's is not taken for it.
    std::fs::remove_file(scene.path("J/finished.json")).unwrap();
    scene.write("theirs", &pattern(3, 300_000));
    std::fs::rename(scene.path("theirs"), scene.path("copy")).unwrap();
    scene.run(&line).code(4);
    assert!(!scene.path("J/finished.json").exists());
    assert_same(&scene.read("source"), &source, "the source");
}

#[test]
fn what_is_not_as_expected_gets_no_name() {
    let scene = Scene::new();
    scene.source("source", 300_000);
    scene.run(&format!("{SMALL} --expect crc32c:00000000 source copy")).code(4);
    assert!(!scene.has("copy"));
    let first = start(&scene, "--job K --stripe-size 64KiB --limit-rate 64KiB source copy");
    let has_record = || scene.path("K/done.00000.json").exists();
    wait_until("it has begun", has_record);
    first.kill();
    scene.write("source", &pattern(9, 300_000));
    scene.run("--job K --stripe-size 64KiB source copy").code(5).says(&["modification time"]);
    assert!(!scene.has("copy"));
}

#[test]
fn rights_holes_and_what_is_replaced_are_as_of_any_copy() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let scene = Scene::new();
    let file = std::fs::File::create(scene.path("source")).unwrap();
    file.set_len(8 << 20).unwrap();
    std::os::unix::fs::FileExt::write_at(&file, &pattern(1, 100_000), 5 << 20).unwrap();
    file.set_permissions(std::fs::Permissions::from_mode(0o640)).unwrap();
    scene.write("copy", b"before");
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    scene.run(&format!("{SMALL} --force --preserve --digest blake3 source copy")).code(0);
    assert_same(&scene.read("copy"), &scene.read("source"), "the copy");
    assert_eq!(mode(&scene.path("copy")), 0o640);
    let (ours, theirs) = (scene.path("copy"), scene.path("source"));
    let (ours, theirs) = (ours.metadata().unwrap(), theirs.metadata().unwrap());
    assert_eq!(ours.mtime(), theirs.mtime());
    if theirs.blocks() * 512 < 1 << 20 {
        assert!(ours.blocks() * 512 < 2 << 20, "the holes were filled");
    }
}

#[test]
fn a_script_names_the_line_and_submits_nothing() {
    let scene = Scene::new();
    let script = |kind: &str| {
        let line = format!("job script J {kind} -N 3 -- --verify source/a copy");
        scene.run(&line).code(0).out()
    };
    assert!(script("slurm").contains("#SBATCH --array=0-2"));
    assert!(script("mpi").contains("mpirun -n 3 pcopy --job "));
    assert!(script("k8s").contains("completions: 3"));
    assert!(script("parallel").contains("--shard {}/3"));
    assert!(script("slurm").contains("--verify source/a copy"));
    scene.run("job script J slurm -- source").code(2).says(&["SOURCE and DEST"]);
    assert!(scene.names().is_empty());
}
