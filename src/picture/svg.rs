//! A picture that stands alone, and the part of it that a page takes.

use std::fmt::Write;

use super::cells::Cell;
use super::grid::{self, COLUMNS, runs, told};
use super::{Chart, Unit, legend, style, text};
use crate::error::escaped;

/// Pixels of a cell.
const CELL: (usize, usize) = (11, 16);

/// Where the cells begin, and how wide the picture is.
const LEFT: usize = 92;
const WIDTH: usize = LEFT + COLUMNS as usize * CELL.0 + 12;

/// Pixels of a line of text.
const LINE: usize = 20;

/// Characters of a heading that fit.
const HEADING: usize = 88;

/// All of `charts` as one picture.
pub fn svg(charts: &[Chart]) -> String {
    let rows = grid::rows_each(charts.len());
    let mut body = String::new();
    let mut y = 12;
    for chart in charts.iter().take(grid::CHARTS) {
        y = draw_chart(&mut body, chart, rows, y);
    }
    if charts.len() > grid::CHARTS {
        let more = format!("and {} more sources", charts.len() - grid::CHARTS);
        words(&mut body, Place { x: 12, y: y + 8, style: "class=\"dim\"" }, &more);
        y += LINE;
    }
    let label = charts.first().map_or_else(String::new, summary);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {y}\" width=\"{WIDTH}\" \
         height=\"{y}\" font-family=\"system-ui,sans-serif\" font-size=\"13\" role=\"img\" \
         aria-label=\"{}\">\n<style>{}</style>\n{}\n\
         <rect class=\"paper\" width=\"100%\" height=\"100%\"/>\n{body}</svg>\n",
        safe(&label),
        style::of_picture(),
        style::PATTERNS,
    )
}

/// What a chart shows in a sentence, for somebody who cannot see it.
pub(super) fn summary(chart: &Chart) -> String {
    let counts = chart.counts();
    let parts = counts
        .present()
        .map(|state| format!("{} {}", chart.unit.amount(counts.of(state)), state.name()));
    format!("{}: {}", chart.title, parts.collect::<Vec<String>>().join(", "))
}

/// Draws a chart with its heading and its legend below `y`, and returns where
/// the next one begins.
fn draw_chart(out: &mut String, chart: &Chart, rows: u64, y: usize) -> usize {
    let heading =
        Place { x: 12, y: y + 14, style: "class=\"ink\" font-size=\"16\" font-weight=\"600\"" };
    words(out, heading, &end_of(&chart.title, HEADING));
    let about = format!("{}: {}", chart.about, text::what(chart));
    let mut y = y + 14;
    for line in std::iter::once(&about).chain(&chart.notes) {
        y += LINE;
        words(out, Place { x: 12, y, style: "class=\"dim\"" }, &end_of(line, HEADING + 16));
    }
    let grid = grid::rows(chart, rows);
    y += 14;
    draw_grid(out, chart, &grid, y);
    y += grid.len() * CELL.1 + 8;
    for row in legend::rows(chart, &grid) {
        y += LINE;
        swatch(out, row.look.class(), y - 12);
        let line =
            |x, anchor| format!("class=\"ink\" x=\"{x}\" y=\"{y}\" text-anchor=\"{anchor}\"");
        let put = |out: &mut String, style: String, text: &str| {
            let _ = write!(out, "<text {style}>{}</text>", safe(text));
        };
        put(out, line(LEFT + 32, "start"), row.name);
        let mut areas = row.areas;
        if !areas.is_empty() {
            areas += if areas == "1" { " area" } else { " areas" };
        }
        let mut exact = row.exact;
        if !exact.is_empty() && chart.unit == Unit::Bytes {
            exact += " B";
        }
        for (x, text) in [
            (LEFT + 310, exact),
            (LEFT + 420, row.size),
            (LEFT + 510, row.share),
            (LEFT + 640, areas),
        ] {
            put(out, line(x, "end"), &text);
        }
        out.push('\n');
    }
    y + 24
}

fn swatch(out: &mut String, class: &str, y: usize) {
    let _ = write!(
        out,
        "<rect class=\"{class}\" x=\"{LEFT}\" y=\"{y}\" width=\"22\" height=\"14\"/>\
         <rect class=\"frame\" x=\"{LEFT}\" y=\"{y}\" width=\"22\" height=\"14\"/>"
    );
}

/// The cells of a chart, each row with its offset, from `top` down.
fn draw_grid(out: &mut String, chart: &Chart, grid: &[Vec<Cell>], top: usize) {
    for (index, row) in grid.iter().enumerate() {
        let y = top + index * CELL.1;
        let at = row.first().map_or(0, |cell| cell.range.start());
        let label = Place {
            x: LEFT - 8,
            y: y + 12,
            style: "class=\"dim\" text-anchor=\"end\" font-size=\"12\"",
        };
        words(out, label, &chart.unit.position(at));
        for run in runs(row) {
            let (x, width) = (LEFT + run.column * CELL.0, run.cells * CELL.0);
            let _ = write!(
                out,
                "<rect class=\"{}\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{}\"><title>{}</title></rect>",
                run.look.class(),
                CELL.1,
                safe(&told(chart, &run)),
            );
        }
        out.push('\n');
    }
    draw_lines(out, grid, top);
}

/// The lines between cells, and the frame around all.
fn draw_lines(out: &mut String, grid: &[Vec<Cell>], top: usize) {
    let Some(columns) = grid.first().map(Vec::len) else { return };
    let (width, height) = (columns * CELL.0, grid.len() * CELL.1);
    let mut path = String::new();
    for column in 1..columns {
        let _ = write!(path, "M{} {top}v{height}", LEFT + column * CELL.0);
    }
    for row in 1..grid.len() {
        let _ = write!(path, "M{LEFT} {}h{width}", top + row * CELL.1);
    }
    let _ = writeln!(
        out,
        "<path class=\"lines\" pointer-events=\"none\" d=\"{path}\"/>\
         <rect class=\"frame\" pointer-events=\"none\" x=\"{LEFT}\" y=\"{top}\" width=\"{width}\" height=\"{height}\"/>"
    );
}

/// The cells of a chart alone, for a page that has the style, the patterns and
/// the words around them.
pub(super) fn cells_of(chart: &Chart, grid: &[Vec<Cell>]) -> String {
    let (top, height) = (2, grid.len() * CELL.1 + 4);
    let mut body = String::new();
    draw_grid(&mut body, chart, grid, top);
    format!(
        "<svg viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" role=\"img\" \
         aria-label=\"{}\">\n{body}</svg>\n",
        safe(&summary(chart))
    )
}

/// What a look looks like, for a page.
pub(super) fn sample(class: &str) -> String {
    format!(
        "<svg width=\"24\" height=\"16\" aria-hidden=\"true\"><rect class=\"{class}\" x=\"1\" y=\"1\" \
         width=\"22\" height=\"14\"/><rect class=\"frame\" x=\"1\" y=\"1\" width=\"22\" height=\"14\"/></svg>"
    )
}

/// Where words stand, and how.
struct Place {
    x: usize,
    y: usize,
    style: &'static str,
}

fn words(out: &mut String, place: Place, text: &str) {
    let Place { x, y, style } = place;
    let _ = writeln!(out, "<text x=\"{x}\" y=\"{y}\" {style}>{}</text>", safe(text));
}

/// The end of a text that is too long: of a path, that says most.
fn end_of(text: &str, most: usize) -> String {
    let count = text.chars().count();
    if count <= most {
        return text.to_owned();
    }
    let kept: String = text.chars().skip(count - most + 1).collect();
    format!("…{kept}")
}

/// A text as the content of an element or attribute, whatever it holds.
pub(crate) fn safe(text: &str) -> String {
    let text = escaped(text).replace('&', "&amp;").replace('<', "&lt;");
    text.replace('>', "&gt;").replace('"', "&quot;")
}
