//! A digest that knows only one order: pieces take turns.
//!
//! There is one hasher and the position it has reached. A worker whose piece starts
//! there hashes it, and then those that wait for their turn behind it. A worker whose
//! piece starts elsewhere leaves a copy of it and goes on, so that nobody sleeps until
//! a turn comes: being woken takes as long as hashing a piece. Only so many bytes may
//! wait, zeros among them: nobody could stop the hashing of a hole of a TiB. Who finds no
//! room waits, and the copy is held back to the speed of the hash.

use std::collections::BTreeMap;

use super::content::Content;
use super::state::DigestState;
use super::{Algorithm, Digest, Hasher};
use crate::cpu::{into_inner, lock};
use crate::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// The hasher, handed from piece to piece in ascending order.
pub(super) struct InOrder {
    algorithm: Algorithm,
    /// Bytes that may wait.
    room: u64,
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
    taken: u64,
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
        };
        InOrder { algorithm, room: 0, turn: Mutex::new(turn), moved: Condvar::new() }
    }

    /// Has up to so many bytes wait.
    pub fn set_room(&mut self, room: u64) {
        self.room = room;
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
            if turn.taken.saturating_add(content.len()) <= self.room {
                return self.leave(turn, start, content);
            }
            turn = self.moved.wait(turn).unwrap_or_else(PoisonError::into_inner);
        }
        None
    }

    /// Has a copy of `content` wait. Its turn may have come before it was made.
    fn leave(
        &self,
        mut turn: MutexGuard<'_, Turn>,
        start: u64,
        content: Content<'_>,
    ) -> Option<Hasher> {
        turn.taken += content.len();
        drop(turn);
        let waiting = match content {
            Content::Data(data) => Waiting::Data(data.to_vec()),
            Content::Zeroes(len) => Waiting::Zeroes(len),
        };
        let mut turn = lock(&self.turn);
        let hasher = if turn.next == start { turn.hasher.take() } else { None };
        match hasher {
            Some(_) => turn.taken -= content.len(),
            None => drop(turn.waiting.insert(start, waiting)),
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
            // Those without room are woken when there is a lot.
            turn.taken -= waiting.content().len();
            let has_room = turn.taken <= self.room / 2;
            drop(turn);
            if has_room {
                self.moved.notify_all();
            }
            next += waiting.content().len();
            if !feed(&mut hasher, waiting.content(), state) {
                return;
            }
        }
    }

    /// Makes everyone who waits look at the fate again. To be called after it
    /// changed.
    pub fn wake(&self) {
        // A thread that looked before the change either waits by now or still holds
        // the lock: taken once, none can miss the call.
        lock(&self.turn).waiting.clear();
        self.moved.notify_all();
    }

    /// The digest of the whole range, `len` bytes, if it was seen.
    pub fn finish(self, len: u64) -> Option<Digest> {
        let turn = into_inner(self.turn);
        (turn.next == len).then_some(turn.hasher?.finalize())
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
