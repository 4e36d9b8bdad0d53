//! The three ways to show progress: a bar, plain lines, JSON events.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use pcopy::size::human;
use pcopy::{Event, Phase, Snapshot};
use serde_json::{Value, json};

use crate::cli::args::{OutputArgs, ProgressArg};
use crate::cli::terminal::{event_to_stderr, to_stderr};

/// How often a plain line or a JSON event is written.
const PLAIN_EVERY: Duration = Duration::from_secs(5);
const JSON_EVERY: Duration = Duration::from_millis(500);

/// Jobs shorter than this never show a bar: it would only flicker.
const BAR_AFTER: Duration = Duration::from_millis(200);

/// What can be said at one moment.
pub struct Shown {
    pub snapshot: Snapshot,
    /// Bytes a second over the last seconds.
    pub rate: f64,
    /// The source offset a request has been waiting at for long, and how long.
    pub waiting: Option<(u64, Duration)>,
}

impl Shown {
    fn average(&self) -> f64 {
        let seconds = self.snapshot.copying.as_secs_f64();
        if seconds > 0.0 { self.snapshot.copied as f64 / seconds } else { 0.0 }
    }

    fn is_moving(&self) -> bool {
        matches!(self.snapshot.phase, Phase::Copying | Phase::Comparing)
    }

    /// Time left at the average rate, while bytes are moving.
    fn remaining(&self) -> Option<Duration> {
        let left = self.snapshot.total?.saturating_sub(self.snapshot.copied + self.snapshot.failed);
        let average = self.average();
        if !self.is_moving() || average < 1.0 {
            return None;
        }
        Duration::try_from_secs_f64(left as f64 / average).ok()
    }

    /// What stands behind the bar: as many figures as `room` columns take, the
    /// most important first, and each of them whole.
    fn figures(&self, room: usize) -> String {
        fit(self.all_figures(), room)
    }

    /// Everything that can be said, the most important first.
    fn all_figures(&self) -> Vec<String> {
        let snapshot = &self.snapshot;
        let of_total = |bytes, total: Option<u64>| match total {
            Some(total) => format!("{} of {}", human(bytes), human(total)),
            None => human(bytes),
        };
        let mut figures = vec![match snapshot.phase {
            _ if self.is_moving() => of_total(snapshot.copied, snapshot.total),
            Phase::Verifying => of_total(snapshot.verified, self.to_verify()) + " read back",
            _ => format!("{} copied", human(snapshot.copied)),
        }];
        figures.extend(self.remaining().map(|left| format!("{} left", clock(left))));
        if snapshot.failed > 0 {
            figures.push(format!("{} unreadable", human(snapshot.failed)));
        }
        if let Some((offset, time)) = self.waiting {
            figures.push(format!("byte {offset} waiting for {} s", time.as_secs()));
        }
        if snapshot.total_items > 0 {
            figures.push(format!("{}/{} files", snapshot.items, snapshot.total_items));
        }
        if self.is_moving() {
            figures.push(format!("{}/s", whole(self.rate)));
            figures.push(format!("{}/s average", whole(self.average())));
        }
        figures
    }

    /// One line for a log or a status request.
    pub fn plain(&self) -> String {
        let snapshot = &self.snapshot;
        let (done, total) = match snapshot.phase {
            Phase::Verifying => (snapshot.verified, self.to_verify()),
            _ => (snapshot.copied, snapshot.total),
        };
        let share = match total {
            None => String::new(),
            Some(0) => " 100.0%".to_owned(),
            Some(total) => format!(" {:.1}%", done as f64 * 100.0 / total as f64),
        };
        format!("{}{share}: {}", snapshot.phase.name(), self.figures(usize::MAX))
    }

    /// Bytes that are read back in all, once that is known.
    fn to_verify(&self) -> Option<u64> {
        Some(self.snapshot.total? + self.snapshot.resumed)
    }
}

/// Those of `figures`, in their order, that `room` columns take.
fn fit(figures: Vec<String>, room: usize) -> String {
    figures.into_iter().fold(String::new(), |text, figure| {
        let longer = if text.is_empty() { figure } else { format!("{text}, {figure}") };
        if longer.chars().count() <= room { longer } else { text }
    })
}

fn whole(rate: f64) -> String {
    human(rate as u64)
}

/// `1:02:03`, or `2:03` below an hour.
fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 {
        format!("{hours}:{minutes:02}:{seconds:02}")
    } else {
        format!("{minutes}:{seconds:02}")
    }
}

/// Whether standard error is a terminal on which a line can be written over, as
/// a bar needs it.
pub fn can_write_over() -> bool {
    let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    std::io::stderr().is_terminal() && !is_dumb
}

/// One of the ways to show progress.
pub enum Show {
    Bar { bar: ProgressBar, since: Instant },
    Plain { last: Instant },
    Json { last: Instant, phase: Phase },
    Silent { lines: bool },
}

impl Show {
    pub fn new(output: &OutputArgs) -> Show {
        let now = Instant::now();
        let terminal = can_write_over();
        match output.progress {
            // Asked for by name: shown even when quiet.
            ProgressArg::Json => Show::Json { last: now, phase: Phase::Preparing },
            _ if output.quiet => Show::Silent { lines: false },
            ProgressArg::None => Show::Silent { lines: true },
            _ if !terminal => Show::Plain { last: now },
            ProgressArg::Plain => Show::Plain { last: now },
            ProgressArg::Auto | ProgressArg::Bar => {
                let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::hidden());
                Show::Bar { bar, since: now }
            }
        }
    }

    /// Shows the moment, if it is time to.
    pub fn update(&mut self, shown: &Shown) {
        match self {
            Show::Bar { bar, since } => {
                if bar.is_hidden() && since.elapsed() >= BAR_AFTER {
                    bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(10));
                }
                draw(bar, shown);
            }
            Show::Plain { last } if last.elapsed() >= PLAIN_EVERY => {
                *last = Instant::now();
                to_stderr(&shown.plain());
            }
            Show::Json { last, phase } => {
                let changed = *phase != shown.snapshot.phase;
                if changed || last.elapsed() >= JSON_EVERY {
                    (*last, *phase) = (Instant::now(), shown.snapshot.phase);
                    event_to_stderr(&progress_event("progress", shown));
                }
            }
            _ => {}
        }
    }

    /// Whether a line tells what no event does.
    pub fn takes_lines(&self) -> bool {
        !matches!(self, Show::Json { .. })
    }

    /// Writes a line between the others.
    pub fn line(&mut self, line: &str) {
        match self {
            Show::Bar { bar, .. } if !bar.is_hidden() => {
                bar.suspend(|| to_stderr(&format!("pcopy: {line}")));
            }
            Show::Json { .. } => event_to_stderr(&json!({"event": "message", "text": line})),
            Show::Silent { lines: false } => {}
            _ => to_stderr(&format!("pcopy: {line}")),
        }
    }

    /// Passes an event on as JSON, where that is asked for.
    pub fn event(&mut self, event: &Event) {
        if !matches!(self, Show::Json { .. }) {
            return;
        }
        let json = match event {
            Event::Planned { destination, engine, reason } => json!({
                "event": "planned", "destination": destination, "engine": engine, "reason": reason
            }),
            Event::Fallback(fallback) => json!({
                "event": "fallback",
                "from": fallback.from, "to": fallback.to, "reason": fallback.reason
            }),
            Event::ReadFailed { range, error } => json!({
                "event": "read_failed", "start": range.start(), "end": range.end(), "error": error
            }),
            Event::Threads { threads, reason } => {
                json!({"event": "threads", "threads": threads, "reason": reason})
            }
            Event::Checkpoint { bytes } => json!({"event": "checkpoint", "bytes": bytes}),
            Event::Note(note) => json!({"event": "note", "text": note}),
            _ => return,
        };
        event_to_stderr(&json);
    }

    /// Shows the last moment and clears the line for the report.
    pub fn finish(&mut self, shown: &Shown) {
        match self {
            Show::Bar { bar, .. } => bar.finish_and_clear(),
            Show::Json { .. } => event_to_stderr(&progress_event("finished", shown)),
            _ => {}
        }
    }
}

fn draw(bar: &ProgressBar, shown: &Shown) {
    let snapshot = &shown.snapshot;
    let (position, length) = match snapshot.phase {
        Phase::Verifying => (snapshot.verified, shown.to_verify()),
        _ => (snapshot.copied + snapshot.failed, snapshot.total),
    };
    if let Some(length) = length.filter(|&length| bar.length() != Some(length)) {
        bar.set_length(length);
    }
    let columns = usize::from(console::Term::stderr().size().1);
    let (style, before) = style(columns, length.is_some());
    bar.set_style(style);
    bar.set_prefix(snapshot.phase.name());
    bar.set_message(shown.figures(columns.saturating_sub(before)));
    bar.set_position(position);
    bar.tick();
}

/// Columns of a terminal that is too narrow for a bar beside the figures.
const NARROW: usize = 80;

/// The style for a terminal of so many columns, and the column at which the
/// figures begin. There is no bar where nobody knows the end.
fn style(columns: usize, has_end: bool) -> (ProgressStyle, usize) {
    let (template, before) = match columns {
        _ if !has_end => ("{prefix:9} {wide_msg}", 10),
        ..NARROW => ("{prefix:9} {percent:>3}% {wide_msg}", 15),
        _ => ("{prefix:9} {percent:>3}% [{bar:16}] {wide_msg}", 34),
    };
    let style =
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    (style.progress_chars("=> "), before)
}

fn progress_event(name: &str, shown: &Shown) -> Value {
    let snapshot = &shown.snapshot;
    json!({
        "event": name,
        "phase": snapshot.phase.name(),
        "total": snapshot.total,
        "copied": snapshot.copied,
        "failed": snapshot.failed,
        "resumed": snapshot.resumed,
        "verified": snapshot.verified,
        "items": snapshot.items,
        "total_items": snapshot.total_items,
        "threads": snapshot.threads,
        "bytes_per_second": shown.rate.round(),
        "average_bytes_per_second": shown.average().round(),
        "seconds": snapshot.elapsed.as_secs_f64(),
        "seconds_left": shown.remaining().map(|left| left.as_secs_f64().round()),
        "waiting": shown.waiting.map(|(offset, time)| {
            json!({"offset": offset, "seconds": time.as_secs_f64()})
        }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_whole_or_not_there() {
        let figures = || ["12 MiB of 64 MiB", "0:06 left", "1 MiB/s"].map(str::to_owned).to_vec();
        let check = |room, text| assert_eq!(fit(figures(), room), text);
        check(usize::MAX, "12 MiB of 64 MiB, 0:06 left, 1 MiB/s");
        check(36, "12 MiB of 64 MiB, 0:06 left, 1 MiB/s");
        check(35, "12 MiB of 64 MiB, 0:06 left");
        check(26, "12 MiB of 64 MiB, 1 MiB/s");
        check(16, "12 MiB of 64 MiB");
        check(15, "0:06 left");
        check(3, "");
    }

    #[test]
    fn a_line_of_verifying_says_how_much_is_verified() {
        let mut snapshot = pcopy::Progress::new().snapshot();
        (snapshot.total, snapshot.copied, snapshot.resumed) = (Some(60), 15, 20);
        let line = |phase, verified| {
            let mut snapshot = snapshot;
            (snapshot.phase, snapshot.verified) = (phase, verified);
            Shown { snapshot, rate: 0.0, waiting: None }.plain()
        };
        let verifying = line(Phase::Verifying, 40);
        assert!(verifying.starts_with("verifying 50.0%"), "{verifying}");
        let copying = line(Phase::Copying, 40);
        assert!(copying.starts_with("copying 25.0%"), "{copying}");
    }

    #[test]
    fn time_left_reads_like_a_clock() {
        let check = |seconds, text| assert_eq!(clock(Duration::from_secs(seconds)), text);
        check(0, "0:00");
        check(62, "1:02");
        check(3723, "1:02:03");
    }
}
