//! What looks at the bytes of a transfer as they pass: digests of the whole
//! range, and fingerprints of its stripes for a later verification.
//!
//! A digest needs every byte of the range, also those that nobody moves: holes,
//! and what an earlier run has copied. A plan for a transfer with digests
//! therefore covers the whole range, and the observers say of each piece whether it
//! is to be moved, read back or taken as zeros.

use std::sync::Arc;

use crate::digest::{Abandoned, Digest, Digester, PieceDigests};
use crate::io::Source;
use crate::io::fingerprint::Fingerprint;
use crate::progress::lock;
use crate::range::{ByteRange, RangeSet};
use crate::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard};

/// What looks at the bytes of a transfer as they pass.
#[derive(Default)]
pub struct Observers {
    /// Shared by reading; taken out by writing when the workers are gone.
    digester: RwLock<Option<Digester>>,
    /// Holes of the source that the destination has too: nothing is done about them.
    zeroes: RangeSet,
    /// Bytes that an earlier run has moved.
    earlier: RangeSet,
    /// The destination, to read `earlier` from, at its own offsets.
    back: Option<Arc<dyn Source>>,
    /// Fingerprints of whole pieces, where they are wanted.
    fingerprints: Option<Mutex<Vec<Fingerprint>>>,
}

/// What is to be done with a piece of a stripe.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Todo {
    /// Read, write, and look at it.
    Move,
    /// Make a hole and look at as many zeros.
    MakeHole,
    /// Read it from the destination and look at it.
    ReadBack,
    /// Look at as many zeros.
    Zeroes,
}

impl Observers {
    /// Looks at nothing.
    pub fn none() -> Observers {
        Observers::default()
    }

    /// Computes digests.
    pub fn digests(mut self, digester: Digester) -> Observers {
        self.digester = RwLock::new(Some(digester));
        self
    }

    /// Of the range, `zeroes` are holes on both sides, and `earlier` is read
    /// back from `back`, the destination.
    pub fn settled(
        mut self,
        zeroes: RangeSet,
        earlier: RangeSet,
        back: Arc<dyn Source>,
    ) -> Observers {
        (self.zeroes, self.earlier, self.back) = (zeroes, earlier, Some(back));
        self
    }

    /// Records a fingerprint of every piece that is moved whole.
    pub fn fingerprints(mut self) -> Observers {
        self.fingerprints = Some(Mutex::default());
        self
    }

    /// The pieces of `stripe` in ascending order, `holes` being what is to be
    /// made a hole. What an earlier run has done is not done again.
    pub(super) fn pieces(&self, stripe: ByteRange, holes: &RangeSet) -> Vec<(ByteRange, Todo)> {
        if self.zeroes.is_empty() && self.earlier.is_empty() && holes.is_empty() {
            return vec![(stripe, Todo::Move)];
        }
        let earlier = self.earlier.within(stripe);
        let zeroes = self.zeroes.within(stripe);
        let mut settled = zeroes.clone();
        settled.merge(&earlier);
        let mut holes = holes.within(stripe);
        holes.subtract(&settled);
        settled.merge(&holes);
        let to_move = settled.missing_from(stripe);
        let all = [
            (zeroes, Todo::Zeroes),
            (earlier, Todo::ReadBack),
            (holes, Todo::MakeHole),
            (to_move, Todo::Move),
        ];
        let mut pieces: Vec<_> = all
            .iter()
            .flat_map(|(set, todo)| set.iter().map(move |range| (range, *todo)))
            .collect();
        pieces.sort_by_key(|&(range, _)| range);
        pieces
    }

    /// Hands bytes that start at `start` in the source to the digests; may
    /// wait for their turn.
    pub(super) fn bytes(&self, start: u64, data: &[u8]) -> Result<(), Abandoned> {
        self.digester().as_ref().map_or(Ok(()), |digester| digester.update(start, data))
    }

    /// The same with zeros.
    pub(super) fn zeroes(&self, hole: ByteRange) -> Result<(), Abandoned> {
        self.digester().as_ref().map_or(Ok(()), |digester| digester.update_zeroes(hole))
    }

    /// `range` cannot be had: there will be no digest of what it lies in.
    pub(super) fn spoil(&self, range: ByteRange) {
        if let Some(digester) = self.digester().as_ref() {
            digester.spoil_range(range);
        }
    }

    /// Wakes every thread that waits for a turn that will not come.
    pub(super) fn abandon(&self) {
        if let Some(digester) = self.digester().as_ref() {
            digester.abandon();
        }
    }

    pub(super) fn wants_fingerprints(&self) -> bool {
        self.fingerprints.is_some()
    }

    pub(super) fn record(&self, fingerprint: Fingerprint) {
        if let Some(fingerprints) = &self.fingerprints {
            lock(fingerprints).push(fingerprint);
        }
    }

    pub(super) fn back(&self) -> Option<&Arc<dyn Source>> {
        self.back.as_ref()
    }

    /// What is looked at ends at `end`, in bytes of the source: that was not known.
    pub fn end_at(&self, end: u64) {
        if let Some(digester) = self.digester().as_ref() {
            digester.end_at(end);
        }
    }

    /// The digests, once all workers are gone; `None` if bytes are missing.
    /// They are taken out.
    pub fn take_digests(&self) -> Option<Vec<Digest>> {
        let digester = self.digester.write().unwrap_or_else(PoisonError::into_inner).take();
        digester?.finish()
    }

    /// The digests of the pieces, where they are wanted. They are taken out.
    pub fn take_pieces(&self) -> Vec<PieceDigests> {
        self.digester().as_ref().map_or_else(Vec::new, Digester::take_pieces)
    }

    /// The fingerprints recorded so far, ascending. They are taken out.
    pub fn take_fingerprints(&self) -> Vec<Fingerprint> {
        let Some(fingerprints) = &self.fingerprints else { return Vec::new() };
        let mut fingerprints = std::mem::take(&mut *lock(fingerprints));
        fingerprints.sort_unstable_by_key(|fingerprint| fingerprint.range);
        fingerprints
    }

    fn digester(&self) -> RwLockReadGuard<'_, Option<Digester>> {
        self.digester.read().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::{Algorithm, hash_slice};
    use crate::io::memory::Memory;

    #[test]
    fn a_stripe_falls_into_what_is_moved_read_back_and_zeros() {
        let range = |a, b| ByteRange::new(a, b).expect("a range");
        let set = |ranges: &[(u64, u64)]| ranges.iter().map(|&(a, b)| range(a, b)).collect();
        let digester = Digester::new(&[Algorithm::Md5], ByteRange::to(100));
        let back = Arc::new(Memory::zeroed(0));
        let observers = Observers::none().digests(digester);
        let observers = observers.settled(set(&[(10, 20)]), set(&[(20, 30), (70, 95)]), back);
        let check = |stripe, expected: &[(ByteRange, Todo)]| {
            assert_eq!(observers.pieces(stripe, &set(&[(0, 5), (15, 25)])), expected);
        };
        check(range(30, 70), &[(range(30, 70), Todo::Move)]);
        check(range(12, 15), &[(range(12, 15), Todo::Zeroes)]);
        check(
            range(0, 80),
            &[
                (range(0, 5), Todo::MakeHole),
                (range(5, 10), Todo::Move),
                (range(10, 20), Todo::Zeroes),
                (range(20, 30), Todo::ReadBack),
                (range(30, 70), Todo::Move),
                (range(70, 80), Todo::ReadBack),
            ],
        );
    }

    #[test]
    fn digests_are_there_once_and_only_if_nothing_was_spoilt() {
        let observers = |spoil| {
            let digester = Digester::new(&[Algorithm::Md5], ByteRange::to(3));
            let observers = Observers::none().digests(digester);
            assert!(observers.bytes(0, b"abc").is_ok());
            if spoil {
                observers.spoil(ByteRange::to(3));
            }
            observers
        };
        let good = observers(false);
        assert_eq!(good.take_digests(), Some(vec![hash_slice(Algorithm::Md5, b"abc")]));
        assert_eq!(good.take_digests(), None);
        assert_eq!(observers(true).take_digests(), None);
        assert_eq!(Observers::none().take_digests(), None);
    }
}
