//! The source of a bench: opened anew for each question, and read into the page
//! cache where it is to be there.

use std::path::Path;
use std::sync::Arc;

use crate::address;
use crate::endpoint::{self, Origin};
use crate::error::{ErrorKind, Refusal, Result, quoted};
use crate::options::Options;
use crate::progress::CancelToken;
use crate::range::ByteRange;
use crate::source::OpenSource;

/// Request in which a source is read into the page cache.
const WARMING: u64 = 1 << 20;

/// The source at `path`, which can be read again and again.
pub(super) fn open(path: &Path, options: &Options) -> Result<Arc<dyn Origin>> {
    if address::scheme(path).is_none() {
        return Ok(Arc::new(OpenSource::open(path)?));
    }
    let origin = endpoint::origin(path, options, &CancelToken::new())?;
    if origin.read_order().stream().is_some() {
        let what = format!("{} {}", quoted(path), origin.why_once());
        return Err(Refusal::Other(what).into());
    }
    Ok(origin)
}

/// Brings `range` into the page cache.
pub(super) fn read_through(source: &OpenSource, range: ByteRange) -> Result<()> {
    let mut buffer = vec![0; crate::io::as_usize(WARMING)];
    for piece in range.pieces(WARMING) {
        let memory = &mut buffer[..crate::io::as_usize(piece.len())];
        let read = crate::io::transfer::read_full(&*source.io, piece.start(), memory);
        read.map_err(|stop| ErrorKind::Read {
            path: source.path.clone(),
            range: piece,
            source: stop.error,
        })?;
    }
    Ok(())
}
