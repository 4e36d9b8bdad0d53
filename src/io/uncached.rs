//! Reading past the page cache what the page cache could not get.
//!
//! The cache reads in units of its own, up to hundreds of KiB around what was
//! asked for, and one bad sector spoils its whole unit, however often it is
//! asked again and for how little. The device itself, asked for the same
//! bytes, gives every sector that is good.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use super::buffer::{ALIGNMENT, Buffer};
use super::{as_u64, as_usize};
use crate::progress::lock;
use crate::range::{ByteRange, RangeSet, align_down};
use crate::sync::Mutex;
use crate::sys::{self, PositionedFile};

/// Sector sizes in use, tried in this order.
const UNITS: [u64; 2] = [512, 4096];

/// The way to a file past the page cache, taken where the cache has failed.
#[derive(Default)]
pub struct Uncached {
    /// Whether `spoilt` holds anything: asked before every read.
    needed: AtomicBool,
    /// Where the cache has failed.
    spoilt: Mutex<RangeSet>,
    /// Opened when first needed; `None` if the system has no such way.
    file: OnceLock<Option<PositionedFile>>,
}

impl Uncached {
    /// Reads by `cached`, and past the cache where that fails or has failed.
    ///
    /// # Errors
    ///
    /// Of `cached`, if the other way does not help.
    pub fn read_at(
        &self,
        file: &File,
        offset: u64,
        buffer: &mut [u8],
        cached: impl FnOnce(&mut [u8]) -> io::Result<usize>,
    ) -> io::Result<usize> {
        if self.needed.load(Relaxed) && self.is_spoilt(offset, buffer.len()) {
            // Not through the cache again: on a failing disk, every time it
            // meets the bad sector may take many seconds.
            return match self.read_past(file, offset, buffer) {
                Err(error) if is_no_answer(&error) => cached(buffer),
                result => result,
            };
        }
        let error = match cached(buffer) {
            Err(error) if error.kind() != ErrorKind::Interrupted => error,
            result => return result,
        };
        self.remember(offset, buffer.len());
        self.read_past(file, offset, buffer).map_err(|_| error)
    }

    /// Whether what is at `offset` can be read from where it is kept. Where the
    /// cache cannot be passed by, it is asked to forget what it has, and `cached`
    /// reads.
    pub fn can_read(
        &self,
        file: &File,
        offset: u64,
        cached: impl FnOnce(&mut [u8]) -> io::Result<usize>,
    ) -> bool {
        let mut byte = [0];
        let page = ByteRange::between(offset, offset.saturating_add(1));
        let page = page.align_out(as_u64(ALIGNMENT));
        sys::forget_below(file, page);
        let read = match self.read_past(file, offset, &mut byte) {
            Err(error) if is_no_answer(&error) => {
                sys::drop_cached(file, page);
                cached(&mut byte)
            }
            read => read,
        };
        read.is_ok_and(|count| count > 0)
    }

    fn is_spoilt(&self, offset: u64, len: usize) -> bool {
        let asked = ByteRange::between(offset, offset.saturating_add(as_u64(len)));
        !lock(&self.spoilt).within(asked).is_empty()
    }

    fn remember(&self, offset: u64, len: usize) {
        let range = ByteRange::between(offset, offset.saturating_add(as_u64(len)));
        lock(&self.spoilt).insert(range);
        self.needed.store(true, Relaxed);
    }

    fn read_past(&self, file: &File, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let direct = self.file.get_or_init(|| sys::reopen_direct(file, false).ok());
        let direct = direct.as_ref().ok_or(ErrorKind::Unsupported)?;
        for unit in UNITS {
            match read_whole_units(direct, unit, offset, buffer) {
                Err(error) if error.kind() == ErrorKind::InvalidInput => {}
                result => return result,
            }
        }
        Err(ErrorKind::Unsupported.into())
    }
}

/// Whether an error is about the way past the cache and not about the bytes.
fn is_no_answer(error: &io::Error) -> bool {
    error.kind() == ErrorKind::Unsupported
}

/// Reads `buffer`, or a part of it, by requests of whole units. Neither the
/// ends of a range nor the memory need lie on units: then one unit is read
/// aside, and what is around the wanted bytes is thrown away.
fn read_whole_units(
    file: &PositionedFile,
    unit: u64,
    offset: u64,
    buffer: &mut [u8],
) -> io::Result<usize> {
    let skip = as_usize(offset - align_down(offset, unit));
    let len = as_u64(buffer.len());
    // A worker's memory is congruent to the place in the destination, so it
    // may be aligned where the offset is, or may not.
    let whole = align_down(len, unit);
    let is_aligned = as_u64(buffer.as_ptr().addr()).is_multiple_of(unit);
    if skip == 0 && whole > 0 && is_aligned {
        return file.read_at(&mut buffer[..as_usize(whole)], offset);
    }
    let start = align_down(offset, unit);
    let mut unit_buffer = Buffer::new(as_usize(unit)).map_err(|_| ErrorKind::OutOfMemory)?;
    let memory = unit_buffer.at(start, unit);
    let count = file.read_at(memory, start)?;
    let count = count.saturating_sub(skip).min(buffer.len());
    buffer[..count].copy_from_slice(&memory[skip..skip + count]);
    Ok(count)
}
