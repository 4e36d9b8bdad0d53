//! What an earlier run left of a file in several segments: their parts, those that
//! have got their names already, and the map of all of them.
//!
//! A run that was ended while it gave the names leaves some segments under theirs
//! and the others as parts. One under its name is taken for ours if what the map
//! calls done is in it, or, where the map tells nothing of it, all that should be.
//! Nothing is changed here.

use std::ffi::OsString;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use super::{Look, identity};
use crate::durable::map::{Difference, Map, MapFile};
use crate::durable::part::Ours;
use crate::durable::previous::{self, LITTLE, Leftovers, Previous, Start};
use crate::durable::recheck::{self, Belief, Sides};
use crate::durable::side;
use crate::durable::stage;
use crate::durable::target::{PART_SUFFIX, StagedTarget};
use crate::durable::trust::{Examiner, Purpose};
use crate::error::{ErrorKind, MapRefusal, Refusal, Remedy, Result, chain, quoted};
use crate::io::Pieces;
use crate::range::{ByteRange, RangeSet, Segments};
use crate::sys::{self, Directory, FileKind, Metadata};

/// The segments that there will be.
pub struct Set {
    /// The name without numbers.
    pub path: PathBuf,
    /// Bytes in each but the last.
    pub size: u64,
    pub segments: Segments,
    /// New files, one for each.
    pub targets: Vec<StagedTarget>,
}

impl Set {
    /// Where the first is to be.
    pub fn first(&self) -> &StagedTarget {
        &self.targets[0]
    }

    fn staged(&self, number: usize) -> &StagedTarget {
        &self.targets[number]
    }

    fn count(&self) -> usize {
        self.targets.len()
    }
}

/// A file of an earlier run, open and locked.
pub struct Segment {
    file: File,
    facts: Metadata,
    /// Whether it has its name.
    named: bool,
}

/// What an earlier run left.
pub enum Left {
    /// Nothing that matters.
    Nothing,
    /// Parts that are discarded when the job begins.
    Discarded(Vec<Part>),
    /// Segments that are resumed, where there are any.
    Resumed(Vec<Option<Segment>>),
}

/// A part that is to be discarded.
pub struct Part {
    directory: Arc<Directory>,
    name: OsString,
    path: PathBuf,
    file: File,
    facts: Metadata,
    /// The segment that takes its place, if one does.
    number: Option<usize>,
}

impl Left {
    /// Whether segment `number` has got its name by an earlier run.
    pub fn has_its_name(&self, number: usize) -> bool {
        let Left::Resumed(segments) = self else { return false };
        segments[number].as_ref().is_some_and(|segment| segment.named)
    }

    /// Whether some of it is open and locked, which keeps other runs away.
    pub fn is_locked(&self) -> bool {
        match self {
            Left::Nothing => false,
            Left::Discarded(parts) => !parts.is_empty(),
            Left::Resumed(segments) => segments.iter().any(Option::is_some),
        }
    }

    /// Bytes of storage that it takes.
    pub fn stored(&self) -> u64 {
        match self {
            Left::Nothing => 0,
            Left::Discarded(parts) => parts.iter().map(|part| part.facts.allocated).sum(),
            Left::Resumed(segments) => {
                segments.iter().flatten().map(|segment| segment.facts.allocated).sum()
            }
        }
    }

    /// The same where segments are begun as they come: only the first takes the place
    /// of its part, and the other parts are removed.
    pub fn for_a_stream(self) -> Left {
        let only_first = |part: Part| Part { number: part.number.filter(|n| *n == 0), ..part };
        match self {
            Left::Discarded(parts) => Left::Discarded(parts.into_iter().map(only_first).collect()),
            left => left,
        }
    }

    /// Where each segment begins. Parts of which none takes the place are removed.
    ///
    /// # Errors
    ///
    /// If one cannot be removed.
    pub fn into_starts(self) -> Result<Box<dyn Iterator<Item = Start>>> {
        let parts = match self {
            Left::Nothing => Vec::new(),
            Left::Discarded(parts) => parts,
            Left::Resumed(segments) => {
                return Ok(Box::new(segments.into_iter().map(|segment| match segment {
                    None => Start::Fresh,
                    Some(Segment { file, facts, named }) => Start::Resume(Box::new(Previous {
                        map: Map::default(),
                        file: Some((file, facts)),
                        committed: named,
                        hints: Vec::new(),
                    })),
                })));
            }
        };
        let mut starts = std::collections::BTreeMap::new();
        for part in parts {
            match part.number {
                Some(number) => drop(starts.insert(number, Start::Over(Some(part.file)))),
                None => {
                    let ours = Ours { file: &part.file, facts: &part.facts };
                    side::remove(&part.directory, &part.name, ours).map_err(|source| {
                        ErrorKind::Destination { step: "remove", path: part.path.clone(), source }
                    })?;
                }
            }
        }
        Ok(Box::new((0..).map(move |number| starts.remove(&number).unwrap_or(Start::Over(None)))))
    }
}

/// What was found.
pub struct Found {
    pub left: Left,
    /// In bytes of the source.
    pub done: RangeSet,
    pub notes: Vec<String>,
}

impl Found {
    fn nothing_of(left: Left) -> Found {
        Found { left, done: RangeSet::new(), notes: Vec::new() }
    }
}

/// Finds out where the job begins.
///
/// # Errors
///
/// A [`Refusal`]: something was left and the user did not say what to do with it,
/// it is another run's, another job's or another user's, or it is not usable.
pub fn find(
    set: &Set,
    map_file: &MapFile,
    look: &Look<'_>,
    examiner: &mut Examiner,
) -> Result<Found> {
    let purpose = match look.options.leftovers {
        Leftovers::Resume => Purpose::Write,
        Leftovers::Refuse | Leftovers::Restart => Purpose::Discard,
    };
    let parts = parts(set, purpose, examiner)?;
    match look.options.leftovers {
        Leftovers::Refuse => match parts.into_iter().next() {
            Some(part) => Err(Refusal::Leftover { resumable: true, path: part.path }.into()),
            None => {
                previous::check_no_map_alone(map_file, examiner, |examiner| {
                    let mut targets = (0..set.count()).map(|number| set.staged(number));
                    let free = targets
                        .try_for_each(|one| previous::check_not_begun(one, purpose, examiner));
                    free.map_err(super::of_segment)
                })?;
                Ok(Found::nothing_of(Left::Nothing))
            }
        },
        Leftovers::Restart => {
            let has_map = previous::check_discardable(map_file, examiner)?;
            Ok(Found::nothing_of(match has_map || !parts.is_empty() {
                true => Left::Discarded(parts),
                false => Left::Nothing,
            }))
        }
        Leftovers::Resume => {
            let map = previous::load(map_file, examiner)?;
            Resume { set, map_file, look }.from(map, parts)
        }
    }
}

/// Every part there is, of a segment that there will be or not.
fn parts(set: &Set, purpose: Purpose, examiner: &mut Examiner) -> Result<Vec<Part>, Refusal> {
    let mut parts = Vec::new();
    let mut open = |target: &StagedTarget, number| {
        if let Some((file, facts)) = previous::open_part(target, purpose, examiner)? {
            let (name, path) = (target.part_name(), target.part_path());
            let directory = Arc::clone(&target.directory);
            parts.push(Part { directory, name, path, file, facts, number });
        }
        Ok::<_, Refusal>(())
    };
    for number in 0..set.count() {
        open(set.staged(number), Some(number))?;
    }
    let first = set.first();
    for name in set.strangers(&first.directory, PART_SUFFIX) {
        let bytes = sys::bytes_of(&name);
        let stem = bytes.strip_suffix(PART_SUFFIX.as_bytes()).map(<[u8]>::to_vec);
        if let Some(name) = stem.and_then(sys::os_string) {
            open(&first.beside(name)?, None)?;
        }
    }
    Ok(parts)
}

/// What is needed to resume.
struct Resume<'a> {
    set: &'a Set,
    map_file: &'a MapFile,
    look: &'a Look<'a>,
}

impl Resume<'_> {
    fn from(&self, map: Option<Map>, parts: Vec<Part>) -> Result<Found> {
        let Some(map) = map else {
            // The run ended before anything was known to be on the disk.
            return self.over(parts, &format!("there is no {}", quoted(self.map_file.path())));
        };
        if map.identity.is_none() {
            let (path, remedies) = (self.map_file.path(), &[Remedy::InPlaceAsInTheMap]);
            return Err(MapRefusal::Alien { path, remedies }.into());
        }
        let mut segments: Vec<Option<Segment>> = (0..self.set.count()).map(|_| None).collect();
        let mut others = Vec::new();
        for part in parts {
            match part.number {
                Some(number) => {
                    let Part { file, facts, .. } = part;
                    segments[number] = Some(Segment { file, facts, named: false });
                }
                None => others.push(part),
            }
        }
        // Before any byte is compared: it may be of another job.
        previous::compare(&map, self.map_file, &identity(self.set, self.look, None))?;
        let mut done = map.done.within(self.look.mapping.from());
        self.find_named(&mut segments, &mut done)?;
        let first = segments[0].as_ref().map(|first| previous::object_id(&first.facts, None));
        let hints = previous::compare(&map, self.map_file, &identity(self.set, self.look, first))?;
        if let Some(part) = others.into_iter().next() {
            // Of segments that the map does not know.
            return Err(Refusal::Leftover { resumable: true, path: part.path }.into());
        }
        self.check_lengths(&segments, &done)?;
        if done.is_empty() && hints.iter().any(previous::is_of_part) {
            // Nothing shows that they are the parts of this map.
            let parts = segments.into_iter().enumerate().filter_map(|(n, s)| self.part(n, s?));
            return self.over(parts.collect(), "they are other files than the map speaks of");
        }
        let notes = self.compare(&segments, &done, &hints)?.into_iter().collect();
        Ok(Found { left: Left::Resumed(segments), done, notes })
    }

    fn part(&self, number: usize, segment: Segment) -> Option<Part> {
        let target = self.set.staged(number);
        let (name, path) = (target.part_name(), target.part_path());
        let directory = Arc::clone(&target.directory);
        let Segment { file, facts, named } = segment;
        (!named).then_some(Part { directory, name, path, file, facts, number: Some(number) })
    }

    /// Starts over parts that hold next to nothing.
    fn over(&self, parts: Vec<Part>, because: &str) -> Result<Found> {
        let held = |part: &Part| recheck::data_up_to(&part.file, &part.facts, LITTLE);
        if parts.iter().map(held).sum::<u64>() > LITTLE {
            let parts = quoted(&parts[0].path);
            let reason = format!("{parts} and others hold more than {LITTLE} bytes, and {because}");
            let remedies = &[Remedy::SameMap, Remedy::Restart];
            return Err(Refusal::NothingToResume { reason, remedies }.into());
        }
        if parts.is_empty() {
            let mut found = Found::nothing_of(Left::Nothing);
            found.notes.push("nothing was left to resume: copied from the beginning".to_owned());
            return Ok(found);
        }
        Ok(Found::nothing_of(Left::Discarded(parts)))
    }

    /// Finds the segments that have got their names, and adds what they hold to what
    /// is `done`.
    fn find_named(&self, segments: &mut [Option<Segment>], done: &mut RangeSet) -> Result<()> {
        for (number, segment) in segments.iter_mut().enumerate() {
            if segment.is_some() {
                continue;
            }
            let target = self.set.staged(number);
            let place = self.set.segments.range(number);
            let is_whole = target.existing.as_ref().is_some_and(|facts| {
                facts.node == FileKind::File && facts.size == place.len() && facts.size > 0
            });
            if !is_whole {
                continue;
            }
            let found = previous::open_locked(target, &target.name, &target.path)?;
            let Some((file, facts)) = found else { continue };
            let all = self.look.mapping.to_source(place);
            let known = done.within(all);
            let wanted = if known.is_empty() { all.into() } else { known };
            if self.holds(&file, place, &wanted)? {
                done.merge(&wanted);
                *segment = Some(Segment { file, facts, named: true });
            }
        }
        Ok(())
    }

    /// Whether `file`, the segment at `place`, holds `wanted` of the source.
    fn holds(&self, file: &File, place: ByteRange, wanted: &RangeSet) -> Result<bool> {
        let mapping = self.look.mapping;
        let to = |part: ByteRange| mapping.to_destination(part).rebase(place.start(), 0);
        let source = self.look.origin.source();
        let sides = Sides { source: &*source, destination: file, done: wanted, to };
        let differs = sides.first_of_all(self.look.watch.cancel);
        if self.look.watch.cancel.is_cancelled() {
            return Err(ErrorKind::Cancelled.into());
        }
        // What cannot be read proves nothing.
        Ok(matches!(differs, Ok(None)))
    }

    /// Refuses where the run of the map is alive, or has just ended: then it is not known
    /// when the parts were looked at.
    fn check_ended(&self, target: &StagedTarget) -> Result<(), Refusal> {
        stage::check_no_part(target).map_err(super::of_segment)?;
        match self.map_file.load() {
            Ok(None) => Err(Refusal::Busy { path: target.path.clone() }),
            _ => Ok(()),
        }
    }

    /// A file that ends before what is done was cut by somebody else, and one that is
    /// gone has none of it.
    fn check_lengths(&self, segments: &[Option<Segment>], done: &RangeSet) -> Result<(), Refusal> {
        for (number, segment) in segments.iter().enumerate() {
            let place = self.set.segments.range(number);
            let here = done.within(self.look.mapping.to_source(place));
            let Some(last) = here.as_slice().last() else { continue };
            let end = self.look.mapping.to_destination(*last).end() - place.start();
            let target = self.set.staged(number);
            let reason = match segment {
                None => {
                    self.check_ended(target)?;
                    format!("{} is gone", quoted(target.part_path()))
                }
                Some(segment) if segment.facts.size < end => format!(
                    "{} has {} bytes, and the map says that {end} were written",
                    quoted(target.part_path()),
                    segment.facts.size
                ),
                Some(_) => continue,
            };
            return Err(Refusal::NothingToResume { reason, remedies: &[Remedy::Restart] });
        }
        Ok(())
    }

    /// Makes sure that the parts hold what is done, as far as is necessary to
    /// believe the map. Returns what is to be said of it.
    fn compare(
        &self,
        segments: &[Option<Segment>],
        done: &RangeSet,
        hints: &[Difference],
    ) -> Result<Option<String>> {
        let options = self.look.options;
        if done.is_empty() || options.allow_changed_source || hints.is_empty() && options.verifies()
        {
            return Ok(None);
        }
        let files = segments.iter().map(|segment| segment.as_ref().map(|found| &found.file));
        let there = Pieces::new(&self.set.segments, files.collect());
        let (mapping, source) = (self.look.mapping, self.look.origin.source());
        let to = |part: ByteRange| Some(mapping.to_destination(part));
        let sides = Sides { source: &*source, destination: &there, done, to };
        let said: Vec<String> = hints.iter().map(Difference::what).collect();
        let differs = |offset| Refusal::NotWhatWasCopied {
            source_path: self.look.origin.path().to_owned(),
            path: self.set.path.clone(),
            offset,
            hints: said.clone(),
        };
        let note = |then: &str| {
            let said = said.join(", ");
            (!said.is_empty()).then(|| format!("the map has another {said}; {then}"))
        };
        let evidence = hints.iter().map(|hint| hint.evidence).max();
        match sides.believe(evidence) {
            Belief::Refuted(offset) => Err(differs(offset).into()),
            Belief::Believed => {
                Ok(note("places of what it calls done were compared, and are the same"))
            }
            Belief::Doubted(_) => {
                let first = sides.first_of_all(self.look.watch.cancel).map_err(|error| {
                    Refusal::NothingToCompare {
                        source_path: self.look.origin.path().to_owned(),
                        path: self.set.path.clone(),
                        reason: chain(&error),
                        hints: said.clone(),
                    }
                })?;
                if self.look.watch.cancel.is_cancelled() {
                    return Err(ErrorKind::Cancelled.into());
                }
                match first {
                    Some(offset) => Err(differs(offset).into()),
                    None => Ok(note(&format!(
                        "all {} bytes that it calls done are the same",
                        done.bytes()
                    ))),
                }
            }
        }
    }
}
