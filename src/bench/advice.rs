//! Which setting to recommend.
//!
//! Not simply the fastest: where several do equally well within the spread of
//! the runs, the one with the fewest workers is better for everything else on
//! the machine, and often that is one.

use super::Series;
use crate::pool::Threads;

/// What is within this share of the fastest is as fast, however small the spread.
const SAME: f64 = 1.02;

/// What is slower than this is slower, however large the spread.
const NOT_THE_SAME: f64 = 1.05;

/// The result of a sweep in a few words.
#[derive(Clone, Copy, Debug)]
pub struct Advice<'a> {
    /// The shortest median.
    pub fastest: &'a Series,
    /// What to use.
    pub recommended: &'a Series,
}

impl Advice<'_> {
    /// Why the recommended setting, in one sentence.
    pub fn reason(&self) -> String {
        let gain = match (self.fastest.seconds(), self.recommended.seconds()) {
            (Some(fastest), Some(chosen)) => (chosen.median / fastest.median - 1.0) * 100.0,
            _ => 0.0,
        };
        let best = &self.fastest.setting;
        match self.recommended.setting.threads {
            _ if std::ptr::eq(self.fastest, self.recommended) => "the fastest".to_owned(),
            Threads::Exactly(1) => format!(
                "one thread is best: {} threads ({}) were {gain:.0} % faster, within the spread",
                best.threads, best.engine
            ),
            _ => format!(
                "the fewest threads within the spread of the fastest ({} with {}, {gain:.0} % faster)",
                best.engine, best.threads
            ),
        }
    }
}

/// What to recommend. `None` if nothing could be run.
pub fn advise(all: &[Series]) -> Option<Advice<'_>> {
    let timed = || all.iter().filter_map(|series| Some((series, series.seconds()?)));
    let (fastest, best) = timed().min_by(|(_, a), (_, b)| a.median.total_cmp(&b.median))?;
    let same = best.max.clamp(best.median * SAME, best.median * NOT_THE_SAME);
    let (recommended, _) = timed().filter(|(_, seconds)| seconds.median <= same).min_by(
        |(a, a_seconds), (b, b_seconds)| {
            let workers = |series: &Series| match series.setting.threads {
                Threads::Exactly(threads) => threads,
                Threads::Auto => usize::MAX,
            };
            workers(a).cmp(&workers(b)).then(a_seconds.median.total_cmp(&b_seconds.median))
        },
    )?;
    Some(Advice { fastest, recommended })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::{Sample, Setting};

    fn series(engine: &str, threads: Threads, seconds: &[f64]) -> Series {
        let setting = Setting { engine: engine.to_owned(), threads, io_size: None };
        let sample = |&seconds| Sample { seconds, ..Sample::default() };
        Series { setting, samples: seconds.iter().map(sample).collect(), unusable: None }
    }

    fn check(all: &[Series], engine: &str, threads: Threads, reason: &str) {
        let advice = advise(all).unwrap();
        let setting = &advice.recommended.setting;
        assert_eq!((setting.engine.as_str(), setting.threads), (engine, threads));
        assert!(advice.reason().contains(reason), "{}", advice.reason());
    }

    #[test]
    fn one_thread_is_recommended_when_it_is_best() {
        let all = [
            series("positioned", Threads::Exactly(1), &[1.0, 1.02, 1.04]),
            series("positioned", Threads::Exactly(4), &[0.95, 1.0, 1.05]),
            series("positioned", Threads::Auto, &[0.98, 0.99, 1.06]),
        ];
        check(&all, "positioned", Threads::Exactly(1), "one thread is best");
        check(&all[..1], "positioned", Threads::Exactly(1), "the fastest");
    }

    #[test]
    fn the_fewest_threads_within_the_spread() {
        let all = [
            series("positioned", Threads::Exactly(1), &[4.0, 4.0, 4.0]),
            series("positioned", Threads::Exactly(8), &[1.0, 1.0, 1.0]),
            series("direct", Threads::Exactly(8), &[1.01, 0.99, 1.01]),
            series("direct", Threads::Exactly(32), &[0.9, 0.98, 1.02]),
        ];
        check(&all, "positioned", Threads::Exactly(8), "fewest threads within the spread");
    }

    #[test]
    fn a_wild_spread_does_not_make_everything_equal() {
        let all = [
            series("positioned", Threads::Exactly(1), &[2.0, 2.0, 2.0]),
            series("positioned", Threads::Exactly(8), &[0.9, 1.0, 9.0]),
        ];
        check(&all, "positioned", Threads::Exactly(8), "the fastest");
    }

    #[test]
    fn nothing_ran_nothing_is_recommended() {
        assert!(advise(&[]).is_none());
        assert!(advise(&[series("direct", Threads::Auto, &[])]).is_none());
    }
}
