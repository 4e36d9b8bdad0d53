//! Which of the formats a file is in, and the charts that it makes.

use std::io::Read;
use std::path::Path;

use pcopy::durable::map::Map;
use pcopy::error::quoted;
use pcopy::manifest::{self, Format, ReadOptions, Runs};
use pcopy::picture::{Chart, Layer, State, mapfile};
use pcopy::{ByteRange, Result};

use super::{batch, reading, report};
use crate::cli::render::usage;
use crate::cli::signals::Signals;

/// The largest file that is taken: a map of ten million areas.
const LARGEST: u64 = 1 << 30;

/// The schema of the report of a whole batch.
const BATCH: &str = "pcopy.batch/1";

/// Bytes of a sector where nothing says how many.
pub const SECTOR: u32 = 512;

/// The charts of a file.
///
/// # Errors
///
/// If it cannot be read or understood.
pub fn charts(path: &Path, signals: &Signals) -> Result<Vec<Chart>> {
    let bytes = reading(path, signals, |input| {
        let mut bytes = Vec::new();
        input.take(LARGEST + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    })?;
    let name = quoted(path);
    if bytes.len() as u64 > LARGEST {
        return Err(usage(format!("{name} is longer than a GiB: this is not a map")));
    }
    let mut charts =
        understood(path, &bytes).map_err(|why| usage(format!("{name} cannot be shown: {why}")))?;
    for chart in charts.iter_mut().filter(|chart| chart.title.is_empty()) {
        chart.title = path.to_string_lossy().into_owned();
    }
    Ok(charts)
}

fn understood(path: &Path, bytes: &[u8]) -> Result<Vec<Chart>, String> {
    match bytes.trim_ascii_start().first() {
        Some(b'{') => of_json(bytes),
        Some(b'<') => of_bmap(path, bytes).map(|chart| vec![chart]),
        Some(_) => of_mapfile(bytes).map(|chart| vec![chart]),
        None => Err("it is empty".to_owned()),
    }
}

/// A report of ours: one document, or a line for each item.
fn of_json(bytes: &[u8]) -> Result<Vec<Chart>, String> {
    let first = serde_json::Deserializer::from_slice(bytes).into_iter::<report::Head>().next();
    let head = match first {
        Some(Ok(head)) => head,
        Some(Err(error)) => return Err(format!("it is not JSON: {error}")),
        None => return Err("it is empty".to_owned()),
    };
    match head.schema.as_deref() {
        Some(pcopy::report::SCHEMA) => report::chart(bytes).map(|chart| vec![chart]),
        Some(BATCH) => batch::summary(bytes).map(|chart| vec![chart]),
        Some(other) => Err(format!("there is no picture of a document of schema {other:?}")),
        None if head.status.is_some() => batch::charts(bytes),
        None => Err("it is not a report of pcopy: it has no schema, and no status".to_owned()),
    }
}

fn of_mapfile(bytes: &[u8]) -> Result<Chart, String> {
    let mut chart = mapfile::parse(bytes).map_err(|error| {
        format!(
            "{error}; pcopy map shows maps of ddrescue and pcopy, block maps (bmap) and reports"
        )
    })?;
    let is_ours = bytes.windows(OURS.len()).any(|window| window == OURS);
    let about = if is_ours { "map of pcopy" } else { "map of GNU ddrescue" };
    let mut notes = Vec::new();
    // An edit of one of ours does not mend the checksum at its end.
    if is_ours && let Err(error) = Map::from_bytes(bytes) {
        notes.push(format!("A copy would not be resumed with this map: {error}"));
    }
    (chart.about, chart.sector, chart.notes) = (about.to_owned(), SECTOR, notes);
    Ok(chart)
}

const OURS: &[u8] = b"\n# pcopy ";

fn of_bmap(path: &Path, bytes: &[u8]) -> Result<Chart, String> {
    let options = ReadOptions { manifest: Some(path), ..ReadOptions::default() };
    let list = manifest::read(bytes, Some(Format::Bmap), &options);
    let list = list.map_err(|errors| errors.to_string())?;
    let ranges = |item: &manifest::Item| match item.runs {
        Runs::One(range) => Some(range),
        _ => None,
    };
    let size = list.items.iter().filter_map(|item| item.details.as_ref()?.file_len).max();
    let holes = list.items.iter().filter_map(|item| item.runs.len(0)).max();
    let extent = ByteRange::to(size.or(holes).unwrap_or(0));
    let data = Layer { ranges: list.items.iter().filter_map(ranges).collect(), state: State::Data };
    let mut chart = Chart::layered(extent, State::Outside, vec![data]);
    (chart.about, chart.sector) = ("block map".to_owned(), SECTOR);
    Ok(chart)
}
