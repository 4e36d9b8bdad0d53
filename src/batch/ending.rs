//! What becomes of outputs when every byte of theirs has been dealt with: they
//! wait for their group, are committed with it, and their items are reported.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use super::assembled::{self, Assembled};
use super::commit::{Commit, Proving, Row, RowVerdict, Verdict};
use super::output::Output;
use super::partial;
use super::report::{ItemReport, Status};
use super::roots::Root;
use super::skipped;
use super::sources::Sources;
use super::unchanged::{self, Unproven, may_be_harmless};
use super::why::{Why, told};
use super::work::{BatchWork, InFolder};
use crate::copy::is_of_all;
use crate::durable::intact::{self, Written};
use crate::durable::map::Identity;
use crate::durable::stage;
use crate::endpoint::Origin;
use crate::error::{ErrorKind, Result, SourceChange, chain};
use crate::io::FileIo;
use crate::manifest::{Item, Run};
use crate::preserve;
use crate::progress::lock;
use crate::range::{ByteRange, Failed, RangeSet, Unread};
use crate::report::FailedRange;
use crate::sync::Mutex;

impl BatchWork<'_, '_> {
    pub(super) fn segment_over(&self, output: &Arc<Output>) -> Result<()> {
        if output.segment_done() { self.output_over(Arc::clone(output)) } else { Ok(()) }
    }

    /// Every byte of an output has been dealt with: it waits for its group. So does
    /// what is complete in a folder that was left out.
    pub(super) fn output_over(&self, output: Arc<Output>) -> Result<()> {
        let number = output.root;
        match self.roots.get(number).wait(output) {
            Some(group) => self.commit(number, group),
            None => Ok(()),
        }
    }

    /// Commits what is waiting when the pool has gone. Where files were there
    /// already, as in each folder that is `known`, nobody knows whether they are
    /// durable, nor their names.
    ///
    /// # Errors
    ///
    /// Why the pool ended early, or what must end the batch.
    pub fn end(&self, moved: Result<()>, known: &[bool]) -> Result<()> {
        let committed = self.roots.all().try_for_each(|(number, root)| {
            self.commit(number, root.take_waiting())?;
            if !known[number] || root.is_lost() {
                return Ok(());
            }
            let path = root.outputs.path(Path::new(""));
            match root.outputs.sync_all() {
                Ok(()) => Ok(()),
                Err(source) => self.roots.lose(number, ErrorKind::Sync { path, source }.into()),
            }
        });
        moved.and(committed)
    }

    /// After the pool has ended early, or folders were left out: outputs that are
    /// not complete are discarded, except large ones that a later run can resume.
    pub fn leave(&self) {
        let larges: Vec<_> = lock(&self.larges).values().cloned().collect();
        let mut kept: Vec<Arc<Output>> = Vec::new();
        for large in larges {
            if !large.has_failed() {
                kept.extend(large.keep());
            }
        }
        for (number, root) in self.roots.all() {
            for output in root.outputs.take_unfinished() {
                let trouble = output.take_trouble();
                if !trouble.resumable && !kept.iter().any(|kept| Arc::ptr_eq(kept, &output)) {
                    root.outputs.discard(&output);
                }
                let status =
                    if trouble.error.is_some() { Status::Failed } else { Status::NotTried };
                self.report_all(number, output.index, status, trouble.error.as_ref());
            }
            // Those that nobody began.
            for output in 0..root.outputs.len() as u32 {
                if !root.outputs.wanted(output).complete {
                    self.report_all(number, output, Status::NotTried, None);
                }
            }
        }
    }

    /// Commits `group`, which is of folder `number`. What is wrong with the folder
    /// itself leaves it out.
    fn commit(&self, number: usize, group: Vec<Arc<Output>>) -> Result<()> {
        let root = self.roots.get(number);
        let known = Mutex::new(HashMap::new());
        let expected = &|output: &Output| self.expected(output);
        let preserve = self.preserve.map(|lost| {
            |output: &Output, file: &FileIo| lost.carry_over(output, file, self.plan, self.sources)
        });
        let commit = Commit {
            outputs: &root.outputs,
            algorithms: self.algorithms,
            cancel: self.cancel,
            changed: &|output| self.changed(output, &mut lock(&known)),
            rights: &|output| self.rights(output),
            identity: &|output| self.identity(output),
            lost: &|output, file| self.lost(output, file),
            preserve: preserve.as_ref().map(|preserve| preserve as _),
            claim: self.claim,
            proving: self.proof.map(|proof| Proving { outputs: &root.outputs, expected, proof }),
        };
        let with_rows = |output: Arc<Output>| {
            let rows = self.plan.rows(output.index).iter().map(|&row| self.row(row)).collect();
            (output, rows)
        };
        let (verdicts, result) = commit.run(group.into_iter().map(with_rows).collect());
        for verdict in verdicts {
            self.report(root, verdict);
        }
        match result {
            Err(error) if !is_of_all(&error) => self.roots.lose(number, error),
            result => result,
        }
    }

    /// What changed of the sources of an output since the batch began, so that
    /// its copy cannot be trusted. Each source is asked once a group, and `known`
    /// keeps the answer. One that others are read from as well ends the batch.
    fn changed(
        &self,
        output: &Arc<Output>,
        known: &mut HashMap<u32, Option<SourceChange>>,
    ) -> Result<Option<SourceChange>> {
        let rows = unchanged::rows(self.items, self.plan, output.index);
        let mut suspicious = Vec::new();
        for &(item, number) in &rows {
            let change = known.entry(number).or_insert_with(|| self.sources.change(number));
            let Some(change) = change else { continue };
            let size = self.sources.size(number);
            if self.changes.allow || may_be_harmless(item, size, change) {
                self.changes.note(number, change);
                suspicious.push((item, number));
            } else {
                return self.condemn(number, change.clone());
            }
        }
        if self.changes.allow {
            return Ok(None);
        }
        if suspicious.is_empty() {
            let is_shared = rows.iter().any(|(_, number)| self.plan.is_shared(*number));
            // What one lacks is in its map, and a later run compares it.
            if is_shared && output.unreadable().is_empty() {
                self.changes.unproven(output);
            }
            return Ok(None);
        }
        let compared = self.roots.of(output).outputs.file(output).and_then(|file| {
            let written = output.unreadable().missing_from(ByteRange::to(output.wanted.len));
            unchanged::first_other(&suspicious, self.sources, &file, &written, self.cancel)
        });
        match compared {
            Ok(None) => Ok(None),
            Ok(Some(other)) => self.condemn(other.source, unchanged::content(other)),
            Err(_) if self.cancel.is_cancelled() => Err(ErrorKind::Cancelled.into()),
            Err(error) => Ok(Some(SourceChange::Unknown { reason: chain(&error) })),
        }
    }

    /// What becomes of an output whose source has changed.
    fn condemn(&self, number: u32, change: SourceChange) -> Result<Option<SourceChange>> {
        if !self.plan.is_shared(number) {
            return Ok(Some(change));
        }
        let path = self.sources.path(number).to_owned();
        Err(ErrorKind::SourceChanged { path, change }.into())
    }

    /// What changed of a source that many outputs were read from, when all of
    /// them have their names: those that were not compared are.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::SourceChanged`], [`ErrorKind::Cancelled`].
    pub fn check_shared_sources(&self) -> Result<()> {
        let shared = (0..self.sources.len() as u32).filter(|&number| self.plan.is_shared(number));
        let changed: HashMap<u32, SourceChange> =
            shared.filter_map(|number| Some((number, self.sources.change(number)?))).collect();
        if changed.is_empty() {
            return Ok(());
        }
        changed.iter().for_each(|(&number, change)| self.changes.note(number, change));
        if self.changes.allow {
            return Ok(());
        }
        for Unproven { root, output } in self.changes.take_unproven() {
            let outputs = &self.roots.get(root).outputs;
            let mut rows = unchanged::rows(self.items, self.plan, output);
            rows.retain(|(_, number)| changed.contains_key(number));
            for &(item, number) in &rows {
                let change = &changed[&number];
                if !may_be_harmless(item, self.sources.size(number), change) {
                    self.condemn(number, change.clone())?;
                }
            }
            let wanted = outputs.wanted(output);
            let all = RangeSet::from(ByteRange::to(wanted.len));
            let named = skipped::open(outputs.folders.root(), &wanted.name);
            let compared = named.and_then(|file| {
                unchanged::first_other(&rows, self.sources, &file, &all, self.cancel)
            });
            match compared {
                Ok(None) => {}
                Ok(Some(other)) => drop(self.condemn(other.source, unchanged::content(other))?),
                Err(_) if self.cancel.is_cancelled() => return Err(ErrorKind::Cancelled.into()),
                Err(error) => {
                    let change = SourceChange::Unknown { reason: chain(&error) };
                    self.condemn(rows.first().map_or(0, |row| row.1), change)?;
                }
            }
        }
        Ok(())
    }

    /// The permission bits that a new output may have at most: no more than any
    /// file of which all is in it.
    fn rights(&self, output: &Output) -> u32 {
        let whole = self.plan.rows(output.index).iter().filter_map(|&row| {
            let number = self.plan.source_of(row);
            let all = ByteRange::to(self.sources.size(number));
            let mut pieces = self.items[row as usize].runs.pieces(all.len());
            let is_whole = pieces.next() == Some(Run::Data(all)) && pieces.next().is_none();
            // That one cannot be opened any more fails the item later.
            let private = 0o600;
            let of_file = |source: &dyn Origin| source.file().map(|file| stage::rights(file, all));
            let rights = || match self.sources.open(number) {
                Ok(source) => of_file(&*source).unwrap_or(preserve::OF_ANY_FILE),
                Err(_) => private,
            };
            is_whole.then(rights)
        });
        whole.reduce(|one, other| one & other).unwrap_or(preserve::OF_ANY_FILE)
    }

    /// The identity of the map of an output that lacks something.
    fn identity(&self, output: &Output) -> Result<Identity> {
        let path = self.roots.of(output).outputs.path(&output.wanted.name);
        let rows = self.plan.rows(output.index).iter();
        let rows = rows.map(|&row| (&self.items[row as usize], self.plan.source_of(row)));
        let facts = output.identity().ok_or_else(|| ErrorKind::Destination {
            step: "look at",
            path: path.clone(),
            source: std::io::ErrorKind::NotFound.into(),
        })?;
        partial::identity(&path, output.wanted.len, facts, rows, self.sources)
    }

    /// The first bytes of an output that were written and are not in `file` any
    /// more. What one request has written at once cannot have got a hole
    /// without getting another length.
    fn lost(&self, output: &Output, file: &FileIo) -> Result<Option<ByteRange>> {
        let wanted = &output.wanted;
        if wanted.segments == 1 && wanted.len <= self.large.scattered {
            return Ok(None);
        }
        let holes = intact::holes_of(file.as_file(), ByteRange::to(wanted.len));
        if holes.is_empty() {
            return Ok(None);
        }
        let path = self.roots.of(output).outputs.path(&wanted.name);
        let unreadable = output.unreadable();
        for &row in self.plan.rows(output.index) {
            let number = self.plan.source_of(row);
            let source = self.sources.open(number)?;
            for (range, at) in data_of(&self.items[row as usize], self.sources.size(number)) {
                let mut holes =
                    self.large.moving.how().layout(&*source, range).data.missing_from(range);
                let back = |part: ByteRange| part.rebase(at, range.start());
                let place = ByteRange::with_len(at, range.len()).unwrap_or_default();
                holes.merge(&unreadable.within(place).iter().filter_map(back).collect());
                let (source, to, made) = (source.source(), at, output.made_holes());
                let zeros = RangeSet::new();
                let written = Written { source: &*source, range, to, holes, zeros, made };
                let lost = written.lost(file, &path, self.cancel)?;
                if let Some(first) = lost.iter().next() {
                    return Ok(first.rebase(range.start(), at));
                }
            }
        }
        Ok(None)
    }

    /// What the file of an output is to hold.
    fn expected(&self, output: &Output) -> Assembled<&Sources> {
        let runs = self.plan.rows(output.index).iter().flat_map(|&row| {
            let source = self.plan.source_of(row);
            let data = data_of(&self.items[row as usize], self.sources.size(source));
            data.map(move |(range, at)| assembled::Run { source, range, at })
        });
        Assembled::new(self.sources, runs, output.wanted.len)
    }

    fn row(&self, row: u32) -> Row<'_> {
        let item = &self.items[row as usize];
        let size = self.sources.size(self.plan.source_of(row));
        Row { item, range: item.destination(size).unwrap_or_default() }
    }

    fn report(&self, root: &Root, verdict: Verdict) {
        let output = verdict.output;
        let failed = output.take_trouble().failed;
        let seconds = output.since.elapsed().as_secs_f64();
        if verdict.map_is_over {
            // Best effort: a map that stays makes the next run look twice.
            let _ = root.outputs.map_file(&output).map(|map| map.remove());
        }
        let is_named = verdict.rows.iter().any(|row| row.status.is_named());
        if is_named && self.plan.first_named(output.index) {
            (self.on_file)(output.counted(failed.ranges().bytes()));
        }
        // Everybody who comes later has nothing to say of it.
        root.first_report(output.index);
        for (row, verdict) in self.plan.rows(output.index).iter().zip(verdict.rows) {
            let item = InFolder { folder: output.root, row: *row };
            self.report_item(item, verdict, &failed, seconds);
        }
    }

    /// `failed`: what could not be read, in positions of the output.
    fn report_item(&self, at: InFolder, verdict: RowVerdict, failed: &Unread, seconds: f64) {
        let item = &self.items[at.row as usize];
        let size = self.sources.size(self.plan.source_of(at.row));
        let failed = failed_of(item, size, failed);
        let lost: u64 = failed.iter().map(|part| part.end - part.start).sum();
        let len = item.runs.len(size).unwrap_or(0);
        let good = verdict.status.is_named();
        let (error, error_kind) = told(verdict.why);
        let report = ItemReport {
            item,
            status: verdict.status,
            bytes: if good { len - lost.min(len) } else { 0 },
            digests: verdict.digests,
            failed,
            verified: verdict.verified,
            error,
            error_kind,
            seconds,
            folders: Vec::new(),
        };
        (self.on_item)(at, report);
    }

    /// Reports every item of an output of a folder that nothing is written of, unless
    /// it has been reported.
    fn report_all(&self, folder: usize, output: u32, status: Status, why: Option<&Why>) {
        if !self.roots.get(folder).first_report(output) {
            return;
        }
        for &row in self.plan.rows(output) {
            let why = why.cloned();
            let verdict = RowVerdict { status, digests: Vec::new(), verified: None, why };
            self.report_item(InFolder { folder, row }, verdict, &Unread::new(), 0.0);
        }
    }
}

/// The ranges of a source of `size` bytes that `item` has, each with its place
/// in the output.
pub fn data_of(item: &Item, size: u64) -> impl Iterator<Item = (ByteRange, u64)> + '_ {
    let mut at = item.dest_offset;
    item.runs.pieces(size).filter_map(move |run| {
        let place = at;
        at = at.saturating_add(run.len());
        match run {
            Run::Data(range) => Some((range, place)),
            Run::Hole(_) => None,
        }
    })
}

/// What could not be read for `item`, in bytes of its source, where its output
/// lacks `failed`.
pub fn failed_of(item: &Item, size: u64, failed: &Unread) -> Vec<FailedRange> {
    let mut ranges = Vec::new();
    if failed.is_empty() {
        return ranges;
    }
    for (range, at) in data_of(item, size) {
        let place = ByteRange::with_len(at, range.len()).unwrap_or_default();
        for part in failed.within(place) {
            let range = part.range.rebase(at, range.start()).unwrap_or_default();
            ranges.push(FailedRange::from(Failed { range, ..part }));
        }
    }
    ranges
}
