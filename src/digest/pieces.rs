//! Digests of every so many bytes of a range, beside those of the whole.
//!
//! Each piece has a digester of its own, from its first byte to its last. So pieces
//! are hashed side by side whatever the algorithm is, only those are kept that are
//! under way, and a piece that cannot be read costs no other its digest.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::content::Content;
use super::digester::{Abandoned, Digester};
use super::{Algorithm, Digest};
use crate::cpu::lock;
use crate::range::{ByteRange, Segments};
use crate::sync::Mutex;

/// The digests of one piece.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PieceDigests {
    /// Which bytes, in positions of the range that is copied.
    pub range: ByteRange,
    /// In the order in which their algorithms were named; none if the piece could
    /// not be read.
    pub digests: Vec<Digest>,
}

/// Digests of the pieces of a range, shared by all workers.
pub(super) struct Pieces {
    range: ByteRange,
    segments: Segments,
    algorithms: Vec<Algorithm>,
    /// Whether the range may end before it says.
    open_ended: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Where the range turned out to end, if that was not known.
    end: Option<u64>,
    open: BTreeMap<usize, Open>,
    over: BTreeMap<usize, Vec<Digest>>,
    abandoned: bool,
}

/// A piece that is under way.
struct Open {
    digester: Arc<Digester>,
    /// Bytes that were handed over, or will never be.
    seen: u64,
}

impl Pieces {
    /// Of `range`, every `every` bytes. One that is open-ended may end before it says.
    pub fn new(algorithms: &[Algorithm], range: ByteRange, every: u64, open_ended: bool) -> Pieces {
        let (segments, state) = (Segments::every(every, range.len()), Mutex::default());
        Pieces { range, segments, algorithms: algorithms.to_vec(), open_ended, state }
    }

    /// The range ends at `end`, and all before it was handed over.
    pub fn end_at(&self, end: u64) {
        let last = {
            let mut state = lock(&self.state);
            state.end = Some(end);
            state.open.keys().next_back().copied()
        };
        if let Some(last) = last {
            self.seen(last, 0);
        }
    }

    /// Hashes what starts at `start`; may wait for its turn within its piece.
    pub fn add(&self, start: u64, content: Content<'_>) -> Result<(), Abandoned> {
        let mut rest = content;
        for (number, part) in self.parts(start, content.len()) {
            let (head, tail) = rest.split_at(part.len());
            rest = tail;
            let digester = self.open(number)?;
            digester.add(part.start(), head)?;
            drop(digester);
            self.seen(number, part.len());
        }
        Ok(())
    }

    /// Gives up the pieces that `range` lies in.
    pub fn spoil(&self, range: ByteRange) {
        for (number, part) in self.parts(range.start(), range.len()) {
            if let Ok(digester) = self.open(number) {
                digester.spoil();
                drop(digester);
                self.seen(number, part.len());
            }
        }
    }

    /// Gives everything up because the copy stops.
    pub fn abandon(&self) {
        let mut state = lock(&self.state);
        state.abandoned = true;
        state.open.values().for_each(|open| open.digester.abandon());
    }

    /// What is known of each, ascending. It is taken out.
    pub fn take(&self) -> Vec<PieceDigests> {
        let (mut over, end) = {
            let mut state = lock(&self.state);
            (std::mem::take(&mut state.over), state.end)
        };
        let range = up_to(self.range, end);
        let count = match range.is_empty() {
            true => 0,
            false => self.parts(range.end() - 1, 1).next().map_or(0, |(last, _)| last + 1),
        };
        let one = |number| {
            let digests = over.remove(&number).unwrap_or_default();
            PieceDigests { range: up_to(self.place(number), end), digests }
        };
        if range.is_empty() {
            let digests = self.algorithms.iter().map(|wanted| super::hash_slice(*wanted, b""));
            return vec![PieceDigests { range, digests: digests.collect() }];
        }
        (0..count).map(one).collect()
    }

    /// Piece `number`, in positions of the range.
    fn place(&self, number: usize) -> ByteRange {
        let place = self.segments.range(number);
        place.rebase(0, self.range.start()).unwrap_or(place)
    }

    /// The pieces that `len` bytes from `start` lie in, and what of each.
    fn parts(&self, start: u64, len: u64) -> impl Iterator<Item = (usize, ByteRange)> + '_ {
        let base = self.range.start();
        let range = ByteRange::with_len(start, len).map(|range| range.intersect(self.range));
        let inside = range.and_then(|range| range.rebase(base, 0)).unwrap_or_default();
        let back = move |part: ByteRange| part.rebase(0, base).unwrap_or_default();
        self.segments.parts(inside).map(move |part| (part.number, back(part.whole)))
    }

    fn open(&self, number: usize) -> Result<Arc<Digester>, Abandoned> {
        let mut state = lock(&self.state);
        if state.abandoned {
            return Err(Abandoned);
        }
        let new = || {
            let place = self.place(number);
            let digester = match self.open_ended {
                true => Digester::open_ended(&self.algorithms, place.start()),
                false => Digester::new(&self.algorithms, place),
            };
            Open { digester: Arc::new(digester), seen: 0 }
        };
        Ok(Arc::clone(&state.open.entry(number).or_insert_with(new).digester))
    }

    /// Notes that `bytes` more of piece `number` are dealt with. The digest is there
    /// with the last of them: who counts them has let go of the digester.
    fn seen(&self, number: usize, bytes: u64) {
        let mut state = lock(&self.state);
        let place = up_to(self.place(number), state.end);
        let Some(open) = state.open.get_mut(&number) else { return };
        open.seen += bytes;
        if open.seen < place.len() {
            return;
        }
        let Some(open) = state.open.remove(&number) else { return };
        open.digester.end_at(place.end());
        let digests = Arc::into_inner(open.digester).and_then(Digester::finish);
        state.over.insert(number, digests.unwrap_or_default());
    }
}

/// What of `range` there is, where it turned out to end at `end`.
fn up_to(range: ByteRange, end: Option<u64>) -> ByteRange {
    end.map_or(range, |end| range.split_at(end).0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::hash_slice;
    use crate::testing::Random;

    const ALL: [Algorithm; 3] = [Algorithm::Blake3, Algorithm::Crc32c, Algorithm::Md5];

    /// Pieces of any length, from requests of any length, by several threads.
    #[test]
    fn every_piece_has_the_digest_of_its_bytes() {
        let mut random = Random::new(5);
        for case in 0..40 {
            let (start, len) = (random.below(9), 1 + random.below(5000));
            let every = 1 + random.below(2000);
            let bytes = random.bytes(usize::try_from(len).expect("short"));
            let range = ByteRange::between(start, start + len);
            let digester = match case % 2 {
                0 => Digester::new(&ALL, range).with_pieces(&[every]),
                _ => Digester::open_ended(&ALL, start).with_pieces(&[every]),
            };
            let requests: Vec<_> = range.pieces(1 + random.below(900)).collect();
            let next = Mutex::new(requests.into_iter());
            std::thread::scope(|scope| {
                for _ in 0..3 {
                    scope.spawn(|| {
                        loop {
                            let Some(request) = lock(&next).next() else { return };
                            let at = |offset: u64| usize::try_from(offset - start).expect("short");
                            let data = &bytes[at(request.start())..at(request.end())];
                            digester.update(request.start(), data).expect("not abandoned");
                        }
                    });
                }
            });
            digester.end_at(start + len);
            let found = digester.take_pieces();
            let wanted: Vec<PieceDigests> = range
                .pieces(every)
                .zip(bytes.chunks(usize::try_from(every).expect("short")))
                .map(|(range, bytes)| {
                    let digests = ALL.iter().map(|algorithm| hash_slice(*algorithm, bytes));
                    PieceDigests { range, digests: digests.collect() }
                })
                .collect();
            assert_eq!(found, wanted, "case {case}");
            assert!(digester.finish().is_some(), "case {case}");
        }
    }

    #[test]
    fn a_piece_that_cannot_be_read_costs_no_other_its_digest() {
        let range = ByteRange::to(30);
        let digester = Digester::new(&ALL, range).with_pieces(&[10]);
        digester.update(0, &[1; 12]).expect("not abandoned");
        digester.spoil_range(ByteRange::between(12, 14));
        digester.update(14, &[1; 8]).expect("not abandoned");
        digester.update_zeroes(ByteRange::between(22, 30)).expect("not abandoned");
        let counts: Vec<_> =
            digester.take_pieces().iter().map(|piece| piece.digests.len()).collect();
        assert_eq!(counts, [3, 0, 3]);
        assert_eq!(digester.finish(), None);
        let digester = Digester::new(&ALL, range).with_pieces(&[10]);
        digester.abandon();
        assert!(digester.update(0, &[1; 5]).is_err());
    }

    /// Also of what waits for its turn in a piece.
    #[test]
    fn pieces_that_are_abandoned_take_in_nothing_more() {
        let pieces = Pieces::new(&ALL, ByteRange::to(30), 10, false);
        pieces.add(20, Content::Data(&[1; 5])).expect("not abandoned");
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| pieces.add(5, Content::Data(&[1; 5])));
            pieces.abandon();
            waiting.join().expect("no panic").expect_err("abandoned");
        });
        pieces.add(25, Content::Data(&[1; 5])).expect_err("abandoned");
        pieces.add(10, Content::Data(&[1; 5])).expect_err("abandoned");
        assert!(pieces.take().iter().all(|piece| piece.digests.is_empty()));
    }
}
