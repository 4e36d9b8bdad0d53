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

    use rustix::fs::FileType;
    use rustix::io::{Errno, Result};
    use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};

    /// Longest request, in bytes: signals are heard between two.
    const LONGEST: usize = 1 << 20;

    /// The way of the bytes: one of the two ends is a pipe, or a pipe lies between.
    pub struct Way<'a> {
        from: BorrowedFd<'a>,
        to: BorrowedFd<'a>,
        /// Where the next byte is read, unless `from` knows.
        at: Option<u64>,
        flags: SpliceFlags,
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
            let is_pipe = |end: BorrowedFd<'_>| {
                let mode = rustix::fs::fstat(end)?.st_mode;
                Ok::<_, Errno>(FileType::from_raw_mode(mode) == FileType::Fifo)
            };
            let between = match is_pipe(from)? || is_pipe(to)? {
                true => None,
                false => {
                    let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
                    // Smaller is slower, and works.
                    let _ = fcntl_setpipe_size(&write, LONGEST);
                    Some(Between { read, write, bytes: 0 })
                }
            };
            Ok(Way { from, to, at, flags, between })
        }

        /// Moves at most `most` bytes; how many arrived, 0 at the end.
        pub fn step(&mut self, most: u64) -> Result<u64> {
            let len = usize::try_from(most).unwrap_or(usize::MAX).min(LONGEST);
            let Some(pipe) = &mut self.between else {
                let moved = splice(self.from, self.at.as_mut(), self.to, None, len, self.flags)?;
                return Ok(moved as u64);
            };
            if pipe.bytes == 0 {
                let write = pipe.write.as_fd();
                pipe.bytes = splice(self.from, self.at.as_mut(), write, None, len, self.flags)?;
            }
            let mut moved = 0;
            // What was taken from the source must arrive, also after a signal.
            while pipe.bytes > 0 {
                match splice(pipe.read.as_fd(), None, self.to, None, pipe.bytes, self.flags) {
                    Ok(bytes) => {
                        pipe.bytes -= bytes;
                        moved += bytes as u64;
                    }
                    Err(Errno::INTR) => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(moved)
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
