//! Several sources that are read as one, each after the one before it.
//!
//! Nothing is kept of them but where each begins: threads read from different
//! ones, and from the same, at the same time. A read ends where its source does,
//! so that callers see a short count and go on in the next.

use std::fs::File;
use std::io;
use std::sync::Arc;

use positioned_io::ReadAt;

use super::{Extent, Holes, Source, as_usize};
use crate::range::{ByteRange, Segments};

/// Several sources, one after the other.
pub struct Joined {
    sources: Vec<Arc<dyn Source>>,
    segments: Segments,
}

impl Joined {
    /// `sources` in this order; `None` if they have more bytes together than can
    /// be counted.
    pub fn new(sources: Vec<Arc<dyn Source>>) -> Option<Joined> {
        let segments = Segments::of_lengths(sources.iter().map(|source| source.size()))?;
        Some(Joined { sources, segments })
    }

    /// Where each begins and ends.
    pub fn segments(&self) -> &Segments {
        &self.segments
    }

    /// The answer of the first that has one.
    fn first<T>(&self, ask: impl Fn(&dyn Source) -> Option<T>) -> Option<T> {
        self.sources.iter().find_map(|source| ask(&**source))
    }
}

impl ReadAt for Joined {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(part) = self.segments.part_from(offset) else { return Ok(0) };
        let len = as_usize(part.local.len().min(buffer.len() as u64));
        self.sources[part.number].read_at(part.local.start(), &mut buffer[..len])
    }
}

impl Source for Joined {
    fn size(&self) -> u64 {
        self.segments.len()
    }

    fn next_extent(&self, from: u64) -> io::Result<Extent> {
        let Some(part) = self.segments.part_from(from) else {
            let end = self.size();
            return Ok(Extent { range: ByteRange::between(end, end), data: true });
        };
        let extent = self.sources[part.number].next_extent(part.local.start())?;
        let (whole, local) = (part.whole.start(), part.local.start());
        let found = extent.range.intersect(part.local);
        let range = found.rebase(local, whole).unwrap_or(part.whole);
        Ok(Extent { range, ..extent })
    }

    /// What the one says of which there is the most doubt, of those that have holes.
    fn weigh_holes(&self, range: ByteRange, _data: u64) -> Holes {
        let mut found = Vec::new();
        for part in self.segments.parts(range) {
            let source = &self.sources[part.number];
            match data_in(&**source, part.local) {
                Some(data) if data == part.local.len() => {}
                Some(data) => found.push(source.weigh_holes(part.local, data)),
                None => found.push(Holes::Unproven),
            }
        }
        let by_doubt = [Holes::Unproven, Holes::Contradicted, Holes::Reserved];
        by_doubt.into_iter().find(|doubt| found.contains(doubt)).unwrap_or(Holes::Believed)
    }

    fn was_read(&self, offset: u64) {
        if let Some(part) = self.segments.part_from(offset) {
            self.sources[part.number].was_read(part.local.start());
        }
    }

    fn is_gone(&self, error: &io::Error) -> Option<String> {
        self.first(|source| source.is_gone(error))
    }

    fn why_gone(&self) -> Option<String> {
        self.first(|source| source.why_gone())
    }

    fn for_each_place(&self, range: ByteRange, visit: &mut dyn FnMut(&File, ByteRange)) {
        for part in self.segments.parts(range) {
            self.sources[part.number].for_each_place(part.local, visit);
        }
    }
}

/// Most extents of one source that are looked at.
const MOST_EXTENTS: usize = 1 << 14;

/// How much of `range` is called data; `None` if that makes no sense, or takes
/// too long to add up.
fn data_in(source: &dyn Source, range: ByteRange) -> Option<u64> {
    let (mut at, mut data) = (range.start(), 0);
    for _ in 0..MOST_EXTENTS {
        if at >= range.end() {
            return Some(data);
        }
        let extent = source.next_extent(at).ok().filter(|extent| extent.range.end() > at)?;
        let found = extent.range.intersect(range);
        data += if extent.data { found.len() } else { 0 };
        at = extent.range.end();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::memory::Memory;
    use crate::io::transfer;
    use crate::testing::Random;

    /// Every range of sources of every small length, against one buffer.
    #[test]
    fn what_is_read_is_one_after_the_other() {
        let mut random = Random::new(3);
        for case in 0..60 {
            let lengths: Vec<usize> =
                (0..1 + random.below(4)).map(|_| as_usize(random.below(9))).collect();
            let all = random.bytes(lengths.iter().sum());
            let mut rest = &all[..];
            let mut sources: Vec<Arc<dyn Source>> = Vec::new();
            for len in &lengths {
                let (head, tail) = rest.split_at(*len);
                rest = tail;
                sources.push(Arc::new(Memory::new(head.to_vec())));
            }
            let joined = Joined::new(sources).expect("they are short");
            assert_eq!(joined.size(), all.len() as u64, "case {case}");
            for start in 0..=all.len() {
                for end in start..=all.len() {
                    let mut found = vec![0; end - start];
                    transfer::read_full(&joined, start as u64, &mut found).expect("it is inside");
                    assert_eq!(found, all[start..end], "{start}..{end} of {lengths:?}");
                }
                let extent = joined.next_extent(start as u64).expect("it says");
                assert_eq!(extent.range.start(), start as u64, "{lengths:?}");
            }
            let past = transfer::read_full(&joined, all.len() as u64, &mut [0]);
            assert_eq!(past.unwrap_err().error.kind(), io::ErrorKind::UnexpectedEof);
        }
    }
}
