//! Faults in the system calls of the real program, by strace.
//!
//! Only calls on the files of the copy are touched, never those of the program
//! loader. strace counts calls by thread: with one worker, "the k-th" is exact.

use std::path::PathBuf;

use crate::common::{Ended, Scene, has_tools, program, skip};

/// What an existing destination holds.
const OLD: &[u8] = b"what was there before";

/// A job that strace can look at: a source and a destination in a scene of its
/// own, with a part, a map and a temporary of the map.
pub struct Target {
    pub scene: Scene,
    pub bytes: Vec<u8>,
    /// Options before the names.
    pub options: String,
}

/// How a run with a fault ended.
pub struct Injected {
    pub ended: Ended,
    /// Every call on the files of the copy, one a line.
    pub log: String,
}

impl Injected {
    /// Whether the fault was met.
    pub fn hit(&self) -> bool {
        self.log.contains("(INJECTED)") || self.log.contains("killed by")
    }

    /// Whether the fault was met while the first map was saved before there was
    /// anything to record: a copy that is slow to begin makes one, and does without it
    /// where that fails.
    pub fn hit_an_empty_map(&self) -> bool {
        let lines: Vec<&str> = self.log.lines().collect();
        let Some(at) = lines.iter().position(|line| line.contains("(INJECTED)")) else {
            return false;
        };
        // A call that another thread has interrupted has its arguments on an earlier line.
        let thread = lines[at].split(' ').next();
        let is_call = |line: &&&str| line.split(' ').next() == thread && line.contains('<');
        let call = lines[..=at].iter().rev().filter(|line| !line.contains("<... ")).find(is_call);
        let of_the_map = |line: &&&str| line.contains(".pcopy-map.pcopy-");
        // The folder is synced for the name that was given last.
        let named = lines[..at].iter().rev().find(|line| line.contains("rename"));
        let is_of_the_map = call.as_ref().is_some_and(of_the_map)
            || lines[at].contains("sync") && named.as_ref().is_some_and(of_the_map);
        let is_first = !lines[..at].iter().any(|line| line.contains("fdatasync("));
        is_of_the_map && is_first
    }

    /// Whether the fault was met while the process confined itself, which it then leaves
    /// out: nothing else opens a path without reading it.
    pub fn hit_the_confinement(&self) -> bool {
        self.log.lines().any(|line| line.contains("O_PATH") && line.contains("(INJECTED)"))
    }

    /// The lines from the first fault on, without it.
    pub fn after_the_fault(&self) -> impl Iterator<Item = &str> {
        self.log.lines().skip_while(|line| !line.contains("(INJECTED)")).skip(1)
    }
}

/// Whether strace is there and may trace; a skip if not.
pub fn can_inject() -> bool {
    if !has_tools(&["strace"]) {
        return false;
    }
    let mut probe = std::process::Command::new("strace");
    probe.args(["-f", "-qqq", "-o", "/dev/null", "-e", "inject=fsync:error=EIO", "true"]);
    let works = probe.output().is_ok_and(|output| output.status.success());
    if !works {
        skip("strace may not trace here");
    }
    works
}

/// Whether the map of `copy` may be called so while it is saved.
pub fn is_temporary_map(name: &str) -> bool {
    name.starts_with(".copy.pcopy-map.pcopy-") && name.ends_with(".tmp")
}

impl Target {
    /// A source of four stripes and a few bytes, and a job of one worker.
    pub fn new() -> Target {
        let scene = Scene::new();
        let bytes = scene.source("source", (256 << 10) + 7);
        let options = "--engine positioned -t 1 --io-size 64KiB --stripe-size 64KiB".to_owned();
        Target { scene, bytes, options }
    }

    /// The same, slow enough for some checkpoints.
    pub fn with_checkpoints() -> Target {
        let mut target = Target::new();
        target.options += " -q --limit-rate 1MiB --checkpoint-every 0";
        target
    }

    /// The job that replaces an existing file, which is in the scene.
    pub fn with_an_old_file() -> Target {
        let mut target = Target::with_checkpoints();
        target.options += " --force";
        target.scene.write("copy", OLD);
        target
    }

    /// The job that writes into an existing file, which is in the scene.
    pub fn in_place() -> Target {
        let mut target = Target::with_checkpoints();
        target.options += " --in-place";
        target.scene.write("copy", OLD);
        target
    }

    fn words(&self) -> Vec<std::ffi::OsString> {
        let mut words: Vec<_> = self.options.split_whitespace().map(Into::into).collect();
        words.extend([self.path("source").into(), self.path("copy").into()]);
        words
    }

    fn path(&self, name: &str) -> PathBuf {
        self.scene.path(name)
    }

    /// Runs the job with `inject`, a list of strace's expressions such as
    /// `pread64:error=EIO:when=3`.
    pub fn run(&self, inject: &[String]) -> Injected {
        let log = tempfile::NamedTempFile::new().expect("a temporary file");
        let mut strace = self.scene.tool("strace", ["-f", "-y", "-qqq", "-o"]);
        let command = &mut strace.command;
        command.arg(log.path()).current_dir("/");
        // A temporary has a name that nobody knows before: calls on what it
        // leads to are met only if all are, and these the loader does not make.
        let is_on_all = |expression: &String| {
            ["write:", "fsync", "fdatasync"].iter().any(|call| expression.starts_with(call))
        };
        if !inject.iter().any(is_on_all) {
            command.arg("-P").arg(self.scene.folder());
            for name in ["source", "copy", "copy.pcopy-part", "copy.pcopy-map"] {
                command.arg("-P").arg(self.path(name));
            }
        }
        for expression in inject {
            command.arg("-e").arg(format!("inject={expression}"));
        }
        command.arg(program()).args(self.words());
        let ended = strace.run();
        let log = std::fs::read(log.path()).expect("strace has written a log");
        Injected { ended, log: String::from_utf8_lossy(&log).into_owned() }
    }

    /// Every call of the job on its files, without a fault: one a line.
    #[track_caller]
    pub fn log(&self) -> String {
        // An injection that is never met.
        let injected = self.run(&["fsync:error=EIO:when=10000".to_owned()]);
        injected.ended.code(0);
        injected.log
    }

    /// Resumes what is left, without faults, and expects the whole source
    /// and nothing else.
    #[track_caller]
    pub fn resume(&self, what: &str) {
        let mut words = self.words();
        // The rate is not part of what makes the job this job.
        if let Some(at) = words.iter().position(|word| word == "--limit-rate") {
            words.drain(at..at + 2);
        }
        words.insert(0, "--resume".into());
        let ended = self.scene.pcopy(words).run();
        assert!(ended.status.success(), "{what}: resume: {}\n{}", ended.status, ended.stderr);
        assert!(self.scene.read("copy") == self.bytes, "{what}: the resumed copy differs");
        assert_eq!(self.scene.names(), ["copy", "source"], "{what}: litter");
    }

    /// The final name shows all, nothing or the old file (invariant I4), or with
    /// `unreadable` all that could be read and zeros; only part and map may be left.
    #[track_caller]
    pub fn check_names(&self, unreadable: bool, what: &str) {
        for name in self.scene.names() {
            match name.as_str() {
                "copy" => {
                    let copy = self.scene.read("copy");
                    let sectors = copy.chunks(512).zip(self.bytes.chunks(512));
                    let right = |(copy, source): (&[u8], &[u8])| {
                        copy == source || unreadable && copy.iter().all(|&byte| byte == 0)
                    };
                    if copy == OLD && self.options.contains("--force") {
                        continue;
                    }
                    // In place, an interruption shows.
                    if self.options.contains("--in-place") {
                        continue;
                    }
                    assert!(copy.len() == self.bytes.len(), "{what}: partial content");
                    assert!(sectors.into_iter().all(right), "{what}: partial content");
                }
                "source" | "copy.pcopy-part" | "copy.pcopy-map" => {}
                // Of a program that was killed while it saved the map.
                name if what.contains("KILL") && is_temporary_map(name) => {}
                other => panic!("{what}: {other} is left"),
            }
        }
    }
}
