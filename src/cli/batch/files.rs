//! Several whole files to a directory, or compared with those in one: a batch
//! without a list.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use pcopy::batch::{Batch, ItemReport};
use pcopy::digest;
use pcopy::error::quoted;
use pcopy::manifest::{Item, Runs};
use pcopy::safety::roles::Role;
use pcopy::{Options, Result};

use super::compare::compare;
use super::listener::Listener;
use super::{CommonArgs, copy};
use crate::cli::args::OutputArgs;
use crate::cli::config;
use crate::cli::exit::Exit;
use crate::cli::render::{check_place, check_writable, problem, usage, write_file};
use crate::cli::signals::Signals;
use crate::cli::terminal::lines_to_stdout;

/// Several whole files to a directory; their digests go to `sums`, or else to
/// standard output.
///
/// # Errors
///
/// An error that has not been printed.
pub fn copy_files(
    sources: &[PathBuf],
    directory: &Path,
    common: &CommonArgs,
    sums: Option<&Path>,
    signals: &Signals,
) -> Result<Exit> {
    let (items, numbers) = items(sources, directory).map_err(usage)?;
    sums.map_or(Ok(()), if common.dry_run { check_place } else { check_writable })?;
    let digests = Digests { numbers, ..Digests::of_folders(sums, directory) };
    let heard = |item: &ItemReport<'_>| digests.hear(item, common.output.json);
    // A slip of the pen must not become a folder: --into makes one.
    let batch = Batch::new(items, directory).make_into(false);
    let batch = common.also.iter().fold(batch, Batch::also);
    let batch = match sums {
        Some(sums) => batch.beside(Role::Side, "--digest-file", sums),
        None => batch,
    };
    let exit = copy(batch, common, Listener::new(None, &heard), signals)?;
    Ok(if common.dry_run { exit } else { digests.write(exit, signals) })
}

/// Compares several sources with the files in a directory that have their names.
///
/// # Errors
///
/// An error that has not been printed.
pub fn verify_files(
    sources: &[PathBuf],
    directory: &Path,
    options: Options,
    output: &OutputArgs,
    sums: Option<&Path>,
    signals: &Signals,
) -> Result<Exit> {
    let (items, numbers) = items(sources, directory).map_err(usage)?;
    sums.map_or(Ok(()), check_writable)?;
    let digests = Digests { numbers, ..Digests::of_folders(sums, directory) };
    let heard = |item: &ItemReport<'_>| digests.hear(item, output.json);
    let batch = Batch::new(items, directory).options(options);
    let batch = match sums {
        Some(sums) => batch.beside(Role::Side, "--digest-file", sums),
        None => batch,
    };
    let exit = compare(&batch, output, Listener::new(None, &heard), signals)?;
    Ok(digests.write(exit, signals))
}

/// The digests of several files, on their way to one file or to standard output.
pub struct Digests<'a> {
    sums: Option<&'a Path>,
    directory: &'a Path,
    numbers: Numbers,
    /// What goes to the file, in the order of the sources, and else of the names.
    lines: Mutex<BTreeMap<Place, Vec<u8>>>,
}

impl<'a> Digests<'a> {
    /// Of what is in folders.
    pub fn of_folders(sums: Option<&'a Path>, directory: &'a Path) -> Digests<'a> {
        Digests { sums, directory, numbers: Numbers::new(), lines: Mutex::default() }
    }

    /// Takes those of an item; with `json`, they are in the report.
    pub fn hear(&self, item: &ItemReport<'_>, json: bool) {
        if !item.status.is_good() {
            return;
        }
        if item.digests.is_empty() {
            return;
        }
        let text = lines_of(item, &self.directory.join(&*item.item.name));
        if self.sums.is_some() {
            let number = item.item.name.file_name().and_then(|name| self.numbers.get(name));
            let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
            lines.insert((number.copied(), item.item.name.to_path_buf()), text);
        } else if !json {
            lines_to_stdout(&text);
        }
    }

    /// Writes the file, where the job came to its end.
    pub fn write(self, exit: Exit, signals: &Signals) -> Exit {
        let came_to_its_end = matches!(exit, Exit::Success | Exit::Partial | Exit::Mismatch);
        let Some(sums) = self.sums.filter(|_| came_to_its_end) else { return exit };
        let lines = self.lines.into_inner().unwrap_or_else(PoisonError::into_inner);
        let text: Vec<u8> = lines.into_values().flatten().collect();
        match write_file(sums, &text, &|| signals.asked_to_stop()) {
            Ok(()) => exit,
            Err(message) => {
                problem(&message);
                Exit::Failed
            }
        }
    }
}

/// Where the lines of a file go: by the number of its source, and by its name.
type Place = (Option<usize>, PathBuf);

/// Sources by the names that they keep.
type Numbers = HashMap<OsString, usize>;

/// An item for each source, which keeps its name.
///
/// # Errors
///
/// A message for the user.
pub fn items(sources: &[PathBuf], directory: &Path) -> Result<(Vec<Item>, Numbers), String> {
    config::check_is_file("DIR", directory)?;
    let mut items = Vec::with_capacity(sources.len());
    let mut numbers = HashMap::with_capacity(sources.len());
    for (number, source) in sources.iter().enumerate() {
        let Some(name) = config::name_of(source) else {
            return Err(format!("{} has no name to keep", quoted(source)));
        };
        items.push(Item::new(&name, Runs::Whole).of(source));
        let there = directory.join(&name);
        if let Some(other) = numbers.insert(name, number) {
            let (other, source) = (quoted(&sources[other]), quoted(source));
            return Err(format!("{other} and {source} would both be {}", quoted(&there)));
        }
    }
    Ok((items, numbers))
}

/// The digests of an item, which is at `path`, as those of one copy.
fn lines_of(item: &ItemReport<'_>, path: &Path) -> Vec<u8> {
    let line = |digest| [&digest::line(digest, path)[..], b"\n"].concat();
    item.digests.iter().flat_map(line).collect()
}
