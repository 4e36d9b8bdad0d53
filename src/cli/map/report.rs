//! The report of a copy or a comparison, as a chart. What it does not say, such
//! as where a copy that failed had come to, the picture does not claim.

use pcopy::ByteRange;
use pcopy::picture::{Chart, Layer, Said, State};
use pcopy::report::FailedRange;
use serde::Deserialize;

use super::read::SECTOR;

/// What tells a report from other documents.
#[derive(Deserialize)]
pub struct Head {
    pub schema: Option<String>,
    pub status: Option<String>,
}

/// What of a report a picture needs.
#[derive(Deserialize)]
struct Document {
    outcome: String,
    source: Source,
    /// Not known of a copy that was refused.
    range: Option<Ends>,
    #[serde(default)]
    failed: Vec<FailedRange>,
    #[serde(default)]
    mismatches: Vec<Ends>,
    verified: Option<bool>,
    mapped: Option<Mapped>,
    error: Option<String>,
    #[serde(default)]
    dry_run: bool,
}

#[derive(Deserialize)]
struct Source {
    path: String,
    logical_sector: Option<u32>,
}

#[derive(Clone, Copy, Deserialize)]
struct Ends {
    start: u64,
    end: u64,
}

impl Ends {
    fn range(self) -> Option<ByteRange> {
        ByteRange::new(self.start, self.end)
    }
}

#[derive(Deserialize)]
struct Mapped {
    ranges: u64,
    bytes: u64,
}

/// A range that could not be read, and why.
pub fn said(part: FailedRange) -> Option<Said> {
    Some(Said { range: ByteRange::new(part.start, part.end)?, text: part.error })
}

/// The chart of a report.
///
/// # Errors
///
/// What is wrong with it, for people.
pub fn chart(bytes: &[u8]) -> Result<Chart, String> {
    let report: Document =
        serde_json::from_slice(bytes).map_err(|error| format!("the report is damaged: {error}"))?;
    let extent = match report.range {
        Some(ends) => ends.range().ok_or("the range of the report ends before it begins")?,
        None => ByteRange::default(),
    };
    // Of a job that stopped, the report does not say which bytes it had copied.
    let is_known = matches!(report.outcome.as_str(), "complete" | "partial" | "mismatch");
    let ground = match is_known && !report.dry_run {
        true => State::Read,
        false => State::NonTried,
    };
    let mut errors: Vec<Said> = report.failed.into_iter().filter_map(said).collect();
    errors.sort_by_key(|said| said.range.start());
    let differing = report.mismatches.iter().filter_map(|ends| ends.range());
    let layers = vec![
        Layer { ranges: differing.collect(), state: State::Differs },
        Layer { ranges: errors.iter().map(|said| said.range).collect(), state: State::Bad },
    ];
    let mut chart = Chart::layered(extent, ground, layers);
    let verified = match report.verified {
        Some(true) => ", verified",
        Some(false) => ", verified and found different",
        None => "",
    };
    let mut notes: Vec<String> = report.error.into_iter().collect();
    if !is_known {
        notes.push("The report does not say which bytes were copied: the map does.".to_owned());
    }
    if let Some(Mapped { ranges, bytes }) = report.mapped {
        notes.push(format!(
            "Only {bytes} bytes in {ranges} ranges were asked for; the report does not say which."
        ));
    }
    chart.title = report.source.path;
    chart.about = format!("report, {}{verified}", report.outcome);
    chart.sector = report.source.logical_sector.filter(|sector| *sector > 0).unwrap_or(SECTOR);
    (chart.errors, chart.notes) = (errors, notes);
    Ok(chart)
}
