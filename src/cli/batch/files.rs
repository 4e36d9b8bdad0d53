//! Several whole files to a directory: a batch without a list.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use pcopy::batch::{Batch, ItemReport};
use pcopy::digest;
use pcopy::error::quoted;
use pcopy::manifest::{Item, Runs};
use pcopy::safety::roles::Role;

use super::report_file::ReportFile;
use super::{CommonArgs, copy};
use crate::cli::config;
use crate::cli::exit::Exit;
use crate::cli::render::{check_place, check_writable, problem, usage, write_file};
use crate::cli::signals::Signals;
use crate::cli::terminal::lines_to_stdout;

/// Several whole files to a directory; their digests go to `sums`, or else to
/// standard output.
pub fn copy_files(
    (sources, directory): (&[PathBuf], &Path),
    common: &CommonArgs,
    sums: Option<&Path>,
    signals: &Signals,
) -> Exit {
    let (items, numbers) = match items(sources, directory) {
        Ok(items) => items,
        Err(message) => return usage(&message),
    };
    let check = if common.dry_run { check_place } else { check_writable };
    if let Some(Err(exit)) = sums.map(check) {
        return exit;
    }
    let lines = Mutex::new(BTreeMap::new());
    let heard = |item: &ItemReport<'_>| {
        if !item.status.is_good() {
            return;
        }
        let text = digests(item, &directory.join(&*item.item.name));
        if sums.is_some() {
            let number = item.item.name.file_name().and_then(|name| numbers.get(name));
            lines.lock().unwrap_or_else(PoisonError::into_inner).insert(number.copied(), text);
        } else if !common.output.json {
            lines_to_stdout(&text);
        }
    };
    // A slip of the pen must not become a folder: --into makes one.
    let batch = Batch::new(items, directory).make_into(false);
    let batch = match sums {
        Some(sums) => batch.beside(Role::Side, "--digest-file", sums),
        None => batch,
    };
    let no_report = |report: &Path| ReportFile::open(report, &|| true);
    let exit = copy(batch, common, None, no_report, &heard, signals);
    let sums = sums.filter(|_| !common.dry_run && matches!(exit, Exit::Success | Exit::Partial));
    let lines = lines.into_inner().unwrap_or_else(PoisonError::into_inner);
    let text: Vec<u8> = lines.into_values().flatten().collect();
    match sums.map(|sums| write_file(sums, &text, &|| signals.asked_to_stop())) {
        Some(Err(message)) => {
            problem(&message);
            Exit::Failed
        }
        _ => exit,
    }
}

/// Sources by the names that they keep.
type Numbers<'a> = HashMap<&'a OsStr, usize>;

/// An item for each source, which keeps its name.
///
/// # Errors
///
/// A message for the user.
pub fn items<'a>(
    sources: &'a [PathBuf],
    directory: &Path,
) -> Result<(Vec<Item>, Numbers<'a>), String> {
    config::check_is_file("DIR", directory)?;
    let mut items = Vec::with_capacity(sources.len());
    let mut numbers = HashMap::with_capacity(sources.len());
    for (number, source) in sources.iter().enumerate() {
        let Some(name) = source.file_name() else {
            return Err(format!("{} has no name to keep", quoted(source)));
        };
        if let Some(other) = numbers.insert(name, number) {
            let (other, source) = (quoted(&sources[other]), quoted(source));
            let there = directory.join(name);
            return Err(format!("{other} and {source} would both be {}", quoted(&there)));
        }
        items.push(Item::new(name, Runs::Whole).of(source));
    }
    Ok((items, numbers))
}

/// The digests of an item, which is at `path`, as those of one copy.
fn digests(item: &ItemReport<'_>, path: &Path) -> Vec<u8> {
    let line = |digest| [&digest::line(digest, path)[..], b"\n"].concat();
    item.digests.iter().flat_map(line).collect()
}
