//! A batch, from the manifest to the report: reads top to bottom as "many copies".

use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Condvar, Mutex, OnceLock};
use std::time::Instant;

use super::beside::{Beside, look_at_roles};
use super::handles::Handles;
use super::large::Settings;
use super::moving::{How, Moving, check_sizes, io_size};
use super::output::{Outputs, Previous, Wanted};
use super::partial::{Look, Standing};
use super::plan::{BatchPlan, BatchPlanned};
use super::preflight::{
    Consent, Parents, Space, check_renames, look_at_names, look_at_parents, open_root,
    remove_if_made,
};
use super::preserving::{self, Lost};
use super::proof::Proof;
use super::report::{BatchReport, ItemReport};
use super::skipped::Skipped;
use super::sources::{Named, Sources};
use super::tally::Tally;
use super::unchanged::Changes;
use super::work::BatchWork;
use crate::cpu::Pool;
use crate::durable::previous::Leftovers;
use crate::durable::trust::Examiner;
use crate::engine::capabilities::End;
use crate::error::{Error, ErrorKind, JobResult, Refusal, Result};
use crate::io::page_cache::CacheState;
use crate::manifest::{self, Item, ManifestErrors};
use crate::options::{Options, setters};
use crate::pool::controller::{Controller, Workers};
use crate::pool::{self, Threads};
use crate::progress::{CancelToken, Phase, Progress, Watch};
use crate::sys::{self, Directory, Metadata};

/// Request size of a batch where the user names none: one request fetches many
/// small neighbours.
pub const DEFAULT_IO_SIZE: u64 = 1 << 20;

/// Many ranges to many files in one run, under one thread and memory budget.
///
/// ```
/// use pcopy::{Batch, manifest::{self, ReadOptions}};
///
/// let folder = tempfile::tempdir()?;
/// let disk = folder.path().join("disk.img");
/// std::fs::write(&disk, b"....first......second...")?;
/// let index = "name,start,len\na.txt,4,5\nb.txt,15,6\n";
/// let items = manifest::read(index.as_bytes(), None, &ReadOptions::default())?.items;
///
/// let report = Batch::new(items, folder.path().join("out"))
///     .source(&disk)
///     .run()?;
///
/// assert!(report.items.all_good());
/// assert_eq!(std::fs::read(folder.path().join("out/b.txt"))?, b"second");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use = "a batch copies nothing before it is run"]
pub struct Batch {
    pub(super) items: Vec<Item>,
    /// What of the list could not be understood.
    unread: ManifestErrors,
    pub(super) into: PathBuf,
    /// Whether `into` is made if it is missing.
    make_into: bool,
    pub(super) source: Option<PathBuf>,
    pub(super) options: Options,
    pub(super) beside: Beside,
}

impl Batch {
    /// Copies `items` to files below `into`, which is made if only its last
    /// component is missing.
    pub fn new(items: Vec<Item>, into: impl Into<PathBuf>) -> Batch {
        Batch {
            items,
            unread: ManifestErrors::default(),
            into: into.into(),
            make_into: true,
            source: None,
            options: Options::default(),
            beside: Beside::default(),
        }
    }

    /// What of the list could not be understood, as [`manifest::read_lenient`]
    /// found it. With any such error the batch is refused, and says at the same
    /// time what is wrong with the rest.
    pub fn unread(mut self, errors: ManifestErrors) -> Batch {
        self.unread = errors;
        self
    }

    /// Whether the directory is made if it is missing. Default: yes.
    pub fn make_into(mut self, make: bool) -> Batch {
        self.make_into = make;
        self
    }

    /// The source of all items that name none.
    pub fn source(mut self, path: impl Into<PathBuf>) -> Batch {
        self.source = Some(path.into());
        self
    }

    setters!(all);
    setters!(copying);

    /// Copies every item.
    ///
    /// # Errors
    ///
    /// If nothing can be done or the batch must stop: see [`ErrorKind`]. Items
    /// that fail are data in the report.
    pub fn run(&self) -> JobResult<BatchReport> {
        self.run_watched(Watch::new(&Progress::new(), &CancelToken::new()), &|_| {})
    }

    /// As [`Batch::run`]; `watch` sees how far it is, and can stop it, and
    /// `on_item` hears of each item as it ends, from any thread.
    ///
    /// # Errors
    ///
    /// As of [`Batch::run`], and [`ErrorKind::Cancelled`].
    pub fn run_watched(
        &self,
        watch: Watch<'_>,
        on_item: &(dyn Fn(&ItemReport<'_>) + Sync),
    ) -> JobResult<BatchReport> {
        let Watch { progress, cancel } = watch;
        let start = Instant::now();
        let made = OnceLock::new();
        let ready = self.prepare(&made, watch)?;
        check_renames(&ready.root, &self.into)
            .inspect_err(|_| remove_if_made(&self.into, &made))?;
        let tally = Tally::new(self.items.len(), progress, on_item);
        progress.expect_items(self.items.len() as u64);
        let threads = self.handles().threads.min(ready.workers.most());
        let proof = || Proof::new(&self.options, (io_size(&self.options), threads), watch);
        let proof = self.options.verifies().then(proof);
        let skipped = Skipped::of(
            &self.items,
            &ready.skipped,
            &ready.plan,
            &ready.sources,
            proof.as_ref(),
            &self.options.digests,
        );
        skipped.report(&ready.root, &tally, ready.workers.most(), Watch { progress, cancel });
        let Ready { sources, root, plan, wanted, skipped, workers, notes } = ready;
        let on_item = |report: &ItemReport<'_>| tally.hear(report);
        let moving =
            Moving::new(How::of(&self.options), &root, self.options.sync, self.handles().threads);
        let changes = Changes::new(self.options.allow_changed_source);
        let root = (root, self.into.clone());
        let lost = Lost::default();
        let work = BatchWork {
            items: &self.items,
            plan: &plan,
            sources: &sources,
            outputs: Arc::new(Outputs::new(
                root,
                wanted,
                self.earlier(),
                self.handles(),
                self.options.sync,
            )),
            progress,
            cancel,
            algorithms: &self.options.digests,
            large: self.settings(&moving, watch),
            next: Mutex::default(),
            begun: Condvar::new(),
            groups: Mutex::default(),
            larges: Mutex::default(),
            finished: Mutex::default(),
            finished_bytes: AtomicU64::new(0),
            proof: proof.as_ref(),
            preserve: self.options.preserve.then_some(&lost),
            changes: &changes,
            on_item: &on_item,
            on_file: &|bytes| tally.hear_file(bytes),
        };
        progress.expect(Some(plan.bytes()), 0);
        progress.enter(Phase::Copying);
        let control = self.options.control(io_size(&self.options), watch);
        let (run, moved) = pool::run(&control, &work, self.controller(&plan, workers));
        let copied = start.elapsed();
        progress.enter(Phase::Syncing);
        let moved = work.end(moved, skipped.contains(&true));
        let moved = moved.and_then(|()| work.check_shared_sources());
        work.leave();
        let refused = work.outputs.refused.notes();
        progress.enter(Phase::Finished);
        let mut report = tally.into_report(start, copied, self.options.sync);
        moving.record(&mut report);
        if let Some(proof) = &proof {
            proof.record(&mut report);
        }
        report.notes.extend(notes);
        report.notes.extend(refused);
        report.notes.extend(lost.into_notes());
        report.threads = run.threads;
        report.notes.extend(run.decisions);
        report.notes.extend(self.options.threads.note_fewer(workers, io_size(&self.options)));
        report.notes.extend(changes.note_of(&sources));
        finish(report, moved)
    }

    /// What becomes of parts that an earlier run left.
    fn earlier(&self) -> Previous {
        Previous {
            discard: self.options.leftovers != Leftovers::Refuse,
            resume: self.options.leftovers == Leftovers::Resume,
            trust: self.options.trust,
        }
    }

    /// What all large outputs share.
    fn settings<'a>(&self, moving: &'a Moving, watch: Watch<'a>) -> Settings<'a> {
        let Watch { progress, cancel } = watch;
        Settings {
            cancel,
            any_state: self.options.allow_changed_source,
            every: self.options.checkpoint_every,
            moving,
            progress,
            stripe_size: How::of(&self.options).stripes(io_size(&self.options)),
            io_size: io_size(&self.options),
            scattered: How::of(&self.options).scattered(io_size(&self.options)),
            fingerprints: self.options.verifies(),
        }
    }

    /// Does everything that `run` does before the first byte, and nothing else.
    ///
    /// # Errors
    ///
    /// Whatever would make `run` refuse.
    pub fn dry_run(&self, progress: &Progress) -> Result<BatchPlanned> {
        let made = OnceLock::new();
        let ready = self.prepare(&made, Watch::new(progress, &CancelToken::new()))?;
        let holes = self.holes_of(&ready)?;
        let planned = BatchPlanned {
            items: self.items.len(),
            skipped: ready.skipped.iter().filter(|&&skipped| skipped).count(),
            files: ready.wanted.len(),
            bytes: ready.plan.wanted_bytes() - holes,
            holes,
            requests: ready.plan.queue.tasks(),
        };
        // As long as it is open, not every system removes a directory.
        drop(ready);
        // Made to find out whether it can be.
        remove_if_made(&self.into, &made);
        Ok(planned)
    }

    /// Bytes of holes in large files, which are kept: what is small is read
    /// with its neighbours.
    fn holes_of(&self, ready: &Ready) -> Result<u64> {
        let queue = &ready.plan.queue;
        let how = How::of(&self.options);
        let scattered = how.scattered(io_size(&self.options));
        let tasks = (0..queue.tasks()).filter_map(|number| queue.task(number));
        tasks.filter(|task| task.is_large(scattered)).try_fold(0, |sum, task| {
            let segment = &queue.all()[task.segments.start];
            let source = ready.sources.open(segment.source)?;
            Ok(sum + segment.range.len() - how.layout(&source, segment.range).data.bytes())
        })
    }

    /// Opens, looks, refuses, plans. Writes nothing but the directory itself,
    /// and not that if it refuses.
    fn prepare(&self, made: &OnceLock<Metadata>, watch: Watch<'_>) -> Result<Ready> {
        watch.progress.enter(Phase::Preparing);
        self.options.check()?;
        let ready = self.check(made, watch.cancel);
        ready.inspect_err(|_| remove_if_made(&self.into, made))
    }

    fn check(&self, made: &OnceLock<Metadata>, cancel: &CancelToken) -> Result<Ready> {
        check_sizes(&self.options)?;
        pool::check_request(io_size(&self.options))?;
        let stay_open = self.handles().sources;
        let any_state = self.options.allow_changed_source;
        let named = Named::open(&self.items, self.source.as_deref(), stay_open, any_state);
        self.check_manifest(&named)?;
        let sources = &named.sources;
        let roles = self.beside.roles(sources)?;
        let root = open_root(&self.into, self.make_into, made)?;
        let how = How::of(&self.options);
        how.check(&self.items, sources, &root, !self.options.digests.is_empty())?;
        let source_of = |item: &Item| named.of(item);
        let request = how.scattered(io_size(&self.options));
        let mut examiner = Examiner::new(self.options.trust);
        let (items, into) = (&self.items, &*self.into);
        let look = Look { items, into, root: &root, sources, any_state, cancel };
        // Where files are to be replaced, that they are there says nothing: it
        // may as well be the old ones.
        let standing = match self.options.leftovers {
            Leftovers::Resume if !self.options.force => {
                look.find(&source_of, request, &mut examiner)?
            }
            _ => Standing::of_nothing(self.items.len()),
        };
        let skip = |row: usize| standing.complete[row];
        let partial = |row: usize| standing.partial.get(&row).cloned();
        let (plan, mut wanted) =
            BatchPlan::new(&self.items, source_of, skip, partial, sources.len(), request)?;
        if self.options.preserve {
            preserving::check(&self.items, &plan, &wanted, sources)?;
        }
        let mut parents = Parents::new(&root);
        let (force, leftovers) = (self.options.force, self.options.leftovers);
        let consent = Consent { force, leftovers, same_device: self.options.allow_same_device };
        let line = |output: u32| self.items[plan.rows(output)[0] as usize].line;
        look_at_parents(&mut parents, &wanted, &line).map_err(|errors| refused(&errors))?;
        look_at_roles((&mut parents, &self.into), &wanted, &roles)?;
        let consent = (consent, &mut examiner);
        look_at_names((&mut parents, &self.into), consent, &mut wanted, (sources, &roles))?;
        let space = Space { plan: &plan, wanted: &wanted, sources, how: &how, scattered: request };
        if !self.options.ignore_space {
            space.check(&root, &self.into, self.options.leftovers)?;
        }
        let workers = self.workers(&root, sources);
        let skipped = standing.complete;
        let mut notes = examiner.into_notes();
        notes.extend(sources.who_may_write());
        Ok(Ready { sources: named.sources, root, plan, wanted, skipped, workers, notes })
    }

    /// How many workers there may be, as for a single copy.
    pub(super) fn workers(&self, root: &Directory, sources: &Sources) -> Workers {
        let spins = || End::of_directory(root).rotational == Some(true) || sources.spin();
        match self.options.threads {
            Threads::Exactly(threads) => Workers::Exactly(threads).bounded(io_size(&self.options)),
            // Heads that move between files cost more than they bring.
            Threads::Auto if spins() => Workers::Exactly(1),
            // Nobody waits for a device: more workers than processors only take turns.
            Threads::Auto if sources.are_in_memory() => Workers::UpTo(num_cpus::get().max(2)),
            Threads::Auto => Workers::auto(),
        }
    }

    /// As many workers as there is something to do for.
    pub(super) fn controller(&self, plan: &BatchPlan, workers: Workers) -> Controller {
        // Also a batch of nothing but empty files gives each worker something to do.
        let tasks = (plan.bytes() >> 12) as usize + plan.queue.tasks() + plan.empty.len();
        let most = self.handles().threads.min(workers.most()).min(tasks.max(1));
        match workers {
            Workers::Exactly(_) => Controller::fixed(most),
            // Small files, far apart, make small requests.
            Workers::UpTo(_) => {
                let mean = plan.bytes() / (plan.queue.tasks() as u64).max(1);
                Controller::auto(most, mean.clamp(4096, io_size(&self.options)))
            }
        }
    }

    /// What may be open at once, and how many workers that serves.
    pub(super) fn handles(&self) -> Handles {
        let threads = self
            .options
            .threads
            .choose([], CacheState::Unknown)
            .bounded(io_size(&self.options))
            .most();
        Handles::within(sys::open_file_limit(), threads)
    }

    /// Everything that is wrong with the list, be it what was found when it was
    /// read, a source that is not there, or what is asked of one.
    pub(super) fn check_manifest(&self, named: &Named<'_>) -> Result<()> {
        let pool = Pool::for_items(self.items.len());
        let checked = manifest::check_with(&self.items, |source| named.size(source), &pool);
        let mut errors = self.unread.clone();
        if let Err(refused) = checked {
            errors.merge(refused);
        }
        errors.or(()).map_err(|errors| refused(&errors))
    }
}

/// A batch that has passed every check.
struct Ready {
    sources: Sources,
    root: Directory,
    plan: BatchPlan,
    wanted: Vec<Wanted>,
    /// Items that an earlier run completed.
    skipped: Vec<bool>,
    /// How many workers there may be.
    workers: Workers,
    /// What was doubtful of what earlier runs left.
    notes: Vec<String>,
}

pub(super) fn refused(errors: &ManifestErrors) -> Error {
    match errors.kind() {
        manifest::ErrorKind::Refused => {
            Refusal::List { lines: errors.to_string(), faults: errors.faults() }.into()
        }
        _ => ErrorKind::BadList { lines: errors.to_string(), faults: errors.faults() }.into(),
    }
}

/// The report of a batch that ended with `result`.
pub(super) fn finish(mut report: BatchReport, result: Result<()>) -> JobResult<BatchReport> {
    match result {
        Ok(()) => Ok(report),
        Err(error) => {
            report.outcome = error.outcome();
            report.error = Some(error.chain());
            report.error_kind = Some(error.word());
            report.durable = false;
            Err(error.with_report(report))
        }
    }
}
