//! What every process of a job does, whatever its shards are: it takes shards as long
//! as there are any, records those that it has done, and finishes the job if it is the
//! one that sees all of them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::folder::Folder;
use super::hold::Hold;
use super::join;
use super::member::{Member, Next, Shards};
use super::record::{Check, Finished, Process, Record, Turn, check_name, record_name, seal};
use crate::error::{Error, ErrorKind, Result};
use crate::progress::{Phase, Watch};
use crate::report::Outcome;

/// A process that waits for others looks again when it has waited for so much longer,
/// in parts of what it has waited: what it learns late is a small part of that.
const PATIENCE: u32 = 8;

/// The shortest time until it looks again, and the longest in parts of a lease.
const SOON: Duration = Duration::from_millis(20);
const LOOKS: u32 = 40;

/// How often it looks whether it is to stop.
const TICK: Duration = Duration::from_millis(100);

/// One process at work.
pub struct Crew<'a> {
    pub path: &'a Path,
    pub folder: Arc<dyn Folder>,
    pub shards: Shards,
    pub process: Process,
    /// In which order it takes shards.
    pub order: Vec<u32>,
    pub lease: Duration,
    /// Whether the job is a part of another one: it tells nothing of its progress, and
    /// waits for nobody.
    pub nested: bool,
}

/// What is done with the shards.
pub trait Labour {
    /// Does the shard of `turn`, which `hold` has. If the job `has_others`, one of them
    /// compares it with the source.
    ///
    /// # Errors
    ///
    /// What ends this process.
    fn copy(&self, hold: &Hold<'_>, turn: Turn, has_others: bool) -> Result<Record>;

    /// Compares the shard number `shard`, of which there is a record, with the source.
    ///
    /// # Errors
    ///
    /// That it differs, or what ends this process otherwise.
    fn check(&self, _hold: &Hold<'_>, _shard: u32) -> Result<()> {
        Ok(())
    }

    /// Finishes the job, of which all `records` are there.
    ///
    /// # Errors
    ///
    /// What ends this process.
    fn finish(&self, hold: &Hold<'_>, all: &All<'_>) -> Result<Finished>;

    /// Takes part in those of the shards `missing` that all processes do together, as
    /// far as there is something to take; whether there was.
    ///
    /// # Errors
    ///
    /// What ends this process.
    fn together(&self, _missing: &[u32], _done: &mut Done, _watch: Watch<'_>) -> Result<bool> {
        Ok(false)
    }
}

/// What is known when every shard is there.
pub struct All<'a> {
    /// Of each shard.
    pub records: &'a BTreeMap<u32, Record>,
    /// Who has compared which of them, if not the process that has written it.
    pub checks: &'a BTreeMap<u32, Check>,
}

/// What one process has done.
#[derive(Default)]
pub struct Done {
    pub shards: u32,
    /// Shards that it has compared for others.
    pub checked: u32,
    pub copied: u64,
    pub holes: u64,
    pub notes: Vec<String>,
    pub seconds: f64,
}

/// A job that is over.
pub struct Over {
    pub finished: Finished,
    pub records: BTreeMap<u32, Record>,
}

impl Crew<'_> {
    /// Works until the job is over; `None` if it is a part of another one, and others
    /// have what is left.
    ///
    /// # Errors
    ///
    /// What ended this process before that; a shard that it had is given back.
    pub fn run(
        &self,
        labour: &dyn Labour,
        done: &mut Done,
        watch: Watch<'_>,
    ) -> Result<Option<Over>> {
        let begin = Instant::now();
        let (process, folder) = (self.process.clone(), &*self.folder);
        let mut member = Member::new(folder, &self.shards, process, self.order.clone(), self.lease);
        let ended = self.work(labour, &mut member, done, watch);
        done.seconds = begin.elapsed().as_secs_f64();
        if !self.nested {
            watch.progress.enter(Phase::Finished);
        }
        match ended? {
            None => Ok(None),
            Some(finished) => {
                // One that joined when all was over has read none yet.
                member.look().map_err(|error| self.failed(error))?;
                Ok(Some(Over { finished, records: member.into_records() }))
            }
        }
    }

    fn work(
        &self,
        labour: &dyn Labour,
        member: &mut Member<'_>,
        done: &mut Done,
        watch: Watch<'_>,
    ) -> Result<Option<Finished>> {
        let begin = Instant::now();
        let mut waiting: Option<Instant> = None;
        let mut is_first = true;
        loop {
            if watch.cancel.is_cancelled() {
                return Err(ErrorKind::Cancelled.into());
            }
            if std::mem::take(&mut is_first) {
                // What all do together comes first: the others are there as well.
                let finished = member.look().map_err(|error| self.failed(error))?;
                if finished.is_none() {
                    self.tell(member, done, watch);
                    labour.together(&member.missing(), done, watch)?;
                }
            }
            let next = member.next(begin.elapsed()).map_err(|error| self.failed(error))?;
            self.tell(member, done, watch);
            match next {
                Next::Over(finished) => return Ok(Some(*finished)),
                Next::Wait => {
                    if labour.together(&member.missing(), done, watch)? {
                        waiting = None;
                    } else if self.nested {
                        return Ok(None);
                    } else {
                        self.wait(*waiting.get_or_insert_with(Instant::now), watch);
                    }
                    continue;
                }
                Next::Copy(turn) => {
                    watch.progress.enter(Phase::Copying);
                    self.copy(labour, turn, member.has_others(), done, watch)?;
                }
                Next::Check(turn) => {
                    watch.progress.enter(Phase::Verifying);
                    self.check(labour, turn, done, watch)?;
                }
                Next::Finish(turn) => {
                    if !self.nested {
                        watch.progress.enter(Phase::Syncing);
                    }
                    if let Some(finished) = self.finish(labour, turn, &member.all(), watch)? {
                        return Ok(Some(finished));
                    }
                }
            }
            waiting = None;
        }
    }

    /// Says how much is left, of which others may do some.
    fn tell(&self, member: &Member<'_>, done: &Done, watch: Watch<'_>) {
        if self.nested {
            return;
        }
        let there: u64 = member.records().values().map(|record| record.range.len()).sum();
        let own = done.copied + done.holes;
        let by_others = there.saturating_sub(own);
        let total: u64 = self.shards.ranges.iter().map(|range| range.len()).sum();
        watch.progress.expect(Some(total.saturating_sub(by_others + done.holes)), by_others);
    }

    /// Waits a while for the others, for whom it has waited `since`.
    fn wait(&self, since: Instant, watch: Watch<'_>) {
        let longest = (self.lease / LOOKS).max(SOON);
        let until = Instant::now() + (since.elapsed() / PATIENCE).clamp(SOON, longest);
        while !watch.cancel.is_cancelled() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            std::thread::sleep(left.min(TICK));
        }
    }

    /// Copies a shard and records that. If another process has taken it over meanwhile,
    /// that is not an error.
    fn copy(
        &self,
        labour: &dyn Labour,
        turn: Turn,
        has_others: bool,
        done: &mut Done,
        watch: Watch<'_>,
    ) -> Result<()> {
        let hold = self.hold(turn);
        let copied = hold.during(watch, || {
            let record = labour.copy(&hold, turn, has_others)?;
            hold.gate().check_now().map_err(|error| self.failed(error))?;
            self.publish(&record)?;
            Ok(record)
        });
        match copied {
            Ok(record) => {
                done.shards += 1;
                done.copied += record.copied;
                done.holes += record.holes;
                Ok(())
            }
            Err(_) if hold.gate().is_lost() => {
                done.notes.push(format!("shard {} was taken over by another process", turn.shard));
                Ok(())
            }
            Err(error) => {
                hold.release();
                Err(error)
            }
        }
    }

    /// Compares a shard with the source, and notes that. One that differs counts as not
    /// there, so that the same line copies it again.
    fn check(
        &self,
        labour: &dyn Labour,
        turn: Turn,
        done: &mut Done,
        watch: Watch<'_>,
    ) -> Result<()> {
        let hold = self.hold(turn);
        let shard = turn.shard - self.shards.count() - 1;
        let failed = |error| self.failed(error);
        let checked = hold.during(watch, || {
            let checked = labour.check(&hold, shard);
            hold.gate().check_now().map_err(failed)?;
            if let Err(error) = &checked
                && error.outcome() == Outcome::Mismatch
            {
                self.folder.note(&record_name(shard), b"").map_err(failed)?;
            }
            checked?;
            let (plan, by) = (self.shards.plan.clone(), self.process.clone());
            let check = Check { plan, shard, by };
            self.folder.note(&check_name(shard), &seal(&check)).map_err(failed)
        });
        match checked {
            Ok(()) => {
                done.checked += 1;
                Ok(())
            }
            Err(_) if hold.gate().is_lost() => Ok(()),
            Err(error) => {
                hold.release();
                Err(error)
            }
        }
    }

    /// Records that a shard is done. After a power cut that may be forgotten: it is done
    /// again then.
    ///
    /// # Errors
    ///
    /// If the folder cannot be used.
    pub fn publish(&self, record: &Record) -> Result<()> {
        let published = self.folder.note(&record_name(record.shard), &seal(record));
        published.map_err(|error| self.failed(error))
    }

    fn finish(
        &self,
        labour: &dyn Labour,
        turn: Turn,
        all: &All<'_>,
        watch: Watch<'_>,
    ) -> Result<Option<Finished>> {
        let hold = self.hold(turn);
        let finished = hold.during(watch, || labour.finish(&hold, all));
        match finished {
            Ok(finished) => Ok(Some(finished)),
            Err(_) if hold.gate().is_lost() => Ok(None),
            Err(error) => {
                hold.release();
                Err(error)
            }
        }
    }

    fn hold(&self, turn: Turn) -> Hold<'_> {
        Hold::new(&self.folder, &self.shards.plan, &self.process, turn, self.lease)
    }

    /// That the folder cannot be used.
    pub fn failed(&self, source: std::io::Error) -> Error {
        join::failed(self.path, source)
    }
}
