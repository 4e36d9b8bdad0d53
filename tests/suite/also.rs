//! `--also`: one read, several destinations, each on its own.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pcopy::endpoint::Origin;
use pcopy::io::{ReadAt, Source};
use pcopy::{CopyJob, Leftovers, Outcome};

#[cfg(unix)]
use crate::common::{Ended, SmallDisk};
use crate::common::{Scene, assert_same};

#[test]
fn every_destination_gets_the_range() {
    let scene = Scene::new();
    let source = scene.source("source", 3_000_007);
    for options in ["", "-t 4 --verify", "-r 77..2999999 --digest blake3", "--no-sync"] {
        let line = format!("{options} --also b --also c --json -f source a");
        let report = scene.run(&line).code(0).report();
        let range = if options.contains("-r") { 77..2_999_999 } else { 0..source.len() };
        for name in ["a", "b", "c"] {
            assert_same(&scene.read(name), &source[range.clone()], &format!("{options} {name}"));
        }
        assert_eq!(report["outcome"], "complete");
        assert_eq!(report["also"][0]["path"], "b");
        assert_eq!(report["also"][1]["outcome"], "complete");
        if options.contains("--verify") {
            assert_eq!(report["verified"], true);
            assert_eq!(report["also"][1]["verified"], true);
        }
    }
    assert_eq!(scene.names(), ["a", "b", "c", "source"]);
}

#[test]
fn holes_are_kept_in_every_destination() {
    if cfg!(windows) {
        return crate::common::skip("Wine makes no sparse files");
    }
    let scene = Scene::new();
    scene.write("source", b"data");
    let file = std::fs::File::options().write(true).open(scene.path("source")).unwrap();
    file.set_len(10 << 20).unwrap();
    let report = scene.run("--also b --digest sha256 --json source a").code(0).report();
    assert!(report["bytes"]["holes"].as_u64() > Some(9 << 20), "{report}");
    assert_same(&scene.read("b"), &scene.read("source"), "b");
}

#[test]
fn nothing_is_written_where_one_destination_is_refused() {
    let scene = Scene::new();
    scene.source("source", 1000);
    scene.write("old", b"old");
    scene.run("--also old source a").code(3).says(&["old", "--force"]);
    scene.run("--also a source a").code(3).says(&["same destination"]);
    scene.run("--also ./a source a").code(3).says(&["same destination"]);
    scene.run("--also nowhere/b source a").code(3);
    scene.run("--map m --also b source a").code(2).says(&["--also"]);
    scene.run("--also b source -").code(2);
    scene.run("-n --also b source a").code(0);
    assert_eq!(scene.names(), ["old", "source"]);
}

/// What the way to several destinations cannot do is refused, not left out.
#[test]
fn options_that_cannot_be_kept_are_refused() {
    let scene = Scene::new();
    scene.source("source", 1000);
    for options in ["--engine mmap", "--reflink always"] {
        scene.run(&format!("{options} --also b source a")).code(2).says(&["--also"]);
        assert_eq!(scene.names(), ["source"], "{options}");
    }
    for options in [
        "--engine positioned",
        "--reflink never",
        "--preallocate off",
        "--preallocate full",
        "--sparse never",
        "--verify --repair",
    ] {
        scene.run(&format!("{options} -f --also b source a")).code(0);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn zeros_become_holes_in_every_destination() {
    use std::os::unix::fs::MetadataExt;
    let scene = Scene::new();
    let mut source = vec![0; 4 << 20];
    source[2 << 20] = 1;
    scene.write("source", &source);
    for options in ["", "--digest sha256 --verify"] {
        let line = format!("--sparse always {options} -f --json --also b source a");
        let report = scene.run(&line).code(0).report();
        for name in ["a", "b"] {
            assert_same(&scene.read(name), &source, name);
            let blocks = scene.path(name).metadata().unwrap().blocks();
            assert!(blocks <= 128, "{name} takes {blocks} blocks");
        }
        assert_eq!(report["bytes"]["copied"], 4096, "{report}");
        assert_eq!(report["bytes"]["holes"], (4 << 20) - 4096, "{report}");
    }
}

#[test]
fn an_unexpected_digest_commits_no_destination() {
    let scene = Scene::new();
    scene.source("source", 100_000);
    scene.run("--expect crc32c:00000000 --also b source a").code(4);
    assert_eq!(scene.names(), ["source"]);
}

/// In place, they keep what was written, behind their former ends as well.
#[test]
fn an_unexpected_digest_cuts_nothing_off_in_place() {
    let scene = Scene::new();
    let bytes = scene.source("source", 10_000);
    for name in ["a", "b"] {
        scene.write(name, &[7; 12_000]);
    }
    let line = "--in-place --dest-offset 4096 --expect crc32c:00000000 --also b source a";
    scene.run(line).code(4);
    let expected = [&[7; 4096][..], &bytes].concat();
    for name in ["a", "b"] {
        assert_same(&scene.read(name), &expected, name);
    }
    assert_eq!(scene.names(), ["a", "b", "source"]);
}

/// A disk that is too small from the beginning is left out before the first byte.
#[cfg(unix)]
#[test]
fn one_destination_without_room_does_not_stop_the_others() {
    check_full(|scene, _, line| scene.run(line), 1);
}

/// One that fills up while it is written is left out from then on.
#[cfg(unix)]
#[test]
fn one_failing_destination_does_not_stop_the_others() {
    check_full(
        |scene, small, line| {
            let line = format!("--limit-rate 2MiB --io-size 64KiB --progress json {line}");
            let mut running = scene.pcopy(line.split_whitespace()).start();
            running.wait_until_copying();
            small.fill();
            running.end()
        },
        4,
    );
}

/// `run` copies to two destinations, one of which is on a disk of `mib` MiB
/// and gets full.
#[cfg(unix)]
fn check_full(run: impl Fn(&Scene, &SmallDisk, &str) -> Ended, mib: u64) {
    for options in ["-t 1", "-t 4", "-t 4 --verify"] {
        for (first, second) in [("small/x", "good"), ("good", "small/x")] {
            let scene = Scene::new();
            let source = scene.source("source", 3_000_000);
            let Some(small) = SmallDisk::new(&scene, "small", mib) else { return };
            let line = format!("{options} --json --also {second} source {first}");
            let complete = "'good' is complete";
            let ended = run(&scene, &small, &line).code(5).says(&["small/x", "space", complete]);
            let report = ended.report();
            assert_eq!(report["outcome"], "failed");
            let other = if first == "good" { &report } else { &report["also"][0] };
            assert_eq!(other["durable"], true, "{report}");
            assert_eq!(other["verified"] == true, options.contains("--verify"), "{report}");
            assert_same(&scene.read("good"), &source, "the other destination");
            assert!(!scene.has("small/x") && !scene.has("small/x.pcopy-part"));
        }
    }
}

/// Who asks to stop is told so, whatever else went wrong before.
#[cfg(unix)]
#[test]
fn an_interrupt_after_a_failed_destination_is_an_interrupt() {
    let scene = Scene::new();
    scene.source("source", 8 << 20);
    let Some(small) = SmallDisk::new(&scene, "small", 10) else { return };
    let line = "--limit-rate 2MiB --io-size 64KiB --json --progress json --also small/x source a";
    let mut running = scene.pcopy(line.split_whitespace()).start();
    running.wait_until_copying();
    small.fill();
    // What has been copied since was refused by the full disk.
    running.wait_until_copied(3 << 20);
    running.signal(rustix::process::Signal::INT);
    let report = running.end().died_by(rustix::process::Signal::INT).report();
    assert_eq!(report["outcome"], "interrupted");
    assert_eq!(report["also"][0]["outcome"], "failed", "{report}");
    // What is left of the other one can be resumed.
    assert_eq!(scene.names(), ["a.pcopy-map", "a.pcopy-part", "small", "source"]);
}

/// A kill leaves parts, each with a map of its own: what all have done is not
/// copied again.
#[test]
fn what_a_killed_run_left_is_resumed_or_begun_anew() {
    for way in ["--resume", "--restart"] {
        check_killed(way);
    }
}

fn check_killed(way: &str) {
    let scene = Scene::new();
    let bytes = scene.source("source", 4 << 20);
    let line = "--limit-rate 2MiB --io-size 64KiB --progress json --also b source a";
    let mut running = scene.pcopy(line.split_whitespace()).start();
    running.wait_until_copying();
    assert!(running.kill().was_killed());
    let left = scene.names();
    assert!(left.contains(&"a.pcopy-part".to_owned()), "{left:?}");
    scene.run("--also b source a").code(3).says(&["pcopy-part", "--restart"]);
    assert_eq!(scene.names(), left);
    let map = std::fs::read(scene.path("b.pcopy-map")).ok();
    scene.write("b.pcopy-map", b"no map");
    scene.run("--restart --also b source a").code(3).says(&["b.pcopy-map"]);
    std::fs::remove_file(scene.path("b.pcopy-map")).unwrap();
    if let Some(map) = map {
        scene.write("b.pcopy-map", &map);
        private(&scene.path("b.pcopy-map"));
    }
    let line = format!("{way} --also b source a");
    scene.run(&line).code(0).says(&["to 'a'", "and to 'b'"]);
    assert_eq!(scene.names(), ["a", "b", "source"]);
    for name in ["a", "b"] {
        assert_same(&scene.read(name), &bytes, name);
    }
}

/// It is complete, and only the name is missing: part and map stay.
#[cfg(target_os = "linux")]
#[test]
fn a_destination_that_does_not_get_its_name_stays_under_that_of_its_part() {
    if !crate::inject::can_inject() {
        return;
    }
    let scene = Scene::new();
    let bytes = scene.source("source", 100_000);
    let mut run = scene.tool("strace", ["-f", "-qqq", "-o", "/dev/null"]);
    // The second destination is the second to get its name.
    run.command.args(["-e", "inject=renameat2:error=EIO:when=2"]);
    run.command.arg(crate::common::program()).args(["--json", "--also", "b", "source", "a"]);
    let ended = run.run();
    let ended = ended.code(5).says(&["complete in './b.pcopy-part'", "cannot be renamed to 'b'"]);
    let report = ended.report();
    assert_eq!(report["also"][0]["outcome"], "failed", "{report}");
    assert_eq!(scene.names(), ["a", "b.pcopy-map", "b.pcopy-part", "source"]);
    assert_same(&scene.read("a"), &bytes, "the other");
    assert_same(&scene.read("b.pcopy-part"), &bytes, "the one without its name");
    let report = scene.run("--resume --json source b").code(0).report();
    assert_eq!(report["bytes"]["copied"], 0, "{report}");
    assert_eq!(scene.names(), ["a", "b", "source"]);
}

/// Readable by nobody else, as a map of ours is.
fn private(path: &std::path::Path) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    let _ = path;
}

/// An interruption leaves a map for each, and what both have done is not copied
/// again; verified, repaired and with a digest, all in one.
#[cfg(unix)]
#[test]
fn an_interrupted_copy_to_several_is_resumed() {
    let scene = Scene::new();
    let bytes = scene.source("source", 8 << 20);
    let line = "--limit-rate 2MiB --io-size 64KiB --checkpoint-every 0.1 --progress json \
                --also b --also null: source a";
    let mut running = scene.pcopy(line.split_whitespace()).start();
    running.wait_until_copied(3 << 20);
    running.signal(rustix::process::Signal::INT);
    running.end().died_by(rustix::process::Signal::INT);
    // What is not as expected ends a resume, and takes nothing away that was there.
    let left = scene.names();
    scene.run("--resume --expect crc32c:00000000 --also b source a").code(4);
    assert_eq!(scene.names(), left);
    let line = "--resume --verify --repair -p --digest md5 --json --also b source a";
    let report = scene.run(line).code(0).report();
    assert!(report["bytes"]["resumed"].as_u64().unwrap() >= 1 << 20, "{report}");
    assert_eq!(report["verified"], true, "{report}");
    assert_eq!(report["also"][0]["verified"], true, "{report}");
    assert_eq!(scene.names(), ["a", "b", "source"]);
    for name in ["a", "b"] {
        assert_same(&scene.read(name), &bytes, name);
    }
}

/// A source of which a sector cannot be read.
struct Damaged {
    path: PathBuf,
    bytes: Vec<u8>,
    bad: usize,
}

impl ReadAt for Damaged {
    fn read_at(&self, at: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let at = at as usize;
        let end = (at + buffer.len()).min(self.bytes.len());
        if at < self.bad + 512 && self.bad < end {
            return Err(io::Error::other("a bad sector"));
        }
        buffer[..end - at].copy_from_slice(&self.bytes[at..end]);
        Ok(end - at)
    }
}

impl Source for Damaged {
    fn size(&self) -> u64 {
        self.bytes.len() as u64
    }
}

struct Damage(Arc<Damaged>);

impl Origin for Damage {
    fn path(&self) -> &Path {
        &self.0.path
    }
    fn source(&self) -> Arc<dyn Source> {
        self.0.clone()
    }
}

/// One destination has what the source cannot give any more: it is complete, and
/// only the other lacks it.
#[test]
fn what_one_destination_has_already_is_not_missing_there() {
    let scene = Scene::new();
    let bytes = scene.source("source", 4 << 20);
    let origin =
        |bad| Damage(Arc::new(Damaged { path: scene.path("source"), bytes: bytes.clone(), bad }));
    let (a, b) = (scene.path("a"), scene.path("b"));
    // It lacks one sector, which can be read in the end, when another cannot.
    let report = CopyJob::from_origin(origin(1 << 20), &a).run().unwrap();
    assert_eq!(report.outcome, Outcome::Partial);
    assert!(scene.has("a.pcopy-map"));
    let job = CopyJob::from_origin(origin(3 << 20), &a).also(&b).leftovers(Leftovers::Resume);
    let report = job.run().unwrap();
    assert_eq!(report.outcome, Outcome::Partial, "{report:?}");
    assert_eq!(report.failed.len(), 1);
    assert_eq!(report.also[0].outcome, Outcome::Partial);
    assert_same(&scene.read("a"), &bytes, "the one that had it");
    let mut lacks = bytes.clone();
    lacks[3 << 20..][..512].fill(0);
    assert_same(&scene.read("b"), &lacks, "the other");
    assert_eq!(scene.names(), ["a", "b", "b.pcopy-map", "source"]);
    let map = String::from_utf8(scene.read("b.pcopy-map")).unwrap();
    let failed: Vec<&str> = map.lines().filter(|line| line.ends_with('-')).collect();
    assert_eq!(failed.len(), 1, "{map}");
}
