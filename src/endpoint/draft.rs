//! What a destination becomes when it is begun.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::{ObjectId, ReadBack, Written};
use crate::durable::open_file::OpenFile;
use crate::error::{ErrorKind, Result};
use crate::io::{Held, Sink, Source, WriteOrder};
use crate::progress::CancelToken;
use crate::range::{ByteRange, RangeSet};
use crate::report::SegmentReport;
use crate::source::OpenSource;

const NOT_CARRIED_OVER: &str = "owner, mode and times are not carried over to this destination";

/// A destination that is being written and has no final name yet.
pub trait Draft: Send + Sync {
    /// Where bytes are written, at any offset and by several threads at once.
    fn sink(&self) -> Arc<dyn Sink>;

    /// The path it has while it is written, for messages.
    fn path(&self) -> &Path;

    /// Its length in bytes when it is complete.
    fn len(&self) -> u64;

    /// Whether nothing will be in it.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// In which order what is handed to the sink becomes written.
    fn write_order(&self) -> WriteOrder {
        self.file().map_or(WriteOrder::Any, |file| file.io.write_order())
    }

    /// What is open, if it is a file or device: for what these have in common.
    fn file(&self) -> Option<&OpenFile> {
        None
    }

    /// What was written so far, to be read at the same offsets.
    fn written(&self) -> Option<Arc<dyn Source>> {
        Some(self.file()?.io.clone())
    }

    /// The same, past every cache there is, once it was synced.
    fn read_back(&self) -> Option<ReadBack> {
        match self.file() {
            Some(file) => Some(ReadBack::new(&file.io)),
            None => self.written().map(ReadBack::of),
        }
    }

    /// Which object it is, for the map.
    ///
    /// # Errors
    ///
    /// If the system does not say.
    fn id(&self) -> Result<Option<ObjectId>> {
        self.file().map(OpenFile::id).transpose()
    }

    /// The same by now, where a map has to know more of it the more is written.
    fn recorded(&self) -> Option<ObjectId> {
        None
    }

    /// Where what was written stays although the copy has ended early, and how to
    /// get rid of it there: in words.
    fn left_open(&self) -> Option<String> {
        None
    }

    /// Whether it began with all the bytes of the source, in the same storage.
    fn is_clone(&self) -> bool {
        false
    }

    /// Whether it gets its length by being written, best in ascending order.
    fn grows(&self) -> bool {
        self.file().is_some_and(|file| file.grows)
    }

    /// How far it reaches so far, where it gets its length by being written: what is to
    /// come behind that is not there yet, not even a hole.
    fn reach(&self) -> Option<u64> {
        self.file().filter(|file| file.grows).map(OpenFile::reach)
    }

    /// Only `to` of it was, and will be, written: that was not known before, or
    /// less came than was to be expected.
    ///
    /// # Errors
    ///
    /// If the system fails.
    fn end_at(&self, to: ByteRange) -> Result<()> {
        let _ = to;
        Ok(())
    }

    /// The files that it consists of, if it is split, once it is known how many.
    fn segments(&self) -> Vec<SegmentReport> {
        Vec::new()
    }

    /// Notes that nothing speaks against the copy any more: its first byte comes next.
    fn note_ready(&self) {}

    /// Gives it its length and its final rights, of which a new file has
    /// `rights` at most; `None` where they are carried over from the source.
    /// Returns what it could not be given, in words.
    ///
    /// # Errors
    ///
    /// If the system fails.
    fn settle(&self, rights: Option<u32>) -> Result<Vec<String>> {
        let _ = rights;
        Ok(Vec::new())
    }

    /// Waits until everything written is durable.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Sync`]. Never to be retried.
    fn sync(&self) -> Result<()> {
        if let Some(file) = self.file() {
            return file.sync();
        }
        let path = self.path().to_owned();
        self.sink().sync_data().map_err(|source| ErrorKind::Sync { path, source }.into())
    }

    /// Waits until the names are durable by which a later run finds it.
    ///
    /// # Errors
    ///
    /// Of the system. Never to be retried.
    fn secure_names(&self) -> io::Result<()> {
        Ok(())
    }

    /// Whether what was synced stays, come what may.
    fn is_durable(&self) -> bool {
        true
    }

    /// Writes what is to be written last, and returns what that was.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Sync`], or [`ErrorKind::Write`].
    fn write_deferred(&self, durable: bool) -> Result<Vec<Held>> {
        let _ = durable;
        Ok(Vec::new())
    }

    /// Gives it what `source` has besides its content. Returns what could not
    /// be carried over.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Sync`], if that is to be made durable and cannot.
    fn preserve(&self, source: &OpenSource, sync: bool) -> Result<Vec<String>> {
        match self.file() {
            Some(file) => file.preserve(source, sync),
            None => Ok(vec![NOT_CARRIED_OVER.to_owned()]),
        }
    }

    /// What of `written` is not there any more, in bytes of the source.
    ///
    /// # Errors
    ///
    /// If there is no telling.
    fn lost(&self, written: &Written<'_>, cancel: &CancelToken) -> Result<RangeSet> {
        let _ = (written, cancel);
        Ok(RangeSet::new())
    }

    /// Makes sure that nothing was `lost` and that no error was kept for the close.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::DestinationChanged`], or [`ErrorKind::Sync`].
    fn check_written(&self, lost: &RangeSet) -> Result<()> {
        self.file().map_or(Ok(()), |file| file.check_written(lost))
    }

    /// Makes it visible under its final name; with `durable`, for good.
    ///
    /// # Errors
    ///
    /// The step that failed.
    fn commit(&mut self, durable: bool) -> Result<()>;

    /// Looks, after the commit, whether the path that the user gave leads to
    /// what was written, which is `to` of it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Destination`].
    fn check_name(&self, to: ByteRange) -> Result<()> {
        self.file().map_or(Ok(()), |file| file.check_name(to))
    }

    /// What is worth knowing of it after the commit, when `to` of it is new.
    fn notes(&self, to: ByteRange) -> Vec<String> {
        let _ = to;
        Vec::new()
    }

    /// Takes back what was done to begin. What could not be taken back, and how to get
    /// rid of it, in words; the map then stays where it is.
    fn discard(self: Box<Self>) -> Option<String>;
}
