//! `--only-changed`: what is the same is not written, and what is there in the end
//! is what an ordinary copy would leave.

use std::path::Path;
use std::time::{Duration, SystemTime};

use pcopy::sparse::Sparse;
use pcopy::testing::Random;
use pcopy::{CopyJob, Threads};

use crate::common::{Ended, Scene, assert_same, pattern, rounds, skip};

const BLOCK: usize = 4096;

/// Every `distance`-th block of `bytes` changed.
fn with_changes(bytes: &[u8], distance: usize) -> Vec<u8> {
    let mut changed = bytes.to_vec();
    for block in changed.chunks_mut(BLOCK).step_by(distance) {
        block[block.len() / 2] ^= 0xff;
    }
    changed
}

/// Bytes of the blocks of `place` in which `old` is not `new`; what is beyond `old`
/// counts.
fn differing(place: std::ops::Range<usize>, old: &[u8], new: &[u8]) -> u64 {
    let mut bytes = 0;
    let mut at = place.start;
    while at < place.end {
        let end = (at / BLOCK * BLOCK + BLOCK).min(place.end);
        bytes += if old.get(at..end) == Some(&new[at..end]) { 0 } else { end - at };
        at = end;
    }
    bytes as u64
}

#[track_caller]
fn counts(ended: &Ended) -> (u64, u64) {
    let bytes = ended.report()["bytes"].clone();
    let count = |field: &str| bytes[field].as_u64().unwrap_or_else(|| panic!("{field}: {bytes}"));
    (count("written"), count("equal"))
}

/// Sets a time of change that any write would move.
fn age(path: &Path) -> SystemTime {
    let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
    let file = std::fs::File::options().write(true).open(path).expect("it opens");
    file.set_modified(long_ago).expect("a time can be set");
    path.metadata().and_then(|data| data.modified()).expect("it has a time")
}

#[test]
fn only_blocks_that_differ_are_written() {
    let scene = Scene::new();
    let new = scene.source("source", 5_000_000);
    let old = with_changes(&new, 50);
    for engine in ["auto", "positioned", "direct"] {
        scene.write("image", &old);
        let line = format!("--only-changed --in-place --json -t 3 --engine {engine} source image");
        let ended = scene.run(&line);
        if engine == "direct" && ended.status.code() == Some(3) {
            skip("nothing goes past the page cache here");
            continue;
        }
        let ended = ended.code(0);
        assert_same(&scene.read("image"), &new, engine);
        let written = differing(0..new.len(), &old, &new);
        assert_eq!(counts(&ended), (written, 5_000_000 - written), "{engine}");
        assert_eq!(
            ended.report()["bytes"]["copied"],
            5_000_000,
            "{engine}: all of it was dealt with"
        );
    }
    assert_eq!(scene.names(), ["image", "source"]);
}

/// Not a byte, and not even the time.
#[test]
fn what_is_the_same_is_left_alone() {
    let scene = Scene::new();
    let bytes = scene.source("source", 3_000_001);
    scene.write("image", &bytes);
    let before = age(&scene.path("image"));
    for options in ["", "--verify", "--digest sha256 --sparse always", "--sparse never -t 4"] {
        let line = format!("--only-changed --in-place {options} source image");
        scene.run(&line).code(0).says(&["0 B (0 bytes) differed and were written", "equal"]);
        let after = scene.path("image").metadata().and_then(|data| data.modified());
        assert_eq!(after.expect("a time"), before, "{options}");
    }
    assert_same(&scene.read("image"), &bytes, "the bytes");
}

/// Random jobs against a slice copy.
#[test]
fn any_job_leaves_what_a_slice_copy_would() {
    let scene = Scene::new();
    for seed in 0..rounds("PCOPY_SEEDS", 150) {
        let mut random = Random::new(seed);
        let mut below = |bound: u64| random.below(bound);
        let size = usize::try_from(below(400_000)).expect("small");
        let mut old = pattern(2, size);
        let source = {
            let mut source = pattern(1, usize::try_from(1 + below(300_000)).expect("small"));
            for _ in 0..below(4) {
                let at = usize::try_from(below(source.len() as u64)).expect("small");
                let end = (at + usize::try_from(below(40_000)).expect("small")).min(source.len());
                source[at..end].fill(0);
            }
            source
        };
        let from = usize::try_from(below(source.len() as u64)).expect("small");
        let len = usize::try_from(below((source.len() - from) as u64 + 1)).expect("small");
        let to = usize::try_from(match below(3) {
            0 => from as u64,
            1 => below(100) * 4096,
            _ => below(400_000),
        })
        .expect("small");
        // Most of it is the same already, as far as it is there.
        let there = len.min(old.len().saturating_sub(to));
        if there > 0 {
            old[to..to + there].copy_from_slice(&source[from..from + there]);
            for _ in 0..below(8) {
                let at = to + usize::try_from(below(there as u64)).expect("small");
                let end = (at + usize::try_from(below(5000)).expect("small")).min(old.len());
                old[at..end].fill(b'x');
            }
        }
        scene.write("source", &source);
        // Of their own: a program that another test starts may hold a lock for a moment.
        let (image, other) = (format!("image{seed}"), format!("other{seed}"));
        [&image, &other].iter().for_each(|name| scene.write(name, &old));
        let mut new = old.clone();
        if len > 0 {
            new.resize(old.len().max(to + len), 0);
            new[to..to + len].copy_from_slice(&source[from..from + len]);
        }
        let sparse = [Sparse::Auto, Sparse::Always, Sparse::Never];
        let sparse = sparse[usize::try_from(below(3)).expect("small")];
        let threads = Threads::Exactly(usize::try_from(1 + below(4)).expect("small"));
        let (stripe, request) = (8192 << below(4), 4096 << below(4));
        let job = |name: &str| {
            CopyJob::new(scene.path("source"), scene.path(name))
                .range(from as u64..(from + len) as u64)
                .dest_offset(to as u64)
                .in_place(true)
                .only_changed(true)
                .sync(false)
                .sparse(sparse)
                .threads(threads)
                .stripe_size(stripe)
                .io_size(request)
        };
        let planned = job(&other).dry_run(&pcopy::Progress::new()).expect("a dry run");
        assert_same(&scene.read(&other), &old, &format!("seed {seed}: a dry run"));
        let report = job(&image).run().unwrap_or_else(|error| panic!("seed {seed}: {error:?}"));
        assert_same(&scene.read(&image), &new, &format!("seed {seed}"));
        [image, other].iter().for_each(|name| {
            std::fs::remove_file(scene.path(name)).expect("it is there");
        });
        let written = differing(to..to + len, &old, &new);
        assert_eq!(report.bytes.written, Some(written), "seed {seed}");
        assert_eq!(report.bytes.equal, Some(len as u64 - written), "seed {seed}");
        assert_eq!(planned.bytes.written, Some(written), "seed {seed}: a dry run");
    }
}

/// Counted where the system is asked to write.
#[cfg(target_os = "linux")]
#[test]
fn no_call_writes_what_is_the_same() {
    if !crate::inject::can_inject() {
        return;
    }
    let scene = Scene::new();
    let new = scene.source("source", 4 << 20);
    // Two blocks that adjoin, and one by itself.
    let mut old = new.clone();
    for block in [7, 8, 700] {
        old[block * BLOCK + 9] ^= 1;
    }
    scene.write("image", &old);
    let mut run = scene
        .tool("strace", ["-f", "-qqq", "-o", "trace", "-e", "trace=/write|fallocate|truncate"]);
    run.command.arg("-P").arg(scene.path("image")).arg(crate::common::program());
    run.command.args("--only-changed --in-place -t 2 source".split(' '));
    run.command.arg(scene.path("image"));
    run.run().code(0);
    assert_same(&scene.read("image"), &new, "the image");
    let trace = String::from_utf8(scene.read("trace")).expect("text");
    let mut writes: Vec<&str> = trace
        .lines()
        .filter_map(|line| line.split_once(", ")?.1.rsplit_once(") = "))
        .map(|(_, moved)| moved)
        .collect();
    writes.sort_unstable();
    assert_eq!(writes, ["4096", "8192"], "{trace}");
}

/// What cannot be read at the destination differs, for all that is known.
#[cfg(target_os = "linux")]
#[test]
fn what_cannot_be_read_there_is_written() {
    if !crate::inject::can_inject() {
        return;
    }
    let scene = Scene::new();
    let bytes = scene.source("source", 1 << 20);
    scene.write("image", &bytes);
    let before = age(&scene.path("image"));
    let mut run =
        scene.tool("strace", ["-f", "-qqq", "-o", "trace", "-e", "inject=pread64:error=EIO"]);
    run.command.arg("-P").arg(scene.path("image")).arg(crate::common::program());
    run.command.args("--only-changed --in-place --json source".split(' '));
    run.command.arg(scene.path("image"));
    let ended = run.run().code(0);
    assert_eq!(counts(&ended), (1 << 20, 0));
    assert_same(&scene.read("image"), &bytes, "the image");
    assert_ne!(scene.path("image").metadata().unwrap().modified().unwrap(), before);
}

/// What the source cannot deliver is not written.
#[cfg(target_os = "linux")]
#[test]
fn what_cannot_be_read_of_the_source_stays() {
    if !crate::inject::can_inject() {
        return;
    }
    let scene = Scene::new();
    let new = scene.source("source", 1 << 20);
    let old = pattern(2, 1 << 20);
    scene.write("image", &old);
    let mut run = scene
        .tool("strace", ["-f", "-qqq", "-o", "trace", "-e", "inject=pread64:error=EIO:when=2+"]);
    run.command.arg("-P").arg(scene.path("source")).arg(crate::common::program());
    run.command.args("--only-changed --in-place --json --engine positioned -t 1".split(' '));
    run.command.args("--io-size 64KiB --stripe-size 64KiB --retries 0".split(' '));
    run.command.arg(scene.path("source")).arg("image");
    let ended = run.run();
    let report = ended.report();
    // Where nothing can be read any more the source is gone, and that is said.
    assert!([Some(1), Some(5)].contains(&ended.status.code()), "{report}");
    let found = scene.read("image");
    for block in 0..16 {
        let place = block * 65_536..(block + 1) * 65_536;
        let is = &found[place.clone()];
        assert!(is == &new[place.clone()] || is == &old[place], "block {block} is of one piece");
    }
}

#[test]
fn a_dry_run_says_how_much_differs() {
    let scene = Scene::new();
    let new = scene.source("source", 2_000_000);
    let old = with_changes(&new, 100);
    scene.write("image", &old);
    let before = age(&scene.path("image"));
    let written = differing(0..new.len(), &old, &new);
    let line = "--only-changed --in-place --dry-run";
    scene.run(&format!("{line} source image")).code(0).says(&[
        &format!("({written} bytes) differ and would be written"),
        &format!("({} bytes) equal", 2_000_000 - written).replace(" bytes", ""),
        "dry run: nothing was written",
    ]);
    let ended = scene.run(&format!("{line} --json source image")).code(0);
    assert_eq!(counts(&ended), (written, 2_000_000 - written));
    assert_same(&scene.read("image"), &old, "nothing was written");
    assert_eq!(scene.path("image").metadata().unwrap().modified().unwrap(), before);
    let ended = scene.run(&format!("{line} --progress json source image")).code(0);
    assert!(ended.stderr.contains("\"phase\":\"finished\""), "{}", ended.stderr);
    assert_eq!(scene.names(), ["image", "source"]);
}

/// Of a destination that is shorter, what is missing is written.
#[test]
fn a_destination_that_is_shorter_grows() {
    let scene = Scene::new();
    let mut new = scene.source("source", 100_000);
    new[50_000..90_000].fill(0);
    scene.write("source", &new);
    for (len, sparse) in
        [(0, "auto"), (1, "always"), (40_000, "never"), (4096, "auto"), (60_000, "never")]
    {
        scene.write("image", &new[..len]);
        let line = format!("--only-changed --in-place --json --sparse {sparse} source image");
        let ended = scene.run(&line).code(0);
        assert_same(&scene.read("image"), &new, &line);
        let written = differing(0..new.len(), &new[..len], &new);
        assert_eq!(counts(&ended), (written, 100_000 - written), "{line}");
    }
}

/// Each destination is compared by itself.
#[test]
fn each_of_several_destinations_gets_what_it_lacks() {
    let scene = Scene::new();
    let new = scene.source("source", 1_000_000);
    for options in ["", "--verify", "-n"] {
        let (one, two) = (with_changes(&new, 100), with_changes(&new, 30));
        scene.write("one", &one);
        scene.write("two", &two);
        scene.write("same", &new);
        let before = age(&scene.path("same"));
        let line =
            format!("--only-changed --in-place --json {options} --also two --also same source one");
        let ended = scene.run(&line).code(0);
        assert_eq!(counts(&ended).0, differing(0..new.len(), &one, &new), "{line}");
        let report = ended.report();
        assert_eq!(report["also"][0]["written"], differing(0..new.len(), &two, &new), "{line}");
        assert_eq!(
            (&report["also"][1]["written"], &report["also"][1]["equal"]),
            (&0.into(), &1_000_000.into())
        );
        assert_eq!(scene.path("same").metadata().unwrap().modified().unwrap(), before);
        let expected = if options == "-n" { [&one, &two, &new] } else { [&new; 3] };
        for (name, expected) in ["one", "two", "same"].iter().zip(expected) {
            assert_same(&scene.read(name), expected, &line);
        }
    }
}

#[test]
fn it_is_proved_as_any_copy_is() {
    let scene = Scene::new();
    let new = scene.source("source", 1_000_000);
    let sum = {
        let ended = scene.run("--digest sha256 source other").code(0);
        ended.out().split(' ').next().expect("a digest").to_owned()
    };
    let restore = || scene.write("image", &with_changes(&new, 20));
    restore();
    let line = format!(
        "--only-changed --in-place --verify --digest sha256 --expect sha256:{sum} source image"
    );
    let ended = scene.run(&line).code(0).says(&["found equal"]);
    assert!(ended.out().starts_with(&sum), "{}", ended.out());
    restore();
    let wrong =
        format!("--only-changed --in-place --expect sha256:{} source image", "0".repeat(64));
    scene.run(&wrong).code(4).says(&["expected"]);
}

/// A block that is equal is done, and so a run that resumes passes over it.
#[cfg(unix)]
#[test]
fn an_interrupted_update_is_resumed() {
    use rustix::process::Signal;
    let scene = Scene::new();
    let new = scene.source("source", 4 << 20);
    let old = with_changes(&new, 10);
    scene.write("image", &old);
    let line = "--only-changed --in-place -t 2 --io-size 64KiB";
    let slow = format!("{line} --progress json --limit-rate 2MiB source image");
    let mut running = scene.pcopy(slow.split(' ')).start();
    running.wait_until_copied(1 << 20);
    running.signal(Signal::INT);
    running.end().died_by(Signal::INT).says(&["--resume"]);
    assert!(scene.has("image.pcopy-map"), "progress was recorded");
    let ended = scene.run(&format!("{line} --json --resume source image")).code(0);
    let report = ended.report();
    let resumed = report["bytes"]["resumed"].as_u64().expect("a count");
    assert!(resumed >= 1 << 20, "{report}");
    let (written, equal) = counts(&ended);
    assert_eq!(written + equal + resumed, 4 << 20, "{report}");
    assert_same(&scene.read("image"), &new, "resumed");
    assert_eq!(scene.names(), ["image", "source"]);
}

/// Zeros are made holes only where there are other bytes.
#[cfg(target_os = "linux")]
#[test]
fn holes_are_made_only_where_there_are_no_zeros() {
    use std::os::unix::fs::MetadataExt;
    let scene = Scene::new();
    let mut new = pattern(1, 4 << 20);
    new[1 << 20..3 << 20].fill(0);
    scene.write("source", &new);
    let mut old = new.clone();
    old[2 << 20..3 << 20].fill(9);
    let storage = |name: &str| scene.path(name).metadata().expect("it is there").blocks() * 512;
    scene.write("image", &old);
    std::fs::File::open(scene.path("image")).and_then(|file| file.sync_all()).expect("synced");
    let full = storage("image");
    let ended = scene.run("--only-changed --in-place --json --sparse always source image").code(0);
    assert_eq!(counts(&ended), (1 << 20, 3 << 20));
    assert_same(&scene.read("image"), &new, "the image");
    if full < 4 << 20 {
        return skip("this file system stores less than it is given");
    }
    let left = storage("image");
    assert!(left <= full - (1 << 20) && left > full - (2 << 20), "{left} of {full}");
    // A source with holes needs no option for that.
    let source = std::fs::File::create(scene.path("holes")).expect("a file");
    source.set_len(4 << 20).expect("a length");
    scene.write("image", &vec![0; 4 << 20]);
    let before = age(&scene.path("image"));
    scene.run("--only-changed --in-place holes image").code(0);
    assert_eq!(scene.path("image").metadata().unwrap().modified().unwrap(), before);
}

/// Of a stream nothing can be read again to see that a hole holds what was to be there.
#[test]
fn zeros_of_a_stream_may_be_holes_already() {
    let scene = Scene::new();
    const MIB: usize = 1 << 20;
    for (len, old) in [(3 * MIB, 2 * MIB), (10_000, 3000)] {
        let mut new = vec![0; len];
        new[len / 2..len / 2 + 100].fill(7);
        std::fs::File::create(scene.path("image"))
            .and_then(|file| file.set_len(old as u64))
            .unwrap();
        let line = "--only-changed --in-place --json --io-size 64K - image";
        let ended = scene.pcopy(line.split_whitespace()).with_input(&new).code(0);
        assert_same(&scene.read("image"), &new, "the image");
        let (written, equal) = counts(&ended);
        assert_eq!(written + equal, len as u64);
    }
}

#[test]
fn what_it_cannot_do_is_refused_with_what_helps() {
    let scene = Scene::new();
    scene.source("source", 100_000);
    scene.write("image", b"old");
    std::fs::create_dir(scene.path("dir")).expect("a folder");
    let check = |line: &str, code: i32, texts: &[&str]| {
        scene.run(&format!("--only-changed {line}")).code(code).says(texts);
        assert_eq!(scene.read("image"), b"old", "{line}");
        assert_eq!(scene.names(), ["dir", "image", "source"], "{line}");
    };
    check("source new", 3, &["does not exist", "leave --only-changed out"]);
    check("source image", 3, &["'image' exists", "--in-place writes into it"]);
    check("--force source image", 2, &["--only-changed", "--force"]);
    check("--in-place source new", 3, &["nothing to write into"]);
    check("source -", 2, &["--only-changed has no meaning for a stream"]);
    check("source null:", 2, &["--only-changed compares", "'null:' keeps nothing"]);
    check("source image dir", 2, &["--only-changed: each of several sources"]);
    check("--in-place --reflink always source image", 2, &["--reflink with --only-changed"]);
    for engine in ["offload", "splice", "mmap"] {
        let line = format!("--in-place --engine {engine} source image");
        check(&line, 3, &[&format!("engine {engine}"), "compared", "leave --only-changed out"]);
    }
}

#[cfg(unix)]
#[test]
fn a_destination_that_cannot_be_read_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let scene = Scene::new();
    scene.source("source", 1000);
    scene.write("image", b"old");
    let write_only = std::fs::Permissions::from_mode(0o200);
    std::fs::set_permissions(scene.path("image"), write_only).expect("a mode");
    if std::fs::File::open(scene.path("image")).is_ok() {
        return skip("this user may read everything");
    }
    scene.run("--only-changed --in-place source image").code(3).says(&["not be read", "compared"]);
}

/// What a large update reads of the destination pushes nothing else out of memory.
#[cfg(target_os = "linux")]
#[test]
fn an_update_of_a_file_on_disk_drops_what_it_brought_into_memory() {
    if !crate::common::has_tools(&["fincore"]) {
        return;
    }
    let scene = Scene::new();
    let len = 80 << 20;
    let new = pattern(1, len);
    scene.write("source", &new);
    scene.write("image", &with_changes(&new, 1000));
    let image = std::fs::File::open(scene.path("image")).expect("it opens");
    image.sync_all().expect("synced");
    pcopy::sys::drop_cached(&image, pcopy::ByteRange::to(len as u64));
    let cached = || {
        let ended = scene.tool("fincore", ["-n", "-b", "-o", "RES", "image"]).run();
        ended.out().trim().parse::<u64>().expect("a number")
    };
    if cached() > 0 {
        return skip("nothing can be dropped from this page cache");
    }
    scene.run("--only-changed --in-place -t 2 --engine positioned source image").code(0);
    assert!(cached() < len as u64 / 4, "{} of {len} bytes are cached", cached());
    assert_same(&scene.read("image"), &new, "the image");
}
