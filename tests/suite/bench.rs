//! `pcopy bench`: the table, the document, the chart, the exit codes, and a
//! recommendation that runs. How fast anything is does not matter here.

use quick_xml::events::{BytesStart, Event};
use serde_json::{Value, json};

use crate::common::{Scene, assert_same};

const LEN: usize = 300_001;

/// An engine besides `positioned` that copies between any files of this system.
const OTHER: &str = if cfg!(windows) { "direct" } else { "splice" };

/// The words of the command that is recommended, without the program.
fn recommended(text: &str) -> Vec<String> {
    let (_, command) = text.split_once("  pcopy ").unwrap_or_else(|| panic!("no command: {text}"));
    command.split_whitespace().map(str::to_owned).collect()
}

#[test]
fn the_table_has_a_row_for_every_setting_and_the_command_below_it_runs() {
    let scene = Scene::new();
    let bytes = scene.source("source", LEN);
    let line = format!("bench --rounds 1 --engine positioned,{OTHER} -t 1,3,auto");
    let text = scene.run(&format!("{line} --io-size 64KiB,auto source copy")).code(0).out();
    let title = "292.97 KiB of 'source' to 'copy', 1 round after a warm-up";
    assert!(text.starts_with(title), "{text}");
    for column in ["engine", "io-size", "threads", "median", "slowest..fastest", "cpu", "memory"] {
        assert!(text.lines().nth(2).is_some_and(|line| line.contains(column)), "{column}: {text}");
    }
    let rows: Vec<Vec<&str>> =
        text.lines().skip(3).take(12).map(|row| row.split_whitespace().collect()).collect();
    let mut expected = Vec::new();
    for engine in ["positioned", OTHER] {
        for io_size in [&["64", "KiB"][..], &["auto"]] {
            expected.extend(
                ["1", "3", "auto"].map(|threads| [&[engine], io_size, &[threads]].concat()),
            );
        }
    }
    for (row, expected) in rows.iter().zip(&expected) {
        assert!(row.starts_with(expected), "{expected:?}: {text}");
        assert!(row.contains(&"MiB/s"), "{text}");
    }
    for said in ["dropped from the page cache", "include the sync", "No extents were shared"] {
        assert!(text.contains(said), "{said}: {text}");
    }
    assert_eq!(scene.names(), ["source"], "copies are removed");
    scene.pcopy(recommended(&text)).run().code(0);
    assert_same(&scene.read("copy"), &bytes, "the copy that was recommended");
}

/// What was measured is a part; the whole range is what is to be copied.
#[test]
fn the_recommended_command_copies_the_range_that_was_asked_for() {
    let scene = Scene::new();
    let bytes = scene.source("source", LEN);
    for (range, from, to) in [("-200000", LEN - 200_000, LEN), ("7+100000", 7, 100_007)] {
        let line = format!("bench --rounds 1 -t 2 --size 64KiB --no-sync -r {range} source copy");
        let text = scene.run(&line).code(0).out();
        let words = recommended(&text);
        assert!(words.contains(&format!("--range={range}")), "{text}");
        assert!(words.contains(&"--no-sync".to_owned()), "{text}");
        scene.pcopy(words).run().code(0);
        assert_same(&scene.read("copy"), &bytes[from..to], range);
        std::fs::remove_file(scene.path("copy")).unwrap();
    }
}

#[test]
fn an_end_that_costs_nothing_is_left_for_the_user_to_name() {
    let scene = Scene::new();
    scene.source("source", LEN);
    let check = |ends: &str, conditions: [&str; 2], command: &str| {
        let line = format!("bench --rounds 1 --size 1MiB -t 1 --engine positioned {ends}");
        let text = scene.run(&line).code(0).out();
        for said in conditions {
            assert!(text.contains(said), "{said}: {text}");
        }
        assert!(text.trim_end().ends_with(command), "{text}");
        assert_eq!(scene.names(), ["source"], "{ends}");
    };
    check("--cache warm source", ["in the page cache", "Nothing was written"], " source DEST");
    check("source null:", ["dropped from", "Nothing was written"], " source DEST");
    check("zero: copy", ["zeros come from memory", "include the sync"], " SOURCE copy");
    check("--no-sync zero: copy", ["Nothing was read", "not synced"], "--no-sync SOURCE copy");
}

/// Every name that a script may rely on.
#[test]
fn the_document_has_its_fields() {
    let scene = Scene::new();
    scene.source("source", LEN);
    let line = "bench --json --rounds 2 -r 1.. --engine positioned,mmap -t 1,auto --io-size 64KiB";
    let report = scene.run(&format!("{line} source null:")).code(0).report();
    let fields = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let names = [
        "bytes",
        "cache",
        "destination",
        "error",
        "error_kind",
        "notes",
        "range",
        "recommended",
        "rounds",
        "schema",
        "settings",
        "shared",
        "source",
        "synced",
    ];
    assert_eq!(fields(&report), names, "{report}");
    let expected = json!({
        "schema": "pcopy.bench/1", "source": "source", "destination": "null:", "bytes": LEN - 1,
        "range": { "start": 1, "end": LEN }, "rounds": 2, "cache": "cold", "synced": false,
        "shared": false, "error": null, "error_kind": null,
    });
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&report[name], value, "{name}");
    }
    let settings = report["settings"].as_array().unwrap();
    let threads = [json!(1), json!("auto"), json!(1), json!("auto")];
    assert_eq!(settings.len(), threads.len());
    for (at, (setting, threads)) in settings.iter().zip(threads).enumerate() {
        assert_eq!((&setting["threads"], &setting["io_size"]), (&threads, &json!(65536)));
        if at < 2 {
            let names = [
                "bytes_per_second",
                "cpu_seconds",
                "engine",
                "io_size",
                "most_threads",
                "peak_memory",
                "runs",
                "seconds",
                "threads",
            ];
            assert_eq!(
                (fields(setting), &setting["engine"]),
                (names.map(str::to_owned).into(), &json!("positioned"))
            );
            assert_eq!(setting["runs"].as_array().unwrap().len(), 2);
            for spread in ["seconds", "bytes_per_second", "cpu_seconds"] {
                let of = |name: &str| setting[spread][name].as_f64().unwrap();
                assert!(of("min") <= of("median") && of("median") <= of("max"), "{setting}");
            }
        } else {
            assert_eq!(fields(setting), ["engine", "io_size", "threads", "unusable"]);
            assert!(setting["unusable"].as_str().unwrap().contains("only a new file"));
        }
    }
    let recommended = &report["recommended"];
    assert_eq!(fields(recommended), ["command", "engine", "io_size", "reason", "threads"]);
    assert_eq!(recommended["engine"], "positioned");
    assert!(recommended["command"].as_str().unwrap().starts_with("pcopy --engine positioned"));
}

/// A value of an element of the chart.
fn attribute(element: &BytesStart<'_>, name: &str) -> Option<String> {
    let found = element.try_get_attribute(name).expect("attributes are well formed")?;
    Some(found.value.into_owned())
}

fn number(element: &BytesStart<'_>, name: &str) -> f64 {
    attribute(element, name).unwrap_or_default().parse().unwrap_or(f64::NAN)
}

#[test]
fn the_chart_is_a_picture_with_one_line_an_engine_and_all_of_it_on_the_paper() {
    let scene = Scene::new();
    scene.source("a & b", LEN);
    let line = format!("bench --rounds 1 --engine positioned,{OTHER} -t 1,2,auto --svg chart.svg");
    let mut line: Vec<&str> = line.split(' ').collect();
    line.extend(["a & b", "copy"]);
    scene.pcopy(line).run().code(0);
    let picture = String::from_utf8(scene.read("chart.svg")).unwrap();
    let mut reader = quick_xml::Reader::from_str(&picture);
    let (mut size, mut texts, mut lines, mut points) = ((0.0, 0.0), Vec::new(), 0, 0);
    loop {
        match reader.read_event().expect("well formed") {
            Event::Start(element) if element.name().as_ref() == "svg" => {
                assert_eq!(attribute(&element, "xmlns").unwrap(), "http://www.w3.org/2000/svg");
                size = (number(&element, "width"), number(&element, "height"));
            }
            Event::Empty(element) if element.name().as_ref() == "polyline" => {
                let path = attribute(&element, "points").unwrap();
                assert_eq!(path.split(' ').count(), 2, "auto is not a number of threads: {path}");
                lines += 1;
            }
            Event::Empty(element) if element.name().as_ref() == "circle" => {
                let (x, y) = (number(&element, "cx"), number(&element, "cy"));
                assert!((0.0..size.0).contains(&x) && (0.0..size.1).contains(&y), "{x} {y}");
                points += 1;
            }
            Event::Text(text) => texts.push(text.to_string()),
            Event::GeneralRef(name) => texts.push(name.to_string()),
            Event::Eof => break,
            _ => {}
        }
    }
    assert_eq!((lines, points), (2, 6), "{picture}");
    for text in ["positioned", OTHER, "threads", "auto", "amp"] {
        assert!(texts.iter().any(|found| found == text), "{text}: {texts:?}");
    }
}

#[test]
fn exit_codes() {
    let scene = Scene::new();
    scene.source("source", 5000);
    scene.write("taken", b"not ours");
    let check = |code: i32, line: &str, says: &str| {
        scene.run(&format!("bench --rounds 1 -t 1 {line}")).code(code).says(&[says]);
    };
    check(2, "zero: null:", "from nothing to nothing");
    check(2, "--rounds 0 source", "--rounds");
    check(2, "-r 0..0 source", "empty");
    check(2, "-r 1..2 zero: copy", "zeros have no range");
    check(2, "--engine fast source", "positioned");
    for ends in ["source copy", "source null:", "zero: copy"] {
        check(2, &format!("--io-size 4KiB,300000 {ends}"), "power of two");
        check(2, &format!("--io-size 256 {ends}"), "power of two");
    }
    check(3, "source taken", "exists");
    check(3, "zero: taken", "exists");
    check(3, "missing copy", "missing");
    check(3, "-r 5000+1 source", "5000");
    check(3, "source no-folder/copy", "no-folder");
    check(5, "--engine mmap source null:", "no setting could be run");
    let ended = scene.run("bench --progress json --svg no-folder/chart source");
    let ended = ended.code(3).says(&["no-folder/chart"]);
    assert!(!ended.stderr.contains("\"run\""), "before anything is measured: {}", ended.stderr);
    check(5, "--svg chart --engine mmap source null:", "no setting could be run");
    scene.run("bench --svg chart missing copy").code(3);
    std::fs::remove_file(scene.path("chart")).expect("of the sweep in which nothing could be run");
    assert_eq!(scene.names(), ["source", "taken"]);
    assert_same(&scene.read("taken"), b"not ours", "somebody else's file");
}

/// A file that appears at the destination while it is measured is not removed,
/// and nothing that was measured is left.
#[cfg(unix)]
#[test]
fn what_appears_at_the_destination_stays_and_an_interrupt_leaves_nothing_else() {
    let scene = Scene::new();
    scene.source("source", LEN);
    for source in ["source", "zero:"] {
        let line = format!("bench --rounds 1000 -t 1 --size 8MiB {source} copy");
        let run = scene.pcopy(line.split(' ')).start();
        crate::common::wait_until("it runs", || scene.names().len() > 1);
        scene.write("copy", b"not ours");
        // Into another run than the first.
        let folder = scene.names();
        crate::common::wait_until("it goes on", || {
            scene.names() != folder || scene.names().len() < 2
        });
        run.signal(rustix::process::Signal::INT);
        run.end().died_by(rustix::process::Signal::INT);
        assert_same(&scene.read("copy"), b"not ours", source);
        assert_eq!(scene.names(), ["copy", "source"], "{source}");
        std::fs::remove_file(scene.path("copy")).unwrap();
    }
}

/// Whatever watches, and however.
#[test]
fn runs_are_told_as_they_are_asked_for() {
    let scene = Scene::new();
    scene.source("source", LEN);
    let run = |options: &str| {
        let line = format!("bench --rounds 1 -t 1,2 --io-size 64KiB --engine positioned {options}");
        scene.run(&format!("{line} source")).code(0).stderr
    };
    assert_eq!(run(""), "", "nobody asked");
    assert_eq!(run("-q"), "");
    let lines = run("--progress plain");
    let lines: Vec<_> = lines.lines().collect();
    assert_eq!(lines.len(), 4, "two rounds of two settings: {lines:?}");
    assert!(
        lines[0].starts_with("pcopy: 1/4 warm-up: ") && lines[0].contains("--threads 1"),
        "{lines:?}"
    );
    assert!(lines[3].starts_with("pcopy: 4/4 round 1: "), "{lines:?}");
    assert!(run("-v").lines().all(|line| line.ends_with(" s")), "seconds of each");
    let events: Vec<Value> =
        run("--progress json").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(events.len(), 8, "{events:?}");
    assert_eq!(
        events[0],
        json!({"event": "run", "run": 1, "runs": 4, "round": 0,
        "engine": "positioned", "threads": 1, "io_size": 65536})
    );
    assert_eq!((&events[1]["event"], &events[7]["run"]), (&json!("ran"), &json!(4)));
    assert!(events[7]["seconds"].as_f64() > Some(0.0), "{events:?}");
}

/// Hours of measurements are not thrown away.
#[cfg(unix)]
#[test]
fn what_was_measured_before_an_interrupt_is_shown() {
    let scene = Scene::new();
    scene.source("source", LEN);
    let line = "bench --rounds 1000 -t 1,2 --engine positioned --io-size 64KiB --progress json";
    for json in [false, true] {
        let line = format!("{line}{} --svg chart source null:", if json { " --json" } else { "" });
        let mut run = scene.pcopy(line.split(' ')).start();
        run.wait_for_line(|line| line.contains("\"round\":3"));
        run.signal(rustix::process::Signal::INT);
        let ended = run.end().died_by(rustix::process::Signal::INT).says(&["interrupted"]);
        if json {
            let report = ended.report();
            assert!(report["error"].as_str().unwrap().contains("interrupted"), "{report}");
            assert!(report["settings"][0]["runs"].as_array().unwrap().len() >= 2, "{report}");
        } else {
            let text = ended.out();
            assert!(text.contains("ended before all rounds"), "{text}");
            assert_eq!(recommended(&text)[0], "--engine", "{text}");
            assert!(!text.contains("1000 rounds"), "those that were: {text}");
        }
        assert!(scene.has("chart"));
    }
}

/// The calls of `pcopy bench LINE`, of those named, by name and result.
#[cfg(target_os = "linux")]
fn traced(scene: &Scene, calls: &str, line: &str) -> Vec<(String, u64)> {
    let options =
        ["-f", "-qqq", "-o", "trace", "-e", &format!("trace={calls}"), "-e", "signal=none"];
    let mut run = scene.tool("strace", options);
    run.command.arg(crate::common::program()).arg("bench").args(line.split(' '));
    run.run().code(0);
    let trace = String::from_utf8(scene.read("trace")).unwrap();
    std::fs::remove_file(scene.path("trace")).unwrap();
    let call = |line: &str| {
        let name = line.split_whitespace().nth(1)?.trim_start_matches("<...").split('(').next()?;
        let result = line.rsplit_once(" = ")?.1.split(' ').next()?.parse().ok()?;
        Some((name.to_owned(), result))
    };
    trace.lines().filter_map(call).collect()
}

/// A hole that is kept takes no time, which must not count as moving it.
#[cfg(target_os = "linux")]
#[test]
fn holes_of_the_source_are_written_and_mentioned() {
    if !crate::inject::can_inject() {
        return;
    }
    let scene = Scene::new();
    std::fs::File::create(scene.path("source")).unwrap().set_len(1 << 20).unwrap();
    for engine in ["positioned", "direct"] {
        let line = format!("--rounds 1 -t 1 --io-size 64KiB --engine {engine} source copy");
        if scene.run(&format!("bench {line}")).status.code() == Some(5) {
            crate::common::skip(&format!("engine {engine} cannot serve in the temporary folder"));
            continue;
        }
        let written = traced(&scene, "pwrite64", &line);
        let bytes: u64 = written.iter().map(|(_, bytes)| bytes).sum();
        assert_eq!(bytes, 2 << 20, "{engine}: two runs of a mebibyte");
    }
    let text = scene.run("bench --rounds 1 -t 1 --engine positioned source copy").code(0).out();
    assert!(text.contains("100 % of what was read is holes"), "{text}");
}

/// The write limit is that of a copy: with its reservation, its early writing
/// and its manners.
#[cfg(target_os = "linux")]
#[test]
fn zeros_are_written_as_a_copy_writes() {
    if !crate::inject::can_inject() {
        return;
    }
    let scene = Scene::new();
    let calls = "fallocate,sync_file_range,fadvise64";
    let count =
        |found: &[(String, u64)], name: &str| found.iter().filter(|call| call.0 == name).count();
    let line = "--rounds 1 -t 1 --size 64MiB --engine positioned zero: copy";
    let found = traced(&scene, calls, line);
    assert!(count(&found, "sync_file_range") > 0, "{found:?}");
    assert!(count(&found, "fadvise64") > 0, "{found:?}");
    // Room for the map of each run, as for any copy that long.
    let line = "--rounds 1 -t 1 --size 1MiB --engine positioned zero: copy";
    let plain = count(&traced(&scene, calls, line), "fallocate");
    let line = "--rounds 1 -t 1 --size 1MiB --engine direct zero: copy";
    if scene.run(&format!("bench {line}")).status.code() == Some(5) {
        return crate::common::skip("engine direct cannot serve in the temporary folder");
    }
    let found = traced(&scene, calls, line);
    assert!(count(&found, "fallocate") > plain, "{plain}: {found:?}");
}
