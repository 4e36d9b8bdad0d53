//! The report of a batch as a file, a line an item.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use pcopy::batch::ItemReport;

/// A report being written. What stood in the file stays until the first item
/// has ended: a batch that is refused must not cost the report that a retry is
/// made from.
pub struct ReportFile {
    path: PathBuf,
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
        Ok(ReportFile { path: path.to_owned(), made, state: Mutex::new(state) })
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
        if !state.begun && ran {
            return state.begin().err();
        }
        if !state.begun && self.made {
            // Best effort: an empty file says nothing wrong.
            let _ = std::fs::remove_file(&self.path);
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
        let mut line = serde_json::to_vec(item)?;
        line.push(b'\n');
        self.file.write_all(&line)
    }
}
