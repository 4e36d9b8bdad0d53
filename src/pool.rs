//! The workers: take a stripe, deal with it, record it, until none is left.
//!
//! One thread supervises: it starts workers, asks the thread controller how
//! many there should be, and runs the checkpoint when it is due. Workers share
//! nothing but a claim function, atomics and the ledger of each transfer. The
//! first error stops all of them; the one reported is that at the lowest
//! offset, whichever worker met it first.
//!
//! What they do is copying, or comparing, which the room `verify`
//! brings along ([`Steps`]). The rules for a request and for reading what is hard to
//! read are the same for both. This room does not know where stripes come from: a
//! single copy and a batch hand in different claim functions. It does not open,
//! stage or commit.

pub mod controller;
mod copying;
mod engine;
mod observers;
mod reader;
mod requests;
mod stripe_io;
mod threads;
mod throttle;
mod transfer;
mod workers;
mod writers;

#[cfg(test)]
mod tests;

#[cfg(all(test, pcopy_model))]
#[path = "pool/tests/schedules.rs"]
mod schedules;

pub use copying::{Assignment, Work};
pub use engine::{Engine, copy_buffered};
pub use observers::Observers;
pub use reader::{BadSectors, Reader};
pub use requests::{Ended, FailedAt, Requests};
pub use stripe_io::{Halt, StripeIo};
pub(crate) use threads::check_request;
pub use threads::{MOST_THREADS, Threads};
pub use throttle::Throttle;
pub use transfer::{Ledger, Transfer};
pub use workers::{OnPanic, Steps, beside, run_steps};

use crate::error::Result;
use crate::progress::{CancelToken, Progress};
use crate::words::words;
use controller::Controller;

/// Longest request that moves no bytes through memory, unless the user says
/// otherwise: beyond it, the cost of a system call is nothing, and a wish to
/// stop would have to wait.
pub const KERNEL_IO_SIZE: u64 = 16 << 20;

/// Retries of a read that failed, unless the user says otherwise.
pub const RETRIES: u32 = 2;

words! {
    /// What to do with a source range that cannot be read.
    #[derive(Default)]
    pub enum OnReadError {
        /// Keep going and list the bad ranges.
        #[default]
        Record = "record",
        /// Stop at the first.
        Stop = "stop",
    }
}

/// What all workers of a job share.
pub struct Control<'a> {
    /// Counters and events.
    pub progress: &'a Progress,
    /// The caller's wish to stop.
    pub cancel: &'a CancelToken,
    /// Longest request in bytes, a power of two.
    pub io_size: u64,
    /// How much of a request a worker has in memory at once, in bytes: a power of
    /// two, at most the request.
    pub buffer_size: u64,
    /// Longest request in bytes where none goes through memory.
    pub kernel_io_size: u64,
    /// Retries of a request before it is split.
    pub retries: u32,
    /// What to do with what stays unreadable.
    pub on_read_error: OnReadError,
    /// Limit on bytes a second.
    pub throttle: Option<Throttle>,
}

/// How a run of the pool went.
#[derive(Clone, Debug)]
pub struct RunReport {
    /// Workers, at most at one time.
    pub threads: usize,
    /// Longest request at the end, in bytes.
    pub request: u64,
    /// What the controller tried, if it had anything to decide.
    pub decisions: Option<String>,
}

/// Copies everything that `work` hands out. How that went is told however it
/// ended: with the error at the lowest offset, or [`ErrorKind::Cancelled`] if
/// the caller asked to stop and nothing else went wrong.
///
/// [`ErrorKind::Cancelled`]: crate::ErrorKind::Cancelled
pub fn run(
    control: &Control<'_>,
    work: &dyn Work,
    controller: Controller,
) -> (RunReport, Result<()>) {
    run_steps(control, &copying::Copying { control, work }, controller)
}
