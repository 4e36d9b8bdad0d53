//! What an interrupted run left, and whether this job may resume it.
//!
//! A run leaves up to two things: the part, which holds bytes, and the map,
//! which says which of them are on the disk. The part is locked while a run
//! writes it, so a run that gets the lock knows that no other is at work; the
//! map is read only after that. Nothing is changed here: what is to be
//! discarded is discarded when the job begins.

mod left_map;
#[cfg(test)]
mod tests;

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::checkpoint::WORTH_ROOM;
use super::map::{Difference, Evidence, Identity, Map, MapFile, ObjectId};
use super::part::{self, Found};
use super::recheck;
use super::target::{MAP_SUFFIX, OpenTarget, StagedTarget, sibling_name};
use super::trust::{self, Examiner, Purpose};
use crate::error::{MapRefusal, Refusal, Remedy, Result};
use crate::sys::{self, FileKind, Metadata};
use crate::words::words;

pub use left_map::{check_discardable, check_no_map, check_no_map_alone, load};

words! {
    /// What to do with what an interrupted run left.
    #[derive(Default)]
    pub enum Leftovers {
        /// Refuse to start while there is something.
        #[default]
        Refuse = "refuse",
        /// Resume it; start from the beginning if there is nothing.
        Resume = "resume",
        /// Discard it and start from the beginning.
        Restart = "restart",
    }
}

/// Where a job begins.
#[derive(Default)]
pub enum Start {
    /// Nothing was left.
    #[default]
    Fresh,
    /// What was left is to be discarded: a map, a part or both. The part, if there
    /// is one, stays open and locked until then.
    Over(Option<File>),
    /// An earlier run got so far.
    Resume(Box<Previous>),
}

impl Start {
    /// Whether an earlier run gave its file the final name.
    pub fn is_committed(&self) -> bool {
        matches!(self, Start::Resume(earlier) if earlier.committed)
    }

    /// The map that is gone on from, if it is the user's, as one of ddrescue is.
    pub fn map_of_the_user(&self) -> Option<Map> {
        let Start::Resume(earlier) = self else { return None };
        earlier.map.identity.is_none().then(|| earlier.map.clone())
    }
}

/// What an earlier run got done.
pub struct Previous {
    /// What is done, failed, and not tried.
    pub map: Map,
    /// The file the earlier run wrote, open and locked; `None` where the
    /// destination itself is it.
    pub file: Option<(File, Metadata)>,
    /// The earlier run gave the file its final name, because all that was
    /// missing could not be read.
    pub committed: bool,
    /// Where the map and this job differ: the bytes must show that the map is
    /// true despite that.
    pub hints: Vec<Difference>,
}

impl Previous {
    /// How much must be compared for the map to be believed; `None`: no hint
    /// speaks against it.
    pub fn evidence(&self) -> Option<Evidence> {
        self.hints.iter().map(|hint| hint.evidence).max()
    }
}

/// Where the map of the file at `path` lives unless the user says otherwise:
/// beside it.
pub fn map_beside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default();
    path.with_file_name(sibling_name(name, MAP_SUFFIX))
}

/// The same of the device at `path`: in the working directory, because the folder
/// of device nodes is emptied by every restart of the machine.
pub fn map_of_device(path: &Path) -> PathBuf {
    PathBuf::from(sibling_name(&sys::device_name(path), MAP_SUFFIX))
}

/// Takes the lock that says "a run is writing this"; see [`part::stays_busy`].
///
/// # Errors
///
/// [`Refusal::Busy`] if another run has it.
pub fn lock_destination(file: &File, path: &Path) -> Result<(), Refusal> {
    match part::stays_busy(file) {
        true => Err(Refusal::Busy { path: path.to_owned() }),
        false => Ok(()),
    }
}

/// A part that holds no more may be of a run that ended before its first map.
pub const LITTLE: u64 = WORTH_ROOM;

/// What is looked for, and how. `leftovers` says what is to become of what an
/// earlier run left, `examiner` whether that is ours.
pub struct Search<'a> {
    /// Where the map is, if there is one.
    pub map_file: &'a MapFile,
    /// What the user wants.
    pub leftovers: Leftovers,
    /// Who judges whose it is.
    pub examiner: &'a mut Examiner,
    /// What is to be copied; with the object that was written, if that is known.
    pub identity: &'a dyn Fn(Option<ObjectId>) -> Identity,
}

impl Search<'_> {
    /// Finds out where a job begins that writes `target`, which is locked, where it
    /// is. `serial` is the number of a device.
    ///
    /// # Errors
    ///
    /// A [`Refusal`]: something was left and the user did not say what to do with
    /// it, it is another run's, another job's or another user's, or it is not usable.
    pub fn open(&mut self, target: &OpenTarget, serial: Option<String>) -> Result<Start> {
        match self.leftovers {
            Leftovers::Restart => {
                return Ok(match check_discardable(self.map_file, self.examiner)? {
                    true => Start::Over(None),
                    false => Start::Fresh,
                });
            }
            Leftovers::Refuse => {
                check_no_map(self.map_file, self.examiner)?;
                return Ok(Start::Fresh);
            }
            Leftovers::Resume => {}
        }
        let Some(map) = load(self.map_file, self.examiner)? else { return Ok(Start::Fresh) };
        let job = (self.identity)(Some(object_id(&target.facts, serial)));
        let hints = compare(&map, self.map_file, &job)?;
        if target.facts.node == FileKind::File {
            check_length(&map, &job, &target.facts, &target.path)?;
        }
        Ok(Start::Resume(Box::new(Previous { map, file: None, committed: false, hints })))
    }

    /// The same of a job that makes a new file.
    ///
    /// # Errors
    ///
    /// As of [`Search::open`].
    pub fn staged(&mut self, target: &StagedTarget) -> Result<Start> {
        let purpose = match self.leftovers {
            Leftovers::Resume => Purpose::Write,
            Leftovers::Refuse | Leftovers::Restart => Purpose::Discard,
        };
        let part = open_part(target, purpose, self.examiner)?;
        match self.leftovers {
            Leftovers::Refuse => {
                if part.is_some() {
                    return Err(
                        Refusal::Leftover { resumable: true, path: target.part_path() }.into()
                    );
                }
                check_no_map_alone(self.map_file, self.examiner, |examiner| {
                    check_not_begun(target, purpose, examiner)
                })?;
                Ok(Start::Fresh)
            }
            Leftovers::Restart => {
                let has_map = check_discardable(self.map_file, self.examiner)?;
                Ok(match part {
                    Some((file, _)) => Start::Over(Some(file)),
                    None if has_map => Start::Over(None),
                    None => Start::Fresh,
                })
            }
            Leftovers::Resume => self.resume(target, part),
        }
    }

    fn resume(&mut self, target: &StagedTarget, part: Option<(File, Metadata)>) -> Result<Start> {
        let map_file = self.map_file;
        let Some(map) = load(map_file, self.examiner)? else {
            let Some((file, facts)) = part else { return Ok(Start::Fresh) };
            // A part without a map: the run ended before anything was known to be on the disk.
            check_had_no_map(target, map_file, &file, &facts)?;
            return Ok(Start::Over(Some(file)));
        };
        if map.identity.is_none() {
            let (path, remedies) = (map_file.path(), &[Remedy::InPlaceAsInTheMap]);
            return Err(MapRefusal::Alien { path, remedies }.into());
        }
        if let Some((file, facts)) = part {
            let job = (self.identity)(Some(object_id(&facts, None)));
            let hints = compare(&map, map_file, &job)?;
            check_length(&map, &job, &facts, &target.part_path())?;
            if map.done.is_empty() && hints.iter().any(is_of_part) {
                // Nothing shows that it is the part of this map.
                check_holds_little(target, &file, &facts)?;
                return Ok(Start::Over(Some(file)));
            }
            let file = Some((file, facts));
            let earlier = Previous { map, file, committed: false, hints };
            return Ok(Start::Resume(Box::new(earlier)));
        }
        let earlier = resume_committed(target, map_file, map, self.identity)?;
        Ok(Start::Resume(Box::new(earlier)))
    }
}

/// The part, open and locked, if there is one that may be used for `purpose`.
///
/// # Errors
///
/// A [`Refusal`].
pub fn open_part(
    target: &StagedTarget,
    purpose: Purpose,
    examiner: &mut Examiner,
) -> Result<Option<(File, Metadata)>, Refusal> {
    let (name, path) = (target.part_name(), target.part_path());
    // First by name: of another user, it may not even be opened.
    let found = target.directory.facts(&name).map_err(|source| cannot(target, &name, source))?;
    let Some(found) = found.filter(|found| found.node == FileKind::File) else {
        return open_locked(target, &name, &path);
    };
    examiner.check(&target.directory, &found, purpose, &path)?;
    match open_locked(target, &name, &path)? {
        Some((file, facts)) => {
            if !trust::is_unchanged(&found, &facts) {
                examiner.check(&target.directory, &facts, purpose, &path)?;
            }
            Ok(Some((file, facts)))
        }
        None => Ok(None),
    }
}

/// Refuses a part of `target`, or its name, where neither was found.
///
/// # Errors
///
/// A [`Refusal`].
pub fn check_not_begun(
    target: &StagedTarget,
    purpose: Purpose,
    examiner: &mut Examiner,
) -> Result<(), Refusal> {
    match open_part(target, purpose, examiner)? {
        Some(_) => Err(Refusal::Leftover { resumable: true, path: target.part_path() }),
        None => target.check_still_free(),
    }
}

/// The file that the earlier run gave its name, which ended before it could
/// remove the map, or left the map for what was unreadable.
fn resume_committed(
    target: &StagedTarget,
    map_file: &MapFile,
    map: Map,
    identity: &dyn Fn(Option<ObjectId>) -> Identity,
) -> Result<Previous> {
    let is_file = target.existing.as_ref().is_some_and(|facts| facts.node == FileKind::File);
    let standing = if is_file { open_locked(target, &target.name, &target.path)? } else { None };
    let Some((file, facts)) = standing else {
        // Its run may have been alive, and have given the name by now.
        target.check_still_free()?;
        let reason = format!("{} is gone", crate::error::quoted(target.part_path()));
        return Err(Refusal::NothingToResume { reason, remedies: &[Remedy::Restart] }.into());
    };
    let job = identity(Some(object_id(&facts, None)));
    let hints = compare(&map, map_file, &job)?;
    check_length(&map, &job, &facts, &target.path)?;
    // It had its whole length when it got its name: somebody has used it since.
    let whole = job.destination.offset.saturating_add(job.range.len());
    if facts.size != whole {
        let reason = format!(
            "{} has {} bytes, and the copy gave it {whole}: it has been changed since",
            crate::error::quoted(&target.path),
            facts.size,
        );
        let remedies = &[Remedy::ForceAndRestart];
        return Err(Refusal::NothingToResume { reason, remedies }.into());
    }
    Ok(Previous { map, file: Some((file, facts)), committed: true, hints })
}

/// Refuses to start over a part that may have a map under another name: hours
/// of work may be in it. A run makes a map as soon as it has lasted for a moment.
/// How long it has lasted is not asked: clocks are set, and mounts differ.
fn check_had_no_map(
    target: &StagedTarget,
    map_file: &MapFile,
    part: &File,
    facts: &Metadata,
) -> Result<(), Refusal> {
    if recheck::data_up_to(part, facts, LITTLE) <= LITTLE {
        return Ok(());
    }
    let reason = format!(
        "{} holds more than {LITTLE} bytes, and there is no {}",
        crate::error::quoted(target.part_path()),
        crate::error::quoted(map_file.path()),
    );
    let remedies = &[Remedy::SameMap, Remedy::Restart];
    Err(Refusal::NothingToResume { reason, remedies })
}

/// Refuses to start over a part that is another file than that of the map, unless
/// it holds next to nothing.
fn check_holds_little(target: &StagedTarget, part: &File, facts: &Metadata) -> Result<(), Refusal> {
    if recheck::data_up_to(part, facts, LITTLE) <= LITTLE {
        return Ok(());
    }
    let reason = format!(
        "{} is another file than the map speaks of, and holds more than {LITTLE} bytes",
        crate::error::quoted(target.part_path()),
    );
    Err(Refusal::NothingToResume { reason, remedies: &[Remedy::Restart] })
}

/// The file `name`, open and locked, if there is one.
///
/// # Errors
///
/// A [`Refusal`].
pub fn open_locked(
    target: &StagedTarget,
    name: &OsStr,
    path: &Path,
) -> Result<Option<(File, Metadata)>, Refusal> {
    let found = part::find_born(&target.directory, name);
    match found.map_err(|source| cannot(target, name, source))? {
        Found::Nothing => Ok(None),
        Found::NoFile => Err(Refusal::NotAPart { path: path.to_owned() }),
        Found::Busy => Err(Refusal::Busy { path: path.to_owned() }),
        Found::Left(file, facts) => Ok(Some((file, facts))),
    }
}

/// That `name` cannot be had in the directory of `target`.
pub fn cannot(target: &StagedTarget, name: &OsStr, source: io::Error) -> Refusal {
    Refusal::CannotCreate {
        directory: target.directory_path.clone(),
        name: PathBuf::from(name),
        source,
    }
}

/// Refuses the map of another job, and returns what else differs.
///
/// # Errors
///
/// [`MapRefusal::Foreign`].
pub fn compare(map: &Map, map_file: &MapFile, job: &Identity) -> Result<Vec<Difference>, Refusal> {
    // A map that ddrescue wrote has no identity: the user vouches for it.
    let Some(identity) = &map.identity else { return Ok(Vec::new()) };
    let differences = identity.differences(job);
    match differences.iter().find(|difference| difference.evidence == Evidence::None) {
        None => Ok(differences),
        Some(difference) => {
            let (path, what) = (map_file.path(), difference.to_string());
            Err(MapRefusal::Foreign { path, what, remedies: &[Remedy::Restart] }.into())
        }
    }
}

/// Whether it says that the part is another file.
pub fn is_of_part(hint: &Difference) -> bool {
    hint.field == "dest-inode" || hint.field == "dest-created-ns"
}

/// A file that ends before what the map calls done was cut by somebody else:
/// what is missing would come back as zeros.
fn check_length(map: &Map, job: &Identity, facts: &Metadata, path: &Path) -> Result<(), Refusal> {
    let needed = needed_length(map, job);
    if facts.size >= needed {
        return Ok(());
    }
    let reason = format!(
        "{} has {} bytes, and the map says that {needed} were written",
        crate::error::quoted(path),
        facts.size,
    );
    Err(Refusal::NothingToResume { reason, remedies: &[Remedy::Restart] })
}

/// How long the file must be that holds what the map of `job` calls done.
pub fn needed_length(map: &Map, job: &Identity) -> u64 {
    let done = map.done.within(job.range);
    let Some(last) = done.as_slice().last() else { return 0 };
    job.destination.offset.saturating_add(last.end() - job.range.start())
}

/// What tells a file or device from every other.
pub fn object_id(facts: &Metadata, serial: Option<String>) -> ObjectId {
    match facts.node {
        FileKind::BlockDevice => ObjectId::Device { number: facts.rdev, serial },
        _ => ObjectId::File {
            device: facts.device,
            inode: facts.inode,
            born_ns: facts.created.map(|(seconds, nanoseconds)| {
                i128::from(seconds) * 1_000_000_000 + i128::from(nanoseconds)
            }),
        },
    }
}
