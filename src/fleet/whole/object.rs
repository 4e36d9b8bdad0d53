//! An object of S3 that several processes upload: each shard is whole parts of it.

use std::path::{Path, PathBuf};

use super::{Begun, Content, NotBegun, Piece, SentParts, Whole};
use crate::endpoint::s3::shared::{Beginning, NotMade, SharedUpload};
use crate::endpoint::shared::Upload;
use crate::endpoint::{Kind, Origin};
use crate::error::{ErrorKind, Result};
use crate::fleet::finish::Finish;
use crate::fleet::plan::{Job, Plan};
use crate::fleet::record::{BegunNote, Record};
use crate::io::as_usize;
use crate::io::guarded::Guard;
use crate::options::Options;
use crate::progress::CancelToken;
use crate::range::Mapping;

/// The object.
pub struct SharedObject {
    object: SharedUpload,
    upload: Option<Upload>,
}

impl SharedObject {
    /// The object of `len` bytes that `address` means; its service is asked.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Usage`], or a [`Refusal`](crate::Refusal): nothing has been changed.
    pub fn look_at(
        address: &str,
        origin: &dyn Origin,
        len: u64,
        options: &Options,
        cancel: &CancelToken,
    ) -> Result<SharedObject> {
        let name = origin.file_name();
        let object = SharedUpload::look(address, name.as_deref(), len, options, cancel)?;
        Ok(SharedObject { object, upload: None })
    }

    /// Every part that the records know of.
    fn sent(finish: &Finish<'_>) -> SentParts {
        finish.records.values().flat_map(|record| record.parts.clone()).collect()
    }

    /// Shards that hold parts of these `numbers`.
    fn shards_of(&self, finish: &Finish<'_>, numbers: &[u32]) -> Vec<u32> {
        let start = finish.work.joined.plan.job.range.start();
        let holds = |record: &Record, number: u32| {
            let part = self.object.part_range(number).rebase(0, start);
            part.is_some_and(|part| record.range.contains(part))
        };
        let is_one = |record: &&Record| numbers.iter().any(|number| holds(record, *number));
        finish.records.values().filter(is_one).map(|record| record.shard).collect()
    }

    /// CRC-32C of all that was sent.
    fn checksum(&self, sent: &SentParts) -> u32 {
        sent.iter().fold(0, |so_far, (&number, part)| {
            let len = as_usize(self.object.part_range(number).len());
            crc32c::crc32c_combine(so_far, part.crc32c, len)
        })
    }

    /// What can be read of an upload is its source.
    fn content(&self, finish: &Finish<'_>) -> Content {
        let (bytes, range) = (finish.work.origin.source(), finish.work.joined.plan.job.range);
        let path = finish.work.origin.path().to_owned();
        let checksum = Some(self.checksum(&SharedObject::sent(finish)));
        Content { bytes, range, path, checksum, file: None }
    }
}

impl Whole for SharedObject {
    fn path(&self) -> &Path {
        self.object.path()
    }

    fn draft_path(&self) -> PathBuf {
        self.object.path().to_owned()
    }

    fn kind(&self) -> Kind {
        Kind::S3
    }

    fn part_size(&self) -> u64 {
        self.object.part_size()
    }

    fn endpoint(&self) -> Option<String> {
        self.object.endpoint()
    }

    fn check(&self, _mapping: Mapping, _origin: &dyn Origin, options: &Options) -> Result<()> {
        if options.verifies() {
            let problem = "reads a copy back, and of an upload nothing can be read before it is \
                           complete: the service compares checksums";
            return Err(ErrorKind::usage_of(&["verify"], problem).into());
        }
        Ok(self.object.check()?)
    }

    fn belong_to(&mut self, plan: &Plan) {
        self.upload.clone_from(&plan.upload);
    }

    fn begin(&self, _len: u64) -> Result<Begun, NotBegun> {
        Ok(match self.object.begin()? {
            None => Begun { upload: None, unheard: false, file: None },
            Some(Beginning { upload, unheard }) => {
                Begun { upload: Some(upload), unheard, file: None }
            }
        })
    }

    fn take_back(&self, begun: &Begun) -> bool {
        let left = begun.upload.as_ref().and_then(|upload| self.object.take_back(upload));
        left.is_none() && !begun.unheard
    }

    fn time(&self) -> Option<String> {
        Some(self.object.time())
    }

    fn clear(&self, notes: &[BegunNote]) -> Vec<String> {
        let uploads = notes.iter().filter_map(|note| note.upload.as_ref());
        let others = uploads.filter(|upload| self.upload.as_ref() != Some(upload));
        let mut left: Vec<String> =
            others.filter_map(|upload| self.object.take_back(upload)).collect();
        let unknown = notes.iter().filter(|note| note.upload.is_none() || note.unheard);
        let since: Vec<&str> = unknown.filter_map(|note| note.since.as_deref()).collect();
        left.extend(self.object.clear_unheard(&since, self.upload.as_ref()));
        left
    }

    fn is_there(&self, len: u64) -> Option<bool> {
        self.object.is_there(len)
    }

    fn piece(&self, job: &Job, guard: Guard) -> Result<Piece> {
        let gone = || ErrorKind::Destination {
            step: "upload",
            path: job.destination.path(),
            source: std::io::ErrorKind::NotFound.into(),
        };
        let upload = self.upload.as_ref().ok_or_else(gone)?;
        let end = self.object.piece(upload, guard);
        let sent = Box::new(end.sent());
        Ok(Piece { end: Box::new(end), sent })
    }

    fn unnamed(&self, finish: &Finish<'_>) -> Result<Content> {
        self.object.listen_to(&finish.hold.cancel);
        let sent = SharedObject::sent(finish);
        let missing: Vec<u32> =
            self.object.part_numbers().filter(|number| !sent.contains_key(number)).collect();
        match missing.is_empty() {
            true => Ok(self.content(finish)),
            false => Err(finish.disown(&self.shards_of(finish, &missing))),
        }
    }

    /// By the checksums of what was sent.
    fn compare(&self, finish: &Finish<'_>) -> Result<()> {
        finish.check_read(&self.content(finish))
    }

    fn give_name(&self, finish: &Finish<'_>, _content: Content) -> Result<Vec<String>> {
        let crew = &finish.work.crew;
        finish.hold.gate().check_now().map_err(|error| crew.failed(error))?;
        let made = self.object.complete(self.upload.as_ref(), &SharedObject::sent(finish));
        made.map_err(|not_made| match not_made {
            // Sent once more, by one who had stood still or was killed: other bytes, perhaps.
            NotMade::OtherParts(numbers) => finish.disown(&self.shards_of(finish, &numbers)),
            NotMade::Other(error) => error,
        })
    }

    fn left_open(&self) -> Option<String> {
        self.upload.as_ref().map(|upload| self.object.left_open(upload))
    }
}
