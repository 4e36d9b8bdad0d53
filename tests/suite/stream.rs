//! `-` as destination: the range in order, to whatever standard output is.

use std::io::Read;
use std::process::Stdio;

use crate::common::{Scene, assert_same, has_tools, program};

#[track_caller]
fn check(options: &str, from: usize, end: usize) {
    let scene = Scene::new();
    let source = scene.source("source", 1_000_003);
    let ended = scene.run(&format!("{options} source -")).code(0);
    assert_same(&ended.stdout, &source[from..end], options);
    assert_eq!(scene.names(), ["source"], "{options}: nothing but the stream is written");
}

#[test]
fn a_stream_is_the_range_in_order() {
    check("", 0, 1_000_003);
    check("-r 5..5", 5, 5);
    for threads in [1, 2, 8] {
        for io_size in ["512", "4096", "1MiB"] {
            check(&format!("-t {threads} --io-size {io_size}"), 0, 1_000_003);
            check(&format!("-t {threads} --io-size {io_size} -r 77..999999"), 77, 999_999);
        }
    }
}

#[test]
fn a_slow_reader_gets_every_byte() {
    let scene = Scene::new();
    let source = scene.source("source", 3 << 20);
    let mut command = scene.pcopy(["-t", "4", "-q", "source", "-"]).command;
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let (mut pipe, mut found) = (child.stdout.take().unwrap(), Vec::new());
    // Reads of a few bytes keep the pipe full, so that every wait is taken.
    let mut buffer = [0; 1021];
    loop {
        match pipe.read(&mut buffer).unwrap() {
            0 => break,
            count => found.extend_from_slice(&buffer[..count]),
        }
    }
    assert!(child.wait().unwrap().success());
    assert_same(&found, &source, "the stream");
}

#[test]
fn a_file_is_appended_to_where_the_shell_says_so() {
    let scene = Scene::new();
    let source = scene.source("source", 100_000);
    scene.write("out", b"before");
    let out = std::fs::File::options().append(true).open(scene.path("out")).unwrap();
    let mut command = scene.pcopy(["-q", "source", "-"]).command;
    assert!(command.stdout(out).status().unwrap().success());
    assert_same(&scene.read("out"), &[b"before", &source[..]].concat(), "the file");
}

#[test]
fn digests_of_a_stream_stand_on_standard_error() {
    if !has_tools(&["md5sum"]) {
        return;
    }
    let scene = Scene::new();
    scene.source("source", 50_000);
    let line = scene.tool("md5sum", ["source"]).run().out().replace("source", "-");
    scene.run("--digest md5 -t 3 --io-size 512 source -").code(0).says(&[&line]);
    scene.run("--expect md5:00000000000000000000000000000000 source -").code(4);
}

#[cfg(unix)]
#[test]
fn a_closed_pipe_ends_the_process_as_it_ends_other_tools() {
    let scene = Scene::new();
    scene.source("source", 8 << 20);
    let mut command = scene.pcopy(["-t", "3", "--progress", "none", "source", "-"]).command;
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut buffer = [0; 100];
    child.stdout.take().unwrap().read_exact(&mut buffer).unwrap();
    let output = child.wait_with_output().unwrap();
    let signal = std::os::unix::process::ExitStatusExt::signal(&output.status);
    assert_eq!(signal, Some(rustix::process::Signal::PIPE.as_raw()));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[cfg(unix)]
#[test]
fn a_wish_to_stop_is_heard_while_nobody_reads() {
    let scene = Scene::new();
    scene.source("source", 8 << 20);
    let mut running = scene.pcopy(["--progress", "json", "source", "-"]).start();
    running.wait_until_copying();
    running.signal(rustix::process::Signal::TERM);
    let status = running.child.wait().unwrap();
    let signal = std::os::unix::process::ExitStatusExt::signal(&status);
    assert_eq!(signal, Some(rustix::process::Signal::TERM.as_raw()));
}

#[test]
fn what_makes_no_sense_with_a_stream_is_refused() {
    let scene = Scene::new();
    scene.source("source", 1000);
    for options in [
        "--json",
        "--force",
        "--in-place",
        "--to-device",
        "--resume",
        "--restart",
        "--map m",
        "--dest-offset 1",
        "--engine direct",
        "--reflink always",
        "--sparse always",
        "--preallocate full",
    ] {
        let ended = scene.run(&format!("{options} source -")).code(2);
        assert!(ended.stdout.is_empty(), "{options}");
    }
    for options in ["--engine positioned", "--reflink never", "--sparse never", "--keep-cache"] {
        scene.run(&format!("{options} source -")).code(0);
    }
    if cfg!(unix) && has_tools(&["script"]) {
        let line = format!("{} source -", program().display());
        let ended = scene.tool("script", ["-qec", &line, "/dev/null"]).run().code(3);
        assert!(ended.out().contains("terminal"), "{}", ended.out());
    }
}
