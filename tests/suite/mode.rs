//! Who may read the copy: of a new file what the umask leaves, of a replaced
//! one what it had, and nobody else while it is being written.

use std::os::unix::fs::{MetadataExt, PermissionsExt};

use crate::common::{Run, Scene, assert_same, pattern};

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
        under_umask(&scene, umask, "source copy").run().code(0);
        assert_eq!(mode(&scene, "copy"), expected, "umask {umask}");
    }
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

/// Invariant I4: whoever has the old file open keeps all of it.
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
