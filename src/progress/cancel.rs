//! The wish to stop: a flag that goes up and never comes down again.

use std::sync::Arc;

use crate::sync::atomic::{AtomicBool as Flag, Ordering::Relaxed};

/// Asks a running job to stop. Clones ask the same job.
#[derive(Clone, Default, Debug)]
pub struct CancelToken(Arc<Flag>);

impl CancelToken {
    /// A token that has not been used.
    pub fn new() -> CancelToken {
        CancelToken::default()
    }

    /// A token that is used by setting `flag`, as a signal handler can.
    pub fn from_flag(flag: Arc<Flag>) -> CancelToken {
        CancelToken(flag)
    }

    /// Asks the job to stop after the requests under way.
    pub fn cancel(&self) {
        self.0.store(true, Relaxed);
    }

    /// Whether somebody asked.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Relaxed)
    }
}
