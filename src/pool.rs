//! The workers: claim a stripe, copy it, record it, until none is left.
//!
//! One thread supervises: it starts workers, asks the thread controller how
//! many there should be, and runs the checkpoint when it is due. Workers share
//! nothing but a claim function, atomics and the ledger of each transfer. The
//! first error stops all of them; the one reported is that at the lowest
//! offset, whichever worker met it first.
//!
//! This room does not know where stripes come from: a single copy and a batch
//! hand in different claim functions. It does not open, stage or commit.

pub mod controller;
mod engine;
mod observers;
mod reader;
mod stripe_io;
mod threads;
mod throttle;
mod transfer;

#[cfg(test)]
mod tests;

pub use engine::{Engine, copy_buffered};
pub use observers::Observers;
pub use stripe_io::{Halt, StripeIo};
pub(crate) use threads::check_request;
pub use threads::{MOST_THREADS, Threads};
pub use throttle::Throttle;
pub use transfer::{Ledger, Transfer};

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread::{Builder, Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, Sender, unbounded};

use crate::cpu::{STACK, has_room_for_thread};
use crate::error::{Error, ErrorKind, Result};
use crate::io::buffer::Buffer;
use crate::progress::{CancelToken, Event, Progress, lock};
use crate::range::ByteRange;
use crate::words::words;
use controller::Controller;

/// How often the supervisor at least looks up from waiting.
const LONGEST_TICK: Duration = Duration::from_millis(50);

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
    /// Longest request in bytes where none goes through memory.
    pub kernel_io_size: u64,
    /// Retries of a request before it is split.
    pub retries: u32,
    /// What to do with what stays unreadable.
    pub on_read_error: OnReadError,
    /// Limit on bytes a second.
    pub throttle: Option<Throttle>,
}

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

/// The shared state of one run of the pool.
struct Run<'a> {
    control: &'a Control<'a>,
    work: &'a dyn Work,
    /// Set with the first error: nobody claims any more.
    stop: AtomicBool,
    /// How many workers there should be, and are.
    wanted: AtomicUsize,
    present: AtomicUsize,
    /// How many of those present should go after their stripe.
    surplus: AtomicUsize,
    /// The error at the lowest offset, with that offset.
    error: Mutex<Option<(u64, Error)>>,
}

/// How a run of the pool went.
#[derive(Clone, Debug)]
pub struct RunReport {
    /// Workers, at most at one time.
    pub threads: usize,
    /// What the thread controller tried, if it had anything to decide.
    pub decisions: Option<String>,
}

/// Copies everything that `work` hands out. How that went is told however it
/// ended: with the error at the lowest offset, or [`ErrorKind::Cancelled`] if
/// the caller asked to stop and nothing else went wrong.
pub fn run(
    control: &Control<'_>,
    work: &dyn Work,
    mut controller: Controller,
) -> (RunReport, Result<()>) {
    let state = Run {
        control,
        work,
        stop: AtomicBool::new(false),
        wanted: AtomicUsize::new(controller.threads()),
        present: AtomicUsize::new(0),
        surplus: AtomicUsize::new(0),
        error: Mutex::new(None),
    };
    let threads = if controller.is_inline() {
        state.work_inline()
    } else {
        std::thread::scope(|scope| state.supervise(scope, &mut controller))
    };
    let ended = match lock(&state.error).take() {
        Some((_, error)) => Err(error),
        None if control.cancel.is_cancelled() => Err(ErrorKind::Cancelled.into()),
        None => Ok(()),
    };
    (RunReport { threads, decisions: controller.summary() }, ended)
}

impl<'a> Run<'a> {
    /// Everything on the calling thread: for jobs so small that starting a
    /// thread would cost more than the copy.
    fn work_inline(&self) -> usize {
        self.control.progress.set_threads(1);
        self.present.store(1, Relaxed);
        match self.buffer() {
            Ok(mut buffer) => self.work_until_done(&mut buffer),
            Err(error) => self.fail(0, error),
        }
        1
    }

    fn supervise<'scope>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
        controller: &mut Controller,
    ) -> usize {
        let (leave, left) = unbounded();
        let mut workers =
            Workers { run: self, scope, leave, handles: Vec::new(), spawned: 0, most: 0 };
        workers.fill_up();
        let begin = Instant::now();
        let mut next_tick = begin + controller.look_again_in();
        while self.present.load(Relaxed) > 0 {
            match left.recv_timeout(next_tick.saturating_duration_since(Instant::now())) {
                Ok(()) if Instant::now() < next_tick => continue,
                _ => {}
            }
            next_tick = Instant::now() + controller.look_again_in().min(LONGEST_TICK);
            if self.stopping() {
                continue;
            }
            if let Err(error) = self.work.checkpoint() {
                self.fail(0, error);
            }
            self.adjust(controller, begin, &mut workers);
        }
        drain(&left);
        workers.join_all()
    }

    /// Asks the controller how many workers there should be.
    fn adjust(
        &self,
        controller: &mut Controller,
        begin: Instant,
        workers: &mut Workers<'_, '_, 'a>,
    ) {
        let present = self.present.load(Relaxed);
        self.control.progress.set_threads(present);
        // Who was asked to go finishes a stripe first; what the others achieve
        // can only be told when they are alone.
        if present > self.wanted.load(Relaxed) {
            return;
        }
        let copied = self.control.progress.snapshot().copied;
        let Some(change) = controller.sample(begin.elapsed(), copied) else { return };
        self.wanted.store(change.threads, Relaxed);
        let event = Event::Threads { threads: change.threads, reason: change.reason };
        self.control.progress.event(event);
        workers.fill_up();
    }

    /// One buffer, or an error that says how much memory was missing.
    fn buffer(&self) -> Result<Buffer> {
        Ok(Buffer::new(crate::io::as_usize(self.control.io_size))?)
    }

    /// One buffer for a worker that is still to be started.
    fn buffer_of_thread(&self) -> Result<Buffer> {
        let bytes = crate::io::as_usize(self.control.io_size);
        match has_room_for_thread(bytes) {
            true => self.buffer(),
            false => Err(ErrorKind::OutOfMemory { bytes: bytes.saturating_add(STACK) }.into()),
        }
    }

    fn stopping(&self) -> bool {
        self.stop.load(Relaxed) || self.control.cancel.is_cancelled()
    }

    fn work_until_done(&self, buffer: &mut Buffer) {
        let in_flight = self.control.progress.in_flight();
        while !self.stopping() && !self.leave_if_too_many() {
            let assignment = match self.work.claim() {
                Ok(Some(assignment)) => assignment,
                Ok(None) => break,
                Err(error) => {
                    self.fail(0, error);
                    break;
                }
            };
            let transfer = &assignment.transfer;
            let mut io = StripeIo::new(self.control, &self.stop, transfer, buffer, &in_flight);
            let guard = AbandonOnPanic(transfer);
            let copied = transfer.copy(assignment.stripe, &mut io);
            drop(guard);
            match copied {
                Ok(()) => {
                    if let Err(error) = self.work.finished(&assignment) {
                        self.fail(assignment.stripe.start(), error);
                    }
                }
                // Others may be waiting for the bytes that will not come now.
                Err((_, None)) => {
                    transfer.abandon();
                    if self.stopping() {
                        break;
                    }
                    if let Err(error) = self.work.abandoned(&assignment) {
                        // Whoever met the error that caused it may say so later.
                        self.fail(u64::MAX, error);
                    }
                }
                Err((at, Some(error))) => {
                    transfer.abandon();
                    if let Err(error) = self.work.failed(&assignment, at, error) {
                        self.fail(at, error);
                    }
                }
            }
        }
    }

    /// Whether this worker is one too many, and the one to go.
    fn leave_if_too_many(&self) -> bool {
        let surplus = &self.surplus;
        let take = |count: usize| count.checked_sub(1);
        surplus.fetch_update(Relaxed, Relaxed, take).is_ok()
    }

    fn fail(&self, offset: u64, error: Error) {
        self.stop.store(true, Relaxed);
        let mut first = lock(&self.error);
        if first.as_ref().is_none_or(|&(lowest, _)| offset < lowest) {
            *first = Some((offset, error));
        }
    }
}

/// Wakes whoever waits for the bytes of a worker that panics.
struct AbandonOnPanic<'a>(&'a Transfer);

impl Drop for AbandonOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.abandon();
        }
    }
}

/// The worker threads of a run.
struct Workers<'scope, 'env, 'a> {
    run: &'scope Run<'a>,
    scope: &'scope Scope<'scope, 'env>,
    leave: Sender<()>,
    handles: Vec<ScopedJoinHandle<'scope, ()>>,
    /// Of all times, for their names.
    spawned: usize,
    most: usize,
}

impl<'scope> Workers<'scope, '_, '_> {
    /// Starts workers until there are as many as wanted, or asks as many to go. Where a thread or a
    /// buffer cannot be had, there are fewer; none at all is an error.
    fn fill_up(&mut self) {
        let run = self.run;
        let wanted = run.wanted.load(Relaxed);
        let mut spawned = run.present.load(Relaxed);
        run.surplus.store(spawned.saturating_sub(wanted), Relaxed);
        self.reap();
        // Counted here and not by who is present: where little is left to do,
        // the first are gone before the last have come.
        while spawned < wanted {
            match run.buffer_of_thread().and_then(|buffer| self.start(buffer)) {
                Ok(()) => spawned += 1,
                Err(error) if spawned == 0 && self.most == 0 => return run.fail(0, error),
                Err(error) => {
                    run.wanted.store(spawned, Relaxed);
                    let reason = error.chain();
                    run.control.progress.event(Event::Threads { threads: spawned, reason });
                    break;
                }
            }
        }
        self.most = self.most.max(spawned);
        run.control.progress.set_threads(run.present.load(Relaxed));
    }

    fn start(&mut self, mut buffer: Buffer) -> Result<()> {
        let run = self.run;
        // Counted before it runs, so that the supervisor never sees none at the start.
        run.present.fetch_add(1, Relaxed);
        let farewell = ExitGuard { leave: self.leave.clone(), present: &run.present };
        let worker = move || {
            let _farewell = farewell;
            run.work_until_done(&mut buffer);
        };
        self.spawned += 1;
        let name = format!("copy-{}", self.spawned);
        match Builder::new().name(name).stack_size(STACK).spawn_scoped(self.scope, worker) {
            Ok(handle) => {
                self.handles.push(handle);
                Ok(())
            }
            // The closure was dropped, and the farewell with it: not counted any more.
            Err(source) => Err(ErrorKind::NoThread { source }.into()),
        }
    }

    /// Joins those that have left. A copy that lasts a night tries other numbers
    /// of workers thousands of times, and each keeps its stack until then.
    fn reap(&mut self) {
        let gone: Vec<_> = self.handles.extract_if(.., |handle| handle.is_finished()).collect();
        self.join(gone);
    }

    fn join_all(mut self) -> usize {
        let rest = std::mem::take(&mut self.handles);
        self.join(rest);
        self.most
    }

    fn join(&self, handles: Vec<ScopedJoinHandle<'scope, ()>>) {
        for handle in handles {
            if let Err(panic) = handle.join() {
                let message = panic
                    .downcast_ref::<&str>()
                    .map(|text| (*text).to_owned())
                    .or_else(|| panic.downcast_ref::<String>().cloned())
                    .unwrap_or_else(|| "no message".to_owned());
                self.run.fail(0, ErrorKind::WorkerPanicked { message }.into());
            }
        }
    }
}

/// Tells the supervisor that a worker is gone, also when it panicked.
struct ExitGuard<'a> {
    leave: Sender<()>,
    present: &'a AtomicUsize,
}

impl Drop for ExitGuard<'_> {
    fn drop(&mut self) {
        self.present.fetch_sub(1, Relaxed);
        // The supervisor may be gone already; then nobody needs to know.
        let _ = self.leave.send(());
    }
}

fn drain(left: &Receiver<()>) {
    while left.try_recv().is_ok() {}
}
