//! Ctrl-C and Ctrl-Break of Windows.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use super::{Heard, Wishes};

/// What is kept of Ctrl-C and Ctrl-Break, which are not told apart: the number
/// that SIGINT has elsewhere.
const INTERRUPT: usize = 2;

/// Passes Ctrl-C and Ctrl-Break on to `wishes`; the second wish calls `end`, which
/// ends the process where it stands. Nothing here asks for a status line.
pub fn register(wishes: &Arc<Wishes>, _status: &Arc<AtomicBool>, end: fn() -> !) {
    let (wishes, start) = (Arc::clone(wishes), Instant::now());
    let _ = ctrlc::set_handler(move || {
        let now = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX).max(1);
        if wishes.hear(INTERRUPT, now) == Heard::Second {
            end();
        }
    });
}

/// A process of Windows does not die by a signal: its exit code says it.
pub fn end_by(_signal: usize) {}

/// There is no such signal: the error of the write is what there is.
pub fn die_of_closed_pipe() {}
