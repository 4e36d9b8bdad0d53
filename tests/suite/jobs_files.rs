//! Many files by several processes that share nothing but a folder: lists, several files
//! and folders. Each file has its name only when it is complete, whatever is killed.

use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use pcopy::testing::Random;
use rustix::process::Signal;
use serde_json::Value;

use crate::common::{Running, Scene, assert_same, has_tools, pattern, rounds, wait_until};
use crate::jobs::{SLOW, SMALL, recorded, start};

/// A list of ranges of the file `disk`: many small ones, some in folders, an empty one,
/// one of two fragments, and one that all processes do together. What each is to be.
fn list(scene: &Scene) -> BTreeMap<String, Vec<u8>> {
    let disk = scene.source("disk", 4 << 20);
    let mut text = String::from("name,start,len,dest_offset\n");
    let mut files = BTreeMap::new();
    for number in 0..60usize {
        let (start, len) = (number * 10_007, 1 + number * 131);
        let name = format!("small/{}/{number}", number % 3);
        text += &format!("{name},{start},{len},0\n");
        files.insert(name, disk[start..start + len].to_vec());
    }
    text += "large,1048576,2000003,0\nempty,5,0,0\npieces,100,1000,0\npieces,9000,500,1000\n";
    files.insert("large".into(), disk[1_048_576..][..2_000_003].to_vec());
    files.insert("empty".into(), Vec::new());
    files.insert("pieces".into(), [&disk[100..1100], &disk[9000..9500]].concat());
    scene.write("list.csv", text.as_bytes());
    files
}

/// The line of a process that does the list.
fn line() -> String {
    format!("batch {SMALL} --source disk --into out list.csv")
}

#[track_caller]
fn assert_files(scene: &Scene, files: &BTreeMap<String, Vec<u8>>) {
    for (name, bytes) in files {
        assert_same(&scene.read(format!("out/{name}")), bytes, name);
    }
    assert_eq!(left(&scene.path("out")), Vec::<String>::new());
}

/// What is left below a folder besides what was asked for.
fn left(folder: &Path) -> Vec<String> {
    let mut left = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.file_type().unwrap().is_dir() {
            left.extend(self::left(&entry.path()));
        } else if name.contains(".pcopy-") && entry.metadata().unwrap().blocks() > 0 {
            left.push(name);
        }
    }
    left
}

/// The lines of a report by the names of the items, without what differs from run to run.
fn lines(text: &[u8]) -> Vec<Value> {
    let mut lines: Vec<Value> = std::str::from_utf8(text)
        .unwrap()
        .lines()
        .map(|line| {
            let mut line: Value = serde_json::from_str(line).unwrap();
            line.as_object_mut().unwrap().remove("seconds");
            line
        })
        .collect();
    lines.sort_by_key(|line| (line["name"].to_string(), line["start"].as_u64()));
    lines
}

#[test]
fn a_list_by_one_process_is_a_batch_and_the_same_line_again_copies_nothing() {
    let scene = Scene::new();
    let files = list(&scene);
    let digests = "--digest blake3 --digest sha256 --verify --json --report lines";
    let report = scene.run(&format!("{} {digests}", line())).code(0).report();
    assert_eq!(report["items"]["complete"], 64, "{report}");
    let total: usize = files.values().map(Vec::len).sum();
    assert_eq!(report["bytes"], total, "{report}");
    assert_files(&scene, &files);
    let plain = "batch --source disk --into plain list.csv --digest blake3 --digest sha256";
    scene.run(&format!("{plain} --verify --report plain-lines")).code(0);
    assert_eq!(lines(&scene.read("lines")), lines(&scene.read("plain-lines")));
    let again = scene.run(&format!("{} {digests}", line())).code(0).report();
    assert_eq!((&again["bytes"], &again["resumed"]), (&0.into(), &total.into()), "{again}");
    assert_eq!(lines(&scene.read("lines")), lines(&scene.read("plain-lines")));
    let status = scene.run("job status --json J").code(0).report();
    assert_eq!((&status["state"], &status["items"]), (&"finished".into(), &64.into()));
    assert_eq!(status["bytes_done"], total, "{status}");
    let text = scene.run("job status J").code(0).out();
    assert!(text.contains("64 files -> ") && text.contains("finished"), "{text}");
    for _ in 0..2 {
        scene.run("job finish J").code(0);
    }
    // The tasks are a list themselves.
    let tasks = std::fs::read_dir(scene.path("J")).unwrap().flatten();
    let tasks = tasks.map(|it| it.path()).find(|it| it.extension() == Some("jsonl".as_ref()));
    let tasks = tasks.unwrap().to_string_lossy().into_owned();
    scene.run(&format!("batch --ignore-columns --into tasks {tasks}")).code(0);
    assert_same(&scene.read("tasks/pieces"), &files["pieces"], "by the tasks");
}

#[test]
fn another_list_and_what_is_for_one_process_are_refused() {
    let scene = Scene::new();
    let files = list(&scene);
    scene.run(&line()).code(0);
    let text = String::from_utf8(scene.read("list.csv")).unwrap();
    scene.write("other.csv", text.replace("pieces,9000,500", "pieces,9001,500").as_bytes());
    let other = line().replace("list.csv", "other.csv");
    scene.run(&other).code(3).says(&["folder of another job", "list of files"]);
    scene.run(&line().replace("out", "out2")).code(3).says(&["another job", "into"]);
    scene.run(&format!("{} --verify", line())).code(3).says(&["verify is false there"]);
    scene.run(&format!("{SMALL} disk copy")).code(3).says(&["kind is many files there"]);
    scene.run(&format!("{} -t 3 --limit-rate 1GiB", line())).code(0);
    scene.run(&line().replace("--job J", "--job K")).code(3).says(&["exists", "--force"]);
    assert!(!scene.path("K/plan.json").exists(), "nothing was promised");
    let usage = [
        ("--resume", "same line"),
        ("--restart", "same line"),
        ("--dry-run", "--dry-run"),
        ("--also out3", "--also"),
        ("--compare", "--compare"),
        ("--into-file x", "--into-file"),
    ];
    for (words, text) in usage {
        let line = match words {
            "--into-file x" => line().replace("--into out", words),
            words => format!("{} {words}", line()),
        };
        scene.run(&line.replace("--job J", "--job L")).code(2).says(&[text]);
    }
    let stdin = scene.pcopy(["batch", "--job", "L", "--source", "disk", "-"]);
    stdin.with_input(text.as_bytes()).code(2).says(&["standard input"]);
    assert!(!scene.has("L") && !scene.has("out2") && !scene.has("out3"));
    assert_files(&scene, &files);
    scene.run(&format!("{} --force", line().replace("--job J", "--job M"))).code(0);
    assert_files(&scene, &files);
}

#[test]
fn workers_that_are_killed_at_random_lose_no_file_and_show_none_before_it_is_complete() {
    let kills = rounds("PCOPY_KILLS", 8);
    let mut random = Random::new(kills);
    let mut left = kills;
    while left > 0 {
        let scene = Scene::new();
        let files = list(&scene);
        let line = format!("{} {} --digest crc32c --json", line(), SLOW.replace("512", "1536"));
        let mut workers: Vec<Running> = (0..5).map(|_| start(&scene, &line)).collect();
        let is_over = || scene.path("J/finished.json").exists();
        let is_whole = |name: &String| {
            let there = std::fs::read(scene.path("out").join(name));
            there.map_or(true, |found| found == files[name])
        };
        for _ in 0..left.min(20) {
            let next = recorded(&scene) + random.below(3) as usize;
            wait_until("some shards are there", || recorded(&scene) >= next || is_over());
            if is_over() {
                break;
            }
            let number = random.below(5) as usize;
            let old = std::mem::replace(&mut workers[number], start(&scene, &line));
            old.kill();
            left -= 1;
            let torn: Vec<_> = files.keys().filter(|name| !is_whole(name)).collect();
            assert!(torn.is_empty(), "{torn:?}");
        }
        left = left.saturating_sub(1);
        for worker in workers {
            let report = worker.end().code(0).report();
            assert_eq!(report["items"]["complete"], 64, "{report}");
        }
        assert_files(&scene, &files);
    }
}

/// It slept for so long that the others are done, and the user works with the files.
#[test]
fn a_process_that_wakes_up_when_all_is_over_renames_nothing() {
    let scene = Scene::new();
    let files = list(&scene);
    // Nothing that all do together, so that it sleeps in a group.
    let text = String::from_utf8(scene.read("list.csv")).unwrap();
    let text: String = text
        .lines()
        .filter(|line| !line.starts_with("large"))
        .fold(String::new(), |text, line| text + line + "\n");
    scene.write("list.csv", text.as_bytes());
    let sleeper = start(&scene, &format!("{} --limit-rate 64KiB --force", line()));
    let claimed = || scene.path("J/claim.00000.1").exists();
    wait_until("it has begun", claimed);
    sleeper.stand_still();
    scene.run(&format!("{} --force", line())).code(0);
    for name in files.keys().filter(|name| *name != "large") {
        scene.write(format!("out/{name}"), b"edited");
    }
    sleeper.signal(Signal::CONT);
    sleeper.end().code(0);
    for name in files.keys().filter(|name| *name != "large") {
        assert_eq!(scene.read(format!("out/{name}")), b"edited", "{name}");
    }
}

#[test]
fn what_is_missing_is_listed_and_the_same_line_goes_on() {
    let scene = Scene::new();
    let files = list(&scene);
    let first = start(&scene, &format!("{} {SLOW} --lease 60", line()).replace("--lease 0.5 ", ""));
    wait_until("it has begun", || recorded(&scene) > 0);
    first.signal(Signal::TERM);
    first.end().died_by(Signal::TERM).says(&["the same line again"]);
    let status = scene.run("job status --json J").code(0).report();
    if status["state"] == "copying" {
        let ended = scene.run("job finish J").code(75);
        assert!(ended.stderr.contains("--array="), "{}", ended.stderr);
    }
    // It gave back what it had: nobody waits for a minute.
    let begin = std::time::Instant::now();
    let report = scene.run(&format!("{} --json", line())).code(0).report();
    assert!(begin.elapsed().as_secs() < 50, "it waited for the lease");
    assert!(report["resumed"].as_u64() > Some(0), "{report}");
    assert_files(&scene, &files);
}

/// A claim may be lost with the machine that made it, and files have their names.
#[test]
fn files_that_have_their_names_already_are_compared_and_kept() {
    let scene = Scene::new();
    let files = list(&scene);
    scene.run(&line()).code(0);
    for entry in std::fs::read_dir(scene.path("J")).unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if ["claim.", "done.", "finished"].iter().any(|it| name.starts_with(it)) {
            std::fs::remove_file(entry.path()).unwrap();
        }
    }
    let numbers = |scene: &Scene| -> Vec<u64> {
        let of = |name: &String| scene.path(format!("out/{name}")).metadata().unwrap().ino();
        files.keys().map(of).collect()
    };
    let before = numbers(&scene);
    let report = scene.run(&format!("{} --digest sha256 --json", line()).replace("J ", "J "));
    drop(report.code(3).says(&["digest"]));
    let report = scene.run(&format!("{} --json", line())).code(0).report();
    assert_eq!(report["items"]["complete"], 64, "{report}");
    assert_eq!(numbers(&scene), before, "some file was copied again");
    // One that is not what was copied is told, and stays.
    std::fs::remove_file(scene.path("J/finished.json")).unwrap();
    let all: Vec<_> = std::fs::read_dir(scene.path("J")).unwrap().flatten().collect();
    for entry in all {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with("claim.") || name.starts_with("done.") {
            std::fs::remove_file(entry.path()).unwrap();
        }
    }
    scene.write("out/pieces", &[9; 1500]);
    scene.run(&line()).code(1).says(&["pieces"]);
    assert_eq!(scene.read("out/pieces"), [9; 1500]);
}

#[test]
fn a_source_that_changes_after_the_plan_ends_the_job() {
    let scene = Scene::new();
    list(&scene);
    let first = start(&scene, &format!("{} {SLOW}", line()));
    wait_until("it has begun", || recorded(&scene) > 0);
    first.kill();
    if scene.path("J/finished.json").exists() {
        return crate::common::skip("the job was over before it could be killed");
    }
    scene.write("disk", &pattern(7, 4 << 20));
    scene.run(&line()).code(5).says(&["disk", "planned"]);
    assert!(!scene.path("J/finished.json").exists());
}

/// A folder with files, links and further names of files, and modes and times of its own.
fn folder(scene: &Scene) {
    for (seed, number) in (1..).zip(0..70) {
        let folder = scene.path(format!("src/{}/deep {}", number % 4, number % 3));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(format!("{number}")), pattern(seed, number * 211)).unwrap();
    }
    std::fs::create_dir_all(scene.path("src/empty/too")).unwrap();
    scene.write("src/large", &pattern(99, 700_000));
    std::os::unix::fs::symlink("../large", scene.path("src/0/link")).unwrap();
    std::fs::hard_link(scene.path("src/large"), scene.path("src/again")).unwrap();
    let closed = std::fs::Permissions::from_mode(0o711);
    std::fs::set_permissions(scene.path("src/1"), closed).unwrap();
    let script = std::fs::Permissions::from_mode(0o750);
    std::fs::set_permissions(scene.path("src/2/deep 2/2"), script).unwrap();
    for path in ["src/large", "src/empty", "src/2"] {
        let time = std::time::UNIX_EPOCH + std::time::Duration::new(1_000_000_000, 5_000_000);
        let file = std::fs::File::open(scene.path(path)).unwrap();
        file.set_times(std::fs::FileTimes::new().set_modified(time)).unwrap();
    }
}

/// Everything below a folder: its mode, time of change, target or bytes.
fn everything(folder: &Path) -> BTreeMap<String, (u32, i64, Vec<u8>)> {
    let mut all = BTreeMap::new();
    let mut open = vec![folder.to_owned()];
    while let Some(at) = open.pop() {
        for entry in std::fs::read_dir(&at).unwrap().flatten() {
            let (path, facts) = (entry.path(), entry.path().symlink_metadata().unwrap());
            let name = path.strip_prefix(folder).unwrap().to_string_lossy().into_owned();
            let bytes = match facts.file_type() {
                kind if kind.is_dir() => {
                    open.push(path);
                    Vec::new()
                }
                kind if kind.is_symlink() => {
                    std::fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes()
                }
                _ => std::fs::read(&path).unwrap(),
            };
            all.insert(name, (facts.mode(), facts.mtime(), bytes));
        }
    }
    all
}

#[test]
fn folders_are_copied_by_several_as_by_one() {
    let scene = Scene::new();
    folder(&scene);
    for name in ["by-one", "by-several", "again"] {
        std::fs::create_dir(scene.path(name)).unwrap();
    }
    scene.run("-R --preserve src by-one").code(0);
    let line = format!("-R --preserve {SMALL} --digest blake3 --json src by-several");
    let all: Vec<Running> = (0..4).map(|_| start(&scene, &line)).collect();
    for running in all {
        let report = running.end().code(0).report();
        assert_eq!(report["outcome"], "complete", "{report}");
        assert_eq!(report["tree"]["links"], 1, "{report}");
        assert_eq!(report["tree"]["hard_links"], 1, "{report}");
    }
    assert_eq!(everything(&scene.path("by-several")), everything(&scene.path("by-one")));
    let number = |name: &str| scene.path(name).metadata().unwrap().ino();
    assert_eq!(number("by-several/src/large"), number("by-several/src/again"));
    assert_eq!(left(&scene.path("by-several")), Vec::<String>::new());
    let again = scene.run(&line).code(0).report();
    assert_eq!(again["bytes"], 0, "{again}");
    scene.run("job finish J").code(0);
    // Without what is preserved, modes of folders are those of a plain copy.
    let mode = |name: &str| scene.path(name).metadata().unwrap().permissions().mode();
    scene.run(&format!("-R {SMALL} src again").replace("--job J", "--job K")).code(0);
    assert_eq!(mode("again/src/1") & 0o777, 0o711 & mode("again/src/1"));
    // More in the folder is another job.
    scene.write("src/new", b"new");
    scene.run(&line).code(3).says(&["content of the folders"]);
    if has_tools(&["diff"]) {
        let same = ["-r", "--no-dereference", "by-one", "by-several"];
        scene.tool("diff", same).run().code(0);
    }
}

#[test]
fn several_files_go_to_a_directory_and_their_digests_to_a_file() {
    let scene = Scene::new();
    let one = scene.source("one", 300_000);
    scene.write("two", b"two");
    std::fs::create_dir(scene.path("out")).unwrap();
    let line = format!("{SMALL} --digest sha256 --digest-file sums one two out");
    scene.run(&line).code(0);
    assert_same(&scene.read("out/one"), &one, "one");
    assert_eq!(scene.read("out/two"), b"two");
    let sums = scene.read("sums");
    scene.run("--digest sha256 --digest-file plain --force one two out").code(0);
    assert_eq!(sums, scene.read("plain"));
    scene.run(&line).code(0);
    assert_eq!(sums, scene.read("sums"));
}

#[test]
fn an_item_that_cannot_be_copied_is_told_by_every_process() {
    let scene = Scene::new();
    let bytes = scene.source("disk", 300_000);
    let sum = "0".repeat(64);
    scene.write(
        "list.csv",
        format!("name,start,len,sha256\na,0,100,\nb,100,100,{sum}\nc,200,100,\n").as_bytes(),
    );
    let line = format!("batch {SMALL} --source disk --into out list.csv --json --report lines");
    for _ in 0..2 {
        let ended = scene.run(&line).code(1);
        assert!(ended.stderr.contains('b'), "{}", ended.stderr);
        let report = ended.report();
        assert_eq!(report["items"]["complete"], 2, "{report}");
        assert_eq!(report["items"]["mismatch"], 1, "{report}");
        assert_eq!(lines(&scene.read("lines"))[1]["status"], "mismatch");
    }
    assert!(!scene.has("out/b"));
    assert_same(&scene.read("out/c"), &bytes[200..300], "the others");
    // A report is a list of what to try again.
    scene.write("list.csv", b"name,start,len\nb,100,100\n");
    scene.run("batch --job K --retry lines --source disk --into out").code(1);
}

#[test]
fn a_script_puts_the_folder_behind_the_command() {
    let scene = Scene::new();
    let line = "job script J slurm -N 3 -- batch list.csv --into out";
    assert!(scene.run(line).code(0).out().contains("exec pcopy batch --job "));
    let line = "job script J parallel -N 3 -- batch list.csv --into out";
    let script = scene.run(line).code(0).out();
    assert!(script.contains(" pcopy batch --shard {}/3 --job "), "{script}");
}
