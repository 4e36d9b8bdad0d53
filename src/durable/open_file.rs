//! A file or device that is open and being written, whatever name it has: what a
//! new file, a place in an existing one and a device have in common. It must not
//! know which of them it is.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::intact::{self, Name};
use super::map::ObjectId;
use super::previous::object_id;
use super::sizing;
use crate::error::{ErrorKind, Refusal, Result};
use crate::io::FileIo;
use crate::preserve;
use crate::range::{ByteRange, RangeSet};
use crate::source::OpenSource;
use crate::sys;

/// A file or device that is being written.
pub struct OpenFile {
    /// What is open.
    pub io: Arc<FileIo>,
    /// The path it has while it is written.
    pub path: PathBuf,
    /// Whether it gets its length by being written; see [`sizing`].
    pub grows: bool,
}

impl OpenFile {
    /// The open file.
    pub fn as_file(&self) -> &File {
        self.io.as_file()
    }

    /// Which object it is, for the map.
    ///
    /// # Errors
    ///
    /// If the system does not say.
    pub fn id(&self) -> Result<ObjectId> {
        match sys::facts(self.as_file()) {
            Ok(facts) => Ok(object_id(&facts, None)),
            Err(source) => Err(self.failed("look at", source)),
        }
    }

    /// Its length so far; nothing where the system does not say.
    pub fn reach(&self) -> u64 {
        sys::facts(self.as_file()).map_or(0, |facts| facts.size)
    }

    /// Gives it its length, if what was written has not. Before the sync.
    ///
    /// # Errors
    ///
    /// If the file system refuses.
    pub fn fill_up(&self) -> Result<()> {
        if !self.grows {
            return Ok(());
        }
        let filled = sizing::fill_up(self.as_file(), self.io.len());
        filled.map_err(|source| self.failed("resize", source))
    }

    /// Gives it the length `len`: nothing more will be written, and nobody else has it.
    ///
    /// # Errors
    ///
    /// If the file system refuses.
    pub fn end_at(&self, len: u64) -> Result<()> {
        sizing::end_at(self.as_file(), len).map_err(|source| self.failed("resize", source))?;
        self.io.set_len(len);
        Ok(())
    }

    /// Waits until everything written is on the disk; what is to be written
    /// last is not.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Sync`]. Never to be retried: the kernel may have dropped
    /// what it could not write and report success the second time.
    pub fn sync(&self) -> Result<()> {
        let path = self.path.clone();
        self.as_file().sync_all().map_err(|source| ErrorKind::Sync { path, source }.into())
    }

    /// Gives it what `source` has besides its content, as the last change before
    /// the commit. Returns what could not be carried over.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Sync`], if that is to be made durable and cannot.
    pub fn preserve(&self, source: &OpenSource, sync: bool) -> Result<Vec<String>> {
        let lost = preserve::carry_over(source.file.as_file(), &source.facts, self.as_file());
        if sync {
            self.sync()?;
        }
        Ok(lost)
    }

    /// Makes sure, when all is written and synced, that nothing of it is
    /// `lost`, that the system has kept no error for the close, and that a
    /// file still has its length.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::DestinationChanged`], or [`ErrorKind::Sync`].
    pub fn check_written(&self, lost: &RangeSet) -> Result<()> {
        self.check_kept(lost)?;
        match self.io.is_device() {
            // Nobody makes it shorter.
            true => Ok(()),
            false => intact::check_length(self.as_file(), &self.path, self.io.len()),
        }
    }

    /// The same without its length.
    ///
    /// # Errors
    ///
    /// As of [`OpenFile::check_written`].
    pub fn check_kept(&self, lost: &RangeSet) -> Result<()> {
        let path = self.path.clone();
        if let Some(first) = lost.iter().next() {
            return Err(intact::lacks(path, first).into());
        }
        let closed = sys::flush_by_close(self.as_file());
        Ok(closed.map_err(|source| ErrorKind::Sync { path, source })?)
    }

    /// Looks whether its path leads to what was written: `written` of it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Destination`].
    pub fn check_name(&self, written: ByteRange) -> Result<()> {
        let found = intact::is_still_at(&Name { path: &self.path, written }, &self.io);
        found.map_err(|source| self.failed("find what was copied at", source))
    }

    pub(crate) fn failed(&self, step: &'static str, source: io::Error) -> crate::Error {
        ErrorKind::Destination { step, path: self.path.clone(), source }.into()
    }
}

/// Gives `file` the length `len`, with or without `gaps`. Returns whether it
/// could not be made so long, and grows.
///
/// # Errors
///
/// [`Refusal::TooLarge`], or if the file system fails.
pub fn resize(file: &File, path: &Path, len: u64, gaps: bool) -> Result<bool> {
    sizing::size_ahead(file, len, gaps).map_err(|source| {
        if source.kind() == io::ErrorKind::FileTooLarge {
            return Refusal::TooLarge { path: path.to_owned(), len }.into();
        }
        let step = "resize";
        ErrorKind::Destination { step, path: path.to_owned(), source }.into()
    })
}
