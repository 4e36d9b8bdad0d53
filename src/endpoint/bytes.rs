//! The end that is bytes in memory: for a patch, and for whatever a caller has made
//! and wants to have written as a file is.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use positioned_io::ReadAt;

use super::Origin;
use crate::io::{Source, as_u64};

/// Its name in messages and reports.
pub const NAME: &str = "bytes:";

/// Bytes in memory.
///
/// ```
/// use pcopy::CopyJob;
/// use pcopy::endpoint::bytes::Bytes;
///
/// let folder = tempfile::tempdir()?;
/// let file = folder.path().join("file");
/// CopyJob::from_origin(Bytes::new("made up"), &file).run()?;
/// assert_eq!(std::fs::read(&file)?, b"made up");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Bytes {
    path: PathBuf,
    data: Arc<Vec<u8>>,
}

impl Bytes {
    /// Holds `data`.
    pub fn new(data: impl Into<Vec<u8>>) -> Bytes {
        Bytes { path: PathBuf::from(NAME), data: Arc::new(data.into()) }
    }

    /// All of them.
    pub fn as_slice(&self) -> &[u8] {
        &self.data
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes in memory", self.data.len())
    }
}

impl Origin for Bytes {
    fn path(&self) -> &Path {
        &self.path
    }

    /// They are gone with this process.
    fn can_resume(&self) -> bool {
        false
    }

    fn source(&self) -> Arc<dyn Source> {
        Arc::new(Slice(Arc::clone(&self.data)))
    }
}

struct Slice(Arc<Vec<u8>>);

impl ReadAt for Slice {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let rest = usize::try_from(offset).ok().and_then(|at| self.0.get(at..));
        let rest = rest.unwrap_or_default();
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }
}

impl Source for Slice {
    fn size(&self) -> u64 {
        as_u64(self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_read_at_any_offset_and_end() {
        let bytes = Bytes::new([1, 2, 3]);
        let (source, mut buffer) = (bytes.source(), [0; 4]);
        for (offset, expected) in [(0, &[1, 2, 3][..]), (2, &[3]), (3, &[]), (u64::MAX, &[])] {
            let count = source.read_at(offset, &mut buffer).unwrap();
            assert_eq!(&buffer[..count], expected, "{offset}");
        }
        assert_eq!(source.size(), 3);
    }
}
