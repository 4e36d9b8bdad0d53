//! A range of an object that one reader takes from its begin to its end: one answer
//! brings all of it, and only a piece at a time is in memory. If the answer breaks
//! off, another one brings the rest.

use std::io;

use positioned_io::ReadAt;

use super::body::Body;
use super::gate::Pass;
use super::object::{Begun, Object};
use crate::io::{Judgement, Source, as_u64, as_usize};
use crate::progress::lock;
use crate::range::ByteRange;
use crate::sync::Mutex;

/// An answer that breaks off has brought something if it has brought so much, in bytes, or
/// an eighth of what was missing. One that brings less counts as a try that has failed: a
/// server that breaks off after each byte would be asked for ever.
const SOMETHING: u64 = 64 << 10;

/// A range that is read in order.
pub(super) struct InOrder<'a> {
    object: &'a Object,
    range: ByteRange,
    state: Mutex<State<'a>>,
}

#[derive(Default)]
struct State<'a> {
    answer: Option<Answer<'a>>,
    /// Answers, the last ones, that brought next to nothing.
    failed: u32,
}

/// An answer.
struct Answer<'a> {
    /// Where it begins and goes on, in bytes of the object.
    begin: u64,
    at: u64,
    body: Body<'a>,
    _pass: Pass<'a>,
}

impl<'a> InOrder<'a> {
    pub fn new(object: &'a Object, range: ByteRange) -> InOrder<'a> {
        InOrder { object, range, state: Mutex::default() }
    }

    /// Keeps `answer` for the next piece, or takes note of how it ended.
    fn keep(&self, state: &mut State<'a>, answer: Answer<'a>) {
        if answer.body.goes_on() {
            state.answer = Some(answer);
            return;
        }
        let missing = self.range.end().saturating_sub(answer.begin);
        let has_brought = answer.at - answer.begin >= SOMETHING.min(missing / 8);
        state.failed = match answer.body.is_cut() && !has_brought {
            true => state.failed.saturating_add(1),
            false => 0,
        };
    }
}

impl ReadAt for InOrder<'_> {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let state = &mut *lock(&self.state);
        if let Some(mut open) = state.answer.take().filter(|open| open.at == offset) {
            let read = open.body.read(buffer);
            open.at += as_u64(*read.as_ref().unwrap_or(&0));
            if read.is_err() {
                open.body.give_up();
            }
            self.keep(state, open);
            if let Ok(count) = read {
                return Ok(count);
            }
        }
        let Some(piece) = self.object.readable(offset, buffer.len()) else { return Ok(0) };
        let rest = ByteRange::between(offset, self.range.end().max(piece.end()));
        let buffer = &mut buffer[..as_usize(piece.len())];
        let Begun { count, body, pass } = self.object.begin(rest, buffer, state.failed)?;
        let at = offset + as_u64(count);
        self.keep(state, Answer { begin: offset, at, body, _pass: pass });
        Ok(count)
    }
}

impl Source for InOrder<'_> {
    fn size(&self) -> u64 {
        self.object.size()
    }

    fn judge(&self, error: &io::Error) -> Judgement {
        self.object.judge(error)
    }
}
