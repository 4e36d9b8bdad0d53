//! An object whose server sends all of it, whatever range is asked for: a stream,
//! which is read once and in order, and of which the one answer is all there is.

use std::io::{self, Read};
use std::sync::Arc;
use std::time::Duration;

use ureq::BodyReader;

use super::client::{CLOSED, Client, Found};
use super::fault::Fault;
use super::location::Location;
use super::pin::Pin;
use super::reply;
use crate::io::incoming::Feed;
use crate::io::{Incoming, as_u64};

/// An answer that is being read.
pub(in crate::endpoint) struct Whole {
    pub stream: Arc<Incoming>,
    /// Where it comes from.
    pub location: Location,
    /// What is known of the object; the size is 0 if the server does not say it.
    pub pin: Pin,
    /// Whether a connection that breaks looks as if it was the end.
    pub ends_with_connection: bool,
}

impl Whole {
    /// What was `found` is all of it.
    ///
    /// # Errors
    ///
    /// [`Fault::Encoded`].
    pub fn new(client: &Arc<Client>, found: Found) -> Result<Whole, Fault> {
        let Found { location, reply } = found;
        let headers = reply.headers();
        if let Some(how) = reply::encoding(headers) {
            return Err(Fault::Encoded(how.to_owned()));
        }
        let is_chunked = headers.contains_key("transfer-encoding");
        let length = reply::content_length(headers).filter(|_| !is_chunked);
        let pin = Pin::of(headers, length.unwrap_or(0));
        let ends_with_connection = !is_chunked && length.is_none();
        let feed = Answer { client: Arc::clone(client), body: reply.into_body(), left: length };
        let stream = Arc::new(Incoming::with_length(Box::new(feed), length));
        Ok(Whole { stream, location, pin, ends_with_connection })
    }
}

/// The bytes of an answer, as they come.
struct Answer {
    client: Arc<Client>,
    body: BodyReader<'static>,
    /// How many are still to come, if that is known.
    left: Option<u64>,
}

impl Feed for Answer {
    fn read(&mut self, buffer: &mut [u8], time: Duration) -> io::Result<Option<usize>> {
        // Nobody knows what is there already. A wish to stop ends the wait.
        if time.is_zero() || buffer.is_empty() {
            return Ok(None);
        }
        let count = match self.body.read(buffer) {
            Ok(count) => count,
            Err(error) => {
                return match self.client.fault_of_io(error) {
                    Fault::Stopped => Ok(None),
                    fault => Err(fault.into()),
                };
            }
        };
        match &mut self.left {
            Some(left) if count == 0 && *left > 0 => {
                Err(Fault::Connection(CLOSED.to_owned()).into())
            }
            Some(left) => {
                *left = left.saturating_sub(as_u64(count));
                Ok(Some(count))
            }
            None => Ok(Some(count)),
        }
    }
}
