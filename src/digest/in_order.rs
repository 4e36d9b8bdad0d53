//! A digest that knows only one order: pieces take turns.
//!
//! There is one hasher and the position it has reached. A worker whose piece starts
//! there hashes it, and then those that wait for their turn behind it. A worker whose
//! piece starts elsewhere leaves a copy of it and goes on, so that nobody sleeps until
//! a turn comes: being woken takes as long as hashing a piece. Only so many bytes may
//! wait. Who finds no room waits, and the copy is held back to the speed of the hash.

use std::collections::BTreeMap;

use super::content::Content;
use super::state::DigestState;
use super::{Algorithm, Digest, Hasher};
use crate::cpu::{into_inner, lock};
use crate::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Bytes that may wait: several requests of 1 MiB, and little beside the 16 MiB that a copy
/// may take besides its requests.
#[cfg(not(test))]
const ROOM: usize = 4 << 20;
/// Two pieces of the tests of schedules; larger ones find none.
#[cfg(test)]
const ROOM: usize = 8;

/// The hasher, handed from piece to piece in ascending order.
pub(super) struct InOrder {
    algorithm: Algorithm,
    turn: Mutex<Turn>,
    moved: Condvar,
}

struct Turn {
    /// First byte that has not been hashed.
    next: u64,
    /// Away while a worker uses it.
    hasher: Option<Hasher>,
    /// Pieces that wait for their turn, by where they start.
    waiting: BTreeMap<u64, Waiting>,
    /// Bytes that wait or are about to.
    taken: usize,
    /// Buffers that were used before: the first use of memory is slow.
    spare: Vec<Vec<u8>>,
}

enum Waiting {
    Data(Vec<u8>),
    /// So many zeros.
    Zeroes(u64),
}

impl Waiting {
    fn content(&self) -> Content<'_> {
        match self {
            Waiting::Data(data) => Content::Data(data),
            Waiting::Zeroes(len) => Content::Zeroes(*len),
        }
    }
}

impl InOrder {
    /// Of which nothing is known.
    pub fn new(algorithm: Algorithm) -> InOrder {
        let turn = Turn {
            next: 0,
            hasher: Some(Hasher::new(algorithm)),
            waiting: BTreeMap::new(),
            taken: 0,
            spare: Vec::new(),
        };
        InOrder { algorithm, turn: Mutex::new(turn), moved: Condvar::new() }
    }

    /// Which digest it is.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Hashes `content`, which starts at `start`, and what waits behind it; if its turn
    /// has not come, has a copy of it wait. Without room, waits itself. Returns early once
    /// the digest is lost.
    pub fn update(&self, start: u64, content: Content<'_>, state: &DigestState) {
        if let Some(hasher) = self.take_turn(start, content, state) {
            self.hash(hasher, start, content, state);
        }
    }

    /// The hasher, if it is the turn of `content`; `None` if that waits, or nobody needs
    /// it any more.
    fn take_turn(&self, start: u64, content: Content<'_>, state: &DigestState) -> Option<Hasher> {
        let mut turn = lock(&self.turn);
        while !state.is_lost() {
            if turn.next == start
                && let Some(hasher) = turn.hasher.take()
            {
                return Some(hasher);
            }
            if let Content::Zeroes(len) = content {
                turn.waiting.insert(start, Waiting::Zeroes(len));
                return None;
            }
            if let Content::Data(data) = content
                && turn.taken.saturating_add(data.len()) <= ROOM
            {
                return self.leave(turn, start, data);
            }
            turn = self.moved.wait(turn).unwrap_or_else(PoisonError::into_inner);
        }
        None
    }

    /// Has a copy of `data` wait. Its turn may have come before it was made.
    fn leave(&self, mut turn: MutexGuard<'_, Turn>, start: u64, data: &[u8]) -> Option<Hasher> {
        turn.taken += data.len();
        let mut buffer = turn.spare.pop().unwrap_or_default();
        drop(turn);
        buffer.clear();
        buffer.extend_from_slice(data);
        let mut turn = lock(&self.turn);
        let hasher = if turn.next == start { turn.hasher.take() } else { None };
        match hasher {
            Some(_) => turn.give_back(buffer),
            None => drop(turn.waiting.insert(start, Waiting::Data(buffer))),
        }
        hasher
    }

    /// Hashes `content`, and what waits behind it.
    fn hash(&self, mut hasher: Hasher, start: u64, content: Content<'_>, state: &DigestState) {
        let mut next = start + content.len();
        if !feed(&mut hasher, content, state) {
            return;
        }
        loop {
            let mut turn = lock(&self.turn);
            turn.next = next;
            let Some(waiting) = turn.waiting.remove(&next) else {
                turn.hasher = Some(hasher);
                drop(turn);
                return self.moved.notify_all();
            };
            drop(turn);
            let content = waiting.content();
            next += content.len();
            if !feed(&mut hasher, content, state) {
                return;
            }
            if let Waiting::Data(buffer) = waiting {
                lock(&self.turn).give_back(buffer);
                self.moved.notify_all();
            }
        }
    }

    /// Makes everyone who waits look at the fate again. To be called after it
    /// changed.
    pub fn wake(&self) {
        // A thread that looked before the change either waits by now or still holds
        // the lock: taken once, none can miss the call.
        drop(lock(&self.turn));
        self.moved.notify_all();
    }

    /// The digest of the whole range, `len` bytes, if it was seen.
    pub fn finish(self, len: u64) -> Option<Digest> {
        let turn = into_inner(self.turn);
        (turn.next == len).then_some(turn.hasher?.finalize())
    }
}

impl Turn {
    /// A buffer whose bytes do not wait any more.
    fn give_back(&mut self, buffer: Vec<u8>) {
        self.taken -= buffer.len();
        let kept: usize = self.spare.iter().map(Vec::capacity).sum();
        if kept + buffer.capacity() <= ROOM {
            self.spare.push(buffer);
        }
    }
}

/// Hashes all of `content`; whether the digest is not lost. Zeros may be many: a
/// cancelled copy does not wait for them.
fn feed(hasher: &mut Hasher, content: Content<'_>, state: &DigestState) -> bool {
    content.blocks().all(|block| {
        let is_wanted = !state.is_lost();
        if is_wanted {
            hasher.update(block);
        }
        is_wanted
    })
}
