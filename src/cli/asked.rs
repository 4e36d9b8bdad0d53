//! What was asked for, as far as it must be known to tell an error that ended it
//! before there was anything to report: one JSON document where one was wanted,
//! whatever goes wrong.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use pcopy::batch::BatchReport;
use pcopy::endpoint::bytes;
use pcopy::fleet::Status;
use pcopy::{Error, Report, devices};
use serde_json::json;

use super::args::{Cli, Command, OutputArgs, ProgressArg};
use super::exit::Exit;
use super::fleet::JobCommand;
use super::remedy::said;
use super::terminal::{event_to_stderr, json_to_stdout, to_stderr};
use super::{bench, config};

/// Which document tells of it.
enum Form<'a> {
    /// Of one source and one destination.
    Copy(&'a Path, &'a Path),
    /// Of many files.
    Batch,
    /// Of a measurement of these ends.
    Bench(Option<(&'a Path, &'a Path)>),
    /// Of the devices.
    Devices,
    /// How far a job of several processes is.
    Status,
    /// None: what there is on standard output is for people.
    Text,
}

/// What was asked for.
pub struct Asked<'a> {
    form: Form<'a>,
    json: bool,
    dry_run: bool,
    /// Standard error carries one JSON event a line.
    events: bool,
}

impl<'a> Asked<'a> {
    /// As the arguments say.
    pub fn of(cli: &'a Cli) -> Asked<'a> {
        let dry_run = match &cli.command {
            None => cli.copy.dry_run,
            Some(Command::Patch(args)) => args.dry_run,
            Some(Command::Batch(args)) => args.common.dry_run,
            Some(_) => false,
        };
        let (form, output) = match &cli.command {
            None if cli.copy.folders.recursive => (Form::Batch, &cli.copy.output),
            None => (copy(&cli.copy.paths), &cli.copy.output),
            Some(Command::Verify(args)) if args.folders.recursive => (Form::Batch, &args.output),
            Some(Command::Verify(args)) => (copy(&args.paths), &args.output),
            Some(Command::Patch(args)) => {
                (Form::Copy(Path::new(bytes::NAME), &args.file), &args.output)
            }
            Some(Command::Batch(args)) => {
                let from = args.source.as_deref().or(args.manifest.as_deref());
                // Onto one destination, it is one copy.
                let form = args.onto.destination().map_or(Form::Batch, |destination| {
                    Form::Copy(from.unwrap_or(Path::new("-")), destination)
                });
                (form, &args.common.output)
            }
            Some(Command::Bench(args)) => {
                (Form::Bench(Some((&args.source, &args.destination))), &args.output)
            }
            Some(Command::Job(args)) => match &args.command {
                JobCommand::Status(args) => {
                    return Asked { form: Form::Status, json: args.json, dry_run, events: false };
                }
                JobCommand::Finish(args) => (Form::Copy(Path::new(""), &args.folder), &args.output),
                JobCommand::Script(_) => {
                    return Asked { form: Form::Text, json: false, dry_run, events: false };
                }
            },
            Some(Command::Devices(args)) => {
                return Asked { form: Form::Devices, json: args.json, dry_run, events: false };
            }
            #[cfg(feature = "manual")]
            Some(Command::Completions(_) | Command::Man(_)) => {
                return Asked { form: Form::Text, json: false, dry_run, events: false };
            }
            Some(Command::Schema(_) | Command::Map(_)) => {
                return Asked { form: Form::Text, json: false, dry_run, events: false };
            }
        };
        let OutputArgs { json, progress, .. } = *output;
        let holds_bytes = matches!(form, Form::Copy(_, to) if config::is_stdout(to));
        Asked { form, json: json && !holds_bytes, dry_run, events: progress == ProgressArg::Json }
    }

    /// As far as it shows in words that cannot be understood.
    pub fn of_words(typed: &[OsString]) -> Asked<'static> {
        let words = typed.iter().skip(1).map(OsString::as_os_str);
        let options: Vec<&OsStr> = words.take_while(|word| *word != "--").collect();
        let command = options.iter().find(|word| !word.as_encoded_bytes().starts_with(b"-"));
        let form = match command.and_then(|word| word.to_str()) {
            Some("batch") if !options.iter().any(|option| is_onto(option)) => Form::Batch,
            Some("bench") => Form::Bench(None),
            Some("devices") => Form::Devices,
            Some("job") if options.iter().any(|word| *word == "status") => Form::Status,
            Some("schema" | "completions" | "man" | "map") => Form::Text,
            _ => Form::Copy(Path::new(""), Path::new("")),
        };
        let has = |name: &str| options.iter().any(|word| *word == name);
        let (json, dry_run) = (has("--json"), has("--dry-run") || has("-n"));
        // Where bytes were wanted, somebody may take for bytes whatever comes.
        let wants_bytes = matches!(form, Form::Copy(..))
            && command.is_none_or(|command| *command != "patch")
            && typed.last().is_some_and(|word| word == "-");
        Asked { form, json: json && !wants_bytes, dry_run, events: false }
    }

    /// Tells an error that nobody has told.
    pub fn failed(&self, error: &Error) -> Exit {
        if self.events {
            event_to_stderr(&json!({"event": "error", "text": said(error)}));
        } else {
            to_stderr(&format!("pcopy: {}", said(error)));
        }
        self.document(error);
        Exit::of_error(error)
    }

    /// Prints the document, if one was asked for.
    pub fn document(&self, error: &Error) {
        if !self.json {
            return;
        }
        json_to_stdout(match self.form {
            Form::Copy(source, destination) => {
                let mut report = Report::of_error(error, source, destination);
                report.dry_run = self.dry_run;
                report.to_json()
            }
            Form::Batch => {
                let mut report = BatchReport::of_error(error);
                report.dry_run = self.dry_run;
                report.to_json()
            }
            Form::Bench(ends) => bench::document_of(error, ends).to_string(),
            Form::Devices => devices::to_json_of_error(error),
            Form::Status => Status::to_json_of_error(error),
            Form::Text => return,
        });
    }
}

/// Whether everything is to go onto one destination.
fn is_onto(option: &OsStr) -> bool {
    let bytes = option.as_encoded_bytes();
    let names: [&[u8]; 2] = [b"--into-device", b"--into-file"];
    names.iter().any(|name| {
        bytes.strip_prefix(*name).is_some_and(|rest| rest.is_empty() || rest[0] == b'=')
    })
}

fn copy(paths: &[std::path::PathBuf]) -> Form<'_> {
    match paths {
        [source, destination] => Form::Copy(source, destination),
        [source] => Form::Copy(source, Path::new("")),
        _ => Form::Batch,
    }
}
