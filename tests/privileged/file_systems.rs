//! What is promised holds on each file system that can be made here: each is
//! made, written to, taken down and mounted again. The table in
//! `docs/reliability.md` names these tests.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::common::{Scene, assert_same, pattern, skip};
use crate::devices::{Loop, possible, tool};
use crate::odd::Odd;

const MIB: usize = 1 << 20;
const LEN: usize = 6 * MIB;

/// A file system at `at` of a scene, which can be taken down and mounted again.
struct Volume<'a> {
    scene: &'a Scene,
    at: PathBuf,
    kind: Kind,
    mounted: bool,
    // Taken down last.
    device: Option<Loop>,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// Of the kernel, with the words that make it.
    Kernel(&'static str, &'static [&'static str]),
    /// Served by a program that is given the device and the place.
    Fuse(&'static [&'static str], &'static [&'static str]),
    /// In memory: nothing is left of it when it is taken down.
    Memory,
    Overlay,
    Bind,
}

impl<'a> Volume<'a> {
    /// Makes it; `None`, and a skip, where that cannot be.
    fn new(scene: &'a Scene, kind: Kind) -> Option<Volume<'a>> {
        let needed: &[&str] = match kind {
            Kind::Kernel(_, make) => &make[..1],
            Kind::Fuse(serve, make) => &[serve[0], make[0]],
            Kind::Bind => &["bindfs"],
            Kind::Memory | Kind::Overlay => &[],
        };
        if !possible(needed) {
            return None;
        }
        if let Kind::Kernel(name, _) = kind
            && !is_known(name)
        {
            skip(&format!("the kernel has no {name}"));
            return None;
        }
        for name in ["fs", "lower", "upper", "work"] {
            fs::create_dir(scene.path(name)).expect("a folder");
        }
        let at = scene.path("fs");
        let mut volume = Volume { scene, at, kind, mounted: false, device: None };
        if let Kind::Kernel(_, make) | Kind::Fuse(_, make) = kind {
            let image = scene.path("image");
            File::create(&image).and_then(|file| file.set_len(400 << 20)).expect("an image");
            volume.device = Some(Loop::new(&image, 512));
            tool(make[0], &[&make[1..], &[volume.device()]].concat());
        }
        volume.mount().then_some(volume)
    }

    fn device(&self) -> &str {
        self.device.as_ref().map_or("none", |device| &device.path)
    }

    /// Whether it is mounted then; a skip if not.
    fn mount(&mut self) -> bool {
        let at = self.at.to_str().expect("test folders have plain names");
        let path = |name: &str| self.scene.path(name).display().to_string();
        let overlay = format!(
            "lowerdir={},upperdir={},workdir={}",
            path("lower"),
            path("upper"),
            path("work")
        );
        let upper = path("upper");
        let words = match self.kind {
            Kind::Kernel(name, _) => vec!["mount", "-t", name, self.device(), at],
            Kind::Fuse(serve, _) => [serve, &[self.device(), at]].concat(),
            Kind::Memory => vec!["mount", "-t", "tmpfs", "none", at],
            Kind::Overlay => vec!["mount", "-t", "overlay", "-o", &overlay, "none", at],
            Kind::Bind => vec!["bindfs", &upper, at],
        };
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).stdin(Stdio::null()).stdout(Stdio::null());
        let mounted = command.status().is_ok_and(|status| status.success());
        if !mounted {
            skip(&format!("{} does not mount it here", words[0]));
        }
        self.mounted = mounted;
        mounted
    }

    fn unmount(&mut self) {
        tool("umount", &[self.at.to_str().expect("test folders have plain names")]);
        self.mounted = false;
    }
}

impl Drop for Volume<'_> {
    fn drop(&mut self) {
        if self.mounted {
            let _ = Command::new("umount").arg("-l").arg(&self.at).status();
        }
    }
}

fn is_known(name: &str) -> bool {
    let known = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    known.split_whitespace().any(|known| known == name)
}

/// A file is refused as its own destination by whatever path, and no other is.
fn identity(scene: &Scene) {
    let bytes = scene.source("fs/a", 300_001);
    let other = scene.source("fs/b", 300_001);
    std::os::unix::fs::symlink("fs", scene.path("way")).expect("a link");
    for there in ["fs/a", "way/a"] {
        scene.run(&format!("--force fs/a {there}")).code(3).says(&["same file"]);
    }
    if fs::hard_link(scene.path("fs/a"), scene.path("fs/link")).is_ok() {
        scene.run("--force fs/a fs/link").code(3).says(&["same file"]);
    }
    scene.run("--force fs/a fs/b").code(0);
    assert_same(&scene.read("fs/a"), &bytes, "the source");
    assert_same(&scene.read("fs/b"), &other, "the copy");
    scene.run("verify fs/a fs/b").code(0);
}

/// What is in a sparse file, and around its holes, is copied to and from there.
fn holes(scene: &Scene) {
    let mut bytes = vec![0; 8 * MIB + 5];
    bytes[3 * MIB..3 * MIB + 5000].copy_from_slice(&pattern(1, 5000));
    for name in ["fs/sparse", "sparse"] {
        let file = File::create(scene.path(name)).expect("a file");
        file.set_len(bytes.len() as u64).expect("a length");
        file.write_all_at(&bytes[3 * MIB..3 * MIB + 5000], 3 << 20).expect("its data");
    }
    for line in ["fs/sparse out", "sparse fs/out", "fs/sparse fs/out --sparse always"] {
        let copy = line.split(' ').nth(1).expect("two names");
        scene.run(&format!("--force --verify {line}")).code(0);
        assert_same(&scene.read(copy), &bytes, line);
    }
    scene.write("place", &pattern(2, bytes.len()));
    scene.run("--in-place fs/sparse place").code(0);
    assert_same(&scene.read("place"), &bytes, "in place");
    scene.run("--in-place sparse fs/out").code(0);
    assert_same(&scene.read("fs/out"), &bytes, "in place, there");
}

/// A name is given by a rename: it is not taken from what has it, and nothing
/// else is left.
fn rename(scene: &Scene) {
    let bytes = scene.source("plain", 500_000);
    scene.write("fs/taken", b"before");
    scene.run("plain fs/taken").code(3).says(&["exists"]);
    assert_eq!(scene.read("fs/taken"), b"before");
    scene.run("--force plain fs/taken").code(0);
    scene.write("list.csv", b"name,start,len\nx,0,1000\nd/y,1000,2000\n");
    scene.run("batch list.csv --source plain --into fs/dir").code(0);
    scene.run("batch list.csv --source plain --into fs/dir").code(3).says(&["exists"]);
    assert_same(&scene.read("fs/taken"), &bytes, "replaced");
    assert_same(&scene.read("fs/dir/d/y"), &bytes[1000..3000], "of a list");
    let left = |folder: &str| {
        let names = fs::read_dir(scene.path(folder)).expect("a folder");
        let names = names.map(|name| name.expect("a name").file_name());
        names.filter(|name| name.to_string_lossy().contains("pcopy-")).count()
    };
    assert_eq!((left("fs"), left("fs/dir")), (0, 0));
}

/// The copy has no more rights than the source, as far as there are rights.
fn mode(scene: &Scene) {
    scene.source("private", 100_000);
    fs::set_permissions(scene.path("private"), fs::Permissions::from_mode(0o600)).expect("a mode");
    scene.run("--preserve private fs/private").code(0);
    scene.run("private fs/plain").code(0);
    scene.write("fs/probe", b"");
    let rights = |name: &str| scene.path(name).metadata().expect("its facts").mode() & 0o777;
    let set = fs::set_permissions(scene.path("fs/probe"), fs::Permissions::from_mode(0o600));
    if set.is_ok() && rights("fs/probe") == 0o600 {
        assert_eq!((rights("fs/private"), rights("fs/plain")), (0o600, 0o600));
    }
}

/// Killed in the middle, taken down, mounted again: the copy is resumed, from
/// there and to there, also where each mount gives files other numbers.
fn resume_after(scene: &Scene, mut remount: impl FnMut()) {
    let bytes = scene.source("source", LEN);
    scene.write("fs/source", &bytes);
    for line in ["source fs/copy", "fs/source copy"] {
        let options = "--progress json --checkpoint-every 0.1 -t 2 --io-size 64KiB";
        let line = format!("{options} {line}");
        let slow = format!("--limit-rate 4MiB {line}");
        let mut running = scene.pcopy(slow.split_whitespace()).start();
        running.wait_until_recorded(1);
        assert!(running.kill().was_killed());
        remount();
        let report: Value = scene.run(&format!("{line} --resume --json")).code(0).report();
        assert!(report["bytes"]["resumed"].as_u64() > Some(0), "{line}: {report}");
        let copy = line.rsplit(' ').next().expect("a name");
        assert_same(&scene.read(copy), &bytes, &line);
    }
}

/// All of it on one kind.
fn promises(kind: Kind) {
    let scene = Scene::new();
    let Some(mut volume) = Volume::new(&scene, kind) else { return };
    identity(&scene);
    holes(&scene);
    rename(&scene);
    mode(&scene);
    if kind == Kind::Memory {
        return;
    }
    resume_after(&scene, || {
        volume.unmount();
        assert!(volume.mount(), "it was mounted before");
    });
}

#[test]
fn ext4_keeps_the_promises() {
    promises(Kind::Kernel("ext4", &["mkfs.ext4", "-q"]));
}

#[test]
fn xfs_keeps_the_promises() {
    promises(Kind::Kernel("xfs", &["mkfs.xfs", "-q"]));
}

#[test]
fn btrfs_keeps_the_promises() {
    promises(Kind::Kernel("btrfs", &["mkfs.btrfs", "-q"]));
}

#[test]
fn fat_keeps_the_promises() {
    promises(Kind::Kernel("vfat", &["mkfs.vfat"]));
}

#[test]
fn exfat_keeps_the_promises() {
    promises(Kind::Fuse(&["mount.exfat-fuse"], &["mkfs.exfat"]));
}

#[test]
fn ntfs_keeps_the_promises() {
    promises(Kind::Fuse(&["ntfs-3g"], &["mkntfs", "-q", "-f"]));
}

#[test]
fn tmpfs_keeps_the_promises() {
    promises(Kind::Memory);
}

#[test]
fn overlay_keeps_the_promises() {
    promises(Kind::Overlay);
}

#[test]
fn bindfs_keeps_the_promises() {
    promises(Kind::Bind);
}

#[test]
fn a_fuse_with_other_inode_numbers_each_time_keeps_the_promises() {
    let scene = Scene::new();
    let Some(mut odd) = Odd::new(&scene, "fs", &["ino=mount"]) else { return };
    identity(&scene);
    holes(&scene);
    rename(&scene);
    mode(&scene);
    resume_after(&scene, || odd.remount(&["ino=mount"]));
}
