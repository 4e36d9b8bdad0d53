//! `positioned`: read into a buffer, write from it, both at an offset. Serves
//! every source and sink there is, and is what other engines fall back to.

use super::{Engine, Fit, Row};
use crate::crew::{Halt, Lane, copy_buffered};
use crate::range::ByteRange;

pub(super) const ROW: Row = Row {
    name: "positioned",
    suits: |_| Fit::Yes("serves every source and destination"),
    make: |_| Ok(Box::new(Positioned)),
    io_size: super::CACHED_IO_SIZE,
    wants_space: false,
};

/// Buffered positioned reads and writes.
pub struct Positioned;

impl Positioned {
    /// Request size that serves it best, in bytes.
    pub const IO_SIZE: u64 = ROW.io_size;
}

impl Engine for Positioned {
    fn name(&self) -> &'static str {
        ROW.name
    }

    fn copy(&self, stripe: ByteRange, lane: &mut Lane<'_>) -> Result<(), Halt> {
        copy_buffered(stripe, lane)
    }
}
