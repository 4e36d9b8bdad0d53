//! A large file of a batch: a copy like any other, with a map of its own, so that
//! an interrupted run can be resumed there. Its stripes are handed
//! out among those of the batch, and it is committed with its group.

use std::sync::Arc;

use super::draft;
use super::moving::{self, Moving};
use super::output::Output;
use super::queue::Segment;
use super::roots::Roots;
use super::wanted::Wanted;
use super::why::Why;
use crate::copy::{Branch, Moved, Part, Sent, Task};
use crate::digest::{Algorithm, ordered};
use crate::endpoint::Origin;
use crate::error::{Error, ErrorKind, Refusal, Result};
use crate::io::fingerprint::Fingerprint;
use crate::options::Options;
use crate::plan::Plan;
use crate::pool::Transfer;
use crate::progress::{CancelToken, Progress, lock};
use crate::range::{Failed, Mapping};
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Mutex, PoisonError, RwLock, RwLockWriteGuard};

/// Files below this are copied again rather than resumed: a map costs more. The models copy
/// small files and try maps too, so the bound is lower there.
pub const SMALLEST_WITH_MAP: u64 = if cfg!(all(test, pcopy_model)) { 8192 } else { 64 << 20 };

/// What all large outputs of a batch share.
#[derive(Clone, Copy)]
pub struct Settings<'a> {
    pub options: &'a Options,
    /// The caller's wish to stop.
    pub cancel: &'a CancelToken,
    /// How bytes move.
    pub moving: &'a Moving,
    /// Where to tell of what an engine cannot.
    pub progress: &'a Progress,
    /// Unit of scheduling, in bytes.
    pub stripe_size: u64,
    /// Longest request, in bytes.
    pub io_size: u64,
    /// Longest request that is scattered: what is longer is striped.
    pub scattered: u64,
}

/// What is worked out of the bytes of a large output.
pub struct Wishes {
    /// Digests of the whole output, worked out on the way.
    pub digests: Vec<Algorithm>,
    /// Whether any digest of it is wanted, then or later.
    pub digested: bool,
}

/// A large output being written, or one large fragment of one.
pub struct Large<'a> {
    /// What is copied to where.
    pub transfer: Arc<Transfer>,
    /// Its stripes.
    pub plan: Arc<Plan>,
    /// Bytes that are copied, and not only looked at.
    pub to_copy: u64,
    /// The output it belongs to, in each folder that is written: one for each
    /// branch of the task.
    outputs: Vec<Arc<Output>>,
    /// The same where that could not be begun.
    not_begun: Vec<Arc<Output>>,
    /// Number of the source.
    pub source: u32,
    /// Stripes not dealt with, and one for the hand-out of stripes itself.
    pending: AtomicU64,
    task: RwLock<Task<'a>>,
    sent: Sent,
    /// Records of progress that failed, by the number of the branch.
    troubles: Mutex<Vec<(usize, Error)>>,
}

/// Whether what an earlier run left of the output of `segment` is worth
/// keeping: only then is there a map that says what it holds.
pub fn has_map(segment: &Segment, wanted: &Wanted) -> bool {
    wanted.segments == 1
        && wanted.partial.is_none()
        && wanted.suffix.is_none()
        && segment.range.len() >= SMALLEST_WITH_MAP
}

impl<'a> Large<'a> {
    /// Makes ready to copy `segment` to `outputs`, each of which is in a folder of
    /// its own.
    ///
    /// # Errors
    ///
    /// If none of the outputs can be opened, or the engine asked for does not work here
    /// after all, or there is no room for what it needs.
    pub fn begin(
        segment: &Segment,
        source: &Arc<dyn Origin>,
        outputs: &[Arc<Output>],
        roots: &Roots,
        wishes: Wishes,
        settings: Settings<'a>,
    ) -> Result<Large<'a>> {
        let moving = settings.moving;
        let layout = moving.how().layout(&**source, segment.range);
        let begin = |output: &Arc<Output>| {
            draft::begin(segment, &**source, output, &roots.of(output).outputs, settings)
        };
        let Begun { branches, outputs, not_begun } = Begun::of(outputs, begin)?;
        let path = branches[0].path().to_owned();
        let mapping = Mapping::new(segment.range, segment.at);
        let piece = moving::Piece {
            source: &**source,
            mapping: mapping.ok_or(Refusal::TooFar { path })?,
            layout: &layout,
            outputs: &outputs,
            place: moving.place_of(&branches[0]),
            digested: wishes.digested,
        };
        // Where bytes are looked at in order, later stripes wait for earlier ones.
        let stripe_size = match outputs.iter().any(|output| output.grows.load(Ordering::Acquire)) {
            // One worker writes all of it, in ascending order.
            true => segment.range.len().next_power_of_two(),
            false if ordered(&wishes.digests) => settings.io_size,
            false => settings.stripe_size,
        };
        let part = Part {
            options: settings.options,
            origin: source.clone(),
            mapping: piece.mapping,
            branches,
            digests: wishes.digests,
        };
        let mut task =
            Task::of_part(part, &layout, |bytes| moving.way(&piece, bytes, stripe_size))?;
        let mut moved = Moved::default();
        let sent = task.send(&mut moved, settings.progress)?;
        moved.fallbacks.into_iter().for_each(|fallback| moving.note(fallback));
        outputs.iter().for_each(|output| output.add_earlier(task.resumed));
        let plan = Arc::clone(&task.plan);
        Ok(Large {
            pending: AtomicU64::new(plan.stripes() + 1),
            transfer: Arc::clone(&sent.transfer),
            plan,
            to_copy: task.bytes,
            outputs,
            not_begun,
            source: segment.source,
            task: RwLock::new(task),
            sent,
            troubles: Mutex::default(),
        })
    }

    fn task(&self) -> RwLockWriteGuard<'_, Task<'a>> {
        self.task.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The output of the only folder that is written.
    pub fn only_output(&self) -> Option<&Arc<Output>> {
        let [only] = &self.outputs[..] else { return None };
        Some(only)
    }

    /// The outputs it belongs to, also where they could not be begun.
    pub fn all_outputs(&self) -> impl Iterator<Item = &Arc<Output>> {
        self.outputs.iter().chain(&self.not_begun)
    }

    /// Leaves out the outputs, of several, that could not be written or recorded;
    /// returns them with what kept them from it.
    pub fn take_failures(&self) -> Vec<(Arc<Output>, Error)> {
        let mut task = self.task();
        task.take_failures(&self.sent, std::mem::take(&mut *lock(&self.troubles)));
        let mut failed = Vec::new();
        for (branch, output) in task.branches.iter_mut().zip(&self.outputs) {
            let Some(error) = branch.error.take() else { continue };
            if branch.resumed {
                // What an earlier run left is as good as it was.
                output.stay();
            }
            branch.said = Some(error.chain());
            failed.push((Arc::clone(output), error));
        }
        failed
    }

    /// Every stripe has been dealt with: no checkpoints from here on. Hands
    /// what is known of the copy to its outputs.
    pub fn close(&self) {
        let task = self.task();
        let fingerprints = self.transfer.observers().take_fingerprints();
        let digests = self.transfer.observers().take_digests();
        for (branch, output) in task.branches.iter().zip(&self.outputs) {
            branch.close();
            self.hand_over(branch, output);
            let to_sink = |range| self.transfer.to_sink(range);
            let place = |print: &Fingerprint| Fingerprint { range: to_sink(print.range), ..*print };
            output.add_fingerprints(fingerprints.iter().map(place));
            if let Some(digests) = &digests {
                output.set_digests(digests.clone());
            }
        }
    }

    /// Tells `output` how many bytes came to it, and which did not.
    fn hand_over(&self, branch: &Branch, output: &Output) {
        let place = |part: Failed| Failed { range: self.transfer.to_sink(part.range), ..part };
        let mut failed = self.transfer.failed();
        let not_moved = self.transfer.hole_bytes() + failed.ranges().bytes();
        output.add_moved(self.to_copy.saturating_sub(not_moved));
        output.add_holes(self.transfer.made_holes());
        // What an earlier run could read is there.
        failed.remove(&branch.done);
        output.add_failed(failed.into_iter().map(place));
    }

    /// Whether none of its outputs can be completed.
    pub fn has_failed(&self) -> bool {
        self.outputs.iter().all(|output| output.has_failed())
    }

    /// Notes that its outputs cannot be completed.
    pub fn fail(&self, why: &Why) {
        self.all_outputs().for_each(|output| output.fail(why.clone()));
    }

    /// Notes that so many stripes have been dealt with; whether they were the last.
    pub fn stripes_over(&self, stripes: u64) -> bool {
        self.pending.fetch_sub(stripes, Ordering::AcqRel) == stripes
    }

    /// Makes a checkpoint if it is time to.
    ///
    /// # Errors
    ///
    /// See [`Checkpointer::tick`](crate::durable::checkpoint::Checkpointer::tick).
    pub fn checkpoint(&self, progress: &Progress) -> Result<()> {
        let task = self.task.read().unwrap_or_else(PoisonError::into_inner);
        task.checkpoint(&self.sent, &self.troubles, progress)
    }

    /// Records what is done, for a later run; returns the outputs that can be
    /// resumed.
    pub fn keep(&self) -> Vec<Arc<Output>> {
        let mut task = self.task();
        let mut kept = Vec::new();
        for (number, output) in self.outputs.iter().enumerate() {
            let branch = &mut task.branches[number];
            // What cannot be recorded is copied again.
            match branch.save_found(&self.transfer, self.sent.member(number)) {
                true => kept.push(Arc::clone(output)),
                false => branch.discard(),
            }
        }
        kept
    }
}

/// Outputs that are about to be written.
struct Begun {
    branches: Vec<Branch>,
    outputs: Vec<Arc<Output>>,
    not_begun: Vec<Arc<Output>>,
}

impl Begun {
    /// Begins each of `outputs`; one of several that cannot be has failed.
    ///
    /// # Errors
    ///
    /// If none can be, or the caller asked to stop.
    fn of(
        outputs: &[Arc<Output>],
        begin: impl Fn(&Arc<Output>) -> Result<Branch>,
    ) -> Result<Begun> {
        let mut begun = Begun { branches: Vec::new(), outputs: Vec::new(), not_begun: Vec::new() };
        let mut last = None;
        for output in outputs {
            match begin(output) {
                Ok(branch) => {
                    begun.branches.push(branch);
                    begun.outputs.push(Arc::clone(output));
                }
                Err(error) if matches!(error.kind(), ErrorKind::Cancelled) => return Err(error),
                Err(error) => {
                    output.fail(Why::from(&error));
                    begun.not_begun.push(Arc::clone(output));
                    last = Some(error);
                }
            }
        }
        match (begun.branches.is_empty(), last) {
            (true, Some(error)) => Err(error),
            _ => Ok(begun),
        }
    }
}
