//! What was named: which directory it is looked for in, and what it is called in
//! the copy.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::path::{Component, Path, PathBuf};

use crate::error::{Refusal, Result, Side};
use crate::sys::{Directory, FileKind, Metadata};

/// Something that was named.
pub enum Operand {
    /// A folder.
    Folder(Place),
    /// A symbolic link.
    Link(Place),
    /// Anything else, which opening it will tell.
    Other {
        /// Its name.
        name: PathBuf,
    },
}

/// Where something is that was named.
pub struct Place {
    /// The number of the directory in which it is looked for.
    pub root: u32,
    /// What it is called in the copy; empty if what is in it is copied.
    pub name: PathBuf,
    /// What it is.
    pub facts: Metadata,
}

impl Operand {
    /// What it is called in the copy.
    pub fn name(&self) -> &Path {
        match self {
            Operand::Folder(place) | Operand::Link(place) => &place.name,
            Operand::Other { name } => name,
        }
    }
}

/// A directory in which things are looked for.
pub struct Start {
    /// Open.
    pub directory: Directory,
    /// Its path.
    pub path: PathBuf,
    /// What it is called in the copy itself; empty if what is in it goes to the top.
    pub name: PathBuf,
}

/// The directories in which things are looked for: what lies in one directory is
/// looked for in that, so that a thousand folders of one keep one open.
#[derive(Default)]
pub struct Starts {
    all: Vec<Start>,
    by_path: HashMap<PathBuf, u32>,
}

impl Starts {
    /// All of them, by number.
    pub fn into_all(self) -> Vec<Start> {
        self.all
    }

    /// Looks at `path`.
    ///
    /// # Errors
    ///
    /// [`Refusal::CannotOpen`].
    pub fn look(&mut self, path: &Path) -> Result<Operand> {
        let cannot =
            |source| Refusal::CannotOpen { side: Side::Source, path: path.to_owned(), source };
        let name = name_of(path);
        let Some(name) = name.filter(|_| !ends_in_separator(path)) else {
            let directory = Directory::open(path).map_err(cannot)?;
            return Ok(Operand::Folder(self.itself(directory, path, name).map_err(cannot)?));
        };
        let parent = path.parent().unwrap_or(Path::new(""));
        let root = self.at(parent).map_err(cannot)?;
        let within = &self.all[root as usize].directory;
        let facts = within.facts(name).map_err(cannot)?;
        let facts = facts.ok_or_else(|| cannot(std::io::ErrorKind::NotFound.into()))?;
        let (node, name) = (facts.node, PathBuf::from(name));
        Ok(match node {
            FileKind::Directory => Operand::Folder(Place { root, name, facts }),
            FileKind::Link => Operand::Link(Place { root, name, facts }),
            _ => Operand::Other { name },
        })
    }

    /// The folder at `path` as the directory in which everything in it is looked for.
    fn itself(
        &mut self,
        directory: Directory,
        path: &Path,
        name: Option<&OsStr>,
    ) -> std::io::Result<Place> {
        let facts = directory.own_facts()?;
        let (path, name) = (path.to_owned(), PathBuf::from(name.unwrap_or_default()));
        let root = self.push(Start { directory, path, name: name.clone() });
        Ok(Place { root, name, facts })
    }

    /// The directory at `path`.
    fn at(&mut self, path: &Path) -> std::io::Result<u32> {
        if let Some(&root) = self.by_path.get(path) {
            return Ok(root);
        }
        let (directory, name) = (Directory::open(path)?, PathBuf::new());
        let root = self.push(Start { directory, path: path.to_owned(), name });
        self.by_path.insert(path.to_owned(), root);
        Ok(root)
    }

    fn push(&mut self, start: Start) -> u32 {
        self.all.push(start);
        (self.all.len() - 1) as u32
    }
}

/// The name that `path` keeps; `None` if what is in it is meant.
fn name_of(path: &Path) -> Option<&OsStr> {
    // Components leave out a point at the end.
    let bytes = path.as_os_str().as_encoded_bytes();
    let end = bytes.iter().rposition(|byte| !is_separator(*byte)).map_or(0, |at| at + 1);
    let is_point = bytes[..end].ends_with(b".") && (end == 1 || is_separator(bytes[end - 2]));
    match path.components().next_back() {
        Some(Component::Normal(name)) if !is_point => Some(name),
        _ => None,
    }
}

fn ends_in_separator(path: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().last().is_some_and(|&byte| is_separator(byte))
}

fn is_separator(byte: u8) -> bool {
    std::path::is_separator(char::from(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_keeps_its_name_unless_what_is_in_it_is_meant() {
        let check = |path: &str, name: Option<&str>| {
            assert_eq!(name_of(Path::new(path)), name.map(OsStr::new), "{path}");
        };
        check("a", Some("a"));
        check("a/b/", Some("b"));
        check("a//", Some("a"));
        check("a/.", None);
        check("a/./", None);
        check(".", None);
        check("a/..", None);
        check("/", None);
        check("a.", Some("a."));
        check("a/b.", Some("b."));
        check("a/..b", Some("..b"));
    }
}
