//! Any text or path as one line of UTF-8, and back. Control characters, line
//! ends, `%` and bytes that are not UTF-8 become `%XX`; the rest stays
//! readable. A path loses nothing on the way, whatever bytes it holds.

use std::fmt::Write;

/// One line without control characters, from which [`unescape`] gives `bytes` back.
pub(super) fn escape(bytes: &[u8]) -> String {
    let mut line = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            let plain = character == ' ' || !(character.is_control() || character.is_whitespace());
            if plain && character != '%' {
                line.push(character);
            } else {
                let mut buffer = [0; 4];
                push_hex(&mut line, character.encode_utf8(&mut buffer).as_bytes());
            }
        }
        push_hex(&mut line, chunk.invalid());
    }
    line
}

fn push_hex(line: &mut String, bytes: &[u8]) {
    for byte in bytes {
        // Writing to a String does not fail.
        let _ = write!(line, "%{byte:02X}");
    }
}

/// The bytes that [`escape`] was given, or `None` if a `%` is not followed by two digits.
pub(super) fn unescape(line: &str) -> Option<Vec<u8>> {
    let mut parts = line.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let (digits, plain) = part.as_bytes().split_at_checked(2)?;
        let [high, low] = [digits[0], digits[1]].map(|digit| char::from(digit).to_digit(16));
        bytes.push((high? * 16 + low?) as u8);
        bytes.extend_from_slice(plain);
    }
    Some(bytes)
}

/// What was escaped, if it is text.
pub(super) fn plain_text(value: &str) -> Option<String> {
    String::from_utf8(unescape(value)?).ok()
}
