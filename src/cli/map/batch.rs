//! The reports of a batch, as charts: one of its files, in the order of its
//! list, and one of each source that its ranges come from.

use std::collections::BTreeMap;

use pcopy::batch::{ItemReport, Items, Status};
use pcopy::picture::{Area, Chart, Layer, Said, State, Unit};
use pcopy::range::RangeSet;
use pcopy::report::FailedRange;
use pcopy::{ByteRange, size};
use serde::Deserialize;

use super::read::SECTOR;
use super::report::said;

/// One line of a report. Names that are not UTF-8 are in hexadecimal.
#[derive(Deserialize)]
struct Line {
    name: Option<String>,
    name_hex: Option<String>,
    source: Option<String>,
    source_hex: Option<String>,
    start: Option<u64>,
    len: Option<u64>,
    #[serde(default)]
    runs: Vec<Run>,
    status: Status,
    #[serde(default)]
    bytes: u64,
    #[serde(default)]
    failed: Vec<FailedRange>,
    error: Option<String>,
}

#[derive(Deserialize)]
struct Run {
    start: Option<u64>,
    len: u64,
}

/// What became of a file as a whole, as a picture has it.
fn of_file(status: Status) -> State {
    match status {
        Status::Complete | Status::Skipped => State::Read,
        // Copied, but for some bytes.
        Status::Partial => State::NonScraped,
        Status::Mismatch => State::Differs,
        Status::Failed => State::Bad,
        // `NotTried`, and what this program does not know.
        _ => State::NonTried,
    }
}

/// The same of its bytes, but for those that could not be read.
fn of_bytes(status: Status) -> State {
    match status {
        Status::Complete | Status::Skipped | Status::Partial => State::Read,
        Status::Mismatch => State::Differs,
        _ => State::NonTried,
    }
}

impl Line {
    fn name(&self) -> String {
        self.name.clone().or_else(|| self.name_hex.clone()).unwrap_or_default()
    }

    /// What of the source it takes, if it says so.
    fn ranges(&self) -> Vec<ByteRange> {
        let one = self.start.zip(self.len);
        let runs = self.runs.iter().filter_map(|run| Some((run.start?, run.len)));
        let all = one.into_iter().chain(runs);
        all.filter_map(|(start, len)| ByteRange::with_len(start, len)).collect()
    }
}

/// What is known of one source.
#[derive(Default)]
struct Seen {
    states: BTreeMap<u8, RangesOf>,
    errors: Vec<Said>,
}

struct RangesOf {
    state: State,
    ranges: Vec<ByteRange>,
}

impl Seen {
    fn add(&mut self, state: State, ranges: &[ByteRange]) {
        let of = self.states.entry(state as u8);
        of.or_insert(RangesOf { state, ranges: Vec::new() }).ranges.extend(ranges);
    }

    /// Bytes in two states, as of files that share them, are in the worse.
    fn chart(mut self) -> Chart {
        self.errors.sort_by_key(|said| said.range.start());
        let bad = self.errors.iter().map(|said| said.range);
        let layers = self
            .states
            .into_values()
            .map(|of| Layer { ranges: of.ranges.into_iter().collect(), state: of.state });
        let bad = Layer { ranges: bad.collect(), state: State::Bad };
        let layers: Vec<Layer> = layers.chain([bad]).collect();
        let all: RangeSet = layers.iter().flat_map(|layer| layer.ranges.iter()).collect();
        let ends = all.as_slice().first().zip(all.as_slice().last());
        let extent = ends.map(|(first, last)| ByteRange::between(first.start(), last.end()));
        let mut chart = Chart::layered(extent.unwrap_or_default(), State::Outside, layers);
        chart.errors = self.errors;
        chart
    }
}

/// What became of the items of a batch, one after the other.
#[derive(Default)]
pub struct Gathered {
    /// By their place in the list.
    files: Vec<(u64, Status)>,
    sources: BTreeMap<String, Seen>,
    copied: u64,
    wrong: Vec<String>,
}

impl Gathered {
    /// Takes an item that has ended, in any order.
    pub fn hear(&mut self, item: &ItemReport<'_>) {
        let place = self.files.len() as u64;
        let place = if item.item.line > 0 { item.item.line } else { place };
        // As a line of the report has it, so that both pictures are the same.
        let line = serde_json::to_value(item).and_then(serde_json::from_value::<Line>);
        if let Ok(line) = line {
            self.add(place, line);
        }
    }

    fn add(&mut self, place: u64, line: Line) {
        self.files.push((place, line.status));
        self.copied = self.copied.saturating_add(line.bytes);
        if let Some(error) = &line.error
            && self.wrong.len() < LISTED
        {
            self.wrong.push(format!("{}: {error}", line.name()));
        }
        let ranges = line.ranges();
        if ranges.is_empty() {
            return;
        }
        let name = line.name();
        let source = line.source.or(line.source_hex).unwrap_or_default();
        let seen = self.sources.entry(source).or_default();
        seen.add(of_bytes(line.status), &ranges);
        let failed = line.failed.into_iter().filter_map(said);
        seen.errors
            .extend(failed.map(|said| Said { text: format!("{name}: {}", said.text), ..said }));
    }

    /// One of the files, in the order of their list, and one of each source that
    /// their ranges come from.
    pub fn charts(mut self) -> Vec<Chart> {
        self.files.sort_by_key(|(place, _)| *place);
        let areas = (0..).zip(&self.files).map(|(at, (_, status))| Area {
            range: ByteRange::between(at, at + 1),
            state: of_file(*status),
        });
        // One follows the other.
        let mut files = Chart::of_areas(areas).unwrap_or_default();
        files.about = format!("report of a batch, {} copied", size::human(self.copied));
        (files.unit, files.notes) = (Unit::Files, self.wrong);
        let of_source = |(name, seen): (String, Seen)| {
            let mut chart = seen.chart();
            chart.title = if name.is_empty() { "the source of the batch".to_owned() } else { name };
            (chart.about, chart.sector) = ("ranges of a batch".to_owned(), SECTOR);
            chart
        };
        std::iter::once(files).chain(self.sources.into_iter().map(of_source)).collect()
    }
}

/// The charts of a report with a line for each item.
///
/// # Errors
///
/// What is wrong with it, for people.
pub fn charts(bytes: &[u8]) -> Result<Vec<Chart>, String> {
    let mut gathered = Gathered::default();
    for (at, line) in (0..).zip(serde_json::Deserializer::from_slice(bytes).into_iter::<Line>()) {
        let line = line.map_err(|error| format!("item {}: {error}", at + 1))?;
        gathered.add(at, line);
    }
    Ok(gathered.charts())
}

/// Errors of files that are told.
const LISTED: usize = 10;

/// What of the report of a whole batch a picture needs.
#[derive(Deserialize)]
struct Document {
    outcome: String,
    items: Items,
    bytes: u64,
    error: Option<String>,
}

/// The chart of the report of a whole batch, which counts its files and names none.
///
/// # Errors
///
/// What is wrong with it, for people.
pub fn summary(bytes: &[u8]) -> Result<Chart, String> {
    let report: Document =
        serde_json::from_slice(bytes).map_err(|error| format!("the report is damaged: {error}"))?;
    let items = report.items;
    let counts = [
        (items.complete, Status::Complete),
        (items.skipped, Status::Skipped),
        (items.partial, Status::Partial),
        (items.mismatch, Status::Mismatch),
        (items.failed, Status::Failed),
        (items.not_tried, Status::NotTried),
    ];
    let mut end = 0u64;
    let areas = counts.map(|(count, status)| {
        let start = end;
        end = end.saturating_add(count);
        Area { range: ByteRange::between(start, end), state: of_file(status) }
    });
    let mut chart = Chart::of_areas(areas).ok_or("its counts do not add up")?;
    let mut notes = vec!["Files by what became of them; --report tells of each.".to_owned()];
    notes.extend(report.error);
    let copied = size::human(report.bytes);
    let about = format!("report of a batch, {}, {copied} copied", report.outcome);
    (chart.about, chart.unit, chart.notes) = (about, Unit::Files, notes);
    Ok(chart)
}
