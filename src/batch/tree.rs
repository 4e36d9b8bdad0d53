//! What a copy of folders makes besides files: folders before the files, links
//! and further names behind them, and at last what folders have besides their
//! names, those below first: whatever is made in a folder changes its time.
//!
//! `preflight` refuses what stands in the way of them.

mod comparison;
mod links;
mod preflight;

pub(super) use comparison::{Place, compare};
pub(super) use preflight::{Standing, in_the_way};

use std::collections::HashSet;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::job::Batch;
use super::outputs::Outputs;
use super::report::{ItemReport, Status};
use super::tally::Tally;
use super::why::{DESTINATION, Why};
use crate::durable::previous::Leftovers;
use crate::error::{ErrorKind, Result, chain, quoted};
use crate::manifest::Item;
use crate::options::Options;
use crate::preserve;
use crate::progress::lock;
use crate::sync::Mutex;
use crate::sys::{self, Directory, Metadata};
use crate::tree::{Folder, Omitted, Tree};

/// The mode of a folder while it is filled, where it will get owner and mode of
/// another.
const PRIVATE: u32 = 0o700;

/// Bits of a mode that a folder has from its source. The others are those of a
/// group, which it has from the folder that it is made in.
const BITS: u32 = 0o1777;

impl Batch {
    /// Copies the files, folders and links of `tree` to the directory `into`,
    /// which must be there. Folders that are there already are filled. What is
    /// neither file, folder nor symbolic link is left out, which a note counts.
    ///
    /// With [`preserve`](Batch::preserve), folders and links get what files get.
    pub fn of_tree(mut tree: Tree, into: impl Into<PathBuf>) -> Batch {
        let files = std::mem::take(&mut tree.files);
        let mut batch = Batch::new(files, into).make_into(false);
        batch.tree = Some(tree);
        batch
    }

    /// Items in all: files and links, and what could not be looked at.
    pub(super) fn item_count(&self) -> usize {
        let more = |tree: &Tree| tree.links.len() + tree.names.len() + tree.lost.len();
        self.items.len() + self.tree.as_ref().map_or(0, more)
    }
}

/// The folders and links of a batch, while it runs.
pub(super) struct Branches<'a, 't> {
    tree: &'t Tree,
    items: &'t [Item],
    outputs: &'a Outputs,
    options: &'a Options,
    tally: Telling<'a, 't>,
    /// Files that further names lead to, and that are not what they should be.
    incomplete: Mutex<HashSet<Box<Path>>>,
    first_of_many: HashSet<&'t Path>,
    /// Folders that were there before, and have a mode of their own.
    standing: Mutex<HashSet<usize>>,
    notes: Mutex<Vec<String>>,
}

impl<'a, 't> Branches<'a, 't> {
    /// Of `tree`, whose files are `items`, in the folder of `outputs`.
    pub fn new(
        tree: &'t Tree,
        items: &'t [Item],
        outputs: &'a Outputs,
        options: &'a Options,
        tally: &'a Tally<'t>,
    ) -> Branches<'a, 't> {
        let tally = Telling { tally, folder: outputs.number(), files: items.len() };
        let first_of_many = tree.names.iter().map(|name| &*items[name.file].name).collect();
        Branches {
            tree,
            items,
            outputs,
            options,
            tally,
            incomplete: Mutex::default(),
            first_of_many,
            standing: Mutex::default(),
            notes: Mutex::default(),
        }
    }

    /// Hears of a file that has ended.
    pub fn hear(&self, report: &ItemReport<'_>) {
        if !report.status.is_good() {
            self.miss(&report.item.name);
        }
    }

    /// A file that has `name` is not what it should be.
    pub fn miss(&self, name: &Path) {
        if self.first_of_many.contains(name) {
            lock(&self.incomplete).insert(name.into());
        }
    }

    /// Makes the folders, and tells of what could not be looked at.
    pub fn begin(&self) {
        for (number, lost) in self.tree.lost.iter().enumerate() {
            self.tell(number, &lost.item, Err(io::Error::other(lost.why.clone())));
        }
        for (number, folder) in self.tree.folders.iter().enumerate() {
            match self.make(folder) {
                Ok(true) => {}
                // Made by this run or an earlier one, it gets the mode that it is to have.
                Ok(false) if keeps(self.options) => {}
                Ok(false) => drop(lock(&self.standing).insert(number)),
                Err(error) => self.tell_of_folder(folder, "cannot make the folder", &error),
            }
        }
    }

    /// Makes a folder; whether it was not there.
    fn make(&self, folder: &Folder) -> io::Result<bool> {
        let Some((directory, name)) = self.place(&folder.name)? else { return Ok(false) };
        let mode = if self.options.preserve { PRIVATE } else { folder.facts.mode & BITS | PRIVATE };
        let made = directory.make_directory(name, mode)?;
        // Not a link: anybody may have made it.
        directory.subdirectory(name)?;
        Ok(made)
    }

    /// The directory that `name` lies in, and its name there; `None` for the
    /// directory of the batch.
    fn place<'n>(&self, name: &'n Path) -> io::Result<Option<(Arc<Directory>, &'n OsStr)>> {
        let Some(leaf) = name.file_name() else { return Ok(None) };
        Ok(Some((self.outputs.directory_of(name, false)?, leaf)))
    }

    /// Makes the links and further names, when all files have theirs, and gives
    /// the folders what they have besides. All of it becomes durable, if that is
    /// wanted.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Sync`].
    pub fn end(&self) -> Result<()> {
        let first = self.tree.lost.len();
        for (number, link) in (first..).zip(&self.tree.links) {
            self.tell(number, &link.item, self.make_link(link));
        }
        for (number, name) in (first + self.tree.links.len()..).zip(&self.tree.names) {
            self.tell(number, &name.item, self.make_name(name));
        }
        for (number, folder) in self.tree.folders.iter().enumerate().rev() {
            if let Err(error) = self.finish(folder, lock(&self.standing).contains(&number)) {
                self.tell_of_folder(folder, "cannot finish the folder", &error);
            }
        }
        self.sync()
    }

    /// Gives a folder what its source has besides its name. One that was there
    /// before keeps its mode, unless all is to be as in the source.
    fn finish(&self, folder: &Folder, was_there: bool) -> io::Result<()> {
        let Folder { facts, name, .. } = folder;
        if self.options.preserve {
            let to = self.outputs.folders.at(name, false)?.to_file()?;
            let lost = match self.source_of(folder) {
                Ok(from) => preserve::carry_over(&from, facts, &to),
                Err(error) => {
                    let why = format!("extended attributes of {}", quoted(&**name));
                    let mut lost = preserve::carry_over_facts(facts, &to);
                    lost.insert(0, format!("{why} could not be preserved: {}", chain(&error)));
                    lost
                }
            };
            self.note(lost);
            return Ok(());
        }
        // Only what could not be filled with the mode that it is to have.
        if facts.mode & PRIVATE != PRIVATE && !was_there {
            let to = self.outputs.folders.at(name, false)?.to_file()?;
            let now = sys::facts(&to)?.mode;
            let bits = facts.mode & BITS & (self.outputs.left_by_umask | !0o777);
            if now & BITS == (bits | PRIVATE) {
                sys::set_mode(&to, now & !BITS | bits)?;
            }
        }
        Ok(())
    }

    /// The folder that is copied, if it is still that.
    fn source_of(&self, folder: &Folder) -> io::Result<std::fs::File> {
        let root = &self.tree.roots[folder.root as usize];
        let directory = root.directories.at(root.place(&folder.name), false)?;
        match directory.own_facts()?.same_thing(&folder.facts) {
            true => directory.to_file(),
            false => Err(io::Error::other("somebody put another one in its place")),
        }
    }

    /// What was made besides files becomes durable, if that is wanted.
    fn sync(&self) -> Result<()> {
        let Some(group) = self.outputs.group_sync() else { return Ok(()) };
        let failed = |name: &Path, source| {
            let path = self.outputs.path(name);
            ErrorKind::Sync { path, source }
        };
        self.outputs.sync_all().map_err(|source| failed(Path::new(""), source))?;
        let root = self.outputs.folders.root().own_facts().map(|facts| facts.device).ok();
        for folder in &self.tree.folders {
            // What cannot be had has been told.
            let Ok(directory) = self.outputs.folders.at(&folder.name, false) else { continue };
            let is_covered = group.covers_files()
                && directory.own_facts().is_ok_and(|facts| Some(facts.device) == root);
            if is_covered {
                continue;
            }
            directory.sync().map_err(|source| failed(&folder.name, source))?;
        }
        if !group.covers_files() {
            let root = self.outputs.folders.root();
            root.sync().map_err(|source| failed(Path::new(""), source))?;
        }
        Ok(())
    }

    /// Tells what became of an item that has no bytes, which is number `number` of those.
    fn tell(&self, number: usize, item: &'t Item, ended: io::Result<Status>) {
        let (status, why) = match ended {
            Ok(status) => (status, None),
            Err(error) => (Status::Failed, Some(Why::of_io(DESTINATION, &error))),
        };
        self.tally.hear(number, ItemReport::without_bytes(item, status, why));
    }

    /// A folder is not an item unless it fails.
    fn tell_of_folder(&self, folder: &Folder, what: &str, error: &io::Error) {
        let root = &self.tree.roots[folder.root as usize];
        let item = Item::new(&folder.name, crate::manifest::Runs::Whole);
        let item = item.of(root.path.join(root.place(&folder.name)));
        let why = Why::of_io(DESTINATION, error).said(|text| format!("{what}: {text}"));
        self.tally.hear_of_folder(ItemReport::without_bytes(&item, Status::Failed, Some(why)));
    }

    fn note(&self, notes: impl IntoIterator<Item = String>) {
        let mut known = lock(&self.notes);
        for note in notes {
            if !known.contains(&note) {
                known.push(note);
            }
        }
    }

    /// What was left out, or could not be preserved in any of the folders, a sentence
    /// each.
    pub fn into_notes(all: Vec<Branches<'_, '_>>) -> Vec<String> {
        let mut notes = Vec::new();
        for branches in all {
            let more = branches.notes.into_inner();
            let more = more.unwrap_or_else(std::sync::PoisonError::into_inner);
            for note in omitted(branches.tree).into_iter().chain(more) {
                if !notes.contains(&note) {
                    notes.push(note);
                }
            }
        }
        notes
    }
}

/// Tells what becomes, in one folder, of what has no bytes.
struct Telling<'a, 't> {
    tally: &'a Tally<'t>,
    folder: usize,
    /// Files come first in the count of items.
    files: usize,
}

impl<'t> Telling<'_, 't> {
    /// Item `number` of those without bytes is over.
    fn hear(&self, number: usize, report: ItemReport<'t>) {
        // More than can be counted would be more than fits into memory.
        let row = u32::try_from(self.files + number).unwrap_or(u32::MAX);
        self.tally.hear(self.folder, row, report);
    }

    /// A folder fails, or differs, and so is an item.
    fn hear_of_folder(&self, report: ItemReport<'_>) {
        self.tally.hear_of_one_more(self.folder, report);
    }
}

/// What of `tree` is left out, a sentence each.
pub(super) fn omitted(tree: &Tree) -> Vec<String> {
    let say = |omitted: &Omitted, what: &str| {
        let (path, is) = omitted.first.as_ref()?;
        Some(match omitted.count {
            1 => format!("{what}: {} ({is})", quoted(path)),
            more => format!("{what}: {} ({is}) and {} more", quoted(path), more - 1),
        })
    };
    let special = say(&tree.special, "left out: only files, folders and links are copied");
    let mounted = say(&tree.mount_points, "left empty");
    special.into_iter().chain(mounted).collect()
}

/// Whether what an earlier run made is kept.
fn keeps(options: &Options) -> bool {
    options.leftovers == Leftovers::Resume && !options.force
}

/// Whether both are one file.
fn is_same(one: Option<&Metadata>, other: &Metadata) -> bool {
    one.is_some_and(|one| one.same_thing(other))
}
