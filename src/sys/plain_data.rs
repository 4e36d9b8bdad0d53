//! The calls of `linux/data.rs` on systems that do not have them: engines that
//! need them are not chosen, and advice is not given. Each system takes from
//! here what it has nothing better for.

// What one system does not need, another does.
#![allow(dead_code)]

use std::fs::File;
use std::io;

use super::{DirectAlignment, FileSystem, FileSystemKind, PositionedFile};
use crate::range::ByteRange;

/// Longest file that the file system of `file` can hold: not known here.
pub fn largest_file(_file: &File) -> Option<u64> {
    None
}

/// Bytes of memory that this process may have, if that is limited: not known here.
pub fn memory_limit() -> Option<u64> {
    None
}

/// Has what lies below a device forget what it holds: nothing is known of that here.
pub fn forget_below(_file: &File, _range: ByteRange) {}

/// Whether the kernel moves bytes by itself, from file to file or through a pipe.
pub const MOVES_BYTES: bool = false;

fn not_here<T>() -> io::Result<T> {
    Err(io::ErrorKind::Unsupported.into())
}

/// The file system that `file`, which may be a directory, lies on.
pub fn file_system<T>(_file: T) -> io::Result<FileSystem> {
    Ok(FileSystem { kind: FileSystemKind::Other, block: 4096, id: None })
}

/// Whether the disk that a file system lies on spins.
pub fn is_rotational(_device: u64, _file_system: Option<FileSystem>) -> Option<bool> {
    None
}

/// What the system wants of requests past the page cache.
pub fn direct_alignment(_file: &File) -> io::Result<Option<DirectAlignment>> {
    not_here()
}

/// A second descriptor of an open file, for requests past the page cache.
pub fn reopen_direct(_file: &File, _writable: bool) -> io::Result<PositionedFile> {
    not_here()
}

/// Lets the kernel copy from file to file.
pub fn copy_range(_from: &File, _at: u64, _to: &File, _to_at: u64, _len: u64) -> io::Result<u64> {
    not_here()
}

/// Makes `to` share the storage of `range` of `from`.
pub fn share_range(_from: &File, _range: ByteRange, _to: &File, _to_at: u64) -> io::Result<()> {
    not_here()
}

/// Whether an error says that ordinary reads and writes may still do.
pub fn is_not_offered(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::Unsupported
}

/// Reserves storage for `range`.
pub fn reserve(_file: &File, _range: ByteRange) -> io::Result<()> {
    not_here()
}

/// How many bytes of `range` are in the page cache.
pub fn cached_bytes(_file: &File, _range: ByteRange) -> io::Result<u64> {
    not_here()
}

/// Asks that the page cache read further ahead in `file` than usual.
pub fn read_further_ahead(_file: &File) {}

/// Drops what of `range` is clean from the page cache.
pub fn drop_cached(_file: &File, _range: ByteRange) {}

/// Begins to write what of `range` is dirty to the disk.
pub fn start_writing(_file: &File, _range: ByteRange) {}

/// Another name for `stream`.
pub fn own_stream(stream: &File) -> io::Result<File> {
    stream.try_clone()
}

/// A descriptor of `stream` that never makes us wait: here there is none.
pub fn own_input(_stream: &File) -> Option<File> {
    None
}

/// Bytes of memory that could be had without swapping.
pub fn available_memory() -> Option<u64> {
    None
}

/// A pipe that bytes can be moved through inside the kernel.
pub struct Pipe {
    never: std::convert::Infallible,
}

impl Pipe {
    /// There are none.
    pub fn new(_capacity: u64) -> io::Result<Pipe> {
        not_here()
    }

    /// Most bytes that fit.
    pub fn capacity(&self) -> u64 {
        match self.never {}
    }

    /// Moves bytes into the pipe.
    pub fn fill(&self, _from: &File, _at: u64, _len: u64) -> io::Result<u64> {
        match self.never {}
    }

    /// Moves bytes out of the pipe.
    pub fn drain(&self, _to: &File, _at: u64, _len: u64) -> io::Result<u64> {
        match self.never {}
    }
}
