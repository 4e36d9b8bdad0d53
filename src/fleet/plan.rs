//! The plan of a job: what all who take part must agree on, written once. Its number
//! of shards is the only one; what a launcher says changes nothing about it.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::member::Shards;
use super::record::{Process, seal, unseal};
use crate::digest::{Algorithm, folds, hash_slice};
use crate::durable::map;
use crate::endpoint::shared::Upload;
use crate::endpoint::{ObjectId, Origin};
use crate::error::{Result, SourceChange};
use crate::options::Options;
use crate::plan::SMALLEST_STRIPE;
use crate::range::{ByteRange, Mapping, RangeSpec};
use crate::size::Size;
use crate::sys::{bytes_of, os_string};

/// Most shards of a job: as many files as a folder is listed with at once.
pub const MOST: u64 = 4096;

/// Shards of a range that keep several machines busy to the end, where more of them would
/// be smaller than what is worth a record.
const ENOUGH: u64 = 32;

/// Bytes of a shard that is worth its record and its sync.
const WORTHWHILE: u64 = 64 << 20;

/// Bytes of the smallest shard: no two machines write to one page of memory.
const SMALLEST: u64 = 64 << 10;

/// Digits of the number of a job that are in the name of its file.
pub const TAG: usize = 8;

/// What a plan can be of.
pub trait Planned: Clone + Serialize + DeserializeOwned {
    /// Name and version of what is in the folder of such a job.
    const SCHEMA: &'static str;

    /// Whether it can be done as it stands there.
    fn is_sound(&self) -> bool;

    /// Its shards, in bytes: of the source, or of all that is copied.
    fn shards(&self) -> Vec<ByteRange>;
}

/// The plan.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan<J = Job> {
    schema: String,
    /// Digest of all the rest.
    pub id: String,
    /// Who made it.
    pub made_by: Process,
    /// When, in milliseconds since 1970.
    pub made_ms: u64,
    /// Version of the program that made it.
    pub version: String,
    /// What is to be done.
    pub job: J,
    /// What was begun at a service to do it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upload: Option<Upload>,
}

/// What is to be done.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Job {
    /// What is read.
    pub source: SourceFacts,
    /// The final name, absolute.
    pub destination: Name,
    /// Where that is, if its name does not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Which bytes of the source.
    pub range: ByteRange,
    /// Where the first byte goes.
    pub dest_offset: u64,
    /// Bytes of a shard; they lie on a grid of this size in the destination.
    pub shard_size: u64,
    /// How they are copied. What may differ from machine to machine is left out.
    pub options: Options,
}

/// A path, as far as it can be stored as text.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Name {
    /// It is text.
    Text(String),
    /// It is not.
    Bytes(Vec<u8>),
}

impl From<&Path> for Name {
    fn from(path: &Path) -> Name {
        match path.to_str() {
            Some(text) => Name::Text(text.to_owned()),
            None => Name::Bytes(bytes_of(path.as_os_str())),
        }
    }
}

impl Name {
    /// The path.
    pub fn path(&self) -> PathBuf {
        match self {
            Name::Text(text) => PathBuf::from(text),
            Name::Bytes(bytes) => PathBuf::from(os_string(bytes.clone()).unwrap_or_default()),
        }
    }
}

/// By what a source is known on every machine.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceFacts {
    /// Absolute.
    pub path: Name,
    /// In the words of the report.
    pub kind: String,
    /// Bytes.
    pub size: u64,
    /// Last change, in nanoseconds since 1970; `None` where it says nothing.
    pub mtime_ns: Option<i64>,
    /// What its server calls this version of it.
    pub tag: Option<String>,
}

impl SourceFacts {
    /// Of what is open.
    pub fn of(origin: &dyn Origin) -> SourceFacts {
        let map::Source { path, kind, size, mtime_ns, id, .. } = origin.identity();
        let tag = match id {
            Some(ObjectId::Remote { tag, .. }) => Some(tag),
            _ => None,
        };
        let mtime_ns = mtime_ns.and_then(|time| i64::try_from(time).ok());
        SourceFacts { path: Name::from(&*path), kind, size, mtime_ns, tag }
    }

    /// What is not as it was, if it is `now` as it is there.
    pub fn change(&self, now: &SourceFacts) -> Option<SourceChange> {
        if self.size != now.size {
            return Some(SourceChange::Size { before: self.size, now: now.size });
        }
        if self.mtime_ns != now.mtime_ns {
            return Some(SourceChange::Modified);
        }
        let (before, now) = (self.tag.clone(), now.tag.clone());
        (before != now).then_some(SourceChange::Tag { before, now })
    }
}

/// What of `options` all who take part must agree on: what is copied and how it is
/// proved. How many threads a machine has, say, is its own.
pub fn agreed(options: &Options) -> Options {
    let mut agreed = options.clone();
    let own = Options::default();
    (agreed.range, agreed.dest_offset, agreed.clamp) =
        (RangeSpec::default(), own.dest_offset, false);
    (agreed.threads, agreed.io_size, agreed.engine) = (own.threads, own.io_size, own.engine);
    (agreed.keep_cache, agreed.limit_rate) = (own.keep_cache, own.limit_rate);
    (agreed.retries, agreed.wait, agreed.remote) = (own.retries, own.wait, own.remote);
    (agreed.checkpoint_every, agreed.trust) = (own.checkpoint_every, own.trust);
    (agreed.leftovers, agreed.ignore_space) = (own.leftovers, own.ignore_space);
    agreed
}

/// The options of one process, whose own are `own`, in a job for which all have `agreed`.
pub fn of_one(agreed: &Options, own: &Options) -> Options {
    let mut options = agreed.clone();
    (options.threads, options.io_size, options.engine) = (own.threads, own.io_size, own.engine);
    (options.keep_cache, options.limit_rate) = (own.keep_cache, own.limit_rate);
    (options.retries, options.wait) = (own.retries, own.wait);
    (options.remote, options.trust) = (own.remote.clone(), own.trust);
    // Room was looked for at once for all.
    options.ignore_space = true;
    options
}

impl Job {
    /// A job that copies what `mapping` says, in shards of whole parts of `part` bytes.
    ///
    /// # Errors
    ///
    /// If the stripes of the `options` cannot be.
    pub fn new(
        origin: &dyn Origin,
        destination: &Path,
        mapping: Mapping,
        part: u64,
        options: &Options,
    ) -> Result<Job> {
        let stripe = options.stripe_size(origin.sector())?.unwrap_or(SMALLEST_STRIPE);
        let range = mapping.from();
        Ok(Job {
            source: SourceFacts::of(origin),
            destination: Name::from(destination),
            endpoint: None,
            range,
            dest_offset: mapping.to().start(),
            shard_size: shard_size(range.len(), stripe.max(part)),
            options: agreed(options),
        })
    }

    /// Where the first byte goes, and where all end.
    pub fn mapping(&self) -> Option<Mapping> {
        Mapping::new(self.range, self.dest_offset)
    }

    /// Length of the destination in bytes.
    pub fn len(&self) -> u64 {
        self.dest_offset.saturating_add(self.range.len())
    }

    /// The options of one process, `own`, to copy `shard`.
    pub fn options_of(&self, shard: ByteRange, own: &Options) -> Options {
        let mut options = of_one(&self.options, own);
        let offset = self.dest_offset + (shard.start() - self.range.start());
        (options.range, options.dest_offset) = (shard.into(), Size::Bytes(offset));
        options.digests = self.folded();
        (options.force, options.preserve) = (false, false);
        options.expected.clear();
        options
    }

    /// The digests that are made of those of the shards.
    pub fn folded(&self) -> Vec<Algorithm> {
        let wanted = self.options.wanted_digests().into_iter();
        wanted.filter(|algorithm| self.folds(*algorithm)).collect()
    }

    fn folds(&self, algorithm: Algorithm) -> bool {
        let is_on_grid = self.dest_offset.is_multiple_of(self.shard_size);
        (is_on_grid || algorithm != Algorithm::Blake3) && folds(algorithm, self.shard_size)
    }
}

impl Planned for Job {
    const SCHEMA: &'static str = "pcopy.job/1";

    fn is_sound(&self) -> bool {
        self.shard_size.is_power_of_two()
            && self.shard_size >= SMALLEST
            && self.mapping().is_some()
            && self.range.len() / self.shard_size <= MOST
    }

    fn shards(&self) -> Vec<ByteRange> {
        // No two machines write to one page of the destination.
        let phase = self.dest_offset.wrapping_sub(self.range.start());
        self.range.pieces_on_grid(self.shard_size, phase).collect()
    }
}

/// What differs between a plan and a process that would take part.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Difference {
    /// In words.
    pub what: String,
    /// In the plan.
    pub planned: String,
    /// In this process.
    pub here: String,
}

fn difference(name: &str, planned: &Value, here: &Value) -> Option<Difference> {
    if planned == here {
        return None;
    }
    let is_whole = ["range"].contains(&name);
    if let (false, Value::Object(there), Value::Object(ours)) = (is_whole, planned, here) {
        let keys = there.keys().chain(ours.keys().filter(|key| !there.contains_key(*key)));
        let of = |key: &String| {
            let field = |fields: &serde_json::Map<String, Value>| {
                fields.get(key).cloned().unwrap_or_default()
            };
            let name = match name {
                "" | "options" => key.clone(),
                name => format!("{key} of the {name}"),
            };
            difference(&name, &field(there), &field(ours))
        };
        return keys.into_iter().find_map(of);
    }
    let what = match name {
        "mtime_ns of the source" => "modification time of the source",
        name => name,
    };
    Some(Difference { what: what.to_owned(), planned: shown(planned), here: shown(here) })
}

fn shown(value: &Value) -> String {
    match value {
        Value::Object(fields) if fields.contains_key("start") && fields.contains_key("end") => {
            format!("{}..{}", fields["start"], fields["end"])
        }
        Value::Null => "not there".to_owned(),
        value => value.to_string(),
    }
}

/// Bytes of a shard, for `len` bytes in stripes of `stripe`: more shards than machines,
/// and not so many that their records cost more than their bytes.
pub fn shard_size(len: u64, stripe: u64) -> u64 {
    let mut size = stripe.max(SMALLEST);
    while len / size > MOST || size < WORTHWHILE && len / size > ENOUGH {
        size *= 2;
    }
    size
}

impl<J: Planned> Plan<J> {
    /// Of `job`, made by `process` now.
    pub fn new(job: J, process: &Process, now_in_ms: u64) -> Plan<J> {
        let plan = Plan {
            schema: J::SCHEMA.to_owned(),
            id: String::new(),
            made_by: process.clone(),
            made_ms: now_in_ms,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            job,
            upload: None,
        };
        let id = plan.digest();
        Plan { id, ..plan }
    }

    /// The same, with what was begun at a service for it.
    pub fn of_upload(self, upload: Upload) -> Plan<J> {
        let plan = Plan { upload: Some(upload), ..self };
        Plan { id: plan.digest(), ..plan }
    }

    /// Digest of all but itself.
    fn digest(&self) -> String {
        let plan = Plan { id: String::new(), ..self.clone() };
        let text = serde_json::to_value(plan).unwrap_or_default().to_string();
        hash_slice(Algorithm::Blake3, text.as_bytes()).to_string()[..32].to_owned()
    }

    /// The same with the number that it should have.
    #[cfg(any(test, feature = "testing"))]
    pub fn renumbered(self) -> Plan<J> {
        Plan { id: self.digest(), ..self }
    }

    /// As it stands in the folder.
    pub fn to_bytes(&self) -> Vec<u8> {
        seal(self)
    }

    /// The plan in `bytes`, if they are one of this version.
    pub fn from_bytes(bytes: &[u8]) -> Option<Plan<J>> {
        let plan: Plan<J> = unseal(bytes)?;
        let is_one = plan.schema == J::SCHEMA && plan.id == plan.digest() && plan.job.is_sound();
        is_one.then_some(plan)
    }

    /// What the file is called by while it is written.
    pub fn tag(&self) -> &str {
        &self.id[..TAG]
    }

    /// Every shard.
    pub fn shards(&self) -> Shards {
        Shards { plan: self.id.clone(), ranges: self.job.shards(), checks: false }
    }

    /// In what it is not the plan of `job`.
    pub fn difference(&self, job: &J) -> Option<Difference> {
        let fields = |job: &J| serde_json::to_value(job).unwrap_or_default();
        difference("", &fields(&self.job), &fields(job))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    pub fn job(len: u64, dest_offset: u64, stripe: u64) -> Job {
        let source = SourceFacts {
            path: Name::Text("/s".into()),
            kind: "file".into(),
            size: len,
            mtime_ns: Some(1_700_000_000_000_000_000),
            tag: None,
        };
        let options = Options::default();
        Job {
            source,
            destination: Name::Text("/d".into()),
            endpoint: None,
            range: ByteRange::to(len),
            dest_offset,
            shard_size: shard_size(len, stripe),
            options,
        }
    }

    fn plan(job: Job) -> Plan {
        Plan::new(job, &Process { host: "h".into(), pid: 1, token: "t".into() }, 15)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]
        #[test]
        fn shards_tile_the_range(
            len in prop_oneof![0u64..10_000_000, 0u64..1 << 50],
            offset in 0u64..1 << 30,
            shift in 9u32..30,
        ) {
            let plan = plan(job(len, offset, 1 << shift));
            let shards = plan.shards().ranges;
            let mut at = 0;
            for shard in &shards {
                prop_assert!(shard.start() == at && !shard.is_empty());
                prop_assert!(at == 0 || (at + offset) % plan.job.shard_size == 0);
                at = shard.end();
            }
            prop_assert_eq!(at, len);
            prop_assert!(shards.len() as u64 <= MOST + 2);
            prop_assert!(plan.job.shard_size >= 1 << shift);
            prop_assert_eq!(Plan::from_bytes(&plan.to_bytes()), Some(plan));
        }
    }

    #[test]
    fn what_differs_is_named() {
        let one = job(1 << 20, 0, 1 << 20);
        let check = |other: &Job, what: &str, here: &str| {
            let found = plan(one.clone()).difference(other).unwrap();
            assert_eq!((&*found.what, &*found.here), (what, here));
        };
        let mut other = one.clone();
        other.range = ByteRange::between(1, 7);
        check(&other, "range", "1..7");
        let mut other = one.clone();
        other.source.size = 3;
        check(&other, "size of the source", "3");
        let mut other = one.clone();
        other.options.verify = true;
        check(&other, "verify", "true");
        let mut other = one.clone();
        other.destination = Name::Text("/x".into());
        check(&other, "destination", "\"/x\"");
        assert_eq!(plan(one.clone()).difference(&one), None);
    }

    #[test]
    fn a_changed_plan_is_none() {
        let text = String::from_utf8(plan(job(1 << 20, 0, 1 << 20)).to_bytes()).unwrap();
        let mut changed: serde_json::Value = serde_json::from_str(&text).unwrap();
        changed["job"]["dest_offset"] = 7.into();
        changed.as_object_mut().unwrap().remove("seal");
        assert!(Plan::<Job>::from_bytes(&seal(&changed)).is_none());
        changed["job"]["dest_offset"] = 0.into();
        assert!(Plan::<Job>::from_bytes(&seal(&changed)).is_some());
        changed["id"] = "0".into();
        assert_eq!(Plan::<Job>::from_bytes(&seal(&changed)), None);
        let there = Plan::<Job>::from_bytes(text.as_bytes());
        assert_eq!(there.map(|plan| plan.job.dest_offset), Some(0));
    }
}
