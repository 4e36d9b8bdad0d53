//! A file or device that somebody else has opened and handed over, as the shell
//! does with `<`: its first byte is the one where it stands. Otherwise it is read
//! as any file, at all offsets and by several workers.

use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::{CacheState, End, Kind, Origin, map};
use crate::error::{Refusal, SourceChange};
use crate::io::Source;
use crate::range::{ByteRange, RangeSpec};
use crate::size::{Size, TooManySectors};
use crate::source::OpenSource;
use crate::sys;

/// An open file or device, from where it stands.
pub(super) struct Standing {
    open: OpenSource,
    /// Where it stands, in its own bytes.
    at: u64,
}

impl Standing {
    /// `open`, which stands at `at`.
    pub fn new(open: OpenSource, at: u64) -> Standing {
        let at = at.min(open.facts.size);
        Standing { open, at }
    }
}

impl Origin for Standing {
    fn path(&self) -> &Path {
        &self.open.path
    }

    fn source(&self) -> Arc<dyn Source> {
        self.open.io.clone()
    }

    fn file_name(&self) -> Option<OsString> {
        None
    }

    fn kind(&self) -> Kind {
        Origin::kind(&self.open)
    }

    fn sector(&self) -> u32 {
        self.open.sector()
    }

    fn bytes(&self, size: Size) -> Result<u64, TooManySectors> {
        self.open.bytes(size)
    }

    /// Counted from where it stands; the answer is in bytes of the file.
    fn resolve(&self, range: &RangeSpec, clamp: bool) -> Result<(ByteRange, bool), Refusal> {
        if self.at == 0 {
            return self.open.resolve(range, clamp);
        }
        let (size, sector) = (self.open.facts.size - self.at, self.open.sector());
        let resolved = match clamp {
            true => range.resolve_clamped(size, sector),
            false => range.resolve(size, sector).map(|range| (range, false)),
        };
        let (range, clamped) =
            resolved.map_err(|source| Refusal::Range { path: self.open.path.clone(), source })?;
        let range = ByteRange::between(self.at + range.start(), self.at + range.end());
        Ok((range, clamped))
    }

    fn identity(&self) -> map::Source {
        Origin::identity(&self.open)
    }

    fn change(&self) -> io::Result<Option<SourceChange>> {
        self.open.change()
    }

    fn end(&self) -> End {
        Origin::end(&self.open)
    }

    fn cache_state(&self, range: ByteRange) -> CacheState {
        Origin::cache_state(&self.open, range)
    }

    fn will_read_in_sequence(&self) {
        self.open.will_read_in_sequence();
    }

    /// The next reader continues behind what was copied.
    fn was_copied(&self, range: ByteRange) {
        let _ = sys::stand_at(self.open.file.as_file(), range.end());
    }

    fn note(&self) -> Option<String> {
        self.open.note()
    }

    fn who_may_write(&self, range: ByteRange) -> Option<String> {
        self.open.who_may_write(range)
    }

    fn file(&self) -> Option<&OpenSource> {
        Some(&self.open)
    }
}
