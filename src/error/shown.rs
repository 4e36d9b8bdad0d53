//! How text from outside is shown: names of files, contents of lists and maps,
//! what devices and other libraries say. Such text can neither forge a line of
//! a message, nor reorder or hide a part of it, nor reach the terminal.
//!
//! There is one rule for all of it, [`is_shown`]. What it refuses is escaped
//! where a message is made ([`quoted`], [`escaped`]); the code that prints applies it
//! once more to everything ([`escaped_lines`], [`escaped_json`]).

use std::borrow::Cow;
use std::ffi::OsStr;
use std::fmt::{self, Write};
use std::path::{Path, PathBuf};

use crate::address;
use crate::sys::User;

/// Characters beyond the control characters that are not shown as they are:
/// those that cannot be seen, and those that change the order of others.
const HIDDEN: [(char, char); 20] = [
    ('\u{ad}', '\u{ad}'),
    ('\u{34f}', '\u{34f}'),
    ('\u{61c}', '\u{61c}'),
    ('\u{70f}', '\u{70f}'),
    ('\u{115f}', '\u{1160}'),
    ('\u{17b4}', '\u{17b5}'),
    ('\u{180b}', '\u{180f}'),
    ('\u{200b}', '\u{200f}'),
    ('\u{2028}', '\u{202e}'),
    ('\u{2060}', '\u{206f}'),
    ('\u{2800}', '\u{2800}'),
    ('\u{3164}', '\u{3164}'),
    ('\u{e000}', '\u{f8ff}'),
    ('\u{fe00}', '\u{fe0f}'),
    ('\u{feff}', '\u{feff}'),
    ('\u{ffa0}', '\u{ffa0}'),
    ('\u{fff0}', '\u{fffb}'),
    ('\u{1bca0}', '\u{1bca3}'),
    ('\u{1d173}', '\u{1d17a}'),
    ('\u{e0000}', '\u{10ffff}'),
];

/// Whether a character can stand in a message as it is.
pub fn is_shown(character: char) -> bool {
    // Nearly all text ends here.
    if character < '\u{ad}' {
        return !character.is_control();
    }
    !HIDDEN.iter().any(|&(first, last)| (first..=last).contains(&character))
}

/// `text` on one line, with every character escaped that is not shown as it is.
pub fn escaped(text: &str) -> Cow<'_, str> {
    escape(text, is_shown)
}

/// The same for a message of several lines, whose line ends stay.
pub fn escaped_lines(text: &str) -> Cow<'_, str> {
    escape(text, |character| character == '\n' || is_shown(character))
}

fn escape(text: &str, stays: impl Fn(char) -> bool) -> Cow<'_, str> {
    if text.chars().all(&stays) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match stays(character) {
            true => escaped.push(character),
            false => escaped.extend(escape_of(character)),
        }
    }
    Cow::Owned(escaped)
}

/// What stands for a character that is not shown.
fn escape_of(character: char) -> impl Iterator<Item = char> {
    let short = match character {
        '\n' | '\r' | '\t' => Some(character.escape_default()),
        _ => None,
    };
    let long = short.is_none().then(|| character.escape_unicode());
    short.into_iter().flatten().chain(long.into_iter().flatten())
}

/// A JSON document without characters that are not shown: inside its texts they
/// become `\u` and four hexadecimal digits, which every reader turns back. Elsewhere in
/// a document there are none but line ends.
pub fn escaped_json(document: String) -> String {
    let stays = |character| character == '\n' || is_shown(character);
    if document.chars().all(stays) {
        return document;
    }
    let mut escaped = String::with_capacity(document.len() + 16);
    for character in document.chars() {
        if stays(character) {
            escaped.push(character);
            continue;
        }
        for unit in character.encode_utf16(&mut [0; 2]) {
            // Writing to a String does not fail.
            let _ = write!(escaped, "\\u{unit:04x}");
        }
    }
    escaped
}

/// A path as it can stand in a message: in single quotes, with everything
/// escaped that is not shown as it is or is not UTF-8. An address is shown
/// without its credentials.
pub fn quoted(path: impl AsRef<OsStr>) -> Quoted {
    Quoted(address::shown(Path::new(path.as_ref())).into_owned())
}

/// See [`quoted`].
pub struct Quoted(PathBuf);

impl fmt::Display for Quoted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('\'')?;
        for chunk in self.0.as_os_str().as_encoded_bytes().utf8_chunks() {
            for c in chunk.valid().chars() {
                match c {
                    // On Windows a backslash is what paths are made of.
                    '\\' if crate::sys::WINDOWS_NAMES => f.write_char(c)?,
                    '\'' | '\\' => write!(f, "\\{c}")?,
                    c if is_shown(c) => f.write_char(c)?,
                    c => escape_of(c).try_for_each(|c| f.write_char(c))?,
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        f.write_char('\'')
    }
}

/// What of a job is not as its map has it, in brackets.
pub(super) fn because(hints: &[String]) -> String {
    if hints.is_empty() { String::new() } else { format!(" (another {})", hints.join(", ")) }
}

/// Who has a device, as far as the system tells.
pub(super) fn holder(user: Option<&User>) -> String {
    let unknown = || "mounted, or claimed by another program".to_owned();
    user.map_or_else(unknown, User::to_string)
}

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            User::Mount { device, at } => {
                write!(f, "mounted at {}, as {}", quoted(at), quoted(device))
            }
            User::Claim { device } => {
                write!(f, "another program uses it as {}", quoted(device))
            }
            User::Lock { process: Some(process), from } => {
                write!(f, "process {process} has locked it from byte {from} on")
            }
            User::Lock { process: None, from } => {
                write!(f, "another program has locked it from byte {from} on")?;
                // Where QEMU says what it does with an image, and lets others do.
                if (100..300).contains(from) { write!(f, ", as QEMU does") } else { Ok(()) }
            }
        }
    }
}

/// Bytes in hexadecimal, or `none` if there are none.
pub(super) fn in_hex(bytes: &[u8], none: &str) -> String {
    match bytes {
        [] => none.to_owned(),
        bytes => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Everything that must not reach a terminal, and what stands for it.
    const HOSTILE: [(&str, &str); 14] = [
        ("\u{1b}[2J", "\\u{1b}[2J"),
        ("\u{9b}31m", "\\u{9b}31m"),
        ("\u{1b}]0;x\u{7}", "\\u{1b}]0;x\\u{7}"),
        ("\u{80}", "\\u{80}"),
        ("\u{7f}", "\\u{7f}"),
        ("a\rb", "a\\rb"),
        ("a\tb", "a\\tb"),
        ("\u{202e}gpj", "\\u{202e}gpj"),
        ("\u{2066}x\u{2069}", "\\u{2066}x\\u{2069}"),
        ("\u{200e}\u{200f}\u{61c}", "\\u{200e}\\u{200f}\\u{61c}"),
        ("\u{200b}\u{200d}\u{feff}", "\\u{200b}\\u{200d}\\u{feff}"),
        ("\u{2028}", "\\u{2028}"),
        ("\u{e0041}", "\\u{e0041}"),
        ("\0", "\\u{0}"),
    ];

    #[test]
    fn what_is_not_shown_is_escaped_everywhere() {
        for (text, shown) in HOSTILE {
            assert_eq!(escaped(text), shown);
            assert_eq!(escaped_lines(text), shown);
            assert_eq!(quoted(text).to_string(), format!("'{shown}'"));
            let json = escaped_json(serde_json::to_string(text).unwrap());
            assert!(json.chars().all(is_shown), "{json:?}");
            assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
        }
        assert_eq!(escaped("a\nb"), "a\\nb");
        assert_eq!(escaped_lines("a\nb\u{1b}"), "a\nb\\u{1b}");
    }

    #[test]
    fn what_is_shown_stays() {
        for text in
            ["", "plain", "grüße", "cafe\u{301}", "日本語", "😀", "a\\b", "العربية", "עברית"]
        {
            assert_eq!(escaped(text), text);
            assert!(matches!(escaped_lines(text), Cow::Borrowed(_)));
        }
        let (low, high) = (escaped("\u{1b}").into_owned(), escaped("\u{202e}").into_owned());
        assert_eq!(escaped(&low), low, "what is escaped is not escaped again");
        assert_eq!(escaped(&high), high);
    }

    #[test]
    fn a_name_cannot_forge_a_line() {
        let check = |name: &str, shown: &str| assert_eq!(quoted(name).to_string(), shown);
        check("plain", "'plain'");
        check("two\nlines", "'two\\nlines'");
        check("it's", "'it\\'s'");
        check("grüße", "'grüße'");
    }
}
