//! A pipe, a socket or any other stream as what is read: its bytes come once and
//! in order, and where it ends is known when it has ended.
//!
//! So it cannot be resumed, compared with or read again, and how much room its
//! copy needs is not known before. What it can be is copied to anything, hashed
//! on the way, and verified by the fingerprints that are taken meanwhile.
//!
//! Bytes go through the buffers of the workers: the worker whose turn it is reads
//! into its own. Moving them by splice(2) takes as many copies where they go into
//! a file.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::standing::Standing;
use super::{CacheState, Kind, Origin};
use crate::error::{Refusal, Result, Side};
use crate::io::incoming::{Feed, FileFeed, ReaderFeed};
use crate::io::{Incoming, ReadOrder, Source};
use crate::range::ByteRange;
use crate::source::{OpenSource, kind};
use crate::sys::{self, FileKind};

/// What stands for standard input in messages and in the report.
pub const NAME: &str = "-";

/// A stream that is read once, from where it stands.
pub struct Pipe {
    path: PathBuf,
    kind: Kind,
    /// Whether it has a name that its copy may have.
    is_named: bool,
    source: Arc<Incoming>,
}

impl Pipe {
    /// The bytes of `reader`, which `name` stands for in messages and in the
    /// report. A wish to stop is heard between two reads.
    ///
    /// # Examples
    ///
    /// ```
    /// use pcopy::CopyJob;
    /// use pcopy::endpoint::pipe::Pipe;
    ///
    /// let folder = tempfile::tempdir()?;
    /// let unpacked: &[u8] = b"whatever a decoder, a socket or a channel gives";
    /// let copy = folder.path().join("copy");
    /// let report = CopyJob::from_origin(Pipe::reader("unpacked", unpacked), &copy).run()?;
    /// assert!(report.is_complete());
    /// assert_eq!(std::fs::read(&copy)?, unpacked);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn reader(name: impl Into<PathBuf>, reader: impl Read + Send + 'static) -> Pipe {
        let source = Arc::new(Incoming::new(Box::new(ReaderFeed(reader))));
        Pipe { path: name.into(), kind: Kind::Other, is_named: true, source }
    }

    /// The named pipe at `path`. It is opened when it is read: a copy that is
    /// refused, or only planned, does not let somebody write who waits for a reader.
    ///
    /// # Errors
    ///
    /// A [`Refusal`] if it may not be read.
    fn at(path: &Path) -> Result<Pipe> {
        sys::check_readable(path).map_err(|source| cannot_open(path, source))?;
        let feed = NamedPipe { path: path.to_owned(), open: None };
        let source = Arc::new(Incoming::new(Box::new(feed)));
        Ok(Pipe { path: path.to_owned(), kind: Kind::Stream, is_named: true, source })
    }

    /// An open stream, of which `path` is not a name for a copy.
    fn of(stream: &File, path: &Path, node: FileKind) -> Result<Pipe> {
        let feed = FileFeed::of(stream).map_err(|source| cannot_open(path, source))?;
        let source = Arc::new(Incoming::new(Box::new(feed)));
        Ok(Pipe { path: path.to_owned(), kind: kind(node), is_named: false, source })
    }
}

/// A named pipe that is opened when somebody wants to read it.
struct NamedPipe {
    path: PathBuf,
    open: Option<FileFeed>,
}

impl Feed for NamedPipe {
    fn read(&mut self, buffer: &mut [u8], time: Duration) -> io::Result<Option<usize>> {
        let feed = match &mut self.open {
            Some(feed) => feed,
            open => {
                let file = sys::open_source(&self.path)?;
                if sys::facts_as(&file, &self.path)?.node != FileKind::Pipe {
                    return Err(io::Error::other("somebody put something else in its place"));
                }
                open.insert(FileFeed::of_named_pipe(file))
            }
        };
        feed.read(buffer, time)
    }
}

/// What `stream` leads to, from where it stands; the caller's stays open. A file
/// or device is read as such, at any offset from there on.
///
/// # Errors
///
/// A [`Refusal`] if that is a terminal or a directory.
pub fn standing(stream: &File) -> Result<Arc<dyn Origin>> {
    let path = Path::new(NAME);
    let refused = |what, hint| {
        let (side, path) = (Side::Source, path.to_owned());
        Err(Refusal::NotCopyable { side, path, what, hint }.into())
    };
    if stream.is_terminal() {
        return refused("a terminal", "pipe something into it, or name a file");
    }
    let facts = sys::facts(stream).map_err(|source| cannot_open(path, source))?;
    match facts.node {
        FileKind::Directory => refused("a directory", "name a file in it"),
        FileKind::File | FileKind::BlockDevice => {
            let file = stream.try_clone().map_err(|source| cannot_open(path, source))?;
            let at = sys::place_read_from(stream).map_err(|source| cannot_open(path, source))?;
            Ok(Arc::new(Standing::new(OpenSource::of_open(Side::Source, path, file)?, at)))
        }
        node => Ok(Arc::new(Pipe::of(stream, path, node)?)),
    }
}

/// The stream that `path` leads to, if that is one.
///
/// # Errors
///
/// A [`Refusal`] if it cannot be opened.
pub(super) fn at(path: &Path) -> Result<Option<Arc<dyn Origin>>> {
    // What cannot be asked cannot be opened either, and is said then.
    let Ok(Some(facts)) = sys::facts_of_path(path) else { return Ok(None) };
    match (facts.node, sys::stream_of_name(path)) {
        (node @ (FileKind::Pipe | FileKind::Socket), Some(stream)) => {
            let stream = stream.map_err(|source| cannot_open(path, source))?;
            Ok(Some(Arc::new(Pipe::of(&stream, path, node)?)))
        }
        (FileKind::Pipe, None) => Ok(Some(Arc::new(Pipe::at(path)?))),
        _ => Ok(None),
    }
}

fn cannot_open(path: &Path, source: io::Error) -> Refusal {
    Refusal::CannotOpen { side: Side::Source, path: path.to_owned(), source }
}

impl Origin for Pipe {
    fn path(&self) -> &Path {
        &self.path
    }

    fn source(&self) -> Arc<dyn Source> {
        self.source.clone()
    }

    /// What an interrupted copy has read does not come a second time.
    fn can_resume(&self) -> bool {
        false
    }

    fn read_order(&self) -> ReadOrder {
        ReadOrder::Once(self.source.clone())
    }

    fn file_name(&self) -> Option<OsString> {
        self.path.file_name().filter(|_| self.is_named).map(OsStr::to_owned)
    }

    fn kind(&self) -> Kind {
        self.kind
    }

    /// Nobody waits for a device.
    fn cache_state(&self, _range: ByteRange) -> CacheState {
        CacheState::Warm
    }
}
