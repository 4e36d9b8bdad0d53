//! From a request to a task: ends are looked at, what must not be done is
//! refused, the range is cut into stripes, an engine is chosen. Nothing is
//! written.

use std::sync::Arc;

use super::ahead;
use super::branch::Branch;
use super::only_changed;
use super::sizes::sizes;
use super::stated::{self, stated};
use super::stream::{self, Stream};
use crate::digest::{Algorithm, Digester, Expectation};
use crate::durable::trust::Examiner;
use crate::endpoint::{Destination, Look, Origin};
use crate::engine::capabilities::Between;
use crate::engine::{self, Capabilities, EngineChoice, Preferences, Reflink, Selection};
use crate::error::{ErrorKind, Refusal, Result};
use crate::io::only_changed::Room;
use crate::options::Options;
use crate::plan::Plan;
use crate::pool::controller::Workers;
use crate::progress::{Event, Phase, Progress, Watch};
use crate::range::{ByteRange, Mapping, RangeSet};
use crate::safety::{protection, roles};
use crate::sparse::{Layout, Preallocate, Sparse};

/// What is asked for: both ends open, nothing looked at.
pub struct Request<'a> {
    pub origin: Arc<dyn Origin>,
    /// At least one.
    pub destinations: Vec<Box<dyn Destination>>,
    pub options: &'a Options,
    /// The range that this one is a part of, if others copy the rest of it: digests
    /// are then parts of those of the whole.
    pub part_of: Option<ByteRange>,
}

/// A copy that has passed every check.
pub struct Task<'a> {
    pub options: &'a Options,
    pub origin: Arc<dyn Origin>,
    pub mapping: Mapping,
    /// Whether a range beyond the end of the source was cut to what exists.
    pub clamped: bool,
    /// Whether the source may end before the mapping does, which is as long as it
    /// can be until then.
    pub open_ended: bool,
    pub branches: Vec<Branch>,
    pub plan: Arc<Plan>,
    /// Bytes of the range that are to be in the destination.
    pub wanted: RangeSet,
    /// Bytes of the range that need no work: done earlier, or holes.
    pub settled: RangeSet,
    /// Holes that must be made in what is there already.
    pub holes: RangeSet,
    /// Holes of the source that the destinations have too.
    pub kept_holes: RangeSet,
    /// Length of the range that was asked for, once it is known.
    pub requested: Option<u64>,
    /// Bytes to be moved.
    pub bytes: u64,
    /// Bytes that an earlier run moved.
    pub resumed: u64,
    /// What becomes of zeros.
    pub sparse: Sparse,
    /// What is computed while the bytes pass.
    pub digests: Vec<Algorithm>,
    /// Digests that the keeper of the source states.
    pub stated: Vec<Expectation>,
    /// The range of which they are parts, where this one is only a part of it.
    pub part_of: Option<ByteRange>,
    /// Lengths of the pieces that have digests of their own.
    pub digest_pieces: Vec<u64>,
    pub selection: Selection,
    pub workers: Workers,
    /// Longest request in bytes.
    pub io_size: u64,
    /// How much of it a worker has in memory, in bytes.
    pub buffer_size: u64,
    /// Longest stripe in bytes.
    pub stripe_size: u64,
    /// What is written is a part of the source, outside the range that is read.
    pub writes_source: bool,
    /// Length of the only destination, where it was there before, in bytes.
    pub standing: Option<u64>,
    /// Memory to compare in, where only what differs is written.
    pub room: Option<Arc<Room>>,
    /// Whether storage is reserved for what will be written.
    pub reservation: Preallocate,
    /// Whether everything stays in the page cache.
    pub keep_cache: bool,
    pub notes: Vec<String>,
}

/// What a task is made for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    /// To be told.
    Plan,
    /// To be done, once what must be known of the source is known.
    Copy,
}

/// Opens, looks, refuses, plans.
///
/// # Errors
///
/// Whatever must not be done.
pub fn resolve<'a>(request: Request<'a>, purpose: Purpose, watch: Watch<'_>) -> Result<Task<'a>> {
    watch.progress.enter(Phase::Preparing);
    let Request { origin, destinations, options, part_of } = request;
    options.check()?;
    if options.require_read_only {
        protection::check(origin.file(), origin.path())?;
    }
    origin.listen_to(watch.cancel);
    origin.will_read_in_sequence();
    let mut branches: Vec<Branch> = destinations.into_iter().map(Branch::new).collect();
    let (from, clamped) = origin.resolve(&options.range, options.clamp)?;
    let stream = Stream::of(&*origin, options);
    stream.check(&*origin, &branches, options)?;
    check_abilities(&*origin, &branches, options)?;
    let mapping = map(&*origin, &branches[0], from, stream.open_ended, options)?;
    let (from, certain) = (mapping.from(), stream.certain(mapping));
    let open_ended = stream.open_ended;
    let plans_only = purpose == Purpose::Plan;
    let look = Look { origin: &*origin, mapping: certain, open_ended, options, plans_only, watch };
    let mut examiner = Examiner::new(options.trust);
    let (mut notes, mut writes_source) = (Vec::new(), false);
    for branch in &mut branches {
        let Some(destination) = &mut branch.destination else { continue };
        let looked = destination.look(&look, &mut examiner);
        let looked = looked.map_err(|error| stream.without_resume(error))?;
        let is_resumed = looked.journal.as_ref().is_some_and(|journal| journal.resumed);
        branch.resumed = is_resumed || !looked.done.is_empty();
        (branch.done, branch.journal) = (looked.done, looked.journal);
        writes_source |= looked.writes_source;
        notes.extend(looked.notes);
        branch.report.segments = destination.segments();
        branch.look_at_existing(options, origin.read_order().stream().is_some())?;
    }
    check_distinct(&*origin, &branches)?;
    let wanted = options.wanted(from);
    let layout = layout(&*origin, &branches, from, options.sparse).only(&wanted);
    let bytes = Bytes::of(&layout, &branches, from, &wanted);
    for branch in &branches {
        branch.destination.as_ref().map_or(Ok(()), |destination| destination.check(&look))?;
    }
    let choice = Choice { origin: &*origin, branches: &branches, mapping, options };
    let (selection, sparse) = choice.select(&layout, bytes.todo.bytes())?;
    let may_share = selection.may_share();
    let room = if stream.open_ended {
        Layout::whole(certain.from(), layout.asked)
    } else {
        layout.clone()
    };
    ahead::check_parts(&options.expected_in, stream.seen(from, &wanted))?;
    check_room(&mut branches, &look, &room, may_share)?;
    let (selection, sparse) = match purpose {
        // A stream is looked at as it comes.
        Purpose::Copy if !options.expected_in.is_empty() && !stream.once => {
            ahead::check(&*origin, options, watch)?;
            // What was read is in memory now, which may make another one the best.
            let choice = Choice { origin: &*origin, branches: &branches, mapping, options };
            choice.select(&layout, bytes.todo.bytes())?
        }
        _ => (selection, sparse),
    };
    let mut digests = options.wanted_digests();
    let stated = match (purpose, part_of) {
        (Purpose::Copy, None) if !open_ended => stated(&*origin, from, options, &digests),
        _ => Vec::new(),
    };
    digests.extend(stated.iter().map(Expectation::algorithm));
    digests.sort_unstable();
    digests.dedup();
    let sizes = sizes(&selection, &*origin, &branches, bytes.todo.bytes(), &digests, options)?;

    // For a digest also what need not be moved is seen.
    let seen = if digests.is_empty() { bytes.todo.clone() } else { from.into() };
    // Stripe edges are aligned in the destination: there, two workers in one
    // block would wait for each other.
    let plan = Plan::new(&seen, mapping.grid(), sizes.stripe);
    let mut all_notes: Vec<String> =
        origin.note().into_iter().chain(layout.note(origin.path())).collect();
    all_notes.extend(origin.who_may_write(from));
    all_notes.extend(stated::note(&*origin, &stated));
    all_notes.extend(notes);
    all_notes.extend(options.threads.note_fewer(sizes.workers, sizes.buffer));
    all_notes.extend(examiner.into_notes());
    let task = Task {
        options,
        mapping,
        clamped,
        open_ended,
        requested: (!open_ended).then_some(wanted.bytes()),
        plan: Arc::new(plan),
        settled: bytes.todo.missing_from(from),
        wanted,
        holes: bytes.holes,
        kept_holes: bytes.kept_holes,
        bytes: bytes.todo.bytes(),
        resumed: bytes.resumed,
        sparse,
        digests,
        stated,
        part_of,
        digest_pieces: options
            .digest_pieces(origin.sector(), (!open_ended).then_some(from.len()))?,
        selection,
        workers: sizes.workers,
        io_size: sizes.request,
        buffer_size: sizes.buffer,
        stripe_size: sizes.stripe,
        writes_source,
        standing: standing(&branches),
        room: options.only_changed.then(|| Room::new(sizes.workers.most(), sizes.buffer)),
        reservation: options.reservation(sparse),
        keep_cache: options.keep_cache,
        notes: all_notes,
        origin,
        branches,
    };
    watch.progress.expect(task.requested.map(|_| task.bytes), task.resumed);
    if !task.open_ended {
        watch.progress.lay_out(from, &task.settled, &task.wanted);
    }
    Ok(task)
}

impl Task<'_> {
    /// Whether there is one destination, whose failure is that of the copy.
    pub fn is_alone(&self) -> bool {
        self.branches.len() == 1
    }

    /// Whether nothing was there before at any destination.
    pub fn is_new(&self) -> bool {
        self.branches.iter().all(|branch| branch.abilities.is_new)
    }

    /// Whether bytes have to arrive in order.
    pub fn is_ordered(&self) -> bool {
        self.branches.iter().any(|branch| branch.abilities.ordered)
    }

    /// Computes the digests of the range, and those of its pieces.
    pub fn digester(&self) -> Digester {
        match self.open_ended {
            true => Digester::open_ended(&self.digests, self.mapping.from().start()),
            false => match self.part_of {
                Some(whole) => Digester::part(&self.digests, self.mapping.from(), whole),
                None => Digester::new(&self.digests, self.mapping.from()),
            },
        }
        .with_pieces(&self.digest_pieces)
    }

    /// Whether what is read comes once, in order.
    pub fn reads_once(&self) -> bool {
        self.origin.read_order().stream().is_some()
    }

    /// Tells a watcher what will be done.
    pub fn announce(&self, progress: &Progress) {
        for branch in self.branches.iter().filter(|branch| branch.is_alive()) {
            progress.event(Event::Planned {
                path: branch.path().to_owned(),
                destination: branch.destination.as_ref().map_or_else(String::new, |d| d.describe()),
                engine: self.selection.name(),
                reason: self.selection.reason.clone(),
            });
        }
    }
}

/// What is refused of destinations before each is looked at: what they cannot do
/// by their kind, and what several of them cannot do together.
fn check_abilities(origin: &dyn Origin, branches: &[Branch], options: &Options) -> Result<()> {
    let unreadable = |branch: &&Branch| !branch.abilities.reads_back && !branch.abilities.ordered;
    if let Some(branch) = branches.iter().find(unreadable).filter(|_| options.verifies()) {
        let name = crate::error::quoted(branch.path());
        let why = if branch.abilities.sealed {
            "shows nothing before it is complete"
        } else {
            "keeps nothing"
        };
        let problem = format!("reads the destination back, and {name} {why}");
        return Err(ErrorKind::usage_of(&["verify"], problem).into());
    }
    only_changed::check(branches, options)?;
    if options.only.is_some() && branches.iter().any(|branch| branch.abilities.ordered) {
        let problem = "is for destinations that take bytes at any offset";
        return Err(ErrorKind::usage_of(&["only"], problem).into());
    }
    if branches.len() == 1 {
        return Ok(());
    }
    let cannot: [(&'static [&'static str], &str, bool); 3] = [
        (&["engine", "also"], "can only be positioned", !options.engine.may_be("positioned")),
        (
            &["reflink", "also"],
            "cannot be always: extents are shared by one at a time",
            options.reflink == Reflink::Always,
        ),
        (
            &["map", "also"],
            "has no meaning: each destination has a map of its own",
            options.map.is_some(),
        ),
    ];
    if let Some((options, problem, _)) = cannot.into_iter().find(|(.., given)| *given) {
        return Err(ErrorKind::usage_of(options, problem).into());
    }
    if let Some(branch) = branches.iter().find(|branch| branch.abilities.ordered) {
        let name = crate::error::quoted(branch.path());
        let problem = format!("is for destinations that keep what is written, unlike {name}");
        return Err(ErrorKind::usage_of(&["also"], problem).into());
    }
    check_distinct(origin, branches)
}

/// Refuses one file for several destinations.
fn check_distinct(origin: &dyn Origin, branches: &[Branch]) -> Result<()> {
    if branches.len() == 1 {
        return Ok(());
    }
    let destinations = branches.iter().filter_map(|branch| branch.destination.as_ref());
    let files: Vec<_> = destinations.flat_map(|destination| destination.footprints()).collect();
    Ok(roles::check_distinct(origin.file(), &files)?)
}

/// Where `from` goes: to the same place of every destination.
fn map(
    origin: &dyn Origin,
    first: &Branch,
    from: ByteRange,
    open_ended: bool,
    options: &Options,
) -> Result<Mapping, Refusal> {
    let too_far = || Refusal::TooFar { path: first.path().to_owned() };
    let offset = origin.bytes(options.dest_offset).map_err(|_| too_far())?;
    let from = match open_ended {
        true => stream::cut_to_offsets(from, offset),
        false => from,
    };
    let mapping = Mapping::new(from, offset).ok_or_else(too_far)?;
    // Files are addressed with signed 64-bit offsets.
    if mapping.to().end() > i64::MAX as u64 { Err(too_far()) } else { Ok(mapping) }
}

fn layout(origin: &dyn Origin, branches: &[Branch], from: ByteRange, sparse: Sparse) -> Layout {
    match branches.iter().any(|branch| branch.abilities.ordered) {
        // Every byte is written, in its turn.
        true => Layout::whole(from, sparse),
        false => Layout::of(&*origin.source(), from, sparse),
    }
}

/// What is to be done with the bytes of the range.
pub(super) struct Bytes {
    pub todo: RangeSet,
    pub holes: RangeSet,
    pub kept_holes: RangeSet,
    pub resumed: u64,
}

impl Bytes {
    /// In new files, holes of the source stay holes and need no work; elsewhere
    /// they are made. What an earlier run has done in every destination is not
    /// done again.
    pub fn of(layout: &Layout, branches: &[Branch], from: ByteRange, wanted: &RangeSet) -> Bytes {
        let is_new = branches.iter().all(|branch| branch.abilities.is_new);
        let (data, mut holes) = match is_new {
            true => (layout.data.clone(), RangeSet::new()),
            false => (wanted.clone(), layout.data.missing_from(from).common(wanted)),
        };
        let mut done = RangeSet::from(from);
        for branch in branches {
            done = done.common(&branch.done);
        }
        let mut todo = data.clone();
        todo.subtract(&done);
        let resumed = data.bytes() - todo.bytes();
        if branches.iter().any(|branch| branch.resumed) {
            // Unless an earlier run found other bytes there.
            let mut spoilt = data.missing_from(from);
            spoilt.subtract(&done);
            if !is_new {
                // What is not wanted there is not touched.
                spoilt = spoilt.common(wanted);
            }
            todo.merge(&spoilt);
            holes.merge(&spoilt);
        }
        let mut kept_holes = data.missing_from(from);
        kept_holes.subtract(&holes);
        Bytes { todo, holes, kept_holes, resumed }
    }
}

/// Refuses what there is no room for. Of several destinations, the one without
/// room is left out.
fn check_room(
    branches: &mut [Branch],
    look: &Look<'_>,
    layout: &Layout,
    may_share: bool,
) -> Result<()> {
    let alone = branches.len() == 1;
    for branch in branches.iter_mut() {
        let Some(destination) = &branch.destination else { continue };
        match destination.check_room(look, layout, may_share) {
            Err(error) if alone => return Err(error),
            Err(error) => branch.error = Some(error),
            Ok(()) => {}
        }
    }
    if branches.iter().any(Branch::is_alive) {
        return Ok(());
    }
    Err(branches.iter_mut().find_map(|branch| branch.error.take()).expect("there is one"))
}

/// What an engine is chosen by.
struct Choice<'a> {
    origin: &'a dyn Origin,
    branches: &'a [Branch],
    mapping: Mapping,
    options: &'a Options,
}

impl Choice<'_> {
    fn select(&self, layout: &Layout, bytes: u64) -> Result<(Selection, Sparse), Refusal> {
        let forced = match self.branches {
            _ if self.origin.read_order().stream().is_some() => Some("a stream is read in order"),
            [only] if only.abilities.ordered => Some("a stream is written in order"),
            [_] => None,
            _ => Some("one read, several writes"),
        };
        let Some(reason) = forced else {
            let choice = self.options.engine;
            return engine::select_for(choice, layout, |sparse| self.capabilities(bytes, sparse));
        };
        let about = self.capabilities(bytes, layout.sparse());
        let mut selection = engine::select(EngineChoice::Positioned, about)?;
        selection.reason = reason.to_owned();
        Ok((selection, layout.sparse()))
    }

    fn capabilities(&self, bytes: u64, sparse: Sparse) -> Capabilities {
        let preferences = Preferences {
            // One call would share all of the range.
            reflink: match self.options.only {
                Some(_) => Reflink::Never,
                None => self.options.reflink,
            },
            sparse,
            needs_bytes: !self.options.wanted_digests().is_empty() || self.options.check_source,
            threads: self.options.threads.most(),
            only_changed: self.options.only_changed,
        };
        let first = self.branches.first().and_then(|branch| branch.destination.as_ref());
        let copy = Between {
            source: self.origin.end(),
            destination: first.map(|destination| destination.end()).unwrap_or_default(),
            mapping: self.mapping,
            bytes,
            fresh: first.is_some_and(|destination| destination.is_fresh()),
        };
        Capabilities::of(copy, preferences, |range| self.origin.cache_state(range))
    }
}

fn standing(branches: &[Branch]) -> Option<u64> {
    let [only] = branches else { return None };
    let footprint = only.destination.as_ref()?.footprint()?;
    footprint.facts.filter(|_| footprint.staged.is_none()).map(|facts| facts.size)
}
