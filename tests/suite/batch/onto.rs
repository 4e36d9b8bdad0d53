//! The ranges of a list onto one file, each to its own offset: what the list
//! names is there, and no other byte was touched.

use serde_json::Value;

use super::scene;
use crate::common::{Scene, assert_same, can_engine, pattern, rounds};

pub(super) const MIB: usize = 1 << 20;
/// Of the source of [`ranges`], and bytes behind it.
pub(super) const LEN: usize = 4 * MIB;
pub(super) const GUARD: usize = 5000;

/// `existing` with the `ranges` of `source` in it, each at its own offset.
pub(super) fn with(existing: &[u8], source: &[u8], ranges: &[(usize, usize)]) -> Vec<u8> {
    let mut expected = existing.to_vec();
    for &(start, end) in ranges {
        expected[start..end].copy_from_slice(&source[start..end]);
    }
    expected
}

/// A list of ranges without names.
pub(super) fn list(ranges: &[(usize, usize)]) -> String {
    let rows = ranges.iter().map(|(start, end)| format!("{start},{end}\n"));
    "start,end\n".to_owned() + &rows.collect::<String>()
}

pub(super) const RANGES: &[(usize, usize)] =
    &[(0, 1), (511, 513), (70_000, 1_200_001), (4_000_000, LEN)];

#[test]
fn only_what_the_list_names_is_written() {
    let expected_of_new = |image: &[u8]| with(&vec![0; LEN], image, RANGES);
    for options in ["", "-t 4 --verify", "--engine direct", "--verify --repair", "--no-sync"] {
        if options == "--engine direct" && !can_engine("direct") {
            continue;
        }
        let (scene, image) = scene();
        scene.write("list.csv", list(RANGES).as_bytes());
        let line = format!("batch list.csv --source image --json {options} --into-file");
        let report = scene.run(&format!("{line} new")).code(0).report();
        assert_same(&scene.read("new"), &expected_of_new(&image), options);
        let bytes: usize = RANGES.iter().map(|(start, end)| end - start).sum();
        assert_eq!(report["mapped"], serde_json::json!({"ranges": 4, "bytes": bytes}));
        assert_eq!(report["bytes"]["copied"], bytes, "{report}");

        let before = pattern(9, LEN + GUARD);
        scene.write("old", &before);
        scene.run(&format!("{line} old")).code(3).says(&["exists", "--in-place"]);
        scene.run(&format!("{line} old --in-place")).code(0);
        assert_same(&scene.read("old"), &with(&before, &image, RANGES), options);
        assert_eq!(scene.names(), ["image", "list.csv", "new", "old"], "{options}");
    }
}

#[cfg(unix)]
#[test]
fn what_is_not_named_is_a_hole_of_a_new_file() {
    use std::os::unix::fs::MetadataExt;
    let (scene, _) = scene();
    scene.write("list.csv", list(&[(0, 4096), (LEN - 4096, LEN)]).as_bytes());
    scene.run("batch list.csv --source image --into-file new").code(0).says(&["2 ranges"]);
    let stored = scene.path("new").metadata().unwrap().blocks() * 512;
    assert!(stored < MIB as u64, "{stored} bytes are stored");
}

/// Random lists, ends in the middle of sectors and pages, several sources, moved
/// about: the same as a copy of slices.
#[test]
fn random_lists_are_copied_like_slices() {
    for round in 0..rounds("PCOPY_ONTO_ROUNDS", 12) {
        let mut seed = round;
        let mut random = |below: usize| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
            (seed >> 33) as usize % below
        };
        let scene = Scene::new();
        let sources = [pattern(1, MIB), pattern(2, MIB)];
        scene.write("a", &sources[0]);
        scene.write("b", &sources[1]);
        let before = pattern(3, MIB + 70_000);
        scene.write("old", &before);
        let mut expected = before.clone();
        let one_source = random(2) == 0;
        let shift = random(2) * 1000;
        let mut rows = "source,start,len,dest_offset\n".to_owned();
        let mut at = random(5000);
        while at < MIB - 60_000 {
            let len = [1, 511, 4096, 4097, 50_000][random(5)];
            let number = if one_source { 0 } else { random(2) };
            let start = if one_source { at + shift } else { random(MIB - len) };
            let name = ["a", "b"][number];
            rows += &format!("{name},{start},{len},{at}\n");
            expected[at..at + len].copy_from_slice(&sources[number][start..start + len]);
            at += len + random(30_000);
        }
        scene.write("list.csv", rows.as_bytes());
        let options = ["", "--verify", "-t 3 --io-size 4KiB --stripe-size 8KiB", "--sparse always"];
        let options = options[random(4)];
        let line = format!("batch list.csv --into-file old --in-place {options}");
        scene.run(&line).code(0);
        assert_same(&scene.read("old"), &expected, &format!("{line}\n{rows}"));
    }
}

/// A hole of the list is zeros, wherever they go; what is between items is not.
#[test]
fn holes_of_a_list_are_zeros() {
    let (scene, image) = scene();
    let rows = "{\"runs\":[{\"start\":5,\"len\":100},{\"hole\":true,\"len\":5000},\
                {\"start\":9000,\"len\":7}],\"dest_offset\":300}\n";
    scene.write("list.jsonl", rows.as_bytes());
    let before = pattern(7, 10_000);
    scene.write("old", &before);
    let line = "batch list.jsonl --source image --into-file old --in-place --verify";
    scene.run(line).code(0);
    let mut expected = before;
    expected[300..400].copy_from_slice(&image[5..105]);
    expected[400..5400].fill(0);
    expected[5400..5407].copy_from_slice(&image[9000..9007]);
    assert_same(&scene.read("old"), &expected, "with a hole");
}

#[test]
fn a_digest_is_looked_at_before_anything_is_written() {
    let (scene, image) = scene();
    let digest = |range: &str| {
        let ended = scene.run(&format!("--json --digest sha256 -r {range} image null:")).code(0);
        ended.report()["digests"]["sha256"].as_str().expect("a digest").to_owned()
    };
    let (right, wrong) = (digest("3000000+1000000"), "0".repeat(64));
    let rows = |second: &str| format!("start,len,sha256\n0,100,\n3000000,1000000,{second}\n");
    let before = pattern(9, LEN);
    for destination in ["old --in-place", "new"] {
        scene.write("old", &before);
        scene.write("list.csv", rows(&wrong).as_bytes());
        let line = format!("batch list.csv --source image --json --into-file {destination}");
        let ended = scene.run(&line).code(4);
        let report = ended.says(&["3000000..4000000", "nothing was written", &right]).report();
        assert_eq!(report["error_kind"], "range_mismatch");
        assert_eq!(report["outcome"], "mismatch");
        assert_same(&scene.read("old"), &before, "nothing was written");
        assert_eq!(scene.names(), ["image", "list.csv", "old"]);
        scene.write("list.csv", rows(&right).as_bytes());
        scene.run(&line).code(0);
        let name = destination.split(' ').next().unwrap();
        assert_same(&scene.read(name)[3_000_000..4_000_000], &image[3_000_000..4_000_000], "range");
    }
    // The same where the list moves its ranges about.
    let moved = format!("start,len,dest_offset,sha256\n0,9,50,\n3000000,1000000,60,{wrong}\n");
    scene.write("moved.csv", moved.as_bytes());
    let ended = scene.run("batch moved.csv --source image --into-file moved").code(4);
    ended.says(&["expected 0000"]);
    scene.write("moved.csv", moved.replace(&wrong, &right).as_bytes());
    scene.run("batch moved.csv --source image --into-file moved").code(0);
    assert_same(&scene.read("moved")[60..70], &image[3_000_000..3_000_010], "moved");
}

/// The digest is that of the new file: zeros where nothing is.
#[test]
fn a_digest_of_all_is_that_of_the_file() {
    let (scene, _) = scene();
    scene.write("list.csv", list(RANGES).as_bytes());
    let line = "batch list.csv --source image --digest sha256 --json";
    let of = |ended: crate::common::Ended| ended.report()["digests"]["sha256"].clone();
    let first = of(scene.run(&format!("{line} --into-file new")).code(0));
    assert_eq!(first, of(scene.run("--digest sha256 --json new null:").code(0)));
    scene.write("old", &pattern(9, LEN));
    let again = of(scene.run(&format!("{line} --into-file old --in-place --verify")).code(0));
    assert_eq!(again, first, "whatever is between the ranges");
    let expect = format!("--expect sha256:{}", first.as_str().unwrap());
    scene.run(&format!("{line} --into-file more {expect}")).code(0);
    let zeros = "0".repeat(64);
    scene.run(&format!("{line} --into-file wrong --expect sha256:{zeros}")).code(4);
    assert!(!scene.has("wrong"));
}

#[test]
fn the_map_of_a_rescue_chooses_areas() {
    let map = "# Mapfile. Created by GNU ddrescue version 1.27\n0x0 + 1\n\
               0x00000000 0x00100000 +\n0x00100000 0x00080000 -\n0x00180000 0x00080000 +\n\
               0x00200000 0x00200000 ?\n";
    let areas: [(&str, &[(usize, usize)]); 3] = [
        ("", &[(0, MIB), (3 * MIB / 2, 2 * MIB)]),
        ("--areas -", &[(MIB, 3 * MIB / 2)]),
        ("--areas ?-", &[(MIB, 3 * MIB / 2), (2 * MIB, 4 * MIB)]),
    ];
    for (options, ranges) in areas {
        let (scene, image) = scene();
        scene.write("disk.map", map.as_bytes());
        let before = pattern(9, LEN);
        scene.write("old", &before);
        let line = format!("batch disk.map --source image {options} --into-file old --in-place");
        scene.run(&line).code(0);
        assert_same(&scene.read("old"), &with(&before, &image, ranges), options);
        scene.run(&format!("batch disk.map --source image {options} --into-file new")).code(0);
        assert_same(&scene.read("new"), &with(&vec![0; LEN], &image, ranges), options);
    }
}

/// What says only where files are on a disk puts them there again.
#[test]
fn pieces_of_files_go_where_they_were() {
    let (scene, image) = scene();
    let list = "<?xml version='1.0'?>\n<dfxml><fileobject><filename>a</filename><filesize>9000\
                </filesize><byte_runs><byte_run file_offset='0' img_offset='8192' len='4096'/>\
                <byte_run file_offset='4096' img_offset='65536' len='4904'/></byte_runs>\
                </fileobject><fileobject><filename>b</filename><filesize>10</filesize><byte_runs>\
                <byte_run file_offset='0' img_offset='200000' len='10'/></byte_runs></fileobject>\
                </dfxml>";
    scene.write("list.xml", list.as_bytes());
    let before = pattern(9, LEN);
    scene.write("old", &before);
    scene.run("batch list.xml --source image --into-file old --in-place").code(0);
    let ranges = [(8192, 12_288), (65_536, 70_440), (200_000, 200_010)];
    assert_same(&scene.read("old"), &with(&before, &image, &ranges), "files of a disk");
}

#[test]
fn what_cannot_be_is_refused_and_nothing_is_written() {
    let (scene, _) = scene();
    scene.write("list.csv", list(RANGES).as_bytes());
    scene.write("two.csv", b"start,len,dest_offset\n0,10,0\n100,10,5\n");
    scene.write("far.csv", b"start,len\n0,10\n4194300,10\n");
    scene.write("named.csv", b"name,start,len\na,0,10\nb,5,10\n");
    scene.write("other.csv", b"source,start,len,dest_offset\nimage,0,9,0\nold,0,9,50\n");
    let before = pattern(9, LEN);
    scene.write("old", &before);
    let cases: [(&str, i32, &[&str]); 14] = [
        ("two.csv --into-file new", 3, &["line 3", "line 2", "overlaps"]),
        ("named.csv --into-file new", 3, &["line 3", "line 2"]),
        ("far.csv --into-file new", 3, &["line 3", "4194304", "--skip-outside"]),
        ("other.csv --into-file old --in-place", 3, &["old"]),
        ("list.csv --into-file image --in-place", 3, &["overlap"]),
        ("list.csv --into-file image --force", 3, &["same file"]),
        ("list.csv --into-device old --to-device", 2, &["not a block device", "--into-file"]),
        ("list.csv --into-device none --to-device", 2, &["not a block device"]),
        ("list.csv --into-file new --report r", 2, &["--report"]),
        ("list.csv --into-file new --into d", 2, &["--into"]),
        ("list.csv --in-place", 2, &["--into-file"]),
        ("list.csv --to-device", 2, &["--into-device"]),
        ("list.csv --into-file new --reflink always", 2, &["--reflink"]),
        ("list.csv --into-file new --preserve", 2, &["--preserve"]),
    ];
    for (line, code, says) in cases {
        scene.run(&format!("batch --source image {line}")).code(code).says(says);
        assert_same(&scene.read("old"), &before, line);
        assert!(!scene.has("new") && !scene.has("r"), "{line}: {:?}", scene.names());
    }
    scene.run("batch --source image list.csv -n --into-file new").code(0).says(&["4 ranges"]);
    assert!(!scene.has("new"));
    scene.run("batch --source image far.csv --skip-outside --into-file new").code(0);
    assert_eq!(scene.read("new").len(), 10);
}

#[test]
fn a_further_destination_gets_the_same_ranges() {
    let (scene, image) = scene();
    scene.write("list.csv", list(RANGES).as_bytes());
    scene.run("batch list.csv --source image --into-file new --also more --verify").code(0);
    let expected = with(&vec![0; LEN], &image, RANGES);
    assert_same(&scene.read("new"), &expected, "the first");
    assert_same(&scene.read("more"), &expected, "the second");
}

/// Options that make it slow, and recorded at once.
const SLOW: &str = "--limit-rate 640KiB --checkpoint-every 0 --progress json -t 2 \
                    --io-size 64KiB --stripe-size 128KiB";

/// Kills a copy when `bytes` of it were recorded.
fn kill(scene: &Scene, line: &str, bytes: u64) {
    let line = format!("{line} {SLOW}");
    let mut running = scene.pcopy(line.split_whitespace()).start();
    running.wait_until_recorded(bytes);
    running.child.kill().expect("it is running");
    running.end();
}

#[test]
fn a_killed_copy_is_resumed_and_touches_nothing_else() {
    let ranges = [(100, 900_000), (MIB, 2 * MIB), (5 * MIB / 2, LEN - 7)];
    let shifted = "start,len,dest_offset\n2000000,1000000,0\n0,1000000,1500000\n";
    for (what, rows) in [("own offsets", list(&ranges)), ("moved", shifted.to_owned())] {
        for place in ["old --in-place", "new"] {
            let (scene, image) = scene();
            scene.write("list.csv", rows.as_bytes());
            let before = pattern(9, LEN);
            scene.write("old", &before);
            let line = format!("batch list.csv --source image --into-file {place}");
            kill(&scene, &line, 400_000);
            scene.run(&line).code(3).says(&["--resume"]);
            let report = scene.run(&format!("{line} --resume --json --verify")).code(0).report();
            let count = |field: &str| report["bytes"][field].as_u64().expect("a number");
            assert!(count("resumed") >= 400_000, "{what}, {place}: {report}");
            let (name, base) = match place {
                "new" => ("new", vec![0; LEN]),
                _ => ("old", before),
            };
            let expected = match what {
                "moved" => {
                    let mut expected = base;
                    expected[..1_000_000].copy_from_slice(&image[2_000_000..3_000_000]);
                    expected[1_500_000..2_500_000].copy_from_slice(&image[..1_000_000]);
                    expected
                }
                _ => with(&base, &image, &ranges),
            };
            let found = scene.read(name);
            assert_same(&found, &expected[..found.len()], &format!("{what}, {place}"));
            assert_eq!(scene.names().len(), if name == "new" { 4 } else { 3 });
        }
    }
}

/// What an earlier list wrote and this one does not name must not stay in a new file.
#[test]
fn another_list_is_not_resumed() {
    let (scene, image) = scene();
    scene.write("list.csv", list(&[(0, 3_000_000)]).as_bytes());
    scene.write("other.csv", list(&[(1000, 2_000_000), (2_999_999, 3_000_000)]).as_bytes());
    scene.write("third.csv", list(&[(0, 1), (2_000_000, 3_000_000)]).as_bytes());
    kill(&scene, "batch list.csv --source image --into-file new", 1 << 20);
    for list in ["other.csv", "third.csv"] {
        let line = format!("batch {list} --source image --into-file new --resume");
        let ended = scene.run(&line).code(3);
        ended.says(&["another job", "--restart"]);
    }
    scene.run("-r 0..3000000 image new --resume").code(3).says(&["--restart"]);
    scene.run("batch third.csv --source image --into-file new --restart").code(0);
    let expected = with(&vec![0; 3_000_000], &image, &[(0, 1), (2_000_000, 3_000_000)]);
    assert_same(&scene.read("new"), &expected, "of the third list alone");
}

#[test]
fn the_document_says_what_was_mapped() {
    let (scene, _) = scene();
    scene.write("list.csv", b"start,len\n0,0\n");
    scene.write("none.csv", b"start,len\n");
    let line = "--source image --into-file new --json";
    let report: Value = scene.run(&format!("batch list.csv {line}")).code(0).report();
    assert_eq!(report["mapped"]["ranges"], 0, "{report}");
    assert_eq!(scene.read("new"), b"");
    let report = scene.run(&format!("batch none.csv {line}")).code(2).report();
    assert_eq!(report["schema"], "pcopy.report/1", "{report}");
}
