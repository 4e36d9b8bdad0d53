//! One source range on its way to one sink: what is done, what failed, and
//! which engine moves the bytes.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::engine::{Engine, copy_buffered};
use super::observers::{Observers, Todo};
use super::requests::Ended;
use super::stripe_io::{Halt, StripeIo};
use super::writers::Writers;
pub use crate::durable::checkpoint::Ledger;
use crate::durable::intact::Written;
use crate::error::{Error, ErrorKind};
use crate::io::page_cache::PageCachePolicy;
use crate::io::{Incoming, ReadOrder, Sink, Source, WriteOrder};
use crate::progress::{Event, lock};
use crate::range::{ByteRange, Mapping, RangeSet, Unread};
use crate::report::Fallback;
use crate::sparse::Zeros;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// One source range on its way to one sink.
pub struct Transfer {
    /// Where bytes come from.
    pub source: Arc<dyn Source>,
    /// Its name, for messages.
    pub source_path: PathBuf,
    /// In which order they are read.
    pub reads: ReadOrder,
    /// Where bytes go.
    pub sink: Arc<dyn Sink>,
    /// Its name, for messages.
    pub sink_path: PathBuf,
    /// In which order what is handed to it becomes written.
    pub order: WriteOrder,
    /// What is copied, and where it goes.
    pub mapping: Mapping,
    /// Smallest unit the source can be read in, in bytes: where splitting stops.
    pub sector: u64,
    /// Holes of the source that must be made in the sink, in bytes of the source.
    pub holes: RangeSet,
    /// What to do with zeros that were read.
    pub zeros: Zeros,
    /// Whether the sink reads its place before it writes, so that a hole takes time.
    pub reads_sink: bool,
    /// What becomes of the page cache.
    pub page_cache: PageCachePolicy,
    /// Ways to move bytes; unless the user named one, the last serves everything.
    engines: Vec<Box<dyn Engine>>,
    /// The first of them that has not given way.
    left: AtomicUsize,
    /// Which of them is in use.
    engine: AtomicUsize,
    /// Bytes that were not moved but became, or stayed, holes.
    hole_bytes: AtomicU64,
    /// What looks at the bytes as they pass.
    observers: Observers,
    /// Those that write at once, where that should be fewer than read.
    writers: Option<Writers>,
    record: Mutex<Record>,
}

#[derive(Default)]
struct Record {
    done: RangeSet,
    failed: Unread,
    distrusted: RangeSet,
    fallbacks: Vec<Fallback>,
}

impl Transfer {
    /// A transfer of which nothing is done. `engines` is not empty; where its
    /// last entry gives way, the transfer has failed.
    pub fn new(
        source: (Arc<dyn Source>, PathBuf),
        sink: (Arc<dyn Sink>, PathBuf),
        mapping: Mapping,
        sector: u32,
        engines: Vec<Box<dyn Engine>>,
    ) -> Transfer {
        Transfer {
            source: source.0,
            source_path: source.1,
            reads: ReadOrder::Any,
            sink: sink.0,
            sink_path: sink.1,
            order: WriteOrder::Any,
            mapping,
            sector: u64::from(sector.max(1)),
            holes: RangeSet::new(),
            zeros: Zeros::Write,
            reads_sink: false,
            page_cache: PageCachePolicy::none(),
            engines,
            left: AtomicUsize::new(0),
            engine: AtomicUsize::new(0),
            hole_bytes: AtomicU64::new(0),
            observers: Observers::none(),
            writers: None,
            record: Mutex::new(Record::default()),
        }
    }

    /// Lets `observers` look at the bytes as they pass. With digests, the stripes
    /// handed out must cover the whole range, in ascending order.
    pub fn observed(mut self, observers: Observers) -> Transfer {
        self.observers = observers;
        self
    }

    /// Lets only as many workers write at once as get more written.
    pub fn counting_writers(mut self) -> Transfer {
        self.writers = Some(Writers::new());
        self
    }

    /// Runs `write`, which writes `bytes` to the sink, when it may.
    pub(super) fn as_writer<T>(&self, bytes: u64, write: impl FnOnce() -> T) -> T {
        match &self.writers {
            Some(writers) => writers.write(bytes, write),
            None => write(),
        }
    }

    /// What looks at the bytes as they pass.
    pub fn observers(&self) -> &Observers {
        &self.observers
    }

    /// Source bytes as bytes of the sink.
    pub fn to_sink(&self, range: ByteRange) -> ByteRange {
        self.mapping.to_destination(range)
    }

    /// What of `range` the source has: a stream may have ended before.
    pub(super) fn existing(&self, range: ByteRange) -> ByteRange {
        let end = self.reads.stream().and_then(Incoming::end);
        end.map_or(range, |end| range.split_at(end).0)
    }

    /// Copies the data of `stripe` and makes its holes, in ascending order,
    /// and shows those who look also what needs no copying.
    ///
    /// # Errors
    ///
    /// What ended it before it was done.
    pub(super) fn copy(&self, stripe: ByteRange, io: &mut StripeIo<'_>) -> Result<(), Ended> {
        let result = self.copy_pieces(stripe, io);
        if let Some(stream) = self.reads.stream() {
            // Where it ends with what needs no reading, the turn is still there.
            stream.pass(stripe.end());
        }
        result
    }

    fn copy_pieces(&self, stripe: ByteRange, io: &mut StripeIo<'_>) -> Result<(), Ended> {
        for (piece, todo) in self.observers.pieces(stripe, &self.holes) {
            let result = match todo {
                Todo::Move => self.move_piece(piece, io),
                Todo::MakeHole => io.copy_hole(&*self.sink, piece),
                Todo::ReadBack => io.look_back(piece),
                Todo::Zeroes => io.look_at_zeroes(piece),
            };
            result.map_err(|halt| match halt {
                // The one is met only where an engine moves bytes, which then goes on.
                Halt::Superseded { .. } | Halt::Stopped => Ended::Stopped,
                Halt::Failed { at, error } => Ended::failed(at, error),
                Halt::Unsupported { at, reason } => {
                    let engine = self.engine().name();
                    Ended::failed(at, ErrorKind::EngineGaveWay { engine, reason })
                }
            })?;
        }
        Ok(())
    }

    /// Moves `piece` and leaves the page cache as it should be left.
    fn move_piece(&self, piece: ByteRange, io: &mut StripeIo<'_>) -> Result<(), Halt> {
        let target = self.to_sink(piece);
        let was_cached = self.page_cache.before(&*self.source, piece);
        // What was brought there only to be compared need not stay.
        let is_read = self.reads_sink && self.page_cache.is_over_standing();
        let stays = self.page_cache.before_write(&*self.sink, target) || (was_cached && !is_read);
        io.fingerprinted(piece, |io| self.copy_data(piece, io))?;
        self.page_cache.after_read(was_cached, &*self.source, piece);
        self.page_cache.after_write(stays, &*self.sink, target);
        Ok(())
    }

    /// Copies `part`, with the next engine from where the first gave way.
    fn copy_data(&self, part: ByteRange, io: &mut StripeIo<'_>) -> Result<(), Halt> {
        let (first, mut rest) = part.split_at(self.deferred().end());
        copy_buffered(first, io)?;
        if rest.is_empty() {
            return Ok(());
        }
        loop {
            let mut current = 0;
            let moved = io.heading_for(|way, io| {
                // An engine that has given way is not taken again.
                let left = self.left.load(Ordering::Acquire);
                current = way.min(self.engines.len() - 1).max(left);
                self.engine.store(current, Ordering::Release);
                self.engines[current].copy(rest, io)
            });
            match moved {
                Err(Halt::Unsupported { at, reason }) => {
                    self.fall_back(current, reason, io)
                        .map_err(|error| Halt::Failed { at, error })?;
                    rest = rest.split_at(at).1;
                }
                Err(Halt::Superseded { at }) => rest = rest.split_at(at).1,
                result => return result,
            }
        }
    }

    /// What the sink keeps in memory for the end, in bytes of the source: only
    /// requests that go through the sink arrive there.
    fn deferred(&self) -> ByteRange {
        self.mapping.to_source(self.order.deferred())
    }

    fn fall_back(&self, from: usize, reason: String, io: &StripeIo<'_>) -> Result<(), Error> {
        let Some(next) = self.engines.get(from + 1) else {
            // A named engine has no stand-in.
            let engine = self.engines[from].name();
            return Err(ErrorKind::EngineGaveWay { engine, reason }.into());
        };
        // Only the first worker to notice reports it.
        if self.left.fetch_max(from + 1, Ordering::AcqRel) <= from {
            let from = self.engines[from].name().to_owned();
            let fallback = Fallback { from, to: next.name().to_owned(), reason };
            lock(&self.record).fallbacks.push(fallback.clone());
            io.progress().event(Event::Fallback(fallback));
        }
        Ok(())
    }

    /// The engine in use now.
    pub fn engine(&self) -> &dyn Engine {
        let left = self.left.load(Ordering::Acquire);
        &*self.engines[self.engine.load(Ordering::Acquire).max(left)]
    }

    /// Wakes every thread that waits for a turn that will not come.
    pub(super) fn abandon(&self) {
        self.observers.abandon();
        if let Some(stream) = self.order.stream() {
            stream.abandon();
        }
        if let Some(stream) = self.reads.stream() {
            stream.abandon();
        }
    }

    /// How far everything from the beginning of the range has been handed to the
    /// sink, in bytes of the source.
    pub(crate) fn reached(&self, wanted: &RangeSet) -> u64 {
        let range = self.mapping.from();
        // What is not wanted has been passed with what lies behind it.
        let mut passed = lock(&self.record).done.clone();
        passed.merge(&wanted.missing_from(range));
        let first = passed.iter().next().filter(|first| first.start() == range.start());
        first.map_or(range.start(), ByteRange::end)
    }

    /// What was handed to the sink so far.
    pub(crate) fn recorded(&self) -> RangeSet {
        lock(&self.record).done.clone()
    }

    pub(crate) fn record_done(&self, range: ByteRange) {
        lock(&self.record).done.insert(range);
    }

    /// Counts `bytes` as a hole. They are recorded as done besides.
    pub(super) fn record_hole(&self, bytes: u64) {
        self.hole_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Bytes done so far that were data of the source and became holes.
    pub fn made_holes(&self) -> u64 {
        self.hole_bytes().saturating_sub(self.holes.bytes())
    }

    /// Bytes done so far that were not moved but became, or stayed, holes.
    pub fn hole_bytes(&self) -> u64 {
        self.hole_bytes.load(Ordering::Relaxed)
    }

    pub(super) fn record_failed(&self, range: ByteRange, error: &str) {
        self.observers.spoil(range);
        lock(&self.record).failed.insert(range, error);
    }

    /// Takes back that `ranges` could not be read.
    pub(super) fn forget_failed(&self, ranges: &RangeSet) {
        lock(&self.record).failed.remove(ranges);
    }

    /// What could not be read so far.
    pub fn failed(&self) -> Unread {
        lock(&self.record).failed.clone()
    }

    /// Engines that gave way so far.
    pub fn fallbacks(&self) -> Vec<Fallback> {
        lock(&self.record).fallbacks.clone()
    }
}

impl Ledger for Transfer {
    fn destination(&self) -> &Path {
        &self.sink_path
    }

    fn sync_data(&self) -> io::Result<()> {
        self.sink.sync_data()
    }

    fn done(&self) -> RangeSet {
        let mut done = self.recorded();
        // Asked after `done` was taken, and never more than that: whatever
        // becomes written in between is left out once.
        for kept in self.order.not_written().iter() {
            done.remove(self.mapping.to_source(kept));
        }
        done
    }

    fn unreadable(&self) -> RangeSet {
        lock(&self.record).failed.ranges()
    }

    fn lost(&self) -> RangeSet {
        let Some(file) = self.sink.file() else { return RangeSet::new() };
        let mut holes = self.done().missing_from(self.mapping.from());
        holes.merge(&self.holes);
        let (range, to) = (self.mapping.from(), self.mapping.to().start());
        let made = self.made_holes();
        let zeros = RangeSet::new();
        Written { source: &*self.source, range, to, holes, zeros, made }.probably_lost(file)
    }

    fn distrusted(&self) -> RangeSet {
        lock(&self.record).distrusted.clone()
    }

    fn invalidate(&self, ranges: &RangeSet) {
        lock(&self.record).distrusted.merge(ranges);
    }

    fn revalidate(&self) {
        lock(&self.record).distrusted = RangeSet::new();
    }
}
