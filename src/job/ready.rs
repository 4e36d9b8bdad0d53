//! A job that has passed every check: what it will do, and what becomes of it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::clock::Clock;
use super::{CopyJob, Preallocate};
use crate::digest::{self, Algorithm, Digester, Expectation};
use crate::durable::checkpoint::Checkpointer;
use crate::durable::map::{Destination, Identity, Map, MapFile, Mode, ObjectId, Source};
use crate::durable::previous::{Start, object_id};
use crate::durable::stage::{Stage, StageShape};
use crate::durable::target::Target;
use crate::engine::{EngineContext, Reflink, Selection};
use crate::error::{Error, ErrorKind, Refusal, Result};
use crate::io::{self, page_cache::PageCachePolicy};
use crate::plan::{Cursor, Plan};
use crate::pool::controller::Workers;
use crate::pool::{Assignment, Observers, Transfer, Work};
use crate::progress::{Event, Progress};
use crate::range::{ByteRange, RangeSet};
use crate::report::{FailedRange, Outcome, Report};
use crate::safety::writes_source;
use crate::source::OpenSource;
use crate::sparse::{Sparse, Zeros};
use crate::sys::{self, FileKind};

/// Most pieces of a file whose storage is reserved unasked.
const MOST_RESERVED: usize = 1024;

/// A job that has passed every check.
pub struct Ready {
    pub source: OpenSource,
    /// Source and destination are disjoint ranges of one file or device.
    pub writes_source: bool,
    /// Target and beginning; taken when the job begins.
    pub begin: Option<(Target, Start)>,
    pub to: ByteRange,
    pub plan: Plan,
    /// Bytes of the range that need no work: done earlier, or holes.
    pub settled: RangeSet,
    /// For the map. Which file is written is filled in when there is one.
    pub identity: Identity,
    /// What the map says, if it is not of this program: it stays the user's.
    pub map_of_the_user: Option<Map>,
    /// Holes that must be made in what is there already.
    pub holes: RangeSet,
    /// Holes of the source that the destination has too.
    pub kept_holes: RangeSet,
    /// What becomes of zeros.
    pub sparse: Sparse,
    /// What is computed while the bytes pass.
    pub digests: Vec<Algorithm>,
    /// Whether fingerprints are taken.
    pub verify: bool,
    pub selection: Selection,
    pub workers: Workers,
    pub map_file: MapFile,
    pub report: Report,
}

impl Ready {
    /// What a new destination is like before the first byte is written.
    pub fn blank(&self, reflink: Reflink) -> StageShape<'_> {
        let makes_holes = self.sparse == Sparse::Always;
        let gaps = !self.kept_holes.is_empty() || makes_holes || self.to.start() > 0;
        let whole = ByteRange::to(self.source.facts.size);
        // Only where extents would be shared anyhow: then a clone is the same, sooner.
        let may_clone = self.selection.name() == "offload"
            && self.selection.capabilities().same_file_system
            && reflink != Reflink::Never
            && (self.report.range, self.to) == (whole, whole);
        let like = may_clone.then(|| self.source.io.as_file());
        StageShape { gaps, like, ..StageShape::up_to(self.to) }
    }

    /// Reserves storage for what will be written, where that is wanted.
    ///
    /// # Errors
    ///
    /// If there is not enough.
    pub fn reserve(&mut self, stage: &Stage, how: Preallocate) -> Result<()> {
        let full = RangeSet::from(self.report.range);
        let pieces = match how {
            Preallocate::Off => return Ok(()),
            Preallocate::Full => full,
            Preallocate::Auto if !self.selection.wants_space() || stage.grows() => return Ok(()),
            Preallocate::Auto => {
                let mut data = self.settled.missing_from(self.report.range);
                data.subtract(&self.holes);
                // Many small pieces cost more than reserving them brings.
                if data.as_slice().len() > MOST_RESERVED {
                    return Ok(());
                }
                data
            }
        };
        let file = stage.io().as_file();
        for piece in pieces.iter() {
            let target = piece.rebase(self.report.range.start(), self.to.start());
            let target = target.expect("preflight has checked that the range fits");
            match sys::reserve(file, target) {
                Ok(()) => {}
                Err(error) if sys::is_unsupported(&error) => {
                    if how == Preallocate::Full {
                        self.report.notes.push(format!("space cannot be reserved here: {error}"));
                    }
                    return Ok(());
                }
                Err(source) => {
                    let (path, bytes) = (stage.path().to_owned(), pieces.bytes());
                    return Err(Refusal::CannotReserve { path, bytes, source }.into());
                }
            }
        }
        Ok(())
    }

    /// The transfer, with engines made for the open ends.
    ///
    /// # Errors
    ///
    /// If the engine asked for does not work here after all.
    pub fn transfer(
        &mut self,
        stage: &Stage,
        zeros: Zeros,
        page_cache: PageCachePolicy,
        progress: &Progress,
    ) -> Result<Transfer> {
        if stage.grows() {
            // What a second one skipped would be written twice.
            self.workers = Workers::Exactly(1);
        }
        let source: Arc<dyn io::Source> = self.source.io.clone();
        let sink: Arc<dyn io::Sink> = stage.io().clone();
        let made = self.selection.make(&EngineContext {
            source: &source,
            sink: &sink,
            range: self.report.range,
            dest_offset: self.to.start(),
            sink_len: stage.io().len(),
            is_clone: stage.is_clone(),
            io_size: self.report.io_size,
            capabilities: self.selection.capabilities(),
        })?;
        for fallback in &made.fallbacks {
            progress.event(Event::Fallback(fallback.clone()));
        }
        self.report.fallbacks = made.fallbacks;
        let mut transfer = Transfer::new(
            (source, self.source.path.clone()),
            (sink, stage.path().to_owned()),
            self.report.range,
            self.to.start(),
            self.source.sector(),
            made.engines,
        );
        transfer.holes = std::mem::take(&mut self.holes);
        transfer.zeros = zeros;
        transfer.page_cache = page_cache;
        Ok(transfer.observed(self.observers(stage)))
    }

    /// What looks at the bytes while they are copied.
    fn observers(&self, stage: &Stage) -> Observers {
        let mut observers = Observers::none();
        if self.verify {
            observers = observers.fingerprints();
        }
        if self.digests.is_empty() {
            return observers;
        }
        let mut earlier = self.settled.clone();
        earlier.subtract(&self.kept_holes);
        let digester = Digester::new(&self.digests, self.report.range);
        observers.digests(digester).settled(self.kept_holes.clone(), earlier, stage.io().clone())
    }

    pub fn checkpointer(
        &mut self,
        stage: &Stage,
        every: Duration,
        resumed: bool,
    ) -> Result<Checkpointer> {
        let mut identity = self.identity.clone();
        if identity.destination.id.is_none() {
            let facts = sys::facts(stage.io().as_file()).map_err(|source| {
                ErrorKind::Destination { step: "look at", path: stage.path().to_owned(), source }
            })?;
            identity.destination.id = Some(object_id(&facts, None));
        }
        let settled = std::mem::take(&mut self.settled);
        let file = self.map_file.clone();
        let range = self.report.range;
        let checkpointer = Checkpointer::new(file, identity, every, range, settled, resumed);
        Ok(match self.map_of_the_user.take() {
            Some(map) => checkpointer.in_the_map_of_the_user(map),
            None if !resumed && !self.report.in_place => checkpointer.with_room().from_the_start(),
            None => checkpointer.with_room(),
        })
    }

    /// Leaves a state to go on from after `error`.
    pub fn keep(&mut self, transfer: &Transfer, checkpointer: &Checkpointer, error: &Error) {
        self.note_unrecorded(checkpointer.keep(transfer, error));
        if !checkpointer.has_saved() {
            return;
        }
        // What is gone cannot be asked; a later run asks when it is back.
        let is_gone = matches!(error.kind(), ErrorKind::SourceGone { .. });
        self.report.resumable = is_gone || self.source_is_as_in_the_map();
        if !self.report.resumable {
            let note = "the source is not what it was: --restart copies it anew, and only with \
                        --allow-changed-source does --resume go on from here";
            self.report.notes.push(note.to_owned());
        }
    }

    /// Whether a later run will find the source that the map speaks of.
    fn source_is_as_in_the_map(&self) -> bool {
        self.identity.source.may_change || matches!(self.source.change(), Ok(None))
    }

    /// Leaves a state to go on from when all was there but for the name. The
    /// data was synced, unless the user did not want that: only the directory
    /// may have failed to be.
    pub fn keep_complete(&mut self, transfer: &Transfer, map: &Checkpointer, synced: bool) {
        let saved = if synced { map.save_synced(transfer) } else { map.save(transfer) };
        self.note_unrecorded(saved);
        self.report.resumable = map.has_saved();
    }

    fn note_unrecorded(&mut self, saved: Result<()>) {
        if let Err(error) = saved {
            let why = error.chain();
            self.report.notes.push(format!("what was copied could not be recorded: {why}"));
        }
    }

    /// Takes what the transfer knows into the report.
    pub fn record(&mut self, transfer: &Transfer, progress: &Progress) {
        self.report.failed = failed_ranges(transfer);
        self.report.fallbacks.extend(transfer.fallbacks());
        self.report.engine = transfer.engine().name();
        self.report.notes.extend(transfer.engine().notes());
        self.report.bytes.copied = progress.snapshot().copied - transfer.hole_bytes();
        self.report.bytes.holes += transfer.hole_bytes();
        self.report.bytes.failed = self.report.failed_set().bytes();
    }

    /// Takes the digests into the report, or says why there are none.
    pub fn take_digests(&mut self, transfer: &Transfer) {
        match transfer.observers().take_digests() {
            Some(digests) => self.report.digests = digests,
            None if self.digests.is_empty() => {}
            None => {
                let failed = self.report.bytes.failed;
                self.report.notes.push(format!("no digest: {failed} bytes could not be read"));
            }
        }
    }

    /// Whether the digests are what was expected.
    pub fn check_digests(&self, expected: &[Expectation]) -> Result<()> {
        digest::check(&self.report.digests, expected)
    }

    pub fn outcome(&self) -> Outcome {
        if self.report.failed.is_empty() { Outcome::Complete } else { Outcome::Partial }
    }

    /// A source that changed while it was read is a mixture of two states,
    /// never to be passed off as either.
    pub fn check_source_is_unchanged(&mut self, allow: bool) -> Result<()> {
        if self.writes_source {
            // It was this job that changed it, outside the range that was read.
            return Ok(());
        }
        self.report.notes.extend(check_unchanged(&self.source, allow)?);
        Ok(())
    }

    pub fn into_report(mut self, clock: &Clock) -> Report {
        clock.read(&mut self.report);
        self.report
    }
}

/// What could not be read, for the report.
pub fn failed_ranges(transfer: &Transfer) -> Vec<FailedRange> {
    transfer.failed().into_iter().map(FailedRange::from).collect()
}

/// Stripes of a copy that leaves no map.
pub struct Stripes<'a> {
    pub transfer: Arc<Transfer>,
    pub cursor: Cursor<'a>,
}

impl Work for Stripes<'_> {
    fn claim(&self) -> Result<Option<Assignment>> {
        let assign =
            |stripe| Assignment { transfer: Arc::clone(&self.transfer), stripe, ticket: 0 };
        Ok(self.cursor.claim().map(assign))
    }
}

/// What changed in `source` since it was opened, as a note if that is allowed.
pub fn check_unchanged(source: &OpenSource, allow: bool) -> Result<Option<String>> {
    let what = match source.change() {
        Ok(None) => return Ok(None),
        Ok(Some(what)) => what,
        Err(error) => format!("it cannot be asked any more ({error})"),
    };
    if allow {
        return Ok(Some(format!("the source changed during the copy: {what}")));
    }
    Err(ErrorKind::SourceChanged { path: source.path.clone(), what }.into())
}

/// The stripes of one copy.
pub struct OneCopy<'a> {
    pub transfer: Arc<Transfer>,
    pub cursor: Cursor<'a>,
    pub checkpointer: &'a Checkpointer,
    pub progress: &'a Progress,
}

impl Work for OneCopy<'_> {
    fn claim(&self) -> Result<Option<Assignment>> {
        let assign =
            |stripe| Assignment { ticket: 0, transfer: Arc::clone(&self.transfer), stripe };
        Ok(self.cursor.claim().map(assign))
    }

    fn checkpoint(&self) -> Result<()> {
        self.checkpointer.tick(&*self.transfer, self.progress)
    }
}

/// What makes this job this job, for the map: `id` is the file or device written.
pub fn identity(
    job: &CopyJob,
    source: &OpenSource,
    target: &Target,
    from: ByteRange,
    to: ByteRange,
    id: Option<ObjectId>,
) -> Identity {
    let serial = source.device.as_ref().and_then(|info| info.serial.clone());
    let is_file = source.facts.node == FileKind::File;
    let mode = match target {
        Target::Staged(_) => Mode::New,
        Target::InPlace(_) => Mode::InPlace,
        Target::Device(..) => Mode::Device,
    };
    Identity {
        source: Source {
            path: absolute(&source.path),
            kind: word(source.facts.node),
            size: source.facts.size,
            mtime_ns: is_file.then(|| nanoseconds(source.facts.modified)),
            ctime_ns: is_file.then(|| nanoseconds(source.facts.changed)),
            may_change: job.options.allow_changed_source || writes_source(source, target),
            id: Some(object_id(&source.facts, serial)),
        },
        range: from,
        destination: Destination {
            path: absolute(target.path()),
            offset: to.start(),
            kind: word(if mode == Mode::Device { FileKind::BlockDevice } else { FileKind::File }),
            mode,
            id,
        },
        list: None,
    }
}

fn word(node: FileKind) -> String {
    if node == FileKind::BlockDevice { "block-device" } else { "file" }.to_owned()
}

fn nanoseconds((seconds, rest): (i64, u32)) -> i128 {
    i128::from(seconds) * 1_000_000_000 + i128::from(rest)
}

fn absolute(path: &Path) -> std::path::PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}
