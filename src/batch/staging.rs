//! Where the files of a batch are written until they are complete: each is a
//! part of its own (see `durable::part`), made, found, given its name or taken
//! away by what it is, never by its name alone. A file that an earlier run gave
//! its name although it lacks something is written where it is.

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::output::Output;
use super::outputs::{Make, Outputs};
use super::partial::Partial;
use crate::durable::intact;
use crate::durable::map::MapFile;
use crate::durable::part::{self, Found, Ours};
use crate::durable::side;
use crate::durable::sizing;
use crate::durable::target::{MAP_SUFFIX, sibling_name};
use crate::durable::trust::{Examiner, Purpose};
use crate::error::plain;
use crate::io::FileIo;
use crate::preserve;
use crate::progress::lock;
use crate::sync::atomic::Ordering;
use crate::sys::{self, Directory, FileKind, Metadata, Replace};

impl Outputs {
    /// The file for an output.
    pub(super) fn create(&self, output: &Output, how: Make) -> io::Result<Arc<FileIo>> {
        let directory = self.directory_of(&output.wanted.name, true)?;
        let (file, facts) = match &output.wanted.partial {
            Some(partial) => with_facts(go_on(&directory, output.name(), partial)?)?,
            None => match self.create_unnamed(output, &directory, how) {
                Some(made) => made,
                None => {
                    let part = self.create_part(output, &directory, how.keep)?;
                    with_facts(unless_taken(output, &directory, part)?)?
                }
            },
        };
        if output.wanted.partial.is_none() {
            lock(&self.ours).insert((facts.device, facts.inode));
            output.made.store(!output.unnamed.load(Ordering::Acquire), Ordering::Release);
        }
        // Set once: an output is created once.
        let _ = output.identity.set(facts);
        if output.wanted.len > 0 && output.wanted.partial.is_none() {
            match how.at_once {
                true => output.grows.store(true, Ordering::Release),
                false => give_length(output, &file)?,
            }
        }
        Ok(Arc::new(FileIo::new(file, output.wanted.len)))
    }

    fn create_part(
        &self,
        output: &Output,
        directory: &Directory,
        keep: bool,
    ) -> io::Result<std::fs::File> {
        let part = output.part_name();
        match part::create(directory, &part) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                // Nothing was found there when the batch began.
                if !self.earlier.discard {
                    return Err(match part::find(directory, &part)? {
                        Found::Left(_, facts) if self.is_ours(&facts) => same_file(),
                        Found::Left(..) | Found::NoFile => error,
                        Found::Nothing | Found::Busy => self.busy_or_ours(directory, &part),
                    });
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(busy()),
            result => return result,
        }
        match part::find(directory, &part)? {
            Found::Busy => return Err(self.busy_or_ours(directory, &part)),
            Found::Left(_, facts) if self.is_ours(&facts) => return Err(same_file()),
            Found::Left(file, facts) if keep && self.earlier.resume => {
                self.examine(directory, &facts, Purpose::Write, output)?;
                // Before the first byte: what comes is for nobody else to read.
                part::adopt(directory, &file)?;
                let _ = output.found.set(facts);
                return Ok(file);
            }
            // The lock keeps other runs away until it is gone.
            Found::Left(file, facts) => {
                self.examine(directory, &facts, Purpose::Discard, output)?;
                side::remove(directory, &part, Ours { file: &file, facts: &facts })?;
                if let Ok(map_file) = self.map_file(output).as_ref()
                    && output.wanted.has_map
                {
                    map_file.clear_temporaries();
                }
            }
            Found::Nothing => {}
            Found::NoFile => {
                return Err(io::Error::other("what has the name of its part is not a file"));
            }
        }
        part::create(directory, &part)
    }

    /// Whether the part of `output` is that of an earlier run. The preflight has
    /// looked, and somebody may have put another there since.
    fn examine(
        &self,
        directory: &Directory,
        facts: &Metadata,
        purpose: Purpose,
        output: &Output,
    ) -> io::Result<()> {
        let path = self.path(&output.wanted.name).with_file_name(output.part_name());
        let mut examiner = Examiner::new(self.earlier.trust);
        examiner.check(directory, facts, purpose, &path).map_err(io::Error::other)
    }

    /// Opens the file of an output again, which must be the one it was.
    pub(super) fn reopen(&self, output: &Output) -> io::Result<std::fs::File> {
        let directory = self.directory_of(&output.wanted.name, false)?;
        match part::find(&directory, &output.written_name())? {
            Found::Left(file, facts) if output.is(&facts) => Ok(file),
            Found::Busy => Err(busy()),
            _ => Err(io::Error::other("somebody put another file in its place")),
        }
    }

    /// Gives `file`, of `output`, what the umask leaves of `rights`, or the mode
    /// of the file that it replaces. One that has its name already keeps what it has.
    ///
    /// # Errors
    ///
    /// Of the system; what it refuses is told in [`Outputs::refused`].
    pub fn give_mode(&self, output: &Output, file: &std::fs::File, rights: u32) -> io::Result<()> {
        if output.wanted.partial.is_some() {
            return Ok(());
        }
        if output.wanted.replace == Replace::Yes {
            let directory = self.directory_of(&output.wanted.name, false)?;
            let standing =
                directory.facts(output.name())?.filter(|facts| facts.node == FileKind::File);
            if let Some(facts) = standing {
                let missing = preserve::take_place_of(&directory, output.name(), &facts, file)?;
                self.refused.extend(missing, &output.wanted.name);
                return Ok(());
            }
        }
        self.try_to("mode", output, || sys::set_mode(file, rights & self.left_by_umask))
    }

    /// Does `step`, which an output needs for nothing. That it is refused is told
    /// in [`Outputs::refused`].
    ///
    /// # Errors
    ///
    /// All else that the system says.
    pub fn try_to(
        &self,
        what: &'static str,
        output: &Output,
        step: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<()> {
        let missing = preserve::unless_refused(what, step())?;
        self.refused.extend(missing, &output.wanted.name);
        Ok(())
    }

    /// Gives a complete output its final name.
    pub fn publish(&self, output: &Output) -> io::Result<()> {
        let directory = self.directory_of(&output.wanted.name, false)?;
        let ours = output.identity.get().ok_or_else(|| io::Error::other("it was never made"))?;
        if output.unnamed.load(Ordering::Acquire) {
            return self.name(output, &directory);
        }
        let replace = output.wanted.replace;
        if replace == Replace::Yes && output.wanted.partial.is_none() {
            let there = directory.facts(output.name())?;
            if there.is_some_and(|there| self.is_ours(&there)) {
                return Err(same_file());
            }
            if part::stays_written(&directory, output.name()) {
                return Err(busy());
            }
        }
        // Last: what a name leads to may change at any time.
        let found = check_is_at(&directory, &output.written_name(), output, ours)?;
        output.check_length(&found)?;
        if output.wanted.partial.is_some() {
            return Ok(());
        }
        directory.rename(&output.part_name(), output.name(), replace).map_err(|error| {
            if error.kind() == io::ErrorKind::AlreadyExists {
                // Another file has got the name: this one will never have it.
                return error;
            }
            // Complete, it is worth keeping.
            output.made.store(false, Ordering::Release);
            let part = crate::error::quoted(output.part_name());
            let what = format!("it is complete in {part}, which cannot be renamed");
            io::Error::new(error.kind(), format!("{what}: {}", plain(&error)))
        })?;
        output.made.store(false, Ordering::Release);
        check_is_at(&directory, output.name(), output, &found).map(drop)
    }

    /// Makes sure that the directory at `path` is still found where the user
    /// looks for it.
    pub fn check_place(&self, path: &Path) -> io::Result<()> {
        let directory = self.folders.at(path, false)?;
        match intact::directory_is_still_at(&self.path(path), &directory) {
            // Deeper than a path is long, nobody else finds it by one either.
            Err(error) if error.kind() == io::ErrorKind::InvalidFilename => {
                intact::directory_is_still_at(&self.path(Path::new("")), self.folders.root())
            }
            result => result,
        }
    }

    /// Removes what was written of an output that has not got its name.
    pub fn discard(&self, output: &Output) {
        let Some(ours) = output.identity.get() else { return };
        if output.unnamed.load(Ordering::Acquire) {
            // Gone when it is closed, and its number may be another's then.
            lock(&self.ours).remove(&(ours.device, ours.inode));
            return;
        }
        if !output.made.load(Ordering::Acquire) {
            return;
        }
        // Best effort: the report says that the item failed, and the next run
        // finds and discards what stays.
        let _ = self.directory_of(&output.wanted.name, false).and_then(|directory| {
            match output.open_file() {
                Some(file) => {
                    let ours = Ours { file: file.as_file(), facts: ours };
                    side::remove(&directory, &output.part_name(), ours)
                }
                None => remove_closed(&directory, &output.part_name(), ours),
            }
        });
        lock(&self.ours).remove(&(ours.device, ours.inode));
    }

    /// Where the map of an output lives.
    ///
    /// # Errors
    ///
    /// If its directory cannot be had.
    pub fn map_file(&self, output: &Output) -> io::Result<MapFile> {
        let directory = self.directory_of(&output.wanted.name, false)?;
        let path = self.path(output.wanted.name.parent().unwrap_or(Path::new("")));
        Ok(MapFile::inside(directory, path, sibling_name(output.name(), MAP_SUFFIX)))
    }

    /// Whether this run made the file. Where case does not count, two names of
    /// a list may lead to one.
    pub(super) fn is_ours(&self, facts: &Metadata) -> bool {
        lock(&self.ours).contains(&(facts.device, facts.inode))
    }

    fn busy_or_ours(&self, directory: &Directory, name: &OsStr) -> io::Error {
        match directory.facts(name) {
            Ok(Some(facts)) if self.is_ours(&facts) => same_file(),
            _ => busy(),
        }
    }
}

/// Makes sure that `name` is the file of `output`, which was `ours` a moment ago.
fn check_is_at(
    directory: &Directory,
    name: &OsStr,
    output: &Output,
    ours: &Metadata,
) -> io::Result<Metadata> {
    if let Some(file) = output.open_file() {
        return part::check_is_at(directory, name, Ours { file: file.as_file(), facts: ours });
    }
    // It was closed to make room: its bytes cannot be compared, only its numbers.
    let is_it = |there: &Metadata| part::may_be_same(directory, there, ours);
    directory.facts(name)?.filter(is_it).ok_or_else(part::not_ours)
}

/// Removes `name`, if it is the file that was `ours`.
fn remove_closed(directory: &Directory, name: &OsStr, ours: &Metadata) -> io::Result<bool> {
    let file = directory.open_to_read(name)?;
    match sys::facts(&file)? {
        facts if facts.same_thing(ours) => {
            side::remove(directory, name, Ours { file: &file, facts: &facts })
        }
        _ => Err(part::not_ours()),
    }
}

/// `part`, which is locked now, unless the name of `output` was free and is taken: by
/// another run, say, that ended since. What would be copied could not get it.
fn unless_taken(
    output: &Output,
    directory: &Directory,
    part: std::fs::File,
) -> io::Result<std::fs::File> {
    let wanted = &output.wanted;
    // A look for each small file would cost more than it saves: its end shows it.
    let matters = wanted.has_map && wanted.replace == Replace::Never;
    if !matters || directory.facts(output.name())?.is_none() {
        return Ok(part);
    }
    if output.found.get().is_none() {
        // Made just now. What an earlier run left stays.
        let facts = sys::facts(&part)?;
        side::remove(directory, &output.part_name(), Ours { file: &part, facts: &facts })?;
    }
    let what = "something else has got its name meanwhile";
    Err(io::Error::new(io::ErrorKind::AlreadyExists, what))
}

/// `file`, which could be made or opened: it is none of those that the kernel makes up.
fn with_facts(file: std::fs::File) -> io::Result<(std::fs::File, Metadata)> {
    let facts = sys::facts_of_known(&file)?;
    Ok((file, facts))
}

/// The file that an earlier run gave its name, to write what it lacks.
fn go_on(directory: &Directory, name: &OsStr, partial: &Partial) -> io::Result<std::fs::File> {
    match part::find(directory, name)? {
        Found::Left(file, facts) if is_same(directory, &facts, &partial.facts) => Ok(file),
        Found::Busy => Err(busy()),
        _ => Err(io::Error::other("somebody put another file in its place")),
    }
}

/// Whether two looks are at one file that nobody has changed in between.
fn is_same(directory: &Directory, one: &Metadata, other: &Metadata) -> bool {
    one.same_thing(other)
        || one.changed == other.changed && part::may_be_same(directory, one, other)
}

fn busy() -> io::Error {
    io::Error::other("another copy is writing it")
}

pub(super) fn same_file() -> io::Error {
    io::Error::other("another item of the list has the same file here")
}

/// Gives `file`, of `output`, its length.
pub(super) fn give_length(output: &Output, file: &std::fs::File) -> io::Result<()> {
    let wanted = &output.wanted;
    // The segments of one file are written in the order of their sources.
    let gaps = wanted.segments > 1 || wanted.bytes < wanted.len;
    let grows = sizing::size_ahead(file, wanted.len, gaps)?;
    output.grows.store(grows, Ordering::Release);
    Ok(())
}

/// Sees to it that an output has its length when everything is written.
pub(super) fn fill_up(outputs: &Outputs, output: &Arc<Output>) -> io::Result<()> {
    if !output.grows.load(Ordering::Acquire) {
        return Ok(());
    }
    sizing::fill_up(outputs.file(output)?.as_file(), output.wanted.len)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{outputs, outputs_of, wanted, write};
    use super::*;
    use crate::testing::Random;

    /// Two of one name, as names are that differ in case alone where case does
    /// not count, and another.
    const NAMES: [&str; 3] = ["x", "x", "other"];

    #[test]
    fn two_items_with_one_file_do_not_take_each_others_part() {
        for open in [1, 3] {
            let folder = tempfile::tempdir().unwrap();
            let outputs = outputs(folder.path(), &NAMES, open, Replace::Yes);
            let first = outputs.get(0, Make::default()).unwrap();
            write(&outputs, &first, b"one");
            // Makes room, if there is little: the lock goes, and who made it is known.
            outputs.get(2, Make::default()).unwrap();
            let second = outputs.get(1, Make::default()).unwrap();
            let reason = second.take_trouble().error.expect("it has no file").text;
            assert!(reason.contains("another item"), "{reason}");
            outputs.discard(&second);
            outputs.publish(&first).unwrap();
            assert_eq!(std::fs::read(folder.path().join("x")).unwrap(), b"one");

            // Its turn comes when the other has its name.
            outputs.close(&second);
            let second = outputs.get(1, Make::default()).unwrap();
            write(&outputs, &second, b"two");
            outputs.publish(&second).unwrap_err();
            assert_eq!(std::fs::read(folder.path().join("x")).unwrap(), b"one");
        }
    }

    /// Closed to make room by one worker and wanted again by another, a file must
    /// not look as if somebody else were writing it: the lock that one holds goes
    /// before the other asks for it.
    #[test]
    fn a_file_that_is_being_closed_is_not_taken_for_that_of_another_run() {
        let folder = tempfile::tempdir().unwrap();
        let names: Vec<String> = (0..8).map(|number| number.to_string()).collect();
        let outputs = outputs(folder.path(), &names, 2, Replace::Never);
        let all: Vec<_> =
            (0..8).map(|index| outputs.get(index, Make::default()).unwrap()).collect();
        std::thread::scope(|scope| {
            for seed in 0..4 {
                let (all, outputs) = (&all, &outputs);
                scope.spawn(move || {
                    let mut random = Random::new(seed);
                    for _ in 0..3000 {
                        write(outputs, &all[random.below(8) as usize], b"abc");
                    }
                });
            }
        });
        all.iter().for_each(|output| outputs.publish(output).unwrap());
    }

    #[test]
    fn what_another_run_is_writing_is_neither_taken_nor_removed() {
        let folder = tempfile::tempdir().unwrap();
        let theirs = outputs(folder.path(), &NAMES, 3, Replace::Never);
        let writing = theirs.get(0, Make::default()).unwrap();
        write(&theirs, &writing, b"one");
        let ours = outputs(folder.path(), &NAMES, 3, Replace::Never);
        for keep in [false, true] {
            let output = ours.get(0, Make { keep, at_once: false }).unwrap();
            let reason = output.take_trouble().error.expect("it has no file").text;
            assert!(reason.contains("another copy is writing"), "{reason}");
            ours.discard(&output);
            ours.close(&output);
        }
        theirs.publish(&writing).unwrap();
        assert_eq!(std::fs::read(folder.path().join("x")).unwrap(), b"one");
    }

    /// Another run may have copied it since the batch began: what would be copied for an
    /// hour could not get its name.
    #[test]
    fn a_large_file_whose_name_is_taken_meanwhile_fails_before_its_first_byte() {
        for (left, replace, fails) in [
            (None, Replace::Never, true),
            (Some("left"), Replace::Never, true),
            (None, Replace::Yes, false),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let (path, part) = (folder.path().join("x"), folder.path().join("x.pcopy-part"));
            let mut wanted = wanted(Path::new("x"), replace);
            wanted.has_map = true;
            let outputs = outputs_of(folder.path(), vec![wanted], 3);
            std::fs::write(&path, "theirs").unwrap();
            left.map_or(Ok(()), |left| std::fs::write(&part, left)).unwrap();
            let output = outputs.get(0, Make { keep: true, at_once: false }).unwrap();
            let trouble = output.take_trouble().error;
            assert_eq!(trouble.is_some(), fails, "{trouble:?}");
            if fails {
                let text = trouble.unwrap().text;
                assert_eq!(text, "cannot create it: something else has got its name meanwhile");
                outputs.discard(&output);
                assert_eq!(std::fs::read_to_string(&part).ok().as_deref(), left);
            }
            assert_eq!(std::fs::read(&path).unwrap(), b"theirs");
        }
    }

    #[test]
    fn a_part_that_somebody_put_there_is_neither_written_nor_named() {
        let folder = tempfile::tempdir().unwrap();
        let outputs = outputs(folder.path(), &NAMES, 1, Replace::Never);
        let output = outputs.get(0, Make::default()).unwrap();
        let part = folder.path().join("x.pcopy-part");
        std::fs::rename(&part, folder.path().join("aside")).unwrap();
        std::fs::write(&part, "theirs").unwrap();
        outputs.publish(&output).unwrap_err();
        // Closed to make room, it would be opened again by name.
        outputs.get(2, Make::default()).unwrap();
        assert!(outputs.file(&output).is_err());
        outputs.discard(&output);
        assert_eq!(std::fs::read(&part).unwrap(), b"theirs");
        assert!(!folder.path().join("x").exists());
    }
}
