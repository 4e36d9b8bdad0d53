//! A batch that several processes do, each some of its items: what all of them must
//! find alike, and the part of one process. Its files are written under names that
//! only one claim has, and get their own names only as long as that claim holds, so
//! that a process that stood still never writes to what another one has made since.
//!
//! Who has which items, and what is done, is decided elsewhere.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use serde::Serialize;

use super::beside::Beside;
use super::job::Batch;
use super::moving::check_sizes;
use super::named::{Keeping, Named};
use super::outputs::{OpenFolder, Outputs};
use super::plan::BatchPlan;
use super::preflight::{file_name, open_root};
use super::report::{ItemReport, TreeReport};
use super::tally::Tally;
use super::tree::Branches;
use crate::digest::{Algorithm, hash_slice};
use crate::durable::part::{self, Found, Ours};
use crate::durable::previous::Leftovers;
use crate::durable::side;
use crate::durable::target::{PART_SUFFIX, sibling_name};
use crate::endpoint::absolute;
use crate::error::{ErrorKind, Result, SourceChange};
use crate::io::guarded::Guard;
use crate::manifest::{Item, Runs};
use crate::options::Options;
use crate::progress::{CancelToken, Progress};
use crate::tree::Tree;
use crate::tree::folders::{Folders, walk};

/// What a batch writes by, of which other processes do other parts.
#[derive(Clone)]
pub(crate) struct Claim {
    /// Only this claim has it: see [`suffix`].
    pub suffix: Arc<str>,
    /// Whether files may get their names.
    pub guard: Guard,
    /// What the source of each item was when the job was planned.
    pub states: Vec<u64>,
}

impl Claim {
    /// Whether files in the folder at `path` may get their names.
    ///
    /// # Errors
    ///
    /// That the claim does not hold any more.
    pub fn check(&self, path: &Path) -> Result<()> {
        let step = "give files their names in";
        let failed = |source| ErrorKind::Destination { step, path: path.to_owned(), source };
        Ok((self.guard)().map_err(failed)?)
    }
}

impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claim").field("suffix", &self.suffix).finish_non_exhaustive()
    }
}

/// What a file is called behind its name while it is written by the claim number
/// `generation` to shard `shard` of the job that is called `tag`.
pub(crate) fn suffix(tag: &str, shard: u32, generation: u32) -> String {
    format!(".{tag}-{shard}-{generation}{PART_SUFFIX}")
}

/// What all processes must find alike.
pub(crate) struct Survey {
    /// The files that are to be made, in the order of the list.
    pub files: Vec<SurveyedFile>,
    /// What the source of each item is now.
    pub states: Vec<u64>,
    /// All there is to do, a line of JSON each.
    pub tasks: Vec<u8>,
}

/// A file that is to be made.
pub(crate) struct SurveyedFile {
    /// The items that are in it.
    pub rows: Vec<u32>,
    /// Bytes that are copied into it.
    pub bytes: u64,
}

/// A line of the tasks.
#[derive(Serialize)]
struct Task<'a> {
    #[serde(flatten)]
    item: &'a Item,
    /// What there is besides files.
    #[serde(skip_serializing_if = "Option::is_none")]
    makes: Option<&'static str>,
    /// What its source was when the job was planned.
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<String>,
}

impl Batch {
    /// Looks at every source once, and at nothing that is written.
    ///
    /// # Errors
    ///
    /// If the list or a source is refused.
    pub(crate) fn survey(&self, cancel: &CancelToken) -> Result<Survey> {
        self.options.check()?;
        check_sizes(&self.options)?;
        let keeping = Keeping { stay_open: self.handles().sources, any_state: true };
        let named = self.named(keeping, cancel)?;
        self.check_manifest(&named)?;
        let states: Vec<u64> =
            (0..).zip(&self.items).map(|(row, item)| state(&named, row, item)).collect();
        let together = self.together(self.request_size());
        let source_of = |row: usize, item: &Item| named.of(row, item);
        let (skip, missing) = (|_: usize| false, |_: usize| None);
        let count = named.sources.len();
        let (plan, wanted) =
            BatchPlan::new(&self.items, source_of, skip, missing, count, together)?;
        let file = |(output, bytes)| SurveyedFile { rows: plan.rows(output).to_vec(), bytes };
        let files = (0..).zip(wanted.iter().map(|file| file.bytes)).map(file).collect();
        Ok(Survey { files, tasks: self.tasks(&states), states })
    }

    fn tasks(&self, states: &[u64]) -> Vec<u8> {
        let mut text = Vec::new();
        let mut line = |item: &Item, makes, state: Option<u64>| {
            let named = item.source.as_deref().or(self.source.as_deref());
            let item = match named {
                Some(source) if crate::address::scheme(source).is_none() => {
                    item.clone().of(absolute(source))
                }
                Some(source) => item.clone().of(source),
                None => item.clone(),
            };
            let state = state.map(|state| format!("{state:016x}"));
            let task = Task { item: &item, makes, state };
            text.extend(serde_json::to_vec(&task).unwrap_or_default());
            text.push(b'\n');
        };
        for (item, state) in self.items.iter().zip(states) {
            line(item, None, Some(*state));
        }
        if let Some(tree) = &self.tree {
            let folder = |name: &Path| Item::new(name, Runs::One(crate::ByteRange::to(0)));
            tree.folders.iter().for_each(|it| line(&folder(&it.name), Some("folder"), None));
            for link in &tree.links {
                line(&link.item, Some("link"), Some(hash(&format!("{:?}", link.facts.modified))));
            }
            tree.names.iter().for_each(|name| line(&name.item, Some("hard_link"), None));
        }
        text
    }

    /// The items with these numbers alone, written as `options` say, and by `claim` if
    /// others write the rest.
    pub(crate) fn part(&self, rows: &[u32], claim: Option<Claim>, options: Options) -> Batch {
        let items = rows.iter().map(|&row| self.items[row as usize].clone()).collect();
        let of_rows = |tree: &Tree| Tree {
            roots: tree.roots.clone(),
            origins: rows.iter().map(|&row| tree.origins[row as usize].clone()).collect(),
            ..Tree::default()
        };
        Batch {
            items,
            unread: crate::manifest::ManifestErrors::default(),
            into: self.into.clone(),
            make_into: self.make_into,
            source: self.source.clone(),
            options,
            beside: Beside::default(),
            far: OnceLock::new(),
            tree: self.tree.as_ref().map(of_rows),
            claim,
        }
    }

    /// The number of `item`, if it is one of those that have bytes.
    pub(crate) fn row_of(&self, item: &Item) -> Option<u32> {
        // Where it is in memory says it: names may be of several items.
        let from = std::ptr::from_ref(item).addr().checked_sub(self.items.as_ptr().addr())?;
        let row = from / size_of::<Item>();
        u32::try_from(row).ok().filter(|_| row < self.items.len())
    }

    /// Refuses sources that are not what they were when the job was planned.
    pub(super) fn check_states(&self, named: &Named<'_>) -> Result<()> {
        let Some(claim) = &self.claim else { return Ok(()) };
        if self.options.allow_changed_source {
            return Ok(());
        }
        for ((row, item), before) in (0..).zip(&self.items).zip(&claim.states) {
            if state(named, row, item) != *before {
                let path = named.sources.path(named.of(row, item).0).to_owned();
                let reason = "it is not what it was when the job was planned".to_owned();
                let change = SourceChange::Unknown { reason };
                return Err(ErrorKind::SourceChanged { path, change }.into());
            }
        }
        Ok(())
    }

    /// Makes the folders of a copy of folders, as far as they are not there.
    ///
    /// # Errors
    ///
    /// If the directory that they go to cannot be had.
    pub(crate) fn make_folders(&self, options: &Options) -> Result<()> {
        self.around(options, &|_| {}, |branches| {
            branches.begin();
            Ok(())
        })
        .map(drop)
    }

    /// Makes what a copy of folders has behind its files, of which those `incomplete`
    /// are not what they should be. `on_item` hears of what has no bytes. What is there
    /// already is kept. Notes, a sentence each.
    ///
    /// # Errors
    ///
    /// As of [`make_folders`](Batch::make_folders), and [`ErrorKind::Sync`].
    pub(crate) fn end_folders(
        &self,
        options: &Options,
        incomplete: &[u32],
        on_item: &(dyn Fn(&ItemReport<'_>) + Sync),
    ) -> Result<Vec<String>> {
        self.around(options, on_item, |branches| {
            incomplete.iter().for_each(|&row| branches.miss(&self.items[row as usize].name));
            branches.begin();
            branches.end()
        })
    }

    fn around(
        &self,
        options: &Options,
        on_item: &(dyn Fn(&ItemReport<'_>) + Sync),
        step: impl FnOnce(&Branches<'_, '_>) -> Result<()>,
    ) -> Result<Vec<String>> {
        let Some(tree) = &self.tree else { return Ok(Vec::new()) };
        let path = self.into[0].clone();
        let directory = open_root(&path, self.make_into, &OnceLock::new())?;
        let root = OpenFolder { number: 0, directory, path };
        let options = Options { leftovers: Leftovers::Resume, ..options.clone() };
        let outputs = Outputs::new(root, Vec::new(), self.earlier(), self.handles(), options.sync);
        let progress = Progress::new();
        let tally = Tally::new(self.item_count(), &self.into, &progress, on_item);
        let branches = Branches::new(tree, &self.items, &outputs, &options, &tally);
        step(&branches)?;
        Ok(Branches::into_notes(vec![branches]))
    }

    /// What a copy of folders has besides files.
    pub(crate) fn tree_report(&self) -> Option<TreeReport> {
        self.tree.as_ref().map(TreeReport::of)
    }

    /// How many items there are, with those that have no bytes.
    pub(crate) fn all_items(&self) -> u64 {
        self.item_count() as u64
    }

    /// The options that were set.
    pub(crate) fn shared_options(&self) -> &Options {
        &self.options
    }

    /// The same batch as `options` say.
    pub(crate) fn alike(&self, options: Options) -> Batch {
        let rows: Vec<u32> = (0..).take(self.items.len()).collect();
        let mut batch = self.part(&rows, None, options);
        batch.unread = self.unread.clone();
        batch.beside = self.beside.clone();
        batch
    }

    /// The source of `item`, by its name.
    pub(crate) fn source_of(&self, item: &Item) -> Option<PathBuf> {
        item.source.as_deref().or(self.source.as_deref()).map(Path::to_owned)
    }

    /// Makes the directory that files go to, if it is missing and may be made.
    ///
    /// # Errors
    ///
    /// A [`Refusal`](crate::Refusal).
    pub(crate) fn make_root(&self) -> Result<()> {
        open_root(&self.into[0], self.make_into, &OnceLock::new()).map(drop)
    }

    /// Makes the directory that the file of item `row` lies in, as far as it is missing.
    ///
    /// # Errors
    ///
    /// If it cannot be made, or leads out.
    pub(crate) fn make_folder_of(&self, row: u32) -> Result<()> {
        let path = &self.into[0];
        let root = open_root(path, self.make_into, &OnceLock::new())?;
        let name = &*self.items[row as usize].name;
        let parent = name.parent().unwrap_or(Path::new(""));
        walk(&root, parent, true).map(drop).map_err(|source| {
            ErrorKind::Destination { step: "make", path: path.join(parent), source }.into()
        })
    }

    /// The item number `row`.
    pub(crate) fn item(&self, row: u32) -> Option<&Item> {
        self.items.get(row as usize)
    }

    /// The directory that files go to, and whether it is the only one.
    pub(crate) fn only_folder(&self) -> Option<&Path> {
        let [only] = &self.into[..] else { return None };
        Some(only)
    }

    /// Removes what processes that ended have left of the items `rows`: files with one of
    /// these suffixes, which nobody else gives. Best effort: what stays takes room only.
    pub(crate) fn remove_drafts(&self, rows: &[u32], suffixes: &[String]) {
        let Ok(root) = open_root(&self.into[0], false, &OnceLock::new()) else { return };
        let folders = Folders::new(root, self.handles().directories);
        for &row in rows {
            let name = &*self.items[row as usize].name;
            let parent = name.parent().unwrap_or(Path::new(""));
            let Ok(directory) = folders.at(parent, false) else { continue };
            for suffix in suffixes {
                let draft = sibling_name(file_name(name), suffix);
                // One that somebody still writes is removed by that process.
                if let Ok(Found::Left(file, facts)) = part::find(&directory, &draft) {
                    let ours = Ours { file: &file, facts: &facts };
                    let _ = side::remove(&directory, &draft, ours);
                }
            }
        }
    }
}

/// What shows that the source of an item is not what it was.
fn state(named: &Named<'_>, row: usize, item: &Item) -> u64 {
    let (number, size) = named.of(row, item);
    hash(&format!("{size} {}", named.sources.state(number)))
}

fn hash(text: &str) -> u64 {
    let digest = hash_slice(Algorithm::Xxh3, text.as_bytes());
    let bytes = digest.bytes().first_chunk::<8>().copied().unwrap_or_default();
    u64::from_be_bytes(bytes)
}
