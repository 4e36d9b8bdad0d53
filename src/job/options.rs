//! The builder of a copy.

use std::path::PathBuf;

use crate::digest::ordered;
use crate::durable::target::wait_until_free;
use crate::error::Result;
use crate::options::{Options, setters};
use crate::plan;
use crate::progress::{CancelToken, Progress};

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
    pub(super) source: PathBuf,
    pub(super) destination: PathBuf,
    pub(super) also: Vec<PathBuf>,
    pub(super) options: Options,
}

impl CopyJob {
    /// Copies all of `source` to `destination`: a file that does not exist
    /// yet, or a directory to put it in under its own name.
    pub fn new(source: impl Into<PathBuf>, destination: impl Into<PathBuf>) -> CopyJob {
        let (source, destination) = (source.into(), destination.into());
        CopyJob { source, destination, also: Vec::new(), options: Options::default() }
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

    setters!(all);
    setters!(range);
    setters!(copying);
    setters!(placing);

    /// Waits until nobody holds the devices that will be written for a moment.
    pub(super) fn wait_for_devices(&self, progress: &Progress, cancel: &CancelToken) -> Result<()> {
        if !self.options.to_device {
            return Ok(());
        }
        let mut paths = std::iter::once(&self.destination).chain(&self.also);
        paths.try_for_each(|path| wait_until_free(path, self.options.wait, progress, cancel))
    }

    pub(super) fn scheduling_size(
        &self,
        sector: u32,
        bytes: u64,
        threads: usize,
        io_size: u64,
    ) -> Result<u64> {
        match self.options.stripe_size(sector)? {
            Some(bytes) => Ok(bytes),
            // A worker that waits for the turn of its stripe holds one request, not many.
            None if ordered(&self.options.wanted_digests()) => Ok(io_size),
            None => Ok(plan::stripe_size(bytes, threads, io_size)),
        }
    }
}
