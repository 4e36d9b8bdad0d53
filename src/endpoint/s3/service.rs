//! A bucket at its service: addresses of requests, signed, and what answers mean.
//! What is asked for, and why, is not known here.

use std::fmt::Write as _;
use std::sync::Arc;

use jiff::Timestamp;
use rusty_s3::{Bucket, Method, UrlStyle};
use ureq::http::Uri;

use super::headers;
use super::message;
use super::place::Place;
use crate::endpoint::http::client::Reply;
use crate::endpoint::http::fault::{Fault, Said, is_passing};
use crate::endpoint::http::location::{self, Location};
use crate::endpoint::http::reply::{date, retry_after, text};
use crate::options::{DEFAULT_REGION, Header, Remote, S3Access, S3Keys, S3Style};
use crate::progress::lock;
use crate::sync::Mutex;

/// How long the address of a request holds, in seconds. What takes longer was
/// begun before; clocks differ.
const HOLDS: u64 = 3600;

/// Longest answer that is read for what it says, in bytes.
const LONGEST_ANSWER: u64 = 64 << 10;

/// Longest sentence of a server that is shown.
const LONGEST_SENTENCE: usize = 300;

/// Words of a service for what may be otherwise in a while, whatever their status.
const PASSING: [&str; 7] = [
    "BadDigest",
    "IncompleteBody",
    "InternalError",
    "OperationAborted",
    "RequestTimeout",
    "SlowDown",
    "XAmzContentChecksumMismatch",
];

/// An object of a bucket, and who asks for it.
#[derive(Debug)]
pub struct Service {
    bucket: Bucket,
    key: String,
    /// `None` where nobody signs.
    keys: Option<S3Keys>,
    /// What the user wants to be said, of which the service wants a part signed.
    headers: Vec<Header>,
    /// The time by the service, as it has said it last, in seconds since 1970.
    time: Mutex<Option<i64>>,
}

impl Service {
    /// The object at `place`.
    ///
    /// # Errors
    ///
    /// What of the address, or of `remote`, cannot be used, in words.
    pub fn new(place: &Place, remote: &Remote) -> Result<Service, String> {
        place.check_key()?;
        let keys = match &remote.s3.access {
            S3Access::Keys(keys) => Some(keys.clone()),
            S3Access::Anonymous => None,
            S3Access::Unknown { reason } => return Err(reason.clone()),
        };
        let region = remote.s3.region.clone().unwrap_or_else(|| DEFAULT_REGION.to_owned());
        let bucket = bucket(place, remote, region)?;
        let (key, headers) = (place.key.clone(), remote.headers.clone());
        let service = Service { bucket, key, keys, headers, time: Mutex::default() };
        let address = service.bucket.object_url(&service.key);
        let _: Uri = address.as_str().parse().map_err(|_| "has a server that cannot be asked")?;
        Ok(service)
    }

    /// The time by the service, if it has said it, or else by this machine.
    pub fn time(&self) -> String {
        let said = lock(&self.time).and_then(|seconds| Timestamp::from_second(seconds).ok());
        said.unwrap_or_else(Timestamp::now).to_string()
    }

    /// What the bucket is called.
    pub fn bucket(&self) -> &str {
        self.bucket.name()
    }

    /// Where the bucket is asked for.
    pub fn region(&self) -> &str {
        self.bucket.region()
    }

    /// What the object is called in the bucket.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Where to send `call`.
    pub fn location(self: &Arc<Self>, call: Call) -> Location {
        let of_user = self.headers.iter().filter(|header| headers::goes_with(header, &call));
        let plain = of_user.filter(|header| !headers::is_of_s3(&header.name)).cloned();
        let signed = self.signed_headers(&call).into_iter().map(|(name, value)| {
            // What is signed must be sent.
            Header { name, value: crate::options::Secret::new(value) }
        });
        let headers = plain.chain(signed).collect();
        let service = Signed { service: Arc::clone(self), call };
        Location::of_service(Arc::new(service), headers)
    }

    /// Headers that are part of the signature, by name. What the copy itself says
    /// comes before what the user wants.
    fn signed_headers(&self, call: &Call) -> Vec<(String, String)> {
        let mut all: Vec<(String, String)> = call.headers.clone();
        let of_user = self.headers.iter().filter(|header| headers::is_of_s3(&header.name));
        for header in of_user.filter(|header| headers::goes_with(header, call)) {
            let name = header.name.to_ascii_lowercase();
            if all.iter().all(|(known, _)| *known != name) {
                all.push((name, header.value.reveal().to_owned()));
            }
        }
        all.sort();
        all
    }

    fn sign(&self, call: &Call) -> Uri {
        let url = match call.of_bucket {
            true => self.bucket.base_url().clone(),
            false => self.bucket.object_url(&self.key),
        };
        let mut query: Vec<(&str, &str)> =
            call.query.iter().map(|(name, value)| (*name, &**value)).collect();
        query.sort_unstable();
        let headers = self.signed_headers(call);
        let text = match &self.keys {
            Some(keys) => {
                let now = Timestamp::now();
                let token = keys.token.as_ref().map(|token| token.reveal());
                let (id, secret, region) = (&keys.id, keys.secret.reveal(), self.bucket.region());
                let headers = headers.iter().map(|(name, value)| (&**name, &**value));
                let query = query.iter().copied();
                rusty_s3::signing::sign(
                    &now,
                    call.method,
                    url,
                    id,
                    secret,
                    token,
                    region,
                    HOLDS,
                    query,
                    headers,
                )
                .to_string()
            }
            None => {
                let mark = if query.is_empty() { "" } else { "?" };
                let query: Vec<String> = query
                    .iter()
                    .map(|(name, value)| format!("{}={}", encoded(name), encoded(value)))
                    .collect();
                format!("{url}{mark}{}", query.join("&"))
            }
        };
        // It was looked at when the service was made.
        text.parse().unwrap_or_default()
    }

    /// What an answer with `text` in it means, which is not what was asked for.
    pub fn fault(&self, status: u16, headers: &ureq::http::HeaderMap, body: &str) -> Fault {
        let wait = retry_after(headers);
        let region = text(headers, "x-amz-bucket-region").map(str::to_owned);
        match message::problem(body) {
            Some(problem) => Fault::Said(Said {
                status,
                passes: is_passing(status) || PASSING.contains(&&*problem.code),
                code: problem.code,
                text: self.shown(&problem.text),
                wait,
                region: region.or(problem.region),
            }),
            None if region.is_some() && matches!(status, 301 | 307 | 400) => Fault::Said(Said {
                status,
                code: "PermanentRedirect".to_owned(),
                text: "the bucket is in another region".to_owned(),
                passes: false,
                wait,
                region,
            }),
            None => Fault::Status { status, wait },
        }
    }

    /// A sentence of the service without what is secret.
    fn shown(&self, text: &str) -> String {
        let text = text.trim_end_matches('.');
        let mut text: String = text.chars().take(LONGEST_SENTENCE).collect();
        if let Some(S3Keys { id, secret, token }) = &self.keys {
            let token = token.as_ref().map_or("", |token| token.reveal());
            for hidden in [id, secret.reveal(), token].into_iter().filter(|one| one.len() > 3) {
                text = text.replace(hidden, "...");
            }
        }
        text
    }
}

/// One request.
#[derive(Clone, Debug)]
pub struct Call {
    pub method: Method,
    pub query: Vec<(&'static str, String)>,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// Whether it is for the bucket, and not for the object.
    pub of_bucket: bool,
}

impl Call {
    /// One without anything besides its method.
    pub fn new(method: Method) -> Call {
        Call { method, query: Vec::new(), headers: Vec::new(), of_bucket: false }
    }

    /// The same for the bucket.
    pub fn of_bucket(method: Method) -> Call {
        Call { of_bucket: true, ..Call::new(method) }
    }

    /// The same, with more in its address.
    #[must_use]
    pub fn query(mut self, name: &'static str, value: impl Into<String>) -> Call {
        self.query.push((name, value.into()));
        self
    }
}

/// A request to a service, to be signed whenever it is made.
#[derive(Debug)]
struct Signed {
    service: Arc<Service>,
    call: Call,
}

impl location::Service for Signed {
    fn address(&self) -> Uri {
        self.service.sign(&self.call)
    }

    fn judge(&self, reply: Reply) -> Result<Reply, Fault> {
        let status = reply.status().as_u16();
        if let Some(seconds) = text(reply.headers(), "date").and_then(date) {
            *lock(&self.service.time) = Some(seconds);
        }
        // Those who read bytes know what these two mean.
        let is_known = self.call.method == Method::Get && matches!(status, 412 | 416);
        if status == 200 && reply.headers().contains_key("content-range") {
            // As rclone answers: which bytes it holds is said even so.
            return Ok(reply.into_part());
        }
        if status < 300 || is_known {
            return Ok(reply);
        }
        let headers = reply.headers().clone();
        let body = reply.into_text(LONGEST_ANSWER).unwrap_or_default();
        Err(self.service.fault(status, &headers, &body))
    }
}

fn bucket(place: &Place, remote: &Remote, region: String) -> Result<Bucket, String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
    if region.is_empty() || !region.chars().all(is_plain) {
        return Err("has a region that is none".to_owned());
    }
    let of_aws = || {
        let china = if region.starts_with("cn-") { ".cn" } else { "" };
        format!("https://s3.{region}.amazonaws.com{china}")
    };
    let endpoint = remote.s3.endpoint.clone().unwrap_or_else(of_aws);
    let style = match remote.s3.style {
        S3Style::Path => UrlStyle::Path,
        S3Style::Virtual => UrlStyle::VirtualHost,
        // A certificate of AWS holds for one more name, and not for names in it.
        _ if remote.s3.endpoint.is_some() || place.bucket.contains(['.', '_']) => UrlStyle::Path,
        _ if place.bucket.chars().any(|c| c.is_ascii_uppercase()) => UrlStyle::Path,
        _ => UrlStyle::VirtualHost,
    };
    if !endpoint.contains("://") {
        return Err("has a server without https:// or http:// before it".to_owned());
    }
    let shown = crate::address::without_credentials(&endpoint);
    let url =
        endpoint.parse().map_err(|_| format!("has a server {shown} that is not an address"))?;
    Bucket::new(url, style, place.bucket.clone(), region).map_err(|error| {
        let what = match error {
            rusty_s3::BucketError::UnsupportedScheme => "is neither http nor https",
            rusty_s3::BucketError::MissingHost => "names no server",
            rusty_s3::BucketError::ParseError(_) => "cannot have the name of the bucket before it",
        };
        format!("has a server {shown} that {what}")
    })
}

/// A value of a query as it stands in an address.
fn encoded(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for byte in value.bytes() {
        match byte {
            b'-' | b'.' | b'_' | b'~' => text.push(char::from(byte)),
            byte if byte.is_ascii_alphanumeric() => text.push(char::from(byte)),
            byte => write!(text, "%{byte:02X}").unwrap_or(()),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Secret;

    fn remote(endpoint: Option<&str>, style: S3Style) -> Remote {
        let mut remote = Remote::default();
        remote.s3.endpoint = endpoint.map(str::to_owned);
        remote.s3.style = style;
        remote.s3.access = S3Access::Anonymous;
        remote
    }

    #[test]
    fn a_bucket_stands_before_the_server_or_behind_it() {
        let check = |address: &str, endpoint: Option<&str>, style, want: &str| {
            let place = Place::new(address).unwrap();
            let service = Arc::new(Service::new(&place, &remote(endpoint, style)).unwrap());
            let uri = service.location(Call::new(Method::Get)).current();
            assert_eq!(uri.to_string(), want, "{address}");
        };
        let (auto, path, host) = (S3Style::Auto, S3Style::Path, S3Style::Virtual);
        check("s3://b/k", None, auto, "https://b.s3.us-east-1.amazonaws.com/k");
        check("s3://b.c/k", None, auto, "https://s3.us-east-1.amazonaws.com/b.c/k");
        check("s3://b/k", None, path, "https://s3.us-east-1.amazonaws.com/b/k");
        check("s3://b/k", Some("http://h:9"), auto, "http://h:9/b/k");
        check("s3://b/k", Some("http://h:9/p/"), auto, "http://h:9/p/b/k");
        check("s3://b/k", Some("http://h:9"), host, "http://b.h:9/k");
        check("s3://b/a b/ö?#%", Some("http://h"), auto, "http://h/b/a%20b/%C3%B6%3F%23%25");
        check("s3://b//a//b/", Some("http://h"), auto, "http://h/b//a//b/");
        check("s3://b/a\\b", Some("http://h"), auto, "http://h/b/a%5Cb");
    }

    #[test]
    fn what_cannot_be_asked_is_refused() {
        let check = |endpoint: &str, style, said: &str| {
            let place = Place::new("s3://b/k").unwrap();
            let error = Service::new(&place, &remote(Some(endpoint), style)).unwrap_err();
            assert!(error.contains(said), "{endpoint}: {error}");
        };
        check("localhost:9000", S3Style::Auto, "without https://");
        check("http://[", S3Style::Auto, "not an address");
        check("ftp://h", S3Style::Auto, "neither http nor https");
        check("http://127.0.0.1", S3Style::Virtual, "before it");
        let mut unknown = remote(None, S3Style::Auto);
        unknown.s3.access = S3Access::default();
        assert!(Service::new(&Place::new("s3://b/k").unwrap(), &unknown).is_err());
    }

    #[test]
    fn keys_are_in_no_message() {
        let mut remote = remote(Some("http://h"), S3Style::Auto);
        let token = Some(Secret::new("TOKEN"));
        let keys = S3Keys { id: "AKID".into(), secret: Secret::new("SECRET"), token };
        remote.s3.access = S3Access::Keys(keys);
        let service = Service::new(&Place::new("s3://b/k").unwrap(), &remote).unwrap();
        let body = "<Error><Code>X</Code><Message>AKID, SECRET and TOKEN.</Message></Error>";
        let said = service.fault(403, &ureq::http::HeaderMap::new(), body).to_string();
        assert_eq!(said, "the server answers 403 X: ..., ... and ...");
        assert!(!format!("{service:?}").contains("SECRET"));
    }
}
