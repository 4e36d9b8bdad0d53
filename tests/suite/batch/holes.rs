//! What is a hole is not counted as moved: by no summary, no field of a report
//! and no dry run, of a list, of several files, of one, or of a comparison.

use std::fs::File;
use std::os::unix::fs::FileExt;

use serde_json::{Value, json};

use crate::common::{Scene, pattern};

const LEN: u64 = 50 << 30;
const DATA: u64 = 4 << 20;

/// A file of 50 GiB of which 4 MiB are data; `None` where it has no holes.
fn huge(scene: &Scene) -> Option<()> {
    use std::os::unix::fs::MetadataExt;
    let file = File::create(scene.path("huge")).expect("a file");
    let made = file.set_len(LEN);
    if made.is_err() {
        crate::common::skip("the file system has no files of 50 GiB");
        return None;
    }
    file.write_all_at(&pattern(1, DATA as usize), 1 << 30).expect("its data");
    let blocks = file.metadata().expect("its facts").blocks();
    if blocks * 512 > 2 * DATA {
        crate::common::skip("the file system has no holes");
        return None;
    }
    Some(())
}

#[test]
fn of_a_list_are_not_counted_as_copied() {
    let scene = Scene::new();
    let Some(()) = huge(&scene) else { return };
    // A whole file, and a run of data in a hole of the list.
    let line = r#"{"name":"runs","runs":[{"start":1073741824,"len":4194304},{"hole":true,"len":1099511627776}]}"#;
    for (list, holes) in [(r#"{"name":"whole"}"#, LEN - DATA), (line, 1 << 40)] {
        scene.write("list.jsonl", list.as_bytes());
        let line = "batch -f list.jsonl --source huge --into out";
        let ended =
            scene.run(line).code(0).says(&["copied 1 of 1 files, 4 MiB in", "kept as holes"]);
        assert!(!ended.stderr.contains("TiB/s"), "{}", ended.stderr);
        let report = scene.run(&format!("{line} --json --report r")).code(0).report();
        let counts = [&report["bytes"], &report["holes"], &report["resumed"]];
        assert_eq!(counts, [&json!(DATA), &json!(holes), &json!(0)], "{report}");
        let seconds = report["seconds"]["total"].as_f64().expect("a time");
        let rate = report["bytes_per_second"].as_f64().expect("a rate");
        assert!((rate - DATA as f64 / seconds).abs() < 1.0, "{report}");
        // An item is as long as it is, whatever it is made of.
        let item: Value = serde_json::from_slice(&scene.read("r")).expect("one line");
        assert_eq!(item["bytes"], json!(DATA + holes), "{item}");
    }
    scene.write("list.jsonl", br#"{"name":"new"}"#);
    let line = "batch -n list.jsonl --source huge --into out";
    scene.run(line).code(0).says(&["would copy 4 MiB (4194304 bytes)", "kept as holes"]);
}

#[test]
fn that_zeros_became_are_not_counted_as_copied() {
    let scene = Scene::new();
    let Some(()) = huge(&scene) else { return };
    std::fs::create_dir(scene.path("out")).expect("a folder");
    scene.write("zeros", &vec![0; 3 << 20]);
    let line = "--sparse always zeros huge out/ --json";
    let report = scene.run(line).code(0).report();
    assert_eq!(
        [&report["bytes"], &report["holes"]],
        [&json!(DATA), &json!(LEN - DATA + (3 << 20))]
    );
}

#[test]
fn of_one_copy_or_comparison_are_named_apart() {
    let scene = Scene::new();
    let Some(()) = huge(&scene) else { return };
    scene.run("-n huge copy").code(0).says(&["would copy 4 MiB (4194304 bytes of 0..53687091200)"]);
    scene.run("huge copy --also second").code(0).says(&["copied 4 MiB", "kept as holes"]);
    let ended = scene.run("verify huge copy").code(0);
    ended.says(&["50 GiB compared", "are holes on both sides, and were not read"]);
    let report = scene.run("verify huge copy --json").code(0).report();
    assert_eq!(report["bytes"]["holes"], json!(LEN - DATA), "{report}");
    let ended = scene.run("verify huge copy --progress json").code(0);
    let last = ended.stderr.lines().rfind(|line| line.contains("\"total\"")).expect("an event");
    let last: Value = serde_json::from_str(last).expect("an event");
    assert_eq!([&last["total"], &last["verified"]], [&json!(DATA), &json!(DATA)], "{last}");
}
