//! Who of several comes first.

use crate::sync::atomic::{AtomicBool, Ordering};

/// Set once, by the thread that comes first.
#[derive(Default)]
pub struct Once(AtomicBool);

impl Once {
    /// Whether this is the first call.
    pub fn first(&self) -> bool {
        !self.0.swap(true, Ordering::AcqRel)
    }
}
