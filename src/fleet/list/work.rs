//! What a process does with the shards of a job of many files, and with its end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::plan::ListJob;
use super::{changed, is_over};
use crate::batch::{Batch, BatchReport, Claim, ItemReport, Status, Survey, suffix};
use crate::error::{ErrorKind, Result};
use crate::fleet::SharedJob;
use crate::fleet::crew::{All, Crew, Done, Labour, Over};
use crate::fleet::hold::Hold;
use crate::fleet::member::latest_claims;
use crate::fleet::plan::{Name, Plan, of_one};
use crate::fleet::rank::Share;
use crate::fleet::record::{
    FINISHED, Finished, ItemRecord, OtherRecord, Record, Turn, copied_by, in_hex, nested_name, now,
    seal,
};
use crate::fleet::whole::SentParts;
use crate::fleet::work::unreadable;
use crate::io::guarded::Guard;
use crate::manifest::{Item, Runs};
use crate::options::Options;
use crate::progress::{Watch, lock};
use crate::sync::Mutex;
use crate::{Leftovers, RangeSpec};

/// One process at work on many files.
pub struct ListWork<'a> {
    pub crew: Crew<'a>,
    pub plan: &'a Plan<ListJob>,
    pub batch: &'a Batch,
    pub survey: &'a Survey,
    pub options: &'a Options,
    pub share: Share,
}

impl Labour for ListWork<'_> {
    fn copy(&self, hold: &Hold<'_>, turn: Turn, _has_others: bool) -> Result<Record> {
        let begun = now();
        let rows = self.rows(turn.shard);
        let first = self.copy_rows(hold, turn, &rows)?;
        let mut items = first.items;
        let (mut copied, mut holes) = (first.report.bytes, first.report.holes);
        // Another claim may have given a file its name in this very moment: it is found
        // then, and compared.
        let failed: Vec<u32> =
            items.iter().filter(|it| it.status == Status::Failed).map(|it| it.row).collect();
        if !failed.is_empty() {
            let again = self.copy_rows(hold, turn, &failed)?;
            copied += again.report.bytes;
            holes += again.report.holes;
            items.retain(|item| !failed.contains(&item.row));
            items.extend(again.items);
        }
        items.sort_by_key(|item| item.row);
        let verified = items.iter().map(|item| item.verified).min().flatten();
        let record = Record { copied, holes, verified, items, ..self.record(turn.shard, begun) };
        Ok(record)
    }

    fn finish(&self, hold: &Hold<'_>, all: &All<'_>) -> Result<Finished> {
        let records = all.records;
        let failed = |error| self.crew.failed(error);
        hold.gate().check_now().map_err(failed)?;
        let others = Mutex::new(Vec::new());
        let items = || records.values().flat_map(|record| &record.items);
        let incomplete: Vec<u32> =
            items().filter(|item| !item.status.is_good()).map(|item| item.row).collect();
        let job = &self.plan.job;
        let mut notes = self.batch.end_folders(&job.options, &incomplete, &|item| {
            lock(&others).push(other_of(item));
        })?;
        self.remove_drafts().map_err(failed)?;
        let hosts: BTreeSet<_> = records.values().map(|record| &record.by.host).collect();
        let processes: BTreeSet<_> = records.values().map(|record| &record.by.token).collect();
        notes.push(copied_by(processes.len(), hosts.len()));
        let finished = Finished {
            plan: self.plan.id.clone(),
            copied: records.values().map(|record| record.copied).sum(),
            holes: records.values().map(|record| record.holes).sum(),
            failed: Vec::new(),
            digests: BTreeMap::new(),
            verified: None,
            by: self.crew.process.clone(),
            ended: now(),
            notes,
            others: others.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner),
        };
        hold.gate().check_now().map_err(failed)?;
        self.crew.folder.publish(FINISHED, &seal(&finished)).map_err(failed)?;
        Ok(finished)
    }

    fn together(&self, missing: &[u32], done: &mut Done, watch: Watch<'_>) -> Result<bool> {
        let is_one = |shard: &&u32| self.plan.job.shards[**shard as usize].together;
        let mut did = false;
        for &shard in missing.iter().filter(is_one) {
            if watch.cancel.is_cancelled() {
                return Err(ErrorKind::Cancelled.into());
            }
            did |= self.take_part(shard, done, watch)?;
        }
        Ok(did)
    }
}

/// What became of some items.
struct Copied {
    items: Vec<ItemRecord>,
    report: BatchReport,
}

impl ListWork<'_> {
    /// The items of a shard.
    fn rows(&self, shard: u32) -> Vec<u32> {
        let shard = self.plan.job.shards[shard as usize];
        let files = shard.first as usize..(shard.first + shard.files) as usize;
        self.survey.files[files].iter().flat_map(|file| file.rows.iter().copied()).collect()
    }

    /// Copies some items of the shard of `turn`.
    fn copy_rows(&self, hold: &Hold<'_>, turn: Turn, rows: &[u32]) -> Result<Copied> {
        let gate = Arc::clone(hold.gate());
        let guard: Guard = Arc::new(move || gate.check_now());
        let claim = Claim {
            suffix: suffix(self.plan.tag(), turn.shard, turn.generation).into(),
            guard,
            states: rows.iter().map(|&row| self.survey.states[row as usize]).collect(),
        };
        // What an earlier claim has given its name is compared, and kept.
        let leftovers = Leftovers::Resume;
        let options = Options { leftovers, ..of_one(&self.plan.job.options, self.options) };
        let part = self.batch.part(rows, Some(claim), options);
        let items = Mutex::new(Vec::with_capacity(rows.len()));
        let watch = Watch::new(&hold.progress, &hold.cancel);
        let report = part.run_watched(watch, &|item| {
            let row = part.row_of(item.item).and_then(|row| rows.get(row as usize));
            lock(&items).extend(row.map(|&row| record_of(row, item)));
        });
        let report = report.map_err(|failure| failure.into_error())?;
        let items = items.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        Ok(Copied { items, report })
    }

    fn record(&self, shard: u32, begun: f64) -> Record {
        Record {
            plan: self.plan.id.clone(),
            shard,
            range: self.crew.shards.ranges[shard as usize],
            copied: 0,
            holes: 0,
            failed: Vec::new(),
            digests: BTreeMap::new(),
            verified: None,
            by: self.crew.process.clone(),
            begun,
            ended: now(),
            items: Vec::new(),
            parts: SentParts::new(),
        }
    }

    /// Takes part in the job that is `shard`, as far as there is something to take;
    /// whether there was.
    fn take_part(&self, shard: u32, done: &mut Done, watch: Watch<'_>) -> Result<bool> {
        let begun = now();
        let folder = self.crew.path.join(nested_name(shard));
        let row = self.rows(shard)[0];
        let Some(item) = self.batch.item(row) else { return Ok(false) };
        if !is_over(&folder) {
            self.check_state(row, watch)?;
            self.batch.make_folder_of(row)?;
        }
        let (own, over) = self.nested(item, folder).take_part(&self.crew.process, watch)?;
        done.copied += own.copied;
        done.holes += own.holes;
        let Some(over) = over else { return Ok(own.shards > 0) };
        let record = self.record_of_nested(shard, row, begun, &over);
        self.crew.publish(&record)?;
        done.shards += u32::from(own.shards > 0);
        Ok(true)
    }

    /// The job that copies `item`, in `folder`.
    fn nested(&self, item: &Item, folder: std::path::PathBuf) -> SharedJob {
        let source = self.batch.source_of(item).unwrap_or_default();
        let destination = self.plan.job.into.path().join(&item.name);
        let mut options = of_one(&self.plan.job.options, self.options);
        options.expected = item.expected().to_vec();
        if let Runs::One(range) = &item.runs {
            options.range = RangeSpec::from(*range);
        }
        if item.source.is_some() {
            // A file that an item names is meant by itself.
            options.join = crate::Join::Never;
        }
        let job = SharedJob::new(folder, source, destination).options(options);
        let share = match self.share {
            Share::Of { .. } => self.share,
            Share::Any | Share::At(_) => Share::Any,
        };
        job.share(share).lease(self.crew.lease)
    }

    /// Refuses a source that is not what it was when the job was planned.
    fn check_state(&self, row: u32, watch: Watch<'_>) -> Result<()> {
        if self.plan.job.options.allow_changed_source {
            return Ok(());
        }
        let now = self.batch.part(&[row], None, self.options.clone()).survey(watch.cancel)?;
        match now.states.first() == self.survey.states.get(row as usize) {
            true => Ok(()),
            false => {
                let path = self.batch.item(row).and_then(|item| self.batch.source_of(item));
                Err(changed(path.unwrap_or_default()))
            }
        }
    }

    /// What became of the item `row`, which was a job of its own.
    fn record_of_nested(&self, shard: u32, row: u32, begun: f64, over: &Over) -> Record {
        let Over { finished, records } = over;
        let first = records.values().map(|record| record.begun).reduce(f64::min);
        let begun = first.unwrap_or(begun);
        let failed: u64 = finished.failed.iter().map(|part| part.range.len()).sum();
        let status = if failed == 0 { Status::Complete } else { Status::Partial };
        let range = self.crew.shards.ranges[shard as usize];
        let item = ItemRecord {
            row,
            status,
            bytes: range.len() - failed,
            digests: finished.digests.clone(),
            failed: finished.failed.clone(),
            verified: finished.verified,
            error: None,
            error_kind: None,
            seconds: (finished.ended - begun).max(0.0),
        };
        Record {
            copied: finished.copied,
            holes: finished.holes,
            verified: finished.verified,
            by: finished.by.clone(),
            begun,
            ended: finished.ended,
            items: vec![item],
            ..self.record(shard, begun)
        }
    }

    /// Removes what claims that were taken over have left.
    fn remove_drafts(&self) -> std::io::Result<()> {
        let names = self.crew.folder.names()?;
        for (shard, generation) in latest_claims(&names) {
            if generation > 1 && shard < self.crew.shards.count() {
                let suffix = |generation| suffix(self.plan.tag(), shard, generation);
                let suffixes: Vec<String> = (1..=generation).map(suffix).collect();
                self.batch.remove_drafts(&self.rows(shard), &suffixes);
            }
        }
        Ok(())
    }
}

fn record_of(row: u32, item: &ItemReport<'_>) -> ItemRecord {
    ItemRecord {
        row,
        // In a job, it is of this very job.
        status: if item.status == Status::Skipped { Status::Complete } else { item.status },
        bytes: item.bytes,
        digests: in_hex(&item.digests),
        failed: item.failed.iter().filter_map(unreadable).collect(),
        verified: item.verified,
        error: item.error.clone(),
        error_kind: item.error_kind.map(str::to_owned),
        seconds: item.seconds,
    }
}

fn other_of(item: &ItemReport<'_>) -> OtherRecord {
    OtherRecord {
        name: Name::from(&*item.item.name),
        source: item.item.source.as_deref().map(Name::from),
        status: if item.status == Status::Skipped { Status::Complete } else { item.status },
        error: item.error.clone(),
        error_kind: item.error_kind.map(str::to_owned),
    }
}
