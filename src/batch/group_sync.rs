//! One sync for many files, asked for by several groups at once.
//!
//! The kernel tells each descriptor of an error once. So there is one
//! descriptor for all, opened before the first byte was written, one sync at a
//! time, and after one that failed none succeeds: whichever group it was whose
//! files are lost, none of those that were not durable yet gets through.

use std::io;

use crate::progress::lock;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sys::Directory;

/// Syncs of the file system of a batch.
pub struct GroupSync {
    /// Whether an error of any file shows in a sync of all.
    covers_files: bool,
    /// Syncs that have begun.
    begun: AtomicU64,
    /// Whether one has failed. Held while one is under way.
    failed: Mutex<bool>,
}

impl GroupSync {
    /// For the file system of `root`.
    pub fn new(root: &Directory) -> GroupSync {
        let covers_files = root.sync_covers_files();
        GroupSync { covers_files, begun: AtomicU64::new(0), failed: Mutex::new(false) }
    }

    /// Whether a sync of all is as good as a sync of each.
    pub fn covers_files(&self) -> bool {
        self.covers_files
    }

    /// Makes everything durable that was written before the call, as far as
    /// the system can.
    ///
    /// # Errors
    ///
    /// If it was not, or an earlier sync failed: the batch must end.
    pub fn sync(&self, root: &Directory) -> io::Result<()> {
        self.sync_by(|| root.sync_file_system())
    }

    fn sync_by(&self, sync: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let asked = self.begun.load(Ordering::Acquire);
        let mut failed = lock(&self.failed);
        if *failed {
            return Err(io::Error::other("an earlier sync of the file system failed"));
        }
        // One that another group began after this was asked for is over now.
        if self.begun.load(Ordering::Acquire) > asked {
            return Ok(());
        }
        self.begun.fetch_add(1, Ordering::AcqRel);
        match sync() {
            Err(error) if error.kind() == io::ErrorKind::Unsupported && !self.covers_files => {
                Ok(())
            }
            result => {
                *failed = result.is_err();
                result
            }
        }
    }
}

#[cfg(all(test, pcopy_model))]
#[path = "tests/group_sync_schedules.rs"]
mod schedules;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_failed_sync_none_succeeds() {
        let group =
            GroupSync { covers_files: true, begun: AtomicU64::new(0), failed: Mutex::new(false) };
        group.sync_by(|| Ok(())).unwrap();
        group.sync_by(|| Err(io::ErrorKind::Other.into())).unwrap_err();
        group.sync_by(|| panic!("asked again")).unwrap_err();
    }

    #[test]
    fn a_thread_that_waited_for_a_sync_that_began_later_needs_none_of_its_own() {
        let group =
            GroupSync { covers_files: true, begun: AtomicU64::new(0), failed: Mutex::new(false) };
        let others = AtomicU64::new(0);
        std::thread::scope(|scope| {
            let under_way = lock(&group.failed);
            let waiting: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        let sync = || {
                            others.fetch_add(1, Ordering::Relaxed);
                            Ok(())
                        };
                        group.sync_by(sync).unwrap();
                    })
                })
                .collect();
            drop(under_way);
            for thread in waiting {
                thread.join().unwrap();
            }
        });
        assert!((1..=8).contains(&others.load(Ordering::Relaxed)));
    }
}
