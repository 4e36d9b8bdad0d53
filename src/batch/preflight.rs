//! What a batch refuses before its first byte, beyond what its list says of
//! itself: names that are taken, what an earlier run left, missing room.

use std::io;
use std::path::{Path, PathBuf};

use super::large::{SMALLEST_WITH_MAP, map_path};
use super::manifest::{ErrorKind, ManifestError, ManifestErrors};
use super::output::{Wanted, walk};
use super::plan::BatchPlan;
use super::sources::Sources;
use crate::durable::leftover::Leftovers;
use crate::durable::target::{PART_SUFFIX, sibling_name};
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
    (root, into): (&Directory, &Path),
    consent: Consent,
    wanted: &mut [Wanted],
    sources: &Sources,
) -> Result<()> {
    let mut parents = Parents::new(root);
    for file in wanted {
        let path = into.join(&file.name);
        if consent.leftovers == Leftovers::Refuse {
            let part = sibling_name(file_name(&file.name), PART_SUFFIX);
            if parents.facts(&file.name, &part).is_some() {
                return Err(Refusal::Leftover { path: path.with_file_name(part) }.into());
            }
            if file.len >= SMALLEST_WITH_MAP && map_path(&path).exists() {
                return Err(Refusal::Leftover { path: map_path(&path) }.into());
            }
        }
        let Some(facts) = parents.facts(&file.name, file_name(&file.name)) else { continue };
        let is_source = |number: &u32| sources.facts(*number).same_thing(&facts);
        if let Some(number) = (0..sources.len() as u32).find(is_source) {
            let source_path = sources.path(number).to_owned();
            return Err(Refusal::SameFile { source_path, path, what: "file" }.into());
        }
        if !consent.force || facts.node == Node::Directory {
            return Err(Refusal::Exists { path }.into());
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
    root: &Directory,
    wanted: &[Wanted],
    line: &dyn Fn(u32) -> u64,
) -> std::result::Result<(), ManifestErrors> {
    let mut parents = Parents::new(root);
    let mut errors = Vec::new();
    for (output, file) in (0..).zip(wanted) {
        if let Some(error) = parents.obstacle(&file.name) {
            let name = quoted(&*file.name);
            let message = format!(
                "{name}: its directory cannot be had, or is a symbolic link and not followed: {error}"
            );
            let (line, kind) = (line(output), ErrorKind::Refused);
            errors.push(ManifestError { line, kind, message: message.into() });
        }
    }
    ManifestErrors::from_unordered(errors).or(())
}

/// Whether the directory has room for what is wanted.
///
/// # Errors
///
/// [`Refusal::NoSpace`].
pub fn has_space(root: &Directory, into: &Path, plan: &BatchPlan) -> Result<()> {
    let needed = plan.wanted_bytes();
    match root.available_space() {
        Ok(available) if needed > available => {
            Err(Refusal::NoSpace { path: into.to_owned(), needed, available }.into())
        }
        _ => Ok(()),
    }
}

/// The last component of a checked name.
pub fn file_name(name: &Path) -> &std::ffi::OsStr {
    name.file_name().unwrap_or_default()
}

/// Looks at names below a directory without making anything; the directory of
/// the last name is kept at hand.
pub struct Parents<'a> {
    root: &'a Directory,
    last: Option<(PathBuf, io::Result<Directory>)>,
}

impl<'a> Parents<'a> {
    pub fn new(root: &'a Directory) -> Parents<'a> {
        Parents { root, last: None }
    }

    /// What `leaf` is in the directory of `name`.
    pub fn facts(&mut self, name: &Path, leaf: &std::ffi::OsStr) -> Option<sys::Facts> {
        self.of(name).as_ref().ok()?.facts(leaf).ok()?
    }

    /// Why the directory of `name` can be neither entered nor made.
    fn obstacle(&mut self, name: &Path) -> Option<&io::Error> {
        self.of(name).as_ref().err().filter(|error| error.kind() != io::ErrorKind::NotFound)
    }

    fn of(&mut self, name: &Path) -> &io::Result<Directory> {
        let parent = name.parent().unwrap_or(Path::new(""));
        let last = self.last.take().filter(|(path, _)| path == parent);
        let walked = || (parent.to_owned(), walk(self.root, parent, false));
        &self.last.insert(last.unwrap_or_else(walked)).1
    }
}
