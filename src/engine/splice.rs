//! `splice`: pages travel through a pipe, without passing through memory of
//! this process. Both ends are addressed by offset, so that workers share the
//! descriptors; every stripe has a pipe of its own.

use std::io;

use super::{COMPARES, Capabilities, Engine, EngineEntry, Support, files};
use crate::pool::{Halt, StripeIo, copy_buffered};
use crate::range::ByteRange;
use crate::sys::{self, Pipe};

pub(super) const ENTRY: EngineEntry = EngineEntry {
    name: "splice",
    suits,
    make: |site| {
        files(&**site.source, &**site.sink)?;
        Pipe::new(PIPE_SIZE).map_err(|error| format!("pipe: {error}"))?;
        Ok(Box::new(Splice))
    },
    io_size: super::CACHED_IO_SIZE,
    wants_space: false,
};

/// What Linux lets anybody have of a pipe.
const PIPE_SIZE: u64 = 1 << 20;

fn suits(capabilities: &Capabilities) -> Support {
    if capabilities.only_changed {
        return Support::No(COMPARES);
    }
    if capabilities.needs_bytes {
        return Support::No("the bytes are looked at on their way");
    }
    if !capabilities.source.is_open() || !capabilities.destination.is_open() {
        return Support::No("pages travel only between open files or devices");
    }
    if !capabilities.kernel_moves {
        return Support::No("this system moves no pages through a pipe");
    }
    Support::Yes("pages travel through a pipe")
}

struct Splice;

impl Engine for Splice {
    fn name(&self) -> &'static str {
        ENTRY.name
    }

    fn copy(&self, stripe: ByteRange, io: &mut StripeIo<'_>) -> Result<(), Halt> {
        let pipe =
            Pipe::new(PIPE_SIZE).map_err(|error| unsupported("pipe", stripe.start(), &error))?;
        let most = pipe.capacity().min(io.kernel_io_size());
        let mut rest = stripe;
        while !rest.is_empty() {
            let piece = rest.split_at(rest.start().saturating_add(most)).0;
            io.before_request(piece.len())?;
            rest = match through_pipe(&pipe, piece, io)? {
                Moved::To(offset) => rest.split_at(offset).1,
                // The pipe may hold bytes that nobody wants: a new one is made
                // for the next stripe, this one ends with ordinary requests.
                Moved::Stuck(offset) => return copy_buffered(rest.split_at(offset).1, io),
            };
        }
        Ok(())
    }
}

/// How far a piece got, in bytes of the source.
enum Moved {
    To(u64),
    /// The end of the source, or an error that ordinary requests look into.
    Stuck(u64),
}

/// Moves some of `piece` into the empty pipe, and all of that out of it.
fn through_pipe(pipe: &Pipe, piece: ByteRange, io: &mut StripeIo<'_>) -> Result<Moved, Halt> {
    let transfer = io.transfer();
    let mut at = piece.start();
    let (from, to) = files(&*transfer.source, &*transfer.sink)
        .map_err(|reason| Halt::Unsupported { at, reason })?;
    let filled = match io.waiting(at, || pipe.fill(from, at, piece.len())) {
        Ok(0) => return Ok(Moved::Stuck(at)),
        Ok(filled) => filled,
        Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(Moved::To(at)),
        Err(error) if sys::is_not_offered(&error) => {
            return Err(unsupported("splice from the source", at, &error));
        }
        Err(_) => return Ok(Moved::Stuck(at)),
    };
    let mut held = piece.split_at(at + filled).0;
    while !held.is_empty() {
        at = held.start();
        let place = transfer.to_sink(held).start();
        match io.waiting(at, || pipe.drain(to, place, held.len())) {
            Ok(0) => return Ok(Moved::Stuck(at)),
            Ok(moved) => {
                let (done, left) = held.split_at(at + moved);
                io.done(done);
                held = left;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if sys::is_not_offered(&error) => {
                return Err(unsupported("splice to the destination", at, &error));
            }
            Err(_) => return Ok(Moved::Stuck(at)),
        }
    }
    Ok(Moved::To(piece.start() + filled))
}

fn unsupported(step: &str, at: u64, error: &io::Error) -> Halt {
    Halt::Unsupported { at, reason: format!("{step}: {error}") }
}
