//! What copies of folders need of a directory, on Unix: what is in it, and how to make
//! links and folders in it.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, Gid, Mode, Timespec, Timestamps, Uid};
use rustix::io::Errno;

use super::{Directory, Entry, LinkOwner, Moment};

impl Directory {
    /// Everything that has a name in it, in the order of the file system.
    pub fn entries(&self) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for entry in rustix::fs::Dir::read_from(self.to_read()?)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if !matches!(name, b"." | b"..") {
                let name = OsStr::from_bytes(name).to_owned();
                entries.push(Entry { name, inode: entry.ino() });
            }
        }
        Ok(entries)
    }

    /// Makes a directory in this one with what the umask leaves of `mode`;
    /// whether it was not there.
    pub fn make_directory(&self, name: &OsStr, mode: u32) -> io::Result<bool> {
        // The type has 16 bits on some systems, and no bit of a mode beyond them.
        match rustix::fs::mkdirat(self, name, Mode::from_raw_mode(mode as _)) {
            Err(Errno::EXIST) => Ok(false),
            result => Ok(result.map(|()| true)?),
        }
    }

    /// Makes the symbolic link `name`, which must not exist, to `target`.
    pub fn make_link(&self, name: &OsStr, target: &Path) -> io::Result<()> {
        Ok(rustix::fs::symlinkat(target, self, name)?)
    }

    /// Gives the file `name` a further name, which must not exist, in `directory`.
    pub fn add_name(&self, name: &OsStr, directory: &Directory, further: &OsStr) -> io::Result<()> {
        Ok(rustix::fs::linkat(self, name, directory, further, AtFlags::empty())?)
    }

    /// Gives the symbolic link `name` its owner and group.
    pub fn set_link_owner(&self, name: &OsStr, owner: LinkOwner) -> io::Result<()> {
        let (user, group) = (Uid::from_raw(owner.user), Gid::from_raw(owner.group));
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        Ok(rustix::fs::chownat(self, name, Some(user), Some(group), flags)?)
    }

    /// Sets the times of last change and access of the symbolic link `name`.
    pub fn set_link_times(
        &self,
        name: &OsStr,
        changed: Moment,
        accessed: Moment,
    ) -> io::Result<()> {
        let time = |(seconds, nanoseconds): Moment| Timespec {
            tv_sec: seconds as _,
            tv_nsec: nanoseconds as _,
        };
        let times = Timestamps { last_access: time(accessed), last_modification: time(changed) };
        Ok(rustix::fs::utimensat(self, name, &times, AtFlags::SYMLINK_NOFOLLOW)?)
    }

    /// The directory as a file, for what is asked of either.
    pub fn to_file(&self) -> io::Result<File> {
        Ok(self.to_read()?.as_fd().try_clone_to_owned()?.into())
    }
}
