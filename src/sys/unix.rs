//! What all Unix systems have in common.

use std::ffi::{OsStr, OsString};
use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags};

use super::{FileKind, Kernel, Metadata};
use crate::sync::scheduling_point;

/// Reads at `offset` without moving a cursor. May be short; 0 is the end.
pub fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    file.read_at(buffer, offset)
}

/// Writes at `offset` without moving a cursor. May be short.
pub fn write_at(file: &File, data: &[u8], offset: u64) -> io::Result<usize> {
    scheduling_point();
    file.write_at(data, offset)
}

/// Flags for opening what may turn out to be a pipe or a terminal: neither
/// wait for a writer nor become our terminal.
pub(super) const CAREFUL: OFlags = OFlags::NONBLOCK.union(OFlags::NOCTTY).union(OFlags::CLOEXEC);

/// Opens for reading, whatever it is, without waiting.
pub fn open_source(path: &Path) -> io::Result<File> {
    let path = super::best_name(path);
    let opened = rustix::fs::open(&*path, OFlags::RDONLY | CAREFUL, Mode::empty());
    Ok(opened.map_err(|error| explain(error, &path))?.into())
}

/// Says what a denied access to a device means.
fn explain(error: rustix::io::Errno, path: &Path) -> io::Error {
    let is_device = |stat| facts_of(&stat).node == FileKind::BlockDevice;
    if error != rustix::io::Errno::ACCESS || !rustix::fs::stat(path).is_ok_and(is_device) {
        return error.into();
    }
    let advice = "permission denied: a drive can be opened by root (sudo), or by a member of the \
                  group that its device node belongs to";
    io::Error::new(io::ErrorKind::PermissionDenied, advice)
}

/// Opens an existing file for writing inside it, and whether it can be read as
/// well. Symbolic links are followed: the user named the file behind them.
pub fn open_in_place(path: &Path) -> io::Result<(File, bool)> {
    let open = |access| rustix::fs::open(path, access | CAREFUL, Mode::empty()).map(File::from);
    match open(OFlags::RDWR) {
        // Who may write a file need not be allowed to read it.
        Err(error @ rustix::io::Errno::ACCESS) => match open(OFlags::WRONLY) {
            Ok(file) => Ok((file, false)),
            Err(_) => Err(error.into()),
        },
        result => Ok((result?, true)),
    }
}

/// Opens a block device for writing, exclusively: fails with
/// `ResourceBusy` if it is mounted or claimed, and never creates a file.
pub fn open_device(path: &Path) -> io::Result<(File, DeviceLock)> {
    let path = super::best_name(path);
    let opened = rustix::fs::open(&*path, OFlags::RDWR | OFlags::EXCL | CAREFUL, Mode::empty());
    let file = opened.map_err(|error| explain(error, &path))?.into();
    Ok((file, DeviceLock))
}

/// What keeps others off a device while it is written: the open device itself.
pub struct DeviceLock;

impl DeviceLock {
    /// Lets others at the device, which has new content.
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
    let facts = facts_of_known(file)?;
    match facts.node {
        FileKind::File if super::is_virtual(file) => {
            Ok(Metadata { node: FileKind::VirtualFile, ..facts })
        }
        _ => Ok(facts),
    }
}

/// The same, where it is known that the kernel does not make up the file: one
/// call less.
pub fn facts_of_known(file: &File) -> io::Result<Metadata> {
    scheduling_point();
    let metadata = file.metadata()?;
    let file_type = metadata.file_type();
    let node = if file_type.is_file() {
        FileKind::File
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

pub(super) fn absent<T>(error: rustix::io::Errno) -> io::Result<Option<T>> {
    use rustix::io::Errno;
    if error == Errno::NOENT || error == Errno::NOTDIR { Ok(None) } else { Err(error.into()) }
}

#[allow(clippy::unnecessary_cast, clippy::cast_lossless)] // Field types differ between systems.
pub(super) fn facts_of(stat: &rustix::fs::Stat) -> Metadata {
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
    scheduling_point();
    file.set_len(len)
}

/// Sets the permission bits of an open file.
pub fn set_mode(file: &File, mode: u32) -> io::Result<()> {
    file.set_permissions(std::fs::Permissions::from_mode(mode))
}

/// The name of this machine.
pub fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// The kernel, as it calls itself.
pub fn kernel() -> Option<Kernel> {
    let name = rustix::system::uname();
    let text = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
    Some(Kernel {
        name: text(name.sysname()),
        release: text(name.release()),
        machine: text(name.machine()),
        host: text(name.nodename()),
    })
}

/// Whether a file lies on a file system that is mounted read-only.
pub fn is_mounted_read_only(file: &File) -> bool {
    let read_only = rustix::fs::StatVfsMountFlags::RDONLY;
    rustix::fs::fstatvfs(file).is_ok_and(|system| system.f_flag.contains(read_only))
}

/// The user that files of this process belong to.
pub fn user() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Whether an error says that a call is kept from this process, by the file
/// system or by a sandbox, or does not exist here; none of a disk, and none that
/// says that there is no room.
pub fn is_refused(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let errno = Errno::from_io_error(error);
    matches!(errno, Some(Errno::PERM | Errno::ACCESS)) || is_unsupported(error)
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

/// Gives `file` this owner and group, if it has others.
pub fn set_owner(file: &File, owner: u32, group: u32) -> io::Result<()> {
    let found = file.metadata()?;
    if (owner, group) == (found.uid(), found.gid()) {
        return Ok(());
    }
    std::os::unix::fs::fchown(file, Some(owner), Some(group))
}

/// How many files this process may have open at once.
pub fn open_file_limit() -> u64 {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    limit.current.unwrap_or(u64::MAX)
}

/// Allows this process as many open files as it may allow itself: shells set less
/// for the sake of programs that are long gone. Best effort.
pub fn raise_open_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, ..limit };
    let _ = setrlimit(Resource::Nofile, raised);
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
    scheduling_point();
    file.try_lock().inspect(|()| super::mark_locked(file))
}

/// Whether somebody holds the device at `path` as one does who only looks at it:
/// with a lock that others may share, or for itself alone although nothing of
/// it is in use. No for everything that is not a device.
pub fn is_held_for_a_moment(path: &Path) -> bool {
    let Ok(file) = open_source(path) else { return false };
    let is_device = facts(&file).is_ok_and(|facts| facts.node == FileKind::BlockDevice);
    if !is_device || matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)) {
        // A program that lets nobody share it writes it.
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
