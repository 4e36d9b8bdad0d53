//! What is written into the folder of a job, and how that is read: one JSON object a
//! file, sealed by a checksum, so that one that is torn is known as such.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::plan::Name;
use super::whole::SentParts;
use crate::batch::Status;
use crate::digest::{Algorithm, Digest, Expectation, hash_slice};
use crate::endpoint::shared::Upload;
use crate::range::ByteRange;

/// Name of the plan.
pub const PLAN: &str = "plan.json";

/// How many took part in a job that is over, in words.
pub fn copied_by(processes: usize, machines: usize) -> String {
    let processes =
        if processes == 1 { "1 process".into() } else { format!("{processes} processes") };
    let machines = if machines == 1 { "1 machine".into() } else { format!("{machines} machines") };
    format!("copied by {processes} on {machines}")
}

/// Name of the note that the job is over.
pub const FINISHED: &str = "finished.json";

/// Name of the note that the file is about to get its name.
pub const COMMIT: &str = "commit.json";

/// Name of the note that something is about to be begun for the plan with that tag.
pub fn begun_name(tag: &str) -> String {
    format!("begun.{tag}.json")
}

/// Whether a note that something was begun has that name.
pub fn is_of_beginning(name: &str) -> bool {
    name.starts_with("begun.") && name.ends_with(".json")
}

/// Name of the file of the tasks that have this digest.
pub fn tasks_name(digest: &str) -> String {
    format!("tasks.{digest}.jsonl")
}

/// Whether a file of tasks has that name.
pub fn is_of_tasks(name: &str) -> bool {
    name.starts_with("tasks.") && name.ends_with(".jsonl")
}

/// Name of the note that all folders are there, in a copy of folders.
pub const FOLDERS: &str = "folders.json";

/// Name of the folder of the job that is shard `number` of another one.
pub fn nested_name(number: u32) -> String {
    format!("shared.{number:05}")
}

/// What stands before the checksum, and after it.
const SEAL: &str = ",\"seal\":\"";
const END: &str = "\"}";

/// Bytes of a claim, whatever it says: it is written over where it is.
const CLAIM_LEN: usize = 512;

/// The last claim to a shard that is believed: there are more to come than a job will make.
pub const LAST_GENERATION: u32 = 1 << 30;

/// Name of the record of shard `number`.
pub fn record_name(number: u32) -> String {
    format!("done.{number:05}.json")
}

/// Name of the note that shard `number` was compared with the source.
pub fn check_name(number: u32) -> String {
    format!("checked.{number:05}.json")
}

/// Name of the claim to shard `number` that is the `generation`-th.
pub fn claim_name(number: u32, generation: u32) -> String {
    format!("claim.{number:05}.{generation}")
}

/// The shard and the generation of the claim with that name. None of a name that no process
/// gives, or that no further claim can follow: anybody may leave files in the folder.
pub fn claim_of(name: &str) -> Option<Turn> {
    let (shard, generation) = name.strip_prefix("claim.")?.split_once('.')?;
    let turn = Turn { shard: shard.parse().ok()?, generation: generation.parse().ok()? };
    let is_given = claim_name(turn.shard, turn.generation) == name;
    (is_given && turn.generation <= LAST_GENERATION).then_some(turn)
}

/// A shard, and which claim to it in turn. The number after the last shard stands for
/// what is to be done when all of them are there, and those behind it for comparing the
/// shards with the source, in their order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Turn {
    /// Its number, from 0.
    pub shard: u32,
    /// From 1.
    pub generation: u32,
}

/// A process that takes part.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Process {
    /// The machine.
    pub host: String,
    /// Its number there.
    pub pid: u32,
    /// What tells it from every other, also after its number was given to another.
    pub token: String,
}

/// That a process has a shard, and is alive.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ClaimNote {
    /// Of which job.
    pub plan: String,
    /// Who has it.
    pub by: Process,
    /// How often it was renewed.
    pub beat: u64,
    /// Bytes of the shard that are written.
    pub bytes: u64,
    /// Given back: anybody may take it at once.
    pub released: bool,
}

impl ClaimNote {
    /// As it stands in the folder.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = seal(self);
        bytes.resize(CLAIM_LEN.max(bytes.len() + 1), b' ');
        if let Some(last) = bytes.last_mut() {
            *last = b'\n';
        }
        bytes
    }
}

/// A part of a shard that could not be read.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Unreadable {
    /// Which bytes, in the source.
    #[serde(flatten)]
    pub range: ByteRange,
    /// What the system said.
    pub error: String,
}

/// What became of an item of a list.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ItemRecord {
    /// Its number, from 0.
    pub row: u32,
    /// How it ended.
    pub status: Status,
    /// Bytes of it that are in the destination.
    pub bytes: u64,
    /// Digests of it, in hexadecimal.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub digests: BTreeMap<Algorithm, String>,
    /// What could not be read, in bytes of the source.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<Unreadable>,
    /// Whether it was read back and found equal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified: Option<bool>,
    /// What went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The same in a word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_kind: Option<String>,
    /// From its first byte to its name.
    pub seconds: f64,
}

/// What became of something that has no bytes, such as a link.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct OtherRecord {
    /// Its name in the copy.
    pub name: Name,
    /// Where it is.
    pub source: Option<Name>,
    /// How it ended.
    pub status: Status,
    /// What went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The same in a word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_kind: Option<String>,
}

/// That something is begun for a plan, which may never be written: the process that makes
/// it may be killed before that.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct BegunNote {
    /// The plan as it was then.
    pub tag: String,
    /// A time before anything is begun at a service, by its clock.
    pub since: Option<String>,
    /// Whether something else may have been begun there, of which nobody knows the name.
    pub unheard: bool,
    /// What was begun there.
    pub upload: Option<Upload>,
}

/// That a shard is in the destination, and durable.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Record {
    /// Of which job.
    pub plan: String,
    /// Its number, from 0.
    pub shard: u32,
    /// Which bytes, in the source.
    pub range: ByteRange,
    /// Bytes that were written.
    pub copied: u64,
    /// Bytes that are holes.
    pub holes: u64,
    /// What could not be read.
    pub failed: Vec<Unreadable>,
    /// Parts of the digests of the whole, in hexadecimal.
    pub digests: BTreeMap<Algorithm, String>,
    /// Whether it was read back and found equal.
    pub verified: Option<bool>,
    /// Who wrote it.
    pub by: Process,
    /// When that began, in seconds since 1970 by the clock of that machine.
    pub begun: f64,
    /// When it was over, likewise.
    pub ended: f64,
    /// What became of the items of it, if it is one of a list.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<ItemRecord>,
    /// Parts of an upload that it has sent.
    #[serde(default, skip_serializing_if = "SentParts::is_empty")]
    pub parts: SentParts,
}

/// That a shard was read back and compared with the source.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Check {
    /// Of which job.
    pub plan: String,
    /// Its number, from 0.
    pub shard: u32,
    /// Who has compared it.
    pub by: Process,
}

/// That all of a job is done.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Finished {
    /// Which job.
    pub plan: String,
    /// Bytes that were written, in all.
    pub copied: u64,
    /// Bytes that are holes.
    pub holes: u64,
    /// What could not be read.
    pub failed: Vec<Unreadable>,
    /// Digests of the whole, in hexadecimal.
    pub digests: BTreeMap<Algorithm, String>,
    /// Whether it was read back and found equal.
    pub verified: Option<bool>,
    /// Who gave the file its name.
    pub by: Process,
    /// When, in seconds since 1970 by the clock of that machine.
    pub ended: f64,
    /// Things worth knowing.
    pub notes: Vec<String>,
    /// What became of all that has no bytes, in a copy of folders.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<OtherRecord>,
}

/// That the file is about to get its name: by this, one that has it is known.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Commit {
    /// Of which job.
    pub plan: String,
    /// Number of the file in its file system.
    pub inode: u64,
    /// When it was made, where the system tells: numbers are given again.
    pub made: Option<String>,
    /// Its length in bytes.
    pub len: u64,
}

/// Digests as they are stored.
pub fn in_hex(digests: &[Digest]) -> BTreeMap<Algorithm, String> {
    digests.iter().map(|digest| (digest.algorithm(), digest.to_string())).collect()
}

/// The digest of `algorithm` among those that are stored.
pub fn from_hex(digests: &BTreeMap<Algorithm, String>, algorithm: Algorithm) -> Option<Digest> {
    let hex = digests.get(&algorithm)?;
    Expectation::new(algorithm, hex).ok().map(|expected| expected.digest().clone())
}

/// Now, in seconds since 1970.
pub fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}

/// Now, in milliseconds since 1970.
pub fn now_in_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// `value`, an object, as a sealed line: the checksum is of the text before it.
pub fn seal<T: Serialize>(value: &T) -> Vec<u8> {
    // One way from and to text for all of them, which is less code than one for each.
    let text = serde_json::to_value(value).unwrap_or_default().to_string();
    let open = text.strip_suffix('}').unwrap_or_default();
    format!("{open}{SEAL}{}{END}\n", checksum(open)).into_bytes()
}

/// What was sealed; `None` if it is torn, or something else.
pub fn unseal<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    let text = std::str::from_utf8(bytes).ok()?.trim_end();
    let (open, seal) = text.strip_suffix(END)?.rsplit_once(SEAL)?;
    let is_whole = seal == checksum(open);
    let value = serde_json::from_slice::<Value>(format!("{open}}}").as_bytes());
    let value = value.ok().filter(|_| is_whole)?;
    serde_json::from_value(value).ok()
}

fn checksum(text: &str) -> String {
    hash_slice(Algorithm::Crc32c, text.as_bytes()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_torn_or_changed_is_not_believed() {
        let commit = Commit { plan: "p".into(), inode: u64::MAX, made: None, len: 3 };
        let sealed = seal(&commit);
        assert_eq!(unseal::<Commit>(&sealed), Some(commit));
        for len in 0..sealed.len() - 1 {
            assert_eq!(unseal::<Commit>(&sealed[..len]), None, "{len} bytes");
        }
        let other = String::from_utf8(sealed).unwrap().replace("\"len\":3", "\"len\":4");
        assert_eq!(unseal::<Commit>(other.as_bytes()), None);
    }

    #[test]
    fn one_process_is_not_several() {
        assert_eq!(copied_by(1, 1), "copied by 1 process on 1 machine");
        assert_eq!(copied_by(64, 8), "copied by 64 processes on 8 machines");
    }

    #[test]
    fn every_claim_is_as_long_as_the_next() {
        let by = Process { host: "h".into(), pid: 1, token: "t".into() };
        let claim = |beat| ClaimNote {
            plan: "p".into(),
            by: by.clone(),
            beat,
            bytes: beat,
            released: false,
        };
        assert_eq!(claim(1).to_bytes().len(), claim(u64::MAX).to_bytes().len());
        assert_eq!(unseal::<ClaimNote>(&claim(7).to_bytes()), Some(claim(7)));
        assert_eq!(claim_of(&claim_name(12, 3)), Some(Turn { shard: 12, generation: 3 }));
        for other in
            ["done.00001.json", "claim.1.1", "claim.00001.+1", "claim.00001.4294967295", "claim."]
        {
            assert_eq!(claim_of(other), None, "{other}");
        }
    }
}
