//! What a file has besides its content: owner, extended attributes, mode and
//! times, carried over to a copy of the whole file; and who may use a file,
//! carried over to the one that takes its place, or is a copy of it.
//!
//! The order matters: changing the owner clears the set-user-id bit, writing
//! attributes needs permission that the mode may take away, and everything
//! touches the times. What cannot be carried over is told, and no failure: the
//! content is what was asked for. This room knows open files and no jobs.

mod difference;

pub use difference::{Known, difference, difference_of_facts};

use std::ffi::OsStr;
use std::fmt;
use std::fs::{File, FileTimes};
use std::io;
use std::time::{Duration, SystemTime};

use crate::error::chain;
use crate::sys::{self, Directory, FileKind, Metadata, Moment};

/// Set-user-id and set-group-id, which belong to an owner and go with them.
const SET_ID_BITS: u32 = 0o6000;

/// The extended attribute that Linux keeps the access list of a file in; see acl(5).
const ACCESS_LIST: &str = "system.posix_acl_access";

/// The same of a folder, for what is made in it.
const DEFAULT_LIST: &str = "system.posix_acl_default";

/// The bits of the mode that are the owner's and everybody's. Those of the
/// group are the mask of the access list where there is one.
const NOT_OF_THE_GROUP: u32 = 0o707;

/// What a file was not given, because the system keeps it from this process.
/// The file is then as private as it was made.
#[derive(Debug)]
pub struct NotGiven {
    /// "mode", "owner", "time".
    pub what: &'static str,
    /// What the system said.
    pub why: io::Error,
}

impl fmt::Display for NotGiven {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the {} could not be set: {}", self.what, chain(&self.why))
    }
}

/// Takes a call that was refused for what was not given.
///
/// # Errors
///
/// All others, as those of a disk.
pub fn unless_refused(what: &'static str, result: io::Result<()>) -> io::Result<Option<NotGiven>> {
    match result {
        Err(why) if sys::is_refused(&why) => Ok(Some(NotGiven { what, why })),
        result => result.map(|()| None),
    }
}

/// Gives `to` the owner, the mode and the access list of the file `name` in
/// `directory`, which it is going to replace and which is `facts`. Content
/// changed, so special bits do not carry over. Where it cannot be told whether
/// there is a list, or it cannot be given, the group gets nothing: what the mode
/// shows for it may be more than it had. Returns what could not be given.
///
/// # Errors
///
/// If the file system fails.
pub fn take_place_of(
    directory: &Directory,
    name: &OsStr,
    facts: &Metadata,
    to: &File,
) -> io::Result<Vec<NotGiven>> {
    let owner = take_owner(facts, to)?;
    let mode = unless_refused("mode", take_mode(directory, name, facts, to))?;
    Ok(owner.into_iter().chain(mode).collect())
}

/// Gives `to` the owner and group of `facts`. Where a user other than root
/// keeps the old owner, nothing is said.
fn take_owner(facts: &Metadata, to: &File) -> io::Result<Option<NotGiven>> {
    const ROOT: u32 = 0;
    let refused = unless_refused("owner", sys::set_owner(to, facts.owner, facts.group))?;
    if refused.is_some() {
        // The group alone, which the mode speaks of; its own user may give it.
        let _ = sys::set_owner(to, sys::user(), facts.group);
    }
    Ok(refused.filter(|_| sys::user() == ROOT))
}

fn take_mode(directory: &Directory, name: &OsStr, facts: &Metadata, to: &File) -> io::Result<()> {
    let mode = facts.mode & 0o777;
    let has_list = directory.open_to_read(name).and_then(|replaced| {
        let has_list = has_access_list(&replaced)?;
        if has_list {
            // First what is surely no more than before; the list sets the rest.
            sys::set_mode(to, mode & NOT_OF_THE_GROUP)?;
            sys::copy_extended_attribute(&replaced, to, OsStr::new(ACCESS_LIST))?;
        }
        Ok(has_list)
    });
    match has_list {
        Ok(true) => Ok(()),
        Ok(false) if take_access_list_from(to).is_ok() => sys::set_mode(to, mode),
        // With no rights for the group, nobody on a list has any.
        Ok(false) | Err(_) => sys::set_mode(to, mode & NOT_OF_THE_GROUP),
    }
}

/// Permission bits of a new file that is not a copy of one whole file: the umask's to cut.
pub const OF_ANY_FILE: u32 = 0o666;

/// The permission bits of `file`, which is `facts`. Where an access list may
/// stand behind the bits of the group, the group gets what everybody gets.
pub fn rights_of(file: &File, facts: &Metadata) -> u32 {
    let mode = facts.mode & 0o777;
    let without = mode & NOT_OF_THE_GROUP | mode & 0o7 << 3 & mode << 3;
    let has_list = without != mode && has_access_list(file).unwrap_or(true);
    if has_list { without } else { mode }
}

/// Takes away the access list that a new file has from its directory: with it,
/// the mode would mean more than in the file that it is from.
fn take_access_list_from(file: &File) -> io::Result<()> {
    take_from(file, ACCESS_LIST)
}

fn take_from(file: &File, attribute: &str) -> io::Result<()> {
    // Asking is cheaper than taking what is not there.
    if !has(file, attribute)? {
        return Ok(());
    }
    match sys::remove_extended_attribute(file, OsStr::new(attribute)) {
        Err(error) if sys::is_unsupported(&error) => Ok(()),
        result => result,
    }
}

fn has_access_list(file: &File) -> io::Result<bool> {
    has(file, ACCESS_LIST)
}

fn has(file: &File, attribute: &str) -> io::Result<bool> {
    match sys::extended_attributes(file) {
        Ok(names) => Ok(names.iter().any(|name| name == attribute)),
        Err(error) if sys::is_unsupported(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Gives `to` what `from` has besides its content, which was `facts` before it
/// was read. Returns what could not be carried over, a sentence each.
pub fn carry_over(from: &File, facts: &Metadata, to: &File) -> Vec<String> {
    carry_over_with(facts, to, |lost| copy_attributes(from, facts, to, lost))
}

/// The same of a source that cannot be opened any more: owner, mode and times.
pub fn carry_over_facts(facts: &Metadata, to: &File) -> Vec<String> {
    carry_over_with(facts, to, |_| {})
}

/// Takes note of what could not be carried over.
type Losing<'a> = dyn FnMut(&str, io::Error) + 'a;

fn carry_over_with(
    facts: &Metadata,
    to: &File,
    attributes: impl FnOnce(&mut Losing<'_>),
) -> Vec<String> {
    let mut notes = Vec::new();
    let mut lost = |what: &str, error: io::Error| {
        notes.push(format!("{what} could not be preserved: {}", chain(&error)));
    };
    let mut mode = facts.mode;
    if let Err(error) = sys::set_owner(to, facts.owner, facts.group) {
        mode &= !SET_ID_BITS;
        lost("the owner", error);
    }
    attributes(&mut lost);
    if let Err(error) = sys::set_mode(to, mode) {
        lost("the mode", error);
    }
    let (modified, accessed) = (time(facts.modified), time(facts.accessed));
    let times = FileTimes::new().set_modified(modified).set_accessed(accessed);
    if let Err(error) = to.set_times(times) {
        lost("the times", error);
    }
    notes
}

/// Gives `to` the attributes of `from`, and takes the access lists from it that it
/// has from its directory.
fn copy_attributes(from: &File, facts: &Metadata, to: &File, lost: &mut Losing<'_>) {
    if let Err(error) = take_access_list_from(to) {
        lost("that there is no access list", error);
    }
    if facts.node == FileKind::Directory
        && let Err(error) = take_from(to, DEFAULT_LIST)
    {
        lost("that there is no access list for new files", error);
    }
    match sys::extended_attributes(from) {
        Ok(names) => {
            for name in names {
                if let Err(error) = sys::copy_extended_attribute(from, to, &name) {
                    lost(&format!("attribute {}", crate::error::quoted(&name)), error);
                }
            }
        }
        // A file system without attributes has lost none.
        Err(error) if sys::is_unsupported(&error) => {}
        Err(error) => lost("extended attributes", error),
    }
}

fn time((seconds, nanoseconds): Moment) -> SystemTime {
    let whole = Duration::from_secs(seconds.unsigned_abs());
    let second =
        if seconds < 0 { SystemTime::UNIX_EPOCH - whole } else { SystemTime::UNIX_EPOCH + whole };
    second + Duration::from_nanos(nanoseconds.into())
}
