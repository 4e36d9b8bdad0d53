//! What comes by a pipe, onto block devices.

use std::io::Write;
use std::process::{Output, Stdio};

use crate::common::{Scene, assert_same, pattern};
use crate::devices::{Loop, possible};

const SIZE: usize = 4 << 20;

/// Runs `line` with `input` on standard input, whether it reads all of it or not.
#[track_caller]
fn fed(scene: &Scene, line: &str, input: &[u8], code: i32) -> Output {
    let mut command = scene.pcopy(line.split_whitespace()).command;
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("it starts");
    let mut pipe = child.stdin.take().expect("stdin is a pipe");
    let input = input.to_vec();
    let writer = std::thread::spawn(move || pipe.write_all(&input));
    let output = child.wait_with_output().expect("a child can be waited for");
    let _ = writer.join().expect("the writer does not panic");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{line}\n{stderr}");
    output
}

#[test]
fn a_stream_onto_a_device_is_verified_and_touches_nothing_else() {
    if !possible(&[]) {
        return;
    }
    for sector in [512, 4096] {
        for (at, len) in [(0, SIZE), (0, 1), (333, 1_234_567), (1 << 20, 4097), (SIZE - 1, 1)] {
            let scene = Scene::new();
            let (bytes, mut expected) = (pattern(1, len), pattern(2, SIZE));
            scene.write("image", &expected);
            let device = Loop::new(&scene.path("image"), sector);
            let line =
                format!("--to-device --verify --json -t 3 --dest-offset {at} - {}", device.path);
            let output = fed(&scene, &line, &bytes, 0);
            let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
            assert_eq!(report["verified"], true, "{line}: {report}");
            device.flush();
            expected[at..at + len].copy_from_slice(&bytes);
            assert_same(&scene.read("image"), &expected, &line);
        }
    }
}

#[test]
fn a_stream_that_ends_early_says_what_is_on_the_device() {
    if !possible(&[]) {
        return;
    }
    let scene = Scene::new();
    let before = pattern(2, SIZE);
    scene.write("image", &before);
    let device = Loop::new(&scene.path("image"), 512);
    let line = format!("--to-device --length 5000 - {}", device.path);
    let output = fed(&scene, &line, &pattern(1, 3893), 5);
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("nothing was written to '/dev/loop"), "{text}");
    device.flush();
    assert_same(&scene.read("image"), &before, "as it was");
}

#[test]
fn a_stream_that_is_longer_than_the_device_fails_at_the_byte_without_room() {
    if !possible(&[]) {
        return;
    }
    let scene = Scene::new();
    let (bytes, before) = (pattern(1, 2 * SIZE), pattern(2, SIZE));
    scene.write("image", &before);
    let device = Loop::new(&scene.path("image"), 512);
    // What is known before is refused before.
    let line = format!("--to-device --length {} - {}", SIZE + 1, device.path);
    fed(&scene, &line, &bytes, 3);
    device.flush();
    assert_same(&scene.read("image"), &before, "nothing was written");

    let output = fed(&scene, &format!("--to-device - {}", device.path), &bytes, 5);
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains(&format!("cannot write bytes {SIZE}..")), "{text}");
    assert!(text.contains(&format!("the device ends there: it has {SIZE} bytes")), "{text}");
    let written = format!("{} bytes of the copy are in ", SIZE - (1 << 20));
    assert!(text.contains(&written) && text.contains("its first 1048576 were not"), "{text}");
    device.flush();
    let head = 1 << 20;
    let found = scene.read("image");
    assert_same(&found[..head], &before[..head], "the partition table stays as it was");
    assert_same(&found[head..], &bytes[head..SIZE], "all that there is room for");

    // Of two devices, the one with room is written.
    scene.write("larger", &pattern(2, 3 * SIZE));
    let larger = Loop::new(&scene.path("larger"), 512);
    let line = format!("--to-device --also {} - {}", larger.path, device.path);
    let output = fed(&scene, &line, &bytes, 5);
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("the device ends there"), "{text}");
    larger.flush();
    assert_same(&scene.read("larger")[..2 * SIZE], &bytes, "the larger device");
}
