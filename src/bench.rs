//! What the user's own storage does best: the same copy with many settings.
//!
//! A sweep runs every combination of engine, request size and number of
//! workers, in interleaved rounds so that a disk that warms up or a neighbour
//! that wakes up does not favour one of them, and discards the first round.
//! [`stats`] reduces the runs, [`advice`] recommends, [`chart`] draws, [`page`] is all of it as HTML. Only
//! [`runner`] and what it is made of touch a disk; everything else is arithmetic.
//!
//! Like the rest of the library it prints nothing.

pub mod advice;
pub mod chart;
mod forecast;
pub mod page;
mod reading;
mod room;
pub mod runner;
pub mod stats;
pub mod sweep;

use crate::pool::Threads;

pub use forecast::Forecast;
pub use runner::{Cache, Place, Runner};
pub use stats::Spread;
pub use sweep::{Outcome, Sample, Series, Step, sweep};

/// One way to do the copy.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Setting {
    /// The engine by its word.
    pub engine: String,
    /// Workers.
    pub threads: Threads,
    /// Longest request in bytes; `None`: what the engine chooses.
    pub io_size: Option<u64>,
}

/// Every combination, engines outermost.
pub fn combinations(
    engines: &[String],
    io_sizes: &[Option<u64>],
    threads: &[Threads],
) -> Vec<Setting> {
    let mut settings = Vec::new();
    for engine in engines {
        for &io_size in io_sizes {
            for &threads in threads {
                settings.push(Setting { engine: engine.clone(), threads, io_size });
            }
        }
    }
    settings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_combination_is_there_once() {
        let engines = ["positioned".to_owned(), "direct".to_owned()];
        let threads = [Threads::Exactly(1), Threads::Exactly(4), Threads::Auto];
        let all = combinations(&engines, &[None, Some(1 << 20)], &threads);
        assert_eq!(all.len(), 12);
        for (at, setting) in all.iter().enumerate() {
            assert!(!all[..at].contains(setting));
        }
        assert_eq!((all[4].threads, all[4].io_size), (threads[1], Some(1 << 20)));
        assert_eq!((all[2].threads, all[2].io_size), (threads[2], None));
    }
}
