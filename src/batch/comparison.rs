//! Comparing the files of a batch with their sources, later and on its own:
//! nothing is written.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use super::beside::look_at_roles;
use super::commit::{algorithms_of, hash_range, mismatch};
use super::ending::failed_of;
use super::job::{Batch, finish};
use super::moving::check_sizes;
use super::named::{Keeping, Named};
use super::parents::Parents;
use super::plan::BatchPlan;
use super::prepare::check_distinct;
use super::preserving;
use super::proof::{Proof, first_difference, why_not};
use super::report::{BatchReport, ItemReport, Status, TreeReport};
use super::skipped::{self, Row};
use super::sources::Sources;
use super::tally::Tally;
use super::tree;
use super::wanted::Wanted;
use super::why::{DIFFERS, READ, Why, told};
use crate::digest::Digest;
use crate::error::{ErrorKind, JobResult, Refusal, Result, quoted};
use crate::io::FileIo;
use crate::manifest::Item;
use crate::pool;
use crate::pool::controller::Workers;
use crate::preserve::{self, Known};
use crate::progress::{CancelToken, Phase, Watch, lock};
use crate::report::{Bytes, FailedRange, Outcome};
use crate::sync::Mutex;
use crate::sys::{self, Directory, Metadata};

/// Files that are longer than they should be are named in the report up to so
/// many.
const NAMED: usize = 20;

impl Batch {
    /// Compares every item with its file, which is read past the page cache, and
    /// writes nothing. `on_item` hears of each item: one that is equal is
    /// [`Status::Complete`], one that differs or is not there
    /// [`Status::Mismatch`], and one of which parts could not be read in its
    /// source, and were not compared, [`Status::Partial`].
    ///
    /// Of the options, those count that say how to read: threads, rate, retries,
    /// page cache; digests, which are those of the files; and
    /// [`preserve`](Batch::preserve): owner, mode, time of last change and extended
    /// attributes are then compared as well.
    ///
    /// The outcome is [`Outcome::Mismatch`] if any item differs, and else
    /// [`Outcome::Partial`] if any could not be compared, or not all of it.
    ///
    /// # Errors
    ///
    /// If the list or a source is refused, or the directory is not there, and
    /// [`ErrorKind::Cancelled`].
    pub fn compare(
        &self,
        watch: Watch<'_>,
        on_item: &(dyn Fn(&ItemReport<'_>) + Sync),
    ) -> JobResult<BatchReport> {
        let Watch { progress, cancel } = watch;
        let start = Instant::now();
        progress.enter(Phase::Preparing);
        let Ready { named, roots, plan, wanted } = self.prepare_comparison(cancel)?;
        let sources = &named.sources;
        let threads = match self.workers(roots.iter(), sources) {
            Workers::Exactly(threads) => threads,
            Workers::UpTo(most) | Workers::Between { most, .. } => {
                num_cpus::get().clamp(1, 4).min(most)
            }
        };
        let proof = Proof::new(&self.options, self.request_size(), threads, watch);
        let proof = proof.skip_unreadable();
        let tally = Tally::new(self.item_count(), &self.into, progress, on_item);
        progress.expect_items(self.item_count() as u64);
        progress.expect(Some(plan.wanted_bytes().saturating_mul(roots.len() as u64)), 0);
        progress.enter(Phase::Verifying);
        let outputs: Vec<u32> = (0..wanted.len() as u32).collect();
        let mut longer = Vec::new();
        for (folder, root) in roots.iter().enumerate() {
            let files = Files {
                batch: self,
                root,
                sources,
                plan: &plan,
                proof: &proof,
                watch,
                threads: proof.share(wanted.len()),
                longer: Mutex::default(),
            };
            proof.pool(outputs.len()).each(&outputs, |&output| {
                let reports = files.reports(output, &wanted[output as usize]);
                let compared = reports.iter().map(|report| report.bytes).sum();
                tally.hear_file(Bytes { copied: compared, ..Bytes::default() });
                for (&row, report) in plan.rows(output).iter().zip(reports) {
                    tally.hear(folder, row, report);
                }
            });
            longer.extend(std::mem::take(&mut *lock(&files.longer)));
            if let Some(tree) = &self.tree {
                let preserve = self.options.preserve;
                let root = tree::Place { number: folder, directory: root };
                tree::compare(tree, &self.items, root, preserve, &tally, cancel);
            }
        }
        progress.enter(Phase::Finished);
        let mut report = tally.into_report(start, start.elapsed(), self.options.sync);
        report.seconds.verify = std::mem::take(&mut report.seconds.copy);
        report.threads = threads;
        proof.record(&mut report);
        report.notes.extend(longer);
        if let Some(tree) = &self.tree {
            report.tree = Some(TreeReport::of(tree));
            report.notes.extend(tree::omitted(tree));
        }
        if report.items.mismatch > 0 {
            report.outcome = Outcome::Mismatch;
        }
        for folder in report.folders.iter_mut().filter(|folder| folder.items.mismatch > 0) {
            folder.outcome = Outcome::Mismatch;
        }
        let stopped = cancel.is_cancelled();
        finish(report, if stopped { Err(ErrorKind::Cancelled.into()) } else { Ok(()) })
    }

    /// Opens and looks, and refuses.
    fn prepare_comparison(&self, cancel: &CancelToken) -> Result<Ready<'_>> {
        self.options.threads.check()?;
        check_sizes(&self.options)?;
        pool::check_request(self.request_size())?;
        let stay_open = self.handles().sources;
        let named = self.named(Keeping { stay_open, any_state: false }, cancel)?;
        self.check_manifest(&named)?;
        let roles = self.beside.roles(&named.sources)?;
        let open = |path: &PathBuf| {
            Directory::open(path)
                .map_err(|source| Refusal::NoDirectory { path: path.clone(), source })
        };
        let roots = self.into.iter().map(open).collect::<Result<Vec<_>, _>>()?;
        check_distinct(&self.into, &roots)?;
        let (of, none) = (|row: usize, item: &Item| named.of(row, item), |_| None);
        let together = self.together(u64::MAX);
        let (plan, wanted) =
            BatchPlan::new(&self.items, of, |_| false, none, named.sources.len(), together)?;
        if self.options.preserve {
            preserving::check(&self.items, &plan, &wanted, &named.sources)?;
        }
        for (root, path) in roots.iter().zip(&self.into) {
            look_at_roles(&mut Parents::new(root), path, &wanted, &roles)?;
        }
        Ok(Ready { named, roots, plan, wanted })
    }
}

/// A comparison that has passed every check.
struct Ready<'a> {
    named: Named<'a>,
    roots: Vec<Directory>,
    plan: BatchPlan,
    wanted: Vec<Wanted>,
}

/// The files that are compared.
struct Files<'a> {
    batch: &'a Batch,
    root: &'a Directory,
    sources: &'a Sources,
    plan: &'a BatchPlan,
    proof: &'a Proof<'a>,
    watch: Watch<'a>,
    /// Readers of each.
    threads: usize,
    /// What is longer than it should be, in words.
    longer: Mutex<Vec<String>>,
}

/// What was found of an item.
struct Found {
    status: Status,
    digests: Vec<Digest>,
    failed: Vec<FailedRange>,
    why: Option<Why>,
}

impl Found {
    fn none(status: Status, why: Option<Why>) -> Found {
        Found { status, digests: Vec::new(), failed: Vec::new(), why }
    }
}

impl<'a> Files<'a> {
    /// Compares every item of an output. Where one differs, none of them is
    /// good: the file is copied as a whole.
    fn reports(&self, output: u32, wanted: &Wanted) -> Vec<ItemReport<'a>> {
        let report = |&number: &u32| {
            let item = &self.batch.items[number as usize];
            let source = self.plan.source_of(number);
            let range = item.destination(self.sources.size(source)).unwrap_or_default();
            self.report(&Row { number, item, source, range }, wanted)
        };
        let mut reports: Vec<_> = self.plan.rows(output).iter().map(report).collect();
        if reports.iter().any(|report| report.status == Status::Mismatch) {
            for report in reports.iter_mut().filter(|report| report.status.is_good()) {
                report.status = Status::Mismatch;
                let why = Why::new(DIFFERS, "another part of the same file differs");
                (report.error, report.error_kind) = told(Some(why));
            }
        }
        reports
    }

    fn report(&self, row: &Row<'a>, wanted: &Wanted) -> ItemReport<'a> {
        let start = Instant::now();
        let found = self.compare(row, wanted).unwrap_or_else(|error| {
            let missing = error.kind() == io::ErrorKind::NotFound;
            let (status, why) = match missing {
                true => (Status::Mismatch, Why::new(DIFFERS, "it is not there")),
                false => {
                    let why = Why::of_io(READ, &error);
                    (Status::Failed, why.said(|text| format!("it cannot be read: {text}")))
                }
            };
            Found::none(status, Some(why))
        });
        let Found { status, digests, failed, why } = found;
        let (error, error_kind) = told(why);
        let good = matches!(status, Status::Complete | Status::Partial);
        let lost: u64 = failed.iter().map(|part| part.end - part.start).sum();
        ItemReport {
            item: row.item,
            status,
            bytes: if good { row.range.len().saturating_sub(lost) } else { 0 },
            digests,
            failed,
            verified: (status != Status::NotTried).then_some(status == Status::Complete),
            error,
            error_kind,
            seconds: start.elapsed().as_secs_f64(),
            folders: Vec::new(),
        }
    }

    fn compare(&self, row: &Row<'_>, wanted: &Wanted) -> io::Result<Found> {
        if self.watch.cancel.is_cancelled() {
            return Ok(Found::none(Status::NotTried, None));
        }
        let file = Arc::new(skipped::open(self.root, &row.item.name)?);
        let facts = sys::facts(file.as_file())?;
        if self.sources.facts(row.source).is_some_and(|source| facts.same_thing(source)) {
            return Err(io::Error::other("it is the source itself"));
        }
        self.note_longer(wanted, facts.size);
        if facts.size < wanted.len {
            let why = format!("it ends at byte {}, and should go on to {}", facts.size, wanted.len);
            return Ok(Found::none(Status::Mismatch, Some(Why::new(DIFFERS, why))));
        }
        let (mut findings, ended) =
            skipped::compare(self.proof, self.sources, row, &file, self.threads);
        if let Some(what) = first_difference(&findings, row.range) {
            return Ok(Found::none(Status::Mismatch, Some(what)));
        }
        match ended {
            Err(error) if matches!(error.kind(), ErrorKind::Cancelled) => {
                return Ok(Found::none(Status::NotTried, None));
            }
            Err(error) => return Ok(Found::none(Status::Failed, Some(why_not(&error)))),
            Ok(()) => {}
        }
        let size = self.sources.size(row.source);
        let failed = failed_of(row.item, size, &std::mem::take(&mut findings.unread));
        if !failed.is_empty() {
            return Ok(Found { failed, ..Found::none(Status::Partial, None) });
        }
        let algorithms = algorithms_of(row.item, &self.batch.options.digests);
        let hashed = hash_range(&file, row.range, &algorithms, self.watch.cancel)?;
        let Some(digests) = hashed else { return Ok(Found::none(Status::NotTried, None)) };
        let why = match mismatch(row.item, &digests) {
            None if self.batch.options.preserve => {
                let found = self.difference_besides(row, &file, &facts)?;
                found.map(|what| Why::new(DIFFERS, what))
            }
            found => found,
        };
        let status = if why.is_some() { Status::Mismatch } else { Status::Complete };
        Ok(Found { digests, ..Found::none(status, why) })
    }

    /// How a file differs in what it has besides its content.
    fn difference_besides(
        &self,
        row: &Row<'_>,
        file: &FileIo,
        facts: &Metadata,
    ) -> io::Result<Option<String>> {
        let origin = self.sources.open(row.source).map_err(io::Error::other)?;
        let facts_then = self.sources.facts(row.source);
        // What a server hands out was refused.
        let Some((source, wanted)) = origin.file().zip(facts_then) else { return Ok(None) };
        let from = Known { file: source.file.as_file(), facts: wanted };
        preserve::difference(from, Known { file: file.as_file(), facts })
    }

    /// Says that a file goes on behind what was copied: that is not a difference.
    fn note_longer(&self, wanted: &Wanted, size: u64) {
        let more = size.saturating_sub(wanted.len);
        if more == 0 {
            return;
        }
        let note = format!("{} has {more} bytes more", quoted(&*wanted.name));
        let mut longer = lock(&self.longer);
        if longer.len() < NAMED && !longer.contains(&note) {
            longer.push(note);
        }
    }
}
