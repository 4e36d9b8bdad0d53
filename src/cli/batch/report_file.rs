//! The report of a batch as a file, a line an item.

use std::fs::{File, OpenOptions, rename};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use pcopy::batch::ItemReport;
use pcopy::error::escaped_json;

/// A report being written. What stood in the file stays until the first item
/// has ended: a batch that is refused must not cost the report that a retry is
/// made from. Where the report is that very list, it stays until the batch ends:
/// what was not tried stands nowhere else.
pub struct ReportFile {
    path: PathBuf,
    /// What is written, where that takes the place of `path` in the end.
    beside: Option<PathBuf>,
    made: bool,
    state: Mutex<State>,
}

struct State {
    file: File,
    begun: bool,
    error: Option<io::Error>,
}

impl ReportFile {
    /// Opens the file, and makes it if it is not there.
    pub fn open(path: &Path) -> io::Result<ReportFile> {
        let made = path.symlink_metadata().is_err();
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
        let state = State { file, begun: false, error: None };
        Ok(ReportFile { path: path.to_owned(), beside: None, made, state: Mutex::new(state) })
    }

    /// Opens one that takes the place of the list at `path` in the end.
    pub fn in_place_of_the_list(path: &Path) -> io::Result<ReportFile> {
        // The file itself, not a link to it.
        let path = path.canonicalize()?;
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".pcopy-part");
        let beside = path.with_file_name(name);
        // One that a killed run left says nothing that the list does not.
        let mut report = ReportFile::open(&beside)?;
        // Whoever may not read the list may not read what it becomes.
        std::fs::set_permissions(&beside, path.metadata()?.permissions())?;
        (report.path, report.beside, report.made) = (path, Some(beside), true);
        Ok(report)
    }

    /// Adds a line. It reaches the file at once: a report cut short must say
    /// what is done.
    pub fn write(&self, item: &ItemReport<'_>) {
        let mut state = self.state.lock().unwrap_or_else(|error| error.into_inner());
        if state.error.is_none() {
            state.error = state.add(item).err();
        }
    }

    /// Ends the report; what kept it from being complete. `ran` tells whether
    /// the batch got as far as having anything to report.
    pub fn close(self, ran: bool) -> Option<io::Error> {
        let mut state = self.state.into_inner().unwrap_or_else(|error| error.into_inner());
        let written = self.beside.as_ref().unwrap_or(&self.path);
        if !state.begun && ran {
            state.error = state.begin().err();
        }
        if !state.begun && self.made {
            // Best effort: an empty file says nothing wrong.
            let _ = std::fs::remove_file(written);
        } else if let (Some(beside), None) = (&self.beside, &state.error) {
            state.error = state.file.sync_all().and_then(|()| rename(beside, &self.path)).err();
        }
        state.error
    }
}

impl State {
    fn begin(&mut self) -> io::Result<()> {
        self.begun = true;
        // Only a regular file has an earlier content.
        if self.file.metadata()?.is_file() { self.file.set_len(0) } else { Ok(()) }
    }

    fn add(&mut self, item: &ItemReport<'_>) -> io::Result<()> {
        if !self.begun {
            self.begin()?;
        }
        let line = escaped_json(serde_json::to_string(item)?) + "\n";
        self.file.write_all(line.as_bytes())
    }
}
