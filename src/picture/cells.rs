//! From any number of areas to a given number of cells.

use super::{Area, Counts, State};
use crate::range::ByteRange;

/// A part of an extent, and what is in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cell {
    /// Which bytes.
    pub range: ByteRange,
    /// How many of them are in which state.
    pub counts: Counts,
}

/// What a cell shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Look {
    /// A state: all bytes are in it, or it is the one to be seen most.
    Of(State),
    /// Some bytes were read and some not tried.
    Partly,
}

impl Look {
    /// One character for it.
    pub const fn glyph(self) -> char {
        match self {
            Look::Of(state) => state.glyph(),
            Look::Partly => '▒',
        }
    }

    pub(super) const fn class(self) -> &'static str {
        match self {
            Look::Of(state) => state.class(),
            Look::Partly => "p",
        }
    }
}

impl Cell {
    /// What it shows: damage, however small; else whether all was read.
    pub fn look(&self) -> Look {
        let worst = self.counts.present().next().unwrap_or(State::Outside);
        if worst == State::Read && self.counts.of(State::NonTried) > 0 {
            return Look::Partly;
        }
        Look::Of(worst)
    }
}

/// `extent` cut into `count` cells of the same size, as far as bytes allow it;
/// fewer, where there are fewer bytes.
pub fn pieces(extent: ByteRange, count: u64) -> impl Iterator<Item = ByteRange> {
    let count = count.min(extent.len());
    let edge = move |index: u64| {
        let bytes = u128::from(extent.len()) * u128::from(index) / u128::from(count.max(1));
        // At most the length of the extent, which is a `u64`.
        extent.start() + u64::try_from(bytes).unwrap_or(extent.len())
    };
    (0..count).map(move |index| ByteRange::between(edge(index), edge(index + 1)))
}

/// The cells of `areas`, which are ascending, in `extent`. A byte of an area
/// inside `extent` is counted in exactly one cell; bytes of no area in none.
pub fn cells(areas: &[Area], extent: ByteRange, count: u64) -> Vec<Cell> {
    let mut rest = areas.iter().copied().peekable();
    let mut cells = Vec::with_capacity(usize::try_from(count.min(extent.len())).unwrap_or(0));
    for range in pieces(extent, count) {
        let mut counts = Counts::default();
        while let Some(area) = rest.peek() {
            if area.range.start() >= range.end() {
                break;
            }
            let inside = area.range.intersect(range);
            if !inside.is_empty() {
                counts.add(area.state, inside.len());
            }
            if area.range.end() > range.end() {
                break;
            }
            rest.next();
        }
        cells.push(Cell { range, counts });
    }
    cells
}
