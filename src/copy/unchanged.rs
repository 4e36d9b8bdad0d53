//! Whether the source is what was copied. Where only numbers and times say that
//! it may not be, its bytes are compared with those that were written, and they
//! decide (invariant I13): a hard link or a new mode leave them as they were.
//!
//! What is the same in two reads, one before and one after a moment, was there at
//! that moment. So a comparison that finds nothing proves the copy.

use super::branch::Branch;
use super::moving::{Moved, Sent};
use super::resolve::Task;
use crate::durable::recheck::Sides;
use crate::error::{ErrorKind, Result, SourceChange, chain};
use crate::io::buffer::Buffer;
use crate::io::fingerprint::{Fingerprint, Printer};
use crate::io::{Source, as_usize, transfer};
use crate::progress::{CancelToken, Phase, Watch};
use crate::range::{ByteRange, RangeSet};

/// Bytes read at a time for a fingerprint.
const CHUNK: u64 = 256 << 10;

/// Most fingerprints that are kept of what cannot be read back: 3 MiB of memory.
pub const MOST_FINGERPRINTS: u64 = 1 << 16;

impl Task<'_> {
    /// Looks at the source when all of it was read. What is returned must be
    /// settled by [`prove_source`](Task::prove_source).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::SourceChanged`], if no comparison can show that it did not.
    pub fn check_source(&self, moved: &mut Moved) -> Result<Option<SourceChange>> {
        if self.writes_source {
            // It was this copy that changed it, outside the range that was read.
            return Ok(None);
        }
        let change = match self.origin.change() {
            Ok(None) => return Ok(None),
            Ok(Some(change)) => change,
            Err(error) => SourceChange::Unknown { reason: chain(&error) },
        };
        if self.options.allow_changed_source {
            moved.notes.push(format!("the source changed during the copy: {change}"));
            return Ok(None);
        }
        // A range that was cut ends where the source does.
        let is_final = self.options.range.is_final() && !self.clamped;
        match change.may_be_harmless(self.mapping.from(), is_final) {
            true => Ok(Some(change)),
            false => Err(self.changed(change)),
        }
    }

    /// Compares all that was written with the source, of which `change` is known.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::SourceChanged`] if it differs, or cannot be compared.
    pub fn prove_source(
        &self,
        change: Option<SourceChange>,
        sent: &Sent,
        moved: &mut Moved,
        watch: Watch<'_>,
    ) -> Result<()> {
        let Some(change) = change else { return Ok(()) };
        watch.progress.enter(Phase::Verifying);
        let copied = moved.read(&self.wanted);
        let bytes = copied.bytes();
        let note = format!(
            "something changed about the source during the copy: {change}; all {bytes} bytes \
             were compared with it again, and are the same"
        );
        // One is enough: all destinations were given the same bytes.
        let reads_back = |branch: &&Branch| branch.draft.is_some() && branch.abilities.reads_back;
        match self.branches.iter().find(reads_back) {
            Some(branch) => self.compare_with(branch, &copied, change, moved.threads, watch)?,
            None => {
                let taken = sent.transfer.observers().take_fingerprints();
                self.compare_fingerprints(&taken, bytes, change, watch.cancel)?;
            }
        }
        // A verification counts from the beginning.
        watch.progress.restart_verified();
        moved.notes.push(note);
        Ok(())
    }

    fn compare_with(
        &self,
        branch: &Branch,
        copied: &RangeSet,
        change: SourceChange,
        threads: usize,
        watch: Watch<'_>,
    ) -> Result<()> {
        let (findings, ended) = self.compare_again(branch, copied, threads, watch);
        ended?;
        let Some(range) = findings.differing.iter().next() else { return Ok(()) };
        let written = branch.draft.as_ref().and_then(|draft| draft.written());
        let Some(written) = written.filter(|_| findings.unreadable.is_empty()) else {
            // Nothing shows that it is the same.
            return Err(self.changed(change));
        };
        let to = |part: ByteRange| Some(self.mapping.to_destination(part));
        let source = self.origin.source();
        let sides = Sides { source: &*source, destination: &*written, done: copied, to };
        let first = sides.first_in(range).unwrap_or(range.start());
        let differing = Some(findings.differing.bytes());
        Err(self.changed(SourceChange::Content { first, differing }))
    }

    /// Compares the source with the fingerprints of what was poured, if they are
    /// of all `bytes`.
    fn compare_fingerprints(
        &self,
        fingerprints: &[Fingerprint],
        bytes: u64,
        change: SourceChange,
        cancel: &CancelToken,
    ) -> Result<()> {
        if fingerprints.iter().map(|taken| taken.range.len()).sum::<u64>() != bytes {
            return Err(self.changed(change));
        }
        let (source, mut buffer) = (self.origin.source(), Buffer::new(as_usize(CHUNK))?);
        for taken in fingerprints {
            let now = self.fingerprint(&*source, taken.range, &mut buffer, cancel)?;
            if now != Some(*taken) {
                let (first, differing) = (taken.range.start(), None);
                return Err(self.changed(SourceChange::Content { first, differing }));
            }
        }
        Ok(())
    }

    fn fingerprint(
        &self,
        source: &dyn Source,
        range: ByteRange,
        buffer: &mut Buffer,
        cancel: &CancelToken,
    ) -> Result<Option<Fingerprint>> {
        let mut printer = Printer::new(range.start());
        for piece in range.pieces(CHUNK) {
            if cancel.is_cancelled() {
                return Err(ErrorKind::Cancelled.into());
            }
            let memory = buffer.at(piece.start(), piece.len());
            transfer::read_full(source, piece.start(), memory).map_err(|stop| {
                let path = self.origin.path().to_owned();
                ErrorKind::Read { path, range: piece, source: stop.error }
            })?;
            printer.add(piece.start(), memory);
        }
        Ok(printer.finish())
    }

    fn changed(&self, change: SourceChange) -> crate::Error {
        ErrorKind::SourceChanged { path: self.origin.path().to_owned(), change }.into()
    }

    /// Whether what the map says may be found in the source by a later run, as
    /// far as is known: it compares what is in doubt.
    pub fn map_is_true(&self) -> bool {
        let range = self.mapping.from();
        self.options.allow_changed_source
            || self.writes_source
            || match self.origin.change() {
                Ok(change) => change.is_none_or(|change| change.may_be_harmless(range, true)),
                Err(_) => false,
            }
    }
}
