//! The umask, which no call of the system only shows.

use std::path::Path;

use rustix::fs::Mode;

use super::text_of;

/// What the umask leaves of the permission bits `mode` of a new file.
pub fn left_by_umask(mode: u32) -> u32 {
    mode & !shown_by_proc().or_else(asked_aside).unwrap_or_else(asked_in_passing)
}

/// As the kernel shows it, since Linux 4.7 and where procfs is mounted.
fn shown_by_proc() -> Option<u32> {
    let status = text_of(Path::new("/proc/self/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("Umask:"))?;
    u32::from_str_radix(line.trim(), 8).ok()
}

/// As a thread with an umask of its own sees it: asking changes it, and nobody
/// else is to notice. `None` where a sandbox keeps threads from having one.
fn asked_aside() -> Option<u32> {
    let ask = || {
        // SAFETY: no memory is involved. From here on this thread shares neither
        // working directory nor umask with others, and it ends at once.
        (unsafe { libc::unshare(libc::CLONE_FS) } == 0).then(|| set(PRIVATE))
    };
    std::thread::Builder::new().spawn(ask).ok()?.join().ok()?
}

/// The same in this thread, for all: for a moment, what others make is private.
fn asked_in_passing() -> u32 {
    let found = set(PRIVATE);
    set(found);
    found
}

/// Takes everything from everybody but the owner.
const PRIVATE: u32 = 0o077;

/// Sets the umask, and returns what it was.
fn set(umask: u32) -> u32 {
    rustix::process::umask(Mode::from_raw_mode(umask)).as_raw_mode()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The last way is not taken here: other tests make files meanwhile.
    #[test]
    fn a_thread_of_its_own_sees_what_proc_shows_and_changes_nothing() {
        let Some(shown) = shown_by_proc() else { return };
        // A sandbox may keep threads from having one.
        assert!(asked_aside().is_none_or(|asked| asked == shown));
        assert_eq!(shown_by_proc(), Some(shown));
    }
}
