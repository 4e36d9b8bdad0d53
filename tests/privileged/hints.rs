//! What a message advises about devices is done by a shell, and ends well or
//! leads on; and what a device says of itself is text.

use rustix::process::Signal;

use crate::common::{Scene, advised, assert_same, follow, pattern};
use crate::devices::{BAD_DEVICE_TOOLS, BadDevice, Loop, possible};

const SIZE: usize = 4 << 20;

/// Copies a device with a bad sector by `line`, in which `DEV` is the device,
/// and does what is advised: everything but the sector is there.
#[track_caller]
fn check(line: &str) {
    let scene = Scene::new();
    let image = scene.source("image", SIZE);
    let device = BadDevice::new(&scene, &scene.path("image"), &[(1 << 20, (1 << 20) + 4096)]);
    if line.contains("--in-place") || line.contains("--force") {
        scene.write("copy", &pattern(2, SIZE));
    }
    scene.write("list.csv", b"name,start,len\ncopy,0,4MiB\n");
    let line = line.replace("DEV", &device.device.path);
    let ended = scene.run(&line);
    if ended.status.code() == Some(3) {
        return crate::common::skip(&format!("{line}: {}", ended.stderr));
    }
    let ended = ended.code(1);
    let command = advised(&ended.stderr).unwrap_or_else(|| panic!("{line}: {}", ended.stderr));
    // The sector is still bad.
    scene.tool("bash", ["-c", &command]).run().code(1).says(&["could not be read"]);
    let copy = scene.read("copy");
    assert_same(&copy[..1 << 20], &image[..1 << 20], &line);
    assert_same(&copy[(1 << 20) + 4096..], &image[(1 << 20) + 4096..], &line);
}

#[test]
fn after_a_bad_sector_whatever_the_engine() {
    if !possible(BAD_DEVICE_TOOLS) {
        return;
    }
    for options in [
        "",
        "--engine mmap",
        "--engine=mmap",
        "--engine direct",
        "--engine positioned",
        "--engine splice",
        "--in-place",
        "--force",
        "--map m",
        "-t 1 --on-read-error record",
    ] {
        check(&format!("--retries 0 {options} DEV copy"));
    }
}

#[test]
fn after_a_bad_sector_in_a_batch() {
    if !possible(BAD_DEVICE_TOOLS) {
        return;
    }
    let scene = Scene::new();
    let image = scene.source("image", SIZE);
    let device = BadDevice::new(&scene, &scene.path("image"), &[(1 << 20, (1 << 20) + 4096)]);
    scene.write("list.csv", b"name,start,len\ngood,0,1MiB\nbad,1MiB,1MiB\n");
    for options in ["", "--engine mmap", "--engine positioned"] {
        let into = format!("o{}", options.len());
        let path = &device.device.path;
        let line = format!("batch --retries 0 {options} list.csv --source {path} --into {into}");
        let ended = scene.run(&line);
        if ended.status.code() == Some(3) {
            crate::common::skip(&format!("{line}: {}", ended.stderr));
            continue;
        }
        let ended = ended.code(1);
        let command = advised(&ended.stderr).unwrap_or_else(|| panic!("{line}: {}", ended.stderr));
        let ended = scene.tool("bash", ["-c", &command]).run().code(1);
        let ended = ended.says(&["there already", "unreadable"]);
        assert!(advised(&ended.stderr).is_some(), "{}", ended.stderr);
        let bad = scene.read(format!("{into}/bad"));
        assert_same(&bad[4096..], &image[(1 << 20) + 4096..2 << 20], &line);
    }
}

#[test]
fn after_an_interrupted_copy_to_a_device() {
    if !possible(&[]) {
        return;
    }
    let scene = Scene::new();
    let bytes = scene.source("source", SIZE);
    scene.write("disk", &vec![0; SIZE]);
    let device = Loop::new(&scene.path("disk"), 512);
    let line = format!(
        "--to-device --limit-rate 2MiB --io-size 64KiB --checkpoint-every 0 --progress json source {}",
        device.path
    );
    let mut running = scene.pcopy(line.split(' ')).start();
    running.wait_until_copying();
    running.signal(Signal::INT);
    let ended = running.end().died_by(Signal::INT);
    follow(&scene, ended, "to a device");
    assert_same(&scene.read(&device.path), &bytes, "the device");
}

/// A loop device is described by the file below it, whose name anybody chooses.
#[test]
fn what_a_device_says_of_itself_is_text() {
    if !possible(&[]) {
        return;
    }
    let scene = Scene::new();
    scene.source("source", 4096);
    let name = "disk\u{1b}[2J\u{9b}31m\u{202e}\u{7f}";
    scene.write(name, &vec![0; SIZE]);
    let device = Loop::new(&scene.path(name), 512);
    for line in [
        format!("source {}", device.path),
        "devices".to_owned(),
        "devices --json".to_owned(),
        format!("-v --to-device source {}", device.path),
        format!("-v --to-device -n source {}", device.path),
        format!("--json --progress json --to-device source {}", device.path),
        format!("-v -n {} copy", device.path),
    ] {
        let ended = scene.run(&line);
        let said = ended.stderr.clone() + &ended.out();
        let bad = said.chars().find(|&c| c != '\n' && !pcopy::error::is_shown(c));
        assert_eq!(bad, None, "{line}: {said:?}");
    }
}
