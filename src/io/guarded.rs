//! A sink that asks, before each write, whether it may still be written: what several
//! processes write is given to another one where one has stood still for too long.

use std::fs::File;
use std::io;
use std::sync::Arc;

use super::{FileIo, Sink};
use crate::range::ByteRange;

/// Says whether what follows may be written.
pub type Guard = Arc<dyn Fn() -> io::Result<()> + Send + Sync>;

/// The sink.
pub struct Guarded {
    io: Arc<FileIo>,
    guard: Guard,
}

impl Guarded {
    /// Writes to `io` as long as `guard` lets it.
    pub fn new(io: Arc<FileIo>, guard: Guard) -> Guarded {
        Guarded { io, guard }
    }
}

impl Sink for Guarded {
    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<usize> {
        (self.guard)()?;
        Sink::write_at(&*self.io, offset, data)
    }

    fn write_zeroes(&self, range: ByteRange) -> io::Result<()> {
        (self.guard)()?;
        self.io.write_zeroes(range)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.io.sync_data()
    }

    fn file(&self) -> Option<&File> {
        Sink::file(&*self.io)
    }
}
