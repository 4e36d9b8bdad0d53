//! Writing under a temporary name, and the commit.
//!
//! A new file is invisible under its final name until it is complete (invariant
//! I4). It is made with mode 0600, exclusively, never through a link, and gets
//! its final mode just before the rename. Nothing fallible happens in `Drop`:
//! dropping a stage without `commit` leaves the part where it is.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::sync::Arc;

use super::intact;
use super::open_file::{OpenFile, resize};
use super::part::{self, Found, Ours};
use super::previous::{self, Previous, Start};
use super::side;
use super::sizing;
use super::target::StagedTarget;
use crate::error::{ErrorKind, Refusal, Result};
use crate::io::FileIo;
use crate::preserve;
use crate::range::ByteRange;
use crate::source::OpenSource;
use crate::sys::{self, FileKind, Metadata};

/// What a new file is like before the first byte is written.
#[derive(Clone, Copy)]
pub struct Blank<'a> {
    /// Its length in bytes; where it is open-ended, at least.
    pub len: u64,
    /// Whether nobody knows how long it will be.
    pub open_ended: bool,
    /// Whether parts of it will not be written, and stay holes.
    pub gaps: bool,
    /// A file that it may begin as a clone of, because it is to have the same
    /// content.
    pub like: Option<&'a File>,
}

/// A new file that is being written.
pub struct Stage {
    file: OpenFile,
    target: StagedTarget,
    /// An earlier run gave it its name: only whether the name is on the disk is
    /// not known.
    is_named: bool,
    /// Whether this run made it, so that nothing is lost with it.
    is_made: bool,
    /// Whether it began as a clone of the source.
    is_clone: bool,
}

/// Makes sure that a file can get its name in the directory of `target`: once for all that
/// are to be there, before the first.
///
/// # Errors
///
/// [`Refusal::NoRename`].
pub fn check_renames(target: &StagedTarget) -> Result<()> {
    let directory = target.directory_path.clone();
    let checked = side::check_renames(&target.directory);
    Ok(checked.map_err(|source| Refusal::NoRename { directory, source })?)
}

/// Makes sure that no other run has begun to write the part of `target`, of which
/// nothing was found, or has given the name: before what was found is discarded, a map say.
///
/// # Errors
///
/// [`Refusal::Busy`], [`Refusal::Leftover`] or [`Refusal::Exists`].
pub fn check_no_part(target: &StagedTarget) -> Result<(), Refusal> {
    let path = target.part_path();
    match previous::open_locked(target, &target.part_name(), &path)? {
        None => target.check_still_free(),
        Some(_) => Err(Refusal::Leftover { resumable: true, path }),
    }
}

impl Stage {
    /// Makes a file ready to be written that is to be at `target`, from where
    /// `start` says.
    ///
    /// # Errors
    ///
    /// A file-system error, with nothing left behind that was not there before; a
    /// [`Refusal`] if another run has begun, or has given the name meanwhile.
    pub fn begin(target: StagedTarget, blank: Blank<'_>, start: Start) -> Result<Stage> {
        let stage = Stage::begin_at(target, blank, start)?;
        if stage.is_named {
            return Ok(stage);
        }
        // The name was looked at before the part was locked. A run that ended since has
        // given it; or one has begun to write what is to be replaced.
        match stage.target.check_still_free() {
            Ok(()) => Ok(stage),
            Err(refusal) => {
                stage.discard();
                Err(refusal.into())
            }
        }
    }

    fn begin_at(target: StagedTarget, blank: Blank<'_>, start: Start) -> Result<Stage> {
        match start {
            Start::Resume(earlier) => Stage::resume(target, *earlier, blank),
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
        }
    }

    /// What several processes have written, open as `file`, to be given its name.
    pub fn of_several(target: StagedTarget, file: File, len: u64) -> Stage {
        let path = target.part_path();
        let file = OpenFile { io: Arc::new(FileIo::new(file, len)), path, grows: false };
        Stage { file, target, is_named: false, is_made: false, is_clone: false }
    }

    fn create(target: StagedTarget, blank: Blank<'_>) -> Result<Stage> {
        let part = target.part_name();
        let path = target.part_path();
        let clone = blank.like.and_then(|like| target.directory.create_clone(like, &part).ok());
        let is_clone = clone.is_some();
        let file = clone.map_or_else(|| target.directory.create_new(&part), Ok);
        let file = file.and_then(|file| part::locked(&target.directory, &part, file)).map_err(
            |source| match source.kind() {
                io::ErrorKind::AlreadyExists => match part::find_born(&target.directory, &part) {
                    Ok(Found::Left(..)) => {
                        Refusal::Leftover { resumable: true, path: path.clone() }
                    }
                    Ok(Found::NoFile) => Refusal::NotAPart { path: path.clone() },
                    // It was not there a moment ago.
                    Ok(Found::Busy | Found::Nothing) => Refusal::Busy { path: path.clone() },
                    Err(source) => previous::cannot(&target, &part, source),
                },
                io::ErrorKind::WouldBlock => Refusal::Busy { path: path.clone() },
                _ => previous::cannot(&target, &part, source),
            },
        )?;
        let grows = resize(&file, &path, blank.len, blank.gaps).inspect_err(|_| {
            // Nothing was written yet, so nothing is worth keeping.
            let _ = remove_part(&target, &file);
        })?;
        let grows = grows || blank.open_ended && sizing::is_in_doubt(&file);
        let file = OpenFile { io: Arc::new(FileIo::new(file, blank.len)), path, grows };
        Ok(Stage { file, target, is_named: false, is_made: true, is_clone })
    }

    fn resume(target: StagedTarget, earlier: Previous, blank: Blank<'_>) -> Result<Stage> {
        let Some((file, facts)) = earlier.file else { return Stage::create(target, blank) };
        let path = if earlier.committed { target.path.clone() } else { target.part_path() };
        if !earlier.committed {
            // Before the first byte: what comes is for nobody else to read.
            part::adopt(&target.directory, &file).map_err(|source| {
                let (step, path) = ("make private", path.clone());
                ErrorKind::Destination { step, path, source }
            })?;
        }
        let grows = facts.size != blank.len && resize(&file, &path, blank.len, blank.gaps)?;
        let file = OpenFile { io: Arc::new(FileIo::new(file, blank.len)), path, grows };
        let is_named = earlier.committed;
        Ok(Stage { file, target, is_named, is_made: false, is_clone: false })
    }

    /// What is written.
    pub fn file(&self) -> &OpenFile {
        &self.file
    }

    /// Whether it has all the bytes of the source already, in the same storage.
    pub fn is_clone(&self) -> bool {
        self.is_clone
    }

    /// Waits until the name under which it is written is on the disk: on some file
    /// systems the sync of a file does not cover that.
    ///
    /// # Errors
    ///
    /// Of the system. Never to be retried.
    pub fn secure_name(&self) -> io::Result<()> {
        self.target.directory.sync()
    }

    /// Takes back what was done to begin: a new part goes away. What an earlier
    /// run left stays.
    pub fn discard(self) {
        if self.is_made {
            // Left over, it would be met, and named, by the next run. What
            // somebody else has put there by now is theirs.
            let _ = remove_part(&self.target, self.file.as_file());
        }
    }

    /// Looks, when it has its name, whether its folder is where the user finds it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Destination`].
    pub fn check_name(&self) -> Result<()> {
        let StagedTarget { directory_path, directory, path, .. } = &self.target;
        intact::directory_is_still_at(directory_path, directory).map_err(|source| {
            let (step, path) = ("find what was copied at", path.clone());
            ErrorKind::Destination { step, path, source }.into()
        })
    }

    /// Gives the final name. With `durable`, the name is on the disk when this
    /// returns; the content must have been synced before.
    ///
    /// # Errors
    ///
    /// The step that failed. The part is still there then, unless only the
    /// sync of the directory failed.
    pub fn commit(&mut self, durable: bool) -> Result<()> {
        if !self.is_named {
            self.give_name()?;
        }
        if durable {
            self.target.directory.sync().map_err(|source| {
                let path = self.target.directory_path.clone();
                ErrorKind::Sync { path, source }
            })?;
        }
        Ok(())
    }

    /// Makes sure that what was written can still get its name, where that is to come.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Destination`].
    pub fn check_part(&self) -> Result<()> {
        match self.is_named {
            true => Ok(()),
            false => self.known_at(&self.target.part_name()).map(drop),
        }
    }

    fn give_name(&self) -> Result<()> {
        let target = &self.target;
        let (part, name) = (target.part_name(), &target.name);
        if target.force && part::stays_written(&target.directory, &target.name) {
            let (step, path) = ("replace", target.path.clone());
            let source = io::Error::other("another copy is writing it");
            return Err(ErrorKind::Destination { step, path, source }.into());
        }
        // Last: what a name leads to may change at any time.
        let ours = self.known_at(&part)?;
        target.directory.rename(&part, name, target.replace()).map_err(|source| {
            let (part, path) = (target.part_path(), target.path.clone());
            ErrorKind::NotNamed { part, path, source }
        })?;
        // A rename goes by name: only now is it known what was renamed. That is
        // compared with what the file was before: not every system can still
        // tell of an open file that has got another name.
        let ours = Ours { file: self.file.as_file(), facts: &ours };
        let checked = part::check_is_at(&target.directory, name, ours);
        checked.map_err(|source| not_found_at(target, name, source))?;
        Ok(())
    }

    /// What the file that was written is, having made sure that `name` is that file.
    fn known_at(&self, name: &OsStr) -> Result<Metadata> {
        let file = self.file.as_file();
        let checked = sys::facts(file).and_then(|ours| {
            part::check_is_at(&self.target.directory, name, Ours { file, facts: &ours })?;
            Ok(ours)
        });
        checked.map_err(|source| not_found_at(&self.target, name, source).into())
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
        if self.is_named {
            return Ok(Vec::new());
        }
        let target = &self.target;
        let replaced = target.existing.as_ref().filter(|facts| facts.node == FileKind::File);
        let file = self.file.as_file();
        let given = match replaced {
            Some(facts) => preserve::take_place_of(&target.directory, &target.name, facts, file),
            None => {
                let set = sys::set_mode(file, sys::left_by_umask(rights));
                preserve::unless_refused("mode", set).map(|refused| refused.into_iter().collect())
            }
        };
        let missing = given.map_err(|source| {
            let step = "set the mode of";
            ErrorKind::Destination { step, path: self.file.path.clone(), source }
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
        preserve::rights_of(source.file.as_file(), &source.facts)
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Another run, or somebody else, may be faster than the look before.
    #[test]
    fn a_part_that_appears_meanwhile_is_a_leftover_and_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("copy");
        let target = || StagedTarget::look_at(path.clone(), true).unwrap();
        let part = target().part_path();
        std::fs::write(&part, "theirs").unwrap();
        let refused = || refusal(Stage::begin(target(), BLANK, Start::Fresh));
        let Refusal::Leftover { resumable: true, path } = refused() else { panic!() };
        assert_eq!(path, part);
        // Unless that other run is writing it.
        let written = File::options().write(true).open(&part).unwrap();
        sys::try_lock(&written).unwrap();
        let Refusal::Busy { path } = refused() else { panic!() };
        assert_eq!((&path, std::fs::read(&part).unwrap()), (&part, b"theirs".to_vec()));
    }

    /// Of another run, say, which ended after the name was looked at: nothing is copied
    /// that could not get its name.
    #[test]
    fn a_name_that_is_taken_meanwhile_is_refused_before_the_first_byte() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("copy");
        let target = |force| StagedTarget::look_at(path.clone(), force).unwrap();
        let (kept, forced) = (target(false), target(true));
        let part = kept.part_path();
        std::fs::write(&path, "theirs").unwrap();
        let Refusal::Exists { path: found, in_batch: false } =
            refusal(Stage::begin(kept, BLANK, Start::Fresh))
        else {
            panic!()
        };
        assert_eq!((&found, std::fs::read(&path).unwrap()), (&path, b"theirs".to_vec()));
        assert!(!part.exists(), "what was begun stays");
        let written = File::options().write(true).open(&path).unwrap();
        sys::try_lock(&written).unwrap();
        let begun = Stage::begin(target(true), BLANK, Start::Fresh);
        assert!(matches!(refusal(begun), Refusal::Busy { .. }), "another run writes it");
        assert!(!part.exists(), "what was begun stays");
        drop(written);
        assert!(Stage::begin(forced, BLANK, Start::Fresh).is_ok(), "it may be replaced");
        assert!(part.exists());
    }

    const BLANK: Blank<'_> = Blank { len: 10, open_ended: false, gaps: false, like: None };

    fn refusal(begun: Result<Stage>) -> Refusal {
        match begun.err().expect("it is refused").into_kind() {
            ErrorKind::Refused(refusal) => refusal,
            other => panic!("{other:?}"),
        }
    }

    /// Nobody knows how long it becomes, and yet it may be written out of order, unless
    /// the file system fills what is skipped.
    #[test]
    fn a_part_of_an_unknown_length_grows_only_where_lengths_are_in_doubt() {
        let folder = tempfile::tempdir().unwrap();
        let target = StagedTarget::look_at(folder.path().join("copy"), true).unwrap();
        let blank = Blank { len: 10, open_ended: true, gaps: false, like: None };
        let stage = Stage::begin(target, blank, Start::Fresh).unwrap();
        let file = stage.file();
        assert_eq!(file.grows, sizing::is_in_doubt(file.as_file()));
        assert_eq!(file.reach(), 10);
    }
}
