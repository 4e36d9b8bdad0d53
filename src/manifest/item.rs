//! One thing to copy: where its bytes are, and what they become.
//!
//! A batch may have millions of items in memory, so an item is small: names
//! are as long as they are, sources are shared, and what few manifests say is
//! one pointer away.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::time;
use crate::address;
use crate::digest::Expectation;
use crate::range::ByteRange;

/// One file, or one fragment of a file, to copy.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Item {
    /// Line of the manifest it stands on, from 1.
    pub line: u64,
    /// The destination, relative to the directory of the batch. Several items
    /// may share a name: they are fragments of one file.
    pub name: Box<Path>,
    /// The source, if it is not the one of the whole batch.
    pub source: Option<Arc<Path>>,
    /// Which bytes of the source, in the order of the file.
    pub runs: Runs,
    /// Where in the destination the first byte goes.
    pub dest_offset: u64,
    /// What few manifests say.
    pub details: Option<Box<Details>>,
}

impl Item {
    /// `runs` of the source of the batch to the file `name`, which is relative
    /// to the directory of the batch. It stands on no line of a list.
    pub fn new(name: impl AsRef<Path>, runs: Runs) -> Item {
        let name = name.as_ref().into();
        Item { line: 0, name, source: None, runs, dest_offset: 0, details: None }
    }

    /// The same of a source of its own.
    pub fn of(self, source: impl AsRef<Path>) -> Item {
        Item { source: Some(source.as_ref().into()), ..self }
    }
}

/// The rarer wishes of an item.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Details {
    /// The user's own name for the item, kept for the report.
    pub id: Option<Box<str>>,
    /// Digests the bytes of this item must have.
    pub expected: Box<[Expectation]>,
    /// Permission bits of the destination.
    pub mode: Option<u32>,
    /// Time of modification: seconds since 1970 (UTC) and nanoseconds.
    pub mtime: Option<(i64, u32)>,
    /// The least length of the destination, where a file ends in a hole that
    /// no item covers.
    pub file_len: Option<u64>,
}

impl Details {
    /// The time of modification as the system has it, if it can express that.
    pub fn modified(&self) -> Option<SystemTime> {
        self.mtime.and_then(time::of_system)
    }
}

/// The bytes of an item.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Runs {
    /// The whole source.
    Whole,
    /// One range of the source.
    One(ByteRange),
    /// Pieces of a fragmented or sparse file, in order.
    Pieces(Box<[Run]>),
}

/// One piece of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Run {
    /// Bytes of the source.
    Data(ByteRange),
    /// So many zeros that are nowhere in the source.
    Hole(u64),
}

impl Run {
    /// Length in bytes.
    pub const fn len(self) -> u64 {
        match self {
            Run::Data(range) => range.len(),
            Run::Hole(len) => len,
        }
    }

    /// Whether there is no byte in it.
    pub const fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Both runs as one, where the second goes on where the first ends.
    fn joined(self, next: Run) -> Option<Run> {
        match (self, next) {
            (Run::Data(a), Run::Data(b)) if a.end() == b.start() => {
                ByteRange::new(a.start(), b.end()).map(Run::Data)
            }
            (Run::Hole(a), Run::Hole(b)) => a.checked_add(b).map(Run::Hole),
            _ => None,
        }
    }
}

impl Runs {
    /// The pieces of one file in order: empty ones left out, neighbours joined.
    pub fn from_pieces(pieces: impl IntoIterator<Item = Run>) -> Runs {
        let mut runs: Vec<Run> = Vec::new();
        for run in pieces.into_iter().filter(|run| !run.is_empty()) {
            match runs.last().and_then(|last| last.joined(run)) {
                Some(joined) => {
                    runs.pop();
                    runs.push(joined);
                }
                None => runs.push(run),
            }
        }
        match runs[..] {
            [] => Runs::One(ByteRange::to(0)),
            [Run::Data(range)] => Runs::One(range),
            _ => Runs::Pieces(runs.into()),
        }
    }

    /// The pieces, where the source has `source_len` bytes.
    pub fn pieces(&self, source_len: u64) -> impl Iterator<Item = Run> + '_ {
        let (one, many): (Option<Run>, &[Run]) = match self {
            Runs::Whole => (Some(Run::Data(ByteRange::to(source_len))), &[]),
            Runs::One(range) => (Some(Run::Data(*range)), &[]),
            Runs::Pieces(runs) => (None, runs),
        };
        one.into_iter().chain(many.iter().copied())
    }

    /// Bytes in all, where the source has `source_len`; `None` if more than a
    /// `u64` counts.
    pub fn len(&self, source_len: u64) -> Option<u64> {
        self.pieces(source_len).try_fold(0u64, |sum, run| sum.checked_add(run.len()))
    }
}

impl Item {
    /// Digests the bytes of this item must have.
    pub fn expected(&self) -> &[Expectation] {
        self.details.as_deref().map_or(&[], |details| &details.expected)
    }

    /// The range of the destination this item fills, where its source has
    /// `source_len` bytes; `None` if it ends past 64 bits.
    pub fn destination(&self, source_len: u64) -> Option<ByteRange> {
        ByteRange::with_len(self.dest_offset, self.runs.len(source_len)?)
    }
}

/// An item as a line of JSON Lines that reads back as the same item: what a
/// report says of it beside the result.
impl Serialize for Item {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        path(&mut map, "name", "name_hex", &self.name)?;
        if let Some(source) = &self.source {
            // Of an address with credentials, as much as may be shown.
            path(&mut map, "source", "source_hex", &address::shown(source))?;
        }
        match &self.runs {
            Runs::Whole => {}
            Runs::One(range) => {
                map.serialize_entry("start", &range.start())?;
                map.serialize_entry("len", &range.len())?;
            }
            Runs::Pieces(runs) => map.serialize_entry("runs", runs)?,
        }
        if self.dest_offset > 0 {
            map.serialize_entry("dest_offset", &self.dest_offset)?;
        }
        if let Some(details) = &self.details {
            details.entries(&mut map)?;
        }
        map.end()
    }
}

impl Details {
    fn entries<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        for expected in &self.expected {
            map.serialize_entry(expected.algorithm().name(), expected.digest())?;
        }
        if let Some(mode) = self.mode {
            map.serialize_entry("mode", &format!("{mode:04o}"))?;
        }
        if let Some(mtime) = self.mtime {
            map.serialize_entry("mtime", &time::show(mtime))?;
        }
        if let Some(id) = &self.id {
            map.serialize_entry("id", id)?;
        }
        if let Some(file_len) = self.file_len {
            map.serialize_entry("file_len", &file_len)?;
        }
        Ok(())
    }
}

/// JSON has no words for a name that is not UTF-8; such a one is written in
/// hexadecimal under a key of its own.
fn path<M: SerializeMap>(
    map: &mut M,
    key: &str,
    hex_key: &str,
    path: &Path,
) -> Result<(), M::Error> {
    match path.to_str() {
        Some(text) => map.serialize_entry(key, text),
        None => map.serialize_entry(hex_key, &crate::report::hex(path)),
    }
}

impl Serialize for Run {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2))?;
        match self {
            Run::Data(range) => map.serialize_entry("start", &range.start())?,
            Run::Hole(_) => map.serialize_entry("hole", &true)?,
        }
        map.serialize_entry("len", &self.len())?;
        map.end()
    }
}

/// A million items and their names have to stay far below 400 MB.
#[cfg(target_pointer_width = "64")]
const _: () = assert!(size_of::<Item>() <= 80);
