//! Where the bytes of a stream come from. A wish to stop is heard by those who ask
//! again and again; nothing here waits longer than it is told to.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::time::Duration;

use crate::sys;

/// Where the bytes of a stream come from.
pub trait Feed: Send {
    /// Reads some bytes: 0 at the end. `None` if none came within about `time`,
    /// so that a wish to stop is heard; without any, what is there already.
    ///
    /// # Errors
    ///
    /// Of the system.
    fn read(&mut self, buffer: &mut [u8], time: Duration) -> io::Result<Option<usize>>;
}

/// A pipe, a socket, or anything else that is open for reading.
pub struct FileFeed {
    file: File,
    waits: Waits,
}

/// Whether bytes must be waited for before a read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Waits {
    /// The read does not wait, and says so.
    Never,
    /// Before the first: as long as nobody has opened a named pipe to write to it,
    /// a read says that it has ended.
    Once,
    /// The read would wait, and hear no wish to stop.
    Always,
}

impl FileFeed {
    /// Of `stream`, which stays open for the caller.
    ///
    /// # Errors
    ///
    /// Of the system.
    pub fn of(stream: &File) -> io::Result<FileFeed> {
        match sys::own_input(stream) {
            Some(file) => Ok(FileFeed { file, waits: Waits::Never }),
            None => Ok(FileFeed { file: stream.try_clone()?, waits: Waits::Always }),
        }
    }

    /// Of a named pipe, opened without waiting for somebody who writes to it.
    pub fn of_named_pipe(file: File) -> FileFeed {
        FileFeed { file, waits: Waits::Once }
    }
}

impl Feed for FileFeed {
    fn read(&mut self, buffer: &mut [u8], time: Duration) -> io::Result<Option<usize>> {
        if self.waits != Waits::Never && !sys::wait_readable(&self.file, time)? {
            return Ok(None);
        }
        if self.waits == Waits::Once {
            self.waits = Waits::Never;
        }
        loop {
            match self.file.read(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if !sys::wait_readable(&self.file, time)? {
                        return Ok(None);
                    }
                }
                result => return result.map(Some),
            }
        }
    }
}

/// Anything that can be read. A wish to stop is heard between two reads.
pub struct ReaderFeed<R>(pub R);

impl<R: Read + Send> Feed for ReaderFeed<R> {
    fn read(&mut self, buffer: &mut [u8], time: Duration) -> io::Result<Option<usize>> {
        // Nobody knows what is there already.
        if time.is_zero() { Ok(None) } else { self.0.read(buffer).map(Some) }
    }
}
