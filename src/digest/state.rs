//! Whether the digests of a copy are still worth computing.

use crate::sync::atomic::{AtomicU8, Ordering};

const WANTED: u8 = 0;
const SPOILED: u8 = 1;
const ABANDONED: u8 = 2;

/// Only ever gets worse: wanted, spoiled, abandoned.
pub(super) struct DigestState(AtomicU8);

impl DigestState {
    pub fn new() -> DigestState {
        DigestState(AtomicU8::new(WANTED))
    }

    /// There will be no digest, but the copy goes on.
    pub fn spoil(&self) {
        self.0.fetch_max(SPOILED, Ordering::Release);
    }

    /// The copy itself stops.
    pub fn abandon(&self) {
        self.0.fetch_max(ABANDONED, Ordering::Release);
    }

    /// Whether hashing further bytes is a waste.
    pub fn is_lost(&self) -> bool {
        self.0.load(Ordering::Acquire) != WANTED
    }

    pub fn is_abandoned(&self) -> bool {
        self.0.load(Ordering::Acquire) == ABANDONED
    }
}
