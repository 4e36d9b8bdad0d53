//! Where in a range bytes were copied: a few counters by position, for a picture
//! of a copy that is under way.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::range::{ByteRange, RangeSet};

/// Cells that a range is divided into: a line of them fits a terminal.
pub const CELLS: u64 = 64;

/// What is known of one cell of a range.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Place {
    /// Which bytes of the source.
    pub range: ByteRange,
    /// How many are in the destination, or need no work.
    pub copied: u64,
    /// How many could not be read.
    pub failed: u64,
    /// How many nobody asked for.
    pub outside: u64,
}

#[derive(Default)]
struct Counters {
    copied: AtomicU64,
    failed: AtomicU64,
    outside: AtomicU64,
}

/// Counters for each cell of a range, once it is known.
#[derive(Default)]
pub(super) struct Places {
    cells: OnceLock<Layout>,
}

struct Layout {
    extent: ByteRange,
    counters: Vec<Counters>,
}

/// Which counter.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Copied,
    Failed,
}

impl Places {
    /// Divides `extent`, of which `settled` needs no work; what is not in `wanted`
    /// is not asked for. Once: later layouts are those of further parts of a job.
    pub fn lay_out(&self, extent: ByteRange, settled: &RangeSet, wanted: &RangeSet) {
        let count = usize::try_from(CELLS.min(extent.len())).unwrap_or(0);
        let counters = (0..count).map(|_| Counters::default()).collect();
        if self.cells.set(Layout { extent, counters }).is_err() {
            return;
        }
        let Some(layout) = self.cells.get() else { return };
        let outside = wanted.missing_from(extent);
        for range in outside.iter() {
            layout.each(range, |cell, bytes| _ = cell.outside.fetch_add(bytes, Relaxed));
        }
        for range in settled.common(wanted).iter() {
            layout.each(range, |cell, bytes| _ = cell.copied.fetch_add(bytes, Relaxed));
        }
    }

    /// Counts `range`, as far as it is in the extent.
    pub fn add(&self, range: ByteRange, kind: Kind) {
        let Some(layout) = self.cells.get() else { return };
        layout.each(range, |cell, bytes| match kind {
            Kind::Copied => _ = cell.copied.fetch_add(bytes, Relaxed),
            Kind::Failed => _ = cell.failed.fetch_add(bytes, Relaxed),
        });
    }

    /// Takes back that `range` could not be read.
    pub fn take_back(&self, range: ByteRange) {
        let Some(layout) = self.cells.get() else { return };
        layout.each(range, |cell, bytes| {
            let less = |failed: u64| Some(failed.saturating_sub(bytes));
            let _ = cell.failed.fetch_update(Relaxed, Relaxed, less);
        });
    }

    /// Every cell, ascending; none as long as nobody knows the range.
    pub fn now(&self) -> Vec<Place> {
        let Some(layout) = self.cells.get() else { return Vec::new() };
        let cells = (0..).zip(&layout.counters);
        cells
            .map(|(index, counters)| Place {
                range: layout.range(index),
                copied: counters.copied.load(Relaxed),
                failed: counters.failed.load(Relaxed),
                outside: counters.outside.load(Relaxed),
            })
            .collect()
    }
}

impl Layout {
    fn edge(&self, index: u64) -> u64 {
        let count = self.counters.len().max(1) as u128;
        let bytes = u128::from(self.extent.len()) * u128::from(index) / count;
        self.extent.start() + u64::try_from(bytes).unwrap_or(self.extent.len())
    }

    fn range(&self, index: u64) -> ByteRange {
        ByteRange::between(self.edge(index), self.edge(index + 1))
    }

    /// Hands each cell that `range` touches, and how many bytes of it, to `count`.
    fn each(&self, range: ByteRange, count: impl Fn(&Counters, u64)) {
        let range = range.intersect(self.extent);
        if range.is_empty() {
            return;
        }
        let from_start = u128::from(range.start() - self.extent.start());
        let first = from_start * self.counters.len() as u128 / u128::from(self.extent.len());
        // The cell of a byte, or the one before it, as edges are rounded down.
        let first = u64::try_from(first).unwrap_or(0);
        for (index, cell) in (0..).zip(&self.counters).skip(usize::try_from(first).unwrap_or(0)) {
            let inside = self.range(index).intersect(range);
            if !inside.is_empty() {
                count(cell, inside.len());
            } else if self.edge(index) >= range.end() {
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_byte_is_counted_in_one_cell(
            start in prop_oneof![0..1000u64, Just(u64::MAX - 5000)], len in 0..3000u64,
            parts in prop::collection::vec((0..4000u64, 0..900u64), 0..12),
        ) {
            let extent = ByteRange::with_len(start, len).unwrap();
            let places = Places::default();
            places.lay_out(extent, &RangeSet::new(), &extent.into());
            let mut expected = 0;
            for &(at, len) in &parts {
                let range = ByteRange::with_len(start.saturating_add(at).min(u64::MAX - 900), len).unwrap();
                places.add(range, Kind::Copied);
                places.add(range, Kind::Failed);
                places.take_back(range);
                expected += range.intersect(extent).len();
            }
            let now = places.now();
            prop_assert_eq!(now.iter().map(|place| place.copied).sum::<u64>(), expected);
            prop_assert_eq!(now.iter().map(|place| place.failed).sum::<u64>(), 0);
            prop_assert_eq!(now.iter().map(|place| place.range.len()).sum::<u64>(), len);
        }
    }

    #[test]
    fn what_needs_no_work_is_there_and_what_nobody_wants_is_outside() {
        let places = Places::default();
        assert!(places.now().is_empty());
        let set = |start, end| RangeSet::from(ByteRange::between(start, end));
        places.lay_out(ByteRange::between(0, 64), &set(10, 30), &set(0, 20));
        let of = |at: usize| (places.now()[at].copied, places.now()[at].outside);
        assert_eq!(
            (of(9), of(10), of(19), of(20), of(63)),
            ((0, 0), (1, 0), (1, 0), (0, 1), (0, 1))
        );
    }
}
