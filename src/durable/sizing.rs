//! How a file that will be written gets its length.
//!
//! Most file systems note a length and nothing else. FAT and exFAT, and programs
//! that serve a file system, may write zeros up to it: a whole copy of zeros
//! before the first byte, in one call that hears no wish to stop. Where that is
//! so, a file gets its length by being written, in ascending order, because what
//! is skipped is filled with zeros as well. The same where a length is refused, as
//! by stores that only take what is added at the end.

use std::fs::File;
use std::io;

use crate::sys::{self, FileSystemKind};

/// By how much a file is made longer to see what that costs: storage is given
/// in units of at most so many bytes where zeros are written.
const TRIAL: u64 = 64 << 10;

/// Gives `file` the length `len`, unless that would write zeros or is refused.
/// Whether it is so: then the length comes with what is written, and [`fill_up`]
/// must be called in the end. `gaps` as of [`sys::set_len`].
///
/// # Errors
///
/// If the file system takes no file of that length, or fails.
pub fn size_ahead(file: &File, len: u64, gaps: bool) -> io::Result<bool> {
    // What was cut to nothing, even if it was empty before, ext4 writes to the disk
    // when it is closed (`auto_da_alloc`): a second for a gibibyte.
    if len == 0 && sys::facts_of_known(file)?.size == 0 {
        return Ok(false);
    }
    if is_in_doubt(file) {
        let before = sys::facts(file)?;
        let trial = before.size.saturating_add(TRIAL);
        if trial < len {
            match sys::set_len(file, trial, gaps) {
                Err(error) if sys::is_refused(&error) => return Ok(true),
                result => result?,
            }
            let taken = sys::facts(file)?.allocated.saturating_sub(before.allocated);
            if taken >= TRIAL {
                let fits = sys::largest_file(file).is_none_or(|largest| len <= largest);
                return if fits { Ok(true) } else { Err(io::ErrorKind::FileTooLarge.into()) };
            }
        }
    }
    match sys::set_len(file, len, gaps) {
        Err(error) if sys::is_refused(&error) => Ok(true),
        result => result.map(|()| false),
    }
}

/// Gives `file`, of which nothing more will be written, the length `len`.
///
/// # Errors
///
/// If the file system refuses.
pub fn end_at(file: &File, len: u64) -> io::Result<()> {
    fill_up(file, len)?;
    if sys::facts(file)?.size > len { file.set_len(len) } else { Ok(()) }
}

/// Whether the file system may be one that writes zeros.
pub fn is_in_doubt(file: &File) -> bool {
    use FileSystemKind::{Fuse, Ntfs};
    // Where all do, they are known to do it quickly.
    !sys::FILLS_AHEAD
        && sys::file_system(file).is_ok_and(|system| matches!(system.kind, Fuse | Ntfs))
}

/// Gives `file` the length `len` if it is shorter, when everything is written:
/// it may end in a hole, or in what could not be read.
///
/// # Errors
///
/// If the file system refuses.
pub fn fill_up(file: &File, len: u64) -> io::Result<()> {
    if sys::facts_of_known(file)?.size >= len {
        return Ok(());
    }
    match file.set_len(len) {
        Err(error) if sys::is_refused(&error) => write_last(file, len),
        result => result,
    }
}

/// Makes `file`, which is shorter, as long as `len` by its last byte, a zero.
///
/// # Errors
///
/// If the file system refuses.
pub fn write_last(file: &File, len: u64) -> io::Result<()> {
    match sys::write_at(file, &[0], len - 1)? {
        0 => Err(io::ErrorKind::WriteZero.into()),
        _ => Ok(()),
    }
}
