//! What can be asked of a copy: the builder, and the choices that follow from
//! the options alone.

use std::path::PathBuf;
use std::time::Duration;

use crate::digest::{Algorithm, Expectation, ordered};
use crate::durable::checkpoint::CHECKPOINT_EVERY;
use crate::durable::previous::Leftovers;
use crate::durable::target::{Consent, LONGEST_MOMENT, wait_until_free};
use crate::durable::trust::Trust;
use crate::engine::{EngineChoice, Reflink};
use crate::error::{ErrorKind, Result};
use crate::plan;
use crate::pool::{KERNEL_IO_SIZE, OnReadError, RETRIES, Threads, check_request};
use crate::progress::{CancelToken, Progress};
use crate::range::RangeSpec;
use crate::size::Size;
use crate::sparse::{Preallocate, Sparse};

/// Largest request accepted. One Linux system call moves less than 2 GiB.
pub const LARGEST_IO_SIZE: u64 = 1 << 30;

/// A copy of one byte range: what, whereto, and how.
///
/// ```
/// use pcopy::{CancelToken, CopyJob, Progress};
///
/// let folder = tempfile::tempdir()?;
/// let (image, file) = (folder.path().join("disk.img"), folder.path().join("file"));
/// std::fs::write(&image, b"....the bytes in the middle....")?;
///
/// let report = CopyJob::new(&image, &file)
///     .range("4+23".parse()?)
///     .threads(4)
///     .run(&Progress::new(), &CancelToken::new())?;
///
/// assert!(report.is_complete());
/// assert_eq!(std::fs::read(&file)?, b"the bytes in the middle");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "a job copies nothing before it is run"]
pub struct CopyJob {
    pub(super) source: PathBuf,
    pub(super) destination: PathBuf,
    pub(super) range: RangeSpec,
    pub(super) clamp: bool,
    pub(super) dest_offset: Size,
    pub(super) consent: Consent,
    pub(super) allow_same_device: bool,
    wait: Duration,
    pub(super) threads: Threads,
    stripe_size: Option<Size>,
    io_size: Option<Size>,
    pub(super) sync: bool,
    pub(super) on_read_error: OnReadError,
    pub(super) retries: u32,
    pub(super) limit_rate: Option<u64>,
    pub(super) engine: EngineChoice,
    pub(super) reflink: Reflink,
    pub(super) sparse: Sparse,
    pub(super) preallocate: Preallocate,
    pub(super) keep_cache: bool,
    pub(super) leftovers: Leftovers,
    pub(super) trust: Trust,
    pub(super) map: Option<PathBuf>,
    pub(super) checkpoint_every: Duration,
    pub(super) allow_changed_source: bool,
    digests: Vec<Algorithm>,
    pub(super) expected: Vec<Expectation>,
    pub(super) verify: bool,
    pub(super) repair: bool,
    pub(super) also: Vec<PathBuf>,
    pub(super) preserve: bool,
}

impl CopyJob {
    /// Copies all of `source` to `destination`: a file that does not exist
    /// yet, or a directory to put it in under its own name.
    pub fn new(source: impl Into<PathBuf>, destination: impl Into<PathBuf>) -> CopyJob {
        CopyJob {
            source: source.into(),
            destination: destination.into(),
            range: RangeSpec::default(),
            clamp: false,
            dest_offset: Size::Bytes(0),
            consent: Consent::default(),
            allow_same_device: false,
            wait: LONGEST_MOMENT,
            threads: Threads::Auto,
            stripe_size: None,
            io_size: None,
            sync: true,
            on_read_error: OnReadError::Record,
            retries: RETRIES,
            limit_rate: None,
            engine: EngineChoice::Auto,
            reflink: Reflink::Auto,
            sparse: Sparse::Auto,
            preallocate: Preallocate::Auto,
            keep_cache: false,
            leftovers: Leftovers::Refuse,
            trust: Trust::Own,
            map: None,
            checkpoint_every: CHECKPOINT_EVERY,
            allow_changed_source: false,
            digests: Vec::new(),
            expected: Vec::new(),
            verify: false,
            repair: false,
            also: Vec::new(),
            preserve: false,
        }
    }

    /// What of the source is copied. Default: all of it.
    pub fn range(mut self, range: RangeSpec) -> CopyJob {
        self.range = range;
        self
    }

    /// Copies what exists of a range that reaches beyond the end of the
    /// source, instead of refusing it. Default: refuse.
    pub fn clamp(mut self, clamp: bool) -> CopyJob {
        self.clamp = clamp;
        self
    }

    /// Where the first byte goes in the destination. Default: 0.
    pub fn dest_offset(mut self, offset: Size) -> CopyJob {
        self.dest_offset = offset;
        self
    }

    /// Replaces an existing destination, atomically. Default: refuse.
    pub fn force(mut self, force: bool) -> CopyJob {
        self.consent.force = force;
        self
    }

    /// Writes into an existing destination, touching no byte outside the
    /// range and truncating nothing. Default: off.
    pub fn in_place(mut self, in_place: bool) -> CopyJob {
        self.consent.in_place = in_place;
        self
    }

    /// Consents to writing to a block device. Default: refuse.
    pub fn to_device(mut self, to_device: bool) -> CopyJob {
        self.consent.to_device = to_device;
        self
    }

    /// How long to wait for a device that somebody holds for a moment, as
    /// whoever looks at what is on it does. Default: [`LONGEST_MOMENT`].
    pub fn wait(mut self, time: Duration) -> CopyJob {
        self.wait = time;
        self
    }

    /// Waits until nobody holds the devices that will be written for a moment.
    pub(super) fn wait_for_devices(&self, progress: &Progress, cancel: &CancelToken) -> Result<()> {
        if !self.consent.to_device {
            return Ok(());
        }
        let mut paths = std::iter::once(&self.destination).chain(&self.also);
        paths.try_for_each(|path| wait_until_free(path, self.wait, progress, cancel))
    }

    /// Writes to a file or device that somebody else uses, as a mounted image is,
    /// or has locked. Default: refuse.
    pub fn even_if_in_use(mut self, even_if: bool) -> CopyJob {
        self.consent.even_if_in_use = even_if;
        self
    }

    /// Accepts a destination on the device that is being read. Default: refuse.
    pub fn allow_same_device(mut self, allow: bool) -> CopyJob {
        self.allow_same_device = allow;
        self
    }

    /// How many workers: a number, or [`Threads::Auto`]. Default: as many as the storage rewards.
    pub fn threads(mut self, threads: impl Into<Threads>) -> CopyJob {
        self.threads = threads.into();
        self
    }

    /// Unit of scheduling, a power of two. Default: chosen from the size of the job.
    pub fn stripe_size(mut self, size: Size) -> CopyJob {
        self.stripe_size = Some(size);
        self
    }

    /// Largest single request, a power of two of at least 512 bytes. Default: chosen.
    pub fn io_size(mut self, size: Size) -> CopyJob {
        self.io_size = Some(size);
        self
    }

    /// Whether to wait for the disk before reporting success. Default: yes.
    pub fn sync(mut self, sync: bool) -> CopyJob {
        self.sync = sync;
        self
    }

    /// What to do with ranges that cannot be read. Default: record them and go on.
    pub fn on_read_error(mut self, policy: OnReadError) -> CopyJob {
        self.on_read_error = policy;
        self
    }

    /// How often a failed request is repeated before it is split. Default: [`RETRIES`].
    pub fn retries(mut self, retries: u32) -> CopyJob {
        self.retries = retries;
        self
    }

    /// Most bytes a second, over all workers. Default: no limit.
    pub fn limit_rate(mut self, bytes_per_second: u64) -> CopyJob {
        self.limit_rate = Some(bytes_per_second);
        self
    }

    /// What to do with what an interrupted run left. Default: refuse to start.
    pub fn leftovers(mut self, leftovers: Leftovers) -> CopyJob {
        self.leftovers = leftovers;
        self
    }

    /// Whose leftovers are resumed or discarded. With [`Trust::Anybody`] also
    /// those that another user has made or could have written: what that user
    /// wrote comes into the copy, and the report says so. Default:
    /// [`Trust::Own`], the others are a refusal.
    pub fn trust(mut self, trust: Trust) -> CopyJob {
        self.trust = trust;
        self
    }

    /// Where the resume map lives. Default: the destination's name with
    /// `.pcopy-map`; for a device, in the working directory.
    pub fn map(mut self, path: impl Into<PathBuf>) -> CopyJob {
        self.map = Some(path.into());
        self
    }

    /// Time between checkpoints: what a crash costs at most. Default:
    /// [`CHECKPOINT_EVERY`].
    pub fn checkpoint_every(mut self, time: Duration) -> CopyJob {
        self.checkpoint_every = time;
        self
    }

    /// Commits although the source changed during the copy, or since an earlier
    /// run that is resumed. Default: fail.
    pub fn allow_changed_source(mut self, allow: bool) -> CopyJob {
        self.allow_changed_source = allow;
        self
    }

    /// Computes a digest of the range while it is copied. May be called for
    /// several. Default: none.
    pub fn digest(mut self, algorithm: Algorithm) -> CopyJob {
        self.digests.push(algorithm);
        self
    }

    /// Fails, with nothing committed, if the range does not have this digest
    /// or if parts of it cannot be read. May be called for several. Default:
    /// whatever there is.
    ///
    /// What was copied stays as a part with a map, as after any other failure:
    /// it is what the source holds, and a job that resumes without the
    /// expectation commits it without copying again.
    pub fn expect(mut self, digest: Expectation) -> CopyJob {
        self.expected.push(digest);
        self
    }

    /// Reads the destination back, past the page cache, once it is on the disk,
    /// and fails with nothing committed if it is not what was read from the
    /// source. Default: no.
    ///
    /// Compared is with fingerprints taken while the bytes were copied; of what
    /// an earlier run or the kernel has copied there are none, and the source
    /// is read again. What differs counts as not copied to a job that resumes.
    pub fn verify(mut self, verify: bool) -> CopyJob {
        self.verify = verify;
        self
    }

    /// Copies stripes that do not pass [`verify`](CopyJob::verify) once more,
    /// and verifies them again. Default: no.
    pub fn repair(mut self, repair: bool) -> CopyJob {
        self.repair = repair;
        self
    }

    /// A further destination, written from the same read. May be called for
    /// several. Default: none.
    ///
    /// Each destination is staged, verified and committed on its own, and one
    /// that fails, or has no room from the beginning, does not stop the
    /// others: the job then ends in the first such error, with all others
    /// complete. A job with several destinations leaves nothing to resume: what
    /// is not committed is removed.
    pub fn also(mut self, destination: impl Into<PathBuf>) -> CopyJob {
        self.also.push(destination.into());
        self
    }

    /// Carries over owner, extended attributes, mode and times of a whole file.
    /// What cannot be carried over is a note in the report. Default: no.
    pub fn preserve(mut self, preserve: bool) -> CopyJob {
        self.preserve = preserve;
        self
    }

    /// Every digest that must be computed, each once.
    pub(super) fn wanted_digests(&self) -> Vec<Algorithm> {
        let expected = self.expected.iter().map(Expectation::algorithm);
        let mut wanted: Vec<_> = self.digests.iter().copied().chain(expected).collect();
        wanted.sort_unstable();
        wanted.dedup();
        wanted
    }

    /// How bytes move. A named engine that cannot serve is a refusal. Default:
    /// the engine that suits best.
    pub fn engine(mut self, engine: EngineChoice) -> CopyJob {
        self.engine = engine;
        self
    }

    /// Whether extents are shared with the source. Default: where the file
    /// system can.
    pub fn reflink(mut self, reflink: Reflink) -> CopyJob {
        self.reflink = reflink;
        self
    }

    /// What becomes of holes and zeros. Default: holes stay holes.
    pub fn sparse(mut self, sparse: Sparse) -> CopyJob {
        self.sparse = sparse;
        self
    }

    /// Whether storage is reserved before it is written. Default: where that
    /// makes writing faster.
    pub fn preallocate(mut self, preallocate: Preallocate) -> CopyJob {
        self.preallocate = preallocate;
        self
    }

    /// Leaves everything that was read and written in the page cache, where a
    /// large copy pushes out what other programs have there. Default: off.
    pub fn keep_cache(mut self, keep: bool) -> CopyJob {
        self.keep_cache = keep;
        self
    }

    /// Longest request that moves no bytes through memory, where those that do
    /// have up to `io_size` bytes: no longer, if the user asked for that.
    pub(super) fn kernel_io_size(&self, io_size: u64) -> u64 {
        if self.io_size.is_some() { io_size } else { io_size.max(KERNEL_IO_SIZE) }
    }

    /// The request size asked for, or `best`.
    pub(super) fn request_size(&self, sector: u32, best: u64) -> Result<u64> {
        let Some(size) = self.io_size else { return Ok(best) };
        let bytes = power_of_two("--io-size", size, sector, LARGEST_IO_SIZE)?;
        self.sparse.check_grain("--io-size", bytes)?;
        check_request(bytes)?;
        Ok(bytes)
    }

    pub(super) fn scheduling_size(
        &self,
        sector: u32,
        bytes: u64,
        threads: usize,
        io_size: u64,
    ) -> Result<u64> {
        match self.stripe_size {
            Some(size) => {
                let bytes = power_of_two("--stripe-size", size, sector, 1 << 40)?;
                self.sparse.check_grain("--stripe-size", bytes)?;
                Ok(bytes)
            }
            // Whoever waits for the turn of its stripe holds one request, not many.
            None if ordered(&self.wanted_digests()) => Ok(io_size),
            None => Ok(plan::stripe_size(bytes, threads, io_size)),
        }
    }
}

/// Sizes that offsets are masked with.
pub(crate) fn power_of_two(option: &str, size: Size, sector: u32, most: u64) -> Result<u64> {
    let usage = |problem: &str| ErrorKind::Usage(format!("{option} {problem}"));
    let bytes = size.bytes(sector).map_err(|error| usage(&error.to_string()))?;
    if !bytes.is_power_of_two() || bytes < 512 || bytes > most {
        let range = format!("must be a power of two from 512 to {most} bytes, not {bytes}");
        return Err(usage(&range).into());
    }
    Ok(bytes)
}
