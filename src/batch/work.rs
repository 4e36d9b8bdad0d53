//! A batch as work for the crew: hands out tasks in source order, opens what
//! they need, and commits outputs as they become complete.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use super::commit::{Commit, GROUP, GROUP_BYTES, Row, RowVerdict, Verdict, algorithms_of};
use super::large::Large;
use super::manifest::Item;
use super::output::{Output, Outputs, ends_the_batch, storage_error};
use super::plan::BatchPlan;
use super::queue::{Segment, Task};
use super::report::{ItemReport, Status};
use super::scatter::{Piece, Scatter};
use super::sources::Sources;
use crate::crew::{Assignment, Failed, Transfer, Work};
use crate::digest::Algorithm;
use crate::engine::Positioned;
use crate::error::{Error, ErrorKind, Result};
use crate::progress::{Progress, lock};
use crate::range::ByteRange;
use crate::report::FailedRange;

/// Active items whose names are shown.
const NAMES_SHOWN: usize = 3;

/// A batch being copied.
pub struct BatchWork<'a> {
    pub items: &'a [Item],
    pub plan: &'a BatchPlan,
    pub sources: &'a Sources,
    pub outputs: Arc<Outputs>,
    pub progress: &'a Progress,
    /// Longest request in bytes that is scattered: what is longer is striped.
    pub io_size: u64,
    pub stripe_size: u64,
    pub sync: bool,
    pub algorithms: &'a [Algorithm],
    /// What large outputs need to go on from an earlier run.
    pub large: super::large::Settings<'a>,
    pub next: Mutex<Next>,
    pub groups: Mutex<HashMap<u32, Arc<Scatter>>>,
    pub larges: Mutex<HashMap<u32, Arc<Large>>>,
    pub finished: Mutex<Vec<Arc<Output>>>,
    pub finished_bytes: AtomicU64,
    pub on_item: &'a (dyn Fn(&ItemReport<'_>) + Sync),
}

/// Where the hand-out stands.
#[derive(Default)]
pub struct Next {
    task: usize,
    /// The large task that is being handed out, and its next stripe.
    large: Option<(u32, Arc<Large>, u64)>,
    /// The next output without any segment.
    empty: usize,
}

impl Work for BatchWork<'_> {
    fn claim(&self) -> Result<Option<Assignment>> {
        loop {
            let (ticket, task) = {
                let mut next = lock(&self.next);
                if let Some(assignment) = self.next_stripe(&mut next)? {
                    return Ok(Some(assignment));
                }
                let Some(task) = self.plan.queue.task(next.task) else {
                    drop(next);
                    return self.make_empty_outputs();
                };
                let ticket = u32::try_from(next.task).map_err(|_| too_many())?;
                next.task += 1;
                if self.is_large(task) {
                    // Made while others wait: they would all want its stripes.
                    if let Some(large) = self.begin_large(&self.plan.queue.segments(task)[0])? {
                        let large = Arc::new(large);
                        lock(&self.larges).insert(ticket, Arc::clone(&large));
                        next.large = Some((ticket, large, 0));
                    }
                    continue;
                }
                (ticket, task)
            };
            if let Some(assignment) = self.begin_group(ticket, task)? {
                return Ok(Some(assignment));
            }
        }
    }

    fn finished(&self, assignment: &Assignment) -> Result<()> {
        let ticket = assignment.ticket;
        let large = lock(&self.larges).get(&ticket).cloned();
        if let Some(large) = large {
            return self.stripe_over(ticket, &large, 1);
        }
        let scatter = lock(&self.groups).remove(&ticket);
        let Some(scatter) = scatter else { return Ok(()) };
        let failed = assignment.transfer.failed();
        for piece in scatter.pieces() {
            let start = assignment.stripe.start();
            let source = piece.range.rebase(0, start).unwrap_or_default();
            piece.output.add_failed(within(&failed, source));
            self.segment_over(&piece.output)?;
        }
        Ok(())
    }

    fn failed(&self, assignment: &Assignment, _offset: u64, error: Error) -> Result<()> {
        if let ErrorKind::Write { source, .. } = error.kind()
            && ends_the_batch(source.kind())
        {
            return Err(error);
        }
        let ticket = assignment.ticket;
        let large = lock(&self.larges).get(&ticket).cloned();
        if let Some(large) = large {
            large.fail(error.chain());
            return self.stripe_over(ticket, &large, 1);
        }
        let scatter = lock(&self.groups).remove(&ticket);
        if let Some(scatter) = scatter {
            // One write to many files: the storage itself, or the source, is gone.
            if let ErrorKind::Write { source, .. } = error.kind() {
                let path = assignment.transfer.sink_path.clone();
                let again = std::io::Error::new(source.kind(), source.to_string());
                return Err(storage_error(path, again));
            }
            for piece in scatter.pieces() {
                piece.output.fail(error.chain());
                self.segment_over(&piece.output)?;
            }
        }
        Ok(())
    }

    fn checkpoint(&self) -> Result<()> {
        self.progress.set_active(self.outputs.some_names(NAMES_SHOWN));
        let larges: Vec<_> = lock(&self.larges).values().cloned().collect();
        for large in larges {
            large.checkpoint(self.progress)?;
        }
        Ok(())
    }
}

impl BatchWork<'_> {
    /// A task of one segment that one request cannot hold.
    fn is_large(&self, task: &Task) -> bool {
        task.segments.len() == 1 && task.span.len() > self.io_size
    }

    fn next_stripe(&self, next: &mut Next) -> Result<Option<Assignment>> {
        let Some((ticket, large, stripe)) = &mut next.large else { return Ok(None) };
        let (ticket, large) = (*ticket, Arc::clone(large));
        if !large.has_failed()
            && let Some(range) = large.plan.stripe(*stripe)
        {
            *stripe += 1;
            let transfer = Arc::clone(&large.transfer);
            return Ok(Some(Assignment { ticket, transfer, stripe: range }));
        }
        let rest = large.plan.stripes() - *stripe;
        next.large = None;
        // One for the hand-out itself, which ends here.
        self.stripe_over(ticket, &large, rest + 1)?;
        Ok(None)
    }

    /// So many stripes of a large task are dealt with.
    fn stripe_over(&self, ticket: u32, large: &Arc<Large>, stripes: u64) -> Result<()> {
        if !large.stripes_over(stripes) {
            return Ok(());
        }
        lock(&self.larges).remove(&ticket);
        self.large.moving.over(&large.transfer);
        large.output.add_failed(large.transfer.failed());
        self.segment_over(&large.output)
    }

    fn begin_large(&self, segment: &Segment) -> Result<Option<Large>> {
        let output = self.output_of(segment)?;
        let large = self.sources.open(segment.source).and_then(|source| {
            let path = self.outputs.path(&output.wanted.name);
            Large::begin(
                segment,
                &source,
                &output,
                &self.outputs,
                (path, self.is_digested(segment.output)),
                self.stripe_size,
                &self.large,
            )
        });
        match large {
            Ok(large) => {
                self.progress.expect_less(segment.range.len() - large.plan.bytes());
                Ok(Some(large))
            }
            Err(error) => {
                output.fail(error.chain());
                self.segment_over(&output)?;
                Ok(None)
            }
        }
    }

    /// Whether digests of anything in an output are wanted.
    fn is_digested(&self, output: u32) -> bool {
        let expects = |&row: &u32| !self.items[row as usize].expected().is_empty();
        !self.algorithms.is_empty() || self.plan.rows(output).iter().any(expects)
    }

    fn begin_group(&self, ticket: u32, task: &Task) -> Result<Option<Assignment>> {
        let segments = self.plan.queue.segments(task);
        let source = match self.sources.open(segments[0].source) {
            Ok(source) => source,
            Err(error) => {
                for segment in segments {
                    let output = self.output_of(segment)?;
                    output.fail(error.chain());
                    self.segment_over(&output)?;
                }
                return Ok(None);
            }
        };
        let mut pieces = Vec::with_capacity(segments.len());
        for segment in segments {
            let output = self.output_of(segment)?;
            let range = segment.range.rebase(task.span.start(), 0).unwrap_or_default();
            let digests = self.digests_of_all(segment, &output);
            pieces.push(Piece { output, range, at: segment.at, digests });
        }
        let scatter = Arc::new(Scatter::new(Arc::clone(&self.outputs), pieces));
        lock(&self.groups).insert(ticket, Arc::clone(&scatter));
        let transfer = Arc::new(Transfer::new(
            (source.io.clone(), source.path.clone()),
            (scatter, self.outputs.path(std::path::Path::new(""))),
            task.span,
            0,
            source.sector(),
            vec![Box::new(Positioned)],
        ));
        Ok(Some(Assignment { ticket, transfer, stripe: task.span }))
    }

    /// The output of a segment. One that could not be made knows that it has
    /// failed, and ends like every other when its segments are over.
    fn output_of(&self, segment: &Segment) -> Result<Arc<Output>> {
        let output = self.outputs.get(segment.output);
        output.and_then(|output| self.reserve(&output).map(|()| output)).map_err(|error| {
            storage_error(self.outputs.path(&self.outputs.wanted(segment.output).name), error)
        })
    }

    /// Reserves all of an output's storage, where the caller wants that.
    fn reserve(&self, output: &Arc<Output>) -> std::io::Result<()> {
        if !self.large.moving.how().reserves_all() || output.has_failed() {
            return Ok(());
        }
        let file = self.outputs.file(output)?;
        self.large.moving.reserve_all(output, file.as_file())
    }

    /// What to work out from the one segment that is all of an output.
    fn digests_of_all(&self, segment: &Segment, output: &Output) -> Vec<Algorithm> {
        let rows = self.plan.rows(segment.output);
        if output.wanted.segments != 1
            || rows.len() != 1
            || segment.range.len() != output.wanted.len
        {
            return Vec::new();
        }
        algorithms_of(&self.items[rows[0] as usize], self.algorithms)
    }

    /// Outputs that no segment goes into: empty files, or nothing but holes.
    fn make_empty_outputs(&self) -> Result<Option<Assignment>> {
        loop {
            let index = {
                let mut next = lock(&self.next);
                let index = next.empty;
                next.empty += 1;
                index
            };
            let Some(&index) = self.plan.empty.get(index) else { return Ok(None) };
            let segment = Segment { source: 0, output: index, range: ByteRange::to(0), at: 0 };
            self.output_over(self.output_of(&segment)?)?;
        }
    }

    fn segment_over(&self, output: &Arc<Output>) -> Result<()> {
        if output.segment_done() { self.output_over(Arc::clone(output)) } else { Ok(()) }
    }

    /// Every byte of an output has been dealt with: it waits for its group.
    fn output_over(&self, output: Arc<Output>) -> Result<()> {
        self.check_source(&output);
        let bytes = output.wanted.len;
        let group = {
            let mut finished = lock(&self.finished);
            finished.push(output);
            let waiting = self.finished_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
            if finished.len() < GROUP && waiting < GROUP_BYTES {
                return Ok(());
            }
            self.finished_bytes.store(0, Ordering::Relaxed);
            std::mem::take(&mut *finished)
        };
        self.commit(group);
        Ok(())
    }

    /// A source of its own must not have changed while it was read.
    fn check_source(&self, output: &Output) {
        let rows = self.plan.rows(output.index);
        let [row] = rows else { return };
        let source = self.plan.source_of(*row);
        if self.plan.is_shared(source) {
            return;
        }
        if let Some(what) = self.sources.change(source) {
            output.fail(format!("the source changed during the copy: {what}"));
        }
    }

    /// Commits what is waiting.
    pub fn flush(&self) {
        let group = std::mem::take(&mut *lock(&self.finished));
        self.commit(group);
    }

    fn commit(&self, group: Vec<Arc<Output>>) {
        let commit =
            Commit { outputs: &self.outputs, sync: self.sync, algorithms: self.algorithms };
        let with_rows = |output: Arc<Output>| {
            let rows = self.plan.rows(output.index).iter().map(|&row| self.row(row)).collect();
            (output, rows)
        };
        for verdict in commit.run(group.into_iter().map(with_rows).collect()) {
            self.report(verdict);
        }
    }

    fn row(&self, row: u32) -> Row<'_> {
        let item = &self.items[row as usize];
        let size = self.sources.size(self.plan.source_of(row));
        Row { item, range: item.destination(size).unwrap_or_default() }
    }

    fn report(&self, verdict: Verdict) {
        let output = verdict.output;
        let failed = output.take_trouble().failed;
        let seconds = output.since.elapsed().as_secs_f64();
        super::large::remove_map(&self.outputs, &output, &verdict.rows, &self.large);
        // Everybody who comes later has nothing to say of it.
        self.plan.first_report(output.index);
        for (row, verdict) in self.plan.rows(output.index).iter().zip(verdict.rows) {
            self.report_row(*row, verdict, &failed, seconds);
        }
    }

    fn report_row(&self, row: u32, verdict: RowVerdict, failed: &[Failed], seconds: f64) {
        let item = &self.items[row as usize];
        let size = self.sources.size(self.plan.source_of(row));
        let mut ranges = Vec::new();
        for run in item.runs.pieces(size) {
            if let super::manifest::Run::Data(range) = run {
                ranges.extend(within(failed, range).map(|part| FailedRange {
                    start: part.range.start(),
                    end: part.range.end(),
                    error: part.error,
                }));
            }
        }
        let lost: u64 = ranges.iter().map(|part| part.end - part.start).sum();
        let len = item.runs.len(size).unwrap_or(0);
        let good = matches!(verdict.status, Status::Complete | Status::Partial);
        let name = |digest: &crate::digest::Digest| (digest.algorithm().name(), digest.to_string());
        (self.on_item)(&ItemReport {
            item,
            status: verdict.status,
            bytes: if good { len - lost.min(len) } else { 0 },
            digests: verdict.digests.iter().map(name).collect(),
            failed: ranges,
            error: verdict.error,
            seconds,
        });
    }

    /// Reports every item of an output that nothing is written of, unless it
    /// has been reported.
    pub fn report_all(&self, output: u32, status: Status, error: Option<&str>) {
        if !self.plan.first_report(output) {
            return;
        }
        for &row in self.plan.rows(output) {
            let error = error.map(str::to_owned);
            self.report_row(row, RowVerdict { status, digests: Vec::new(), error }, &[], 0.0);
        }
    }
}

/// The parts of `failed` that lie in `range`.
fn within(failed: &[Failed], range: ByteRange) -> impl Iterator<Item = Failed> + '_ {
    failed.iter().filter_map(move |part| {
        let part = Failed { range: part.range.intersect(range), error: part.error.clone() };
        (!part.range.is_empty()).then_some(part)
    })
}

fn too_many() -> Error {
    ErrorKind::Usage("more items than can be counted".to_owned()).into()
}

/// Set once, by whoever comes first.
#[derive(Default)]
pub struct Once(AtomicBool);

impl Once {
    /// Whether this is the first call.
    pub fn first(&self) -> bool {
        !self.0.swap(true, Ordering::AcqRel)
    }
}
