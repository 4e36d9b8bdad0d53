//! Where a file is said to have holes, on the systems whose seek(2) finds them.
//! Who is believed is decided elsewhere.

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
        return Ok(Extent { range: hole, data: false });
    }
    let hole = rustix::fs::seek(file, SeekFrom::Hole(from))?;
    if data < from || hole <= from {
        return Err(io::Error::other("the file system gives holes that make no sense"));
    }
    Ok(Extent { range: ByteRange::between(from, hole.min(rest.end())), data: true })
}
