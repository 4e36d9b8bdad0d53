//! The end of a job: every shard is there. The source is looked at once more, digests
//! are folded, and the file gets its name. May be done again by another process, from
//! any point at which one has stopped.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::sync::Arc;

use super::hold::Hold;
use super::plan::SourceFacts;
use super::record::{
    COMMIT, Check, Commit, FINISHED, Finished, Record, Unreadable, from_hex, in_hex, now, seal,
    unseal,
};
use super::work::Work;
use crate::digest::{self, Algorithm, Digest, DigestPart, Hasher, fold};
use crate::durable::intact;
use crate::durable::stage::{Stage, rights};
use crate::endpoint::{self, Draft};
use crate::error::{Error, ErrorKind, Result, SourceChange};
use crate::io::FileIo;
use crate::io::transfer::read_full;
use crate::preserve::OF_ANY_FILE;
use crate::progress::Phase;
use crate::range::RangeSet;
use crate::sys::{self, FileKind, Metadata};

/// Bytes read at once for digests that cannot be folded.
const BLOCK: usize = 1 << 20;

/// The end of a job, in one process.
pub struct Finish<'a> {
    pub work: &'a Work<'a>,
    pub hold: &'a Hold<'a>,
    pub records: &'a BTreeMap<u32, Record>,
    pub checks: &'a BTreeMap<u32, Check>,
}

impl Finish<'_> {
    /// Finishes.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::SourceChanged`], [`ErrorKind::DigestMismatch`], or the step that
    /// failed. The file has not got its name then.
    pub fn run(&self) -> Result<Finished> {
        let target = &self.work.joined.target;
        let draft = target.directory.facts(&target.part_name());
        let draft = draft.map_err(|source| self.work.draft_is_gone(source))?;
        if draft.is_none() {
            return self.after_the_name();
        }
        self.check_source()?;
        let file = target.directory.open_existing(&target.part_name());
        let file = file.map_err(|source| self.work.draft_is_gone(source))?;
        self.check_length(&file)?;
        let digests = self.digests(&file)?;
        digest::check(&digests, &self.work.joined.plan.job.options.expected)?;
        let notes = self.give_name(file)?;
        self.record(digests, notes)
    }

    /// Looks at the source as it is now, and at what this process has open.
    fn check_source(&self) -> Result<()> {
        let Work { origin, options, joined, .. } = self.work;
        let path = origin.path().to_owned();
        if joined.plan.job.options.allow_changed_source {
            return Ok(());
        }
        let again =
            endpoint::origin(&joined.plan.job.source.path.path(), options, &self.hold.cancel)?;
        let change = joined.plan.job.source.change(&SourceFacts::of(&*again));
        let since = || {
            let asked = origin.change();
            let unknown = |error: std::io::Error| {
                Some(SourceChange::Unknown { reason: crate::error::plain(&error) })
            };
            asked.unwrap_or_else(unknown)
        };
        match change.or_else(since) {
            None => Ok(()),
            // It may have been written to: the bytes tell.
            Some(SourceChange::Attributes) => self.compare(&joined.target.part_path()),
            Some(change) => Err(ErrorKind::SourceChanged { path, change }.into()),
        }
    }

    /// Compares the source with what was written, which is at `path`.
    fn compare(&self, path: &std::path::Path) -> Result<()> {
        self.work.compare(self.hold, self.work.joined.plan.job.range, path)
    }

    fn check_length(&self, file: &File) -> Result<()> {
        let (path, len) = (self.work.joined.target.part_path(), self.work.joined.plan.job.len());
        intact::check_length(file, &path, len)
    }

    /// The digests of the whole: folded where that is possible, otherwise of what is
    /// read back.
    fn digests(&self, file: &File) -> Result<Vec<Digest>> {
        let job = &self.work.joined.plan.job;
        if self.records.values().any(|record| !record.failed.is_empty()) {
            return Ok(Vec::new());
        }
        let wanted = job.options.wanted_digests();
        let folded = job.folded();
        let mut digests = Vec::new();
        let mut rest: Vec<Algorithm> = Vec::new();
        for algorithm in wanted {
            let of = |record: &Record| {
                let range = record.range.rebase(job.range.start(), 0)?;
                Some(DigestPart { range, digest: from_hex(&record.digests, algorithm)? })
            };
            let parts: Option<Vec<DigestPart>> = match folded.contains(&algorithm) {
                true => self.records.values().map(of).collect(),
                false => None,
            };
            match parts.and_then(|parts| fold(algorithm, job.range.len(), &parts)) {
                Some(digest) => digests.push(digest),
                None => rest.push(algorithm),
            }
        }
        digests.extend(self.read_digests(&rest, file)?);
        digests.sort_by_key(Digest::algorithm);
        Ok(digests)
    }

    /// Digests of what was written, first byte to last.
    fn read_digests(&self, wanted: &[Algorithm], file: &File) -> Result<Vec<Digest>> {
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        self.hold.progress.enter(Phase::Verifying);
        let job = &self.work.joined.plan.job;
        let path = self.work.joined.target.part_path();
        let io = Arc::new(FileIo::new(self.clone_of(file)?, job.len()));
        let mut hashers: Vec<Hasher> = wanted.iter().copied().map(Hasher::new).collect();
        let mut buffer = vec![0; BLOCK];
        let to = job.mapping().map(|mapping| mapping.to()).unwrap_or_default();
        for block in to.pieces(BLOCK as u64) {
            if self.hold.cancel.is_cancelled() {
                return Err(ErrorKind::Cancelled.into());
            }
            let bytes = &mut buffer[..crate::io::as_usize(block.len())];
            read_full(&*io, block.start(), bytes).map_err(|stop| ErrorKind::Read {
                path: path.clone(),
                range: block,
                source: stop.error,
            })?;
            hashers.iter_mut().for_each(|hasher| hasher.update(bytes));
            self.hold.progress.add_verified(block.len());
        }
        Ok(hashers.into_iter().map(Hasher::finalize).collect())
    }

    fn clone_of(&self, file: &File) -> Result<File> {
        file.try_clone().map_err(|source| self.work.draft_is_gone(source))
    }

    /// Gives it its rights and its name.
    fn give_name(&self, file: File) -> Result<Vec<String>> {
        let Work { joined, origin, crew, .. } = self.work;
        let job = &joined.plan.job;
        let target = joined.target.beside(joined.target.name.clone())?;
        let target = target.written_by_several(joined.plan.tag());
        let facts = sys::facts(&file).map_err(|source| self.work.draft_is_gone(source))?;
        let mut stage = Stage::of_several(target, file, job.len());
        let allowed = match (job.options.preserve, origin.file()) {
            (true, Some(_)) => None,
            (_, Some(source)) => Some(rights(source, job.range)),
            (_, None) => Some(OF_ANY_FILE),
        };
        let mut notes = stage.settle(allowed)?;
        if let (None, Some(source)) = (allowed, origin.file()) {
            notes.extend(Draft::preserve(&stage, source, job.options.sync)?);
        }
        if job.options.sync {
            Draft::sync(&stage)?;
        }
        stage.check_written(&RangeSet::new())?;
        let commit = seal(&self.commit_of(&facts));
        crew.folder.publish(COMMIT, &commit).map_err(|error| crew.failed(error))?;
        self.hold.gate().check_now().map_err(|error| crew.failed(error))?;
        Stage::commit(&mut stage, job.options.sync)?;
        stage.check_name()?;
        Ok(notes)
    }

    /// The file is not there any more under the name it had while it was written:
    /// somebody has given it its own, and stopped before that was noted.
    fn after_the_name(&self) -> Result<Finished> {
        let Work { joined, crew, .. } = self.work;
        let target = &joined.target;
        let commit = crew.folder.read(COMMIT).map_err(|error| crew.failed(error))?;
        let commit = commit.and_then(|bytes| unseal::<Commit>(&bytes));
        let commit = commit.filter(|commit| commit.plan == joined.plan.id);
        // Opened, it is looked at as it was when that was noted.
        let file = target.directory.open_to_read(&target.name).ok();
        let found = file.and_then(|file| sys::facts(&file).ok().map(|facts| (file, facts)));
        let (Some(commit), Some((file, facts))) = (commit, found) else { return Err(self.gone()) };
        if facts.node != FileKind::File || facts.size != commit.len {
            return Err(self.gone());
        }
        if self.commit_of(&facts) != commit {
            // Some file systems make numbers up: the bytes decide.
            self.compare(&target.path)?;
        }
        let digests = self.digests(&file)?;
        if joined.plan.job.options.sync {
            let path = target.directory_path.clone();
            target.directory.sync().map_err(|source| ErrorKind::Sync { path, source })?;
        }
        self.record(digests, Vec::new())
    }

    /// By what a file is known that is about to get its name.
    fn commit_of(&self, facts: &Metadata) -> Commit {
        let plan = self.work.joined.plan.id.clone();
        let made = facts.created.map(|made| format!("{made:?}"));
        Commit { plan, inode: facts.inode, made, len: self.work.joined.plan.job.len() }
    }

    fn gone(&self) -> Error {
        self.work.draft_is_gone(std::io::ErrorKind::NotFound.into())
    }

    /// Notes that all is done.
    fn record(&self, digests: Vec<Digest>, mut notes: Vec<String>) -> Result<Finished> {
        let records = || self.records.values();
        let of = |(shard, record): (&u32, &Record)| {
            record.verified.or(self.checks.contains_key(shard).then_some(true))
        };
        let verified: Option<Vec<bool>> = self.records.iter().map(of).collect();
        let verified = verified.map(|all| all.into_iter().all(|verified| verified));
        let by_another = |(shard, check): &(&u32, &Check)| {
            self.records.get(shard).is_some_and(|record| record.by != check.by)
        };
        let by_others = self.checks.iter().filter(by_another).count();
        if by_others > 0 {
            let all = self.records.len();
            notes.push(format!("{by_others} of {all} shards read back by another process"));
        }
        let hosts: BTreeSet<_> = records().map(|record| &record.by.host).collect();
        let processes: BTreeSet<_> = records().map(|record| &record.by.token).collect();
        let (processes, hosts) = (processes.len(), hosts.len());
        notes.push(format!("copied by {processes} processes on {hosts} machines"));
        let failed: Vec<Unreadable> = records().flat_map(|record| record.failed.clone()).collect();
        let finished = Finished {
            plan: self.work.joined.plan.id.clone(),
            copied: records().map(|record| record.copied).sum(),
            holes: records().map(|record| record.holes).sum(),
            failed,
            digests: in_hex(&digests),
            verified: verified.filter(|_| self.work.joined.plan.job.options.verifies()),
            by: self.work.crew.process.clone(),
            ended: now(),
            notes,
            others: Vec::new(),
        };
        let crew = &self.work.crew;
        let published = crew.folder.publish(FINISHED, &seal(&finished));
        published.map_err(|error| crew.failed(error))?;
        Ok(finished)
    }
}
