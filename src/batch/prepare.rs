//! What a batch does before its first byte: opens, looks, refuses, plans. Writes
//! nothing but the folders themselves, and not those if it refuses.

use std::cell::OnceCell;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::beside::look_at_roles;
use super::job::Batch;
use super::moving::{How, check_sizes};
use super::named::{Keeping, Named};
use super::parents::Parents;
use super::partial::{Look, Standing, missing};
use super::plan::BatchPlan;
use super::preflight::{Consent, Names, Space, look_at_parents, open_root, remove_if_made};
use super::preserving;
use super::remote::check_stop;
use super::sources::Sources;
use super::tree;
use super::wanted::Wanted;
use crate::cpu::Pool;
use crate::durable::previous::Leftovers;
use crate::durable::side;
use crate::durable::trust::Examiner;
use crate::engine::Reflink;
use crate::error::{Error, ErrorKind, Refusal, Result};
use crate::manifest::{self, Item, ManifestErrors};
use crate::pool::{self, controller::Workers};
use crate::progress::{CancelToken, Phase, Watch};
use crate::safety::roles::Roles;
use crate::sys::{Directory, Metadata, Thing};
use crate::tree::Tree;

/// A batch that has passed every check.
pub(super) struct Ready {
    pub sources: Sources,
    /// At least one.
    pub folders: Vec<Folder>,
    pub plan: BatchPlan,
    /// How many workers there may be.
    pub workers: Workers,
    /// What was doubtful of what earlier runs left.
    pub notes: Vec<String>,
}

impl Ready {
    /// Whether files can get their names in every folder.
    ///
    /// # Errors
    ///
    /// [`Refusal::NoRename`].
    pub fn check_renames(&self) -> Result<(), Refusal> {
        self.folders.iter().try_for_each(|folder| check_renames(&folder.directory, &folder.path))
    }
}

/// A folder that was looked at.
pub(super) struct Folder {
    pub path: PathBuf,
    pub directory: Directory,
    pub wanted: Vec<Wanted>,
    /// Items that an earlier run completed here.
    pub complete: Vec<bool>,
    /// Why it is left out, of several, from the beginning.
    pub refusal: Option<Error>,
}

/// Folders that are made to look at them.
pub(super) struct Made<'a>(Vec<(&'a Path, OnceLock<Metadata>)>);

impl<'a> Made<'a> {
    /// None yet of `folders`.
    pub fn of(folders: &'a [PathBuf]) -> Made<'a> {
        Made(folders.iter().map(|path| (&**path, OnceLock::new())).collect())
    }

    /// Removes them. Best effort.
    pub fn remove(&self) {
        self.0.iter().for_each(|(path, made)| remove_if_made(path, made));
    }
}

/// What all folders are looked at with.
struct Common<'a> {
    sources: &'a Sources,
    roles: &'a Roles,
    plan: &'a BatchPlan,
    how: &'a How,
    /// Longest request that is scattered, in bytes.
    scattered: u64,
}

impl Batch {
    /// Opens, looks, refuses, plans.
    ///
    /// # Errors
    ///
    /// Whatever must not be done.
    pub(super) fn prepare(&self, made: &Made<'_>, watch: Watch<'_>) -> Result<Ready> {
        watch.progress.enter(Phase::Preparing);
        self.options.check()?;
        let ready = self.check(made, watch.cancel);
        ready.inspect_err(|_| made.remove())
    }

    fn check(&self, made: &Made<'_>, cancel: &CancelToken) -> Result<Ready> {
        check_sizes(&self.options)?;
        pool::check_request(self.request_size())?;
        self.check_several()?;
        let stay_open = self.handles().sources;
        let any_state = self.options.allow_changed_source;
        let named = self.named(Keeping { stay_open, any_state }, cancel)?;
        self.check_manifest(&named)?;
        self.check_states(&named)?;
        let sources = &named.sources;
        if self.options.require_read_only {
            sources.check_protection()?;
        }
        let roles = self.beside.roles(sources)?;
        let open = |(path, made): &(&Path, _)| open_root(path, self.make_into, made);
        let directories = made.0.iter().map(open).collect::<Result<Vec<Directory>>>()?;
        check_distinct(&self.into, &directories)?;
        let how = How::of(&self.options);
        let digests = !self.options.digests.is_empty();
        let check = |directory| how.check(&self.items, sources, directory, digests);
        directories.iter().try_for_each(check)?;
        let source_of = |row: usize, item: &Item| named.of(row, item);
        let scattered = how.scattered(self.request_size());
        let together = self.together(scattered);
        let mut examiner = Examiner::new(self.options.trust);
        let find = |(root, into): (&Directory, &PathBuf)| {
            let look = Look { items: &self.items, into, root, sources, any_state, cancel };
            look.find(&source_of, together, &mut examiner)
        };
        // Where files are to be replaced, that they are there says nothing: it
        // may as well be the old ones.
        let standing = match self.options.leftovers {
            Leftovers::Resume if !self.options.force => {
                directories.iter().zip(&self.into).map(find).collect::<Result<Vec<_>>>()?
            }
            _ => self.into.iter().map(|_| Standing::of_nothing(self.items.len())).collect(),
        };
        let skip = |row: usize| standing.iter().all(|folder| folder.complete[row]);
        let missing = |row: usize| missing(&standing, row);
        let (plan, mut wanted) =
            BatchPlan::new(&self.items, source_of, skip, missing, sources.len(), together)?;
        let suffix = self.claim.as_ref().map(|claim| &claim.suffix);
        wanted.iter_mut().for_each(|file| file.suffix = suffix.cloned());
        if self.options.preserve {
            preserving::check(&self.items, &plan, &wanted, sources)?;
        }
        let names = || wanted.iter().map(|file| &*file.name);
        check_apart(&self.into, || names().chain(self.tree.iter().flat_map(Tree::names)))?;
        let workers = self.workers(directories.iter(), sources);
        let common = Common { sources, roles: &roles, plan: &plan, how: &how, scattered };
        let mut folders = Vec::with_capacity(directories.len());
        for ((directory, standing), path) in directories.into_iter().zip(standing).zip(&self.into) {
            let mut wanted = match folders.len() + 1 == self.into.len() {
                true => std::mem::take(&mut wanted),
                false => wanted.clone(),
            };
            standing.mark(&plan, &mut wanted);
            let (path, complete) = (path.clone(), standing.complete);
            let folder = Folder { path, directory, wanted, complete, refusal: None };
            folders.push(self.look_at(folder, &common, &mut examiner)?);
        }
        check_room(&mut folders)?;
        let mut notes = examiner.into_notes();
        notes.extend(sources.who_may_write());
        Ok(Ready { sources: named.sources, folders, plan, workers, notes })
    }

    /// Refuses what stands in the way in a folder. That there is no room is noted.
    fn look_at(
        &self,
        mut folder: Folder,
        common: &Common<'_>,
        examiner: &mut Examiner,
    ) -> Result<Folder> {
        let Common { sources, roles, plan, how, scattered } = *common;
        let Folder { path: into, directory: root, wanted, .. } = &mut folder;
        let mut parents = Parents::new(root);
        let (force, leftovers) = (self.options.force, self.options.leftovers);
        let consent = Consent { force, leftovers, same_device: self.options.allow_same_device };
        let line = |output: u32| self.items[plan.rows(output)[0] as usize].line;
        if let Some(tree) = &self.tree {
            let standing = tree::Standing { tree, root, into, options: &self.options };
            standing.check(&mut parents)?;
        }
        look_at_parents(&mut parents, wanted, &line).map_err(|errors| refused(&errors))?;
        look_at_roles(&mut parents, into, wanted, roles)?;
        let parents = &mut parents;
        let guards = OnceCell::new();
        Names { parents, into, consent, examiner, sources, roles, guards }.check(wanted)?;
        if !self.options.ignore_space {
            let space = Space { plan, wanted, sources, how, scattered };
            folder.refusal = space.check(root, into, self.options.leftovers).err();
        }
        Ok(folder)
    }

    /// Refuses what several folders cannot have together.
    fn check_several(&self) -> Result<()> {
        if self.into.len() == 1 {
            return Ok(());
        }
        if !self.options.engine.may_be("positioned") {
            let problem = "can only be positioned";
            return Err(ErrorKind::usage_of(&["engine", "also"], problem).into());
        }
        if self.options.reflink == Reflink::Always {
            let problem = "cannot be always: extents are shared by one at a time";
            return Err(ErrorKind::usage_of(&["reflink", "also"], problem).into());
        }
        Ok(())
    }

    /// The sources of the items.
    pub(super) fn named(&self, opening: Keeping, cancel: &CancelToken) -> Result<Named<'_>> {
        if let Some(tree) = &self.tree {
            return Named::of_tree(&self.items, tree, opening);
        }
        let named =
            Named::open(&self.items, self.source.as_deref(), opening, &self.options, cancel);
        check_stop(cancel)?;
        Ok(named)
    }

    /// Everything that is wrong with the list, be it what was found when it was
    /// read, a source that is not there, or what is asked of one.
    pub(super) fn check_manifest(&self, named: &Named<'_>) -> Result<()> {
        let pool = Pool::for_items(self.items.len());
        let checked = match &self.tree {
            // Their names are there already, and so can be.
            Some(_) => manifest::check_apart(&self.items, &pool),
            None => manifest::check_with(&self.items, |source| named.size(source), &pool),
        };
        let mut errors = self.unread.clone();
        if let Err(refused) = checked {
            errors.merge(refused);
        }
        errors.or(()).map_err(|errors| refused(&errors))
    }
}

/// Refuses if no folder has room.
fn check_room(folders: &mut [Folder]) -> Result<()> {
    match folders.iter().any(|folder| folder.refusal.is_none()) {
        true => Ok(()),
        false => Err(folders
            .iter_mut()
            .find_map(|folder| folder.refusal.take())
            .expect("there is a folder")),
    }
}

/// Refuses to write to one folder twice.
///
/// # Errors
///
/// [`Refusal::SameFile`].
pub(super) fn check_distinct(paths: &[PathBuf], directories: &[Directory]) -> Result<(), Refusal> {
    let mut known: Vec<(Option<Thing>, PathBuf, &PathBuf)> = Vec::new();
    for (path, directory) in paths.iter().zip(directories) {
        let thing = directory.own_facts().ok().map(|facts| Thing::of(&facts));
        let real = real(path);
        let is_it = |(other, place, _): &&(Option<Thing>, PathBuf, &PathBuf)| {
            thing.is_some() && *other == thing || *place == real
        };
        if let Some((.., source_path)) = known.iter().find(is_it) {
            let (source_path, path) = ((*source_path).clone(), path.clone());
            return Err(Refusal::SameFile { source_path, path, what: "destination" });
        }
        known.push((thing, real, path));
    }
    Ok(())
}

/// Where `path` leads; what cannot be told is as it is written.
fn real(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

/// Refuses a folder that lies in another one, where one of `names` is to be in that.
fn check_apart<'n, N: Iterator<Item = &'n Path>>(
    paths: &[PathBuf],
    names: impl Fn() -> N,
) -> Result<(), Refusal> {
    let real: Vec<PathBuf> = paths.iter().map(|path| real(path)).collect();
    for (outer, outer_path) in real.iter().zip(paths) {
        for (inner, inner_path) in real.iter().zip(paths) {
            let Ok(below) = inner.strip_prefix(outer) else { continue };
            if below.as_os_str().is_empty() {
                continue;
            }
            if let Some(name) = names().find(|name| name.starts_with(below)) {
                let (source_path, path) = (outer_path.join(name), inner_path.clone());
                let what = "place: one folder lies in the other";
                return Err(Refusal::SameFile { source_path, path, what });
            }
        }
    }
    Ok(())
}

pub(super) fn refused(errors: &ManifestErrors) -> Error {
    match errors.kind() {
        manifest::ErrorKind::Refused => {
            Refusal::List { lines: errors.to_string(), faults: errors.faults() }.into()
        }
        _ => ErrorKind::BadList { lines: errors.to_string(), faults: errors.faults() }.into(),
    }
}

/// Whether files can get their names in `root`, which is at `path`, in the end. A
/// dry run does not ask: it takes a file.
///
/// # Errors
///
/// [`Refusal::NoRename`].
fn check_renames(root: &Directory, path: &Path) -> Result<(), Refusal> {
    side::check_renames(root)
        .map_err(|source| Refusal::NoRename { directory: path.to_owned(), source })
}
