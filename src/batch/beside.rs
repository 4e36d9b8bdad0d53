//! What a batch reads and writes besides its sources and its files: the list,
//! the report. No item, part or map is one of these, nor a source.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::job::Batch;
use super::parents::Parents;
use super::preflight::file_name;
use super::sources::Sources;
use super::wanted::Wanted;
use crate::durable::target::{MAP_SUFFIX, PART_SUFFIX, sibling_name};
use crate::error::{Refusal, Result};
use crate::safety::roles::{Clash, Known, Role, Roles};
use crate::sys;

/// Files that are named beside the list of items.
#[derive(Clone, Default, Debug)]
pub(super) struct Beside(Vec<(Role, Cow<'static, str>, PathBuf)>);

impl Batch {
    /// Names another file that is read or written while the batch runs, and
    /// that no item may replace: `what` it is, for messages. Default: none.
    pub fn beside(
        mut self,
        role: Role,
        what: impl Into<Cow<'static, str>>,
        path: impl Into<PathBuf>,
    ) -> Batch {
        self.beside.0.push((role, what.into(), path.into()));
        self
    }
}

impl Beside {
    /// The roles of these files, and of sources that look like what an item is
    /// called while it is written.
    ///
    /// # Errors
    ///
    /// If one of the files is written and is a source.
    pub fn roles(&self, sources: &Sources) -> Result<Roles, Refusal> {
        let mut roles = Roles::default();
        for (role, what, path) in &self.0 {
            roles.add(*role, what.clone(), path)?;
        }
        // All others are found by what they are, and need no entry each.
        for number in 0..sources.len() as u32 {
            let path = sources.path(number);
            let facts = sources.facts(number).filter(|_| path.file_name().is_some_and(is_sibling));
            if let Some(facts) = facts {
                roles.add_known(Role::Read, SOURCE, path, facts)?;
            }
        }
        let find = sources.find();
        for (_, what, path) in self.0.iter().filter(|(role, ..)| *role == Role::Side) {
            let facts = sys::facts_of_path(path).ok().flatten();
            if let Some(source) = facts.and_then(|facts| find.path(&facts)) {
                let known = |role, what, path: &Path| Known { role, what, path: path.to_owned() };
                let added = known(Role::Side, what.clone(), path);
                let known = known(Role::Read, SOURCE.into(), source);
                return Err(Clash { known, added }.into());
            }
        }
        Ok(roles)
    }
}

fn is_sibling(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    name.ends_with(PART_SUFFIX) || name.ends_with(MAP_SUFFIX)
}

/// Whether the file of an item, its part or its map is something else that the
/// batch reads or writes, by names alone: nothing is asked for names that
/// nothing else has.
///
/// # Errors
///
/// A [`Refusal`].
pub(super) fn look_at_roles(
    parents: &mut Parents<'_>,
    into: &Path,
    wanted: &[Wanted],
    roles: &Roles,
) -> Result<(), Refusal> {
    for file in wanted {
        let name = file_name(&file.name);
        let mut check = |name: &OsStr, role: Role, what: &'static str| {
            if !roles.has_name(name) {
                return Ok(());
            }
            let Some(directory) = parents.thing(&file.name) else { return Ok(()) };
            // An item that is a source is refused as the same file, in other words.
            let is_other = |known: &&Known| (role, known.role) != (Role::Destination, Role::Read);
            let path = into.join(&file.name).with_file_name(name);
            let added = Known { role, what: what.into(), path };
            match roles.called(name, directory).find(is_other) {
                Some(known) => Err(Refusal::from(Clash { known: known.clone(), added })),
                None => Ok(()),
            }
        };
        check(name, Role::Destination, FILE)?;
        if roles.has_siblings() {
            check(&sibling_name(name, PART_SUFFIX), Role::Side, PART)?;
            check(&sibling_name(name, MAP_SUFFIX), Role::Side, MAP)?;
        }
    }
    Ok(())
}

/// What a source is in messages.
const SOURCE: &str = "a source";
/// What the file of an item is in messages.
pub(super) const FILE: &str = "a file of the batch";
/// The same of its part.
pub(super) const PART: &str = "the part of a file of the batch";
/// The same of its map.
pub(super) const MAP: &str = "the map of a file of the batch";
