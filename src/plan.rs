//! Which stripes a job consists of. Pure arithmetic, no I/O.
//!
//! A stripe is the unit of scheduling, retry, journalling and hashing. Stripe
//! edges lie at multiples of the stripe size counted from an *origin*; the
//! first and last stripe of a piece may be shorter. Nothing is stored per
//! stripe: a plan of a petabyte is as small as its list of pieces.

use crate::range::{ByteRange, RangeSet};
use crate::sync::atomic::{AtomicU64, Ordering::Relaxed};
use crate::sys::FILLS_AHEAD;

/// Smallest stripe chosen: below it, claiming and recording cost more than
/// they balance.
pub const SMALLEST_STRIPE: u64 = 1 << 20;

/// Largest stripe chosen. Large enough for readahead and for one wait of a
/// rotating disk to vanish; small enough that little is lost when a run ends
/// in the middle of one.
pub const LARGEST_STRIPE: u64 = 16 << 20;

/// Largest stripe chosen on this system, for requests of `io_size` bytes. Where
/// a file system fills with zeros what a write skips, workers stay close
/// together: what is filled between them is little, and written over while it
/// is still in memory.
pub fn longest_stripe(io_size: u64) -> u64 {
    let one_request = io_size.next_power_of_two().clamp(SMALLEST_STRIPE, LARGEST_STRIPE);
    if FILLS_AHEAD { one_request } else { LARGEST_STRIPE }
}

/// Stripes a worker should get, so that all end at about the same time.
const STRIPES_PER_WORKER: u64 = 4;

/// A power-of-two stripe size that keeps `workers` busy on `bytes`.
pub fn stripe_size(bytes: u64, workers: usize, io_size: u64) -> u64 {
    let share = bytes / (workers as u64).saturating_mul(STRIPES_PER_WORKER).max(1);
    let smallest = SMALLEST_STRIPE.min(io_size.next_power_of_two());
    let share = share.clamp(smallest, longest_stripe(io_size));
    // The power of two not above the share.
    1 << share.ilog2()
}

/// One run of bytes to copy and the number of its first stripe.
#[derive(Clone, Copy, Debug)]
struct Piece {
    range: ByteRange,
    first_stripe: u64,
}

/// The stripes of a job, ascending and disjoint.
#[derive(Clone, Debug)]
pub struct Plan {
    pieces: Vec<Piece>,
    stripes: u64,
    bytes: u64,
    stripe_size: u64,
    /// Source offset that stripe edges are counted from, modulo the stripe size.
    phase: u64,
}

impl Plan {
    /// Cuts `todo` at every `origin + k * stripe_size`.
    ///
    /// # Panics
    ///
    /// If `stripe_size` is not a power of two.
    pub fn new(todo: &RangeSet, origin: u64, stripe_size: u64) -> Plan {
        assert!(stripe_size.is_power_of_two(), "stripe edges are found by masking");
        let mut plan = Plan {
            pieces: Vec::with_capacity(todo.as_slice().len()),
            stripes: 0,
            bytes: todo.bytes(),
            stripe_size,
            phase: origin & (stripe_size - 1),
        };
        for range in todo.iter() {
            plan.pieces.push(Piece { range, first_stripe: plan.stripes });
            let last = range.end() - 1;
            plan.stripes += plan.cell(last) - plan.cell(range.start()) + 1;
        }
        plan
    }

    /// The number of the cell of the grid that `offset` lies in.
    fn cell(&self, offset: u64) -> u64 {
        let shift = self.stripe_size.trailing_zeros();
        // Shifted by one cell so that offsets before the phase do not wrap.
        match offset.checked_sub(self.phase) {
            Some(distance) => (distance >> shift) + 1,
            None => 0,
        }
    }

    /// The stripe with number `index`, if there is one.
    pub fn stripe(&self, index: u64) -> Option<ByteRange> {
        if index >= self.stripes {
            return None;
        }
        let at = self.pieces.partition_point(|piece| piece.first_stripe <= index) - 1;
        let piece = self.pieces[at];
        let cell = self.cell(piece.range.start()) + (index - piece.first_stripe);
        let edge = |cell: u64| match cell.checked_sub(1) {
            None => Some(0),
            Some(whole) => whole.checked_mul(self.stripe_size)?.checked_add(self.phase),
        };
        let start = edge(cell).unwrap_or(u64::MAX);
        let end = cell.checked_add(1).and_then(edge).unwrap_or(u64::MAX);
        Some(ByteRange::between(start, end).intersect(piece.range))
    }

    /// How many stripes there are.
    pub fn stripes(&self) -> u64 {
        self.stripes
    }

    /// How many bytes they hold together.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Largest stripe in bytes.
    pub fn stripe_size(&self) -> u64 {
        self.stripe_size
    }

    /// The bytes as runs, as they were before they were cut.
    pub fn pieces(&self) -> RangeSet {
        self.pieces.iter().map(|piece| piece.range).collect()
    }

    /// Every stripe in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = ByteRange> + '_ {
        (0..self.stripes).filter_map(|index| self.stripe(index))
    }
}

/// Hands the stripes of a plan out, each once, in ascending order, to any
/// number of threads.
#[derive(Debug)]
pub struct Cursor<'a> {
    plan: &'a Plan,
    next: AtomicU64,
}

impl<'a> Cursor<'a> {
    /// At the first stripe.
    pub fn new(plan: &'a Plan) -> Cursor<'a> {
        Cursor { plan, next: AtomicU64::new(0) }
    }

    /// The next stripe that nobody has.
    pub fn claim(&self) -> Option<ByteRange> {
        // The counter cannot wrap: a plan has fewer than 2^64 stripes, and
        // every worker stops at its first `None`.
        self.plan.stripe(self.next.fetch_add(1, Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Invariant I1, for one plan.
    fn check(todo: &RangeSet, origin: u64, stripe_size: u64) {
        let plan = Plan::new(todo, origin, stripe_size);
        let mut covered = RangeSet::new();
        let mut before = 0;
        for stripe in plan.iter() {
            assert!(!stripe.is_empty());
            assert!(before <= stripe.start(), "ascending and disjoint");
            before = stripe.end();
            assert!(stripe.len() <= stripe_size);
            for edge in [stripe.start(), stripe.end()] {
                let interior = todo.iter().all(|run| run.start() != edge && run.end() != edge);
                let aligned = edge.wrapping_sub(origin) % stripe_size == 0;
                assert!(aligned || !interior, "edge {edge} of {stripe}");
            }
            covered.insert(stripe);
        }
        assert_eq!(&covered, todo);
        assert_eq!(plan.bytes(), todo.bytes());
        assert_eq!((plan.stripe_size(), &plan.pieces()), (stripe_size, todo));
        assert_eq!(plan.stripe(plan.stripes()), None);
    }

    fn set(ranges: &[(u64, u64)]) -> RangeSet {
        ranges.iter().map(|&(a, b)| ByteRange::between(a, b)).collect()
    }

    #[test]
    fn edges_and_extremes() {
        check(&set(&[]), 0, 1);
        check(&set(&[(0, 1)]), 0, 4096);
        check(&set(&[(4095, 4097)]), 0, 4096);
        check(&set(&[(5, 4096 * 3 + 7)]), 5, 4096);
        check(&set(&[(u64::MAX - 10_000, u64::MAX)]), 0, 4096);
        check(&set(&[(u64::MAX - 10_000, u64::MAX)]), 4095, 4096);
        check(&set(&[(0, 10), (20, 30), (4000, 9000)]), 17, 64);
        check(&set(&[(0, u64::MAX)]), 3, 1 << 62);
    }

    #[test]
    fn a_small_source_still_keeps_four_workers_busy() {
        let stripe = stripe_size(16 << 20, 4, 1 << 20);
        assert!((16 << 20) / stripe >= 4 * STRIPES_PER_WORKER);
        assert_eq!(stripe_size(u64::MAX, 1, 1 << 20), longest_stripe(1 << 20));
        assert_eq!(stripe_size(0, 8, 1 << 20), SMALLEST_STRIPE);
        assert_eq!(stripe_size(0, 8, 1 << 16), 1 << 16);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(100_000))]
        /// Invariant I1: the plan covers the wanted range exactly once.
        #[test]
        fn a_plan_covers_its_bytes_exactly_once(
            base in prop_oneof![Just(0u64), 0..1u64 << 40, Just(u64::MAX - 70_000)],
            cuts in proptest::collection::btree_set(0u64..65_000, 0..8),
            origin in 0u64..100_000,
            shift in 9u32..17,
        ) {
            let cuts: Vec<u64> = cuts.into_iter().map(|cut| base + cut).collect();
            let todo = cuts.chunks_exact(2).map(|p| ByteRange::between(p[0], p[1])).collect();
            check(&todo, origin, 1 << shift);
        }
    }

    #[test]
    fn every_stripe_is_claimed_once_by_any_number_of_threads() {
        let todo = set(&[(3, 100_000), (200_000, 300_001)]);
        let plan = Plan::new(&todo, 0, 64);
        let cursor = Cursor::new(&plan);
        let mut claimed: Vec<ByteRange> = std::thread::scope(|scope| {
            let claim_all = || std::iter::from_fn(|| cursor.claim()).collect::<Vec<_>>();
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(claim_all)).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        claimed.sort_unstable();
        assert_eq!(claimed, plan.iter().collect::<Vec<_>>());
    }
}
