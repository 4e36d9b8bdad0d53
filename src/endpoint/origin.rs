//! What a copy asks of the end that is read.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::{CacheState, End, Kind, map};
use crate::digest::Expectation;
use crate::error::{self, Refusal, SourceChange};
use crate::io::incoming::NO_END;
use crate::io::{ReadOrder, Source};
use crate::progress::CancelToken;
use crate::range::{ByteRange, RangeSpec};
use crate::report::SourceReport;
use crate::size::{Size, TooManySectors};
use crate::source::{DEFAULT_SECTOR, OpenSource};

/// Where the bytes of a copy come from.
pub trait Origin: Send + Sync {
    /// Its name, for messages, the report and the map.
    fn path(&self) -> &Path;

    /// What is read, from any offset and by several threads at once.
    fn source(&self) -> Arc<dyn Source>;

    /// In which order it can be read. What comes once, as from a pipe, ends nobody
    /// knows where until it has ended.
    fn read_order(&self) -> ReadOrder {
        ReadOrder::Any
    }

    /// Why it comes once and in order, where it does: what follows its name.
    fn why_once(&self) -> &'static str {
        "can be read only once, in order"
    }

    /// The name that a copy of it has in a folder, if it has one.
    fn file_name(&self) -> Option<OsString> {
        self.path().file_name().map(OsStr::to_owned)
    }

    /// What it is.
    fn kind(&self) -> Kind {
        Kind::Other
    }

    /// Logical sector in bytes, where splitting a request ends.
    fn sector(&self) -> u32 {
        DEFAULT_SECTOR
    }

    /// `size` in bytes of this end.
    ///
    /// # Errors
    ///
    /// If it is more than 64 bits count.
    fn bytes(&self, size: Size) -> Result<u64, TooManySectors> {
        size.bytes(self.sector())
    }

    /// Where `range` lies in it, and whether it was cut to what exists, which
    /// `clamp` allows. In a stream that ends nobody knows where, a range that goes
    /// to the end goes as far as there are offsets.
    ///
    /// # Errors
    ///
    /// [`Refusal::Range`] if it does not lie inside.
    fn resolve(&self, range: &RangeSpec, clamp: bool) -> Result<(ByteRange, bool), Refusal> {
        if self.read_order().is_endless() {
            return resolve_endless(self.path(), range, self.sector()).map(|range| (range, false));
        }
        let (size, sector) = (self.source().size(), self.sector());
        let resolved = match clamp {
            true => range.resolve_clamped(size, sector),
            false => range.resolve(size, sector).map(|range| (range, false)),
        };
        resolved.map_err(|source| Refusal::Range { path: self.path().to_owned(), source })
    }

    /// What a map says of it, by which a later run knows it again.
    fn identity(&self) -> map::Source {
        map::Source {
            path: self.path().to_owned(),
            kind: "other".to_owned(),
            size: self.source().size(),
            mtime_ns: None,
            ctime_ns: None,
            may_change: false,
            id: None,
        }
    }

    /// Whether a later run can read the same bytes again, so that it is worth a
    /// record how far a copy got.
    fn can_resume(&self) -> bool {
        true
    }

    /// Digests of all of it that its keeper states, the one that costs least to compare
    /// first; none where nothing is stated, or cannot be asked.
    fn stated_digests(&self) -> Vec<Expectation> {
        Vec::new()
    }

    /// What changed since it was opened; `None` if nothing did.
    ///
    /// # Errors
    ///
    /// If there is no telling.
    fn change(&self) -> io::Result<Option<SourceChange>> {
        Ok(None)
    }

    /// Opens what is at `path` by the connections that this one has, where both are
    /// of one server.
    fn open_beside(
        &self,
        path: &Path,
        cancel: &CancelToken,
    ) -> Option<error::Result<Arc<dyn Origin>>> {
        let _ = (path, cancel);
        None
    }

    /// What an engine may know of it.
    fn end(&self) -> End {
        End::default()
    }

    /// How much of `range` is in the page cache.
    fn cache_state(&self, range: ByteRange) -> CacheState {
        let _ = range;
        CacheState::Unknown
    }

    /// Hears from now on a wish to stop also while it waits, if that may take long.
    fn listen_to(&self, cancel: &CancelToken) {
        let _ = cancel;
    }

    /// Says that one range will be read from its start to its end.
    fn will_read_in_sequence(&self) {}

    /// `range` of it was copied, and all is well: where others continue where it
    /// stands, that is its end.
    fn was_copied(&self, range: ByteRange) {
        let _ = range;
    }

    /// Things worth knowing about it.
    fn note(&self) -> Option<String> {
        None
    }

    /// Who may write to `range` of it while it is read, in words.
    fn who_may_write(&self, range: ByteRange) -> Option<String> {
        let _ = range;
        None
    }

    /// The file or device, if it is one: for what only these have.
    fn file(&self) -> Option<&OpenSource> {
        None
    }
}

fn resolve_endless(path: &Path, range: &RangeSpec, sector: u32) -> Result<ByteRange, Refusal> {
    if let RangeSpec::Last(_) = range {
        let name = crate::error::quoted(path);
        let what = format!(
            "{name} has no known length before it ends, so its last bytes cannot be chosen"
        );
        return Err(Refusal::Other(what));
    }
    let outside = |source| Refusal::Range { path: path.to_owned(), source };
    range.resolve(NO_END, sector).map_err(outside)
}

/// The part of the report that describes `origin`.
pub(crate) fn source_report(origin: &dyn Origin) -> SourceReport {
    SourceReport {
        path: origin.path().to_owned(),
        kind: origin.kind(),
        size: size_of(origin),
        logical_sector: origin.sector(),
    }
}

/// Its size in bytes. Of most streams it is known when they have ended.
fn size_of(origin: &dyn Origin) -> Option<u64> {
    match origin.read_order().stream() {
        Some(stream) => stream.length(),
        None => Some(origin.source().size()),
    }
}
