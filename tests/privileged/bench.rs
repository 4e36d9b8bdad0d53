//! `pcopy bench` onto a device: only with consent, which is also what the
//! command has that it recommends.

use crate::common::{Scene, assert_same, pattern};
use crate::devices::{Loop, possible};

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
