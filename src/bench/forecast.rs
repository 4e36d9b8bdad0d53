//! How long the rest of a sweep takes, by how long its runs took.

use std::time::Duration;

use super::{Setting, Step};

/// How long the runs of a sweep took, the last of each setting.
#[derive(Clone, Debug, Default)]
pub struct Forecast {
    took: Vec<(Setting, Duration)>,
}

impl Forecast {
    /// A run of `setting` took so long, with all that belongs to it.
    pub fn ran(&mut self, setting: &Setting, took: Duration) {
        match self.took.iter_mut().find(|(known, _)| known == setting) {
            Some((_, before)) => *before = took,
            None => self.took.push((setting.clone(), took)),
        }
    }

    /// A setting is not run any more.
    pub fn without(&mut self, setting: &Setting) {
        self.took.retain(|(known, _)| known != setting);
    }

    /// What is left at the beginning of `step`, which counts; nobody knows before the
    /// first run. Settings that have not been run are taken to be like the others.
    pub fn left(&self, step: &Step<'_>) -> Option<Duration> {
        let known = u32::try_from(self.took.len()).ok().filter(|&known| known > 0)?;
        let mean = self.took.iter().map(|(_, took)| *took).sum::<Duration>() / known;
        let runs = u32::try_from(step.total.saturating_sub(step.done)).unwrap_or(u32::MAX);
        Some(mean.saturating_mul(runs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::Threads;

    #[test]
    fn the_rest_is_told_from_the_last_run_of_each_setting() {
        let setting = |threads| Setting {
            engine: "positioned".to_owned(),
            threads: Threads::Exactly(threads),
            io_size: None,
        };
        let (one, four) = (setting(1), setting(4));
        let left = |forecast: &Forecast, done| {
            forecast.left(&Step { round: 0, done, total: 12, setting: &one }).map(|d| d.as_secs())
        };
        let mut forecast = Forecast::default();
        assert_eq!(left(&forecast, 0), None);
        forecast.ran(&one, Duration::from_secs(8));
        assert_eq!(left(&forecast, 1), Some(88));
        forecast.ran(&four, Duration::from_secs(2));
        assert_eq!(left(&forecast, 2), Some(50));
        forecast.ran(&one, Duration::from_secs(4));
        assert_eq!(left(&forecast, 10), Some(6));
        forecast.without(&one);
        assert_eq!(left(&forecast, 10), Some(4));
        assert_eq!(left(&forecast, 12), Some(0));
    }
}
