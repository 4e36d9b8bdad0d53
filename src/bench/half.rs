//! A copy with one end missing: reading into nothing, writing out of nothing.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Null, Place, Setting, Zeros};
use crate::crew::controller::Workers;
use crate::crew::{self, Assignment, Control, OnReadError, Transfer, Work};
use crate::durable::leftover::Start;
use crate::durable::stage::{Blank, Stage};
use crate::durable::target::{Consent, Target};
use crate::engine::capabilities::{End, end_of_source, end_of_target};
use crate::engine::{self, Capabilities, Reflink, Site};
use crate::error::{ErrorKind, Result};
use crate::io::{Sink, Source};
use crate::job::Threads;
use crate::plan::{self, Cursor, Plan};
use crate::progress::{CancelToken, Progress};
use crate::range::ByteRange;
use crate::source::{DEFAULT_SECTOR, OpenSource};

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
        let source = match self.source {
            Place::Path(path) => end_of_source(&OpenSource::open(path)?),
            Place::Nothing => End::default(),
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
            bytes: self.range.len(),
            fresh,
            sync: self.sync,
            reflink: Reflink::Never,
            ..Capabilities::default()
        })
    }

    /// Moves the bytes and says how many workers it took.
    pub fn run(&self, setting: &Setting, cancel: &CancelToken) -> Result<usize> {
        let choice = setting.engine.parse().map_err(ErrorKind::Usage)?;
        let selection = engine::select(choice, self.capabilities()?)?;
        let io_size = setting.io_size.unwrap_or(selection.io_size());
        let (source, sector): (Arc<dyn Source>, u32) = match self.source {
            Place::Path(path) => {
                let source = OpenSource::open(path)?;
                (source.io.clone(), source.sector())
            }
            Place::Nothing => (Arc::new(Zeros { size: self.range.end() }), DEFAULT_SECTOR),
        };
        let stage = match self.destination {
            Place::Path(path) => {
                let target = Target::look(path, Path::new(NAME), self.consent)?;
                Some(Stage::begin(target, Blank::up_to(self.range.len()), Start::Fresh)?)
            }
            Place::Nothing => None,
        };
        let sink: Arc<dyn Sink> = match &stage {
            Some(stage) => stage.io().clone(),
            None => Arc::new(Null),
        };
        let made = selection.make(&Site {
            source: &source,
            sink: &sink,
            range: self.range,
            dest_offset: 0,
            sink_len: stage.as_ref().map_or(self.range.len(), |stage| stage.io().len()),
            is_clone: false,
            io_size,
            capabilities: selection.capabilities(),
        })?;
        let (from, to) = (name(self.source, "zero:"), name(self.destination, "null:"));
        let ends = ((source, from), (sink, to));
        let transfer = Transfer::new(ends.0, ends.1, self.range, 0, sector, made.engines);
        let threads = work_off(transfer, setting.threads, io_size, cancel)?;
        if let Some(stage) = stage {
            stage.finish(self.sync)?;
        }
        Ok(threads)
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
    transfer: Transfer,
    threads: Threads,
    io_size: u64,
    cancel: &CancelToken,
) -> Result<usize> {
    let workers = match threads {
        Threads::Auto => Workers::auto().bounded(io_size),
        Threads::Exactly(threads) => Workers::Exactly(threads),
    };
    let range = transfer.range;
    let stripe_size = plan::stripe_size(range.len(), workers.most(), io_size);
    let plan = Plan::new(&range.into(), range.start(), stripe_size);
    let progress = Progress::new();
    let control = Control {
        progress: &progress,
        cancel,
        io_size,
        retries: 0,
        on_read_error: OnReadError::Stop,
        throttle: None,
    };
    let controller = workers.controller(plan.stripes(), io_size);
    let work = Stripes { transfer: Arc::new(transfer), cursor: Cursor::new(&plan) };
    Ok(crew::run(&control, &work, controller)?.threads)
}
