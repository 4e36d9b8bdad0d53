//! What can go wrong with a request: whether it is worth repeating, and what it
//! says of the source as a whole.

use std::io;
use std::time::Duration;

use crate::error::SourceChange;

/// Why a request brought nothing.
#[derive(Clone, Debug, thiserror::Error)]
pub(in crate::endpoint) enum Fault {
    /// Somebody asked to stop.
    #[error("interrupted")]
    Stopped,
    /// The object is not the one that was opened.
    #[error("{0}")]
    Changed(SourceChange),
    /// An answer that is not part of the object.
    #[error("the server answers {status}{}", text_of(*status))]
    Status {
        status: u16,
        /// How long the server asks to wait.
        wait: Option<Duration>,
    },
    /// An answer that says in words of its own what is wrong.
    #[error(transparent)]
    #[cfg_attr(not(feature = "s3"), allow(dead_code))]
    Said(Said),
    /// The server asks to wait for longer than anybody would.
    #[error("the server answers {status}{} and asks to wait for {} s", text_of(*status), wait.as_secs())]
    LongWait { status: u16, wait: Duration },
    /// The server does not send parts of the object.
    #[error(
        "the server sends all of it instead of the range that was asked for: \
         it cannot be read at an offset"
    )]
    NoRanges,
    /// Bytes that were not asked for.
    #[error("the server answers with {got} where bytes {asked} were asked for")]
    WrongRange { asked: String, got: String },
    /// The bytes are not those of the object, but packed.
    #[error("the server sends it compressed ({0}) although that was not asked for")]
    Encoded(String),
    /// Nothing came for too long.
    #[error("the server did not answer for {} s", .0.as_secs_f64())]
    Timeout(Duration),
    /// The connection could not be made, or broke.
    #[error("{0}")]
    Connection(String),
    /// Not even a connection.
    #[error("{0}")]
    Unreachable(String),
    /// The server is not believed to be who it says.
    #[error("no secure connection: {0}")]
    Tls(String),
    /// What came is not HTTP.
    #[error("the answer of the server cannot be understood: {0}")]
    Protocol(String),
    /// A redirection that leads nowhere, or must not be followed.
    #[error("{0}")]
    Redirect(String),
}

/// What a server says is wrong, in words of its own.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the server answers {status} {code}{}{text}", if text.is_empty() { "" } else { ": " })]
pub(in crate::endpoint) struct Said {
    pub status: u16,
    /// A word that stays.
    pub code: String,
    pub text: String,
    /// Whether it may answer otherwise in a while.
    pub passes: bool,
    /// How long it asks to wait.
    pub wait: Option<Duration>,
    /// Where the thing is that was asked for.
    pub region: Option<String>,
}

impl Fault {
    /// Whether the same request may succeed in a while.
    pub fn is_passing(&self) -> bool {
        match self {
            Fault::Status { status, .. } => is_passing(*status),
            Fault::Said(said) => said.passes,
            Fault::Timeout(_)
            | Fault::Connection(_)
            | Fault::Unreachable(_)
            | Fault::Protocol(_)
            | Fault::WrongRange { .. } => true,
            _ => false,
        }
    }

    /// The status of the answer, whatever else it says.
    pub fn status(&self) -> Option<u16> {
        match self {
            Fault::Status { status, .. }
            | Fault::LongWait { status, .. }
            | Fault::Said(Said { status, .. }) => Some(*status),
            _ => None,
        }
    }

    /// Where the bucket is that was asked for, if that is another region.
    #[cfg(feature = "s3")]
    pub fn region(&self) -> Option<&str> {
        match self {
            Fault::Said(said) => said.region.as_deref(),
            _ => None,
        }
    }

    /// Whether the server has too much to do.
    pub fn is_of_load(&self) -> bool {
        matches!(self.status(), Some(429 | 503 | 509))
    }

    /// Whether another address may lead to the object: the one it was redirected
    /// to holds for a while only.
    pub fn is_of_address(&self) -> bool {
        matches!(self, Fault::Status { status: 300..=399 | 400 | 401 | 403 | 404 | 410, .. })
    }

    /// How long the server asks to wait.
    pub fn wait(&self) -> Option<Duration> {
        match self {
            Fault::Status { wait, .. } | Fault::Said(Said { wait, .. }) => *wait,
            _ => None,
        }
    }
}

/// As an error of a read. Never one that would be taken for the end of a file.
impl From<Fault> for io::Error {
    fn from(fault: Fault) -> io::Error {
        let kind = match (&fault, fault.status()) {
            (_, Some(401 | 403 | 407)) => io::ErrorKind::PermissionDenied,
            (_, Some(404 | 410)) => io::ErrorKind::NotFound,
            (Fault::Timeout(_), _) => io::ErrorKind::TimedOut,
            _ => io::ErrorKind::Other,
        };
        io::Error::new(kind, fault)
    }
}

/// The fault that a read failed with.
pub(in crate::endpoint) fn of_error(error: &io::Error) -> Option<&Fault> {
    error.get_ref()?.downcast_ref::<Fault>()
}

/// Whether the server may answer otherwise in a while.
pub(in crate::endpoint) fn is_passing(status: u16) -> bool {
    matches!(status, 408 | 425 | 429 | 500 | 502 | 503 | 504 | 509 | 520..=599)
}

/// What a status means for somebody who wants an object.
fn text_of(status: u16) -> &'static str {
    match status {
        400 => " (bad request)",
        401 => " (credentials are needed, or were wrong)",
        403 => " (access is not allowed)",
        404 => " (there is no such object)",
        407 => " (the proxy wants credentials)",
        408 => " (request timeout)",
        410 => " (the object is gone)",
        416 => " (there are no such bytes)",
        429 => " (too many requests)",
        500 => " (internal error)",
        502 => " (bad gateway)",
        503 => " (not available at the moment)",
        504 => " (gateway timeout)",
        300..=399 => " (it is elsewhere)",
        _ => "",
    }
}
