//! The command: read the arguments, run the job, tell how it went.
//!
//! Everything that prints, exits or hears signals is in `cli` and `memory`,
//! which only this file declares: the library cannot reach them.

mod cli;
#[allow(unsafe_code)]
#[path = "sys/memory.rs"]
mod memory;

use std::process::ExitCode;

#[global_allocator]
static MEMORY: memory::Memory = memory::Memory;

fn main() -> ExitCode {
    memory::spare_address_space();
    cli::run(std::env::args_os().collect()).into()
}
