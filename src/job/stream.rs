//! A copy into a stream: the range in order to a pipe, a socket or a file that
//! is open already. There is nothing to stage, resume or replace.
//!
//! Bytes go through the buffers of the workers and not by splice(2): a pipe
//! takes them at the speed of `cat(1)` or better (`scripts/stream-cost`), for
//! the same work of the processors or less, and what reads the pipe must copy
//! them in any case.

use std::fs::File;
use std::io::{self, IsTerminal};
use std::path::Path;
use std::sync::Arc;

use super::clock::Clock;
use super::ready::{Stripes, check_unchanged};
use super::{CopyJob, Preallocate, Threads, with_report};
use crate::digest::{self, Digester};
use crate::durable::intact::{self, Written};
use crate::durable::previous::Leftovers;
use crate::engine::capabilities::{cache_state, end_of_source};
use crate::engine::{Positioned, Reflink};
use crate::error::{ErrorKind, JobResult, Refusal, Result, Side};
use crate::io::Ordered;
use crate::io::page_cache::CacheState;
use crate::plan::{Cursor, Plan};
use crate::pool::controller::Workers;
use crate::pool::{self, Control, OnReadError, Transfer};
use crate::progress::{CancelToken, Event, Phase, Progress, Watch};
use crate::range::RangeSet;
use crate::report::{DestinationReport, Kind, Report};
use crate::safety::{files_behind, thing};
use crate::size::Size;
use crate::source::OpenSource;
use crate::sparse::Sparse;
use crate::sys::{self, FileKind, Metadata};

/// What stands for a stream in messages and in the report.
const NAME: &str = "-";

impl CopyJob {
    /// Writes the range to `stream`, in order, from where it stands. The
    /// destination of the job is not looked at.
    ///
    /// Several workers read ahead, each at most one request. A range that
    /// cannot be read ends the job: what came after it would otherwise stand
    /// in the wrong place. Everything before it has been written then.
    ///
    /// # Errors
    ///
    /// Whatever stops the job. If whoever reads the stream is gone, an
    /// [`ErrorKind::Write`] of kind [`std::io::ErrorKind::BrokenPipe`].
    pub fn run_into(
        &self,
        stream: &File,
        Watch { progress, cancel }: Watch<'_>,
    ) -> JobResult<Report> {
        let (mut job, file) = self.prepare_stream(stream, progress)?;
        let mut clock = Clock::start();
        let result = self.pour(&mut job, file, &mut clock, Watch { progress, cancel });
        progress.enter(Phase::Finished);
        clock.read(&mut job.report);
        match result {
            Ok(()) => Ok(job.report),
            Err(error) => Err(with_report(error, job.report)),
        }
    }

    /// What [`CopyJob::dry_run`] is to [`CopyJob::run`].
    ///
    /// # Errors
    ///
    /// Whatever would make `run_into` refuse.
    pub fn dry_run_into(&self, stream: &File, progress: &Progress) -> JobResult<Report> {
        let (mut job, _) = self.prepare_stream(stream, progress)?;
        job.report.outcome = crate::Outcome::Complete;
        job.report.notes.push("dry run: nothing was written".to_owned());
        Ok(job.report)
    }

    fn prepare_stream(&self, stream: &File, progress: &Progress) -> Result<(Stream, File)> {
        progress.enter(Phase::Preparing);
        self.check_options_of_stream()?;
        let source = OpenSource::open(&self.source)?;
        source.will_read_in_sequence();
        let (range, clamped) = source.resolve(&self.options.range, self.options.clamp)?;
        let facts = sys::facts(stream).map_err(|source| Refusal::CannotOpen {
            side: Side::Destination,
            path: NAME.into(),
            source,
        })?;
        check_stream(stream, &facts, &source)?;
        let file = sys::own_stream(stream).map_err(|source| Refusal::CannotOpen {
            side: Side::Destination,
            path: NAME.into(),
            source,
        })?;
        let io_size = self.options.request_size(source.sector(), Positioned::IO_SIZE)?;
        let kind = if facts.node == FileKind::File { Kind::File } else { Kind::Stream };
        let destination = DestinationReport { path: NAME.into(), kind };
        let mut report = Report::new(source.report(), destination);
        report.range = range;
        report.clamped = clamped;
        report.notes.extend(source.note());
        report.bytes.requested = range.len();
        report.engine = "positioned";
        report.engine_reason = "a stream is written in order".to_owned();
        let cache_state = cache_state(&source, range);
        let workers = self.workers_of_stream(&source, cache_state).bounded(io_size);
        report.threads = workers.most();
        report.notes.extend(self.options.threads.note_fewer(workers, io_size));
        report.stripe_size = io_size;
        report.io_size = io_size;
        progress.expect(range.len(), 0);
        progress.event(Event::Planned {
            destination: "a stream".to_owned(),
            engine: report.engine,
            reason: report.engine_reason.clone(),
        });
        let plan = Plan::new(&range.into(), range.start(), io_size);
        let standing =
            match facts.node {
                FileKind::File => Some(Standing::of(&file).map_err(|source| {
                    Refusal::CannotOpen { side: Side::Destination, path: NAME.into(), source }
                })?),
                _ => None,
            };
        Ok((Stream { source, plan, workers, cache_state, report, standing }, file))
    }

    fn workers_of_stream(&self, source: &OpenSource, cache_state: CacheState) -> Workers {
        match self.options.threads.choose([end_of_source(source).rotational], cache_state) {
            Workers::UpTo(most) if cache_state == CacheState::Warm => {
                // Nobody waits for a device, and whoever reads the stream needs a processor.
                Workers::UpTo((most - 1).max(1))
            }
            // One reads ahead while the other writes, without moving heads to and fro.
            Workers::Exactly(_) if self.options.threads == Threads::Auto => Workers::Exactly(2),
            workers => workers,
        }
    }

    fn check_options_of_stream(&self) -> Result<()> {
        let senseless = [
            ("--force", self.options.force),
            ("--in-place", self.options.in_place),
            ("--to-device", self.options.to_device),
            ("--resume and --restart", self.options.leftovers != Leftovers::Refuse),
            ("--map", self.options.map.is_some()),
            ("--preserve", self.options.preserve),
            ("--also", !self.also.is_empty()),
            ("--verify", self.options.verify || self.options.repair),
            ("--dest-offset", self.options.dest_offset != Size::Bytes(0)),
            ("an engine but positioned", !self.options.engine.may_be("positioned")),
            ("--reflink always", self.options.reflink == Reflink::Always),
            ("--sparse always", self.options.sparse == Sparse::Always),
            ("--preallocate full", self.options.preallocate == Preallocate::Full),
        ];
        match senseless.iter().find(|(_, given)| *given) {
            Some((option, _)) => {
                Err(ErrorKind::Usage(format!("{option} has no meaning for a stream")).into())
            }
            None => Ok(()),
        }
    }

    /// Moves the bytes, and waits for the disk if the stream leads to a file.
    fn pour(
        &self,
        job: &mut Stream,
        file: File,
        clock: &mut Clock,
        Watch { progress, cancel }: Watch<'_>,
    ) -> Result<()> {
        let transfer = Arc::new(self.transfer_of_stream(job, file, cancel));
        progress.enter(Phase::Copying);
        let poured = self.pour_stripes(job, &transfer, Watch { progress, cancel });
        clock.copied();
        job.report.bytes.copied = progress.snapshot().copied;
        poured?;
        let changed = check_unchanged(&job.source, self.options.allow_changed_source)?;
        job.report.notes.extend(changed);
        job.report.digests = transfer.observers().take_digests().unwrap_or_default();
        if self.options.sync && job.standing.is_some() {
            progress.enter(Phase::Syncing);
            let path = NAME.into();
            transfer.sink.sync_data().map_err(|source| ErrorKind::Sync { path, source })?;
            job.report.durable = true;
        }
        transfer.page_cache.finish_reading(&*transfer.source);
        clock.synced();
        job.check_intact(cancel)?;
        digest::check(&job.report.digests, &self.options.expected)?;
        job.report.outcome = crate::Outcome::Complete;
        Ok(())
    }

    fn pour_stripes(
        &self,
        job: &mut Stream,
        transfer: &Arc<Transfer>,
        Watch { progress, cancel }: Watch<'_>,
    ) -> Result<()> {
        let control = self.options.control(job.report.io_size, Watch { progress, cancel });
        // Workers end a stream at the first gap, after what comes before it.
        let control = Control { on_read_error: OnReadError::Record, ..control };
        let controller = job.workers.controller(job.plan.stripes(), job.report.io_size);
        let work = Stripes { transfer: Arc::clone(transfer), cursor: Cursor::new(&job.plan) };
        let (run, poured) = pool::run(&control, &work, controller);
        job.report.threads = run.threads;
        job.report.notes.extend(run.decisions);
        poured
    }

    fn transfer_of_stream(&self, job: &Stream, file: File, cancel: &CancelToken) -> Transfer {
        // One piece is being written; with those in the hands of the workers,
        // that makes two for each.
        let room = job.workers.most() - 1;
        let mut transfer = Transfer::new(
            (job.source.io.clone(), job.source.path.clone()),
            (Arc::new(Ordered::new(file, room, cancel)), NAME.into()),
            job.report.range,
            0,
            job.source.sector(),
            vec![Box::new(Positioned)],
        );
        transfer.page_cache =
            self.options.page_cache(job.cache_state, job.report.range.len(), false);
        match self.options.wanted_digests().as_slice() {
            [] => transfer,
            wanted => {
                let digester = Digester::new(wanted, job.report.range);
                transfer.observed(pool::Observers::none().digests(digester))
            }
        }
    }
}

/// A stream that has passed every check.
struct Stream {
    source: OpenSource,
    plan: Plan,
    workers: Workers,
    /// How much of the source is in the page cache.
    cache_state: CacheState,
    report: Report,
    /// The file that the stream leads to, which a disk holds.
    standing: Option<Standing>,
}

/// A file that a stream leads to, and where its first byte goes.
struct Standing {
    file: File,
    at: u64,
}

impl Standing {
    fn of(file: &File) -> io::Result<Standing> {
        Ok(Standing { file: file.try_clone()?, at: sys::place_in_stream(file)? })
    }
}

impl Stream {
    /// Makes sure that nobody has made the file shorter that the stream leads
    /// to, and that the system has kept no error for the close.
    fn check_intact(&self, cancel: &CancelToken) -> Result<()> {
        let Some(Standing { file, at }) = &self.standing else { return Ok(()) };
        let (path, range) = (Path::new(NAME), self.report.range);
        let holes = RangeSet::new();
        let written = Written { source: &*self.source.io, range, to: *at, holes, made: 0 };
        let lost = written.lost_unread(file, path, cancel)?;
        let path = path.to_owned();
        if let Some(first) = lost.iter().next() {
            return Err(intact::lacks(path, first).into());
        }
        let closed = sys::flush_by_close(file);
        closed.map_err(|source| ErrorKind::Sync { path, source }.into())
    }
}

/// Refuses what nobody wants to have bytes poured into.
fn check_stream(stream: &File, facts: &Metadata, source: &OpenSource) -> Result<(), Refusal> {
    let not = |what, hint| {
        let path = NAME.into();
        Err(Refusal::NotCopyable { side: Side::Destination, path, what, hint })
    };
    if stream.is_terminal() {
        return not("a terminal", "redirect it into a file or a pipe");
    }
    match facts.node {
        FileKind::BlockDevice => not("a block device", "name it as DEST, with --to-device"),
        FileKind::Directory => not("a directory", "name a file in it"),
        FileKind::File
            if facts.same_thing(&source.facts)
                || files_behind(&source.facts, &source.path).any(|file| file == thing(facts)) =>
        {
            Err(Refusal::SameFile {
                source_path: source.path.clone(),
                path: Path::new(NAME).to_owned(),
                what: "file",
            })
        }
        _ => Ok(()),
    }
}
