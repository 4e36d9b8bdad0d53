//! Leftovers on file systems that keep neither owners nor modes, or give every
//! file to one user: what they say of a file is not evidence against it.

use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::common::{Scene, assert_same, has_tools, is_root};
use crate::disks::tool;

const LEN: usize = 4 << 20;

/// A folder, shown by bindfs with other owners and modes than it has.
struct Shown {
    folder: PathBuf,
}

impl Shown {
    fn new(scene: &Scene, options: &[&str]) -> Shown {
        let (below, folder) = (scene.path("below"), scene.path("shown"));
        for path in [&below, &folder] {
            std::fs::create_dir(path).expect("a folder");
        }
        let words = options.iter().map(Path::new).chain([&*below, &*folder]);
        tool("bindfs", words.map(Path::as_os_str));
        Shown { folder }
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        // Best effort: the folder that it lies in goes away next.
        let _ = std::process::Command::new("umount").arg("-l").arg(&self.folder).status();
    }
}

/// Interrupts a copy of `source` in the middle.
fn interrupt(scene: &Scene) {
    let slow = "-t 2 --io-size 64KiB --limit-rate 1MiB --progress json source shown/copy";
    let mut running = scene.pcopy(slow.split(' ')).start();
    running.wait_until_copied(1 << 20);
    running.signal(rustix::process::Signal::INT);
    running.end().died_by(rustix::process::Signal::INT);
}

#[test]
fn a_copy_is_resumed_where_the_file_system_keeps_no_owners_or_modes() {
    if !is_root() || !has_tools(&["bindfs"]) {
        return;
    }
    for (options, owner) in [
        (&["-u", "nobody", "-p", "0777"][..], 65534),
        (&["--force-user=nobody", "--chmod-ignore", "-p", "0666"], 65534),
        (&["-p", "0666"], 0),
    ] {
        let scene = Scene::new();
        let bytes = scene.source("source", LEN);
        let shown = Shown::new(&scene, options);
        interrupt(&scene);
        let part = scene.path("shown/copy.pcopy-part").metadata().expect("a part");
        assert_eq!((part.uid(), part.mode() & 0o022), (owner, 0o022), "{options:?}");
        let before = std::fs::read_dir(&shown.folder).expect("it is there").count();
        scene.run("-n --resume source shown/copy").code(0);
        assert_eq!(std::fs::read_dir(&shown.folder).expect("it is there").count(), before);
        let report = scene.run("--resume --json source shown/copy").code(0).report();
        assert!(report["bytes"]["resumed"].as_u64() > Some(0), "{report}");
        let note = "the file system keeps no owners or modes";
        assert!(report["notes"].to_string().contains(note), "{report}");
        assert_same(&scene.read("shown/copy"), &bytes, "the copy");
        drop(shown);
    }
}

/// Where every file looks the same, a refusal to change a mode says nothing of this one.
/// Where files have modes, one that others may read is not written.
#[test]
fn a_part_that_cannot_be_made_private_is_written_only_where_nothing_is_private() {
    if !is_root() || !has_tools(&["bindfs"]) {
        return;
    }
    for (options, has_modes) in [
        (&["--chmod-deny", "-p", "0666", "--force-user=nobody"][..], false),
        (&["--chmod-deny", "-p", "0666"], false),
        (&["--chmod-deny"], true),
    ] {
        let scene = Scene::new();
        let bytes = scene.source("source", LEN);
        let shown = Shown::new(&scene, options);
        interrupt(&scene);
        let part = scene.path("below/copy.pcopy-part");
        std::fs::set_permissions(&part, Permissions::from_mode(0o644)).expect("it is there");
        let ended = scene.run("--resume --json source shown/copy");
        if has_modes {
            ended.code(5).says(&["make private", "copy.pcopy-part"]);
        } else {
            let report = ended.code(0).report();
            assert!(report["bytes"]["resumed"].as_u64() > Some(0), "{options:?}: {report}");
            assert_same(&scene.read("shown/copy"), &bytes, "the copy");
        }
        drop(shown);
    }
}
