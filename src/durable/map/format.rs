//! The text of a map, both ways. What the format is and why is told in the
//! documentation of the room above.

use super::identity::{Fields, Identity};
use super::{Map, MapError};
use crate::range::{ByteRange, RangeSet};
use std::io::Write;

/// The version of the comment lines this code writes, and the only one it reads.
const VERSION: &str = "1";

/// What every comment line of ours begins with.
const OURS: &[u8] = b"# pcopy ";

/// What the last line begins with; eight digits and a line end follow.
const SEAL: &[u8] = b"# pcopy checksum crc32c ";

const SEAL_BYTES: usize = SEAL.len() + 8 + 1;

/// The state of the bytes of one block.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Status {
    NonTried,
    Failed,
    Done,
}

impl Status {
    fn from_word(word: &[u8]) -> Option<Status> {
        match word {
            b"?" | b"*" | b"/" => Some(Status::NonTried),
            b"-" => Some(Status::Failed),
            b"+" => Some(Status::Done),
            _ => None,
        }
    }

    fn letter(self) -> u8 {
        match self {
            Status::NonTried => b'?',
            Status::Failed => b'-',
            Status::Done => b'+',
        }
    }
}

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
fn blocks(map: &Map) -> Vec<(ByteRange, Status)> {
    let failed = map.failed.within(map.extent);
    let mut done = map.done.within(map.extent);
    done.subtract(&failed);
    let mut known: Vec<(ByteRange, Status)> = done.iter().map(|run| (run, Status::Done)).collect();
    known.extend(failed.iter().map(|run| (run, Status::Failed)));
    // Two ascending runs one after the other: the standard sort merges them.
    known.sort_by_key(|(range, _)| range.start());

    let mut blocks = Vec::with_capacity(known.len() * 2 + 1);
    let mut rest = map.extent;
    for (range, status) in known {
        let (gap, _) = rest.split_at(range.start());
        (_, rest) = rest.split_at(range.end());
        if !gap.is_empty() {
            blocks.push((gap, Status::NonTried));
        }
        blocks.push((range, status));
    }
    // An empty extent is one block of no bytes, as ddrescue has it for an empty source.
    if !rest.is_empty() || blocks.is_empty() {
        blocks.push((rest, Status::NonTried));
    }
    blocks
}

/// What the status line says: where and in which phase ddrescue goes on.
fn current(map: &Map, blocks: &[(ByteRange, Status)]) -> (u64, Status) {
    let first = |wanted| blocks.iter().find(|(_, status)| *status == wanted);
    let next = first(Status::NonTried).or_else(|| first(Status::Failed));
    next.map_or((map.extent.start(), Status::Done), |(range, status)| (range.start(), *status))
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
    let mut lines = numbered_lines(bytes)
        .map(|(number, line)| (number, words(line)))
        .filter(|(_, words)| words[0].is_some());
    let (number, status) = lines
        .next()
        .ok_or_else(|| MapError::whole("no status line: the file is empty or cut short"))?;
    check_status_line(number, status)?;

    let (mut done, mut failed) = (RangeSet::new(), RangeSet::new());
    let mut extent: Option<ByteRange> = None;
    for (number, words) in lines {
        let (block, status) = parse_block(number, words)?;
        let so_far = extent.unwrap_or(ByteRange::with_len(block.start(), 0).unwrap_or_default());
        if block.start() != so_far.end() {
            let wrong = if block.start() < so_far.end() {
                "overlaps the one before"
            } else {
                "leaves a gap before it"
            };
            let (start, end) = (block.start(), so_far.end());
            return Err(MapError::at(
                number,
                format!("the block at {start:#x} {wrong}, which ends at {end:#x}"),
            ));
        }
        extent = Some(ByteRange::between(so_far.start(), block.end()));
        match status {
            Status::NonTried => {}
            Status::Failed => failed.insert(block),
            Status::Done => done.insert(block),
        }
    }
    Ok(Map { identity, done, failed, extent: extent.unwrap_or_default() })
}

/// Lines of the file, from 1, without their line ends.
fn numbered_lines(bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    bytes.split(|byte| *byte == b'\n').enumerate().map(|(index, line)| (index + 1, line))
}

/// The first four words of a line, up to a comment. No good line has four.
fn words(line: &[u8]) -> [Option<&[u8]>; 4] {
    let mut all = line
        .split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty())
        .take_while(|word| !word.starts_with(b"#"));
    [all.next(), all.next(), all.next(), all.next()]
}

/// The status line steers ddrescue and says nothing about bytes, so it is only
/// checked. Old versions of ddrescue write no pass.
fn check_status_line(number: usize, words: [Option<&[u8]>; 4]) -> Result<(), MapError> {
    let bad = || MapError::at(number, "not a status line (position, one of ?*/-+FG, pass)");
    let [Some(position), Some(status), pass, None] = words else {
        return Err(bad());
    };
    let known = matches!(status, [b'?' | b'*' | b'/' | b'-' | b'+' | b'F' | b'G']);
    let pass = pass.is_none_or(|pass| pass.iter().all(u8::is_ascii_digit) && pass != b"0");
    if !known || !pass {
        return Err(bad());
    }
    parse_number(position).map(drop).ok_or_else(bad)
}

fn parse_block(number: usize, words: [Option<&[u8]>; 4]) -> Result<(ByteRange, Status), MapError> {
    let bad = || MapError::at(number, "not a block (position, size, one of ?*/-+)");
    let [Some(position), Some(size), Some(status), None] = words else {
        return Err(bad());
    };
    let position = parse_number(position).ok_or_else(bad)?;
    let size = parse_number(size).ok_or_else(bad)?;
    let status = Status::from_word(status).ok_or_else(bad)?;
    let block = ByteRange::with_len(position, size);
    let past = || MapError::at(number, "the block ends past the largest position there is");
    block.map(|block| (block, status)).ok_or_else(past)
}

/// An integer as in C, which is how ddrescue reads it: `0x1F`, `31`, octal `037`.
fn parse_number(word: &[u8]) -> Option<u64> {
    let word = std::str::from_utf8(word).ok()?;
    let (digits, radix) = match word.strip_prefix("0x").or_else(|| word.strip_prefix("0X")) {
        Some(digits) => (digits, 16),
        None if word.starts_with('0') => (word, 8),
        None => (word, 10),
    };
    // The standard parser would take a plus sign.
    if digits.starts_with('+') {
        return None;
    }
    u64::from_str_radix(digits, radix).ok()
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
