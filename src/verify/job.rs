//! Verifying later, on its own: what is in a destination, against its source.

use std::path::{Path, PathBuf};
use std::time::Instant;

use super::compare::{Comparison, Findings, Reading};
use super::read_back::ReadBack;
use crate::digest::{self, Algorithm, Digester, Expectation, ordered};
use crate::engine::Positioned;
use crate::engine::capabilities::end_of_source;
use crate::error::{ErrorKind, JobResult, Refusal, Result, Side};
use crate::io::page_cache::{CacheState, PageCachePolicy};
use crate::plan::{self, Plan};
use crate::pool::controller::Workers;
use crate::pool::{RETRIES, Threads};
use crate::progress::{CancelToken, Phase, Progress};
use crate::range::{ByteRange, Failed, RangeSet, RangeSpec};
use crate::report::{DestinationReport, FailedRange, Outcome, Report};
use crate::size::Size;
use crate::source::OpenSource;
use crate::sys::FileKind;

/// Compares a range of a source with what is in a destination, which is read
/// past the page cache.
///
/// ```
/// use pcopy::{CancelToken, ErrorKind, Progress, verify::VerifyJob};
///
/// let folder = tempfile::tempdir()?;
/// let (image, file) = (folder.path().join("disk.img"), folder.path().join("file"));
/// std::fs::write(&image, b"....the bytes in the middle....")?;
/// std::fs::write(&file, b"the bytes in the muddle")?;
///
/// let verify = VerifyJob::new(&image, &file).range("4+23".parse()?);
/// let error = verify.run(&Progress::new(), &CancelToken::new()).unwrap_err();
/// assert!(matches!(error.kind(), ErrorKind::VerifyMismatch { .. }));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "a job reads nothing before it is run"]
pub struct VerifyJob {
    source: PathBuf,
    destination: PathBuf,
    range: RangeSpec,
    clamp: bool,
    dest_offset: Size,
    threads: Threads,
    digests: Vec<Algorithm>,
    expected: Vec<Expectation>,
    keep_cache: bool,
}

impl VerifyJob {
    /// Compares all of `source` with the beginning of `destination`, a file, a
    /// block device, or a directory with a file of the source's name in it.
    pub fn new(source: impl Into<PathBuf>, destination: impl Into<PathBuf>) -> VerifyJob {
        VerifyJob {
            source: source.into(),
            destination: destination.into(),
            range: RangeSpec::default(),
            clamp: false,
            dest_offset: Size::Bytes(0),
            threads: Threads::Auto,
            digests: Vec::new(),
            expected: Vec::new(),
            keep_cache: false,
        }
    }

    /// What of the source is compared. Default: all of it.
    pub fn range(mut self, range: RangeSpec) -> VerifyJob {
        self.range = range;
        self
    }

    /// Compares what exists of a range that reaches beyond the end of the
    /// source, instead of refusing it. Default: refuse.
    pub fn clamp(mut self, clamp: bool) -> VerifyJob {
        self.clamp = clamp;
        self
    }

    /// Where the first byte is in the destination. Default: 0.
    pub fn dest_offset(mut self, offset: Size) -> VerifyJob {
        self.dest_offset = offset;
        self
    }

    /// How many readers: a number, or [`Threads::Auto`]. Default: as many as the storage rewards.
    pub fn threads(mut self, threads: impl Into<Threads>) -> VerifyJob {
        self.threads = threads.into();
        self
    }

    /// Computes a digest of what is in the destination. May be called for
    /// several. Default: none.
    pub fn digest(mut self, algorithm: Algorithm) -> VerifyJob {
        self.digests.push(algorithm);
        self
    }

    /// Fails if what is in the destination does not have this digest. May be
    /// called for several. Default: whatever there is.
    pub fn expect(mut self, digest: Expectation) -> VerifyJob {
        self.expected.push(digest);
        self
    }

    /// Whether what is read of a large source stays in the page cache. Default:
    /// only what was there already.
    pub fn keep_cache(mut self, keep: bool) -> VerifyJob {
        self.keep_cache = keep;
        self
    }

    /// Compares.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::VerifyMismatch`] where the destination differs, with a
    /// report that has all ranges; [`ErrorKind::DigestMismatch`]; a [`Refusal`].
    /// What cannot be read of the source is not compared: the report lists it,
    /// and its outcome is [`Outcome::Partial`].
    pub fn run(&self, progress: &Progress, cancel: &CancelToken) -> JobResult<Report> {
        let begin = Instant::now();
        progress.enter(Phase::Preparing);
        self.threads.check()?;
        let source = OpenSource::open(&self.source)?;
        source.will_read_in_sequence();
        let (range, clamped) = source.resolve(&self.range, self.clamp)?;
        let destination = self.open_destination(&source)?;
        let path = destination.path.clone();
        let too_far = || Refusal::TooFar { path: path.clone() };
        let offset = source.bytes(self.dest_offset).map_err(|_| too_far())?;
        let to = ByteRange::with_len(offset, range.len()).ok_or_else(too_far)?;
        let kind = destination.report().kind;
        let mut report = Report::new(source.report(), DestinationReport { path, kind });
        (report.range, report.dest_offset, report.clamped) = (range, to.start(), clamped);
        report.bytes.requested = range.len();
        report.notes.extend([&source, &destination].into_iter().filter_map(OpenSource::note));
        let compared = self.compare(&mut report, (&source, &destination), progress, cancel);
        progress.enter(Phase::Finished);
        let seconds = begin.elapsed().as_secs_f64();
        (report.seconds.verify, report.seconds.total) = (seconds, seconds);
        match compared.and_then(|()| digest::check(&report.digests, &self.expected)) {
            Ok(()) => {
                report.outcome = match report.failed.is_empty() {
                    true => Outcome::Complete,
                    false => Outcome::Partial,
                };
                Ok(report)
            }
            Err(error) => {
                report.outcome = error.outcome();
                report.error = Some(error.chain());
                Err(error.with_report(report))
            }
        }
    }

    fn open_destination(&self, source: &OpenSource) -> Result<OpenSource> {
        let mut path = self.destination.clone();
        if path.is_dir() {
            path.push(source.path.file_name().unwrap_or_default());
        }
        let opened = OpenSource::open_to_read(Side::Destination, &path)?;
        if opened.facts.same_thing(&source.facts) && self.dest_offset == Size::Bytes(0) {
            let (source_path, what) = (source.path.clone(), "file");
            return Err(Refusal::SameFile { source_path, path, what }.into());
        }
        opened.will_read_in_sequence();
        // What is still on its way to the disk cannot be read from there.
        // Where that is not allowed, requests past the cache see to it.
        let _ = opened.io.as_file().sync_data();
        Ok(opened)
    }

    fn compare(
        &self,
        report: &mut Report,
        (source, destination): (&OpenSource, &OpenSource),
        progress: &Progress,
        cancel: &CancelToken,
    ) -> Result<()> {
        let medium = ReadBack::new(&destination.io);
        let range = report.range;
        // A destination that is too short differs where it ends.
        let there = destination.facts.size.saturating_sub(report.dest_offset);
        let (there, missing) = range.split_at(range.start().saturating_add(there));
        let wanted = self.wanted_digests();
        let digester = (!wanted.is_empty()).then(|| Digester::new(&wanted, range));
        let threads = self.threads_for(source, destination);
        let io_size = Positioned::IO_SIZE;
        let stripe_size = match ordered(&wanted) {
            true => io_size,
            false => plan::stripe_size(there.len(), threads, io_size),
        };
        let page_cache = match self.keep_cache {
            true => PageCachePolicy::none(),
            false => PageCachePolicy::new(CacheState::Mixed, range.len(), false),
        };
        let sector = Some(u64::from(source.sector().max(512)));
        let reading = Reading { page_cache, throttle: None, retries: RETRIES, sector };
        let comparison = Comparison {
            source: &*source.io,
            source_path: &source.path,
            reading: &reading,
            medium: &medium,
            range,
            dest_offset: report.dest_offset,
            digester: digester.as_ref(),
            io_size,
            threads,
        };
        progress.expect(range.len(), 0);
        progress.enter(Phase::Verifying);
        (report.threads, report.stripe_size, report.io_size) = (threads, stripe_size, io_size);
        // A digest takes all bytes, also those of holes.
        let holes = if wanted.is_empty() { comparison.holes() } else { RangeSet::new() };
        let to_read = holes.missing_from(there);
        progress.add_verified(there.len() - to_read.bytes());
        let plan = Plan::new(&to_read, range.start(), stripe_size);
        let (mut findings, ended) = comparison.run(&[], &plan, progress, cancel);
        ended?;
        findings.differing.insert(missing);
        let unread = std::mem::take(&mut findings.unread);
        report.failed = unread.into_iter().map(FailedRange::from).collect();
        report.bytes.failed = report.failed_set().bytes();
        report.verified = Some(findings.differing.is_empty() && report.failed.is_empty());
        report.verified_by = Some(medium.how());
        report.notes.extend(medium.note());
        let is_all = range == ByteRange::to(source.facts.size) && report.dest_offset == 0;
        let more = destination.facts.size.saturating_sub(range.len());
        if is_all && more > 0 && destination.facts.node == FileKind::File {
            let name = crate::error::quoted(&destination.path);
            report.notes.push(format!("{name} goes on for {more} bytes more"));
        }
        match digester.map(Digester::finish) {
            None => {}
            Some(Some(digests)) => report.digests = digests,
            Some(None) => report.notes.push("no digest: bytes are missing".to_owned()),
        }
        conclude(report, findings, &destination.path, &plan)
    }

    fn wanted_digests(&self) -> Vec<Algorithm> {
        let expected = self.expected.iter().map(Expectation::algorithm);
        let mut wanted: Vec<_> = self.digests.iter().copied().chain(expected).collect();
        wanted.sort_unstable();
        wanted.dedup();
        wanted
    }

    fn threads_for(&self, source: &OpenSource, destination: &OpenSource) -> usize {
        match self.threads.choose(
            [source, destination].map(|end| end_of_source(end).rotational),
            CacheState::Unknown,
        ) {
            Workers::Exactly(threads) => threads,
            Workers::UpTo(_) => num_cpus::get().clamp(1, 4),
        }
    }
}

/// Writes the findings into the report; an error if there are any.
fn conclude(report: &mut Report, findings: Findings, path: &Path, plan: &Plan) -> Result<()> {
    report.mismatches = findings.differing.iter().collect();
    for Failed { range, error } in findings.unreadable {
        report.notes.push(format!("cannot read the copy of bytes {range}: {error}"));
    }
    let Some(range) = findings.differing.iter().next() else { return Ok(()) };
    let stripe = plan.iter().find(|stripe| stripe.end() > range.start()).unwrap_or(range);
    Err(ErrorKind::VerifyMismatch { path: path.to_owned(), range, stripe }.into())
}
