//! A side file that the user names: a report, a list of digests, a chart.
//!
//! A regular file is replaced by a new one that is complete, or has begun; what
//! stood there stays until then. What is not a file, such as a pipe, a terminal or
//! `/dev/fd/3`, is written as it is. A symbolic link is followed only if this
//! user or root has made it, and a pipe is written only if either has: in a
//! folder that others may write to, a name may be theirs.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::Temporary;
use crate::durable::part::{self, Ours};
use crate::preserve;
use crate::sys::{self, Directory, FileKind, Metadata, Replace};

/// How many links may lead to each other, as on Linux.
const MOST_LINKS: u32 = 40;

/// Time between looks whether somebody reads a pipe.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// What a path leads to that the user named.
pub enum Named {
    /// A name that a regular file has, or nothing.
    File(Place),
    /// No file: written as it is.
    Stream(PathBuf),
}

/// A name in an open directory.
pub struct Place {
    directory: Arc<Directory>,
    name: OsString,
    path: PathBuf,
    is_taken: bool,
}

impl Named {
    /// Looks where `path` leads, without making or changing anything.
    ///
    /// # Errors
    ///
    /// Of the system, or why it is not a place for a side file.
    pub fn look(path: &Path) -> io::Result<Named> {
        let mut path = path.to_owned();
        for _ in 0..MOST_LINKS {
            let name = path.file_name().ok_or_else(|| unfit("it is not the name of a file"))?;
            let name = name.to_owned();
            let folder = path.parent().unwrap_or(Path::new(""));
            let directory = Directory::open(folder)?;
            let found = directory.facts(&name)?;
            let node = found.as_ref().map(|facts| facts.node);
            match node {
                None => return Ok(Place::at(directory, name, path, false)),
                Some(FileKind::File | FileKind::VirtualFile) => {
                    // Whether it may be written is asked of what is open.
                    let facts = sys::facts(&directory.open_existing(&name)?)?;
                    return match facts.node {
                        FileKind::File => Ok(Place::at(directory, name, path, true)),
                        _ => Err(unfit("it is not a regular file")),
                    };
                }
                Some(FileKind::Link) => {
                    check_maker(found.as_ref(), "a symbolic link")?;
                    if sys::holds_descriptors(&directory) {
                        return Ok(Named::Stream(path));
                    }
                    let target = directory.link_target(&name)?;
                    let still = directory.facts(&name)?;
                    if !still.zip(found).is_some_and(|(still, found)| still.same_thing(&found)) {
                        return Err(part::not_ours());
                    }
                    path = folder.join(target);
                }
                Some(FileKind::Pipe) => {
                    check_maker(found.as_ref(), "a pipe")?;
                    return Ok(Named::Stream(path));
                }
                Some(FileKind::CharacterDevice | FileKind::Socket) => {
                    return Ok(Named::Stream(path));
                }
                Some(FileKind::Directory) => return Err(io::ErrorKind::IsADirectory.into()),
                Some(FileKind::BlockDevice) => return Err(unfit("it is a block device")),
            }
        }
        Err(unfit("too many symbolic links lead to each other"))
    }

    /// Begins a new one. Until a pipe has a reader, `give_up` is asked whether
    /// to wait any longer.
    ///
    /// # Errors
    ///
    /// Of the system.
    pub fn draft(&self, give_up: &dyn Fn() -> bool) -> io::Result<Draft> {
        let place = match self {
            Named::File(place) => place,
            Named::Stream(path) => {
                let file = open_stream(path, give_up)?;
                return Ok(Draft { place: None, state: State::Open(file) });
            }
        };
        let state = match Temporary::create(&place.directory, &place.name) {
            Ok(temporary) => State::Hidden(temporary),
            // The file may be written, and its directory not.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied && place.is_taken => {
                State::Standing(place.open_alone()?)
            }
            Err(error) => return Err(error),
        };
        Ok(Draft { place: Some(place.clone()), state })
    }

    /// Whether one can be made here, found out by making one where that is
    /// seen by nobody.
    ///
    /// # Errors
    ///
    /// Of the system.
    pub fn probe(&self) -> io::Result<()> {
        match self {
            Named::File(_) => self.draft(&|| true).map(Draft::discard),
            // The reader of a pipe sees it end when it is closed.
            Named::Stream(_) => Ok(()),
        }
    }

    /// Replaces it by a file of `bytes`, which is on the disk before it has the name, and
    /// so is the name in the end.
    ///
    /// # Errors
    ///
    /// Of the system; what was there is still there then.
    pub fn write(&self, bytes: &[u8], give_up: &dyn Fn() -> bool) -> io::Result<()> {
        self.write_and(Draft::publish, bytes, give_up)
    }

    /// The same of a file that replaces nothing.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::AlreadyExists`] if something had the name, or has it by then.
    pub fn write_new(&self, bytes: &[u8], give_up: &dyn Fn() -> bool) -> io::Result<()> {
        if !matches!(self, Named::File(place) if !place.is_taken) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.write_and(Draft::publish_new, bytes, give_up)
    }

    fn write_and(
        &self,
        publish: impl FnOnce(&mut Draft) -> io::Result<()>,
        bytes: &[u8],
        give_up: &dyn Fn() -> bool,
    ) -> io::Result<()> {
        let mut draft = self.draft(give_up)?;
        let written = draft.begin().and_then(|()| draft.write_all(bytes));
        let published = written.and_then(|()| draft.sync()).and_then(|()| publish(&mut draft));
        if published.is_err() {
            draft.discard();
            return published;
        }
        draft.sync_name()
    }
}

impl Place {
    fn at(directory: Directory, name: OsString, path: PathBuf, is_taken: bool) -> Named {
        Named::File(Place { directory: Arc::new(directory), name, path, is_taken })
    }

    /// Opens the file that is there, if no other name leads to it.
    fn open_alone(&self) -> io::Result<File> {
        let file = self.directory.open_existing(&self.name)?;
        let facts = sys::facts(&file)?;
        match (facts.node, facts.links) {
            (FileKind::File, 1) => Ok(file),
            (FileKind::File, _) => Err(unfit("it has another name as well")),
            _ => Err(unfit("it is not a regular file")),
        }
    }

    /// What has the name, if that is a file to be replaced.
    fn replaced(&self) -> io::Result<Option<Metadata>> {
        match self.directory.facts(&self.name)? {
            Some(facts) if facts.node != FileKind::File => Err(part::not_ours()),
            found => Ok(found),
        }
    }

    /// Gives `file` the mode that it is to have under the name: that of the
    /// file it replaces if that is of this user, else what a new file gets.
    fn give_mode(&self, file: &File, replaced: Option<&Metadata>) {
        let given = match replaced {
            Some(facts) if facts.owner == sys::user() => {
                preserve::take_place_of(&self.directory, &self.name, facts, file).map(drop)
            }
            _ => sys::set_mode(file, sys::left_by_umask(preserve::OF_ANY_FILE)),
        };
        // A file system without modes takes none; until then it is its owner's alone.
        drop(given);
    }
}

impl Clone for Place {
    fn clone(&self) -> Place {
        let (directory, path) = (Arc::clone(&self.directory), self.path.clone());
        Place { directory, name: self.name.clone(), path, is_taken: self.is_taken }
    }
}

/// A side file that is being written.
pub struct Draft {
    place: Option<Place>,
    state: State,
}

enum State {
    /// Not yet under its name.
    Hidden(Temporary),
    /// The file that was there, which is begun anew.
    Standing(File),
    /// Under its name; which file it is, if that is asked in the end.
    Named(File, Metadata),
    /// No file.
    Open(File),
}

impl Draft {
    /// Whether what stood under the name is still there, whatever is written.
    pub fn is_hidden(&self) -> bool {
        matches!(self.state, State::Hidden(_))
    }

    fn file(&self) -> &File {
        match &self.state {
            State::Hidden(temporary) => temporary.file(),
            State::Standing(file) | State::Named(file, _) | State::Open(file) => file,
        }
    }

    /// To be called before the first byte: makes an end of what stood there,
    /// where that is written itself.
    ///
    /// # Errors
    ///
    /// Of the system.
    pub fn begin(&self) -> io::Result<()> {
        match &self.state {
            State::Standing(file) => file.set_len(0),
            _ => Ok(()),
        }
    }

    /// Waits until what was written is on the disk, if that is where it goes.
    ///
    /// # Errors
    ///
    /// Of the system.
    pub fn sync(&self) -> io::Result<()> {
        match &self.state {
            State::Open(_) => Ok(()),
            _ => self.file().sync_all(),
        }
    }

    /// Waits until its name is on the disk, if it was given one.
    fn sync_name(&self) -> io::Result<()> {
        match (&self.place, &self.state) {
            (Some(place), State::Named(..)) => place.directory.sync(),
            _ => Ok(()),
        }
    }

    /// Gives it its name, in place of what had it. What is written later is
    /// added to it.
    ///
    /// # Errors
    ///
    /// Of the system, or that something else than a file has the name by now.
    pub fn publish(&mut self) -> io::Result<()> {
        let replaced = |draft: &Draft| draft.place.as_ref().map_or(Ok(None), Place::replaced);
        match self.publish_over(replaced(self)?) {
            // Another run has made one meanwhile, which may be replaced as any other.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                self.publish_over(replaced(self)?)
            }
            published => published,
        }
    }

    /// The same, in place of nothing.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::AlreadyExists`] if something has the name.
    pub fn publish_new(&mut self) -> io::Result<()> {
        self.publish_over(None)
    }

    /// Gives it its name, which `replaced` has.
    fn publish_over(&mut self, replaced: Option<Metadata>) -> io::Result<()> {
        let Some(place) = &self.place else { return Ok(()) };
        let State::Hidden(temporary) = &self.state else { return Ok(()) };
        place.give_mode(temporary.file(), replaced.as_ref());
        let replace = if replaced.is_some() { Replace::Yes } else { Replace::Never };
        let file = temporary.file().try_clone()?;
        self.state = match temporary.publish(&place.name, replace) {
            Ok(facts) => State::Named(file, facts),
            // Something is mounted there, such as a file of a container's host.
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy && replaced.is_some() => {
                let standing = pour(&file, place.open_alone()?)?;
                self.discard_hidden();
                self.state = State::Standing(standing);
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        Ok(())
    }

    /// Ends one that is complete.
    ///
    /// # Errors
    ///
    /// That its name leads to another file by now.
    pub fn end(self) -> io::Result<()> {
        match (&self.place, &self.state) {
            (Some(place), State::Named(file, facts)) => {
                let ours = Ours { file, facts };
                part::check_is_at(&place.directory, &place.name, ours).map(drop)
            }
            _ => Ok(()),
        }
    }

    /// Takes back what was begun, as long as it is hidden.
    pub fn discard(self) {
        self.discard_hidden();
    }

    fn discard_hidden(&self) {
        if let State::Hidden(temporary) = &self.state {
            // Best effort: it is in nobody's way.
            let _ = temporary.remove();
        }
    }

    /// Removes what killed runs have left of one that begins as `beginning`.
    pub fn clear_temporaries(&self, beginning: &[u8]) {
        if let Some(place) = &self.place {
            super::clear_temporaries(&place.directory, &place.name, beginning);
        }
    }
}

impl Write for Draft {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Replaces the content of `to` by that of `from`; both stand at its end then.
fn pour(mut from: &File, mut to: File) -> io::Result<File> {
    from.rewind()?;
    to.set_len(0)?;
    io::copy(&mut from, &mut to)?;
    Ok(to)
}

fn open_stream(path: &Path, give_up: &dyn Fn() -> bool) -> io::Result<File> {
    loop {
        if let Some(file) = sys::open_stream(path)? {
            let facts = sys::facts(&file)?;
            if facts.node == FileKind::BlockDevice {
                return Err(unfit("it is a block device"));
            }
            return Ok(file);
        }
        if give_up() {
            return Err(unfit("it is a pipe that nobody reads"));
        }
        crate::sync::thread::sleep(LOOK_AGAIN);
    }
}

/// Refuses what another user has made, who may want it to lead elsewhere.
fn check_maker(facts: Option<&Metadata>, what: &str) -> io::Result<()> {
    const ROOT: u32 = 0;
    match facts.map(|facts| facts.owner) {
        Some(owner) if owner != ROOT && owner != sys::user() => {
            Err(unfit(&format!("it is {what} of another user")))
        }
        _ => Ok(()),
    }
}

fn unfit(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, reason)
}
