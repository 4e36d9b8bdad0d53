//! How a chart is laid out: rows of cells, and what is said of a run of them.

use super::cells::{Cell, Look, cells};
use super::damage::sectors;
use super::{Chart, Counts, Unit};
use crate::range::ByteRange;

/// Cells in a row: a row and its offset fit a terminal of 80 columns.
pub(super) const COLUMNS: u64 = 64;

/// Rows of all charts of a picture together, which bounds its size.
pub(super) const ROWS: u64 = 12;

/// Charts in one picture; further ones are counted.
pub(super) const CHARTS: usize = ROWS as usize;

/// Areas up to which a few rows show everything.
const FEW: usize = 4;

/// The cells of `chart`, row by row, in at most so many rows.
pub(super) fn rows(chart: &Chart, most: u64) -> Vec<Vec<Cell>> {
    let rows = if chart.areas().len() <= FEW { most.min(FEW as u64) } else { most };
    let cells = cells(chart.areas(), chart.extent(), COLUMNS * rows.max(1));
    cells.chunks(COLUMNS as usize).map(<[Cell]>::to_vec).collect()
}

/// Rows for each of so many charts.
pub(super) fn rows_each(charts: usize) -> u64 {
    (ROWS / charts.max(1) as u64).max(1)
}

/// Cells beside each other that look the same.
pub(super) struct Run {
    /// The first of them, in its row.
    pub column: usize,
    /// How many.
    pub cells: usize,
    pub look: Look,
    pub range: ByteRange,
    pub counts: Counts,
}

/// A row as runs.
pub(super) fn runs(row: &[Cell]) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for (column, cell) in row.iter().enumerate() {
        let look = cell.look();
        match runs.last_mut() {
            Some(run) if run.look == look => {
                run.cells += 1;
                run.range = ByteRange::between(run.range.start(), cell.range.end());
                run.counts.merge(&cell.counts);
            }
            _ => runs.push(Run { column, cells: 1, look, range: cell.range, counts: cell.counts }),
        }
    }
    runs
}

/// What a run is: its range, in sectors too, and how much of what is in it.
pub(super) fn told(chart: &Chart, run: &Run) -> String {
    let mut text = format!("{} {}", chart.unit.plural(), run.range);
    if chart.unit == Unit::Bytes
        && let Some(sectors) = sectors(run.range, chart.sector)
    {
        text += &format!(", sectors {}-{}", sectors.start(), sectors.end());
    }
    let mut join = ':';
    for state in run.counts.present() {
        text += &format!("{join} {} {}", chart.unit.amount(run.counts.of(state)), state.name());
        join = ',';
    }
    text
}
