//! What a copy costs beside the bytes: the plan, and the loop that claims,
//! reads, writes and records, between two ends in memory.

use std::hint::black_box;
use std::path::PathBuf;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use pcopy::engine::Positioned;
use pcopy::io::Sink;
use pcopy::io::memory::Memory;
use pcopy::plan::{Cursor, Plan};
use pcopy::pool::controller::Controller;
use pcopy::pool::{self, Assignment, Control, Transfer, Work};
use pcopy::{ByteRange, CancelToken, Error, OnReadError, Progress, RangeSet};

const MIB: u64 = 1 << 20;

fn planner(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("planner");
    for pieces in [1u64, 1000, 100_000] {
        let piece = |index: u64| ByteRange::with_len(index * 3 * MIB, MIB).expect("it fits");
        let todo: RangeSet = (0..pieces).map(piece).collect();
        group.bench_function(BenchmarkId::new("plan", pieces), |bencher| {
            bencher.iter(|| Plan::new(black_box(&todo), 5, MIB).stripes());
        });
        let plan = Plan::new(&todo, 5, MIB);
        group.throughput(Throughput::Elements(plan.stripes()));
        group.bench_function(BenchmarkId::new("claim all", pieces), |bencher| {
            bencher.iter(|| {
                let cursor = Cursor::new(&plan);
                std::iter::from_fn(|| cursor.claim()).map(ByteRange::len).sum::<u64>()
            });
        });
    }
    group.finish();
}

/// Takes everything and keeps nothing.
struct Nowhere;

impl Sink for Nowhere {
    fn write_at(&self, _offset: u64, data: &[u8]) -> std::io::Result<usize> {
        Ok(data.len())
    }

    fn sync_data(&self) -> std::io::Result<()> {
        Ok(())
    }
}

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

fn copy(source: &Arc<Memory>, io_size: u64, threads: usize) -> usize {
    let range = ByteRange::to(16 * MIB);
    let transfer = Transfer::new(
        (source.clone(), PathBuf::from("source")),
        (Arc::new(Nowhere), PathBuf::from("sink")),
        pcopy::Mapping::to_start(range),
        512,
        vec![Box::new(Positioned)],
    );
    let plan = Plan::new(&range.into(), 0, MIB);
    let (progress, cancel) = (Progress::new(), CancelToken::new());
    let control = Control {
        progress: &progress,
        cancel: &cancel,
        io_size,
        buffer_size: io_size,
        kernel_io_size: io_size,
        retries: 0,
        on_read_error: OnReadError::Stop,
        throttle: None,
    };
    let work = Stripes { transfer: Arc::new(transfer), cursor: Cursor::new(&plan) };
    let controller = match threads {
        1 => Controller::inline(),
        threads => Controller::fixed(threads),
    };
    let (run, moved) = pool::run(&control, &work, controller);
    moved.expect("memory can be copied");
    run.threads
}

fn transfer_loop(criterion: &mut Criterion) {
    let source = Arc::new(Memory::zeroed(16 * MIB as usize));
    let mut group = criterion.benchmark_group("transfer loop");
    group.throughput(Throughput::Bytes(16 * MIB));
    for (io_size, threads) in [(4096, 1), (65_536, 1), (262_144, 1), (262_144, 4)] {
        let name = BenchmarkId::new(format!("{threads} threads"), io_size);
        group.bench_function(name, |bencher| {
            bencher.iter(|| assert!(copy(&source, io_size, threads) > 0));
        });
    }
    group.finish();
}

criterion_group!(benches, planner, transfer_loop);
criterion_main!(benches);
