//! The only loops over short counts (invariant I6).
//!
//! A positioned call may move fewer bytes than asked for, or be interrupted by
//! a signal before it moved any. Both are handled here, once. Zero is the end
//! of the file when reading and an error when writing; it is never "try again".

use std::io::{self, ErrorKind};

use positioned_io::ReadAt;

use super::{Sink, as_u64};

/// A transfer that ended early.
#[derive(Debug)]
pub struct Stop {
    /// Bytes moved before it, valid in the buffer or in the sink.
    pub moved: usize,
    /// Why. Of kind [`ErrorKind::UnexpectedEof`], made here, at the end of a source.
    pub error: io::Error,
}

/// Fills `buffer` from `offset` on.
///
/// # Errors
///
/// The first error other than an interruption, or the end of the source, with
/// the number of bytes that had arrived.
pub fn read_full<S: ReadAt + ?Sized>(
    source: &S,
    offset: u64,
    buffer: &mut [u8],
) -> Result<(), Stop> {
    let mut moved = 0;
    while moved < buffer.len() {
        match source.read_at(offset + as_u64(moved), &mut buffer[moved..]) {
            Ok(0) => {
                let error = io::Error::from(ErrorKind::UnexpectedEof);
                return Err(Stop { moved, error });
            }
            Ok(count) => moved += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(Stop { moved, error }),
        }
    }
    Ok(())
}

/// Writes all of `data` from `offset` on.
///
/// # Errors
///
/// The first error other than an interruption, or a write of zero bytes, with
/// the number of bytes that had been written.
pub fn write_full<S: Sink + ?Sized>(sink: &S, offset: u64, data: &[u8]) -> Result<(), Stop> {
    let mut moved = 0;
    while moved < data.len() {
        match sink.write_at(offset + as_u64(moved), &data[moved..]) {
            Ok(0) => {
                let error = io::Error::from(ErrorKind::WriteZero);
                return Err(Stop { moved, error });
            }
            Ok(count) => moved += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(Stop { moved, error }),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::range::ByteRange;
    use std::sync::Mutex;

    /// Moves one byte a call and is interrupted before every one.
    struct Reluctant {
        bytes: Mutex<Vec<u8>>,
        calls: Mutex<u64>,
        end: u64,
    }

    impl Reluctant {
        fn new(bytes: &[u8]) -> Reluctant {
            let end = as_u64(bytes.len());
            Reluctant { bytes: Mutex::new(bytes.to_vec()), calls: Mutex::new(0), end }
        }

        fn interrupted(&self) -> bool {
            let mut calls = self.calls.lock().unwrap();
            *calls += 1;
            *calls % 2 == 1
        }
    }

    impl ReadAt for Reluctant {
        fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
            if self.interrupted() {
                return Err(ErrorKind::Interrupted.into());
            }
            if offset >= self.end {
                return Ok(0);
            }
            buffer[0] = self.bytes.lock().unwrap()[usize::try_from(offset).unwrap()];
            Ok(1)
        }
    }

    impl Sink for Reluctant {
        fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<usize> {
            if self.interrupted() {
                return Err(ErrorKind::Interrupted.into());
            }
            if offset >= self.end {
                return Ok(0);
            }
            self.bytes.lock().unwrap()[usize::try_from(offset).unwrap()] = data[0];
            Ok(1)
        }
        fn sync_data(&self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn short_counts_and_interruptions_are_absorbed() {
        let sink = Reluctant::new(&[0; 9]);
        write_full(&sink, 2, b"bytes").unwrap();
        let mut back = [0; 9];
        read_full(&sink, 0, &mut back).unwrap();
        assert_eq!(&back, b"\0\0bytes\0\0");
        sink.write_zeroes(ByteRange::new(3, 6).unwrap()).unwrap();
        read_full(&sink, 0, &mut back).unwrap();
        assert_eq!(&back, b"\0\0b\0\0\0s\0\0");
    }

    #[test]
    fn zero_is_the_end_and_never_try_again() {
        let short = Reluctant::new(b"abc");
        let stop = read_full(&short, 1, &mut [0; 5]).unwrap_err();
        assert_eq!((stop.moved, stop.error.kind()), (2, ErrorKind::UnexpectedEof));
        let stop = write_full(&short, 1, &[1; 5]).unwrap_err();
        assert_eq!((stop.moved, stop.error.kind()), (2, ErrorKind::WriteZero));
    }
}
