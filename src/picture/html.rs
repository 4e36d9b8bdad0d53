//! A page that stands alone: one file, without a script and without a byte
//! from elsewhere.

use std::fmt::Write;

use super::changes::changes;
use super::damage::{self, Damage, Names, damages, sectors};
use super::grid;
use super::svg::{cells_of, safe, sample};
use super::{Chart, Unit, legend, style, text};
use crate::size::human;

/// Bytes up to which damaged areas are listed: a page can be sent by mail.
const ROOM: usize = 180 << 10;

/// Damaged areas listed at most.
const LISTED: usize = 1000;

/// Everything of `charts` as a page: pictures, tables of what they show, damaged
/// areas by name, and of two charts what changed.
pub fn html(charts: &[Chart], names: &Names) -> String {
    let heading = if charts.len() == 2 { "Two maps" } else { "Map" };
    titled(heading, charts, names)
}

/// The same under a heading that says what the charts are of.
pub fn titled(heading: &str, charts: &[Chart], names: &Names) -> String {
    let title = charts.first().map_or("pcopy map", |chart| &chart.title);
    let mut out = begin(title, heading);
    let _ = writeln!(
        out,
        "<svg width=\"0\" height=\"0\" style=\"position:absolute\" aria-hidden=\"true\">{}</svg>",
        style::PATTERNS,
    );
    let rows = grid::rows_each(charts.len());
    for chart in charts.iter().take(grid::CHARTS) {
        write_chart(&mut out, chart, rows);
    }
    if charts.len() > grid::CHARTS {
        let _ = writeln!(out, "<p>and {} more sources</p>", charts.len() - grid::CHARTS);
    }
    if let [before, after] = charts
        && before.unit == after.unit
    {
        write_changes(&mut out, before, after);
    }
    for chart in charts.iter().take(grid::CHARTS) {
        write_damage(&mut out, chart, names);
    }
    end(&mut out);
    out
}

/// A page up to its heading, with the style of all.
pub(crate) fn begin(title: &str, heading: &str) -> String {
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{}</title>\n\
         <style>{}</style>\n</head>\n<body>\n<h1>{}</h1>\n",
        safe(title),
        style::of_page(),
        safe(heading),
    )
}

/// The end of a page.
pub(crate) fn end(out: &mut String) {
    let version = env!("CARGO_PKG_VERSION");
    let _ = writeln!(out, "<footer><p>Made by pcopy {version}</p></footer>\n</body>\n</html>");
}

fn write_chart(out: &mut String, chart: &Chart, rows: u64) {
    let grid = grid::rows(chart, rows);
    let _ = writeln!(
        out,
        "<h2>{}</h2>\n<p class=\"about\">{}: {}</p>",
        safe(&chart.title),
        safe(&chart.about),
        safe(&text::what(chart))
    );
    for note in &chart.notes {
        let _ = writeln!(out, "<p>{}</p>", safe(note));
    }
    if grid.is_empty() {
        return;
    }
    let _ = writeln!(
        out,
        "<figure style=\"margin:0\"><div class=\"scroll\">{}</div></figure>",
        cells_of(chart, &grid)
    );
    let plural = chart.unit.plural();
    let _ = writeln!(
        out,
        "<table>\n<tr><th></th><th>state</th><th class=\"num\">{plural}</th><th></th>\
         <th class=\"num\">share</th><th class=\"num\">areas</th></tr>"
    );
    for row in legend::rows(chart, &grid) {
        let _ = writeln!(
            out,
            "<tr><td>{}</td><td>{}</td><td class=\"num\">{}</td><td class=\"num\">{}</td>\
             <td class=\"num\">{}</td><td class=\"num\">{}</td></tr>",
            sample(row.look.class()),
            row.name,
            row.exact,
            row.size,
            row.share,
            row.areas
        );
    }
    *out += "</table>\n";
}

fn write_changes(out: &mut String, before: &Chart, after: &Chart) {
    *out += "<h2>From the first to the second</h2>\n<table>\n<tr><th>was</th><th>is</th>\
             <th class=\"num\">bytes</th><th></th></tr>\n";
    for change in changes(before, after) {
        let (from, to) = (change.from.name(), change.to.name());
        let _ = writeln!(
            out,
            "<tr><td>{from}</td><td>{to}</td><td class=\"num\">{}</td><td class=\"num\">{}</td></tr>",
            change.bytes,
            before.unit.amount(change.bytes)
        );
    }
    *out += "</table>\n";
}

fn write_damage(out: &mut String, chart: &Chart, names: &Names) {
    let all = damage::count(chart);
    if all == 0 || chart.unit != Unit::Bytes {
        return;
    }
    let listed = damages(chart, names, LISTED);
    let has_files = listed.iter().any(|damage| !damage.files.is_empty());
    let has_errors = listed.iter().any(|damage| damage.error.is_some());
    let _ = write!(
        out,
        "<h2>Damaged areas: {}</h2>\n<div class=\"scroll\"><table>\n\
         <tr><th></th><th>state</th><th class=\"num\">from byte</th><th class=\"num\">before byte</th>\
         <th class=\"num\">size</th>",
        safe(&chart.title)
    );
    if chart.sector > 0 {
        let _ = write!(out, "<th class=\"num\">sectors of {}</th>", chart.sector);
    }
    *out += if has_files { "<th>files</th>" } else { "" };
    *out += if has_errors { "<th>error</th>" } else { "" };
    *out += "</tr>\n";
    let mut told = 0;
    for damage in &listed {
        if out.len() > ROOM {
            break;
        }
        told += 1;
        write_row(out, chart, damage, Columns { has_files, has_errors });
    }
    *out += "</table></div>\n";
    if all > told {
        let _ = writeln!(out, "<p>and {} more</p>", all - told);
    }
}

/// Which columns there are beside numbers.
#[derive(Clone, Copy)]
struct Columns {
    has_files: bool,
    has_errors: bool,
}

fn write_row(out: &mut String, chart: &Chart, damage: &Damage, columns: Columns) {
    let range = damage.range;
    let _ = write!(
        out,
        "<tr><td>{}</td><td>{}</td><td class=\"num\">{}</td><td class=\"num\">{}</td>\
         <td class=\"num\">{}</td>",
        sample(damage.state.class()),
        damage.state.name(),
        range.start(),
        range.end(),
        human(range.len()),
    );
    if let Some(sectors) = sectors(range, chart.sector) {
        let _ = write!(out, "<td class=\"num\">{}–{}</td>", sectors.start(), sectors.end());
    }
    if columns.has_files {
        let files: Vec<String> = damage.files.iter().map(|file| safe(file)).collect();
        let _ = write!(out, "<td>{}</td>", files.join("<br>"));
    }
    if columns.has_errors {
        let _ = write!(out, "<td>{}</td>", safe(damage.error.as_deref().unwrap_or_default()));
    }
    *out += "</tr>\n";
}
