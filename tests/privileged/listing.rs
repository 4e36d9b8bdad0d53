//! `pcopy devices` on devices whose properties are known.

use serde_json::Value;

use crate::common::Scene;
use crate::devices::{Loop, Mount, possible, tool};

fn entry(scene: &Scene, path: &str) -> Value {
    let list = scene.run("devices --json").code(0).report();
    let devices = list["devices"].as_array().expect("a list");
    let found = devices.iter().find(|device| device["path"] == path);
    found.unwrap_or_else(|| panic!("{path} in {list}")).clone()
}

#[test]
fn a_device_is_listed_with_what_it_is_and_where_it_is_mounted() {
    if !possible(&["mkfs.ext4"]) {
        return;
    }
    let scene = Scene::new();
    let image = scene.path("image");
    std::fs::File::create(&image).and_then(|file| file.set_len(16 << 20)).expect("an image");
    let device = Loop::new(&image, 4096);

    let before = entry(&scene, &device.path);
    assert_eq!(before["size"], 16 << 20, "{before}");
    assert_eq!(before["logical_sector"], 4096, "{before}");
    assert_eq!(before["read_only"], false, "{before}");
    assert!(before["model"].as_str().expect("a model").contains("image"), "{before}");
    assert_eq!(before["mounted"].as_array().map(Vec::len), Some(0), "{before}");

    tool("mkfs.ext4", &["-q", &device.path]);
    let mount = Mount::new(&scene, "mounted here", &[&device.path]);
    let mounted = entry(&scene, &device.path);
    assert_eq!(mounted["mounted"][0], mount.folder.to_str().expect("a plain name"), "{mounted}");
    let table = scene.run("devices").code(0).out();
    let line = table.lines().find(|line| line.starts_with(&device.path)).expect("a line");
    assert!(line.contains("16 MiB") && line.contains("mounted here"), "{line}");
}

#[test]
fn a_read_only_device_says_so() {
    if !possible(&[]) {
        return;
    }
    let scene = Scene::new();
    scene.source("image", 1 << 20);
    let device = Loop::read_only(&scene.path("image"));
    assert_eq!(entry(&scene, &device.path)["read_only"], true);
}
