//! Each engine on a warm file of the fastest file system there is, so that
//! what is measured is the engine and not a disk. `PCOPY_BENCH_DIR` names
//! another folder; an engine that cannot serve there is left out, and says so.

use std::path::PathBuf;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use pcopy::CopyJob;
use pcopy::engine::TABLE;

const LEN: usize = 64 << 20;

/// In memory where Linux has such a place.
fn folder() -> PathBuf {
    let named = std::env::var_os("PCOPY_BENCH_DIR").map(PathBuf::from);
    let memory = PathBuf::from("/dev/shm");
    named.or_else(|| memory.is_dir().then_some(memory)).unwrap_or_else(std::env::temp_dir)
}

fn engines(criterion: &mut Criterion) {
    let folder = tempfile::tempdir_in(folder()).expect("a folder to copy in");
    let (from, to) = (folder.path().join("from"), folder.path().join("to"));
    std::fs::write(&from, vec![0x5a; LEN]).expect("room for the source");
    let mut group = criterion.benchmark_group("engine");
    group.throughput(Throughput::Bytes(LEN as u64)).sample_size(10);
    for row in &TABLE {
        let job = CopyJob::new(&from, &to)
            .engine(row.name.parse().expect("the table has names of engines"))
            .threads(2)
            .sync(false)
            .force(true);
        let copy = || job.run();
        if let Err(error) = copy() {
            eprintln!("left out: {}", error.chain());
            continue;
        }
        group.bench_function(row.name, |bencher| bencher.iter(|| copy().expect("it did before")));
    }
    group.finish();
}

criterion_group!(benches, engines);
criterion_main!(benches);
