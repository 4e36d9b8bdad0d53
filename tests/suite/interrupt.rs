//! Signals: a copy that is told to stop leaves no final name (invariant I4),
//! stops between requests (I8), and dies by the signal.

use std::process::Stdio;

use rustix::process::Signal;
use serde_json::Value;

use crate::common::{Running, Scene, assert_same, has_tools, pattern, skip, wait_until};

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

/// Zeros of a hole are hashed by one worker, and the others are far ahead of it.
#[test]
fn an_interrupt_is_heard_while_a_hole_is_hashed() {
    let scene = Scene::new();
    scene.source("source", 4 << 20);
    let source = std::fs::File::options().write(true).open(scene.path("source")).unwrap();
    // Minutes of hashing.
    if source.set_len(64 << 30).is_err() {
        return skip("this file system has no files of 64 GiB");
    }
    let line = "--digest md5 -t 3 --progress json source copy";
    let mut running = scene.pcopy(line.split(' ')).start();
    running.wait_until_copied(1 << 20);
    running.signal(Signal::INT);
    running.end().died_by(Signal::INT);
    assert!(!scene.has("copy"));
}

/// nohup(1), `trap ''`: the copy goes on.
#[test]
fn a_signal_that_the_caller_ignores_stays_ignored() {
    for (signal, name) in [(Signal::HUP, "HUP"), (Signal::INT, "INT"), (Signal::TERM, "TERM")] {
        let scene = Scene::new();
        let bytes = scene.source("source", 2 << 20);
        let script = format!("trap '' {name}; exec \"$0\" {SLOW} source copy");
        let mut shell = scene.tool("sh", ["-c", &script]);
        shell.command.arg(crate::common::program());
        let mut running = shell.start();
        running.wait_until_copying();
        running.signal(signal);
        running.end().code(0);
        assert_same(&scene.read("copy"), &bytes, name);
    }
}

/// A shell without job control has what it puts into the background ignore
/// Ctrl-C: also a batch, and one whose list is still to come.
#[test]
fn ctrl_c_does_not_reach_the_background_of_a_script() {
    let scene = Scene::new();
    let bytes = scene.source("source", 1 << 20);
    scene.write("list.csv", b"name,start,len\none,0,1048576\n");
    let script = "mkfifo list; \"$0\" batch - --source source --into out < list & \
                  pid=$!; exec 3> list; echo ready >&2; read go; kill -INT $pid; \
                  cat list.csv >&3; exec 3>&-; wait $pid; echo $?";
    let mut shell = scene.tool("sh", ["-c", script]);
    shell.command.arg(crate::common::program());
    let ended = shell.with_input(b"go\n");
    assert_eq!(ended.out().trim(), "0", "{}", ended.stderr);
    assert_same(&scene.read("out/one"), &bytes, "the item");
}

/// It matters to a user who asks why a copy that was ended had become slow.
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
        let program = format!("echo pid $$ >&2; exec \"$0\" {SLOW} source copy");
        let script = format!("sh -c '{program}' \"$0\"; echo $?");
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

/// Whether the process of the file `status` has a handler for `signal`.
fn catches(status: &str, signal: Signal) -> bool {
    let status = std::fs::read_to_string(status).unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask & 1 << (signal.as_raw() - 1) != 0
}

/// A list that somebody else is still writing.
#[test]
fn a_list_that_does_not_come_can_be_given_up() {
    if !std::path::Path::new("/proc/self/status").exists() {
        return skip("needs /proc");
    }
    let scene = Scene::new();
    scene.source("source", 4096);
    for sent in ["", "name,start,len\none,0,40"] {
        let script = format!("printf '{sent}'; exec sleep 1000");
        let mut writer = scene.tool("sh", ["-c", &script]).command;
        let mut writer = writer.stdout(Stdio::piped()).spawn().expect("a shell");
        let mut batch = scene.pcopy("batch - --source source --into out".split(' '));
        batch.command.stdin(writer.stdout.take().expect("a pipe"));
        batch.command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut batch = batch.command.spawn().expect("it starts");
        let pid = rustix::process::Pid::from_child(&batch);
        let status = format!("/proc/{}/status", batch.id());
        wait_until("it hears signals", || catches(&status, Signal::INT));
        rustix::process::kill_process(pid, Signal::INT).unwrap();
        let status = batch.wait().expect("it ends");
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(2), "{status}");
        writer.kill().expect("the writer is there");
        writer.wait().expect("it ends");
        assert!(!scene.has("out"));
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

/// One wish that is told twice is not an order to leave everything as it is. That a
/// second one is, is tested on a source that does not answer.
#[test]
fn signals_at_the_same_time_are_one() {
    let pairs = [
        (Signal::TERM, Signal::TERM),
        (Signal::INT, Signal::TERM),
        (Signal::INT, Signal::INT),
        (Signal::HUP, Signal::TERM),
        (Signal::TERM, Signal::HUP),
    ];
    for (first, second) in pairs {
        let scene = Scene::new();
        let running = in_the_middle(&scene, "-t 4");
        running.signal(first);
        running.signal_if_there(second);
        let ended = running.end().says(&["interrupted", "--resume"]);
        assert!(
            scene.has("copy.pcopy-map") && scene.has("copy.pcopy-part"),
            "{first:?} {second:?}"
        );
        // Of two that are pending, the kernel chooses which is delivered first.
        let died = std::os::unix::process::ExitStatusExt::signal(&ended.status);
        assert!(died == Some(first.as_raw()) || died == Some(second.as_raw()), "{}", ended.status);
    }
}

/// timeout(1) tells the process, and then its group.
#[test]
fn a_copy_that_ran_out_of_time_can_be_resumed() {
    if !has_tools(&["timeout"]) {
        return;
    }
    let scene = Scene::new();
    let bytes = scene.source("source", 16 << 20);
    let mut timeout = scene.tool("timeout", ["4"]);
    timeout.command.arg(crate::common::program());
    timeout.command.args("--reflink never --limit-rate 1MiB --io-size 64KiB".split(' '));
    timeout.command.args(["source", "copy"]);
    timeout.run().code(124).says(&["interrupted", "--resume"]);
    assert!(scene.has("copy.pcopy-map"));
    scene.run("--resume source copy").code(0);
    assert_same(&scene.read("copy"), &bytes, "the copy");
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
