//! An object on a server, open: read at any offset, and always the same one.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use positioned_io::ReadAt;

use super::body::Body;
use super::client::{Client, Found, Held, Reply};
use super::fault::{self, Fault};
use super::gate::Pass;
use super::in_order::InOrder;
use super::location::Location;
use super::pin::Pin;
use super::reply::{self, ContentRange, FirstLast};
use crate::error::SourceChange;
use crate::io::{Judgement, Source, as_u64, as_usize, transfer};
use crate::progress::lock;
use crate::range::ByteRange;
use crate::sync::Mutex;

/// An open object.
pub(in crate::endpoint) struct Object {
    client: Arc<Client>,
    /// As the user has named it.
    named: Location,
    /// Where the last redirection led.
    found: Mutex<Arc<Location>>,
    pin: Pin,
    /// What it was found to be no more.
    change: Mutex<Option<SourceChange>>,
    /// Whether an answer did not say how long it is.
    lacks_lengths: AtomicBool,
}

/// An answer, of which the first `count` bytes have come.
pub(super) struct Begun<'a> {
    pub count: usize,
    pub body: Body<'a>,
    pub pass: Pass<'a>,
}

impl Object {
    /// What was `named` so and found at `found`, where it is what `pin` says.
    pub fn new(client: Arc<Client>, named: Location, found: Location, pin: Pin) -> Object {
        let found = Mutex::new(Arc::new(found));
        let (change, lacks_lengths) = (Mutex::default(), AtomicBool::default());
        Object { client, named, found, pin, change, lacks_lengths }
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

    /// Asks for `range`, until the first bytes of it are in `buffer`, which is no
    /// longer. The `failed` answers before brought next to nothing.
    pub(super) fn begin(
        &self,
        range: ByteRange,
        buffer: &mut [u8],
        failed: u32,
    ) -> io::Result<Begun<'_>> {
        let tries = self.client.remote().max_retries;
        let begun = self.client.hold_after(failed, tries, || {
            let (reply, range) = self.ask_in_pieces(range, as_u64(buffer.len()))?;
            let mut body = Body::of(&self.client, reply, range.len());
            let count = body.read(buffer)?;
            Ok((body, count))
        });
        let held = begun.map_err(|fault| {
            if let Fault::Changed(change) = &fault {
                lock(&self.change).get_or_insert_with(|| change.clone());
            }
            io::Error::from(fault)
        })?;
        let Held { value: (body, count), pass } = held;
        Ok(Begun { count, body, pass })
    }

    /// One request for `range`, of which `piece` bytes are taken at a time. An answer
    /// that does not say its length can be judged at its end only: such a one brings
    /// a piece.
    fn ask_in_pieces(&self, range: ByteRange, piece: u64) -> Result<(Reply, ByteRange), Fault> {
        let first = range.split_at(range.start().saturating_add(piece)).0;
        if first != range && !self.lacks_lengths.load(Relaxed) {
            let reply = self.ask(range)?;
            if reply::says_length(reply.headers()) {
                return Ok((reply, range));
            }
            self.lacks_lengths.store(true, Relaxed);
        }
        Ok((self.ask(first)?, first))
    }

    /// One request for `range`.
    fn ask(&self, range: ByteRange) -> Result<Reply, Fault> {
        let location = self.location();
        let asked = self.client.get(&location, range, self.pin.strong_tag());
        let answered = asked.and_then(|reply| self.check(&reply, range).map(|()| reply));
        match answered {
            // The place that it was redirected to holds for a while only.
            Err(fault) if fault.is_of_address() && self.named_is_elsewhere(&location) => {
                self.find_again(&location, range)
            }
            answered => answered,
        }
    }

    /// What there is of `len` bytes from `offset` on.
    pub(super) fn readable(&self, offset: u64, len: usize) -> Option<ByteRange> {
        let left = self.pin.size.saturating_sub(offset);
        let range = ByteRange::with_len(offset, left.min(as_u64(len)));
        range.filter(|range| !range.is_empty())
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
pub(super) fn check_bytes(
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

impl ReadAt for Object {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(range) = self.readable(offset, buffer.len()) else { return Ok(0) };
        // All of it at once: who asks for the rest by another call knows nothing of how
        // little an answer brought.
        let buffer = &mut buffer[..as_usize(range.len())];
        let read = transfer::read_full(&InOrder::new(self, range), offset, buffer);
        read.map(|()| as_usize(range.len())).map_err(|stop| stop.error)
    }
}

impl Source for Object {
    fn size(&self) -> u64 {
        self.pin.size
    }

    fn in_order(&self, range: ByteRange) -> Option<Box<dyn Source + '_>> {
        Some(Box::new(InOrder::new(self, range)))
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
