//! What comes from outside as bytes, each kind by one function that takes any bytes and
//! says nothing of good ones: a test calls it with the inputs that are kept in
//! `fuzz/corpus`, and with changed ones.
//!
//! # Panics
//!
//! Where something that must hold of every input does not.

use std::path::{Component, Path};

use crate::durable::map::Map;
use crate::manifest::{self, Format, ReadOptions, Run};
use crate::range::RangeSpec;
use crate::size::Size;

/// A kind of input.
#[derive(Clone, Copy)]
pub struct Kind {
    /// Its name, that of its folder in `fuzz/corpus`.
    pub name: &'static str,
    /// Takes one in.
    pub take: fn(&[u8]),
}

/// All of them.
pub const KINDS: &[Kind] = &[
    Kind { name: "range", take: range },
    Kind { name: "size", take: size },
    Kind { name: "map", take: map },
    Kind { name: "list", take: list },
    Kind { name: "report", take: report },
    #[cfg(feature = "http")]
    Kind { name: "reply", take: crate::endpoint::http::trial::reply },
    #[cfg(feature = "s3")]
    Kind { name: "message", take: crate::endpoint::s3::trial::message },
    Kind { name: "plan", take: crate::fleet::trial::plan },
    Kind { name: "record", take: crate::fleet::trial::record },
];

/// Takes in `bytes` of the kind called `name`.
pub fn take(name: &str, bytes: &[u8]) {
    let kind = KINDS.iter().find(|kind| kind.name == name).expect("a kind of input");
    (kind.take)(bytes);
}

/// Bytes of the sources that lists are about.
const SOURCE: u64 = 1 << 40;

/// A range as a user writes it: it means the same when it is shown and read again, and
/// on every source it lies inside or is refused.
pub fn range(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match text.parse::<RangeSpec>() {
        Err(error) => assert_shown(&error.to_string()),
        Ok(spec) => {
            assert_eq!(spec.to_string().parse(), Ok(spec), "{text:?}");
            for len in [0, 1, 511, 4096, SOURCE, u64::MAX] {
                match spec.resolve(len, 512) {
                    Ok(found) => assert!(found.end() <= len, "{text:?} of {len}"),
                    Err(error) => assert_shown(&error.to_string()),
                }
                if let Ok((found, _)) = spec.resolve_clamped(len, 4096) {
                    assert!(found.end() <= len, "{text:?} of {len}, clamped");
                }
            }
        }
    }
}

/// A size likewise.
pub fn size(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match text.parse::<Size>() {
        Err(error) => assert_shown(&error.to_string()),
        Ok(size) => assert_eq!(size.to_string().parse(), Ok(size), "{text:?}"),
    }
}

/// A map as it is, and the same with a checksum that is right: as long as it is wrong,
/// nothing of what is sealed by it is looked at.
pub fn map(bytes: &[u8]) {
    check_map(bytes);
    let mut sealed = bytes.to_vec();
    if !sealed.ends_with(b"\n") {
        sealed.push(b'\n');
    }
    let sum = crc32c::crc32c(&sealed);
    sealed.extend_from_slice(format!("# pcopy checksum crc32c {sum:08x}\n").as_bytes());
    check_map(&sealed);
}

/// A map that is believed says of no byte two things, of none outside, and the same when
/// it is written and read again.
fn check_map(bytes: &[u8]) {
    let map = match Map::from_bytes(bytes) {
        Err(error) => return assert_shown(&error.to_string()),
        Ok(map) => map,
    };
    assert!(map.done.common(&map.failed).is_empty(), "{map:?}");
    for part in map.done.iter().chain(map.failed.iter()) {
        assert!(map.extent.contains(part), "{map:?}");
    }
    let again = Map::from_bytes(&map.to_bytes()).expect("what is written can be read");
    assert_eq!(again, map);
}

/// A list. The first byte says in which format, or that it is to be found out, the second
/// one how it is read.
pub fn list(bytes: &[u8]) {
    let [which, how, text @ ..] = bytes else { return };
    let names = Format::names();
    let format = names.split(", ").nth(usize::from(*which) % (names.split(", ").count() + 1));
    let format = format.and_then(|name| name.parse::<Format>().ok());
    let has = |bit: u8| how & bit != 0;
    let sector = |_: Option<&Path>| Some(512);
    let len = |_: Option<&Path>| Some(SOURCE);
    let options = ReadOptions {
        source: Some(Path::new("disk.img")),
        sector_of: &sector,
        size_of: &len,
        base: if has(1) { 1 << 20 } else { 0 },
        skip_unmappable: has(2),
        ignore_columns: has(4),
        deleted: has(8),
        own_offsets: has(16),
        radix: if has(32) { 16 } else { 10 },
        disk_size: has(64).then_some(SOURCE),
        ..ReadOptions::default()
    };
    check_list(text, format, &options);
}

/// The report of a batch, taken as the list of what is still to be done.
pub fn report(bytes: &[u8]) {
    let options = ReadOptions {
        source: Some(Path::new("disk.img")),
        skip_complete: true,
        ignore_columns: true,
        ..ReadOptions::default()
    };
    check_list(bytes, Some(Format::Jsonl), &options);
}

/// A list that is believed names files below its folder, and bytes that its source has.
fn check_list(text: &[u8], format: Option<Format>, options: &ReadOptions<'_>) {
    let len = |_: Option<&Path>| Some(SOURCE);
    match manifest::load(text, format, options, len) {
        Err(errors) => assert_shown(&errors.to_string()),
        Ok(manifest) => {
            for item in &manifest.items {
                let is_plain = |part| matches!(part, Component::Normal(_));
                assert!(item.name.components().all(is_plain), "{:?}", item.name);
                for piece in item.runs.pieces(SOURCE) {
                    match piece {
                        Run::Data(range) => assert!(range.end() <= SOURCE, "{range}"),
                        Run::Hole(_) => {}
                    }
                }
                let end = item.runs.len(SOURCE).and_then(|len| item.dest_offset.checked_add(len));
                assert!(end.is_some(), "{:?} has no end", item.name);
            }
        }
    }
}

/// A message is for people: it has words, and nothing in it moves the cursor of a terminal.
pub(crate) fn assert_shown(message: &str) {
    let is_plain = |c: char| c == '\n' || !c.is_control();
    assert!(!message.is_empty() && message.chars().all(is_plain), "{message:?}");
}
