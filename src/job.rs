//! The builder of a copy: what is copied whereto, and the options of it.

#[cfg(all(test, pcopy_model))]
#[path = "job/tests/schedules.rs"]
mod schedules;
mod verify;

use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::copy::{self, Request};
use crate::endpoint::device::wait_until_free;
use crate::endpoint::memory::MemoryDestination;
use crate::endpoint::stream::StreamDestination;
use crate::endpoint::{self, Destination, From, Origin};
use crate::error::{Error, ErrorKind, JobResult, Result};
use crate::io::SharedBuffer;
use crate::options::{Options, setters};
use crate::progress::{CancelToken, Progress, Watch, lock};
use crate::range::ByteRange;
use crate::report::Report;
use crate::sync::Mutex;

pub use verify::VerifyJob;

/// A copy of one byte range: what, whereto, and how.
///
/// ```
/// use pcopy::CopyJob;
///
/// let folder = tempfile::tempdir()?;
/// let (image, file) = (folder.path().join("disk.img"), folder.path().join("file"));
/// std::fs::write(&image, b"....the bytes in the middle....")?;
///
/// let report = CopyJob::new(&image, &file)
///     .range(4..27)
///     .threads(4)
///     .run()?;
///
/// assert!(report.is_complete());
/// assert_eq!(std::fs::read(&file)?, b"the bytes in the middle");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "a job copies nothing before it is run"]
pub struct CopyJob {
    from: From,
    to: To,
    also: Vec<PathBuf>,
    options: Options,
    /// The range of which this copies a part.
    part_of: Option<ByteRange>,
}

/// What is written.
#[derive(Clone)]
enum To {
    Path(PathBuf),
    /// Until it is written.
    Destination(Arc<Mutex<Option<Box<dyn Destination>>>>),
}

impl fmt::Debug for To {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            To::Path(path) => path.fmt(f),
            To::Destination(one) => match &*lock(one) {
                Some(destination) => destination.path().fmt(f),
                None => f.write_str("a destination that was written"),
            },
        }
    }
}

impl CopyJob {
    /// Copies all of `source` to `destination`: a file that does not exist
    /// yet, or a directory to put it in under its own name.
    pub fn new(source: impl Into<PathBuf>, destination: impl Into<PathBuf>) -> CopyJob {
        CopyJob {
            from: From::Path(source.into()),
            to: To::Path(destination.into()),
            also: Vec::new(),
            options: Options::default(),
            part_of: None,
        }
    }

    /// Copies between ends of any kind, with everything that files get: workers,
    /// retries, digests, verification, a report. Such a job runs once.
    ///
    /// # Examples
    ///
    /// `examples/` in the repository has one that decrypts on the way, and one
    /// that reads from something slow.
    pub fn between(
        origin: impl Origin + 'static,
        destination: impl Destination + 'static,
    ) -> CopyJob {
        CopyJob {
            from: From::Origin(Arc::new(origin)),
            to: To::Destination(Arc::new(Mutex::new(Some(Box::new(destination))))),
            also: Vec::new(),
            options: Options::default(),
            part_of: None,
        }
    }

    /// One of several copies that together copy `whole`: its digests are parts of
    /// those of the whole, as [`digest::fold`](crate::digest::fold) takes them.
    pub(crate) fn part(
        origin: Arc<dyn Origin>,
        destination: Box<dyn Destination>,
        whole: ByteRange,
    ) -> CopyJob {
        let to = To::Destination(Arc::new(Mutex::new(Some(destination))));
        let job = CopyJob::new(PathBuf::new(), PathBuf::new());
        CopyJob { from: From::Origin(origin), to, part_of: Some(whole), ..job }
    }

    /// The same from an end of any kind into a file or device.
    pub fn from_origin(origin: impl Origin + 'static, destination: impl Into<PathBuf>) -> CopyJob {
        let from = From::Origin(Arc::new(origin));
        CopyJob { from, ..CopyJob::new(PathBuf::new(), destination) }
    }

    /// Copies what an open `stream` gives, such as standard input, from where it
    /// stands: a pipe or a socket once and in order, to its end; a file or device as
    /// if it had been named. [`Pipe::reader`](endpoint::pipe::Pipe::reader) does the
    /// same with anything that implements [`std::io::Read`].
    pub fn from_stream(stream: File, destination: impl Into<PathBuf>) -> CopyJob {
        let from = From::Stream(Arc::new(stream));
        CopyJob { from, ..CopyJob::new(PathBuf::new(), destination) }
    }

    /// The same from a file or device to an end of any kind. Such a job runs once.
    pub fn to_destination(
        source: impl Into<PathBuf>,
        destination: impl Destination + 'static,
    ) -> CopyJob {
        let to = To::Destination(Arc::new(Mutex::new(Some(Box::new(destination)))));
        CopyJob { to, ..CopyJob::new(source, PathBuf::new()) }
    }

    /// A further destination, written from the same read. May be called for
    /// several. Default: none.
    ///
    /// Each destination is staged, verified and committed on its own, and one
    /// that fails, or has no room from the beginning, does not stop the
    /// others: the job then ends in the first such error, with all others
    /// complete. What failed by itself is removed; a job that ends early leaves
    /// every other part with a map of its own to resume from.
    pub fn also(mut self, destination: impl Into<PathBuf>) -> CopyJob {
        self.also.push(destination.into());
        self
    }

    setters!(all);
    setters!(range);
    setters!(copying);
    setters!(placing);

    /// Copies. Returns when the destination is complete, visible and durable,
    /// or complete but for source ranges that could not be read.
    ///
    /// # Errors
    ///
    /// Everything else, as a [`Failure`](crate::Failure) that carries the report of what was
    /// done where the job got far enough to have one.
    pub fn run(&self) -> JobResult<Report> {
        self.run_watched(Watch::new(&Progress::new(), &CancelToken::new()))
    }

    /// As [`CopyJob::run`]; `watch` sees how far it is, and can stop it.
    ///
    /// # Errors
    ///
    /// As of [`CopyJob::run`], and [`ErrorKind::Cancelled`].
    pub fn run_watched(&self, watch: Watch<'_>) -> JobResult<Report> {
        self.wait_for_devices(watch)?;
        copy::run(self.request(watch.cancel)?, watch)
    }

    /// Does everything that `run` does before the first byte, and nothing
    /// else: the report says what would be done. A destination of your own is used
    /// up by it.
    ///
    /// # Errors
    ///
    /// Whatever would make `run` refuse.
    pub fn dry_run(&self, progress: &Progress) -> JobResult<Report> {
        self.dry_run_watched(Watch::new(progress, &CancelToken::new()))
    }

    /// As [`CopyJob::dry_run`], which takes its time where only what differs would
    /// be written: both sides are read. `watch` sees how far it is, and can stop it.
    ///
    /// # Errors
    ///
    /// As of [`CopyJob::dry_run`], and [`ErrorKind::Cancelled`].
    pub fn dry_run_watched(&self, watch: Watch<'_>) -> JobResult<Report> {
        copy::dry_run(self.request(watch.cancel)?, watch)
    }

    /// Writes the range to `stream`, in order, from where it stands. The
    /// destination of the job is not looked at.
    ///
    /// Several workers read ahead, each at most one request. A range that
    /// cannot be read ends the job: what came after it would otherwise stand
    /// in the wrong place. Everything before it has been written then.
    ///
    /// # Errors
    ///
    /// Whatever stops the job. If nothing reads the stream any more, an
    /// [`ErrorKind::Write`] of kind [`std::io::ErrorKind::BrokenPipe`].
    pub fn run_into(&self, stream: &File, watch: Watch<'_>) -> JobResult<Report> {
        copy::run(self.request_into(stream, watch.cancel)?, watch)
    }

    /// What [`CopyJob::dry_run`] is to [`CopyJob::run`].
    ///
    /// # Errors
    ///
    /// Whatever would make `run_into` refuse.
    pub fn dry_run_into(&self, stream: &File, progress: &Progress) -> JobResult<Report> {
        let cancel = CancelToken::new();
        copy::dry_run(self.request_into(stream, &cancel)?, Watch::new(progress, &cancel))
    }

    /// Reads the range into `memory`, from its first byte on, straight from the
    /// source where the engine allows that. The destination of the job is not
    /// looked at. What cannot be read is listed in the report; its place in the
    /// memory is undefined.
    ///
    /// # Errors
    ///
    /// Whatever stops the job; a [`Refusal`](crate::Refusal) if the range is longer
    /// than the memory.
    ///
    /// ```
    /// use pcopy::{CancelToken, CopyJob, Progress, Watch};
    ///
    /// let folder = tempfile::tempdir()?;
    /// let image = folder.path().join("disk.img");
    /// std::fs::write(&image, b"....the bytes in the middle....")?;
    ///
    /// let mut memory = [0; 23];
    /// let (progress, cancel) = (Progress::new(), CancelToken::new());
    /// let job = CopyJob::new(&image, "").range(4..27).threads(4);
    /// job.run_into_memory(&mut memory, Watch::new(&progress, &cancel))?;
    ///
    /// assert_eq!(&memory, b"the bytes in the middle");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn run_into_memory(&self, memory: &mut [u8], watch: Watch<'_>) -> JobResult<Report> {
        if !self.also.is_empty() {
            let error: Error = ErrorKind::usage_of(&["also"], "has no meaning for memory").into();
            return Err(error.into());
        }
        let (origin, options) = (self.origin(watch.cancel)?, &self.options);
        SharedBuffer::lend_to(memory, |memory| {
            let destination: Box<dyn Destination> = Box::new(MemoryDestination::new(memory));
            let destinations = vec![destination];
            let request = Request { origin, destinations, options, part_of: None };
            copy::run(request, watch)
        })
    }

    /// Both ends, open.
    fn request(&self, cancel: &CancelToken) -> Result<Request<'_>> {
        self.options.check()?;
        let origin = self.origin(cancel)?;
        let name = origin.file_name();
        let mut destinations = Vec::new();
        for path in &self.also {
            let whole = endpoint::whole_destination(path, name.as_deref(), &self.options)?;
            destinations.push(whole);
        }
        // Last: one of a caller's own is used up by it.
        let first = match &self.to {
            To::Path(path) => endpoint::destination(path, name.as_deref(), &self.options)?,
            To::Destination(_) if self.options.split.is_some() => {
                let problem = "is for files, and not for a destination of another kind";
                return Err(ErrorKind::usage_of(&["split"], problem).into());
            }
            To::Destination(one) => lock(one).take().ok_or_else(|| {
                let problem = "the destination of this job was used already".to_owned();
                ErrorKind::usage(problem)
            })?,
        };
        destinations.insert(0, first);
        Ok(Request { origin, destinations, options: &self.options, part_of: self.part_of })
    }

    fn request_into(&self, stream: &File, cancel: &CancelToken) -> Result<Request<'_>> {
        if !self.also.is_empty() {
            return Err(ErrorKind::usage_of(&["also"], "has no meaning for a stream").into());
        }
        let destination: Box<dyn Destination> = Box::new(StreamDestination::new(stream)?);
        let (origin, options) = (self.origin(cancel)?, &self.options);
        Ok(Request { origin, destinations: vec![destination], options, part_of: None })
    }

    fn origin(&self, cancel: &CancelToken) -> Result<Arc<dyn Origin>> {
        self.from.open(&self.options, cancel)
    }

    /// Waits until no program holds the devices that will be written for a moment.
    fn wait_for_devices(&self, watch: Watch<'_>) -> Result<()> {
        if !self.options.to_device {
            return Ok(());
        }
        let first: Option<&Path> = match &self.to {
            To::Path(path) => Some(path),
            To::Destination(_) => None,
        };
        let mut paths = first.into_iter().chain(self.also.iter().map(PathBuf::as_path));
        paths.try_for_each(|path| wait_until_free(path, self.options.wait, watch))
    }
}
