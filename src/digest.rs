//! Digests of a copied range, computed from the buffers that are copied anyway.
//!
//! Workers finish their pieces in no particular order, and a digest is defined
//! by one order. Three answers, one to a file:
//!
//! - BLAKE3 is a tree of subtrees: each piece is hashed where it stands and the
//!   results are merged when neighbours are there (`tree`).
//! - CRC-32C of two neighbours combines into that of both (`runs`).
//! - SHA-256, SHA-1, MD5 and XXH3 know only one order: a piece whose turn has
//!   not come waits, so that the reader is held back and nothing is stored
//!   (`turns`).
//!
//! [`Digester`] is what the workers of a copy share. [`Hasher`] is the plain
//! streaming form for everyone who reads in order. All of them print what the
//! usual tools print (`b3sum`, `sha256sum`, `sha1sum`, `md5sum`, `xxhsum -H3`,
//! `rhash --crc32c`); [`line()`] writes their lines.
//!
//! This room hashes bytes it is handed. It opens, reads and prints nothing, and
//! knows neither sources nor stripes.

mod algorithm;
mod content;
mod digester;
mod fold;
mod hasher;
mod in_order;
mod line;
mod pieces;
mod range;
mod runs;
mod state;
mod tree;
mod value;

#[cfg(test)]
mod tests;

#[cfg(all(test, pcopy_model))]
#[path = "digest/tests/schedules.rs"]
mod schedules;

pub use algorithm::{Algorithm, UnknownAlgorithm, ordered};
pub use digester::{Abandoned, Digester};
pub use fold::{DigestPart, fold, folds};
pub use hasher::{Hasher, hash_slice};
pub use line::{comment, line};
pub use pieces::PieceDigests;
pub use range::RangeDigest;
pub use value::{Digest, Expectation, ExpectationError};

use crate::error::{ErrorKind, Result};

/// Makes sure that `found` holds every digest that is expected.
///
/// # Errors
///
/// [`ErrorKind::DigestMismatch`] for the first that is missing or differs.
pub fn check(found: &[Digest], expected: &[Expectation]) -> Result<()> {
    for expected in expected {
        let algorithm = expected.algorithm();
        let actual = found.iter().find(|found| found.algorithm() == algorithm);
        if !actual.is_some_and(|actual| expected.is_met_by(actual)) {
            return Err(ErrorKind::DigestMismatch {
                algorithm: algorithm.name(),
                actual: actual.map_or_else(|| "unknown".to_owned(), ToString::to_string),
                expected: expected.digest().to_string(),
                stated: false,
            }
            .into());
        }
    }
    Ok(())
}

/// Makes sure that `found` holds what the server of the source states.
///
/// # Errors
///
/// As of [`check`].
pub fn check_stated(found: &[Digest], by_server: &[Expectation]) -> Result<()> {
    check(found, by_server).map_err(|error| {
        let mut kind = error.into_kind();
        if let ErrorKind::DigestMismatch { stated, .. } = &mut kind {
            *stated = true;
        }
        kind.into()
    })
}
