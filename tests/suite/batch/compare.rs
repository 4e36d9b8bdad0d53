//! `pcopy batch --compare` and `pcopy verify` of several sources: what is there
//! against what it was copied from, with nothing written.

use std::fs::File;

use positioned_io::WriteAt;
use serde_json::json;

use crate::batch::proof::{LINE, flip, listed};
use crate::batch::{lines, tree};
use crate::common::Scene;

const COMPARE: &str =
    "batch list --source image --into out --compare --report compared --json --digest crc32c";

#[test]
fn a_batch_is_compared_with_its_list() {
    let (scene, _) = listed();
    scene.run(&format!("{LINE} --digest crc32c")).code(0);
    let before = tree(&scene, "out");
    for threads in ["-t 1", "-t 5"] {
        let report = scene.run(&format!("{COMPARE} {threads}")).code(0).report();
        assert_eq!(
            (&report["outcome"], &report["items"]["complete"]),
            (&json!("complete"), &json!(9))
        );
        for (compared, copied) in lines(&scene, "compared").iter().zip(lines(&scene, "report")) {
            assert_eq!(
                (&compared["verified"], &compared["status"]),
                (&json!(true), &json!("complete"))
            );
            assert_eq!(compared["digests"], copied["digests"], "{copied}");
        }
    }
    // In a hole of the list, in one item of two, at the end of a large one.
    flip(&scene, "out/pieces", 1_500_001);
    flip(&scene, "out/two", 5300);
    flip(&scene, "out/large", 2_097_152);
    std::fs::remove_file(scene.path("out/small")).unwrap();
    File::options().write(true).open(scene.path("out/far")).unwrap().set_len(699).unwrap();
    let ended = scene.run(COMPARE).code(4).says(&[
        "'pieces': bytes 1499648..1500160",
        "'two': bytes 5120..5632",
        "'large': bytes 2097152..2097153",
        "'small': it is not there",
        "'far': it ends at byte 699",
        "6 differ",
    ]);
    let report = ended.report();
    assert_eq!(report["outcome"], "mismatch");
    assert_eq!(
        (&report["items"]["mismatch"], &report["items"]["complete"]),
        (&json!(6), &json!(3))
    );
    assert_eq!(tree(&scene, "out").len(), before.len() - 1, "nothing was written");
    // The report is a list of what is to be copied again.
    scene.run("batch --retry compared --source image --into out --force").code(0);
    scene.run(COMPARE).code(0);
}

#[test]
fn what_is_expected_is_compared_too_and_nothing_is_made() {
    let scene = Scene::new();
    scene.source("image", 10_000);
    scene.write("list", b"name,start,len,crc32c\na,0,10,00000000\n");
    scene.run("batch list --source image --into out --compare").code(3).says(&["out"]);
    assert_eq!(scene.names(), ["image", "list"]);
    scene.write("plain", b"name,start,len\na,0,10\n");
    scene.run("batch plain --source image --into out").code(0);
    scene.run("batch plain --source image --into out --compare").code(0).says(&["1 of 1"]);
    scene.run("batch list --source image --into out --compare").code(4).says(&["crc32c is"]);
    for options in ["--force", "--resume", "--verify", "--preserve", "-n", "--no-sync"] {
        scene.run(&format!("batch plain --source image --compare {options}")).code(2);
    }
    let line = "batch plain --source image --into out --compare --report";
    scene.run(&format!("{line} out/a")).code(3);
    scene.run(&format!("{line} image")).code(2);
}

#[test]
fn several_sources_are_compared_with_a_directory() {
    let scene = Scene::new();
    std::fs::create_dir(scene.path("dir")).unwrap();
    for (name, len) in [("a", 3_000_000), ("b", 5), ("c", 0)] {
        scene.source(name, len);
    }
    scene.run("a b c dir --digest md5 --digest-file sums").code(0);
    let line = "verify a b c dir";
    scene.run(line).code(0).says(&["3 of 3 files are equal", "2.86 MiB compared"]);
    scene.run(&format!("{line} --digest md5 --digest-file again")).code(0);
    assert_eq!(scene.read("again"), scene.read("sums"));
    let out = scene.run(&format!("{line} -q --digest md5")).code(0).out();
    assert_eq!(out.lines().count(), 3);
    flip(&scene, "dir/a", 2_999_999);
    let mut longer = File::options().append(true).open(scene.path("dir/b")).unwrap();
    std::io::Write::write_all(&mut longer, b"more").unwrap();
    let ended =
        scene.run(&format!("{line} --json")).code(4).says(&["'a'", "bytes 2999808..3000000"]);
    let report = ended.report();
    assert_eq!(
        (&report["items"]["mismatch"], &report["items"]["complete"]),
        (&json!(1), &json!(2))
    );
    assert!(report["notes"].to_string().contains("4 bytes more"), "{report}");
    scene.run("verify a b nothing dir").code(3).says(&["nothing"]);
    scene.run("verify a b dir dir/").code(3);
    scene.run("verify a b c nowhere").code(3).says(&["nowhere"]);
    for option in
        ["-r 0..1", "--offset 1", "--length 1", "--dest-offset 1", "--expect crc32c:00000000"]
    {
        scene.run(&format!("{line} {option}")).code(2).says(&["several sources"]);
    }
    scene.run("verify a").code(2);
    let mut file = File::options().write(true).open(scene.path("dir/a")).unwrap();
    file.write_all_at(0, &scene.read("a")).unwrap();
    scene.run(line).code(0);
}

/// What cannot be read of a source is left out, and the rest compared.
#[cfg(target_os = "linux")]
#[test]
fn what_cannot_be_read_of_a_source_is_not_compared() {
    use crate::batch::faults::traced;
    if !crate::inject::can_inject() {
        return;
    }
    let (scene, _) = crate::batch::scene();
    scene.write("list", b"name,start,len\na,512,2048\n");
    scene.run("batch list --source image --into out").code(0);
    let line = "batch list --source image --into out --compare --report r --retries 0 -t 1";
    // After two looks for a container: the whole request, also past the cache, its
    // half and its first sector.
    for (bad, code) in [("3", 0), ("3..4", 0), ("3..5", 0), ("3..6", 1)] {
        let bad = [&*format!("inject=pread64:error=EIO:when={bad}")];
        let (ended, log) = traced(&scene, &["image"], &bad, line);
        assert!(log.contains("INJECTED"), "{log}");
        ended.code(code);
        let line = &lines(&scene, "r")[0];
        if code == 1 {
            assert_eq!((&line["status"], &line["verified"]), (&json!("partial"), &json!(false)));
            assert_eq!(line["failed"][0]["start"], 512, "{line}");
            assert_eq!((&line["failed"][0]["end"], &line["bytes"]), (&json!(1024), &json!(1536)));
        }
    }
}
