//! The command: `python -m pcopy`.

use std::ffi::OsString;

use pyo3::prelude::*;

/// Runs the command with `words`, the first of which is its name, and returns its
/// exit code. It hears signals itself from here on.
#[pyfunction]
pub fn command(python: Python<'_>, words: Vec<OsString>) -> u8 {
    python.detach(|| crate::cli::run(words).code())
}
