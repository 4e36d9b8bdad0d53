//! The plain form, `START END NAME` on a line, for lists made by a one-line
//! script. Whether END is inside the range is the oldest error of such lists,
//! so the file has to say it, on a line before the first row:
//!
//! ```text
//! #pcopy v1 end=exclusive|inclusive unit=bytes|sector|SIZE [base=SIZE] [sector=BYTES]
//! ```
//!
//! The name is the rest of the line, blanks and all; in double quotes (a `""`
//! inside is one `"`) it may begin or end with blanks. Other lines that begin
//! with `#`, and blank lines, are passed over.

use std::borrow::Cow;
use std::io::BufRead;

use super::super::{Field, Lines, Reading, Row, Value, decimal, text};

/// What the directive says.
struct Directive {
    /// `End` or `Last`.
    end: Field,
    unit: Vec<u8>,
    base: Vec<u8>,
}

const EXAMPLE: &str = "such as `#pcopy v1 end=exclusive unit=bytes`";

/// Reads the plain form.
pub(in crate::manifest) fn read(input: &mut dyn BufRead, reading: &mut Reading<'_>) {
    let mut directive = None;
    let mut lines = Lines::new(input);
    loop {
        let (number, line) = match lines.next() {
            Ok(None) => return,
            Ok(Some(line)) => line,
            Err(error) => return reading.unreadable(lines.number() + 1, &error),
        };
        if let Some(words) = line.strip_prefix(b"#pcopy") {
            match parse_directive(words) {
                Ok(_) if directive.is_some() => {
                    return reading.usage(number, "a second `#pcopy` line");
                }
                Ok(parsed) => directive = Some(parsed),
                Err(why) => return reading.usage(number, format!("{why}, {EXAMPLE}")),
            }
        } else if !line.starts_with(b"#") && !line.trim_ascii().is_empty() {
            let Some(directive) = &directive else {
                return reading.usage(
                    number,
                    format!(
                        "nothing says whether END is inside the range: begin with a line {EXAMPLE}"
                    ),
                );
            };
            row(number, line, directive, reading);
        }
    }
}

fn parse_directive(words: &[u8]) -> Result<Directive, String> {
    let words = text(words);
    let mut words = words.split_ascii_whitespace();
    if words.next() != Some("v1") {
        return Err("`#pcopy` is followed by the version, `v1`".to_owned());
    }
    let (mut end, mut unit, mut base, mut sector) = (None, None, None, None);
    for word in words {
        let (key, value) = word.split_once('=').unwrap_or((word, ""));
        let seen = match (key, value) {
            ("end", "exclusive") => end.replace(Field::End).is_some(),
            ("end", "inclusive") => end.replace(Field::Last).is_some(),
            ("unit", unit_) if !unit_.is_empty() => unit.replace(unit_).is_some(),
            ("base", base_) if !base_.is_empty() => base.replace(base_).is_some(),
            ("sector", bytes) if decimal(bytes.as_bytes()).is_some_and(|bytes| bytes > 0) => {
                sector.replace(bytes).is_some()
            }
            _ => return Err(format!("{word:?} is not understood")),
        };
        if seen {
            return Err(format!("{key} stands twice"));
        }
    }
    let unit = match (unit.unwrap_or("bytes"), sector) {
        ("sector" | "sectors", Some(bytes)) => bytes,
        (unit, _) => unit,
    };
    let (unit, base) = (unit.into(), base.unwrap_or("0").into());
    Ok(Directive { end: end.ok_or("`end=` is missing")?, unit, base })
}

fn row(number: u64, line: &[u8], directive: &Directive, reading: &mut Reading<'_>) {
    let (start, rest) = word(line);
    let (end, name) = word(rest);
    if name.is_empty() {
        return reading.usage(number, "three columns are needed: START END NAME");
    }
    let name = match name.trim_ascii() {
        [b'"', quoted @ .., b'"'] => match unquote(quoted) {
            Some(name) => Cow::Owned(name),
            None => return reading.usage(number, "a quote inside the quoted name is not doubled"),
        },
        _ => Cow::Borrowed(name),
    };
    let mut row = Row::default();
    row.set(Field::Name, Value::Text(name));
    row.set_text(Field::Start, start);
    row.set_text(directive.end, end);
    row.set_text(Field::Unit, &directive.unit);
    row.set_text(Field::Base, &directive.base);
    row.finish(number, reading);
}

/// The first word of a line, and what follows the blanks after it.
fn word(line: &[u8]) -> (&[u8], &[u8]) {
    let line = line.trim_ascii_start();
    let end = line.iter().position(u8::is_ascii_whitespace).unwrap_or(line.len());
    (&line[..end], line[end..].trim_ascii_start())
}

fn unquote(quoted: &[u8]) -> Option<Vec<u8>> {
    let mut name = Vec::with_capacity(quoted.len());
    let mut bytes = quoted.iter();
    while let Some(&byte) = bytes.next() {
        if byte == b'"' && bytes.next() != Some(&b'"') {
            return None;
        }
        name.push(byte);
    }
    Some(name)
}
