//! Faults in the system calls of a batch, by strace, and the order of its calls.

use serde_json::{Value, json};

use crate::batch::{lines, scene, tree};
use crate::common::{Ended, Scene, assert_same, program};
use crate::inject::can_inject;

/// Runs `line` with the faults of `expressions` in calls on `watched`; how it
/// ended, and the calls on them.
pub fn traced(
    scene: &Scene,
    watched: &[&str],
    expressions: &[&str],
    line: &str,
) -> (Ended, String) {
    let log = tempfile::NamedTempFile::new().expect("a temporary file");
    let mut strace = scene.tool("strace", ["-f", "-y", "-qqq", "-o"]);
    strace.command.arg(log.path());
    for name in watched {
        strace.command.arg("-P").arg(scene.path(name));
    }
    for expression in expressions {
        strace.command.arg("-e").arg(expression);
    }
    let ended = {
        strace.command.arg(program()).args(line.split_whitespace());
        strace.run()
    };
    let log = std::fs::read(log.path()).expect("strace has written a log");
    (ended, String::from_utf8_lossy(&log).into_owned())
}

/// A list of ten files in two folders and beside them.
fn ten(scene: &Scene) {
    let name = |n: usize| ["", "d/", "e/"][n % 3].to_owned() + &n.to_string();
    let rows: String = (0..10).map(|n| format!("{},{},1000\n", name(n), n * 1000)).collect();
    scene.write("list.csv", format!("name,start,len\n{rows}").as_bytes());
}

/// The kernel tells of a write that was lost once, and to one descriptor.
#[test]
fn a_failed_sync_of_the_file_system_ends_the_batch() {
    if !can_inject() {
        return;
    }
    let (scene, _) = scene();
    ten(&scene);
    let line = "batch list.csv --source image --into out -t 1";
    let (ended, _) = traced(&scene, &["out"], &["inject=syncfs:error=EIO:when=1"], line);
    ended.code(5).says(&["Input/output error"]);
    assert_eq!(tree(&scene, "out"), ["d", "e"], "nothing has a name");
    scene.run(&format!("{line} --resume")).code(0);
}

#[test]
fn a_name_that_is_not_durable_ends_the_batch() {
    if !can_inject() {
        return;
    }
    let (scene, _) = scene();
    ten(&scene);
    let line = "batch list.csv --source image --into out -t 1 --json";
    let (ended, _) = traced(&scene, &["out"], &["inject=fsync:error=EIO:when=1"], line);
    let report = ended.code(5).says(&["Input/output error"]).report();
    assert_eq!((&report["outcome"], &report["durable"]), (&json!("failed"), &json!(false)));
    scene.run("batch list.csv --source image --into out --resume").code(0);
}

/// Write, sync, rename, sync the directory: leaving out a step, or another
/// order, loses files in a power cut.
#[test]
fn files_are_synced_before_they_are_renamed_and_their_directories_after() {
    if !can_inject() {
        return;
    }
    let trace = "trace=write,pwrite64,fsync,fdatasync,syncfs,rename,renameat,renameat2";
    for files in [1, 10] {
        let (scene, _) = scene();
        ten(&scene);
        let list = String::from_utf8(scene.read("list.csv")).unwrap();
        let first: Vec<&str> = list.lines().take(1 + files).collect();
        scene.write("list.csv", first.join("\n").as_bytes());
        let line = "batch list.csv --source image --into out -t 1";
        let (ended, log) = traced(&scene, &[], &[trace], line);
        ended.code(0);
        let at = |what: &dyn Fn(&str) -> bool| {
            log.lines()
                .enumerate()
                .filter(|(_, line)| what(line))
                .map(|(n, _)| n)
                .collect::<Vec<_>>()
        };
        let out = scene.path("out").display().to_string();
        let written = at(&|line| line.contains("pwrite64(") && line.contains(".pcopy-part>"));
        let renamed = at(&|line| line.contains("rename") && line.contains(".pcopy-part\""));
        let synced = at(&|line| {
            line.contains("syncfs(") || line.contains("sync(") && line.contains(".pcopy-part>")
        });
        assert_eq!((written.len(), renamed.len()), (files, files), "{log}");
        let covering = synced.iter().find(|&&sync| written.iter().all(|&write| write < sync));
        assert!(covering.is_some_and(|&sync| renamed.iter().all(|&r| sync < r)), "{log}");
        for folder in ["", "/d", "/e"].iter().take(if files == 1 { 1 } else { 3 }) {
            let synced = at(&|line| {
                line.contains(&format!("fsync({}", "")) && line.contains(&format!("{out}{folder}>"))
            });
            assert!(synced.last() > renamed.last(), "{folder}: {log}");
        }
    }
}

/// Who wants no sync gets none, however many files there are.
#[test]
fn without_syncs_none_is_made() {
    if !can_inject() {
        return;
    }
    for rows in [1, 10] {
        let (scene, _) = scene();
        ten(&scene);
        let list = String::from_utf8(scene.read("list.csv")).unwrap();
        let first: Vec<&str> = list.lines().take(1 + rows).collect();
        scene.write("list.csv", first.join("\n").as_bytes());
        let line = "batch list.csv --source image --into out -t 1 --no-sync";
        let (ended, log) = traced(&scene, &[], &["trace=fsync,fdatasync,syncfs,sync"], line);
        ended.code(0);
        assert!(!log.contains("sync"), "{log}");
    }
}

/// What could not be read has a map beside it; a file that has one is not
/// complete, whatever its length, and what is missing, and that alone, is
/// read again.
#[test]
fn a_resumed_batch_reads_again_what_could_not_be_read() {
    if !can_inject() {
        return;
    }
    let (scene, image) = scene();
    scene.write("list.csv", b"name,start,len\na,512,1024\nb,2000000,3000\n");
    let line = "batch list.csv --source image --into out -t 1 --retries 0 --report r --json";
    // The whole request, twice, and its first half; the second half is read.
    let bad = ["inject=pread64:error=EIO:when=1..3"];
    let partial = |options: &str, skipped: u64| {
        let (ended, _) = traced(&scene, &["image"], &bad, &format!("{line} {options}"));
        let items = ended.code(1).report()["items"].clone();
        assert_eq!((&items["partial"], &items["skipped"]), (&json!(1), &json!(skipped)));
        let line = &lines(&scene, "r")[0];
        assert_eq!((&line["status"], &line["bytes"]), (&json!("partial"), &json!(512)));
        assert_eq!(
            (&line["failed"][0]["start"], &line["failed"][0]["end"]),
            (&json!(512), &json!(1024))
        );
        assert_eq!(tree(&scene, "out"), ["a", "a.pcopy-map", "b"]);
    };
    partial("", 0);
    // One request alone now: it fails, and there is nothing to split.
    partial("--resume", 1);
    scene.run(line).code(3).says(&["exists"]);

    // To be seen: a byte that had been read is not read again.
    let mut expected = image[512..1536].to_vec();
    expected[700] ^= 0xff;
    let mut found = scene.read("out/a");
    found[700] = expected[700];
    scene.write("out/a", &found);
    let again = "batch --retry r --source image --into out --report r --resume --json";
    let report = scene.run(again).code(0).report();
    assert_eq!((&report["items"]["complete"], &report["items"]["total"]), (&json!(1), &json!(1)));
    assert_same(&scene.read("out/a"), &expected, "what was missing is there now");
    assert_eq!(tree(&scene, "out"), ["a", "b"]);
    let skipped =
        scene.run(&format!("{line} --resume")).code(0).report()["items"]["skipped"].clone();
    assert_eq!(skipped, 2);
}

/// A list whose rows say something else than they did must not fill the gaps.
#[test]
fn a_partial_file_of_another_list_is_refused_or_replaced() {
    if !can_inject() {
        return;
    }
    let (scene, image) = scene();
    scene.write("list.csv", b"name,start,len\na,512,1024\n");
    let line = "batch list.csv --source image --into out -t 1 --retries 0";
    let (ended, _) = traced(&scene, &["image"], &["inject=pread64:error=EIO:when=1..3"], line);
    ended.code(1);
    scene.write("list.csv", b"name,start,len\na,1024,1024\n");
    let before = scene.read("out/a");
    scene.run(&format!("{line} --resume")).code(3).says(&["a.pcopy-map"]);
    assert_same(&scene.read("out/a"), &before, "refused");
    scene.run(&format!("{line} --force")).code(0);
    assert_same(&scene.read("out/a"), &image[1024..2048], "replaced");
    assert_eq!(tree(&scene, "out"), ["a"]);
}

/// Rows of one file from two sources, at the same place in both.
#[test]
fn what_cannot_be_read_of_one_source_is_not_blamed_on_another() {
    if !can_inject() {
        return;
    }
    let (scene, image) = scene();
    scene.write("other", &image[5000..9000]);
    scene.write(
        "list.csv",
        b"name,source,start,len,dest_offset\na,image,0,1024,0\na,other,0,1024,1024\n",
    );
    let line = "batch list.csv --into out -t 1 --retries 0 --report r";
    let (ended, _) = traced(&scene, &["other"], &["inject=pread64:error=EIO:when=1+"], line);
    ended.code(1);
    let failed = |line: &Value| line["failed"].as_array().expect("a list").len();
    for line in lines(&scene, "r") {
        let of_other = line["source"] == "other";
        assert_eq!(failed(&line) > 0, of_other, "{line}");
        assert_eq!(line["bytes"], if of_other { 0 } else { 1024 }, "{line}");
    }
    scene.run(&format!("{line} --resume")).code(0);
    let expected = [&image[..1024], &image[5000..6024]].concat();
    assert_same(&scene.read("out/a"), &expected, "resumed");
}

/// Where another file has got the name, a part will never have it: it goes, and
/// the next run is not refused because of it. Any other refusal leaves it.
#[test]
fn a_part_whose_name_was_taken_is_not_kept() {
    if !can_inject() {
        return;
    }
    for (error, kept) in [("EEXIST", false), ("EACCES", true)] {
        let (scene, _) = scene();
        scene.write("list", b"name,start,len\na,0,100\nb,100,100\n");
        let refuse = format!("inject=renameat2,linkat:error={error}");
        let line = "batch list --source image --into out -t 1";
        let (ended, _) = traced(&scene, &["out", "out/a", "out/b"], &[&refuse], line);
        ended.code(1);
        assert_eq!(scene.has("out/a.pcopy-part"), kept, "{error}");
        if !kept {
            scene.run(line).code(0);
        }
    }
}
