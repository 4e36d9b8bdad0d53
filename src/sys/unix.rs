//! What all Unix systems have in common.

use std::ffi::{OsStr, OsString};
use std::fs::{File, TryLockError};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags};

use super::{FileKind, Metadata, Replace};

/// Reads at `offset` without moving a cursor. May be short; 0 is the end.
pub fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    file.read_at(buffer, offset)
}

/// Writes at `offset` without moving a cursor. May be short.
pub fn write_at(file: &File, data: &[u8], offset: u64) -> io::Result<usize> {
    file.write_at(data, offset)
}

/// Flags for opening what may turn out to be a pipe or a terminal: neither
/// wait for a writer nor become our terminal.
const CAREFUL: OFlags = OFlags::NONBLOCK.union(OFlags::NOCTTY).union(OFlags::CLOEXEC);

/// Opens for reading, whatever it is, without waiting.
pub fn open_source(path: &Path) -> io::Result<File> {
    let path = super::best_name(path);
    let fd = rustix::fs::open(&*path, OFlags::RDONLY | CAREFUL, Mode::empty())?;
    Ok(fd.into())
}

/// Opens an existing file for writing inside it. Symbolic links are followed:
/// the user named the file behind them.
pub fn open_in_place(path: &Path) -> io::Result<File> {
    let fd = rustix::fs::open(path, OFlags::RDWR | CAREFUL, Mode::empty())?;
    Ok(fd.into())
}

/// Opens a block device for writing, exclusively: fails with
/// `ResourceBusy` if it is mounted or claimed, and never creates a file.
pub fn open_device(path: &Path) -> io::Result<(File, DeviceLock)> {
    let path = super::best_name(path);
    let fd = rustix::fs::open(&*path, OFlags::RDWR | OFlags::EXCL | CAREFUL, Mode::empty())?;
    Ok((fd.into(), DeviceLock))
}

/// What keeps others off a device while it is written: the open device itself.
pub struct DeviceLock;

impl DeviceLock {
    /// Lets others at the device, which has new content. Unix looks at it again by itself.
    pub fn release(self, device: &File) {
        let _ = device;
    }
}

/// What is open as `file`, which was opened as `path`. Unix asks the file alone;
/// elsewhere only the name tells some devices.
pub fn facts_as(file: &File, path: &Path) -> io::Result<Metadata> {
    let _ = path;
    facts(file)
}

/// What an open file is.
pub fn facts(file: &File) -> io::Result<Metadata> {
    let metadata = file.metadata()?;
    let file_type = metadata.file_type();
    let node = if file_type.is_file() {
        if super::is_virtual(file) { FileKind::VirtualFile } else { FileKind::File }
    } else if file_type.is_block_device() {
        FileKind::BlockDevice
    } else if file_type.is_dir() {
        FileKind::Directory
    } else if file_type.is_fifo() {
        FileKind::Pipe
    } else if file_type.is_socket() {
        FileKind::Socket
    } else {
        super::character_device(file)
    };
    let size = if node == FileKind::BlockDevice {
        super::device_info(file)?.size
    } else {
        metadata.size()
    };
    Ok(Metadata {
        node,
        size,
        device: metadata.dev(),
        inode: metadata.ino(),
        rdev: metadata.rdev(),
        mode: metadata.mode() & 0o7777,
        owner: metadata.uid(),
        group: metadata.gid(),
        links: metadata.nlink(),
        modified: (metadata.mtime(), metadata.mtime_nsec() as u32),
        changed: (metadata.ctime(), metadata.ctime_nsec() as u32),
        accessed: (metadata.atime(), metadata.atime_nsec() as u32),
        created: metadata.created().ok().and_then(|time| {
            let since = time.duration_since(std::time::UNIX_EPOCH).ok()?;
            Some((i64::try_from(since.as_secs()).ok()?, since.subsec_nanos()))
        }),
        allocated: metadata.blocks().saturating_mul(512),
    })
}

/// What a path leads to, without opening it: `None` if there is nothing.
/// For what cannot be opened safely, and for deciding what to open.
pub fn facts_of_path(path: &Path) -> io::Result<Option<Metadata>> {
    let stat = match rustix::fs::stat(path) {
        Ok(stat) => stat,
        Err(error) => return absent(error),
    };
    let mut facts = facts_of(&stat);
    if facts.node == FileKind::CharacterDevice && super::WHOLE_SECTORS {
        // Where disks are character devices, only an open one says that it is one.
        if let Ok(open) = open_source(path).and_then(|file| self::facts(&file)) {
            facts = open;
        }
    }
    Ok(Some(facts))
}

fn absent<T>(error: rustix::io::Errno) -> io::Result<Option<T>> {
    use rustix::io::Errno;
    if error == Errno::NOENT || error == Errno::NOTDIR { Ok(None) } else { Err(error.into()) }
}

#[allow(clippy::unnecessary_cast, clippy::cast_lossless)] // Field types differ between systems.
fn facts_of(stat: &rustix::fs::Stat) -> Metadata {
    let node = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => FileKind::File,
        FileType::Directory => FileKind::Directory,
        FileType::Symlink => FileKind::Link,
        FileType::Fifo => FileKind::Pipe,
        FileType::Socket => FileKind::Socket,
        FileType::BlockDevice => FileKind::BlockDevice,
        _ => FileKind::CharacterDevice,
    };
    Metadata {
        node,
        size: u64::try_from(stat.st_size).unwrap_or(0),
        device: stat.st_dev as u64,
        inode: stat.st_ino as u64,
        rdev: stat.st_rdev as u64,
        mode: stat.st_mode as u32 & 0o7777,
        owner: stat.st_uid,
        group: stat.st_gid,
        links: stat.st_nlink as u64,
        modified: (stat.st_mtime as i64, stat.st_mtime_nsec as u32),
        changed: (stat.st_ctime as i64, stat.st_ctime_nsec as u32),
        accessed: (stat.st_atime as i64, stat.st_atime_nsec as u32),
        // stat(2) does not tell.
        created: None,
        allocated: u64::try_from(stat.st_blocks).unwrap_or(0).saturating_mul(512),
    }
}

/// Sets the length of a file. `gaps`: not all of it will be written, or not in
/// ascending order; Unix gives storage only to what is written anyway.
pub fn set_len(file: &File, len: u64, gaps: bool) -> io::Result<()> {
    let _ = gaps;
    file.set_len(len)
}

/// Sets the permission bits of an open file.
pub fn set_mode(file: &File, mode: u32) -> io::Result<()> {
    file.set_permissions(std::fs::Permissions::from_mode(mode))
}

/// The user that files of this process belong to.
pub fn user() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Makes `file` belong to the user and group of this process, if it does not.
pub fn take_ownership(file: &File) -> io::Result<()> {
    let found = file.metadata()?;
    let (user, group) = (user(), rustix::process::getegid().as_raw());
    if found.uid() == user {
        return Ok(());
    }
    std::os::unix::fs::fchown(file, Some(user), Some(group))
}

/// Gives `to` the owner and group of `from`, if it has others.
pub fn copy_owner(from: &File, to: &File) -> io::Result<()> {
    let (wanted, found) = (from.metadata()?, to.metadata()?);
    if (wanted.uid(), wanted.gid()) == (found.uid(), found.gid()) {
        return Ok(());
    }
    std::os::unix::fs::fchown(to, Some(wanted.uid()), Some(wanted.gid()))
}

/// An open directory. Names are looked up in it, never along a path again, so
/// that nobody can swap a parent for a symbolic link in between.
pub struct Directory {
    fd: OwnedFd,
}

impl Directory {
    /// Opens the directory at `path`, following links on the way.
    pub fn open(path: &Path) -> io::Result<Directory> {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Directory { fd: rustix::fs::open(path, flags, Mode::empty())? })
    }

    /// Opens a directory in this one; a symbolic link is an error.
    pub fn subdirectory(&self, name: &OsStr) -> io::Result<Directory> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        Ok(Directory { fd: rustix::fs::openat(&self.fd, name, flags, Mode::empty())? })
    }

    /// Makes a directory in this one, with the mode the umask leaves. Its
    /// being there already is no error.
    pub fn make_subdirectory(&self, name: &OsStr) -> io::Result<()> {
        match rustix::fs::mkdirat(&self.fd, name, Mode::from_raw_mode(0o777)) {
            Err(error) if error != rustix::io::Errno::EXIST => Err(error.into()),
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
        let fd = rustix::fs::openat(&self.fd, name, flags, Mode::RUSR | Mode::WUSR)?;
        Ok(fd.into())
    }

    /// Creates a file without a name, for the owner alone. Fails where that is
    /// not supported.
    pub fn create_unnamed(&self) -> io::Result<File> {
        super::create_unnamed(&self.fd)
    }

    /// Creates `name`, which must not exist, as a second name for the storage of
    /// all of `from`, for the owner alone. Fails where that is not supported.
    pub fn create_clone(&self, from: &File, name: &OsStr) -> io::Result<File> {
        super::clone_file(from, &self.fd, name)?;
        let file = self.open_existing(name)?;
        set_mode(&file, 0o600)?;
        Ok(file)
    }

    /// Opens `name` for reading and writing; a symbolic link is an error.
    pub fn open_existing(&self, name: &OsStr) -> io::Result<File> {
        let flags = OFlags::RDWR | OFlags::NOFOLLOW | CAREFUL;
        let fd = rustix::fs::openat(&self.fd, name, flags, Mode::empty())?;
        Ok(fd.into())
    }

    /// Opens `name` for reading, without waiting for the writer of a pipe; a
    /// symbolic link is an error.
    pub fn open_to_read(&self, name: &OsStr) -> io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | CAREFUL;
        Ok(rustix::fs::openat(&self.fd, name, flags, Mode::empty())?.into())
    }

    /// What `name` is; a symbolic link is not followed. `None` if nothing has it.
    pub fn facts(&self, name: &OsStr) -> io::Result<Option<Metadata>> {
        match rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(facts_of(&stat))),
            Err(error) => absent(error),
        }
    }

    /// Whether there is no name in it.
    pub fn is_empty(&self) -> io::Result<bool> {
        for entry in rustix::fs::Dir::read_from(&self.fd)? {
            let entry = entry?;
            if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// What the directory itself is.
    pub fn own_facts(&self) -> io::Result<Metadata> {
        Ok(facts_of(&rustix::fs::fstat(&self.fd)?))
    }

    /// Whether this process may create names here, and give them to files later.
    pub fn check_writable(&self) -> io::Result<()> {
        use rustix::fs::Access;
        // First, because it says more.
        super::check_directory(&self.fd)?;
        let flags = AtFlags::EACCESS;
        Ok(rustix::fs::accessat(&self.fd, ".", Access::WRITE_OK | Access::EXEC_OK, flags)?)
    }

    /// Gives `from` the name `to`, in this directory.
    pub fn rename(&self, from: &OsStr, to: &OsStr, replace: Replace) -> io::Result<()> {
        if replace == Replace::Never {
            match super::rename_new(&self.fd, from, to) {
                Err(error) if is_unsupported(&error) => {
                    // A file system without the flag: the check and the rename are two steps.
                    if self.facts(to)?.is_some() {
                        return Err(io::ErrorKind::AlreadyExists.into());
                    }
                }
                result => return result,
            }
        }
        Ok(rustix::fs::renameat(&self.fd, from, &self.fd, to)?)
    }

    /// Removes `name`. Its not being there is no error.
    pub fn remove(&self, name: &OsStr) -> io::Result<()> {
        match rustix::fs::unlinkat(&self.fd, name, AtFlags::empty()) {
            Err(error) if error != rustix::io::Errno::NOENT => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Makes the names in the directory durable.
    pub fn sync(&self) -> io::Result<()> {
        match super::sync_directory(&self.fd) {
            // Some file systems (FUSE, CIFS) have nothing to sync in a directory.
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => Ok(()),
            result => Ok(result?),
        }
    }

    /// Whether an error that a write to any file of this file system met later
    /// shows in [`sync_file_system`](Directory::sync_file_system).
    pub fn sync_covers_files(&self) -> bool {
        super::sync_covers_files(&self.fd)
    }

    /// Makes everything on the file system of this directory durable.
    pub fn sync_file_system(&self) -> io::Result<()> {
        super::sync_file_system(&self.fd)
    }

    /// Bytes that this process could still write on the file system.
    pub fn available_space(&self) -> io::Result<u64> {
        let space = rustix::fs::fstatvfs(&self.fd)?;
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

/// How many files this process may have open at once.
pub fn open_file_limit() -> u64 {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    limit.current.unwrap_or(u64::MAX)
}

/// Whether an error says that a call or a flag does not exist here.
pub fn is_unsupported(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let unsupported = [Errno::NOSYS, Errno::INVAL, Errno::OPNOTSUPP, Errno::NOTSUP, Errno::NOTTY];
    Errno::from_io_error(error).is_some_and(|errno| unsupported.contains(&errno))
}

/// Whether an error of a read says that there is nothing to read from any more:
/// no bad sector has one of these.
pub fn is_gone(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let gone = [
        Errno::NODEV,
        Errno::NXIO,
        Errno::STALE,
        Errno::NOTCONN,
        Errno::SHUTDOWN,
        Errno::CONNABORTED,
        Errno::CONNRESET,
        Errno::HOSTDOWN,
    ];
    let is_one = |errno| gone.contains(&errno) || super::is_no_medium(errno);
    Errno::from_io_error(error).is_some_and(is_one)
}

/// Whether a write ahead of all others makes the file system write zeros up to
/// it first. No: what is not written takes no storage and no time.
pub const FILLS_AHEAD: bool = false;

/// Longest name in a directory, in bytes, where the file system does not say
/// otherwise: NAME_MAX of every file system in common use.
pub const NAME_MAX: usize = 255;

/// The bytes of a path or name.
pub fn bytes_of(text: &OsStr) -> Vec<u8> {
    text.as_bytes().to_vec()
}

/// The path or name that [`bytes_of`] was given.
pub fn os_string(bytes: Vec<u8>) -> Option<OsString> {
    Some(OsString::from_vec(bytes))
}

/// `bytes` as a path: any are one.
pub fn path_from_bytes(bytes: &[u8]) -> Option<&Path> {
    Some(Path::new(OsStr::from_bytes(bytes)))
}

/// Takes the lock of an open file that says "a run is writing this", without
/// waiting. It lasts as long as the file is open.
pub fn try_lock(file: &File) -> Result<(), TryLockError> {
    file.try_lock()
}

/// Whether somebody holds the device at `path` as one does who only looks at it:
/// with a lock that others may share, or for itself alone although nothing of
/// it is in use. No for everything that is no device.
pub fn is_held_for_a_moment(path: &Path) -> bool {
    let Ok(file) = open_source(path) else { return false };
    let is_device = facts(&file).is_ok_and(|facts| facts.node == FileKind::BlockDevice);
    if !is_device || matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)) {
        // Whoever lets nobody share it writes it.
        return false;
    }
    let is_shared = matches!(file.try_lock(), Err(TryLockError::WouldBlock));
    is_shared || super::is_claimed_for_a_moment(path)
}

/// Names of a device that a file can be called by: the last part of its path.
pub fn device_name(path: &Path) -> OsString {
    path.file_name().unwrap_or_default().to_owned()
}

/// The handles of a file that is read and written at positions: one is enough,
/// because a call that names its offset keeps nobody else waiting.
pub struct Handles;

impl Handles {
    /// Of a regular file.
    pub fn of_file() -> Handles {
        Handles
    }

    /// Of a block device.
    pub fn of_device() -> Handles {
        Handles
    }

    /// Runs `request` with a handle for reading.
    pub fn reading<T>(&self, file: &File, request: impl FnOnce(&File) -> T) -> T {
        request(file)
    }

    /// Runs `request` with a handle for reading and writing.
    pub fn writing<T>(&self, file: &File, request: impl FnOnce(&File) -> T) -> T {
        request(file)
    }
}

/// Whether `directory` is one of those that hold device nodes, which is what a
/// file system at `/dev` is for: a regular file made there is a device whose name
/// was misspelt or went away.
pub fn holds_device_nodes(directory: &Metadata) -> bool {
    let Ok(nodes) = std::fs::metadata("/dev") else { return false };
    let is_apart = std::fs::metadata("/").is_ok_and(|root| root.dev() != nodes.dev());
    directory.device == nodes.dev() && (is_apart || directory.inode == nodes.ino())
}
