//! Promise: on a terminal of any width the line of progress says what matters,
//! in one row; a source that gives nothing is said to; nothing of it stays.
//!
//! The terminal is that of tmux, whose screen can be looked at.

use std::process::Command;

use crate::common::{Scene, has_tools, program, wait_until};

/// A terminal with a shell in it.
struct Terminal<'a> {
    scene: &'a Scene,
}

impl Terminal<'_> {
    /// One of such a size, in which `script` is run; it stays until it is dropped.
    fn new<'a>(scene: &'a Scene, columns: u32, rows: u32, script: &str) -> Terminal<'a> {
        let script = format!("{script}; echo ended; cat");
        let script = script.replace("pcopy", &program().display().to_string());
        let terminal = Terminal { scene };
        let size = [columns.to_string(), rows.to_string()];
        let [columns, rows] = size.each_ref().map(String::as_str);
        terminal.tmux(&["new-session", "-d", "-x", columns, "-y", rows, &script]);
        terminal
    }

    fn tmux(&self, arguments: &[&str]) -> String {
        let mut tmux = Command::new("tmux");
        tmux.current_dir(self.scene.folder()).env_remove("TMUX").env("LC_ALL", "C.UTF-8");
        tmux.args(["-u", "-S", "socket", "-f", "/dev/null"]).args(arguments);
        let output = tmux.output().expect("tmux can be run");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "tmux {arguments:?}: {said}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The rows that are not empty.
    fn screen(&self) -> Vec<String> {
        let screen = self.tmux(&["capture-pane", "-p"]);
        screen.lines().map(str::to_owned).filter(|row| !row.is_empty()).collect()
    }

    /// The screen once it is as `wanted`.
    #[track_caller]
    fn wait_for(&self, what: &str, wanted: impl Fn(&[String]) -> bool) -> Vec<String> {
        let mut found = Vec::new();
        let seen = std::cell::RefCell::new(&mut found);
        wait_until(what, || {
            let screen = self.screen();
            let is_there = wanted(&screen);
            **seen.borrow_mut() = screen;
            is_there
        });
        found
    }
}

impl Drop for Terminal<'_> {
    fn drop(&mut self) {
        let mut tmux = Command::new("tmux");
        tmux.current_dir(self.scene.folder()).args(["-S", "socket", "kill-server"]);
        let _ = tmux.output();
    }
}

fn has(screen: &[String], text: &str) -> bool {
    screen.iter().any(|row| row.contains(text))
}

#[test]
fn the_line_says_what_matters_at_each_width() {
    if !has_tools(&["tmux"]) {
        return;
    }
    let scene = Scene::new();
    scene.source("source", 64 << 20);
    let copy = "NO_COLOR=1 pcopy --reflink never --limit-rate 256KiB --io-size 64KiB source copy";
    let terminal = Terminal::new(&scene, 80, 24, copy);
    let screen = terminal.wait_for("the rate", |screen| has(screen, "rate"));
    let [line, map, rate] = &screen[..] else { panic!("{screen:#?}") };
    for figure in ["copying ", "%", "iB/s, ", " left", " elapsed"] {
        assert!(line.contains(figure), "{figure}: {line}");
    }
    assert!(map.starts_with("  map  ") && map.ends_with('.'), "{map}");
    assert_eq!(map.chars().count(), 7 + 64, "{map}");
    assert!(rate.ends_with(" average"), "{rate}");
    // No colour, and nothing else that is more than a character.
    assert!(!terminal.tmux(&["capture-pane", "-p", "-e"]).contains("\u{1b}["));
    for (columns, figures) in [
        ("50", &["copying ", "/s, ", " left"][..]),
        ("20", &["%", " left"]),
        ("120", &["copying ", " of 64 MiB", "/s, ", " left", " elapsed"]),
    ] {
        terminal.tmux(&["resize-window", "-x", columns, "-y", "24"]);
        let is_large = columns == "120";
        terminal.wait_for("a line of the new width", |screen| {
            // What was wider than the terminal has become may stay above, torn.
            let is_whole = |row: &String| figures.iter().all(|figure| row.contains(figure));
            screen.iter().any(is_whole) && (!is_large || has(screen, "  map  "))
        });
    }
}

#[test]
fn nothing_of_it_stays() {
    if !has_tools(&["tmux"]) {
        return;
    }
    let scene = Scene::new();
    scene.source("source", 4 << 20);
    let copy = "pcopy --reflink never --limit-rate 1MiB --io-size 64KiB source copy";
    let terminal = Terminal::new(&scene, 80, 24, copy);
    terminal.wait_for("the map", |screen| has(screen, "  map  "));
    let screen = terminal.wait_for("the end", |screen| has(screen, "ended"));
    assert!(screen[0].starts_with("copied 4 MiB"), "{screen:#?}");
    assert!(!has(&screen, "%") && !has(&screen, "  map  "), "{screen:#?}");
}

#[test]
fn a_pipe_that_gives_nothing_has_no_time_left() {
    if !has_tools(&["tmux", "mkfifo"]) {
        return;
    }
    let scene = Scene::new();
    scene.source("part", 3 << 20);
    let copy = "mkfifo pipe; (cat part; cat pipe) | pcopy --length 4MiB - copy";
    let terminal = Terminal::new(&scene, 80, 24, copy);
    let screen = terminal.wait_for("that nothing comes", |screen| has(screen, "no data for 0:0"));
    assert!(!has(&screen, " left") && has(&screen, "75%"), "{screen:#?}");
}

#[test]
fn a_terminal_that_cannot_write_over_a_line_gets_lines() {
    if !has_tools(&["tmux"]) {
        return;
    }
    let scene = Scene::new();
    scene.source("source", 64 << 20);
    let copy = "TERM=dumb pcopy --reflink never --limit-rate 4MiB --io-size 64KiB source copy";
    let terminal = Terminal::new(&scene, 100, 24, copy);
    let screen = terminal.wait_for("a line", |screen| has(screen, "copying "));
    assert!(has(&screen, "%: ") && !has(&screen, "  map  "), "{screen:#?}");
}

#[test]
fn the_file_at_work_is_named() {
    if !has_tools(&["tmux"]) {
        return;
    }
    let scene = Scene::new();
    std::fs::create_dir(scene.path("many")).expect("a folder can be made");
    std::fs::create_dir(scene.path("to")).expect("a folder can be made");
    for file in 0..20 {
        scene.source(format!("many/a-file-with-quite-a-name-{file}"), 1 << 20);
    }
    let copy = "pcopy --reflink never --limit-rate 512KiB --io-size 64KiB -R many to";
    let terminal = Terminal::new(&scene, 80, 24, copy);
    let screen = terminal.wait_for("a name", |screen| has(screen, "a-file-with-quite-a-name-"));
    assert!(has(&screen, "/20 files"), "{screen:#?}");
}
