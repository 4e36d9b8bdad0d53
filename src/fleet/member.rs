//! One process among those that do a job: what it does next, by what is in the folder.
//! No bytes are copied here, and no clock is read: the time is handed in.
//!
//! A process takes a shard by making its claim, a file that can be made once, and
//! renews it while it copies. Others see that the claim changes; they compare no
//! clocks. One that has not changed for a whole lease, by the clock of the one who
//! looks, is followed by the next claim to the same shard, which again can be made
//! once. So there may be two who copy a shard, the first of which stood still: they
//! write the same bytes. A record of a shard is believed if it is whole.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::Duration;

use super::crew::All;
use super::folder::Folder;
use super::record::{
    Check, ClaimNote, FINISHED, Finished, Process, Record, Turn, check_name, claim_name, claim_of,
    record_name, unseal,
};
use crate::range::ByteRange;

/// A process leaves it to others to compare what it has written, for so long a part of a
/// lease.
const PATIENCE: u32 = 12;

/// What all who do a job know of it.
#[derive(Clone, Debug)]
pub struct Shards {
    /// The number of the plan.
    pub plan: String,
    /// The shards, in bytes of the source or of all that is copied.
    pub ranges: Vec<ByteRange>,
    /// Whether each is to be compared with the source, by another process than the one
    /// that has written it if there is one.
    pub checks: bool,
}

impl Shards {
    /// How many there are; also what stands for the end of the job.
    pub fn count(&self) -> u32 {
        u32::try_from(self.ranges.len()).unwrap_or(u32::MAX)
    }
}

/// A process of a job.
pub struct Member<'a> {
    folder: &'a dyn Folder,
    shards: &'a Shards,
    process: Process,
    /// In which order it takes shards.
    order: Vec<u32>,
    /// How long a claim may stay as it is.
    lease: Duration,
    records: BTreeMap<u32, Record>,
    checks: BTreeMap<u32, Check>,
    watched: BTreeMap<u32, Watched>,
    /// Claims that were there when it looked first, and those that it has made.
    known: Option<BTreeSet<(u32, u32)>>,
    /// Whether another process has made a claim since.
    has_others: bool,
    /// Since when there is nothing to copy.
    idle: Option<Duration>,
}

/// A claim of somebody, as it was seen.
struct Watched {
    generation: u32,
    bytes: Vec<u8>,
    since: Duration,
}

/// What to do next.
#[derive(Clone, PartialEq, Debug)]
pub enum Next {
    /// Copy this shard.
    Copy(Turn),
    /// Compare a shard with the source: see [`Turn`].
    Check(Turn),
    /// Every shard is there: give the file its name.
    Finish(Turn),
    /// Others have what is left. Ask again in a while.
    Wait,
    /// The job is over.
    Over(Box<Finished>),
}

impl<'a> Member<'a> {
    /// Takes shards in this `order`.
    pub fn new(
        folder: &'a dyn Folder,
        shards: &'a Shards,
        process: Process,
        order: Vec<u32>,
        lease: Duration,
    ) -> Member<'a> {
        Member {
            folder,
            shards,
            process,
            order,
            lease,
            records: BTreeMap::new(),
            checks: BTreeMap::new(),
            watched: BTreeMap::new(),
            known: None,
            has_others: false,
            idle: None,
        }
    }

    /// The records of shards that are known by now.
    pub fn records(&self) -> &BTreeMap<u32, Record> {
        &self.records
    }

    /// The same, kept.
    pub fn into_records(self) -> BTreeMap<u32, Record> {
        self.records
    }

    /// All that is known.
    pub fn all(&self) -> All<'_> {
        All { records: &self.records, checks: &self.checks }
    }

    /// The shards of which there is no record.
    pub fn missing(&self) -> Vec<u32> {
        (0..self.shards.count()).filter(|shard| !self.records.contains_key(shard)).collect()
    }

    /// What to do next, at the time `now` since some moment of this process.
    ///
    /// # Errors
    ///
    /// If the folder cannot be used.
    pub fn next(&mut self, now: Duration) -> io::Result<Next> {
        if let Some(finished) = self.finished()? {
            return Ok(Next::Over(Box::new(finished)));
        }
        let names = self.folder.names()?;
        self.read_records(&names)?;
        self.see_others(&names);
        let latest = latest_claims(&names);
        if self.missing().is_empty() && self.unchecked().is_empty() {
            let end = self.shards.count();
            let taken = self.take(end, latest.get(&end).copied(), now)?;
            return Ok(taken.map_or(Next::Wait, Next::Finish));
        }
        for shard in self.order.clone() {
            if self.records.contains_key(&shard) {
                continue;
            }
            if let Some(turn) = self.take(shard, latest.get(&shard).copied(), now)? {
                // Who had it may have ended in the moment between.
                self.idle = None;
                return match self.read_record(shard)? {
                    true => self.next(now),
                    false => Ok(Next::Copy(turn)),
                };
            }
        }
        let since = *self.idle.get_or_insert(now);
        for shard in self.unchecked() {
            let is_own = self.records.get(&shard).is_some_and(|record| record.by == self.process);
            let is_late = now.saturating_sub(since) >= self.lease / PATIENCE;
            if is_own && self.has_others && !is_late {
                continue;
            }
            let number = self.shards.count() + 1 + shard;
            if let Some(turn) = self.take(number, latest.get(&number).copied(), now)? {
                return match self.read_check(shard)? {
                    true => self.next(now),
                    false => Ok(Next::Check(turn)),
                };
            }
        }
        Ok(Next::Wait)
    }

    /// The shards that are there and were not compared, where that is wanted.
    pub fn unchecked(&self) -> Vec<u32> {
        let is_one = |(shard, record): &(&u32, &Record)| {
            self.shards.checks && record.verified.is_none() && !self.checks.contains_key(shard)
        };
        self.records.iter().filter(is_one).map(|(shard, _)| *shard).collect()
    }

    /// Whether there is another process, as far as it was seen.
    pub fn has_others(&self) -> bool {
        self.has_others
    }

    /// Looks for claims that somebody else has made since the first look.
    fn see_others(&mut self, names: &BTreeSet<String>) {
        let claims = names.iter().filter_map(|name| claim_of(name));
        let claims = claims.map(|Turn { shard, generation }| (shard, generation));
        match &self.known {
            None => self.known = Some(claims.collect()),
            Some(known) => {
                let is_new = |claim: (u32, u32)| !known.contains(&claim);
                self.has_others |= claims.into_iter().any(is_new);
            }
        }
    }

    /// Reads what there is, and takes nothing; the note that the job is over, if there
    /// is one.
    ///
    /// # Errors
    ///
    /// If the folder cannot be used.
    pub fn look(&mut self) -> io::Result<Option<Finished>> {
        let finished = self.finished()?;
        let names = self.folder.names()?;
        self.read_records(&names)?;
        Ok(finished)
    }

    /// The note that the job is over, if there is one.
    ///
    /// # Errors
    ///
    /// If the folder cannot be used.
    pub fn finished(&self) -> io::Result<Option<Finished>> {
        let bytes = self.folder.read(FINISHED)?;
        let finished = bytes.and_then(|bytes| unseal::<Finished>(&bytes));
        Ok(finished.filter(|finished| finished.plan == self.shards.plan))
    }

    /// Reads what there is of shards that were not known to be done.
    fn read_records(&mut self, names: &BTreeSet<String>) -> io::Result<()> {
        for shard in self.missing() {
            if names.contains(&record_name(shard)) {
                self.read_record(shard)?;
            }
        }
        for shard in self.unchecked() {
            if names.contains(&check_name(shard)) {
                self.read_check(shard)?;
            }
        }
        Ok(())
    }

    /// Whether there is a note that `shard` was compared, which is known from now on.
    fn read_check(&mut self, shard: u32) -> io::Result<bool> {
        let Some(bytes) = self.folder.read(&check_name(shard))? else { return Ok(false) };
        let is_it = |check: &Check| check.plan == self.shards.plan && check.shard == shard;
        let check = unseal::<Check>(&bytes).filter(is_it);
        let is_there = check.is_some();
        self.checks.extend(check.map(|check| (shard, check)));
        Ok(is_there)
    }

    /// Whether there is a record of `shard`, which is known from now on.
    fn read_record(&mut self, shard: u32) -> io::Result<bool> {
        let Some(bytes) = self.folder.read(&record_name(shard))? else { return Ok(false) };
        let range = self.shards.ranges.get(shard as usize).copied();
        let is_it = |record: &Record| {
            record.plan == self.shards.plan && record.shard == shard && Some(record.range) == range
        };
        let record = unseal::<Record>(&bytes).filter(is_it);
        let is_there = record.is_some();
        self.records.extend(record.map(|record| (shard, record)));
        Ok(is_there)
    }

    /// Claims `shard`, whose `latest` claim is known, if nobody alive has it.
    fn take(&mut self, shard: u32, latest: Option<u32>, now: Duration) -> io::Result<Option<Turn>> {
        let seen = self.watched.get(&shard).map(|watched| watched.generation);
        let Some(generation) = latest.max(seen) else {
            return self.claim(Turn { shard, generation: 1 }, now);
        };
        let bytes = self.folder.read(&claim_name(shard, generation))?.unwrap_or_default();
        let is_released = unseal::<ClaimNote>(&bytes).is_some_and(|claim| claim.released);
        let is_stale = match self.watched.get(&shard) {
            Some(watched) if watched.generation == generation && watched.bytes == bytes => {
                now.saturating_sub(watched.since) >= self.lease
            }
            _ => {
                self.watched.insert(shard, Watched { generation, bytes, since: now });
                false
            }
        };
        match is_released || is_stale {
            true => self.claim(Turn { shard, generation: generation + 1 }, now),
            false => Ok(None),
        }
    }

    fn claim(&mut self, turn: Turn, now: Duration) -> io::Result<Option<Turn>> {
        let Turn { shard, generation } = turn;
        let name = claim_name(shard, generation);
        let note = self.note(Renewal::default());
        let is_made = self.folder.claim(&name, &note)?;
        if is_made {
            self.own(turn);
            return Ok(Some(turn));
        }
        let bytes = self.folder.read(&name)?.unwrap_or_default();
        // A server may have made it and said so a second time only.
        let is_ours = unseal::<ClaimNote>(&bytes).is_some_and(|claim| claim.by == self.process);
        if is_ours {
            self.own(turn);
            return Ok(Some(turn));
        }
        self.has_others = true;
        self.watched.insert(shard, Watched { generation, bytes, since: now });
        Ok(None)
    }

    fn own(&mut self, turn: Turn) {
        self.known.get_or_insert_default().insert((turn.shard, turn.generation));
    }

    fn note(&self, renewal: Renewal) -> Vec<u8> {
        note(&self.shards.plan, &self.process, renewal)
    }
}

/// What a claim says when it is renewed.
#[derive(Clone, Copy, Default, Debug)]
pub struct Renewal {
    /// How often it was.
    pub beat: u64,
    /// Bytes of the shard that are written.
    pub bytes: u64,
    /// Whether the shard is given back.
    pub released: bool,
}

/// A claim of `process`.
pub fn note(plan: &str, process: &Process, renewal: Renewal) -> Vec<u8> {
    let Renewal { beat, bytes, released } = renewal;
    ClaimNote { plan: plan.to_owned(), by: process.clone(), beat, bytes, released }.to_bytes()
}

/// Whether a process that has `turn` may go on: nobody has taken the shard over, and the
/// job is not over.
///
/// # Errors
///
/// If the folder cannot be used.
pub fn still_has(folder: &dyn Folder, plan: &str, turn: Turn) -> io::Result<bool> {
    let Turn { shard, generation } = turn;
    if folder.read(&claim_name(shard, generation + 1))?.is_some() {
        return Ok(false);
    }
    let record = folder.read(&record_name(shard))?;
    let record = record.and_then(|bytes| unseal::<Record>(&bytes));
    let finished = folder.read(FINISHED)?.and_then(|bytes| unseal::<Finished>(&bytes));
    let is_done = record.is_some_and(|record| record.plan == plan)
        || finished.is_some_and(|finished| finished.plan == plan);
    Ok(!is_done)
}

/// The latest claim to each shard.
pub fn latest_claims(names: &BTreeSet<String>) -> BTreeMap<u32, u32> {
    let mut latest = BTreeMap::new();
    for Turn { shard, generation } in names.iter().filter_map(|name| claim_of(name)) {
        let known = latest.entry(shard).or_insert(generation);
        *known = generation.max(*known);
    }
    latest
}
