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
use crate::io::Source;
use crate::io::fingerprint::Fingerprint;
use crate::io::page_cache::CacheState;
use crate::pool::{Control, OnReadError};
use crate::progress::{Phase, Watch};
use crate::range::{ByteRange, RangeSet};
use crate::verify::again::Again;

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
                self.compare_fingerprints(&taken, bytes, change, moved.threads, watch)?;
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
        let first = self.first_in(&*written, range).unwrap_or(range.start());
        let differing = Some(findings.differing.bytes());
        Err(self.changed(SourceChange::Content { first, differing }))
    }

    /// Compares the source with the fingerprints of what was poured, if they are
    /// of all `bytes`.
    fn compare_fingerprints(
        &self,
        taken: &[Fingerprint],
        bytes: u64,
        change: SourceChange,
        threads: usize,
        watch: Watch<'_>,
    ) -> Result<()> {
        if bytes_of(taken) != bytes {
            return Err(self.changed(change));
        }
        let (differing, ended) = self.read_again(taken, threads, watch);
        ended?;
        let Some(first) = differing.iter().next() else { return Ok(()) };
        let (first, differing) = (first.start(), None);
        Err(self.changed(SourceChange::Content { first, differing }))
    }

    /// Reads the source once more where that is wanted, and compares it with the
    /// fingerprints that were taken while it was copied. What has none was compared
    /// with the source when it was verified.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::SourceChanged`] if it differs; what cannot be read of it any more.
    pub fn check_source_again(
        &self,
        sent: &Sent,
        taken: &[Fingerprint],
        moved: &mut Moved,
        watch: Watch<'_>,
    ) -> Result<()> {
        if !self.options.check_source {
            return Ok(());
        }
        watch.progress.restart_verified();
        let bytes = bytes_of(taken);
        watch.progress.add_verified(moved.read(&self.wanted).bytes().saturating_sub(bytes));
        let (differing, ended) = self.read_again(taken, moved.threads, watch);
        let Some(piece) = differing.iter().next() else {
            let note =
                format!("{bytes} bytes of the source were read once more, and are what was copied");
            return ended.map(|()| moved.notes.push(note));
        };
        let alive = || self.branches.iter().filter(|branch| branch.is_alive());
        for branch in alive() {
            // No run may resume from what the source does not have any more.
            branch.invalidate(&sent.transfer, &differing)?;
        }
        ended?;
        let written = alive().find_map(|branch| branch.draft.as_ref()?.written());
        let first = written.and_then(|written| self.first_in(&*written, piece));
        let (first, differing) = (first.unwrap_or(piece.start()), None);
        Err(self.changed(SourceChange::Content { first, differing }))
    }

    /// The first byte of `range` that the source has and `written` has not.
    fn first_in(&self, written: &dyn Source, range: ByteRange) -> Option<u64> {
        let to = |part: ByteRange| Some(self.mapping.to_destination(part));
        let (source, done) = (self.origin.source(), RangeSet::from(range));
        Sides { source: &*source, destination: written, done: &done, to }.first_in(range)
    }

    /// The pieces of the source that do not have their fingerprint any more.
    fn read_again(
        &self,
        taken: &[Fingerprint],
        threads: usize,
        watch: Watch<'_>,
    ) -> (RangeSet, Result<()>) {
        let (source, control) = (self.origin.source(), self.options.control(self.io_size, watch));
        let again = Again {
            source: &*source,
            source_path: self.origin.path(),
            sector: self.origin.sector().into(),
            control: &Control { on_read_error: OnReadError::Stop, ..control },
            page_cache: &self.options.page_cache(CacheState::Mixed, bytes_of(taken), false),
            threads,
        };
        again.run(taken)
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

fn bytes_of(fingerprints: &[Fingerprint]) -> u64 {
    fingerprints.iter().map(|taken| taken.range.len()).sum()
}
