//! What must hold of every file in the folder of a job: anybody may have written it.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::plan::Plan;
use super::record::{
    ClaimNote, Commit, Finished, LAST_GENERATION, Record, claim_name, claim_of, from_hex, seal,
    unseal,
};
use crate::digest::Algorithm;
use crate::options::Options;

/// A plan as it is, and the same with a number and a seal that are right.
///
/// # Panics
///
/// Where something that must hold does not.
pub fn plan(bytes: &[u8]) {
    if let Some(plan) = Plan::from_bytes(bytes) {
        check_plan(&plan);
    }
    let Ok(plan) = serde_json::from_slice::<Plan>(bytes) else { return };
    if let Some(plan) = Plan::from_bytes(&plan.renumbered().to_bytes()) {
        check_plan(&plan);
    }
}

/// The shards of a plan that is believed are few and cover its range once, and each is
/// copied to its own place.
fn check_plan(plan: &Plan) {
    let job = &plan.job;
    let shards = plan.shards().ranges;
    assert!(shards.len() < 10_000, "{} shards", shards.len());
    let mut at = job.range.start();
    for shard in &shards {
        assert!(shard.start() == at && !shard.is_empty(), "{shard} behind {at}");
        at = shard.end();
    }
    assert_eq!(at, job.range.end());
    assert_eq!(job.mapping().map(|mapping| mapping.to().end()), Some(job.len()));
    for shard in shards.iter().take(2).chain(shards.last()) {
        let _ = job.options_of(*shard, &Options::default());
    }
    assert_eq!(plan.difference(job), None);
    assert!(plan.tag().bytes().all(|byte| byte.is_ascii_hexdigit()), "{}", plan.tag());
    let _ = (job.source.path.path(), job.destination.path());
}

/// A claim, a record, or a note of the end; or their text, to be sealed; or the name of
/// a claim.
///
/// # Panics
///
/// Where something that must hold does not.
pub fn record(bytes: &[u8]) {
    sealed::<ClaimNote>(bytes);
    sealed::<Commit>(bytes);
    if let Some(record) = sealed::<Record>(bytes) {
        for algorithm in Algorithm::ALL {
            let _ = from_hex(&record.digests, algorithm);
        }
    }
    sealed::<Finished>(bytes);
    let Ok(name) = std::str::from_utf8(bytes) else { return };
    if let Some(turn) = claim_of(name) {
        assert_eq!(claim_name(turn.shard, turn.generation), name, "a name that nobody gives");
        assert!(turn.generation <= LAST_GENERATION, "it could not be counted on");
    }
}

/// What is in `bytes`, with its seal or without one. Sealed it can be read, and not where
/// it is torn.
fn sealed<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    let value = unseal::<T>(bytes).or_else(|| serde_json::from_slice(bytes).ok())?;
    let sealed = seal(&value);
    assert!(unseal::<T>(&sealed).is_some(), "what is sealed is read");
    for cut in [1, sealed.len() / 2, sealed.len().saturating_sub(2)] {
        assert!(unseal::<T>(&sealed[..cut]).is_none(), "torn after {cut} bytes");
    }
    Some(value)
}
