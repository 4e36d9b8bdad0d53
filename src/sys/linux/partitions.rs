//! The partitions of a disk as the kernel knows them, which it reads once.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;

use rustix::ioctl;

use super::devices::folders;
use super::sysfs_device;

/// Whether the kernel has partitions of the disk that is open as `device`, where it says.
pub fn has_partitions(device: &File) -> Option<bool> {
    let parts = folders(&sysfs_device(device.metadata().ok()?.rdev())).ok()?;
    Some(parts.iter().any(|folder| folder.join("partition").exists()))
}

/// Has the kernel read the partition table of the disk that is open as `device`
/// again. Fails where the disk can have none, or one of them is in use.
pub fn reread_partitions(device: &File) -> io::Result<()> {
    // linux/fs.h: BLKRRPART is _IO(0x12, 95) and takes no argument.
    type Reread = ioctl::NoArg<{ ioctl::opcode::none(0x12, 95) }>;
    // SAFETY: the request takes no argument.
    Ok(unsafe { ioctl::ioctl(device, Reread::new()) }?)
}
