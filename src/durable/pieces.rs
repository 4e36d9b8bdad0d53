//! Several runs that write one file where it is, each a piece of its own: which
//! bytes a run may write, and what its map is called.
//!
//! The lock of a piece says that a run writes these bytes; where the system has
//! no such locks, a run has the whole file. This room must not know what is
//! written.

use std::ffi::OsString;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use super::map::{MapFile, Mode};
use super::part;
use super::previous::map_beside;
use super::target::{MAP_SUFFIX, sibling_name};
use crate::error::Refusal;
use crate::range::ByteRange;
use crate::sys;

/// What of a file a run has for itself, as long as the file is open.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Claim {
    /// All of it.
    Whole,
    /// What it writes; other runs may write other bytes meanwhile.
    Piece,
}

/// A run that has the lock of this byte, which no file has, calls its map by the name
/// of the file alone.
const PLAIN_NAME: ByteRange = ByteRange::between((1 << 62) - 2, (1 << 62) - 1);

/// Claims the bytes `to` of `file`, which is open for writing.
///
/// # Errors
///
/// [`Refusal::PieceBusy`] if another run writes some of them, [`Refusal::Busy`] if
/// it has the whole file.
pub fn claim(file: &File, path: &Path, to: ByteRange) -> Result<Claim, Refusal> {
    // What comes from a pipe may reach further than any file.
    let (to, beyond) = to.split_at(PLAIN_NAME.start());
    if to.is_empty() {
        // Nothing is written, so it is in nobody's way.
        return Ok(Claim::Piece);
    }
    let mut locked = Ok(false);
    part::stays(|| {
        locked = sys::try_lock_range(file, to);
        matches!(locked, Ok(false))
    });
    match locked {
        Ok(true) => {}
        Ok(false) if beyond.is_empty() => {
            return Err(Refusal::PieceBusy { path: path.to_owned(), range: to });
        }
        Ok(false) => return Err(Refusal::Busy { path: path.to_owned() }),
        Err(_) => return claim_whole(file, path),
    }
    // For runs that ask for the whole file, such as one that would replace it.
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => {
            // Some servers take both kinds of locks for one, and ours is in the way.
            sys::unlock_range(file, to);
            claim_whole(file, path)
        }
        // A file system without locks is not a reason to refuse.
        Ok(()) | Err(TryLockError::Error(_)) => Ok(Claim::Piece),
    }
}

fn claim_whole(file: &File, path: &Path) -> Result<Claim, Refusal> {
    match part::stays_busy(file) {
        true => Err(Refusal::Busy { path: path.to_owned() }),
        false => Ok(Claim::Whole),
    }
}

/// Where the map of the run lives that writes the bytes `to` of the file at `path`:
/// beside it, by its name, unless a run of another piece has that name, or left it.
pub fn map_of_piece(file: &File, path: &Path, to: ByteRange, claim: Claim) -> PathBuf {
    let plain = map_beside(path);
    if claim == Claim::Whole {
        return plain;
    }
    let mut name: OsString = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}-{}", to.start(), to.end()));
    let own = path.with_file_name(sibling_name(&name, MAP_SUFFIX));
    if own.symlink_metadata().is_ok() || is_of_another_piece(&plain, to) {
        return own;
    }
    match sys::try_lock_range(file, PLAIN_NAME) {
        Ok(false) => own,
        Ok(true) | Err(_) => plain,
    }
}

/// Whether there is a map of a run that wrote other bytes than `to` in place.
fn is_of_another_piece(map: &Path, to: ByteRange) -> bool {
    let map = MapFile::new(map).ok().and_then(|file| file.load().ok().flatten());
    let Some(identity) = map.and_then(|map| map.identity) else { return false };
    let theirs = ByteRange::with_len(identity.destination.offset, identity.range.len());
    // No bytes overlap with none, and are still this run's own piece.
    let is_other = |theirs: ByteRange| theirs != to && !theirs.overlaps(to);
    identity.destination.mode == Mode::InPlace && theirs.is_some_and(is_other)
}
