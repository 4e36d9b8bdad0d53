//! Moving the bytes: destinations are begun, engines made, stripes handed to the
//! workers, and checkpoints made meanwhile.

use std::fs::File;
use std::sync::Arc;

use super::branch::{Branch, Member};
pub use super::moved::Moved;
use super::resolve::Task;
use super::unchanged::MOST_FINGERPRINTS;
use crate::endpoint::{Shape, too_late};
use crate::engine::{Engine, EngineContext, Positioned, Reflink};
use crate::error::{Error, ErrorKind, Refusal, Result};
use crate::io::page_cache::PageCachePolicy;
use crate::io::{Fanout, Rebased, Sink, Source};
use crate::plan::{Cursor, Plan};
use crate::pool::controller::{Controller, Ways, Workers};
use crate::pool::{self, Assignment, Control, Observers, OnReadError, Transfer, Work};
use crate::progress::{Event, Phase, Progress, Watch, lock};
use crate::range::{ByteRange, RangeSet};
use crate::sparse::{Preallocate, Sparse};
use crate::sync::Mutex;
use crate::sys;

/// Bytes that any storage copies in less time than lies between checkpoints.
const LONGEST_UNWATCHED: u64 = 16 << 20;

/// Most pieces of a file whose storage is reserved unasked.
const MOST_RESERVED: usize = 1024;

/// A transfer to the destinations that could be begun.
pub struct Sent {
    pub transfer: Arc<Transfer>,
    /// The choice between its engines, if there is one.
    ways: Option<Ways>,
    /// Where there are several: what writes to all, and their numbers.
    several: Option<(Arc<Fanout>, Vec<usize>)>,
}

impl Sent {
    /// The place of branch `number` among several sinks.
    pub fn member(&self, number: usize) -> Option<Member<'_>> {
        let (fanout, numbers) = self.several.as_ref()?;
        let number = numbers.iter().position(|&branch| branch == number)?;
        Some(Member { fanout, number })
    }
}

/// The stripes of one transfer.
pub struct Stripes<'a> {
    pub transfer: Arc<Transfer>,
    pub cursor: Cursor<'a>,
    /// Called every now and then, where anything is recorded.
    pub checkpoint: Option<&'a (dyn Fn() -> Result<()> + Sync)>,
}

impl Work for Stripes<'_> {
    fn claim(&self) -> Result<Option<Assignment>> {
        let assign =
            |stripe| Assignment { transfer: Arc::clone(&self.transfer), stripe, ticket: 0 };
        let claim = || self.cursor.claim();
        let claimed = match self.transfer.reads.stream() {
            None => claim(),
            Some(stream) => stream.claim(claim),
        };
        Ok(claimed.map(assign))
    }

    fn checkpoint(&self) -> Result<()> {
        self.checkpoint.map_or(Ok(()), |checkpoint| checkpoint())
    }
}

impl Task<'_> {
    /// Makes every destination ready to be written. One of several that cannot
    /// be is left out.
    ///
    /// # Errors
    ///
    /// If none can be.
    pub fn begin(&mut self, watch: Watch<'_>) -> Result<()> {
        let (origin, alone) = (Arc::clone(&self.origin), self.is_alone());
        let gaps = !self.kept_holes.is_empty()
            || self.sparse == Sparse::Always
            || self.mapping.to().start() > 0;
        let like = origin.file().filter(|_| self.may_clone()).map(|source| source.file.as_file());
        let shape = Shape {
            mapping: self.mapping,
            open_ended: self.open_ended,
            gaps,
            like,
            workers: self.workers.most(),
            discards: self.options.leftovers != crate::Leftovers::Refuse,
            cancel: watch.cancel,
        };
        for branch in self.branches.iter_mut().filter(|branch| branch.is_alive()) {
            let Some(destination) = branch.destination.take() else { continue };
            match destination.begin(&shape) {
                Ok(draft) => branch.draft = Some(draft),
                Err(error) if alone => return Err(error),
                Err(error) => branch.error = Some(error),
            }
        }
        let grows = |branch: &Branch| branch.draft.as_ref().is_some_and(|draft| draft.grows());
        if self.branches.iter().any(grows) {
            // What a second one skipped would be written twice.
            self.workers = Workers::Exactly(1);
        }
        match self.branches.iter().any(Branch::is_alive) {
            true => Ok(()),
            false => Err(self.first_error().unwrap_or_else(|| ErrorKind::Cancelled.into())),
        }
    }

    /// Whether the destination may begin as a clone of the source: only where
    /// extents would be shared anyhow, because then it is the same, sooner.
    fn may_clone(&self) -> bool {
        let Some(source) = self.origin.file().filter(|source| !source.is_joined()) else {
            return false;
        };
        let whole = ByteRange::to(source.facts.size);
        self.is_alone()
            && self.selection.name() == "offload"
            && self.selection.capabilities().same_file_system
            && self.options.reflink != Reflink::Never
            && self.options.only.is_none()
            && (self.mapping.from(), self.mapping.to()) == (whole, whole)
    }

    /// The transfer, with storage reserved and engines made; the records of
    /// progress begun.
    ///
    /// # Errors
    ///
    /// If there is no room, or the engine asked for does not work here after
    /// all. What was begun has been taken back then.
    pub fn send(&mut self, moved: &mut Moved, progress: &Progress) -> Result<Sent> {
        let made = self.reserve_all(moved).and_then(|()| self.transfer(moved, progress));
        let sent = match made {
            Ok(sent) => sent,
            Err(error) => {
                let discards = |journal: &crate::endpoint::Journal| journal.discards;
                let over = self.branches.iter().any(|b| b.journal.as_ref().is_some_and(discards));
                self.branches.iter_mut().for_each(Branch::discard);
                return Err(if over { too_late(error) } else { error });
            }
        };
        let drafts = self.branches.iter().filter_map(|branch| branch.draft.as_ref());
        drafts.for_each(|draft| draft.note_ready());
        for number in 0..self.branches.len() {
            let result = self.begin_record(number);
            self.settle_result(number, result)?;
        }
        Ok(sent)
    }

    /// Begins the record of how far destination `number` got.
    fn begin_record(&mut self, number: usize) -> Result<()> {
        let range = self.mapping.from();
        let branch = &mut self.branches[number];
        let (Some(draft), Some(journal)) = (&branch.draft, branch.journal.take()) else {
            return Ok(());
        };
        let id = draft.id()?;
        // What it has and others have not is written once more, with the same bytes.
        let mut settled = self.settled.clone();
        settled.merge(&branch.done);
        let mut settled = settled.within(range);
        if !branch.abilities.is_new {
            // What is not wanted is left as it is there, and is nothing of this copy.
            settled.subtract(&self.wanted.missing_from(range));
        }
        branch.checkpointer = Some(journal.checkpointer(id, settled, self.options));
        Ok(())
    }

    /// Reserves storage at every destination.
    fn reserve_all(&mut self, moved: &mut Moved) -> Result<()> {
        for number in 0..self.branches.len() {
            let result = self.reserve(&self.branches[number], moved);
            self.settle_result(number, result)?;
        }
        match self.branches.iter().any(Branch::is_alive) {
            true => Ok(()),
            false => Err(self.first_error().unwrap_or_else(|| ErrorKind::Cancelled.into())),
        }
    }

    /// Reserves storage for what will be written, where that is wanted.
    fn reserve(&self, branch: &Branch, moved: &mut Moved) -> Result<()> {
        let how = self.reservation;
        let Some(draft) = &branch.draft else { return Ok(()) };
        let range = self.mapping.from();
        let pieces = match how {
            Preallocate::Off => return Ok(()),
            _ if self.open_ended => return Ok(()),
            Preallocate::Full => self.wanted.clone(),
            Preallocate::Auto if !self.selection.wants_space() || draft.grows() => return Ok(()),
            Preallocate::Auto => {
                let mut data = self.settled.missing_from(range);
                data.subtract(&self.holes);
                // Many small pieces cost more than reserving them brings.
                if data.as_slice().len() > MOST_RESERVED {
                    return Ok(());
                }
                data
            }
        };
        let sink = draft.sink();
        for piece in pieces.iter() {
            let mut reserved = Ok(());
            sink.for_each_place(self.mapping.to_destination(piece), &mut |file, place| {
                if reserved.is_ok() {
                    reserved = sys::reserve(file, place);
                }
            });
            match reserved {
                Ok(()) => {}
                Err(error) if sys::is_refused(&error) => {
                    if how == Preallocate::Full {
                        moved.notes.push(format!("space cannot be reserved here: {error}"));
                    }
                    break;
                }
                Err(source) => {
                    let (path, bytes) = (draft.path().to_owned(), pieces.bytes());
                    return Err(Refusal::CannotReserve { path, bytes, source }.into());
                }
            }
        }
        Ok(())
    }

    fn transfer(&mut self, moved: &mut Moved, progress: &Progress) -> Result<Sent> {
        let source = self.origin.source();
        let alive = |(_, branch): &(usize, &Branch)| branch.draft.is_some();
        let numbers: Vec<usize> =
            self.branches.iter().enumerate().filter(alive).map(|(number, _)| number).collect();
        let drafts: Vec<_> =
            numbers.iter().filter_map(|&number| self.branches[number].draft.as_ref()).collect();
        let first = drafts.first().expect("a destination has begun");
        let path = match self.is_alone() {
            true => first.path().to_owned(),
            false => self.branches[0].path().to_owned(),
        };
        let (sink, several): (Arc<dyn Sink>, _) = match self.is_alone() {
            true => (first.sink(), None),
            false => {
                let sinks = numbers.iter().filter_map(|&number| self.sink_of(number));
                let all = Arc::new(Fanout::new(sinks.collect()));
                (all.clone(), Some((all, numbers)))
            }
        };
        let only_changed = match several {
            None => self.only_changed(&self.branches[0], sink.clone()),
            Some(_) => None,
        };
        let site = EngineContext {
            source: &source,
            sink: &sink,
            only_changed: only_changed.as_ref(),
            range: self.mapping.from(),
            dest_offset: self.mapping.to().start(),
            first: self.plan.stripe(0).map(|stripe| self.mapping.to_destination(stripe)),
            sink_len: first.len(),
            is_clone: first.is_clone(),
            io_size: self.io_size.max(self.buffer_size),
            capabilities: self.selection.capabilities(),
        };
        let is_decided = matches!(self.workers, Workers::Exactly(_)) || self.plan.stripes() <= 1;
        let made = self.selection.make(&site, !is_decided)?;
        for fallback in &made.fallbacks {
            progress.event(Event::Fallback(fallback.clone()));
        }
        moved.fallbacks = made.fallbacks;
        let sink = only_changed.map_or(sink, |before| Arc::new(before));
        let written = first.written();
        let fresh = self.is_new() && !self.branches.iter().any(|branch| branch.resumed);
        let mut transfer = Transfer::new(
            (source, self.origin.path().to_owned()),
            (sink, path),
            self.mapping,
            self.origin.sector(),
            made.engines,
        );
        transfer.reads = self.origin.read_order();
        if self.is_alone() {
            transfer.order = first.write_order();
        }
        transfer.zeros = self.sparse.zeros(fresh);
        let about = self.selection.capabilities();
        let sync = self.options.sync && !self.is_ordered();
        if !self.keep_cache {
            let policy = match self.open_ended {
                true => self.options.page_cache_of_a_stream(sync),
                false => PageCachePolicy::new(about.cache_state, about.bytes, sync),
            };
            transfer.page_cache = policy.over(self.standing);
        }
        transfer.holes = self.holes.clone();
        transfer.reads_sink = self.room.is_some();
        let mut observers = Observers::none();
        // What cannot be read back is known by them, should anything change.
        let is_gone = !self.branches.iter().any(|branch| branch.abilities.reads_back);
        let may_need = is_gone && !self.options.allow_changed_source;
        if self.options.verifies() || may_need && self.plan.stripes() <= MOST_FINGERPRINTS {
            observers = observers.fingerprints();
        }
        if !self.digests.is_empty() {
            let mut earlier = self.settled.clone();
            earlier.subtract(&self.kept_holes);
            observers = observers.digests(self.digester());
            let (earlier, back) = match written {
                Some(written) => (earlier, written),
                // What cannot be read there is read once more where it came from.
                None => {
                    let again: Arc<dyn Source> =
                        Arc::new(Rebased::new(self.origin.source(), self.mapping));
                    (earlier, again)
                }
            };
            observers = observers.settled(self.kept_holes.clone(), earlier, back);
        }
        let transfer = self.by_workers(transfer.observed(observers));
        Ok(Sent { transfer, ways: made.ways, several })
    }

    /// The same for all workers. Of those that write to one file, only as many write at once
    /// as bring more: a file is locked while it is written, and a device is not.
    fn by_workers(&self, transfer: Transfer) -> Arc<Transfer> {
        let is_file = |file: &File| file.metadata().is_ok_and(|facts| facts.is_file());
        let is_one_file = transfer.sink.file().is_some_and(is_file) && !self.is_ordered();
        // What is compared before it is written is read there, by all of them.
        let is_read = self.room.is_some();
        match is_one_file && !is_read && self.workers.most() > 1 {
            true => Arc::new(transfer.counting_writers()),
            false => Arc::new(transfer),
        }
    }

    /// Copies every stripe, and finds out which destinations took all of them.
    ///
    /// # Errors
    ///
    /// What ended the copy before every stripe was written.
    pub fn move_bytes(&mut self, sent: &Sent, moved: &mut Moved, watch: Watch<'_>) -> Result<()> {
        watch.progress.enter(Phase::Copying);
        self.begin_stream();
        let control = self.options.control(self.io_size, watch);
        let on_read_error = match self.is_ordered() {
            // Workers end a stream at the first gap, after what comes before it.
            true => OnReadError::Record,
            false => self.options.on_read_error,
        };
        let control = Control { on_read_error, buffer_size: self.buffer_size, ..control };
        let troubles: Mutex<Vec<(usize, Error)>> = Mutex::default();
        let checkpoint = || self.checkpoint(sent, &troubles, watch.progress);
        let work = Stripes {
            transfer: Arc::clone(&sent.transfer),
            cursor: Cursor::new(&self.plan),
            checkpoint: Some(&checkpoint),
        };
        let (run, result) = pool::run(&control, &work, self.controller(sent.ways));
        let troubles = std::mem::take(&mut *lock(&troubles));
        self.take_failures(sent, troubles);
        moved.record(&run, &sent.transfer, watch.progress);
        result.and_then(|()| self.end_stream(sent, moved, watch.progress))
    }

    /// Records how far each destination got. One of several whose record fails
    /// is left out.
    ///
    /// # Errors
    ///
    /// Of the only one.
    pub fn checkpoint(
        &self,
        sent: &Sent,
        troubles: &Mutex<Vec<(usize, Error)>>,
        progress: &Progress,
    ) -> Result<()> {
        for (number, branch) in self.branches.iter().enumerate() {
            let Some(checkpointer) = &branch.checkpointer else { continue };
            let member = sent.member(number);
            if member.is_some_and(|member| member.fanout.has_failed(member.number)) {
                continue;
            }
            let ledger = branch.ledger(&sent.transfer, member);
            match (checkpointer.tick(&ledger, progress), member) {
                (Ok(()), _) => {}
                (Err(error), Some(member)) => {
                    member.fanout.leave_out(member.number);
                    lock(troubles).push((number, error));
                }
                (Err(error), None) => return Err(error),
            }
        }
        Ok(())
    }

    /// Leaves out the destinations that could not be written, or of which `troubles`
    /// are known.
    pub fn take_failures(&mut self, sent: &Sent, troubles: Vec<(usize, Error)>) {
        for (number, error) in troubles {
            self.branches[number].fail(error);
        }
        let Some((fanout, numbers)) = &sent.several else { return };
        for (place, &number) in numbers.iter().enumerate() {
            if let Some(failure) = fanout.take_failure(place) {
                let branch = &mut self.branches[number];
                let error = branch.write_error(failure.range, failure.error);
                branch.fail(error);
            }
        }
    }

    /// One stripe is copied without a thread of its own, unless that may take
    /// long: only the supervisor of threads makes checkpoints.
    fn controller(&self, ways: Option<Ways>) -> Controller {
        let is_long = self.options.limit_rate.is_some() || self.stripe_size > LONGEST_UNWATCHED;
        let controller = match self.plan.stripes() {
            1 if is_long => Controller::fixed(1),
            stripes => self.workers.controller(stripes, self.io_size),
        };
        let controller = controller.growing_to(self.io_size.max(self.buffer_size));
        ways.into_iter().fold(controller, Controller::choosing)
    }

    /// Copies `pieces` of the source to one destination once more, by the
    /// plainest way there is, or only shows them to `observers`.
    ///
    /// # Errors
    ///
    /// Whatever stops it.
    pub fn copy_again(
        &self,
        branch: &Branch,
        pieces: &RangeSet,
        observers: Observers,
        threads: usize,
        watch: Watch<'_>,
    ) -> Result<Arc<Transfer>> {
        let draft = branch.draft.as_ref().expect("it is being written");
        let engines: Vec<Box<dyn Engine>> = vec![Box::new(Positioned)];
        let transfer = Transfer::new(
            (self.origin.source(), self.origin.path().to_owned()),
            (draft.sink(), draft.path().to_owned()),
            self.mapping,
            self.origin.sector(),
            engines,
        );
        let transfer = self.by_workers(transfer.observed(observers));
        // The counters are those of the copy, which is over.
        let progress = Progress::new();
        let control = self.options.control(self.io_size, Watch::new(&progress, watch.cancel));
        let control = Control { on_read_error: OnReadError::Stop, ..control };
        let plan = self.stripes_of(pieces);
        let work = Stripes {
            transfer: Arc::clone(&transfer),
            cursor: Cursor::new(&plan),
            checkpoint: None,
        };
        let controller = Workers::Exactly(threads.max(1)).controller(plan.stripes(), self.io_size);
        pool::run(&control, &work, controller).1?;
        Ok(transfer)
    }

    /// The stripes of `pieces`, on the grid of the copy.
    pub fn stripes_of(&self, pieces: &RangeSet) -> Plan {
        Plan::new(pieces, self.mapping.grid(), self.stripe_size)
    }
}
