//! Standard input and output, waiting for streams, and signals that were ignored
//! from the start, on Unix.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, FromRawFd};
use std::path::Path;
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

/// Whether `path` may be read by this process, asked without opening it.
pub fn check_readable(path: &Path) -> io::Result<()> {
    use rustix::fs::{Access, AtFlags, CWD, accessat};
    Ok(accessat(CWD, path, Access::READ_OK, AtFlags::EACCESS)?)
}

/// The open stream that `path` names by its number in this process, as
/// `/dev/stdin` and `/dev/fd/63` do: a further descriptor of it, for no socket can
/// be opened by such a name. `None` of any other name.
pub fn stream_of_name(path: &Path) -> Option<io::Result<File>> {
    let number: u16 = match path.to_str()? {
        "/dev/stdin" => 0,
        name => {
            let folders = ["/dev/fd/", "/proc/self/fd/"];
            folders.iter().find_map(|folder| name.strip_prefix(folder))?.parse().ok()?
        }
    };
    // SAFETY: no memory is involved; of a number that is not open it is an error.
    let further = unsafe { libc::fcntl(number.into(), libc::F_DUPFD_CLOEXEC, 3) };
    if further < 0 {
        return Some(Err(io::Error::last_os_error()));
    }
    // SAFETY: it was just made and is nobody else's.
    Some(Ok(unsafe { File::from_raw_fd(further) }))
}

/// Whether the parent process has it ignore `signal`, as nohup(1) does.
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
