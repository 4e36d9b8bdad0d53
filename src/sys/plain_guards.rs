//! What keeps a file from being replaced or written, and what its bytes lie in,
//! where the system is not asked any further than for the disk.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::path::Path;

use super::{Directory, FileKind, Layer, Metadata, Thing, User, devices_below, disk_region};
use crate::range::ByteRange;

/// What the system keeps from being replaced or written: not asked.
pub struct Guards;

impl Guards {
    /// Asks nothing.
    pub fn now() -> Guards {
        Guards
    }

    /// Whether `name` may be given to another file.
    pub fn check_replaceable(&self, _directory: &Directory, _name: &OsStr) -> io::Result<()> {
        Ok(())
    }

    /// Whether the file with these facts may be written to.
    pub fn check_writable(&self, _facts: &Metadata) -> io::Result<()> {
        Ok(())
    }
}

/// Why the file at `path` cannot be opened for writing, beyond what the system
/// says: nothing more is known.
pub fn why_not_writable(_path: &Path) -> Option<io::Error> {
    None
}

/// Whether a file can be changed by no program, whatever its mode: not asked.
pub fn is_immutable(_file: &File) -> bool {
    false
}

/// What the bytes of a file or device, or of new files in a directory, lie in:
/// the device itself and its disk.
pub fn layers(facts: &Metadata, path: &Path) -> Vec<Layer> {
    let all = ByteRange::to(u64::MAX);
    let on_disk = |device: u64, start: Option<u64>| {
        let region = disk_region(device);
        let first = Layer { thing: Thing::Device(device), start, within: all };
        // Where a partition ends is not known: what lies somewhere on its disk
        // counts as beside it.
        let is_part = start.is_some() && region.disk != device;
        let within = if is_part { ByteRange::default() } else { all };
        let start = start.map(|start| region.start.saturating_add(start));
        let disk = Layer { thing: Thing::Device(region.disk), start, within };
        [first, disk]
    };
    if facts.node == FileKind::BlockDevice {
        return on_disk(facts.rdev, Some(0)).to_vec();
    }
    let below = devices_below(facts.device, path).into_iter().flat_map(|on| on_disk(on, None));
    let (device, inode) = (facts.device, facts.inode);
    let itself = Layer { thing: Thing::File { device, inode }, start: Some(0), within: all };
    let itself = (facts.node != FileKind::Directory).then_some(itself);
    itself.into_iter().chain(below).collect()
}

/// Who uses a file as a disk, or has locked it: not asked.
pub fn users(_file: Option<&File>, _facts: &Metadata) -> Option<User> {
    None
}

/// Locks a range of a file against other runs: there are no such locks that
/// belong to an open file and keep nobody from reading.
pub fn try_lock_range(_file: &File, _range: ByteRange) -> io::Result<bool> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Gives up a lock of a range, of which there are none.
pub fn unlock_range(_file: &File, _range: ByteRange) {}

/// Has locked files marked for [`close_locked`]: the system does not tell locks of an
/// open file.
pub fn expect_forks() {}

/// Marks a locked file: not done.
#[cfg(unix)]
pub(super) fn mark_locked(_file: &File) {}

/// Closes what a child has inherited of files that its parent had locked: it keeps
/// them, because they are not marked.
///
/// # Safety
///
/// As on Linux: only in the child of a fork.
// SAFETY: it does nothing.
pub unsafe fn close_locked() {}

/// Who may change a source while it is read: not asked.
pub fn writers(_file: &File, _facts: &Metadata, _range: ByteRange) -> Option<User> {
    None
}

/// Whether the system has partitions of a disk that it read earlier: not asked.
pub fn has_partitions(_device: &File) -> Option<bool> {
    None
}

/// Has the system read a partition table again, which it does by itself.
pub fn reread_partitions(_device: &File) -> io::Result<()> {
    Ok(())
}

/// Longest file that this process may write, in bytes.
pub fn longest_file(_directory: &Directory, _len: u64) -> u64 {
    i64::MAX as u64
}
