//! A batch, from the manifest to the report: reads top to bottom as "many copies".

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::handles::Handles;
use super::large::{SMALLEST_WITH_MAP, Settings};
use super::manifest::{self, Item, ManifestErrors};
use super::output::{Earlier, Outputs, Wanted, open_root};
use super::plan::BatchPlan;
use super::preflight::{Consent, Parents, file_name, has_space, look_at_names, look_at_parents};
use super::report::{BatchReport, ItemReport, Status};
use super::sources::Sources;
use super::tally::Tally;
use super::work::BatchWork;
use crate::crew::controller::Controller;
use crate::crew::{self, Control, OnReadError, Throttle};
use crate::digest::Algorithm;
use crate::durable::checkpoint::CHECKPOINT_EVERY;
use crate::durable::leftover::Leftovers;
use crate::error::{Error, ErrorKind, Refusal, Result};
use crate::job::{MOST_THREADS, Threads};
use crate::plan::longest_stripe;
use crate::progress::{CancelToken, Phase, Progress, lock};
use crate::safety::not_on_source_device;
use crate::sys::{self, Directory, Node};

/// Request size of a batch where the user names none: one request fetches many
/// small neighbours.
pub const DEFAULT_IO_SIZE: u64 = 1 << 20;

/// Many ranges to many files in one run, under one thread and memory budget.
///
/// ```
/// use pcopy::batch::{Batch, manifest::{self, ReadOptions}};
/// use pcopy::{CancelToken, Progress};
///
/// let folder = tempfile::tempdir()?;
/// let disk = folder.path().join("disk.img");
/// std::fs::write(&disk, b"....first......second...")?;
/// let index = "name,start,len\na.txt,4,5\nb.txt,15,6\n";
/// let items = manifest::read(index.as_bytes(), None, &ReadOptions::default())?.items;
///
/// let report = Batch::new(items, folder.path().join("out"))
///     .source(&disk)
///     .run(&Progress::new(), &CancelToken::new(), &|_item| {})?;
///
/// assert!(report.items.all_good());
/// assert_eq!(std::fs::read(folder.path().join("out/b.txt"))?, b"second");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use = "a batch copies nothing before it is run"]
pub struct Batch {
    items: Vec<Item>,
    into: PathBuf,
    source: Option<PathBuf>,
    threads: Threads,
    io_size: u64,
    sync: bool,
    force: bool,
    leftovers: Leftovers,
    allow_same_device: bool,
    on_read_error: OnReadError,
    retries: u32,
    limit_rate: Option<u64>,
    checkpoint_every: Duration,
    algorithms: Vec<Algorithm>,
}

impl Batch {
    /// Copies `items` to files below `into`, which is made if only its last
    /// component is missing.
    pub fn new(items: Vec<Item>, into: impl Into<PathBuf>) -> Batch {
        Batch {
            items,
            into: into.into(),
            source: None,
            threads: Threads::Auto,
            io_size: DEFAULT_IO_SIZE,
            sync: true,
            force: false,
            leftovers: Leftovers::Refuse,
            allow_same_device: false,
            on_read_error: OnReadError::Record,
            retries: 2,
            limit_rate: None,
            checkpoint_every: CHECKPOINT_EVERY,
            algorithms: Vec::new(),
        }
    }

    /// The source of all items that name none.
    pub fn source(mut self, path: impl Into<PathBuf>) -> Batch {
        self.source = Some(path.into());
        self
    }

    /// Exactly so many workers. Default: as many as the storage rewards.
    pub fn threads(mut self, threads: usize) -> Batch {
        self.threads = Threads::Exactly(threads.clamp(1, MOST_THREADS));
        self
    }

    /// Largest single request in bytes, rounded up to a power of two.
    /// Default: [`DEFAULT_IO_SIZE`].
    pub fn io_size(mut self, bytes: u64) -> Batch {
        self.io_size = bytes.clamp(4096, 1 << 30).next_power_of_two();
        self
    }

    /// Whether to wait for the disk. Default: yes.
    pub fn sync(mut self, sync: bool) -> Batch {
        self.sync = sync;
        self
    }

    /// Replaces existing files. Default: refuse.
    pub fn force(mut self, force: bool) -> Batch {
        self.force = force;
        self
    }

    /// What to do with what an interrupted run left. Resuming also skips files
    /// that are there already with the right size. Default: refuse to start.
    pub fn leftovers(mut self, leftovers: Leftovers) -> Batch {
        self.leftovers = leftovers;
        self
    }

    /// Accepts a directory on the device that is being read. Default: refuse.
    pub fn allow_same_device(mut self, allow: bool) -> Batch {
        self.allow_same_device = allow;
        self
    }

    /// What to do with ranges that cannot be read. With [`OnReadError::Stop`]
    /// the item fails; the others go on. Default: record them.
    pub fn on_read_error(mut self, policy: OnReadError) -> Batch {
        self.on_read_error = policy;
        self
    }

    /// How often a failed request is repeated before it is split. Default: 2.
    pub fn retries(mut self, retries: u32) -> Batch {
        self.retries = retries;
        self
    }

    /// Most bytes a second, over all workers. Default: no limit.
    pub fn limit_rate(mut self, bytes_per_second: u64) -> Batch {
        self.limit_rate = Some(bytes_per_second);
        self
    }

    /// Time between checkpoints of large files.
    pub fn checkpoint_every(mut self, time: Duration) -> Batch {
        self.checkpoint_every = time;
        self
    }

    /// Digests to work out for every item, besides those it expects.
    pub fn digests(mut self, algorithms: Vec<Algorithm>) -> Batch {
        self.algorithms = algorithms;
        self
    }

    /// Copies every item. `on_item` hears of each as it ends, from any thread.
    ///
    /// # Errors
    ///
    /// If nothing can be done or the batch must stop: see [`ErrorKind`]. Items
    /// that fail are data in the report.
    pub fn run(
        &self,
        progress: &Progress,
        cancel: &CancelToken,
        on_item: &(dyn Fn(&ItemReport<'_>) + Sync),
    ) -> Result<BatchReport> {
        let start = Instant::now();
        let Ready { sources, root, plan, wanted, skipped } = self.prepare(progress)?;
        let tally = Tally::new(self.items.len(), progress, on_item);
        let on_item = |report: &ItemReport<'_>| tally.hear(report);
        let resume = self.leftovers == Leftovers::Resume;
        let earlier = Earlier {
            discard: self.leftovers != Leftovers::Refuse,
            keep_from: resume.then_some(SMALLEST_WITH_MAP),
        };
        let root = (root, self.into.clone());
        let work = BatchWork {
            items: &self.items,
            plan: &plan,
            sources: &sources,
            outputs: Arc::new(Outputs::new(root, wanted, earlier, self.handles())),
            progress,
            io_size: self.io_size,
            stripe_size: longest_stripe(self.io_size).max(self.io_size),
            sync: self.sync,
            algorithms: &self.algorithms,
            large: Settings {
                resume,
                every: self.checkpoint_every,
                extents: &|source, range| crate::sparse::data_in(&*source.io, range),
            },
            next: Mutex::default(),
            groups: Mutex::default(),
            larges: Mutex::default(),
            finished: Mutex::default(),
            finished_bytes: AtomicU64::new(0),
            on_item: &on_item,
        };
        tally.skip(&self.items, &skipped);
        progress.expect(plan.bytes(), 0);
        progress.expect_items(self.items.len() as u64);
        progress.enter(Phase::Copying);
        let control = Control {
            progress,
            cancel,
            io_size: self.io_size,
            retries: self.retries,
            on_read_error: self.on_read_error,
            throttle: self.limit_rate.map(Throttle::new),
        };
        let moved = crew::run(&control, &work, self.controller(&plan));
        let copied = start.elapsed();
        progress.enter(Phase::Syncing);
        work.flush();
        leave(&work);
        progress.enter(Phase::Finished);
        let mut report = tally.into_report(start, copied, self.sync);
        let changed = (0..sources.len() as u32)
            .filter(|&number| plan.is_shared(number))
            .find_map(|number| sources.change(number).map(|what| (number, what)));
        let result = match (moved, changed) {
            (Ok(shift), None) => {
                report.threads = shift.threads;
                Ok(())
            }
            (Ok(_), Some((number, what))) => {
                let path = sources.path(number).to_owned();
                Err(ErrorKind::SourceChanged { path, what }.into())
            }
            (Err(error), _) => Err(error),
        };
        finish(report, result)
    }

    /// Does everything that `run` does before the first byte, and nothing else.
    ///
    /// # Errors
    ///
    /// Whatever would make `run` refuse.
    pub fn dry_run(&self, progress: &Progress) -> Result<BatchPlanned> {
        let existed = self.into.exists();
        let ready = self.prepare(progress)?;
        if !existed {
            // Made to find out whether it can be; best effort to leave no trace.
            let _ = std::fs::remove_dir(&self.into);
        }
        Ok(BatchPlanned {
            items: self.items.len(),
            skipped: ready.skipped.iter().filter(|&&skipped| skipped).count(),
            files: ready.wanted.len(),
            bytes: ready.plan.wanted_bytes(),
            requests: ready.plan.queue.tasks(),
        })
    }

    /// Opens, looks, refuses, plans. Writes nothing but the directory itself,
    /// and not that if it refuses.
    fn prepare(&self, progress: &Progress) -> Result<Ready> {
        progress.enter(Phase::Preparing);
        let existed = self.into.exists();
        let ready = self.check();
        if ready.is_err() && !existed {
            // Best effort, as for a dry run; what others put there keeps it.
            let _ = std::fs::remove_dir(&self.into);
        }
        ready
    }

    fn check(&self) -> Result<Ready> {
        let (sources, numbers) = self.open_sources()?;
        self.check_manifest(&sources, &numbers)?;
        let root = open_root(&self.into)?;
        self.check_device(&root, &sources)?;
        let source_of = |item: &Item| {
            let number = numbers[&item.source.as_deref()];
            (number, sources.size(number))
        };
        let skipped = self.find_complete(&root, &sources, &source_of)?;
        let skip = |row: usize| skipped[row];
        let (plan, mut wanted) =
            BatchPlan::new(&self.items, source_of, skip, sources.len(), self.io_size)?;
        let consent = Consent { force: self.force, leftovers: self.leftovers };
        let line = |output: u32| self.items[plan.rows(output)[0] as usize].line;
        look_at_parents(&root, &wanted, &line).map_err(|errors| refused(&errors))?;
        look_at_names((&root, &self.into), consent, &mut wanted, &sources)?;
        has_space(&root, &self.into, &plan)?;
        Ok(Ready { sources, root, plan, wanted, skipped })
    }

    fn controller(&self, plan: &BatchPlan) -> Controller {
        // Also a batch of nothing but empty files gives each worker something to do.
        let most = (plan.bytes() >> 12) as usize + plan.queue.tasks() + plan.empty.len();
        Controller::fixed(self.handles().threads.min(most.max(1)))
    }

    /// What may be open at once, and how many workers that serves.
    fn handles(&self) -> Handles {
        let threads = match self.threads {
            Threads::Exactly(threads) => threads,
            Threads::Auto => num_cpus::get().clamp(2, 8),
        };
        Handles::within(sys::open_file_limit(), threads)
    }

    /// Looks at every source once.
    fn open_sources(&self) -> Result<(Sources, HashMap<Option<&Path>, u32>)> {
        let mut sources = Sources::new(self.handles().sources);
        let mut numbers = HashMap::new();
        for item in &self.items {
            let name = item.source.as_deref();
            if numbers.contains_key(&name) {
                continue;
            }
            let Some(path) = name.or(self.source.as_deref()) else {
                let line = item.line;
                let message =
                    format!("line {line}: no source; name one for the whole batch or in a column");
                return Err(ErrorKind::Usage(message).into());
            };
            numbers.insert(name, sources.add(path)?);
        }
        Ok((sources, numbers))
    }

    fn check_manifest(
        &self,
        sources: &Sources,
        numbers: &HashMap<Option<&Path>, u32>,
    ) -> Result<()> {
        let size = |name: Option<&Path>| numbers.get(&name).map(|&number| sources.size(number));
        let check = || manifest::check(&self.items, size);
        // Work for processors: a pool of its own, made only for lists worth it.
        let pool = (self.items.len() > 1000)
            .then(|| rayon::ThreadPoolBuilder::new().num_threads(num_cpus::get()).build().ok())
            .flatten();
        pool.map_or_else(check, |pool| pool.install(check)).map_err(|errors| refused(&errors))
    }

    fn check_device(&self, root: &Directory, sources: &Sources) -> Result<()> {
        let Ok(facts) = root.own_facts() else { return Ok(()) };
        for number in 0..sources.len() as u32 {
            if !self.allow_same_device && sources.facts(number).node == Node::BlockDevice {
                not_on_source_device(&*sources.open(number)?, facts.device, &self.into)?;
            }
        }
        Ok(())
    }

    /// Which items an earlier run completed: with `resume`, those whose file
    /// is there with its full length. Where files are to be replaced, that says
    /// nothing: it may as well be the old one.
    fn find_complete(
        &self,
        root: &Directory,
        sources: &Sources,
        source_of: &dyn Fn(&Item) -> (u32, u64),
    ) -> Result<Vec<bool>> {
        let mut complete = vec![false; self.items.len()];
        if self.leftovers != Leftovers::Resume || self.force {
            return Ok(complete);
        }
        let skip_nothing = |_: usize| false;
        let (plan, wanted) =
            BatchPlan::new(&self.items, source_of, skip_nothing, sources.len(), self.io_size)?;
        let mut parents = Parents::new(root);
        for (output, file) in wanted.iter().enumerate() {
            let Some(facts) = parents.facts(&file.name, file_name(&file.name)) else { continue };
            if facts.node == Node::File && facts.size == file.len {
                for &row in plan.rows(output as u32) {
                    complete[row as usize] = true;
                }
            }
        }
        Ok(complete)
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
}

/// What a batch would do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct BatchPlanned {
    /// Items in the list.
    pub items: usize,
    /// Items that are complete already.
    pub skipped: usize,
    /// Files that would be made.
    pub files: usize,
    /// Bytes that would be copied.
    pub bytes: u64,
    /// Runs of neighbouring bytes they would be read in.
    pub requests: usize,
}

impl std::fmt::Display for BatchPlanned {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let BatchPlanned { items, skipped, files, bytes, requests } = self;
        write!(
            f,
            "would copy {} ({bytes} bytes) to {files} files, read in {requests} runs; \
             {items} items, {skipped} complete already; nothing was written",
            crate::size::human(*bytes)
        )
    }
}

/// After the crew has ended early: outputs that are not complete are discarded,
/// but for large ones that a later run can go on from.
fn leave(work: &BatchWork<'_>) {
    let larges: Vec<_> = lock(&work.larges).values().cloned().collect();
    let mut kept: Vec<u32> = Vec::new();
    for large in larges {
        if !large.has_failed() && large.keep() {
            kept.push(large.output.index);
        }
    }
    for output in work.outputs.take_unfinished() {
        if !kept.contains(&output.index) {
            work.outputs.discard(&output);
        }
        let trouble = output.take_trouble();
        let status = if trouble.error.is_some() { Status::Failed } else { Status::NotTried };
        work.report_all(output.index, status, trouble.error.as_deref());
    }
    // Those that nobody began.
    for output in 0..work.outputs.len() as u32 {
        work.report_all(output, Status::NotTried, None);
    }
}

fn refused(errors: &ManifestErrors) -> Error {
    let message = errors.to_string();
    match errors.kind() {
        manifest::ErrorKind::Refused => Refusal::Other(message).into(),
        _ => ErrorKind::Usage(message).into(),
    }
}

fn finish(mut report: BatchReport, result: Result<()>) -> Result<BatchReport> {
    match result {
        Ok(()) => Ok(report),
        Err(error) => {
            report.outcome = error.outcome();
            report.error = Some(error.chain());
            report.durable = false;
            Err(error.with_batch(report))
        }
    }
}
