//! Where the system keeps no process from writing what its user may write, or is
//! not asked to.

use std::io;

use super::Allowed;

/// Restricts nothing: this system has no Landlock.
///
/// # Errors
///
/// Always.
pub fn confine(_allowed: &Allowed) -> io::Result<bool> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "this system has no Landlock"))
}
