//! Several runs that write one file where it is, each a piece of its own: which
//! bytes a run may write, and what its map is called.
//!
//! The lock of a piece says that a run writes these bytes; where the system has
//! no such locks, a run has the whole file. This room must not know what is
//! written.

use std::ffi::OsString;
use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::map::{MapFile, Mode};
use super::open_file::resize;
use super::part;
use super::previous::map_beside;
use super::sizing;
use super::target::{MAP_SUFFIX, sibling_name};
use crate::error::{ErrorKind, Refusal, Result};
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

/// A run that has the lock of this byte makes the file longer.
const LENGTH: ByteRange = ByteRange::between(PLAIN_NAME.start() - 1, PLAIN_NAME.start());

/// How long making a file longer may take: seconds, where the file system fills it
/// with zeros.
const GROWTH: Duration = Duration::from_secs(60);

/// Claims the bytes `to` of `file`, which is open for writing.
///
/// # Errors
///
/// [`Refusal::PieceBusy`] if another run writes some of them, [`Refusal::Busy`] if
/// it has the whole file.
pub fn claim(file: &File, path: &Path, to: ByteRange) -> Result<Claim, Refusal> {
    // What comes from a pipe may reach further than any file.
    let (to, beyond) = to.split_at(LENGTH.start());
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

/// How a file got the length that a run needs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Length {
    /// What it was before, in bytes.
    pub was: u64,
    /// Whether it comes with what is written; see [`sizing`].
    pub grows: bool,
}

/// Gives `file`, of which a run has the `claim`, at least the length `len`. It never
/// becomes shorter, whatever others write meanwhile.
///
/// # Errors
///
/// [`Refusal::TooLarge`], [`Refusal::Busy`], or if the file system fails.
pub fn reach(file: &File, path: &Path, claim: Claim, len: u64) -> Result<Length> {
    let is_locked = claim == Claim::Piece && lock_length(file, path)?;
    let reached = reach_locked(file, path, claim, len);
    if is_locked {
        sys::unlock_range(file, LENGTH);
    }
    reached
}

fn reach_locked(file: &File, path: &Path, claim: Claim, len: u64) -> Result<Length> {
    let failed = |source| match io::Error::kind(&source) {
        io::ErrorKind::FileTooLarge => Refusal::TooLarge { path: path.to_owned(), len }.into(),
        _ => {
            let (step, path) = ("resize", path.to_owned());
            crate::Error::from(ErrorKind::Destination { step, path, source })
        }
    };
    let was = sys::facts_of_known(file).map_err(failed)?.size;
    if len <= was {
        return Ok(Length { was, grows: false });
    }
    if claim == Claim::Whole || sizing::is_in_doubt(file) {
        return Ok(Length { was, grows: resize(file, path, len, false)? });
    }
    // A length that is set may be less than another run has written up to since; a zero
    // in a byte that is not there yet, and that no other run may write, is in nobody's way.
    sizing::write_last(file, len).map_err(failed)?;
    Ok(Length { was, grows: false })
}

/// Waits until no other run makes `file` longer; whether the system has locks for that.
fn lock_length(file: &File, path: &Path) -> Result<bool, Refusal> {
    let mut locked = Ok(false);
    part::lasts(GROWTH, || {
        locked = sys::try_lock_range(file, LENGTH);
        matches!(locked, Ok(false))
    });
    match locked {
        Ok(false) => Err(Refusal::Busy { path: path.to_owned() }),
        locked => Ok(locked.is_ok()),
    }
}

/// Takes back that `file`, which was `was` bytes long, was made longer for a run that has
/// the `claim` of the bytes from `start` to `end`, or of all from there on. It stays as
/// long as other runs need it.
///
/// # Errors
///
/// Of the system. What may be needed stays then.
pub fn shorten(
    file: &File,
    claim: Claim,
    start: u64,
    end: Option<u64>,
    was: u64,
) -> io::Result<()> {
    // What lies before its own bytes, another run may have written, and ended.
    let len = if claim == Claim::Whole { was } else { was.max(start) };
    if let Some(end) = end {
        // Who writes behind it has made it longer still, or is kept away from here on.
        let behind = ByteRange::between(end.min(LENGTH.start()), LENGTH.start());
        let alone =
            claim == Claim::Whole || behind.is_empty() || sys::try_lock_range(file, behind)?;
        if !alone || sys::facts(file)?.size != end {
            return Ok(());
        }
    }
    match len < sys::facts(file)?.size {
        true => file.set_len(len),
        false => Ok(()),
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
    // Before the look: what a run of another piece leaves, it leaves before it gives this up.
    if let Ok(false) = sys::try_lock_range(file, PLAIN_NAME) {
        return own;
    }
    if own.symlink_metadata().is_ok() || is_of_another_piece(&plain, to) {
        sys::unlock_range(file, PLAIN_NAME);
        return own;
    }
    plain
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
