//! An object that is to be made, or replaced: looked at, and not changed.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::draft::{Record, S3Draft};
use super::headers;
use super::left::{Earlier, Found, Left, Search};
use super::lock::Lock;
use super::parts::{self, PartPlan};
use super::place::Place;
use super::requests::{Created, Head, Naming, Requests};
use super::sink::Parts;
use super::unheard::MayHaveBegun;
use super::{Asked, Asking, client, failed_to_look, senseless};
use crate::digest;
use crate::durable::map::{self, Identity, MapFile, Mode, ObjectId};
use crate::durable::trust::Examiner;
use crate::endpoint::http::fault::Fault;
use crate::endpoint::http::pace;
use crate::endpoint::{Abilities, Destination, Draft, End, Journal, Kind, Look, Looked, Shape};
use crate::engine::Reflink;
use crate::engine::capabilities::Pace;
use crate::error::{Error, ErrorKind, MapRefusal, Refusal, Result, Side, chain, quoted};
use crate::options::{Options, Remote};
use crate::progress::CancelToken;
use crate::range::RangeSet;
use crate::safety::roles::{Role, Roles};
use crate::size::{Size, human};
use crate::sparse::{Preallocate, Sparse};
use crate::sync::Mutex;
use crate::sys;

/// Memory for parts that are read or sent, in bytes, unless the user says how many
/// there are at once.
const MEMORY: u64 = 2 << 30;

/// Longest request, in bytes: longer parts are filled by several.
const LONGEST_REQUEST: u64 = 16 << 20;

/// An object that is to be made.
pub struct S3Destination {
    place: Place,
    path: PathBuf,
    remote: Remote,
    pub(super) naming: Naming,
    looked: Option<AtService>,
}

/// What is known once the service was asked.
struct AtService {
    requests: Requests,
    plan: PartPlan,
    left: Left,
    map_file: MapFile,
    identity: Option<Identity>,
    /// From before the look on: what was found is what will be there.
    lock: Option<Lock>,
}

/// A service that answers, and what it has under the name.
pub(super) struct Answered {
    pub requests: Requests,
    pub found: Option<Head>,
}

impl S3Destination {
    /// The object at `address`, or the one called `name` in the folder that it names.
    /// No service is asked.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Usage`], or a [`Refusal`] where there is no name.
    pub fn new(address: &str, name: Option<&OsStr>, options: &Options) -> Result<S3Destination> {
        let mut place = super::place(address)?;
        if place.version.is_some() {
            return Err(senseless(address, "names a version, which only a service gives"));
        }
        if !place.is_object() {
            let name = name.and_then(OsStr::to_str);
            let missing = || senseless(address, "names a folder, and the source has no name");
            place = place.join(name.ok_or_else(missing)?);
        }
        place.check_key().map_err(|why| senseless(address, &why))?;
        let naming = if options.force { Naming::Any } else { Naming::New };
        let (path, remote) = (place.path(), options.remote.clone());
        Ok(S3Destination { place, path, remote, naming, looked: None })
    }

    fn find_map(&self, options: &Options) -> Result<MapFile, Refusal> {
        let path = options.map.clone().unwrap_or_else(|| self.usual_map());
        let unusable = |error| MapRefusal::Unusable { path: path.clone(), reason: chain(&error) };
        Ok(MapFile::new(&path).map_err(unusable)?)
    }

    /// In the working directory, as of a device, and another one for each object.
    fn usual_map(&self) -> PathBuf {
        let endpoint = self.remote.s3.endpoint.as_deref().unwrap_or_default();
        let all = format!("{endpoint}\n{}", self.path.display());
        let digest = digest::hash_slice(digest::Algorithm::Blake3, all.as_bytes()).to_string();
        let last = crate::address::file_name(&self.path.display().to_string());
        let last = last.and_then(|name| name.into_string().ok());
        let mut last = last.unwrap_or_else(|| self.place.bucket.clone());
        while last.len() > 150 {
            last.pop();
        }
        PathBuf::from(format!("{last}.{}.pcopy-map", &digest[..8]))
    }

    fn identity(&self, look: &Look<'_>, id: Option<ObjectId>) -> Identity {
        Identity {
            source: map::Source {
                may_change: look.options.allow_changed_source,
                ..look.origin.identity()
            },
            range: look.mapping.from(),
            destination: map::Destination {
                path: self.path.clone(),
                offset: 0,
                kind: "s3".to_owned(),
                mode: Mode::New,
                id,
            },
            list: None,
        }
    }

    fn plan(&self, look: &Look<'_>) -> Result<PartPlan> {
        let wished = look.options.stripe_size(look.origin.sector())?;
        if look.open_ended {
            return Ok(PartPlan::open_ended(wished));
        }
        self.plan_of(look.mapping.to().end(), wished)
    }

    /// The parts of an object of `len` bytes, each of `wished` bytes if they may be so long.
    pub(super) fn plan_of(&self, len: u64, wished: Option<u64>) -> Result<PartPlan> {
        PartPlan::new(len, wished).ok_or_else(|| {
            let (name, most) = (quoted(&self.path), human(parts::LONGEST * parts::MOST));
            let what = format!("{name} would have {len} bytes, and no object has more than {most}");
            Refusal::Other(what).into()
        })
    }

    /// Asks the service what is there.
    pub(super) fn ask(&self, cancel: &CancelToken) -> Result<Answered> {
        let (remote, client) = (self.remote.clone(), client(&self.remote, cancel)?);
        let (place, path, side) = (&self.place, &*self.path, Side::Destination);
        let Asked { requests, answer } =
            Asking { place, path, side, remote, client }.ask(Requests::head)?;
        match answer {
            Ok(found) => Ok(Answered { requests, found }),
            // Who may write need not be allowed to read; the end will show it.
            Err(Fault::Status { status: 403, .. }) => Ok(Answered { requests, found: None }),
            Err(fault) => Err(failed_to_look(&self.path, fault)),
        }
    }
}

/// Refuses what has no meaning for an object.
pub fn check_options(options: &Options) -> Result<()> {
    let senseless: [(&'static [&'static str], &str, bool); 8] = [
        (&["split"], "", options.split.is_some()),
        (&["in_place"], "", options.in_place),
        (&["to_device"], "", options.to_device),
        (&["preserve"], "", options.preserve),
        (&["dest_offset"], "", options.dest_offset != Size::Bytes(0)),
        (&["reflink"], "always ", options.reflink == Reflink::Always),
        (&["sparse"], "always ", options.sparse == Sparse::Always),
        (&["preallocate"], "full ", options.preallocate == Preallocate::Full),
    ];
    match senseless.into_iter().find(|(.., given)| *given) {
        Some((option, value, _)) => {
            let problem = format!("{value}has no meaning for an object of S3");
            Err(ErrorKind::usage_of(option, problem).into())
        }
        None => Ok(()),
    }
}

/// What is recorded of an upload that is about to begin.
fn unnamed(begun: &str, plan: PartPlan) -> ObjectId {
    ObjectId::Upload {
        id: String::new(),
        begun: begun.to_owned(),
        part_size: plan.part_size,
        checked: false,
        parts: BTreeMap::new(),
    }
}

/// That an upload of what is called `path` has failed to begin, as far as anybody knows.
pub fn not_begun(requests: &Requests, path: &Path, fault: Fault) -> Error {
    if is_refused(&fault) || matches!(fault, Fault::Stopped) {
        return failed_to_look(path, fault);
    }
    let left = requests.left_behind(None);
    let source = io::Error::other(MayHaveBegun { fault, left });
    Refusal::CannotOpen { side: Side::Destination, path: path.to_owned(), source }.into()
}

/// Whether nothing has begun.
pub fn is_refused(fault: &Fault) -> bool {
    let is_said = matches!(fault, Fault::Said(_));
    !fault.is_passing() && (is_said || matches!(fault.status(), Some(300..=499)))
}

/// How many parts there are at once, of `part_size` bytes.
fn at_once(part_size: u64) -> usize {
    let memory = sys::memory_limit().map_or(MEMORY, |limit| MEMORY.min(limit / 2));
    usize::try_from(memory / part_size).unwrap_or(usize::MAX).max(1)
}

/// What an engine may know of an object in parts of `part` bytes, whose service answers
/// within `latency`.
pub fn end_of(part: u64, latency: Duration, connections: Option<usize>) -> End {
    let usual = pace::of(latency, connections);
    let most = connections.unwrap_or_else(|| usual.most.min(at_once(part)));
    let (request, start) = (part.min(LONGEST_REQUEST), usual.start.min(most));
    End { pace: Some(Pace { request, piece: part, start, most }), ..End::default() }
}

impl Destination for S3Destination {
    fn path(&self) -> &Path {
        &self.path
    }

    fn kind(&self) -> Kind {
        Kind::S3
    }

    fn abilities(&self) -> Abilities {
        Abilities::default().sealed().open_ended()
    }

    fn is_fresh(&self) -> bool {
        true
    }

    fn end(&self) -> End {
        let part = self.looked.as_ref().map_or(parts::SHORTEST, |looked| looked.plan.part_size);
        let latency = self.looked.as_ref().map(|looked| looked.requests.client.latency());
        end_of(part, latency.unwrap_or_default(), self.remote.connections)
    }

    fn look(&mut self, look: &Look<'_>, examiner: &mut Examiner) -> Result<Looked> {
        check_options(look.options)?;
        let mut plan = self.plan(look)?;
        let map_file = self.find_map(look.options)?;
        let mut roles = Roles::default();
        if let Some(source) = look.origin.file() {
            roles.add_source(source).map_err(Refusal::from)?;
        }
        let map = map_file.path();
        roles
            .add(Role::Side, "the map of the copy", &map)
            .map_err(|_| MapRefusal::InTheWay { path: map.clone() })?;
        // What goes at once has nothing to be resumed.
        let is_recorded = |plan: PartPlan| look.origin.can_resume() && plan.count() > 1;
        let lock = match is_recorded(plan) || map.symlink_metadata().is_ok() {
            true if look.plans_only => Lock::check(&map_file, &self.path).map(|()| None)?,
            true => Some(Lock::take(&map_file, &self.path)?),
            false => None,
        };
        let Answered { requests, found: there } = self.ask(look.watch.cancel)?;
        let identity = |id| self.identity(look, id);
        let search = Search { look, requests: &requests, map_file: &map_file, identity: &identity };
        let Found { left, done, notes } = search.find(examiner)?;
        if lock.is_none() && !look.plans_only && !matches!(left, Left::Nothing) {
            // Of another run, which has just left it.
            return Err(Refusal::Busy { path: self.path.clone() }.into());
        }
        if let Left::Resumed(earlier) = &left {
            plan = earlier.plan;
        }
        let is_taken = there.is_some() && self.naming == Naming::New;
        if is_taken && !matches!(left, Left::Complete) {
            return Err(Refusal::Exists { path: self.path.clone(), in_batch: false }.into());
        }
        let mut looked = Looked { done, notes, ..Looked::default() };
        if !matches!(look.origin.kind(), Kind::Http | Kind::S3) {
            // Of those, headers are for the source, or it says so itself.
            looked.notes.extend(headers::note(&self.remote.headers));
        }
        if look.open_ended {
            looked.notes.push(format!(
                "the length of {} is not known: it can have {} in parts of {}, and more in \
                 longer ones",
                quoted(&self.path),
                human(plan.len),
                human(plan.part_size)
            ));
        }
        let mut recorded = None;
        if is_recorded(plan) {
            map_file
                .check_writable()
                .map_err(|source| MapRefusal::CannotMake { path: map_file.path(), source })?;
            looked.journal = Some(Journal {
                file: map_file.clone(),
                identity: self.identity(look, None),
                of_the_user: None,
                resumed: matches!(left, Left::Resumed(_) | Left::Complete),
                discards: matches!(left, Left::Discarded(_)),
            });
            recorded = Some(self.identity(look, None));
        }
        self.looked = Some(AtService { requests, plan, left, map_file, identity: recorded, lock });
        Ok(looked)
    }

    fn begin(self: Box<Self>, shape: &Shape<'_>) -> Result<Box<dyn Draft>> {
        let S3Destination { path, naming, looked, .. } = *self;
        let looked = looked.expect("a destination is looked at before it begins");
        let AtService { requests, plan, left, map_file, identity, lock } = looked;
        requests.client.stop().listen_to(shape.cancel);
        let failed = |fault| failed_to_look(&path, fault);
        let begun = requests.service.time();
        if shape.discards {
            map_file.clear_temporaries();
        }
        if let Left::Discarded(upload) = &left {
            if let Some(id) = upload {
                requests.abort(id).map_err(failed)?;
            }
            // After its upload: without the map, nobody would know that.
            map_file.remove().map_err(|error| Refusal::Other(error.to_string()))?;
        }
        let (is_complete, mut notes) = (matches!(left, Left::Complete), Vec::new());
        let map = map_file.path();
        let record = identity.map(|identity| Record { file: map_file, identity });
        let (upload, sent) = match left {
            Left::Complete => (None, BTreeMap::new()),
            Left::Resumed(Earlier { upload, parts, .. }) => (Some(upload), parts),
            _ if plan.count() <= 1 => (None, BTreeMap::new()),
            _ => {
                if let Some(record) = &record {
                    // Whatever happens next, somebody will know that it has begun.
                    record.save(Some(unnamed(&begun, plan)), RangeSet::new())?;
                }
                match requests.create() {
                    Ok(Created { begun: upload, unheard, .. }) => {
                        notes.extend(
                            unheard.then(|| requests.note_of_unheard(&begun, &upload.id)).flatten(),
                        );
                        (Some(upload), BTreeMap::new())
                    }
                    Err(fault) => {
                        if let Some(record) = record.filter(|_| is_refused(&fault)) {
                            record.remove()?;
                        }
                        return Err(not_begun(&requests, &path, fault));
                    }
                }
            }
        };
        let is_new = sent.is_empty();
        let parts = Arc::new(Parts::new(requests, plan, upload, sent));
        let notes = Mutex::new(notes);
        let draft = S3Draft { lock, path, parts, naming, record, begun, is_complete, notes };
        if is_new && let Err(error) = draft.record_begun() {
            // Nobody would find it again.
            return Err(match Box::new(draft).discard() {
                None => error,
                Some(left) => ErrorKind::Journal {
                    path: map,
                    source: io::Error::other(format!("{}; {left}", chain(&error))),
                }
                .into(),
            });
        }
        Ok(Box::new(draft))
    }
}
