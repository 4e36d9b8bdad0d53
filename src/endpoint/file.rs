//! Files and block devices: read at offsets; written beside their final name,
//! in place, or on a device.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::earlier;
use super::{Abilities, Destination, Draft, End, Journal, Kind, Look, Looked, Origin, Shape};
use crate::durable::intact::Written;
use crate::durable::map::{self, Identity, MapFile, Mode, ObjectId};
use crate::durable::previous::{self, Leftovers, Start};
use crate::durable::stage::Stage;
use crate::durable::target::{Consent, Target};
use crate::durable::trust::Examiner;
use crate::engine::capabilities::{cache_state, end_of_source, end_of_target};
use crate::error::{Error, ErrorKind, Refusal, Result, SourceChange, chain};
use crate::io::page_cache::CacheState;
use crate::io::{Held, Sink, Source};
use crate::options::Options;
use crate::progress::CancelToken;
use crate::range::{ByteRange, RangeSet, RangeSpec};
use crate::safety::{Preflight, roles, writes_source};
use crate::size::{Size, TooManySectors};
use crate::source::{OpenSource, kind};
use crate::sparse::{Layout, Preallocate, Sparse};
use crate::sys::{self, FileKind, Metadata};
use crate::verify::read_back::ReadBack;

impl Origin for OpenSource {
    fn path(&self) -> &Path {
        &self.path
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
            kind: word(self.facts.node),
            size: self.facts.size,
            mtime_ns: is_file.then(|| nanoseconds(self.facts.modified)),
            ctime_ns: is_file.then(|| nanoseconds(self.facts.changed)),
            may_change: false,
            id: Some(previous::object_id(&self.facts, serial)),
        }
    }

    fn change(&self) -> std::io::Result<Option<SourceChange>> {
        OpenSource::change(self)
    }

    fn end(&self) -> End {
        end_of_source(self)
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

/// A file or device that has been looked at.
pub struct FileDestination {
    target: Target,
    start: Start,
    map_file: Option<MapFile>,
}

impl FileDestination {
    /// Looks at `path`. If it is a directory, the destination is in it, under
    /// the name of `source`.
    ///
    /// # Errors
    ///
    /// A [`Refusal`]; nothing has been changed.
    pub(crate) fn look_at(path: &Path, source: &Path, consent: Consent) -> Result<FileDestination> {
        let target = Target::look(path, source, consent)?;
        Ok(FileDestination { target, start: Start::Fresh, map_file: None })
    }

    /// What it is.
    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    /// Whether nobody else knows it: without its name as yet.
    pub(crate) fn is_fresh(&self) -> bool {
        matches!(self.target, Target::Staged(_)) && !self.start.is_committed()
    }

    /// Whether it is what an earlier run was writing.
    pub(crate) fn is_resumed(&self) -> bool {
        matches!(self.start, Start::Resume(_))
    }

    /// Length of the file that is written where it is, in bytes.
    pub(crate) fn standing(&self) -> Option<u64> {
        let in_place = !matches!(self.target, Target::Staged(_));
        self.target.facts().filter(|_| in_place).map(|facts| facts.size)
    }

    fn is_staged(&self) -> bool {
        matches!(self.target, Target::Staged(_))
    }

    fn find_map(&self, options: &Options) -> Result<MapFile> {
        let path = options.map.clone().unwrap_or_else(|| previous::default_map_path(&self.target));
        let unusable = |error| Refusal::BadMap { path: path.clone(), reason: chain(&error) };
        Ok(MapFile::new(&path).map_err(unusable)?)
    }

    /// What makes this copy this copy, for the map: `id` is the object written.
    fn identity(&self, look: &Look<'_>, id: Option<ObjectId>) -> Identity {
        let mode = match self.target {
            Target::Staged(_) => Mode::New,
            Target::InPlace(_) => Mode::InPlace,
            Target::Device(..) => Mode::Device,
        };
        let kind = if mode == Mode::Device { FileKind::BlockDevice } else { FileKind::File };
        let changes = look.origin.file().is_some_and(|source| writes_source(source, &self.target));
        Identity {
            source: map::Source {
                may_change: look.options.allow_changed_source || changes,
                ..look.origin.identity()
            },
            range: look.mapping.from(),
            destination: map::Destination {
                path: absolute(self.target.path()),
                offset: look.mapping.to().start(),
                kind: word(kind),
                mode,
                id,
            },
            list: None,
        }
    }

    /// Owner, mode and times are those of a file, not of a part of one.
    fn check_preserve(&self, look: &Look<'_>) -> Result<()> {
        let is_whole = |source: &OpenSource| {
            source.facts.node == FileKind::File
                && look.mapping.from() == ByteRange::to(source.facts.size)
        };
        let whole = look.origin.file().is_some_and(is_whole)
            && look.options.dest_offset == Size::Bytes(0)
            && self.is_staged();
        if look.options.preserve && !whole {
            let problem = "is for a whole file that is copied to a file of its own";
            return Err(ErrorKind::usage_of(&["preserve"], problem).into());
        }
        Ok(())
    }

    /// Refuses to read back what may only be written: all of it to verify, and for
    /// digests what an earlier run has copied.
    fn check_readable(&self, options: &Options) -> Result<(), Refusal> {
        let reads_digests = self.is_resumed() && !options.wanted_digests().is_empty();
        match self.target.is_readable() || !(options.verifies() || reads_digests) {
            true => Ok(()),
            false => Err(Refusal::WriteOnly { path: self.target.path().to_owned() }),
        }
    }

    fn preflight<'a>(&'a self, look: &Look<'a>, space_needed: u64) -> Preflight<'a> {
        Preflight {
            source: look.origin.file(),
            target: &self.target,
            from: look.mapping.from(),
            to: look.mapping.to(),
            space_needed,
            allow_same_device: look.options.allow_same_device,
        }
    }

    /// Bytes of storage that a new file with `layout` will need for certain, on
    /// top of what the part of an earlier run takes, to be kept or given back.
    fn space_needed(&self, look: &Look<'_>, layout: &Layout) -> u64 {
        let whole = match (look.options.preallocate, layout.sparse()) {
            (Preallocate::Full, _) => look.mapping.len(),
            (_, Sparse::Always) => 0,
            _ => layout.data.bytes(),
        };
        let part = match &self.start {
            Start::Fresh => None,
            Start::Over(part) => {
                part.as_ref().and_then(|part| sys::facts(part).ok()).map(|facts| facts.allocated)
            }
            Start::Resume(earlier) => earlier.file.as_ref().map(|(_, facts)| facts.allocated),
        };
        whole.saturating_sub(part.unwrap_or(0))
    }

    /// Says so where the user expects that something was done already.
    fn nothing_to_resume(&self, leftovers: Leftovers) -> Option<String> {
        let is_empty = match &self.start {
            Start::Resume(earlier) => earlier.map.done.is_empty(),
            Start::Fresh | Start::Over(_) => true,
        };
        (is_empty && leftovers == Leftovers::Resume)
            .then(|| "nothing was left to go on from: copied from the beginning".to_owned())
    }
}

impl Destination for FileDestination {
    fn path(&self) -> &Path {
        self.target.path()
    }

    fn kind(&self) -> Kind {
        self.target.report().kind
    }

    fn end(&self) -> End {
        end_of_target(&self.target)
    }

    fn describe(&self) -> String {
        self.target.describe()
    }

    fn abilities(&self) -> Abilities {
        Abilities { is_new: self.is_staged(), in_place: !self.is_staged(), ..Abilities::default() }
    }

    fn look(&mut self, look: &Look<'_>, examiner: &mut Examiner) -> Result<Looked> {
        self.check_preserve(look)?;
        let map_file = self.find_map(look.options)?;
        if let Some(source) = look.origin.file() {
            let map = (&*map_file.path(), look.options.map.is_some());
            roles::check_map_is_apart(map, source, &self.target)?;
        }
        let leftovers = look.options.leftovers;
        let identity = |id| self.identity(look, id);
        let start = previous::find(&self.target, &map_file, (leftovers, examiner), identity)?;
        let believed = match &start {
            Start::Resume(earlier) => earlier::check(look, &self.target, earlier)?,
            Start::Fresh | Start::Over(_) => None,
        };
        map_file
            .check_writable()
            .map_err(|error| Refusal::NoMap { path: map_file.path(), source: error })?;
        self.start = start;
        let id = self.target.facts().filter(|_| !self.is_staged());
        let id = id.map(|facts| previous::object_id(facts, self.target.serial()));
        let done = match &self.start {
            Start::Resume(earlier) => earlier.map.done.clone(),
            Start::Fresh | Start::Over(_) => RangeSet::new(),
        };
        let mut notes: Vec<String> = self.nothing_to_resume(leftovers).into_iter().collect();
        notes.extend(believed);
        notes.extend(self.target.who_keeps_the_old());
        let journal = Journal {
            file: map_file.clone(),
            identity: self.identity(look, id),
            of_the_user: self.start.map_of_the_user(),
            resumed: self.is_resumed(),
            discards: matches!(self.start, Start::Over(_)),
        };
        self.map_file = Some(map_file);
        Ok(Looked { done, journal: Some(journal), notes })
    }

    fn check(&self, look: &Look<'_>) -> Result<()> {
        self.preflight(look, 0).check()?;
        self.check_readable(look.options)?;
        if !self.start.is_committed() {
            self.target.check_replaceable()?;
        }
        Ok(())
    }

    fn check_room(&self, look: &Look<'_>, layout: &Layout, may_share: bool) -> Result<()> {
        let preflight = self.preflight(look, self.space_needed(look, layout));
        preflight.check_length()?;
        if !may_share && !look.options.ignore_space {
            preflight.check_space()?;
        }
        Ok(())
    }

    fn begin(self: Box<Self>, shape: &Shape<'_>) -> Result<Box<dyn Draft>> {
        let over = matches!(self.start, Start::Over(_));
        if let Some(map_file) = self.map_file.as_ref().filter(|_| shape.discards) {
            map_file.clear_temporaries();
            if !self.is_resumed() {
                // Before its part is gone: a map without a part must never remain.
                map_file.remove().map_err(|error| Refusal::Other(error.to_string()))?;
            }
        }
        match Stage::begin(self.target, shape.stage, self.start) {
            Ok(stage) => Ok(Box::new(FileDraft { stage })),
            Err(error) => Err(if over { too_late(error) } else { error }),
        }
    }

    fn file(&self) -> Option<&FileDestination> {
        Some(self)
    }
}

/// A refusal is no longer one where what an earlier run left is gone already.
pub(crate) fn too_late(error: Error) -> Error {
    match error.into_kind() {
        ErrorKind::Refused(source) => ErrorKind::Discarded { source }.into(),
        kind => kind.into(),
    }
}

/// A file or device that is being written.
struct FileDraft {
    stage: Stage,
}

impl Draft for FileDraft {
    fn sink(&self) -> Arc<dyn Sink> {
        self.stage.io().clone()
    }

    fn path(&self) -> &Path {
        self.stage.path()
    }

    fn len(&self) -> u64 {
        self.stage.io().len()
    }

    fn written(&self) -> Option<Arc<dyn Source>> {
        Some(self.stage.io().clone())
    }

    fn read_back(&self) -> Option<ReadBack> {
        Some(ReadBack::new(self.stage.io()))
    }

    fn id(&self) -> Result<Option<ObjectId>> {
        let facts: Metadata = sys::facts(self.stage.io().as_file()).map_err(|source| {
            let (step, path) = ("look at", self.stage.path().to_owned());
            ErrorKind::Destination { step, path, source }
        })?;
        Ok(Some(previous::object_id(&facts, None)))
    }

    fn is_clone(&self) -> bool {
        self.stage.is_clone()
    }

    fn grows(&self) -> bool {
        self.stage.grows()
    }

    fn settle(&self, rights: Option<u32>) -> Result<Vec<String>> {
        self.stage.fill_up()?;
        rights.map_or(Ok(Vec::new()), |rights| self.stage.set_final_mode(rights))
    }

    fn sync(&self) -> Result<()> {
        self.stage.sync()
    }

    fn write_deferred(&self, durable: bool) -> Result<Vec<Held>> {
        self.stage.write_head(durable)
    }

    fn preserve(&self, source: &OpenSource, sync: bool) -> Result<Vec<String>> {
        self.stage.preserve(source, sync)
    }

    fn lost(&self, written: &Written<'_>, cancel: &CancelToken) -> Result<RangeSet> {
        self.stage.lost(written, cancel)
    }

    fn check_written(&self, lost: &RangeSet) -> Result<()> {
        self.stage.check_written(lost)
    }

    fn commit(&mut self, durable: bool) -> Result<()> {
        self.stage.commit(durable)
    }

    fn check_name(&self, to: ByteRange) -> Result<()> {
        self.stage.check_name(to)
    }

    fn notes(&self, to: ByteRange) -> Vec<String> {
        self.stage.notes_of_device(to)
    }

    fn discard(self: Box<Self>) {
        self.stage.discard();
    }
}

fn word(node: FileKind) -> String {
    if node == FileKind::BlockDevice { "block-device" } else { "file" }.to_owned()
}

fn nanoseconds((seconds, rest): (i64, u32)) -> i128 {
    i128::from(seconds) * 1_000_000_000 + i128::from(rest)
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}
