//! Pictures of what is known of a source: which bytes were read, which could
//! not be, and which nobody has tried. Pure functions from areas to text, to
//! SVG and to HTML.
//!
//! A [`Chart`] is a list of areas without gaps. [`cells`] aggregates it into so
//! many cells that a picture stays small, however many areas there are: each
//! byte is counted in exactly one cell. This room must not know where areas
//! come from, except for a map of GNU ddrescue ([`mapfile`]); it opens no file.

pub mod cells;
mod changes;
mod damage;
mod grid;
pub mod html;
mod legend;
pub mod mapfile;
mod state;
mod style;
pub mod svg;
#[cfg(test)]
mod tests;
pub mod text;

pub use changes::{Change, changes};
pub use damage::{Damage, Names, damages};
pub use state::{Counts, STATES, State};

use crate::range::{ByteRange, RangeSet};
use crate::size::human;

/// Neighbouring bytes in the same state.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Area {
    /// Which bytes.
    pub range: ByteRange,
    /// What is known of them.
    pub state: State,
}

/// What a chart counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Unit {
    /// Bytes of a source.
    #[default]
    Bytes,
    /// Files of a batch, in the order of its list.
    Files,
}

impl Unit {
    /// So many of them, for people.
    pub fn amount(self, count: u64) -> String {
        match (self, count) {
            (Unit::Bytes, bytes) => human(bytes),
            (Unit::Files, 1) => "1 file".to_owned(),
            (Unit::Files, files) => format!("{files} files"),
        }
    }

    /// A position, for people.
    pub fn position(self, at: u64) -> String {
        match self {
            Unit::Bytes => human(at),
            Unit::Files => at.to_string(),
        }
    }

    /// What they are called in the head of a column.
    pub fn plural(self) -> &'static str {
        match self {
            Unit::Bytes => "bytes",
            Unit::Files => "files",
        }
    }
}

/// What is known of one source, as areas.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Chart {
    /// What it is of, as a heading.
    pub title: String,
    /// Where that is known from.
    pub about: String,
    /// What is counted.
    pub unit: Unit,
    /// Bytes of a logical sector; 0 if sectors are not to be shown.
    pub sector: u32,
    /// Ascending, each begins where the one before ends.
    areas: Vec<Area>,
    /// What is said of ranges that could not be read, ascending by their start.
    pub errors: Vec<Said>,
    /// Things worth knowing.
    pub notes: Vec<String>,
}

/// What is said of a range.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Said {
    /// Which bytes.
    pub range: ByteRange,
    /// An error, or the name of a file.
    pub text: String,
}

/// One layer of [`Chart::layered`].
pub struct Layer {
    /// Which bytes.
    pub ranges: RangeSet,
    /// What is known of them.
    pub state: State,
}

impl Chart {
    /// A chart of areas that follow each other without a gap; empty ones are
    /// left out and equal neighbours joined. `None` if there is a gap or an overlap.
    pub fn of_areas(areas: impl IntoIterator<Item = Area>) -> Option<Chart> {
        let mut chart = Chart::default();
        for area in areas {
            match chart.areas.last_mut() {
                Some(last) if last.range.end() != area.range.start() => return None,
                Some(last) if last.state == area.state => {
                    last.range = ByteRange::between(last.range.start(), area.range.end());
                }
                _ if area.range.is_empty() => {}
                _ => chart.areas.push(area),
            }
        }
        Some(chart)
    }

    /// A chart of `extent`, where `ground` is the state of all that no layer
    /// covers. A later layer covers those before it.
    pub fn layered(extent: ByteRange, ground: State, layers: Vec<Layer>) -> Chart {
        let mut covered = RangeSet::new();
        let mut areas: Vec<Area> = Vec::new();
        let ground = Layer { ranges: RangeSet::from(extent), state: ground };
        for Layer { ranges, state } in layers.into_iter().rev().chain([ground]) {
            let mut ranges = ranges.within(extent);
            ranges.subtract(&covered);
            areas.extend(ranges.iter().map(|range| Area { range, state }));
            covered.merge(&ranges);
        }
        areas.sort_by_key(|area| area.range.start());
        Chart { areas, ..Chart::default() }
    }

    /// The areas, ascending.
    pub fn areas(&self) -> &[Area] {
        &self.areas
    }

    /// From the first byte to the last.
    pub fn extent(&self) -> ByteRange {
        match (self.areas.first(), self.areas.last()) {
            (Some(first), Some(last)) => ByteRange::between(first.range.start(), last.range.end()),
            _ => ByteRange::default(),
        }
    }

    /// The same over a larger extent, of which the rest is outside.
    #[must_use]
    pub fn widened(mut self, extent: ByteRange) -> Chart {
        let own = self.extent();
        let outside = |start, end| {
            let range = ByteRange::new(start, end).filter(|range| !range.is_empty());
            range.map(|range| Area { range, state: State::Outside })
        };
        if self.areas.is_empty() {
            self.areas.extend(outside(extent.start(), extent.end()));
            return self;
        }
        let before = outside(extent.start(), own.start());
        let after = outside(own.end(), extent.end());
        let areas = before.into_iter().chain(self.areas).chain(after);
        self.areas = Chart::of_areas(areas).map(|chart| chart.areas).unwrap_or_default();
        self
    }

    /// How much there is in each state.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for area in &self.areas {
            counts.add(area.state, area.range.len());
        }
        counts
    }
}

/// A share in percent. It never says that all is there, or nothing, where that
/// is not so.
pub fn percent(part: u64, whole: u64) -> String {
    let hundredths = u128::from(part) * 10_000 / u128::from(whole.max(1));
    match hundredths {
        0 if part > 0 => "<0.01%".to_owned(),
        _ if part == whole && part > 0 => "100%".to_owned(),
        _ => format!("{}.{:02}%", hundredths / 100, hundredths % 100),
    }
}
