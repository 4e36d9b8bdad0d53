//! A file in several segments that is being written.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::strangers;
use crate::durable::intact::{self, Written};
use crate::durable::part;
use crate::durable::stage::Stage;
use crate::durable::target::StagedTarget;
use crate::endpoint::{Draft, ObjectId, ReadBack};
use crate::error::{ErrorKind, Result};
use crate::io::{FileIo, Segmented, Sink, Source};
use crate::progress::CancelToken;
use crate::range::{ByteRange, RangeSet, Segments};
use crate::report::SegmentReport;
use crate::sys::Directory;

/// A name that a segment is to get.
pub struct FinalName {
    directory: Arc<Directory>,
    name: OsString,
    path: PathBuf,
    part: PathBuf,
    /// Whether what has the name is replaced.
    force: bool,
}

impl FinalName {
    /// The name of `target`.
    pub fn of(target: &StagedTarget) -> FinalName {
        FinalName {
            directory: Arc::clone(&target.directory),
            name: target.name.clone(),
            path: target.path.clone(),
            part: target.part_path(),
            force: target.force,
        }
    }

    fn not_named(&self, source: io::Error) -> ErrorKind {
        ErrorKind::NotNamed { part: self.part.clone(), path: self.path.clone(), source }
    }

    /// Refuses a name that somebody has taken meanwhile.
    fn check_free(&self) -> Result<()> {
        if self.force {
            return Ok(());
        }
        match self.directory.facts(&self.name).map_err(|error| self.not_named(error))? {
            None => Ok(()),
            Some(_) => Err(self.not_named(io::ErrorKind::AlreadyExists.into()).into()),
        }
    }

    /// Takes away what is to be replaced.
    fn clear(&self) -> Result<()> {
        let is_busy = part::stays_written(&self.directory, &self.name);
        let cleared = match self.directory.facts(&self.name) {
            Ok(None) => Ok(()),
            Ok(Some(_)) if is_busy => Err(io::Error::other("another copy is writing it")),
            Ok(Some(_)) => self.directory.remove(&self.name),
            Err(error) => Err(error),
        };
        cleared.map_err(|source| {
            let (step, path) = ("replace", self.path.clone());
            ErrorKind::Destination { step, path, source }.into()
        })
    }
}

/// A file in several segments that is being written.
pub struct SplitDraft {
    path: PathBuf,
    sink: Arc<Segmented>,
    stages: Vec<Stage>,
    names: Vec<FinalName>,
}

impl SplitDraft {
    /// Of `stages`, one for each of `segments`, and their final names.
    pub fn new(
        path: PathBuf,
        segments: Segments,
        stages: Vec<Stage>,
        names: Vec<FinalName>,
    ) -> SplitDraft {
        let files = stages.iter().map(|stage| Arc::clone(&stage.file().io)).collect();
        SplitDraft { path, sink: Arc::new(Segmented::new(segments, files)), stages, names }
    }

    fn cuts(&self) -> &Segments {
        self.sink.segments()
    }

    /// The path that the first has while it is written.
    pub fn first_path(&self) -> &Path {
        &self.stages[0].file().path
    }

    /// Whether segment `number` has its name from an earlier run.
    fn has_its_name(&self, number: usize) -> bool {
        self.stages[number].file().path == self.names[number].path
    }

    /// Looks, before the first segment gets its name, whether all can.
    fn check_names(&self) -> Result<()> {
        for (number, name) in self.names.iter().enumerate() {
            if !self.has_its_name(number) {
                name.check_free()?;
            }
        }
        let count = self.cuts().count();
        match strangers(&self.names[0].directory, &self.path, count, "").into_iter().next() {
            None => Ok(()),
            Some(name) => {
                let path = self.path.with_file_name(name);
                let source = io::Error::other("it would be taken for one more segment");
                Err(ErrorKind::Destination { step: "leave", path, source }.into())
            }
        }
    }

    fn each(&self, step: impl FnMut(&Stage) -> Result<()>) -> Result<()> {
        self.stages.iter().try_for_each(step)
    }

    /// What was written of segment `number`, `range` of the source in all.
    fn part_of<'a>(&self, number: usize, all: &Written<'a>) -> Option<Written<'a>> {
        let segment = self.cuts().range(number);
        let whole = ByteRange::with_len(all.to, all.range.len())?;
        let there = segment.intersect(whole);
        let range = there.rebase(all.to, all.range.start())?;
        let to = there.start().checked_sub(segment.start())?;
        let holes = all.holes.within(range);
        (!range.is_empty()).then_some(Written {
            source: all.source,
            range,
            to,
            holes,
            zeros: all.zeros.within(range),
            made: all.made,
        })
    }
}

impl Draft for SplitDraft {
    fn sink(&self) -> Arc<dyn Sink> {
        self.sink.clone()
    }

    fn path(&self) -> &Path {
        &self.path
    }

    fn len(&self) -> u64 {
        self.cuts().len()
    }

    fn written(&self) -> Option<Arc<dyn Source>> {
        self.sink.source()
    }

    fn read_back(&self) -> Option<ReadBack> {
        let files: Vec<Arc<FileIo>> = self.sink.files();
        Some(ReadBack::of_files(&files, self.cuts().clone(), self.sink.source()?))
    }

    fn id(&self) -> Result<Option<ObjectId>> {
        self.stages[0].file().id().map(Some)
    }

    fn segments(&self) -> Vec<SegmentReport> {
        let report = |(number, name): (usize, &FinalName)| SegmentReport {
            path: name.path.clone(),
            range: self.sink.segments().range(number),
        };
        self.names.iter().enumerate().map(report).collect()
    }

    fn grows(&self) -> bool {
        self.stages.iter().any(|stage| stage.file().grows)
    }

    fn reach(&self) -> Option<u64> {
        let segments = self.sink.segments();
        let reach = |(number, stage): (usize, &Stage)| {
            let (file, whole) = (stage.file(), segments.range(number));
            let so_far = if file.grows { file.reach() } else { whole.len() };
            (so_far < whole.len()).then_some(whole.start() + so_far)
        };
        self.stages.iter().enumerate().find_map(reach)
    }

    fn settle(&self, rights: Option<u32>) -> Result<Vec<String>> {
        let mut missing = Vec::new();
        self.each(|stage| {
            stage.file().fill_up()?;
            if let Some(rights) = rights {
                missing.extend(stage.set_final_mode(rights)?);
            }
            Ok(())
        })?;
        Ok(missing)
    }

    fn sync(&self) -> Result<()> {
        self.each(|stage| stage.file().sync())
    }

    fn secure_names(&self) -> io::Result<()> {
        // All of them lie in one directory, and are there from the beginning.
        self.stages[0].secure_name()
    }

    fn lost(&self, written: &Written<'_>, cancel: &CancelToken) -> Result<RangeSet> {
        let mut lost = RangeSet::new();
        for (number, stage) in self.stages.iter().enumerate() {
            if let Some(part) = self.part_of(number, written) {
                lost.merge(&Draft::lost(stage, &part, cancel)?);
            }
        }
        Ok(lost)
    }

    fn check_written(&self, lost: &RangeSet) -> Result<()> {
        if let Some(first) = lost.iter().next() {
            return Err(intact::lacks(self.path.clone(), first).into());
        }
        self.each(|stage| stage.check_written(&RangeSet::new()))
    }

    /// From the last to the first, which comes when all others are on the disk.
    fn commit(&mut self, durable: bool) -> Result<()> {
        self.check_names()?;
        // Before anything goes away that these replace.
        self.each(Stage::check_part)?;
        let is_replaced = self.names[0].force && !self.has_its_name(0);
        if is_replaced && self.stages.len() > 1 {
            self.names[0].clear()?;
        }
        for (number, stage) in self.stages.iter_mut().enumerate().rev() {
            stage.commit(durable && number <= 1)?;
        }
        Ok(())
    }

    fn check_name(&self, _to: ByteRange) -> Result<()> {
        // All of them lie in one directory.
        self.stages[0].check_name()
    }

    fn discard(self: Box<Self>) -> Option<String> {
        self.stages.into_iter().for_each(Stage::discard);
        None
    }
}
