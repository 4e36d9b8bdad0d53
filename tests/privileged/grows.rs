//! A file system that fills with zeros what a file is made longer by: a copy is
//! not written twice, and no call takes as long as all of it.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::{Scene, assert_same, pattern, program, skip, wait_until};
use crate::devices::{Loop, possible, tool};

/// An exFAT of a program of its own.
struct Exfat {
    folder: PathBuf,
    /// Taken down after it.
    _device: Loop,
}

impl Exfat {
    fn new(scene: &Scene) -> Option<Exfat> {
        if !possible(&["mkfs.exfat", "mount.exfat-fuse", "strace"]) {
            return None;
        }
        let image = scene.path("exfat.img");
        std::fs::File::create(&image).and_then(|file| file.set_len(256 << 20)).expect("an image");
        let folder = scene.path("exfat");
        std::fs::create_dir(&folder).expect("a mount point");
        tool("mkfs.exfat", &[image.to_str().unwrap()]);
        let device = Loop::with(&image, &[]);
        let mut mount = Command::new("mount.exfat-fuse");
        let mounted = mount.arg(&device.path).arg(&folder).output();
        if !mounted.is_ok_and(|output| output.status.success()) {
            skip("exFAT cannot be mounted");
            return None;
        }
        Some(Exfat { folder, _device: device })
    }
}

impl Drop for Exfat {
    fn drop(&mut self) {
        let unmount = || Command::new("umount").arg(&self.folder).status();
        wait_until("it is unmounted", || unmount().is_ok_and(|status| status.success()));
    }
}

const LEN: u64 = 40 << 20;

/// Runs the program with `line`, and returns the lengths that files were given
/// and the places that were written, in order.
#[track_caller]
fn traced(scene: &Scene, line: &str) -> (Vec<u64>, Vec<u64>) {
    let calls = "trace=ftruncate,pwrite64,copy_file_range";
    let mut strace = scene.tool("strace", ["-f", "-qqq", "-y", "-o", "log", "-e", calls]);
    strace.command.args(["-e", "signal=none"]).arg(program()).args(line.split(' '));
    strace.run().code(0);
    let log = String::from_utf8_lossy(&scene.read("log")).into_owned();
    let of = |call: &str| -> Vec<u64> {
        let lines = log.lines().filter(|line| line.contains(call) && line.contains("exfat/"));
        let whole = lines.filter(|line| !line.contains("-map"));
        let last = |line: &str| {
            let arguments = line.rsplit_once(") = ")?.0;
            arguments.rsplit([' ', '(']).next()?.parse().ok()
        };
        whole.filter_map(last).collect()
    };
    (of("ftruncate("), of("pwrite64("))
}

#[test]
fn a_file_grows_as_it_is_written() {
    let scene = Scene::new();
    let Some(exfat) = Exfat::new(&scene) else { return };
    let bytes = scene.source("source", LEN as usize);
    scene.write("list.csv", format!("name,start,len\none,0,{LEN}\ntwo,5,1000\n").as_bytes());
    let ways = [
        ("-t 4 --engine positioned source exfat/copy", "exfat/copy"),
        ("-t 4 --also exfat/other source exfat/another", "exfat/other"),
        ("batch -t 4 --source source --into exfat/out list.csv", "exfat/out/one"),
    ];
    for (line, copy) in ways {
        let (lengths, places) = traced(&scene, line);
        assert!(lengths.iter().all(|&length| length < LEN / 4), "{line}: {lengths:?}");
        assert!(places.is_sorted() || line.contains("--also"), "{line}: {places:?}");
        assert_same(&scene.read(copy), &bytes, line);
        free(&exfat.folder);
    }
}

/// What is not written still counts.
#[test]
fn what_ends_in_a_hole_has_its_length() {
    let scene = Scene::new();
    let Some(exfat) = Exfat::new(&scene) else { return };
    let mut bytes = pattern(1, 1 << 20);
    scene.write("source", &bytes);
    let source = std::fs::File::options().write(true).open(scene.path("source")).unwrap();
    source.set_len(LEN).unwrap();
    bytes.resize(LEN as usize, 0);
    for line in ["--verify source exfat/copy", "--sparse always source exfat/copy"] {
        scene.run(line).code(0);
        assert_same(&scene.read("exfat/copy"), &bytes, line);
        free(&exfat.folder);
    }
    std::fs::create_dir(exfat.folder.join("out")).unwrap();
    scene.run("source list exfat/out").code(3);
    scene.write("other", b"more");
    scene.run("source other exfat/out").code(0);
    assert_same(&scene.read("exfat/out/source"), &bytes, "several files");
}

/// A copy that was interrupted is as long as what it has, and is resumed.
#[test]
fn an_interrupted_copy_is_resumed() {
    let scene = Scene::new();
    let Some(_exfat) = Exfat::new(&scene) else { return };
    let bytes = scene.source("source", LEN as usize);
    let line = "--limit-rate 8MiB --progress json source exfat/copy";
    let mut running = scene.pcopy(line.split(' ')).start();
    running.wait_until_copied(1 << 20);
    running.signal(rustix::process::Signal::TERM);
    running.end().died_by(rustix::process::Signal::TERM);
    let part = scene.path("exfat/copy.pcopy-part");
    assert!(part.metadata().expect("the part").len() < LEN);
    scene.run("--resume source exfat/copy").code(0);
    assert_same(&scene.read("exfat/copy"), &bytes, "the resumed copy");
}

/// Makes room.
fn free(folder: &Path) {
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        let removed =
            if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
        removed.expect("it goes away");
    }
}

/// Each of several runs makes one file longer, and none cuts off what another has written,
/// also where a length comes with what is written.
#[test]
fn pieces_that_make_a_file_longer_do_not_cut_each_other() {
    const PIECE: usize = 1 << 20;
    let scene = Scene::new();
    let Some(exfat) = Exfat::new(&scene) else { return };
    let source = scene.source("source", 6 * PIECE);
    let image = exfat.folder.join("image");
    for round in 0..8 {
        std::fs::write(&image, b"").expect("a file");
        let all: Vec<_> = (0..6)
            .map(|number| {
                let at = number * PIECE;
                let line =
                    format!("--in-place -r {at}+{PIECE} --dest-offset {at} source exfat/image");
                scene.pcopy(line.split(' ')).start()
            })
            .collect();
        all.into_iter().for_each(|running| drop(running.end().code(0)));
        assert_same(&std::fs::read(&image).unwrap(), &source, &format!("round {round}"));
    }
}
