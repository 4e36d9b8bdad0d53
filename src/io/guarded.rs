//! A sink that asks, before each write, whether it may still be written: what several
//! processes write is given to another one where one has stood still for too long.

use std::fs::File;
use std::io;
use std::sync::Arc;

use super::Sink;
use crate::range::ByteRange;

/// Says whether what follows may be written.
pub type Guard = Arc<dyn Fn() -> io::Result<()> + Send + Sync>;

/// The sink.
pub struct Guarded {
    inner: Arc<dyn Sink>,
    guard: Guard,
}

impl Guarded {
    /// Writes to `inner` as long as `guard` lets it.
    pub fn new(inner: Arc<dyn Sink>, guard: Guard) -> Guarded {
        Guarded { inner, guard }
    }
}

impl Sink for Guarded {
    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<usize> {
        (self.guard)()?;
        self.inner.write_at(offset, data)
    }

    fn write_zeroes(&self, range: ByteRange) -> io::Result<()> {
        (self.guard)()?;
        self.inner.write_zeroes(range)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.inner.sync_data()
    }

    fn file(&self) -> Option<&File> {
        self.inner.file()
    }
}
