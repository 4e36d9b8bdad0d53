//! Those of std and crossbeam.

pub use std::sync::{
    Condvar, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, atomic,
};
use std::time::Duration;
pub use std::time::Instant;

pub mod channel {
    //! Channels without a bound.

    pub use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, unbounded};
}

pub mod thread {
    //! Threads that end with a scope.

    pub use std::thread::{Builder, Scope, ScopedJoinHandle, scope, sleep};
}

/// How long a thread waits for what another one, or another process, does in less time
/// than that unless it stands still.
pub const fn patience(time: Duration) -> Duration {
    time
}

/// Comes before a call on what other processes share as well: any of them may make its own
/// first. Nothing needs to be done for that.
#[allow(dead_code, reason = "no model runs on Windows")]
pub const fn scheduling_point() {}

/// Locks, also after another thread panicked: what is behind a lock is valid at
/// every point where that can happen, or notices by itself that it is incomplete.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is behind a mutex that is no longer shared.
pub fn into_inner<T>(mutex: Mutex<T>) -> T {
    mutex.into_inner().unwrap_or_else(PoisonError::into_inner)
}
