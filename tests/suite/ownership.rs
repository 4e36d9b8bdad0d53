//! Invariant I12, in the system calls of the program: what it removes, renames
//! or cuts is a file that it has made or opened, and has asked about just before.
//!
//! The log of strace is read with one rule a call:
//!
//! | call | allowed |
//! |---|---|
//! | `unlink`, the first name of `rename` | the last look of this thread was at that name, not through a link, and found a file that the program has open, or had |
//! | `rmdir` | a directory that the program has made |
//! | `ftruncate` | a file that the program has made, or has looked at as it is open |
//! | `truncate`, `O_TRUNC`, `O_CREAT` without `O_EXCL` | never |

use std::collections::{HashMap, HashSet};
use std::process::Command;

use super::wait_until;

/// Has every run of the program in the suite watched.
const VARIABLE: &str = "PCOPY_TEST_OWNERSHIP";

const CALLS: &str = "trace=open,openat,creat,unlink,unlinkat,rmdir,rename,renameat,renameat2,\
                     truncate,ftruncate,newfstatat,statx,fstat,mkdir,mkdirat";

/// Whether the environment wants every run watched.
pub fn is_wanted() -> bool {
    std::env::var_os(VARIABLE).is_some()
}

/// A run of the program whose calls are written to a log.
pub struct Watched {
    log: tempfile::NamedTempFile,
}

impl Watched {
    /// Has `command` run under strace. It stays the child, so that signals reach it.
    pub fn new(command: &mut Command) -> Watched {
        let log = tempfile::NamedTempFile::new().expect("a temporary file");
        let mut strace = Command::new("strace");
        strace.args(["-D", "-f", "-q", "--seccomp-bpf", "-y", "-v", "-s", "9999"]);
        strace.args(["-e", CALLS, "-o"]).arg(log.path());
        strace.arg("--").arg(command.get_program()).args(command.get_args());
        if let Some(folder) = command.get_current_dir() {
            strace.current_dir(folder);
        }
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => strace.env(name, value),
                None => strace.env_remove(name),
            };
        }
        *command = strace;
        Watched { log }
    }

    /// Asserts the rule of the run, `line`, whose process `id` has ended; how
    /// many calls it was asked of.
    #[track_caller]
    pub fn check(self, id: u32, line: &str) -> u32 {
        let read = || std::fs::read(self.log.path()).expect("strace has written a log");
        // The tracer is another process, and may end later.
        let id = id.to_string();
        let is_end = |line: &str| {
            // Numbers are filled up to a width.
            line.strip_prefix(&*id).is_some_and(|rest| rest.trim_start().starts_with("+++ "))
        };
        wait_until("strace has seen the end", || {
            String::from_utf8_lossy(&read()).lines().any(is_end)
        });
        let log = String::from_utf8_lossy(&read()).into_owned();
        let mut program = Program::default();
        for call in whole_calls(&log) {
            if let Err(why) = program.makes(&call) {
                let short = |line: &str| line.chars().take(200).collect::<String>();
                let log: Vec<String> = log.lines().map(short).collect();
                panic!("I12: {line}\n{why}: {call:?}\n{}", log.join("\n"));
            }
        }
        program.asked
    }
}

/// A call that has returned.
#[derive(Debug)]
struct Call {
    thread: String,
    name: String,
    arguments: String,
    result: String,
}

/// The calls of a log in the order of their returns. One during which another
/// thread makes a call has two lines.
fn whole_calls(log: &str) -> Vec<Call> {
    let mut begun: HashMap<&str, &str> = HashMap::new();
    let mut calls = Vec::new();
    for line in log.lines() {
        let Some((thread, text)) = line.split_once(' ') else { continue };
        let text = text.trim_start();
        let text = if let Some(start) = text.strip_suffix("<unfinished ...>") {
            begun.insert(thread, start);
            continue;
        } else if let Some((_, rest)) = text.split_once(" resumed>") {
            format!("{}{rest}", begun.remove(thread).unwrap_or_default())
        } else {
            text.to_owned()
        };
        let Some((name, rest)) = text.split_once('(') else { continue };
        let Some((arguments, result)) = rest.rsplit_once(" = ") else { continue };
        let arguments = arguments.trim_end().strip_suffix(')').unwrap_or(arguments);
        let (name, arguments) = (name.to_owned(), arguments.to_owned());
        let (thread, result) = (thread.to_owned(), result.to_owned());
        calls.push(Call { thread, name, arguments, result });
    }
    calls
}

impl Call {
    fn succeeded(&self) -> bool {
        !self.result.starts_with("-1") && !self.result.starts_with('?')
    }

    /// The names in the arguments, each in the directory before it:
    /// `4</dir>, "name"`, `AT_FDCWD</dir>, "name"`, or the name alone.
    fn paths(&self) -> Vec<String> {
        let mut paths = Vec::new();
        let mut folder: Option<&str> = None;
        let mut rest = &self.arguments[..];
        while let Some(at) = rest.find(['<', '"']) {
            let is_folder = rest[at..].starts_with('<');
            let close = if is_folder { '>' } else { '"' };
            let Some(len) = rest[at + 1..].find(close) else { break };
            let text = &rest[at + 1..at + 1 + len];
            rest = &rest[at + len + 2..];
            match (is_folder, folder.take()) {
                (true, _) => folder = Some(text),
                (false, Some(folder)) if !text.starts_with('/') => {
                    paths.push(format!("{folder}/{text}"));
                }
                (false, _) => paths.push(text.to_owned()),
            }
        }
        paths
    }

    /// The file that is open as the first number in `text`.
    fn open_file(text: &str) -> Option<&str> {
        let (_, rest) = text.split_once('<')?;
        Some(rest.split_once('>')?.0)
    }

    fn inode(&self) -> Option<&str> {
        let (_, rest) = self.arguments.split_once("_ino=")?;
        rest.split_once(',').map(|(number, _)| number)
    }

    fn has(&self, flag: &str) -> bool {
        self.arguments.split(['|', ' ', ',']).any(|word| word == flag)
    }
}

/// What is known of the program.
#[derive(Default)]
struct Program {
    /// Files and directories that it has made, by path.
    made: HashSet<String>,
    /// Files that it has looked at as they were open: paths, and numbers.
    open: HashSet<String>,
    held: HashSet<String>,
    /// By thread: the name last looked at, and the number of what it led to.
    looked: HashMap<String, (String, String)>,
    asked: u32,
}

impl Program {
    fn makes(&mut self, call: &Call) -> Result<(), String> {
        match &*call.name {
            "open" | "openat" | "creat" => self.opens(call),
            "mkdir" | "mkdirat" if call.succeeded() => {
                self.made.extend(call.paths());
                Ok(())
            }
            "statx" | "fstat" | "newfstatat" => {
                self.looks(call);
                Ok(())
            }
            "unlink" | "unlinkat" | "rmdir" => {
                let path = call.paths().pop().unwrap_or_default();
                if call.has("AT_REMOVEDIR") || call.name == "rmdir" {
                    return self.ask(self.made.contains(&path), "a directory that it has not made");
                }
                self.ask(self.holds(call, &path), "a file that it does not know is its own")
            }
            "rename" | "renameat" | "renameat2" => {
                let paths = call.paths();
                let [from, to] = &paths[..] else { return Err(format!("paths {paths:?}")) };
                let is_ours = self.holds(call, from);
                self.ask(is_ours, "a file that it does not know is its own")?;
                if call.succeeded() && self.made.remove(from) {
                    self.made.insert(to.clone());
                }
                Ok(())
            }
            "ftruncate" => {
                let path = Call::open_file(&call.arguments).unwrap_or_default();
                let is_known = self.made.contains(path) || self.open.contains(path);
                self.ask(is_known, "a file that it has not looked at")
            }
            "truncate" => self.ask(false, "a file by its name"),
            _ => Ok(()),
        }
    }

    fn opens(&mut self, call: &Call) -> Result<(), String> {
        // Knobs of the kernel: nothing is made or cut.
        if call.paths().first().is_some_and(|path| path.starts_with("/proc/")) {
            return Ok(());
        }
        if call.has("O_TRUNC") || call.name == "creat" {
            return self.ask(false, "cuts a file by its name");
        }
        if call.has("O_CREAT") && !call.has("O_EXCL") {
            return self.ask(false, "makes a file, or takes what is there");
        }
        if call.has("O_EXCL")
            && call.succeeded()
            && let Some(path) = Call::open_file(&call.result)
        {
            self.made.insert(path.to_owned());
        }
        Ok(())
    }

    /// A look at an open file, or at a name.
    fn looks(&mut self, call: &Call) {
        let Some(inode) = call.inode().filter(|_| call.succeeded()) else { return };
        let is_open = call.has("AT_EMPTY_PATH") || call.name == "fstat";
        if let Some(path) = Call::open_file(&call.arguments).filter(|_| is_open) {
            self.open.insert(path.to_owned());
            self.held.insert(inode.to_owned());
        } else if call.has("AT_SYMLINK_NOFOLLOW") {
            let path = call.paths().into_iter().next().unwrap_or_default();
            self.looked.insert(call.thread.clone(), (path, inode.to_owned()));
        }
    }

    /// Whether the thread that makes `call` has just seen that `path` leads to
    /// a file that the program holds.
    fn holds(&self, call: &Call, path: &str) -> bool {
        let looked = self.looked.get(&call.thread);
        looked.is_some_and(|(name, inode)| name == path && self.held.contains(inode))
    }

    fn ask(&mut self, allowed: bool, why: &str) -> Result<(), String> {
        self.asked += 1;
        if allowed { Ok(()) } else { Err(why.to_owned()) }
    }
}
