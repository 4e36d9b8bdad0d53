//! What a batch refuses before its first byte, beyond what its list says of
//! itself: names that are taken, what an earlier run left, missing room.

use std::cell::OnceCell;
use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::Path;
use std::sync::OnceLock;

use super::beside::{FILE, MAP, PART};
use super::moving::How;
use super::plan::BatchPlan;
use super::queue::Segment;
use super::sources::Sources;
use super::tree::in_the_way;
use super::wanted::Wanted;
use crate::address;
use crate::durable::map::MapFile;
use crate::durable::part::{self, Found};
use crate::durable::previous::Leftovers;
use crate::durable::target::{MAP_SUFFIX, sibling_name};
use crate::durable::trust::{Examiner, Purpose};
use crate::error::{Refusal, Result, chain, quoted};
use crate::manifest::{ErrorKind, ManifestError, ManifestErrors};
use crate::safety::roles::{Clash, Known, Role, Roles};
use crate::safety::{Ground, is_new_among_devices};
use crate::sys::{self, Directory, FileKind, Guards, Metadata, Replace, Thing};
use crate::tree::folders::walk;

/// What the user agrees to.
#[derive(Clone, Copy, Debug)]
pub struct Consent {
    /// Existing files may be replaced.
    pub force: bool,
    /// What to do with what an interrupted run left.
    pub leftovers: Leftovers,
    /// Files may be made on a device that is being read.
    pub same_device: bool,
}

/// Opens the directory of a batch; with `make`, made if only its last component
/// is missing.
///
/// # Errors
///
/// A [`Refusal`].
pub fn open_root(path: &Path, make: bool, made: &OnceLock<Metadata>) -> Result<Directory> {
    if address::scheme(path).is_some() {
        let name = quoted(path);
        let what =
            format!("{name} is on a server, and several files go to a folder of this machine");
        return Err(Refusal::Other(what).into());
    }
    let opened = match Directory::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && !make => {
            return Err(Refusal::NoSuchDirectory { path: path.to_owned() }.into());
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound && is_new_among_devices(path) => {
            return Err(Refusal::AmongDevices { path: path.to_owned(), exists: false }.into());
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => make_root(path, made),
        result => result,
    };
    let root = opened.and_then(|root| root.check_writable().map(|()| root));
    let root = root.map_err(|source| Refusal::NoDirectory { path: path.to_owned(), source })?;
    match root.own_facts() {
        Ok(facts) if sys::holds_device_nodes(&facts) => {
            Err(Refusal::AmongDevices { path: path.to_owned(), exists: true }.into())
        }
        _ => Ok(root),
    }
}

fn make_root(path: &Path, made: &OnceLock<Metadata>) -> io::Result<Directory> {
    match std::fs::create_dir(path) {
        // Another run was faster, and it is theirs.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Directory::open(path),
        result => result?,
    }
    let root = Directory::open(path)?;
    // Set once: a batch is checked once.
    let _ = made.set(root.own_facts()?);
    Ok(root)
}

/// What stands under the names of the batch: refused, or to be replaced.
///
/// # Errors
///
/// A [`Refusal`].
pub fn look_at_names(
    parents: &mut Parents<'_>,
    into: &Path,
    consent: Consent,
    examiner: &mut Examiner,
    wanted: &mut [Wanted],
    sources: &Sources,
    roles: &Roles,
) -> Result<()> {
    if !consent.same_device {
        look_at_ground(parents, into, wanted, sources)?;
    }
    let find = sources.find();
    check_lengths(parents.root, into, wanted)?;
    let guards = OnceCell::new();
    // A source, the list or the report may have the name, or another one.
    let is_free = |facts: &sys::Metadata, path: &Path, what: &'static str| {
        if let Some(source_path) = find.path(facts).map(Path::to_owned) {
            return Err(Refusal::SameFile { source_path, path: path.to_owned(), what: "file" });
        }
        roles.get(Thing::of(facts)).map_or(Ok(()), |known| {
            let added = Known { role: Role::Side, what: what.into(), path: path.to_owned() };
            Err(Clash { known: known.clone(), added }.into())
        })
    };
    for file in wanted.iter_mut().filter(|file| !file.complete) {
        file.has_map |= file.is_worth_a_map();
        if parents.is_vacant(&file.name) {
            continue;
        }
        let path = into.join(&file.name);
        let part = file.part_name();
        let left = parents.facts(&file.name, &part);
        if let Some(facts) = &left {
            is_free(facts, &path.with_file_name(&part), PART)?;
        }
        if consent.leftovers != Leftovers::Refuse {
            // A small part is made anew in any case.
            let writes = consent.leftovers == Leftovers::Resume && file.has_map;
            let purpose = if writes { Purpose::Write } else { Purpose::Discard };
            let left = path.with_file_name(&part);
            parents.examine(&file.name, &part, &left, purpose, examiner)?;
            parents.nobody_writes(&file.name, &part, &path)?;
        } else if let Some(facts) = left {
            // Neither option would help where it is not a part.
            let path = path.with_file_name(&part);
            let is_written = parents.is_written(&file.name, &part);
            return Err(match facts.node {
                FileKind::File if is_written => Refusal::Busy { path },
                FileKind::File => Refusal::Leftover { resumable: true, path },
                _ => Refusal::NotAPart { path },
            }
            .into());
        }
        let existing = parents.facts(&file.name, file_name(&file.name));
        if existing.is_some() || file.is_worth_a_map() {
            let map = sibling_name(file_name(&file.name), MAP_SUFFIX);
            let found = parents.facts(&file.name, &map);
            if let Some(facts) = &found {
                is_free(facts, &path.with_file_name(&map), MAP)?;
            }
            let has_map = found.is_some();
            if has_map && existing.is_none() && consent.leftovers == Leftovers::Refuse {
                return Err(
                    Refusal::Leftover { resumable: true, path: path.with_file_name(map) }.into()
                );
            }
            let purpose = match consent.leftovers {
                Leftovers::Resume => Purpose::Believe,
                Leftovers::Refuse | Leftovers::Restart => Purpose::Discard,
            };
            let left = path.with_file_name(&map);
            parents.examine(&file.name, &map, &left, purpose, examiner)?;
            file.has_map |= has_map;
        }
        let Some(facts) = existing else { continue };
        is_free(&facts, &path, FILE)?;
        if file.partial.is_some() {
            continue;
        }
        if facts.node == FileKind::Directory {
            return Err(in_the_way(path, &facts, "a file").into());
        }
        if !consent.force {
            return Err(Refusal::Exists { path, in_batch: true }.into());
        }
        if facts.node == FileKind::File && parents.is_written(&file.name, file_name(&file.name)) {
            return Err(Refusal::Busy { path }.into());
        }
        parents
            .check_replaceable(guards.get_or_init(Guards::now), &file.name)
            .map_err(|source| Refusal::CannotReplace { path, in_place: false, source })?;
        file.replace = Replace::Yes;
    }
    Ok(())
}

/// Refuses a file that is too long for the file system.
fn check_lengths(root: &Directory, into: &Path, wanted: &[Wanted]) -> Result<(), Refusal> {
    let Some(longest) = wanted.iter().max_by_key(|file| file.len) else { return Ok(()) };
    let most = sys::longest_file(root, longest.len);
    match wanted.iter().find(|file| file.len > most) {
        Some(file) => Err(Refusal::TooLarge { path: into.join(&file.name), len: file.len }),
        None => Ok(()),
    }
}

/// Refuses to write where that changes a source: on every file system that files
/// will be on, of which there may be several below the directory `into`.
///
/// # Errors
///
/// [`Refusal::SameDevice`].
fn look_at_ground(
    parents: &mut Parents<'_>,
    into: &Path,
    wanted: &[Wanted],
    sources: &Sources,
) -> Result<(), Refusal> {
    let mut looked_at = HashSet::new();
    // The root also if nothing is left to do.
    for name in std::iter::once(Path::new("")).chain(wanted.iter().map(|file| &*file.name)) {
        let Some((at, facts)) = parents.nearest(name) else { continue };
        if !looked_at.insert(facts.device) {
            continue;
        }
        let place = into.join(at);
        let ground = Ground::of(&facts, &place);
        for number in 0..sources.len() as u32 {
            for facts in sources.facts_of_files(number) {
                ground.check(facts, sources.path(number), &place)?;
            }
        }
    }
    Ok(())
}

/// Whether every directory on the way to a file is one in which files can be
/// made, or is still to be made.
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
            let message = format!("{name}: {error}");
            errors.push(ManifestError::new(line(output), ErrorKind::Refused, &message));
        }
    }
    ManifestErrors::from_unordered(errors).or(())
}

/// Removes the directory of a batch that was made to look at it, if it is that
/// one and empty. Best effort.
pub fn remove_if_made(into: &Path, made: &OnceLock<Metadata>) {
    let there = sys::facts_of_path(into).ok().flatten();
    if there.zip(made.get()).is_some_and(|(there, made)| there.same_thing(made)) {
        let _ = std::fs::remove_dir(into);
    }
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
            if !self.wanted[segment.output as usize].complete {
                data[segment.output as usize] += self.data(segment)?;
            }
        }
        if leftovers == Leftovers::Refuse {
            return Ok(data.iter().sum());
        }
        let mut parents = Parents::new(root);
        let left = |(file, bytes): (&Wanted, u64)| {
            let part = file.part_name();
            let facts =
                parents.facts(&file.name, &part).filter(|facts| facts.node == FileKind::File);
            bytes.saturating_sub(facts.map_or(0, |facts| facts.allocated))
        };
        Ok(self.wanted.iter().zip(data).map(left).sum())
    }

    /// Bytes of a segment that will be stored.
    fn data(&self, segment: &Segment) -> Result<u64> {
        let facts = self.sources.facts(segment.source);
        let is_sparse =
            facts.is_some_and(|facts| facts.node == FileKind::File && facts.allocated < facts.size);
        if !is_sparse || segment.range.len() <= self.scattered {
            return Ok(segment.range.len());
        }
        let source = self.sources.open(segment.source)?;
        let layout = self.how.layout(&*source, segment.range);
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

    /// What `leaf` is in the directory of `name`.
    pub fn facts(&mut self, name: &Path, leaf: &OsStr) -> Option<sys::Metadata> {
        let parent = self.of(name).as_ref().ok()?;
        if parent.is_empty { None } else { parent.directory.facts(leaf).ok()? }
    }

    /// Whether another run is writing what is `leaf` in the directory of `name`.
    fn is_written(&mut self, name: &Path, leaf: &OsStr) -> bool {
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

    /// Refuses if another run is writing `part`, the part of `name`.
    fn nobody_writes(&mut self, name: &Path, part: &OsStr, path: &Path) -> Result<()> {
        let Ok(parent) = self.of(name) else { return Ok(()) };
        match part::find(&parent.directory, part) {
            Ok(Found::Busy) => Err(Refusal::Busy { path: path.with_file_name(part) }.into()),
            Ok(Found::NoFile) => Err(Refusal::NotAPart { path: path.with_file_name(part) }.into()),
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

    /// Whether `name`, which is there, may be given to another file.
    fn check_replaceable(&mut self, guards: &Guards, name: &Path) -> io::Result<()> {
        match self.of(name) {
            Ok(parent) => guards.check_replaceable(&parent.directory, file_name(name)),
            // What cannot be had is said when it is wanted.
            Err(_) => Ok(()),
        }
    }

    /// Why the directory of `name` can be neither entered nor made, or takes no files.
    fn obstacle(&mut self, name: &Path) -> Option<String> {
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
    fn nearest<'n>(&mut self, name: &'n Path) -> Option<(&'n Path, Metadata)> {
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
