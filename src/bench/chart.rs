//! Pictures of a sweep: bars for a terminal, and a chart of throughput over
//! threads as SVG. Pure text.

use std::fmt::Write;

use super::{Series, Spread};
use crate::picture::svg::safe;
use crate::pool::Threads;

/// A bar of up to `width` cells for `share`, from 0 to 1, in eighths of a cell.
pub fn bar(share: f64, width: usize) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = (share.clamp(0.0, 1.0) * width as f64 * 8.0).round() as usize;
    "█".repeat(eighths / 8) + EIGHTHS[eighths % 8]
}

/// One engine in the chart.
#[derive(Clone, PartialEq, Debug)]
pub struct Line {
    /// Its name.
    pub engine: String,
    /// Bytes a second for each number of threads, ascending; `auto` last.
    pub points: Vec<(Threads, Spread)>,
}

/// One line an engine: for each number of threads, its best request size.
pub fn lines(all: &[Series], bytes: u64) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    for series in all {
        let Some(seconds) = series.seconds() else { continue };
        let rate = seconds.per(bytes as f64);
        let (engine, threads) = (&series.setting.engine, series.setting.threads);
        let at = lines.iter().position(|line| &line.engine == engine).unwrap_or_else(|| {
            lines.push(Line { engine: engine.clone(), points: Vec::new() });
            lines.len() - 1
        });
        let points = &mut lines[at].points;
        match points.iter_mut().find(|point| point.0 == threads) {
            Some(point) if point.1.median < rate.median => point.1 = rate,
            Some(_) => {}
            None => points.push((threads, rate)),
        }
    }
    for line in &mut lines {
        line.points.sort_by_key(|&(threads, _)| order(threads));
    }
    lines
}

fn order(threads: Threads) -> usize {
    match threads {
        Threads::Exactly(threads) => threads,
        Threads::Auto => usize::MAX,
    }
}

/// Paper and ink, also of a dark page.
const STYLE: &str = "\
.paper{fill:#fff}.ink{fill:#1b1f24}.dim{fill:#57606a}.axis{stroke:#57606a}.grid{stroke:#e2e2e2}\
@media screen and (prefers-color-scheme:dark){.paper{fill:#0d1117}.ink{fill:#e6edf3}\
.dim{fill:#9da7b3}.axis{stroke:#9da7b3}.grid{stroke:#30363d}\
[stroke=\"#0072b2\"]{stroke:#3d8bfd}[fill=\"#0072b2\"]{fill:#3d8bfd}}";

/// Distance between the points of two lines at one number of threads, in pixels:
/// whiskers that lie on each other cannot be read.
const APART: f64 = 7.0;

/// Dashes of the lines, for a printer that has no colours.
const DASHES: [&str; 4] =
    ["", " stroke-dasharray=\"7 4\"", " stroke-dasharray=\"2 3\"", " stroke-dasharray=\"9 3 2 3\""];

/// Colours that people with any kind of colour vision tell apart (Okabe and Ito).
const COLOURS: [&str; 6] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00"];

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 440.0;
const LEFT: f64 = 78.0;
const RIGHT: f64 = 120.0;
const TOP: f64 = 72.0;
const BOTTOM: f64 = 58.0;

/// Least distance between two labels at the right, in pixels.
const LABEL_DISTANCE: f64 = 16.0;

/// Where things lie on the paper.
struct Axes {
    columns: Vec<Threads>,
    top_rate: f64,
    step: f64,
}

impl Axes {
    fn new(lines: &[Line]) -> Axes {
        let points = || lines.iter().flat_map(|line| &line.points);
        let mut columns: Vec<Threads> = points().map(|&(threads, _)| threads).collect();
        columns.sort_by_key(|&threads| order(threads));
        columns.dedup();
        let highest = points().map(|(_, rate)| rate.max).fold(1.0, f64::max);
        let step = round_step(highest / 5.0);
        Axes { columns, top_rate: (highest / step).ceil() * step, step }
    }

    fn x(&self, threads: Threads) -> f64 {
        let at = self.columns.iter().position(|&column| column == threads).unwrap_or(0);
        LEFT + (WIDTH - LEFT - RIGHT) * (at as f64 + 0.5) / self.columns.len().max(1) as f64
    }

    fn y(&self, rate: f64) -> f64 {
        HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * rate / self.top_rate
    }
}

/// The next 1, 2 or 5 times a power of ten in a binary unit, so that the grid
/// lies on numbers people know.
fn round_step(least: f64) -> f64 {
    let unit = unit_of(least).0;
    let mut step = unit;
    for factor in [2.0, 2.5, 2.0].iter().cycle().take(12) {
        if step >= least {
            break;
        }
        step *= factor;
    }
    step
}

fn unit_of(rate: f64) -> (f64, &'static str) {
    const UNITS: [(f64, &str); 4] = [
        ((1u64 << 30) as f64, "GiB/s"),
        ((1u64 << 20) as f64, "MiB/s"),
        ((1u64 << 10) as f64, "KiB/s"),
        (1.0, "B/s"),
    ];
    UNITS.into_iter().find(|&(unit, _)| rate >= unit).unwrap_or((1.0, "B/s"))
}

/// Throughput over threads, one line an engine, whiskers from the slowest to
/// the fastest run. `title` and `subtitle` stand above it.
pub fn svg(lines: &[Line], title: &str, subtitle: &str) -> String {
    let axes = Axes::new(lines);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         width=\"{WIDTH}\" height=\"{HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\" \
         role=\"img\" aria-label=\"{}\">\n<style>{STYLE}</style>\n\
         <rect class=\"paper\" width=\"100%\" height=\"100%\"/>\n",
        safe(&format!("Throughput by threads, {title}")),
    );
    text(&mut out, (LEFT, 26.0), "class=\"ink\" font-size=\"16\" font-weight=\"bold\"", title);
    text(&mut out, (LEFT, 46.0), "class=\"dim\"", subtitle);
    draw_grid(&mut out, &axes);
    let looks = COLOURS.iter().cycle().zip(DASHES.iter().cycle());
    for (at, (line, (colour, dashes))) in lines.iter().zip(looks).enumerate() {
        let aside = APART * (at as f64 - (lines.len() as f64 - 1.0) / 2.0);
        draw_line(&mut out, &axes, line, Look { colour, dashes, aside });
    }
    draw_labels(&mut out, &axes, lines);
    out + "</svg>\n"
}

fn draw_grid(out: &mut String, axes: &Axes) {
    // That of the step: in a larger one the numbers would not be round any more.
    let (unit, name) = unit_of(axes.step);
    let steps = (axes.top_rate / axes.step).round() as usize;
    for step in 0..=steps {
        let rate = axes.step * step as f64;
        let (y, right) = (axes.y(rate), WIDTH - RIGHT);
        let class = if step == 0 { "axis" } else { "grid" };
        put(
            out,
            &format!(
                "<line class=\"{class}\" x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{right}\" y2=\"{y:.1}\"/>"
            ),
        );
        let label = format!("{:.3}", rate / unit);
        let label = label.trim_end_matches('0').trim_end_matches('.');
        text(out, (LEFT - 8.0, y + 4.0), "text-anchor=\"end\" class=\"ink\"", label);
    }
    text(out, (LEFT - 8.0, TOP - 10.0), "text-anchor=\"end\" class=\"ink\"", name);
    let below = HEIGHT - BOTTOM + 20.0;
    for &threads in &axes.columns {
        let at = (axes.x(threads), below);
        text(out, at, "text-anchor=\"middle\" class=\"ink\"", &threads.to_string());
    }
    let middle = LEFT + (WIDTH - LEFT - RIGHT) / 2.0;
    text(out, (middle, below + 22.0), "text-anchor=\"middle\" class=\"ink\"", "threads");
}

/// How a line is told from the others.
struct Look {
    colour: &'static str,
    dashes: &'static str,
    /// How far to the right of its place, in pixels.
    aside: f64,
}

fn draw_line(out: &mut String, axes: &Axes, line: &Line, Look { colour, dashes, aside }: Look) {
    let x = |threads| axes.x(threads) + aside;
    let path: Vec<String> = line
        .points
        .iter()
        // Auto is not a number: it stands apart.
        .filter(|point| point.0 != Threads::Auto)
        .map(|&(threads, rate)| format!("{:.1},{:.1}", x(threads), axes.y(rate.median)))
        .collect();
    let path = path.join(" ");
    put(
        out,
        &format!(
            "<polyline points=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"{dashes}/>"
        ),
    );
    for &(threads, rate) in &line.points {
        let (x, y) = (x(threads), axes.y(rate.median));
        let (low, high) = (axes.y(rate.min), axes.y(rate.max));
        put(
            out,
            &format!(
                "<line x1=\"{x:.1}\" y1=\"{low:.1}\" x2=\"{x:.1}\" y2=\"{high:.1}\" \
                 stroke=\"{colour}\" stroke-opacity=\"0.45\" stroke-width=\"4\"/>"
            ),
        );
        put(out, &format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\" fill=\"{colour}\"/>"));
    }
}

/// Names at the right end of the lines, pushed apart where they would overlap.
fn draw_labels(out: &mut String, axes: &Axes, lines: &[Line]) {
    let mut labels: Vec<(f64, &str, &str)> = lines
        .iter()
        .zip(COLOURS.iter().cycle())
        .filter_map(|(line, colour)| {
            let (_, rate) = line.points.last()?;
            Some((axes.y(rate.median) + 4.0, line.engine.as_str(), *colour))
        })
        .collect();
    labels.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut free = f64::MIN;
    for (y, name, colour) in labels {
        let y = y.max(free);
        free = y + LABEL_DISTANCE;
        let style = format!("fill=\"{colour}\" font-weight=\"bold\"");
        text(out, (WIDTH - RIGHT + 10.0, y), &style, name);
    }
}

fn text(out: &mut String, (x, y): (f64, f64), style: &str, words: &str) {
    let words = safe(words);
    put(out, &format!("<text x=\"{x:.1}\" y=\"{y:.1}\" {style}>{words}</text>"));
}

fn put(out: &mut String, element: &str) {
    writeln!(out, "{element}").expect("a string takes everything");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::{Sample, Setting};

    fn series(engine: &str, threads: Threads, io_size: u64, seconds: f64) -> Series {
        let setting = Setting { engine: engine.to_owned(), threads, io_size: Some(io_size) };
        let samples = vec![Sample { seconds, ..Sample::default() }];
        Series { setting, samples, unusable: None }
    }

    #[test]
    fn bars_have_eighths() {
        let check = |share, expected: &str| assert_eq!(bar(share, 4), expected);
        check(0.0, "");
        check(1.0, "████");
        check(0.5, "██");
        check(0.53, "██▏");
        check(7.0, "████");
        check(f64::NAN, "");
    }

    #[test]
    fn the_best_request_size_stands_for_an_engine() {
        let all = [
            series("direct", Threads::Auto, 1, 1.0),
            series("direct", Threads::Exactly(4), 1, 2.0),
            series("direct", Threads::Exactly(4), 2, 1.0),
            series("direct", Threads::Exactly(1), 2, 4.0),
        ];
        let lines = lines(&all, 8);
        let medians: Vec<_> =
            lines[0].points.iter().map(|(t, rate)| (t.to_string(), rate.median)).collect();
        let expected = [("1", 2.0), ("4", 8.0), ("auto", 8.0)];
        assert_eq!(medians, expected.map(|(t, rate)| (t.to_owned(), rate)));
    }

    #[test]
    fn grid_steps_are_round() {
        let mib = (1 << 20) as f64;
        let check = |least: f64, step: f64| assert_eq!(round_step(least * mib), step * mib);
        check(1.0, 1.0);
        check(1.1, 2.0);
        check(3.0, 5.0);
        check(30.0, 50.0);
        check(700.0, 1000.0);
        check(1100.0, 2048.0);
    }

    #[test]
    fn labels_of_the_grid_are_round() {
        let picture =
            svg(&lines(&[series("direct", Threads::Exactly(1), 1, 1.0)], 1500 << 20), "", "");
        for label in [">500<", ">1000<", ">1500<", ">MiB/s<"] {
            assert!(picture.contains(label), "{label}: {picture}");
        }
    }

    #[test]
    fn whiskers_of_two_engines_do_not_lie_on_each_other() {
        let all = [
            series("direct", Threads::Exactly(1), 1, 1.0),
            series("mmap", Threads::Exactly(1), 1, 1.0),
        ];
        let picture = svg(&lines(&all, 5 << 30), "", "");
        let whiskers = picture.lines().filter(|element| element.contains("stroke-opacity"));
        let mut places: Vec<&str> = whiskers
            .filter_map(|element| element.split("x1=\"").nth(1)?.split('"').next())
            .collect();
        assert_eq!(places.len(), 2, "{picture}");
        places.dedup();
        assert_eq!(places.len(), 2, "{picture}");
    }

    #[test]
    fn a_chart_is_well_formed_and_stays_on_the_paper() {
        let all = [
            series("a<b>&c", Threads::Exactly(1), 1, 1.0),
            series("direct", Threads::Exactly(1), 1, 1.01),
            series("direct", Threads::Auto, 1, 0.5),
        ];
        for lines in [lines(&all, 5 << 30), lines(&all, 0), Vec::new()] {
            let picture = svg(&lines, "title", "1 < 2 & 3");
            assert!(picture.contains("1 &lt; 2 &amp; 3") && !picture.contains("NaN"));
            let opened = picture.matches("<text").count();
            assert_eq!(opened, picture.matches("</text>").count());
            for part in picture.split(" y=\"").skip(1) {
                let y: f64 = part.split('"').next().unwrap().parse().unwrap();
                assert!((0.0..=HEIGHT).contains(&y), "{y}");
            }
        }
    }
}
