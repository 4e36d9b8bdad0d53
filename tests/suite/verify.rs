//! Verification: what is not what was read from the source is found, named and
//! not committed, whichever side lied.

use std::fs::File;

use positioned_io::WriteAt;

use crate::common::{Scene, assert_same, has_tools, pattern, program, skip};

fn flip(scene: &Scene, name: &str, offsets: &[u64]) {
    let bytes = scene.read(name);
    let mut file = File::options().write(true).open(scene.path(name)).unwrap();
    for &at in offsets {
        file.write_all_at(at, &[bytes[at as usize] ^ 1]).unwrap();
    }
}

#[test]
fn a_good_copy_is_verified() {
    let scene = Scene::new();
    for size in [0, 1, 4095, 4096, 4097, 3_000_007] {
        let source = pattern(size as u64, size);
        scene.write("source", &source);
        for options in ["-t 1", "-t 4 --io-size 4096", "--sparse always", "--digest sha256 -t 3"] {
            let line = format!("--verify --json {options} -f source copy");
            let report = scene.run(&line).code(0).report();
            assert_eq!(report["verified"], true, "{size} {options}");
            let how = report["verified_by"].as_str().unwrap();
            assert!(["direct", "dropped-cache"].contains(&how), "{how}");
            assert_same(&scene.read("copy"), &source, options);
        }
    }
    scene.run("--verify -r 4097..1000001 --dest-offset 513 source other").code(0);
    scene.write("place", &pattern(9, 2_000_000));
    scene.run("--verify --in-place --dest-offset 77777 -r 5..900000 source place").code(0);
    scene.run("--verify --no-sync source another").code(2);
    scene.run("--repair source another").code(2);
}

#[test]
fn holes_are_verified_too() {
    let scene = Scene::new();
    scene.write("source", &[]);
    let mut file = File::options().write(true).open(scene.path("source")).unwrap();
    file.set_len(9_000_000).unwrap();
    file.write_all_at(5_000_000, &pattern(1, 100_000)).unwrap();
    let report = scene.run("--verify --json source copy").code(0).report();
    assert_eq!(report["verified"], true);
    flip(&scene, "copy", &[1]);
    let ended = scene.run("verify source copy").code(4);
    assert_eq!(ended.out(), "0..512\n");
}

/// Reading the zeros of both sides would take hours.
#[cfg(target_os = "linux")]
#[test]
fn holes_of_both_sides_are_not_read() {
    let scene = Scene::new();
    let mut file = File::create(scene.path("source")).unwrap();
    if file.set_len(1 << 40).is_err() {
        return crate::common::skip("files cannot be that large here");
    }
    file.write_all_at(1 << 39, &pattern(1, 100_000)).unwrap();
    let report = scene.run("--verify --json source copy").code(0).report();
    assert_eq!(report["verified"], true);
    scene.run("verify source copy").code(0);
    scene.run("verify -r 4097.. --dest-offset 4097 source copy").code(0);
    // A hole on one side only, and one that lies elsewhere.
    let mut copy = File::options().write(true).open(scene.path("copy")).unwrap();
    copy.write_all_at(1 << 38, b"x").unwrap();
    let at = (1u64 << 38) / 512 * 512;
    let ended = scene.run("verify source copy").code(4);
    assert_eq!(ended.out(), format!("{at}..{}\n", at + 512));
    let ended = scene.run("verify -r 1TiB+0 --dest-offset 5 source copy").code(0);
    assert_eq!(ended.out(), "");
}

/// Requests so small that there are many.
const SMALL: &str = "--engine positioned --io-size 4096";

/// Runs `pcopy --verify` under a kernel that reports success without doing
/// the work, at the `when`th call of each thread on the path, and returns the
/// exit code; `None` if no thread came so far.
fn lie(
    scene: &Scene,
    call: &str,
    when: usize,
    count: usize,
    path: &str,
    options: &str,
) -> Option<i32> {
    let inject = format!("inject={call}:retval={count}:when={when}");
    let mut arguments: Vec<String> = ["-f", "-qq", "-o", "trace", "-e", "signal=none"]
        .map(str::to_owned)
        .into_iter()
        .chain(["-e".to_owned(), format!("trace={call}"), "-e".to_owned(), inject])
        .chain(["-P".to_owned(), scene.path(path).to_string_lossy().into_owned()])
        .collect();
    arguments.push(program().to_string_lossy().into_owned());
    let fixed = "--preallocate off --verify -f";
    arguments.extend(fixed.split_whitespace().map(str::to_owned));
    arguments.extend(options.split_whitespace().map(str::to_owned));
    arguments.extend(["source".to_owned(), "copy".to_owned()]);
    let ended = scene.tool("strace", &arguments).run();
    let trace = String::from_utf8_lossy(&scene.read("trace")).into_owned();
    if !trace.contains("INJECTED") {
        return None;
    }
    if ended.status.code() == Some(4) {
        assert!(ended.stderr.contains("bytes "), "the range is named: {}", ended.stderr);
    }
    ended.status.code()
}

fn strace_works(scene: &Scene) -> bool {
    let works = || scene.tool("strace", ["-o", "trace", "true"]).run().status.success();
    has_tools(&["strace"])
        && (works() || {
            crate::common::skip("strace may not trace here");
            false
        })
}

#[test]
fn a_lying_kernel_is_found_out() {
    let scene = Scene::new();
    if !strace_works(&scene) {
        return;
    }
    scene.source("source", 200_000);
    for (call, path) in [("pread64", "source"), ("pwrite64", "copy.pcopy-part")] {
        // The last but one is more than the last request asks for.
        for (when, count) in [(1, 4096), (2, 512), (7, 4096), (48, 4096), (49, 4096), (49, 100)] {
            for options in ["-t 1", "-t 4"] {
                let _ = std::fs::remove_file(scene.path("copy"));
                let options = format!("{SMALL} {options} --restart");
                let code = lie(&scene, call, when, count, path, &options);
                if code.is_some() || options.contains("-t 1") {
                    assert_eq!(code, Some(4), "{call} {when} {count} {options}");
                    assert!(!scene.has("copy"), "{call}: nothing is committed");
                }
            }
            // Calls are counted for each thread; of one thread, one is a lie.
            let options = format!("{SMALL} -t 1 --stripe-size 1MiB --restart --repair");
            let code = lie(&scene, call, when, count, path, &options);
            assert_eq!(code, Some(0), "{call} {when} {count} --repair");
            assert_same(&scene.read("copy"), &scene.read("source"), "the repaired copy");
        }
    }
}

/// Whole requests and parts of them, of the size that each engine prefers.
#[test]
fn a_lying_kernel_is_found_out_whatever_moves_the_bytes() {
    let scene = Scene::new();
    if !strace_works(&scene) {
        return;
    }
    scene.source("source", 5_000_000);
    let part = "copy.pcopy-part";
    // The first request to the kernel to copy is a question and moves nothing.
    for (engine, call, path, when, count) in [
        ("positioned", "pread64", "source", 2, 256 << 10),
        ("positioned", "pread64", "source", 3, 4096),
        ("positioned", "pwrite64", part, 2, 256 << 10),
        ("positioned", "pwrite64", part, 3, 512),
        ("direct", "pread64", "source", 2, 1 << 20),
        ("direct", "pread64", "source", 3, 4096),
        ("direct", "pwrite64", part, 2, 1 << 20),
        ("direct", "pwrite64", part, 3, 4096),
        ("offload", "copy_file_range", part, 2, 1 << 20),
        ("offload", "copy_file_range", part, 2, 512),
    ] {
        let options = format!("--engine {engine} -t 1 --restart");
        let code = lie(&scene, call, when, count, path, &options);
        if code.is_none() && engine != "positioned" {
            skip(&format!("{engine} makes no such call in the temporary folder"));
            continue;
        }
        assert_eq!(code, Some(4), "{engine} {call} {when} {count}");
        assert!(!scene.has("copy"), "{engine} {call}: nothing is committed");
    }
}

#[test]
fn digests_of_a_repaired_copy_are_those_of_the_destination() {
    let scene = Scene::new();
    if !strace_works(&scene) || !has_tools(&["md5sum"]) {
        return;
    }
    scene.source("source", 200_000);
    let options =
        format!("{SMALL} -t 1 --stripe-size 1MiB --repair --digest md5 --digest-file sums");
    assert_eq!(lie(&scene, "pread64", 3, 4096, "source", &options), Some(0));
    scene.tool("md5sum", ["-c", "sums"]).run().code(0);
}

#[test]
fn what_differed_is_not_done_to_a_resumed_copy() {
    let scene = Scene::new();
    if !strace_works(&scene) {
        return;
    }
    let source = scene.source("source", 200_000);
    let options = format!("{SMALL} -t 1");
    assert_eq!(lie(&scene, "pwrite64", 9, 4096, "copy.pcopy-part", &options), Some(4));
    let report = scene.run("--resume -f --verify --json source copy").code(0).report();
    assert!(report["bytes"]["resumed"].as_u64() > Some(0), "{report}");
    assert!(report["bytes"]["copied"].as_u64() > Some(0), "{report}");
    assert_same(&scene.read("copy"), &source, "the resumed copy");
}

#[test]
fn verifying_later_prints_every_range_that_differs() {
    let scene = Scene::new();
    scene.source("source", 3_000_000);
    scene.run("-r 1000..2900001 source copy").code(0);
    let check = |options: &str, code: i32, lines: &str| {
        let line = format!("verify -r 1000..2900001 {options} source copy");
        assert_eq!(scene.run(&line).code(code).out(), lines, "{options}");
    };
    for threads in ["-t 1", "-t 2", "-t 8"] {
        check(threads, 0, "");
    }
    // At 0, 24 and 1048576 of the copy, and its last byte.
    flip(&scene, "copy", &[0, 24, 1_048_576, 2_899_000]);
    for threads in ["-t 1", "-t 2", "-t 8"] {
        check(threads, 4, "1000..1536\n1049088..1049600\n2899968..2900001\n");
    }
    let json = scene.run("verify -r 1000..2900001 --json source copy").code(4).report();
    assert_eq!(json["outcome"], "mismatch");
    assert_eq!(json["mismatches"][0]["start"], 1000);
    assert_eq!(json["verified"], false);
}

#[test]
fn verifying_later_takes_ranges_offsets_and_digests() {
    let scene = Scene::new();
    scene.source("source", 100_000);
    scene.run("-r 10..60000 --dest-offset 4097 source copy").code(0);
    scene.run("verify -r 10..60000 --dest-offset 4097 source copy").code(0);
    scene.run("verify --offset 10 --length 59990 --dest-offset 4097 source copy").code(0);
    scene.run("verify -r 10..60000 source copy").code(4);
    let shorter = scene.run("verify -r 10..60001 --dest-offset 4097 source copy").code(4);
    assert_eq!(shorter.out(), "60000..60001\n", "the end is missing");
    scene.run("verify -r 10..100001 source copy").code(3).says(&["100000"]);
    scene.run("verify -r 10.. nothing copy").code(3);
    scene.run("verify source nothing").code(3).says(&["destination"]);
    scene.run("verify --sideways source copy").code(2);
    if has_tools(&["sha256sum", "tail"]) {
        let sum = scene.tool("sh", ["-c", "tail -c +4098 copy | sha256sum"]).run().out();
        let line = "verify -r 10..60000 --dest-offset 4097 -t 4 --digest sha256 -q source copy";
        assert_eq!(scene.run(line).code(0).out(), sum.replace('-', "copy"));
    }
    let wrong = "verify -r 10..60000 --dest-offset 4097 --expect crc32c:00000000 source copy";
    scene.run(wrong).code(4);
}

/// As often as when it is copied: one moment of trouble costs no night.
#[cfg(target_os = "linux")]
#[test]
fn a_read_of_the_source_that_fails_is_repeated() {
    if !crate::inject::can_inject() {
        return;
    }
    let scene = Scene::new();
    scene.source("source", 3 << 20);
    scene.run("source copy").code(0);
    let run = |injection: &str| {
        let mut strace = scene.tool("strace", ["-f", "-qqq", "-o", "trace", "-P"]);
        strace.command.arg(scene.path("source"));
        strace.command.args(["-e", &format!("inject={injection}")]).arg(program());
        strace.command.args(["verify", "-t", "1", "source", "copy"]);
        let ended = strace.run();
        let trace = String::from_utf8_lossy(&scene.read("trace")).into_owned();
        assert!(trace.contains("(INJECTED)"), "{injection}: {trace}");
        ended
    };
    run("pread64:error=EIO:when=1").code(0);
    run("pread64:error=EIO:when=2..3").code(0);
    // What fails everywhere is not a bad sector.
    run("pread64:error=EIO:when=2+").code(5).says(&["is gone", "Input/output error"]);
}

/// Where no thread can be had, the one there is compares everything.
#[cfg(target_os = "linux")]
#[test]
fn without_any_other_thread_everything_is_compared() {
    if !crate::inject::can_inject() {
        return;
    }
    let scene = Scene::new();
    scene.source("source", 3 << 20);
    scene.run("source copy").code(0);
    flip(&scene, "copy", &[700_000, 2_500_000]);
    let mut strace = scene.tool("strace", ["-f", "-qqq", "-o", "trace"]);
    strace.command.args(["-e", "inject=clone3,clone:error=EAGAIN"]).arg(program());
    strace.command.args(["verify", "-t", "4", "source", "copy"]);
    let ended = strace.run().code(4);
    assert_eq!(ended.out(), "699904..700416\n2499584..2500096\n");
    let trace = String::from_utf8_lossy(&scene.read("trace")).into_owned();
    assert!(trace.contains("(INJECTED)"), "{trace}");
}

/// A source may be the beginning of something: that is said, and no difference.
#[test]
fn what_goes_on_behind_the_copy_is_mentioned() {
    let scene = Scene::new();
    let bytes = scene.source("source", 100_000);
    scene.write("copy", &[&bytes[..], b"xy"].concat());
    let report = scene.run("verify --json source copy").code(0).report();
    assert!(report["notes"].to_string().contains("2 bytes more"), "{report}");
    scene.run("verify source copy").code(0).says(&["has 2 bytes more"]);
    for line in ["-r 0..50000 source copy", "source source2"] {
        scene.write("source2", &bytes);
        let ended = scene.run(&format!("verify {line}")).code(0);
        assert!(!ended.stderr.contains("longer"), "{line}: {}", ended.stderr);
    }
}

/// Equal, or by how much it is too short: in words that are read once.
#[test]
fn a_comparison_says_equal_or_how_short() {
    let scene = Scene::new();
    let bytes = scene.source("source", 100_000);
    scene.write("copy", &bytes);
    scene.run("verify source copy").code(0).says(&["'copy' is equal to 'source': 97.66 KiB"]);
    scene.write("short", &bytes[..99_000]);
    scene.run("verify source short").code(4).says(&["'short' ends 1000 bytes early"]);
    scene.write("short", &bytes[..99_999]);
    scene.run("verify source short").code(4).says(&["'short' ends 1 byte early"]);
    let ended = scene.run("verify --json -r 0..50000 source short").code(0);
    assert!(!ended.out().contains("early"), "{}", ended.out());
}
