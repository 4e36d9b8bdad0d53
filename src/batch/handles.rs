//! How many files, directories and sources a batch keeps open at once: pure
//! arithmetic. A system that allows few open files makes a batch slower, and
//! fails none of its items.

/// Handles of the process besides those of the batch: standard streams,
/// signals, the list, the report, the directory of the batch.
const OTHERS: usize = 16;

/// Handles that a worker needs for a moment: a file that was closed to make
/// room for others meanwhile, and directories on the way to one.
const PER_WORKER: usize = 4;

/// Files that are written and not complete, at most.
const MOST_FILES: usize = 512;

/// Directories kept at hand, at most.
const MOST_DIRECTORIES: usize = 128;

/// Sources that stay open, at most: for the whole batch, or until their file is
/// committed. Those of a group and a few more.
const MOST_SOURCES: usize = 320;

/// What may be open at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Handles {
    /// Workers.
    pub threads: usize,
    /// Files that are being written.
    pub files: usize,
    /// Directories kept at hand.
    pub directories: usize,
    /// Sources kept open.
    pub sources: usize,
}

impl Handles {
    /// Shares out `limit` handles, of which `threads` workers are to be served.
    pub fn within(limit: u64, threads: usize) -> Handles {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX).saturating_sub(OTHERS);
        let threads = threads.min(limit / 2 / PER_WORKER).max(1);
        let rest = limit.saturating_sub(threads * PER_WORKER);
        Handles {
            threads,
            files: (rest / 2).clamp(1, MOST_FILES),
            directories: (rest / 8).clamp(1, MOST_DIRECTORIES),
            sources: (rest / 4).clamp(1, MOST_SOURCES),
        }
    }
}

impl Handles {
    /// What each of several folders has of the files and directories.
    pub fn shared_by(self, folders: usize) -> Handles {
        let share = |all: usize| (all / folders.max(1)).max(1);
        Handles { files: share(self.files), directories: share(self.directories), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_handed_out_is_there() {
        for limit in (24..5000).chain([1 << 20, u64::MAX]) {
            for wanted in [1, 2, 8, 64, 1024] {
                let Handles { threads, files, directories, sources } =
                    Handles::within(limit, wanted);
                assert!((1..=wanted).contains(&threads));
                let sum = OTHERS + threads * PER_WORKER + files + directories + sources;
                assert!(sum as u64 <= limit, "{limit} {wanted}: {sum}");
            }
        }
    }

    #[test]
    fn an_ordinary_limit_is_no_limit() {
        let handles = Handles::within(1 << 20, 8);
        assert_eq!(handles, Handles { threads: 8, files: 512, directories: 128, sources: 320 });
        assert!(Handles::within(1024, 8).files > 400);
    }
}
