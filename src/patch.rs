//! A patch: some bytes in the middle of a file or device of any size, in place.
//!
//! It is a copy from memory, with all that a copy refuses and syncs. Beside that it
//! may look at the bytes that are there, to refuse if they are not the expected ones
//! or to hand them out before the first byte is written, so that the patch can be
//! undone. It must not know how a copy is made.

mod guarded;

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::endpoint::bytes::{self, Bytes};
use crate::endpoint::device::wait_until_free;
use crate::endpoint::{self, Destination};
use crate::error::{Error, ErrorKind, JobResult, Refusal, Result, Side, quoted};
use crate::job::CopyJob;
use crate::options::Options;
use crate::progress::{CancelToken, Progress, Watch};
use crate::range::ByteRange;
use crate::report::Report;
use crate::size::Size;
use crate::source::DEFAULT_SECTOR;
use crate::sys::{self, FileKind};
use guarded::{Guarded, Wish};

/// Writes `data` at `offset` of the file at `path`, which is not made longer, and
/// waits until that is on the disk. [`PatchJob`] has more to choose.
///
/// ```
/// let folder = tempfile::tempdir()?;
/// let file = folder.path().join("big.data");
/// std::fs::write(&file, b"the muddle of it")?;
///
/// pcopy::patch(&file, 5, "i")?;
/// assert_eq!(std::fs::read(&file)?, b"the middle of it");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// As of [`PatchJob::run`].
pub fn patch(
    path: impl Into<PathBuf>,
    offset: impl Into<Size>,
    data: impl Into<Vec<u8>>,
) -> JobResult<Report> {
    PatchJob::new(path, offset, data).run()
}

/// Some bytes that are to be written into an existing file or a device.
///
/// ```
/// use pcopy::{ErrorKind, PatchJob};
///
/// let folder = tempfile::tempdir()?;
/// let file = folder.path().join("big.data");
/// std::fs::write(&file, b"version 1")?;
///
/// let job = PatchJob::new(&file, 8, "2").expect_old("1").keep_old(true);
/// assert_eq!(job.run()?.old.as_deref(), Some("31"));
/// assert_eq!(std::fs::read(&file)?, b"version 2");
///
/// let error = job.run().unwrap_err();
/// assert!(matches!(error.kind(), ErrorKind::OldMismatch { .. }));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "a job writes nothing before it is run"]
pub struct PatchJob {
    path: PathBuf,
    offset: Size,
    data: Bytes,
    wish: Wish,
    options: Options,
}

/// What is where a patch goes, before it is written.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Before {
    /// Where the patch goes, in bytes of the file or device.
    pub range: ByteRange,
    /// The bytes that are there: fewer than the range has where it goes beyond the
    /// end of the file.
    pub old: Vec<u8>,
    /// Length of the file or device, in bytes.
    pub size: u64,
}

impl fmt::Debug for Before {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} old bytes at {} of {}", self.old.len(), self.range, self.size)
    }
}

impl PatchJob {
    /// Writes `data` at `offset` of the file at `path`. Sectors are those of the
    /// device, or of 512 bytes.
    pub fn new(
        path: impl Into<PathBuf>,
        offset: impl Into<Size>,
        data: impl Into<Vec<u8>>,
    ) -> PatchJob {
        PatchJob {
            path: path.into(),
            offset: offset.into(),
            data: Bytes::new(data),
            wish: Wish::default(),
            options: Options::default(),
        }
    }

    /// Writes nothing unless `old` is at the offset. It may be shorter than the
    /// patch, or longer. Default: whatever is there.
    pub fn expect_old(mut self, old: impl Into<Vec<u8>>) -> PatchJob {
        self.wish.expected = Some(old.into());
        self
    }

    /// Whether the report has the old bytes, in hexadecimal. Default: no.
    pub fn keep_old(mut self, keep: bool) -> PatchJob {
        self.wish.keeps_old = keep;
        self
    }

    /// Whether a file is made longer where the patch goes beyond its end. Default:
    /// refuse.
    pub fn grow(mut self, grow: bool) -> PatchJob {
        self.wish.grows = grow;
        self
    }

    /// Consents to writing to a block device. Default: refuse.
    pub fn to_device(mut self, to_device: bool) -> PatchJob {
        self.options.to_device = to_device;
        self
    }

    /// How long to wait for a device that another program holds for a moment.
    pub fn wait(mut self, time: Duration) -> PatchJob {
        self.options.wait = time;
        self
    }

    /// Writes to what another program uses or has locked. Default: refuse.
    pub fn even_if_in_use(mut self, even_if: bool) -> PatchJob {
        self.options.even_if_in_use = even_if;
        self
    }

    /// Whether to wait for the disk before reporting success. Default: yes.
    pub fn sync(mut self, sync: bool) -> PatchJob {
        self.options.sync = sync;
        self
    }

    /// Reads the patch back, past the page cache, and fails if it is not there.
    /// Default: no.
    pub fn verify(mut self, verify: bool) -> PatchJob {
        self.options.verify = verify;
        self
    }

    /// Writes the patch.
    ///
    /// # Errors
    ///
    /// A [`Refusal`], or [`ErrorKind::OldMismatch`]: nothing was written then.
    /// Otherwise as of [`CopyJob::run`].
    pub fn run(&self) -> JobResult<Report> {
        let (progress, cancel) = (Progress::new(), CancelToken::new());
        self.run_watched(Watch::new(&progress, &cancel))
    }

    /// As [`PatchJob::run`]; `watch` can stop it.
    ///
    /// # Errors
    ///
    /// As of [`PatchJob::run`], and [`ErrorKind::Cancelled`].
    pub fn run_watched(&self, watch: Watch<'_>) -> JobResult<Report> {
        self.start(None, watch, CopyJob::run_watched)
    }

    /// As [`PatchJob::run_watched`], and hands what is there to `before` when nothing
    /// can refuse the patch any more and no byte is written.
    ///
    /// # Errors
    ///
    /// As of [`PatchJob::run_watched`], and a [`Refusal`] if `before` fails.
    pub fn run_after(
        &self,
        before: impl Fn(&Before) -> io::Result<()> + Send + Sync + 'static,
        watch: Watch<'_>,
    ) -> JobResult<Report> {
        self.start(Some(Box::new(before)), watch, CopyJob::run_watched)
    }

    /// Does everything that `run` does before the first byte, and nothing else.
    ///
    /// # Errors
    ///
    /// Whatever would make `run` refuse.
    pub fn dry_run(&self) -> JobResult<Report> {
        let (progress, cancel) = (Progress::new(), CancelToken::new());
        self.start(None, Watch::new(&progress, &cancel), CopyJob::dry_run_watched)
    }

    fn start(
        &self,
        before: Option<guarded::Callback>,
        watch: Watch<'_>,
        run: impl FnOnce(&CopyJob, Watch<'_>) -> JobResult<Report>,
    ) -> JobResult<Report> {
        let mut options = self.options.clone();
        options.in_place = !options.to_device;
        if self.data.as_slice().is_empty() {
            return Err(Error::from(ErrorKind::usage("there are no bytes to write")).into());
        }
        if options.to_device {
            wait_until_free(&self.path, options.wait, watch)?;
        }
        let file = self.look(&options)?;
        let sector = file.existing().map_or(DEFAULT_SECTOR, |existing| existing.sector);
        let too_far = || Refusal::TooFar { path: self.path.clone() };
        let at = self.offset.bytes(sector).map_err(|_| too_far())?;
        options.dest_offset = Size::Bytes(at);
        let found = Arc::new(OnceLock::new());
        let guarded = Guarded::new(file, self.wish.clone(), before, Arc::clone(&found));
        let job = CopyJob::between(self.data.clone(), guarded).options(options);
        let mut report = run(&job, watch)?;
        if self.wish.keeps_old {
            report.old = found.get().map(|before| hex(&before.old));
        }
        Ok(report)
    }

    /// The file or device, which must be there.
    fn look(&self, options: &Options) -> Result<Box<dyn Destination>> {
        let path = || self.path.clone();
        let cannot_open =
            |source| Refusal::CannotOpen { side: Side::Destination, path: path(), source };
        let facts = sys::facts_of_path(&self.path).map_err(cannot_open)?;
        let facts = facts.ok_or_else(|| cannot_open(io::ErrorKind::NotFound.into()))?;
        if facts.node == FileKind::Directory {
            let (side, what) = (Side::Destination, "a directory");
            let hint = "name a file in it";
            return Err(Refusal::NotCopyable { side, path: path(), what, hint }.into());
        }
        endpoint::destination(&self.path, Some(bytes::NAME.as_ref()), options)
    }
}

/// Bytes in hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Why a patch of what an earlier copy left unfinished is refused.
fn unfinished(path: &std::path::Path) -> Refusal {
    let name = quoted(path);
    Refusal::Other(format!("a copy into it was interrupted and left {name}: finish that first"))
}
