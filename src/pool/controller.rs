//! What a run goes by, decided from what it achieves: how many workers there are,
//! how long their requests, and which way the bytes move.
//!
//! An automatic controller starts small and adds workers while throughput rises
//! by a clear margin. How many it adds follows from Little's law: where a worker
//! alone is slow, because it waits, the product of the time it waits and of the
//! rate that is aimed at says how many are needed; there requests grow, too, and
//! another way to move the bytes is tried. When more workers bring no more, as many
//! are kept as the same law asks for at the rate that was reached. Now and then
//! another way is tried, and one step up or down, at growing intervals, because
//! disks change their mind: a cache fills up, another job ends. Where two numbers
//! do equally well, the smaller one wins.
//!
//! Pure arithmetic on moments and byte counts. It holds no clock, starts no
//! thread, and knows no file system: the supervisor of the pool feeds it and obeys.

mod pilot;

use std::time::Duration;

pub use pilot::AIM;
use pilot::{Pilot, START, WINDOW};

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

/// Decides what a run goes by from what it achieves.
#[derive(Clone, Debug)]
pub struct Controller {
    /// Where there is nothing to decide.
    threads: usize,
    inline: bool,
    pilot: Option<Pilot>,
}

/// What the workers of a run go by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Course {
    /// How many they are.
    pub threads: usize,
    /// Longest request in bytes.
    pub request: u64,
    /// Which of the ways to move bytes that there are.
    pub way: usize,
}

/// Two ways to move the bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ways {
    /// What people call them.
    pub names: [&'static str; 2],
    /// Number of the one to begin with.
    pub first: usize,
    /// Number of the one to be tried where each request takes long.
    pub patient: usize,
}

/// A change of the course.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Change {
    /// From now on.
    pub course: Course,
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
        Controller { threads: 1, inline: false, pilot: Some(pilot) }
    }

    /// Lets requests grow to `longest` bytes where each of them takes long.
    #[must_use]
    pub fn growing_to(mut self, longest: u64) -> Controller {
        if let Some(pilot) = &mut self.pilot {
            pilot.longest = longest;
        }
        self
    }

    /// Lets it choose between `ways` to move the bytes.
    #[must_use]
    pub fn choosing(mut self, ways: Ways) -> Controller {
        if let Some(pilot) = &mut self.pilot {
            pilot.choose_between(ways);
        }
        self
    }

    /// How many workers there should be now.
    pub fn threads(&self) -> usize {
        self.pilot.as_ref().map_or(self.threads, |pilot| pilot.course.threads)
    }

    /// What the workers should go by now; `None` if there is nothing to decide.
    pub fn course(&self) -> Option<Course> {
        self.pilot.as_ref().map(|pilot| pilot.course)
    }

    pub(crate) fn is_inline(&self) -> bool {
        self.inline
    }

    /// How long until a further sample is of use.
    pub fn look_again_in(&self) -> Duration {
        match &self.pilot {
            Some(pilot) if pilot.is_trying() => WINDOW / 8,
            _ => WINDOW + WINDOW / 4,
        }
    }

    /// Takes note that `copied` bytes have been copied at `now`, a time since
    /// any fixed moment. To be called only while as many workers are present
    /// as there should be.
    pub fn sample(&mut self, now: Duration, copied: u64) -> Option<Change> {
        let pilot = self.pilot.as_mut()?;
        let reason = pilot.sample(now, copied)?;
        Some(Change { course: pilot.course, reason })
    }

    /// What was tried, in one line; `None` if there was nothing to decide.
    pub fn summary(&self) -> Option<String> {
        let pilot = self.pilot.as_ref()?;
        Some(format!("{SUMMARY}{}", pilot.steps()))
    }
}

#[cfg(test)]
#[path = "controller/tests.rs"]
mod tests;
