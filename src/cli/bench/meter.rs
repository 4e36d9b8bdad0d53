//! How far a sweep is: one line on a terminal, a line or a JSON event for each
//! run, or nothing.

use pcopy::Threads;
use pcopy::bench::{Outcome, Setting, Step};
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
        Meter { way, verbose: output.verbose }
    }

    /// The run that begins.
    pub fn begin(&self, step: &Step<'_>) {
        match self.way {
            Way::Line => over_last_line(&line(step)),
            Way::Plain => to_stderr(&format!("pcopy: {}", line(step))),
            Way::Json => event_to_stderr(&event("run", step)),
            Way::Silent => {}
        }
    }

    /// What it came to.
    pub fn end<E>(&self, step: &Step<'_>, outcome: &Outcome<E>) {
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
    format!("{}/{} {round}: {}", step.done + 1, step.total, flags(step.setting))
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
