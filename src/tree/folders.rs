//! Directories looked up by handle from the one the user named and kept at hand
//! within a bound. A symbolic link on the way is an error, so that neither a list
//! nor somebody who puts one there can lead out.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use crate::progress::lock;
use crate::sync::Mutex;
use crate::sys::Directory;

/// The directories below one.
#[derive(Debug)]
pub struct Folders {
    root: Directory,
    known: Mutex<HashMap<PathBuf, Arc<Directory>>>,
    /// How many are kept open.
    most: usize,
}

impl Folders {
    /// Those below `root`, of which `most` are kept open.
    pub fn new(root: Directory, most: usize) -> Folders {
        Folders { root, known: Mutex::default(), most }
    }

    /// The one the user named.
    pub fn root(&self) -> &Directory {
        &self.root
    }

    /// The directory at `path`; with `make`, made if it is missing. The way to
    /// it begins at the nearest one at hand: going down level by level, as when
    /// all of them are synced, takes one step for each.
    ///
    /// # Errors
    ///
    /// As of [`walk`].
    pub fn at(&self, path: &Path, make: bool) -> io::Result<Arc<Directory>> {
        let nearest = {
            let known = lock(&self.known);
            path.ancestors().find_map(|above| Some((above, Arc::clone(known.get(above)?))))
        };
        let (mut at, mut directory) = match nearest {
            Some((above, directory)) => (above.to_owned(), directory),
            None => (PathBuf::new(), Arc::new(self.root.subdirectory(OsStr::new("."))?)),
        };
        let rest = path.strip_prefix(&at).unwrap_or(path).to_owned();
        for component in rest.components() {
            let next = step(&directory, component, make)?;
            at.push(component);
            directory = Arc::new(next);
            self.remember(&at, &directory);
        }
        if at.as_os_str().is_empty() {
            self.remember(&at, &directory);
        }
        Ok(directory)
    }

    /// Keeps a directory at hand. Those on the way to one are kept as well: who
    /// goes up level by level, as when folders are finished, finds the next.
    fn remember(&self, path: &Path, directory: &Arc<Directory>) {
        let mut known = lock(&self.known);
        if known.len() >= self.most {
            known.clear();
        }
        known.insert(path.to_owned(), Arc::clone(directory));
    }
}

/// The directory `path` below `root`, never through a symbolic link. With
/// `make`, missing ones are made.
///
/// # Errors
///
/// If one of them cannot be entered, or made.
pub fn walk(root: &Directory, path: &Path, make: bool) -> io::Result<Directory> {
    let mut directory = root.subdirectory(OsStr::new("."))?;
    for component in path.components() {
        directory = step(&directory, component, make)?;
    }
    Ok(directory)
}

/// The directory `component` in another.
fn step(directory: &Directory, component: Component<'_>, make: bool) -> io::Result<Directory> {
    let Component::Normal(name) = component else {
        return Err(io::Error::other("the name leads out of the directory"));
    };
    if make {
        directory.make_subdirectory(name)?;
    }
    directory.subdirectory(name)
}
