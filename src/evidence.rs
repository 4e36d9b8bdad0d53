//! The log of an acquisition: who copied what from which drive, when, with what, and
//! how it ended, in one structure that is written as text and as JSON.
//!
//! The report says what a copy did. This adds what a court or a later reader asks
//! beside it: the case, the drives, the times of the day. Nothing here asks a drive
//! or opens a file; `drive` takes apart what smartctl and hdparm have said to
//! the caller, who runs them.

mod clock;
pub mod drive;
mod text;

use serde::{Serialize, Serializer};
use serde_json::Value;

pub use clock::utc;
pub use drive::{Hidden, HiddenArea, Smart};

use crate::devices::Device;
use crate::digest::Digest;
use crate::error::{Outcome, Unprotected, escaped_json};
use crate::report::{Kind, Report, by_algorithm};
use crate::sys::{self, Kernel};

/// Name and version of the JSON schema.
pub const SCHEMA: &str = "pcopy.evidence/1";

/// The first line of the log as text.
pub const HEADING: &str = "pcopy acquisition log";

/// What identifies an acquisition, as the examiner gives it.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Case {
    /// Number of the case.
    #[serde(rename = "case")]
    pub number: Option<String>,
    /// Number of the item of evidence in it.
    pub evidence: Option<String>,
    /// Who acquires it.
    pub operator: Option<String>,
    /// Anything else.
    pub notes: Vec<String>,
}

/// A program and the system that it ran on.
#[derive(Clone, Debug, Serialize)]
pub struct Tool {
    /// Its name.
    pub name: &'static str,
    /// Its version.
    pub version: &'static str,
    /// Name of the kernel; `None` where the system does not tell.
    pub kernel: Option<String>,
    /// Release of the kernel.
    pub kernel_release: Option<String>,
    /// Kind of processor.
    pub machine: Option<String>,
    /// What the machine calls itself.
    pub host: Option<String>,
    /// The user whose rights it had; `None` where users have no numbers.
    pub user: Option<u32>,
}

impl Tool {
    /// This program, here.
    pub fn this() -> Tool {
        let kernel = sys::kernel();
        let part =
            |part: fn(&Kernel) -> &String| kernel.as_ref().map(|kernel| part(kernel).clone());
        Tool {
            name: env!("CARGO_PKG_NAME"),
            version: env!("CARGO_PKG_VERSION"),
            kernel: part(|kernel| &kernel.name),
            kernel_release: part(|kernel| &kernel.release),
            machine: part(|kernel| &kernel.machine),
            host: part(|kernel| &kernel.host),
            user: sys::HAS_OWNERS.then(sys::user),
        }
    }
}

/// Whether a source was protected against being written.
#[derive(Clone, Debug, Serialize)]
pub struct Protection {
    /// Whether the copy was to be refused otherwise.
    pub required: bool,
    /// Whether no program could write to it when the copy began.
    pub read_only: bool,
    /// What could have written to it.
    pub why_not: Option<String>,
}

impl Protection {
    /// Of a source that `unprotected` could change.
    pub fn of(unprotected: Option<Unprotected>, required: bool) -> Protection {
        let why_not = unprotected.map(|why| why.to_string());
        Protection { required, read_only: why_not.is_none(), why_not }
    }
}

/// What is known of the drive that was read.
#[derive(Clone, Debug, Serialize)]
pub struct Drive {
    /// The device that was named.
    pub device: Device,
    /// The disk that it is a part of, if it is one.
    pub disk: Option<Device>,
    /// How it is, by its own account.
    pub smart: Smart,
    /// Sectors that it does not show.
    pub hidden: Hidden,
}

/// Digests of a source that was read once more, only for them.
#[derive(Clone, Debug, Serialize)]
pub struct Reading {
    /// When it began, in UTC.
    pub begun: String,
    /// When it ended, in UTC.
    pub ended: String,
    /// By algorithm; none if some bytes could not be read.
    #[serde(serialize_with = "by_algorithm")]
    pub digests: Vec<Digest>,
    /// Bytes that could not be read.
    pub unreadable: u64,
    /// What went wrong, if anything did.
    pub error: Option<String>,
}

/// What became of ranges that could not be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Fill {
    /// They read as zeros in the destination, which was new.
    Zeros,
    /// The destination has there what it had before.
    Unchanged,
    /// The copy ends before the first of them.
    Ended,
}

/// One acquisition.
#[derive(Clone, Debug, Serialize)]
pub struct Acquisition<'a> {
    /// Name and version of this schema.
    pub schema: &'static str,
    /// What identifies it.
    #[serde(flatten)]
    pub case: Case,
    /// When it began, in UTC.
    pub begun: String,
    /// When it ended, in UTC.
    pub ended: String,
    /// What copied.
    pub tool: Tool,
    /// The command, as a shell takes it, without credentials.
    pub command: String,
    /// The folder that it was typed in.
    pub folder: Option<String>,
    /// The drive that was read, if the source is a block device.
    pub drive: Option<Drive>,
    /// Whether the source was protected.
    pub protection: Protection,
    /// The devices that were written; `None` for what is not one.
    pub written: Vec<Option<Device>>,
    /// What became of ranges that could not be read; `None` if there was none.
    pub fill: Option<Fill>,
    /// The source, read before the copy, if that was asked for.
    pub source_before: Option<Reading>,
    /// The source, read after the copy, if that was asked for.
    pub source_after: Option<Reading>,
    /// How it ended, in a sentence.
    pub verdict: String,
    /// What the copy did.
    #[serde(serialize_with = "as_document")]
    pub report: &'a Report,
    /// Acquisitions that were interrupted and that this one resumed, as their own
    /// logs had them.
    pub earlier: Vec<Value>,
}

impl Acquisition<'_> {
    /// As one JSON document, with a newline at its end.
    pub fn to_json(&self) -> String {
        // Numbers, texts and lists of them always serialize.
        escaped_json(serde_json::to_string_pretty(self).unwrap_or_default()) + "\n"
    }

    /// For people.
    pub fn to_text(&self) -> String {
        text::of(self)
    }

    /// Whether every reading of the source gave the same digests.
    pub fn is_source_the_same(&self) -> bool {
        is_the_same(self.report, [&self.source_before, &self.source_after])
    }
}

/// What became of what could not be read.
pub fn fill(report: &Report) -> Option<Fill> {
    if report.failed.is_empty() {
        return None;
    }
    Some(match report.destination.kind {
        Kind::Stream => Fill::Ended,
        _ if report.in_place || report.destination.kind == Kind::BlockDevice => Fill::Unchanged,
        _ => Fill::Zeros,
    })
}

/// Whether every reading of the source that has digests has those of the copy.
pub fn is_the_same(report: &Report, readings: [&Option<Reading>; 2]) -> bool {
    let mut all = readings.into_iter().flatten().flat_map(|reading| &reading.digests);
    all.all(|digest| {
        let of_copy = report.digests.iter().find(|own| own.algorithm() == digest.algorithm());
        of_copy.is_none_or(|own| own == digest)
    })
}

/// How it ended, in a sentence.
pub fn verdict(report: &Report, readings: [&Option<Reading>; 2]) -> String {
    if !is_the_same(report, readings) {
        return "NOT THE SAME: the source gave other bytes when it was read again".to_owned();
    }
    let read_back = match (report.verified, report.verified_by) {
        (Some(true), Some("direct")) => {
            ", and what was written was read back past the cache and \
                                         is equal"
        }
        (Some(true), _) => ", and what was written was read back and is equal",
        _ => "",
    };
    let durable = if report.durable { "" } else { ", not synced to the disk" };
    match report.outcome {
        Outcome::Complete => {
            format!("COMPLETE: every byte of the range was read and written{read_back}{durable}")
        }
        Outcome::Partial => format!(
            "PARTIAL: {} bytes in {} ranges could not be read; every other byte of the range was \
             read and written{read_back}{durable}",
            report.bytes.failed,
            report.failed.len(),
        ),
        Outcome::Interrupted => "INTERRUPTED: the copy is not complete".to_owned(),
        Outcome::Mismatch => "MISMATCH: what was written or read is not as expected".to_owned(),
        _ => "FAILED: the copy is not complete".to_owned(),
    }
}

fn as_document<S: Serializer>(report: &Report, serializer: S) -> Result<S::Ok, S::Error> {
    let document: Value =
        serde_json::from_slice(report.to_json().as_bytes()).map_err(serde::ser::Error::custom)?;
    document.serialize(serializer)
}
