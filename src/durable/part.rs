//! A file that is written under a name nobody looks at: made exclusively,
//! locked while it is written, and known by what it is.
//!
//! A name says little of a file that others can reach as well: another run may
//! be writing under it, or somebody may have put something else there. So
//! a run that wants a part gets the lock first, and one that renames it looks
//! before and after whether it is still the file that was written.

use std::ffi::OsStr;
use std::fs::{File, TryLockError};
use std::io;
use std::time::Duration;

use super::recheck;
use super::trust;
use crate::sync::{Instant, patience, thread};
use crate::sys::{self, Directory, FileKind, Metadata};

/// What there is under the name of a part.
pub enum Found {
    /// Nothing.
    Nothing,
    /// Something that is not a regular file.
    NoFile,
    /// A file that another run is writing.
    Busy,
    /// A file that nobody is writing; open for reading and writing, and locked.
    Left(File, Metadata),
}

/// Makes `name`, which must not exist, and locks it.
///
/// # Errors
///
/// Of the system; `WouldBlock` if another run was faster to lock it.
pub fn create(directory: &Directory, name: &OsStr) -> io::Result<File> {
    locked(directory, name, directory.create_new(name)?)
}

/// `file`, which was just made as `name`, with the lock that says that it is written. A
/// run that looks at it has that lock for a moment, and gives it back: it is waited for,
/// or else both would be refused.
///
/// # Errors
///
/// `WouldBlock` if another run has taken the file for one that was left: it keeps it, or
/// has put one of its own in its place.
pub fn locked(directory: &Directory, name: &OsStr, file: File) -> io::Result<File> {
    if lasts(patience(LOOK), || is_busy(&file)) {
        return Err(io::ErrorKind::WouldBlock.into());
    }
    let facts = sys::facts_of_known(&file)?;
    let is_ours =
        |there: &Metadata| Ours { file: &file, facts: &facts }.is_itself(directory, name, there);
    match directory.facts(name)?.is_some_and(|there| is_ours(&there)) {
        true => Ok(file),
        false => Err(io::ErrorKind::WouldBlock.into()),
    }
}

/// How long a look at a file that was just made takes, at most: it is empty.
const LOOK: Duration = Duration::from_millis(200);

/// How long a file that was just made is empty and not locked, nearly always.
const BIRTH: Duration = Duration::from_millis(100);

/// How long a process that another thread has started is the same program as this one,
/// at most, and has its files open.
const FORK: Duration = Duration::from_millis(50);

/// How long a run keeps a file that has its name already: it syncs the directory, and
/// looks at it once more.
const ENDING: Duration = Duration::from_secs(2);

/// Between two tries to lock a file.
const MOMENT: Duration = Duration::from_millis(1);

/// Looks at `name`, and takes the lock if it is a file.
///
/// # Errors
///
/// Of the system.
pub fn find(directory: &Directory, name: &OsStr) -> io::Result<Found> {
    find_unless(stays_busy, directory, name)
}

/// The same where it matters whether an empty part has just been made, by a run that is
/// about to lock it. Of thousands of them, nobody would wait for each.
///
/// # Errors
///
/// Of the system.
pub fn find_born(directory: &Directory, name: &OsStr) -> io::Result<Found> {
    let begun = Instant::now();
    loop {
        match find(directory, name)? {
            Found::Left(file, facts) if facts.size == 0 && begun.elapsed() < patience(BIRTH) => {
                drop(file);
                thread::sleep(MOMENT);
            }
            found => return Ok(found),
        }
    }
}

/// As [`find`], where `is_busy` tells whether another run is writing a file.
fn find_unless(
    is_busy: impl FnOnce(&File) -> bool,
    directory: &Directory,
    name: &OsStr,
) -> io::Result<Found> {
    let Some(found) = directory.facts(name)? else { return Ok(Found::Nothing) };
    if found.node != FileKind::File {
        return Ok(Found::NoFile);
    }
    let file = match open(directory, name, &found) {
        // The run that had it has ended since.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Busy),
        file => file?,
    };
    if is_busy(&file) {
        return Ok(Found::Busy);
    }
    // Between the look and the lock the run that had it may have ended and
    // given the file its final name: then it is not the part any more.
    let facts = sys::facts(&file)?;
    let still = directory.facts(name)?;
    let is_same =
        |still: &Metadata| Ours { file: &file, facts: &facts }.is_itself(directory, name, still);
    match still.is_some_and(|still| is_same(&still)) {
        true => Ok(Found::Left(file, facts)),
        false => Ok(Found::Busy),
    }
}

/// Opens the part `name`, which was `found` there, for reading and writing.
fn open(directory: &Directory, name: &OsStr, found: &Metadata) -> io::Result<File> {
    match directory.open_existing(name) {
        // One of ours that has got the mode of the source already.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            let unwritable = directory.open_to_read(name)?;
            sys::set_mode(&unwritable, found.mode | PRIVATE).map_err(|_| error)?;
            directory.open_existing(name)
        }
        opened => opened,
    }
}

/// Makes the part `file` of an earlier run private again, before anything is
/// written to it: its mode may be another by now. With the consent to take over
/// the part of another user, root makes it its own first.
///
/// # Errors
///
/// Of the system, if it is not as private as a file that is made in `directory`.
pub fn adopt(directory: &Directory, file: &File) -> io::Result<()> {
    let is_private = || Ok::<_, io::Error>(sys::facts(file)?.mode == PRIVATE);
    sys::take_ownership(file)
        .and_then(|()| if is_private()? { Ok(()) } else { sys::set_mode(file, PRIVATE) })
        .or_else(|error| if trust::says_nothing(directory, file) { Ok(()) } else { Err(error) })
}

/// The mode of a part.
const PRIVATE: u32 = 0o600;

/// Whether another run is writing `file`. If not, this one has the lock that
/// says so, for as long as the file is open. A file system without locks is no
/// reason to refuse.
pub fn is_busy(file: &File) -> bool {
    matches!(sys::try_lock(file), Err(TryLockError::WouldBlock))
}

/// Whether another run is writing `file` for longer than a moment. What a run of this
/// process has just let go of may still be locked by a process that another thread was
/// starting: until that is another program, it has the same files open.
pub fn stays_busy(file: &File) -> bool {
    stays(|| is_busy(file))
}

/// Whether `is_locked` for longer than such a moment.
pub fn stays(is_locked: impl FnMut() -> bool) -> bool {
    lasts(FORK, is_locked)
}

/// Whether `is_locked` for as long as `patience`.
pub fn lasts(patience: Duration, mut is_locked: impl FnMut() -> bool) -> bool {
    let begun = Instant::now();
    while is_locked() {
        if begun.elapsed() >= patience {
            return true;
        }
        thread::sleep(MOMENT);
    }
    false
}

/// Whether another run is writing the file `name` where it is. What cannot be
/// opened says nothing.
pub fn is_written(directory: &Directory, name: &OsStr) -> bool {
    directory.open_to_read(name).is_ok_and(|file| stays_busy(&file))
}

/// The same when it is about to be replaced by what is complete. A run that has just
/// given the name keeps the file for what it has left to do.
pub fn stays_written(directory: &Directory, name: &OsStr) -> bool {
    lasts(ENDING, || directory.open_to_read(name).is_ok_and(|file| is_busy(&file)))
}

/// A file that is open, and what it was when its name was last asked for.
#[derive(Clone, Copy)]
pub struct Ours<'a> {
    /// Open for reading.
    pub file: &'a File,
    /// What it was.
    pub facts: &'a Metadata,
}

impl Ours<'_> {
    /// Whether `there`, which `name` is, is this file. Numbers tell that at no
    /// cost. Where they are others on a file system that may make them up at each
    /// look or of each path, the bytes decide: files that are made within one tick of
    /// the clock differ in nothing else. Only what is empty, or cannot be read by its
    /// name, is told by what else is known of it: of an empty file no times, if those are
    /// made up as well.
    pub fn is(&self, directory: &Directory, name: &OsStr, there: &Metadata) -> bool {
        there.same_thing(self.facts) || self.is_by_content(directory, name, there)
    }

    /// The same where it is to be removed or taken over: a file with the same bytes is not
    /// this one where numbers tell, and may be what another run has written.
    pub fn is_itself(&self, directory: &Directory, name: &OsStr, there: &Metadata) -> bool {
        there.same_thing(self.facts)
            || !numbers_hold(sys::file_system(self.file))
                && self.is_by_content(directory, name, there)
    }

    fn is_by_content(&self, directory: &Directory, name: &OsStr, there: &Metadata) -> bool {
        // Not every system can still tell of a file that has got another name.
        let now = sys::facts(self.file).unwrap_or_else(|_| self.facts.clone());
        if now.node != FileKind::File || there.node != FileKind::File || now.size != there.size {
            return false;
        }
        // Ours was removed, and the other one is there.
        if now.links == 0 && there.links > 0 {
            return false;
        }
        let theirs = if now.size > 0 { directory.open_to_read(name).ok() } else { None };
        match theirs {
            Some(theirs) => recheck::are_equal(self.file, &theirs, now.size),
            None if is_alike(&now, there) && now.changed == there.changed => true,
            None => {
                is_alike_but_times(&now, there) && now.size == 0 && makes_up_times(self.file, &now)
            }
        }
    }
}

/// Whether two looks in `directory` may be at one file, of which nothing but what the file
/// system says is at hand.
pub fn may_be_same(directory: &Directory, one: &Metadata, other: &Metadata) -> bool {
    one.same_thing(other) || !numbers_hold(sys::file_system(directory)) && is_alike(one, other)
}

/// Whether two files with other numbers are two, on this file system.
fn numbers_hold(system: io::Result<sys::FileSystem>) -> bool {
    system.is_ok_and(|system| system.kind.keeps_numbers())
}

/// Whether two looks may be at one file, by what else the file system says of it.
fn is_alike(one: &Metadata, other: &Metadata) -> bool {
    one.modified == other.modified && is_alike_but_times(one, other)
}

fn is_alike_but_times(one: &Metadata, other: &Metadata) -> bool {
    let asked = |facts: &Metadata| (facts.node, facts.size, facts.owner);
    asked(one) == asked(other)
}

/// Whether the times of `file`, which were in `before`, are others at each look.
fn makes_up_times(file: &File, before: &Metadata) -> bool {
    sys::facts(file).is_ok_and(|now| now.changed != before.changed)
}

/// Makes sure that `name` is `ours`: anyone who may write in the directory may
/// have put something else, a link say, in its place. A rename goes by name,
/// so only after it is it known what was renamed. Returns what it is now.
///
/// # Errors
///
/// If it is not, or if the system does not say.
pub fn check_is_at(directory: &Directory, name: &OsStr, ours: Ours<'_>) -> io::Result<Metadata> {
    let there = directory.facts(name)?.filter(|there| ours.is(directory, name, there));
    there.ok_or_else(not_ours)
}

/// That a name leads to another file than the one that was made.
pub fn not_ours() -> io::Error {
    io::Error::other("somebody put another file in its place")
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

    use super::*;

    /// A child of a fork has the files of its parent open, locks and all.
    #[test]
    fn what_a_child_keeps_locked_for_a_moment_is_not_busy() {
        if sys::WINDOWS_NAMES {
            // No process begins as a copy of another one there.
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let directory = Directory::open(folder.path()).unwrap();
        let name = std::ffi::OsStr::new("part");
        let file = create(&directory, name).unwrap();
        // Of a run that has ended, which had it open under one more descriptor.
        let kept = file.try_clone().unwrap();
        drop(file);
        assert!(matches!(find(&directory, name), Ok(Found::Busy)));
        let (mut kept, mut looks) = (Some(kept), 0);
        let stays = |file: &File| {
            lasts(Duration::from_secs(600), || {
                looks += 1;
                if looks == 3 {
                    kept = None;
                }
                is_busy(file)
            })
        };
        assert!(matches!(find_unless(stays, &directory, name), Ok(Found::Left(..))));
        assert_eq!(looks, 3);
    }

    /// Others look at it all the time.
    #[test]
    fn a_part_that_is_looked_at_while_it_is_made_is_made() {
        let folder = tempfile::tempdir().unwrap();
        let directory = Directory::open(folder.path()).unwrap();
        for round in 0..2000 {
            let name = std::ffi::OsString::from(format!("part{round}"));
            let is_over = AtomicBool::new(false);
            let made = std::thread::scope(|scope| {
                for _ in 0..2 {
                    scope.spawn(|| {
                        while !is_over.load(SeqCst) {
                            drop(find(&directory, &name).unwrap());
                        }
                    });
                }
                // Without its lock from here on, which the others would wait for.
                let made = create(&directory, &name).map(drop);
                is_over.store(true, SeqCst);
                made
            });
            assert!(made.is_ok(), "round {round}: {made:?}");
        }
    }

    /// Another run has found it before it was locked, and made its own.
    #[test]
    fn a_part_that_lost_its_name_before_it_was_locked_is_not_written() {
        if sys::WINDOWS_NAMES {
            // No number is relied on there, and one empty file is as another.
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let directory = Directory::open(folder.path()).unwrap();
        let name = OsStr::new("part");
        let busy = |made: io::Result<File>| made.unwrap_err().kind() == io::ErrorKind::WouldBlock;
        let ours = directory.create_new(name).unwrap();
        directory.remove(name).unwrap();
        assert!(busy(locked(&directory, name, ours)), "its name is gone");
        let ours = directory.create_new(name).unwrap();
        directory.remove(name).unwrap();
        let theirs = create(&directory, name).unwrap();
        assert!(busy(locked(&directory, name, ours)), "another file has its name");
        drop(theirs);
    }

    /// Runs make it and take it away all the time: a look finds one of these, and does not fail.
    #[test]
    fn a_part_that_goes_away_meanwhile_is_busy() {
        if sys::WINDOWS_NAMES {
            // A name stays there as long as somebody has the file open.
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let directory = Directory::open(folder.path()).unwrap();
        let name = OsStr::new("part");
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..5000 {
                    drop(directory.create_new(name).unwrap());
                    directory.remove(name).unwrap();
                }
                is_over.store(true, SeqCst);
            });
            while !is_over.load(SeqCst) {
                find(&directory, name).unwrap();
            }
        });
    }

    /// Where the numbers are others, nothing but the same bytes makes it the same file.
    #[test]
    fn another_file_is_ours_by_its_bytes_alone() {
        let folder = tempfile::tempdir().unwrap();
        let directory = Directory::open(folder.path()).unwrap();
        let path = |name: &str| folder.path().join(name);
        let write = |name: &str, bytes: &str| std::fs::write(path(name), bytes).unwrap();
        write("ours", "some bytes");
        write("same", "some bytes");
        write("longer", "some bytes and more");
        write("other", "sane bytes");
        write("empty", "");
        write("nothing", "");
        std::fs::create_dir(path("folder")).unwrap();
        // By all but its bytes and its change time, it may be the same.
        let time = std::fs::metadata(path("ours")).unwrap().modified().unwrap();
        let set_time = |name: &str, time| {
            File::options().write(true).open(path(name)).unwrap().set_modified(time).unwrap();
        };
        set_time("other", time);
        set_time("nothing", time - Duration::from_secs(1));
        let is = |ours: &str, there: &str| {
            let file = File::open(path(ours)).unwrap();
            let facts = sys::facts(&file).unwrap();
            let name = OsStr::new(there);
            let there = directory.facts(name).unwrap().unwrap();
            Ours { file: &file, facts: &facts }.is(&directory, name, &there)
        };
        for (there, expected) in
            [("ours", true), ("same", true), ("longer", false), ("other", false), ("folder", false)]
        {
            assert_eq!(is("ours", there), expected, "{there}");
        }
        assert!(!is("empty", "nothing"), "no bytes tell one from another");
        let (file, there) = (File::open(path("ours")).unwrap(), OsStr::new("same"));
        let ours = Ours { file: &file, facts: &sys::facts(&file).unwrap() };
        let found = directory.facts(there).unwrap().unwrap();
        let kind = sys::file_system(&file).unwrap().kind;
        assert_eq!(ours.is_itself(&directory, there, &found), !kind.keeps_numbers(), "{kind:?}");
    }
}
