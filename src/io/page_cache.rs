//! What a copy does to the page cache: a large copy does not push out what other
//! programs have there, and the disk is at work before the final sync.
//!
//! What was not in the cache before it was read is dropped behind the copy, and
//! so is what was written from it, as soon as it is on the disk, unless it went
//! into a stream, whose place nobody knows. What was there stays there, also of
//! a file that is written in place, which somebody may be working with. Reading
//! a source again to verify a copy is not an exception. All of this is advice to the
//! system: no byte depends on it, and nothing here fails.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::{Sink, Source, as_u64};
use crate::progress::lock;
use crate::range::{ByteRange, RangeSet};
use crate::sync::Mutex;
use crate::sync::thread;
use crate::sys;

/// Copies smaller than this leave everything where it is: the user who made them
/// is likely to want them soon.
pub const LARGE: u64 = 64 << 20;

/// How many written stripes are left in peace before they are dropped, so that
/// the disk has had time for them.
const PATIENCE: usize = 16;

/// How much of what will be read is in the page cache at the beginning.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum CacheState {
    /// Next to nothing.
    Cold,
    /// Some: every stripe is looked at.
    #[default]
    Mixed,
    /// Next to everything.
    Warm,
    /// The system does not say, or was not asked.
    Unknown,
}

/// What one copy does to the page cache.
#[derive(Debug, Default)]
pub struct PageCachePolicy {
    cache_state: CacheState,
    drop_source: bool,
    /// Whether written pages get clean soon, so that they can be dropped.
    drop_written: bool,
    write_early: bool,
    /// Below so many bytes, nothing that was written is dropped.
    least: u64,
    /// Length of the file that is written, where it was there before, in bytes.
    standing: Option<u64>,
    found: Found,
    found_standing: Found,
    read: Mutex<Behind>,
    written: Mutex<Behind>,
}

/// Whether windows of a file were cached before anyone touched them.
#[derive(Debug, Default)]
struct Found(Mutex<BTreeMap<u64, bool>>);

/// What lies behind the copy and is to be dropped.
#[derive(Debug, Default)]
struct Behind {
    recent: VecDeque<ByteRange>,
    all: RangeSet,
}

/// The page cache keeps bytes in folios of up to a few MiB, and a folio goes
/// only as a whole: what is dropped is widened to this, as far as it is ours.
const FOLIO: u64 = 4 << 20;

/// Grain in which is looked what of the source is in the page cache, in bytes.
const WINDOW: u64 = 4 << 20;

/// How many windows ahead of the reader are looked at: further than anything is
/// read ahead. The largest `read_ahead_kb` met was that of a virtual disk, 8 MiB.
const AHEAD: u64 = 8;

/// How many windows are remembered: 16 GiB, more than the workers of one copy
/// are apart.
const WINDOWS: usize = 4096;

/// For how many milliseconds, one after the other, what is still being read ahead and
/// cannot be dropped before is waited for: as long as a busy disk takes for 8 MiB, and no
/// longer, because it may be another program that holds it there.
const LATE: [u64; 6] = [1, 2, 4, 8, 16, 0];

impl PageCachePolicy {
    /// Everything stays as it comes.
    pub fn none() -> PageCachePolicy {
        PageCachePolicy::default()
    }

    /// For a copy of `bytes`, which waits for the disk if `sync`.
    pub fn new(cache_state: CacheState, bytes: u64, sync: bool) -> PageCachePolicy {
        if bytes < LARGE {
            return PageCachePolicy::none();
        }
        let fills_memory = sys::available_memory().is_some_and(|memory| bytes > memory / 4);
        PageCachePolicy {
            cache_state,
            drop_source: true,
            drop_written: sync || fills_memory,
            write_early: sync,
            ..PageCachePolicy::default()
        }
    }

    /// For a copy of which nobody knows how long it will be, from what is in no cache.
    pub fn of_a_stream(sync: bool) -> PageCachePolicy {
        let (drop_written, write_early) = (sync, sync);
        PageCachePolicy { drop_written, write_early, least: LARGE, ..PageCachePolicy::default() }
    }

    /// Into a file that was there before, with so many bytes, if it was.
    pub fn over(self, standing: Option<u64>) -> PageCachePolicy {
        PageCachePolicy { standing, ..self }
    }

    /// Whether it is known what of the sink was in the cache before the copy.
    pub fn is_over_standing(&self) -> bool {
        self.standing.is_some()
    }

    /// Before `part` of the source is read. Says whether it is in the cache.
    pub fn before(&self, source: &dyn Source, part: ByteRange) -> bool {
        match self.cache_state {
            _ if !self.drop_source => true,
            state @ (CacheState::Cold | CacheState::Mixed) => {
                // Also of what is cold: what lies ahead may be somebody's.
                let cached = self.found.cached(source.size(), part, &|window| {
                    let (mut cached, mut is_known) = (0, false);
                    source.for_each_place(window, &mut |file, place| {
                        is_known = true;
                        cached += sys::cached_bytes(file, place).unwrap_or(place.len());
                    });
                    is_known.then_some(cached)
                });
                cached && state == CacheState::Mixed
            }
            _ => true,
        }
    }

    /// Before `part` of the sink is written. Says whether it is in the cache
    /// and was before the copy.
    pub fn before_write(&self, sink: &dyn Sink, part: ByteRange) -> bool {
        match (self.standing.filter(|_| self.drop_written), sink.file()) {
            (Some(len), Some(file)) => self
                .found_standing
                .cached(len, part, &|window| sys::cached_bytes(file, window).ok()),
            _ => false,
        }
    }

    /// After `part` of the source has been read, and is not needed any more.
    pub fn after_read(&self, was_cached: bool, source: &dyn Source, part: ByteRange) {
        if was_cached {
            return;
        }
        let old = lock(&self.read).push(part);
        if let Some(old) = old {
            source.for_each_place(old, &mut sys::drop_cached);
        }
    }

    /// After `target` has been written from something that was cached or not.
    pub fn after_write(&self, was_cached: bool, sink: &dyn Sink, target: ByteRange) {
        if self.write_early {
            sink.for_each_place(target, &mut sys::start_writing);
        }
        if was_cached || !self.drop_written {
            return;
        }
        let mut written = lock(&self.written);
        let old = written.push(target).filter(|_| written.all.bytes() >= self.least);
        drop(written);
        if let Some(old) = old {
            sink.for_each_place(old, &mut sys::drop_cached);
        }
    }

    /// When nothing more will be read. What the system has read ahead, behind the end
    /// of a range say, goes as well, for which it may have to come first.
    pub fn finish_reading(&self, source: &dyn Source) {
        let mut read = std::mem::take(&mut *lock(&self.read)).all;
        if read.is_empty() {
            return;
        }
        let mut ahead = self.found.not_cached(source.size());
        ahead.subtract(&read);
        read.merge(&ahead);
        for milliseconds in LATE {
            for range in read.iter() {
                source.for_each_place(range, &mut sys::drop_cached);
            }
            if !is_cached(source, &ahead) {
                return;
            }
            thread::sleep(Duration::from_millis(milliseconds));
        }
    }

    /// When everything is on the disk.
    pub fn finish(&self, source: &dyn Source, sink: &dyn Sink) {
        self.finish_reading(source);
        let written = std::mem::take(&mut *lock(&self.written)).all;
        for range in written.iter().filter(|_| written.bytes() >= self.least) {
            sink.for_each_place(range, &mut sys::drop_cached);
        }
    }
}

/// Whether the page cache has anything of `ranges`, if the system says.
fn is_cached(source: &dyn Source, ranges: &RangeSet) -> bool {
    let mut cached = 0;
    for range in ranges.iter() {
        source.for_each_place(range, &mut |file, place| {
            cached += sys::cached_bytes(file, place).unwrap_or(0);
        });
    }
    cached > 0
}

impl Found {
    /// Whether the page cache held an eighth of the windows of `part` before
    /// anyone touched them. That is asked once, and some way ahead: later, what
    /// was read ahead would look as if it had always been there. What lies
    /// beyond `size`, the end of the file, was not there. `ask` says how many bytes
    /// of a window the cache holds, if the system does.
    fn cached(&self, size: u64, part: ByteRange, ask: &dyn Fn(ByteRange) -> Option<u64>) -> bool {
        let (first, end) = (part.start() / WINDOW, part.end().div_ceil(WINDOW));
        let mut found = lock(&self.0);
        for window in first..end + AHEAD {
            found.entry(window).or_insert_with(|| {
                let range = range_of(window, size);
                ask(range).is_none_or(|cached| cached > range.len() / 8)
            });
        }
        let cached = found.range(first..end).filter(|(_, cached)| **cached).count();
        while found.len() > WINDOWS {
            found.pop_first();
        }
        as_u64(cached) * 8 > end - first
    }

    /// What was asked for and was not in the page cache, of a file of `size` bytes.
    fn not_cached(&self, size: u64) -> RangeSet {
        let found = lock(&self.0);
        let windows = found.iter().filter(|(_, cached)| !**cached);
        windows.map(|(window, _)| range_of(*window, size)).collect()
    }
}

/// The bytes of a window in a file of `size` bytes.
fn range_of(window: u64, size: u64) -> ByteRange {
    let start = window.saturating_mul(WINDOW).min(size);
    ByteRange::between(start, start.saturating_add(WINDOW).min(size))
}

impl Behind {
    /// Takes note of `part`, and says what is old enough to be dropped.
    fn push(&mut self, part: ByteRange) -> Option<ByteRange> {
        self.all.insert(part);
        self.recent.push_back(part);
        if self.recent.len() <= PATIENCE {
            return None;
        }
        let old = self.recent.pop_front()?;
        let around = self.all.within(old.align_out(FOLIO));
        around.iter().find(|run| run.contains(old))
    }
}
