//! Who may read the copy: of a new file what the umask leaves, of a replaced
//! one what it had, and nobody else while it is being written.

use std::os::unix::fs::{MetadataExt, PermissionsExt};

use crate::common::{Run, Scene, assert_same, can_engine, has_tools, pattern, skip};

/// `pcopy` under a umask.
fn under_umask(scene: &Scene, umask: &str, line: &str) -> Run {
    let mut shell = scene.tool("sh", ["-c", "umask $0; exec \"$@\"", umask]);
    shell.command.arg(crate::common::program()).args(line.split_whitespace());
    shell
}

fn mode(scene: &Scene, name: &str) -> u32 {
    scene.path(name).metadata().unwrap().mode() & 0o7777
}

#[test]
fn a_new_file_has_what_the_umask_leaves() {
    for (umask, expected) in [("0", 0o666), ("022", 0o644), ("077", 0o600), ("027", 0o640)] {
        let scene = Scene::new();
        scene.source("source", 5000);
        scene.set_mode("source", 0o666);
        under_umask(&scene, umask, "source copy").run().code(0);
        assert_eq!(mode(&scene, "copy"), expected, "umask {umask}");
        // What a carve holds is another file than the image.
        scene.set_mode("source", 0o400);
        under_umask(&scene, umask, "-r 1..5000 source carve").run().code(0);
        assert_eq!(mode(&scene, "carve"), expected, "umask {umask}, a carve");
    }
}

/// As cp(1) does it: a user who could not read the source cannot read the copy.
#[test]
fn a_copy_of_a_whole_file_has_no_more_rights_than_the_file() {
    let engine = if can_engine("mmap") { "mmap" } else { "positioned" };
    let mapped = format!("--engine {engine} source mapped");
    for (before, after) in
        [(0o600, 0o600), (0o640, 0o640), (0o400, 0o400), (0o666, 0o644), (0o4775, 0o755), (0, 0)]
    {
        let scene = Scene::new();
        for (name, len) in [("source", 5000), ("other", 5000), ("empty", 0)] {
            scene.source(name, len);
        }
        scene.set_mode("source", before);
        scene.set_mode("empty", before);
        if scene.path("source").metadata().is_err() || std::fs::read(scene.path("source")).is_err()
        {
            // Not root: what nobody may read is not copied.
            continue;
        }
        scene.write(
            "list.csv",
            b"name,source,start,len,dest_offset,mode\nwhole,source,,,,\nranged,source,0,5000,,\n\
              told,source,,,,0666\npart,source,0,4999,,\nboth,other,,,,\nboth,source,,,5000,\n",
        );
        for line in [
            "source copy",
            "-r 0..5000 --dest-offset 512 source at",
            "--also also source first",
            &mapped,
            "empty empty-copy",
            "source empty several/",
            "batch list.csv --into out",
        ] {
            if line.contains("several") {
                std::fs::create_dir(scene.path("several")).unwrap();
            }
            under_umask(&scene, "022", line).run().code(0);
        }
        for name in [
            "copy",
            "at",
            "also",
            "first",
            "mapped",
            "empty-copy",
            "several/source",
            "several/empty",
            "out/whole",
            "out/ranged",
        ] {
            assert_eq!(mode(&scene, name), after, "{name} of {before:o}");
        }
        assert_eq!(mode(&scene, "out/told"), 0o666, "the list says so");
        assert_eq!(mode(&scene, "out/part"), 0o644, "a carve");
        assert_eq!(mode(&scene, "out/both"), after & 0o644, "both files whole");
    }
}

/// The bits of the group are the mask of the list, which may be more than it has.
#[test]
fn an_access_list_of_the_source_gives_its_group_no_more() {
    if !has_tools(&["setfacl"]) {
        return;
    }
    let scene = Scene::new();
    scene.source("source", 5000);
    scene.set_mode("source", 0o600);
    if !scene.tool("setfacl", ["-m", "u:1234:rw", "source"]).run().status.success() {
        return skip("the temporary folder has no access lists");
    }
    assert_eq!(mode(&scene, "source"), 0o660, "the mask");
    scene.write("list.csv", b"name\na\n");
    for line in ["source copy", "batch list.csv --source source --into out"] {
        under_umask(&scene, "002", line).run().code(0);
    }
    assert_eq!(["copy", "out/a"].map(|name| mode(&scene, name)), [0o600; 2]);
}

#[test]
fn the_part_is_private_while_it_is_written() {
    for umask in ["0", "022", "077"] {
        let scene = Scene::new();
        scene.source("source", 8 << 20);
        // Sharing extents takes no time, whatever the limit.
        let line = "--reflink never --limit-rate 1MiB --progress json source copy";
        let mut running = under_umask(&scene, umask, line).start();
        running.wait_until_copying();
        assert_eq!(mode(&scene, "copy.pcopy-part"), 0o600, "umask {umask}");
        running.signal(rustix::process::Signal::TERM);
        running.end();
    }
}

#[test]
fn a_replaced_file_gives_its_mode_but_no_special_bits() {
    for (before, after) in [(0o600, 0o600), (0o640, 0o640), (0o755, 0o755), (0o4755, 0o755)] {
        let scene = Scene::new();
        let bytes = scene.source("source", 5000);
        scene.write("copy", b"old");
        let permissions = std::fs::Permissions::from_mode(before);
        std::fs::set_permissions(scene.path("copy"), permissions).unwrap();
        scene.run("--force source copy").code(0);
        assert_eq!(mode(&scene, "copy"), after, "was {before:o}");
        assert_same(&scene.read("copy"), &bytes, "content");
    }
}

/// Where there is a list, the mode shows its mask in place of the group's bits.
#[test]
fn a_replaced_file_gives_its_access_list_and_nobody_gets_more() {
    if !has_tools(&["setfacl", "getfacl"]) {
        return;
    }
    let scene = Scene::new();
    let bytes = scene.source("source", 5000);
    let list = |name: &str| {
        let ended = scene.tool("getfacl", ["-cnE", name]).run().code(0);
        let mut lines: Vec<String> = ended.out().lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    scene.write("list.csv", b"name,start,len\na,0,5000\n");
    std::fs::create_dir(scene.path("out")).unwrap();
    for (name, line) in [
        ("copy", "--force source copy"),
        ("copy", "--force --also other source copy"),
        ("out/a", "batch list.csv --force --source source --into out"),
    ] {
        scene.write(name, b"old");
        scene.tool("chmod", ["600", name]).run().code(0);
        if !scene.tool("setfacl", ["-m", "u:1234:rw", name]).run().status.success() {
            return skip("the temporary folder has no access lists");
        }
        let before = list(name);
        assert!(before.iter().any(|line| line == "group::---"), "{before:?}");
        assert_eq!(mode(&scene, name), 0o660, "the mask");
        scene.run(line).code(0);
        assert_eq!(list(name), before, "{line}");
        assert_same(&scene.read(name), &bytes, line);
        let _ = std::fs::remove_file(scene.path("other"));
    }
}

/// A list that the directory gives to new files is not a list of the replaced one,
/// nor of the source.
#[test]
fn the_list_of_the_directory_gives_nobody_more() {
    if !has_tools(&["setfacl", "getfacl"]) {
        return;
    }
    let scene = Scene::new();
    scene.source("source", 5000);
    scene.tool("chmod", ["640", "source"]).run().code(0);
    std::fs::create_dir(scene.path("d")).unwrap();
    scene.write("d/old", b"old");
    scene.tool("chmod", ["640", "d/old"]).run().code(0);
    scene.write("list.csv", b"name,start,len\nold,0,5000\n");
    if !scene.tool("setfacl", ["-d", "-m", "u:1234:rw", "d"]).run().status.success() {
        return skip("the temporary folder has no access lists");
    }
    for (line, name) in [
        ("-f source d/old", "d/old"),
        ("--preserve source d/new", "d/new"),
        ("batch list.csv --force --source source --into d", "d/old"),
    ] {
        scene.run(line).code(0);
        let list = scene.tool("getfacl", ["-cnE", name]).run().code(0).out();
        assert!(!list.contains("1234"), "{line}: {list}");
        assert_eq!(mode(&scene, name), 0o640, "{line}");
    }
}

#[test]
fn a_batch_keeps_the_modes_of_what_it_replaces_and_completes() {
    let scene = Scene::new();
    scene.source("source", 5000);
    scene.write("list.csv", b"name,start,len,mode\na,0,9,\nb,0,9,0640\nc,0,9,\n");
    std::fs::create_dir(scene.path("out")).unwrap();
    for (name, before) in [("out/a", 0o600), ("out/b", 0o600)] {
        scene.write(name, b"old");
        std::fs::set_permissions(scene.path(name), std::fs::Permissions::from_mode(before))
            .unwrap();
    }
    let line = "batch list.csv --force --source source --into out";
    under_umask(&scene, "022", line).run().code(0);
    let modes = ["out/a", "out/b", "out/c"].map(|name| mode(&scene, name));
    assert_eq!(modes, [0o600, 0o640, 0o644]);
}

/// Invariant I4: a program that has the old file open keeps all of it.
#[test]
fn force_replaces_the_name_and_not_the_file() {
    let scene = Scene::new();
    let new = scene.source("source", 100_000);
    let old = pattern(2, 5000);
    scene.write("copy", &old);
    std::fs::hard_link(scene.path("copy"), scene.path("old")).unwrap();
    scene.run("--force source copy").code(0);
    assert_same(&scene.read("copy"), &new, "the name");
    assert_same(&scene.read("old"), &old, "the file that had it");
}

/// Replacing a link replaces the link: what it points to is not touched.
#[test]
fn force_on_a_link_leaves_its_target_alone() {
    let scene = Scene::new();
    let new = scene.source("source", 5000);
    scene.write("precious", b"precious");
    std::os::unix::fs::symlink("precious", scene.path("copy")).unwrap();
    scene.run("--force source copy").code(0);
    assert_same(&scene.read("precious"), b"precious", "the target of the link");
    assert_same(&scene.read("copy"), &new, "the name");
    assert!(!scene.path("copy").symlink_metadata().unwrap().is_symlink());
}
