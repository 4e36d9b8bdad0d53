//! A request of a stream: filled in its turn, then written and hashed while the
//! next worker reads. Nothing is tried again, and no sector is looked for: what
//! a stream does not give once it does not give.

use std::time::Duration;

use super::{Halt, Post, StripeIo};
use crate::error::ErrorKind;
use crate::io::incoming::expected::as_mismatch;
use crate::io::incoming::{Incoming, Patience, Unfilled};
use crate::io::{Sink, as_u64, as_usize};
use crate::range::ByteRange;

/// How long what came slowly is kept in memory for the sake of longer writes.
const LONGEST_WAIT: Duration = Duration::from_millis(200);

impl StripeIo<'_> {
    /// Copies `request` as it comes, up to the end of the stream.
    pub(super) fn copy_incoming(
        &mut self,
        stream: &Incoming,
        sink: &dyn Sink,
        request: ByteRange,
    ) -> Result<(), Halt> {
        let mut rest = request;
        while !rest.is_empty() {
            self.before_request(0)?;
            let place = self.transfer().to_sink(rest).start();
            let memory = self.buffer.at(place, rest.len());
            let count = self.post.fill(stream, rest, memory)?;
            let (part, later) = rest.split_at(rest.start() + as_u64(count));
            if part.is_empty() {
                return Ok(());
            }
            // Whatever happens meanwhile: what came is written, for it comes once.
            if let Some(throttle) = &self.post.requests.control.throttle {
                throttle.wait(part.len(), self.post.requests.control.cancel);
            }
            let data = &memory[..as_usize(part.len())];
            self.post.write(sink, part, data)?;
            if let Some((printer, _)) = &mut self.printer {
                printer.add(part.start(), data);
            }
            self.post.transfer.observers().bytes(part.start(), data).map_err(|_| Halt::Stopped)?;
            rest = later;
        }
        Ok(())
    }
}

impl Post<'_> {
    /// Fills `memory`, which is as long as `request`, and says how far.
    fn fill(
        &self,
        stream: &Incoming,
        request: ByteRange,
        memory: &mut [u8],
    ) -> Result<usize, Halt> {
        let stop = || self.requests.are_stopped();
        // Somebody may wait at the other end for the little that came.
        let out = self.transfer.order.stream();
        let time = if out.is_some() { Duration::ZERO } else { LONGEST_WAIT };
        let patience = Patience { time, stop: &stop };
        let filled =
            self.waiting(request.start(), || stream.fill(request.start(), memory, &patience));
        filled.map_err(|unfilled| match unfilled {
            Unfilled::Stopped => Halt::Stopped,
            Unfilled::Failed(source) => {
                let turn = self.transfer.to_sink(request).start();
                if out.is_some_and(|out| out.wait_for(turn).is_err()) {
                    return Halt::Stopped;
                }
                let (path, range) = (self.transfer.source_path.clone(), request);
                let read = |source| ErrorKind::Read { path, range, source }.into();
                let error = as_mismatch(source).unwrap_or_else(read);
                Halt::Failed { at: request.start(), error }
            }
        })
    }
}
