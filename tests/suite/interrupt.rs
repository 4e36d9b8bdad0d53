//! Signals: a copy that is told to stop leaves no final name (invariant I4),
//! stops between requests (I8), and dies by the signal.

use rustix::process::Signal;
use serde_json::Value;

use crate::common::{Running, Scene, assert_same, pattern, skip};

/// Slow enough to be in the middle whatever the machine does.
const SLOW: &str = "--reflink never --limit-rate 1MiB --io-size 64KiB --progress json";

/// A copy in the middle of its bytes.
fn in_the_middle(scene: &Scene, options: &str) -> Running {
    scene.source("source", 16 << 20);
    let line = format!("{SLOW} {options} source copy");
    let mut running = scene.pcopy(line.split_whitespace()).start();
    running.wait_until_copying();
    running
}

#[test]
fn an_interrupted_copy_leaves_no_final_name_and_dies_by_the_signal() {
    for (signal, threads) in
        [(Signal::INT, 1), (Signal::INT, 4), (Signal::TERM, 4), (Signal::HUP, 2)]
    {
        if signal == Signal::HUP && pcopy::sys::is_ignored(signal.as_raw()) {
            skip("the tests run under nohup, and what they start ignores that the terminal closes");
            continue;
        }
        let scene = Scene::new();
        let running = in_the_middle(&scene, &format!("--json -t {threads}"));
        assert!(scene.has("copy.pcopy-part") && !scene.has("copy"));
        running.signal(signal);
        let ended = running.end().died_by(signal).says(&["interrupted"]);
        assert!(!scene.has("copy"), "the final name shows nothing partial");
        let report = ended.report();
        assert_eq!(report["outcome"], "interrupted");
        assert!(report["bytes"]["copied"].as_u64() < Some(16 << 20), "{report}");
    }
}

/// nohup(1): the terminal may close, and the copy goes on.
#[test]
fn who_is_to_ignore_that_the_terminal_closes_does() {
    let scene = Scene::new();
    let bytes = scene.source("source", 4 << 20);
    let script = format!("trap '' HUP; exec \"$0\" {SLOW} source copy");
    let mut shell = scene.tool("sh", ["-c", &script]);
    shell.command.arg(crate::common::program());
    let mut running = shell.start();
    running.wait_until_copying();
    running.signal(Signal::HUP);
    running.end().code(0);
    assert_same(&scene.read("copy"), &bytes, "the copy");
}

/// Whoever asks why a copy that was ended had become slow wants to know.
#[test]
fn an_interrupted_copy_reports_what_the_thread_controller_did() {
    let scene = Scene::new();
    let running = in_the_middle(&scene, "--json");
    running.signal(Signal::INT);
    let report = running.end().died_by(Signal::INT).report();
    let notes = report["notes"].as_array().cloned().unwrap_or_default();
    let decided = notes.iter().filter_map(Value::as_str).any(|note| note.contains("(best "));
    assert!(decided, "{report}");
}

#[test]
fn a_shell_sees_130_and_143() {
    for (signal, code) in [(Signal::INT, "130"), (Signal::TERM, "143")] {
        let scene = Scene::new();
        scene.source("source", 16 << 20);
        let script = format!("$0 {SLOW} source copy & echo pid $! >&2; wait $!; echo $?");
        let mut shell = scene.tool("sh", ["-c", &script]);
        shell.command.arg(crate::common::program());
        let mut running = shell.start();
        let line = running.wait_for_line(|line| line.starts_with("pid "));
        let pid = line["pid ".len()..].parse().unwrap();
        running.wait_until_copying();
        let pid = rustix::process::Pid::from_raw(pid).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
        assert_eq!(running.end().out().trim(), code);
    }
}

#[test]
fn an_interrupted_replacement_leaves_the_old_file() {
    let scene = Scene::new();
    let old = pattern(2, 5000);
    scene.write("copy", &old);
    let running = in_the_middle(&scene, "--force -t 2");
    running.signal(Signal::TERM);
    running.end().died_by(Signal::TERM);
    assert_same(&scene.read("copy"), &old, "the old file");
}

/// A second signal is an order. The first may still be on its way to the
/// job when it comes; both ways the process dies by the signal.
#[test]
fn a_second_signal_ends_at_once() {
    let scene = Scene::new();
    let running = in_the_middle(&scene, "-t 4");
    running.signal(Signal::INT);
    running.signal(Signal::INT);
    running.end().died_by(Signal::INT);
    assert!(!scene.has("copy"));
}

#[test]
fn usr1_prints_a_line_and_the_copy_goes_on() {
    let scene = Scene::new();
    let mut running = in_the_middle(&scene, "-t 2");
    running.signal(Signal::USR1);
    let line = running.wait_for_line(|line| line.contains("message"));
    let message: Value = serde_json::from_str(&line).unwrap();
    let text = message["text"].as_str().unwrap();
    assert!(text.starts_with("copying ") && text.contains("of 16 MiB"), "{text}");
    running.wait_until_copying();
    running.signal(Signal::TERM);
    running.end().died_by(Signal::TERM);
}

#[test]
fn usr1_prints_a_plain_line_where_progress_is_plain() {
    let scene = Scene::new();
    scene.source("source", 16 << 20);
    let line = "--limit-rate 1MiB --io-size 64KiB --progress plain -v source copy";
    let mut running = scene.pcopy(line.split_whitespace()).start();
    // Said when everything is open and about to move.
    running.wait_for_line(|line| line.contains("engine"));
    running.signal(Signal::USR1);
    running.wait_for_line(|line| line.starts_with("pcopy: ") && line.contains('%'));
    running.signal(Signal::TERM);
    running.end().died_by(Signal::TERM);
}
