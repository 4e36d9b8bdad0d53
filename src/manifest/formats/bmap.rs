//! Block maps of `bmaptool`, versions 1.2 to 2.0: which blocks of an image
//! hold data, each range with a checksum.
//!
//! Ranges count blocks and include their last one; the last range ends with
//! the image. All go to one destination at their own position, and each keeps
//! its checksum as the expected digest of its item. Since 1.3 the map carries
//! a checksum of itself, taken with its own digits as zeros; a map that does
//! not match it is refused, as bmaptool does.

use std::io::{BufRead, Read};

use super::super::{Details, Item, Reading, Run, Runs, decimal};
use super::xml::{Attributes, Visitor, walk};
use crate::digest::{Algorithm, Expectation, hash_slice};
use crate::range::ByteRange;

/// The largest map taken; half a million ranges fit.
const LARGEST: u64 = 64 << 20;

/// Reads a bmap file.
pub(in crate::manifest) fn read(input: &mut dyn BufRead, reading: &mut Reading<'_>) {
    let mut bytes = Vec::new();
    if let Err(error) = input.take(LARGEST).read_to_end(&mut bytes) {
        return reading.unreadable(0, &error);
    }
    if bytes.len() as u64 == LARGEST {
        return reading.usage(0, "bmap: longer than 64 MiB");
    }
    let mut map = Map::default();
    if let Err((line, why)) = walk(&mut &bytes[..], &mut map) {
        return reading.usage(line, format!("bmap: {why}"));
    }
    match map.algorithm().and_then(|algorithm| {
        map.verify_itself(&mut bytes, algorithm)?;
        map.items(algorithm, reading)
    }) {
        Ok(items) => reading.items.extend(items),
        Err((line, why)) => reading.usage(line, format!("bmap: {why}")),
    }
}

/// What the file says, as text, until all of it is there.
#[derive(Default)]
struct Map {
    version: String,
    image_size: Option<u64>,
    block_size: Option<u64>,
    blocks: Option<u64>,
    mapped: Option<u64>,
    checksum_type: Option<String>,
    checksum: Option<String>,
    ranges: Vec<Range>,
}

struct Range {
    line: u64,
    blocks: String,
    checksum: Option<String>,
}

type Wrong = (u64, String);

impl Visitor for Map {
    fn open(&mut self, name: &str, depth: usize, attributes: &Attributes<'_>, line: u64) {
        match name {
            "bmap" if depth == 1 => self.version = attributes.get("version").unwrap_or_default(),
            "Range" => {
                let checksum = attributes.get("chksum").or_else(|| attributes.get("sha1"));
                self.ranges.push(Range { line, blocks: String::new(), checksum });
            }
            _ => {}
        }
    }

    fn close(&mut self, name: &str, _depth: usize, text: &str, _line: u64) {
        let value = text.trim();
        let number = decimal(value.as_bytes());
        match name {
            "ImageSize" => self.image_size = number,
            "BlockSize" => self.block_size = number.filter(|&bytes| bytes > 0),
            "BlocksCount" => self.blocks = number,
            "MappedBlocksCount" => self.mapped = number,
            "ChecksumType" => self.checksum_type = Some(value.to_owned()),
            "BmapFileChecksum" | "BmapFileSHA1" => self.checksum = Some(value.to_owned()),
            "Range" => {
                if let Some(range) = self.ranges.last_mut() {
                    range.blocks = value.to_owned();
                }
            }
            _ => {}
        }
    }
}

impl Map {
    /// The algorithm of all checksums: SHA-1 until 1.3, then what is named.
    fn algorithm(&self) -> Result<Algorithm, Wrong> {
        if !matches!(&*self.version, "1.2" | "1.3" | "1.4" | "2.0") {
            return Err((1, format!("version {:?} is none of 1.2, 1.3, 1.4, 2.0", self.version)));
        }
        match self.checksum_type.as_deref() {
            None => Ok(Algorithm::Sha1),
            Some(name) => Algorithm::ALL
                .into_iter()
                .find(|algorithm| algorithm.name() == name)
                .ok_or_else(|| (0, format!("checksums of type {name:?} are not supported"))),
        }
    }

    fn verify_itself(&self, bytes: &mut [u8], algorithm: Algorithm) -> Result<(), Wrong> {
        let Some(checksum) = &self.checksum else {
            return match &*self.version {
                "1.2" => Ok(()),
                _ => Err((0, "it lacks the checksum of itself".to_owned())),
            };
        };
        let expected = Expectation::new(algorithm, checksum).map_err(|why| (0, why.to_string()))?;
        let digits = checksum.as_bytes();
        if let Some(at) = bytes.windows(digits.len()).position(|window| window == digits) {
            bytes[at..at + digits.len()].fill(b'0');
        }
        if !expected.is_met_by(&hash_slice(algorithm, bytes)) {
            return Err((0, "it does not match the checksum of itself: it was changed".to_owned()));
        }
        Ok(())
    }

    fn items(&self, algorithm: Algorithm, reading: &Reading<'_>) -> Result<Vec<Item>, Wrong> {
        let missing = |name: &str| (0, format!("{name} is missing or no number"));
        let size = self.image_size.ok_or_else(|| missing("ImageSize"))?;
        let block = self.block_size.ok_or_else(|| missing("BlockSize"))?;
        if self.blocks.is_some_and(|blocks| blocks != size.div_ceil(block)) {
            return Err((0, "BlocksCount does not agree with ImageSize".to_owned()));
        }
        let name = reading.only_name();
        let mut mapped = 0u64;
        let mut items = Vec::with_capacity(self.ranges.len());
        for range in &self.ranges {
            let (blocks, place) =
                range.place(block, size).map_err(|why| (range.line, why.to_owned()))?;
            let source = place.rebase(0, reading.options.base);
            let source = source.ok_or_else(|| (range.line, PAST.to_owned()))?;
            let expected = range.checksum.iter().map(|hex| Expectation::new(algorithm, hex.trim()));
            let expected: Result<Vec<Expectation>, _> = expected.collect();
            let expected = expected.map_err(|why| (range.line, why.to_string()))?.into();
            let details = Details { expected, file_len: Some(size), ..Details::default() };
            items.push(Item {
                line: range.line,
                name: name.clone().into(),
                source: None,
                runs: Runs::One(source),
                dest_offset: place.start(),
                details: Some(Box::new(details)),
            });
            mapped = mapped.saturating_add(blocks);
        }
        if self.mapped.is_some_and(|count| count != mapped) {
            return Err((0, "MappedBlocksCount does not agree with the ranges".to_owned()));
        }
        if items.is_empty() {
            // An image without data is still an image of its size; but nothing of it
            // is to be written to what is there.
            let (runs, details) = match reading.options.own_offsets {
                true => {
                    let details = Details { file_len: Some(size), ..Details::default() };
                    (Runs::One(ByteRange::to(0)), Some(Box::new(details)))
                }
                false => (Runs::from_pieces([Run::Hole(size)]), None),
            };
            let (name, source) = (name.into(), None);
            items.push(Item { line: 1, name, source, runs, dest_offset: 0, details });
        }
        Ok(items)
    }
}

const PAST: &str = "a range ends past what 64 bits count";

impl Range {
    /// How many blocks `FIRST-LAST` or `BLOCK` are, and the bytes they are in
    /// an image of `size`.
    fn place(&self, block: u64, size: u64) -> Result<(u64, ByteRange), &'static str> {
        let (first, last) = self.blocks.split_once('-').unwrap_or((&self.blocks, &self.blocks));
        let (first, last) = (decimal(first.trim().as_bytes()), decimal(last.trim().as_bytes()));
        let (Some(first), Some(last)) = (first, last) else {
            return Err("a range is FIRST-LAST or one block");
        };
        let end = last.checked_add(1).ok_or(PAST)?;
        let blocks = ByteRange::new(first, end).filter(|blocks| !blocks.is_empty());
        let blocks = blocks.ok_or("a range ends before it begins")?.len();
        let start = first.checked_mul(block).ok_or(PAST)?;
        let place = ByteRange::new(start, end.checked_mul(block).ok_or(PAST)?.min(size));
        let place = place.filter(|place| !place.is_empty() && end <= size.div_ceil(block));
        Ok((blocks, place.ok_or("a range lies outside the image")?))
    }
}
