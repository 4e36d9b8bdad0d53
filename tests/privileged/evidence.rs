//! The log of a drive, and drives that are not protected.

use serde_json::Value;

use crate::common::schemas::check;
use crate::common::{Scene, has_tools, pattern};
use crate::devices::{BAD_DEVICE_TOOLS, BadDevice, Loop, Mount, possible, tool};

#[track_caller]
fn log(scene: &Scene, name: &str) -> Value {
    let log: Value = serde_json::from_slice(&scene.read(format!("{name}.json"))).expect("JSON");
    check("evidence", &log);
    check("report", &log["report"]);
    log
}

#[test]
fn a_drive_is_in_its_log_with_what_is_known_and_what_is_not() {
    if !possible(&[]) {
        return;
    }
    let scene = Scene::new();
    let image = scene.source("image", 1 << 20);
    let device = Loop::read_only(&scene.path("image"));
    let line = format!("--require-read-only --log log --digest sha256 {} copy", device.path);
    scene.run(&line).code(0);
    assert_eq!(scene.read("copy"), image);
    let log = log(&scene, "log");
    let drive = &log["drive"];
    assert_eq!(drive["device"]["path"], device.path.as_str(), "{log}");
    assert_eq!(drive["device"]["size"], 1 << 20);
    assert!(drive["device"]["model"].as_str().is_some_and(|model| model.contains("image")));
    assert!(drive["disk"].is_null() && drive["device"]["firmware"].is_null(), "{log}");
    assert_eq!(log["protection"]["read_only"], true, "{log}");
    // A loop device has neither, whether the programs are there or not.
    for why in ["/smart", "/hidden/hpa", "/hidden/dco"] {
        let found = &drive.pointer(why).expect("it is there");
        assert!(found["why_not"].is_string(), "{why}: {log}");
    }
    let text = String::from_utf8(scene.read("log")).expect("text");
    for line in ["SMART:                not determined: ", "HPA:                  not determined: "]
    {
        assert!(text.contains(line), "{line} in {text}");
    }
    assert!(text.contains("no program could write to it"), "{text}");
}

/// What smartctl itself says of a loop device stands in the log.
#[test]
fn programs_that_are_installed_are_asked() {
    if !possible(&["smartctl", "hdparm"]) {
        return;
    }
    let scene = Scene::new();
    scene.source("image", 1 << 20);
    let device = Loop::new(&scene.path("image"), 512);
    scene.run(&format!("--log log {} copy", device.path)).code(0);
    let log = log(&scene, "log");
    let smart = &log["drive"]["smart"];
    assert!(smart["by"].as_str().is_some_and(|by| by.starts_with("smartctl ")), "{log}");
    let why = smart["why_not"].as_str().expect("a reason");
    assert!(why.contains(&device.path), "{why}");
    // And where there are none, the copy is made even so.
    let mut run = scene.pcopy(["--log", "without", &device.path, "copy2"]);
    std::fs::create_dir(scene.path("empty")).expect("a folder");
    run.command.env("PATH", scene.path("empty"));
    run.run().code(0);
}

#[test]
fn a_device_that_could_be_written_is_refused() {
    if !possible(&["mkfs.ext4", "sfdisk", "partx"]) {
        return;
    }
    let scene = Scene::new();
    let image = scene.path("image");
    std::fs::File::create(&image).and_then(|file| file.set_len(32 << 20)).expect("an image");
    let device = Loop::new(&image, 512);
    let line = |name: &str, copy: &str| format!("--require-read-only --json {name} {copy}");
    let refused = scene.run(&line(&device.path, "copy")).code(3).says(&["blockdev --setro"]);
    assert_eq!(refused.report()["error_kind"], "unprotected");

    // A partition that is protected itself, of a disk that is not.
    tool("sh", &["-c", &format!("echo 2048,8192 | sfdisk -q {}", device.path)]);
    tool("partx", &["--update", &device.path]);
    let part = format!("{}p1", device.path);
    tool("blockdev", &["--setro", &part]);
    scene.run(&line(&part, "copy")).code(3).says(&["its disk", &device.path]);
    tool("blockdev", &["--setrw", &part]);
    tool("mkfs.ext4", &["-q", &part]);
    {
        let mount = Mount::new(&scene, "mounted here", &[&part]);
        // The flag does not stop a mount that was there before.
        tool("blockdev", &["--setro", &device.path]);
        let place = mount.folder.to_str().expect("a plain name");
        scene.run(&line(&device.path, "copy")).code(3).says(&["in use", place, "umount"]);
    }
    tool("blockdev", &["--setro", &device.path]);
    scene.run(&line(&device.path, "copy")).code(0);
    scene.run(&line(&part, "part")).code(0);
}

#[test]
fn a_log_on_the_drive_that_is_read_is_refused() {
    if !possible(&["mkfs.ext4"]) {
        return;
    }
    let scene = Scene::new();
    let image = scene.path("image");
    std::fs::File::create(&image).and_then(|file| file.set_len(16 << 20)).expect("an image");
    let device = Loop::new(&image, 512);
    tool("mkfs.ext4", &["-q", &device.path]);
    let mount = Mount::new(&scene, "mounted", &[&device.path]);
    let line = format!("--log mounted/log -r 0..4096 {} copy", device.path);
    scene.run(&line).code(3).says(&["lies on the device being read"]);
    assert!(!mount.folder.join("log").exists() && !scene.has("copy"));
}

/// Ranges that cannot be read, how they were filled, and what the verdict says.
#[test]
fn unreadable_sectors_and_their_filling_are_in_the_log() {
    if !possible(BAD_DEVICE_TOOLS) {
        return;
    }
    let scene = Scene::new();
    let image = pattern(7, 1 << 20);
    scene.write("image", &image);
    let bad = [(65_536, 66_048), (500_224, 501_248)];
    let device = BadDevice::new(&scene, &scene.path("image"), &bad);
    let line = format!(
        "--log log --digest md5 --digest-every 64KiB --retries 0 {} copy",
        device.device.path
    );
    scene.run(&line).code(1);
    let log = log(&scene, "log");
    assert_eq!(log["fill"], "zeros", "{log}");
    let failed = log["report"]["failed"].as_array().expect("ranges");
    let bytes: u64 = failed
        .iter()
        .map(|part| part["end"].as_u64().unwrap_or(0) - part["start"].as_u64().unwrap_or(0))
        .sum();
    assert_eq!(bytes, 512 + 1024, "{log}");
    assert!(log["verdict"].as_str().is_some_and(|text| text.starts_with("PARTIAL: 1536 bytes")));
    let copy = scene.read("copy");
    assert!(copy[65_536..66_048].iter().all(|byte| *byte == 0));
    let text = String::from_utf8(scene.read("log")).expect("text");
    assert!(
        text.contains("zeros (holes in a new file)") && text.contains("65536..66048"),
        "{text}"
    );
    assert!(text.contains("no digest: some bytes could not be read"), "{text}");
    // Pieces without a bad sector have their digests.
    let pieces = log["report"]["pieces"].as_array().expect("pieces");
    let with = pieces.iter().filter(|piece| !piece["digests"].as_object().unwrap().is_empty());
    assert_eq!((pieces.len(), with.count()), (16, 14), "{log}");

    // In place nothing is filled in.
    scene.write("other", &vec![7; 1 << 20]);
    let line = format!("--log inplace --retries 0 --in-place {} other", device.device.path);
    scene.run(&line).code(1);
    let inplace = self::log(&scene, "inplace");
    assert_eq!(inplace["fill"], "unchanged", "{inplace}");
    assert!(scene.read("other")[65_536..66_048].iter().all(|byte| *byte == 7));
}

/// A clone: the drive that is written is in the log as well.
#[test]
fn a_clone_has_both_drives_in_its_log() {
    if !possible(&[]) || !has_tools(&["cmp"]) {
        return;
    }
    let scene = Scene::new();
    scene.source("image", 2 << 20);
    scene.write("target", &vec![0; 2 << 20]);
    let (from, to) = (Loop::read_only(&scene.path("image")), Loop::new(&scene.path("target"), 512));
    scene.run(&format!("--log log --verify --to-device {} {}", from.path, to.path)).code(0);
    to.flush();
    let log = log(&scene, "log");
    assert_eq!(log["written"][0]["path"], to.path.as_str(), "{log}");
    assert!(log["verdict"].as_str().is_some_and(|text| text.contains("read back")), "{log}");
    let text = String::from_utf8(scene.read("log")).expect("text");
    assert_eq!(text.matches("Model:").count(), 2, "{text}");
}
