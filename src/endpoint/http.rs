//! An object that a server hands out over HTTP: read by ranges, in parallel.
//!
//! Every reply must be of the object that was opened (`pin`) and hold exactly
//! the bytes that were asked for (`object`). What fails on its way is asked for
//! again (`client`), at a pace that the server can bear (`gate`). Credentials
//! stay with the server they are for (`location`). Nothing here reads the
//! environment: what a program takes from there, it hands over as
//! [`Remote`].

mod client;
mod fault;
mod gate;
mod link;
mod location;
mod object;
mod pin;
mod reply;
mod stop;

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Kind, ObjectId, Origin};
use crate::address;
use crate::durable::map;
use crate::engine::capabilities::{End, Pace};
use crate::error::{ErrorKind, Refusal, Result, Side, SourceChange, WantsCredentials, quoted};
use crate::io::Source;
use crate::io::page_cache::CacheState;
use crate::options::Remote;
use crate::progress::CancelToken;
use crate::range::ByteRange;
use client::Client;
use fault::Fault;
use location::Location;
use object::Object;

/// Bytes of a request: at 50 ms each and 16 at once, a gigabyte a second.
const REQUEST: u64 = 4 << 20;

/// Requests under way at the beginning, before anything is known.
const CONNECTIONS_AT_FIRST: usize = 16;

/// Most connections that are tried unasked.
const MOST_CONNECTIONS: usize = 32;

/// An object on a server, open for reading.
pub struct HttpOrigin {
    /// Its address, without credentials.
    path: PathBuf,
    /// What a copy is called in a directory; empty where the address does not say.
    name: PathBuf,
    object: Arc<Object>,
}

impl HttpOrigin {
    /// Asks the server for the object at `address`, as far as it takes to know
    /// that it can be read in ranges, how long it is, and by what it is known.
    /// Waits for an answer until `cancel` is used.
    ///
    /// # Errors
    ///
    /// [`Refusal::CannotOpen`], [`ErrorKind::Usage`] if the address makes no
    /// sense, [`ErrorKind::Cancelled`].
    pub fn open(address: &str, remote: &Remote, cancel: &CancelToken) -> Result<HttpOrigin> {
        let path = PathBuf::from(address::without_credentials(address));
        remote.check()?;
        let location = Location::new(address, remote)
            .map_err(|why| ErrorKind::usage(format!("{} {why}", quoted(&path))))?;
        let client = Client::new(remote).map_err(ErrorKind::usage)?;
        client.stop().listen_to(cancel);
        let object = Object::open(client, location).map_err(|fault| match fault {
            Fault::Stopped => ErrorKind::Cancelled,
            fault => cannot_open(&path, fault).into(),
        })?;
        let name = address::file_name(address).map_or_else(PathBuf::new, PathBuf::from);
        Ok(HttpOrigin { path, name, object: Arc::new(object) })
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
        self.object.clone()
    }

    fn kind(&self) -> Kind {
        Kind::Http
    }

    fn identity(&self) -> map::Source {
        let pin = self.object.pin();
        let tag = pin.strong_tag().map(str::to_owned);
        map::Source {
            path: self.path.clone(),
            kind: "http".to_owned(),
            size: pin.size,
            mtime_ns: pin.modified_at().map(|seconds| i128::from(seconds) * 1_000_000_000),
            ctime_ns: None,
            may_change: false,
            id: tag.map(|tag| ObjectId::Remote { tag }),
        }
    }

    fn change(&self) -> io::Result<Option<SourceChange>> {
        Ok(self.object.change())
    }

    fn end(&self) -> End {
        let remote = self.object.client().remote();
        let (start, most) = match remote.connections {
            Some(count) => (count, count),
            None => (CONNECTIONS_AT_FIRST, MOST_CONNECTIONS),
        };
        let pace = Some(Pace { request: REQUEST, start, most });
        End { pace, ..End::default() }
    }

    /// As a source that no page cache holds.
    fn cache_state(&self, _range: ByteRange) -> CacheState {
        CacheState::Cold
    }

    fn listen_to(&self, cancel: &CancelToken) {
        self.object.client().stop().listen_to(cancel);
    }

    fn note(&self) -> Option<String> {
        let name = quoted(&self.path);
        if !self.object.pin().is_firm() {
            return Some(format!(
                "the server says nothing by which {name} can be told from another object of the \
                 same size: a change during the copy would not be noticed"
            ));
        }
        let found = self.object.location();
        found.is_redirected.then(|| format!("{name} is redirected to {}", found.shown()))
    }
}
