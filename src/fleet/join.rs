//! How a process joins a job: the first one begins what is made and writes the plan, all
//! others read it, and refuse what is not their job.

use std::path::{Path, PathBuf};

use super::folder::Folder;
use super::list::ListJob;
use super::plan::{Difference, Job, Plan};
use super::record::{
    BegunNote, FINISHED, Finished, PLAN, Process, begun_name, is_of_beginning, is_of_tasks,
    now_in_ms, seal, unseal,
};
use super::whole::{NotBegun, Whole};
use crate::endpoint::Origin;
use crate::error::{Error, ErrorKind, Refusal, Result, quoted};
use crate::options::Options;
use crate::range::Mapping;

/// What a note says of which nothing is left.
const NOTHING: &[u8] = b"";

/// The job that this process takes part in.
pub struct Joined {
    /// What all have agreed on.
    pub plan: Plan,
    /// What all make.
    pub whole: Box<dyn Whole>,
}

/// One who would join.
pub struct Joining<'a> {
    pub path: &'a Path,
    pub folder: &'a dyn Folder,
    pub origin: &'a dyn Origin,
    pub whole: Box<dyn Whole>,
    /// Its name, absolute.
    pub destination: PathBuf,
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
    pub fn join(self) -> Result<Joined> {
        let part = self.whole.part_size();
        let mut job = Job::new(self.origin, &self.destination, self.mapping, part, self.options)?;
        job.endpoint = self.whole.endpoint();
        if let Some(plan) = read_plan(self.path, self.folder)? {
            return self.joined(plan, &job);
        }
        self.begin(&job)
    }

    /// Writes the plan, if another one is not faster.
    fn begin(mut self, job: &Job) -> Result<Joined> {
        match self.begin_as_first(job) {
            Ok(Some(plan)) => Ok(Joined { plan, whole: self.whole }),
            // Another one may have written the plan since it was looked for, and begun.
            other => match (read_plan(self.path, self.folder)?, other) {
                (Some(plan), _) => self.joined(plan, job),
                (None, Ok(_)) => Err(failed(self.path, std::io::ErrorKind::NotFound.into())),
                (None, Err(refused)) => Err(refused),
            },
        }
    }

    /// The plan, if it is this one.
    fn begin_as_first(&mut self, job: &Job) -> Result<Option<Plan>> {
        check_folder(self.path, self.folder)?;
        let mut plan = Plan::new(job.clone(), self.process, now_in_ms());
        self.whole.belong_to(&plan);
        self.whole.check(self.mapping, self.origin, self.options)?;
        let failed = |error| failed(self.path, error);
        // Should this process be killed before there is a plan, the one that finishes the job
        // knows by that what is left.
        let (tag, since) = (plan.tag().to_owned(), self.whole.time());
        let mut note = BegunNote { tag, since, unheard: false, upload: None };
        let name = begun_name(&note.tag);
        let say = |note: &[u8]| self.folder.note(&name, note);
        say(&seal(&note)).map_err(failed)?;
        let begun = self.whole.begin(job.len()).map_err(|NotBegun { error, is_certain }| {
            if is_certain {
                let _ = say(NOTHING);
            }
            error
        })?;
        if let Some(upload) = &begun.upload {
            (note.upload, note.unheard) = (Some(upload.clone()), begun.unheard);
            if let Err(error) = say(&seal(&note)) {
                self.whole.take_back(&begun);
                return Err(failed(error));
            }
            plan = plan.of_upload(upload.clone());
        }
        let linked = self.folder.publish_new(PLAN, &plan.to_bytes());
        // Somebody may have been faster, or so it seems.
        let theirs = match &linked {
            Ok(true) => None,
            _ => read_plan(self.path, self.folder)?,
        };
        match theirs {
            Some(theirs) if theirs.id != plan.id => {
                if self.whole.take_back(&begun) {
                    let _ = say(NOTHING);
                }
                Ok(None)
            }
            None if !matches!(linked, Ok(true)) => {
                // It may be there, and not be seen yet.
                linked.map_err(failed)?;
                Ok(None)
            }
            _ => {
                self.whole.belong_to(&plan);
                Ok(Some(plan))
            }
        }
    }

    /// With the plan that is there.
    fn joined(mut self, plan: Plan, job: &Job) -> Result<Joined> {
        let source = &plan.job.source;
        if let (true, Some(change)) = (source.path == job.source.path, source.change(&job.source)) {
            let path = self.origin.path().to_owned();
            return Err(ErrorKind::SourceChanged { path, change }.into());
        }
        // How many shards there are is for the plan to say, if it can be done like that.
        let mut job = job.clone();
        if plan.job.shard_size.is_multiple_of(self.whole.part_size()) {
            job.shard_size = plan.job.shard_size;
        }
        if let Some(difference) = plan.difference(&job) {
            return Err(other_job(self.path, difference));
        }
        self.whole.belong_to(&plan);
        Ok(Joined { plan, whole: self.whole })
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
    let is_ours = |name: &String| {
        name.starts_with('.') || name == PLAN || is_of_tasks(name) || is_of_beginning(name)
    };
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

/// That the folder of a job cannot be opened: a name that leads nowhere is a mistake,
/// found before anything is done.
pub fn not_opened(path: &Path, source: std::io::Error) -> Error {
    match source.kind() {
        std::io::ErrorKind::NotFound => {
            Refusal::Other(format!("there is no job in {}: no such folder", quoted(path))).into()
        }
        _ => failed(path, source),
    }
}

/// That the folder of a job cannot be used.
pub fn failed(path: &Path, source: std::io::Error) -> Error {
    ErrorKind::Destination { step: "use the job folder", path: path.to_owned(), source }.into()
}
