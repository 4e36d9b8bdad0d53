//! One row of a manifest as written, whatever wrote it, and how it becomes an
//! item: the one place where the fields have their meaning.

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;

use super::bounds::{LONGEST_PATH, LONGEST_VALUE};
use super::error::ErrorKind;
use super::item::{Details, Item, Run, Runs};
use super::lines::text;
use super::name::{path_from_bytes, too_long};
use super::number::{self, Number};
use super::reading::Reading;
use super::time;
use crate::digest::{Algorithm, Expectation};
use crate::range::ByteRange;
use crate::size::Size;

/// What a column or key means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Field {
    Name,
    /// The name in hexadecimal, where it is not UTF-8 and the format must be.
    NameHex,
    Source,
    SourceHex,
    Start,
    /// One past the last byte.
    End,
    /// The last byte.
    Last,
    Len,
    DestOffset,
    Base,
    Unit,
    Mode,
    Mtime,
    Id,
    FileLen,
    Digest(Algorithm),
}

/// Every field but the digests, by its name and its other names.
const NAMES: [(&str, Field); 22] = [
    ("name", Field::Name),
    ("dst", Field::Name),
    ("path", Field::Name),
    ("name_hex", Field::NameHex),
    ("source", Field::Source),
    ("src", Field::Source),
    ("source_hex", Field::SourceHex),
    ("start", Field::Start),
    ("offset", Field::Start),
    ("end", Field::End),
    ("last", Field::Last),
    ("len", Field::Len),
    ("length", Field::Len),
    ("size", Field::Len),
    ("dest_offset", Field::DestOffset),
    ("dst_offset", Field::DestOffset),
    ("base", Field::Base),
    ("unit", Field::Unit),
    ("mode", Field::Mode),
    ("mtime", Field::Mtime),
    ("id", Field::Id),
    ("file_len", Field::FileLen),
];

/// Cells of a row: the fields without a digest, then one a digest.
const PLAIN_FIELDS: usize = 15;
const CELLS: usize = PLAIN_FIELDS + Algorithm::ALL.len();

impl Field {
    /// The field of a column or key, in any case.
    pub(crate) fn from_name(name: &str) -> Option<Field> {
        let digest = |a: &Algorithm| a.name().eq_ignore_ascii_case(name);
        let field = NAMES.iter().find(|row| row.0.eq_ignore_ascii_case(name)).map(|row| row.1);
        field.or_else(|| Algorithm::ALL.into_iter().find(digest).map(Field::Digest))
    }

    /// All their names, for messages.
    pub(crate) fn names() -> String {
        let digests = Algorithm::ALL.into_iter().map(|algorithm| algorithm.name());
        let names: Vec<&str> = NAMES.iter().map(|row| row.0).chain(digests).collect();
        names.join(", ")
    }

    /// Whether a column or key is for people or other tools, and ours to pass
    /// over: `note`, and whatever begins with `x-`.
    pub(crate) fn is_passed_over(name: &str) -> bool {
        name.eq_ignore_ascii_case("note") || name.starts_with("x-") || name.starts_with("X-")
    }

    /// The first of its names.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Field::Digest(algorithm) => algorithm.name(),
            _ => NAMES.iter().find(|row| row.1 == self).map_or("", |row| row.0),
        }
    }

    /// Whether it is a number of bytes.
    pub(crate) fn is_number(self) -> bool {
        use Field::{Base, DestOffset, End, FileLen, Last, Len, Start};
        matches!(self, Start | End | Last | Len | DestOffset | Base | FileLen)
    }

    fn index(self) -> usize {
        match self {
            Field::Name => 0,
            Field::NameHex => 1,
            Field::Source => 2,
            Field::SourceHex => 3,
            Field::Start => 4,
            Field::End => 5,
            Field::Last => 6,
            Field::Len => 7,
            Field::DestOffset => 8,
            Field::Base => 9,
            Field::Unit => 10,
            Field::Mode => 11,
            Field::Mtime => 12,
            Field::Id => 13,
            Field::FileLen => 14,
            Field::Digest(algorithm) => PLAIN_FIELDS + algorithm as usize,
        }
    }
}

/// Whether a row says where in the destination it goes.
#[derive(Clone, Copy)]
enum Placed {
    Said,
    Unsaid,
}

/// What stands in a cell.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Value<'v> {
    /// A number of JSON.
    Number(u64),
    /// Text of any format.
    Text(Cow<'v, [u8]>),
}

/// The ends of a range as written.
#[derive(Default)]
pub(crate) struct Piece<'v> {
    pub(crate) hole: bool,
    pub(crate) start: Option<Value<'v>>,
    pub(crate) end: Option<Value<'v>>,
    pub(crate) last: Option<Value<'v>>,
    pub(crate) len: Option<Value<'v>>,
}

/// One row as written.
#[derive(Default)]
pub(crate) struct Row<'v> {
    cells: [Option<Value<'v>>; CELLS],
    /// The pieces of a fragmented file, in order.
    pub(crate) runs: Option<Vec<Piece<'v>>>,
}

impl<'v> Row<'v> {
    /// Fills a cell; false if it was filled already.
    pub(crate) fn set(&mut self, field: Field, value: Value<'v>) -> bool {
        self.cells[field.index()].replace(value).is_none()
    }

    /// Fills a cell with text. Blank is the same as not there, except for a
    /// name, which must not be blank.
    pub(crate) fn set_text(&mut self, field: Field, value: &'v [u8]) -> bool {
        let trimmed = match field {
            Field::Name | Field::Source | Field::Id => value,
            _ => value.trim_ascii(),
        };
        if trimmed.is_empty() && field != Field::Name {
            return true;
        }
        self.set(field, Value::Text(Cow::Borrowed(trimmed)))
    }

    /// The row as an item among those of `reading`, or an error of its line.
    pub(crate) fn finish(mut self, line: u64, reading: &mut Reading<'_>) {
        if let Some((kind, why)) = self.too_long() {
            return reading.error(line, kind, why);
        }
        match self.item(line, reading) {
            Ok((item, Placed::Said)) => reading.items.push(item),
            Ok((item, Placed::Unsaid)) => reading.place(item),
            Err(message) => reading.usage(line, message),
        }
    }

    /// What is longer than anything its field is for. It is not quoted.
    fn too_long(&self) -> Option<(ErrorKind, String)> {
        let paths = [(Field::Name, Field::NameHex), (Field::Source, Field::SourceHex)];
        let of_paths = paths.into_iter().find_map(|(plain, hex)| {
            let why = match (self.text_in(plain.index()), self.text_in(hex.index())) {
                (Some(path), _) => too_long(path),
                (None, Some(digits)) if digits.len() > 2 * LONGEST_PATH => too_long(digits),
                _ => None,
            };
            why.map(|why| (ErrorKind::Refused, format!("the {} {why}", plain.name())))
        });
        of_paths.or_else(|| {
            let len = (Field::Start.index()..CELLS).map(|cell| self.text_in(cell)?.len().into());
            let longest = len.map(Option::unwrap_or_default).max().unwrap_or(0);
            let why = || {
                let why =
                    format!("a field of {longest} bytes, and at most {LONGEST_VALUE} are taken");
                (ErrorKind::Usage, why)
            };
            (longest > LONGEST_VALUE).then(why)
        })
    }

    fn text_in(&self, cell: usize) -> Option<&[u8]> {
        match &self.cells[cell] {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    fn take(&mut self, field: Field) -> Option<Value<'v>> {
        self.cells[field.index()].take()
    }

    fn item(&mut self, line: u64, reading: &mut Reading<'_>) -> Result<(Item, Placed), String> {
        let name = match self.bytes(Field::Name, Field::NameHex)? {
            Some(name) => name,
            None if reading.options.own_offsets => Cow::Borrowed(&b"-"[..]),
            None => return Err("the name is missing".to_owned()),
        };
        let name = path_from_bytes(&name).ok_or("the name is not UTF-8")?.into();
        let source = match self.bytes(Field::Source, Field::SourceHex)? {
            Some(bytes) => Some(reading.source(&bytes).ok_or("the source is not UTF-8")?),
            None => None,
        };
        let mut scale = Scale { unit: 1, base: 0, source: source.as_ref(), reading };
        let dest_offset = self.size(Field::DestOffset, &mut scale)?;
        let placed = if dest_offset.is_some() { Placed::Said } else { Placed::Unsaid };
        let dest_offset = dest_offset.unwrap_or(0);
        scale.base = self.size(Field::Base, &mut scale)?.unwrap_or(0);
        let details = self.details(&mut scale)?;
        if let Some(unit) = self.take(Field::Unit) {
            scale.unit = scale.unit_from(&unit)?;
        }
        let runs = self.all_runs(&mut scale)?;
        if runs.len(0).and_then(|len| dest_offset.checked_add(len)).is_none() {
            return Err("the item ends past what 64 bits count".to_owned());
        }
        let details = (details != Details::default()).then(|| Box::new(details));
        Ok((Item { line, name, source, runs, dest_offset, details }, placed))
    }

    fn all_runs(&mut self, scale: &mut Scale<'_, '_>) -> Result<Runs, String> {
        let piece = Piece {
            hole: false,
            start: self.take(Field::Start),
            end: self.take(Field::End),
            last: self.take(Field::Last),
            len: self.take(Field::Len),
        };
        match self.runs.take() {
            None if piece.is_blank() => Ok(Runs::Whole),
            None => match piece.run(scale)? {
                Run::Data(range) => Ok(Runs::One(range)),
                hole => Ok(Runs::from_pieces([hole])),
            },
            Some(_) if !piece.is_blank() => {
                Err("`runs` and start, end, last or len exclude each other".to_owned())
            }
            Some(pieces) => {
                let runs: Result<Vec<Run>, String> =
                    pieces.into_iter().map(|piece| piece.run(scale)).collect();
                Ok(Runs::from_pieces(runs?))
            }
        }
    }

    fn details(&mut self, scale: &mut Scale<'_, '_>) -> Result<Details, String> {
        let mut expected = Vec::new();
        for algorithm in Algorithm::ALL {
            if let Some(value) = self.take(Field::Digest(algorithm)) {
                let hex = value.text(algorithm.name())?;
                expected
                    .push(Expectation::new(algorithm, &hex).map_err(|error| error.to_string())?);
            }
        }
        Ok(Details {
            id: match self.take(Field::Id) {
                Some(value) => Some(value.text("id")?.as_ref().into()),
                None => None,
            },
            expected: expected.into(),
            mode: match self.take(Field::Mode) {
                Some(value) => Some(scale.reading.permissions(mode(&value)?)),
                None => None,
            },
            mtime: self.take(Field::Mtime).map(|value| mtime(&value)).transpose()?,
            file_len: self.size(Field::FileLen, scale)?,
        })
    }

    /// Bytes under a field or, in hexadecimal, under another.
    fn bytes(&mut self, field: Field, hex: Field) -> Result<Option<Cow<'v, [u8]>>, String> {
        match (self.take(field), self.take(hex)) {
            (None, None) => Ok(None),
            (Some(Value::Text(bytes)), None) => Ok(Some(bytes)),
            (None, Some(Value::Text(digits))) => match unhex(&digits) {
                Some(bytes) => Ok(Some(Cow::Owned(bytes))),
                None => Err(format!("{}: {:?} is not hexadecimal", hex.name(), text(&digits))),
            },
            (Some(_), Some(_)) => Err(format!("{} and {} both", field.name(), hex.name())),
            _ => Err(format!("{} is a number, not text", field.name())),
        }
    }

    /// A number of bytes that no unit multiplies.
    fn size(&mut self, field: Field, scale: &mut Scale<'_, '_>) -> Result<Option<u64>, String> {
        let value = self.take(field);
        value.map(|value| scale.bytes(field.name(), &value)).transpose()
    }
}

impl Value<'_> {
    fn text(&self, field: &str) -> Result<Cow<'_, str>, String> {
        match self {
            Value::Number(number) => Ok(number.to_string().into()),
            Value::Text(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => Ok(text.into()),
                Err(_) => Err(format!("{field}: {:?} is not UTF-8", text(bytes))),
            },
        }
    }

    fn number(&self, field: &str) -> Result<Number, String> {
        match self {
            Value::Number(number) => Ok(Number::Plain(*number)),
            text => number::parse(&text.text(field)?).map_err(|why| format!("{field}: {why}")),
        }
    }
}

impl Piece<'_> {
    fn is_blank(&self) -> bool {
        self.start.is_none() && self.end.is_none() && self.last.is_none() && self.len.is_none()
    }

    fn run(&self, scale: &mut Scale<'_, '_>) -> Result<Run, String> {
        match (self.hole, &self.start, &self.end, &self.last, &self.len) {
            (true, None, None, None, Some(len)) => Ok(Run::Hole(scale.bytes("len", len)?)),
            (true, ..) => Err("a hole has a len and nothing else".to_owned()),
            (false, None, ..) => Err("start is missing".to_owned()),
            (false, Some(start), end, last, len) => {
                let start = scale.position("start", start)?;
                let end = match (end, last, len) {
                    (Some(end), None, None) => scale.position("end", end)?,
                    (None, Some(last), None) => scale.after("last", last)?,
                    (None, None, Some(len)) => {
                        start.checked_add(scale.bytes("len", len)?).ok_or_else(|| past("len"))?
                    }
                    _ => return Err("give exactly one of end, last and len".to_owned()),
                };
                // An inclusive range holds its last byte: `last` before `start` is no
                // empty range but a mistake.
                let range = ByteRange::new(start, end).filter(|r| last.is_none() || !r.is_empty());
                range
                    .map(Run::Data)
                    .ok_or_else(|| format!("the range ends before its start {start}"))
            }
        }
    }
}

/// How the numbers of a row become bytes of its source.
struct Scale<'r, 'a> {
    unit: u64,
    base: u64,
    source: Option<&'r Arc<Path>>,
    reading: &'r mut Reading<'a>,
}

impl Scale<'_, '_> {
    /// A length in bytes.
    fn bytes(&mut self, field: &str, value: &Value<'_>) -> Result<u64, String> {
        match value.number(field)? {
            Number::Plain(number) => number.checked_mul(self.unit).ok_or_else(|| past(field)),
            Number::Sized(_) if self.unit != 1 => {
                Err(format!("{field} has a unit of its own beside the unit of the row"))
            }
            Number::Sized(Size::Bytes(bytes)) => Ok(bytes),
            Number::Sized(Size::Sectors(sectors)) => {
                sectors.checked_mul(u64::from(self.sector()?)).ok_or_else(|| past(field))
            }
        }
    }

    /// A position on the source.
    fn position(&mut self, field: &str, value: &Value<'_>) -> Result<u64, String> {
        self.bytes(field, value)?.checked_add(self.base).ok_or_else(|| past(field))
    }

    /// The position after the last byte, or after the last unit or sector
    /// where positions count those.
    fn after(&mut self, field: &str, value: &Value<'_>) -> Result<u64, String> {
        let one = match value.number(field)? {
            Number::Sized(Size::Sectors(_)) => u64::from(self.sector()?),
            _ => self.unit,
        };
        self.position(field, value)?.checked_add(one).ok_or_else(|| past(field))
    }

    /// Bytes in a unit: `byte`, `sector`, or a size.
    fn unit_from(&mut self, value: &Value<'_>) -> Result<u64, String> {
        let name = value.text("unit")?;
        match &*name {
            "byte" | "bytes" => Ok(1),
            "sector" | "sectors" => self.sector().map(u64::from),
            _ => match self.bytes("unit", value)? {
                0 => Err("unit: a unit of no bytes".to_owned()),
                bytes => Ok(bytes),
            },
        }
    }

    fn sector(&mut self) -> Result<u32, String> {
        self.reading.sector(self.source).filter(|&bytes| bytes > 0).ok_or_else(|| {
            "the sector size of the source is not known: give the unit in bytes, such as unit 512"
                .to_owned()
        })
    }
}

fn past(field: &str) -> String {
    format!("{field} lies past what 64 bits count")
}

/// Permission bits in octal, as `chmod` takes them.
fn mode(value: &Value<'_>) -> Result<u32, String> {
    let Value::Text(digits) = value else {
        return Err("mode: write it as text in octal, such as \"0644\"".to_owned());
    };
    let digits = digits.strip_prefix(b"0o").unwrap_or(digits);
    let octal = std::str::from_utf8(digits).ok().filter(|text| !text.starts_with('+'));
    octal
        .and_then(|text| u32::from_str_radix(text, 8).ok())
        .filter(|&mode| mode <= 0o7777)
        .ok_or_else(|| format!("mode: {:?} is not octal up to 7777", text(digits)))
}

fn mtime(value: &Value<'_>) -> Result<(i64, u32), String> {
    let written = value.text("mtime")?;
    time::parse(written.as_bytes()).ok_or_else(|| {
        format!("mtime: {written:?} is neither Unix seconds nor like 2026-01-31T12:00:00Z")
    })
}

/// Bytes from hexadecimal.
fn unhex(digits: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: u8| (byte as char).to_digit(16);
    let byte = |pair: &[u8]| match *pair {
        [high, low] => Some((digit(high)? << 4 | digit(low)?) as u8),
        _ => None,
    };
    digits.chunks(2).map(byte).collect()
}
