//! Manifests as spreadsheets write them: comma- or tab-separated values under
//! a header that names the columns.
//!
//! Fields may be divided by semicolons, as spreadsheets do where the comma is in
//! numbers, by tabs or by bars: the header shows it, or a line `sep=;` before it.
//! Where columns are named by their numbers, there may be no header.
//!
//! Blank lines are passed over, and so are lines that begin with `#`, behind the
//! header only if they have no delimiter: a row may begin with a name like
//! `#1234`, as lost+found has them. A name that holds the delimiter, a quote or
//! a newline is quoted.
//! Names are bytes and need not be UTF-8. A column that is not known is an
//! error, because a misspelt `sha256` would otherwise check nothing; columns
//! for people are called `note` or begin with `x-`.

use std::io::{BufRead, Read};

use csv::{ByteRecord, ReaderBuilder, Terminator};

use super::super::{Field, Pieces, Reading, Row, text};
use crate::error::Fault;

/// Reads CSV (`,`) or TSV (a tab).
pub(in crate::manifest) fn read(input: &mut dyn BufRead, delimiter: u8, reading: &mut Reading<'_>) {
    let mut before = match pass_over_comments(input) {
        Ok(lines) => lines,
        Err(error) => return reading.unreadable(1, &error),
    };
    let delimiter = match dialect(input, delimiter) {
        Ok(Dialect { is_line, .. }) if is_line => {
            before += 1;
            match pass_line(input) {
                Ok(named) => named.unwrap_or(delimiter),
                Err(error) => return reading.unreadable(before, &error),
            }
        }
        Ok(Dialect { is_old: true, .. }) => {
            return reading.usage(
                before + 1,
                "its line ends are carriage returns (CR) alone: save it with line ends of Unix \
                 or Windows",
            );
        }
        Ok(Dialect { delimiter, .. }) => delimiter,
        Err(error) => return reading.unreadable(before + 1, &error),
    };
    // Records end at `\n` and nowhere else (a `\r` before it is cut off below),
    // and the last one does too: only so can their lines be counted.
    let input = Pieces::new(input);
    let taken = input.taken();
    let mut rows = ReaderBuilder::new()
        .delimiter(delimiter)
        .terminator(Terminator::Any(b'\n'))
        .has_headers(false)
        .flexible(true)
        .buffer_capacity(1 << 16)
        .from_reader(input.chain(&b"\n"[..]));
    let mut record = ByteRecord::new();
    let mut columns: Option<Vec<Option<Field>>> = None;
    loop {
        taken.begin_piece();
        match rows.read_byte_record(&mut record) {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => return reading.unreadable(before + rows.position().line(), &error),
        }
        let line = before + first_line(rows.position().line(), &record);
        if is_blank(&record) || is_comment(&record, columns.as_deref()) {
            continue;
        }
        match &columns {
            Some(columns) => row(&record, columns, line, reading),
            None => match begin(&record, line, reading) {
                Some(header) => columns = Some(header),
                None => return,
            },
        }
    }
}

/// Passes over lines for people before the header, whatever quotes they hold, and
/// blank ones. Returns how many.
fn pass_over_comments(input: &mut dyn BufRead) -> std::io::Result<u64> {
    let (mut lines, mut line) = (0, Vec::new());
    while matches!(input.fill_buf()?.first(), Some(b'#' | b'\n' | b'\r')) {
        line.clear();
        input.read_until(b'\n', &mut line)?;
        lines += 1;
    }
    Ok(lines)
}

/// What the header shows of how the table is written.
struct Dialect {
    delimiter: u8,
    /// Whether it is not a header, but a line `sep=`.
    is_line: bool,
    /// Whether lines end with a carriage return and nothing else.
    is_old: bool,
}

/// Looks at the header, without taking it.
fn dialect(input: &mut dyn BufRead, delimiter: u8) -> std::io::Result<Dialect> {
    let head = input.fill_buf()?;
    let line = head.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let is_old = line.len() == head.len() && line.trim_ascii_end().contains(&b'\r');
    let delimiter = delimiter_of(line, delimiter);
    Ok(Dialect { delimiter, is_line: line.starts_with(b"sep="), is_old })
}

/// What divides the fields of a header: `usual`, unless only another one is in it.
pub(in crate::manifest) fn delimiter_of(header: &[u8], usual: u8) -> u8 {
    let quotes = std::cell::Cell::new(false);
    let outside = header.iter().copied().filter(|&byte| {
        quotes.set(quotes.get() ^ (byte == b'"'));
        !quotes.get()
    });
    let outside: Vec<u8> = outside.collect();
    let mut all = [usual, b',', b';', b'\t', b'|'].into_iter();
    all.find(|delimiter| outside.contains(delimiter)).unwrap_or(usual)
}

/// Takes the line `sep=`, and tells what it names.
fn pass_line(input: &mut dyn BufRead) -> std::io::Result<Option<u8>> {
    let mut line = Vec::new();
    input.take(64).read_until(b'\n', &mut line)?;
    Ok(line.get(4).copied().filter(|byte| !byte.is_ascii_whitespace() || *byte == b'\t'))
}

/// The line a record begins on, from the one after it: quoted newlines in it
/// are lines as well.
fn first_line(after: u64, record: &ByteRecord) -> u64 {
    let inside = record.as_slice().iter().filter(|&&byte| byte == b'\n').count() as u64;
    after.saturating_sub(1 + inside)
}

/// A line of nothing but a line end, or of blanks.
fn is_blank(record: &ByteRecord) -> bool {
    record.len() <= 1 && record.as_slice().trim_ascii().is_empty()
}

/// Whether a line is for people.
fn is_comment(record: &ByteRecord, columns: Option<&[Option<Field>]>) -> bool {
    let has_no_place = |columns: &[Option<Field>]| record.len() == 1 && columns.len() > 1;
    record.as_slice().starts_with(b"#") && columns.is_none_or(has_no_place)
}

/// The cells of a record, without the `\r` of a CRLF in the last.
fn cells(record: &ByteRecord) -> impl Iterator<Item = &[u8]> {
    let last = record.len().saturating_sub(1);
    record.iter().enumerate().map(move |(n, cell)| match cell {
        [cell @ .., b'\r'] if n == last => cell,
        cell => cell,
    })
}

/// What the columns mean; `None`, with errors, if that is not clear. Where they are
/// named by their numbers, the first row may be an item already.
fn begin(record: &ByteRecord, line: u64, reading: &mut Reading<'_>) -> Option<Vec<Option<Field>>> {
    let titles: Vec<String> = cells(record).map(|cell| text(cell.trim_ascii()).into()).collect();
    let titles: Vec<&str> = titles.iter().map(String::as_str).collect();
    let Some(columns) = reading.options.columns.by_number(&titles) else {
        return header(record, line, reading);
    };
    if let Some(field) = reading.options.columns.beyond(titles.len()) {
        let message =
            format!("there is no column for {}: a row has {}", field.name(), titles.len());
        reading.usage(line, message);
        return None;
    }
    let is_title = |(title, field): (&&str, &Option<Field>)| {
        let is_number = title.bytes().next().is_some_and(|first| first.is_ascii_digit());
        field.is_some_and(Field::is_number) && !is_number && !title.is_empty()
    };
    if !titles.iter().zip(&columns).any(is_title) {
        row(record, &columns, line, reading);
    }
    Some(columns)
}

/// What the columns mean; `None`, with errors, if that is not clear.
fn header(record: &ByteRecord, line: u64, reading: &mut Reading<'_>) -> Option<Vec<Option<Field>>> {
    let mut columns = Vec::new();
    let (mut clear, mut unknown) = (true, false);
    for cell in cells(record) {
        let field = reading.options.columns.field(&text(cell.trim_ascii()));
        if let Some(field) = field.filter(|field| columns.contains(&Some(*field))) {
            reading.usage(line, format!("two columns are called {}", field.name()));
            clear = false;
        }
        let is_passed_over = Field::is_passed_over(&text(cell.trim_ascii()));
        if field.is_none() && !is_passed_over && !reading.options.ignore_columns {
            reading.usage(
                line,
                format!(
                    "unknown column {:?} in the header (a column for people is called `note` or \
                     begins with `x-`)",
                    text(cell)
                ),
            );
            unknown = true;
            clear = false;
        }
        columns.push(field);
    }
    if unknown {
        let message = format!("known columns are {}", Field::names());
        reading.usage_of(line, Fault::Column, message);
    }
    let needs_name = !reading.options.own_offsets;
    if clear
        && needs_name
        && !columns.iter().any(|c| matches!(c, Some(Field::Name | Field::NameHex)))
    {
        reading.usage(line, "the header has no column `name`");
        clear = false;
    }
    clear.then_some(columns)
}

fn row(record: &ByteRecord, columns: &[Option<Field>], line: u64, reading: &mut Reading<'_>) {
    if record.len() != columns.len() {
        let (cells, wanted) = (record.len(), columns.len());
        return reading.usage(line, format!("{cells} columns, and the header has {wanted}"));
    }
    let mut row = Row::default();
    for (cell, field) in cells(record).zip(columns) {
        if let Some(field) = field {
            row.set_text(*field, cell);
        }
    }
    row.finish(line, reading);
}
