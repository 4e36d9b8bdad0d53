//! An object that a server hands out over HTTP: read by ranges, in parallel.
//!
//! Every reply must be of the object that was opened (`pin`) and hold exactly
//! the bytes that were asked for (`object`). What fails on its way is asked for
//! again (`client`), at a pace that the server can bear (`gate`). Credentials
//! stay with the server they are for (`location`). Nothing here reads the
//! environment: what a program takes from there, it hands over as
//! [`Remote`].

mod body;
pub(super) mod client;
pub(super) mod fault;
pub(super) mod first;
mod gate;
mod in_order;
mod link;
pub(super) mod location;
pub(super) mod object;
pub(super) mod pace;
pub(super) mod pin;
pub(super) mod reply;
pub(super) mod stated;
pub(super) mod stop;
#[cfg(any(test, feature = "testing"))]
pub(crate) mod trial;
pub(super) mod whole;

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::{Kind, Origin};
use crate::address;
use crate::digest::Expectation;
use crate::durable::map;
use crate::engine::capabilities::End;
use crate::error::{ErrorKind, Refusal, Result, Side, SourceChange, WantsCredentials, quoted};
use crate::io::page_cache::CacheState;
use crate::io::{ReadOrder, Source};
use crate::options::Remote;
use crate::progress::CancelToken;
use crate::range::ByteRange;
use client::Client;
use fault::Fault;
use first::Content;
use location::Location;
use pin::Pin;
use whole::Whole;

/// An object on a server, open for reading.
pub struct HttpOrigin {
    /// Its address, without credentials.
    path: PathBuf,
    /// What a copy is called in a directory; empty where the address does not say.
    name: PathBuf,
    client: Arc<Client>,
    content: Content,
    /// How long the server took to answer.
    latency: Duration,
}

impl HttpOrigin {
    /// Asks the server for the object at `address`, as far as it takes to know
    /// whether it can be read in ranges, how long it is, and by what it is known.
    /// Waits for an answer until `cancel` is used.
    ///
    /// Where the server sends all of it whatever is asked for, it is a stream, as a
    /// pipe is: read once, in order.
    ///
    /// # Errors
    ///
    /// [`Refusal::CannotOpen`], [`ErrorKind::Usage`] if the address makes no
    /// sense, [`ErrorKind::Cancelled`].
    pub fn open(address: &str, remote: &Remote, cancel: &CancelToken) -> Result<HttpOrigin> {
        let client = Arc::new(Client::new(remote).map_err(ErrorKind::usage)?);
        HttpOrigin::open_by(client, address, cancel)
    }

    fn open_by(client: Arc<Client>, address: &str, cancel: &CancelToken) -> Result<HttpOrigin> {
        let path = PathBuf::from(address::without_credentials(address));
        let remote = client.remote();
        remote.check()?;
        let location = Location::new(address, remote)
            .map_err(|why| ErrorKind::usage(format!("{} {why}", quoted(&path))))?;
        client.stop().listen_to(cancel);
        let content = first::look(&client, &location).map_err(|fault| match fault {
            Fault::Stopped => ErrorKind::Cancelled,
            fault => cannot_open(&path, fault).into(),
        })?;
        let name = address::file_name(address).map_or_else(PathBuf::new, PathBuf::from);
        let latency = client.latency();
        Ok(HttpOrigin { path, name, client, content, latency })
    }

    /// What it is known by.
    fn pin(&self) -> &Pin {
        match &self.content {
            Content::Ranges(object) => object.pin(),
            Content::Whole(whole) => &whole.pin,
        }
    }

    /// What is worth knowing of one that is read once.
    fn note_of_whole(&self, whole: &Whole) -> String {
        let end = match whole.ends_with_connection {
            true => {
                "; nor does the server say where it ends, so a connection that breaks would look \
                 like its end"
            }
            false => "",
        };
        let name = quoted(&self.path);
        let place = match whole.location.is_redirected {
            true => format!(", redirected to {},", whole.location.shown()),
            false => String::new(),
        };
        format!(
            "the server sends all of {name}{place} instead of the range that was asked for: read as one \
             stream, in order, which cannot be resumed{end}"
        )
    }
}

fn cannot_open(path: &Path, fault: Fault) -> Refusal {
    let source = match fault {
        Fault::Status { status: 401, .. } => {
            io::Error::new(io::ErrorKind::PermissionDenied, WantsCredentials)
        }
        fault => fault.into(),
    };
    Refusal::CannotOpen { side: Side::Source, path: path.to_owned(), source }
}

impl Origin for HttpOrigin {
    fn path(&self) -> &Path {
        &self.path
    }

    fn file_name(&self) -> Option<OsString> {
        self.name.file_name().map(OsStr::to_owned)
    }

    fn source(&self) -> Arc<dyn Source> {
        match &self.content {
            Content::Ranges(object) => object.clone(),
            Content::Whole(whole) => whole.stream.clone(),
        }
    }

    fn read_order(&self) -> ReadOrder {
        match &self.content {
            Content::Ranges(_) => ReadOrder::Any,
            Content::Whole(whole) => ReadOrder::Once(whole.stream.clone()),
        }
    }

    fn why_once(&self) -> &'static str {
        "can be read only once, in order: its server sends all of it instead of a range"
    }

    fn can_resume(&self) -> bool {
        matches!(self.content, Content::Ranges(_))
    }

    fn kind(&self) -> Kind {
        Kind::Http
    }

    fn identity(&self) -> map::Source {
        let pin = self.pin();
        map::Source {
            path: self.path.clone(),
            kind: "http".to_owned(),
            size: pin.size,
            mtime_ns: pin.modified_at().map(|seconds| i128::from(seconds) * 1_000_000_000),
            ctime_ns: None,
            may_change: false,
            id: pin.id(),
        }
    }

    fn stated_digests(&self) -> Vec<Expectation> {
        self.pin().stated.clone()
    }

    fn change(&self) -> io::Result<Option<SourceChange>> {
        Ok(match &self.content {
            Content::Ranges(object) => object.change(),
            // One answer is of one object.
            Content::Whole(_) => None,
        })
    }

    fn open_beside(&self, path: &Path, cancel: &CancelToken) -> Option<Result<Arc<dyn Origin>>> {
        let address = path.to_str()?;
        let server = address::server(address);
        if server.is_none() || server != address::server(self.path.to_str()?) {
            return None;
        }
        let opened = HttpOrigin::open_by(Arc::clone(&self.client), address, cancel);
        Some(opened.map(|origin| Arc::new(origin) as Arc<dyn Origin>))
    }

    fn end(&self) -> End {
        if !self.can_resume() {
            return End::default();
        }
        let pace = pace::of(self.latency, self.client.remote().connections);
        End { pace: Some(pace), ..End::default() }
    }

    /// As a source that no page cache holds; a stream is as fast as it comes.
    fn cache_state(&self, _range: ByteRange) -> CacheState {
        if self.can_resume() { CacheState::Cold } else { CacheState::Warm }
    }

    fn listen_to(&self, cancel: &CancelToken) {
        self.client.stop().listen_to(cancel);
    }

    fn note(&self) -> Option<String> {
        let name = quoted(&self.path);
        let object = match &self.content {
            Content::Ranges(object) => object,
            Content::Whole(whole) => return Some(self.note_of_whole(whole)),
        };
        if !object.pin().is_firm() {
            return Some(format!(
                "the server says nothing by which {name} can be told from another object of the \
                 same size: a change during the copy would not be noticed"
            ));
        }
        let found = object.location();
        found.is_redirected.then(|| format!("{name} is redirected to {}", found.shown()))
    }
}
