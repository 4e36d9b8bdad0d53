//! The command line: arguments, progress on the terminal, signals, exit codes.
//!
//! `args` is what was typed, `config` makes a job of it, `watch` shows it
//! running, `render` says how it went and `exit` puts a number on that. `asked`
//! tells what goes wrong before there is anything to report, and `remedy` what
//! would help.

mod args;
mod asked;
mod batch;
mod bench;
mod config;
mod copy;
mod devices;
mod evidence;
mod exit;
mod fleet;
mod hint;
mod input;
#[cfg(feature = "manual")]
mod manual;
mod map;
mod pages;
mod patch;
mod remedy;
// The Python package looks around in the same way.
pub mod remote;
mod render;
pub mod s3;
mod sandbox;
mod schema;
mod signals;
mod terminal;
mod typed;
mod verify;
mod watch;

use std::ffi::OsString;

use clap::Parser;

use args::{Cli, Command};
use asked::Asked;
use exit::Exit;
use signals::Signals;

/// Does what `words` say, the first of which is the name of the program, and
/// returns how the process ends.
pub fn run(words: Vec<OsString>) -> Exit {
    let cli = match Cli::try_parse_from(typed::note(words)) {
        Ok(cli) => cli,
        Err(error) => return typed::refused(error),
    };
    sandbox::enter(&cli);
    let asked = Asked::of(&cli);
    let signals = Signals::install();
    let ended = match &cli.command {
        Some(Command::Batch(args)) => batch::run(args, &signals),
        Some(Command::Bench(args)) => bench::run(args, &signals),
        Some(Command::Patch(args)) => patch::run(args, &signals),
        Some(Command::Verify(args)) => verify::run(args, &signals),
        #[cfg(feature = "manual")]
        Some(Command::Completions(args)) => Ok(manual::completions(args)),
        Some(Command::Devices(args)) => Ok(devices::run(args)),
        Some(Command::Schema(args)) => Ok(schema::run(args)),
        Some(Command::Map(args)) => map::run(args, &signals),
        Some(Command::Job(args)) => fleet::run(args, &signals),
        #[cfg(feature = "manual")]
        Some(Command::Man(args)) => manual::man(args, &signals),
        None => copy::run(&cli.copy, &signals),
    };
    let exit = ended.unwrap_or_else(|error| asked.failed(&error));
    signals.die_if_interrupted(exit);
    match terminal::unwritten() {
        Some(error) if exit == Exit::Success => {
            render::failed(&format!("cannot write to standard output: {error}"))
        }
        _ => exit,
    }
}
