//! What an interrupted run left, and whether this job may go on from it.
//!
//! A run leaves up to two things: the part, which holds bytes, and the map,
//! which says which of them are on the disk. The part is locked while a run
//! writes it, so whoever gets the lock knows that no other run is at work; the
//! map is read only after that. Nothing is changed here: what is to be
//! discarded is discarded when the job begins.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use positioned_io::ReadAt;

use super::map::{Identity, Map, MapFile, ObjectId};
use super::part::{self, Found};
use super::recheck;
use super::target::{MAP_SUFFIX, OpenTarget, StagedTarget, Target, sibling_name};
use crate::error::{Refusal, Result};
use crate::range::{ByteRange, RangeSet};
use crate::sys::{self, Facts, Node};
use crate::words::words;

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
pub enum Start {
    /// Nothing was left.
    Fresh,
    /// What was left is to be discarded. The part, if there is one, stays
    /// open and locked until then.
    Over(Option<File>),
    /// An earlier run got so far.
    From(Box<Earlier>),
}

impl Start {
    /// Whether an earlier run gave its file the final name.
    pub fn is_committed(&self) -> bool {
        matches!(self, Start::From(earlier) if earlier.committed)
    }

    /// The map that is gone on from, if it is the user's, as one of ddrescue is.
    pub fn map_of_the_user(&self) -> Option<Map> {
        let Start::From(earlier) = self else { return None };
        earlier.map.identity.is_none().then(|| earlier.map.clone())
    }
}

/// What an earlier run got done.
pub struct Earlier {
    /// What is done, failed, and not tried.
    pub map: Map,
    /// The file the earlier run wrote, open and locked; `None` where the
    /// destination itself is it.
    pub file: Option<(File, Facts)>,
    /// The earlier run gave the file its final name, because all that was
    /// missing could not be read.
    pub committed: bool,
}

impl Earlier {
    /// Looks whether the file or device still holds what the map calls `done`,
    /// in bytes of `source`; `to` says where a byte of it went.
    ///
    /// # Errors
    ///
    /// [`Refusal::NothingToResume`] if it holds something else.
    pub fn check_is_there(
        &self,
        source: &dyn ReadAt,
        target: &Target,
        done: &RangeSet,
        to: impl Fn(ByteRange) -> Option<ByteRange>,
    ) -> Result<(), Refusal> {
        let (file, path) = match (&self.file, target) {
            (Some((file, _)), Target::Staged(staged)) if !self.committed => {
                (file, staged.part_path())
            }
            (Some((file, _)), _) => (file, target.path().to_owned()),
            (None, Target::InPlace(open) | Target::Device(open, ..)) => {
                (&open.file, open.path.clone())
            }
            (None, Target::Staged(_)) => return Ok(()),
        };
        match recheck::first_difference(source, file, done, to) {
            None => Ok(()),
            Some(range) => {
                let reason = format!(
                    "{} does not hold bytes {range} of the source, which the map calls done: it is \
                     another one, or it or the source was written to since; --restart starts from \
                     the beginning, --allow-changed-source goes on all the same",
                    crate::error::quoted(path)
                );
                Err(Refusal::NothingToResume { reason })
            }
        }
    }
}

/// Where the map of a destination lives unless the user says otherwise: beside
/// a file; for a device in the working directory, because the folder of device
/// nodes is emptied by every restart of the machine.
pub fn default_map_path(target: &Target) -> PathBuf {
    let path = target.path();
    match target {
        Target::Device(..) => PathBuf::from(sibling_name(&sys::device_name(path), MAP_SUFFIX)),
        _ => {
            let name = path.file_name().unwrap_or_default();
            path.with_file_name(sibling_name(name, MAP_SUFFIX))
        }
    }
}

/// Takes the lock that says "a run is writing this"; see [`part::is_busy`].
///
/// # Errors
///
/// [`Refusal::Busy`] if another run has it.
pub fn lock_destination(file: &File, path: &Path) -> Result<(), Refusal> {
    match part::is_busy(file) {
        true => Err(Refusal::Busy { path: path.to_owned() }),
        false => Ok(()),
    }
}

/// How long a run may take to make its first map, besides the time between
/// checkpoints: the sync before it may be slow.
const WITHOUT_A_MAP: Duration = Duration::from_secs(60);

/// Finds out where the job begins.
///
/// # Errors
///
/// A [`Refusal`]: something was left and the user did not say what to do with
/// it, it is another run's or another job's, or it is not usable.
pub fn find(
    target: &Target,
    map_file: &MapFile,
    (leftovers, checkpoint_every): (Leftovers, Duration),
    identity: impl Fn(Option<ObjectId>) -> Identity,
) -> Result<Start> {
    match target {
        Target::Staged(staged) => {
            find_staged(staged, map_file, (leftovers, checkpoint_every), identity)
        }
        Target::InPlace(open) => find_open(open, None, map_file, leftovers, &identity),
        Target::Device(open, info, _) => {
            find_open(open, info.serial.clone(), map_file, leftovers, &identity)
        }
    }
}

fn find_open(
    target: &OpenTarget,
    serial: Option<String>,
    map_file: &MapFile,
    leftovers: Leftovers,
    identity: &impl Fn(Option<ObjectId>) -> Identity,
) -> Result<Start> {
    lock_destination(&target.file, &target.path)?;
    if leftovers == Leftovers::Restart {
        check_discardable(map_file)?;
        return Ok(Start::Over(None));
    }
    if leftovers == Leftovers::Refuse {
        check_no_map(map_file)?;
        return Ok(Start::Fresh);
    }
    let Some(map) = load(map_file)? else { return Ok(Start::Fresh) };
    let job = identity(Some(object_id(&target.facts, serial)));
    check_identity(&map, map_file, &job)?;
    if target.facts.node == Node::File {
        check_length(&map, &job, &target.facts, &target.path)?;
    }
    Ok(Start::From(Box::new(Earlier { map, file: None, committed: false })))
}

fn find_staged(
    target: &StagedTarget,
    map_file: &MapFile,
    (leftovers, checkpoint_every): (Leftovers, Duration),
    identity: impl Fn(Option<ObjectId>) -> Identity,
) -> Result<Start> {
    let part = open_part(target)?;
    match leftovers {
        Leftovers::Refuse => {
            if part.is_some() {
                return Err(Refusal::Leftover { path: target.part_path() }.into());
            }
            check_no_map(map_file)?;
            Ok(Start::Fresh)
        }
        Leftovers::Restart => {
            check_discardable(map_file)?;
            Ok(Start::Over(part.map(|(file, _)| file)))
        }
        Leftovers::Resume => {
            let patience = WITHOUT_A_MAP.saturating_add(checkpoint_every);
            resume_staged(target, map_file, part, patience, identity)
        }
    }
}

fn resume_staged(
    target: &StagedTarget,
    map_file: &MapFile,
    part: Option<(File, Facts)>,
    patience: Duration,
    identity: impl Fn(Option<ObjectId>) -> Identity,
) -> Result<Start> {
    let Some(map) = load(map_file)? else {
        let Some((file, facts)) = part else { return Ok(Start::Fresh) };
        // A part without a map: the run ended before anything was known to be on the disk.
        check_had_no_map(target, map_file, &facts, patience)?;
        return Ok(Start::Over(Some(file)));
    };
    if map.identity.is_none() {
        let reason = "it is not of this program; with such a map, --in-place says that the \
                      destination holds what it calls done";
        return Err(Refusal::BadMap { path: map_file.path(), reason: reason.to_owned() }.into());
    }
    if let Some((file, facts)) = part {
        let job = identity(Some(object_id(&facts, None)));
        check_identity(&map, map_file, &job)?;
        check_length(&map, &job, &facts, &target.part_path())?;
        let file = Some((file, facts));
        return Ok(Start::From(Box::new(Earlier { map, file, committed: false })));
    }
    // No part: the earlier run may have given the file its name and ended
    // before it could remove the map, or left the map for what was unreadable.
    let is_file = target.existing.as_ref().is_some_and(|facts| facts.node == Node::File);
    let standing = if is_file { open_locked(target, &target.name, &target.path)? } else { None };
    let Some((file, facts)) = standing else {
        let reason = format!(
            "{} is gone; --restart starts from the beginning",
            crate::error::quoted(target.part_path())
        );
        return Err(Refusal::NothingToResume { reason }.into());
    };
    let job = identity(Some(object_id(&facts, None)));
    check_identity(&map, map_file, &job)?;
    check_length(&map, &job, &facts, &target.path)?;
    // It had its whole length when it got its name: somebody has used it since.
    let whole = job.destination.offset.saturating_add(job.range.len());
    if facts.size != whole {
        let reason = format!(
            "{} has {} bytes, and the copy gave it {whole}: it has been changed since; --force \
             --restart replaces it",
            crate::error::quoted(&target.path),
            facts.size,
        );
        return Err(Refusal::NothingToResume { reason }.into());
    }
    let file = Some((file, facts));
    Ok(Start::From(Box::new(Earlier { map, file, committed: true })))
}

/// Refuses to start over a part whose run took longer than `patience`, and so
/// may have had a map under another name: hours of work may be in it.
fn check_had_no_map(
    target: &StagedTarget,
    map_file: &MapFile,
    part: &Facts,
    patience: Duration,
) -> Result<(), Refusal> {
    let Some((born, _)) = part.born else { return Ok(()) };
    let written_for = part.modified.0.saturating_sub(born);
    if u64::try_from(written_for).unwrap_or(0) <= patience.as_secs() {
        return Ok(());
    }
    let reason = format!(
        "{} was written for {written_for} seconds, and there is no {}: if its run had a map \
         elsewhere, name it with --map; --restart starts from the beginning",
        crate::error::quoted(target.part_path()),
        crate::error::quoted(map_file.path()),
    );
    Err(Refusal::NothingToResume { reason })
}

/// The part, open and locked, if there is one.
fn open_part(target: &StagedTarget) -> Result<Option<(File, Facts)>, Refusal> {
    open_locked(target, &target.part_name(), &target.part_path())
}

fn open_locked(
    target: &StagedTarget,
    name: &std::ffi::OsStr,
    path: &Path,
) -> Result<Option<(File, Facts)>, Refusal> {
    let cannot = |source| Refusal::CannotCreate {
        directory: target.directory_path.clone(),
        name: PathBuf::from(name),
        source,
    };
    match part::find(&target.directory, name).map_err(cannot)? {
        Found::Nothing => Ok(None),
        Found::NoFile => Err(Refusal::NotAPart { path: path.to_owned() }),
        Found::Busy => Err(Refusal::Busy { path: path.to_owned() }),
        Found::Left(file, facts) => Ok(Some((file, facts))),
    }
}

fn load(map_file: &MapFile) -> Result<Option<Map>, Refusal> {
    map_file.load().map_err(|error| Refusal::BadMap {
        path: map_file.path(),
        reason: crate::error::chain(&error),
    })
}

/// Refuses a map that was left, by the options that get rid of it, if they do:
/// what never was a map is not discarded.
fn check_no_map(map_file: &MapFile) -> Result<(), Refusal> {
    if let Ok(None) = map_file.load() {
        return Ok(());
    }
    check_discardable(map_file)?;
    Err(Refusal::Leftover { path: map_file.path() })
}

fn check_identity(map: &Map, map_file: &MapFile, job: &Identity) -> Result<(), Refusal> {
    // A map that ddrescue wrote has no identity: the user vouches for it.
    let Some(identity) = &map.identity else { return Ok(()) };
    match identity.difference(job) {
        None => Ok(()),
        Some(difference) => {
            let mut what = difference.to_string();
            if difference.is_of_state() {
                what += "; --allow-changed-source goes on all the same";
            }
            what += "; --restart starts from the beginning";
            Err(Refusal::ForeignMap { path: map_file.path(), what })
        }
    }
}

/// A file that ends before what the map calls done was cut by somebody else:
/// what is missing would come back as zeros.
fn check_length(map: &Map, job: &Identity, facts: &Facts, path: &Path) -> Result<(), Refusal> {
    let needed = needed_length(map, job);
    if facts.size >= needed {
        return Ok(());
    }
    let reason = format!(
        "{} has {} bytes, and the map says that {needed} were written; --restart starts from \
         the beginning",
        crate::error::quoted(path),
        facts.size,
    );
    Err(Refusal::NothingToResume { reason })
}

/// How long the file must be that holds what the map of `job` calls done.
pub fn needed_length(map: &Map, job: &Identity) -> u64 {
    let done =
        map.done.within(job.range).as_slice().last().map_or(job.range.start(), |run| run.end());
    job.destination.offset.saturating_add(done - job.range.start())
}

/// What `--restart` discards must be a map, if only a damaged one: a file that
/// never was one has been named by mistake.
fn check_discardable(map_file: &MapFile) -> Result<(), Refusal> {
    let path = map_file.path();
    match map_file.was_a_map() {
        Ok(true) if matches!(map_file.load(), Ok(Some(map)) if map.identity.is_none()) => {
            let reason = "it is not of this program, and not removed: name another with --map";
            Err(Refusal::BadMap { path, reason: reason.to_owned() })
        }
        Ok(true) => Ok(()),
        Ok(false) => Err(Refusal::BadMap { path, reason: "it is not a map".to_owned() }),
        Err(error) => Err(Refusal::BadMap { path, reason: crate::error::chain(&error) }),
    }
}

/// What tells a file or device from every other.
pub fn object_id(facts: &Facts, serial: Option<String>) -> ObjectId {
    match facts.node {
        Node::BlockDevice => ObjectId::Device { number: facts.represents, serial },
        _ => ObjectId::File {
            device: facts.device,
            inode: facts.inode,
            born_ns: facts.born.map(|(seconds, nanoseconds)| {
                i128::from(seconds) * 1_000_000_000 + i128::from(nanoseconds)
            }),
        },
    }
}
