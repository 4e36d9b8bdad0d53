//! Engines of the real program: what a fallback looks like from outside, for
//! each error at each step of each engine, and that an I/O error is none.
//!
//! Errors are injected into system calls on the two files of a copy by strace.
//! Whether that works here is tried first.

use std::io::Read as _;

use crate::common::{Ended, Scene, assert_same, has_tools, pattern, skip};

/// Large enough that every engine is chosen by itself where it can be.
const LEN: usize = (64 << 20) + 4097;

/// Stripes of a copy of `LEN` bytes.
const STRIPE: &str = "4MiB";

/// Enough for several requests of every engine.
const FEW: usize = (5 << 20) + 4097;

/// Every error that says "not here" of a call that moves bytes by itself.
const NOT_OFFERED: [&str; 12] = [
    "ENOSYS",
    "ENOTTY",
    "EOPNOTSUPP",
    "EINVAL",
    "EBADF",
    "EXDEV",
    "ETXTBSY",
    "EPERM",
    "EACCES",
    "ENOENT",
    "EOVERFLOW",
    "EFBIG",
];

/// Every error that says "not like this" of a request past the page cache.
const UNSUPPORTED: [&str; 4] = ["ENOSYS", "EINVAL", "EOPNOTSUPP", "ENOTTY"];

/// Whether system calls can be tampered with.
fn can_inject(scene: &Scene) -> bool {
    if !has_tools(&["strace"]) {
        return false;
    }
    let arguments = ["-qqq", "-o", "probe", "-e", "inject=fsync:error=EIO", "true"];
    let works = scene.tool("strace", arguments).run().status.success();
    if !works {
        skip("strace may not trace here");
    }
    works
}

/// Copies `source` to `copy` with `options`, while strace does `injection` to
/// one system call on them. Also: how often it did.
fn injected(scene: &Scene, injection: &str, options: &str) -> (Ended, usize) {
    let call = injection.split(':').next().expect("split gives at least one part");
    let mut run = scene.tool("strace", ["-f", "-qqq", "-o", "trace"]);
    for name in ["source", "copy.pcopy-part"] {
        run.command.arg("-P").arg(scene.path(name));
    }
    run.command.args(["-e", &format!("trace={call}"), "-e", &format!("inject={injection}")]);
    // One worker: strace counts calls by thread.
    run.command.arg(crate::common::program()).args(["-t", "1", "--stripe-size", STRIPE, "--json"]);
    run.command.args(options.split_whitespace()).args(["source", "copy"]);
    let ended = run.run();
    let trace = String::from_utf8_lossy(&scene.read("trace")).into_owned();
    (ended, trace.matches("(INJECTED)").count())
}

fn engine_of(report: &serde_json::Value) -> &str {
    report["engine"].as_str().unwrap_or_default()
}

/// One worker, and nothing waits for the disk: the kernel copies by itself
/// where it can.
#[test]
fn what_the_kernel_does_not_offer_is_done_by_hand_and_said_once() {
    let scene = Scene::new();
    let bytes = scene.source("source", LEN);
    if !can_inject(&scene) || !offloads(&scene) {
        return;
    }
    // The probe, the first request, and one in the middle.
    let steps = [1, 2, 7];
    for (error, step) in NOT_OFFERED.iter().flat_map(|error| steps.map(|step| (error, step))) {
        let what = format!("{error} at call {step}");
        let injection = format!("copy_file_range:error={error}:when={step}");
        let (ended, times) = injected(&scene, &injection, "--no-sync --progress json");
        let ended = ended.code(0);
        assert_eq!(times, 1, "{what}");
        let report = ended.report();
        let fallbacks = report["fallbacks"].as_array().expect("a list");
        assert_eq!(fallbacks.len(), 1, "{what}: {fallbacks:?}");
        assert_eq!(
            (&fallbacks[0]["from"], &fallbacks[0]["to"]),
            (&"offload".into(), &"positioned".into())
        );
        assert_eq!(engine_of(&report), "positioned", "{what}");
        assert_eq!(ended.stderr.matches("\"fallback\"").count(), 1, "{what}: {}", ended.stderr);
        assert_same(&scene.read("copy"), &bytes, &what);
        std::fs::remove_file(scene.path("copy")).expect("the copy is there");
    }
}

/// Whether the kernel copies between two files here without sharing them.
fn offloads(scene: &Scene) -> bool {
    let ended = scene.run("-t 1 --no-sync --json source probed");
    let report = ended.code(0).report();
    std::fs::remove_file(scene.path("probed")).expect("the copy is there");
    let shares = report["notes"].to_string().contains("share");
    let offloads = engine_of(&report) == "offload" && !shares;
    if !offloads {
        skip(&format!("the temporary folder is copied by {}", report["engine_reason"]));
    }
    offloads
}

/// Never after EIO: the bytes are got by hand, and the engine goes on.
#[test]
fn an_error_of_the_disk_is_no_fallback() {
    let scene = Scene::new();
    let bytes = scene.source("source", LEN);
    if !can_inject(&scene) || !offloads(&scene) {
        return;
    }
    let injections = [
        ("copy_file_range:error=EIO:when=1", "--engine offload"),
        ("copy_file_range:error=EIO:when=2", "--engine offload"),
        ("copy_file_range:error=EIO:when=7", "--engine auto --no-sync"),
        ("copy_file_range:error=ENOSPC:when=7", "--engine offload"),
        ("copy_file_range:retval=0:when=7", "--engine offload"),
        ("copy_file_range:error=EINTR:when=2+3", "--engine offload"),
        ("splice:error=EIO:when=1", "--engine splice"),
        ("splice:error=EIO:when=8", "--engine splice"),
        ("splice:error=EIO:when=9", "--engine splice"),
        ("splice:error=EINTR:when=1+3", "--engine splice"),
        ("pread64:error=EIO:when=1", "--engine direct"),
        ("pread64:error=EIO:when=5", "--engine direct"),
        ("pread64:error=EIO:when=5", "--engine mmap"),
        ("pread64:error=ENXIO:when=5", "--engine direct"),
    ];
    for (injection, options) in injections {
        let named = options.strip_prefix("--engine ").filter(|named| !named.starts_with("auto"));
        if named.is_some_and(|engine| !serves(&scene, engine)) {
            continue;
        }
        let (ended, times) = injected(&scene, injection, options);
        let report = ended.code(0).report();
        assert!(times >= 1, "{injection} {options}");
        assert_eq!(report["fallbacks"], serde_json::json!([]), "{injection} {options}");
        assert_same(&scene.read("copy"), &bytes, injection);
        std::fs::remove_file(scene.path("copy")).expect("the copy is there");
    }
}

/// An error of the destination is none of the engine either: the job stops.
#[test]
fn an_error_of_the_destination_ends_the_copy_and_not_the_engine() {
    let scene = Scene::new();
    scene.source("source", FEW);
    if !can_inject(&scene) {
        return;
    }
    // Calls are counted by thread: the first reservation is also the one that
    // tries out whether there are any, to which only their absence matters.
    let injections = [
        ("pwrite64:error=EIO:when=1", "direct", 1),
        ("pwrite64:error=EIO:when=3", "direct", 1),
        ("pwrite64:error=ENOSPC:when=3", "direct", 1),
        ("pwrite64:error=EIO:when=3", "positioned", 1),
        ("fallocate:error=EIO:when=1", "mmap", 2),
        ("fallocate:error=EIO:when=2", "mmap", 1),
    ];
    for (injection, engine, expected) in injections {
        if !serves(&scene, engine) {
            continue;
        }
        let (ended, times) = injected(&scene, injection, &format!("--engine {engine}"));
        let report = ended.code(5).says(&["cannot write bytes"]).report();
        assert_eq!(times, expected, "{injection} {engine}");
        assert_eq!(engine_of(&report), engine, "{injection}");
        assert_eq!(report["fallbacks"], serde_json::json!([]), "{injection} {engine}");
        for left in ["copy.pcopy-part", "copy.pcopy-map"] {
            // No map where nothing was done.
            let _ = std::fs::remove_file(scene.path(left));
        }
    }
}

/// Whether `engine` moves bytes in the temporary folder; a skip if not.
fn serves(scene: &Scene, engine: &str) -> bool {
    let ended = scene.run(&format!("--engine {engine} --json source probed"));
    let copied = ended.status.success();
    // Of what is shared, the kernel has nothing to move.
    let serves = copied && !ended.report()["notes"].to_string().contains("share");
    if copied {
        std::fs::remove_file(scene.path("probed")).expect("the copy is there");
    }
    if !serves {
        skip(&format!("engine {engine} cannot serve in the temporary folder"));
    }
    serves
}

/// An engine that is asked for by name is not replaced: nothing is written
/// where that is known in time, and a run can resume what was written.
#[test]
fn a_named_engine_fails_rather_than_gives_way() {
    let scene = Scene::new();
    let bytes = scene.source("source", FEW);
    if !can_inject(&scene) {
        return;
    }
    // The start, and the middle, of every step. The first of all requests of
    // the kernel, and of all reservations, is the probe, before anything is
    // written.
    let calls: [(&str, &str, &[&str], &[usize]); 6] = [
        ("offload", "copy_file_range", &NOT_OFFERED, &[1, 2]),
        ("splice", "splice", &NOT_OFFERED, &[1, 2, 5, 6]),
        ("direct", "pread64", &UNSUPPORTED, &[3, 4]),
        ("direct", "pwrite64", &UNSUPPORTED, &[1, 3]),
        ("mmap", "fallocate", &NOT_OFFERED, &[1, 2]),
        ("mmap", "mmap", &["ENODEV", "ENOMEM", "EACCES"], &[1, 2]),
    ];
    for (engine, call, errors, steps) in calls {
        if !serves(&scene, engine) {
            continue;
        }
        for (error, step) in
            errors.iter().flat_map(|error| steps.iter().map(move |step| (error, step)))
        {
            let what = format!("{engine}: {error} at {call} {step}");
            let injection = format!("{call}:error={error}:when={step}");
            let (ended, times) = injected(&scene, &injection, &format!("--engine {engine}"));
            let begun = !matches!((call, step), ("copy_file_range" | "fallocate", 1));
            ended.code(if begun { 5 } else { 3 }).says(&[&format!("engine {engine}")]);
            assert_eq!(times, 1, "{what}");
            assert!(!scene.has("copy"), "{what}");
            assert_eq!(scene.has("copy.pcopy-part"), begun, "{what}");
            if begun {
                // The engine is still the one that was asked for.
                scene.run(&format!("--resume --engine {engine} source copy")).code(0);
                assert_same(&scene.read("copy"), &bytes, &what);
                std::fs::remove_file(scene.path("copy")).expect("the copy is there");
            }
        }
    }
}

/// What an engine cannot do for a source of this kind is known before the copy.
#[test]
fn a_dry_run_refuses_the_engines_that_cannot_read_a_source() {
    let scene = Scene::new();
    for name in ["source", "set.001", "set.002"] {
        scene.source(name, FEW);
    }
    for source in ["source", "set.001", "--length 4096 zero:"] {
        for engine in ["positioned", "direct", "mmap", "offload", "splice"] {
            let line = format!("--engine {engine} {source} copy");
            let planned = scene.run(&format!("--dry-run {line}"));
            let copied = scene.run(&line);
            let is_one = planned.status.code() == copied.status.code();
            // Whether a call is offered is known when it is made.
            let is_tried = source == "source" && planned.status.success();
            assert!(is_one || is_tried, "{line}: {} {}", planned.stderr, copied.stderr);
            let _ = std::fs::remove_file(scene.path("copy"));
        }
    }
}

/// Space that runs out while it is reserved is not a signal, and no copy.
#[test]
fn no_space_for_a_map_is_an_error_of_the_write() {
    let scene = Scene::new();
    scene.source("source", LEN);
    if !can_inject(&scene) || !offloads(&scene) {
        return;
    }
    let (ended, _) = injected(&scene, "fallocate:error=ENOSPC:when=3", "--engine mmap");
    ended.code(5).says(&["cannot write bytes 8388608..12582912"]);
    std::fs::remove_file(scene.path("copy.pcopy-part")).expect("the part is there");
    std::fs::remove_file(scene.path("copy.pcopy-map")).expect("the map is there");
    let (ended, _) = injected(&scene, "fallocate:error=ENOSPC:when=1", "--preallocate full");
    ended.code(3).says(&["cannot reserve"]);
    assert_eq!(scene.names(), ["probe", "source", "trace"]);
    let (ended, _) = injected(&scene, "fallocate:error=EOPNOTSUPP:when=1", "--preallocate full");
    let report = ended.code(0).report();
    assert!(report["notes"].to_string().contains("cannot be reserved"), "{report}");
}

/// No request is longer than the named unit, whichever engine moves the bytes.
#[test]
fn no_request_is_longer_than_the_size_that_was_asked_for() {
    let scene = Scene::new();
    let bytes = scene.source("source", 1_000_000);
    if !can_inject(&scene) {
        return;
    }
    for (engine, call) in [
        ("offload", "copy_file_range"),
        ("splice", "splice"),
        ("positioned", "pwrite64"),
        ("mmap", "pread64"),
    ] {
        let mut run = scene.tool("strace", ["-f", "-qqq", "-o", "trace", "-e"]);
        run.command.arg(format!("trace={call}")).arg(crate::common::program());
        let line = format!("--engine {engine} --reflink never --io-size 64KiB source copy");
        run.command.args(line.split(' '));
        let ended = run.run();
        if ended.status.code() == Some(3) {
            skip(&format!("engine {engine} cannot serve in the temporary folder"));
            continue;
        }
        ended.code(0);
        assert_same(&scene.read("copy"), &bytes, engine);
        let trace = String::from_utf8_lossy(&scene.read("trace")).into_owned();
        let moved = trace.lines().filter_map(|line| line.rsplit_once(" = ")?.1.parse::<u64>().ok());
        let longest = moved.max().expect("something was moved");
        assert!((1..=65536).contains(&longest), "{engine}: {longest} bytes in one {call}");
        std::fs::remove_file(scene.path("copy")).expect("the copy is there");
    }
}

/// Pages of `name` in the page cache, in bytes.
fn cached(scene: &Scene, name: &str) -> usize {
    let ended = scene.tool("fincore", ["-b", "-n", "-o", "RES", name]).run().code(0);
    ended.out().trim().parse().expect("a number")
}

/// Empties the page cache of the source, as far as it can be.
fn forget_source(scene: &Scene) {
    forget(scene, "source");
}

/// The same of any file.
fn forget(scene: &Scene, name: &str) {
    std::fs::File::open(scene.path(name)).and_then(|file| file.sync_all()).unwrap();
    let name = format!("if={name}");
    scene.tool("dd", [&*name, "iflag=nocache", "count=0", "status=none"]).run().code(0);
}

/// Copies `source` to `copy` with `options`, and says how it ended and which of
/// the two was asked to be dropped from the page cache.
fn dropped(scene: &Scene, options: &str) -> (Ended, [bool; 2]) {
    dropped_by(scene, &format!("{options} source copy"))
}

/// Does what `line` says, and says the same.
fn dropped_by(scene: &Scene, line: &str) -> (Ended, [bool; 2]) {
    let mut run = scene.tool("strace", ["-f", "-qqq", "-y", "-o", "trace"]);
    run.command.args(["-e", "trace=fadvise64", crate::common::program().to_str().unwrap()]);
    run.command.args(line.split_whitespace());
    let ended = run.run();
    let trace = String::from_utf8_lossy(&scene.read("trace")).into_owned();
    let dropped = |name: &str| {
        let name = format!("/{name}>");
        trace.lines().any(|line| line.contains("_DONTNEED") && line.contains(&name))
    };
    let found = [dropped("source"), dropped("copy.pcopy-part")];
    (ended, found)
}

/// What is in the cache is asked of the system only where that cannot depend
/// on what else needs memory: pages may always go, but none come by themselves.
#[test]
fn a_large_copy_leaves_the_page_cache_as_it_was() {
    let scene = Scene::new();
    let bytes = pattern(1, LEN);
    scene.write("source", &bytes);
    if !has_tools(&["fincore", "dd"]) || !can_inject(&scene) {
        return;
    }
    for (engine, cold) in ["auto", "positioned", "direct", "mmap"]
        .into_iter()
        .flat_map(|engine| [(engine, false), (engine, true)])
    {
        let what = format!("{engine}, cold: {cold}");
        if cold {
            forget_source(&scene);
            if cached(&scene, "source") > 0 {
                return skip("the page cache of the temporary folder cannot be emptied");
            }
        } else {
            assert_same(&scene.read("source"), &bytes, "the source");
            if cached(&scene, "source") < LEN {
                return skip("there is too little memory to keep the source in");
            }
        }
        let (ended, [source, _]) = dropped(&scene, &format!("--engine {engine}"));
        if ended.status.code() == Some(3) {
            skip(&format!("engine {engine} cannot serve in the temporary folder"));
            continue;
        }
        ended.code(0);
        if cold {
            let left = cached(&scene, "source") + cached(&scene, "copy");
            assert!(left <= LEN / 8, "{what}: {left} bytes left in the cache");
        } else {
            assert!(!source, "{what}: what was cached was dropped");
        }
        std::fs::remove_file(scene.path("copy")).expect("the copy is there");
    }
    forget_source(&scene);
    let (ended, found) = dropped(&scene, "--engine positioned --keep-cache");
    ended.code(0);
    assert_eq!(found, [false, false], "--keep-cache keeps");
}

/// What is written in place may be in use, all of it.
#[test]
fn a_file_written_in_place_stays_in_the_page_cache_if_it_was_there() {
    let scene = Scene::new();
    scene.write("source", &pattern(1, LEN));
    scene.write("copy", &pattern(2, LEN));
    if !has_tools(&["fincore", "dd"]) || !can_inject(&scene) {
        return;
    }
    for cold in [false, true] {
        forget(&scene, "source");
        if cold {
            forget(&scene, "copy");
        }
        let before = cached(&scene, "copy");
        if cached(&scene, "source") > 0 || (before < LEN) != cold {
            return skip(
                "the page cache of the temporary folder cannot be emptied, or is too small",
            );
        }
        let (ended, _) = dropped(&scene, "--in-place --engine positioned");
        ended.code(0);
        let left = cached(&scene, "copy");
        if cold {
            assert!(left <= LEN / 8, "{left} bytes left in the cache");
        } else {
            assert!(left >= LEN, "what was cached was dropped: {left}");
        }
    }
}

/// The system reads ahead, also behind the end of what is asked for: that goes, and what
/// somebody else had there stays.
#[cfg(target_os = "linux")]
#[test]
fn nothing_stays_that_was_read_ahead() {
    let scene = Scene::new();
    scene.write("source", &pattern(1, LEN + (48 << 20)));
    if !has_tools(&["fincore", "dd"]) || !can_inject(&scene) {
        return;
    }
    forget_source(&scene);
    if cached(&scene, "source") > 0 {
        return skip("the page cache of the temporary folder cannot be emptied");
    }
    let range = format!("--range 0+{LEN}");
    for line in [
        format!("{range} --force --engine positioned source copy"),
        format!("verify {range} source copy"),
    ] {
        // On a busy machine something may come later than is waited for.
        let found: Vec<_> = (0..3).map(|_| left_of_another(&scene, &line)).collect();
        let stays = |&(before, left): &(usize, usize)| (before..before + (1 << 20)).contains(&left);
        assert!(found.iter().any(stays), "{line}: {found:?}");
    }
}

/// Bytes of the source that the page cache has before and after a run, some of them
/// another's, a little behind what the run reads.
#[cfg(target_os = "linux")]
fn left_of_another(scene: &Scene, line: &str) -> (usize, usize) {
    use std::io::{Read, Seek, SeekFrom, sink};
    const OF_ANOTHER: u64 = 4 << 20;
    forget_source(scene);
    let mut file = std::fs::File::open(scene.path("source")).expect("it is there");
    // Nothing is read ahead for the other, which might come after it was counted.
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::Random).unwrap();
    file.seek(SeekFrom::Start((LEN as u64).next_multiple_of(OF_ANOTHER) + OF_ANOTHER)).unwrap();
    std::io::copy(&mut file.take(OF_ANOTHER), &mut sink()).unwrap();
    let before = cached(scene, "source");
    dropped_by(scene, line).0.code(0);
    (before, cached(scene, "source"))
}

/// The same for what reads a source in other ways: into a stream, for several
/// destinations, to verify what was copied earlier.
#[test]
fn streams_several_destinations_and_verifying_leave_the_page_cache_as_it_was() {
    let scene = Scene::new();
    scene.write("source", &pattern(1, LEN));
    if !has_tools(&["fincore", "dd"]) || !can_inject(&scene) {
        return;
    }
    forget_source(&scene);
    if cached(&scene, "source") > 0 {
        return skip("the page cache of the temporary folder cannot be emptied");
    }
    let left = || {
        ["source", "copy", "second", "third"]
            .into_iter()
            .filter(|name| scene.path(name).exists())
            .map(|name| cached(&scene, name))
            .sum::<usize>()
    };
    for (line, half) in [
        ("source -", false),
        ("source -", true),
        ("--also second source copy", false),
        ("--verify source third", false),
        ("verify source copy", false),
        ("verify source copy", true),
    ] {
        forget_source(&scene);
        if half {
            let file = std::fs::File::open(scene.path("source")).expect("it is there");
            let read = std::io::copy(&mut file.take(LEN as u64 / 2), &mut std::io::sink());
            assert_eq!(read.expect("it can be read"), LEN as u64 / 2);
        }
        let before = left();
        let (ended, _) = dropped_by(&scene, line);
        ended.code(0);
        let more = left().saturating_sub(before);
        assert!(more <= LEN / 8, "{line}, half: {half}: {more} bytes more in the cache");
    }
    for line in ["source -", "verify source copy"] {
        assert_eq!(scene.read("source").len(), LEN);
        if cached(&scene, "source") < LEN {
            return skip("there is too little memory to keep the source in");
        }
        let (ended, [source, _]) = dropped_by(&scene, line);
        ended.code(0);
        assert!(!source, "{line}: what was cached was dropped");
    }
    for line in [
        "--keep-cache source -",
        "--keep-cache --force --also fourth source copy",
        "verify --keep-cache source third",
    ] {
        forget_source(&scene);
        let (ended, found) = dropped_by(&scene, line);
        ended.code(0);
        assert_eq!(found, [false, false], "{line}");
    }
}
