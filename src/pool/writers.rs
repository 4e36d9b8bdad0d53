//! Writers of one file, counted apart from readers.
//!
//! As many workers read as the controller wants, but a file may be written by one at a
//! time: most file systems hold a lock for as long as a write takes. A writer that comes too
//! early spins for that lock, and takes a processor from those who read. So only a few may write
//! at once, and others wait here, asleep. How many is found out while copying: where
//! some always wait, twice as many are let in, and kept if more gets written.

use std::time::Duration;

use crate::cpu::lock;
use crate::sync::{Condvar, Instant, Mutex, PoisonError};

/// How many may write at first: while one does, the next is ready.
const START: usize = 2;

/// What twice as many must bring to be kept.
const MARGIN: f64 = 1.25;

/// Writes by which a number is judged, for each that is let in, and how long they take
/// together at least.
const WRITES: usize = 4;
const WINDOW: Duration = Duration::from_millis(10);

/// The writers of one file.
#[derive(Debug)]
pub(super) struct Writers {
    state: Mutex<State>,
    left: Condvar,
}

#[derive(Debug)]
struct State {
    /// How many write, and how many wait.
    inside: usize,
    waiting: usize,
    gauge: Gauge,
}

impl Writers {
    pub(super) fn new() -> Writers {
        let state = State { inside: 0, waiting: 0, gauge: Gauge::new() };
        Writers { state: Mutex::new(state), left: Condvar::new() }
    }

    /// Runs `write`, which writes `bytes`, when it is let in.
    pub(super) fn write<T>(&self, bytes: u64, write: impl FnOnce() -> T) -> T {
        let mut state = lock(&self.state);
        while state.inside >= state.gauge.limit {
            state.waiting += 1;
            state = self.left.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.waiting -= 1;
        }
        state.inside += 1;
        drop(state);
        let _leaving = Leaving { writers: self, bytes };
        write()
    }

    fn leave(&self, bytes: u64) {
        let mut state = lock(&self.state);
        state.inside -= 1;
        let before = state.gauge.limit;
        let somebody_waits = state.waiting > 0;
        state.gauge.wrote(Instant::now(), bytes, somebody_waits);
        match state.gauge.limit > before {
            true => self.left.notify_all(),
            false => self.left.notify_one(),
        }
    }
}

/// Lets the next one in, also after a panic.
struct Leaving<'a> {
    writers: &'a Writers,
    bytes: u64,
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.writers.leave(self.bytes);
    }
}

/// How many are let in, by what is written while others wait.
#[derive(Debug)]
struct Gauge {
    limit: usize,
    /// Bytes a second with half as many; 0 at the beginning.
    reference: f64,
    /// Whether twice as many brought nothing.
    is_settled: bool,
    /// Since when there have always been some that wait.
    since: Option<Instant>,
    writes: usize,
    bytes: u64,
}

impl Gauge {
    fn new() -> Gauge {
        Gauge { limit: START, reference: 0.0, is_settled: false, since: None, writes: 0, bytes: 0 }
    }

    /// One more has written `bytes`, and others wait, or not.
    fn wrote(&mut self, now: Instant, bytes: u64, somebody_waits: bool) {
        if self.is_settled || !somebody_waits {
            // Where nobody waits, it is not the writers that are too few.
            self.since = None;
            return;
        }
        let Some(since) = self.since else {
            (self.since, self.writes, self.bytes) = (Some(now), 0, 0);
            return;
        };
        self.writes += 1;
        self.bytes += bytes;
        let time = now.saturating_duration_since(since);
        if self.writes < WRITES * self.limit || time < WINDOW {
            return;
        }
        let rate = self.bytes as f64 / time.as_secs_f64();
        self.since = None;
        if rate > self.reference * MARGIN {
            self.reference = rate;
            self.limit *= 2;
        } else {
            self.limit /= 2;
            self.is_settled = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    /// The limit that is found on a device that takes `rate(limit)` writes a second.
    fn found(rate: impl Fn(usize) -> f64, waiting: usize) -> usize {
        let mut gauge = Gauge::new();
        let mut now = Instant::now();
        for _ in 0..2000 {
            now += Duration::from_secs_f64(1.0 / rate(gauge.limit.min(waiting)));
            gauge.wrote(now, 1 << 20, waiting > gauge.limit);
        }
        gauge.limit
    }

    #[test]
    fn as_many_are_let_in_as_get_more_written() {
        assert_eq!(found(|_| 4000.0, 32), 2, "one lock");
        assert_eq!(found(|limit| 4000.0 / limit as f64, 32), 2, "the more, the worse");
        assert_eq!(found(|limit| 50.0 * limit as f64, 1000), 256, "each takes as long");
        assert_eq!(found(|limit| 50.0 * limit.min(8) as f64, 1000), 8, "eight at once");
        assert_eq!(found(|limit| 50.0 * limit as f64, 16), 16, "nobody waits any more");
    }

    #[test]
    fn no_more_write_at_once_than_are_let_in_and_all_get_through() {
        let writers = Writers::new();
        // Nothing is found out, so that the number stays.
        lock(&writers.state).gauge.is_settled = true;
        let (inside, most, done) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
        crate::sync::thread::scope(|scope| {
            for _ in 0..8 {
                let work = || {
                    for _ in 0..500 {
                        writers.write(1, || {
                            most.fetch_max(inside.fetch_add(1, SeqCst) + 1, SeqCst);
                            std::thread::yield_now();
                            inside.fetch_sub(1, SeqCst);
                        });
                        done.fetch_add(1, SeqCst);
                    }
                };
                crate::sync::thread::Builder::new().spawn_scoped(scope, work).unwrap();
            }
        });
        assert_eq!(done.load(SeqCst), 8 * 500);
        assert!(most.load(SeqCst) <= START, "{most:?}");
    }

    #[test]
    fn who_panics_lets_the_next_one_in() {
        let writers = Writers::new();
        for _ in 0..3 * START {
            let write = || writers.write(1, || panic!("on purpose"));
            assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(write)).is_err());
        }
        assert_eq!(writers.write(1, || 7), 7);
    }
}
