//! What the looks of a chart mean, and how much there is of each.

use super::cells::{Cell, Look};
use super::{Chart, Unit, percent};

/// One look.
pub(super) struct Row {
    pub look: Look,
    pub name: &'static str,
    /// How much, in figures; empty for a mixture, whose parts have rows of their own.
    pub exact: String,
    /// How much, for people; empty where that says no more.
    pub size: String,
    pub share: String,
    pub areas: String,
}

/// A row for each state that there is, and for a mixture, if a cell shows one.
pub(super) fn rows(chart: &Chart, grid: &[Vec<Cell>]) -> Vec<Row> {
    let (counts, total) = (chart.counts(), chart.extent().len());
    let mut rows: Vec<Row> = counts
        .present()
        .map(|state| Row {
            look: Look::Of(state),
            name: state.name(),
            exact: counts.of(state).to_string(),
            size: match chart.unit {
                Unit::Bytes => chart.unit.amount(counts.of(state)),
                Unit::Files => String::new(),
            },
            share: percent(counts.of(state), total),
            areas: counts.areas(state).to_string(),
        })
        .collect();
    if grid.iter().flatten().any(|cell| cell.look() == Look::Partly) {
        rows.push(Row {
            look: Look::Partly,
            name: "partly read",
            exact: String::new(),
            size: String::new(),
            share: String::new(),
            areas: String::new(),
        });
    }
    rows
}
