//! Looking at everything below what was named.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::folders::Folders;
use super::operand::{Operand, Place, Start, Starts};
use super::{Folder, FurtherName, Lost, Named, Origin, Root, Tree, Walk};
use crate::error::{ErrorKind, Refusal, Result, chain, quoted};
use crate::manifest::{Item, Runs};
use crate::progress::CancelToken;
use crate::range::ByteRange;
use crate::sys::{self, Entry, FileKind, Metadata};

/// Directories that stay open, at most.
const MOST_OPEN: u64 = 64;

/// Looks at everything that `walk` names.
///
/// # Errors
///
/// See [`Walk::run`].
pub fn run(walk: &Walk, cancel: &CancelToken) -> Result<Tree> {
    let mut starts = Starts::default();
    let mut names = HashMap::new();
    let mut operands = Vec::with_capacity(walk.operands.len());
    for path in &walk.operands {
        let operand = starts.look(path)?;
        // What is in folders may meet; two things of one name are a mistake.
        if !operand.name().as_os_str().is_empty()
            && let Some(other) = names.insert(operand.name().to_owned(), path)
        {
            return Err(one_name(other, path, operand.name()).into());
        }
        operands.push((operand, path));
    }
    let (known, above) = (HashMap::new(), HashSet::new());
    let tree = Tree { roots: roots(starts), ..Tree::default() };
    let mut finding = Finding { walk, cancel, tree, known, above };
    for (operand, path) in operands {
        finding.operand(operand, path)?;
    }
    Ok(finding.tree)
}

/// The directories in which things are found, each of which keeps a share of what
/// may be open: the copy has its own.
fn roots(starts: Starts) -> Vec<Arc<Root>> {
    let starts = starts.into_all();
    let share = sys::open_file_limit() / 8 / (starts.len() as u64).max(1);
    let most = share.clamp(1, MOST_OPEN) as usize;
    let root = |Start { directory, path, name }: Start| {
        Arc::new(Root { directories: Folders::new(directory, most), path, name })
    };
    starts.into_iter().map(root).collect()
}

fn one_name(one: &Path, other: &Path, name: &Path) -> Refusal {
    let (one, other) = (quoted(one), quoted(other));
    Refusal::Other(format!("{one} and {other} would both be {}", quoted(name)))
}

/// What is known so far.
struct Finding<'a> {
    walk: &'a Walk,
    cancel: &'a CancelToken,
    tree: Tree,
    /// Files of several names, by what they are: the number of the file.
    known: HashMap<(u64, u64), usize>,
    /// The folders that are being looked at, from the root to the present one.
    above: HashSet<(u64, u64)>,
}

/// A folder that is still to be looked at, or that was.
enum Step {
    Enter(usize),
    Leave((u64, u64)),
}

impl Finding<'_> {
    fn operand(&mut self, operand: Operand, path: &Path) -> Result<()> {
        match operand {
            Operand::Folder(Place { root, name, facts }) => {
                let device = facts.device;
                self.tree.folders.push(Folder { root, name: name.into(), facts });
                self.below(root, device)
            }
            Operand::Link(Place { root, name, facts }) => {
                let item = without_bytes(&name, path);
                self.tree.links.push(Named { root, item, facts });
                Ok(())
            }
            Operand::Other { name } => {
                self.tree.files.push(Item::new(name, Runs::Whole).of(path));
                self.tree.origins.push(Origin::Named);
                Ok(())
            }
        }
    }

    /// Looks at the folder that was added last, which was named and lies on the file
    /// system `device`, and at all below it.
    fn below(&mut self, root: u32, device: u64) -> Result<()> {
        let mut steps = vec![Step::Enter(self.tree.folders.len() - 1)];
        while let Some(step) = steps.pop() {
            if self.cancel.is_cancelled() {
                return Err(ErrorKind::Cancelled.into());
            }
            let number = match step {
                Step::Enter(number) => number,
                Step::Leave(thing) => {
                    self.above.remove(&thing);
                    continue;
                }
            };
            let (name, facts) = {
                let folder = &self.tree.folders[number];
                (folder.name.clone(), folder.facts.clone())
            };
            let thing = (facts.device, facts.inode);
            if self.walk.one_file_system && facts.device != device {
                let path = self.path_of(root, &name);
                self.tree.mount_points.add(path, "a folder on another file system");
                continue;
            }
            if !self.above.insert(thing) {
                self.lose(root, &name, "it is a folder that it lies in itself".to_owned());
                continue;
            }
            steps.push(Step::Leave(thing));
            let first = self.tree.folders.len();
            if let Err(error) = self.look_into(root, &name, &facts) {
                self.lose(root, &name, format!("cannot read the folder: {}", chain(&error)));
            }
            steps.extend((first..self.tree.folders.len()).rev().map(Step::Enter));
        }
        Ok(())
    }

    /// Adds what is in the folder `name`.
    fn look_into(&mut self, root: u32, name: &Path, facts: &Metadata) -> io::Result<()> {
        let found = Arc::clone(&self.tree.roots[root as usize]);
        let directory = found.directories.at(found.place(name), false)?;
        if !directory.own_facts()?.same_thing(facts) {
            return Err(io::Error::other("somebody put another one in its place"));
        }
        let mut entries = directory.entries()?;
        entries.sort_unstable_by(|a, b| (a.inode, &a.name).cmp(&(b.inode, &b.name)));
        for Entry { name: leaf, .. } in entries {
            let name = name.join(&leaf);
            match directory.facts(&leaf) {
                Ok(Some(facts)) => self.add(root, name, facts),
                Ok(None) => self.lose(root, &name, "it vanished".to_owned()),
                Err(error) => self.lose(root, &name, chain(&error)),
            }
        }
        Ok(())
    }

    fn add(&mut self, root: u32, name: PathBuf, facts: Metadata) {
        let path = self.path_of(root, &name);
        match facts.node {
            FileKind::Directory => {
                self.tree.folders.push(Folder { root, name: name.into(), facts });
            }
            FileKind::Link => {
                self.tree.links.push(Named { root, item: without_bytes(&name, &path), facts });
            }
            FileKind::File | FileKind::VirtualFile => {
                if self.walk.keep_hard_links && facts.links > 1 {
                    let next = self.tree.files.len();
                    let file = *self.known.entry((facts.device, facts.inode)).or_insert(next);
                    if file != next {
                        let item = without_bytes(&name, &path);
                        self.tree.names.push(FurtherName { item, file });
                        return;
                    }
                }
                self.tree.files.push(Item::new(name, Runs::Whole).of(path));
                self.tree.origins.push(Origin::Below { root, facts: Arc::new(facts) });
            }
            FileKind::Pipe => self.tree.special.add(path, "a pipe"),
            FileKind::Socket => self.tree.special.add(path, "a socket"),
            FileKind::BlockDevice => self.tree.special.add(path, "a block device"),
            FileKind::CharacterDevice => self.tree.special.add(path, "a character device"),
        }
    }

    fn lose(&mut self, root: u32, name: &Path, why: String) {
        let item = without_bytes(name, &self.path_of(root, name));
        self.tree.lost.push(Lost { item, why });
    }

    /// Where something is that has the name `name` in the copy.
    fn path_of(&self, root: u32, name: &Path) -> PathBuf {
        let root = &self.tree.roots[root as usize];
        match root.place(name) {
            place if place.as_os_str().is_empty() => root.path.clone(),
            place => root.path.join(place),
        }
    }
}

/// An item of no bytes.
fn without_bytes(name: &Path, path: &Path) -> Item {
    Item::new(name, Runs::One(ByteRange::to(0))).of(path)
}
