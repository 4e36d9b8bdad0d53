//! Why a source is not protected against being written.

use std::fmt;
use std::path::PathBuf;

use super::quoted;
use crate::sys::User;

/// What could change a source that is to be read only.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Unprotected {
    /// A file system on it is mounted for writing, or a program uses it.
    Used(User),
    /// The kernel does not forbid writing to the device.
    Device,
    /// The kernel does not forbid writing to the disk that it is a part of.
    Disk(PathBuf),
    /// Whether the kernel forbids writing to the device is not known.
    UnknownDevice,
    /// A file whose mode lets a program write to it, on a file system that is
    /// mounted for writing.
    File,
    /// It is not a file or a block device.
    Unknown,
}

impl fmt::Display for Unprotected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unprotected::Used(user) => write!(f, "it is in use ({user})"),
            Unprotected::Device => f.write_str("the kernel lets programs write to the device"),
            Unprotected::Disk(disk) => {
                write!(f, "the kernel lets programs write to its disk {}", quoted(disk))
            }
            Unprotected::UnknownDevice => {
                f.write_str("the system does not say whether programs can write to the device")
            }
            Unprotected::File => f.write_str(
                "its mode lets a program write to it, and its file system is mounted for writing",
            ),
            Unprotected::Unknown => f.write_str("it is neither a file nor a block device"),
        }
    }
}
