//! How a job ended, as JSON: `{"report": ...}`, or `{"error": ..., "report": ...}`.

use std::error::Error as _;
use std::io;
use std::path::Path;

use pcopy::error::{MapRefusal, Remedy, SplitRefusal, escaped_json};
use pcopy::{Error, ErrorKind, JobResult, Refusal, Size};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::servers::Servers;

/// The answer to the Python half.
pub fn answer<R: Serialize>(result: &JobResult<R>) -> String {
    let value = match result {
        Ok(report) => json!({ "report": report }),
        Err(failure) => json!({ "error": said(failure.error()), "report": failure.report() }),
    };
    escaped_json(value.to_string())
}

/// The answer where it did not come to a job.
pub fn refused(error: &Error) -> String {
    escaped_json(json!({ "error": said(error) }).to_string())
}

fn said(error: &Error) -> Value {
    let system = system_error(error);
    let keywords: Vec<&str> = error.kind().remedies().into_iter().flat_map(keywords).collect();
    json!({
        "message": message(error),
        "kind": error.word(),
        "outcome": error.outcome(),
        "errno": system.and_then(io::Error::raw_os_error),
        "errno_name": system.and_then(number_name),
        "path": path(error.kind()).map(|path| path.to_string_lossy()),
        "remedies": keywords,
    })
}

/// The error in words, with the names that options have in Python.
fn message(error: &Error) -> String {
    match error.kind() {
        ErrorKind::Usage { options, problem } if !options.is_empty() => {
            let names: Vec<&str> = options.iter().map(|option| spelt(option)).collect();
            format!("{} {problem}", names.join(" with "))
        }
        _ => error.chain(),
    }
}

/// What an option of the library is called in Python.
fn spelt(option: &str) -> &str {
    match option {
        "leftovers" => "resume or restart",
        "trust" => "trust_leftovers",
        "digests" => "digest",
        "expected" => "expect",
        "expected_in" => "expect_in",
        other => other,
    }
}

/// What the system said, if the error comes from it.
fn system_error(error: &Error) -> Option<&io::Error> {
    let mut cause = error.kind().source();
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return Some(error);
        }
        cause = error.source();
    }
    None
}

/// The name of the number that the system would have given to what was found out
/// without asking it.
fn number_name(error: &io::Error) -> Option<&'static str> {
    Some(match error.kind() {
        io::ErrorKind::NotFound => "ENOENT",
        io::ErrorKind::PermissionDenied => "EACCES",
        io::ErrorKind::AlreadyExists => "EEXIST",
        io::ErrorKind::IsADirectory => "EISDIR",
        io::ErrorKind::NotADirectory => "ENOTDIR",
        io::ErrorKind::BrokenPipe => "EPIPE",
        io::ErrorKind::TimedOut => "ETIMEDOUT",
        io::ErrorKind::ConnectionRefused => "ECONNREFUSED",
        io::ErrorKind::ConnectionReset => "ECONNRESET",
        _ => return None,
    })
}

/// The file or device that the error is about.
fn path(kind: &ErrorKind) -> Option<&Path> {
    match kind {
        ErrorKind::Read { path, .. }
        | ErrorKind::SourceShrank { path, .. }
        | ErrorKind::StreamEnded { path, .. }
        | ErrorKind::SourceGone { path, .. }
        | ErrorKind::SourceChanged { path, .. }
        | ErrorKind::DestinationChanged { path, .. }
        | ErrorKind::Write { path, .. }
        | ErrorKind::Destination { path, .. }
        | ErrorKind::NotNamed { path, .. }
        | ErrorKind::Sync { path, .. }
        | ErrorKind::Journal { path, .. }
        | ErrorKind::RangeMismatch { path, .. }
        | ErrorKind::OldMismatch { path, .. }
        | ErrorKind::VerifyMismatch { path, .. } => Some(path),
        ErrorKind::Refused(refusal) | ErrorKind::Discarded { source: refusal } => {
            of_refusal(refusal)
        }
        ErrorKind::LeftOut { refusal } => path(refusal.kind()),
        _ => None,
    }
}

fn of_refusal(refusal: &Refusal) -> Option<&Path> {
    match refusal {
        Refusal::CannotOpen { path, .. }
        | Refusal::NoMedium { path, .. }
        | Refusal::NoEnd { path, .. }
        | Refusal::EndsEarly { path, .. }
        | Refusal::NotCopyable { path, .. }
        | Refusal::Range { path, .. }
        | Refusal::TooFar { path }
        | Refusal::Exists { path, .. }
        | Refusal::CannotReplace { path, .. }
        | Refusal::InUse { path, .. }
        | Refusal::NothingInPlace { path }
        | Refusal::NothingToUpdate { path, .. }
        | Refusal::Leftover { path, .. }
        | Refusal::NotAPart { path }
        | Refusal::NotOurs { path, .. }
        | Refusal::NotWhatWasCopied { path, .. }
        | Refusal::NothingToCompare { path, .. }
        | Refusal::Map(
            MapRefusal::Foreign { path, .. }
            | MapRefusal::Alien { path, .. }
            | MapRefusal::InTheWay { path }
            | MapRefusal::CannotMake { path, .. }
            | MapRefusal::Unusable { path, .. },
        )
        | Refusal::Busy { path }
        | Refusal::PieceBusy { path, .. }
        | Refusal::DeviceWithoutConsent { path, .. }
        | Refusal::DeviceAsStream { path }
        | Refusal::NotADevice { path }
        | Refusal::DeviceBusy { path, .. }
        | Refusal::DeviceReadOnly { path }
        | Refusal::DeviceTooSmall { path, .. }
        | Refusal::PastEnd { path, .. }
        | Refusal::SameFile { path, .. }
        | Refusal::Overlap { path, .. }
        | Refusal::SameDevice { path, .. }
        | Refusal::HoldsSource { path, .. }
        | Refusal::TooLarge { path, .. }
        | Refusal::NoSuchDirectory { path }
        | Refusal::NoSpace { path, .. }
        | Refusal::AmongDevices { path, .. }
        | Refusal::NoDirectory { path, .. }
        | Refusal::WriteOnly { path }
        | Refusal::CannotWrite { path, .. }
        | Refusal::CannotRead { path, .. }
        | Refusal::CannotReserve { path, .. }
        | Refusal::Split(
            SplitRefusal::Piece { path, .. }
            | SplitRefusal::SegmentExists { path }
            | SplitRefusal::OneMorePiece { path, .. },
        ) => Some(path),
        Refusal::CannotCreate { directory, .. } | Refusal::NoRename { directory, .. } => {
            Some(directory)
        }
        _ => None,
    }
}

/// What would help, as keyword arguments, of which one is enough.
fn keywords(remedy: Remedy) -> Vec<&'static str> {
    match remedy {
        Remedy::Keys => vec![
            "aws_access_key_id=..., aws_secret_access_key=...",
            "profile=NAME",
            "trust_env=True",
            "no_sign_request=True",
        ],
        other => keyword(other).into_iter().collect(),
    }
}

fn keyword(remedy: Remedy) -> Option<&'static str> {
    Some(match remedy {
        Remedy::Force => "force=True",
        Remedy::InPlace | Remedy::InPlaceAsInTheMap => "in_place=True",
        Remedy::NotInPlace => "in_place=False",
        Remedy::ToDevice => "to_device=True",
        Remedy::NotToDevice => "to_device=False",
        Remedy::Clamp | Remedy::ClampAlone => "clamp=True",
        Remedy::AllowSameDevice => "allow_same_device=True",
        Remedy::EvenIfInUse => "even_if_in_use=True",
        Remedy::IgnoreSpace => "ignore_space=True",
        Remedy::Resume => "resume=True",
        Remedy::Restart => "restart=True",
        Remedy::ForceAndRestart => "force=True, restart=True",
        Remedy::TrustLeftovers => "trust_leftovers=True",
        Remedy::AllowChangedSource => "allow_changed_source=True",
        Remedy::MapElsewhere | Remedy::SameMap => "map=PATH",
        Remedy::FewerThreads => "threads=N",
        Remedy::SmallerRequests => "io_size=BYTES",
        Remedy::AnyEngine => "engine=\"auto\"",
        Remedy::NotReflinkAlways | Remedy::NotReflinkNever => "reflink=\"auto\"",
        Remedy::NotSparseNever => "sparse=\"auto\"",
        Remedy::NameSource => "source=PATH",
        Remedy::Credentials => "headers={\"Authorization\": ...}",
        Remedy::Grow => "grow=True",
        Remedy::NotOnlyChanged => "only_changed=False",
        Remedy::JoinAlways => "join=\"always\"",
        Remedy::JoinNever => "join=\"never\"",
        _ => return None,
    })
}

/// Options from JSON: the Python half has named them.
///
/// # Errors
///
/// `ValueError` for a name that is none, and for a value that cannot be.
pub fn options(json: &str) -> PyResult<pcopy::Options> {
    let wrong = |text: String| PyValueError::new_err(text);
    let mut fields: Map<String, Value> =
        serde_json::from_slice(json.as_bytes()).map_err(|error| wrong(error.to_string()))?;
    if let Some(Value::String(text)) = fields.get("limit_rate") {
        let size: Size = text.parse().map_err(|error| wrong(format!("limit_rate: {error}")))?;
        let bytes = size.bytes(1).map_err(|error| wrong(format!("limit_rate: {error}")))?;
        fields["limit_rate"] = bytes.into();
    }
    let servers = fields.remove("servers");
    for (name, value) in &fields {
        check(name, value).map_err(wrong)?;
    }
    let mut options: pcopy::Options =
        serde_json::from_value(fields.into()).map_err(|error| wrong(error.to_string()))?;
    if let Some(told) = servers {
        let told: Servers =
            serde_json::from_value(told).map_err(|error| wrong(error.to_string()))?;
        told.tell(&mut options.remote).map_err(wrong)?;
    }
    Ok(options)
}

/// Looks at one option, or at each of those of servers, so that the one is named that
/// cannot be.
fn check(name: &str, value: &Value) -> Result<(), String> {
    let read = |one: Value, name: &str| match serde_json::from_value::<pcopy::Options>(one) {
        Ok(_) => Ok(()),
        Err(error) => Err(format!("{}: {error}", spelt(name))),
    };
    match (name, value) {
        ("remote", Value::Object(parts)) => parts
            .iter()
            .try_for_each(|(part, value)| read(json!({ "remote": { part: value } }), part)),
        _ => read(json!({ name: value }), name),
    }
}
