//! A copy, from the question to the report: the one place that reads top to
//! bottom as "a copy".

mod clock;
mod ending;
mod left;
mod options;
mod proof;
mod ready;
mod several;
mod stream;

pub use crate::pool::{MOST_THREADS, Threads};
pub use crate::sparse::Preallocate;
pub use options::CopyJob;

use std::sync::Arc;

use crate::durable::checkpoint::Checkpointer;
use crate::durable::previous::{self, Leftovers, Start};
use crate::durable::stage::{self, Stage};
use crate::durable::target::Target;
use crate::durable::trust::Examiner;
use crate::engine::{self, Capabilities, Preferences, Selection};
use crate::error::{Error, ErrorKind, Failure, JobResult, Refusal, Result};
use crate::plan::{Cursor, Plan};
use crate::pool::controller::{Controller, Workers};
use crate::pool::{self, Transfer};
use crate::progress::{CancelToken, Event, Phase, Progress, Watch};
use crate::range::{ByteRange, RangeSet};
use crate::report::{Outcome, Report};
use crate::safety::{self, Preflight};
use crate::source::OpenSource;
use crate::sparse::{Layout, Sparse};
use crate::sys;
use clock::Clock;
use left::what_is_left;
use proof::Ledger;
use ready::{OneCopy, Ready, identity};

/// Bytes that any storage copies in less time than lies between checkpoints.
const LONGEST_UNWATCHED: u64 = 16 << 20;

impl CopyJob {
    /// Copies. Returns when the destination is complete, visible and durable,
    /// or complete but for source ranges that could not be read.
    ///
    /// # Errors
    ///
    /// Everything else, as an [`Error`] that carries the report of what was
    /// done where the job got far enough to have one.
    pub fn run(&self) -> JobResult<Report> {
        self.run_watched(Watch::new(&Progress::new(), &CancelToken::new()))
    }

    /// As [`CopyJob::run`]; `watch` sees how far it is, and can stop it.
    ///
    /// # Errors
    ///
    /// As of [`CopyJob::run`], and [`ErrorKind::Cancelled`].
    pub fn run_watched(&self, watch: Watch<'_>) -> JobResult<Report> {
        let Watch { progress, cancel } = watch;
        self.wait_for_devices(progress, cancel)?;
        if !self.also.is_empty() {
            return self.run_to_several(watch);
        }
        let mut ready = self.prepare(progress)?;
        let mut clock = Clock::start();
        let result = self.copy(&mut ready, &mut clock, progress, cancel);
        progress.enter(Phase::Finished);
        let report = ready.into_report(&clock);
        match result {
            Ok(()) => Ok(report),
            Err(error) => Err(with_report(error, report)),
        }
    }

    /// Does everything that `run` does before the first byte, and nothing
    /// else: the report says what would be done.
    ///
    /// # Errors
    ///
    /// Whatever would make `run` refuse.
    pub fn dry_run(&self, progress: &Progress) -> JobResult<Report> {
        if !self.also.is_empty() {
            return self.dry_run_to_several(progress);
        }
        let mut ready = self.prepare(progress)?;
        ready.report.outcome = Outcome::Complete;
        ready.report.notes.push("dry run: nothing was written".to_owned());
        Ok(ready.report)
    }

    /// Opens, looks, refuses, plans. Writes nothing.
    fn prepare(&self, progress: &Progress) -> Result<Ready> {
        progress.enter(Phase::Preparing);
        self.options.check()?;
        let source = OpenSource::open(&self.source)?;
        source.will_read_in_sequence();
        let (from, clamped) = source.resolve(&self.options.range, self.options.clamp)?;
        let target = Target::look(&self.destination, &source.path, self.options.consent())?;
        self.check_preserve(&source, &target, from)?;
        let to = self.resolve_destination(&source, &target, from)?;
        let mut examiner = Examiner::new(self.options.trust);
        let (map_file, start) =
            self.look_for_leftovers((&source, &target), (from, to), &mut examiner)?;
        let layout = Layout::of(&*source.io, from, self.options.sparse);
        let (data, mut holes) = bytes_to_copy(&layout, &target, from);
        let (todo, resumed) = what_is_left(from, &data, &mut holes, &start);
        let mut kept_holes = data.missing_from(from);
        kept_holes.subtract(&holes);
        let space_needed = self.space_needed(from, &layout, &start);
        let preflight = self.preflight((&source, &target), (from, to), space_needed);
        preflight.check()?;
        preflight.check_length()?;
        if !start.is_committed() {
            target.check_replaceable()?;
        }

        let bytes = todo.bytes();
        let (selection, sparse) =
            self.select((&source, &target), (from, to), bytes, &start, &layout)?;
        if !selection.may_share() {
            preflight.check_space()?;
        }
        let sizes = self.sizes(&selection, source.sector(), bytes)?;
        // Stripe edges are aligned in the destination: there, two workers in
        // one block would wait for each other.
        let origin = from.start().wrapping_sub(to.start());
        let plan = Plan::new(&self.bytes_to_see(&todo, from), origin, sizes.stripe);

        let mut report = report_of((&source, &target), (from, to), &selection, &sizes);
        report.clamped = clamped;
        (report.bytes.holes, report.bytes.resumed) = (kept_holes.bytes(), resumed);
        report.notes.extend(self.nothing_to_resume(&start));
        report.notes.extend(source.note().into_iter().chain(layout.note(&source.path)));
        report.notes.extend(target.who_keeps_the_old());
        report.notes.extend(self.options.threads.note_fewer(sizes.workers, sizes.request));
        report.notes.extend(examiner.into_notes());
        announce(&report, bytes, &target, progress);
        let id = target.facts().filter(|_| report.in_place);
        let id = id.map(|facts| previous::object_id(facts, target.serial()));
        Ok(Ready {
            writes_source: safety::writes_source(&source, &target),
            identity: identity(self, &source, &target, from, to, id),
            map_of_the_user: start.map_of_the_user(),
            settled: todo.missing_from(from),
            digests: self.options.wanted_digests(),
            verify: self.options.verifies(),
            workers: sizes.workers,
            begin: Some((target, start)),
            source,
            to,
            plan,
            holes,
            kept_holes,
            sparse,
            selection,
            map_file,
            report,
        })
    }

    /// What is refused of a source and a destination that are open by now.
    fn preflight<'a>(
        &self,
        (source, target): (&'a OpenSource, &'a Target),
        (from, to): (ByteRange, ByteRange),
        space_needed: u64,
    ) -> Preflight<'a> {
        let allow_same_device = self.options.allow_same_device;
        Preflight { source, target, from, to, space_needed, allow_same_device }
    }

    fn select(
        &self,
        (source, target): (&OpenSource, &Target),
        ranges: (ByteRange, ByteRange),
        bytes: u64,
        start: &Start,
        layout: &Layout,
    ) -> Result<(Selection, Sparse), Refusal> {
        // The part of an earlier run is as private as a new one.
        let fresh = matches!(target, Target::Staged(_)) && !start.is_committed();
        engine::select_for(self.options.engine, layout, |sparse| {
            let preferences = self.preferences(sparse);
            Capabilities::of(source, target, ranges, bytes, fresh, preferences)
        })
    }

    /// How many workers move `bytes` in requests and stripes of what length.
    fn sizes(&self, selection: &Selection, sector: u32, bytes: u64) -> Result<Sizes> {
        let request = self.options.request_size(sector, selection.io_size())?;
        let about = selection.capabilities();
        let ends = [about.source, about.destination];
        let workers = self
            .options
            .threads
            .choose(ends.map(|end| end.rotational), about.cache_state)
            .bounded(request);
        let stripe = self.scheduling_size(sector, bytes, workers.most(), request)?;
        Ok(Sizes { workers, request, stripe })
    }

    /// Moves the bytes, waits for the disk, gives the final name. Whatever
    /// stops it leaves a state to go on from.
    fn copy(
        &self,
        ready: &mut Ready,
        clock: &mut Clock,
        progress: &Progress,
        cancel: &CancelToken,
    ) -> Result<()> {
        let (target, start) = ready.begin.take().expect("a job is copied once");
        let resumed = matches!(start, Start::Resume(_));
        let fresh = !resumed && matches!(target, Target::Staged(_));
        let over = matches!(start, Start::Over(_));
        let standing = target.facts().filter(|_| ready.report.in_place).map(|facts| facts.size);
        if self.options.leftovers != Leftovers::Refuse {
            ready.map_file.clear_temporaries();
        }
        if !resumed && self.options.leftovers != Leftovers::Refuse {
            // Before its part is gone: a map without a part must never remain.
            ready.map_file.remove().map_err(|error| Refusal::Other(error.to_string()))?;
        }
        let mut stage = Stage::begin(target, ready.blank(self.options.reflink), start)?;
        let about = ready.selection.capabilities();
        let page_cache = self
            .options
            .page_cache(about.cache_state, about.bytes, self.options.sync)
            .over(standing);
        let prepared = ready
            .reserve(&stage, self.options.preallocate.beside(ready.sparse))
            .and_then(|()| ready.transfer(&stage, ready.sparse.zeros(fresh), page_cache, progress));
        let transfer = match prepared {
            Ok(transfer) => Arc::new(transfer),
            Err(error) => {
                stage.discard();
                return Err(if over { too_late(error) } else { error });
            }
        };
        let checkpointer = ready.checkpointer(&stage, self.options.checkpoint_every, resumed)?;
        let copied = self.complete(
            ready,
            &stage,
            &transfer,
            &checkpointer,
            clock,
            Watch { progress, cancel },
        );
        if let Err(error) = copied {
            ready.keep(&transfer, &checkpointer, &error);
            return Err(error);
        }
        self.commit(ready, &mut stage, &transfer, &checkpointer)?;
        clock.finished();
        ready.report.durable = self.options.sync;
        ready.report.outcome = ready.outcome();
        Ok(())
    }

    /// Everything between the first byte and the commit.
    fn complete(
        &self,
        ready: &mut Ready,
        stage: &Stage,
        transfer: &Arc<Transfer>,
        checkpointer: &Checkpointer,
        clock: &mut Clock,
        Watch { progress, cancel }: Watch<'_>,
    ) -> Result<()> {
        progress.enter(Phase::Copying);
        let moved = self.move_bytes(ready, transfer, checkpointer, Watch { progress, cancel });
        clock.copied();
        ready.record(transfer, progress);
        moved?;
        ready.check_source_is_unchanged(self.options.allow_changed_source)?;
        ready.take_digests(transfer);

        progress.enter(Phase::Syncing);
        self.settle(stage, stage::rights(&ready.source, ready.report.range))?;
        transfer.page_cache.finish(&*transfer.source, &*transfer.sink);
        clock.synced();
        let ledger = Ledger { transfer, checkpointer };
        self.prove(ready, stage, ledger, clock, Watch { progress, cancel })?;
        ready.check_intact(stage, ledger, cancel)?;
        if !ready.report.failed.is_empty() {
            // The map says what is missing, to a later run or to ddrescue.
            checkpointer.save(&**transfer)?;
            ready.report.resumable = true;
        }
        Ok(())
    }

    /// Makes durable what has been written, unless the user does not want that;
    /// a new file gets `rights` at most.
    fn settle(&self, stage: &Stage, rights: u32) -> Result<()> {
        stage.fill_up()?;
        if !self.options.preserve {
            // Before the sync, which covers it.
            stage.set_final_mode(rights)?;
        }
        if self.options.sync { stage.sync() } else { Ok(()) }
    }

    fn move_bytes(
        &self,
        ready: &mut Ready,
        transfer: &Arc<Transfer>,
        checkpointer: &Checkpointer,
        Watch { progress, cancel }: Watch<'_>,
    ) -> Result<()> {
        let control = self.options.control(ready.report.io_size, Watch { progress, cancel });
        let controller = self.controller(ready);
        let cursor = Cursor::new(&ready.plan);
        let work = OneCopy { transfer: Arc::clone(transfer), cursor, checkpointer, progress };
        let (run, moved) = pool::run(&control, &work, controller);
        ready.report.threads = run.threads;
        ready.report.notes.extend(run.decisions);
        moved
    }

    /// One stripe is copied without a thread of its own, unless that may take
    /// long: nobody but the supervisor of threads makes checkpoints.
    fn controller(&self, ready: &Ready) -> Controller {
        let Report { stripe_size, io_size, .. } = ready.report;
        let is_long = self.options.limit_rate.is_some() || stripe_size > LONGEST_UNWATCHED;
        match ready.plan.stripes() {
            1 if is_long => Controller::fixed(1),
            stripes => ready.workers.controller(stripes, io_size),
        }
    }

    /// What the workers must see: for a digest also what they need not move.
    fn bytes_to_see(&self, todo: &RangeSet, from: ByteRange) -> RangeSet {
        if self.options.wanted_digests().is_empty() { todo.clone() } else { from.into() }
    }

    fn resolve_destination(
        &self,
        source: &OpenSource,
        target: &Target,
        from: ByteRange,
    ) -> Result<ByteRange> {
        let too_far = || Refusal::TooFar { path: target.path().to_owned() };
        let offset = source.bytes(self.options.dest_offset).map_err(|_| too_far())?;
        let to = ByteRange::with_len(offset, from.len()).ok_or_else(too_far)?;
        // Files are addressed with signed 64-bit offsets.
        if to.end() > i64::MAX as u64 {
            return Err(too_far().into());
        }
        Ok(to)
    }

    /// Bytes of storage that a new file with `layout` will need for certain, on
    /// top of what the part of an earlier run takes, to be kept or given back.
    fn space_needed(&self, from: ByteRange, layout: &Layout, start: &Start) -> u64 {
        let whole = match (self.options.preallocate, layout.sparse()) {
            (Preallocate::Full, _) => from.len(),
            (_, Sparse::Always) => 0,
            _ => layout.data.bytes(),
        };
        let part = match start {
            Start::Fresh => None,
            Start::Over(part) => {
                part.as_ref().and_then(|part| sys::facts(part).ok()).map(|facts| facts.allocated)
            }
            Start::Resume(earlier) => earlier.file.as_ref().map(|(_, facts)| facts.allocated),
        };
        whole.saturating_sub(part.unwrap_or(0))
    }

    fn preferences(&self, sparse: Sparse) -> Preferences {
        Preferences {
            reflink: self.options.reflink,
            sparse,
            needs_bytes: !self.options.wanted_digests().is_empty(),
            threads: self.options.threads.most(),
        }
    }
}

/// How the work is divided.
struct Sizes {
    workers: Workers,
    /// Longest request in bytes.
    request: u64,
    /// Longest stripe in bytes.
    stripe: u64,
}

/// The report of a copy of `from` to `to` that has not begun.
fn report_of(
    (source, target): (&OpenSource, &Target),
    (from, to): (ByteRange, ByteRange),
    selection: &Selection,
    sizes: &Sizes,
) -> Report {
    let mut report = Report::new(source.report(), target.report());
    report.range = from;
    report.dest_offset = to.start();
    report.in_place = !matches!(target, Target::Staged(_));
    report.bytes.requested = from.len();
    report.engine = selection.name();
    report.engine_reason = selection.reason.clone();
    report.threads = sizes.workers.most();
    (report.stripe_size, report.io_size) = (sizes.stripe, sizes.request);
    report
}

/// Tells whoever watches what will be done: `bytes` to move, and how.
fn announce(report: &Report, bytes: u64, target: &Target, progress: &Progress) {
    progress.expect(bytes, report.bytes.resumed);
    progress.event(Event::Planned {
        destination: target.describe(),
        engine: report.engine,
        reason: report.engine_reason.clone(),
    });
}

/// The bytes of `from` that need work, and the holes among them. In a new file,
/// holes of the source stay holes and need none.
fn bytes_to_copy(layout: &Layout, target: &Target, from: ByteRange) -> (RangeSet, RangeSet) {
    match target {
        Target::Staged(_) => (layout.data.clone(), RangeSet::new()),
        _ => (from.into(), layout.data.missing_from(from)),
    }
}

/// A refusal is no longer one where what an earlier run left is gone already.
fn too_late(error: Error) -> Error {
    match error.into_kind() {
        ErrorKind::Refused(source) => ErrorKind::Discarded { source }.into(),
        kind => kind.into(),
    }
}

fn with_report(error: Error, mut report: Report) -> Failure<Report> {
    report.outcome = error.outcome();
    report.error = Some(error.chain());
    error.with_report(report)
}
