//! Items whose file is there already with its full length. Those of which the
//! list gives a digest are read and compared with it: who named a digest wants
//! no file that has not got it, whoever made the file. Nothing is changed here.

use std::path::Path;

use super::commit::{algorithms_of, hash_range, mismatch};
use super::folders::walk;
use super::plan::BatchPlan;
use super::preflight::file_name;
use super::report::{ItemReport, Status};
use super::sources::Sources;
use super::tally::Tally;
use crate::cpu::Pool;
use crate::digest::Digest;
use crate::error::chain;
use crate::io::FileIo;
use crate::manifest::Item;
use crate::progress::{CancelToken, Phase, Watch};
use crate::range::ByteRange;
use crate::sys::{self, Directory, FileKind};

/// The items that an earlier run completed, each with its place in its file.
pub struct Skipped<'a>(Vec<(&'a Item, ByteRange)>);

impl<'a> Skipped<'a> {
    /// Those of `items` that `skipped` names.
    pub fn of(
        items: &'a [Item],
        skipped: &[bool],
        (plan, sources): (&BatchPlan, &Sources),
    ) -> Skipped<'a> {
        let row = |(row, item): (u32, &'a Item)| {
            (item, item.destination(sources.size(plan.source_of(row))).unwrap_or_default())
        };
        let rows = (0..).zip(items).filter(|&(row, _)| skipped[row as usize]).map(row);
        Skipped(rows.collect())
    }

    /// Reports each of them, which lie in `root`, to `tally`; at most `threads`
    /// are read at a time. A wish to stop ends it early, and is left to the
    /// caller to notice.
    pub fn report(
        &self,
        root: &Directory,
        tally: &Tally<'_>,
        threads: usize,
        Watch { progress, cancel }: Watch<'_>,
    ) {
        let (to_read, rest): (Vec<_>, Vec<_>) =
            self.0.iter().partition(|(item, _)| !item.expected().is_empty());
        for (item, _) in rest {
            tally.hear(&report_of(item, Status::Skipped, Vec::new(), None));
        }
        if to_read.is_empty() {
            return;
        }
        let bytes = to_read.iter().map(|(_, range)| range.len());
        progress.expect(bytes.fold(0, u64::saturating_add), 0);
        progress.enter(Phase::Verifying);
        // Work for processors, as well as for the disk.
        Pool::new(threads.min(to_read.len())).each(&to_read, |(item, range)| {
            tally.hear(&check(root, item, *range, cancel));
            progress.add_verified(range.len());
        });
    }
}

/// Compares what is there for `item` with what is expected of it.
fn check<'i>(
    root: &Directory,
    item: &'i Item,
    range: ByteRange,
    cancel: &CancelToken,
) -> ItemReport<'i> {
    let wanted = algorithms_of(item, &[]);
    let hashed = open(root, &item.name).and_then(|file| hash_range(&file, range, &wanted, cancel));
    let (status, digests, error) = match hashed {
        // The caller asked to stop.
        Ok(None) => (Status::NotTried, Vec::new(), None),
        Ok(Some(digests)) => match mismatch(item, &digests) {
            None => (Status::Skipped, digests, None),
            Some(what) => {
                let why = format!(
                    "of the file that is there, {what}; without that file the item is copied"
                );
                (Status::Mismatch, digests, Some(why))
            }
        },
        Err(error) => {
            let why = format!("the file that is there cannot be read: {}", chain(&error));
            (Status::Failed, Vec::new(), Some(why))
        }
    };
    report_of(item, status, digests, error)
}

fn open(root: &Directory, name: &Path) -> std::io::Result<FileIo> {
    let directory = walk(root, name.parent().unwrap_or(Path::new("")), false)?;
    let file = directory.open_to_read(file_name(name))?;
    let facts = sys::facts(&file)?;
    match facts.node {
        FileKind::File => Ok(FileIo::new(file, facts.size)),
        _ => Err(std::io::Error::other("it is no file any more")),
    }
}

fn report_of(
    item: &Item,
    status: Status,
    digests: Vec<Digest>,
    error: Option<String>,
) -> ItemReport<'_> {
    ItemReport { item, status, bytes: 0, digests, failed: Vec::new(), error, seconds: 0.0 }
}
