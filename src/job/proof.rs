//! Proving a copy before it is committed: the destination is read back and
//! compared, repaired once if that is asked for, and the digests are looked at.

use std::path::Path;
use std::sync::Arc;

use super::CopyJob;
use super::clock::Clock;
use super::ready::{Ready, Stripes};
use crate::digest::Digester;
use crate::durable::checkpoint::Checkpointer;
use crate::durable::stage::Stage;
use crate::durable::target::Target;
use crate::engine::Positioned;
use crate::error::{Error, ErrorKind, Result};
use crate::io::fingerprint::Fingerprint;
use crate::io::page_cache::CacheState;
use crate::io::{Held, as_u64, transfer};
use crate::plan::{Cursor, Plan};
use crate::pool::controller::Workers;
use crate::pool::{self, Control, Observers, OnReadError, Transfer};
use crate::progress::{CancelToken, Phase, Progress, Watch};
use crate::range::{ByteRange, Failed, RangeSet};
use crate::report::Report;
use crate::size::Size;
use crate::source::OpenSource;
use crate::sys::FileKind;
use crate::verify::compare::{Comparison, Findings, Reading};
use crate::verify::read_back::ReadBack;

/// What is known not to be done is widened to whole blocks of the page cache,
/// so that no block is half trusted.
const BLOCK: u64 = 4096;

impl CopyJob {
    /// Reads back what is to be verified, and compares the digests with what
    /// is expected; then writes what comes last, and reads that back, too.
    pub(super) fn prove(
        &self,
        ready: &mut Ready,
        stage: &Stage,
        ledger: Ledger<'_>,
        clock: &mut Clock,
        watch: Watch<'_>,
    ) -> Result<()> {
        if ready.verify {
            watch.progress.enter(Phase::Verifying);
            let verified = self.verify_and_repair(ready, stage, ledger, watch);
            clock.verified();
            verified?;
        }
        ready.check_digests(&self.options.expected)?;
        self.write_head(ready, stage, ledger)?;
        if self.options.preserve {
            // Reading back changes the time of access, so this comes after it.
            let lost = stage.preserve(&ready.source, self.options.sync)?;
            ready.report.notes.extend(lost);
        }
        Ok(())
    }

    /// Owner, mode and times are those of a file, not of a part of one.
    pub(super) fn check_preserve(
        &self,
        source: &OpenSource,
        target: &Target,
        from: ByteRange,
    ) -> Result<()> {
        let whole = source.facts.node == FileKind::File
            && from == ByteRange::to(source.facts.size)
            && self.options.dest_offset == Size::Bytes(0)
            && matches!(target, Target::Staged(_));
        if self.options.preserve && !whole {
            let reason = "--preserve is for a whole file that is copied to a file of its own";
            return Err(ErrorKind::Usage(reason.to_owned()).into());
        }
        Ok(())
    }

    /// How up to `bytes` are read back.
    pub(super) fn reading(&self, bytes: u64) -> Reading {
        Reading {
            page_cache: self.options.page_cache(CacheState::Mixed, bytes, false),
            throttle: self.options.throttle(),
            retries: self.options.retries,
            // It has been read a moment ago.
            sector: None,
        }
    }

    /// Writes what comes last, and reads it back. It is compared with what was
    /// written and not with the source, which may have changed since: what is
    /// there must be of one piece.
    fn write_head(&self, ready: &mut Ready, stage: &Stage, ledger: Ledger<'_>) -> Result<()> {
        let head = stage.write_head(self.options.sync)?;
        if !ready.verify || head.is_empty() {
            return Ok(());
        }
        let (mut wrong, mut reasons) = differing(stage, &head)?;
        if !wrong.is_empty() && self.options.repair {
            for held in &head {
                transfer::write_full(&**stage.io(), held.at, &held.bytes).map_err(|stop| {
                    let range = ByteRange::between(held.at, held.at + as_u64(held.bytes.len()));
                    let path = stage.path().to_owned();
                    ErrorKind::Write { path, range, source: stop.error }
                })?;
            }
            stage.sync()?;
            let bytes = wrong.bytes();
            ready.report.notes.push(format!("{bytes} bytes of the first ones differed; repaired"));
            (wrong, reasons) = differing(stage, &head)?;
        }
        let wrong = ready.copied().to_source(&wrong);
        let Some(first) = wrong.iter().next() else { return Ok(()) };
        ledger.invalidate_ranges(&wrong, ready.report.range)?;
        ready.report.verified = Some(false);
        ready.report.mismatches = wrong.iter().collect();
        ready.report.notes.extend(reasons);
        Err(ready.copied().mismatch(stage.path(), first))
    }

    fn verify_and_repair(
        &self,
        ready: &mut Ready,
        stage: &Stage,
        ledger: Ledger<'_>,
        watch: Watch<'_>,
    ) -> Result<()> {
        let copied = &ready.report.failed_set().missing_from(ready.report.range);
        let fingerprints = ledger.transfer.observers().take_fingerprints();
        let reading = self.reading(copied.bytes());
        let (mut findings, ended) = ready.compare(stage, copied, &fingerprints, &reading, watch);
        // At once: what comes next may fail, and nobody must go on from this.
        ledger.invalidate_ranges(&findings.differing, ready.report.range)?;
        ended?;
        if !findings.pieces.is_empty() && self.options.repair {
            findings = self.repair_once(ready, stage, ledger, &findings, watch)?;
        }
        ready.report.verified = Some(findings.pieces.is_empty());
        ready.report.mismatches = findings.differing.iter().collect();
        let Some(range) = findings.differing.iter().next() else { return Ok(()) };
        for Failed { range, error } in findings.unreadable {
            ready.report.notes.push(format!("cannot read back the copy of bytes {range}: {error}"));
        }
        Err(ready.copied().mismatch(stage.path(), range))
    }

    /// Copies the stripes that differ once more, and compares them again.
    fn repair_once(
        &self,
        ready: &mut Ready,
        stage: &Stage,
        ledger: Ledger<'_>,
        found: &Findings,
        watch: Watch<'_>,
    ) -> Result<Findings> {
        // They are written as a whole, so as a whole they are in doubt.
        ledger.invalidate_ranges(&found.pieces, ready.report.range)?;
        self.copy_again(ready, stage, &found.pieces, watch.cancel)?;
        stage.sync()?;
        let reading = self.reading(found.pieces.bytes());
        let (findings, ended) = ready.compare(stage, &found.pieces, &[], &reading, watch);
        ended?;
        if findings.pieces.is_empty() {
            ledger.checkpointer.restore(ledger.transfer)?;
        }
        let bytes = found.differing.bytes();
        let note = format!("{bytes} bytes differed after the copy; their stripes were repaired");
        ready.report.notes.push(note);
        self.digest_again(ready, stage, watch.cancel)?;
        Ok(findings)
    }

    /// Copies `pieces` once more, by the plainest way there is.
    fn copy_again(
        &self,
        ready: &Ready,
        stage: &Stage,
        pieces: &RangeSet,
        cancel: &CancelToken,
    ) -> Result<()> {
        let transfer = ready.plain_transfer(stage);
        self.run_again(ready, transfer, pieces, cancel).map(drop)
    }

    /// The digests were of what was read before; after a repair they are taken
    /// from the destination.
    fn digest_again(&self, ready: &mut Ready, stage: &Stage, cancel: &CancelToken) -> Result<()> {
        if ready.report.digests.is_empty() {
            return Ok(());
        }
        let whole = RangeSet::from(ready.report.range);
        let digester = Digester::new(&ready.digests, ready.report.range);
        let (earlier, back) = (whole.clone(), stage.io().clone());
        let observers = Observers::none().digests(digester).settled(RangeSet::new(), earlier, back);
        let transfer = ready.plain_transfer(stage).observed(observers);
        let transfer = self.run_again(ready, transfer, &whole, cancel)?;
        ready.report.digests = transfer.observers().take_digests().unwrap_or_default();
        Ok(())
    }

    fn run_again(
        &self,
        ready: &Ready,
        transfer: Transfer,
        pieces: &RangeSet,
        cancel: &CancelToken,
    ) -> Result<Arc<Transfer>> {
        // The counters are those of the copy, which is over.
        let progress = Progress::new();
        let watch = Watch { progress: &progress, cancel };
        let control = self.options.control(ready.report.io_size, watch);
        let control = Control { on_read_error: OnReadError::Stop, ..control };
        let plan = ready.copied().plan_of(pieces);
        let transfer = Arc::new(transfer);
        let work = Stripes { transfer: Arc::clone(&transfer), cursor: Cursor::new(&plan) };
        let workers = Workers::Exactly(ready.report.threads.max(1));
        let controller = workers.controller(plan.stripes(), ready.report.io_size);
        pool::run(&control, &work, controller).1?;
        Ok(transfer)
    }
}

/// Where the destination has other bytes than `head`, which was written last,
/// and why that cannot be read where it cannot.
pub fn differing(stage: &Stage, head: &[Held]) -> Result<(RangeSet, Vec<String>)> {
    let medium = ReadBack::new(stage.io());
    let (mut wrong, mut reasons) = (RangeSet::new(), Vec::new());
    for held in head {
        let (found, reason) = medium.differing(held)?;
        wrong.merge(&found);
        reasons.extend(reason.map(|why| format!("the first bytes cannot be read back: {why}")));
    }
    Ok((wrong, reasons))
}

/// What is known to be done, and the map that says so.
#[derive(Clone, Copy)]
pub struct Ledger<'a> {
    pub transfer: &'a Transfer,
    pub checkpointer: &'a Checkpointer,
}

impl Ledger<'_> {
    /// Takes back that `wrong`, a part of `range`, is done.
    pub(super) fn invalidate_ranges(self, wrong: &RangeSet, range: ByteRange) -> Result<()> {
        let wrong = wrong.iter().map(|part| part.align_out(BLOCK).intersect(range)).collect();
        self.checkpointer.invalidate_ranges(self.transfer, &wrong)
    }
}

impl Ready {
    /// The copy, as far as reading it back needs to know it.
    fn copied(&self) -> Copied<'_> {
        Copied { source: &self.source, report: &self.report }
    }

    /// Compares `ranges` of the destination with `fingerprints` where there
    /// are any, and with the source where not.
    fn compare(
        &mut self,
        stage: &Stage,
        ranges: &RangeSet,
        fingerprints: &[Fingerprint],
        reading: &Reading,
        watch: Watch<'_>,
    ) -> (Findings, Result<()>) {
        let medium = ReadBack::new(stage.io());
        let found = self.copied().compare(&medium, ranges, fingerprints, reading, watch);
        if self.report.verified_by.is_none() {
            self.report.notes.extend(medium.note());
        }
        self.report.verified_by = Some(medium.how());
        found
    }

    /// A transfer by the plainest way there is, that nobody looks at.
    fn plain_transfer(&self, stage: &Stage) -> Transfer {
        Transfer::new(
            (self.source.io.clone(), self.source.path.clone()),
            (stage.io().clone(), stage.path().to_owned()),
            self.report.range,
            self.to.start(),
            self.source.sector(),
            vec![Box::new(Positioned)],
        )
    }
}

/// A copy, as far as reading it back needs to know it.
pub struct Copied<'a> {
    pub source: &'a OpenSource,
    pub report: &'a Report,
}

impl Copied<'_> {
    /// Compares `ranges` with `fingerprints` where there are any, and with the
    /// source where not.
    pub fn compare(
        &self,
        medium: &ReadBack,
        ranges: &RangeSet,
        fingerprints: &[Fingerprint],
        reading: &Reading,
        Watch { progress, cancel }: Watch<'_>,
    ) -> (Findings, Result<()>) {
        let comparison = Comparison {
            source: &*self.source.io,
            source_path: &self.source.path,
            reading,
            medium,
            range: self.report.range,
            dest_offset: self.report.dest_offset,
            digester: None,
            io_size: self.report.io_size,
            threads: self.report.threads,
        };
        let mut rest = ranges.clone();
        rest.subtract(&fingerprints.iter().map(|fingerprint| fingerprint.range).collect());
        let to_read = rest.bytes();
        rest.subtract(&comparison.holes());
        progress.add_verified(to_read - rest.bytes());
        comparison.run(fingerprints, &self.plan_of(&rest), progress, cancel)
    }

    /// The bytes of the source that went to `written` of the destination.
    pub fn to_source(&self, written: &RangeSet) -> RangeSet {
        let Report { range, dest_offset, .. } = *self.report;
        written.iter().filter_map(|part| part.rebase(dest_offset, range.start())).collect()
    }

    /// The error for a destination at `path` in which `range` is the first that differs.
    pub fn mismatch(&self, path: &Path, range: ByteRange) -> Error {
        let stripes = self.plan_of(&self.report.range.into());
        let stripe = stripes.iter().find(|stripe| stripe.end() > range.start()).unwrap_or(range);
        ErrorKind::VerifyMismatch { path: path.to_owned(), range, stripe }.into()
    }

    /// The stripes of `pieces`, on the grid of the copy.
    fn plan_of(&self, pieces: &RangeSet) -> Plan {
        let origin = self.report.range.start().wrapping_sub(self.report.dest_offset);
        Plan::new(pieces, origin, self.report.stripe_size)
    }
}
