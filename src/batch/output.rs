//! The files a batch writes: made under a temporary name when their first
//! bytes arrive, kept open within a bound, handed to the commit when their
//! last bytes have arrived.

use std::collections::{HashMap, HashSet, VecDeque};
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Instant;

use super::folders::Folders;
use super::group_sync::GroupSync;
use super::handles::Handles;
use super::refused::Refused;
use super::wanted::Wanted;
use crate::digest::Digest;
use crate::durable::target::{PART_SUFFIX, sibling_name};
use crate::durable::trust::Trust;
use crate::error::{ErrorKind, chain};
use crate::io::fingerprint::Fingerprint;
use crate::io::{FileIo, as_u64, transfer};
use crate::progress::lock;
use crate::range::{ByteRange, Failed, RangeSet, Unread};
use crate::report::Bytes;
use crate::sys::{self, Directory, Metadata};

/// A file that is being written.
pub struct Output {
    /// Its number in the batch.
    pub index: u32,
    /// The number of the folder that it is in.
    pub root: usize,
    /// What it is to be.
    pub wanted: Wanted,
    /// When its first bytes arrived.
    pub since: Instant,
    file: Mutex<Option<Arc<FileIo>>>,
    pending: AtomicUsize,
    /// Whether there is a file under the temporary name that is ours to remove.
    pub(super) made: AtomicBool,
    /// What that file was when an earlier run had left it.
    pub(super) found: OnceLock<Metadata>,
    /// Which file is written.
    pub(super) identity: OnceLock<Metadata>,
    /// Whether its file was closed to make room, and opened again.
    reopened: AtomicBool,
    /// Bytes that became holes on the way.
    made_holes: AtomicU64,
    /// Bytes that were moved, and not left as holes.
    moved: AtomicU64,
    /// Bytes that an earlier run had copied.
    earlier: AtomicU64,
    /// Whether it gets its length by being written.
    pub(super) grows: AtomicBool,
    trouble: Mutex<Trouble>,
}

/// What is known of an output besides its bytes.
#[derive(Default)]
pub struct Trouble {
    /// Why it cannot be completed.
    pub error: Option<String>,
    /// What could not be read of its source, in positions of the output.
    pub failed: Unread,
    /// Digests of the whole content that were worked out on the way.
    pub digests: Vec<Digest>,
    /// Of what was read when it was written, in positions of the output.
    pub fingerprints: Vec<Fingerprint>,
    /// Whether a later run can resume its part.
    pub resumable: bool,
}

impl Output {
    /// Its name in its directory.
    pub fn name(&self) -> &OsStr {
        self.wanted.name.file_name().unwrap_or_default()
    }

    /// Its name while it is written.
    pub fn part_name(&self) -> OsString {
        sibling_name(self.name(), PART_SUFFIX)
    }

    /// The name of the file that is written.
    pub fn written_name(&self) -> OsString {
        match self.wanted.partial {
            Some(_) => self.name().to_owned(),
            None => self.part_name(),
        }
    }

    /// Whether `facts` are those of the file that is written.
    pub fn is(&self, facts: &Metadata) -> bool {
        self.identity.get().is_some_and(|ours| ours.same_thing(facts))
    }

    /// Which file is written; `None` if it could not be made.
    pub fn identity(&self) -> Option<&Metadata> {
        self.identity.get()
    }

    /// Its file, if that is open.
    pub(super) fn open_file(&self) -> Option<Arc<FileIo>> {
        lock(&self.file).clone()
    }

    /// Notes that it cannot be completed. The first reason stands.
    pub fn fail(&self, reason: String) {
        lock(&self.trouble).error.get_or_insert(reason);
    }

    /// Notes that a later run can resume its part.
    pub fn stay(&self) {
        lock(&self.trouble).resumable = true;
    }

    /// Notes what could not be read, in positions of the output. What an earlier
    /// run could read is there.
    pub fn add_failed(&self, failed: impl IntoIterator<Item = Failed>) {
        let unread = &mut lock(&self.trouble).failed;
        unread.extend(failed);
        if let Some(partial) = self.wanted.partial.as_ref().filter(|_| !unread.is_empty()) {
            unread.remove(&partial.missing.missing_from(ByteRange::to(self.wanted.len)));
        }
    }

    /// Notes that so many bytes became holes on the way.
    pub fn add_holes(&self, bytes: u64) {
        self.made_holes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Bytes that became holes on the way.
    pub fn made_holes(&self) -> u64 {
        self.made_holes.load(Ordering::Relaxed)
    }

    /// Notes that so many bytes were moved.
    pub fn add_moved(&self, bytes: u64) {
        self.moved.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Notes that an earlier run had copied so many bytes.
    pub fn add_earlier(&self, bytes: u64) {
        self.earlier.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Where its bytes come from, of which `failed` could not be read.
    pub fn counted(&self, failed: u64) -> Bytes {
        let requested = self.wanted.len;
        let copied = self.moved.load(Ordering::Relaxed);
        let rest = requested.saturating_sub(copied.saturating_add(failed));
        let resumed = match self.wanted.partial {
            Some(_) => rest,
            None => self.earlier.load(Ordering::Relaxed).min(rest),
        };
        let (requested, holes) = (Some(requested), rest - resumed);
        Bytes { requested, copied, holes, resumed, failed, ..Bytes::default() }
    }

    /// Notes digests of its whole content.
    pub fn set_digests(&self, digests: Vec<Digest>) {
        lock(&self.trouble).digests = digests;
    }

    /// Notes fingerprints of what was written, in positions of the output.
    pub fn add_fingerprints(&self, fingerprints: impl IntoIterator<Item = Fingerprint>) {
        lock(&self.trouble).fingerprints.extend(fingerprints);
    }

    /// Whether it is known already that it cannot be completed.
    pub fn has_failed(&self) -> bool {
        lock(&self.trouble).error.is_some()
    }

    /// What could not be read, in positions of the output.
    pub fn unreadable(&self) -> RangeSet {
        lock(&self.trouble).failed.ranges()
    }

    /// What is known, taken out.
    pub fn take_trouble(&self) -> Trouble {
        std::mem::take(&mut lock(&self.trouble))
    }

    /// Notes that one more segment has been dealt with; whether it was the last.
    pub fn segment_done(&self) -> bool {
        self.pending.fetch_sub(1, Ordering::AcqRel) == 1
    }

    /// What the file that it goes on in was when an earlier run had left it.
    pub fn found(&self) -> Option<&Metadata> {
        self.found.get()
    }

    /// Whether there may be something in its file already.
    pub fn is_found(&self) -> bool {
        self.found.get().is_some() || self.wanted.partial.is_some()
    }

    /// Whether its file was closed to make room, and opened again.
    pub fn was_reopened(&self) -> bool {
        self.reopened.load(Ordering::Acquire)
    }
}

/// What to do with parts that an earlier run left.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Previous {
    /// They may be discarded.
    pub discard: bool,
    /// Large ones are kept, to go on from.
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
    /// Outputs with an open file, the least recently opened first.
    open: Mutex<VecDeque<Arc<Output>>>,
}

impl Outputs {
    /// For files below the directory `root`, which is folder `number`; with `sync`,
    /// they become durable.
    pub fn new(
        number: usize,
        (root, root_path): (Directory, PathBuf),
        wanted: Vec<Wanted>,
        earlier: Previous,
        handles: Handles,
        sync: bool,
    ) -> Outputs {
        Outputs {
            number,
            group_sync: sync.then(|| GroupSync::new(&root)),
            folders: Folders::new(root, handles.directories),
            root_path,
            wanted,
            earlier,
            handles,
            refused: Refused::default(),
            ours: Mutex::default(),
            left_by_umask: sys::left_by_umask(0o777),
            active: Mutex::default(),
            open: Mutex::default(),
        }
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

    /// The output with that number; made on the first call. An output that
    /// could not be made is there all the same, with the reason. With `keep`,
    /// what an earlier run left of it is kept, to go on in.
    ///
    /// # Errors
    ///
    /// Only if the storage takes no more: every other output would meet the same.
    pub fn get(&self, index: u32, keep: bool) -> io::Result<Arc<Output>> {
        if let Some(output) = lock(&self.active).get(&index) {
            return Ok(Arc::clone(output));
        }
        let wanted = self.wanted(index).clone();
        let output = Arc::new(Output {
            index,
            root: self.number,
            since: Instant::now(),
            file: Mutex::new(None),
            pending: AtomicUsize::new(wanted.segments),
            made: AtomicBool::new(false),
            found: OnceLock::new(),
            identity: OnceLock::new(),
            reopened: AtomicBool::new(false),
            made_holes: AtomicU64::new(0),
            moved: AtomicU64::new(0),
            earlier: AtomicU64::new(0),
            grows: AtomicBool::new(false),
            trouble: Mutex::default(),
            wanted,
        });
        // Made under its own lock: others wait for the file, not for each other.
        let mut file = lock(&output.file);
        let in_time = {
            let mut active = lock(&self.active);
            Arc::clone(active.entry(index).or_insert_with(|| Arc::clone(&output)))
        };
        if !Arc::ptr_eq(&in_time, &output) {
            return Ok(in_time);
        }
        match self.create(&output, keep) {
            Ok(made) => *file = Some(made),
            Err(error) => {
                output.fail(format!("cannot create it: {}", chain(&error)));
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
            return Err(io::Error::other(reason.clone()));
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
            // Held until the file is closed: whoever opens it again in between
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
            // Not waited for: whoever has it uses it, and may wait for this list.
            let slot = output.file.try_lock();
            slot.is_ok_and(|slot| slot.as_ref().is_some_and(|file| Arc::strong_count(file) == 1))
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
            output.fail(format!("cannot make it durable: {}", chain(&error)));
        }
    }

    /// Closes an output that is over.
    pub fn close(&self, output: &Arc<Output>) {
        lock(&output.file).take();
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
