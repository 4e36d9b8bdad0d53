//! A limit on bytes a second, shared by all workers.

use std::time::Duration;

use crate::progress::{CancelToken, lock};
use crate::sync::{Instant, Mutex, thread};

/// Longest single sleep, so that a wish to stop is heard.
const NAP: Duration = Duration::from_millis(100);

/// How late a request may be and still be counted from when it was due. A sleep
/// always ends late; without this the rate would always be missed as well. Longer
/// pauses of the storage are not made up for: that would be a burst.
const GRACE: Duration = Duration::from_millis(100);

/// Requests a second that a rate is kept by.
const REQUESTS_A_SECOND: u64 = 20;

/// Smallest request that a rate is kept by: a page.
const SMALLEST_STEP: u64 = 4096;

/// A limit on bytes a second.
///
/// Every request books the time it takes at the limit; bookings follow each
/// other without gaps, so the rate holds over any number of workers.
#[derive(Debug)]
pub struct Throttle {
    bytes_per_second: u64,
    booked_until: Mutex<Option<Instant>>,
}

impl Throttle {
    /// At most `bytes_per_second`, at least one.
    pub fn new(bytes_per_second: u64) -> Throttle {
        Throttle { bytes_per_second: bytes_per_second.max(1), booked_until: Mutex::new(None) }
    }

    /// Longest request, a power of two, in whose steps the rate is smooth.
    pub fn step(&self) -> u64 {
        let share = (self.bytes_per_second / REQUESTS_A_SECOND).max(SMALLEST_STEP);
        1 << share.ilog2()
    }

    /// Waits until `bytes` may be moved, or until somebody asks to stop.
    pub fn wait(&self, bytes: u64, cancel: &CancelToken) {
        let start = self.book(bytes, Instant::now());
        loop {
            let left = start.saturating_duration_since(Instant::now());
            if left.is_zero() || cancel.is_cancelled() {
                return;
            }
            thread::sleep(left.min(NAP));
        }
    }

    /// Books the time for `bytes` and says when it begins.
    fn book(&self, bytes: u64, now: Instant) -> Instant {
        let cost = Duration::from_secs_f64(bytes as f64 / self.bytes_per_second as f64);
        let mut booked = lock(&self.booked_until);
        let earliest = now.checked_sub(GRACE).unwrap_or(now);
        let start = booked.map_or(now, |until| until.max(earliest));
        *booked = Some(start + cost);
        start
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bookings_add_up_to_the_rate() {
        let throttle = Throttle::new(1000);
        let now = Instant::now();
        let starts: Vec<_> = (0..5).map(|_| throttle.book(500, now) - now).collect();
        let half_seconds: Vec<_> = (0..5).map(|n| Duration::from_millis(500 * n)).collect();
        assert_eq!(starts, half_seconds);
        let later = now + Duration::from_secs(60);
        assert_eq!(throttle.book(1, later), later - GRACE, "a long pause is not made up for");
    }

    /// Workers that each come back late by up to `late` after every request, on
    /// a clock that exists only here.
    fn check_rate(rate: u64, workers: usize, late: Duration) {
        let throttle = Throttle::new(rate);
        let begin = Instant::now();
        let end = begin + Duration::from_secs(5);
        let mut free = vec![begin; workers];
        let (mut copied, mut turn) = (0, 0u32);
        loop {
            let next = free.iter_mut().min().expect("there are workers");
            let start = throttle.book(throttle.step(), *next).max(*next);
            if start >= end {
                break;
            }
            copied += throttle.step();
            turn += 1;
            *next = start + late * (turn % 8) / 8;
        }
        let ratio = copied as f64 / (5 * rate) as f64;
        assert!((0.95..=1.05).contains(&ratio), "{rate} with {workers}, {late:?}: {ratio}");
    }

    #[test]
    fn the_rate_is_kept_within_five_percent_over_five_seconds() {
        for rate in [100_000, 1 << 20, 3 << 20, 100 << 20, 1 << 30] {
            for workers in [1, 2, 8, 32] {
                for late in [0, 1, 10, 40].map(Duration::from_millis) {
                    check_rate(rate, workers, late);
                }
            }
        }
    }

    #[test]
    fn a_wish_to_stop_ends_the_wait() {
        let throttle = Throttle::new(1);
        let cancel = CancelToken::new();
        cancel.cancel();
        throttle.wait(u64::MAX >> 20, &cancel);
        throttle.wait(1, &cancel);
    }
}
