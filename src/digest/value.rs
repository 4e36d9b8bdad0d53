//! A digest that was computed, and one that is expected.

use std::fmt::{self, Write};
use std::str::FromStr;

use serde::{Serialize, Serializer};

use super::{Algorithm, UnknownAlgorithm};

/// A finished digest. Prints (and serializes) as lower-case hexadecimal.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Digest {
    algorithm: Algorithm,
    bytes: Vec<u8>,
}

impl Digest {
    /// `bytes` must be as long as `algorithm` says.
    pub(super) fn new(algorithm: Algorithm, bytes: impl Into<Vec<u8>>) -> Digest {
        let bytes = bytes.into();
        debug_assert_eq!(bytes.len(), algorithm.digest_len());
        Digest { algorithm, bytes }
    }

    /// Which digest this is.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The digest itself. Numbers (CRC-32C, XXH3) are big-endian, which is the
    /// order in which tools print them.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{self}", self.algorithm)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A digest the copied range must have. Written, parsed and printed as
/// `ALG:HEX`, for example `crc32c:e3069283`; the hexadecimal digits may be of
/// either case.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Expectation(Digest);

impl Expectation {
    /// Reads the hexadecimal digits of a digest whose algorithm is known, as in
    /// a manifest's column.
    pub fn new(algorithm: Algorithm, hex: &str) -> Result<Expectation, ExpectationError> {
        if let Some(found) = hex.chars().find(|c| !c.is_ascii_hexdigit()) {
            return Err(ExpectationError::Character { algorithm, found });
        }
        let (expected, found) = (2 * algorithm.digest_len(), hex.len());
        if found != expected {
            return Err(ExpectationError::Length { algorithm, expected, found });
        }
        let (pairs, _) = hex.as_bytes().as_chunks::<2>();
        let bytes: Vec<u8> =
            pairs.iter().map(|&[high, low]| nibble(high) << 4 | nibble(low)).collect();
        Ok(Expectation(Digest::new(algorithm, bytes)))
    }

    /// The digest to compute.
    pub fn algorithm(&self) -> Algorithm {
        self.0.algorithm
    }

    /// The digest that is expected.
    pub fn digest(&self) -> &Digest {
        &self.0
    }

    /// Whether `actual` is what was expected. Another algorithm's digest is not.
    pub fn is_met_by(&self, actual: &Digest) -> bool {
        self.0 == *actual
    }
}

/// The value of a hexadecimal digit that was already checked to be one.
fn nibble(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => digit.to_ascii_lowercase() - b'a' + 10,
    }
}

impl fmt::Display for Expectation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.algorithm.name())?;
        f.write_char(':')?;
        fmt::Display::fmt(&self.0, f)
    }
}

crate::words::stored_as_text!(Expectation);

impl FromStr for Expectation {
    type Err = ExpectationError;

    fn from_str(text: &str) -> Result<Expectation, ExpectationError> {
        let Some((name, hex)) = text.split_once(':') else {
            return Err(ExpectationError::NoAlgorithm { text: text.to_owned() });
        };
        Expectation::new(name.parse()?, hex)
    }
}

/// Why a text is not an expected digest.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExpectationError {
    /// There is no colon.
    #[error("expected ALG:HEX, for example sha256:e3b0c442..., but {text:?} names no digest")]
    NoAlgorithm {
        /// What was written.
        text: String,
    },
    /// The part before the colon is not a digest's name.
    #[error(transparent)]
    Algorithm(#[from] UnknownAlgorithm),
    /// The digest is too long or too short.
    #[error("{algorithm} has {expected} hexadecimal digits, not {found}")]
    Length {
        /// The algorithm that was named.
        algorithm: Algorithm,
        /// How many digits it has.
        expected: usize,
        /// How many were written.
        found: usize,
    },
    /// The digest holds something other than hexadecimal digits.
    #[error("{found:?} is not a hexadecimal digit of a {algorithm} digest")]
    Character {
        /// The algorithm that was named.
        algorithm: Algorithm,
        /// The first character that does not belong there.
        found: char,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<&str, &str>) {
        let printed = text.parse::<Expectation>().map(|e| e.to_string()).map_err(|e| e.to_string());
        assert_eq!(printed.as_deref().map_err(String::as_str), expected, "{text:?}");
    }

    #[test]
    fn expectations_are_read_or_refused_with_the_reason() {
        check("crc32c:e3069283", Ok("crc32c:e3069283"));
        check("crc32c:E3069283", Ok("crc32c:e3069283"));
        check("xxh3:2d06800538d394c2", Ok("xxh3:2d06800538d394c2"));
        check("md5:d41d8cd98f00b204e9800998ecf8427e", Ok("md5:d41d8cd98f00b204e9800998ecf8427e"));
        check(
            "e3069283",
            Err(
                "expected ALG:HEX, for example sha256:e3b0c442..., but \"e3069283\" names no digest",
            ),
        );
        let unknown = "unknown digest \"sha512\": use blake3, sha256, sha1, md5, crc32c or xxh3";
        check("sha512:00", Err(unknown));
        check("SHA256:00", Err(&unknown.replace("sha512", "SHA256")));
        check("crc32c:e306928", Err("crc32c has 8 hexadecimal digits, not 7"));
        check("blake3:", Err("blake3 has 64 hexadecimal digits, not 0"));
        check(
            "sha1:da39a3ee5e6b4b0d3255bfef95601890afd80709ff",
            Err("sha1 has 40 hexadecimal digits, not 42"),
        );
        check("crc32c:e306928g", Err("'g' is not a hexadecimal digit of a crc32c digest"));
        check("crc32c: e306928", Err("' ' is not a hexadecimal digit of a crc32c digest"));
        check("crc32c:e30692\u{e9}", Err("'\u{e9}' is not a hexadecimal digit of a crc32c digest"));
    }

    #[test]
    fn an_expectation_is_met_only_by_its_own_digest() {
        let expected: Expectation = "crc32c:e3069283".parse().expect("a digest");
        assert!(expected.is_met_by(&super::super::hash_slice(Algorithm::Crc32c, b"123456789")));
        assert!(!expected.is_met_by(&super::super::hash_slice(Algorithm::Crc32c, b"12345678")));
        assert!(!expected.is_met_by(&super::super::hash_slice(Algorithm::Md5, b"123456789")));
    }
}
