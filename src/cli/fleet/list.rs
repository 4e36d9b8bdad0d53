//! Many files by several processes: a list, several files or folders with `--job`.

use pcopy::batch::BatchReport;
use pcopy::error::quoted;
use pcopy::fleet::Share;
use pcopy::size::human;
use pcopy::{Error, Failure, JobResult, Outcome, Progress, Result, SharedBatch, Watch};

use crate::cli::args::OutputArgs;
use crate::cli::batch::listener::Listener;
use crate::cli::batch::{BatchArgs, CommonArgs, details, is_the_list};
use crate::cli::config;
use crate::cli::exit::Exit;
use crate::cli::remedy::said;
use crate::cli::render::usage;
use crate::cli::signals::Signals;
use crate::cli::terminal::{json_to_stdout, to_stderr};
use crate::cli::watch;

/// Takes part in `job`, with `listener` hearing of every item when it is over.
///
/// # Errors
///
/// An error that has not been printed: the job could not even be joined.
pub fn copy(
    job: SharedBatch,
    args: &CommonArgs,
    mut listener: Listener<'_>,
    signals: &Signals,
) -> Result<Exit> {
    check(args).map_err(usage)?;
    let share = match args.shared.shard {
        Some(share) => share,
        None => Share::of_launcher(&|name| std::env::var(name).ok())?,
    };
    let job = job.share(share).lease(args.shared.lease);
    listener.gather();
    let progress = Progress::new();
    let result = watch::run(&args.output, &progress, signals, |progress, cancel| {
        job.run_watched(Watch::new(progress, cancel), &|item| listener.hear(item))
    });
    let is_reported = listener.close(result.is_ok(), &args.output);
    tell(&result, &args.output);
    Ok(match &result {
        Err(error) => Exit::of_error(error),
        Ok(_) if !is_reported => Exit::Failed,
        Ok(report) => exit_of(report),
    })
}

/// The exit code of a job that is over.
pub fn exit_of(report: &BatchReport) -> Exit {
    match report.outcome {
        Outcome::Complete => Exit::Success,
        _ => Exit::Partial,
    }
}

/// Refuses what several processes cannot do with a list.
pub fn check_list(args: &BatchArgs) -> Result<(), &'static str> {
    let is_the_list = args.report.as_deref().is_some_and(|report| is_the_list(args, report));
    let is_stdin =
        args.retry.is_none() && args.manifest.as_deref().is_some_and(config::is_standard_stream);
    let cannot = [
        (
            args.onto.destination().is_some(),
            "--into-file and --into-device: --job writes files of their own",
        ),
        (args.compare, "--compare: --job copies; without it, the same line compares"),
        (is_the_list, "--report: with --job, every process reads the list again"),
        (
            args.html.is_some(),
            "--html: of one process; pcopy map makes the page of a report when the job is done",
        ),
        (is_stdin, "--job: standard input comes once, to one process"),
    ];
    cannot.into_iter().find(|(given, _)| *given).map_or(Ok(()), |(_, why)| Err(why))
}

/// Refuses what is for one process.
fn check(args: &CommonArgs) -> Result<(), &'static str> {
    let cannot = [
        (args.dry_run, "--dry-run: without --job, the same line says what would be copied"),
        (!args.also.is_empty(), "--also: --job writes to one folder"),
        (args.resume || args.restart, super::GOES_ON),
    ];
    cannot.into_iter().find(|(given, _)| *given).map_or(Ok(()), |(_, why)| Err(why))
}

/// Says how it went.
pub fn tell(result: &JobResult<BatchReport>, output: &OutputArgs) {
    match result {
        Ok(report) => {
            if output.json {
                json_to_stdout(report.to_json());
            }
            if !output.quiet && (!output.json || output.verbose) {
                to_stderr(&summary(report, output.verbose));
            }
        }
        Err(error) => failed(error, output),
    }
}

fn failed(error: &Failure<BatchReport>, output: &OutputArgs) {
    if output.json {
        let report = error.report().cloned().unwrap_or_else(|| BatchReport::of_error(error));
        json_to_stdout(report.to_json());
    }
    let why: &Error = error;
    to_stderr(&format!("pcopy: {}", said(why)));
    if error.report().is_some() {
        to_stderr("pcopy: the same line again resumes the job");
    }
}

fn summary(report: &BatchReport, verbose: bool) -> String {
    let items = &report.items;
    let good = items.complete + items.skipped;
    format!(
        "{good} of {} files are complete\n  copied {} by this process in {:.2} s, {} by others or \
         earlier{}",
        items.total,
        human(report.bytes),
        report.seconds.total,
        human(report.resumed),
        details(report, verbose),
    )
}

/// What a message calls the files of a job.
pub fn files(count: Option<u64>) -> String {
    match count {
        None => String::new(),
        Some(1) => "1 file".to_owned(),
        Some(count) => format!("{count} files"),
    }
}

/// The source of a job, as far as it is one.
pub fn source(path: Option<&std::path::Path>, items: Option<u64>) -> String {
    path.map_or_else(|| files(items), |path| quoted(path).to_string())
}
