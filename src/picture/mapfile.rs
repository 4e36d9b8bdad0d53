//! A map of GNU ddrescue as a chart, with all the states that it knows, and nothing
//! of who wrote the map.

use super::{Area, Chart, State};
use crate::range::rescue::{Block, BlockStatus, Reader};

/// What is wrong with the text of a map.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct BadMap {
    /// From 1.
    pub line: usize,
    /// For people.
    pub reason: String,
}

/// The areas of a map.
///
/// # Errors
///
/// [`BadMap`] with the first line that cannot be understood, or that leaves a
/// gap or overlaps the one before.
pub fn parse(bytes: &[u8]) -> Result<Chart, BadMap> {
    let (mut reader, mut areas, mut last) = (Reader::default(), Vec::<Area>::new(), 1);
    for (index, line) in bytes.split(|&byte| byte == b'\n').enumerate() {
        let wrong = |reason: String| BadMap { line: index + 1, reason };
        let found = reader.line(line).map_err(|fault| wrong(fault.to_string()))?;
        let Some(Block { range, status }) = found else { continue };
        areas.push(Area { range, state: state(status) });
        last = index + 1;
    }
    let wrong = |reason: &str| BadMap { line: last, reason: reason.to_owned() };
    if !reader.has_status() {
        return Err(wrong("there is no status line"));
    }
    // The reader has seen to it that there are none.
    Chart::of_areas(areas).ok_or_else(|| wrong("areas leave a gap"))
}

fn state(status: BlockStatus) -> State {
    match status {
        BlockStatus::NonTried => State::NonTried,
        BlockStatus::NonTrimmed => State::NonTrimmed,
        BlockStatus::NonScraped => State::NonScraped,
        BlockStatus::Bad => State::Bad,
        BlockStatus::Finished => State::Read,
    }
}
