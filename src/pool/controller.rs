//! How many workers there should be, decided from what they achieve.
//!
//! An automatic controller starts small and doubles while throughput rises by
//! a clear margin. When it no longer does, the best number is kept, and now
//! and then one step up or down is tried, at growing intervals, because disks
//! change their mind: a cache fills up, another job ends. Where two numbers do
//! equally well, the smaller one wins.
//!
//! Pure arithmetic on moments and byte counts. It holds no clock and starts no
//! thread: the supervisor of the pool feeds it and obeys.

use std::time::Duration;

use crate::size::human;

/// Most workers that are tried unasked: no storage measured gave more with
/// more, and many give less.
pub const MOST_TRIED: usize = 32;

/// Bound on the bytes in flight of workers that nobody asked for.
pub const MOST_IN_FLIGHT: u64 = 256 << 20;

/// How much of limited memory is for requests: the rest is for everything else,
/// the page cache among it.
pub fn for_requests(memory: u64) -> u64 {
    memory / 2
}

/// Workers an automatic controller starts with.
const START: usize = 2;

/// Shortest time over which throughput is measured. Jobs may last no more than
/// a second, so it is short; noise is met by `MARGIN` and by second chances.
const WINDOW: Duration = Duration::from_millis(40);

/// Requests each worker should complete within a window, so that the rate says
/// something about slow devices too.
const REQUESTS_IN_WINDOW: u64 = 2;

/// What more workers must bring to be kept.
const MARGIN: f64 = 1.05;

/// What fewer workers must still reach to be preferred.
const AS_GOOD: f64 = 0.97;

/// A drop to this share of what was reached before is not noise.
const COLLAPSE: f64 = 0.6;

/// Windows that a number of workers gets to prove itself. One good one will do
/// for more workers: to stop too early costs a multiple, to go too far little.
/// For fewer workers it is their mean that counts.
const CHANCES: u32 = 3;

/// Windows that make up the current rate while nothing is tried.
const RECENT: usize = 4;

/// Time between two trials, doubled by each that brings nothing.
const SHORTEST_REST: Duration = Duration::from_secs(1);
const LONGEST_REST: Duration = Duration::from_secs(16);

/// Steps kept for the report.
const LONGEST_TRAIL: usize = 24;

/// How many workers a job may have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Workers {
    /// So many, no more and no less.
    Exactly(usize),
    /// As many as the storage rewards, and never more than this.
    UpTo(usize),
    /// The same, with so many at the beginning.
    Between {
        /// At the beginning.
        start: usize,
        /// At most.
        most: usize,
    },
}

impl Workers {
    /// As many as the storage rewards.
    pub fn auto() -> Workers {
        Workers::UpTo(MOST_TRIED)
    }

    /// No more than what bounds the memory for requests of `request` bytes, of
    /// which there are `memory` bytes if that is limited. A user who named a number
    /// has named the memory, too, as far as there is so much.
    pub fn bounded_by(self, request: u64, memory: Option<u64>) -> Workers {
        let bound =
            |bytes: u64| usize::try_from(bytes / request.max(1)).unwrap_or(usize::MAX).max(1);
        let most = memory.map_or(usize::MAX, |memory| bound(for_requests(memory)));
        match self {
            Workers::Exactly(threads) => Workers::Exactly(threads.min(most)),
            Workers::UpTo(threads) => Workers::UpTo(threads.min(most).min(bound(MOST_IN_FLIGHT))),
            Workers::Between { start, most: wished } => {
                let most = wished.min(most).min(bound(MOST_IN_FLIGHT));
                Workers::Between { start: start.min(most), most }
            }
        }
    }

    /// Most workers at one time.
    pub fn most(self) -> usize {
        match self {
            Workers::Exactly(threads) | Workers::UpTo(threads) => threads.max(1),
            Workers::Between { most, .. } => most.max(1),
        }
    }

    /// The controller for a job of `stripes` stripes: nobody is spawned who
    /// would find no work.
    pub fn controller(self, stripes: u64, request: u64) -> Controller {
        let most = usize::try_from(stripes).map_or(self.most(), |stripes| stripes.min(self.most()));
        match self {
            _ if stripes <= 1 => Controller::inline(),
            Workers::Exactly(_) => Controller::fixed(most),
            Workers::UpTo(_) => Controller::auto(most, request),
            Workers::Between { start, .. } => Controller::between(start, most, request),
        }
    }
}

/// What every [`Controller::summary`] begins with.
pub const SUMMARY: &str = "threads: ";

/// Decides how many workers there should be from what they achieve.
#[derive(Clone, Debug)]
pub struct Controller {
    threads: usize,
    inline: bool,
    pilot: Option<Pilot>,
}

/// A change of the number of workers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Change {
    /// From now on.
    pub threads: usize,
    /// Why, in a few words.
    pub reason: String,
}

impl Controller {
    /// Exactly `threads` workers.
    pub fn fixed(threads: usize) -> Controller {
        Controller { threads: threads.max(1), inline: false, pilot: None }
    }

    /// One worker, on the calling thread.
    pub fn inline() -> Controller {
        Controller { threads: 1, inline: true, pilot: None }
    }

    /// As many workers as bring more throughput, at most `most`, each with
    /// requests of `request` bytes.
    pub fn auto(most: usize, request: u64) -> Controller {
        Controller::between(START, most, request)
    }

    /// The same, with `start` workers at the beginning.
    pub fn between(start: usize, most: usize, request: u64) -> Controller {
        if most <= 1 {
            return Controller::fixed(1);
        }
        let pilot = Pilot::new(start, most, request);
        Controller { threads: pilot.threads, inline: false, pilot: Some(pilot) }
    }

    /// How many workers there should be now.
    pub fn threads(&self) -> usize {
        self.threads
    }

    pub(crate) fn is_inline(&self) -> bool {
        self.inline
    }

    /// How long until a further sample is of use.
    pub fn look_again_in(&self) -> Duration {
        match &self.pilot {
            Some(pilot) if pilot.is_trying() => WINDOW / 4,
            _ => WINDOW + WINDOW / 4,
        }
    }

    /// Takes note that `copied` bytes have been copied at `now`, a time since
    /// any fixed moment. To be called only while as many workers are present
    /// as there should be.
    pub fn sample(&mut self, now: Duration, copied: u64) -> Option<Change> {
        let pilot = self.pilot.as_mut()?;
        let reason = pilot.sample(now, copied)?;
        self.threads = pilot.threads;
        Some(Change { threads: self.threads, reason })
    }

    /// What was tried, in one line; `None` if there was nothing to decide.
    pub fn summary(&self) -> Option<String> {
        let pilot = self.pilot.as_ref()?;
        let steps: Vec<String> = pilot.trail.iter().map(usize::to_string).collect();
        let more = if pilot.steps > pilot.trail.len() { ", ..." } else { "" };
        Some(format!("{SUMMARY}{}{more} (best {})", steps.join(", "), pilot.best))
    }
}

/// What is being found out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// Whether more workers bring more.
    Climbing,
    /// Nothing: the best number is at work.
    Resting,
    /// Whether fewer do as well.
    Descending,
}

/// The automatic part.
#[derive(Clone, Debug)]
struct Pilot {
    most: usize,
    request: u64,
    threads: usize,
    phase: Phase,
    /// The number to go back to, and the rate it reached in bytes a second.
    best: usize,
    reference: f64,
    /// Windows in which the number under trial has not proved itself yet, and
    /// the sum of their rates.
    misses: u32,
    sum: f64,
    /// Begin of the current window.
    window: Option<(Duration, u64)>,
    /// Rates of the last windows while resting.
    recent: Vec<f64>,
    /// When to try something again, and how long to rest after it.
    next_trial: Duration,
    rest: Duration,
    up_next: bool,
    trail: Vec<usize>,
    steps: usize,
}

impl Pilot {
    fn new(start: usize, most: usize, request: u64) -> Pilot {
        let threads = start.clamp(1, most);
        Pilot {
            most,
            request,
            threads,
            phase: Phase::Climbing,
            best: threads,
            reference: 0.0,
            misses: 0,
            sum: 0.0,
            window: None,
            recent: Vec::new(),
            next_trial: Duration::ZERO,
            rest: SHORTEST_REST,
            up_next: false,
            trail: vec![threads],
            steps: 1,
        }
    }

    fn is_trying(&self) -> bool {
        self.phase != Phase::Resting
    }

    /// Why the number of workers is another one from now on, if it is.
    fn sample(&mut self, now: Duration, copied: u64) -> Option<String> {
        let Some((since, before)) = self.window else {
            self.window = Some((now, copied));
            return None;
        };
        let (time, bytes) = (now.saturating_sub(since), copied.saturating_sub(before));
        let enough = (self.threads as u64).saturating_mul(REQUESTS_IN_WINDOW * self.request);
        if time < WINDOW || bytes < enough {
            return None;
        }
        self.window = Some((now, copied));
        let rate = bytes as f64 / time.as_secs_f64();
        let (threads, reason) = match self.phase {
            Phase::Climbing => self.climb(now, rate),
            Phase::Resting => self.rest(now, rate),
            Phase::Descending => self.descend(now, rate),
        }?;
        self.set(threads);
        Some(reason)
    }

    fn set(&mut self, threads: usize) {
        self.threads = threads;
        // A worker that starts or goes now must not count for either number.
        self.window = None;
        self.steps += 1;
        if self.trail.len() < LONGEST_TRAIL {
            self.trail.push(threads);
        }
    }

    fn climb(&mut self, now: Duration, rate: f64) -> Option<(usize, String)> {
        if rate <= self.reference * MARGIN {
            return self.missed(now, rate);
        }
        // Where more was better once, the climb may have ended in a bad moment.
        self.up_next = self.reference > 0.0;
        self.accept(rate);
        if self.threads >= self.most {
            self.settle(now);
            return None;
        }
        let more = self.threads.saturating_mul(2).min(self.most);
        Some((more, format!("{} with {}, trying more", speed(rate), self.threads)))
    }

    fn descend(&mut self, now: Duration, rate: f64) -> Option<(usize, String)> {
        self.sum += rate;
        let rate = self.sum / f64::from(self.misses + 1);
        if self.misses + 1 < CHANCES || rate < self.reference * AS_GOOD {
            return self.missed(now, rate);
        }
        // The reference stays, or small losses would add up on the way down.
        let reference = self.reference.max(rate);
        self.accept(reference);
        if self.threads == 1 {
            self.settle(now);
            return None;
        }
        Some((self.threads / 2, format!("{} with {}, trying fewer", speed(rate), self.threads)))
    }

    fn accept(&mut self, reference: f64) {
        self.best = self.threads;
        self.reference = reference;
        (self.misses, self.sum) = (0, 0.0);
        self.rest = SHORTEST_REST;
    }

    /// The number under trial has not proved itself in this window.
    fn missed(&mut self, now: Duration, rate: f64) -> Option<(usize, String)> {
        self.misses += 1;
        if self.misses < CHANCES {
            return None;
        }
        let tried = self.threads;
        self.settle(now);
        Some((self.best, format!("{} with {tried}, back to {}", speed(rate), self.best)))
    }

    fn settle(&mut self, now: Duration) {
        self.phase = Phase::Resting;
        (self.misses, self.sum) = (0, 0.0);
        self.recent.clear();
        self.next_trial = now + self.rest;
        self.rest = (self.rest * 2).min(LONGEST_REST);
    }

    fn rest(&mut self, now: Duration, rate: f64) -> Option<(usize, String)> {
        if self.recent.len() == RECENT {
            self.recent.remove(0);
        }
        self.recent.push(rate);
        if self.recent.len() < RECENT {
            return None;
        }
        let mean = self.recent.iter().sum::<f64>() / RECENT as f64;
        if mean < self.reference * COLLAPSE {
            self.reference = mean;
            self.rest = SHORTEST_REST;
            self.up_next = false;
            return self.trial(now, format!("down to {}", speed(mean)));
        }
        if now < self.next_trial {
            return None;
        }
        self.reference = mean;
        self.trial(now, speed(mean))
    }

    /// One step up or down, in turn; where one of them is not there, the other.
    fn trial(&mut self, now: Duration, so_far: String) -> Option<(usize, String)> {
        let up = match (self.best < self.most, self.best > 1) {
            (true, true) => self.up_next,
            (up_is_there, _) => up_is_there,
        };
        self.up_next = !up;
        if !up && self.best == 1 {
            self.settle(now);
            return None;
        }
        let (phase, threads, word) = if up {
            (Phase::Climbing, self.best.saturating_mul(2).min(self.most), "more")
        } else {
            (Phase::Descending, self.best / 2, "fewer")
        };
        self.phase = phase;
        Some((threads, format!("{so_far} with {}, trying {word}", self.best)))
    }
}

fn speed(bytes_per_second: f64) -> String {
    format!("{}/s", human(bytes_per_second as u64))
}

#[cfg(test)]
#[path = "controller/tests.rs"]
mod tests;
