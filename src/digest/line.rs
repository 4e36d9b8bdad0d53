//! Digest lines as the usual tools print and check them.

use std::path::Path;

use super::{Algorithm, Digest};
use crate::range::ByteRange;

/// The line for a file, without the newline, that the algorithm's own tool
/// prints and checks (`-c`):
///
/// - `HEX  NAME` for BLAKE3, SHA-256, SHA-1 and MD5, as `b3sum`, `sha256sum`,
///   `sha1sum` and `md5sum` print it;
/// - `CRC32C (NAME) = HEX` as `rhash --bsd --crc32c` prints it, and
///   `XXH3 (NAME) = HEX` as `xxhsum --tag -H3` does: without the tag a checker
///   would take them for CRC-32 and XXH64, which are as long.
///
/// A name with a newline, carriage return or backslash is escaped, and a
/// backslash in front of the line says so, as coreutils does. Other bytes pass
/// unchanged, also where they are not UTF-8; hence bytes, not a string.
pub fn line(digest: &Digest, name: &Path) -> Vec<u8> {
    let raw = name.as_os_str().as_encoded_bytes();
    let name = escape(raw);
    let mark = if name.len() == raw.len() { "" } else { "\\" };
    let (before, after) = match digest.algorithm() {
        Algorithm::Crc32c => (format!("{mark}CRC32C ("), format!(") = {digest}")),
        Algorithm::Xxh3 => (format!("{mark}XXH3 ("), format!(") = {digest}")),
        _ => (format!("{mark}{digest}  "), String::new()),
    };
    [before.as_bytes(), &name, after.as_bytes()].concat()
}

/// The same as a comment, which the programs of coreutils skip: for `part` of the file
/// `name`, or the whole of a file that is split.
pub fn comment(digest: &Digest, name: &Path, part: Option<ByteRange>) -> Vec<u8> {
    let mut what = name.as_os_str().to_owned();
    if let Some(part) = part {
        what.push(format!(" {part}"));
    }
    [b"# ", &line(digest, Path::new(&what))[..]].concat()
}

fn escape(name: &[u8]) -> Vec<u8> {
    let mut escaped = Vec::with_capacity(name.len());
    for &byte in name {
        match byte {
            b'\\' => escaped.extend_from_slice(b"\\\\"),
            b'\n' => escaped.extend_from_slice(b"\\n"),
            b'\r' => escaped.extend_from_slice(b"\\r"),
            _ => escaped.push(byte),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::super::hash_slice;
    use super::*;

    fn check(algorithm: Algorithm, name: &str, expected: &str) {
        let line = line(&hash_slice(algorithm, b"123456789"), Path::new(name));
        assert_eq!(String::from_utf8_lossy(&line), expected);
    }

    #[test]
    fn lines_are_those_of_the_usual_tools() {
        check(Algorithm::Md5, "a b", "25f9e794323b453885f5181f1b624d0b  a b");
        check(Algorithm::Sha1, "-x", "f7c3bc1d808e04732adf679965ccc34ca7ae3441  -x");
        check(Algorithm::Md5, "a\\b\nc\rd", "\\25f9e794323b453885f5181f1b624d0b  a\\\\b\\nc\\rd");
        check(Algorithm::Crc32c, "disk.img", "CRC32C (disk.img) = e3069283");
        check(Algorithm::Xxh3, "disk.img", "XXH3 (disk.img) = 72dcb18b67a17dff");
        check(Algorithm::Xxh3, "a\nb", "\\XXH3 (a\\nb) = 72dcb18b67a17dff");
    }

    #[test]
    fn a_line_of_a_part_is_a_comment_with_its_range() {
        let digest = hash_slice(Algorithm::Xxh3, b"123456789");
        for (part, expected) in [
            (None, "# XXH3 (x.img) = 72dcb18b67a17dff"),
            (Some(ByteRange::between(3, 12)), "# XXH3 (x.img 3..12) = 72dcb18b67a17dff"),
        ] {
            let comment = comment(&digest, Path::new("x.img"), part);
            assert_eq!(String::from_utf8_lossy(&comment), expected);
        }
    }
}
