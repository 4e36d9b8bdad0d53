//! The order of runs, and what to keep of them.

use super::{Setting, Spread};

/// One run.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Sample {
    /// From the first open to the last sync.
    pub seconds: f64,
    /// Processor time of the whole process in that time.
    pub cpu_seconds: f64,
    /// Most memory the process had in that time, in bytes; 0 if not known.
    pub peak_memory: u64,
    /// Workers, at most at one time.
    pub threads: usize,
}

/// What became of a run.
pub enum Outcome<E> {
    /// It ran.
    Ran(Sample),
    /// This setting cannot be used here, and why. It is not tried again.
    Unusable(String),
    /// Nothing else can run either.
    Failed(E),
}

/// All runs of one setting.
#[derive(Clone, PartialEq, Debug)]
pub struct Series {
    /// How it was run.
    pub setting: Setting,
    /// The runs that count, in order.
    pub samples: Vec<Sample>,
    /// Why there are none.
    pub unusable: Option<String>,
}

impl Series {
    /// Seconds a run took. `None` if it could not be run.
    pub fn seconds(&self) -> Option<Spread> {
        Spread::of(self.samples.iter().map(|sample| sample.seconds))
    }

    /// Processor time of a run, in seconds.
    pub fn cpu_seconds(&self) -> Option<Spread> {
        Spread::of(self.samples.iter().map(|sample| sample.cpu_seconds))
    }

    /// Most memory of any run in bytes.
    pub fn peak_memory(&self) -> u64 {
        self.samples.iter().map(|sample| sample.peak_memory).max().unwrap_or(0)
    }

    /// Most workers of any run.
    pub fn threads(&self) -> usize {
        self.samples.iter().map(|sample| sample.threads).max().unwrap_or(0)
    }
}

/// The next run.
#[derive(Clone, Copy, Debug)]
pub struct Step<'a> {
    /// 0 is the round that is discarded.
    pub round: usize,
    /// Runs done before it.
    pub done: usize,
    /// Runs in all, as far as is known.
    pub total: usize,
    /// How it runs.
    pub setting: &'a Setting,
}

/// A setting that takes more than this many times as long as the fastest, when it is
/// first run, is not run again.
pub const HOPELESS: f64 = 4.0;

/// Seconds that a run must take to be spared: those of short ones say little, and cost little.
const SPARED: f64 = 2.0;

/// Runs every setting `rounds` times, and once before that does not count. Only of a
/// setting that is hopelessly slow, that one run counts, and is the last.
///
/// Rounds are interleaved, and every other round runs backwards, so that what
/// drifts slowly weighs on all settings alike.
///
/// Returns what was measured, and the [`Outcome::Failed`] that ended it early,
/// if one did.
pub fn sweep<E>(
    settings: &[Setting],
    rounds: usize,
    mut run: impl FnMut(&Step<'_>) -> Outcome<E>,
) -> (Vec<Series>, Option<E>) {
    let empty = |setting: &Setting| {
        let setting = setting.clone();
        Series { setting, samples: Vec::with_capacity(rounds), unusable: None }
    };
    let mut all: Vec<Series> = settings.iter().map(empty).collect();
    let mut first: Vec<Option<Sample>> = vec![None; all.len()];
    let mut done = 0;
    for round in 0..=rounds {
        if round == 1 {
            keep_hopeless(&mut all, &mut first);
        }
        for at in 0..all.len() {
            let at = if round % 2 == 0 { at } else { all.len() - 1 - at };
            let goes_on =
                |at: usize| all[at].unusable.is_none() && (round == 0 || first[at].is_some());
            if !goes_on(at) {
                continue;
            }
            let going_on = (0..all.len()).filter(|&at| goes_on(at)).count();
            let total = going_on * (rounds + 1) + (all.len() - going_on);
            let step = Step { round, done, total, setting: &all[at].setting };
            match run(&step) {
                Outcome::Ran(sample) if round > 0 => all[at].samples.push(sample),
                Outcome::Ran(sample) => first[at] = Some(sample),
                Outcome::Unusable(reason) => {
                    all[at].samples.clear();
                    all[at].unusable = Some(reason);
                }
                Outcome::Failed(error) => return (all, Some(error)),
            }
            done += 1;
        }
    }
    (all, None)
}

/// Lets the one run count of those that are hopelessly slow, and forgets that they may run.
fn keep_hopeless(all: &mut [Series], first: &mut [Option<Sample>]) {
    let shortest = first.iter().flatten().map(|sample| sample.seconds).fold(f64::MAX, f64::min);
    for (series, first) in all.iter_mut().zip(first) {
        let least = SPARED.max(shortest * HOPELESS);
        if first.is_some_and(|sample| sample.seconds > least) {
            series.samples.extend(first.take());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::combinations;
    use crate::pool::Threads;

    fn settings() -> Vec<Setting> {
        let threads = [1, 2, 4].map(Threads::Exactly);
        combinations(&["positioned".to_owned()], &[None], &threads)
    }

    fn took(seconds: f64) -> Outcome<()> {
        Outcome::Ran(Sample { seconds, ..Sample::default() })
    }

    #[test]
    fn rounds_are_interleaved_and_the_first_is_discarded() {
        let mut order = Vec::new();
        let (series, None) = sweep(&settings(), 2, |step| {
            order.push((step.round, step.setting.threads.to_string()));
            took(if step.round == 0 { 1000.0 } else { step.done as f64 })
        }) else {
            panic!("nothing failed");
        };
        let order: Vec<_> = order.iter().map(|(round, name)| format!("{round}:{name}")).collect();
        assert_eq!(order.join(" "), "0:1 0:2 0:4 1:4 1:2 1:1 2:1 2:2 2:4");
        let seconds = |at: usize| series[at].samples.iter().map(|s| s.seconds).collect::<Vec<_>>();
        assert_eq!(seconds(0), [5.0, 6.0]);
        assert_eq!(seconds(2), [3.0, 8.0]);
    }

    #[test]
    fn what_cannot_be_used_is_tried_once_and_leaves_nothing() {
        let mut tried = 0;
        let (series, _) = sweep(&settings(), 3, |step| {
            if step.setting.threads == Threads::Exactly(2) && step.round == 1 {
                tried += 1;
                return Outcome::Unusable("no".to_owned());
            }
            took(1.0)
        });
        assert_eq!(tried, 1);
        assert_eq!(series[1].unusable.as_deref(), Some("no"));
        assert_eq!(series[1].seconds(), None);
        assert_eq!(series[0].samples.len(), 3);
    }

    #[test]
    fn what_is_hopelessly_slow_runs_once_and_that_counts() {
        let mut order = Vec::new();
        let (series, _) = sweep(&settings(), 2, |step| {
            order.push((step.done, step.total));
            took(if step.setting.threads == Threads::Exactly(1) { 9.0 } else { 2.0 })
        });
        assert_eq!(order, [(0, 9), (1, 9), (2, 9), (3, 7), (4, 7), (5, 7), (6, 7)]);
        let samples: Vec<_> = series.iter().map(|series| series.samples.len()).collect();
        assert_eq!(samples, [1, 2, 2]);
        assert_eq!(series[0].seconds().map(|seconds| seconds.median), Some(9.0));
    }

    #[test]
    fn short_runs_are_repeated_however_they_compare() {
        let (series, _) = sweep(&settings(), 2, |step| {
            took(if step.setting.threads == Threads::Exactly(1) { 1.9 } else { 0.1 })
        });
        assert!(series.iter().all(|series| series.samples.len() == 2));
    }

    #[test]
    fn an_error_ends_it_and_what_was_measured_stays() {
        let (series, error) = sweep(&settings(), 3, |step| match step.done {
            7 => Outcome::Failed("gone"),
            _ => Outcome::Ran(Sample::default()),
        });
        assert_eq!(error, Some("gone"));
        let samples: Vec<_> = series.iter().map(|series| series.samples.len()).collect();
        assert_eq!(samples, [2, 1, 1]);
    }
}
