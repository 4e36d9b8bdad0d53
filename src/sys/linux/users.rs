//! Who else uses a file: as a disk, by way of a loop device, or under a lock.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::super::{FileKind, Metadata, Thing, User};
use super::devices::{folders, mount_points, path_in_dev};
use super::layers::{Backing, open_node};
use super::{attribute, parse_device};

/// Who uses the file with these facts as a disk, or has locked bytes of it, which
/// `file` can be asked for where it is open.
pub fn users(file: Option<&File>, facts: &Metadata) -> Option<User> {
    as_a_disk(facts).or_else(|| file.and_then(lock))
}

/// A loop device that stands for the file, and is in use itself. One that is only
/// there does not count.
fn as_a_disk(facts: &Metadata) -> Option<User> {
    let itself = match facts.node {
        FileKind::BlockDevice => Thing::Device(facts.rdev),
        _ => Thing::File { device: facts.device, inode: facts.inode },
    };
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
            || open_node(&device, number, OFlags::empty()).is_some_and(|node| lock(&node).is_some())
        {
            return Some(User::Claim { device });
        }
    }
    None
}

/// Where the device in `folder`, a partition of it, or what stands on them is mounted.
fn mounted(folder: &Path, mounts: &[u8], depth: usize) -> Option<(PathBuf, PathBuf)> {
    /// More than anybody stacks; sysfs has no loops.
    const DEEPEST: usize = 16;
    let device = path_in_dev(folder);
    let number = attribute(folder, "dev")?;
    if let Some(at) = mount_points(mounts, &number, &device).into_iter().next() {
        return Some((device, at));
    }
    if depth >= DEEPEST {
        return None;
    }
    let parts = folders(folder).unwrap_or_default();
    let parts = parts.into_iter().filter(|part| part.join("partition").exists());
    let holders = folders(&folder.join("holders")).unwrap_or_default();
    parts.chain(holders).find_map(|above| mounted(&above, mounts, depth + 1))
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

/// A lock of another program on any byte of an open file. pcopy takes locks of
/// another kind (flock), which are not seen here.
fn lock(file: &File) -> Option<User> {
    // SAFETY: a structure of numbers, for which zeros are valid: all of the file.
    let mut asked: libc::flock = unsafe { std::mem::zeroed() };
    asked.l_type = libc::F_WRLCK as _;
    asked.l_whence = libc::SEEK_SET as _;
    // SAFETY: the command reads and writes this one structure, alive during the call.
    let result = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_GETLK, &raw mut asked) };
    // Not every file system has locks.
    if result != 0 || asked.l_type == libc::F_UNLCK as libc::c_short {
        return None;
    }
    let process = u32::try_from(asked.l_pid).ok().filter(|&number| number > 0);
    Some(User::Lock { process, from: u64::try_from(asked.l_start).unwrap_or(0) })
}
