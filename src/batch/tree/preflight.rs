//! What stands in the way of folders and links, before anything is made.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::keeps;
use crate::batch::parents::Parents;
use crate::batch::preflight::file_name;
use crate::error::{Refusal, Result, quoted};
use crate::options::Options;
use crate::sys::{Directory, FileKind, Metadata};
use crate::tree::Tree;

/// Where folders and links are to be.
pub struct Standing<'a> {
    /// What is to be made.
    pub tree: &'a Tree,
    /// The directory that it goes to, and its path.
    pub root: &'a Directory,
    /// See `root`.
    pub into: &'a Path,
    /// What the caller wants.
    pub options: &'a Options,
}

impl Standing<'_> {
    /// Refuses a folder that would be copied into itself, and whatever is no
    /// folder where a folder is to be, or anything where a link is to be.
    ///
    /// # Errors
    ///
    /// A [`Refusal`].
    pub fn check(&self, parents: &mut Parents<'_>) -> Result<()> {
        let sources: HashMap<(u64, u64), usize> =
            self.tree.folders.iter().map(|folder| thing(&folder.facts)).zip(0..).collect();
        if let Some(&number) =
            self.root.own_facts().ok().and_then(|facts| sources.get(&thing(&facts)))
        {
            let (folder, path) = (self.source(number), quoted(self.into));
            let what = format!("{} cannot be copied into itself, to {path}", quoted(&folder));
            return Err(Refusal::Other(what).into());
        }
        for folder in &self.tree.folders {
            let Some(facts) = self.facts(parents, &folder.name) else { continue };
            let path = self.into.join(&folder.name);
            if facts.node != FileKind::Directory {
                return Err(in_the_way(path, &facts, "a folder").into());
            }
            if let Some(&number) = sources.get(&thing(&facts)) {
                let (source_path, what) = (self.source(number), "folder");
                return Err(Refusal::SameFile { source_path, path, what }.into());
            }
        }
        for link in &self.tree.links {
            self.check_name(parents, &link.item.name, Some(&link.facts), "a link")?;
        }
        for name in &self.tree.names {
            self.check_name(parents, &name.item.name, None, "a file")?;
        }
        Ok(())
    }

    fn check_name(
        &self,
        parents: &mut Parents<'_>,
        name: &Path,
        source: Option<&Metadata>,
        what: &'static str,
    ) -> Result<()> {
        let Some(facts) = self.facts(parents, name) else { return Ok(()) };
        let path = self.into.join(name);
        if facts.node == FileKind::Directory {
            return Err(in_the_way(path, &facts, what).into());
        }
        if super::is_same(source, &facts) {
            return Err(Refusal::SameFile { source_path: path.clone(), path, what: "link" }.into());
        }
        match self.options.force || keeps(self.options) {
            true => Ok(()),
            false => Err(Refusal::Exists { path, in_batch: true }.into()),
        }
    }

    fn facts(&self, parents: &mut Parents<'_>, name: &Path) -> Option<Metadata> {
        if name.as_os_str().is_empty() {
            return None;
        }
        parents.facts(name, file_name(name))
    }

    /// Where a folder that is copied lies.
    fn source(&self, number: usize) -> PathBuf {
        let folder = &self.tree.folders[number];
        let root = &self.tree.roots[folder.root as usize];
        root.path.join(root.place(&folder.name))
    }
}

/// The refusal of what is at `path`, where `wanted` is to be.
pub fn in_the_way(path: PathBuf, facts: &Metadata, wanted: &'static str) -> Refusal {
    let found = match facts.node {
        FileKind::Directory => "a folder",
        FileKind::Link => "a symbolic link",
        FileKind::File | FileKind::VirtualFile => "a file",
        FileKind::Pipe => "a pipe",
        FileKind::Socket => "a socket",
        FileKind::BlockDevice | FileKind::CharacterDevice => "a device node",
    };
    Refusal::InTheWay { path, found, wanted }
}

fn thing(facts: &Metadata) -> (u64, u64) {
    (facts.device, facts.inode)
}
