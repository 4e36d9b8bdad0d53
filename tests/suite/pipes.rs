//! Standard input, named pipes and sockets as what is read: once, in order, to an
//! end that nobody knows before.

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::process::{Child, ChildStdin, Output, Stdio};

use pcopy::digest::{Algorithm, hash_slice};
use pcopy::endpoint::pipe::Pipe;
use pcopy::{CopyJob, Leftovers, RangeSpec, Sparse};
use proptest::prelude::*;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::common::{Scene, assert_same, has_tools, pattern, program, skip, wait_until};

/// Runs `line` with `input` on standard input, whether it reads all of it or not.
#[track_caller]
fn fed(scene: &Scene, line: &str, input: &[u8], code: i32) -> Output {
    let (child, mut pipe) = start(scene, line);
    let input = input.to_vec();
    let writer = std::thread::spawn(move || pipe.write_all(&input));
    let output = child.wait_with_output().expect("a child can be waited for");
    let _ = writer.join().expect("the writer does not panic");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{line}\n{stderr}");
    output
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn report(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).expect("a report")
}

/// Starts `line`, with its standard input in the hands of the caller.
fn start(scene: &Scene, line: &str) -> (Child, ChildStdin) {
    let mut command = scene.pcopy(line.split_whitespace()).command;
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("it starts");
    let pipe = child.stdin.take().expect("stdin is a pipe");
    (child, pipe)
}

#[test]
fn a_new_file_gets_every_byte_whatever_its_number() {
    let scene = Scene::new();
    let bytes = pattern(1, 20_000);
    for threads in [1, 2, 5] {
        for len in [0, 1, 4095, 4096, 4097, 8192, 20_000] {
            let line = format!("--force -t {threads} --io-size 4096 - copy");
            fed(&scene, &line, &bytes[..len], 0);
            assert_same(&scene.read("copy"), &bytes[..len], &line);
        }
    }
    assert_eq!(scene.names(), ["copy"], "nothing is left beside it");
}

/// ext4 writes to the disk, when it is closed, what was cut to nothing before.
#[cfg(target_os = "linux")]
#[test]
fn a_new_file_is_not_cut_to_nothing() {
    if !crate::inject::can_inject() {
        return;
    }
    let scene = Scene::new();
    scene.source("source", 100_000);
    for options in ["--no-sync", "--length 100000", "--split 64KiB"] {
        let line = format!(
            "rm -f copy*; cat source | strace -f -qqq -o trace -e trace=ftruncate {} {options} - copy",
            program().display()
        );
        scene.tool("sh", ["-c", &line]).run().code(0);
        let trace = String::from_utf8(scene.read("trace")).expect("text");
        assert!(!trace.contains(", 0)"), "{options}: {trace}");
    }
}

#[test]
fn a_part_of_a_stream_is_copied_and_no_byte_behind_it_is_read() {
    let scene = Scene::new();
    let bytes = pattern(1, 100_000);
    for (options, from, end) in [
        ("-r 0..0", 0, 0),
        ("-r 5..4097", 5, 4097),
        ("--length 70000", 0, 70_000),
        ("--offset 99999", 99_999, 100_000),
        ("--offset 100000", 100_000, 100_000),
        ("-r 4096..", 4096, 100_000),
        ("--clamp -r 90000..200000", 90_000, 100_000),
        ("--clamp --offset 200000", 100_000, 100_000),
    ] {
        let line = format!("--force --io-size 4096 {options} - copy");
        fed(&scene, &line, &bytes, 0);
        assert_same(&scene.read("copy"), &bytes[from..end], &line);
    }
    scene.write("script", b"\"$1\" -q --length 70000 - copy2 && cat > rest");
    let mut shell = scene.tool("sh", ["script"]);
    shell.command.arg(program());
    shell.with_input(&bytes).code(0);
    assert_same(&scene.read("copy2"), &bytes[..70_000], "what was asked for");
    assert_same(&scene.read("rest"), &bytes[70_000..], "what the next program gets");
}

#[test]
fn in_place_no_byte_outside_is_touched() {
    let scene = Scene::new();
    let (before, bytes) = (pattern(2, 50_000), pattern(1, 10_000));
    for at in [0, 1, 4096, 33_333, 39_999, 45_000, 50_000, 60_000] {
        for sparse in ["auto", "always"] {
            scene.write("there", &before);
            let line = format!(
                "--in-place --sparse {sparse} --io-size 4096 -t 3 --dest-offset {at} - there"
            );
            fed(&scene, &line, &bytes, 0);
            let mut expected = before.clone();
            expected.resize(expected.len().max(at + bytes.len()), 0);
            expected[at..at + bytes.len()].copy_from_slice(&bytes);
            assert_same(&scene.read("there"), &expected, &line);
        }
    }
    scene.write("there", &before);
    fed(&scene, "--in-place --dest-offset 90000 - there", b"", 0);
    assert_same(&scene.read("there"), &before, "nothing makes no file longer");
}

/// Nobody knows how far it will write, so what is behind its beginning is its own.
#[test]
fn a_stream_in_place_keeps_others_away_from_what_it_may_write() {
    let scene = Scene::new();
    scene.write("there", &pattern(2, 50_000));
    scene.source("source", 1000);
    let (mut child, mut pipe) =
        start(&scene, "--progress json --in-place --dest-offset 20000 - there");
    pipe.write_all(&[7; 10]).unwrap();
    wait_for(&mut child, |event| event["copied"] == 10);
    scene.run("--in-place --dest-offset 19000 source there").code(0);
    scene.run("--in-place --dest-offset 30000 source there").code(3);
    drop(pipe);
    assert!(child.wait_with_output().unwrap().status.success());
    scene.run("--in-place --dest-offset 30000 source there").code(0);
}

#[test]
fn several_destinations_are_written_from_one_stream() {
    let scene = Scene::new();
    let bytes = pattern(1, 300_000);
    let line = "--also b --also c --verify --json - a";
    let told = report(&fed(&scene, line, &bytes, 0));
    for name in ["a", "b", "c"] {
        assert_same(&scene.read(name), &bytes, name);
    }
    assert_eq!(told["also"][1]["verified"], true);
}

#[test]
fn a_stage_of_a_pipeline_passes_on_what_comes_at_once() {
    let scene = Scene::new();
    let bytes = pattern(1, 3_000_000);
    let output = fed(&scene, "-q --digest sha256 - -", &bytes, 0);
    assert_same(&output.stdout, &bytes, "the stream");
    assert!(said(&output).contains("  -"), "a digest line: {}", said(&output));

    let (mut child, mut pipe) = start(&scene, "-q - -");
    let mut out = child.stdout.take().unwrap();
    // With a request that is not full in each hand, nobody would get anything.
    for word in [&b"first"[..], b"second"] {
        pipe.write_all(word).unwrap();
        let mut found = vec![0; word.len()];
        out.read_exact(&mut found).unwrap();
        assert_eq!(found, word);
    }
    drop(pipe);
    assert!(child.wait().unwrap().success());
}

#[test]
fn digests_and_expectations_hold() {
    if !has_tools(&["sha256sum", "md5sum"]) {
        return;
    }
    let scene = Scene::new();
    let bytes = scene.source("source", 1_000_003);
    let sum = |tool: &str| {
        let line = scene.tool(tool, ["source"]).run().out();
        line.split(' ').next().unwrap().to_owned()
    };
    let (sha, md5) = (sum("sha256sum"), sum("md5sum"));
    let line = format!("-t 3 --io-size 4096 --digest blake3 --digest sha256 --expect md5:{md5}");
    let output = fed(&scene, &format!("{line} - copy"), &bytes, 0);
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(printed.contains(&sha), "{printed}");
    // What a file gives by the same name of digest.
    let of_file = scene.run("--digest blake3 source copy2").code(0).out();
    let blake3 = of_file.split(' ').next().unwrap();
    assert!(printed.contains(blake3), "{printed}{of_file}");

    let output = fed(&scene, &format!("--expect md5:{sha:.32} - wrong"), &bytes, 4);
    assert!(!scene.has("wrong"), "nothing has the name");
    assert!(said(&output).contains("1000003 bytes of the copy are in"), "{}", said(&output));
}

#[test]
fn zeros_become_holes_where_that_is_wanted_and_the_copy_is_verified() {
    let scene = Scene::new();
    let mut bytes = vec![0; 8 << 20];
    bytes[3 << 20..(3 << 20) + 100].fill(7);
    let output = fed(&scene, "--sparse always --verify --json - copy", &bytes, 0);
    assert_same(&scene.read("copy"), &bytes, "the copy");
    let told = report(&output);
    assert_eq!(told["verified"], true);
    assert_eq!(
        told["bytes"]["holes"].as_u64().unwrap() + told["bytes"]["copied"].as_u64().unwrap(),
        8 << 20
    );
    assert!(told["bytes"]["holes"].as_u64().unwrap() > 7 << 20, "{told}");
    let stored = scene.path("copy").metadata().unwrap().blocks() * 512;
    assert!(stored < 4 << 20, "{stored} bytes of storage");
}

#[test]
fn a_report_says_what_is_known_and_nothing_else() {
    let scene = Scene::new();
    let told = report(&fed(&scene, "--json - copy", &[7; 5000], 0));
    assert_eq!(told["source"]["kind"], "stream");
    assert_eq!(told["source"]["size"], 5000);
    assert_eq!(told["bytes"]["requested"], 5000);
    assert_eq!(told["range"]["end"], 5000);
    let told = report(&fed(&scene, "--json --dry-run - copy2", &[], 0));
    assert_eq!(told["source"]["size"], Value::Null);
    assert_eq!(told["bytes"]["requested"], Value::Null);
    let told = report(&fed(&scene, "--json --length 6000 - copy2", &[7; 5000], 5));
    assert_eq!(told["error_kind"], "stream_ended");
    assert_eq!(told["bytes"]["requested"], 6000);
    assert_eq!(told["bytes"]["copied"], 5000);
}

#[test]
fn a_length_is_a_promise_and_what_arrived_is_kept() {
    let scene = Scene::new();
    let bytes = pattern(1, 500_000);
    let output = fed(&scene, "--length 500001 - copy", &bytes, 5);
    let text = said(&output);
    assert!(text.contains("ended after 500000 bytes; at least 500001 were expected"), "{text}");
    assert!(
        text.contains("the first 500000 bytes of the copy are in './copy.pcopy-part'"),
        "{text}"
    );
    assert!(!text.contains("--resume"), "nothing can be resumed: {text}");
    assert_eq!(scene.names(), ["copy.pcopy-part"]);
    assert_same(&scene.read("copy.pcopy-part"), &bytes, "the part");

    let text = said(&fed(&scene, "- copy", &bytes, 3));
    assert!(text.contains("--restart discards it") && !text.contains("--resume"), "{text}");
    fed(&scene, "--restart --length 500000 - copy", &bytes, 0);
    assert_eq!(scene.names(), ["copy"]);

    // In place the file is as long as before, or as what arrived makes it.
    for (at, len) in [(0, 500_000), (499_999, 999_999)] {
        let line = format!("--in-place --length 700000 --dest-offset {at} - copy");
        fed(&scene, &line, &bytes, 5);
        assert_eq!(scene.read("copy").len(), len, "{line}");
    }
    // Where nothing arrived, nothing is left.
    fed(&scene, "--length 1 - nothing", b"", 5);
    fed(&scene, "--offset 10 - nothing", b"five", 5);
    assert_eq!(scene.names(), ["copy"]);
}

#[test]
fn what_a_stream_cannot_give_is_refused() {
    let scene = Scene::new();
    for (line, code, why) in [
        ("--resume - copy", 2, "can be read only once"),
        ("--map m - copy", 2, "can be read only once"),
        ("--verify --repair - copy", 2, "can be read only once"),
        ("--preserve - copy", 2, "can be read only once"),
        ("--engine direct - copy", 2, "other than positioned"),
        ("--reflink always - copy", 2, "can be read only once"),
        ("--preallocate full - copy", 2, "is not known"),
        ("-r -100 - copy", 3, "no known length before it ends"),
        ("- .", 3, "no name for a file"),
        ("- ./list .", 2, "by a copy of it alone"),
        ("verify - copy", 2, "by a copy of it alone"),
    ] {
        scene.write("list", b"x");
        let text = said(&fed(&scene, line, &[1; 100], code));
        assert!(text.contains(why), "{line}: {text}");
        assert_eq!(scene.names(), ["list"], "{line}");
    }
    scene.run("batch list.jsonl --into out").code(3);
    scene.write("list.jsonl", b"{\"name\":\"a\",\"source\":\"-\"}\n");
    scene.run("batch list.jsonl --into out").code(2).says(&["by a copy of it alone"]);
    let line = "--engine positioned --preallocate full --length 100 --sparse never - copy";
    fed(&scene, line, &[1; 100], 0);
    if has_tools(&["script"]) {
        let line = format!("{} - copy3", program().display());
        let ended = scene.tool("script", ["-qec", &line, "/dev/null"]).run().code(3);
        assert!(ended.out().contains("a terminal; pipe something into it"), "{}", ended.out());
    }
}

#[test]
fn a_file_on_standard_input_is_read_from_where_it_stands() {
    let scene = Scene::new();
    let bytes = scene.source("source", 100_000);
    let script = "dd bs=10 count=1 status=none of=/dev/null; \"$0\" -q --offset 90 --length 900 - copy; \
                  cat > rest";
    let mut shell = scene.tool("sh", ["-c", script]).command;
    let file = std::fs::File::open(scene.path("source")).unwrap();
    assert!(shell.arg(program()).stdin(file).status().unwrap().success());
    assert_same(&scene.read("copy"), &bytes[100..1000], "counted from where it stands");
    assert_same(&scene.read("rest"), &bytes[1000..], "who reads next goes on behind it");

    let run = |line: &str, file: std::fs::File| {
        let mut command = scene.pcopy(line.split(' ')).command;
        command.stdin(file).output().expect("it runs")
    };
    let open = |name: &str| std::fs::File::open(scene.path(name)).unwrap();
    // Everything that a file can do.
    let output = run("--json --verify --repair --resume - copy2", open("source"));
    let told = report(&output);
    assert_eq!(
        (&told["source"]["kind"], &told["source"]["size"]),
        (&"file".into(), &100_000.into())
    );
    assert_same(&scene.read("copy2"), &bytes, "all of it");
    assert_eq!(run("--force - source", open("source")).status.code(), Some(3), "onto itself");
    assert_eq!(run("- copy3", std::fs::File::open(scene.folder()).unwrap()).status.code(), Some(3));
    assert!(!scene.has("copy3"));
}

#[test]
fn a_named_pipe_is_read_when_somebody_writes_to_it() {
    if !has_tools(&["mkfifo", "bash"]) {
        return;
    }
    let scene = Scene::new();
    let bytes = scene.source("source", 200_000);
    scene.tool("mkfifo", ["pipe"]).run().code(0);
    let script = "\"$0\" -q --offset 7 pipe copy & cat source > pipe; wait $!";
    let mut shell = scene.tool("bash", ["-c", script]);
    shell.command.arg(program());
    shell.run().code(0);
    assert_same(&scene.read("copy"), &bytes[7..], "the copy");

    let script = "\"$0\" -q <(cat source) copy2 && \"$0\" -q /dev/fd/3 copy3 3< <(cat source) \
                  && cat source | \"$0\" -q /dev/stdin copy4";
    let mut shell = scene.tool("bash", ["-c", script]);
    shell.command.arg(program());
    shell.run().code(0);
    for name in ["copy2", "copy3", "copy4"] {
        assert_same(&scene.read(name), &bytes, name);
    }

    // A plan, and a refusal, do not let those write who wait for a reader.
    let script =
        "cat source > pipe & \"$0\" -n pipe copy5 && ! \"$0\" pipe copy && \"$0\" -q pipe copy5";
    let mut shell = scene.tool("bash", ["-c", script]);
    shell.command.arg(program());
    shell.run().code(0).says(&["would copy all that comes", "exists"]);
    assert_same(&scene.read("copy5"), &bytes, "the copy");

    // Nobody comes to write: a wish to stop is heard.
    let mut waiting = scene.pcopy(["--progress", "json", "pipe", "copy6"]).start();
    waiting.wait_for_line(|line| line.contains("\"copying\""));
    waiting.signal(Signal::INT);
    waiting.end().died_by(Signal::INT);
    assert!(!scene.has("copy6") && !scene.has("copy6.pcopy-part"));
}

#[test]
fn a_socket_is_a_stream() {
    let scene = Scene::new();
    let bytes = pattern(1, 300_000);
    let (theirs, mut ours) = UnixStream::pair().unwrap();
    let mut command = scene.pcopy(["-q", "-", "copy"]).command;
    let mut child = command.stdin(OwnedFd::from(theirs)).spawn().unwrap();
    drop(command);
    ours.write_all(&bytes).unwrap();
    drop(ours);
    assert!(child.wait().unwrap().success());
    assert_same(&scene.read("copy"), &bytes, "the copy");
}

/// Lines of standard error until one is as wished.
fn wait_for(child: &mut Child, wished: impl Fn(&Value) -> bool) -> String {
    let stderr = child.stderr.as_mut().expect("stderr is a pipe");
    let mut text = String::new();
    let mut byte = [0];
    loop {
        assert_eq!(stderr.read(&mut byte).unwrap(), 1, "it ended: {text}");
        text.push(char::from(byte[0]));
        if byte[0] == b'\n' {
            let event = text.lines().last().and_then(|line| serde_json::from_str(line).ok());
            if event.is_some_and(|event| wished(&event)) {
                return text;
            }
        }
    }
}

#[test]
fn a_slow_writer_is_seen_and_can_be_given_up_at_any_time() {
    let scene = Scene::new();
    for (sent, left) in [(0, false), (10, true), (5000, true)] {
        let (mut child, mut pipe) = start(&scene, "--progress json --io-size 4096 - copy");
        pipe.write_all(&vec![7; sent]).unwrap();
        let text =
            wait_for(&mut child, |event| event["phase"] == "copying" && event["copied"] == sent);
        let last: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
        assert_eq!((&last["total"], &last["seconds_left"]), (&Value::Null, &Value::Null));
        let asked = std::time::Instant::now();
        kill_process(Pid::from_child(&child), Signal::INT).unwrap();
        let status = child.wait().unwrap();
        let signal = std::os::unix::process::ExitStatusExt::signal(&status);
        assert_eq!(signal, Some(Signal::INT.as_raw()), "{status}");
        assert!(asked.elapsed().as_secs() < 5, "while the pipe is open and silent");
        assert_eq!(scene.has("copy.pcopy-part"), left, "{sent} bytes came");
        assert!(!scene.has("copy") && !scene.has("copy.pcopy-map"));
        if left {
            assert_same(&scene.read("copy.pcopy-part"), &vec![7; sent], "what came");
            std::fs::remove_file(scene.path("copy.pcopy-part")).unwrap();
        }
        drop(pipe);
    }
}

#[test]
fn what_a_killed_copy_of_a_stream_leaves_can_be_discarded_and_not_resumed() {
    let scene = Scene::new();
    let bytes = pattern(1, 100_000);
    let (mut child, mut pipe) = start(&scene, "--progress json - copy");
    pipe.write_all(&bytes).unwrap();
    wait_for(&mut child, |event| event["copied"].as_u64() > Some(0));
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(scene.names(), ["copy.pcopy-part"]);
    fed(&scene, "- copy", &bytes, 3);
    fed(&scene, "--resume - copy", &bytes, 2);
    scene.write("source", &bytes);
    scene.run("source copy").code(3);
    fed(&scene, "--restart - copy", &bytes, 0);
    assert_same(&scene.read("copy"), &bytes, "the copy");
    assert_eq!(scene.names(), ["copy", "source"]);
}

#[test]
fn a_reader_that_has_enough_ends_a_stage_by_sigpipe() {
    let scene = Scene::new();
    let (mut child, mut pipe) = start(&scene, "--progress none - -");
    let writer = std::thread::spawn(move || pipe.write_all(&vec![7; 8 << 20]));
    child.stdout.take().unwrap().read_exact(&mut [0; 100]).unwrap();
    let output = child.wait_with_output().unwrap();
    let signal = std::os::unix::process::ExitStatusExt::signal(&output.status);
    assert_eq!(signal, Some(Signal::PIPE.as_raw()), "{}", said(&output));
    assert!(writer.join().unwrap().is_err());
}

/// A device that is not seekable and no pipe: what `<` gives is read as it comes.
#[test]
fn a_character_device_on_standard_input_is_a_stream() {
    let zero = "/dev/zero";
    let Ok(file) = std::fs::File::open(zero) else { return skip("needs /dev/zero") };
    let scene = Scene::new();
    let mut command = scene.pcopy("-q --length 1MiB - copy".split(' ')).command;
    assert!(command.stdin(file).status().unwrap().success());
    assert_same(&scene.read("copy"), &vec![0; 1 << 20], "zeros");
    wait_until("nothing is left", || scene.names() == ["copy"]);
}

/// Reads of any length.
struct Dribble {
    bytes: Vec<u8>,
    at: usize,
    lengths: Vec<usize>,
    turn: usize,
    /// Whether it ends in an error.
    breaks: bool,
}

impl Read for Dribble {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let left = &self.bytes[self.at..];
        if left.is_empty() && self.breaks {
            return Err(std::io::Error::other("the line is noisy"));
        }
        self.turn += 1;
        let count = self.lengths[self.turn % self.lengths.len()].min(left.len()).min(buffer.len());
        buffer[..count].copy_from_slice(&left[..count]);
        self.at += count;
        Ok(count)
    }
}

/// One copy of a stream, in bytes.
#[derive(Clone, Debug)]
struct Case {
    len: usize,
    lengths: Vec<usize>,
    skip: usize,
    length: Option<usize>,
    at: usize,
    in_place: bool,
    sparse: bool,
    request: u64,
    threads: usize,
}

const REQUEST: usize = 4096;

fn case() -> impl Strategy<Value = Case> {
    let edge = prop_oneof![Just(0), Just(1), Just(REQUEST - 1), Just(REQUEST), Just(REQUEST + 1)];
    let size = prop_oneof![edge, 0..5 * REQUEST];
    let lengths = proptest::collection::vec(1..2 * REQUEST, 1..5);
    let places = (0..REQUEST * 2, proptest::option::of(0..4 * REQUEST), 0..REQUEST * 3);
    let how = (any::<bool>(), any::<bool>(), 9_u32..14, 1_usize..5);
    (size, lengths, places, how).prop_map(|(len, lengths, (skip, length, at), how)| {
        let (in_place, sparse, request, threads) = how;
        let skip = if skip > REQUEST { 0 } else { skip.min(len) };
        let length = length.map(|length| length.min(len - skip));
        let request = if sparse { 1 << 12 } else { 1 << request };
        Case { len, lengths, skip, length, at, in_place, sparse, request, threads }
    })
}

/// Bytes with runs of zeros, as blocks and as parts of them.
fn holey(len: usize) -> Vec<u8> {
    let mut bytes = pattern(3, len);
    for (at, byte) in bytes.iter_mut().enumerate() {
        if at / 5000 % 2 == 1 {
            *byte = 0;
        }
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    /// Whatever comes, in whatever pieces: those bytes in that place, nothing of the
    /// rest, and the digests of them.
    #[test]
    fn any_stream_arrives_as_it_is(case in case()) {
        let scene = Scene::new();
        let (bytes, before) = (holey(case.len), pattern(2, 3 * REQUEST));
        let end = case.length.map_or(case.len, |length| case.skip + length);
        let expected_part = &bytes[case.skip..end];
        let mut expected = if case.in_place { before.clone() } else { Vec::new() };
        if !(case.in_place && expected_part.is_empty()) {
            expected.resize(expected.len().max(case.at + expected_part.len()), 0);
        }
        if !expected_part.is_empty() {
            expected[case.at..case.at + expected_part.len()].copy_from_slice(expected_part);
        }
        if case.in_place {
            scene.write("copy", &before);
        }
        let range = match case.length {
            Some(_) => RangeSpec::from(case.skip as u64..end as u64),
            None => RangeSpec::from(case.skip as u64..),
        };
        let lengths = case.lengths.clone();
        let reader = Dribble { bytes: bytes.clone(), at: 0, lengths, turn: 0, breaks: false };
        let job = CopyJob::from_origin(Pipe::reader("reader", reader), scene.path("copy"))
            .range(range)
            .dest_offset(case.at as u64)
            .in_place(case.in_place)
            .sparse(if case.sparse { Sparse::Always } else { Sparse::Auto })
            .io_size(case.request)
            .threads(case.threads)
            .digest(Algorithm::Blake3)
            .digest(Algorithm::Crc32c)
            .digest(Algorithm::Md5)
            .verify(true);
        let report = job.run().unwrap();
        prop_assert!(report.is_complete());
        prop_assert_eq!(report.verified, Some(true));
        assert_same(&scene.read("copy"), &expected, "the copy");
        for digest in &report.digests {
            prop_assert_eq!(digest, &hash_slice(digest.algorithm(), expected_part));
        }
    }
}

#[test]
fn a_stream_that_cannot_be_read_any_more_ends_the_copy_there() {
    let scene = Scene::new();
    let bytes = pattern(1, 10_000);
    let lengths = vec![1000, 1];
    let reader = Dribble { bytes: bytes.clone(), at: 0, lengths, turn: 0, breaks: true };
    let job = CopyJob::from_origin(Pipe::reader("reader", reader), scene.path("copy"));
    let job = job.io_size(4096_u64).threads(3);
    let failure = job.run().unwrap_err();
    let text = failure.chain();
    assert!(text.contains("cannot read bytes 10000.."), "{text}");
    assert!(text.contains("'reader': the line is noisy"), "{text}");
    assert_eq!(failure.report().unwrap().bytes.copied, 10_000);
    assert_same(&scene.read("copy.pcopy-part"), &bytes, "what came before");
    let again = job.leftovers(Leftovers::Restart).run().unwrap_err();
    assert!(again.chain().contains("'reader' has been read already"), "{}", again.chain());
}

#[test]
fn an_end_that_must_know_the_length_is_told_so() {
    struct Fixed;
    impl pcopy::endpoint::Destination for Fixed {
        fn path(&self) -> &std::path::Path {
            "fixed".as_ref()
        }
        fn begin(
            self: Box<Self>,
            _: &pcopy::endpoint::Shape<'_>,
        ) -> pcopy::Result<Box<dyn pcopy::endpoint::Draft>> {
            unreachable!("it is refused before")
        }
    }
    let refused = CopyJob::between(Pipe::reader("reader", &b"abc"[..]), Fixed).run().unwrap_err();
    assert!(refused.chain().contains("'fixed' must be told how long"), "{}", refused.chain());
}

/// More workers than stripes, and an end that is known: all of them find it.
#[test]
fn many_workers_end_with_a_promised_length() {
    let scene = Scene::new();
    let bytes = scene.source("source", 3_000_000);
    for round in 0..10 {
        for line in ["-q -t 8 --length 2999999 - copy", "-q -t 5 -r ..2999999 -f - copy"] {
            fed(&scene, line, &bytes, 0);
            assert_same(&scene.read("copy"), &bytes[..2_999_999], &format!("{round} {line}"));
        }
        std::fs::remove_file(scene.path("copy")).expect("it is there");
    }
}

/// A plan does not read what comes once.
#[test]
fn a_plan_of_what_changed_reads_no_stream() {
    let scene = Scene::new();
    let bytes = scene.source("old", 100_000);
    let line = "-n --only-changed --in-place - old";
    let said = said(&fed(&scene, line, &bytes, 0));
    assert!(said.contains("would copy") && !said.contains("differ"), "{said}");
}

#[test]
fn a_quiet_stage_says_nothing() {
    let scene = Scene::new();
    let bytes = scene.source("source", 1000);
    let output = fed(&scene, "-q - -", &bytes, 0);
    assert_eq!((said(&output).as_str(), output.stdout), ("", bytes));
}
