//! Children of a fork: what they have of a job that a thread of their parent runs.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use pyo3::prelude::*;

/// Jobs that run in this process.
static RUNNING: AtomicUsize = AtomicUsize::new(0);

/// One of them, as long as this is there.
pub struct Running(u32);

impl Running {
    pub fn new() -> Running {
        pcopy::sys::expect_forks();
        RUNNING.fetch_add(1, Relaxed);
        Running(std::process::id())
    }

    /// Ends a child that a listener of this job forked and let out of its call: the
    /// job runs in the parent alone, and the child would wait for it for ever.
    pub fn end_if_forked(&self) {
        if std::process::id() != self.0 {
            eprintln!("pcopy: a child that `progress` forked must not return from it");
            std::process::abort();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        RUNNING.fetch_sub(1, Relaxed);
    }
}

/// To be called in every child of a fork, at once. What jobs of the parent are
/// writing counts as being written only as long as they write it.
#[pyfunction]
pub fn forked() {
    if RUNNING.swap(0, Relaxed) > 0 {
        // SAFETY: this is the child of a fork; jobs run on threads of their own, which
        // it does not have.
        unsafe { pcopy::sys::close_locked() };
    }
}
