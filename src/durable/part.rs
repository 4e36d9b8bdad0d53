//! A file that is written under a name nobody looks at: made exclusively,
//! locked while it is written, and known by what it is.
//!
//! A name says little of a file that others can reach as well: another run may
//! be writing under it, or somebody may have put something else there. So
//! whoever wants a part gets the lock first, and whoever renames one looks
//! before and after whether it is still the file that was written.

use std::ffi::OsStr;
use std::fs::{File, TryLockError};
use std::io;

use super::trust;
use crate::sys::{self, Directory, FileKind, Metadata};

/// What there is under the name of a part.
pub enum Found {
    /// Nothing.
    Nothing,
    /// Something that is no regular file.
    NoFile,
    /// A file that another run is writing.
    Busy,
    /// A file that nobody is writing; open for reading and writing, and locked.
    Left(File, Metadata),
}

/// Makes `name`, which must not exist, and locks it.
///
/// # Errors
///
/// Of the system; `WouldBlock` if another run was faster to lock it.
pub fn create(directory: &Directory, name: &OsStr) -> io::Result<File> {
    locked(directory.create_new(name)?)
}

/// `file`, which was just made, with the lock that says that it is written.
///
/// # Errors
///
/// `WouldBlock` if another run was faster to lock it.
pub fn locked(file: File) -> io::Result<File> {
    if is_busy(&file) { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(file) }
}

/// Looks at `name`, and takes the lock if it is a file.
///
/// # Errors
///
/// Of the system.
pub fn find(directory: &Directory, name: &OsStr) -> io::Result<Found> {
    let Some(found) = directory.facts(name)? else { return Ok(Found::Nothing) };
    if found.node != FileKind::File {
        return Ok(Found::NoFile);
    }
    let file = match directory.open_existing(name) {
        // One of ours that has got the mode of the source already.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            let unwritable = directory.open_to_read(name)?;
            sys::set_mode(&unwritable, found.mode | PRIVATE).map_err(|_| error)?;
            directory.open_existing(name)?
        }
        result => result?,
    };
    if is_busy(&file) {
        return Ok(Found::Busy);
    }
    // Between the look and the lock the run that had it may have ended and
    // given the file its final name: then it is not the part any more.
    let facts = sys::facts(&file)?;
    let still = directory.facts(name)?;
    match still.is_some_and(|still| still.same_thing(&facts)) {
        true => Ok(Found::Left(file, facts)),
        false => Ok(Found::Busy),
    }
}

/// Makes the part `file` of an earlier run private again, before anything is
/// written to it: its mode may be another by now. With the consent to take over
/// the part of another user, root makes it its own first.
///
/// # Errors
///
/// Of the system, if it is not as private as a file that is made in `directory`.
pub fn adopt(directory: &Directory, file: &File) -> io::Result<()> {
    let is_private = || Ok::<_, io::Error>(sys::facts(file)?.mode == PRIVATE);
    sys::take_ownership(file)
        .and_then(|()| if is_private()? { Ok(()) } else { sys::set_mode(file, PRIVATE) })
        .or_else(|error| if trust::says_nothing(directory, file) { Ok(()) } else { Err(error) })
}

/// The mode of a part.
const PRIVATE: u32 = 0o600;

/// Whether another run is writing `file`. If not, this one has the lock that
/// says so, for as long as the file is open. A file system without locks is no
/// reason to refuse.
pub fn is_busy(file: &File) -> bool {
    matches!(sys::try_lock(file), Err(TryLockError::WouldBlock))
}

/// Whether another run is writing the file `name` where it is. What cannot be
/// opened says nothing.
pub fn is_written(directory: &Directory, name: &OsStr) -> bool {
    directory.open_to_read(name).is_ok_and(|file| is_busy(&file))
}

/// Makes sure that `name` is `ours`: whoever may write in the directory may
/// have put something else, a link say, in its place. A rename goes by name,
/// so only after it is it known what was renamed. Returns what it is now.
///
/// # Errors
///
/// If it is not, or if the system does not say.
pub fn check_is_at(directory: &Directory, name: &OsStr, ours: &Metadata) -> io::Result<Metadata> {
    let there = directory.facts(name)?.filter(|there| there.same_thing(ours));
    there.ok_or_else(not_ours)
}

/// That a name leads to another file than the one that was made.
pub(super) fn not_ours() -> io::Error {
    io::Error::other("somebody put another file in its place")
}
