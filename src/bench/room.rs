//! A folder for the copy of one run, made for it beside the destination that
//! the user named. Nobody else has a file in it, so what is removed after the
//! run is the run's own, whatever has appeared at the destination meanwhile.
//! It is on the same file system, so the copy costs what it would cost there.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};

use crate::durable::part::Ours;
use crate::durable::side;
use crate::durable::target::{MAP_SUFFIX, PART_SUFFIX, sibling_name};
use crate::error::{ErrorKind, Refusal, Result};
use crate::sys::{self, Directory, FileKind};

/// Name of the copy in the folder.
const NAME: &str = "copy";

/// The folder.
pub(super) struct Room {
    /// What it lies in.
    parent: Directory,
    name: OsString,
    open: Directory,
    path: PathBuf,
}

impl Room {
    /// Makes a folder beside `destination`.
    ///
    /// # Errors
    ///
    /// If none can be made there.
    pub fn beside(destination: &Path) -> Result<Room> {
        let name = destination.file_name().unwrap_or_default();
        let folder = destination.parent().unwrap_or(Path::new(""));
        let made = Directory::open(folder)
            .and_then(|parent| side::make_folder(&parent, name).map(|made| (parent, made)));
        let (parent, (name, open)) = made.map_err(|source| Refusal::CannotCreate {
            directory: folder.to_owned(),
            name: sibling_name(name, ".pcopy-bench").into(),
            source,
        })?;
        let path = destination.with_file_name(&name);
        Ok(Room { parent, name, open, path })
    }

    /// Where the copy goes.
    pub fn copy(&self) -> PathBuf {
        self.path.join(NAME)
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
            self.remove_file(&name).map_err(|error| stays(self.path.join(name), error))?;
        }
        let path = self.path.clone();
        self.remove_folder().map_err(|error| stays(path, error))
    }

    /// Nobody but this user may make names in the folder, wherever that is by now.
    fn remove_file(&self, name: &OsStr) -> io::Result<()> {
        if self.open.facts(name)?.is_none_or(|facts| facts.node != FileKind::File) {
            return Ok(());
        }
        let file = self.open.open_to_read(name)?;
        let facts = sys::facts(&file)?;
        side::remove(&self.open, name, Ours { file: &file, facts: &facts }).map(|_| ())
    }

    fn remove_folder(self) -> io::Result<()> {
        let (ours, there) = (self.open.own_facts()?, self.parent.facts(&self.name)?);
        // As long as it is open, not every system removes a directory.
        drop(self.open);
        match there.is_some_and(|there| there.same_thing(&ours)) {
            true => self.parent.remove_subdirectory(&self.name),
            false => Err(io::Error::other("somebody put another folder in its place")),
        }
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
        assert_ne!(first.path, second.path);
        std::fs::write(first.copy(), "a copy").unwrap();
        std::fs::write(first.path.join("copy.pcopy-part"), "a part").unwrap();
        first.remove().unwrap();
        let theirs = second.path.join("theirs");
        std::fs::write(&theirs, "not ours").unwrap();
        assert!(second.remove().is_err());
        assert_eq!(std::fs::read_to_string(theirs).unwrap(), "not ours");
        assert!(Room::beside(&folder.path().join("no folder/copy")).is_err());
    }

    /// In a folder that others may write to, a name can become a link of theirs.
    #[test]
    fn a_room_that_was_moved_is_emptied_where_it_is_and_what_took_its_name_stays() {
        let folder = tempfile::tempdir().unwrap();
        let room = Room::beside(&folder.path().join("copy")).unwrap();
        std::fs::write(room.copy(), "a copy").unwrap();
        let (path, aside) = (room.path.clone(), folder.path().join("aside"));
        if std::fs::rename(&path, &aside).is_err() {
            // Not every system moves a directory that is open.
            return room.remove().unwrap();
        }
        std::fs::create_dir(&path).unwrap();
        std::fs::write(path.join("copy"), "not ours").unwrap();
        assert!(room.remove().is_err());
        assert_eq!(std::fs::read_to_string(path.join("copy")).unwrap(), "not ours");
        assert_eq!(std::fs::read_dir(aside).unwrap().count(), 0);
    }
}
