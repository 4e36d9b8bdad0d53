//! The directories of a batch, looked up by handle from the one the user named
//! and kept at hand within a bound. A symbolic link on the way is an error, so
//! that a list cannot lead out.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex};

use crate::progress::lock;
use crate::sys::Directory;

/// The directories below one.
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
    /// See [`walk`].
    pub fn at(&self, path: &Path, make: bool) -> io::Result<Arc<Directory>> {
        let nearest = {
            let known = lock(&self.known);
            path.ancestors().find_map(|above| Some((above, Arc::clone(known.get(above)?))))
        };
        let directory = match nearest {
            Some((above, directory)) if above == path => return Ok(directory),
            Some((above, directory)) => {
                walk(&directory, path.strip_prefix(above).unwrap_or(path), make)?
            }
            None => walk(&self.root, path, make)?,
        };
        let directory = Arc::new(directory);
        let mut known = lock(&self.known);
        if known.len() >= self.most {
            known.clear();
        }
        known.insert(path.to_owned(), Arc::clone(&directory));
        Ok(directory)
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
        let Component::Normal(name) = component else {
            return Err(io::Error::other("the name leads out of the directory"));
        };
        if make {
            directory.make_subdirectory(name)?;
        }
        directory = directory.subdirectory(name)?;
    }
    Ok(directory)
}
