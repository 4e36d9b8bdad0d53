//! `offload`: the kernel moves the bytes. Where the file system can share
//! extents, the aligned middle of the range is shared at once, when the engine
//! is made, and only its edges are copied; an observer of the bytes is
//! shown them as they are read from the source. Everywhere else
//! `copy_file_range` moves stripe after stripe.
//!
//! An error that says "not here" makes the engine give way. Any other error is
//! looked into by ordinary reads and writes of the same bytes: they say which
//! side it is on, and rescue all but the bad sectors.

use std::io;

use super::{COMPARES, Capabilities, Engine, EngineContext, EngineEntry, Reflink, Support, files};
use crate::error::Remedy;
use crate::io::Sink;
use crate::pool::{Halt, StripeIo, copy_buffered};
use crate::range::{ByteRange, align_down, align_up};
use crate::report::Fallback;
use crate::sys;

/// Why it cannot serve a copy that must share no extents.
const SHARES: &str = "the file system may share extents, and reflink is never";

/// Why it cannot serve a copy that must keep no holes.
const KEEPS_HOLES: &str = "the file system may keep holes, and sparse is never";

/// What would help where `reason` speaks against it.
pub(super) fn remedies(reason: &str) -> &'static [Remedy] {
    match reason {
        SHARES => &[Remedy::NotReflinkNever],
        KEEPS_HOLES => &[Remedy::NotSparseNever],
        COMPARES => &[Remedy::NotOnlyChanged],
        _ => &[],
    }
}

pub(super) const ENTRY: EngineEntry = EngineEntry {
    name: "offload",
    suits,
    make: |site| Ok(Box::new(Offload::make(site)?)),
    io_size: super::CACHED_IO_SIZE,
    wants_space: false,
};

fn suits(capabilities: &Capabilities) -> Support {
    if capabilities.only_changed {
        return Support::No(COMPARES);
    }
    let Capabilities { source, destination, .. } = capabilities;
    if !source.is_file() || !destination.is_file() {
        return Support::No("the kernel copies only from file to file by itself");
    }
    let may_share = destination.may_share();
    let shares = may_share && capabilities.same_file_system && capabilities.congruent;
    if !shares && !capabilities.kernel_moves {
        return Support::No("this system can at most share the storage of files, and not here");
    }
    if capabilities.needs_bytes && !(capabilities.only_looks && shares) {
        return Support::No("the bytes are looked at on their way");
    }
    if may_share && capabilities.reflink == Reflink::Never {
        return Support::No(SHARES);
    }
    if may_share && capabilities.keep_no_holes {
        return Support::No(KEEPS_HOLES);
    }
    Support::Yes("the kernel copies from file to file by itself")
}

struct Offload {
    /// What needs no copying any more, in bytes of the source.
    shared: ByteRange,
    /// Whether somebody wants to look at that.
    read: bool,
    /// Why nothing could be shared where it should have been possible.
    not_shared: Option<String>,
    notes: Vec<String>,
}

/// What sharing extents came to.
enum Sharing {
    /// What is shared, in bytes of the source.
    Done(ByteRange),
    /// Nobody would expect it.
    Unasked,
    /// It cannot be done, as is known beforehand, and why.
    Impossible(String),
    /// It was tried and refused, and why.
    Refused(String),
}

/// Bytes that are in the destination already.
struct Shared;

impl Sink for Shared {
    fn write_at(&self, _: u64, data: &[u8]) -> io::Result<usize> {
        Ok(data.len())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }
}

impl Offload {
    fn make(site: &EngineContext<'_>) -> Result<Offload, String> {
        let (from, to) = files(&**site.source, &**site.sink)?;
        let read = site.capabilities.needs_bytes;
        let must_share = read || site.capabilities.reflink == Reflink::Always;
        let mut offload =
            Offload { shared: ByteRange::default(), read, not_shared: None, notes: Vec::new() };
        match Offload::share(site) {
            Sharing::Done(shared) => {
                let note = format!("{} bytes share the storage of the source", shared.len());
                return Ok(Offload { shared, notes: vec![note], ..offload });
            }
            Sharing::Unasked => {}
            // What is not shared would go past the observers.
            Sharing::Impossible(reason) | Sharing::Refused(reason) if must_share => {
                return Err(reason);
            }
            Sharing::Impossible(reason) => offload.notes.push(reason),
            Sharing::Refused(reason) => offload.not_shared = Some(reason),
        }
        // A request of no bytes is refused for the same reasons as any other.
        // What is not a refusal is met again, and dealt with, where it belongs.
        match sys::copy_range(from, site.range.start(), to, site.dest_offset, 0) {
            Err(error) if sys::is_not_offered(&error) => {
                return Err(format!("copy_file_range: {error}"));
            }
            _ => {}
        }
        Ok(offload)
    }

    /// Shares what can be shared.
    fn share(site: &EngineContext<'_>) -> Sharing {
        if site.is_clone {
            return Sharing::Done(site.range);
        }
        let capabilities = site.capabilities;
        if capabilities.reflink == Reflink::Never || !capabilities.destination.may_share() {
            return match capabilities.reflink {
                Reflink::Always => {
                    Sharing::Impossible("the file system cannot share extents".to_owned())
                }
                _ => Sharing::Unasked,
            };
        }
        if site.range.is_empty() {
            // All of it is shared as it is.
            return Sharing::Unasked;
        }
        let Some(range) = shareable(site) else {
            let reason = "no whole block of the source is a whole block of the destination, so \
                          extents cannot be shared";
            return Sharing::Impossible(reason.to_owned());
        };
        let (from, to) = match files(&**site.source, &**site.sink) {
            Ok(files) => files,
            Err(reason) => return Sharing::Impossible(reason),
        };
        let place = site.dest_offset + (range.start() - site.range.start());
        match sys::share_range(from, range, to, place) {
            Ok(()) => Sharing::Done(range),
            Err(error) => Sharing::Refused(format!("extents cannot be shared: {error}")),
        }
    }
}

/// The part of the range that is whole blocks on both sides. The end of the
/// source counts as the end of a block where it becomes the end of the sink.
fn shareable(site: &EngineContext<'_>) -> Option<ByteRange> {
    let block = site.capabilities.destination.block();
    let range = site.range;
    if range.start() % block != site.dest_offset % block {
        return None;
    }
    let start = align_up(range.start(), block);
    let sink_end = site.dest_offset + range.len();
    let both_end = range.end() == site.source.size() && sink_end == site.sink_len;
    let end = if both_end { range.end() } else { align_down(range.end(), block) };
    ByteRange::new(start, end).filter(|range| !range.is_empty())
}

impl Engine for Offload {
    fn name(&self) -> &'static str {
        ENTRY.name
    }

    fn copy(&self, stripe: ByteRange, io: &mut StripeIo<'_>) -> Result<(), Halt> {
        if self.shared.is_empty() {
            return copy_in_kernel(stripe, io);
        }
        let (head, rest) = stripe.split_at(self.shared.start());
        let (middle, tail) = rest.split_at(self.shared.end());
        copy_buffered(head, io)?;
        if self.read {
            let source = &*io.transfer().source;
            for request in io.requests(middle) {
                io.copy_request(source, &Shared, request)?;
            }
        } else {
            io.before_request(0)?;
            io.done(middle);
        }
        copy_buffered(tail, io)
    }

    fn gave_way(&self) -> Option<Fallback> {
        let reason = self.not_shared.clone()?;
        Some(Fallback { from: "reflink".to_owned(), to: ENTRY.name.to_owned(), reason })
    }

    fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }
}

fn copy_in_kernel(stripe: ByteRange, io: &mut StripeIo<'_>) -> Result<(), Halt> {
    let transfer = io.transfer();
    let (from, to) = files(&*transfer.source, &*transfer.sink)
        .map_err(|reason| Halt::Unsupported { at: stripe.start(), reason })?;
    let mut rest = stripe;
    while !rest.is_empty() {
        let at = rest.start();
        let (piece, after) = rest.split_at(at.saturating_add(io.kernel_io_size()));
        io.check_heading(at)?;
        io.before_request(piece.len())?;
        let place = transfer.to_sink(piece).start();
        match io.waiting(at, || sys::copy_range(from, at, to, place, piece.len())) {
            // The end of the source, or one of the files that this call takes
            // for empty: an ordinary read knows which.
            Ok(0) => return copy_buffered(rest, io),
            Ok(moved) => {
                let (done, left) = rest.split_at(at + moved);
                io.done(done);
                rest = left;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if sys::is_not_offered(&error) => {
                return Err(Halt::Unsupported { at, reason: format!("copy_file_range: {error}") });
            }
            Err(_) => {
                copy_buffered(piece, io)?;
                rest = after;
            }
        }
    }
    Ok(())
}
