//! Proving a copy before it is committed. Each destination is read back,
//! compared and, if asked for, repaired once. Then the deferred prefix is
//! written, read back and compared.

use super::branch::Branch;
use super::moving::{Moved, Sent};
use super::resolve::Task;
use crate::error::{Error, ErrorKind, Result};
use crate::io::fingerprint::Fingerprint;
use crate::io::page_cache::CacheState;
use crate::io::{Held, as_u64, transfer};
use crate::pool::{Control, Observers, OnReadError, Transfer};
use crate::progress::Watch;
use crate::range::{ByteRange, Failed, RangeSet};
use crate::verify::compare::{Comparison, Findings};
use crate::verify::read_back::ReadBack;

/// What a comparison needs besides the destination.
struct Proof<'a> {
    task: &'a Task<'a>,
    transfer: &'a Transfer,
    fingerprints: &'a [Fingerprint],
    threads: usize,
    watch: Watch<'a>,
}

/// What the comparison of one destination says.
#[derive(Default)]
struct Verdict {
    verified_by: Option<&'static str>,
    mismatches: Vec<ByteRange>,
    notes: Vec<String>,
    /// Digests of what is there now, where it was repaired.
    digests: Option<Vec<crate::digest::Digest>>,
    /// The same of the pieces.
    pieces: Vec<crate::digest::PieceDigests>,
}

impl Task<'_> {
    /// Compares every destination with what was read, of which there are `fingerprints`.
    ///
    /// # Errors
    ///
    /// If the only destination differs, or the comparison was stopped.
    pub fn verify(
        &mut self,
        sent: &Sent,
        fingerprints: &[Fingerprint],
        moved: &mut Moved,
        watch: Watch<'_>,
    ) -> Result<()> {
        let copied = moved.read(&self.wanted);
        for number in 0..self.branches.len() {
            if self.branches[number].draft.is_none() {
                continue;
            }
            let proof = Proof {
                task: self,
                transfer: &sent.transfer,
                fingerprints,
                threads: moved.threads,
                watch,
            };
            let mut verdict = Verdict::default();
            let result = proof.verify(&self.branches[number], &copied, &mut verdict);
            moved.take_notes(verdict.notes);
            // Those of a destination that stays wrong are of no use to the others.
            if let Some(digests) = verdict.digests.filter(|_| result.is_ok() || self.is_alone()) {
                (moved.digests, moved.pieces) = (digests, verdict.pieces);
            }
            let branch = &mut self.branches[number];
            branch.verified_by = verdict.verified_by;
            branch.mismatches = verdict.mismatches;
            if !result.as_ref().is_err_and(|error| !is_mismatch(error)) {
                branch.verified = Some(branch.mismatches.is_empty());
            }
            self.settle_result(number, result)?;
        }
        Ok(())
    }

    /// Writes what comes last, and reads it back.
    ///
    /// # Errors
    ///
    /// If the only destination does not take it.
    pub fn write_deferred(&mut self, sent: &Sent, moved: &mut Moved) -> Result<()> {
        for number in 0..self.branches.len() {
            let mut notes = Vec::new();
            let result = self.write_deferred_of(number, sent, &mut notes);
            moved.take_notes(notes);
            self.settle_result(number, result)?;
        }
        Ok(())
    }

    /// It is compared with what was written and not with the source, which may
    /// have changed since: what is there must be of one piece.
    fn write_deferred_of(
        &mut self,
        number: usize,
        sent: &Sent,
        notes: &mut Vec<String>,
    ) -> Result<()> {
        let branch = &self.branches[number];
        let Some(draft) = &branch.draft else { return Ok(()) };
        let held = draft.write_deferred(self.options.sync)?;
        if !self.options.verifies() || held.is_empty() {
            return Ok(());
        }
        let Some(medium) = draft.read_back() else { return Ok(()) };
        let (mut wrong, mut reasons) = differing(&medium, &held)?;
        if !wrong.is_empty() && self.options.repair {
            for held in &held {
                transfer::write_full(&*draft.sink(), held.at, &held.bytes).map_err(|stop| {
                    let range = ByteRange::between(held.at, held.at + as_u64(held.bytes.len()));
                    branch.write_error(Some(range), stop.error)
                })?;
            }
            draft.sync()?;
            let bytes = wrong.bytes();
            notes.push(format!("{bytes} bytes of the first ones differed; repaired"));
            let medium = draft.read_back().unwrap_or(medium);
            (wrong, reasons) = differing(&medium, &held)?;
        }
        let wrong = self.mapping.set_to_source(&wrong);
        let Some(first) = wrong.iter().next() else { return Ok(()) };
        branch.invalidate(&sent.transfer, &wrong)?;
        notes.extend(reasons);
        let error = self.mismatch(branch, first);
        let branch = &mut self.branches[number];
        branch.verified = Some(false);
        branch.mismatches = wrong.iter().collect();
        Err(error)
    }

    /// Compares `ranges` of a destination with the source as it is now.
    pub fn compare_again(
        &self,
        branch: &Branch,
        ranges: &RangeSet,
        threads: usize,
        watch: Watch<'_>,
    ) -> (Findings, Result<()>) {
        let Some(medium) = branch.draft.as_ref().and_then(|draft| draft.read_back()) else {
            return (Findings::default(), Ok(()));
        };
        self.compare(&medium, ranges, &[], threads, watch)
    }

    /// Compares `ranges` of a destination with `fingerprints` where there are
    /// any, and with the source where not.
    fn compare(
        &self,
        medium: &ReadBack,
        ranges: &RangeSet,
        fingerprints: &[Fingerprint],
        threads: usize,
        watch: Watch<'_>,
    ) -> (Findings, Result<()>) {
        let (source, control) = (self.origin.source(), self.options.control(self.io_size, watch));
        let comparison = Comparison {
            source: &*source,
            source_path: self.origin.path(),
            sector: self.origin.sector().into(),
            // It has been read a moment ago.
            control: &Control { on_read_error: OnReadError::Stop, ..control },
            page_cache: &self.options.page_cache(CacheState::Mixed, ranges.bytes(), false),
            medium,
            mapping: self.mapping,
            digester: None,
            threads,
        };
        let mut rest = ranges.clone();
        rest.subtract(&fingerprints.iter().map(|fingerprint| fingerprint.range).collect());
        let to_read = rest.bytes();
        rest.subtract(&comparison.holes());
        watch.progress.add_verified(to_read - rest.bytes());
        comparison.run(fingerprints, &self.stripes_of(&rest))
    }

    /// The error for a destination in which `range` is the first that differs.
    fn mismatch(&self, branch: &Branch, range: ByteRange) -> Error {
        let stripes = self.stripes_of(&self.mapping.from().into());
        let stripe = stripes.iter().find(|stripe| stripe.end() > range.start()).unwrap_or(range);
        let path = branch.draft.as_ref().map_or(branch.path(), |draft| draft.path()).to_owned();
        ErrorKind::VerifyMismatch { path, range, stripe }.into()
    }
}

impl Proof<'_> {
    fn verify(&self, branch: &Branch, copied: &RangeSet, verdict: &mut Verdict) -> Result<()> {
        let (mut found, ended) = self.compare(branch, copied, self.fingerprints, verdict);
        // At once: what comes next may fail, and no run must resume from this.
        branch.invalidate(self.transfer, &found.differing)?;
        ended?;
        if !found.pieces.is_empty() && self.task.options.repair {
            found = self.repair(branch, &found, verdict)?;
        }
        verdict.mismatches = found.differing.iter().collect();
        let Some(first) = found.differing.iter().next() else { return Ok(()) };
        for Failed { range, error } in found.unreadable {
            let note = format!("cannot read back the copy of bytes {range}: {error}");
            verdict.notes.push(note);
        }
        Err(self.task.mismatch(branch, first))
    }

    /// Compares `ranges` of a destination with `fingerprints` where there are
    /// any, and with the source where not.
    fn compare(
        &self,
        branch: &Branch,
        ranges: &RangeSet,
        fingerprints: &[Fingerprint],
        verdict: &mut Verdict,
    ) -> (Findings, Result<()>) {
        let Some(medium) = branch.draft.as_ref().and_then(|draft| draft.read_back()) else {
            return (Findings::default(), Ok(()));
        };
        let (threads, watch) = (self.threads, self.watch);
        let found = self.task.compare(&medium, ranges, fingerprints, threads, watch);
        if verdict.verified_by.is_none() {
            verdict.notes.extend(medium.note());
        }
        verdict.verified_by = Some(medium.how());
        found
    }

    /// Copies the stripes that differ once more, and compares them again.
    fn repair(&self, branch: &Branch, found: &Findings, verdict: &mut Verdict) -> Result<Findings> {
        // They are written as a whole, so as a whole they are in doubt.
        branch.invalidate(self.transfer, &found.pieces)?;
        self.task.copy_again(branch, &found.pieces, Observers::none(), self.threads, self.watch)?;
        if let Some(draft) = &branch.draft {
            draft.sync()?;
        }
        let (again, ended) = self.compare(branch, &found.pieces, &[], verdict);
        ended?;
        if again.pieces.is_empty()
            && let Some(checkpointer) = &branch.checkpointer
        {
            checkpointer.restore(&branch.ledger(self.transfer, None))?;
        }
        let bytes = found.differing.bytes();
        let note = format!("{bytes} bytes differed after the copy; their stripes were repaired");
        verdict.notes.push(note);
        self.digest_again(branch, verdict)?;
        Ok(again)
    }

    /// The digests were of what was read before; after a repair they are taken
    /// from the destination.
    fn digest_again(&self, branch: &Branch, verdict: &mut Verdict) -> Result<()> {
        let (task, range) = (self.task, self.task.mapping.from());
        let back = branch.draft.as_ref().and_then(|draft| draft.written());
        let Some(back) = back.filter(|_| !task.digests.is_empty()) else { return Ok(()) };
        let whole = RangeSet::from(range);
        let (wanted, others) = (task.wanted.clone(), task.wanted.missing_from(range));
        let observers = Observers::none().digests(task.digester()).settled(others, wanted, back);
        let transfer = task.copy_again(branch, &whole, observers, self.threads, self.watch)?;
        verdict.pieces = transfer.observers().take_pieces();
        verdict.digests = transfer.observers().take_digests();
        Ok(())
    }
}

/// Whether the destination was read, and is not what it should be.
fn is_mismatch(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::VerifyMismatch { .. })
}

/// Where a destination has other bytes than `held`, which was written last, and
/// why that cannot be read where it cannot.
fn differing(medium: &ReadBack, held: &[Held]) -> Result<(RangeSet, Vec<String>)> {
    let (mut wrong, mut reasons) = (RangeSet::new(), Vec::new());
    for held in held {
        let (found, reason) = medium.differing(held)?;
        wrong.merge(&found);
        reasons.extend(reason.map(|why| format!("the first bytes cannot be read back: {why}")));
    }
    Ok((wrong, reasons))
}
