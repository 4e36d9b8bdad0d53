//! Runs one setting on real storage and measures it.
//!
//! It is an ordinary [`CopyJob`], with every check that belongs to it, also where
//! one end is `null:` or `zero:`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::reading::{open, read_through};
use super::room::Room;
use super::{Outcome, Sample, Setting};
use crate::address;
use crate::durable::target::{MAP_SUFFIX, PART_SUFFIX, sibling_name};
use crate::endpoint::{self, Destination, null, zero};
use crate::engine::capabilities::Between;
use crate::engine::{self, Capabilities, EngineChoice, Preferences, Reflink, TABLE};
use crate::error::{Error, ErrorKind, Refusal, Result, quoted};
use crate::job::CopyJob;
use crate::options::{LARGEST_IO_SIZE, Options, power_of_two};
use crate::pool::OnReadError;
use crate::progress::{CancelToken, Progress, Watch};
use crate::range::{ByteRange, Mapping, RangeSpec};
use crate::size::Size;
use crate::source::Join;
use crate::source::{DEFAULT_SECTOR, OpenSource};
use crate::sparse::{Sparse, data_in};
use crate::sys;
use crate::words::UnknownWord;

/// One end of the copy.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Place {
    /// A file or device; as a source, also an address.
    Path(PathBuf),
    /// `zero:` as a source, `null:` as a destination: costs nothing.
    Nothing,
}

impl Place {
    fn path<'a>(&'a self, nothing: &'a str) -> &'a Path {
        match self {
            Place::Path(path) => path,
            Place::Nothing => Path::new(nothing),
        }
    }
}

/// Whether the source is in the page cache when a run starts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cache {
    /// Dropped before every run.
    Cold,
    /// Read before every run, where it is not there.
    Warm,
}

/// Bytes copied where nobody says how many.
pub const DEFAULT_BYTES: u64 = 1 << 30;

/// Runs settings on one source and destination.
pub struct Runner {
    source: Place,
    destination: Place,
    range: ByteRange,
    cache: Cache,
    sync: bool,
    /// What besides the settings is the same in every run.
    options: Options,
    /// The destination is a file, of which each run makes one of its own.
    makes_files: bool,
    notes: BTreeSet<String>,
}

impl Runner {
    /// Looks at both ends and refuses what a copy would refuse. Of `range`, at
    /// most the first `most` bytes are copied.
    ///
    /// # Errors
    ///
    /// A refusal; nothing has been written.
    pub fn new(
        source: Place,
        destination: Place,
        range: RangeSpec,
        most: u64,
        to_device: bool,
    ) -> Result<Runner> {
        let options = Options { to_device, ..Options::default() };
        Runner::with_options(source, destination, range, most, options)
    }

    /// The same, with the consent to write to a device, and what servers are told,
    /// as `options` say; the others of them are not looked at.
    ///
    /// # Errors
    ///
    /// As of [`Runner::new`].
    pub fn with_options(
        source: Place,
        destination: Place,
        range: RangeSpec,
        most: u64,
        options: Options,
    ) -> Result<Runner> {
        let Options { to_device, remote, .. } = options;
        // One file is measured.
        let options = Options { to_device, remote, join: Join::Never, ..Options::default() };
        if (&source, &destination) == (&Place::Nothing, &Place::Nothing) {
            let message = "from nothing to nothing there is nothing to measure";
            return Err(ErrorKind::usage(message).into());
        }
        let range = match &source {
            Place::Path(path) => open(path, &options)?.resolve(&range, false)?.0,
            Place::Nothing if range == RangeSpec::default() => ByteRange::to(most),
            Place::Nothing => {
                let problem =
                    "has no meaning: zeros have no range, and the size says how many are written";
                return Err(ErrorKind::usage_of(&["range"], problem).into());
            }
        };
        let range = range.split_at(range.start().saturating_add(most)).0;
        if range.is_empty() {
            return Err(ErrorKind::usage("the range to measure with is empty").into());
        }
        let mut runner = Runner {
            source,
            destination,
            range,
            cache: Cache::Warm,
            sync: true,
            options,
            makes_files: false,
            notes: BTreeSet::new(),
        };
        runner.look_at_destination()?;
        runner.look_for_holes()?;
        runner.look_for_sharing()?;
        Ok(runner)
    }

    /// State of the source in the page cache. Default: warm.
    #[must_use]
    pub fn cache(mut self, cache: Cache) -> Runner {
        self.cache = cache;
        self
    }

    /// Whether a run ends when the disk has everything. Default: yes.
    #[must_use]
    pub fn sync(mut self, sync: bool) -> Runner {
        self.sync = sync;
        self
    }

    /// What is copied in every run, in bytes of the source.
    pub fn range(&self) -> ByteRange {
        self.range
    }

    /// The engines that can serve these ends, by name.
    ///
    /// # Errors
    ///
    /// If an end cannot be opened any more.
    pub fn engines(&self) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for row in &TABLE {
            let choice = row.name.parse().map_err(|error| unknown(&error))?;
            let job = self.job(&self.source, &self.destination).engine(choice);
            match job.dry_run(&Progress::new()) {
                Ok(_) => names.push(row.name.to_owned()),
                Err(error) => match error.kind() {
                    ErrorKind::Refused(Refusal::EngineUnsuitable { .. }) => {}
                    _ => return Err(error.into()),
                },
            }
        }
        Ok(names)
    }

    fn capabilities(
        &self,
        from: &Path,
        to: &Path,
        preferences: Preferences,
    ) -> Result<Capabilities> {
        let origin = endpoint::origin(from, &self.options, &CancelToken::new())?;
        let destination = self.look_at(to, from)?;
        let copy = Between {
            source: origin.end(),
            destination: destination.end(),
            mapping: Mapping::to_start(self.range),
            bytes: self.range.len(),
            fresh: destination.is_fresh(),
        };
        Ok(Capabilities::of(copy, preferences, |range| origin.cache_state(range)))
    }

    /// Looks at the destination `path` of a copy of `source`.
    fn look_at(&self, path: &Path, source: &Path) -> Result<Box<dyn Destination>> {
        endpoint::destination(path, source.file_name(), &self.options)
    }

    /// Things worth knowing about the runs so far.
    pub fn notes(&self) -> impl Iterator<Item = &str> {
        self.notes.iter().map(String::as_str)
    }

    /// Whether a copy takes `setting`: to be asked before the first run.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Usage`], as from the copy.
    pub fn check(&self, setting: &Setting) -> Result<()> {
        setting.engine.parse::<EngineChoice>().map_err(|error| unknown(&error))?;
        if let Some(size) = setting.io_size {
            power_of_two(&["io_size"], Size::Bytes(size), DEFAULT_SECTOR, LARGEST_IO_SIZE)?;
        }
        Ok(())
    }

    /// Runs `setting` once.
    pub fn run(&mut self, setting: &Setting, cancel: &CancelToken) -> Outcome<Error> {
        let measured = self.check(setting).and_then(|()| self.measure(setting, cancel));
        match measured {
            Ok(sample) => Outcome::Ran(sample),
            Err(error) => match error.kind() {
                ErrorKind::Refused(Refusal::EngineUnsuitable { reason, .. }) => {
                    Outcome::Unusable(reason.clone())
                }
                ErrorKind::EngineGaveWay { .. } => Outcome::Unusable(error.chain()),
                _ => Outcome::Failed(error),
            },
        }
    }

    fn look_at_destination(&mut self) -> Result<()> {
        let Place::Path(path) = &self.destination else { return Ok(()) };
        let name = match &self.source {
            Place::Path(path) => path.clone(),
            Place::Nothing => PathBuf::from("zeros"),
        };
        let destination = self.look_at(path, &name)?;
        if let Some(staged) = destination.footprint().and_then(|footprint| footprint.staged) {
            if staged.check_replaceable().is_err() {
                let what = format!("{} exists; name a file that does not exist yet", quoted(path));
                return Err(Refusal::Other(what).into());
            }
            for suffix in [PART_SUFFIX, MAP_SUFFIX] {
                let path = staged.directory_path.join(sibling_name(&staged.name, suffix));
                // A copy to there, which will be recommended, would be refused.
                if path.symlink_metadata().is_ok() {
                    return Err(Refusal::Leftover { resumable: true, path }.into());
                }
            }
            self.makes_files = true;
        }
        let path = destination.path().to_owned();
        self.destination = Place::Path(path);
        Ok(())
    }

    /// Reading a hole costs the disk nothing, which is worth knowing.
    fn look_for_holes(&mut self) -> Result<()> {
        let Place::Path(path) = &self.source else { return Ok(()) };
        let source = open(path, &self.options)?.source();
        let holes = self.range.len() - data_in(&*source, self.range).bytes();
        if holes > 0 {
            let percent = (holes * 100).div_ceil(self.range.len());
            let note = format!("{percent} % of what was read is holes, which no disk has to find");
            self.notes.insert(note);
        }
        Ok(())
    }

    /// A copy that is told nothing may have nothing to move, which is faster
    /// than whatever is measured.
    fn look_for_sharing(&mut self) -> Result<()> {
        let (Place::Path(from), Place::Path(to)) = (&self.source, &self.destination) else {
            return Ok(());
        };
        let about = self.capabilities(from, to, Preferences::default())?;
        if engine::select(EngineChoice::default(), about)?.may_share() {
            let note = "unless an engine is named, a copy shares extents here and moves next to \
                        nothing: \
                        what is recommended is for one that has storage of its own";
            self.notes.insert(note.to_owned());
        }
        Ok(())
    }

    fn measure(&mut self, setting: &Setting, cancel: &CancelToken) -> Result<Sample> {
        self.prepare_cache()?;
        let Place::Path(destination) = &self.destination else {
            return self.time(&Place::Nothing, setting, cancel);
        };
        if !self.makes_files {
            return self.time(&self.destination, setting, cancel);
        }
        let room = Room::beside(destination)?;
        let sample = self.time(&Place::Path(room.copy()), setting, cancel);
        let removed = room.remove();
        // The error of the run says more than one of clearing up after it.
        let sample = sample?;
        removed.map(|()| sample)
    }

    fn time(&self, to: &Place, setting: &Setting, cancel: &CancelToken) -> Result<Sample> {
        sys::forget_peak_memory();
        let (before, begin) = (sys::usage(), Instant::now());
        let threads = self.copy(to, setting, cancel)?;
        let (seconds, after) = (begin.elapsed().as_secs_f64(), sys::usage());
        Ok(Sample {
            seconds,
            cpu_seconds: after.cpu.saturating_sub(before.cpu).as_secs_f64(),
            peak_memory: after.peak_memory,
            threads,
        })
    }

    fn copy(&self, to: &Place, setting: &Setting, cancel: &CancelToken) -> Result<usize> {
        let mut job = self
            .job(&self.source, to)
            .sync(self.sync)
            .engine(setting.engine.parse()?)
            .threads(setting.threads);
        if let Some(size) = setting.io_size {
            job = job.io_size(size);
        }
        Ok(job.run_watched(Watch::new(&Progress::new(), cancel))?.threads)
    }

    /// A copy that moves every byte, so that settings can be compared.
    fn job(&self, from: &Place, to: &Place) -> CopyJob {
        CopyJob::new(from.path(zero::NAME), to.path(null::NAME))
            .options(self.options.clone())
            .range(self.range.start()..self.range.end())
            .reflink(Reflink::Never)
            // A hole that is kept costs nothing, and would count as moved.
            .sparse(Sparse::Never)
            .on_read_error(OnReadError::Stop)
            // Nothing of it is kept.
            .allow_changed_source(true)
            .to_device(self.options.to_device && *to != Place::Nothing)
    }

    fn prepare_cache(&mut self) -> Result<()> {
        let Place::Path(path) = &self.source else { return Ok(()) };
        if address::scheme(path).is_some() {
            return Ok(());
        }
        let source = OpenSource::open(path)?;
        let (file, range) = (source.file.as_file(), self.range);
        if self.cache == Cache::Cold {
            sys::drop_cached(file, range);
        }
        let Ok(cached) = sys::cached_bytes(file, range) else {
            self.notes.insert("how much of the source was cached is not known".to_owned());
            return Ok(());
        };
        match self.cache {
            // Pages that somebody maps or writes stay; a few do not matter.
            Cache::Cold if cached > range.len() / 50 => {
                let percent = cached * 100 / range.len();
                let note = format!("up to {percent} % of the source stayed in the page cache");
                self.notes.retain(|note| !note.starts_with("up to "));
                self.notes.insert(note);
            }
            Cache::Warm if cached < range.len() - range.len() / 50 => {
                read_through(&source, range)?;
                let again = sys::cached_bytes(file, range).unwrap_or(0);
                if again < range.len() - range.len() / 10 {
                    self.notes.insert("the source does not stay in the page cache".to_owned());
                }
            }
            _ => {}
        }
        Ok(())
    }
}

fn unknown(engine: &UnknownWord) -> ErrorKind {
    ErrorKind::usage_of(&["engine"], engine.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Threads;

    const LEN: usize = 3 << 20;

    fn setting(threads: Threads) -> Setting {
        Setting { engine: "positioned".to_owned(), threads, io_size: Some(64 << 10) }
    }

    fn ran(runner: &mut Runner, threads: Threads) -> Sample {
        match runner.run(&setting(threads), &CancelToken::new()) {
            Outcome::Ran(sample) => sample,
            Outcome::Unusable(reason) => panic!("{reason}"),
            Outcome::Failed(error) => panic!("{}", error.chain()),
        }
    }

    #[test]
    fn every_pair_of_ends_runs_and_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let (source, copy) = (folder.path().join("source"), folder.path().join("copy"));
        std::fs::write(&source, vec![7; LEN]).unwrap();
        let (from, to) = (Place::Path(source.clone()), Place::Path(copy));
        let ends = [(&from, &to), (&from, &Place::Nothing), (&Place::Nothing, &to)];
        for (from, to) in ends {
            let range = RangeSpec::default();
            let runner = Runner::new(from.clone(), to.clone(), range, 2 << 20, false).unwrap();
            assert_eq!(runner.range(), ByteRange::between(0, 2 << 20));
            for cache in [Cache::Warm, Cache::Cold] {
                let mut runner = Runner { cache, ..ends_of(&runner) };
                for threads in [Threads::Exactly(1), Threads::Exactly(3), Threads::Auto] {
                    let sample = ran(&mut runner, threads);
                    assert!(sample.seconds > 0.0);
                    if let Threads::Exactly(threads) = threads {
                        assert_eq!(sample.threads, threads);
                    }
                }
            }
            let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
            assert_eq!(left.len(), 1, "{left:?}");
        }
        assert_eq!(std::fs::read(source).unwrap(), vec![7; LEN]);
    }

    fn ends_of(runner: &Runner) -> Runner {
        Runner {
            source: runner.source.clone(),
            destination: runner.destination.clone(),
            notes: BTreeSet::new(),
            options: runner.options.clone(),
            ..*runner
        }
    }

    /// Somebody else's file may appear at the destination while it is measured.
    #[test]
    fn a_file_that_appears_at_the_destination_is_never_removed() {
        let folder = tempfile::tempdir().unwrap();
        let (source, copy) = (folder.path().join("source"), folder.path().join("copy"));
        std::fs::write(&source, vec![7; LEN]).unwrap();
        for from in [Place::Path(source), Place::Nothing] {
            let (to, range) = (Place::Path(copy.clone()), RangeSpec::default());
            let mut runner = Runner::new(from, to, range, 2 << 20, false).unwrap();
            std::fs::write(&copy, "not ours").unwrap();
            runner.run(&setting(Threads::Exactly(1)), &CancelToken::new());
            let stopped = CancelToken::new();
            stopped.cancel();
            let outcome = runner.run(&setting(Threads::Exactly(1)), &stopped);
            assert!(matches!(outcome, Outcome::Failed(_)));
            assert_eq!(std::fs::read_to_string(&copy).unwrap(), "not ours");
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
            std::fs::remove_file(&copy).unwrap();
        }
    }

    #[test]
    fn what_is_not_ours_is_refused_and_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in ["source", "taken", "begun.pcopy-part", "mapped.pcopy-map"] {
            std::fs::write(path(name), name).unwrap();
        }
        for name in ["taken", "begun", "mapped"] {
            let (from, to) = (Place::Path(path("source")), Place::Path(path(name)));
            let refused = Runner::new(from, to, RangeSpec::default(), 1 << 20, false);
            assert!(matches!(refused.err().unwrap().kind(), ErrorKind::Refused(_)), "{name}");
        }
        for name in ["source", "taken", "begun.pcopy-part", "mapped.pcopy-map"] {
            assert_eq!(std::fs::read_to_string(path(name)).unwrap(), name);
        }
        let nothing =
            Runner::new(Place::Nothing, Place::Nothing, RangeSpec::default(), 1 << 20, false);
        assert!(matches!(nothing.err().unwrap().kind(), ErrorKind::Usage { .. }));
    }
}
