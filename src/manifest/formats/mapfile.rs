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
use crate::range::rescue::{Block, Reader};

/// An area of the map.
struct Area {
    line: u64,
    range: ByteRange,
    chosen: bool,
}

/// Reads a mapfile.
pub(in crate::manifest) fn read(input: &mut dyn BufRead, reading: &mut Reading<'_>) {
    let mut lines = Lines::new(input);
    let (mut map, mut areas) = (Reader::default(), Vec::<Area>::new());
    loop {
        let (number, line) = match lines.next() {
            Ok(None) => break,
            Ok(Some(line)) => line,
            Err(error) => return reading.unreadable(lines.number() + 1, &error),
        };
        match map.line(line) {
            Ok(None) => {}
            Ok(Some(Block { range, status })) => {
                let chosen = reading.options.areas.has(status.letter()).unwrap_or(false);
                add(&mut areas, Area { line: number, range, chosen });
            }
            Err(fault) => return reading.usage(number, format!("mapfile: {fault}")),
        }
    }
    items(&areas, map.end().unwrap_or(0), reading);
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
