//! Reading a source once more, by the workers of the pool, and comparing it with the
//! fingerprints that were taken while it was copied. What wrote to it meanwhile need not
//! have moved any time: a program that has mapped the file moves none with most of its
//! writes.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::error::Result;
use crate::io::buffer::Buffer;
use crate::io::fingerprint::{Fingerprint, Printer};
use crate::io::page_cache::PageCachePolicy;
use crate::io::{Source, as_usize};
use crate::pool::controller::Controller;
use crate::pool::{BadSectors, Control, Ended, FailedAt, Reader, Requests, Steps, run_steps};
use crate::progress::lock;
use crate::range::{ByteRange, RangeSet};
use crate::sync::Mutex;

/// What is read, and how.
pub struct Again<'a> {
    /// Where the bytes came from.
    pub source: &'a dyn Source,
    /// Its name, for messages.
    pub source_path: &'a Path,
    /// Smallest unit it can be read in, in bytes.
    pub sector: u64,
    /// The rules for requests.
    pub control: &'a Control<'a>,
    /// What becomes of the page cache.
    pub page_cache: &'a PageCachePolicy,
    /// How many read at the same time.
    pub threads: usize,
}

impl Again<'_> {
    /// Reads what has a fingerprint. Returns the pieces that are not what they were, and
    /// whether it came to its end: what was found before an error is true nevertheless.
    pub fn run(&self, fingerprints: &[Fingerprint]) -> (RangeSet, Result<()>) {
        let round =
            Round { again: self, fingerprints, next: AtomicU64::new(0), changed: Mutex::default() };
        let controller = match fingerprints.len().min(self.threads) {
            0 | 1 => Controller::inline(),
            threads => Controller::fixed(threads),
        };
        let (_, ended) = run_steps(self.control, &round, controller);
        self.page_cache.finish_reading(self.source);
        let changed = std::mem::take(&mut *lock(&round.changed));
        (changed, ended)
    }
}

/// One reading, shared by its workers.
struct Round<'a> {
    again: &'a Again<'a>,
    fingerprints: &'a [Fingerprint],
    next: AtomicU64,
    changed: Mutex<RangeSet>,
}

impl Steps for Round<'_> {
    type Buffers = Buffer;
    const NAME: &'static str = "check";

    fn bytes(&self) -> usize {
        as_usize(self.again.control.io_size)
    }

    fn buffers(&self) -> Result<Buffer> {
        Ok(Buffer::new(self.bytes())?)
    }

    fn step(&self, buffer: &mut Buffer, requests: Requests<'_>) -> Result<bool, FailedAt> {
        let index = usize::try_from(self.next.fetch_add(1, Relaxed)).ok();
        let Some(taken) = index.and_then(|index| self.fingerprints.get(index)) else {
            return Ok(false);
        };
        let Again { source, source_path: path, sector, .. } = *self.again;
        let reader = Reader { requests, source, path, sector: sector.max(1), bad: self };
        match self.fingerprint(taken.range, buffer, reader) {
            Ok(now) => {
                if now != Some(*taken) {
                    lock(&self.changed).insert(taken.range);
                }
                requests.control().progress.add_verified(taken.range.len());
                Ok(true)
            }
            Err(Ended::Stopped) => Ok(false),
            Err(Ended::Failed(failed)) => Err(failed),
        }
    }

    fn needs_supervisor(&self) -> bool {
        false
    }
}

impl Round<'_> {
    /// Of `range` as it is now.
    fn fingerprint(
        &self,
        range: ByteRange,
        buffer: &mut Buffer,
        reader: Reader<'_>,
    ) -> Result<Option<Fingerprint>, Ended> {
        let Again { source, page_cache, control, .. } = *self.again;
        let was_cached = page_cache.before(source, range);
        let mut printer = Printer::new(range.start());
        for request in range.pieces(control.io_size) {
            reader.requests.before(request.len())?;
            let memory = buffer.at(request.start(), request.len());
            reader.read(source, request, memory)?;
            printer.add(request.start(), memory);
        }
        page_cache.after_read(was_cached, source, range);
        Ok(printer.finish())
    }
}

/// What could be read before and cannot be now is not what it was.
impl BadSectors for Round<'_> {
    fn found(&self, part: ByteRange, _error: &str) {
        lock(&self.changed).insert(part);
    }

    fn take_back(&self, parts: &RangeSet) {
        lock(&self.changed).subtract(parts);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::as_u64;
    use crate::io::fingerprint;
    use crate::io::memory::Memory;
    use crate::options::Options;
    use crate::progress::{CancelToken, Progress, Watch};
    use crate::testing::{Faulty, Operation, Rule};

    const PIECE: u64 = 1000;

    fn bytes() -> Vec<u8> {
        (0..10 * PIECE).map(|at| (at % 251) as u8).collect()
    }

    fn fingerprints(bytes: &[u8]) -> Vec<Fingerprint> {
        let pieces = ByteRange::to(as_u64(bytes.len())).pieces(PIECE);
        let of = |piece: ByteRange| {
            let place = as_usize(piece.start())..as_usize(piece.end());
            fingerprint::of(piece.start(), &bytes[place])
        };
        pieces.map(of).collect()
    }

    fn run(source: &dyn Source, threads: usize, cancel: &CancelToken) -> (RangeSet, Result<()>) {
        let (options, progress) = (Options::default(), Progress::new());
        let again = Again {
            source,
            source_path: "source".as_ref(),
            sector: 100,
            // Several requests a piece, the last one shorter.
            control: &options.control(300, Watch::new(&progress, cancel)),
            page_cache: &PageCachePolicy::none(),
            threads,
        };
        again.run(&fingerprints(&bytes()))
    }

    #[test]
    fn what_is_as_it_was_is_found_to_be_and_every_other_piece_is_told() {
        for threads in [1, 3] {
            let (changed, ended) = run(&Memory::new(bytes()), threads, &CancelToken::new());
            assert_eq!((changed, ended.is_ok()), (RangeSet::new(), true));
            for changes in [&[0][..], &[999, 1000], &[4500, 9999]] {
                let mut now = bytes();
                changes.iter().for_each(|&at: &usize| now[at] ^= 1);
                let (changed, ended) = run(&Memory::new(now), threads, &CancelToken::new());
                let piece = |&at: &usize| {
                    let start = as_u64(at) / PIECE * PIECE;
                    ByteRange::between(start, start + PIECE)
                };
                let expected: RangeSet = changes.iter().map(piece).collect();
                assert_eq!((changed, ended.is_ok()), (expected, true), "{threads} threads");
            }
        }
    }

    #[test]
    fn what_cannot_be_read_any_more_is_no_success() {
        for range in [0..1, 5100..5200] {
            let bad = Rule::on(Operation::Read).within(range.clone()).persistent();
            let source = Faulty::new(Memory::new(bytes())).with(bad);
            let (changed, ended) = run(&source, 2, &CancelToken::new());
            assert!(ended.is_err() || !changed.is_empty(), "{range:?}");
        }
    }

    #[test]
    fn it_stops_when_it_is_asked_to() {
        let cancel = CancelToken::new();
        cancel.cancel();
        let (_, ended) = run(&Memory::new(bytes()), 2, &cancel);
        assert!(ended.is_err());
    }
}
