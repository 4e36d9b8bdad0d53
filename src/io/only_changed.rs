//! Writing only what differs from what is there.
//!
//! A sink that reads the place of a write first, and leaves every block alone that
//! holds the same bytes: for storage that wears, or that shares its blocks with a
//! snapshot. It stands before any other sink and knows nothing of the source, of
//! stripes or of why a block is the same.
//!
//! What cannot be read there, or is reported to be read and was not, is written: it
//! differs, for all that is known.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crossbeam::queue::ArrayQueue;

use super::buffer::Buffer;
use super::fingerprint::{Marked, Marks};
use super::{Sink, Source, ZEROES, as_u64, as_usize, transfer};
use crate::progress::lock;
use crate::range::{ByteRange, RangeSet, align_down};
use crate::sync::Mutex;

/// Smallest block that is told apart, in bytes: a page of the page cache, below
/// which every system reads and writes whole ones.
pub const BLOCK: u64 = 4096;

/// What a destination holds before it is written.
#[derive(Clone)]
pub struct Existing {
    /// To be read at the offsets at which it is written. Beyond its size there is
    /// nothing.
    pub content: Arc<dyn Source>,
    /// Unit in which it is worth writing less, in bytes: a power of two.
    pub block: u64,
    /// Logical sector in bytes.
    pub sector: u32,
}

/// Memory to compare in: a buffer for each worker, made when it is first needed
/// and shared by all destinations of a copy.
pub struct Room {
    spare: ArrayQueue<Buffer>,
    /// Of each buffer, in bytes.
    size: u64,
}

impl Room {
    /// For `workers` with requests of up to `size` bytes.
    pub fn new(workers: usize, size: u64) -> Arc<Room> {
        Arc::new(Room { spare: ArrayQueue::new(workers.max(1)), size: size.max(1) })
    }

    /// `None` where the system has no memory for it.
    fn take(&self) -> Option<Buffer> {
        self.spare.pop().or_else(|| Buffer::new(as_usize(self.size)).ok())
    }

    fn give_back(&self, buffer: Buffer) {
        // A full queue drops it, which does no harm to memory.
        let _ = self.spare.push(buffer);
    }
}

/// How many bytes of one destination were written, and how many were not.
#[derive(Default, Debug)]
pub struct Counts {
    written: AtomicU64,
    equal: AtomicU64,
    /// Where somebody asks for it.
    zeros: Option<Mutex<RangeSet>>,
}

impl Counts {
    /// Ones that know the places of zeros as well, of a source that nobody can read again.
    pub fn with_zeros() -> Counts {
        Counts { zeros: Some(Mutex::default()), ..Counts::default() }
    }

    /// Bytes that differed, and were written or made zeros.
    pub fn written(&self) -> u64 {
        self.written.load(Relaxed)
    }

    /// Bytes that were the same already.
    pub fn equal(&self) -> u64 {
        self.equal.load(Relaxed)
    }

    /// Where zeros were the same already, in bytes of the destination: blocks that may
    /// be holes there, and were not made so.
    pub fn zeros(&self) -> RangeSet {
        self.zeros.as_ref().map(|zeros| lock(zeros).clone()).unwrap_or_default()
    }

    fn add_written(&self, bytes: u64) {
        self.written.fetch_add(bytes, Relaxed);
    }

    fn add_equal(&self, place: ByteRange) {
        self.equal.fetch_add(place.len(), Relaxed);
    }

    fn add_zeros(&self, place: ByteRange) {
        if let Some(zeros) = &self.zeros {
            lock(zeros).insert(place);
        }
    }
}

/// A sink that writes only what differs from what is there.
pub struct OnlyChanged {
    sink: Arc<dyn Sink>,
    existing: Existing,
    room: Arc<Room>,
    counts: Arc<Counts>,
    marks: Marks,
}

impl OnlyChanged {
    /// Before `sink`, which holds `existing`.
    pub fn new(
        sink: Arc<dyn Sink>,
        existing: Existing,
        room: Arc<Room>,
        counts: Arc<Counts>,
    ) -> OnlyChanged {
        OnlyChanged { sink, existing, room, counts, marks: Marks::new() }
    }

    /// The same before another way to the same storage: `sink` to write, and
    /// `content` to read.
    pub fn by(&self, sink: Arc<dyn Sink>, content: Arc<dyn Source>) -> OnlyChanged {
        let existing = Existing { content, ..self.existing.clone() };
        OnlyChanged::new(sink, existing, Arc::clone(&self.room), Arc::clone(&self.counts))
    }

    /// What the storage holds.
    pub fn content(&self) -> &Arc<dyn Source> {
        &self.existing.content
    }

    /// How much of `len` bytes at `offset` is compared at once: as many blocks as
    /// there is room for.
    fn fitting(&self, offset: u64, len: usize) -> usize {
        let most = as_usize(self.room.size);
        if len <= most {
            return len;
        }
        let edge = align_down(offset.saturating_add(self.room.size), self.existing.block);
        if edge > offset { as_usize(edge - offset) } else { most }
    }

    /// Reads what `place` holds into `memory`, which is as long, and says how many
    /// bytes of it are known.
    fn read(&self, place: ByteRange, memory: &mut [u8]) -> usize {
        let there = place.intersect(ByteRange::to(self.existing.content.size()));
        if there.start() != place.start() {
            return 0;
        }
        let marked = Marked::new(&*self.existing.content, &self.marks);
        let memory = &mut memory[..as_usize(there.len())];
        let known = match transfer::read_full(&marked, place.start(), memory) {
            Ok(()) => memory.len(),
            Err(stop) => stop.moved,
        };
        if marked.is_suspicious() { 0 } else { known }
    }

    /// The blocks of `place` in runs that are to be written or left alone, as
    /// `same` says of each.
    fn runs(
        &self,
        place: ByteRange,
        mut same: impl FnMut(ByteRange) -> bool,
    ) -> impl Iterator<Item = Run> {
        let mut blocks = place.pieces_on_grid(self.existing.block, 0).peekable();
        std::iter::from_fn(move || {
            let first = blocks.next()?;
            let equal = same(first);
            let mut place = first;
            let mut next = blocks.peek().copied();
            while let Some(block) = next
                && same(block) == equal
            {
                place = ByteRange::between(place.start(), block.end());
                blocks.next();
                next = blocks.peek().copied();
            }
            Some(Run { place, equal })
        })
    }

    /// Writes those blocks of `data` at `place` that are not in `known`, which is
    /// what the beginning of `place` holds. Returns how far it got.
    fn write_changed(&self, place: ByteRange, data: &[u8], known: &[u8]) -> io::Result<usize> {
        if known == data {
            self.leave(place, data);
            return Ok(data.len());
        }
        let bytes = |part: ByteRange| {
            as_usize(part.start() - place.start())..as_usize(part.end() - place.start())
        };
        let same = |block: ByteRange| {
            let bytes = bytes(block);
            known.get(bytes.clone()).is_some_and(|known| known == &data[bytes])
        };
        let mut moved = 0;
        for Run { place, equal } in self.runs(place, same) {
            if equal {
                self.leave(place, &data[bytes(place)]);
            } else if let Err(stop) = self.write_run(place, &data[bytes(place)]) {
                moved += stop.moved;
                // The next call meets the error where it is.
                return if moved > 0 { Ok(moved) } else { Err(stop.error) };
            }
            moved += as_usize(place.len());
        }
        Ok(moved)
    }

    /// Counts `data`, which is at `place` already.
    fn leave(&self, place: ByteRange, data: &[u8]) {
        self.counts.add_equal(place);
        if self.counts.zeros.is_none() {
            return;
        }
        let is_zero = |block: ByteRange| {
            let start = as_usize(block.start() - place.start());
            all_zero(&data[start..start + as_usize(block.len())])
        };
        for Run { place, equal } in self.runs(place, is_zero) {
            if equal {
                self.counts.add_zeros(place);
            }
        }
    }

    fn write_run(&self, place: ByteRange, data: &[u8]) -> Result<(), transfer::Stop> {
        let written = transfer::write_full(&*self.sink, place.start(), data);
        let moved = written.as_ref().map_or_else(|stop| stop.moved, |()| data.len());
        self.counts.add_written(as_u64(moved));
        written
    }

    fn write_zero_run(&self, place: ByteRange) -> io::Result<()> {
        if place.is_empty() {
            return Ok(());
        }
        self.sink.write_zeroes(place)?;
        self.counts.add_written(place.len());
        Ok(())
    }
}

/// Adjacent blocks of which the same is known.
struct Run {
    place: ByteRange,
    /// Whether they hold what is to be written.
    equal: bool,
}

impl Sink for OnlyChanged {
    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<usize> {
        let data = &data[..self.fitting(offset, data.len())];
        let place = ByteRange::with_len(offset, as_u64(data.len()));
        let place = place.ok_or(io::ErrorKind::FileTooLarge)?;
        let Some(mut buffer) = self.room.take() else {
            return self.write_changed(place, data, &[]);
        };
        let memory = buffer.at(offset, place.len());
        let known = self.read(place, memory);
        let result = self.write_changed(place, data, &memory[..known]);
        self.room.give_back(buffer);
        result
    }

    /// Zeros what is not zero. What adjoins is zeroed at once, however long it is.
    fn write_zeroes(&self, range: ByteRange) -> io::Result<()> {
        let Some(mut buffer) = self.room.take() else { return self.write_zero_run(range) };
        let mut pending = ByteRange::between(range.start(), range.start());
        for piece in range.pieces_on_grid(self.room.size.max(self.existing.block), 0) {
            // A block that is larger than a buffer is compared in parts.
            for place in piece.pieces(self.room.size) {
                let memory = buffer.at(place.start(), place.len());
                let known = self.read(place, memory);
                let known = &memory[..known];
                let is_zero = |block: ByteRange| {
                    let start = as_usize(block.start() - place.start());
                    let bytes = known.get(start..start + as_usize(block.len()));
                    bytes.is_some_and(all_zero)
                };
                for Run { place, equal } in self.runs(place, is_zero) {
                    if equal {
                        self.write_zero_run(pending)?;
                        self.counts.add_equal(place);
                        self.counts.add_zeros(place);
                        pending = ByteRange::between(place.end(), place.end());
                    } else {
                        pending = ByteRange::between(pending.start(), place.end());
                    }
                }
            }
        }
        self.room.give_back(buffer);
        self.write_zero_run(pending)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.sink.sync_data()
    }

    fn file(&self) -> Option<&File> {
        self.sink.file()
    }

    fn for_each_place(&self, range: ByteRange, visit: &mut dyn FnMut(&File, ByteRange)) {
        self.sink.for_each_place(range, visit);
    }
}

fn all_zero(bytes: &[u8]) -> bool {
    bytes.chunks(ZEROES.len()).all(|chunk| chunk == &ZEROES[..chunk.len()])
}

/// The sink of a copy that is compared and not made: it takes everything and
/// changes nothing of what is there.
pub struct Unwritten(pub Arc<dyn Source>);

impl Sink for Unwritten {
    fn write_at(&self, _offset: u64, data: &[u8]) -> io::Result<usize> {
        Ok(data.len())
    }

    fn write_zeroes(&self, _range: ByteRange) -> io::Result<()> {
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn file(&self) -> Option<&File> {
        self.0.file()
    }
}

#[cfg(test)]
mod tests;
