//! The first question: where an object is, what its server says of it, and
//! whether it can be read in ranges or only as a whole.

use std::sync::Arc;

use super::body::Body;
use super::client::{Client, Found};
use super::fault::Fault;
use super::location::Location;
use super::object::{Object, check_bytes};
use super::pin::Pin;
use super::reply;
use super::whole::Whole;
use crate::range::ByteRange;

/// How often a server is asked again that had no time for the first question:
/// the user who waits for it has not seen anything happen yet.
const TRIES_TO_OPEN: u32 = 3;

/// How an object can be read.
pub(in crate::endpoint) enum Content {
    /// At any offset.
    Ranges(Arc<Object>),
    /// Once, from its beginning to its end.
    Whole(Box<Whole>),
}

/// Asks the server for the first byte of what is `named`, and takes note of what
/// it says.
///
/// # Errors
///
/// Why it cannot be read.
pub(in crate::endpoint) fn look(client: &Arc<Client>, named: &Location) -> Result<Content, Fault> {
    let tries = client.remote().max_retries.min(TRIES_TO_OPEN);
    client.persist(tries, || look_once(client, named))
}

fn look_once(client: &Arc<Client>, named: &Location) -> Result<Content, Fault> {
    let first = ByteRange::to(1);
    let found = client.find(named, first)?;
    let headers = found.reply.headers();
    let described = reply::content_range(headers);
    let total = described.and_then(|described| described.total);
    let pin = match (found.reply.status().as_u16(), total) {
        (206, Some(size)) => {
            check_bytes(&found.reply, described, first)?;
            let pin = Pin::of(headers, size);
            let Found { location, reply } = found;
            Body::of(client, reply, first.len()).read(&mut [0])?;
            return Ok(ranges(client, named, location, pin));
        }
        (206, None) => {
            check_bytes(&found.reply, described, first)?;
            return Err(Fault::Protocol("it does not say how long the object is".to_owned()));
        }
        // Of an empty object, there is no first byte.
        (416, Some(0)) => Pin::of(headers, 0),
        (200, _) if reply::content_length(headers) == Some(0) => Pin::of(headers, 0),
        (200, _) => return Whole::new(client, found).map(|whole| Content::Whole(Box::new(whole))),
        _ => return Err(found.reply.fault()),
    };
    Ok(ranges(client, named, found.location, pin))
}

fn ranges(client: &Arc<Client>, named: &Location, found: Location, pin: Pin) -> Content {
    Content::Ranges(Arc::new(Object::new(Arc::clone(client), named.clone(), found, pin)))
}
