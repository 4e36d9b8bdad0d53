//! One copy by several processes: `--job`, and the commands that look at such a job.

pub(super) mod list;
mod script;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand};
use pcopy::fleet::{self, Ended, Share, State, Status};
use pcopy::size::human;
use pcopy::{JobResult, Options, Progress, Report, Result, SharedJob, Watch};

use super::args::{CopyArgs, OutputArgs, seconds};
use super::exit::Exit;
use super::pages::help_end;
use super::remote::{self, RemoteArgs};
use super::render::usage;
use super::signals::Signals;
use super::terminal::{json_to_stdout, to_stderr, to_stdout};
use super::{config, render, watch};
use script::ScriptArgs;

/// One job of several processes.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Many machines")]
pub struct SharedArgs {
    /// Copy together with every process that runs the same line. DIR, on storage that all of
    /// them see, holds the plan and what is done. The same line again resumes the job
    #[arg(long, value_name = "DIR")]
    pub job: Option<PathBuf>,

    /// Take part K of N first [default: as the scheduler says, otherwise any free part]
    #[arg(long, value_name = "K/N", requires = "job")]
    pub shard: Option<Share>,

    /// For tests: how long a process may stand still before its shard is taken over
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = seconds, hide = true)]
    pub lease: Duration,
}

/// Look at a job of several processes (--job), finish it, or print a script that runs it
#[derive(Args, Debug)]
#[command(after_help = help_end("job"))]
pub struct JobArgs {
    #[command(subcommand)]
    pub command: JobCommand,
}

#[derive(Subcommand, Debug)]
pub enum JobCommand {
    Status(StatusArgs),
    Finish(FinishArgs),
    Script(ScriptArgs),
}

/// Show how far a job is: shards, rate, time left, what each machine did. Only reads
#[derive(Args, Debug)]
#[command(after_help = help_end("status"))]
pub struct StatusArgs {
    /// The folder of the job
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,

    /// Print one JSON document
    #[arg(long)]
    pub json: bool,
}

/// Give the file its name if every shard is there; otherwise exit 75 and list what is missing
#[derive(Args, Debug)]
#[command(after_help = help_end("finish"))]
pub struct FinishArgs {
    /// The folder of the job
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,

    #[command(flatten)]
    pub remote: RemoteArgs,

    #[command(flatten)]
    pub output: OutputArgs,
}

/// Runs one of the commands.
///
/// # Errors
///
/// An error that has not been printed.
pub fn run(args: &JobArgs, signals: &Signals) -> Result<Exit> {
    match &args.command {
        JobCommand::Status(args) => {
            let status = fleet::status(&args.folder)?;
            match args.json {
                true => json_to_stdout(status.to_json()),
                false => to_stdout(&as_text(&status)),
            }
            Ok(Exit::Success)
        }
        JobCommand::Finish(args) => finish(args, signals),
        JobCommand::Script(args) => script::run(args).map(|()| Exit::Success),
    }
}

/// Takes part in a job.
///
/// # Errors
///
/// An error that has not been printed: the job could not even be joined.
pub fn copy(
    args: &CopyArgs,
    source: &Path,
    destination: &Path,
    folder: &Path,
    signals: &Signals,
) -> Result<Exit> {
    check(args, source, destination).map_err(usage)?;
    args.proof.digests.digest_file.as_deref().map_or(Ok(()), render::check_writable)?;
    let share = match args.shared.shard {
        Some(share) => share,
        None => Share::of_launcher(&|name| std::env::var(name).ok())?,
    };
    let job = SharedJob::new(folder, source, destination)
        .options(config::options(args))
        .share(share)
        .lease(args.shared.lease);
    let progress = Progress::new();
    let result = watch::run(&args.output, &progress, signals, |progress, cancel| {
        job.run_watched(Watch::new(progress, cancel))
    });
    let style = render::Style::new(&args.output, false);
    tell(&style, &result, source, destination, args.output.verbose);
    if let Ok(report) = &result
        && let Err(message) =
            render::digests(report, &args.proof.digests, args.output.json, &|| {
                signals.asked_to_stop()
            })
    {
        render::problem(&message);
        return Ok(Exit::Failed);
    }
    Ok(Exit::of(&result))
}

/// Why what an interrupted run left is not for the user to decide.
const GOES_ON: &str = "--job resumes by itself when the same line is run again; to start from the \
                       beginning, name another folder";

/// Refuses what is for one process.
fn check(args: &CopyArgs, source: &Path, destination: &Path) -> Result<(), String> {
    let cannot = [
        (args.dry_run, "--dry-run: without --job, the same line says what would be copied"),
        (!args.consent.also.is_empty(), "--also: --job writes one file"),
        (args.resume.resume || args.resume.restart, GOES_ON),
        (
            args.evidence.log.is_some(),
            "--log: of one process; the folder of the job says who did what",
        ),
        (config::is_standard_stream(source), "--job: standard input comes once, to one process"),
        (config::is_stdout(destination), "--job: several processes write to one file, not to -"),
    ];
    if let Some((_, why)) = cannot.into_iter().find(|(given, _)| *given) {
        return Err(why.to_owned());
    }
    config::check_side_files(args, source, destination)
}

/// Says how it went.
fn tell(
    style: &render::Style,
    result: &JobResult<Report>,
    source: &Path,
    destination: &Path,
    verbose: bool,
) {
    match result {
        Ok(report) => {
            if !report.failed.is_empty() {
                style.unread(report);
            }
            style.done(report, &summary(report, verbose));
        }
        Err(error) => {
            style.failed(error, source, destination);
            if let Some(report) = error.report() {
                style.note("the same line again resumes it");
                let is_of_service = |note: &&String| note.starts_with("the service ");
                report.notes.iter().filter(is_of_service).for_each(|note| style.note(note));
            }
        }
    }
}

fn summary(report: &Report, verbose: bool) -> String {
    let bytes = &report.bytes;
    let (source, destination) =
        (pcopy::error::quoted(&report.source.path), pcopy::error::quoted(&report.destination.path));
    let mut text = format!(
        "{destination} is complete: {} (bytes {}) of {source}\n  copied {} by this process in {:.2} s, {} by others or earlier",
        human(report.range.len()),
        report.range,
        human(bytes.copied),
        report.seconds.total,
        human(bytes.resumed),
    );
    if report.verified == Some(true) {
        text += "\n  read back and found equal";
    }
    if bytes.holes > 0 {
        text += &format!("\n  {} kept as holes", human(bytes.holes));
    }
    for note in report.notes.iter().filter(|note| verbose || !note.starts_with("shard ")) {
        text += &format!("\n  {note}");
    }
    text
}

fn finish(args: &FinishArgs, signals: &Signals) -> Result<Exit> {
    let mut options = Options::default();
    options.remote = remote::options(&args.remote);
    let progress = Progress::new();
    let result = watch::run(&args.output, &progress, signals, |progress, cancel| {
        fleet::finish(&args.folder, &options, fleet::LEASE, Watch::new(progress, cancel))
    });
    let style = render::Style::new(&args.output, false);
    let result = match result {
        Ok(Ended::Missing(missing)) => return Ok(incomplete(args, &missing)),
        Ok(Ended::Finished(report)) => Ok(*report),
        Ok(Ended::FinishedList(report)) => {
            let exit = list::exit_of(&report);
            list::tell(&Ok(*report), &args.output);
            return Ok(exit);
        }
        Err(error) => Err(error),
    };
    tell(&style, &result, Path::new(""), &args.folder, args.output.verbose);
    Ok(Exit::of(&result))
}

/// Some shards are not there.
fn incomplete(args: &FinishArgs, missing: &[u32]) -> Exit {
    let list = fleet::as_list(missing);
    let count = missing.len();
    to_stderr(&format!(
        "pcopy: {count} shards are missing: {list}\npcopy: a process that runs the line of the \
         job copies them; for an array of Slurm: --array={list}"
    ));
    if args.output.json {
        json_to_stdout(
            fleet::status(&args.folder)
                .map_or_else(|_| "null".to_owned(), |status| status.to_json()),
        );
    }
    Exit::Incomplete
}

/// The status for people.
fn as_text(status: &Status) -> String {
    let quoted = |path: &Path| pcopy::error::quoted(path).to_string();
    let state = match status.state {
        State::Copying => "copying",
        State::Finishing if status.items.is_some() => {
            "every shard is there, and the job has not been finished yet"
        }
        State::Finishing => "every shard is there, and the file has not got its name yet",
        State::Finished => "finished",
        _ => "unknown",
    };
    let percent = match status.bytes {
        0 => 100.0,
        len => status.bytes_done as f64 * 100.0 / len as f64,
    };
    let mut lines = vec![
        format!(
            "{} -> {}: {state}",
            list::source(status.source.as_deref(), status.items),
            quoted(&status.destination)
        ),
        format!(
            "  {} of {} shards, {} of {} ({percent:.1} %)",
            status.shards_done,
            status.shards,
            human(status.bytes_done),
            human(status.bytes)
        ),
    ];
    if status.bytes_failed > 0 {
        lines.push(format!("  {} could not be read", human(status.bytes_failed)));
    }
    if let Some(rate) = status.bytes_per_second {
        let left = match (status.state, status.seconds_left) {
            (State::Copying, Some(left)) => format!(", {left:.0} s left at that rate"),
            _ => String::new(),
        };
        lines.push(format!("  {}/s so far{left}", human(rate as u64)));
    }
    let begin = status.first_done.unwrap_or_default();
    for host in &status.hosts {
        lines.push(format!(
            "  {}: {} shards, {}; first done after {:.1} s, last after {:.1} s, slowest took {:.1} s",
            pcopy::error::escaped(&host.host),
            host.shards,
            human(host.bytes),
            host.first_done - begin,
            host.last_done - begin,
            host.slowest
        ));
    }
    for claim in &status.claimed {
        let host = pcopy::error::escaped(&claim.host);
        let taken = match claim.generation {
            1 => String::new(),
            more => format!(", taken over {} times", more - 1),
        };
        let state = if claim.released { "given back by" } else { "claimed by" };
        let (shard, bytes) = (claim.shard, human(claim.bytes));
        lines.push(format!(
            "  shard {shard} {state} process {} of {host}, {bytes}{taken}",
            claim.pid
        ));
    }
    if !status.missing.is_empty() {
        lines.push(format!("  missing: {}", status.missing));
    }
    lines.join("\n")
}
