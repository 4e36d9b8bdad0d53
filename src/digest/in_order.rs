//! A digest that knows only one order: pieces take turns.
//!
//! There is one hasher and the position it has reached. A worker whose piece
//! starts elsewhere waits until its predecessors are hashed. It keeps its one
//! buffer meanwhile and reads nothing more, so the copy is held back to the
//! speed of the hash and no window of buffers has to be bounded.

use super::content::Content;
use super::state::DigestState;
use super::{Algorithm, Digest, Hasher};
use crate::cpu::{into_inner, lock};
use crate::sync::{Condvar, Mutex, PoisonError};

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
}

impl InOrder {
    /// Of which nothing is known.
    pub fn new(algorithm: Algorithm) -> InOrder {
        let turn = Turn { next: 0, hasher: Some(Hasher::new(algorithm)) };
        InOrder { algorithm, turn: Mutex::new(turn), moved: Condvar::new() }
    }

    /// Which digest it is.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Waits until everything before `start` was hashed, then hashes `content`.
    /// Returns early, without having hashed it, once the digest is lost.
    pub fn update(&self, start: u64, content: Content<'_>, state: &DigestState) {
        let Some(mut hasher) = self.wait_for(start, state) else {
            return;
        };
        // Zeros may be many: a cancelled copy does not wait for them.
        for block in content.blocks() {
            if state.is_lost() {
                return;
            }
            hasher.update(block);
        }
        let mut turn = lock(&self.turn);
        turn.next = start + content.len();
        turn.hasher = Some(hasher);
        drop(turn);
        self.moved.notify_all();
    }

    fn wait_for(&self, start: u64, state: &DigestState) -> Option<Hasher> {
        let mut turn = lock(&self.turn);
        while !state.is_lost() {
            if turn.next == start {
                return turn.hasher.take();
            }
            turn = self.moved.wait(turn).unwrap_or_else(PoisonError::into_inner);
        }
        None
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
