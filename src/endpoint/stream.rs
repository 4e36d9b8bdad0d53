//! A stream: bytes go in order to a pipe, a socket or a file that is open
//! already. There is nothing to stage, resume or replace.
//!
//! Bytes go through the buffers of the workers and not by splice(2): a pipe
//! takes them at the speed of `cat(1)` or better (`scripts/stream-cost`), for
//! the same work of the processors or less, and what reads the pipe must copy
//! them in any case.

use std::fs::File;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Abilities, Destination, Draft, Kind, Look, Looked, Shape};
use crate::durable::intact::{self, Written};
use crate::durable::previous::Leftovers;
use crate::durable::trust::Examiner;
use crate::engine::Reflink;
use crate::error::{ErrorKind, Refusal, Result, Side};
use crate::io::{Ordered, Sink, WriteOrder};
use crate::progress::CancelToken;
use crate::range::RangeSet;
use crate::safety::files_behind;
use crate::size::Size;
use crate::source::OpenSource;
use crate::sparse::{Preallocate, Sparse};
use crate::sys::{self, FileKind, Metadata, Thing};

/// What stands for a stream in messages and in the report.
pub const NAME: &str = "-";

/// An open stream, from where it stands.
pub struct StreamDestination {
    path: PathBuf,
    file: File,
    facts: Metadata,
    is_terminal: bool,
}

impl StreamDestination {
    /// Of a stream that is open; the caller's stays open.
    ///
    /// # Errors
    ///
    /// [`Refusal::CannotOpen`].
    pub fn new(stream: &File) -> Result<StreamDestination> {
        let cannot_open =
            |source| Refusal::CannotOpen { side: Side::Destination, path: NAME.into(), source };
        let facts = sys::facts(stream).map_err(cannot_open)?;
        let is_terminal = stream.is_terminal();
        let file = sys::own_stream(stream).map_err(cannot_open)?;
        Ok(StreamDestination { path: NAME.into(), file, facts, is_terminal })
    }

    /// Refuses what nobody wants to have bytes poured into.
    fn check_is_stream(&self, source: Option<&OpenSource>) -> Result<(), Refusal> {
        let not = |what, hint| {
            let path = NAME.into();
            Err(Refusal::NotCopyable { side: Side::Destination, path, what, hint })
        };
        if self.is_terminal {
            return not("a terminal", "redirect it into a file or a pipe");
        }
        let is_file = |source: &OpenSource| {
            self.facts.same_thing(&source.facts)
                || files_behind(&source.facts, &source.path)
                    .any(|file| file == Thing::of(&self.facts))
        };
        let is_source = |source: &OpenSource| source.files().iter().any(is_file);
        match self.facts.node {
            FileKind::BlockDevice => Err(Refusal::DeviceAsStream { path: NAME.into() }),
            FileKind::Directory => not("a directory", "name a file in it"),
            FileKind::File if source.is_some_and(is_source) => Err(Refusal::SameFile {
                source_path: source.map(|source| source.path.clone()).unwrap_or_default(),
                path: NAME.into(),
                what: "file",
            }),
            _ => Ok(()),
        }
    }
}

/// Refuses what has no meaning where bytes only follow each other.
fn check_options(look: &Look<'_>) -> Result<()> {
    let options = look.options;
    let senseless: [(&'static [&'static str], &str, bool); 15] = [
        (&["force"], "", options.force),
        (&["in_place"], "", options.in_place),
        (&["to_device"], "", options.to_device),
        (&["only_changed"], "", options.only_changed),
        (&["split"], "", options.split.is_some()),
        (&["resume"], "", options.leftovers == Leftovers::Resume),
        (&["restart"], "", options.leftovers == Leftovers::Restart),
        (&["map"], "", options.map.is_some()),
        (&["preserve"], "", options.preserve),
        (&["verify"], "", options.verifies()),
        (&["dest_offset"], "", options.dest_offset != Size::Bytes(0)),
        (&["engine"], "but positioned ", !options.engine.may_be("positioned")),
        (&["reflink"], "always ", options.reflink == Reflink::Always),
        (&["sparse"], "always ", options.sparse == Sparse::Always),
        (&["preallocate"], "full ", options.preallocate == Preallocate::Full),
    ];
    match senseless.into_iter().find(|(.., given)| *given) {
        Some((option, value, _)) => {
            let problem = format!("{value}has no meaning for a stream");
            Err(ErrorKind::usage_of(option, problem).into())
        }
        None => Ok(()),
    }
}

impl Destination for StreamDestination {
    fn path(&self) -> &Path {
        &self.path
    }

    fn kind(&self) -> Kind {
        if self.facts.node == FileKind::File { Kind::File } else { Kind::Stream }
    }

    fn describe(&self) -> String {
        "a stream".to_owned()
    }

    fn abilities(&self) -> Abilities {
        Abilities::default().ordered().open_ended()
    }

    fn look(&mut self, look: &Look<'_>, _examiner: &mut Examiner) -> Result<Looked> {
        check_options(look)?;
        self.check_is_stream(look.origin.file())?;
        Ok(Looked::default())
    }

    fn begin(self: Box<Self>, shape: &Shape<'_>) -> Result<Box<dyn Draft>> {
        let standing = match self.facts.node {
            FileKind::File => Some(Standing::of(&self.file).map_err(|source| {
                Refusal::CannotOpen { side: Side::Destination, path: NAME.into(), source }
            })?),
            _ => None,
        };
        // One piece is being written; with those in the hands of the workers,
        // that makes two for each.
        let room = shape.workers.saturating_sub(1);
        let sink = Arc::new(Ordered::new(self.file, room, shape.cancel));
        Ok(Box::new(StreamDraft { path: self.path, sink, standing, len: shape.mapping.len() }))
    }
}

/// A stream that is being written.
struct StreamDraft {
    path: PathBuf,
    sink: Arc<Ordered>,
    /// The file that the stream leads to, which a disk holds.
    standing: Option<Standing>,
    len: u64,
}

/// A file that a stream leads to, and where its first byte goes.
struct Standing {
    file: File,
    at: u64,
}

impl Standing {
    fn of(file: &File) -> io::Result<Standing> {
        Ok(Standing { file: file.try_clone()?, at: sys::place_in_stream(file)? })
    }
}

impl Draft for StreamDraft {
    fn sink(&self) -> Arc<dyn Sink> {
        self.sink.clone()
    }

    fn path(&self) -> &Path {
        &self.path
    }

    fn len(&self) -> u64 {
        self.len
    }

    fn write_order(&self) -> WriteOrder {
        WriteOrder::Ascending(self.sink.clone())
    }

    fn sync(&self) -> Result<()> {
        let Some(standing) = &self.standing else { return Ok(()) };
        let path = self.path.clone();
        standing.file.sync_all().map_err(|source| ErrorKind::Sync { path, source }.into())
    }

    fn is_durable(&self) -> bool {
        self.standing.is_some()
    }

    fn lost(&self, written: &Written<'_>, cancel: &CancelToken) -> Result<RangeSet> {
        let Some(Standing { file, at }) = &self.standing else { return Ok(RangeSet::new()) };
        let (range, holes) = (written.range, RangeSet::new());
        let written = Written {
            source: written.source,
            range,
            to: *at,
            holes,
            zeros: RangeSet::new(),
            made: 0,
        };
        written.lost_unread(file, &self.path, cancel)
    }

    fn check_written(&self, lost: &RangeSet) -> Result<()> {
        let Some(Standing { file, .. }) = &self.standing else { return Ok(()) };
        let path = self.path.clone();
        if let Some(first) = lost.iter().next() {
            return Err(intact::lacks(path, first).into());
        }
        let closed = sys::flush_by_close(file);
        closed.map_err(|source| ErrorKind::Sync { path, source }.into())
    }

    fn commit(&mut self, _durable: bool) -> Result<()> {
        Ok(())
    }

    fn discard(self: Box<Self>) -> Option<String> {
        None
    }
}
