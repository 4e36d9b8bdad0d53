//! Several runs that write one file where it is, each a piece of its own: which
//! bytes a run may write, what its map is called, and how long the file becomes.
//!
//! The lock of a piece says that a run writes these bytes; where the system has
//! no such locks, a run has the whole file. This room must not know what is
//! written.

#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::intact;
use super::map::{MapFile, Mode};
use super::open_file::resize;
use super::part;
use super::previous::map_beside;
use super::sizing;
use super::target::{MAP_SUFFIX, sibling_name};
use crate::error::{Error, ErrorKind, Refusal, Result};
use crate::progress::CancelToken;
use crate::range::ByteRange;
use crate::sync::atomic::{AtomicBool, Ordering::Relaxed};
use crate::sync::patience;
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

/// How long it takes at most until a run that has made a file longer begins to write: it
/// reserves space, and makes its engine.
const PATIENCE: Duration = Duration::from_secs(30);

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

/// The bytes of a file that a run has for itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Piece {
    /// The first of them.
    pub start: u64,
    /// Their end; `None` for all from there on, where nobody knows how many will come.
    pub end: Option<u64>,
}

impl Piece {
    /// How long the file must be for it, in bytes. Where nothing is written, no file
    /// becomes longer.
    pub fn reach(&self) -> u64 {
        self.end.filter(|end| *end > self.start).unwrap_or(0)
    }
}

/// The length of a file some of which a run writes: what it was, and what the run needs.
pub struct Growth {
    claim: Claim,
    piece: Piece,
    /// Before the run, in bytes.
    was: u64,
    /// Whether it comes with what is written; see [`sizing`].
    pub grows: bool,
    /// Whether no other run can have begun since the file was made longer.
    is_alone: AtomicBool,
}

impl Growth {
    /// Makes `file` as long as is needed to write `piece`, if it is shorter; a stream makes
    /// it longer by its bytes. It never becomes shorter, whatever other runs write meanwhile.
    /// Where it became longer, others wait until [`Growth::let_others`].
    ///
    /// # Errors
    ///
    /// [`Refusal::TooLarge`], [`Refusal::Busy`], [`ErrorKind::Cancelled`], or if the file
    /// system fails.
    pub fn begin(
        file: &File,
        path: &Path,
        claim: Claim,
        piece: Piece,
        cancel: &CancelToken,
    ) -> Result<Growth> {
        let len = piece.reach();
        let failed = |source: io::Error| {
            let path = path.to_owned();
            match source.kind() {
                io::ErrorKind::FileTooLarge => Refusal::TooLarge { path, len }.into(),
                _ => Error::from(ErrorKind::Destination { step: "resize", path, source }),
            }
        };
        let was = sys::facts_of_known(file).map_err(failed)?.size;
        let is_alone = AtomicBool::new(false);
        let mut growth = Growth { claim, piece, was, grows: false, is_alone };
        match claim {
            _ if len == 0 => {}
            Claim::Whole if len > was => growth.grows = resize(file, path, len, false)?,
            Claim::Whole => {}
            // What fills it with zeros, or may, gets its length by what is written.
            Claim::Piece if sizing::is_in_doubt(file) => growth.grows = len > was,
            // Also where it is long enough: the run that has made it so may take that back.
            Claim::Piece => {
                let is_locked = lock_length(file, path, cancel)?;
                growth.is_alone = is_locked.into();
                let reached = growth.reach(file).map_err(failed);
                if growth.was >= len || reached.is_err() {
                    growth.let_others(file);
                }
                reached?;
            }
        }
        Ok(growth)
    }

    /// Makes `file` long enough. To be called by one run at a time.
    fn reach(&mut self, file: &File) -> io::Result<()> {
        self.was = sys::facts_of_known(file)?.size;
        reach(file, self.piece.reach())
    }

    /// Lets other runs begin, which may need the length that `file` has by now. To be called
    /// when nothing speaks against the copy any more, before its first byte: until then, all
    /// of the length can be taken back.
    pub fn let_others(&self, file: &File) {
        if self.is_alone.swap(false, Relaxed) {
            sys::unlock_range(file, LENGTH);
        }
    }

    /// How long the file is at least, in bytes, when the run has written up to `end`.
    pub fn needed(&self, end: u64) -> u64 {
        self.was.max(end)
    }

    /// Gives `file` its length when everything is written, up to `end`: that may end in a
    /// hole.
    ///
    /// # Errors
    ///
    /// If the file system refuses.
    pub fn fill_up(&self, file: &File, end: u64) -> io::Result<()> {
        match self.claim {
            Claim::Whole => sizing::fill_up(file, self.needed(end)),
            Claim::Piece => reach(file, end),
        }
    }

    /// Makes sure that `file` still has what was written, up to `end`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::DestinationChanged`].
    pub fn check(&self, file: &File, path: &Path, end: u64) -> Result<()> {
        match self.claim {
            Claim::Whole => intact::check_length(file, path, self.needed(end)),
            // Other runs make it longer, and may take that back.
            Claim::Piece => intact::check_at_least(file, path, end),
        }
    }

    /// Takes back that `file` was made longer than what was `written`. What lies before its
    /// own bytes stays once other runs may have begun: they may need it, or have needed it.
    ///
    /// # Errors
    ///
    /// Of the system. What may be needed stays then.
    pub fn take_back(&self, file: &File, written: ByteRange) -> io::Result<()> {
        let kept = self.needed(if written.is_empty() { 0 } else { written.end() });
        let is_longer = self.piece.end.is_none_or(|end| end > kept);
        if !is_longer || self.claim == Claim::Whole {
            self.let_others(file);
            return self.cut(file, kept, is_longer);
        }
        let behind = self.piece.end.unwrap_or(u64::MAX).min(LENGTH.start());
        let behind = ByteRange::between(behind, LENGTH.start());
        // Who comes from here on makes it as long as it must be. Who writes behind, or has
        // written there, has made it longer still.
        let cut = match behind.is_empty() || sys::try_lock_range(file, behind)? {
            true if self.is_alone.load(Relaxed) => self.cut(file, kept, true),
            true => self.cut(file, kept.max(self.piece.start), true),
            false => Ok(()),
        };
        sys::unlock_range(file, behind);
        self.let_others(file);
        cut
    }

    fn cut(&self, file: &File, len: u64, is_longer: bool) -> io::Result<()> {
        let size = sys::facts_of_known(file)?.size;
        let is_ours = self.piece.end.is_none_or(|end| size <= end);
        match is_longer && is_ours && size > len {
            true => sys::set_len(file, len, false),
            false => Ok(()),
        }
    }
}

/// Makes `file` as long as `len` if it is shorter. A length that is set may be less than
/// another run has written up to since. A zero in a byte that is not there yet, and that no
/// other run may write, is in nobody's way.
fn reach(file: &File, len: u64) -> io::Result<()> {
    match sys::facts_of_known(file)?.size < len {
        true => sizing::write_last(file, len),
        false => Ok(()),
    }
}

/// Waits until no other run makes `file` longer; whether the system has locks for that.
fn lock_length(file: &File, path: &Path, cancel: &CancelToken) -> Result<bool> {
    let mut locked = Ok(false);
    part::lasts(patience(PATIENCE), || {
        locked = sys::try_lock_range(file, LENGTH);
        matches!(locked, Ok(false)) && !cancel.is_cancelled()
    });
    match locked {
        Ok(true) => Ok(true),
        Ok(false) if cancel.is_cancelled() => Err(ErrorKind::Cancelled.into()),
        Ok(false) => Err(Refusal::Busy { path: path.to_owned() }.into()),
        Err(_) => Ok(false),
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
    if own.symlink_metadata().is_ok() {
        return own;
    }
    // Before the look at the map: a run that leaves one has this lock until then. One that
    // only looks has it for a moment.
    let mut locked = Ok(false);
    part::stays(|| {
        locked = sys::try_lock_range(file, PLAIN_NAME);
        matches!(locked, Ok(false)) && piece_of(&plain) == Some(to)
    });
    match locked {
        Ok(false) => own,
        _ if piece_of(&plain).is_some_and(|theirs| theirs != to && !theirs.overlaps(to)) => {
            sys::unlock_range(file, PLAIN_NAME);
            own
        }
        _ => plain,
    }
}

/// The bytes that a run wrote in place which left `map`, if there is one. No bytes overlap
/// with none, and are still a run's own piece.
fn piece_of(map: &Path) -> Option<ByteRange> {
    let identity = MapFile::new(map).ok()?.load().ok()??.identity?;
    let destination = &identity.destination;
    let piece = ByteRange::with_len(destination.offset, identity.range.len())?;
    (destination.mode == Mode::InPlace).then_some(piece)
}
