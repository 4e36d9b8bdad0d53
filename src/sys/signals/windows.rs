//! Ctrl-C and Ctrl-Break of Windows.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

/// What is kept of Ctrl-C and Ctrl-Break, which are not told apart: the number
/// that SIGINT has elsewhere.
const INTERRUPT: usize = 2;

/// Sets `stop` and `cancel` with the first Ctrl-C or Ctrl-Break; the second calls `end`, which
/// ends the process where it stands. Nothing here asks for a status line.
pub fn register(
    stop: &Arc<AtomicUsize>,
    cancel: &Arc<AtomicBool>,
    _status: &Arc<AtomicBool>,
    end: fn() -> !,
) {
    let (stop, cancel) = (Arc::clone(stop), Arc::clone(cancel));
    let _ = ctrlc::set_handler(move || {
        if stop.swap(INTERRUPT, SeqCst) != 0 {
            end();
        }
        cancel.store(true, SeqCst);
    });
}

/// A process of Windows does not die by a signal: its exit code says it.
pub fn end_by(_signal: usize) {}

/// There is no such signal: the error of the write is what there is.
pub fn die_of_closed_pipe() {}
