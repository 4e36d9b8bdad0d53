//! Comparing files of a batch with their sources: each is read back past the
//! page cache, and what differs is copied once more if that is asked for. This
//! room knows files and what they are to hold, and not what becomes of items.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::assembled::Assembled;
use super::report::BatchReport;
use super::sources::Sources;
use super::why::{DIFFERS, Why};
use crate::cpu::Pool;
use crate::error::{Error, ErrorKind, Result, chain};
use crate::io::fingerprint::Fingerprint;
use crate::io::page_cache::{CacheState, PageCachePolicy};
use crate::io::{FileIo, as_usize, transfer};
use crate::options::Options;
use crate::plan::Plan;
use crate::pool::{Control, OnReadError};
use crate::progress::{Watch, lock};
use crate::range::{ByteRange, Mapping, RangeSet};
use crate::sync::Mutex;
use crate::verify::compare::{Comparison, Findings};
use crate::verify::read_back::ReadBack;

/// Unit of a comparison with the source, in bytes.
const PIECE: u64 = 8 << 20;

/// Smallest unit a source is read in, in bytes: storage with larger sectors fails
/// for each part of one.
const SECTOR: u64 = 512;

/// Unit of a repair, in bytes.
const REPAIR: u64 = 1 << 20;

/// Shorter rests are read without asking for holes.
const WORTH_ASKING: u64 = 1 << 20;

/// How the files of a batch are compared, and what was found besides.
pub struct Proof<'a> {
    /// The rules for requests, and the limit on the rate of all files together.
    control: Control<'a>,
    page_cache: PageCachePolicy,
    /// Whether what differs is copied once more.
    pub repair: bool,
    threads: usize,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    verified_by: BTreeMap<&'static str, u64>,
    notes: Vec<String>,
    repaired_files: u64,
    repaired_bytes: u64,
}

/// A file and what it is to hold.
pub struct Subject<'a> {
    /// What it is to hold.
    pub expected: &'a Assembled<&'a Sources>,
    /// What of it is compared, in positions of the file.
    pub ranges: &'a RangeSet,
    /// Of what was read when it was written, in positions of the file.
    pub fingerprints: &'a [Fingerprint],
    /// How many read at the same time.
    pub threads: usize,
}

impl<'a> Proof<'a> {
    /// As `options` say, with requests of `io_size` bytes and `threads` readers.
    pub fn new(options: &Options, io_size: u64, threads: usize, watch: Watch<'a>) -> Proof<'a> {
        let control = options.control(io_size, watch);
        Proof {
            control: Control { on_read_error: OnReadError::Stop, ..control },
            page_cache: options.page_cache(CacheState::Mixed, PIECE, false),
            repair: options.repair,
            threads: threads.max(1),
            known: Mutex::default(),
        }
    }

    /// Leaves out what cannot be read of a source, instead of ending there.
    pub fn skip_unreadable(mut self) -> Proof<'a> {
        self.control.on_read_error = OnReadError::Record;
        self
    }

    /// Threads for each of so many files that are compared at the same time.
    pub fn share(&self, files: usize) -> usize {
        (self.threads / files.max(1)).max(1)
    }

    /// A pool that compares so many files.
    pub fn pool(&self, files: usize) -> Pool {
        if files > 1 { Pool::new(self.threads.min(files)) } else { Pool::none() }
    }

    /// Compares `file`, which has been synced. What was found is in positions
    /// of the file, and true even if the comparison did not come to its end.
    pub fn compare(&self, file: &Arc<FileIo>, subject: &Subject<'_>) -> (Findings, Result<()>) {
        if subject.ranges.is_empty() {
            return (Findings::default(), Ok(()));
        }
        let medium = ReadBack::new(file);
        let comparison = Comparison {
            source: subject.expected,
            // Its errors name the sources.
            source_path: "".as_ref(),
            sector: SECTOR,
            control: &self.control,
            page_cache: &self.page_cache,
            medium: &medium,
            mapping: Mapping::to_start(ByteRange::to(file.len())),
            digester: None,
            threads: subject.threads,
        };
        let mut rest = subject.ranges.clone();
        rest.subtract(&subject.fingerprints.iter().map(|print| print.range).collect());
        let to_read = rest.bytes();
        if to_read >= WORTH_ASKING {
            rest.subtract(&comparison.holes());
        }
        self.control.progress.add_verified(to_read - rest.bytes());
        let plan = Plan::new(&rest, 0, PIECE);
        let found = comparison.run(subject.fingerprints, &plan);
        let mut known = lock(&self.known);
        *known.verified_by.entry(medium.how()).or_default() += 1;
        // Said once, however many files meet it.
        if let Some(note) = medium.note().filter(|note| !known.notes.contains(note)) {
            known.notes.push(note);
        }
        found
    }

    /// Copies `pieces` once more, by the plainest way there is.
    ///
    /// # Errors
    ///
    /// What cannot be read or written; [`ErrorKind::Cancelled`].
    pub fn repair(
        &self,
        file: &FileIo,
        expected: &Assembled<&Sources>,
        pieces: &RangeSet,
    ) -> std::io::Result<()> {
        let mut buffer = vec![0; as_usize(REPAIR)];
        for request in pieces.iter().flat_map(|piece| piece.pieces(REPAIR)) {
            if self.control.cancel.is_cancelled() {
                return Err(std::io::Error::other(Error::from(ErrorKind::Cancelled)));
            }
            if let Some(throttle) = &self.control.throttle {
                throttle.wait(request.len(), self.control.cancel);
            }
            let bytes = &mut buffer[..as_usize(request.len())];
            transfer::read_full(expected, request.start(), bytes).map_err(|stop| stop.error)?;
            transfer::write_full(file, request.start(), bytes).map_err(|stop| stop.error)?;
        }
        Ok(())
    }

    /// Notes that so many bytes of a file differed, and do not any more.
    pub fn repaired(&self, bytes: u64) {
        let mut known = lock(&self.known);
        known.repaired_files += 1;
        known.repaired_bytes += bytes;
    }

    /// Takes what is known into the report.
    pub fn record(&self, report: &mut BatchReport) {
        let known = std::mem::take(&mut *lock(&self.known));
        report.verified_by = known.verified_by;
        report.notes.extend(known.notes);
        let Known { repaired_files: files, repaired_bytes: bytes, .. } = known;
        if files > 0 {
            let note = format!("{bytes} bytes of {files} files differed after the copy; repaired");
            report.notes.push(note);
        }
    }
}

/// The first of what `findings` say is different.
pub fn first_difference(findings: &Findings, place: ByteRange) -> Option<Why> {
    let first = findings.differing.within(place).iter().next()?;
    let unreadable = findings.unreadable.within(first).into_iter().next();
    let text = match unreadable {
        Some(part) => format!("bytes {} of it cannot be read back: {}", part.range, part.error),
        None => format!("bytes {first} of it differ from the source"),
    };
    Some(Why::new(DIFFERS, text))
}

/// Why a comparison could not come to its end.
pub fn why_not(error: &Error) -> Why {
    let why = match error.kind() {
        ErrorKind::Read { source, .. } => chain(source),
        _ => error.chain(),
    };
    Why::new(error.word(), format!("it cannot be compared with its source: {why}"))
}
