//! The cursor that hands out stripes and the flag that stops a job, which are all that
//! workers share without a lock: every interleaving of a few threads, and every value that a
//! read may see where nothing orders it.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

use loom::thread;
use pcopy_loom::cancel::CancelToken;
use pcopy_loom::plan::{Cursor, Plan};
use pcopy_loom::range::{ByteRange, RangeSet};

const STRIPES: u64 = 3;

/// Of two pieces, and of stripes with different lengths.
fn plan() -> &'static Plan {
    static PLAN: OnceLock<Plan> = OnceLock::new();
    PLAN.get_or_init(|| {
        let pieces: RangeSet =
            [(1, 6), (8, 9)].into_iter().map(|(a, b)| ByteRange::between(a, b)).collect();
        let plan = Plan::new(&pieces, 0, 4);
        assert_eq!(plan.stripes(), STRIPES);
        plan
    })
}

/// Runs `model` in every way there is, and says how many they were.
fn explore(what: &str, model: impl Fn() + Send + Sync + 'static) {
    let runs = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&runs);
    loom::model(move || {
        counted.fetch_add(1, Relaxed);
        model();
    });
    let runs = runs.load(Relaxed);
    assert!(runs > 1, "there was nothing to choose");
    println!("measured: {what}, by loom: {runs} executions, 0 violations");
}

/// What a worker claims until it is told to stop or nothing is left.
fn claim_all(cursor: &Cursor<'_>, cancel: &CancelToken) -> Vec<ByteRange> {
    let next = || if cancel.is_cancelled() { None } else { cursor.claim() };
    std::iter::from_fn(next).collect()
}

/// What `workers` claim, of whom the last one is this thread.
fn work(workers: usize, cancel: &CancelToken) -> Vec<ByteRange> {
    let cursor = Arc::new(Cursor::new(plan()));
    let others: Vec<_> = (1..workers)
        .map(|_| {
            let (cursor, cancel) = (Arc::clone(&cursor), cancel.clone());
            thread::spawn(move || claim_all(&cursor, &cancel))
        })
        .collect();
    let mut claimed = claim_all(&cursor, cancel);
    for other in others {
        let theirs = other.join().unwrap();
        assert!(theirs.is_sorted(), "not in order: {theirs:?}");
        claimed.extend(theirs);
    }
    claimed.sort_unstable();
    claimed
}

#[test]
fn every_stripe_is_claimed_once() {
    for workers in [2, 3] {
        explore(&format!("the cursor, {workers} workers"), move || {
            assert_eq!(work(workers, &CancelToken::new()), plan().iter().collect::<Vec<_>>());
        });
    }
}

#[test]
fn a_wish_to_stop_leaves_no_gap() {
    explore("the cursor and a wish to stop", || {
        let cancel = CancelToken::new();
        let user = {
            let cancel = cancel.clone();
            thread::spawn(move || cancel.cancel())
        };
        let claimed = work(2, &cancel);
        user.join().unwrap();
        let first = plan().iter().take(claimed.len()).collect::<Vec<_>>();
        assert_eq!(claimed, first, "one was left out");
        assert!(cancel.is_cancelled());
    });
}

#[test]
fn a_wish_to_stop_is_heard_at_last_and_never_taken_back() {
    explore("two wishes to stop", || {
        let cancel = CancelToken::new();
        let users =
            [cancel.clone(), cancel.clone()].map(|cancel| thread::spawn(move || cancel.cancel()));
        let mut was_heard = false;
        while !cancel.is_cancelled() {
            thread::yield_now();
        }
        for user in users {
            was_heard |= cancel.is_cancelled();
            assert!(was_heard && cancel.is_cancelled(), "taken back");
            user.join().unwrap();
        }
        assert!(cancel.is_cancelled());
    });
}
