//! What a batch refuses before its first byte, beyond what its list says of
//! itself: names that are taken, what an earlier run left, missing room.

use std::cell::OnceCell;
use std::collections::HashSet;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::beside::{FILE, MAP, PART};
use super::moving::How;
use super::parents::Parents;
use super::plan::BatchPlan;
use super::queue::Segment;
use super::sources::Sources;
use super::tree::in_the_way;
use super::wanted::Wanted;
use crate::address;
use crate::durable::previous::Leftovers;
use crate::durable::target::{MAP_SUFFIX, sibling_name};
use crate::durable::trust::{Examiner, Purpose};
use crate::error::{Refusal, Result, quoted};
use crate::manifest::{ErrorKind, ManifestError, ManifestErrors};
use crate::safety::roles::{Clash, Known, Role, Roles};
use crate::safety::{Ground, is_new_among_devices};
use crate::sys::{self, Directory, FileKind, Guards, Metadata, Replace, Thing};

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

/// What stands under the names of a batch: refused, or to be replaced.
pub struct Names<'a, 'p> {
    pub parents: &'a mut Parents<'p>,
    pub into: &'a Path,
    pub consent: Consent,
    pub examiner: &'a mut Examiner,
    pub sources: &'a Sources,
    pub roles: &'a Roles,
    /// What must not be replaced, once that was asked.
    pub guards: OnceCell<Guards>,
}

impl Names<'_, '_> {
    /// Looks at what stands under each of `wanted`, and says of it what is to become of it.
    ///
    /// # Errors
    ///
    /// A [`Refusal`].
    pub fn check(&mut self, wanted: &mut [Wanted]) -> Result<()> {
        if !self.consent.same_device {
            look_at_ground(self.parents, self.into, wanted, self.sources)?;
        }
        check_lengths(self.parents.root(), self.into, wanted)?;
        for file in wanted.iter_mut().filter(|file| !file.complete) {
            file.has_map |= file.is_worth_a_map();
            if self.parents.is_vacant(&file.name) {
                continue;
            }
            match self.look(file) {
                // The run that made it may have ended since. Or it made its part only after
                // that was looked for, and then its map was found without a part.
                Err(Refusal::Leftover { .. }) => self.look(file)?,
                looked => looked?,
            }
        }
        Ok(())
    }

    fn look(&mut self, file: &mut Wanted) -> Result<(), Refusal> {
        let path = self.into.join(&file.name);
        self.look_at_part(file, &path)?;
        let existing = self.parents.facts(&file.name, file_name(&file.name));
        if existing.is_some() || file.is_worth_a_map() {
            self.look_at_map(file, &path, existing.is_some())?;
        }
        match existing {
            Some(facts) => self.look_at_name(file, path, &facts),
            None => Ok(()),
        }
    }

    fn look_at_part(&mut self, file: &Wanted, path: &Path) -> Result<(), Refusal> {
        let part = file.part_name();
        let path = path.with_file_name(&part);
        let left = self.parents.facts(&file.name, &part);
        if let Some(facts) = &left {
            self.check_free(facts, &path, PART)?;
        }
        if self.consent.leftovers != Leftovers::Refuse {
            // A small part is made anew in any case.
            let writes = self.consent.leftovers == Leftovers::Resume && file.has_map;
            let purpose = if writes { Purpose::Write } else { Purpose::Discard };
            self.parents.examine(&file.name, &part, &path, purpose, self.examiner)?;
            return self.parents.nobody_writes(&file.name, &part, path);
        }
        let Some(facts) = left else { return Ok(()) };
        // Neither option would help where it is not a part.
        let is_written = self.parents.is_written(&file.name, &part);
        Err(match facts.node {
            FileKind::File if is_written => Refusal::Busy { path },
            FileKind::File => Refusal::Leftover { resumable: true, path },
            _ => Refusal::NotAPart { path },
        })
    }

    fn look_at_map(&mut self, file: &mut Wanted, path: &Path, exists: bool) -> Result<(), Refusal> {
        let map = sibling_name(file_name(&file.name), MAP_SUFFIX);
        let path = path.with_file_name(&map);
        let found = self.parents.facts(&file.name, &map);
        if let Some(facts) = &found {
            self.check_free(facts, &path, MAP)?;
        }
        if found.is_some() && !exists && self.consent.leftovers == Leftovers::Refuse {
            return Err(Refusal::Leftover { resumable: true, path });
        }
        let purpose = match self.consent.leftovers {
            Leftovers::Resume => Purpose::Believe,
            Leftovers::Refuse | Leftovers::Restart => Purpose::Discard,
        };
        self.parents.examine(&file.name, &map, &path, purpose, self.examiner)?;
        file.has_map |= found.is_some();
        Ok(())
    }

    fn look_at_name(
        &mut self,
        file: &mut Wanted,
        path: PathBuf,
        facts: &Metadata,
    ) -> Result<(), Refusal> {
        self.check_free(facts, &path, FILE)?;
        if file.partial.is_some() {
            return Ok(());
        }
        if facts.node == FileKind::Directory {
            return Err(in_the_way(path, facts, "a file"));
        }
        if !self.consent.force {
            return Err(Refusal::Exists { path, in_batch: true });
        }
        let is_written = self.parents.is_written(&file.name, file_name(&file.name));
        if facts.node == FileKind::File && is_written {
            return Err(Refusal::Busy { path });
        }
        let guards = self.guards.get_or_init(Guards::now);
        self.parents
            .check_replaceable(guards, &file.name)
            .map_err(|source| Refusal::CannotReplace { path, in_place: false, source })?;
        file.replace = Replace::Yes;
        Ok(())
    }

    /// Refuses what has the name of a file, or of its part or map, if it is a source, the
    /// list or the report.
    fn check_free(&self, facts: &Metadata, path: &Path, what: &'static str) -> Result<(), Refusal> {
        if let Some(source_path) = self.sources.find().path(facts).map(Path::to_owned) {
            return Err(Refusal::SameFile { source_path, path: path.to_owned(), what: "file" });
        }
        self.roles.get(Thing::of(facts)).map_or(Ok(()), |known| {
            let added = Known { role: Role::Side, what: what.into(), path: path.to_owned() };
            Err(Clash { known: known.clone(), added }.into())
        })
    }
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
