//! The size grammar: `4KiB`, `1.5G`, `0x1000`, `1_000_000`, `8s`; and sizes for people to read.
//!
//! ```text
//! size    = number [suffix]
//! number  = digits ["." digits] | "0x" hex-digits     "_" may stand between two digits
//! suffix  = "B"                                        bytes
//!         | "K" | "M" | "G" | "T" | "P" | "E"          powers of 1024
//!         | "KiB" | "MiB" | ... | "EiB"                the same
//!         | "kB" | "KB" | "MB" | ... | "EB"            powers of 1000
//!         | "s"                                        logical sectors of the source
//! ```
//!
//! Case matters. After `0x`, `B` and `E` are hexadecimal digits: `0x10B` is
//! the number 267, and `0x10K` is 16 KiB. A leading zero means nothing, so
//! `010` is ten. A fraction is accepted where it gives a whole number of bytes
//! and is worked out digit by digit, never in floating point.
//!
//! This room knows nothing of ranges or sources: how long a sector is, the
//! caller says.

mod error;
#[cfg(test)]
pub(crate) mod tests;

pub(crate) use error::Complaint;
pub use error::{SizeError, SizeErrorKind};

use error::{missing_digit, wrong_tail};
use std::fmt;
use std::str::FromStr;

/// A size as typed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Size {
    /// Bytes.
    Bytes(u64),
    /// Logical sectors of the source.
    Sectors(u64),
}

/// More sectors than 64 bits can count the bytes of.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{sectors} sectors of {sector} bytes are more bytes than 64 bits can count")]
pub struct TooManySectors {
    sectors: u64,
    sector: u32,
}

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const TIB: u64 = 1 << 40;
const PIB: u64 = 1 << 50;
const EIB: u64 = 1 << 60;

/// The suffixes `human` and `exact` write, largest first.
const BINARY: [(&str, u64); 6] =
    [("EiB", EIB), ("PiB", PIB), ("TiB", TIB), ("GiB", GIB), ("MiB", MIB), ("KiB", KIB)];

/// Every suffix and the bytes it stands for, except sectors.
const SUFFIXES: [(&str, u64); 21] = [
    ("", 1),
    ("B", 1),
    ("K", KIB),
    ("M", MIB),
    ("G", GIB),
    ("T", TIB),
    ("P", PIB),
    ("E", EIB),
    ("KiB", KIB),
    ("MiB", MIB),
    ("GiB", GIB),
    ("TiB", TIB),
    ("PiB", PIB),
    ("EiB", EIB),
    ("kB", 1_000),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("PB", 1_000_000_000_000_000),
    ("EB", 1_000_000_000_000_000_000),
];

const SECTORS: &str = "s";

impl Size {
    /// The size in bytes, where a logical sector is `sector` bytes (not zero).
    pub fn bytes(self, sector: u32) -> Result<u64, TooManySectors> {
        match self {
            Size::Bytes(bytes) => Ok(bytes),
            Size::Sectors(sectors) => {
                sectors.checked_mul(u64::from(sector)).ok_or(TooManySectors { sectors, sector })
            }
        }
    }
}

impl FromStr for Size {
    type Err = SizeError;

    fn from_str(input: &str) -> Result<Size, SizeError> {
        let number = Number::read(input)?;
        let tail = &input[number.end..];
        if tail == SECTORS {
            return number.times(input, 1, "sectors").map(Size::Sectors);
        }
        match SUFFIXES.iter().find(|(suffix, _)| *suffix == tail) {
            Some(&(_, unit)) => number.times(input, unit, "bytes").map(Size::Bytes),
            None => Err(wrong_tail(input, &number, tail)),
        }
    }
}

/// Displayed so that it parses back to the same size.
impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Size::Bytes(bytes) => f.pad(&exact(*bytes)),
            Size::Sectors(sectors) => f.pad(&format!("{sectors}{SECTORS}")),
        }
    }
}

crate::words::stored_as_text!(Size);

impl From<u64> for Size {
    fn from(bytes: u64) -> Size {
        Size::Bytes(bytes)
    }
}

/// The bytes a text stands for, where sectors make no sense: a request size, a rate.
pub fn parse_bytes(input: &str) -> Result<u64, SizeError> {
    match input.parse()? {
        Size::Bytes(bytes) => Ok(bytes),
        Size::Sectors(_) => {
            let column = input.len() - SECTORS.len();
            let message = "sectors are not possible here".to_string();
            Err(SizeError::new(SizeErrorKind::Sectors, input, column, message)
                .hint("write the size in bytes, with a suffix such as KiB if you like"))
        }
    }
}

/// A size for people to read, in powers of 1024: `17 B`, `64 KiB`, `1.50 GiB`.
/// Two decimals, rounded to the nearest; none where the number is exact.
pub fn human(bytes: u64) -> String {
    let Some(at) = BINARY.iter().position(|&(_, unit)| bytes >= unit) else {
        return format!("{bytes} B");
    };
    let (suffix, unit) = BINARY[at];
    if bytes.is_multiple_of(unit) {
        return format!("{} {suffix}", bytes / unit);
    }
    let hundredths = (u128::from(bytes) * 100 + u128::from(unit) / 2) / u128::from(unit);
    if hundredths >= 1024 * 100 && at > 0 {
        // Rounding reached the next unit, whose name reads better than "1024.00 KiB".
        return format!("1.00 {}", BINARY[at - 1].0);
    }
    format!("{}.{:02} {suffix}", hundredths / 100, hundredths % 100)
}

/// A size as the grammar takes it back, exactly: the largest power of 1024 that
/// divides it evenly (`8MiB`), or plain bytes (`513`).
pub fn exact(bytes: u64) -> String {
    let divides = |&&(_, unit): &&(&str, u64)| bytes != 0 && bytes.is_multiple_of(unit);
    match BINARY.iter().find(divides) {
        Some((suffix, unit)) => format!("{}{suffix}", bytes / unit),
        None => bytes.to_string(),
    }
}

/// The number at the start of a size.
struct Number<'a> {
    /// The digits before the point, with their underscores.
    whole: &'a str,
    /// The digits after the point, with their underscores; often none.
    fraction: &'a str,
    radix: u32,
    /// Where the suffix begins.
    end: usize,
}

impl<'a> Number<'a> {
    fn read(input: &'a str) -> Result<Number<'a>, SizeError> {
        if input.is_empty() {
            return Err(SizeError::new(SizeErrorKind::Empty, input, 0, "a size is missing".into()));
        }
        if input.starts_with("0x") {
            let end = skip_digits(input, 2, 16)?;
            return Ok(Number { whole: &input[2..end], fraction: "", radix: 16, end });
        }
        let point = skip_digits(input, 0, 10)?;
        let whole = &input[..point];
        if !input[point..].starts_with('.') {
            return Ok(Number { whole, fraction: "", radix: 10, end: point });
        }
        let end = skip_digits(input, point + 1, 10)?;
        Ok(Number { whole, fraction: &input[point + 1..end], radix: 10, end })
    }

    /// The number times `unit`, which must be whole and fit in 64 bits.
    fn times(&self, input: &str, unit: u64, unit_name: &str) -> Result<u64, SizeError> {
        let (below_one, whole) = part_of(self.fraction, unit);
        let product = value_of(self.whole, self.radix)
            .and_then(|value| value.checked_mul(unit))
            .and_then(|product| product.checked_add(below_one));
        let Some(product) = product else {
            let message =
                format!("more than {} {unit_name}, the largest number possible", u64::MAX);
            return Err(SizeError::new(SizeErrorKind::TooLarge, input, 0, message));
        };
        if whole {
            return Ok(product);
        }
        let column = self.whole.len();
        let message = format!("not a whole number of {unit_name}");
        let error = SizeError::new(SizeErrorKind::NotWhole, input, column, message);
        Err(match product.checked_add(1) {
            Some(next) => error.hint(format!("it lies between {product} and {next} {unit_name}")),
            None => error,
        })
    }
}

/// Where the digits that begin at `from` end. There must be one.
fn skip_digits(input: &str, from: usize, radix: u32) -> Result<usize, SizeError> {
    let mut after_digit = false;
    for (at, character) in input[from..].char_indices() {
        let at = from + at;
        if character.is_digit(radix) {
            after_digit = true;
        } else if character == '_' {
            let next = input[at + 1..].chars().next();
            if !after_digit || !next.is_some_and(|next| next.is_digit(radix)) {
                let message = "`_` may only stand between two digits".to_string();
                return Err(SizeError::new(SizeErrorKind::Underscore, input, at, message));
            }
        } else if after_digit {
            return Ok(at);
        } else {
            return Err(missing_digit(input, at, Some(character)));
        }
    }
    if after_digit { Ok(input.len()) } else { Err(missing_digit(input, input.len(), None)) }
}

/// The value of digits that may have underscores between them, or `None` if it does not fit.
fn value_of(digits: &str, radix: u32) -> Option<u64> {
    digits
        .chars()
        .filter_map(|character| character.to_digit(radix))
        .try_fold(0u64, |value, digit| {
            value.checked_mul(u64::from(radix))?.checked_add(u64::from(digit))
        })
}

/// `unit` times the fraction written with `digits`, rounded down, and whether
/// there was nothing to round.
///
/// Long multiplication from the last digit on: what does not carry over the
/// point must be zero. Exact for any number of digits; 2^-60 EiB has 60.
fn part_of(digits: &str, unit: u64) -> (u64, bool) {
    let mut carry = 0;
    let mut whole = true;
    for digit in digits.chars().rev().filter_map(|character| character.to_digit(10)) {
        // At most 9 * unit + unit - 1, and the largest unit is 2^60.
        let sum = u64::from(digit) * unit + carry;
        whole &= sum.is_multiple_of(10);
        carry = sum / 10;
    }
    (carry, whole)
}
