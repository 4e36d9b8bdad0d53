//! `pcopy patch`: some bytes change, no other does, and it can be undone.

use pcopy::testing::Random;
use pcopy::{ErrorKind, PatchJob, Size};

use crate::common::{Ended, Scene, assert_same, has_tools, pattern, rounds};

const LEN: usize = 100_000;

fn scene() -> (Scene, Vec<u8>) {
    let scene = Scene::new();
    let bytes = scene.source("big.data", LEN);
    (scene, bytes)
}

/// Runs `pcopy patch` with `words`, and asserts that `new` is at `at` then.
#[track_caller]
fn check(words: &[&str], at: usize, new: &[u8]) -> Ended {
    let (scene, mut expected) = scene();
    let ended = scene.pcopy([&["patch", "big.data"], words].concat()).run().code(0);
    expected[at..at + new.len()].copy_from_slice(new);
    assert_same(&scene.read("big.data"), &expected, &format!("{words:?}"));
    assert_eq!(scene.names(), ["big.data"], "{words:?}");
    ended
}

#[test]
fn bytes_are_written_where_they_belong() {
    check(&["12345", "--hex", "2a"], 12_345, b"*").says(&["wrote 1 byte at 12345 of 'big.data'"]);
    check(&["0", "--hex", "0x00 ff:10"], 0, &[0, 0xff, 0x10]).says(&["wrote 3 bytes at 0"]);
    check(&["0x1_0000", "--text", "a b\\n"], 65_536, b"a b\\n");
    check(&["3s", "--text=-x"], 1536, b"-x");
    check(&["99999", "--hex", "aa", "--verify"], 99_999, &[0xaa]).says(&["found equal"]);
    check(&["1KiB", "--hex", "aa", "--no-sync"], 1024, &[0xaa]).says(&["not synced"]);
    let quiet = check(&["7", "--hex", "aa", "-q"], 7, &[0xaa]);
    assert_eq!((quiet.out(), quiet.stderr), (String::new(), String::new()));
}

#[test]
fn bytes_come_from_a_file_or_from_standard_input() {
    let (scene, mut expected) = scene();
    let new = pattern(7, 5000);
    scene.write("new", &new);
    scene.run("patch big.data 4095 --from new").code(0);
    expected[4095..9095].copy_from_slice(&new);
    assert_same(&scene.read("big.data"), &expected, "from a file");
    scene.pcopy("patch big.data 50000 --from -".split(' ')).with_input(b"piped").code(0);
    expected[50_000..50_005].copy_from_slice(b"piped");
    assert_same(&scene.read("big.data"), &expected, "from a pipe");
    scene.run("patch big.data 0 --from missing").code(3).says(&["missing"]);
    scene.pcopy("patch big.data 0 --from -".split(' ')).with_input(b"").code(2);
    assert_same(&scene.read("big.data"), &expected, "nothing");
}

/// What is printed before the first byte is a command that undoes the patch, and
/// nothing else.
#[test]
fn the_old_bytes_undo_it() {
    if !has_tools(&["sh", "truncate"]) {
        return;
    }
    let (scene, before) = scene();
    for line in [
        "patch big.data 12345 --hex 2a --print-old",
        "patch --print-old big.data 99000 --from new -q",
        "patch big.data 99_000 --text x --print-old --grow",
    ] {
        scene.write("new", &pattern(9, 1000));
        let ended = scene.run(line).code(0);
        assert!(scene.read("big.data") != before, "{line}");
        let undo = ended.out();
        assert!(undo.contains(" patch --hex ") && undo.contains(" --expect-old "), "{undo}");
        scene.tool("sh", ["-e", "-c", &undo]).run().code(0);
        assert_same(&scene.read("big.data"), &before, line);
        // Twice is once too often: something else is there by then.
        scene.tool("sh", ["-e", "-c", &undo]).run().code(4).says(&["was expected"]);
    }
    let ended = scene.run("patch big.data 99998 --text abcd --print-old --grow").code(0);
    assert_eq!(scene.read("big.data").len(), 100_002);
    scene.tool("sh", ["-e", "-c", &ended.out()]).run().code(0);
    assert_same(&scene.read("big.data"), &before, "as long as before");
}

/// A name that a shell would take apart.
#[cfg(unix)]
#[test]
fn the_command_that_undoes_it_takes_any_name() {
    for name in ["-a b", "it's; $HOME", "tab\tand *"] {
        let scene = Scene::new();
        scene.write(name, b"0123456789");
        let words = ["patch", "--hex", "58", "--print-old", "--", name, "5"];
        let ended = scene.pcopy(words).run().code(0);
        assert_eq!(scene.read(name), b"01234X6789");
        scene.tool("bash", ["-e", "-c", &ended.out()]).run().code(0);
        assert_eq!(scene.read(name), b"0123456789", "{name}");
    }
}

/// Where the old bytes cannot be told, they stay.
#[cfg(target_os = "linux")]
#[test]
fn nothing_is_written_if_the_old_bytes_cannot_be_printed() {
    let (scene, before) = scene();
    if std::fs::File::create("/dev/full").is_err() {
        return crate::common::skip("needs /dev/full");
    }
    let program = crate::common::program();
    let line = format!("{} patch big.data 5 --hex 00 --print-old > /dev/full", program.display());
    scene.tool("sh", ["-c", &line]).run().code(3).says(&["so it stays"]);
    assert_same(&scene.read("big.data"), &before, "the file");
}

/// The old bytes are out before the first byte is written.
#[cfg(target_os = "linux")]
#[test]
fn the_old_bytes_come_before_the_first_write() {
    if !crate::inject::can_inject() {
        return;
    }
    let (scene, before) = scene();
    let mut run = scene.tool("strace", ["-f", "-qqq", "-o", "trace"]);
    run.command.args(["-e", "trace=write,pwrite64", "-e", "inject=pwrite64:signal=KILL:when=1"]);
    run.command.arg(crate::common::program());
    run.command.args("patch big.data 5 --hex 00 --print-old".split(' '));
    let ended = run.run();
    assert!(!ended.status.success());
    assert!(ended.out().contains("--expect-old 00"), "{}", ended.out());
    let trace = String::from_utf8(scene.read("trace")).expect("text");
    let at = |text: &str| trace.find(text).unwrap_or_else(|| panic!("no {text} in {trace}"));
    assert!(at("write(1, ") < at("pwrite64("), "{trace}");
    let mut patched = before.clone();
    patched[5] = 0;
    let found = scene.read("big.data");
    assert!(found == before || found == patched, "old or new");
}

#[test]
fn other_bytes_than_expected_are_left_alone() {
    let (scene, before) = scene();
    let here: String = before[500..504].iter().map(|byte| format!("{byte:02x}")).collect();
    let wrong = format!("{}{:02x}", &here[..6], !before[503]);
    let ended = scene.run(&format!("patch big.data 500 --hex 00 --expect-old {wrong}")).code(4);
    ended.says(&["at byte 503", "nothing was written"]);
    let line = format!("patch big.data 500 --hex 00 --json --expect-old {wrong}");
    let report = scene.run(&line).code(4).report();
    assert_eq!(
        (&report["outcome"], &report["error_kind"]),
        (&"mismatch".into(), &"old_mismatch".into())
    );
    scene.run("patch big.data 99999 --hex 00 --expect-old 0102").code(4);
    assert_same(&scene.read("big.data"), &before, "the file");
    let line = format!("patch big.data 500 --hex 00 --expect-old {here}");
    scene.run(&format!("{line} --dry-run")).code(0).says(&["would write 1 byte"]);
    assert_same(&scene.read("big.data"), &before, "a dry run");
    scene.run(&line).code(0);
    scene.run(&line).code(4);
}

#[test]
fn a_file_becomes_longer_only_if_asked() {
    let (scene, mut expected) = scene();
    for at in ["99999", "100000", "5GiB"] {
        let ended = scene.run(&format!("patch big.data {at} --text ab")).code(3);
        ended.says(&["100000 bytes", "--grow makes it longer"]);
    }
    assert_same(&scene.read("big.data"), &expected, "refused");
    scene.run("patch big.data 100010 --text ab --grow").code(0);
    expected.resize(100_010, 0);
    expected.extend(b"ab");
    assert_same(&scene.read("big.data"), &expected, "longer");
}

#[test]
fn the_report_is_one_document() {
    let (scene, before) = scene();
    let ended = scene.run("patch big.data 500 --hex 00ff --json --print-old").code(0);
    let report = ended.report();
    let old = format!("{:02x}{:02x}", before[500], before[501]);
    for (field, value) in [
        ("/schema", "pcopy.report/1".into()),
        ("/outcome", "complete".into()),
        ("/old", serde_json::Value::from(old.clone())),
        ("/dest_offset", 500.into()),
        ("/bytes/copied", 2.into()),
        ("/in_place", true.into()),
        ("/destination/path", "big.data".into()),
    ] {
        assert_eq!(report.pointer(field), Some(&value), "{field} in {report}");
    }
    assert!(ended.stderr.contains(&format!("--hex {old}")), "{}", ended.stderr);
    let report = scene.run("patch big.data 5 --hex 00 --json").code(0).report();
    assert!(report.get("old").is_none(), "{report}");
    let line = "patch big.data 5 --hex 01 --json -n --print-old";
    assert_eq!(scene.run(line).code(0).report()["old"], "00");
    for (line, code, kind) in [
        ("patch missing 0 --hex 00 --json", 3, "cannot_open"),
        ("patch big.data 100000 --hex 00 --json", 3, "past_end"),
        ("patch big.data 0 --json", 2, "usage"),
        ("patch big.data 0 --hex 0 --json", 2, "usage"),
        ("patch . 0 --hex 00 --json", 3, "not_copyable"),
        ("patch --to-device big.data 0 --hex 00 --json", 3, "not_a_device"),
    ] {
        assert_eq!(scene.run(line).code(code).report()["error_kind"], kind, "{line}");
    }
}

#[test]
fn what_makes_no_sense_is_refused() {
    let (scene, before) = scene();
    let check = |line: &str, code: i32, texts: &[&str]| {
        scene.run(&format!("patch {line}")).code(code).says(texts);
        assert_same(&scene.read("big.data"), &before, line);
        assert_eq!(scene.names(), ["big.data"], "{line}");
    };
    check("big.data 0", 2, &["--hex"]);
    check("big.data 0 --hex 00 --text a", 2, &["cannot be used with"]);
    check("big.data 0 --hex 0g", 2, &["'g' is not a hexadecimal digit"]);
    check("big.data 0 --hex 000", 2, &["two hexadecimal digits"]);
    check("big.data 0 --text=", 2, &["no bytes"]);
    check("big.data -5 --hex 00", 2, &[]);
    check("- 0 --hex 00", 2, &["FILE: - is not a file"]);
    check("missing 0 --hex 00", 3, &["cannot open destination 'missing'"]);
    check(". 0 --hex 00", 3, &["is a directory"]);
    check("big.data 16EiB --hex 00", 2, &[]);
    check("big.data 8EiB --hex 00", 3, &["largest possible offset"]);
    scene.write("long", &vec![0; 40_000]);
    scene.run("patch big.data 0 --from long --print-old").code(2).says(&["--range", "--from OLD"]);
    assert_same(&scene.read("big.data"), &before, "too long to print");
}

/// An interrupted copy must find what it has written.
#[cfg(unix)]
#[test]
fn what_a_copy_left_unfinished_is_not_patched() {
    use rustix::process::Signal;
    let scene = Scene::new();
    scene.source("source", 4 << 20);
    scene.write("image", &vec![0; 4 << 20]);
    let slow = "--in-place -t 1 --io-size 64KiB --limit-rate 2MiB --progress json source image";
    let mut running = scene.pcopy(slow.split(' ')).start();
    running.wait_until_copied(1 << 20);
    running.signal(Signal::INT);
    running.end().died_by(Signal::INT);
    let before = scene.read("image");
    scene.run("patch image 5 --hex 00").code(3).says(&["was interrupted", "image.pcopy-map"]);
    assert_same(&scene.read("image"), &before, "the image");
}

/// A place in a folder that cannot be written, where no map could be made.
#[cfg(unix)]
#[test]
fn nothing_is_made_beside_it() {
    use std::os::unix::fs::PermissionsExt;
    let scene = Scene::new();
    std::fs::create_dir(scene.path("folder")).expect("a folder");
    scene.write("folder/file", b"0123456789");
    let mode = |mode: u32| {
        let permissions = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(scene.path("folder"), permissions).expect("a mode");
    };
    mode(0o500);
    let ended = scene.run("patch folder/file 3 --text x");
    mode(0o700);
    ended.code(0);
    assert_eq!(scene.read("folder/file"), b"012x456789");
}

/// The library against a slice copy.
#[test]
fn any_patch_is_a_slice_copy() {
    let scene = Scene::new();
    for seed in 0..rounds("PCOPY_SEEDS", 200) {
        let mut random = Random::new(seed);
        let mut below = |bound: usize| {
            usize::try_from(random.below(u64::try_from(bound).expect("small"))).expect("small")
        };
        let old = pattern(seed, below(20_000));
        // Of its own: a program that another test starts may hold a lock for a moment.
        let file = format!("file{seed}");
        scene.write(&file, &old);
        let (at, data) = (below(25_000), pattern(seed + 1, 1 + below(9000)));
        let there = old.get(at..).unwrap_or_default();
        let there = &there[..there.len().min(data.len())];
        let grows = below(2) == 0;
        let job = PatchJob::new(scene.path(&file), Size::Bytes(at as u64), data.clone())
            .expect_old(there)
            .keep_old(true)
            .sync(false)
            .grow(grows);
        let mut new = old.clone();
        let fits = at + data.len() <= old.len();
        if fits || grows {
            new.resize(old.len().max(at + data.len()), 0);
            new[at..at + data.len()].copy_from_slice(&data);
            let report = job.run().unwrap_or_else(|error| panic!("seed {seed}: {error:?}"));
            assert_eq!(report.old, Some(pcopy::patch::hex(there)), "seed {seed}");
        } else {
            let error = job.run().expect_err("beyond the end");
            assert!(matches!(error.kind(), ErrorKind::Refused(_)), "seed {seed}: {error:?}");
        }
        assert_same(&scene.read(&file), &new, &format!("seed {seed}"));
    }
}
