//! A batch, from the manifest to the report: reads top to bottom as "many copies".

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use super::beside::Beside;
use super::claim::Claim;
use super::handles::Handles;
use super::large::Settings;
use super::moving::{self, How, Moving};
use super::outputs::{OpenFolder, Outputs, Previous};
use super::plan::{BatchPlan, BatchPlanned};
use super::prepare::{Folder, Made, Ready};
use super::preserving::Lost;
use super::proof::Proof;
use super::queue::{FAR_GAP, LARGEST_GAP, Together};
use super::report::{BatchReport, ItemReport, TreeReport};
use super::roots::{Root, Roots};
use super::skipped::Skipped;
use super::sources::Sources;
use super::tally::Tally;
use super::tree::Branches;
use super::unchanged::Changes;
use super::work::{BatchWork, InFolder};
use crate::address::scheme;
use crate::durable::previous::Leftovers;
use crate::engine::capabilities::End;
use crate::error::{ErrorKind, JobResult, Result};
use crate::io::page_cache::CacheState;
use crate::manifest::{Item, ManifestErrors};
use crate::options::{Options, setters};
use crate::pool::controller::{Controller, Workers};
use crate::pool::{self, Threads};
use crate::progress::{CancelToken, Phase, Progress, Watch};
use crate::sync::{Condvar, Mutex};
use crate::sys::{self, Directory};
use crate::tree::Tree;

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
    pub(super) unread: ManifestErrors,
    /// The folders that files go to: at least one.
    pub(super) into: Vec<PathBuf>,
    /// Whether they are made if they are missing.
    pub(super) make_into: bool,
    pub(super) source: Option<PathBuf>,
    pub(super) options: Options,
    pub(super) beside: Beside,
    /// Whether a source is far away, once that was asked.
    pub(super) far: OnceLock<bool>,
    /// Of a copy of folders: what there is besides files.
    pub(super) tree: Option<Tree>,
    /// Where other processes do other parts: by what this one writes.
    pub(super) claim: Option<Claim>,
}

impl Batch {
    /// Copies `items` to files below `into`, which is made if only its last
    /// component is missing.
    pub fn new(items: Vec<Item>, into: impl Into<PathBuf>) -> Batch {
        Batch {
            items,
            unread: ManifestErrors::default(),
            into: vec![into.into()],
            make_into: true,
            source: None,
            options: Options::default(),
            beside: Beside::default(),
            far: OnceLock::new(),
            tree: None,
            claim: None,
        }
    }

    /// What of the list could not be understood, as [`read_lenient`](crate::manifest::read_lenient)
    /// found it. With any such error the batch is refused, and says at the same
    /// time what is wrong with the rest.
    pub fn unread(mut self, errors: ManifestErrors) -> Batch {
        self.unread = errors;
        self
    }

    /// A further directory, written from the same read. May be called for several.
    /// Default: none.
    ///
    /// Every file is staged, verified and committed in each directory on its own. One
    /// directory that fails, or has no room from the beginning, does not stop the
    /// others: the batch then ends in the first such error, with all others complete.
    pub fn also(mut self, into: impl Into<PathBuf>) -> Batch {
        self.into.push(into.into());
        self
    }

    /// Whether a directory is made if it is missing. Default: yes.
    pub fn make_into(mut self, make: bool) -> Batch {
        self.make_into = make;
        self
    }

    /// The source of all items that name none.
    pub fn source(mut self, path: impl Into<PathBuf>) -> Batch {
        self.source = Some(path.into());
        self.far = OnceLock::new();
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
        let made = Made::of(&self.into);
        let ready = self.prepare(&made, watch)?;
        ready.check_renames().inspect_err(|_| made.remove())?;
        let tally = Tally::new(self.item_count(), &self.into, progress, on_item);
        progress.expect_items(self.item_count() as u64);
        let threads = self.handles().threads.min(ready.workers.most());
        let proof_of = || Proof::new(&self.options, self.request_size(), threads, watch);
        let proof = self.options.verifies().then(&proof_of);
        // Who gave a file its name is not known where several processes do: the bytes decide.
        let of_skipped = (proof.is_none() && self.claim.is_some()).then(&proof_of);
        self.report_skipped(&ready, proof.as_ref().or(of_skipped.as_ref()), &tally, watch);
        let how = How::of(&self.options);
        let moving = Moving::new(how, &ready.folders[0].directory, self.handles().threads);
        let changes = Changes::new(self.options.allow_changed_source);
        let lost = Lost::default();
        let known: Vec<bool> =
            ready.folders.iter().map(|folder| folder.complete.contains(&true)).collect();
        let Ready { sources, folders, plan, workers, notes } = ready;
        let roots = Arc::new(self.roots(folders, sources.room())?);
        let branches = self.branches(&roots, &tally);
        let on_item = |at: InFolder, report| {
            branches.get(at.folder).into_iter().for_each(|branches| branches.hear(&report));
            tally.hear(at.folder, at.row, report);
        };
        let work = BatchWork {
            items: &self.items,
            plan: &plan,
            sources: &sources,
            roots: Arc::clone(&roots),
            progress,
            cancel,
            algorithms: &self.options.digests,
            large: self.settings(&moving, watch),
            next: Mutex::default(),
            begun: Condvar::new(),
            groups: Mutex::default(),
            larges: Mutex::default(),
            proof: proof.as_ref(),
            preserve: self.options.preserve.then_some(&lost),
            changes: &changes,
            claim: self.claim.as_ref(),
            on_item: &on_item,
            on_file: &|bytes| tally.hear_file(bytes),
        };
        progress.expect(Some(plan.bytes()), 0);
        progress.enter(Phase::Copying);
        roots.begin(&branches);
        let control = self.options.control(self.request_size(), watch);
        let (run, moved) = pool::run(&control, &work, self.controller(&plan, workers));
        let copied = start.elapsed();
        progress.enter(Phase::Syncing);
        let moved = work.end(moved, &known);
        let moved = moved.and_then(|()| work.check_shared_sources());
        work.leave();
        let moved = moved.and_then(|()| roots.finish(&branches));
        let ended = moved.is_err();
        let moved = moved.and_then(|()| roots.take_error().map_or(Ok(()), Err));
        progress.enter(Phase::Finished);
        let of_branches = Branches::into_notes(branches);
        let mut report = tally.into_report(start, copied, self.options.sync);
        moving.record(&mut report);
        if let Some(proof) = &proof {
            proof.record(&mut report);
        }
        report.tree = self.tree.as_ref().map(TreeReport::of);
        report.notes.extend(of_branches);
        report.notes.extend(notes);
        roots.record(&mut report, ended);
        report.notes.extend(lost.into_notes());
        report.threads = run.threads;
        report.notes.extend(run.decisions);
        report.notes.extend(self.options.threads.note_fewer(workers, self.request_size()));
        report.notes.extend(changes.note_of(&sources));
        finish(report, moved)
    }

    /// Reports what earlier runs completed, in each folder.
    fn report_skipped<'i>(
        &'i self,
        ready: &Ready,
        proof: Option<&Proof<'_>>,
        tally: &Tally<'i>,
        watch: Watch<'_>,
    ) {
        for (number, folder) in ready.folders.iter().enumerate() {
            let (plan, sources) = (&ready.plan, &ready.sources);
            let (items, digests) = (&self.items, &self.options.digests);
            let skipped = Skipped::of(items, &folder.complete, plan, sources, proof, digests);
            skipped.report(number, &folder.directory, tally, ready.workers.most(), watch);
        }
    }

    /// What is written in each folder. `room`: how many sources may stay open.
    fn roots(&self, folders: Vec<Folder>, room: usize) -> Result<Roots> {
        let (handles, count) = (self.handles().shared_by(folders.len()), folders.len().max(1));
        let (mut roots, mut refused) = (Vec::with_capacity(folders.len()), Vec::new());
        for (number, folder) in folders.into_iter().enumerate() {
            let Folder { path, directory, wanted, refusal, .. } = folder;
            let root = OpenFolder { number, directory, path };
            let (earlier, sync) = (self.earlier(), self.options.sync);
            let outputs = Outputs::new(root, wanted, earlier, handles, sync);
            roots.push(Root::new(outputs.with_room(room / count)));
            refused.extend(refusal.map(|error| (number, error)));
        }
        let roots = Roots::new(roots);
        refused.into_iter().try_for_each(|(number, error)| roots.lose(number, error))?;
        Ok(roots)
    }

    /// The folders and links in each of the folders, if there are any.
    fn branches<'a, 't>(&'t self, roots: &'a Roots, tally: &'a Tally<'t>) -> Vec<Branches<'a, 't>> {
        let of = |tree, root: &'a Root| {
            Branches::new(tree, &self.items, &root.outputs, &self.options, tally)
        };
        let of_tree = |tree| roots.all().map(move |(_, root)| of(tree, root));
        self.tree.iter().flat_map(of_tree).collect()
    }

    /// What becomes of parts that an earlier run left.
    pub(super) fn earlier(&self) -> Previous {
        Previous {
            discard: self.options.leftovers != Leftovers::Refuse,
            resume: self.options.leftovers == Leftovers::Resume,
            trust: self.options.trust,
        }
    }

    /// What all large outputs share.
    fn settings<'a>(&'a self, moving: &'a Moving, watch: Watch<'a>) -> Settings<'a> {
        let Watch { progress, cancel } = watch;
        Settings {
            options: &self.options,
            cancel,
            moving,
            progress,
            stripe_size: How::of(&self.options).stripes(self.request_size(), self.is_far()),
            io_size: self.request_size(),
            scattered: How::of(&self.options).scattered(self.request_size()),
        }
    }

    /// Does everything that `run` does before the first byte, and nothing else.
    ///
    /// # Errors
    ///
    /// Whatever would make `run` refuse.
    pub fn dry_run(&self, progress: &Progress) -> Result<BatchPlanned> {
        let made = Made::of(&self.into);
        let mut ready = self.prepare(&made, Watch::new(progress, &CancelToken::new()))?;
        let holes = self.holes_of(&ready)?;
        let left_out = ready.folders.iter_mut().find_map(|folder| folder.refusal.take());
        let is_skipped = |&row: &usize| ready.folders.iter().all(|folder| folder.complete[row]);
        let planned = BatchPlanned {
            items: self.item_count(),
            tree: self.tree.as_ref().map(TreeReport::of),
            skipped: (0..self.items.len()).filter(is_skipped).count(),
            files: ready.folders[0].wanted.len(),
            bytes: ready.plan.wanted_bytes() - holes,
            holes,
            requests: ready.plan.queue.tasks(),
        };
        // As long as it is open, not every system removes a directory.
        drop(ready);
        // Made to find out whether it can be.
        made.remove();
        match left_out {
            Some(refusal) => Err(ErrorKind::LeftOut { refusal }.into()),
            None => Ok(planned),
        }
    }

    /// Bytes of holes in large files, which are kept: what is small is read
    /// with its neighbours.
    fn holes_of(&self, ready: &Ready) -> Result<u64> {
        let queue = &ready.plan.queue;
        let how = How::of(&self.options);
        let scattered = how.scattered(self.request_size());
        let tasks = (0..queue.tasks()).filter_map(|number| queue.task(number));
        tasks.filter(|task| task.is_large(scattered)).try_fold(0, |sum, task| {
            let segment = &queue.all()[task.segments.start];
            let source = ready.sources.open(segment.source)?;
            Ok(sum + segment.range.len() - how.layout(&*source, segment.range).data.bytes())
        })
    }

    /// Whether a source is far away, by the names of the sources.
    pub(super) fn is_far(&self) -> bool {
        *self.far.get_or_init(|| {
            let named = self.items.iter().filter_map(|item| item.source.as_deref());
            self.source.as_deref().into_iter().chain(named).any(|name| scheme(name).is_some())
        })
    }

    /// Longest request in bytes.
    pub(super) fn request_size(&self) -> u64 {
        moving::io_size(&self.options, self.is_far())
    }

    /// What may be read and thrown away between two small ranges, in bytes.
    pub(super) fn together(&self, request: u64) -> Together {
        let gap = if self.is_far() { FAR_GAP } else { LARGEST_GAP };
        Together { request, gap }
    }

    /// How many workers there may be, as for a single copy.
    pub(super) fn workers<'d>(
        &self,
        mut folders: impl Iterator<Item = &'d Directory>,
        sources: &Sources,
    ) -> Workers {
        let mut spins = || {
            let spins = |folder| End::of_directory(folder).rotational == Some(true);
            folders.any(spins) || sources.spin()
        };
        let threads = self.options.threads;
        if let (Threads::Auto, Some(pace)) = (threads, sources.pace()) {
            return threads.far_away(pace.start, pace.most).bounded(self.request_size());
        }
        match threads {
            Threads::Exactly(threads) => Workers::Exactly(threads).bounded(self.request_size()),
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
        // Small files, far apart, make small requests.
        let mean = plan.bytes() / (plan.queue.tasks() as u64).max(1);
        let request = mean.clamp(4096, self.request_size());
        match workers {
            Workers::Exactly(_) => Controller::fixed(most),
            Workers::UpTo(_) => Controller::auto(most, request),
            Workers::Between { start, .. } => Controller::between(start, most, request),
        }
    }

    /// What may be open at once, and how many workers that serves.
    pub(super) fn handles(&self) -> Handles {
        let connections = self.options.remote.connections.filter(|_| self.is_far());
        let workers = match (self.options.threads, connections) {
            (Threads::Auto, Some(count)) => Workers::Exactly(count),
            (threads, _) => threads.choose([], CacheState::Unknown),
        };
        let threads = workers.bounded(self.request_size()).most();
        Handles::within(sys::open_file_limit(), threads)
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
