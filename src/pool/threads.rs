//! How many workers a job asks for, and how many that is on the ends it has.

use std::fmt;
use std::str::FromStr;

use super::controller::{Workers, for_requests};
use crate::error::{ErrorKind, Refusal, Result};
use crate::io::page_cache::CacheState;
use crate::size::human;
use crate::sys;

/// Most workers accepted: beyond it, the buffers cost more than any storage gives.
pub const MOST_THREADS: usize = 1024;

/// How many workers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Threads {
    /// As many as the storage rewards.
    #[default]
    Auto,
    /// Exactly so many, at least one.
    Exactly(usize),
}

impl From<usize> for Threads {
    fn from(threads: usize) -> Threads {
        Threads::Exactly(threads)
    }
}

impl fmt::Display for Threads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Threads::Auto => f.write_str("auto"),
            Threads::Exactly(threads) => write!(f, "{threads}"),
        }
    }
}

crate::words::stored_as_text!(Threads);

impl FromStr for Threads {
    type Err = String;

    /// `auto`, or a number from 1 to [`MOST_THREADS`].
    fn from_str(text: &str) -> Result<Threads, String> {
        match text.parse() {
            _ if text == "auto" => Ok(Threads::Auto),
            Ok(threads) if (1..=MOST_THREADS).contains(&threads) => Ok(Threads::Exactly(threads)),
            _ => Err(format!("must be auto or a number from 1 to {MOST_THREADS}")),
        }
    }
}

impl Threads {
    /// Refuses a number of workers that cannot be.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Usage`].
    pub(crate) fn check(self) -> Result<()> {
        match self {
            Threads::Exactly(threads) if !(1..=MOST_THREADS).contains(&threads) => {
                let problem = format!("must be a number from 1 to {MOST_THREADS}, not {threads}");
                Err(ErrorKind::usage_of(&["threads"], problem).into())
            }
            _ => Ok(()),
        }
    }

    /// Says so where there are fewer workers than asked for, because of the memory.
    pub(crate) fn note_fewer(self, workers: Workers, request: u64) -> Option<String> {
        let (fewer, memory) = (workers.most(), sys::memory_limit()?);
        let Threads::Exactly(wished) = self else { return None };
        (fewer < wished).then(|| {
            format!(
                "{fewer} thread{} instead of {wished}: so many requests of {} fit into the {} of \
                 memory that this process may have",
                if fewer == 1 { "" } else { "s" },
                human(request),
                human(memory)
            )
        })
    }

    /// How many workers, before it is known whether the storage minds.
    pub(crate) fn most(self) -> usize {
        match self {
            Threads::Exactly(threads) => threads,
            Threads::Auto => Workers::auto().most(),
        }
    }

    /// How many workers a job may have with an end far away, where they wait most
    /// of the time: `start` at first and `most` at last.
    pub(crate) fn far_away(self, start: usize, most: usize) -> Workers {
        match self {
            Threads::Exactly(threads) => Workers::Exactly(threads),
            Threads::Auto if start >= most => Workers::Exactly(most),
            Threads::Auto => Workers::Between { start, most },
        }
    }

    /// How many workers a job may have. `rotational` has an entry for each end
    /// that is read or written: whether its disk spins, if it says.
    pub(crate) fn choose(
        self,
        rotational: impl IntoIterator<Item = Option<bool>>,
        cache_state: CacheState,
    ) -> Workers {
        match self {
            Threads::Exactly(threads) => Workers::Exactly(threads),
            // Heads that move between stripes cost more than they bring.
            Threads::Auto if rotational.into_iter().any(|spins| spins == Some(true)) => {
                Workers::Exactly(1)
            }
            // Nobody waits for a device: more workers than processors only
            // take turns.
            Threads::Auto if cache_state == CacheState::Warm => {
                Workers::UpTo(num_cpus::get().clamp(2, Workers::auto().most()))
            }
            Threads::Auto => Workers::auto(),
        }
    }
}

impl Workers {
    /// No more than the memory has room for, with requests of `request` bytes.
    pub fn bounded(self, request: u64) -> Workers {
        self.bounded_by(request, sys::memory_limit())
    }
}

/// Refuses requests of `bytes`, which do not fit into the memory there is, if
/// that is limited.
///
/// # Errors
///
/// [`Refusal::RequestTooLarge`].
pub(crate) fn check_request(bytes: u64) -> Result<(), Refusal> {
    match sys::memory_limit() {
        Some(memory) if bytes > for_requests(memory) => {
            Err(Refusal::RequestTooLarge { bytes, memory })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rotating_disk_gets_one_worker_unless_told_otherwise() {
        let check = |threads: Threads, from, to, expected| {
            assert_eq!(threads.choose([from, to], CacheState::Cold), expected);
        };
        check(Threads::Auto, Some(false), None, Workers::auto());
        check(Threads::Auto, None, None, Workers::auto());
        check(Threads::Auto, Some(true), None, Workers::Exactly(1));
        check(Threads::Auto, Some(false), Some(true), Workers::Exactly(1));
        check(Threads::Exactly(4), Some(true), Some(true), Workers::Exactly(4));
        // Any one of several destinations sets the pace of all.
        let many = [Some(false), None, Some(true), Some(false)];
        assert_eq!(Threads::Auto.choose(many, CacheState::Warm), Workers::Exactly(1));
    }

    #[test]
    fn a_source_in_memory_gets_no_more_workers_than_there_are_processors() {
        let check = |cache_state, most| {
            assert_eq!(Threads::Auto.choose([], cache_state).most(), most, "{cache_state:?}");
            assert_eq!(Threads::Exactly(9).choose([], cache_state).most(), 9, "{cache_state:?}");
        };
        check(CacheState::Warm, num_cpus::get().clamp(2, 32));
        check(CacheState::Cold, 32);
        check(CacheState::Unknown, 32);
    }
}
