//! What can go wrong, grouped by what the caller can do about it.
//!
//! An [`Error`] means that the job could not be run or that its result must
//! not be trusted. Source ranges that could not be read are *not* errors:
//! they are data in the report of the job, which a [`Failure`] carries. This
//! room knows no exit codes; it only sorts errors into [`Outcome`]s.
//!
//! `Display` of an error never repeats its source: the code that prints one walks
//! the chain once, as [`Error::chain`] does.

mod failure;
mod fault;
mod map_refusal;
mod refusal;
mod remedy;
mod shown;
mod source_change;
mod split_refusal;
mod unprotected;
mod word;

pub use failure::{Failure, JobResult};
pub use fault::Fault;
pub use map_refusal::MapRefusal;
pub use refusal::Refusal;
pub use remedy::Remedy;
#[cfg(feature = "http")]
pub(crate) use remedy::WantsCredentials;
#[cfg(feature = "s3")]
pub(crate) use remedy::{NameIsTaken, WantsKeys};
pub use shown::{Quoted, escaped, escaped_json, escaped_lines, is_shown, quoted};
pub use source_change::SourceChange;
pub use split_refusal::SplitRefusal;
pub use unprotected::Unprotected;
pub(crate) use word::known_word;

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::path::PathBuf;

use serde::Serialize;

use crate::range::ByteRange;
use crate::sys::buffer::NoMemory;
use crate::words::UnknownWord;

/// Which end of a copy a thing is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// What is read.
    Source,
    /// What is written.
    Destination,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Side::Source => "source",
            Side::Destination => "destination",
        })
    }
}

/// How a job ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Outcome {
    /// Every requested byte is in the destination.
    Complete,
    /// Some source ranges could not be read; everything else is copied.
    Partial,
    /// Nothing was written: a check said no.
    Refused,
    /// A digest or the read-back differs.
    Mismatch,
    /// The job stopped on an error.
    Failed,
    /// The caller asked to stop.
    Interrupted,
    /// A dry run found nothing against the job. Nothing was written.
    Planned,
}

/// What went wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The options contradict each other, or one has a value that cannot be.
    #[error("{}{problem}", named(options))]
    Usage {
        /// The options that are to blame, by their names in
        /// [`Options`](crate::Options); empty where none is.
        options: &'static [&'static str],
        /// What is wrong, as the rest of a sentence that begins with them.
        problem: String,
    },
    /// A list cannot be understood, or makes no sense.
    #[error("{lines}")]
    BadList {
        /// What is wrong with it, a line each.
        lines: String,
        /// What kinds of faults there are.
        faults: BTreeSet<Fault>,
    },
    /// A check before the first byte said no. Nothing was written.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Refused when what an earlier run left had been discarded already.
    #[error("what an earlier run left is discarded, but the copy cannot begin")]
    Discarded {
        /// Why.
        source: Refusal,
    },
    /// A source range could not be read, and the policy is to stop.
    #[error("cannot read bytes {range} of {}", quoted(path))]
    Read {
        /// The source.
        path: PathBuf,
        /// What was asked for, in bytes of the source.
        range: ByteRange,
        /// Why.
        source: io::Error,
    },
    /// The source ended before its length at the start.
    #[error(
        "{} ends at byte {at}, before the end of the range: it became shorter during the copy",
        quoted(path)
    )]
    SourceShrank {
        /// The source.
        path: PathBuf,
        /// Where the end of file was met, in bytes of the source.
        at: u64,
    },
    /// A stream ended before the end of the range.
    #[error("{} ended after {at} bytes; at least {least} were expected", quoted(path))]
    StreamEnded {
        /// The stream.
        path: PathBuf,
        /// Where, in bytes of the source.
        at: u64,
        /// What the range needs of it.
        least: u64,
    },
    /// The source is not there any more: pulled out, unmounted, not reachable.
    /// What was copied until then can be gone on from when it is back.
    #[error("{} is gone: byte {at} cannot be read, and {why}", quoted(path))]
    SourceGone {
        /// The source.
        path: PathBuf,
        /// Where that was met, in bytes of the source.
        at: u64,
        /// How that is known.
        why: String,
        /// What the system said.
        source: io::Error,
    },
    /// The source is not what it was.
    #[error("{} changed during the copy: {change}", quoted(path))]
    SourceChanged {
        /// The source.
        path: PathBuf,
        /// What differs.
        change: SourceChange,
    },
    /// Length or content of the destination are not what was written.
    #[error("somebody changed {} during the copy: {what}", quoted(path))]
    DestinationChanged {
        /// The destination.
        path: PathBuf,
        /// What differs.
        what: String,
    },
    /// A destination range could not be written.
    #[error("cannot write bytes {range} of {}", quoted(path))]
    Write {
        /// The destination.
        path: PathBuf,
        /// What was to be written, in bytes of the destination.
        range: ByteRange,
        /// Why.
        source: io::Error,
    },
    /// Another step on the destination failed.
    #[error("cannot {step} {}", quoted(path))]
    Destination {
        /// The step, as a verb: "resize", "rename".
        step: &'static str,
        /// The destination.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// All of the copy is there, and the system does not give it its name.
    #[error(
        "the copy is complete in {}, which cannot be renamed to {}",
        quoted(part),
        quoted(path)
    )]
    NotNamed {
        /// Where it is.
        part: PathBuf,
        /// What it was to be called.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Data could not be made durable. Never retried: the next attempt may lie.
    #[error("cannot make {} durable", quoted(path))]
    Sync {
        /// File or directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The resume map could not be written.
    #[error("cannot save the map {}", quoted(path))]
    Journal {
        /// The map.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A digest is not the expected one. Nothing was committed.
    #[error(
        "{algorithm} of the copied range is {actual}, {} {expected}",
        if *stated { "but the server states" } else { "expected" }
    )]
    DigestMismatch {
        /// The algorithm.
        algorithm: &'static str,
        /// Hexadecimal digest of what was copied.
        actual: String,
        /// What was expected.
        expected: String,
        /// Whether the server of the source says so, and not the caller.
        stated: bool,
    },
    /// A part of the source has not the digest it should have.
    #[error(
        "{algorithm} of bytes {range} of {} is {actual}, expected {expected}; {}",
        quoted(path),
        if *ahead { "nothing was written" } else { "what came before their end may have been written" }
    )]
    RangeMismatch {
        /// The source.
        path: PathBuf,
        /// Which bytes of it.
        range: ByteRange,
        /// The algorithm.
        algorithm: &'static str,
        /// Hexadecimal digest of what is there.
        actual: String,
        /// What was expected.
        expected: String,
        /// Whether that was found before anything was written. A stream is looked at as
        /// it comes.
        ahead: bool,
    },
    /// The destination, read back, differs from what was read from the source.
    #[error(
        "{} differs from the source: bytes {range} of the source, in the stripe {stripe}",
        quoted(path)
    )]
    VerifyMismatch {
        /// The destination.
        path: PathBuf,
        /// The first range that differs, in bytes of the source.
        range: ByteRange,
        /// The stripe it lies in.
        stripe: ByteRange,
    },
    /// Other bytes are at the place of a patch than it is for. Nothing was written.
    #[error(
        "{} has {} at byte {at}, and {} was expected; nothing was written",
        quoted(path),
        shown::in_hex(found, "its end"),
        shown::in_hex(expected, "nothing")
    )]
    OldMismatch {
        /// The file or device.
        path: PathBuf,
        /// The first byte that differs.
        at: u64,
        /// What is there, from that byte on: a few bytes, or none at the end.
        found: Vec<u8>,
        /// What was expected there.
        expected: Vec<u8>,
    },
    /// A destination was left out while others were written.
    #[error("{}; the other destinations are not affected", refusal.chain())]
    LeftOut {
        /// Why it could not even be begun.
        refusal: Error,
    },
    /// Not even one buffer could be had.
    #[error("not enough memory for a buffer of {bytes} bytes")]
    OutOfMemory {
        /// Size of the buffer.
        bytes: usize,
    },
    /// No worker could be started.
    #[error("cannot start a worker thread")]
    NoThread {
        /// Why.
        source: io::Error,
    },
    /// A named engine met what it cannot copy, and nothing was to stand in for it.
    #[error("engine {engine} cannot go on: {reason}")]
    EngineGaveWay {
        /// The engine asked for.
        engine: &'static str,
        /// What the system said.
        reason: String,
    },
    /// A worker panicked: a defect in this program or in a library user's own source or sink.
    #[error("a worker thread panicked: {message}")]
    WorkerPanicked {
        /// What it said.
        message: String,
    },
    /// The caller asked to stop.
    #[error("interrupted")]
    Cancelled,
}

impl ErrorKind {
    /// Options that make no sense, and none by itself is to blame.
    pub fn usage(problem: impl Into<String>) -> ErrorKind {
        ErrorKind::Usage { options: &[], problem: problem.into() }
    }

    /// `options` make no sense: `problem` continues after their names, as in
    /// `io_size must be a power of two`.
    pub fn usage_of(options: &'static [&'static str], problem: impl Into<String>) -> ErrorKind {
        ErrorKind::Usage { options, problem: problem.into() }
    }
}

/// Names of options at the beginning of a sentence.
fn named(options: &[&str]) -> String {
    if options.is_empty() { String::new() } else { options.join(" with ") + " " }
}

/// What went wrong, in one word of memory.
pub struct Error {
    kind: Box<ErrorKind>,
}

/// The result of everything that can fail here.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// What went wrong.
    pub fn kind(&self) -> &ErrorKind {
        &self.kind
    }

    pub(crate) fn into_kind(self) -> ErrorKind {
        *self.kind
    }

    /// The outcome this error stands for.
    pub fn outcome(&self) -> Outcome {
        match *self.kind {
            ErrorKind::Usage { .. } | ErrorKind::BadList { .. } | ErrorKind::Refused(_) => {
                Outcome::Refused
            }
            ErrorKind::DigestMismatch { .. }
            | ErrorKind::RangeMismatch { .. }
            | ErrorKind::VerifyMismatch { .. }
            | ErrorKind::OldMismatch { .. } => Outcome::Mismatch,
            ErrorKind::Cancelled => Outcome::Interrupted,
            _ => Outcome::Failed,
        }
    }

    /// The error and its causes on one line, each said once:
    /// `cannot write bytes 0..65536 of 'x': No space left on device`.
    pub fn chain(&self) -> String {
        chain(&*self.kind)
    }

    /// The error as the end of a job that did what `report` says.
    pub(crate) fn with_report<R>(self, report: R) -> Failure<R> {
        Failure::new(self, report)
    }
}

/// `error` once more, for somebody else.
pub(crate) fn again(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => io::Error::new(error.kind(), error.to_string()),
    }
}

/// An error and its causes on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut line = plain(error);
    let mut cause = error.source();
    while let Some(error) = cause {
        line.push_str(": ");
        line.push_str(&plain(error));
        cause = error.source();
    }
    line
}

/// An error without its causes, fit to be shown: `No space left on device`
/// rather than `No space left on device (os error 28)`.
pub fn plain(error: &dyn std::error::Error) -> String {
    let text = error.to_string();
    let text = match text.rfind(" (os error ") {
        Some(end) if text.ends_with(')') => &text[..end],
        _ => &text,
    };
    escaped_lines(text).into_owned()
}

impl From<ErrorKind> for Error {
    fn from(kind: ErrorKind) -> Error {
        Error { kind: Box::new(kind) }
    }
}

impl From<NoMemory> for Error {
    fn from(NoMemory { bytes }: NoMemory) -> Error {
        ErrorKind::OutOfMemory { bytes }.into()
    }
}

impl From<UnknownWord> for Error {
    fn from(error: UnknownWord) -> Error {
        ErrorKind::usage(error.to_string()).into()
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Error {
        ErrorKind::Refused(refusal).into()
    }
}

impl From<MapRefusal> for Error {
    fn from(refusal: MapRefusal) -> Error {
        Refusal::from(refusal).into()
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.kind, f)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.kind, f)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.kind.source()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chain_says_each_cause_once() {
        let error = Error::from(ErrorKind::Write {
            path: "x".into(),
            range: ByteRange::to(65536),
            source: io::Error::from_raw_os_error(28),
        });
        assert!(error.chain().starts_with("cannot write bytes 0..65536 of 'x': "));
        assert!(!error.chain().contains("os error"));
        assert!(error.chain().matches("No space").count() <= 1);
        let top = io::Error::from_raw_os_error(28);
        assert!(!chain(&top).contains("os error"), "{}", chain(&top));
        // A message that only quotes such a number keeps what follows it.
        let quoting = io::Error::other("'x (os error 1) y': \u{1b}[2J");
        assert_eq!(plain(&quoting), "'x (os error 1) y': \\u{1b}[2J");
    }
}
