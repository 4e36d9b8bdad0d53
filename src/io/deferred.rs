//! The first bytes of a device, kept back until everything else is there.
//!
//! They say what is on a device: the partition table, or the boot sector of a
//! volume. As long as they are missing, no system finds partitions whose
//! content is not there yet, and mounts or "repairs" them; and a copy that was
//! interrupted does not look like one that is complete.
//!
//! What is kept back is *not* written, so it must not be recorded as done
//! (invariant I3): [`DeferredPrefix::held`] says what a map has to leave out.

use std::io;

use super::as_usize;
use crate::progress::lock;
use crate::range::{ByteRange, RangeSet};
use crate::sync::{Mutex, MutexGuard};

/// How much is kept back, in bytes: every partition table lies within it, and
/// partitions begin behind it as every tool of today makes them.
pub const HEAD: u64 = 1 << 20;

/// The first bytes of a device, in memory.
pub struct DeferredPrefix {
    state: Mutex<State>,
}

struct State {
    /// As long as what was kept so far reaches.
    bytes: Vec<u8>,
    /// Which of them.
    filled: RangeSet,
    /// Whether writes still end here.
    holding: bool,
}

impl DeferredPrefix {
    /// Keeps back what will be written to the beginning of a device.
    pub fn new() -> DeferredPrefix {
        let state = State { bytes: Vec::new(), filled: RangeSet::new(), holding: true };
        DeferredPrefix { state: Mutex::new(state) }
    }

    /// Where writes end here, in bytes of the device; empty once they do not.
    pub fn extent(&self) -> ByteRange {
        ByteRange::to(if lock(&self.state).holding { HEAD } else { 0 })
    }

    /// What is kept back now, in bytes of the device.
    pub fn held(&self) -> RangeSet {
        lock(&self.state).filled.clone()
    }

    /// Keeps the beginning of `data`, and says how much that is. `None`: it is
    /// to be written.
    pub fn keep(&self, offset: u64, data: &[u8]) -> Option<usize> {
        let mut state = self.holding_at(offset)?;
        let kept = data.len().min(as_usize(HEAD - offset));
        let start = as_usize(offset);
        if state.bytes.len() < start + kept {
            state.bytes.resize(start + kept, 0);
        }
        state.bytes[start..start + kept].copy_from_slice(&data[..kept]);
        state.filled.insert(ByteRange::between(offset, offset + super::as_u64(kept)));
        Some(kept)
    }

    /// The state, if a write at `offset` ends here.
    fn holding_at(&self, offset: u64) -> Option<MutexGuard<'_, State>> {
        // Before the lock: nearly every write is far behind it.
        if offset >= HEAD {
            return None;
        }
        Some(lock(&self.state)).filter(|state| state.holding)
    }

    /// Puts what is kept back into `data`, which was read at `offset`.
    pub fn overlay(&self, offset: u64, data: &mut [u8]) {
        let Some(state) = self.holding_at(offset) else { return };
        let read = ByteRange::between(offset, offset.saturating_add(super::as_u64(data.len())));
        for kept in state.filled.within(read).iter() {
            let place = as_usize(kept.start() - offset)..as_usize(kept.end() - offset);
            let bytes = &state.bytes[as_usize(kept.start())..as_usize(kept.end())];
            data[place].copy_from_slice(bytes);
        }
    }

    /// Hands everything that was kept back to `write`, which writes all of it,
    /// the very first bytes last, and returns it. From then on nothing is kept
    /// any more. After an error everything still is.
    pub fn release<E>(
        &self,
        mut write: impl FnMut(u64, &[u8]) -> Result<(), E>,
    ) -> Result<Vec<Held>, E> {
        let mut state = lock(&self.state);
        let mut written = Vec::new();
        for run in state.filled.iter().rev() {
            let bytes = &state.bytes[as_usize(run.start())..as_usize(run.end())];
            write(run.start(), bytes)?;
            written.push(Held { at: run.start(), bytes: bytes.to_vec() });
        }
        *state = State { bytes: Vec::new(), filled: RangeSet::new(), holding: false };
        Ok(written)
    }
}

/// Bytes that were kept back, and where they belong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Held {
    /// Of the device.
    pub at: u64,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// Why a head could not be written: where, and what the system said.
#[derive(Debug)]
pub struct HeadError {
    /// In bytes of the device.
    pub range: ByteRange,
    /// What the system said.
    pub error: io::Error,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_comes_out_in_the_end_and_no_other_byte() {
        let head = DeferredPrefix::new();
        assert_eq!(head.keep(0, b"table"), Some(5));
        assert_eq!(head.keep(HEAD - 2, b"abcd"), Some(2), "up to where it ends");
        assert_eq!(head.keep(HEAD, b"cd"), None);
        assert_eq!(head.keep(2, b"X"), Some(1), "written again");
        assert_eq!(head.held().bytes(), 7);
        let mut read = *b"....8";
        head.overlay(1, &mut read);
        assert_eq!(&read, b"aXle8", "what was not kept is what was read");
        let mut written = Vec::new();
        let write = |at, bytes: &[u8]| {
            written.push((at, bytes.to_vec()));
            Ok::<(), ()>(())
        };
        let released = head.release(write).unwrap();
        let released: Vec<_> = released.into_iter().map(|held| (held.at, held.bytes)).collect();
        assert_eq!(released, written);
        assert_eq!(written, [(HEAD - 2, b"ab".to_vec()), (0, b"taXle".to_vec())]);
        assert!(head.held().is_empty() && head.extent().is_empty());
        assert_eq!(head.keep(0, b"again"), None, "later writes go where they belong");
    }

    #[test]
    fn what_could_not_be_written_is_still_kept() {
        let head = DeferredPrefix::new();
        head.keep(0, b"table");
        assert_eq!(head.release(|_, _| Err("full")).unwrap_err(), "full");
        assert_eq!(head.held().bytes(), 5);
    }
}
