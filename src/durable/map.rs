//! The map: which bytes of the source a job has copied, as a file that
//! outlives the job. This room knows the format and how to replace the file
//! safely. It must not know when a checkpoint is due or whether data is
//! durable: the caller of [`MapFile::save`] has synced the data first.
//!
//! # Format
//!
//! A GNU ddrescue mapfile: a status line, then contiguous ascending blocks of
//! `position size status`, so that `ddrescuelog` shows it and ddrescue goes on
//! from it. What ddrescue has no place for stands in comment lines:
//!
//! ```text
//! # Mapfile. Created by pcopy in the format of GNU ddrescue
//! # pcopy version 1
//! # pcopy source-path /data/disk.img
//! # pcopy source-size 1048576
//! # ... (see `Identity`)
//! # current_pos  current_status  current_pass
//! 0x00010000     ?               1
//! #      pos        size  status
//! 0x00000000  0x00010000  +
//! 0x00010000  0x000F0000  ?
//! # pcopy checksum crc32c 1c291ca3
//! ```
//!
//! The identity comes before the blocks and the checksum after them: a map cut
//! short at any byte has either no status line or an identity without its
//! checksum, and both are refused. CRC-32C finds every change of up to 32 bits
//! in a row, so no changed byte goes unseen. The version is looked at before
//! the checksum, because a later version may seal itself differently.
//!
//! ddrescue drops foreign comments when it saves. A map it has touched, or one
//! it made, therefore has no identity and no checksum and is read as it
//! stands, by ddrescue's rules: decimal, `0x` and octal numbers, blank lines
//! and comments anywhere, CRLF line ends (with an identity, changed line ends
//! break the checksum). Stricter than ddrescue: an empty file, a block that
//! ends past `u64` and words after a block are refused. To
//! edit a map of ours by hand, take out its `# pcopy` lines first.
//!
//! `+` is done and `-` is failed. `*` (non-trimmed) and `/` (non-scraped) are
//! read as non-tried: ddrescue has not read their every sector, so they are
//! not known to be bad. All but `+` is copied again in any case.
//!
//! # Why the map carries no lock
//!
//! Every save renames a new file over the map, and a lock would stay with the
//! old one. Locking each temporary before its rename would keep others out on
//! Unix, but Windows locks are mandatory: nobody could read the map. So the
//! job locks what stays: the part file or the destination written in place.
//! Two jobs with different destinations given one map by mistake spoil the map
//! for each other, but neither can resume from the other's: the identity
//! names the destination, and a mixed-up file fails its checksum.

mod difference;
mod escape;
mod file;
mod format;
mod identity;
#[cfg(test)]
mod tests;
mod upload;

pub use file::MapFile;
pub use identity::{Destination, Difference, Evidence, Identity, Mode, ObjectId, Source};
pub use upload::UploadPart;

use crate::error::escaped;
use crate::range::{ByteRange, RangeSet};
use std::io;
use std::path::PathBuf;

/// What is known of each byte of `extent`, in positions of the source.
///
/// A byte in neither set is non-tried.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Map {
    /// The job the map belongs to; `None` in a map that ddrescue wrote.
    pub identity: Option<Identity>,
    /// Bytes that are in the destination, durably.
    pub done: RangeSet,
    /// Bytes that could not be read.
    pub failed: RangeSet,
    /// Everything the map speaks of, from the start of its first block to the end of its last.
    pub extent: ByteRange,
}

impl Map {
    /// What is left to copy of `range`: everything that is not done, so failed,
    /// non-tried, and what lies outside the map alike.
    pub fn todo(&self, range: ByteRange) -> RangeSet {
        self.done.missing_from(range)
    }

    /// The map with what `part` says of the bytes that it speaks of.
    #[must_use]
    pub fn with(&self, part: Map) -> Map {
        let mut map = self.clone();
        for set in [&mut map.done, &mut map.failed] {
            set.remove(part.extent);
        }
        map.done.merge(&part.done.within(part.extent));
        map.failed.merge(&part.failed.within(part.extent));
        map.extent = match (map.extent.is_empty(), part.extent.is_empty()) {
            (true, _) => part.extent,
            (_, true) => map.extent,
            _ => ByteRange::between(
                map.extent.start().min(part.extent.start()),
                map.extent.end().max(part.extent.end()),
            ),
        };
        map
    }

    /// The map as the bytes of its file.
    ///
    /// Claims no more than it can: a byte that is both done and failed is
    /// written as failed, and nothing outside `extent` is written. Positions
    /// past `i64::MAX`, where no file reaches, are beyond ddrescue.
    pub fn to_bytes(&self) -> Vec<u8> {
        format::write(self)
    }

    /// Reads a map of ours or of ddrescue's.
    ///
    /// # Errors
    ///
    /// [`MapError::Invalid`] with the line, where there is one, and the reason.
    pub fn from_bytes(bytes: &[u8]) -> Result<Map, MapError> {
        format::parse(bytes)
    }
}

/// Why a map could not be read, or a file with it not be read or replaced.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MapError {
    /// The operating system refused.
    #[error("cannot {operation} {path:?}")]
    Io {
        /// What was tried: `read`, `write`, `sync`.
        operation: &'static str,
        /// The file or directory it was tried on.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is there and does not hold a map that can be used.
    #[error("cannot use {path:?} as a map")]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<MapError>,
    },
    /// The content is not a map, is damaged, or is of another version.
    #[error("{}{reason}", .line.map(|line| format!("line {line}: ")).unwrap_or_default())]
    Invalid {
        /// Line of the file, from 1; `None` where the whole file is meant.
        line: Option<usize>,
        /// What is wrong, for a human.
        reason: String,
    },
}

impl MapError {
    /// Whether there was no room for it.
    pub(crate) fn is_of_space(&self) -> bool {
        use io::ErrorKind::{QuotaExceeded, StorageFull};
        let MapError::Io { source, .. } = self else { return false };
        matches!(source.kind(), StorageFull | QuotaExceeded)
    }

    fn at(line: usize, reason: impl Into<String>) -> MapError {
        MapError::Invalid { line: Some(line), reason: escaped(&reason.into()).into_owned() }
    }

    fn whole(reason: impl Into<String>) -> MapError {
        MapError::Invalid { line: None, reason: escaped(&reason.into()).into_owned() }
    }
}
