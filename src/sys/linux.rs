//! Linux.

mod cgroup;
#[cfg(feature = "cli")]
mod confine;
mod data;
mod devices;
mod guards;
mod layers;
mod locks;
mod partitions;
mod umask;
mod users;

pub use cgroup::memory_limit;
#[cfg(feature = "cli")]
pub use confine::confine;
pub use data::*;
pub use devices::devices;
pub(super) use devices::is_claimed_for_a_moment;
pub use guards::*;
pub use layers::layers;
pub(super) use locks::mark_locked;
pub use locks::{close_locked, expect_forks, try_lock_range, unlock_range};
pub use partitions::{has_partitions, reread_partitions};
pub use umask::left_by_umask;
pub use users::{users, writers};

use std::borrow::Cow;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd};
use std::os::raw::c_int;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FallocateFlags, RenameFlags, SeekFrom, major, minor};
use rustix::ioctl;

use super::{DeviceInfo, DiskRegion, FileKind, FileSystem};
use crate::range::ByteRange;

/// Whether the file, or directory, lies on a file system that makes content up
/// as it is read.
pub fn is_virtual(file: impl AsFd) -> bool {
    // linux/magic.h: proc, sysfs, debugfs, tracefs, cgroup, cgroup2, securityfs.
    const MAGICS: [u64; 7] =
        [0x9fa0, 0x6265_6572, 0x6462_6720, 0x7472_6163, 0x0027_e0eb, 0x6367_7270, 0x7363_6673];
    rustix::fs::fstatfs(file).is_ok_and(|stat| MAGICS.contains(&(stat.f_type as u64)))
}

/// What the block device open as `file` says of itself.
pub fn device_info(file: &File) -> io::Result<DeviceInfo> {
    let rdev = file.metadata()?.rdev();
    let size = rustix::fs::seek(file, SeekFrom::End(0))?;
    let logical_sector = rustix::fs::ioctl_blksszget(file).unwrap_or(512);
    let physical_sector = rustix::fs::ioctl_blkpbszget(file).unwrap_or(logical_sector);
    let whole = sysfs_disk(rdev);
    Ok(DeviceInfo {
        size,
        logical_sector,
        physical_sector,
        read_only: is_read_only(file)?,
        rotational: spins(&whole),
        model: attribute(&whole, "device/model").or_else(|| {
            attribute(&whole, "loop/backing_file").map(|file| format!("loop device on {file}"))
        }),
        serial: devices::serial(&whole),
        wwn: devices::wwn(&whole),
        firmware: devices::firmware(&whole),
    })
}

/// Whether a disk spins that the device, or the file system, `device` lies on.
pub fn is_rotational(device: u64, file_system: Option<FileSystem>) -> Option<bool> {
    match file_system.and_then(|system| system.id) {
        Some(id) => any_spins(devices::of_btrfs(id)),
        None => spins(&sysfs_disk(device)),
    }
}

/// Virtual disks call themselves rotational because nobody told them otherwise;
/// those that stand on others are as these are.
fn spins(disk: &Path) -> Option<bool> {
    let place = disk.to_string_lossy();
    if place.contains("/virtio") {
        return None;
    }
    if place.contains("/virtual/") {
        return any_spins(devices::slaves(disk));
    }
    attribute(disk, "queue/rotational").map(|flag| flag == "1")
}

fn any_spins(devices: Vec<u64>) -> Option<bool> {
    any(devices.into_iter().map(|device| spins(&sysfs_disk(device))))
}

/// Whether the answer of any is yes; not known unless all the others are no.
fn any(answers: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    answers.reduce(|one, other| match (one, other) {
        (Some(true), _) | (_, Some(true)) => Some(true),
        (Some(false), Some(false)) => Some(false),
        _ => None,
    })?
}

/// Whether an error says that a drive is empty.
pub(super) fn is_no_medium(errno: rustix::io::Errno) -> bool {
    errno == rustix::io::Errno::NOMEDIUM
}

/// How it is known that what is open as `file` is not there any more. A device
/// had `size` bytes when it was opened.
pub fn why_gone(file: &File, size: Option<u64>) -> Option<String> {
    let metadata = match file.metadata() {
        Ok(metadata) => metadata,
        Err(_) => return Some("the system does not know it any more".to_owned()),
    };
    let before = size?;
    let rdev = metadata.rdev();
    let known = Path::new("/sys/dev/block");
    // Without sysfs nobody knows.
    if known.exists() && !known.join(format!("{}:{}", major(rdev), minor(rdev))).exists() {
        return Some("the system has no such device any more".to_owned());
    }
    if let Some(Err(error)) = open_below(rdev)
        && super::is_gone(&error)
    {
        return Some("the file below the device is gone as well".to_owned());
    }
    match rustix::fs::seek(file, SeekFrom::End(0)) {
        Ok(now) if now < before => Some(format!("the device has {now} bytes, and had {before}")),
        Ok(_) => None,
        Err(_) => Some("the system does not know its size any more".to_owned()),
    }
}

/// Has whatever lies below a loop device forget what it holds of `range` of
/// `file`, so that a read says what is where it is kept. Best effort.
pub fn forget_below(file: &File, range: ByteRange) {
    let Ok(metadata) = file.metadata() else { return };
    let Some(Ok(below)) = open_below(metadata.rdev()) else { return };
    let start = attribute(&sysfs_device(metadata.rdev()), "loop/offset");
    let start = start.and_then(|offset| offset.parse().ok()).unwrap_or(0);
    if let Some(range) = range.rebase(0, start) {
        drop_cached(&below, range);
    }
}

/// The file below the loop device `rdev`, opened by its name; `None` for
/// anything else.
fn open_below(rdev: u64) -> Option<io::Result<File>> {
    let name = attribute(&sysfs_device(rdev), "loop/backing_file")?;
    Some(super::open_source(Path::new(&name)))
}

fn is_read_only(device: &File) -> io::Result<bool> {
    // linux/fs.h: BLKROGET is _IO(0x12, 94) and stores an int.
    type ReadOnly = ioctl::Getter<{ ioctl::opcode::none(0x12, 94) }, c_int>;
    // SAFETY: the opcode stores one int, which is what the getter makes room for.
    let flag = unsafe { ioctl::ioctl(device, ReadOnly::new()) }?;
    Ok(flag != 0)
}

/// The folder of a block device in sysfs; of a partition, that of its disk.
fn sysfs_disk(rdev: u64) -> PathBuf {
    let folder = sysfs_device(rdev);
    match folder.parent() {
        Some(disk) if folder.join("partition").exists() => disk.to_owned(),
        _ => folder,
    }
}

fn sysfs_device(rdev: u64) -> PathBuf {
    let link = format!("/sys/dev/block/{}:{}", major(rdev), minor(rdev));
    // Resolved, because the folder above a partition is the disk it is in. The link
    // is relative and leads to a real folder: one call instead of one for each part.
    let target = std::fs::read_link(&link).unwrap_or_default();
    match target.strip_prefix("../..") {
        Ok(within) => Path::new("/sys").join(within),
        Err(_) => std::fs::canonicalize(&link).unwrap_or_else(|_| link.into()),
    }
}

fn attribute(folder: &Path, name: &str) -> Option<String> {
    let text = text_of(&folder.join(name))?;
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// What a small file of the kernel says, such as one in procfs or sysfs. They tell
/// no size, and reading them by std takes a call for every few bytes.
pub(super) fn text_of(path: &Path) -> Option<String> {
    let mut text = String::with_capacity(4096);
    File::open(path).ok()?.take(1 << 20).read_to_string(&mut text).ok()?;
    Some(text)
}

/// Where the block device `rdev` lies on its whole disk.
pub fn disk_region(rdev: u64) -> DiskRegion {
    let folder = sysfs_device(rdev);
    let disk = attribute(&folder, "../dev").filter(|_| folder.join("partition").exists());
    let start = attribute(&folder, "start").and_then(|sectors| sectors.parse::<u64>().ok());
    match (disk.as_deref().and_then(parse_device), start) {
        // sysfs counts in units of 512 bytes, whatever the sector size.
        (Some(disk), Some(start)) => DiskRegion { disk, start: start.saturating_mul(512) },
        _ => DiskRegion { disk: rdev, start: 0 },
    }
}

fn parse_device(text: &str) -> Option<u64> {
    let (major, minor) = text.split_once(':')?;
    Some(rustix::fs::makedev(major.parse().ok()?, minor.parse().ok()?))
}

/// Makes `range` read as zeros without writing them: a hole in a file, a
/// zeroing request on a device. Fails where that is not supported.
pub fn zero_range(file: &File, range: ByteRange) -> io::Result<()> {
    let flags = if file.metadata()?.is_file() {
        FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE
    } else {
        // Never a discard on a device: that may leave anything.
        FallocateFlags::ZERO_RANGE | FallocateFlags::KEEP_SIZE
    };
    Ok(rustix::fs::fallocate(file, flags, range.start(), range.len())?)
}

/// Renames within `directory`, unless `to` exists.
pub(super) fn rename_new(directory: impl AsFd, from: &OsStr, to: &OsStr) -> io::Result<()> {
    let flags = RenameFlags::NOREPLACE;
    Ok(rustix::fs::renameat_with(&directory, from, &directory, to, flags)?)
}

pub(super) fn sync_covers_files(file: impl AsFd) -> bool {
    // syncfs(2) reports lost data since 5.8, and what went wrong with the file
    // system itself since 5.17; where a server has the data, it is not asked.
    let release = kernel_release().unwrap_or_default();
    let mut numbers = release.split(['.', '-', '\n']).map_while(|part| part.parse::<u32>().ok());
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    let is_local = |found: super::FileSystem| {
        use super::FileSystemKind::{Btrfs, Ext, Tmpfs, Xfs};
        matches!(found.kind, Btrfs | Ext | Tmpfs | Xfs)
    };
    version >= (5, 17) && file_system(file).is_ok_and(is_local)
}

/// The release of the kernel, as `uname -r` prints it.
fn kernel_release() -> Option<String> {
    // SAFETY: a structure of characters, for which zeros are valid.
    let mut name: libc::utsname = unsafe { std::mem::zeroed() };
    // SAFETY: the call fills this one structure, alive during the call.
    let result = unsafe { libc::uname(&raw mut name) };
    // SAFETY: the kernel ends the text within its array.
    let release = unsafe { std::ffi::CStr::from_ptr(name.release.as_ptr()) };
    (result == 0).then(|| release.to_string_lossy().into_owned())
}

/// Makes everything on the file system of an open file durable.
pub(super) fn sync_file_system(file: impl AsFd) -> io::Result<()> {
    Ok(rustix::fs::syncfs(file)?)
}

/// Block devices take requests of any shape.
pub const WHOLE_SECTORS: bool = false;

/// The name under which a device is best read: its own.
pub(super) fn best_name(path: &Path) -> Cow<'_, Path> {
    Cow::Borrowed(path)
}

/// Disks are block devices.
pub(super) fn character_device(_file: &File) -> FileKind {
    FileKind::CharacterDevice
}

/// A file without a name in `directory`, for the owner alone.
pub(super) fn create_unnamed(directory: impl AsFd) -> std::io::Result<File> {
    use rustix::fs::{Mode, OFlags};
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(directory, ".", flags, Mode::RUSR | Mode::WUSR)?.into())
}

/// Gives a file without a name the name `name` in `directory`.
pub(super) fn name_unnamed(file: &File, directory: impl AsFd, name: &OsStr) -> io::Result<()> {
    use rustix::fs::AtFlags;
    match rustix::fs::linkat(file, "", &directory, name, AtFlags::EMPTY_PATH) {
        // Before Linux 6.10, what this takes only some users have.
        Err(rustix::io::Errno::NOENT) => name_by_proc(file, directory, name),
        result => Ok(result?),
    }
}

/// The same in the way that open(2) has for everybody.
fn name_by_proc(file: &File, directory: impl AsFd, name: &OsStr) -> io::Result<()> {
    use rustix::fs::AtFlags;
    let own = format!("/proc/self/fd/{}", file.as_raw_fd());
    Ok(rustix::fs::linkat(CWD, own, directory, name, AtFlags::SYMLINK_FOLLOW)?)
}

/// How a directory is opened that cannot be read: to reach what is in it.
pub(super) const REACH: Option<rustix::fs::OFlags> = Some(rustix::fs::OFlags::PATH);

/// Makes the names in a directory durable.
pub(super) fn sync_directory(directory: impl AsFd) -> rustix::io::Result<()> {
    rustix::fs::fsync(directory)
}

/// Makes `name` share the storage of all of `from`: not offered. Linux
/// shares ranges of files that are there, see `share_range`.
pub(super) fn clone_file(_from: &File, _directory: impl AsFd, _name: &OsStr) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use super::{any, create_unnamed, name_by_proc, name_unnamed};

    #[test]
    fn a_file_gets_its_name_later_and_replaces_none() {
        let folder = tempfile::tempdir().unwrap();
        let directory = std::fs::File::open(folder.path()).unwrap();
        let Ok(file) = create_unnamed(&directory) else { return };
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        name_unnamed(&file, &directory, "one".as_ref()).unwrap();
        let other = create_unnamed(&directory).unwrap();
        name_by_proc(&other, &directory, "two".as_ref()).unwrap();
        std::io::Write::write_all(&mut &other, b"two").unwrap();
        let third = create_unnamed(&directory).unwrap();
        for name in [name_unnamed, name_by_proc] {
            let taken = name(&third, &directory, "two".as_ref()).unwrap_err();
            assert_eq!(taken.kind(), std::io::ErrorKind::AlreadyExists);
        }
        assert_eq!(std::fs::read(folder.path().join("two")).unwrap(), b"two");
    }

    #[test]
    fn what_stands_on_several_disks_spins_if_one_of_them_does() {
        let check = |answers: &[Option<bool>], expected: Option<bool>| {
            assert_eq!(any(answers.iter().copied()), expected, "{answers:?}");
        };
        check(&[], None);
        check(&[None], None);
        check(&[Some(false)], Some(false));
        check(&[Some(false), Some(true)], Some(true));
        check(&[None, Some(true), None], Some(true));
        check(&[Some(false), None, Some(false)], None);
    }
}
