//! A large file of a batch: striped like a single copy, with a map of its own,
//! so that a run that ends in the middle of it can go on from there.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::commit::RowVerdict;
use super::moving::{self, Moving};
use super::output::{Output, Outputs};
use super::queue::Segment;
use super::report::Status;
use crate::crew::Transfer;
use crate::durable::checkpoint::Checkpointer;
use crate::durable::leftover::object_id;
use crate::durable::map::{Destination, Identity, Map, MapFile, Mode, Source};
use crate::durable::target::{MAP_SUFFIX, sibling_name};
use crate::error::{ErrorKind, Result};
use crate::io::FileIo;
use crate::plan::Plan;
use crate::progress::Progress;
use crate::range::RangeSet;
use crate::source::OpenSource;
use crate::sys::{self, Node};

/// Files below this are copied again rather than resumed: a map costs more.
pub const SMALLEST_WITH_MAP: u64 = 64 << 20;

/// What all large outputs of a batch share.
pub struct Settings<'a> {
    /// Go on from what an earlier run left.
    pub resume: bool,
    /// Time between checkpoints.
    pub every: Duration,
    /// How bytes move.
    pub moving: &'a Moving,
    /// Where to tell of what an engine cannot.
    pub progress: &'a Progress,
}

/// A large output being written, or one large fragment of one.
pub struct Large {
    /// What is copied to where.
    pub transfer: Arc<Transfer>,
    /// Its stripes.
    pub plan: Plan,
    /// The output it belongs to.
    pub output: Arc<Output>,
    /// Stripes not dealt with, and one for the hand-out of stripes itself.
    pending: AtomicU64,
    checkpointer: Option<Checkpointer>,
}

impl Large {
    /// Makes ready to copy `segment`.
    ///
    /// # Errors
    ///
    /// If the output cannot be opened.
    pub fn begin(
        segment: &Segment,
        source: &Arc<OpenSource>,
        output: &Arc<Output>,
        outputs: &Outputs,
        (path, digested): (PathBuf, bool),
        stripe_size: u64,
        settings: &Settings<'_>,
    ) -> Result<Large> {
        let failed = |source| ErrorKind::Destination { step: "open", path: path.clone(), source };
        let file = outputs.file(output).map_err(failed)?;
        let mut todo = settings.moving.how().data(source, segment.range);
        let checkpointer = checkpointer(segment, source, output, &path, &file, settings)?;
        let has_earlier = checkpointer.as_ref().is_some_and(|(earlier, _)| !earlier.is_empty());
        if output.is_found() && !has_earlier {
            // Whatever it holds is not known to be right: holes are to be zeros.
            let clean = || {
                let file = file.as_file();
                file.set_len(0).and_then(|()| output.wanted.give_length(file))
            };
            clean().map_err(failed)?;
        }
        let checkpointer = checkpointer.map(|(earlier, make)| {
            todo.subtract(&earlier);
            make(todo.missing_from(segment.range))
        });
        // Aligned in the output, as for a single copy.
        let origin = segment.range.start().wrapping_sub(segment.at);
        let plan = Plan::new(&todo, origin, stripe_size);
        let piece = moving::Large {
            segment,
            source,
            output,
            file: &file,
            path: &path,
            todo: &todo,
            digested,
        };
        let transfer = settings.moving.transfer(&piece, settings.progress)?;
        Ok(Large {
            pending: AtomicU64::new(plan.stripes() + 1),
            transfer: Arc::new(transfer),
            plan,
            output: Arc::clone(output),
            checkpointer,
        })
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
            Some(checkpointer) => checkpointer.tick(&self.transfer, progress),
            None => Ok(()),
        }
    }

    /// Records what is done, for a later run; whether there is something to go on from.
    pub fn keep(&self) -> bool {
        let Some(checkpointer) = &self.checkpointer else { return false };
        // What cannot be recorded is copied again.
        checkpointer.save(&self.transfer).is_ok()
    }
}

type Make = Box<dyn FnOnce(RangeSet) -> Checkpointer>;

/// What an earlier run got done of a file that is one large segment, and how
/// to record what this one does. None for small files and fragments.
fn checkpointer(
    segment: &Segment,
    source: &OpenSource,
    output: &Output,
    path: &std::path::Path,
    file: &FileIo,
    settings: &Settings<'_>,
) -> Result<Option<(RangeSet, Make)>> {
    if output.wanted.segments != 1 || segment.range.len() < SMALLEST_WITH_MAP {
        return Ok(None);
    }
    let failed = |source| ErrorKind::Destination { step: "look at", path: path.to_owned(), source };
    let facts = sys::facts(file.as_file()).map_err(failed)?;
    let is_file = source.facts.node == Node::File;
    let nanoseconds = |(seconds, rest)| i128::from(seconds) * 1_000_000_000 + i128::from(rest);
    let serial = source.device.as_ref().and_then(|info| info.serial.clone());
    let absolute =
        |path: &std::path::Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let identity = Identity {
        source: Source {
            path: absolute(&source.path),
            kind: if is_file { "file" } else { "block-device" }.to_owned(),
            size: source.facts.size,
            mtime_ns: is_file.then(|| nanoseconds(source.facts.modified)),
            ctime_ns: is_file.then(|| nanoseconds(source.facts.changed)),
            may_change: false,
            id: Some(object_id(&source.facts, serial)),
        },
        range: segment.range,
        destination: Destination {
            path: absolute(path),
            offset: segment.at,
            kind: "file".to_owned(),
            mode: Mode::New,
            id: Some(object_id(&facts, None)),
        },
    };
    let Ok(map_file) = MapFile::new(&map_path(path)) else { return Ok(None) };
    let earlier = earlier(&map_file, &identity, settings.resume && output.is_found());
    let (every, extent, resumed) = (settings.every, segment.range, !earlier.is_empty());
    let make: Make = Box::new(move |settled| {
        Checkpointer::new(map_file, identity, every, extent, settled, resumed).with_room()
    });
    Ok(Some((earlier, make)))
}

/// What the map of an earlier run says is done, if it is the map of this very
/// file. Anything else is no reason to fail: the file is copied from the start.
fn earlier(map_file: &MapFile, identity: &Identity, resume: bool) -> RangeSet {
    let map: Option<Map> = if resume { map_file.load().ok().flatten() } else { None };
    map.filter(|map| {
        map.identity.as_ref().is_some_and(|found| found.difference(identity).is_none())
    })
    .map(|map| map.done)
    .unwrap_or_default()
}

/// Where the map of an output lives.
pub fn map_path(path: &std::path::Path) -> PathBuf {
    path.with_file_name(sibling_name(path.file_name().unwrap_or_default(), MAP_SUFFIX))
}

/// Removes the map of an output that no longer needs one.
pub fn remove_map(
    outputs: &Outputs,
    output: &Output,
    rows: &[RowVerdict],
    _settings: &Settings<'_>,
) {
    let had_map = output.wanted.segments == 1 && output.wanted.len >= SMALLEST_WITH_MAP;
    if !had_map || rows.iter().any(|row| row.status == Status::NotTried) {
        return;
    }
    if let Ok(map) = MapFile::new(&map_path(&outputs.path(&output.wanted.name))) {
        // A map that stays is refused or overwritten by the next run: it names
        // a file that is gone.
        let _ = map.remove();
    }
}
