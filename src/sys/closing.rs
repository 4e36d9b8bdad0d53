//! What can be asked of a file that was written, when it is over.

use std::fs::File;
use std::io;
use std::path::Path;

use super::Metadata;

/// Closes `file` once, through a second descriptor, and says what the system
/// says then: on file systems of a server (FUSE, NFS) and with quotas, that is
/// where what could not be written is told. `file` itself stays open, with its
/// lock.
#[cfg(unix)]
pub fn flush_by_close(file: &File) -> io::Result<()> {
    use std::os::fd::IntoRawFd;
    let second = file.try_clone()?.into_raw_fd();
    // SAFETY: the descriptor was just made and is nobody else's.
    if unsafe { libc::close(second) } == 0 {
        return Ok(());
    }
    match io::Error::last_os_error() {
        // Closed nevertheless; what was written has been told before the wait.
        error if error.kind() == io::ErrorKind::Interrupted => Ok(()),
        error => Err(error),
    }
}

/// Handles of Windows tell everything when they are flushed.
#[cfg(windows)]
pub fn flush_by_close(_file: &File) -> io::Result<()> {
    Ok(())
}

/// Where the next byte that is written to `stream`, a file, will be.
pub fn place_in_stream(stream: &File) -> io::Result<u64> {
    #[cfg(unix)]
    if rustix::fs::fcntl_getfl(stream)?.contains(rustix::fs::OFlags::APPEND) {
        return Ok(stream.metadata()?.len());
    }
    io::Seek::stream_position(&mut &*stream)
}

/// Where the next byte that is read from `stream`, a file or device, comes from.
pub fn place_read_from(stream: &File) -> io::Result<u64> {
    io::Seek::stream_position(&mut &*stream)
}

/// Has the next byte that is read from `stream`, a file or device, come from `place`.
pub fn stand_at(stream: &File, place: u64) -> io::Result<()> {
    io::Seek::seek(&mut &*stream, io::SeekFrom::Start(place)).map(drop)
}

/// Whether `path`, which a file or device was opened by, leads to `ours` now.
pub fn leads_to(path: &Path, ours: &Metadata) -> io::Result<bool> {
    #[cfg(unix)]
    let path = &*super::best_name(path);
    // A disk of Windows that is claimed cannot be opened a second time, and
    // its name does not move.
    if cfg!(windows) && ours.node == super::FileKind::BlockDevice {
        return Ok(true);
    }
    Ok(super::facts_of_path(path)?.is_some_and(|there| there.same_thing(ours)))
}

/// Whether an error of a read says that the memory for it is gone, as that of
/// a mapped file is when the file becomes shorter.
pub fn is_memory_fault(error: &io::Error) -> bool {
    #[cfg(unix)]
    let is_fault = rustix::io::Errno::from_io_error(error) == Some(rustix::io::Errno::FAULT);
    // ERROR_NOACCESS
    #[cfg(windows)]
    let is_fault = error.raw_os_error() == Some(998);
    is_fault
}
