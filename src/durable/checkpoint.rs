//! Recording how far a copy got, in an order that never lies (invariant I3).
//!
//! ```text
//! snapshot of what is done  →  sync the data  →  save the map
//! ```
//!
//! The snapshot is taken *before* the sync begins: what is written during the
//! sync may or may not be covered by it, so it is not in this map but in the
//! next. A sync or a save that fails ends the job; the map on the disk is then
//! still the last good one, and everything since goes back to not tried.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use super::map::{Identity, Map, MapError, MapFile, ObjectId};
use crate::error::{Error, ErrorKind, Result};
use crate::progress::{Event, Progress, lock};
use crate::range::{ByteRange, RangeSet};
use crate::sync::{Instant, Mutex};

/// Default time between checkpoints: what a crash costs at most.
pub const CHECKPOINT_EVERY: Duration = Duration::from_secs(5);

/// A checkpoint is also made after so many bytes, on storage so fast that the
/// time alone would leave tens of gigabytes unrecorded.
pub const CHECKPOINT_BYTES: u64 = 4 << 30;

/// What is copied again in less time than it takes to resume.
pub const WORTH_ROOM: u64 = 1 << 20;

/// When a copy that is to have a map from the beginning gets it: what takes no
/// longer is over before a map could be of use.
const FIRST_AFTER: Duration = Duration::from_millis(100);

/// What is known of the bytes of a copy, in bytes of the source, and the means
/// to make them durable.
pub trait Ledger {
    /// Where the bytes go, for messages.
    fn destination(&self) -> &Path;

    /// Waits until everything written before the call is durable.
    ///
    /// # Errors
    ///
    /// Of the system. Never to be retried.
    fn sync_data(&self) -> std::io::Result<()>;

    /// Waits until the names are durable by which a later run finds what is written: a
    /// map must not speak of a file that nobody finds.
    ///
    /// # Errors
    ///
    /// Of the system. Never to be retried.
    fn secure_names(&self) -> std::io::Result<()> {
        Ok(())
    }

    /// What has been written so far.
    fn done(&self) -> RangeSet;

    /// What could not be read so far.
    fn unreadable(&self) -> RangeSet;

    /// What was written and found to be wrong.
    fn distrusted(&self) -> RangeSet;

    /// What was written and is probably not there any more, by a short look.
    fn lost(&self) -> RangeSet;

    /// Where the destination does not reach yet, not even with a hole.
    fn beyond(&self) -> ByteRange {
        ByteRange::to(0)
    }

    /// Which object is written, where a map has to know more of it the more is done.
    fn object(&self) -> Option<ObjectId> {
        None
    }

    /// Takes back that `ranges` are done, now or earlier: they were found not to be.
    fn invalidate(&self, ranges: &RangeSet);

    /// Gives back what was taken: it was copied again and found to be right.
    fn revalidate(&self);
}

/// Makes checkpoints of one copy.
pub struct Checkpointer {
    file: MapFile,
    identity: Identity,
    /// What the map said that is not of this program.
    of_the_user: Option<Map>,
    every: Duration,
    extent: ByteRange,
    /// Done before this run, and holes, which need no work.
    settled: RangeSet,
    last: Mutex<Last>,
    /// Room for the first map.
    room: Mutex<Option<File>>,
    /// Whether there is to be a map before there is anything to record.
    from_the_start: bool,
    /// Held while a checkpoint is made; set when there are to be none any more.
    closed: Mutex<bool>,
}

struct Last {
    at: Instant,
    copied: u64,
    /// Whether there is a map on the disk that records something.
    saved: bool,
    /// Whether there may be one that records nothing.
    begun: bool,
    /// Whether the names are on the disk of what is written.
    secured: bool,
    /// Whether a sync or a save has failed: from then on a sync proves nothing.
    broken: bool,
}

impl Checkpointer {
    /// A checkpointer for the copy of `extent`, of which `settled` needs no
    /// more work. `resumed`: a map is there already.
    pub fn new(
        file: MapFile,
        identity: Identity,
        every: Duration,
        extent: ByteRange,
        settled: RangeSet,
        resumed: bool,
    ) -> Checkpointer {
        let at = Instant::now();
        let last =
            Last { at, copied: 0, saved: resumed, begun: false, secured: false, broken: false };
        Checkpointer {
            file,
            identity,
            of_the_user: None,
            every,
            extent,
            settled,
            last: Mutex::new(last),
            room: Mutex::new(None),
            from_the_start: false,
            closed: Mutex::new(false),
        }
    }

    /// Has a map on the disk before there is anything to record, so that a part
    /// without one is of a run that was over at once, or had it elsewhere.
    pub fn from_the_start(self) -> Checkpointer {
        Checkpointer { from_the_start: true, ..self }
    }

    /// Keeps the record in a map of the user, such as one of ddrescue: it stays
    /// theirs, with what it says of other bytes, and says in the end that all
    /// of this job is there.
    pub fn in_the_map_of_the_user(self, map: Map) -> Checkpointer {
        Checkpointer { of_the_user: Some(map), ..self }
    }

    /// Sees to it that the first map can be saved on a disk that is full by
    /// then: without one, all that was copied would have to be copied again.
    /// Where that is impossible, or too little is copied to matter, or there is
    /// a map already to fall back to, it is left to luck.
    pub fn with_room(self) -> Checkpointer {
        let todo = self.settled.missing_from(self.extent).bytes();
        if todo >= WORTH_ROOM && !self.has_saved() {
            *lock(&self.room) = self.file.set_room_aside().ok();
        }
        self
    }

    /// Makes a checkpoint if it is time to.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Sync`] or [`ErrorKind::Journal`]; both end the job.
    pub fn tick(&self, ledger: &dyn Ledger, progress: &Progress) -> Result<()> {
        let copied = progress.snapshot().copied;
        let (due, first) = {
            let last = lock(&self.last);
            let since = last.at.elapsed();
            let due = copied > last.copied
                && (since >= self.every || copied - last.copied >= CHECKPOINT_BYTES);
            let none = self.from_the_start && !last.saved && !last.begun;
            (due, none && since >= FIRST_AFTER)
        };
        if !due && !first {
            return Ok(());
        }
        let closed = lock(&self.closed);
        if *closed {
            return Ok(());
        }
        if !due {
            return self.begin(ledger);
        }
        let bytes = self.record(ledger)?;
        drop(closed);
        // Counted from the end: a slow disk must not spend all its time on checkpoints.
        let mut last = lock(&self.last);
        (last.at, last.copied) = (Instant::now(), copied);
        progress.event(Event::Checkpoint { path: self.identity.destination.path.clone(), bytes });
        Ok(())
    }

    /// Makes a map that records nothing. That the map cannot be made ends no copy: the
    /// first one that records something will say so.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Sync`].
    fn begin(&self, ledger: &dyn Ledger) -> Result<()> {
        lock(&self.last).begun = true;
        self.secure_names(ledger)?;
        let (identity, extent) = (Some(self.identity.clone()), self.extent);
        let (done, failed) = (RangeSet::new(), RangeSet::new());
        let _ = self.file.save(&Map { identity, done, failed, extent });
        Ok(())
    }

    /// Sees to it once, before the first map, that it speaks of nothing that nobody finds.
    fn secure_names(&self, ledger: &dyn Ledger) -> Result<()> {
        if !lock(&self.last).secured {
            self.synced(ledger, ledger.secure_names())?;
            lock(&self.last).secured = true;
        }
        Ok(())
    }

    /// How a sync of `ledger` ended: after an error none proves anything any more.
    fn synced(&self, ledger: &dyn Ledger, ended: std::io::Result<()>) -> Result<()> {
        ended.map_err(|source| {
            lock(&self.last).broken = true;
            ErrorKind::Sync { path: ledger.destination().to_owned(), source }.into()
        })
    }

    /// No more checkpoints: called before the copy gets its name, so that none
    /// that is under way writes a map after the map has been removed. Waits
    /// for that one.
    pub fn close(&self) {
        *lock(&self.closed) = true;
    }

    /// Makes a checkpoint now.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Sync`] or [`ErrorKind::Journal`].
    pub fn save(&self, ledger: &dyn Ledger) -> Result<()> {
        self.record(ledger).map(drop)
    }

    /// As [`save`](Checkpointer::save), and says how many bytes of this run are recorded.
    fn record(&self, ledger: &dyn Ledger) -> Result<u64> {
        // Invariant I9: a second sync may report success for data that is lost.
        if lock(&self.last).broken {
            let path = ledger.destination().to_owned();
            let source = std::io::Error::other("an earlier checkpoint failed");
            return Err(ErrorKind::Sync { path, source }.into());
        }
        let (map, bytes) = self.snapshot(ledger);
        self.synced(ledger, ledger.sync_data())?;
        self.secure_names(ledger)?;
        self.write(&map)?;
        Ok(bytes)
    }

    /// Records what is done when `error` has ended the copy, as far as it can
    /// still be known: after a failed sync a second one may lie, so the last
    /// good map stands. The same for a failed map. Either may have happened
    /// although `error` is another one: only one error of a job is reported.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Sync`] or [`ErrorKind::Journal`].
    pub fn keep(&self, ledger: &dyn Ledger, error: &Error) -> Result<()> {
        match error.kind() {
            ErrorKind::Sync { .. } | ErrorKind::Journal { .. } => Ok(()),
            _ if lock(&self.last).broken => Ok(()),
            _ => self.save_found(ledger),
        }
    }

    /// Makes a last checkpoint of a copy that ends early, without what others
    /// have taken away from its destination meanwhile.
    ///
    /// # Errors
    ///
    /// As [`save`](Checkpointer::save).
    pub fn save_found(&self, ledger: &dyn Ledger) -> Result<()> {
        ledger.invalidate(&ledger.lost());
        self.save(ledger)
    }

    /// Records what is done, when the caller has just synced the data, or has at least
    /// tried to, with its name, and nothing has been written since.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Journal`].
    pub fn save_synced(&self, ledger: &dyn Ledger) -> Result<()> {
        self.write(&self.snapshot(ledger).0)
    }

    /// Takes back that `wrong` is done, also in the map on the disk if there is
    /// one, so that no run resumes from it, whatever happens next. The caller has
    /// synced the data and nothing has been written since.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Journal`].
    pub fn invalidate_ranges(&self, ledger: &dyn Ledger, wrong: &RangeSet) -> Result<()> {
        if wrong.is_empty() {
            return Ok(());
        }
        ledger.invalidate(wrong);
        self.correct(ledger)
    }

    /// Everything that was withdrawn has been repaired, synced and found to be right.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Journal`].
    pub fn restore(&self, ledger: &dyn Ledger) -> Result<()> {
        ledger.revalidate();
        self.correct(ledger)
    }

    fn correct(&self, ledger: &dyn Ledger) -> Result<()> {
        if !self.has_saved() {
            return Ok(());
        }
        self.save_synced(ledger).inspect_err(|_| {
            // Without a map a job begins anew; with one that lies it would not.
            let _ = self.file.remove();
        })
    }

    /// What a map is to say now, and how many of its bytes are done by this run. These may
    /// be fewer than have been written: a part of an upload counts when it is complete.
    fn snapshot(&self, ledger: &dyn Ledger) -> (Map, u64) {
        let mut done = ledger.done();
        done.merge(&self.settled);
        done.subtract(&ledger.distrusted());
        // Asked after what is done, too. A run that finds a file shorter than its map says
        // takes it for one that was cut.
        done.remove(ledger.beyond());
        let mut own = done.clone();
        own.subtract(&self.settled);
        let bytes = own.bytes();
        let failed = ledger.unreadable();
        let extent = self.extent;
        let mut identity = self.identity.clone();
        // Asked after what is done: it tells of all of that, and maybe of more.
        identity.destination.id = ledger.object().or(identity.destination.id);
        let map = match &self.of_the_user {
            None => Map { identity: Some(identity), done, failed, extent },
            Some(map) => map.with(Map { identity: None, done, failed, extent }),
        };
        (map, bytes)
    }

    fn write(&self, map: &Map) -> Result<()> {
        let room = lock(&self.room).take();
        if let Some(room) = &room {
            // Cut, not only closed: some file systems clear away later.
            let _ = room.set_len(0);
        }
        let mut saved = self.file.save(map);
        if room.is_some() && saved.as_ref().is_err_and(MapError::is_of_space) {
            drop(room);
            self.file.wait_for_room();
            saved = self.file.save(map);
        }
        saved.map_err(|error| {
            lock(&self.last).broken = true;
            let (path, source) = (self.file.path(), std::io::Error::other(error));
            ErrorKind::Journal { path, source }
        })?;
        lock(&self.last).saved = true;
        Ok(())
    }

    /// Whether there is a map on the disk that records something.
    pub fn has_saved(&self) -> bool {
        lock(&self.last).saved
    }

    /// Removes the map of a copy that is complete, or has it say so where it is
    /// to stay.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Journal`], or [`ErrorKind::Sync`].
    pub fn conclude(&self, ledger: &dyn Ledger) -> Result<()> {
        if self.of_the_user.is_some() { self.save(ledger) } else { self.remove() }
    }

    /// Removes the map, if there is one.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Journal`].
    pub fn remove(&self) -> Result<()> {
        let has_one = {
            let last = lock(&self.last);
            last.saved || last.begun
        };
        if !has_one {
            return Ok(());
        }
        self.file.remove().map_err(|error| {
            let (path, source) = (self.file.path(), std::io::Error::other(error));
            ErrorKind::Journal { path, source }.into()
        })
    }
}

#[cfg(test)]
mod tests;
