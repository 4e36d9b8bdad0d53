//! A server of HTTP/1.1 that answers as a test wants: well, or with every fault
//! that servers, and what lies before them, are known for.

#[cfg(feature = "s3")]
#[path = "server/s3.rs"]
pub mod s3;
#[cfg(all(unix, feature = "s3"))]
#[path = "server/way.rs"]
pub mod way;

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// How soon a waiting server sees that its test is over.
const MOMENT: Duration = Duration::from_millis(10);

/// The certificate that the server is believed by.
pub const CA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/suite/server/ca.pem");

/// A request, as it came.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    pub target: String,
    /// Names in lower case.
    pub headers: HashMap<String, String>,
    #[allow(dead_code)]
    pub body: Vec<u8>,
    /// How many came before it.
    pub number: usize,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// The bytes asked for.
    pub fn range(&self) -> Option<Range<u64>> {
        let (first, last) = self.header("range")?.strip_prefix("bytes=")?.split_once('-')?;
        Some(first.parse().ok()?..last.parse::<u64>().ok()? + 1)
    }
}

/// A head as it would be sent, for tests that send something like it.
pub fn head(reply: &Reply) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {} X\r\n", reply.status);
    for (name, value) in &reply.headers {
        head += &format!("{name}: {value}\r\n");
    }
    head += &format!("Content-Length: {}\r\n\r\n", reply.body.len());
    head.into_bytes()
}

/// What becomes of a body on its way.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Body {
    /// It arrives.
    #[default]
    Whole,
    /// After so many bytes the connection is closed.
    Cut(usize),
    /// After so many bytes nothing comes any more.
    Stalled(usize),
    /// After so many bytes nothing more is sent, and the connection is held.
    HalfClosed(usize),
    /// So many bytes come one by one, and then the others.
    Dribble(usize),
    /// The body is all there is: no head.
    Raw,
    /// The body goes past TLS, if there is any, where it means nothing.
    Torn,
    /// Nothing of the answer comes, and the connection is closed.
    Lost,
    /// In chunks, without a length.
    Chunked,
    /// In chunks, and after so many bytes the connection is closed.
    ChunkedCut(usize),
    /// Without a length, to the end of the connection.
    ToTheEnd,
}

/// An answer.
#[derive(Clone, Debug, Default)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub way: Body,
    /// The connection is closed after it.
    pub closes: bool,
    /// Before the first byte of it.
    pub delay: Duration,
}

impl Reply {
    pub fn status(status: u16) -> Reply {
        Reply { status, ..Reply::default() }
    }

    #[must_use]
    pub fn with(mut self, name: &str, value: impl ToString) -> Reply {
        self.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }

    #[must_use]
    pub fn without(mut self, name: &str) -> Reply {
        self.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self
    }

    #[must_use]
    pub fn way(self, way: Body) -> Reply {
        Reply { way, ..self }
    }
}

/// Something to hand out, by the rules.
#[derive(Clone, Debug)]
pub struct Object {
    pub bytes: Arc<Vec<u8>>,
    pub tag: Option<String>,
    pub modified: Option<String>,
}

impl Object {
    pub fn new(bytes: &[u8]) -> Object {
        Object {
            bytes: Arc::new(bytes.to_vec()),
            tag: Some("\"one\"".to_owned()),
            modified: Some("Sun, 06 Nov 1994 08:49:37 GMT".to_owned()),
        }
    }

    #[must_use]
    pub fn tagged(self, tag: &str) -> Object {
        Object { tag: (!tag.is_empty()).then(|| tag.to_owned()), ..self }
    }

    /// What a server answers that knows no ranges.
    pub fn whole(&self) -> Reply {
        let mut reply = Reply { body: self.bytes.to_vec(), ..Reply::status(200) };
        for (name, value) in [("ETag", &self.tag), ("Last-Modified", &self.modified)] {
            if let Some(value) = value {
                reply = reply.with(name, value);
            }
        }
        reply
    }

    /// What a server without faults answers.
    pub fn answer(&self, request: &Request) -> Reply {
        let mut reply = Reply::status(200);
        if let Some(tag) = &self.tag {
            reply = reply.with("ETag", tag);
        }
        if let Some(modified) = &self.modified {
            reply = reply.with("Last-Modified", modified);
        }
        let is_same =
            |wanted: &str| Some(wanted) == self.tag.as_deref() && !wanted.starts_with("W/");
        if request.header("if-match").is_some_and(|wanted| !is_same(wanted)) {
            return Reply { status: 412, ..reply };
        }
        let len = self.bytes.len() as u64;
        match request.range() {
            None => Reply { body: self.bytes.to_vec(), ..reply },
            Some(range) if range.start >= len => {
                Reply { status: 416, ..reply }.with("Content-Range", format!("bytes */{len}"))
            }
            Some(range) => {
                let end = range.end.min(len);
                let body = self.bytes[range.start as usize..end as usize].to_vec();
                let described = format!("bytes {}-{}/{len}", range.start, end - 1);
                Reply { status: 206, body, ..reply }.with("Content-Range", described)
            }
        }
    }
}

type Handler = dyn Fn(&Request) -> Reply + Send + Sync;

struct Shared {
    handler: Box<Handler>,
    log: Mutex<Vec<Request>>,
    connections: AtomicUsize,
    over: AtomicBool,
    tls: Option<Arc<rustls::ServerConfig>>,
}

/// A server that is there as long as this is.
pub struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    listening: Option<JoinHandle<()>>,
}

impl Server {
    pub fn start(handler: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Server {
        let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
        Server::at(address, None, handler).expect("a port of this machine")
    }

    /// One that is asked by `https:`.
    pub fn secure(handler: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Server {
        let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
        Server::at(address, Some(tls_config()), handler).expect("a port of this machine")
    }

    /// One that hands out `bytes`, whatever the path.
    pub fn of(bytes: &[u8]) -> Server {
        let object = Object::new(bytes);
        Server::start(move |request| object.answer(request))
    }

    pub fn at(
        address: IpAddr,
        tls: Option<Arc<rustls::ServerConfig>>,
        handler: impl Fn(&Request) -> Reply + Send + Sync + 'static,
    ) -> std::io::Result<Server> {
        let listener = TcpListener::bind((address, 0))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            handler: Box::new(handler),
            log: Mutex::default(),
            connections: AtomicUsize::new(0),
            over: AtomicBool::new(false),
            tls,
        });
        let of_thread = Arc::clone(&shared);
        let listening = std::thread::spawn(move || {
            let join = |thread: JoinHandle<()>| thread.join().expect("no panic in the server");
            let mut serving: Vec<JoinHandle<()>> = Vec::new();
            while let Ok((stream, _)) = listener.accept() {
                if of_thread.over.load(SeqCst) {
                    break;
                }
                // A thread keeps its stack until it is joined: thousands would be too many.
                let (ended, others): (Vec<_>, Vec<_>) =
                    serving.into_iter().partition(JoinHandle::is_finished);
                ended.into_iter().for_each(join);
                serving = others;
                let shared = Arc::clone(&of_thread);
                serving.push(std::thread::spawn(move || shared.serve(stream)));
            }
            serving.into_iter().for_each(join);
        });
        Ok(Server { address, shared, listening: Some(listening) })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address of something on it.
    pub fn url(&self, path: &str) -> String {
        let scheme = if self.shared.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}/{path}", self.address)
    }

    /// Every request so far.
    pub fn log(&self) -> Vec<Request> {
        self.shared.log.lock().unwrap().clone()
    }

    /// How many requests came so far.
    #[cfg(unix)]
    pub fn requests(&self) -> usize {
        self.shared.log.lock().unwrap().len()
    }

    /// Connections that were made so far.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(SeqCst)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.over.store(true, SeqCst);
        let _ = TcpStream::connect(self.address);
        self.listening.take().map(JoinHandle::join);
    }
}

trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

impl Shared {
    fn serve(&self, stream: TcpStream) {
        self.connections.fetch_add(1, SeqCst);
        stream.set_read_timeout(Some(MOMENT)).unwrap();
        stream.set_nodelay(true).unwrap();
        let socket = stream.try_clone().unwrap();
        let stream: Box<dyn Stream> = match &self.tls {
            None => Box::new(stream),
            Some(config) => {
                let connection = rustls::ServerConnection::new(Arc::clone(config)).unwrap();
                Box::new(rustls::StreamOwned::new(connection, stream))
            }
        };
        let mut stream = BufReader::new(Patient { stream, over: &self.over });
        while let Some(request) = self.read_request(&mut stream) {
            let reply = (self.handler)(&request);
            if self.write_reply(stream.get_mut(), &socket, &reply).is_err() || reply.closes {
                break;
            }
        }
        let _ = socket.shutdown(std::net::Shutdown::Both);
    }

    fn read_request(&self, stream: &mut impl BufRead) -> Option<Request> {
        let mut line = String::new();
        stream.read_line(&mut line).ok().filter(|&count| count > 0)?;
        let mut words = line.split_whitespace();
        let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
        let mut headers = HashMap::new();
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).ok().filter(|&count| count > 0)?;
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
        let length = headers.get("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        stream.read_exact(&mut body).ok()?;
        let mut log = self.log.lock().unwrap();
        let request = Request { method, target, headers, body, number: log.len() };
        log.push(Request { body: Vec::new(), ..request.clone() });
        Some(request)
    }

    fn write_reply(
        &self,
        stream: &mut Patient<'_>,
        socket: &TcpStream,
        reply: &Reply,
    ) -> std::io::Result<()> {
        if !reply.delay.is_zero() {
            std::thread::sleep(reply.delay);
        }
        if reply.way == Body::Lost {
            return Err(std::io::ErrorKind::ConnectionAborted.into());
        }
        let mut head = format!("HTTP/1.1 {} X\r\n", reply.status);
        for (name, value) in &reply.headers {
            head += &format!("{name}: {value}\r\n");
        }
        let has_length = reply.headers.iter().any(|(name, _)| name == "Content-Length");
        match reply.way {
            Body::Chunked | Body::ChunkedCut(_) => head += "Transfer-Encoding: chunked\r\n",
            Body::ToTheEnd => head += "Connection: close\r\n",
            _ if has_length => {}
            _ => head += &format!("Content-Length: {}\r\n", reply.body.len()),
        }
        head += "\r\n";
        if !matches!(reply.way, Body::Raw | Body::Torn) {
            stream.write_all(head.as_bytes())?;
        }
        let closed = || Err(std::io::ErrorKind::ConnectionAborted.into());
        match reply.way {
            Body::Whole | Body::Lost => stream.write_all(&reply.body)?,
            Body::ToTheEnd => {
                stream.write_all(&reply.body)?;
                stream.flush()?;
                return closed();
            }
            Body::Chunked => {
                write_chunks(stream, &reply.body)?;
                stream.write_all(b"0\r\n\r\n")?;
            }
            Body::ChunkedCut(at) => {
                write_chunks(stream, &reply.body[..at.min(reply.body.len())])?;
                stream.flush()?;
                return closed();
            }
            Body::HalfClosed(at) => {
                stream.write_all(&reply.body[..at.min(reply.body.len())])?;
                stream.flush()?;
                socket.shutdown(std::net::Shutdown::Write)?;
                while stream.read(&mut [0; 1000])? > 0 {}
                return closed();
            }
            Body::Dribble(count) => {
                let (slow, rest) = reply.body.split_at(count.min(reply.body.len()));
                for byte in slow {
                    stream.write_all(&[*byte])?;
                    stream.flush()?;
                }
                stream.write_all(rest)?;
            }
            Body::Raw => {
                stream.write_all(&reply.body)?;
                stream.flush()?;
                return closed();
            }
            Body::Torn => {
                (&*socket).write_all(&reply.body)?;
                return closed();
            }
            Body::Cut(at) => {
                stream.write_all(&reply.body[..at.min(reply.body.len())])?;
                stream.flush()?;
                return closed();
            }
            Body::Stalled(at) => {
                stream.write_all(&reply.body[..at.min(reply.body.len())])?;
                stream.flush()?;
                while !self.over.load(SeqCst) {
                    std::thread::sleep(MOMENT);
                }
                return closed();
            }
        }
        stream.flush()
    }
}

fn write_chunks(stream: &mut impl Write, bytes: &[u8]) -> std::io::Result<()> {
    for chunk in bytes.chunks(1000) {
        stream.write_all(format!("{:x}\r\n", chunk.len()).as_bytes())?;
        stream.write_all(chunk)?;
        stream.write_all(b"\r\n")?;
    }
    Ok(())
}

/// A stream whose reads wait until something comes, or the test is over.
struct Patient<'a> {
    stream: Box<dyn Stream>,
    over: &'a AtomicBool,
}

impl Read for Patient<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        use std::io::ErrorKind::{TimedOut, WouldBlock};
        loop {
            match self.stream.read(buffer) {
                Err(error) if matches!(error.kind(), WouldBlock | TimedOut) => {}
                result => return result,
            }
            if self.over.load(SeqCst) {
                return Ok(0);
            }
        }
    }
}

impl Write for Patient<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.stream.flush()
    }
}

fn tls_config() -> Arc<rustls::ServerConfig> {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    let certificate = include_bytes!("server/certificate.pem");
    let chain = CertificateDer::pem_slice_iter(certificate).map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_slice(include_bytes!("server/key.pem")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    Arc::new(config)
}
