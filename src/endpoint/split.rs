//! A file that is kept in several: `NAME.001`, `NAME.002` and so on, all of one
//! length but the last.
//!
//! Each segment is staged as any new file is, and all of them have one map. None
//! gets its name before all are complete and on the disk, and the first gets its
//! name last: who finds `NAME.001` finds all (invariant I4). A set that is replaced
//! loses its first segment before any other is replaced. So at no time does one
//! begin with a first segment that the others do not belong to.
//!
//! The segments are as many as the range needs; of a stream, as many as come. A file that would be taken for one
//! more of them is refused, whatever it is: nobody says that it may be removed.

mod draft;
mod growing;
mod left;

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use self::draft::SplitDraft;
use self::growing::GrowingDraft;
use self::left::{Left, Set};
use super::resumable::{preflight, space_needed, too_late};
use super::source::absolute;
use super::{Abilities, Destination, Draft, End, Footprint, Journal, Look, Looked, Shape};
use crate::durable::map::{self, Identity, MapFile, Mode, ObjectId};
use crate::durable::previous::Start;
use crate::durable::previous::map_beside;
use crate::durable::stage::{self, Blank, Stage};
use crate::durable::target::{StagedTarget, no_name};
use crate::durable::trust::Examiner;
use crate::error::{ErrorKind, MapRefusal, Refusal, Result, Side, SplitRefusal, chain, quoted};
use crate::options::Options;
use crate::range::Segments;
use crate::report::{Kind, SegmentReport};
use crate::safety::roles::{Role, Roles};
use crate::safety::{check_length, check_space};
use crate::size::Size;
use crate::source::{copyable, sequence};
use crate::sparse::Layout;
use crate::sys::{self, FileKind};

/// Files that a job has open besides the segments, at most.
const SPARE_FILES: u64 = 64;

/// A file in several segments, looked at.
pub struct SplitDestination {
    /// The name without numbers.
    path: PathBuf,
    /// Length of a segment as the user has it.
    size: Size,
    force: bool,
    /// Whether its bytes come once: what a failed copy leaves is not resumed.
    once: bool,
    /// Found out by the look.
    set: Option<Set>,
    left: Left,
    map_file: Option<MapFile>,
}

impl SplitDestination {
    /// Segments of `size` of the file `path`, which `force` allows to be replaced.
    ///
    /// # Errors
    ///
    /// [`Refusal::NotCopyable`] if no number can follow the name.
    pub(super) fn new(path: PathBuf, size: Size, force: bool) -> Result<SplitDestination> {
        if path.file_name().is_none() {
            return Err(no_name(&path).into());
        }
        let (set, left, map_file) = (None, Left::Nothing, None);
        Ok(SplitDestination { path, size, force, once: false, set, left, map_file })
    }

    /// The segments that `look` needs.
    fn plan(&self, look: &Look<'_>) -> Result<Set> {
        let bytes = look.origin.bytes(self.size);
        let size = bytes.map_err(|error| ErrorKind::usage_of(&["split"], error.to_string()))?;
        if size == 0 {
            return Err(ErrorKind::usage_of(&["split"], "must be more than 0").into());
        }
        let segments = Segments::every(size, look.mapping.to().end());
        let most = most_segments();
        if segments.count() > most {
            let count = segments.count();
            let problem =
                format!("would make {count} files, and no more than {most} may be open at once");
            return Err(ErrorKind::usage_of(&["split"], problem).into());
        }
        let name = self.path.file_name().unwrap_or_default();
        let first = self.path.with_file_name(sequence::nth(name, 0));
        let mut targets = vec![StagedTarget::look_at(first, self.force)?];
        for number in 1..segments.count() {
            targets.push(targets[0].beside(sequence::nth(name, number))?);
        }
        for target in &targets {
            // A link is replaced, and not what it leads to.
            let node = target.existing.as_ref().map(|facts| facts.node);
            if let Some(node) = node.filter(|node| *node != FileKind::Link) {
                copyable(Side::Destination, &target.path, node)?;
            }
        }
        Ok(Set { path: self.path.clone(), size, segments, targets })
    }

    fn find_map(set: &Set, options: &Options) -> Result<MapFile> {
        // Not that of the name without numbers, which another destination may have.
        let beside = || map_beside(&set.first().path);
        let path = options.map.clone().unwrap_or_else(beside);
        let unusable = |error| MapRefusal::Unusable { path: path.clone(), reason: chain(&error) };
        Ok(MapFile::new(&path).map_err(unusable)?)
    }

    fn set(&self) -> &Set {
        self.set.as_ref().expect("a destination is looked at before anything else")
    }
}

/// All of them are open at once.
fn most_segments() -> u64 {
    sys::open_file_limit().saturating_sub(SPARE_FILES)
}

/// Refuses what has no meaning for segments.
fn check_options(options: &Options) -> Result<()> {
    let senseless: [(&'static [&'static str], &str, bool); 4] = [
        (&["split", "in_place"], "makes new files, and writes into none", options.in_place),
        (&["split", "to_device"], "makes files", options.to_device),
        (&["split", "preserve"], "makes several files of one", options.preserve),
        (
            &["split", "dest_offset"],
            "begins with the first byte of the first segment",
            options.dest_offset != Size::Bytes(0),
        ),
    ];
    match senseless.into_iter().find(|(.., given)| *given) {
        Some((options, problem, _)) => Err(ErrorKind::usage_of(options, problem).into()),
        None => Ok(()),
    }
}

/// What makes this copy this copy, for the map: `id` is the first segment.
fn identity(set: &Set, look: &Look<'_>, id: Option<ObjectId>) -> Identity {
    Identity {
        source: map::Source {
            may_change: look.options.allow_changed_source,
            ..look.origin.identity()
        },
        range: look.mapping.from(),
        destination: map::Destination {
            path: absolute(&set.path),
            offset: 0,
            // Segments of another length are of another copy.
            kind: format!("segments of {}", set.size),
            mode: Mode::New,
            id,
        },
        list: None,
    }
}

/// Refuses files in two roles: a piece that is read and written, say.
fn check_roles(set: &Set, look: &Look<'_>, map: (&Path, bool)) -> Result<(), Refusal> {
    let mut roles = Roles::default();
    if let Some(source) = look.origin.file() {
        roles.add_source(source)?;
    }
    set.footprints().try_for_each(|footprint| roles.add_footprint(&footprint))?;
    let (map, is_named) = map;
    roles.add(Role::Side, "the map of the copy", map).map_err(|clash| match is_named {
        false => clash.into(),
        true => MapRefusal::InTheWay { path: map.to_owned() }.into(),
    })
}

impl Destination for SplitDestination {
    fn path(&self) -> &Path {
        &self.path
    }

    fn kind(&self) -> Kind {
        Kind::File
    }

    fn abilities(&self) -> Abilities {
        Abilities::default().open_ended()
    }

    fn end(&self) -> End {
        let of_first = self.set.as_ref().map(|set| End::of_directory(&set.first().directory));
        // No call of the kernel writes to several files.
        End { rotational: of_first.and_then(|end| end.rotational), ..End::default() }
    }

    fn describe(&self) -> String {
        let name = quoted(&self.path);
        match &self.set {
            Some(set) => format!("{name} (in {} files)", set.targets.len()),
            None => name.to_string(),
        }
    }

    fn look(&mut self, look: &Look<'_>, examiner: &mut Examiner) -> Result<Looked> {
        check_options(look.options)?;
        self.once = look.origin.read_order().stream().is_some();
        let set = self.plan(look)?;
        let map_file = SplitDestination::find_map(&set, look.options)?;
        check_roles(&set, look, (&map_file.path(), look.options.map.is_some()))?;
        let found = left::find(&set, &map_file, look, examiner)?;
        set.check_alone(look.open_ended)?;
        map_file
            .check_writable()
            .map_err(|error| MapRefusal::CannotMake { path: map_file.path(), source: error })?;
        let mut notes = vec![if look.open_ended { set.says_first() } else { set.says() }];
        notes.extend(found.notes);
        self.left = found.left;
        let journal = Journal {
            file: map_file.clone(),
            identity: identity(&set, look, None),
            of_the_user: None,
            resumed: matches!(self.left, Left::Resumed(_)),
            discards: matches!(self.left, Left::Discarded(_)),
        };
        (self.set, self.map_file) = (Some(set), Some(map_file));
        // What comes once is not resumed.
        let journal = (!self.once).then_some(journal);
        Ok(Looked { done: found.done, journal, writes_source: false, notes })
    }

    fn check(&self, look: &Look<'_>) -> Result<()> {
        for (number, target) in self.set().targets.iter().enumerate() {
            preflight(look, &target.path).check_new_file(target)?;
            if !self.left.has_its_name(number) {
                target.check_replaceable().map_err(of_segment)?;
            }
        }
        Ok(())
    }

    fn check_room(&self, look: &Look<'_>, layout: &Layout, _may_share: bool) -> Result<()> {
        let set = self.set();
        let (path, directory) = (&set.first().path, &set.first().directory);
        let len = if look.open_ended { set.size } else { set.segments.range(0).len() };
        check_length(path, len, sys::longest_file(directory, len))?;
        if !look.options.ignore_space {
            let needed = space_needed(look, layout).saturating_sub(self.left.stored());
            check_space(path, needed, directory.available_space())?;
        }
        Ok(())
    }

    fn begin(self: Box<Self>, shape: &Shape<'_>) -> Result<Box<dyn Draft>> {
        let SplitDestination { set, left, map_file, once, .. } = *self;
        let set = set.expect("a destination is looked at before it begins");
        let map_file = map_file.filter(|_| shape.discards);
        // May take long, and what comes next was looked at just before.
        map_file.iter().for_each(MapFile::clear_temporaries);
        if !left.is_locked() {
            stage::check_no_part(set.first()).map_err(of_segment)?;
        }
        if let Some(map_file) = map_file.filter(|_| !matches!(left, Left::Resumed(_))) {
            // Before its parts are gone: a map without a part must never remain.
            map_file.remove().map_err(|error| Refusal::Other(error.to_string()))?;
        }
        if once {
            return Ok(Box::new(begin_growing(set, left, shape)?));
        }
        let Set { path, segments, targets, .. } = set;
        let discarded = matches!(left, Left::Discarded(_));
        let late = |error| if discarded { too_late(error) } else { error };
        targets.first().map_or(Ok(()), stage::check_renames).map_err(late)?;
        let mut stages: Vec<Stage> = Vec::new();
        let mut names = Vec::new();
        for (number, (target, start)) in targets.into_iter().zip(left.into_starts()?).enumerate() {
            let len = segments.range(number).len();
            let blank = Blank { len, open_ended: false, gaps: shape.gaps, like: None };
            names.push(draft::FinalName::of(&target));
            match begin_segment(target, blank, start) {
                Ok(stage) => stages.push(stage),
                Err(error) => {
                    stages.into_iter().for_each(Stage::discard);
                    return Err(late(error));
                }
            }
        }
        Ok(Box::new(SplitDraft::new(path, segments, stages, names)))
    }

    fn footprints(&self) -> Vec<Footprint<'_>> {
        self.set.iter().flat_map(Set::footprints).collect()
    }

    fn segments(&self) -> Vec<SegmentReport> {
        self.set.as_ref().map_or_else(Vec::new, Set::report)
    }
}

/// What a name that is taken means where a segment is to have it.
fn of_segment(refusal: Refusal) -> Refusal {
    match refusal {
        Refusal::Exists { path, .. } => SplitRefusal::SegmentExists { path }.into(),
        refusal => refusal,
    }
}

/// Begins a segment at `target`, as [`Stage::begin`].
fn begin_segment(target: StagedTarget, blank: Blank<'_>, start: Start) -> Result<Stage> {
    Stage::begin(target, blank, start).map_err(|error| match error.into_kind() {
        ErrorKind::Refused(refusal) => of_segment(refusal).into(),
        kind => kind.into(),
    })
}

/// Begins the first segment of a stream.
fn begin_growing(set: Set, left: Left, shape: &Shape<'_>) -> Result<GrowingDraft> {
    let Set { path, size, targets, .. } = set;
    let len = (!shape.open_ended).then(|| shape.mapping.to().end());
    let plan = growing::Plan { path, size, len, gaps: shape.gaps, most: most_segments() };
    let discarded = matches!(left, Left::Discarded(_));
    let start = left.for_a_stream().into_starts()?.next().unwrap_or(Start::Fresh);
    let mut targets = targets.into_iter();
    let first = targets.next().expect("there is always one segment");
    let begun = GrowingDraft::begin(plan, first, targets.collect(), start);
    begun.map_err(|error| if discarded { too_late(error) } else { error })
}

impl Set {
    fn footprints(&self) -> impl Iterator<Item = Footprint<'_>> {
        self.targets.iter().map(|target| Footprint {
            path: &target.path,
            facts: target.existing.as_ref(),
            staged: Some(target),
            // That of the first is the map of all.
            map: map_beside(&target.path),
        })
    }

    /// Refuses a file that would be taken for one more segment.
    fn check_alone(&self, open_ended: bool) -> Result<(), Refusal> {
        let first = self.first();
        let found = self.strangers(&first.directory, "");
        match found.into_iter().next() {
            None => Ok(()),
            Some(name) => {
                let path = first.path.with_file_name(name);
                let count = (!open_ended).then_some(self.targets.len());
                Err(SplitRefusal::OneMorePiece { path, count }.into())
            }
        }
    }

    /// Names in `directory` that end in `suffix` and look like that of a segment,
    /// and are none of those that there will be.
    fn strangers(&self, directory: &sys::Directory, suffix: &str) -> Vec<OsString> {
        strangers(directory, &self.path, self.segments.count(), suffix)
    }

    fn says(&self) -> String {
        let name = |target: &StagedTarget| quoted(&target.path).to_string();
        match &self.targets[..] {
            [] => String::new(),
            [only] => format!("in one file, {}", name(only)),
            [first, .., last] => {
                format!("in {} files, {} to {}", self.targets.len(), name(first), name(last))
            }
        }
    }

    fn says_first(&self) -> String {
        format!("in files of {}, {} first", self.size, quoted(&self.first().path))
    }

    fn report(&self) -> Vec<SegmentReport> {
        let report = |(number, target): (usize, &StagedTarget)| SegmentReport {
            path: target.path.clone(),
            range: self.segments.range(number),
        };
        self.targets.iter().enumerate().map(report).collect()
    }
}

/// Names in `directory` that look like that of a segment of the file `path`, which
/// has `count` segments, and are none of those.
fn strangers(directory: &sys::Directory, path: &Path, count: u64, suffix: &str) -> Vec<OsString> {
    let base = path.file_name().unwrap_or_default();
    let wished = |name: &OsStr| {
        let bytes = sys::bytes_of(name);
        let number = bytes
            .strip_suffix(suffix.as_bytes())
            .and_then(|rest| rest.strip_prefix(&sys::bytes_of(base)[..])?.strip_prefix(b"."));
        number.is_some_and(|digits| is_number(digits) && !is_one_of(digits, count))
    };
    // A folder that cannot be read shows nothing.
    let mut names = directory.names(wished).unwrap_or_default();
    names.sort();
    names
}

/// Whether it is what [`sequence::nth`] may make.
fn is_number(digits: &[u8]) -> bool {
    let is_wide = digits.len() > 3 && digits[0] != b'0';
    (digits.len() == 3 || is_wide) && digits.len() < 9 && digits.iter().all(u8::is_ascii_digit)
}

/// Whether `digits`, counted from 1, are those of one of `count` segments.
fn is_one_of(digits: &[u8], count: u64) -> bool {
    let number = String::from_utf8_lossy(digits).parse().unwrap_or(0);
    (1..=count).contains(&number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_one_more_segment() {
        let folder = tempfile::tempdir().expect("a folder");
        let names = [
            "d.000",
            "d.001",
            "d.002",
            "d.003",
            "d.1000",
            "d.01",
            "d.0001",
            "d.003x",
            "e.009",
            "d.009.pcopy-part",
            "d.002.pcopy-part",
            "d.x",
        ];
        for name in names {
            std::fs::write(folder.path().join(name), b"").expect("a file");
        }
        let directory = sys::Directory::open(folder.path()).expect("a folder");
        let check = |count, suffix, want: &[&str]| {
            assert_eq!(strangers(&directory, Path::new("x/d"), count, suffix), want, "{count}");
        };
        check(2, "", &["d.000", "d.003", "d.1000"]);
        check(3, "", &["d.000", "d.1000"]);
        check(2, ".pcopy-part", &["d.009.pcopy-part"]);
        check(1, ".pcopy-part", &["d.002.pcopy-part", "d.009.pcopy-part"]);
    }
}
