//! The threads of a run: as many as are wanted and can be had, each taking one
//! step after the other until there is none left. Here, and nowhere else, the
//! first error stops all of them, and that at the lowest offset is kept.
//!
//! What a step does is not known here.

use std::time::Duration;

use super::controller::Controller;
use super::requests::{FailedAt, Heading, Requests};
use super::{Control, RunReport};
use crate::cpu::{STACK, has_room_for_thread};
use crate::error::{Error, ErrorKind, Result};
use crate::progress::{Event, lock};
use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use crate::sync::channel::{Receiver, RecvTimeoutError, Sender, unbounded};
use crate::sync::thread::{self, Builder, Scope, ScopedJoinHandle};
use crate::sync::{Instant, Mutex};

/// How often the supervisor at least looks up from waiting.
const LONGEST_TICK: Duration = Duration::from_millis(50);

/// What the workers of a run do, one step at a time.
pub trait Steps: Sync {
    /// What one worker has of its own.
    type Buffers: Send;

    /// What its threads are called, before their number.
    const NAME: &'static str;

    /// Memory that the buffers of one worker take, in bytes.
    fn bytes(&self) -> usize;

    /// The buffers of one worker.
    ///
    /// # Errors
    ///
    /// If there is no memory.
    fn buffers(&self) -> Result<Self::Buffers>;

    /// Takes what is next and that nobody has, and deals with it. Returns whether
    /// there was anything, and more may follow.
    ///
    /// # Errors
    ///
    /// What ends the run.
    fn step(&self, buffers: &mut Self::Buffers, requests: Requests<'_>) -> Result<bool, FailedAt>;

    /// Whether something is to be done meanwhile. If not, the calling thread does
    /// all of it where no other thread can be had.
    fn needs_supervisor(&self) -> bool {
        true
    }

    /// Called when there are so many workers.
    fn workers_are(&self, threads: usize) {
        let _ = threads;
    }

    /// Called by the supervisor every now and then while workers are at work.
    ///
    /// # Errors
    ///
    /// What ends the run.
    fn checkpoint(&self) -> Result<()> {
        Ok(())
    }
}

/// Does something if the thread panics while it is there: others may be waiting.
pub struct OnPanic<F: Fn()>(pub F);

impl<F: Fn()> Drop for OnPanic<F> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            (self.0)();
        }
    }
}

/// The shared state of one run.
struct Run<'a, S> {
    control: &'a Control<'a>,
    steps: &'a S,
    /// Set with the first error: nobody takes a step any more.
    stop: AtomicBool,
    /// What the controller wants of requests.
    heading: Heading,
    /// How many workers there should be, and are.
    wanted: AtomicUsize,
    present: AtomicUsize,
    /// How many of those present should go after their step.
    surplus: AtomicUsize,
    /// The error at the lowest offset.
    error: Mutex<Option<FailedAt>>,
}

/// Takes all `steps`. How that went is told however it ended: with the error at
/// the lowest offset, or [`ErrorKind::Cancelled`] if the caller asked to stop and
/// nothing else went wrong.
pub fn run_steps<S: Steps>(
    control: &Control<'_>,
    steps: &S,
    mut controller: Controller,
) -> (RunReport, Result<()>) {
    let run = Run {
        control,
        steps,
        stop: AtomicBool::new(false),
        heading: Heading::new(control.io_size),
        wanted: AtomicUsize::new(controller.threads()),
        present: AtomicUsize::new(0),
        surplus: AtomicUsize::new(0),
        error: Mutex::new(None),
    };
    let threads = if controller.is_inline() {
        run.work_inline()
    } else {
        thread::scope(|scope| run.supervise(scope, &mut controller))
    };
    let ended = match lock(&run.error).take() {
        Some(FailedAt { error, .. }) => Err(error),
        None if control.cancel.is_cancelled() => Err(ErrorKind::Cancelled.into()),
        None => Ok(()),
    };
    let request = run.heading.request();
    (RunReport { threads, request, decisions: controller.summary() }, ended)
}

impl<'a, S: Steps> Run<'a, S> {
    /// Everything on the calling thread: for jobs so small that starting a
    /// thread would cost more than the copy.
    fn work_inline(&self) -> usize {
        self.steps.workers_are(1);
        match self.steps.buffers() {
            Ok(mut buffers) => self.work_until_done(&mut buffers),
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
        if let Some(course) = controller.course() {
            self.heading.set(course.request, course.way);
        }
        workers.fill_up();
        let begin = Instant::now();
        // The first window begins with the first request.
        let _ = controller.sample(Duration::ZERO, self.control.progress.snapshot().copied);
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
            if let Err(error) = self.steps.checkpoint() {
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
        workers: &mut Workers<'_, '_, 'a, S>,
    ) {
        let present = self.present.load(Relaxed);
        self.steps.workers_are(present);
        // Who was asked to go finishes a stripe first; what the others achieve
        // can only be told when they are alone.
        if present > self.wanted.load(Relaxed) {
            return;
        }
        let copied = self.control.progress.snapshot().copied;
        let Some(change) = controller.sample(begin.elapsed(), copied) else { return };
        let course = change.course;
        self.heading.set(course.request, course.way);
        self.wanted.store(course.threads, Relaxed);
        let event = Event::Threads { threads: course.threads, reason: change.reason };
        self.control.progress.event(event);
        workers.fill_up();
    }

    /// The buffers of a worker that is still to be started, or an error that says
    /// how much memory was missing.
    fn buffers_of_thread(&self) -> Result<S::Buffers> {
        let bytes = self.steps.bytes();
        match has_room_for_thread(bytes) {
            true => self.steps.buffers(),
            false => Err(ErrorKind::OutOfMemory { bytes: bytes.saturating_add(STACK) }.into()),
        }
    }

    fn stopping(&self) -> bool {
        self.stop.load(Relaxed) || self.control.cancel.is_cancelled()
    }

    fn work_until_done(&self, buffers: &mut S::Buffers) {
        let in_flight = self.control.progress.in_flight();
        let requests = Requests {
            control: self.control,
            stop: &self.stop,
            in_flight: &in_flight,
            heading: &self.heading,
        };
        while !self.stopping() && !self.leave_if_too_many() {
            match self.steps.step(buffers, requests) {
                Ok(true) => {}
                Ok(false) => break,
                Err(FailedAt { at, error }) => self.fail(at, error),
            }
        }
    }

    /// Whether this worker is one too many, and the one to go.
    fn leave_if_too_many(&self) -> bool {
        let surplus = &self.surplus;
        let take = |count: usize| count.checked_sub(1);
        surplus.fetch_update(Relaxed, Relaxed, take).is_ok()
    }

    fn fail(&self, at: u64, error: Error) {
        self.stop.store(true, Relaxed);
        let mut first = lock(&self.error);
        if first.as_ref().is_none_or(|lowest| at < lowest.at) {
            *first = Some(FailedAt { at, error });
        }
    }
}

/// The worker threads of a run.
struct Workers<'scope, 'env, 'a, S> {
    run: &'scope Run<'a, S>,
    scope: &'scope Scope<'scope, 'env>,
    leave: Sender<()>,
    handles: Vec<ScopedJoinHandle<'scope, ()>>,
    /// Of all times, for their names.
    spawned: usize,
    most: usize,
}

impl<'scope, S: Steps> Workers<'scope, '_, '_, S> {
    /// Starts workers until there are as many as wanted, or asks as many to go. Where a thread or a
    /// buffer cannot be had, there are fewer; none at all is an error, unless the calling thread
    /// may do the work.
    fn fill_up(&mut self) {
        let run = self.run;
        let wanted = run.wanted.load(Relaxed);
        let mut spawned = run.present.load(Relaxed);
        run.surplus.store(spawned.saturating_sub(wanted), Relaxed);
        self.reap();
        // Counted here and not by who is present: where little is left to do,
        // the first are gone before the last have come.
        while spawned < wanted {
            match run.buffers_of_thread().and_then(|buffers| self.start(buffers)) {
                Ok(()) => spawned += 1,
                Err(error) if spawned == 0 && self.most == 0 => {
                    if run.steps.needs_supervisor() {
                        return run.fail(0, error);
                    }
                    self.most = run.work_inline();
                    return;
                }
                Err(error) => {
                    run.wanted.store(spawned, Relaxed);
                    let reason = error.chain();
                    run.control.progress.event(Event::Threads { threads: spawned, reason });
                    break;
                }
            }
        }
        self.most = self.most.max(spawned);
        run.steps.workers_are(run.present.load(Relaxed));
    }

    fn start(&mut self, mut buffers: S::Buffers) -> Result<()> {
        let run = self.run;
        // Counted before it runs, so that the supervisor never sees none at the start.
        run.present.fetch_add(1, Relaxed);
        let farewell = ExitGuard { leave: self.leave.clone(), present: &run.present };
        let worker = move || {
            let _farewell = farewell;
            run.work_until_done(&mut buffers);
        };
        self.spawned += 1;
        let name = format!("{}-{}", S::NAME, self.spawned);
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

/// Runs `work` while a thread beside it calls `tick` every so often, the last time
/// when the work is over. Where no thread can be had, only then.
pub fn beside<T>(every: Duration, tick: impl Fn() + Send + Sync, work: impl FnOnce() -> T) -> T {
    let (over, is_over) = unbounded::<()>();
    let result = thread::scope(|scope| {
        let tick = &tick;
        let ticker = move || {
            while is_over.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
                tick();
            }
        };
        let named = Builder::new().name("beside".to_owned()).stack_size(STACK);
        let _ = named.spawn_scoped(scope, ticker);
        // Dropped when the work is over, also where it panics.
        let _over = over;
        work()
    });
    tick();
    result
}
