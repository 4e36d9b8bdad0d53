//! A batch within what the system allows.

use serde_json::json;

use crate::batch::{scene, tree};
use crate::common::{assert_same, copy_program, has_tools, program};

/// Fragments of all files interleaved, so that all are begun before any is
/// complete, each file in a directory of its own.
#[test]
fn few_open_files_are_enough_for_many_fragmented_ones() {
    if !has_tools(&["prlimit"]) {
        return;
    }
    const FILES: usize = 500;
    let (scene, image) = scene();
    let rows: Vec<String> = (0..FILES)
        .map(|n| {
            let runs: Vec<_> =
                (0..4).map(|k| json!({"start": k * 1_000_000 + n * 900, "len": 800})).collect();
            json!({"name": format!("d{n}/e/f{n}"), "runs": runs}).to_string()
        })
        .collect();
    scene.write("list.jsonl", rows.join("\n").as_bytes());
    for (limit, options) in [(32, "-t 1"), (32, "-t 2"), (32, "-t 64"), (64, ""), (1024, "-t 8")] {
        let mut run = scene.tool("prlimit", [format!("--nofile={limit}")]);
        let line = format!("batch list.jsonl --source image --into out --no-sync {options}");
        run.command.arg(program()).args(line.split_whitespace());
        run.run().code(0).says(&["500 of 500"]);
        for n in 0..FILES {
            let piece = |k: usize| &image[k * 1_000_000 + n * 900..][..800];
            let expected = [piece(0), piece(1), piece(2), piece(3)].concat();
            assert_same(&scene.read(format!("out/d{n}/e/f{n}")), &expected, options);
        }
        assert_eq!(tree(&scene, "out").len(), 3 * FILES, "{options}: no part is left");
        std::fs::remove_dir_all(scene.path("out")).unwrap();
    }
}

/// As many sources as files, and few of them may be open.
#[test]
fn few_open_files_are_enough_for_many_sources() {
    if !has_tools(&["prlimit"]) {
        return;
    }
    let (scene, image) = scene();
    let mut names = Vec::new();
    for n in 0..120 {
        names.push(format!("s{n}"));
        scene.write(&names[n], &image[n * 10..n * 10 + 1000]);
    }
    std::fs::create_dir(scene.path("out")).unwrap();
    let mut run = scene.tool("prlimit", ["--nofile=32"]);
    run.command.arg(program()).args(&names).arg("out/");
    run.run().code(0).says(&["120 of 120"]);
    for (n, name) in names.iter().enumerate() {
        assert_same(&scene.read(format!("out/{name}")), &image[n * 10..n * 10 + 1000], name);
    }
}

/// A directory that cannot be made fails the items in it, each with a line.
#[test]
fn a_directory_that_cannot_be_made_fails_its_items_alone() {
    if rustix::process::geteuid().is_root() {
        return crate::common::skip("root may write everywhere");
    }
    use std::os::unix::fs::PermissionsExt;
    let (scene, _) = scene();
    std::fs::create_dir_all(scene.path("out/closed")).unwrap();
    let mode = std::fs::Permissions::from_mode(0o555);
    std::fs::set_permissions(scene.path("out/closed"), mode).unwrap();
    scene.write("list.csv", b"name,start,len\nclosed/x/a,0,9\nclosed/b,9,9\nfine,0,9\n");
    let line = "batch list.csv --source image --into out --report r";
    scene.run(line).code(1).says(&["closed/x/a", "closed/b"]);
    let statuses: Vec<_> =
        crate::batch::lines(&scene, "r").iter().map(|line| line["status"].clone()).collect();
    assert_eq!(statuses, ["failed", "failed", "complete"]);
}

/// Files that not even their owner may write, and that were closed to make
/// room before they were complete.
#[test]
fn files_that_nobody_may_write_are_made_within_few_open_files() {
    if !has_tools(&["prlimit", "setpriv"]) {
        return;
    }
    use std::os::unix::fs::PermissionsExt;
    let (scene, image) = scene();
    let rows: String = (0..200).map(|n| format!("f{n},{},800,0400\n", n * 900)).collect();
    scene.write("list.csv", format!("name,start,len,mode\n{rows}").as_bytes());
    let open = std::fs::Permissions::from_mode(0o777);
    std::fs::set_permissions(scene.folder(), open).expect("the folder is ours");
    let mut run = scene.tool("prlimit", ["--nofile=32"]);
    if rustix::process::geteuid().is_root() {
        run.command.args(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]);
        // Where the tests were built may be nobody else's to enter.
        copy_program(&program(), &scene.path("pcopy"));
    } else {
        std::os::unix::fs::symlink(program(), scene.path("pcopy")).expect("a link");
    }
    run.command.arg(scene.path("pcopy"));
    run.command.args("batch list.csv --source image --into out -t 2".split(' '));
    run.run().code(0).says(&["200 of 200"]);
    for n in 0..200 {
        let name = format!("out/f{n}");
        assert_eq!(scene.path(&name).metadata().unwrap().permissions().mode() & 0o7777, 0o400);
        if rustix::process::geteuid().is_root() {
            assert_same(&scene.read(&name), &image[n * 900..][..800], &name);
        }
    }
}
