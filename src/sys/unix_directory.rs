//! An open directory on Unix, and names in it.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use super::unix::{CAREFUL, absent, facts_of, is_unsupported, set_mode};
use super::{FileSystemKind, Metadata, Replace};
use crate::sync::scheduling_point;

/// Flags for opening a directory.
const FOLDER: OFlags = OFlags::DIRECTORY.union(OFlags::CLOEXEC);

/// An open directory. Names are looked up in it, never along a path again, so
/// that nobody can swap a parent for a symbolic link in between.
#[derive(Debug)]
pub struct Directory {
    fd: OwnedFd,
    /// Whether it cannot be read: names are made, looked up and given in it, and
    /// neither listed nor synced.
    is_closed: bool,
}

impl Directory {
    /// Opens the directory at `path`, following links on the way.
    pub fn open(path: &Path) -> io::Result<Directory> {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        Directory::opened(|access| rustix::fs::open(path, access | FOLDER, Mode::empty()))
    }

    /// Opens a directory in this one; a symbolic link is an error.
    pub fn subdirectory(&self, name: &OsStr) -> io::Result<Directory> {
        let flags = FOLDER | OFlags::NOFOLLOW;
        Directory::opened(|access| {
            rustix::fs::openat(self.fd(), name, access | flags, Mode::empty())
        })
    }

    /// The open directory, for a call: another process may change before it what is there.
    fn fd(&self) -> &OwnedFd {
        scheduling_point();
        &self.fd
    }

    /// What `open` opens: for reading, or to reach the names in it alone where
    /// the permissions allow no more, as those of a drop box.
    fn opened(open: impl Fn(OFlags) -> rustix::io::Result<OwnedFd>) -> io::Result<Directory> {
        match (open(OFlags::RDONLY), super::REACH) {
            (Err(error @ Errno::ACCESS), Some(reach)) => match open(reach) {
                Ok(fd) => Ok(Directory { fd, is_closed: true }),
                Err(_) => Err(error.into()),
            },
            (result, _) => Ok(Directory { fd: result?, is_closed: false }),
        }
    }

    /// Makes a directory in this one, with the mode the umask leaves. Its
    /// being there already is not an error.
    pub fn make_subdirectory(&self, name: &OsStr) -> io::Result<()> {
        match rustix::fs::mkdirat(self.fd(), name, Mode::from_raw_mode(0o777)) {
            Err(error) if error != Errno::EXIST => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Creates `name`, which must not exist, readable and writable by the owner alone.
    pub fn create_new(&self, name: &OsStr) -> io::Result<File> {
        let flags = OFlags::RDWR
            | OFlags::CREATE
            | OFlags::EXCL
            | OFlags::NOFOLLOW
            | OFlags::CLOEXEC
            | OFlags::NOCTTY;
        let fd = rustix::fs::openat(self.fd(), name, flags, Mode::RUSR | Mode::WUSR)?;
        Ok(fd.into())
    }

    /// Creates a file without a name, for the owner alone. Fails where that is
    /// not supported.
    pub fn create_unnamed(&self) -> io::Result<File> {
        super::create_unnamed(self.fd())
    }

    /// Gives `file`, which was made without a name in this directory, the name `name`,
    /// which nothing has.
    pub fn name_unnamed(&self, file: &File, name: &OsStr) -> io::Result<()> {
        super::name_unnamed(file, self.fd(), name)
    }

    /// Creates `name`, which must not exist, as a second name for the storage of
    /// all of `from`, for the owner alone. Fails where that is not supported.
    pub fn create_clone(&self, from: &File, name: &OsStr) -> io::Result<File> {
        super::clone_file(from, self.fd(), name)?;
        let file = self.open_existing(name)?;
        set_mode(&file, 0o600)?;
        Ok(file)
    }

    /// Opens `name` for reading and writing; a symbolic link is an error.
    pub fn open_existing(&self, name: &OsStr) -> io::Result<File> {
        let flags = OFlags::RDWR | OFlags::NOFOLLOW | CAREFUL;
        let fd = rustix::fs::openat(self.fd(), name, flags, Mode::empty())?;
        Ok(fd.into())
    }

    /// Opens `name` for reading, without waiting for the writer of a pipe; a
    /// symbolic link is an error.
    pub fn open_to_read(&self, name: &OsStr) -> io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | CAREFUL;
        Ok(rustix::fs::openat(self.fd(), name, flags, Mode::empty())?.into())
    }

    /// What `name` is; a symbolic link is not followed. `None` if nothing has it.
    pub fn facts(&self, name: &OsStr) -> io::Result<Option<Metadata>> {
        match rustix::fs::statat(self.fd(), name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(facts_of(&stat))),
            Err(error) => absent(error),
        }
    }

    /// Whether there is no name in it.
    pub fn is_empty(&self) -> io::Result<bool> {
        for entry in rustix::fs::Dir::read_from(self.fd())? {
            let entry = entry?;
            if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Itself, where it can be read.
    pub(super) fn to_read(&self) -> io::Result<&Directory> {
        if self.is_closed { Err(Errno::ACCESS.into()) } else { Ok(self) }
    }

    /// What the directory itself is.
    pub fn own_facts(&self) -> io::Result<Metadata> {
        Ok(facts_of(&rustix::fs::fstat(self.fd())?))
    }

    /// Whether this process may create names here, and give them to files later.
    pub fn check_writable(&self) -> io::Result<()> {
        use rustix::fs::Access;
        // First, because it says more.
        super::check_directory(self.fd())?;
        let access = Access::WRITE_OK | Access::EXEC_OK;
        match rustix::fs::accessat(self.fd(), ".", access, AtFlags::EACCESS) {
            // faccessat2(2) is of Linux 5.8; older filters of containers say EPERM.
            Err(Errno::PERM | Errno::NOSYS | Errno::INVAL) if is_one_user() => {
                Ok(rustix::fs::accessat(self.fd(), ".", access, AtFlags::empty())?)
            }
            // The older call asks for another user: making the first file will tell.
            Err(Errno::PERM | Errno::NOSYS | Errno::INVAL) => Ok(()),
            result => Ok(result?),
        }
    }

    /// Gives `from` the name `to`, in this directory.
    pub fn rename(&self, from: &OsStr, to: &OsStr, replace: Replace) -> io::Result<()> {
        if replace == Replace::Never {
            match super::rename_new(self.fd(), from, to) {
                // An older kernel or sandbox, or a file system without the flag.
                Err(error) if is_kept_from_us(&error) => match self.link_new(from, to) {
                    // Nor are there links: the check and the rename are two steps.
                    Err(error) if is_kept_from_us(&error) => {
                        if self.facts(to)?.is_some() {
                            return Err(io::ErrorKind::AlreadyExists.into());
                        }
                    }
                    result => return result,
                },
                result => return result,
            }
        }
        Ok(rustix::fs::renameat(self.fd(), from, self.fd(), to)?)
    }

    /// The same by a link, which replaces nothing either. Not where a program serves
    /// the file system: there, two names may be of two files by their numbers.
    fn link_new(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
        let is_served = |system: super::FileSystem| system.kind == FileSystemKind::Fuse;
        if super::file_system(self.fd()).is_ok_and(is_served) {
            return Err(io::ErrorKind::Unsupported.into());
        }
        link_then_unlink(self.fd(), from, to)
    }

    /// Removes `name`. Its not being there is no error.
    pub fn remove(&self, name: &OsStr) -> io::Result<()> {
        match rustix::fs::unlinkat(self.fd(), name, AtFlags::empty()) {
            Err(error) if error != Errno::NOENT => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Makes the names in the directory durable.
    pub fn sync(&self) -> io::Result<()> {
        if self.is_closed {
            return self.sync_unread();
        }
        match super::sync_directory(self.fd()) {
            // Some file systems (FUSE, CIFS) have nothing to sync in a directory.
            Err(Errno::INVAL | Errno::NOSYS) => Ok(()),
            result => Ok(result?),
        }
    }

    /// What cannot be read cannot be synced by itself: its file system can, by a
    /// file in it, and otherwise all of them.
    fn sync_unread(&self) -> io::Result<()> {
        match self.create_unnamed() {
            Ok(file) => super::sync_file_system(&file),
            Err(_) => {
                rustix::fs::sync();
                Ok(())
            }
        }
    }

    /// Whether an error that a write to any file of this file system met later
    /// shows in [`sync_file_system`](Directory::sync_file_system).
    pub fn sync_covers_files(&self) -> bool {
        !self.is_closed && super::sync_covers_files(self.fd())
    }

    /// Makes everything on the file system of this directory durable.
    pub fn sync_file_system(&self) -> io::Result<()> {
        if self.is_closed { self.sync_unread() } else { super::sync_file_system(self.fd()) }
    }

    /// Bytes that this process could still write on the file system.
    ///
    /// # Errors
    ///
    /// Of the system; [`io::ErrorKind::Unsupported`] where it says nothing.
    pub fn available_space(&self) -> io::Result<u64> {
        let space = rustix::fs::fstatvfs(self.fd())?;
        if space.f_blocks == 0 {
            // Of no blocks (ramfs, some FUSE) none can be free.
            return Err(io::ErrorKind::Unsupported.into());
        }
        // The blocks kept back for root are root's to use.
        let root = rustix::process::geteuid().is_root();
        let blocks = if root { space.f_bfree } else { space.f_bavail };
        Ok(blocks.saturating_mul(space.f_frsize))
    }
}

impl AsFd for Directory {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Whether the real user and group of this process are those that count.
fn is_one_user() -> bool {
    rustix::process::getuid() == rustix::process::geteuid()
        && rustix::process::getgid() == rustix::process::getegid()
}

/// Whether an error of a call says that another one may do the same.
fn is_kept_from_us(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    let others = [Errno::PERM, Errno::MLINK, Errno::XDEV];
    errno.is_some_and(|errno| others.contains(&errno))
        || is_unsupported(error)
        || error.kind() == io::ErrorKind::Unsupported
}

/// Gives `from` the name `to`, which must not exist, by a second name.
pub(super) fn link_then_unlink(directory: impl AsFd, from: &OsStr, to: &OsStr) -> io::Result<()> {
    rustix::fs::linkat(&directory, from, &directory, to, AtFlags::empty())?;
    let ours = rustix::fs::statat(&directory, to, AtFlags::SYMLINK_NOFOLLOW)?;
    unlink_if(&directory, from, &ours).map_err(|error| {
        // As before the call.
        let _ = unlink_if(&directory, to, &ours);
        error.into()
    })
}

/// Removes `name`, if it is still the file `ours`: what has come there meanwhile
/// is not ours to remove.
fn unlink_if(directory: impl AsFd, name: &OsStr, ours: &rustix::fs::Stat) -> Result<(), Errno> {
    let found = rustix::fs::statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
    if (found.st_dev, found.st_ino) != (ours.st_dev, ours.st_ino) {
        return Ok(());
    }
    rustix::fs::unlinkat(&directory, name, AtFlags::empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A second name comes and the first goes; what has the name already stays,
    /// and so does another file that came to the first name.
    #[test]
    fn only_the_linked_file_loses_its_first_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let directory = std::fs::File::open(folder.path()).unwrap();
        std::fs::write(path("part"), "ours").unwrap();
        link_then_unlink(&directory, OsStr::new("part"), OsStr::new("copy")).unwrap();
        assert!(!path("part").exists());
        assert_eq!(std::fs::read_to_string(path("copy")).unwrap(), "ours");

        std::fs::write(path("part"), "another").unwrap();
        let taken = link_then_unlink(&directory, OsStr::new("part"), OsStr::new("copy"));
        assert_eq!(taken.unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        let ours = rustix::fs::statat(&directory, "copy", AtFlags::SYMLINK_NOFOLLOW).unwrap();
        unlink_if(&directory, OsStr::new("part"), &ours).unwrap();
        assert_eq!(std::fs::read_to_string(path("part")).unwrap(), "another");
        assert_eq!(std::fs::read_to_string(path("copy")).unwrap(), "ours");
    }
}
