//! A stream as a sink: pieces come from several workers and go out in order.
//!
//! The worker that has the piece whose turn it is writes it, and then whatever follows
//! it already. Other pieces are laid aside, up to a bound; beyond it their
//! workers wait. So what is read ahead is bounded, and no thread waits for
//! another to wake up while there is something to write. This ends as long as
//! stripes are claimed in ascending order: the first missing piece is always in
//! the hands of a worker that is not waiting.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::time::Duration;

use super::{Sink, as_u64};
use crate::progress::{CancelToken, lock};
use crate::sync::atomic::{AtomicBool, Ordering::SeqCst};
use crate::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use crate::sys;

/// How long to wait for a slow reader before looking whether to go on at all.
const NAP: Duration = Duration::from_millis(100);

/// A pipe, socket or file that is written from beginning to end.
pub struct Ordered {
    out: File,
    cancel: CancelToken,
    /// Most pieces laid aside.
    room: usize,
    line: Mutex<Line>,
    moved: Condvar,
    abandoned: AtomicBool,
}

/// The pieces standing in line.
#[derive(Default)]
struct Line {
    /// First offset that has not been written.
    next: u64,
    /// Whether somebody is writing from there on.
    writing: bool,
    aside: BTreeMap<u64, Vec<u8>>,
    /// Memory of pieces that have been written.
    spare: Vec<Vec<u8>>,
}

impl Ordered {
    /// Writes to `out`, from where it stands, laying up to `room` pieces
    /// aside. Gives up when `cancel` says so.
    pub fn new(out: File, room: usize, cancel: &CancelToken) -> Ordered {
        Ordered {
            out,
            cancel: cancel.clone(),
            room,
            line: Mutex::default(),
            moved: Condvar::new(),
            abandoned: AtomicBool::new(false),
        }
    }

    /// Wakes every thread that waits for a turn that will not come, and fails every
    /// write from now on.
    pub fn abandon(&self) {
        self.abandoned.store(true, SeqCst);
        // A thread that looked before either waits by now or still holds the lock.
        drop(lock(&self.line));
        self.moved.notify_all();
    }

    /// Whether writes fail because nobody wants them any more.
    pub fn is_abandoned(&self) -> bool {
        self.abandoned.load(SeqCst) || self.cancel.is_cancelled()
    }

    /// Waits until everything before `offset` was written.
    ///
    /// # Errors
    ///
    /// If the stream was abandoned.
    pub fn wait_for(&self, offset: u64) -> io::Result<()> {
        let mut line = lock(&self.line);
        while !line.is_turn_of(offset) {
            self.check()?;
            line = self.wait(line);
        }
        self.check()
    }

    fn wait<'a>(&self, line: MutexGuard<'a, Line>) -> MutexGuard<'a, Line> {
        self.moved.wait_timeout(line, NAP).unwrap_or_else(PoisonError::into_inner).0
    }

    /// Takes the turn of the piece at `offset`, or lays it aside. Returns
    /// whether it is now up to the caller to write.
    fn queue(&self, offset: u64, data: &[u8]) -> io::Result<bool> {
        let mut line = lock(&self.line);
        loop {
            self.check()?;
            if line.is_turn_of(offset) {
                line.writing = true;
                return Ok(true);
            }
            if line.aside.len() < self.room && offset > line.next {
                let mut memory = line.spare.pop().unwrap_or_default();
                memory.clear();
                memory.extend_from_slice(data);
                line.aside.insert(offset, memory);
                return Ok(false);
            }
            line = self.wait(line);
        }
    }

    /// Ends the turn of `len` bytes; the piece after them, if it is there.
    fn advance(&self, len: usize) -> Option<Vec<u8>> {
        let mut line = lock(&self.line);
        line.next += as_u64(len);
        let next = line.next;
        let piece = line.aside.remove(&next);
        line.writing = piece.is_some();
        // Those who wait for room are woken many at a time.
        if piece.is_none() || line.aside.len() == self.room / 2 {
            self.moved.notify_all();
        }
        piece
    }

    fn check(&self) -> io::Result<()> {
        if self.is_abandoned() {
            // Not `Interrupted`: that would be tried again.
            return Err(io::Error::other("the stream was abandoned"));
        }
        Ok(())
    }

    fn write_all(&self, data: &[u8]) -> io::Result<()> {
        let mut rest = data;
        while !rest.is_empty() {
            self.check()?;
            match (&self.out).write(rest) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => rest = &rest[count..],
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    sys::wait_writable(&self.out, NAP)?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl Line {
    fn is_turn_of(&self, offset: u64) -> bool {
        self.next == offset && !self.writing
    }
}

impl Sink for Ordered {
    /// Takes all of `data`. An error may be that of a piece before it.
    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<usize> {
        if !self.queue(offset, data)? {
            return Ok(data.len());
        }
        self.write_all(data)?;
        let mut written = data.len();
        while let Some(piece) = self.advance(written) {
            self.write_all(&piece)?;
            written = piece.len();
            lock(&self.line).spare.push(piece);
        }
        Ok(data.len())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.out.sync_all()
    }
}

#[cfg(all(test, pcopy_model))]
#[path = "tests/ordered_schedules.rs"]
mod schedules;

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Seek};

    fn ordered(room: usize) -> Ordered {
        Ordered::new(tempfile::tempfile().expect("a file"), room, &CancelToken::new())
    }

    #[test]
    fn pieces_from_several_threads_come_out_in_order() {
        for room in [0, 1, 3, 100] {
            check_order(room);
        }
    }

    fn check_order(room: usize) {
        let stream = ordered(room);
        let data: Vec<u8> = (0..=250).cycle().take(100_000).collect();
        std::thread::scope(|scope| {
            for worker in 0..8 {
                let (stream, data) = (&stream, &data);
                scope.spawn(move || {
                    for at in (worker * 777..data.len()).step_by(8 * 777) {
                        let piece = &data[at..data.len().min(at + 777)];
                        assert_eq!(stream.write_at(at as u64, piece).unwrap(), piece.len());
                    }
                });
            }
        });
        let (mut out, mut found) = (&stream.out, Vec::new());
        out.rewind().unwrap();
        out.read_to_end(&mut found).unwrap();
        assert!(found == data, "room for {room}");
        assert!(lock(&stream.line).aside.is_empty());
    }

    #[test]
    fn an_abandoned_stream_keeps_nobody_waiting() {
        let stream = ordered(0);
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| stream.write_at(5, b"late"));
            stream.abandon();
            assert!(waiting.join().unwrap().is_err());
        });
        assert!(stream.write_at(0, b"first").is_err());
    }
}
