//! A new file that several processes write, under a name that only their plan has.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Begun, Content, NotBegun, Piece, SentParts, Whole};
use crate::durable::intact;
use crate::durable::part::Ours;
use crate::durable::side;
use crate::durable::sizing;
use crate::durable::stage::{Stage, rights};
use crate::durable::target::{self, StagedTarget};
use crate::endpoint::shared::FilePiece;
use crate::endpoint::{Draft, Kind, Origin};
use crate::error::{Error, ErrorKind, Refusal, Result, quoted};
use crate::fleet::finish::Finish;
use crate::fleet::plan::{Job, Plan, TAG};
use crate::fleet::record::{BegunNote, COMMIT, Commit, seal, unseal};
use crate::io::FileIo;
use crate::io::guarded::Guard;
use crate::options::Options;
use crate::preserve::OF_ANY_FILE;
use crate::range::{Mapping, RangeSet};
use crate::safety::{Preflight, check_length, check_space};
use crate::sparse::Layout;
use crate::sys::{self, FileKind, Metadata};

/// The file.
pub struct SharedFile {
    target: StagedTarget,
}

impl SharedFile {
    /// The file that `path` means, or the one in it that is called as `origin` is.
    ///
    /// # Errors
    ///
    /// A [`Refusal`]: nothing has been changed.
    pub fn look_at(path: &Path, origin: &dyn Origin, options: &Options) -> Result<SharedFile> {
        let mut path = path.to_owned();
        let not_a_file = |path: &Path| {
            let name = quoted(path);
            let what = format!("{name} is not a file, and several processes write to one file");
            Refusal::Other(what)
        };
        if path.as_os_str() == "null:" {
            return Err(not_a_file(&path).into());
        }
        let found = sys::facts_of_path(&path).map_err(|error| target::cannot_open(&path, error))?;
        match found.map(|found| found.node) {
            Some(FileKind::Directory) => {
                let name = origin.file_name();
                path.push(name.ok_or_else(|| target::no_name(&path))?);
            }
            None | Some(FileKind::File) => {}
            Some(_) => return Err(not_a_file(&path).into()),
        }
        Ok(SharedFile { target: StagedTarget::look_at(path, options.force)? })
    }

    /// The draft cannot be opened.
    fn is_gone(&self, source: std::io::Error) -> Error {
        let path = self.target.part_path();
        ErrorKind::Destination { step: "open", path, source }.into()
    }

    fn open(&self) -> Result<File> {
        let file = self.target.directory.open_existing(&self.target.part_name());
        file.map_err(|source| self.is_gone(source))
    }

    /// Removes the draft of another plan, if it is empty.
    fn clear_one(&self, tag: &str) {
        let is_tag = tag.len() == TAG && tag.bytes().all(|byte| byte.is_ascii_hexdigit());
        let Ok(mut target) = self.target.beside(self.target.name.clone()) else { return };
        if !is_tag {
            return;
        }
        target.write_by_several(tag);
        let name = target.part_name();
        let Ok(file) = target.directory.open_existing(&name) else { return };
        let Ok(facts) = sys::facts(&file) else { return };
        if facts.node == FileKind::File && facts.allocated == 0 {
            let _ = side::remove(&target.directory, &name, Ours { file: &file, facts: &facts });
        }
    }

    /// By what a file is known that is about to get its name.
    fn commit_of(plan: &Plan, facts: &Metadata) -> Commit {
        let made = facts.created.map(|made| format!("{made:?}"));
        Commit { plan: plan.id.clone(), inode: facts.inode, made, len: plan.job.len() }
    }

    fn content(&self, job: &Job, file: File) -> Result<Content> {
        let bytes = file.try_clone().map_err(|source| self.is_gone(source))?;
        let bytes = Arc::new(FileIo::new(bytes, job.len()));
        let range = job.mapping().map(|mapping| mapping.to()).unwrap_or_default();
        let path = self.target.part_path();
        Ok(Content { bytes, range, path, checksum: None, file: Some(file) })
    }
}

impl Whole for SharedFile {
    fn path(&self) -> &Path {
        &self.target.path
    }

    fn draft_path(&self) -> PathBuf {
        self.target.part_path()
    }

    fn kind(&self) -> Kind {
        Kind::File
    }

    fn check(&self, mapping: Mapping, origin: &dyn Origin, options: &Options) -> Result<()> {
        let target = &self.target;
        let (path, len) = (&target.path, mapping.to().end());
        let allow_same_device = options.allow_same_device;
        let preflight = Preflight { source: origin.file(), path, mapping, allow_same_device };
        preflight.check_new_file(target)?;
        target.check_replaceable()?;
        check_length(path, len, sys::longest_file(&target.directory, len))?;
        if !options.ignore_space {
            let layout = Layout::of(&*origin.source(), mapping.from(), options.sparse);
            check_space(path, layout.data.bytes(), target.directory.available_space())?;
        }
        Ok(())
    }

    fn belong_to(&mut self, plan: &Plan) {
        self.target.write_by_several(plan.tag());
    }

    fn begin(&self, len: u64) -> Result<Begun, NotBegun> {
        let target = &self.target;
        let name = target.part_name();
        let file = target.directory.create_new(&name).map_err(|source| Refusal::CannotCreate {
            directory: target.directory_path.clone(),
            name: PathBuf::from(&name),
            source,
        })?;
        let path = target.part_path();
        let sized = sizing::size_ahead(&file, len, true);
        let begun = Begun { upload: None, unheard: false, file: Some(file) };
        let refused: Error = match sized {
            Ok(false) => return Ok(begun),
            Ok(true) => {
                let what = format!(
                    "{} lies on a file system that gives a file its length only by writing it: \
                     several processes cannot write one there",
                    quoted(&path)
                );
                Refusal::Other(what).into()
            }
            Err(source) => ErrorKind::Destination { step: "resize", path, source }.into(),
        };
        self.take_back(&begun);
        Err(refused.into())
    }

    fn take_back(&self, begun: &Begun) -> bool {
        let Some(file) = &begun.file else { return true };
        let Ok(facts) = sys::facts(file) else { return false };
        // Of nobody else's: its name is that of a plan that never was.
        let (target, ours) = (&self.target, Ours { file, facts: &facts });
        side::remove(&target.directory, &target.part_name(), ours).is_ok()
    }

    fn clear(&self, notes: &[BegunNote]) -> Vec<String> {
        notes.iter().for_each(|note| self.clear_one(&note.tag));
        Vec::new()
    }

    fn is_there(&self, len: u64) -> Option<bool> {
        // Anew: the job may have come to its end since the target was looked at.
        let found = self.target.directory.facts(&self.target.name);
        Some(matches!(found, Ok(Some(found)) if found.size == len))
    }

    fn piece(&self, job: &Job, guard: Guard) -> Result<Piece> {
        let end = FilePiece::new(self.target.part_path(), self.open()?, job.len(), guard);
        Ok(Piece { end: Box::new(end), sent: Box::new(SentParts::new) })
    }

    /// The file is not there any more under the name it had while it was written:
    /// somebody has given it its own, and stopped before that was noted.
    fn named(&self, finish: &Finish<'_>) -> Result<Option<Content>> {
        let (target, plan) = (&self.target, &finish.work.joined.plan);
        let draft = target.directory.facts(&target.part_name());
        if draft.map_err(|source| self.is_gone(source))?.is_some() {
            return Ok(None);
        }
        let crew = &finish.work.crew;
        let commit = crew.folder.read(COMMIT).map_err(|error| crew.failed(error))?;
        let commit = commit.and_then(|bytes| unseal::<Commit>(&bytes));
        let commit = commit.filter(|commit| commit.plan == plan.id);
        // Opened, it is looked at as it was when that was noted.
        let file = target.directory.open_to_read(&target.name).ok();
        let found = file.and_then(|file| sys::facts(&file).ok().map(|facts| (file, facts)));
        let gone = || self.is_gone(std::io::ErrorKind::NotFound.into());
        let (Some(commit), Some((file, facts))) = (commit, found) else { return Err(gone()) };
        if facts.node != FileKind::File || facts.size != commit.len {
            return Err(gone());
        }
        if SharedFile::commit_of(plan, &facts) != commit {
            // Some file systems make numbers up: the bytes decide.
            finish.work.compare(finish.hold, plan.job.range, &target.path)?;
        }
        if plan.job.options.sync {
            let path = target.directory_path.clone();
            target.directory.sync().map_err(|source| ErrorKind::Sync { path, source })?;
        }
        self.content(&plan.job, file).map(Some)
    }

    fn unnamed(&self, finish: &Finish<'_>) -> Result<Content> {
        let job = &finish.work.joined.plan.job;
        let file = self.open()?;
        intact::check_length(&file, &self.target.part_path(), job.len())?;
        self.content(job, file)
    }

    fn compare(&self, finish: &Finish<'_>) -> Result<()> {
        let range = finish.work.joined.plan.job.range;
        finish.work.compare(finish.hold, range, &self.target.part_path())
    }

    fn give_name(&self, finish: &Finish<'_>, content: Content) -> Result<Vec<String>> {
        let (crew, origin) = (&finish.work.crew, &finish.work.origin);
        let plan = &finish.work.joined.plan;
        let job = &plan.job;
        let mut target = self.target.beside(self.target.name.clone())?;
        target.write_by_several(plan.tag());
        let gone = || self.is_gone(std::io::ErrorKind::NotFound.into());
        let file = content.file.ok_or_else(gone)?;
        let facts = sys::facts(&file).map_err(|source| self.is_gone(source))?;
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
        let commit = seal(&SharedFile::commit_of(plan, &facts));
        crew.folder.publish(COMMIT, &commit).map_err(|error| crew.failed(error))?;
        finish.hold.gate().check_now().map_err(|error| crew.failed(error))?;
        Stage::commit(&mut stage, job.options.sync)?;
        stage.check_name()?;
        Ok(notes)
    }
}
