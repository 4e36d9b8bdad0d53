//! How a process joins a job: the first one makes the file and writes the plan, all
//! others read it, and refuse what is not their job.

use std::path::{Path, PathBuf};

use super::folder::Folder;
use super::list::ListJob;
use super::plan::{Difference, Job, Plan};
use super::record::{FINISHED, Finished, PLAN, Process, is_of_tasks, now_in_ms, unseal};
use crate::durable::part::Ours;
use crate::durable::side;
use crate::durable::sizing;
use crate::durable::target::StagedTarget;
use crate::endpoint::Origin;
use crate::error::{Error, ErrorKind, Refusal, Result, quoted};
use crate::options::Options;
use crate::range::Mapping;
use crate::safety::{Preflight, check_length, check_space};
use crate::sparse::Layout;
use crate::sys;

/// The job that this process takes part in.
pub struct Joined {
    /// What all have agreed on.
    pub plan: Plan,
    /// The final name, and what the file is called until then.
    pub target: StagedTarget,
}

/// One who would join.
pub struct Joining<'a> {
    pub path: &'a Path,
    pub folder: &'a dyn Folder,
    pub origin: &'a dyn Origin,
    /// The final name, absolute.
    pub destination: PathBuf,
    /// The same as the user calls it.
    pub named: PathBuf,
    pub mapping: Mapping,
    pub options: &'a Options,
    pub process: &'a Process,
}

impl Joining<'_> {
    /// Joins.
    ///
    /// # Errors
    ///
    /// [`Refusal::OtherJob`] if the folder is of another one, or whatever speaks against
    /// the copy if there is no plan yet. What was made has been removed then.
    pub fn join(&self) -> Result<Joined> {
        let job = Job::new(self.origin, &self.destination, self.mapping, self.options)?;
        if let Some(plan) = read_plan(self.path, self.folder)? {
            return self.joined(plan, &job);
        }
        match self.begin(&job) {
            // Another one may have written the plan since it was looked for, and begun.
            Err(refused) => match read_plan(self.path, self.folder)? {
                Some(plan) => self.joined(plan, &job),
                None => Err(refused),
            },
            joined => joined,
        }
    }

    /// Writes the plan, if another one is not faster.
    fn begin(&self, job: &Job) -> Result<Joined> {
        check_folder(self.path, self.folder)?;
        let plan = Plan::new(job.clone(), self.process, now_in_ms());
        let target = self.target(&plan)?;
        self.check(&target)?;
        let made = self.make(&target, job.len())?;
        let linked = self.folder.publish_new(PLAN, &plan.to_bytes());
        if let Ok(true) = linked {
            return Ok(Joined { plan, target });
        }
        // Somebody was faster, or so it seems.
        let theirs = read_plan(self.path, self.folder);
        let is_ours = matches!(&theirs, Ok(Some(theirs)) if theirs.id == plan.id);
        if !is_ours {
            let facts = sys::facts(&made).map_err(|error| failed(self.path, error))?;
            let ours = Ours { file: &made, facts: &facts };
            // Of nobody else's: its name is that of a plan that never was.
            let _ = side::remove(&target.directory, &target.part_name(), ours);
        }
        linked.map_err(|error| failed(self.path, error))?;
        match theirs? {
            Some(plan) => self.joined(plan, job),
            None => Err(failed(self.path, std::io::ErrorKind::NotFound.into())),
        }
    }

    /// With the plan that is there.
    fn joined(&self, plan: Plan, job: &Job) -> Result<Joined> {
        let source = &plan.job.source;
        if let (true, Some(change)) = (source.path == job.source.path, source.change(&job.source)) {
            let path = self.origin.path().to_owned();
            return Err(ErrorKind::SourceChanged { path, change }.into());
        }
        if let Some(difference) = plan.difference(job) {
            return Err(other_job(self.path, difference));
        }
        let target = self.target(&plan)?;
        Ok(Joined { plan, target })
    }

    fn target(&self, plan: &Plan) -> Result<StagedTarget> {
        let force = plan.job.options.force;
        let target = StagedTarget::look_at(self.named.clone(), force)?;
        Ok(target.written_by_several(plan.tag()))
    }

    /// Refuses what must not be done.
    fn check(&self, target: &StagedTarget) -> Result<()> {
        let (path, len) = (&target.path, self.mapping.to().end());
        let preflight = Preflight {
            source: self.origin.file(),
            path,
            mapping: self.mapping,
            allow_same_device: self.options.allow_same_device,
        };
        preflight.check_new_file(target)?;
        target.check_replaceable()?;
        check_length(path, len, sys::longest_file(&target.directory, len))?;
        if !self.options.ignore_space {
            let from = self.mapping.from();
            let layout = Layout::of(&*self.origin.source(), from, self.options.sparse);
            check_space(path, layout.data.bytes(), target.directory.available_space())?;
        }
        Ok(())
    }

    /// Makes the file, of `len` bytes, under a name that only this plan has.
    fn make(&self, target: &StagedTarget, len: u64) -> Result<std::fs::File> {
        let name = target.part_name();
        let made = target.directory.create_new(&name).map_err(|source| Refusal::CannotCreate {
            directory: target.directory_path.clone(),
            name: PathBuf::from(&name),
            source,
        })?;
        let path = target.part_path();
        let sized = match sizing::size_ahead(&made, len, true) {
            Ok(false) => return Ok(made),
            Ok(true) => {
                let what = format!(
                    "{} lies on a file system that gives a file its length only by writing it: \
                     several processes cannot write one there",
                    quoted(&path)
                );
                Err(Refusal::Other(what).into())
            }
            Err(source) => Err(ErrorKind::Destination { step: "resize", path, source }.into()),
        };
        if let Ok(facts) = sys::facts(&made) {
            let _ = side::remove(&target.directory, &name, Ours { file: &made, facts: &facts });
        }
        sized
    }
}

/// A folder in which there is something else may have been named by mistake.
///
/// # Errors
///
/// A [`Refusal`], or the folder cannot be read.
pub fn check_folder(path: &Path, folder: &dyn Folder) -> Result<()> {
    let names = folder.names().map_err(|error| failed(path, error))?;
    // Temporaries and tasks of others who are about to write the plan.
    let is_ours = |name: &String| name.starts_with('.') || name == PLAN || is_of_tasks(name);
    match names.iter().find(|name| !is_ours(name)) {
        None => Ok(()),
        Some(name) => {
            let what = format!(
                "{} is not a folder of a job: it has {} in it and no plan",
                quoted(path),
                quoted(name)
            );
            Err(Refusal::Other(what).into())
        }
    }
}

/// That the folder at `path` is of another job.
pub fn other_job(path: &Path, difference: Difference) -> Error {
    let Difference { what, planned, here } = difference;
    Refusal::OtherJob { folder: path.to_owned(), what, planned, here }.into()
}

/// A plan of whatever.
pub enum AnyPlan {
    /// Of one range.
    Range(Plan),
    /// Of many files.
    List(Plan<ListJob>),
}

/// The plan in a folder, if there is one.
///
/// # Errors
///
/// If there is one that cannot be understood, or the folder cannot be read.
pub fn read_any_plan(path: &Path, folder: &dyn Folder) -> Result<Option<AnyPlan>> {
    let bytes = folder.read(PLAN).map_err(|error| failed(path, error))?;
    let Some(bytes) = bytes else { return Ok(None) };
    let range = Plan::from_bytes(&bytes).map(AnyPlan::Range);
    match range.or_else(|| Plan::from_bytes(&bytes).map(AnyPlan::List)) {
        Some(plan) => Ok(Some(plan)),
        None => {
            let name = quoted(path.join(PLAN)).to_string();
            let what =
                format!("{name} is not a plan of this version of the program, or is damaged");
            Err(Refusal::Other(what).into())
        }
    }
}

/// The plan of a range in a folder, if there is one.
///
/// # Errors
///
/// As of [`read_any_plan`], and if it is of many files.
pub fn read_plan(path: &Path, folder: &dyn Folder) -> Result<Option<Plan>> {
    match read_any_plan(path, folder)? {
        Some(AnyPlan::Range(plan)) => Ok(Some(plan)),
        Some(AnyPlan::List(_)) => Err(other_job(path, kinds("many files", "one range"))),
        None => Ok(None),
    }
}

/// That one job is of something else than the other.
pub fn kinds(planned: &str, here: &str) -> Difference {
    let (what, planned, here) = ("kind".to_owned(), planned.to_owned(), here.to_owned());
    Difference { what, planned, here }
}

/// The note that the job of `plan` is over, if there is one.
///
/// # Errors
///
/// If the folder cannot be read.
pub fn read_finished<J>(
    path: &Path,
    folder: &dyn Folder,
    plan: &Plan<J>,
) -> Result<Option<Finished>> {
    let bytes = folder.read(FINISHED).map_err(|error| failed(path, error))?;
    let finished = bytes.and_then(|bytes| unseal::<Finished>(&bytes));
    Ok(finished.filter(|finished| finished.plan == plan.id))
}

/// That the folder of a job cannot be used.
pub fn failed(path: &Path, source: std::io::Error) -> Error {
    ErrorKind::Destination { step: "use the job folder", path: path.to_owned(), source }.into()
}
