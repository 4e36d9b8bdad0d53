//! What a copy offers to choose an engine by: asked once, before anything is
//! written, and of the open descriptors.

use std::fs::File;

use crate::io::page_cache::CacheState;
use crate::range::{ByteRange, Mapping};
use crate::source::OpenSource;
use crate::sparse::Sparse;
use crate::sys::{self, DeviceInfo, DirectAlignment, Directory, FileSystem, FileSystemKind};
use crate::words::words;

words! {
    /// Whether extents are shared with the source.
    #[derive(Default)]
    pub enum Reflink {
        /// Share extents where the file system can.
        #[default]
        Auto = "auto",
        /// Share extents, or fail if the file system cannot.
        Always = "always",
        /// Store every byte again.
        Never = "never",
    }
}

/// What the caller wants that bears on the choice.
#[derive(Clone, Copy, Debug, Default)]
pub struct Preferences {
    /// Whether extents are shared.
    pub reflink: Reflink,
    /// What becomes of holes.
    pub sparse: Sparse,
    /// Whether the bytes are wanted in memory, for a digest.
    pub needs_bytes: bool,
    /// How many workers there will be.
    pub threads: usize,
    /// Whether only what differs is written.
    pub only_changed: bool,
}

/// One end of a copy.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct End {
    /// The file system; `None` for a device, and for what is not a file.
    pub file_system: Option<FileSystem>,
    /// The number that the system has for the file system, where files have one.
    pub volume: Option<u64>,
    /// Whether it is a block device.
    pub device: bool,
    /// What requests past the page cache must be multiples of; `None` where
    /// there are none.
    pub direct: Option<DirectAlignment>,
    /// Whether the disk spins, if it says.
    pub rotational: Option<bool>,
    /// How it is best asked, where each request takes long, however short it is;
    /// `None` for storage of this machine.
    pub pace: Option<Pace>,
}

/// How to ask what is far away.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pace {
    /// Bytes of a request.
    pub request: u64,
    /// Bytes that one worker had best move, one request after the other; a multiple
    /// of that.
    pub piece: u64,
    /// Requests under way at once, at the beginning.
    pub start: usize,
    /// And at most.
    pub most: usize,
}

impl Pace {
    /// Of a copy of which this is one end, and `other` the other one.
    #[must_use]
    pub fn beside(self, other: Pace) -> Pace {
        Pace {
            request: self.request.max(other.request),
            piece: self.piece.max(other.piece),
            start: self.start.min(other.start),
            most: self.most.min(other.most),
        }
    }
}

impl End {
    /// Of a file or device that is read.
    pub fn of_source(source: &OpenSource) -> End {
        let file = source.file.as_file();
        match &source.device {
            None if source.is_joined() => {
                // No call of the kernel reads from several files.
                let rotational = End::of_file(file, source.facts.device).rotational;
                End { rotational, ..End::default() }
            }
            Some(info) => {
                let careful = DirectAlignment { offset: source.sector().into(), ..CAREFUL };
                let (direct, rotational) = (direct_of(file, careful), info.rotational);
                End { device: true, direct, rotational, ..End::default() }
            }
            None => End::of_file(file, source.facts.device),
        }
    }

    /// Of a file on the file system `volume`.
    pub fn of_file(file: &File, volume: u64) -> End {
        let direct = direct_of(file, CAREFUL);
        End { direct, ..End::on(sys::file_system(file).ok(), Some(volume)) }
    }

    /// Of a device.
    pub fn of_device(file: &File, info: &DeviceInfo) -> End {
        let (direct, rotational) = (direct_of(file, CAREFUL), info.rotational);
        End { device: true, direct, rotational, ..End::default() }
    }

    /// Of files in `directory` that are still to be made, and cannot be asked.
    pub fn of_directory(directory: &Directory) -> End {
        let file_system = sys::file_system(directory).ok();
        let memory = file_system.is_some_and(|system| system.kind == FileSystemKind::Tmpfs);
        let volume = directory.own_facts().ok().map(|facts| facts.device);
        End { direct: (!memory).then_some(CAREFUL), ..End::on(file_system, volume) }
    }

    /// Of one of those files, which may lie on another file system that is
    /// mounted below.
    pub fn of_file_in(&self, file: &File) -> End {
        match sys::facts(file) {
            Ok(facts) if Some(facts.device) != self.volume => End::of_file(file, facts.device),
            _ => *self,
        }
    }

    fn on(file_system: Option<FileSystem>, volume: Option<u64>) -> End {
        let rotational = volume.and_then(|volume| sys::is_rotational(volume, file_system));
        End { file_system, volume, rotational, ..End::default() }
    }

    /// Whether both are files of one file system.
    fn shares_file_system_with(&self, other: &End) -> bool {
        let id = |end: &End| end.file_system.and_then(|system| system.id);
        let are_same = |one: Option<u64>, other: Option<u64>| one.is_some() && one == other;
        are_same(self.volume, other.volume) || id(self).is_some() && id(self) == id(other)
    }

    /// Whether it is a regular file.
    pub fn is_file(&self) -> bool {
        self.file_system.is_some()
    }

    /// Whether there is an open file behind it at all.
    pub fn is_open(&self) -> bool {
        self.device || self.is_file()
    }

    /// Whether it is known to be a disk that spins.
    pub fn spins(&self) -> bool {
        self.rotational == Some(true)
    }

    /// Whether its files may share storage with others.
    pub fn may_share(&self) -> bool {
        self.file_system.is_some_and(|system| system.kind.may_share())
    }

    /// Unit of storage in bytes.
    pub fn block(&self) -> u64 {
        self.file_system.map_or(4096, |system| system.block)
    }

    /// Whether requests past the page cache are known to be good here.
    pub fn is_good_past_cache(&self) -> bool {
        use FileSystemKind::{Ext, Xfs};
        let good = |system: FileSystem| matches!(system.kind, Ext | Xfs);
        self.direct.is_some() && (self.device || self.file_system.is_some_and(good))
    }
}

/// What a copy offers to choose an engine by.
#[derive(Clone, Debug, Default)]
pub struct Capabilities {
    /// What is read.
    pub source: End,
    /// What is written.
    pub destination: End,
    /// Whether both are files of one file system.
    pub same_file_system: bool,
    /// Whether offsets in source and destination are the same within a block.
    pub congruent: bool,
    /// Whether the system has calls by which its kernel moves the bytes.
    pub kernel_moves: bool,
    /// Bytes to be moved.
    pub bytes: u64,
    /// Whether the copy makes the destination, which is a file: it has no name as yet, or
    /// got it from an earlier run of the same copy.
    pub fresh: bool,
    /// How much of the source is in the page cache. Only asked where much is
    /// to be moved.
    pub cache_state: CacheState,
    /// Memory that could be had, in bytes.
    pub memory: Option<u64>,
    /// Whether the bytes are wanted in memory.
    pub needs_bytes: bool,
    /// Whether they are wanted only to be looked at, as for a digest, which may
    /// be done when they are in the destination already.
    pub only_looks: bool,
    /// Whether holes and zeros must be stored.
    pub keep_no_holes: bool,
    /// Whether extents are shared.
    pub reflink: Reflink,
    /// How many workers there will be.
    pub threads: usize,
    /// Whether only what differs is written, so that the engine must compare.
    pub only_changed: bool,
}

/// Below this many bytes no engine is worth the questions.
pub const WORTH_ASKING: u64 = 1 << 20;

/// A copy between two ends, as far as it bears on the choice.
#[derive(Clone, Copy, Debug)]
pub struct Between {
    /// What is read.
    pub source: End,
    /// What is written.
    pub destination: End,
    /// What of the one, and where in the other.
    pub mapping: Mapping,
    /// Bytes to be moved.
    pub bytes: u64,
    /// Whether the copy makes the destination.
    pub fresh: bool,
}

impl Capabilities {
    /// Of a copy. `cache_state` is asked, how much of a range of the source is in
    /// the page cache, only where that matters.
    pub fn of(
        copy: Between,
        preferences: Preferences,
        cache_state: impl FnOnce(ByteRange) -> CacheState,
    ) -> Capabilities {
        let Between { source, destination, mapping, bytes, fresh } = copy;
        let block = destination.block();
        let asking = bytes >= WORTH_ASKING;
        Capabilities {
            same_file_system: source.shares_file_system_with(&destination),
            congruent: mapping.from().start() % block == mapping.to().start() % block,
            kernel_moves: sys::MOVES_BYTES,
            cache_state: if asking { cache_state(mapping.from()) } else { CacheState::Unknown },
            memory: if asking { sys::available_memory() } else { None },
            needs_bytes: preferences.needs_bytes || preferences.sparse == Sparse::Always,
            only_looks: preferences.needs_bytes && preferences.sparse != Sparse::Always,
            keep_no_holes: preferences.sparse == Sparse::Never,
            reflink: preferences.reflink,
            threads: preferences.threads,
            source,
            only_changed: preferences.only_changed,
            destination,
            bytes,
            fresh,
        }
    }
}

/// How much of what is there to be read is in the page cache.
pub(crate) fn cache_state(source: &OpenSource, range: ByteRange) -> CacheState {
    let stored = if source.device.is_some() { u64::MAX } else { source.facts.allocated };
    let stored = stored.min(range.len());
    match cached(source, range, stored) {
        Ok(cached) if cached <= stored / 64 => CacheState::Cold,
        Ok(cached) if cached < stored - stored / 64 => CacheState::Mixed,
        Ok(_) => CacheState::Warm,
        Err(_) => CacheState::Unknown,
    }
}

/// Most bytes of a range that are looked at to tell how much of it is in the
/// page cache. The system counts page by page: of 4 GiB in small pages that
/// took 59 ms on btrfs, many times what sharing them takes.
const LOOKED_AT: u64 = 64 << 20;

/// Places in a range that are looked at where not all of it is.
const PLACES: u64 = 64;

/// Bytes of `range` in the page cache, `stored` of which there are at most;
/// of a large range an estimate.
fn cached(source: &OpenSource, range: ByteRange, stored: u64) -> std::io::Result<u64> {
    let cached_in = |range: ByteRange| {
        let mut sum = Ok(0);
        source.io.for_each_place(range, &mut |file, place| {
            if let Ok(so_far) = sum {
                sum = sys::cached_bytes(file, place).map(|cached| so_far + cached);
            }
        });
        sum
    };
    // Of a file that is mostly holes, samples would tell of the holes; what it
    // has in the page cache is little, and soon counted.
    if stored < range.len() / 2 {
        return cached_in(range);
    }
    let (mut cached, mut looked_at) = (0, 0);
    for sample in samples(range) {
        cached += cached_in(sample)?;
        looked_at += sample.len();
    }
    // In 128 bits: a range times a sample need not fit in 64.
    let scaled = u128::from(cached) * u128::from(range.len()) / u128::from(looked_at.max(1));
    Ok(u64::try_from(scaled).unwrap_or(u64::MAX))
}

/// What of `range` is looked at: all of it, or places spread evenly over it.
fn samples(range: ByteRange) -> Vec<ByteRange> {
    if range.len() <= LOOKED_AT {
        return vec![range];
    }
    let (step, length) = (range.len() / PLACES, LOOKED_AT / PLACES);
    let place = |number| {
        let start = range.start() + number * step;
        ByteRange::between(start, start + length)
    };
    (0..PLACES).map(place).collect()
}

/// Where nothing says otherwise: what suits every disk there is.
const CAREFUL: DirectAlignment = DirectAlignment { memory: 4096, offset: 4096 };

/// `unasked` where the system does not say.
fn direct_of(file: &File, unasked: DirectAlignment) -> Option<DirectAlignment> {
    // It takes the flag, but goes through memory.
    if sys::file_system(file).is_ok_and(|system| system.kind == FileSystemKind::Tmpfs)
        && file.metadata().is_ok_and(|metadata| metadata.is_file())
    {
        return None;
    }
    sys::direct_alignment(file).ok().map(|asked| asked.unwrap_or(unasked))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_bounded_disjoint_and_inside() {
        for len in [0, 1, LOOKED_AT - 1, LOOKED_AT, LOOKED_AT + 1, 1 << 33, u64::MAX - 7] {
            let range = ByteRange::between(7, 7 + len);
            let samples = samples(range);
            assert!(samples.iter().all(|sample| range.contains(*sample)), "{len}");
            let ascending = samples.windows(2).all(|pair| pair[0].end() <= pair[1].start());
            assert!(ascending, "{len}: disjoint");
            let bytes: u64 = samples.iter().map(|sample| sample.len()).sum();
            assert_eq!(bytes, len.min(LOOKED_AT), "{len}");
        }
    }

    /// Half of a file in the page cache is neither cold nor warm, and all of it
    /// is warm, however large the file. Where the system does not say, nothing
    /// is known.
    #[test]
    fn the_estimate_tells_warm_from_mixed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let len = 2 * LOOKED_AT;
        std::fs::write(&path, vec![1; crate::io::as_usize(len)]).unwrap();
        let source = OpenSource::open(&path).unwrap();
        let all = ByteRange::to(len);
        if sys::cached_bytes(source.file.as_file(), all).is_err() {
            assert_eq!(cache_state(&source, all), CacheState::Unknown);
            return;
        }
        assert_eq!(cache_state(&source, all), CacheState::Warm);
        source.file.as_file().sync_all().unwrap();
        sys::drop_cached(source.file.as_file(), ByteRange::to(len / 2));
        let left = sys::cached_bytes(source.file.as_file(), all).unwrap();
        // On tmpfs nothing can be dropped.
        if left <= len / 2 {
            assert_eq!(cache_state(&source, all), CacheState::Mixed);
        }
    }
}
