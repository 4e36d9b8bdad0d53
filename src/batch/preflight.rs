//! What a batch refuses before its first byte, beyond what its list says of
//! itself: names that are taken, what an earlier run left, missing room.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::Path;

use super::folders::walk;
use super::large::SMALLEST_WITH_MAP;
use super::manifest::{ErrorKind, ManifestError, ManifestErrors};
use super::moving::How;
use super::output::Wanted;
use super::plan::BatchPlan;
use super::queue::Segment;
use super::sources::Sources;
use crate::durable::leftover::Leftovers;
use crate::durable::map::MapFile;
use crate::durable::part::{self, Found};
use crate::durable::target::{MAP_SUFFIX, PART_SUFFIX, sibling_name};
use crate::error::{Refusal, Result, quoted};
use crate::sys::{self, Directory, Node, Replace};

/// What the user agrees to.
#[derive(Clone, Copy, Debug)]
pub struct Consent {
    /// Existing files may be replaced.
    pub force: bool,
    /// What to do with what an interrupted run left.
    pub leftovers: Leftovers,
}

/// What stands under the names of the batch: refused, or to be replaced.
///
/// # Errors
///
/// A [`Refusal`].
pub fn look_at_names(
    (parents, into): (&mut Parents<'_>, &Path),
    consent: Consent,
    wanted: &mut [Wanted],
    sources: &Sources,
) -> Result<()> {
    let find = sources.find();
    for file in wanted {
        file.has_map |= file.len >= SMALLEST_WITH_MAP;
        if parents.is_vacant(&file.name) {
            continue;
        }
        let path = into.join(&file.name);
        let part = sibling_name(file_name(&file.name), PART_SUFFIX);
        if consent.leftovers != Leftovers::Refuse {
            parents.nobody_writes(&file.name, &part, &path)?;
        } else if parents.facts(&file.name, &part).is_some() {
            return Err(Refusal::Leftover { path: path.with_file_name(part) }.into());
        }
        let existing = parents.facts(&file.name, file_name(&file.name));
        if existing.is_some() || file.len >= SMALLEST_WITH_MAP {
            let map = sibling_name(file_name(&file.name), MAP_SUFFIX);
            let has_map = parents.facts(&file.name, &map).is_some();
            if has_map && existing.is_none() && consent.leftovers == Leftovers::Refuse {
                return Err(Refusal::Leftover { path: path.with_file_name(map) }.into());
            }
            file.has_map |= has_map;
        }
        let Some(facts) = existing else { continue };
        if let Some(source_path) = find.path(&facts).map(Path::to_owned) {
            return Err(Refusal::SameFile { source_path, path, what: "file" }.into());
        }
        if file.partial.is_some() {
            continue;
        }
        if !consent.force || facts.node == Node::Directory {
            return Err(Refusal::ExistsInBatch { path }.into());
        }
        file.replace = Replace::Yes;
    }
    Ok(())
}

/// Whether every directory on the way to a file is one, or is still to be made.
///
/// # Errors
///
/// A line for each file behind something else, such as a symbolic link.
pub fn look_at_parents(
    parents: &mut Parents<'_>,
    wanted: &[Wanted],
    line: &dyn Fn(u32) -> u64,
) -> std::result::Result<(), ManifestErrors> {
    let mut errors = Vec::new();
    for (output, file) in (0..).zip(wanted) {
        if let Some(error) = parents.obstacle(&file.name) {
            let name = quoted(&*file.name);
            let message = format!(
                "{name}: its directory cannot be had, or is a symbolic link and not followed: {error}"
            );
            errors.push(ManifestError::new(line(output), ErrorKind::Refused, &message));
        }
    }
    ManifestErrors::from_unordered(errors).or(())
}

/// What is needed to tell whether there is room for what is wanted.
pub struct Space<'a> {
    pub plan: &'a BatchPlan,
    pub wanted: &'a [Wanted],
    pub sources: &'a Sources,
    pub how: &'a How,
    /// Longest segment that is written whole, holes and all.
    pub scattered: u64,
}

impl Space<'_> {
    /// Whether the directory has room for what is wanted.
    ///
    /// # Errors
    ///
    /// [`Refusal::NoSpace`].
    pub fn check(&self, root: &Directory, into: &Path, leftovers: Leftovers) -> Result<()> {
        let Ok(available) = root.available_space() else { return Ok(()) };
        // Holes and parts are looked for only where it matters.
        if self.plan.wanted_bytes() <= available {
            return Ok(());
        }
        let needed = self.needed(root, leftovers)?;
        if needed <= available {
            return Ok(());
        }
        Err(Refusal::NoSpace { path: into.to_owned(), needed, available }.into())
    }

    /// Bytes that the outputs will take, without what parts of an earlier run
    /// have already, whether they are gone on with or make room.
    fn needed(&self, root: &Directory, leftovers: Leftovers) -> Result<u64> {
        let mut data = vec![0u64; self.wanted.len()];
        for segment in self.plan.queue.all() {
            data[segment.output as usize] += self.data(segment)?;
        }
        if leftovers == Leftovers::Refuse {
            return Ok(data.iter().sum());
        }
        let mut parents = Parents::new(root);
        let left = |(file, bytes): (&Wanted, u64)| {
            let part = sibling_name(file_name(&file.name), PART_SUFFIX);
            let facts = parents.facts(&file.name, &part).filter(|facts| facts.node == Node::File);
            bytes.saturating_sub(facts.map_or(0, |facts| facts.allocated))
        };
        Ok(self.wanted.iter().zip(data).map(left).sum())
    }

    /// Bytes of a segment that will be stored.
    fn data(&self, segment: &Segment) -> Result<u64> {
        let facts = self.sources.facts(segment.source);
        let is_sparse = facts.node == Node::File && facts.allocated < facts.size;
        if !is_sparse || segment.range.len() <= self.scattered {
            return Ok(segment.range.len());
        }
        let source = self.sources.open(segment.source)?;
        let layout = self.how.layout(&source, segment.range);
        // Nobody can say what becomes of holes that are read first.
        Ok(if layout.doubted > 0 { 0 } else { layout.data.bytes() })
    }
}

/// The last component of a checked name.
pub fn file_name(name: &Path) -> &OsStr {
    name.file_name().unwrap_or_default()
}

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

    /// What `leaf` is in the directory of `name`.
    pub fn facts(&mut self, name: &Path, leaf: &OsStr) -> Option<sys::Facts> {
        let parent = self.of(name).as_ref().ok()?;
        if parent.is_empty { None } else { parent.directory.facts(leaf).ok()? }
    }

    /// The map beside the file `name`, which is at `path`, if there is one.
    pub fn map_file(&mut self, name: &Path, path: &Path) -> Option<MapFile> {
        let map = sibling_name(file_name(name), MAP_SUFFIX);
        self.facts(name, &map)?;
        let parent = self.of(name).as_ref().ok()?;
        let here = parent.directory.subdirectory(".".as_ref()).ok()?;
        Some(MapFile::inside(here.into(), path.parent()?.to_owned(), map))
    }

    /// Refuses if another run is writing `part`, the part of `name`.
    fn nobody_writes(&mut self, name: &Path, part: &OsStr, path: &Path) -> Result<()> {
        let Ok(parent) = self.of(name) else { return Ok(()) };
        match part::find(&parent.directory, part) {
            Ok(Found::Busy) => Err(Refusal::Busy { path: path.with_file_name(part) }.into()),
            // What cannot be had is said when it is wanted.
            _ => Ok(()),
        }
    }

    /// Whether the directory of `name` is empty or not there, and so nothing is in it.
    fn is_vacant(&mut self, name: &Path) -> bool {
        match self.of(name) {
            Ok(parent) => parent.is_empty,
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        }
    }

    /// Why the directory of `name` can be neither entered nor made.
    fn obstacle(&mut self, name: &Path) -> Option<&io::Error> {
        self.of(name).as_ref().err().filter(|error| error.kind() != io::ErrorKind::NotFound)
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
                Parent { directory, is_empty }
            });
            self.open += usize::from(walked.is_ok());
            self.known.insert(parent.to_owned(), walked);
        }
        &self.known[parent]
    }
}
