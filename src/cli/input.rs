//! A list that is still being written by somebody else: a wish to stop is heard
//! while its next bytes are awaited.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;

use pcopy::CancelToken;

/// How long to wait for bytes before the wish to stop is looked for: a signal
/// itself ends the wait.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A file, a pipe or a terminal that is read.
pub struct Input {
    file: File,
    cancel: CancelToken,
}

impl Input {
    /// Opens `path`, or standard input where it is `-`.
    ///
    /// # Errors
    ///
    /// Of the system.
    pub fn open(path: &Path, cancel: CancelToken) -> io::Result<Input> {
        let is_stdin = path.as_os_str() == "-";
        let file = if is_stdin { pcopy::sys::standard_input()? } else { File::open(path)? };
        Ok(Input { file, cancel })
    }
}

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while !self.cancel.is_cancelled() {
            if pcopy::sys::wait_readable(&self.file, LOOK_EVERY)? {
                return self.file.read(buffer);
            }
        }
        // Of another kind, it would be tried again.
        Err(io::Error::other("interrupted"))
    }
}
