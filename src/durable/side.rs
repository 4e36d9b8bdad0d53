//! Side files: what a job makes beside what it copies. Temporaries, maps, the
//! report of a batch, digest files, charts and the folders of a bench are made,
//! checked, replaced and removed here (invariant I12).
//!
//! - A file is made exclusively, under a name that nobody has: random, or tried
//!   until it is new. Nothing is opened through a link or waited for.
//! - A name says nothing. Before a file is renamed or removed, the name must
//!   lead to the file that this run made, or has opened and looked at.
//! - A file is replaced only by the rename of a new one, never cut by its name.
//!
//! Between the look and the call that follows it a name can change hands. Who
//! can do that in a folder can remove or rename what is in it, and a rename or
//! an unlink touches names, never the bytes of another file.
//!
//! This room knows names, open files and directories. It must not know what is
//! in a side file, which options ask for it, or what a job copies: whether a
//! side file is a file that the job needs is told by `safety::roles`.

mod named;
mod temporary;
#[cfg(test)]
mod tests;

pub use named::{Draft, Named};
pub use temporary::Temporary;

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Read, Write};

use super::part::{self, Ours};
use super::target::sibling_name;
use crate::sys::{self, Directory, FileKind, FileSystemKind, Replace};

/// What the random part of a name comes after.
const MARK: &str = ".pcopy-";

/// What every temporary ends in.
const END: &str = ".tmp";

/// Random digits in a name, of four bits each.
const DIGITS: usize = 16;

/// How often another name is tried where one is taken, which happens once in
/// 2^64 names unless somebody guesses them.
const TRIES: u32 = 100;

/// A name for what is to be the file `name` later: nobody's, as far as chance goes.
pub fn random_name(name: &OsStr) -> OsString {
    sibling_name(&hidden(name), &format!("{MARK}{}{END}", random_digits()))
}

/// Digits that nobody can foresee.
fn random_digits() -> String {
    // The keys of every state are new, and come from the system's random numbers.
    format!("{:0DIGITS$x}", RandomState::new().hash_one(std::process::id()))
}

fn hidden(name: &OsStr) -> OsString {
    let mut hidden = OsString::from(".");
    hidden.push(name);
    hidden
}

/// Whether `name` is what a temporary of the file `of` may be called.
fn is_temporary_of(name: &OsStr, of: &OsStr) -> bool {
    let bytes = name.as_encoded_bytes();
    let Some(start) = bytes.len().checked_sub(DIGITS + END.len()) else { return false };
    let digits = &bytes[start..bytes.len() - END.len()];
    if !digits.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        return false;
    }
    let digits = String::from_utf8_lossy(digits);
    sibling_name(&hidden(of), &format!("{MARK}{digits}{END}")) == *name
}

/// Removes `name` if it is `ours`; whether it was. Nothing being
/// there is no error.
///
/// # Errors
///
/// Of the system, or that the name leads to something else, which stays.
pub fn remove(directory: &Directory, name: &OsStr, ours: Ours<'_>) -> io::Result<bool> {
    match directory.facts(name)? {
        None => Ok(false),
        Some(there) if ours.is_itself(directory, name, &there) => {
            directory.remove(name).map(|()| true)
        }
        Some(_) => Err(part::not_ours()),
    }
}

/// What a power cut keeps from the disk as a whole, at the least, in bytes: half a sector,
/// where one is torn.
const PIECE: usize = 256;

/// Removes the temporaries of the file `of` that killed runs have left: regular
/// files of this user with one name, that begin as `beginning` or are shorter,
/// and that nobody is writing. After a power cut, one may begin with zeros, because what
/// was to be there is not on the disk. Whether there were any. Best effort: one that stays
/// is in nobody's way.
pub fn clear_temporaries(directory: &Directory, of: &OsStr, beginning: &[u8]) -> bool {
    clear(directory, of, |start| {
        let head = &start[..start.len().min(beginning.len())];
        beginning.starts_with(head) || start.iter().all(|&byte| byte == 0)
    })
}

/// Removes the temporaries of the file `of` that nobody is writing and whose first bytes,
/// up to half a sector, are what `is_left` of a killed run. Whether there were any.
fn clear(directory: &Directory, of: &OsStr, is_left: impl Fn(&[u8]) -> bool) -> bool {
    let names = directory.names(|name| is_temporary_of(name, of)).unwrap_or_default();
    let clear = |name: &OsString| {
        let looked = directory.facts(name).ok().flatten();
        if looked.as_ref().is_none_or(|facts| facts.node != FileKind::File) {
            return false;
        }
        let Ok(mut file) = directory.open_existing(name) else { return false };
        let Ok(facts) = sys::facts(&file) else { return false };
        let is_ours = facts.node == FileKind::File
            && facts.links == 1
            && facts.owner == sys::user()
            && !part::is_busy(&file)
            // Where numbers are made up, a lock says nothing either.
            && looked.is_some_and(|looked| looked.same_thing(&facts))
            && start_of(&mut file, PIECE).is_ok_and(|start| is_left(&start));
        is_ours && remove(directory, name, Ours { file: &file, facts: &facts }).unwrap_or(false)
    };
    // All of them: `any` would stop at the first.
    names.iter().filter(|name| clear(name)).count() > 0
}

/// Whether `file` begins as `beginning`, or ends before it differs.
///
/// # Errors
///
/// Of the system.
pub fn begins_as(file: &mut impl Read, beginning: &[u8]) -> io::Result<bool> {
    Ok(beginning.starts_with(&start_of(file, beginning.len())?))
}

/// The first `len` bytes of `file`, or as many as there are.
fn start_of(file: &mut impl Read, len: usize) -> io::Result<Vec<u8>> {
    let mut start = Vec::new();
    file.take(len as u64).read_to_end(&mut start)?;
    Ok(start)
}

/// What a file is for that only shows what becomes of files in its directory.
const TRIAL: &str = "trial";

/// Makes a file that shows what becomes of files in `directory`, and tells its name, which
/// is also what it holds: by that it is known where numbers of files are made up. Those that
/// killed runs have left go away first: no other run looks for them.
///
/// # Errors
///
/// Of the system.
pub fn make_trial(directory: &Directory) -> io::Result<(OsString, File)> {
    let of = OsStr::new(TRIAL);
    let is_name = |start: &[u8]| {
        std::str::from_utf8(start).is_ok_and(|text| is_temporary_of(OsStr::new(text), of))
    };
    clear(directory, of, |start| start.is_empty() || is_name(start));
    let (name, file) = make_locked(directory, of)?;
    // On a full disk it stays empty.
    let _ = (&file).write_all(name.as_encoded_bytes());
    Ok((name, file))
}

/// Makes a file under a random name for what is to be the file `of`, for its owner alone,
/// and locks it, so that nobody takes it for one that was left.
fn make_locked(directory: &Directory, of: &OsStr) -> io::Result<(OsString, File)> {
    let make = || {
        let name = random_name(of);
        directory.create_new(&name).map(|file| (name, file))
    };
    let (name, file) = until_new(make)?;
    // A file system without locks is not a reason to refuse.
    let _ = part::is_busy(&file);
    Ok((name, file))
}

/// Makes sure that a file can get another name in `directory`, if a program serves
/// its file system, as those do that have objects and no files: a copy would find it out
/// in the end.
///
/// # Errors
///
/// Why it cannot. What cannot be tried is not an error.
pub fn check_renames(directory: &Directory) -> io::Result<()> {
    let is_served = |system: sys::FileSystem| system.kind == FileSystemKind::Fuse;
    if !sys::file_system(directory).is_ok_and(is_served) {
        return Ok(());
    }
    let Ok((before, file)) = make_trial(directory) else { return Ok(()) };
    let after = random_name(OsStr::new(TRIAL));
    let renamed = directory.rename(&before, &after, Replace::Yes);
    // Some give a file that is removed while it is open a name of their own until then.
    drop(file);
    // Best effort: both names are new, and nobody else knows them.
    let _ = directory.remove(if renamed.is_ok() { &after } else { &before });
    match renamed {
        Err(error) if sys::is_refused(&error) => Err(error),
        _ => Ok(()),
    }
}

/// Makes a folder beside `name`, in `directory`, under a name that nobody has.
/// For its owner alone.
///
/// # Errors
///
/// If none can be made.
pub fn make_folder(directory: &Directory, name: &OsStr) -> io::Result<(OsString, Directory)> {
    let make = || {
        let own = sibling_name(&hidden(name), &format!("{MARK}bench-{}", random_digits()));
        directory.make_new_subdirectory(&own).map(|()| own)
    };
    let own = until_new(make)?;
    let folder = directory.subdirectory(&own)?;
    Ok((own, folder))
}

/// Tries `make` until it meets a name that is new.
fn until_new<T>(mut make: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    for _ in 1..TRIES {
        match make() {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            result => return result,
        }
    }
    make()
}
