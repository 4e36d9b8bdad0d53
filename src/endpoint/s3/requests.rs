//! What is asked of a service to make an object: one function a request, each made
//! again as long as what it fails of may pass. Which bytes, and when, is not known
//! here.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use md5::{Digest, Md5};
use rusty_s3::Method;

use super::message::{Element, problem};
use super::service::{Call, Service};
use crate::durable::map::UploadPart;
use crate::endpoint::http::client::{Client, Outgoing, Reply};
use crate::endpoint::http::fault::{Fault, Said};
use crate::endpoint::http::reply::{content_length, text};
use crate::endpoint::shared::Upload;
use crate::io::as_u64;
use crate::progress::CancelToken;

/// Longest answer that is read, in bytes: a page of a list.
const LONGEST_ANSWER: u64 = 8 << 20;

/// Tries of what is asked before anything has happened that anybody could see.
const TRIES_TO_LOOK: u32 = 3;

/// The header of a checksum.
const CHECKSUM: &str = "x-amz-checksum-crc32c";

/// Asks a service for one object.
pub struct Requests {
    pub service: Arc<Service>,
    pub client: Arc<Client>,
}

/// What a service says of an object.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Head {
    pub len: u64,
    pub tag: Option<String>,
    /// CRC-32C of all of it.
    pub checksum: Option<String>,
}

/// The answer to the request that begins an upload.
pub struct Created {
    pub begun: Upload,
    /// Whether the service checks the parts by CRC-32C.
    of_parts: bool,
    /// Whether another one may have begun before it, whose answer was lost.
    pub unheard: bool,
}

/// A part that a service has.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listed {
    pub tag: String,
    pub len: u64,
}

/// Under which condition an object gets its name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Naming {
    /// If nothing has it.
    New,
    /// Whatever has it.
    Any,
}

impl Requests {
    /// Asks for what may be asked again, though somebody waits: an answer that says
    /// `what`. Something between here and the service may answer in its place.
    pub fn look(&self, call: &Call, what: &str) -> Result<Element, Fault> {
        let tries = self.client.remote().max_retries.min(TRIES_TO_LOOK);
        self.client.persist(tries, || {
            let answer = self.once(call, &[], None)?.into_text(LONGEST_ANSWER)?;
            element(&answer, what)
        })
    }

    /// What is there; `None` if nothing is.
    pub fn head(&self) -> Result<Option<Head>, Fault> {
        match self.describe(Call::new(Method::Head)) {
            Ok(reply) => {
                let headers = reply.headers();
                let own = |name| text(headers, name).map(str::to_owned);
                let len = content_length(headers).unwrap_or(u64::MAX);
                Ok(Some(Head { len, tag: own("etag"), checksum: own(CHECKSUM) }))
            }
            Err(fault) if fault.status() == Some(404) => Ok(None),
            Err(fault) => Err(fault),
        }
    }

    /// What the service says of the object that `call` is for, with its checksums.
    pub fn describe(&self, call: Call) -> Result<Reply, Fault> {
        let mut call = Call { method: Method::Head, ..call };
        call.headers.push(("x-amz-checksum-mode".to_owned(), "ENABLED".to_owned()));
        let tries = self.client.remote().max_retries.min(TRIES_TO_LOOK);
        self.client.persist(tries, || self.once(&call, &[], None))
    }

    /// Begins an upload, with checksums if the service knows them.
    pub fn create(&self) -> Result<Created, Fault> {
        let plain = Call::new(Method::Post).query("uploads", "");
        let mut checked = plain.clone();
        for (name, value) in [("algorithm", "CRC32C"), ("type", "FULL_OBJECT")] {
            checked.headers.push((format!("x-amz-checksum-{name}"), value.to_owned()));
        }
        let mut unheard = false;
        let mut begin = |call: &Call| {
            let created = self.client.persist(self.client.remote().max_retries, || {
                let created = self.begin(call);
                let is_lost = |fault: &Fault| may_be_done(fault) && !fault.is_of_load();
                unheard |= created.as_ref().is_err_and(is_lost);
                created
            });
            created.map(|created| Created { unheard, ..created })
        };
        let created = match begin(&checked) {
            Err(fault) if is_not_known(&fault) => begin(&plain)?,
            result => result?,
        };
        if created.of_parts && !created.begun.checked {
            // It knows no checksum of the whole: an upload without any.
            let stays = self.abort(&created.begun.id).is_err();
            let plain = begin(&plain)?;
            return Ok(Created { unheard: plain.unheard || stays, ..plain });
        }
        Ok(created)
    }

    fn begin(&self, call: &Call) -> Result<Created, Fault> {
        let reply = self.once(call, &[], Some(&[]))?;
        let says = |name: &str, value| {
            text(reply.headers(), name).is_some_and(|said| said.eq_ignore_ascii_case(value))
        };
        let of_parts = says("x-amz-checksum-algorithm", "CRC32C");
        let checked = of_parts && says("x-amz-checksum-type", "FULL_OBJECT");
        let begun = Upload { id: id_of(reply)?, checked };
        Ok(Created { begun, of_parts, unheard: false })
    }

    /// Sends part `number`, and says what the service calls it.
    pub fn part(
        &self,
        upload: &Upload,
        number: u32,
        bytes: &[u8],
        crc32c: u32,
    ) -> Result<UploadPart, Fault> {
        let mut call = Call::new(Method::Put)
            .query("partNumber", number.to_string())
            .query("uploadId", &upload.id);
        let md5 = if upload.checked { None } else { Some(md5_of(bytes)) };
        if upload.checked {
            call.headers.push((CHECKSUM.to_owned(), encoded(crc32c)));
        }
        let headers: Vec<_> = md5.iter().map(|md5| ("content-md5", &**md5)).collect();
        let tag = self.client.persist(self.client.remote().max_retries, || {
            let reply = self.once(&call, &headers, Some(bytes))?;
            let tag = tag_of(&reply, "part");
            reply.into_text(LONGEST_ANSWER)?;
            tag
        })?;
        Ok(UploadPart { crc32c, tag })
    }

    /// The parts that the service has.
    pub fn list(&self, id: &str) -> Result<BTreeMap<u32, Listed>, Fault> {
        let (mut found, mut after) = (BTreeMap::new(), 0_u32);
        loop {
            let mut call = Call::new(Method::Get).query("uploadId", id);
            if after > 0 {
                call = call.query("part-number-marker", after.to_string());
            }
            let root = self.look(&call, "ListParts")?;
            for part in root.children.iter().filter(|child| child.name == "Part") {
                let number = part.text_of("PartNumber").and_then(|text| text.parse().ok());
                let len = part.text_of("Size").and_then(|text| text.parse().ok());
                let tag = part.text_of("ETag").map(str::to_owned);
                if let (Some(number), Some(len), Some(tag)) = (number, len, tag) {
                    found.insert(number, Listed { tag, len });
                }
            }
            let next = root.text_of("NextPartNumberMarker").and_then(|text| text.parse().ok());
            match (root.text_of("IsTruncated"), next) {
                (Some("true"), Some(next)) if next > after => after = next,
                _ => return Ok(found),
            }
        }
    }

    /// Makes one object of the parts of an upload, of which `checksum` is that of all.
    ///
    /// The answer may be lost, or may not be one of the service, and a second request
    /// may find no upload any more: the caller has to look what is there where
    /// [`may_be_done`] says so.
    pub fn complete(
        &self,
        upload: &Upload,
        parts: &BTreeMap<u32, UploadPart>,
        checksum: u32,
        naming: Naming,
    ) -> Result<(), Fault> {
        let mut call = Call::new(Method::Post).query("uploadId", &upload.id);
        if upload.checked {
            call.headers.push((CHECKSUM.to_owned(), encoded(checksum)));
            call.headers.push(("x-amz-checksum-type".to_owned(), "FULL_OBJECT".to_owned()));
        }
        let body = list_of(parts, upload.checked);
        let headers = condition(naming);
        let tries = self.client.remote().max_retries;
        self.client.persist(tries, || {
            let reply = self.once(&call, &headers, Some(body.as_bytes()))?;
            let (status, headers) = (reply.status().as_u16(), reply.headers().clone());
            let answer = reply.into_text(LONGEST_ANSWER)?;
            // It may be said to be well before it is known whether it is.
            match problem(&answer) {
                Some(_) => Err(self.service.fault(status, &headers, &answer)),
                None => element(&answer, "CompleteMultipartUploadResult")
                    // As moto calls it.
                    .or_else(|odd| {
                        element(&answer, "CompleteMultipartUploadResponse").map_err(|_| odd)
                    })
                    .map(drop),
            }
        })
    }

    /// Makes an object of `bytes` at once. As of [`complete`](Requests::complete), the
    /// caller has to look what is there where [`may_be_done`] says so.
    pub fn put(&self, bytes: &[u8], naming: Naming) -> Result<(), Fault> {
        let md5 = md5_of(bytes);
        let mut headers = condition(naming);
        headers.push(("content-md5", &md5));
        let call = Call::new(Method::Put);
        self.client.persist(self.client.remote().max_retries, || {
            let reply = self.once(&call, &headers, Some(bytes))?;
            let named = tag_of(&reply, "object");
            reply.into_text(LONGEST_ANSWER)?;
            named.map(drop)
        })
    }

    /// Takes an upload back, if it is still there.
    pub fn abort(&self, id: &str) -> Result<(), Fault> {
        self.abort_by(self.client.remote().max_retries, id)
    }

    fn abort_by(&self, tries: u32, id: &str) -> Result<(), Fault> {
        let call = Call::new(Method::Delete).query("uploadId", id);
        let aborted = self.client.persist(tries, || {
            match self.once(&call, &[], None)?.into_text(LONGEST_ANSWER)?.trim() {
                "" => Ok(()),
                // Not of the service, which has nothing to say here.
                _ => Err(odd("it does not say whether the upload is aborted")),
            }
        });
        match aborted {
            Err(fault) if is_no_upload(&fault) => Ok(()),
            aborted => aborted,
        }
    }

    /// The same for a copy that is given up, also because somebody asked to stop: the
    /// service is asked even so, and then only once.
    pub fn take_back(&self, id: &str) -> Result<(), Fault> {
        let stop = self.client.stop();
        let tries = if stop.is_asked() { 0 } else { self.client.remote().max_retries };
        stop.listen_to(&CancelToken::new());
        self.abort_by(tries, id)
    }

    fn once(
        &self,
        call: &Call,
        headers: &[(&str, &str)],
        body: Option<&[u8]>,
    ) -> Result<Reply, Fault> {
        use ureq::http::Method as Verb;
        let method = match call.method {
            Method::Head => Verb::HEAD,
            Method::Get => Verb::GET,
            Method::Post => Verb::POST,
            Method::Put => Verb::PUT,
            Method::Delete => Verb::DELETE,
        };
        let location = &self.service.location(call.clone());
        self.client.send(Outgoing { method, location, headers: headers.to_vec(), body })
    }
}

/// Whether a service does not know what it was asked for.
pub fn is_not_known(fault: &Fault) -> bool {
    const WORDS: [&str; 4] =
        ["NotImplemented", "InvalidArgument", "InvalidRequest", "InvalidParameter"];
    match fault {
        Fault::Said(Said { status: 400 | 501, code, .. }) => WORDS.contains(&&**code),
        Fault::Status { status: 501, .. } => true,
        _ => false,
    }
}

/// Whether there is no such upload any more.
pub fn is_no_upload(fault: &Fault) -> bool {
    match fault {
        Fault::Said(said) => said.code == "NoSuchUpload",
        Fault::Status { status, .. } => *status == 404,
        _ => false,
    }
}

/// Whether a part is not the one that the upload is to be completed with.
pub fn is_other_part(fault: &Fault) -> bool {
    const WORDS: [&str; 4] = ["InvalidPart", "InvalidPartOrder", "BadDigest", "InvalidDigest"];
    matches!(fault, Fault::Said(said) if WORDS.contains(&&*said.code))
}

/// Whether an object has just these bytes, as far as its tag is a digest of them.
pub fn has_bytes(found: &Head, bytes: &[u8]) -> bool {
    let mut tag = String::from("\"");
    for byte in Md5::digest(bytes) {
        tag += &format!("{byte:02x}");
    }
    tag.push('"');
    let same_sum = found.checksum.as_deref() == Some(&*encoded(crc32c::crc32c(bytes)));
    found.len == as_u64(bytes.len()) && (found.tag.as_ref() == Some(&tag) || same_sum)
}

/// Whether something has the name by now.
pub fn is_taken(fault: &Fault) -> bool {
    fault.status() == Some(412)
}

/// Whether the object may be there although the request that makes it failed: an answer
/// was lost, or was none.
pub fn may_be_done(fault: &Fault) -> bool {
    let is_unheard = matches!(fault, Fault::Connection(_) | Fault::Timeout(_) | Fault::Protocol(_));
    is_unheard || is_no_upload(fault) || is_taken(fault) || fault.status() >= Some(500)
}

fn condition(naming: Naming) -> Vec<(&'static str, &'static str)> {
    match naming {
        Naming::New => vec![("if-none-match", "*")],
        Naming::Any => Vec::new(),
    }
}

fn odd(why: &str) -> Fault {
    Fault::Protocol(why.to_owned())
}

/// What the service calls the `thing` that it has got.
fn tag_of(reply: &Reply, thing: &str) -> Result<String, Fault> {
    let tag = text(reply.headers(), "etag").filter(|tag| !tag.is_empty());
    tag.map(str::to_owned).ok_or_else(|| odd(&format!("it does not say what it calls the {thing}")))
}

/// The root of `answer`, whose name must begin with `name`: how it ends is not the same
/// everywhere.
fn element(answer: &str, name: &str) -> Result<Element, Fault> {
    let root = Element::parse(answer).filter(|root| root.name.starts_with(name));
    root.ok_or_else(|| odd(&format!("it is not a {name}")))
}

/// A checksum as services write it.
pub fn encoded(crc32c: u32) -> String {
    BASE64_STANDARD.encode(crc32c.to_be_bytes())
}

fn md5_of(bytes: &[u8]) -> String {
    BASE64_STANDARD.encode(Md5::digest(bytes))
}

/// What the tag of an object is that is made of `parts`, where those are digests.
pub fn tag_of_all(parts: &BTreeMap<u32, UploadPart>) -> Option<String> {
    let mut all = Md5::new();
    for part in parts.values() {
        let hex = part.tag.trim_matches('"');
        if hex.len() != 32 {
            return None;
        }
        for at in (0..32).step_by(2) {
            all.update([u8::from_str_radix(hex.get(at..at + 2)?, 16).ok()?]);
        }
    }
    let mut tag = String::from("\"");
    for byte in all.finalize() {
        write!(tag, "{byte:02x}").ok()?;
    }
    Some(format!("{tag}-{}\"", parts.len()))
}

/// What the upload is called that has begun.
fn id_of(reply: Reply) -> Result<String, Fault> {
    let answer = reply.into_text(LONGEST_ANSWER)?;
    let id = Element::parse(&answer).and_then(|root| Some(root.text_of("UploadId")?.to_owned()));
    id.ok_or_else(|| odd("it does not say what it calls the upload"))
}

fn list_of(parts: &BTreeMap<u32, UploadPart>, checked: bool) -> String {
    let mut body = String::from("<CompleteMultipartUpload>");
    for (number, part) in parts {
        let tag = quick_xml::escape::escape(&*part.tag);
        body += &format!("<Part><PartNumber>{number}</PartNumber><ETag>{tag}</ETag>");
        if checked {
            body += &format!("<ChecksumCRC32C>{}</ChecksumCRC32C>", encoded(part.crc32c));
        }
        body += "</Part>";
    }
    body + "</CompleteMultipartUpload>"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(tags: &[&str]) -> BTreeMap<u32, UploadPart> {
        let part = |tag: &&str| UploadPart { crc32c: 0, tag: (*tag).to_owned() };
        (1..).zip(tags.iter().map(part)).collect()
    }

    #[test]
    fn the_tag_of_all_is_made_of_those_of_the_parts() {
        let one = "\"0cc175b9c0f1b6a831c399e269772661\"";
        // md5 of the sixteen bytes of that.
        let digest = Md5::digest([
            0x0c, 0xc1, 0x75, 0xb9, 0xc0, 0xf1, 0xb6, 0xa8, 0x31, 0xc3, 0x99, 0xe2, 0x69, 0x77,
            0x26, 0x61,
        ]);
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(tag_of_all(&parts(&[one])), Some(format!("\"{hex}-1\"")));
        assert!(tag_of_all(&parts(&[one, one])).unwrap().ends_with("-2\""));
        assert_eq!(tag_of_all(&parts(&["\"other\""])), None);
        assert_eq!(tag_of_all(&parts(&["\"0cc175b9c0f1b6a831c399e26977266ü\""])), None);
    }

    #[test]
    fn the_parts_are_named_in_order() {
        let body = list_of(&parts(&["\"a\"", "<&>"]), false);
        assert_eq!(
            body,
            "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>&quot;a&quot;</ETag>\
             </Part><Part><PartNumber>2</PartNumber><ETag>&lt;&amp;&gt;</ETag></Part>\
             </CompleteMultipartUpload>"
        );
        let body = list_of(&parts(&["a"]), true);
        assert!(body.contains("</ETag><ChecksumCRC32C>AAAAAA==</ChecksumCRC32C></Part>"), "{body}");
    }
}
