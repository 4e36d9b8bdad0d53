//! Threads, as many as there can be, and work for processors alone.
//!
//! A pool that cannot start is not a failure: there are fewer threads in it, and
//! where there can be none, the calling thread does all of it. Everybody brings
//! a pool of their own; the one that rayon would start by itself panics where
//! it cannot have its threads. This room knows no files.

use std::cmp::Ordering;

use rayon::prelude::*;

pub use crate::sync::{into_inner, lock};
use crate::sys;

/// Bytes of stack of a thread. Nothing that runs here is deep, and where address space
/// is limited, what std gives to each thread would be most of it.
pub const STACK: usize = 512 << 10;

/// Address space in bytes that threads leave to everything else.
const LEFT_TO_OTHERS: u64 = 4 << 20;

/// Whether a thread that also takes `bytes` fits into the address space this
/// process may have. std ends a process whose new thread has no room to begin.
pub fn has_room_for_thread(bytes: usize) -> bool {
    let needed = STACK.saturating_add(bytes) as u64;
    let fits = |left| needed.saturating_add(LEFT_TO_OTHERS) <= left;
    sys::address_space_left().is_none_or(fits)
}

/// Threads for work that is shared out, or none.
pub struct Pool(Option<rayon::ThreadPool>);

impl Pool {
    /// At most `threads` of them, and no more than there are processors.
    pub fn new(threads: usize) -> Pool {
        // A model does not know the threads of rayon.
        let most = if cfg!(all(test, pcopy_model)) { 1 } else { num_cpus::get() };
        let mut threads = threads.min(most);
        while threads > 1 && has_room_for_thread(threads.saturating_mul(STACK)) {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).stack_size(STACK);
            if let Ok(pool) = pool.build() {
                return Pool(Some(pool));
            }
            threads /= 2;
        }
        Pool::none()
    }

    /// The calling thread.
    pub fn none() -> Pool {
        Pool(None)
    }

    /// For a list of `items`: threads only where they pay.
    pub fn for_items(items: usize) -> Pool {
        if items > 1000 { Pool::new(usize::MAX) } else { Pool::none() }
    }

    /// Does `work` for each of `items`.
    pub fn each<T: Sync>(&self, items: &[T], work: impl Fn(&T) + Sync + Send) {
        match &self.0 {
            Some(pool) => pool.install(|| items.par_iter().for_each(work)),
            None => items.iter().for_each(work),
        }
    }

    /// What `of` makes of each of `items`, in their order.
    pub fn map<'t, T: Sync, R: Send>(
        &self,
        items: &'t [T],
        of: impl Fn(&'t T) -> R + Sync + Send,
    ) -> Vec<R> {
        match &self.0 {
            Some(pool) => pool.install(|| items.par_iter().map(of).collect()),
            None => items.iter().map(of).collect(),
        }
    }

    /// All that `of` makes of each of `items`, in their order.
    pub fn flat_map<'t, T: Sync, I>(
        &self,
        items: &'t [T],
        of: impl Fn(&'t T) -> I + Sync + Send,
    ) -> Vec<I::Item>
    where
        I: IntoIterator,
        I::Item: Send,
    {
        match &self.0 {
            Some(pool) => pool.install(|| items.par_iter().flat_map_iter(of).collect()),
            None => items.iter().flat_map(of).collect(),
        }
    }

    /// Puts `items` in order; equal ones in any.
    pub fn sort_by<T: Send>(
        &self,
        items: &mut [T],
        order: impl Fn(&T, &T) -> Ordering + Sync + Send,
    ) {
        match &self.0 {
            Some(pool) => pool.install(|| items.par_sort_unstable_by(order)),
            None => items.sort_unstable_by(order),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

    #[test]
    fn with_threads_or_without_the_result_is_the_same() {
        let numbers: Vec<u64> = (0..10_000).rev().collect();
        for pool in [Pool::none(), Pool::new(1), Pool::new(4), Pool::for_items(numbers.len())] {
            let sum = AtomicU64::new(0);
            pool.each(&numbers, |&number| {
                sum.fetch_add(number, SeqCst);
            });
            assert_eq!(sum.into_inner(), 49_995_000);
            assert_eq!(pool.map(&numbers, |&number| number + 1)[..2], [10_000, 9_999]);
            let odd = pool.flat_map(&numbers, |&number| (number % 2 == 1).then_some(number));
            assert_eq!(odd[..2], [9_999, 9_997]);
            let mut sorted = numbers.clone();
            pool.sort_by(&mut sorted, u64::cmp);
            assert!(sorted.is_sorted());
        }
    }
}
