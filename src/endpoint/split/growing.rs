//! A file in several segments that a stream is written to: nobody knows how many there
//! will be, or whether all come that should. A segment is begun when the first of its
//! bytes is written. When the stream has ended, the last gets its length, and from
//! then on all of them are a split file as any other.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use super::begin_segment;
use super::draft::{FinalName, SplitDraft};
use crate::durable::intact::Written;
use crate::durable::previous::Start;
use crate::durable::stage::{self, Blank, Stage};
use crate::durable::target::StagedTarget;
use crate::endpoint::{Draft, ObjectId, ReadBack};
use crate::error::{ErrorKind, Refusal, Result, SplitRefusal};
use crate::io::{FileIo, Sink, Source, as_u64, as_usize};
use crate::progress::{CancelToken, lock};
use crate::range::{ByteRange, RangeSet, Segments};
use crate::report::SegmentReport;
use crate::source::sequence;
use crate::sync::Mutex;

/// Where the segments are to be.
pub struct Plan {
    /// The name without numbers.
    pub path: PathBuf,
    /// Bytes in each but the last.
    pub size: u64,
    /// Bytes in all of them, if that is known.
    pub len: Option<u64>,
    /// Whether parts of them will not be written, and stay holes.
    pub gaps: bool,
    /// Segments that there may be, at most.
    pub most: u64,
}

/// The segments that were begun so far, written as one.
struct Growing {
    plan: Plan,
    begun: Mutex<Begun>,
}

struct Begun {
    stages: Vec<Stage>,
    names: Vec<FinalName>,
    /// The one after them.
    next: StagedTarget,
    /// Those after that which were looked at before the first byte.
    looked_at: std::vec::IntoIter<StagedTarget>,
    /// How many were looked at: what is there in their places may be replaced.
    known: usize,
}

/// A file in several segments that is being written, up to an end that is not known.
pub struct GrowingDraft {
    sink: Arc<Growing>,
    /// Whether segments get their lengths by being written.
    grows: bool,
    /// What it is once the stream has ended.
    ended: OnceLock<SplitDraft>,
}

impl GrowingDraft {
    /// Begins the `first` segment, from where `start` says. `others` are those after it
    /// that were looked at.
    ///
    /// # Errors
    ///
    /// If it cannot be made.
    pub fn begin(
        plan: Plan,
        first: StagedTarget,
        others: Vec<StagedTarget>,
        start: Start,
    ) -> Result<GrowingDraft> {
        stage::check_renames(&first)?;
        let (stages, names, known) = (Vec::new(), Vec::new(), others.len() + 1);
        let mut begun = Begun { stages, names, next: first, looked_at: others.into_iter(), known };
        begun.begin_next(&plan, start)?;
        let grows = begun.stages[0].file().grows;
        let sink = Arc::new(Growing { plan, begun: Mutex::new(begun) });
        Ok(GrowingDraft { sink, grows, ended: OnceLock::new() })
    }

    fn ended(&self) -> Result<&SplitDraft> {
        self.ended.get().ok_or_else(|| self.not_ended())
    }

    fn not_ended(&self) -> crate::Error {
        let (step, path) = ("finish", self.sink.plan.path.clone());
        ErrorKind::Destination { step, path, source: io::Error::other("it has no end yet") }.into()
    }
}

impl Begun {
    /// Begins one more.
    fn begin_next(&mut self, plan: &Plan, start: Start) -> Result<()> {
        let number = self.stages.len();
        if as_u64(number) >= plan.most {
            let error =
                io::Error::other(format!("no more than {number} files may be open at once"));
            let (step, path) = ("make", self.next.path.clone());
            return Err(ErrorKind::Destination { step, path, source: error }.into());
        }
        let name = plan.path.file_name().unwrap_or_default();
        let after = match self.looked_at.next() {
            Some(target) => target,
            None => self.next.beside(sequence::nth(name, as_u64(number) + 1))?,
        };
        if number >= self.known && self.next.existing.is_some() {
            // It was not there when the copy began.
            let path = self.next.path.clone();
            return Err(Refusal::from(SplitRefusal::SegmentExists { path }).into());
        }
        let target = std::mem::replace(&mut self.next, after);
        let name = FinalName::of(&target);
        let blank = Blank { len: 0, open_ended: true, gaps: plan.gaps, like: None };
        self.stages.push(begin_segment(target, blank, start)?);
        self.names.push(name);
        Ok(())
    }
}

impl Growing {
    /// The segment that has the byte at `offset`, begun, with the offset in it and
    /// how many bytes follow there.
    fn at(&self, offset: u64) -> io::Result<(Arc<FileIo>, ByteRange)> {
        let number = as_usize(offset / self.plan.size);
        let mut begun = lock(&self.begun);
        while begun.stages.len() <= number {
            begun.begin_next(&self.plan, Start::Fresh).map_err(io::Error::other)?;
        }
        let file = Arc::clone(&begun.stages[number].file().io);
        Ok((file, ByteRange::between(offset % self.plan.size, self.plan.size)))
    }

    /// Those that were begun, in their order.
    fn files(&self) -> Vec<Arc<FileIo>> {
        lock(&self.begun).stages.iter().map(|stage| Arc::clone(&stage.file().io)).collect()
    }
}

impl Sink for Growing {
    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<usize> {
        let (file, room) = self.at(offset)?;
        let len = as_usize(room.len().min(as_u64(data.len())));
        Sink::write_at(&*file, room.start(), &data[..len])
    }

    fn write_zeroes(&self, range: ByteRange) -> io::Result<()> {
        for piece in range.pieces_on_grid(self.plan.size, 0) {
            let (file, room) = self.at(piece.start())?;
            file.write_zeroes(room.split_at(room.start() + piece.len()).0)?;
        }
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.files().iter().try_for_each(|file| file.sync_data())
    }

    fn for_each_place(&self, range: ByteRange, visit: &mut dyn FnMut(&File, ByteRange)) {
        let files = self.files();
        for piece in range.pieces_on_grid(self.plan.size, 0) {
            let number = as_usize(piece.start() / self.plan.size);
            if let Some(file) = files.get(number) {
                let start = piece.start() % self.plan.size;
                visit(file.as_file(), ByteRange::between(start, start + piece.len()));
            }
        }
    }
}

impl Draft for GrowingDraft {
    fn sink(&self) -> Arc<dyn Sink> {
        self.sink.clone()
    }

    /// That of the first once it has an end: there may be no other.
    fn path(&self) -> &Path {
        self.ended.get().map_or(&self.sink.plan.path, SplitDraft::first_path)
    }

    fn len(&self) -> u64 {
        self.ended.get().map_or(0, Draft::len)
    }

    fn written(&self) -> Option<Arc<dyn Source>> {
        self.ended.get()?.written()
    }

    fn read_back(&self) -> Option<ReadBack> {
        self.ended.get()?.read_back()
    }

    fn id(&self) -> Result<Option<ObjectId>> {
        lock(&self.sink.begun).stages[0].file().id().map(Some)
    }

    fn grows(&self) -> bool {
        self.grows
    }

    fn end_at(&self, to: ByteRange) -> Result<()> {
        if self.ended.get().is_some() {
            return Ok(());
        }
        let Plan { path, size, .. } = &self.sink.plan;
        let segments = Segments::every(*size, to.end());
        let count = as_usize(segments.count());
        let mut begun = lock(&self.sink.begun);
        while begun.stages.len() < count {
            begun.begin_next(&self.sink.plan, Start::Fresh)?;
        }
        let Begun { stages, names, .. } = &mut *begun;
        let more = stages.split_off(count);
        names.truncate(count);
        // Of what was begun and then did not come.
        more.into_iter().for_each(Stage::discard);
        for (number, stage) in stages.iter().enumerate() {
            stage.file().end_at(segments.range(number).len())?;
        }
        let (stages, names) = (std::mem::take(stages), std::mem::take(names));
        let draft = SplitDraft::new(path.clone(), segments, stages, names);
        self.ended.set(draft).map_err(|_| self.not_ended())
    }

    fn segments(&self) -> Vec<SegmentReport> {
        self.ended.get().map_or_else(Vec::new, Draft::segments)
    }

    fn settle(&self, rights: Option<u32>) -> Result<Vec<String>> {
        if let Some(len) = self.sink.plan.len {
            // All of it has come.
            self.end_at(ByteRange::to(len))?;
        }
        self.ended()?.settle(rights)
    }

    fn sync(&self) -> Result<()> {
        self.ended()?.sync()
    }

    fn lost(&self, written: &Written<'_>, cancel: &CancelToken) -> Result<RangeSet> {
        self.ended()?.lost(written, cancel)
    }

    fn check_written(&self, lost: &RangeSet) -> Result<()> {
        self.ended()?.check_written(lost)
    }

    fn commit(&mut self, durable: bool) -> Result<()> {
        let error = self.not_ended();
        self.ended.get_mut().ok_or(error)?.commit(durable)
    }

    fn check_name(&self, to: ByteRange) -> Result<()> {
        self.ended()?.check_name(to)
    }

    fn discard(self: Box<Self>) -> Option<String> {
        let GrowingDraft { sink, ended, .. } = *self;
        if let Some(ended) = ended.into_inner() {
            return Box::new(ended).discard();
        }
        std::mem::take(&mut lock(&sink.begun).stages).into_iter().for_each(Stage::discard);
        None
    }
}
