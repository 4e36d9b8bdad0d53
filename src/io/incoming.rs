//! A stream as a source: bytes come once and in order, and workers take turns.
//!
//! The mirror of `ordered`. A worker takes the turn, and only then claims what is
//! next; it fills its own buffer and hands the turn on, and then hashes and writes
//! while another one reads. So nothing is copied for the sake of the order, no
//! thread does nothing but read, what is read ahead is what the workers hold, and
//! nobody waits for a worker that sleeps: one that is awake reads on.
//!
//! Where a stream ends is known when it has ended. Nothing here tries again: what
//! an error has swallowed does not come back.

pub mod expected;
mod feed;

pub use feed::{Feed, FileFeed, ReaderFeed};

use std::io::{self, ErrorKind};
use std::path::Path;
use std::time::{Duration, Instant};

use positioned_io::ReadAt;

use self::expected::Expected;
use super::{Source, as_u64, as_usize};
use crate::digest::RangeDigest;
use crate::progress::lock;
use crate::range::ByteRange;
use crate::sync::atomic::{AtomicBool, Ordering::SeqCst};
use crate::sync::{Condvar, Mutex, PoisonError};

/// How long to wait for a byte before looking whether to go on at all.
const NAP: Duration = Duration::from_millis(100);

/// As many bytes as there are offsets in a file: more than a stream will have.
pub const NO_END: u64 = i64::MAX as u64;

/// A stream that is read from beginning to end.
pub struct Incoming {
    line: Mutex<Line>,
    moved: Condvar,
    abandoned: AtomicBool,
    /// How long it will be, where that was said before.
    length: Option<u64>,
}

struct Line {
    /// Away while somebody reads.
    feed: Option<Box<dyn Feed>>,
    /// First offset that has not been read.
    next: u64,
    /// Up to where the worker that has the turn reads, if one has.
    until: Option<u64>,
    /// Where the stream ended.
    end: Option<u64>,
    /// What is to be told to the worker that wants `next`.
    error: Option<io::Error>,
}

/// Why a request was not filled.
#[derive(Debug)]
pub enum Unfilled {
    /// Somebody asked to stop.
    Stopped,
    /// The stream cannot be read.
    Failed(io::Error),
}

/// How long a request may stay unfilled.
pub struct Patience<'a> {
    /// What has come is handed on so long after its first byte, even if there is
    /// room for more. With no time, as soon as nothing more is there.
    pub time: Duration,
    /// Whether to stop waiting at all.
    pub stop: &'a dyn Fn() -> bool,
}

impl Incoming {
    /// Reads from `feed`, whose next byte is that at offset 0.
    pub fn new(feed: Box<dyn Feed>) -> Incoming {
        let feed = Some(feed);
        let line = Line { feed, next: 0, until: None, end: None, error: None };
        Incoming {
            line: Mutex::new(line),
            moved: Condvar::new(),
            abandoned: AtomicBool::new(false),
            length: None,
        }
    }

    /// The same of a feed that brings `length` bytes, or fails, if that is known.
    pub fn with_length(feed: Box<dyn Feed>, length: Option<u64>) -> Incoming {
        Incoming { length, ..Incoming::new(feed) }
    }

    /// How many bytes it will have been at its end, in all, if that is known.
    pub fn length(&self) -> Option<u64> {
        self.end().or(self.length)
    }

    /// From now on fails at the end of the first of `parts` with another digest, with
    /// an error that [`expected::as_mismatch`] knows; messages call the stream `path`.
    pub fn expect(&self, path: &Path, parts: Vec<RangeDigest>) {
        let mut line = lock(&self.line);
        let at = line.next;
        let expecting = |feed| Box::new(Expected::new(feed, at, path.to_owned(), parts)) as Box<_>;
        line.feed = line.feed.take().map(expecting);
    }

    /// Waits for the turn, and claims by `next` what is read in it. `None` once the
    /// stream has ended, nobody wants it any more, or nothing is left to claim.
    pub fn claim(&self, next: impl FnOnce() -> Option<ByteRange>) -> Option<ByteRange> {
        let mut line = lock(&self.line);
        while line.until.is_some() {
            if line.end.is_some() || self.abandoned.load(SeqCst) {
                return None;
            }
            line = self.moved.wait(line).unwrap_or_else(PoisonError::into_inner);
        }
        if line.end.is_some() || self.abandoned.load(SeqCst) {
            return None;
        }
        let Some(claimed) = next() else {
            // There is none for those either who wait for the turn.
            self.moved.notify_all();
            return None;
        };
        line.until = Some(claimed.end());
        Some(claimed)
    }

    /// Where the stream ended, if it has.
    pub fn end(&self) -> Option<u64> {
        lock(&self.line).end
    }

    /// How many bytes were read.
    pub fn position(&self) -> u64 {
        lock(&self.line).next
    }

    /// Wakes those who wait for a turn that will not come, and fills no request
    /// from now on.
    pub fn abandon(&self) {
        self.abandoned.store(true, SeqCst);
        // A worker that looked before either waits by now or still holds the lock.
        drop(lock(&self.line));
        self.moved.notify_all();
    }

    /// Hands on the turn of the worker that claimed up to `until` and needs no more of it.
    pub fn pass(&self, until: u64) {
        let mut line = lock(&self.line);
        if line.until == Some(until) {
            line.until = None;
            self.moved.notify_one();
        }
    }

    /// Fills `memory` from `at` on, which has been [claimed](Incoming::claim). What
    /// comes before it and has not been read is thrown away. Less only where the
    /// stream ends, where patience does, or before an error, which the next call is
    /// told; nothing only at the end, or if `memory` is empty. The turn goes on with
    /// the last byte that was claimed.
    ///
    /// # Errors
    ///
    /// See [`Unfilled`].
    pub fn fill(
        &self,
        at: u64,
        memory: &mut [u8],
        patience: &Patience<'_>,
    ) -> Result<usize, Unfilled> {
        let Some(mut turn) = self.begin(at)? else { return Ok(0) };
        turn.skip_to(at, memory, patience);
        turn.fill(memory, patience);
        let (filled, stopped) = (turn.filled, turn.stopped);
        let failed = self.hand_on(turn);
        match (filled, failed) {
            (0, Some(error)) => Err(Unfilled::Failed(error)),
            (0, None) if stopped => Err(Unfilled::Stopped),
            _ => Ok(filled),
        }
    }

    /// What reads from `at` on; none if the stream has ended before it.
    fn begin(&self, at: u64) -> Result<Option<Turn>, Unfilled> {
        let mut line = lock(&self.line);
        if self.abandoned.load(SeqCst) {
            return Err(Unfilled::Stopped);
        }
        if line.end.is_some_and(|end| end <= at) {
            return Ok(None);
        }
        if let Some(error) = line.error.take() {
            return Err(Unfilled::Failed(error));
        }
        let is_claimed = line.until.is_some_and(|until| at < until);
        let is_next = line.next == at || line.next < at && is_claimed;
        match line.feed.take_if(|_| is_next) {
            Some(feed) => Ok(Some(Turn::new(feed, line.next))),
            None => Err(Unfilled::Failed(io::Error::other("it is read in order"))),
        }
    }

    /// Ends a turn. The error that ended it, if it brought nothing.
    fn hand_on(&self, turn: Turn) -> Option<io::Error> {
        let Turn { feed, next, filled, ended, error, .. } = turn;
        let mut line = lock(&self.line);
        line.next = next;
        line.feed = Some(feed);
        line.end = ended.then_some(next);
        let told = if filled == 0 { error } else { std::mem::replace(&mut line.error, error) };
        if ended {
            self.moved.notify_all();
        } else if line.until.is_some_and(|until| until <= next) {
            line.until = None;
            self.moved.notify_one();
        }
        told
    }
}

/// What one worker does with the stream while nobody else has it.
struct Turn {
    feed: Box<dyn Feed>,
    next: u64,
    filled: usize,
    ended: bool,
    stopped: bool,
    error: Option<io::Error>,
}

impl Turn {
    fn new(feed: Box<dyn Feed>, next: u64) -> Turn {
        Turn { feed, next, filled: 0, ended: false, stopped: false, error: None }
    }

    fn is_over(&self) -> bool {
        self.ended || self.stopped || self.error.is_some()
    }

    /// Reads once, for at most about `time`; how many bytes came.
    fn read(&mut self, memory: &mut [u8], time: Duration) -> usize {
        let count = match self.feed.read(memory, time) {
            Ok(Some(0)) => {
                self.ended = true;
                0
            }
            Ok(count) => count.unwrap_or(0),
            Err(error) if error.kind() == ErrorKind::Interrupted => 0,
            Err(error) => {
                self.error = Some(error);
                0
            }
        };
        self.next += as_u64(count);
        count
    }

    /// Throws away what comes before `first`.
    fn skip_to(&mut self, first: u64, memory: &mut [u8], patience: &Patience<'_>) {
        while self.next < first && !self.is_over() {
            let most = as_u64(memory.len()).min(first - self.next);
            self.read(&mut memory[..as_usize(most)], NAP);
            self.stopped = (patience.stop)();
        }
    }

    fn fill(&mut self, memory: &mut [u8], patience: &Patience<'_>) {
        let mut first: Option<Instant> = None;
        while self.filled < memory.len() && !self.is_over() {
            let left = first.map(|first| patience.time.saturating_sub(first.elapsed()));
            let count = self.read(&mut memory[self.filled..], left.map_or(NAP, |t| t.min(NAP)));
            self.filled += count;
            if left.is_some_and(|left| left.is_zero()) && (count == 0 || !patience.time.is_zero()) {
                return;
            }
            if count > 0 {
                first.get_or_insert_with(Instant::now);
            }
            self.stopped = (patience.stop)();
        }
    }
}

impl ReadAt for Incoming {
    fn read_at(&self, _offset: u64, _buffer: &mut [u8]) -> io::Result<usize> {
        Err(io::Error::new(ErrorKind::NotSeekable, "it can be read once, from beginning to end"))
    }
}

impl Source for Incoming {
    fn size(&self) -> u64 {
        self.length().unwrap_or(NO_END)
    }
}

/// Whether an error says that a source cannot be read again.
pub fn is_read_once(error: &io::Error) -> bool {
    error.kind() == ErrorKind::NotSeekable
}

#[cfg(all(test, pcopy_model))]
#[path = "tests/incoming_schedules.rs"]
mod schedules;

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;
    use std::sync::atomic::AtomicU64;

    /// What comes, in the order in which it comes: bytes, nothing for a while, an
    /// error; then the end.
    enum Comes {
        Bytes(Vec<u8>),
        Nothing,
        Error,
    }

    struct Script(VecDeque<Comes>);

    impl Feed for Script {
        fn read(&mut self, buffer: &mut [u8], _time: Duration) -> io::Result<Option<usize>> {
            match self.0.pop_front() {
                None => Ok(Some(0)),
                Some(Comes::Nothing) => Ok(None),
                Some(Comes::Error) => Err(io::Error::other("noise")),
                Some(Comes::Bytes(mut bytes)) => {
                    let count = bytes.len().min(buffer.len());
                    buffer[..count].copy_from_slice(&bytes[..count]);
                    let rest = bytes.split_off(count);
                    if !rest.is_empty() {
                        self.0.push_front(Comes::Bytes(rest));
                    }
                    Ok(Some(count))
                }
            }
        }
    }

    fn incoming(script: impl IntoIterator<Item = Comes>) -> Incoming {
        Incoming::new(Box::new(Script(script.into_iter().collect())))
    }

    const PATIENT: Patience<'static> = Patience { time: Duration::MAX, stop: &|| false };

    fn pieces(bytes: &[u8], lengths: &[usize]) -> Vec<Comes> {
        let mut rest = bytes;
        let mut lengths = lengths.iter().cycle();
        let mut comes = Vec::new();
        while !rest.is_empty() {
            let (piece, later) = rest.split_at((*lengths.next().unwrap()).min(rest.len()));
            comes.push(Comes::Bytes(piece.to_vec()));
            comes.push(Comes::Nothing);
            rest = later;
        }
        comes
    }

    /// Several threads that claim requests of `size` bytes in ascending order.
    fn read_all(stream: &Incoming, first: u64, size: usize, threads: usize) -> Vec<u8> {
        let claimed = Mutex::new(first);
        let found = Mutex::new(std::collections::BTreeMap::new());
        let claim = || {
            let mut next = lock(&claimed);
            *next += size as u64;
            ByteRange::new(*next - size as u64, *next)
        };
        let work = || {
            while let Some(claimed) = stream.claim(claim) {
                // In two requests.
                for request in claimed.pieces(size as u64 / 2 + 1) {
                    let mut memory = vec![0; request.len() as usize];
                    let count = stream.fill(request.start(), &mut memory, &PATIENT).unwrap();
                    memory.truncate(count);
                    lock(&found).insert(request.start(), memory);
                }
            }
        };
        std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
        found.into_inner().unwrap().into_values().flatten().collect()
    }

    #[test]
    fn workers_that_take_turns_get_every_byte_once() {
        let bytes: Vec<u8> = (0..=250).cycle().take(10_000).collect();
        for lengths in [&[1][..], &[4096], &[7, 1000, 1], &[100_000]] {
            for size in [1000, 1001, 10_000, 10_001] {
                for first in [0, 1, 999, 9999, 10_000] {
                    let stream = incoming(pieces(&bytes, lengths));
                    let found = read_all(&stream, first as u64, size, 3);
                    assert!(found == bytes[first..], "{lengths:?} by {size} from {first}");
                    assert_eq!(stream.end(), Some(10_000));
                }
            }
        }
    }

    /// A worker that finds nothing left to claim lets the others find the same.
    #[test]
    fn all_workers_leave_when_nothing_is_left_to_claim() {
        let bytes: Vec<u8> = (0..=250).cycle().take(10_000).collect();
        for round in 0..200 {
            let stream = incoming(pieces(&bytes, &[700]));
            let left = Mutex::new(5u64);
            let claim = || {
                let mut left = lock(&left);
                *left = left.checked_sub(1)?;
                ByteRange::with_len((4 - *left) * 1000, 1000)
            };
            let filled = AtomicU64::new(0);
            let work = || {
                while let Some(claimed) = stream.claim(claim) {
                    let mut memory = vec![0; 1000];
                    let count = stream.fill(claimed.start(), &mut memory, &PATIENT).unwrap();
                    filled.fetch_add(count as u64, SeqCst);
                }
            };
            std::thread::scope(|scope| (0..6).for_each(|_| drop(scope.spawn(work))));
            assert_eq!(filled.into_inner(), 5000, "round {round}");
        }
    }

    #[test]
    fn a_stream_that_ends_before_the_first_wanted_byte_brings_nothing() {
        let stream = incoming([Comes::Bytes(vec![1; 10])]);
        stream.claim(|| ByteRange::new(20, 24)).unwrap();
        assert_eq!(stream.fill(20, &mut [0; 4], &PATIENT).unwrap(), 0);
        assert_eq!(stream.end(), Some(10));
    }

    #[test]
    fn an_error_is_told_to_the_reader_of_the_byte_behind_what_came() {
        let stream = incoming([Comes::Bytes(vec![1; 10]), Comes::Error]);
        let mut memory = [0; 16];
        assert_eq!(stream.fill(0, &mut memory, &PATIENT).unwrap(), 10);
        let told = stream.fill(10, &mut memory, &PATIENT);
        assert!(matches!(told, Err(Unfilled::Failed(_))), "{told:?}");
    }

    #[test]
    fn without_patience_what_is_there_is_handed_on() {
        let stream = incoming([Comes::Bytes(vec![1; 10]), Comes::Nothing, Comes::Bytes(vec![2])]);
        let patience = Patience { time: Duration::ZERO, stop: &|| false };
        assert_eq!(stream.fill(0, &mut [0; 16], &patience).unwrap(), 10);
        assert_eq!(stream.fill(10, &mut [0; 16], &patience).unwrap(), 1);
        assert_eq!(stream.fill(11, &mut [0; 16], &patience).unwrap(), 0);
    }

    #[test]
    fn a_wish_to_stop_is_heard_while_nothing_comes() {
        let stream = incoming([Comes::Nothing, Comes::Nothing]);
        let patience = Patience { time: Duration::MAX, stop: &|| true };
        assert!(matches!(stream.fill(0, &mut [0; 4], &patience), Err(Unfilled::Stopped)));
        let stream = incoming([]);
        let stream = &stream;
        std::thread::scope(|scope| {
            let all = || Some(ByteRange::to(4));
            assert_eq!(stream.claim(all), all());
            let waiting = scope.spawn(move || stream.claim(all));
            stream.abandon();
            assert_eq!(waiting.join().unwrap(), None);
            assert!(matches!(stream.fill(0, &mut [0; 4], &PATIENT), Err(Unfilled::Stopped)));
        });
    }

    #[test]
    fn it_cannot_be_read_at_an_offset() {
        assert!(incoming([]).read_at(0, &mut [0]).is_err());
    }
}
