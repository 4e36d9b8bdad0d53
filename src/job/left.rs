//! What an earlier run left of a copy: looked for before the first byte, and
//! taken from the work where it is resumed.

use super::CopyJob;
use super::ready::identity;
use crate::durable::map::MapFile;
use crate::durable::previous::{self, Leftovers, Start};
use crate::durable::target::Target;
use crate::durable::trust::Examiner;
use crate::error::{Refusal, Result, chain};
use crate::range::{ByteRange, RangeSet};
use crate::safety::roles;
use crate::source::OpenSource;

impl CopyJob {
    pub(super) fn map_file(&self, target: &Target) -> Result<MapFile> {
        let path = self.options.map.clone().unwrap_or_else(|| previous::default_map_path(target));
        let unusable = |error| Refusal::BadMap { path: path.clone(), reason: chain(&error) };
        Ok(MapFile::new(&path).map_err(unusable)?)
    }

    /// Where the map lives, and what an earlier run left to go on from.
    pub(super) fn look_for_leftovers(
        &self,
        (source, target): (&OpenSource, &Target),
        (from, to): (ByteRange, ByteRange),
        examiner: &mut Examiner,
    ) -> Result<(MapFile, Start)> {
        let map_file = self.map_file(target)?;
        roles::check_map_is_apart((&map_file.path(), self.options.map.is_some()), source, target)?;
        let identity = |id| identity(self, source, target, from, to, id);
        let start =
            previous::find(target, &map_file, (self.options.leftovers, examiner), identity)?;
        // Verifying finds all of it in a part, which is nobody else's; what may be
        // is never written before somebody has looked.
        let is_verified =
            (self.options.verify || self.options.repair) && matches!(target, Target::Staged(_));
        if let Start::Resume(earlier) = &start
            && !(is_verified || self.options.allow_changed_source)
        {
            let done = earlier.map.done.within(from);
            let to = |part: ByteRange| part.rebase(from.start(), to.start());
            earlier.check_is_there(&*source.io, target, &done, to)?;
        }
        map_file
            .check_writable()
            .map_err(|error| Refusal::NoMap { path: map_file.path(), source: error })?;
        Ok((map_file, start))
    }

    /// Says so where the user expects that something was done already.
    pub(super) fn nothing_to_resume(&self, start: &Start) -> Option<String> {
        let is_empty = match start {
            Start::Resume(earlier) => earlier.map.done.is_empty(),
            Start::Fresh | Start::Over(_) => true,
        };
        (is_empty && self.options.leftovers == Leftovers::Resume)
            .then(|| "nothing was left to go on from: copied from the beginning".to_owned())
    }
}

/// What of `from` is still to be done, and how much of its `data` an earlier
/// run copied. What must be made a hole is added to `holes`.
pub fn what_is_left(
    from: ByteRange,
    data: &RangeSet,
    holes: &mut RangeSet,
    start: &Start,
) -> (RangeSet, u64) {
    let mut todo = data.clone();
    let Start::Resume(earlier) = start else { return (todo, 0) };
    todo.subtract(&earlier.map.done);
    let resumed = data.bytes() - todo.bytes();
    // Holes need no work, unless the earlier run found other bytes there.
    let mut spoilt = data.missing_from(from);
    spoilt.subtract(&earlier.map.done);
    todo.merge(&spoilt);
    holes.merge(&spoilt);
    (todo, resumed)
}
