//! A source and sink in memory, for tests and for library users' own tests.

use std::io;

use positioned_io::ReadAt;

use super::{Extent, Sink, Source, as_u64, as_usize};
use crate::progress::lock;
use crate::range::ByteRange;
use crate::sync::Mutex;

/// Bytes in memory that can be read and written at any offset by any thread.
///
/// It grows when written beyond its end. Holes are page-sized runs of zeros.
pub struct Memory {
    bytes: Mutex<Vec<u8>>,
    size: u64,
}

impl Memory {
    /// Holds `bytes`.
    pub fn new(bytes: Vec<u8>) -> Memory {
        Memory { size: as_u64(bytes.len()), bytes: Mutex::new(bytes) }
    }

    /// Holds `len` zeros.
    pub fn zeroed(len: usize) -> Memory {
        Memory::new(vec![0; len])
    }

    /// What it holds now.
    pub fn bytes(&self) -> Vec<u8> {
        lock(&self.bytes).clone()
    }
}

impl ReadAt for Memory {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = lock(&self.bytes);
        let Some(rest) = usize::try_from(offset).ok().and_then(|at| bytes.get(at..)) else {
            return Ok(0);
        };
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }
}

/// Grain of the holes a memory source reports: that of common file systems.
const PAGE: usize = 4096;

impl Source for Memory {
    fn size(&self) -> u64 {
        self.size
    }

    fn next_extent(&self, from: u64) -> io::Result<Extent> {
        let bytes = lock(&self.bytes);
        let is_data = |page: &[u8]| page.iter().any(|&byte| byte != 0);
        let from = as_usize(from.min(self.size));
        let first_page = from / PAGE;
        let mut pages = bytes.chunks(PAGE).skip(first_page);
        let data = pages.next().is_some_and(is_data);
        let same = 1 + pages.take_while(|page| is_data(page) == data).count();
        let end = as_u64((first_page + same) * PAGE).min(self.size);
        Ok(Extent { range: ByteRange::between(as_u64(from), end), data })
    }
}

impl Sink for Memory {
    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<usize> {
        let start = usize::try_from(offset).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let end = start.checked_add(data.len()).ok_or(io::ErrorKind::FileTooLarge)?;
        let mut bytes = lock(&self.bytes);
        if bytes.len() < end {
            bytes.resize(end, 0);
        }
        bytes[start..end].copy_from_slice(data);
        Ok(data.len())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }
}
