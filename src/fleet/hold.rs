//! A shard that this process has for now: its claim is renewed beside the copy, and the
//! copy ends where somebody has taken the shard over.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::folder::Folder;
use super::member::{Renewal, note, still_has};
use super::record::{Process, Turn, claim_name};
use crate::cpu::lock;
use crate::pool::beside;
use crate::progress::{CancelToken, Event, Progress, Watch};
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use crate::sync::{Instant, Mutex};

/// How often the thread beside looks up.
const TICK: Duration = Duration::from_millis(100);

/// Parts of a lease between two renewals.
const BEATS: u32 = 12;

/// Lets the copy of a shard write, as long as nobody has taken it over.
pub struct Gate {
    folder: Arc<dyn Folder>,
    plan: String,
    turn: Turn,
    /// How long what is known counts.
    every: Duration,
    /// When it was last known to be ours.
    known: Mutex<Instant>,
    lost: AtomicBool,
}

/// A shard, held.
pub struct Hold<'a> {
    gate: Arc<Gate>,
    process: &'a Process,
    /// When that was last said, and how often.
    renewed: Mutex<Instant>,
    beat: AtomicU64,
    /// What the copy hears when it is to stop.
    pub cancel: CancelToken,
    /// What the copy counts by.
    pub progress: Progress,
    /// What of that was passed on.
    passed: Mutex<Passed>,
}

#[derive(Default)]
struct Passed {
    copied: u64,
    verified: u64,
}

impl Gate {
    /// Whether somebody has taken it over, or is done with it.
    pub fn is_lost(&self) -> bool {
        self.lost.load(Relaxed)
    }

    /// Looks whether it is still ours, if that was not looked at for a while. Who has
    /// stood still finds out here, before it writes.
    ///
    /// # Errors
    ///
    /// That it is not, or that the folder cannot be read.
    pub fn check(&self) -> io::Result<()> {
        let is_known = !self.is_lost() && lock(&self.known).elapsed() < self.every;
        if is_known { Ok(()) } else { self.check_now() }
    }

    /// The same at once.
    ///
    /// # Errors
    ///
    /// As of [`check`](Gate::check).
    pub fn check_now(&self) -> io::Result<()> {
        let now = Instant::now();
        if !self.is_lost() && still_has(&*self.folder, &self.plan, self.turn)? {
            *lock(&self.known) = now;
            return Ok(());
        }
        self.lost.store(true, Relaxed);
        Err(io::Error::other("another process of the job has taken over what is written here"))
    }
}

impl<'a> Hold<'a> {
    /// Of `turn` of the plan `plan`, which `process` has just claimed.
    pub fn new(
        folder: &Arc<dyn Folder>,
        plan: &str,
        process: &'a Process,
        turn: Turn,
        lease: Duration,
    ) -> Hold<'a> {
        let gate = Gate {
            folder: Arc::clone(folder),
            plan: plan.to_owned(),
            turn,
            every: lease / BEATS,
            known: Mutex::new(Instant::now()),
            lost: AtomicBool::new(false),
        };
        Hold {
            gate: Arc::new(gate),
            process,
            renewed: Mutex::new(Instant::now()),
            beat: AtomicU64::new(0),
            cancel: CancelToken::new(),
            progress: Progress::new(),
            passed: Mutex::default(),
        }
    }

    /// What lets the copy write.
    pub fn gate(&self) -> &Arc<Gate> {
        &self.gate
    }

    /// Does `work` while the claim is renewed, and the counters are passed on to those
    /// of `watch`, which can stop it.
    pub fn during<T>(&self, watch: Watch<'_>, work: impl FnOnce() -> T) -> T {
        beside(TICK, || self.tick(watch), work)
    }

    fn tick(&self, watch: Watch<'_>) {
        if watch.cancel.is_cancelled() {
            self.cancel.cancel();
        }
        self.pass_on(watch.progress);
        // The storage may be gone for a while: the copy meets that itself.
        let _ = self.gate.check();
        if self.gate.is_lost() {
            return self.cancel.cancel();
        }
        let is_due = {
            let mut renewed = lock(&self.renewed);
            let is_due = renewed.elapsed() >= self.gate.every;
            if is_due {
                *renewed = Instant::now();
            }
            is_due
        };
        if is_due {
            let _ = self.renew(false);
        }
    }

    fn pass_on(&self, progress: &Progress) {
        while let Some(event) = self.progress.next_event() {
            // Each shard has a plan and threads of its own, which nobody wants to see.
            if !matches!(event, Event::Planned { .. } | Event::Threads { .. }) {
                progress.event(event);
            }
        }
        let seen = self.progress.snapshot();
        let mut passed = lock(&self.passed);
        progress.add_copied(seen.copied.saturating_sub(passed.copied));
        progress.add_verified(seen.verified.saturating_sub(passed.verified));
        progress.set_threads(seen.threads);
        (passed.copied, passed.verified) =
            (seen.copied.max(passed.copied), seen.verified.max(passed.verified));
    }

    /// Gives it back: somebody else may take it at once.
    pub fn release(&self) {
        // Otherwise it is taken when the lease is over.
        let _ = self.renew(true);
    }

    fn renew(&self, released: bool) -> io::Result<()> {
        let beat = self.beat.fetch_add(1, Relaxed) + 1;
        let renewal = Renewal { beat, bytes: self.progress.snapshot().copied, released };
        let Turn { shard, generation } = self.gate.turn;
        let note = note(&self.gate.plan, self.process, renewal);
        self.gate.folder.renew(&claim_name(shard, generation), &note)
    }
}
