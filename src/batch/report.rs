//! What became of each item, and of the batch.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::plan::BatchPlanned;
use super::why::{Why, told};
use crate::digest::Digest;
use crate::error::{Error, escaped_json};
use crate::manifest::Item;
use crate::report::{Confinement, FailedRange, Fallback, Outcome, Seconds};
use crate::tree::Tree;

/// Name and version of the JSON schema of a whole batch.
pub const SCHEMA: &str = "pcopy.batch/1";

/// What became of an item.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Status {
    /// Every byte is in place, under the final name; in a comparison, it is equal.
    Complete,
    /// An earlier run had completed it.
    Skipped,
    /// Some bytes could not be read and are holes; the rest is in place.
    Partial,
    /// A digest is not the expected one, or what was read back is not what was
    /// read from the source: nothing has the final name, or what had it before
    /// is another file.
    Mismatch,
    /// It could not be written: nothing has the final name, unless the error
    /// says that the name alone is not durable.
    Failed,
    /// The batch ended before it was its turn.
    NotTried,
}

impl Status {
    /// Whether the item is as it should be.
    pub fn is_good(self) -> bool {
        matches!(self, Status::Complete | Status::Skipped)
    }

    /// The higher, the further from what was wanted.
    pub(super) fn rank(self) -> u8 {
        match self {
            Status::Skipped => 0,
            Status::Complete => 1,
            Status::Partial => 2,
            Status::NotTried => 3,
            Status::Mismatch => 4,
            Status::Failed => 5,
        }
    }

    /// Whether this run has given the file its name.
    pub(super) fn is_named(self) -> bool {
        matches!(self, Status::Complete | Status::Partial)
    }
}

/// The report of one item: the fields of the manifest and what became of them.
/// As JSON it is one line of a report, which is itself a manifest for a retry.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct ItemReport<'a> {
    /// The item.
    #[serde(flatten)]
    pub item: &'a Item,
    /// What became of it.
    pub status: Status,
    /// Bytes of the item that are in the destination.
    pub bytes: u64,
    /// Digests of the item that were worked out.
    #[serde(serialize_with = "crate::report::by_algorithm")]
    pub digests: Vec<Digest>,
    /// What could not be read, in bytes of the source.
    pub failed: Vec<FailedRange>,
    /// Whether it was read back and is what was read from the source; `None` if
    /// that was not asked for, or it did not come to that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verified: Option<bool>,
    /// What went wrong.
    pub error: Option<String>,
    /// The same in a word that stays: [`ErrorKind::word`](crate::ErrorKind::word).
    pub error_kind: Option<&'static str>,
    /// From its first byte to its final name.
    pub seconds: f64,
    /// Where there are several folders: what became of it in each. The fields
    /// above then tell of the worst.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub folders: Vec<ItemInFolder<'a>>,
}

impl<'a> ItemReport<'a> {
    /// Of an item that has no bytes, such as a link.
    pub(crate) fn without_bytes(
        item: &'a Item,
        status: Status,
        why: Option<Why>,
    ) -> ItemReport<'a> {
        let (error, error_kind) = told(why);
        ItemReport {
            item,
            status,
            bytes: 0,
            digests: Vec::new(),
            failed: Vec::new(),
            verified: None,
            error,
            error_kind,
            seconds: 0.0,
            folders: Vec::new(),
        }
    }
}

/// What became of an item in one of several folders.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct ItemInFolder<'a> {
    /// The folder.
    #[serde(flatten, serialize_with = "crate::report::with_hex")]
    pub path: &'a Path,
    /// What became of it there.
    pub status: Status,
    /// See [`ItemReport::verified`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verified: Option<bool>,
    /// What went wrong.
    pub error: Option<String>,
    /// As [`ItemReport::error_kind`].
    pub error_kind: Option<&'static str>,
}

/// How many items ended in which way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Items {
    /// All of them.
    pub total: u64,
    /// See [`Status::Complete`].
    pub complete: u64,
    /// See [`Status::Skipped`].
    pub skipped: u64,
    /// See [`Status::Partial`].
    pub partial: u64,
    /// See [`Status::Mismatch`].
    pub mismatch: u64,
    /// See [`Status::Failed`].
    pub failed: u64,
    /// See [`Status::NotTried`].
    pub not_tried: u64,
}

impl Items {
    pub(crate) fn count(&mut self, status: Status) {
        let counter = match status {
            Status::Complete => &mut self.complete,
            Status::Skipped => &mut self.skipped,
            Status::Partial => &mut self.partial,
            Status::Mismatch => &mut self.mismatch,
            Status::Failed => &mut self.failed,
            Status::NotTried => &mut self.not_tried,
        };
        *counter += 1;
    }

    /// Items that nobody has heard of, as of outputs that nobody began, were not tried.
    pub(crate) fn complete_count(&mut self) {
        let Items { total, complete, skipped, partial, mismatch, failed, not_tried } = *self;
        self.not_tried = total - (complete + skipped + partial + mismatch + failed);
        debug_assert!(self.not_tried >= not_tried, "an item was counted twice");
    }

    /// Whether every item is as it should be.
    pub fn all_good(&self) -> bool {
        self.complete + self.skipped == self.total
    }
}

/// What a copy of folders has besides files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct TreeReport {
    /// Folders.
    pub folders: u64,
    /// Symbolic links. Each is an item.
    pub links: u64,
    /// Further names of files that have several. Each is an item.
    pub hard_links: u64,
    /// What was left out because it is none of these: pipes, sockets, devices.
    pub special: u64,
    /// Folders on other file systems that were not entered.
    pub mount_points: u64,
}

impl TreeReport {
    pub(super) fn of(tree: &Tree) -> TreeReport {
        TreeReport {
            folders: tree.folders.len() as u64,
            links: tree.links.len() as u64,
            hard_links: tree.names.len() as u64,
            special: tree.special.count,
            mount_points: tree.mount_points.count,
        }
    }
}

/// One of the items that took longest.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Slow {
    /// Its name.
    pub name: String,
    /// From its first byte to its final name.
    pub seconds: f64,
}

/// What became of one of several folders.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct FolderReport {
    /// The folder.
    #[serde(flatten, serialize_with = "crate::report::with_hex")]
    pub path: PathBuf,
    /// How it ended: `failed` if it was left out.
    pub outcome: Outcome,
    /// How many items ended in which way there.
    pub items: Items,
    /// Whether everything was on the disk when the batch ended.
    pub durable: bool,
    /// Why it was left out, if it was.
    pub error: Option<String>,
    /// The same in a word that stays: [`ErrorKind::word`](crate::ErrorKind::word).
    pub error_kind: Option<&'static str>,
}

/// What a batch did.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct BatchReport {
    /// Name and version of this schema.
    pub schema: &'static str,
    /// How the batch ended: `complete`, `partial` if some items failed, `mismatch`
    /// if a comparison found that some differ, or `planned` after a dry run.
    pub outcome: Outcome,
    /// Whether this was a dry run, which writes nothing.
    pub dry_run: bool,
    /// How many items ended in which way; where there are several folders, in the
    /// worst of them.
    pub items: Items,
    /// Where there are several folders: what became of each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub folders: Vec<FolderReport>,
    /// Of a copy of folders: what there is besides files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tree: Option<TreeReport>,
    /// Bytes moved by this run into files that got their names.
    pub bytes: u64,
    /// Bytes of these files that are holes and were not moved.
    pub holes: u64,
    /// Bytes of these files that an earlier run had copied.
    pub resumed: u64,
    /// Workers, at most at one time.
    pub threads: usize,
    /// Large files, and large fragments of files, by the engine that moved them.
    pub engines: BTreeMap<&'static str, u64>,
    /// Where an engine gave way, each once.
    pub fallbacks: Vec<Fallback>,
    /// Files that were read back, by the way: see [`Report::verified_by`](crate::Report::verified_by).
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub verified_by: BTreeMap<&'static str, u64>,
    /// Whether everything was on the disk when the batch ended.
    pub durable: bool,
    /// As [`Report::confined`](crate::Report::confined).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confined: Option<Confinement>,
    /// Things worth knowing that are not errors.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// The items that took longest, the longest first.
    pub slowest: Vec<Slow>,
    /// Time spent.
    pub seconds: Seconds,
    /// Bytes moved over the time spent.
    pub bytes_per_second: f64,
    /// What ended the batch early, if anything did.
    pub error: Option<String>,
    /// The same in a word that stays: [`ErrorKind::word`](crate::ErrorKind::word).
    pub error_kind: Option<&'static str>,
}

impl BatchReport {
    /// The report of a batch that ended before it knew what it would do, so that
    /// every batch has a report.
    pub fn of_error(error: &Error) -> BatchReport {
        BatchReport {
            error: Some(error.chain()),
            error_kind: Some(error.word()),
            ..BatchReport::of_nothing(error.outcome(), Items::default())
        }
    }

    /// The report of a batch of which nothing was begun.
    pub(crate) fn of_nothing(outcome: Outcome, items: Items) -> BatchReport {
        BatchReport {
            schema: SCHEMA,
            outcome,
            dry_run: false,
            items,
            folders: Vec::new(),
            tree: None,
            bytes: 0,
            holes: 0,
            resumed: 0,
            verified_by: BTreeMap::new(),
            threads: 0,
            engines: BTreeMap::new(),
            fallbacks: Vec::new(),
            durable: false,
            confined: Confinement::reported(),
            notes: Vec::new(),
            slowest: Vec::new(),
            seconds: Seconds::default(),
            bytes_per_second: 0.0,
            error: None,
            error_kind: None,
        }
    }

    /// The report as one JSON document without a newline at its end.
    pub fn to_json(&self) -> String {
        let document = serde_json::to_string(self);
        escaped_json(document.expect("a report holds nothing that JSON cannot express"))
    }
}

/// What a dry run found, as the report of a run that did nothing.
impl From<&BatchPlanned> for BatchReport {
    fn from(planned: &BatchPlanned) -> BatchReport {
        let (total, skipped) = (planned.items as u64, planned.skipped as u64);
        let items = Items { total, skipped, not_tried: total - skipped, ..Items::default() };
        BatchReport {
            dry_run: true,
            tree: planned.tree,
            notes: vec!["dry run: nothing was written".to_owned()],
            ..BatchReport::of_nothing(Outcome::Planned, items)
        }
    }
}
