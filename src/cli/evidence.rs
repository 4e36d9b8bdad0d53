//! `--log`: what is found out around a copy, and the two files that say it.
//!
//! The library makes the log of what it is given. Asking drives, the clock and the
//! command line is done here, and so are the files.

mod files;
mod probe;

pub use files::json_beside;

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use clap::Args;
use pcopy::devices::{self, Device};
use pcopy::endpoint::null::Null;
use pcopy::evidence::{self, Acquisition, Case, Drive, Protection, Reading, Tool, utc};
use pcopy::range::ByteRange;
use pcopy::safety::protection::unprotected;
use pcopy::source::OpenSource;
use pcopy::sys::{self, FileKind, facts_of_path};
use pcopy::{CopyJob, Error, JobResult, Options, Outcome, Progress, Report, Result, Watch};

use super::args::CopyArgs;
use super::config;
use super::exit::Exit;
use super::hint::shown_command;
use super::signals::Signals;
use super::{render, typed, watch};
use files::Files;

/// What is written down about an acquisition.
#[derive(Args, Debug)]
#[command(next_help_heading = "Evidence")]
pub struct EvidenceArgs {
    /// Write an acquisition log: FILE for people and FILE.json for programs. An existing file is
    /// never replaced; with --resume, the new log includes that of the interrupted run
    #[arg(long, value_name = "FILE")]
    pub log: Option<PathBuf>,

    /// Case number, for the log
    #[arg(long, value_name = "NUMBER", requires = "log")]
    pub case: Option<String>,

    /// Evidence number, for the log
    #[arg(long, value_name = "NUMBER", requires = "log")]
    pub evidence: Option<String>,

    /// Name of the person who makes the copy, for the log
    #[arg(long, value_name = "NAME", requires = "log")]
    pub operator: Option<String>,

    /// Anything else, for the log; repeatable
    #[arg(long, value_name = "TEXT", requires = "log")]
    pub note: Vec<String>,

    /// Read SOURCE once more before and once after the copy, and log the digests of --digest each
    /// time; exit 4 if they differ
    #[arg(long, requires = "log", requires = "digest")]
    pub source_digests: bool,
}

/// A log that will be written when the copy is over.
pub struct Log<'a> {
    args: &'a CopyArgs,
    source: &'a Path,
    files: Files,
    begun: SystemTime,
    drive: Option<Drive>,
    protection: Protection,
    written: Vec<Option<Device>>,
    before: Option<Reading>,
    after: Option<Reading>,
}

impl<'a> Log<'a> {
    /// Looks at both ends, if a log was asked for, and at its files.
    ///
    /// # Errors
    ///
    /// A [`Refusal`](pcopy::Refusal) if they cannot be written, or would replace something.
    pub fn begin(
        args: &'a CopyArgs,
        source: &'a Path,
        destination: &Path,
    ) -> Result<Option<Log<'a>>> {
        let Some(path) = &args.evidence.log else { return Ok(None) };
        let begun = SystemTime::now();
        let files = Files::look(path, args.resume.resume, args.dry_run)?;
        files.check_is_apart(source, args.consent.allow_same_device)?;
        let also = args.consent.also.iter().map(PathBuf::as_path);
        let all = std::iter::once(destination).chain(also);
        Ok(Some(Log {
            args,
            source,
            files,
            begun,
            // A drive is not asked where nothing will be written down.
            drive: if args.dry_run { None } else { drive(source) },
            protection: protection(args, source),
            written: all.map(devices::at).collect(),
            before: None,
            after: None,
        }))
    }

    /// Reads the source for its digests, if that was asked for.
    ///
    /// # Errors
    ///
    /// If it cannot be read at all, or was interrupted.
    pub fn read_before(&mut self, signals: &Signals) -> Result<()> {
        if self.args.evidence.source_digests {
            self.before = Some(self.read(signals)?);
        }
        Ok(())
    }

    /// Reads the source once more, if that was asked for and the copy has come to its end.
    pub fn read_after(&mut self, result: &JobResult<Report>, signals: &Signals) {
        let is_over =
            |report: &Report| matches!(report.outcome, Outcome::Complete | Outcome::Partial);
        if !self.args.evidence.source_digests || !result.as_ref().is_ok_and(is_over) {
            return;
        }
        let begun = utc(SystemTime::now());
        let read = self.read(signals);
        self.after = Some(read.unwrap_or_else(|error| Reading {
            begun,
            ended: utc(SystemTime::now()),
            digests: Vec::new(),
            unreadable: 0,
            error: Some(error.chain()),
        }));
    }

    /// The digests of the source, which is not read from memory.
    fn read(&self, signals: &Signals) -> Result<Reading> {
        let begun = utc(SystemTime::now());
        if let Some(open) = open(self.args, self.source) {
            for file in open.files() {
                sys::drop_cached(file.file.as_file(), ByteRange::to(u64::MAX));
            }
        }
        let job = CopyJob::to_destination(self.source, Null::default());
        let job = job.options(reading(config::options(self.args)));
        let progress = Progress::new();
        let report = watch::run(&self.args.output, &progress, signals, |progress, cancel| {
            job.run_watched(Watch::new(progress, cancel))
        })?;
        Ok(Reading {
            begun,
            ended: utc(SystemTime::now()),
            unreadable: report.bytes.failed,
            digests: report.digests,
            error: None,
        })
    }

    /// Writes the log of a copy that ended in `result`, which would end the process
    /// with `exit`; how it ends now. A copy that was refused has nothing to log.
    pub fn end(self, result: &JobResult<Report>, exit: Exit, signals: &Signals) -> Exit {
        let report = match result {
            Ok(report) => report.clone(),
            Err(error) if matches!(exit, Exit::Refused | Exit::Usage) => {
                let why = format!("nothing was copied, and no log is written: {}", error.word());
                self.say(&why);
                return exit;
            }
            Err(error) => match error.report() {
                Some(report) => report.clone(),
                None => Report::of_error(error, self.source, Path::new("")),
            },
        };
        let readings = [&self.before, &self.after];
        let failed = self.after.as_ref().is_some_and(|reading| reading.error.is_some());
        let is_the_same = evidence::is_the_same(&report, readings);
        let verdict = evidence::verdict(&report, readings);
        let evidence = &self.args.evidence;
        let acquired = Acquisition {
            schema: evidence::SCHEMA,
            case: Case {
                number: evidence.case.clone(),
                evidence: evidence.evidence.clone(),
                operator: evidence.operator.clone(),
                notes: evidence.note.clone(),
            },
            begun: utc(self.begun),
            ended: utc(SystemTime::now()),
            tool: Tool::this(),
            command: shown_command(typed::words()),
            folder: std::env::current_dir().ok().map(|path| path.to_string_lossy().into_owned()),
            drive: self.drive.clone(),
            protection: self.protection.clone(),
            written: self.written.clone(),
            fill: evidence::fill(&report),
            source_before: self.before.clone(),
            source_after: self.after.clone(),
            verdict,
            report: &report,
            earlier: self.files.earlier(),
        };
        if let Err(message) = self.files.write(&acquired, &|| signals.asked_to_stop()) {
            render::problem(&message);
            return if exit == Exit::Interrupted { exit } else { Exit::Failed };
        }
        if !is_the_same {
            render::problem("the source gave other bytes when it was read again; see the log");
            return Exit::Mismatch;
        }
        if failed {
            render::problem("the source could not be read again after the copy; see the log");
            return Exit::Failed;
        }
        exit
    }

    fn say(&self, text: &str) {
        if self.args.output.verbose {
            render::Style::new(&self.args.output, self.args.dry_run).note(text);
        }
    }
}

/// The options of a copy that only reads.
fn reading(options: Options) -> Options {
    let mut only = Options::default();
    only.range = options.range;
    only.join = options.join;
    only.clamp = options.clamp;
    only.threads = options.threads;
    only.stripe_size = options.stripe_size;
    only.io_size = options.io_size;
    only.on_read_error = options.on_read_error;
    only.retries = options.retries;
    only.limit_rate = options.limit_rate;
    only.remote = options.remote;
    only.digests = options.digests;
    only.allow_changed_source = options.allow_changed_source;
    only.require_read_only = options.require_read_only;
    only
}

/// The source, if it is a file or a device; what else it is may be read only once.
fn open(args: &CopyArgs, source: &Path) -> Option<OpenSource> {
    let facts = facts_of_path(source).ok()??;
    let is_one = matches!(facts.node, FileKind::File | FileKind::BlockDevice);
    is_one.then(|| OpenSource::open_joined(source, args.what.join).ok()).flatten()
}

fn protection(args: &CopyArgs, source: &Path) -> Protection {
    let open = open(args, source);
    Protection::of(unprotected(open.as_ref()), args.how.require_read_only)
}

/// What is known of the drive at `source`, if it is a block device.
fn drive(source: &Path) -> Option<Drive> {
    let device = devices::at(source)?;
    let disk = device.part_of.as_deref().and_then(devices::at);
    let asked = disk.as_ref().unwrap_or(&device).path.clone();
    Some(Drive { smart: probe::smart(&asked), hidden: probe::hidden(&asked), device, disk })
}

/// What must not be asked with a log.
///
/// # Errors
///
/// A message for the user.
pub fn check(args: &CopyArgs, source: &Path) -> std::result::Result<(), String> {
    if args.evidence.source_digests && config::is_standard_stream(source) {
        return Err("--source-digests: standard input can be read only once".to_owned());
    }
    Ok(())
}

/// That a file of a log cannot be written.
pub(super) fn cannot_write(path: &Path, why: &str) -> Error {
    let source = std::io::Error::new(std::io::ErrorKind::AlreadyExists, why.to_owned());
    pcopy::Refusal::CannotWrite { path: path.to_owned(), source }.into()
}
