//! The kernel keeps the command from writing elsewhere: asked for by every command that
//! writes, before the first byte, and by none with `--no-sandbox`.

use std::process::Command;

use crate::common::{Scene, can_engine, compiled, has_tools, program, skip};
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

/// Every form of a copy that writes in `folder`, with the attacks that find their aim where
/// nothing keeps them from it: a link for each name, and a link for the folder.
const FORMS: [(&str, &[&str]); 15] = [
    ("source folder/copy", &["link", "folder"]),
    ("--resume source folder/copy", &["link", "folder"]),
    ("-f source folder/old", &["link", "folder"]),
    ("-p --engine positioned -t 2 source folder/copy", &["link", "folder"]),
    ("--engine mmap --verify source folder/copy", &["link", "folder"]),
    (
        "--limit-rate 8M --checkpoint-every 0 --map folder/map source folder/copy",
        &["link", "folder"],
    ),
    ("--also folder/second source folder/copy", &["link", "folder"]),
    ("--split 100K source folder/copy", &["link", "folder"]),
    ("--digest md5 --digest-file folder/sums source folder/copy", &["link", "folder"]),
    ("--log folder/log source folder/copy", &["link", "folder"]),
    ("source list.csv folder", &["link", "folder"]),
    ("-R tree folder", &["link", "folder"]),
    ("batch --source source --into folder list.csv", &["link", "folder"]),
    // Where files can be without a name until they are complete, no name can be a link.
    ("batch --no-sync --source source --into folder list.csv", &["folder"]),
    // Nothing is created.
    ("--in-place source folder/old", &[]),
];

/// A folder to copy into, one elsewhere with the file to be harmed, and what is copied.
fn attacked() -> Scene {
    let scene = Scene::new();
    scene.source("source", 300_000);
    for folder in ["folder", "else", "tree"] {
        std::fs::create_dir(scene.path(folder)).unwrap();
    }
    scene.write("folder/old", &[1; 300_000]);
    scene.write("else/victim", b"not to be changed");
    scene.write("tree/file", b"in a folder");
    scene.write("list.csv", b"name,start,end\na,0,10\nb,10,200000\n");
    scene
}

/// With every other defence against links taken away, and with an attacker who is never too
/// late, the kernel alone keeps all forms of a copy from writing elsewhere. Where it does not,
/// the same attacks find their aim.
#[test]
fn the_kernel_alone_keeps_attacks_from_their_aim() {
    if !cfg!(target_arch = "x86_64") {
        return skip("knows the registers of x86-64 alone");
    }
    if !has_tools(&["gcc"]) || !can_inject() {
        return;
    }
    let undefended = compiled("suite/undefended.c", "");
    let has_landlock = Command::new(&undefended).arg("landlock").status().unwrap().success();
    if !has_landlock {
        return skip("needs a kernel with Landlock");
    }
    let (mut attacks, mut copies) = (0, 0);
    let can_map = can_engine("mmap");
    for (line, finding) in FORMS {
        if line.contains("mmap") && !can_map {
            continue;
        }
        for (attack, aim) in [("link", "else/victim"), ("folder", "else")] {
            let run = |number: u32, option: &str| {
                let scene = attacked();
                let real = scene.path(".").canonicalize().unwrap();
                let mut run = scene.tool(undefended.to_str().unwrap(), [attack]);
                run.command.args([real.join(aim), real.join("folder")]);
                run.command.arg(number.to_string()).arg(program());
                run.command.args(line.split_whitespace()).args(option.split_whitespace());
                let said = run.run().stderr;
                let last =
                    said.lines().last().and_then(|line| line.strip_prefix("undefended: attacks: "));
                let what = format!("{attack} {number}, {line} {option}: {said}");
                let tried: u32 = last.and_then(|count| count.parse().ok()).expect(&what);
                let names = std::fs::read_dir(scene.path("else")).unwrap().count();
                let is_harmed = names != 1 || scene.read("else/victim") != b"not to be changed";
                (tried, is_harmed, what)
            };
            let (_, is_harmed, what) = run(0, "--no-sandbox");
            assert!(is_harmed || !finding.contains(&attack), "{what}");
            // The program ends at the first call that is denied: so each creation is the first.
            for number in 1.. {
                let (tried, is_harmed, what) = run(number, "");
                assert!(!is_harmed, "{what}");
                assert!(tried > 0 || number > 1 || !finding.contains(&attack), "{what}");
                attacks += tried;
                copies += 1;
                if tried == 0 {
                    break;
                }
            }
        }
    }
    println!(
        "measured: attacks on the kernel's confinement alone: {attacks} attacks in {copies} copies, \
         nothing changed elsewhere; without it they found their aim"
    );
}
