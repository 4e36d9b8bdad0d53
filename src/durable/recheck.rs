//! Whether a destination holds what the map of an earlier run calls done.
//!
//! A map knows a disk by its serial number and a file by its number, and not
//! every disk has the one, nor does either say whether somebody has written
//! there since. So a few places of what is done are read from both sides and
//! compared before a run goes on. That finds another disk under the name, or a
//! file that was written anew; to find every byte, all of it must be compared.
//! Nothing is changed here, and what cannot be read proves nothing.

use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io;

use positioned_io::ReadAt;

use super::map::Evidence;
use crate::io::{as_u64, as_usize, transfer};
use crate::progress::CancelToken;
use crate::range::{ByteRange, RangeSet, align_down, align_up};
use crate::sys::{self, Metadata};

/// Length of a place in bytes: the cost of a request is paid anyhow.
const LEN: u64 = 64 << 10;

/// No disk in use has larger sectors.
const BLOCK: u64 = 4096;

/// How many places: with a seek on each side, a fraction of a second on a disk
/// that spins. As many again, which nobody can foresee, where more is at stake.
const PLACES: u64 = 16;

/// So many places must tell one source from another: nearly all disks have the
/// same zeros somewhere.
const TELLING: usize = 4;

/// Bytes that are compared as a whole in no more time than a few places take.
const SMALL: u64 = 16 << 20;

/// Bytes compared at a time, where all are.
const CHUNK: u64 = 256 << 10;

/// What a few places show.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shown {
    /// The first byte, of the source, that the destination does not have.
    Differs(u64),
    /// Nothing differs, and enough is there that could.
    Same,
    /// Nothing differs, and that shows little: too few places could be read, or
    /// they are filled with one byte.
    TooLittle,
}

/// Whether what a map calls done is believed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Belief {
    /// Nothing more is asked for.
    Believed,
    /// This byte, of the source, is not there.
    Refuted(u64),
    /// All of it must be compared; a few places show so much.
    Doubted(Shown),
}

/// Two sides that should have `done` in common: bytes of the source, and where
/// each of them went.
pub struct Sides<'a, T> {
    /// Where they were read.
    pub source: &'a dyn ReadAt,
    /// Where they were written.
    pub destination: &'a dyn ReadAt,
    /// Which of them.
    pub done: &'a RangeSet,
    /// Where one of them went.
    pub to: T,
}

impl<T: Fn(ByteRange) -> Option<ByteRange>> Sides<'_, T> {
    /// What up to 16 places show, always the same: 1 MiB is read on each side.
    fn glance(&self) -> Shown {
        self.look_at(places(self.done))
    }

    /// What up to 32 places show, half of which are drawn by lot: 2 MiB are read
    /// on each side.
    fn look(&self) -> Shown {
        let lots = RandomState::new();
        let total = self.done.bytes();
        let by_lot = (0..PLACES).map(|number| lots.hash_one(number) % total.max(1));
        let by_lot = by_lot.filter_map(|skip| nth(self.done, skip));
        self.look_at(places(self.done).into_iter().chain(by_lot))
    }

    /// Looks at as many places as `evidence` asks for, where the map is not quite of
    /// this job.
    pub fn believe(&self, evidence: Option<Evidence>) -> Belief {
        let shown = if evidence.is_none() { self.glance() } else { self.look() };
        let is_shown = shown == Shown::Same && self.done.bytes() > SMALL;
        match (shown, evidence) {
            (Shown::Differs(offset), _) => Belief::Refuted(offset),
            (_, None) => Belief::Believed,
            (_, Some(Evidence::Places)) if is_shown => Belief::Believed,
            (_, Some(_)) => Belief::Doubted(shown),
        }
    }

    fn look_at(&self, places: impl IntoIterator<Item = ByteRange>) -> Shown {
        let mut telling = 0;
        for place in places {
            let Some((here, there)) = self.read(place) else { continue };
            if let Some(at) = first_other(&here, &there) {
                return Shown::Differs(place.start() + as_u64(at));
            }
            telling += usize::from(here.iter().any(|byte| *byte != here[0]));
        }
        if telling < TELLING { Shown::TooLittle } else { Shown::Same }
    }

    /// The first byte of `range`, a part of what is done, that differs.
    pub fn first_in(&self, range: ByteRange) -> Option<u64> {
        range.pieces(LEN).find_map(|piece| {
            let (here, there) = self.read(piece)?;
            first_other(&here, &there).map(|at| piece.start() + as_u64(at))
        })
    }

    /// The first byte of all that is done that differs; `None` if none does, or
    /// the caller asked to stop.
    ///
    /// # Errors
    ///
    /// If either side cannot be read.
    pub fn first_of_all(&self, cancel: &CancelToken) -> io::Result<Option<u64>> {
        for range in self.done.iter() {
            let Some(place) = (self.to)(range) else { continue };
            let there = |at: u64| at - range.start() + place.start();
            let found = first_difference_in(self.source, self.destination, there, range, cancel)?;
            if let Some(piece) = found {
                return Ok(Some(self.first_in(piece).unwrap_or(piece.start())));
            }
        }
        Ok(None)
    }

    /// A place on both sides. Of two sides only one that can be read says
    /// anything of the other.
    fn read(&self, place: ByteRange) -> Option<(Vec<u8>, Vec<u8>)> {
        let read = |from: &dyn ReadAt, range: ByteRange| {
            let mut bytes = vec![0; as_usize(range.len())];
            transfer::read_full(from, range.start(), &mut bytes).ok().map(|()| bytes)
        };
        let there = read(self.destination, (self.to)(place)?)?;
        Some((read(self.source, place)?, there))
    }
}

fn first_other(here: &[u8], there: &[u8]) -> Option<usize> {
    here.iter().zip(there).position(|(one, other)| one != other)
}

/// Whether two files of `len` bytes are equal: small ones throughout, larger ones
/// in up to 32 places, unless those are filled with one byte.
pub fn are_equal(one: &File, other: &File, len: u64) -> bool {
    let all = &RangeSet::from(ByteRange::to(len));
    let sides = Sides { source: one, destination: other, done: all, to: Some };
    match sides.look() {
        Shown::Differs(_) => false,
        Shown::Same if len > SMALL => true,
        _ => matches!(sides.first_of_all(&CancelToken::new()), Ok(None)),
    }
}

/// The first place looked at in which `destination` has other bytes than
/// `source`, in bytes of the source. `done` is what they should have in common,
/// `to` where a byte of the source went.
pub fn first_difference(
    source: &dyn ReadAt,
    destination: &dyn ReadAt,
    done: &RangeSet,
    to: impl Fn(ByteRange) -> Option<ByteRange>,
) -> Option<ByteRange> {
    let sides = Sides { source, destination, done, to };
    places(done)
        .into_iter()
        .find(|&place| sides.read(place).is_some_and(|(here, there)| here != there))
}

/// The first piece of `range` that differs in `one` and `other`, or that
/// `other` does not have; the function says where a byte is there. `None` if
/// nothing does, or the caller asked to stop.
///
/// # Errors
///
/// If either side cannot be read.
pub fn first_difference_in<A: ReadAt + ?Sized, B: ReadAt + ?Sized>(
    one: &A,
    other: &B,
    place: impl Fn(u64) -> u64,
    range: ByteRange,
    cancel: &CancelToken,
) -> io::Result<Option<ByteRange>> {
    let room = as_usize(CHUNK.min(range.len()));
    let (mut ours, mut theirs) = (vec![0; room], vec![0; room]);
    for piece in range.pieces(CHUNK) {
        if cancel.is_cancelled() {
            return Ok(None);
        }
        let len = as_usize(piece.len());
        let (ours, theirs) = (&mut ours[..len], &mut theirs[..len]);
        transfer::read_full(one, piece.start(), ours).map_err(|stop| stop.error)?;
        match transfer::read_full(other, place(piece.start()), theirs) {
            Err(stop) if stop.error.kind() == io::ErrorKind::UnexpectedEof => {
                let had = piece.start() + as_u64(stop.moved);
                return Ok(Some(ByteRange::between(had, range.end())));
            }
            read => read.map_err(|stop| stop.error)?,
        }
        if ours != theirs {
            return Ok(Some(piece));
        }
    }
    Ok(None)
}

/// How many bytes `file`, which is `facts`, holds, as far as its file system
/// tells; nothing is counted beyond the first extent that makes more than `enough`.
pub fn data_up_to(file: &File, facts: &Metadata, enough: u64) -> u64 {
    let (mut at, mut bytes) = (0, 0);
    while at < facts.size && bytes <= enough {
        let rest = ByteRange::between(at, facts.size);
        // What does not tell of holes holds what takes storage.
        let Ok(extent) = sys::next_extent(file, rest) else { return facts.allocated };
        bytes += if extent.data { extent.range.len() } else { 0 };
        at = extent.range.end().max(at + 1);
    }
    bytes.min(facts.allocated)
}

/// Places spread evenly over `done`, among them its beginning and its end,
/// where an earlier run was at work last.
fn places(done: &RangeSet) -> Vec<ByteRange> {
    let total = done.bytes();
    let last = total.saturating_sub(LEN);
    let mut places: Vec<ByteRange> = Vec::new();
    for number in 0..PLACES {
        // In 128 bits: a length times a number need not fit in 64.
        let skip = (u128::from(last) * u128::from(number) / u128::from(PLACES - 1)) as u64;
        let Some(place) = nth(done, skip) else { continue };
        if places.last() != Some(&place) {
            places.push(place);
        }
    }
    places
}

/// What lies about `skip` bytes into `done`, up to the length of a place: whole
/// blocks, where there are any, for some systems read disks in nothing else.
fn nth(done: &RangeSet, mut skip: u64) -> Option<ByteRange> {
    for run in done.iter() {
        if skip < run.len() {
            let from = align_down(run.start() + skip, BLOCK).max(run.start());
            let place = run.split_at(from).1.split_at(from.saturating_add(LEN)).0;
            let whole =
                ByteRange::new(align_up(place.start(), BLOCK), align_down(place.end(), BLOCK));
            return whole.filter(|whole| !whole.is_empty()).or(Some(place));
        }
        skip -= run.len();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::memory::Memory;

    fn set(ranges: &[(u64, u64)]) -> RangeSet {
        ranges.iter().map(|&(start, end)| ByteRange::between(start, end)).collect()
    }

    #[test]
    fn places_are_within_what_is_done_and_reach_both_ends() {
        for done in [
            set(&[]),
            set(&[(7, 8)]),
            set(&[(0, LEN)]),
            set(&[(10, 100), (5000, 5001), (1 << 40, (1 << 40) + 3 * LEN)]),
            set(&[(0, 1 << 50)]),
            set(&[(0, i64::MAX as u64)]),
        ] {
            let places = places(&done);
            assert!(places.len() <= PLACES as usize);
            assert!(places.iter().all(|&place| done.covers(place) && place.len() <= LEN));
            // But for a part of a block.
            let near = |a: u64, b: u64| a.abs_diff(b) < 2 * BLOCK;
            let (first, last) = (places.first(), places.last());
            let (begin, end) = (done.as_slice().first(), done.as_slice().last());
            assert!(first.zip(begin).is_none_or(|(a, b)| near(a.start(), b.start())), "{done:?}");
            assert!(last.zip(end).is_none_or(|(a, b)| near(a.end(), b.end())), "{done:?}");
            assert_eq!(places.is_empty(), done.is_empty());
        }
    }

    #[test]
    fn other_bytes_are_found_and_only_in_what_is_done() {
        let len = 1 << 20;
        let bytes: Vec<u8> = (0..len).map(|n| (n % 251) as u8).collect();
        let source = Memory::new(bytes.clone());
        let done = set(&[(4096, 200_000), (300_000, 1_000_000)]);
        let moved = |range: ByteRange| range.rebase(0, 100);
        let check = |spoilt: std::ops::Range<usize>, expected: bool| {
            let mut there = [vec![9; 100], bytes.clone()].concat();
            spoilt.clone().for_each(|at| there[100 + at] ^= 1);
            let found = first_difference(&source, &Memory::new(there), &done, moved);
            assert_eq!(found.is_some(), expected, "{spoilt:?}: {found:?}");
        };
        check(0..0, false);
        check(0..4096, false);
        check(200_000..300_000, false);
        check(1_000_000..len, false);
        check(4096..4097, true);
        check(990_000..1_000_000, true);
        check(0..len, true);
        let short = Memory::new(vec![1; 10]);
        assert_eq!(first_difference(&source, &short, &done, moved), None, "nothing can be read");
    }

    #[test]
    fn places_that_could_be_of_any_source_show_too_little() {
        let len: usize = 8 << 20;
        let check = |bytes: &[u8], there: &[u8], done: &RangeSet, expected: Shown| {
            let (source, destination) = (Memory::new(bytes.to_vec()), Memory::new(there.to_vec()));
            let to = Some;
            let sides = Sides { source: &source, destination: &destination, done, to };
            assert_eq!(sides.look(), expected);
        };
        let all = set(&[(0, as_u64(len))]);
        let told: Vec<u8> = (0..len).map(|n| (n % 251) as u8).collect();
        check(&told, &told, &all, Shown::Same);
        check(&vec![0; len], &vec![0; len], &all, Shown::TooLittle);
        check(&vec![255; len], &vec![255; len], &all, Shown::TooLittle);
        // A partition table alone is what clones have in common.
        let mut table = vec![0; len];
        table[..512].copy_from_slice(&told[..512]);
        check(&table, &table, &all, Shown::TooLittle);
        check(&told, &told, &set(&[]), Shown::TooLittle);
        check(&told, &[], &all, Shown::TooLittle);
        let mut other = told.clone();
        other[len - 1] ^= 1;
        check(&told, &other, &all, Shown::Differs(as_u64(len) - 1));
        other[7] ^= 1;
        check(&told, &other, &all, Shown::Differs(7));
    }

    #[test]
    fn the_first_byte_of_all_that_differs_is_named() {
        let told: Vec<u8> = (0..1 << 20).map(|n| (n % 251) as u8).collect();
        let done = set(&[(100, 300_000), (500_000, 1 << 20)]);
        let check = |at: Option<usize>, expected: Option<u64>| {
            let mut there = [vec![9; 50], told.clone()].concat();
            at.iter().for_each(|&at| there[50 + at] ^= 1);
            let (source, destination) = (Memory::new(told.clone()), Memory::new(there));
            let to = |range: ByteRange| range.rebase(0, 50);
            let sides = Sides { source: &source, destination: &destination, done: &done, to };
            assert_eq!(sides.first_of_all(&CancelToken::new()).unwrap(), expected, "{at:?}");
        };
        check(None, None);
        check(Some(99), None);
        check(Some(100), Some(100));
        check(Some(299_999), Some(299_999));
        check(Some(400_000), None);
        check(Some((1 << 20) - 1), Some((1 << 20) - 1));
    }
}
