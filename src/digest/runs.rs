//! CRC-32C of pieces in any order: the checksums of neighbours combine.
//!
//! One run per stretch of hashed bytes is kept, so memory follows the number of
//! gaps, not the length of the copy. A piece that goes on where a run ends (the
//! usual case: a worker inside its stripe) is appended to it; only where two
//! runs meet is a combination needed, some microseconds for any length.

use std::collections::BTreeMap;

use super::content::Content;
use super::{Algorithm, Digest};
use crate::cpu::{into_inner, lock};
use crate::range::ByteRange;
use crate::sync::Mutex;

/// The checksums of all stretches of bytes seen so far, by their start.
#[derive(Default)]
pub(super) struct Runs {
    runs: Mutex<BTreeMap<u64, Run>>,
}

/// The checksum of the bytes up to `end`.
struct Run {
    end: u64,
    crc: u32,
}

impl Runs {
    /// Of which nothing is known.
    pub fn new() -> Runs {
        Runs::default()
    }

    /// Adds the bytes from `start` on; each byte once, in any order.
    pub fn update(&self, start: u64, content: Content<'_>) {
        let end = start + content.len();
        let before = take_ending_at(&mut lock(&self.runs), start);
        // Hashed without the lock: others go on meanwhile.
        let (start, crc) = before.map_or((start, 0), |(start, run)| (start, run.crc));
        let run = Run { end, crc: append(crc, content) };
        insert(&mut lock(&self.runs), start, run);
    }

    /// Adds a stretch of bytes that was hashed elsewhere.
    pub fn add_part(&self, part: ByteRange, digest: &Digest) -> Option<()> {
        let crc = u32::from_be_bytes(digest.bytes().try_into().ok()?);
        insert(&mut lock(&self.runs), part.start(), Run { end: part.end(), crc });
        Some(())
    }

    /// The checksum of the whole range, `len` bytes, if it was seen.
    pub fn finish(self, len: u64) -> Option<Digest> {
        let mut runs = into_inner(self.runs);
        let crc = match runs.remove(&0) {
            Some(run) if run.end == len => run.crc,
            None if len == 0 => 0,
            _ => return None,
        };
        Some(Digest::new(Algorithm::Crc32c, crc.to_be_bytes()))
    }
}

fn take_ending_at(runs: &mut BTreeMap<u64, Run>, end: u64) -> Option<(u64, Run)> {
    let (&start, _) = runs.range(..end).next_back().filter(|(_, run)| run.end == end)?;
    runs.remove_entry(&start)
}

/// Puts a run in its place and combines it with the neighbours it touches.
fn insert(runs: &mut BTreeMap<u64, Run>, mut start: u64, mut run: Run) {
    if let Some((earlier, before)) = take_ending_at(runs, start) {
        run.crc = combine(before.crc, run.crc, run.end - start);
        start = earlier;
    }
    if let Some(after) = runs.remove(&run.end) {
        run = Run { crc: combine(run.crc, after.crc, after.end - run.end), end: after.end };
    }
    runs.insert(start, run);
}

/// The checksum of the bytes behind `crc` followed by `content`.
pub(super) fn append(crc: u32, content: Content<'_>) -> u32 {
    match content {
        Content::Data(data) => crc32c::crc32c_append(crc, data),
        // A checksum is the inverted register. Combination shifts a register
        // through zeros without inverting it, so undo that on both sides.
        Content::Zeroes(len) => !shift(!crc, len),
    }
}

/// The checksum of two neighbours, the second one `second_len` bytes long.
fn combine(first: u32, second: u32, second_len: u64) -> u32 {
    shift(first, second_len) ^ second
}

/// Moves a register past `len` zero bytes.
fn shift(mut register: u32, len: u64) -> u32 {
    // The crate counts in usize, which may be 32 bits.
    const STEP: u64 = 1 << 31;
    for _ in 0..len / STEP {
        register = crc32c::crc32c_combine(register, 0, STEP as usize);
    }
    crc32c::crc32c_combine(register, 0, (len % STEP) as usize)
}
