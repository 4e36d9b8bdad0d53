//! An object of S3 that several processes upload: each shard is whole parts of it.

use std::path::{Path, PathBuf};

use super::{Begun, Content, Piece, SentParts, Whole};
use crate::endpoint::s3::shared;
use crate::endpoint::shared::Upload;
use crate::endpoint::{Kind, Origin};
use crate::error::{ErrorKind, Result, SourceChange};
use crate::fleet::finish::Finish;
use crate::fleet::plan::{Job, Plan};
use crate::fleet::record::BegunNote;
use crate::io::guarded::Guard;
use crate::options::Options;
use crate::progress::CancelToken;
use crate::range::Mapping;

/// The object.
pub struct SharedObject {
    object: shared::SharedObject,
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
        let object = shared::SharedObject::look(address, name.as_deref(), len, options, cancel)?;
        Ok(SharedObject { object, upload: None })
    }

    /// Every part that the records know of.
    fn sent(finish: &Finish<'_>) -> SentParts {
        finish.records.values().flat_map(|record| record.parts.clone()).collect()
    }

    /// What can be read of an upload is its source.
    fn content(finish: &Finish<'_>) -> Content {
        let (bytes, range) = (finish.work.origin.source(), finish.work.joined.plan.job.range);
        Content { bytes, range, file: None }
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

    fn begin(&self, _len: u64) -> Result<Begun> {
        Ok(Begun { upload: self.object.begin()?, file: None })
    }

    fn take_back(&self, begun: &Begun) {
        if let Some(upload) = &begun.upload {
            let _ = self.object.take_back(upload);
        }
    }

    fn time(&self) -> Option<String> {
        Some(self.object.time())
    }

    fn clear(&self, notes: &[BegunNote]) -> Vec<String> {
        let others = notes.iter().filter(|note| note.upload != self.upload);
        let (known, unknown): (Vec<_>, Vec<_>) = others.partition(|note| note.upload.is_some());
        let known = known.into_iter().filter_map(|note| note.upload.as_ref());
        let mut left: Vec<String> =
            known.filter_map(|upload| self.object.take_back(upload)).collect();
        let since: Vec<&str> = unknown.iter().filter_map(|note| note.since.as_deref()).collect();
        left.extend(self.object.clear_unheard(&since));
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

    fn named(&self, finish: &Finish<'_>) -> Result<Option<Content>> {
        self.object.listen_to(&finish.hold.cancel);
        if self.object.is_made_of(&SharedObject::sent(finish)) != Some(true) {
            return Ok(None);
        }
        if let Some(upload) = &self.upload {
            // What has the name may be the same by chance.
            let _ = self.object.take_back(upload);
        }
        Ok(Some(SharedObject::content(finish)))
    }

    fn unnamed(&self, finish: &Finish<'_>) -> Result<Content> {
        Ok(SharedObject::content(finish))
    }

    /// By the checksums of what was sent.
    fn compare(&self, finish: &Finish<'_>) -> Result<()> {
        let (origin, job) = (&finish.work.origin, &finish.work.joined.plan.job);
        let (source, sent) = (origin.source(), SharedObject::sent(finish));
        for (number, to) in self.object.part_ranges() {
            let range = to.rebase(0, job.range.start());
            let sum = range.map(|range| finish.checksum(&source, range)).transpose()?;
            if sum != sent.get(&number).map(|part| part.crc32c) {
                let (path, change) = (origin.path().to_owned(), SourceChange::Modified);
                return Err(ErrorKind::SourceChanged { path, change }.into());
            }
        }
        Ok(())
    }

    fn give_name(&self, finish: &Finish<'_>, _content: Content) -> Result<Vec<String>> {
        let crew = &finish.work.crew;
        finish.hold.gate().check_now().map_err(|error| crew.failed(error))?;
        self.object.complete(self.upload.as_ref(), SharedObject::sent(finish))
    }
}
