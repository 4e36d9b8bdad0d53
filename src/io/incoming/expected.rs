//! Digests that parts of a stream must have. A stream comes once, so they are found
//! out as it passes, by the worker that has the turn, before they are handed on: of a
//! part that is wrong, what came last is not written.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Feed;
use crate::digest::{Digest, Hasher, RangeDigest};
use crate::error::{Error, ErrorKind};
use crate::io::{as_u64, as_usize};
use crate::range::ByteRange;

/// What `part` of `path` should have had, instead of `found`: `ahead` of all writing,
/// or while it came.
pub fn mismatch(path: &Path, part: &RangeDigest, found: &Digest, ahead: bool) -> Error {
    let (path, range, expected) = (path.to_owned(), part.range, part.digest.digest().to_string());
    let (algorithm, actual) = (part.digest.algorithm().name(), found.to_string());
    ErrorKind::RangeMismatch { path, range, algorithm, actual, expected, ahead }.into()
}

/// A stream that fails at the end of the first part with another digest than it must
/// have, and goes on behind it if it is asked to.
pub(super) struct Expected {
    feed: Box<dyn Feed>,
    /// For messages.
    path: PathBuf,
    /// Offset of the next byte.
    at: u64,
    /// By where they begin.
    parts: Vec<RangeDigest>,
    /// First part that has not begun.
    next: usize,
    /// Those that have begun: which, and what they had so far.
    begun: Vec<(usize, Hasher)>,
}

impl Expected {
    /// Of `feed`, whose next byte is that at offset `at`.
    pub fn new(
        feed: Box<dyn Feed>,
        at: u64,
        path: PathBuf,
        mut parts: Vec<RangeDigest>,
    ) -> Expected {
        parts.sort_by_key(|part| part.range.start());
        Expected { feed, path, at, parts, next: 0, begun: Vec::new() }
    }

    /// Looks at `bytes`, which have come.
    fn look(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let came = ByteRange::between(self.at, self.at + as_u64(bytes.len()));
        self.at = came.end();
        while let Some(part) = self.parts.get(self.next).filter(|p| p.range.start() < came.end()) {
            self.begun.push((self.next, Hasher::new(part.digest.algorithm())));
            self.next += 1;
        }
        let mut wrong = None;
        for (number, mut hasher) in std::mem::take(&mut self.begun) {
            let part = &self.parts[number];
            let of_it = part.range.intersect(came);
            let start = as_usize(of_it.start().saturating_sub(came.start()));
            hasher.update(&bytes[start..start + as_usize(of_it.len())]);
            if part.range.end() > came.end() {
                self.begun.push((number, hasher));
                continue;
            }
            let found = hasher.finalize();
            if !part.digest.is_met_by(&found) {
                wrong.get_or_insert_with(|| mismatch(&self.path, part, &found, false));
            }
        }
        wrong.map_or(Ok(()), Err)
    }
}

impl Feed for Expected {
    fn read(&mut self, buffer: &mut [u8], time: Duration) -> io::Result<Option<usize>> {
        let count = self.feed.read(buffer, time)?;
        if let Some(bytes) = count {
            self.look(&buffer[..bytes]).map_err(io::Error::other)?;
        }
        Ok(count)
    }
}

/// The error of a part that is wrong, if `error` is that; else `error` itself.
///
/// # Errors
///
/// Another error, as it is.
pub fn as_mismatch(error: io::Error) -> Result<Error, io::Error> {
    error.downcast::<Error>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::{Algorithm, Expectation};
    use crate::io::incoming::ReaderFeed;

    /// The digest of `bytes[start..end]`, of which one bit may be wrong.
    fn part(bytes: &[u8], start: usize, end: usize, is_right: bool) -> RangeDigest {
        let mut content = bytes[start..end].to_vec();
        if !is_right {
            content.push(0);
        }
        let mut hasher = Hasher::new(Algorithm::Sha256);
        hasher.update(&content);
        let digest = Expectation::new(Algorithm::Sha256, &hasher.finalize().to_string()).unwrap();
        RangeDigest { range: ByteRange::between(start as u64, end as u64), digest }
    }

    /// Reads all by requests of `size`; how many bytes came, and the first part
    /// that was wrong.
    fn read(bytes: &[u8], parts: Vec<RangeDigest>, size: usize) -> (usize, Option<ByteRange>) {
        let feed = Box::new(ReaderFeed(std::io::Cursor::new(bytes.to_vec())));
        let mut expected = Expected::new(feed, 0, PathBuf::from("-"), parts);
        let (mut memory, mut came) = (vec![0; size], 0);
        loop {
            match expected.read(&mut memory, Duration::MAX) {
                Ok(Some(0) | None) => return (came, None),
                Ok(Some(count)) => came += count,
                Err(error) => match as_mismatch(error).unwrap().into_kind() {
                    ErrorKind::RangeMismatch { range, .. } => return (came, Some(range)),
                    kind => panic!("{kind:?}"),
                },
            }
        }
    }

    #[test]
    fn every_part_is_looked_at_wherever_the_reads_are_cut() {
        let bytes: Vec<u8> = (0..=255).cycle().take(1000).collect();
        let places = [(0, 1000), (10, 20), (20, 30), (15, 700), (999, 1000), (500, 500), (0, 1)];
        for size in [1, 7, 10, 999, 1000, 4096] {
            let right = places.map(|(start, end)| part(&bytes, start, end, true)).to_vec();
            assert_eq!(read(&bytes, right.clone(), size), (1000, None), "by {size}");
            for (number, &(start, end)) in places.iter().enumerate() {
                let mut parts = right.clone();
                parts[number] = part(&bytes, start, end, false);
                let (came, wrong) = read(&bytes, parts, size);
                assert_eq!(wrong, ByteRange::new(start as u64, end as u64), "by {size}");
                assert!(came < end || start == end, "its last bytes were handed on");
            }
        }
    }
}
