//! Numbers of a manifest: the size grammar, with plain numbers kept apart
//! because only they can be counted in the `unit` of their row.

use std::path::Path;

use crate::address;
use crate::size::{Size, SizeError};

/// A number as written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Number {
    /// Without a suffix: counts in the unit of the row.
    Plain(u64),
    /// With a suffix: has a unit of its own.
    Sized(Size),
}

/// A number, or why the text is none.
pub(super) fn parse(text: &str) -> Result<Number, String> {
    let written = text;
    // As programs write whole numbers that are floats to them: 2048.0.
    let text = match text.split_once('.') {
        Some((whole, "0" | "00")) => whole,
        Some((whole, "000")) if !whole.is_empty() && whole.bytes().all(|b| b.is_ascii_digit()) => {
            return Err(format!("{written:?} may be {whole} or {whole}000: write one of them"));
        }
        _ => text,
    };
    let plain = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => plain(digits, 16),
        None => plain(text, 10),
    };
    match plain {
        Plain::Number(value) => Ok(Number::Plain(value)),
        Plain::TooBig => Err(format!("{text:?} does not fit in 64 bits")),
        Plain::Other => match written.parse() {
            Ok(size) => Ok(Number::Sized(size)),
            Err(error) => Err(complaint(written, &error)),
        },
    }
}

/// A number of digits only, as the tools print them.
pub(crate) fn decimal(text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?;
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

enum Plain {
    Number(u64),
    TooBig,
    Other,
}

/// Digits, with `_` allowed between two of them.
fn plain(digits: &str, radix: u64) -> Plain {
    let mut value: Option<u64> = Some(0);
    let mut after_digit = false;
    for byte in digits.bytes() {
        match (byte as char).to_digit(radix as u32) {
            Some(digit) => {
                value = value.and_then(|v| v.checked_mul(radix)?.checked_add(u64::from(digit)));
            }
            None if byte == b'_' && after_digit => {}
            None => return Plain::Other,
        }
        after_digit = byte != b'_';
    }
    match value {
        _ if !after_digit => Plain::Other,
        Some(value) => Plain::Number(value),
        None => Plain::TooBig,
    }
}

/// A number of digits only, as the tools print them, in that radix.
pub(crate) fn in_radix(text: &[u8], radix: u32) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?;
    let digits = text.strip_prefix("0x").filter(|_| radix == 16).unwrap_or(text);
    let all = !digits.is_empty() && digits.chars().all(|digit| digit.is_digit(radix));
    if all { u64::from_str_radix(digits, radix).ok() } else { None }
}

/// The error in one line: lists of errors have a line each.
fn complaint(text: &str, error: &SizeError) -> String {
    // Where columns are mixed up, it may be an address.
    format!("{:?}: {}", address::shown(Path::new(text)), error.message())
}
