//! Ranges that could not be read, by the reason.
//!
//! Sectors of one bad region fail one by one, in the order in which workers
//! meet them. Here they become ranges as they come, so that memory holds what
//! cannot be merged and nothing else: a region of a million bad sectors is one
//! range.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{ByteRange, RangeSet};

/// A range that could not be read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failed {
    /// In bytes of the source, unless its owner says otherwise.
    pub range: ByteRange,
    /// What the system said.
    pub error: Arc<str>,
}

/// Ranges that could not be read, those that touch and have the same reason merged.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Unread {
    /// There are as many reasons as the system has errors: few.
    by_reason: BTreeMap<Arc<str>, RangeSet>,
}

impl Unread {
    /// Nothing.
    pub const fn new() -> Unread {
        Unread { by_reason: BTreeMap::new() }
    }

    /// Adds `range`, which cannot be read because of `error`.
    pub fn insert(&mut self, range: ByteRange, error: &str) {
        if let Some(ranges) = self.by_reason.get_mut(error) {
            return ranges.insert(range);
        }
        self.by_reason.insert(error.into(), range.into());
    }

    /// Takes out every byte of `ranges`.
    pub fn remove(&mut self, ranges: &RangeSet) {
        for unread in self.by_reason.values_mut() {
            unread.subtract(ranges);
        }
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.by_reason.values().all(RangeSet::is_empty)
    }

    /// How many ranges there are.
    pub fn len(&self) -> usize {
        self.by_reason.values().map(|ranges| ranges.as_slice().len()).sum()
    }

    /// Takes out the range at the lowest offset.
    pub fn pop_first(&mut self) -> Option<Failed> {
        let first = |(error, ranges): (&Arc<str>, &RangeSet)| {
            Some(Failed { range: *ranges.as_slice().first()?, error: Arc::clone(error) })
        };
        let first = self.by_reason.iter().filter_map(first).min_by_key(|part| part.range)?;
        if let Some(ranges) = self.by_reason.get_mut(&first.error) {
            ranges.remove(first.range);
        }
        Some(first)
    }

    /// All of it as a set of bytes, without the reasons.
    pub fn ranges(&self) -> RangeSet {
        self.by_reason.values().flat_map(RangeSet::iter).collect()
    }

    /// The parts that lie in `range`, ascending.
    pub fn within(&self, range: ByteRange) -> Vec<Failed> {
        self.list(|ranges| ranges.within(range))
    }

    /// What `pick` takes of the ranges of each reason, ascending.
    fn list(&self, pick: impl Fn(&RangeSet) -> RangeSet) -> Vec<Failed> {
        let mut failed = Vec::new();
        for (error, ranges) in &self.by_reason {
            let part = |range| Failed { range, error: Arc::clone(error) };
            failed.extend(pick(ranges).iter().map(part));
        }
        failed.sort_by_key(|part| part.range);
        failed
    }
}

impl IntoIterator for Unread {
    type Item = Failed;
    type IntoIter = std::vec::IntoIter<Failed>;

    /// The ranges, ascending.
    fn into_iter(self) -> Self::IntoIter {
        self.list(RangeSet::clone).into_iter()
    }
}

impl Extend<Failed> for Unread {
    fn extend<I: IntoIterator<Item = Failed>>(&mut self, parts: I) {
        for part in parts {
            self.insert(part.range, &part.error);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;

    fn range(start: u64, end: u64) -> ByteRange {
        ByteRange::new(start, end).unwrap()
    }

    #[test]
    fn sectors_become_ranges_in_whatever_order_they_fail() {
        let mut random = Random::new(7);
        let mut sectors: Vec<u64> = (0..4096).filter(|sector| sector % 1024 != 1000).collect();
        for index in (1..sectors.len()).rev() {
            sectors.swap(index, random.below(index as u64 + 1) as usize);
        }
        let mut unread = Unread::new();
        for sector in sectors {
            let error = if sector < 2048 { "one" } else { "other" };
            unread.insert(range(sector * 512, (sector + 1) * 512), error);
        }
        let found: Vec<_> = unread.into_iter().map(|part| (part.range, part.error)).collect();
        let sectors = |start: u64, end: u64, error: &str| {
            (range(start * 512, end * 512), Arc::<str>::from(error))
        };
        assert_eq!(
            found,
            [
                sectors(0, 1000, "one"),
                sectors(1001, 2024, "one"),
                sectors(2025, 2048, "one"),
                sectors(2048, 3048, "other"),
                sectors(3049, 4072, "other"),
                sectors(4073, 4096, "other"),
            ]
        );
    }

    #[test]
    fn what_is_taken_out_comes_in_order_and_once() {
        let mut unread = Unread::new();
        for (start, end, error) in [(10, 20, "b"), (0, 5, "b"), (5, 10, "a"), (30, 31, "a")] {
            unread.insert(range(start, end), error);
        }
        assert_eq!(unread.len(), 4);
        assert_eq!(unread.ranges().as_slice(), [range(0, 20), range(30, 31)]);
        let inside = unread.within(range(4, 12));
        let inside: Vec<_> = inside.iter().map(|part| (part.range, &*part.error)).collect();
        assert_eq!(inside, [(range(4, 5), "b"), (range(5, 10), "a"), (range(10, 12), "b")]);
        let mut taken = Vec::new();
        while let Some(part) = unread.pop_first() {
            taken.push(part.range);
        }
        assert_eq!(taken, [range(0, 5), range(5, 10), range(10, 20), range(30, 31)]);
        assert!(unread.is_empty());
    }

    #[test]
    fn what_is_read_after_all_is_taken_out_whatever_the_reason_was() {
        let mut unread = Unread::new();
        assert!(unread.is_empty());
        let parts = [(0, 4, "a"), (8, 12, "b")];
        let failed = |(start, end, error): (u64, u64, &str)| Failed {
            range: range(start, end),
            error: error.into(),
        };
        unread.extend(parts.map(failed));
        assert_eq!((unread.is_empty(), unread.len()), (false, 2));
        unread.remove(&[range(2, 10)].into_iter().collect());
        assert_eq!(unread.ranges().as_slice(), [range(0, 2), range(10, 12)]);
        unread.remove(&range(0, 12).into());
        assert_eq!((unread.is_empty(), unread.len()), (true, 0));
    }
}
