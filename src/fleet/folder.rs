//! The folder of a job on shared storage: the few things that are asked of it. Names
//! are given exclusively, files appear whole or not at all; nothing is locked, and no
//! time or size of a file decides anything.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use crate::durable::side::Temporary;
use crate::io::FileIo;
use crate::io::transfer::write_full;
use crate::sys::{Directory, Replace};

/// Bytes of the largest file in a folder that is read.
const LARGEST: u64 = 16 << 20;

/// What a job asks of its folder.
pub trait Folder: Send + Sync {
    /// The names in it. One that was given a moment ago may be missing.
    ///
    /// # Errors
    ///
    /// Of the system.
    fn names(&self) -> io::Result<BTreeSet<String>>;

    /// What is in the file `name`; `None` if there is none.
    ///
    /// # Errors
    ///
    /// Of the system.
    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>>;

    /// Puts a durable file in the place of `name`, where one may be that says the same.
    ///
    /// # Errors
    ///
    /// Of the system.
    fn publish(&self, name: &str, bytes: &[u8]) -> io::Result<()>;

    /// The same, but after a power cut the file may be gone, empty or torn.
    ///
    /// # Errors
    ///
    /// Of the system.
    fn note(&self, name: &str, bytes: &[u8]) -> io::Result<()>;

    /// As [`publish`](Folder::publish), but only if there is no such file; whether there
    /// was none.
    ///
    /// # Errors
    ///
    /// Of the system.
    fn publish_new(&self, name: &str, bytes: &[u8]) -> io::Result<bool>;

    /// Makes the file `name` if there is none; whether there was none. After a power cut
    /// it may be gone or empty, and others may see it before all of it is written.
    ///
    /// # Errors
    ///
    /// Of the system.
    fn claim(&self, name: &str, bytes: &[u8]) -> io::Result<bool>;

    /// Writes over a file that this process has claimed, with as many bytes.
    ///
    /// # Errors
    ///
    /// Of the system.
    fn renew(&self, name: &str, bytes: &[u8]) -> io::Result<()>;
}

/// A directory.
pub struct OnDisk {
    directory: Arc<Directory>,
}

impl OnDisk {
    /// The one at `path`, which is made by the first process if it is not there.
    ///
    /// # Errors
    ///
    /// Of the system.
    pub fn make(path: &Path) -> io::Result<OnDisk> {
        match std::fs::create_dir(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        OnDisk::open(path)
    }

    /// The one at `path`.
    ///
    /// # Errors
    ///
    /// Of the system.
    pub fn open(path: &Path) -> io::Result<OnDisk> {
        Ok(OnDisk { directory: Arc::new(Directory::open(path)?) })
    }

    fn put(&self, name: &str, bytes: &[u8], replace: Replace, durable: bool) -> io::Result<()> {
        let name = OsStr::new(name);
        let temporary = Temporary::create(&self.directory, name)?;
        let written = write_all(temporary.file(), bytes)
            .and_then(|()| if durable { temporary.file().sync_all() } else { Ok(()) })
            .and_then(|()| match replace {
                Replace::Never => temporary.publish(name, replace).map(drop),
                Replace::Yes => temporary.publish_among(name),
            });
        match written {
            Ok(()) if durable => self.directory.sync(),
            Ok(()) => Ok(()),
            Err(error) => Err(temporary.discard_after(error)),
        }
    }
}

fn write_all(file: &File, bytes: &[u8]) -> io::Result<()> {
    let io = FileIo::new(file.try_clone()?, bytes.len() as u64);
    write_full(&io, 0, bytes).map_err(|stop| stop.error)
}

impl Folder for OnDisk {
    fn names(&self) -> io::Result<BTreeSet<String>> {
        let names = self.directory.names(|name| name.to_str().is_some())?;
        Ok(names.into_iter().filter_map(|name| name.into_string().ok()).collect())
    }

    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        // Opened anew each time: a server then says what is there now.
        let file = match self.directory.open_to_read(OsStr::new(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            result => result?,
        };
        let mut bytes = Vec::new();
        file.take(LARGEST).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    }

    fn publish(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.put(name, bytes, Replace::Yes, true)
    }

    fn note(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.put(name, bytes, Replace::Yes, false)
    }

    fn publish_new(&self, name: &str, bytes: &[u8]) -> io::Result<bool> {
        match self.put(name, bytes, Replace::Never, true) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            result => result.map(|()| true),
        }
    }

    fn claim(&self, name: &str, bytes: &[u8]) -> io::Result<bool> {
        match self.directory.create_new(OsStr::new(name)) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error),
            Ok(file) => write_all(&file, bytes).map(|()| true),
        }
    }

    fn renew(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        // Closed at once: that is when others see it.
        write_all(&self.directory.open_existing(OsStr::new(name))?, bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A process that was taken for dead records a shard in the same moment as the one that
    /// took it over.
    #[test]
    fn processes_that_publish_one_name_at_once_are_all_content() {
        if crate::sys::WINDOWS_NAMES {
            // A name that another one gives at this moment is refused there.
            return;
        }
        let place = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for process in 0..4_u8 {
                let folder = OnDisk::open(place.path()).unwrap();
                scope.spawn(move || {
                    for round in 0..500 {
                        let noted = folder.note("record", &[process; 100]);
                        noted.unwrap_or_else(|error| panic!("{process}, {round}: {error}"));
                    }
                });
            }
        });
        let folder = OnDisk::open(place.path()).unwrap();
        assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 1, "a temporary stays");
        let last = folder.read("record").unwrap().unwrap();
        assert_eq!(last, vec![last[0]; 100]);
    }
}
