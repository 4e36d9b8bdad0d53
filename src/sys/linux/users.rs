//! Who else uses a file: as a disk, by way of a loop device, or under a lock.

use std::fs::File;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::super::{FileKind, Metadata, Thing, User};
use super::devices::{folders, mount_points, path_in_dev, swap_areas};
use super::layers::{Backing, open_node};
use super::locks::lock_of_another;
use super::{attribute, parse_device, sysfs_device};
use crate::range::ByteRange;

/// Who uses the file with these facts as a disk, or has locked bytes of it, which
/// `file` can be asked for where it is open.
pub fn users(file: Option<&File>, facts: &Metadata) -> Option<User> {
    as_a_disk(facts).or_else(|| file.and_then(lock_of_another))
}

/// A loop device that stands for the file, and is in use itself. One that is only
/// there does not count.
fn as_a_disk(facts: &Metadata) -> Option<User> {
    let itself = Thing::of(facts);
    let mut mounts = None;
    for disk in folders(Path::new("/sys/block")).unwrap_or_default() {
        if !disk.join("loop/backing_file").exists() {
            continue;
        }
        let Some(number) = attribute(&disk, "dev").as_deref().and_then(parse_device) else {
            continue;
        };
        if Backing::of(number).is_none_or(|backing| backing.thing != itself) {
            continue;
        }
        let mounts: &Vec<u8> =
            mounts.get_or_insert_with(|| std::fs::read("/proc/self/mountinfo").unwrap_or_default());
        if let Some((device, at)) = mounted(&disk, mounts, 0) {
            return Some(User::Mount { device, at });
        }
        let device = path_in_dev(&disk);
        if is_claimed(&device, number)
            || open_node(&device, number, OFlags::empty())
                .is_some_and(|node| lock_of_another(&node).is_some())
        {
            return Some(User::Claim { device });
        }
    }
    None
}

/// Bytes of the smallest file that can be a disk with something that is written to:
/// swap takes ten pages (mkswap), FAT and ext4 more. With less, nobody needs to look
/// through the disks, which takes longer than the copy.
const SMALLEST_DISK: u64 = 32 * 1024;

/// Who may change `range` of the source that is open as `file` while it is read: a
/// file system on it that is mounted for writing, swap, another program.
pub fn writers(file: &File, facts: &Metadata, range: ByteRange) -> Option<User> {
    if facts.node != FileKind::BlockDevice {
        let is_too_small = facts.size < SMALLEST_DISK;
        return if is_too_small { lock_of_another(file) } else { users(Some(file), facts) };
    }
    let disk = sysfs_device(facts.rdev);
    let mounts = std::fs::read("/proc/self/mountinfo").unwrap_or_default();
    let writable: Vec<u8> = for_writing(&mounts).collect::<Vec<_>>().join(&b'\n');
    let overlaps = |part: &PathBuf| region(part).is_none_or(|region| region.overlaps(range));
    let parts = partitions(&disk).into_iter().filter(overlaps);
    let all: Vec<PathBuf> = std::iter::once(disk.clone()).chain(parts).collect();
    let on = |folder: &PathBuf| mounted_on(folder, &writable, 0);
    if let Some((device, at)) = all.iter().find_map(on) {
        return Some(User::Mount { device, at });
    }
    let swaps = swap_areas();
    let is_only_read = |folder: &PathBuf| mounted_on(folder, &mounts, 0).is_some();
    let claimed =
        all.into_iter().map(|folder| (path_in_dev(&folder), folder)).find(|(device, folder)| {
            let number = attribute(folder, "dev").as_deref().and_then(parse_device);
            // A disk is claimed by each of its partitions, which are asked themselves.
            let is_whole = *folder == disk && !partitions(folder).is_empty();
            let claimed = || number.is_some_and(|number| is_claimed(device, number));
            swaps.contains(device) || !is_whole && !is_only_read(folder) && claimed()
        });
    claimed.map(|(device, _)| User::Claim { device })
}

/// The lines of mountinfo whose file systems may be written.
fn for_writing(mountinfo: &[u8]) -> impl Iterator<Item = &[u8]> {
    mountinfo.split(|&byte| byte == b'\n').filter(|line| {
        // The last field has the options of the file system, whatever this mount allows.
        let options = line.rsplit(|&byte| byte == b' ').next().unwrap_or_default();
        options.split(|&byte| byte == b',').any(|option| option == b"rw")
    })
}

/// Where a partition lies on its disk.
fn region(folder: &Path) -> Option<ByteRange> {
    // Counted in units of 512 bytes, whatever the sector size.
    let number = |name| attribute(folder, name)?.parse::<u64>().ok()?.checked_mul(512);
    ByteRange::with_len(number("start")?, number("size")?)
}

fn partitions(folder: &Path) -> Vec<PathBuf> {
    let parts = folders(folder).unwrap_or_default();
    parts.into_iter().filter(|part| part.join("partition").exists()).collect()
}

/// More than anybody stacks; sysfs has no loops.
const DEEPEST: usize = 16;

/// Where the device in `folder`, or what stands on it, is mounted.
fn mounted_on(folder: &Path, mounts: &[u8], depth: usize) -> Option<(PathBuf, PathBuf)> {
    let device = path_in_dev(folder);
    let number = attribute(folder, "dev")?;
    if let Some(at) = mount_points(mounts, &number, &device).into_iter().next() {
        return Some((device, at));
    }
    let holders = folders(&folder.join("holders")).unwrap_or_default();
    let holders = holders.into_iter().filter(|_| depth < DEEPEST);
    holders.into_iter().find_map(|above| mounted_on(&above, mounts, depth + 1))
}

/// Where the device in `folder`, a partition of it, or what stands on them is mounted.
fn mounted(folder: &Path, mounts: &[u8], depth: usize) -> Option<(PathBuf, PathBuf)> {
    let device = path_in_dev(folder);
    let number = attribute(folder, "dev")?;
    if let Some(at) = mount_points(mounts, &number, &device).into_iter().next() {
        return Some((device, at));
    }
    if depth >= DEEPEST {
        return None;
    }
    let holders = folders(&folder.join("holders")).unwrap_or_default();
    partitions(folder)
        .into_iter()
        .chain(holders)
        .find_map(|above| mounted(&above, mounts, depth + 1))
}

/// Whether somebody has a device, or a partition of it, for himself: a mount in
/// any namespace, a swap area, a device mapper, an exclusive open.
fn is_claimed(path: &Path, number: u64) -> bool {
    if open_node(path, number, OFlags::empty()).is_none() {
        return false;
    }
    // Only an open file keeps others away, and this one is closed at once.
    let flags = OFlags::RDONLY | OFlags::EXCL | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let opened = rustix::fs::open(path, flags, rustix::fs::Mode::empty());
    opened.is_err_and(|error| error == rustix::io::Errno::BUSY)
}
