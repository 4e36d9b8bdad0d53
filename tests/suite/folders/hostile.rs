//! Somebody puts links where folders are, at either end, before a copy or while
//! it runs: nothing is written through them, and nothing is read through them.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use rustix::fs::{CWD, RenameFlags};

use super::seen::look;
use crate::common::{Scene, pattern, rounds};

const FILES: u64 = 60;

/// `from/sub` with files, `secret` with others of the same names, and `victim`.
fn scene() -> Scene {
    let scene = Scene::new();
    for (seed, folder) in (1..).zip(["from/sub/deep", "secret/deep", "to", "victim/deep"]) {
        let path = scene.path(folder);
        std::fs::create_dir_all(&path).unwrap();
        if folder == "to" {
            continue;
        }
        for file in 0..FILES {
            for folder in [&path, path.parent().unwrap()] {
                std::fs::write(folder.join(file.to_string()), pattern(seed, 3000)).unwrap();
            }
        }
    }
    scene
}

#[test]
fn a_link_below_the_directory_is_not_written_through() {
    for link in ["to/from", "to/from/sub", "to/from/sub/deep", "to/from/sub/deep/7"] {
        for options in ["", "-f", "--resume", "--restart -f"] {
            let scene = scene();
            let victim = look(&scene.path("victim"));
            std::fs::create_dir_all(scene.path(link).parent().unwrap()).unwrap();
            symlink(scene.path("victim/deep"), scene.path(link)).unwrap();
            let ended = scene.run(&format!("-R {options} from to"));
            assert_eq!(look(&scene.path("victim")), victim, "{link} {options}");
            // A link where a file is to be is replaced, where that is wished.
            let is_replaced = link.ends_with('7') && options.contains("-f");
            ended.code(if is_replaced { 0 } else { 3 });
        }
    }
}

/// Exchanges two names as fast as it can until told to stop.
fn keep_swapping(one: &Path, other: &Path, stop: &AtomicBool) {
    while !stop.load(Relaxed) {
        let _ = rustix::fs::renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE);
    }
}

/// Runs copies while `one` and `other` change places.
fn while_swapping(scene: &Scene, one: &str, other: &str, mut check: impl FnMut()) {
    let stop = &AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (one, other) = (scene.path(one), scene.path(other));
        scope.spawn(move || keep_swapping(&one, &other, stop));
        let stop_at_the_end = StopAtTheEnd(stop);
        for _ in 0..rounds("PCOPY_SWAPS", 20) {
            check();
        }
        drop(stop_at_the_end);
    });
}

/// Ends the swapping also when an assertion fails.
struct StopAtTheEnd<'a>(&'a AtomicBool);

impl Drop for StopAtTheEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

#[test]
fn a_folder_that_becomes_a_link_is_not_read_through() {
    let scene = scene();
    symlink(scene.path("secret"), scene.path("link")).unwrap();
    let secret = pattern(2, 3000);
    let (mut files, mut lost) = (0, 0);
    while_swapping(&scene, "from/sub", "link", || {
        let ended = scene.run("-R -t 2 --no-sync from to");
        assert!(matches!(ended.status.code(), Some(0 | 1 | 3)), "{}", ended.stderr);
        lost += usize::from(ended.status.code() == Some(1));
        for (name, seen) in look(&scene.path("to")) {
            assert!(seen.content != secret, "{name:?} has what is behind the link");
            files += usize::from(seen.kind == "file");
        }
        std::fs::remove_dir_all(scene.path("to")).unwrap();
        std::fs::create_dir(scene.path("to")).unwrap();
    });
    println!("measured: a folder swapped for a link: {files} files copied, {lost} runs lost some");
}

#[test]
fn a_folder_of_the_copy_that_becomes_a_link_is_not_written_through() {
    let scene = scene();
    let victim = look(&scene.path("victim"));
    symlink(scene.path("victim"), scene.path("link")).unwrap();
    std::fs::create_dir_all(scene.path("to/from/sub")).unwrap();
    let mut failed = 0;
    while_swapping(&scene, "to/from/sub", "link", || {
        let ended = scene.run("-R -f -p --restart -t 2 --no-sync from to");
        failed += usize::from(!ended.status.success());
        assert_eq!(look(&scene.path("victim")), victim);
    });
    println!("measured: a folder of the copy swapped for a link: {failed} runs failed");
}
