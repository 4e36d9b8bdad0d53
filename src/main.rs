//! The command: read the arguments, run the job, tell how it went.
//!
//! Everything that prints, exits or hears signals is in `cli`, which only this
//! file declares: the library cannot reach it.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
