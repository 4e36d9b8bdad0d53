//! The fixture: a private folder, the program to run in it, and assertions
//! that show both sides. It knows the command line and nothing of the library.

// Each test binary uses a part of it.
#![allow(dead_code)]

use std::ffi::{OsStr, OsString};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

#[cfg(unix)]
use rustix::process::Signal;
use serde_json::Value;

#[cfg(target_os = "linux")]
#[path = "ownership.rs"]
pub mod ownership;

#[path = "schemas.rs"]
pub mod schemas;

/// Names another program to test than the one built with the tests, as when
/// both were built for another system.
const PROGRAM_VARIABLE: &str = "PCOPY_TEST_PROGRAM";

/// Names an engine that every copy is to be made with that can be, so that
/// one suite tests all of them. With `TMPDIR`, on any file system.
const ENGINE_VARIABLE: &str = "PCOPY_TEST_ENGINE";

/// How long a state may take to come about before a test gives up. Only a
/// guard against hanging: nothing that works comes near it.
const PATIENCE: Duration = Duration::from_secs(300);

/// A private folder that goes away with it.
pub struct Scene {
    folder: tempfile::TempDir,
}

impl Scene {
    pub fn new() -> Scene {
        let folder = tempfile::Builder::new().prefix("pcopy-test-").tempdir();
        Scene { folder: folder.expect("a temporary folder can be made") }
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Makes a file of the pattern, `len` bytes long, and returns its bytes.
    pub fn source(&self, name: impl AsRef<Path>, len: usize) -> Vec<u8> {
        let bytes = pattern(1, len);
        self.write(name, &bytes);
        bytes
    }

    pub fn write(&self, name: impl AsRef<Path>, bytes: &[u8]) {
        let path = self.path(name);
        std::fs::write(&path, bytes).unwrap_or_else(|error| panic!("{path:?}: {error}"));
    }

    /// Sets the permission bits of a file or folder.
    #[cfg(unix)]
    #[track_caller]
    pub fn set_mode(&self, name: impl AsRef<Path>, mode: u32) {
        let permissions = std::os::unix::fs::PermissionsExt::from_mode(mode);
        std::fs::set_permissions(self.path(name), permissions).expect("a mode can be set");
    }

    #[track_caller]
    pub fn read(&self, name: impl AsRef<Path>) -> Vec<u8> {
        let path = self.path(name);
        std::fs::read(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"))
    }

    /// Whether a name is taken, by a dangling link too.
    pub fn has(&self, name: impl AsRef<Path>) -> bool {
        self.path(name).symlink_metadata().is_ok()
    }

    /// The names in the folder, sorted.
    pub fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder()).expect("the folder can be listed");
        let name = |entry: std::io::Result<std::fs::DirEntry>| {
            entry.expect("an entry").file_name().to_string_lossy().into_owned()
        };
        let mut names: Vec<String> = entries.map(name).collect();
        names.sort();
        names
    }

    /// The program with `arguments`, to be run in the folder.
    pub fn pcopy<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Run {
        let mut command = Command::new(program());
        command.args(arguments).current_dir(self.folder());
        Run { command, watch: watch_is_wanted() }
    }

    /// The same by a user who is not root, which must be able to enter the folder; `None`
    /// where root cannot become another one.
    #[cfg(unix)]
    pub fn pcopy_of_a_user(&self, line: &str) -> Option<Run> {
        if !rustix::process::geteuid().is_root() {
            return Some(self.pcopy(line.split_whitespace()));
        }
        if !has_tools(&["setpriv"]) {
            return None;
        }
        // Where the tests were built may be closed to others.
        let own = self.path("pcopy");
        if !own.exists() {
            copy_program(&program(), &own);
            self.set_mode(&own, 0o755);
        }
        let mut run = self.tool("setpriv", ["--reuid=65534", "--regid=65534", "--clear-groups"]);
        run.command.arg(own).args(line.split_whitespace());
        Some(run)
    }

    /// Any other program, to be run in the folder.
    pub fn tool<S: AsRef<OsStr>>(&self, name: &str, arguments: impl IntoIterator<Item = S>) -> Run {
        let mut command = Command::new(name);
        command.args(arguments).current_dir(self.folder());
        Run { command, watch: false }
    }

    /// Runs `pcopy` with the words of `line`; for arguments without spaces.
    #[track_caller]
    pub fn run(&self, line: &str) -> Ended {
        self.pcopy(line.split_whitespace()).run()
    }
}

/// Whether the engine `name` can write a new file in the temporary folder.
pub fn can_engine(name: &str) -> bool {
    let scene = Scene::new();
    scene.source("source", 100_000);
    let ended = scene.run(&format!("--engine {name} source copy"));
    match ended.status.code() {
        Some(3) => {
            skip(&format!("engine {name} in the temporary folder"));
            false
        }
        _ => ended.code(0).status.success(),
    }
}

/// Makes `to` a copy of the program `from` that can be run at once. Another process writes it:
/// what this one has open for writing, a child that another test begins has open for a moment
/// as well, and the system runs no file that somebody may write.
#[cfg(unix)]
pub fn copy_program(from: &Path, to: &Path) {
    let done = Command::new("cp").arg(from).arg(to).status().expect("cp is there");
    assert!(done.success(), "cp {from:?} {to:?}");
}

/// The program under test.
pub fn program() -> PathBuf {
    let named = std::env::var_os(PROGRAM_VARIABLE);
    let program = named.unwrap_or_else(|| env!("CARGO_BIN_EXE_pcopy").into());
    // It is run in another folder than the tests, under Wine on another drive.
    std::path::absolute(program).expect("the current folder exists")
}

/// A program that is about to run.
pub struct Run {
    pub command: Command,
    /// Whether its calls are watched; see `ownership`.
    watch: bool,
}

/// A log of calls, to be asked when the process `id` has ended.
#[cfg(target_os = "linux")]
type Watched = ownership::Watched;
#[cfg(not(target_os = "linux"))]
struct Watched;

#[cfg(not(target_os = "linux"))]
impl Watched {
    fn check(self, _id: u32, _line: &str) -> u32 {
        0
    }
}

fn watch_is_wanted() -> bool {
    #[cfg(target_os = "linux")]
    return ownership::is_wanted();
    #[cfg(not(target_os = "linux"))]
    return false;
}

impl Run {
    /// The same, watched.
    #[cfg(target_os = "linux")]
    pub fn watched(self) -> Run {
        Run { watch: true, ..self }
    }

    /// Has the calls written to a log, where that is wanted.
    fn watch(&mut self) -> Option<Watched> {
        #[cfg(target_os = "linux")]
        return self.watch.then(|| Watched::new(&mut self.command));
        #[cfg(not(target_os = "linux"))]
        return None;
    }

    /// Runs it to its end, with nothing on standard input. A program that hangs
    /// is ended, and fails the test instead of keeping all others waiting.
    #[track_caller]
    pub fn run(mut self) -> Ended {
        self.choose_engine();
        let line = format!("{:?}", self.command);
        let watched = self.watch();
        self.command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = spawn(&mut self.command, &line);
        let stdout = read_aside(child.stdout.take().expect("stdout is a pipe"));
        let stderr = read_aside(child.stderr.take().expect("stderr is a pipe"));
        let begin = Instant::now();
        let mut rest = |pipe: Receiver<Vec<u8>>| {
            pipe.recv_timeout(PATIENCE.saturating_sub(begin.elapsed())).unwrap_or_else(|_| {
                child.kill().expect("a child can be ended");
                child.wait().expect("a child can be waited for");
                panic!("{line}: still running after {PATIENCE:?}");
            })
        };
        let (stdout, stderr) = (rest(stdout), rest(stderr));
        let status = child.wait().expect("a child can be waited for");
        let asked = watched.map_or(0, |watched| watched.check(child.id(), &line));
        let stderr = String::from_utf8_lossy(&stderr).into_owned();
        Ended { line, status, stdout, stderr, asked }
    }

    /// Adds the engine that the environment names to a copy that does not name
    /// one itself. Where that engine cannot serve, which a dry run says, the
    /// copy stays as it is. So does one with a server, which would hear of the dry run.
    fn choose_engine(&mut self) {
        let Some(engine) = std::env::var_os(ENGINE_VARIABLE) else { return };
        let line = std::iter::once(self.command.get_program()).chain(self.command.get_args());
        let mut words: Vec<OsString> = line.map(OsStr::to_owned).collect();
        // It may be run by another program, or be a copy that a user can run.
        let is_program = |word: &OsString| Path::new(word).file_name() == program().file_name();
        let Some(at) = words.iter().position(is_program) else { return };
        let has = |text: &str| words[at..].iter().any(|word| word == text);
        let other = ["bench", "verify", "patch", "devices", "schema", "completions", "man", "-n"];
        if other.into_iter().any(has) || has("--dry-run") {
            return;
        }
        let is_batch = words.get(at + 1).is_some_and(|word| word == "batch");
        // A rate is there to meet the copy on its way, and sharing is not a way. All processes
        // of a job say the same, with a rate or without.
        let may_share = has("--reflink") || !(has("--limit-rate") || has("--job"));
        let mut chosen: Vec<&OsStr> = Vec::new();
        if !may_share {
            chosen.extend(["--reflink", "never"].map(OsStr::new));
        }
        let url = |word: &OsString| word.to_string_lossy().contains("://");
        if at == 0 && !is_batch && !has("--engine") && !words.iter().any(url) {
            let mut trial = Command::new(program());
            trial.args(["--dry-run", "--engine"]).arg(&engine).args(&chosen).args(&words[1..]);
            trial.current_dir(self.command.get_current_dir().unwrap_or(Path::new(".")));
            let quiet = Stdio::null;
            let ended = trial.stdin(quiet()).stdout(quiet()).stderr(quiet()).status();
            if ended.is_ok_and(|status| status.success()) {
                chosen.extend([OsStr::new("--engine"), &engine]);
            }
        }
        // Before all other words: what follows two dashes is not an option. The word after
        // `batch` is looked for by tests.
        let place = if is_batch { words.len() } else { at + 1 };
        let chosen: Vec<OsString> = chosen.into_iter().map(OsStr::to_owned).collect();
        words.splice(place..place, chosen);
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]);
        if let Some(folder) = self.command.get_current_dir() {
            command.current_dir(folder);
        }
        for (name, value) in self.command.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        self.command = command;
    }

    /// Runs it to its end, with `input` on standard input.
    #[track_caller]
    pub fn with_input(mut self, input: &[u8]) -> Ended {
        let line = format!("{:?}", self.command);
        let watched = self.watch();
        self.command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = spawn(&mut self.command, &line);
        let mut pipe = child.stdin.take().expect("stdin is a pipe");
        // It may have read enough, or refused to.
        let written = pipe.write_all(input);
        let is_closed = |error: &std::io::Error| error.kind() == std::io::ErrorKind::BrokenPipe;
        assert!(written.as_ref().err().is_none_or(is_closed), "{line}: {written:?}");
        drop(pipe);
        let id = child.id();
        let _alarm = Alarm::of(&child);
        let output = child.wait_with_output().expect("a child can be waited for");
        let asked = watched.map_or(0, |watched| watched.check(id, &line));
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        Ended { line, status: output.status, stdout: output.stdout, stderr, asked }
    }

    /// Starts it and leaves it running.
    #[track_caller]
    pub fn start(mut self) -> Running {
        self.choose_engine();
        let line = format!("{:?}", self.command);
        let watched = self.watch();
        self.command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = spawn(&mut self.command, &line);
        let stderr = BufReader::new(child.stderr.take().expect("stderr is a pipe"));
        let alarm = Alarm::of(&child);
        Running { line, child, stderr, heard: String::new(), watched, _alarm: alarm }
    }
}

/// What is ignored here would be ignored by every program that is started, as it
/// is under nohup or in the background of a script. What is handled is not.
#[cfg(unix)]
fn pass_signals_on() {
    use std::sync::{Arc, Once};
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        for signal in [Signal::HUP, Signal::INT, Signal::TERM].map(Signal::as_raw) {
            if pcopy::sys::is_ignored(signal) {
                signal_hook::flag::register(signal, Arc::default()).expect("a handler");
            }
        }
    });
}

/// Starts a program.
#[track_caller]
fn spawn(command: &mut Command, line: &str) -> Child {
    #[cfg(unix)]
    pass_signals_on();
    /// ERROR_INTERNAL_ERROR: Wine has no process to give, which passes.
    const NOT_NOW: Option<i32> = if cfg!(windows) { Some(1359) } else { None };
    for _ in 0..9 {
        match command.spawn() {
            Err(error) if NOT_NOW.is_some() && error.raw_os_error() == NOT_NOW => {
                std::thread::sleep(Duration::from_millis(100));
            }
            result => return result.unwrap_or_else(|error| panic!("{line}: {error}")),
        }
    }
    command.spawn().unwrap_or_else(|error| panic!("{line}: {error}"))
}

/// Everything that comes out of `pipe`, once it has been closed.
fn read_aside(mut pipe: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        pipe.read_to_end(&mut bytes).expect("a pipe can be read");
        // Nobody listens any more where the test has given up.
        let _ = sender.send(bytes);
    });
    receiver
}

/// A program that is running.
pub struct Running {
    line: String,
    pub child: Child,
    stderr: BufReader<ChildStderr>,
    heard: String,
    watched: Option<Watched>,
    _alarm: Alarm,
}

/// Ends a program that does not end by itself, which would keep all other tests waiting.
/// Off when it is dropped.
struct Alarm {
    _off: std::sync::mpsc::Sender<()>,
}

impl Alarm {
    fn of(child: &Child) -> Alarm {
        let (off, waits) = channel();
        let id = child.id();
        std::thread::spawn(move || {
            if waits.recv_timeout(PATIENCE) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                end_by_force(id);
            }
        });
        Alarm { _off: off }
    }
}

#[cfg(unix)]
fn end_by_force(id: u32) {
    let id = i32::try_from(id).ok().and_then(rustix::process::Pid::from_raw);
    let _ = rustix::process::kill_process(id.expect("a number"), rustix::process::Signal::KILL);
}

#[cfg(windows)]
fn end_by_force(id: u32) {
    let _ = Command::new("taskkill").args(["/F", "/PID", &id.to_string()]).status();
}

impl Running {
    /// Reads lines of standard error until one is as wished, and returns it.
    #[track_caller]
    pub fn wait_for_line(&mut self, wished: impl Fn(&str) -> bool) -> String {
        loop {
            let mut line = String::new();
            let count = self.stderr.read_line(&mut line).expect("stderr is text");
            self.heard += &line;
            assert!(count > 0, "{} ended before it said so:\n{}", self.line, self.heard);
            if wished(line.trim_end()) {
                late();
                return line.trim_end().to_owned();
            }
        }
    }

    /// Waits until bytes are moving; needs `--progress json`.
    #[track_caller]
    pub fn wait_until_copying(&mut self) {
        self.wait_until_copied(0);
    }

    /// Waits until more than `bytes` have moved; needs `--progress json`.
    #[track_caller]
    pub fn wait_until_copied(&mut self, bytes: u64) {
        self.wait_for_line(|line| {
            let event: Value = serde_json::from_str(line).unwrap_or_default();
            event["phase"] == "copying" && event["copied"].as_u64() > Some(bytes)
        });
    }

    /// Waits until `bytes` or more are recorded as safe, and says how many are; needs
    /// `--progress json`. What has only moved may be copied again after a kill.
    #[track_caller]
    pub fn wait_until_recorded(&mut self, bytes: u64) -> u64 {
        self.wait_until_recorded_of("", bytes)
    }

    /// The same of one destination, whose path ends in `name`.
    #[track_caller]
    pub fn wait_until_recorded_of(&mut self, name: &str, bytes: u64) -> u64 {
        let safe = |line: &str| {
            let event: Value = serde_json::from_str(line).unwrap_or_default();
            let path = event["destination"].as_str().unwrap_or_default().replace('\\', "/");
            let is_it = path.ends_with(name);
            event["bytes"].as_u64().filter(|_| event["event"] == "checkpoint" && is_it)
        };
        let line = self.wait_for_line(|line| safe(line) >= Some(bytes));
        safe(&line).expect("just seen")
    }

    /// Ends it where it stands, whatever it is doing.
    pub fn kill(mut self) -> Ended {
        // It may have ended by itself.
        let _ = self.child.kill();
        self.end()
    }

    #[cfg(unix)]
    pub fn signal(&self, signal: rustix::process::Signal) {
        let process = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(process, signal).expect("the process is there");
    }

    /// Stops the program, and waits until each of its threads stands still.
    #[cfg(unix)]
    pub fn stand_still(&self) {
        self.signal(rustix::process::Signal::STOP);
        let process = rustix::process::Pid::from_child(&self.child);
        let options = rustix::process::WaitOptions::UNTRACED;
        let waited = rustix::process::waitpid(Some(process), options).expect("a child");
        let (_, status) = waited.expect("it was waited for");
        assert!(status.stopped(), "it has ended: {status:?}");
    }

    /// Sends a signal to a program that may have ended meanwhile.
    #[cfg(unix)]
    pub fn signal_if_there(&self, signal: rustix::process::Signal) {
        // Not waited for yet, so the number is still its own.
        let _ =
            rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), signal);
    }

    /// Reads the rest and waits for the end.
    pub fn end(mut self) -> Ended {
        let mut stdout = Vec::new();
        self.stderr.read_to_string(&mut self.heard).expect("stderr is text");
        let pipe = self.child.stdout.take();
        pipe.map(|mut pipe| pipe.read_to_end(&mut stdout).expect("stdout can be read"));
        let status = self.child.wait().expect("a child can be waited for");
        let asked = self.watched.map_or(0, |watched| watched.check(self.child.id(), &self.line));
        Ended { line: self.line, status, stdout, stderr: self.heard, asked }
    }
}

/// A program that has ended.
#[derive(Debug)]
pub struct Ended {
    line: String,
    pub status: ExitStatus,
    pub stdout: Vec<u8>,
    pub stderr: String,
    /// Calls that were asked whose file it is, where the program was watched.
    pub asked: u32,
}

impl Ended {
    /// Asserts the exit code.
    #[track_caller]
    pub fn code(self, expected: i32) -> Ended {
        let Ended { line, status, stderr, .. } = &self;
        assert_eq!(status.code(), Some(expected), "{line}\n{status}\n{stderr}");
        self
    }

    /// Asserts that standard error contains each of `texts`.
    #[track_caller]
    pub fn says(self, texts: &[&str]) -> Ended {
        for text in texts {
            let Ended { line, stderr, .. } = &self;
            assert!(stderr.contains(text), "{line}\nexpected: {text}\nfound: {stderr}");
        }
        self
    }

    /// Whether it was ended by [`Running::kill`], and not by itself before.
    pub fn was_killed(&self) -> bool {
        #[cfg(unix)]
        {
            use std::os::unix::process::ExitStatusExt;
            self.status.signal() == Some(rustix::process::Signal::KILL.as_raw())
        }
        #[cfg(not(unix))]
        {
            !self.status.success()
        }
    }

    /// Asserts death by a signal.
    #[cfg(unix)]
    #[track_caller]
    pub fn died_by(self, signal: rustix::process::Signal) -> Ended {
        use std::os::unix::process::ExitStatusExt;
        let Ended { line, status, stderr, .. } = &self;
        assert_eq!(status.signal(), Some(signal.as_raw()), "{line}\n{status}\n{stderr}");
        self
    }

    pub fn out(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// The one JSON document on standard output, which is as its schema says.
    #[track_caller]
    pub fn report(&self) -> Value {
        let report = serde_json::from_slice(&self.stdout).unwrap_or_else(|error| {
            panic!("{}\n{error}: {}\n{}", self.line, self.out(), self.stderr)
        });
        schemas::check_named(&report);
        report
    }
}

/// Bytes in which no two places look alike, so that a piece in the wrong place
/// shows. Those of two seeds are alike only by chance. Made by what is compiled to be fast:
/// nearly every test begins with some.
pub fn pattern(seed: u64, len: usize) -> Vec<u8> {
    pattern_at(seed, 0, len)
}

/// `len` bytes of the pattern from byte `offset` on.
pub fn pattern_at(seed: u64, offset: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    let mut endless = blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof();
    endless.set_position(offset);
    endless.fill(&mut bytes);
    bytes
}

/// Asserts that bytes are the same, and shows the first place where not.
#[track_caller]
pub fn assert_same(found: &[u8], expected: &[u8], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}: length found and expected");
    // At once where nothing differs: most of these are tens of megabytes.
    let differs = || found.iter().zip(expected).position(|(found, expected)| found != expected);
    if found != expected
        && let Some(at) = differs()
    {
        let end = (at + 16).min(found.len());
        let (found, expected) = (&found[at..end], &expected[at..end]);
        panic!("{what}: from byte {at}\n   found: {found:02x?}\nexpected: {expected:02x?}");
    }
}

/// Sleeps for `PCOPY_LATE` milliseconds, as if this machine were busy: what hears of the
/// program and then acts must still come in time.
fn late() {
    std::thread::sleep(std::time::Duration::from_millis(rounds("PCOPY_LATE", 0)));
}

/// How many random rounds: the long tier says so by `variable`.
pub fn rounds(variable: &str, short: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(short)
}

/// Says that a test cannot run here, in a line that is seen and counted even
/// where the output of tests is not shown.
pub fn skip(reason: &str) {
    let thread = std::thread::current();
    let name = thread.name().unwrap_or("a test");
    // In one piece: other tests write at the same time.
    let line = format!("skipped: {name}: {reason}\n");
    let _ = std::io::stderr().write_all(line.as_bytes());
}

/// Whether every one of `tools` is there; a skip if not.
pub fn has_tools(tools: &[&str]) -> bool {
    let missing = tools.iter().find(|tool| !is_installed(tool));
    missing.inspect(|tool| skip(&format!("needs {tool}"))).is_none()
}

fn is_installed(tool: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let sbin = [PathBuf::from("/usr/sbin"), PathBuf::from("/sbin")];
    std::env::split_paths(&path).chain(sbin).any(|folder| folder.join(tool).is_file())
}

/// The program made of the C file `source` of the tests, by gcc and with `flags`.
#[cfg(target_os = "linux")]
pub fn compiled(source: &str, flags: &str) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(source);
    let name = source.file_stem().expect("it has a name");
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    // Under a name of its own first: another test run may be using the program.
    let made = program.with_extension(std::process::id().to_string());
    let mut command = Command::new("gcc");
    command.args(["-O1", "-Wall", "-Wextra", "-Werror", "-pthread", "-o"]);
    command.arg(&made).arg(&source).args(flags.split_whitespace());
    let built = command.output().expect("gcc runs");
    let said = String::from_utf8_lossy(&built.stderr);
    assert!(built.status.success(), "{}: {said}", source.display());
    std::fs::rename(&made, &program).expect("the program gets its name");
    program
}

/// Whether this runs as root; a skip if not.
#[cfg(unix)]
pub fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        skip("needs root");
    }
    root
}

/// A file system in memory, which is full soon.
#[cfg(unix)]
pub struct SmallDisk {
    folder: PathBuf,
}

#[cfg(unix)]
impl SmallDisk {
    /// Of `mib` MiB, in the folder `name` of `scene`; `None` where that cannot be.
    pub fn new(scene: &Scene, name: &str, mib: u64) -> Option<SmallDisk> {
        if !is_root() {
            return None;
        }
        std::fs::create_dir(scene.path(name)).expect("a mount point can be made");
        let size = format!("size={mib}m");
        let mounted = scene.tool("mount", ["-t", "tmpfs", "-o", &size, "none", name]).run();
        if !mounted.status.success() {
            skip("tmpfs cannot be mounted");
            return None;
        }
        Some(SmallDisk { folder: scene.path(name) })
    }

    /// Leaves no room on it.
    pub fn fill(&self) {
        let mut file = std::fs::File::create(self.folder.join("filler")).expect("a file");
        while file.write_all(&[1; 4096]).is_ok() {}
    }
}

#[cfg(unix)]
impl Drop for SmallDisk {
    fn drop(&mut self) {
        // A busy one would keep the scene from going away.
        let _ = Command::new("umount").arg("-l").arg(&self.folder).status();
    }
}

/// Waits for a state that nobody announces.
#[track_caller]
pub fn wait_until(what: &str, mut state: impl FnMut() -> bool) {
    let start = Instant::now();
    while !state() {
        assert!(start.elapsed() < PATIENCE, "waited too long until {what}");
        // Not a delay that anything relies on: it only spares the processor.
        std::thread::park_timeout(Duration::from_millis(2));
    }
    late();
}

/// What precedes an advised command.
const ADVICE: [&str; 2] = ["to go on from here: ", "to try them again: "];

/// The command that was advised, as text or in an event.
pub fn advised(said: &str) -> Option<String> {
    said.lines().find_map(|line| {
        let event: Value = serde_json::from_str(line).unwrap_or_default();
        let text = event["text"].as_str().unwrap_or(line);
        let mut found = ADVICE.iter().filter_map(|advice| text.split_once(advice));
        found.next().map(|(_, command)| command.to_owned())
    })
}

/// Runs what was advised, and what that advises, until there is success.
#[track_caller]
pub fn follow(scene: &Scene, ended: Ended, what: &str) {
    let mut said = ended.stderr;
    for _ in 0..3 {
        let command = advised(&said).unwrap_or_else(|| panic!("{what}: no advice in {said}"));
        let ended = scene.tool("bash", ["-c", &command]).run();
        if ended.status.success() {
            return;
        }
        said = format!("{command}\n{}", ended.stderr);
    }
    panic!("{what}: advice leads nowhere: {said}");
}
