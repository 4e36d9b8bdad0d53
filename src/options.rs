//! What can be asked of a job: one struct for all of them, and the builder
//! methods that they share.
//!
//! The struct is also how options are stored in a plan and passed from another
//! language: it is serialised, and what is not named has its default. This room
//! must not know any job, nor what a job makes of an option.

mod remote;
mod s3;
mod setters;

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::digest::{Algorithm, Expectation, RangeDigest};
use crate::durable::checkpoint::CHECKPOINT_EVERY;
use crate::durable::previous::Leftovers;
use crate::durable::trust::Trust;
use crate::engine::{EngineChoice, Reflink};
use crate::error::{ErrorKind, Result};
use crate::io::page_cache::{CacheState, PageCachePolicy};
use crate::pool::{
    Control, KERNEL_IO_SIZE, OnReadError, RETRIES, Threads, Throttle, check_request,
};
use crate::progress::Watch;
use crate::range::{ByteRange, RangeSet, RangeSpec};
use crate::size::Size;
use crate::source::Join;
use crate::sparse::{Preallocate, Sparse};

/// Largest request accepted, in bytes. One Linux system call moves less than 2 GiB.
pub const LARGEST_IO_SIZE: u64 = 1 << 30;

/// Largest stripe accepted, in bytes.
pub const LARGEST_STRIPE: u64 = 1 << 40;

/// How long another program may hold a device for a moment, where the user does
/// not say otherwise: udev takes a second to look at a stick.
pub const LONGEST_MOMENT: Duration = Duration::from_secs(5);

/// Most pieces that have digests of their own.
const MOST_PIECES: u64 = 1 << 20;

/// Bytes of the shortest piece with a digest of its own where nobody knows how many
/// there will be: of a TiB they take some 100 MB of memory.
const LEAST_OPEN_ENDED: u64 = 1 << 20;

/// What can be asked of a job. Each job uses those that mean something for it;
/// its builder has a method for each of these.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Options {
    /// What of the source is copied. Default: all of it.
    pub range: RangeSpec,
    /// Where the first byte goes in the destination. Default: 0.
    pub dest_offset: Size,
    /// Whether the pieces of a source that was split are read as one. Default: if
    /// names and sizes say that they are.
    pub join: Join,
    /// Whether what exists is copied of a range that reaches beyond the end of
    /// the source, instead of refusing it. Default: no.
    pub clamp: bool,
    /// Which bytes of the range are copied; the others are neither read nor
    /// written. Default: all of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub only: Option<RangeSet>,

    /// The destination becomes several files of this length each: `NAME.001`,
    /// `NAME.002`, and so on. Default: one file.
    pub split: Option<Size>,
    /// Whether an existing destination is replaced. Default: no.
    pub force: bool,
    /// Whether an existing destination is written where it is. Default: no.
    pub in_place: bool,
    /// Whether a block device may be written. Default: no.
    pub to_device: bool,
    /// Whether only the blocks are written that differ from what is there. Default: no.
    pub only_changed: bool,
    /// Whether what another program uses or has locked may be written. Default: no.
    pub even_if_in_use: bool,
    /// Whether the destination may lie on the device that is read. Default: no.
    pub allow_same_device: bool,
    /// Whether the job begins even if the file system seems to have no room for it.
    /// Default: no.
    pub ignore_space: bool,
    /// How long to wait for a device that another program holds for a moment.
    /// Default: [`LONGEST_MOMENT`].
    #[serde(with = "seconds")]
    pub wait: Duration,
    /// Whether owner, attributes, mode and times are carried over. Default: no.
    pub preserve: bool,
    /// Whether the end of the job waits for the disk. Default: yes.
    pub sync: bool,

    /// How many workers. Default: as many as the storage rewards.
    pub threads: Threads,
    /// Unit of scheduling. Default: chosen.
    pub stripe_size: Option<Size>,
    /// Largest single request. Default: chosen.
    pub io_size: Option<Size>,
    /// How bytes move. Default: the engine that suits best.
    pub engine: EngineChoice,
    /// Whether extents are shared with the source. Default: where possible.
    pub reflink: Reflink,
    /// What becomes of holes and zeros. Default: holes stay holes.
    pub sparse: Sparse,
    /// Whether storage is reserved. Default: where that makes writing faster.
    pub preallocate: Preallocate,
    /// Whether everything stays in the page cache. Default: no.
    pub keep_cache: bool,
    /// Whether a source is refused that could be written while it is read. Default: no.
    pub require_read_only: bool,
    /// What to do with ranges that cannot be read. Default: record them.
    pub on_read_error: OnReadError,
    /// How often a failed request is repeated. Default: [`RETRIES`].
    pub retries: u32,
    /// Most bytes a second, over all workers; more than 0. Default: no limit.
    pub limit_rate: Option<u64>,

    /// What can be asked of remote ends.
    pub remote: Remote,

    /// What to do with what an interrupted run left. Default: refuse to start.
    pub leftovers: Leftovers,
    /// Whose leftovers are resumed or discarded. Default: our own.
    pub trust: Trust,
    /// Where the resume map lives. Default: beside the destination.
    pub map: Option<PathBuf>,
    /// Time between checkpoints. Default: [`CHECKPOINT_EVERY`].
    #[serde(with = "seconds")]
    pub checkpoint_every: Duration,
    /// Whether a source may change during the copy. Default: no.
    pub allow_changed_source: bool,

    /// Digests to compute. Default: none.
    pub digests: Vec<Algorithm>,
    /// Length of the pieces of which there is a digest each besides. Default: that
    /// of the files that the destination is split into.
    pub digest_every: Option<Size>,
    /// Digests that the range must have. Default: whatever it has.
    pub expected: Vec<Expectation>,
    /// Digests that parts of the source must have, looked at before anything is
    /// written. Default: whatever they have.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub expected_in: Vec<RangeDigest>,
    /// Whether the destination is read back and compared. Default: no.
    pub verify: bool,
    /// Whether what differs then is copied once more. Default: no.
    pub repair: bool,
    /// Whether the source is read once more at the end, and compared with what was
    /// copied. Default: no.
    pub check_source: bool,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            range: RangeSpec::default(),
            dest_offset: Size::Bytes(0),
            join: Join::Auto,
            clamp: false,
            only: None,
            split: None,
            force: false,
            in_place: false,
            to_device: false,
            only_changed: false,
            even_if_in_use: false,
            allow_same_device: false,
            ignore_space: false,
            wait: LONGEST_MOMENT,
            preserve: false,
            sync: true,
            threads: Threads::Auto,
            stripe_size: None,
            io_size: None,
            engine: EngineChoice::Auto,
            reflink: Reflink::Auto,
            sparse: Sparse::Auto,
            preallocate: Preallocate::Auto,
            keep_cache: false,
            require_read_only: false,
            on_read_error: OnReadError::Record,
            retries: RETRIES,
            limit_rate: None,
            remote: Remote::default(),
            leftovers: Leftovers::Refuse,
            trust: Trust::Own,
            map: None,
            checkpoint_every: CHECKPOINT_EVERY,
            allow_changed_source: false,
            digests: Vec::new(),
            digest_every: None,
            expected: Vec::new(),
            expected_in: Vec::new(),
            verify: false,
            repair: false,
            check_source: false,
        }
    }
}

impl Options {
    /// Refuses what contradicts itself.
    pub(crate) fn check(&self) -> Result<()> {
        self.threads.check()?;
        if (self.verify || self.repair) && !self.sync {
            let problem = "reads what is on the disk, and is not without a sync";
            return Err(ErrorKind::usage_of(&["verify"], problem).into());
        }
        if self.check_source && !self.verifies() {
            let problem = "compares with what verify has seen, and needs it";
            return Err(ErrorKind::usage_of(&["check_source"], problem).into());
        }
        if self.check_source && self.allow_changed_source {
            let problem = "fails what the other one lets through";
            return Err(
                ErrorKind::usage_of(&["check_source", "allow_changed_source"], problem).into()
            );
        }
        if self.only.is_some() && self.preserve {
            let problem = "carries over what a whole file has, and parts of one are copied";
            return Err(ErrorKind::usage_of(&["preserve"], problem).into());
        }
        if self.only.is_some() && self.reflink == Reflink::Always {
            let problem = "cannot be always where parts of the range are left out";
            return Err(ErrorKind::usage_of(&["reflink"], problem).into());
        }
        self.remote.check()?;
        self.check_rate()
    }

    /// What of `range` is copied.
    pub(crate) fn wanted(&self, range: ByteRange) -> RangeSet {
        self.only.as_ref().map_or_else(|| range.into(), |only| only.within(range))
    }

    /// Refuses a rate at which nothing would ever be copied.
    pub(crate) fn check_rate(&self) -> Result<()> {
        match self.limit_rate {
            Some(0) => {
                let problem = "must be more than 0: nothing would ever be copied";
                Err(ErrorKind::usage_of(&["limit_rate"], problem).into())
            }
            _ => Ok(()),
        }
    }

    /// Every digest that must be computed, each once.
    pub(crate) fn wanted_digests(&self) -> Vec<Algorithm> {
        let expected = self.expected.iter().map(Expectation::algorithm);
        let mut wanted: Vec<_> = self.digests.iter().copied().chain(expected).collect();
        wanted.sort_unstable();
        wanted.dedup();
        wanted
    }

    /// Lengths of the pieces of which there is a digest each, of `len` bytes in all,
    /// if that is known.
    pub(crate) fn digest_pieces(&self, sector: u32, len: Option<u64>) -> Result<Vec<u64>> {
        let mut lengths = Vec::new();
        if self.wanted_digests().is_empty() {
            return Ok(lengths);
        }
        for (option, size) in [("split", self.split), ("digest_every", self.digest_every)] {
            let Some(size) = size else { continue };
            let options: &'static [&'static str] =
                if option == "split" { &["split"] } else { &["digest_every"] };
            let bytes = size.bytes(sector);
            let bytes = bytes.map_err(|error| ErrorKind::usage_of(options, error.to_string()))?;
            if bytes == 0 {
                return Err(ErrorKind::usage_of(options, "must be more than 0").into());
            }
            if len.is_none() && option == "digest_every" && bytes < LEAST_OPEN_ENDED {
                let problem =
                    format!("must be at least {LEAST_OPEN_ENDED} where no length is known");
                return Err(ErrorKind::usage_of(options, problem).into());
            }
            let count = len.unwrap_or(0).div_ceil(bytes);
            if count > MOST_PIECES {
                let problem = format!("would make {count} digests, more than {MOST_PIECES}");
                return Err(ErrorKind::usage_of(options, problem).into());
            }
            if !lengths.contains(&bytes) {
                lengths.push(bytes);
            }
        }
        Ok(lengths)
    }

    /// Whether fingerprints are taken, to read back and compare.
    pub(crate) fn verifies(&self) -> bool {
        self.verify || self.repair
    }

    /// What the workers of a run share, whose requests have at most `io_size` bytes.
    pub(crate) fn control<'a>(&self, io_size: u64, watch: Watch<'a>) -> Control<'a> {
        Control {
            progress: watch.progress,
            cancel: watch.cancel,
            io_size,
            buffer_size: io_size,
            kernel_io_size: self.kernel_io_size(io_size),
            retries: self.retries,
            on_read_error: self.on_read_error,
            throttle: self.throttle(),
        }
    }

    /// The limit on the rate, for one run of workers.
    pub(crate) fn throttle(&self) -> Option<Throttle> {
        self.limit_rate.map(Throttle::new)
    }

    /// What becomes of the page cache in a copy of `bytes`, which waits for the
    /// disk if `sync`.
    pub(crate) fn page_cache(&self, state: CacheState, bytes: u64, sync: bool) -> PageCachePolicy {
        match self.keep_cache {
            true => PageCachePolicy::none(),
            false => PageCachePolicy::new(state, bytes, sync),
        }
    }

    /// The same of a copy of which nobody knows how long it will be.
    pub(crate) fn page_cache_of_a_stream(&self, sync: bool) -> PageCachePolicy {
        match self.keep_cache {
            true => PageCachePolicy::none(),
            false => PageCachePolicy::of_a_stream(sync),
        }
    }

    /// Whether storage is reserved for a copy that treats zeros in this way. Where
    /// the room is not believed to be what it seems, only if the user says so: what
    /// is reserved is not compressed. The same where most of it may stay as it is.
    pub(crate) fn reservation(&self, sparse: Sparse) -> Preallocate {
        match self.preallocate.beside(sparse) {
            Preallocate::Auto if self.ignore_space || self.only_changed => Preallocate::Off,
            how => how,
        }
    }

    /// The request size asked for, or `best`, in bytes.
    pub(crate) fn request_size(&self, sector: u32, best: u64) -> Result<u64> {
        let Some(size) = self.io_size else { return Ok(best) };
        let bytes = power_of_two(&["io_size"], size, sector, LARGEST_IO_SIZE)?;
        self.sparse.check_grain(&["io_size"], bytes)?;
        check_request(self.request_memory(bytes))?;
        Ok(bytes)
    }

    /// Memory that a worker has for requests of `bytes`, in bytes: as much again
    /// where what is there is compared.
    pub(crate) fn request_memory(&self, bytes: u64) -> u64 {
        if self.only_changed { bytes.saturating_mul(2) } else { bytes }
    }

    /// Longest request that moves no bytes through memory, where those that do
    /// have up to `io_size` bytes: no longer, if the user asked for that.
    pub(crate) fn kernel_io_size(&self, io_size: u64) -> u64 {
        if self.io_size.is_some() { io_size } else { io_size.max(KERNEL_IO_SIZE) }
    }

    /// The stripe size asked for, in bytes.
    pub(crate) fn stripe_size(&self, sector: u32) -> Result<Option<u64>> {
        let Some(size) = self.stripe_size else { return Ok(None) };
        let bytes = power_of_two(&["stripe_size"], size, sector, LARGEST_STRIPE)?;
        self.sparse.check_grain(&["stripe_size"], bytes)?;
        Ok(Some(bytes))
    }
}

/// Sizes that offsets are masked with.
pub(crate) fn power_of_two(
    options: &'static [&'static str],
    size: Size,
    sector: u32,
    most: u64,
) -> Result<u64> {
    let usage = |problem: String| ErrorKind::usage_of(options, problem);
    let bytes = size.bytes(sector).map_err(|error| usage(error.to_string()))?;
    if !bytes.is_power_of_two() || bytes < 512 || bytes > most {
        let range = format!("must be a power of two from 512 to {most} bytes, not {bytes}");
        return Err(usage(range).into());
    }
    Ok(bytes)
}

/// Durations as seconds.
mod seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(time.as_secs_f64())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let seconds = f64::deserialize(deserializer)?;
        Duration::try_from_secs_f64(seconds).map_err(serde::de::Error::custom)
    }
}

pub use remote::{Header, Login, MAX_RETRIES, PATIENCE, Proxies, Remote, Secret};
pub use s3::{DEFAULT_REGION, S3, S3Access, S3Keys, S3Style};
pub(crate) use setters::setters;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_the_same_after_they_were_stored() {
        let mut options = Options { limit_rate: Some(7), ..Options::default() };
        options.range = "1KiB..-1".parse().unwrap_or(RangeSpec::Last(Size::Sectors(3)));
        options.expected.push("crc32c:e3069283".parse().unwrap());
        options.stripe_size = Some(Size::Bytes(1 << 20));
        let range = ByteRange::between(3, 9);
        options.only = Some(range.into());
        let digest = "crc32c:e3069283".parse().unwrap();
        options.expected_in.push(RangeDigest { range, digest });
        options.threads = Threads::Exactly(3);
        options.wait = Duration::from_millis(1500);
        let json = serde_json::to_string(&options).unwrap();
        assert_eq!(serde_json::from_str::<Options>(&json).unwrap(), options);
    }

    #[test]
    fn what_is_not_named_has_its_default_and_what_is_unknown_is_refused() {
        let some: Options = serde_json::from_str(r#"{"threads":"4","verify":true}"#).unwrap();
        let expected = Options { verify: true, threads: 4.into(), ..Options::default() };
        assert_eq!(some, expected);
        assert!(serde_json::from_str::<Options>(r#"{"thread":"4"}"#).is_err());
    }
}
