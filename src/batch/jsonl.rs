//! JSON Lines: one object a line, with `runs` for a fragmented file.
//!
//! Numbers may be JSON numbers or text in the size grammar. The lines of a
//! report read back: what a report adds to an item is known and passed over.
//! Blank lines and lines that begin with `#` are, too.

use std::borrow::Cow;
use std::fmt;
use std::io::BufRead;

use serde::de::{self, Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};

use super::manifest::{Field, Lines, Piece, Reading, Row, Value};

/// Keys a report adds to those of an item.
const OF_REPORTS: [&str; 8] =
    ["status", "bytes", "digests", "failed", "error", "seconds", "schema", "line"];

/// Reads JSON Lines.
pub(super) fn read(input: &mut dyn BufRead, reading: &mut Reading<'_>) {
    let mut lines = Lines::new(input);
    loop {
        match lines.next() {
            Ok(None) => return,
            Ok(Some((number, line))) => object(number, line, reading),
            Err(error) => return reading.unreadable(lines.number() + 1, &error),
        }
    }
}

fn object(number: u64, line: &[u8], reading: &mut Reading<'_>) {
    if line.trim_ascii().is_empty() || line.starts_with(b"#") {
        return;
    }
    match serde_json::from_slice::<Object<'_>>(line) {
        Ok(object) if object.complete && reading.options.skip_complete => {
            reading.skip("complete already");
        }
        Ok(object) => object.row.finish(number, reading),
        Err(error) => reading.usage(number, message(&error)),
    }
}

/// The error without serde's line number, which is always 1 here.
fn message(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let what = text.rsplit_once(" at line ").map_or(&*text, |(what, _)| what);
    match error.column() {
        0 => what.to_owned(),
        column => format!("{what} (column {column})"),
    }
}

#[derive(Default)]
struct Object<'v> {
    row: Row<'v>,
    complete: bool,
}

/// A value that may be missing (`null`).
struct Cell<'v>(Option<Value<'v>>);

impl<'de> Deserialize<'de> for Cell<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CellVisitor)
    }
}

struct CellVisitor;

impl<'de> Visitor<'de> for CellVisitor {
    type Value = Cell<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text or a whole number of 64 bits")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Cell<'de>, E> {
        Ok(Cell(None))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Cell<'de>, E> {
        Ok(Cell(Some(Value::Number(number))))
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Cell<'de>, E> {
        // What is too big for 64 bits arrives as a float.
        Err(match number.abs() >= 2f64.powi(63) {
            true => E::custom("a number does not fit in 64 bits"),
            false => E::invalid_type(de::Unexpected::Float(number), &self),
        })
    }

    fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Cell<'de>, E> {
        Ok(Cell(Some(Value::Text(Cow::Borrowed(text.as_bytes())))))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Cell<'de>, E> {
        Ok(Cell(Some(Value::Text(Cow::Owned(text.as_bytes().to_vec())))))
    }
}

/// A key, borrowed where it has no escapes.
#[derive(serde::Deserialize)]
struct Key<'v>(#[serde(borrow)] Cow<'v, str>);

impl<'de> Deserialize<'de> for Object<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor)
    }
}

struct ObjectVisitor;

impl<'de> Visitor<'de> for ObjectVisitor {
    type Value = Object<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<'de>, A::Error> {
        let mut object = Object::default();
        while let Some(Key(key)) = map.next_key()? {
            if &*key == "runs" {
                let runs: Option<Vec<Piece<'de>>> = map.next_value()?;
                if std::mem::replace(&mut object.row.runs, runs).is_some() {
                    return Err(de::Error::custom("`runs` stands twice"));
                }
            } else if let Some(field) = Field::from_name(&key) {
                let Cell(value) = map.next_value()?;
                if value.is_some_and(|value| !object.row.set(field, value)) {
                    return Err(de::Error::custom(format!("`{}` stands twice", field.name())));
                }
            } else if &*key == "status" {
                let Cell(status) = map.next_value()?;
                // Skipped: complete since an earlier run.
                let is = |what: &'static [u8]| status == Some(Value::Text(Cow::Borrowed(what)));
                object.complete = is(b"complete") || is(b"skipped");
            } else if OF_REPORTS.contains(&&*key) || Field::is_passed_over(&key) {
                let IgnoredAny = map.next_value()?;
            } else {
                return Err(de::Error::custom(format!("unknown field `{key}`")));
            }
        }
        Ok(object)
    }
}

impl<'de> Deserialize<'de> for Piece<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(PieceVisitor)
    }
}

struct PieceVisitor;

impl<'de> Visitor<'de> for PieceVisitor {
    type Value = Piece<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a run: {\"start\", \"len\"} or {\"hole\": true, \"len\"}")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Piece<'de>, A::Error> {
        let mut piece = Piece::default();
        while let Some(Key(key)) = map.next_key()? {
            if &*key == "hole" {
                piece.hole = map.next_value()?;
                continue;
            }
            let cell = match Field::from_name(&key) {
                Some(Field::Start) => &mut piece.start,
                Some(Field::End) => &mut piece.end,
                Some(Field::Last) => &mut piece.last,
                Some(Field::Len) => &mut piece.len,
                _ => return Err(de::Error::custom(format!("unknown field `{key}` of a run"))),
            };
            let Cell(value) = map.next_value()?;
            if std::mem::replace(cell, value).is_some() {
                return Err(de::Error::custom(format!("`{key}` stands twice in a run")));
            }
        }
        Ok(piece)
    }
}
