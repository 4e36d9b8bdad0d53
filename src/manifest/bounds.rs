//! How long the parts of a list may be. A list from elsewhere must not decide
//! how much memory is taken: each part is measured while it is read, and a list
//! with a longer one is refused.

use std::cell::Cell;
use std::io::{self, BufRead, Read};
use std::rc::Rc;

/// The longest path systems take (PATH_MAX of Linux, without the NUL).
pub(super) const LONGEST_PATH: usize = 4095;

/// Most directories a file may lie in, one inside the other.
pub(super) const DEEPEST: usize = 256;

/// The longest name a file may have in its directory (NAME_MAX).
pub(super) const LONGEST_COMPONENT: usize = 255;

/// The longest text of a field that is not a path: digests, numbers, times, keys.
pub(super) const LONGEST_VALUE: usize = 1024;

/// The longest text as written: a path of which every byte is escaped.
pub(crate) const LONGEST_TEXT: usize = 64 << 10;

/// The longest row of a table, line of a tool's output or element of XML.
pub(super) const LONGEST_ROW: u64 = 1 << 20;

/// The longest message about a row: what is wrong may quote what is long.
pub(super) const LONGEST_MESSAGE: usize = 16 << 10;

/// Input of which no piece may be longer than [`LONGEST_ROW`]; its
/// reader says where a piece begins. It counts lines.
pub(crate) struct Pieces<'r> {
    input: &'r mut dyn BufRead,
    taken: Taken,
}

/// How much has been taken from [`Pieces`].
#[derive(Clone, Default)]
pub(crate) struct Taken {
    of_piece: Rc<Cell<u64>>,
    lines: Rc<Cell<u64>>,
}

impl Taken {
    /// A piece begins.
    pub(crate) fn begin_piece(&self) {
        self.of_piece.set(0);
    }

    /// Line ends so far.
    pub(crate) fn lines(&self) -> u64 {
        self.lines.get()
    }

    fn add(&self, bytes: &[u8]) {
        self.of_piece.set(self.of_piece.get() + bytes.len() as u64);
        let lines = bytes.iter().filter(|&&byte| byte == b'\n').count() as u64;
        self.lines.set(self.lines.get() + lines);
    }
}

impl<'r> Pieces<'r> {
    /// The pieces of `input`.
    pub(crate) fn new(input: &'r mut dyn BufRead) -> Pieces<'r> {
        Pieces { input, taken: Taken::default() }
    }

    /// How much has been taken.
    pub(crate) fn taken(&self) -> Taken {
        self.taken.clone()
    }
}

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let len = available.len().min(buffer.len());
        buffer[..len].copy_from_slice(&available[..len]);
        self.consume(len);
        Ok(len)
    }
}

impl BufRead for Pieces<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.taken.of_piece.get() > LONGEST_ROW {
            return Err(io::Error::other(
                "a row or an element is longer than 1 MiB (is a quote not closed?)",
            ));
        }
        self.input.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        // The bytes are still there: filling again without consuming is free.
        if let Ok(taken) = self.input.fill_buf() {
            self.taken.add(&taken[..amount.min(taken.len())]);
        }
        self.input.consume(amount);
    }
}
