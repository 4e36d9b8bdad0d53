//! Which outputs a batch makes, of which items, and in which order it reads.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::sync::Arc;

use super::once::Once;
use super::queue::{Queue, Segment, Together};
use super::report::TreeReport;
use super::wanted::Wanted;
use crate::error::{ErrorKind, Result};
use crate::manifest::{Item, Run};
use crate::range::{ByteRange, RangeSet};
use crate::size::human;

/// What a batch does, in numbers: items, outputs and sources by index.
pub struct BatchPlan {
    /// What is read, in order.
    pub queue: Queue,
    /// Outputs that nothing is read for.
    pub empty: Vec<u32>,
    /// Items by output: `rows[first_row[o]..first_row[o + 1]]`.
    rows: Vec<u32>,
    first_row: Vec<u32>,
    /// The source of each item.
    sources: Vec<u32>,
    /// Items of each source.
    uses: Vec<u32>,
    named: Vec<Once>,
}

impl BatchPlan {
    /// Puts `items` in order. `source_of` gives the number and size of the
    /// source of an item; `skip` tells which are done already, and `missing`
    /// what is to be written of the file of one that only lacks something. Small
    /// neighbours are read `together`.
    ///
    /// # Errors
    ///
    /// If there are more than 2^32 items.
    pub fn new(
        items: &[Item],
        source_of: impl Fn(usize, &Item) -> (u32, u64),
        skip: impl Fn(usize) -> bool,
        missing: impl Fn(usize) -> Option<RangeSet>,
        source_count: usize,
        together: Together,
    ) -> Result<(BatchPlan, Vec<Wanted>)> {
        if u32::try_from(items.len()).is_err() {
            return Err(ErrorKind::usage("more items than can be counted").into());
        }
        // Byte by byte: the check has refused names that are spelt in two ways.
        let mut by_name: HashMap<&OsStr, u32> = HashMap::with_capacity(items.len());
        let mut wanted: Vec<Wanted> = Vec::new();
        let mut lacking: Vec<Option<RangeSet>> = Vec::new();
        let mut segments = Vec::new();
        let mut pairs = Vec::with_capacity(items.len());
        let mut sources = Vec::with_capacity(items.len());
        let mut uses = vec![0; source_count];
        for (row, item) in items.iter().enumerate() {
            let (source, size) = source_of(row, item);
            sources.push(source);
            uses[source as usize] += 1;
            if skip(row) {
                continue;
            }
            let output = *by_name.entry(item.name.as_os_str()).or_insert_with(|| {
                wanted.push(Wanted::of(Arc::from(&*item.name)));
                lacking.push(missing(row));
                (wanted.len() - 1) as u32
            });
            pairs.push((output, row as u32));
            let place = item.destination(size).unwrap_or_default();
            let least = item.details.as_deref().and_then(|details| details.file_len).unwrap_or(0);
            let file = &mut wanted[output as usize];
            file.len = file.len.max(place.end()).max(least);
            let before = segments.len();
            let missing = lacking[output as usize].as_ref();
            let to = (source, output, place.start());
            add_segments(&mut segments, item, size, to, missing);
            let added = &segments[before..];
            file.segments += added.len();
            // Only ever compared with the length; overlaps are refused before.
            let bytes = added.iter().map(|segment| segment.range.len());
            file.bytes = bytes.fold(file.bytes, u64::saturating_add);
        }
        pairs.sort_unstable();
        let plan = BatchPlan {
            queue: Queue::new(segments, together),
            empty: (0..).zip(&wanted).filter(|(_, w)| w.segments == 0).map(|(i, _)| i).collect(),
            first_row: first_rows(&pairs, wanted.len()),
            rows: pairs.into_iter().map(|(_, row)| row).collect(),
            sources,
            uses,
            named: wanted.iter().map(|_| Once::default()).collect(),
        };
        Ok((plan, wanted))
    }

    /// The items that go into `output`.
    pub fn rows(&self, output: u32) -> &[u32] {
        let (first, last) = (self.first_row[output as usize], self.first_row[output as usize + 1]);
        &self.rows[first as usize..last as usize]
    }

    /// The source of an item.
    pub fn source_of(&self, row: u32) -> u32 {
        self.sources[row as usize]
    }

    /// Whether several items are read from a source.
    pub fn is_shared(&self, source: u32) -> bool {
        self.uses[source as usize] > 1
    }

    /// Whether this output gets its name for the first time, in any folder.
    pub fn first_named(&self, output: u32) -> bool {
        self.named[output as usize].first()
    }

    /// Bytes that outputs hold, counted once for each.
    pub fn wanted_bytes(&self) -> u64 {
        self.queue.all().iter().map(|segment| segment.range.len()).sum()
    }

    /// Bytes that are read, gaps between neighbours included.
    pub fn bytes(&self) -> u64 {
        (0..self.queue.tasks()).filter_map(|i| self.queue.task(i)).map(|task| task.span.len()).sum()
    }
}

/// What a batch would do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct BatchPlanned {
    /// Items in the list.
    pub items: usize,
    /// Items that are complete already.
    pub skipped: usize,
    /// Files that would be made.
    pub files: usize,
    /// Bytes that would be copied.
    pub bytes: u64,
    /// Bytes that are holes of large files and would stay so.
    pub holes: u64,
    /// Runs of neighbouring bytes they would be read in.
    pub requests: usize,
    /// Of a copy of folders: what there is besides files.
    pub tree: Option<TreeReport>,
}

impl std::fmt::Display for BatchPlanned {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let BatchPlanned { items, skipped, files, bytes, holes, requests, tree } = self;
        write!(
            f,
            "would copy {} ({bytes} bytes) to {files} files, read in {requests} runs; \
             {items} items, {skipped} complete already; ",
            human(*bytes)
        )?;
        if let Some(TreeReport { folders, links, hard_links, special, .. }) = tree {
            write!(f, "{folders} folders, {links} links, {hard_links} hard links; ")?;
            if *special > 0 {
                write!(f, "{special} left out; ")?;
            }
        }
        if *holes > 0 {
            write!(f, "{} kept as holes; ", human(*holes))?;
        }
        f.write_str("nothing was written")
    }
}

/// Adds the data runs of an item as segments, or what is `missing` of them.
/// The first byte of the item goes to `at`.
fn add_segments(
    segments: &mut Vec<Segment>,
    item: &Item,
    size: u64,
    (source, output, mut at): (u32, u32, u64),
    missing: Option<&RangeSet>,
) {
    for run in item.runs.pieces(size) {
        if let Run::Data(range) = run
            && !range.is_empty()
        {
            match missing {
                None => segments.push(Segment { source, output, range, at }),
                Some(missing) => {
                    let place = ByteRange::with_len(at, range.len()).unwrap_or_default();
                    segments.extend(missing.within(place).iter().map(|part| {
                        let range = part.rebase(at, range.start()).unwrap_or_default();
                        Segment { source, output, range, at: part.start() }
                    }));
                }
            }
        }
        at = at.saturating_add(run.len());
    }
}

/// Where the rows of each output begin in the sorted pairs, and their end.
fn first_rows(pairs: &[(u32, u32)], outputs: usize) -> Vec<u32> {
    let mut first = Vec::with_capacity(outputs + 1);
    let mut at = 0;
    for output in 0..=outputs {
        while at < pairs.len() && (pairs[at].0 as usize) < output {
            at += 1;
        }
        first.push(at as u32);
    }
    first
}
