//! splice(2): bytes from one descriptor to another without a copy in user space.

use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;

/// Moves bytes from `source` to `to`: `count` of them, or all there are. `offset` is
/// where reading begins in a file; `None` reads from where it stands. Returns how
/// many were moved.
#[pyfunction]
#[pyo3(signature = (to, source, offset, count, flags))]
#[cfg(target_os = "linux")]
pub fn splice(
    python: Python<'_>,
    to: i32,
    source: i32,
    offset: Option<u64>,
    count: Option<u64>,
    flags: u32,
) -> PyResult<u64> {
    use std::os::fd::BorrowedFd;

    use rustix::pipe::SpliceFlags;

    if to < 0 || source < 0 {
        return Err(said(rustix::io::Errno::BADF));
    }
    // SAFETY: the Python half asked objects that are open for both, and holds
    // them until this returns.
    let (to, from) = unsafe { (BorrowedFd::borrow_raw(to), BorrowedFd::borrow_raw(source)) };
    let flags = SpliceFlags::from_bits_retain(flags);
    let mut way = linux::Way::between(from, to, offset, flags).map_err(said)?;
    let mut moved = 0;
    loop {
        let left = count.map_or(u64::MAX, |count| count - moved);
        match python.detach(|| way.step(left)) {
            Ok(0) => return Ok(moved),
            Ok(bytes) => moved += bytes,
            // What does not wait has done what it could.
            Err(rustix::io::Errno::AGAIN) if moved > 0 => return Ok(moved),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(said(error)),
        }
        python.check_signals()?;
    }
}

#[cfg(target_os = "linux")]
fn said(error: rustix::io::Errno) -> PyErr {
    let error = std::io::Error::from(error);
    PyOSError::new_err((error.raw_os_error().unwrap_or_default(), error.to_string()))
}

#[cfg(target_os = "linux")]
mod linux {
    use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use rustix::fs::FileType;
    use rustix::io::{Errno, Result};
    use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};

    /// Longest request, in bytes: signals are heard between two.
    const LONGEST: usize = 1 << 20;

    /// The same to a socket, which waits inside the call until all of it has room.
    const LONGEST_TO_SOCKET: usize = 16 << 10;

    /// How long an end is waited for before signals are heard, in nanoseconds. One
    /// that comes just before the call would not end it.
    const PATIENCE: i64 = 100_000_000;

    /// One of the two ends.
    #[derive(Clone, Copy)]
    struct End<'a> {
        descriptor: BorrowedFd<'a>,
        kind: FileType,
    }

    impl<'a> End<'a> {
        fn of(descriptor: BorrowedFd<'a>) -> Result<End<'a>> {
            let mode = rustix::fs::fstat(descriptor)?.st_mode;
            Ok(End { descriptor, kind: FileType::from_raw_mode(mode) })
        }

        fn is_pipe(self) -> bool {
            self.kind == FileType::Fifo
        }

        /// Whether a call may wait in it whatever its flags say.
        fn may_wait(self) -> bool {
            matches!(self.kind, FileType::Socket | FileType::CharacterDevice)
        }

        /// Waits a moment until it can be read or written; `EINTR` if it cannot.
        fn wait(self, what: PollFlags) -> Result<()> {
            let mut ends = [PollFd::from_borrowed_fd(self.descriptor, what)];
            let time = Timespec { tv_sec: 0, tv_nsec: PATIENCE };
            match poll(&mut ends, Some(&time))? {
                0 => Err(Errno::INTR),
                _ => Ok(()),
            }
        }
    }

    /// The way of the bytes: one of the two ends is a pipe, or a pipe lies between.
    pub struct Way<'a> {
        from: End<'a>,
        to: End<'a>,
        /// Where the next byte is read, unless `from` knows.
        at: Option<u64>,
        flags: SpliceFlags,
        /// Whether the caller waits for a pipe that is empty or full.
        waits: bool,
        between: Option<Between>,
    }

    /// A pipe of our own, and how many bytes are in it.
    struct Between {
        read: OwnedFd,
        write: OwnedFd,
        bytes: usize,
    }

    impl<'a> Way<'a> {
        pub fn between(
            from: BorrowedFd<'a>,
            to: BorrowedFd<'a>,
            at: Option<u64>,
            flags: SpliceFlags,
        ) -> Result<Way<'a>> {
            let (from, to) = (End::of(from)?, End::of(to)?);
            let between = match from.is_pipe() || to.is_pipe() {
                true => None,
                false => {
                    let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
                    // Smaller is slower, and works.
                    let _ = fcntl_setpipe_size(&write, LONGEST);
                    Some(Between { read, write, bytes: 0 })
                }
            };
            let waits = !flags.contains(SpliceFlags::NONBLOCK);
            // The call itself never waits for a pipe.
            let flags = flags | SpliceFlags::NONBLOCK;
            Ok(Way { from, to, at, flags, waits, between })
        }

        /// Moves at most `most` bytes; how many arrived, 0 at the end. `EINTR` says
        /// that signals are to be heard; it goes on where it was.
        pub fn step(&mut self, most: u64) -> Result<u64> {
            let len = usize::try_from(most).unwrap_or(usize::MAX).min(LONGEST);
            if len == 0 {
                return Ok(0);
            }
            if self.between.is_none() {
                return self.directly(len);
            }
            self.fill(len)?;
            self.empty()
        }

        /// From or to a pipe of the caller.
        fn directly(&mut self, len: usize) -> Result<u64> {
            self.wait_for_source()?;
            let len = self.wait_to_write(len)?;
            let (from, to) = (self.from.descriptor, self.to.descriptor);
            match splice(from, self.at.as_mut(), to, None, len, self.flags) {
                Ok(moved) => Ok(moved as u64),
                Err(Errno::AGAIN) if self.waits => {
                    self.to.wait(PollFlags::OUT)?;
                    self.from.wait(PollFlags::IN)?;
                    Err(Errno::INTR)
                }
                Err(error) => Err(error),
            }
        }

        /// Into our own pipe, if nothing is in it.
        fn fill(&mut self, len: usize) -> Result<()> {
            self.wait_for_source_if_empty()?;
            let Some(pipe) = self.between.as_mut().filter(|pipe| pipe.bytes == 0) else {
                return Ok(());
            };
            let (from, write) = (self.from.descriptor, pipe.write.as_fd());
            pipe.bytes = splice(from, self.at.as_mut(), write, None, len, self.flags)?;
            Ok(())
        }

        /// Out of our own pipe. What was taken from the source must arrive, also where
        /// that takes time, and whatever the caller's flags are.
        fn empty(&mut self) -> Result<u64> {
            let mut moved = 0;
            loop {
                let left = self.between.as_ref().map_or(0, |pipe| pipe.bytes);
                if left == 0 {
                    return Ok(moved);
                }
                match self.some_of_it(left) {
                    Ok(bytes) => moved += bytes,
                    Err(Errno::INTR) if moved > 0 => return Ok(moved),
                    Err(error) => return Err(error),
                }
            }
        }

        fn some_of_it(&mut self, left: usize) -> Result<u64> {
            let len = self.wait_to_write(left)?;
            let to = self.to;
            let Some(pipe) = &mut self.between else { return Ok(0) };
            match splice(pipe.read.as_fd(), None, to.descriptor, None, len, self.flags) {
                Ok(bytes) => {
                    pipe.bytes -= bytes;
                    Ok(bytes as u64)
                }
                Err(Errno::AGAIN) => to.wait(PollFlags::OUT).map(|()| 0),
                Err(error) => Err(error),
            }
        }

        fn wait_for_source_if_empty(&self) -> Result<()> {
            match &self.between {
                Some(pipe) if pipe.bytes > 0 => Ok(()),
                _ => self.wait_for_source(),
            }
        }

        fn wait_for_source(&self) -> Result<()> {
            if self.waits && self.from.may_wait() { self.from.wait(PollFlags::IN) } else { Ok(()) }
        }

        /// How much of `len` may be written at once, when some of it can.
        fn wait_to_write(&self, len: usize) -> Result<usize> {
            if !self.to.may_wait() {
                return Ok(len);
            }
            if self.waits || self.between.is_some() {
                self.to.wait(PollFlags::OUT)?;
            }
            Ok(len.min(LONGEST_TO_SOCKET))
        }
    }
}

/// There is no such call here.
#[pyfunction]
#[pyo3(signature = (to, source, offset, count, flags))]
#[cfg(not(target_os = "linux"))]
pub fn splice(
    to: i32,
    source: i32,
    offset: Option<u64>,
    count: Option<u64>,
    flags: u32,
) -> PyResult<u64> {
    let _ = (to, source, offset, count, flags);
    Err(PyOSError::new_err("splice is a call of Linux"))
}
