//! A service of S3 as far as a copy needs one: objects, versions, uploads in
//! parts, signatures that are checked by other code than that which makes them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use md5::Md5;
use sha2::{Digest, Sha256};

use super::{Body, Reply, Request, Server};

pub const KEY: &str = "AKIDEXAMPLE";
pub const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
pub const TOKEN: &str = "FQoGZXIvYXdzEXAMPLETOKEN==";
pub const REGION: &str = "eu-test-1";

/// The smallest part that is not the last.
pub const LEAST_PART: usize = 5 << 20;

/// What becomes of a request, besides what the rules say.
pub enum Fate {
    /// Nothing else.
    Done,
    /// It is not done, and this is the answer.
    Refused(Reply),
    /// It is done, and nobody is told.
    Lost,
}

/// How the service is.
#[derive(Clone, Copy, Debug)]
pub struct Manners {
    /// Whether it checks who asks.
    pub signed: bool,
    /// Whether it knows checksums of parts and of the whole.
    pub checksums: bool,
    /// Whether it hears that a name must not be taken.
    pub conditions: bool,
    /// Whether it keeps versions.
    pub versions: bool,
    /// Parts that it lists at once.
    pub page: usize,
}

impl Default for Manners {
    fn default() -> Manners {
        Manners { signed: true, checksums: true, conditions: true, versions: false, page: 1000 }
    }
}

/// An object.
#[derive(Clone, Debug)]
pub struct Stored {
    pub bytes: Arc<Vec<u8>>,
    pub tag: String,
    pub version: String,
    pub checksum: Option<String>,
}

/// An upload that is neither complete nor aborted.
#[derive(Clone, Debug, Default)]
pub struct Upload {
    pub path: String,
    pub parts: BTreeMap<u32, (Vec<u8>, String)>,
    pub checked: bool,
    pub begun: String,
}

/// A part that came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Came {
    pub number: u32,
    pub len: usize,
}

#[derive(Default)]
pub struct State {
    /// By path, `/bucket/key`; the last is the current version.
    pub objects: BTreeMap<String, Vec<Stored>>,
    pub uploads: BTreeMap<String, Upload>,
    pub came: Vec<Came>,
    count: u64,
}

type Fates = dyn Fn(&Request, &Query) -> Fate + Send + Sync;

/// What stands behind `?`, decoded.
pub type Query = BTreeMap<String, String>;

struct Service {
    state: Mutex<State>,
    manners: Manners,
    fates: Box<Fates>,
}

/// A service that is there as long as this is.
pub struct S3 {
    service: Arc<Service>,
    pub server: Server,
}

impl S3 {
    pub fn new() -> S3 {
        S3::with(Manners::default(), |_, _| Fate::Done)
    }

    pub fn with(
        manners: Manners,
        fates: impl Fn(&Request, &Query) -> Fate + Send + Sync + 'static,
    ) -> S3 {
        let service = Service { state: Mutex::default(), manners, fates: Box::new(fates) };
        let service = Arc::new(service);
        let of_server = Arc::clone(&service);
        let server = Server::start(move |request| of_server.answer(request));
        S3 { service, server }
    }

    /// Its address.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.server.address())
    }

    /// What a program has to be told to use it.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("AWS_ENDPOINT_URL_S3", self.endpoint()),
            ("AWS_REGION", REGION.to_owned()),
            ("AWS_ACCESS_KEY_ID", KEY.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", SECRET.to_owned()),
            ("AWS_SESSION_TOKEN", TOKEN.to_owned()),
            ("AWS_CONFIG_FILE", "/nowhere".to_owned()),
            ("AWS_SHARED_CREDENTIALS_FILE", "/nowhere".to_owned()),
        ]
    }

    pub fn put(&self, path: &str, bytes: &[u8]) {
        self.service.state.lock().unwrap().put(path, bytes.to_vec(), None);
    }

    pub fn get(&self, path: &str) -> Option<Vec<u8>> {
        let state = self.service.state.lock().unwrap();
        Some(state.objects.get(path)?.last()?.bytes.to_vec())
    }

    /// Whatever a test wants to know or to change.
    pub fn state<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.service.state.lock().unwrap())
    }
}

impl State {
    fn put(&mut self, path: &str, bytes: Vec<u8>, tag: Option<String>) -> Stored {
        self.count += 1;
        let tag = tag.unwrap_or_else(|| format!("\"{}\"", hex(&Md5::digest(&bytes))));
        let checksum = Some(checksum(&bytes));
        let version = format!("v{}", self.count);
        let stored = Stored { bytes: Arc::new(bytes), tag, version, checksum };
        self.objects.entry(path.to_owned()).or_default().push(stored.clone());
        stored
    }
}

fn checksum(bytes: &[u8]) -> String {
    BASE64_STANDARD.encode(crc32c::crc32c(bytes).to_be_bytes())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn refused(status: u16, code: &str) -> Reply {
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code>\
         <Message>This is {code} &amp; nothing else.</Message><RequestId>1</RequestId></Error>"
    );
    Reply { body: body.into_bytes(), ..Reply::status(status) }
}

impl Service {
    fn answer(&self, request: &Request) -> Reply {
        let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
        let query: Query = query
            .split('&')
            .filter(|part| !part.is_empty())
            .map(|part| part.split_once('=').unwrap_or((part, "")))
            .map(|(name, value)| (decoded(name), decoded(value)))
            .collect();
        if self.manners.signed
            && let Err(code) = check_signature(request)
        {
            return refused(403, code);
        }
        let fate = (self.fates)(request, &query);
        if let Fate::Refused(reply) = fate {
            return reply;
        }
        let reply = self.act(request, &decoded(path), &query);
        let is_head = request.method == "HEAD";
        let reply = match is_head {
            true => {
                let length = reply.body.len();
                Reply { body: Vec::new(), ..reply }.with("Content-Length", length)
            }
            false => reply,
        };
        if matches!(fate, Fate::Lost) { reply.lost() } else { reply }
    }

    fn act(&self, request: &Request, path: &str, query: &Query) -> Reply {
        let upload = query.get("uploadId");
        match (&*request.method, upload) {
            ("GET", None) if query.contains_key("uploads") => self.uploads(path, query),
            ("GET" | "HEAD", None) => self.read(request, path, query),
            ("PUT", None) => self.put(request, path),
            ("POST", None) if query.contains_key("uploads") => self.create(request, path),
            ("PUT", Some(id)) => self.part(request, id, query),
            ("GET", Some(id)) => self.list(id, query),
            ("POST", Some(id)) => self.complete(request, path, id),
            ("DELETE", Some(id)) => match self.state.lock().unwrap().uploads.remove(id) {
                Some(_) => Reply::status(204),
                None => refused(404, "NoSuchUpload"),
            },
            _ => refused(405, "MethodNotAllowed"),
        }
    }

    fn read(&self, request: &Request, path: &str, query: &Query) -> Reply {
        let state = self.state.lock().unwrap();
        let wanted = query.get("versionId");
        let found = state.objects.get(path).and_then(|all| match wanted {
            None => all.last(),
            Some(version) => all.iter().find(|one| one.version == *version),
        });
        let Some(object) = found.cloned() else {
            return refused(404, if wanted.is_some() { "NoSuchVersion" } else { "NoSuchKey" });
        };
        drop(state);
        let answered = super::Object {
            bytes: object.bytes,
            tag: Some(object.tag),
            modified: Some("Sun, 06 Nov 1994 08:49:37 GMT".to_owned()),
        }
        .answer(request);
        let answered = match self.manners.versions {
            true => answered.with("x-amz-version-id", object.version),
            false => answered,
        };
        let answered = match (request.header("x-amz-checksum-mode"), object.checksum) {
            (Some("ENABLED"), Some(sum)) if self.manners.checksums => {
                answered.with("x-amz-checksum-crc32c", sum)
            }
            _ => answered,
        };
        match answered.status {
            412 => refused(412, "PreconditionFailed"),
            // As AWS answers, without a range.
            416 => refused(416, "InvalidRange"),
            _ => answered,
        }
    }

    /// Whether the name may be given.
    fn check_new(&self, request: &Request, path: &str) -> Result<(), Reply> {
        let exists = self.state.lock().unwrap().objects.contains_key(path);
        match request.header("if-none-match") {
            Some("*") if exists && self.manners.conditions => {
                Err(refused(412, "PreconditionFailed"))
            }
            _ => Ok(()),
        }
    }

    fn put(&self, request: &Request, path: &str) -> Reply {
        if let Err(reply) =
            self.check_body(request, true).and_then(|()| self.check_new(request, path))
        {
            return reply;
        }
        let mut state = self.state.lock().unwrap();
        state.came.push(Came { number: 0, len: request.body.len() });
        let stored = state.put(path, request.body.clone(), None);
        Reply::status(200).with("ETag", stored.tag)
    }

    /// Whether a body is what its checksums say; one is there if `required`.
    fn check_body(&self, request: &Request, required: bool) -> Result<(), Reply> {
        let crc = request.header("x-amz-checksum-crc32c");
        let md5 = request.header("content-md5");
        if crc.is_some_and(|said| said != checksum(&request.body)) {
            return Err(refused(400, "XAmzContentChecksumMismatch"));
        }
        let right = || BASE64_STANDARD.encode(Md5::digest(&request.body));
        if md5.is_some_and(|said| said != right()) {
            return Err(refused(400, "BadDigest"));
        }
        match required && crc.is_none() && md5.is_none() {
            true => Err(refused(400, "NothingSaysWhatItIs")),
            false => Ok(()),
        }
    }

    fn create(&self, request: &Request, path: &str) -> Reply {
        let mut state = self.state.lock().unwrap();
        state.count += 1;
        let id = format!("upload/{}+x==", state.count);
        let wishes = request.header("x-amz-checksum-algorithm");
        let checked = self.manners.checksums && wishes == Some("CRC32C");
        let begun = jiff::Timestamp::now().to_string();
        let upload = Upload { path: path.to_owned(), checked, begun, ..Upload::default() };
        state.uploads.insert(id.clone(), upload);
        let body = format!(
            "<?xml version=\"1.0\"?>\n<InitiateMultipartUploadResult \
             xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><UploadId>{id}</UploadId>\
             </InitiateMultipartUploadResult>"
        );
        let reply = Reply { body: body.into_bytes(), ..Reply::status(200) };
        match checked {
            // As older services answer, that know checksums of parts only.
            true if path.ends_with("/of-parts-only") => {
                reply.with("x-amz-checksum-algorithm", "CRC32C")
            }
            true => reply
                .with("x-amz-checksum-algorithm", "CRC32C")
                .with("x-amz-checksum-type", request.header("x-amz-checksum-type").unwrap_or("")),
            false => reply,
        }
    }

    fn uploads(&self, bucket: &str, query: &Query) -> Reply {
        let state = self.state.lock().unwrap();
        let mut body = String::from("<ListMultipartUploadsResult>");
        for (id, upload) in &state.uploads {
            let key = upload.path.strip_prefix(bucket).unwrap_or_default();
            if key.starts_with(&query["prefix"]) {
                body += &format!(
                    "<Upload><Key>{key}</Key><UploadId>{id}</UploadId><Initiated>{}</Initiated>\
                     </Upload>",
                    upload.begun
                );
            }
        }
        body += "<IsTruncated>false</IsTruncated></ListMultipartUploadsResult>";
        Reply { body: body.into_bytes(), ..Reply::status(200) }
    }

    fn part(&self, request: &Request, id: &str, query: &Query) -> Reply {
        if let Err(reply) = self.check_body(request, true) {
            return reply;
        }
        let number: u32 = query["partNumber"].parse().unwrap();
        let tag = format!("\"{}\"", hex(&Md5::digest(&request.body)));
        let mut state = self.state.lock().unwrap();
        let Some(upload) = state.uploads.get_mut(id) else { return refused(404, "NoSuchUpload") };
        if !(1..=10_000).contains(&number) {
            return refused(400, "InvalidArgument");
        }
        upload.parts.insert(number, (request.body.clone(), tag.clone()));
        state.came.push(Came { number, len: request.body.len() });
        Reply::status(200).with("ETag", tag)
    }

    fn list(&self, id: &str, query: &Query) -> Reply {
        let state = self.state.lock().unwrap();
        let Some(upload) = state.uploads.get(id) else { return refused(404, "NoSuchUpload") };
        let after: u32 = query.get("part-number-marker").map_or(0, |text| text.parse().unwrap());
        let rest: Vec<_> = upload.parts.range(after + 1..).collect();
        let page = &rest[..rest.len().min(self.manners.page)];
        let mut body = String::from("<ListPartsResult>");
        for (number, (bytes, tag)) in page {
            let tag = tag.replace('"', "&quot;");
            body += &format!(
                "<Part><PartNumber>{number}</PartNumber><ETag>{tag}</ETag><Size>{}</Size></Part>",
                bytes.len()
            );
        }
        let truncated = page.len() < rest.len();
        let next = page.last().map_or(0, |(number, _)| **number);
        body += &format!(
            "<NextPartNumberMarker>{next}</NextPartNumberMarker>\
             <IsTruncated>{truncated}</IsTruncated></ListPartsResult>"
        );
        Reply { body: body.into_bytes(), ..Reply::status(200) }
    }

    fn complete(&self, request: &Request, path: &str, id: &str) -> Reply {
        if let Err(reply) = self.check_new(request, path) {
            return reply;
        }
        let mut state = self.state.lock().unwrap();
        let Some(upload) = state.uploads.get(id).cloned() else {
            return refused(404, "NoSuchUpload");
        };
        if upload.path != path {
            return refused(404, "NoSuchUpload");
        }
        let text = String::from_utf8(request.body.clone()).unwrap();
        let named: Vec<(u32, String)> = text
            .split("<Part>")
            .skip(1)
            .map(|part| {
                let tag = between(part, "<ETag>", "</ETag>").replace("&quot;", "\"");
                (between(part, "<PartNumber>", "</PartNumber>").parse().unwrap(), tag)
            })
            .collect();
        if named.is_empty() || !named.windows(2).all(|pair| pair[0].0 < pair[1].0) {
            return refused(400, "InvalidPartOrder");
        }
        let (mut bytes, mut sums) = (Vec::new(), Vec::new());
        for (at, (number, tag)) in named.iter().enumerate() {
            let Some((part, known)) = upload.parts.get(number) else {
                return refused(400, "InvalidPart");
            };
            if known != tag {
                return refused(400, "InvalidPart");
            }
            if at + 1 < named.len() && part.len() < LEAST_PART {
                return refused(400, "EntityTooSmall");
            }
            bytes.extend_from_slice(part);
            sums.extend_from_slice(&Md5::digest(part));
        }
        let said = request.header("x-amz-checksum-crc32c");
        if upload.checked != said.is_some() {
            return refused(400, "InvalidRequest");
        }
        if said.is_some_and(|said| said != checksum(&bytes)) {
            return refused(400, "BadDigest");
        }
        let tag = format!("\"{}-{}\"", hex(&Md5::digest(&sums)), named.len());
        state.uploads.remove(id);
        let stored = state.put(path, bytes, Some(tag));
        // Not every service calls it a result.
        let name = if path.ends_with("/responded") { "Response" } else { "Result" };
        let name = format!("CompleteMultipartUpload{name}");
        let tag = stored.tag.replace('"', "&quot;");
        let body = format!("<{name}><ETag>{tag}</ETag></{name}>");
        Reply { body: body.into_bytes(), ..Reply::status(200) }
    }
}

fn between<'a>(text: &'a str, begin: &str, end: &str) -> &'a str {
    text.split_once(begin).unwrap().1.split_once(end).unwrap().0
}

impl Reply {
    /// Nothing of it arrives.
    pub fn lost(self) -> Reply {
        Reply { closes: true, body: vec![0; 9], way: Body::Lost, ..self }
    }
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => {
                let digits = [rest.next().unwrap(), rest.next().unwrap()];
                let digits = std::str::from_utf8(&digits).unwrap().to_owned();
                bytes.push(u8::from_str_radix(&digits, 16).unwrap());
            }
            byte => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).unwrap()
}

/// The code of what is wrong with who asks, by version 4 of the signatures of AWS.
fn check_signature(request: &Request) -> Result<(), &'static str> {
    let (path, query) = request.target.split_once('?').ok_or("AccessDenied")?;
    let mut parts: Vec<&str> = query.split('&').collect();
    let value = |name: &str| {
        let prefix = format!("{name}=");
        let found = query.split('&').find_map(|part| part.strip_prefix(&*prefix));
        found.map(decoded).ok_or("AccessDenied")
    };
    let signature = value("X-Amz-Signature")?;
    if value("X-Amz-Algorithm")? != "AWS4-HMAC-SHA256" {
        return Err("InvalidRequest");
    }
    let date = value("X-Amz-Date")?;
    let scope = format!("{}/{REGION}/s3/aws4_request", &date[..8]);
    match value("X-Amz-Credential")?.split_once('/') {
        Some((id, _)) if id != KEY => return Err("InvalidAccessKeyId"),
        Some((_, said)) if said == scope => {}
        _ => return Err("AuthorizationQueryParametersError"),
    }
    if value("X-Amz-Security-Token")? != TOKEN {
        return Err("InvalidToken");
    }
    parts.retain(|part| !part.starts_with("X-Amz-Signature="));
    parts.sort_unstable();
    let names = value("X-Amz-SignedHeaders")?;
    let signed: Vec<&str> = names.split(';').collect();
    let is_bare = |name: &&String| name.starts_with("x-amz-") && !signed.contains(&name.as_str());
    if !signed.contains(&"host") || request.headers.keys().any(|name| is_bare(&name)) {
        return Err("HeadersNotSigned");
    }
    let mut canonical = format!("{}\n{path}\n{}\n", request.method, parts.join("&"));
    for name in &signed {
        canonical += &format!("{name}:{}\n", request.header(name).ok_or("AccessDenied")?);
    }
    canonical += &format!("\n{names}\nUNSIGNED-PAYLOAD");
    let text = format!(
        "AWS4-HMAC-SHA256\n{date}\n{scope}\n{}",
        hex(&Sha256::digest(canonical.as_bytes()))
    );
    let mut key = hmac(format!("AWS4{SECRET}").as_bytes(), &date.as_bytes()[..8]);
    for part in [REGION, "s3", "aws4_request", &text] {
        key = hmac(&key, part.as_bytes());
    }
    if hex(&key) == signature { Ok(()) } else { Err("SignatureDoesNotMatch") }
}

/// HMAC with SHA-256, as RFC 2104 has it.
fn hmac(key: &[u8], text: &[u8]) -> Vec<u8> {
    let mut block = [0; 64];
    match key.len() {
        0..=64 => block[..key.len()].copy_from_slice(key),
        _ => block[..32].copy_from_slice(&Sha256::digest(key)),
    }
    let inner = block.map(|byte| byte ^ 0x36);
    let outer = block.map(|byte| byte ^ 0x5c);
    let inside = Sha256::digest([&inner[..], text].concat());
    Sha256::digest([&outer[..], &inside[..]].concat()).to_vec()
}
