//! Objects of S3, and of what speaks like it: read by ranges as any object on a
//! server, from the version that was there at the beginning; written in parts, in
//! any order, and visible when all of them are there.
//!
//! A request is an address that is signed (`service`) for an object (`place`), with what
//! the user wants to be said besides (`headers`);
//! what is said in answer is XML (`message`). All else, such as connections, patience
//! and what is believed of a reply, is that of [`http`](super::http).
//!
//! A destination is looked at (`destination`), with what an earlier run left of it
//! (`left`, `unheard`), and becomes an upload (`draft`) whose bytes are gathered (`sink`) into
//! parts (`parts`). What is asked for that is in `requests`.

mod destination;
mod draft;
mod headers;
mod left;
mod lock;
mod message;
mod parts;
mod place;
mod requests;
mod service;
pub(crate) mod shared;
mod sink;
#[cfg(any(test, feature = "testing"))]
pub(crate) mod trial;
mod unheard;

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusty_s3::Method;

pub use self::destination::S3Destination;
use self::place::Place;
use self::requests::Requests;
use self::service::{Call, Service};
use super::http::client::Client;
use super::http::fault::Fault;
use super::http::first::{self, Content};
use super::http::object::Object;
use super::http::pin::Pin;
use super::http::{pace, reply, stated};
use super::{Kind, Origin};
use crate::address;
use crate::digest::Expectation;
use crate::durable::map;
use crate::engine::capabilities::End;
use crate::error::{ErrorKind, Refusal, Result, Side, SourceChange, WantsKeys, quoted};
use crate::io::Source;
use crate::io::page_cache::CacheState;
use crate::options::{Remote, S3Access};
use crate::progress::CancelToken;
use crate::range::ByteRange;

/// An object of S3, open for reading.
pub struct S3Origin {
    path: PathBuf,
    place: Place,
    requests: Requests,
    object: Arc<Object>,
    /// How long the service took to answer.
    latency: Duration,
}

impl S3Origin {
    /// Asks the service for the object at `address`, `s3://BUCKET/KEY` with or
    /// without `?versionId=VERSION`, as far as it takes to know its size and by what
    /// it is known. Waits for an answer until `cancel` is used.
    ///
    /// # Errors
    ///
    /// [`Refusal::CannotOpen`], [`ErrorKind::Usage`] if the address makes no
    /// sense, [`ErrorKind::Cancelled`].
    pub fn open(address: &str, remote: &Remote, cancel: &CancelToken) -> Result<S3Origin> {
        remote.check()?;
        S3Origin::open_by(client(remote, cancel)?, remote.clone(), address)
    }

    fn open_by(client: Arc<Client>, remote: Remote, address: &str) -> Result<S3Origin> {
        let mut place = place(address)?;
        place.check_key().map_err(|why| senseless(address, &why))?;
        let path = place.path();
        let asking = Asking { place: &place, path: &path, side: Side::Source, remote, client };
        let Asked { requests, answer } = asking.ask(|requests| look(requests, &place))?;
        let mut object = answer.map_err(|fault| refusal(&path, Side::Source, fault))?;
        // From here on, what takes its place is another one.
        place.version = object.pin().version.clone().filter(|version| version != "null");
        if place.version.is_some() {
            object = requests.object(&place, object.pin().clone());
        }
        let latency = requests.client.latency();
        Ok(S3Origin { path, place, requests, object, latency })
    }
}

/// Who is asked for what is at `place`.
struct Asking<'a> {
    place: &'a Place,
    path: &'a Path,
    side: Side,
    remote: Remote,
    client: Arc<Client>,
}

/// Who was asked in the end, and what that brought.
struct Asked<T> {
    requests: Requests,
    answer: Result<T, Fault>,
}

impl Asking<'_> {
    /// Asks a question, in the region where the bucket turns out to be.
    fn ask<T>(mut self, question: impl Fn(&Requests) -> Result<T, Fault>) -> Result<Asked<T>> {
        let mut requests = self.requests()?;
        let mut answer = question(&requests);
        let region = answer.as_ref().err().and_then(Fault::region).map(str::to_owned);
        let known = requests.service.region();
        if let Some(region) = region.filter(|region| *region != *known) {
            self.remote.s3.region = Some(region);
            requests = self.requests()?;
            answer = question(&requests);
        }
        Ok(Asked { requests, answer })
    }

    fn requests(&self) -> Result<Requests> {
        let service = service(self.place, &self.remote, self.path, self.side)?;
        Ok(Requests { service, client: Arc::clone(&self.client) })
    }
}

/// Which object `address` means.
fn place(address: &str) -> Result<Place> {
    Place::new(address).map_err(|why| senseless(address, &why))
}

fn senseless(address: &str, why: &str) -> crate::Error {
    let shown = address::without_credentials(address);
    ErrorKind::usage(format!("{} {why}", quoted(PathBuf::from(shown)))).into()
}

/// What is at `place`, by its service.
fn service(place: &Place, remote: &Remote, path: &Path, side: Side) -> Result<Arc<Service>> {
    if let S3Access::Unknown { reason } = &remote.s3.access {
        let source = WantsKeys { reason: reason.clone() };
        let source = io::Error::new(io::ErrorKind::PermissionDenied, source);
        return Err(Refusal::CannotOpen { side, path: path.to_owned(), source }.into());
    }
    let service = Service::new(place, remote);
    Ok(Arc::new(service.map_err(|why| ErrorKind::usage(format!("{} {why}", quoted(path))))?))
}

fn client(remote: &Remote, cancel: &CancelToken) -> Result<Arc<Client>> {
    let client = Client::new(remote).map_err(ErrorKind::usage)?;
    client.stop().listen_to(cancel);
    Ok(Arc::new(client))
}

fn reading(place: &Place) -> Call {
    let call = Call::new(Method::Get);
    match &place.version {
        Some(version) => call.query("versionId", version),
        None => call,
    }
}

fn look(requests: &Requests, place: &Place) -> Result<Arc<Object>, Fault> {
    let location = requests.service.location(reading(place));
    match first::look(&requests.client, &location) {
        Ok(Content::Ranges(object)) => Ok(object),
        Ok(Content::Whole(_)) => Err(Fault::NoRanges),
        // Not every service says of an empty object that it is empty.
        Err(Fault::Status { status: 416, .. }) => empty(requests, place),
        Err(fault) => Err(fault),
    }
}

/// An object of which no byte can be had, because there is none.
fn empty(requests: &Requests, place: &Place) -> Result<Arc<Object>, Fault> {
    let reply = requests.describe(reading(place))?;
    match reply::content_length(reply.headers()) {
        Some(0) => Ok(requests.object(place, Pin::of(reply.headers(), 0))),
        _ => Err(Fault::Status { status: 416, wait: None }),
    }
}

impl Requests {
    /// What is at `place`, known by `pin`.
    fn object(&self, place: &Place, pin: Pin) -> Arc<Object> {
        let location = self.service.location(reading(place));
        Arc::new(Object::new(Arc::clone(&self.client), location.clone(), location, pin))
    }
}

/// Why an end cannot be used.
fn refusal(path: &Path, side: Side, fault: Fault) -> crate::Error {
    if matches!(fault, Fault::Stopped) {
        return ErrorKind::Cancelled.into();
    }
    let source = io::Error::from(fault);
    Refusal::CannotOpen { side, path: path.to_owned(), source }.into()
}

/// Why a destination cannot be used.
fn failed_to_look(path: &Path, fault: Fault) -> crate::Error {
    refusal(path, Side::Destination, fault)
}

impl Origin for S3Origin {
    fn path(&self) -> &Path {
        &self.path
    }

    fn file_name(&self) -> Option<OsString> {
        address::file_name(self.path.to_str()?)
    }

    fn source(&self) -> Arc<dyn Source> {
        self.object.clone()
    }

    fn kind(&self) -> Kind {
        Kind::S3
    }

    fn identity(&self) -> map::Source {
        let pin = self.object.pin();
        map::Source {
            path: self.path.clone(),
            kind: "s3".to_owned(),
            size: pin.size,
            mtime_ns: pin.modified_at().map(|seconds| i128::from(seconds) * 1_000_000_000),
            ctime_ns: None,
            may_change: false,
            id: pin.id(),
        }
    }

    /// A request for a range brings none: all of it is asked about.
    fn stated_digests(&self) -> Vec<Expectation> {
        let asked = self.requests.describe(reading(&self.place));
        let Ok(reply) = asked else { return Vec::new() };
        match self.object.pin().change(reply.headers(), None) {
            Some(_) => Vec::new(),
            None => stated::digests(reply.headers()),
        }
    }

    fn change(&self) -> io::Result<Option<SourceChange>> {
        Ok(self.object.change())
    }

    fn open_beside(&self, path: &Path, cancel: &CancelToken) -> Option<Result<Arc<dyn Origin>>> {
        let address = path.to_str().filter(|_| address::scheme(path) == Some("s3"))?;
        Place::new(address).ok().filter(|place| place.bucket == self.place.bucket)?;
        let Requests { service, client } = &self.requests;
        let mut remote = client.remote().clone();
        // Where the bucket was found.
        remote.s3.region = Some(service.region().to_owned());
        client.stop().listen_to(cancel);
        let opened = S3Origin::open_by(Arc::clone(client), remote, address);
        Some(opened.map(|origin| Arc::new(origin) as Arc<dyn Origin>))
    }

    fn end(&self) -> End {
        let pace = pace::of(self.latency, self.requests.client.remote().connections);
        End { pace: Some(pace), ..End::default() }
    }

    /// As a source that no page cache holds.
    fn cache_state(&self, _range: ByteRange) -> CacheState {
        CacheState::Cold
    }

    fn listen_to(&self, cancel: &CancelToken) {
        self.requests.client.stop().listen_to(cancel);
    }

    fn note(&self) -> Option<String> {
        let name = quoted(&self.path);
        let is_named = address::split_version(self.path.to_str()?).1.is_some();
        let version = self.object.pin().version.as_ref().filter(|version| *version != "null");
        let version = version.filter(|_| !is_named);
        let version = version.map(|version| format!("{name} is read as its version {version}"));
        let notes =
            version.into_iter().chain(headers::note(&self.requests.client.remote().headers));
        notes.reduce(|one, other| format!("{one}; {other}"))
    }
}
