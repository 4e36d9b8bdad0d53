//! A source at the offsets of where it is copied to: what stands for a destination
//! that cannot be read, and holds the same bytes.

use std::io;
use std::sync::Arc;

use super::{ReadAt, Source};
use crate::range::{ByteRange, Mapping};

/// A source at the offsets of its destination.
pub struct Rebased {
    source: Arc<dyn Source>,
    mapping: Mapping,
}

impl Rebased {
    /// `source`, of which `mapping` says what goes where.
    pub fn new(source: Arc<dyn Source>, mapping: Mapping) -> Rebased {
        Rebased { source, mapping }
    }
}

impl ReadAt for Rebased {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = ByteRange::with_len(offset, super::as_u64(buffer.len()));
        let there = wanted.unwrap_or_default().intersect(self.mapping.to());
        if there.is_empty() || there.start() != offset {
            return Ok(0);
        }
        let from = self.mapping.to_source(there);
        self.source.read_at(from.start(), &mut buffer[..super::as_usize(from.len())])
    }
}

impl Source for Rebased {
    fn size(&self) -> u64 {
        self.mapping.to().end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::memory::Memory;
    use crate::io::transfer::read_full;

    #[test]
    fn bytes_are_where_they_are_copied_to() {
        let source = Arc::new(Memory::new((0..100).collect::<Vec<u8>>()));
        let mapping = Mapping::new(ByteRange::between(10, 20), 1000).expect("it fits");
        let rebased = Rebased::new(source, mapping);
        let mut memory = [0; 4];
        read_full(&rebased, 1003, &mut memory).expect("they are there");
        assert_eq!(memory, [13, 14, 15, 16]);
        let stop = read_full(&rebased, 1008, &mut memory).expect_err("there are two");
        assert_eq!((stop.moved, &memory[..2]), (2, &[18, 19][..]));
        assert_eq!(rebased.read_at(999, &mut memory).expect("nothing"), 0);
        assert_eq!(rebased.size(), 1010);
    }
}
