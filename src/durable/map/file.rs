//! The file a map lives in, replaced so that after a crash at any moment it
//! holds either the old map or the new one.
//!
//! A save writes a temporary beside the map, syncs it, renames it over the map
//! and syncs the directory. Without the first sync the name could come to
//! point to an empty file; without the last the old map could come back, which
//! is merely behind. The temporary has a random name and is made, and what the
//! map replaces is looked at, as `durable::side` says; one that a killed run
//! left is cleared away by the run that resumes or restarts its job.

use super::{Map, MapError};
use crate::durable::part::Ours;
use crate::durable::side::{self, Temporary};
use crate::range::ByteRange;
use crate::sys::{self, Directory, FileKind, Metadata, Replace};
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// No map is longer; some forty million blocks. Keeps a disk image given as
/// `--map` by mistake out of memory.
const LONGEST_MAP: u64 = 1 << 30;

/// Room for some thousand blocks, for the directory and for what else a file
/// system writes along with a small file.
const SET_ASIDE: u64 = 256 << 10;

/// What every map begins with, ours and those of ddrescue.
const FIRST_WORDS: &[u8] = b"# Mapfile. Created by ";

/// Where a map is kept. See the documentation of the room above on why it is
/// not locked.
#[derive(Clone)]
pub struct MapFile {
    /// Path of the directory; for messages only where it is open.
    dir: PathBuf,
    name: OsString,
    open: Option<Arc<Directory>>,
}

impl MapFile {
    /// The map at `path`, which need not exist; its directory must, see
    /// [`check_writable`](MapFile::check_writable).
    ///
    /// # Errors
    ///
    /// If `path` does not end in a name.
    pub fn new(path: &Path) -> Result<MapFile, MapError> {
        let Some(name) = path.file_name() else {
            return Err(unusable(path, "not the name of a file"));
        };
        let dir = match path.parent() {
            Some(dir) if !dir.as_os_str().is_empty() => dir.to_owned(),
            _ => PathBuf::from("."),
        };
        Ok(MapFile { dir, name: name.to_owned(), open: None })
    }

    /// The map called `name` in `directory`, wherever that is moved to. Its
    /// path `dir` is for messages.
    pub(crate) fn inside(directory: Arc<Directory>, dir: PathBuf, name: OsString) -> MapFile {
        MapFile { dir, name, open: Some(directory) }
    }

    /// The directory it lies in.
    pub(crate) fn directory(&self) -> io::Result<Arc<Directory>> {
        match &self.open {
            Some(directory) => Ok(Arc::clone(directory)),
            None => Directory::open(&self.dir).map(Arc::new),
        }
    }

    /// Where the map is.
    pub fn path(&self) -> PathBuf {
        self.dir.join(&self.name)
    }

    /// Whether a map can be made here, as far as permissions tell.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn check_writable(&self) -> io::Result<()> {
        let directory = self.directory()?;
        directory.check_writable()?;
        match sys::holds_device_nodes(&directory.own_facts()?) {
            true => Err(io::Error::other("it would lie among device nodes")),
            false => Ok(()),
        }
    }

    /// The map, or `None` if there is no such file.
    ///
    /// Never waits: a pipe, a link or a device under the name is refused.
    ///
    /// # Errors
    ///
    /// [`MapError::Io`] if it cannot be read, [`MapError::Unusable`] if it is not a map.
    pub fn load(&self) -> Result<Option<Map>, MapError> {
        Ok(self.load_known()?.map(|(map, _)| map))
    }

    /// The map, and which file it was read from.
    ///
    /// # Errors
    ///
    /// As [`load`](MapFile::load).
    pub(crate) fn load_known(&self) -> Result<Option<(Map, Metadata)>, MapError> {
        let path = self.path();
        let Some(file) = self.open()? else { return Ok(None) };
        let facts = sys::facts(&file).map_err(|error| failed("look at", &path, error))?;
        let bytes = all_of(file, LONGEST_MAP)
            .map_err(|error| failed("read", &path, error))?
            .ok_or_else(|| unusable(&path, "too long for a map"))?;
        let wrap = |source| MapError::Unusable { path: path.clone(), source: Box::new(source) };
        Map::from_bytes(&bytes).map(|map| Some((map, facts))).map_err(wrap)
    }

    /// The open file, or `None` if there is none.
    fn open(&self) -> Result<Option<File>, MapError> {
        let path = self.path();
        let reading = |error| failed("read", &path, error);
        let directory = match self.directory() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            result => result.map_err(reading)?,
        };
        match directory.facts(&self.name).map_err(reading)? {
            None => return Ok(None),
            Some(found) if found.node == FileKind::Link => {
                return Err(unusable(&path, "a symbolic link, which a save would replace"));
            }
            Some(_) => {}
        }
        let file = match directory.open_to_read(&self.name) {
            // Its run has just ended.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(reading)?,
        };
        if !file.metadata().map_err(reading)?.is_file() {
            return Err(unusable(&path, "not a regular file"));
        }
        Ok(Some(file))
    }

    /// What has the name, and the directory it lies in; `None` if nothing has.
    pub(crate) fn look(&self) -> io::Result<Option<(Metadata, Arc<Directory>)>> {
        let directory = match self.directory() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            result => result?,
        };
        Ok(directory.facts(&self.name)?.map(|facts| (facts, directory)))
    }

    /// Whether discarding what has the name loses nothing but a map: it begins
    /// as one, however it goes on, or is empty, or is not there.
    ///
    /// # Errors
    ///
    /// As [`load`](MapFile::load).
    pub fn was_a_map(&self) -> Result<bool, MapError> {
        Ok(!matches!(self.standing()?, Standing::Other))
    }

    /// What has the name.
    fn standing(&self) -> Result<Standing, MapError> {
        let Some(mut file) = self.open()? else { return Ok(Standing::Nothing) };
        let reading = |error| failed("read", &self.path(), error);
        match side::begins_as(&mut file, FIRST_WORDS).map_err(reading)? {
            true => {
                let facts = sys::facts(&file).map_err(reading)?;
                Ok(Standing::Map(file, facts))
            }
            false => Ok(Standing::Other),
        }
    }

    /// Replaces the map by `map`, durably.
    ///
    /// # Errors
    ///
    /// [`MapError::Io`]. The map there was before is still in place, unless it
    /// was the last step, the sync of the directory, that failed.
    pub fn save(&self, map: &Map) -> Result<(), MapError> {
        let creating = |error| failed("create", &self.path(), error);
        let directory = self.directory().map_err(creating)?;
        let replace = match self.standing()? {
            Standing::Nothing => Replace::Never,
            Standing::Map(..) => Replace::Yes,
            Standing::Other => return Err(self.in_the_way()),
        };
        // For its owner alone: a map names paths.
        let temporary = Temporary::create(&directory, &self.name).map_err(creating)?;
        let path = self.dir.join(temporary.name());
        let written = temporary
            .file()
            .write_all(&map.to_bytes())
            .map_err(|error| failed("write", &path, error))
            .and_then(|()| {
                temporary.file().sync_all().map_err(|error| failed("sync", &path, error))
            })
            .and_then(|()| {
                let renamed = temporary.publish(&self.name, replace);
                renamed.map_err(|error| failed("rename the new map to", &self.path(), error))
            });
        match written {
            Ok(_) => self.sync(&directory),
            Err(error) => Err(temporary.discard_after(error)),
        }
    }

    /// Sets aside the room that a first map needs, in a file without a name: a
    /// disk that somebody fills meanwhile then still has room to record what
    /// was done. It is given back with the file, also if the process is killed.
    ///
    /// # Errors
    ///
    /// The system's, also where nothing can be set aside.
    pub fn set_room_aside(&self) -> io::Result<File> {
        let file = Temporary::create(&self.directory()?, &self.name)?.discard()?;
        sys::reserve(&file, ByteRange::to(SET_ASIDE))?;
        Ok(file)
    }

    /// Waits until the file system has given back the room of what was cut or
    /// removed: some do so with their next commit. Best effort.
    pub(crate) fn wait_for_room(&self) {
        let _ = self.directory().and_then(|directory| directory.sync_file_system());
    }

    /// Takes the map away, if there is one.
    ///
    /// # Errors
    ///
    /// [`MapError::Io`]; [`MapError::Unusable`] if something else has the name.
    pub fn remove(&self) -> Result<(), MapError> {
        let (file, facts) = match self.standing()? {
            Standing::Nothing => return Ok(()),
            Standing::Map(file, facts) => (file, facts),
            Standing::Other => return Err(self.in_the_way()),
        };
        let removing = |error| failed("remove", &self.path(), error);
        let directory = self.directory().map_err(removing)?;
        let ours = Ours { file: &file, facts: &facts };
        let removed = side::remove(&directory, &self.name, ours).map_err(removing)?;
        if removed { self.sync(&directory) } else { Ok(()) }
    }

    /// Takes away temporaries that killed runs have left; best effort. To be
    /// called by a run that resumes or restarts, and has the lock of its part
    /// or destination.
    pub fn clear_temporaries(&self) {
        if let Ok(directory) = self.directory()
            && side::clear_temporaries(&directory, &self.name, FIRST_WORDS)
        {
            // As good as it gets: they are gone, or come back and are cleared again.
            let _ = directory.sync();
        }
    }

    fn in_the_way(&self) -> MapError {
        unusable(&self.path(), "not a map, and left as it is")
    }

    fn sync(&self, directory: &Directory) -> Result<(), MapError> {
        directory.sync().map_err(|error| failed("sync the directory", &self.dir, error))
    }
}

/// What has the name of a map.
enum Standing {
    Nothing,
    /// A map, or the beginning of one.
    Map(File, Metadata),
    Other,
}

/// All bytes of `input`, or `None` if there are more than `longest`.
pub(super) fn all_of(input: impl Read, longest: u64) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    input.take(longest + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= longest).then_some(bytes))
}

fn failed(operation: &'static str, path: &Path, source: io::Error) -> MapError {
    MapError::Io { operation, path: path.to_owned(), source }
}

fn unusable(path: &Path, reason: &str) -> MapError {
    MapError::Unusable { path: path.to_owned(), source: Box::new(MapError::whole(reason)) }
}
