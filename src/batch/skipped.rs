//! Items whose file is there already with its full length. Those of which the
//! list gives a digest are read and compared with it, because a file with
//! another digest is not the one that was asked for. If digests of all items are
//! wanted, all are read; if files are verified, they are compared with their
//! sources as well. Nothing is changed here.

use std::path::Path;
use std::sync::Arc;

use super::assembled::{Assembled, Run};
use super::commit::{algorithms_of, hash_range, mismatch};
use super::ending::data_of;
use super::plan::BatchPlan;
use super::preflight::file_name;
use super::proof::{Proof, Subject, first_difference, why_not};
use super::report::{ItemReport, Status};
use super::sources::Sources;
use super::tally::Tally;
use super::why::{READ, Why, told};
use crate::cpu::Pool;
use crate::digest::{Algorithm, Digest};
use crate::error::{ErrorKind, Result};
use crate::io::FileIo;
use crate::manifest::Item;
use crate::progress::{CancelToken, Phase, Watch};
use crate::range::{ByteRange, RangeSet};
use crate::sys::{self, Directory, FileKind};
use crate::tree::folders::walk;
use crate::verify::compare::Findings;

/// The items that an earlier run completed.
pub struct Skipped<'i, 'a> {
    rows: Vec<Row<'i>>,
    sources: &'a Sources,
    /// How they are compared, if they are.
    proof: Option<&'a Proof<'a>>,
    /// Digests that are wanted of each.
    algorithms: &'a [Algorithm],
}

/// An item, and where it is.
#[derive(Clone, Copy)]
pub struct Row<'a> {
    /// Its number.
    pub number: u32,
    /// The item.
    pub item: &'a Item,
    /// The number of its source.
    pub source: u32,
    /// Its place in its file.
    pub range: ByteRange,
}

impl<'i, 'a> Skipped<'i, 'a> {
    /// Those of `items` that `skipped` names.
    pub fn of(
        items: &'i [Item],
        skipped: &[bool],
        plan: &BatchPlan,
        sources: &'a Sources,
        proof: Option<&'a Proof<'a>>,
        algorithms: &'a [Algorithm],
    ) -> Skipped<'i, 'a> {
        let row = |(row, item): (u32, &'i Item)| {
            let source = plan.source_of(row);
            let range = item.destination(sources.size(source)).unwrap_or_default();
            Row { number: row, item, source, range }
        };
        let rows = (0..).zip(items).filter(|&(row, _)| skipped[row as usize]).map(row);
        Skipped { rows: rows.collect(), sources, proof, algorithms }
    }

    /// Reports each of them, which lie in `root`, as those of `folder` to `tally`; at
    /// most `threads` are read at a time. A wish to stop ends it early, and is left to the
    /// caller to notice.
    pub fn report(
        &self,
        folder: usize,
        root: &Directory,
        tally: &Tally<'i>,
        threads: usize,
        Watch { progress, cancel }: Watch<'_>,
    ) {
        let all = self.proof.is_some() || !self.algorithms.is_empty();
        let is_read = |row: &&Row<'_>| all || !row.item.expected().is_empty();
        let (to_read, rest): (Vec<&Row<'_>>, Vec<&Row<'_>>) = self.rows.iter().partition(is_read);
        for row in rest {
            tally.hear(folder, row.number, report_of(row.item, Checked::good(Vec::new())));
        }
        if to_read.is_empty() {
            return;
        }
        let bytes = to_read.iter().map(|row| row.range.len());
        progress.expect(Some(bytes.fold(0, u64::saturating_add)), 0);
        progress.enter(Phase::Verifying);
        // Work for processors, as well as for the disk.
        Pool::new(threads.min(to_read.len())).each(&to_read, |row| {
            let checked = self.check(root, row, cancel);
            let checked = checked.unwrap_or_else(|error| unreadable(&error));
            tally.hear(folder, row.number, report_of(row.item, checked));
            if self.proof.is_none() {
                progress.add_verified(row.range.len());
            }
        });
    }

    /// Compares what is there for an item with what is expected of it.
    fn check(
        &self,
        root: &Directory,
        row: &Row<'_>,
        cancel: &CancelToken,
    ) -> std::io::Result<Checked> {
        let wanted = algorithms_of(row.item, self.algorithms);
        let file = Arc::new(open(root, &row.item.name)?);
        let Some(digests) = hash_range(&file, row.range, &wanted, cancel)? else {
            return Ok(Checked::stopped());
        };
        if let Some(what) = mismatch(row.item, &digests) {
            return Ok(Checked::other(digests, what, None));
        }
        let Some(proof) = self.proof else { return Ok(Checked::good(digests)) };
        let (findings, ended) = compare(proof, self.sources, row, &file, 1);
        Ok(match (first_difference(&findings, row.range), ended) {
            (Some(what), _) => Checked::other(digests, what, Some(false)),
            (None, Ok(())) => Checked { verified: Some(true), ..Checked::good(digests) },
            (None, Err(error)) if matches!(error.kind(), ErrorKind::Cancelled) => {
                Checked::stopped()
            }
            (None, Err(error)) => {
                let why = Some(why_not(&error));
                Checked { status: Status::Failed, why, ..Checked::good(digests) }
            }
        })
    }
}

/// Compares the place of an item in `file` with its source, with so many readers.
pub fn compare(
    proof: &Proof<'_>,
    sources: &Sources,
    row: &Row<'_>,
    file: &Arc<FileIo>,
    threads: usize,
) -> (Findings, Result<()>) {
    // What is still on its way to the disk cannot be read from there. Where
    // that is not allowed, requests past the cache see to it.
    let _ = file.as_file().sync_data();
    let Row { source, item, range, .. } = *row;
    let runs = data_of(item, sources.size(source)).map(|(range, at)| Run { source, range, at });
    let expected = &Assembled::new(sources, runs, range.end());
    let ranges = &RangeSet::from(range);
    proof.compare(file, &Subject { expected, ranges, fingerprints: &[], threads })
}

/// What was found of an item.
struct Checked {
    status: Status,
    digests: Vec<Digest>,
    verified: Option<bool>,
    why: Option<Why>,
}

impl Checked {
    fn good(digests: Vec<Digest>) -> Checked {
        Checked { status: Status::Skipped, digests, verified: None, why: None }
    }

    /// The caller asked to stop.
    fn stopped() -> Checked {
        Checked { status: Status::NotTried, ..Checked::good(Vec::new()) }
    }

    fn other(digests: Vec<Digest>, what: Why, verified: Option<bool>) -> Checked {
        let why = what.said(|what| {
            format!("of the file that is there, {what}; without that file the item is copied")
        });
        Checked { status: Status::Mismatch, digests, verified, why: Some(why) }
    }
}

fn unreadable(error: &std::io::Error) -> Checked {
    let why = Why::of_io(READ, error);
    let why = why.said(|text| format!("the file that is there cannot be read: {text}"));
    Checked { status: Status::Failed, why: Some(why), ..Checked::good(Vec::new()) }
}

/// The file `name` below `root`, to be read.
///
/// # Errors
///
/// If it cannot be opened, or is none.
pub fn open(root: &Directory, name: &Path) -> std::io::Result<FileIo> {
    let directory = walk(root, name.parent().unwrap_or(Path::new("")), false)?;
    let file = directory.open_to_read(file_name(name))?;
    let facts = sys::facts(&file)?;
    match facts.node {
        FileKind::File => Ok(FileIo::new(file, facts.size)),
        _ => Err(std::io::Error::other("it is not a file any more")),
    }
}

fn report_of(item: &Item, checked: Checked) -> ItemReport<'_> {
    let Checked { status, digests, verified, why } = checked;
    let (error, error_kind) = told(why);
    ItemReport {
        item,
        status,
        bytes: 0,
        digests,
        failed: Vec::new(),
        verified,
        error,
        error_kind,
        seconds: 0.0,
        folders: Vec::new(),
    }
}
