//! BLAKE3 of pieces in any order.
//!
//! BLAKE3 cuts its input into chunks of 1 KiB and hashes them as the leaves of a
//! binary tree in which every left subtree is complete. A piece is cut into the
//! largest subtrees it covers; each is hashed at its position into a chaining
//! value, and two siblings are replaced by their parent as soon as both are
//! there, like the carries of a binary counter. What is kept is a logarithmic
//! number of chaining values for each gap, whatever the length of the copy.
//!
//! Pieces need not respect chunks: a chunk that a piece covers in part is
//! gathered in a buffer of its own until the rest of it arrives.
//!
//! A hole costs as much as data: the position of a chunk is part of its hash, so
//! that even equal subtrees of zeros have different values and there is nothing
//! to remember. (Parents do not know their position, but they are a sixteenth of
//! the work.)
//!
//! Only the end of the input tells which subtree is the root, and the root is
//! hashed in another way. As long as the end is not known, the first chunk is
//! therefore kept as it is, and with it every subtree that begins at 0: those
//! beside it wait, one for each level of the tree.

use std::collections::BTreeMap;

use blake3::hazmat::{self, ChainingValue, HasherExt, Mode};

use super::content::Content;
use super::state::DigestState;
use super::{Algorithm, Digest};
use crate::cpu::{into_inner, lock};
use crate::range::ByteRange;
use crate::sync::Mutex;

const CHUNK: u64 = blake3::CHUNK_LEN as u64;

/// Largest subtree hashed at once; how often a hole looks whether to stop.
const LARGEST: u64 = 1 << 20;

/// The parts of the tree over a range that are known so far.
pub(super) struct Tree {
    /// Of the whole range, and while its end is not known, more than it will have.
    len: u64,
    /// Whether the end is not known until it is reached.
    open_ended: bool,
    /// Where in the range what is hashed lies, if that is a part of it.
    part: Option<ByteRange>,
    parts: Mutex<Parts>,
}

#[derive(Default)]
struct Parts {
    /// Hashed subtrees whose sibling is missing, by the position of their first
    /// byte. The two below the root stay: only the end makes a root of them.
    subtrees: BTreeMap<u64, Subtree>,
    /// Chunks that have arrived in part, by their position.
    chunks: BTreeMap<u64, Box<PartialChunk>>,
}

/// The value of the subtree that ends at `end`.
struct Subtree {
    end: u64,
    value: ChainingValue,
}

struct PartialChunk {
    bytes: [u8; CHUNK as usize],
    /// How many have arrived, anywhere in the chunk.
    filled: u64,
}

impl Tree {
    /// For a range of `len` bytes.
    pub fn new(len: u64) -> Tree {
        Tree { len, open_ended: false, part: None, parts: Mutex::default() }
    }

    /// For a range of at most `most` bytes.
    pub fn open_ended(most: u64) -> Tree {
        Tree { open_ended: true, ..Tree::new(most) }
    }

    /// For the bytes `part` of a range of `len` bytes, which must be a subtree of
    /// it: positions are counted from their start, and what is finished is the
    /// value of the subtree.
    pub fn part(part: ByteRange, len: u64) -> Tree {
        let is_whole = part == ByteRange::to(len);
        Tree { part: (!is_whole).then_some(part), ..Tree::new(len) }
    }

    /// Adds a part that was hashed elsewhere, by the value of its subtree.
    pub fn add_part(&self, part: ByteRange, digest: &Digest) -> Option<()> {
        self.add(part.start(), part.len(), digest.bytes().try_into().ok()?);
        Some(())
    }

    /// Adds the bytes from `start` on; each byte once, in any order. Returns
    /// early once the digest is lost.
    pub fn update(&self, start: u64, content: Content<'_>, state: &DigestState) {
        let first = self.part.map_or(0, ByteRange::start);
        let (mut at, mut rest) = (first + start, content);
        while !rest.is_empty() && !state.is_lost() {
            let subtree = self.subtree_at(at, rest.len());
            let len = subtree.unwrap_or_else(|| rest.len().min(CHUNK - at % CHUNK));
            let (head, tail) = rest.split_at(len);
            match subtree {
                Some(_) => self.add(at, len, hash_subtree(at, head.blocks())),
                None => self.gather(at, head),
            }
            (at, rest) = (at + len, tail);
        }
    }

    /// Length of the largest subtree that starts at `at` and is covered by the
    /// `available` bytes from there, or `None` if not even a chunk is.
    fn subtree_at(&self, at: u64, available: u64) -> Option<u64> {
        if self.len <= CHUNK || !at.is_multiple_of(CHUNK) || self.open_ended && at == 0 {
            return None;
        }
        // The whole range is the root, which is hashed differently.
        let possible =
            hazmat::max_subtree_len(at).unwrap_or_else(|| hazmat::left_subtree_len(self.len));
        let most = possible.min(LARGEST);
        if at + available == self.len && available <= most {
            // The right edge of the tree: the only place for a subtree that is
            // no power of two.
            return Some(available);
        }
        let covered = available.min(most);
        (covered >= CHUNK).then(|| 1 << covered.ilog2())
    }

    /// Keeps a part of a chunk until all of it is there.
    fn gather(&self, at: u64, part: Content<'_>) {
        let start = at - at % CHUNK;
        let chunk_len = CHUNK.min(self.len - start);
        let mut parts = lock(&self.parts);
        let chunk = parts.chunks.entry(start).or_default();
        chunk.put(at - start, part);
        // A single chunk is the root and waits for the end.
        let may_be_root = self.len <= CHUNK || self.open_ended && start == 0;
        if chunk.filled < chunk_len || may_be_root {
            return;
        }
        let complete = parts.chunks.remove(&start);
        drop(parts);
        if let Some(chunk) = complete {
            let bytes = &chunk.bytes[..chunk_len as usize];
            self.add(start, chunk_len, hash_subtree(start, std::iter::once(bytes)));
        }
    }

    fn add(&self, start: u64, len: u64, value: ChainingValue) {
        let subtree = Subtree { end: start + len, value };
        lock(&self.parts).insert(start, subtree, self.len);
    }

    /// The digest of the whole range, `len` bytes, if it was seen.
    pub fn finish(self, len: u64) -> Option<Digest> {
        let mut parts = into_inner(self.parts);
        if let Some(part) = self.part {
            let (start, subtree) = parts.subtrees.pop_first()?;
            let is_it =
                parts.subtrees.is_empty() && start == part.start() && subtree.end == part.end();
            return is_it.then(|| Digest::new(Algorithm::Blake3, subtree.value));
        }
        if self.open_ended && len > CHUNK {
            parts.end_at(len);
        }
        let hash = if len <= CHUNK {
            let chunk = parts.chunks.into_values().next().unwrap_or_default();
            let bytes = &chunk.bytes[..len as usize];
            (chunk.filled == len).then(|| blake3::hash(bytes))?
        } else {
            let mut subtrees = parts.subtrees.into_iter();
            let (start, left) = subtrees.next()?;
            let (middle, right) = subtrees.next()?;
            let whole = start == 0 && left.end == middle && right.end == len;
            whole.then(|| hazmat::merge_subtrees_root(&left.value, &right.value, Mode::Hash))?
        };
        Some(Digest::new(Algorithm::Blake3, *hash.as_bytes()))
    }
}

impl Parts {
    /// The range turns out to have `len` bytes, more than a chunk: everything is
    /// put in its place in the tree over them.
    fn end_at(&mut self, len: u64) {
        let all = std::mem::take(&mut self.subtrees);
        for (start, subtree) in all {
            self.insert(start, subtree, len);
        }
        for (start, chunk) in std::mem::take(&mut self.chunks) {
            let end = len.min(start + CHUNK);
            // Where a byte is missing, so is the subtree, and there is no digest.
            if chunk.filled == end - start {
                let bytes = &chunk.bytes[..chunk.filled as usize];
                let value = hash_subtree(start, std::iter::once(bytes));
                self.insert(start, Subtree { end, value }, len);
            }
        }
    }

    /// Puts a subtree of a tree over `len` bytes in its place and replaces
    /// siblings by their parent as far up as both are there.
    fn insert(&mut self, mut start: u64, mut subtree: Subtree, len: u64) {
        while let Some((parent, middle, end)) = parent_of(start, subtree.end, len) {
            let is_left = start == parent;
            let (sibling, sibling_end) = if is_left { (middle, end) } else { (parent, middle) };
            if self.subtrees.get(&sibling).is_none_or(|other| other.end != sibling_end) {
                break;
            }
            let Some(other) = self.subtrees.remove(&sibling) else {
                break;
            };
            let (left, right) = if is_left { (&subtree, &other) } else { (&other, &subtree) };
            let value = hazmat::merge_subtrees_non_root(&left.value, &right.value, Mode::Hash);
            (start, subtree) = (parent, Subtree { end, value });
        }
        self.subtrees.insert(start, subtree);
    }
}

/// Start, middle and end of the parent of a subtree in the tree over `len`
/// bytes, or `None` if that is the root.
fn parent_of(start: u64, end: u64, len: u64) -> Option<(u64, u64, u64)> {
    // A subtree is a right child if it starts at an odd multiple of its length,
    // or if nothing follows. Its left sibling, always complete, is then as long
    // as the lowest bit of its start.
    let lowest_bit = start & start.wrapping_neg();
    let (first, middle, last) = if end == len || end - start == lowest_bit {
        (start - lowest_bit, start, end)
    } else {
        (start, end, len.min(end + (end - start)))
    };
    let is_root = first == 0 && last == len;
    (!is_root).then_some((first, middle, last))
}

/// The chaining value of the subtree that starts at byte `start` of the input.
fn hash_subtree<'a>(start: u64, blocks: impl Iterator<Item = &'a [u8]>) -> ChainingValue {
    let mut hasher = blake3::Hasher::new();
    hasher.set_input_offset(start);
    for block in blocks {
        hasher.update(block);
    }
    hasher.finalize_non_root()
}

impl PartialChunk {
    /// Copies a part that lies within the chunk to its place.
    fn put(&mut self, at: u64, part: Content<'_>) {
        let end = at + part.len();
        let place = &mut self.bytes[at as usize..end as usize];
        match part {
            Content::Data(data) => place.copy_from_slice(data),
            // The chunk began as zeros.
            Content::Zeroes(_) => {}
        }
        self.filled += part.len();
    }
}

impl Default for PartialChunk {
    fn default() -> PartialChunk {
        PartialChunk { bytes: [0; CHUNK as usize], filled: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Inserts the subtrees of a range in windows of shuffled stripes, as
    /// workers would, and returns the most that were kept at once.
    fn peak(stripes: u64, stripe: u64, workers: u64) -> usize {
        let len = stripes * stripe - 7;
        let mut parts = Parts::default();
        let mut peak = 0;
        for window in 0..stripes.div_ceil(workers) {
            let first = window * workers;
            let last = stripes.min(first + workers);
            for start in (first..last).rev().map(|index| index * stripe) {
                let end = len.min(start + stripe);
                parts.insert(start, Subtree { end, value: [0; 32] }, len);
                peak = peak.max(parts.subtrees.len());
            }
        }
        assert_eq!(parts.subtrees.len(), 2, "only the children of the root are left");
        peak
    }

    #[test]
    fn memory_follows_the_gaps_not_the_length() {
        // 100 TiB in stripes of 64 MiB: one subtree a level, one a worker.
        let stripes = 100 << 14;
        assert!(peak(stripes, 64 << 20, 1) <= 22);
        assert!(peak(stripes, 64 << 20, 8) <= 22 + 8);
        assert!(peak(stripes, 64 << 20, 32) <= 22 + 32);
    }

    /// The digest is the same without subtrees, chunk by chunk, and takes a multiple of
    /// the time.
    #[test]
    fn pieces_are_hashed_in_the_largest_subtrees_that_they_cover() {
        let len = (10 << 20) + 100;
        let tree = Tree::new(len);
        assert_eq!(tree.subtree_at(0, len), Some(LARGEST));
        assert_eq!(tree.subtree_at(0, 5000), Some(4096));
        assert_eq!(tree.subtree_at(CHUNK, len - CHUNK), Some(CHUNK));
        assert_eq!(tree.subtree_at(2 << 20, 3 << 20), Some(LARGEST));
        assert_eq!(tree.subtree_at(2 << 20, CHUNK - 1), None, "less than a chunk");
        assert_eq!(tree.subtree_at(100, 5000), None, "not at the beginning of a chunk");
        // At the right edge, of any length.
        assert_eq!(tree.subtree_at(10 << 20, 100), Some(100));
        assert_eq!(tree.subtree_at(10 << 20, 99), None);
        assert_eq!(Tree::new(CHUNK).subtree_at(0, CHUNK), None, "it is the root");
        let open = Tree::open_ended(len);
        assert_eq!(open.subtree_at(0, len), None, "it may be the root");
        assert_eq!(open.subtree_at(LARGEST, len - LARGEST), Some(LARGEST));
    }

    #[test]
    fn a_part_of_which_the_beginning_is_missing_has_no_value() {
        let (part, half) = (ByteRange::between(1 << 20, 2 << 20), 1 << 19);
        let bytes = vec![7; half as usize];
        let state = DigestState::new();
        let tree = Tree::part(part, 4 << 20);
        tree.update(half, Content::Data(&bytes), &state);
        assert!(tree.finish(part.len()).is_none());
        let tree = Tree::part(part, 4 << 20);
        tree.update(half, Content::Data(&bytes), &state);
        tree.update(0, Content::Data(&bytes), &state);
        assert!(tree.finish(part.len()).is_some());
    }
}
