//! One request, and its reply or the reason why there is none; and how to go on
//! after a reason that may pass. Which object is asked for is not known here.

use std::io;
#[cfg(feature = "s3")]
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use ureq::http::{HeaderMap, Response, StatusCode};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig};
use ureq::unversioned::transport::{ConnectProxyConnector, Connector, RustlsConnector};
use ureq::{Agent, Body, BodyReader, Error, Proxy};

use super::fault::{self, Fault};
use super::gate::{Gate, Pass};
use super::link::{Dial, Names, Waiting};
use super::location::Location;
use super::reply;
use super::stop::Stop;
use crate::error::{plain, quoted};
use crate::options::{Remote, Secret};
use crate::range::ByteRange;

/// What comes in at once, in bytes. More does not make it faster.
const INPUT: usize = 256 << 10;

/// What goes out at once, in bytes: the longest request.
const OUTPUT: usize = 64 << 10;

/// Connections that are kept, though nothing is under way on them.
const IDLE: usize = 1024;

/// How long they are kept: servers often close them after a minute.
const LONGEST_IDLE: Duration = Duration::from_secs(55);

/// Longest wait that a server is granted.
const LONGEST_WAIT: Duration = Duration::from_secs(120);

/// Time before the second repetition of a request, as a part of how long a server
/// may say nothing: a quarter of a second of the usual 30. It doubles from there.
const FIRST_DELAY: u32 = 120;

/// Longest time between two tries that no server asked for, likewise.
const LONGEST_DELAY: u32 = 2;

/// Longest redirection, in steps.
const MOST_REDIRECTS: usize = 10;

/// What makes requests.
pub(in crate::endpoint) struct Client {
    /// For `http:` and for `https:`, which may have different proxies.
    plain: Agent,
    secure: Agent,
    stop: Arc<Stop>,
    /// See [`Waiting`].
    answered_in: Arc<AtomicU64>,
    gate: Gate,
    remote: Remote,
}

/// A request that is not for a range of an object.
#[cfg(feature = "s3")]
#[derive(Clone)]
pub(in crate::endpoint) struct Outgoing<'a> {
    pub method: ureq::http::Method,
    pub location: &'a Location,
    /// What is said besides: name and value.
    pub headers: Vec<(&'a str, &'a str)>,
    /// `None` where there is no place for one.
    pub body: Option<&'a [u8]>,
}

/// What an attempt brought, and its place among the requests under way.
pub(in crate::endpoint) struct Held<'a, T> {
    pub value: T,
    pub pass: Pass<'a>,
}

/// What a server says.
pub(in crate::endpoint) struct Reply(Response<Body>);

impl Client {
    /// With what the user wants.
    ///
    /// # Errors
    ///
    /// A file of certificates that cannot be used, or a proxy, in words.
    pub fn new(remote: &Remote) -> Result<Client, String> {
        let stop = Arc::new(Stop::default());
        let answered_in = Arc::new(AtomicU64::new(0));
        let tls = TlsConfig::builder().root_certs(roots(remote)?).build();
        let agent = |address: Option<&Secret>| {
            let proxy = address.map(|address| proxy(address, remote)).transpose()?;
            let config = Agent::config_builder()
                .http_status_as_error(false)
                .max_redirects(0)
                .max_redirects_will_error(false)
                .proxy(proxy)
                .tls_config(tls.clone())
                .user_agent(concat!("pcopy/", env!("CARGO_PKG_VERSION")))
                .accept_encoding("identity")
                .input_buffer_size(INPUT)
                .output_buffer_size(OUTPUT)
                .max_idle_connections(IDLE)
                .max_idle_connections_per_host(IDLE)
                .max_idle_age(LONGEST_IDLE)
                .timeout_recv_response(Some(remote.timeout * 2))
                .build();
            let waiting = Waiting {
                stop: Arc::clone(&stop),
                limit: remote.timeout,
                answered_in: Arc::clone(&answered_in),
            };
            let connector =
                ().chain(ConnectProxyConnector::default())
                    .chain(Dial(waiting.clone()))
                    .chain(RustlsConnector::default());
            Ok::<_, String>(Agent::with_parts(config, connector, Names::new(waiting)))
        };
        Ok(Client {
            plain: agent(remote.proxies.http.as_ref())?,
            secure: agent(remote.proxies.https.as_ref())?,
            stop: Arc::clone(&stop),
            answered_in: Arc::clone(&answered_in),
            gate: Gate::default(),
            remote: remote.clone(),
        })
    }

    /// Who may ask to stop.
    pub fn stop(&self) -> &Stop {
        &self.stop
    }

    /// How long the last answer took, to its end as far as that has come.
    pub fn latency(&self) -> Duration {
        Duration::from_micros(self.answered_in.load(Relaxed))
    }

    /// What the user wants.
    pub fn remote(&self) -> &Remote {
        &self.remote
    }

    /// Asks for `range`, which is not empty, of the object with the tag `tag`.
    pub fn get(
        &self,
        location: &Location,
        range: ByteRange,
        tag: Option<&str>,
    ) -> Result<Reply, Fault> {
        let agent = self.agent(location);
        let range = format!("bytes={}-{}", range.start(), range.end().saturating_sub(1));
        let mut request = agent.get(location.current()).header("Range", range);
        for header in location.headers() {
            request = request.header(&header.name, header.value.reveal());
        }
        if let Some(tag) = tag {
            request = request.header("If-Match", tag);
        }
        let reply = request.call().map(Reply).map_err(|error| self.fault(error))?;
        location.judge(reply)
    }

    /// Makes a request of another kind, with a body that may be empty.
    #[cfg(feature = "s3")]
    pub fn send(&self, request: Outgoing<'_>) -> Result<Reply, Fault> {
        let Outgoing { method, location, headers, body } = request;
        let mut made = ureq::http::Request::builder().method(method).uri(location.current());
        let said = location.headers().iter();
        for (name, value) in said.map(|one| (&*one.name, one.value.reveal())).chain(headers) {
            made = made.header(name, value);
        }
        let agent = self.agent(location);
        let odd = |error| Fault::Protocol(plain(&error));
        let reply = match body {
            None => agent.run(made.body(()).map_err(odd)?),
            Some(body) => agent.run(made.body(body).map_err(odd)?),
        };
        location.judge(reply.map(Reply).map_err(|error| self.fault(error))?)
    }

    fn agent(&self, location: &Location) -> &Agent {
        if location.is_secure() { &self.secure } else { &self.plain }
    }

    /// The same, by however many redirections; and where the object is.
    pub fn find(&self, from: &Location, range: ByteRange) -> Result<Found, Fault> {
        let mut location = from.clone();
        for _ in 0..=MOST_REDIRECTS {
            let reply = self.get(&location, range, None)?;
            if !reply.is_redirection() {
                return Ok(Found { location, reply });
            }
            let target = reply::text(reply.headers(), "location");
            let nowhere = || Fault::Redirect("it is redirected, and not said whereto".to_owned());
            location = location.follow(target.ok_or_else(nowhere)?, &self.remote)?;
        }
        let steps = format!("it is redirected more than {MOST_REDIRECTS} times");
        Err(Fault::Redirect(steps))
    }

    /// Makes `attempt` until it succeeds, as long as what it fails of may pass.
    ///
    /// # Errors
    ///
    /// The last one.
    pub fn persist<T>(
        &self,
        tries: u32,
        attempt: impl FnMut() -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        Ok(self.hold(tries, attempt)?.value)
    }

    /// The same, of which something is still to come.
    pub fn hold<T>(
        &self,
        tries: u32,
        attempt: impl FnMut() -> Result<T, Fault>,
    ) -> Result<Held<'_, T>, Fault> {
        self.hold_after(0, tries, attempt)
    }

    /// The same where `failed` tries before these brought so little that they count.
    pub fn hold_after<T>(
        &self,
        failed: u32,
        tries: u32,
        mut attempt: impl FnMut() -> Result<T, Fault>,
    ) -> Result<Held<'_, T>, Fault> {
        if let Some(before) = failed.checked_sub(1) {
            let fault = Fault::Connection(CLOSED.to_owned());
            if before >= tries {
                return Err(fault);
            }
            self.stop.sleep(self.delay(before, &fault))?;
        }
        let mut made = failed;
        loop {
            let pass = self.gate.enter(&self.stop)?;
            let result = attempt();
            let fault = match result {
                Ok(value) => {
                    self.gate.has_answered();
                    return Ok(Held { value, pass });
                }
                Err(fault) => fault,
            };
            self.stop.check()?;
            if !fault.is_passing() || made >= tries {
                drop(pass);
                return Err(fault);
            }
            let asked = fault.wait().unwrap_or_default();
            if let Some(status) = fault.status().filter(|_| asked > LONGEST_WAIT) {
                return Err(Fault::LongWait { status, wait: asked });
            }
            // A server that asks for no time at all gets the usual time even so.
            let wait = asked.max(self.delay(made, &fault));
            made += 1;
            if fault.is_of_load() {
                self.gate.is_overloaded(wait);
            }
            drop(pass);
            self.stop.sleep(wait)?;
        }
    }

    /// Time before the next try, when `made` repetitions have failed. A connection
    /// that broke is made again at once; what is refused at one moment comes back
    /// at different ones.
    fn delay(&self, made: u32, fault: &Fault) -> Duration {
        static CALLS: AtomicU64 = AtomicU64::new(0);
        let doublings = match fault {
            Fault::Connection(_) | Fault::WrongRange { .. } if made == 0 => return Duration::ZERO,
            Fault::Connection(_) | Fault::WrongRange { .. } => made - 1,
            _ => made,
        };
        let timeout = self.remote.timeout;
        let time = (timeout / FIRST_DELAY).saturating_mul(1 << doublings.min(16));
        // Multiples of the golden ratio lie everywhere between 0 and 1.
        let spread = (CALLS.fetch_add(1, Relaxed) as f64 * 0.618_034).fract();
        time.min(timeout / LONGEST_DELAY).mul_f64(0.75 + spread / 2.0)
    }

    fn fault(&self, error: Error) -> Fault {
        match error {
            Error::Io(error) => self.fault_of_io(error),
            Error::Timeout(_) => Fault::Timeout(self.remote.timeout),
            Error::HostNotFound => {
                Fault::Unreachable("the name of the server is not known".to_owned())
            }
            Error::ConnectProxyFailed(why) => {
                Fault::Unreachable(format!("the proxy does not connect to the server: {why}"))
            }
            Error::Tls(why) => Fault::Tls(why.to_owned()),
            Error::Rustls(error) => Fault::Tls(plain(&error)),
            error => Fault::Protocol(plain(&error)),
        }
    }

    pub fn fault_of_io(&self, error: io::Error) -> Fault {
        use io::ErrorKind::{
            AddrNotAvailable, ConnectionRefused, HostUnreachable, InvalidData, NetworkUnreachable,
            UnexpectedEof,
        };
        if let Some(fault) = fault::of_error(&error) {
            return fault.clone();
        }
        if error.get_ref().is_some_and(|inner| inner.is::<Error>()) {
            return self.fault(Error::from(error));
        }
        match error.kind() {
            InvalidData => Fault::Tls(plain(&error)),
            UnexpectedEof => Fault::Connection(CLOSED.to_owned()),
            AddrNotAvailable | ConnectionRefused | HostUnreachable | NetworkUnreachable => {
                Fault::Unreachable(plain(&error))
            }
            _ => Fault::Connection(plain(&error)),
        }
    }
}

/// What a connection did that ended too early.
pub(super) const CLOSED: &str = "the server closed the connection in the middle of an answer";

/// Where an object is, and what was said there.
pub(in crate::endpoint) struct Found {
    pub location: Location,
    pub reply: Reply,
}

impl Reply {
    pub fn headers(&self) -> &HeaderMap {
        self.0.headers()
    }

    pub fn status(&self) -> StatusCode {
        self.0.status()
    }

    /// What it holds, to be read once.
    pub fn into_body(self) -> BodyReader<'static> {
        self.0.into_body().into_reader()
    }

    /// The same as a part of an object, which it is although its status says otherwise.
    #[cfg(feature = "s3")]
    pub fn into_part(mut self) -> Reply {
        *self.0.status_mut() = StatusCode::PARTIAL_CONTENT;
        self
    }

    /// All that it says, as text, up to `most` bytes.
    #[cfg(feature = "s3")]
    pub fn into_text(self, most: u64) -> Result<String, Fault> {
        let mut bytes = Vec::new();
        let read = self.0.into_body().into_reader().take(most).read_to_end(&mut bytes);
        match read {
            Ok(_) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
            Err(error) => match fault::of_error(&error) {
                Some(fault) => Err(fault.clone()),
                None => Err(Fault::Connection(plain(&error))),
            },
        }
    }

    /// Whether the object is elsewhere.
    fn is_redirection(&self) -> bool {
        matches!(self.0.status().as_u16(), 301 | 302 | 303 | 307 | 308)
    }

    /// A reply that is not part of an object, as an error.
    pub fn fault(&self) -> Fault {
        let wait = reply::retry_after(self.headers());
        Fault::Status { status: self.status().as_u16(), wait }
    }
}

/// Who is trusted.
fn roots(remote: &Remote) -> Result<RootCerts, String> {
    let Some(path) = &remote.ca_file else { return Ok(RootCerts::WebPki) };
    let cannot = |why: &dyn std::error::Error| {
        format!("the certificates in {} cannot be used: {}", quoted(path), plain(why))
    };
    let text = std::fs::read(path).map_err(|error| cannot(&error))?;
    let mut certificates: Vec<Certificate<'static>> = Vec::new();
    for item in ureq::tls::parse_pem(&text) {
        if let PemItem::Certificate(certificate) = item.map_err(|error| cannot(&error))? {
            certificates.push(certificate);
        }
    }
    if certificates.is_empty() {
        return Err(format!("there is no certificate in {}", quoted(path)));
    }
    Ok(RootCerts::new_with_certs(&certificates))
}

/// The proxy at an address, which an error does not repeat.
fn proxy(address: &Secret, remote: &Remote) -> Result<Proxy, String> {
    let address = address.reveal();
    let unusable = |_| "the proxy has an address that cannot be used".to_owned();
    let named = Proxy::new(address).map_err(unusable)?;
    if !matches!(named.protocol(), ureq::ProxyProtocol::Http | ureq::ProxyProtocol::Https) {
        return Err("the proxy is not one for HTTP, and no other kind is known".to_owned());
    }
    let mut made = Proxy::builder(named.protocol()).host(named.host()).port(named.port());
    if let Some(user) = named.username() {
        made = made.username(user);
    }
    if let Some(password) = named.password() {
        made = made.password(password);
    }
    let is_between = |c: char| c == ',' || c.is_whitespace();
    let except = remote.proxies.except.iter().flat_map(|all| all.split(is_between));
    for host in except.map(|host| host.trim().trim_start_matches('.')) {
        // A name stands for all below it.
        if !host.is_empty() {
            made = made.no_proxy(host).no_proxy(&format!(".{host}"));
        }
    }
    made.build().map_err(unusable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_without_a_proxy_are_named_with_all_below_them() {
        let mut remote = Remote::default();
        remote.proxies.except = Some("example.test, .other.test 127.0.0.1".to_owned());
        let made = proxy(&Secret::new("http://proxy:1"), &remote).unwrap();
        let check = |host: &str, wanted| {
            let uri = format!("http://{host}/x").parse().unwrap();
            assert_eq!(made.is_no_proxy(&uri), wanted, "{host}");
        };
        for host in ["example.test", "sub.example.test", "a.b.EXAMPLE.test", "other.test"] {
            check(host, true);
        }
        check("x.other.test", true);
        check("127.0.0.1", true);
        check("notexample.test", false);
        check("example.test.org", false);
        remote.proxies.except = Some("*".to_owned());
        assert!(
            proxy(&Secret::new("http://p:1"), &remote)
                .unwrap()
                .is_no_proxy(&"http://any/x".parse().unwrap())
        );
    }
}
