//! Buffers whose memory fits what the kernel wants of unbuffered requests.
//!
//! O_DIRECT asks that the address, the offset and the length of a request are
//! multiples of the sector size. A worker's buffer therefore hands out memory
//! whose address is *congruent* to the source offset: wherever the offset is
//! aligned, so is the memory, also in the middle of a request.

use memmap2::{MmapMut, MmapOptions};

use crate::range::as_usize;

/// Largest alignment any source or sink may ask for: a page, which is a
/// multiple of every sector size in use.
pub const ALIGNMENT: usize = 4096;

/// The system has no memory for a buffer of so many bytes.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("not enough memory for a buffer of {bytes} bytes")]
pub struct NoMemory {
    /// Size of the buffer.
    pub bytes: usize,
}

impl From<NoMemory> for std::io::Error {
    fn from(error: NoMemory) -> std::io::Error {
        std::io::Error::new(std::io::ErrorKind::OutOfMemory, error)
    }
}

/// Memory of one worker for one request.
pub struct Buffer {
    /// Whole pages straight from the system, which has them only once they
    /// are touched: a buffer costs what the largest request took of it.
    memory: MmapMut,
    capacity: usize,
}

impl Buffer {
    /// Room for `capacity` bytes.
    ///
    /// # Errors
    ///
    /// [`NoMemory`] instead of an abort when there is none.
    pub fn new(capacity: usize) -> Result<Buffer, NoMemory> {
        // One more page for the phase of the offset.
        let bytes = capacity.saturating_add(ALIGNMENT);
        let memory = MmapOptions::new().len(bytes).map_anon();
        let memory = memory.map_err(|_| NoMemory { bytes })?;
        Ok(Buffer { memory, capacity })
    }

    /// Memory for `len` bytes from `offset` on, at an address congruent to `offset`.
    ///
    /// # Panics
    ///
    /// If `len` is more than the capacity.
    pub fn at(&mut self, offset: u64, len: u64) -> &mut [u8] {
        let len = as_usize(len);
        assert!(len <= self.capacity, "a request is never longer than the buffer it is for");
        // Pages of every system are multiples of `ALIGNMENT`.
        let start = as_usize(offset % ALIGNMENT as u64);
        &mut self.memory[start..start + len]
    }

    /// Longest request that fits, in bytes.
    pub fn capacity(&self) -> usize {
        self.capacity
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_congruent_to_the_offset() {
        let mut buffer = Buffer::new(10_000).unwrap();
        for offset in [0u64, 1, 511, 512, 4095, 4096, 1 << 40, u64::MAX - 10_000] {
            let memory = buffer.at(offset, 10_000);
            assert_eq!(memory.len(), 10_000);
            assert_eq!(memory.as_ptr().addr() as u64 % 4096, offset % 4096);
        }
    }

    #[test]
    fn impossible_sizes_are_an_error_and_no_abort() {
        assert!(Buffer::new(usize::MAX / 2).is_err());
        assert!(Buffer::new(usize::MAX).is_err());
    }
}
