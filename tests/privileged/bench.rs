//! `pcopy bench` onto a device: only with consent, which is also what the
//! command has that it recommends.

use crate::common::{Scene, assert_same, pattern};
use crate::devices::{Loop, possible};
use crate::engines::made;

const LEN: usize = 1 << 20;

#[test]
fn a_device_is_measured_only_with_consent() {
    if !possible(&[]) {
        return;
    }
    let scene = Scene::new();
    let bytes = scene.source("source", LEN);
    let before = pattern(2, 2 * LEN);
    scene.write("to", &before);
    let device = Loop::new(&scene.path("to"), 512);
    let line = |options: &str, source: &str| {
        format!("bench --rounds 1 -t 1,2 --size 1MiB {options} {source} {}", device.path)
    };
    for source in ["source", "zero:"] {
        scene.run(&line("", source)).code(3).says(&["--to-device"]);
        device.flush();
        assert_same(&scene.read("to"), &before, "a device without consent");
    }
    let text = scene.run(&line("--to-device", "zero:")).code(0).out();
    assert!(text.contains(" --to-device SOURCE"), "{text}");
    device.flush();
    let zeros = [&vec![0; LEN], &before[LEN..]].concat();
    assert_same(&scene.read("to"), &zeros, "zeros, and nothing behind them");

    let text = scene.run(&line("--to-device", "source")).code(0).out();
    let (_, command) = text.split_once("  pcopy ").expect("a command is recommended");
    scene.run(command).code(0);
    device.flush();
    let expected = [&bytes, &before[LEN..]].concat();
    assert_same(&scene.read("to"), &expected, "the copy that was recommended");
    let source = format!("bench --rounds 1 -t 1 --size 1MiB {}", device.path);
    scene.run(&source).code(0);
}

/// A copy that is told nothing would be faster than anything that is measured.
#[test]
fn that_extents_could_be_shared_is_said() {
    for (kind, shares) in [("xfs", true), ("btrfs", true), ("ext4", false)] {
        if !possible(&[&format!("mkfs.{kind}")]) {
            continue;
        }
        let scene = Scene::new();
        let _file_system = made(&scene, kind, 512);
        scene.write("mounted/source", &pattern(1, LEN));
        let line = "bench --rounds 1 -t 1 --io-size 64KiB mounted/source mounted/copy";
        let text = scene.run(line).code(0).out();
        assert_eq!(text.contains("a copy shares extents here"), shares, "{kind}: {text}");
        assert!(text.contains("No extents were shared"), "{kind}: {text}");
        let report = scene.run(&format!("{line} --json")).code(0).report();
        let notes = report["notes"].to_string();
        assert_eq!(notes.contains("a copy shares extents here"), shares, "{kind}: {notes}");
        let text = scene.run(&line.replace("mounted/copy", "null:")).code(0).out();
        assert!(!text.contains("shares extents"), "{kind}: {text}");
    }
}
