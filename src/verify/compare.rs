//! Comparing a destination with what was read from the source, by the workers of
//! the pool.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use xxhash_rust::xxh3::Xxh3;

use super::read_back::ReadBack;
use crate::digest::Digester;
use crate::error::{Error, ErrorKind, Result};
use crate::io::buffer::Buffer;
use crate::io::fingerprint::{Fingerprint, Marks};
use crate::io::incoming::is_read_once;
use crate::io::page_cache::PageCachePolicy;
use crate::io::{Source, as_u64, as_usize};
use crate::plan::Plan;
use crate::pool::controller::Controller;
use crate::pool::{
    BadSectors, Control, Ended, FailedAt, OnPanic, Reader, Requests, Steps, run_steps,
};
use crate::progress::lock;
use crate::range::{ByteRange, Mapping, RangeSet, Unread};
use crate::sparse;
use crate::sync::Mutex;

/// Grain in which differences are reported: the smallest unit of a medium.
const GRAIN: u64 = 512;

/// Shortest request, where memory allows: past the cache nobody reads ahead.
const REQUEST: u64 = 1 << 20;

/// What the buffers for requests longer than those of the copy may take in all.
const SPARE: u64 = 8 << 20;

/// What is compared with what.
pub struct Comparison<'a> {
    /// Where the bytes came from.
    pub source: &'a dyn Source,
    /// Its name, for messages.
    pub source_path: &'a Path,
    /// Smallest unit the source can be read in, in bytes.
    pub sector: u64,
    /// The rules for requests, which are at least as long as it says, and as long
    /// if a digest wants them in order. Where it records what cannot be read of
    /// the source, that is left out, and the rest compared.
    pub control: &'a Control<'a>,
    /// What becomes of the page cache where the source is read again.
    pub page_cache: &'a PageCachePolicy,
    /// Where they went.
    pub medium: &'a ReadBack,
    /// What was copied, and where it went.
    pub mapping: Mapping,
    /// Is shown every byte of the destination that is compared with the source.
    pub digester: Option<&'a Digester>,
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
    /// Where the destination could not be read, and why; that counts as differing.
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
    pub fn run(&self, fingerprints: &[Fingerprint], rest: &Plan) -> (Findings, Result<()>) {
        let round = Round {
            comparison: self,
            request: self.request(),
            fingerprints,
            rest,
            next: AtomicU64::new(0),
            findings: Mutex::default(),
        };
        let pieces = as_u64(fingerprints.len()).saturating_add(rest.stripes());
        let controller = match usize::try_from(pieces).map_or(self.threads, |n| n.min(self.threads))
        {
            0 | 1 => Controller::inline(),
            threads => Controller::fixed(threads),
        };
        let (_, ended) = run_steps(self.control, &round, controller);
        self.page_cache.finish_reading(self.source);
        let findings = std::mem::take(&mut *lock(&round.findings));
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
        let limit = self.control.throttle.as_ref();
        limit.map_or(request, |limit| request.min(limit.step()))
    }

    fn unlimited_request(&self) -> u64 {
        // With a digest that waits for its turn, as small as a stripe.
        if self.digester.is_some_and(Digester::is_ordered) {
            return self.control.io_size;
        }
        // Every reader has two buffers, one for each side.
        let share = SPARE / as_u64(2 * self.threads.max(1));
        let share = share.checked_ilog2().map_or(0, |bits| 1 << bits);
        self.control.io_size.max(REQUEST.min(share))
    }
}

/// One run of the comparison, shared by its workers.
struct Round<'a> {
    comparison: &'a Comparison<'a>,
    /// Longest request in bytes.
    request: u64,
    fingerprints: &'a [Fingerprint],
    rest: &'a Plan,
    next: AtomicU64,
    findings: Mutex<Findings>,
}

/// What one worker has in hand.
struct Desk {
    theirs: Buffer,
    ours: Buffer,
    marks: Marks,
}

/// What is compared as a whole.
enum Piece {
    /// With its fingerprint.
    Fingerprinted(Fingerprint),
    /// With the source.
    Plain(ByteRange),
}

impl Piece {
    fn range(&self) -> ByteRange {
        match *self {
            Piece::Fingerprinted(Fingerprint { range, .. }) | Piece::Plain(range) => range,
        }
    }
}

impl Steps for Round<'_> {
    type Buffers = Desk;
    const NAME: &'static str = "verify";

    fn bytes(&self) -> usize {
        as_usize(self.request.saturating_mul(2))
    }

    fn buffers(&self) -> Result<Desk> {
        let theirs = Buffer::new(as_usize(self.request))?;
        Ok(Desk { theirs, ours: ReadBack::buffer(self.request)?, marks: Marks::new() })
    }

    fn step(&self, desk: &mut Desk, requests: Requests<'_>) -> Result<bool, FailedAt> {
        let Some(piece) = self.piece(self.next.fetch_add(1, Relaxed)) else { return Ok(false) };
        let Comparison { source, source_path: path, sector, .. } = *self.comparison;
        let reader = Reader { requests, source, path, sector: sector.max(1), bad: self };
        let guard = OnPanic(|| self.abandon());
        let compared = match piece {
            Piece::Fingerprinted(fingerprint) => self.check(fingerprint, desk, reader),
            Piece::Plain(range) => self.compare(range, desk, reader).map(drop),
        };
        drop(guard);
        if compared.is_err() {
            self.abandon();
        }
        match compared {
            Ok(()) => {
                requests.control().progress.add_verified(piece.range().len());
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

/// What is left out of the comparison.
impl BadSectors for Round<'_> {
    fn found(&self, part: ByteRange, error: &str) {
        lock(&self.findings).unread.insert(part, error);
    }

    fn take_back(&self, parts: &RangeSet) {
        lock(&self.findings).unread.remove(parts);
    }
}

impl Round<'_> {
    fn piece(&self, index: u64) -> Option<Piece> {
        match usize::try_from(index).ok().and_then(|index| self.fingerprints.get(index)) {
            Some(fingerprint) => Some(Piece::Fingerprinted(*fingerprint)),
            None => {
                let index = index - as_u64(self.fingerprints.len());
                self.rest.stripe(index).map(Piece::Plain)
            }
        }
    }

    /// Wakes every thread that waits for a turn that will not come.
    fn abandon(&self) {
        if let Some(digester) = self.comparison.digester {
            digester.abandon();
        }
    }

    /// Compares a piece with its fingerprint. Where it differs, the source is
    /// read again to find out where.
    fn check(
        &self,
        fingerprint: Fingerprint,
        desk: &mut Desk,
        reader: Reader<'_>,
    ) -> Result<(), Ended> {
        let piece = fingerprint.range;
        let mut hasher = Xxh3::new();
        for request in piece.pieces(self.request) {
            reader.requests.before(request.len())?;
            match self.read_back(request, &mut desk.ours, &desk.marks, reader.requests) {
                Ok(bytes) => hasher.update(bytes),
                // The comparison meets it again and says what cannot be read.
                Err(_) => break,
            }
        }
        if hasher.digest128() == fingerprint.hash {
            return Ok(());
        }
        let located = self.compare(piece, desk, reader);
        if !matches!(located, Ok(true)) {
            // The source cannot be read any more, or they are equal now: whichever
            // of them reads differently every time, the piece is not what was copied.
            self.differs(piece, piece);
        }
        match located {
            // What came once: nobody can say where in the piece.
            Err(Ended::Failed(failed)) if comes_once(&failed.error) => Ok(()),
            located => located.map(drop),
        }
    }

    /// Compares a piece with the source. Returns whether there is a difference.
    fn compare(
        &self,
        piece: ByteRange,
        desk: &mut Desk,
        reader: Reader<'_>,
    ) -> Result<bool, Ended> {
        let Comparison { source, page_cache, .. } = *self.comparison;
        let was_cached = page_cache.before(source, piece);
        let mut differs = false;
        for request in piece.pieces(self.request) {
            reader.requests.before(request.len())?;
            let theirs = desk.theirs.at(request.start(), request.len());
            let unread = reader.read(source, request, theirs)?;
            let back = self.read_back(request, &mut desk.ours, &desk.marks, reader.requests);
            let ours = match back {
                Ok(ours) => ours,
                Err(error) => {
                    differs = true;
                    self.differs(piece, request);
                    self.unreadable(request, &error);
                    continue;
                }
            };
            // What could not be read has no other bytes than there are.
            for part in unread.iter() {
                let start = as_usize(part.start() - request.start());
                let place = start..start + as_usize(part.len());
                theirs[place.clone()].copy_from_slice(&ours[place]);
            }
            for block in differing_blocks(request.start(), theirs, ours) {
                differs = true;
                self.differs(piece, block);
            }
            if let Some(digester) = self.comparison.digester {
                digester.update(request.start(), ours).map_err(|_| Ended::Stopped)?;
            }
        }
        page_cache.after_read(was_cached, source, piece);
        Ok(differs)
    }

    /// Reads the place of `request` in the destination.
    fn read_back<'b>(
        &self,
        request: ByteRange,
        ours: &'b mut Buffer,
        marks: &Marks,
        requests: Requests<'_>,
    ) -> std::io::Result<&'b [u8]> {
        let Comparison { medium, mapping, .. } = *self.comparison;
        let target = mapping.to_destination(request);
        requests.waiting(request.start(), || medium.read(target, ours, marks))
    }

    fn differs(&self, piece: ByteRange, differing: ByteRange) {
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
mod tests;
