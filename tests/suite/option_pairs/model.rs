//! What a copy of the pairs should do, as the documents say. It knows no code.

use std::collections::BTreeMap;

use pcopy::digest::Algorithm;
use pcopy::{ByteRange, RangeSet};

use super::world::{BEFORE, DATA, HOLE, MAP, Machine, PART, SIZE, World, ZEROS, leftovers, source};
use super::{STRIPE, Setting, THREADS};

/// Bytes of a file, with `--split`.
const SEGMENT: usize = 8192;

/// Bytes of a piece, with `--digest-every`.
const PIECE: usize = 4096;

/// Unit of storage, and of holes that are made of zeros.
pub const BLOCK: usize = 4096;

/// What becomes of zeros.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Sparse {
    #[default]
    Auto,
    Always,
    Never,
}

/// What was asked for.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// From and to, where a range was named.
    pub range: Option<(usize, usize)>,
    pub offset: Option<usize>,
    pub length: Option<usize>,
    pub dest_offset: usize,
    pub clamp: bool,
    pub also: bool,
    pub split: bool,
    pub force: bool,
    pub preserve: bool,
    pub in_place: bool,
    pub only_changed: bool,
    pub no_sync: bool,
    pub resume: bool,
    pub restart: bool,
    pub map: bool,
    pub threads: Option<usize>,
    pub stripe: Option<usize>,
    pub engine: Option<&'static str>,
    pub reflink_always: bool,
    pub reflink_never: bool,
    pub sparse: Sparse,
    pub reserves_all: bool,
    pub digests: Vec<Algorithm>,
    pub digest_every: bool,
    pub digest_file: bool,
    pub expects_other: bool,
    pub verify: bool,
    pub repair: bool,
    pub check_source: bool,
    pub allow_changed: bool,
    pub dry_run: bool,
}

/// How a copy should end.
#[derive(PartialEq, Eq, Debug)]
pub enum Verdict {
    /// The command line makes no sense.
    Usage,
    /// It is refused, for any of these reasons.
    Refused(Vec<Reason>),
    /// It cannot begin, and what an earlier run left has been discarded by then.
    Discarded(Vec<Reason>),
    /// The digest is another one.
    Mismatch,
    /// Nothing is written.
    Planned,
    Copied,
}

/// Why a copy is refused that makes sense.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reason {
    /// The `error_kind`.
    pub kind: &'static str,
    /// What the message has in it.
    pub says: String,
    /// Whether it shows only when the copy begins.
    is_late: bool,
}

fn reason(kind: &'static str, says: &str) -> Reason {
    Reason { kind, says: says.to_owned(), is_late: false }
}

/// The same of an engine that is named and does not serve: `--help` calls that an error.
fn unsuitable(says: &str) -> Reason {
    reason("engine_unsuitable", says)
}

/// Everything in the folder, by name.
pub type Files = BTreeMap<String, Vec<u8>>;

impl Wish {
    pub fn of(settings: &[&Setting], world: World) -> Wish {
        let mut wish = Wish::default();
        match world {
            World::New | World::Left => {}
            World::InPlace => wish.in_place = true,
            World::Replaced => wish.force = true,
            World::Resumed => wish.resume = true,
        }
        for setting in settings {
            (setting.say)(&mut wish);
        }
        wish
    }

    /// From and to, as it was asked for.
    fn asked(&self) -> (usize, usize) {
        let start = self.offset.unwrap_or(0);
        self.range.unwrap_or((start, self.length.map_or(SIZE, |length| start + length)))
    }

    fn is_whole(&self) -> bool {
        self.range.is_none() && self.offset.is_none() && self.length.is_none()
    }

    /// What is read.
    pub fn source(&self) -> (usize, usize) {
        let (start, end) = self.asked();
        (start, end.min(SIZE))
    }

    /// As `docs/reference.md` and `--help` say.
    fn makes_no_sense(&self) -> bool {
        let is_dd = self.offset.is_some() || self.length.is_some();
        self.range.is_some() && is_dd
            || self.split && (self.in_place || self.preserve || self.dest_offset > 0)
            || self.force && (self.in_place || self.only_changed)
            || self.resume && self.restart
            || self.digest_every && self.digests.is_empty()
            || self.verify && self.no_sync
            || self.repair && !self.verify
            || self.check_source && (!self.verify || self.allow_changed)
            || self.also && (self.map || self.reflink_always || self.is_by_another_engine())
            || self.only_changed && self.reflink_always
            || self.preserve && (!self.is_whole() || self.dest_offset > 0 || self.in_place)
    }

    /// Whether an engine is named that is not the one that always serves.
    fn is_by_another_engine(&self) -> bool {
        self.engine.is_some_and(|engine| engine != "positioned")
    }

    /// Whether what an earlier run left in `world` is in the way of this copy: the files of
    /// `--split` have other names.
    fn meets_leftovers(&self, world: World) -> bool {
        world.has_leftovers() && !self.split
    }

    /// Whether it takes over what an earlier run left. A map elsewhere is not there.
    pub fn resumes(&self, world: World) -> bool {
        self.meets_leftovers(world) && self.resume && !self.map
    }

    /// What of this copy an earlier run has done: nothing, where a further destination lacks
    /// all of that.
    pub fn done(&self, world: World) -> RangeSet {
        let goes_on = self.resumes(world) && !self.also;
        if goes_on { leftovers().done.clone() } else { RangeSet::new() }
    }

    /// Whether somebody looks at the bytes while they are copied.
    fn looks_at_bytes(&self) -> bool {
        !self.digests.is_empty() || self.expects_other || self.check_source
    }

    /// Everything that speaks against a copy that makes sense.
    pub fn reasons(&self, world: World, machine: &Machine) -> Vec<Reason> {
        let mut reasons = Vec::new();
        if self.asked().1 > SIZE && !self.clamp {
            reasons.push(reason("outside", "does not lie inside the source"));
        }
        if self.in_place && !world.has_files() {
            reasons.push(reason("nothing_in_place", "does not exist"));
        }
        if self.only_changed && !self.in_place {
            reasons.push(reason("nothing_to_update", "nothing that could be the same"));
        }
        if self.meets_leftovers(world) && !self.resume && !self.restart {
            reasons.push(reason("leftover", PART));
        }
        let is_another_job = self.source() != (0, SIZE) || self.dest_offset > 0;
        if self.resumes(world) && is_another_job {
            reasons.push(reason("foreign_map", "is of another job"));
        }
        reasons.extend(self.reasons_of_engines(machine));
        reasons.extend(self.reasons_of_the_file_system(world, machine));
        if self.dry_run {
            reasons.retain(|reason| !reason.is_late);
        }
        reasons
    }

    /// Reasons that hold wherever it is copied, of a named engine or `--reflink always`.
    fn reasons_of_engines(&self, machine: &Machine) -> Vec<Reason> {
        let mut reasons = Vec::new();
        // Extents are shared by this one.
        let engine =
            if self.reflink_always { self.engine.or(Some("offload")) } else { self.engine };
        let is = |name: &str| engine == Some(name);
        let sees_nothing = is("offload") || is("mmap") || is("splice");
        if self.reflink_always && !is("offload") {
            reasons.push(unsuitable("it cannot share extents, and reflink is always"));
        }
        // `docs/reference.md`, "Only what changed".
        if self.only_changed && sees_nothing {
            reasons.push(unsuitable("only what differs is written"));
        }
        // Where extents are shared, the source is read for a digest: the same, "Digests".
        let (start, _) = self.source();
        let shares = machine.shares && start % BLOCK == self.dest_offset % BLOCK;
        let is_shown = is("offload") && shares;
        if sees_nothing && (self.looks_at_bytes() && !is_shown || self.sparse == Sparse::Always) {
            reasons.push(unsuitable("the bytes are looked at on their way"));
        }
        // What is written is not one file.
        if self.split {
            let says = [
                ("offload", "only from file to file"),
                ("mmap", "only a new file is mapped"),
                ("splice", "only between open files or devices"),
            ];
            let own = says.into_iter().filter(|(name, _)| is(name));
            reasons.extend(own.map(|(_, says)| unsuitable(says)));
        }
        if is("mmap") && self.in_place {
            reasons.push(unsuitable("only a new file is mapped"));
        }
        // What is shared is as it was in the source.
        if is("offload") && machine.shares && self.reflink_never {
            reasons.push(unsuitable("may share extents, and reflink is never"));
        }
        if is("offload") && machine.shares && self.sparse == Sparse::Never {
            reasons.push(unsuitable("may keep holes, and sparse is never"));
        }
        reasons
    }

    /// Reasons that hold on this file system: what is refused by itself is refused with
    /// anything else, and only whole blocks can be shared.
    fn reasons_of_the_file_system(&self, world: World, machine: &Machine) -> Vec<Reason> {
        let mut reasons = Vec::new();
        let engine = self.engine.map(|engine| format!("--engine {engine}"));
        let reflink = self.reflink_always.then(|| "--reflink always".to_owned());
        for setting in engine.into_iter().chain(reflink) {
            if let Some((says, is_planned)) = machine.refuses(&setting, world) {
                reasons.push(Reason { is_late: !is_planned, ..unsuitable(says) });
            }
        }
        let (start, end) = self.source();
        let has_none = start < end && self.whole_blocks().is_empty();
        if self.reflink_always && machine.shares && has_none {
            let says = "no whole block of the source is a whole block of the destination";
            reasons.push(Reason { is_late: true, ..unsuitable(says) });
        }
        reasons
    }

    /// What of the source can be shared: whole blocks that are whole ones of the destination
    /// too. The end of both counts as the end of a block.
    fn whole_blocks(&self) -> ByteRange {
        let (start, end) = self.source();
        let to = self.dest_offset + (end - start);
        let is_end = end == SIZE && !(self.in_place && to < BEFORE);
        let last = if is_end { end } else { end - end % BLOCK };
        let first = start.next_multiple_of(BLOCK);
        match start % BLOCK == self.dest_offset % BLOCK && first < last {
            true => range(first, last),
            false => range(start, start),
        }
    }

    pub fn verdict(&self, world: World, machine: &Machine) -> Verdict {
        let reasons = self.reasons(world, machine);
        let is_late = !reasons.is_empty() && reasons.iter().all(|reason| reason.is_late);
        match () {
            () if self.makes_no_sense() => Verdict::Usage,
            () if is_late && self.discards(world) => Verdict::Discarded(reasons),
            () if !reasons.is_empty() => Verdict::Refused(reasons),
            () if self.dry_run => Verdict::Planned,
            () if self.expects_other => Verdict::Mismatch,
            () => Verdict::Copied,
        }
    }

    /// Whether what an earlier run left is not gone on with.
    fn discards(&self, world: World) -> bool {
        self.meets_leftovers(world) && (self.restart || self.map)
    }

    /// Takes away from `files` what an earlier run left and this one uses or discards. A map
    /// under another name is not looked for.
    pub fn take_leftovers(&self, files: &mut Files) {
        if !self.split {
            files.remove(PART);
            if !self.map {
                files.remove(MAP);
            }
        }
    }

    /// The destinations.
    pub fn names(&self) -> &'static [&'static str] {
        if self.also { &["copy", "other"] } else { &["copy"] }
    }

    /// The files that there should be after a copy, where `before` was there.
    pub fn after(&self, before: &Files) -> Files {
        let mut files = before.clone();
        self.take_leftovers(&mut files);
        let (start, end) = self.source();
        let bytes = &source()[start..end];
        for &name in self.names() {
            if self.splits(name) {
                let parts = chunks(bytes, SEGMENT).into_iter().zip(1..);
                files.extend(parts.map(|(part, number)| (segment(name, number), part.to_vec())));
                continue;
            }
            let mut now = if self.in_place { before[name].clone() } else { Vec::new() };
            now.resize(now.len().max(self.dest_offset + bytes.len()), 0);
            now[self.dest_offset..self.dest_offset + bytes.len()].copy_from_slice(bytes);
            files.insert(name.to_owned(), now);
        }
        files
    }

    /// Whether the destination `name` is several files: of a further one there is one.
    fn splits(&self, name: &str) -> bool {
        self.split && name == "copy"
    }

    /// Bytes that each file of the destinations takes, where the system counts blocks that
    /// hold something, by name. Where extents are `shared`, holes are.
    pub fn stored(&self, world: World, shared: bool) -> Vec<(String, usize)> {
        let (start, end) = self.source();
        let written = self.dest_offset + (end - start);
        let len = if self.in_place { written.max(BEFORE) } else { written };
        let blocks: Vec<bool> =
            (0..len.div_ceil(BLOCK)).map(|block| self.is_stored(block, world, shared)).collect();
        let bytes = |blocks: &[bool]| BLOCK * blocks.iter().filter(|stored| **stored).count();
        let mut all = Vec::new();
        for &name in self.names() {
            if self.splits(name) {
                let parts = chunks(&blocks, SEGMENT / BLOCK).into_iter().zip(1..);
                all.extend(parts.map(|(part, number)| (segment(name, number), bytes(part))));
            } else {
                all.push((name.to_owned(), bytes(&blocks)));
            }
        }
        all
    }

    /// What of the source goes to a block of the destination.
    fn of_block(&self, block: usize) -> ByteRange {
        let (start, end) = self.source();
        let place = block * BLOCK..(block + 1) * BLOCK;
        let from = start + place.start.max(self.dest_offset) - self.dest_offset;
        let to = start + place.end.max(self.dest_offset) - self.dest_offset;
        range(from.min(end), to.min(end))
    }

    /// Whether a block of the destination takes room: one that is a hole of the source, or
    /// is to be made one, does not.
    fn is_stored(&self, block: usize, world: World, shared: bool) -> bool {
        let part = self.of_block(block);
        let data = RangeSet::from(range(HOLE, DATA)).missing_from(part);
        let was = self.in_place && block * BLOCK < BEFORE;
        // What is shared is as it is in the source, whatever was reserved; and holes are made
        // in what was there when space has been reserved.
        let is_shared = shared && self.whole_blocks().contains(part);
        let is_changed = self.in_place || self.resumes(world);
        let is_made_a_hole = is_shared && data.is_empty()
            || is_changed && (self.is_left_out(part) || self.also && data.is_empty());
        match () {
            () if part.is_empty() => was,
            () if self.reserves_all && !self.in_place => !is_made_a_hole,
            // As the earlier run has made it, whatever is asked for now.
            () if self.done(world).covers(part) => !data.is_empty(),
            () if self.sparse == Sparse::Never => true,
            // Of what was there, only whole blocks are given back.
            () if data.is_empty() => was && part.len() < BLOCK as u64,
            () => !self.is_left_out(part),
        }
    }

    /// Whether what goes to one block is a whole one of zeros, which are to be left out.
    fn is_left_out(&self, part: ByteRange) -> bool {
        self.sparse == Sparse::Always
            && part.len() == BLOCK as u64
            && range(ZEROS, HOLE).contains(part)
    }

    /// Bytes that are copied, those that become holes, and those that an earlier run copied.
    pub fn counts(&self, world: World) -> (u64, u64, u64) {
        let (start, end) = self.source();
        let asked = range(start, end);
        let hole = match self.sparse {
            Sparse::Never => 0,
            _ => asked.intersect(range(HOLE, DATA)).len(),
        };
        let done = self.done(world);
        let earlier = match self.sparse {
            Sparse::Never => done.bytes(),
            _ => done.bytes() - done.within(range(HOLE, DATA)).bytes(),
        };
        let blocks =
            (0..(self.dest_offset + SIZE).div_ceil(BLOCK)).map(|block| self.of_block(block));
        let left_out = blocks.filter(|part| self.is_left_out(*part) && !done.covers(*part));
        let holes = hole + left_out.map(ByteRange::len).sum::<u64>();
        (asked.len() - holes - earlier, holes, earlier)
    }

    /// Bytes whose fingerprints are taken while they are copied: zeros that are left out too.
    pub fn looked_at(&self, world: World) -> u64 {
        let (copied, ..) =
            Wish { sparse: self.sparse.without_zeros(), ..self.clone() }.counts(world);
        copied
    }

    /// How many workers there are: no more than stripes.
    pub fn workers(&self, world: World) -> usize {
        let (start, end) = self.source();
        let mut moved = RangeSet::from(range(start, end));
        // A digest is of all bytes, and holes are made in what is there.
        if self.digests.is_empty() && !self.expects_other {
            if !self.in_place && self.sparse != Sparse::Never {
                moved.remove(range(HOLE, DATA));
            }
            moved.subtract(&self.done(world));
        }
        let size = self.stripe.unwrap_or(STRIPE) as u64;
        let cell = |at: u64| (at - start as u64 + self.dest_offset as u64) / size;
        let stripes = moved.iter().map(|run| cell(run.end() - 1) - cell(run.start()) + 1);
        let stripes = usize::try_from(stripes.sum::<u64>()).expect("few");
        self.threads.unwrap_or(THREADS).min(stripes).max(1)
    }

    /// The pieces of the range that have digests of their own.
    pub fn pieces(&self) -> Vec<(usize, usize)> {
        let (start, end) = self.source();
        let positions: Vec<usize> = (start..end).collect();
        let mut pieces = Vec::new();
        for size in [self.split.then_some(SEGMENT), self.digest_every.then_some(PIECE)] {
            let Some(size) = size.filter(|_| !self.digests.is_empty()) else { continue };
            let parts = chunks(&positions, size).into_iter().zip(0..);
            pieces.extend(parts.map(|(part, number)| {
                let first = start + number * size;
                (first, first + part.len())
            }));
        }
        pieces.sort_unstable();
        pieces
    }
}

impl Sparse {
    /// The same, as if there were no zeros but those of the hole.
    fn without_zeros(self) -> Sparse {
        match self {
            Sparse::Never => Sparse::Never,
            _ => Sparse::Auto,
        }
    }
}

fn range(start: usize, end: usize) -> ByteRange {
    ByteRange::between(start as u64, end as u64)
}

/// The name of a file of a split destination.
fn segment(name: &str, number: usize) -> String {
    format!("{name}.{number:03}")
}

/// Parts of a length; there is always one.
fn chunks<T>(whole: &[T], len: usize) -> Vec<&[T]> {
    if whole.is_empty() { vec![whole] } else { whole.chunks(len).collect() }
}
