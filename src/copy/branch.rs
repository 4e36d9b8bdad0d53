//! One destination of a copy: what is known of it, and what is recorded for it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::only_changed::Update;
use crate::durable::checkpoint::{Checkpointer, Ledger};
use crate::durable::intact::Written;
use crate::endpoint::{Abilities, Destination, Draft, Journal, Kind, Looked, ObjectId};
use crate::error::{Error, ErrorKind, Outcome};
use crate::io::{Fanout, Sink, WriteOrder};
use crate::pool::Transfer;
use crate::progress::lock;
use crate::range::{ByteRange, RangeSet};
use crate::report::DestinationReport;
use crate::sync::Mutex;

/// What is known to be wrong is widened to whole blocks of the page cache, so
/// that no block is half trusted.
const BLOCK: u64 = 4096;

/// One destination of a copy.
pub struct Branch {
    pub report: DestinationReport,
    pub abilities: Abilities,
    /// Until it is begun.
    pub destination: Option<Box<dyn Destination>>,
    /// What an earlier run has written, in bytes of the source.
    pub done: RangeSet,
    /// Whether an earlier run has written some of it.
    pub resumed: bool,
    /// What of it could not be taken back, in words.
    pub left: Option<String>,
    /// Until it is begun: where progress is recorded.
    pub journal: Option<Journal>,
    /// Where only what differs is written: what it holds, and what was found of it.
    pub update: Option<Update>,
    /// While it is written.
    pub draft: Option<Box<dyn Draft>>,
    /// The same, where progress is recorded.
    pub checkpointer: Option<Checkpointer>,
    /// What of it was found to be wrong, in bytes of the source.
    distrusted: Mutex<RangeSet>,
    /// Whether it has its final name.
    pub named: bool,
    /// Why it is left out.
    pub error: Option<Error>,
    /// The same in words, where the copy ended in that error.
    pub said: Option<String>,
    /// The same in a word that stays.
    pub word: Option<&'static str>,
    pub outcome: Outcome,
    pub verified: Option<bool>,
    pub verified_by: Option<&'static str>,
    pub mismatches: Vec<ByteRange>,
    pub durable: bool,
    pub resumable: bool,
}

impl Branch {
    /// One that was looked at.
    pub fn new(destination: Box<dyn Destination>) -> Branch {
        let report = crate::endpoint::destination_report(&*destination);
        let abilities = destination.abilities();
        Branch { destination: Some(destination), ..Branch::blank(report, abilities) }
    }

    /// One that was looked at and begun by a larger job, which will commit it. An
    /// earlier run has written some of what is there if it is `resumed`.
    pub fn begun(path: PathBuf, draft: Box<dyn Draft>, looked: Looked, resumed: bool) -> Branch {
        let report = DestinationReport { path, kind: Kind::File, segments: Vec::new() };
        let Looked { done, journal, .. } = looked;
        let blank = Branch::blank(report, Abilities::default());
        Branch { done, journal, draft: Some(draft), resumed, ..blank }
    }

    fn blank(report: DestinationReport, abilities: Abilities) -> Branch {
        Branch {
            report,
            abilities,
            destination: None,
            done: RangeSet::new(),
            resumed: false,
            left: None,
            journal: None,
            update: None,
            draft: None,
            checkpointer: None,
            distrusted: Mutex::default(),
            named: false,
            error: None,
            said: None,
            word: None,
            outcome: Outcome::Failed,
            verified: None,
            verified_by: None,
            mismatches: Vec::new(),
            durable: false,
            resumable: false,
        }
    }

    /// Its final name.
    pub fn path(&self) -> &Path {
        &self.report.path
    }

    /// Whether it is still to become complete.
    pub fn is_alive(&self) -> bool {
        self.error.is_none() && self.said.is_none()
    }

    /// Leaves it out from now on. What was written of it goes away.
    pub fn fail(&mut self, error: Error) {
        let is_wrong = error.outcome() == Outcome::Mismatch;
        self.error.get_or_insert(error);
        if is_wrong { self.discard_wrong() } else { self.discard() }
    }

    /// Takes away what is not what was expected, and its map. In place all of it is
    /// there, and cutting it off would not bring back what was there before.
    pub fn discard_wrong(&mut self) {
        if self.abilities.in_place {
            drop(self.draft.take());
        }
        self.discard();
    }

    /// The same, with all that was written left where it is: it is complete.
    pub fn leave(&mut self, error: Error) {
        self.error.get_or_insert(error);
        drop(self.draft.take());
        self.close();
    }

    /// Takes away what this run has written, and its map. What an earlier run
    /// wrote stays, and so does what cannot be taken away, and the map that tells of it.
    pub fn discard(&mut self) {
        if let Some(draft) = self.draft.take() {
            self.left = draft.discard();
        }
        if let Some(checkpointer) = self.checkpointer.take() {
            checkpointer.close();
            if !self.resumed && self.left.is_none() {
                // Best effort: the error that brought us here says more.
                let _ = checkpointer.remove();
            }
        }
    }

    /// What of `failed`, which cannot be read, is not there from an earlier run.
    pub fn lacks(&self, failed: &RangeSet) -> RangeSet {
        let (mut lacks, mut there) = (failed.clone(), self.done.clone());
        there.subtract(&lock(&self.distrusted));
        lacks.subtract(&there);
        lacks
    }

    /// No checkpoints of it from here on.
    pub fn close(&self) {
        if let Some(checkpointer) = &self.checkpointer {
            checkpointer.close();
        }
    }

    /// Records what `transfer` has done for it when a larger job ends early;
    /// whether there is something to resume from.
    pub fn save_found(&self, transfer: &Transfer, fanout: Option<Member<'_>>) -> bool {
        let Some(checkpointer) = self.checkpointer.as_ref().filter(|_| self.is_alive()) else {
            return false;
        };
        checkpointer.save_found(&self.ledger(transfer, fanout)).is_ok()
    }

    /// The error of a write of `range` of it, or of a sync.
    pub fn write_error(&self, range: Option<ByteRange>, source: io::Error) -> Error {
        let path = self.path().to_owned();
        match range {
            Some(range) => ErrorKind::Write { path, range, source }.into(),
            None => ErrorKind::Sync { path, source }.into(),
        }
    }

    /// What `transfer` has done for it. `number` is its place in `fanout`.
    pub fn ledger<'a>(&'a self, transfer: &'a Transfer, fanout: Option<Member<'a>>) -> Record<'a> {
        let sink = self.draft.as_ref().map(|draft| draft.sink());
        let order = self.draft.as_ref().map(|draft| draft.write_order()).unwrap_or_default();
        let path = self.draft.as_ref().map_or(self.path(), |draft| draft.path()).to_owned();
        Record { branch: self, transfer, sink, order, path, fanout }
    }

    /// Takes back that `wrong`, a part of the range, is done, and has its map say
    /// so, that nobody resumes from it whatever comes next.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Journal`].
    pub fn invalidate(&self, transfer: &Transfer, wrong: &RangeSet) -> crate::Result<()> {
        let Some(checkpointer) = &self.checkpointer else { return Ok(()) };
        let range = transfer.mapping.from();
        let wrong = wrong.iter().map(|part| part.align_out(BLOCK).intersect(range)).collect();
        checkpointer.invalidate_ranges(&self.ledger(transfer, None), &wrong)
    }
}

/// One of several sinks.
#[derive(Clone, Copy)]
pub struct Member<'a> {
    pub fanout: &'a Fanout,
    pub number: usize,
}

/// What is known of the bytes of one destination.
pub struct Record<'a> {
    branch: &'a Branch,
    transfer: &'a Transfer,
    sink: Option<Arc<dyn Sink>>,
    order: WriteOrder,
    path: PathBuf,
    fanout: Option<Member<'a>>,
}

impl Ledger for Record<'_> {
    fn destination(&self) -> &Path {
        &self.path
    }

    fn sync_data(&self) -> io::Result<()> {
        self.sink.as_ref().map_or(Ok(()), |sink| sink.sync_data())
    }

    fn secure_names(&self) -> io::Result<()> {
        self.branch.draft.as_ref().map_or(Ok(()), |draft| draft.secure_names())
    }

    fn done(&self) -> RangeSet {
        let mut done = self.transfer.recorded();
        // Asked after `done` was taken: what fails later is not in it.
        if self.fanout.is_some_and(|member| member.fanout.has_failed(member.number)) {
            return RangeSet::new();
        }
        for kept in self.order.not_written().iter() {
            done.remove(self.transfer.mapping.to_source(kept));
        }
        done
    }

    fn unreadable(&self) -> RangeSet {
        self.branch.lacks(&self.transfer.failed().ranges())
    }

    fn distrusted(&self) -> RangeSet {
        lock(&self.branch.distrusted).clone()
    }

    fn lost(&self) -> RangeSet {
        let Some(file) = self.sink.as_ref().and_then(|sink| sink.file()) else {
            return RangeSet::new();
        };
        let mapping = self.transfer.mapping;
        let mut holes = self.done().missing_from(mapping.from());
        holes.merge(&self.transfer.holes);
        let (range, to, made) = (mapping.from(), mapping.to().start(), self.transfer.made_holes());
        let (source, zeros) = (&*self.transfer.source, self.branch.left_zeros(mapping));
        Written { source, range, to, holes, zeros, made }.probably_lost(file)
    }

    fn beyond(&self) -> ByteRange {
        let mapping = self.transfer.mapping;
        let reach = self.branch.draft.as_ref().and_then(|draft| draft.reach());
        reach.map_or(ByteRange::to(0), |end| mapping.to_source(mapping.to().split_at(end).1))
    }

    fn object(&self) -> Option<ObjectId> {
        self.branch.draft.as_ref()?.recorded()
    }

    fn invalidate(&self, ranges: &RangeSet) {
        lock(&self.branch.distrusted).merge(ranges);
    }

    fn revalidate(&self) {
        *lock(&self.branch.distrusted) = RangeSet::new();
    }
}
