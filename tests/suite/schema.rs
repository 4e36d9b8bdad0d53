//! `pcopy schema`, and every kind of document held against its schema. That of
//! every other test is, too, where the fixture takes it for a report.

use serde_json::{Value, json};

use crate::common::Scene;
use crate::common::schemas::{check, named};
#[cfg(target_os = "linux")]
use crate::common::{has_tools, skip};

/// The document on standard output, which must be the only thing there.
#[track_caller]
fn document(scene: &Scene, line: &str, code: i32, schema: &str) -> Value {
    let ended = scene.run(line).code(code);
    let document = ended.report();
    assert_eq!(document["schema"], format!("pcopy.{schema}/1"), "{line}: {document}");
    check(schema, &document);
    document
}

#[test]
fn a_schema_is_printed_by_its_name_and_all_are_listed() {
    let scene = Scene::new();
    let list = scene.run("schema").code(0).out();
    let names: Vec<&str> = list.lines().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(
        names,
        ["report", "events", "batch", "batch-line", "bench", "devices", "evidence", "job-status"]
    );
    for name in names {
        let text = scene.run(&format!("schema {name}")).code(0).out();
        let schema: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(&schema, named(name));
    }
    scene.run("schema reprot").code(2).says(&["report", "batch-line"]);
}

#[test]
fn a_report_is_as_its_schema_says_whatever_happens() {
    let scene = Scene::new();
    let bytes = scene.source("source", 200_000);
    scene.source("part", 100_000);
    scene.write("other", &bytes[..150_000]);
    for (line, code, outcome) in [
        ("--json --digest sha256 --digest-every 64KiB --verify source copy", 0, "complete"),
        ("--json --also second source first", 0, "complete"),
        ("--json --split 64KiB source pieces", 0, "complete"),
        ("--json --clamp -r 1000..1MiB source clamped", 0, "complete"),
        ("--json -n source planned", 0, "planned"),
        ("--json -n --also planned2 source planned", 0, "planned"),
        ("--json source copy", 3, "refused"),
        ("--json missing copy2", 3, "refused"),
        ("--json --io-size 1000 source copy2", 2, "refused"),
        ("--json --no-such-option source copy2", 2, "refused"),
        ("--json", 2, "refused"),
        ("--json --expect md5:00000000000000000000000000000000 source copy3", 4, "mismatch"),
        ("verify --json source copy", 0, "complete"),
        ("verify --json source part", 4, "mismatch"),
        ("verify --json source other", 4, "mismatch"),
        ("verify --json source missing", 3, "refused"),
        ("patch --json --print-old --hex 00ff copy 5", 0, "complete"),
        ("patch --json -n --hex 00ff copy 5", 0, "planned"),
        ("patch --json --hex zz copy 5", 2, "refused"),
    ] {
        let report = document(&scene, line, code, "report");
        assert_eq!(report["outcome"], outcome, "{line}: {report}");
        assert_eq!(report["error"].is_null(), report["error_kind"].is_null(), "{line}: {report}");
        assert_eq!(report["dry_run"], line.contains(" -n "), "{line}: {report}");
    }
    let kind = |line, code| document(&scene, line, code, "report")["error_kind"].clone();
    assert_eq!(kind("--json source copy", 3), "exists");
    assert_eq!(kind("--json -r 5..1MiB source new", 3), "outside");
    assert_eq!(kind("--json --no-such-option source new", 2), "usage");
    assert!(!scene.has("planned") && !scene.has("planned2"));
}

/// A zero would be a claim.
#[test]
fn what_was_not_known_is_null() {
    let scene = Scene::new();
    scene.source("source", 10);
    let report = document(&scene, "--json -n missing copy", 3, "report");
    for field in ["source/kind", "source/size", "source/logical_sector", "destination/kind"] {
        assert_eq!(report.pointer(&format!("/{field}")), Some(&Value::Null), "{field}: {report}");
    }
    for field in ["range", "dest_offset", "engine", "threads", "io_size", "bytes_per_second"] {
        assert_eq!(report.get(field), Some(&Value::Null), "{field}: {report}");
    }
    assert_eq!(report["dry_run"], true, "{report}");
    assert_eq!(report["bytes"]["copied"], 0, "that much is known: {report}");
}

#[test]
fn a_batch_and_its_lines_are_as_their_schemas_say() {
    let scene = Scene::new();
    scene.source("source", 100_000);
    let digest = "00000000000000000000000000000000";
    let first = match cfg!(unix) {
        true => json!({"name": "a", "start": 0, "len": 10, "id": "1", "mode": "0640"}),
        false => json!({"name": "a", "start": 0, "len": 10, "id": "1"}),
    };
    let lines = [
        first,
        json!({"name": "b", "runs": [{"start": 5, "len": 9}, {"hole": true, "len": 7}]}),
        json!({"name": "c", "start": 5, "len": 9, "md5": digest}),
        json!({"name": "d", "source": "source", "mtime": "2020-01-02T03:04:05Z"}),
    ];
    let list: Vec<String> = lines.iter().map(Value::to_string).collect();
    scene.write("list.jsonl", list.join("\n").as_bytes());
    let batch = "batch list.jsonl --source source --json";
    let planned = document(&scene, &format!("{batch} -n --into out"), 0, "batch");
    assert_eq!((&planned["outcome"], &planned["dry_run"]), (&json!("planned"), &json!(true)));
    let line = format!("{batch} --into out --report r.jsonl --digest sha256 --verify");
    let report = document(&scene, &line, 1, "batch");
    assert_eq!(report["dry_run"], false);
    let line = format!("{batch} --into two --also three --report s.jsonl");
    document(&scene, &line, 1, "batch");
    let mut seen = 0;
    for file in ["r.jsonl", "s.jsonl"] {
        for line in String::from_utf8(scene.read(file)).unwrap().lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            check("batch-line", &line);
            let kind = if line["name"] == "c" { json!("digest_mismatch") } else { Value::Null };
            assert_eq!(line["error_kind"], kind, "{line}");
            assert_eq!(line["error"].is_null(), kind.is_null(), "{line}");
            for folder in line["folders"].as_array().into_iter().flatten() {
                assert_eq!(folder["error_kind"], kind, "{line}");
            }
            seen += 1;
        }
    }
    assert_eq!(seen, 2 * lines.len());
    document(&scene, &format!("{batch} --into out"), 3, "batch");
    document(&scene, "batch missing.csv --json", 3, "batch");
    document(&scene, "batch --json --no-such-option", 2, "batch");
    scene.write("wrong.csv", b"name,offset\na,1\n");
    document(&scene, "batch wrong.csv --source source --json", 2, "batch");
}

#[test]
fn devices_and_a_bench_are_as_their_schemas_say() {
    let scene = Scene::new();
    scene.source("source", 1 << 20);
    document(&scene, "devices --json", 0, "devices");
    document(&scene, "devices --json --no-such-option", 2, "devices");
    let how = "--rounds 1 --threads 1,2 --io-size 64KiB --engine positioned";
    document(&scene, &format!("bench --json {how} source new"), 0, "bench");
    document(&scene, "bench --json missing new", 3, "bench");
    document(&scene, "bench --json --no-such-option", 2, "bench");
}

#[test]
fn events_are_as_their_schema_says() {
    let scene = Scene::new();
    scene.source("source", 3 << 20);
    scene.source("source2", 1000);
    let wrong = "00000000000000000000000000000000";
    let list = format!("name,start,len,md5\na,0,9,\nb,5,9,{wrong}\n");
    scene.write("list.csv", list.as_bytes());
    for name in ["there", "folder"] {
        std::fs::create_dir(scene.path(name)).expect("a folder can be made");
    }
    let mut kinds = std::collections::BTreeSet::new();
    for (line, code) in [
        ("--limit-rate 8MiB --io-size 64KiB --verify source copy", 0),
        ("source copy", 3),
        ("missing copy", 3),
        ("bench --rounds 1 --threads 1 --io-size 64KiB --engine positioned source new", 0),
        ("batch list.csv --source source --into out", 1),
        ("batch list.csv --source source --into out", 3),
        ("batch list.csv --source source --into out --compare", 4),
        ("batch list.csv --source source --into two -n", 0),
        ("source source2 there", 0),
        ("-R -n -v there folder", 0),
    ] {
        let command = line.split(' ').next().filter(|word| ["bench", "batch"].contains(word));
        let line = match command {
            Some(name) => format!("{name} --progress json {}", &line[name.len() + 1..]),
            None => format!("--progress json {line}"),
        };
        for event in scene.run(&line).code(code).stderr.lines() {
            let event: Value = serde_json::from_str(event).unwrap();
            check("events", &event);
            kinds.insert(event["event"].as_str().unwrap().to_owned());
        }
    }
    for kind in ["planned", "progress", "finished", "message", "error", "run", "ran"] {
        assert!(kinds.contains(kind), "{kind} was not seen: {kinds:?}");
    }
}

/// Where a copy is, and which file a batch has at work.
#[test]
fn events_say_what_is_copied_and_what_is_at_work() {
    let scene = Scene::new();
    scene.source("a 'name'", 1_000_003);
    let events = |words: &[&str]| -> Vec<Value> {
        let ended = scene.pcopy(words).run().code(0);
        ended.stderr.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let of = ["--progress", "json", "-r", "1000..900000", "a 'name'", "it's"];
    let all = events(&of);
    assert_eq!(all[0]["event"], "planned");
    assert_eq!(all[0]["destination"], "it's", "no shell would read it: {}", all[0]);
    let last = all.iter().rfind(|event| event["event"] == "finished").unwrap();
    let places = &last["places"];
    assert_eq!((&places["start"], &places["end"]), (&json!(1000), &json!(900_000)));
    let sum = |name: &str| -> u64 {
        places[name].as_array().unwrap().iter().map(|count| count.as_u64().unwrap()).sum()
    };
    assert_eq!((sum("copied"), sum("failed"), sum("outside")), (899_000, 0, 0), "{last}");
    assert_eq!(places["copied"].as_array().map(Vec::len), Some(64));
    assert!(last["file"].is_null());

    scene.write("list.csv", b"name,start,len\na,0,9\nlarge file,0,1000000\n");
    let of = ["batch", "list.csv", "--source", "a 'name'", "--into", "out", "--progress", "json"];
    let slow = ["--limit-rate", "1MiB", "--io-size", "64KiB", "-t", "1"];
    let all = events(&[&of[..], &slow[..]].concat());
    assert!(all.iter().all(|event| event["places"].is_null()), "of a batch there are none");
    let is_named =
        |event: &&Value| event["file"].as_str().is_some_and(|name| name.contains("large"));
    assert!(all.iter().any(|event| is_named(&event)), "{all:?}");
}

/// A check that passes everything would show nothing.
#[test]
fn a_document_with_a_field_too_many_or_too_few_is_found() {
    let scene = Scene::new();
    let report = scene.run("--json missing copy").code(3).report();
    let is_wrong = |change: &dyn Fn(&mut Value)| {
        let mut changed = report.clone();
        change(&mut changed);
        std::panic::catch_unwind(|| check("report", &changed)).is_err()
    };
    assert!(!is_wrong(&|_| ()));
    assert!(is_wrong(&|report| report["surprise"] = json!(1)));
    assert!(is_wrong(&|report| report["bytes"]["surprise"] = json!(1)));
    assert!(is_wrong(&|report| report["outcome"] = json!("fine")));
    assert!(is_wrong(&|report| {
        report.as_object_mut().unwrap().remove("durable");
    }));
}

/// The same by a validator that others use.
#[test]
#[cfg(target_os = "linux")]
fn another_validator_finds_the_same() {
    let scene = Scene::new();
    let has_module = scene.tool("python3", ["-c", "import jsonschema"]);
    if !has_tools(&["python3"]) {
        return;
    }
    if !has_module.run().status.success() {
        return skip("needs the Python module jsonschema");
    }
    scene.source("source", 100_000);
    scene.write("list.csv", b"name,start,len\na,0,10\nb,5,9\n");
    let script = "
import json, sys, jsonschema
schema = json.load(open(sys.argv[1]))
validator = jsonschema.validators.validator_for(schema)
validator.check_schema(schema)
lines = [json.loads(line) for line in open(sys.argv[2]) if line.strip()]
for line in lines:
    validator(schema).validate(line)
print(len(lines))";
    let folder = format!("{}/docs/schemas", env!("CARGO_MANIFEST_DIR"));
    for (name, line) in [
        ("report", "--json --verify --digest md5 --digest-every 64KiB source copy"),
        ("report", "--json -n missing copy2"),
        ("batch", "batch list.csv --source source --into out --report lines --json"),
        ("batch-line", "batch list.csv --source source --into two --report lines"),
        ("bench", "bench --json --rounds 1 --threads 1 --io-size 64KiB source new"),
        ("devices", "devices --json"),
        ("events", "--progress json source copy3"),
    ] {
        let ended = scene.run(line);
        let text = match name {
            "events" => ended.stderr.clone(),
            "batch-line" => String::from_utf8(scene.read("lines")).unwrap(),
            _ => ended.report().to_string(),
        };
        scene.write("documents", text.as_bytes());
        let schema = format!("{folder}/{name}.json");
        let checked = scene.tool("python3", ["-c", script, &schema, "documents"]).run().code(0);
        assert_eq!(checked.out().trim(), text.lines().count().to_string(), "{name}: {text}");
    }
}
