//! Asks smartctl and hdparm about a drive, where they are installed.
//!
//! Each gets a time limit: a drive that is dying may not answer at all, and its
//! copy must begin even so.

use std::ffi::OsString;
use std::io::{self, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use pcopy::evidence::drive::Answer;
use pcopy::evidence::{Hidden, Smart};

/// How long one of them may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Time between looks whether it has ended.
const LOOK: Duration = Duration::from_millis(20);

/// Where the tools of an administrator are, which are not in the path of everybody.
const ADMINISTRATOR: [&str; 3] = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

/// How the drive at `path` is.
pub fn smart(path: &Path) -> Smart {
    Smart::of(&ask("smartctl", &["--json", "--all"], path))
}

/// What the drive at `path` hides.
pub fn hidden(path: &Path) -> Hidden {
    Hidden::of(&ask("hdparm", &["-N"], path), &ask("hdparm", &["--dco-identify"], path))
}

/// What the program `name` says of the drive at `path`, whether or not it is content.
fn ask(name: &str, words: &[&str], path: &Path) -> Answer {
    let quiet = Stdio::null;
    let child = Command::new(name)
        .args(words)
        .arg(path)
        .env("PATH", search_path())
        // What it says is read by its words.
        .env("LC_ALL", "C")
        .stdin(quiet())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    match child {
        Ok(child) => said(name, child),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Answer::NotAsked(format!("{name} is not installed"))
        }
        Err(error) => Answer::NotAsked(format!("{name} cannot be started: {error}")),
    }
}

/// The path of this process, and the folders of an administrator.
fn search_path() -> OsString {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let own = std::env::split_paths(&path).filter(|folder| folder.is_absolute());
    let all = own.chain(ADMINISTRATOR.iter().map(|folder| Path::new(folder).to_owned()));
    std::env::join_paths(all).unwrap_or(path)
}

fn said(name: &str, mut child: Child) -> Answer {
    let stdout = child.stdout.take().map(|pipe| std::thread::spawn(move || text_of(pipe)));
    let stderr = child.stderr.take().map(|pipe| std::thread::spawn(move || text_of(pipe)));
    let begun = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(_)) => break,
            Ok(None) if begun.elapsed() < PATIENCE => std::thread::sleep(LOOK),
            Ok(None) | Err(_) => {
                // What waits for a drive may not hear it, and is not waited for then.
                let _ = child.kill();
                return Answer::NotAsked(format!("{name} did not answer"));
            }
        }
    }
    let text = |thread: Option<std::thread::JoinHandle<String>>| {
        thread.and_then(|thread| thread.join().ok()).unwrap_or_default()
    };
    Answer::Said(text(stdout) + &text(stderr))
}

fn text_of(pipe: impl Read) -> String {
    const MOST: u64 = 4 << 20;
    let mut bytes = Vec::new();
    // What came before an error is what there is.
    let _ = pipe.take(MOST).read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}
