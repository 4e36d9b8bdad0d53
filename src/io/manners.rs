//! Manners towards the page cache: a large copy does not push out what other
//! programs have there, and the disk is at work before the final sync.
//!
//! What was not in the cache before it was read is dropped behind the copy, and
//! so is what was written from it, as soon as it is on the disk. What was there
//! stays there. Reading a source again to verify a copy is no exception. All of
//! this is advice to the system: no byte depends on it, and
//! nothing here fails.

use std::collections::VecDeque;
use std::sync::Mutex;

use super::{Sink, Source};
use crate::progress::lock;
use crate::range::{ByteRange, RangeSet};
use crate::sys;

/// Copies smaller than this leave everything where it is: whoever made them
/// is likely to want them soon.
pub const LARGE: u64 = 64 << 20;

/// How many written stripes are left in peace before they are dropped, so that
/// the disk has had time for them.
const PATIENCE: usize = 16;

/// How much of what will be read is in the page cache at the beginning.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Warmth {
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

/// Manners of one copy towards the page cache.
#[derive(Debug, Default)]
pub struct Manners {
    warmth: Warmth,
    drop_source: bool,
    /// Whether written pages get clean soon, so that they can be dropped.
    drop_written: bool,
    write_early: bool,
    read: Mutex<Behind>,
    written: Mutex<Behind>,
}

/// What lies behind the copy and is to be dropped.
#[derive(Debug, Default)]
struct Behind {
    recent: VecDeque<ByteRange>,
    all: RangeSet,
}

/// The page cache keeps bytes in folios of up to a few MiB, and a folio goes
/// only as a whole: what is dropped is widened to this, as far as it is ours.
const FOLIO: u64 = 4 << 20;

impl Manners {
    /// Everything stays as it comes.
    pub fn none() -> Manners {
        Manners::default()
    }

    /// For a copy of `bytes`, which waits for the disk if `sync`.
    pub fn new(warmth: Warmth, bytes: u64, sync: bool) -> Manners {
        if bytes < LARGE {
            return Manners::none();
        }
        let fills_memory = sys::available_memory().is_some_and(|memory| bytes > memory / 4);
        Manners {
            warmth,
            drop_source: true,
            drop_written: sync || fills_memory,
            write_early: sync,
            read: Mutex::default(),
            written: Mutex::default(),
        }
    }

    /// Before `part` of the source is read. Says whether it is in the cache.
    pub fn before(&self, source: &dyn Source, part: ByteRange) -> bool {
        match (self.warmth, source.file()) {
            _ if !self.drop_source => true,
            (Warmth::Cold, _) => false,
            (Warmth::Mixed, Some(file)) => {
                sys::cached_bytes(file, part).map_or(true, |cached| cached > part.len() / 8)
            }
            _ => true,
        }
    }

    /// After `part` of the source has been read, and is not needed any more.
    pub fn after_read(&self, was_cached: bool, source: &dyn Source, part: ByteRange) {
        if !was_cached
            && let Some(file) = source.file()
            && let Some(old) = lock(&self.read).push(part)
        {
            sys::drop_cached(file, old);
        }
    }

    /// After `target` has been written from something that was cached or not.
    pub fn after_write(&self, was_cached: bool, sink: &dyn Sink, target: ByteRange) {
        if self.write_early {
            sink.for_each_file(&mut |file| sys::start_writing(file, target));
        }
        if !was_cached
            && self.drop_written
            && let Some(old) = lock(&self.written).push(target)
        {
            sink.for_each_file(&mut |file| sys::drop_cached(file, old));
        }
    }

    /// When nothing more will be read.
    pub fn finish_reading(&self, source: &dyn Source) {
        let Some(file) = source.file() else { return };
        for range in lock(&self.read).all.iter() {
            sys::drop_cached(file, range);
        }
    }

    /// When everything is on the disk.
    pub fn finish(&self, source: &dyn Source, sink: &dyn Sink) {
        self.finish_reading(source);
        for range in lock(&self.written).all.iter() {
            sink.for_each_file(&mut |file| sys::drop_cached(file, range));
        }
    }
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
