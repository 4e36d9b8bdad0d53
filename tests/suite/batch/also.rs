//! `--also` with many files: one read, every file in each of several folders, and
//! a folder that fails does not keep the others from being complete.

#[cfg(unix)]
use serde_json::Value;

use crate::batch::lines;
use crate::batch::proof::{LINE, listed};
use crate::common::{Scene, assert_same};

/// Both folders have exactly `files`.
#[track_caller]
fn check_both(scene: &Scene, files: &[(&str, Vec<u8>)], what: &str) {
    for folder in ["out", "more/there"] {
        for (name, bytes) in files {
            assert_same(&scene.read(format!("{folder}/{name}")), bytes, &format!("{what}: {name}"));
        }
        // And the directory.
        let there = crate::batch::tree(scene, folder);
        assert_eq!(there.len(), files.len() + 1, "{what}: {folder}: {there:?}");
    }
}

fn two() -> (Scene, Vec<(&'static str, Vec<u8>)>) {
    let (scene, files) = listed();
    std::fs::create_dir(scene.path("more")).unwrap();
    (scene, files)
}

#[test]
fn every_folder_gets_every_file() {
    for options in [
        "",
        "-t 1 --verify",
        "-t 4 --io-size 4096",
        "--sparse always --digest sha256",
        "--preallocate full --digest md5 --verify --repair",
        "--no-sync",
        "-f --reflink never",
    ] {
        let (scene, files) = two();
        let line = format!("{LINE} --also more/there {options}");
        let report = scene.run(&line).code(0).report();
        check_both(&scene, &files, options);
        let folders = report["folders"].as_array().expect("what became of each");
        assert_eq!(folders.len(), 2, "{report}");
        assert_eq!(folders[1]["path"], "more/there");
        assert_eq!(folders[1]["items"]["complete"], 9, "{report}");
        assert_eq!(folders[1]["durable"] == true, !options.contains("no-sync"), "{report}");
        assert_eq!(report["items"]["complete"], 9, "{report}");
        // Counted once, however many folders they were written to.
        let bytes: usize = files.iter().map(|(_, bytes)| bytes.len()).sum();
        assert!(report["bytes"].as_u64() <= Some(bytes as u64), "{report}");
        for item in lines(&scene, "report") {
            assert_eq!(item["status"], "complete", "{item}");
            assert_eq!(item["folders"][0]["path"], "out", "{item}");
            assert_eq!(item["folders"][1]["status"], "complete", "{item}");
            assert_eq!(item["verified"] == true, options.contains("--verify"), "{item}");
        }
    }
}

#[test]
fn several_sources_go_to_several_folders() {
    let scene = Scene::new();
    let bytes: Vec<_> = ["a", "b"].map(|name| scene.source(name, 3_000_007)).into();
    for folder in ["x", "y", "z"] {
        std::fs::create_dir(scene.path(folder)).unwrap();
    }
    scene.run("-n a b x --also y --also z").code(0);
    assert!(!scene.has("x/a"));
    let line = "-p --verify --digest crc32c --digest-file sums a b x --also y --also z";
    scene.run(line).code(0).says(&["to each of 3 folders"]);
    for folder in ["x", "y", "z"] {
        for (name, bytes) in ["a", "b"].iter().zip(&bytes) {
            assert_same(&scene.read(format!("{folder}/{name}")), bytes, folder);
        }
    }
    let sums = String::from_utf8(scene.read("sums")).unwrap();
    assert_eq!(sums.lines().count(), 2, "{sums}");
    // Each folder is compared.
    scene.write("list", b"{\"name\":\"a\",\"source\":\"a\"}\n{\"name\":\"b\",\"source\":\"b\"}\n");
    let line = "batch list --compare --into x --also y --also z --report r";
    scene.run(line).code(0);
    let mut spoilt = bytes[1].clone();
    spoilt[1_000_000] ^= 1;
    scene.write("y/b", &spoilt);
    scene.run(line).code(4).says(&["'y' has 1 of 2 files"]);
    let found = lines(&scene, "r");
    assert_eq!(found[0]["status"], "complete");
    assert_eq!(found[1]["status"], "mismatch");
    assert_eq!(found[1]["folders"][0]["status"], "complete");
    assert_eq!(found[1]["folders"][1]["status"], "mismatch");
}

#[test]
fn nothing_is_written_where_one_folder_is_refused() {
    let scene = Scene::new();
    scene.source("a", 1000);
    scene.source("b", 1000);
    for folder in ["x", "y", "x/in"] {
        std::fs::create_dir(scene.path(folder)).unwrap();
    }
    scene.run("a b x --also missing").code(3).says(&["missing"]);
    scene.run("a b x --also x").code(3).says(&["same destination"]);
    scene.run("a b x --also ./y/../x").code(3).says(&["same destination"]);
    scene.run("a b x --also -").code(2).says(&["--also"]);
    scene.run("a b x --also y --reflink always").code(2).says(&["--also"]);
    scene.run("a b x --also y --engine mmap").code(2).says(&["--also"]);
    scene.write("y/b", b"old");
    scene.run("a b x --also y").code(3).says(&["y", "b", "--force"]);
    scene.write(
        "list",
        b"{\"name\":\"in/a\",\"source\":\"a\"}\n{\"name\":\"a\",\"source\":\"b\"}\n",
    );
    scene.run("batch list --into x --also x/in").code(3).says(&["lies in"]);
    assert_eq!(crate::batch::tree(&scene, "x"), ["in"]);
    assert_eq!(crate::batch::tree(&scene, "y"), ["b"]);
    // A folder that holds no file of the other may lie in it.
    scene.run("a x").code(0);
    std::fs::remove_file(scene.path("x/a")).unwrap();
    scene.run("a b x --also x/in").code(0);
    assert_eq!(crate::batch::tree(&scene, "x"), ["a", "b", "in", "in/a", "in/b"]);
}

/// What is complete in one folder is not copied to it again, and what is not in
/// the other is; with replaced, digests that the list expects and verification.
#[test]
fn a_folder_that_has_some_files_gets_the_others() {
    for options in ["", "--verify", "--digest sha256 -t 1"] {
        let (scene, files) = two();
        scene.run(&format!("{LINE} --also more/there")).code(0);
        std::fs::remove_file(scene.path("out/large")).unwrap();
        std::fs::remove_file(scene.path("more/there/small")).unwrap();
        std::fs::remove_dir_all(scene.path("more/there/d")).unwrap();
        let kept = scene.path("out/small").metadata().unwrap().modified().unwrap();
        let line = format!("{LINE} --resume --also more/there {options}");
        let report = scene.run(&line).code(0).report();
        check_both(&scene, &files, options);
        assert_eq!(scene.path("out/small").metadata().unwrap().modified().unwrap(), kept);
        assert_eq!(report["items"]["complete"], 3, "{report}");
        assert_eq!(report["items"]["skipped"], 6, "{report}");
        assert_eq!(report["folders"][0]["items"]["skipped"], 8, "{report}");
        assert_eq!(report["folders"][1]["items"]["skipped"], 7, "{report}");
        // What a run left is retried in the folder that lacks it.
        std::fs::remove_file(scene.path("out/all")).unwrap();
        let again = scene.run(&format!("{LINE} --resume --also more/there")).code(0).report();
        assert_eq!(again["items"]["complete"], 1, "{again}");
    }
}

#[test]
fn a_digest_that_is_not_the_expected_one_is_given_no_name_anywhere() {
    let (scene, image) = crate::batch::scene();
    let list = "name,start,len,crc32c\ngood,0,10,\nbad,10,10,00000000\n";
    scene.write("list", list.as_bytes());
    let line = "batch list --source image --into x --also y --json --report r";
    let report = scene.run(line).code(1).report();
    assert_eq!(report["items"]["mismatch"], 1, "{report}");
    for folder in ["x", "y"] {
        assert_eq!(crate::batch::tree(&scene, folder), ["good"]);
        assert_same(&scene.read(format!("{folder}/good")), &image[..10], folder);
    }
    let item = &lines(&scene, "r")[0];
    assert_eq!(item["folders"][1]["status"], "mismatch", "{item}");
}

/// Killed while large files are written to both, both are resumed.
#[test]
fn a_killed_batch_is_resumed_in_every_folder() {
    let scene = Scene::new();
    let bytes = scene.source("large", 72 << 20);
    let small = scene.source("small", 10_000);
    for folder in ["x", "y"] {
        std::fs::create_dir(scene.path(folder)).unwrap();
    }
    let line = "--limit-rate 16MiB --checkpoint-every 0.1 --progress json -t 2 \
                small large x --also y";
    let mut running = scene.pcopy(line.split_whitespace()).start();
    for name in ["x/large", "y/large"] {
        running.wait_until_recorded_of(name, 9 << 20);
    }
    assert!(running.kill().was_killed());
    scene.run("small large x --also y").code(3).says(&["--resume"]);
    let line = "--resume --verify --digest md5 --json small large x --also y";
    let report = scene.run(line).code(0).report();
    assert!(report["resumed"].as_u64() > Some(8 << 20), "{report}");
    for folder in ["x", "y"] {
        assert_same(&scene.read(format!("{folder}/large")), &bytes, folder);
        assert_same(&scene.read(format!("{folder}/small")), &small, folder);
        assert_eq!(crate::batch::tree(&scene, folder), ["large", "small"]);
    }
}

/// A folder that is full is left out and named; the others become complete.
#[cfg(unix)]
#[test]
fn a_full_folder_does_not_stop_the_others() {
    for (full, options) in [("x", "-t 1"), ("y", "-t 2 --verify"), ("y", "--preallocate off")] {
        for early in [true, false] {
            check_full(full, options, early);
        }
    }
}

#[cfg(unix)]
fn check_full(full: &str, options: &str, early: bool) {
    let scene = Scene::new();
    let sources = ["a", "b", "c"].map(|name| (name, scene.source(name, 3_000_000)));
    let other = if full == "x" { "y" } else { "x" };
    std::fs::create_dir(scene.path(other)).unwrap();
    let Some(small) = crate::common::SmallDisk::new(&scene, full, if early { 1 } else { 12 })
    else {
        return;
    };
    let line = format!("{options} --limit-rate 8MiB --io-size 64KiB --progress json --json");
    let line = format!("{line} a b c x --also y");
    if early {
        scene.run(&format!("-n {options} a b c x --also y")).code(5).says(&[full, "space"]);
    }
    let mut running = scene.pcopy(line.split_whitespace()).start();
    if !early {
        running.wait_until_copying();
        small.fill();
    }
    let ended = running.end().code(5).says(&[full, "space"]);
    let report: Value = ended.report();
    assert_eq!(report["outcome"], "failed", "{report}");
    let number = usize::from(full == "y");
    let (left_out, whole) = (&report["folders"][number], &report["folders"][1 - number]);
    assert_eq!(left_out["outcome"], "failed", "{report}");
    assert!(left_out["error"].as_str().unwrap().contains("space"), "{report}");
    assert_eq!(whole["outcome"], "complete", "{report}");
    assert_eq!(whole["items"]["complete"], 3, "{report}");
    for (name, bytes) in &sources {
        assert_same(&scene.read(format!("{other}/{name}")), bytes, name);
    }
    // With room, the rest is copied to the folder that lacks it.
    let there = crate::batch::tree(&scene, full);
    assert!(
        there.iter().all(|name| !name.ends_with("part") && !name.ends_with("map")),
        "{there:?}"
    );
}

/// A write that reports success without having been done: only the folder that it
/// was for has a mismatch.
#[cfg(target_os = "linux")]
#[test]
fn a_lie_in_one_folder_is_a_mismatch_there_alone() {
    if !crate::inject::can_inject() {
        return;
    }
    for name in ["small", "large", "two"] {
        let (scene, files) = two();
        let part = format!("more/there/{name}.pcopy-part");
        std::fs::create_dir(scene.path("more/there")).unwrap();
        let line = format!("{LINE} --also more/there --verify --preallocate off -t 1");
        let lie = ["inject=pwrite64:retval=700:when=1"];
        let (ended, log) = crate::batch::faults::traced(&scene, &[&part], &lie, &line);
        assert!(log.contains("INJECTED"), "{name}: {log}");
        let report = ended.code(1).says(&["in 'more/there'", "differ from the source"]).report();
        assert_eq!(report["items"]["mismatch"], 1, "{report}");
        assert_eq!(report["folders"][0]["outcome"], "complete", "{report}");
        for item in lines(&scene, "report").iter().filter(|item| item["name"] == name) {
            assert_eq!(item["folders"][0]["status"], "complete", "{item}");
            assert_eq!(item["folders"][0]["verified"], true, "{item}");
        }
        for (file, bytes) in &files {
            assert_same(&scene.read(format!("out/{file}")), bytes, file);
            let there = format!("more/there/{file}");
            assert_eq!(scene.has(&there), *file != name, "{there}");
        }
    }
}
