//! Random copies through the pool, in memory, against a slice copy: the bytes
//! inside, the bytes outside, and how often each was written.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use pcopy::engine::{Engine, Positioned};
use pcopy::io::memory::Memory;
use pcopy::io::{Sink, Source};
use pcopy::plan::{Cursor, Plan};
use pcopy::pool::controller::Controller;
use pcopy::pool::{self, Assignment, Control, Ledger, Transfer, Work};
use pcopy::{ByteRange, CancelToken, Error, ErrorKind, OnReadError, Progress};
use positioned_io::ReadAt;
use proptest::prelude::*;

use crate::common::{assert_same, pattern};

/// One copy, in bytes.
#[derive(Clone, Debug)]
struct Case {
    size: usize,
    offset: usize,
    length: usize,
    dest_offset: usize,
    stripe: u64,
    request: u64,
    threads: usize,
}

/// Guard bytes behind the destination range; those before it are `dest_offset` many.
const GUARD: usize = 600;

/// Long enough for several stripes of the smallest size, short enough for
/// ten thousand copies.
const LARGEST: usize = 40_000;

fn case() -> impl Strategy<Value = Case> {
    // Edges of sectors and pages are as likely as everything between them.
    let place = || {
        prop_oneof![
            0..LARGEST,
            (0..LARGEST / 512).prop_map(|sector| sector * 512),
            (1..LARGEST / 512).prop_map(|sector| sector * 512 - 1),
            (0..LARGEST / 512).prop_map(|sector| sector * 512 + 1),
        ]
    };
    (place(), place(), place(), place(), 9u32..15, 9u32..15, 1usize..=8).prop_map(
        |(size, offset, length, dest_offset, stripe, request, threads)| {
            let offset = offset.min(size);
            Case {
                size,
                offset,
                length: length.min(size - offset),
                dest_offset,
                stripe: 1 << stripe,
                request: 1 << request,
                threads,
            }
        },
    )
}

/// A sink that notes every write, and fails at one of them if asked to.
struct Recorder {
    memory: Memory,
    writes: Mutex<Vec<ByteRange>>,
    calls: AtomicUsize,
    fails_at: Option<usize>,
}

impl Recorder {
    fn new(bytes: Vec<u8>, fails_at: Option<usize>) -> Recorder {
        let (writes, calls) = (Mutex::default(), AtomicUsize::new(0));
        Recorder { memory: Memory::new(bytes), writes, calls, fails_at }
    }

    /// Everything written, ascending.
    fn writes(&self) -> Vec<ByteRange> {
        let mut writes = self.writes.lock().unwrap().clone();
        writes.sort();
        writes
    }
}

impl Sink for Recorder {
    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<usize> {
        if self.fails_at.is_some_and(|call| self.calls.fetch_add(1, Relaxed) >= call) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let count = self.memory.write_at(offset, data)?;
        let written = ByteRange::with_len(offset, count as u64).unwrap();
        self.writes.lock().unwrap().push(written);
        Ok(count)
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }
}

/// Stripes of one transfer.
struct Stripes<'a> {
    transfer: Arc<Transfer>,
    cursor: Cursor<'a>,
}

impl Work for Stripes<'_> {
    fn claim(&self) -> Result<Option<Assignment>, Error> {
        let assign =
            |stripe| Assignment { ticket: 0, transfer: Arc::clone(&self.transfer), stripe };
        Ok(self.cursor.claim().map(assign))
    }
}

/// Copies as a job does, between two ends of our own.
fn copy(
    case: &Case,
    source: Arc<dyn Source>,
    sink: Arc<dyn Sink>,
    cancel: &CancelToken,
) -> (Result<usize, Error>, Arc<Transfer>) {
    let range = ByteRange::with_len(case.offset as u64, case.length as u64).unwrap();
    let dest_offset = case.dest_offset as u64;
    let engines: Vec<Box<dyn Engine>> = vec![Box::new(Positioned)];
    let names = [PathBuf::from("source"), PathBuf::from("sink")];
    let [from, to] = names;
    let mapping = pcopy::Mapping::new(range, dest_offset).expect("small");
    let transfer = Transfer::new((source, from), (sink, to), mapping, 512, engines);
    let transfer = Arc::new(transfer);
    let plan = Plan::new(&range.into(), range.start().wrapping_sub(dest_offset), case.stripe);
    let progress = Progress::new();
    let control = Control {
        progress: &progress,
        cancel,
        io_size: case.request,
        buffer_size: (case.request / 2).max(512).min(case.request),
        kernel_io_size: case.request,
        retries: 0,
        on_read_error: OnReadError::Record,
        throttle: None,
    };
    let work = Stripes { transfer: Arc::clone(&transfer), cursor: Cursor::new(&plan) };
    let (run, result) = pool::run(&control, &work, Controller::fixed(case.threads));
    (result.map(|()| run.threads), transfer)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(10_000) })]

    /// Invariant I2: nothing outside the range is ever written, and every byte
    /// inside by one worker, once. And what is inside is right.
    #[test]
    fn a_copy_is_a_slice_copy_and_touches_nothing_else(case in case()) {
        let source = pattern(1, case.size);
        let before = pattern(2, case.dest_offset + case.length + GUARD);
        let sink = Arc::new(Recorder::new(before.clone(), None));
        let (result, transfer) =
            copy(&case, Arc::new(Memory::new(source.clone())), sink.clone(), &CancelToken::new());
        prop_assert!(result.unwrap() <= case.threads);

        let mut expected = before;
        expected[case.dest_offset..case.dest_offset + case.length]
            .copy_from_slice(&source[case.offset..case.offset + case.length]);
        assert_same(&sink.memory.bytes(), &expected, "the destination");

        let mut end = case.dest_offset as u64;
        for write in sink.writes() {
            prop_assert_eq!(write.start(), end, "written once, without a gap");
            end = write.end();
        }
        prop_assert_eq!(end, (case.dest_offset + case.length) as u64);
        prop_assert_eq!(transfer.done().bytes(), case.length as u64);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2_000) })]

    /// Invariant I3: what counts as done was written in full, whichever write fails.
    #[test]
    fn only_what_was_written_is_done(case in case(), fails_at in 0usize..40) {
        let sink = Arc::new(Recorder::new(Vec::new(), Some(fails_at)));
        let source = Arc::new(Memory::new(pattern(1, case.size)));
        let (result, transfer) = copy(&case, source, sink.clone(), &CancelToken::new());
        let written: pcopy::RangeSet = sink.writes().into_iter().collect();
        let done = transfer.done();
        let done = done.iter().map(|range| transfer.to_sink(range)).collect::<pcopy::RangeSet>();
        prop_assert_eq!(&done, &written);
        match result {
            Ok(_) => prop_assert_eq!(done.bytes(), case.length as u64),
            Err(error) => {
                let is_write = matches!(error.kind(), ErrorKind::Write { .. });
                prop_assert!(is_write, "{}", error.chain());
            }
        }
    }
}

/// A source that asks for the end of the job at one of its reads.
struct Impatient {
    memory: Memory,
    reads: AtomicUsize,
    cancels_at: usize,
    cancel: CancelToken,
}

impl ReadAt for Impatient {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        if self.reads.fetch_add(1, Relaxed) == self.cancels_at {
            self.cancel.cancel();
        }
        self.memory.read_at(offset, buffer)
    }
}

impl Source for Impatient {
    fn size(&self) -> u64 {
        self.memory.size()
    }
}

/// Invariant I8: after the wish to stop, every worker ends with the request it
/// is at; none begins a new one.
#[test]
fn a_wish_to_stop_is_heard_before_the_next_request() {
    for threads in 1..=8 {
        for cancels_at in [0, 1, 7, 30] {
            let cancel = CancelToken::new();
            let source = Arc::new(Impatient {
                memory: Memory::new(pattern(1, 64 * 512)),
                reads: AtomicUsize::new(0),
                cancels_at,
                cancel: cancel.clone(),
            });
            let case = Case {
                size: 64 * 512,
                offset: 0,
                length: 64 * 512,
                dest_offset: 0,
                stripe: 4096,
                request: 512,
                threads,
            };
            let sink = Arc::new(Recorder::new(Vec::new(), None));
            let (result, _) = copy(&case, source.clone(), sink, &cancel);
            let error = result.unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::Cancelled), "{}", error.chain());
            let reads = source.reads.load(Relaxed);
            let most = cancels_at + threads;
            assert!(reads <= most, "{reads} reads, {threads} threads, stop at read {cancels_at}");
        }
    }
}

/// How many cases each engine gets: few, or as many as the long tier says.
fn cases() -> u32 {
    std::env::var("PCOPY_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(100)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases()) })]

    /// The same of every engine between files, through whole jobs: into a new
    /// file, and into one that is there, of which nothing else changes.
    #[test]
    fn every_engine_makes_a_slice_copy_between_files(case in case(), in_place: bool) {
        let folder = tempfile::tempdir().unwrap();
        let from = folder.path().join("source");
        let source = pattern(1, case.size);
        std::fs::write(&from, &source).unwrap();
        let end = case.dest_offset + case.length;
        let before = if in_place { pattern(2, end + GUARD) } else { vec![0; end] };
        let mut expected = before.clone();
        expected[case.dest_offset..end]
            .copy_from_slice(&source[case.offset..case.offset + case.length]);
        for row in &pcopy::engine::TABLE {
            // One name each: a program that another test is about to start may
            // hold the lock of a file for a moment longer than this process.
            let to = folder.path().join(row.name);
            if in_place {
                std::fs::write(&to, &before).unwrap();
            }
            let job = pcopy::CopyJob::new(&from, &to)
                .range(case.offset as u64..(case.offset + case.length) as u64)
                .dest_offset(pcopy::Size::Bytes(case.dest_offset as u64))
                .in_place(in_place)
                .engine(row.name.parse().unwrap())
                .sync(false)
                .threads(case.threads)
                .stripe_size(pcopy::Size::Bytes(case.stripe))
                .io_size(pcopy::Size::Bytes(case.request));
            match job.run() {
                Ok(report) => {
                    prop_assert_eq!((report.engine, report.bytes.copied), (row.name, case.length as u64));
                    assert_same(&std::fs::read(&to).unwrap(), &expected, row.name);
                }
                Err(error) => {
                    let refused = matches!(
                        error.kind(),
                        ErrorKind::Refused(pcopy::error::Refusal::EngineUnsuitable { .. })
                    );
                    prop_assert!(refused && row.name != "positioned", "{}", error.chain());
                    let left = std::fs::read(&to).ok();
                    prop_assert_eq!(left, in_place.then(|| before.clone()), "{} changed something", row.name);
                }
            }
        }
    }
}
