//! A large file of a batch: striped like a single copy, with a map of its own,
//! so that a run that ends in the middle of it can go on from there.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::moving::{self, Moving};
use super::output::{Output, Outputs, Wanted};
use super::partial::{absolute, source_of};
use super::queue::Segment;
use super::staging::give_length;
use crate::digest::{Algorithm, Digester, ordered};
use crate::durable::checkpoint::Checkpointer;
use crate::durable::map::{Destination, Evidence, Identity, Map, MapFile, Mode};
use crate::durable::previous::{self, needed_length, object_id};
use crate::durable::recheck::{Shown, Sides};
use crate::durable::trust::{Examiner, Trust};
use crate::error::{ErrorKind, Result};
use crate::io::FileIo;
use crate::io::fingerprint::Fingerprint;
use crate::plan::Plan;
use crate::pool::{Observers, Transfer};
use crate::progress::{CancelToken, Progress};
use crate::range::{ByteRange, Failed, RangeSet};
use crate::source::OpenSource;
use crate::sys::Metadata;

/// Files below this are copied again rather than resumed: a map costs more.
pub const SMALLEST_WITH_MAP: u64 = 64 << 20;

/// What all large outputs of a batch share.
#[derive(Clone, Copy)]
pub struct Settings<'a> {
    /// The caller's wish to stop.
    pub cancel: &'a CancelToken,
    /// Whether a source may have changed since an earlier run.
    pub any_state: bool,
    /// Time between checkpoints.
    pub every: Duration,
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
    /// Whether fingerprints are taken, to compare files with.
    pub fingerprints: bool,
}

/// A large output being written, or one large fragment of one.
pub struct Large {
    /// What is copied to where.
    pub transfer: Arc<Transfer>,
    /// Its stripes.
    pub plan: Plan,
    /// Bytes that are copied, and not only looked at.
    pub to_copy: u64,
    /// The output it belongs to.
    pub output: Arc<Output>,
    /// Number of the source.
    pub source: u32,
    /// Stripes not dealt with, and one for the hand-out of stripes itself.
    pending: AtomicU64,
    checkpointer: Option<Checkpointer>,
}

impl Large {
    /// Whether what an earlier run left of the output of `segment` is worth
    /// keeping: only then is there a map that says what it holds.
    pub fn has_map(segment: &Segment, wanted: &Wanted) -> bool {
        wanted.segments == 1 && wanted.partial.is_none() && segment.range.len() >= SMALLEST_WITH_MAP
    }

    /// Makes ready to copy `segment` and to work out `digests` of all of it;
    /// `digested` tells whether any are wanted of its output.
    ///
    /// # Errors
    ///
    /// If the output cannot be opened.
    pub fn begin(
        segment: &Segment,
        source: &Arc<OpenSource>,
        output: &Arc<Output>,
        outputs: &Outputs,
        (digests, digested): (&[Algorithm], bool),
        settings: Settings<'_>,
    ) -> Result<Large> {
        let path = outputs.path(&output.wanted.name);
        let failed = |source| ErrorKind::Destination { step: "open", path: path.clone(), source };
        let file = outputs.file(output).map_err(failed)?;
        let layout = settings.moving.how().layout(source, segment.range);
        let data = &layout.data;
        let map = match Large::has_map(segment, &output.wanted) {
            true => {
                let map_file = outputs.map_file(output).map_err(failed)?;
                Some((map_file, identity(segment, source, output, &path)))
            }
            false => None,
        };
        let left = map.as_ref().map_or_else(Left::default, |(map_file, identity)| {
            earlier((map_file, outputs.earlier.trust), identity, output.found())
        });
        let mut earlier = left.done;
        let to = |part: ByteRange| part.rebase(segment.range.start(), segment.at);
        let (from, done) = (&*source.io, &earlier);
        let sides = Sides { source: from, destination: &*file, done, to };
        let evidence = left.evidence.filter(|_| !settings.any_state);
        if !is_there(&sides, evidence, settings.cancel)? {
            // Somebody has written there: it is copied from the start.
            earlier = RangeSet::new();
        }
        if let (Some(_), Some((map_file, _))) = (output.found(), &map) {
            map_file.clear_temporaries();
        }
        if output.found().is_some() && earlier.is_empty() {
            clear(&file, output).map_err(failed)?;
        }
        let mut todo = data.clone();
        todo.subtract(&earlier);
        let to_copy = todo.bytes();
        output.add_earlier(data.bytes() - to_copy);
        let checkpointer = map.map(|(map_file, identity)| {
            let (settled, resumed) = (todo.missing_from(segment.range), !earlier.is_empty());
            let every = settings.every;
            Checkpointer::new(map_file, identity, every, segment.range, settled, resumed)
                .with_room()
        });
        let (file, path) = (&file, &*path);
        let piece = moving::Large {
            segment,
            source,
            output,
            file,
            path,
            layout: &layout,
            todo: &todo,
            digested,
        };
        let mut transfer = settings.moving.transfer(&piece, settings.progress)?;
        let mut watching = Observers::none();
        if !digests.is_empty() {
            let holes = data.missing_from(segment.range);
            watching = observers(digests, segment.range, holes, earlier, file.clone());
            // Whoever looks at the bytes has to see what needs no copying as well.
            todo = segment.range.into();
        }
        if settings.fingerprints {
            watching = watching.fingerprints();
        }
        transfer = transfer.observed(watching);
        // Where bytes are looked at in order, later stripes wait for earlier ones.
        let stripe_size = match output.grows.load(Ordering::Acquire) {
            // One worker writes all of it, in ascending order.
            true => segment.range.len().next_power_of_two(),
            false if ordered(digests) => settings.io_size,
            false => settings.stripe_size,
        };
        // Aligned in the output, as for a single copy.
        let origin = segment.range.start().wrapping_sub(segment.at);
        let plan = Plan::new(&todo, origin, stripe_size);
        Ok(Large {
            pending: AtomicU64::new(plan.stripes() + 1),
            transfer: Arc::new(transfer),
            plan,
            to_copy,
            output: Arc::clone(output),
            source: segment.source,
            checkpointer,
        })
    }

    /// Every stripe has been dealt with: no checkpoints from here on. Hands
    /// what is known of the copy to its output.
    pub fn close(&self) {
        if let Some(checkpointer) = &self.checkpointer {
            checkpointer.close();
        }
        let place = |part: Failed| Failed { range: self.transfer.to_sink(part.range), ..part };
        let failed = self.transfer.failed();
        let not_moved = self.transfer.made_holes() + failed.ranges().bytes();
        self.output.add_moved(self.to_copy.saturating_sub(not_moved));
        self.output.add_failed(failed.into_iter().map(place));
        self.output.add_holes(self.transfer.made_holes());
        let place =
            |print: Fingerprint| Fingerprint { range: self.transfer.to_sink(print.range), ..print };
        let fingerprints = self.transfer.observers().take_fingerprints();
        self.output.add_fingerprints(fingerprints.into_iter().map(place));
        if let Some(digests) = self.transfer.observers().take_digests() {
            self.output.set_digests(digests);
        }
    }

    /// Whether its output cannot be completed.
    pub fn has_failed(&self) -> bool {
        self.output.has_failed()
    }

    /// Notes that its output cannot be completed.
    pub fn fail(&self, reason: String) {
        self.output.fail(reason);
    }

    /// Notes that so many stripes have been dealt with; whether they were the last.
    pub fn stripes_over(&self, stripes: u64) -> bool {
        self.pending.fetch_sub(stripes, Ordering::AcqRel) == stripes
    }

    /// Makes a checkpoint if it is time to.
    ///
    /// # Errors
    ///
    /// See [`Checkpointer::tick`].
    pub fn checkpoint(&self, progress: &Progress) -> Result<()> {
        match &self.checkpointer {
            Some(checkpointer) => checkpointer.tick(&*self.transfer, progress),
            None => Ok(()),
        }
    }

    /// Records what is done, for a later run; whether there is something to go on from.
    pub fn keep(&self) -> bool {
        let Some(checkpointer) = &self.checkpointer else { return false };
        // What cannot be recorded is copied again.
        checkpointer.save_found(&*self.transfer).is_ok()
    }
}

/// Whatever the file holds is not known to be right: holes are to be zeros.
fn clear(file: &FileIo, output: &Output) -> std::io::Result<()> {
    file.as_file().set_len(0)?;
    give_length(output, file.as_file())
}

/// Works out `digests` of `range`, of which `earlier` is in `file` already.
fn observers(
    digests: &[Algorithm],
    range: ByteRange,
    holes: RangeSet,
    mut earlier: RangeSet,
    file: Arc<FileIo>,
) -> Observers {
    earlier.subtract(&holes);
    Observers::none().digests(Digester::new(digests, range)).settled(holes, earlier, file)
}

/// Which copy the map of `output` belongs to.
fn identity(
    segment: &Segment,
    source: &OpenSource,
    output: &Output,
    path: &std::path::Path,
) -> Identity {
    Identity {
        source: source_of(source),
        range: segment.range,
        destination: Destination {
            path: absolute(path),
            offset: segment.at,
            kind: "file".to_owned(),
            mode: Mode::New,
            id: output.identity().map(|facts| object_id(facts, None)),
        },
        list: None,
    }
}

/// What an earlier run left of an output.
#[derive(Default)]
struct Left {
    done: RangeSet,
    /// What shows that it is there, where the map is not quite of this job.
    evidence: Option<Evidence>,
}

/// What the map of an earlier run says is done of the part that was `found`, if
/// it is the map of this job, and the file is as long as what the map calls
/// done. Anything else is no reason to fail: the file is copied from the start.
fn earlier(
    (map_file, trust): (&MapFile, Trust),
    identity: &Identity,
    found: Option<&Metadata>,
) -> Left {
    let Some(found) = found else { return Left::default() };
    let map: Option<Map> = previous::load(map_file, &mut Examiner::new(trust)).ok().flatten();
    let Some(map) = map.filter(|map| found.size >= needed_length(map, identity)) else {
        return Left::default();
    };
    let Some(differences) = map.identity.as_ref().map(|of_map| of_map.differences(identity)) else {
        return Left::default();
    };
    match differences.iter().map(|difference| difference.evidence).max() {
        Some(Evidence::None) => Left::default(),
        evidence => Left { done: map.done, evidence },
    }
}

/// Whether the destination holds what is done, as far as `evidence` asks for it.
///
/// # Errors
///
/// [`ErrorKind::Cancelled`].
fn is_there<T: Fn(ByteRange) -> Option<ByteRange>>(
    sides: &Sides<'_, T>,
    evidence: Option<Evidence>,
    cancel: &CancelToken,
) -> Result<bool> {
    let shown = if evidence.is_none() { sides.glance() } else { sides.look() };
    match (shown, evidence) {
        (Shown::Differs(_), _) => return Ok(false),
        (_, None) | (Shown::Same, Some(Evidence::Places)) => return Ok(true),
        _ => {}
    }
    let first = sides.first_of_all(cancel);
    if cancel.is_cancelled() {
        return Err(ErrorKind::Cancelled.into());
    }
    // What cannot be read any more proves nothing.
    Ok(first.map_or(shown == Shown::Same, |first| first.is_none()))
}
