//! What one worker has in hand while it copies one stripe: its buffer, the
//! transfer, and the rules for requests. Engines are written against this.

mod incoming;

use std::io;

use super::KERNEL_IO_SIZE;
use super::reader::{BadSectors, Reader};
use super::requests::{Ended, FailedAt, Requests};
use super::transfer::Transfer;
use crate::error::{Error, ErrorKind};
use crate::io::buffer::Buffer;
use crate::io::fingerprint::{Marked, Marks, Printer};
use crate::io::{Ordered, Sink, Source, as_u64, as_usize, transfer};
use crate::progress::Progress;
use crate::range::{ByteRange, RangeSet};
use crate::sparse::{self, Zeros};

/// Longest hole that is made at once where its place is read before, in bytes.
const READ_HOLE: u64 = 4 << 20;

/// Why an engine stopped in the middle of a stripe.
pub enum Halt {
    /// This way of moving bytes does not exist here. Everything of the stripe
    /// before `at` is done; the next engine continues there.
    Unsupported {
        /// In bytes of the source.
        at: u64,
        /// What the system said.
        reason: String,
    },
    /// Requests are made in another way from now on. Everything of the stripe
    /// before `at` is done.
    Superseded {
        /// In bytes of the source.
        at: u64,
    },
    /// The caller asked to stop, or another worker met an error.
    Stopped,
    /// The job cannot go on.
    Failed {
        /// In bytes of the source.
        at: u64,
        /// Why.
        error: Error,
    },
}

impl From<Ended> for Halt {
    fn from(ended: Ended) -> Halt {
        match ended {
            Ended::Stopped => Halt::Stopped,
            Ended::Failed(FailedAt { at, error }) => Halt::Failed { at, error },
        }
    }
}

/// What one worker has in hand while it copies one stripe.
pub struct StripeIo<'a> {
    post: Post<'a>,
    buffer: &'a mut Buffer,
    /// The fingerprint being taken of the piece that is being moved.
    printer: Option<(Printer, Marks)>,
    /// Longest request in bytes, and the way to make them, of what is being moved.
    heading: (u64, usize),
    /// Whether to stop where that has changed.
    hears_change: bool,
}

impl<'a> StripeIo<'a> {
    pub(super) fn new(
        requests: Requests<'a>,
        transfer: &'a Transfer,
        buffer: &'a mut Buffer,
    ) -> StripeIo<'a> {
        let heading = (requests.heading.request(), requests.heading.way());
        let post = Post { requests, transfer };
        StripeIo { post, buffer, printer: None, heading, hears_change: false }
    }

    /// Runs `moving` by requests as they are wanted now, the number of whose way it is
    /// told. It ends with [`Halt::Superseded`] where they are wanted differently.
    pub(super) fn heading_for(
        &mut self,
        moving: impl FnOnce(usize, &mut Self) -> Result<(), Halt>,
    ) -> Result<(), Halt> {
        let wanted = self.post.requests.heading;
        self.heading = (wanted.request(), wanted.way());
        self.hears_change = true;
        let result = moving(self.heading.1, self);
        self.hears_change = false;
        result
    }

    /// To be called before each request at `at` of the source: hears whether requests
    /// are wanted differently now.
    ///
    /// # Errors
    ///
    /// [`Halt::Superseded`].
    pub fn check_heading(&self, at: u64) -> Result<(), Halt> {
        let wanted = self.post.requests.heading;
        match self.hears_change && self.heading != (wanted.request(), wanted.way()) {
            true => Err(Halt::Superseded { at }),
            false => Ok(()),
        }
    }

    /// The transfer the stripe belongs to.
    pub fn transfer(&self) -> &'a Transfer {
        self.post.transfer
    }

    /// Counters and events.
    pub fn progress(&self) -> &'a Progress {
        self.post.requests.control.progress
    }

    /// Longest request in bytes.
    pub fn io_size(&self) -> u64 {
        let (control, longest) = (self.post.requests.control, self.heading.0);
        // A rate is kept in small steps.
        control.throttle.as_ref().map_or(longest, |limit| longest.min(limit.step()))
    }

    /// Longest request in bytes where none goes through a buffer.
    pub fn kernel_io_size(&self) -> u64 {
        let control = self.post.requests.control;
        let largest = control.kernel_io_size;
        control.throttle.as_ref().map_or(largest, |limit| largest.min(limit.step()))
    }

    /// Longest hole in bytes that is made at once: it moves nothing, but may be read.
    fn hole_size(&self) -> u64 {
        match self.post.requests.control.throttle {
            Some(_) => self.io_size(),
            None if self.transfer().reads_sink => self.io_size().max(READ_HOLE),
            None => KERNEL_IO_SIZE,
        }
    }

    /// Called before every request: hears a wish to stop (invariant I8) and
    /// keeps to the rate.
    pub fn before_request(&self, bytes: u64) -> Result<(), Halt> {
        self.post.before_request(bytes)
    }

    /// Runs a request that may wait for a device, so that a user can see what
    /// is being waited for.
    pub fn waiting<T>(&self, offset: u64, request: impl FnOnce() -> T) -> T {
        self.post.waiting(offset, request)
    }

    /// The requests of a stripe: cut where the *destination* offset is a
    /// multiple of the request size, so that no two requests share a block there.
    pub fn requests(&self, stripe: ByteRange) -> impl Iterator<Item = ByteRange> + use<> {
        self.on_grid(stripe, self.io_size())
    }

    /// `range` in pieces of up to `size` bytes, cut likewise.
    fn on_grid(&self, range: ByteRange, size: u64) -> impl Iterator<Item = ByteRange> + use<> {
        let phase = self.transfer().mapping.grid().wrapping_neg();
        range.pieces_on_grid(size, phase)
    }

    /// How much of a request is in memory at once, in bytes.
    fn buffer_size(&self) -> u64 {
        self.post.requests.control.buffer_size
    }

    /// Reads `request` from `source`, writes it to `sink` and records it:
    /// the body of every engine that moves bytes through a buffer.
    pub fn copy_request(
        &mut self,
        source: &dyn Source,
        sink: &dyn Sink,
        request: ByteRange,
    ) -> Result<(), Halt> {
        self.check_heading(request.start())?;
        if let Some(stream) = self.transfer().reads.stream() {
            return self.copy_incoming(stream, sink, request);
        }
        if request.len() <= self.buffer_size() {
            return self.copy_piece(source, sink, request);
        }
        let in_order = source.in_order(request);
        let source = in_order.as_deref().unwrap_or(source);
        for piece in self.on_grid(request, self.buffer_size()) {
            self.copy_piece(source, sink, piece)?;
        }
        Ok(())
    }

    /// The same of a piece that fits into the buffer.
    fn copy_piece(
        &mut self,
        source: &dyn Source,
        sink: &dyn Sink,
        request: ByteRange,
    ) -> Result<(), Halt> {
        self.before_request(request.len())?;
        let target = self.transfer().to_sink(request);
        let mut lent = match sink.memory().map(|memory| memory.lend(target)) {
            Some(Some(lent)) => Some(lent),
            Some(None) => {
                let error = io::Error::other("the memory is not free");
                return Err(self.post.write_failed(request, 0, error));
            }
            None => None,
        };
        let is_in_place = lent.is_some();
        let memory: &mut [u8] = match &mut lent {
            // Where the bytes go is where they are read to.
            Some(lent) => lent,
            // At an address congruent to the place in the destination; that in
            // the source mostly is, too.
            None => self.buffer.at(target.start(), request.len()),
        };
        let bad = match &mut self.printer {
            None => self.post.read(source, request, memory)?,
            Some((printer, marks)) => {
                let marked = Marked::new(source, marks);
                let bad = self.post.read(&marked, request, memory)?;
                if marked.is_suspicious() {
                    printer.invalidate();
                }
                bad
            }
        };
        let gap = bad.iter().next().filter(|_| self.post.transfer.order.stream().is_some());
        for good in bad.missing_from(request).iter() {
            // In a stream there is no place for what comes after a gap.
            if gap.is_some_and(|gap| gap.start() < good.start()) {
                break;
            }
            let skip = as_usize(good.start() - request.start());
            let data = &memory[skip..skip + as_usize(good.len())];
            match is_in_place {
                true => self.post.done(good),
                false => self.post.write(sink, good, data)?,
            }
            if let Some((printer, _)) = &mut self.printer {
                printer.add(good.start(), data);
            }
            // After the write: a worker that waits for its turn has nothing left to do.
            self.post.transfer.observers().bytes(good.start(), data).map_err(|_| Halt::Stopped)?;
        }
        gap.map_or(Ok(()), |gap| Err(self.post.end_stream(gap)))
    }

    /// Makes the place of `hole`, a hole of the source, read as zeros.
    pub fn copy_hole(&mut self, sink: &dyn Sink, hole: ByteRange) -> Result<(), Halt> {
        for piece in hole.pieces(self.hole_size()) {
            self.before_request(0)?;
            let target = self.transfer().to_sink(piece);
            self.waiting(piece.start(), || sink.write_zeroes(target))
                .map_err(|error| self.post.write_failed(piece, 0, error))?;
            self.transfer().record_hole(piece.len());
            self.done(piece);
            self.transfer().observers().zeroes(piece).map_err(|_| Halt::Stopped)?;
        }
        Ok(())
    }

    /// Runs `moving`, which moves `piece`, and records the fingerprint of what
    /// went through the buffer where that is wanted.
    pub(super) fn fingerprinted(
        &mut self,
        piece: ByteRange,
        moving: impl FnOnce(&mut Self) -> Result<(), Halt>,
    ) -> Result<(), Halt> {
        if self.transfer().observers().wants_fingerprints() {
            self.printer = Some((Printer::new(piece.start()), Marks::new()));
        }
        moving(self)?;
        let taken = self.printer.take().and_then(|(printer, _)| printer.finish());
        let piece = self.transfer().existing(piece);
        if let Some(fingerprint) = taken.filter(|taken| taken.range == piece && !piece.is_empty()) {
            self.transfer().observers().record(fingerprint);
        }
        Ok(())
    }

    /// Reads `piece` from the destination, for those who look at all bytes.
    pub(super) fn look_back(&mut self, piece: ByteRange) -> Result<(), Halt> {
        let transfer = self.transfer();
        let Some(back) = transfer.observers().back() else { return Ok(()) };
        for request in self.on_grid(piece, self.io_size().min(self.buffer_size())) {
            self.before_request(request.len())?;
            let target = transfer.to_sink(request);
            let memory = self.buffer.at(target.start(), target.len());
            let read = self
                .post
                .waiting(request.start(), || transfer::read_full(&**back, target.start(), memory));
            read.map_err(|stop| {
                let path = transfer.sink_path.clone();
                let error = ErrorKind::Read { path, range: target, source: stop.error }.into();
                Halt::Failed { at: request.start(), error }
            })?;
            transfer.observers().bytes(request.start(), memory).map_err(|_| Halt::Stopped)?;
        }
        Ok(())
    }

    /// Shows `hole` to those who look at all bytes.
    pub(super) fn look_at_zeroes(&self, hole: ByteRange) -> Result<(), Halt> {
        for request in hole.pieces(self.hole_size()) {
            self.before_request(0)?;
            self.transfer().observers().zeroes(request).map_err(|_| Halt::Stopped)?;
        }
        Ok(())
    }

    /// Counts `range` as written.
    pub fn done(&self, range: ByteRange) {
        self.post.done(range);
    }
}

/// Stripe I/O without its buffer, so that both can be used at once.
#[derive(Clone, Copy)]
struct Post<'a> {
    requests: Requests<'a>,
    transfer: &'a Transfer,
}

impl Post<'_> {
    fn before_request(&self, bytes: u64) -> Result<(), Halt> {
        Ok(self.requests.before(bytes)?)
    }

    fn waiting<T>(&self, offset: u64, request: impl FnOnce() -> T) -> T {
        self.requests.waiting(offset, request)
    }

    /// Reads `request` through `source` into `memory`, which is as long, and says
    /// what could not be read.
    fn read(
        &self,
        source: &dyn Source,
        request: ByteRange,
        memory: &mut [u8],
    ) -> Result<RangeSet, Halt> {
        let Post { requests, transfer } = *self;
        let reader = Reader {
            requests,
            source: &*transfer.source,
            path: &transfer.source_path,
            sector: transfer.sector,
            bad: self,
        };
        Ok(reader.read(source, request, memory)?)
    }

    fn done(&self, range: ByteRange) {
        self.transfer.source.was_read(range.start());
        self.transfer.record_done(range);
        self.requests.control.progress.add_copied_range(range);
    }

    /// Writes `data`, the bytes `good` of the source.
    fn write(&self, sink: &dyn Sink, good: ByteRange, data: &[u8]) -> Result<(), Halt> {
        if self.transfer.zeros == Zeros::Write {
            return self.write_data(sink, good, data);
        }
        let target = self.transfer.to_sink(good);
        for (run, zero) in sparse::runs(data, target.start()) {
            let skip = run.start() - target.start();
            let part = ByteRange::between(good.start() + skip, good.start() + skip + run.len());
            if zero {
                self.write_zeros(sink, part)?;
            } else {
                let skip = as_usize(skip);
                self.write_data(sink, part, &data[skip..skip + as_usize(run.len())])?;
            }
        }
        Ok(())
    }

    fn write_data(&self, sink: &dyn Sink, good: ByteRange, data: &[u8]) -> Result<(), Halt> {
        let target = self.transfer.to_sink(good);
        let write = || transfer::write_full(sink, target.start(), data);
        let written = self.waiting(good.start(), || self.transfer.as_writer(good.len(), write));
        written.map_err(|stop| {
            let moved = as_u64(stop.moved);
            if self.transfer.reads.stream().is_some() {
                // It comes once: of what was written, everything counts.
                self.done(good.split_at(good.start() + moved).0);
            }
            self.write_failed(good, moved, stop.error)
        })?;
        self.done(good);
        Ok(())
    }

    fn write_zeros(&self, sink: &dyn Sink, zeros: ByteRange) -> Result<(), Halt> {
        if self.transfer.zeros == Zeros::MakeHoles {
            let target = self.transfer.to_sink(zeros);
            self.waiting(zeros.start(), || sink.write_zeroes(target))
                .map_err(|error| self.write_failed(zeros, 0, error))?;
        }
        self.transfer.record_hole(zeros.len());
        self.done(zeros);
        Ok(())
    }

    /// The end of a stream whose source cannot be read at `gap`: after
    /// everything before it has been written.
    fn end_stream(&self, gap: ByteRange) -> Halt {
        let turn = self.transfer.to_sink(gap).start();
        let stream = self.transfer.order.stream();
        if stream.is_some_and(|stream| stream.wait_for(turn).is_err()) {
            return Halt::Stopped;
        }
        let why = self.transfer.failed().within(gap).into_iter().next();
        let why = why.map_or_else(|| "it cannot be read".to_owned(), |part| part.error.to_string());
        let (path, source) = (self.transfer.source_path.clone(), io::Error::other(why));
        Halt::Failed { at: gap.start(), error: ErrorKind::Read { path, range: gap, source }.into() }
    }

    /// The error of a write of `good` after `moved` bytes of it.
    fn write_failed(&self, good: ByteRange, moved: u64, source: io::Error) -> Halt {
        // What waits for a server hears a wish to stop as an error.
        let is_cancelled = self.requests.control().cancel.is_cancelled();
        if is_cancelled || self.transfer.order.stream().is_some_and(Ordered::is_abandoned) {
            return Halt::Stopped;
        }
        let at = good.start() + moved;
        let range = self.transfer.to_sink(good.split_at(at).1);
        let path = self.transfer.sink_path.clone();
        Halt::Failed { at, error: ErrorKind::Write { path, range, source }.into() }
    }
}

impl BadSectors for Post<'_> {
    fn found(&self, part: ByteRange, error: &str) {
        self.transfer.record_failed(part, error);
        self.requests.control.progress.add_failed(part, error);
    }

    fn take_back(&self, parts: &RangeSet) {
        self.transfer.forget_failed(parts);
        self.requests.control.progress.take_back_failed(parts);
    }
}
