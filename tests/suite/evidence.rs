//! `--log`: what is written down about a copy, for people and for programs, and that
//! no log costs a file that was there.

use serde_json::Value;

use crate::common::schemas::check;
use crate::common::{Scene, has_tools};

/// The log for programs, which is as its schema says, with the report in it.
#[track_caller]
fn log(scene: &Scene, name: &str) -> Value {
    let log: Value = serde_json::from_slice(&scene.read(format!("{name}.json"))).expect("JSON");
    check("evidence", &log);
    check("report", &log["report"]);
    log
}

#[track_caller]
fn text(scene: &Scene, name: &str) -> String {
    String::from_utf8(scene.read(name)).expect("a log is text")
}

/// What a line of the text says.
#[track_caller]
fn says<'a>(text: &'a str, name: &str) -> &'a str {
    let begin = format!("{name}:");
    let line = text.lines().find(|line| line.trim_start().starts_with(&begin));
    let line = line.unwrap_or_else(|| panic!("no {name} in {text}"));
    line.trim_start()[begin.len()..].trim()
}

#[test]
fn a_log_has_the_case_the_times_the_command_and_the_digests_in_both_forms() {
    let scene = Scene::new();
    scene.source("source", 200_000);
    let words = [
        "--log",
        "log",
        "--case",
        "2026-17",
        "--evidence",
        "3",
        "--operator",
        "A. Examiner",
        "--note",
        "first\nVerdict: forged",
        "--note",
        "second",
        "--digest",
        "sha256",
        "--verify",
        "-q",
        "source",
        "copy",
    ];
    let out = scene.pcopy(words).run().code(0).out();
    let digest = out.split(' ').next().expect("a line with the digest").to_owned();
    assert_eq!(digest.len(), 64, "{out}");

    let log = log(&scene, "log");
    assert_eq!((&log["case"], &log["evidence"]), (&"2026-17".into(), &"3".into()));
    assert_eq!(log["operator"], "A. Examiner");
    assert_eq!(log["notes"].as_array().map(Vec::len), Some(2));
    assert_eq!(log["report"]["digests"]["sha256"], digest.as_str());
    assert_eq!(log["report"]["outcome"], "complete");
    assert_eq!(log["tool"]["version"], env!("CARGO_PKG_VERSION"));
    assert!(log["drive"].is_null() && log["fill"].is_null(), "{log}");
    let command = log["command"].as_str().expect("a command");
    assert!(command.contains("--operator 'A. Examiner'"), "{command}");
    let [begun, ended] = ["begun", "ended"].map(|name| log[name].as_str().expect("a time"));
    assert!(begun <= ended && begun.ends_with('Z') && begun.len() == 24, "{begun} {ended}");

    let text = text(&scene, "log");
    assert!(text.starts_with("pcopy acquisition log\n"), "{text}");
    assert_eq!(says(&text, "Case number"), "2026-17");
    assert_eq!(says(&text, "Operator"), "A. Examiner");
    assert_eq!(says(&text, "Begun (UTC)"), begun);
    assert_eq!(says(&text, "sha256"), digest);
    assert_eq!(says(&text, "Verdict"), log["verdict"].as_str().expect("a verdict"));
    assert!(says(&text, "Verdict").starts_with("COMPLETE: "), "{text}");
    assert_eq!(text.matches("\nVerdict:").count(), 1, "a note makes no line of its own: {text}");
}

#[test]
fn a_source_is_read_before_and_after_if_that_is_asked_for() {
    let scene = Scene::new();
    scene.source("source", 300_000);
    let line = "--log log --source-digests --digest md5 --digest sha1 -r 1000..200000 source copy";
    let out = scene.run(line).code(0).out();
    let log = log(&scene, "log");
    for when in ["source_before", "source_after"] {
        assert_eq!(log[when]["digests"], log["report"]["digests"], "{log}");
        assert_eq!(log[when]["unreadable"], 0);
        let digest = log[when]["digests"]["md5"].as_str().expect("a digest");
        assert!(out.contains(digest), "{digest} in {out}");
    }
    let text = text(&scene, "log");
    assert_eq!(text.matches("  md5:").count(), 3, "{text}");
    scene.run("--log other --source-digests source copy2").code(2).says(&["--digest"]);
    scene.run("--log other --source-digests --digest md5 - copy2").code(2).says(&["only once"]);
}

/// What is there may be of another case.
#[test]
fn a_log_never_replaces_a_file() {
    let scene = Scene::new();
    scene.source("source", 1000);
    for taken in ["log", "log.json"] {
        scene.write(taken, b"of somebody");
        for more in ["", "-f", "--resume"] {
            let refused = scene.run(&format!("{more} --log log source copy")).code(3);
            refused.says(&["cannot write", taken]);
        }
        assert_eq!(scene.read(taken), b"of somebody");
        assert_eq!(scene.names(), [taken, "source"]);
        std::fs::remove_file(scene.path(taken)).expect("it is there");
    }
    for line in [
        "--log source source copy",
        "--log copy source copy",
        "--log copy.pcopy-part source copy",
        "--log copy.pcopy-map source copy",
        "--log same --digest md5 --digest-file same source copy",
        "--log same --digest md5 --digest-file same.json source copy",
        "--log - source copy",
        "--log copy.001 --split 500 source copy",
        "--log log source source copy",
        "--case 1 source copy",
    ] {
        let ended = scene.run(line);
        assert_eq!(ended.status.code(), Some(2), "{line}: {}", ended.stderr);
    }
    scene.run("--log missing/log source copy").code(3).says(&["cannot write"]);
    assert_eq!(scene.names(), ["source"]);
}

/// Neither a file nor what a link leads to.
#[cfg(unix)]
#[test]
fn a_log_replaces_nothing_that_came_meanwhile() {
    for link in [false, true] {
        let scene = Scene::new();
        scene.source("source", 1 << 20);
        scene.write("victim", b"a letter");
        let line = "--limit-rate 512KiB --io-size 64KiB --progress json --log log source copy";
        let mut running = scene.pcopy(line.split_whitespace()).start();
        running.wait_until_copied(1);
        match link {
            true => std::os::unix::fs::symlink("victim", scene.path("log.json")).unwrap(),
            false => scene.write("log.json", b"a letter"),
        }
        running.end().code(5).says(&["has got its name meanwhile"]);
        assert_eq!(scene.read("log.json"), b"a letter");
        assert!(!scene.has("log"));
    }
}

/// Both files are of one run, and of one that ended well.
#[test]
fn one_log_of_several_runs_is_that_of_one_of_them() {
    let scene = Scene::new();
    scene.source("source", 3000);
    for round in 0..10 {
        let copy = |number| format!("--log log source copy{round}-{number}");
        let all: Vec<_> =
            (0..4).map(|number| scene.pcopy(copy(number).split_whitespace()).start()).collect();
        let codes: Vec<_> = all.into_iter().map(|run| run.end().status.code()).collect();
        let good: Vec<_> = (0..4).filter(|&number| codes[number] == Some(0)).collect();
        let [one] = good[..] else { panic!("{codes:?}") };
        let name = format!("copy{round}-{one}");
        for file in ["log", "log.json"] {
            let text = String::from_utf8(scene.read(file)).expect("text");
            assert!(text.contains(&name), "{file} is not of {name}: {text}");
            std::fs::remove_file(scene.path(file)).expect("a file");
        }
    }
    assert!(scene.names().iter().all(|name| !name.starts_with('.')), "{:?}", scene.names());
}

#[test]
fn what_is_refused_or_only_planned_leaves_no_log() {
    let scene = Scene::new();
    scene.source("source", 1000);
    scene.write("copy", b"here");
    scene.run("--log log source copy").code(3);
    scene.run("--log log -n source other").code(0);
    scene.run("--log log --no-such-option source other").code(2);
    assert_eq!(scene.names(), ["copy", "source"]);
}

#[test]
fn a_mismatch_is_in_the_log() {
    let scene = Scene::new();
    scene.source("source", 1000);
    let expect = "md5:00000000000000000000000000000000";
    scene.run(&format!("--log log --expect {expect} source copy")).code(4);
    let log = log(&scene, "log");
    assert_eq!(log["report"]["outcome"], "mismatch");
    assert!(says(&text(&scene, "log"), "Verdict").starts_with("MISMATCH"), "{log}");
    assert!(log["report"]["error"].is_string(), "{log}");
}

/// A run that was stopped, and the one that resumes it: nothing of the first log is lost.
#[test]
#[cfg(unix)]
fn a_run_that_resumes_has_the_log_of_the_one_before() {
    use rustix::process::Signal;
    let scene = Scene::new();
    scene.source("source", 4 << 20);
    let line = "--log log --io-size 64KiB -t 1 source copy";
    let slow = format!("--limit-rate 1MiB --progress json {line}");
    let mut running = scene.pcopy(slow.split(' ')).start();
    running.wait_until_copying();
    running.signal(Signal::INT);
    running.end().died_by(Signal::INT);
    let first = log(&scene, "log");
    assert_eq!(first["report"]["outcome"], "interrupted");
    assert!(says(&text(&scene, "log"), "Verdict").starts_with("INTERRUPTED"));

    scene.run(line).code(3).says(&["cannot write 'log'"]);
    scene.run(&format!("--resume {line}")).code(0);
    let second = log(&scene, "log");
    let earlier = second["earlier"].as_array().expect("a list");
    assert_eq!(earlier.len(), 1);
    assert_eq!(earlier[0]["begun"], first["begun"]);
    assert_eq!(earlier[0]["report"], first["report"]);
    let text = text(&scene, "log");
    assert!(text.contains("Earlier runs"), "{text}");
    assert!(says(&text, "Verdict").starts_with("COMPLETE"), "{text}");
}

#[test]
#[cfg(feature = "http")]
fn no_credential_is_in_a_log() {
    let scene = Scene::new();
    scene.source("source", 1000);
    let words = [
        "--log",
        "log",
        "--header",
        "Authorization: Bearer sesame",
        "--header=X-Key: sesame",
        "--retries",
        "0",
        "--max-retries",
        "0",
        "--timeout",
        "2",
        "http://user:sesame@127.0.0.1:1/a?sig=sesame",
        "copy",
    ];
    let ended = scene.pcopy(words).run();
    assert!(!ended.status.success());
    scene
        .pcopy(["--log", "log", "--header", "Authorization: sesame", "source", "copy"])
        .run()
        .code(0);
    for name in ["log", "log.json"] {
        let bytes = scene.read(name);
        let text = String::from_utf8_lossy(&bytes);
        assert!(!text.contains("sesame"), "{name}: {text}");
        assert!(text.contains("(left out)"), "{name}: {text}");
    }
}

/// A file whose mode allows writing, and one whose does not.
#[test]
fn a_source_that_could_be_written_is_refused_where_it_must_not_be() {
    let scene = Scene::new();
    scene.source("source", 1000);
    let refused = scene.run("--require-read-only --json source copy").code(3);
    let refused = refused.says(&["could be written while it is read", "chmod a-w"]);
    assert_eq!(refused.report()["error_kind"], "unprotected");
    scene.write("list.csv", b"name,start,len\na,0,10\n");
    let batch = "batch list.csv --source source --into out --require-read-only";
    scene.run(batch).code(3).says(&["could be written"]);
    assert_eq!(scene.names(), ["list.csv", "source"]);
    scene.run("--log open source unguarded").code(0);
    assert_eq!(log(&scene, "open")["protection"]["read_only"], false);

    let mut mode = scene.path("source").metadata().expect("it is there").permissions();
    mode.set_readonly(true);
    std::fs::set_permissions(scene.path("source"), mode).expect("it is ours");
    scene.run("--require-read-only --log log source copy").code(0);
    let log = log(&scene, "log");
    assert_eq!(log["protection"]["read_only"], true, "{log}");
    assert_eq!(log["protection"]["required"], true, "{log}");
    scene.run(batch).code(0);
    let piped = scene.pcopy(["--require-read-only", "-", "piped"]).with_input(b"bytes");
    piped.code(3).says(&["neither a file nor a block device"]);
}

/// The list of windows that dcfldd writes has the same digests of the same ranges.
#[test]
fn digests_of_pieces_are_those_of_dcfldd() {
    if !has_tools(&["dcfldd"]) {
        return;
    }
    let scene = Scene::new();
    for (size, every) in [(300_000, 65_536), (262_144, 65_536), (1000, 512), (100, 4096)] {
        scene.source("source", size);
        for algorithm in ["md5", "sha1", "sha256"] {
            let words = [
                "if=source".to_owned(),
                "of=theirs".to_owned(),
                format!("hash={algorithm}"),
                format!("hashwindow={every}"),
                "hashlog=windows".to_owned(),
                "status=off".to_owned(),
            ];
            scene.tool("dcfldd", &words).run().code(0);
            let theirs = windows(&text(&scene, "windows"));
            let line = format!("-f --json --digest {algorithm} --digest-every {every} source copy");
            let report = scene.run(&line).code(0).report();
            let pieces = report["pieces"].as_array().expect("pieces").iter();
            let ours: Vec<(u64, u64, String)> = pieces
                .map(|piece| {
                    let number = |name: &str| piece[name].as_u64().expect("an offset");
                    let digest = piece["digests"][algorithm].as_str().expect("a digest");
                    (number("start"), number("end"), digest.to_owned())
                })
                .collect();
            assert_eq!(ours, theirs, "{algorithm} of {size} bytes, every {every}");
            assert_eq!(ours.len(), size.div_ceil(every), "none is missing");
        }
    }
}

/// Lines such as `0 - 65536: 0123...`.
fn windows(list: &str) -> Vec<(u64, u64, String)> {
    let window = |line: &str| {
        let (range, digest) = line.split_once(": ")?;
        let (start, end) = range.split_once(" - ")?;
        Some((start.trim().parse().ok()?, end.trim().parse().ok()?, digest.trim().to_owned()))
    };
    list.lines().filter_map(window).collect()
}
