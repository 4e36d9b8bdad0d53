//! Many files by many processes: a list, several files, or folders. Shards are groups of
//! whole files; each process writes those of its shards under names of its own, and
//! gives them their names when they are complete. A file that is large for the job is a
//! job of its own, in a folder in that of the job, of which all processes do a part.

mod plan;
mod report;
mod work;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::crew::{Crew, Done, Over};
use super::folder::{Folder, OnDisk};
use super::join::{self, AnyPlan, check_folder, kinds, other_job, read_any_plan, read_finished};
use super::plan::{Name, Plan};
use super::rank::Share;
use super::record::{FINISHED, FOLDERS, PLAN, Process, now_in_ms, tasks_name};
use super::{LEASE, this_process};
use crate::batch::{Batch, BatchReport, ItemReport, Survey};
use crate::endpoint::absolute;
use crate::error::{Error, ErrorKind, JobResult, Refusal, Result, SourceChange, quoted};
use crate::manifest::{self, Format, ReadOptions};
use crate::options::{Options, setters};
use crate::progress::{CancelToken, Phase, Progress, Watch};
use crate::tree::Walk;
use work::ListWork;

pub use plan::ListJob;

/// A copy of many files that other processes take part in, which run the same with the
/// same folder.
///
/// ```
/// use pcopy::{Batch, SharedBatch, manifest::{self, ReadOptions}};
///
/// let folder = tempfile::tempdir()?;
/// let disk = folder.path().join("disk.img");
/// std::fs::write(&disk, b"....first......second...")?;
/// let index = "name,start,len\na.txt,4,5\nb.txt,15,6\n";
/// let items = manifest::read(index.as_bytes(), None, &ReadOptions::default())?.items;
///
/// // The same on every machine.
/// let batch = Batch::new(items, folder.path().join("out")).source(&disk);
/// let job = SharedBatch::new(folder.path().join("job"), batch);
/// assert!(job.run()?.items.all_good());
///
/// assert_eq!(std::fs::read(folder.path().join("out/b.txt"))?, b"second");
/// // It is over: nothing is copied again.
/// assert_eq!(job.run()?.bytes, 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use = "a job copies nothing before it is run"]
pub struct SharedBatch {
    folder: PathBuf,
    what: What,
    options: Options,
    share: Share,
    lease: Duration,
}

/// What is copied.
#[derive(Debug)]
enum What {
    /// The items of a list.
    List(Box<Batch>),
    /// What is found in folders, to a directory.
    Folders(Walk, PathBuf),
}

impl SharedBatch {
    /// Copies the items of `batch`, as its options say, together with all who have the
    /// same `folder`. That is made if it is not there.
    pub fn new(folder: impl Into<PathBuf>, batch: Batch) -> SharedBatch {
        let options = batch.shared_options().clone();
        SharedBatch::of(folder.into(), What::List(Box::new(batch)), options)
    }

    /// The same of what `walk` finds, to the directory `into`, which must be there. Each
    /// process looks at everything, and must find the same.
    pub fn of_folders(
        folder: impl Into<PathBuf>,
        walk: Walk,
        into: impl Into<PathBuf>,
    ) -> SharedBatch {
        SharedBatch::of(folder.into(), What::Folders(walk, into.into()), Options::default())
    }

    fn of(folder: PathBuf, what: What, options: Options) -> SharedBatch {
        SharedBatch { folder, what, options, share: Share::Any, lease: LEASE }
    }

    setters!(all);
    setters!(copying);

    /// As [`SharedJob::share`](super::SharedJob::share).
    pub fn share(mut self, share: Share) -> SharedBatch {
        self.share = share;
        self
    }

    /// As [`SharedJob::lease`](super::SharedJob::lease).
    pub fn lease(mut self, lease: Duration) -> SharedBatch {
        self.lease = lease.max(Duration::from_millis(50));
        self
    }

    /// The job in `folder`, of which this is the `plan`, with `own` options.
    pub(super) fn of_plan(
        folder: &Path,
        plan: &Plan<ListJob>,
        own: &Options,
        cancel: &CancelToken,
    ) -> Result<SharedBatch> {
        let options = super::plan::of_one(&plan.job.options, own);
        let into = plan.job.into.path();
        let what = match &plan.job.folders {
            Some(folders) => {
                let walk = Walk::new(folders.operands.iter().map(Name::path));
                What::Folders(walk.one_file_system(folders.one_file_system), into)
            }
            None => {
                let path = folder.join(tasks_name(&plan.job.tasks));
                let failed = |error| join::failed(folder, error);
                let file = File::open(&path).map_err(failed)?;
                let reading = ReadOptions { ignore_columns: true, ..ReadOptions::default() };
                let read = manifest::read(file, Some(Format::Jsonl), &reading);
                let damaged = |_| {
                    let what = format!("{} is damaged", quoted(&path));
                    Error::from(Refusal::Other(what))
                };
                What::List(Box::new(Batch::new(read.map_err(damaged)?.items, into)))
            }
        };
        if cancel.is_cancelled() {
            return Err(ErrorKind::Cancelled.into());
        }
        Ok(SharedBatch::of(folder.to_owned(), what, options))
    }

    /// Takes part until the job is over. The report is of the whole job, but for the bytes
    /// that were copied: those are of this process, and those of others are called resumed.
    ///
    /// # Errors
    ///
    /// [`Refusal::OtherJob`] if the folder is of another job; whatever ends a batch.
    pub fn run(&self) -> JobResult<BatchReport> {
        self.run_watched(Watch::new(&Progress::new(), &CancelToken::new()), &|_| {})
    }

    /// As [`SharedBatch::run`]; `watch` sees how far it is, and can stop it. When the job is
    /// over, `on_item` hears of every item of it, in the order of the list.
    ///
    /// # Errors
    ///
    /// As of [`SharedBatch::run`], and [`ErrorKind::Cancelled`].
    pub fn run_watched(
        &self,
        watch: Watch<'_>,
        on_item: &(dyn Fn(&ItemReport<'_>) + Sync),
    ) -> JobResult<BatchReport> {
        watch.progress.enter(Phase::Preparing);
        self.options.check()?;
        self.check()?;
        match &self.what {
            What::List(batch) => self.work(&batch.alike(self.options.clone()), watch, on_item),
            What::Folders(walk, into) => {
                let walk = walk.clone().keep_hard_links(self.options.preserve);
                let batch = Batch::of_tree(walk.run(watch.cancel)?, into);
                self.work(&batch.options(self.options.clone()), watch, on_item)
            }
        }
    }

    fn work(
        &self,
        batch: &Batch,
        watch: Watch<'_>,
        on_item: &(dyn Fn(&ItemReport<'_>) + Sync),
    ) -> JobResult<BatchReport> {
        let process = this_process();
        let survey = batch.survey(watch.cancel)?;
        let opened = OnDisk::make(&self.folder).map_err(|error| self.failed(error))?;
        let folder: Arc<dyn Folder> = Arc::new(opened);
        let plan = self.enter(batch, &survey, &*folder, &process)?;
        let finished = read_finished(&self.folder, &*folder, &plan)?;
        if finished.is_none() {
            self.make_folders(batch, &plan, &*folder)?;
        }
        let shards = plan.shards();
        // What all do together is claimed in the folders of those jobs.
        let is_claimed = |shard: &u32| !plan.job.shards[*shard as usize].together;
        let order = self.share.order(shards.count()).into_iter().filter(is_claimed).collect();
        let (path, lease) = (&*self.folder, self.lease);
        let crew = Crew { path, folder, shards, process, order, lease, nested: false };
        let (options, share) = (&self.options, self.share);
        let work = ListWork { crew, plan: &plan, batch, survey: &survey, options, share };
        let mut done = Done::default();
        let ended = work.crew.run(&work, &mut done, watch);
        match ended.and_then(|over| over.ok_or_else(|| ErrorKind::Cancelled.into())) {
            Ok(over) => Ok(self.report(&work, &done, &over, on_item)),
            Err(error) => Err(report::of_error(&done, error)),
        }
    }

    fn report(
        &self,
        work: &ListWork<'_>,
        done: &Done,
        over: &Over,
        on_item: &(dyn Fn(&ItemReport<'_>) + Sync),
    ) -> BatchReport {
        let mut report = report::of_job(work.batch, done, over, on_item);
        report.durable = work.plan.job.options.sync;
        report
    }

    /// Joins the job: the plan that all have.
    fn enter(
        &self,
        batch: &Batch,
        survey: &Survey,
        folder: &dyn Folder,
        process: &Process,
    ) -> Result<Plan<ListJob>> {
        let job = ListJob::new(self.into(batch)?, self.folders(), survey, batch, &self.options)?;
        if let Some(plan) = self.read_plan(folder)? {
            return self.check_plan(plan, &job, folder, batch, survey);
        }
        match self.begin(batch, survey, folder, process, &job) {
            // Another one may have written the plan since it was looked for, and begun.
            Err(refused) => match self.read_plan(folder)? {
                Some(plan) => self.check_plan(plan, &job, folder, batch, survey),
                None => Err(refused),
            },
            begun => begun,
        }
    }

    /// Writes the plan, if another one is not faster.
    fn begin(
        &self,
        batch: &Batch,
        survey: &Survey,
        folder: &dyn Folder,
        process: &Process,
        job: &ListJob,
    ) -> Result<Plan<ListJob>> {
        check_folder(&self.folder, folder)?;
        // It stays, even if the job is refused: another process may use it already.
        batch.make_root()?;
        // Whatever speaks against it is said before anything is promised.
        batch.dry_run(&Progress::new())?;
        let tasks = folder.publish(&tasks_name(&job.tasks), &survey.tasks);
        tasks.map_err(|error| self.failed(error))?;
        let plan = Plan::new(job.clone(), process, now_in_ms());
        let linked = folder.publish_new(PLAN, &plan.to_bytes());
        if linked.map_err(|error| self.failed(error))? {
            return Ok(plan);
        }
        // Somebody was faster, or so it seems.
        match self.read_plan(folder)? {
            Some(plan) => self.check_plan(plan, job, folder, batch, survey),
            None => Err(self.failed(std::io::ErrorKind::NotFound.into())),
        }
    }

    fn read_plan(&self, folder: &dyn Folder) -> Result<Option<Plan<ListJob>>> {
        match read_any_plan(&self.folder, folder)? {
            Some(AnyPlan::List(plan)) => Ok(Some(plan)),
            Some(AnyPlan::Range(_)) => {
                Err(other_job(&self.folder, kinds("one range", "many files")))
            }
            None => Ok(None),
        }
    }

    /// The plan, if it is of this job.
    fn check_plan(
        &self,
        plan: Plan<ListJob>,
        job: &ListJob,
        folder: &dyn Folder,
        batch: &Batch,
        survey: &Survey,
    ) -> Result<Plan<ListJob>> {
        if plan.job.tasks != job.tasks {
            let theirs = folder.read(&tasks_name(&plan.job.tasks));
            let theirs = theirs.map_err(|error| self.failed(error))?.unwrap_or_default();
            let row = plan::changed_source(&theirs, &survey.tasks);
            let item = row.and_then(|row| batch.item(row));
            if let Some(path) = item.and_then(|item| batch.source_of(item)) {
                return Err(changed(path));
            }
        }
        match plan.job.difference(job).or_else(|| plan.difference(job)) {
            Some(difference) => Err(other_job(&self.folder, difference)),
            None => Ok(plan),
        }
    }

    /// Makes the folders of a copy of folders, unless somebody has made them.
    fn make_folders(&self, batch: &Batch, plan: &Plan<ListJob>, folder: &dyn Folder) -> Result<()> {
        let failed = |error| self.failed(error);
        if plan.job.folders.is_none() || folder.read(FOLDERS).map_err(failed)?.is_some() {
            return Ok(());
        }
        batch.make_folders(&plan.job.options)?;
        folder.publish(FOLDERS, b"{}\n").map_err(failed)
    }

    fn into(&self, batch: &Batch) -> Result<PathBuf> {
        let only = batch.only_folder().ok_or_else(|| {
            ErrorKind::usage_of(&["also"], "is for one process: a job writes to one folder")
        })?;
        Ok(absolute(only))
    }

    /// What was named, of a copy of folders.
    fn folders(&self) -> Option<plan::Folders> {
        let What::Folders(walk, _) = &self.what else { return None };
        Some(plan::Folders::of(walk))
    }

    /// Refuses what has no meaning for a job of several processes.
    fn check(&self) -> Result<()> {
        if self.options.leftovers != Options::default().leftovers {
            let problem = "has no meaning: a job resumes by itself when the same is run again";
            return Err(ErrorKind::usage_of(&["leftovers"], problem).into());
        }
        if self.options.check_source {
            return Err(ErrorKind::usage_of(&["check_source"], "is for one process").into());
        }
        Ok(())
    }

    fn failed(&self, error: std::io::Error) -> Error {
        join::failed(&self.folder, error)
    }
}

/// That the source at `path` is not what was planned.
fn changed(path: PathBuf) -> Error {
    let reason = "it is not what it was when the job was planned".to_owned();
    ErrorKind::SourceChanged { path, change: SourceChange::Unknown { reason } }.into()
}

/// Whether the job in `folder` is over.
pub(super) fn is_over(folder: &Path) -> bool {
    OnDisk::open(folder).is_ok_and(|opened| matches!(opened.read(FINISHED), Ok(Some(_))))
}
