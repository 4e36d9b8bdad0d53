//! A folder for the copy of one run, made for it beside the destination that
//! the user named. Nobody else has a file in it, so what is removed after the
//! run is the run's own, whatever has appeared at the destination meanwhile.
//! It is on the same file system, so the copy costs what it would cost there.

use std::ffi::{OsStr, OsString};
use std::io::{self, ErrorKind::AlreadyExists, ErrorKind::NotFound};
use std::path::{Path, PathBuf};

use crate::durable::target::{MAP_SUFFIX, PART_SUFFIX, sibling_name};
use crate::error::{ErrorKind, Refusal, Result};

/// Name of the copy in the folder.
const NAME: &str = "copy";

/// How many folders that were left by a run that was killed are passed over.
const MOST_LEFT: u32 = 1000;

/// The folder.
pub(super) struct Room {
    folder: PathBuf,
}

impl Room {
    /// Makes a folder beside `destination`.
    ///
    /// # Errors
    ///
    /// If none can be made there.
    pub fn beside(destination: &Path) -> Result<Room> {
        let name = destination.file_name().unwrap_or_default();
        let process = std::process::id();
        let mut made = Err(AlreadyExists.into());
        for number in 0..MOST_LEFT {
            let own = sibling_name(name, &format!(".pcopy-bench-{process}-{number}"));
            let folder = destination.with_file_name(own);
            made = std::fs::create_dir(&folder).map(|()| folder);
            if !matches!(&made, Err(error) if error.kind() == AlreadyExists) {
                break;
            }
        }
        let folder = made.map_err(|source| Refusal::CannotCreate {
            directory: destination.parent().unwrap_or(Path::new(".")).to_owned(),
            name: sibling_name(name, ".pcopy-bench").into(),
            source,
        })?;
        Ok(Room { folder })
    }

    /// Where the copy goes.
    pub fn copy(&self) -> PathBuf {
        self.folder.join(NAME)
    }

    /// Removes what a run may have left, and the folder.
    ///
    /// # Errors
    ///
    /// If something stays: also what somebody else has put there.
    pub fn remove(self) -> Result<()> {
        let name = OsStr::new(NAME);
        let beside = [PART_SUFFIX, MAP_SUFFIX].map(|suffix| sibling_name(name, suffix));
        for name in std::iter::once(OsString::from(name)).chain(beside) {
            let path = self.folder.join(name);
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != NotFound => return Err(stays(path, error)),
                _ => {}
            }
        }
        std::fs::remove_dir(&self.folder).map_err(|error| stays(self.folder, error))
    }
}

fn stays(path: PathBuf, source: io::Error) -> crate::error::Error {
    ErrorKind::Destination { step: "remove", path, source }.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_is_new_and_takes_only_its_own_away() {
        let folder = tempfile::tempdir().unwrap();
        let destination = folder.path().join("copy");
        let (first, second) =
            (Room::beside(&destination).unwrap(), Room::beside(&destination).unwrap());
        assert_ne!(first.folder, second.folder);
        std::fs::write(first.copy(), "a copy").unwrap();
        std::fs::write(first.folder.join("copy.pcopy-part"), "a part").unwrap();
        first.remove().unwrap();
        std::fs::write(second.folder.join("theirs"), "not ours").unwrap();
        let theirs = second.folder.join("theirs");
        assert!(second.remove().is_err());
        assert_eq!(std::fs::read_to_string(theirs).unwrap(), "not ours");
        assert!(Room::beside(&folder.path().join("no folder/copy")).is_err());
    }
}
