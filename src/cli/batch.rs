//! `pcopy batch`, and several sources to one directory: many files in one run.

mod compare;
mod files;
mod folders;
mod list;
pub(super) mod listener;
mod onto;
mod picture;
mod report_file;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{ArgGroup, Args};
use pcopy::batch::{Batch, BatchPlanned, BatchReport, FolderReport, ItemReport, TreeReport};
use pcopy::digest;
use pcopy::error::quoted;
use pcopy::safety::roles::{Role, Roles};
use pcopy::size::human;
use pcopy::words::Word;
use pcopy::{Error, ErrorKind, Failure, Outcome, Progress, Result, SharedBatch, Watch};

pub use self::files::{copy_files, verify_files};
pub use self::folders::{copy_folders, verify_folders};
use self::list::ListArgs;
use self::listener::{Listener, Report};
use self::onto::OntoArgs;
use self::picture::Picture;
use super::args::{HowArgs, OutputArgs, seconds};
use super::exit::Exit;
use super::fleet::{self, SharedArgs};
use super::hint::{batch_remedy, resume_command};
use super::remedy::said;
use super::remote::RemoteArgs;
use super::render::{self, check_place, is_of_threads, usage};
use super::signals::Signals;
use super::terminal::json_to_stdout;
use super::{config, watch};

/// Copy many ranges to many files in one run
///
/// MANIFEST is CSV or TSV with a header (name, start, and one of end, last or len), JSON,
/// plain lines of START END NAME, or the output of fiwalk, filefrag -v, ddrescue, bmaptool, mmls,
/// sfdisk, parted -sm, lsblk -bJ or qemu-img map --output=json, or a rawprogram file. With
/// --into-device or --into-file every range goes to its own offset of one destination.
#[derive(Args, Debug)]
#[command(after_help = super::pages::help_end("batch"))]
#[command(group = ArgGroup::new("one_destination").args(["into_device", "into_file"]))]
pub struct BatchArgs {
    /// The list of files; - for standard input
    #[arg(value_name = "MANIFEST", required_unless_present = "retry")]
    pub manifest: Option<PathBuf>,

    /// Source of all items that name none: a file, device or https://SERVER/OBJECT; with
    /// --into-device or --into-file also a pipe, or - for standard input
    #[arg(long, value_name = "SRC")]
    pub source: Option<PathBuf>,

    /// Directory for the files; made if missing
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub into: PathBuf,

    /// Write a line of JSON for each item
    #[arg(long, value_name = "FILE.jsonl")]
    pub report: Option<PathBuf>,

    /// Write a page with a picture of what became of the files, and of what was read of each
    /// source, in one file that any browser shows
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,

    /// Read a report again and copy the items that are not complete
    #[arg(long, value_name = "FILE.jsonl", conflicts_with_all = ["manifest", "format"])]
    pub retry: Option<PathBuf>,

    /// Compare what is there with the sources, reading it past the page cache, and write nothing;
    /// exit 4 if any file differs
    #[arg(long, conflicts_with_all = [
        "force", "resume", "restart", "trust_leftovers", "allow_same_device", "no_sync", "preserve",
        "verify", "repair", "dry_run",
    ])]
    pub compare: bool,

    /// Take ranges of a disk as they are, even if the source is an image in a container format
    #[arg(long)]
    pub ignore_container: bool,

    #[command(flatten)]
    pub common: CommonArgs,

    #[command(flatten)]
    pub list: ListArgs,

    #[command(flatten)]
    pub onto: OntoArgs,
}

/// What a batch shares with a copy of several files.
#[derive(Args, Debug)]
pub struct CommonArgs {
    /// A further directory, or with --into-file and --into-device a further destination, written
    /// from the same read; repeatable
    #[arg(long, value_name = "DIR")]
    pub also: Vec<PathBuf>,

    /// Replace existing files
    #[arg(short, long)]
    pub force: bool,

    /// Resume an interrupted batch: complete files are skipped
    #[arg(long, conflicts_with = "restart")]
    pub resume: bool,

    /// Discard what an interrupted batch left
    #[arg(long)]
    pub restart: bool,

    /// Resume, keep or discard what was left even if another user owns it or could have written it:
    /// that user may then have decided what is in the files
    #[arg(long)]
    pub trust_leftovers: bool,

    /// Complete items even if their source changed, during the batch or since an interrupted one:
    /// they may be mixtures of old and new bytes
    #[arg(long)]
    pub allow_changed_source: bool,

    /// Go ahead even if the files land on the device that is being read
    #[arg(long)]
    pub allow_same_device: bool,

    /// Go ahead even if there seems to be less room than the files take
    #[arg(long)]
    pub ignore_space: bool,

    /// Do not wait for the disk
    #[arg(long)]
    pub no_sync: bool,

    /// Carry over owner, extended attributes, mode and times; every item must be a whole file that
    /// is copied to a file of its own
    #[arg(short, long)]
    pub preserve: bool,

    /// Read every file back past the page cache before it gets its name, and compare
    #[arg(long, conflicts_with = "no_sync")]
    pub verify: bool,

    /// Copy what differs once more and verify it again
    #[arg(long, requires = "verify")]
    pub repair: bool,

    /// Compute a digest of every item, for the report; repeatable
    #[arg(long, value_name = "ALG", value_parser = super::args::words::<digest::Algorithm>())]
    pub digest: Vec<pcopy::digest::Algorithm>,

    /// Read a file that was split as one, if SRC is the first piece: NAME.001, NAME.aa
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    #[arg(value_parser = super::args::words::<pcopy::Join>())]
    pub join: pcopy::Join,

    /// Items worked on at once, the same as --threads
    #[arg(long, value_name = "N", conflicts_with = "threads")]
    pub jobs: Option<usize>,

    /// Seconds between checkpoints
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds, hide = true)]
    pub checkpoint_every: Duration,

    /// Check everything, print the plan, write nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,

    #[command(flatten)]
    pub how: HowArgs,

    #[command(flatten)]
    pub shared: SharedArgs,

    #[command(flatten)]
    pub remote: RemoteArgs,

    #[command(flatten)]
    pub output: OutputArgs,
}

/// `pcopy batch`.
///
/// # Errors
///
/// An error that has not been printed: the batch could not even be begun.
pub fn run(args: &BatchArgs, signals: &Signals) -> Result<Exit> {
    check_source(args).map_err(usage)?;
    check_report(args).map_err(usage)?;
    args.report.as_deref().map_or(Ok(()), check_place)?;
    let (manifest, unread) = list::read(args, signals)?;
    for note in &manifest.notes {
        if !args.common.output.quiet {
            render::say(&args.common.output, "message", &format!("pcopy: {note}"));
        }
    }
    if args.common.shared.job.is_some() {
        fleet::list::check_list(args).map_err(usage)?;
    }
    if let Some(destination) = args.onto.destination() {
        return onto::run(args, destination, manifest, unread, signals);
    }
    let batch = Batch::new(manifest.items, &args.into).unread(unread);
    let batch = args.common.also.iter().fold(batch, Batch::also);
    let batch = match &args.source {
        Some(source) => batch.source(source),
        None => batch,
    };
    let batch = beside(args).into_iter().fold(batch, |batch, (role, what, path)| {
        // The source of the batch is one of its sources.
        if what == SOURCE { batch } else { batch.beside(role, what, path) }
    });
    let give_up = || signals.asked_to_stop();
    let report = args.report.as_deref().map(|path| Report {
        path,
        is_the_list: is_the_list(args, path),
        give_up: &give_up,
    });
    let picture = Picture::of(args)?;
    let heard = |item: &ItemReport<'_>| picture.hear(item);
    let listener = Listener::new(report, &heard);
    let exit = if args.compare {
        let batch = batch.options(config::batch(&args.common).map_err(usage)?);
        compare::compare(&batch, &args.common.output, listener, signals)?
    } else {
        copy(batch, &args.common, listener, signals)?
    };
    Ok(picture.write(exit, &give_up))
}

/// What a message calls the source of all items.
const SOURCE: &str = "the source";

/// Files that are named besides those in the list.
fn beside(args: &BatchArgs) -> Vec<(Role, &'static str, &Path)> {
    let list = args.manifest.as_deref().filter(|list| list.as_os_str() != "-");
    let report = args.report.as_deref();
    // A list that is the report is replaced by it at the end.
    let is_report = report.is_some_and(|report| is_the_list(args, report));
    let retry = args.retry.as_deref().filter(|_| !is_report);
    [
        (
            Role::Read,
            SOURCE,
            args.source.as_deref().filter(|path| !config::is_standard_stream(path)),
        ),
        (Role::Read, "the list", list.or(retry)),
        (Role::Side, "--report", report),
        (Role::Side, "--html", args.html.as_deref()),
    ]
    .into_iter()
    .filter_map(|(role, what, path)| Some((role, what, path?)))
    .collect()
}

pub fn is_the_list(args: &BatchArgs, report: &Path) -> bool {
    args.retry.as_deref().is_some_and(|list| config::is_same(report, list))
}

/// Refuses standard input as a source where it is the list, or can be no source.
fn check_source(args: &BatchArgs) -> Result<(), String> {
    let is_stdin = |path: &Option<PathBuf>| path.as_deref().is_some_and(config::is_standard_stream);
    match (is_stdin(&args.source), args.onto.destination()) {
        (true, _) if is_stdin(&args.manifest) => {
            Err("--source: - is the list already: standard input holds one of them".to_owned())
        }
        (true, None) => {
            Err("--source: - is read once, in order, and files are written in any: name a \
                             file or device, or write to one by --into-file or --into-device"
                .to_owned())
        }
        _ => Ok(()),
    }
}

/// Refuses a report or a page where the source or the list is, before the list is read.
fn check_report(args: &BatchArgs) -> Result<(), String> {
    let files = [("--report", &args.report), ("--html", &args.html)];
    let mut named = files.iter().filter_map(|(option, file)| Some((option, file.as_deref()?)));
    named.try_for_each(|(option, file)| config::check_is_file(option, file))?;
    if files.iter().all(|(_, file)| file.is_none()) {
        return Ok(());
    }
    let mut roles = Roles::default();
    let mut all = beside(args).into_iter();
    all.try_for_each(|(role, what, path)| roles.add(role, what, path)).map_err(|c| c.to_string())
}

/// Copies, with `listener` hearing of every item.
fn copy(
    batch: Batch,
    args: &CommonArgs,
    mut listener: Listener<'_>,
    signals: &Signals,
) -> Result<Exit> {
    let batch = batch.options(config::batch(args).map_err(usage)?);
    if let Some(folder) = &args.shared.job {
        return fleet::list::copy(SharedBatch::new(folder, batch), args, listener, signals);
    }
    let progress = Progress::new();
    if args.dry_run {
        return Ok(match batch.dry_run(&progress) {
            Ok(plan) => planned(&plan, args),
            Err(error) => failed(&error.into(), args),
        });
    }
    listener.open()?;
    let result = watch::run(&args.output, &progress, signals, |progress, cancel| {
        batch.run_watched(Watch::new(progress, cancel), &|item| listener.hear(item))
    });
    let is_reported = listener.close(result.is_ok(), &args.output);
    let report = match result {
        Ok(report) => report,
        Err(error) => return Ok(failed(&error, args)),
    };
    finished(&report, args);
    if is_reported {
        advise_again(&report, args);
    }
    Ok(match report.outcome {
        _ if !is_reported => Exit::Failed,
        Outcome::Complete => Exit::Success,
        _ => Exit::Partial,
    })
}

/// Tells an error of a batch.
fn say(error: &Error, output: &OutputArgs) {
    render::say(output, "error", &format!("pcopy: {}", said(error)));
    for way in error.kind().remedies().into_iter().filter_map(batch_remedy) {
        render::say(output, "message", &format!("pcopy: {way}"));
    }
}

fn planned(plan: &BatchPlanned, args: &CommonArgs) -> Exit {
    let OutputArgs { json, verbose, quiet, .. } = args.output;
    if json {
        json_to_stdout(BatchReport::from(plan).to_json());
    }
    if !quiet && (!json || verbose) {
        render::say(&args.output, "message", &plan.to_string());
    }
    Exit::Success
}

fn finished(report: &BatchReport, args: &CommonArgs) {
    if args.output.json {
        json_to_stdout(report.to_json());
    }
    if args.output.quiet || (args.output.json && !args.output.verbose) {
        return;
    }
    render::say(&args.output, "message", &summary(report, args.output.verbose));
    if args.output.verbose {
        render::say(&args.output, "message", &ways(report));
    }
}

/// How to try once more what could not be read or written. What is not as
/// expected would be so again.
fn advise_again(report: &BatchReport, args: &CommonArgs) {
    if report.items.partial + report.items.failed > 0 {
        let command = resume_command(args.how.engine.word());
        render::say(&args.output, "message", &format!("pcopy: to try them again: {command}"));
    }
}

/// Which engines moved large files, and where one could not.
fn ways(report: &BatchReport) -> String {
    let engines = report.engines.iter();
    let mut text: Vec<String> =
        engines.map(|(engine, count)| format!("  {engine}: {count} large pieces")).collect();
    for fallback in &report.fallbacks {
        let (from, to, reason) = (&fallback.from, &fallback.to, &fallback.reason);
        text.push(format!("  {from} gave way to {to}: {reason}"));
    }
    text.push(format!("  threads: {}", report.threads));
    text.join("\n")
}

fn summary(report: &BatchReport, verbose: bool) -> String {
    let items = &report.items;
    let to = match report.folders.len() {
        0 => String::new(),
        several => format!(" to each of {several} folders"),
    };
    let mut text = format!(
        "copied {} of {} files{to}, {} in {:.2} s, {}/s",
        items.complete,
        items.total,
        human(report.bytes),
        report.seconds.total,
        human(report.bytes_per_second as u64),
    );
    if report.resumed > 0 {
        text += &format!("\n  {} were there from an earlier run", human(report.resumed));
    }
    text += &details(report, verbose);
    text
}

/// What a summary says besides how much was copied.
pub(super) fn details(report: &BatchReport, verbose: bool) -> String {
    let items = &report.items;
    let mut text = String::new();
    let others = [
        (items.skipped, "there already"),
        (items.partial, "with unreadable parts"),
        (items.mismatch, "not as expected"),
        (items.failed, "failed"),
        (items.not_tried, "not tried"),
    ];
    for (count, what) in others.into_iter().filter(|&(count, _)| count > 0) {
        text += &format!("\n  {count} {what}");
    }
    text += &folders(&report.folders);
    text += &report.tree.as_ref().map(in_tree).unwrap_or_default();
    if report.holes > 0 {
        text += &format!("\n  {} kept as holes", human(report.holes));
    }
    if !report.durable {
        text += "\n  not synced";
    }
    for note in report.notes.iter().filter(|note| verbose || !is_of_threads(note)) {
        text += &format!("\n  {note}");
    }
    if let Some(slow) = report.slowest.first().filter(|slow| slow.seconds >= 1.0) {
        text += &format!("\n  slowest: {} ({:.1} s)", quoted(&slow.name), slow.seconds);
    }
    text
}

/// Which of several folders do not have everything.
pub(super) fn folders(folders: &[FolderReport]) -> String {
    let line = |folder: &FolderReport| {
        let good = folder.items.complete + folder.items.skipped;
        let why = folder.error.as_ref().map(|why| format!("; left out: {why}"));
        let (path, total) = (quoted(&folder.path), folder.items.total);
        format!("\n  {path} has {good} of {total} files{}", why.unwrap_or_default())
    };
    folders.iter().filter(|folder| !folder.items.all_good()).map(line).collect()
}

/// What there is besides files.
fn in_tree(report: &TreeReport) -> String {
    let all = [
        (report.folders, "folder", "folders"),
        (report.links, "symbolic link", "symbolic links"),
        (report.hard_links, "hard link", "hard links"),
    ];
    let some = all.into_iter().filter(|&(count, ..)| count > 0);
    let said: Vec<String> = some
        .map(|(count, one, many)| format!("{count} {}", if count == 1 { one } else { many }))
        .collect();
    if said.is_empty() { String::new() } else { format!("\n  {}", said.join(", ")) }
}

fn failed(error: &Failure<BatchReport>, args: &CommonArgs) -> Exit {
    let report = error.report();
    if args.output.json {
        let mut report = report.cloned().unwrap_or_else(|| BatchReport::of_error(error));
        report.dry_run = args.dry_run;
        json_to_stdout(report.to_json());
    }
    if let Some(report) = report.filter(|_| !args.output.quiet) {
        render::say(&args.output, "message", &summary(report, args.output.verbose));
    }
    say(error, &args.output);
    let is_gone = matches!(error.kind(), ErrorKind::SourceGone { .. });
    let is_left = report.is_some_and(|report| !report.items.all_good());
    if is_gone || is_left || error.outcome() == Outcome::Interrupted {
        let command = resume_command(args.how.engine.word());
        render::say(&args.output, "message", &format!("pcopy: to go on from here: {command}"));
    }
    Exit::of_error(error)
}
