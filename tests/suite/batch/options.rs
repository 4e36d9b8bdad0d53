//! Options of a copy mean the same for many files: each is honoured or refused.

use serde_json::json;

use crate::batch::{scene, tree};
#[cfg(unix)]
use crate::common::pattern;
use crate::common::{Scene, assert_same};

/// A list of small files, a large one, one in two large fragments, and a whole source.
const LIST: &str = r#"{"name":"small","start":1000,"len":2000}
{"name":"next","start":3000,"len":700}
{"name":"large","start":4096,"len":2097153}
{"name":"two","runs":[{"start":0,"len":1500000},{"start":2500000,"len":1500001}]}
{"name":"all"}
"#;

fn assert_list(scene: &Scene, image: &[u8], what: &str) {
    let two = [&image[..1_500_000], &image[2_500_000..4_000_001]].concat();
    let files: [(&str, &[u8]); 5] = [
        ("small", &image[1000..3000]),
        ("next", &image[3000..3700]),
        ("large", &image[4096..4096 + 2_097_153]),
        ("two", &two),
        ("all", image),
    ];
    for (name, bytes) in files {
        assert_same(&scene.read(format!("out/{name}")), bytes, &format!("{what}: {name}"));
    }
    assert_eq!(tree(scene, "out").len(), files.len(), "{what}");
}

#[test]
fn an_engine_that_is_named_moves_every_file_or_is_refused() {
    for (engine, moves) in [("positioned", 4), ("direct", 6), ("offload", 6), ("mmap", 6)] {
        let (scene, image) = scene();
        scene.write("list", LIST.as_bytes());
        let line = format!("batch list --source image --into out --json --engine {engine}");
        let ended = scene.run(&line);
        if engine != "positioned" && ended.status.code() == Some(3) {
            // Not on this file system; and then nothing was made.
            ended.says(&[engine]);
            assert!(!scene.has("out"), "{engine}");
            continue;
        }
        let report = ended.code(0).report();
        // By positioned requests small files are read together.
        assert_eq!(report["engines"], json!({engine: moves}), "{engine}: {report}");
        assert_eq!(report["fallbacks"], json!([]), "{engine}");
        assert_list(&scene, &image, engine);
    }
}

#[test]
fn every_way_of_moving_bytes_gives_the_same_bytes() {
    for options in [
        "--reflink never",
        "--sparse never",
        "--sparse always",
        "--preallocate full",
        "--preallocate off",
        "--stripe-size 64KiB --io-size 16KiB -t 3",
        "--keep-cache --stripe-size 4KiB",
        "--sparse always --digest md5 --preallocate full",
    ] {
        let (scene, image) = scene();
        scene.write("list", LIST.as_bytes());
        let line = format!("batch list --source image --into out {options}");
        scene.run(&line).code(0);
        assert_list(&scene, &image, &line);
    }
}

#[test]
fn what_cannot_be_honoured_is_refused() {
    let check = |options: &str, code: i32, says: &[&str]| {
        let (scene, _) = scene();
        scene.write(
            "list.jsonl",
            b"{\"name\":\"a\",\"runs\":[{\"start\":0,\"len\":9},{\"hole\":true,\"len\":9}]}\n",
        );
        let line = format!("batch list.jsonl --source image --into out {options}");
        scene.run(&line).code(code).says(says);
        assert_eq!(scene.names(), ["image", "list.jsonl"], "{options}");
    };
    check("--engine positioned --reflink always", 3, &["--reflink always"]);
    check("--engine offload --reflink never --digest sha256", 3, &["offload"]);
    check("--engine offload --sparse always", 3, &["offload"]);
    check("--sparse never", 2, &["line 1", "hole"]);
    check("--io-size 3000", 2, &["--io-size", "power of two"]);
    check("--io-size 8s", 2, &["--io-size", "bytes"]);
    check("--stripe-size 3MiB", 2, &["--stripe-size", "power of two"]);
    check("--stripe-size 8s", 2, &["--stripe-size", "bytes"]);
    check("--sparse always --stripe-size 512", 2, &["--stripe-size", "at least 4096"]);
    check("--jobs 0", 2, &["--jobs"]);
}

/// What makes sense for one source only is not taken and forgotten, and the
/// message says why.
#[test]
fn options_of_one_copy_are_refused_for_several() {
    for (options, why) in [
        ("--range 0..1", "taken whole"),
        ("--offset 1", "taken whole"),
        ("--length 1", "taken whole"),
        ("--dest-offset 1", "a file of its own"),
        ("--in-place", "a file of its own"),
        ("--to-device", "a file of its own"),
        ("--even-if-in-use", "a file of its own"),
        ("--map m", "its map beside it"),
        ("--expect md5:00000000000000000000000000000000", "one digest"),
    ] {
        let scene = Scene::new();
        scene.write("a", b"1");
        scene.write("b", b"2");
        std::fs::create_dir(scene.path("dir")).unwrap();
        let option = options.split(' ').next().unwrap_or_default();
        scene.run(&format!("a b dir/ {options}")).code(2).says(&[option, why]);
        assert_eq!(tree(&scene, "dir"), Vec::<String>::new(), "{options}");
    }
}

/// Every digest that is asked for is in the one file, in the order of the
/// sources, also of what an earlier run has copied.
#[test]
fn digests_of_several_sources_go_to_one_file() {
    let scene = Scene::new();
    std::fs::create_dir(scene.path("dir")).unwrap();
    for (name, len) in [("b", 3_000_000), ("a", 5), ("c", 0)] {
        scene.source(name, len);
    }
    let line = "--digest crc32c --digest md5 --digest-file sums b a c dir/";
    let ended = scene.run(line).code(0);
    assert_eq!(ended.out(), "");
    let sums = String::from_utf8(scene.read("sums")).unwrap();
    let names: Vec<_> = sums.lines().filter_map(|line| line.split("dir/").nth(1)).collect();
    let bare: Vec<_> = names.iter().map(|name| &name[..1]).collect();
    assert_eq!(bare, ["b", "b", "a", "a", "c", "c"], "{sums}");
    std::fs::remove_file(scene.path("dir/a")).unwrap();
    std::fs::remove_file(scene.path("sums")).unwrap();
    scene.run(&format!("--resume {line}")).code(0);
    assert_eq!(String::from_utf8(scene.read("sums")).unwrap(), sums, "resumed");
    if crate::common::has_tools(&["md5sum"]) {
        std::fs::remove_file(scene.path("sums")).unwrap();
        let line = line.replace("--digest crc32c", "--resume");
        scene.run(&line).code(0);
        scene.tool("md5sum", ["-c", "sums"]).run().code(0);
    }
    // None of the files of the copy.
    for name in ["a", "dir/a", "dir/a.pcopy-part"] {
        let line = line.replace("sums", name);
        let ended = scene.run(&format!("--force {line}")).says(&["--digest-file"]);
        assert!(matches!(ended.status.code(), Some(2 | 3)), "{}", ended.stderr);
    }
    scene.run("--dry-run --force --digest md5 --digest-file other b a c dir/").code(0);
    assert!(!scene.has("other"));
}

#[cfg(target_os = "linux")]
#[test]
fn holes_are_made_kept_or_stored_as_asked() {
    use crate::common::skip;
    use std::os::unix::fs::MetadataExt;
    let scene = Scene::new();
    std::fs::create_dir(scene.path("dir")).unwrap();
    // Zeros that are stored, in a small file and in a large one.
    let mut zeros = pattern(1, 300_000);
    zeros[65_536..262_144].fill(0);
    scene.write("small", &zeros);
    let mut large = pattern(2, 3 << 20);
    large[1 << 20..2 << 20].fill(0);
    scene.write("large", &large);
    // A hole, and data behind it.
    let sparse = std::fs::File::create(scene.path("sparse")).unwrap();
    sparse.set_len(4 << 20).unwrap();
    scene.run("--in-place --dest-offset 2MiB small sparse").code(0);
    let stored = |name: &str| scene.path(format!("dir/{name}")).metadata().unwrap().blocks() * 512;
    let full = |name: &str| stored(name) >= scene.path(name).metadata().unwrap().len();
    for (options, expected) in [
        ("", [true, true, false]),
        ("--sparse always", [false, false, false]),
        ("--sparse always --engine direct", [false, false, false]),
        ("--sparse never --reflink never", [true, true, true]),
        ("--preallocate full --sparse always", [true, true, true]),
    ] {
        let ended = scene.run(&format!("small large sparse dir/ {options}"));
        if ended.status.code() == Some(3) && options.contains("direct") {
            skip("the temporary folder has no requests past the page cache");
            continue;
        }
        ended.code(0);
        for name in ["small", "large", "sparse"] {
            assert_same(&scene.read(format!("dir/{name}")), &scene.read(name), options);
        }
        // As stored, once the file system has decided where.
        scene.tool("sync", ["dir/small", "dir/large", "dir/sparse"]).run().code(0);
        assert_eq!([full("small"), full("large"), full("sparse")], expected, "{options:?}");
        std::fs::remove_dir_all(scene.path("dir")).unwrap();
        std::fs::create_dir(scene.path("dir")).unwrap();
    }
}
