//! JSON: one object a line, with `runs` for a fragmented file. An array of such
//! objects, and objects written over several lines, are read as well.
//!
//! Numbers may be JSON numbers or text in the size grammar. The lines of a
//! report read back: what a report adds to an item is known and passed over.
//! Blank lines and lines that begin with `#` are passed over as well.

use std::borrow::Cow;
use std::fmt;
use std::io::BufRead;

use serde::de::{self, Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};

use super::super::{Field, Piece, ReadOptions, Reading, Row, Value};
use super::objects::Objects;
use crate::error::Fault;

/// Keys a report adds to those of an item.
const OF_REPORTS: [&str; 11] = [
    "status",
    "bytes",
    "digests",
    "failed",
    "verified",
    "error",
    "error_kind",
    "seconds",
    "folders",
    "schema",
    "line",
];

/// Reads JSON Lines.
pub(in crate::manifest) fn read(input: &mut dyn BufRead, reading: &mut Reading<'_>) {
    let mut objects = Objects::new(input);
    loop {
        match objects.next() {
            Ok(None) => return,
            Ok(Some((number, text))) => object(number, text, reading),
            Err((line, why)) => return reading.usage(line, why),
        }
    }
}

fn object(number: u64, text: &[u8], reading: &mut Reading<'_>) {
    let mut json = serde_json::Deserializer::from_slice(text);
    let unknown = std::cell::Cell::new(false);
    let visitor = ObjectVisitor { options: reading.options, unknown: &unknown };
    let parsed = json.deserialize_map(visitor).and_then(|found| json.end().map(|()| found));
    match parsed {
        Ok(object) if object.complete && reading.options.skip_complete => {
            reading.skip("complete already");
        }
        Ok(object) => object.row.finish(number, reading),
        Err(error) => {
            let inside = if error.is_eof() { 0 } else { (error.line() as u64).saturating_sub(1) };
            let line = number + inside;
            let fault = if unknown.get() { Fault::Column } else { Fault::Other };
            reading.usage_of(line, fault, message(&error));
        }
    }
}

/// The error without serde's line number, which counts from the object.
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
        // Programs whose numbers are all floats write 4096.0; beyond 2^53 they
        // may have rounded it.
        if number.fract() == 0.0 && (0.0..=2f64.powi(53)).contains(&number) {
            return Ok(Cell(Some(Value::Number(number as u64))));
        }
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

struct ObjectVisitor<'o> {
    options: &'o ReadOptions<'o>,
    /// Whether it ended at a key that is not known.
    unknown: &'o std::cell::Cell<bool>,
}

impl<'de> Visitor<'de> for ObjectVisitor<'_> {
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
            } else if let Some(field) = self.options.columns.field(&key) {
                let Cell(value) = map.next_value()?;
                if value.is_some_and(|value| !object.row.set(field, value)) {
                    return Err(de::Error::custom(format!("`{}` stands twice", field.name())));
                }
            } else if &*key == "status" {
                let Cell(status) = map.next_value()?;
                // Skipped: complete since an earlier run.
                let is = |what: &'static [u8]| status == Some(Value::Text(Cow::Borrowed(what)));
                object.complete = is(b"complete") || is(b"skipped");
            } else if OF_REPORTS.contains(&&*key)
                || Field::is_passed_over(&key)
                || self.options.ignore_columns
            {
                let IgnoredAny = map.next_value()?;
            } else {
                self.unknown.set(true);
                let names = Field::names();
                return Err(de::Error::custom(format!("unknown field `{key}`; known are {names}")));
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
