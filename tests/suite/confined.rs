//! The kernel keeps the command from writing elsewhere: asked for by every command that
//! writes, before the first byte, and by none with `--no-sandbox`.

use std::process::Command;

use crate::common::{Scene, program};
use crate::inject::can_inject;

/// How often a run with these words asks to be confined, and whether it ended well.
fn asks(scene: &Scene, words: &[&str]) -> usize {
    let log = scene.path("log");
    let mut command = Command::new("strace");
    command.args(["-f", "-qqq", "-e", "trace=landlock_restrict_self,pwrite64", "-o"]);
    command.arg(&log).arg(program()).args(words).current_dir(scene.path("."));
    let ended = command.output().unwrap();
    assert!(ended.status.success(), "{words:?}: {}", String::from_utf8_lossy(&ended.stderr));
    let log = std::fs::read_to_string(log).unwrap();
    let is_asked = |line: &&str| line.contains("landlock_restrict_self(");
    let first = log.lines().position(|line| is_asked(&line));
    let written = log.lines().position(|line| line.contains("pwrite64("));
    assert!(first.is_none() || written.is_none() || first < written, "{words:?}: {log}");
    log.lines().filter(is_asked).count()
}

#[test]
fn every_command_that_writes_confines_itself() {
    if !can_inject() {
        return;
    }
    let scene = Scene::new();
    scene.source("source", 100_000);
    scene.write("list.csv", b"name,start,end\na,0,10\n");
    let known = asks(&scene, &["source", "first"]);
    assert!(known <= 1);
    let lines: [&[&str]; 4] = [
        &["--in-place", "source", "first"],
        &["batch", "--source", "source", "--into", "made", "list.csv"],
        &["--digest", "md5", "--digest-file", "sums", "source", "second"],
        &["verify", "source", "first"],
    ];
    for words in lines {
        assert_eq!(asks(&scene, words), known, "{words:?}");
    }
    assert_eq!(asks(&scene, &["--no-sandbox", "source", "third"]), 0);
    assert_eq!(
        asks(&scene, &["batch", "--no-sandbox", "--into", "x", "--source", "source", "list.csv"]),
        0
    );
}

/// Destinations that are somewhere else than they are called.
#[test]
fn links_and_places_that_are_not_there_yet_are_written_to() {
    let scene = Scene::new();
    let bytes = scene.source("source", 100_000);
    std::fs::create_dir_all(scene.path("far/away")).unwrap();
    scene.write("far/away/file", b"old");
    for (name, target) in [("folder", "far/away"), ("link", "far/away/file")] {
        std::os::unix::fs::symlink(target, scene.path(name)).unwrap();
    }
    scene.run("source folder/new").code(0);
    assert!(scene.read("far/away/new") == bytes);
    scene.run("--in-place source link").code(0);
    assert!(scene.read("far/away/file") == bytes);
    scene.run("--also far/second source third").code(0);
    scene.run("--map far/map --digest md5 --digest-file far/sums source fourth").code(0);
    assert!(scene.read("far/second") == bytes && scene.read("fourth") == bytes);
}
