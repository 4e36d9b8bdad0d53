//! Completions for shells and the manual pages, made from the definition of
//! the command line so that they cannot fall behind it.

use std::io;
use std::path::{Path, PathBuf};

use clap::builder::PossibleValuesParser;
use clap::{Arg, Args, Command, CommandFactory, ValueHint};
use clap_complete::Shell;
use clap_mangen::Man;
use pcopy::Result;
use pcopy::durable::side::Named;
use pcopy::error::{plain, quoted};
use pcopy::manifest::Format;

use super::args::Cli;
use super::exit::Exit;
use super::pages::{CODES, Example, NUMBERS, environment, examples, files, help_end};
use super::render::{check_place, failed};
use super::signals::Signals;
use super::terminal::write_stdout;

/// Print completions for a shell
#[derive(Args, Debug)]
#[command(after_help = help_end("completions"))]
pub struct CompletionsArgs {
    /// Which shell
    pub shell: Shell,
}

/// Print the manual page, or write all of them to a directory
#[derive(Args, Debug)]
#[command(after_help = help_end("man"))]
pub struct ManArgs {
    /// Directory for the pages, one for each command; made if missing
    #[arg(value_name = "DIR")]
    pub directory: Option<PathBuf>,
}

/// `pcopy completions`.
pub fn completions(args: &CompletionsArgs) -> Exit {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut completed(Cli::command()), "pcopy", &mut text);
    write_stdout(&text);
    Exit::Success
}

/// `pcopy man`.
///
/// # Errors
///
/// An error that has not been printed.
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
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    Ok(match page(command) {
        Ok(text) => {
            write_stdout(&text);
            Exit::Success
        }
        Err(error) => failed(&format!("cannot make the manual page: {error}")),
    })
}

/// `command` with what a shell is to offer for each value: words where there are
/// words, names of files where a file is meant, and nothing for numbers.
fn completed(command: Command) -> Command {
    let names: Vec<String> =
        command.get_subcommands().map(|inner| inner.get_name().to_owned()).collect();
    let command = command.mut_args(with_values);
    names.into_iter().fold(command, |command, name| command.mut_subcommand(name, completed))
}

fn with_values(arg: Arg) -> Arg {
    if !arg.get_action().takes_values() {
        return arg;
    }
    let name = arg.get_value_names().and_then(|names| names.first());
    let name = name.map(ToString::to_string).unwrap_or_default();
    let formats: Vec<&'static str> = Format::all().map(Format::name).collect();
    let words: &[&'static str] = match &*name {
        "FORMAT" => &formats,
        "N|auto" => &["auto", "1", "2", "4", "8", "16"],
        "SIZE|auto" => &["auto", "64KiB", "256KiB", "1MiB", "4MiB"],
        "ALG:HEX" => &["blake3:", "sha256:", "sha1:", "md5:", "crc32c:", "xxh3:"],
        "ENGINE,.." => &["positioned", "direct", "offload", "mmap", "splice"],
        "STATUSES" => &["+", "?", "*", "/", "-"],
        "BYTES" => &["512", "4096"],
        "N" if arg.get_id() == "radix" => &["10", "16"],
        "DIR" => return arg.value_hint(ValueHint::DirPath),
        _ if arg.get_value_hint() == ValueHint::Unknown => {
            return arg.value_hint(ValueHint::Other);
        }
        _ => return arg,
    };
    arg.value_delimiter(None).value_parser(PossibleValuesParser::new(words.iter().copied()))
}

/// Writes the page of `command`, and those of the commands in it.
fn write_pages(command: Command, directory: &Path, give_up: &dyn Fn() -> bool) -> io::Result<()> {
    for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set()) {
        write_pages(inner.clone(), directory, give_up)?;
    }
    let name = Man::new(command.clone()).get_filename();
    Named::look(&directory.join(name))?.write(&page(command)?, give_up)
}

/// The manual page of `command`.
fn page(command: Command) -> io::Result<Vec<u8>> {
    let name = command.get_name().to_owned();
    let is_copy = name == "pcopy";
    let mut others: Vec<String> = Cli::command()
        .get_subcommands()
        .map(|inner| format!("pcopy-{}", inner.get_name()))
        .chain(["pcopy".to_owned()])
        .filter(|other| *other != command.get_display_name().unwrap_or("pcopy"))
        .collect();
    others.sort();
    // What follows the options in `--help` has sections of its own here.
    let man = Man::new(command.after_help(None::<&str>).after_long_help(None::<&str>));
    let mut text = Vec::new();
    man.render_title(&mut text)?;
    man.render_name_section(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    man.render_options_section(&mut text)?;
    if is_copy {
        man.render_subcommands_section(&mut text)?;
        section(&mut text, "NUMBERS");
        paragraph(&mut text, NUMBERS);
    }
    section(&mut text, "EXIT STATUS");
    CODES.iter().for_each(|(code, meaning)| entry(&mut text, code, meaning));
    for (title, entries) in [("ENVIRONMENT", environment(&name)), ("FILES", &files(&name))] {
        if !entries.is_empty() {
            section(&mut text, title);
            entries.iter().for_each(|(term, what)| entry(&mut text, term, what));
        }
    }
    section(&mut text, "EXAMPLES");
    for Example { line, does } in examples(&name) {
        entry(&mut text, line, does);
    }
    section(&mut text, "SEE ALSO");
    let others: Vec<String> = others.iter().map(|other| format!("{other}(1)")).collect();
    paragraph(&mut text, &others.join(", "));
    if is_copy {
        man.render_version_section(&mut text)?;
    }
    Ok(text)
}

fn section(text: &mut Vec<u8>, name: &str) {
    text.extend_from_slice(format!(".SH \"{name}\"\n").as_bytes());
}

/// A term, and what it means.
fn entry(text: &mut Vec<u8>, term: &str, meaning: &str) {
    let (term, meaning) = (roff(term), roff(meaning));
    text.extend_from_slice(format!(".TP\n\\fB{term}\\fR\n{meaning}\n").as_bytes());
}

fn paragraph(text: &mut Vec<u8>, lines: &str) {
    text.extend_from_slice(format!("{}\n", roff(lines)).as_bytes());
}

/// Text in which nothing is taken for a request of roff.
fn roff(text: &str) -> String {
    let line = |line: &str| match line.starts_with(['.', '\'']) {
        true => format!("\\&{line}"),
        false => line.to_owned(),
    };
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    text.lines().map(line).collect::<Vec<String>>().join("\n")
}
