//! Two charts of the same source compared: what became of its bytes.

use super::{Chart, STATES, State};
use crate::range::ByteRange;

/// Bytes that were in one state, and are in another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Change {
    /// In the first chart.
    pub from: State,
    /// In the second.
    pub to: State,
    /// How many.
    pub bytes: u64,
}

/// What became of the bytes of `before` and `after`: every pair of states that
/// there is, also of those that stayed as they were. What one of the two does
/// not speak of is outside.
pub fn changes(before: &Chart, after: &Chart) -> Vec<Change> {
    let mut table = [[0u64; STATES]; STATES];
    let extent = union(before.extent(), after.extent());
    let (before, after) = (before.clone().widened(extent), after.clone().widened(extent));
    let mut older = before.areas().iter().copied().peekable();
    let mut newer = after.areas().iter().copied().peekable();
    while let (Some(one), Some(other)) = (older.peek().copied(), newer.peek().copied()) {
        let both = one.range.intersect(other.range);
        table[one.state as usize][other.state as usize] += both.len();
        let end = one.range.end().min(other.range.end());
        if one.range.end() == end {
            older.next();
        }
        if other.range.end() == end {
            newer.next();
        }
    }
    let pairs = State::ALL.into_iter().flat_map(|from| State::ALL.map(|to| (from, to)));
    pairs
        .map(|(from, to)| Change { from, to, bytes: table[from as usize][to as usize] })
        .filter(|change| change.bytes > 0)
        .collect()
}

/// The smallest range around both.
pub(super) fn union(one: ByteRange, other: ByteRange) -> ByteRange {
    match (one.is_empty(), other.is_empty()) {
        (true, _) => other,
        (_, true) => one,
        _ => ByteRange::between(one.start().min(other.start()), one.end().max(other.end())),
    }
}
