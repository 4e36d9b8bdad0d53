//! Where bytes come from and where they go: the only place that turns offsets
//! of a source into offsets of a destination, and back.

use super::{ByteRange, RangeSet};

/// A range of a source, and where its first byte goes in a destination.
///
/// Both ranges have the same length, and both fit into 64 bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Mapping {
    from: ByteRange,
    to: u64,
}

impl Mapping {
    /// `from`, whose first byte goes to offset `to`; `None` if its last byte
    /// would have no offset there.
    pub const fn new(from: ByteRange, to: u64) -> Option<Mapping> {
        match to.checked_add(from.len()) {
            Some(_) => Some(Mapping { from, to }),
            None => None,
        }
    }

    /// `range` to the same offsets.
    pub const fn identity(range: ByteRange) -> Mapping {
        Mapping { from: range, to: range.start() }
    }

    /// `range` to the beginning of a destination.
    pub const fn to_start(range: ByteRange) -> Mapping {
        Mapping { from: range, to: 0 }
    }

    /// What is read, in bytes of the source.
    pub const fn from(self) -> ByteRange {
        self.from
    }

    /// What is written, in bytes of the destination.
    pub const fn to(self) -> ByteRange {
        ByteRange::between(self.to, self.to + self.from.len())
    }

    /// Bytes in it.
    pub const fn len(self) -> u64 {
        self.from.len()
    }

    /// Whether it maps no byte.
    pub const fn is_empty(self) -> bool {
        self.from.is_empty()
    }

    /// The same up to `end`, in bytes of the source.
    pub const fn up_to(self, end: u64) -> Mapping {
        Mapping { from: self.from.split_at(end).0, to: self.to }
    }

    /// The part of `source`, bytes of the source, that is mapped, in bytes of
    /// the destination.
    pub fn to_destination(self, source: ByteRange) -> ByteRange {
        self.shift(source.intersect(self.from), self.from.start(), self.to)
    }

    /// The part of `destination`, bytes of the destination, that is mapped, in
    /// bytes of the source.
    pub fn to_source(self, destination: ByteRange) -> ByteRange {
        self.shift(destination.intersect(self.to()), self.to, self.from.start())
    }

    /// A set of bytes of the destination, as far as they are mapped, in bytes of
    /// the source.
    pub fn set_to_source(self, destination: &RangeSet) -> RangeSet {
        destination.within(self.to()).iter().map(|part| self.to_source(part)).collect()
    }

    /// What to subtract, modulo 2^64, from an offset of the source to get that
    /// of the destination: where the grid of the destination begins in the source.
    pub const fn grid(self) -> u64 {
        self.from.start().wrapping_sub(self.to)
    }

    fn shift(self, part: ByteRange, from: u64, to: u64) -> ByteRange {
        // An empty intersection may lie outside.
        if part.is_empty() {
            return ByteRange::default();
        }
        let start = to + (part.start() - from);
        ByteRange::between(start, start + part.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// There and back again, and no byte outside.
        #[test]
        fn both_ways_agree(start in 0..1000_u64, len in 0..1000_u64, to in 0..1000_u64,
                           at in 0..2500_u64, part in 0..1500_u64) {
            let from = ByteRange::between(start, start + len);
            let mapping = Mapping::new(from, to).unwrap();
            let asked = ByteRange::between(at, at + part);
            let there = mapping.to_destination(asked);
            prop_assert_eq!(there.len(), asked.intersect(from).len());
            prop_assert!(mapping.to().contains(there));
            prop_assert_eq!((mapping.len(), mapping.is_empty()), (len, len == 0));
            if !there.is_empty() {
                prop_assert_eq!(mapping.to_source(there), asked.intersect(from));
                prop_assert_eq!(there.start().wrapping_add(mapping.grid()), asked.intersect(from).start());
            }
        }
    }

    #[test]
    fn what_has_no_offset_is_no_mapping() {
        let last = ByteRange::between(0, 2);
        assert!(Mapping::new(last, u64::MAX - 1).is_none());
        assert_eq!(Mapping::new(last, u64::MAX - 2).unwrap().to().end(), u64::MAX);
        assert_eq!(Mapping::identity(ByteRange::between(5, 9)).to().start(), 5);
        assert!(Mapping::to_start(ByteRange::between(5, 5)).is_empty());
    }

    #[test]
    fn a_set_of_the_destination_is_found_in_the_source_as_far_as_it_is_mapped() {
        let range = |(start, end)| ByteRange::between(start, end);
        let mapping = Mapping::new(range((100, 200)), 1000).unwrap();
        let set: RangeSet =
            [(0, 1010), (1050, 1060), (1090, 1200)].map(range).into_iter().collect();
        let found = mapping.set_to_source(&set);
        assert_eq!(found.as_slice(), [(100, 110), (150, 160), (190, 200)].map(range));
    }
}
