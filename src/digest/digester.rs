//! The digests that the workers of one copy compute together.

use std::sync::OnceLock;

use super::content::Content;
use super::in_order::InOrder;
use super::pieces::{PieceDigests, Pieces};
use super::runs::Runs;
use super::state::DigestState;
use super::tree::Tree;
use super::{Algorithm, Digest};
use crate::cpu::{into_inner, lock};
use crate::range::{ByteRange, RangeSet};
use crate::sync::Mutex;

/// Computes digests of a range while its pieces pass by, shared by all workers.
///
/// Every byte of the range is handed over exactly once, as a buffer
/// ([`update`](Digester::update)) or as zeros
/// ([`update_zeroes`](Digester::update_zeroes)), in pieces of any size. Bytes
/// that an earlier run has copied are read back and handed over like any other.
///
/// Without ordered algorithms ([`ordered`](super::ordered)) pieces come in any
/// order from any thread, and are hashed at the same time. They need no
/// alignment; BLAKE3 is fastest when they start at multiples of their own size,
/// counted from the start of the range.
///
/// With ordered algorithms a call **waits** until everything before its piece
/// was handed over. So that this ends and costs no more memory than it must:
///
/// - pieces are claimed in ascending order, and a worker hands over one piece
///   before it claims the next: then the first missing piece is always in the
///   hands of a worker that is not waiting;
/// - nothing is left out: holes between pieces are handed over in their turn;
/// - stripes are as small as one request: then each waiting worker holds one
///   buffer, and the workers do not wait for a whole stripe of another;
/// - a worker that stops for good calls [`abandon`](Digester::abandon), one that
///   could not read its piece calls [`spoil`](Digester::spoil).
pub struct Digester {
    range: ByteRange,
    /// Whether it may end before it says.
    open_ended: bool,
    /// Where the range turned out to end, if that was not known.
    end: OnceLock<u64>,
    /// What was handed over, to know what is missing or came twice.
    seen: Mutex<RangeSet>,
    state: DigestState,
    methods: Vec<Method>,
    /// Digests of its pieces, where they are wanted.
    pieces: Vec<Pieces>,
}

/// How a digest is computed from pieces.
enum Method {
    Tree(Tree),
    Runs(Runs),
    InOrder(InOrder),
}

impl Digester {
    /// For the bytes of `range`, which also gives the positions of the pieces.
    /// An algorithm that is named twice is computed once.
    pub fn new(algorithms: &[Algorithm], range: ByteRange) -> Digester {
        Digester::of(algorithms, range, Method::new)
    }

    /// For the bytes from `start` on, up to an end that is not known: there must
    /// be an [`end_at`](Digester::end_at) before the digests are finished.
    pub fn open_ended(algorithms: &[Algorithm], start: u64) -> Digester {
        let range = ByteRange::between(start, u64::MAX);
        Digester { open_ended: true, ..Digester::of(algorithms, range, Method::open_ended) }
    }

    /// For the bytes of `range`, which is a part of `whole`: what is finished are
    /// parts of digests of that, for [`fold`](super::fold). For algorithms that are
    /// not ordered.
    pub fn part(algorithms: &[Algorithm], range: ByteRange, whole: ByteRange) -> Digester {
        let place = range.rebase(whole.start(), 0).unwrap_or(range);
        Digester::of(algorithms, range, |algorithm, len| match algorithm {
            Algorithm::Blake3 => Method::Tree(Tree::part(place, whole.len())),
            algorithm => Method::new(algorithm, len),
        })
    }

    fn of(
        algorithms: &[Algorithm],
        range: ByteRange,
        method: impl Fn(Algorithm, u64) -> Method,
    ) -> Digester {
        let first_mentions = algorithms
            .iter()
            .enumerate()
            .filter(|(index, algorithm)| !algorithms[..*index].contains(algorithm));
        let methods =
            first_mentions.map(|(_, algorithm)| method(*algorithm, range.len())).collect();
        let (end, seen) = (OnceLock::new(), Mutex::default());
        let state = DigestState::new();
        Digester { range, open_ended: false, end, seen, state, methods, pieces: Vec::new() }
    }

    /// Computes the same digests also of each piece of so many bytes, counted from
    /// the start of the range, for each of `lengths`.
    #[must_use]
    pub fn with_pieces(self, lengths: &[u64]) -> Digester {
        let algorithms: Vec<_> = self.methods.iter().map(Method::algorithm).collect();
        let pieces = lengths
            .iter()
            .map(|every| Pieces::new(&algorithms, self.range, *every, self.open_ended));
        Digester { pieces: pieces.collect(), ..self }
    }

    /// The digests of the pieces, as far as there are any. They are taken out.
    pub fn take_pieces(&self) -> Vec<PieceDigests> {
        self.pieces.iter().flat_map(Pieces::take).collect()
    }

    /// The range ends at `end`: nothing of it comes after that. The first call counts.
    pub fn end_at(&self, end: u64) {
        let _ = self.end.set(end);
        self.pieces.iter().for_each(|pieces| pieces.end_at(end));
    }

    /// Hashes the bytes of the range that start at position `start`.
    ///
    /// Returns at once if there will be no digest any more. A piece outside the
    /// range, or that came before, makes the digest incomplete, not wrong.
    ///
    /// # Errors
    ///
    /// [`Abandoned`], also when the call was waiting for its turn.
    pub fn update(&self, start: u64, data: &[u8]) -> Result<(), Abandoned> {
        self.add(start, Content::Data(data))
    }

    /// Hashes a hole: zeros that nobody has to read or hold. A hole may be of
    /// any size. CRC-32C skips it; the others hash zeros at their usual speed,
    /// on this thread. BLAKE3 gains from a large hole being handed over in
    /// parts by several workers.
    ///
    /// # Errors
    ///
    /// [`Abandoned`], also when the call was waiting or hashing.
    pub fn update_zeroes(&self, hole: ByteRange) -> Result<(), Abandoned> {
        self.add(hole.start(), Content::Zeroes(hole.len()))
    }

    /// Whether calls wait for their turn.
    pub fn is_ordered(&self) -> bool {
        self.methods.iter().any(Method::waits)
    }

    pub(super) fn add(&self, start: u64, content: Content<'_>) -> Result<(), Abandoned> {
        if !content.is_empty() && !self.state.is_lost() {
            match self.claim(start, content.len()) {
                Some(offset) => self.hash(offset, content),
                None => self.spoil(),
            }
        }
        if self.state.is_abandoned() {
            return Err(Abandoned);
        }
        self.pieces.iter().try_for_each(|pieces| pieces.add(start, content))
    }

    /// Notes a piece as handed over; its offset in the range, unless it does not
    /// lie in the range or has come before.
    fn claim(&self, start: u64, len: u64) -> Option<u64> {
        let piece = ByteRange::with_len(start, len).filter(|piece| self.range.contains(*piece))?;
        let mut seen = lock(&self.seen);
        if !seen.within(piece).is_empty() {
            return None;
        }
        seen.insert(piece);
        Some(start - self.range.start())
    }

    fn hash(&self, offset: u64, content: Content<'_>) {
        // What needs no turn goes first: the turn may come meanwhile.
        for method in self.methods.iter().filter(|method| !method.waits()) {
            method.update(offset, content, &self.state);
        }
        // One worker may be in the second of these while the next is in the
        // first, so several ordered digests run side by side.
        for method in self.methods.iter().filter(|method| method.waits()) {
            method.update(offset, content, &self.state);
        }
    }

    /// Gives the digests up because some bytes cannot be had. The copy goes on:
    /// every waiting call returns, and further calls cost nothing.
    pub fn spoil(&self) {
        self.spoil_range(self.range);
    }

    /// The same, where only `range` cannot be had: pieces that do not lie in it keep
    /// their digests.
    pub fn spoil_range(&self, range: ByteRange) {
        self.state.spoil();
        self.wake();
        self.pieces.iter().for_each(|pieces| pieces.spoil(range));
    }

    /// Gives everything up because the copy stops: every waiting call, and every
    /// later call, returns [`Abandoned`].
    pub fn abandon(&self) {
        self.state.abandon();
        self.wake();
        self.pieces.iter().for_each(Pieces::abandon);
    }

    fn wake(&self) {
        for method in &self.methods {
            if let Method::InOrder(turns) = method {
                turns.wake();
            }
        }
    }

    /// The digests, in the order in which their algorithms were first named, or
    /// `None` if bytes are missing, came twice, or the digests were given up.
    pub fn finish(self) -> Option<Vec<Digest>> {
        let range = match self.end.into_inner() {
            Some(end) => self.range.split_at(end).0,
            None => self.range,
        };
        if self.state.is_lost() || !into_inner(self.seen).covers(range) {
            return None;
        }
        self.methods.into_iter().map(|method| method.finish(range.len())).collect()
    }
}

impl Method {
    fn new(algorithm: Algorithm, len: u64) -> Method {
        match algorithm {
            Algorithm::Blake3 => Method::Tree(Tree::new(len)),
            Algorithm::Crc32c => Method::Runs(Runs::new()),
            _ => Method::InOrder(InOrder::new(algorithm)),
        }
    }

    fn open_ended(algorithm: Algorithm, most: u64) -> Method {
        match algorithm {
            Algorithm::Blake3 => Method::Tree(Tree::open_ended(most)),
            algorithm => Method::new(algorithm, most),
        }
    }

    fn algorithm(&self) -> Algorithm {
        match self {
            Method::Tree(_) => Algorithm::Blake3,
            Method::Runs(_) => Algorithm::Crc32c,
            Method::InOrder(turns) => turns.algorithm(),
        }
    }

    fn waits(&self) -> bool {
        matches!(self, Method::InOrder(_))
    }

    fn update(&self, start: u64, content: Content<'_>, state: &DigestState) {
        match self {
            Method::Tree(tree) => tree.update(start, content, state),
            Method::Runs(runs) => runs.update(start, content),
            Method::InOrder(turns) => turns.update(start, content, state),
        }
    }

    /// The digest of `len` bytes.
    fn finish(self, len: u64) -> Option<Digest> {
        match self {
            Method::Tree(tree) => tree.finish(len),
            Method::Runs(runs) => runs.finish(len),
            Method::InOrder(turns) => turns.finish(len),
        }
    }
}

/// The copy was stopped; its digests will not be finished.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the digests were abandoned because the copy stops")]
pub struct Abandoned;
