//! Signs that what is read is still there.
//!
//! A disk that was pulled out fails at every byte, as a bad sector fails at
//! one. Mistaking the one for the other means to read a million sectors in vain and
//! calls the torso a copy. So what was read is remembered, and after a few
//! failures one asks for it again: what could be read before and cannot be read
//! any more is not a bad sector.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Failed reads in a row before anybody asks.
const FIRST_DOUBT: u64 = 4;

/// Failed reads in a row after which one asks again, at most.
const DOUBT_EVERY: u64 = 512;

/// Where a source was read, and how many reads have failed since.
#[derive(Default)]
pub struct Pulse {
    /// Offsets that were read, the first and the last; 0 is none, 1 byte 0.
    first: AtomicU64,
    last: AtomicU64,
    /// Failed reads since the last that did not.
    misses: AtomicU64,
}

impl Pulse {
    /// What is at `offset` was read.
    pub fn beat(&self, offset: u64) {
        let place = offset.saturating_add(1);
        self.last.store(place, Relaxed);
        if self.first.load(Relaxed) == 0 {
            self.first.store(place, Relaxed);
        }
        // Asked before it is written: nearly always it is 0, and all workers share it.
        if self.misses.load(Relaxed) != 0 {
            self.misses.store(0, Relaxed);
        }
    }

    /// A read has failed. Whether it is time to ask if anything can be read.
    pub fn miss(&self) -> bool {
        let misses = self.misses.fetch_add(1, Relaxed) + 1;
        misses >= FIRST_DOUBT && (misses.is_power_of_two() || misses.is_multiple_of(DOUBT_EVERY))
    }

    /// Offsets that were read.
    pub fn places(&self) -> impl Iterator<Item = u64> {
        let (first, last) = (self.first.load(Relaxed), self.last.load(Relaxed));
        let other = if first == last { 0 } else { first };
        [last, other].into_iter().filter_map(|place| place.checked_sub(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_does_so_soon_and_not_for_every_sector() {
        let pulse = Pulse::default();
        assert_eq!(pulse.places().count(), 0);
        let asked: Vec<u64> = (1..=2048).filter(|_| pulse.miss()).collect();
        assert_eq!(asked, [4, 8, 16, 32, 64, 128, 256, 512, 1024, 1536, 2048]);
        pulse.beat(0);
        assert_eq!(pulse.places().collect::<Vec<_>>(), [0]);
        assert!((1..4).all(|_| !pulse.miss()), "what was read clears all doubts");
        assert!(pulse.miss());
        pulse.beat(4096);
        pulse.beat(512);
        assert_eq!(pulse.places().collect::<Vec<_>>(), [512, 0]);
    }
}
