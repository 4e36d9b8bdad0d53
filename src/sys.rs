//! The operating system: every system call that std does not have, every
//! `#[cfg(target_os)]` and every `unsafe` of the project.
//!
//! Each system is a file with the same function names; this page chooses once
//! and holds the types they share. Nothing here decides a policy: callers ask
//! what a thing is and say what to do with it.

#![allow(unsafe_code)]

#[cfg(any(target_os = "linux", target_os = "macos"))]
mod attributes;
#[cfg(all(unix, not(any(target_os = "linux", target_os = "macos"))))]
mod bsd;
#[cfg(all(unix, not(target_os = "linux")))]
mod bsd_devices;
pub mod buffer;
mod closing;
mod device;
#[cfg(any(target_os = "linux", target_os = "macos", target_os = "freebsd"))]
mod holes;
mod limits;
#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "macos")]
mod macos;
mod map;
#[cfg(not(any(target_os = "linux", target_os = "macos")))]
mod plain_attributes;
#[cfg(not(target_os = "linux"))]
mod plain_data;
#[cfg(not(target_os = "linux"))]
mod plain_guards;
mod positioned;
mod sectors;
pub mod shared_buffer;
#[cfg(not(all(target_os = "linux", feature = "cli")))]
mod unconfined;
#[cfg(unix)]
mod unix;
#[cfg(unix)]
mod unix_directory;
#[cfg(unix)]
mod unix_side;
#[cfg(unix)]
mod unix_streams;
#[cfg(unix)]
mod unix_tree;
#[cfg(windows)]
mod windows;
#[cfg(any(windows, test))]
mod windows_names;
#[cfg(any(windows, test))]
pub mod wtf8;

#[cfg(all(unix, not(any(target_os = "linux", target_os = "macos"))))]
pub use bsd::*;
#[cfg(all(unix, not(target_os = "linux")))]
pub use bsd_devices::{devices_below, disk_region};
mod usage;

pub use usage::{forget_peak_memory, usage};

#[cfg(any(target_os = "linux", target_os = "macos"))]
pub use attributes::*;
pub use closing::{
    flush_by_close, is_memory_fault, leads_to, place_in_stream, place_read_from, stand_at,
};
pub use device::Device;
#[cfg(any(target_os = "linux", target_os = "macos", target_os = "freebsd"))]
pub use holes::*;
pub use limits::address_space_left;
#[cfg(target_os = "linux")]
pub use linux::*;
#[cfg(target_os = "macos")]
pub use macos::*;
pub use map::Map;
#[cfg(not(any(target_os = "linux", target_os = "macos")))]
pub use plain_attributes::*;
#[cfg(not(target_os = "linux"))]
pub use plain_guards::*;
pub use positioned::PositionedFile;
#[cfg(not(all(target_os = "linux", feature = "cli")))]
pub use unconfined::confine;
#[cfg(unix)]
pub use unix::*;
#[cfg(unix)]
pub use unix_directory::Directory;
#[cfg(unix)]
pub use unix_side::*;
#[cfg(unix)]
pub use unix_streams::*;
#[cfg(windows)]
pub use windows::*;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use crate::range::ByteRange;

/// Whether owners and permission bits say who may write a file.
pub const HAS_OWNERS: bool = cfg!(unix);

/// Whether names follow the rules of Windows: some are kept for devices, some
/// characters are not allowed, and case does not count.
pub const WINDOWS_NAMES: bool = cfg!(windows);

/// What a path leads to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FileKind {
    /// A regular file.
    File,
    /// A regular file made up by the kernel as it is read (procfs, sysfs):
    /// its size says nothing.
    VirtualFile,
    /// A block device.
    BlockDevice,
    /// A directory.
    Directory,
    /// A symbolic link (only where links are not followed).
    Link,
    /// A named pipe.
    Pipe,
    /// A socket.
    Socket,
    /// A character device.
    CharacterDevice,
}

/// A moment of a file system, since 1970.
pub type Moment = (i64, u32);

/// What the file system says of an open file or a name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Metadata {
    /// What it is.
    pub node: FileKind,
    /// Size in bytes; of a device the size of its medium.
    pub size: u64,
    /// The file system it lies on.
    pub device: u64,
    /// Its number there.
    pub inode: u64,
    /// If it is a device: which.
    pub rdev: u64,
    /// Permission bits.
    pub mode: u32,
    /// The user it belongs to; 0 where the system has no such numbers.
    pub owner: u32,
    /// The group it belongs to, likewise.
    pub group: u32,
    /// How many names it has.
    pub links: u64,
    /// Last change of content, seconds and nanoseconds.
    pub modified: Moment,
    /// Last change of anything, seconds and nanoseconds.
    pub changed: Moment,
    /// Last time of access, seconds and nanoseconds; reading may change it.
    pub accessed: Moment,
    /// When it was made, seconds and nanoseconds, where the system tells. File
    /// numbers are given again, on some file systems at once; with this they
    /// are not.
    pub created: Option<Moment>,
    /// Bytes of storage in use.
    pub allocated: u64,
}

impl Metadata {
    /// Whether both are one file, or nodes of one device.
    pub fn same_thing(&self, other: &Metadata) -> bool {
        match (self.node, other.node) {
            (FileKind::BlockDevice, FileKind::BlockDevice) => self.rdev == other.rdev,
            (FileKind::BlockDevice, _) | (_, FileKind::BlockDevice) => false,
            _ => (self.device, self.inode) == (other.device, other.inode),
        }
    }
}

/// What has a name in a directory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// The name.
    pub name: OsString,
    /// The number of what has it; 0 where the system does not say.
    pub inode: u64,
}

/// Whom a symbolic link belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LinkOwner {
    /// The user.
    pub user: u32,
    /// The group.
    pub group: u32,
}

/// What a block device says of itself.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct DeviceInfo {
    /// Size in bytes.
    pub size: u64,
    /// Smallest unit that can be addressed, in bytes.
    pub logical_sector: u32,
    /// Smallest unit the medium writes, in bytes.
    pub physical_sector: u32,
    /// Whether writing is forbidden.
    pub read_only: bool,
    /// Whether it spins. `None`: it does not say.
    pub rotational: Option<bool>,
    /// Model, or what a virtual device stands on.
    pub model: Option<String>,
    /// Serial number.
    pub serial: Option<String>,
    /// World wide name, or what else names it anywhere in the world.
    pub wwn: Option<String>,
    /// Version of its firmware.
    pub firmware: Option<String>,
}

/// The kernel that this runs on, as it calls itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Kernel {
    /// `Linux`.
    pub name: String,
    /// `6.1.0-28-amd64`.
    pub release: String,
    /// `x86_64`.
    pub machine: String,
    /// What this machine calls itself.
    pub host: String,
}

/// A file system, by what matters for moving bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FileSystem {
    /// Which one.
    pub kind: FileSystemKind,
    /// Unit of its storage in bytes.
    pub block: u64,
    /// What tells it from all others, where the numbers of devices do not:
    /// btrfs gives each of its subvolumes one.
    pub id: Option<[u8; 16]>,
}

/// File systems whose manners are known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FileSystemKind {
    /// ext2, ext3, ext4.
    Ext,
    /// XFS.
    Xfs,
    /// Btrfs.
    Btrfs,
    /// In memory.
    Tmpfs,
    /// A program serves it.
    Fuse,
    /// Of Windows, without shared storage: NTFS, FAT, exFAT.
    Ntfs,
    /// Any other.
    Other,
}

impl FileSystemKind {
    /// Whether what is said of the size and the holes of a file is what reads of
    /// it bring. The system itself answers both from the same lists, with nobody
    /// in between: a server may say what it remembers, a program what it likes,
    /// and of ZFS and APFS it is known that data was called a hole.
    pub fn is_truthful(self) -> bool {
        use FileSystemKind::{Btrfs, Ext, Ntfs, Tmpfs, Xfs};
        matches!(self, Ext | Xfs | Btrfs | Tmpfs | Ntfs)
    }

    /// Whether a file has one number as long as it is there, whichever name it has, and
    /// no other file has it. Programs and servers make numbers up, some at each look.
    pub fn keeps_numbers(self) -> bool {
        use FileSystemKind::{Btrfs, Ext, Tmpfs, Xfs};
        matches!(self, Ext | Xfs | Btrfs | Tmpfs)
    }

    /// Whether files may share storage. For what is not known: yes.
    pub fn may_share(self) -> bool {
        !matches!(self, FileSystemKind::Ext | FileSystemKind::Tmpfs | FileSystemKind::Ntfs)
    }
}

/// What requests past the page cache must be multiples of, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DirectAlignment {
    /// The address.
    pub memory: u64,
    /// Offset and length.
    pub offset: u64,
}

/// Part of a whole disk, for comparing partitions and disks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DiskRegion {
    /// The whole disk.
    pub disk: u64,
    /// Where the device begins on it, in bytes.
    pub start: u64,
}

/// What holds bytes: a file, or a device.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Thing {
    /// A file, by its file system and its number there.
    File {
        /// See [`Metadata::device`].
        device: u64,
        /// See [`Metadata::inode`].
        inode: u64,
    },
    /// A device, see [`Metadata::rdev`].
    Device(u64),
}

impl Thing {
    /// What these facts are of.
    pub fn of(facts: &Metadata) -> Thing {
        match facts.node {
            FileKind::BlockDevice => Thing::Device(facts.rdev),
            _ => Thing::File { device: facts.device, inode: facts.inode },
        }
    }
}

/// One of the things that the bytes of a file or device lie in: the file or
/// device itself, the disk that a partition is a part of, the file behind a
/// loop device, the device that a file system is on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Layer {
    /// What the bytes lie in.
    pub thing: Thing,
    /// Where byte 0 lies in it, with all others behind it in order. `None`:
    /// they lie anywhere in `within`.
    pub start: Option<u64>,
    /// All of the bytes lie in here.
    pub within: ByteRange,
}

/// Who uses a file as a disk, or has locked it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum User {
    /// It is mounted by way of a device.
    Mount {
        /// A loop device, or what stands on one.
        device: PathBuf,
        /// Where it is mounted.
        at: PathBuf,
    },
    /// Another program, or the kernel, has claimed a device that stands for it.
    Claim {
        /// The loop device.
        device: PathBuf,
    },
    /// A program has locked bytes of it.
    Lock {
        /// The program, where the system tells.
        process: Option<u32>,
        /// The first byte that is locked.
        from: u64,
    },
}

/// That a file or folder only takes what is added to it.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("{0} is append-only (chattr -a)")]
pub struct AppendOnly(
    /// What is.
    pub &'static str,
);

/// What a process that confines itself may still do.
#[derive(Clone, Copy, Debug)]
pub struct Allowed<'a> {
    /// Files, and directories with all below them, that it may make and write.
    pub written: &'a [PathBuf],
    /// Devices, and directories of devices, that it may send requests to (ioctl);
    /// `None` if to all of them.
    pub asked: Option<&'a [PathBuf]>,
    /// Whether it may make connections.
    pub network: bool,
}

/// What to do when the new name of a rename is taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Replace {
    /// Fail.
    Never,
    /// Put the new file in its place, atomically.
    Yes,
}

/// Processor time and memory of this process.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Usage {
    /// User and system time.
    pub cpu: Duration,
    /// Peak resident memory in bytes.
    pub peak_memory: u64,
}
