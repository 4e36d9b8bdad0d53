//! `--json` and `--progress json`: names and types are a contract.

use serde_json::Value;

use crate::common::Scene;

/// The fields of schema `pcopy.report/1`, and what each holds.
const FIELDS: &[(&str, Type)] = &[
    ("schema", Type::Text),
    ("outcome", Type::Text),
    ("source.path", Type::Text),
    ("source.kind", Type::Text),
    ("source.size", Type::WholeOrNull),
    ("source.logical_sector", Type::Whole),
    ("destination.path", Type::Text),
    ("destination.kind", Type::Text),
    ("range.start", Type::Whole),
    ("range.end", Type::Whole),
    ("dest_offset", Type::Whole),
    ("bytes.requested", Type::WholeOrNull),
    ("bytes.copied", Type::Whole),
    ("bytes.holes", Type::Whole),
    ("bytes.resumed", Type::Whole),
    ("bytes.failed", Type::Whole),
    ("failed", Type::List),
    ("engine", Type::Text),
    ("engine_reason", Type::Text),
    ("fallbacks", Type::List),
    ("threads", Type::Whole),
    ("stripe_size", Type::Whole),
    ("io_size", Type::Whole),
    ("digests", Type::Map),
    ("verified", Type::FlagOrNull),
    ("durable", Type::Flag),
    ("seconds.copy", Type::Number),
    ("seconds.sync", Type::Number),
    ("seconds.verify", Type::Number),
    ("seconds.total", Type::Number),
    ("bytes_per_second", Type::Number),
    ("error", Type::TextOrNull),
    ("error_kind", Type::TextOrNull),
];

#[derive(Clone, Copy, Debug)]
enum Type {
    Text,
    TextOrNull,
    Whole,
    WholeOrNull,
    Number,
    Flag,
    FlagOrNull,
    List,
    Map,
}

impl Type {
    fn holds(self, value: &Value) -> bool {
        match self {
            Type::Text => value.is_string(),
            Type::TextOrNull => value.is_string() || value.is_null(),
            Type::Whole => value.is_u64(),
            Type::WholeOrNull => value.is_u64() || value.is_null(),
            Type::Number => value.as_f64().is_some_and(|number| number >= 0.0),
            Type::Flag => value.is_boolean(),
            Type::FlagOrNull => value.is_boolean() || value.is_null(),
            Type::List => value.is_array(),
            Type::Map => value.is_object(),
        }
    }
}

#[track_caller]
fn check_schema(report: &Value) {
    for &(path, kind) in FIELDS {
        let value = report.pointer(&format!("/{}", path.replace('.', "/")));
        let value = value.unwrap_or_else(|| panic!("no field {path} in {report}"));
        assert!(kind.holds(value), "{path} is {value}, not {kind:?}");
    }
    assert_eq!(report["schema"], "pcopy.report/1");
}

#[test]
fn every_outcome_has_every_field() {
    let scene = Scene::new();
    scene.source("source", 10_000);
    let complete = scene.run("--json -r 100..600 --dest-offset 7 source copy").code(0);
    let report = complete.report();
    check_schema(&report);
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

    check_schema(&scene.run("--json source copy").code(3).report());
    check_schema(&scene.run("--json missing copy2").code(3).report());
    check_schema(&scene.run("--json -r 5..20000 source copy2").code(3).report());
    check_schema(&scene.run("--json --io-size 1000 source copy2").code(2).report());
    check_schema(&scene.run("--json --dry-run source copy2").code(0).report());
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
