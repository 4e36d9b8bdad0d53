//! Range arithmetic against wider integers, sets of ranges against a bitmap.

use super::*;
use proptest::prelude::*;

/// Offsets where arithmetic goes wrong: around 0, powers of two and `u64::MAX`.
fn any_offset() -> impl Strategy<Value = u64> {
    prop_oneof![
        0..10u64,
        (0..10u64).prop_map(|below| u64::MAX - below),
        (0..64u32, 0..5u64)
            .prop_map(|(shift, near)| (1u64 << shift).wrapping_add(near).wrapping_sub(2)),
        any::<u64>(),
    ]
}

#[test]
fn pieces_end_on_the_grid() {
    let range = |a, b| ByteRange::new(a, b).unwrap();
    let check = |whole: ByteRange, phase: u64, edges: &[u64]| {
        let pieces: Vec<_> = whole.pieces_on_grid(8, phase).collect();
        let expected: Vec<_> = edges.windows(2).map(|pair| range(pair[0], pair[1])).collect();
        assert_eq!(pieces, expected);
    };
    check(range(0, 20), 0, &[0, 8, 16, 20]);
    check(range(3, 20), 0, &[3, 8, 16, 20]);
    check(range(3, 20), 5, &[3, 11, 19, 20]);
    check(range(3, 20), 0u64.wrapping_sub(3), &[3, 11, 19, 20]);
    check(range(u64::MAX - 9, u64::MAX), 0, &[u64::MAX - 9, u64::MAX - 7, u64::MAX]);
    assert_eq!(range(5, 5).pieces_on_grid(8, 0).count(), 0);
}

fn any_range() -> impl Strategy<Value = ByteRange> {
    prop_oneof![
        (any_offset(), any_offset()).prop_map(|(a, b)| ByteRange::between(a, b)),
        (any_offset(), 0..20u64).prop_map(|(a, len)| ByteRange::between(a, a.saturating_add(len))),
    ]
}

/// `[start, end)` in integers that cannot overflow here.
fn wide(range: ByteRange) -> (i128, i128) {
    (range.start().into(), range.end().into())
}

#[test]
fn constructors() {
    assert_eq!(ByteRange::new(5, 5).map(ByteRange::len), Some(0));
    assert_eq!(ByteRange::new(6, 5), None);
    assert_eq!(ByteRange::to(5), ByteRange::between(5, 0));
    assert_eq!(ByteRange::with_len(u64::MAX, 0), ByteRange::new(u64::MAX, u64::MAX));
    assert_eq!(ByteRange::with_len(u64::MAX, 1), None);
    assert_eq!(ByteRange::between(3, 9).to_string(), "3..9");
    assert_eq!(format!("{:?}", ByteRange::between(3, 9)), "3..9");
    assert_eq!((as_u64(7), as_usize(7)), (7, 7));
    assert_eq!(serde_json::to_string(&ByteRange::to(9)).unwrap(), r#"{"start":0,"end":9}"#);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40_000))]

    #[test]
    fn arithmetic_agrees_with_wider_integers(
        a in any_range(), b in any_range(), offset in any_offset(), to in any_offset(), shift in 0..64u32,
    ) {
        let ((a_start, a_end), (b_start, b_end)) = (wide(a), wide(b));
        prop_assert_eq!(i128::from(a.len()), a_end - a_start);
        prop_assert_eq!(a.is_empty(), a_end == a_start);

        let shared = (a_end.min(b_end) - a_start.max(b_start)).max(0);
        prop_assert_eq!(i128::from(a.intersect(b).len()), shared);
        prop_assert_eq!(i128::from(a.intersect(b).start()), a_start.max(b_start));
        prop_assert_eq!(a.overlaps(b), shared > 0);
        prop_assert_eq!(a.contains(b), b.is_empty() || shared == b_end - b_start);

        let (head, tail) = a.split_at(offset);
        let cut = i128::from(offset).clamp(a_start, a_end);
        prop_assert_eq!((wide(head), wide(tail)), ((a_start, cut), (cut, a_end)));

        let (moved_start, moved_end) = (a_start - i128::from(offset) + i128::from(to), a_end - i128::from(offset) + i128::from(to));
        let fits = i128::from(offset) <= a_start && moved_end <= i128::from(u64::MAX);
        prop_assert_eq!(a.rebase(offset, to).map(wide), fits.then_some((moved_start, moved_end)));

        let unit = 1i128 << shift;
        let down = |offset: i128| offset / unit * unit;
        let up = |offset: i128| down(offset + unit - 1).min(u64::MAX.into());
        prop_assert_eq!(wide(a.align_out(1 << shift)), (down(a_start), up(a_end)));
        let inner = (up(a_start), down(a_end));
        let inner = if inner.0 <= inner.1 { inner } else { (a_end, a_end) };
        prop_assert_eq!(wide(a.align_in(1 << shift)), inner);
        prop_assert!(a.align_out(1 << shift).contains(a) && a.contains(a.align_in(1 << shift)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn pieces_follow_each_other(range in any_range(), piece in any_offset()) {
        let mut from = range.start();
        for found in range.pieces(piece).take(100) {
            prop_assert_eq!(found.start(), from);
            prop_assert!(!found.is_empty() && found.len() <= piece.max(1) && found.end() <= range.end());
            prop_assert!(found.len() == piece.max(1) || found.end() == range.end());
            from = found.end();
        }
        let all = u128::from(range.len()) <= 100 * u128::from(piece.max(1));
        prop_assert!(!all || from == range.end());
    }
}

/// Offsets of the universe of the model: its bits, seen from `base`.
const UNIVERSE: u64 = 64;

/// A set of at most 64 bytes as a bitmap, the model of a `RangeSet`.
#[derive(Clone, Copy)]
struct Bitmap {
    base: u64,
    bits: u64,
}

impl Bitmap {
    fn of(base: u64, range: ByteRange) -> Bitmap {
        let below = |offset: u64| (1u128 << (offset - base)) - 1;
        Bitmap { base, bits: (below(range.end()) & !below(range.start())) as u64 }
    }

    /// Whether `set` holds these bytes, and is kept as it promises.
    #[track_caller]
    fn check(self, set: &RangeSet) {
        let runs = set.as_slice();
        assert!(runs.iter().all(|run| !run.is_empty()), "{runs:?} holds an empty run");
        assert!(
            runs.windows(2).all(|pair| pair[0].end() < pair[1].start()),
            "{runs:?} is not in order"
        );
        let bits = runs.iter().fold(0, |bits, &run| bits | Bitmap::of(self.base, run).bits);
        assert_eq!(bits, self.bits, "{runs:?} is not {:b} from {}", self.bits, self.base);
        assert_eq!(set.bytes(), u64::from(self.bits.count_ones()));
        assert_eq!(set.is_empty(), self.bits == 0);
        assert!(set.iter().eq(runs.iter().copied()));
    }
}

/// A range as two places in the universe.
type Places = (u64, u64);

fn places() -> impl Strategy<Value = Places> {
    (0..=UNIVERSE, 0..=UNIVERSE)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60_000))]

    #[test]
    fn sets_agree_with_a_bitmap(
        at_the_end: bool,
        steps in prop::collection::vec((any::<bool>(), places()), 0..12),
        others in prop::collection::vec(places(), 0..6),
        asked in places(),
    ) {
        let base = if at_the_end { u64::MAX - UNIVERSE } else { 0 };
        let range = |(a, b): Places| ByteRange::between(base + a, base + b);

        let (mut set, mut model) = (RangeSet::new(), Bitmap { base, bits: 0 });
        for (insert, places) in steps {
            let step = Bitmap::of(base, range(places)).bits;
            if insert {
                set.insert(range(places));
                model.bits |= step;
            } else {
                set.remove(range(places));
                model.bits &= !step;
            }
            model.check(&set);
        }

        let wanted = Bitmap::of(base, range(asked)).bits;
        let bits = |bits| Bitmap { base, bits };
        bits(model.bits & wanted).check(&set.within(range(asked)));
        bits(wanted & !model.bits).check(&set.missing_from(range(asked)));
        assert_eq!(set.covers(range(asked)), wanted & !model.bits == 0);

        let other: RangeSet = others.iter().map(|&places| range(places)).collect();
        let other_model = others.iter().fold(0, |all, &places| all | Bitmap::of(base, range(places)).bits);
        bits(other_model).check(&other);
        bits(model.bits & other_model).check(&set.common(&other));
        let mut merged = set.clone();
        merged.merge(&other);
        bits(model.bits | other_model).check(&merged);
        set.subtract(&other);
        bits(model.bits & !other_model).check(&set);
    }
}

/// Merging and subtracting run by run moved the tail of the list each time:
/// quadratic, which this many runs would turn into minutes.
#[test]
fn large_sets_merge_and_subtract_in_one_pass() {
    let runs = |first: u64| -> RangeSet {
        (0..500_000)
            .map(|index| ByteRange::between(first + index * 8, first + index * 8 + 2))
            .collect()
    };
    let (mut set, other) = (runs(0), runs(4));
    set.merge(&other);
    assert_eq!((set.as_slice().len(), set.bytes()), (1_000_000, 2_000_000));
    set.subtract(&other);
    assert_eq!(set, runs(0));
}

#[test]
fn a_set_is_reported_as_a_list_of_ranges() {
    let set: RangeSet = [ByteRange::between(4, 6), ByteRange::to(2)].into_iter().collect();
    assert_eq!(
        serde_json::to_string(&set).unwrap(),
        r#"[{"start":0,"end":2},{"start":4,"end":6}]"#
    );
    let text = r#"[{"start":4,"end":6},{"start":0,"end":2}]"#;
    assert_eq!(serde_json::from_str::<RangeSet>(text).unwrap(), set);
    assert!(serde_json::from_str::<RangeSet>(r#"[{"start":4,"end":2}]"#).is_err());
}
