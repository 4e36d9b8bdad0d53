//! Writing only what differs, as far as it is a matter of the whole copy: which
//! destinations can be asked for that, what stands before their sinks, and the
//! comparison that a dry run is. How a block is compared is a matter of `io`.

use std::sync::Arc;

use super::branch::Branch;
use super::moving::{Moved, Stripes};
use super::resolve::Task;
use crate::engine::{Engine, Positioned, Reflink};
use crate::error::{ErrorKind, Refusal, Result, quoted};
use crate::io::only_changed::{Counts, Existing, OnlyChanged, Unwritten};
use crate::io::{Fanout, Sink};
use crate::options::Options;
use crate::plan::Cursor;
use crate::pool::{self, Transfer};
use crate::progress::{Phase, Watch};
use crate::range::{Mapping, RangeSet};

/// What a destination holds before it is written, and what was found of that.
pub struct Update {
    existing: Existing,
    counts: Arc<Counts>,
}

/// Refuses destinations in which nothing can be the same, before each is looked at.
///
/// # Errors
///
/// [`ErrorKind::Usage`], or [`Refusal::NothingToUpdate`].
pub fn check(branches: &[Branch], options: &Options) -> Result<()> {
    if !options.only_changed {
        return Ok(());
    }
    if options.reflink == Reflink::Always {
        let problem = "cannot be always: what is shared is written as a whole";
        return Err(ErrorKind::usage_of(&["reflink", "only_changed"], problem).into());
    }
    // A stream says so in its own words.
    for branch in branches.iter().filter(|branch| !branch.abilities.ordered) {
        if !branch.abilities.reads_back {
            let name = quoted(branch.path());
            let problem =
                format!("compares with what the destination holds, and {name} keeps nothing");
            return Err(ErrorKind::usage_of(&["only_changed"], problem).into());
        }
        if branch.abilities.is_new {
            return Err(nothing_to_update(branch).into());
        }
    }
    Ok(())
}

fn nothing_to_update(branch: &Branch) -> Refusal {
    let footprint = branch.destination.as_ref().and_then(|destination| destination.footprint());
    let exists = footprint.is_some_and(|footprint| footprint.facts.is_some());
    Refusal::NothingToUpdate { path: branch.path().to_owned(), exists }
}

impl Branch {
    /// Finds out what the destination holds, where that is to be compared with a source
    /// that can be read again, or only `once`.
    ///
    /// # Errors
    ///
    /// [`Refusal::WriteOnly`].
    pub fn look_at_existing(&mut self, options: &Options, once: bool) -> Result<()> {
        if !options.only_changed {
            return Ok(());
        }
        let existing = self.destination.as_ref().and_then(|destination| destination.existing());
        let path = || self.path().to_owned();
        let existing = existing.ok_or_else(|| Refusal::WriteOnly { path: path() })?;
        let counts = Arc::new(if once { Counts::with_zeros() } else { Counts::default() });
        self.update = Some(Update { existing, counts });
        Ok(())
    }

    /// What was left alone because zeros were there already, in bytes of a source that
    /// can be read only once.
    pub fn left_zeros(&self, mapping: Mapping) -> RangeSet {
        let zeros = self.update.as_ref().map(|update| update.counts.zeros()).unwrap_or_default();
        zeros.iter().map(|part| mapping.to_source(part)).collect()
    }

    /// Bytes that were written because they differed, and bytes that were equal.
    pub fn counts(&self) -> (Option<u64>, Option<u64>) {
        let counts = self.update.as_ref().map(|update| &update.counts);
        (counts.map(|counts| counts.written()), counts.map(|counts| counts.equal()))
    }
}

impl Task<'_> {
    /// What stands before `sink` of `branch` where only what differs is written.
    pub fn only_changed(&self, branch: &Branch, sink: Arc<dyn Sink>) -> Option<OnlyChanged> {
        let (update, room) = branch.update.as_ref().zip(self.room.as_ref())?;
        let (existing, counts) = (update.existing.clone(), Arc::clone(&update.counts));
        Some(OnlyChanged::new(sink, existing, Arc::clone(room), counts))
    }

    /// The sink of branch `number`, if it has begun, with what stands before it.
    pub fn sink_of(&self, number: usize) -> Option<Arc<dyn Sink>> {
        let branch = &self.branches[number];
        let sink = branch.draft.as_ref()?.sink();
        let before = self.only_changed(branch, Arc::clone(&sink));
        Some(before.map_or(sink, |before| Arc::new(before)))
    }

    /// Reads both sides and counts what would be written, where only what differs
    /// would be. A stream is not read for a plan.
    pub fn compare_only(&self, watch: Watch<'_>) -> Option<Result<Moved>> {
        if self.reads_once() {
            return None;
        }
        let sink = self.unwritten()?;
        Some(self.compare_into(sink, watch))
    }

    /// What takes all destinations for what they are, and changes none.
    fn unwritten(&self) -> Option<Arc<dyn Sink>> {
        let before = |branch: &Branch| {
            let content = Arc::clone(&branch.update.as_ref()?.existing.content);
            let before = self.only_changed(branch, Arc::new(Unwritten(content)))?;
            Some(Arc::new(before) as Arc<dyn Sink>)
        };
        let mut sinks: Vec<_> =
            self.branches.iter().filter(|branch| branch.is_alive()).filter_map(before).collect();
        match sinks.len() {
            0 => None,
            1 => sinks.pop(),
            _ => Some(Arc::new(Fanout::new(sinks))),
        }
    }

    fn compare_into(&self, sink: Arc<dyn Sink>, watch: Watch<'_>) -> Result<Moved> {
        watch.progress.enter(Phase::Comparing);
        let engines: Vec<Box<dyn Engine>> = vec![Box::new(Positioned)];
        let mut transfer = Transfer::new(
            (self.origin.source(), self.origin.path().to_owned()),
            (sink, self.branches[0].path().to_owned()),
            self.mapping,
            self.origin.sector(),
            engines,
        );
        transfer.zeros = self.sparse.zeros(false);
        transfer.holes = self.holes.clone();
        transfer.reads_sink = true;
        let about = self.selection.capabilities();
        let policy = self.options.page_cache(about.cache_state, about.bytes, true);
        transfer.page_cache = policy.over(self.standing);
        let transfer = Arc::new(transfer);
        // Not what is seen for a digest only.
        let plan = self.stripes_of(&self.settled.missing_from(self.mapping.from()));
        let work = Stripes {
            transfer: Arc::clone(&transfer),
            cursor: Cursor::new(&plan),
            checkpoint: None,
        };
        let control = self.options.control(self.io_size, watch);
        let controller = self.workers.controller(plan.stripes(), self.io_size);
        let (run, ended) = pool::run(&control, &work, controller);
        transfer.page_cache.finish(&*transfer.source, &*transfer.sink);
        ended?;
        let mut moved = Moved::default();
        moved.record(&run, &transfer, watch.progress);
        Ok(moved)
    }
}
