//! `pcopy batch --into-device` and `--into-file`: the list says which parts of one
//! copy are wanted.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use pcopy::batch::Onto;
use pcopy::digest::Expectation;
use pcopy::error::quoted;
use pcopy::manifest::{Manifest, ManifestErrors};
use pcopy::sys::{self, FileKind, facts_of_path};
use pcopy::{Progress, Result, Watch};

use super::BatchArgs;
use crate::cli::args::{DigestArgs, seconds};
use crate::cli::config::{self, is_standard_stream};
use crate::cli::exit::Exit;
use crate::cli::render::{self, usage};
use crate::cli::signals::Signals;
use crate::cli::watch;

/// One destination for everything.
#[derive(Args, Debug)]
#[command(next_help_heading = "One destination")]
pub struct OntoArgs {
    /// Write every range to its own offset of one block device, and nothing else
    #[arg(long, value_name = "DEV", conflicts_with_all = ["into_file", "into", "force", "preserve"])]
    #[arg(conflicts_with_all = ["report", "retry", "compare", "html"])]
    pub into_device: Option<PathBuf>,

    /// Write every range to its own offset of one file: a new one, with holes between them, or
    /// with --in-place an existing one
    #[arg(long, value_name = "FILE", conflicts_with_all = ["into", "to_device", "preserve"])]
    #[arg(conflicts_with_all = ["report", "retry", "compare", "html"])]
    pub into_file: Option<PathBuf>,

    /// Write to the block device
    #[arg(long, requires = "into_device")]
    pub to_device: bool,

    /// Write into an existing FILE, touching no byte outside the ranges
    #[arg(long, requires = "into_file", conflicts_with = "force")]
    pub in_place: bool,

    /// Fail (exit 4, nothing committed) if the digest of all, with zeros between the ranges, does
    /// not match; repeatable
    #[arg(long, value_name = "ALG:HEX", requires = "one_destination")]
    pub expect: Vec<Expectation>,

    /// Where the resume map lives
    #[arg(long, value_name = "FILE", requires = "one_destination")]
    pub map: Option<PathBuf>,

    /// How long to wait for a device that is briefly locked
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    pub wait: Duration,

    /// Write even if the destination is mounted as an image, or another program has locked it
    #[arg(long, requires = "one_destination")]
    pub even_if_in_use: bool,
}

impl OntoArgs {
    /// The one destination, if there is one.
    pub fn destination(&self) -> Option<&Path> {
        self.into_device.as_deref().or(self.into_file.as_deref())
    }

    /// Refuses a file where a device is meant, and a device where a file is.
    fn check(&self) -> Result<()> {
        let Some(destination) = self.destination() else { return Ok(()) };
        let facts = facts_of_path(destination).ok().flatten();
        let is_device = facts.is_some_and(|facts| facts.node == FileKind::BlockDevice);
        let name = quoted(destination);
        match (self.into_device.is_some(), is_device) {
            (true, false) => Err(usage(format!(
                "--into-device: {name} is not a block device; --into-file writes to a file"
            ))),
            (false, true) => Err(usage(format!(
                "--into-file: {name} is a block device; --into-device with --to-device writes to it"
            ))),
            _ => Ok(()),
        }
    }
}

/// Standard input, as the source of a batch.
fn standard_input() -> Result<File> {
    sys::standard_input().map_err(|error| usage(format!("cannot use standard input: {error}")))
}

/// Copies what the list says to `destination`.
///
/// # Errors
///
/// An error that has not been printed.
pub fn run(
    args: &BatchArgs,
    destination: &Path,
    manifest: Manifest,
    unread: ManifestErrors,
    signals: &Signals,
) -> Result<Exit> {
    let OntoArgs { in_place, to_device, expect, map, wait, even_if_in_use, .. } = &args.onto;
    args.onto.check()?;
    let mut options = config::batch(&args.common).map_err(usage)?;
    (options.in_place, options.to_device) = (*in_place, *to_device);
    (options.wait, options.even_if_in_use) = (*wait, *even_if_in_use);
    options.map.clone_from(map);
    options.expected.clone_from(expect);
    let job = Onto::new(manifest.items, destination).unread(unread).options(options);
    let job = args.common.also.iter().fold(job, Onto::also);
    let job = match &args.source {
        Some(source) if is_standard_stream(source) => job.from_stream(standard_input()?),
        Some(source) => job.source(source),
        None => job,
    };
    let (common, progress) = (&args.common, Progress::new());
    let result = match common.dry_run {
        true => job.dry_run(&progress),
        false => watch::run(&common.output, &progress, signals, |progress, cancel| {
            job.run_watched(Watch::new(progress, cancel))
        }),
    };
    let style = render::Style::new(&common.output, common.dry_run);
    let list = args.manifest.as_deref().unwrap_or(Path::new("-"));
    match &result {
        Ok(report) => style.finished(report),
        Err(error) => style.failed(error, args.source.as_deref().unwrap_or(list), destination),
    }
    if let Ok(report) = &result
        && !common.dry_run
    {
        let asked = DigestArgs {
            digest: common.digest.clone(),
            digest_every: None,
            digest_file: None,
            expect: vec![],
        };
        let give_up = || signals.asked_to_stop();
        if let Err(message) = render::digests(report, &asked, common.output.json, &give_up) {
            render::problem(&message);
            return Ok(Exit::Failed);
        }
    }
    Ok(Exit::of(&result))
}
