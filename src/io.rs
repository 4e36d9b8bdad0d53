//! Positioned input and output: what can be read, what can be written, and the
//! only loops that handle short counts.
//!
//! [`Source`] and [`Sink`] are the seams of the engine towards the world.
//! Workers share them by reference, so every call names its offset and none
//! moves a cursor. This room knows nothing of plans, stripes or retries.

mod deferred;
mod end;
mod fanout;
mod file;
pub mod fingerprint;
mod gap_reader;
pub(crate) mod guarded;
pub mod incoming;
mod joined;
pub mod memory;
pub mod only_changed;
mod order;
mod ordered;
pub mod page_cache;
mod pulse;
mod rebased;
mod segmented;
pub mod transfer;
mod uncached;

pub use deferred::{HeadError, Held};
pub use end::find_end;
pub use fanout::Fanout;
pub use file::FileIo;
pub use gap_reader::GapReader;
pub use incoming::Incoming;
pub use joined::Joined;
pub use order::{Gathering, ReadOrder, WriteOrder};
pub use ordered::Ordered;
pub use rebased::Rebased;
pub use segmented::{Pieces, Segmented};

use std::fs::File;
use std::io;

pub use positioned_io::ReadAt;

use crate::error::SourceChange;
use crate::range::ByteRange;
pub use crate::range::Extent;
pub(crate) use crate::range::{as_u64, as_usize};
pub use crate::sys::buffer;
pub use crate::sys::shared_buffer::SharedBuffer;

/// Something to read from at any offset, by several threads at once.
///
/// `read_at` is the one of [`positioned_io::ReadAt`]: it may return fewer
/// bytes than asked for, and 0 means end of file.
pub trait Source: ReadAt + Send + Sync {
    /// Size in bytes when it was opened.
    fn size(&self) -> u64;

    /// The extent that holds `from`, or an empty one at the end.
    ///
    /// # Errors
    ///
    /// Callers take an error as "not known" and read everything.
    fn next_extent(&self, from: u64) -> io::Result<Extent> {
        let end = self.size();
        Ok(Extent { range: ByteRange::between(from.min(end), end), data: true })
    }

    /// What becomes of the answers of [`Source::next_extent`] that only `data`
    /// bytes of `range` are data.
    fn weigh_holes(&self, range: ByteRange, data: u64) -> Holes {
        let _ = (range, data);
        Holes::Believed
    }

    /// The same, to be read by one reader from the begin of `range` to its end, in
    /// pieces. A source that takes long to answer, however little is asked for, asks
    /// for all of `range` at once, and keeps none of it. `None` where that is of no use.
    fn in_order(&self, range: ByteRange) -> Option<Box<dyn Source + '_>> {
        let _ = range;
        None
    }

    /// Takes note that what is at `offset` was read, by whatever way.
    fn was_read(&self, offset: u64) {
        let _ = offset;
    }

    /// After a read that failed with `error`: if that is because the source is
    /// not there any more, how that is known. To be called for each such read;
    /// only now and then is anything asked.
    fn is_gone(&self, error: &io::Error) -> Option<String> {
        let _ = error;
        None
    }

    /// If the source is not there any more, how that is known.
    fn why_gone(&self) -> Option<String> {
        None
    }

    /// What a read that failed with `error` says of the other bytes.
    fn judge(&self, error: &io::Error) -> Judgement {
        let _ = error;
        Judgement::Local
    }

    /// The open file, for engines that let the kernel move the bytes.
    fn file(&self) -> Option<&File> {
        None
    }

    /// Shows the open files that `range` lies in, and where in each.
    fn for_each_place(&self, range: ByteRange, visit: &mut dyn FnMut(&File, ByteRange)) {
        if let Some(file) = self.file() {
            visit(file, range);
        }
    }
}

/// What a failed read says of a source.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Judgement {
    /// Nothing: it may be these bytes alone, as of a bad sector. They are read
    /// again, and in smaller parts.
    Local,
    /// That no other read will do better, now.
    Final,
    /// That the source is not what it was.
    Changed(SourceChange),
}

/// How far a source is believed that says it has holes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Holes {
    /// They need not be read.
    Believed,
    /// The file takes as much storage as it has bytes: its holes are space that
    /// was reserved, and count as data. By the same rule cp(1) decides whether
    /// it looks for holes.
    Reserved,
    /// The file takes more storage than what is called data, on a file system
    /// that otherwise tells the truth: it is read.
    Contradicted,
    /// Nobody knows whether this file system tells the truth: it is read.
    Unproven,
}

/// What zeros are written from.
static ZEROES: [u8; 64 << 10] = [0; 64 << 10];

/// Something to write to at any offset, by several threads at once.
pub trait Sink: Send + Sync {
    /// Writes some of `data` at `offset` and returns how much. Never 0 for
    /// non-empty `data` without being treated as an error by the caller.
    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<usize>;

    /// Makes `range` read as zeros, by a hole where possible.
    fn write_zeroes(&self, range: ByteRange) -> io::Result<()> {
        for piece in range.pieces(ZEROES.len() as u64) {
            let zeroes = &ZEROES[..usize::try_from(piece.len()).unwrap_or(ZEROES.len())];
            transfer::write_full(self, piece.start(), zeroes).map_err(|stop| stop.error)?;
        }
        Ok(())
    }

    /// Waits until everything written before the call is durable.
    fn sync_data(&self) -> io::Result<()>;

    /// The open file, for engines that let the kernel move the bytes.
    fn file(&self) -> Option<&File> {
        None
    }

    /// Memory that may be read into directly, if it is nothing else: at the
    /// offsets of the sink.
    fn memory(&self) -> Option<&SharedBuffer> {
        None
    }

    /// Shows the open files that `range` is written to, and where in each. There
    /// may be several where none is [the one](Sink::file).
    fn for_each_place(&self, range: ByteRange, visit: &mut dyn FnMut(&File, ByteRange)) {
        if let Some(file) = self.file() {
            visit(file, range);
        }
    }
}

/// A shared sink is a sink, so that a decorator can wrap what somebody else looks at.
impl<S: Sink + ?Sized> Sink for std::sync::Arc<S> {
    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<usize> {
        (**self).write_at(offset, data)
    }

    fn write_zeroes(&self, range: ByteRange) -> io::Result<()> {
        (**self).write_zeroes(range)
    }

    fn sync_data(&self) -> io::Result<()> {
        (**self).sync_data()
    }

    fn file(&self) -> Option<&File> {
        (**self).file()
    }

    fn memory(&self) -> Option<&SharedBuffer> {
        (**self).memory()
    }

    fn for_each_place(&self, range: ByteRange, visit: &mut dyn FnMut(&File, ByteRange)) {
        (**self).for_each_place(range, visit);
    }
}
