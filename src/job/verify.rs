//! Verifying later, on its own: what is in a destination, against its source.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use crate::address;
use crate::digest::{self, Digester, ordered};
use crate::endpoint::{self, Origin};
use crate::engine::Positioned;
use crate::error::{ErrorKind, JobResult, Refusal, Result, Side, quoted};
use crate::io::page_cache::CacheState;
use crate::options::{Options, setters};
use crate::plan::{self, Plan};
use crate::pool::controller::Workers;
use crate::pool::{Control, OnReadError};
use crate::progress::{CancelToken, Phase, Progress, Watch};
use crate::range::{ByteRange, Failed, Mapping, RangeSet};
use crate::report::{DestinationReport, FailedRange, Outcome, PieceReport, Report};
use crate::size::Size;
use crate::source::OpenSource;
use crate::sys::FileKind;
use crate::verify::compare::{Comparison, Findings};
use crate::verify::read_back::ReadBack;

/// Compares a range of a source with what is in a destination, which is read
/// past the page cache.
///
/// ```
/// use pcopy::{ErrorKind, VerifyJob};
///
/// let folder = tempfile::tempdir()?;
/// let (image, file) = (folder.path().join("disk.img"), folder.path().join("file"));
/// std::fs::write(&image, b"....the bytes in the middle....")?;
/// std::fs::write(&file, b"the bytes in the muddle")?;
///
/// let error = VerifyJob::new(&image, &file).range(4..27).run().unwrap_err();
/// assert!(matches!(error.kind(), ErrorKind::VerifyMismatch { .. }));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "a job reads nothing before it is run"]
pub struct VerifyJob {
    source: PathBuf,
    destination: PathBuf,
    options: Options,
}

impl VerifyJob {
    /// Compares all of `source` with the beginning of `destination`: each a file, a
    /// block device or an address, and the destination may be a directory with a file
    /// of the source's name in it.
    pub fn new(source: impl Into<PathBuf>, destination: impl Into<PathBuf>) -> VerifyJob {
        VerifyJob {
            source: source.into(),
            destination: destination.into(),
            options: Options::default(),
        }
    }

    setters!(all);
    setters!(range);

    /// Compares.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::VerifyMismatch`] where the destination differs, with a
    /// report that has all ranges; [`ErrorKind::DigestMismatch`]; a [`Refusal`].
    /// What cannot be read of the source is not compared: the report lists it,
    /// and its outcome is [`Outcome::Partial`].
    pub fn run(&self) -> JobResult<Report> {
        self.run_watched(Watch::new(&Progress::new(), &CancelToken::new()))
    }

    /// As [`VerifyJob::run`]; `watch` sees how far it is, and can stop it.
    ///
    /// # Errors
    ///
    /// As of [`VerifyJob::run`], and [`ErrorKind::Cancelled`].
    pub fn run_watched(&self, watch: Watch<'_>) -> JobResult<Report> {
        let (begin, progress) = (Instant::now(), watch.progress);
        progress.enter(Phase::Preparing);
        self.options.threads.check()?;
        self.options.check_rate()?;
        let source = self.open(Side::Source, &self.source, watch.cancel)?;
        source.will_read_in_sequence();
        let (range, clamped) = source.resolve(&self.options.range, self.options.clamp)?;
        let destination = self.open_destination(&*source, watch.cancel)?;
        let path = destination.path().to_owned();
        let too_far = || Refusal::TooFar { path: path.clone() };
        let offset = source.bytes(self.options.dest_offset).map_err(|_| too_far())?;
        let to = ByteRange::with_len(offset, range.len()).ok_or_else(too_far)?;
        let kind = destination.kind();
        let of_source = endpoint::source_report(&*source);
        let mut report = Report::new(of_source, DestinationReport::new(path, kind));
        (report.range, report.dest_offset, report.clamped) = (range, to.start(), clamped);
        report.bytes.requested = Some(range.len());
        report.notes.extend([&source, &destination].into_iter().filter_map(|end| end.note()));
        let compared = self.compare(&mut report, &*source, &*destination, watch);
        progress.enter(Phase::Finished);
        let seconds = begin.elapsed().as_secs_f64();
        (report.seconds.verify, report.seconds.total) = (seconds, seconds);
        match compared.and_then(|()| digest::check(&report.digests, &self.options.expected)) {
            Ok(()) => {
                report.outcome = match report.failed.is_empty() {
                    true => Outcome::Complete,
                    false => Outcome::Partial,
                };
                Ok(report)
            }
            Err(error) => {
                report.outcome = error.outcome();
                report.fail(&error);
                Err(error.with_report(report))
            }
        }
    }

    /// Opens either end, at any offset of which it can be read.
    fn open(&self, side: Side, path: &Path, cancel: &CancelToken) -> Result<Arc<dyn Origin>> {
        if address::scheme(path).is_none() {
            let opened = match side {
                Side::Source => OpenSource::open(path)?,
                Side::Destination => OpenSource::open_to_read(side, path)?,
            };
            return Ok(Arc::new(opened.joined(side, self.options.join)?));
        }
        let origin = endpoint::origin(path, &self.options, cancel)?;
        if origin.read_order().stream().is_some() {
            let what = format!("{} {}", quoted(path), origin.why_once());
            return Err(Refusal::Other(what).into());
        }
        Ok(origin)
    }

    fn open_destination(
        &self,
        source: &dyn Origin,
        cancel: &CancelToken,
    ) -> Result<Arc<dyn Origin>> {
        let mut path = self.destination.clone();
        if path.is_dir() {
            path.push(name_in(&path, source));
        }
        let opened = self.open(Side::Destination, &path, cancel)?;
        let is_source = match (opened.file(), source.file()) {
            (Some(one), Some(other)) => {
                one.facts.same_thing(&other.facts) && one.files().len() == other.files().len()
            }
            (None, None) => opened.path() == source.path(),
            _ => false,
        };
        if is_source && self.options.dest_offset == Size::Bytes(0) {
            let (source_path, path) = (source.path().to_owned(), opened.path().to_owned());
            let what = if opened.file().is_some() { "file" } else { "object" };
            return Err(Refusal::SameFile { source_path, path, what }.into());
        }
        opened.will_read_in_sequence();
        // What is still on its way to the disk cannot be read from there.
        // Where that is not allowed, requests past the cache see to it.
        for file in opened.file().map_or(&[][..], OpenSource::files) {
            let _ = file.file.as_file().sync_data();
        }
        Ok(opened)
    }

    fn compare(
        &self,
        report: &mut Report,
        source: &dyn Origin,
        destination: &dyn Origin,
        watch: Watch<'_>,
    ) -> Result<()> {
        let medium = medium_of(destination);
        let mapping = Mapping::new(report.range, report.dest_offset).expect("it fits");
        let range = mapping.from();
        // A destination that is too short differs where it ends.
        let there = destination.source().size().saturating_sub(report.dest_offset);
        let (there, missing) = range.split_at(range.start().saturating_add(there));
        let wanted = self.options.wanted_digests();
        let pieces = self.options.digest_pieces(source.sector(), Some(range.len()))?;
        let digester = || Digester::new(&wanted, range).with_pieces(&pieces);
        let digester = (!wanted.is_empty()).then(digester);
        let (threads, io_size) = self.readers(source, destination);
        let stripe_size = match ordered(&wanted) {
            true => io_size,
            false => plan::stripe_size(there.len(), threads, io_size),
        };
        let page_cache = self.options.page_cache(CacheState::Mixed, range.len(), false);
        let control = self.options.control(io_size, watch);
        // What was rescued can be compared with what it is from.
        let control = Control { on_read_error: OnReadError::Record, ..control };
        let from = source.source();
        let comparison = Comparison {
            source: &*from,
            source_path: source.path(),
            sector: source.sector().max(512).into(),
            control: &control,
            page_cache: &page_cache,
            medium: &medium,
            mapping,
            digester: digester.as_ref(),
            threads,
        };
        (report.threads, report.stripe_size, report.io_size) = (threads, stripe_size, io_size);
        // A digest takes all bytes, also those of holes.
        let holes = if wanted.is_empty() { comparison.holes() } else { RangeSet::new() };
        let to_read = holes.missing_from(there);
        report.bytes.holes = there.len() - to_read.bytes();
        watch.progress.expect(Some(to_read.bytes()), 0);
        watch.progress.enter(Phase::Verifying);
        let plan = Plan::new(&to_read, range.start(), stripe_size);
        let (mut findings, ended) = comparison.run(&[], &plan);
        ended?;
        check_unchanged(destination)?;
        findings.differing.insert(missing);
        let unread = std::mem::take(&mut findings.unread);
        report.failed = unread.into_iter().map(FailedRange::from).collect();
        report.bytes.failed = report.failed_set().bytes();
        report.verified = Some(findings.differing.is_empty() && report.failed.is_empty());
        report.verified_by = Some(medium.how());
        report.notes.extend(medium.note());
        let is_all = range == ByteRange::to(from.size()) && report.dest_offset == 0;
        let more = destination.source().size().saturating_sub(range.len());
        let ends = destination.file().is_none_or(|file| file.facts.node == FileKind::File);
        if !missing.is_empty() {
            let name = quoted(destination.path());
            report.notes.push(format!("{name} ends {} early", in_bytes(missing.len())));
        }
        if is_all && more > 0 && ends {
            let name = quoted(destination.path());
            report.notes.push(format!("{name} has {} more", in_bytes(more)));
        }
        let pieces = digester.as_ref().map_or_else(Vec::new, Digester::take_pieces);
        report.pieces = pieces.into_iter().map(PieceReport::from).collect();
        match digester.map(Digester::finish) {
            None => {}
            Some(Some(digests)) => report.digests = digests,
            Some(None) => report.notes.push("no digest: bytes are missing".to_owned()),
        }
        conclude(report, findings, destination.path(), &plan)
    }

    /// How many threads read, in requests of how many bytes.
    fn readers(&self, source: &dyn Origin, destination: &dyn Origin) -> (usize, u64) {
        let ends = [source.end(), destination.end()];
        if let Some(pace) = ends.iter().find_map(|end| end.pace) {
            // Each reads both sides.
            let workers = self.options.threads.far_away(pace.start, pace.most);
            let threads = match workers.bounded(pace.request.saturating_mul(2)) {
                Workers::Exactly(threads) | Workers::UpTo(threads) => threads,
                Workers::Between { start, .. } => start,
            };
            return (threads, pace.request);
        }
        let rotational = ends.map(|end| end.rotational);
        let threads = match self.options.threads.choose(rotational, CacheState::Unknown) {
            Workers::Exactly(threads) => threads,
            Workers::UpTo(_) | Workers::Between { .. } => num_cpus::get().clamp(1, 4),
        };
        (threads, Positioned::IO_SIZE)
    }
}

/// What a copy of `source` is called in `directory`: a split one may be there
/// as a whole, or in its pieces.
fn name_in(directory: &Path, source: &dyn Origin) -> PathBuf {
    let whole = source.file_name().unwrap_or_default();
    match source.file() {
        Some(file) if !directory.join(&whole).exists() => {
            file.path.file_name().unwrap_or_default().into()
        }
        _ => whole.into(),
    }
}

/// Refuses to say anything of what became another object while it was read.
fn check_unchanged(destination: &dyn Origin) -> Result<()> {
    let change = match destination.file() {
        Some(_) => None,
        None => destination.change().ok().flatten(),
    };
    match change {
        Some(change) => {
            let path = destination.path().to_owned();
            Err(ErrorKind::SourceChanged { path, change }.into())
        }
        None => Ok(()),
    }
}

/// `destination`, to be read past the page cache.
fn medium_of(destination: &dyn Origin) -> ReadBack {
    let Some(file) = destination.file() else { return ReadBack::of(destination.source()) };
    match file.files() {
        [only] => ReadBack::new(&only.file),
        files => {
            let files: Vec<_> = files.iter().map(|file| Arc::clone(&file.file)).collect();
            ReadBack::of_files(&files, file.segments(), destination.source())
        }
    }
}

fn in_bytes(count: u64) -> String {
    format!("{count} byte{}", if count == 1 { "" } else { "s" })
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
