//! Where the system keeps no process from writing what its user may write, or is
//! not asked to.

use std::io;

use super::Allowed;

/// Restricts the process to what is `allowed`: not done.
///
/// # Errors
///
/// Always: that it is not done.
pub fn confine(_allowed: &Allowed) -> io::Result<bool> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "this system has no Landlock"))
}
