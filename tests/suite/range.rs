//! Every way to say a range, what it means, and what is refused.

use crate::common::{Scene, assert_same};

const SIZE: usize = 10_000;

/// Runs with `options` and asserts what of the source arrives.
#[track_caller]
fn check(options: &str, from: usize, end: usize) {
    let scene = Scene::new();
    let source = scene.source("source", SIZE);
    let arguments = options.split_whitespace().chain(["source", "copy"]);
    scene.pcopy(arguments).run().code(0);
    assert_same(&scene.read("copy"), &source[from..end], options);
}

/// Runs with `options` and asserts a refusal that leaves nothing behind.
#[track_caller]
fn check_refused(options: &str, code: i32, texts: &[&str]) {
    let scene = Scene::new();
    scene.source("source", SIZE);
    scene.run(&format!("{options} source copy")).code(code).says(texts);
    assert_eq!(scene.names(), ["source"], "{options}");
}

#[test]
fn every_form_of_a_range() {
    check("", 0, SIZE);
    check("--range 10..20", 10, 20);
    check("-r 10..=20", 10, 21);
    check("-r 10+20", 10, 30);
    check("-r 10..", 10, SIZE);
    check("-r ..20", 0, 20);
    check("-r ..=20", 0, 21);
    check("-r -20", SIZE - 20, SIZE);
    check("-r ..", 0, SIZE);
    check("--range=-20", SIZE - 20, SIZE);
    check("-r-20", SIZE - 20, SIZE);
}

#[test]
fn the_same_in_terms_of_dd() {
    check("--offset 10 --length 20", 10, 30);
    check("--offset 10", 10, SIZE);
    check("--length 20", 0, 20);
    check_refused("--offset 10 --range 10..20", 2, &["--range"]);
}

#[test]
fn every_form_of_a_size() {
    check("-r 0x10..0x1_0", 16, 16);
    check("-r 1K..2KiB", 1024, 2048);
    check("-r 1kB..2KB", 1000, 2000);
    check("-r 1_0B..2_0", 10, 20);
    check("-r 1s..3s", 512, 1536);
    check("-r 1s..=3s", 512, 2048);
    check("-r 1s+0.5KiB", 512, 1024);
    check("-r 1.5KiB..0x0800", 1536, 2048);
    check_refused("-r 1.3B..2", 2, &["1.3B..2", "^"]);
    check_refused("-r 1b..2", 2, &["dd", "512"]);
    check_refused("-r 1w..2", 2, &["dd"]);
    check_refused("-r 1c..2", 2, &["dd"]);
    check_refused("-r 1x512..2", 2, &["dd"]);
    check_refused("-r 16E..17E", 2, &["18446744073709551615"]);
}

#[test]
fn an_empty_range_copies_nothing_and_succeeds() {
    check("-r 0..0", 0, 0);
    check("-r 500..500", 500, 500);
    check("-r 10000..", SIZE, SIZE);
    check("-r 10000..10000", SIZE, SIZE);
    check("-r 5+0", 5, 5);
    check("-r -0", SIZE, SIZE);
}

#[test]
fn a_dash_between_numbers_is_refused_with_both_readings() {
    check_refused("-r 10-20", 2, &["10..20", "10 bytes", "10..=20", "11 bytes"]);
    check_refused("-r 0x10-0x20", 2, &["0x10..0x20", "0x10..=0x20"]);
}

#[test]
fn an_error_points_at_the_character() {
    check_refused("-r 10..2q", 2, &["\n    10..2q\n         ^"]);
    check_refused("-r 20..10", 2, &["backwards", "10..20"]);
    check_refused("-r 10", 2, &["10..", "10+LEN", "..10"]);
    check_refused("-r x..10", 2, &["\n    x..10\n    ^"]);
}

#[test]
fn past_the_end_is_refused_with_the_size_before_anything_is_created() {
    for range in ["0..10001", "..=10000", "9999+2", "-10001", "..8E"] {
        check_refused(&format!("-r {range}"), 3, &["10000 bytes", "--clamp"]);
    }
    // Of these nothing exists.
    for range in ["10001..", "10001+0", "8E.."] {
        let scene = Scene::new();
        scene.source("source", SIZE);
        let ended = scene.run(&format!("-r {range} source copy")).code(3).says(&["10000 bytes"]);
        assert!(!ended.stderr.contains("--clamp"), "{}", ended.stderr);
    }
    check_refused("--offset 10001", 3, &["10000 bytes"]);
    check_refused("--offset 1 --length 10000", 3, &["10000 bytes"]);
    check_refused("--json -r 0..10001", 3, &["10000 bytes"]);
}

#[test]
fn clamp_copies_what_exists_and_says_so() {
    let scene = Scene::new();
    let source = scene.source("source", SIZE);
    for (range, from) in [("9000..10001", 9000), ("-10001", 0), ("10001..", SIZE), ("20K+5", SIZE)]
    {
        let line = format!("-f --clamp --range {range} source copy");
        scene.run(&line).code(0).says(&["cut to what exists", "10000 bytes"]);
        assert_same(&scene.read("copy"), &source[from..], range);
        let report = scene.run(&format!("--json {line}")).code(0).report();
        assert_eq!(report["clamped"], true, "{report}");
        assert_eq!(report["range"]["end"], SIZE, "{report}");
    }
    let uncut = scene.run("-f --clamp -r 0..10000 --json source copy").code(0).report();
    assert!(uncut["clamped"].is_null(), "nothing was cut: {uncut}");
}

#[test]
fn a_destination_offset_beyond_what_a_file_can_have_is_refused() {
    check_refused("--dest-offset 8EiB", 3, &["largest possible offset"]);
    check_refused("--dest-offset 0xffffffffffffffff", 3, &["largest possible offset"]);
}
