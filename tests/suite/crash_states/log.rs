//! What strace writes down of a run, as calls that began and returned.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use super::disk::{Call, Moment, Recording};
use super::names_in;

/// The calls that change what is on a disk, or secure it. Some are only here so that a copy
/// that makes them is seen: the model does not know them.
pub const CALLS: [&str; 24] = [
    "open",
    "openat",
    "write",
    "pwrite64",
    "ftruncate",
    "fallocate",
    "fsync",
    "fdatasync",
    "rename",
    "renameat",
    "renameat2",
    "unlink",
    "unlinkat",
    "link",
    "linkat",
    "symlinkat",
    "pwritev",
    "pwritev2",
    "writev",
    "copy_file_range",
    "sync_file_range",
    "syncfs",
    "mkdirat",
    "ioctl",
];

/// A call as strace writes it down, and the numbers of the lines where it began and
/// returned, if it did before the process ended.
struct Line {
    text: String,
    begins: usize,
    returns: Option<usize>,
}

/// The lines of a log, with each call that another thread has interrupted in one piece.
fn lines(log: &str) -> Vec<Line> {
    let (mut lines, mut begun) = (Vec::new(), BTreeMap::new());
    for (number, line) in log.lines().enumerate() {
        let (thread, rest) = line.split_once(' ').expect("a thread and its call");
        let rest = rest.trim_start();
        if let Some(begin) = rest.strip_suffix(" <unfinished ...>") {
            begun.insert(thread, (number, begin));
        } else if let Some(end) = rest.strip_prefix("<... ") {
            let (_, end) = end.split_once(" resumed>").expect("the end of a call");
            let (begins, begin) = begun.remove(thread).expect("it began before");
            lines.push(Line { text: format!("{begin}{end}"), begins, returns: Some(number) });
        } else {
            lines.push(Line { text: rest.to_owned(), begins: number, returns: Some(number) });
        }
    }
    let cut_off = |(begins, begin): (usize, &str)| {
        let text = format!("{begin}) = ?");
        Line { text, begins, returns: None }
    };
    lines.extend(begun.into_values().map(cut_off));
    lines.sort_by_key(|line| line.begins);
    lines
}

/// The calls of a log of strace on files in `folder`, which have succeeded.
pub fn recording(log: &str, folder: &Path) -> Recording {
    let mut recording = Recording::default();
    let mut moments = Vec::new();
    let mut there = names_in(folder, folder);
    for Line { text, begins, returns } in lines(log) {
        let Some((name, rest)) = text.split_once('(') else { continue };
        let Some((arguments, result)) = rest.rsplit_once(" = ") else { continue };
        if result.starts_with('-') {
            continue;
        }
        let arguments: Vec<&str> = arguments.trim_end().trim_end_matches(')').split(", ").collect();
        let Some(mut call) = call_of(name, &arguments, folder, &mut there) else { continue };
        if let Call::Write { bytes, .. } | Call::Append { bytes, .. } = &mut call {
            let count = result.split(' ').next().and_then(|count| count.parse().ok());
            bytes.truncate(count.unwrap_or(bytes.len()));
        }
        // What is in one line begins before it returns: the sort below is stable.
        let number = recording.calls.len();
        moments.push((begins, Moment::Begins(number)));
        moments.extend(returns.map(|line| (line, Moment::Returns(number))));
        recording.calls.push(call);
    }
    moments.sort_by_key(|(line, _)| *line);
    recording.moments = moments.into_iter().map(|(_, moment)| moment).collect();
    recording
}

fn call_of(
    name: &str,
    arguments: &[&str],
    folder: &Path,
    there: &mut HashSet<String>,
) -> Option<Call> {
    // A descriptor, or the file of that name in the folder of a descriptor.
    let file = |at: usize| below(folder, Path::new(&path_of(arguments[at])));
    let named = |at: usize| {
        let path = PathBuf::from(path_of(arguments[at])).join(text_of(arguments[at + 1]));
        below(folder, &path)
    };
    let plain = |at: usize| below(folder, &folder.join(text_of(arguments[at])));
    let number = |at: usize| arguments[at].parse::<usize>().expect("a number");
    let opened = |name: String, flags: &str, there: &mut HashSet<String>| {
        assert!(!flags.contains("O_TRUNC") && !flags.contains("O_TMPFILE"), "{name}: {flags}");
        let is_new = flags.contains("O_CREAT") && there.insert(name.clone());
        is_new.then_some(Call::Create(name))
    };
    let renamed = |from: String, to: String, there: &mut HashSet<String>| {
        there.remove(&from);
        there.insert(to.clone());
        Call::Rename { from, to }
    };
    match name {
        "open" => opened(plain(0)?, arguments[1], there),
        "openat" => opened(named(0)?, arguments[2], there),
        "pwrite64" => {
            Some(Call::Write { name: file(0)?, bytes: bytes_of(arguments[1]), at: number(3) })
        }
        "write" => Some(Call::Append { name: file(0)?, bytes: bytes_of(arguments[1]) }),
        "ftruncate" => Some(Call::SetLength { name: file(0)?, len: number(1) }),
        "fallocate" => {
            assert_eq!(arguments[1], "0", "a way to allocate that the model does not know");
            Some(Call::Reserve { name: file(0)?, len: number(2) + number(3) })
        }
        "fsync" | "fdatasync" => {
            let path = PathBuf::from(path_of(arguments[0]));
            let name = below(folder, &path)?;
            Some(if folder.join(&name).is_dir() {
                Call::SyncFolder(name)
            } else {
                Call::Sync(name)
            })
        }
        "rename" => Some(renamed(plain(0)?, plain(1)?, there)),
        "renameat" | "renameat2" => Some(renamed(named(0)?, named(2)?, there)),
        "unlink" | "unlinkat" => {
            let name = if name == "unlink" { plain(0)? } else { named(0)? };
            there.remove(&name);
            Some(Call::Remove(name))
        }
        // Asks, and changes nothing: a terminal, or what a device is.
        "ioctl" => None,
        other => {
            assert!(file(0).is_none(), "the model does not know {other}({arguments:?})");
            None
        }
    }
}

/// The name of `path` as seen from `folder`; `None` if it is not below, or has no name any more.
fn below(folder: &Path, path: &Path) -> Option<String> {
    let name = path.strip_prefix(folder).ok()?.to_str()?;
    (!name.ends_with(" (deleted)")).then(|| name.to_owned())
}

/// The path behind a descriptor, as in `5<\x2f\x61>`.
fn path_of(argument: &str) -> String {
    let path = argument.split_once('<').map_or("", |(_, path)| path.trim_end_matches('>'));
    String::from_utf8(hexadecimal(path)).expect("names are text here")
}

/// A text, as in `"\x61"`.
fn text_of(argument: &str) -> String {
    String::from_utf8(bytes_of(argument)).expect("names are text here")
}

fn bytes_of(argument: &str) -> Vec<u8> {
    assert!(!argument.ends_with("..."), "strace has left out some bytes");
    hexadecimal(argument.trim_matches('"'))
}

fn hexadecimal(text: &str) -> Vec<u8> {
    let byte = |digits: &str| u8::from_str_radix(digits, 16).expect("two digits");
    text.split("\\x").skip(1).map(byte).collect()
}
