//! How a job went, for people on standard error or for programs on standard output.

use std::path::Path;

use pcopy::digest;
use pcopy::durable::side::Named;
use pcopy::error::{plain, quoted};
use pcopy::pool::controller;
use pcopy::report::Kind;
use pcopy::size::human;
use pcopy::{Error, ErrorKind, Failure, Outcome, Refusal, Report};
use serde_json::json;

use super::args::{DigestArgs, OutputArgs, ProgressArg};
use super::config::is_stdout;
use super::exit::Exit;
use super::hint::{resume_command, way_on};
use super::remedy::{said, said_of_next_run};
use super::terminal::{event_to_stderr, json_to_stdout, lines_to_stdout, to_stderr, to_stdout};

/// Unreadable ranges listed in the text; the JSON report has all.
const LISTED: usize = 20;

/// How to say it.
pub struct Style {
    json: bool,
    quiet: bool,
    verbose: bool,
    dry_run: bool,
    /// Standard error carries one JSON event a line, to the last.
    events: bool,
    lists_differences: bool,
    /// What could not be read is missing in a copy, and was not compared by a
    /// comparison. For a copy another command may do.
    copies: bool,
}

impl Style {
    pub fn new(output: &OutputArgs, dry_run: bool) -> Style {
        Style {
            json: output.json,
            quiet: output.quiet,
            verbose: output.verbose,
            dry_run,
            events: output.progress == ProgressArg::Json,
            lists_differences: true,
            copies: true,
        }
    }

    /// The same for a comparison, which lists differences on standard output.
    pub fn of_comparison(output: &OutputArgs) -> Style {
        let lists_differences = output.json;
        Style { lists_differences, copies: false, ..Style::new(output, false) }
    }

    /// The same for a patch, which another command would not make.
    pub fn of_patch(output: &OutputArgs, dry_run: bool) -> Style {
        Style { copies: false, ..Style::new(output, dry_run) }
    }

    /// A job that came to its end.
    pub fn finished(&self, report: &Report) {
        if self.json {
            json_to_stdout(report.to_json());
        }
        if report.outcome == Outcome::Partial {
            self.unread(report);
            if report.resumable {
                self.say(
                    "message",
                    &format!("pcopy: to try them again: {}", resume_command(report.engine)),
                );
            }
        }
        if self.quiet || (self.json && !self.verbose) {
            return;
        }
        self.say(
            "message",
            &if self.dry_run { plan(report) } else { summary(report, self.verbose) },
        );
    }

    /// A job that came to its end, of which `text` is to be said.
    pub fn done(&self, report: &Report, text: &str) {
        if self.json {
            json_to_stdout(report.to_json());
        }
        if !self.quiet && (!self.json || self.verbose) {
            self.say("message", text);
        }
    }

    /// A job that did not.
    pub fn failed(&self, error: &Failure<Report>, source: &Path, destination: &Path) {
        if self.json {
            let mut report = match error.report() {
                Some(report) => report.clone(),
                None => Report::of_error(error, source, destination),
            };
            report.dry_run = self.dry_run;
            json_to_stdout(report.to_json());
        }
        self.say("error", &format!("pcopy: {}", said(error)));
        let ways = error.kind().remedies().into_iter().filter(|_| self.copies);
        for way in ways.filter_map(|remedy| way_on(remedy, source, destination)) {
            self.say("message", &format!("pcopy: {way}"));
        }
        let Some(report) = error.report() else { return };
        if !self.quiet && !report.complete.is_empty() {
            let names: Vec<String> =
                report.complete.iter().map(|path| quoted(path).to_string()).collect();
            let are = if names.len() == 1 { "is" } else { "are" };
            self.say("message", &format!("pcopy: {} {are} complete", names.join(", ")));
        }
        if !report.failed.is_empty() {
            self.unread(report);
        }
        if report.mismatches.len() > 1 && self.lists_differences {
            self.say("message", &differing(report));
        }
        for note in report.notes.iter().filter(|note| self.verbose || !is_of_threads(note)) {
            self.say("message", &format!("pcopy: {note}"));
        }
        if let Some(ways) = said_of_next_run(&report.remedies) {
            self.say("message", &format!("pcopy: {ways}"));
        }
        if report.resumable
            && let ErrorKind::DigestMismatch { stated, .. } = error.kind()
        {
            // The same expectation would fail once more.
            let option = if *stated { "--verify" } else { "--expect" };
            let how = format!("to keep it even so, leave {option} out and add --resume");
            self.say("message", &format!("pcopy: {how}"));
        } else if report.resumable {
            self.say(
                "message",
                &format!("pcopy: to go on from here: {}", resume_command(report.engine)),
            );
        }
    }

    /// Something worth knowing before it begins.
    pub fn note(&self, text: &str) {
        self.say("message", &format!("pcopy: {text}"));
    }

    /// What could not be read, and what became of that.
    pub fn unread(&self, report: &Report) {
        let how = match (self.copies, report.in_place) {
            (false, _) => "were not compared".to_owned(),
            (true, true) => {
                format!("were left as they were in {}", quoted(&report.destination.path))
            }
            (true, false) => format!("were left as holes in {}", quoted(&report.destination.path)),
        };
        self.say("message", &not_read(report, &how));
    }

    /// Says `text` on standard error, as an event where events are asked for.
    fn say(&self, event: &str, text: &str) {
        tell(self.events, event, text);
    }
}

/// Says `text` on standard error, as an event where events are asked for.
pub fn say(output: &OutputArgs, event: &str, text: &str) {
    tell(output.progress == ProgressArg::Json, event, text);
}

fn tell(as_event: bool, event: &str, text: &str) {
    if as_event {
        let text = text.strip_prefix("pcopy: ").unwrap_or(text);
        event_to_stderr(&json!({"event": event, "text": text}));
    } else {
        to_stderr(text);
    }
}

/// Writes the digests that were asked for by name, a line each as the usual
/// tools print them: to their file, or to standard output unless that holds
/// the JSON report; to standard error where it holds the copied bytes. Waits
/// for a reader where the file is a pipe, until `give_up` says so.
///
/// # Errors
///
/// A message if the file cannot be written.
pub fn digests(
    report: &Report,
    asked: &DigestArgs,
    json: bool,
    give_up: &dyn Fn() -> bool,
) -> Result<(), String> {
    let lines = digest_lines(report, asked);
    if let Some(file) = &asked.digest_file {
        return write_file(file, &lines, give_up);
    }
    if lines.is_empty() {
        return Ok(());
    }
    if is_stdout(&report.destination.path) {
        to_stderr(String::from_utf8_lossy(&lines).trim_end_matches('\n'));
    } else if !json {
        lines_to_stdout(&lines);
    }
    Ok(())
}

/// A line for each digest. Digests of the whole of a split file, and of pieces of a
/// file, are comments: no file has that name and content.
fn digest_lines(report: &Report, asked: &DigestArgs) -> Vec<u8> {
    let path = &report.destination.path;
    let segments = &report.destination.segments;
    let mut lines: Vec<Vec<u8>> = Vec::new();
    let is_asked = |digest: &&digest::Digest| asked.digest.contains(&digest.algorithm());
    for digest in report.digests.iter().filter(is_asked) {
        lines.push(match segments.is_empty() {
            true => digest::line(digest, path),
            false => digest::comment(digest, path, None),
        });
    }
    let start = report.range.start();
    for (number, piece) in report.pieces.iter().enumerate() {
        // The first so many are those of the files.
        let segment = segments.get(number).filter(|segment| {
            segment.range.start() == piece.range.start().saturating_sub(start)
                && segment.range.len() == piece.range.len()
        });
        for digest in piece.digests.iter().filter(is_asked) {
            lines.push(match segment {
                Some(segment) => digest::line(digest, &segment.path),
                None => digest::comment(digest, path, Some(piece.range)),
            });
        }
    }
    lines.into_iter().flat_map(|line| [&line[..], b"\n"].concat()).collect()
}

/// Whether a file that is wanted at the end can be written, before the time is
/// spent on what goes into it.
///
/// # Errors
///
/// The refusal.
pub fn check_writable(file: &Path) -> Result<(), Error> {
    check_place(file)?;
    let writable = Named::look(file).and_then(|named| named.probe());
    let refused = |source| Refusal::CannotWrite { path: file.to_owned(), source };
    writable.map_err(|error| refused(error).into())
}

/// Writes a file that was wanted at the end.
///
/// # Errors
///
/// A message if it cannot be written.
pub fn write_file(file: &Path, bytes: &[u8], give_up: &dyn Fn() -> bool) -> Result<(), String> {
    let written = Named::look(file).and_then(|named| named.write(bytes, give_up));
    written.map_err(|error| unwritable(file, &error))
}

/// Whether a file may be made there at all.
///
/// # Errors
///
/// The refusal.
pub fn check_place(file: &Path) -> Result<(), Error> {
    if !pcopy::safety::is_new_among_devices(file) {
        return Ok(());
    }
    Err(Refusal::AmongDevices { path: file.to_owned(), exists: false }.into())
}

/// That a file could not be written, and why.
fn unwritable(file: &Path, error: &std::io::Error) -> String {
    format!("cannot write {}: {}", quoted(file), plain(error))
}

/// The ranges that differ, a line each, on standard output: what a comparison is for.
pub fn mismatches(report: &Report) {
    for range in &report.mismatches {
        to_stdout(&range.to_string());
    }
}

/// A comparison that found no difference, in all that could be read.
pub fn verified(report: &Report) {
    let holes = match report.bytes.holes {
        0 => String::new(),
        holes => format!("\n  {} are holes on both sides, and were not read", human(holes)),
    };
    let (source, destination) = (quoted(&report.source.path), quoted(&report.destination.path));
    let equal = match report.failed.is_empty() {
        true => format!("{destination} is equal to {source}"),
        false => format!("{destination} is equal to what could be read of {source}"),
    };
    to_stderr(&format!(
        "{equal}: {} compared (bytes {}) in {:.2} s{}{holes}{}",
        human(report.range.len() - report.bytes.failed),
        report.range,
        report.seconds.verify,
        if report.verified_by == Some("direct") { ", read past the page cache" } else { "" },
        report.notes.iter().map(|note| format!("\n  {note}")).collect::<String>(),
    ));
}

/// A command line that makes no sense.
pub fn usage(message: impl Into<String>) -> Error {
    ErrorKind::usage(message).into()
}

/// A job that did not do what it was for.
pub fn failed(message: &str) -> Exit {
    to_stderr(&format!("pcopy: {message}"));
    Exit::Failed
}

/// A message of the program itself.
pub fn problem(message: &str) {
    to_stderr(&format!("pcopy: {message}"));
}

fn plan(report: &Report) -> String {
    let bytes = &report.bytes;
    let what = match bytes.requested {
        Some(requested) => {
            let left = requested.saturating_sub(bytes.resumed + bytes.holes);
            format!("{} ({left} bytes of {})", human(left), report.range)
        }
        None => format!("all that comes (from byte {})", report.range.start()),
    };
    let mut text = format!(
        "would copy {what} of {} to {} at byte {}\n  \
         engine {} ({}), up to {} threads, stripes of {}, requests of {}\n  holes kept: {}",
        quoted(&report.source.path),
        quoted(&report.destination.path),
        report.dest_offset,
        report.engine,
        report.engine_reason,
        report.threads,
        human(report.stripe_size),
        human(report.io_size),
        human(bytes.holes),
    );
    text += &differs(bytes.written, bytes.equal, "differ and would be written");
    text += &mapped(report);
    for also in &report.also {
        text += &format!("\n  and to {}", quoted(&also.destination.path));
        text += &differs(also.written, also.equal, "differ there and would be written");
    }
    if bytes.resumed > 0 {
        text += &format!("\n  {} were there from an earlier run", human(bytes.resumed));
    }
    for note in report.notes.iter().filter(|note| !is_of_threads(note)) {
        text += &format!("\n  {note}");
    }
    text
}

/// How much of a destination was the same already, where that was looked at.
fn differs(written: Option<u64>, equal: Option<u64>, what: &str) -> String {
    let (Some(written), Some(equal)) = (written, equal) else { return String::new() };
    let bytes = if written == 1 { "byte" } else { "bytes" };
    let (size, same) = (human(written), human(equal));
    format!("\n  {size} ({written} {bytes}) {what}, {same} ({equal}) equal")
}

/// Whether a note tells what the thread controller tried, which few want to know.
pub fn is_of_threads(note: &str) -> bool {
    note.starts_with(controller::SUMMARY)
}

/// What was done, how fast, and whether it is on the disk.
fn done_in(report: &Report) -> String {
    let seconds = &report.seconds;
    let rate = |bytes: u64, seconds: f64| match seconds {
        s if s > 0.0 => human((bytes as f64 / s) as u64),
        _ => human(0),
    };
    let copied = report.bytes.copied;
    let (source, destination) = (quoted(&report.source.path), quoted(&report.destination.path));
    let amount = format!("{} (bytes {})", human(copied), report.range);
    let is_update = report.bytes.written.is_some();
    let (mut text, what) = match is_update {
        true => {
            (format!("brought {destination} up to date with {amount} of {source}"), "comparing")
        }
        false => (format!("copied {amount} of {source} to {destination}"), "copying"),
    };
    text += &differs(report.bytes.written, report.bytes.equal, "differed and were written");
    let speed = rate(copied, seconds.copy);
    text += &format!("\n  {:.2} s {what} at {speed}/s", seconds.copy);
    if report.durable {
        text += &format!(", {:.2} s syncing", seconds.sync);
    }
    match (report.durable, is_update, report.destination.kind) {
        (true, false, _) => {
            let overall = rate(copied, seconds.copy + seconds.sync);
            text + &format!("; {overall}/s on the disk")
        }
        (true, true, _) | (false, _, Kind::Stream) => text,
        (false, ..) => text + "; not synced",
    }
}

fn summary(report: &Report, verbose: bool) -> String {
    let (seconds, mut text) = (&report.seconds, done_in(report));
    text += &mapped(report);
    for also in report.also.iter().filter(|also| also.error.is_none()) {
        text += &format!("\n  and to {}", quoted(&also.destination.path));
        text += &differs(also.written, also.equal, "differed there and were written");
    }
    if report.verified == Some(true) {
        let how = if report.verified_by == Some("direct") { " past the page cache" } else { "" };
        text += &format!("\n  read back{how} in {:.2} s and found equal", seconds.verify);
    }
    if report.bytes.holes > 0 {
        text += &format!("\n  {} kept as holes", human(report.bytes.holes));
    }
    if report.bytes.resumed > 0 {
        text += &format!("\n  {} were there from an earlier run", human(report.bytes.resumed));
    }
    if report.clamped {
        let has = report.source.size.map(|size| format!("; the source has {size} bytes"));
        text += &format!("\n  the range was cut to what exists{}", has.unwrap_or_default());
    }
    for note in report.notes.iter().filter(|note| verbose || !is_of_threads(note)) {
        text += &format!("\n  {note}");
    }
    if verbose {
        text += &format!(
            "\n  engine {} ({}), {} threads, stripes of {}, requests of {}",
            report.engine,
            report.engine_reason,
            report.threads,
            human(report.stripe_size),
            human(report.io_size),
        );
    }
    text
}

/// What of the range was asked for, where that is a choice.
fn mapped(report: &Report) -> String {
    let Some(mapped) = report.mapped else { return String::new() };
    let (what, len) = (human(mapped.bytes), human(report.range.len()));
    let rest = if report.in_place { "is not touched" } else { "is holes" };
    format!("\n  {} with {what} of {len}; the rest {rest}", counted(mapped.ranges))
}

/// Where a source could not be read, and what became of that.
fn not_read(report: &Report, and: &str) -> String {
    let mut text = format!(
        "pcopy: {} bytes in {} could not be read and {and}:",
        report.bytes.failed,
        counted(report.failed.len()),
    );
    for part in report.failed.iter().take(LISTED) {
        text += &format!("\n  {}..{} {}", part.start, part.end, part.error);
    }
    if report.failed.len() > LISTED {
        text += &format!("\n  and {} more", report.failed.len() - LISTED);
    }
    text
}

fn counted(ranges: usize) -> String {
    format!("{ranges} range{}", if ranges == 1 { "" } else { "s" })
}

/// Ranges that differ, as a list that is not too long.
fn differing(report: &Report) -> String {
    let bytes: u64 = report.mismatches.iter().map(|range| range.len()).sum();
    let mut text = format!("pcopy: {bytes} bytes differ in {}:", counted(report.mismatches.len()));
    for range in report.mismatches.iter().take(LISTED) {
        text += &format!("\n  {range}");
    }
    if report.mismatches.len() > LISTED {
        text += &format!("\n  and {} more", report.mismatches.len() - LISTED);
    }
    text
}
