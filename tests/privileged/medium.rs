//! Verification reads the medium: what the page cache says makes no difference.

use std::fs::File;
use std::path::Path;
use std::process::Command;

use positioned_io::WriteAt;

use crate::common::{Scene, assert_same, pattern};
use crate::devices::{BAD_DEVICE_TOOLS, BadDevice, Loop, Mount, possible, tool};
use crate::disks::Served;

const LEN: usize = 4 << 20;

/// A file system on a loop device, and the file below it.
fn disk(scene: &Scene) -> Loop {
    let image = scene.path("image");
    File::create(&image).unwrap().set_len(32 << 20).unwrap();
    tool("mkfs.ext4", &["-q", "-F", "-m", "0", image.to_str().unwrap()]);
    Loop::new(&image, 512)
}

/// Bytes that have been read from the device so far, as the kernel counts them.
fn bytes_read(device: &Loop) -> u64 {
    let name = Path::new(&device.path).file_name().unwrap().to_str().unwrap();
    let stat = std::fs::read_to_string(format!("/sys/block/{name}/stat")).unwrap();
    stat.split_whitespace().nth(2).unwrap().parse::<u64>().unwrap() * 512
}

#[test]
fn the_destination_is_read_from_the_medium() {
    if !possible(&["mkfs.ext4"]) {
        return;
    }
    let scene = Scene::new();
    let source = scene.source("source", LEN);
    let device = disk(&scene);
    let _mount = Mount::new(&scene, "mounted", &[&device.path]);
    for (line, code) in
        [("--verify --json source mounted/copy", 0), ("verify --json -t 3 source mounted/copy", 0)]
    {
        let before = bytes_read(&device);
        let report = scene.run(line).code(code).report();
        let read = bytes_read(&device) - before;
        assert_eq!(report["verified_by"], "direct", "{line}");
        assert!(read >= LEN as u64, "{line}: {read} bytes were read from the device");
        assert_same(&scene.read("mounted/copy"), &source, "what the page cache holds");
    }
}

#[test]
fn a_bit_that_flips_on_the_medium_is_found_although_the_cache_has_it_right() {
    if !possible(&["mkfs.ext4"]) {
        return;
    }
    let scene = Scene::new();
    let source = scene.source("source", LEN);
    let device = disk(&scene);
    let _mount = Mount::new(&scene, "mounted", &[&device.path]);
    scene.run("source mounted/copy").code(0);
    assert_same(&scene.read("mounted/copy"), &source, "the copy, now in the page cache");

    // Every word of the pattern is found once: where block 300 lies on the disk.
    let (block, at) = (300 * 4096, 300 * 4096 + 1000);
    let image = scene.read("image");
    let place = image.windows(64).position(|bytes| *bytes == source[block..block + 64]).unwrap();
    let mut file = File::options().write(true).open(scene.path("image")).unwrap();
    file.write_all_at(place as u64 + 1000, &[source[at] ^ 4]).unwrap();

    assert_same(&scene.read("mounted/copy"), &source, "the page cache does not know");
    let sector = at / 512 * 512;
    let ended = scene.run("verify source mounted/copy").code(4);
    assert_eq!(ended.out(), format!("{sector}..{}\n", sector + 512));
}

/// What a device does with a write that touches `PLACE`.
enum Fault {
    /// It confirms it and keeps what it had.
    Stale,
    /// It stores it, and a bit of it flips.
    Flip,
}

/// The first byte that is not kept back to be written last.
const PLACE: usize = 1 << 20;

/// A file that behaves like a device with `fault`: its bytes are in `medium`.
fn faulty(scene: &Scene, fault: &Fault) -> Served {
    let medium = scene.path("medium");
    let medium = medium.display();
    let store = format!("dd of={medium} bs=64K oflag=seek_bytes seek=$4 conv=notrunc status=none");
    let touches = format!("[ $4 -le {PLACE} ] && [ {PLACE} -lt $(($4 + $3)) ]");
    let flip = format!("printf x | dd of={medium} bs=1 seek={PLACE} conv=notrunc status=none");
    let write = match fault {
        Fault::Stale => format!("if {touches}; then cat > /dev/null; else {store}; fi"),
        Fault::Flip => format!("{store}; if {touches}; then {flip}; fi"),
    };
    let flags = "iflag=skip_bytes,count_bytes,fullblock status=none";
    let words = [
        "eval".to_owned(),
        format!("get_size=echo {LEN}"),
        format!("pread=dd if={medium} bs=64K skip=$4 count=$3 {flags}"),
        format!("pwrite={write}"),
        "can_write=exit 0".to_owned(),
        "can_flush=exit 0".to_owned(),
        "flush=exit 0".to_owned(),
    ];
    Served::new(scene, "served", false, words)
}

#[test]
fn a_device_that_keeps_other_bytes_than_it_confirmed_is_found_out() {
    if !possible(BAD_DEVICE_TOOLS) {
        return;
    }
    let evaluates = || Command::new("nbdkit").args(["--dump-plugin", "eval"]).output();
    if !evaluates().is_ok_and(|output| output.status.success()) {
        return crate::common::skip("needs the plugin eval of nbdkit");
    }
    for fault in [Fault::Stale, Fault::Flip] {
        let scene = Scene::new();
        scene.source("source", LEN);
        scene.write("medium", &pattern(7, LEN));
        let served = faulty(&scene, &fault);
        let device = Loop::with(&served.file(), &["--direct-io=on"]);
        for options in ["--engine positioned", "--engine direct", "--repair"] {
            let line = format!("--to-device --restart --verify --json {options} source");
            let ended = scene.run(&format!("{line} {}", device.path)).code(4);
            let found = &ended.report()["mismatches"];
            let (start, end) = (found[0]["start"].as_u64(), found[0]["end"].as_u64());
            let place = Some(PLACE as u64);
            assert!(start <= place && place < end, "{options}: {found}");
            assert_eq!(found.as_array().map(Vec::len), Some(1), "{options}: {found}");
            let medium = scene.read("medium");
            assert_same(&medium[..PLACE], &pattern(7, LEN)[..PLACE], "nothing tells of the rest");
        }
    }
}

#[test]
fn a_range_of_a_device_in_a_stream_is_the_carved_file() {
    if !possible(&["sha256sum"]) {
        return;
    }
    let scene = Scene::new();
    scene.source("image", LEN);
    let device = Loop::new(&scene.path("image"), 512);
    for range in ["1000..3000001", "63s+2048s", "-4097"] {
        scene.run(&format!("-r {range} -f {} carved", device.path)).code(0);
        let carved = scene.read("carved");
        for threads in ["1", "4"] {
            let stream = scene.run(&format!("-r {range} -t {threads} {} -", device.path)).code(0);
            assert_same(&stream.stdout, &carved, range);
        }
    }
}

#[test]
fn a_stream_ends_at_what_cannot_be_read_and_holds_everything_before() {
    if !possible(BAD_DEVICE_TOOLS) {
        return;
    }
    let scene = Scene::new();
    let source = scene.source("image", LEN);
    let bad = 1001 * 512;
    let device = BadDevice::new(&scene, &scene.path("image"), &[(bad, bad + 512)]);
    for threads in ["1", "4"] {
        let options = format!("--retries 0 -t {threads} --io-size 4096");
        let ended = scene.run(&format!("{options} {} -", device.device.path)).code(5);
        let ended = ended.says(&["cannot read bytes", "512512"]);
        assert_same(&ended.stdout, &source[..1001 * 512], threads);
    }
}
