//! `--html`: a page of what became of the files of a batch.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use pcopy::Result;
use pcopy::batch::ItemReport;
use pcopy::picture::{Names, html};

use super::BatchArgs;
use crate::cli::exit::Exit;
use crate::cli::map::batch::Gathered;
use crate::cli::render;

/// The picture of a batch that is running, where one was asked for.
pub struct Picture<'a> {
    file: Option<&'a Path>,
    gathered: Mutex<Gathered>,
}

impl<'a> Picture<'a> {
    /// What was asked for. A dry run has nothing to show.
    ///
    /// # Errors
    ///
    /// [`Refusal::CannotWrite`](pcopy::Refusal::CannotWrite).
    pub fn of(args: &'a BatchArgs) -> Result<Picture<'a>> {
        let check = match args.common.dry_run {
            true => render::check_place,
            false => render::check_writable,
        };
        args.html.as_deref().map_or(Ok(()), check)?;
        let file = args.html.as_deref().filter(|_| !args.common.dry_run);
        Ok(Picture { file, gathered: Mutex::default() })
    }

    /// An item has ended.
    pub fn hear(&self, item: &ItemReport<'_>) {
        if self.file.is_some() {
            self.gathered.lock().unwrap_or_else(PoisonError::into_inner).hear(item);
        }
    }

    /// Writes the page of a batch that ends with `exit`; how it ends now. A batch
    /// that was refused has nothing to show.
    pub fn write(self, exit: Exit, give_up: &dyn Fn() -> bool) -> Exit {
        let gathered = self.gathered.into_inner().unwrap_or_else(PoisonError::into_inner);
        let Some(file) = self.file.filter(|_| !matches!(exit, Exit::Refused | Exit::Usage)) else {
            return exit;
        };
        let mut charts = gathered.charts();
        if let Some(files) = charts.first_mut() {
            files.title = "files of the list".to_owned();
        }
        let page = html::titled("Batch", &charts, &Names::default());
        match render::write_file(file, page.as_bytes(), give_up) {
            Ok(()) => exit,
            Err(message) if exit == Exit::Interrupted => {
                render::problem(&message);
                exit
            }
            Err(message) => render::failed(&message),
        }
    }
}
