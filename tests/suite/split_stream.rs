//! A stream that is split into files: nobody knows how many there will be.

use crate::common::{Ended, Scene, assert_same, pattern};

/// Runs `line` with `input` piped into it.
fn piped(scene: &Scene, line: &str, input: &[u8]) -> Ended {
    scene.pcopy(line.split_whitespace()).with_input(input)
}

/// The numbered files of `d`, one after the other, having looked at their lengths.
fn joined(scene: &Scene, size: usize) -> Vec<u8> {
    let mut names: Vec<_> =
        scene.names().into_iter().filter(|name| name.starts_with("d.")).collect();
    names.sort_by_key(|name| name[2..].parse::<u32>().expect("nothing but segments"));
    let pieces: Vec<_> = names.iter().map(|name| scene.read(name)).collect();
    for (number, (name, piece)) in names.iter().zip(&pieces).enumerate() {
        assert_eq!(*name, format!("d.{:03}", number + 1));
        let is_last = number + 1 == pieces.len();
        assert!(piece.len() == size || is_last && piece.len() < size, "{name}: {}", piece.len());
    }
    pieces.concat()
}

#[test]
fn it_ends_up_as_a_file_of_its_length_would() {
    for (len, size) in [(777_777, 100_000), (300_000, 100_000), (1, 100_000), (0, 100_000)] {
        for options in [
            "",
            "-t 3 --io-size 32KiB --stripe-size 64KiB --verify --digest sha256",
            "-t 2 --stripe-size 256KiB --sparse always --verify",
            "--no-sync --digest blake3",
        ] {
            let what = format!("{len} by {size} {options}");
            let (scene, mut bytes) = (Scene::new(), pattern(5, len));
            // Zeros over the edge of a segment, and up to the end.
            if len > 300_000 {
                bytes[150_000..420_000].fill(0);
                bytes[650_000..].fill(0);
            }
            let line = format!("--split {size} --json {options} - d");
            let report = piped(&scene, &line, &bytes).code(0).report();
            let found = joined(&scene, size);
            assert_same(&found, &bytes, &what);
            let segments = report["destination"]["segments"].as_array();
            let count = len.div_ceil(size).max(1);
            assert_eq!(segments.map(Vec::len), Some(count), "{what}: {report}");
            if options.contains("sha256") {
                scene.write("whole", &bytes);
                let of = scene.run("--json --digest sha256 whole null:").code(0).report();
                assert_eq!(report["digests"], of["digests"], "{what}");
            }
        }
    }
}

/// Each file has a digest of its own, also where nobody knew how many there would be.
#[test]
fn each_file_has_a_digest() {
    let (scene, bytes) = (Scene::new(), pattern(5, 2_500_000));
    scene.write("whole", &bytes);
    let options = "--digest md5 --digest blake3 --split 1000000";
    let of_stream = piped(&scene, &format!("{options} - d"), &bytes).code(0).out();
    for number in 1..=3 {
        std::fs::remove_file(scene.path(format!("d.00{number}"))).expect("it is there");
    }
    assert_eq!(of_stream.matches("d.00").count(), 6, "{of_stream}");
    let of_file = scene.run(&format!("{options} whole d")).code(0).out();
    assert_eq!(of_stream, of_file);
    let every = "--digest md5 --digest-every 1MiB";
    let of_stream = piped(&scene, &format!("{every} - e"), &bytes).code(0).out();
    assert_eq!(of_stream, scene.run(&format!("{every} -f whole e")).code(0).out());
    piped(&scene, "--digest md5 --digest-every 1000 - f", &bytes).code(2).says(&["at least"]);
}

#[test]
fn what_is_in_the_way_is_said_before_anything_comes() {
    let (scene, bytes) = (Scene::new(), pattern(5, 250_000));
    scene.write("d.002", b"mine");
    let line = "--split 100000 - d";
    piped(&scene, line, &bytes).code(3).says(&["d.002", "number is not known"]);
    piped(&scene, &format!("{line} --force"), &bytes).code(3).says(&["d.002"]);
    assert_eq!(scene.read("d.002"), b"mine");
    std::fs::rename(scene.path("d.002"), scene.path("d.001")).unwrap();
    piped(&scene, line, &bytes).code(3).says(&["d.001", "exists"]);
    piped(&scene, &format!("{line} --force"), &bytes).code(0);
    assert_same(&joined(&scene, 100_000), &bytes, "replaced");
}

/// Where the length is known, so are the files that are replaced.
#[test]
fn a_set_is_replaced_by_a_stream_of_a_known_length() {
    let (scene, bytes) = (Scene::new(), pattern(5, 250_000));
    for (seed, line) in [
        (6, "--split 100000 --length 250000 - d"),
        (5, "--split 100000 --length 250000 -f - d"),
        (7, "--split 100000 --range 50000..250000 -f --restart - d"),
    ] {
        let new = pattern(seed, 250_000);
        let ended = piped(&scene, line, &new);
        if line.contains("range") {
            // One file fewer: the third would be taken for one more.
            ended.code(3).says(&["d.003"]);
            assert_same(&joined(&scene, 100_000), &bytes, "as it was");
        } else {
            ended.code(0);
            assert_same(&joined(&scene, 100_000), &new, line);
        }
    }
}

/// What arrived before an error is kept, under no final name; the next run says
/// so, and starts over if it is asked to.
#[test]
fn what_arrived_of_a_stream_that_failed_is_kept() {
    let (scene, bytes) = (Scene::new(), pattern(5, 250_000));
    let wrong = "sha256:0000000000000000000000000000000000000000000000000000000000000000";
    let line = "--split 100000 - d";
    let ended = piped(&scene, &format!("--expect {wrong} {line}"), &bytes).code(4);
    ended.says(&["expected", "250000 bytes", "d.001.pcopy-part' and those after it"]);
    let parts = ["d.001.pcopy-part", "d.002.pcopy-part", "d.003.pcopy-part"];
    assert_eq!(scene.names(), parts);
    assert_same(&parts.map(|part| scene.read(part)).concat(), &bytes, "what came");
    let refused = piped(&scene, line, &bytes).code(3);
    assert!(!refused.stderr.contains("--resume"), "{}", refused.stderr);
    piped(&scene, &format!("--restart {line}"), &bytes[..120_000]).code(0);
    assert_same(&joined(&scene, 100_000), &bytes[..120_000], "started over");
}

/// Where a length was promised and less comes, nothing that did not come is there.
#[test]
fn what_arrived_of_a_promised_length_is_all_that_is_kept() {
    let (scene, bytes) = (Scene::new(), pattern(5, 500));
    let ended = piped(&scene, "--split 100 --length 730 - d", &bytes[..450]).code(5);
    ended.says(&["450 bytes", "d.001.pcopy-part' and those after it"]);
    let parts: Vec<_> = (1..=5).map(|number| format!("d.00{number}.pcopy-part")).collect();
    assert_eq!(scene.names(), parts);
    let found: Vec<_> = parts.iter().map(|part| scene.read(part)).collect();
    assert_same(&found.concat(), &bytes[..450], "what came");
    let line = "--restart --split 100 --length 430 --verify - d";
    let report = piped(&scene, &format!("--json {line}"), &bytes).code(0).report();
    assert_same(&joined(&scene, 100), &bytes[..430], "as promised");
    assert_eq!(report["destination"]["segments"].as_array().map(Vec::len), Some(5), "{report}");
}
