//! `mmap`: the source is read straight into the mapped destination.
//!
//! A map of a file whose storage runs out, or that somebody makes shorter,
//! ends the process with a signal if the process itself writes there. So the
//! destination is a new file, on a file system that keeps its word about
//! reserved storage, the storage of a piece is reserved before it is mapped,
//! and nobody but the kernel writes into the map: a plain read of the source,
//! which fails where the map has lost its file. Whatever else a read meets is
//! left to the workers' own buffers.

use std::fs::File;
use std::io;

use super::{COMPARES, Capabilities, Engine, EngineContext, EngineEntry, Support, files};
use crate::error::ErrorKind;
use crate::io::{as_u64, as_usize};
use crate::pool::{Halt, StripeIo, copy_buffered};
use crate::range::ByteRange;
use crate::sys::{self, FileSystemKind, Map};

pub(super) const ENTRY: EngineEntry = EngineEntry {
    name: "mmap",
    suits,
    make: |site| Ok(Box::new(Mmap::make(site)?)),
    io_size: super::CACHED_IO_SIZE,
    wants_space: false,
};

/// Most bytes mapped at once by a worker: enough for the cost of mapping to
/// vanish, and no strain on a small address space.
const WINDOW: u64 = 64 << 20;

fn suits(capabilities: &Capabilities) -> Support {
    if capabilities.only_changed {
        return Support::No(COMPARES);
    }
    use FileSystemKind::{Ext, Tmpfs, Xfs};
    let destination = &capabilities.destination;
    if !capabilities.source.is_open() {
        return Support::No(
            "a destination is mapped only where the source is an open file or device",
        );
    }
    if !destination.is_file() || !capabilities.fresh {
        return Support::No(
            "only a new file is mapped: another process could make an old one shorter",
        );
    }
    if !matches!(destination.file_system.map(|system| system.kind), Some(Ext | Xfs | Tmpfs)) {
        return Support::No("the file system may run out of space after it has reserved it");
    }
    if capabilities.needs_bytes {
        return Support::No("the bytes are looked at on their way");
    }
    Support::Yes("the source is read straight into the mapped destination")
}

struct Mmap;

impl Mmap {
    /// Tries out whether storage can be reserved, as of ext2 it cannot: where it will be
    /// needed, so that no hole is filled. Whether there is enough of it is found there.
    fn make(site: &EngineContext<'_>) -> Result<Mmap, String> {
        let (_, file) = files(&**site.source, &**site.sink)?;
        let first = site.first.map(|stripe| stripe.split_at(stripe.start() + 1).0);
        match first.map(|first| sys::reserve(file, first)) {
            Some(Err(error)) if sys::is_not_offered(&error) => {
                Err(format!("reserving space: {error}"))
            }
            _ => Ok(Mmap),
        }
    }
}

impl Engine for Mmap {
    fn name(&self) -> &'static str {
        ENTRY.name
    }

    fn copy(&self, stripe: ByteRange, io: &mut StripeIo<'_>) -> Result<(), Halt> {
        stripe.pieces(WINDOW).try_for_each(|window| copy_window(window, io))
    }
}

fn copy_window(window: ByteRange, io: &mut StripeIo<'_>) -> Result<(), Halt> {
    let at = window.start();
    let transfer = io.transfer();
    let target = transfer.to_sink(window);
    let (Some(file), Some(source)) = (transfer.sink.file(), transfer.source.file()) else {
        return copy_buffered(window, io);
    };
    match io.waiting(at, || sys::reserve(file, target)) {
        Ok(()) => {}
        Err(error) if sys::is_not_offered(&error) => {
            return Err(Halt::Unsupported { at, reason: format!("reserving space: {error}") });
        }
        Err(source) => {
            let path = transfer.sink_path.clone();
            let error = ErrorKind::Write { path, range: target, source }.into();
            return Err(Halt::Failed { at, error });
        }
    }
    let mut map = Map::new(file, target)
        .map_err(|error| Halt::Unsupported { at, reason: format!("mmap: {error}") })?;
    for request in io.requests(window) {
        let skip = as_usize(request.start() - window.start());
        let memory = &mut map.bytes()[skip..skip + as_usize(request.len())];
        io.before_request(request.len())?;
        match io.waiting(request.start(), || fill(memory, source, request.start())) {
            Ok(()) => io.done(request),
            Err(error) if sys::is_memory_fault(&error) => return Err(lost(request, io)),
            // It cannot be read, or not like this: retries and all that follows.
            Err(_) => io.copy_request(&*transfer.source, &*transfer.sink, request)?,
        }
    }
    Ok(())
}

/// Reads all of `memory` from `offset` of `source` on.
fn fill(mut memory: &mut [u8], source: &File, mut offset: u64) -> io::Result<()> {
    while !memory.is_empty() {
        match sys::read_at(source, memory, offset) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => {
                offset += as_u64(count);
                memory = &mut memory[count..];
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The end of a copy whose destination became shorter under its map.
fn lost(request: ByteRange, io: &StripeIo<'_>) -> Halt {
    let transfer = io.transfer();
    let (path, range) = (transfer.sink_path.clone(), transfer.to_sink(request));
    let source = io::Error::other("somebody has made it shorter");
    Halt::Failed { at: request.start(), error: ErrorKind::Write { path, range, source }.into() }
}
