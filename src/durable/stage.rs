//! Writing under a temporary name, and the commit.
//!
//! A new file is invisible under its final name until it is complete (invariant
//! I4). It is made with mode 0600, exclusively, never through a link, and gets
//! its final mode just before the rename. Nothing fallible happens in `Drop`:
//! whoever drops a stage without `commit` leaves the part where it is.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::intact::{self, Name, Written};
use super::part::{self, Ours};
use super::partitions;
use super::previous::{Previous, Start};
use super::side;
use super::sizing;
use super::target::{MAP_SUFFIX, StagedTarget, Target, sibling_name};
use crate::error::{ErrorKind, Refusal, Result};
use crate::io::{FileIo, HeadError, Held};
use crate::preserve;
use crate::progress::CancelToken;
use crate::range::{ByteRange, RangeSet};
use crate::source::OpenSource;
use crate::sys::{self, DeviceLock, FileKind, Metadata};

/// What a destination is like before the first byte is written.
#[derive(Clone, Copy)]
pub struct StageShape<'a> {
    /// Up to where it will be written, in bytes.
    pub end: u64,
    /// Whether nothing will be written: that makes no file longer.
    pub is_empty: bool,
    /// Whether parts of a new file will not be written, and stay holes.
    pub gaps: bool,
    /// A file that a new one may begin as a clone of, because it is to have
    /// the same content.
    pub like: Option<&'a File>,
}

impl StageShape<'_> {
    /// A file of which `to` will be written; a new one begins before it.
    pub fn up_to(to: ByteRange) -> StageShape<'static> {
        StageShape { end: to.end(), is_empty: to.is_empty(), gaps: false, like: None }
    }
}

/// A destination that is being written.
pub struct Stage {
    io: Arc<FileIo>,
    /// The path the file has while it is written.
    path: PathBuf,
    /// Set for a file that gets its name at the end.
    pending: Option<StagedTarget>,
    /// Keeps others off a device until it is complete.
    claim: Option<DeviceLock>,
    /// Sectors of a device, in bytes.
    sector: Option<u64>,
    /// Set for a file that an earlier run gave its name: only whether the name
    /// is on the disk is not known.
    named: Option<StagedTarget>,
    /// Whether it began as a clone of the source.
    is_clone: bool,
    /// Whether it gets its length by being written; see [`sizing`].
    grows: bool,
    /// Whether what is in it can be read.
    is_readable: bool,
    undo: Undo,
}

/// What takes back what was done to begin.
#[derive(Clone, Copy)]
enum Undo {
    /// Nothing was done, or it is worth keeping.
    Nothing,
    /// The part was made.
    Remove,
    /// The file, which had this length, was made longer.
    Shorten(u64),
}

impl Stage {
    /// Makes the destination ready to be written, from where `start` says.
    ///
    /// # Errors
    ///
    /// A file-system error, with nothing left behind that was not there before.
    pub fn begin(target: Target, blank: StageShape<'_>, start: Start) -> Result<Stage> {
        if let Target::Staged(target) = &target {
            // As a map is saved: what a killed run leaves of it is cleared away likewise.
            let map = sibling_name(&target.name, MAP_SUFFIX);
            side::check_renames(&target.directory, &map).map_err(|source| Refusal::NoRename {
                directory: target.directory_path.clone(),
                source,
            })?;
        }
        match target {
            Target::Staged(target) => match start {
                Start::Resume(earlier) => Stage::go_on(target, *earlier, blank),
                Start::Over(part) => {
                    if let Some(part) = &part {
                        remove_part(&target, part).map_err(|source| ErrorKind::Destination {
                            step: "remove",
                            path: target.part_path(),
                            source,
                        })?;
                    }
                    // Its lock has kept other runs away until here.
                    drop(part);
                    Stage::create(target, blank)
                }
                Start::Fresh => Stage::create(target, blank),
            },
            Target::InPlace(target) => {
                let size = target.facts.size;
                let end = if blank.is_empty { 0 } else { blank.end };
                let (mut undo, mut grows) = (Undo::Nothing, false);
                if end > size {
                    grows = resize(&target.file, &target.path, end, false)?;
                    undo = Undo::Shorten(size);
                }
                let io = Arc::new(FileIo::new(target.file, end.max(size)));
                Ok(Stage {
                    grows,
                    undo,
                    is_readable: target.is_readable,
                    ..Stage::at(target.path, io)
                })
            }
            Target::Device(target, info, claim) => {
                let io = FileIo::device(target.file, &info).with_head_last();
                let (claim, sector) = (Some(claim), Some(u64::from(info.logical_sector)));
                Ok(Stage { claim, sector, ..Stage::at(target.path, Arc::new(io)) })
            }
        }
    }

    /// What is written at `path`, where it is, and was not changed to begin.
    fn at(path: PathBuf, io: Arc<FileIo>) -> Stage {
        Stage {
            io,
            path,
            pending: None,
            claim: None,
            sector: None,
            named: None,
            is_clone: false,
            grows: false,
            is_readable: true,
            undo: Undo::Nothing,
        }
    }

    fn create(target: StagedTarget, blank: StageShape<'_>) -> Result<Stage> {
        let part = target.part_name();
        let path = target.part_path();
        let clone = blank.like.and_then(|like| target.directory.create_clone(like, &part).ok());
        let is_clone = clone.is_some();
        let file = clone.map_or_else(|| target.directory.create_new(&part), Ok);
        let file = file.and_then(part::locked).map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => Refusal::Leftover { path: path.clone() },
            io::ErrorKind::WouldBlock => Refusal::Busy { path: path.clone() },
            _ => Refusal::CannotCreate {
                directory: target.directory_path.clone(),
                name: PathBuf::from(&part),
                source,
            },
        })?;
        let grows = resize(&file, &path, blank.end, blank.gaps).inspect_err(|_| {
            // Nothing was written yet, so nothing is worth keeping.
            let _ = remove_part(&target, &file);
        })?;
        let io = Arc::new(FileIo::new(file, blank.end));
        let (pending, undo) = (Some(target), Undo::Remove);
        Ok(Stage { pending, is_clone, grows, undo, ..Stage::at(path, io) })
    }

    fn go_on(target: StagedTarget, earlier: Previous, blank: StageShape<'_>) -> Result<Stage> {
        let Some((file, facts)) = earlier.file else { return Stage::create(target, blank) };
        let path = if earlier.committed { target.path.clone() } else { target.part_path() };
        if !earlier.committed {
            // Before the first byte: what comes is for nobody else to read.
            part::adopt(&target.directory, &file).map_err(|source| {
                let (step, path) = ("make private", path.clone());
                ErrorKind::Destination { step, path, source }
            })?;
        }
        let grows = facts.size != blank.end && resize(&file, &path, blank.end, blank.gaps)?;
        let io = Arc::new(FileIo::new(file, blank.end));
        let (pending, named) =
            if earlier.committed { (None, Some(target)) } else { (Some(target), None) };
        Ok(Stage { pending, named, grows, ..Stage::at(path, io) })
    }

    /// Whether it has all the bytes of the source already, in the same storage.
    pub fn is_clone(&self) -> bool {
        self.is_clone
    }

    /// Whether it gets its length by being written, best in ascending order.
    pub fn grows(&self) -> bool {
        self.grows
    }

    /// Gives it its length, if what was written has not. Before the sync.
    ///
    /// # Errors
    ///
    /// If the file system refuses.
    pub fn fill_up(&self) -> Result<()> {
        if !self.grows {
            return Ok(());
        }
        sizing::fill_up(self.io.as_file(), self.io.len()).map_err(|source| {
            let step = "resize";
            ErrorKind::Destination { step, path: self.path.clone(), source }.into()
        })
    }

    /// The open destination.
    pub fn io(&self) -> &Arc<FileIo> {
        &self.io
    }

    /// The path the file has while it is written.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes back what was done to begin: a new part goes away, a file that
    /// was made longer gets its length back. What an earlier run left stays.
    pub fn discard(self) {
        match (self.undo, &self.pending) {
            (Undo::Remove, Some(target)) => {
                // Left over, it would be met, and named, by the next run. What
                // somebody else has put there by now is theirs.
                let _ = remove_part(target, self.io.as_file());
            }
            (Undo::Shorten(len), _) => {
                let _ = self.io.as_file().set_len(len);
            }
            _ => {}
        }
    }

    /// Waits until everything written is on the disk; what is to be written
    /// last is not.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Sync`]. Never to be retried: the kernel may have dropped
    /// what it could not write and report success the second time.
    pub fn sync(&self) -> Result<()> {
        let path = self.path.clone();
        let file = self.io.as_file();
        file.sync_all().map_err(|source| ErrorKind::Sync { path, source }.into())
    }

    /// Writes what is to be written last, and with `durable` waits until it is
    /// on the disk, where all the rest must be by then: the partition table of
    /// a device never comes before what it tells of. Returns what was written
    /// now; of a file that is nothing.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Sync`], or [`ErrorKind::Write`] of what came last.
    pub fn write_head(&self, durable: bool) -> Result<Vec<Held>> {
        let head = self.io.write_head().map_err(|HeadError { range, error }| {
            let path = self.path.clone();
            ErrorKind::Write { path, range, source: error }
        })?;
        if durable && !head.is_empty() {
            self.sync()?;
        }
        Ok(head)
    }

    /// Gives the file what `source` has besides its content, as the last
    /// change before the commit. Returns what could not be carried over.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Sync`], if that is to be made durable and cannot.
    pub fn preserve(&self, source: &OpenSource, sync: bool) -> Result<Vec<String>> {
        let lost = preserve::carry_over(source.io.as_file(), &source.facts, self.io.as_file());
        if sync {
            self.sync()?;
        }
        Ok(lost)
    }

    /// What of `written` is not there any more, in bytes of the source. A
    /// device is not asked: nobody makes it shorter.
    ///
    /// # Errors
    ///
    /// See [`Written::lost`].
    pub fn lost(&self, written: &Written<'_>, cancel: &CancelToken) -> Result<RangeSet> {
        if self.claim.is_some() {
            return Ok(RangeSet::new());
        }
        match self.is_readable {
            true => written.lost(&self.io, &self.path, cancel),
            false => written.lost_unread(self.io.as_file(), &self.path, cancel),
        }
    }

    /// Makes sure, when all is written and synced, that nothing of it is
    /// `lost`, that the system has kept no error for the close, and that the
    /// file still has its length.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::DestinationChanged`], or [`ErrorKind::Sync`].
    pub fn check_written(&self, lost: &RangeSet) -> Result<()> {
        let path = self.path.clone();
        if let Some(first) = lost.iter().next() {
            return Err(intact::lacks(path, first).into());
        }
        let closed = sys::flush_by_close(self.io.as_file());
        closed.map_err(|source| ErrorKind::Sync { path, source })?;
        if self.claim.is_some() {
            return Ok(());
        }
        intact::check_length(self.io.as_file(), &self.path, self.io.len())
    }

    /// Looks, when it has its name, whether the path that the user gave leads
    /// to what was written: `written` of the file.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Destination`].
    pub fn check_name(&self, written: ByteRange) -> Result<()> {
        let (path, found) = match self.pending.as_ref().or(self.named.as_ref()) {
            None => {
                let name = Name { path: &self.path, written };
                (&self.path, intact::is_still_at(&name, &self.io))
            }
            Some(target) => {
                let path = &target.directory_path;
                (&target.path, intact::directory_is_still_at(path, &target.directory))
            }
        };
        found.map_err(|source| {
            let (step, path) = ("find what was copied at", path.clone());
            ErrorKind::Destination { step, path, source }.into()
        })
    }

    /// What is to be said of a device that has got new content, `written` of it.
    /// After the commit.
    pub fn notes_of_device(&self, written: ByteRange) -> Vec<String> {
        let Some(sector) = self.sector else { return Vec::new() };
        let (io, len) = (&*self.io, self.io.len());
        partitions::notes((io, io.as_file()), &self.path, written, (len, sector))
    }

    /// Gives the final name. With `durable`, the name is on the disk when this
    /// returns; the content must have been synced before.
    ///
    /// # Errors
    ///
    /// The step that failed. The part is still there then, unless only the
    /// sync of the directory failed.
    pub fn commit(&mut self, durable: bool) -> Result<()> {
        if let Some(claim) = self.claim.take() {
            claim.release(self.io.as_file());
        }
        if let Some(target) = &self.pending {
            let (part, name) = (target.part_name(), &target.name);
            if target.force && target.is_written() {
                let (step, path) = ("replace", target.path.clone());
                let source = io::Error::other("another copy is writing it");
                return Err(ErrorKind::Destination { step, path, source }.into());
            }
            // Last: what a name leads to may change at any time.
            let ours = self.known_at(target, &part)?;
            target.directory.rename(&part, name, target.replace()).map_err(|source| {
                let (part, path) = (target.part_path(), target.path.clone());
                ErrorKind::NotNamed { part, path, source }
            })?;
            // A rename goes by name: only now is it known what was renamed. That is
            // compared with what the file was before: not every system can still
            // tell of an open file that has got another name.
            let ours = Ours { file: self.io.as_file(), facts: &ours };
            let checked = part::check_is_at(&target.directory, name, ours);
            checked.map_err(|source| not_found_at(target, name, source))?;
        }
        if durable && let Some(target) = self.pending.as_ref().or(self.named.as_ref()) {
            target.directory.sync().map_err(|source| {
                let path = target.directory_path.clone();
                ErrorKind::Sync { path, source }
            })?;
        }
        Ok(())
    }

    /// What the file that was written is, having made sure that `name` is that file.
    fn known_at(&self, target: &StagedTarget, name: &OsStr) -> Result<Metadata> {
        let ours = sys::facts(self.io.as_file());
        let checked = ours.and_then(|ours| {
            let file = self.io.as_file();
            part::check_is_at(&target.directory, name, Ours { file, facts: &ours })?;
            Ok(ours)
        });
        checked.map_err(|source| not_found_at(target, name, source).into())
    }

    /// Gives the file the owner and mode it will have under its final name: those
    /// of the file it replaces, with its access list, or what the umask leaves of
    /// `rights`. Before the final sync, so that the sync covers it. Returns what
    /// is refused, in words: the content is complete even then.
    ///
    /// # Errors
    ///
    /// If the file system fails.
    pub fn set_final_mode(&self, rights: u32) -> Result<Vec<String>> {
        let Some(target) = &self.pending else { return Ok(Vec::new()) };
        let replaced = target.existing.as_ref().filter(|facts| facts.node == FileKind::File);
        let file = self.io.as_file();
        let given = match replaced {
            Some(facts) => preserve::take_place_of(&target.directory, &target.name, facts, file),
            None => {
                let set = sys::set_mode(file, sys::left_by_umask(rights));
                preserve::unless_refused("mode", set).map(|refused| refused.into_iter().collect())
            }
        };
        let missing = given.map_err(|source| {
            let step = "set the mode of";
            ErrorKind::Destination { step, path: self.path.clone(), source }
        })?;
        let name = crate::error::quoted(&target.path);
        Ok(missing.into_iter().map(|missing| format!("{missing} ({name})")).collect())
    }
}

/// The permission bits that a new file with `range` of `source` may have at
/// most: a copy of a whole file has no more than that file, as with cp(1).
pub fn rights(source: &OpenSource, range: ByteRange) -> u32 {
    let is_whole = source.facts.node == FileKind::File && range == ByteRange::to(source.facts.size);
    if is_whole {
        preserve::rights_of(source.io.as_file(), &source.facts)
    } else {
        preserve::OF_ANY_FILE
    }
}

/// Removes the part of `target`, if that is still the file open as `part`.
fn remove_part(target: &StagedTarget, part: &File) -> io::Result<bool> {
    let ours = Ours { file: part, facts: &sys::facts(part)? };
    side::remove(&target.directory, &target.part_name(), ours)
}

fn not_found_at(target: &StagedTarget, name: &OsStr, source: io::Error) -> ErrorKind {
    let (step, path) = ("find what was copied at", target.directory_path.join(name));
    ErrorKind::Destination { step, path, source }
}

/// Whether it could not be made so long, and grows.
fn resize(file: &File, path: &Path, len: u64, gaps: bool) -> Result<bool> {
    sizing::size_ahead(file, len, gaps).map_err(|source| {
        if source.kind() == io::ErrorKind::FileTooLarge {
            return Refusal::TooLarge { path: path.to_owned(), len }.into();
        }
        let step = "resize";
        ErrorKind::Destination { step, path: path.to_owned(), source }.into()
    })
}
