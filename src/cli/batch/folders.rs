//! Folders with everything in them, to a directory, or compared with those in one.

use std::path::{Path, PathBuf};

use pcopy::batch::{Batch, ItemReport};
use pcopy::error::quoted;
use pcopy::safety::roles::Role;
use pcopy::tree::{Tree, Walk};
use pcopy::{Options, Result, SharedBatch};

use super::compare::compare;
use super::files::Digests;
use super::listener::Listener;
use super::{CommonArgs, copy};
use crate::cli::args::{FolderArgs, OutputArgs};
use crate::cli::config;
use crate::cli::exit::Exit;
use crate::cli::fleet;
use crate::cli::render::{self, check_place, check_writable, usage};
use crate::cli::signals::Signals;

/// Folders, files and links to a directory; digests go to `sums`, or else to
/// standard output.
///
/// # Errors
///
/// An error that has not been printed.
pub fn copy_folders(
    sources: &[PathBuf],
    directory: &Path,
    folders: FolderArgs,
    common: &CommonArgs,
    sums: Option<&Path>,
    signals: &Signals,
) -> Result<Exit> {
    config::check_is_file("DIRECTORY", directory).map_err(usage)?;
    if let Some(folder) = &common.shared.job {
        let walk = Walk::new(sources).one_file_system(folders.one_file_system);
        let options = config::batch(common).map_err(usage)?;
        let job = SharedBatch::of_folders(folder, walk, directory).options(options);
        sums.map_or(Ok(()), check_writable)?;
        let digests = Digests::of_folders(sums, directory);
        let heard = |item: &ItemReport<'_>| digests.hear(item, common.output.json);
        let exit = fleet::list::copy(job, common, Listener::new(None, &heard), signals)?;
        return Ok(digests.write(exit, signals));
    }
    let tree = look(sources, folders, common.preserve, signals)?;
    sums.map_or(Ok(()), if common.dry_run { check_place } else { check_writable })?;
    let digests = Digests::of_folders(sums, directory);
    let heard = |item: &ItemReport<'_>| digests.hear(item, common.output.json);
    if common.dry_run && common.output.verbose {
        tree.names()
            .for_each(|name| render::say(&common.output, "message", &quoted(name).to_string()));
    }
    let batch = common.also.iter().fold(Batch::of_tree(tree, directory), Batch::also);
    let batch = beside(batch, sums);
    let exit = copy(batch, common, Listener::new(None, &heard), signals)?;
    Ok(if common.dry_run { exit } else { digests.write(exit, signals) })
}

/// Compares folders, files and links with those in a directory that have their names.
///
/// # Errors
///
/// An error that has not been printed.
pub fn verify_folders(
    sources: &[PathBuf],
    directory: &Path,
    folders: FolderArgs,
    options: Options,
    output: &OutputArgs,
    sums: Option<&Path>,
    signals: &Signals,
) -> Result<Exit> {
    config::check_is_file("DIRECTORY", directory).map_err(usage)?;
    // Whether one file has several names is asked of copies that keep them alone.
    let tree = look(sources, folders, options.preserve, signals)?;
    sums.map_or(Ok(()), check_writable)?;
    let digests = Digests::of_folders(sums, directory);
    let heard = |item: &ItemReport<'_>| digests.hear(item, output.json);
    let batch = beside(Batch::of_tree(tree, directory).options(options), sums);
    let exit = compare(&batch, output, Listener::new(None, &heard), signals)?;
    Ok(digests.write(exit, signals))
}

/// Looks at everything that is to be copied.
fn look(
    sources: &[PathBuf],
    folders: FolderArgs,
    keep_hard_links: bool,
    signals: &Signals,
) -> Result<Tree> {
    let walk = Walk::new(sources).one_file_system(folders.one_file_system);
    walk.keep_hard_links(keep_hard_links).run(&signals.cancel_token())
}

fn beside(batch: Batch, sums: Option<&Path>) -> Batch {
    match sums {
        Some(sums) => batch.beside(Role::Side, "--digest-file", sums),
        None => batch,
    }
}
