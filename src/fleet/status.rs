//! How far a job is, by what is in its folder. Nothing is written, so that it may be asked
//! from anywhere.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::folder::{Folder, OnDisk};
use super::join::{AnyPlan, failed, read_any_plan, read_finished};
use super::member::latest_claims;
use super::plan::{Plan, Planned};
use super::record::{ClaimNote, Record, claim_name, nested_name, record_name, unseal};
use crate::error::{Error, Refusal, Result, quoted};
use crate::range::ByteRange;

/// Name and version of the JSON schema.
const SCHEMA: &str = "pcopy.job-status/1";

/// What a job is doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum State {
    /// Some shards are not there.
    Copying,
    /// All are there, and the file has not got its name.
    Finishing,
    /// It is over.
    Finished,
}

/// How far a job is. Serialised, it is a JSON document.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Status {
    /// Name and version of this schema.
    pub schema: &'static str,
    /// Number of the job.
    pub job: String,
    /// What it is doing.
    pub state: State,
    /// What is read; `None` if it is a list, or several things.
    pub source: Option<PathBuf>,
    /// What is made, or the directory that files go to.
    pub destination: PathBuf,
    /// The range, in bytes of the source; `None` if there are many files.
    pub range: Option<ByteRange>,
    /// Items of the list, or of the folders; `None` if it is one range.
    pub items: Option<u64>,
    /// Bytes that are to be copied.
    pub bytes: u64,
    /// How many shards there are.
    pub shards: u32,
    /// How many of them are there.
    pub shards_done: u32,
    /// Bytes of those.
    pub bytes_done: u64,
    /// Bytes that could not be read.
    pub bytes_failed: u64,
    /// Bytes a second, from the begin of the first shard to the end of the last one that
    /// is there; `None` if none is.
    pub bytes_per_second: Option<f64>,
    /// Seconds that are left at that rate.
    pub seconds_left: Option<f64>,
    /// When the first shard was there, in seconds since 1970.
    pub first_done: Option<f64>,
    /// When the last one was.
    pub last_done: Option<f64>,
    /// What each machine has done, by its name.
    pub hosts: Vec<HostStatus>,
    /// Shards that somebody has, or had when the process ended.
    pub claimed: Vec<ShardStatus>,
    /// Shards that are not there, as schedulers take them.
    pub missing: String,
    #[serde(skip)]
    missing_numbers: Vec<u32>,
}

/// What a machine has done.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct HostStatus {
    /// Its name.
    pub host: String,
    /// Shards.
    pub shards: u32,
    /// Bytes of those.
    pub bytes: u64,
    /// When its first one was there, in seconds since 1970 by its clock.
    pub first_done: f64,
    /// When its last one was.
    pub last_done: f64,
    /// Seconds that its slowest one took.
    pub slowest: f64,
}

/// A shard that somebody copies.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct ShardStatus {
    /// Its number, from 0.
    pub shard: u32,
    /// The machine.
    pub host: String,
    /// The process there.
    pub pid: u32,
    /// Which claim to it this is, from 1: one more than those that were taken over.
    pub generation: u32,
    /// Bytes of it that are written.
    pub bytes: u64,
    /// Whether it was given back.
    pub released: bool,
}

impl Status {
    /// Shards that are not there.
    pub fn missing(&self) -> Vec<u32> {
        self.missing_numbers.clone()
    }

    /// As one JSON document.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    /// The document that there is where there is no status.
    pub fn to_json_of_error(error: &Error) -> String {
        let (text, word) = (error.chain(), error.word());
        serde_json::json!({ "schema": SCHEMA, "error": text, "error_kind": word }).to_string()
    }
}

/// Looks into `folder`, which is at `path`.
///
/// # Errors
///
/// If there is no job in it, or it cannot be read.
pub fn look(path: &Path, folder: &dyn Folder) -> Result<Status> {
    match read_any_plan(path, folder)? {
        Some(AnyPlan::Range(plan)) => {
            let job = &plan.job;
            let of = Of {
                source: Some(job.source.path.path()),
                destination: job.destination.path(),
                range: Some(job.range),
                items: None,
                together: Vec::new(),
            };
            look_at(path, folder, &plan, of)
        }
        Some(AnyPlan::List(plan)) => {
            let job = &plan.job;
            let source = match job.folders.as_ref().map(|folders| &folders.operands[..]) {
                Some([only]) => Some(only.path()),
                _ => None,
            };
            let shared = (0..).zip(&job.shards).filter(|(_, shard)| shard.together);
            let of = Of {
                source,
                destination: job.into.path(),
                range: None,
                items: Some(job.items),
                together: shared.map(|(number, _)| number).collect(),
            };
            look_at(path, folder, &plan, of)
        }
        None => Err(no_job(path).into()),
    }
}

/// That there is no job in the folder at `path`.
pub fn no_job(path: &Path) -> Refusal {
    Refusal::Other(format!("there is no job in {}", quoted(path)))
}

/// What a plan is of.
struct Of {
    source: Option<PathBuf>,
    destination: PathBuf,
    range: Option<ByteRange>,
    items: Option<u64>,
    /// Shards that are jobs of their own.
    together: Vec<u32>,
}

/// How far the jobs are that are the shards `missing` of the one at `path`.
fn nested(path: &Path, missing: &[u32], together: &[u32]) -> Vec<(u32, Status)> {
    let is_one = |shard: &&u32| together.contains(shard);
    let look = |&shard: &u32| {
        let path = path.join(nested_name(shard));
        let opened = OnDisk::open(&path).ok()?;
        Some((shard, look(&path, &opened).ok()?))
    };
    missing.iter().filter(is_one).filter_map(look).collect()
}

fn look_at<J: Planned>(path: &Path, folder: &dyn Folder, plan: &Plan<J>, of: Of) -> Result<Status> {
    let finished = read_finished(path, folder, plan)?;
    let names = folder.names().map_err(|error| failed(path, error))?;
    let ranges = plan.job.shards();
    let mut records: BTreeMap<u32, Record> = BTreeMap::new();
    for (number, range) in (0u32..).zip(&ranges) {
        if !names.contains(&record_name(number)) {
            continue;
        }
        let bytes = folder.read(&record_name(number)).map_err(|error| failed(path, error))?;
        let record = bytes.and_then(|bytes| unseal::<Record>(&bytes));
        let record = record.filter(|record| record.plan == plan.id && record.range == *range);
        records.extend(record.map(|record| (number, record)));
    }
    let shards = u32::try_from(ranges.len()).unwrap_or(u32::MAX);
    let missing: Vec<u32> = (0..shards).filter(|shard| !records.contains_key(shard)).collect();
    let mut claimed = Vec::new();
    for (shard, generation) in latest_claims(&names) {
        if records.contains_key(&shard) || shard >= shards {
            continue;
        }
        let name = claim_name(shard, generation);
        let bytes = folder.read(&name).map_err(|error| failed(path, error))?;
        let claim = bytes.and_then(|bytes| unseal::<ClaimNote>(&bytes));
        claimed.extend(claim.map(|claim| ShardStatus {
            shard,
            host: claim.by.host,
            pid: claim.by.pid,
            generation,
            bytes: claim.bytes,
            released: claim.released,
        }));
    }
    let nested = nested(path, &missing, &of.together);
    let recorded = records.values().map(|record| record.range.len());
    let in_nested = nested.iter().map(|(_, status)| status.bytes_done);
    let bytes_done: u64 = recorded.chain(in_nested).sum();
    for (shard, status) in &nested {
        claimed.extend(
            status.claimed.iter().map(|claim| ShardStatus { shard: *shard, ..claim.clone() }),
        );
    }
    let begun = records.values().map(|record| record.begun).reduce(f64::min);
    let last_done = records.values().map(|record| record.ended).reduce(f64::max);
    let rate = begun.zip(last_done).filter(|(begun, last)| last > begun);
    let rate = rate.map(|(begun, last)| bytes_done as f64 / (last - begun));
    let bytes: u64 = ranges.iter().map(|range| range.len()).sum();
    let left = bytes.saturating_sub(bytes_done);
    let unread = |record: &Record| -> u64 {
        let of_items = record.items.iter().flat_map(|item| &item.failed);
        record.failed.iter().chain(of_items).map(|part| part.range.len()).sum()
    };
    Ok(Status {
        schema: SCHEMA,
        job: plan.id.clone(),
        state: match (&finished, missing.is_empty()) {
            (Some(_), _) => State::Finished,
            (None, true) => State::Finishing,
            (None, false) => State::Copying,
        },
        source: of.source,
        destination: of.destination,
        range: of.range,
        items: of.items,
        bytes,
        shards,
        shards_done: shards - u32::try_from(missing.len()).unwrap_or(shards),
        bytes_done,
        bytes_failed: records.values().map(unread).sum(),
        bytes_per_second: rate,
        seconds_left: rate.filter(|rate| *rate > 0.0).map(|rate| left as f64 / rate),
        first_done: records.values().map(|record| record.ended).reduce(f64::min),
        last_done,
        hosts: hosts(&records),
        claimed,
        missing: super::as_list(&missing),
        missing_numbers: missing,
    })
}

fn hosts(records: &BTreeMap<u32, Record>) -> Vec<HostStatus> {
    let mut hosts: BTreeMap<&str, HostStatus> = BTreeMap::new();
    for record in records.values() {
        let host = hosts.entry(&record.by.host).or_insert_with(|| HostStatus {
            host: record.by.host.clone(),
            shards: 0,
            bytes: 0,
            first_done: record.ended,
            last_done: record.ended,
            slowest: 0.0,
        });
        host.shards += 1;
        host.bytes += record.range.len();
        host.first_done = host.first_done.min(record.ended);
        host.last_done = host.last_done.max(record.ended);
        host.slowest = host.slowest.max(record.ended - record.begun);
    }
    hosts.into_values().collect()
}
