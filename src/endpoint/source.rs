//! Files and block devices that are read.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{End, Kind, Origin};
use crate::durable::map;
use crate::durable::previous::object_id;
use crate::engine::capabilities::cache_state;
use crate::error::{Refusal, Result, SourceChange};
use crate::io::Source;
use crate::io::page_cache::CacheState;
use crate::range::{ByteRange, RangeSpec};
use crate::size::{Size, TooManySectors};
use crate::source::{OpenSource, kind};
use crate::sys::FileKind;

impl Origin for OpenSource {
    fn path(&self) -> &Path {
        &self.path
    }

    fn file_name(&self) -> Option<OsString> {
        self.name().file_name().map(OsStr::to_owned)
    }

    fn source(&self) -> Arc<dyn Source> {
        self.io.clone()
    }

    fn kind(&self) -> Kind {
        kind(self.facts.node)
    }

    fn sector(&self) -> u32 {
        OpenSource::sector(self)
    }

    fn bytes(&self, size: Size) -> Result<u64, TooManySectors> {
        OpenSource::bytes(self, size)
    }

    fn resolve(&self, range: &RangeSpec, clamp: bool) -> Result<(ByteRange, bool), Refusal> {
        OpenSource::resolve(self, range, clamp)
    }

    fn identity(&self) -> map::Source {
        let serial = self.device.as_ref().and_then(|info| info.serial.clone());
        let is_file = self.facts.node == FileKind::File;
        map::Source {
            path: absolute(&self.path),
            kind: self.word(),
            size: self.facts.size,
            mtime_ns: is_file.then(|| nanoseconds(self.facts.modified)),
            ctime_ns: is_file.then(|| nanoseconds(self.facts.changed)),
            may_change: false,
            id: Some(object_id(&self.facts, serial)),
        }
    }

    fn change(&self) -> std::io::Result<Option<SourceChange>> {
        OpenSource::change(self)
    }

    fn end(&self) -> End {
        End::of_source(self)
    }

    fn cache_state(&self, range: ByteRange) -> CacheState {
        cache_state(self, range)
    }

    fn will_read_in_sequence(&self) {
        OpenSource::will_read_in_sequence(self);
    }

    fn note(&self) -> Option<String> {
        OpenSource::note(self)
    }

    fn who_may_write(&self, range: ByteRange) -> Option<String> {
        OpenSource::who_may_write(self, range)
    }

    fn file(&self) -> Option<&OpenSource> {
        Some(self)
    }
}

/// What a map calls it.
pub(super) fn word(node: FileKind) -> &'static str {
    if node == FileKind::BlockDevice { "block-device" } else { "file" }
}

fn nanoseconds((seconds, rest): (i64, u32)) -> i128 {
    i128::from(seconds) * 1_000_000_000 + i128::from(rest)
}

/// As a map names it, wherever the next run is started.
pub(crate) fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}
