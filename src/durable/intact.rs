//! Whether a destination that was written is still what was written, looked at
//! when the last byte is on the disk and before anybody is told so.
//!
//! Others can reach a file while it is filled. They may rename it away, put
//! another in its place, or make it shorter: what is written later then makes
//! it as long as before, with a hole inside. Names and lengths are asked for,
//! and holes looked for where bytes were written. Neither costs more than a few
//! calls. Where the answer is not what it should be, the bytes decide: some
//! file systems make holes of zeros, and some change the numbers of files.

#[cfg(test)]
mod tests;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use positioned_io::ReadAt;

use super::recheck::{self, first_difference_in};
use crate::error::{Error, ErrorKind, Result};
use crate::io::incoming::is_read_once;
use crate::io::{FileIo, Source};
use crate::progress::CancelToken;
use crate::range::{ByteRange, RangeSet};
use crate::sys::{self, Directory, FileKind};

/// Few file systems have larger blocks.
const BLOCK: u64 = 64 << 10;

/// Where a user finds what was written.
pub struct Name<'a> {
    /// As it was given.
    pub path: &'a Path,
    /// The bytes that were to be written, in the file.
    pub written: ByteRange,
}

/// Makes sure that `name` leads to `ours`, or to a file with the same bytes.
///
/// # Errors
///
/// If it does not, or if the system does not say.
pub fn is_still_at(name: &Name<'_>, ours: &FileIo) -> io::Result<()> {
    if ours.is_device() && sys::WINDOWS_NAMES {
        // Devices have names of their own there, that no folder holds and nobody
        // can give to another; a locked one cannot even be asked by its name.
        return Ok(());
    }
    let facts = sys::facts(ours.as_file())?;
    if sys::leads_to(name.path, &facts)? {
        return Ok(());
    }
    // The numbers are hints.
    let there = match facts.node {
        FileKind::File => {
            sys::open_source(name.path).ok().filter(|there| is_as_long(there, &facts))
        }
        _ => None,
    };
    let Some(there) = there else { return Err(not_ours()) };
    let theirs = FileIo::new(there, facts.size);
    let same = first_difference_in(ours, &theirs, |at| at, name.written, &CancelToken::new())?;
    if same.is_some() { Err(not_ours()) } else { theirs.as_file().sync_all() }
}

fn is_as_long(file: &File, facts: &sys::Metadata) -> bool {
    sys::facts(file).is_ok_and(|there| there.node == FileKind::File && there.size == facts.size)
}

fn not_ours() -> io::Error {
    io::Error::other("somebody put another file in its place, or took it away")
}

/// Makes sure that `path`, which `directory` was opened by, still leads to it.
///
/// # Errors
///
/// If it does not, or if the system does not say.
pub fn directory_is_still_at(path: &Path, directory: &Directory) -> io::Result<()> {
    match sys::leads_to(path, &directory.own_facts()?)? {
        true => Ok(()),
        false => Err(io::Error::other("its folder was moved, or is another one by now")),
    }
}

/// Makes sure that the file at `path`, open as `file`, has not become shorter than `len`:
/// others may make it longer.
///
/// # Errors
///
/// [`ErrorKind::DestinationChanged`].
pub fn check_at_least(file: &File, path: &Path, len: u64) -> Result<()> {
    match sys::facts_of_known(file) {
        Ok(facts) if facts.size >= len => Ok(()),
        _ => check_length(file, path, len),
    }
}

/// Makes sure that `file` has `len` bytes.
///
/// # Errors
///
/// [`ErrorKind::DestinationChanged`] if it has not.
pub fn check_length(file: &File, path: &Path, len: u64) -> Result<()> {
    let found = sys::facts(file).map_err(|source| {
        let path = path.to_owned();
        ErrorKind::Destination { step: "look at", path, source }
    })?;
    if found.size == len {
        return Ok(());
    }
    let what = format!("it has {} bytes, and was given {len}", found.size);
    Err(ErrorKind::DestinationChanged { path: path.to_owned(), what }.into())
}

/// The error of a file at `path` that has lost `range`, in bytes of the source.
pub fn lacks(path: PathBuf, range: ByteRange) -> ErrorKind {
    let what = format!("it lacks bytes {range} of the source, which were written");
    ErrorKind::DestinationChanged { path, what }
}

/// What was written of one source to one file.
pub struct Written<'a> {
    /// What was read.
    pub source: &'a dyn Source,
    /// Which bytes of it.
    pub range: ByteRange,
    /// Where the first of them went.
    pub to: u64,
    /// What of the range was not written, or was made a hole.
    pub holes: RangeSet,
    /// Zeros that were there already, in bytes of a source that can be read only once: each
    /// may be a hole.
    pub zeros: RangeSet,
    /// Bytes that became holes on the way, nobody knows where.
    pub made: u64,
}

impl Written<'_> {
    /// What of it is not in `file` any more, in bytes of the source.
    ///
    /// # Errors
    ///
    /// If either side cannot be read where that must be, or the caller asked to stop.
    pub fn lost(&self, file: &FileIo, path: &Path, cancel: &CancelToken) -> Result<RangeSet> {
        let lost = self.lost_of(&self.suspect(file.as_file()), file, path, cancel);
        self.or_missing(lost, file.as_file())
    }

    /// The same of a file that cannot be read: on file systems that are known
    /// to make no holes of zeros by themselves, and to tell of all others.
    ///
    /// # Errors
    ///
    /// As [`lost`](Written::lost).
    pub fn lost_unread(&self, file: &File, path: &Path, cancel: &CancelToken) -> Result<RangeSet> {
        let lost = self.lost_of(&self.certainly_missing(file), &Hole, path, cancel);
        self.or_missing(lost, file)
    }

    /// What came once cannot be compared: there the holes decide.
    fn or_missing(&self, lost: Result<RangeSet>, file: &File) -> Result<RangeSet> {
        match lost.as_ref().map_err(Error::kind) {
            Err(ErrorKind::Destination { source, .. }) if is_read_once(source) => {
                Ok(self.certainly_missing(file))
            }
            _ => lost,
        }
    }

    /// What is missing, where a file system makes no holes of zeros.
    fn certainly_missing(&self, file: &File) -> RangeSet {
        use sys::FileSystemKind::{Btrfs, Ext, Tmpfs, Xfs};
        let kind = sys::file_system(file).map(|system| system.kind);
        match kind {
            Ok(Btrfs | Ext | Tmpfs | Xfs) => self.missing(file),
            _ => RangeSet::new(),
        }
    }

    /// What of `missing` differs from what `there` has, and so is lost.
    fn lost_of(
        &self,
        missing: &RangeSet,
        there: &dyn ReadAt,
        path: &Path,
        cancel: &CancelToken,
    ) -> Result<RangeSet> {
        let place = |offset: u64| offset - self.range.start() + self.to;
        let mut lost = RangeSet::new();
        for range in missing.iter() {
            let mut rest = range;
            while !rest.is_empty() {
                let found = first_difference_in(self.source, there, place, rest, cancel);
                let Some(part) = found.map_err(|source| {
                    // A source on a server says so by an error.
                    if cancel.is_cancelled() {
                        return ErrorKind::Cancelled;
                    }
                    let (step, path) = ("read back", path.to_owned());
                    ErrorKind::Destination { step, path, source }
                })?
                else {
                    break;
                };
                lost.insert(part);
                rest = rest.split_at(part.end()).1;
            }
        }
        if !missing.is_empty() && cancel.is_cancelled() {
            return Err(ErrorKind::Cancelled.into());
        }
        Ok(lost)
    }

    /// What is probably lost, by a few places, for a copy that ends early:
    /// nobody waits for a longer look.
    pub fn probably_lost(&self, file: &File) -> RangeSet {
        let suspect = self.suspect(file);
        // What is past the end is not there, and cannot be compared.
        let len = sys::facts(file).map_or(0, |facts| facts.size);
        let end = len.saturating_sub(self.to).saturating_add(self.range.start());
        let inside = suspect.within(ByteRange::between(0, end));
        let to = |part: ByteRange| part.rebase(self.range.start(), self.to);
        match recheck::first_difference(self.source, file, &inside, to) {
            Some(_) => suspect,
            None => suspect.within(ByteRange::between(end, u64::MAX)),
        }
    }

    /// Bytes of the source that were written, in whose place there is a hole
    /// now, and what lies beside it in the same blocks: cut in the middle of a
    /// block, a file keeps the block, with zeros in it.
    fn suspect(&self, file: &File) -> RangeSet {
        let widened = |hole: ByteRange| {
            let (start, end) = (hole.start().saturating_sub(BLOCK), hole.end());
            ByteRange::between(start, end.saturating_add(BLOCK))
        };
        let mut suspect = self.missing(file).iter().map(widened).collect::<RangeSet>();
        suspect.subtract(&self.holes);
        suspect.within(self.range)
    }

    /// Bytes of the source that were written, in whose place there is a hole now.
    fn missing(&self, file: &File) -> RangeSet {
        let mut missing = RangeSet::new();
        for data in self.holes.missing_from(self.range).iter() {
            let Some(place) = data.rebase(self.range.start(), self.to) else { continue };
            let back = |part: ByteRange| part.rebase(self.to, self.range.start());
            missing.merge(&holes_of(file, place).iter().filter_map(back).collect());
        }
        // Not before: every gap costs a call, and there may be a gap for each second block.
        missing.subtract(&self.zeros);
        if self.made > 0 && missing.bytes() <= self.made { RangeSet::new() } else { missing }
    }
}

/// A hole of any length.
struct Hole;

impl ReadAt for Hole {
    fn read_at(&self, _: u64, buffer: &mut [u8]) -> io::Result<usize> {
        buffer.fill(0);
        Ok(buffer.len())
    }
}

/// The holes of `file` in `range`, past its end as well. None where it does not say.
pub fn holes_of(file: &File, range: ByteRange) -> RangeSet {
    let mut holes = RangeSet::new();
    let mut rest = range;
    while !rest.is_empty() {
        let Ok(extent) = sys::next_extent(file, rest) else { break };
        if !extent.data {
            holes.insert(extent.range);
        }
        rest = rest.split_at(extent.range.end().max(rest.start() + 1)).1;
    }
    holes
}
