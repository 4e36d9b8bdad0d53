//! What happened: the report of a job, and its JSON form.
//!
//! The types here are the schema `pcopy.report/1` and nothing else: names and
//! meanings are a contract with scripts, so they are kept apart from the types
//! the engine works with.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};

use crate::address;
use crate::digest::{Digest, PieceDigests};
pub use crate::error::Outcome;
use crate::error::{Error, Remedy, escaped_json};
use crate::range::{ByteRange, Failed, RangeSet};

/// Name and version of the JSON schema.
pub const SCHEMA: &str = "pcopy.report/1";

/// What kind of thing a source or destination is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Kind {
    /// A regular file.
    File,
    /// A block device.
    BlockDevice,
    /// Standard output or a pipe.
    Stream,
    /// An object on a server, by HTTP.
    Http,
    /// An object of S3, or of what speaks like it.
    S3,
    /// Memory or another implementation of a library user.
    Other,
}

/// The source in a report.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct SourceReport {
    /// As named by the user; with `path_hex` where it is not UTF-8.
    #[serde(flatten, serialize_with = "with_hex")]
    pub path: PathBuf,
    /// What it is.
    pub kind: Kind,
    /// Size in bytes; `None` if nobody knows, as of a pipe that did not end.
    pub size: Option<u64>,
    /// Size of a logical sector in bytes.
    pub logical_sector: u32,
}

/// A destination in a report.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct DestinationReport {
    /// Final path; with `path_hex` where it is not UTF-8.
    #[serde(flatten, serialize_with = "with_hex")]
    pub path: PathBuf,
    /// What it is.
    pub kind: Kind,
    /// The files that it consists of, if it is split; the path has no number then.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub segments: Vec<SegmentReport>,
}

impl DestinationReport {
    /// Of one file or device.
    pub(crate) fn new(path: PathBuf, kind: Kind) -> DestinationReport {
        DestinationReport { path, kind, segments: Vec::new() }
    }
}

/// One of the files that a destination consists of.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct SegmentReport {
    /// Final path; with `path_hex` where it is not UTF-8.
    #[serde(flatten, serialize_with = "with_hex")]
    pub path: PathBuf,
    /// What of the whole is in it.
    pub range: ByteRange,
}

/// A further destination in a report.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct AlsoReport {
    /// Path and kind.
    #[serde(flatten)]
    pub destination: DestinationReport,
    /// How it ended for this destination.
    pub outcome: Outcome,
    /// As [`Report::verified`].
    pub verified: Option<bool>,
    /// As [`Report::verified_by`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verified_by: Option<&'static str>,
    /// As [`Report::mismatches`].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mismatches: Vec<ByteRange>,
    /// As [`Bytes::written`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub written: Option<u64>,
    /// As [`Bytes::equal`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub equal: Option<u64>,
    /// As [`Report::durable`].
    pub durable: bool,
    /// What went wrong here, if anything did.
    pub error: Option<String>,
    /// As [`Report::error_kind`].
    pub error_kind: Option<&'static str>,
}

/// The digests of a piece of the range.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct PieceReport {
    /// Which bytes, in the source.
    #[serde(flatten)]
    pub range: ByteRange,
    /// By algorithm; none if some of the bytes could not be read.
    #[serde(serialize_with = "by_algorithm")]
    pub digests: Vec<Digest>,
}

impl From<PieceDigests> for PieceReport {
    fn from(PieceDigests { range, digests }: PieceDigests) -> PieceReport {
        PieceReport { range, digests }
    }
}

/// Byte counts of a job.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct Bytes {
    /// Length of the range; `None` if nobody knows, as of a pipe that did not end.
    pub requested: Option<u64>,
    /// Copied by this run.
    pub copied: u64,
    /// Left as holes because the source has holes or zeros there; in a
    /// comparison, what is a hole on both sides and was not read.
    pub holes: u64,
    /// Done by an earlier run.
    pub resumed: u64,
    /// Could not be read.
    pub failed: u64,
    /// Where only what differs is written: bytes that differed and were written, or
    /// made zeros, at the first destination. A dry run says how many would be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub written: Option<u64>,
    /// The same of bytes that were there already, and were not written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub equal: Option<u64>,
}

/// Which part of a range was asked for.
#[derive(Clone, Copy, Debug, Serialize)]
#[non_exhaustive]
pub struct Mapped {
    /// Runs, of which no two touch.
    pub ranges: usize,
    /// Bytes in them.
    pub bytes: u64,
}

impl Mapped {
    /// The runs of `wanted`.
    pub(crate) fn of(wanted: &RangeSet) -> Mapped {
        Mapped { ranges: wanted.as_slice().len(), bytes: wanted.bytes() }
    }
}

/// A source range that could not be read.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FailedRange {
    /// First byte, in the source.
    pub start: u64,
    /// One past the last byte.
    pub end: u64,
    /// What the system said.
    pub error: String,
}

impl From<Failed> for FailedRange {
    fn from(part: Failed) -> FailedRange {
        let (start, end) = (part.range.start(), part.range.end());
        FailedRange { start, end, error: part.error.to_string() }
    }
}

/// One engine gave way to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Fallback {
    /// The engine, or feature of one, that gave way.
    pub from: String,
    /// What took over.
    pub to: String,
    /// Why.
    pub reason: String,
}

/// How far the kernel keeps the process from changing anything but what it is to change.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Confinement {
    /// As far as this program knows to ask.
    Full,
    /// As far as an older kernel knows.
    Partial,
    /// Not at all.
    None,
}

/// Of this process, if it has been asked for: it holds until the process ends.
static CONFINEMENT: OnceLock<Confinement> = OnceLock::new();

impl Confinement {
    /// Has every report of this process say so from now on. To be called once.
    pub fn report(self) {
        let _ = CONFINEMENT.set(self);
    }

    pub(crate) fn reported() -> Option<Confinement> {
        CONFINEMENT.get().copied()
    }
}

/// Time spent, in seconds.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct Seconds {
    /// Moving bytes.
    pub copy: f64,
    /// Waiting for the disk after the last byte was written.
    pub sync: f64,
    /// Reading back and comparing.
    pub verify: f64,
    /// All of it.
    pub total: f64,
}

/// What a job did. Serialised, it is the JSON document of `--json`.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// Name and version of this schema.
    pub schema: &'static str,
    /// How the job ended.
    pub outcome: Outcome,
    /// Whether this was a dry run, which writes nothing.
    pub dry_run: bool,
    /// The source.
    pub source: SourceReport,
    /// The destination.
    pub destination: DestinationReport,
    /// Further destinations, in the order in which they were named.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<AlsoReport>,
    /// The range, in bytes of the source.
    pub range: ByteRange,
    /// Where its first byte went in the destination.
    pub dest_offset: u64,
    /// Whether a range beyond the end of the source was cut to what exists.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub clamped: bool,
    /// What of the range was asked for, where that is not all of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mapped: Option<Mapped>,
    /// Byte counts.
    pub bytes: Bytes,
    /// What could not be read, ascending.
    pub failed: Vec<FailedRange>,
    /// The engine that moved the bytes.
    pub engine: &'static str,
    /// Why that engine.
    pub engine_reason: String,
    /// Where an engine gave way.
    pub fallbacks: Vec<Fallback>,
    /// Workers, at most at one time.
    pub threads: usize,
    /// Unit of scheduling in bytes.
    pub stripe_size: u64,
    /// Largest single request in bytes.
    pub io_size: u64,
    /// Digests of the range, by algorithm. Empty if nobody asked, or if some
    /// bytes could not be read.
    #[serde(serialize_with = "by_algorithm")]
    pub digests: Vec<Digest>,
    /// Digests of the pieces of the range, where they were asked for: first of every
    /// file of a split destination, then of every so many bytes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pieces: Vec<PieceReport>,
    /// `true` if the destination was read back and found equal, `false` if
    /// found different, `null` if nobody asked.
    pub verified: Option<bool>,
    /// How it was read back: `direct`, past the page cache, or `dropped-cache`,
    /// through the cache after what it held was dropped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verified_by: Option<&'static str>,
    /// Where the destination differs, ascending.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mismatches: Vec<ByteRange>,
    /// Of a patch whose old bytes were asked for: what was there before, in
    /// hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old: Option<String>,
    /// Whether everything was on the disk when the job ended.
    pub durable: bool,
    /// Whether the destination was changed in place, where an interruption shows.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub in_place: bool,
    /// Whether the same job with `resume` continues where this one ended.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub resumable: bool,
    /// How far the process was confined; `None` where nobody asks for it, as in a
    /// program that uses this library.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confined: Option<Confinement>,
    /// Things worth knowing that are not errors.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// Time spent.
    pub seconds: Seconds,
    /// Bytes copied by this run over the time spent copying and syncing.
    pub bytes_per_second: f64,
    /// What went wrong, if anything did.
    pub error: Option<String>,
    /// The same in a word that stays: [`ErrorKind::word`](crate::ErrorKind::word).
    pub error_kind: Option<&'static str>,
    /// What would help a further run beside what helps against the error.
    #[serde(skip)]
    pub remedies: Vec<Remedy>,
    /// Of several destinations, those that have everything.
    #[serde(skip)]
    pub complete: Vec<PathBuf>,
    /// Whether the job ended before it knew what it would do.
    #[serde(skip)]
    pub(crate) unplanned: bool,
}

/// What nobody knows of a job that ended before it was planned.
const PLANNED: [&str; 11] = [
    "/source/kind",
    "/source/logical_sector",
    "/destination/kind",
    "/range",
    "/dest_offset",
    "/engine",
    "/engine_reason",
    "/threads",
    "/stripe_size",
    "/io_size",
    "/bytes_per_second",
];

impl Report {
    pub(crate) fn new(source: SourceReport, destination: DestinationReport) -> Report {
        Report {
            schema: SCHEMA,
            outcome: Outcome::Failed,
            dry_run: false,
            source,
            destination,
            also: Vec::new(),
            range: ByteRange::default(),
            dest_offset: 0,
            clamped: false,
            mapped: None,
            bytes: Bytes::default(),
            failed: Vec::new(),
            engine: "",
            engine_reason: String::new(),
            fallbacks: Vec::new(),
            threads: 0,
            stripe_size: 0,
            io_size: 0,
            digests: Vec::new(),
            pieces: Vec::new(),
            verified: None,
            verified_by: None,
            mismatches: Vec::new(),
            old: None,
            durable: false,
            in_place: false,
            resumable: false,
            confined: Confinement::reported(),
            notes: Vec::new(),
            seconds: Seconds::default(),
            bytes_per_second: 0.0,
            error: None,
            error_kind: None,
            remedies: Vec::new(),
            complete: Vec::new(),
            unplanned: false,
        }
    }

    /// The report of a job that ended before it knew what it would do: the
    /// paths as named and the error, so that every job has a report. In its JSON form,
    /// everything that was not known yet is `null`.
    pub fn of_error(error: &Error, source: &Path, destination: &Path) -> Report {
        let kind = Kind::Other;
        let [source, destination] =
            [source, destination].map(|path| address::shown(path).into_owned());
        let source = SourceReport { path: source, kind, size: None, logical_sector: 0 };
        let destination = DestinationReport::new(destination, kind);
        let mut report = Report::new(source, destination);
        report.outcome = error.outcome();
        report.unplanned = true;
        report.fail(error);
        report
    }

    /// Says that the job ended in `error`.
    pub(crate) fn fail(&mut self, error: &Error) {
        self.error = Some(error.chain());
        self.error_kind = Some(error.word());
    }

    /// Whether every requested byte is in the destination.
    pub fn is_complete(&self) -> bool {
        self.outcome == Outcome::Complete
    }

    /// The ranges that could not be read, as a set.
    pub fn failed_set(&self) -> RangeSet {
        self.failed.iter().filter_map(|part| ByteRange::new(part.start, part.end)).collect()
    }

    /// The report as one JSON document without a newline at its end.
    pub fn to_json(&self) -> String {
        let expressible = "a report holds nothing that JSON cannot express";
        if !self.unplanned {
            return escaped_json(serde_json::to_string(self).expect(expressible));
        }
        let mut document = serde_json::to_value(self).expect(expressible);
        for pointer in PLANNED {
            if let Some(value) = document.pointer_mut(pointer) {
                *value = serde_json::Value::Null;
            }
        }
        escaped_json(document.to_string())
    }
}

/// Bytes over a duration, or 0 where no time passed.
pub(crate) fn rate(bytes: u64, over: Duration) -> f64 {
    let seconds = over.as_secs_f64();
    if seconds > 0.0 { bytes as f64 / seconds } else { 0.0 }
}

/// A path as `path`. What is not UTF-8 is marked there, and every byte of it is
/// beside that, in hexadecimal.
pub(crate) fn with_hex<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(None)?;
    map.serialize_entry("path", &path.to_string_lossy())?;
    if path.to_str().is_none() {
        map.serialize_entry("path_hex", &hex(path))?;
    }
    map.end()
}

/// The bytes of a path in hexadecimal.
pub(crate) fn hex(path: &Path) -> String {
    path.as_os_str().as_encoded_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn by_algorithm<S: Serializer>(
    digests: &[Digest],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(digests.iter().map(|digest| (digest.algorithm(), digest)))
}
