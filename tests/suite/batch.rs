//! Many ranges to many files: whatever the list looks like, every file is
//! complete or absent, and the report says which.

use serde_json::{Value, json};

use crate::common::{Ended, Scene, assert_same, pattern};

mod also;
mod compare;
#[cfg(target_os = "linux")]
pub mod faults;
#[cfg(unix)]
mod holes;
#[cfg(target_os = "linux")]
mod limits;
mod lists;
mod onto;
mod onto_stream;
mod options;
pub mod proof;
#[cfg(unix)]
mod same_bytes;
mod stopped;

const IMAGE: usize = 4 << 20;

/// A scene with `image`, and its bytes.
pub fn scene() -> (Scene, Vec<u8>) {
    let scene = Scene::new();
    let image = scene.source("image", IMAGE);
    (scene, image)
}

/// The lines of a report, by name.
#[track_caller]
pub fn lines(scene: &Scene, report: &str) -> Vec<Value> {
    let text = String::from_utf8(scene.read(report)).expect("a report is text");
    let parse = |line: &str| serde_json::from_str(line).expect("each line is JSON");
    let mut lines: Vec<Value> = text.lines().map(parse).collect();
    lines.sort_by_key(|line: &Value| line["name"].as_str().unwrap_or_default().to_owned());
    lines
}

/// Every name below a folder, relative to it.
pub fn tree(scene: &Scene, folder: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![scene.path(folder)];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).expect("the folder is there") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path.clone());
            }
            let relative = path.strip_prefix(scene.path(folder)).expect("it is below");
            found.push(relative.to_string_lossy().replace('\\', "/"));
        }
    }
    found.sort();
    found
}

/// Runs the manifest and compares the two files it names: bytes 1000..3000
/// and 4096..10000.
#[track_caller]
fn check_format(name: &str, text: &str) {
    let (scene, image) = scene();
    scene.write(name, text.as_bytes());
    scene.run(&format!("batch {name} --source image --into out")).code(0).says(&["2 of 2 files"]);
    assert_same(&scene.read("out/a b.bin"), &image[1000..3000], name);
    assert_same(&scene.read("out/dir/c.bin"), &image[4096..10_000], name);
    assert_eq!(tree(&scene, "out"), ["a b.bin", "dir", "dir/c.bin"], "{name}");
}

#[test]
fn every_format_of_lists() {
    check_format("list.csv", "name,start,end\na b.bin,1000,3000\ndir/c.bin,4096,10000\n");
    check_format(
        "bom.csv",
        "\u{feff}# a comment\r\nname,start,last\r\n\"a b.bin\",1000,2999\r\ndir/c.bin,0x1000,9999\r\n",
    );
    check_format("list.tsv", "start\tlen\tname\n1000\t2000\ta b.bin\n4KiB\t5904\tdir/c.bin\n");
    check_format(
        "list.jsonl",
        "{\"name\":\"a b.bin\",\"start\":1000,\"len\":2000}\n\
         {\"name\":\"dir/c.bin\",\"runs\":[{\"start\":4096,\"len\":4096},{\"start\":8192,\"len\":1808}]}\n",
    );
    check_format(
        "list.txt",
        "#pcopy v1 end=exclusive unit=bytes\n1000 3000 a b.bin\n4096 10000 dir/c.bin\n",
    );
    check_format(
        "inclusive.txt",
        "#pcopy v1 end=inclusive unit=bytes\n1000 2999 \"a b.bin\"\n4096 9999 dir/c.bin\n",
    );
}

#[test]
fn a_list_on_standard_input() {
    let (scene, image) = scene();
    let run = scene.pcopy("batch - --source image --into out".split(' '));
    run.with_input(b"name,start,len\na,8,100\n").code(0);
    assert_same(&scene.read("out/a"), &image[8..108], "from standard input");
}

/// Runs a CSV that is to be refused before anything is made.
#[track_caller]
fn check_refused(rows: &str, code: i32, says: &[&str]) {
    let (scene, _) = scene();
    scene.write("list.csv", rows.as_bytes());
    let line = "batch list.csv --source image --into out --report report.jsonl";
    scene.run(line).code(code).says(says);
    assert_eq!(scene.names(), ["image", "list.csv"], "nothing was created");
}

#[test]
fn a_list_with_one_wrong_line_creates_nothing() {
    let outside = |line: usize| {
        let row = |n: usize| match n {
            _ if n == line => "far,4194300,5\n".to_owned(),
            _ => format!("f{n},{},1\n", n * 7),
        };
        "name,start,len\n".to_owned() + &(2..=10_001).map(row).collect::<String>()
    };
    check_refused(&outside(9_999), 3, &["line 9999", "4194304"]);
    check_refused("name,start,len\na,0,1\nb,5,1\na,9,1\n", 3, &["line 4", "line 2"]);
    let two = "name,start,len,dest_offset\na,0,10,0\na,50,10,9\n";
    check_refused(two, 3, &["line 3", "line 2"]);
    check_refused("name,start,len\nx,0,1\n../a,0,1\n", 3, &["line 3", ".."]);
    check_refused("name,start,len\n/tmp/a,0,1\n", 3, &["line 2"]);
    check_refused("name,start,len\na,0,1\na/b,0,1\n", 3, &["a"]);
    // What one item is called while it is written is not a name for another.
    for suffix in [".pcopy-part", ".pcopy-map"] {
        let rows = format!("name,start,len\nd/a{suffix},5,1\nd/a,0,1\nb,0,1\n");
        check_refused(&rows, 3, &["line 2", "line 3", suffix]);
    }
    check_refused(&format!("name,start,len\n{},0,1\n", "n".repeat(256)), 3, &["line 2", "255"]);
    check_refused("name,start,len\na,zero,1\n", 2, &["line 2"]);
    check_refused("name,start,len\na,99999999999999999999,1\n", 2, &["line 2"]);
    check_refused("name,start,end\na,20,10\n", 2, &["line 2"]);
    check_refused("name,start\na,20\n", 2, &["line 2"]);
    check_refused("nonsense\n", 2, &["line 1", "nonsense"]);
}

#[cfg(unix)]
#[test]
fn a_planted_link_refuses_the_batch_and_its_victim_is_unchanged() {
    let (scene, _) = scene();
    for folder in ["out", "victim"] {
        std::fs::create_dir(scene.path(folder)).unwrap();
    }
    scene.write("victim/passwd", b"secret");
    std::os::unix::fs::symlink("../victim", scene.path("out/dir")).unwrap();
    scene.write("list.csv", b"name,start,len\nfine,0,9\ndir/passwd,0,9\ndir/new,0,9\n");
    for options in ["", "--force", "--force --resume", "--dry-run"] {
        let line = format!("batch list.csv --source image --into out {options}");
        scene.run(&line).code(3).says(&["line 3", "line 4", "symbolic link"]);
        assert_eq!(tree(&scene, "victim"), ["passwd"], "{options}");
        assert_eq!(scene.read("victim/passwd"), b"secret", "{options}");
        assert!(!scene.has("out/fine"), "{options}: nothing was written");
    }
}

#[cfg(unix)]
#[test]
fn a_link_under_the_final_name_is_replaced_and_not_followed() {
    let (scene, image) = scene();
    std::fs::create_dir(scene.path("out")).unwrap();
    scene.write("victim", b"secret");
    std::os::unix::fs::symlink("../victim", scene.path("out/a")).unwrap();
    scene.write("list.csv", b"name,start,len\na,0,9\n");
    scene.run("batch list.csv --source image --into out").code(3);
    scene.run("batch list.csv --source image --into out --force").code(0);
    assert_eq!(scene.read("victim"), b"secret");
    assert_same(&scene.read("out/a"), &image[..9], "the new file");
}

/// What was to write the list may have failed.
#[test]
fn an_empty_list_is_no_success() {
    for (name, list) in [
        ("e.csv", ""),
        ("header.csv", "name,start,len\n"),
        ("comments.tsv", "# nothing\n\n"),
        ("e.jsonl", "\n"),
        ("list", ""),
        ("plain", "#pcopy v1 end=exclusive unit=bytes\n"),
        ("d.xml", "<dfxml><volume></volume></dfxml>"),
    ] {
        let (scene, _) = scene();
        scene.write(name, list.as_bytes());
        for more in ["", "--dry-run", "--json", "--resume"] {
            let line = format!("batch {name} --source image --into out {more}");
            let ended = scene.run(&line).code(2).says(&["the list is empty"]);
            assert_eq!(ended.stderr.matches("empty").count(), 1, "{line}: {}", ended.stderr);
            assert_eq!(scene.names().len(), 2, "{line}: {:?}", scene.names());
        }
        if !list.contains('<') {
            let run = scene.pcopy("batch - --source image --into out".split(' '));
            run.with_input(list.as_bytes()).code(2).says(&["the list is empty"]);
        }
    }
}

/// Nothing is left to do: that is not a list without a row.
#[test]
fn a_list_of_what_is_complete_is_not_empty() {
    let (scene, _) = scene();
    scene.write("list.csv", b"name,start,len\na,0,10\n");
    scene.run("batch list.csv --source image --into out --report r").code(0);
    for _ in 0..2 {
        // The second time, the report is a list of nothing.
        scene.run("batch --retry r --source image --into out --report r").code(0);
    }
    let line = "batch list.csv --source image --into out --resume --json";
    assert_eq!(scene.run(line).code(0).report()["items"]["skipped"], 1);
}

#[test]
fn one_row_and_empty_files() {
    let (scene, image) = scene();
    scene.write("one.csv", b"name\nall\n");
    scene.run("batch one.csv --source image --into out").code(0);
    assert_same(&scene.read("out/all"), &image, "no range is the whole source");
    scene.write("empty.csv", b"name,start,len\ne1,0,0\ne/e2,4194304,0\n");
    let line = "batch empty.csv --source image --into out --digest sha256 --report r";
    scene.run(line).code(0);
    assert_eq!(scene.read("out/e1"), b"");
    assert_eq!(scene.read("out/e/e2"), b"");
    let sha = lines(&scene, "r")[0]["digests"]["sha256"].clone();
    assert_eq!(sha, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

#[test]
fn holes_fragments_and_fragments_in_several_rows() {
    let (scene, image) = scene();
    let runs = json!({"name": "holes", "runs": [
        {"hole": true, "len": 5000}, {"start": 100, "len": 3000}, {"hole": true, "len": 1 << 20}, {"start": 50, "len": 7},
        {"hole": true, "len": 11},
    ]});
    let rows = [
        runs.to_string(),
        json!({"name": "only-hole", "runs": [{"hole": true, "len": 12_345}]}).to_string(),
        // Backwards, so that the rows come in another order than the bytes.
        json!({"name": "rows", "start": 2_000_000, "len": 500, "dest_offset": 700}).to_string(),
        json!({"name": "rows", "start": 10, "len": 700}).to_string(),
        json!({"name": "rows", "start": 5, "len": 9, "dest_offset": 1500}).to_string(),
    ];
    scene.write("list.jsonl", rows.join("\n").as_bytes());
    scene.run("batch list.jsonl --source image --into out").code(0);
    let zeros = |len: usize| vec![0; len];
    let holes =
        [zeros(5000), image[100..3100].into(), zeros(1 << 20), image[50..57].into(), zeros(11)];
    assert_same(&scene.read("out/holes"), &holes.concat(), "runs with holes");
    assert_same(&scene.read("out/only-hole"), &zeros(12_345), "nothing but a hole");
    let parts = [&image[10..710], &image[2_000_000..2_000_500], &zeros(300), &image[5..14]];
    assert_same(&scene.read("out/rows"), &parts.concat(), "several rows");
}

#[cfg(unix)]
#[test]
fn mode_and_time_are_applied() {
    use std::os::unix::fs::MetadataExt;
    let (scene, _) = scene();
    scene.write("list.csv", b"name,start,len,mode,mtime\na,0,9,0640,1234567890\nb,0,0,0755,-1.5\n");
    scene.run("batch list.csv --source image --into out").code(0);
    let facts = scene.path("out/a").metadata().unwrap();
    assert_eq!((facts.mode() & 0o7777, facts.mtime()), (0o640, 1_234_567_890));
    let facts = scene.path("out/b").metadata().unwrap();
    assert_eq!(
        (facts.mode() & 0o7777, facts.mtime(), facts.mtime_nsec()),
        (0o755, -2, 500_000_000)
    );
}

#[test]
fn a_digest_that_differs_fails_its_item_and_no_other() {
    let (scene, image) = scene();
    let ten = hash(&scene, &image[..10]);
    let wrong = "0".repeat(64);
    let rows = format!(
        "name,start,len,sha256,blake3\nright,0,10,{ten},\nwrong,0,10,{wrong},\nother,20,10,,{wrong}\n\
         plain,30,10,,\n"
    );
    scene.write("list.csv", rows.as_bytes());
    let line = "batch list.csv --source image --into out --report r.jsonl --json";
    let ended = scene.run(line).code(1).says(&["wrong", "other", "expected"]);
    assert_eq!(tree(&scene, "out"), ["plain", "right"]);
    let report = ended.report();
    assert_eq!(report["items"]["mismatch"], 2);
    assert_eq!(report["items"]["complete"], 2);
    let statuses: Vec<_> = lines(&scene, "r.jsonl").iter().map(|l| l["status"].clone()).collect();
    assert_eq!(statuses, ["mismatch", "complete", "complete", "mismatch"]);
}

/// Whatever its length says: it may be anything, and the list says what it must be.
#[test]
fn what_is_there_is_skipped_only_with_the_digest_that_the_list_gives() {
    let (scene, image) = scene();
    std::fs::create_dir_all(scene.path("out/d")).unwrap();
    let (first, second) = (hash(&scene, &image[..10]), hash(&scene, &image[10..40]));
    let rows = format!(
        "name,start,len,dest_offset,sha256\nd/right,0,10,0,{first}\nwrong,0,10,0,{first}\n\
         unknown,0,10,0,\ntwo,0,10,0,{first}\ntwo,10,30,10,{second}\nnew,0,10,0,{first}\n"
    );
    scene.write("list.csv", rows.as_bytes());
    scene.write("out/d/right", &image[..10]);
    scene.write("out/wrong", &[7; 10]);
    scene.write("out/unknown", &[7; 10]);
    scene.write("out/two", &[&image[..10], &[7; 30][..]].concat());
    let line = "batch list.csv --source image --into out --resume --report r.jsonl --json -t 2";
    let report = scene.run(line).code(1).says(&["wrong", "expected", &first]).report();
    let count = |status: &str| report["items"][status].as_u64().unwrap();
    assert_eq!((count("skipped"), count("mismatch"), count("complete")), (3, 2, 1), "{report}");
    let mut statuses: Vec<_> = lines(&scene, "r.jsonl")
        .iter()
        .map(|line| {
            format!("{} {} {}", line["name"], line["start"], line["status"]).replace('"', "")
        })
        .collect();
    statuses.sort();
    let expected = [
        "d/right 0 skipped",
        "new 0 complete",
        "two 0 skipped",
        "two 10 mismatch",
        "unknown 0 skipped",
        "wrong 0 mismatch",
    ];
    assert_eq!(statuses, expected);
    assert_eq!(scene.read("out/wrong"), [7; 10], "nothing of it was touched");

    std::fs::remove_file(scene.path("out/wrong")).unwrap();
    std::fs::remove_file(scene.path("out/two")).unwrap();
    scene.run(line).code(0);
    assert_same(&scene.read("out/two"), &image[..40], "copied again");
}

/// SHA-256 of some bytes, by the program itself on a file of them.
fn hash(scene: &Scene, bytes: &[u8]) -> String {
    scene.write("hashed", bytes);
    let ended = scene.run("-f --json --digest sha256 hashed hashed-copy").code(0);
    ended.report()["digests"]["sha256"].as_str().expect("a digest").to_owned()
}

#[test]
fn a_report_has_a_line_an_item_and_redoes_what_is_not_complete() {
    let (scene, image) = scene();
    std::fs::create_dir(scene.path("out")).unwrap();
    let wrong = "0".repeat(64);
    let rows = format!("name,start,len,id,sha256\na,0,10,first,\nb,100,20,second,{wrong}\n");
    scene.write("list.csv", rows.as_bytes());
    scene.run("batch list.csv --source image --into out --report r.jsonl --digest crc32c").code(1);
    let report = lines(&scene, "r.jsonl");
    assert_eq!(report.len(), 2);
    assert_eq!((&report[0]["status"], &report[0]["bytes"]), (&json!("complete"), &json!(10)));
    assert_eq!((&report[1]["status"], &report[1]["bytes"]), (&json!("mismatch"), &json!(0)));
    for (line, id) in report.iter().zip(["first", "second"]) {
        assert_eq!(line["id"], id);
        assert!(line["start"].is_u64() && line["len"].is_u64(), "{line}");
        assert!(line["digests"]["crc32c"].is_string() && line["seconds"].is_number(), "{line}");
        assert_eq!(line["failed"], json!([]));
    }
    assert!(report[0]["error"].is_null() && report[1]["error"].is_string());

    // The expectation was wrong; put right, only that item is copied.
    let corrected = String::from_utf8(scene.read("r.jsonl")).unwrap();
    scene.write("r.jsonl", corrected.replace(&wrong, &hash(&scene, &image[100..120])).as_bytes());
    let before = scene.path("out/a").metadata().unwrap().modified().unwrap();
    let line = "batch --retry r.jsonl --source image --into out --report r.jsonl --json";
    let ended = scene.run(line).code(0).report();
    assert_eq!((&ended["items"]["total"], &ended["bytes"]), (&json!(1), &json!(20)));
    assert_same(&scene.read("out/b"), &image[100..120], "the retried item");
    assert_eq!(scene.path("out/a").metadata().unwrap().modified().unwrap(), before);
}

/// A refused retry must not cost the report it is made from.
#[test]
fn a_refused_batch_keeps_the_report_that_was_there() {
    let (scene, _) = scene();
    let old = json!({"name": "a", "start": 0, "len": 9, "status": "failed"}).to_string();
    scene.write("r.jsonl", old.as_bytes());
    std::fs::create_dir(scene.path("out")).unwrap();
    scene.write("out/a", b"mine");
    let line = "batch --retry r.jsonl --source image --into out --report r.jsonl";
    for options in ["", "--dry-run"] {
        scene.run(&format!("{line} {options}")).code(3).says(&["--force"]);
        assert_eq!(scene.read("r.jsonl"), old.as_bytes(), "{options}");
        assert_eq!(scene.read("out/a"), b"mine", "{options}");
    }
}

#[test]
fn existing_files_are_refused_replaced_or_taken_for_complete() {
    let (scene, image) = scene();
    std::fs::create_dir(scene.path("out")).unwrap();
    let old = pattern(3, 10);
    scene.write("out/a", &old);
    scene.write("list.csv", b"name,start,len\na,0,10\nb,10,10\n");
    let line = "batch list.csv --source image --into out --json";
    scene.run(line).code(3).says(&["exists", "--force"]);
    assert_eq!(tree(&scene, "out"), ["a"]);
    let items = |ended: Ended| ended.code(0).report()["items"].clone();
    let resumed = items(scene.run(&format!("{line} --resume")));
    assert_eq!((&resumed["skipped"], &resumed["complete"]), (&json!(1), &json!(1)));
    assert_same(&scene.read("out/a"), &old, "an item that is there is not copied again");
    // What was skipped is complete for a retry as well.
    scene.run(&format!("{line} --resume --report r")).code(0);
    let line_again = "batch --retry r --source image --into out --json";
    assert_eq!(items(scene.run(line_again))["total"], 0);
    // Replacing, the old file is not evidence of anything.
    let forced = items(scene.run(&format!("{line} --force --resume")));
    assert_eq!((&forced["skipped"], &forced["complete"]), (&json!(0), &json!(2)));
    assert_same(&scene.read("out/a"), &image[..10], "replaced");
}

#[test]
fn a_dry_run_writes_nothing() {
    let (scene, _) = scene();
    scene.write("list.csv", b"name,start,len\na,0,10\nd/b,10,10\n");
    let line = "batch list.csv --source image --into out --dry-run --report r.jsonl";
    scene.run(line).code(0).says(&["2 files", "20 bytes", "nothing was written"]);
    assert_eq!(scene.names(), ["image", "list.csv"]);
}

#[test]
fn the_report_in_json_and_the_events_have_their_fields() {
    let (scene, _) = scene();
    scene.write("list.csv", b"name,start,len\na,0,10\nd/b,10,10\n");
    let line = "batch list.csv --source image --into out --json --progress json -t 2";
    let ended = scene.run(line).code(0);
    let report = ended.report();
    assert_eq!(report["schema"], "pcopy.batch/1");
    assert_eq!(report["outcome"], "complete");
    let items = json!({"total": 2, "complete": 2, "skipped": 0, "partial": 0, "mismatch": 0,
        "failed": 0, "not_tried": 0});
    assert_eq!(report["items"], items);
    assert_eq!((&report["bytes"], &report["durable"]), (&json!(20), &json!(true)));
    for key in ["threads", "seconds", "bytes_per_second", "slowest", "error", "error_kind"] {
        assert!(report.get(key).is_some(), "{key}: {report}");
    }
    let events: Vec<Value> =
        ended.stderr.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let last = events.iter().rfind(|event| event["event"] == "finished").expect("the last event");
    assert_eq!((&last["items"], &last["total_items"]), (&json!(2), &json!(2)));
}

#[test]
fn several_files_to_a_folder() {
    let scene = Scene::new();
    std::fs::create_dir(scene.path("dir")).unwrap();
    let a = scene.source("a", 3_000_000);
    scene.write("empty", b"");
    // Sparse: two islands in 64 MiB.
    let sparse = std::fs::File::create(scene.path("sparse")).unwrap();
    sparse.set_len(64 << 20).unwrap();
    scene.write("island", &a[..9000]);
    scene.run("--in-place --dest-offset 10MiB island sparse").code(0);
    scene.run("a sparse empty dir/").code(0).says(&["3 of 3 files"]);
    assert_same(&scene.read("dir/a"), &a, "a");
    assert_eq!(scene.read("dir/empty"), b"");
    assert_same(&scene.read("dir/sparse"), &scene.read("sparse"), "the sparse one");
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let blocks = scene.path("dir/sparse").metadata().unwrap().blocks();
        assert!(blocks * 512 < 2 << 20, "{blocks} blocks");
    }
    scene.run("a sparse dir").code(3).says(&["exists"]);
    // A slip of the pen makes no folder.
    for line in ["a sparse typo", "a sparse typo/", "-n a sparse typo", "-f a sparse dir/typo"] {
        scene.run(line).code(3).says(&["there is no directory", "typo"]);
    }
    scene.run("a sparse empty").code(3).says(&["'empty'", "directory"]);
    assert!(!scene.has("typo") && !scene.has("dir/typo"));
    scene.run("a a dir/").code(2);
    scene.run("a missing dir/").code(3).says(&["missing"]);
}
