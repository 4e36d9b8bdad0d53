//! macOS. Type-checked for it, but not run on it.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::RenameFlags;
use rustix::io::Errno;
use rustix::ioctl::{self, opcode};

pub use super::plain_data::{
    MOVES_BYTES, Pipe, available_memory, cached_bytes, copy_range, direct_alignment, drop_cached,
    file_system, forget_below, is_not_offered, is_rotational, largest_file, memory_limit,
    own_input, own_stream, read_further_ahead, share_range, start_writing,
};
use super::{DeviceInfo, FileKind, PositionedFile};
use crate::range::ByteRange;
use crate::sys::Device;

/// A raw disk (`/dev/rdisk2`) takes whole sectors only.
pub const WHOLE_SECTORS: bool = true;

/// Whether somebody has a device for itself for a moment: not known here.
pub(super) fn is_claimed_for_a_moment(_path: &Path) -> bool {
    false
}

/// Whether an error says that a drive is empty: there is none of its own.
pub(super) fn is_no_medium(_errno: rustix::io::Errno) -> bool {
    false
}

/// How it is known that what is open as `file` is not there any more. A device
/// had `size` bytes when it was opened.
pub fn why_gone(file: &File, size: Option<u64>) -> Option<String> {
    let now = match size {
        Some(_) => device_info(file).map(|info| info.size),
        None => file.metadata().map(|_| 0),
    };
    match now {
        Ok(now) if now < size.unwrap_or(0) => Some(format!("the device has {now} bytes")),
        Ok(_) => None,
        Err(_) => Some("the system does not know it any more".to_owned()),
    }
}

/// The name under which a device is best read: `/dev/rdisk2` for `/dev/disk2`,
/// which would go through a cache in requests of a page.
pub(super) fn best_name(path: &Path) -> Cow<'_, Path> {
    let name = path.file_name().and_then(OsStr::to_str);
    match name.and_then(|name| name.strip_prefix("disk")) {
        Some(number) if path.parent() == Some(Path::new("/dev")) => {
            Cow::Owned(PathBuf::from(format!("/dev/rdisk{number}")))
        }
        _ => Cow::Borrowed(path),
    }
}

/// A raw disk is a character device that knows the size of its sectors.
pub(super) fn character_device(file: &File) -> FileKind {
    if sector_size(file).is_ok() { FileKind::BlockDevice } else { FileKind::CharacterDevice }
}

/// There is no procfs.
pub fn is_virtual(_file: &File) -> bool {
    false
}

/// Asks `file` for the plain number that the request with this code gives.
fn ask<const CODE: ioctl::Opcode, T>(file: &File) -> io::Result<T> {
    // SAFETY: every caller names a code of sys/disk.h together with the type
    // of number that it stores there.
    Ok(unsafe { ioctl::ioctl(file, ioctl::Getter::<CODE, T>::new()) }?)
}

// sys/disk.h: DKIOCGETBLOCKSIZE.
fn sector_size(file: &File) -> io::Result<u32> {
    ask::<{ opcode::read::<u32>(b'd', 24) }, u32>(file)
}

/// What the block device open as `file` says of itself.
pub fn device_info(file: &File) -> io::Result<DeviceInfo> {
    let logical_sector = sector_size(file)?;
    // DKIOCGETBLOCKCOUNT, DKIOCGETPHYSICALBLOCKSIZE, DKIOCISWRITABLE, DKIOCISSOLIDSTATE.
    let sectors = ask::<{ opcode::read::<u64>(b'd', 25) }, u64>(file)?;
    let physical = ask::<{ opcode::read::<u32>(b'd', 77) }, u32>(file);
    let writable = ask::<{ opcode::read::<u32>(b'd', 29) }, u32>(file);
    let solid = ask::<{ opcode::read::<u32>(b'd', 79) }, u32>(file);
    Ok(DeviceInfo {
        size: sectors.saturating_mul(u64::from(logical_sector)),
        logical_sector,
        physical_sector: physical.unwrap_or(logical_sector),
        read_only: writable.is_ok_and(|writable| writable == 0),
        rotational: solid.ok().map(|solid| solid == 0),
        model: None,
        serial: None,
        wwn: None,
        firmware: None,
    })
}

/// Makes `range` read as zeros without writing them: not offered.
pub fn zero_range(_file: &File, _range: ByteRange) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Renames within `directory`, unless `to` exists.
pub(super) fn rename_new(directory: impl AsFd, from: &OsStr, to: &OsStr) -> io::Result<()> {
    // rustix calls the flag by its Linux name; here it is RENAME_EXCL.
    let flags = RenameFlags::NOREPLACE;
    Ok(rustix::fs::renameat_with(&directory, from, &directory, to, flags)?)
}

/// How a directory is opened that cannot be read: not at all.
pub(super) const REACH: Option<rustix::fs::OFlags> = None;

/// There is no such call.
pub(super) fn sync_covers_files(_file: impl AsFd) -> bool {
    false
}

/// There is no call for one file system.
pub(super) fn sync_file_system(_file: impl AsFd) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// A second descriptor of an open file that leaves the page cache alone. The
/// flag would hold for all users of the first one.
pub fn reopen_direct(file: &File, writable: bool) -> io::Result<PositionedFile> {
    let path = rustix::fs::getpath(file)?;
    let path = Path::new(OsStr::from_bytes(path.as_bytes()));
    let again = File::options().read(true).write(writable).open(path)?;
    let (before, now) = (file.metadata()?, again.metadata()?);
    if (before.dev(), before.ino()) != (now.dev(), now.ino()) {
        return Err(io::Error::other("opening the file again led to another file"));
    }
    rustix::fs::fcntl_nocache(&again, true)?;
    Ok(PositionedFile::file(again))
}

/// Reserves storage for `range` of a file that is long enough already.
pub fn reserve(file: &File, range: ByteRange) -> io::Result<()> {
    let missing = range.len().saturating_sub(file.metadata()?.blocks().saturating_mul(512));
    let mut request = libc::fstore_t {
        fst_flags: libc::F_ALLOCATEALL,
        // From the end of what is allocated on.
        fst_posmode: libc::F_PEOFPOSMODE,
        fst_offset: 0,
        fst_length: i64::try_from(missing).map_err(|_| io::ErrorKind::InvalidInput)?,
        fst_bytesalloc: 0,
    };
    if missing == 0 {
        return Ok(());
    }
    // SAFETY: the command reads and writes this one structure, alive during the call.
    let result = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_PREALLOCATE, &raw mut request) };
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Every disk, each before its parts.
pub fn devices() -> io::Result<Vec<Device>> {
    super::bsd_devices::devices(&["disk"])
}

/// Every file has a name here.
pub(super) fn create_unnamed(_directory: impl AsFd) -> io::Result<File> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Gives a file without a name the name `name`: there are none.
pub(super) fn name_unnamed(_file: &File, _directory: impl AsFd, _name: &OsStr) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// What the default umask leaves of the permission bits `mode` of a new file.
/// The umask itself cannot be asked for without changing it for every thread.
pub fn left_by_umask(mode: u32) -> u32 {
    mode & !0o022
}

/// Whether names can be made in an open directory, beyond what its permissions
/// say: not asked.
pub(super) fn check_directory(_directory: impl AsFd) -> io::Result<()> {
    Ok(())
}

/// Makes the names in a directory durable: fsync alone stops at the cache of
/// the disk. For files the standard library does the same.
pub(super) fn sync_directory(directory: impl AsFd) -> rustix::io::Result<()> {
    match rustix::fs::fcntl_fullfsync(&directory) {
        // A file system of a server, say, has only the weaker call.
        Err(Errno::NOTSUP | Errno::NOTTY | Errno::INVAL) => rustix::fs::fsync(directory),
        result => result,
    }
}

/// Makes `name` in `directory` share the storage of all of `from` (clonefile).
/// There is no call that shares a part of a file.
pub(super) fn clone_file(from: &File, directory: impl AsFd, name: &OsStr) -> io::Result<()> {
    // The copy belongs to the user who makes it.
    let flags = rustix::fs::CloneFlags::NOOWNERCOPY;
    Ok(rustix::fs::fclonefileat(from, directory, name, flags)?)
}
