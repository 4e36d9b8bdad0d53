//! Connections: a name to addresses, an address to a socket, a socket to bytes.
//! Every wait hears a wish to stop and ends when nothing came for too long.
//!
//! The traits are those of `ureq`, which does the HTTP, and wraps what is made
//! here in TLS.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout, Transport,
};
use ureq::{Error, Timeout};

use super::stop::{MOMENT, Stop};

/// Most addresses of one name that are tried: as many as `ureq` has room for.
const MOST_ADDRESSES: usize = 16;

/// How connections wait.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    pub stop: Arc<Stop>,
    /// How long nothing may come.
    pub limit: Duration,
}

/// Names to addresses.
#[derive(Debug)]
pub(super) struct Names(pub Waiting);

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
        let look_up = move || Ok(place.to_socket_addrs()?.collect::<Vec<_>>());
        let found = self.0.stop.wait_for(self.0.limit, look_up).map_err(|error| {
            if super::fault::of_error(&error).is_some() {
                return Error::Io(error);
            }
            Error::HostNotFound
        })?;
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
        Ok(Some(Either::B(Link { stream, buffers, waiting: self.0.clone() })))
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
}

impl Link {
    /// After a call that moved nothing because of `error`: waits on, or says why not.
    fn wait_on(&self, error: io::Error, begin: Instant, timeout: NextTimeout) -> Result<(), Error> {
        use io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
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
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        let begin = Instant::now();
        loop {
            match (&self.stream).read(self.buffers.input_append_buf()) {
                Ok(count) => {
                    self.buffers.input_appended(count);
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
