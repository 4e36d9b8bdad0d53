//! `--json` and `--progress json`: names and types are a contract.

use serde_json::Value;

use crate::common::Scene;

#[test]
fn a_report_says_what_was_done() {
    let scene = Scene::new();
    scene.source("source", 10_000);
    let complete = scene.run("--json -r 100..600 --dest-offset 7 source copy").code(0);
    let report = complete.report();
    for (field, value) in [
        ("/outcome", Value::from("complete")),
        ("/source/path", "source".into()),
        ("/source/kind", "file".into()),
        ("/source/size", 10_000.into()),
        ("/destination/path", "copy".into()),
        ("/range/start", 100.into()),
        ("/range/end", 600.into()),
        ("/dest_offset", 7.into()),
        ("/bytes/requested", 500.into()),
        ("/bytes/copied", 500.into()),
        ("/bytes/failed", 0.into()),
        ("/durable", true.into()),
        ("/error", Value::Null),
        ("/error_kind", Value::Null),
    ] {
        assert_eq!(report.pointer(field), Some(&value), "{field} in {report}");
    }
    assert_eq!(complete.out().trim().lines().count(), 1, "one document on one line");
    assert_eq!(complete.stderr, "", "nothing else is said with --json");
}

#[test]
fn a_refusal_says_the_same_in_both_forms() {
    let scene = Scene::new();
    scene.source("source", 100);
    let ended = scene.run("--json --force source source").code(3);
    let report = ended.report();
    assert_eq!(report["outcome"], "refused");
    let error = report["error"].as_str().unwrap();
    assert!(ended.stderr.contains(error), "{error:?} is not in {:?}", ended.stderr);
}

/// Every line of standard error is one JSON event, the last words too.
#[test]
fn progress_is_one_event_a_line() {
    let scene = Scene::new();
    scene.source("source", 3 << 20);
    let check = |line: &str, code: i32, wished: &str| {
        let ended = scene.run(&format!("--progress json {line}")).code(code);
        let parse = |line: &str| -> Value {
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
        };
        let events: Vec<Value> = ended.stderr.lines().map(parse).collect();
        assert!(events.iter().all(|event| event["event"].is_string()), "{}", ended.stderr);
        assert!(events.iter().any(|event| event["event"] == wished), "{}", ended.stderr);
        events
    };
    let events = check("--limit-rate 4MiB --io-size 64KiB source copy", 0, "message");
    assert_eq!(events[0]["event"], "planned");
    let progress: Vec<_> = events.iter().filter(|event| event["event"] == "progress").collect();
    let copied = |event: &&Value| event["copied"].as_u64().unwrap();
    assert!(progress.iter().any(|event| copied(event) > 0), "some were copied: {progress:?}");
    assert!(progress.is_sorted_by_key(copied), "never backwards: {progress:?}");
    for field in ["phase", "total", "failed", "seconds", "bytes_per_second", "seconds_left"] {
        assert!(progress[0].get(field).is_some(), "{field} in {}", progress[0]);
    }
    check("--quiet source copy2", 0, "finished");
    check("--json source copy3", 0, "finished");
    check("source copy", 3, "error");
    check("-r 0..4MiB source copy4", 3, "error");
}

/// What the number of threads was, one after the other, and which was the best.
#[test]
fn every_way_to_copy_reports_what_the_thread_controller_did() {
    let scene = Scene::new();
    scene.source("source", 48 << 20);
    for line in ["source copy", "--also second source third", "source second dir/"] {
        let _ = std::fs::create_dir(scene.path("dir"));
        // So that it lasts long enough for a decision, on any machine.
        let line = format!("--limit-rate 32MiB --engine positioned --no-sync --json {line}");
        let report = scene.run(&line).code(0).report();
        let notes = report["notes"].as_array().cloned().unwrap_or_default();
        let decided = notes.iter().filter_map(Value::as_str).find(|note| note.contains("(best "));
        assert!(decided.is_some_and(|note| note.starts_with("threads: ")), "{line}: {report}");
    }
}
