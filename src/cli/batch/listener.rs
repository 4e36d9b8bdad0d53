//! What becomes of each item as it ends: a line of the report, what a caller
//! makes of it, and a line on standard error at the end if it failed.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use pcopy::batch::{ItemReport, Status};
use pcopy::durable::side::Named;
use pcopy::error::{plain, quoted};
use pcopy::{Refusal, Result};

use super::report_file::{self, ReportFile};
use crate::cli::args::OutputArgs;
use crate::cli::render;

/// Items named in the text; the report file has all.
const LISTED: usize = 20;

/// Hears of every item of a batch.
pub struct Listener<'a> {
    report: Option<Report<'a>>,
    heard: &'a (dyn Fn(&ItemReport<'_>) + Sync),
    /// While the batch runs.
    file: Option<ReportFile>,
    /// Lines of a report that is written at once at the end.
    lines: Option<Mutex<Vec<u8>>>,
    failures: Mutex<Vec<String>>,
}

/// Where a report is to be.
pub struct Report<'a> {
    pub path: &'a Path,
    /// Whether it takes the place of the list.
    pub is_the_list: bool,
    /// Whether to wait no longer for a reader of a pipe.
    pub give_up: &'a (dyn Fn() -> bool + Sync),
}

impl<'a> Listener<'a> {
    /// `heard` hears of every item, from any thread; a line of each goes into
    /// `report`.
    pub fn new(
        report: Option<Report<'a>>,
        heard: &'a (dyn Fn(&ItemReport<'_>) + Sync),
    ) -> Listener<'a> {
        Listener { report, heard, file: None, lines: None, failures: Mutex::default() }
    }

    /// Opens the report, before the first item.
    ///
    /// # Errors
    ///
    /// [`Refusal::CannotWrite`].
    pub fn open(&mut self) -> Result<()> {
        let Some(report) = &self.report else { return Ok(()) };
        let opened = match report.is_the_list {
            true => ReportFile::in_place_of_the_list(report.path),
            false => ReportFile::open(report.path, report.give_up),
        };
        let path = || report.path.to_owned();
        self.file = Some(opened.map_err(|source| Refusal::CannotWrite { path: path(), source })?);
        Ok(())
    }

    /// Gathers the report, which then is written at once: several processes may write
    /// the same one.
    pub fn gather(&mut self) {
        self.lines = self.report.is_some().then(Mutex::default);
    }

    /// An item has ended.
    pub fn hear(&self, item: &ItemReport<'_>) {
        if let Some(lines) = &self.lines {
            let line = report_file::line_of(item).unwrap_or_default();
            lines.lock().unwrap_or_else(PoisonError::into_inner).extend(line.as_bytes());
        }
        if let Some(file) = &self.file {
            file.write(item);
        }
        (self.heard)(item);
        if !item.status.is_good() && item.status != Status::NotTried {
            self.failures.lock().unwrap_or_else(PoisonError::into_inner).push(describe(item));
        }
    }

    /// Lists what failed, and ends the report. `ran` tells whether the batch got
    /// as far as having anything to report. Returns whether the report is complete.
    pub fn close(self, ran: bool, output: &OutputArgs) -> bool {
        list(&self.failures.into_inner().unwrap_or_else(PoisonError::into_inner), output);
        let mut unwritten = self.file.and_then(|file| file.close(ran));
        if let (true, Some(lines), Some(report)) = (ran, self.lines, &self.report) {
            let lines = lines.into_inner().unwrap_or_else(PoisonError::into_inner);
            let named = Named::look(report.path);
            unwritten = named.and_then(|named| named.write(&lines, report.give_up)).err();
        }
        if let Some(error) = &unwritten {
            let text = format!("pcopy: the report is not complete: {}", plain(error));
            render::say(output, "error", &text);
        }
        unwritten.is_none()
    }
}

fn describe(item: &ItemReport<'_>) -> String {
    let name = quoted(&*item.item.name);
    match (&item.error, item.failed.first()) {
        (Some(error), _) => format!("{name}: {error}"),
        (None, Some(part)) => {
            let lost: u64 = item.failed.iter().map(|part| part.end - part.start).sum();
            format!("{name}: {lost} bytes unreadable, the first at {}: {}", part.start, part.error)
        }
        (None, None) => format!("{name}: failed"),
    }
}

fn list(failures: &[String], output: &OutputArgs) {
    for failure in failures.iter().take(LISTED) {
        render::say(output, "message", &format!("pcopy: {failure}"));
    }
    if failures.len() > LISTED {
        let text = format!("pcopy: and {} more", failures.len() - LISTED);
        render::say(output, "message", &text);
    }
}
