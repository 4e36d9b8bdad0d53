//! Pictures for a terminal of 80 columns.

use std::fmt::Write;

use super::cells::{Cell, cells};
use super::changes::changes;
use super::damage::{self, Names, damages, sectors};
use super::grid::{self, COLUMNS};
use super::{Area, Chart, Unit, legend};
use crate::range::ByteRange;
use crate::size::human;

/// Rows of the cells of one chart, and of each of several.
const ROWS: u64 = 8;

/// Columns that a line may take.
const WIDTH: usize = 78;

/// Columns of the offset before a row.
const OFFSET: usize = 11;

/// Damaged areas that are listed; the rest is counted.
pub const LISTED: usize = 20;

/// One line of `width` cells for `areas` of `extent`.
pub fn line(areas: &[Area], extent: ByteRange, width: u64) -> String {
    cells(areas, extent, width).iter().map(|cell| cell.look().glyph()).collect()
}

/// Everything of `charts`: pictures, tables of what they show, damaged areas by
/// name, and of two charts what changed. No line ends at the end.
pub fn text(charts: &[Chart], names: &Names) -> String {
    let mut out = String::new();
    let rows = (ROWS / charts.len().max(1) as u64).max(2);
    for chart in charts.iter().take(grid::CHARTS) {
        write_chart(&mut out, chart, rows);
        write_damage(&mut out, chart, names);
        out.push('\n');
    }
    if charts.len() > grid::CHARTS {
        put(&mut out, &format!("and {} more sources\n", charts.len() - grid::CHARTS));
    }
    if let [before, after] = charts
        && before.unit == after.unit
    {
        write_changes(&mut out, before, after);
    }
    out.truncate(out.trim_end().len());
    out
}

fn write_chart(out: &mut String, chart: &Chart, rows: u64) {
    put(out, &chart.title);
    put(out, &format!("{}: {}", chart.about, what(chart)));
    for note in &chart.notes {
        put(out, note);
    }
    out.push('\n');
    let grid = grid::rows(chart, rows);
    for row in &grid {
        let at = row.first().map_or(0, |cell| cell.range.start());
        let glyphs: String = row.iter().map(|cell| cell.look().glyph()).collect();
        put(out, &format!("{:>OFFSET$} {glyphs}", chart.unit.position(at)));
    }
    if !grid.is_empty() {
        out.push('\n');
    }
    write_table(out, chart, &grid);
}

/// How much there is, and where.
pub(super) fn what(chart: &Chart) -> String {
    let extent = chart.extent();
    match chart.unit {
        _ if extent.is_empty() => "nothing in it".to_owned(),
        Unit::Bytes => format!("bytes {extent}, {}", human(extent.len())),
        Unit::Files => chart.unit.amount(extent.len()),
    }
}

fn write_table(out: &mut String, chart: &Chart, grid: &[Vec<Cell>]) {
    let cell = chart.extent().len().div_ceil(COLUMNS * grid.len().max(1) as u64);
    let rows = legend::rows(chart, grid);
    if rows.is_empty() {
        return;
    }
    let (plural, areas) = (chart.unit.plural(), "areas");
    put(out, &format!("  {:<12} {plural:>20} {:>12} {:>8} {areas:>9}", "state", "", "share"));
    for row in rows {
        let glyph = row.look.glyph();
        let line = format!(
            "{glyph} {:<12} {:>20} {:>12} {:>8} {:>9}",
            row.name, row.exact, row.size, row.share, row.areas
        );
        put(out, line.trim_end());
    }
    if !grid.is_empty() {
        put(out, &format!("each cell: up to {}", chart.unit.amount(cell)));
    }
}

fn write_damage(out: &mut String, chart: &Chart, names: &Names) {
    let all = damage::count(chart);
    if all == 0 || chart.unit != Unit::Bytes {
        return;
    }
    put(out, &format!("\n{}", counted(all, "damaged area", "damaged areas")));
    for damage in damages(chart, names, LISTED) {
        let sectors = sectors(damage.range, chart.sector);
        let sectors = sectors.map(|all| format!(", sectors {}-{}", all.start(), all.end()));
        let (range, size) = (damage.range, human(damage.range.len()));
        let sectors = sectors.unwrap_or_default();
        let line = format!("{} {range}, {size}", damage.state.glyph());
        // Of the largest offsets, sectors have a line of their own.
        let gap = if line.len() + sectors.len() > WIDTH { "\n    " } else { "" };
        put(out, &format!("{line}{gap}{sectors}"));
        let said = damage.error.into_iter().chain(damage.files);
        for line in said {
            put(out, &format!("    {line}"));
        }
    }
    if all > LISTED {
        put(out, &format!("and {} more", all - LISTED));
    }
}

fn write_changes(out: &mut String, before: &Chart, after: &Chart) {
    put(out, "From the first to the second:");
    let mut same = 0;
    for change in changes(before, after) {
        if change.from == change.to {
            same += change.bytes;
            continue;
        }
        let (from, to) = (change.from.name(), change.to.name());
        let size = before.unit.amount(change.bytes);
        put(out, &format!("  {from:<12} → {to:<12} {:>20} {size:>12}", change.bytes));
    }
    put(out, &format!("  {:<27} {same:>20} {:>12}", "as it was", before.unit.amount(same)));
}

fn counted(count: usize, one: &str, many: &str) -> String {
    if count == 1 { format!("{count} {one}:") } else { format!("{count} {many}:") }
}

fn put(out: &mut String, line: &str) {
    // Writing to a string does not fail.
    let _ = writeln!(out, "{line}");
}
