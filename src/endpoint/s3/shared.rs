//! An object that several processes upload, each some parts of it: one of them begins the
//! upload, each sends parts by its number, and one makes the object of them. What each has
//! sent is for the caller to pass on; nothing is recorded here.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::destination::{self, S3Destination};
use super::draft::{self, S3Draft};
use super::left::is_made_of;
use super::parts::PartPlan;
use super::requests::{Begun, Naming, Requests};
use super::sink::Parts;
use crate::durable::map::UploadPart;
use crate::endpoint::shared::Upload;
use crate::endpoint::{Abilities, Destination, Draft, End, Kind, Shape};
use crate::error::{Refusal, Result};
use crate::io::guarded::{Guard, Guarded};
use crate::io::{Sink, WriteOrder};
use crate::options::Options;
use crate::progress::CancelToken;
use crate::range::ByteRange;

/// An object that is to be made by several processes.
pub struct SharedObject {
    path: PathBuf,
    requests: Requests,
    plan: PartPlan,
    naming: Naming,
    is_taken: bool,
}

impl SharedObject {
    /// The object of `len` bytes at `address`, or the one called `name` in the folder that
    /// it names. Its service is asked what is there.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Usage`](crate::ErrorKind::Usage), or a [`Refusal`]; nothing has been changed.
    pub fn look(
        address: &str,
        name: Option<&OsStr>,
        len: u64,
        options: &Options,
        cancel: &CancelToken,
    ) -> Result<SharedObject> {
        destination::check_options(options)?;
        let object = S3Destination::new(address, name, options)?;
        let plan = object.plan_of(len, options.stripe_size(1)?)?;
        let destination::Answered { requests, found } = object.ask(cancel)?;
        let (path, naming) = (object.path().to_owned(), object.naming);
        Ok(SharedObject { path, requests, plan, naming, is_taken: found.is_some() })
    }

    /// Requests end when `cancel` is used.
    pub fn listen_to(&self, cancel: &CancelToken) {
        self.requests.client.stop().listen_to(cancel);
    }

    /// Its name.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes of each part but the last, a power of two.
    pub fn part_size(&self) -> u64 {
        self.plan.part_size
    }

    /// Refuses to replace what has the name, if that was not asked for.
    ///
    /// # Errors
    ///
    /// [`Refusal::Exists`].
    pub fn check(&self) -> Result<(), Refusal> {
        match self.is_taken && self.naming == Naming::New {
            true => Err(Refusal::Exists { path: self.path.clone(), in_batch: false }),
            false => Ok(()),
        }
    }

    /// Begins an upload; none of nothing.
    ///
    /// # Errors
    ///
    /// [`Refusal::CannotOpen`].
    pub fn begin(&self) -> Result<Option<Upload>> {
        if self.plan.len == 0 {
            return Ok(None);
        }
        let created = self.requests.create();
        let created = created.map_err(|fault| super::failed_to_look(&self.path, fault))?;
        let Begun { id, checked } = created.begun;
        Ok(Some(Upload { id, checked }))
    }

    /// Takes an upload back that nobody will go on with; how to do that, if the service does
    /// not answer.
    pub fn take_back(&self, upload: &Upload) -> Option<String> {
        let taken = self.requests.take_back(&upload.id);
        taken.is_err().then(|| self.requests.how_to_abort(&upload.id))
    }

    /// What time it is at the service.
    pub fn time(&self) -> String {
        self.requests.service.time()
    }

    /// Takes back uploads of which nobody knows what the service calls them, one for each of
    /// the times `since`, if it is certain that there are no others; what stays, and how to
    /// abort it.
    pub fn clear_unheard(&self, since: &[&str]) -> Option<String> {
        let earliest = since.iter().min()?;
        match self.requests.unheard(earliest) {
            Ok(found) if found.len() <= since.len() => {
                let stays = found.iter().filter(|id| self.requests.take_back(id).is_err()).count();
                (stays > 0).then(|| self.requests.left_behind(Some(stays)))
            }
            Ok(found) => Some(self.requests.left_behind(Some(found.len()))),
            // Who may write need not be allowed to ask.
            Err(_) => Some(self.requests.left_behind(None)),
        }
    }

    /// Some parts of it, written as long as `guard` lets it.
    pub fn piece(&self, upload: &Upload, guard: Guard) -> ObjectPiece {
        let parts = Arc::new(self.parts(Some(upload), BTreeMap::new()));
        ObjectPiece { path: self.path.clone(), parts, guard }
    }

    fn parts(&self, upload: Option<&Upload>, sent: BTreeMap<u32, UploadPart>) -> Parts {
        let upload = upload.map(|upload| Begun { id: upload.id.clone(), checked: upload.checked });
        let (service, client) =
            (Arc::clone(&self.requests.service), Arc::clone(&self.requests.client));
        Parts::new(Requests { service, client }, self.plan, upload, sent)
    }

    /// Whether an object of that name and of `len` bytes is there. `None` if the service does
    /// not say.
    pub fn is_there(&self, len: u64) -> Option<bool> {
        let found = self.requests.head().ok()?;
        Some(found.is_some_and(|found| found.len == len))
    }

    /// Whether what has the name is made of `sent`. `None` if the service does not say.
    pub fn is_made_of(&self, sent: &BTreeMap<u32, UploadPart>) -> Option<bool> {
        match self.requests.head().ok()? {
            None => Some(false),
            Some(found) if self.plan.len == 0 => Some(found.len == 0),
            Some(found) => Some(is_made_of(&found, self.plan, sent)),
        }
    }

    /// Makes the object of the parts that were `sent`, which are all there are. Returns
    /// what is worth knowing.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Destination`](crate::ErrorKind::Destination).
    pub fn complete(
        &self,
        upload: Option<&Upload>,
        mut sent: BTreeMap<u32, UploadPart>,
    ) -> Result<Vec<String>> {
        if let Some(upload) = upload
            && let Ok(listed) = self.requests.list(&upload.id)
        {
            // Sent twice, by one who had stood still, a part may be called otherwise.
            for (number, part) in &mut sent {
                if let Some(now) = listed.get(number) {
                    part.tag.clone_from(&now.tag);
                }
            }
        }
        let mut draft = S3Draft {
            path: self.path.clone(),
            parts: Arc::new(self.parts(upload, sent)),
            naming: self.naming,
            record: None,
            lock: None,
            begun: String::new(),
            is_complete: false,
            notes: Mutex::default(),
        };
        draft.commit(true)?;
        Ok(draft.notes(ByteRange::to(self.plan.len)))
    }

    /// Which bytes each part has, by its number.
    pub fn part_ranges(&self) -> impl Iterator<Item = (u32, ByteRange)> {
        let plan = self.plan;
        plan.numbers().map(move |number| (number, plan.range(number)))
    }
}

/// Some parts of an object.
pub struct ObjectPiece {
    path: PathBuf,
    parts: Arc<Parts>,
    guard: Guard,
}

impl ObjectPiece {
    /// What tells, when they are copied, which parts were sent.
    pub fn sent(&self) -> impl Fn() -> BTreeMap<u32, UploadPart> + 'static {
        let parts = Arc::clone(&self.parts);
        move || parts.sent()
    }
}

impl Destination for ObjectPiece {
    fn path(&self) -> &Path {
        &self.path
    }

    fn kind(&self) -> Kind {
        Kind::S3
    }

    fn abilities(&self) -> Abilities {
        Abilities::default().sealed()
    }

    fn is_fresh(&self) -> bool {
        true
    }

    fn end(&self) -> End {
        let client = &self.parts.requests.client;
        let part = self.parts.plan().part_size;
        destination::end_of(part, client.latency(), client.remote().connections)
    }

    fn begin(self: Box<Self>, shape: &Shape<'_>) -> Result<Box<dyn Draft>> {
        self.parts.requests.client.stop().listen_to(shape.cancel);
        let sink = Arc::new(Guarded::new(self.parts.clone(), self.guard));
        Ok(Box::new(PieceDraft {
            path: self.path,
            parts: self.parts,
            sink,
            to: shape.mapping.to(),
        }))
    }
}

struct PieceDraft {
    path: PathBuf,
    parts: Arc<Parts>,
    sink: Arc<Guarded>,
    /// Which bytes of the object.
    to: ByteRange,
}

impl Draft for PieceDraft {
    fn sink(&self) -> Arc<dyn Sink> {
        self.sink.clone()
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

    fn settle(&self, _rights: Option<u32>) -> Result<Vec<String>> {
        let sent = self.parts.fill_up_within(self.to);
        sent.map(|()| Vec::new()).map_err(|fault| draft::failed(&self.path, "write", fault))
    }

    fn commit(&mut self, _durable: bool) -> Result<()> {
        Ok(())
    }

    /// What was sent is sent again by the process that copies it next.
    fn discard(self: Box<Self>) -> Option<String> {
        None
    }
}
