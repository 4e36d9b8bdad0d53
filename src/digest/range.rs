//! Digests of parts of a source.

use serde::{Deserialize, Serialize};

use super::value::Expectation;
use crate::range::ByteRange;

/// A digest that a range of the source must have.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RangeDigest {
    /// Bytes of the source.
    pub range: ByteRange,
    /// What they must have.
    pub digest: Expectation,
}
