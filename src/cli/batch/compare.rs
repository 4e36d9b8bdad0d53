//! `pcopy batch --compare`, and `pcopy verify` of several sources: files against
//! what they were copied from. Nothing is written but a report.

use pcopy::batch::{Batch, BatchReport};
use pcopy::size::human;
use pcopy::{Outcome, Progress, Result, Watch};

use super::listener::Listener;
use super::{folders, say};
use crate::cli::args::OutputArgs;
use crate::cli::exit::Exit;
use crate::cli::render;
use crate::cli::signals::Signals;
use crate::cli::terminal::json_to_stdout;
use crate::cli::watch;

/// Compares, with `listener` hearing of every item.
///
/// # Errors
///
/// An error that has not been printed.
pub fn compare(
    batch: &Batch,
    output: &OutputArgs,
    mut listener: Listener<'_>,
    signals: &Signals,
) -> Result<Exit> {
    listener.open()?;
    let progress = Progress::new();
    let result = watch::run(output, &progress, signals, |progress, cancel| {
        batch.compare(Watch::new(progress, cancel), &|item| listener.hear(item))
    });
    let is_reported = listener.close(result.is_ok(), output);
    let found = result.as_ref().map_or_else(|error| error.report(), Some);
    match (found, &result) {
        (Some(report), _) => tell(report, output),
        (None, Err(error)) if output.json => {
            json_to_stdout(BatchReport::of_error(error).to_json());
        }
        (None, _) => {}
    }
    Ok(match &result {
        Ok(_) if !is_reported => Exit::Failed,
        Ok(report) => Exit::from(report.outcome),
        Err(error) => {
            say(error, output);
            Exit::of_error(error)
        }
    })
}

fn tell(report: &BatchReport, output: &OutputArgs) {
    if output.json {
        json_to_stdout(report.to_json());
    }
    let is_well = report.outcome == Outcome::Complete;
    if output.quiet || (output.json && !output.verbose && is_well) {
        return;
    }
    render::say(output, "message", &summary(report));
}

fn summary(report: &BatchReport) -> String {
    let items = &report.items;
    let past_cache = report.verified_by.keys().all(|&how| how == "direct");
    let mut text = format!(
        "{} of {} files are equal to their sources, {} compared in {:.2} s{}",
        items.complete,
        items.total,
        human(report.bytes),
        report.seconds.verify,
        if past_cache { " past the page cache" } else { "" },
    );
    let others = [
        (items.mismatch, "differ"),
        (items.partial, "compared but for unreadable parts of their sources"),
        (items.failed, "could not be compared"),
        (items.not_tried, "not tried"),
    ];
    for (count, what) in others.into_iter().filter(|&(count, _)| count > 0) {
        text += &format!("\n  {count} {what}");
    }
    text += &folders(&report.folders);
    for note in &report.notes {
        text += &format!("\n  {note}");
    }
    text
}
