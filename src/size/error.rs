//! What is said about a text that is not a size: which character is wrong,
//! why, and what was probably meant. The grammar itself is not decided here.

use super::{Number, SECTORS, SUFFIXES, parse_bytes, value_of};
use std::fmt;

/// What is wrong with a text that is not a size.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum SizeErrorKind {
    /// Nothing was given.
    Empty,
    /// A digit must stand where something else does.
    MissingDigit,
    /// A `_` that is not between two digits.
    Underscore,
    /// What follows the number is not a suffix.
    UnknownSuffix,
    /// One of dd's `b`, `w`, `c`, `x`.
    Multiplier,
    /// A fraction of a byte or of a sector.
    NotWhole,
    /// More than `u64::MAX`.
    TooLarge,
    /// Sectors, where only bytes make sense.
    Sectors,
}

/// Why a text is not a size. Displayed over several lines: what is wrong, the
/// text with a caret under the wrong character, and a hint where there is one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SizeError {
    kind: SizeErrorKind,
    complaint: Complaint,
}

/// A text, the place in it that is wrong, and why: what the errors of sizes
/// and of ranges have in common.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Complaint {
    pub(crate) input: String,
    /// Byte offset of the wrong character; the length of the text if something is missing there.
    pub(crate) column: usize,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

impl SizeError {
    pub(super) fn new(
        kind: SizeErrorKind,
        input: &str,
        column: usize,
        message: String,
    ) -> SizeError {
        let complaint = Complaint { input: input.to_string(), column, message, hint: None };
        SizeError { kind, complaint }
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> SizeError {
        self.complaint.hint = Some(hint.into());
        self
    }

    pub(crate) fn into_complaint(self) -> Complaint {
        self.complaint
    }

    /// What kind of mistake it is.
    pub fn kind(&self) -> SizeErrorKind {
        self.kind
    }

    /// The text that is not a size.
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

impl std::error::Error for SizeError {}

impl fmt::Display for SizeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.complaint.fmt(f)
    }
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A terminal must not act on what a text holds, and the caret needs one
        // column for each character before it.
        let harmless = |character: char| match character {
            ' '..='~' => character,
            _ if character.escape_debug().len() > 1 => char::REPLACEMENT_CHARACTER,
            _ => character,
        };
        let shown: String = self.input.chars().map(harmless).collect();
        let before = self.input.char_indices().take_while(|(at, _)| *at < self.column).count();
        writeln!(f, "{}", self.message)?;
        writeln!(f, "    {shown}")?;
        write!(f, "    {:before$}^", "")?;
        match &self.hint {
            Some(hint) => write!(f, "\nhint: {hint}"),
            None => Ok(()),
        }
    }
}

/// What to say where a digit must stand.
pub(super) fn missing_digit(input: &str, column: usize, found: Option<char>) -> SizeError {
    let message = match found {
        Some(character) => format!("a digit is expected, not {character:?}"),
        None => "a digit is missing".to_string(),
    };
    let error = SizeError::new(SizeErrorKind::MissingDigit, input, column, message);
    match found {
        Some('+' | '-') => error.hint("a size has no sign"),
        Some('.') if column == 0 && parse_bytes(&format!("0{input}")).is_ok() => {
            error.hint(format!("write 0{input}"))
        }
        Some(space) if space.is_whitespace() => error.hint("write a size without spaces"),
        _ => error,
    }
}

/// What to say about something after the number that is not a suffix.
pub(super) fn wrong_tail(input: &str, number: &Number<'_>, tail: &str) -> SizeError {
    if let Some(hint) = multiplier_hint(number, tail) {
        let letter = &tail[..1];
        let message = format!("dd's multiplier `{letter}` is not used here");
        return SizeError::new(SizeErrorKind::Multiplier, input, number.end, message).hint(hint);
    }
    // The first character that no suffix continues with is the wrong one.
    let names = SUFFIXES.iter().map(|(suffix, _)| *suffix).chain([SECTORS]);
    let good = names.map(|name| common_prefix(name, tail)).max().unwrap_or(0);
    let message = format!("{tail:?} is not a suffix of a size");
    SizeError::new(SizeErrorKind::UnknownSuffix, input, number.end + good, message)
        .hint(suffix_hint(&input[..number.end], number, tail))
}

fn common_prefix(a: &str, b: &str) -> usize {
    a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count()
}

/// If `tail` is one of dd's multipliers: what to write instead.
fn multiplier_hint(number: &Number<'_>, tail: &str) -> Option<String> {
    let letter = tail.chars().next()?;
    let rest = &tail[letter.len_utf8()..];
    let (factor, meaning) = match letter {
        'c' => (Some(1), "in dd, `c` is 1 byte"),
        'w' => (Some(2), "in dd, `w` is 2 bytes"),
        'b' => (Some(512), "in dd, `b` is 512 bytes"),
        'x' => (parse_bytes(rest).ok(), "in dd, `x` multiplies two numbers"),
        _ => return None,
    };
    if letter != 'x' && !rest.is_empty() && !rest.starts_with('x') {
        return None;
    }
    let alone = letter == 'x' || rest.is_empty();
    let value =
        value_of(number.whole, number.radix).filter(|_| alone && number.fraction.is_empty());
    let product = value.zip(factor).and_then(|(value, factor)| value.checked_mul(factor));
    let instead = match (product, value) {
        (Some(product), Some(value)) if letter == 'b' => {
            format!("write {product}, or {value}s for sectors of the source")
        }
        (Some(product), _) => format!("write {product}"),
        (None, _) => "write the number of bytes".to_string(),
    };
    Some(format!("{meaning}: {instead}"))
}

/// What was probably meant by a wrong suffix; else the suffixes there are.
fn suffix_hint(digits: &str, number: &Number<'_>, tail: &str) -> String {
    let hexadecimal = number.radix == 16;
    let lower = tail.to_ascii_lowercase();
    let first = lower.chars().next();
    let rest = first.map_or("", |first| &lower[first.len_utf8()..]);
    match (first, rest) {
        (Some('i'), "b") if hexadecimal && digits.ends_with(['E', 'e']) => {
            "after 0x, E is a hexadecimal digit: write the number in decimal".to_string()
        }
        (Some('.'), _) if hexadecimal => "a hexadecimal number has no fraction".to_string(),
        (Some('x'), _) if digits == "0" => "write 0x in lower case".to_string(),
        (Some(letter @ ('k' | 'm' | 'g' | 't' | 'p' | 'e')), "" | "b" | "i" | "ib") => {
            let big = letter.to_ascii_uppercase();
            let thousand = if big == 'K' { 'k' } else { big };
            format!(
                "write {digits}{big}iB (or {digits}{big}) for powers of 1024, \
                 {digits}{thousand}B for powers of 1000"
            )
        }
        (Some('b'), "yte" | "ytes") => format!("write {digits} or {digits}B"),
        (Some('s'), "" | "ector" | "ectors") => {
            format!("write {digits}s for sectors of the source")
        }
        (Some(',' | '\''), _) => "group digits with `_`; the decimal point is `.`".to_string(),
        (Some(space), _) if space.is_whitespace() => "write a size without spaces".to_string(),
        _ => "the suffixes are K M G T P E and KiB MiB ... for powers of 1024, \
              kB MB GB ... for powers of 1000, B for bytes, s for sectors of the source"
            .to_string(),
    }
}
