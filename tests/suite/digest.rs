//! Digests while copying: those of the usual tools, whatever the order in which
//! workers move the bytes.

use crate::common::{Scene, assert_same, has_tools, pattern, skip};

/// Every digest and the tool that prints the same line.
const TOOLS: [(&str, &[&str]); 6] = [
    ("blake3", &["b3sum"]),
    ("sha256", &["sha256sum"]),
    ("sha1", &["sha1sum"]),
    ("md5", &["md5sum"]),
    ("xxh3", &["xxhsum", "--tag", "-H3"]),
    ("crc32c", &["rhash", "--bsd", "--crc32c"]),
];

const ALL: &str = "--digest blake3 --digest sha256 --digest sha1 --digest md5 --digest xxh3 \
                   --digest crc32c";

/// The line that `tool` prints of `name`.
fn line_of(scene: &Scene, tool: &[&str], name: &str) -> String {
    let arguments = tool[1..].iter().copied().chain([name]);
    scene.tool(tool[0], arguments).run().code(0).out().trim_end().to_owned()
}

/// Asserts that a copy with `options` prints what the tools print of the copy.
#[track_caller]
fn check(scene: &Scene, options: &str) {
    let copied = scene.run(&format!("{ALL} {options} -f -q source copy")).code(0);
    let lines: Vec<String> = copied.out().lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), TOOLS.len(), "{options}: {lines:?}");
    for (name, tool) in TOOLS {
        let expected = line_of(scene, tool, "copy");
        assert!(lines.contains(&expected), "{options}: {name}: {expected} not in {lines:?}");
    }
}

fn has_all_tools() -> bool {
    let tools: Vec<&str> = TOOLS.iter().map(|(_, tool)| tool[0]).collect();
    has_tools(&tools)
}

#[test]
fn digests_are_those_of_the_usual_tools() {
    if !has_all_tools() {
        return;
    }
    let scene = Scene::new();
    for size in [0, 1, 511, 1024, 1025, 65_535, 65_536, 65_537, 3 * 65_536 + 7] {
        scene.write("source", &pattern(size as u64, size));
        for threads in [1, 2, 8] {
            check(&scene, &format!("-t {threads} --io-size 4096"));
        }
    }
    scene.source("source", 500_000);
    for range in ["1..", "1023..400000", "-100001", "512+262144", "7..7"] {
        for stripe in ["4096", "64KiB", "1MiB"] {
            check(&scene, &format!("-r {range} -t 4 --io-size 4096 --stripe-size {stripe}"));
        }
    }
}

#[test]
fn every_engine_gives_the_bytes_to_the_digests() {
    if !has_all_tools() {
        return;
    }
    let scene = Scene::new();
    scene.source("source", 3_000_007);
    for options in ["--engine positioned", "--engine direct", "--sparse always", "--sparse never"] {
        if scene.run(&format!("--dry-run {options} source probed")).status.success() {
            check(&scene, options);
        } else {
            skip(&format!("{options} cannot serve in the temporary folder"));
        }
    }
    // The kernel shows nobody the bytes; what is shared can be read besides.
    let offload = scene.run("--engine offload --digest md5 --json source other");
    if offload.status.success() {
        assert!(offload.report()["notes"].to_string().contains("share"), "{offload:?}");
        check(&scene, "--engine offload");
    } else {
        offload.code(3);
    }
}

#[test]
fn holes_are_zeros_to_a_digest_and_stay_holes() {
    if !has_all_tools() {
        return;
    }
    let scene = Scene::new();
    let data = pattern(3, 100_000);
    scene.write("source", &[]);
    let mut file = std::fs::File::options().write(true).open(scene.path("source")).unwrap();
    file.set_len(20 << 20).unwrap();
    positioned_io::WriteAt::write_all_at(&mut file, 5 << 20, &data).unwrap();
    check(&scene, "-t 4");
    check(&scene, "-t 4 -r 1..19999999");
    check(&scene, "-t 3 -r 5242881..");
}

#[test]
fn lines_go_where_they_are_wanted() {
    let scene = Scene::new();
    scene.source("source", 10_000);
    // As md5sum prints it.
    let line = "e3996925f1c611a295e4bc5debb7f4c2  copy";
    let printed = scene.run("--digest md5 source copy").code(0).out();
    assert_eq!(printed.trim_end(), line);
    let ended = scene.run("--digest md5 --digest-file sums source copy -f").code(0);
    assert_eq!(ended.out(), "");
    assert_eq!(String::from_utf8(scene.read("sums")).unwrap().trim_end(), line);
    let report = scene.run("--digest md5 --json source copy -f").code(0).report();
    assert_eq!(report["digests"]["md5"], line[..32]);
    scene.run("--digest sha512 source other").code(2).says(&["sha512", "blake3"]);
    scene.run("--digest-file sums source other").code(2);
    scene.run("--digest md5 --digest-file none/sums source other").code(3).says(&["none/sums"]);
    scene.run("verify --digest md5 --digest-file none/sums source copy").code(3);
    assert!(!scene.has("other"), "before anything was copied");
}

#[test]
fn an_unexpected_digest_commits_nothing() {
    for threads in [1, 4] {
        let scene = Scene::new();
        let source = scene.source("source", 300_000);
        let good = "5d80bd3a5463ce25fca34f126b413c6284691bfaea9e88ad7a5e3768462374d2";
        let bad = "0".repeat(64);
        let options = format!("-t {threads} --io-size 4096 source copy");
        let ended = scene.run(&format!("--expect sha256:{bad} --json {options}")).code(4);
        let ended = ended.says(&[&bad, good, "--resume"]);
        assert_eq!(ended.report()["outcome"], "mismatch");
        assert!(!scene.has("copy"), "the final name never appears");
        // What was copied is a good copy of what the source holds.
        scene.run(&format!("--expect sha256:{bad} --resume {options}")).code(4);
        scene.run(&format!("--expect sha256:{good} --resume {options}")).code(0);
        assert_same(&scene.read("copy"), &source, "the resumed copy");
        assert_eq!(scene.names(), ["copy", "source"]);
        scene.run(&format!("--expect md5:{bad} {options} -f")).code(2);
    }
}

#[test]
fn an_unexpected_digest_leaves_the_old_file() {
    let scene = Scene::new();
    scene.source("source", 5000);
    scene.write("copy", b"old");
    scene.run("--force --expect crc32c:00000000 source copy").code(4);
    assert_same(&scene.read("copy"), b"old", "the old file");
}

/// Where nobody looks before a run goes on, which compares a few places only.
const SPOILT: u64 = 100_000;

/// The part of an earlier run is read back, not trusted.
#[test]
fn a_resumed_copy_has_the_digest_of_what_is_there() {
    let scene = Scene::new();
    let source = scene.source("source", 4 << 20);
    let report = scene.run("--json --digest md5 source other").code(0).report();
    let digest = report["digests"]["md5"].as_str().expect("a digest").to_owned();
    for spoil in [false, true] {
        scene.run("--expect crc32c:00000000 source copy").code(4);
        if spoil {
            let part = std::fs::File::options().write(true).open(scene.path("copy.pcopy-part"));
            positioned_io::WriteAt::write_all_at(&mut part.unwrap(), SPOILT, b"spoilt").unwrap();
        }
        let ended = scene.run(&format!("--resume --expect md5:{digest} -t 4 source copy"));
        // Where extents are shared, they are shared anew, also over what was spoilt.
        if spoil && !ended.status.success() {
            ended.code(4);
            assert!(!scene.has("copy"));
            continue;
        }
        ended.code(0);
        assert_same(&scene.read("copy"), &source, "the copy");
        std::fs::remove_file(scene.path("copy")).unwrap();
    }
}
