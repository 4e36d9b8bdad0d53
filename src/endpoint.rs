//! The ends of a copy: what is read, and what is written.
//!
//! One file holds one kind of end. An end knows what it is, what it refuses,
//! what an earlier run left of it, and how it becomes complete; it must not
//! know how bytes get from one end to the other, nor that there are others.
//!
//! An [`Origin`] is open and does not change while it is read, or says so. A
//! [`Destination`] has been looked at and nothing of it has been changed; it
//! becomes a [`Draft`], which is written and has no final name until it is
//! committed. An implementation of the three gets the
//! whole copy for it: workers, retries, digests, verification and the report.

pub mod bytes;
pub(crate) mod device;
mod draft;
mod earlier;
mod file;
mod from;
#[cfg(feature = "http")]
pub mod http;
mod in_place;
mod kinds;
pub(crate) mod memory;
pub mod null;
mod origin;
pub mod pipe;
mod resumable;
#[cfg(feature = "s3")]
pub mod s3;
pub(crate) mod shared;
mod source;
pub mod split;
mod standing;
pub mod stream;
pub mod zero;

pub use draft::Draft;
pub(crate) use from::From;
pub use kinds::{destination, origin, whole_destination};
pub use origin::Origin;
pub(crate) use origin::source_report;
pub(crate) use resumable::too_late;
pub(crate) use source::absolute;

use std::fs::File;
use std::path::Path;

use crate::durable::checkpoint::Checkpointer;
pub use crate::durable::intact::Written;
use crate::durable::map;
pub use crate::durable::map::{Identity, Map, MapFile, ObjectId};
pub use crate::durable::open_file::OpenFile;
pub use crate::durable::trust::Examiner;
pub use crate::engine::capabilities::End;
use crate::error::{ErrorKind, Result, quoted};
pub use crate::io::only_changed::Existing;
pub use crate::io::page_cache::CacheState;
use crate::options::Options;
use crate::progress::{CancelToken, Watch};
use crate::range::{ByteRange, Mapping, RangeSet};
pub use crate::report::Kind;
use crate::report::{DestinationReport, SegmentReport};
pub use crate::safety::roles::Footprint;
use crate::sparse::Layout;
pub use crate::verify::read_back::ReadBack;

/// What a destination can do.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Abilities {
    /// Whether nothing is there before: what is not written reads as zeros.
    pub is_new: bool,
    /// Whether bytes have to arrive in order.
    pub ordered: bool,
    /// Whether nothing of it can be had before it is complete, and nothing changed
    /// after that: what could not be read stays zeros, and what is not resumed is
    /// taken back.
    pub sealed: bool,
    /// Whether what was written can be read again.
    pub reads_back: bool,
    /// Whether an existing content is changed where it is.
    pub in_place: bool,
    /// Whether it takes bytes of which nobody knows how many will come: those of a
    /// pipe. It is told by [`Draft::end_at`] how many there were.
    pub open_ended: bool,
    /// Whether it is memory into which bytes are read straight, without a buffer.
    pub in_memory: bool,
}

impl Default for Abilities {
    /// A new thing that takes bytes at any offset and can be read again.
    fn default() -> Abilities {
        Abilities {
            is_new: true,
            ordered: false,
            sealed: false,
            reads_back: true,
            in_place: false,
            open_ended: false,
            in_memory: false,
        }
    }
}

impl Abilities {
    /// It takes bytes of which nobody knows how many will come.
    #[must_use]
    pub fn open_ended(self) -> Abilities {
        Abilities { open_ended: true, ..self }
    }

    /// Bytes have to arrive in order, and cannot be read again.
    #[must_use]
    pub fn ordered(self) -> Abilities {
        Abilities { ordered: true, reads_back: false, is_new: false, ..self }
    }

    /// It is a whole that is made of parts, and shows only as such.
    #[must_use]
    pub fn sealed(self) -> Abilities {
        Abilities { sealed: true, reads_back: false, is_new: false, ..self }
    }

    /// An existing content is changed where it is.
    #[must_use]
    pub fn in_place(self) -> Abilities {
        Abilities { in_place: true, is_new: false, ..self }
    }

    /// What was written cannot be read again.
    #[must_use]
    pub fn without_read_back(self) -> Abilities {
        Abilities { reads_back: false, ..self }
    }
}

/// What a destination is asked before anything is written.
pub struct Look<'a> {
    /// What will be read.
    pub origin: &'a dyn Origin,
    /// What of it, and where it will go, as far as that is certain.
    pub mapping: Mapping,
    /// Whether there may be more: nobody knows how much will come.
    pub open_ended: bool,
    /// What the caller wants.
    pub options: &'a Options,
    /// Whether nothing comes after the look.
    pub plans_only: bool,
    /// Who sees how long the look takes, and can stop it.
    pub watch: Watch<'a>,
}

impl Look<'_> {
    /// What may be written, in bytes of the destination.
    pub fn reach(&self) -> ByteRange {
        let to = self.mapping.to();
        if self.open_ended { ByteRange::between(to.start(), i64::MAX as u64) } else { to }
    }
}

/// What an earlier run left of a destination, and where this one records how
/// far it got.
#[derive(Default)]
pub struct Looked {
    /// What an earlier run has written, in bytes of the source.
    pub done: RangeSet,
    /// Where progress is recorded; `None` where nothing can be resumed.
    pub journal: Option<Journal>,
    /// Whether writing it changes the source, outside the range that is read.
    pub writes_source: bool,
    /// Things worth knowing.
    pub notes: Vec<String>,
}

/// Where a destination records how far a copy got.
pub struct Journal {
    /// The map.
    pub file: MapFile,
    /// What the map is of. The object that is written is filled in when there is one.
    pub identity: Identity,
    /// The map as it is, where it is not of this program.
    pub of_the_user: Option<Map>,
    /// Whether there is a map already, of the run that is resumed.
    pub resumed: bool,
    /// Whether what an earlier run left is discarded when this one begins.
    pub discards: bool,
}

impl Journal {
    /// A checkpointer for a draft that has the identity `id`, of which `settled`
    /// needs no more work.
    pub(crate) fn checkpointer(
        mut self,
        id: Option<ObjectId>,
        settled: RangeSet,
        options: &Options,
    ) -> Checkpointer {
        if self.identity.destination.id.is_none() {
            self.identity.destination.id = id;
        }
        let (range, every) = (self.identity.range, options.checkpoint_every);
        let is_new = self.identity.destination.mode == map::Mode::New;
        let resumed = self.resumed;
        let made = Checkpointer::new(self.file, self.identity, every, range, settled, resumed);
        match self.of_the_user {
            Some(map) => made.in_the_map_of_the_user(map),
            None if !resumed && is_new => made.with_room().from_the_start(),
            None => made.with_room(),
        }
    }
}

/// What a destination will be like.
pub struct Shape<'a> {
    /// What is read, and where it goes.
    pub mapping: Mapping,
    /// Whether it may be less: nobody knows how much will come.
    pub open_ended: bool,
    /// Whether parts of a new file will not be written, and stay holes.
    pub gaps: bool,
    /// A file that a new one may begin as a clone of, because it is to have the
    /// same content.
    pub like: Option<&'a File>,
    /// Workers that write, at most.
    pub workers: usize,
    /// What earlier runs left may be discarded.
    pub discards: bool,
    /// The caller's wish to stop.
    pub cancel: &'a CancelToken,
}

impl Shape<'_> {
    /// What will be written for certain, in bytes of the destination.
    pub fn certain(&self) -> ByteRange {
        let to = self.mapping.to();
        if self.open_ended { to.split_at(to.start()).0 } else { to }
    }
}

/// Where the bytes of a copy are to go: looked at, and not changed.
pub trait Destination: Send + Sync {
    /// Its final name, for messages and the report.
    fn path(&self) -> &Path;

    /// What it can do.
    fn abilities(&self) -> Abilities {
        Abilities::default()
    }

    /// What it is.
    fn kind(&self) -> Kind {
        Kind::Other
    }

    /// What an engine may know of it.
    fn end(&self) -> End {
        End::default()
    }

    /// Whether the copy makes the file: it has no name as yet, or got it from an earlier
    /// run of the same copy, which left something to do.
    fn is_fresh(&self) -> bool {
        self.abilities().is_new
    }

    /// It in one line.
    fn describe(&self) -> String {
        quoted(self.path()).to_string()
    }

    /// Refuses what it cannot do, and finds what an earlier run left; `examiner`
    /// judges whose that is.
    ///
    /// # Errors
    ///
    /// A [`Refusal`](crate::Refusal), or [`ErrorKind::Usage`].
    fn look(&mut self, look: &Look<'_>, examiner: &mut Examiner) -> Result<Looked> {
        let _ = examiner;
        refuse_leftovers(look.options, self.path())?;
        Ok(Looked::default())
    }

    /// Refuses what must not be written here, whatever room there is.
    ///
    /// # Errors
    ///
    /// A [`Refusal`](crate::Refusal).
    fn check(&self, look: &Look<'_>) -> Result<()> {
        let _ = look;
        Ok(())
    }

    /// Refuses what there is no room for. With `may_share` nobody can say how
    /// much storage it will need.
    ///
    /// # Errors
    ///
    /// A [`Refusal`](crate::Refusal).
    fn check_room(&self, look: &Look<'_>, layout: &Layout, may_share: bool) -> Result<()> {
        let _ = (look, layout, may_share);
        Ok(())
    }

    /// What it holds now, where that is changed in place and can be read.
    fn existing(&self) -> Option<Existing> {
        None
    }

    /// Makes it ready to be written.
    ///
    /// # Errors
    ///
    /// If that fails, with nothing left behind that was not there before.
    fn begin(self: Box<Self>, shape: &Shape<'_>) -> Result<Box<dyn Draft>>;

    /// Where it is written, if it is a file or device.
    fn footprint(&self) -> Option<Footprint<'_>> {
        None
    }

    /// The same of each of the files that it consists of.
    fn footprints(&self) -> Vec<Footprint<'_>> {
        self.footprint().into_iter().collect()
    }

    /// The files that it will consist of, if it is split, once it was looked at.
    fn segments(&self) -> Vec<SegmentReport> {
        Vec::new()
    }
}

/// The part of the report that describes `destination`.
pub(crate) fn destination_report(destination: &dyn Destination) -> DestinationReport {
    let (path, kind) = (destination.path().to_owned(), destination.kind());
    DestinationReport { segments: destination.segments(), ..DestinationReport::new(path, kind) }
}

/// Refuses to resume or discard where there is nothing of the kind.
///
/// # Errors
///
/// [`ErrorKind::Usage`].
fn refuse_leftovers(options: &Options, path: &Path) -> Result<()> {
    let name = quoted(path);
    if options.leftovers != crate::Leftovers::Refuse {
        let what = format!("{name} keeps nothing of an earlier run: there is nothing to resume");
        return Err(ErrorKind::usage(what).into());
    }
    if options.map.is_some() {
        let what = format!("{name} has no map: a copy to it cannot be resumed");
        return Err(ErrorKind::usage(what).into());
    }
    Ok(())
}
