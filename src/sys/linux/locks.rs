//! Locks of byte ranges: those of other programs are found, and those of this
//! program keep the runs apart that write one file where it is.
//!
//! Only the second kind of locks is used that belong to an open file
//! (`F_OFD_SETLK`, fcntl(2)): those of a process are lost as soon as the process
//! closes any of its handles of the file.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::raw::{c_int, c_short};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use super::super::User;
use crate::range::ByteRange;
use crate::sync::scheduling_point;

/// Locks of this program lie behind this offset, which no file system reaches:
/// a process that asks for locks on the bytes of a file finds those of others only.
const BEHIND: u64 = 1 << 62;

/// A lock of another program on any byte of an open file.
pub fn lock_of_another(file: &File) -> Option<User> {
    let found = ask(file, ByteRange::to(BEHIND)).ok()??;
    let process = u32::try_from(found.l_pid).ok().filter(|&number| number > 0);
    Some(User::Lock { process, from: u64::try_from(found.l_start).unwrap_or(0) })
}

/// Locks `range` of a file that is open for writing against every other open
/// file for which this was called, in this process or another, without waiting.
/// The lock lasts as long as the file is open. Returns whether it was free.
///
/// # Errors
///
/// [`io::ErrorKind::Unsupported`] where there are no such locks, or another program
/// has locked the file to its end.
pub fn try_lock_range(file: &File, range: ByteRange) -> io::Result<bool> {
    let is_taken = |error: &io::Error| {
        error.kind() == io::ErrorKind::WouldBlock || error.raw_os_error() == Some(libc::EACCES)
    };
    scheduling_point();
    match call(file, libc::F_OFD_SETLK, libc::F_WRLCK, behind(range)) {
        Ok(_) => Ok(true),
        Err(error) if is_taken(&error) && is_ours(file, range) => Ok(false),
        // Another program has all of it; or whatever a file system says against it.
        Err(_) => Err(io::ErrorKind::Unsupported.into()),
    }
}

/// Gives up what [`try_lock_range`] took of `range`.
pub fn unlock_range(file: &File, range: ByteRange) {
    scheduling_point();
    // Closing the file does the same: nothing depends on it.
    let _ = call(file, libc::F_OFD_SETLK, libc::F_UNLCK, behind(range));
}

/// Whether the lock that is in the way of that of `range` is one of this program,
/// and not of one that has locked the whole file, however long it may become.
fn is_ours(file: &File, range: ByteRange) -> bool {
    let found = ask(file, behind(range)).ok().flatten();
    found.is_none_or(|found| u64::try_from(found.l_start).is_ok_and(|start| start >= BEHIND))
}

/// Where the lock of `range` lies.
fn behind(range: ByteRange) -> ByteRange {
    let place = |offset: u64| BEHIND.saturating_add(offset).min(i64::MAX as u64);
    ByteRange::between(place(range.start()), place(range.end()))
}

/// A lock that keeps others from writing `range`.
fn ask(file: &File, range: ByteRange) -> io::Result<Option<libc::flock>> {
    let found = call(file, libc::F_OFD_GETLK, libc::F_WRLCK, range)?;
    Ok((found.l_type != libc::F_UNLCK as c_short).then_some(found))
}

/// Whether files that are locked as a whole are marked for [`close_locked`].
static IS_MARKING: AtomicBool = AtomicBool::new(false);

/// The byte whose lock is the mark: the last one, behind all that can be written.
/// Any number of files may have it.
const MARK: ByteRange = ByteRange::between(i64::MAX as u64, i64::MAX as u64);

/// From now on, files that are locked can be told from all others of this process.
/// For programs that fork: it costs a call for each file.
pub fn expect_forks() {
    IS_MARKING.store(true, Relaxed);
}

/// Marks a file that has just been locked as a whole, if forks are expected.
pub fn mark_locked(file: &File) {
    if IS_MARKING.load(Relaxed) {
        // Without it, a child of a fork keeps the lock as long as it lives.
        let _ = call(file, libc::F_OFD_SETLK, libc::F_RDLCK, MARK);
    }
}

/// Closes what this process has inherited of files that its parent had locked, after
/// [`expect_forks`]: a lock lasts until the last descriptor is closed.
///
/// # Safety
///
/// Only in the child of a fork, and only if the threads that had these files open
/// were not the one that forked.
// SAFETY: nothing here but closing is unsafe, and the caller promises that nobody uses the files.
pub unsafe fn close_locked() {
    // All of them first: the list itself is read by one more.
    let open = std::fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    let open: Vec<c_int> =
        open.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    for descriptor in open {
        let facts = std::fs::read_to_string(format!("/proc/self/fdinfo/{descriptor}"));
        if facts.is_ok_and(|facts| facts.lines().any(is_lock_of_ours)) {
            // SAFETY: it belongs to a thread of the parent, as the caller promises.
            unsafe { libc::close(descriptor) };
        }
    }
}

/// Whether a line of what the kernel says of a descriptor is a lock that only this
/// program takes, as in `lock: 1: OFDLCK  ADVISORY  WRITE -1 08:01:12 START END`.
fn is_lock_of_ours(line: &str) -> bool {
    let mut words = line.split_whitespace().rev();
    let start = words.nth(1).and_then(|start| start.parse::<u64>().ok());
    line.starts_with("lock:") && line.contains(" OFDLCK ") && start >= Some(BEHIND)
}

fn call(file: &File, command: c_int, kind: c_int, range: ByteRange) -> io::Result<libc::flock> {
    // SAFETY: a structure of numbers, for which zeros are valid.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = kind as _;
    lock.l_whence = libc::SEEK_SET as _;
    let number = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX) as _;
    lock.l_start = number(range.start());
    // No length would mean all that follows.
    lock.l_len = number(range.len().max(1));
    // SAFETY: the command reads and writes this one structure, alive during the call.
    match unsafe { libc::fcntl(file.as_raw_fd(), command, &raw mut lock) } {
        0 => Ok(lock),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_a_file_are_locked_each_by_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, b"x").unwrap();
        let open = || File::options().read(true).write(true).open(&path).unwrap();
        let [one, other, third] = [open(), open(), open()];
        let piece = |start, end| ByteRange::between(start, end);
        assert!(try_lock_range(&one, piece(0, 5)).unwrap());
        assert!(!try_lock_range(&other, piece(4, 10)).unwrap());
        assert!(try_lock_range(&other, piece(5, 10)).unwrap());
        assert!(!try_lock_range(&third, piece(0, u64::MAX)).unwrap());
        assert!(try_lock_range(&one, piece(0, 4)).unwrap(), "a lock of its own");
        assert_eq!(lock_of_another(&third), None, "the bytes themselves are free");
        unlock_range(&one, piece(0, 5));
        assert!(try_lock_range(&third, piece(0, 5)).unwrap());
        drop(other);
        assert!(try_lock_range(&third, piece(0, u64::MAX)).unwrap());
    }

    #[test]
    fn locks_of_this_program_are_known_among_others() {
        let ours = |line: &str| is_lock_of_ours(line);
        assert!(ours("lock:\t1: OFDLCK ADVISORY  READ -1 00:2f:12 9223372036854775807 EOF"));
        assert!(ours("lock:\t1: OFDLCK ADVISORY  WRITE -1 08:01:9 4611686018427387904 EOF"));
        assert!(!ours("lock:\t1: OFDLCK ADVISORY  WRITE -1 08:01:9 0 EOF"));
        assert!(!ours("lock:\t1: POSIX  ADVISORY  WRITE 77 08:01:9 9223372036854775807 EOF"));
        assert!(!ours("lock:\t1: FLOCK  ADVISORY  WRITE 77 08:01:9 0 EOF"));
        assert!(!ours("flags:\t0100002") && !ours(""));
    }

    #[test]
    fn a_mark_is_in_nobodys_way() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, b"x").unwrap();
        let open = || File::options().read(true).write(true).open(&path).unwrap();
        let [one, other] = [open(), open()];
        for file in [&one, &other] {
            call(file, libc::F_OFD_SETLK, libc::F_RDLCK, MARK).unwrap();
        }
        let facts = format!("/proc/self/fdinfo/{}", one.as_raw_fd());
        let facts = std::fs::read_to_string(facts).unwrap();
        assert!(facts.lines().any(is_lock_of_ours), "{facts}");
        assert_eq!(lock_of_another(&other), None);
        assert!(try_lock_range(&other, ByteRange::to((1 << 62) - 1)).unwrap());
    }

    #[test]
    fn a_lock_of_another_program_is_found_wherever_it_lies() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, b"x").unwrap();
        let open = || File::options().read(true).write(true).open(&path).unwrap();
        let [theirs, ours] = [open(), open()];
        for range in [ByteRange::between(7, 8), ByteRange::between(1 << 40, 1 << 41)] {
            call(&theirs, libc::F_OFD_SETLK, libc::F_RDLCK, range).unwrap();
            let found = lock_of_another(&ours);
            assert_eq!(found, Some(User::Lock { process: None, from: range.start() }));
            call(&theirs, libc::F_OFD_SETLK, libc::F_UNLCK, range).unwrap();
        }
    }
}
