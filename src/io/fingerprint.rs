//! Fingerprints of stripes, taken from the buffers that are copied anyway, so
//! that the source need not be read a second time to verify a destination.
//!
//! A fingerprint is worth what the read behind it was worth. A read that
//! reports bytes it did not deliver leaves in the buffer whatever was there
//! before; its fingerprint would then confirm the wrong bytes. So the buffer is
//! [marked](Marked) before every read, and where a mark is still there
//! afterwards no fingerprint is recorded: verifying reads the source again.

use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use positioned_io::ReadAt;
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use crate::io::{Extent, Holes, Source, as_u64};
use crate::range::ByteRange;

/// Distance of the marks: the smallest unit a medium delivers.
const MARK_EVERY: usize = 512;

/// The hash of one piece of the source, as it was read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fingerprint {
    /// Which bytes, in the source.
    pub range: ByteRange,
    /// Their XXH3, 128 bits: it finds accidents, at the speed of memory.
    pub hash: u128,
}

/// The fingerprint of `data`, which starts at `start` in the source.
#[cfg(test)]
pub fn of(start: u64, data: &[u8]) -> Fingerprint {
    let mut printer = Printer::new(start);
    printer.add(start, data);
    printer.finish().expect("one piece is whole")
}

/// The hash in the fingerprint of `data`.
pub fn hash_of(data: &[u8]) -> u128 {
    xxh3_128(data)
}

/// Takes the fingerprint of a piece while its requests pass in ascending order.
pub struct Printer {
    start: u64,
    next: u64,
    hasher: Box<Xxh3>,
    whole: bool,
}

impl Printer {
    /// Of the piece that starts at `start`.
    pub fn new(start: u64) -> Printer {
        Printer { start, next: start, hasher: Box::default(), whole: true }
    }

    /// The next bytes. If they are not the next, there is no fingerprint.
    pub fn add(&mut self, start: u64, data: &[u8]) {
        self.whole &= start == self.next;
        if self.whole {
            self.hasher.update(data);
            self.next += as_u64(data.len());
        }
    }

    /// The bytes are not to be relied on: there is no fingerprint.
    pub fn invalidate(&mut self) {
        self.whole = false;
    }

    /// The fingerprint of everything from the start on, unless a part is missing.
    pub fn finish(self) -> Option<Fingerprint> {
        let range = ByteRange::between(self.start, self.next);
        self.whole.then(|| Fingerprint { range, hash: self.hasher.digest128() })
    }
}

/// A source whose reads are watched: whether they delivered what they reported.
pub struct Marked<'a> {
    source: &'a dyn Source,
    mark: [u8; 8],
    suspicious: AtomicBool,
}

impl<'a> Marked<'a> {
    /// Watches reads of `source`.
    pub fn new(source: &'a dyn Source, marks: &Marks) -> Marked<'a> {
        Marked { source, mark: marks.0, suspicious: AtomicBool::new(false) }
    }

    /// Whether a mark survived a read that reported to have overwritten it.
    pub fn is_suspicious(&self) -> bool {
        self.suspicious.load(Relaxed)
    }
}

impl ReadAt for Marked<'_> {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        for block in buffer.chunks_mut(MARK_EVERY) {
            let len = block.len().min(self.mark.len());
            block[..len].copy_from_slice(&self.mark[..len]);
        }
        let count = self.source.read_at(offset, buffer)?;
        let delivered = &buffer[..count.min(buffer.len())];
        // A source that holds the mark by chance is read once more, nothing worse.
        let survives = |block: &[u8]| {
            let len = block.len().min(self.mark.len());
            block[..len] == self.mark[..len]
        };
        if delivered.chunks(MARK_EVERY).any(survives) {
            self.suspicious.store(true, Relaxed);
        }
        Ok(count)
    }
}

impl Source for Marked<'_> {
    fn size(&self) -> u64 {
        self.source.size()
    }

    fn next_extent(&self, from: u64) -> io::Result<Extent> {
        self.source.next_extent(from)
    }

    fn weigh_holes(&self, range: ByteRange, data: u64) -> Holes {
        self.source.weigh_holes(range, data)
    }

    fn file(&self) -> Option<&File> {
        self.source.file()
    }
}

/// What buffers are marked with: another in every process, so that no source
/// can hold it on purpose.
pub struct Marks(pub(super) [u8; 8]);

impl Marks {
    /// A new one.
    pub fn new() -> Marks {
        Marks(RandomState::new().hash_one("mark").to_ne_bytes())
    }
}

impl Default for Marks {
    fn default() -> Marks {
        Marks::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::memory::Memory;

    #[test]
    fn a_fingerprint_does_not_depend_on_the_requests() {
        let data: Vec<u8> = (0..=255).cycle().take(5000).collect();
        let check = |cuts: &[usize], whole: bool| {
            let mut printer = Printer::new(70);
            for pair in cuts.windows(2) {
                printer.add(70 + as_u64(pair[0]), &data[pair[0]..pair[1]]);
            }
            assert_eq!(printer.finish() == Some(of(70, &data)), whole, "{cuts:?}");
        };
        assert_eq!(of(70, &data).hash, hash_of(&data));
        check(&[0, 5000], true);
        check(&[0, 1, 512, 4097, 5000], true);
        check(&[0, 4999], false);
        check(&[1, 5000], false);
        let mut gap = Printer::new(0);
        gap.add(0, b"a");
        gap.add(2, b"c");
        assert_eq!(gap.finish(), None);
    }

    /// Reports `report` bytes and delivers `deliver` of them.
    struct Liar {
        report: usize,
        deliver: usize,
    }

    impl ReadAt for Liar {
        fn read_at(&self, _: u64, buffer: &mut [u8]) -> io::Result<usize> {
            buffer[..self.deliver].fill(7);
            Ok(self.report)
        }
    }

    impl Source for Liar {
        fn size(&self) -> u64 {
            u64::MAX
        }
    }

    #[test]
    fn a_read_that_reports_more_than_it_delivers_is_noticed() {
        let check = |report: usize, deliver: usize, suspicious: bool| {
            let liar = Liar { report, deliver };
            let marked = Marked::new(&liar, &Marks::new());
            assert_eq!(marked.read_at(0, &mut [0; 4096]).expect("no error"), report);
            assert_eq!(marked.is_suspicious(), suspicious, "{report} {deliver}");
        };
        check(4096, 4096, false);
        check(512, 512, false);
        check(0, 0, false);
        for report in [8, 512, 513 + 8, 4095, 4096] {
            check(report, 0, true);
        }
        check(4096, 3584, true);
        check(4096, 512, true);
    }

    #[test]
    fn marks_do_not_change_what_is_read() {
        let data: Vec<u8> = (0..=250).cycle().take(3000).collect();
        let memory = Memory::new(data.clone());
        let marked = Marked::new(&memory, &Marks::new());
        let mut buffer = vec![0; 4000];
        assert_eq!(marked.read_at(0, &mut buffer).expect("memory"), 3000);
        assert_eq!(buffer[..3000], data);
        assert!(!marked.is_suspicious());
    }
}
