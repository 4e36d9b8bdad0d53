//! Tests of the map: the format against itself, against the tools of GNU
//! ddrescue, and on disk.

mod file;
mod format;
mod identity;

use super::*;

pub(super) fn range(start: u64, end: u64) -> ByteRange {
    ByteRange::new(start, end).expect("in order")
}

pub(super) fn set(runs: &[(u64, u64)]) -> RangeSet {
    runs.iter().map(|&(start, end)| range(start, end)).collect()
}

pub(super) fn identity() -> Identity {
    Identity {
        source: Source {
            path: "/data/disk of Ümit\n.img".into(),
            kind: "file".into(),
            size: 1 << 20,
            mtime_ns: Some(1_700_000_000_123_456_789),
            ctime_ns: Some(1_700_000_000_223_456_789),
            may_change: false,
            id: Some(ObjectId::File { device: 2049, inode: 77, born_ns: None }),
        },
        range: range(0x200, 0x10200),
        destination: Destination {
            path: "/data/out 100%".into(),
            offset: 4096,
            kind: "file".into(),
            mode: Mode::New,
            id: Some(ObjectId::File { device: 2049, inode: 78, born_ns: None }),
        },
        list: Some("0123abcd".into()),
    }
}

/// A map with every status and an identity with every field.
pub(super) fn sample() -> Map {
    Map {
        identity: Some(identity()),
        done: set(&[(0x200, 0x1200), (0x4000, 0x5000)]),
        failed: set(&[(0x1200, 0x1400), (0x5000, 0x5200)]),
        extent: range(0x200, 0x10200),
    }
}

/// The error and what caused it, as the command prints them.
pub(super) fn chain(error: &MapError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}
