//! The areas that could not be read, one by one, with what is known of each.

use super::{Chart, Said, State};
use crate::range::ByteRange;

/// Names of files told of one area; the rest is counted.
const MOST_NAMES: usize = 4;

/// Characters of a name or an error that are shown: a table of hundreds stays small.
const MOST_TEXT: usize = 120;

/// An area that is damaged.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Damage {
    /// Which bytes.
    pub range: ByteRange,
    /// In which way.
    pub state: State,
    /// What the system said, if that is known.
    pub error: Option<String>,
    /// Files with bytes in it, if there is a list of files.
    pub files: Vec<String>,
}

/// Names of files by the bytes that they are made of.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// Ascending by their start.
    pieces: Vec<Said>,
    /// The largest end of the pieces up to this one.
    ends: Vec<u64>,
}

impl Names {
    /// The pieces of any files in any order.
    pub fn new(mut pieces: Vec<Said>) -> Names {
        pieces.sort_by_key(|piece| piece.range.start());
        let ends = pieces
            .iter()
            .scan(0, |end, piece| {
                *end = piece.range.end().max(*end);
                Some(*end)
            })
            .collect();
        Names { pieces, ends }
    }

    /// Files with a byte in `range`, each once: a few by name, and how many more.
    pub fn in_range(&self, range: ByteRange) -> Vec<String> {
        let after = self.pieces.partition_point(|piece| piece.range.start() < range.end());
        let mut names: Vec<&str> = Vec::new();
        for at in (0..after).rev() {
            // No piece from here down reaches so far.
            if self.ends[at] <= range.start() {
                break;
            }
            let piece = &self.pieces[at];
            if piece.range.overlaps(range) {
                names.push(&piece.text);
            }
        }
        names.sort_unstable();
        names.dedup();
        let more = names.len().saturating_sub(MOST_NAMES);
        let mut told: Vec<String> = names.into_iter().take(MOST_NAMES).map(shortened).collect();
        if more > 0 {
            told.push(format!("and {more} more"));
        }
        told
    }
}

/// The damaged areas of `chart`, ascending, at most so many.
pub fn damages(chart: &Chart, names: &Names, most: usize) -> Vec<Damage> {
    let damaged = chart.areas().iter().filter(|area| area.state.is_damage());
    let of = |area: &super::Area| {
        let at = chart.errors.partition_point(|said| said.range.end() <= area.range.start());
        let error = chart.errors.get(at).filter(|said| said.range.overlaps(area.range));
        Damage {
            range: area.range,
            state: area.state,
            error: error.map(|said| shortened(&said.text)),
            files: names.in_range(area.range),
        }
    };
    damaged.take(most).map(of).collect()
}

/// How many damaged areas there are.
pub(super) fn count(chart: &Chart) -> usize {
    chart.areas().iter().filter(|area| area.state.is_damage()).count()
}

/// The sectors that a range touches, if sectors are known: the first, and the last.
pub(super) fn sectors(range: ByteRange, sector: u32) -> Option<ByteRange> {
    let sector = u64::from(sector);
    if sector == 0 || range.is_empty() {
        return None;
    }
    ByteRange::new(range.start() / sector, (range.end() - 1) / sector)
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(MOST_TEXT) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}
