use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use positioned_io::ReadAt;

use super::*;
use crate::digest::Algorithm;
use crate::io::FileIo;
use crate::io::memory::Memory;
use crate::pool::OnReadError;
use crate::progress::{CancelToken, Progress};
use crate::testing::{Faulty, Operation, Random, Rule};

/// How many bytes are compared, and in which pieces.
const LEN: u64 = 64 << 10;
const PIECE: u64 = 16 << 10;

fn control<'a>(io_size: u64, progress: &'a Progress, cancel: &'a CancelToken) -> Control<'a> {
    Control {
        progress,
        cancel,
        io_size,
        buffer_size: io_size,
        kernel_io_size: io_size,
        retries: 0,
        on_read_error: OnReadError::Record,
        throttle: None,
    }
}

/// How a comparison is to go.
struct Case<'a> {
    source: &'a dyn Source,
    /// What is in the destination.
    copy: Vec<u8>,
    threads: usize,
    on_read_error: OnReadError,
    cancel: CancelToken,
    /// Digests, for which the pieces wait for each other.
    digester: Option<Digester>,
}

impl<'a> Case<'a> {
    fn new(source: &'a dyn Source, copy: Vec<u8>) -> Case<'a> {
        Case {
            source,
            copy,
            threads: 1,
            on_read_error: OnReadError::Record,
            cancel: CancelToken::new(),
            digester: None,
        }
    }

    fn run(self) -> (Findings, Result<()>) {
        let progress = Progress::new();
        let control = control(4096, &progress, &self.cancel);
        let range = ByteRange::to(LEN);
        let comparison = Comparison {
            source: self.source,
            source_path: Path::new("source"),
            sector: 512,
            control: &Control { on_read_error: self.on_read_error, ..control },
            page_cache: &PageCachePolicy::none(),
            medium: &ReadBack::of(Arc::new(Memory::new(self.copy))),
            mapping: Mapping::to_start(range),
            digester: self.digester.as_ref(),
            threads: self.threads,
        };
        comparison.run(&[], &Plan::new(&range.into(), 0, PIECE))
    }
}

fn bytes() -> Vec<u8> {
    Random::new(7).bytes(as_usize(LEN))
}

fn set(ranges: &[(u64, u64)]) -> RangeSet {
    ranges.iter().map(|&(start, end)| ByteRange::between(start, end)).collect()
}

fn failure(ended: Result<()>) -> Error {
    ended.expect_err("it cannot come to its end")
}

/// `bytes` of which bytes 5000 to 6000 and 40000 cannot be read.
fn bad_source(bytes: &[u8]) -> Faulty<Memory> {
    Faulty::new(Memory::new(bytes.to_vec()))
        .with(Rule::on(Operation::Read).within(5000..6000).persistent())
        .with(Rule::on(Operation::Read).within(40_000..40_001).persistent())
}

#[test]
fn what_cannot_be_read_is_left_out_to_the_sector_and_the_rest_compared() {
    let bytes = bytes();
    let mut copy = bytes.clone();
    // Two are where nobody knows what they should be, one is just before.
    for at in [5100, 40_000, 4999, 30_000, 65_535] {
        copy[at] ^= 1;
    }
    for threads in [1, 3, 9] {
        let source = bad_source(&bytes);
        let case = Case { threads, ..Case::new(&source, copy.clone()) };
        let (findings, ended) = case.run();
        ended.expect("it goes on behind what cannot be read");
        // From where it cannot be read: what comes before it in its sector can.
        assert_eq!(findings.unread.ranges(), set(&[(5000, 6144), (40_000, 40_448)]), "{threads}");
        let expected = set(&[(4608, 5120), (29_696, 30_208), (65_024, 65_536)]);
        assert_eq!(findings.differing, expected, "{threads}");
        assert_eq!(findings.pieces, set(&[(0, 2 * PIECE), (3 * PIECE, LEN)]), "{threads}");
    }
}

/// The sector, and not the request that it is in.
#[test]
fn what_ends_a_comparison_is_named_to_the_sector() {
    let bytes = bytes();
    let source = bad_source(&bytes);
    let case = Case { on_read_error: OnReadError::Stop, ..Case::new(&source, bytes) };
    match failure(case.run().1).kind() {
        ErrorKind::Read { path, range, .. } => {
            assert_eq!(path, Path::new("source"));
            assert_eq!(*range, ByteRange::between(5000, 5120));
        }
        other => panic!("{other:?}"),
    }
}

/// The end of a source is not a bad sector.
#[test]
fn a_source_that_ends_early_has_shrunk() {
    let bytes = bytes();
    let source = Memory::new(bytes[..20_000].to_vec());
    for threads in [1, 4] {
        let (findings, ended) = Case { threads, ..Case::new(&source, bytes.clone()) }.run();
        match failure(ended).kind() {
            ErrorKind::SourceShrank { at, .. } => assert!(*at >= 20_000, "{at}"),
            other => panic!("{other:?}"),
        }
        assert!(findings.unread.is_empty(), "{:?}", findings.unread);
    }
}

/// A source that is not there any more, which is found out late.
struct Unplugged;

impl ReadAt for Unplugged {
    fn read_at(&self, _: u64, _: &mut [u8]) -> io::Result<usize> {
        Err(io::Error::other("no answer"))
    }
}

impl Source for Unplugged {
    fn size(&self) -> u64 {
        LEN
    }

    fn why_gone(&self) -> Option<String> {
        Some("pulled out".to_owned())
    }
}

#[test]
fn of_a_source_that_is_gone_nothing_is_called_bad() {
    let (findings, ended) = Case::new(&Unplugged, bytes()).run();
    match failure(ended).kind() {
        ErrorKind::SourceGone { why, source, .. } => {
            assert_eq!((&**why, &*source.to_string()), ("pulled out", "no answer"));
        }
        other => panic!("{other:?}"),
    }
    assert!(findings.unread.is_empty(), "{:?}", findings.unread);
}

/// A source that asks to stop while it is read, and fails.
struct Stopping {
    cancel: CancelToken,
    reads: AtomicU64,
}

impl ReadAt for Stopping {
    fn read_at(&self, _: u64, _: &mut [u8]) -> io::Result<usize> {
        self.reads.fetch_add(1, SeqCst);
        self.cancel.cancel();
        Err(io::Error::other("no answer"))
    }
}

impl Source for Stopping {
    fn size(&self) -> u64 {
        LEN
    }
}

/// Invariant I8.
#[test]
fn a_wish_to_stop_is_heard_between_requests() {
    let source = Stopping { cancel: CancelToken::new(), reads: AtomicU64::new(0) };
    let case = Case { cancel: source.cancel.clone(), ..Case::new(&source, bytes()) };
    let (findings, ended) = case.run();
    assert!(matches!(failure(ended).kind(), ErrorKind::Cancelled));
    assert_eq!(source.reads.load(SeqCst), 1, "no part of it is tried any more");
    assert!(findings.differing.is_empty() && findings.unread.is_empty());
}

/// Those that wait for its bytes are woken.
#[test]
fn a_worker_that_panics_ends_the_comparison() {
    let bytes = bytes();
    let rule = Rule::on(Operation::Read).within(0..1).panic();
    let source = Faulty::new(Memory::new(bytes.clone())).with(rule);
    let digester = Some(Digester::new(&[Algorithm::Sha256], ByteRange::to(LEN)));
    let (_, ended) = Case { threads: 4, digester, ..Case::new(&source, bytes) }.run();
    assert!(matches!(failure(ended).kind(), ErrorKind::WorkerPanicked { .. }));
}

/// Verifying 160 MiB with 64 threads and 4 KiB requests took 68 MiB.
#[test]
fn buffers_keep_to_the_memory_of_the_copy_and_a_fixed_share() {
    let source = Memory::zeroed(1);
    let file = tempfile::tempfile().expect("a file");
    let medium = ReadBack::new(&Arc::new(FileIo::new(file, 0)));
    let range = ByteRange::to(1);
    let (progress, cancel) = (Progress::new(), CancelToken::new());
    let check = |threads: usize, io_size: u64, digests: &[Algorithm], expected: u64| {
        let digester = Digester::new(digests, range);
        let comparison = Comparison {
            source: &source,
            source_path: Path::new("source"),
            sector: 512,
            control: &control(io_size, &progress, &cancel),
            page_cache: &PageCachePolicy::none(),
            medium: &medium,
            mapping: Mapping::to_start(range),
            digester: (!digests.is_empty()).then_some(&digester),
            threads,
        };
        let request = comparison.request();
        assert_eq!(request, expected, "{threads} threads, {io_size} bytes");
        let taken = 2 * threads as u64 * request;
        assert!(taken <= (2 * threads as u64 * io_size).max(SPARE), "{taken}");
    };
    let (kib, mib) = (1 << 10, 1 << 20);
    check(1, 512, &[], mib);
    check(4, 256 * kib, &[], mib);
    check(5, 256 * kib, &[Algorithm::Blake3, Algorithm::Crc32c], 512 * kib);
    check(32, 256 * kib, &[], 256 * kib);
    check(64, 4 * kib, &[], 64 * kib);
    check(1024, 4 * kib, &[], 4 * kib);
    check(usize::MAX >> 40, 512, &[], 512);
    check(2, 16 * mib, &[], 16 * mib);
    check(1, 4 * kib, &[Algorithm::Sha256], 4 * kib);
}

#[test]
fn differences_are_whole_sectors_of_the_source() {
    let check = |start: u64, len: usize, flipped: &[usize], expected: &[(u64, u64)]| {
        let theirs = vec![7; len];
        let mut ours = theirs.clone();
        flipped.iter().for_each(|&at| ours[at] ^= 1);
        let found: Vec<_> = differing_blocks(start, &theirs, &ours)
            .iter()
            .map(|block| (block.start(), block.end()))
            .collect();
        assert_eq!(found, expected);
    };
    check(0, 2000, &[], &[]);
    check(0, 2000, &[0], &[(0, 512)]);
    check(0, 2000, &[511, 512], &[(0, 512), (512, 1024)]);
    check(0, 2000, &[1999], &[(1536, 2000)]);
    check(100, 2000, &[0, 411, 412], &[(100, 512), (512, 1024)]);
    check(0, 0, &[], &[]);
}
