//! A file that a batch writes, and what is known of it on the way.

use std::ffi::{OsStr, OsString};
use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use super::wanted::Wanted;
use super::why::Why;
use crate::digest::Digest;
use crate::endpoint::Origin;
use crate::io::FileIo;
use crate::io::fingerprint::Fingerprint;
use crate::progress::lock;
use crate::range::{ByteRange, Failed, RangeSet, Unread};
use crate::report::Bytes;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use crate::sys::Metadata;

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
    pub(super) file: Mutex<Option<Arc<FileIo>>>,
    pending: AtomicUsize,
    /// Whether there is a file under the temporary name that is ours to remove.
    pub(super) made: AtomicBool,
    /// Whether its file has no name yet, and none to be removed.
    pub(super) unnamed: AtomicBool,
    /// What that file was when an earlier run had left it.
    pub(super) found: OnceLock<Metadata>,
    /// Which file is written.
    pub(super) identity: OnceLock<Metadata>,
    /// Whether its file was closed to make room, and opened again.
    pub(super) reopened: AtomicBool,
    /// Bytes that became holes on the way.
    made_holes: AtomicU64,
    /// Bytes that were moved, and not left as holes.
    moved: AtomicU64,
    /// Bytes that an earlier run had copied.
    earlier: AtomicU64,
    /// Whether it gets its length by being written.
    pub(super) grows: AtomicBool,
    /// Its source, kept open until it is over.
    pub(super) source: Mutex<Option<Arc<dyn Origin>>>,
    pub(super) trouble: Mutex<Trouble>,
}

/// What is known of an output besides its bytes.
#[derive(Default)]
pub struct Trouble {
    /// Why it cannot be completed.
    pub error: Option<Why>,
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
    /// One of which nothing is written, in folder `root`.
    pub(super) fn new(index: u32, root: usize, wanted: Wanted) -> Output {
        Output {
            index,
            root,
            since: Instant::now(),
            file: Mutex::new(None),
            pending: AtomicUsize::new(wanted.segments),
            made: AtomicBool::new(false),
            unnamed: AtomicBool::new(false),
            found: OnceLock::new(),
            identity: OnceLock::new(),
            reopened: AtomicBool::new(false),
            made_holes: AtomicU64::new(0),
            moved: AtomicU64::new(0),
            earlier: AtomicU64::new(0),
            grows: AtomicBool::new(false),
            source: Mutex::default(),
            trouble: Mutex::default(),
            wanted,
        }
    }

    /// Its name in its directory.
    pub fn name(&self) -> &OsStr {
        self.wanted.name.file_name().unwrap_or_default()
    }

    /// Its name while it is written.
    pub fn part_name(&self) -> OsString {
        self.wanted.part_name()
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

    /// Makes sure that its file, which is `found`, has the length that it was given.
    pub(super) fn check_length(&self, found: &Metadata) -> io::Result<()> {
        let (found, wanted) = (found.size, self.wanted.len);
        if found == wanted {
            return Ok(());
        }
        let what = format!("it has {found} bytes, and was given {wanted}");
        Err(io::Error::other(format!("somebody changed it during the copy: {what}")))
    }

    /// Notes that it cannot be completed. The first reason stands.
    pub fn fail(&self, why: Why) {
        lock(&self.trouble).error.get_or_insert(why);
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
