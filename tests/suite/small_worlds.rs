//! Worlds so small that all of them are tried: every set of eight bytes, every range in
//! them, every offset of a byte. What is promised of offsets of 64 bits is compared with
//! what wider numbers say: at the beginning of the 64 bits, where 32 bits end, where the
//! signed offsets of files end, and at the end of the 64 bits, where a sum does not fit.

use pcopy::plan::Plan;
use pcopy::range::{Segments, align_down, align_up};
use pcopy::{ByteRange, Mapping, RangeSet, RangeSpec, Size};

/// A place in the 64 bits, and the offsets there that are made of a byte.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Edge {
    /// From 0 on.
    Low,
    /// Around 2^32.
    Word,
    /// Around 2^63, where the signed offsets of files end.
    Signed,
    /// Up to 2^64.
    High,
}

const EDGES: [Edge; 4] = [Edge::Low, Edge::Word, Edge::Signed, Edge::High];

/// The offset of a byte that is the middle of an edge.
const MIDDLE: u64 = 128;

impl Edge {
    fn offset(self, byte: u8) -> u64 {
        let lowest = match self {
            Edge::Low => 0,
            Edge::Word => (1 << 32) - MIDDLE,
            Edge::Signed => (1 << 63) - MIDDLE,
            Edge::High => u64::MAX - u64::from(u8::MAX),
        };
        lowest + u64::from(byte)
    }

    /// Whether it is an end of the 64 bits.
    fn is_end(self) -> bool {
        matches!(self, Edge::Low | Edge::High)
    }
}

/// The bytes that each of three coordinates goes through: those around the ends and the
/// middle, of which there are more at the ends of the 64 bits; there, in the long run, all.
fn coordinates(edges: [Edge; 3]) -> Vec<u8> {
    let around: u8 = match (std::env::var_os("PCOPY_SOAK"), edges.into_iter().all(Edge::is_end)) {
        (Some(_), true) => u8::MAX,
        (Some(_), false) => 16,
        (None, true) => 4,
        (None, false) => 2,
    };
    let is_near = |place: u8, byte: u8| place.abs_diff(byte) < around;
    (0..=u8::MAX).filter(|byte| [0, 127, 128, 255].iter().any(|at| is_near(*at, *byte))).collect()
}

/// A number of 64 bits, wide enough for every sum of two, of sectors too.
type Wide = i128;

const TOP: Wide = u64::MAX as Wide;

fn wide(offset: u64) -> Wide {
    Wide::from(offset)
}

/// The range with these ends, if both fit.
fn narrow(start: Wide, end: Wide) -> Option<ByteRange> {
    ByteRange::new(u64::try_from(start).ok()?, u64::try_from(end).ok()?)
}

fn ends(range: ByteRange) -> (Wide, Wide) {
    (wide(range.start()), wide(range.end()))
}

/// What is promised of two offsets and a third.
fn check_triple(a: u64, b: u64, c: u64) {
    let (wa, wb, wc) = (wide(a), wide(b), wide(c));
    assert_eq!(ByteRange::new(a, b), (a <= b).then(|| ByteRange::between(b, a)), "{a} {b}");
    assert_eq!(ByteRange::with_len(a, b), narrow(wa, wa + wb), "{a} {b}");

    let range = ByteRange::between(a, b);
    let (low, high) = (wa.min(wb), wa.max(wb));
    assert_eq!((ends(range), wide(range.len())), ((low, high), high - low), "{a} {b}");
    assert_eq!(range.is_empty(), a == b, "{a} {b}");

    // Another one, up to the third offset and from it on.
    for other in [ByteRange::to(c), ByteRange::between(c, u64::MAX)] {
        let (from, to) = ends(other);
        let common = (high.min(to) - low.max(from)).max(0);
        let met = range.intersect(other);
        assert_eq!(wide(met.len()), common, "{range} {other}");
        assert!(common == 0 || ends(met) == (low.max(from), high.min(to)), "{range} {other}");
        assert_eq!(range.overlaps(other), common > 0, "{range} {other}");
        assert_eq!(other.contains(range), common == high - low, "{range} {other}");
    }
    let (head, tail) = range.split_at(c);
    let cut = wc.clamp(low, high);
    assert_eq!((ends(head), ends(tail)), ((low, cut), (cut, high)), "{range} at {c}");

    // Where a range goes, and back.
    let there = range.rebase(range.start(), c);
    assert_eq!(there, narrow(wc, wc + high - low), "{range} to {c}");
    assert_eq!(range.rebase(c, 0), if wc <= low { narrow(low - wc, high - wc) } else { None });
    let mapping = Mapping::new(range, c);
    assert_eq!(mapping.map(Mapping::to), there, "{range} to {c}");
    if let Some(mapping) = mapping {
        assert_eq!(mapping.to_destination(range).len(), range.len());
        assert_eq!(ends(mapping.up_to(c).from()), (low, wc.clamp(low, high)));
        if !range.is_empty() {
            assert_eq!(
                (mapping.to_destination(range), mapping.to_source(mapping.to())),
                (mapping.to(), range)
            );
            assert_eq!(c.wrapping_add(mapping.grid()), range.start());
        }
    }

    // Blocks, of a power of two that the third offset chooses.
    let block = 1 << (c % 64);
    let wide_block = wide(block);
    let down = |offset: Wide| offset - offset.rem_euclid(wide_block);
    let up = |offset: Wide| down(offset + wide_block - 1);
    assert_eq!(wide(align_down(a, block)), down(wa), "{a} by {block}");
    // A multiple that does not fit is the highest offset.
    assert_eq!(wide(align_up(a, block)), up(wa).min(TOP), "{a} by {block}");
    let around = (down(low), up(high).min(TOP));
    assert_eq!(ends(range.align_out(block)), around, "{range} out to {block}");
    let (first, last) = (up(low), down(high));
    let inside = if first <= last { (first, last) } else { (high, high) };
    assert_eq!(ends(range.align_in(block)), inside, "{range} in to {block}");

    check_spec(a, b, c);
}

/// Every form of a range, on a source of `len` bytes: each of its two sizes in bytes, or in
/// sectors.
fn check_spec(a: u64, b: u64, len: u64) {
    let bytes = |number| (Size::Bytes(number), wide(number), 1);
    let sectors = |number, sector| {
        let unit = Wide::from(sector);
        let fits = u64::try_from(wide(number) * unit).ok();
        assert_eq!(Size::Sectors(number).bytes(sector).ok(), fits, "{number} of {sector}");
        (Size::Sectors(number), wide(number) * unit, unit)
    };
    check_forms(bytes(a), bytes(b), len, 512);
    check_forms(sectors(a, 512), sectors(b, 512), len, 512);
    // A number of small sectors is as near to a length as one of bytes.
    check_forms(sectors(a, 2), sectors(b, 2), len, 2);
    check_forms(sectors(a, 2), bytes(b), len, 2);
    check_forms(bytes(a), sectors(b, 2), len, 2);
}

/// A size, its bytes, and the bytes of one of what it counts.
type Counted = (Size, Wide, Wide);

/// Every form of a range that is made of two sizes.
fn check_forms((first, wa, _): Counted, (second, wb, one): Counted, len: u64, sector: u32) {
    let wide_len = wide(len);
    let forms = [
        (RangeSpec::All, 0, wide_len),
        (RangeSpec::Bounds(first, second), wa, wb),
        (RangeSpec::Inclusive(first, second), wa, wb + one),
        (RangeSpec::Span(first, second), wa, wa + wb),
        (RangeSpec::From(first), wa, wide_len),
        (RangeSpec::Last(second), wide_len - wb, wide_len),
    ];
    for (spec, start, end) in forms {
        let is_inclusive = matches!(spec, RangeSpec::Inclusive(..));
        let is_backward = end < start || is_inclusive && end == start;
        let is_inside = start >= 0 && end <= wide_len;
        let expected = (!is_backward && is_inside).then(|| narrow(start, end)).flatten();
        assert_eq!(spec.resolve(len, sector).ok(), expected, "{spec} of {len} by {sector}");
        let clamped = spec.resolve_clamped(len, sector).ok();
        // `A..` behind the end is not backward: nothing of it exists.
        let exists = match spec {
            RangeSpec::From(_) | RangeSpec::Last(_) => true,
            _ => !is_backward,
        };
        let inside = |offset: Wide| offset.clamp(0, wide_len);
        let existing = exists.then(|| narrow(inside(start), inside(end))).flatten();
        let found = clamped.map(|(range, _)| range);
        assert_eq!(found, existing, "{spec} of {len} by {sector}, clamped");
        assert!(clamped.is_none_or(|(_, cut)| cut == expected.is_none()), "{spec} of {len}");
    }
}

#[test]
fn three_offsets_of_a_byte_at_every_edge_of_the_64_bits() {
    let mut tried = 0_u64;
    for number in 0..EDGES.len().pow(3) {
        let edges = [number % 4, number / 4 % 4, number / 16].map(|edge| EDGES[edge]);
        let bytes = coordinates(edges);
        for &a in &bytes {
            for &b in &bytes {
                for &c in &bytes {
                    check_triple(edges[0].offset(a), edges[1].offset(b), edges[2].offset(c));
                }
            }
        }
        tried += (bytes.len() as u64).pow(3);
    }
    println!(
        "measured: arithmetic of ranges, three offsets of a byte at 0, 2^32, 2^63 and 2^64: {tried} triples, 0 violations"
    );
}

/// Bytes in a world.
const WORLD: u64 = 8;

/// The lowest offset of a world.
const BASES: [u64; 4] = [0, (1 << 32) - WORLD / 2, (1 << 63) - WORLD / 2, u64::MAX - WORLD];

/// The set of the bytes whose bit is set.
fn set(base: u64, bits: u32) -> RangeSet {
    let is_in = |at: &u64| bits >> at & 1 == 1;
    (0..WORLD).filter(is_in).map(|at| ByteRange::between(base + at, base + at + 1)).collect()
}

/// The bits of a set, whose runs neither touch nor are empty.
fn bits(base: u64, set: &RangeSet) -> u32 {
    let mut bits: u32 = 0;
    let mut before = None;
    for run in set.iter() {
        assert!(!run.is_empty() && before.is_none_or(|end| end < run.start()), "{set:?}");
        before = Some(run.end());
        for at in run.start() - base..run.end() - base {
            bits |= 1 << at;
        }
    }
    assert_eq!(set.bytes(), u64::from(bits.count_ones()));
    bits
}

/// Every range of a world, with its bits.
fn ranges(base: u64) -> impl Iterator<Item = (ByteRange, u32)> {
    let of = move |start: u64, end: u64| {
        let bits = (start..end).fold(0, |bits, at| bits | 1 << at);
        (ByteRange::between(base + start, base + end), bits)
    };
    (0..=WORLD).flat_map(move |start| (start..=WORLD).map(move |end| of(start, end)))
}

#[test]
fn every_set_of_eight_bytes_with_every_range_and_every_other_set() {
    let mut tried = 0_u64;
    for base in BASES {
        for one in 0..1 << WORLD {
            let runs = set(base, one);
            assert_eq!(bits(base, &runs), one);
            for (range, inside) in ranges(base) {
                let changed = |change: &dyn Fn(&mut RangeSet)| {
                    let mut changed = runs.clone();
                    change(&mut changed);
                    bits(base, &changed)
                };
                assert_eq!(changed(&|set| set.insert(range)), one | inside, "{runs:?} {range}");
                assert_eq!(changed(&|set| set.remove(range)), one & !inside, "{runs:?} {range}");
                assert_eq!(bits(base, &runs.within(range)), one & inside, "{runs:?} {range}");
                assert_eq!(
                    bits(base, &runs.missing_from(range)),
                    inside & !one,
                    "{runs:?} {range}"
                );
                assert_eq!(runs.covers(range), inside & !one == 0, "{runs:?} {range}");
                tried += 5;
            }
            for other in 0..1 << WORLD {
                let others = set(base, other);
                let mut merged = runs.clone();
                merged.merge(&others);
                let mut left = runs.clone();
                left.subtract(&others);
                let found = [&merged, &left, &runs.common(&others)].map(|set| bits(base, set));
                assert_eq!(found, [one | other, one & !other, one & other], "{runs:?} {others:?}");
                tried += 3;
            }
        }
    }
    println!(
        "measured: sets of ranges, every set of eight bytes with every range and every set: {tried} operations, 0 violations"
    );
}

/// Invariant I1, for every set of eight bytes, every grid and every stripe.
#[test]
fn every_plan_of_eight_bytes_covers_them_once() {
    let mut tried = 0_u64;
    for base in BASES {
        for wanted in 0..1 << WORLD {
            let todo = set(base, wanted);
            for (origin, shift) in
                (0..9).flat_map(|origin| (0..5).map(move |shift| (origin, shift)))
            {
                let (origin, size) = (base.wrapping_add(origin), 1_u64 << shift);
                let plan = Plan::new(&todo, origin, size);
                let mut before = 0;
                let mut covered = 0;
                for stripe in plan.iter() {
                    assert!(!stripe.is_empty() && stripe.start() >= before, "{todo:?}");
                    before = stripe.end();
                    for at in stripe.start()..stripe.end() {
                        covered |= 1 << (at - base);
                        // All of it is in one cell of the grid.
                        let cell =
                            |at: u64| wide(at).wrapping_sub(wide(origin)).div_euclid(wide(size));
                        assert_eq!(cell(at), cell(stripe.start()), "{stripe} of {todo:?}");
                    }
                }
                assert_eq!(covered, wanted, "{todo:?} by {size} from {origin}");
                assert_eq!(plan.bytes(), u64::from(wanted.count_ones()));
                assert_eq!(
                    (plan.iter().count() as u64, plan.pieces()),
                    (plan.stripes(), todo.clone())
                );
                tried += 1;
            }
        }
    }
    println!(
        "measured: plans, every set of eight bytes on every grid: {tried} plans, 0 violations"
    );
}

/// Pieces of every range, by every size and on every grid: they follow each other, and
/// each but the last is as long as it may be.
#[test]
fn every_range_of_eight_bytes_in_pieces() {
    for base in BASES {
        for (range, _) in ranges(base) {
            for size in 1..=WORLD + 1 {
                let pieces: Vec<_> = range.pieces(size).collect();
                assert_eq!(pieces.len() as u64, range.len().div_ceil(size));
                let mut at = range.start();
                for piece in &pieces {
                    assert!(piece.start() == at && !piece.is_empty(), "{range} by {size}");
                    assert!(piece.len() == size || piece.end() == range.end(), "{range} by {size}");
                    at = piece.end();
                }
                assert_eq!(at, range.end());
            }
            for (size, phase) in
                (0..4).flat_map(|shift| (0..9).map(move |phase| (1 << shift, phase)))
            {
                let mut at = range.start();
                for piece in range.pieces_on_grid(size, phase) {
                    assert!(piece.start() == at && !piece.is_empty(), "{range} by {size}");
                    let is_edge = piece.end().wrapping_add(phase) % size == 0;
                    assert!(is_edge || piece.end() == range.end(), "{range} by {size}");
                    assert!(piece.len() <= size);
                    at = piece.end();
                }
                assert_eq!(at, range.end(), "{range} by {size} + {phase}");
            }
            for length in 1..=WORLD + 1 {
                let segments = Segments::every(length, WORLD);
                let local = ByteRange::between(range.start() - base, range.end() - base);
                let mut at = local.start();
                for part in segments.parts(local) {
                    let first = part.number as u64 * length;
                    assert_eq!((part.whole.start(), part.local.start()), (at, at - first));
                    assert_eq!(part.whole.len(), part.local.len());
                    at = part.whole.end();
                }
                assert_eq!(at, local.end());
            }
        }
    }
}
