//! A source of which only some ranges are wanted, read in one request.
//!
//! What lies between them is read along because that is cheaper. Where it
//! cannot be read, that is nobody's loss: each wanted range is then read alone,
//! and zeros stand for the rest.

use std::io;
use std::sync::Arc;

use positioned_io::ReadAt;

use super::{Extent, Holes, Judgement, Source, as_u64, as_usize, transfer};
use crate::range::{ByteRange, RangeSet};

/// Reads the wanted ranges of a source, and what lies between them if it can.
pub struct GapReader {
    source: Arc<dyn Source>,
    wanted: RangeSet,
}

impl GapReader {
    /// Of `source`, only `wanted` matters.
    pub fn new(source: Arc<dyn Source>, wanted: RangeSet) -> GapReader {
        GapReader { source, wanted }
    }

    /// Reads wanted ranges one by one, up to the first that fails.
    fn read_wanted(&self, request: ByteRange, buffer: &mut [u8]) -> io::Result<usize> {
        let mut got = request.start();
        for part in self.wanted.within(request).iter() {
            let skip = |offset: u64| as_usize(offset - request.start());
            buffer[skip(got)..skip(part.start())].fill(0);
            let wanted = &mut buffer[skip(part.start())..skip(part.end())];
            if let Err(stop) = transfer::read_full(&*self.source, part.start(), wanted) {
                // Asked again from there, it comes first.
                return match skip(part.start()) + stop.moved {
                    0 => Err(stop.error),
                    moved => Ok(moved),
                };
            }
            got = part.end();
        }
        buffer[as_usize(got - request.start())..].fill(0);
        Ok(buffer.len())
    }
}

impl ReadAt for GapReader {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.source.read_at(offset, buffer).or_else(|error| {
            match ByteRange::with_len(offset, as_u64(buffer.len())) {
                Some(request) if !self.wanted.covers(request) => self.read_wanted(request, buffer),
                _ => Err(error),
            }
        })
    }
}

impl Source for GapReader {
    fn size(&self) -> u64 {
        self.source.size()
    }

    fn next_extent(&self, from: u64) -> io::Result<Extent> {
        self.source.next_extent(from)
    }

    fn weigh_holes(&self, range: ByteRange, data: u64) -> Holes {
        self.source.weigh_holes(range, data)
    }

    fn was_read(&self, offset: u64) {
        self.source.was_read(offset);
    }

    fn is_gone(&self, error: &io::Error) -> Option<String> {
        self.source.is_gone(error)
    }

    fn why_gone(&self) -> Option<String> {
        self.source.why_gone()
    }

    fn judge(&self, error: &io::Error) -> Judgement {
        self.source.judge(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::memory::Memory;
    use crate::io::transfer::read_full;
    use crate::testing::{Faulty, Operation, Rule};

    /// Reads all of a disk of 4096 ones with a bad sector; where it ends, and
    /// whether what was read is right.
    #[track_caller]
    fn check(wanted: &[(u64, u64)], bad: std::ops::Range<u64>, moved: Option<usize>) {
        let wanted: RangeSet =
            wanted.iter().map(|&(start, end)| ByteRange::new(start, end).unwrap()).collect();
        let rule = Rule::on(Operation::Read).within(bad).errno(5).persistent();
        let disk = Arc::new(Faulty::new(Memory::new(vec![1; 4096])).with(rule));
        let mut buffer = vec![7; 4096];
        let read = read_full(&GapReader::new(disk, wanted.clone()), 0, &mut buffer);
        assert_eq!(read.err().map(|stop| stop.moved), moved);
        let end = moved.unwrap_or(4096);
        for (at, &byte) in buffer.iter().enumerate().take(end) {
            let is_wanted = wanted.covers(ByteRange::with_len(at as u64, 1).unwrap());
            assert!(byte == 1 || !is_wanted && byte == 0, "{byte} at {at}");
        }
    }

    #[test]
    fn what_cannot_be_read_and_is_not_wanted_does_not_matter() {
        check(&[(0, 4096)], 5000..5001, None);
        check(&[(0, 512), (1024, 4096)], 512..1024, None);
        check(&[(0, 512), (1024, 2000)], 2000..2048, None);
        check(&[(100, 200)], 0..100, None);
        check(&[(0, 512), (1024, 4096)], 2048..2560, Some(2048));
        check(&[(0, 600), (1024, 4096)], 512..1024, Some(512));
    }
}
