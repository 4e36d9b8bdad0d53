//! A set of bytes, kept as ascending, disjoint, non-touching ranges.

use super::ByteRange;

/// A set of bytes, kept as ascending ranges that neither overlap nor touch.
///
/// Size in memory is 16 bytes a run, whatever the runs hold.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct RangeSet {
    runs: Vec<ByteRange>,
}

impl RangeSet {
    /// The empty set.
    pub const fn new() -> RangeSet {
        RangeSet { runs: Vec::new() }
    }

    /// Adds every byte of `range`, merging with what overlaps or touches it.
    pub fn insert(&mut self, range: ByteRange) {
        if range.is_empty() {
            return;
        }
        // Copies mostly grow at the end: no search, no shift.
        match self.runs.last_mut() {
            Some(last) if last.end == range.start => return last.end = range.end,
            Some(last) if last.end > range.start => {}
            _ => return self.runs.push(range),
        }
        let first = self.runs.partition_point(|run| run.end < range.start);
        let after = self.runs.partition_point(|run| run.start <= range.end);
        if first == after {
            return self.runs.insert(first, range);
        }
        let merged = ByteRange {
            start: self.runs[first].start.min(range.start),
            end: self.runs[after - 1].end.max(range.end),
        };
        self.runs.splice(first..after, [merged]);
    }

    /// Takes every byte of `range` out.
    pub fn remove(&mut self, range: ByteRange) {
        if range.is_empty() {
            return;
        }
        let first = self.runs.partition_point(|run| run.end <= range.start);
        let after = self.runs.partition_point(|run| run.start < range.end);
        if first >= after {
            return;
        }
        let head =
            ByteRange::between(self.runs[first].start, range.start.max(self.runs[first].start));
        let last_end = self.runs[after - 1].end;
        let tail = ByteRange::between(range.end.min(last_end), last_end);
        let kept = [head, tail].into_iter().filter(|part| !part.is_empty());
        self.runs.splice(first..after, kept);
    }

    /// Adds every byte of `other`.
    pub fn merge(&mut self, other: &RangeSet) {
        *self = self.iter().chain(other.iter()).collect();
    }

    /// Takes every byte of `other` out.
    pub fn subtract(&mut self, other: &RangeSet) {
        // Built anew: taking runs out one by one would shift the rest each time.
        self.runs = self.runs.iter().flat_map(|&run| other.missing_from(run).runs).collect();
    }

    /// The bytes of this set that lie in `range`.
    pub fn within(&self, range: ByteRange) -> RangeSet {
        let runs = self.runs_meeting(range).map(|run| run.intersect(range)).collect();
        RangeSet { runs }
    }

    /// The bytes of `range` that are not in this set.
    pub fn missing_from(&self, range: ByteRange) -> RangeSet {
        let mut runs = Vec::new();
        let mut from = range.start;
        for run in self.runs_meeting(range) {
            runs.extend(ByteRange::new(from, run.start));
            from = run.end;
        }
        runs.extend(ByteRange::new(from, range.end));
        runs.retain(|run: &ByteRange| !run.is_empty());
        RangeSet { runs }
    }

    /// The runs that share a byte with `range`.
    fn runs_meeting(&self, range: ByteRange) -> impl Iterator<Item = ByteRange> + '_ {
        let first = self.runs.partition_point(|run| run.end <= range.start);
        self.runs[first..].iter().copied().take_while(move |run| run.overlaps(range))
    }

    /// The bytes that are in this set and in `other`.
    #[must_use]
    pub fn common(&self, other: &RangeSet) -> RangeSet {
        let within = |&run: &ByteRange| other.within(run).runs;
        RangeSet { runs: self.runs.iter().flat_map(within).collect() }
    }

    /// Whether every byte of `range` is in the set.
    pub fn covers(&self, range: ByteRange) -> bool {
        range.is_empty() || {
            let at = self.runs.partition_point(|run| run.end <= range.start);
            self.runs.get(at).is_some_and(|run| run.contains(range))
        }
    }

    /// The runs, ascending.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = ByteRange> + ExactSizeIterator + '_ {
        self.runs.iter().copied()
    }

    /// The runs, ascending, as a slice.
    pub fn as_slice(&self) -> &[ByteRange] {
        &self.runs
    }

    /// How many bytes the set holds.
    pub fn bytes(&self) -> u64 {
        self.runs.iter().map(|run| run.len()).sum()
    }

    /// Whether the set holds no byte.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }
}

impl From<ByteRange> for RangeSet {
    fn from(range: ByteRange) -> RangeSet {
        RangeSet::from_iter([range])
    }
}

impl FromIterator<ByteRange> for RangeSet {
    fn from_iter<I: IntoIterator<Item = ByteRange>>(ranges: I) -> RangeSet {
        // In ascending order an insert only ever touches the last run. The sort
        // finds what is in order already, so two sets merge in linear time.
        let mut ranges: Vec<ByteRange> = ranges.into_iter().collect();
        ranges.sort_by_key(|range| range.start);
        let mut set = RangeSet::new();
        for range in ranges {
            set.insert(range);
        }
        set
    }
}

impl serde::Serialize for RangeSet {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(&self.runs)
    }
}

impl<'de> serde::Deserialize<'de> for RangeSet {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Vec::<ByteRange>::deserialize(deserializer)?.into_iter().collect())
    }
}
