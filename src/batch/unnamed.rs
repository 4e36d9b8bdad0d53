//! Small files are written without a name and get theirs when they are complete:
//! that takes fewer calls than a part of its own and a rename, no other program can
//! reach the file before, and a run that is killed leaves nothing of it. Not every
//! system has such files, and a name that something has already takes a rename.

use std::fs::File;
use std::io;
use std::sync::OnceLock;
use std::sync::atomic::Ordering;

use super::output::Output;
use super::outputs::{Make, Outputs};
use super::staging::same_file;
use crate::durable::part;
use crate::preserve;
use crate::progress::lock;
use crate::sys::{self, Directory, FileSystemKind, Replace};

/// Whether a file without a name can get one in a folder: found out with the first.
pub type CanBeNamed = OnceLock<bool>;

impl Outputs {
    /// A file for `output` that has no name, or, if it is the first, that of its part.
    /// `None` if it has to be made as a part.
    pub(super) fn create_unnamed(
        &self,
        output: &Output,
        directory: &Directory,
        how: Make,
    ) -> Option<File> {
        let is_new = output.wanted.replace == Replace::Never && !how.keep;
        if !is_new || !how.at_once || self.can_be_named.get() == Some(&false) {
            return None;
        }
        // Whatever an earlier run left is in the way, or goes.
        if self.earlier.discard && directory.facts(&output.part_name()).ok()?.is_some() {
            return None;
        }
        // It stays open until it has its name.
        if lock(&self.open).len() >= self.most_open() {
            return None;
        }
        // Nobody can open it by a name: it may have the mode of most files at once. The first
        // gets a name at once.
        let known = self.can_be_named.get();
        let mode = if known.is_some() { preserve::OF_ANY_FILE } else { 0o600 };
        match (directory.create_unnamed(mode), known) {
            (Ok(file), Some(_)) => {
                output.unnamed.store(true, Ordering::Release);
                Some(file)
            }
            (Ok(file), None) => self.name_first(output, directory, file),
            (Err(_), _) => {
                // Making a part tells why not, if that fails as well.
                let _ = self.can_be_named.set(false);
                None
            }
        }
    }

    /// Gives the first file the name of its part at once, to find out whether it can be
    /// given one.
    fn name_first(&self, output: &Output, directory: &Directory, file: File) -> Option<File> {
        // Where a program serves the file system, a name may lead to another file.
        let is_served = |system: sys::FileSystem| system.kind == FileSystemKind::Fuse;
        let named = match sys::file_system(directory).is_ok_and(is_served) {
            true => Err(io::ErrorKind::Unsupported.into()),
            false => directory.name_unnamed(&file, &output.part_name()),
        };
        if named.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::AlreadyExists) {
            return None;
        }
        let _ = self.can_be_named.set(named.is_ok());
        named.and_then(|()| part::locked(file)).ok()
    }

    /// Gives a complete output without a name its final one.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::AlreadyExists`] if something has it.
    pub(super) fn name(&self, output: &Output, directory: &Directory) -> io::Result<()> {
        let file = output.open_file().ok_or_else(|| io::Error::other("it was closed"))?;
        directory.name_unnamed(file.as_file(), output.name()).map_err(|error| {
            match (error.kind(), directory.facts(output.name())) {
                (io::ErrorKind::AlreadyExists, Ok(Some(there))) if self.is_ours(&there) => {
                    same_file()
                }
                _ => error,
            }
        })?;
        output.unnamed.store(false, Ordering::Release);
        Ok(())
    }
}
