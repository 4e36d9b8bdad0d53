//! The text of a map, both ways. What the format is and why is told in the
//! documentation of the room above.

use super::identity::{Fields, Identity};
use super::{Map, MapError};
use crate::range::rescue::{Block, BlockStatus, Reader};
use crate::range::{ByteRange, RangeSet};
use std::io::Write;

/// The version of the comment lines this code writes, and the only one it reads.
const VERSION: &str = "1";

/// What every comment line of ours begins with.
const OURS: &[u8] = b"# pcopy ";

/// What the last line begins with; eight digits and a line end follow.
const SEAL: &[u8] = b"# pcopy checksum crc32c ";

const SEAL_BYTES: usize = SEAL.len() + 8 + 1;

/// The whole file in one buffer.
pub(super) fn write(map: &Map) -> Vec<u8> {
    let blocks = blocks(map);
    let mut out = Vec::with_capacity(4096 + blocks.len() * 40);
    out.extend_from_slice(b"# Mapfile. Created by pcopy in the format of GNU ddrescue\n");
    if let Some(identity) = &map.identity {
        write_field(&mut out, "version", VERSION);
        for (name, value) in identity.lines() {
            write_field(&mut out, &name, &value);
        }
    }
    out.extend_from_slice(b"# current_pos  current_status  current_pass\n");
    let (position, status) = current(map, &blocks);
    write_number(&mut out, position);
    out.extend_from_slice(b"     ");
    out.push(status.letter());
    out.extend_from_slice(b"               1\n#      pos        size  status\n");
    for (range, status) in blocks {
        write_number(&mut out, range.start());
        out.extend_from_slice(b"  ");
        write_number(&mut out, range.len());
        out.extend_from_slice(&[b' ', b' ', status.letter(), b'\n']);
    }
    if map.identity.is_some() {
        let seal = seal(&out);
        out.extend_from_slice(&seal);
    }
    out
}

fn write_field(out: &mut Vec<u8>, name: &str, value: &str) {
    out.extend_from_slice(OURS);
    out.extend_from_slice(name.as_bytes());
    out.push(b' ');
    out.extend_from_slice(value.as_bytes());
    out.push(b'\n');
}

/// `0x` and at least eight digits, as ddrescue writes it. By hand, because a
/// fragmented map has a million of these and every checkpoint waits for them.
fn write_number(out: &mut Vec<u8>, number: u64) {
    let mut text = *b"0x0000000000000000";
    let digits = (u64::BITS - number.leading_zeros()).div_ceil(4).max(8) as usize;
    let mut rest = number;
    for place in text[2..2 + digits].iter_mut().rev() {
        *place = b"0123456789ABCDEF"[(rest & 0xF) as usize];
        rest >>= 4;
    }
    out.extend_from_slice(&text[..2 + digits]);
}

/// The map as contiguous blocks that fill its extent.
fn blocks(map: &Map) -> Vec<(ByteRange, BlockStatus)> {
    let failed = map.failed.within(map.extent);
    let mut done = map.done.within(map.extent);
    done.subtract(&failed);
    let mut known: Vec<(ByteRange, BlockStatus)> =
        done.iter().map(|run| (run, BlockStatus::Finished)).collect();
    known.extend(failed.iter().map(|run| (run, BlockStatus::Bad)));
    // Two ascending runs one after the other: the standard sort merges them.
    known.sort_by_key(|(range, _)| range.start());

    let mut blocks = Vec::with_capacity(known.len() * 2 + 1);
    let mut rest = map.extent;
    for (range, status) in known {
        let (gap, _) = rest.split_at(range.start());
        (_, rest) = rest.split_at(range.end());
        if !gap.is_empty() {
            blocks.push((gap, BlockStatus::NonTried));
        }
        blocks.push((range, status));
    }
    // An empty extent is one block of no bytes, as ddrescue has it for an empty source.
    if !rest.is_empty() || blocks.is_empty() {
        blocks.push((rest, BlockStatus::NonTried));
    }
    blocks
}

/// What the status line says: where and in which phase ddrescue goes on.
fn current(map: &Map, blocks: &[(ByteRange, BlockStatus)]) -> (u64, BlockStatus) {
    let first = |wanted| blocks.iter().find(|(_, status)| *status == wanted);
    let next = first(BlockStatus::NonTried).or_else(|| first(BlockStatus::Bad));
    next.map_or((map.extent.start(), BlockStatus::Finished), |(range, status)| {
        (range.start(), *status)
    })
}

/// The last line, for a file that has `body` before it.
fn seal(body: &[u8]) -> Vec<u8> {
    let mut line = SEAL.to_vec();
    // Writing to a Vec does not fail.
    let _ = writeln!(line, "{:08x}", crc32c::crc32c(body));
    line
}

pub(super) fn parse(bytes: &[u8]) -> Result<Map, MapError> {
    let identity = parse_identity(bytes)?;
    let (mut done, mut failed) = (RangeSet::new(), RangeSet::new());
    let (mut reader, mut start) = (Reader::default(), None);
    for (number, line) in numbered_lines(bytes) {
        let found = reader.line(line).map_err(|fault| MapError::at(number, fault.to_string()))?;
        let Some(Block { range, status }) = found else { continue };
        start.get_or_insert(range.start());
        match status {
            BlockStatus::Finished => done.insert(range),
            BlockStatus::Bad => failed.insert(range),
            // Not read yet, or not as far as it can be.
            _ => {}
        }
    }
    if !reader.has_status() {
        return Err(MapError::whole("no status line: the file is empty or cut short"));
    }
    let extent = start.zip(reader.end()).map(|(start, end)| ByteRange::between(start, end));
    Ok(Map { identity, done, failed, extent: extent.unwrap_or_default() })
}

/// Lines of the file, from 1, without their line ends.
fn numbered_lines(bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    bytes.split(|byte| *byte == b'\n').enumerate().map(|(index, line)| (index + 1, line))
}

/// The identity of a map of ours, after its version and checksum are found
/// good; `None` if no line is ours.
fn parse_identity(bytes: &[u8]) -> Result<Option<Identity>, MapError> {
    let mut ours =
        numbered_lines(bytes).filter_map(|(number, line)| Some((number, line.strip_prefix(OURS)?)));
    let Some((number, first)) = ours.next() else {
        return Ok(None);
    };
    match first.strip_prefix(b"version ") {
        Some(version) if version == VERSION.as_bytes() => {}
        Some(version) => {
            let version = String::from_utf8_lossy(version);
            return Err(MapError::at(
                number,
                format!("version {version:?} of the map; this pcopy reads version {VERSION}"),
            ));
        }
        None => return Err(MapError::at(number, "the version of the map is missing")),
    }
    check_seal(bytes)?;

    let mut fields = Fields::default();
    for (number, line) in ours {
        let line = std::str::from_utf8(line).map_err(|_| MapError::at(number, "not UTF-8"))?;
        match line.split_once(' ') {
            Some(("checksum", _)) => {}
            Some((name, value)) => fields.add(number, name, value)?,
            None => return Err(MapError::at(number, format!("{line:?} has no value"))),
        }
    }
    Identity::from_fields(fields).map(Some)
}

/// Refuses a map whose last line is not the checksum of all before it.
fn check_seal(bytes: &[u8]) -> Result<(), MapError> {
    let missing =
        || MapError::whole("the checksum at the end is missing: the map was cut short or edited");
    let at = bytes.len().checked_sub(SEAL_BYTES).ok_or_else(missing)?;
    let (body, last) = bytes.split_at(at);
    if !last.starts_with(SEAL) {
        return Err(missing());
    }
    if last != seal(body) {
        return Err(MapError::whole("the checksum does not match: the map was damaged or edited"));
    }
    Ok(())
}
