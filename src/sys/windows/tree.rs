//! What copies of folders need of a directory, on Windows: what is in it, and how to
//! make links and folders in it.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::windows::io::AsHandle;
use std::path::Path;

use super::super::{Entry, LinkOwner, Moment};
use super::Directory;

impl Directory {
    /// Everything that has a name in it, in the order of the file system.
    pub fn entries(&self) -> io::Result<Vec<Entry>> {
        let names = self.names(|_| true)?;
        Ok(names.into_iter().map(|name| Entry { name, inode: 0 }).collect())
    }

    /// Makes a directory in this one; whether it was not there.
    pub fn make_directory(&self, name: &OsStr, _mode: u32) -> io::Result<bool> {
        match self.make_new_subdirectory(name) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            result => result.map(|()| true),
        }
    }

    /// Links take a right that few users have, and are of two kinds: none is made.
    pub fn make_link(&self, _name: &OsStr, _target: &Path) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Gives the file `name` a further name, which must not exist, in `directory`.
    pub fn add_name(&self, name: &OsStr, directory: &Directory, further: &OsStr) -> io::Result<()> {
        std::fs::hard_link(self.join(name)?, directory.join(further)?)
    }

    /// None is made.
    pub fn set_link_owner(&self, _name: &OsStr, _owner: LinkOwner) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// None is made.
    pub fn set_link_times(
        &self,
        _name: &OsStr,
        _changed: Moment,
        _accessed: Moment,
    ) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// The directory as a file, for what is asked of either.
    pub fn to_file(&self) -> io::Result<File> {
        Ok(self.as_handle().try_clone_to_owned()?.into())
    }
}
