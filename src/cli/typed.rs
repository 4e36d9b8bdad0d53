//! What is said of a command line that cannot be understood.

use std::ffi::OsString;

use clap::Parser;
use pcopy::error::escaped;

use super::args::Cli;
use super::exit::Exit;
use super::terminal::to_stderr;

/// Says what is wrong; or what was asked for, where that is the help or the version.
pub fn refused(error: clap::Error) -> Exit {
    if !error.use_stderr() {
        error.exit();
    }
    // The same once more, of words that can stand in a message.
    let words = std::env::args_os().map(|word| match word.to_str() {
        Some(text) => OsString::from(escaped(text).into_owned()),
        None => OsString::from(escaped(&word.to_string_lossy()).into_owned()),
    });
    let error = Cli::try_parse_from(words).err().unwrap_or(error);
    to_stderr(error.render().to_string().trim_end());
    Exit::Usage
}
