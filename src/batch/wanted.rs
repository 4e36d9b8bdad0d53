//! What a batch is to make of one file, in one of its folders: pure data.

use std::path::Path;
use std::sync::Arc;

use super::partial::Partial;
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
        }
    }
}
