//! Copying as what workers do: claim a stripe, let its transfer move it, and say
//! how that ended.

use std::sync::Arc;

use super::Control;
use super::requests::{Ended, FailedAt, Requests};
use super::stripe_io::StripeIo;
use super::transfer::Transfer;
use super::workers::{OnPanic, Steps};
use crate::error::{Error, ErrorKind, Result};
use crate::io::as_usize;
use crate::io::buffer::Buffer;
use crate::range::ByteRange;

/// A stripe and the transfer it belongs to.
pub struct Assignment {
    /// Whatever tells the work which assignment this is when it comes back.
    pub ticket: u32,
    /// What is copied to where.
    pub transfer: Arc<Transfer>,
    /// Which part, in bytes of the source.
    pub stripe: ByteRange,
}

/// Where stripes come from and what happens to them afterwards.
pub trait Work: Sync {
    /// The next stripe that nobody has, or `None` when there are no more.
    fn claim(&self) -> Result<Option<Assignment>>;

    /// Called by the worker that copied `assignment`, once, also when part of it could not be read.
    fn finished(&self, assignment: &Assignment) -> Result<()> {
        let _ = assignment;
        Ok(())
    }

    /// Called by the worker instead of `finished` when `assignment` ended in an
    /// error at `offset` of the source. Returning an error stops everything;
    /// work that consists of independent parts may swallow it.
    fn failed(&self, assignment: &Assignment, offset: u64, error: Error) -> Result<()> {
        let _ = (assignment, offset);
        Err(error)
    }

    /// Called by the worker instead of both when the bytes that `assignment`
    /// had to wait for will not come, because another part of its transfer
    /// failed. Work that consists of independent parts may go on.
    fn abandoned(&self, assignment: &Assignment) -> Result<()> {
        let _ = assignment;
        Err(ErrorKind::Cancelled.into())
    }

    /// Called by the supervisor every now and then while workers are at work.
    fn checkpoint(&self) -> Result<()> {
        Ok(())
    }
}

/// Copies what `work` hands out.
pub(super) struct Copying<'a> {
    pub control: &'a Control<'a>,
    pub work: &'a dyn Work,
}

impl Steps for Copying<'_> {
    type Buffers = Buffer;
    const NAME: &'static str = "copy";

    fn bytes(&self) -> usize {
        as_usize(self.control.buffer_size)
    }

    fn buffers(&self) -> Result<Buffer> {
        Ok(Buffer::new(self.bytes())?)
    }

    fn step(&self, buffer: &mut Buffer, requests: Requests<'_>) -> Result<bool, FailedAt> {
        let claimed = self.work.claim().map_err(|error| FailedAt { at: 0, error })?;
        let Some(assignment) = claimed else { return Ok(false) };
        let transfer = &assignment.transfer;
        let mut io = StripeIo::new(requests, transfer, buffer);
        // Others may be waiting for bytes that will not come then.
        let guard = OnPanic(|| transfer.abandon());
        let copied = transfer.copy(assignment.stripe, &mut io);
        drop(guard);
        let start = assignment.stripe.start();
        let (at, told) = match copied {
            Ok(()) => (start, self.work.finished(&assignment)),
            Err(Ended::Stopped) => {
                transfer.abandon();
                if requests.are_stopped() {
                    return Ok(false);
                }
                // The worker that met the error that caused it may say so later.
                (u64::MAX, self.work.abandoned(&assignment))
            }
            Err(Ended::Failed(FailedAt { at, error })) => {
                transfer.abandon();
                (at, self.work.failed(&assignment, at, error))
            }
        };
        told.map(|()| true).map_err(|error| FailedAt { at, error })
    }

    fn workers_are(&self, threads: usize) {
        self.control.progress.set_threads(threads);
    }

    fn checkpoint(&self) -> Result<()> {
        self.work.checkpoint()
    }
}
