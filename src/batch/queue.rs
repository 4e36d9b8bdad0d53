//! The order in which a batch reads: pure arithmetic, no I/O.
//!
//! Every run of bytes that some file wants is a segment. Segments are sorted
//! by their place in the source, so that a rotating or remote source is read
//! forward whatever the order of the manifest. Neighbouring small segments
//! become one task, read in one request; a large one is a task of its own, to
//! be cut into stripes.

use std::ops::Range;

use crate::range::ByteRange;

/// Bytes between two small segments that are read and thrown away rather than
/// paid for with a request of their own.
pub const LARGEST_GAP: u64 = 32 << 10;

/// The same of what is far away, where a request costs the time of more bytes.
pub const FAR_GAP: u64 = 256 << 10;

/// Segments in one task, at most: a bound on the files one request opens.
pub const MOST_IN_TASK: usize = 64;

/// What is read in one request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Together {
    /// Bytes of it, at most.
    pub request: u64,
    /// Bytes between two segments of it, at most.
    pub gap: u64,
}

/// A run of bytes that one output wants.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Segment {
    /// Number of the source.
    pub source: u32,
    /// Number of the output.
    pub output: u32,
    /// Where in the source.
    pub range: ByteRange,
    /// Where its first byte goes in the output.
    pub at: u64,
}

/// One or more neighbouring segments, or one large one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Task {
    /// Which segments of the queue.
    pub segments: Range<usize>,
    /// From the first byte of the first segment to the last byte of any.
    pub span: ByteRange,
}

impl Task {
    /// Whether it is one segment that a request of `scattered` bytes cannot hold.
    pub fn is_large(&self, scattered: u64) -> bool {
        self.segments.len() == 1 && self.span.len() > scattered
    }
}

/// All segments of a batch in the order they are read.
#[derive(Debug)]
pub struct Queue {
    segments: Vec<Segment>,
    tasks: Vec<Task>,
}

impl Queue {
    /// Sorts `segments` and groups neighbours that fit `together`. Empty segments
    /// are left out.
    pub fn new(mut segments: Vec<Segment>, together: Together) -> Queue {
        segments.retain(|segment| !segment.range.is_empty());
        segments.sort_unstable_by_key(|segment| (segment.source, segment.range, segment.output));
        let mut tasks: Vec<Task> = Vec::new();
        for (index, segment) in segments.iter().enumerate() {
            if let Some(task) = tasks.last_mut()
                && segments[task.segments.start].source == segment.source
                && let Some(span) = joined(task, segment, together)
            {
                task.span = span;
                task.segments.end = index + 1;
                continue;
            }
            tasks.push(Task { segments: index..index + 1, span: segment.range });
        }
        Queue { segments, tasks }
    }

    /// Task number `index`.
    pub fn task(&self, index: usize) -> Option<&Task> {
        self.tasks.get(index)
    }

    /// The segments of a task.
    pub fn segments(&self, task: &Task) -> &[Segment] {
        &self.segments[task.segments.clone()]
    }

    /// Every segment.
    pub fn all(&self) -> &[Segment] {
        &self.segments
    }

    /// How many tasks there are.
    pub fn tasks(&self) -> usize {
        self.tasks.len()
    }
}

/// The span of `task` with `segment`, if both fit into one request.
fn joined(task: &Task, segment: &Segment, together: Together) -> Option<ByteRange> {
    let span = ByteRange::between(task.span.start(), task.span.end().max(segment.range.end()));
    let near = segment.range.start() <= task.span.end().saturating_add(together.gap);
    let fits = span.len() <= together.request && task.segments.len() < MOST_IN_TASK;
    (near && fits).then_some(span)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn segment(source: u32, output: u32, start: u64, len: u64) -> Segment {
        Segment { source, output, range: ByteRange::with_len(start, len).unwrap(), at: 0 }
    }

    #[test]
    fn neighbours_share_a_request_and_others_do_not() {
        let check = |segments: &[Segment], spans: &[(u64, u64)]| {
            let queue =
                Queue::new(segments.to_vec(), Together { request: 1 << 20, gap: LARGEST_GAP });
            let found: Vec<_> =
                queue.tasks.iter().map(|task| (task.span.start(), task.span.end())).collect();
            assert_eq!(found, spans);
        };
        check(&[], &[]);
        check(&[segment(0, 0, 5, 0)], &[]);
        check(&[segment(0, 1, 100, 50), segment(0, 0, 0, 100)], &[(0, 150)]);
        check(&[segment(0, 0, 0, 100), segment(1, 1, 100, 50)], &[(0, 100), (100, 150)]);
        let far = 100 + LARGEST_GAP + 1;
        check(&[segment(0, 0, 0, 100), segment(0, 1, far, 1)], &[(0, 100), (far, far + 1)]);
        let large = 2 << 20;
        check(
            &[segment(0, 0, 0, large), segment(0, 1, large, 10), segment(0, 2, large + 10, 10)],
            &[(0, large), (large, large + 20)],
        );
        // Overlapping sources are fine: the bytes are read once.
        check(&[segment(0, 0, 0, 100), segment(0, 1, 50, 10)], &[(0, 100)]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(10_000))]
        #[test]
        fn every_segment_is_in_exactly_one_task_in_source_order(
            wanted in proptest::collection::vec((0u32..3, 0u64..1 << 22, 0u64..1 << 19), 0..200),
        ) {
            let segments: Vec<_> = wanted
                .iter()
                .zip(0..)
                .map(|(&(source, start, len), output)| segment(source, output, start, len))
                .collect();
            let queue = Queue::new(segments.clone(), Together { request: 1 << 18, gap: LARGEST_GAP });
            let mut seen = Vec::new();
            let mut before = (0, 0);
            for task in &queue.tasks {
                let inside = queue.segments(task);
                let position = (inside[0].source, task.span.start());
                prop_assert!(before <= position);
                before = position;
                prop_assert!(inside.len() == 1 || task.span.len() <= 1 << 18);
                for segment in inside {
                    prop_assert!(task.span.contains(segment.range));
                    prop_assert_eq!(segment.source, inside[0].source);
                    seen.push(segment.output);
                }
            }
            seen.sort_unstable();
            let expected: Vec<_> = segments
                .iter()
                .filter(|segment| !segment.range.is_empty())
                .map(|segment| segment.output)
                .collect();
            prop_assert_eq!(seen, expected);
        }
    }
}
