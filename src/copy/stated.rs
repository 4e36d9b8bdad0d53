//! What the keeper of a source states of all of it, such as the checksum that a
//! service has of an object. A copy that is verified is compared with it.

use crate::digest::{Algorithm, Expectation};
use crate::endpoint::Origin;
use crate::error::quoted;
use crate::options::Options;
use crate::range::ByteRange;

/// What a copy of `from`, of which `wanted` digests are computed anyway, is compared
/// with: what is stated by these algorithms, and otherwise what costs least.
pub fn stated(
    origin: &dyn Origin,
    from: ByteRange,
    options: &Options,
    wanted: &[Algorithm],
) -> Vec<Expectation> {
    let is_whole = from.start() == 0 && from.end() == origin.source().size();
    if !options.verifies() || !is_whole || options.only.is_some() {
        return Vec::new();
    }
    let mut stated = origin.stated_digests();
    let is_wanted = |one: &Expectation| wanted.contains(&one.algorithm());
    match stated.iter().any(is_wanted) {
        true => stated.retain(is_wanted),
        false => stated.truncate(1),
    }
    stated
}

/// What is said of that.
pub fn note(origin: &dyn Origin, stated: &[Expectation]) -> Option<String> {
    let all: Vec<_> = stated.iter().map(ToString::to_string).collect();
    let name = quoted(origin.path());
    (!all.is_empty())
        .then(|| format!("the copy must have what is stated of {name}: {}", all.join(", ")))
}
