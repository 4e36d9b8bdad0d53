//! A new file that several processes write at once, each some parts of it. It was made
//! and given its length before, and gets its name when all parts are there: this end
//! is one part of it, and knows nothing of the others. An object that is uploaded by
//! several is in `s3/shared`.
//!
//! There is no lock. A process that stands still keeps what it has locked, and another
//! one takes its part over: both write the same bytes to the same place. A guard keeps
//! one away that wakes up too late.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Abilities, Destination, Draft, End, Kind, Shape};
use crate::durable::intact::Written;
use crate::durable::open_file::OpenFile;
use crate::error::{Error, Result};
use crate::io::guarded::{Guard, Guarded};
use crate::io::{FileIo, Sink};
use crate::progress::CancelToken;
use crate::range::RangeSet;
use crate::sys;

/// What all who upload parts of one object must know of the upload.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Upload {
    /// What the service calls it.
    pub id: String,
    /// Whether the service checks the parts, and the whole, by CRC-32C.
    pub checked: bool,
}

/// Why what several are to write has not begun.
pub(crate) struct NotBegun {
    pub error: Error,
    /// Whether it is certain that nothing is left.
    pub is_certain: bool,
}

impl<E: Into<Error>> From<E> for NotBegun {
    /// Where nothing is left.
    fn from(error: E) -> NotBegun {
        NotBegun { error: error.into(), is_certain: true }
    }
}

/// A part of the file, which is open for reading and writing.
pub(crate) struct FilePiece {
    path: PathBuf,
    file: File,
    len: u64,
    guard: Guard,
}

impl FilePiece {
    /// The one open as `file`, which is called `path` for now and has `len` bytes.
    pub(crate) fn new(path: PathBuf, file: File, len: u64, guard: Guard) -> FilePiece {
        FilePiece { path, file, len, guard }
    }
}

impl Destination for FilePiece {
    fn path(&self) -> &Path {
        &self.path
    }

    fn kind(&self) -> Kind {
        Kind::File
    }

    fn abilities(&self) -> Abilities {
        // Nothing but these bytes is ever written there.
        Abilities::default()
    }

    fn end(&self) -> End {
        let device = sys::facts(&self.file).map_or(0, |facts| facts.device);
        End::of_file(&self.file, device)
    }

    fn begin(self: Box<Self>, _shape: &Shape<'_>) -> Result<Box<dyn Draft>> {
        let io = Arc::new(FileIo::new(self.file, self.len));
        let sink = Arc::new(Guarded::new(io.clone(), self.guard));
        let file = OpenFile { io, path: self.path, grows: false };
        Ok(Box::new(PieceDraft { file, sink }))
    }
}

struct PieceDraft {
    file: OpenFile,
    sink: Arc<Guarded>,
}

impl Draft for PieceDraft {
    fn sink(&self) -> Arc<dyn Sink> {
        self.sink.clone()
    }

    fn path(&self) -> &Path {
        &self.file.path
    }

    fn len(&self) -> u64 {
        self.file.io.len()
    }

    fn file(&self) -> Option<&OpenFile> {
        Some(&self.file)
    }

    fn lost(&self, written: &Written<'_>, cancel: &CancelToken) -> Result<RangeSet> {
        written.lost(&self.file.io, &self.file.path, cancel)
    }

    fn commit(&mut self, _durable: bool) -> Result<()> {
        Ok(())
    }

    fn discard(self: Box<Self>) -> Option<String> {
        None
    }
}
