//! The rules for every request of a worker: it hears a wish to stop, keeps to the
//! rate, and lets a user see what it waits for.

use super::Control;
use crate::error::Error;
use crate::progress::InFlight;
use crate::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};

/// What went wrong, and where.
pub struct FailedAt {
    /// In bytes of the source.
    pub at: u64,
    /// What.
    pub error: Error,
}

/// The end of a worker's stripe before it was done.
pub enum Ended {
    /// The caller asked to stop, or another worker met an error.
    Stopped,
    /// The job cannot go on.
    Failed(FailedAt),
}

impl Ended {
    /// Because of `error` at byte `at` of the source.
    pub fn failed(at: u64, error: impl Into<Error>) -> Ended {
        Ended::Failed(FailedAt { at, error: error.into() })
    }
}

/// How requests are made, which may change while they are.
pub(super) struct Heading {
    /// Longest request at the beginning, in bytes: the controller of many small files
    /// counts by shorter ones, and lengthens requests, but shortens none.
    first: u64,
    request: AtomicU64,
    way: AtomicUsize,
}

impl Heading {
    /// By requests of up to `request` bytes, and the first way.
    pub(super) fn new(request: u64) -> Heading {
        let (first, way) = (request, AtomicUsize::new(0));
        Heading { first, request: AtomicU64::new(request), way }
    }

    /// From now on by requests of up to `request` bytes, and the way of that number.
    pub(super) fn set(&self, request: u64, way: usize) {
        self.request.store(request.max(self.first), Relaxed);
        self.way.store(way, Relaxed);
    }

    /// Longest request in bytes.
    pub(super) fn request(&self) -> u64 {
        self.request.load(Relaxed)
    }

    /// Number of the way to move bytes.
    pub(super) fn way(&self) -> usize {
        self.way.load(Relaxed)
    }
}

/// What a worker asks before and during each of its requests.
#[derive(Clone, Copy)]
pub struct Requests<'a> {
    pub(super) control: &'a Control<'a>,
    /// Set with the first error of any worker.
    pub(super) stop: &'a AtomicBool,
    pub(super) in_flight: &'a InFlight,
    pub(super) heading: &'a Heading,
}

impl<'a> Requests<'a> {
    /// What all workers share.
    pub fn control(&self) -> &'a Control<'a> {
        self.control
    }

    /// To be called before every request of `bytes`: hears a wish to stop
    /// (invariant I8) and keeps to the rate.
    ///
    /// # Errors
    ///
    /// [`Ended::Stopped`].
    pub fn before(&self, bytes: u64) -> Result<(), Ended> {
        if let Some(throttle) = &self.control.throttle {
            throttle.wait(bytes, self.control.cancel);
        }
        self.check_stop()
    }

    /// Hears a wish to stop.
    ///
    /// # Errors
    ///
    /// [`Ended::Stopped`].
    pub fn check_stop(&self) -> Result<(), Ended> {
        if self.are_stopped() { Err(Ended::Stopped) } else { Ok(()) }
    }

    /// Whether there are to be no more of them.
    pub fn are_stopped(&self) -> bool {
        self.stop.load(Relaxed) || self.control.cancel.is_cancelled()
    }

    /// Runs a request that may wait for a device, as the wait at `offset` of the
    /// source.
    pub fn waiting<T>(&self, offset: u64, request: impl FnOnce() -> T) -> T {
        self.control.progress.waiting(self.in_flight, offset, request)
    }
}
