//! `direct`: requests past the page cache, on both sides or one.
//!
//! Each side has a second descriptor for them; the flag is never switched on
//! the first one, which other workers are using. What does not fit the
//! alignment of a side goes another way: a read takes in the whole blocks
//! around what is wanted, a write of an odd head or tail goes through the page
//! cache. The units of the page cache are whole pages, so no page is written
//! both ways.
//!
//! A side that turns a request down as unsuitable is served through the page
//! cache from then on, and after that request the engine gives way.

use std::fs::File;
use std::io;
use std::sync::{Arc, OnceLock};

use crossbeam::queue::ArrayQueue;
use positioned_io::ReadAt;

use super::{Capabilities, Engine, EngineContext, EngineEntry, Support};
use crate::io::buffer::{ALIGNMENT, Buffer};
use crate::io::only_changed::OnlyChanged;
use crate::io::{Sink, Source, as_u64, as_usize};
use crate::pool::{Halt, StripeIo};
use crate::range::{ByteRange, align_down};
use crate::sys::{self, DirectAlignment, PositionedFile};

pub(super) const ENTRY: EngineEntry = EngineEntry {
    name: "direct",
    suits,
    make: |site| Ok(Box::new(Direct::make(site)?)),
    // Larger than through the page cache: nothing is read ahead or gathered
    // behind the request, so each one has to be worth the wait.
    io_size: 1 << 20,
    wants_space: true,
};

fn suits(capabilities: &Capabilities) -> Support {
    let (source, destination) = (&capabilities.source, &capabilities.destination);
    match (source.direct.is_some(), destination.direct.is_some()) {
        (true, true) => Support::Yes("both sides go past the page cache"),
        (true, false) => Support::Yes("the source is read past the page cache"),
        (false, true) => Support::Yes("the destination is written past the page cache"),
        (false, false) => Support::No("neither side can be reached past the page cache"),
    }
}

struct Direct {
    /// `None`: through the page cache.
    source: Option<DirectSource>,
    sink: Option<Arc<DirectSink>>,
    /// What stands before the sink where only what differs is written.
    only_changed: Option<OnlyChanged>,
    notes: Vec<String>,
}

impl Direct {
    fn make(site: &EngineContext<'_>) -> Result<Direct, String> {
        let (can, mut notes) = (site.capabilities, Vec::new());
        let source = can.source.direct.map(|alignment| {
            DirectSource::open(site.source, alignment, site.range.start(), site.io_size)
        });
        let sink = can.destination.direct.map(|alignment| DirectSink::open(site, alignment));
        let mut keep = |side: &str, error: io::Error| {
            notes.push(format!("the {side} goes through the page cache: {error}"));
        };
        let source = source.and_then(|side| side.map_err(|error| keep("source", error)).ok());
        let sink = sink.and_then(|side| side.map_err(|error| keep("destination", error)).ok());
        if source.is_none() && sink.is_none() {
            return Err(notes.join("; "));
        }
        let sink = sink.map(Arc::new);
        let only_changed = site.only_changed.zip(sink.as_ref());
        let only_changed = only_changed.map(|(before, sink)| past_cache(before, sink, site));
        Ok(Direct { source, sink, only_changed, notes })
    }

    /// Why a side has been turned down, if one has.
    fn refusal(&self) -> Option<&String> {
        let source = self.source.as_ref().and_then(|side| side.side.refusal.get());
        source.or_else(|| self.sink.as_ref()?.side.refusal.get())
    }
}

impl Engine for Direct {
    fn name(&self) -> &'static str {
        ENTRY.name
    }

    fn copy(&self, stripe: ByteRange, io: &mut StripeIo<'_>) -> Result<(), Halt> {
        let transfer = io.transfer();
        let source = self.source.as_ref().map_or(&*transfer.source, |side| side as &dyn Source);
        let sink = self.sink.as_deref().map_or(&*transfer.sink, |side| side as &dyn Sink);
        let sink = self.only_changed.as_ref().map_or(sink, |before| before as &dyn Sink);
        for request in io.requests(stripe) {
            io.copy_request(source, sink, request)?;
            if let Some(reason) = self.refusal() {
                return Err(Halt::Unsupported { at: request.end(), reason: reason.clone() });
            }
        }
        Ok(())
    }

    fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }
}

/// `before`, with the destination read past the page cache too where that can be.
fn past_cache(
    before: &OnlyChanged,
    sink: &Arc<DirectSink>,
    site: &EngineContext<'_>,
) -> OnlyChanged {
    let content = before.content();
    let direct = DirectSource::open(content, sink.side.alignment, site.dest_offset, site.io_size);
    let content = direct.map_or_else(|_| Arc::clone(content), |direct| Arc::new(direct) as Arc<_>);
    before.by(sink.clone(), content)
}

/// What both sides have in common.
struct Side {
    direct: PositionedFile,
    alignment: DirectAlignment,
    /// Set with the first request that was turned down.
    refusal: OnceLock<String>,
}

impl Side {
    /// Opens `file` again and tries one request, a read, which harms nobody.
    fn open(file: &File, writable: bool, alignment: DirectAlignment, at: u64) -> io::Result<Side> {
        let direct = sys::reopen_direct(file, writable)?;
        let side = Side { direct, alignment, refusal: OnceLock::new() };
        let unit = alignment.offset.max(alignment.memory);
        let mut buffer = Buffer::new(as_usize(unit)).map_err(io::Error::other)?;
        let at = align_down(at, unit);
        match side.direct.read_at(buffer.at(at, unit), at) {
            Err(error) if sys::is_unsupported(&error) => Err(error),
            // A bad sector, say, speaks neither for nor against it.
            _ => Ok(side),
        }
    }

    fn fits(&self, offset: u64, memory: &[u8]) -> bool {
        let address = as_u64(memory.as_ptr().addr());
        offset.is_multiple_of(self.alignment.offset)
            && address.is_multiple_of(self.alignment.memory)
    }

    /// Takes note of an error that says that requests of this kind do not suit.
    fn turned_down(&self, what: &str, error: &io::Error) -> bool {
        let unsuitable = sys::is_unsupported(error);
        if unsuitable {
            self.refusal.get_or_init(|| format!("{what} past the page cache: {error}"));
        }
        unsuitable
    }
}

/// A source read past the page cache.
struct DirectSource {
    buffered: Arc<dyn Source>,
    side: Side,
    /// Memory for whole blocks around what is wanted, as many as were ever in
    /// use at once.
    spare: ArrayQueue<Buffer>,
    /// Size of each in bytes.
    spare_size: u64,
}

/// Most spare buffers kept: as many as there can be workers.
const MOST_SPARE: usize = crate::pool::MOST_THREADS;

impl DirectSource {
    /// To be read from `at` on, in requests of up to `io_size` bytes.
    fn open(
        source: &Arc<dyn Source>,
        alignment: DirectAlignment,
        at: u64,
        io_size: u64,
    ) -> io::Result<DirectSource> {
        let buffered = Arc::clone(source);
        let file = buffered.file().ok_or(io::ErrorKind::Unsupported)?;
        let side = Side::open(file, false, alignment, at)?;
        let spare_size = io_size.saturating_add(2 * alignment.offset);
        Ok(DirectSource { buffered, side, spare: ArrayQueue::new(MOST_SPARE), spare_size })
    }

    /// Reads the whole blocks around what is wanted.
    fn read_around(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let unit = self.side.alignment.offset;
        let wanted = ByteRange::between(offset, offset.saturating_add(as_u64(buffer.len())));
        let around = wanted.align_out(unit);
        let around =
            around.split_at(around.start().saturating_add(self.spare_size / unit * unit)).0;
        let spare = self.spare.pop().map_or_else(|| Buffer::new(as_usize(self.spare_size)), Ok);
        // Without memory to spare, the page cache does it.
        let Ok(mut spare) = spare else { return self.buffered.read_at(offset, buffer) };
        let memory = spare.at(around.start(), around.len());
        let result = self.side.direct.read_at(memory, around.start()).map(|count| {
            let skip = as_usize(offset - around.start());
            let count = count.saturating_sub(skip).min(buffer.len());
            buffer[..count].copy_from_slice(&memory[skip..skip + count]);
            count
        });
        // A full queue drops it, which does no harm to memory.
        let _ = self.spare.push(spare);
        result
    }
}

impl ReadAt for DirectSource {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        if self.side.refusal.get().is_some() {
            return self.buffered.read_at(offset, buffer);
        }
        let whole = align_down(as_u64(buffer.len()), self.side.alignment.offset);
        let result = if whole > 0 && self.side.fits(offset, buffer) {
            self.side.direct.read_at(&mut buffer[..as_usize(whole)], offset)
        } else {
            self.read_around(offset, buffer)
        };
        match result {
            Err(error) if self.side.turned_down("read", &error) => {
                self.buffered.read_at(offset, buffer)
            }
            result => result,
        }
    }
}

impl Source for DirectSource {
    fn size(&self) -> u64 {
        self.buffered.size()
    }
}

/// A sink written past the page cache.
struct DirectSink {
    buffered: Arc<dyn Sink>,
    side: Side,
}

impl DirectSink {
    fn open(site: &EngineContext<'_>, alignment: DirectAlignment) -> io::Result<DirectSink> {
        let buffered = Arc::clone(site.sink);
        let file = buffered.file().ok_or(io::ErrorKind::Unsupported)?;
        // Whole pages, so that no page is written both ways.
        let offset = alignment.offset.max(as_u64(ALIGNMENT));
        let alignment = DirectAlignment { offset, ..alignment };
        let side = Side::open(file, true, alignment, site.dest_offset)?;
        Ok(DirectSink { buffered, side })
    }
}

impl Sink for DirectSink {
    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<usize> {
        let unit = self.side.alignment.offset;
        let whole = as_usize(align_down(as_u64(data.len()), unit));
        if self.side.refusal.get().is_some() {
            return self.buffered.write_at(offset, data);
        }
        if whole == 0 || !self.side.fits(offset, data) {
            // Up to where whole pages begin, or all of what is not a whole page.
            let edge = as_usize(unit - offset % unit);
            return self.buffered.write_at(offset, &data[..edge.min(data.len())]);
        }
        match self.side.direct.write_at(&data[..whole], offset) {
            Err(error) if self.side.turned_down("write", &error) => {
                self.buffered.write_at(offset, data)
            }
            result => result,
        }
    }

    fn write_zeroes(&self, range: ByteRange) -> io::Result<()> {
        self.buffered.write_zeroes(range)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.buffered.sync_data()
    }
}
