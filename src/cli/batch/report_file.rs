//! The report of a batch as a file, a line an item.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Mutex;

use pcopy::batch::ItemReport;
use pcopy::durable::side::{Draft, Named};
use pcopy::error::escaped_json;

/// What every line begins with, and so what a report that a killed run left does.
const BEGINNING: &[u8] = b"{";

/// A report being written. What stood in the file stays until the first item
/// has ended: a batch that is refused must not cost the report that a retry is
/// made from. Where the report is that very list, it stays until the batch ends:
/// what was not tried stands nowhere else.
pub struct ReportFile {
    is_the_list: bool,
    state: Mutex<State>,
}

struct State {
    draft: Draft,
    begun: bool,
    error: Option<io::Error>,
}

impl ReportFile {
    /// Begins one at `path`, where nobody sees it yet. Waits for a reader of a
    /// pipe until `give_up` says so.
    pub fn open(path: &Path, give_up: &dyn Fn() -> bool) -> io::Result<ReportFile> {
        ReportFile::begin(Named::look(path)?.draft(give_up)?, false)
    }

    /// Begins one that takes the place of the list at `path` at the end.
    pub fn in_place_of_the_list(path: &Path) -> io::Result<ReportFile> {
        let draft = Named::look(path)?.draft(&|| true)?;
        if !draft.is_hidden() {
            let reason = "it is the list, and nothing can be made beside it to take its place";
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, reason));
        }
        ReportFile::begin(draft, true)
    }

    fn begin(draft: Draft, is_the_list: bool) -> io::Result<ReportFile> {
        draft.clear_temporaries(BEGINNING);
        let state = State { draft, begun: false, error: None };
        Ok(ReportFile { is_the_list, state: Mutex::new(state) })
    }

    /// Adds a line. It reaches the file at once: a report cut short must say
    /// what is done.
    pub fn write(&self, item: &ItemReport<'_>) {
        let mut state = self.state.lock().unwrap_or_else(|error| error.into_inner());
        if state.error.is_none() {
            state.error = state.add(item, self.is_the_list).err();
        }
    }

    /// Ends the report; what kept it from being complete. `ran` tells whether
    /// the batch got as far as having anything to report.
    pub fn close(self, ran: bool) -> Option<io::Error> {
        let mut state = self.state.into_inner().unwrap_or_else(|error| error.into_inner());
        if !state.begun && ran {
            state.error = state.begin().err();
        }
        if state.error.is_some() || !state.begun {
            // Under its name, it stays with what it has.
            state.draft.discard();
            return state.error;
        }
        let ended = if self.is_the_list { state.draft.sync() } else { Ok(()) };
        ended.and_then(|()| state.draft.publish()).and_then(|()| state.draft.end()).err()
    }
}

/// The line of an item.
pub fn line_of(item: &ItemReport<'_>) -> io::Result<String> {
    Ok(escaped_json(serde_json::to_string(item)?) + "\n")
}

impl State {
    fn begin(&mut self) -> io::Result<()> {
        self.begun = true;
        self.draft.begin()
    }

    fn add(&mut self, item: &ItemReport<'_>, is_the_list: bool) -> io::Result<()> {
        let is_first = !self.begun;
        if is_first {
            self.begin()?;
        }
        let line = line_of(item)?;
        self.draft.write_all(line.as_bytes())?;
        if is_first && !is_the_list { self.draft.publish() } else { Ok(()) }
    }
}
