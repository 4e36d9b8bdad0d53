//! Every engine on every file system, with sectors of both sizes, and onto
//! devices; and which file systems share extents.

use crate::common::{Scene, assert_same, pattern};
use crate::devices::{Loop, Mount, possible, tool};

const ENGINES: [&str; 6] = ["auto", "positioned", "direct", "offload", "mmap", "splice"];

/// Ranges with even and odd edges of a source of `LEN` bytes.
const RANGES: [(usize, usize); 5] =
    [(0, LEN), (4096, LEN - 5), (513, 3_000_001), (LEN - 1, LEN), (7, 7)];
const LEN: usize = 5_000_013;

/// A file system of `kind` on a disk with sectors of `sector` bytes.
pub fn made(scene: &Scene, kind: &str, sector: u32) -> (Mount, Loop) {
    let image = scene.path("image");
    std::fs::File::create(&image).unwrap().set_len(400 << 20).unwrap();
    let device = Loop::with(&image, &["--sector-size", &sector.to_string(), "--direct-io=on"]);
    tool(&format!("mkfs.{kind}"), &["-q", &device.path]);
    (Mount::new(scene, "mounted", &[&device.path]), device)
}

/// Engines that cannot serve a new file on `kind`: asked by name, they refuse.
fn refused(kind: &str) -> &'static [&'static str] {
    match kind {
        "btrfs" => &["mmap"],
        "tmpfs" => &["direct"],
        _ => &[],
    }
}

fn check_every_engine(scene: &Scene, what: &str, refused: &[&str]) {
    let source = pattern(1, LEN);
    scene.write("mounted/source", &source);
    for engine in ENGINES {
        for (start, end) in RANGES {
            let line = format!(
                "--engine {engine} -r {start}..{end} -t 3 --stripe-size 1MiB --json \
                 mounted/source mounted/copy"
            );
            if refused.contains(&engine) {
                scene.run(&line).code(3);
                continue;
            }
            let report = scene.run(&line).code(0).report();
            assert_eq!(report["fallbacks"], serde_json::json!([]), "{what} {line}");
            assert_same(
                &scene.read("mounted/copy"),
                &source[start..end],
                &format!("{what} {line}"),
            );
            let before = vec![0xa5; LEN];
            scene.write("mounted/copy", &before);
            if engine != "mmap" {
                check_in_place(scene, &line, &before, &source[start..end]);
            }
            std::fs::remove_file(scene.path("mounted/copy")).unwrap();
        }
    }
}

/// The same range into an existing file, 4099 bytes from its start.
fn check_in_place(scene: &Scene, line: &str, before: &[u8], part: &[u8]) {
    let line = format!("--in-place --dest-offset 4099 {line}");
    scene.run(&line).code(0);
    let mut expected = before.to_vec();
    expected.resize(before.len().max(4099 + part.len()), 0);
    expected[4099..4099 + part.len()].copy_from_slice(part);
    assert_same(&scene.read("mounted/copy"), &expected, &line);
}

#[test]
fn every_engine_copies_on_every_file_system_with_every_sector() {
    for kind in ["ext4", "xfs", "btrfs"] {
        for sector in [512, 4096] {
            if !possible(&[&format!("mkfs.{kind}")]) {
                continue;
            }
            let scene = Scene::new();
            let _mounted = made(&scene, kind, sector);
            check_every_engine(&scene, &format!("{kind}, sectors of {sector}:"), refused(kind));
        }
    }
}

#[test]
fn every_engine_copies_in_memory() {
    if !possible(&[]) {
        return;
    }
    let scene = Scene::new();
    let _mount = Mount::new(&scene, "mounted", &["-t", "tmpfs", "-o", "size=64m", "none"]);
    check_every_engine(&scene, "tmpfs:", refused("tmpfs"));
}

/// Devices have whole sectors, files on them need not.
#[test]
fn engines_that_can_write_a_device_write_it_from_a_device() {
    if !possible(&[]) {
        return;
    }
    for sector in [512, 4096] {
        for engine in ["auto", "positioned", "direct", "splice"] {
            for (start, to) in [(0, 0), (4096, 8192), (512 * 9, 512), (1001, 77)] {
                let scene = Scene::new();
                let source = scene.source("from", 4 << 20);
                let before = pattern(2, 8 << 20);
                scene.write("to", &before);
                let (from, into) =
                    (Loop::new(&scene.path("from"), 512), Loop::new(&scene.path("to"), sector));
                let line = format!(
                    "--engine {engine} -r {start}..{} --dest-offset {to} --to-device -t 3 {} {}",
                    source.len() - 3,
                    from.path,
                    into.path
                );
                scene.run(&line).code(0);
                into.flush();
                let part = &source[start..source.len() - 3];
                let mut expected = before;
                expected[to..to + part.len()].copy_from_slice(part);
                assert_same(&scene.read("to"), &expected, &format!("sectors of {sector}: {line}"));
            }
        }
    }
}

#[test]
fn holes_of_a_file_become_zeros_of_a_device() {
    if !possible(&[]) {
        return;
    }
    for sparse in ["auto", "always", "never"] {
        let scene = Scene::new();
        std::fs::File::create(scene.path("source")).unwrap().set_len(3 << 20).unwrap();
        let data = "if=/dev/urandom of=source bs=64k count=2 seek=9 conv=notrunc status=none";
        scene.tool("dd", data.split(' ')).run().code(0);
        scene.write("to", &pattern(2, 4 << 20));
        let device = Loop::new(&scene.path("to"), 512);
        let line = format!("--to-device --sparse {sparse} source {}", device.path);
        scene.run(&line).code(0);
        device.flush();
        let mut expected = scene.read("source");
        expected.extend_from_slice(&pattern(2, 4 << 20)[3 << 20..]);
        assert_same(&scene.read("to"), &expected, &line);
    }
}

/// What shares storage needs none of its own: no room is not a reason to refuse.
#[test]
fn a_file_is_shared_on_a_disk_without_room_for_another() {
    if !possible(&["mkfs.xfs"]) {
        return;
    }
    let scene = Scene::new();
    let _mounted = made(&scene, "xfs", 512);
    let free = || {
        let said = tool("df", &["--output=avail", "-B1", scene.path("mounted").to_str().unwrap()]);
        said.lines().last().and_then(|line| line.trim().parse::<u64>().ok()).expect("a number")
    };
    let len = (free() / 3 * 2) & !0xfff;
    scene.tool("sh", ["-c", &format!("head -c {len} /dev/zero > mounted/source")]).run().code(0);
    assert!(free() < len, "there is room for another");
    scene.run("--reflink never mounted/source mounted/copy").code(3).says(&["not enough space"]);
    scene.run("--reflink always mounted/source mounted/copy").code(0);
    assert_eq!(scene.path("mounted/copy").metadata().expect("it is there").len(), len);
}

#[test]
fn extents_are_shared_where_they_can_be_and_only_if_allowed() {
    for kind in ["xfs", "btrfs"] {
        if !possible(&[&format!("mkfs.{kind}")]) {
            continue;
        }
        let scene = Scene::new();
        let _mounted = made(&scene, kind, 512);
        let source = pattern(1, LEN);
        scene.write("mounted/source", &source);
        let check = |options: &str, shares: bool| {
            let line = format!("{options} --json mounted/source mounted/copy");
            let report = scene.run(&line).code(0).report();
            let said = report["notes"].to_string().contains("share the storage");
            assert_eq!(said, shares, "{kind} {options}: {report}");
            scene.tool("rm", ["mounted/copy"]).run().code(0);
        };
        check("", true);
        check("--reflink always", true);
        check("-r 4096..", true);
        check("-r 1..", false);
        check("--reflink never", false);
        check("--sparse never", false);
        check("--sparse always", false);
        check("--reflink always -r 7..7", false);
        scene.write("mounted/empty", b"");
        scene.run("--reflink always mounted/empty mounted/nothing").code(0);
        assert_eq!(scene.read("mounted/nothing"), b"", "{kind}");
        check_digests_of_shared(&scene, kind, &source);
        if kind == "btrfs" {
            // Each has the number of a device of its own.
            let volume = scene.path("mounted/volume");
            tool("btrfs", &["-q", "subvolume", "create", volume.to_str().unwrap()]);
            let line = "--json mounted/source mounted/volume/copy";
            let report = scene.run(line).code(0).report();
            assert!(report["notes"].to_string().contains("share the storage"), "{report}");
            assert_same(&scene.read("mounted/volume/copy"), &source, line);
        }
        scene.run("--reflink always -r 1.. mounted/source mounted/copy").code(3).says(&["extents"]);
        scene.run("--reflink always mounted/source elsewhere").code(3);
        assert!(!scene.has("mounted/copy.pcopy-part") && !scene.has("elsewhere.pcopy-part"));
    }
}

/// A digest needs every byte, and none of them to be written.
fn check_digests_of_shared(scene: &Scene, kind: &str, source: &[u8]) {
    let digests = "--digest sha256 --digest blake3 --digest crc32c";
    for (options, start) in [
        ("-t 1", 0),
        ("-t 3 --io-size 4096 --reflink always", 0),
        ("--verify", 4096),
        ("--dest-offset 4196", 100),
        ("-t 3", LEN),
    ] {
        let line = format!("{options} -r {start}.. {digests} --json mounted/source");
        let report = scene.run(&format!("{line} mounted/copy")).code(0).report();
        let said = report["notes"].to_string().contains("share the storage");
        assert_eq!(said, start < LEN, "{kind} {options}: {report}");
        let sum = format!("tail -c +{} mounted/source | sha256sum", start + 1);
        let sum = scene.tool("sh", ["-c", &sum]).run().out();
        assert_eq!(report["digests"]["sha256"].as_str(), sum.split(' ').next(), "{kind} {options}");
        let offset = if options.contains("dest-offset") { 4196 } else { 0 };
        let copy = scene.read("mounted/copy");
        assert_same(&copy[offset..], &source[start..], &format!("{kind} {options}"));
        scene.tool("rm", ["mounted/copy"]).run().code(0);
    }
}

/// Found out before anything is written.
#[test]
fn a_file_system_that_reserves_nothing_is_not_mapped() {
    if !possible(&["mkfs.ext2"]) {
        return;
    }
    let scene = Scene::new();
    let image = scene.path("image");
    std::fs::File::create(&image).unwrap().set_len(32 << 20).unwrap();
    tool("mkfs.ext2", &["-q", image.to_str().unwrap()]);
    let device = Loop::new(&image, 512);
    let _mount = Mount::new(&scene, "mounted", &[&device.path]);
    let bytes = scene.source("source", 1_000_001);
    let refused = scene.run("--engine mmap source mounted/copy").code(3);
    refused.says(&["mmap", "reserving space"]);
    assert!(!scene.has("mounted/copy") && !scene.has("mounted/copy.pcopy-part"));
    for engine in ["auto", "positioned", "direct", "splice"] {
        scene.run(&format!("-f --engine {engine} source mounted/copy")).code(0);
        assert_same(&scene.read("mounted/copy"), &bytes, engine);
    }
}
