//! The digest of a range from those of its parts, which somebody else may have
//! hashed, on another machine. Nothing is read again.

use super::runs::Runs;
use super::tree::Tree;
use super::{Algorithm, Digest, hash_slice};
use crate::range::ByteRange;

/// What is known of a part of a range.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DigestPart {
    /// Which bytes, counted from the start of the whole range.
    pub range: ByteRange,
    /// What [`Digester::part`](super::Digester::part) has made of them.
    pub digest: Digest,
}

/// Whether parts of `size` bytes each, the last of which may be shorter, have digests
/// that can be folded. `size` counts from the start of the range.
pub fn folds(algorithm: Algorithm, size: u64) -> bool {
    match algorithm {
        Algorithm::Blake3 => size.is_power_of_two() && size >= blake3::CHUNK_LEN as u64,
        algorithm => !algorithm.is_ordered(),
    }
}

/// The digest of a range of `len` bytes; `None` if the `parts` are not all of it, or
/// their digests are not of `algorithm`.
pub fn fold(algorithm: Algorithm, len: u64, parts: &[DigestPart]) -> Option<Digest> {
    let is_of_it = |part: &DigestPart| part.digest.algorithm() == algorithm;
    if !parts.iter().all(is_of_it) {
        return None;
    }
    match parts {
        [] => (len == 0).then(|| hash_slice(algorithm, b"")),
        // One that is all of it was finished as such.
        [part] => (part.range == ByteRange::to(len)).then(|| part.digest.clone()),
        parts if algorithm == Algorithm::Blake3 => {
            let tree = Tree::new(len);
            parts.iter().try_for_each(|part| tree.add_part(part.range, &part.digest))?;
            tree.finish(len)
        }
        parts if algorithm == Algorithm::Crc32c => {
            let runs = Runs::new();
            parts.iter().try_for_each(|part| runs.add_part(part.range, &part.digest))?;
            runs.finish(len)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::Digester;
    use super::*;
    use proptest::prelude::*;

    fn parts_of(bytes: &[u8], start: u64, size: u64, algorithm: Algorithm) -> Vec<DigestPart> {
        let whole = ByteRange::between(start, start + bytes.len() as u64);
        let part = |range: ByteRange| {
            let digester = Digester::part(&[algorithm], range, whole);
            let place = range.rebase(start, 0).unwrap();
            let mut at = place.start() as usize;
            // In uneven pieces, the last one first where there are several.
            let middle = (at + place.len() as usize / 3).min(place.end() as usize);
            digester.update(start + middle as u64, &bytes[middle..place.end() as usize]).unwrap();
            while at < middle {
                let end = middle.min(at + 777);
                digester.update(start + at as u64, &bytes[at..end]).unwrap();
                at = end;
            }
            let digest = digester.finish().unwrap().remove(0);
            DigestPart { range: place, digest }
        };
        whole.pieces(size).map(part).collect()
    }

    #[test]
    fn only_what_needs_no_order_is_folded_and_a_tree_at_whole_subtrees() {
        for (algorithm, size, expected) in [
            (Algorithm::Blake3, 512, false),
            (Algorithm::Blake3, 1024, true),
            (Algorithm::Blake3, 1536, false),
            (Algorithm::Blake3, 1 << 30, true),
            (Algorithm::Crc32c, 1, true),
            (Algorithm::Crc32c, 1000, true),
            (Algorithm::Sha256, 1024, false),
            (Algorithm::Md5, 1 << 20, false),
        ] {
            assert_eq!(folds(algorithm, size), expected, "{algorithm} {size}");
        }
        let bytes = [7; 2048];
        for algorithm in Algorithm::ALL {
            // No parts, and one that is all of it, need no folding.
            let whole =
                DigestPart { range: ByteRange::to(2048), digest: hash_slice(algorithm, &bytes) };
            assert_eq!(fold(algorithm, 0, &[]), Some(hash_slice(algorithm, b"")));
            assert_eq!(fold(algorithm, 1, &[]), None);
            assert_eq!(
                fold(algorithm, 2048, std::slice::from_ref(&whole)),
                Some(whole.digest.clone())
            );
            assert_eq!(fold(algorithm, 2049, &[whole]), None);
            let half = |number: u64| DigestPart {
                range: ByteRange::between(number * 1024, (number + 1) * 1024),
                digest: hash_slice(algorithm, &bytes[..1024]),
            };
            let (halves, expected) = match folds(algorithm, 1024) {
                true => (parts_of(&bytes, 0, 1024, algorithm), Some(hash_slice(algorithm, &bytes))),
                false => (vec![half(0), half(1)], None),
            };
            assert_eq!(fold(algorithm, 2048, &halves), expected, "{algorithm}");
            let other = if algorithm == Algorithm::Md5 { Algorithm::Sha1 } else { Algorithm::Md5 };
            assert_eq!(fold(other, 2048, &halves), None, "{algorithm}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]
        #[test]
        fn parts_in_any_order_make_the_digest_of_the_whole(
            len in 0usize..70_000,
            start in 0u64..5000,
            shift in 10u32..16,
            rotate in 0usize..64,
        ) {
            let bytes: Vec<u8> = (0..len).map(|at| (at * 31 % 251) as u8).collect();
            for algorithm in [Algorithm::Blake3, Algorithm::Crc32c] {
                let mut parts = parts_of(&bytes, start, 1 << shift, algorithm);
                if !parts.is_empty() {
                    let by = rotate % parts.len();
                    parts.rotate_left(by);
                }
                let folded = fold(algorithm, len as u64, &parts);
                prop_assert_eq!(folded, Some(hash_slice(algorithm, &bytes)));
                if parts.len() > 1 {
                    parts.pop();
                    prop_assert_eq!(fold(algorithm, len as u64, &parts), None);
                }
            }
        }
    }
}
