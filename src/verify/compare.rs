//! Comparing a destination with what was read from the source.

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::Builder;

use xxhash_rust::xxh3::Xxh3;

use super::read_back::ReadBack;
use crate::cpu::{STACK, has_room_for_thread};
use crate::digest::Digester;
use crate::error::{Error, ErrorKind, Result, again};
use crate::io::buffer::Buffer;
use crate::io::fingerprint::{Fingerprint, Marks};
use crate::io::incoming::is_read_once;
use crate::io::page_cache::PageCachePolicy;
use crate::io::{Source, as_u64, as_usize, transfer};
use crate::plan::Plan;
use crate::pool::Throttle;
use crate::progress::{CancelToken, Progress, lock};
use crate::range::{ByteRange, Mapping, RangeSet, Unread};
use crate::sparse;

/// Grain in which differences are reported: the smallest unit of a medium.
const GRAIN: u64 = 512;

/// Shortest request, where memory allows: past the cache nobody reads ahead.
const REQUEST: u64 = 1 << 20;

/// What the buffers for requests longer than those of the copy may take in all.
const SPARE: u64 = 8 << 20;

/// How a comparison reads.
pub struct Reading {
    /// What becomes of the page cache where the source is read again.
    pub page_cache: PageCachePolicy,
    /// Limit on bytes compared a second.
    pub throttle: Option<Throttle>,
    /// How often a read of the source that failed is repeated.
    pub retries: u32,
    /// What cannot be read of the source is left out, in sectors of so many
    /// bytes, and the rest compared; `None`: the comparison ends there.
    pub sector: Option<u64>,
}

/// What is compared with what.
pub struct Comparison<'a> {
    /// Where the bytes came from.
    pub source: &'a dyn Source,
    /// Its name, for messages.
    pub source_path: &'a Path,
    /// How both are read.
    pub reading: &'a Reading,
    /// Where they went.
    pub medium: &'a ReadBack,
    /// What was copied, and where it went.
    pub mapping: Mapping,
    /// Is shown every byte of the destination that is compared with the source.
    pub digester: Option<&'a Digester>,
    /// Requests are at least as long, and as long if a digest wants them in order.
    pub io_size: u64,
    /// How many read at the same time.
    pub threads: usize,
}

/// What was found, in bytes of the source.
#[derive(Default)]
pub struct Findings {
    /// Where the destination has other bytes, in sectors, merged.
    pub differing: RangeSet,
    /// What was compared as a whole and differs somewhere.
    pub pieces: RangeSet,
    /// Where the destination could not be read, and why; differing, too.
    pub unreadable: Unread,
    /// Where the source could not be read: not compared.
    pub unread: Unread,
}

impl Comparison<'_> {
    /// Compares the pieces that have a fingerprint with it, and `rest` with
    /// the source.
    ///
    /// Returns what was found, and whether the comparison came to its end: a
    /// source that cannot be read and a wish to stop end it early, and what was
    /// found before is true nevertheless. What cannot be read of the
    /// destination is a finding.
    pub fn run(
        &self,
        fingerprints: &[Fingerprint],
        rest: &Plan,
        progress: &Progress,
        cancel: &CancelToken,
    ) -> (Findings, Result<()>) {
        let round = Round {
            comparison: self,
            fingerprints,
            rest,
            progress,
            cancel,
            next: AtomicU64::new(0),
            stop: AtomicBool::new(false),
            findings: Mutex::default(),
            error: Mutex::new(None),
        };
        std::thread::scope(|scope| {
            for number in 1..self.threads {
                let name = format!("verify-{number}");
                // Where a thread cannot be had, there are fewer.
                let thread = Builder::new().name(name).stack_size(STACK);
                if !has_room_for_thread(as_usize(self.request().saturating_mul(2)))
                    || thread.spawn_scoped(scope, || round.work()).is_err()
                {
                    break;
                }
            }
            round.work();
        });
        self.reading.page_cache.finish_reading(self.source);
        let findings = std::mem::take(&mut *lock(&round.findings));
        let ended = match lock(&round.error).take() {
            Some((_, error)) => Err(error),
            None if cancel.is_cancelled() => Err(ErrorKind::Cancelled.into()),
            None => Ok(()),
        };
        (findings, ended)
    }

    /// What need not be read: it is a hole on both sides.
    pub fn holes(&self) -> RangeSet {
        let range = self.mapping.from();
        let mut holes = sparse::data_in(self.source, range).missing_from(range);
        if holes.is_empty() {
            return holes;
        }
        let data = sparse::data_in(self.medium, self.mapping.to());
        holes.subtract(&self.mapping.set_to_source(&data));
        holes
    }

    fn request(&self) -> u64 {
        let request = self.unlimited_request();
        // A rate is kept in small steps.
        let limit = self.reading.throttle.as_ref();
        limit.map_or(request, |limit| request.min(limit.step()))
    }

    fn unlimited_request(&self) -> u64 {
        // With a digest that waits for its turn, as small as a stripe.
        if self.digester.is_some_and(Digester::is_ordered) {
            return self.io_size;
        }
        // Every reader has two buffers, one for each side.
        let share = SPARE / as_u64(2 * self.threads.max(1));
        let share = share.checked_ilog2().map_or(0, |bits| 1 << bits);
        self.io_size.max(REQUEST.min(share))
    }
}

/// One run of the comparison, shared by its threads.
struct Round<'a> {
    comparison: &'a Comparison<'a>,
    fingerprints: &'a [Fingerprint],
    rest: &'a Plan,
    progress: &'a Progress,
    cancel: &'a CancelToken,
    next: AtomicU64,
    stop: AtomicBool,
    findings: Mutex<Findings>,
    /// The error at the lowest offset, with that offset.
    error: Mutex<Option<(u64, Error)>>,
}

/// What one thread has in hand.
struct Desk {
    theirs: Buffer,
    ours: Buffer,
    marks: Marks,
}

/// The end of a thread's work.
enum Halt {
    Stopped,
    Failed(Error),
}

impl Round<'_> {
    fn work(&self) {
        let desk = || -> Result<Desk> {
            let (theirs, ours) = (self.buffer()?, self.buffer()?);
            Ok(Desk { theirs, ours, marks: Marks::new() })
        };
        match desk() {
            Ok(mut desk) => self.work_at(&mut desk),
            Err(error) => self.fail(0, error),
        }
    }

    fn buffer(&self) -> Result<Buffer> {
        ReadBack::buffer(self.comparison.request())
    }

    fn work_at(&self, desk: &mut Desk) {
        let with_fingerprint = as_u64(self.fingerprints.len());
        loop {
            let index = self.next.fetch_add(1, Relaxed);
            let (piece, done) = if index < with_fingerprint {
                let fingerprint = self.fingerprints[as_usize(index)];
                (fingerprint.range, self.check(fingerprint, desk))
            } else {
                match self.rest.stripe(index - with_fingerprint) {
                    Some(piece) => (piece, self.compare(piece, desk).map(drop)),
                    None => return,
                }
            };
            match done {
                Ok(()) => self.progress.add_verified(piece.len()),
                Err(Halt::Stopped) => return self.abandon(),
                Err(Halt::Failed(error)) => return self.fail(piece.start(), error),
            }
        }
    }

    fn fail(&self, offset: u64, error: Error) {
        self.stop.store(true, Relaxed);
        self.abandon();
        let mut first = lock(&self.error);
        if first.as_ref().is_none_or(|&(lowest, _)| offset < lowest) {
            *first = Some((offset, error));
        }
    }

    /// Wakes whoever waits for a turn that will not come.
    fn abandon(&self) {
        if let Some(digester) = self.comparison.digester {
            digester.abandon();
        }
    }

    fn before_request(&self, bytes: u64) -> Result<(), Halt> {
        if let Some(throttle) = &self.comparison.reading.throttle {
            throttle.wait(bytes, self.cancel);
        }
        if self.stop.load(Relaxed) || self.cancel.is_cancelled() {
            return Err(Halt::Stopped);
        }
        Ok(())
    }

    /// Reads `request` of the source, whatever it takes within the retries.
    fn read_source(&self, request: ByteRange, memory: &mut [u8]) -> Result<(), Halt> {
        let Comparison { source, source_path, reading, .. } = self.comparison;
        let mut rest = request;
        let mut retries = 0..reading.retries;
        loop {
            let missing = &mut memory[as_usize(rest.start() - request.start())..];
            let Err(stop) = transfer::read_full(*source, rest.start(), missing) else {
                return Ok(());
            };
            rest = rest.split_at(rest.start() + as_u64(stop.moved)).1;
            self.check_source_is_there(rest.start(), &stop.error)?;
            if retries.next().is_none() {
                let path = source_path.to_path_buf();
                let kind = ErrorKind::Read { path, range: rest, source: stop.error };
                return Err(Halt::Failed(kind.into()));
            }
            self.before_request(0)?;
        }
    }

    /// After a read of the source at `at` that failed with `error`.
    fn check_source_is_there(&self, at: u64, error: &std::io::Error) -> Result<(), Halt> {
        let Some(why) = self.comparison.source.is_gone(error) else { return Ok(()) };
        let (path, source) = (self.comparison.source_path.to_path_buf(), again(error));
        Err(Halt::Failed(ErrorKind::SourceGone { path, at, why, source }.into()))
    }

    /// Reads `request` of the source as far as it can be read. What cannot is
    /// returned, where the comparison is to go on without it.
    fn read_what_can_be_read(
        &self,
        request: ByteRange,
        memory: &mut [u8],
    ) -> Result<RangeSet, Halt> {
        let mut unread = RangeSet::new();
        match (self.read_source(request, memory), self.comparison.reading.sector) {
            (Err(Halt::Failed(error)), Some(sector)) if is_read(&error) => {
                for part in request.pieces_on_grid(sector, 0) {
                    self.before_request(0)?;
                    let skip = as_usize(part.start() - request.start());
                    let memory = &mut memory[skip..skip + as_usize(part.len())];
                    let read = transfer::read_full(self.comparison.source, part.start(), memory);
                    if let Err(stop) = read {
                        self.check_source_is_there(part.start(), &stop.error)?;
                        unread.insert(part);
                        let error = crate::error::chain(&stop.error);
                        lock(&self.findings).unread.insert(part, &error);
                    }
                }
            }
            (result, _) => result?,
        }
        Ok(unread)
    }

    /// Compares a piece with its fingerprint. Where it differs, the source is
    /// read again to find out where.
    fn check(&self, fingerprint: Fingerprint, desk: &mut Desk) -> Result<(), Halt> {
        let piece = fingerprint.range;
        let mut hasher = Xxh3::new();
        for request in piece.pieces(self.comparison.request()) {
            self.before_request(request.len())?;
            let target = self.comparison.mapping.to_destination(request);
            match self.comparison.medium.read(target, &mut desk.ours, &desk.marks) {
                Ok(bytes) => hasher.update(bytes),
                // The comparison meets it again and says what cannot be read.
                Err(_) => break,
            }
        }
        if hasher.digest128() == fingerprint.hash {
            return Ok(());
        }
        let located = self.compare(piece, desk);
        if !matches!(located, Ok(true)) {
            // The source cannot be read any more, or they are equal now: whichever
            // of them reads differently every time, the piece is not what was copied.
            self.found(piece, piece);
        }
        match located {
            // What came once: nobody can say where in the piece.
            Err(Halt::Failed(error)) if comes_once(&error) => Ok(()),
            located => located.map(drop),
        }
    }

    /// Compares a piece with the source. Returns whether there is a difference.
    fn compare(&self, piece: ByteRange, desk: &mut Desk) -> Result<bool, Halt> {
        let Comparison { source, reading: Reading { page_cache, .. }, .. } = self.comparison;
        let was_cached = page_cache.before(*source, piece);
        let mut differs = false;
        for request in piece.pieces(self.comparison.request()) {
            self.before_request(request.len())?;
            let theirs = desk.theirs.at(request.start(), request.len());
            let unread = self.read_what_can_be_read(request, theirs)?;
            let target = self.comparison.mapping.to_destination(request);
            let ours = match self.comparison.medium.read(target, &mut desk.ours, &desk.marks) {
                Ok(ours) => ours,
                Err(error) => {
                    differs = true;
                    self.found(piece, request);
                    self.unreadable(request, &error);
                    continue;
                }
            };
            let mut found: RangeSet =
                differing_blocks(request.start(), theirs, ours).into_iter().collect();
            found.subtract(&unread);
            for block in found.iter() {
                differs = true;
                self.found(piece, block);
            }
            if let Some(digester) = self.comparison.digester {
                digester.update(request.start(), ours).map_err(|_| Halt::Stopped)?;
            }
        }
        page_cache.after_read(was_cached, *source, piece);
        Ok(differs)
    }

    fn found(&self, piece: ByteRange, differing: ByteRange) {
        // Requests may begin in the middle of a sector.
        let differing = differing.align_out(GRAIN).intersect(self.comparison.mapping.from());
        let mut findings = lock(&self.findings);
        findings.pieces.insert(piece);
        findings.differing.insert(differing);
    }

    fn unreadable(&self, range: ByteRange, error: &std::io::Error) {
        if let Some(digester) = self.comparison.digester {
            digester.spoil_range(range);
        }
        lock(&self.findings).unreadable.insert(range, &crate::error::chain(error));
    }
}

/// Whether an error says that the source cannot be read a second time.
fn comes_once(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Read { source, .. } if is_read_once(source))
}

/// Whether an error is about bytes that cannot be read, and not about all of the source.
fn is_read(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Read { .. })
}

/// The sectors, counted from the beginning of the source, in which `theirs` and
/// `ours` differ; both begin at `start`.
pub(super) fn differing_blocks(start: u64, theirs: &[u8], ours: &[u8]) -> Vec<ByteRange> {
    let mut differing = Vec::new();
    // The usual case, at the speed of memory.
    if theirs == ours {
        return differing;
    }
    let whole = ByteRange::between(start, start + as_u64(theirs.len()));
    for block in whole.pieces_on_grid(GRAIN, 0) {
        let part = as_usize(block.start() - start)..as_usize(block.end() - start);
        if theirs[part.clone()] != ours[part] {
            differing.push(block);
        }
    }
    differing
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Algorithm;
    use crate::io::FileIo;
    use crate::io::memory::Memory;
    use std::sync::Arc;

    /// Verifying 160 MiB with 64 threads and 4 KiB requests took 68 MiB.
    #[test]
    fn buffers_keep_to_the_memory_of_the_copy_and_a_fixed_share() {
        let source = Memory::zeroed(1);
        let file = tempfile::tempfile().expect("a file");
        let medium = ReadBack::new(&Arc::new(FileIo::new(file, 0)));
        let range = ByteRange::to(1);
        let check = |threads: usize, io_size: u64, digests: &[Algorithm], expected: u64| {
            let digester = Digester::new(digests, range);
            let comparison = Comparison {
                source: &source,
                source_path: Path::new("source"),
                reading: &Reading {
                    page_cache: PageCachePolicy::none(),
                    throttle: None,
                    retries: 0,
                    sector: None,
                },
                medium: &medium,
                mapping: Mapping::to_start(range),
                digester: (!digests.is_empty()).then_some(&digester),
                io_size,
                threads,
            };
            let request = comparison.request();
            assert_eq!(request, expected, "{threads} threads, {io_size} bytes");
            let taken = 2 * threads as u64 * request;
            assert!(taken <= (2 * threads as u64 * io_size).max(SPARE), "{taken}");
        };
        let (kib, mib) = (1 << 10, 1 << 20);
        check(1, 512, &[], mib);
        check(4, 256 * kib, &[], mib);
        check(5, 256 * kib, &[Algorithm::Blake3, Algorithm::Crc32c], 512 * kib);
        check(32, 256 * kib, &[], 256 * kib);
        check(64, 4 * kib, &[], 64 * kib);
        check(1024, 4 * kib, &[], 4 * kib);
        check(usize::MAX >> 40, 512, &[], 512);
        check(2, 16 * mib, &[], 16 * mib);
        check(1, 4 * kib, &[Algorithm::Sha256], 4 * kib);
    }

    #[test]
    fn differences_are_whole_sectors_of_the_source() {
        let check = |start: u64, len: usize, flipped: &[usize], expected: &[(u64, u64)]| {
            let theirs = vec![7; len];
            let mut ours = theirs.clone();
            flipped.iter().for_each(|&at| ours[at] ^= 1);
            let found: Vec<_> = differing_blocks(start, &theirs, &ours)
                .iter()
                .map(|block| (block.start(), block.end()))
                .collect();
            assert_eq!(found, expected);
        };
        check(0, 2000, &[], &[]);
        check(0, 2000, &[0], &[(0, 512)]);
        check(0, 2000, &[511, 512], &[(0, 512), (512, 1024)]);
        check(0, 2000, &[1999], &[(1536, 2000)]);
        check(100, 2000, &[0, 411, 412], &[(100, 512), (512, 1024)]);
        check(0, 0, &[], &[]);
    }
}
