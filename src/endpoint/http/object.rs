//! An object on a server, open: read at any offset, and always the same one.

use std::io;
use std::sync::{Arc, Mutex};

use positioned_io::ReadAt;

use super::client::{Client, Found, Reply};
use super::fault::{self, Fault};
use super::location::Location;
use super::pin::Pin;
use super::reply::{self, ContentRange, FirstLast};
use crate::error::SourceChange;
use crate::io::{Judgement, Source, as_u64, as_usize};
use crate::progress::lock;
use crate::range::ByteRange;

/// How often a server is asked again that had no time for the first question:
/// whoever waits for it has not seen anything happen yet.
const TRIES_TO_OPEN: u32 = 3;

/// An open object.
pub(super) struct Object {
    client: Client,
    /// As the user has named it.
    named: Location,
    /// Where the last redirection led.
    found: Mutex<Arc<Location>>,
    pin: Pin,
    /// What it was found to be no more.
    change: Mutex<Option<SourceChange>>,
}

impl Object {
    /// Asks the server for the first byte, and takes note of what it says.
    ///
    /// # Errors
    ///
    /// Why it cannot be read.
    pub fn open(client: Client, named: Location) -> Result<Object, Fault> {
        let tries = client.remote().max_retries.min(TRIES_TO_OPEN);
        let (location, pin) = client.persist(tries, || first_look(&client, &named))?;
        Ok(Object {
            client,
            named,
            found: Mutex::new(Arc::new(location)),
            pin,
            change: Mutex::default(),
        })
    }

    pub fn client(&self) -> &Client {
        &self.client
    }

    pub fn pin(&self) -> &Pin {
        &self.pin
    }

    /// What it was found to be no more.
    pub fn change(&self) -> Option<SourceChange> {
        lock(&self.change).clone()
    }

    /// Where the bytes come from.
    pub fn location(&self) -> Arc<Location> {
        Arc::clone(&lock(&self.found))
    }

    /// One request for `range`. How many bytes came.
    fn read_once(&self, range: ByteRange, buffer: &mut [u8]) -> Result<usize, Fault> {
        let location = self.location();
        let asked = self.client.get(&location, range, self.pin.strong_tag());
        let answered = asked.and_then(|reply| self.check(&reply, range).map(|()| reply));
        let reply = match answered {
            // The place that it was redirected to holds for a while only.
            Err(fault) if fault.is_of_address() && self.named_is_elsewhere(&location) => {
                self.find_again(&location, range)?
            }
            answered => answered?,
        };
        self.client.read(reply, buffer)
    }

    fn named_is_elsewhere(&self, location: &Location) -> bool {
        location.is_redirected || self.named.uri() != location.uri()
    }

    /// Asks the server that the user has named where the object is now.
    fn find_again(&self, before: &Location, range: ByteRange) -> Result<Reply, Fault> {
        let Found { location, reply } = self.client.find(&self.named, range)?;
        self.check(&reply, range)?;
        if location.uri() != before.uri() {
            *lock(&self.found) = Arc::new(location);
        }
        Ok(reply)
    }

    /// Whether `reply` holds the bytes `range` of this object, and nothing else.
    fn check(&self, reply: &Reply, range: ByteRange) -> Result<(), Fault> {
        let headers = reply.headers();
        let described = reply::content_range(headers);
        let changed = |total| {
            self.pin.change(headers, total).map_or(Ok(()), |change| Err(Fault::Changed(change)))
        };
        match reply.status().as_u16() {
            206 => {}
            200 => {
                changed(reply::content_length(headers))?;
                return Err(Fault::NoRanges);
            }
            412 => {
                let (before, now) = (self.pin.tag.clone(), None);
                let change = self.pin.change(headers, None);
                let change = change.filter(|_| headers.contains_key("etag"));
                let change = change.unwrap_or(SourceChange::Tag { before, now });
                return Err(Fault::Changed(change));
            }
            416 => {
                let total = described.and_then(|described| described.total);
                if let Some(now) = total.filter(|&now| now != self.pin.size) {
                    return Err(Fault::Changed(SourceChange::Size { before: self.pin.size, now }));
                }
                return Err(reply.fault());
            }
            _ => return Err(reply.fault()),
        }
        changed(described.and_then(|described| described.total))?;
        check_bytes(reply, described, range)
    }
}

/// Whether a reply holds the bytes that were asked for, as they are.
fn check_bytes(
    reply: &Reply,
    described: Option<ContentRange>,
    range: ByteRange,
) -> Result<(), Fault> {
    let headers = reply.headers();
    if let Some(how) = reply::encoding(headers) {
        return Err(Fault::Encoded(how.to_owned()));
    }
    let wanted = FirstLast { first: range.start(), last: range.end().saturating_sub(1) };
    let is_wanted = described.is_some_and(|described| described.bytes == Some(wanted));
    let has_length = reply::content_length(headers).is_none_or(|length| length == range.len());
    if is_wanted && has_length {
        return Ok(());
    }
    let got =
        match (described.and_then(|described| described.bytes), reply::content_length(headers)) {
            (Some(bytes), _) if bytes != wanted => format!("bytes {}-{}", bytes.first, bytes.last),
            (Some(_), Some(length)) => format!("{length} bytes"),
            _ => "bytes of which it does not say where they belong".to_owned(),
        };
    Err(Fault::WrongRange { asked: format!("{}-{}", wanted.first, wanted.last), got })
}

/// Finds an object, and what its server says of it.
fn first_look(client: &Client, named: &Location) -> Result<(Location, Pin), Fault> {
    let first = ByteRange::to(1);
    let Found { location, reply } = client.find(named, first)?;
    let headers = reply.headers();
    let described = reply::content_range(headers);
    let total = described.and_then(|described| described.total);
    match (reply.status().as_u16(), total) {
        (206, Some(size)) => {
            check_bytes(&reply, described, first)?;
            let pin = Pin::of(headers, size);
            client.read(reply, &mut [0])?;
            Ok((location, pin))
        }
        (206, None) => {
            check_bytes(&reply, described, first)?;
            Err(Fault::Protocol("it does not say how long the object is".to_owned()))
        }
        // Of an empty object, there is no first byte.
        (416, Some(0)) => Ok((location, Pin::of(headers, 0))),
        (200, _) if reply::content_length(headers) == Some(0) => {
            Ok((location, Pin::of(headers, 0)))
        }
        (200, _) => Err(Fault::NoRanges),
        _ => Err(reply.fault()),
    }
}

impl ReadAt for Object {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.pin.size.saturating_sub(offset);
        let wanted = as_usize(left.min(as_u64(buffer.len())));
        let Some(range) =
            ByteRange::with_len(offset, as_u64(wanted)).filter(|range| !range.is_empty())
        else {
            return Ok(0);
        };
        let memory = &mut buffer[..wanted];
        let tries = self.client.remote().max_retries;
        let read = self.client.persist(tries, || self.read_once(range, memory));
        read.map_err(|fault| {
            if let Fault::Changed(change) = &fault {
                lock(&self.change).get_or_insert_with(|| change.clone());
            }
            fault.into()
        })
    }
}

impl Source for Object {
    fn size(&self) -> u64 {
        self.pin.size
    }

    /// No server has bad sectors: what failed here was tried again already.
    fn judge(&self, error: &io::Error) -> Judgement {
        match fault::of_error(error) {
            Some(Fault::Changed(change)) => Judgement::Changed(change.clone()),
            Some(_) => Judgement::Final,
            None => Judgement::Local,
        }
    }
}
