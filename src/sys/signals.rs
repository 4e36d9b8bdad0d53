//! How a system tells a process to stop. Compiled into the command alone, by
//! `cli::signals`: the library installs no handlers (invariant I5).

#![allow(unsafe_code)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};

#[cfg(unix)]
#[path = "signals/unix.rs"]
mod unix;
#[cfg(windows)]
#[path = "signals/windows.rs"]
mod windows;

#[cfg(unix)]
pub use unix::*;
#[cfg(windows)]
pub use windows::*;

/// How far apart two wishes to stop are at least, in milliseconds. What comes
/// sooner is the same wish, told twice: timeout(1) signals the process and then
/// its group, a wrapper passes on what the terminal has sent to both, a service
/// manager sends two kinds. Nobody has seen yet whether the first one helps.
pub const MOMENT: u64 = 500;

/// What became of a wish to stop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Heard {
    /// It is the first.
    First,
    /// The same once more.
    Again,
    /// It is another one: the process is to end where it stands.
    Second,
}

/// The wishes to stop that have arrived. Everything here may be called by a
/// signal handler.
#[derive(Default)]
pub struct Wishes {
    /// Number of the signal that was the first; 0 if there was none.
    signal: AtomicUsize,
    /// When that was, in milliseconds.
    since: AtomicU64,
    /// Whether there was any: what the job looks at, so that it hears the signal
    /// itself and without delay.
    cancel: Arc<AtomicBool>,
}

impl Wishes {
    /// Takes note of `signal`, which came at `now`, a number of milliseconds
    /// that is not 0.
    pub fn hear(&self, signal: usize, now: u64) -> Heard {
        match self.since.compare_exchange(0, now, SeqCst, SeqCst) {
            Ok(_) => {
                // In this order: what sees the flag can tell which signal it was.
                self.signal.store(signal, SeqCst);
                self.cancel.store(true, SeqCst);
                Heard::First
            }
            Err(first) if now.saturating_sub(first) < MOMENT => Heard::Again,
            Err(_) => Heard::Second,
        }
    }

    /// Number of the signal that was the first; 0 if there was none.
    pub fn signal(&self) -> usize {
        self.signal.load(SeqCst)
    }

    /// Is set by the first wish.
    pub fn flag(&self) -> &Arc<AtomicBool> {
        &self.cancel
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_twice_within_a_moment_is_one_wish() {
        let wishes = Wishes::default();
        let check = |signal, now, expected: Heard| assert_eq!(wishes.hear(signal, now), expected);
        check(15, 1000, Heard::First);
        check(15, 1000, Heard::Again);
        check(2, 1000 + MOMENT - 1, Heard::Again);
        check(1, 999, Heard::Again);
        check(2, 1000 + MOMENT, Heard::Second);
        check(15, 1_000_000, Heard::Second);
        assert_eq!(wishes.signal(), 15, "the process ends by the first");
        assert!(wishes.flag().load(SeqCst));
    }
}
