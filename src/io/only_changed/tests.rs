//! Against a model: what a slice copy would give, and no write but where a block
//! differs.

use std::sync::Mutex;

use positioned_io::ReadAt;

use super::*;
use crate::io::memory::Memory;
use crate::progress::lock;
use crate::range::RangeSet;
use crate::testing::{Faulty, Operation, Random, Rule};

/// A sink that notes every write.
struct Recorder {
    memory: Arc<Memory>,
    writes: Mutex<Vec<ByteRange>>,
    /// The number of the write that fails.
    fails_at: Option<usize>,
}

impl Recorder {
    fn over(memory: &Arc<Memory>, fails_at: Option<usize>) -> Arc<Recorder> {
        Arc::new(Recorder { memory: Arc::clone(memory), writes: Mutex::default(), fails_at })
    }

    fn note(&self, place: ByteRange) -> io::Result<()> {
        let mut writes = lock(&self.writes);
        if self.fails_at.is_some_and(|number| writes.len() >= number) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        writes.push(place);
        Ok(())
    }

    fn writes(&self) -> Vec<ByteRange> {
        lock(&self.writes).clone()
    }
}

impl Sink for Recorder {
    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<usize> {
        self.note(ByteRange::with_len(offset, as_u64(data.len())).unwrap())?;
        self.memory.write_at(offset, data)
    }

    fn write_zeroes(&self, range: ByteRange) -> io::Result<()> {
        self.note(range)?;
        self.memory.write_at(range.start(), &vec![0; as_usize(range.len())]).map(drop)
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }
}

/// A sink that writes only what differs, over `held`.
struct Bench {
    memory: Arc<Memory>,
    recorder: Arc<Recorder>,
    counts: Arc<Counts>,
    sink: OnlyChanged,
}

impl Bench {
    fn over(held: &[u8], block: u64, room: u64) -> Bench {
        let memory = Arc::new(Memory::new(held.to_vec()));
        let content: Arc<dyn Source> = memory.clone();
        Bench::reading(content, memory, block, room, None)
    }

    fn reading(
        content: Arc<dyn Source>,
        memory: Arc<Memory>,
        block: u64,
        room: u64,
        fails_at: Option<usize>,
    ) -> Bench {
        let recorder = Recorder::over(&memory, fails_at);
        let (counts, room) = (Arc::<Counts>::default(), Room::new(2, room));
        let existing = Existing { content, block, sector: 512 };
        let mut sink = OnlyChanged::new(recorder.clone(), existing, room, Arc::clone(&counts));
        // A mark of its own would be in the data of one of many runs, which is written then.
        sink.marks = Marks([0xa5; 8]);
        Bench { memory, recorder, counts, sink }
    }
}

/// Blocks of `place` in which `old` and `new` differ, adjacent ones as one.
fn differing(place: ByteRange, block: u64, old: &[u8], new: &[u8]) -> RangeSet {
    let bytes = |part: ByteRange| as_usize(part.start())..as_usize(part.end());
    place
        .pieces_on_grid(block, 0)
        .filter(|part| old.get(bytes(*part)) != Some(&new[bytes(*part)]))
        .collect()
}

#[test]
fn only_blocks_that_differ_are_written_and_the_rest_is_as_a_slice_copy() {
    let mut random = Random::new(15);
    for round in 0..3000 {
        let block = 512 << random.below(5);
        let len = random.below(60_000);
        let mut old = vec![0u8; as_usize(len)];
        // Runs of zeros and of other bytes.
        let mut at = 0;
        while at < old.len() {
            let end = (at + as_usize(random.below(9000))).min(old.len());
            old[at..end].fill(if random.below(2) == 0 { 0 } else { 7 });
            at = end + 1;
        }
        let place = ByteRange::with_len(random.below(50_000), random.below(40_000)).unwrap();
        let mut new = old.clone();
        new.resize(new.len().max(as_usize(place.end())), 0);
        let zeroes = random.below(3) == 0;
        let within = as_usize(place.start())..as_usize(place.end());
        if zeroes {
            new[within.clone()].fill(0);
        }
        for _ in 0..random.below(6) * u64::from(!zeroes && !place.is_empty()) {
            let at = as_usize(place.start() + random.below(place.len()));
            let end = (at + as_usize(random.below(3000))).min(within.end);
            new[at..end].fill(9);
        }
        let bench = Bench::over(&old, block, block.max(4096 << random.below(4)));
        match zeroes {
            true => bench.sink.write_zeroes(place).unwrap(),
            false => {
                transfer::write_full(&bench.sink, place.start(), &new[within]).unwrap();
            }
        }
        let expected = differing(place, block, &old, &new);
        let writes = bench.recorder.writes();
        assert_eq!(writes.iter().copied().collect::<RangeSet>(), expected, "round {round}");
        let written: u64 = writes.iter().map(|write| write.len()).sum();
        assert_eq!(written, expected.bytes(), "round {round}: nothing is written twice");
        let counts = (bench.counts.written(), bench.counts.equal());
        assert_eq!(counts, (written, place.len() - written), "round {round}");
        if zeroes {
            assert_eq!(writes.len(), expected.as_slice().len(), "round {round}: as few as can be");
        }
        let mut found = bench.memory.bytes();
        found.resize(new.len(), 0);
        assert!(found == new, "round {round}: the bytes");
    }
}

#[test]
fn neighbours_are_written_at_once() {
    let old = vec![1; 40_960];
    let mut new = old.clone();
    for block in [1, 2, 3, 7, 8] {
        new[block * 4096 + 5] = 2;
    }
    let bench = Bench::over(&old, 4096, 1 << 20);
    transfer::write_full(&bench.sink, 0, &new).unwrap();
    let runs = [ByteRange::between(4096, 16_384), ByteRange::between(28_672, 36_864)];
    assert_eq!(bench.recorder.writes(), runs);
}

/// What is not known of a place is written: it may differ.
#[test]
fn what_cannot_be_read_there_is_written() {
    let old = vec![5; 16_384];
    let check = |rule: Rule, expected: &[(u64, u64)]| {
        let memory = Arc::new(Memory::new(old.clone()));
        let content = Arc::new(Faulty::new(Memory::new(old.clone())).with(rule));
        let bench = Bench::reading(content, memory, 4096, 1 << 20, None);
        transfer::write_full(&bench.sink, 0, &old).unwrap();
        let expected: Vec<_> =
            expected.iter().map(|&(start, end)| ByteRange::between(start, end)).collect();
        assert_eq!(bench.recorder.writes(), expected);
        assert_eq!(bench.memory.bytes(), old);
    };
    let bad = |at: u64| Rule::on(Operation::Read).within(at..at + 1).errno(5).persistent();
    check(bad(0), &[(0, 16_384)]);
    check(bad(5000), &[(4096, 16_384)]);
    check(bad(16_383), &[(12_288, 16_384)]);
}

/// A read that reports bytes and delivers none leaves in memory what was compared
/// last, which is the same as what is to be written.
#[test]
fn a_read_that_delivers_nothing_makes_nothing_equal() {
    struct Lies;
    impl ReadAt for Lies {
        fn read_at(&self, _: u64, buffer: &mut [u8]) -> io::Result<usize> {
            Ok(buffer.len())
        }
    }
    impl Source for Lies {
        fn size(&self) -> u64 {
            u64::MAX
        }
    }
    let memory = Arc::new(Memory::zeroed(8192));
    let bench = Bench::reading(Arc::new(Lies), memory, 4096, 8192, None);
    transfer::write_full(&bench.sink, 0, &[0; 8192]).unwrap();
    assert_eq!(bench.counts.written(), 8192);
}

#[test]
fn an_error_is_met_where_it_is_and_what_came_before_counts() {
    let mut new = vec![1; 40_960];
    for block in [2, 5] {
        new[block * 4096] = 9;
    }
    let memory = Arc::new(Memory::new(vec![1; 40_960]));
    let content: Arc<dyn Source> = memory.clone();
    let bench = Bench::reading(content, memory, 4096, 1 << 20, Some(1));
    let stop = transfer::write_full(&bench.sink, 0, &new).unwrap_err();
    assert_eq!((stop.moved, stop.error.kind()), (5 * 4096, io::ErrorKind::StorageFull));
    assert_eq!((bench.counts.written(), bench.counts.equal()), (4096, 4 * 4096));
}
