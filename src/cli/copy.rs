//! A plain copy: one source to one destination, which may be standard output.

use std::fs::File;
use std::path::Path;

use pcopy::error::quoted;
use pcopy::sys::{FileKind, facts_of_path};
use pcopy::{JobResult, Progress, Report, Result, Watch};

use super::args::CopyArgs;
use super::evidence::{self, Log};
use super::exit::{self, Exit};
use super::render::usage;
use super::signals::Signals;
use super::{batch, config, fleet, render, typed, watch};

/// Copies what the arguments name.
///
/// # Errors
///
/// An error that has not been printed: the job could not even be begun.
pub fn run(args: &CopyArgs, signals: &Signals) -> Result<Exit> {
    if args.paths.first().is_some_and(|operand| is_for_dd(operand)) {
        return Err(usage(
            "dd's operands are not used here: pcopy [--offset SKIP] [--length COUNT] \
             [--dest-offset SEEK] SOURCE DEST, all in bytes",
        ));
    }
    let typed = typed::words();
    let operand = args.paths.first().filter(|_| !typed.iter().any(|word| word == "--"));
    if let Some(meant) = operand.and_then(|operand| typed::meant(&typed, operand.as_os_str())) {
        return Err(usage(meant));
    }
    match &args.paths[..] {
        [sources @ .., directory] if args.folders.recursive && !sources.is_empty() => {
            let common = config::several(args).map_err(usage)?;
            let sums = args.proof.digests.digest_file.as_deref();
            batch::copy_folders(sources, directory, args.folders, &common, sums, signals)
        }
        [source, destination] => match &args.shared.job {
            Some(folder) => fleet::copy(args, source, destination, folder, signals),
            None => copy(args, source, destination, signals),
        },
        [sources @ .., directory] if sources.len() > 1 => {
            let common = config::several(args).map_err(usage)?;
            let sums = args.proof.digests.digest_file.as_deref();
            batch::copy_files(sources, directory, &common, sums, signals)
        }
        _ => Err(usage("a destination is missing: pcopy SOURCE DEST; see pcopy --help")),
    }
}

/// What dd would take for its `if=`, and no file of such a name is there.
fn is_for_dd(operand: &Path) -> bool {
    let text = operand.as_os_str().as_encoded_bytes();
    let keys: [&[u8]; 6] = [b"if=", b"of=", b"bs=", b"skip=", b"seek=", b"count="];
    keys.iter().any(|key| text.starts_with(key)) && operand.symlink_metadata().is_err()
}

fn copy(args: &CopyArgs, source: &Path, destination: &Path, signals: &Signals) -> Result<Exit> {
    evidence::check(args, source).map_err(usage)?;
    let job = config::job(args, source, destination).map_err(usage)?;
    let stdout = config::is_stdout(destination).then(pcopy::sys::standard_output).transpose();
    let stdout: Option<File> =
        stdout.map_err(|error| usage(format!("cannot use standard output: {error}")))?;
    let check = if args.dry_run { render::check_place } else { render::check_writable };
    args.proof.digests.digest_file.as_deref().map_or(Ok(()), check)?;
    // A file may be split into many, and one may be read from many.
    pcopy::sys::raise_open_file_limit();
    note_container(args, source);
    let mut log = Log::begin(args, source, destination)?.filter(|_| !args.dry_run);
    if let Some(Err(error)) = log.as_mut().map(|log| log.read_before(signals)) {
        return Ok(tell(args, &Err(error.into()), source, destination, signals));
    }
    let progress = Progress::new();
    let result = match &stdout {
        // Reads both sides, which takes as long as a copy.
        None if args.dry_run && args.consent.only_changed => {
            watch::run(&args.output, &progress, signals, |progress, cancel| {
                job.dry_run_watched(Watch::new(progress, cancel))
            })
        }
        None if args.dry_run => job.dry_run(&progress),
        Some(stdout) if args.dry_run => job.dry_run_into(stdout, &progress),
        stdout => watch::run(&args.output, &progress, signals, |progress, cancel| match stdout {
            None => job.run_watched(Watch::new(progress, cancel)),
            Some(stdout) => job.run_into(stdout, Watch::new(progress, cancel)),
        }),
    };
    if let Err(error) = &result
        && stdout.is_some()
        && exit::is_closed_pipe(error)
    {
        // The reader has enough: there is nothing to say.
        signals.die_of_closed_pipe();
        return Ok(Exit::Failed);
    }
    if let Some(log) = &mut log {
        log.read_after(&result, signals);
    }
    let exit = tell(args, &result, source, destination, signals);
    Ok(log.map_or(exit, |log| log.end(&result, exit, signals)))
}

/// Says that a part of an image that is packed is not part of the disk in it.
fn note_container(args: &CopyArgs, source: &Path) {
    let what = &args.what;
    let is_part = what.range.is_some() || what.offset.is_some() || what.length.is_some();
    // To open a pipe would be to read it.
    let is_file =
        || facts_of_path(source).is_ok_and(|it| it.is_some_and(|it| it.node == FileKind::File));
    if !is_part || args.output.quiet || !is_file() {
        return;
    }
    // What cannot be opened is said in a moment.
    let opened = pcopy::source::OpenSource::open_joined(source, what.join).ok();
    if let Some(found) = opened.and_then(|source| source.container()) {
        let text = format!(
            "{} is a container, {}: bytes of the file are copied, not of the disk in it; {}",
            quoted(source),
            found.name,
            found.opened_by
        );
        render::Style::new(&args.output, args.dry_run).note(&text);
    }
}

/// Says how it went, and prints the digests.
fn tell(
    args: &CopyArgs,
    result: &JobResult<Report>,
    source: &Path,
    destination: &Path,
    signals: &Signals,
) -> Exit {
    let style = render::Style::new(&args.output, args.dry_run);
    match result {
        Ok(report) => style.finished(report),
        Err(error) => style.failed(error, source, destination),
    }
    if let Ok(report) = result
        && !args.dry_run
        && let Err(message) =
            render::digests(report, &args.proof.digests, args.output.json, &|| {
                signals.asked_to_stop()
            })
    {
        render::problem(&message);
        return Exit::Failed;
    }
    Exit::of(result)
}
