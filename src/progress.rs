//! How a running job can be watched and stopped.
//!
//! Counters are pulled: workers bump atomics, a user interface looks when it
//! likes. Rare events (a fallback, a failed range) are pushed into a bounded
//! queue. Nothing here prints, and nothing here waits.

mod cancel;
mod places;

pub use cancel::CancelToken;
pub use places::{CELLS, Place};

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crossbeam::queue::ArrayQueue;
use crossbeam::utils::CachePadded;

pub(crate) use crate::cpu::lock;
use crate::range::{ByteRange, Failed, RangeSet, Unread};
use crate::report::Fallback;
use crate::sync::Mutex;
use places::{Kind, Places};

/// How many events can wait to be looked at, and how many ranges that could not
/// be read. Older ones make room: a source with a million bad sectors must not
/// grow memory because nobody looks.
const EVENT_QUEUE: usize = 1024;

/// Stands for a number of bytes that nobody knows.
const UNKNOWN: u64 = u64::MAX;

/// Where a job is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(u8)]
#[non_exhaustive]
pub enum Phase {
    /// Opening, checking, planning.
    #[default]
    Preparing,
    /// Reading both sides, to say how much differs.
    Comparing,
    /// Moving bytes.
    Copying,
    /// Waiting until the disk has them.
    Syncing,
    /// Reading back.
    Verifying,
    /// Over.
    Finished,
}

impl Phase {
    const ALL: [Phase; 6] = [
        Phase::Preparing,
        Phase::Comparing,
        Phase::Copying,
        Phase::Syncing,
        Phase::Verifying,
        Phase::Finished,
    ];

    /// One word for it.
    pub fn name(self) -> &'static str {
        match self {
            Phase::Preparing => "preparing",
            Phase::Comparing => "comparing",
            Phase::Copying => "copying",
            Phase::Syncing => "syncing",
            Phase::Verifying => "verifying",
            Phase::Finished => "finished",
        }
    }
}

/// Something rare that a user wants to know at once.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// The job knows what it will do.
    Planned {
        /// The destination as it was named.
        path: PathBuf,
        /// The same for people, with model and serial number if it is a device.
        destination: String,
        /// The engine.
        engine: &'static str,
        /// Why it was chosen.
        reason: String,
    },
    /// One way of doing a thing gave way to another.
    Fallback(Fallback),
    /// A source range could not be read.
    ReadFailed {
        /// In bytes of the source.
        range: ByteRange,
        /// What the system said.
        error: String,
    },
    /// The number of workers changed.
    Threads {
        /// From now on.
        threads: usize,
        /// Why.
        reason: String,
    },
    /// What is recorded survives a crash; more may have been written.
    Checkpoint {
        /// The destination, as the map names it: one of several, or one file of many.
        path: PathBuf,
        /// Bytes of it that this run has recorded.
        bytes: u64,
    },
    /// Anything else worth a line with `-v`.
    Note(String),
}

/// The counters of a job. Make one, hand it to the job, look at it from any thread.
pub struct Progress {
    copied: CachePadded<AtomicU64>,
    failed: CachePadded<AtomicU64>,
    verified: AtomicU64,
    items: AtomicU64,
    total: AtomicU64,
    total_items: AtomicU64,
    resumed: AtomicU64,
    threads: AtomicUsize,
    phase: AtomicU8,
    started: Instant,
    /// When copying began, in nanoseconds since `started`; 0 before.
    copying_since: AtomicU64,
    in_flight: Mutex<Vec<Arc<InFlight>>>,
    active: Mutex<Vec<String>>,
    events: ArrayQueue<Event>,
    /// What could not be read since somebody last looked.
    unread: Mutex<Unread>,
    places: Places,
}

/// What one worker is waiting for.
#[derive(Default)]
pub(crate) struct InFlight {
    busy: AtomicBool,
    offset: AtomicU64,
    /// Nanoseconds since the progress was made.
    since: AtomicU64,
}

/// The counters at one moment.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Snapshot {
    /// Where the job is.
    pub phase: Phase,
    /// Bytes this run has to copy; `None` as long as nobody knows, as from a pipe.
    pub total: Option<u64>,
    /// Bytes written by this run.
    pub copied: u64,
    /// Bytes that could not be read.
    pub failed: u64,
    /// Bytes done by an earlier run, not part of `total`.
    pub resumed: u64,
    /// Bytes read back and compared.
    pub verified: u64,
    /// Files done, of a batch.
    pub items: u64,
    /// Files in all, of a batch; 0 for a single copy.
    pub total_items: u64,
    /// Workers now.
    pub threads: usize,
    /// Since the progress was made.
    pub elapsed: Duration,
    /// Since copying began.
    pub copying: Duration,
    /// The source offset that has been waited for longest, and how long.
    pub waiting: Option<(u64, Duration)>,
}

impl Default for Progress {
    fn default() -> Progress {
        Progress::new()
    }
}

impl Progress {
    /// Counters at zero.
    pub fn new() -> Progress {
        Progress {
            copied: CachePadded::new(AtomicU64::new(0)),
            failed: CachePadded::new(AtomicU64::new(0)),
            verified: AtomicU64::new(0),
            items: AtomicU64::new(0),
            total: AtomicU64::new(0),
            total_items: AtomicU64::new(0),
            resumed: AtomicU64::new(0),
            threads: AtomicUsize::new(0),
            phase: AtomicU8::new(0),
            started: Instant::now(),
            copying_since: AtomicU64::new(0),
            in_flight: Mutex::new(Vec::new()),
            active: Mutex::new(Vec::new()),
            events: ArrayQueue::new(EVENT_QUEUE),
            unread: Mutex::default(),
            places: Places::default(),
        }
    }

    /// The counters now.
    pub fn snapshot(&self) -> Snapshot {
        let elapsed = self.started.elapsed();
        let since = self.copying_since.load(Relaxed);
        Snapshot {
            phase: self.phase(),
            total: Some(self.total.load(Relaxed)).filter(|&total| total != UNKNOWN),
            copied: self.copied.load(Relaxed),
            failed: self.failed.load(Relaxed),
            resumed: self.resumed.load(Relaxed),
            verified: self.verified.load(Relaxed),
            items: self.items.load(Relaxed),
            total_items: self.total_items.load(Relaxed),
            threads: self.threads.load(Relaxed),
            elapsed,
            copying: if since == 0 {
                Duration::ZERO
            } else {
                elapsed.saturating_sub(Duration::from_nanos(since))
            },
            waiting: self.longest_wait(elapsed),
        }
    }

    /// The next event that nobody has looked at. Sectors that could not be read
    /// are ranges by then, those that touch merged.
    pub fn next_event(&self) -> Option<Event> {
        self.events.pop().or_else(|| {
            let Failed { range, error } = lock(&self.unread).pop_first()?;
            Some(Event::ReadFailed { range, error: error.to_string() })
        })
    }

    /// Names of a few items at work, of a batch.
    pub fn active_items(&self) -> Vec<String> {
        lock(&self.active).clone()
    }

    /// What of a single range is copied, by position: [`CELLS`] cells, or as many
    /// as there are bytes. None of a batch, of a pipe, or of a comparison.
    pub fn places(&self) -> Vec<Place> {
        self.places.now()
    }

    fn phase(&self) -> Phase {
        Phase::ALL[usize::from(self.phase.load(Relaxed))]
    }

    fn longest_wait(&self, elapsed: Duration) -> Option<(u64, Duration)> {
        lock(&self.in_flight)
            .iter()
            .filter(|in_flight| in_flight.busy.load(Relaxed))
            .map(|in_flight| (in_flight.offset.load(Relaxed), in_flight.since.load(Relaxed)))
            .min_by_key(|&(_, since)| since)
            .map(|(offset, since)| (offset, elapsed.saturating_sub(Duration::from_nanos(since))))
    }

    pub(crate) fn enter(&self, phase: Phase) {
        if matches!(phase, Phase::Copying | Phase::Comparing) {
            self.copying_since.store(self.now().max(1), Relaxed);
        }
        self.phase.store(phase as u8, Relaxed);
    }

    pub(crate) fn expect(&self, total: Option<u64>, resumed: u64) {
        self.total.store(total.unwrap_or(UNKNOWN), Relaxed);
        self.resumed.store(resumed, Relaxed);
    }

    /// The range of a copy, what of it needs no work, and what of it is wanted.
    pub(crate) fn lay_out(&self, extent: ByteRange, settled: &RangeSet, wanted: &RangeSet) {
        self.places.lay_out(extent, settled, wanted);
    }

    /// `range` of the source is in the destination.
    pub(crate) fn add_copied_range(&self, range: ByteRange) {
        self.add_copied(range.len());
        self.places.add(range, Kind::Copied);
    }

    pub(crate) fn add_copied(&self, bytes: u64) {
        self.copied.fetch_add(bytes, Relaxed);
    }

    /// `range` cannot be read because of `error`.
    pub(crate) fn add_failed(&self, range: ByteRange, error: &str) {
        self.failed.fetch_add(range.len(), Relaxed);
        self.places.add(range, Kind::Failed);
        let mut unread = lock(&self.unread);
        unread.insert(range, error);
        if unread.len() > EVENT_QUEUE {
            unread.pop_first();
        }
    }

    /// Some of the bytes that could not be read are not known to be bad.
    pub(crate) fn take_back_failed(&self, parts: &RangeSet) {
        self.failed.fetch_sub(parts.bytes(), Relaxed);
        parts.iter().for_each(|part| self.places.take_back(part));
    }

    /// So many of the bytes that were expected turned out to need no work.
    pub(crate) fn expect_less(&self, bytes: u64) {
        self.total.fetch_sub(bytes, Relaxed);
    }

    pub(crate) fn expect_items(&self, items: u64) {
        self.total_items.store(items, Relaxed);
    }

    pub(crate) fn add_items(&self, items: u64) {
        self.items.fetch_add(items, Relaxed);
    }

    /// Names what is being worked on, the newest last; a few are enough.
    pub(crate) fn set_active(&self, names: Vec<String>) {
        *lock(&self.active) = names;
    }

    pub(crate) fn add_verified(&self, bytes: u64) {
        self.verified.fetch_add(bytes, Relaxed);
    }

    /// What is compared from here on is counted anew.
    pub(crate) fn restart_verified(&self) {
        self.verified.store(0, Relaxed);
    }

    pub(crate) fn set_threads(&self, threads: usize) {
        self.threads.store(threads, Relaxed);
    }

    pub(crate) fn event(&self, event: Event) {
        self.events.force_push(event);
    }

    /// A place for one more worker to say what it is waiting for.
    pub(crate) fn in_flight(&self) -> Arc<InFlight> {
        let slot = Arc::new(InFlight::default());
        let mut slots = lock(&self.in_flight);
        // Those whose workers have gone are held by nobody else.
        slots.retain(|slot| Arc::strong_count(slot) > 1);
        slots.push(Arc::clone(&slot));
        slot
    }

    /// Runs `request`, which may wait for a device, as the wait at `offset`.
    pub(crate) fn waiting<T>(
        &self,
        in_flight: &InFlight,
        offset: u64,
        request: impl FnOnce() -> T,
    ) -> T {
        in_flight.offset.store(offset, Relaxed);
        in_flight.since.store(self.now(), Relaxed);
        in_flight.busy.store(true, Relaxed);
        let result = request();
        in_flight.busy.store(false, Relaxed);
        result
    }

    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

/// Who watches a job: what it says of itself, and whether it is to stop.
#[derive(Clone, Copy)]
pub struct Watch<'a> {
    /// Counters and events.
    pub progress: &'a Progress,
    /// The caller's wish to stop.
    pub cancel: &'a CancelToken,
}

impl<'a> Watch<'a> {
    /// Hears what happens by `progress`, and stops the job by `cancel`.
    pub fn new(progress: &'a Progress, cancel: &'a CancelToken) -> Watch<'a> {
        Watch { progress, cancel }
    }
}
