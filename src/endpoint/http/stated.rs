//! Digests of all of an object that its server states in the headers of a reply.
//! Text to digests, nothing else: whether one is true shows when it is compared.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ureq::http::HeaderMap;

use super::reply::text;
use crate::digest::{Algorithm, Expectation};

/// Headers with one digest each: those of S3, and of Azure.
const ALONE: [(&str, Algorithm); 4] = [
    ("x-amz-checksum-crc32c", Algorithm::Crc32c),
    ("x-amz-checksum-sha256", Algorithm::Sha256),
    ("x-amz-checksum-sha1", Algorithm::Sha1),
    ("x-ms-blob-content-md5", Algorithm::Md5),
];

/// Headers with a list of them: of RFC 9530, and of Google's storage.
const LISTED: [&str; 2] = ["repr-digest", "x-goog-hash"];

/// What `headers` state of the object, each algorithm once, the one that costs least
/// to compare first. Values that are none are passed over: they are of no promise.
pub(in crate::endpoint) fn digests(headers: &HeaderMap) -> Vec<Expectation> {
    let is_of_parts = text(headers, "x-amz-checksum-type").is_some_and(|kind| kind == "COMPOSITE");
    let alone = ALONE.iter().filter_map(|(name, algorithm)| {
        let value = text(headers, name).filter(|_| !is_of_parts)?;
        expectation(*algorithm, value)
    });
    let lists = LISTED.iter().flat_map(|name| headers.get_all(*name));
    let listed = lists.filter_map(|value| value.to_str().ok()).flat_map(|list| list.split(','));
    let mut all: Vec<_> = alone.chain(listed.filter_map(member)).collect();
    all.sort_by_key(|one| rank(one.algorithm()));
    all.dedup_by_key(|one| one.algorithm());
    all
}

/// One of a list: `crc32c=...`, or `sha-256=:...:`.
fn member(text: &str) -> Option<Expectation> {
    let (name, value) = text.trim().split_once('=')?;
    let algorithm = match &*name.to_ascii_lowercase() {
        "crc32c" => Algorithm::Crc32c,
        "sha-256" => Algorithm::Sha256,
        "sha" => Algorithm::Sha1,
        "md5" => Algorithm::Md5,
        _ => return None,
    };
    expectation(algorithm, value.trim_matches(':'))
}

/// `None` also for what is of parts: it has their number behind it.
fn expectation(algorithm: Algorithm, base64: &str) -> Option<Expectation> {
    let bytes = BASE64_STANDARD.decode(base64).ok()?;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    Expectation::new(algorithm, &hex).ok()
}

/// CRC-32C is computed by all workers, the others in order.
fn rank(algorithm: Algorithm) -> usize {
    [Algorithm::Crc32c, Algorithm::Sha256, Algorithm::Sha1]
        .iter()
        .position(|other| *other == algorithm)
        .unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(headers: &[(&'static str, &str)], wanted: &[&str]) {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        let found = digests(&map);
        let found: Vec<_> = found.iter().map(ToString::to_string).collect();
        assert_eq!(found, wanted, "{headers:?}");
    }

    /// Of "123456789".
    const CRC: &str = "crc32c:e3069283";
    const MD5: &str = "md5:25f9e794323b453885f5181f1b624d0b";

    #[test]
    fn digests_are_read_from_the_headers_of_every_kind_of_service() {
        check(&[("x-amz-checksum-crc32c", "4waSgw==")], &[CRC]);
        check(
            &[("x-amz-checksum-crc32c", "4waSgw=="), ("x-amz-checksum-type", "FULL_OBJECT")],
            &[CRC],
        );
        check(&[("x-ms-blob-content-md5", "JfnnlDI7RTiF9RgfG2JNCw==")], &[MD5]);
        let google = ("x-goog-hash", "md5=JfnnlDI7RTiF9RgfG2JNCw==");
        check(&[google, ("x-goog-hash", "crc32c=4waSgw==")], &[CRC, MD5]);
        check(&[("x-goog-hash", "crc32c=4waSgw==,md5=JfnnlDI7RTiF9RgfG2JNCw==")], &[CRC, MD5]);
        let plain = "sha-512=:AAAA:, md5=:JfnnlDI7RTiF9RgfG2JNCw==:";
        check(&[("repr-digest", plain)], &[MD5]);
    }

    #[test]
    fn what_is_no_digest_of_the_whole_is_passed_over() {
        check(&[], &[]);
        check(&[("x-amz-checksum-crc32c", "4waSgw==-3")], &[]);
        check(&[("x-amz-checksum-crc32c", "4waSgw=="), ("x-amz-checksum-type", "COMPOSITE")], &[]);
        for wrong in ["", "=", "crc32c", "crc32c=", "crc32c=4waS", "crc32c=:::", "crc32c=\u{e9}"] {
            check(&[("x-goog-hash", wrong)], &[]);
        }
        // Another of the same kind does not count twice.
        check(&[("x-goog-hash", "crc32c=4waSgw==, crc32c=AAAAAA==")], &[CRC]);
    }
}
