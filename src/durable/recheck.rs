//! Whether a destination holds what the map of an earlier run calls done.
//!
//! A map knows a disk by its serial number and a file by its number, and not
//! every disk has the one, nor does either say whether somebody has written
//! there since. So a few places of what is done are read from both sides and
//! compared before a run goes on. That finds another disk under the name, or a
//! file that was written anew; to find every byte there is `--verify`. Nothing
//! is changed here, and what cannot be read proves nothing.

use std::fs::File;

use positioned_io::ReadAt;

use crate::io::{as_usize, transfer};
use crate::range::{ByteRange, RangeSet, align_down, align_up};
use crate::sys::{self, Metadata};

/// Length of a place in bytes: the cost of a request is paid anyhow.
const LEN: u64 = 64 << 10;

/// No disk in use has larger sectors.
const BLOCK: u64 = 4096;

/// How many places: with a seek on each side, a fraction of a second on a disk
/// that spins.
const PLACES: u64 = 16;

/// The first place looked at in which `destination` has other bytes than
/// `source`, in bytes of the source. `done` is what they should have in common,
/// `to` where a byte of the source went.
pub fn first_difference(
    source: &dyn ReadAt,
    destination: &dyn ReadAt,
    done: &RangeSet,
    to: impl Fn(ByteRange) -> Option<ByteRange>,
) -> Option<ByteRange> {
    let read = |from: &dyn ReadAt, range: ByteRange| {
        let mut bytes = vec![0; as_usize(range.len())];
        transfer::read_full(from, range.start(), &mut bytes).ok().map(|()| bytes)
    };
    places(done).into_iter().find(|&place| {
        let there = to(place).and_then(|target| read(destination, target));
        // Of two sides only one that can be read says anything of the other.
        there.is_some_and(|there| read(source, place).is_some_and(|here| here != there))
    })
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
}
