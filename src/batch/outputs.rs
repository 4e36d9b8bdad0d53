//! The files a batch writes: made under a temporary name when their first
//! bytes arrive, kept open within a bound, handed to the commit when their
//! last bytes have arrived.

use std::collections::{HashMap, HashSet, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::group_sync::GroupSync;
use super::handles::Handles;
use super::output::Output;
use super::refused::Refused;
use super::unnamed;
use super::wanted::Wanted;
use super::why::{DESTINATION, Why};
use crate::durable::trust::Trust;
use crate::endpoint::Origin;
use crate::error::ErrorKind;
use crate::io::{FileIo, as_u64, transfer};
use crate::progress::lock;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sys::{self, Directory};
use crate::tree::folders::Folders;

/// How the file of an output is made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Make {
    /// What an earlier run left of it is kept, to go on in.
    pub keep: bool,
    /// One request writes all of it, which gives it its length.
    pub at_once: bool,
}

/// What to do with parts that an earlier run left.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Previous {
    /// They may be discarded.
    pub discard: bool,
    /// Large ones are kept and resumed.
    pub resume: bool,
    /// Whose.
    pub trust: Trust,
}

/// All outputs of a batch that are being written in one of its folders.
pub struct Outputs {
    /// The number of the folder.
    number: usize,
    pub(super) folders: Folders,
    root_path: PathBuf,
    wanted: Vec<Wanted>,
    pub(super) earlier: Previous,
    handles: Handles,
    /// How files become durable; `None` if nobody waits for that.
    group_sync: Option<GroupSync>,
    /// What they could not be given.
    pub refused: Refused,
    /// Files that this run made.
    pub(super) ours: Mutex<HashSet<(u64, u64)>>,
    /// Permission bits that the umask leaves: asking the system takes longer
    /// than the rest of the commit of a small file.
    pub(super) left_by_umask: u32,
    active: Mutex<HashMap<u32, Arc<Output>>>,
    pub(super) unnamed_on: unnamed::Device,
    /// Outputs with an open file, the least recently opened first.
    open: Mutex<VecDeque<Arc<Output>>>,
    /// How many sources may still be kept open.
    room: AtomicUsize,
}

/// A folder that files are written to.
pub struct OpenFolder {
    /// Its place among several.
    pub number: usize,
    /// Open.
    pub directory: Directory,
    /// For messages.
    pub path: PathBuf,
}

impl Outputs {
    /// For files below the directory of `root`; with `sync`, they become durable.
    pub fn new(
        root: OpenFolder,
        wanted: Vec<Wanted>,
        earlier: Previous,
        handles: Handles,
        sync: bool,
    ) -> Outputs {
        let OpenFolder { number, directory, path } = root;
        Outputs {
            room: AtomicUsize::new(0),
            number,
            group_sync: sync.then(|| GroupSync::new(&directory)),
            folders: Folders::new(directory, handles.directories),
            root_path: path,
            wanted,
            earlier,
            handles,
            refused: Refused::default(),
            ours: Mutex::default(),
            left_by_umask: sys::left_by_umask(0o777),
            active: Mutex::default(),
            unnamed_on: unnamed::Device::new(),
            open: Mutex::default(),
        }
    }

    /// With room for so many sources that are kept open until their outputs are over.
    pub fn with_room(mut self, room: usize) -> Outputs {
        self.room = AtomicUsize::new(room);
        self
    }

    /// Whether one more file may be open that is not closed to make room.
    pub(super) fn have_room_for_one(&self) -> bool {
        lock(&self.open).len() < self.handles.files
    }

    /// The number of the folder.
    pub fn number(&self) -> usize {
        self.number
    }

    /// What output `index` is to be.
    pub fn wanted(&self, index: u32) -> &Wanted {
        &self.wanted[index as usize]
    }

    /// How many there are to be.
    pub fn len(&self) -> usize {
        self.wanted.len()
    }

    /// The path of an output, for messages.
    pub fn path(&self, name: &Path) -> PathBuf {
        self.root_path.join(name)
    }

    /// Names of a few that are being written.
    pub fn some_names(&self, most: usize) -> Vec<String> {
        let active = lock(&self.active);
        let mut newest: Vec<_> = active.values().map(|output| output.index).collect();
        newest.sort_unstable_by(|a, b| b.cmp(a));
        newest.truncate(most);
        newest.iter().map(|&i| self.wanted(i).name.to_string_lossy().into_owned()).collect()
    }

    /// Keeps the source of an output open until that is over, if there is room:
    /// it is asked once more when the output is committed.
    pub fn keep(&self, output: &Output, source: &Arc<dyn Origin>) {
        let take = |room: usize| room.checked_sub(1);
        if self.room.fetch_update(Ordering::AcqRel, Ordering::Acquire, take).is_ok()
            && lock(&output.source).replace(Arc::clone(source)).is_some()
        {
            self.room.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// The output with that number; made on the first call. An output that
    /// could not be made is there even so, with the reason.
    ///
    /// # Errors
    ///
    /// Only if the storage takes no more: every other output would meet the same.
    pub fn get(&self, index: u32, how: Make) -> io::Result<Arc<Output>> {
        if let Some(output) = lock(&self.active).get(&index) {
            return Ok(Arc::clone(output));
        }
        let output = Arc::new(Output::new(index, self.number, self.wanted(index).clone()));
        // Made under its own lock: others wait for the file, not for each other.
        let mut file = lock(&output.file);
        let in_time = {
            let mut active = lock(&self.active);
            Arc::clone(active.entry(index).or_insert_with(|| Arc::clone(&output)))
        };
        if !Arc::ptr_eq(&in_time, &output) {
            return Ok(in_time);
        }
        match self.create(&output, how) {
            Ok(made) => *file = Some(made),
            Err(error) => {
                let why = Why::of_io(DESTINATION, &error);
                output.fail(why.said(|text| format!("cannot create it: {text}")));
                if ends_the_batch(error.kind()) {
                    return Err(error);
                }
            }
        }
        drop(file);
        self.remember_open(&output);
        Ok(output)
    }

    /// How files become durable; `None` if nobody waits for that.
    pub fn group_sync(&self) -> Option<&GroupSync> {
        self.group_sync.as_ref()
    }

    /// Makes everything that was written durable, as far as one sync can.
    ///
    /// # Errors
    ///
    /// See [`GroupSync::sync`].
    pub fn sync_all(&self) -> io::Result<()> {
        self.group_sync.as_ref().map_or(Ok(()), |group| group.sync(self.folders.root()))
    }

    /// Whether a sync of all leaves `file` out, because another file system is
    /// mounted below the folder, or nobody knows.
    pub fn lies_elsewhere(&self, file: &std::fs::File) -> bool {
        match (sys::facts(file), self.folders.root().own_facts()) {
            (Ok(file), Ok(root)) => file.device != root.device,
            _ => true,
        }
    }

    /// Makes the names in the directory at `path` durable.
    pub fn sync_directory(&self, path: &Path) -> io::Result<()> {
        self.folders.at(path, false)?.sync()
    }

    /// The open file of an output; opened again if it was closed to make room.
    ///
    /// # Errors
    ///
    /// If it could not be made, or cannot be opened again.
    pub fn file(&self, output: &Arc<Output>) -> io::Result<Arc<FileIo>> {
        let mut slot = lock(&output.file);
        if let Some(file) = &*slot {
            return Ok(Arc::clone(file));
        }
        if let Some(reason) = &lock(&output.trouble).error {
            return Err(io::Error::other(reason.text.clone()));
        }
        let file = Arc::new(FileIo::new(self.reopen(output)?, output.wanted.len));
        output.reopened.store(true, Ordering::Release);
        *slot = Some(Arc::clone(&file));
        drop(slot);
        self.remember_open(output);
        Ok(file)
    }

    /// Keeps within the bound of open files. A file in use stays open.
    fn remember_open(&self, output: &Arc<Output>) {
        lock(&self.open).push_back(Arc::clone(output));
        while let Some(oldest) = self.one_too_many() {
            // Held until the file is closed: a thread that opens it again in between
            // would find it locked, by us.
            let mut slot = lock(&oldest.file);
            match slot.take_if(|file| Arc::strong_count(file) == 1) {
                Some(file) => self.close_for_now(&oldest, file),
                // Somebody has begun to use it, or it is over.
                None if slot.is_some() => lock(&self.open).push_back(Arc::clone(&oldest)),
                None => {}
            }
        }
    }

    /// One that nobody uses, taken out of what is open, if that is too much.
    fn one_too_many(&self) -> Option<Arc<Output>> {
        let mut open = lock(&self.open);
        if open.len() <= self.handles.files {
            return None;
        }
        let is_idle = |output: &Arc<Output>| {
            // Not waited for: the thread that has it uses it, and may wait for this list.
            let slot = output.file.try_lock();
            let has_name = !output.unnamed.load(Ordering::Acquire);
            has_name
                && slot.is_ok_and(|slot| {
                    slot.as_ref().is_some_and(|file| Arc::strong_count(file) == 1)
                })
        };
        let at = open.iter().position(is_idle)?;
        open.remove(at)
    }

    /// Closes a file that will be opened again.
    fn close_for_now(&self, output: &Output, file: Arc<FileIo>) {
        // An error of a file that nobody has open may be forgotten before the
        // sync of that file, unless a sync of all tells of it.
        let by_itself = self.group_sync.as_ref().is_some_and(|group| !group.covers_files());
        let synced = if by_itself { file.as_file().sync_data() } else { Ok(()) };
        if let Err(error) = synced.and_then(|()| sys::flush_by_close(file.as_file())) {
            let why = Why::of_io("sync", &error);
            output.fail(why.said(|text| format!("cannot make it durable: {text}")));
        }
    }

    /// Closes an output that is over.
    pub fn close(&self, output: &Arc<Output>) {
        lock(&output.file).take();
        if lock(&output.source).take().is_some() {
            self.room.fetch_add(1, Ordering::AcqRel);
        }
        lock(&self.active).remove(&output.index);
        lock(&self.open).retain(|other| !Arc::ptr_eq(other, output));
    }

    /// Outputs that are not complete, taken out.
    pub fn take_unfinished(&self) -> Vec<Arc<Output>> {
        lock(&self.open).clear();
        let mut unfinished: Vec<_> = lock(&self.active).drain().map(|(_, output)| output).collect();
        unfinished.sort_unstable_by_key(|output| output.index);
        unfinished
    }

    /// The directory that `name` lies in; with `make`, made if it is missing.
    pub(super) fn directory_of(&self, name: &Path, make: bool) -> io::Result<Arc<Directory>> {
        self.folders.at(name.parent().unwrap_or(Path::new("")), make)
    }
}

/// Writes all of `data` to an output.
pub fn write(outputs: &Outputs, output: &Arc<Output>, at: u64, data: &[u8]) -> io::Result<()> {
    let file = outputs.file(output)?;
    transfer::write_full(&*file, at, data).map_err(|stop| {
        let at = at + as_u64(stop.moved);
        io::Error::new(stop.error.kind(), WriteFailed { at, error: stop.error })
    })
}

#[derive(Debug, thiserror::Error)]
#[error("cannot write at byte {at}")]
struct WriteFailed {
    at: u64,
    #[source]
    error: io::Error,
}

/// Whether an error says that the storage as a whole takes no more: every
/// other item would meet the same.
pub fn ends_the_batch(kind: io::ErrorKind) -> bool {
    use io::ErrorKind::{QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    matches!(kind, StorageFull | QuotaExceeded | ReadOnlyFilesystem)
}

/// The error of a batch whose storage takes no more.
pub fn storage_error(path: PathBuf, source: io::Error) -> crate::error::Error {
    ErrorKind::Destination { step: "write to", path, source }.into()
}
