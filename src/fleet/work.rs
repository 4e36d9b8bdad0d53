//! A range that several processes copy: what one of them does with a
//! shard, and its report.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::crew::{All, Crew, Done, Labour};
use super::finish::Finish;
use super::hold::Hold;
use super::join::Joined;
use super::record::{Finished, Record, Turn, Unreadable, in_hex, now};
use super::whole::Piece;
use crate::digest::{Algorithm, Digest, Expectation};
use crate::endpoint::{Origin, source_report};
use crate::error::Result;
use crate::io::guarded::Guard;
use crate::job::{CopyJob, VerifyJob};
use crate::options::Options;
use crate::progress::Watch;
use crate::range::ByteRange;
use crate::report::{DestinationReport, FailedRange, Outcome, Report};

/// One process at work on a range.
pub struct Work<'a> {
    pub crew: Crew<'a>,
    pub joined: &'a Joined,
    pub origin: Arc<dyn Origin>,
    pub options: &'a Options,
}

impl Labour for Work<'_> {
    fn copy(&self, hold: &Hold<'_>, turn: Turn, has_others: bool) -> Result<Record> {
        let begun = now();
        let range = self.crew.shards.ranges[turn.shard as usize];
        let job = &self.joined.plan.job;
        let gate = Arc::clone(hold.gate());
        let guard: Guard = Arc::new(move || gate.check());
        let Piece { end, sent } = self.joined.whole.piece(job, guard)?;
        let mut options = job.options_of(range, self.options);
        // Another one compares it.
        options.verify &= !(self.crew.shards.checks && has_others);
        let copy = CopyJob::part(Arc::clone(&self.origin), end, job.range).options(options);
        let report = copy.run_watched(Watch::new(&hold.progress, &hold.cancel));
        let report = report.map_err(|failure| failure.into_error())?;
        Ok(Record {
            plan: self.joined.plan.id.clone(),
            shard: turn.shard,
            range,
            copied: report.bytes.copied,
            holes: report.bytes.holes,
            failed: report.failed.iter().filter_map(unreadable).collect(),
            digests: in_hex(&report.digests),
            verified: report.verified,
            by: self.crew.process.clone(),
            begun,
            ended: now(),
            items: Vec::new(),
            parts: sent(),
        })
    }

    fn check(&self, hold: &Hold<'_>, shard: u32) -> Result<()> {
        let range = self.crew.shards.ranges[shard as usize];
        self.compare(hold, range, &self.joined.whole.draft_path())
    }

    fn finish(&self, hold: &Hold<'_>, all: &All<'_>) -> Result<Finished> {
        Finish { work: self, hold, records: all.records, checks: all.checks }.run()
    }
}

impl Work<'_> {
    /// Compares `range` of the source with what was written, which is the file at `path`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::VerifyMismatch`], or that either side cannot be had.
    pub fn compare(&self, hold: &Hold<'_>, range: ByteRange, path: &Path) -> Result<()> {
        let job = &self.joined.plan.job;
        let mut wanted = job.options_of(range, self.options);
        wanted.digests.clear();
        let verify = VerifyJob::new(job.source.path.path(), path).options(wanted);
        let watch = Watch::new(&hold.progress, &hold.cancel);
        verify.run_watched(watch).map(drop).map_err(|failure| failure.into_error())
    }

    /// The report of this process, of which the job has come to its end.
    pub fn report(&self, done: &Done, finished: &Finished) -> Report {
        let mut report = self.report_so_far(done);
        report.outcome = match finished.failed.is_empty() {
            true => Outcome::Complete,
            false => Outcome::Partial,
        };
        report.failed = finished.failed.iter().map(failed_range).collect();
        report.bytes.failed = finished.failed.iter().map(|part| part.range.len()).sum();
        report.bytes.holes = finished.holes;
        let by_others = finished.copied.saturating_sub(done.copied);
        report.bytes.resumed = by_others;
        report.digests = digests(&finished.digests);
        report.verified = finished.verified;
        report.durable = self.joined.plan.job.options.sync;
        report.notes.extend(finished.notes.iter().cloned());
        report
    }

    /// The report of this process, of which the job has not.
    pub fn report_so_far(&self, done: &Done) -> Report {
        let job = &self.joined.plan.job;
        let whole = &self.joined.whole;
        let destination = DestinationReport::new(whole.path().to_owned(), whole.kind());
        let mut report = Report::new(source_report(&*self.origin), destination);
        (report.range, report.dest_offset) = (job.range, job.dest_offset);
        report.bytes.requested = Some(job.range.len());
        (report.bytes.copied, report.bytes.holes) = (done.copied, done.holes);
        let (ours, all) = (done.shards, self.crew.shards.ranges.len());
        report.notes.push(format!("this process copied {ours} of {all} shards"));
        if done.checked > 0 {
            report.notes.push(format!("this process read back {} of them", done.checked));
        }
        report.notes.extend(done.notes.iter().cloned());
        report.seconds.copy = done.seconds;
        report.seconds.total = done.seconds;
        if done.seconds > 0.0 {
            report.bytes_per_second = done.copied as f64 / done.seconds;
        }
        report
    }
}

/// What could not be read, as it is stored.
pub fn unreadable(failed: &FailedRange) -> Option<Unreadable> {
    let range = ByteRange::new(failed.start, failed.end)?;
    Some(Unreadable { range, error: failed.error.clone() })
}

/// The same as it is reported.
pub fn failed_range(part: &Unreadable) -> FailedRange {
    FailedRange { start: part.range.start(), end: part.range.end(), error: part.error.clone() }
}

/// Digests that were stored.
pub fn digests(stored: &BTreeMap<Algorithm, String>) -> Vec<Digest> {
    let of = |(algorithm, hex): (&_, &String)| Expectation::new(*algorithm, hex).ok();
    stored.iter().filter_map(of).map(|expected| expected.digest().clone()).collect()
}
