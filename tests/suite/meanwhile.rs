//! A destination that somebody touches while it is written: the end is a
//! failure that says so, unless every byte is there after all (invariant I11).

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::process::Stdio;

use crate::common::{Ended, Running, Scene, assert_same, has_tools, pattern, program, skip};
use crate::inject::can_inject;

const LEN: usize = 2 << 20;

/// Slow enough to be met on the way, and in small requests.
const SLOW: &str = "--limit-rate 1MiB -t 1 --io-size 64KiB --progress json";

/// A copy in the middle of its bytes.
#[track_caller]
fn in_the_middle(scene: &Scene, words: &str) -> Running {
    let line = format!("{words} {SLOW}");
    let mut running = scene.pcopy(line.split_whitespace()).start();
    running.wait_until_copied(LEN as u64 / 4);
    running
}

fn set_len(scene: &Scene, name: &str, len: u64) {
    let file = File::options().write(true).open(scene.path(name)).expect("the file");
    file.set_len(len).expect("its length is set");
}

/// A scene with a source and, where it is to be written in place, `copy`.
fn scene(in_place: bool) -> (Scene, Vec<u8>) {
    let scene = Scene::new();
    let source = scene.source("source", LEN);
    if in_place {
        scene.write("copy", &vec![7; LEN]);
    }
    (scene, source)
}

fn replace(scene: &Scene) {
    std::fs::rename(scene.path("copy"), scene.path("aside")).expect("renamed");
    scene.write("copy", b"another");
}

#[test]
fn a_name_that_leads_elsewhere_at_the_end_is_a_failure() {
    type Change = fn(&Scene);
    let moves: [(&str, Change); 3] = [
        ("another file", replace),
        ("renamed", |scene| {
            std::fs::rename(scene.path("copy"), scene.path("aside")).expect("renamed");
        }),
        ("removed", |scene| std::fs::remove_file(scene.path("copy")).expect("removed")),
    ];
    for (what, change) in moves {
        for options in ["", "--verify", "--checkpoint-every 0"] {
            let (scene, _) = scene(true);
            let running = in_the_middle(&scene, &format!("--in-place {options} source copy"));
            change(&scene);
            let ended = running.end().code(5).says(&["cannot find what was copied at 'copy'"]);
            assert!(!ended.stderr.contains("--resume"), "{what}, {options}: {}", ended.stderr);
            assert!(!scene.has("copy.pcopy-map"), "{what}, {options}: nothing is to be resumed");
            if what == "another file" {
                assert_eq!(scene.read("copy"), b"another", "{options}");
            }
        }
    }
}

#[test]
fn a_file_with_the_same_bytes_is_as_good() {
    let (scene, source) = scene(true);
    let running = in_the_middle(&scene, "--in-place source copy");
    std::fs::rename(scene.path("copy"), scene.path("aside")).expect("renamed");
    scene.write("copy", &source);
    running.end().code(0);
    assert_same(&scene.read("copy"), &source, "the file under the name");
}

#[test]
fn a_link_that_leads_elsewhere_at_the_end_is_a_failure() {
    let (scene, _) = scene(true);
    scene.write("other", b"other");
    let link = |to: &str| {
        let _ = std::fs::remove_file(scene.path("link"));
        std::os::unix::fs::symlink(scene.path(to), scene.path("link")).expect("a link");
    };
    link("copy");
    let running = in_the_middle(&scene, "--in-place source link");
    link("other");
    running.end().code(5).says(&["'link'"]);
    assert_eq!(scene.read("other"), b"other");
}

#[test]
fn one_of_several_that_lies_elsewhere_fails_alone() {
    let (scene, source) = scene(true);
    scene.write("second", &vec![9; LEN]);
    let running = in_the_middle(&scene, "--in-place --also second source copy");
    replace(&scene);
    running.end().code(5).says(&["'copy'"]);
    assert_same(&scene.read("second"), &source, "the other destination");
}

#[test]
fn a_folder_that_is_moved_away_takes_the_copy_with_it() {
    let scene = Scene::new();
    let source = scene.source("source", LEN);
    scene.write("list.csv", b"name,start,len\nsub/a,0,2MiB\n");
    let jobs = ["source folder/a", "--also b source folder/a"];
    let batch = "batch list.csv --source source --into folder";
    for line in jobs.iter().chain([&batch]) {
        let _ = std::fs::remove_dir_all(scene.path("moved"));
        let _ = std::fs::remove_file(scene.path("b"));
        std::fs::create_dir(scene.path("folder")).expect("a folder");
        let running = in_the_middle(&scene, line);
        std::fs::rename(scene.path("folder"), scene.path("moved")).expect("moved");
        let code = if line == &batch { 1 } else { 5 };
        running.end().code(code).says(&["its folder was moved"]);
        assert!(!scene.has("folder"), "{line}: nothing is made under the old name");
        let name = if line == &batch { "moved/sub/a" } else { "moved/a" };
        assert_same(&scene.read(name), &source, line);
    }
}

/// Cut to almost nothing, the file is as long as before when the copy is over,
/// with a hole in it.
#[test]
fn a_destination_that_is_cut_is_a_failure_and_can_be_resumed() {
    let engines = ["positioned", "direct", "splice", "mmap"];
    let forms = [("", false), ("--in-place", true), ("--no-sync", false)];
    for engine in engines {
        for (options, in_place) in forms {
            if in_place && engine == "mmap" {
                continue;
            }
            let (scene, source) = scene(in_place);
            let job = format!("{options} --engine {engine} source copy");
            let part = if in_place { "copy" } else { "copy.pcopy-part" };
            let trial = scene.run(&format!("--dry-run {job}"));
            if trial.status.code() != Some(0) {
                skip(&format!("{engine} cannot copy here"));
                break;
            }
            let running = in_the_middle(&scene, &job);
            set_len(&scene, part, 100);
            let ended = running.end().code(5).says(&["somebody"]);
            assert!(in_place || !scene.has("copy"), "{job}: the final name is given");
            assert!(ended.stderr.contains("--resume"), "{job}: {}", ended.stderr);
            scene.run(&format!("--resume {job}")).code(0);
            assert_same(&scene.read("copy"), &source, &job);
            assert!(!scene.has("copy.pcopy-map"), "{job}");
        }
    }
}

#[test]
fn what_was_cut_before_an_interruption_is_copied_again() {
    let (scene, source) = scene(false);
    let running = in_the_middle(&scene, "--checkpoint-every 0 --engine positioned source copy");
    set_len(&scene, "copy.pcopy-part", 100);
    running.signal(rustix::process::Signal::INT);
    running.end().died_by(rustix::process::Signal::INT);
    scene.run("--resume source copy").code(0);
    assert_same(&scene.read("copy"), &source, "the resumed copy");
}

#[test]
fn a_destination_that_grows_is_a_failure() {
    for (options, part) in [
        ("", "copy.pcopy-part"),
        ("--verify", "copy.pcopy-part"),
        ("--also other", "copy.pcopy-part"),
    ] {
        let (scene, source) = scene(false);
        let job = format!("{options} source copy");
        let running = in_the_middle(&scene, &job);
        set_len(&scene, part, LEN as u64 + 1000);
        running.end().code(5).says(&["somebody changed", "2098152 bytes"]);
        match options {
            "--also other" => assert_same(&scene.read("other"), &source, "the other"),
            _ => {
                assert!(!scene.has("copy"), "{job}");
                scene.run(&format!("--resume {job}")).code(0);
                assert_same(&scene.read("copy"), &source, &job);
            }
        }
    }
}

/// Another run may write a piece behind it, and may have ended by now.
#[cfg(target_os = "linux")]
#[test]
fn a_place_in_a_file_that_grows_is_no_failure() {
    let (scene, source) = scene(true);
    let running = in_the_middle(&scene, "--in-place source copy");
    set_len(&scene, "copy", LEN as u64 + 1000);
    running.end().code(0);
    let copy = scene.read("copy");
    assert_same(&copy[..LEN], &source, "the place");
    assert_same(&copy[LEN..], &[0; 1000], "what is behind it");
}

#[test]
fn one_of_several_that_is_cut_fails_alone() {
    let (scene, source) = scene(false);
    let running = in_the_middle(&scene, "--also other source copy");
    set_len(&scene, "copy.pcopy-part", 100);
    running.end().code(5).says(&["somebody changed"]);
    assert!(!scene.has("copy"));
    assert_same(&scene.read("other"), &source, "the other destination");
}

/// Two pieces a file: the second makes it as long as it was.
#[test]
fn an_item_that_is_cut_or_grows_fails_alone() {
    let list = "{\"name\":\"a\",\"runs\":[{\"start\":0,\"len\":65536},{\"start\":1048576,\"len\":65536}]}\n\
                {\"name\":\"large\",\"start\":0,\"len\":2097152}\n\
                {\"name\":\"z\",\"start\":2031616,\"len\":65536}\n";
    for (part, len) in [("a", 100), ("large", 100), ("large", 3 << 20)] {
        let (scene, source) = scene(false);
        scene.write("list.jsonl", list.as_bytes());
        let job = "batch list.jsonl --source source --into out";
        let running = in_the_middle(&scene, job);
        set_len(&scene, &format!("out/{part}.pcopy-part"), len);
        running.end().code(1).says(&["somebody changed it", "2 of 3 files"]);
        assert!(!scene.has(format!("out/{part}")), "{part}: the final name is given");
        assert_same(&scene.read("out/z"), &source[2_031_616..], part);
        scene.run(&format!("{job} --resume")).code(0);
        assert_same(&scene.read("out/large"), &source, part);
        let pieces = [&source[..65536], &source[1_048_576..1_114_112]].concat();
        assert_same(&scene.read("out/a"), &pieces, part);
    }
}

#[test]
fn a_file_that_standard_output_leads_to_is_looked_at() {
    for append in [false, true] {
        let (scene, _) = scene(false);
        scene.write("out", b"before");
        let out = File::options().append(append).write(true).open(scene.path("out")).unwrap();
        let mut run = scene.pcopy(format!("source - {SLOW}").split_whitespace());
        // Started by hand: standard output is not a pipe.
        let mut child = run.command.stdout(out).stderr(Stdio::piped()).spawn().expect("started");
        crate::common::wait_until("bytes are there", || scene.read("out").len() > LEN / 4);
        set_len(&scene, "out", 10);
        let mut said = String::new();
        let pipe = child.stderr.take().expect("a pipe");
        std::io::Read::read_to_string(&mut { pipe }, &mut said).expect("text");
        assert_eq!(child.wait().expect("ended").code(), Some(5), "append {append}: {said}");
        assert!(said.contains("somebody changed '-'"), "{said}");
    }
}

/// Holes that nobody made by force are none of this.
#[test]
fn holes_that_belong_there_are_no_reason_to_fail() {
    let scene = Scene::new();
    let mut bytes = pattern(3, LEN);
    bytes[500_000..1_500_000].fill(0);
    scene.write("zeros", &bytes);
    let sparse = File::create(scene.path("sparse")).expect("a file");
    sparse.write_all_at(&bytes[..4096], 1 << 20).expect("data");
    sparse.set_len(LEN as u64).expect("its length");
    for source in ["zeros", "sparse"] {
        for options in [
            "",
            "--sparse always",
            "--sparse never",
            "--sparse always --in-place",
            "--sparse auto --in-place",
            "--preallocate full",
            "--sparse always --also other -f",
        ] {
            scene.write("copy", &vec![7; LEN]);
            let force =
                if options.contains("in-place") || options.contains("-f") { "" } else { "-f" };
            scene.run(&format!("{options} {force} {source} copy")).code(0);
            assert_same(&scene.read("copy"), &scene.read(source), &format!("{options} {source}"));
        }
        scene.write("list.csv", b"name,start,len\nx,0,2MiB\ny,5,600000\n");
        for options in ["", "--sparse always", "--sparse never"] {
            let job = format!("batch list.csv --source {source} --into out --force {options}");
            scene.run(&job).code(0);
            assert_same(&scene.read("out/x"), &scene.read(source), &job);
        }
    }
}

#[test]
fn a_file_that_another_run_writes_in_place_is_not_replaced() {
    let (scene, source) = scene(true);
    scene.source("small", 1000);
    scene.write("list.csv", b"name,start,len\ncopy,0,1000\n");
    let jobs = ["-f small copy", "-f --also b small copy", "-f -n small copy"];
    let batch = "batch list.csv --source small --into . --force";
    let running = in_the_middle(&scene, "--in-place source copy");
    running.stand_still();
    for job in jobs.iter().chain([&batch]) {
        scene.run(job).code(3).says(&["another copy is writing", "copy'"]);
    }
    running.signal(rustix::process::Signal::CONT);
    running.end().code(0);
    assert_same(&scene.read("copy"), &source, "what was written in place");
    scene.run(jobs[0]).code(0);
}

/// The one that replaces has begun first: it meets the other at its end.
#[test]
fn a_file_that_is_written_by_the_time_of_the_rename_is_not_replaced() {
    for job in ["-f source copy", "batch list.csv --source source --into . --force"] {
        let (scene, source) = scene(true);
        scene.write("list.csv", b"name,start,len\ncopy,0,2MiB\n");
        let replacing = in_the_middle(&scene, job);
        // The other has a map beside it already.
        let slow = "--in-place --map map --limit-rate 512KiB -t 1 --io-size 64KiB \
                    --progress json source copy";
        let mut in_place = scene.pcopy(slow.split_whitespace()).start();
        in_place.wait_until_copying();
        let code = if job.starts_with("batch") { 1 } else { 5 };
        replacing.end().code(code).says(&["another copy is writing it"]);
        in_place.end().code(0);
        assert_same(&scene.read("copy"), &source, job);
    }
}

/// What a close tells comes before the name, whatever the form of the copy.
#[test]
fn a_close_that_fails_is_a_failure() {
    if !can_inject() {
        return;
    }
    let closing = |scene: &Scene, paths: &[&str], words: &str| -> Ended {
        let mut strace = scene.tool("strace", ["-f", "-qqq", "-o", "/dev/null"]);
        for path in paths {
            strace.command.arg("-P").arg(scene.path(path));
        }
        strace.command.args(["-e", "trace=close", "-e", "inject=close:error=EIO"]);
        strace.command.arg(program()).args(words.split_whitespace());
        strace.run()
    };
    let part = ["copy.pcopy-part"];
    for (in_place, words) in [
        (false, "source copy"),
        (false, "--no-sync source copy"),
        (false, "--verify source copy"),
        (false, "--also b source copy"),
        (true, "--in-place source copy"),
    ] {
        let (scene, source) = scene(in_place);
        let paths = if in_place { ["copy"] } else { part };
        closing(&scene, &paths, words).code(5).says(&["cannot make", "Input/output error"]);
        assert!(in_place || !scene.has("copy"), "{words}: the final name is given");
        if words.contains("--also") {
            assert_same(&scene.read("b"), &source, "the other destination");
        }
    }
    let (scene, _) = scene(false);
    scene.write("list.csv", b"name,start,len\na,0,100\nb,4096,8192\n");
    let words = "batch list.csv --source source --into out";
    closing(&scene, &["out/a.pcopy-part"], words).code(1).says(&["'a'", "1 of 2 files"]);
    assert!(!scene.has("out/a") && scene.has("out/b"));
}

#[test]
fn a_close_of_standard_output_that_fails_is_a_failure() {
    if !can_inject() || !has_tools(&["sh"]) {
        return;
    }
    let (scene, _) = scene(false);
    let line = "exec strace -f -qqq -o log -P \"$PWD/out\" -e trace=close \
                -e inject=close:error=EIO \"$0\" source - > out";
    let mut shell = scene.tool("sh", ["-c", line]);
    shell.command.arg(program());
    shell.run().code(5).says(&["Input/output error"]);
}
