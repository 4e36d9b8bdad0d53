//! Every engine on every size and oddity, through whole jobs of the library.

use std::fs;
use std::path::{Path, PathBuf};

use pcopy::engine::{EngineChoice, Reflink, TABLE};
#[cfg(unix)]
use pcopy::sparse::Preallocate;
use pcopy::sparse::Sparse;
use pcopy::{ByteRange, CopyJob, Error, Outcome, RangeSpec, Report, Size};

use crate::common::skip;
use crate::copy;

/// A folder that both the source and the destination are in.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Folder {
        Folder(tempfile::tempdir().expect("a temporary folder"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A file of `len` bytes of a pattern without repetition, and the bytes.
    fn file(&self, name: &str, len: usize) -> Vec<u8> {
        let mut state = 88_172_645_463_325_252u64;
        let mut bytes = Vec::with_capacity(len + 8);
        while bytes.len() < len {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            bytes.extend_from_slice(&state.to_le_bytes());
        }
        bytes.truncate(len);
        fs::write(self.path(name), &bytes).unwrap();
        bytes
    }
}

fn engine(name: &'static str) -> EngineChoice {
    name.parse().unwrap()
}

fn run(job: CopyJob) -> Result<Report, Error> {
    Ok(job.run()?)
}

/// What a copy of `range` to `dest_offset` of a file that holds `before` must give.
fn expected(source: &[u8], range: ByteRange, dest_offset: u64, before: &[u8]) -> Vec<u8> {
    let at = usize::try_from(dest_offset).unwrap();
    let part = usize::try_from(range.start()).unwrap()..usize::try_from(range.end()).unwrap();
    let mut bytes = before.to_vec();
    bytes.resize(before.len().max(at + part.len()), 0);
    bytes[at..at + part.len()].copy_from_slice(&source[part]);
    bytes
}

#[track_caller]
fn assert_same(path: &Path, expected: &[u8], what: &str) {
    let found = fs::read(path).unwrap();
    assert_eq!(found.len(), expected.len(), "length: {what}");
    let differs = found.iter().zip(expected).position(|(a, b)| a != b);
    assert_eq!(differs, None, "first difference: {what}");
}

/// Small units, so that little data has many edges.
const STRIPE: u64 = copy::STRIPE as u64;
const REQUEST: u64 = copy::REQUEST as u64;

/// Names of the engines that can serve a new file on the file system of the
/// temporary folder; the others are skipped.
fn engines_here() -> Vec<&'static str> {
    let folder = Folder::new();
    folder.file("s", 100_000);
    let serves = |name: &'static str| {
        let job = CopyJob::new(folder.path("s"), folder.path(name)).engine(engine(name));
        match run(job) {
            Ok(_) => true,
            Err(error) => {
                skip(&format!("engine {name} in the temporary folder: {}", error.chain()));
                false
            }
        }
    };
    TABLE.iter().map(|row| row.name).filter(|name| serves(name)).collect()
}

#[test]
fn every_engine_copies_every_size_from_and_to_every_offset() {
    let folder = Folder::new();
    let offsets =
        [(0, 0), (1, 0), (0, 1), (511, 513), (512, 0), (4096, 4096), (4097, 1), (7, 4103)];
    let source = folder.file("s", 300_000);
    let range = |start: u64, len: u64| ByteRange::with_len(start, len).unwrap();
    for name in engines_here() {
        for len in copy::SIZES.iter().map(|&len| len as u64) {
            for (from, to) in offsets {
                let what = format!("{name}: {len} bytes from {from} to {to}");
                let path = folder.path("d");
                let report = run(job(&folder, name, range(from, len), to)).expect(&what);
                assert!(report.is_complete() && report.fallbacks.is_empty(), "{what}: {report:?}");
                assert_eq!((report.engine, report.bytes.copied), (name, len), "{what}");
                assert_same(&path, &expected(&source, range(from, len), to, &[]), &what);
                fs::remove_file(path).unwrap();
            }
        }
    }
}

fn job(folder: &Folder, name: &'static str, range: ByteRange, to: u64) -> CopyJob {
    CopyJob::new(folder.path("s"), folder.path("d"))
        .range(RangeSpec::from_offset_length(
            Some(Size::Bytes(range.start())),
            Some(Size::Bytes(range.len())),
        ))
        .dest_offset(Size::Bytes(to))
        .engine(engine(name))
        .sync(false)
        .threads(3)
        .stripe_size(Size::Bytes(STRIPE))
        .io_size(Size::Bytes(REQUEST))
}

/// Invariant I2: nothing outside the range is written.
#[test]
fn every_engine_leaves_what_is_outside_the_range_alone() {
    let folder = Folder::new();
    let source = folder.file("s", 300_000);
    for name in engines_here().into_iter().filter(|&name| name != "mmap") {
        for (from, len, to) in [(0, 200_000, 4096), (3, 150_001, 5), (512, 65_536, 512), (9, 0, 77)]
        {
            let what = format!("{name}: {len} bytes from {from} to {to}");
            let before = vec![0xa5; 280_000];
            fs::write(folder.path("d"), &before).unwrap();
            let range = ByteRange::with_len(from, len).unwrap();
            run(job(&folder, name, range, to).in_place(true)).expect(&what);
            assert_same(&folder.path("d"), &expected(&source, range, to, &before), &what);
            fs::remove_file(folder.path("d")).unwrap();
        }
    }
}

/// A source with data at 128 KiB and at its odd end, zeros at 256 KiB, holes elsewhere.
#[cfg(unix)]
fn sparse_source(folder: &Folder) -> Vec<u8> {
    use std::os::unix::fs::FileExt;
    const LEN: usize = (1 << 20) + 13;
    let file = fs::File::create(folder.path("s")).unwrap();
    let mut bytes = vec![0; LEN];
    for (at, len, byte) in [(128 << 10, 8192, 7), (256 << 10, 65_536, 0), (LEN - 13, 13, 9)] {
        bytes[at..at + len].fill(byte);
        file.write_all_at(&bytes[at..at + len], at as u64).unwrap();
    }
    file.set_len(LEN as u64).unwrap();
    bytes
}

#[cfg(unix)]
fn allocated(path: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    fs::metadata(path).unwrap().blocks() * 512
}

#[cfg(unix)]
#[test]
fn holes_are_kept_made_or_filled_as_asked() {
    let folder = Folder::new();
    let source = sparse_source(&folder);
    let whole = ByteRange::to(source.len() as u64);
    for (sparse, most, least) in [
        (Sparse::Auto, 256 << 10, 64 << 10),
        (Sparse::Always, 64 << 10, 0),
        (Sparse::Never, 2 << 20, 1 << 20),
    ] {
        for in_place in [false, true] {
            let what = format!("{sparse:?}, in place: {in_place}");
            let path = folder.path("d");
            let before = if in_place { vec![0x5a; source.len() + 100] } else { Vec::new() };
            if in_place {
                fs::write(&path, &before).unwrap();
            }
            let job = job(&folder, "positioned", whole, 0).sync(true).sparse(sparse);
            let report = run(job.in_place(in_place)).expect(&what);
            assert_same(&path, &expected(&source, whole, 0, &before), &what);
            let bytes = report.bytes;
            assert_eq!(Some(bytes.copied + bytes.holes), bytes.requested, "{what}: {bytes:?}");
            let stored = allocated(&path);
            assert!((least..=most).contains(&stored), "{what}: {stored} bytes stored");
            let holes = match sparse {
                Sparse::Never => 0..1,
                Sparse::Auto => 900_000..1_000_000,
                _ => 1_000_000..1_048_577,
            };
            assert!(holes.contains(&bytes.holes), "{what}: {bytes:?}");
            fs::remove_file(path).unwrap();
        }
    }
}

#[cfg(unix)]
#[test]
fn a_full_reservation_fills_the_holes_and_a_refused_one_leaves_nothing() {
    let folder = Folder::new();
    let source = sparse_source(&folder);
    let whole = ByteRange::to(source.len() as u64);
    run(job(&folder, "positioned", whole, 0).preallocate(Preallocate::Full)).unwrap();
    assert!(allocated(&folder.path("d")) >= 1 << 20);
    assert_same(&folder.path("d"), &source, "preallocated");
}

#[test]
fn a_named_engine_that_cannot_serve_is_refused_and_leaves_nothing() {
    let folder = Folder::new();
    folder.file("s", 1000);
    fs::write(folder.path("d"), [1; 10]).unwrap();
    let whole = ByteRange::to(1000);
    let check = |job: CopyJob| {
        let error = run(job).expect_err("refused");
        assert_eq!(error.outcome(), Outcome::Refused, "{}", error.chain());
        assert_eq!(fs::read(folder.path("d")).unwrap(), [1; 10]);
        assert_eq!(fs::read_dir(folder.0.path()).unwrap().count(), 2);
    };
    check(job(&folder, "mmap", whole, 0).in_place(true));
    check(job(&folder, "offload", whole, 0).force(true).sparse(Sparse::Always));
    check(job(&folder, "positioned", whole, 0).force(true).reflink(Reflink::Always));
}
