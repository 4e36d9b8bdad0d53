//! Making finished files durable and visible, many at a time.
//!
//! One sync after the other would let ten thousand small files wait ten
//! thousand times for the disk. Finished outputs are therefore gathered, and a
//! group takes each step of the recipe together: check digests; mode and time;
//! sync; look once more at the sources; rename; sync each directory once. Files
//! that are to be verified are synced and read back (`prove`) before mode and
//! time are theirs, as reading and repairing changes times. A
//! crash at any moment leaves every file complete or absent, or, where some of
//! its source could not be read, with a map beside it that says so.

mod prove;

pub use prove::Proving;

use std::collections::HashMap;
use std::fs::FileTimes;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::claim::Claim;
use super::group_sync::GroupSync;
use super::output::Output;
use super::outputs::Outputs;
use super::partial;
use super::report::Status;
use super::staging::fill_up;
use super::why::{DESTINATION, DIFFERS, DIGEST, Why};
use crate::digest::{Algorithm, Digest, Hasher};
use crate::durable::map::Identity;
use crate::error::{Error, ErrorKind, Result, SourceChange, chain};
use crate::io::fingerprint::Fingerprint;
use crate::io::{FileIo, transfer};
use crate::manifest::{Details, Item};
use crate::progress::CancelToken;
use crate::range::{ByteRange, RangeSet};
use crate::sys;

/// Outputs that wait for their commit, at most. Their files are open.
pub const GROUP: usize = 128;

/// Bytes that wait for their commit, at most: what a crash costs.
pub const GROUP_BYTES: u64 = 256 << 20;

/// From so many files on, one sync of the file system is cheaper than letting
/// each file's sync write the journal of the file system again.
const SYNC_TOGETHER: usize = 4;

/// An item and its place in its output.
pub struct Row<'a> {
    /// The item.
    pub item: &'a Item,
    /// Where its bytes are in the output.
    pub range: ByteRange,
}

/// What became of the items of one output.
pub struct Verdict {
    /// The output.
    pub output: Arc<Output>,
    /// Status, digests and error of each row, in the order of the rows.
    pub rows: Vec<RowVerdict>,
    /// Whether a map beside it is of no more use.
    pub map_is_over: bool,
}

/// What became of one item.
pub struct RowVerdict {
    /// See there.
    pub status: Status,
    /// What was worked out.
    pub digests: Vec<Digest>,
    /// Whether it was read back and is as it should be.
    pub verified: Option<bool>,
    /// What went wrong.
    pub why: Option<Why>,
}

/// Changes the file of an output.
pub type Change<'a> = dyn Fn(&Output, &FileIo) -> Result<()> + 'a;

/// How a group is committed.
pub struct Commit<'a> {
    /// All outputs of the batch.
    pub outputs: &'a Outputs,
    /// Digests to work out for every item.
    pub algorithms: &'a [Algorithm],
    /// The caller's wish to stop.
    pub cancel: &'a CancelToken,
    /// What changed of the sources of an output, if anything did. An error
    /// ends the batch.
    pub changed: &'a dyn Fn(&Arc<Output>) -> Result<Option<SourceChange>>,
    /// The permission bits that an output may have at most, if it is new.
    pub rights: &'a dyn Fn(&Output) -> u32,
    /// The identity of the map of an output that lacks something.
    pub identity: &'a dyn Fn(&Output) -> Result<Identity>,
    /// What of an output that was written is not in its file any more.
    pub lost: &'a dyn Fn(&Output, &FileIo) -> Result<Option<ByteRange>>,
    /// Gives the file of an output what its source has besides its content,
    /// where that is wanted.
    pub preserve: Option<&'a Change<'a>>,
    /// Whether files may get their names, where other processes do other parts.
    pub claim: Option<&'a Claim>,
    /// How files are compared, if they are.
    pub proving: Option<Proving<'a>>,
}

/// A member of a group on its way.
struct Member<'a> {
    output: Arc<Output>,
    rows: Vec<Row<'a>>,
    digests: Vec<Vec<Digest>>,
    mismatch: Vec<Option<Why>>,
    verified: Vec<Option<bool>>,
    fingerprints: Vec<Fingerprint>,
    why: Option<Why>,
    /// Stopped, or stopped by an error that is not its own: what is there of
    /// it may be good.
    stopped: bool,
    /// Whether its map says what it lacks.
    recorded: bool,
    /// Whether it has its name.
    named: bool,
}

impl Commit<'_> {
    /// Commits `group`. An error ends the batch; what became of the items is
    /// told even so.
    pub fn run<'a>(&self, group: Vec<(Arc<Output>, Vec<Row<'a>>)>) -> (Vec<Verdict>, Result<()>) {
        let mut members: Vec<Member<'a>> =
            group.into_iter().map(|(output, rows)| Member::new(output, rows)).collect();
        let mut result = self.steps(&mut members);
        if let Err(error) = &result {
            for member in members.iter_mut().filter(|member| member.is_alive()) {
                member.stopped = true;
                member.why = Some(Why::from(error));
            }
        } else {
            result = self.sync_directories(&mut members);
        }
        (members.into_iter().map(|member| self.finish(member)).collect(), result)
    }

    /// Everything up to the names.
    fn steps(&self, members: &mut [Member<'_>]) -> Result<()> {
        self.each(members, |member| self.inspect(member));
        if let Some(proving) = &self.proving {
            self.make_durable(members, |_, _| Ok(()))?;
            self.check_sources(members)?;
            self.prove(members, proving)?;
        }
        self.make_durable(members, |member, file| self.set_attributes(member, file))?;
        if self.proving.is_none() {
            self.check_sources(members)?;
        }
        self.claim.map_or(Ok(()), |claim| claim.check(&self.outputs.path(Path::new(""))))?;
        self.each(members, |member| self.record(member));
        self.each(members, |member| {
            self.outputs.publish(&member.output)?;
            member.named = true;
            Ok(())
        });
        let mut directories = HashMap::new();
        self.each(members, |member| self.check_directory(member, &mut directories));
        Ok(())
    }

    /// Fails members whose source is not what it was.
    fn check_sources(&self, members: &mut [Member<'_>]) -> Result<()> {
        for member in members.iter_mut().filter(|member| member.is_alive()) {
            if let Some(change) = (self.changed)(&member.output)? {
                let text = format!("the source changed during the copy: {change}");
                member.why = Some(Why::new("source_changed", text));
            }
        }
        Ok(())
    }

    /// Makes sure that nobody has made a hole where something was written.
    fn check_written(&self, member: &mut Member<'_>, file: &FileIo) -> io::Result<()> {
        let lost = (self.lost)(&member.output, file);
        let is_stopped = |error: &Error| matches!(error.kind(), ErrorKind::Cancelled);
        member.stopped = lost.as_ref().is_err_and(is_stopped);
        match lost.map_err(io::Error::other)? {
            None => Ok(()),
            Some(range) => Err(io::Error::other(format!(
                "somebody changed it during the copy: bytes {range} of it, which were written, \
                 are not there"
            ))),
        }
    }

    /// Makes sure that the folder of a file that has its name is still where
    /// the user looks for it. Each is asked once a group, and `known` keeps
    /// the answer.
    fn check_directory(
        &self,
        member: &Member<'_>,
        known: &mut HashMap<PathBuf, Option<String>>,
    ) -> io::Result<()> {
        let directory = member.output.wanted.name.parent().unwrap_or(Path::new(""));
        if !known.contains_key(directory) {
            let found = self.outputs.check_place(directory).err().map(|error| chain(&error));
            known.insert(directory.to_owned(), found);
        }
        known[directory].clone().map_or(Ok(()), |why| Err(io::Error::other(why)))
    }

    /// Does `step` for every member that is still to be committed.
    fn each<'a>(
        &self,
        members: &mut [Member<'a>],
        mut step: impl FnMut(&mut Member<'a>) -> io::Result<()>,
    ) {
        for member in members.iter_mut().filter(|member| member.is_alive()) {
            if let Err(error) = step(member) {
                member.why = Some(Why::of_io(DESTINATION, &error));
            }
        }
    }

    /// Works out digests and compares them with what is expected.
    fn inspect(&self, member: &mut Member<'_>) -> io::Result<()> {
        let trouble = member.output.take_trouble();
        (member.why, member.stopped) = (trouble.error, trouble.resumable);
        let known = trouble.digests;
        member.fingerprints = trouble.fingerprints;
        member.output.add_failed(trouble.failed);
        if member.why.is_some() {
            return Ok(());
        }
        fill_up(self.outputs, &member.output)?;
        for at in 0..member.rows.len() {
            self.digest(member, at, &known)?;
        }
        Ok(())
    }

    /// Works out the digests of a row, and compares them with what is expected.
    /// `known` are those of the whole output, if there are any.
    fn digest(&self, member: &mut Member<'_>, at: usize, known: &[Digest]) -> io::Result<()> {
        let row = &member.rows[at];
        // What could not be read has no digest, and none to compare with.
        if !member.output.unreadable().within(row.range).is_empty() {
            return Ok(());
        }
        let wanted = algorithms_of(row.item, self.algorithms);
        let is_all = row.range == ByteRange::to(member.output.wanted.len);
        let digests = if wanted.is_empty() {
            Vec::new()
        } else if is_all && !known.is_empty() {
            known.to_vec()
        } else {
            let file = self.outputs.file(&member.output)?;
            let Some(digests) = hash_range(&file, row.range, &wanted, self.cancel)? else {
                member.stopped = true;
                return Err(io::Error::other("interrupted before its digest was known"));
            };
            digests
        };
        member.mismatch[at] = mismatch(row.item, &digests);
        member.digests[at] = digests;
        Ok(())
    }

    /// The last `change` of each file, as of mode and time; the sync that covers
    /// it, and what a close tells. A file is synced by the descriptor that was
    /// changed: its mode may forbid to open it again.
    fn make_durable(
        &self,
        members: &mut [Member<'_>],
        change: impl Fn(&Member<'_>, &FileIo) -> io::Result<()>,
    ) -> Result<()> {
        let group = self.outputs.group_sync();
        let covers = group.is_some_and(GroupSync::covers_files);
        let alive = || members.iter().filter(|member| member.is_alive());
        let many = alive().count() >= SYNC_TOGETHER;
        // Who opens a file anew may not be told what happened to it before.
        let reopened = alive().any(|member| member.output.was_reopened());
        let together = group.is_some() && (many || reopened && covers);
        if together && !covers {
            // So that the syncs of the files find little to do.
            self.sync_all()?;
        }
        self.each(members, |member| {
            let file = self.outputs.file(&member.output)?;
            self.check_written(member, &file)?;
            change(member, &file)?;
            let is_covered = together && covers && !self.outputs.lies_elsewhere(file.as_file());
            if group.is_some() && !is_covered {
                file.as_file().sync_all()?;
            }
            let closed = sys::flush_by_close(file.as_file());
            closed.map_err(|error| said("cannot make it durable", &error))
        });
        if together && covers { self.sync_all() } else { Ok(()) }
    }

    fn sync_all(&self) -> Result<()> {
        let failed = |source| {
            let path = self.outputs.path(Path::new(""));
            ErrorKind::Sync { path, source }
        };
        Ok(self.outputs.sync_all().map_err(failed)?)
    }

    /// Mode and time, last, because writing changes the time.
    fn set_attributes(&self, member: &Member<'_>, file: &FileIo) -> io::Result<()> {
        let details = || member.rows.iter().filter_map(|row| row.item.details.as_deref());
        if let Some(preserve) = self.preserve {
            preserve(&member.output, file).map_err(io::Error::other)?;
        }
        match details().find_map(|details| details.mode) {
            Some(mode) => {
                let set = || sys::set_mode(file.as_file(), mode);
                self.outputs.try_to("mode", &member.output, set)?;
            }
            None if self.preserve.is_some() => {}
            None => {
                let rights = (self.rights)(&member.output);
                self.outputs.give_mode(&member.output, file.as_file(), rights)?;
            }
        }
        if let Some(time) = details().find_map(Details::modified) {
            let times = FileTimes::new().set_modified(time);
            let set = || file.as_file().set_times(times);
            self.outputs.try_to("time", &member.output, set)?;
        }
        Ok(())
    }

    /// Says beside a file that lacks something what that is, before it gets
    /// the name that a complete one would have.
    fn record(&self, member: &mut Member<'_>) -> io::Result<()> {
        let missing = member.output.unreadable();
        if missing.is_empty() {
            return Ok(());
        }
        let saved = self.save_map(member, missing);
        member.recorded = saved.is_ok();
        saved
    }

    /// Puts a map beside the file of a member that says what it lacks.
    fn save_map(&self, member: &Member<'_>, missing: RangeSet) -> io::Result<()> {
        let map_file = self.outputs.map_file(&member.output)?;
        let identity = (self.identity)(&member.output).map_err(io::Error::other)?;
        let len = member.output.wanted.len;
        partial::save(&map_file, identity, len, missing).map_err(io::Error::other)
    }

    /// Syncs each directory once, and those it lies in, which may be new as
    /// well. The files in it share its fate: they have their names, and may
    /// lose them. That is not a fault of theirs, and the others' turn would come.
    fn sync_directories(&self, members: &mut [Member<'_>]) -> Result<()> {
        let mut result = Ok(());
        if self.outputs.group_sync().is_none() {
            return result;
        }
        let mut synced: HashMap<PathBuf, Option<String>> = HashMap::new();
        for member in members.iter_mut().filter(|member| member.is_alive()) {
            let mut error = None;
            // From the top: each is one step from the one before.
            let directories: Vec<&Path> = member.output.wanted.name.ancestors().skip(1).collect();
            for &directory in directories.iter().rev() {
                let mut sync = || {
                    let source = self.outputs.sync_directory(directory).err()?;
                    let message = chain(&source);
                    let path = self.outputs.path(directory);
                    result = Err(ErrorKind::Sync { path, source }.into());
                    Some(message)
                };
                let found = synced.entry(directory.to_owned()).or_insert_with(&mut sync);
                error = error.or_else(|| found.clone());
            }
            let lost = |error| format!("it has its name, which a power cut may take: {error}");
            member.why = error.map(|error| Why::new("sync", lost(error)));
        }
        result
    }

    fn finish(&self, member: Member<'_>) -> Verdict {
        let alive = member.is_alive();
        let lacks_something = !member.output.unreadable().is_empty();
        let wanted = &member.output.wanted;
        let part_is_good = member.stopped && wanted.segments == 1 && wanted.has_map;
        if !alive && !part_is_good {
            self.outputs.discard(&member.output);
        }
        self.outputs.close(&member.output);
        let resumable = match member.named {
            true => lacks_something,
            false => part_is_good || wanted.partial.is_some(),
        };
        let map_is_over = (wanted.has_map || member.recorded) && !resumable;
        let other = Why::new(DIFFERS, "another part of the same file does not match");
        let verdict = |((digests, mismatch), verified): Found| {
            let (status, why) = match mismatch {
                Some(_) => (Status::Mismatch, mismatch),
                None if !alive => {
                    (Status::Failed, member.why.clone().or_else(|| Some(other.clone())))
                }
                None if lacks_something => (Status::Partial, None),
                None => (Status::Complete, None),
            };
            RowVerdict { status, digests, verified, why }
        };
        let found = member.digests.into_iter().zip(member.mismatch).zip(member.verified);
        let rows = found.map(verdict).collect();
        Verdict { output: member.output, rows, map_is_over }
    }
}

/// What was found of an item: its digests, how it differs, and whether it was verified.
type Found = ((Vec<Digest>, Option<Why>), Option<bool>);

impl<'a> Member<'a> {
    fn new(output: Arc<Output>, rows: Vec<Row<'a>>) -> Member<'a> {
        let (digests, mismatch) = (vec![Vec::new(); rows.len()], vec![None; rows.len()]);
        Member {
            output,
            digests,
            mismatch,
            verified: vec![None; rows.len()],
            fingerprints: Vec::new(),
            rows,
            why: None,
            stopped: false,
            recorded: false,
            named: false,
        }
    }

    fn is_alive(&self) -> bool {
        self.why.is_none() && self.mismatch.iter().all(Option::is_none)
    }
}

fn said(what: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{what}: {}", chain(error)))
}

/// What to work out for `item`: what it expects, and what the batch wants of all.
pub fn algorithms_of(item: &Item, all: &[Algorithm]) -> Vec<Algorithm> {
    let mut wanted = all.to_vec();
    for expected in item.expected() {
        if !wanted.contains(&expected.algorithm()) {
            wanted.push(expected.algorithm());
        }
    }
    wanted
}

/// What `digests` have other than `item` expects.
pub fn mismatch(item: &Item, digests: &[Digest]) -> Option<Why> {
    item.expected().iter().find_map(|expected| {
        let found = digests.iter().find(|digest| digest.algorithm() == expected.algorithm())?;
        let (name, other) = (expected.algorithm(), expected.digest());
        let why = || Why::new(DIGEST, format!("{name} is {found}, expected {other}"));
        (!expected.is_met_by(found)).then(why)
    })
}

/// Digests of a range of a file, read back through the cache; `None` if the
/// caller asked to stop.
pub fn hash_range(
    file: &FileIo,
    range: ByteRange,
    wanted: &[Algorithm],
    cancel: &CancelToken,
) -> io::Result<Option<Vec<Digest>>> {
    const CHUNK: u64 = 256 << 10;
    let mut hashers: Vec<Hasher> = wanted.iter().map(|&algorithm| Hasher::new(algorithm)).collect();
    let mut buffer = vec![0; crate::io::as_usize(CHUNK.min(range.len()))];
    for piece in range.pieces(CHUNK) {
        if cancel.is_cancelled() {
            return Ok(None);
        }
        let chunk = &mut buffer[..crate::io::as_usize(piece.len())];
        transfer::read_full(file, piece.start(), chunk).map_err(|stop| stop.error)?;
        for hasher in &mut hashers {
            hasher.update(chunk);
        }
    }
    Ok(Some(hashers.into_iter().map(Hasher::finalize).collect()))
}
