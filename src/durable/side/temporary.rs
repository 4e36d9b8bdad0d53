//! A file that this run has made, under a name that nobody looks for, until it
//! takes the place of another or goes away.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;

use super::{make_locked, remove};
use crate::durable::part::{self, Ours};
use crate::sys::{self, Directory, FileKind, Metadata, Replace};

/// The file. Dropped, it stays where it is: see [`Temporary::discard`].
pub struct Temporary {
    directory: Arc<Directory>,
    name: OsString,
    file: File,
    facts: Metadata,
}

impl Temporary {
    /// Makes a temporary for the file `of` in `directory`, for its owner alone,
    /// and locks it, so that nobody takes it for one that was left.
    ///
    /// # Errors
    ///
    /// Of the system.
    pub fn create(directory: &Arc<Directory>, of: &OsStr) -> io::Result<Temporary> {
        let directory = Arc::clone(directory);
        let (name, file) = make_locked(&directory, of)?;
        let facts = sys::facts(&file)?;
        Ok(Temporary { directory, name, file, facts })
    }

    /// Its name.
    pub fn name(&self) -> &OsStr {
        &self.name
    }

    /// The open file.
    pub fn file(&self) -> &File {
        &self.file
    }

    fn ours(&self) -> Ours<'_> {
        Ours { file: &self.file, facts: &self.facts }
    }

    /// Gives it the name `name`, in its directory. Nothing may have that name
    /// unless `replace` says so.
    ///
    /// # Errors
    ///
    /// Of the system, or that somebody has put another file in its place.
    pub fn publish(&self, name: &OsStr, replace: Replace) -> io::Result<Metadata> {
        part::check_is_at(&self.directory, &self.name, self.ours())?;
        self.directory.rename(&self.name, name, replace)?;
        // A rename goes by name: only now is it known what was renamed.
        part::check_is_at(&self.directory, name, self.ours())?;
        Ok(self.facts.clone())
    }

    /// Gives it the name `name`, which other processes of this user give to files of
    /// theirs: one of those may be there at once, or nothing, if they take it away.
    ///
    /// # Errors
    ///
    /// Of the system, or that something else is there.
    pub fn publish_among(&self, name: &OsStr) -> io::Result<()> {
        part::check_is_at(&self.directory, &self.name, self.ours())?;
        self.directory.rename(&self.name, name, Replace::Yes)?;
        let there = self.directory.facts(name)?;
        let is_of_a_process = |there: &Metadata| {
            there.node == FileKind::File && there.owner == self.facts.owner && there.links <= 1
        };
        match there.as_ref().is_none_or(is_of_a_process) {
            true => Ok(()),
            false => Err(part::not_ours()),
        }
    }

    /// Takes its name away; the file stays open for as long as it is held.
    ///
    /// # Errors
    ///
    /// Of the system, or that the name leads to another file by now.
    pub fn discard(self) -> io::Result<File> {
        self.remove()?;
        Ok(self.file)
    }

    /// Takes its name away; nobody needs what it holds any more.
    ///
    /// # Errors
    ///
    /// As [`discard`](Temporary::discard).
    pub fn remove(&self) -> io::Result<()> {
        let remove = || remove(&self.directory, &self.name, self.ours()).map(drop);
        remove().or_else(|error| match self.file.metadata() {
            // Where numbers and times are made up, bytes tell what it is, once it has some.
            Ok(facts) if facts.len() == 0 => {
                (&self.file).write_all(self.name.as_encoded_bytes())?;
                remove()
            }
            _ => Err(error),
        })
    }

    /// Takes it away after `error`, which is the one to report.
    pub fn discard_after<E>(self, error: E) -> E {
        let _ = self.discard();
        error
    }
}
