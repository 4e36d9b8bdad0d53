//! An open directory, and names in it.
//!
//! Windows opens by path alone. The directory is therefore kept open in a way
//! that lets nobody rename or remove it, nor any above it: its path means the
//! same directory for as long as it is open.

use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::windows::fs::OpenOptionsExt;
use std::os::windows::io::{AsHandle, BorrowedHandle};
use std::path::{Path, PathBuf};

use windows_sys::Win32::Foundation::{ERROR_ACCESS_DENIED, GENERIC_READ, GENERIC_WRITE};
use windows_sys::Win32::Storage::FileSystem::{
    FILE_ADD_FILE, FILE_FLAG_BACKUP_SEMANTICS, FILE_FLAG_OPEN_REPARSE_POINT, FILE_READ_ATTRIBUTES,
    FILE_SHARE_READ, FILE_SHARE_WRITE,
};

use super::super::{FileKind, Metadata, Replace, windows_names};
use super::files::{absent, facts, look, open_unfollowed};
use super::{call, is, is_unsupported};

/// An open directory. Names are looked up in it, never along a path that
/// somebody could change in between.
#[derive(Debug)]
pub struct Directory {
    handle: File,
    /// Complete and without any limit on its length (`\\?\C:\...`).
    path: PathBuf,
}

impl Directory {
    /// Opens the directory at `path`, following links on the way.
    pub fn open(path: &Path) -> io::Result<Directory> {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        // Some drivers, and Wine for long paths, cannot say where a directory is:
        // then it is where the path says. Whether it is there, opening it tells.
        let path = std::fs::canonicalize(path).or_else(|_| complete(path))?;
        Directory::at(path, 0)
    }

    fn at(path: PathBuf, flags: u32) -> io::Result<Directory> {
        let open = |access| {
            OpenOptions::new()
                .access_mode(access)
                // Not FILE_SHARE_DELETE: it stays where it is.
                .share_mode(FILE_SHARE_READ | FILE_SHARE_WRITE)
                .custom_flags(FILE_FLAG_BACKUP_SEMANTICS | flags)
                .open(&path)
        };
        // Writing is what a sync of the directory takes; reading is enough for the rest.
        let handle = open(GENERIC_READ | GENERIC_WRITE).or_else(|_| open(GENERIC_READ))?;
        if facts(&handle)?.node != FileKind::Directory {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        Ok(Directory { handle, path })
    }

    pub(super) fn join(&self, name: &OsStr) -> io::Result<PathBuf> {
        match windows_names::unusable(name) {
            Some(reason) => Err(io::Error::new(io::ErrorKind::InvalidFilename, reason)),
            None => Ok(self.path.join(name)),
        }
    }

    /// Opens a directory in this one, `.` this one itself; a symbolic link or
    /// junction is an error.
    pub fn subdirectory(&self, name: &OsStr) -> io::Result<Directory> {
        if name == "." {
            return Directory::at(self.path.clone(), 0);
        }
        Directory::at(self.join(name)?, FILE_FLAG_OPEN_REPARSE_POINT)
    }

    /// Makes a directory in this one. Its being there already is not an error.
    pub fn make_subdirectory(&self, name: &OsStr) -> io::Result<()> {
        match std::fs::create_dir(self.join(name)?) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => Ok(()),
        }
    }

    /// Creates `name`, which must not exist, with the rights the directory hands down.
    pub fn create_new(&self, name: &OsStr) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).open(self.join(name)?)
    }

    /// Every file has a name here.
    pub fn create_unnamed(&self) -> io::Result<File> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Gives a file without a name the name `name`: there are none.
    pub fn name_unnamed(&self, _file: &File, _name: &OsStr) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Makes `name` share the storage of all of `from`: not offered. ReFS shares
    /// ranges of files that are there, see `share_range`.
    pub fn create_clone(&self, _from: &File, _name: &OsStr) -> io::Result<File> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Opens `name` for reading and writing; a symbolic link is an error.
    pub fn open_existing(&self, name: &OsStr) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).custom_flags(FILE_FLAG_OPEN_REPARSE_POINT);
        let file = options.open(self.join(name)?)?;
        match facts(&file)?.node {
            FileKind::File => Ok(file),
            _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")),
        }
    }

    /// Opens `name` for reading; a symbolic link is an error.
    pub fn open_to_read(&self, name: &OsStr) -> io::Result<File> {
        open_unfollowed(&self.join(name)?)
    }

    /// What `name` is; a symbolic link is not followed. `None` if nothing has it.
    pub fn facts(&self, name: &OsStr) -> io::Result<Option<Metadata>> {
        absent(look(&self.join(name)?, FILE_FLAG_OPEN_REPARSE_POINT))
    }

    /// Whether there is no name in it.
    pub fn is_empty(&self) -> io::Result<bool> {
        Ok(std::fs::read_dir(&self.path)?.next().is_none())
    }

    /// What the directory itself is.
    pub fn own_facts(&self) -> io::Result<Metadata> {
        facts(&self.handle)
    }

    /// Whether this process may create names here.
    pub fn check_writable(&self) -> io::Result<()> {
        let mut options = OpenOptions::new();
        options.access_mode(FILE_ADD_FILE | FILE_READ_ATTRIBUTES);
        options.custom_flags(FILE_FLAG_BACKUP_SEMANTICS).open(&self.path).map(drop)
    }

    /// Gives `from` the name `to`, in this directory, and waits until that is on
    /// the disk. By MoveFileEx, which replaces in one step; ReplaceFile would
    /// keep the old file's attributes, but goes through a moment without any.
    pub fn rename(&self, from: &OsStr, to: &OsStr, replace: Replace) -> io::Result<()> {
        call::move_file(&self.join(from)?, &self.join(to)?, replace == Replace::Yes)
    }

    /// Removes `name`. Its not being there is no error.
    pub fn remove(&self, name: &OsStr) -> io::Result<()> {
        match std::fs::remove_file(self.join(name)?) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Makes the directory `name`, which must not exist.
    pub fn make_new_subdirectory(&self, name: &OsStr) -> io::Result<()> {
        std::fs::create_dir(self.join(name)?)
    }

    /// Removes the directory `name`, which must be empty.
    pub fn remove_subdirectory(&self, name: &OsStr) -> io::Result<()> {
        std::fs::remove_dir(self.join(name)?)
    }

    /// Where the symbolic link `name` points to.
    pub fn link_target(&self, name: &OsStr) -> io::Result<PathBuf> {
        std::fs::read_link(self.join(name)?)
    }

    /// The names in it that are as wished.
    pub fn names(&self, wished: impl Fn(&OsStr) -> bool) -> io::Result<Vec<OsString>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.path)? {
            let name = entry?.file_name();
            if wished(&name) {
                names.push(name);
            }
        }
        Ok(names)
    }

    /// Makes the names in the directory durable, as far as there is a call for
    /// it: `rename` has waited for the disk already.
    pub fn sync(&self) -> io::Result<()> {
        match self.handle.sync_all() {
            Err(error) if is(&error, ERROR_ACCESS_DENIED) || is_unsupported(&error) => Ok(()),
            result => result,
        }
    }

    /// Whether errors of files show in
    /// [`sync_file_system`](Directory::sync_file_system): there is no such call.
    pub fn sync_covers_files(&self) -> bool {
        false
    }

    /// Makes everything on the file system durable: an administrator's call, not made.
    pub fn sync_file_system(&self) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Bytes that this user could still write on the file system.
    pub fn available_space(&self) -> io::Result<u64> {
        call::available_space(&self.path)
    }
}

impl AsHandle for Directory {
    fn as_handle(&self) -> BorrowedHandle<'_> {
        self.handle.as_handle()
    }
}

/// `path` from the root on, in the form that has no limit on its length.
fn complete(path: &Path) -> io::Result<PathBuf> {
    let path = std::path::absolute(path)?;
    let Some(text) = path.to_str() else { return Ok(path) };
    let unlimited = match text.strip_prefix(r"\\") {
        Some(rest) if rest.starts_with(['?', '.']) => return Ok(path),
        Some(share) => format!(r"\\?\UNC\{share}"),
        None => format!(r"\\?\{text}"),
    };
    Ok(unlimited.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complete_paths_have_no_limit() {
        for (path, expected) in [
            (r"C:\a\..\b", r"\\?\C:\b"),
            (r"\\server\share\a", r"\\?\UNC\server\share\a"),
            (r"\\?\C:\a", r"\\?\C:\a"),
        ] {
            assert_eq!(complete(Path::new(path)).unwrap(), Path::new(expected), "{path}");
        }
    }

    #[test]
    fn a_directory_has_itself_at_a_point() {
        let folder = tempfile::tempdir().unwrap();
        let directory = Directory::open(folder.path()).unwrap();
        let itself = directory.subdirectory(OsStr::new(".")).unwrap();
        assert!(itself.own_facts().unwrap().same_thing(&directory.own_facts().unwrap()));
        itself.create_new(OsStr::new("x")).unwrap();
        assert!(directory.facts(OsStr::new("x")).unwrap().is_some());
    }
}
