//! What side files need of a directory, on Unix: files without a name, folders
//! that are new for certain, and the names that are there.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use super::Directory;

impl Directory {
    /// Makes the directory `name`, which must not exist, for the owner alone.
    pub fn make_new_subdirectory(&self, name: &OsStr) -> io::Result<()> {
        Ok(rustix::fs::mkdirat(self, name, Mode::RWXU)?)
    }

    /// Removes the directory `name`, which must be empty.
    pub fn remove_subdirectory(&self, name: &OsStr) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(self, name, AtFlags::REMOVEDIR)?)
    }

    /// Where the symbolic link `name` points to.
    pub fn link_target(&self, name: &OsStr) -> io::Result<PathBuf> {
        let target = rustix::fs::readlinkat(self, name, Vec::new())?;
        Ok(OsStr::from_bytes(target.as_bytes()).into())
    }

    /// The names in it that are as wished.
    pub fn names(&self, wished: impl Fn(&OsStr) -> bool) -> io::Result<Vec<OsString>> {
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(self)? {
            let entry = entry?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if wished(name) {
                names.push(name.to_owned());
            }
        }
        Ok(names)
    }
}

/// Opens what is not a file and has no positions, such as a pipe or a terminal,
/// for writing. It is never made. `None`: a pipe that nobody reads.
pub fn open_stream(path: &Path) -> io::Result<Option<File>> {
    // Where it leads to a file after all, that is nothing to begin anew.
    let flags = OFlags::WRONLY.union(OFlags::APPEND) | OFlags::NONBLOCK | OFlags::NOCTTY;
    let fd = match rustix::fs::open(path, flags | OFlags::CLOEXEC, Mode::empty()) {
        Err(Errno::NXIO) => return Ok(None),
        result => result?,
    };
    // From here on a write may wait.
    rustix::fs::fcntl_setfl(&fd, rustix::fs::fcntl_getfl(&fd)? - OFlags::NONBLOCK)?;
    Ok(Some(fd.into()))
}

/// Whether the names in `directory` stand for open files, as those in
/// `/dev/fd` do on Linux: links of the kernel, which lead where no path does.
pub fn holds_descriptors(directory: &Directory) -> bool {
    #[cfg(target_os = "linux")]
    {
        /// linux/magic.h: PROC_SUPER_MAGIC.
        const PROC: u64 = 0x9fa0;
        rustix::fs::fstatfs(directory).is_ok_and(|stat| stat.f_type as u64 == PROC)
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = directory;
        false
    }
}
