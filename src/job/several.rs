//! One read, several destinations: each is staged, verified and committed on
//! its own, and one that fails does not stop the others.
//!
//! What is read goes to every destination before the next request is read, so
//! the slowest sets the pace and nothing piles up. There is no map: what is not
//! committed is removed, and what a killed run left is begun anew if the user
//! says so.

mod place;

use std::sync::Arc;

use super::clock::Clock;
use super::proof::{Copied, differing};
use super::ready::{Stripes, check_unchanged, failed_ranges, identity};
use super::{CopyJob, Preallocate, with_report};
use crate::digest::{self, Digester};
use crate::durable::intact::Written;
use crate::durable::previous::{self, Leftovers, Start};
use crate::durable::stage::{self, Stage, StageShape};
use crate::durable::target::Target;
use crate::durable::trust::Examiner;
use crate::engine::capabilities::{End, cache_state, end_of_source, end_of_target};
use crate::engine::{Positioned, Reflink};
use crate::error::{Error, ErrorKind, JobResult, Result};
use crate::io::Fanout;
use crate::io::fingerprint::Fingerprint;
use crate::io::page_cache::CacheState;
use crate::plan::{Cursor, Plan};
use crate::pool::controller::Workers;
use crate::pool::{self, Observers, Transfer};
use crate::progress::{CancelToken, Phase, Progress, Watch};
use crate::range::{ByteRange, RangeSet};
use crate::report::{AlsoReport, Outcome, Report};
use crate::safety;
use crate::source::OpenSource;
use crate::sparse::{Layout, Zeros};
use crate::verify::compare::Reading;
use crate::verify::read_back::ReadBack;
use place::{Place, check_distinct};

/// A copy to several destinations that has passed every check.
struct Several {
    source: OpenSource,
    to: ByteRange,
    plan: Plan,
    /// Holes that all destinations have, too.
    kept_holes: RangeSet,
    /// What becomes of zeros.
    zeros: Zeros,
    /// What is written is a part of the source, outside the range that is read.
    writes_source: bool,
    /// How much of the source is in the page cache.
    cache_state: CacheState,
    workers: Workers,
    places: Vec<Place>,
    report: Report,
}

impl CopyJob {
    pub(super) fn run_to_several(
        &self,
        Watch { progress, cancel }: Watch<'_>,
    ) -> JobResult<Report> {
        let mut job = self.prepare_several(progress)?;
        let mut clock = Clock::start();
        let result = self.copy_to_several(&mut job, &mut clock, Watch { progress, cancel });
        progress.enter(Phase::Finished);
        clock.read(&mut job.report);
        let result = result.and_then(|()| job.first_error().map_or(Ok(()), Err));
        let report = job.into_report();
        match result {
            Ok(()) => Ok(report),
            Err(error) => Err(with_report(error, report)),
        }
    }

    pub(super) fn dry_run_to_several(&self, progress: &Progress) -> JobResult<Report> {
        let mut job = self.prepare_several(progress)?;
        job.report.outcome = Outcome::Complete;
        job.report.notes.push("dry run: nothing was written".to_owned());
        Ok(job.into_report())
    }

    fn prepare_several(&self, progress: &Progress) -> Result<Several> {
        progress.enter(Phase::Preparing);
        self.options.check()?;
        self.check_options_of_several()?;
        let source = OpenSource::open(&self.source)?;
        source.will_read_in_sequence();
        let (from, clamped) = source.resolve(&self.options.range, self.options.clamp)?;
        let paths = std::iter::once(&self.destination).chain(&self.also);
        let targets: Vec<Target> = paths
            .map(|path| Target::look(path, &source.path, self.options.consent()))
            .collect::<Result<_>>()?;
        check_distinct(&source, &targets)?;
        for target in &targets {
            self.check_preserve(&source, target, from)?;
        }
        // Holes are kept where nothing was before.
        let all_new = targets.iter().all(|target| matches!(target, Target::Staged(_)));
        let layout = match all_new {
            true => Layout::of(&*source.io, from, self.options.sparse),
            false => Layout::whole(from, self.options.sparse),
        };
        let data = layout.data.clone();
        let to = self.resolve_destination(&source, &targets[0], from)?;
        let ends: Vec<End> =
            targets.iter().map(end_of_target).chain([end_of_source(&source)]).collect();
        let writes_source = targets.iter().any(|target| safety::writes_source(&source, target));
        let kept: Vec<String> = targets.iter().filter_map(Target::who_keeps_the_old).collect();
        let mut places = Vec::new();
        let mut examiner = Examiner::new(self.options.trust);
        for target in targets {
            let ranges = (from, to, &layout);
            places.push(self.look_at_place(&source, target, ranges, &mut examiner)?);
        }
        if places.iter().all(|place| place.error.is_some()) {
            return Err(places
                .into_iter()
                .find_map(|place| place.error)
                .expect("there is a place"));
        }
        let io_size = self.options.request_size(source.sector(), Positioned::IO_SIZE)?;
        let cache_state = cache_state(&source, from);
        let workers = self
            .options
            .threads
            .choose(ends.into_iter().map(|end| end.rotational), cache_state)
            .bounded(io_size);
        let stripe_size =
            self.scheduling_size(source.sector(), data.bytes(), workers.most(), io_size)?;
        let origin = from.start().wrapping_sub(to.start());
        let plan = Plan::new(&self.bytes_to_see(&data, from), origin, stripe_size);

        let mut report = Report::new(source.report(), places[0].report.destination.clone());
        report.range = from;
        report.dest_offset = to.start();
        report.clamped = clamped;
        report.notes.extend(self.options.threads.note_fewer(workers, io_size));
        report.in_place = !all_new;
        report.bytes.requested = from.len();
        report.bytes.holes = from.len() - data.bytes();
        report.engine = "positioned";
        report.engine_reason = "one read, several writes".to_owned();
        report.threads = workers.most();
        (report.stripe_size, report.io_size) = (stripe_size, io_size);
        report.notes.extend(source.note().into_iter().chain(layout.note(&source.path)));
        report.notes.extend(examiner.into_notes());
        progress.expect(data.bytes(), 0);
        let kept_holes = data.missing_from(from);
        report.notes.extend(kept);
        let zeros = layout.sparse().zeros(all_new);
        Ok(Several {
            source,
            to,
            plan,
            kept_holes,
            zeros,
            writes_source,
            cache_state,
            workers,
            places,
            report,
        })
    }

    fn check_options_of_several(&self) -> Result<()> {
        let senseless = [
            (
                "--resume, because it has no map to go on from; --restart begins anew",
                self.options.leftovers == Leftovers::Resume,
            ),
            ("--map, because it leaves none", self.options.map.is_some()),
            ("--repair", self.options.repair),
            ("engine but positioned", !self.options.engine.may_be("positioned")),
            ("--reflink always", self.options.reflink == Reflink::Always),
            ("--preallocate full", self.options.preallocate == Preallocate::Full),
        ];
        match senseless.iter().find(|(_, given)| *given) {
            Some((option, _)) => {
                let reason = format!("a copy to several destinations (--also) has no {option}");
                Err(ErrorKind::Usage(reason).into())
            }
            None => Ok(()),
        }
    }

    /// Everything that can be refused about one destination. That it has no
    /// room is its failure alone.
    fn look_at_place(
        &self,
        source: &OpenSource,
        target: Target,
        (from, to, layout): (ByteRange, ByteRange, &Layout),
        examiner: &mut Examiner,
    ) -> Result<Place> {
        let map_file = self.map_file(&target)?;
        let start = previous::find(&target, &map_file, (self.options.leftovers, examiner), |id| {
            identity(self, source, &target, from, to, id)
        })?;
        let map_file = matches!(start, Start::Over(_)).then_some(map_file);
        let space_needed = self.space_needed(from, layout, &start);
        let preflight = self.preflight((source, &target), (from, to), space_needed);
        preflight.check()?;
        target.check_replaceable()?;
        let error = preflight.check_length().and_then(|()| preflight.check_space()).err();
        let error = error.map(Error::from);
        let report = AlsoReport {
            destination: target.report(),
            outcome: Outcome::Failed,
            verified: None,
            verified_by: None,
            mismatches: Vec::new(),
            durable: false,
            error: None,
        };
        let target = Some((target, start));
        Ok(Place { report, target, map_file, stage: None, error })
    }

    fn copy_to_several(
        &self,
        job: &mut Several,
        clock: &mut Clock,
        watch: Watch<'_>,
    ) -> Result<()> {
        let progress = watch.progress;
        for place in &mut job.places {
            let gaps = !job.kept_holes.is_empty() || job.zeros == Zeros::LeaveOut;
            place.begin(StageShape { gaps, ..StageShape::up_to(job.to) }, progress);
            if place.stage.as_ref().is_some_and(Stage::grows) {
                // What a second one skipped would be written twice.
                job.workers = Workers::Exactly(1);
            }
        }
        let written = self.write_to_several(job, clock, watch);
        let finished = written.and_then(|(transfer, fingerprints)| {
            progress.enter(Phase::Syncing);
            let rights = stage::rights(&job.source, job.report.range);
            job.places.iter_mut().for_each(|place| place.settle(self, rights));
            transfer.page_cache.finish(&*transfer.source, &*transfer.sink);
            clock.synced();
            if self.options.verify {
                progress.enter(Phase::Verifying);
                let copied = job.report.failed_set().missing_from(job.report.range);
                let reading = self.reading(copied.bytes());
                let verified = job.verify(&copied, &fingerprints, &reading, watch);
                clock.verified();
                verified?;
            }
            let made = transfer.made_holes();
            drop(transfer);
            digest::check(&job.report.digests, &self.options.expected)?;
            job.write_heads(self.options.sync, self.options.verify);
            if self.options.preserve {
                job.preserve(self.options.sync);
            }
            job.check_intact(made, watch.cancel)
        });
        let commit = finished.is_ok();
        let outcome =
            if job.report.failed.is_empty() { Outcome::Complete } else { Outcome::Partial };
        for place in &mut job.places {
            place.end(commit, self.options.sync, (outcome, job.to));
        }
        clock.finished();
        job.report.outcome = outcome;
        finished
    }

    /// Moves the bytes, and finds out which destinations took all of them.
    fn write_to_several(
        &self,
        job: &mut Several,
        clock: &mut Clock,
        Watch { progress, cancel }: Watch<'_>,
    ) -> Result<(Arc<Transfer>, Vec<Fingerprint>)> {
        let alive: Vec<usize> =
            (0..job.places.len()).filter(|&index| job.places[index].stage.is_some()).collect();
        if alive.is_empty() {
            return Err(job.first_error().unwrap_or_else(|| ErrorKind::Cancelled.into()));
        }
        let sinks = alive.iter().filter_map(|&index| job.places[index].sink()).collect();
        let fanout = Arc::new(Fanout::new(sinks));
        let transfer = Arc::new(self.transfer_to_several(job, fanout.clone()));
        let control = self.options.control(job.report.io_size, Watch { progress, cancel });
        progress.enter(Phase::Copying);
        let work = Stripes { transfer: Arc::clone(&transfer), cursor: Cursor::new(&job.plan) };
        let controller = job.workers.controller(job.plan.stripes(), job.report.io_size);
        let (run, moved) = pool::run(&control, &work, controller);
        clock.copied();
        job.report.threads = run.threads;
        job.report.notes.extend(run.decisions);
        for (branch, &index) in alive.iter().enumerate() {
            if let Some(failure) = fanout.take_failure(branch) {
                job.places[index].failed_to_write(failure.range, failure.error);
            }
        }
        job.report.bytes.copied = progress.snapshot().copied - transfer.hole_bytes();
        job.report.bytes.holes += transfer.hole_bytes();
        job.report.failed = failed_ranges(&transfer);
        job.report.bytes.failed = job.report.failed_set().bytes();
        match moved {
            Ok(()) => {}
            // Each of the destinations says for itself why it failed; that the
            // job was to stop is no fault of theirs.
            Err(error) if matches!(error.kind(), ErrorKind::Cancelled) => return Err(error),
            Err(error) => return Err(job.first_error().unwrap_or(error)),
        }
        if !job.writes_source {
            job.report
                .notes
                .extend(check_unchanged(&job.source, self.options.allow_changed_source)?);
        }
        match transfer.observers().take_digests() {
            Some(digests) => job.report.digests = digests,
            None if self.options.wanted_digests().is_empty() => {}
            None => job.report.notes.push("no digest: bytes could not be read".to_owned()),
        }
        let fingerprints = transfer.observers().take_fingerprints();
        Ok((transfer, fingerprints))
    }

    fn transfer_to_several(&self, job: &Several, fanout: Arc<Fanout>) -> Transfer {
        let mut observers = Observers::none();
        if self.options.verify {
            observers = observers.fingerprints();
        }
        let wanted = self.options.wanted_digests();
        if !wanted.is_empty() {
            let digester = Digester::new(&wanted, job.report.range);
            let back = job.source.io.clone();
            observers =
                observers.digests(digester).settled(job.kept_holes.clone(), RangeSet::new(), back);
        }
        let mut transfer = Transfer::new(
            (job.source.io.clone(), job.source.path.clone()),
            (fanout, job.report.destination.path.clone()),
            job.report.range,
            job.to.start(),
            job.source.sector(),
            vec![Box::new(Positioned)],
        );
        transfer.zeros = job.zeros;
        transfer.page_cache =
            self.options.page_cache(job.cache_state, job.plan.bytes(), self.options.sync);
        transfer.observed(observers)
    }
}

impl Several {
    /// The error this job ends in: a failure rather than a mismatch.
    fn first_error(&mut self) -> Option<Error> {
        let is_mismatch = |error: &Error| error.outcome() == Outcome::Mismatch;
        let failed = |place: &Place| place.error.as_ref().is_some_and(|error| !is_mismatch(error));
        let first = self.places.iter().position(failed);
        let first = first.or_else(|| self.places.iter().position(|place| place.error.is_some()))?;
        let place = &mut self.places[first];
        let error = place.error.take()?;
        place.note(&error);
        Some(as_failure(error))
    }

    /// Writes what comes last, and reads it back where that is wanted.
    fn write_heads(&mut self, sync: bool, verify: bool) {
        let whole = Copied { source: &self.source, report: &self.report };
        for place in &mut self.places {
            let Some(stage) = &place.stage else { continue };
            let checked = stage.write_head(sync).and_then(|head| match verify {
                true => differing(stage, &head).map(|(wrong, _)| whole.to_source(&wrong)),
                false => Ok(RangeSet::new()),
            });
            let wrong = match checked {
                Ok(wrong) => wrong,
                Err(error) => {
                    place.fail(error);
                    continue;
                }
            };
            if let Some(first) = wrong.iter().next() {
                let error = whole.mismatch(stage.path(), first);
                place.report.verified = Some(false);
                place.report.mismatches = wrong.iter().collect();
                place.fail(error);
            }
        }
    }

    /// Compares `copied`, bytes of the source, of each place.
    fn verify(
        &mut self,
        copied: &RangeSet,
        fingerprints: &[Fingerprint],
        reading: &Reading,
        watch: Watch<'_>,
    ) -> Result<()> {
        let whole = Copied { source: &self.source, report: &self.report };
        let mut notes = Vec::new();
        for place in &mut self.places {
            let Some(stage) = &place.stage else { continue };
            let medium = ReadBack::new(stage.io());
            let (findings, ended) = whole.compare(&medium, copied, fingerprints, reading, watch);
            ended?;
            place.report.verified = Some(findings.differing.is_empty());
            place.report.verified_by = Some(medium.how());
            place.report.mismatches = findings.differing.iter().collect();
            let error = findings.differing.iter().next();
            let error = error.map(|range| whole.mismatch(stage.path(), range));
            notes.extend(medium.note());
            if let Some(error) = error {
                place.fail(error);
            }
        }
        notes.dedup();
        self.report.notes.extend(notes);
        Ok(())
    }

    fn preserve(&mut self, sync: bool) {
        let mut notes = Vec::new();
        for place in &mut self.places {
            let Some(stage) = &place.stage else { continue };
            match stage.preserve(&self.source, sync) {
                Ok(lost) => notes.extend(lost),
                Err(error) => place.fail(error),
            }
        }
        self.report.notes.extend(notes);
    }

    /// Leaves out each place that somebody has written to meanwhile. `made`:
    /// bytes that became holes on the way.
    fn check_intact(&mut self, made: u64, cancel: &CancelToken) -> Result<()> {
        let mut holes = self.kept_holes.clone();
        holes.merge(&self.report.failed_set());
        let (range, to) = (self.report.range, self.to.start());
        let written = Written { source: &*self.source.io, range, to, holes, made };
        for place in &mut self.places {
            let Some(stage) = &place.stage else { continue };
            let lost = stage.lost(&written, cancel);
            if let Err(error) = lost.and_then(|lost| stage.check_written(&lost)) {
                if matches!(error.kind(), ErrorKind::Cancelled) {
                    return Err(error);
                }
                place.fail(error);
            }
        }
        Ok(())
    }

    fn into_report(mut self) -> Report {
        let mut places = std::mem::take(&mut self.places).into_iter().map(|mut place| {
            if let Some(error) = place.error.take() {
                place.note(&error);
            }
            place.report
        });
        if let Some(first) = places.next() {
            self.report.verified = first.verified;
            self.report.verified_by = first.verified_by;
            self.report.mismatches = first.mismatches;
            self.report.durable = first.durable;
        }
        self.report.also = places.collect();
        self.report
    }
}

fn as_failure(error: Error) -> Error {
    match error.outcome() {
        Outcome::Refused => ErrorKind::LeftOut { reason: error.chain() }.into(),
        _ => error,
    }
}
