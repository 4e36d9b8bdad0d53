//! FreeBSD, and other Unix systems as far as they are alike. Type-checked for
//! FreeBSD, but not run on it.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use rustix::ioctl::{self, opcode};

pub use super::plain_data::*;
use super::{DeviceInfo, FileKind};
use crate::range::ByteRange;
use crate::sys::Device;

/// Disks are character devices, and take whole sectors only.
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

/// The name under which a device is best read: its own.
pub(super) fn best_name(path: &Path) -> Cow<'_, Path> {
    Cow::Borrowed(path)
}

/// A disk is a character device that knows the size of its sectors.
pub(super) fn character_device(file: &File) -> FileKind {
    if sector_size(file).is_ok() { FileKind::BlockDevice } else { FileKind::CharacterDevice }
}

/// procfs is optional here, and its files have no size to be mistaken for one.
pub fn is_virtual(_file: &File) -> bool {
    false
}

/// Asks `file` for the plain number that the request with this code gives.
fn ask<const CODE: ioctl::Opcode, T>(file: &File) -> io::Result<T> {
    // SAFETY: every caller names a code of sys/disk.h together with the type
    // of number that it stores there.
    Ok(unsafe { ioctl::ioctl(file, ioctl::Getter::<CODE, T>::new()) }?)
}

// sys/disk.h: DIOCGSECTORSIZE.
fn sector_size(file: &File) -> io::Result<u32> {
    ask::<{ opcode::read::<u32>(b'd', 128) }, u32>(file)
}

/// What the disk open as `file` says of itself.
pub fn device_info(file: &File) -> io::Result<DeviceInfo> {
    let logical_sector = sector_size(file)?;
    // DIOCGMEDIASIZE, DIOCGSTRIPESIZE, DIOCGIDENT.
    let size = ask::<{ opcode::read::<i64>(b'd', 129) }, i64>(file)?;
    let physical = ask::<{ opcode::read::<i64>(b'd', 139) }, i64>(file).unwrap_or(0);
    let ident = ask::<{ opcode::read::<[u8; 256]>(b'd', 137) }, [u8; 256]>(file).ok();
    let serial = ident.and_then(|bytes| {
        let text = bytes.split(|&byte| byte == 0).next().unwrap_or_default();
        String::from_utf8(text.to_vec()).ok().filter(|text| !text.is_empty())
    });
    Ok(DeviceInfo {
        size: u64::try_from(size).unwrap_or(0),
        logical_sector,
        physical_sector: u32::try_from(physical).unwrap_or(0).max(logical_sector),
        read_only: false,
        rotational: None,
        model: None,
        serial,
        wwn: None,
        firmware: None,
    })
}

/// The extent of a file: not asked for, all counts as data.
#[cfg(not(target_os = "freebsd"))]
pub fn next_extent(_file: &File, rest: ByteRange) -> io::Result<crate::range::Extent> {
    Ok(crate::range::Extent { range: rest, data: true })
}

/// Makes `range` read as zeros without writing them: not offered.
pub fn zero_range(_file: &File, _range: ByteRange) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Renames within `directory`, unless `to` exists: a link fails if it does.
pub(super) fn rename_new(directory: impl AsFd, from: &OsStr, to: &OsStr) -> io::Result<()> {
    super::unix_directory::link_then_unlink(directory, from, to)
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

/// Every disk, each before its parts.
pub fn devices() -> io::Result<Vec<Device>> {
    super::bsd_devices::devices(&[
        "ada", "da", "nda", "nvd", "vtbd", "vtblk", "mmcsd", "md", "cd", "wd", "sd",
    ])
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

/// Makes the names in a directory durable.
pub(super) fn sync_directory(directory: impl AsFd) -> rustix::io::Result<()> {
    rustix::fs::fsync(directory)
}

/// Makes `name` share the storage of all of `from`: not offered.
pub(super) fn clone_file(_from: &File, _directory: impl AsFd, _name: &OsStr) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
