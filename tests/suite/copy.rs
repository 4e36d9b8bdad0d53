//! Whole files and ranges of every size arrive exactly (invariant I11), with
//! any number of workers.

use std::fs::File;
#[cfg(unix)]
use std::io::Read;
use std::io::{Seek, SeekFrom, Write};

use crate::common::{Scene, assert_same, pattern, pattern_at};

pub const REQUEST: usize = 8 << 10;
pub const STRIPE: usize = 64 << 10;

/// Where sectors, pages, requests and stripes begin and end.
pub const SIZES: &[usize] = &[
    0,
    1,
    511,
    512,
    513,
    4095,
    4096,
    4097,
    REQUEST - 1,
    REQUEST,
    REQUEST + 1,
    STRIPE - 1,
    STRIPE,
    STRIPE + 1,
    3 * STRIPE + 7,
];

#[test]
fn every_size_with_every_number_of_workers() {
    let scene = Scene::new();
    for &size in SIZES {
        let bytes = scene.source("source", size);
        for threads in [1, 2, 4, 8] {
            let line = format!(
                "--force --threads {threads} --io-size {REQUEST} --stripe-size {STRIPE} source copy"
            );
            scene.run(&line).code(0);
            assert_same(&scene.read("copy"), &bytes, &format!("{size} bytes, {threads} threads"));
        }
    }
    assert_eq!(scene.names(), ["copy", "source"], "nothing else is left");
}

#[test]
fn every_size_in_the_middle_of_both_files() {
    let scene = Scene::new();
    let source = scene.source("source", 4 * STRIPE);
    for &size in SIZES {
        let from = 333;
        let line = format!(
            "-f -t 4 --io-size {REQUEST} --stripe-size {STRIPE} -r {from}+{size} \
             --dest-offset 77 source copy"
        );
        scene.run(&line).code(0);
        let mut expected = vec![0; 77];
        expected.extend(&source[from..from + size]);
        assert_same(&scene.read("copy"), &expected, &line);
    }
}

#[test]
fn sizes_around_the_chosen_request_and_stripe() {
    let scene = Scene::new();
    let (request, stripe) = (256 << 10, 1 << 20);
    for size in [request - 1, request, request + 1, stripe - 1, stripe, stripe + 1, 3 * stripe + 7]
    {
        let bytes = scene.source("source", size);
        for threads in ["1", "4", "auto"] {
            scene.run(&format!("-f -t {threads} source copy")).code(0);
            assert_same(&scene.read("copy"), &bytes, &format!("{size} bytes, {threads} threads"));
        }
    }
}

/// Invariant I11, its second half: what is not durable does not claim to be.
#[test]
fn durable_unless_said_otherwise() {
    let scene = Scene::new();
    scene.source("source", 10_000);
    let check = |option: &str, durable: bool| {
        let ended = scene.run(&format!("-f --json {option} source copy")).code(0);
        assert_eq!(ended.report()["durable"], durable, "{option}");
    };
    check("", true);
    check("--no-sync", false);
}

#[test]
fn a_directory_keeps_the_name_of_the_source() {
    let scene = Scene::new();
    let bytes = scene.source("source", 5000);
    std::fs::create_dir(scene.path("folder")).unwrap();
    for destination in ["folder", "folder/", "folder/."] {
        scene.run(&format!("-f source {destination}")).code(0);
        assert_same(&scene.read("folder/source"), &bytes, destination);
        std::fs::remove_file(scene.path("folder/source")).unwrap();
    }
}

/// Offsets beyond 4 GiB: a sparse file with data at the edges of 32 bits.
#[cfg(unix)]
#[test]
fn a_sparse_file_of_more_than_4_gib() {
    const SIZE: u64 = (4 << 30) + (64 << 20) + 7;
    const PLACES: [u64; 4] = [0, (2 << 30) - 4096, (4 << 30) - 4096, SIZE - 8199];
    const LEN: usize = 8192;
    let scene = Scene::new();
    let mut file = File::create(scene.path("source")).unwrap();
    if file.set_len(SIZE).is_err() {
        return crate::common::skip("this file system has no files of holes");
    }
    for place in PLACES {
        file.seek(SeekFrom::Start(place)).unwrap();
        file.write_all(&pattern(place, LEN)).unwrap();
    }
    drop(file);
    let hole = pcopy::ByteRange::with_len(1 << 30, 1 << 20).expect("small");
    let source = File::open(scene.path("source")).expect("it is there");
    if pcopy::sys::next_extent(&source, hole).is_ok_and(|extent| extent.data) {
        return crate::common::skip("this file system does not tell of holes");
    }
    let check = |options: &str, from: u64, end: u64| {
        scene.run(&format!("-f --no-sync -t 4 {options} source copy")).code(0);
        let mut copy = File::open(scene.path("copy")).unwrap();
        assert_eq!(copy.metadata().unwrap().len(), end - from, "{options}");
        for place in PLACES.into_iter().filter(|place| (from..end).contains(place)) {
            copy.seek(SeekFrom::Start(place - from)).unwrap();
            let len = LEN.min(usize::try_from(end - place).unwrap());
            let mut found = vec![0; len];
            copy.read_exact(&mut found).unwrap();
            assert_same(&found, &pattern(place, len), &format!("{options} at {place}"));
        }
    };
    check("", 0, SIZE);
    let holes = scene.run("-f --no-sync --json source copy").code(0).report();
    let data = (LEN * PLACES.len()) as u64;
    assert!(holes["bytes"]["holes"].as_u64() > Some(SIZE - 64 * data), "{holes}");
    check("-r 4294963200..4294971392", (4 << 30) - 4096, (4 << 30) + 4096);
    check("-r 4GiB..", 4 << 30, SIZE);
    check("-r -8199", SIZE - 8199, SIZE);
}

/// In the destination, a hole of the source reads as zeros wherever it lies.
#[test]
fn holes_of_the_source_read_as_zeros() {
    let scene = Scene::new();
    let mut bytes = vec![0; 3 << 20];
    bytes[1 << 20..(1 << 20) + 5000].copy_from_slice(&pattern_at(7, 0, 5000));
    let mut file = File::create(scene.path("source")).unwrap();
    file.set_len(3 << 20).unwrap();
    file.seek(SeekFrom::Start(1 << 20)).unwrap();
    file.write_all(&bytes[1 << 20..(1 << 20) + 5000]).unwrap();
    drop(file);
    scene.run("-t 4 source copy").code(0);
    assert_same(&scene.read("copy"), &bytes, "new file");
    // In place, what was there before must go.
    scene.write("copy", &pattern(2, 3 << 20));
    scene.run("-t 4 --in-place source copy").code(0);
    assert_same(&scene.read("copy"), &bytes, "in place");
}

/// More workers than stripes, than bytes, than processors.
#[test]
fn more_workers_than_work() {
    let scene = Scene::new();
    let bytes = scene.source("source", 3 * STRIPE + 7);
    for (threads, stripe) in [(64, STRIPE), (200, 512), (1024, 1 << 20)] {
        let options = format!("-f -t {threads} --stripe-size {stripe} --io-size 4096");
        scene.run(&format!("{options} source copy")).code(0);
        assert_same(&scene.read("copy"), &bytes, &options);
    }
}
