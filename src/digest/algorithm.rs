//! The digests there are, and their names.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::words::Word;

/// A digest algorithm.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Algorithm {
    /// BLAKE3 with its usual 32 bytes of output, as `b3sum` prints it.
    Blake3,
    /// SHA-256 (FIPS 180-4).
    Sha256,
    /// SHA-1 (FIPS 180-4); finds accidents, not attacks.
    Sha1,
    /// MD5 (RFC 1321); finds accidents, not attacks.
    Md5,
    /// CRC-32C (Castagnoli, RFC 3720), as object stores keep it.
    Crc32c,
    /// XXH3 with 64 bits and seed 0, as `xxhsum -H3` prints it.
    Xxh3,
}

impl Algorithm {
    /// Every algorithm, in the order help and messages list them.
    pub const ALL: [Algorithm; 6] = [
        Algorithm::Blake3,
        Algorithm::Sha256,
        Algorithm::Sha1,
        Algorithm::Md5,
        Algorithm::Crc32c,
        Algorithm::Xxh3,
    ];

    /// The name on the command line, in manifests and in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Algorithm::Blake3 => "blake3",
            Algorithm::Sha256 => "sha256",
            Algorithm::Sha1 => "sha1",
            Algorithm::Md5 => "md5",
            Algorithm::Crc32c => "crc32c",
            Algorithm::Xxh3 => "xxh3",
        }
    }

    /// Length of the digest in bytes; it prints as twice as many characters.
    pub const fn digest_len(self) -> usize {
        match self {
            Algorithm::Blake3 | Algorithm::Sha256 => 32,
            Algorithm::Sha1 => 20,
            Algorithm::Md5 => 16,
            Algorithm::Crc32c => 4,
            Algorithm::Xxh3 => 8,
        }
    }

    /// Whether the bytes must be hashed from the first to the last. If not,
    /// pieces may be hashed at the same time and in any order.
    pub const fn is_ordered(self) -> bool {
        !matches!(self, Algorithm::Blake3 | Algorithm::Crc32c)
    }
}

impl Word for Algorithm {
    const ALL: &'static [Algorithm] = &Algorithm::ALL;

    fn word(self) -> &'static str {
        self.name()
    }

    fn about(self) -> &'static str {
        match self {
            Algorithm::Blake3 => "as b3sum prints it",
            Algorithm::Sha256 => "as sha256sum prints it",
            Algorithm::Sha1 => "as sha1sum prints it; finds accidents, not attacks",
            Algorithm::Md5 => "as md5sum prints it; finds accidents, not attacks",
            Algorithm::Crc32c => "CRC-32C (Castagnoli), as rhash prints it",
            Algorithm::Xxh3 => "XXH3 of 64 bits, as xxhsum prints it",
        }
    }
}

/// Whether any of `algorithms` must see the bytes in order. A planner then makes
/// stripes as small as one request, because a later piece waits for earlier ones.
pub fn ordered(algorithms: &[Algorithm]) -> bool {
    algorithms.iter().any(|algorithm| algorithm.is_ordered())
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Algorithm {
    type Err = UnknownAlgorithm;

    fn from_str(text: &str) -> Result<Algorithm, UnknownAlgorithm> {
        Algorithm::ALL
            .into_iter()
            .find(|algorithm| algorithm.name() == text)
            .ok_or_else(|| UnknownAlgorithm(text.to_owned()))
    }
}

/// No digest goes by this name.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("unknown digest {0:?}: use blake3, sha256, sha1, md5, crc32c or xxh3")]
pub struct UnknownAlgorithm(String);
