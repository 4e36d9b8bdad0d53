//! A disk with a write cache that loses power.

use std::collections::VecDeque;
use std::io;

use positioned_io::ReadAt;

use super::random::Random;
use crate::io::{Sink, as_u64, as_usize, transfer};
use crate::progress::lock;
use crate::range::ByteRange;
use crate::sync::Mutex;

/// What a disk writes whole or not at all, in bytes. Real disks write more at
/// once; less is never torn.
pub const SECTOR: u64 = 512;

/// A [`Sink`] with a write cache: what has been written since the last sync is
/// kept aside and reaches the wrapped sink, the *medium*, only by a
/// successful [`sync_data`](Sink::sync_data), or in parts by
/// [`crash`](Volatile::crash).
///
/// Reading sees what was written, as reading through a page cache does. A
/// sync that fails does what kernels do: the data that could not be written
/// counts as clean from then on, so that the next sync succeeds *without*
/// writing it; it can still be read until the power goes. Only what is written
/// again is safe again.
///
/// A sync covers the writes that had returned when it was called.
pub struct Volatile<S> {
    medium: S,
    cache: Mutex<Cache>,
}

#[derive(Default)]
struct Cache {
    /// Written and not synced, oldest first.
    dirty: VecDeque<Write>,
    /// Everything written since the last crash, oldest first: what reading sees.
    seen: Vec<Write>,
}

#[derive(Clone)]
struct Write {
    offset: u64,
    data: Vec<u8>,
}

impl Write {
    fn range(&self) -> ByteRange {
        ByteRange::between(self.offset, self.offset + as_u64(self.data.len()))
    }

    fn part(&self, part: ByteRange) -> &[u8] {
        &self.data[as_usize(part.start() - self.offset)..as_usize(part.end() - self.offset)]
    }

    /// The parts of it that a disk writes whole.
    fn sectors(&self) -> impl Iterator<Item = ByteRange> {
        let range = self.range();
        let first = range.start() / SECTOR;
        (first..range.end().div_ceil(SECTOR))
            .map(move |sector| ByteRange::between(sector * SECTOR, (sector + 1) * SECTOR))
            .map(move |sector| sector.intersect(range))
    }
}

impl<S: Sink> Volatile<S> {
    /// `medium` behind an empty cache.
    pub fn new(medium: S) -> Volatile<S> {
        Volatile { medium, cache: Mutex::default() }
    }

    /// What is there after a power cut.
    pub fn medium(&self) -> &S {
        &self.medium
    }

    /// Bytes that have been written and are not safe; bytes written twice count twice.
    pub fn dirty_bytes(&self) -> u64 {
        lock(&self.cache).dirty.iter().map(|write| as_u64(write.data.len())).sum()
    }

    /// Loses power. Of what was not synced, `seed` decides what reaches the
    /// medium: everything, nothing, some of the writes in any order, or single
    /// sectors of them, older ones of a place also without newer ones.
    ///
    /// # Errors
    ///
    /// If the medium refuses a write.
    pub fn crash(&self, seed: u64) -> io::Result<()> {
        let mut cache = std::mem::take(&mut *lock(&self.cache));
        let mut random = Random::new(seed);
        let (kept, torn) = (random.below(5), random.chance(1, 2));
        if random.chance(1, 2) {
            shuffle(cache.dirty.make_contiguous(), &mut random);
        }
        for write in &cache.dirty {
            if torn {
                for sector in write.sectors() {
                    if random.chance(kept, 4) {
                        put(&self.medium, sector.start(), write.part(sector))?;
                    }
                }
            } else if random.chance(kept, 4) {
                put(&self.medium, write.offset, &write.data)?;
            }
        }
        Ok(())
    }

    fn remember(&self, offset: u64, data: Vec<u8>) {
        let write = Write { offset, data };
        let mut cache = lock(&self.cache);
        cache.seen.push(write.clone());
        cache.dirty.push_back(write);
    }
}

fn put(medium: &impl Sink, offset: u64, data: &[u8]) -> io::Result<()> {
    transfer::write_full(medium, offset, data).map_err(|stop| stop.error)
}

/// Fisher and Yates.
fn shuffle<T>(items: &mut [T], random: &mut Random) {
    for last in (1..items.len()).rev() {
        items.swap(last, as_usize(random.below(as_u64(last) + 1)));
    }
}

impl<S: Sink> Sink for Volatile<S> {
    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<usize> {
        self.remember(offset, data.to_vec());
        Ok(data.len())
    }

    fn write_zeroes(&self, range: ByteRange) -> io::Result<()> {
        self.remember(range.start(), vec![0; as_usize(range.len())]);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        // Taken out first: what is written from now on is not covered.
        let covered = std::mem::take(&mut lock(&self.cache).dirty);
        // Asked before anything is put on the medium: of a sync that fails,
        // the worst case is that nothing was written.
        self.medium.sync_data()?;
        covered.iter().try_for_each(|write| put(&self.medium, write.offset, &write.data))
    }
}

impl<S: ReadAt> ReadAt for Volatile<S> {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut count = self.medium.read_at(offset, buffer)?;
        let wanted = ByteRange::between(offset, offset + as_u64(buffer.len()));
        for write in &lock(&self.cache).seen {
            let both = write.range().intersect(wanted);
            if both.is_empty() {
                continue;
            }
            let (start, end) = (as_usize(both.start() - offset), as_usize(both.end() - offset));
            // Between the end of the medium and the write there is a hole.
            if start > count {
                buffer[count..start].fill(0);
            }
            buffer[start..end].copy_from_slice(write.part(both));
            count = count.max(end);
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::memory::Memory;
    use crate::testing::{Faulty, Operation, Rule};
    use std::collections::BTreeSet;

    fn read(disk: &impl ReadAt, len: usize) -> Vec<u8> {
        let mut bytes = vec![0xEE; len];
        let count = disk.read_at(0, &mut bytes).unwrap();
        bytes.truncate(count);
        bytes
    }

    #[test]
    fn what_is_synced_survives_and_nothing_else_need_to() {
        let mut outcomes = BTreeSet::new();
        for seed in 0..200 {
            let disk = Volatile::new(Memory::zeroed(2048));
            put(&disk, 0, &[1; 1024]).unwrap();
            disk.sync_data().unwrap();
            put(&disk, 1024, &[2; 1024]).unwrap();
            assert_eq!(read(&disk, 2048)[1023..1025], [1, 2], "reading sees the cache");
            disk.crash(seed).unwrap();
            let after = disk.medium().bytes();
            assert_eq!(read(&disk, 2048), after, "and after the crash the medium");
            assert_eq!(after[..1024], [1; 1024], "seed {seed}");
            for sector in after.chunks(512) {
                assert!(sector.iter().all(|byte| *byte == sector[0]), "no less than a sector");
            }
            outcomes.insert((after[1024], after[1536]));
        }
        assert_eq!(outcomes.into_iter().collect::<Vec<_>>(), [(0, 0), (0, 2), (2, 0), (2, 2)]);
    }

    #[test]
    fn writes_of_one_place_reach_the_medium_in_any_order() {
        let after = |seed| {
            let disk = Volatile::new(Memory::zeroed(512));
            put(&disk, 0, &[1; 512]).unwrap();
            put(&disk, 0, &[2; 512]).unwrap();
            disk.crash(seed).unwrap();
            disk.medium().bytes()[0]
        };
        let seen: BTreeSet<u8> = (0..100).map(after).collect();
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(
            (0..100).map(after).collect::<Vec<_>>(),
            (0..100).map(after).collect::<Vec<_>>()
        );
    }

    #[test]
    fn a_failed_sync_loses_data_and_the_next_one_lies() {
        let medium =
            Faulty::new(Memory::zeroed(512)).with(Rule::on(Operation::Sync).call(1).errno(5));
        let disk = Volatile::new(medium);
        put(&disk, 0, &[1; 512]).unwrap();
        assert_eq!(disk.sync_data().unwrap_err().raw_os_error(), Some(5));
        disk.sync_data().expect("as kernels do");
        assert_eq!(read(&disk, 512), [1; 512], "still in the cache");
        disk.crash(4).unwrap();
        assert_eq!(disk.medium().inner().bytes(), [0; 512], "and never on the medium");
        put(&disk, 0, &[3; 512]).unwrap();
        disk.sync_data().unwrap();
        disk.crash(4).unwrap();
        assert_eq!(disk.medium().inner().bytes(), [3; 512], "written again, it is safe");
    }

    #[test]
    fn zeroing_is_a_write_like_any_other() {
        let disk = Volatile::new(Memory::new(vec![9; 1024]));
        disk.write_zeroes(ByteRange::between(100, 700)).unwrap();
        assert_eq!(disk.dirty_bytes(), 600);
        assert_eq!(read(&disk, 1024)[99..701], [&[9][..], &[0; 600], &[9]].concat());
        disk.sync_data().unwrap();
        assert_eq!(disk.dirty_bytes(), 0);
        disk.crash(0).unwrap();
        assert_eq!(disk.medium().bytes()[99..701], [&[9][..], &[0; 600], &[9]].concat());
    }
}
