//! Where a file has holes, on the systems whose seek(2) finds them.

use std::fs::File;
use std::io;

use rustix::fs::SeekFrom;
use rustix::io::Errno;

use crate::io::Extent;
use crate::range::ByteRange;

/// The extent of `file` at the start of `rest`, within `rest`.
pub fn next_extent(file: &File, rest: ByteRange) -> io::Result<Extent> {
    let from = rest.start();
    let hole_to = |end: u64| Extent { range: ByteRange::between(from, end), data: false };
    let data = match rustix::fs::seek(file, SeekFrom::Data(from)) {
        Ok(data) => data,
        // Past the last data: a hole to the end.
        Err(Errno::NXIO) => return Ok(hole_to(rest.end())),
        Err(error) => return Err(error.into()),
    };
    if data > from {
        return Ok(hole_to(data.min(rest.end())));
    }
    let hole = rustix::fs::seek(file, SeekFrom::Hole(from))?;
    if data < from || hole <= from {
        return Err(io::Error::other("the file system gives holes that make no sense"));
    }
    Ok(Extent { range: ByteRange::between(from, hole.min(rest.end())), data: true })
}
