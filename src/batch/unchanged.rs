//! Whether the sources of a batch are what was copied. Where only numbers and
//! times are not as they were, the bytes of each item decide: what is the same
//! is not thrown away because a source was linked, got another mode or grew.
//!
//! This room compares and remembers. What becomes of an item that differs is
//! decided by who asks.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use super::ending::data_of;
use super::output::Output;
use super::plan::BatchPlan;
use super::sources::Sources;
use crate::durable::recheck::Sides;
use crate::error::{SourceChange, quoted};
use crate::io::FileIo;
use crate::manifest::{Item, Runs};
use crate::progress::{CancelToken, lock};
use crate::range::{ByteRange, RangeSet};
use crate::sync::Mutex;

/// An output that has its name and was not compared.
pub struct Unproven {
    /// The number of its folder.
    pub root: usize,
    /// Its own number.
    pub output: u32,
}

/// What is known of sources that are not as they were.
#[derive(Default)]
pub struct Changes {
    /// Whether the caller accepts whatever has changed.
    pub allow: bool,
    seen: Mutex<BTreeMap<u32, SourceChange>>,
    /// Outputs that have their name and were not compared.
    unproven: Mutex<Vec<Unproven>>,
}

impl Changes {
    /// None yet.
    pub fn new(allow: bool) -> Changes {
        Changes { allow, ..Changes::default() }
    }

    /// Takes note of the change of a source that is not a reason to fail.
    pub fn note(&self, source: u32, change: &SourceChange) {
        lock(&self.seen).entry(source).or_insert_with(|| change.clone());
    }

    /// Takes note of an output that has its name and was not compared, because
    /// its source was as before.
    pub fn unproven(&self, output: &Output) {
        lock(&self.unproven).push(Unproven { root: output.root, output: output.index });
    }

    /// Outputs that were not compared, taken out.
    pub fn take_unproven(&self) -> Vec<Unproven> {
        std::mem::take(&mut lock(&self.unproven))
    }

    /// What a report says of them.
    pub fn note_of(&self, sources: &Sources) -> Option<String> {
        let seen = lock(&self.seen);
        let (&first, change) = seen.first_key_value()?;
        let more = match seen.len() - 1 {
            0 => String::new(),
            more => format!(" (and {more} more sources)"),
        };
        let then = match self.allow {
            true => "accepted",
            false => "what was copied was compared with it again, and is the same",
        };
        let path = quoted(sources.path(first));
        Some(format!("something changed about {path}{more} during the batch: {change}; {then}"))
    }
}

/// Whether the bytes of `item` may be what they were although `change` is known
/// of its source, which had `size` bytes.
pub fn may_be_harmless(item: &Item, size: u64, change: &SourceChange) -> bool {
    let is_final = !matches!(item.runs, Runs::Whole);
    data_of(item, size).all(|(range, _)| change.may_be_harmless(range, is_final))
}

/// An item of an output, and the number of its source.
pub type Row<'a> = (&'a Item, u32);

/// The rows of an output.
pub fn rows<'a>(items: &'a [Item], plan: &'a BatchPlan, output: u32) -> Vec<Row<'a>> {
    let row = |&row: &u32| (&items[row as usize], plan.source_of(row));
    plan.rows(output).iter().map(row).collect()
}

/// A byte of a source that its copy does not have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Other {
    /// Number of the source.
    pub source: u32,
    /// Offset in it.
    pub offset: u64,
}

/// The first byte of `rows` that `file` does not have, of those in `written`,
/// which counts in positions of the file. `None` if there is none.
///
/// # Errors
///
/// If either side cannot be read, or the caller asked to stop.
pub fn first_other(
    rows: &[Row<'_>],
    sources: &Sources,
    file: &FileIo,
    written: &RangeSet,
    cancel: &CancelToken,
) -> io::Result<Option<Other>> {
    for &(item, number) in rows {
        let source = sources.open(number).map_err(io::Error::other)?;
        for (range, at) in data_of(item, sources.size(number)) {
            let back = |part: ByteRange| part.rebase(at, range.start());
            let place = ByteRange::with_len(at, range.len()).unwrap_or_default();
            let done = &written.within(place).iter().filter_map(back).collect();
            let to = |part: ByteRange| part.rebase(range.start(), at);
            let from = source.source();
            let sides = Sides { source: &*from, destination: file, done, to };
            if let Some(offset) = sides.first_of_all(cancel)? {
                return Ok(Some(Other { source: number, offset }));
            }
            if cancel.is_cancelled() {
                return Err(stopped());
            }
        }
    }
    Ok(None)
}

/// The error of a comparison that the caller ended.
pub fn stopped() -> io::Error {
    io::Error::other("interrupted before it was compared with its source")
}

/// The change that `other` shows.
pub fn content(other: Other) -> SourceChange {
    SourceChange::Content { first: other.offset, differing: None }
}

/// Says of the file at `path` what `other` shows.
pub fn differs(path: &Path, sources: &Sources, other: Other) -> String {
    format!(
        "{} does not hold byte {} of {}, which the map calls done",
        quoted(path),
        other.offset,
        quoted(sources.path(other.source))
    )
}
