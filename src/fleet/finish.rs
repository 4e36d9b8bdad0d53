//! The end of a job: every shard is there. The source is looked at once more, digests
//! are folded, and what was made gets its name. May be done again by another process, from
//! any point at which one has stopped.

use std::collections::{BTreeMap, BTreeSet};

use super::hold::Hold;
use super::plan::SourceFacts;
#[cfg(feature = "s3")]
use super::record::record_name;
use super::record::{
    BegunNote, Check, FINISHED, Finished, Record, Unreadable, copied_by, from_hex, in_hex,
    is_of_beginning, now, seal, unseal,
};
use super::whole::Content;
use super::work::Work;
use crate::digest::{self, Algorithm, Digest, DigestPart, Hasher, fold};
use crate::endpoint;
#[cfg(feature = "s3")]
use crate::error::Error;
use crate::error::{ErrorKind, Result, SourceChange};
use crate::io::transfer::read_full;
use crate::io::{as_u64, as_usize};
use crate::progress::Phase;
use crate::range::ByteRange;

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
    /// failed. What was made has not got its name then.
    pub fn run(&self) -> Result<Finished> {
        let whole = &*self.work.joined.whole;
        if let Some(content) = whole.named(self)? {
            let digests = self.digests(&content)?;
            digest::check(&digests, &self.work.joined.plan.job.options.expected)?;
            return self.record(digests, self.clear_others());
        }
        self.check_source()?;
        let content = whole.unnamed(self)?;
        let digests = self.digests(&content)?;
        digest::check(&digests, &self.work.joined.plan.job.options.expected)?;
        let mut notes = whole.give_name(self, content)?;
        notes.extend(self.clear_others());
        self.record(digests, notes)
    }

    /// Removes what processes have begun that were killed before they had a plan. Returns
    /// what stays.
    fn clear_others(&self) -> Vec<String> {
        let Work { joined, crew, .. } = self.work;
        let names = crew.folder.names().unwrap_or_default();
        let of_beginning = names.into_iter().filter(|name| is_of_beginning(name));
        let read = |name: String| unseal::<BegunNote>(&crew.folder.read(&name).ok()??);
        joined.whole.clear(&of_beginning.filter_map(read).collect::<Vec<_>>())
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
            Some(SourceChange::Attributes) => joined.whole.compare(self),
            Some(change) => Err(ErrorKind::SourceChanged { path, change }.into()),
        }
    }

    /// The digests of the whole: folded where that is possible, otherwise of what is
    /// in `content`.
    fn digests(&self, content: &Content) -> Result<Vec<Digest>> {
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
        digests.extend(self.read_digests(&rest, content)?);
        digests.sort_by_key(Digest::algorithm);
        Ok(digests)
    }

    /// Digests of `content`, first byte to last.
    fn read_digests(&self, wanted: &[Algorithm], content: &Content) -> Result<Vec<Digest>> {
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        self.hold.progress.enter(Phase::Verifying);
        let mut hashers: Vec<Hasher> = wanted.iter().copied().map(Hasher::new).collect();
        self.read(content, &mut |bytes| {
            hashers.iter_mut().for_each(|hasher| hasher.update(bytes));
            self.hold.progress.add_verified(as_u64(bytes.len()));
        })?;
        Ok(hashers.into_iter().map(Hasher::finalize).collect())
    }

    /// Reads `content`, and compares it with the checksum of what was written.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Read`], [`ErrorKind::Cancelled`], [`ErrorKind::SourceChanged`].
    #[cfg(feature = "s3")]
    pub fn check_read(&self, content: &Content) -> Result<()> {
        self.read(content, &mut |_| {})
    }

    /// Reads `content` in order. Where it is not what was written that is read, it must have
    /// the same checksum.
    fn read(&self, content: &Content, take: &mut dyn FnMut(&[u8])) -> Result<()> {
        let (mut buffer, mut sum) = (vec![0; BLOCK], 0);
        for block in content.range.pieces(as_u64(BLOCK)) {
            let bytes = &mut buffer[..as_usize(block.len())];
            self.read_block(content, block, bytes)?;
            sum = crc32c::crc32c_append(sum, bytes);
            take(bytes);
        }
        match content.checksum {
            Some(written) if written != sum => {
                let (path, change) = (content.path.clone(), SourceChange::Modified);
                Err(ErrorKind::SourceChanged { path, change }.into())
            }
            _ => Ok(()),
        }
    }

    /// Reads a block, again if that fails and may be tried again.
    fn read_block(&self, content: &Content, block: ByteRange, bytes: &mut [u8]) -> Result<()> {
        let mut tries = self.work.options.retries;
        loop {
            if self.hold.cancel.is_cancelled() {
                return Err(ErrorKind::Cancelled.into());
            }
            match read_full(&*content.bytes, block.start(), bytes) {
                Ok(_) => return Ok(()),
                Err(_) if tries > 0 => tries -= 1,
                Err(stop) => {
                    let (path, source) = (content.path.clone(), stop.error);
                    return Err(ErrorKind::Read { path, range: block, source }.into());
                }
            }
        }
    }

    /// That what is recorded of `shards` is not what the service has: they count as missing,
    /// and the same line copies them again.
    #[cfg(feature = "s3")]
    pub fn disown(&self, shards: &[u32]) -> Error {
        let crew = &self.work.crew;
        for shard in shards {
            if let Err(error) = crew.folder.note(&record_name(*shard), b"") {
                return crew.failed(error);
            }
        }
        let count = shards.len();
        let what = format!("the service has other parts than {count} of the shards have sent");
        let path = self.work.joined.whole.path().to_owned();
        ErrorKind::Destination { step: "complete", path, source: std::io::Error::other(what) }
            .into()
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
        let unread: u64 = records().flat_map(|one| &one.failed).map(|part| part.range.len()).sum();
        if unread > 0 && !self.work.joined.plan.job.options.wanted_digests().is_empty() {
            notes.push(format!("no digest: {unread} bytes could not be read"));
        }
        notes.push(copied_by(processes.len(), hosts.len()));
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
