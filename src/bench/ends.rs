//! Ends that cost nothing: where only reading, or only writing, is measured.

use std::io;

use positioned_io::ReadAt;

use crate::io::{Sink, Source, as_usize};

/// Takes everything and keeps nothing.
pub struct Null;

impl Sink for Null {
    fn write_at(&self, _offset: u64, data: &[u8]) -> io::Result<usize> {
        Ok(data.len())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }
}

/// So many zeros. They are data, not a hole: they are there to be written.
pub struct Zeros {
    /// How many.
    pub size: u64,
}

impl ReadAt for Zeros {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.size.saturating_sub(offset);
        let count = as_usize(left.min(buffer.len() as u64));
        buffer[..count].fill(0);
        Ok(count)
    }
}

impl Source for Zeros {
    fn size(&self) -> u64 {
        self.size
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_end_where_they_should() {
        let zeros = Zeros { size: 10 };
        let mut buffer = [1; 8];
        assert_eq!(zeros.read_at(4, &mut buffer).unwrap(), 6);
        assert_eq!(buffer, [0, 0, 0, 0, 0, 0, 1, 1]);
        assert_eq!(zeros.read_at(u64::MAX, &mut buffer).unwrap(), 0);
        assert!(zeros.next_extent(0).unwrap().data);
    }
}
