//! Which files a job reads and writes, by what they are: none of them may be
//! written in two roles, or written in one and read in another.
//!
//! A file that is there is known by its identity, under whatever name; and each
//! by the directory that it lies, or will lie, in and its name there. Where a
//! destination lies in a source, at other bytes of it, is a question of ranges
//! and not asked here. This room knows paths and no options: who adds a file
//! says what to call it.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};

use crate::durable::previous::{map_beside, map_of_device};
use crate::durable::target::{MAP_SUFFIX, PART_SUFFIX, StagedTarget, sibling_name};
use crate::error::{MapRefusal, Refusal, quoted};
use crate::source::OpenSource;
use crate::sys::{self, FileKind, Metadata, Thing};

/// How many links may lead to each other, as on Linux.
const MOST_LINKS: u32 = 40;

/// What a job does with a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// It is read.
    Read,
    /// The copy goes there.
    Destination,
    /// It is written beside the copy.
    Side,
}

/// Where a destination is written that has been looked at.
pub struct Footprint<'a> {
    /// Its final path.
    pub path: &'a Path,
    /// What stands there.
    pub facts: Option<&'a Metadata>,
    /// The name that it gets when it is complete, if it is written beside that.
    pub staged: Option<&'a StagedTarget>,
    /// Where its map is, unless the user says otherwise.
    pub map: PathBuf,
}

/// A file and what the job does with it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Known {
    /// What it does.
    pub role: Role,
    /// What the file is to the job, with its article; or the option that names it.
    pub what: Cow<'static, str>,
    /// For messages.
    pub path: PathBuf,
}

/// One file in two roles that do not go together.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Clash {
    /// What was known before.
    pub known: Known,
    /// What was added.
    pub added: Known,
}

impl fmt::Display for Clash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let by_option = |known: &Known| known.what.starts_with("--");
        let (one, other) = match by_option(&self.added) || !by_option(&self.known) {
            true => (&self.added, &self.known),
            false => (&self.known, &self.added),
        };
        let (path, what) = (quoted(&other.path), &other.what);
        if by_option(one) && by_option(other) {
            write!(f, "{}: it would replace {path}, the file of {what}", one.what)
        } else if by_option(one) {
            write!(f, "{}: it would replace {path}, {what}", one.what)
        } else {
            let (other, same) = (quoted(&one.path), &one.what);
            write!(f, "{path} and {other} are the same file: {what}, and {same}")
        }
    }
}

impl From<Clash> for Refusal {
    fn from(clash: Clash) -> Refusal {
        Refusal::Other(clash.to_string())
    }
}

/// The files of a job.
#[derive(Default, Debug)]
pub struct Roles {
    things: HashMap<Thing, Known>,
    /// By name, with the directory it lies in.
    names: HashMap<OsString, Vec<(Thing, Known)>>,
    /// Whether a name looks like that of a part or a map.
    has_siblings: bool,
}

impl Roles {
    /// Adds what `path` leads to, which need not be there yet. What cannot be
    /// looked at is left to the code that opens it.
    ///
    /// # Errors
    ///
    /// If it is known in a role that does not go with this one.
    pub fn add(
        &mut self,
        role: Role,
        what: impl Into<Cow<'static, str>>,
        path: &Path,
    ) -> Result<(), Clash> {
        let added = Known { role, what: what.into(), path: path.to_owned() };
        let thing = sys::facts_of_path(path).ok().flatten().map(|facts| Thing::of(&facts));
        self.insert(thing, place_of(path), added)
    }

    /// Adds what is open, or known, as `facts`.
    ///
    /// # Errors
    ///
    /// As [`add`](Roles::add).
    pub fn add_known(
        &mut self,
        role: Role,
        what: impl Into<Cow<'static, str>>,
        path: &Path,
        facts: &Metadata,
    ) -> Result<(), Clash> {
        let added = Known { role, what: what.into(), path: path.to_owned() };
        self.insert(Some(Thing::of(facts)), place_of(path), added)
    }

    /// Adds every file of an open source.
    ///
    /// # Errors
    ///
    /// As [`add`](Roles::add).
    pub fn add_source(&mut self, source: &OpenSource) -> Result<(), Clash> {
        let mut files = source.files().iter();
        files.try_for_each(|file| self.add_known(Role::Read, "the source", &file.path, &file.facts))
    }

    /// Adds the destination that `path` names for a copy of `source`: a
    /// directory stands for the file in it that has the name of the source.
    /// With it its part, and its map unless that is elsewhere.
    ///
    /// # Errors
    ///
    /// As [`add`](Roles::add).
    pub fn add_destination(
        &mut self,
        path: &Path,
        source: &Path,
        has_map: bool,
    ) -> Result<(), Clash> {
        let mut path = path.to_owned();
        let node = |path: &Path| sys::facts_of_path(path).ok().flatten().map(|facts| facts.node);
        if node(&path) == Some(FileKind::Directory) {
            path.push(source.file_name().unwrap_or_default());
        }
        self.add(Role::Destination, "the destination", &path)?;
        let name = path.file_name().unwrap_or_default();
        let map = match node(&path) {
            Some(FileKind::BlockDevice) => map_of_device(&path),
            _ => {
                let part = path.with_file_name(sibling_name(name, PART_SUFFIX));
                self.add(Role::Side, "the part of the destination", &part)?;
                map_beside(&path)
            }
        };
        if has_map { self.add(Role::Side, "the map of the destination", &map) } else { Ok(()) }
    }

    /// Adds a destination that has been looked at, and its part.
    ///
    /// # Errors
    ///
    /// As [`add`](Roles::add).
    pub fn add_footprint(&mut self, footprint: &Footprint<'_>) -> Result<(), Clash> {
        let known = |role, what: &'static str, path: &Path| Known {
            role,
            what: what.into(),
            path: path.to_owned(),
        };
        let added = known(Role::Destination, "the destination", footprint.path);
        let thing = footprint.facts.map(Thing::of);
        let Some(staged) = footprint.staged else {
            return self.insert(thing, place_of(footprint.path), added);
        };
        self.insert(thing, in_directory(staged, &staged.name), added)?;
        let (part, path) = (staged.part_name(), staged.part_path());
        let thing = staged.directory.facts(&part).ok().flatten();
        let added = known(Role::Side, "the part of the destination", &path);
        self.insert(thing.map(|facts| Thing::of(&facts)), in_directory(staged, &part), added)
    }

    fn insert(
        &mut self,
        thing: Option<Thing>,
        place: Option<(Thing, OsString)>,
        added: Known,
    ) -> Result<(), Clash> {
        let clash = |known: &Known| Clash { known: known.clone(), added: added.clone() };
        let differ = |known: &&Known| !go_together(known.role, added.role);
        if let Some(known) = thing.and_then(|thing| self.things.get(&thing)).filter(differ) {
            return Err(clash(known));
        }
        if let Some((directory, name)) = &place
            && let Some(known) = self.called(name, *directory).find(differ)
        {
            return Err(clash(known));
        }
        if let Some((directory, name)) = place {
            let text = name.to_string_lossy();
            self.has_siblings |= text.ends_with(PART_SUFFIX) || text.ends_with(MAP_SUFFIX);
            self.names.entry(name).or_default().push((directory, added.clone()));
        }
        if let Some(thing) = thing {
            // A destination inside a source is both, and the stricter counts.
            let known = self.things.entry(thing).or_insert_with(|| added.clone());
            if known.role == Role::Read {
                *known = added;
            }
        }
        Ok(())
    }

    /// What is known of `thing`.
    pub fn get(&self, thing: Thing) -> Option<&Known> {
        self.things.get(&thing)
    }

    /// What is known under `name` in `directory`.
    pub fn called(&self, name: &OsStr, directory: Thing) -> impl Iterator<Item = &Known> {
        let all = self.names.get(&*folded(name));
        let here = all.into_iter().flatten().filter(move |(place, _)| *place == directory);
        here.map(|(_, known)| known)
    }

    /// Whether anything is known under `name`, wherever.
    pub fn has_name(&self, name: &OsStr) -> bool {
        !self.names.is_empty() && self.names.contains_key(&*folded(name))
    }

    /// Whether anything is known under a name that looks like that of a part or a map.
    pub fn has_siblings(&self) -> bool {
        self.has_siblings
    }
}

/// Whether one file may have both roles.
fn go_together(one: Role, other: Role) -> bool {
    one == Role::Read && other != Role::Side || other == Role::Read && one != Role::Side
}

/// The name as files are told apart by: on Windows case does not count.
fn folded(name: &OsStr) -> Cow<'_, OsStr> {
    match sys::WINDOWS_NAMES {
        true => Cow::Owned(name.to_string_lossy().to_lowercase().into()),
        false => Cow::Borrowed(name),
    }
}

fn in_directory(target: &StagedTarget, name: &OsStr) -> Option<(Thing, OsString)> {
    let directory = Thing::of(&target.directory.own_facts().ok()?);
    Some((directory, folded(name).into_owned()))
}

/// Refuses a map where the copy itself reads or writes: it would replace the
/// bytes, and go when the copy is complete. `is_named` tells whether the user
/// has chosen the place.
///
/// # Errors
///
/// The refusal.
pub fn check_map_is_apart(
    map: &Path,
    is_named: bool,
    source: &OpenSource,
    footprint: &Footprint<'_>,
) -> Result<(), Refusal> {
    let mut roles = Roles::default();
    roles.add_source(source)?;
    roles.add_footprint(footprint)?;
    roles.add(Role::Side, "the map of the copy", map).map_err(|clash| match is_named {
        false => clash.into(),
        true => MapRefusal::InTheWay { path: map.to_owned() }.into(),
    })
}

/// Refuses one destination under two names, and what is a destination or the
/// source and also the part or the map of one.
///
/// # Errors
///
/// The refusal.
pub(crate) fn check_distinct(
    source: Option<&OpenSource>,
    footprints: &[Footprint<'_>],
) -> Result<(), Refusal> {
    let mut roles = Roles::default();
    for footprint in footprints {
        roles.add_footprint(footprint).map_err(|clash| {
            match (clash.known.role, clash.added.role) {
                (Role::Destination, Role::Destination) => {
                    let (source_path, path) = (clash.known.path, clash.added.path);
                    Refusal::SameFile { source_path, path, what: "destination" }
                }
                _ => clash.into(),
            }
        })?;
    }
    if let Some(source) = source {
        roles.add_source(source)?;
    }
    for footprint in footprints {
        roles.add(Role::Side, "the map of a destination", &footprint.map)?;
    }
    Ok(())
}

/// The directory and the name that `path` leads to, behind links that need not
/// lead to anything.
fn place_of(path: &Path) -> Option<(Thing, OsString)> {
    let mut path = path.to_owned();
    for _ in 0..MOST_LINKS {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new(".")).to_owned();
        match path.read_link() {
            Ok(target) => path = folder.join(target),
            Err(_) => {
                let directory = sys::facts_of_path(&folder).ok()??;
                let name = folded(path.file_name()?).into_owned();
                return Some((Thing::of(&directory), name));
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An option is told to those who named it, whichever of the two came first.
    #[test]
    fn a_clash_is_told_by_the_option_that_makes_it() {
        let known = |what: &'static str, path: &str| Known {
            role: Role::Side,
            what: what.into(),
            path: path.into(),
        };
        let (option, other) = (known("--log", "a"), known("--map", "b"));
        let (source, part) = (known("the source", "c"), known("the part", "d"));
        let said = |known: &Known, added: &Known| {
            Clash { known: known.clone(), added: added.clone() }.to_string()
        };
        let by_option = "--log: it would replace 'c', the source";
        assert_eq!(said(&source, &option), by_option);
        assert_eq!(said(&option, &source), by_option);
        assert_eq!(said(&option, &other), "--map: it would replace 'a', the file of --log");
        let both = "'c' and 'd' are the same file: the source, and the part";
        assert_eq!(said(&source, &part), both);
    }

    /// A file that is read may be a destination as well, but not two.
    #[test]
    fn a_source_that_is_written_is_a_destination_from_then_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("file"), "x").unwrap();
        std::fs::hard_link(path("file"), path("other")).unwrap();
        for roles in [[Role::Read, Role::Destination], [Role::Destination, Role::Read]] {
            let mut known = Roles::default();
            for role in roles {
                known.add(role, "first", &path("file")).unwrap();
            }
            known.add(Role::Read, "again", &path("other")).unwrap();
            let clash = known.add(Role::Destination, "second", &path("other")).unwrap_err();
            assert_eq!(clash.known.role, Role::Destination, "{roles:?}");
        }
    }
}
