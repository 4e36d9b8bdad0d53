//! Throughput of each digest at 1 MiB a piece: as a plain stream, and through
//! the digester that the workers of a copy share.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use pcopy::ByteRange;
use pcopy::digest::{Algorithm, Digester, Hasher};

const MIB: u64 = 1 << 20;
const PIECES: u64 = 16;

fn stream(criterion: &mut Criterion) {
    let piece: Vec<u8> = (0..=250).cycle().take(MIB as usize).collect();
    let mut group = criterion.benchmark_group("stream");
    group.throughput(Throughput::Bytes(MIB));
    for algorithm in Algorithm::ALL {
        let mut hasher = Hasher::new(algorithm);
        group.bench_function(BenchmarkId::from_parameter(algorithm), |bencher| {
            bencher.iter(|| hasher.update(black_box(&piece)));
        });
    }
    group.finish();
}

fn digest(data: &[u8], algorithm: Algorithm, first: u64) -> bool {
    let digester = Digester::new(&[algorithm], ByteRange::to(PIECES * MIB + first));
    let mut added = digester.update(0, &data[..first as usize]).is_ok();
    for index in 0..PIECES {
        added &= digester.update(first + index * MIB, black_box(data)).is_ok();
    }
    added && digester.finish().is_some()
}

fn pieces(criterion: &mut Criterion) {
    let piece: Vec<u8> = (0..=250).cycle().take(MIB as usize).collect();
    let mut group = criterion.benchmark_group("pieces");
    group.throughput(Throughput::Bytes(PIECES * MIB));
    for algorithm in Algorithm::ALL {
        // A range that starts between two chunks makes every piece ragged.
        for (name, first) in [("aligned", 0), ("ragged", 512)] {
            group.bench_function(BenchmarkId::new(algorithm.name(), name), |bencher| {
                bencher.iter(|| assert!(digest(&piece, algorithm, first)));
            });
        }
    }
    group.finish();
}

fn holes(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("holes");
    group.throughput(Throughput::Bytes(PIECES * MIB));
    for algorithm in Algorithm::ALL {
        group.bench_function(BenchmarkId::from_parameter(algorithm), |bencher| {
            bencher.iter(|| {
                let range = ByteRange::to(PIECES * MIB);
                let digester = Digester::new(&[algorithm], range);
                assert!(digester.update_zeroes(range).is_ok() && digester.finish().is_some());
            });
        });
    }
    group.finish();
}

criterion_group!(benches, stream, pieces, holes);
criterion_main!(benches);
