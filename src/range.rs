//! Byte ranges and sets of them: the only range arithmetic of the project.
//!
//! Every other room asks here instead of adding offsets itself, so that
//! overflow is decided once. This room knows nothing of files, sources or
//! stripes; it is arithmetic on `u64`.

mod mapping;
pub(crate) mod rescue;
mod segments;
mod set;
mod spec;
#[cfg(test)]
mod tests;
mod unread;

pub use mapping::Mapping;
pub use segments::{Part, Segments};
pub use set::RangeSet;
pub use spec::{RangeError, RangeSpec, RangeSyntaxError};
pub use unread::{Failed, Unread};

use std::fmt;

/// A half-open range of bytes, `[start, end)`, with `start <= end`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ByteRange {
    start: u64,
    end: u64,
}

impl ByteRange {
    /// The range from `start` to `end` (exclusive), or `None` if it would run backwards.
    pub const fn new(start: u64, end: u64) -> Option<ByteRange> {
        if start <= end { Some(ByteRange { start, end }) } else { None }
    }

    /// `len` bytes from `start`, or `None` if the end does not fit in a `u64`.
    pub const fn with_len(start: u64, len: u64) -> Option<ByteRange> {
        match start.checked_add(len) {
            Some(end) => Some(ByteRange { start, end }),
            None => None,
        }
    }

    /// The first `len` bytes: `[0, len)`.
    pub const fn to(len: u64) -> ByteRange {
        ByteRange { start: 0, end: len }
    }

    /// The range between two offsets in either order.
    pub const fn between(a: u64, b: u64) -> ByteRange {
        if a <= b { ByteRange { start: a, end: b } } else { ByteRange { start: b, end: a } }
    }

    /// First byte.
    pub const fn start(self) -> u64 {
        self.start
    }

    /// One past the last byte.
    pub const fn end(self) -> u64 {
        self.end
    }

    /// Length in bytes.
    pub const fn len(self) -> u64 {
        self.end - self.start
    }

    /// Whether the range holds no byte.
    pub const fn is_empty(self) -> bool {
        self.start == self.end
    }

    /// Whether every byte of `other` lies in this range. An empty `other` does.
    pub const fn contains(self, other: ByteRange) -> bool {
        other.is_empty() || (self.start <= other.start && other.end <= self.end)
    }

    /// Whether the two ranges share a byte.
    pub const fn overlaps(self, other: ByteRange) -> bool {
        !self.intersect(other).is_empty()
    }

    /// The bytes in both ranges; empty (at the later start) if there are none.
    pub const fn intersect(self, other: ByteRange) -> ByteRange {
        let start = if self.start > other.start { self.start } else { other.start };
        let end = if self.end < other.end { self.end } else { other.end };
        if start <= end { ByteRange { start, end } } else { ByteRange { start, end: start } }
    }

    /// The part before `offset` and the part from `offset` on. An offset
    /// outside the range leaves one of them empty.
    pub const fn split_at(self, offset: u64) -> (ByteRange, ByteRange) {
        let cut = if offset < self.start {
            self.start
        } else if offset > self.end {
            self.end
        } else {
            offset
        };
        (ByteRange { start: self.start, end: cut }, ByteRange { start: cut, end: self.end })
    }

    /// The same range where `from` becomes `to`: source positions turned into
    /// destination positions. `None` if a position would leave `u64`.
    ///
    /// `from` must not lie beyond the start of the range.
    pub const fn rebase(self, from: u64, to: u64) -> Option<ByteRange> {
        match self.start.checked_sub(from) {
            Some(skip) => match to.checked_add(skip) {
                Some(start) => ByteRange::with_len(start, self.len()),
                None => None,
            },
            None => None,
        }
    }

    /// The smallest range around this one whose edges are multiples of
    /// `alignment` (a power of two); the end saturates at `u64::MAX`. Of an
    /// empty range between two multiples, the block around it.
    pub const fn align_out(self, alignment: u64) -> ByteRange {
        ByteRange { start: align_down(self.start, alignment), end: align_up(self.end, alignment) }
    }

    /// The largest range inside this one whose edges are multiples of
    /// `alignment` (a power of two), or an empty one at `end` if there is none.
    pub const fn align_in(self, alignment: u64) -> ByteRange {
        let start = align_up(self.start, alignment);
        let end = align_down(self.end, alignment);
        if start <= end {
            ByteRange { start, end }
        } else {
            ByteRange { start: self.end, end: self.end }
        }
    }

    /// Consecutive pieces of at most `piece` bytes, in ascending order.
    pub fn pieces(self, piece: u64) -> impl Iterator<Item = ByteRange> {
        let piece = piece.max(1);
        let mut rest = self;
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let (head, tail) = rest.split_at(rest.start.saturating_add(piece));
            rest = tail;
            Some(head)
        })
    }

    /// The pieces between multiples of `size` (a power of two), in ascending
    /// order; with a `phase` between the offsets that are such a multiple when
    /// it is added to them.
    pub fn pieces_on_grid(self, size: u64, phase: u64) -> impl Iterator<Item = ByteRange> {
        let mut rest = self;
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let shifted = rest.start.wrapping_add(phase);
            let to_edge = size - (shifted - align_down(shifted, size));
            let (head, tail) = rest.split_at(rest.start.saturating_add(to_edge));
            rest = tail;
            Some(head)
        })
    }
}

/// The largest multiple of `alignment` (a power of two) not above `offset`.
pub const fn align_down(offset: u64, alignment: u64) -> u64 {
    offset & !(alignment - 1)
}

/// The smallest multiple of `alignment` (a power of two) not below `offset`;
/// `u64::MAX` where it does not fit.
pub const fn align_up(offset: u64, alignment: u64) -> u64 {
    match offset.checked_add(alignment - 1) {
        Some(sum) => align_down(sum, alignment),
        None => u64::MAX,
    }
}

impl fmt::Display for ByteRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.start, self.end)
    }
}

impl fmt::Debug for ByteRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl serde::Serialize for ByteRange {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;
        let mut pair = serializer.serialize_struct("ByteRange", 2)?;
        pair.serialize_field("start", &self.start)?;
        pair.serialize_field("end", &self.end)?;
        pair.end()
    }
}

impl<'de> serde::Deserialize<'de> for ByteRange {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Ends {
            start: u64,
            end: u64,
        }
        let Ends { start, end } = Ends::deserialize(deserializer)?;
        let backwards = || serde::de::Error::custom("the range ends before it starts");
        ByteRange::new(start, end).ok_or_else(backwards)
    }
}

/// A run of data or a hole in a source.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Extent {
    /// Where, in bytes of the source.
    pub range: ByteRange,
    /// Whether it holds data. A hole reads as zeros and takes no space.
    pub data: bool,
}

/// A buffer length as an offset. Lossless: no supported platform has a `usize` beyond 64 bits.
pub(crate) fn as_u64(len: usize) -> u64 {
    len as u64
}

/// A length that is known to fit in memory, because a buffer of that size exists.
pub(crate) fn as_usize(len: u64) -> usize {
    usize::try_from(len).expect("a request is never longer than the buffer it is for")
}
