//! What can be said of a job at one moment, and its figures.

use std::time::Duration;

use pcopy::progress::Place;
use pcopy::size::human;
use pcopy::{Phase, Snapshot};

/// How long nothing may come before that is said.
pub const STALLED: Duration = Duration::from_secs(3);

/// A rate below this part of the average says more of the time left than the average.
const SLOWER: f64 = 4.0;

/// What can be said at one moment.
pub struct Shown {
    pub snapshot: Snapshot,
    /// Bytes a second over the last seconds.
    pub rate: f64,
    /// The source offset a request has been waiting at for long, and how long.
    pub waiting: Option<(u64, Duration)>,
    /// How long no byte has come, and none has been found to be unreadable.
    pub still: Duration,
    /// Whether bytes were found to be unreadable in the last seconds.
    pub failing: bool,
    /// A file at work, of several.
    pub file: Option<String>,
    /// What is copied, by position.
    pub places: Vec<Place>,
    /// The rate at regular moments, the latest last.
    pub rates: Vec<f64>,
}

/// How it goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pace {
    /// So long, if it goes on as before.
    Left(Duration),
    /// Nothing has come for so long.
    Stalled(Duration),
    /// Little comes because the source is being searched for bad sectors.
    BadRegion,
    /// Nobody knows.
    Unknown,
}

impl Shown {
    /// A snapshot alone.
    #[cfg(test)]
    pub fn of(snapshot: Snapshot) -> Shown {
        Shown {
            snapshot,
            rate: 0.0,
            waiting: None,
            still: Duration::ZERO,
            failing: false,
            file: None,
            places: Vec::new(),
            rates: Vec::new(),
        }
    }

    pub fn average(&self) -> f64 {
        let seconds = self.snapshot.copying.as_secs_f64();
        if seconds > 0.0 { self.snapshot.copied as f64 / seconds } else { 0.0 }
    }

    /// Whether bytes are copied, or compared before that.
    pub fn is_moving(&self) -> bool {
        matches!(self.snapshot.phase, Phase::Copying | Phase::Comparing)
    }

    /// How it goes on, while bytes move.
    pub fn pace(&self) -> Pace {
        if !self.is_moving() && self.snapshot.phase != Phase::Verifying {
            return Pace::Unknown;
        }
        if self.still >= STALLED && self.is_unfinished() {
            return Pace::Stalled(self.still);
        }
        if self.failing && self.rate < self.average() / SLOWER {
            return Pace::BadRegion;
        }
        self.remaining().map_or(Pace::Unknown, Pace::Left)
    }

    /// Time left, while bytes are moving: at the average rate, or at the present
    /// one where that is far below it.
    pub fn remaining(&self) -> Option<Duration> {
        let left = self.snapshot.total?.saturating_sub(self.done());
        let average = self.average();
        let rate = if self.rate < average / SLOWER { self.rate } else { average };
        if !self.is_moving() || rate < 1.0 {
            return None;
        }
        Duration::try_from_secs_f64((left as f64 / rate).ceil()).ok()
    }

    /// Bytes that need no more work, of those in [`Shown::end`].
    pub fn done(&self) -> u64 {
        match self.snapshot.phase {
            Phase::Verifying => self.snapshot.verified,
            _ => self.snapshot.copied.saturating_add(self.snapshot.failed),
        }
    }

    /// Bytes of the phase in all, once that is known. What was read back is
    /// counted with what an earlier run had copied.
    pub fn end(&self) -> Option<u64> {
        match self.snapshot.phase {
            Phase::Verifying => Some(self.snapshot.total?.saturating_add(self.snapshot.resumed)),
            _ => self.snapshot.total,
        }
    }

    fn is_unfinished(&self) -> bool {
        self.end().is_none_or(|end| self.done() < end)
    }

    /// Whole percents of the phase. It is 100 only where all is done.
    pub fn percent(&self) -> Option<u64> {
        Some(match self.end()? {
            0 => 100,
            end => u64::try_from(u128::from(self.done()) * 100 / u128::from(end)).unwrap_or(100),
        })
    }

    /// One line for a log or a status request.
    pub fn plain(&self) -> String {
        let share = match self.end() {
            None => String::new(),
            Some(0) => " 100.0%".to_owned(),
            Some(end) => {
                let thousandths = u128::from(self.done()) * 1000 / u128::from(end);
                format!(" {}.{}%", thousandths / 10, thousandths % 10)
            }
        };
        format!("{}{share}: {}", self.snapshot.phase.name(), self.figures().join(", "))
    }

    /// Everything that can be said, the most important first.
    fn figures(&self) -> Vec<String> {
        let snapshot = &self.snapshot;
        let mut figures = vec![self.amount(human)];
        figures.extend(self.going());
        if snapshot.failed > 0 {
            figures.push(format!("{} unreadable", human(snapshot.failed)));
        }
        if let Some((offset, time)) = self.waiting {
            figures.push(format!("byte {offset} waiting for {} s", time.as_secs()));
        }
        figures.extend(self.files());
        if self.is_moving() {
            figures.push(format!("{}/s", human(self.rate as u64)));
            figures.push(format!("{}/s average", human(self.average() as u64)));
        }
        figures.push(format!("{} elapsed", clock(snapshot.elapsed)));
        figures.extend(self.file.as_ref().map(|file| format!("at {file}")));
        figures
    }

    /// How much is done, in the words of `size`.
    pub fn amount(&self, size: fn(u64) -> String) -> String {
        let of_end = |bytes| match self.end() {
            Some(end) => format!("{} of {}", size(bytes), size(end)),
            None => size(bytes),
        };
        match self.snapshot.phase {
            _ if self.is_moving() => of_end(self.snapshot.copied),
            Phase::Verifying => of_end(self.snapshot.verified) + " read back",
            _ => format!("{} copied", size(self.snapshot.copied)),
        }
    }

    /// How it goes on, in words.
    pub fn going(&self) -> Option<String> {
        Some(match self.pace() {
            Pace::Left(left) => format!("{} left", clock(left)),
            Pace::Stalled(time) => format!("no data for {}", clock(time)),
            Pace::BadRegion => "bad region".to_owned(),
            Pace::Unknown => return None,
        })
    }

    /// How many files are done, of several.
    pub fn files(&self) -> Option<String> {
        let Snapshot { items, total_items, .. } = self.snapshot;
        (total_items > 0).then(|| format!("{items}/{total_items} files"))
    }
}

/// `1:02:03`, or `2:03` below an hour; days beyond 99 hours.
pub fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match hours {
        0 => format!("{minutes}:{seconds:02}"),
        1..100 => format!("{hours}:{minutes:02}:{seconds:02}"),
        _ => format!("{} days", hours / 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copying(copied: u64) -> Shown {
        let mut snapshot = pcopy::Progress::new().snapshot();
        (snapshot.total, snapshot.copied) = (Some(1000), copied);
        (snapshot.phase, snapshot.copying) = (Phase::Copying, Duration::from_secs(10));
        Shown { rate: copied as f64 / 10.0, ..Shown::of(snapshot) }
    }

    #[test]
    fn a_line_of_verifying_says_how_much_is_verified() {
        let mut snapshot = pcopy::Progress::new().snapshot();
        (snapshot.total, snapshot.copied, snapshot.resumed) = (Some(60), 15, 20);
        let line = |phase, verified| {
            let mut snapshot = snapshot;
            (snapshot.phase, snapshot.verified) = (phase, verified);
            Shown::of(snapshot).plain()
        };
        let verifying = line(Phase::Verifying, 40);
        assert!(verifying.starts_with("verifying 50.0%"), "{verifying}");
        let copying = line(Phase::Copying, 40);
        assert!(copying.starts_with("copying 25.0%"), "{copying}");
    }

    #[test]
    fn what_does_not_move_has_no_time_left() {
        assert_eq!(copying(900).going().as_deref(), Some("0:02 left"));
        let still = Shown { still: Duration::from_secs(65), rate: 0.0, ..copying(900) };
        assert_eq!(still.going().as_deref(), Some("no data for 1:05"));
        assert!(still.plain().contains("no data for 1:05"), "{}", still.plain());
        // At the end, what is awaited are other things than data.
        let over = Shown { still: Duration::from_secs(65), ..copying(1000) };
        assert_eq!(over.going().as_deref(), Some("0:00 left"));
    }

    #[test]
    fn a_bad_region_is_called_one_as_long_as_little_comes() {
        let slow = Shown { failing: true, rate: 1.0, ..copying(900) };
        assert_eq!(slow.going().as_deref(), Some("bad region"));
        let fast = Shown { failing: true, ..copying(900) };
        assert_eq!(fast.going().as_deref(), Some("0:02 left"));
    }

    #[test]
    fn a_source_that_became_slow_takes_its_time() {
        let slow = Shown { rate: 1.0, ..copying(900) };
        assert_eq!(slow.going().as_deref(), Some("1:40 left"));
    }

    #[test]
    fn what_could_not_be_read_is_over_too_and_all_is_said_at_the_end_only() {
        let mut shown = copying(900);
        shown.snapshot.failed = 99;
        assert_eq!(shown.percent(), Some(99));
        assert!(shown.plain().starts_with("copying 99.9%: 900 B of 1000 B"), "{}", shown.plain());
        shown.snapshot.failed = 100;
        assert_eq!(shown.percent(), Some(100));
    }

    #[test]
    fn time_left_reads_like_a_clock() {
        let check = |seconds, text| assert_eq!(clock(Duration::from_secs(seconds)), text);
        check(0, "0:00");
        check(62, "1:02");
        check(3723, "1:02:03");
        check(99 * 3600, "99:00:00");
        check(100 * 3600, "4 days");
    }
}
