//! Where the items of a list lie in the one destination, and whether that is one
//! source that is only moved. Arithmetic; nothing is opened.

use super::super::assembled::Run;
use crate::digest::RangeDigest;
use crate::manifest::{self, Item};
use crate::range::{ByteRange, RangeSet};

/// What a list says of one destination. Positions are those of the destination.
pub struct Layout {
    runs: Vec<Run>,
    /// Zeros that are in no source.
    zeros: RangeSet,
    digests: Vec<RangeDigest>,
    /// From the first byte to the end.
    place: ByteRange,
}

/// Where the bytes come from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// From `range` of one source, all moved by the same distance.
    OneSource {
        /// Its number.
        number: u32,
        /// What of it lies in the place.
        range: ByteRange,
    },
    /// From several, or moved about.
    Assembled,
}

impl Layout {
    /// Of `items`, which were checked and do not overlap. `source_of` tells the
    /// number of the source of an item, and its size.
    pub fn of(items: &[Item], source_of: impl Fn(&Item) -> (u32, u64)) -> Layout {
        let (mut runs, mut zeros, mut digests) = (Vec::new(), Vec::new(), Vec::new());
        let (mut start, mut end, mut whole) = (u64::MAX, 0, None);
        for item in items {
            let (source, size) = source_of(item);
            let mut at = item.dest_offset;
            for piece in item.runs.pieces(size).filter(|piece| !piece.is_empty()) {
                match piece {
                    manifest::Run::Data(range) => runs.push(Run { source, range, at }),
                    manifest::Run::Hole(len) => zeros.extend(ByteRange::with_len(at, len)),
                }
                // The check has seen that it ends within 64 bits.
                at = at.saturating_add(piece.len());
            }
            let range = ByteRange::between(item.dest_offset, at);
            let expected = item.expected().iter().cloned();
            digests.extend(expected.map(|digest| RangeDigest { range, digest }));
            if !range.is_empty() {
                (start, end) = (range.start().min(start), range.end().max(end));
            }
            let len = item.details.as_deref().and_then(|details| details.file_len);
            whole = whole.max(len);
        }
        // What has a length of its own begins at its beginning.
        let place = match whole {
            Some(len) => ByteRange::to(len.max(end)),
            None => ByteRange::new(start, end).unwrap_or_default(),
        };
        Layout { runs, zeros: zeros.into_iter().collect(), digests, place }
    }

    /// From the first byte to the end.
    pub fn place(&self) -> ByteRange {
        self.place
    }

    /// All that the list names.
    pub fn wanted(&self) -> RangeSet {
        let runs = self.runs.iter().map(Run::place);
        runs.chain(self.zeros.iter()).collect()
    }

    /// What the parts of it must have.
    pub fn digests(&self) -> Vec<RangeDigest> {
        self.digests.clone()
    }

    /// How it is to be copied, where a source has as many bytes as `size` says.
    pub fn way(&self, size: impl Fn(u32) -> u64) -> Way {
        let Some(first) = self.runs.first().filter(|_| self.zeros.is_empty()) else {
            return Way::Assembled;
        };
        let distance = |run: &Run| run.range.start().wrapping_sub(run.at);
        let same = |run: &Run| run.source == first.source && distance(run) == distance(first);
        let start = self.place.start().wrapping_add(distance(first));
        let range = ByteRange::with_len(start, self.place.len());
        let size = size(first.source);
        match range.filter(|range| range.end() <= size && self.runs.iter().all(same)) {
            Some(range) => Way::OneSource { number: first.source, range },
            None => Way::Assembled,
        }
    }

    /// What is wanted, in bytes of the one source of which `range` lies in the place.
    pub fn in_source(&self, range: ByteRange) -> RangeSet {
        self.runs.iter().map(|run| run.range.intersect(range)).collect()
    }

    /// What the parts of it must have, likewise.
    pub fn digests_in_source(&self, range: ByteRange) -> Vec<RangeDigest> {
        let moved = |part: &RangeDigest| {
            let moved = part.range.rebase(self.place.start(), range.start());
            // What is empty may lie anywhere.
            let range = moved.unwrap_or(ByteRange::between(range.start(), range.start()));
            RangeDigest { range, digest: part.digest.clone() }
        };
        self.digests.iter().map(moved).collect()
    }

    /// Where the bytes come from.
    pub fn into_runs(self) -> Vec<Run> {
        self.runs
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{Run as Piece, Runs};

    fn item(start: u64, len: u64, at: u64) -> Item {
        let range = ByteRange::with_len(start, len).unwrap();
        Item { dest_offset: at, ..Item::new("x", Runs::One(range)) }
    }

    #[track_caller]
    fn check(items: &[Item], sizes: &[u64], want: Option<(u64, u64)>) -> Layout {
        let number = |item: &Item| usize::from(item.source.is_some());
        let layout = Layout::of(items, |item| (number(item) as u32, sizes[number(item)]));
        let range = want.map(|(start, end)| ByteRange::between(start, end));
        let way = layout.way(|number| sizes[number as usize]);
        let of_one = |range| Way::OneSource { number: 0, range };
        assert_eq!(way, range.map_or(Way::Assembled, of_one));
        layout
    }

    #[test]
    fn one_source_that_is_moved_is_told_from_what_is_put_together() {
        check(&[item(10, 5, 10), item(30, 5, 30)], &[100], Some((10, 35)));
        check(&[item(10, 5, 0), item(30, 5, 20)], &[100], Some((10, 35)));
        check(&[item(0, 5, 70), item(10, 5, 80)], &[100], Some((0, 15)));
        check(&[item(10, 5, 0), item(30, 5, 21)], &[100], None);
        check(&[item(10, 5, 10), item(30, 5, 30).of("b")], &[100, 100], None);
        let hole = Item::new("x", Runs::from_pieces([Piece::Hole(7)]));
        let layout = check(&[hole, item(10, 5, 10)], &[100], None);
        assert_eq!(layout.wanted().bytes(), 12);
        let mut long = item(10, 5, 10);
        long.details = Some(Box::default());
        let with = |len: u64, mut item: Item| {
            item.details.as_mut().unwrap().file_len = Some(len);
            item
        };
        let layout = check(&[with(40, long.clone())], &[100], Some((0, 40)));
        assert_eq!(layout.in_source(ByteRange::to(40)).bytes(), 5);
        check(&[with(101, long)], &[100], None);
        check(&[item(3, 0, 9)], &[100], None);
    }
}
