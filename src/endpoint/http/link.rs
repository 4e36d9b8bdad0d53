//! Connections: a name to addresses, an address to a socket, a socket to bytes.
//! Every wait hears a wish to stop and ends when nothing came for too long.
//!
//! The traits are those of `ureq`, which does the HTTP, and wraps what is made
//! here in TLS.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout, Transport,
};
use ureq::{Error, Timeout};

use super::fault::Fault;
use super::stop::{MOMENT, Stop};
use crate::error::plain;
use crate::progress::lock;
use crate::sync::Mutex;

/// Most addresses of one name that are tried: as many as `ureq` has room for.
const MOST_ADDRESSES: usize = 16;

/// How connections wait.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    pub stop: Arc<Stop>,
    /// How long nothing may come.
    pub limit: Duration,
    /// From the last request that was sent to what has come since, in microseconds.
    pub answered_in: Arc<AtomicU64>,
}

/// How long the addresses of a name are believed. Each request asks for them, also
/// where there is a connection already.
const BELIEVED: Duration = Duration::from_secs(10);

/// Names to addresses.
#[derive(Debug)]
pub(super) struct Names {
    waiting: Waiting,
    last: Mutex<Option<Known>>,
}

/// What a name was found to be.
#[derive(Debug)]
struct Known {
    place: String,
    addresses: Vec<SocketAddr>,
    at: Instant,
}

impl Names {
    pub fn new(waiting: Waiting) -> Names {
        Names { waiting, last: Mutex::default() }
    }

    fn known(&self, place: &str) -> Option<Vec<SocketAddr>> {
        let last = lock(&self.last);
        let is_it = |known: &&Known| known.place == place && known.at.elapsed() < BELIEVED;
        last.as_ref().filter(is_it).map(|known| known.addresses.clone())
    }

    fn look_up(&self, place: String) -> Result<Vec<SocketAddr>, Error> {
        if let Some(addresses) = self.known(&place) {
            return Ok(addresses);
        }
        let name = place.clone();
        let look_up = move || Ok(name.to_socket_addrs()?.collect::<Vec<_>>());
        let found = self.waiting.stop.wait_for(self.waiting.limit, look_up);
        let addresses = found.map_err(|error| match super::fault::of_error(&error) {
            Some(_) => Error::Io(error),
            None => Error::HostNotFound,
        })?;
        let known = Known { place, addresses: addresses.clone(), at: Instant::now() };
        *lock(&self.last) = Some(known);
        Ok(addresses)
    }
}

impl Resolver for Names {
    fn resolve(
        &self,
        uri: &Uri,
        _config: &Config,
        _timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        let (Some(scheme), Some(authority)) = (uri.scheme(), uri.authority()) else {
            return Err(Error::HostNotFound);
        };
        let place = DefaultResolver::host_and_port(scheme, authority).ok_or(Error::HostNotFound)?;
        let found = self.look_up(place)?;
        let mut addresses = self.empty();
        found.into_iter().take(MOST_ADDRESSES).for_each(|address| addresses.push(address));
        if addresses.is_empty() { Err(Error::HostNotFound) } else { Ok(addresses) }
    }
}

/// Addresses to connections.
#[derive(Debug)]
pub(super) struct Dial(pub Waiting);

impl<In: Transport> Connector<In> for Dial {
    type Out = Either<In, Link>;

    fn connect(
        &self,
        details: &ConnectionDetails,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, Error> {
        if let Some(made) = chained {
            // By way of a proxy.
            return Ok(Some(Either::A(made)));
        }
        let (addresses, limit) = (details.addrs.to_vec(), self.0.limit);
        let made = self.0.stop.wait_for(limit, move || first_that_answers(&addresses, limit));
        let stream = match made {
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                return Err(Error::Timeout(Timeout::Connect));
            }
            made => made?,
        };
        stream.set_nodelay(true)?;
        // The system wakes every wait, to look whether somebody asks to stop.
        stream.set_read_timeout(Some(MOMENT))?;
        stream.set_write_timeout(Some(MOMENT))?;
        let buffers = LazyBuffers::new(
            details.config.input_buffer_size(),
            details.config.output_buffer_size(),
        );
        let (waiting, sent) = (self.0.clone(), Instant::now());
        Ok(Some(Either::B(Link { stream, buffers, waiting, sent })))
    }
}

fn first_that_answers(addresses: &[SocketAddr], limit: Duration) -> io::Result<TcpStream> {
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in addresses {
        match TcpStream::connect_timeout(address, limit) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// A connection.
#[derive(Debug)]
pub(super) struct Link {
    stream: TcpStream,
    buffers: LazyBuffers,
    waiting: Waiting,
    /// When something was sent last.
    sent: Instant,
}

impl Link {
    /// After a call that moved nothing because of `error`: waits on, or says why not.
    fn wait_on(&self, error: io::Error, begin: Instant, timeout: NextTimeout) -> Result<(), Error> {
        use io::ErrorKind::{
            ConnectionAborted, ConnectionReset, Interrupted, TimedOut, WouldBlock,
        };
        if matches!(error.kind(), ConnectionAborted | ConnectionReset) {
            // Or it would be taken for the end of a body without a length.
            return Err(Error::Io(Fault::Connection(plain(&error)).into()));
        }
        if !matches!(error.kind(), Interrupted | TimedOut | WouldBlock) {
            return Err(Error::Io(error));
        }
        self.waiting.stop.check().map_err(|fault| Error::Io(fault.into()))?;
        let limit =
            timeout.not_zero().map_or(self.waiting.limit, |most| self.waiting.limit.min(*most));
        if begin.elapsed() >= limit { Err(Error::Timeout(timeout.reason)) } else { Ok(()) }
    }
}

impl Transport for Link {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        let (mut sent, mut begin) = (0, Instant::now());
        while sent < amount {
            match (&self.stream).write(&self.buffers.output()[sent..amount]) {
                Ok(0) => return Err(Error::Io(io::ErrorKind::WriteZero.into())),
                Ok(count) => (sent, begin) = (sent + count, Instant::now()),
                Err(error) => self.wait_on(error, begin, timeout)?,
            }
        }
        self.sent = Instant::now();
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        let begin = Instant::now();
        loop {
            match (&self.stream).read(self.buffers.input_append_buf()) {
                Ok(count) => {
                    self.buffers.input_appended(count);
                    let time = self.sent.elapsed().as_micros();
                    let time = u64::try_from(time).unwrap_or(u64::MAX);
                    self.waiting.answered_in.store(time, Relaxed);
                    return Ok(count > 0);
                }
                Err(error) => self.wait_on(error, begin, timeout)?,
            }
        }
    }

    /// Whether the server still listens, and has not said anything unasked.
    fn is_open(&mut self) -> bool {
        let nothing_came = |error: io::Error| error.kind() == io::ErrorKind::WouldBlock;
        self.stream.set_nonblocking(true).is_ok()
            && self.stream.peek(&mut [0]).is_err_and(nothing_came)
            && self.stream.set_nonblocking(false).is_ok()
    }
}
