//! Memory of the caller that several workers fill at once, each its own part.
//!
//! The borrow checker cannot see that the parts are disjoint: it is looked at
//! when they are lent, and the memory is given back before the call that
//! borrowed it returns, whatever a worker still holds.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use crate::range::{ByteRange, RangeSet, as_u64, as_usize};
use crate::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Memory of the caller, lent part by part.
pub struct SharedBuffer {
    start: *mut u8,
    len: u64,
    lent: Mutex<Lending>,
    /// Told when a part has come back.
    back: Condvar,
}

#[derive(Default)]
struct Lending {
    /// What is lent now.
    out: RangeSet,
    /// Whether the caller has the memory again: nothing is lent any more.
    is_over: bool,
}

// SAFETY: the memory is reached through `lend` only, which gives no byte to two
// threads at once.
unsafe impl Send for SharedBuffer {}
// SAFETY: as above.
unsafe impl Sync for SharedBuffer {}

impl SharedBuffer {
    /// Lends `memory` to whatever `work` does with it, on this thread or others.
    /// When it returns, nobody has any part of it any more.
    pub fn lend_to<T>(memory: &mut [u8], work: impl FnOnce(Arc<SharedBuffer>) -> T) -> T {
        let shared = Arc::new(SharedBuffer {
            start: memory.as_mut_ptr(),
            len: as_u64(memory.len()),
            lent: Mutex::default(),
            back: Condvar::new(),
        });
        // Also if `work` panics: the memory is not the caller's before.
        let _over = Over(&shared);
        work(Arc::clone(&shared))
    }

    /// Length in bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The bytes `range` of the memory, until what is returned is dropped. `None`
    /// if they do not exist, if another thread has some of them, or if the caller
    /// has the memory again.
    pub fn lend(&self, range: ByteRange) -> Option<Lent<'_>> {
        let mut lent = self.lent();
        if lent.is_over || range.end() > self.len || !lent.out.within(range).is_empty() {
            return None;
        }
        lent.out.insert(range);
        Some(Lent { buffer: self, range })
    }

    fn lent(&self) -> MutexGuard<'_, Lending> {
        self.lent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends the lending when it is dropped, after every part has come back.
struct Over<'a>(&'a SharedBuffer);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        let mut lent = self.0.lent();
        lent.is_over = true;
        while !lent.out.is_empty() {
            lent = self.0.back.wait(lent).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// A part of the memory, for one thread.
pub struct Lent<'a> {
    buffer: &'a SharedBuffer,
    range: ByteRange,
}

impl Lent<'_> {
    fn start(&self) -> *mut u8 {
        // SAFETY: `lend` has seen that the range lies inside the memory.
        unsafe { self.buffer.start.add(as_usize(self.range.start())) }
    }
}

impl Deref for Lent<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the range lies inside the memory, which the caller of `lend_to`
        // cannot reach before this is dropped, and nobody else has any of it.
        unsafe { std::slice::from_raw_parts(self.start(), as_usize(self.range.len())) }
    }
}

impl DerefMut for Lent<'_> {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as of `deref`.
        unsafe { std::slice::from_raw_parts_mut(self.start(), as_usize(self.range.len())) }
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        self.buffer.lent().out.subtract(&self.range.into());
        self.buffer.back.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_byte_is_lent_twice_nor_after_the_end() {
        let mut memory = [0u8; 10];
        let part = |start, end| ByteRange::between(start, end);
        let kept = SharedBuffer::lend_to(&mut memory, |shared| {
            let mut first = shared.lend(part(0, 5)).unwrap();
            assert!(shared.lend(part(4, 6)).is_none() && shared.lend(part(5, 11)).is_none());
            shared.lend(part(5, 10)).unwrap().fill(2);
            first.fill(1);
            drop(first);
            assert_eq!(*shared.lend(part(4, 6)).unwrap(), [1, 2]);
            shared
        });
        assert!(kept.lend(part(0, 1)).is_none(), "the memory is the caller's");
        assert_eq!(memory, [1, 1, 1, 1, 1, 2, 2, 2, 2, 2]);
    }

    #[test]
    fn the_memory_comes_back_after_the_last_part_of_it() {
        let mut memory = vec![0u8; 1 << 16];
        let thread = SharedBuffer::lend_to(&mut memory, |shared| {
            let (taken, is_taken) = std::sync::mpsc::channel();
            let thread = std::thread::spawn(move || {
                let mut all = shared.lend(ByteRange::to(1 << 16)).unwrap();
                taken.send(()).unwrap();
                all.fill(7);
            });
            is_taken.recv().unwrap();
            thread
        });
        assert!(memory.iter().all(|&byte| byte == 7));
        thread.join().unwrap();
    }
}
