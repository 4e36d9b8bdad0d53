//! The three ways to show progress: a bar, plain lines, JSON events.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use pcopy::progress::Place;
use pcopy::{Event, Phase};
use serde_json::{Value, json};

use super::line::{self, Room};
use super::shown::{Pace, Shown};
use crate::cli::args::{OutputArgs, ProgressArg};
use crate::cli::terminal::{event_to_stderr, to_stderr};

/// How often a plain line or a JSON event is written.
const PLAIN_EVERY: Duration = Duration::from_secs(5);
const JSON_EVERY: Duration = Duration::from_millis(500);

/// Jobs shorter than this never show a bar: it would only flicker.
const BAR_AFTER: Duration = Duration::from_millis(200);

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
                bar.set_style(style());
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
            Event::Planned { path, destination, engine, reason } => json!({
                "event": "planned",
                "destination": path.to_string_lossy(),
                "description": destination,
                "engine": engine,
                "reason": reason,
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
            Event::Checkpoint { path, bytes } => json!({
                "event": "checkpoint", "destination": path.to_string_lossy(), "bytes": bytes
            }),
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
    let (rows, columns) = console::Term::stderr().size();
    let room = Room { columns: columns.into(), rows: rows.into() };
    bar.set_message(line::lines(shown, room).join("\n"));
    bar.tick();
}

/// All the text is made here: the width of a terminal is shared out among it.
fn style() -> ProgressStyle {
    ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_bar())
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
        "seconds_left": match shown.pace() {
            Pace::Left(left) => Some(left.as_secs_f64()),
            _ => None,
        },
        "waiting": shown.waiting.map(|(offset, time)| {
            json!({"offset": offset, "seconds": time.as_secs_f64()})
        }),
        "file": shown.file,
        "places": places(&shown.places),
    })
}

/// Equal parts of the range and how much of each is copied, if they are known.
fn places(all: &[Place]) -> Option<Value> {
    let (first, last) = (all.first()?, all.last()?);
    let of = |count: fn(&Place) -> u64| all.iter().map(count).collect::<Vec<u64>>();
    Some(json!({
        "start": first.range.start(),
        "end": last.range.end(),
        "copied": of(|place| place.copied),
        "failed": of(|place| place.failed),
        "outside": of(|place| place.outside),
    }))
}
