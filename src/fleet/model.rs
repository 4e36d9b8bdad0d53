//! The protocol against a folder that is worse than any: names that were given a moment
//! ago are missing in a listing, records are torn, processes stop at any point and wake up
//! long after, and no two clocks agree. Each history is made by a seed.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::Duration;

use super::folder::Folder;
use super::member::{Member, Next, Renewal, Shards, note, still_has};
use super::record::{
    Check, FINISHED, Finished, Process, Record, Turn, check_name, claim_name, record_name, seal,
};
use super::whole::SentParts;
use crate::range::ByteRange;
use crate::sync::{Mutex, MutexGuard};
use crate::testing::Random;

#[cfg(all(test, pcopy_model))]
#[path = "tests/schedules.rs"]
mod schedules;

const PLAN: &str = "the plan";

/// Shortest time, of all clocks together, after which a claim may be taken over.
const LEASE: u64 = 60;

/// A file, and when others may first see its name in a listing.
struct Entry {
    bytes: Vec<u8>,
    listed_from: u64,
}

#[derive(Default)]
struct Files {
    now: u64,
    files: BTreeMap<String, Entry>,
    delays: Option<Random>,
    /// One in so many records is torn when it is published.
    tears: u64,
}

impl Files {
    fn put(&mut self, name: &str, bytes: &[u8]) {
        let delay = self.delays.as_mut().map_or(0, |random| random.below(90));
        let known = self.files.get(name).map(|entry| entry.listed_from);
        let listed_from = known.unwrap_or(self.now + delay);
        self.files.insert(name.to_owned(), Entry { bytes: bytes.to_vec(), listed_from });
    }
}

/// Shared storage, of which each call is one step.
#[derive(Default)]
struct Storage(Mutex<Files>);

impl Storage {
    fn files(&self) -> MutexGuard<'_, Files> {
        self.0.lock().unwrap()
    }
}

impl Folder for Storage {
    fn names(&self) -> io::Result<BTreeSet<String>> {
        let files = self.files();
        let is_listed = |(_, entry): &(&String, &Entry)| entry.listed_from <= files.now;
        Ok(files.files.iter().filter(is_listed).map(|(name, _)| name.clone()).collect())
    }

    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        Ok(self.files().files.get(name).map(|entry| entry.bytes.clone()))
    }

    fn publish(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut files = self.files();
        let tears = files.tears;
        let is_record = name.starts_with("done.") || name.starts_with("checked.");
        let random = files.delays.as_mut().filter(|_| is_record && tears > 0);
        let torn = random.and_then(|random| {
            (random.below(tears) == 0).then(|| random.below(bytes.len() as u64))
        });
        let len = torn.map_or(bytes.len(), |len| usize::try_from(len).unwrap());
        files.put(name, &bytes[..len]);
        Ok(())
    }

    fn note(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.publish(name, bytes)
    }

    fn publish_new(&self, name: &str, bytes: &[u8]) -> io::Result<bool> {
        self.claim(name, bytes)
    }

    fn claim(&self, name: &str, bytes: &[u8]) -> io::Result<bool> {
        let mut files = self.files();
        if files.files.contains_key(name) {
            return Ok(false);
        }
        files.put(name, bytes);
        Ok(true)
    }

    fn renew(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.files().put(name, bytes);
        Ok(())
    }
}

/// What a process is doing.
enum Doing {
    Nothing,
    /// It copies, and has so many steps to go.
    Copying {
        turn: Turn,
        left: u64,
        beat: u64,
    },
    Ended,
}

struct Actor<'a> {
    member: Member<'a>,
    process: Process,
    doing: Doing,
    /// How its clock runs, in tenths.
    pace: u64,
    /// Stands still until then.
    asleep_until: u64,
}

/// What came out of a history.
#[derive(Default)]
struct Outcome {
    copies: BTreeMap<u32, u32>,
    finishes: u32,
    takeovers: u32,
    /// Shards that were compared, and by how many of another process than the writer.
    checks: BTreeSet<u32>,
    by_others: u32,
}

struct World<'a> {
    storage: &'a Storage,
    shards: &'a Shards,
    outcome: Outcome,
}

impl World<'_> {
    /// One step of one process. What is copied is noted at the end of a copy.
    fn step(&mut self, actor: &mut Actor<'_>, random: &mut Random, now: u64) {
        match &mut actor.doing {
            Doing::Ended => {}
            Doing::Nothing => {
                let own = Duration::from_secs(now * actor.pace / 10);
                match actor.member.next(own).unwrap() {
                    Next::Over(_) => actor.doing = Doing::Ended,
                    Next::Wait => {}
                    Next::Copy(turn) | Next::Finish(turn) | Next::Check(turn) => {
                        self.outcome.takeovers += u32::from(turn.generation > 1);
                        let left = random.below(30) + 1;
                        actor.doing = Doing::Copying { turn, left, beat: 0 };
                    }
                }
            }
            Doing::Copying { turn, left, beat } => {
                let turn = *turn;
                if !still_has(self.storage, PLAN, turn).unwrap() {
                    actor.doing = Doing::Nothing;
                    return;
                }
                *left -= 1;
                *beat += 1;
                let renewal = Renewal { beat: *beat, bytes: *beat, released: false };
                let bytes = note(PLAN, &actor.process, renewal);
                let name = claim_name(turn.shard, turn.generation);
                self.storage.renew(&name, &bytes).unwrap();
                if *left == 0 {
                    self.end(actor, turn);
                }
            }
        }
    }

    fn end(&mut self, actor: &mut Actor<'_>, turn: Turn) {
        actor.doing = Doing::Nothing;
        let by = actor.process.clone();
        if turn.shard == self.shards.count() {
            // Only with every record of it in hand, each whole.
            assert_eq!(actor.member.records().len(), self.shards.ranges.len());
            let missing = |shard| !self.outcome.copies.contains_key(&shard);
            assert!(!(0..self.shards.count()).any(missing), "a false end");
            let checked = |shard| self.outcome.checks.contains(&shard);
            let needs_none = !self.shards.checks;
            assert!(needs_none || (0..self.shards.count()).all(checked), "not compared");
            self.outcome.finishes += 1;
            return self.storage.publish(FINISHED, &seal(&finished(by))).unwrap();
        }
        if turn.shard > self.shards.count() {
            let shard = turn.shard - self.shards.count() - 1;
            self.outcome.checks.insert(shard);
            let writer = actor.member.records().get(&shard).map(|record| record.by != by);
            self.outcome.by_others += u32::from(writer == Some(true));
            let check = Check { plan: PLAN.to_owned(), shard, by };
            return self.storage.note(&check_name(shard), &seal(&check)).unwrap();
        }
        *self.outcome.copies.entry(turn.shard).or_default() += 1;
        let record = record(self.shards.ranges[turn.shard as usize], turn.shard, by);
        self.storage.publish(&record_name(turn.shard), &seal(&record)).unwrap();
    }
}

/// That the job is over.
fn finished(by: Process) -> Finished {
    Finished {
        plan: PLAN.to_owned(),
        copied: 0,
        holes: 0,
        failed: Vec::new(),
        digests: BTreeMap::new(),
        verified: None,
        by,
        ended: 0.0,
        notes: Vec::new(),
        others: Vec::new(),
    }
}

/// That `shard` is copied.
fn record(range: ByteRange, shard: u32, by: Process) -> Record {
    Record {
        plan: PLAN.to_owned(),
        shard,
        range,
        copied: 1,
        holes: 0,
        failed: Vec::new(),
        digests: BTreeMap::new(),
        verified: None,
        by,
        begun: 0.1,
        ended: 0.3,
        items: Vec::new(),
        parts: SentParts::new(),
    }
}

/// Runs one history to its end.
fn history(seed: u64) -> Outcome {
    let mut random = Random::new(seed);
    let storage = Storage::default();
    storage.files().delays = Some(Random::new(seed ^ 0x5eed));
    storage.files().tears = [0, 3, 10][random.below(3) as usize];
    let count = random.below(6) + 1;
    let range = |number| ByteRange::between(number * 10, number * 10 + 10);
    let ranges = (0..count).map(range).collect();
    let checks = random.below(2) == 0;
    let shards = Shards { plan: PLAN.to_owned(), ranges, checks };
    let mut world = World { storage: &storage, shards: &shards, outcome: Outcome::default() };
    let mut born = 0;
    let mut born_one = |random: &mut Random| {
        born += 1;
        let process = Process { host: "h".into(), pid: born, token: format!("{born}") };
        let mut order: Vec<u32> = (0..shards.count()).collect();
        order.rotate_left(random.below(count) as usize);
        // Clocks run at up to twice the pace, and never slower than time.
        let (pace, lease) = (10 + random.below(11), Duration::from_secs(LEASE));
        let member = Member::new(&storage, &shards, process.clone(), order, lease);
        Actor { member, process, doing: Doing::Nothing, pace, asleep_until: 0 }
    };
    let mut actors: Vec<Actor<'_>> =
        (0..random.below(5) + 1).map(|_| born_one(&mut random)).collect();
    for now in 0..100_000u64 {
        storage.files().now = now;
        let number = random.below(actors.len() as u64) as usize;
        match random.below(200) {
            // Killed where it stands; another one begins.
            0 if now < 2000 => actors[number] = born_one(&mut random),
            // Stands still, often for longer than a lease.
            1 | 2 if now < 2000 => actors[number].asleep_until = now + random.below(300),
            _ => {}
        }
        for actor in &mut actors {
            if actor.asleep_until <= now {
                world.step(actor, &mut random, now);
            }
        }
        if actors.iter().all(|actor| matches!(actor.doing, Doing::Ended)) {
            return world.outcome;
        }
    }
    panic!("seed {seed}: the job does not end");
}

// As a module of tests: the library itself reads nothing of the environment.
#[cfg(test)]
mod tests {
    use super::history;

    #[test]
    fn every_history_ends_with_every_shard_there_and_no_end_before() {
        let histories = std::env::var("PCOPY_HISTORIES").ok().and_then(|text| text.parse().ok());
        let (mut takeovers, mut ends, mut again, mut by_others) = (0, 0, 0, 0);
        let histories = histories.unwrap_or(500u64);
        for seed in 0..histories {
            let outcome = history(seed);
            takeovers += outcome.takeovers;
            ends += outcome.finishes;
            by_others += outcome.by_others;
            again += outcome.copies.values().filter(|copies| **copies > 1).count();
        }
        // Otherwise nothing was put to the test.
        assert!(u64::from(takeovers) > histories / 2 && again > 0 && by_others > 0);
        assert!(u64::from(ends) >= histories);
    }
}
