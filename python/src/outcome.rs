//! How a job ended, as JSON: `{"report": ...}`, or `{"error": ..., "report": ...}`.

use std::error::Error as _;
use std::io;
use std::path::Path;

use pcopy::error::{Remedy, escaped_json};
use pcopy::{Error, ErrorKind, JobResult, Refusal, Size};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use serde::Serialize;
use serde_json::{Value, json};

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
    let keywords: Vec<&str> = error.kind().remedies().into_iter().filter_map(keyword).collect();
    json!({
        "message": error.chain(),
        "kind": error.word(),
        "outcome": error.outcome(),
        "errno": system.and_then(io::Error::raw_os_error),
        "path": path(error.kind()).map(|path| path.to_string_lossy()),
        "remedies": keywords,
    })
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

/// The file or device that the error is about.
fn path(kind: &ErrorKind) -> Option<&Path> {
    match kind {
        ErrorKind::Read { path, .. }
        | ErrorKind::SourceShrank { path, .. }
        | ErrorKind::SourceGone { path, .. }
        | ErrorKind::SourceChanged { path, .. }
        | ErrorKind::DestinationChanged { path, .. }
        | ErrorKind::Write { path, .. }
        | ErrorKind::Destination { path, .. }
        | ErrorKind::NotNamed { path, .. }
        | ErrorKind::Sync { path, .. }
        | ErrorKind::Journal { path, .. }
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
        | Refusal::CannotRead { path, .. }
        | Refusal::Exists { path, .. }
        | Refusal::Leftover { path, .. }
        | Refusal::NotCopyable { path, .. }
        | Refusal::Range { path, .. }
        | Refusal::Busy { path }
        | Refusal::DeviceBusy { path }
        | Refusal::DeviceWithoutConsent { path, .. }
        | Refusal::InUse { path, .. }
        | Refusal::CannotReplace { path, .. } => Some(path),
        _ => None,
    }
}

/// What would help, as keyword arguments.
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
    let mut fields: Value = serde_json::from_str(json).map_err(|error| wrong(error.to_string()))?;
    if let Some(Value::String(text)) = fields.get("limit_rate") {
        let size: Size = text.parse().map_err(|error| wrong(format!("limit_rate: {error}")))?;
        let bytes = size.bytes(1).map_err(|error| wrong(format!("limit_rate: {error}")))?;
        fields["limit_rate"] = bytes.into();
    }
    serde_json::from_value(fields).map_err(|error| wrong(error.to_string()))
}
