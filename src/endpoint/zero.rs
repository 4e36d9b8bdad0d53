//! The end that is nothing but zeros: `zero:`, where only writing matters, or a
//! disk is to be wiped.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use positioned_io::ReadAt;

use super::Origin;
use crate::error::Refusal;
use crate::io::page_cache::CacheState;
use crate::io::{Source, as_usize};
use crate::range::{ByteRange, RangeSpec};

/// Its name on the command line.
pub const NAME: &str = "zero:";

/// Zeros without an end. They are data, not a hole: they are there to be written.
#[derive(Debug)]
pub struct Zeros {
    path: PathBuf,
}

impl Default for Zeros {
    fn default() -> Zeros {
        Zeros { path: PathBuf::from(NAME) }
    }
}

/// As many as there are offsets in a file.
const SIZE: u64 = i64::MAX as u64;

impl Origin for Zeros {
    fn path(&self) -> &Path {
        &self.path
    }

    fn source(&self) -> Arc<dyn Source> {
        Arc::new(ZeroSource)
    }

    /// As a source that no page cache holds.
    fn cache_state(&self, _range: ByteRange) -> CacheState {
        CacheState::Cold
    }

    /// A range that goes to the end has none.
    fn resolve(&self, range: &RangeSpec, _clamp: bool) -> Result<(ByteRange, bool), Refusal> {
        if matches!(range, RangeSpec::All | RangeSpec::From(_) | RangeSpec::Last(_)) {
            let what =
                format!("{NAME} has no end: a range or a length says how much of it is wanted");
            return Err(Refusal::Other(what));
        }
        let resolved = range.resolve(SIZE, self.sector());
        let path = || self.path.clone();
        resolved
            .map(|range| (range, false))
            .map_err(|source| Refusal::Range { path: path(), source })
    }
}

struct ZeroSource;

impl ReadAt for ZeroSource {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let left = SIZE.saturating_sub(offset);
        let count = as_usize(left.min(buffer.len() as u64));
        buffer[..count].fill(0);
        Ok(count)
    }
}

impl Source for ZeroSource {
    fn size(&self) -> u64 {
        SIZE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_end_where_offsets_do_and_are_data() {
        let mut buffer = [1; 8];
        assert_eq!(ZeroSource.read_at(SIZE - 6, &mut buffer).unwrap(), 6);
        assert_eq!(buffer, [0, 0, 0, 0, 0, 0, 1, 1]);
        assert_eq!(ZeroSource.read_at(u64::MAX, &mut buffer).unwrap(), 0);
        assert!(ZeroSource.next_extent(0).unwrap().data);
    }

    #[test]
    fn a_range_of_zeros_needs_an_end() {
        let resolve = |range: &str| Zeros::default().resolve(&range.parse().unwrap(), false);
        assert_eq!(resolve("5..9").unwrap().0, ByteRange::between(5, 9));
        for endless in ["..", "7..", "-3"] {
            assert!(resolve(endless).unwrap_err().to_string().contains("no end"), "{endless}");
        }
    }
}
