//! An upload on its way to become an object: complete, or taken back.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::left::is_made_of;
use super::lock::Lock;
use super::requests::{Head, Naming, has_bytes, is_not_known, is_taken, may_be_done};
use super::sink::Parts;
use crate::durable::map::{Identity, Map, MapFile};
use crate::endpoint::http::fault::Fault;
use crate::endpoint::{Draft, ObjectId};
use crate::error::{Error, ErrorKind, NameIsTaken, Result};
use crate::io::{Sink, WriteOrder};
use crate::progress::lock;
use crate::range::{ByteRange, RangeSet};
use crate::sync::Mutex;

/// What was recorded of an upload.
pub struct Record {
    pub file: MapFile,
    pub identity: Identity,
}

impl Record {
    /// Records that `done` of the copy is there, in the upload `id`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Journal`].
    pub fn save(&self, id: Option<ObjectId>, done: RangeSet) -> Result<()> {
        let mut identity = self.identity.clone();
        identity.destination.id = id;
        let extent = identity.range;
        let (identity, failed) = (Some(identity), RangeSet::new());
        let saved = self.file.save(&Map { identity, done, failed, extent });
        Ok(saved.map_err(|error| self.trouble(io::Error::other(error)))?)
    }

    /// Removes it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Journal`].
    pub fn remove(&self) -> Result<()> {
        Ok(self.file.remove().map_err(|error| self.trouble(io::Error::other(error)))?)
    }

    fn trouble(&self, source: io::Error) -> ErrorKind {
        ErrorKind::Journal { path: self.file.path(), source }
    }
}

/// An upload that is being written.
pub struct S3Draft {
    pub path: PathBuf,
    pub parts: Arc<Parts>,
    pub naming: Naming,
    /// Where it is recorded, if it can be resumed.
    pub record: Option<Record>,
    /// Where it has a map: that no other run uses that.
    pub lock: Option<Lock>,
    /// A time before it began, by the service.
    pub begun: String,
    /// Whether an earlier run has completed it.
    pub is_complete: bool,
    pub notes: Mutex<Vec<String>>,
}

impl S3Draft {
    /// Records that it has begun, before any part is sent.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Journal`].
    pub fn record_begun(&self) -> Result<()> {
        match &self.record {
            Some(record) => record.save(self.recorded(), RangeSet::new()),
            None => Ok(()),
        }
    }

    fn failed(&self, step: &'static str, fault: Fault) -> Error {
        failed(&self.path, step, fault)
    }

    /// Gives it its name, if that may be.
    fn complete(&self, naming: Naming) -> Result<(), Fault> {
        let Parts { requests, upload, .. } = &*self.parts;
        let Some(upload) = upload else {
            let bytes = self.parts.whole()?;
            return match requests.put(&bytes, naming) {
                Err(fault) if may_be_done(&fault) => {
                    self.look_again(fault, |found| has_bytes(found, &bytes))
                }
                result => result,
            };
        };
        let sent = self.parts.sent();
        match requests.complete(upload, &sent, self.parts.checksum(), naming) {
            Err(fault) if may_be_done(&fault) => {
                self.look_again(fault, |found| is_made_of(found, self.parts.plan(), &sent))
            }
            result => result,
        }
    }

    /// After `fault`, which does not say whether the object is there: it is if what has
    /// the name `is_ours`.
    fn look_again(&self, fault: Fault, is_ours: impl Fn(&Head) -> bool) -> Result<(), Fault> {
        match self.parts.requests.head() {
            Ok(Some(found)) if is_ours(&found) => Ok(()),
            Err(Fault::Stopped) => Err(Fault::Stopped),
            _ => Err(fault),
        }
    }

    /// The same for any service: one that ignores the condition, or does not know it,
    /// would replace what came meanwhile, so it is asked just before.
    pub fn complete_anyhow(&self) -> Result<(), Fault> {
        if self.naming == Naming::New {
            match self.parts.requests.head() {
                Ok(Some(_)) => return Err(Fault::Status { status: 412, wait: None }),
                Err(Fault::Stopped) => return Err(Fault::Stopped),
                // Who may write need not be allowed to read.
                Ok(None) | Err(_) => {}
            }
        }
        match self.complete(self.naming) {
            Err(fault) if self.naming == Naming::New && is_not_known(&fault) => {
                lock(&self.notes).push(
                    "the service cannot refuse a name that is taken: it was asked before, and \
                     what came there at the same moment is replaced"
                        .to_owned(),
                );
                self.complete(Naming::Any)
            }
            result => result,
        }
    }
}

/// That `step` of what is called `path` has failed.
pub fn failed(path: &Path, step: &'static str, fault: Fault) -> Error {
    let source = match fault {
        Fault::Stopped => return ErrorKind::Cancelled.into(),
        fault if is_taken(&fault) => io::Error::new(io::ErrorKind::AlreadyExists, NameIsTaken),
        fault => io::Error::from(fault),
    };
    ErrorKind::Destination { step, path: path.to_owned(), source }.into()
}

impl Draft for S3Draft {
    fn sink(&self) -> Arc<dyn Sink> {
        self.parts.clone()
    }

    fn path(&self) -> &Path {
        &self.path
    }

    fn len(&self) -> u64 {
        self.parts.plan().len
    }

    fn write_order(&self) -> WriteOrder {
        WriteOrder::InParts(self.parts.clone())
    }

    fn end_at(&self, to: ByteRange) -> Result<()> {
        self.parts.end_at(to.end());
        Ok(())
    }

    fn id(&self) -> Result<Option<ObjectId>> {
        Ok(self.recorded())
    }

    fn recorded(&self) -> Option<ObjectId> {
        let upload = self.parts.upload.as_ref()?;
        let (id, checked) = (upload.id.clone(), upload.checked);
        let begun = self.begun.clone();
        let (part_size, parts) = (self.parts.plan().part_size, self.parts.sent());
        Some(ObjectId::Upload { id, begun, part_size, checked, parts })
    }

    fn left_open(&self) -> Option<String> {
        let upload = self.parts.upload.as_ref().filter(|_| !self.is_complete)?;
        let command = self.parts.requests.how_to_abort(&upload.id);
        Some(format!(
            "the service keeps what it has of the upload, and may charge for it, until that is \
             resumed or aborted; to abort it: {command}"
        ))
    }

    fn settle(&self, _rights: Option<u32>) -> Result<Vec<String>> {
        match self.is_complete {
            true => Ok(Vec::new()),
            false => {
                self.parts.fill_up().map_err(|fault| self.failed("write", fault))?;
                Ok(Vec::new())
            }
        }
    }

    fn commit(&mut self, _durable: bool) -> Result<()> {
        if !self.is_complete {
            if let Some(record) = &self.record {
                // By that, a later run knows the object that this one may have made.
                record.save(self.recorded(), record.identity.range.into())?;
            }
            self.complete_anyhow().map_err(|fault| self.failed("complete", fault))?;
        }
        // Before the map: an object that is there has no lock without a map.
        drop(self.lock.take());
        self.record.as_ref().map_or(Ok(()), Record::remove)
    }

    fn notes(&self, _to: ByteRange) -> Vec<String> {
        std::mem::take(&mut *lock(&self.notes))
    }

    /// Where the upload cannot be aborted, its record stays, by which a later run can.
    fn discard(mut self: Box<Self>) -> Option<String> {
        if let Some(upload) = self.parts.upload.as_ref().filter(|_| !self.is_complete)
            && self.parts.requests.take_back(&upload.id).is_err()
        {
            return self.left_open();
        }
        drop(self.lock.take());
        if let Some(record) = &self.record {
            let _ = record.remove();
        }
        None
    }
}
