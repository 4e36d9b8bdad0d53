//! Ways to move the bytes of a stripe, and the choice between them.
//!
//! An engine is one file in this folder and one row in [`TABLE`]. It is handed
//! a stripe and a [`StripeIo`](crate::pool::StripeIo), and knows neither the plan nor the other workers.
//! What it can serve is decided from [`Capabilities`], before anything is
//! written; whether it really works here may only show with the first request,
//! and then it gives way to the next one, visibly.

pub mod capabilities;
mod direct;
mod mmap;
mod offload;
mod positioned;
mod select;
mod splice;
#[cfg(test)]
mod tests;

pub use capabilities::{Capabilities, Preferences, Reflink};
pub use positioned::Positioned;
pub use select::{EngineChoice, Made, Selection, select, select_for};

use std::fs::File;
use std::sync::Arc;

use crate::io::only_changed::OnlyChanged;
use crate::io::{Sink, Source};
pub use crate::pool::Engine;
use crate::range::ByteRange;

/// Whether an engine can serve a copy.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Support {
    /// It can. What speaks for it.
    Yes(&'static str),
    /// It cannot, and why.
    No(&'static str),
}

/// An engine, before it is made for a copy.
pub struct EngineEntry {
    /// Its word, as of [`EngineChoice`], and its name in the report.
    pub name: &'static str,
    /// Whether it can serve a copy.
    pub suits: fn(&Capabilities) -> Support,
    /// Makes it, trying out what can be tried without writing; or the reason
    /// why it does not work here after all.
    make: fn(&EngineContext<'_>) -> Result<Box<dyn Engine>, String>,
    /// Request size that serves it best, in bytes (measured).
    pub io_size: u64,
    /// Whether it is better off with a destination whose storage is reserved.
    pub wants_space: bool,
}

/// Every engine there is.
pub static TABLE: [EngineEntry; 5] =
    [positioned::ENTRY, direct::ENTRY, offload::ENTRY, mmap::ENTRY, splice::ENTRY];

/// Request size through the page cache: beyond a few hundred KiB the overhead
/// of a system call vanishes, and larger requests only push each other out of
/// the processor's cache (measured; GNU cp arrives at the same).
const CACHED_IO_SIZE: u64 = 256 << 10;

/// Why an engine does not serve that sees no bytes.
const COMPARES: &str = "only what differs is written, so the bytes of both sides are compared";

/// What an engine is made for: both ends are open by now.
pub struct EngineContext<'a> {
    /// Where bytes come from.
    pub source: &'a Arc<dyn Source>,
    /// Where bytes go.
    pub sink: &'a Arc<dyn Sink>,
    /// What stands before the sink where only what differs is written.
    pub only_changed: Option<&'a OnlyChanged>,
    /// What is copied, in bytes of the source.
    pub range: ByteRange,
    /// Where its first byte goes in the sink.
    pub dest_offset: u64,
    /// What is moved first, in bytes of the sink; `None` where nothing is.
    pub first: Option<ByteRange>,
    /// Length of the sink in bytes.
    pub sink_len: u64,
    /// Whether the sink has all bytes of the source already, in the same storage.
    pub is_clone: bool,
    /// Longest request in bytes.
    pub io_size: u64,
    /// What was known when the engine was chosen.
    pub capabilities: &'a Capabilities,
}

/// Both open files, for engines that let the kernel move the bytes.
fn files<'a>(source: &'a dyn Source, sink: &'a dyn Sink) -> Result<(&'a File, &'a File), String> {
    match (source.file(), sink.file()) {
        (Some(source), Some(sink)) => Ok((source, sink)),
        _ => Err("source and destination must be files or devices".to_owned()),
    }
}

/// The row of the engine called `name`.
pub fn named(name: &str) -> Option<&'static EngineEntry> {
    TABLE.iter().find(|row| row.name == name)
}
