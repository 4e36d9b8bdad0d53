//! Whether folders and links are there as a copy would have made them: nothing is
//! written. Files are compared elsewhere.

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::super::why::{DIFFERS, READ, Why};
use super::{Telling, is_same};
use crate::batch::report::{ItemReport, Status};
use crate::batch::tally::Tally;
use crate::error::quoted;
use crate::manifest::{Item, Runs};
use crate::preserve::{self, Known};
use crate::progress::CancelToken;
use crate::sys::{Directory, FileKind, Metadata};
use crate::tree::folders::Folders;
use crate::tree::{Folder, FurtherName, Named, Tree};

/// Directories that stay open.
const MOST_OPEN: usize = 64;

/// A folder that is compared with.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    /// The number of the folder.
    pub number: usize,
    /// Open.
    pub directory: &'a Directory,
}

/// Compares what there is besides files, below `root`, and tells `tally`. With
/// `preserve`, owners, modes, times and attributes are compared as well.
pub fn compare<'t>(
    tree: &'t Tree,
    items: &'t [Item],
    root: Place<'_>,
    preserve: bool,
    tally: &Tally<'t>,
    cancel: &CancelToken,
) {
    let tally = Telling { tally, folder: root.number, files: items.len() };
    let judge = |found: io::Result<Option<String>>| match found {
        _ if cancel.is_cancelled() => (Status::NotTried, None),
        Ok(None) => (Status::Complete, None),
        Ok(Some(what)) => (Status::Mismatch, Some(Why::new(DIFFERS, what))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            (Status::Mismatch, Some(Why::new(DIFFERS, NOT_THERE)))
        }
        Err(error) => (Status::Failed, Some(Why::of_io(READ, &error))),
    };
    let hear = |number: usize, item: &'t Item, found: io::Result<Option<String>>| {
        let (status, error) = judge(found);
        tally.hear(number, ItemReport::without_bytes(item, status, error));
    };
    for (number, lost) in tree.lost.iter().enumerate() {
        hear(number, &lost.item, Err(io::Error::other(lost.why.clone())));
    }
    let Ok(root) = root.directory.subdirectory(OsStr::new(".")) else { return };
    let there = There { tree, items, preserve, directories: Folders::new(root, MOST_OPEN) };
    for folder in &tree.folders {
        // A folder is not an item unless it differs.
        let found = there.folder(folder);
        if !matches!(found, Ok(None)) {
            let root = &tree.roots[folder.root as usize];
            let path = root.path.join(root.place(&folder.name));
            let item = Item::new(&folder.name, Runs::Whole).of(path);
            let (status, error) = judge(found);
            tally.hear_of_folder(ItemReport::without_bytes(&item, status, error));
        }
    }
    let first = tree.lost.len();
    for (number, link) in (first..).zip(&tree.links) {
        hear(number, &link.item, there.link(link));
    }
    for (number, name) in (first + tree.links.len()..).zip(&tree.names) {
        hear(number, &name.item, there.name(name));
    }
}

const NOT_THERE: &str = "it is not there";

/// What is compared with.
struct There<'a> {
    tree: &'a Tree,
    items: &'a [Item],
    preserve: bool,
    directories: Folders,
}

impl There<'_> {
    fn directory_of(&self, name: &Path) -> io::Result<Arc<Directory>> {
        self.directories.at(name.parent().unwrap_or(Path::new("")), false)
    }

    fn facts(&self, name: &Path) -> io::Result<Metadata> {
        let leaf = name.file_name().unwrap_or(OsStr::new("."));
        let facts = self.directory_of(name)?.facts(leaf)?;
        facts.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// How it differs, if it does.
    fn folder(&self, folder: &Folder) -> io::Result<Option<String>> {
        let facts = self.facts(&folder.name)?;
        if facts.node != FileKind::Directory {
            return Ok(Some("it is not a folder".to_owned()));
        }
        if !self.preserve {
            return Ok(None);
        }
        let root = &self.tree.roots[folder.root as usize];
        let from = root.directories.at(root.place(&folder.name), false)?.to_file()?;
        let to = self.directories.at(&folder.name, false)?.to_file()?;
        preserve::difference(
            Known { file: &from, facts: &folder.facts },
            Known { file: &to, facts: &facts },
        )
    }

    fn link(&self, link: &Named) -> io::Result<Option<String>> {
        let name = &*link.item.name;
        let facts = self.facts(name)?;
        if facts.node != FileKind::Link {
            return Ok(Some("it is not a symbolic link".to_owned()));
        }
        let leaf = name.file_name().unwrap_or_default();
        let root = &self.tree.roots[link.root as usize];
        let want = root.directory_of(name)?.link_target(leaf)?;
        let target = self.directory_of(name)?.link_target(leaf)?;
        if target != want {
            let (target, want) = (quoted(&target), quoted(&want));
            return Ok(Some(format!("it leads to {target}, and should to {want}")));
        }
        let besides = || preserve::difference_of_facts(&link.facts, &facts);
        Ok(self.preserve.then(besides).flatten())
    }

    fn name(&self, further: &FurtherName) -> io::Result<Option<String>> {
        let first = &*self.items[further.file].name;
        let facts = self.facts(&further.item.name)?;
        let is_one = is_same(self.facts(first).ok().as_ref(), &facts);
        Ok((!is_one).then(|| format!("it is not one file with {}", quoted(first))))
    }
}
