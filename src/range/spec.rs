//! A range as the user writes it, and what it means on a given source.
//!
//! ```text
//! A..B    from A up to B, B excluded         ..B     the same from 0
//! A..=B   from A to B, B included            ..=B    the same from 0
//! A+LEN   LEN bytes from A                   -LEN    the last LEN bytes
//! A..     from A to the end                  ..      everything
//! ```
//!
//! `A`, `B` and `LEN` are sizes. In `A..=B` the unit that B counts is included
//! whole: the byte B, or with `s` every byte of sector B, as partition tables
//! mean it. `A-B` is refused: tools disagree on whether it includes B.
//!
//! This room knows two facts of a source, its size and its sector size, and
//! not where they come from.

#[cfg(test)]
mod tests;

use super::ByteRange;
use crate::size::{Complaint, Size, SizeError, human};
use std::fmt;
use std::str::FromStr;

/// A range as asked for, before the size of the source is known.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum RangeSpec {
    /// `..`: the whole source.
    #[default]
    All,
    /// `A..B`: from the first to the second, exclusive. `..B` starts at 0.
    Bounds(Size, Size),
    /// `A..=B`: from the first to the second, inclusive. `..=B` starts at 0.
    Inclusive(Size, Size),
    /// `A+LEN`.
    Span(Size, Size),
    /// `A..`: to the end of the source.
    From(Size),
    /// `-LEN`: the last LEN bytes.
    Last(Size),
}

impl RangeSpec {
    /// Whether it says where it ends, so that it stays the same when the source
    /// grows.
    pub fn is_final(&self) -> bool {
        matches!(self, RangeSpec::Bounds(..) | RangeSpec::Inclusive(..) | RangeSpec::Span(..))
    }

    /// Whether any part of it counts in sectors.
    pub fn counts_sectors(&self) -> bool {
        let (one, other) = match *self {
            RangeSpec::All => return false,
            RangeSpec::Bounds(a, b) | RangeSpec::Inclusive(a, b) | RangeSpec::Span(a, b) => (a, b),
            RangeSpec::From(a) | RangeSpec::Last(a) => (a, a),
        };
        [one, other].iter().any(|size| matches!(size, Size::Sectors(_)))
    }
}

/// Bytes counted from the start of the source, whatever its sectors are.
impl From<ByteRange> for RangeSpec {
    fn from(range: ByteRange) -> RangeSpec {
        RangeSpec::Bounds(Size::Bytes(range.start()), Size::Bytes(range.end()))
    }
}

/// As [`From<ByteRange>`](RangeSpec); one that runs backwards is refused when it
/// meets a source, as if it had been written `B..A`.
impl From<std::ops::Range<u64>> for RangeSpec {
    fn from(range: std::ops::Range<u64>) -> RangeSpec {
        RangeSpec::Bounds(Size::Bytes(range.start), Size::Bytes(range.end))
    }
}

impl From<std::ops::RangeFrom<u64>> for RangeSpec {
    fn from(range: std::ops::RangeFrom<u64>) -> RangeSpec {
        RangeSpec::From(Size::Bytes(range.start))
    }
}

impl From<std::ops::RangeFull> for RangeSpec {
    fn from(_: std::ops::RangeFull) -> RangeSpec {
        RangeSpec::All
    }
}

/// Why a text is not a range. Displayed over several lines: what is wrong, the
/// text with a caret under the wrong character, and a hint where there is one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RangeSyntaxError {
    complaint: Complaint,
}

/// Why a range does not fit a source.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RangeError {
    spec: RangeSpec,
    source_len: u64,
    misfit: Misfit,
}

/// How a range does not fit a source. Offsets are wider than elsewhere because
/// those of a range that does not fit may not fit in 64 bits either.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Misfit {
    /// It ends before it starts.
    Backward { start: u128, end: u128 },
    /// Its end, and maybe its start, lies past the end of the source.
    Outside { start: u128, end: u128 },
    /// `A..` where A lies past the end of the source.
    StartsOutside { start: u128 },
    /// `-LEN` where the source has less.
    LongerThanSource { len: u128 },
}

const FORMS: &str = "a range is A..B (B excluded), A..=B (B included), A+LEN, A.. (to the end), \
                     ..B or -LEN (the last LEN bytes)";

impl RangeSpec {
    /// The range in dd's terms: skip `offset` (or nothing), take `length` (or all that follows).
    pub fn from_offset_length(offset: Option<Size>, length: Option<Size>) -> RangeSpec {
        match (offset, length) {
            (None, None) => RangeSpec::All,
            (Some(offset), None) => RangeSpec::From(offset),
            (offset, Some(length)) => RangeSpec::Span(offset.unwrap_or(Size::Bytes(0)), length),
        }
    }

    /// What the range means on a source of `source_len` bytes with logical
    /// sectors of `sector` bytes (not zero). Refused if it does not lie inside
    /// the source; an empty range may lie at its very end.
    pub fn resolve(&self, source_len: u64, sector: u32) -> Result<ByteRange, RangeError> {
        let in_bytes = |size| wide_bytes(size, sector);
        let source_end = u128::from(source_len);
        let (start, end) = match *self {
            RangeSpec::All => (0, source_end),
            RangeSpec::Bounds(start, end) => (in_bytes(start), in_bytes(end)),
            RangeSpec::Inclusive(start, last) => {
                (in_bytes(start), in_bytes(last) + wide_bytes(one_like(last), sector))
            }
            RangeSpec::Span(start, len) => (in_bytes(start), in_bytes(start) + in_bytes(len)),
            RangeSpec::From(start) if in_bytes(start) > source_end => {
                return Err(
                    self.misfit(source_len, Misfit::StartsOutside { start: in_bytes(start) })
                );
            }
            RangeSpec::From(start) => (in_bytes(start), source_end),
            RangeSpec::Last(len) => match source_end.checked_sub(in_bytes(len)) {
                Some(start) => (start, source_end),
                None => {
                    let misfit = Misfit::LongerThanSource { len: in_bytes(len) };
                    return Err(self.misfit(source_len, misfit));
                }
            },
        };
        // An inclusive range holds its last byte, so `5..=4` is backward, not empty.
        let holds_something = matches!(self, RangeSpec::Inclusive(..));
        if end < start || (holds_something && end == start) {
            return Err(self.misfit(source_len, Misfit::Backward { start, end }));
        }
        let inside = |offset| u64::try_from(offset).ok().filter(|offset| *offset <= source_len);
        match (inside(start), inside(end)) {
            (Some(start), Some(end)) => Ok(ByteRange::between(start, end)),
            _ => Err(self.misfit(source_len, Misfit::Outside { start, end })),
        }
    }

    /// Like [`resolve`](RangeSpec::resolve), but of a range that does not lie
    /// inside the source, what exists of it: empty at the end of the source if
    /// it starts past the end. The second value says whether something was cut
    /// off. A backward range is still refused.
    pub fn resolve_clamped(
        &self,
        source_len: u64,
        sector: u32,
    ) -> Result<(ByteRange, bool), RangeError> {
        match self.resolve(source_len, sector) {
            Ok(range) => Ok((range, false)),
            Err(error) => error.existing().map(|range| (range, true)).ok_or(error),
        }
    }

    fn misfit(&self, source_len: u64, misfit: Misfit) -> RangeError {
        RangeError { spec: *self, source_len, misfit }
    }
}

/// A size in bytes; 64 bits of sectors times 32 bits always fit.
fn wide_bytes(size: Size, sector: u32) -> u128 {
    match size {
        Size::Bytes(bytes) => u128::from(bytes),
        Size::Sectors(sectors) => u128::from(sectors) * u128::from(sector),
    }
}

/// One of what a size counts.
fn one_like(size: Size) -> Size {
    match size {
        Size::Bytes(_) => Size::Bytes(1),
        Size::Sectors(_) => Size::Sectors(1),
    }
}

/// Displayed so that it parses back to the same range.
impl fmt::Display for RangeSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RangeSpec::All => f.write_str(".."),
            RangeSpec::Bounds(start, end) => write!(f, "{start}..{end}"),
            RangeSpec::Inclusive(start, last) => write!(f, "{start}..={last}"),
            RangeSpec::Span(start, len) => write!(f, "{start}+{len}"),
            RangeSpec::From(start) => write!(f, "{start}.."),
            RangeSpec::Last(len) => write!(f, "-{len}"),
        }
    }
}

crate::words::stored_as_text!(RangeSpec);

impl FromStr for RangeSpec {
    type Err = RangeSyntaxError;

    fn from_str(input: &str) -> Result<RangeSpec, RangeSyntaxError> {
        if let Some(len) = input.strip_prefix('-') {
            return parse_last(input, len);
        }
        if let Some(dots) = input.find("..") {
            return parse_bounds(input, dots);
        }
        if let Some(plus) = input.find('+') {
            return parse_span(input, plus);
        }
        Err(without_operator(input))
    }
}

/// `-LEN`.
fn parse_last(input: &str, len: &str) -> Result<RangeSpec, RangeSyntaxError> {
    let (len, rest) = len.split_at(len.find("..").unwrap_or(len.len()));
    let last = size_at(input, 1, len)?;
    if !rest.is_empty() {
        let hint = format!("write -{len} for the last bytes up to the end");
        return Err(complain(input, 1 + len.len(), "-LEN stands alone", hint));
    }
    Ok(RangeSpec::Last(last))
}

/// `A+LEN`; the sign is at `plus`.
fn parse_span(input: &str, plus: usize) -> Result<RangeSpec, RangeSyntaxError> {
    let (left, right) = (&input[..plus], &input[plus + 1..]);
    let start = match left {
        "" => None,
        left => Some(size_at(input, 0, left)?),
    };
    let len = size_at(input, plus + 1, right)?;
    let Some(start) = start else {
        let hint = format!("write 0+{right}, or ..{right} for the same");
        return Err(complain(input, 0, "a range does not start with `+`", hint));
    };
    Ok(RangeSpec::Span(start, len))
}

/// `A..B`, `A..=B`, or either with a side left out; the dots are at `dots`.
fn parse_bounds(input: &str, dots: usize) -> Result<RangeSpec, RangeSyntaxError> {
    let (left, after) = (&input[..dots], &input[dots + 2..]);
    let start = match left {
        "" => None,
        left => Some(size_at(input, 0, left)?),
    };
    let from = start.unwrap_or(Size::Bytes(0));
    if after.is_empty() {
        return Ok(start.map_or(RangeSpec::All, RangeSpec::From));
    }
    let (right, operator) = match after.strip_prefix('=') {
        Some(right) => (right, "..="),
        None => (after, ".."),
    };
    let right_column = dots + operator.len();
    if right.is_empty() {
        let hint = format!("write {left}.. to go on to the end");
        return Err(complain(input, right_column, "the last byte after `..=` is missing", hint));
    }
    let to = size_at(input, right_column, right)?;
    if runs_backward(from, to) {
        let hint = format!("write {right}{operator}{left}");
        let message = "the range runs backwards: it ends before it starts";
        return Err(complain(input, right_column, message, hint));
    }
    match operator {
        "..=" => Ok(RangeSpec::Inclusive(from, to)),
        _ => Ok(RangeSpec::Bounds(from, to)),
    }
}

/// Whether the order is wrong whatever the source: bytes and sectors compare
/// only once the sector size is known.
fn runs_backward(start: Size, end: Size) -> bool {
    match (start, end) {
        (Size::Bytes(start), Size::Bytes(end)) => end < start,
        (Size::Sectors(start), Size::Sectors(end)) => end < start,
        _ => false,
    }
}

/// What to say about a text with neither `..` nor `+`.
fn without_operator(input: &str) -> RangeSyntaxError {
    if input.is_empty() {
        return complain(input, 0, "a range is missing", FORMS.to_string());
    }
    // The dashes are what word processors make of a `-`.
    if let Some((dash, character)) =
        input.char_indices().find(|(_, c)| matches!(c, '-' | '–' | '—'))
    {
        return with_dash(input, dash, character.len_utf8());
    }
    match input.parse::<Size>() {
        Ok(_) => {
            let hint = format!(
                "write {input}.. to go on to the end, {input}+LEN, or ..{input} to start at 0"
            );
            complain(input, input.len(), "a range needs a start and an end", hint)
        }
        Err(error) => {
            let complaint = error.into_complaint();
            complain(input, complaint.column, &complaint.message, FORMS.to_string())
        }
    }
}

/// What to say about `A-B`: both readings, with the user's numbers.
fn with_dash(input: &str, dash: usize, dash_len: usize) -> RangeSyntaxError {
    let (left, right) = (&input[..dash], &input[dash + dash_len..]);
    let message =
        format!("`{}` does not say whether the end is included", &input[dash..dash + dash_len]);
    let start = match size_at(input, 0, left) {
        Ok(start) => start,
        Err(error) => return error,
    };
    if right.is_empty() {
        return complain(input, dash, &message, format!("write {left}.. to go on to the end"));
    }
    let end = match size_at(input, dash + dash_len, right) {
        Ok(end) => end,
        Err(error) => return error,
    };
    let counted = match (start, end) {
        (Size::Bytes(start), Size::Bytes(end)) => end.checked_sub(start).map(|len| (len, "byte")),
        (Size::Sectors(start), Size::Sectors(end)) => {
            end.checked_sub(start).map(|len| (len, "sector"))
        }
        _ => None,
    };
    let (without, with) = match counted {
        Some((len, unit)) => {
            let len = u128::from(len);
            (format!(" ({})", count(len, unit)), format!(" ({})", count(len + 1, unit)))
        }
        None => Default::default(),
    };
    let hint = format!(
        "write {left}..{right} to stop before {right}{without}, {left}..={right} to include it{with}"
    );
    complain(input, dash, &message, hint)
}

/// A size that is part of a range, its error told of the whole range.
fn size_at(input: &str, column: usize, text: &str) -> Result<Size, RangeSyntaxError> {
    text.parse().map_err(|error: SizeError| {
        let complaint = error.into_complaint();
        RangeSyntaxError {
            complaint: Complaint {
                input: input.to_string(),
                column: column + complaint.column,
                ..complaint
            },
        }
    })
}

fn complain(input: &str, column: usize, message: &str, hint: String) -> RangeSyntaxError {
    let (input, message) = (input.to_string(), message.to_string());
    RangeSyntaxError { complaint: Complaint { input, column, message, hint: Some(hint) } }
}

/// `1 byte`, `2 bytes`.
fn count(number: u128, unit: &str) -> String {
    match number {
        1 => format!("1 {unit}"),
        _ => format!("{number} {unit}s"),
    }
}

impl RangeSyntaxError {
    /// The text that is not a range.
    pub fn input(&self) -> &str {
        &self.complaint.input
    }

    /// Byte offset of the wrong character in the text; the length of the text
    /// if something is missing at its end.
    pub fn column(&self) -> usize {
        self.complaint.column
    }

    /// What is wrong, in one line, without the text.
    pub fn message(&self) -> &str {
        &self.complaint.message
    }
}

impl std::error::Error for RangeSyntaxError {}

impl fmt::Display for RangeSyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.complaint.fmt(f)
    }
}

impl RangeError {
    /// What exists of the range in the source; `None` of a backward range.
    pub fn existing(&self) -> Option<ByteRange> {
        let source_end = self.source_len;
        let clamp = |offset: u128| u64::try_from(offset).unwrap_or(u64::MAX).min(source_end);
        match self.misfit {
            Misfit::Backward { .. } => None,
            Misfit::Outside { start, end } => ByteRange::new(clamp(start), clamp(end)),
            Misfit::StartsOutside { start } => ByteRange::new(clamp(start), source_end),
            Misfit::LongerThanSource { .. } => Some(ByteRange::to(source_end)),
        }
    }

    /// The range that was asked for.
    pub fn spec(&self) -> RangeSpec {
        self.spec
    }

    /// The size of the source in bytes.
    pub fn source_len(&self) -> u64 {
        self.source_len
    }

    /// The range as it was asked for, and in bytes where that reads otherwise.
    fn in_bytes(&self, start: u128, end: u128) -> String {
        let (asked, bytes) = (self.spec.to_string(), format!("{start}..{end}"));
        if asked == bytes { asked } else { format!("{asked} (bytes {bytes})") }
    }
}

impl std::error::Error for RangeError {}

impl fmt::Display for RangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let source_end = u128::from(self.source_len);
        let past = |offset: u128| count(offset.saturating_sub(source_end), "byte");
        let mut size = count(source_end, "byte");
        if self.source_len >= 1024 {
            size += &format!(" ({})", human(self.source_len));
        }
        match self.misfit {
            Misfit::Backward { start, end } => {
                let range = self.in_bytes(start, end);
                write!(
                    f,
                    "the range {range} runs backwards: it ends before it starts; the source has {size}"
                )
            }
            Misfit::Outside { start, end } => {
                let range = self.in_bytes(start, end);
                let (verb, offset) =
                    if start > source_end { ("starts", start) } else { ("ends", end) };
                let past = past(offset);
                write!(
                    f,
                    "the range {range} does not lie inside the source, which has {size}: \
                     it {verb} {past} past the end"
                )
            }
            Misfit::StartsOutside { start } => {
                let (spec, past) = (self.spec, past(start));
                write!(
                    f,
                    "the range {spec} starts {past} past the end of the source, which has {size}"
                )
            }
            Misfit::LongerThanSource { len } => {
                let len = count(len, "byte");
                write!(f, "the last {len} cannot be copied: the source has only {size}")
            }
        }
    }
}
