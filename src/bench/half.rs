//! A copy with one end missing: reading into nothing, writing out of nothing.
//! Everything else is done as in a copy, so that the figures can be compared.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Null, Place, Setting, Zeros};
use crate::durable::previous::Start;
use crate::durable::stage::{Stage, StageShape};
use crate::durable::target::{Consent, Target};
use crate::engine::capabilities::{End, cache_state, end_of_source, end_of_target};
use crate::engine::{self, Capabilities, EngineContext, Reflink, Selection};
use crate::error::{Refusal, Result};
use crate::io::page_cache::{CacheState, PageCachePolicy};
use crate::io::{Sink, Source};
use crate::plan::{self, Cursor, Plan};
use crate::pool::controller::Workers;
use crate::pool::{self, Assignment, Control, KERNEL_IO_SIZE, OnReadError, Transfer, Work};
use crate::progress::{CancelToken, Progress};
use crate::range::ByteRange;
use crate::source::{DEFAULT_SECTOR, OpenSource};
use crate::sys;

/// What the destination is called where a directory needs a name for it.
const NAME: &str = "zeros";

/// A copy with one end missing.
pub(super) struct Half<'a> {
    pub source: &'a Place,
    pub destination: &'a Place,
    pub range: ByteRange,
    pub sync: bool,
    pub consent: Consent,
}

impl Half<'_> {
    /// What the ends offer.
    pub fn capabilities(&self) -> Result<Capabilities> {
        let (source, cache_state) = match self.source {
            Place::Path(path) => {
                let source = OpenSource::open(path)?;
                (end_of_source(&source), cache_state(&source, self.range))
            }
            // As a copy from a source that nobody has in memory.
            Place::Nothing => (End::default(), CacheState::Cold),
        };
        let (destination, fresh) = match self.destination {
            Place::Path(path) => {
                let target = Target::look(path, Path::new(NAME), self.consent)?;
                (end_of_target(&target), matches!(target, Target::Staged(_)))
            }
            Place::Nothing => (End::default(), false),
        };
        Ok(Capabilities {
            source,
            destination,
            congruent: true,
            kernel_moves: sys::MOVES_BYTES,
            bytes: self.range.len(),
            fresh,
            cache_state,
            memory: sys::available_memory(),
            reflink: Reflink::Never,
            ..Capabilities::default()
        })
    }

    /// Moves the bytes and says how many workers it took.
    pub fn run(&self, setting: &Setting, cancel: &CancelToken) -> Result<usize> {
        let choice = setting.engine.parse()?;
        let selection = engine::select(choice, self.capabilities()?)?;
        let io_size = setting.io_size.unwrap_or(selection.io_size());
        let stage = self.stage()?;
        if let Some(stage) = stage.as_ref().filter(|_| selection.wants_space()) {
            self.reserve(stage)?;
        }
        let transfer = self.transfer(&selection, stage.as_ref(), io_size)?;
        let about = selection.capabilities();
        let workers = setting
            .threads
            .choose([about.source, about.destination].map(|end| end.rotational), about.cache_state);
        let kernel = if setting.io_size.is_some() { io_size } else { KERNEL_IO_SIZE };
        let workers = workers.bounded(io_size);
        let threads = work_off(&transfer, workers, (io_size, kernel), cancel)?;
        if let Some(stage) = stage {
            if self.sync {
                stage.sync()?;
            }
            stage.write_head(self.sync)?;
        }
        transfer.page_cache.finish(&*transfer.source, &*transfer.sink);
        Ok(threads)
    }

    fn stage(&self) -> Result<Option<Stage>> {
        let Place::Path(path) = self.destination else { return Ok(None) };
        let target = Target::look(path, Path::new(NAME), self.consent)?;
        target.check_replaceable()?;
        Stage::begin(target, StageShape::up_to(self.target()), Start::Fresh).map(Some)
    }

    /// Reserves storage as a copy does for the engines that want it.
    fn reserve(&self, stage: &Stage) -> Result<()> {
        match sys::reserve(stage.io().as_file(), self.target()) {
            Err(source) if !sys::is_unsupported(&source) => {
                let (path, bytes) = (stage.path().to_owned(), self.range.len());
                Err(Refusal::CannotReserve { path, bytes, source }.into())
            }
            _ => Ok(()),
        }
    }

    /// With the engines and the manners of a copy.
    fn transfer(
        &self,
        selection: &Selection,
        stage: Option<&Stage>,
        io_size: u64,
    ) -> Result<Arc<Transfer>> {
        let (source, sector): (Arc<dyn Source>, u32) = match self.source {
            Place::Path(path) => {
                let source = OpenSource::open(path)?;
                source.will_read_in_sequence();
                (source.io.clone(), source.sector())
            }
            Place::Nothing => (Arc::new(Zeros { size: self.range.end() }), DEFAULT_SECTOR),
        };
        let sink: Arc<dyn Sink> = match stage {
            Some(stage) => stage.io().clone(),
            None => Arc::new(Null),
        };
        let about = selection.capabilities();
        let made = selection.make(&EngineContext {
            source: &source,
            sink: &sink,
            range: self.range,
            dest_offset: 0,
            sink_len: stage.map_or(self.range.len(), |stage| stage.io().len()),
            is_clone: false,
            io_size,
            capabilities: about,
        })?;
        let (from, to) = (name(self.source, "zero:"), name(self.destination, "null:"));
        let ends = ((source, from), (sink, to));
        let mut transfer = Transfer::new(ends.0, ends.1, self.range, 0, sector, made.engines);
        transfer.page_cache = PageCachePolicy::new(about.cache_state, about.bytes, self.sync);
        Ok(Arc::new(transfer))
    }

    /// What is written, in bytes of the destination.
    fn target(&self) -> ByteRange {
        ByteRange::to(self.range.len())
    }
}

fn name(place: &Place, nothing: &str) -> PathBuf {
    match place {
        Place::Path(path) => path.clone(),
        Place::Nothing => PathBuf::from(nothing),
    }
}

/// The stripes of one transfer and nothing else.
struct Stripes<'a> {
    transfer: Arc<Transfer>,
    cursor: Cursor<'a>,
}

impl Work for Stripes<'_> {
    fn claim(&self) -> Result<Option<Assignment>> {
        let assign =
            |stripe| Assignment { transfer: Arc::clone(&self.transfer), stripe, ticket: 0 };
        Ok(self.cursor.claim().map(assign))
    }
}

fn work_off(
    transfer: &Arc<Transfer>,
    workers: Workers,
    (io_size, kernel_io_size): (u64, u64),
    cancel: &CancelToken,
) -> Result<usize> {
    let range = transfer.range;
    let stripe_size = plan::stripe_size(range.len(), workers.most(), io_size);
    let plan = Plan::new(&range.into(), range.start(), stripe_size);
    let progress = Progress::new();
    let control = Control {
        progress: &progress,
        cancel,
        io_size,
        kernel_io_size,
        retries: 0,
        on_read_error: OnReadError::Stop,
        throttle: None,
    };
    let controller = workers.controller(plan.stripes(), io_size);
    let work = Stripes { transfer: Arc::clone(transfer), cursor: Cursor::new(&plan) };
    let (run, moved) = pool::run(&control, &work, controller);
    moved.map(|()| run.threads)
}
