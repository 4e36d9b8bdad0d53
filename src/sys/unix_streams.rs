//! Standard input and output, waiting for streams, and signals that were ignored
//! from the start, on Unix.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

/// Waits until `stream` takes bytes, at most for `time`. That a wait is over
/// does not say that it does.
pub fn wait_writable(stream: &File, time: Duration) -> io::Result<()> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let time = Timespec {
        tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: time.subsec_nanos().into(),
    };
    match poll(&mut [PollFd::new(stream, PollFlags::OUT)], Some(&time)) {
        Err(error) if error != rustix::io::Errno::INTR => Err(error.into()),
        _ => Ok(()),
    }
}

/// Waits until `stream` has bytes, or an end, at most for `time`; whether it has.
/// A signal ends the wait.
pub fn wait_readable(stream: &File, time: Duration) -> io::Result<bool> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let time = Timespec {
        tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: time.subsec_nanos().into(),
    };
    match poll(&mut [PollFd::new(stream, PollFlags::IN)], Some(&time)) {
        Err(rustix::io::Errno::INTR) => Ok(false),
        ready => Ok(ready? > 0),
    }
}

/// Whether whoever started the process has it ignore `signal`, as nohup(1) does.
pub fn is_ignored(signal: std::os::raw::c_int) -> bool {
    let mut old = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: without a new action the call does nothing but fill in the old one.
    let asked = unsafe { libc::sigaction(signal, std::ptr::null(), old.as_mut_ptr()) };
    // SAFETY: all of it was zeroed, which is a valid value, if it was not filled in.
    asked == 0 && unsafe { old.assume_init() }.sa_sigaction == libc::SIG_IGN
}

/// The standard output of this process, to be written to besides its usual buffer.
pub fn standard_output() -> io::Result<File> {
    Ok(io::stdout().as_fd().try_clone_to_owned()?.into())
}

/// The standard input of this process, to be read past its usual buffer.
pub fn standard_input() -> io::Result<File> {
    Ok(io::stdin().as_fd().try_clone_to_owned()?.into())
}
