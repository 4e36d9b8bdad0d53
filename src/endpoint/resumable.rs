//! What new files, places in files and devices have in common: a map says how far
//! a copy got, so that an interrupted one can be resumed. Each of the three says
//! what it is; this room asks, and must not know which of them it asks.

use super::earlier::{self, Wrote};
use super::source::{absolute, word};
use super::{Journal, Look, Looked, Shape};
use crate::digest;
use crate::durable::map::{self, Identity, MapFile, Mode, ObjectId};
use crate::durable::previous::{Leftovers, Previous, Search, Start};
use crate::durable::trust::Examiner;
use crate::error::{Error, ErrorKind, MapRefusal, Refusal, Remedy, Result, chain};
use crate::options::Options;
use crate::range::RangeSet;
use crate::safety::Preflight;
use crate::safety::roles::{self, Footprint};
use crate::source::OpenSource;
use crate::sparse::{Layout, Preallocate, Sparse};
use crate::sys::FileKind;

/// A destination of which an interrupted run leaves something.
pub(super) trait Resumable {
    /// How it is written, as a map has it.
    fn mode(&self) -> Mode;

    /// Where it is written.
    fn footprint(&self) -> Footprint<'_>;

    /// Which object is written, where that is there already.
    fn id(&self) -> Option<ObjectId>;

    /// Whether writing it changes `source`, outside the range that is read.
    fn writes_source(&self, source: &OpenSource) -> bool;

    /// Where the copy begins, from what an earlier run left.
    ///
    /// # Errors
    ///
    /// A [`Refusal`].
    fn find(&self, search: Search<'_>) -> Result<Start>;

    /// What an earlier run has written, if it is still there.
    fn written<'a>(&'a self, earlier: &'a Previous) -> Option<Wrote<'a>>;
}

/// What an earlier run left of a destination.
#[derive(Default)]
pub(super) struct Left {
    /// Where the copy begins.
    pub start: Start,
    map_file: Option<MapFile>,
}

impl Left {
    /// Whether what is written is what an earlier run was writing.
    pub fn is_resumed(&self) -> bool {
        matches!(self.start, Start::Resume(_))
    }

    /// What an earlier run has written, in bytes of the source.
    fn done(&self) -> RangeSet {
        match &self.start {
            Start::Resume(earlier) => earlier.map.done.clone(),
            Start::Fresh | Start::Over(_) => RangeSet::new(),
        }
    }

    /// Takes away the temporaries of a map that is discarded or gone on with, which killed
    /// runs have left. First: it may take long, and what comes next was looked at just before.
    pub fn clear_temporaries(&self, shape: &Shape<'_>) {
        if let Some(map_file) = self.map_file.as_ref().filter(|_| shape.discards) {
            map_file.clear_temporaries();
        }
    }

    /// Begins with `begin`, which is told where, after the map was discarded of
    /// which nothing is resumed.
    ///
    /// # Errors
    ///
    /// What `begin` says.
    pub fn begin<T>(self, shape: &Shape<'_>, begin: impl FnOnce(Start) -> Result<T>) -> Result<T> {
        let over = matches!(self.start, Start::Over(_));
        let discards = shape.discards && !self.is_resumed();
        if let Some(map_file) = self.map_file.as_ref().filter(|_| discards) {
            // Before its part is gone: a map without a part must never remain.
            map_file.remove().map_err(|error| Refusal::Other(error.to_string()))?;
        }
        begin(self.start).map_err(|error| if over { too_late(error) } else { error })
    }
}

/// Finds out what an earlier run left of `end`, and whether it may be used.
///
/// # Errors
///
/// A [`Refusal`], or [`ErrorKind::Usage`].
pub(super) fn look(
    end: &dyn Resumable,
    look: &Look<'_>,
    examiner: &mut Examiner,
) -> Result<(Left, Looked)> {
    let options = look.options;
    let map_file = find_map(end, options)?;
    if let Some(source) = look.origin.file() {
        let (map, is_named) = (map_file.path(), options.map.is_some());
        roles::check_map_is_apart(&map, is_named, source, &end.footprint())?;
    }
    let writes_source = look.origin.file().is_some_and(|source| end.writes_source(source));
    let identity = |id| identity(end, look, writes_source, id);
    let leftovers = options.leftovers;
    let start =
        end.find(Search { map_file: &map_file, leftovers, examiner, identity: &identity })?;
    check_ranges(end.mode(), &start, &map_file)?;
    let wrote = match &start {
        Start::Resume(earlier) => end.written(earlier).map(|wrote| (earlier, wrote)),
        Start::Fresh | Start::Over(_) => None,
    };
    let believed = match wrote {
        Some((earlier, wrote)) => earlier::check(look, wrote, earlier)?,
        None => None,
    };
    if !look.origin.can_resume() {
        // The map that may be there is of another copy, and was seen above: it goes
        // away with what that has written, and only with it.
        let map_file = (leftovers == Leftovers::Restart).then_some(map_file);
        let left = Left { start, map_file };
        return Ok((left, Looked { writes_source, ..Looked::default() }));
    }
    map_file
        .check_writable()
        .map_err(|error| MapRefusal::CannotMake { path: map_file.path(), source: error })?;
    let journal = Journal {
        file: map_file.clone(),
        identity: identity(end.id()),
        of_the_user: start.map_of_the_user(),
        resumed: matches!(start, Start::Resume(_)),
        discards: matches!(start, Start::Over(_)),
    };
    let left = Left { start, map_file: Some(map_file) };
    let done = match end.mode() {
        // What is not wanted is there in a new file: it is a hole.
        Mode::New => left.done(),
        _ => left.done().common(&options.wanted(look.mapping.from())),
    };
    let nothing = (done.is_empty() && leftovers == Leftovers::Resume)
        .then(|| "nothing was left to resume: copied from the beginning".to_owned());
    let notes = nothing.into_iter().chain(believed).collect();
    Ok((left, Looked { done, journal: Some(journal), writes_source, notes }))
}

fn find_map(end: &dyn Resumable, options: &Options) -> Result<MapFile> {
    let path = options.map.clone().unwrap_or_else(|| end.footprint().map);
    let unusable = |error| MapRefusal::Unusable { path: path.clone(), reason: chain(&error) };
    Ok(MapFile::new(&path).map_err(unusable)?)
}

/// What makes this copy this copy, for the map: `id` is the object written.
fn identity(
    end: &dyn Resumable,
    look: &Look<'_>,
    writes_source: bool,
    id: Option<ObjectId>,
) -> Identity {
    let mode = end.mode();
    let kind = if mode == Mode::Device { FileKind::BlockDevice } else { FileKind::File };
    Identity {
        source: map::Source {
            may_change: look.options.allow_changed_source || writes_source,
            ..look.origin.identity()
        },
        range: look.mapping.from(),
        destination: map::Destination {
            path: absolute(end.footprint().path),
            offset: look.mapping.to().start(),
            kind: word(kind).to_owned(),
            mode,
            id,
        },
        list: look.options.only.as_ref().map(fingerprint),
    }
}

/// What tells one choice of ranges from another.
fn fingerprint(ranges: &RangeSet) -> String {
    let ends = ranges.iter().flat_map(|range| [range.start(), range.end()]);
    let bytes: Vec<u8> = ends.flat_map(u64::to_le_bytes).collect();
    digest::hash_slice(digest::Algorithm::Blake3, &bytes).to_string()
}

/// Refuses to resume a new file of which an earlier run wrote other ranges: what
/// they have and these do not would stay in it.
fn check_ranges(mode: Mode, start: &Start, map_file: &MapFile) -> Result<(), Refusal> {
    let (Mode::New, Start::Resume(earlier)) = (mode, start) else { return Ok(()) };
    match earlier.hints.iter().find(|hint| hint.field == "list") {
        Some(hint) => {
            let (path, what) = (map_file.path(), hint.to_string());
            Err(MapRefusal::Foreign { path, what, remedies: &[Remedy::Restart] }.into())
        }
        None => Ok(()),
    }
}

/// The refusal of an option that is for a file of its own.
///
/// # Errors
///
/// [`ErrorKind::Usage`].
pub(super) fn refuse_preserve(options: &Options) -> Result<()> {
    if options.preserve {
        let problem = "is for a whole file that is copied to a file of its own";
        return Err(ErrorKind::usage_of(&["preserve"], problem).into());
    }
    Ok(())
}

/// What is asked of the source and of a destination at `path` together.
pub(super) fn preflight<'a>(look: &Look<'a>, path: &'a std::path::Path) -> Preflight<'a> {
    Preflight {
        source: look.origin.file(),
        path,
        mapping: look.mapping,
        allow_same_device: look.options.allow_same_device,
    }
}

/// Bytes of storage that a new file with `layout` will need for certain.
pub(super) fn space_needed(look: &Look<'_>, layout: &Layout) -> u64 {
    match (look.options.preallocate, layout.sparse()) {
        (Preallocate::Full, _) => look.options.wanted(look.mapping.from()).bytes(),
        (_, Sparse::Always) => 0,
        _ => layout.data.bytes(),
    }
}

/// A refusal is no longer one where what an earlier run left is gone already.
pub(crate) fn too_late(error: Error) -> Error {
    match error.into_kind() {
        ErrorKind::Refused(source) => ErrorKind::Discarded { source }.into(),
        kind => kind.into(),
    }
}
