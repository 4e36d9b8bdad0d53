//! Signals of Unix.

use std::os::raw::c_int;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGXFSZ};
use signal_hook::flag;

/// What asks for a status line: on systems that have it also what Ctrl-T sends.
#[cfg(any(
    target_os = "macos",
    target_os = "freebsd",
    target_os = "netbsd",
    target_os = "openbsd"
))]
const STATUS: &[c_int] = &[SIGUSR1, signal_hook::consts::SIGINFO];
#[cfg(not(any(
    target_os = "macos",
    target_os = "freebsd",
    target_os = "netbsd",
    target_os = "openbsd"
)))]
const STATUS: &[c_int] = &[SIGUSR1];

/// Sets `stop` to the number of the signal that asks to stop, then `cancel`,
/// and `status` when one asks for a line. A second wish to stop ends the
/// process by its signal.
pub fn register(
    stop: &Arc<AtomicUsize>,
    cancel: &Arc<AtomicBool>,
    status: &Arc<AtomicBool>,
    _end: fn() -> !,
) {
    // Under nohup(1) a terminal that closes is no reason to stop. Nor is that it
    // closes a second wish: the shell and the kernel both tell of it.
    if !pcopy::sys::is_ignored(SIGHUP) {
        let _ = flag::register_usize(SIGHUP, Arc::clone(stop), SIGHUP as usize);
        let _ = flag::register(SIGHUP, Arc::clone(cancel));
    }
    for signal in [SIGINT, SIGTERM] {
        // In this order: the first signal arms what the second one meets, and
        // whoever sees that it came can tell which it was.
        let _ = flag::register_conditional_default(signal, Arc::clone(cancel));
        let _ = flag::register_usize(signal, Arc::clone(stop), signal as usize);
        let _ = flag::register(signal, Arc::clone(cancel));
    }
    for signal in STATUS {
        let _ = flag::register(*signal, Arc::clone(status));
    }
    // Caught so that a file-size limit is an error of a write, not a death.
    let _ = flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false)));
}

/// Ends the process by `signal`, so that a shell sees what happened.
pub fn end_by(signal: usize) {
    let signal = i32::try_from(signal).unwrap_or(0);
    let _ = signal_hook::low_level::emulate_default_handler(signal);
}

/// Ends the process as one that writes to a pipe without a reader.
pub fn die_of_closed_pipe() {
    let _ = signal_hook::low_level::emulate_default_handler(signal_hook::consts::SIGPIPE);
}
