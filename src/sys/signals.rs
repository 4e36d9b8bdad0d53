//! How a system tells a process to stop. Compiled into the command alone, by
//! `cli::signals`: the library installs no handlers (invariant I5).

#[cfg(unix)]
#[path = "signals/unix.rs"]
mod unix;
#[cfg(windows)]
#[path = "signals/windows.rs"]
mod windows;

#[cfg(unix)]
pub use unix::*;
#[cfg(windows)]
pub use windows::*;
