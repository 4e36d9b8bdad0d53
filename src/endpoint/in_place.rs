//! A place in an existing file, of which no byte outside the range is changed.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::earlier::Wrote;
use super::resumable::{self, Left, Resumable};
use super::{Abilities, Destination, Draft, End, Existing, Kind, Look, Looked, Shape};
use crate::durable::intact::Written;
use crate::durable::map::{Mode, ObjectId};
use crate::durable::open_file::OpenFile;
use crate::durable::pieces::{self, Claim, Growth, Piece};
use crate::durable::previous::{Previous, Search, Start, map_beside, object_id};
use crate::durable::target::{OpenTarget, cannot_open};
use crate::durable::trust::Examiner;
use crate::error::{Refusal, Result, Side, quoted};
use crate::io::only_changed::BLOCK;
use crate::io::{FileIo, Sink};
use crate::options::Options;
use crate::progress::CancelToken;
use crate::range::{ByteRange, RangeSet};
use crate::safety::roles::Footprint;
use crate::safety::{changes, check_length, check_space};
use crate::source::{DEFAULT_SECTOR, OpenSource, copyable};
use crate::sparse::Layout;
use crate::sys::{self, Directory, FileKind, Guards};

/// A file that is written where it is.
pub struct InPlace {
    target: OpenTarget,
    /// Where the resume map lives, unless the user says otherwise.
    map: PathBuf,
    /// What of it this run has for itself, once it was looked at.
    claim: Claim,
    left: Left,
}

impl InPlace {
    /// Opens the file at `path`.
    ///
    /// # Errors
    ///
    /// A [`Refusal`]; nothing has been changed.
    pub(super) fn open(path: PathBuf, options: &Options) -> Result<InPlace> {
        let (file, is_readable) = sys::open_in_place(&path).map_err(|error| {
            let source = sys::why_not_writable(&path).unwrap_or(error);
            cannot_open(&path, source)
        })?;
        let target = OpenTarget::new(path, file, is_readable)?;
        if target.facts.node != FileKind::File {
            copyable(Side::Destination, &target.path, target.facts.node)?;
            return Err(Refusal::DeviceBusy { path: target.path, user: None }.into());
        }
        let guarded = Guards::now().check_writable(&target.facts);
        guarded.map_err(|source| cannot_open(&target.path, source))?;
        target.check_unused(options.even_if_in_use)?;
        let map = map_beside(&target.path);
        Ok(InPlace { target, map, claim: Claim::Whole, left: Left::default() })
    }

    /// Refuses to read what may only be written: all of it to verify or to write
    /// only what differs, and for digests what an earlier run has copied.
    fn check_readable(&self, options: &Options) -> Result<(), Refusal> {
        let reads_digests = self.left.is_resumed() && !options.wanted_digests().is_empty();
        let reads = options.verifies() || options.only_changed || reads_digests;
        match self.target.is_readable || !reads {
            true => Ok(()),
            false => Err(Refusal::WriteOnly { path: self.target.path.clone() }),
        }
    }

    /// A directory on the file system of the file.
    fn directory(&self) -> std::io::Result<Directory> {
        let path = std::fs::canonicalize(&self.target.path)?;
        let directory = Directory::open(path.parent().unwrap_or(&path))?;
        // A single file can be a mount point.
        if directory.own_facts()?.device != self.target.facts.device {
            return Err(std::io::ErrorKind::CrossesDevices.into());
        }
        Ok(directory)
    }
}

impl Resumable for InPlace {
    fn mode(&self) -> Mode {
        Mode::InPlace
    }

    fn footprint(&self) -> Footprint<'_> {
        Footprint {
            path: &self.target.path,
            facts: Some(&self.target.facts),
            staged: None,
            map: self.map.clone(),
        }
    }

    fn id(&self) -> Option<ObjectId> {
        Some(object_id(&self.target.facts, None))
    }

    fn writes_source(&self, source: &OpenSource) -> bool {
        changes(source, &self.target.facts, &self.target.path)
    }

    fn find(&self, mut search: Search<'_>) -> Result<Start> {
        search.open(&self.target, None)
    }

    fn written<'a>(&'a self, _earlier: &'a Previous) -> Option<Wrote<'a>> {
        let (file, path) = (&self.target.file, self.target.path.clone());
        Some(Wrote { file, path, device: None, is_new: false, rotational: self.end().rotational })
    }
}

impl Destination for InPlace {
    fn path(&self) -> &Path {
        &self.target.path
    }

    fn kind(&self) -> Kind {
        Kind::File
    }

    fn end(&self) -> End {
        End::of_file(&self.target.file, self.target.facts.device)
    }

    fn describe(&self) -> String {
        format!("{} (in place)", quoted(&self.target.path))
    }

    fn abilities(&self) -> Abilities {
        Abilities::default().in_place().open_ended()
    }

    fn footprint(&self) -> Option<Footprint<'_>> {
        Some(Resumable::footprint(self))
    }

    fn look(&mut self, look: &Look<'_>, examiner: &mut Examiner) -> Result<Looked> {
        resumable::refuse_preserve(look.options)?;
        let (file, path, to) = (&self.target.file, &self.target.path, look.reach());
        self.claim = pieces::claim(file, path, to)?;
        self.map = pieces::map_of_piece(file, path, to, self.claim);
        // Other runs may have made it longer until here.
        let facts = sys::facts_as(file, path).map_err(|error| cannot_open(path, error))?;
        self.target.facts = facts;
        let (left, looked) = resumable::look(self, look, examiner)?;
        self.left = left;
        Ok(looked)
    }

    fn check(&self, look: &Look<'_>) -> Result<()> {
        let preflight = resumable::preflight(look, &self.target.path);
        preflight.check_ranges(&self.target)?;
        preflight.check_layers(&self.target)?;
        Ok(self.check_readable(look.options)?)
    }

    fn check_room(&self, look: &Look<'_>, layout: &Layout, may_share: bool) -> Result<()> {
        let (path, to) = (&self.target.path, look.mapping.to());
        let directory = self.directory();
        if let (false, Ok(directory)) = (to.is_empty(), &directory) {
            check_length(path, to.end(), sys::longest_file(directory, to.end()))?;
        }
        if !may_share && !look.options.ignore_space {
            // What it has already is not needed once more.
            let growth = to.end().saturating_sub(self.target.facts.size);
            let needed = resumable::space_needed(look, layout).min(growth);
            check_space(path, needed, directory.and_then(|found| found.available_space()))?;
        }
        Ok(())
    }

    fn existing(&self) -> Option<Existing> {
        let file = self.target.file.try_clone().ok().filter(|_| self.target.is_readable)?;
        let content = Arc::new(FileIo::new(file, self.target.facts.size));
        Some(Existing { content, block: BLOCK, sector: DEFAULT_SECTOR })
    }

    fn begin(self: Box<Self>, shape: &Shape<'_>) -> Result<Box<dyn Draft>> {
        let InPlace { target, claim, left, .. } = *self;
        let to = shape.certain();
        left.clear_temporaries(shape);
        left.begin(shape, |_| {
            let piece = Piece { start: to.start(), end: (!shape.open_ended).then_some(to.end()) };
            let growth = Growth::begin(&target.file, &target.path, claim, piece, shape.cancel)?;
            let end = AtomicU64::new(piece.reach());
            let io = Arc::new(FileIo::new(target.file, growth.needed(piece.reach())));
            let file = OpenFile { io, path: target.path, grows: growth.grows };
            let is_readable = target.is_readable;
            Ok(Box::new(InPlaceDraft { file, is_readable, growth, end }) as Box<dyn Draft>)
        })
    }
}

/// A file that is being written where it is.
struct InPlaceDraft {
    file: OpenFile,
    is_readable: bool,
    growth: Growth,
    /// The end of what is written, as far as that is known; 0 if nothing is.
    end: AtomicU64,
}

impl Draft for InPlaceDraft {
    fn sink(&self) -> Arc<dyn Sink> {
        self.file.io.clone()
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

    fn end_at(&self, to: ByteRange) -> Result<()> {
        let end = if to.is_empty() { 0 } else { to.end() };
        self.end.store(end, Relaxed);
        let file = self.file.as_file();
        let ended = self.growth.fill_up(file, end).and_then(|()| self.growth.take_back(file, to));
        self.file.io.set_len(self.growth.needed(end));
        ended.map_err(|source| self.file.failed("resize", source))
    }

    fn settle(&self, _rights: Option<u32>) -> Result<Vec<String>> {
        if self.file.grows {
            let filled = self.growth.fill_up(self.file.as_file(), self.end.load(Relaxed));
            filled.map_err(|source| self.file.failed("resize", source))?;
        }
        Ok(Vec::new())
    }

    fn note_ready(&self) {
        self.growth.let_others(self.file.as_file());
    }

    fn lost(&self, written: &Written<'_>, cancel: &CancelToken) -> Result<RangeSet> {
        let OpenFile { io, path, .. } = &self.file;
        match self.is_readable {
            true => written.lost(io, path, cancel),
            false => written.lost_unread(io.as_file(), path, cancel),
        }
    }

    fn check_written(&self, lost: &RangeSet) -> Result<()> {
        self.file.check_kept(lost)?;
        self.growth.check(self.file.as_file(), &self.file.path, self.end.load(Relaxed))
    }

    fn commit(&mut self, _durable: bool) -> Result<()> {
        Ok(())
    }

    fn discard(self: Box<Self>) -> Option<String> {
        // Best effort: the error that brought us here says more.
        let nothing = ByteRange::between(0, 0);
        let _ = self.growth.take_back(self.file.as_file(), nothing);
        None
    }
}
