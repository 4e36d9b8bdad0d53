//! How far a sweep is: one line on a terminal, a line or a JSON event for each
//! run, or nothing.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use pcopy::Threads;
use pcopy::bench::{Forecast, Outcome, Setting, Step};
use pcopy::size::exact;
use serde_json::{Value, json};

use crate::cli::args::{OutputArgs, ProgressArg};
use crate::cli::terminal::{event_to_stderr, over_last_line, to_stderr};
use crate::cli::watch::can_write_over;

/// Shows how far a sweep is.
pub struct Meter {
    way: Way,
    /// Whether the result of each run is told as well.
    verbose: bool,
    forecast: RefCell<Forecast>,
}

/// The ways to show it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// One line that is written over.
    Line,
    /// A line for each run.
    Plain,
    /// A JSON event for each run.
    Json,
    Silent,
}

impl Meter {
    pub fn new(output: &OutputArgs) -> Meter {
        let way = match output.progress {
            // Asked for by name: shown even when quiet.
            ProgressArg::Json => Way::Json,
            _ if output.quiet => Way::Silent,
            ProgressArg::None => Way::Silent,
            ProgressArg::Plain => Way::Plain,
            ProgressArg::Bar | ProgressArg::Auto if can_write_over() => Way::Line,
            ProgressArg::Bar => Way::Plain,
            // A line for each of hundreds of runs is asked for, or unwelcome.
            ProgressArg::Auto => Way::Silent,
        };
        Meter { way, verbose: output.verbose, forecast: RefCell::default() }
    }

    /// Shows the run `step` while `run` is at work, and what it came to.
    pub fn during<E>(&self, step: &Step<'_>, run: impl FnOnce() -> Outcome<E>) -> Outcome<E> {
        let left = self.forecast.borrow().left(step);
        let shown = line(step) + &left.map(|left| format!(", {}", about(left))).unwrap_or_default();
        match self.way {
            Way::Line => over_last_line(&shown),
            Way::Plain => to_stderr(&format!("pcopy: {shown}")),
            Way::Json => event_to_stderr(&event("run", step)),
            Way::Silent => {}
        }
        let begin = Instant::now();
        let outcome = run();
        let mut forecast = self.forecast.borrow_mut();
        match &outcome {
            Outcome::Ran(_) => forecast.ran(step.setting, begin.elapsed()),
            _ => forecast.without(step.setting),
        }
        let next = Step { done: step.done + 1, ..*step };
        self.end(step, &outcome, forecast.left(&next));
        outcome
    }

    /// What it came to, and what is left.
    fn end<E>(&self, step: &Step<'_>, outcome: &Outcome<E>, left: Option<Duration>) {
        let text = match outcome {
            Outcome::Ran(sample) => format!("{:.3} s", sample.seconds),
            Outcome::Unusable(reason) => reason.clone(),
            Outcome::Failed(_) => return,
        };
        match self.way {
            Way::Json => {
                let mut event = event("ran", step);
                match outcome {
                    Outcome::Ran(sample) => event["seconds"] = json!(sample.seconds),
                    _ => event["unusable"] = json!(text),
                }
                event["seconds_left"] = json!(left.map(|left| left.as_secs_f64()));
                event_to_stderr(&event);
            }
            _ if !self.verbose => {}
            _ => {
                self.clear();
                to_stderr(&format!("pcopy: {}: {text}", line(step)));
            }
        }
    }

    /// Leaves the terminal as it was.
    pub fn clear(&self) {
        if self.way == Way::Line {
            over_last_line("");
        }
    }
}

fn line(step: &Step<'_>) -> String {
    let round = match step.round {
        0 => "warm-up".to_owned(),
        round => format!("round {round}"),
    };
    // Which flag names an engine goes without saying, and a line has 80 columns.
    let flags = flags(step.setting);
    let setting = flags.strip_prefix("--engine ").unwrap_or(&flags);
    format!("{}/{} {round}: {setting}", step.done + 1, step.total)
}

/// How long it takes from here, in a few words. The figures of a warm-up are rough.
fn about(left: Duration) -> String {
    match left.as_secs() {
        seconds @ 0..60 => format!("{seconds} s left"),
        seconds @ 60..5400 => format!("{} min left", seconds.div_ceil(60)),
        seconds => format!("{} h left", seconds.div_ceil(3600)),
    }
}

/// The flags of a copy that mean a setting.
pub fn flags(setting: &Setting) -> String {
    let mut text = format!("--engine {} --threads {}", setting.engine, setting.threads);
    if let Some(size) = setting.io_size {
        text += &format!(" --io-size {}", exact(size));
    }
    text
}

fn event(name: &str, step: &Step<'_>) -> Value {
    let Setting { engine, threads, io_size } = step.setting;
    json!({
        "event": name,
        "run": step.done + 1,
        "runs": step.total,
        "round": step.round,
        "engine": engine,
        "threads": as_json(*threads),
        "io_size": io_size,
    })
}

/// A number, or `auto`.
pub fn as_json(threads: Threads) -> Value {
    match threads {
        Threads::Exactly(threads) => json!(threads),
        Threads::Auto => json!("auto"),
    }
}
