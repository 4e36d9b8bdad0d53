//! What a batch is to make of one file, in one of its folders: pure data.

use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;

use super::large::SMALLEST_WITH_MAP;
use super::partial::Partial;
use crate::durable::target::{PART_SUFFIX, sibling_name};
use crate::sys::Replace;

/// A file that the batch is to make.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Its name, relative to the directory of the batch.
    pub name: Arc<Path>,
    /// Its length.
    pub len: u64,
    /// Segments that go into it.
    pub segments: usize,
    /// Bytes in them.
    pub bytes: u64,
    /// Whether something has the name already and is to be replaced.
    pub replace: Replace,
    /// What has the name already and only lacks something.
    pub partial: Option<Arc<Partial>>,
    /// Whether there is a map beside it, or may come to be.
    pub has_map: bool,
    /// Whether an earlier run completed it here, and not in every folder.
    pub complete: bool,
    /// What it is called behind its name while it is written, where other processes do
    /// other parts of the batch.
    pub suffix: Option<Arc<str>>,
}

impl Wanted {
    /// A file that nothing is known of yet.
    pub fn of(name: Arc<Path>) -> Wanted {
        Wanted {
            name,
            len: 0,
            segments: 0,
            bytes: 0,
            replace: Replace::Never,
            partial: None,
            has_map: false,
            complete: false,
            suffix: None,
        }
    }

    /// What it is called in its directory while it is written.
    pub fn part_name(&self) -> OsString {
        let name = self.name.file_name().unwrap_or_default();
        sibling_name(name, self.suffix.as_deref().unwrap_or(PART_SUFFIX))
    }

    /// Whether what is left of it is worth a map, by its length. Others of the job
    /// do not resume what a process has left: they copy it again.
    pub fn is_worth_a_map(&self) -> bool {
        self.len >= SMALLEST_WITH_MAP && self.suffix.is_none()
    }
}
