//! Those of `shuttle`, and a clock that goes on by chance whenever somebody looks.
//!
//! A wait with a limit never ends by its limit here, but for that of a channel, which
//! does or does not by chance: a wake-up that is lost is a schedule in which nobody can
//! go on, which `shuttle` finds, and not a delay of a few milliseconds, which nobody does.

use std::cell::Cell;
use std::ops::{Add, AddAssign, Deref, DerefMut, Sub};
use std::sync::Arc;
use std::time::Duration;

use shuttle::rand::{Rng, thread_rng};
pub use shuttle::sync::{
    Condvar, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, atomic,
};

thread_local! {
    /// All schedules run on one thread.
    static TIME: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// Longest time that passes between two looks at the clock, in milliseconds.
const LONGEST_MOMENT: u64 = 60;

/// A moment of a clock that exists only here.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Instant(Duration);

impl Instant {
    /// Later than before.
    pub fn now() -> Instant {
        let moment = Duration::from_millis(thread_rng().gen_range(0..LONGEST_MOMENT));
        TIME.set(TIME.get() + moment);
        Instant(TIME.get())
    }

    pub fn elapsed(&self) -> Duration {
        Instant::now() - *self
    }

    pub fn saturating_duration_since(&self, earlier: Instant) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    pub fn checked_sub(&self, time: Duration) -> Option<Instant> {
        self.0.checked_sub(time).map(Instant)
    }
}

impl Add<Duration> for Instant {
    type Output = Instant;
    fn add(self, time: Duration) -> Instant {
        Instant(self.0 + time)
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, time: Duration) {
        self.0 += time;
    }
}

impl Sub<Duration> for Instant {
    type Output = Instant;
    fn sub(self, time: Duration) -> Instant {
        Instant(self.0 - time)
    }
}

impl Sub for Instant {
    type Output = Duration;
    fn sub(self, earlier: Instant) -> Duration {
        self.saturating_duration_since(earlier)
    }
}

pub mod thread {
    //! Threads that end with a scope. One in so many cannot be had, where a test says so.

    use std::cell::Cell;
    use std::io;

    pub use shuttle::thread::{Scope, ScopedJoinHandle, scope, sleep};

    use super::{Rng, thread_rng};

    thread_local! {
        static REFUSED: Cell<u32> = const { Cell::new(0) };
    }

    /// From now on one in `one_in` threads cannot be had; with 0, all can.
    pub fn refuse(one_in: u32) {
        REFUSED.set(one_in);
    }

    /// Starts a thread.
    pub struct Builder(());

    impl Builder {
        pub fn new() -> Builder {
            Builder(())
        }

        pub fn name(self, _name: String) -> Builder {
            self
        }

        pub fn stack_size(self, _bytes: usize) -> Builder {
            self
        }

        pub fn spawn_scoped<'scope, T: Send + 'scope>(
            self,
            scope: &'scope Scope<'scope, '_>,
            work: impl FnOnce() -> T + Send + 'scope,
        ) -> io::Result<ScopedJoinHandle<'scope, T>> {
            let one_in = REFUSED.get();
            if one_in > 0 && thread_rng().gen_range(0..one_in) == 0 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            Ok(scope.spawn(work))
        }
    }
}

pub mod channel {
    //! Channels without a bound.

    use std::time::Duration;

    pub use shuttle::sync::mpsc::{RecvTimeoutError, Sender, TryRecvError, channel as of_std};

    use super::{Rng, thread_rng};

    /// What comes out of a channel.
    pub struct Receiver<T>(shuttle::sync::mpsc::Receiver<T>);

    /// A channel that never says that it is full.
    pub fn unbounded<T>() -> (Sender<T>, Receiver<T>) {
        let (sender, receiver) = of_std();
        (sender, Receiver(receiver))
    }

    impl<T> Receiver<T> {
        /// Waits for what comes, or does not wait at all.
        pub fn recv_timeout(&self, time: Duration) -> Result<T, RecvTimeoutError> {
            if thread_rng().gen_bool(0.5) {
                return self.0.recv_timeout(time);
            }
            shuttle::thread::yield_now();
            self.try_recv().map_err(|error| match error {
                TryRecvError::Empty => RecvTimeoutError::Timeout,
                TryRecvError::Disconnected => RecvTimeoutError::Disconnected,
            })
        }

        pub fn try_recv(&self) -> Result<T, TryRecvError> {
            self.0.try_recv()
        }
    }
}

/// So long that every other thread has had its turns, however slow they are.
pub fn patience(time: Duration) -> Duration {
    time * 100
}

/// Threads of a test stand for processes here, and any of them may go on first.
pub fn scheduling_point() {
    shuttle::thread::yield_now();
}

/// A mutex: that of `shuttle`. Tests use that of std for what they note, which is not part of
/// a schedule.
pub trait Lockable {
    type Inner;
    type Guard<'a>: Deref<Target = Self::Inner> + DerefMut
    where
        Self: 'a;
    fn guard(&self) -> Self::Guard<'_>;
}

impl<T> Lockable for Mutex<T> {
    type Inner = T;
    type Guard<'a>
        = MutexGuard<'a, T>
    where
        T: 'a;
    fn guard(&self) -> MutexGuard<'_, T> {
        self.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Lockable for std::sync::Mutex<T> {
    type Inner = T;
    type Guard<'a>
        = std::sync::MutexGuard<'a, T>
    where
        T: 'a;
    fn guard(&self) -> std::sync::MutexGuard<'_, T> {
        self.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<M: Lockable> Lockable for Arc<M> {
    type Inner = M::Inner;
    type Guard<'a>
        = M::Guard<'a>
    where
        M: 'a;
    fn guard(&self) -> M::Guard<'_> {
        (**self).guard()
    }
}

/// As in a program.
pub fn lock<M: Lockable>(mutex: &M) -> M::Guard<'_> {
    mutex.guard()
}

/// A lock that is no longer shared.
pub trait Unlocked {
    type Inner;
    fn opened(self) -> Self::Inner;
}

impl<T> Unlocked for Mutex<T> {
    type Inner = T;
    fn opened(self) -> T {
        self.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Unlocked for std::sync::Mutex<T> {
    type Inner = T;
    fn opened(self) -> T {
        self.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

/// As in a program.
pub fn into_inner<M: Unlocked>(mutex: M) -> M::Inner {
    mutex.opened()
}
