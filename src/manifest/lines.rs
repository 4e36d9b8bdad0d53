//! Lines of a text, numbered, without their ends, as bytes: names need not be
//! UTF-8.

use std::io::{self, BufRead, Read};

use super::bounds::LONGEST_ROW;

/// Reads numbered lines.
pub(crate) struct Lines<'r> {
    input: &'r mut dyn BufRead,
    line: Vec<u8>,
    number: u64,
}

impl<'r> Lines<'r> {
    /// The lines of `input`, from number 1.
    pub(crate) fn new(input: &'r mut dyn BufRead) -> Lines<'r> {
        Lines { input, line: Vec::new(), number: 0 }
    }

    /// The number of the line last returned.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// The next line and its number, without `\n` or `\r\n`.
    pub(crate) fn next(&mut self) -> io::Result<Option<(u64, &[u8])>> {
        self.line.clear();
        let read = (&mut *self.input).take(LONGEST_ROW).read_until(b'\n', &mut self.line)?;
        if read == 0 {
            return Ok(None);
        }
        if read as u64 == LONGEST_ROW {
            return Err(io::Error::other("a line is longer than 1 MiB"));
        }
        self.number += 1;
        let line = self.line.strip_suffix(b"\n").unwrap_or(&self.line);
        Ok(Some((self.number, line.strip_suffix(b"\r").unwrap_or(line))))
    }
}

/// Bytes as text for a message; what is not UTF-8 shows as such.
pub(crate) fn text(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}
