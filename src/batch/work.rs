//! A batch as work for the pool: hands out tasks in source order, opens what
//! they need, and commits outputs as they become complete.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, OnceLock};

use super::claim::Claim;
use super::commit::algorithms_of;
use super::large::{Large, Settings, Wishes, has_map};
use super::output::Output;
use super::outputs::{Make, ends_the_batch, storage_error};
use super::plan::BatchPlan;
use super::preserving::Lost;
use super::proof::Proof;
use super::queue::Segment;
use super::report::ItemReport;
use super::roots::{Root, Roots};
use super::scatter::{Piece, Scatter};
use super::sources::Sources;
use super::unchanged::Changes;
use super::why::Why;
use crate::digest::Algorithm;
use crate::engine::Positioned;
use crate::error::{Error, ErrorKind, Result};
use crate::io::{GapReader, Source};
use crate::manifest::Item;
use crate::pool::{Assignment, Observers, Transfer, Work};
use crate::progress::{CancelToken, Progress, lock};
use crate::range::{ByteRange, Failed, Mapping, RangeSet};
use crate::report::Bytes;
use crate::sync::{Condvar, Mutex, PoisonError};

/// Active items whose names are shown.
const NAMES_SHOWN: usize = 3;

/// A batch being copied.
pub struct BatchWork<'a, 'i> {
    pub items: &'i [Item],
    pub plan: &'a BatchPlan,
    pub sources: &'a Sources,
    pub roots: Arc<Roots>,
    pub progress: &'a Progress,
    pub cancel: &'a CancelToken,
    pub algorithms: &'a [Algorithm],
    pub large: Settings<'a>,
    pub next: Mutex<Next<'a>>,
    /// Told when a large task has been begun.
    pub begun: Condvar,
    pub groups: Mutex<HashMap<u32, Arc<Scatter>>>,
    pub larges: Mutex<HashMap<u32, Arc<Large<'a>>>>,
    /// How files are compared before they get their names, if they are.
    pub proof: Option<&'a Proof<'a>>,
    /// Where attributes are carried over: what could not be.
    pub preserve: Option<&'a Lost>,
    /// Whether files may get their names, where other processes do other parts.
    pub claim: Option<&'a Claim>,
    /// Sources that are not as they were.
    pub changes: &'a Changes,
    /// Told of the items that are over in one folder.
    pub on_item: &'a (dyn Fn(InFolder, ItemReport<'i>) + Sync),
    /// Told of each file that got its name, and where its bytes come from.
    pub on_file: &'a (dyn Fn(Bytes) + Sync),
}

/// An item in one of the folders.
#[derive(Clone, Copy, Debug)]
pub struct InFolder {
    /// The number of the folder.
    pub folder: usize,
    /// The number of the item.
    pub row: u32,
}

/// Where the hand-out stands.
#[derive(Default)]
pub struct Next<'a> {
    task: usize,
    /// The number of the next assignment.
    ticket: u32,
    /// Segments of requests that failed, to be read alone.
    alone: Vec<Segment>,
    /// Large tasks that are being handed out, and their next stripes.
    larges: VecDeque<(u32, Arc<Large<'a>>, u64)>,
    /// Large tasks that are being begun: their stripes are still to come.
    beginning: usize,
    /// The next output without any segment.
    empty: usize,
}

/// What a worker is to do next.
enum Pick<'a> {
    Stripe(Assignment),
    /// Nobody else begins this task.
    Large(u32, &'a Segment),
    Group(u32, &'a [Segment]),
    Alone(u32, Segment),
    /// All stripes of a large task are handed out, or not needed: so many of them.
    HandedOut(u32, Arc<Large<'a>>, u64),
    Nothing,
}

impl Work for BatchWork<'_, '_> {
    fn claim(&self) -> Result<Option<Assignment>> {
        loop {
            let group = match self.pick()? {
                Pick::Stripe(assignment) => return Ok(Some(assignment)),
                Pick::Nothing => return self.make_empty_outputs(),
                Pick::Large(ticket, segment) => {
                    let _told = Beginning(self);
                    self.begin_large(ticket, segment)?;
                    continue;
                }
                Pick::HandedOut(ticket, large, rest) => {
                    // One for the hand-out itself, which ends here.
                    self.stripes_over(ticket, &large, rest + 1)?;
                    continue;
                }
                Pick::Group(ticket, segments) => self.begin_group(ticket, segments)?,
                Pick::Alone(ticket, segment) => self.begin_group(ticket, &[segment])?,
            };
            if let Some(assignment) = group {
                return Ok(Some(assignment));
            }
        }
    }

    fn finished(&self, assignment: &Assignment) -> Result<()> {
        let ticket = assignment.ticket;
        let large = lock(&self.larges).get(&ticket).cloned();
        if let Some(large) = large {
            return self.stripes_over(ticket, &large, 1);
        }
        let scatter = lock(&self.groups).remove(&ticket);
        let Some(scatter) = scatter else { return Ok(()) };
        let failed = assignment.transfer.failed();
        // There is one of all if every byte was read as it was reported.
        let is_sound = !assignment.transfer.observers().take_fingerprints().is_empty();
        for piece in scatter.pieces() {
            let source = piece.segment.range;
            let place = |part: Failed| {
                let range = part.range.rebase(source.start(), piece.segment.at);
                Failed { range: range.unwrap_or_default(), ..part }
            };
            let failed = failed.within(source);
            let unread: u64 = failed.iter().map(|part| part.range.len()).sum();
            for output in &piece.outputs {
                output.add_fingerprints(piece.fingerprint().filter(|_| is_sound));
                output.add_moved(source.len() - unread);
                output.add_failed(failed.iter().cloned().map(place));
                self.segment_over(output)?;
            }
        }
        Ok(())
    }

    fn failed(&self, assignment: &Assignment, _offset: u64, error: Error) -> Result<()> {
        let ticket = assignment.ticket;
        let large = lock(&self.larges).get(&ticket).cloned();
        if large.is_none() && is_of_storage(&error) {
            return Err(error);
        }
        if let Some(large) = large {
            // Those of several folders that could not be written say so themselves.
            self.take_failures(&large)?;
            if is_of_storage(&error)
                && let Some(output) = large.only_output()
            {
                output.fail(Why::from(&error));
                self.roots.lose(output.root, error)?;
                return self.stripes_over(ticket, &large, 1);
            }
            if self.ends_with_source(&error, large.source) {
                return Err(error);
            }
            let is_gone = matches!(error.kind(), ErrorKind::SourceGone { .. });
            if is_gone && !large.has_failed() {
                large.keep().iter().for_each(|output| output.stay());
            }
            large.fail(&Why::from(&error));
            return self.stripes_over(ticket, &large, 1);
        }
        let scatter = lock(&self.groups).remove(&ticket);
        let Some(scatter) = scatter else { return Ok(()) };
        if scatter.pieces().iter().any(|piece| self.ends_with_source(&error, piece.segment.source))
        {
            return Err(error);
        }
        // One write to many files: the storage itself, or the source, is gone.
        if let ErrorKind::Write { source, .. } = error.kind() {
            let path = assignment.transfer.sink_path.clone();
            let again = std::io::Error::new(source.kind(), source.to_string());
            return Err(storage_error(path, again));
        }
        match scatter.pieces() {
            [piece] => piece.outputs.iter().try_for_each(|output| {
                output.fail(Why::from(&error));
                self.segment_over(output)
            }),
            pieces => {
                // It is the fault of one of them, or some: each is read alone.
                // This worker claims again, so somebody does it.
                let alone = pieces.iter().map(|piece| piece.segment);
                let bytes: u64 = alone.clone().map(|segment| segment.range.len()).sum();
                self.progress.expect_less(assignment.stripe.len().saturating_sub(bytes));
                // The last is taken first.
                lock(&self.next).alone.extend(alone.rev());
                Ok(())
            }
        }
    }

    fn abandoned(&self, assignment: &Assignment) -> Result<()> {
        // Only large files have parts that wait for each other, and whose part
        // failed has said so.
        let large = lock(&self.larges).get(&assignment.ticket).cloned();
        large.map_or(Ok(()), |large| self.stripes_over(assignment.ticket, &large, 1))
    }

    fn checkpoint(&self) -> Result<()> {
        self.progress.set_active(self.roots.first().outputs.some_names(NAMES_SHOWN));
        let larges: Vec<_> = lock(&self.larges).values().cloned().collect();
        for large in larges {
            if let Err(error) = large.checkpoint(self.progress) {
                // Of several, each keeps what is wrong with it.
                let Some(output) = large.only_output() else { return Err(error) };
                output.fail(Why::from(&error));
                self.roots.lose(output.root, error)?;
            }
        }
        Ok(())
    }
}

impl<'a> BatchWork<'a, '_> {
    /// Whether `error` says that `source` is gone or another one, and others would be
    /// read from it as well: they would meet the same. What a server does not send
    /// however often it is asked is gone.
    fn ends_with_source(&self, error: &Error, source: u32) -> bool {
        let is_of_all = match error.kind() {
            ErrorKind::SourceGone { .. } => true,
            ErrorKind::SourceChanged { .. } | ErrorKind::Read { .. } => {
                self.sources.facts(source).is_none()
            }
            _ => false,
        };
        is_of_all && self.plan.is_shared(source)
    }

    /// Stripes of what has been begun come first, then what is next in the
    /// order of the sources. A worker that would go idle while a large task is being
    /// begun waits for its stripes.
    fn pick(&self) -> Result<Pick<'a>> {
        let mut next = lock(&self.next);
        loop {
            if let Some(pick) = next.stripe() {
                return Ok(pick);
            }
            if let Some(segment) = next.alone.pop() {
                return Ok(Pick::Alone(next.ticket()?, segment));
            }
            if let Some(task) = self.plan.queue.task(next.task) {
                next.task += 1;
                let segments = self.plan.queue.segments(task);
                let ticket = next.ticket()?;
                if !task.is_large(self.large.scattered) && !self.sources.have_holes(segments) {
                    return Ok(Pick::Group(ticket, segments));
                }
                next.beginning += 1;
                return Ok(Pick::Large(ticket, &segments[0]));
            }
            if next.beginning == 0 {
                return Ok(Pick::Nothing);
            }
            next = self.begun.wait(next).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// So many stripes of a large task are dealt with.
    fn stripes_over(&self, ticket: u32, large: &Arc<Large<'a>>, stripes: u64) -> Result<()> {
        if !large.stripes_over(stripes) {
            return Ok(());
        }
        let taken = self.take_failures(large);
        large.close();
        lock(&self.larges).remove(&ticket);
        taken?;
        self.large.moving.over(&large.transfer);
        large.all_outputs().try_for_each(|output| self.segment_over(output))
    }

    /// Of several folders, leaves out the outputs of `large` that could not be
    /// written, and the folders that take no more.
    fn take_failures(&self, large: &Large<'_>) -> Result<()> {
        for (output, error) in large.take_failures() {
            output.fail(Why::from(&error));
            if is_of_storage(&error) {
                self.roots.lose(output.root, error)?;
            }
        }
        Ok(())
    }

    /// Begins a large task, so that everybody may have stripes of it.
    fn begin_large(&self, ticket: u32, segment: &Segment) -> Result<()> {
        let outputs = self.outputs_of(segment, true)?;
        if outputs.is_empty() {
            // The folders that needed it were left out.
            self.progress.expect_less(segment.range.len());
            return Ok(());
        }
        let digests = self.digests_of_all(segment);
        let wishes = Wishes { digests, digested: self.is_digested(segment.output) };
        let large = self.sources.open(segment.source).and_then(|source| {
            Large::begin(segment, &source, &outputs, &self.roots, wishes, self.large)
        });
        match large {
            Ok(large) => {
                self.progress.expect_less(segment.range.len() - large.to_copy);
                let large = Arc::new(large);
                lock(&self.larges).insert(ticket, Arc::clone(&large));
                lock(&self.next).larges.push_back((ticket, large, 0));
                Ok(())
            }
            Err(error) => {
                let is_stopped = matches!(error.kind(), ErrorKind::Cancelled);
                outputs.iter().try_for_each(|output| {
                    if is_stopped {
                        // What an earlier run left is as it was.
                        output.stay();
                    }
                    output.fail(Why::from(&error));
                    self.segment_over(output)
                })
            }
        }
    }

    /// Whether digests of anything in an output are wanted.
    fn is_digested(&self, output: u32) -> bool {
        let expects = |&row: &u32| !self.items[row as usize].expected().is_empty();
        !self.algorithms.is_empty() || self.plan.rows(output).iter().any(expects)
    }

    fn begin_group(&self, ticket: u32, segments: &[Segment]) -> Result<Option<Assignment>> {
        let source = match self.sources.open(segments[0].source) {
            Ok(source) => source,
            Err(error) => {
                for segment in segments {
                    for output in self.outputs_of(segment, false)? {
                        output.fail(Why::from(&error));
                        self.segment_over(&output)?;
                    }
                }
                return Ok(None);
            }
        };
        let wanted: RangeSet = segments.iter().map(|segment| segment.range).collect();
        let ranges = wanted.as_slice();
        let span = match (ranges.first(), ranges.last()) {
            (Some(first), Some(last)) => ByteRange::between(first.start(), last.end()),
            _ => return Ok(None),
        };
        let mut pieces = Vec::with_capacity(segments.len());
        for segment in segments {
            let outputs = self.outputs_of(segment, false)?;
            let range = segment.range.rebase(span.start(), 0).unwrap_or_default();
            if !self.plan.is_shared(segment.source) {
                outputs.iter().for_each(|output| self.roots.keep(output, &source));
            }
            let (segment, digests) = (*segment, self.digests_of_all(segment));
            pieces.push(Piece { outputs, segment, range, digests, hash: OnceLock::new() });
        }
        let scatter =
            Arc::new(Scatter::new(Arc::clone(&self.roots), pieces, self.large.options.verifies()));
        lock(&self.groups).insert(ticket, Arc::clone(&scatter));
        let reader: Arc<dyn Source> = match wanted.covers(span) {
            true => source.source(),
            false => Arc::new(GapReader::new(source.source(), wanted)),
        };
        let mut transfer = Transfer::new(
            (reader, source.path().to_owned()),
            (scatter, self.roots.first().outputs.path(std::path::Path::new(""))),
            Mapping::to_start(span),
            source.sector(),
            vec![Box::new(Positioned)],
        );
        if self.large.options.verifies() {
            transfer = transfer.observed(Observers::none().fingerprints());
        }
        Ok(Some(Assignment { ticket, transfer: Arc::new(transfer), stripe: span }))
    }

    /// The outputs of a segment in the folders that need it. One that could not be
    /// made knows that it has failed, and ends like every other when its segments
    /// are over.
    fn outputs_of(&self, segment: &Segment, large: bool) -> Result<Vec<Arc<Output>>> {
        let mut outputs = Vec::with_capacity(1);
        for (number, root) in self.roots.that_need(segment.output) {
            let wanted = root.outputs.wanted(segment.output);
            let keep = large && has_map(segment, wanted);
            let at_once = !large && wanted.segments == 1 && wanted.bytes == wanted.len;
            let output = root.outputs.get(segment.output, Make { keep, at_once });
            match output.and_then(|output| self.reserve(root, &output).map(|()| output)) {
                Ok(output) => outputs.push(output),
                Err(error) => {
                    let error = storage_error(root.outputs.path(&wanted.name), error);
                    self.roots.lose(number, error)?;
                }
            }
        }
        Ok(outputs)
    }

    /// Reserves all of an output's storage, where the caller wants that.
    fn reserve(&self, root: &Root, output: &Arc<Output>) -> std::io::Result<()> {
        if !self.large.moving.how().reserves_all() || output.has_failed() {
            return Ok(());
        }
        let file = root.outputs.file(output)?;
        self.large.moving.reserve_all(output, file.as_file())
    }

    /// What to work out from the one segment that is all of an output.
    fn digests_of_all(&self, segment: &Segment) -> Vec<Algorithm> {
        let rows = self.plan.rows(segment.output);
        let wanted = self.roots.first().outputs.wanted(segment.output);
        if wanted.segments != 1 || rows.len() != 1 || segment.range.len() != wanted.len {
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
            let source = match self.plan.rows(index) {
                [row] => Some(self.plan.source_of(*row)),
                _ => None,
            };
            let source = source.filter(|number| !self.plan.is_shared(*number));
            let source = source.and_then(|number| self.sources.open(number).ok());
            for output in self.outputs_of(&segment, false)? {
                source.iter().for_each(|source| self.roots.keep(&output, source));
                self.output_over(output)?;
            }
        }
    }
}

impl<'a> Next<'a> {
    /// The next stripe of what has been begun, or what has no more.
    fn stripe(&mut self) -> Option<Pick<'a>> {
        let (ticket, large, stripe) = self.larges.front_mut()?;
        if !large.has_failed()
            && let Some(range) = large.plan.stripe(*stripe)
        {
            *stripe += 1;
            let transfer = Arc::clone(&large.transfer);
            return Some(Pick::Stripe(Assignment { ticket: *ticket, transfer, stripe: range }));
        }
        let (ticket, large, stripe) = self.larges.pop_front()?;
        let rest = large.plan.stripes() - stripe;
        Some(Pick::HandedOut(ticket, large, rest))
    }

    fn ticket(&mut self) -> Result<u32> {
        let ticket = self.ticket;
        self.ticket = ticket.checked_add(1).ok_or_else(too_many)?;
        Ok(ticket)
    }
}

/// Wakes those who wait for the stripes of a large task that is being begun,
/// also if there will be none.
struct Beginning<'w, 'a, 'i>(&'w BatchWork<'a, 'i>);

impl Drop for Beginning<'_, '_, '_> {
    fn drop(&mut self) {
        lock(&self.0.next).beginning -= 1;
        self.0.begun.notify_all();
    }
}

/// Whether an error says that the storage as a whole takes no more.
fn is_of_storage(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Write { source, .. } if ends_the_batch(source.kind()))
}

fn too_many() -> Error {
    ErrorKind::usage("more items than can be counted").into()
}
