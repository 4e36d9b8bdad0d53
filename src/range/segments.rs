//! Something that is kept in several files, each after the one before it: which
//! of them a byte lies in, and where.

use super::ByteRange;

/// Where the segments begin and end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Segments {
    cuts: Cuts,
    len: u64,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Cuts {
    /// All but the last are of this length, which is not 0.
    Every(u64),
    /// One past the last byte of each, ascending.
    At(Vec<u64>),
}

/// What lies in one segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Part {
    /// Which segment, from 0.
    pub number: usize,
    /// In bytes of the whole.
    pub whole: ByteRange,
    /// The same in bytes of the segment.
    pub local: ByteRange,
}

impl Segments {
    /// `len` bytes in segments of `size` bytes each, of which the last may be
    /// shorter. There is always one, if only an empty one.
    pub fn every(size: u64, len: u64) -> Segments {
        Segments { cuts: Cuts::Every(size.max(1)), len }
    }

    /// Segments of these lengths; `None` if they are longer together than can be counted.
    pub fn of_lengths(lengths: impl IntoIterator<Item = u64>) -> Option<Segments> {
        let mut len: u64 = 0;
        let mut ends = Vec::new();
        for length in lengths {
            len = len.checked_add(length)?;
            ends.push(len);
        }
        Some(Segments { cuts: Cuts::At(ends), len })
    }

    /// Bytes in all of them.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there is no byte in any.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        match &self.cuts {
            Cuts::Every(size) => self.len.div_ceil(*size).max(1),
            Cuts::At(ends) => super::as_u64(ends.len()),
        }
    }

    /// What of the whole is in segment `number`.
    pub fn range(&self, number: usize) -> ByteRange {
        let (start, end) = match &self.cuts {
            Cuts::Every(size) => {
                let start = super::as_u64(number).saturating_mul(*size);
                (start, start.saturating_add(*size))
            }
            Cuts::At(ends) => {
                let start = number.checked_sub(1).and_then(|before| ends.get(before));
                (start.copied().unwrap_or(0), ends.get(number).copied().unwrap_or(self.len))
            }
        };
        ByteRange::between(start.min(self.len), end.min(self.len))
    }

    /// The segment that `offset` lies in; past the end, the one after the last.
    fn number_at(&self, offset: u64) -> usize {
        match &self.cuts {
            // More segments than memory holds names of are never asked for.
            Cuts::Every(size) => usize::try_from(offset / size).unwrap_or(usize::MAX),
            Cuts::At(ends) => ends.partition_point(|end| *end <= offset),
        }
    }

    /// The parts of `range`, as far as it lies inside, in ascending order. No
    /// part is empty.
    pub fn parts(&self, range: ByteRange) -> impl Iterator<Item = Part> + '_ {
        let mut rest = range.intersect(ByteRange::to(self.len));
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let number = self.number_at(rest.start());
            let segment = self.range(number);
            let (whole, tail) = rest.split_at(segment.end());
            rest = tail;
            let local = whole.rebase(segment.start(), 0)?;
            Some(Part { number, whole, local })
        })
    }

    /// The part that begins at `offset` and ends with its segment, or with the whole.
    pub fn part_from(&self, offset: u64) -> Option<Part> {
        self.parts(ByteRange::between(offset.min(self.len), self.len)).next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;

    /// Every byte of `segments`, as (segment, byte of it).
    fn bytes(lengths: &[u64]) -> Vec<(usize, u64)> {
        let of_one = |(number, len): (usize, &u64)| (0..*len).map(move |at| (number, at));
        lengths.iter().enumerate().flat_map(of_one).collect()
    }

    fn check(segments: &Segments, lengths: &[u64]) {
        let all = bytes(lengths);
        let len = all.len() as u64;
        assert_eq!((segments.len(), segments.count()), (len, lengths.len() as u64), "{lengths:?}");
        assert_eq!(segments.is_empty(), len == 0, "{lengths:?}");
        for start in 0..=len + 2 {
            for end in start..=len + 2 {
                let mut found = Vec::new();
                let mut at = start;
                for part in segments.parts(ByteRange::between(start, end)) {
                    assert!(!part.whole.is_empty() && part.whole.start() == at, "{lengths:?}");
                    assert_eq!(part.whole.len(), part.local.len());
                    at = part.whole.end();
                    found.extend((part.local.start()..part.local.end()).map(|b| (part.number, b)));
                }
                let inside = |at: u64| at.min(len) as usize;
                assert_eq!(found, all[inside(start)..inside(end)], "{start}..{end} of {lengths:?}");
            }
        }
        let ranges: Vec<_> =
            (0..lengths.len()).map(|number| segments.range(number).len()).collect();
        assert_eq!(ranges, lengths);
    }

    /// Every range of many small sets, against a list of all bytes.
    #[test]
    fn every_byte_is_in_one_segment_at_one_place() {
        for size in 1..6 {
            for len in 0..13 {
                let mut lengths: Vec<u64> =
                    ByteRange::to(len).pieces(size).map(ByteRange::len).collect();
                if lengths.is_empty() {
                    lengths.push(0);
                }
                check(&Segments::every(size, len), &lengths);
            }
        }
        let mut random = Random::new(7);
        for _ in 0..40 {
            let lengths: Vec<u64> = (0..random.below(5)).map(|_| random.below(5)).collect();
            check(&Segments::of_lengths(lengths.iter().copied()).expect("few"), &lengths);
        }
    }

    #[test]
    fn the_largest_sets_do_not_overflow() {
        let segments = Segments::every(1 << 62, u64::MAX);
        assert_eq!(segments.count(), 4);
        let last = segments.part_from(u64::MAX - 1).expect("the last byte");
        assert_eq!((last.number, last.local.len()), (3, 1));
        assert_eq!(Segments::every(u64::MAX, u64::MAX).range(0), ByteRange::to(u64::MAX));
        assert_eq!(segments.part_from(u64::MAX), None);
        assert_eq!(Segments::of_lengths([u64::MAX, 1]), None);
    }
}
