//! An object that several processes upload, each some parts of it: one of them begins the
//! upload, each sends parts by its number, and one makes the object of them. What each has
//! sent is for the caller to pass on; nothing is recorded here.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::destination::{self, S3Destination};
use super::draft::{self, S3Draft};
use super::left::is_made_of;
use super::parts::PartPlan;
use super::requests::{Created, Naming, Requests, is_no_upload, is_other_part, is_taken};
use super::sink::Parts;
use crate::address;
use crate::durable::map::UploadPart;
use crate::endpoint::http::fault::Fault;
use crate::endpoint::shared::{NotBegun, Upload};
use crate::endpoint::{Abilities, Destination, Draft, End, Kind, Shape};
use crate::error::{Error, ErrorKind, Refusal, Result};
use crate::io::guarded::{Guard, Guarded};
use crate::io::{Sink, WriteOrder};
use crate::options::Options;
use crate::progress::CancelToken;
use crate::range::ByteRange;
use crate::sync::Mutex;

/// An object that several processes are to upload.
pub struct SharedUpload {
    path: PathBuf,
    requests: Requests,
    plan: PartPlan,
    naming: Naming,
    is_taken: bool,
}

impl SharedUpload {
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
    ) -> Result<SharedUpload> {
        destination::check_options(options)?;
        let object = S3Destination::new(address, name, options)?;
        let plan = object.plan_of(len, options.stripe_size(1)?)?;
        let destination::Answered { requests, found } = object.ask(cancel)?;
        let (path, naming) = (object.path().to_owned(), object.naming);
        Ok(SharedUpload { path, requests, plan, naming, is_taken: found.is_some() })
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
    /// [`NotBegun`].
    pub fn begin(&self) -> Result<Option<Beginning>, NotBegun> {
        if self.plan.len == 0 {
            return Ok(None);
        }
        match self.requests.create() {
            Ok(Created { begun, unheard, .. }) => Ok(Some(Beginning { upload: begun, unheard })),
            Err(fault) => {
                let is_certain = destination::is_refused(&fault);
                let error = destination::not_begun(&self.requests, &self.path, fault);
                Err(NotBegun { error, is_certain })
            }
        }
    }

    /// Takes an upload back that nobody will go on with. What is left if the service does
    /// not do that, and how to get rid of it.
    pub fn take_back(&self, upload: &Upload) -> Option<String> {
        let taken = self.requests.take_back(&upload.id);
        taken.is_err().then(|| self.left_open(upload))
    }

    /// What stays at the service of a job that is given up, and how to get rid of it.
    pub fn left_open(&self, upload: &Upload) -> String {
        let command = self.requests.how_to_abort(&upload.id);
        format!(
            "the service keeps what it has of the upload, and may charge for it, until that is \
             completed or aborted; to abort it: {command}"
        )
    }

    /// Where it is, for all who take part: the address of the service, if it was given one.
    pub fn endpoint(&self) -> Option<String> {
        let endpoint = self.requests.client.remote().s3.endpoint.as_deref()?;
        Some(address::without_credentials(endpoint))
    }

    /// What time it is at the service.
    pub fn time(&self) -> String {
        self.requests.service.time()
    }

    /// Aborts the uploads whose names were never received, one for each of the times `since`,
    /// unless there are more: then some belong to another program, and all of them stay.
    /// Returns a note on those that stay, with the command that aborts them. `known` is not
    /// one of them.
    pub fn clear_unheard(&self, since: &[&str], known: Option<&Upload>) -> Option<String> {
        let mut found = BTreeSet::new();
        for time in since {
            match self.requests.unheard(time) {
                Ok(ids) => found.extend(ids),
                // Who may write need not be allowed to ask.
                Err(_) => return Some(self.requests.left_behind(None)),
            }
        }
        found.retain(|id| known.is_none_or(|known| known.id != *id));
        if found.len() <= since.len() {
            found.retain(|id| self.requests.take_back(id).is_err());
        }
        (!found.is_empty()).then(|| self.requests.left_behind(Some(found.len())))
    }

    /// Some parts of it, written as long as `guard` lets it.
    pub fn piece(&self, upload: &Upload, guard: Guard) -> ObjectPiece {
        let parts = Arc::new(self.parts(Some(upload), BTreeMap::new()));
        ObjectPiece { path: self.path.clone(), parts, guard }
    }

    fn parts(&self, upload: Option<&Upload>, sent: BTreeMap<u32, UploadPart>) -> Parts {
        let (service, client) =
            (Arc::clone(&self.requests.service), Arc::clone(&self.requests.client));
        Parts::new(Requests { service, client }, self.plan, upload.cloned(), sent)
    }

    /// Whether an object of that name and of `len` bytes is there. `None` if the service does
    /// not say.
    pub fn is_there(&self, len: u64) -> Option<bool> {
        let found = self.requests.head().ok()?;
        Some(found.is_some_and(|found| found.len == len))
    }

    /// Whether what has the name is made of `sent`, as far as the service says.
    fn is_made_of(&self, sent: &BTreeMap<u32, UploadPart>) -> bool {
        let found = self.requests.head().ok().flatten();
        found.is_some_and(|found| match self.plan.len {
            0 => found.len == 0,
            _ => is_made_of(&found, self.plan, sent),
        })
    }

    /// Makes the object of the parts that were `sent`, which are all there are, or finds it
    /// made of them. Returns what is worth knowing.
    ///
    /// # Errors
    ///
    /// [`NotMade`].
    pub fn complete(
        &self,
        upload: Option<&Upload>,
        sent: &BTreeMap<u32, UploadPart>,
    ) -> Result<Vec<String>, NotMade> {
        let draft = S3Draft {
            path: self.path.clone(),
            parts: Arc::new(self.parts(upload, sent.clone())),
            naming: self.naming,
            record: None,
            lock: None,
            begun: String::new(),
            is_complete: false,
            notes: Mutex::default(),
        };
        match (draft.complete_anyhow(), upload) {
            (Ok(()), _) => Ok(draft.notes(ByteRange::to(self.plan.len))),
            (Err(Fault::Stopped), _) => Err(NotMade::Other(ErrorKind::Cancelled.into())),
            (Err(fault), Some(upload)) if is_other_part(&fault) => {
                let listed = self.requests.list(&upload.id).unwrap_or_default();
                let is_same = |number: &u32| {
                    listed.get(number).map(|part| &part.tag)
                        == sent.get(number).map(|part| &part.tag)
                };
                let mut others: Vec<u32> = self.plan.numbers().filter(|n| !is_same(n)).collect();
                if others.is_empty() {
                    others = self.plan.numbers().collect();
                }
                Err(NotMade::OtherParts(others))
            }
            (Err(_), Some(upload)) if self.is_made_of(sent) => {
                // Another process has completed it; or the object was there already.
                Ok(self.take_back(upload).into_iter().collect())
            }
            (Err(_), None) if self.is_made_of(sent) => Ok(Vec::new()),
            (Err(fault), _) => Err(NotMade::Other(self.not_made(fault))),
        }
    }

    fn not_made(&self, fault: Fault) -> Error {
        let why = if is_taken(&fault) {
            "something else has got its name meanwhile: once that is gone, the same line completes \
             the object"
        } else if is_no_upload(&fault) {
            "the service does not have the upload any more: name another job folder to begin anew"
        } else {
            return draft::failed(&self.path, "complete", fault);
        };
        let (path, source) = (self.path.clone(), io::Error::other(why));
        ErrorKind::Destination { step: "complete", path, source }.into()
    }

    /// The numbers of its parts.
    pub fn part_numbers(&self) -> impl Iterator<Item = u32> {
        self.plan.numbers()
    }

    /// Which bytes part `number` has.
    pub fn part_range(&self, number: u32) -> ByteRange {
        self.plan.range(number)
    }
}

/// An upload that has begun.
pub struct Beginning {
    pub upload: Upload,
    /// Whether another one may have begun before it, whose answer was lost.
    pub unheard: bool,
}

/// Why there is no object.
pub enum NotMade {
    /// The service has other parts than those of these numbers, or none.
    OtherParts(Vec<u32>),
    /// Whatever else it was.
    Other(Error),
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
        let ObjectPiece { path, parts, guard } = *self;
        let sink = Arc::new(Guarded::new(parts.clone(), Arc::clone(&guard)));
        Ok(Box::new(PieceDraft { path, parts, sink, guard, to: shape.mapping.to() }))
    }
}

struct PieceDraft {
    path: PathBuf,
    parts: Arc<Parts>,
    sink: Arc<Guarded>,
    guard: Guard,
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
        (self.guard)().map_err(|source| ErrorKind::Write {
            path: self.path.clone(),
            range: self.to,
            source,
        })?;
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
