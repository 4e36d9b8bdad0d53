//! Time spent in each phase of a job.

use std::time::{Duration, Instant};

use crate::report::{Report, rate};

/// The moments at which the phases of a job ended.
pub struct Clock {
    start: Instant,
    copied: Option<Instant>,
    synced: Option<Instant>,
    verified: Option<Instant>,
    finished: Option<Instant>,
}

impl Clock {
    pub fn start() -> Clock {
        Clock { start: Instant::now(), copied: None, synced: None, verified: None, finished: None }
    }

    pub fn copied(&mut self) {
        self.copied = Some(Instant::now());
    }

    pub fn synced(&mut self) {
        self.synced = Some(Instant::now());
    }

    pub fn verified(&mut self) {
        self.verified = Some(Instant::now());
    }

    pub fn finished(&mut self) {
        self.finished = Some(Instant::now());
    }

    /// Writes the times into the report. A phase that was not reached took none.
    pub fn read(&self, report: &mut Report) {
        let end = self.finished.unwrap_or_else(Instant::now);
        let copied = self.copied.unwrap_or(end);
        let synced = self.synced.unwrap_or(copied);
        let seconds = |from: Instant, to: Instant| {
            to.checked_duration_since(from).unwrap_or(Duration::ZERO).as_secs_f64()
        };
        report.seconds.copy = seconds(self.start, copied);
        report.seconds.sync = seconds(copied, synced);
        report.seconds.verify = seconds(synced, self.verified.unwrap_or(synced));
        report.seconds.total = seconds(self.start, end);
        report.bytes_per_second = rate(report.bytes.copied, synced - self.start);
    }
}
