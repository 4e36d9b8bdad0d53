//! Signals of Unix.

use std::os::raw::c_int;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use rustix::time::{ClockId, clock_gettime};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGXFSZ};
use signal_hook::{flag, low_level};

use super::{Heard, Wishes};

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

/// Passes signals that ask to stop on to `wishes`, and sets `status` when one
/// asks for a line. A second wish ends the process by its signal. What the
/// caller had this process ignore stays ignored: nohup(1), `trap ''`, a command
/// that a shell put into the background.
pub fn register(wishes: &Arc<Wishes>, status: &Arc<AtomicBool>, _end: fn() -> !) {
    for signal in [SIGHUP, SIGINT, SIGTERM] {
        if pcopy::sys::is_ignored(signal) {
            continue;
        }
        let wishes = Arc::clone(wishes);
        let action = move || {
            // That the terminal closes is told by the shell and by the kernel, at
            // different times: never a second wish.
            if wishes.hear(signal as usize, now()) == Heard::Second && signal != SIGHUP {
                let _ = low_level::emulate_default_handler(signal);
            }
        };
        // SAFETY: the action stores atomics, asks a clock and ends the process by a
        // signal: all of that is allowed in a signal handler.
        let _ = unsafe { low_level::register(signal, action) };
    }
    for signal in STATUS {
        let _ = flag::register(*signal, Arc::clone(status));
    }
    // Caught so that a file-size limit is an error of a write, not a death.
    let _ = flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false)));
}

/// Milliseconds of a clock that only goes forward, never 0.
fn now() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    (time.tv_sec as u64).saturating_mul(1000).saturating_add(time.tv_nsec as u64 / 1_000_000).max(1)
}

/// Ends the process by `signal`, so that a shell sees what happened.
pub fn end_by(signal: usize) {
    let signal = i32::try_from(signal).unwrap_or(0);
    let _ = low_level::emulate_default_handler(signal);
}

/// Ends the process as one that writes to a pipe without a reader.
pub fn die_of_closed_pipe() {
    let _ = low_level::emulate_default_handler(signal_hook::consts::SIGPIPE);
}
