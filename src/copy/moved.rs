//! What came of moving the bytes of a copy: counters, notes, what could not be read.

use crate::digest::{Digest, PieceDigests};
use crate::error::Remedy;
use crate::pool::{self, Transfer};
use crate::progress::Progress;
use crate::range::{ByteRange, RangeSet};
use crate::report::{FailedRange, Fallback};

/// What came of moving the bytes.
#[derive(Default)]
pub struct Moved {
    /// The engine in use at the end.
    pub engine: Option<&'static str>,
    /// Longest request at the end, in bytes.
    pub request: Option<u64>,
    /// Workers, at most at one time.
    pub threads: usize,
    /// Bytes copied.
    pub copied: u64,
    /// Bytes that became, or stayed, holes on the way.
    pub holes: u64,
    /// What could not be read.
    pub failed: Vec<FailedRange>,
    pub fallbacks: Vec<Fallback>,
    pub digests: Vec<Digest>,
    /// Those of the pieces.
    pub pieces: Vec<PieceDigests>,
    pub notes: Vec<String>,
    /// What would help the next run.
    pub remedies: Vec<Remedy>,
}

impl Moved {
    /// What of `wanted` could be read.
    pub fn read(&self, wanted: &RangeSet) -> RangeSet {
        let mut read = wanted.clone();
        read.subtract(&self.failed_set());
        read
    }

    /// What could not be read, in bytes of the source.
    pub fn failed_set(&self) -> RangeSet {
        self.failed.iter().filter_map(|part| ByteRange::new(part.start, part.end)).collect()
    }
}

impl Moved {
    pub fn record(&mut self, run: &pool::RunReport, transfer: &Transfer, progress: &Progress) {
        (self.threads, self.request) = (run.threads, Some(run.request));
        self.notes.extend(run.decisions.clone());
        self.failed = transfer.failed().into_iter().map(FailedRange::from).collect();
        self.fallbacks.extend(transfer.fallbacks());
        self.engine = Some(transfer.engine().name());
        self.notes.extend(transfer.engine().notes());
        self.holes = transfer.hole_bytes();
        self.copied = progress.snapshot().copied - self.holes;
    }

    /// Takes notes, each once.
    pub fn take_notes(&mut self, notes: Vec<String>) {
        for note in notes {
            if !self.notes.contains(&note) {
                self.notes.push(note);
            }
        }
    }

    /// Takes the digests, or says why there are none.
    pub fn take_digests(&mut self, transfer: &Transfer, wanted: bool) {
        self.pieces = transfer.observers().take_pieces();
        match transfer.observers().take_digests() {
            Some(digests) => self.digests = digests,
            None if wanted => {
                let failed = self.failed_set().bytes();
                self.notes.push(format!("no digest: {failed} bytes could not be read"));
            }
            None => {}
        }
    }
}
