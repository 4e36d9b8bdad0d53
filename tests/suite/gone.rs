//! A source that goes away in the middle: a disk that is pulled out, a mount
//! that is lost. That is not a bad sector. The copy stops soon, nothing gets its
//! final name, and when the source is back the copy is resumed.

use crate::common::{Scene, assert_same, can_engine, program};
use crate::inject::{Target, can_inject};

/// Errors that no bad sector has, and one that it has.
const ERRORS: [&str; 6] = ["ENODEV", "ENXIO", "ENOMEDIUM", "ESTALE", "ENOTCONN", "EIO"];

/// More reads than a copy needs to find out, and far fewer than there are sectors.
const FEW: usize = 60;

#[test]
fn a_copy_stops_soon_and_is_resumed() {
    if !can_inject() {
        return;
    }
    let can_map = can_engine("mmap");
    for error in ERRORS {
        for options in ["", " --retries 0", " --in-place", " --engine mmap"] {
            if options.contains("mmap") && !can_map {
                continue;
            }
            let mut target =
                if options.contains("in-place") { Target::in_place() } else { Target::new() };
            if options.contains("in-place") {
                // Has the option already.
            } else if options.contains("mmap") {
                target.options = target.options.replace("--engine positioned", "--engine mmap");
            } else {
                target.options += options;
            }
            let fault = format!("pread64:error={error}:when=3+");
            let injected = target.run(std::slice::from_ref(&fault));
            let what = format!("{fault}{options}");
            let ended = injected.ended.code(5).says(&["'", "source' is gone: byte ", "--resume"]);
            assert!(!ended.stderr.contains("could not be read"), "{what}: {}", ended.stderr);
            let reads = injected.log.matches("(INJECTED)").count();
            assert!(reads < FEW, "{what}: {reads} reads");
            target.check_names(false, &what);
            target.resume(&what);
        }
    }
}

/// What is read after a single failure was not gone.
#[test]
fn a_source_that_answers_again_is_copied() {
    if !can_inject() {
        return;
    }
    for when in ["3", "3..6"] {
        let target = Target::new();
        target.run(&[format!("pread64:error=EIO:when={when}")]).ended.code(0);
        assert_same(&target.scene.read("copy"), &target.bytes, when);
    }
}

/// Runs the program with `line`, whose reads of `source` fail from the fourth on.
fn pulled_out(scene: &Scene, line: &str) -> (crate::common::Ended, usize) {
    let mut strace = scene.tool("strace", ["-f", "-qqq", "-o", "log", "-P"]);
    strace.command.arg(scene.path("source")).arg("-e").arg("inject=pread64:error=EIO:when=4+");
    strace.command.arg(program()).args(line.split(' '));
    let ended = strace.run();
    let log = String::from_utf8_lossy(&scene.read("log")).into_owned();
    (ended, log.matches("(INJECTED)").count())
}

/// What else would be read of the source is not tried sector by sector.
#[test]
fn a_batch_ends_with_the_only_source() {
    if !can_inject() {
        return;
    }
    let scene = Scene::new();
    let bytes = scene.source("source", 8 << 20);
    let rows: String = (0..32).map(|n| format!("f{n},{},262144\n", n << 18)).collect();
    scene.write("list.csv", format!("name,start,len\n{rows}").as_bytes());
    let line = "batch list.csv --source source --into out -t 1 --io-size 256KiB --report r";
    let (ended, reads) = pulled_out(&scene, line);
    ended.code(5).says(&["'source' is gone", "not tried", "--resume"]);
    assert!(reads < FEW, "{reads} reads");
    assert!(!scene.has("out/f31"));
    scene.run(&format!("{} --resume", line.replace("--report r", ""))).code(0);
    for n in 0..32 {
        assert_same(&scene.read(format!("out/f{n}")), &bytes[n << 18..][..1 << 18], "an item");
    }
}

/// The others may be on another disk.
#[test]
fn several_files_lose_the_one_that_is_gone() {
    if !can_inject() {
        return;
    }
    let scene = Scene::new();
    scene.source("source", 4 << 20);
    let other = scene.source("other", 100_000);
    std::fs::create_dir(scene.path("out")).unwrap();
    let line = "-t 1 --engine positioned --io-size 256KiB source other out";
    let (ended, reads) = pulled_out(&scene, line);
    ended.code(1).says(&["'source'", "is gone"]);
    assert!(reads < FEW, "{reads} reads");
    assert!(!scene.has("out/source"));
    assert_same(&scene.read("out/other"), &other, "the other");
}

#[test]
fn streams_and_several_destinations_and_comparisons_end_as_well() {
    if !can_inject() {
        return;
    }
    let scene = Scene::new();
    let bytes = scene.source("source", 4 << 20);
    let job = "-t 1 --io-size 256KiB";
    for line in [format!("{job} source -"), format!("{job} --also b source a")] {
        let (ended, reads) = pulled_out(&scene, &line);
        ended.code(5).says(&["'source' is gone"]);
        assert!(reads < FEW, "{line}: {reads} reads");
        assert!(!scene.has("a") && !scene.has("b"));
    }
    scene.write("same", &bytes);
    let (ended, reads) = pulled_out(&scene, "verify -t 1 source same");
    ended.code(5).says(&["'source' is gone"]);
    assert!(reads < FEW, "{reads} reads");
}
