//! Completions for shells and the manual pages, made from the definition of
//! the command line so that they cannot fall behind it.

use std::io;
use std::path::{Path, PathBuf};

use clap::{Args, Command, CommandFactory};
use clap_complete::Shell;
use pcopy::Result;
use pcopy::durable::side::Named;
use pcopy::error::{plain, quoted};

use super::args::Cli;
use super::exit::Exit;
use super::render::{check_place, failed};
use super::signals::Signals;
use super::terminal::write_stdout;

/// Print completions for a shell
#[derive(Args, Debug)]
pub struct CompletionsArgs {
    /// Which shell
    pub shell: Shell,
}

/// Print the manual page, or write all of them to a directory
#[derive(Args, Debug)]
pub struct ManArgs {
    /// Directory for one page a command; made if missing
    #[arg(value_name = "DIR")]
    pub directory: Option<PathBuf>,
}

/// `pcopy completions`.
pub fn completions(args: &CompletionsArgs) -> Exit {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "pcopy", &mut text);
    write_stdout(&text);
    Exit::Success
}

/// `pcopy man`.
///
/// # Errors
///
/// What nobody has told yet.
pub fn man(args: &ManArgs, signals: &Signals) -> Result<Exit> {
    if let Some(directory) = &args.directory {
        check_place(directory)?;
        let mut command = Cli::command().disable_help_subcommand(true);
        command.build();
        let written = std::fs::create_dir_all(directory)
            .and_then(|()| write_pages(command, directory, &|| signals.asked_to_stop()));
        return Ok(match written {
            Ok(()) => Exit::Success,
            Err(error) => {
                let (place, error) = (quoted(directory), plain(&error));
                failed(&format!("cannot write the manual pages to {place}: {error}"))
            }
        });
    }
    let mut text = Vec::new();
    Ok(match clap_mangen::Man::new(Cli::command()).render(&mut text) {
        Ok(()) => {
            write_stdout(&text);
            Exit::Success
        }
        Err(error) => failed(&format!("cannot make the manual page: {error}")),
    })
}

/// Writes the page of `command`, and those of the commands in it.
fn write_pages(command: Command, directory: &Path, give_up: &dyn Fn() -> bool) -> io::Result<()> {
    for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set()) {
        write_pages(inner.clone(), directory, give_up)?;
    }
    let page = clap_mangen::Man::new(command);
    let mut text = Vec::new();
    page.render(&mut text)?;
    Named::look(&directory.join(page.get_filename()))?.write(&text, give_up)
}
