//! One copy by many processes, on one machine or on many: each runs the same job with the
//! same folder on shared storage. The first one writes a plan, each copies shards of
//! the range into one file or object, and the one that sees all of them gives it its name.
//!
//! Nothing but the folder is between the processes: no daemon, no connection, no lock.
//! A process that ends takes at most the shard with it that it had; another one takes
//! that over. Shards are copies like any other, by [`CopyJob`](crate::CopyJob): this
//! room decides who copies what, and must not know how bytes move.

mod crew;
mod finish;
mod folder;
mod hold;
mod join;
mod list;
mod member;
mod plan;
mod rank;
mod record;
mod status;
#[cfg(any(test, feature = "testing"))]
pub(crate) mod trial;
mod whole;
mod work;

#[cfg(test)]
mod model;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::batch::BatchReport;
use crate::endpoint::{self, Origin};
use crate::error::{ErrorKind, Failure, JobResult, Refusal, Result, quoted};
use crate::options::{Options, setters};
use crate::progress::{CancelToken, Phase, Progress, Watch};
use crate::range::Mapping;
use crate::report::Report;
use crate::sys;
use crew::{Crew, Done, Over};
use folder::{Folder, OnDisk};
use join::{AnyPlan, Joined, Joining, read_finished};
use member::Shards;
use plan::Difference;
use record::Process;
use work::Work;

pub use list::SharedBatch;
pub use rank::Share;
pub use status::{HostStatus, ShardStatus, State, Status};

/// Why several processes do not write where something is already.
const UNKNOWN_BYTES: &str = "is for one process: what was there before cannot be told from what \
                             another process has just written";

/// How long a process may stand still before its shard is taken over.
pub const LEASE: Duration = Duration::from_secs(60);

/// A copy that other processes take part in, which run the same with the same folder.
///
/// ```
/// use pcopy::SharedJob;
///
/// let folder = tempfile::tempdir()?;
/// let (image, file) = (folder.path().join("disk.img"), folder.path().join("file"));
/// std::fs::write(&image, vec![7; 100_000])?;
///
/// // The same on every machine.
/// let job = SharedJob::new(folder.path().join("job"), &image, &file).range(1000..90_000);
/// assert!(job.run()?.is_complete());
///
/// assert_eq!(std::fs::read(&file)?, vec![7; 89_000]);
/// // It is over: nothing is copied again.
/// assert_eq!(job.run()?.bytes.copied, 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "a job copies nothing before it is run"]
pub struct SharedJob {
    folder: PathBuf,
    source: PathBuf,
    destination: PathBuf,
    options: Options,
    share: Share,
    lease: Duration,
}

impl SharedJob {
    /// Copies all of `source` to `destination`, a file that does not exist yet, or a
    /// directory to put it in, together with all who have the same `folder`. That is made
    /// if it is not there.
    pub fn new(
        folder: impl Into<PathBuf>,
        source: impl Into<PathBuf>,
        destination: impl Into<PathBuf>,
    ) -> SharedJob {
        SharedJob {
            folder: folder.into(),
            source: source.into(),
            destination: destination.into(),
            options: Options::default(),
            share: Share::Any,
            lease: LEASE,
        }
    }

    setters!(all);
    setters!(range);
    setters!(copying);

    /// Which shards this process takes first. Default: those that nobody has.
    pub fn share(mut self, share: Share) -> SharedJob {
        self.share = share;
        self
    }

    /// How long another process may stand still before its shard is taken over, by the
    /// clock of this machine. Default: [`LEASE`].
    pub fn lease(mut self, lease: Duration) -> SharedJob {
        self.lease = lease.max(Duration::from_millis(50));
        self
    }

    /// Takes part until the job is over. The report is of the whole job, but for the bytes
    /// that were copied: those are of this process, and those of others are called resumed.
    ///
    /// # Errors
    ///
    /// [`Refusal::OtherJob`] if the folder is of another job; whatever ends a copy.
    pub fn run(&self) -> JobResult<Report> {
        self.run_watched(Watch::new(&Progress::new(), &CancelToken::new()))
    }

    /// As [`SharedJob::run`]; `watch` sees how far it is, and can stop it. What it had is
    /// then given back to the others.
    ///
    /// # Errors
    ///
    /// As of [`SharedJob::run`], and [`ErrorKind::Cancelled`].
    pub fn run_watched(&self, watch: Watch<'_>) -> JobResult<Report> {
        watch.progress.enter(Phase::Preparing);
        self.options.check()?;
        self.check()?;
        let process = this_process();
        let entered = self.enter(&process, watch.cancel)?;
        self.work(&entered, process, watch)
    }

    /// Takes part as far as there is something to take, as a part of another job; what was
    /// done, and how it ended if it is over.
    fn take_part(&self, process: &Process, watch: Watch<'_>) -> Result<(Done, Option<Over>)> {
        self.check()?;
        let entered = self.enter(process, watch.cancel)?;
        let work = self.work_of(&entered, process.clone(), true)?;
        let mut done = Done::default();
        let over = work.crew.run(&work, &mut done, watch)?;
        Ok((done, over))
    }

    /// Joins the job.
    fn enter(&self, process: &Process, cancel: &CancelToken) -> Result<Entered> {
        let origin = endpoint::origin(&self.source, &self.options, cancel)?;
        let mapping = self.mapping(&*origin)?;
        let len = mapping.to().end();
        let whole = whole::at(&self.destination, &*origin, len, &self.options, cancel)?;
        let opened = OnDisk::make(&self.folder);
        let folder = opened.map_err(|error| join::failed(&self.folder, error))?;
        let joining = Joining {
            path: &self.folder,
            folder: &folder,
            origin: &*origin,
            destination: absolute(whole.path()),
            whole,
            mapping,
            options: &self.options,
            process,
        };
        let joined = joining.join()?;
        Ok(Entered { origin, folder: Arc::new(folder), joined })
    }

    fn work_of<'a>(
        &'a self,
        entered: &'a Entered,
        process: Process,
        nested: bool,
    ) -> Result<Work<'a>> {
        let Entered { origin, folder, joined } = entered;
        let finished = read_finished(&self.folder, &**folder, &joined.plan)?;
        if finished.is_some() {
            check_still_there(joined)?;
        }
        let verifies = joined.plan.job.options.verifies();
        // Who waits for nobody compares what it has written itself.
        let shards = Shards { checks: verifies && !nested, ..joined.plan.shards() };
        let order = self.share.order(shards.count());
        let (path, folder, lease) = (&*self.folder, Arc::clone(folder), self.lease);
        let crew = Crew { path, folder, shards, process, order, lease, nested };
        Ok(Work { crew, joined, origin: Arc::clone(origin), options: &self.options })
    }

    fn work(&self, entered: &Entered, process: Process, watch: Watch<'_>) -> JobResult<Report> {
        let work = self.work_of(entered, process, false)?;
        let mut done = Done::default();
        let ended = work.crew.run(&work, &mut done, watch);
        match ended.and_then(|over| over.ok_or_else(|| ErrorKind::Cancelled.into())) {
            Ok(over) => Ok(work.report(&done, &over.finished)),
            Err(error) => {
                let mut report = work.report_so_far(&done);
                report.notes.extend(work.joined.whole.left_open());
                report.outcome = error.outcome();
                report.fail(&error);
                Err(error.with_report(report))
            }
        }
    }

    /// Refuses what has no meaning for a job of several processes.
    fn check(&self) -> Result<()> {
        let options = &self.options;
        let own = Options::default();
        let cannot: [(&'static [&'static str], &str, bool); 12] = [
            (&["in_place"], UNKNOWN_BYTES, options.in_place),
            (&["to_device"], UNKNOWN_BYTES, options.to_device),
            (&["only_changed"], UNKNOWN_BYTES, options.only_changed),
            (&["split"], "is for one process: a job makes one file", options.split.is_some()),
            (&["map"], "has no meaning: what is done is in the job folder", options.map.is_some()),
            (
                &["leftovers"],
                "has no meaning: a job resumes by itself when the same is run again",
                options.leftovers != own.leftovers,
            ),
            (&["only"], "is for one process", options.only.is_some()),
            (&["expected_in"], "is for one process", !options.expected_in.is_empty()),
            (&["digest_every"], "is for one process", options.digest_every.is_some()),
            (
                &["reflink"],
                "cannot be always: each process copies a part",
                options.reflink == crate::Reflink::Always,
            ),
            (&["repair"], "is for one process", options.repair),
            (&["check_source"], "is for one process", options.check_source),
        ];
        match cannot.into_iter().find(|(.., given)| *given) {
            Some((options, problem, _)) => Err(ErrorKind::usage_of(options, problem).into()),
            None => Ok(()),
        }
    }

    /// What of the source goes where.
    fn mapping(&self, origin: &dyn Origin) -> Result<Mapping> {
        if origin.read_order().stream().is_some() {
            let name = quoted(origin.path());
            let what = format!("{name} {}: several processes cannot", origin.why_once());
            return Err(Refusal::Other(what).into());
        }
        let (range, _) = origin.resolve(&self.options.range, self.options.clamp)?;
        let too_far = || Refusal::TooFar { path: self.destination.clone() };
        let offset = origin.bytes(self.options.dest_offset).map_err(|_| too_far())?;
        let mapping = Mapping::new(range, offset).ok_or_else(too_far)?;
        if mapping.to().end() > i64::MAX as u64 {
            return Err(too_far().into());
        }
        let is_whole = origin.source().size() == range.len() && offset == 0;
        if self.options.preserve && !is_whole {
            let problem = "carries over what a whole file has, and a part of one is copied";
            return Err(ErrorKind::usage_of(&["preserve"], problem).into());
        }
        Ok(mapping)
    }
}

/// A job that was joined.
struct Entered {
    origin: Arc<dyn Origin>,
    folder: Arc<dyn Folder>,
    joined: Joined,
}

/// The name of what is made, from wherever it is asked.
fn absolute(path: &Path) -> PathBuf {
    if crate::address::scheme(path).is_some() { path.to_owned() } else { endpoint::absolute(path) }
}

/// A job that is over has left what it made.
fn check_still_there(joined: &Joined) -> Result<()> {
    let whole = &joined.whole;
    if whole.is_there(joined.plan.job.len()) != Some(false) {
        return Ok(());
    }
    let name = quoted(whole.path());
    let what = format!("the job is over, and {name} is not what it made any more");
    Err(Refusal::Other(what).into())
}

/// How far the job in `folder` is. Only reads.
///
/// # Errors
///
/// If there is none, or the folder cannot be read.
pub fn status(folder: &Path) -> Result<Status> {
    let opened = OnDisk::open(folder).map_err(|error| join::not_opened(folder, error))?;
    status::look(folder, &opened)
}

/// How a wish to finish a job has ended.
#[derive(Debug)]
pub enum Ended {
    /// The job is over.
    Finished(Box<Report>),
    /// The same of a job of many files.
    FinishedList(Box<BatchReport>),
    /// These shards are not there.
    Missing(Vec<u32>),
}

/// Finishes the job in `folder`, if all of its shards are there: what the last process
/// of it does by itself. `options` say how remote ends are asked.
///
/// # Errors
///
/// As of [`SharedJob::run`].
pub fn finish(
    folder: &Path,
    options: &Options,
    lease: Duration,
    watch: Watch<'_>,
) -> Result<Ended, Failure<Report>> {
    let opened = OnDisk::open(folder).map_err(|error| join::not_opened(folder, error))?;
    let status = status::look(folder, &opened)?;
    let missing = status.missing();
    if !missing.is_empty() {
        return Ok(Ended::Missing(missing));
    }
    let plan = match join::read_any_plan(folder, &opened)? {
        Some(AnyPlan::Range(plan)) => plan,
        Some(AnyPlan::List(plan)) => {
            let job = SharedBatch::of_plan(folder, &plan, options, watch.cancel)?;
            let ended = job.lease(lease).run_watched(watch, &|_| {});
            let report = ended.map_err(Failure::without_report)?;
            return Ok(Ended::FinishedList(Box::new(report)));
        }
        None => return Err(status::no_job(folder).into()),
    };
    let job = &plan.job;
    let (source, destination) = (job.source.path.path(), job.destination.path());
    let origin = endpoint::origin(&source, options, watch.cancel)?;
    let mut agreed = job.options.clone();
    agreed.remote = options.remote.clone();
    let mut whole = whole::at(&destination, &*origin, job.len(), &agreed, watch.cancel)?;
    whole.belong_to(&plan);
    let (planned, here) = (&job.endpoint, whole.endpoint());
    if *planned != here {
        let shown = |at: Option<&String>| at.cloned().unwrap_or_else(|| "not there".to_owned());
        let (what, planned) = ("endpoint".to_owned(), shown(planned.as_ref()));
        let here = shown(here.as_ref());
        return Err(join::other_job(folder, Difference { what, planned, here }).into());
    }
    let shared = SharedJob::new(folder, source, destination).options(options.clone()).lease(lease);
    let joined = Joined { plan, whole };
    let entered = Entered { origin, folder: Arc::new(opened), joined };
    let report = shared.work(&entered, this_process(), watch)?;
    Ok(Ended::Finished(Box::new(report)))
}

/// Numbers of shards as schedulers take them: `1,3,7-9`.
pub fn as_list(numbers: &[u32]) -> String {
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for &number in numbers {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => runs.push((number, number)),
        }
    }
    let run = |(first, last): &(u32, u32)| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    };
    runs.iter().map(run).collect::<Vec<_>>().join(",")
}

/// The process that this is.
fn this_process() -> Process {
    use std::hash::{BuildHasher, RandomState};
    let (host, pid) = (sys::host_name(), std::process::id());
    // The keys of every state are new, and come from the system's random numbers.
    let token = format!("{:016x}", RandomState::new().hash_one((&host, pid)));
    Process { host, pid, token }
}

#[cfg(test)]
mod tests {
    use super::plan::{Job, Plan};
    use super::record::PLAN;
    use super::*;

    /// A plan of another version of the program may have other shards.
    #[test]
    fn how_many_shards_there_are_is_for_the_plan_to_say() {
        let scene = tempfile::tempdir().unwrap();
        let [folder, source, copy] = ["job", "source", "copy"].map(|name| scene.path().join(name));
        let bytes: Vec<u8> = (0..1_000_001_u32).map(|byte| byte as u8).collect();
        std::fs::write(&source, &bytes).unwrap();
        let (options, cancel) = (Options::default(), CancelToken::new());
        let origin = endpoint::origin(&source, &options, &cancel).unwrap();
        let mapping = Mapping::new(crate::ByteRange::to(1_000_001), 0).unwrap();
        let mut job = Job::new(&*origin, &copy, mapping, 1, &options).unwrap();
        job.shard_size *= 4;
        let plan = Plan::new(job, &this_process(), 1);
        let mut whole = whole::at(&copy, &*origin, 1_000_001, &options, &cancel).unwrap();
        whole.belong_to(&plan);
        whole.begin(1_000_001).map_err(|refused| refused.error).unwrap();
        OnDisk::make(&folder).unwrap().publish_new(PLAN, &plan.to_bytes()).unwrap();
        let report = SharedJob::new(&folder, &source, &copy).run().unwrap();
        assert_eq!(report.bytes.copied, 1_000_001);
        assert_eq!(std::fs::read(&copy).unwrap(), bytes);
        assert_eq!(status(&folder).unwrap().shards as usize, plan.shards().ranges.len());
    }

    #[test]
    fn numbers_are_listed_as_schedulers_take_them() {
        assert_eq!(as_list(&[]), "");
        assert_eq!(as_list(&[4]), "4");
        assert_eq!(as_list(&[1, 3, 7, 8, 9]), "1,3,7-9");
        assert_eq!(as_list(&[0, 1, 2]), "0-2");
    }
}
