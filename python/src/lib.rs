//! The native half of the Python package `pcopy`.
//!
//! It runs jobs of the library without the interpreter's lock and answers with
//! JSON; names, defaults, exceptions and documentation are Python, in `pcopy/`.
//! This half must not know how a caller spells an option.

mod command;
mod forks;
mod jobs;
mod memory;
mod outcome;
mod pipe;
mod servers;
mod shared;
mod watched;

/// The command, from the files of the program itself.
#[path = "../../src"]
mod program {
    pub mod cli;
}
use program::cli;

/// Run without the lock of the interpreter: nothing here needs it.
#[pyo3::pymodule(gil_used = false)]
mod _pcopy {
    #[pymodule_export]
    use super::command::command;
    #[pymodule_export]
    use super::forks::forked;
    #[pymodule_export]
    use super::jobs::{batch, copy, defaults, devices, patch, verify};
    #[pymodule_export]
    use super::memory::{NotOpened, Reader, read_into};
    #[pymodule_export]
    use super::pipe::splice;
    #[pymodule_export]
    use super::shared::{absolute, check_options, job_status, take_part};
}
