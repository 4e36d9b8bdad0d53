//! The lock of an upload: as long as a run writes it, no other one in the same folder
//! aborts it or resumes it beside it.
//!
//! The map cannot carry it, since each save puts a new file in its place. So it is an
//! empty file beside the map, which is there as long as the run.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::durable::map::MapFile;
use crate::durable::part::{self, Found, Ours};
use crate::durable::side;
use crate::error::{MapRefusal, Refusal};
use crate::sys::{Directory, Metadata};

/// What the name of the map is followed by.
const SUFFIX: &str = ".pcopy-lock";

/// Until it is dropped, this run writes the upload of a map.
pub struct Lock {
    directory: Arc<Directory>,
    name: OsString,
    file: File,
    facts: Metadata,
}

impl Lock {
    /// Looks whether another run has the lock of `map`. `upload` is what is written, for
    /// messages.
    ///
    /// # Errors
    ///
    /// [`Refusal::Busy`].
    pub fn check(map: &MapFile, upload: &Path) -> Result<(), Refusal> {
        let path = path_of(map);
        // Where there is no folder, there is no run.
        let Ok(directory) = map.directory() else { return Ok(()) };
        match part::find(&directory, path.file_name().unwrap_or_default()) {
            Ok(Found::Busy) => Err(Refusal::Busy { path: upload.to_owned() }),
            // What else is wrong shows when it is taken.
            _ => Ok(()),
        }
    }

    /// Takes the lock of `map`.
    ///
    /// # Errors
    ///
    /// [`Refusal::Busy`], or what else has the name of the lock.
    pub fn take(map: &MapFile, upload: &Path) -> Result<Lock, Refusal> {
        let path = path_of(map);
        let cannot = |source| MapRefusal::CannotMake { path: map.path(), source };
        let busy = || Refusal::Busy { path: upload.to_owned() };
        let name = path.file_name().unwrap_or_default().to_owned();
        let directory = map.directory().map_err(cannot)?;
        let file = match part::find(&directory, &name).map_err(cannot)? {
            Found::Busy => return Err(busy()),
            // Of a run that was killed.
            Found::Left(file, facts) if facts.size == 0 => file,
            Found::Left(..) | Found::NoFile => return Err(MapRefusal::InTheWay { path }.into()),
            Found::Nothing => match part::create(&directory, &name) {
                Err(error) if is_taken(&error) => return Err(busy()),
                made => made.map_err(cannot)?,
            },
        };
        let facts = crate::sys::facts(&file).map_err(cannot)?;
        Ok(Lock { directory, name, file, facts })
    }
}

/// Best effort: an empty file that stays is taken by the next run.
impl Drop for Lock {
    fn drop(&mut self) {
        self.give_back();
    }
}

impl Lock {
    fn give_back(&self) {
        let ours = Ours { file: &self.file, facts: &self.facts };
        let _ = side::remove(&self.directory, &self.name, ours);
    }
}

fn path_of(map: &MapFile) -> PathBuf {
    let mut path = map.path().into_os_string();
    path.push(SUFFIX);
    path.into()
}

/// Another run was faster.
fn is_taken(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::AlreadyExists | io::ErrorKind::WouldBlock)
}
