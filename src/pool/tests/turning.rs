//! Requests and ways that change in the middle of a stripe.

use crate::sync::atomic::AtomicBool;
use std::sync::Arc;
use std::sync::Mutex;

use positioned_io::ReadAt;

use crate::io::buffer::Buffer;
use crate::io::memory::Memory;
use crate::io::{Extent, Sink, Source, as_u64, as_usize};
use crate::pool::requests::{Heading, Requests};
use crate::pool::stripe_io::{Halt, StripeIo};
use crate::pool::{Control, Engine, Ledger, OnReadError, Transfer, copy_buffered};
use crate::progress::{CancelToken, Progress, lock};
use crate::range::{ByteRange, Mapping, RangeSet};
use crate::testing::Random;

const LEN: u64 = 100_003;
const LONGEST: u64 = 4096;

/// What happened to the one transfer: by which engine what was read, and what was written.
#[derive(Default)]
struct Log {
    reads: Mutex<Vec<(u64, u64)>>,
    writes: Mutex<Vec<ByteRange>>,
    engines: Mutex<Vec<usize>>,
}

/// A source during whose reads the wishes change.
struct Turning {
    inner: Memory,
    heading: Arc<Heading>,
    random: Mutex<Random>,
    log: Arc<Log>,
}

impl ReadAt for Turning {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> std::io::Result<usize> {
        lock(&self.log.reads).push((as_u64(buffer.len()), self.heading.request()));
        let mut random = lock(&self.random);
        if random.chance(1, 3) {
            self.heading.set(LONGEST >> random.below(4), as_usize(random.below(2)));
        }
        self.inner.read_at(offset, buffer)
    }
}

impl Source for Turning {
    fn size(&self) -> u64 {
        LEN
    }

    fn next_extent(&self, from: u64) -> std::io::Result<Extent> {
        self.inner.next_extent(from)
    }
}

struct Logged(Memory, Arc<Log>);

impl Sink for Logged {
    fn write_at(&self, offset: u64, data: &[u8]) -> std::io::Result<usize> {
        let range = ByteRange::with_len(offset, as_u64(data.len())).expect("small");
        lock(&self.1.writes).push(range);
        self.0.write_at(offset, data)
    }

    fn sync_data(&self) -> std::io::Result<()> {
        Ok(())
    }
}

/// An engine that says when it was called, and gives way at an offset.
struct Numbered(usize, u64, Arc<Log>);

impl Engine for Numbered {
    fn name(&self) -> &'static str {
        ["one", "other"][self.0]
    }

    fn copy(&self, stripe: ByteRange, io: &mut StripeIo<'_>) -> Result<(), Halt> {
        lock(&self.2.engines).push(self.0);
        let (head, tail) = stripe.split_at(self.1);
        copy_buffered(head, io)?;
        match tail.is_empty() {
            true => Ok(()),
            false => Err(Halt::Unsupported { at: tail.start(), reason: "not here".to_owned() }),
        }
    }
}

/// Copies once, with an engine that gives way at `ends`, and says which were used.
fn check(seed: u64, ends: u64) -> Vec<usize> {
    let log = Arc::new(Log::default());
    let mut random = Random::new(seed);
    let bytes = random.bytes(as_usize(LEN));
    let heading = Arc::new(Heading::new(LONGEST));
    let source = Turning {
        inner: Memory::new(bytes.clone()),
        heading: Arc::clone(&heading),
        random: Mutex::new(random),
        log: Arc::clone(&log),
    };
    let sink = Arc::new(Logged(Memory::zeroed(0), Arc::clone(&log)));
    let range = ByteRange::to(LEN);
    let engines: Vec<Box<dyn Engine>> = vec![
        Box::new(Numbered(0, ends, Arc::clone(&log))),
        Box::new(Numbered(1, LEN, Arc::clone(&log))),
    ];
    let ends_of =
        ((Arc::new(source) as Arc<dyn Source>, "a".into()), (sink.clone() as _, "b".into()));
    let transfer = Transfer::new(ends_of.0, ends_of.1, Mapping::to_start(range), 512, engines);
    let (progress, cancel, stop) = (Progress::new(), CancelToken::new(), AtomicBool::new(false));
    let control = Control {
        progress: &progress,
        cancel: &cancel,
        io_size: LONGEST,
        buffer_size: LONGEST,
        kernel_io_size: LONGEST,
        retries: 0,
        on_read_error: OnReadError::Stop,
        throttle: None,
    };
    let in_flight = progress.in_flight();
    let requests =
        Requests { control: &control, stop: &stop, in_flight: &in_flight, heading: &heading };
    let mut buffer = Buffer::new(as_usize(LONGEST)).unwrap();
    for stripe in range.pieces(1 << 14) {
        let copied = transfer.copy(stripe, &mut StripeIo::new(requests, &transfer, &mut buffer));
        assert!(copied.is_ok(), "seed {seed}");
    }
    assert!(sink.0.bytes() == bytes, "seed {seed}");
    let writes = std::mem::take(&mut *lock(&log.writes));
    let written: u64 = writes.iter().map(|range| range.len()).sum();
    assert_eq!(written, LEN, "seed {seed}: no byte twice");
    assert_eq!(writes.into_iter().collect::<RangeSet>(), range.into(), "seed {seed}");
    assert_eq!(transfer.done(), range.into(), "seed {seed}");
    for (len, wanted) in lock(&log.reads).iter() {
        assert!(len <= wanted, "seed {seed}: a request of {len}, wanted {wanted}");
    }
    assert_eq!(transfer.fallbacks().len(), usize::from(ends < LEN), "seed {seed}");
    std::mem::take(&mut *lock(&log.engines))
}

#[test]
fn a_change_in_the_middle_of_a_stripe_loses_nothing_and_moves_no_byte_twice() {
    let both = |seed| {
        let used = check(seed, LEN);
        used.contains(&0) && used.contains(&1)
    };
    let seeds = (0..200).filter(|&seed| both(seed)).count();
    assert!(seeds > 150, "the way changed in {seeds} copies");
}

/// An engine that has given way is not taken again, even if it is wished for.
#[test]
fn a_way_that_gave_way_stays_away() {
    for seed in 0..200 {
        let used = check(seed, 1);
        let last = used.iter().rposition(|&engine| engine == 0).unwrap();
        assert!(used[last + 1..].iter().all(|&engine| engine == 1), "seed {seed}: {used:?}");
        assert_eq!(used.iter().filter(|&&engine| engine == 0).count(), 1, "seed {seed}: {used:?}");
    }
}
