//! The map GNU ddrescue keeps of a rescue: which areas of a disk it has read.
//!
//! The chosen areas (by default the finished ones) go to one destination, each
//! at its own position, so that what is copied lies where it lay. With the
//! finished areas the source is the rescued image; with `?*/-` it is the disk,
//! for another try at what is missing. Areas follow each other without a gap;
//! a map where they do not was damaged and is refused.

use std::io::BufRead;

use super::super::{AreaStatuses, Details, Item, Lines, Reading, Run, Runs};
use crate::range::ByteRange;

/// An area of the map.
struct Area {
    line: u64,
    range: ByteRange,
    chosen: bool,
}

/// Reads a mapfile.
pub(in crate::manifest) fn read(input: &mut dyn BufRead, reading: &mut Reading<'_>) {
    let mut lines = Lines::new(input);
    let mut areas: Vec<Area> = Vec::new();
    let (mut status_seen, mut end) = (false, None);
    loop {
        let (number, line) = match lines.next() {
            Ok(None) => break,
            Ok(Some(line)) => line,
            Err(error) => return reading.unreadable(lines.number() + 1, &error),
        };
        let line = line.split(|&byte| byte == b'#').next().unwrap_or_default().trim_ascii();
        if line.is_empty() {
        } else if !status_seen {
            // The position and kind of the pass at hand, which is not ours to go on.
            status_seen = true;
        } else {
            match area(number, line, reading) {
                Ok(area) if end.is_none_or(|end| end == area.range.start()) => {
                    end = Some(area.range.end());
                    add(&mut areas, area);
                }
                Ok(_) => return reading.usage(number, "mapfile: areas leave a gap or overlap"),
                Err(why) => return reading.usage(number, format!("mapfile: {why}")),
            }
        }
    }
    items(&areas, end.unwrap_or(0), reading);
}

/// `POSITION SIZE STATUS`.
fn area(line: u64, text: &[u8], reading: &Reading<'_>) -> Result<Area, &'static str> {
    let mut words = text.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let mut word = || words.next().unwrap_or_default();
    let (position, size, status) = (number(word()), number(word()), word());
    let (Some(position), Some(size), b"") = (position, size, word()) else {
        return Err("an area is `POSITION SIZE STATUS`");
    };
    let chosen = match status {
        [status] => reading.options.areas.has(*status),
        _ => None,
    };
    let chosen = chosen.ok_or("a status that is none of ? * / - +")?;
    let range =
        ByteRange::with_len(position, size).ok_or("an area ends past what 64 bits count")?;
    Ok(Area { line, range, chosen })
}

/// A number as C reads it: decimal, `0x` hexadecimal, or octal with a zero.
fn number(word: &[u8]) -> Option<u64> {
    let word = std::str::from_utf8(word).ok().filter(|word| !word.starts_with('+'))?;
    match (word.strip_prefix("0x").or_else(|| word.strip_prefix("0X")), word.strip_prefix('0')) {
        (Some(digits), _) if !digits.starts_with('+') => u64::from_str_radix(digits, 16).ok(),
        (Some(_), _) => None,
        (None, Some(digits)) if !digits.is_empty() && !digits.starts_with('+') => {
            u64::from_str_radix(digits, 8).ok()
        }
        _ => word.parse().ok(),
    }
}

/// Neighbours that are both chosen are one area.
fn add(areas: &mut Vec<Area>, area: Area) {
    match areas.last_mut() {
        Some(last) if last.chosen && area.chosen => {
            last.range = ByteRange::between(last.range.start(), area.range.end());
        }
        _ => areas.push(area),
    }
}

fn items(areas: &[Area], end: u64, reading: &mut Reading<'_>) {
    let name = reading.only_name();
    let before = reading.items.len();
    for area in areas.iter().filter(|area| area.chosen && !area.range.is_empty()) {
        let Some(range) = area.range.rebase(0, reading.options.base) else {
            return reading.usage(area.line, "mapfile: an area ends past what 64 bits count");
        };
        reading.items.push(Item {
            line: area.line,
            name: name.clone().into(),
            source: None,
            runs: Runs::from_pieces([Run::Data(range)]),
            dest_offset: area.range.start(),
            details: Some(Box::new(Details { file_len: Some(end), ..Details::default() })),
        });
    }
    if reading.items.len() == before {
        if !areas.is_empty() && reading.options.areas != AreaStatuses::default() {
            // If all was rescued, nothing is missing.
            reading.may_leave_nothing();
        }
        reading.note("the mapfile has no area of the chosen status");
    }
}
