//! Proving a copy before it is committed: the destination is read back and
//! compared, repaired once if that is asked for, and the digests are looked at.

use std::path::Path;
use std::sync::Arc;

use super::CopyJob;
use super::clock::Clock;
use super::ready::{Ready, Stripes};
use crate::crew::controller::Workers;
use crate::crew::{self, Control, OnReadError, Tap, Transfer};
use crate::digest::Digester;
use crate::durable::stage::Stage;
use crate::durable::target::Target;
use crate::engine::Positioned;
use crate::error::{Error, ErrorKind, Result};
use crate::plan::{Cursor, Plan};
use crate::progress::{CancelToken, Phase, Progress};
use crate::range::{ByteRange, RangeSet};
use crate::report::Report;
use crate::size::Size;
use crate::source::OpenSource;
use crate::sys::Node;
use crate::verify::compare::{Comparison, Findings};
use crate::verify::fingerprint::Fingerprint;
use crate::verify::medium::Medium;

/// What is known not to be done is widened to whole blocks of the page cache,
/// so that no block is half trusted.
const BLOCK: u64 = 4096;

impl CopyJob {
    pub(super) fn check_options(&self) -> Result<()> {
        if (self.verify || self.repair) && !self.sync {
            let reason = "--verify reads what is on the disk; it cannot go with --no-sync";
            return Err(ErrorKind::Usage(reason.to_owned()).into());
        }
        Ok(())
    }

    /// Reads back what is to be verified, and compares the digests with what
    /// is expected.
    pub(super) fn prove(
        &self,
        ready: &mut Ready,
        stage: &Stage,
        transfer: &Transfer,
        clock: &mut Clock,
        watch: (&Progress, &CancelToken),
    ) -> Result<()> {
        if ready.verify {
            watch.0.enter(Phase::Verifying);
            let verified = self.verify_and_repair(ready, stage, transfer, watch);
            clock.verified();
            verified?;
        }
        ready.check_digests(&self.expected)?;
        if self.preserve {
            // Reading back changes the time of access, so this comes after it.
            let lost = stage.preserve(&ready.source, self.sync)?;
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
        let whole = source.facts.node == Node::File
            && from == ByteRange::to(source.facts.size)
            && self.dest_offset == Size::Bytes(0)
            && matches!(target, Target::Staged(_));
        if self.preserve && !whole {
            let reason = "--preserve is for a whole file that is copied to a file of its own";
            return Err(ErrorKind::Usage(reason.to_owned()).into());
        }
        Ok(())
    }

    fn verify_and_repair(
        &self,
        ready: &mut Ready,
        stage: &Stage,
        transfer: &Transfer,
        watch: (&Progress, &CancelToken),
    ) -> Result<()> {
        let copied = ready.report.failed_set().missing_from(ready.report.range);
        let fingerprints = transfer.tap().take_fingerprints();
        let mut findings = ready.compare(stage, &copied, &fingerprints, watch)?;
        if !findings.pieces.is_empty() && self.repair {
            let (bytes, stripes) = (findings.differing.bytes(), &findings.pieces);
            let note =
                format!("{bytes} bytes differed after the copy; their stripes were repaired");
            self.copy_again(ready, stage, stripes, watch.1)?;
            stage.sync()?;
            findings = ready.compare(stage, &findings.pieces, &[], watch)?;
            ready.report.notes.push(note);
            self.digest_again(ready, stage, watch.1)?;
        }
        ready.report.verified = Some(findings.pieces.is_empty());
        ready.report.mismatches = findings.differing.iter().collect();
        let Some(range) = findings.differing.iter().next() else { return Ok(()) };
        let wrong = |range: ByteRange| range.align_out(BLOCK).intersect(ready.report.range);
        transfer.distrust(&findings.differing.iter().map(wrong).collect());
        for (range, error) in findings.unreadable {
            ready.report.notes.push(format!("cannot read back the copy of bytes {range}: {error}"));
        }
        Err(ready.copied().mismatch(stage.path(), range))
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
        let tap = Tap::none().digests(digester).settled(RangeSet::new(), earlier, back);
        let transfer = ready.plain_transfer(stage).tapped(tap);
        let transfer = self.run_again(ready, transfer, &whole, cancel)?;
        ready.report.digests = transfer.tap().take_digests().unwrap_or_default();
        Ok(())
    }

    fn run_again(
        &self,
        ready: &Ready,
        transfer: Transfer,
        pieces: &RangeSet,
        cancel: &CancelToken,
    ) -> Result<Arc<Transfer>> {
        let control = Control {
            // The counters are those of the copy, which is over.
            progress: &Progress::new(),
            cancel,
            io_size: ready.report.io_size,
            retries: self.retries,
            on_read_error: OnReadError::Stop,
            throttle: None,
        };
        let plan = ready.copied().plan_of(pieces);
        let transfer = Arc::new(transfer);
        let work = Stripes { transfer: Arc::clone(&transfer), cursor: Cursor::new(&plan) };
        let workers = Workers::Exactly(ready.report.threads.max(1));
        crew::run(&control, &work, workers.controller(plan.stripes(), ready.report.io_size))?;
        Ok(transfer)
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
        watch: (&Progress, &CancelToken),
    ) -> Result<Findings> {
        let medium = Medium::new(stage.io());
        let findings = self.copied().compare(&medium, ranges, fingerprints, watch)?;
        if self.report.verified_by.is_none() {
            self.report.notes.extend(medium.note());
        }
        self.report.verified_by = Some(medium.how());
        Ok(findings)
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
        medium: &Medium,
        ranges: &RangeSet,
        fingerprints: &[Fingerprint],
        (progress, cancel): (&Progress, &CancelToken),
    ) -> Result<Findings> {
        let mut rest = ranges.clone();
        rest.subtract(&fingerprints.iter().map(|fingerprint| fingerprint.range).collect());
        let comparison = Comparison {
            source: &*self.source.io,
            source_path: &self.source.path,
            medium,
            range: self.report.range,
            dest_offset: self.report.dest_offset,
            digester: None,
            io_size: self.report.io_size,
            threads: self.report.threads,
        };
        comparison.run(fingerprints, &self.plan_of(&rest), progress, cancel)
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
