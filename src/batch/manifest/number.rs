//! Numbers of a manifest: the size grammar, with plain numbers kept apart
//! because only they can be counted in the `unit` of their row.

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
    let plain = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => plain(digits, 16),
        None => plain(text, 10),
    };
    match plain {
        Plain::Number(value) => Ok(Number::Plain(value)),
        Plain::TooBig => Err(format!("{text:?} does not fit in 64 bits")),
        Plain::Other => match text.parse() {
            Ok(size) => Ok(Number::Sized(size)),
            Err(error) => Err(complaint(text, &error)),
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

/// The error in one line: lists of errors have a line each.
fn complaint(text: &str, error: &SizeError) -> String {
    format!("{text:?}: {}", error.message())
}
