//! `pcopy verify`: a destination against its source, later and on its own.

use std::path::Path;

use pcopy::{Failure, JobResult, Progress, Report, Result, Watch};

use super::args::VerifyArgs;
use super::exit::Exit;
use super::render::usage;
use super::signals::Signals;
use super::{batch, config, render, watch};

/// Compares what the arguments name.
///
/// # Errors
///
/// An error that has not been printed: the comparison could not even be begun.
pub fn run(args: &VerifyArgs, signals: &Signals) -> Result<Exit> {
    match &args.paths[..] {
        [sources @ .., directory] if args.folders.recursive => {
            let (options, folders) = (config::verify_several(args).map_err(usage)?, args.folders);
            let (output, sums) = (&args.output, args.digests.digest_file.as_deref());
            batch::verify_folders(sources, directory, folders, options, output, sums, signals)
        }
        [source, destination] => compare(args, source, destination, signals),
        [sources @ .., directory] => {
            let (options, output) = (config::verify_several(args).map_err(usage)?, &args.output);
            let sums = args.digests.digest_file.as_deref();
            batch::verify_files(sources, directory, options, output, sums, signals)
        }
        [] => Err(usage("a destination is missing: pcopy verify SOURCE DEST")),
    }
}

fn compare(
    args: &VerifyArgs,
    source: &Path,
    destination: &Path,
    signals: &Signals,
) -> Result<Exit> {
    let job = config::verify(args, source, destination).map_err(usage)?;
    args.digests.digest_file.as_deref().map_or(Ok(()), render::check_writable)?;
    pcopy::sys::raise_open_file_limit();
    let progress = Progress::new();
    let result = watch::run(&args.output, &progress, signals, |progress, cancel| {
        job.run_watched(Watch::new(progress, cancel))
    });
    tell(args, &result, source, destination);
    let report = result.as_ref().map_or_else(Failure::report, Some);
    let give_up = || signals.asked_to_stop();
    let digests = report.map_or(Ok(()), |report| {
        render::digests(report, &args.digests, args.output.json, &give_up)
    });
    if let Err(message) = digests {
        render::problem(&message);
        return Ok(Exit::Failed);
    }
    Ok(Exit::of(&result))
}

fn tell(args: &VerifyArgs, result: &JobResult<Report>, source: &Path, destination: &Path) {
    let style = render::Style::of_comparison(&args.output);
    match result {
        Ok(report) if args.output.json => style.finished(report),
        Ok(report) => {
            if !report.failed.is_empty() {
                style.unread(report);
            }
            if !args.output.quiet {
                render::verified(report);
            }
        }
        Err(error) => {
            style.failed(error, source, destination);
            if let Some(report) = error.report().filter(|_| !args.output.json) {
                render::mismatches(report);
            }
        }
    }
}
