//! Where a file has holes, on the systems whose seek(2) finds them.

use std::fs::File;
use std::io;

use rustix::fs::SeekFrom;
use rustix::io::Errno;

use crate::range::{ByteRange, Extent};

/// The extent of `file` at the start of `rest`, within `rest`.
pub fn next_extent(file: &File, rest: ByteRange) -> io::Result<Extent> {
    let from = rest.start();
    let data = match rustix::fs::seek(file, SeekFrom::Data(from)) {
        Ok(data) => data,
        // Past the last data: a hole to the end.
        Err(Errno::NXIO) => rest.end(),
        Err(error) => return Err(error.into()),
    };
    if data > from {
        let hole = ByteRange::between(from, data.min(rest.end()));
        return Ok(Extent { range: hole, data: has_storage_for_all(file)? });
    }
    let hole = rustix::fs::seek(file, SeekFrom::Hole(from))?;
    if data < from || hole <= from {
        return Err(io::Error::other("the file system gives holes that make no sense"));
    }
    Ok(Extent { range: ByteRange::between(from, hole.min(rest.end())), data: true })
}

/// Whether `file` takes as much storage as it has bytes. A hole in it is space
/// that was reserved, or a mistake of the file system: in doubt it is data. By
/// the same rule cp(1) decides whether it looks for holes.
fn has_storage_for_all(file: &File) -> io::Result<bool> {
    let stat = rustix::fs::fstat(file)?;
    // Blocks of stat(2) have 512 bytes. Their types differ between systems.
    let (blocks, size) = (u64::try_from(stat.st_blocks), u64::try_from(stat.st_size));
    Ok(blocks.unwrap_or(0).saturating_mul(512) >= size.unwrap_or(0))
}
