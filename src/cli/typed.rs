//! What is said of a command line that cannot be understood, or that means a
//! command without naming it where commands are named.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::sync::OnceLock;

use clap::{CommandFactory, Parser};
use pcopy::ErrorKind;
use pcopy::error::{escaped, quoted};

use super::args::Cli;
use super::asked::Asked;
use super::exit::Exit;
use super::hint::shell_word;
use super::terminal::to_stderr;

/// The command line as it was typed.
static TYPED: OnceLock<Vec<OsString>> = OnceLock::new();

/// Takes note of the command line, so that messages can repeat it.
pub fn note(words: Vec<OsString>) -> Vec<OsString> {
    TYPED.get_or_init(|| words).clone()
}

/// The command line as it was typed.
pub fn words() -> Vec<OsString> {
    TYPED.get().cloned().unwrap_or_default()
}

/// Says what is wrong; or what was asked for, where that is the help or the version.
pub fn refused(error: clap::Error) -> Exit {
    if !error.use_stderr() {
        error.exit();
    }
    let typed = words();
    // The same once more, of words that can stand in a message.
    let words = typed.iter().map(|word| OsString::from(&*escaped(&word.to_string_lossy())));
    let error = Cli::try_parse_from(words).err().unwrap_or(error);
    let operand = typed.iter().skip(1).find(|word| !word.as_encoded_bytes().starts_with(b"-"));
    match operand.and_then(|operand| meant(&typed, operand)) {
        // Understood as a copy, the words are wrong in ways that lead away from it.
        Some(meant) => to_stderr(&format!("pcopy: {meant}")),
        None => to_stderr(error.render().to_string().trim_end()),
    }
    let what = error.render().to_string();
    // What follows is how to ask for it.
    let what = what.split("\n\n").next().unwrap_or_default();
    let words: Vec<&str> = what.trim_start_matches("error: ").split_whitespace().collect();
    Asked::of_words(&typed).document(&ErrorKind::usage(words.join(" ")).into());
    Exit::Usage
}

/// What other programs call what a command here does.
const OTHER_NAMES: [(&str, &str); 6] = [
    ("cmp", "verify"),
    ("compare", "verify"),
    ("diff", "verify"),
    ("list", "devices"),
    ("lsblk", "devices"),
    ("benchmark", "bench"),
];

/// What was probably meant, where the first operand is not a file but a command,
/// or nearly one.
pub fn meant(typed: &[OsString], operand: &OsStr) -> Option<String> {
    let first = typed.get(1).is_some_and(|word| word == operand);
    if Path::new(operand).symlink_metadata().is_ok() {
        return None;
    }
    let word = operand.to_str()?;
    let names: Vec<String> =
        Cli::command().get_subcommands().map(|command| command.get_name().to_owned()).collect();
    if names.iter().any(|name| name == word) {
        if first {
            return None;
        }
        // Moved to the front, the options are those of the command.
        let program = typed.first().into_iter();
        let others = typed.iter().skip(1).filter(|other| *other != operand);
        let words = program.map(OsString::as_os_str).chain([operand]);
        let words = words.chain(others.map(OsString::as_os_str)).map(shell_word);
        let line: Vec<String> = words.collect();
        return Some(format!("the command `{word}` comes before its options: {}", line.join(" ")));
    }
    if let Some((_, name)) = OTHER_NAMES.iter().find(|(other, _)| *other == word) {
        return Some(format!(
            "there is no file {}: did you mean the command `{name}`?",
            quoted(operand)
        ));
    }
    if let Some(meant) = option_or_address(word) {
        return Some(format!("there is no file {}: did you mean {meant}?", quoted(operand)));
    }
    let near = |name: &&String| distance(word, name) <= if name.len() > 4 { 2 } else { 1 };
    let name = names.iter().filter(near).min_by_key(|name| distance(word, name))?;
    Some(format!("there is no file {}: did you mean the command `{name}`?", quoted(operand)))
}

/// An option without its dashes, or an address without one of its slashes.
fn option_or_address(word: &str) -> Option<String> {
    let command = Cli::command();
    if command.get_arguments().any(|option| option.get_long() == Some(word)) {
        return Some(format!("the option --{word}"));
    }
    ["s3", "http", "https"].into_iter().find_map(|scheme| {
        let rest = word.strip_prefix(scheme)?.strip_prefix(":/")?;
        let rest = if rest.starts_with('/') { return None } else { rest };
        Some(format!("{scheme}://{rest}"))
    })
}

/// How many letters are to be put in, taken out or changed.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.chars().take(32).enumerate() {
        let mut before = row[0];
        row[0] = i + 1;
        for (j, b) in other.iter().enumerate() {
            let changed = before + usize::from(a != *b);
            before = row[j + 1];
            row[j + 1] = changed.min(before + 1).min(row[j] + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_recognised_in_the_wrong_place_and_misspelt() {
        let check = |line: &str, operand: &str, want: Option<&str>| {
            let typed: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            let found = meant(&typed, OsStr::new(operand));
            assert_eq!(found.as_deref(), want, "{line}");
        };
        let did = |word: &str, name: &str| {
            Some(format!("there is no file '{word}': did you mean the command `{name}`?"))
        };
        for (word, name) in [
            ("verfy", "verify"),
            ("batc", "batch"),
            ("devics", "devices"),
            ("Bench", "bench"),
            ("patc", "patch"),
            ("compare", "verify"),
            ("benchmark", "bench"),
        ] {
            check(&format!("pcopy {word} a b"), word, did(word, name).as_deref());
        }
        let meant = "there is no file 'resume': did you mean the option --resume?";
        check("pcopy resume a b", "resume", Some(meant));
        let meant = "there is no file 's3:/bucket/key': did you mean s3://bucket/key?";
        check("pcopy s3:/bucket/key b", "s3:/bucket/key", Some(meant));
        check("pcopy s3://bucket/key b", "s3://bucket/key", None);
        check("pcopy image copy", "image", None);
        check("pcopy plans copy", "plans", None);
        check("pcopy batch copy", "batch", None);
        let moved = "the command `verify` comes before its options: pcopy verify --json a b";
        check("pcopy --json verify a b", "verify", Some(moved));
    }
}
