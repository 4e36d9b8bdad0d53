//! `positioned`: read into a buffer, write from it, both at an offset. Serves
//! every source and sink there is, and is what other engines fall back to.

use super::{Engine, EngineEntry, Support};
use crate::pool::{Halt, StripeIo, copy_buffered};
use crate::range::ByteRange;

pub(super) const ENTRY: EngineEntry = EngineEntry {
    name: "positioned",
    suits: |_| Support::Yes("serves every source and destination"),
    make: |_| Ok(Box::new(Positioned)),
    io_size: super::CACHED_IO_SIZE,
    wants_space: false,
};

/// Buffered positioned reads and writes.
pub struct Positioned;

impl Positioned {
    /// Request size that serves it best, in bytes.
    pub const IO_SIZE: u64 = ENTRY.io_size;
}

impl Engine for Positioned {
    fn name(&self) -> &'static str {
        ENTRY.name
    }

    fn copy(&self, stripe: ByteRange, io: &mut StripeIo<'_>) -> Result<(), Halt> {
        copy_buffered(stripe, io)
    }
}
