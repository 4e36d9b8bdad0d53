//! The ranges of a list out of a stream, onto one file.

use super::onto::{GUARD, LEN, MIB, RANGES, list, with};
use super::scene;
use crate::common::{Ended, Scene, assert_same, pattern};

/// Runs `line` with `input` piped into it.
fn piped(scene: &Scene, line: &str, input: &[u8]) -> Ended {
    scene.pcopy(line.split_whitespace()).with_input(input)
}

/// From a pipe, in the order of its bytes: the same file as from the image itself,
/// with stripes that begin and end in gaps, and digests of everything.
#[test]
fn a_stream_gives_what_the_list_names() {
    let ranges: &[&[(usize, usize)]] = &[
        RANGES,
        &[(0, LEN)],
        &[(5, 6), (LEN - 1, LEN)],
        &[(4096, 8192), (MIB, MIB + 1), (MIB + 1, 2 * MIB)],
    ];
    // Wine takes its time for every byte of a pipe.
    let most = if cfg!(windows) { 1 } else { ranges.len() };
    for (number, ranges) in ranges.iter().take(most).enumerate() {
        for options in [
            "",
            "-t 3 --io-size 64KiB --stripe-size 128KiB --verify",
            "--digest sha256 --digest blake3 -t 2 --stripe-size 64KiB",
            "--sparse always --no-sync",
        ] {
            let what = format!("list {number} {options}");
            let (scene, image) = scene();
            scene.write("list.csv", list(ranges).as_bytes());
            let line = format!("batch list.csv --json {options} --source");
            let from_file = scene.run(&format!("{line} image --into-file theirs")).code(0).report();
            let before = pattern(9, LEN + GUARD);
            scene.write("old", &before);
            let run = |end: &str| piped(&scene, &format!("{line} - --into-file {end}"), &image);
            let report = run("new").code(0).report();
            assert_same(&scene.read("new"), &scene.read("theirs"), &what);
            assert_eq!(report["digests"], from_file["digests"], "{what}");
            assert_eq!(report["mapped"], from_file["mapped"], "{what}");
            run("old --in-place").code(0);
            assert_same(&scene.read("old"), &with(&before, &image, ranges), &what);
        }
    }
}

/// Digests of ranges are looked at as they come: the last bytes of a wrong one are
/// not written, and what is new gets no name.
#[test]
fn a_wrong_range_of_a_stream_ends_the_copy() {
    let (scene, image) = scene();
    let digest = |range: &str| {
        let ended = scene.run(&format!("--json --digest sha256 -r {range} image null:")).code(0);
        ended.report()["digests"]["sha256"].as_str().expect("a digest").to_owned()
    };
    let right = digest("1MiB..2MiB");
    let list =
        |first: &str| format!("start,end,sha256\n10,5000,{first}\n{MIB},{},{right}\n", 2 * MIB);
    scene.write("list.csv", list(&digest("10..5000")).as_bytes());
    let run =
        |end: &str| piped(&scene, &format!("batch list.csv --source - --into-file {end}"), &image);
    run("new").code(0);
    assert_same(&scene.read("new")[MIB..], &image[MIB..2 * MIB], "right");

    scene.write("list.csv", list(&digest("10..5001")).as_bytes());
    let before = pattern(9, LEN);
    scene.write("old", &before);
    run("other").code(4).says(&["sha256 of bytes 10..5000", "expected"]);
    assert!(!scene.has("other"));
    run("old --in-place").code(4).says(&["10..5000"]);
    assert_same(&scene.read("old")[5000..], &before[5000..], "nothing behind it");
}

#[test]
fn a_stream_that_cannot_be_what_the_list_wants_is_refused() {
    let (scene, image) = scene();
    let run = |list: &str, line: &str| {
        scene.write("list.csv", list.as_bytes());
        piped(&scene, &format!("batch {line}"), &image)
    };
    let two = "start,end,dest_offset\n0,5,0\n10,15,7\n";
    run(two, "list.csv --source - --into-file new").code(2).says(&["as it lies", "same distance"]);
    run("source,start,end\nimage,0,5\n", "list.csv --source - --into-file new")
        .code(2)
        .says(&["the list names", "image"]);
    piped(&scene, "batch - --source - --into-file new", b"start,end\n0,5\n")
        .code(2)
        .says(&["is the list already"]);
    run("name,start,end\na,0,5\n", "list.csv --source - --into out").code(2).says(&["--into-file"]);
    let ended = run("start,end\n0,5\n100,9000000\n", "list.csv --source - --into-file new");
    ended.code(5).says(&["ended"]);
    run("start,end\n0,5\n", "list.csv --source - --into-file new --resume")
        .code(2)
        .says(&["--resume"]);
}

/// What arrived behind a gap of the list is kept as well.
#[test]
fn what_arrived_is_kept_behind_gaps_too() {
    let (scene, image) = scene();
    scene.write("list.csv", list(&[(1000, 5000), (MIB, 2 * MIB), (3 * MIB, LEN)]).as_bytes());
    let line =
        "batch list.csv --source - --into-file new -t 3 --io-size 64KiB --stripe-size 128KiB";
    let ended = piped(&scene, line, &image[..3 * MIB + 100_000]).code(5);
    ended.says(&[&format!("first {} bytes", 4000 + MIB + 100_000), "new.pcopy-part"]);
    let found = scene.read("new.pcopy-part");
    let mut expected = vec![0; 3 * MIB + 100_000];
    for (start, end) in [(1000, 5000), (MIB, 2 * MIB), (3 * MIB, 3 * MIB + 100_000)] {
        expected[start..end].copy_from_slice(&image[start..end]);
    }
    // From the first byte that the list names.
    assert_same(&found[1000..], &expected[1000..], "what came");
}
