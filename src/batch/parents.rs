//! Names below the directory of a batch, looked at without making anything.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};

use super::preflight::file_name;
use crate::durable::map::MapFile;
use crate::durable::part::{self, Found};
use crate::durable::target::{MAP_SUFFIX, sibling_name};
use crate::durable::trust::{Examiner, Purpose};
use crate::error::{Refusal, chain};
use crate::sys::{self, Directory, FileKind, Guards, Metadata, Thing};
use crate::tree::folders::walk;

/// Looks at names below a directory without making anything. Lists name files
/// of the same few directories in any order: those stay at hand.
pub struct Parents<'a> {
    root: &'a Directory,
    known: HashMap<OsString, io::Result<Parent>>,
    /// How many of them are open, and may be.
    open: usize,
    most_open: usize,
}

struct Parent {
    directory: Directory,
    /// What it is, if it says.
    facts: Option<Metadata>,
    /// Why no file can be made in it.
    closed: Option<String>,
    /// Where nothing is, nothing need be asked for. A list that is not empty
    /// proves nothing: names may be the same in another case.
    is_empty: bool,
}

/// Directories at hand, at most: those that are not there cost memory only.
const MOST_KNOWN: usize = 1 << 16;

impl<'a> Parents<'a> {
    pub fn new(root: &'a Directory) -> Parents<'a> {
        // A share of what may be open; nothing is being copied yet.
        let most_open = (sys::open_file_limit() / 8).clamp(1, 128) as usize;
        Parents { root, known: HashMap::new(), open: 0, most_open }
    }

    /// The directory of the batch.
    pub fn root(&self) -> &'a Directory {
        self.root
    }

    /// What `leaf` is in the directory of `name`.
    pub fn facts(&mut self, name: &Path, leaf: &OsStr) -> Option<sys::Metadata> {
        let parent = self.of(name).as_ref().ok()?;
        if parent.is_empty { None } else { parent.directory.facts(leaf).ok()? }
    }

    /// Whether another run is writing what is `leaf` in the directory of `name`.
    pub fn is_written(&mut self, name: &Path, leaf: &OsStr) -> bool {
        let parent = self.of(name).as_ref();
        parent.is_ok_and(|parent| part::is_written(&parent.directory, leaf))
    }

    /// The map beside the file `name`, which is at `path`, if there is one.
    pub fn map_file(&mut self, name: &Path, path: &Path) -> Option<MapFile> {
        let map = sibling_name(file_name(name), MAP_SUFFIX);
        self.facts(name, &map)?;
        let parent = self.of(name).as_ref().ok()?;
        let here = parent.directory.subdirectory(".".as_ref()).ok()?;
        Some(MapFile::inside(here.into(), path.parent()?.to_owned(), map))
    }

    /// Refuses what has the name `leaf` in the directory of `name`, if it is a
    /// file that is not ours; `path` is where.
    pub fn examine(
        &mut self,
        name: &Path,
        leaf: &OsStr,
        path: &Path,
        purpose: Purpose,
        examiner: &mut Examiner,
    ) -> Result<(), Refusal> {
        let Some(facts) = self.facts(name, leaf).filter(|facts| facts.node == FileKind::File)
        else {
            return Ok(());
        };
        match self.of(name) {
            Ok(parent) => examiner.check(&parent.directory, &facts, purpose, path),
            Err(_) => Ok(()),
        }
    }

    /// The directory of `name`, if it is there.
    pub fn thing(&mut self, name: &Path) -> Option<Thing> {
        let facts = self.of(name).as_ref().ok()?.directory.own_facts();
        facts.ok().map(|facts| Thing::of(&facts))
    }

    /// Refuses if another run is writing `part`, the part of `name` at `path`.
    pub fn nobody_writes(
        &mut self,
        name: &Path,
        part: &OsStr,
        path: PathBuf,
    ) -> Result<(), Refusal> {
        let Ok(parent) = self.of(name) else { return Ok(()) };
        match part::find(&parent.directory, part) {
            Ok(Found::Busy) => Err(Refusal::Busy { path }),
            Ok(Found::NoFile) => Err(Refusal::NotAPart { path }),
            // What cannot be had is said when it is wanted.
            _ => Ok(()),
        }
    }

    /// Whether the directory of `name` is empty or not there, and so nothing is in it.
    pub fn is_vacant(&mut self, name: &Path) -> bool {
        match self.of(name) {
            Ok(parent) => parent.is_empty,
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        }
    }

    /// Whether `name`, which is there, may be given to another file.
    pub fn check_replaceable(&mut self, guards: &Guards, name: &Path) -> io::Result<()> {
        match self.of(name) {
            Ok(parent) => guards.check_replaceable(&parent.directory, file_name(name)),
            // What cannot be had is said when it is wanted.
            Err(_) => Ok(()),
        }
    }

    /// Why the directory of `name` can be neither entered nor made, or takes no files.
    pub fn obstacle(&mut self, name: &Path) -> Option<String> {
        let mut name = name;
        loop {
            match self.of(name) {
                Ok(parent) => return parent.closed.clone(),
                Err(error) if error.kind() == io::ErrorKind::NotFound => name = name.parent()?,
                Err(error) => {
                    return Some(format!(
                        "its directory cannot be had, or is a symbolic link and not followed: {error}"
                    ));
                }
            }
        }
    }

    /// The directory that `name` will be in, as far as it is there, and what it is.
    pub fn nearest<'n>(&mut self, name: &'n Path) -> Option<(&'n Path, Metadata)> {
        let mut name = name;
        loop {
            match self.of(name) {
                Ok(parent) => {
                    return Some((name.parent().unwrap_or(Path::new("")), parent.facts.clone()?));
                }
                Err(_) => name = name.parent()?,
            }
        }
    }

    fn of(&mut self, name: &Path) -> &io::Result<Parent> {
        let parent = name.parent().unwrap_or(Path::new("")).as_os_str();
        // Looked up twice, because what is found is lent to the caller.
        if !self.known.contains_key(parent) {
            if self.open >= self.most_open || self.known.len() >= MOST_KNOWN {
                self.known.clear();
                self.open = 0;
            }
            let walked = walk(self.root, Path::new(parent), false).map(|directory| {
                let is_empty = directory.is_empty().unwrap_or(false);
                let (facts, closed) = (directory.own_facts().ok(), closed(&directory));
                Parent { directory, facts, closed, is_empty }
            });
            self.open += usize::from(walked.is_ok());
            self.known.insert(parent.to_owned(), walked);
        }
        &self.known[parent]
    }
}

/// Why no file can be made in `directory`, if that does not depend on permissions:
/// those may differ by the time, and cost the items in it alone.
fn closed(directory: &Directory) -> Option<String> {
    if let Err(error) = directory.check_writable() {
        let is_permission = error.kind() == io::ErrorKind::PermissionDenied;
        if is_permission && error.raw_os_error().is_some() {
            return None;
        }
        return Some(format!("no file can be made in its directory: {}", chain(&error)));
    }
    let facts = directory.own_facts().ok()?;
    let what = "its directory holds device nodes, among which a regular file does not belong";
    sys::holds_device_nodes(&facts).then(|| what.to_owned())
}
