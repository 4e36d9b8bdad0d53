//! A batch that is stopped in the middle leaves every file complete or absent,
//! and is resumed.

#[cfg(unix)]
use std::path::Path;
use std::time::{Duration, Instant};

use pcopy::testing::Random;
#[cfg(unix)]
use rustix::process::Signal;
use serde_json::Value;

use crate::batch::{lines, tree};
use crate::common::{Running, Scene, assert_same, rounds};

const ITEMS: usize = 2000;
const LEN: usize = 6000;
/// A length that no request ends at, of a file that has a map.
const LARGE: usize = (80 << 20) + 12_345;

/// Slow enough to be in the middle whatever the machine does.
const SLOW: &str = "--limit-rate 4MiB --io-size 64KiB --progress json";

/// A scene with an image, and a list of many small files.
fn many() -> (Scene, Vec<u8>) {
    let scene = Scene::new();
    let image = scene.source("image", ITEMS * LEN);
    let row = |n: usize| format!("d{}/f{n},{},{LEN}\n", n % 7, n * LEN);
    let rows: String = (0..ITEMS).map(row).collect();
    scene.write("list.csv", format!("name,start,len\n{rows}").as_bytes());
    (scene, image)
}

/// Asserts that what has a final name is right; how many that are.
#[track_caller]
fn assert_nothing_partial(scene: &Scene, image: &[u8]) -> usize {
    let mut complete = 0;
    for n in 0..ITEMS {
        let name = format!("out/d{}/f{n}", n % 7);
        if scene.has(&name) {
            assert_same(&scene.read(&name), &image[n * LEN..][..LEN], &name);
            complete += 1;
        }
    }
    complete
}

fn is_left_over(name: &str) -> bool {
    name.ends_with(".pcopy-part") || name.contains(".pcopy-map")
}

fn start(scene: &Scene, options: &str) -> Running {
    let line = format!("batch list.csv --source image --into out -t 4 {options}");
    scene.pcopy(line.split_whitespace()).start()
}

/// A list of `count` small files: the bytes of the image, and what is to be there.
struct Crowd {
    scene: Scene,
    image: Vec<u8>,
    count: usize,
}

impl Crowd {
    const LEN: usize = 3000;

    fn new(count: usize) -> Crowd {
        let scene = Scene::new();
        let image = scene.source("image", count * Crowd::LEN);
        let row = |n: usize| format!("{},{},{}\n", Crowd::name(n), n * Crowd::LEN, Crowd::LEN);
        let rows: String = (0..count).map(row).collect();
        scene.write("list.csv", format!("name,start,len\n{rows}").as_bytes());
        Crowd { scene, image, count }
    }

    fn name(n: usize) -> String {
        format!("d{}/f{n}", n % 97)
    }

    fn start(&self, options: &str) -> Running {
        let line = format!("batch list.csv --source image --into out -q -t 2 {options}");
        self.scene.pcopy(line.split_whitespace()).start()
    }

    /// Asserts that whatever has a final name is right; how many those are.
    #[track_caller]
    fn complete(&self, what: &str) -> usize {
        let is_there = |n: &usize| match std::fs::read(self.scene.path("out").join(Crowd::name(*n)))
        {
            Ok(found) => {
                assert_same(&found, &self.image[n * Crowd::LEN..][..Crowd::LEN], what);
                true
            }
            Err(error) => {
                assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{what}: {error}");
                false
            }
        };
        (0..self.count).filter(is_there).count()
    }
}

/// Killed at moments that have nothing to do with what it is about, gone on
/// with and killed again, until all is there; and then from the beginning.
#[test]
fn killed_at_random_nothing_is_partial_and_the_end_is_complete() {
    let count = if std::env::var_os("PCOPY_SOAK").is_some() { 20_000 } else { 2000 };
    let wanted = rounds("PCOPY_KILLS", 50) / 10;
    let crowd = Crowd::new(count);
    let begin = Instant::now();
    crowd.start("").end().code(0);
    let whole_run = u64::try_from(begin.elapsed().as_micros()).unwrap();
    let (mut kills, mut inside, mut passes) = (0, 0, 0);
    let mut random = Random::new(16);
    while kills < wanted {
        std::fs::remove_dir_all(crowd.scene.path("out")).unwrap();
        let mut before = 0;
        loop {
            let options = if random.below(2) == 0 { "--resume" } else { "--resume --no-sync" };
            let running = crowd.start(options);
            // Not a delay that anything relies on: whenever it ends, the same holds.
            std::thread::park_timeout(Duration::from_micros(random.below(whole_run)));
            let ended = running.kill();
            let what = format!("kill {kills}, pass {passes}, {options}");
            let complete = crowd.complete(&what);
            assert!(complete >= before, "{what}: what was complete stays");
            before = complete;
            if ended.status.success() {
                break;
            }
            assert!(ended.was_killed(), "{what}: {ended:?}");
            kills += 1;
            inside += u64::from((1..count).contains(&complete));
        }
        passes += 1;
        assert_eq!(before, count, "pass {passes}");
        let left = tree(&crowd.scene, "out").into_iter().find(|name| is_left_over(name));
        assert_eq!(left, None, "pass {passes}");
    }
    println!(
        "measured: a batch killed at random: {count} files, {kills} kills, {inside} of them with \
         some files complete and others not, 0 partial, {passes} of {passes} batches equal in the end"
    );
}

fn copied(line: &str) -> u64 {
    let event: Value = serde_json::from_str(line).unwrap_or_default();
    event["copied"].as_u64().unwrap_or(0)
}

/// Whether the tests run on a file system where small files have no name until they are
/// complete.
#[cfg(target_os = "linux")]
fn has_unnamed_files(folder: &Path) -> bool {
    /// ext2 to ext4, XFS, btrfs, tmpfs: linux/magic.h.
    const MAGIC: [u64; 4] = [0xef53, 0x5846_5342, 0x9123_683e, 0x0102_1994];
    rustix::fs::statfs(folder).is_ok_and(|system| MAGIC.contains(&(system.f_type as u64)))
}

/// Resumes without waiting for the disk: every file is there, and nothing beside them.
#[track_caller]
fn assert_is_resumed_without_sync(scene: &Scene, image: &[u8]) {
    start(scene, "--no-sync --resume").end().code(0);
    assert_eq!(assert_nothing_partial(scene, image), ITEMS);
    assert!(!tree(scene, "out").iter().any(|name| is_left_over(name)));
}

/// A run that is killed leaves no part but the first of each worker, which shows whether
/// files can do without.
#[cfg(target_os = "linux")]
#[test]
fn killed_it_leaves_no_part_of_a_small_file_that_is_not_synced() {
    let (scene, image) = many();
    if !has_unnamed_files(scene.folder()) {
        return crate::common::skip("every file has a name here");
    }
    let mut running = start(&scene, &format!("--no-sync {SLOW}"));
    running.wait_until_copied(3_000_000);
    assert!(running.kill().was_killed());
    let complete = assert_nothing_partial(&scene, &image);
    assert!((1..ITEMS).contains(&complete), "{complete}");
    let parts = tree(&scene, "out").iter().filter(|name| is_left_over(name)).count();
    assert!(parts <= 4, "{parts} parts, and each of four workers has one first file at most");
    assert_is_resumed_without_sync(&scene, &image);
}

/// A name that somebody takes before its file is complete stays with what took it.
#[test]
fn a_name_that_is_taken_meanwhile_is_not_replaced() {
    let (scene, image) = many();
    let mut running = start(&scene, &format!("--no-sync {SLOW}"));
    running.wait_until_copied(1_000_000);
    // Somebody takes the name of a file that is still to come.
    let taken = format!("out/d{}/f{}", (ITEMS - 1) % 7, ITEMS - 1);
    std::fs::create_dir_all(scene.path(&taken).parent().unwrap()).unwrap();
    scene.write(&taken, b"of somebody else");
    running.end().code(1).says(&[&format!("f{}", ITEMS - 1)]);
    assert_same(&scene.read(&taken), b"of somebody else", "what was there");
    std::fs::remove_file(scene.path(&taken)).unwrap();
    assert_eq!(assert_nothing_partial(&scene, &image), ITEMS - 1);
}

/// What an earlier program left as a part goes when its file is copied.
#[test]
fn a_part_of_a_small_file_that_was_left_goes() {
    let (scene, image) = many();
    std::fs::create_dir_all(scene.path("out/d3")).unwrap();
    scene.write("out/d3/f1998.pcopy-part", b"from before");
    start(&scene, "--no-sync").end().code(3);
    assert_is_resumed_without_sync(&scene, &image);
}

/// What was not tried stands nowhere but in the list, which is its own report.
#[test]
fn a_report_that_is_the_list_stays_until_the_batch_ends() {
    let (scene, image) = many();
    let row = |n: usize| {
        let (name, start) = (format!("d{}/f{n}", n % 7), n * LEN);
        serde_json::json!({"name": name, "start": start, "len": LEN, "status": "not-tried"})
    };
    let rows: String = (0..ITEMS).map(|n| format!("{}\n", row(n))).collect();
    scene.write("r", rows.as_bytes());
    let line = "batch --retry r --report r --source image --into out --resume";
    let slow = format!("{line} {SLOW}");
    let running = scene.pcopy(slow.split_whitespace()).start();
    crate::common::wait_until("some are there", || has_begun_the_report(&scene));
    assert!(running.kill().was_killed());
    assert_same(&scene.read("r"), rows.as_bytes(), "the list");
    assert!(assert_nothing_partial(&scene, &image) < ITEMS);

    scene.run(line).code(0);
    assert_eq!(assert_nothing_partial(&scene, &image), ITEMS);
    let report = lines(&scene, "r");
    assert_eq!(report.len(), ITEMS);
    let good = |line: &Value| line["status"] == "complete" || line["status"] == "skipped";
    assert!(report.iter().all(good));
    assert!(!scene.names().iter().any(|name| name.ends_with(".tmp")), "{:?}", scene.names());
}

/// Whether the report that takes the place of the list `r` in the end has a line.
fn has_begun_the_report(scene: &Scene) -> bool {
    let names = scene.names().into_iter();
    let mut reports = names.filter(|name| name.starts_with(".r.") && name.ends_with(".tmp"));
    reports.any(|name| scene.path(name).metadata().is_ok_and(|data| data.len() > 0))
}

/// Also while files that are there are compared with the digests of the list.
#[cfg(unix)]
#[test]
fn an_interrupted_comparison_leaves_the_others_in_the_list() {
    let scene = Scene::new();
    let image = scene.source("image", 8 << 20);
    std::fs::create_dir(scene.path("out")).unwrap();
    scene.write("there", &image);
    // Of a few megabytes each: some seconds.
    const ROWS: usize = 600;
    let wrong = "0".repeat(40);
    let rows = (0..ROWS).map(|n| {
        std::fs::hard_link(scene.path("there"), scene.path(format!("out/f{n}"))).unwrap();
        let row = serde_json::json!({"name": format!("f{n}"), "sha1": wrong, "status": "failed"});
        format!("{row}\n")
    });
    let rows: String = rows.collect();
    scene.write("r", rows.as_bytes());
    let line = "batch --retry r --report r --source image --into out --resume -t 1 --progress json";
    let running = scene.pcopy(line.split(' ')).start();
    crate::common::wait_until("some are compared", || has_begun_the_report(&scene));
    running.signal(Signal::INT);
    running.end().died_by(Signal::INT);
    let report = lines(&scene, "r");
    assert_eq!(report.len(), ROWS, "every item is in it");
    assert!(report.iter().any(|line| line["status"] == "not-tried"));
}

#[test]
fn what_a_killed_batch_left_is_not_touched_without_consent() {
    let (scene, image) = many();
    let mut running = start(&scene, SLOW);
    running.wait_for_line(|line| copied(line) > 0);
    assert!(running.kill().was_killed());
    let left = tree(&scene, "out");
    assert!(left.iter().any(|name| is_left_over(name)), "{left:?}");
    start(&scene, "").end().code(3);
    assert_eq!(tree(&scene, "out"), left);
    start(&scene, "--restart --force").end().code(0);
    assert_eq!(assert_nothing_partial(&scene, &image), ITEMS);
}

#[cfg(unix)]
#[test]
fn interrupted_it_dies_by_the_signal_and_reports_every_item() {
    for signal in [Signal::INT, Signal::TERM] {
        let (scene, image) = many();
        let mut running = start(&scene, &format!("{SLOW} --report r.jsonl --json"));
        running.wait_for_line(|line| {
            let event: Value = serde_json::from_str(line).unwrap_or_default();
            event["items"].as_u64() > Some(0)
        });
        running.signal(signal);
        let ended = running.end().died_by(signal).says(&["interrupted", "batch --resume list.csv"]);
        let complete = assert_nothing_partial(&scene, &image);
        assert!((1..ITEMS).contains(&complete), "{complete}");
        let left = tree(&scene, "out").into_iter().find(|name| is_left_over(name));
        assert_eq!(left, None, "what is not complete and small is not kept");
        let report = ended.report();
        assert_eq!(report["outcome"], "interrupted");
        assert_eq!(report["items"]["complete"], complete);
        assert_eq!(report["items"]["not_tried"], ITEMS - complete);
        let lines = lines(&scene, "r.jsonl");
        assert_eq!(lines.len(), ITEMS, "a line an item, also for those not begun");
        let done = lines.iter().filter(|line| line["status"] == "complete").count();
        assert_eq!(done, complete);

        let retry = "batch --retry r.jsonl --source image --into out --json";
        let report = scene.run(retry).code(0).report();
        assert_eq!(report["items"]["complete"], ITEMS - complete, "only what was missing");
        assert_eq!(assert_nothing_partial(&scene, &image), ITEMS);
    }
}

/// A scene with one large range to copy, stopped in the middle of it.
fn large() -> (Scene, Vec<u8>) {
    let scene = Scene::new();
    let image = scene.source("image", LARGE + 1000);
    scene.write("list.csv", format!("name,start,len\nlarge,777,{LARGE}\n").as_bytes());
    stop_large(&scene, "", interrupt);
    (scene, image)
}

/// Asks a copy to stop. Where a test has no signal to ask with, it is killed:
/// then its map is that of a checkpoint.
#[track_caller]
fn interrupt(running: Running) {
    #[cfg(unix)]
    {
        running.signal(Signal::INT);
        running.end().died_by(Signal::INT);
    }
    #[cfg(not(unix))]
    kill(running);
}

#[track_caller]
fn kill(running: Running) {
    assert!(running.kill().was_killed());
}

/// Stops the copy of the large range after some megabytes.
#[track_caller]
fn stop_large(scene: &Scene, options: &str, stop: fn(Running)) {
    stop_within(scene, "large", options, stop);
}

/// Stops the batch within its only file, `name`.
#[track_caller]
fn stop_within(scene: &Scene, name: &str, options: &str, stop: fn(Running)) {
    let often = if cfg!(unix) { "" } else { "--checkpoint-every 0" };
    let slow = "--limit-rate 16MiB --io-size 1MiB --progress json";
    let mut running = start(scene, &format!("{slow} {often} {options}"));
    running.wait_for_line(|line| copied(line) > 8 << 20);
    stop(running);
    let has = |suffix| scene.has(format!("out/{name}{suffix}"));
    assert!(!has("") && has(".pcopy-part") && has(".pcopy-map"));
}

#[track_caller]
fn assert_large(scene: &Scene, image: &[u8]) {
    assert_same(&scene.read("out/large"), &image[777..][..LARGE], "the large file");
    assert_eq!(tree(scene, "out"), ["large"]);
}

/// Bytes that the run still had to copy, as its last event tells.
#[track_caller]
fn resume(scene: &Scene) -> u64 {
    let ended = start(scene, "--resume --progress json").end().code(0);
    let last = ended.stderr.lines().rfind(|line| line.contains("\"finished\"")).expect("events");
    copied(last)
}

/// What is not what was expected is of no use to a later run, nor is its map.
#[test]
fn a_large_file_of_another_digest_leaves_nothing() {
    let scene = Scene::new();
    let len = 72 << 20;
    scene.source("image", len);
    let digest = "0".repeat(64);
    scene.write("list.csv", format!("name,start,len,sha256\nlarge,0,{len},{digest}\n").as_bytes());
    start(&scene, "--checkpoint-every 0").end().code(1).says(&["large", "not as expected"]);
    let left: Vec<_> = std::fs::read_dir(scene.path("out")).expect("a folder").collect();
    assert!(left.is_empty(), "{left:?}");
}

/// All of it is copied: what was recorded of that is not done again.
#[cfg(unix)]
#[test]
fn a_large_file_that_is_being_verified_goes_on() {
    let (scene, image) = large();
    let line = "--resume --verify --limit-rate 24MiB --io-size 1MiB --checkpoint-every 0.1 \
                --progress json";
    let mut running = start(&scene, line);
    running.wait_for_line(|line| {
        let event: Value = serde_json::from_str(line).unwrap_or_default();
        event["verified"].as_u64() > Some(0)
    });
    running.signal(Signal::TERM);
    running.end().died_by(Signal::TERM).says(&["--resume"]);
    assert!(scene.has("out/large.pcopy-part") && scene.has("out/large.pcopy-map"));
    let report = start(&scene, "--resume --verify --json").end().code(0).report();
    assert!(report["resumed"].as_u64() > Some(LARGE as u64 / 2), "{report}");
    assert_large(&scene, &image);
}

#[test]
fn a_large_file_goes_on_from_its_map() {
    let (scene, image) = large();
    let report = start(&scene, "--resume --json").end().code(0).report();
    let [copied, resumed] = ["bytes", "resumed"].map(|key| report[key].as_u64().expect("bytes"));
    assert!(copied > 0 && resumed > 0, "{report}");
    assert_eq!(copied + resumed, LARGE as u64, "{report}");
    assert_large(&scene, &image);
}

/// What an earlier run copied, and holes, count for the digests as well.
#[test]
fn the_digests_of_a_large_file_are_those_of_all_of_it() {
    const WANTED: &str = "--digest sha256 --digest blake3 --digest crc32c";
    let (scene, image) = large();
    start(&scene, &format!("--resume --report r {WANTED}")).end().code(0);
    assert_large(&scene, &image);
    let mut sparse = std::fs::File::create(scene.path("sparse")).expect("a file");
    sparse.set_len(20 << 20).expect("it may be sparse");
    positioned_io::WriteAt::write_all_at(&mut sparse, 7 << 20, &image[..3 << 20]).expect("data");
    drop(sparse);
    scene.write("two.csv", b"name,source\nsparse,sparse\n");
    scene.run(&format!("batch two.csv --into out --report s {WANTED}")).code(0);
    for (report, name) in [("r", "large"), ("s", "sparse")] {
        let again = scene.run(&format!("--json --force {WANTED} out/{name} again")).code(0);
        let found = &lines(&scene, report)[0]["digests"];
        assert_eq!(found, &again.report()["digests"], "{name}");
        assert_eq!(found.as_object().map(serde_json::Map::len), Some(3), "{name}");
    }
}

/// Nobody asks it before it dies: what the map said before holds.
#[test]
fn a_large_file_goes_on_after_a_kill() {
    let (scene, image) = large();
    stop_large(&scene, "--resume", kill);
    let copied = resume(&scene);
    assert!(copied > 0 && copied < LARGE as u64, "{copied} bytes again");
    assert_large(&scene, &image);
}

/// The map speaks of one file; another in its place, even one with the same
/// number, holds none of its bytes.
#[test]
fn a_map_without_its_part_is_not_believed() {
    let (scene, image) = large();
    std::fs::remove_file(scene.path("out/large.pcopy-part")).unwrap();
    assert_eq!(resume(&scene), LARGE as u64);
    assert_large(&scene, &image);
}

/// Nor is a part without a map, whatever it holds.
#[test]
fn a_part_without_its_map_is_not_believed() {
    let (scene, image) = large();
    std::fs::remove_file(scene.path("out/large.pcopy-map")).unwrap();
    scene.write("out/large.pcopy-part", &vec![0xee; LARGE + 5000]);
    assert_eq!(resume(&scene), LARGE as u64);
    assert_large(&scene, &image);
}

/// Nor is one that was cut: what is missing would come back as zeros.
#[test]
fn a_part_that_was_cut_is_not_believed() {
    let (scene, image) = large();
    let part = std::fs::File::options().write(true).open(scene.path("out/large.pcopy-part"));
    part.and_then(|file| file.set_len(1 << 20)).expect("it can be cut");
    assert_eq!(resume(&scene), LARGE as u64);
    assert_large(&scene, &image);
}

/// Somebody may have been at the part meanwhile.
#[test]
fn a_large_file_that_was_written_to_is_copied_anew() {
    let (scene, image) = large();
    let part = scene.path("out/large.pcopy-part");
    let part = std::fs::OpenOptions::new().write(true).open(part).unwrap();
    std::io::Write::write_all(&mut &part, &vec![0xee; LARGE / 2]).unwrap();
    drop(part);
    assert_eq!(resume(&scene), LARGE as u64);
    assert_large(&scene, &image);
}

/// A map that stands beside another file speaks of other bytes.
#[test]
fn maps_that_have_changed_places_are_not_believed() {
    let (scene, image) = large();
    let (here, there) = ("large,777,", "other,1000,");
    scene.write("list.csv", format!("name,start,len\n{there}{LARGE}\n").as_bytes());
    stop_within(&scene, "other", "", interrupt);
    let path = |name: &str| scene.path(format!("out/{name}.pcopy-map"));
    std::fs::rename(path("large"), path("kept")).unwrap();
    std::fs::rename(path("other"), path("large")).unwrap();
    std::fs::rename(path("kept"), path("other")).unwrap();
    let both = format!("name,start,len\n{here}{LARGE}\n{there}{LARGE}\n");
    scene.write("list.csv", both.as_bytes());
    assert_eq!(resume(&scene), 2 * LARGE as u64, "nothing is taken as done");
    assert_same(&scene.read("out/large"), &image[777..][..LARGE], "the large file");
    assert_same(&scene.read("out/other"), &image[1000..][..LARGE], "the other file");
    assert_eq!(tree(&scene, "out"), ["large", "other"]);
}

/// What another run is writing is neither discarded nor gone on with.
#[test]
fn the_parts_of_a_run_that_is_alive_are_left_alone() {
    for (rate, make) in [("2MiB", many as fn() -> _), ("8MiB", large)] {
        let (scene, image) = make();
        // The many are new; of the large one there is a part.
        let slow = format!("--limit-rate {rate} --io-size 64KiB --progress json");
        let mut running = start(&scene, &format!("--resume {slow}"));
        running.wait_for_line(|line| copied(line) > 0);
        for options in ["--resume", "--restart"] {
            let ended = start(&scene, options).end().code(3);
            // Of the many one may get its name between two looks.
            let why = ["another copy is writing", "exists"];
            assert!(why.iter().any(|why| ended.stderr.contains(why)), "{}", ended.stderr);
        }
        running.end().code(0);
        if scene.has("out/large") {
            assert_large(&scene, &image);
        } else {
            assert_eq!(assert_nothing_partial(&scene, &image), ITEMS);
        }
    }
}

/// A file made of two sources is as sound as both of them.
#[test]
fn a_source_that_changes_is_noticed_for_a_file_of_several() {
    for changed in ["first", "second"] {
        let scene = Scene::new();
        for name in ["first", "second"] {
            scene.source(name, 2 << 20);
        }
        let rows = "a,first,0\na,second,2097152\n";
        scene.write("list.csv", format!("name,source,dest_offset\n{rows}").as_bytes());
        // Shared extents take no time in which a source could change.
        let line = "--engine positioned --limit-rate 2MiB --io-size 64KiB --progress json";
        let mut running = start(&scene, line);
        running.wait_for_line(|line| copied(line) > 0);
        let file = std::fs::File::options().append(true).open(scene.path(changed));
        std::io::Write::write_all(&mut file.expect("a source"), b"more").expect("it can grow");
        running.end().code(1).says(&["changed"]);
        assert!(!scene.has("out/a"), "{changed}");
    }
}

/// Nor does a file that was made of a source that several share, before it
/// changed, or after, get its name once it has.
#[test]
fn no_file_gets_its_name_after_a_shared_source_has_changed() {
    let (scene, _) = many();
    let mut running = start(&scene, SLOW);
    running.wait_for_line(|line| copied(line) > 0);
    let file = std::fs::File::options().write(true).open(scene.path("image"));
    std::io::Write::write_all(&mut file.expect("a source"), b"more").expect("written");
    let before = tree(&scene, "out").len();
    running.end().code(5).says(&["changed", "--allow-changed-source"]);
    let named = tree(&scene, "out").iter().filter(|name| name.contains('f')).count();
    // Those of a group that was under way, at most.
    assert!(named < before + 300, "{named} files have a name");
}

/// A link in the place of a part leads nowhere, and is nobody's to remove but
/// of the user who made it: refused, as for a single copy.
#[cfg(unix)]
#[test]
fn a_link_in_the_place_of_a_part_is_not_followed() {
    let (scene, image) = large();
    let part = scene.path("out/large.pcopy-part");
    std::fs::rename(&part, scene.path("victim")).unwrap();
    let before = scene.read("victim");
    std::os::unix::fs::symlink(Path::new("../victim"), &part).unwrap();
    for option in ["--resume", "--restart", "--restart --force", ""] {
        let ended = start(&scene, option).end();
        ended.code(3).says(&["large.pcopy-part", "in the way"]);
        assert!(part.is_symlink(), "{option}");
    }
    std::fs::remove_file(&part).unwrap();
    start(&scene, "--restart").end().code(0);
    assert_large(&scene, &image);
    assert_same(&scene.read("victim"), &before, "the file the link leads to");
}
