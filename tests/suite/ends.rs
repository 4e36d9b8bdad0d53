//! Ends that are neither files nor devices: those of a user of the library, in
//! one file and with no help from the pipeline, and the two that have a name on
//! the command line.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use pcopy::digest::{Algorithm, hash_slice};
use pcopy::endpoint::pipe::Pipe;
use pcopy::endpoint::{Destination, Draft, Origin, Shape};
use pcopy::io::{ReadAt, Sink, Source};
use pcopy::{ByteRange, CopyJob, ErrorKind, Outcome, RangeSet};

use crate::common::{Scene, assert_same};

/// Objects by name, each visible only when it is complete.
#[derive(Clone, Default)]
struct Store {
    objects: Arc<Mutex<HashMap<String, Vec<u8>>>>,
    /// Uploads that were neither completed nor aborted.
    open: Arc<Mutex<i32>>,
    /// Whether the next write is damaged on its way.
    damages: Arc<AtomicBool>,
    /// Whether every write is.
    always: bool,
}

/// An object that is to come into the store.
struct Upload {
    name: PathBuf,
    store: Store,
}

/// The parts of it that have arrived, in any order.
struct Parts {
    name: PathBuf,
    len: u64,
    store: Store,
    parts: Arc<Received>,
}

struct Received {
    parts: Mutex<BTreeMap<u64, Vec<u8>>>,
    len: u64,
    store: Store,
}

impl Received {
    fn assembled(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.len as usize];
        for (&at, part) in &*self.parts.lock().unwrap() {
            bytes[at as usize..at as usize + part.len()].copy_from_slice(part);
        }
        bytes
    }
}

impl Sink for Received {
    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<usize> {
        let mut part = data.to_vec();
        if self.store.always || self.store.damages.swap(false, Ordering::Relaxed) {
            part[0] ^= 1;
        }
        self.parts.lock().unwrap().insert(offset, part);
        Ok(data.len())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }
}

impl ReadAt for Received {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.assembled();
        (&bytes[..]).read_at(offset, buffer)
    }
}

impl Source for Received {
    fn size(&self) -> u64 {
        self.len
    }
}

impl Destination for Upload {
    fn path(&self) -> &Path {
        &self.name
    }

    fn begin(self: Box<Self>, shape: &Shape<'_>) -> pcopy::Result<Box<dyn Draft>> {
        *self.store.open.lock().unwrap() += 1;
        let len = shape.mapping.to().end();
        let store = self.store.clone();
        let parts = Arc::new(Received { parts: Mutex::default(), len, store });
        Ok(Box::new(Parts { name: self.name, len, store: self.store, parts }))
    }
}

impl Draft for Parts {
    fn sink(&self) -> Arc<dyn Sink> {
        self.parts.clone()
    }

    fn path(&self) -> &Path {
        &self.name
    }

    fn len(&self) -> u64 {
        self.len
    }

    fn written(&self) -> Option<Arc<dyn Source>> {
        Some(self.parts.clone())
    }

    fn commit(&mut self, _durable: bool) -> pcopy::Result<()> {
        let name = self.name.display().to_string();
        self.store.objects.lock().unwrap().insert(name, self.parts.assembled());
        *self.store.open.lock().unwrap() -= 1;
        Ok(())
    }

    fn discard(self: Box<Self>) -> Option<String> {
        *self.store.open.lock().unwrap() -= 1;
        None
    }
}

impl Store {
    fn upload(&self, name: &str) -> Upload {
        Upload { name: name.into(), store: self.clone() }
    }

    fn object(&self, name: &str) -> Option<Vec<u8>> {
        self.objects.lock().unwrap().get(name).cloned()
    }
}

/// Bytes of one's own, some of which may be unreadable.
struct Bytes {
    path: PathBuf,
    bytes: Arc<Vec<u8>>,
    bad: Option<u64>,
}

struct Readable {
    bytes: Arc<Vec<u8>>,
    bad: Option<u64>,
}

impl ReadAt for Readable {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let end = offset + buffer.len() as u64;
        if self.bad.is_some_and(|bad| (offset..end).contains(&bad)) {
            return Err(io::Error::other("a scratch"));
        }
        (&self.bytes[..]).read_at(offset, buffer)
    }
}

impl Source for Readable {
    fn size(&self) -> u64 {
        self.bytes.len() as u64
    }
}

impl Origin for Bytes {
    fn path(&self) -> &Path {
        &self.path
    }

    fn source(&self) -> Arc<dyn Source> {
        Arc::new(Readable { bytes: self.bytes.clone(), bad: self.bad })
    }
}

fn bytes(count: usize) -> Arc<Vec<u8>> {
    Arc::new((0..count).map(|at| (at % 251) as u8).collect())
}

#[test]
fn an_end_of_ones_own_gets_what_a_file_gets() {
    let scene = Scene::new();
    let source = scene.source("source", 3_000_001);
    let store = Store::default();
    let job = CopyJob::to_destination(scene.path("source"), store.upload("x"))
        .range(100..3_000_000)
        .threads(4)
        .io_size(64 << 10)
        .digest(Algorithm::Sha256)
        .verify(true);
    let report = job.run().unwrap();
    assert_eq!(report.outcome, Outcome::Complete);
    assert_eq!(report.verified, Some(true));
    assert_eq!(report.digests.len(), 1);
    assert_same(&store.object("x").unwrap(), &source[100..3_000_000], "the object");
    assert_eq!(*store.open.lock().unwrap(), 0);
    // What was written once is not written again.
    let again = job.run().unwrap_err();
    assert!(matches!(again.kind(), ErrorKind::Usage { .. }), "{again}");
}

#[test]
fn what_is_not_as_expected_is_never_visible() {
    let store = Store::default();
    let origin = || Bytes { path: "mine".into(), bytes: bytes(100_000), bad: None };
    let job = CopyJob::between(origin(), store.upload("y"));
    let error = job.expect("crc32c:00000000".parse().unwrap()).run().unwrap_err();
    assert_eq!(error.outcome(), Outcome::Mismatch);
    assert_eq!(store.object("y"), None);

    store.damages.store(true, Ordering::Relaxed);
    let error = CopyJob::between(origin(), store.upload("y")).verify(true).run().unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::VerifyMismatch { .. }), "{error}");
    assert_eq!(store.object("y"), None);

    store.damages.store(true, Ordering::Relaxed);
    let job = CopyJob::between(origin(), store.upload("y")).verify(true).repair(true);
    let report = job.run().unwrap();
    assert_eq!(report.verified, Some(true), "{report:?}");
    assert_same(&store.object("y").unwrap(), &bytes(100_000), "the repaired object");
}

/// Parts of a range, between ends of any kind: proved, repaired, and nothing else read.
#[test]
fn only_what_is_asked_for_is_read_and_written() {
    let only: RangeSet =
        [ByteRange::to(10), ByteRange::between(5000, 90_000)].into_iter().collect();
    let store = Store::default();
    // What cannot be read is not among it.
    let origin = |bad| Bytes { path: "mine".into(), bytes: bytes(100_000), bad: Some(bad) };
    let digest = |job: CopyJob| job.only(only.clone()).digest(Algorithm::Sha256).verify(true);
    let job = digest(CopyJob::between(origin(4999), store.upload("y"))).io_size(4096);
    let report = job.run().unwrap();
    assert_eq!((report.outcome, report.verified), (Outcome::Complete, Some(true)), "{report:?}");
    let mut expected = vec![0; 100_000];
    for range in only.iter() {
        let range = range.start() as usize..range.end() as usize;
        expected[range.clone()].copy_from_slice(&bytes(100_000)[range]);
    }
    assert_same(&store.object("y").unwrap(), &expected, "parts of it");
    let of_all = report.digests;
    assert_eq!(of_all, [hash_slice(Algorithm::Sha256, &expected)], "zeros between them");

    store.damages.store(true, Ordering::Relaxed);
    let job = digest(CopyJob::between(origin(95_000), store.upload("z"))).repair(true);
    let report = job.run().unwrap();
    assert_same(&store.object("z").unwrap(), &expected, "repaired");
    assert_eq!((report.verified, report.digests), (Some(true), of_all));

    let expect = |range, crc: &str| {
        let job = CopyJob::between(origin(4999), store.upload("w"));
        job.only(only.clone()).expect_in(range, crc.parse().unwrap()).run()
    };
    let right = hash_slice(Algorithm::Crc32c, &bytes(100_000)[5000..90_000]);
    let range = ByteRange::between(5000, 90_000);
    expect(range, &format!("crc32c:{right}")).unwrap();
    let error = expect(range, "crc32c:00000000").unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::RangeMismatch { .. }), "{error}");
    assert_eq!(*store.open.lock().unwrap(), 0, "nothing was begun");
    let error = expect(ByteRange::between(4990, 5001), "crc32c:00000000").unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Read { .. }), "{error}");
    let error = expect(ByteRange::between(99_999, 100_001), "crc32c:00000000").unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Usage { .. }), "{error}");
}

/// One of two destinations that stays wrong after its repair is left out, and
/// what is known of the other one is that of the source.
#[test]
fn a_destination_that_stays_wrong_says_nothing_of_the_others() {
    let scene = Scene::new();
    let source = scene.source("source", 100_000);
    let store = Store { always: true, ..Store::default() };
    let right = pcopy::digest::hash_slice(Algorithm::Md5, &source).to_string();
    let job = CopyJob::to_destination(scene.path("source"), store.upload("z"))
        .also(scene.path("good"))
        .verify(true)
        .repair(true)
        .expect(format!("md5:{right}").parse().unwrap());
    let error = job.run().unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::VerifyMismatch { .. }), "{error}");
    let report = error.report().unwrap();
    assert_eq!(report.also[0].outcome, Outcome::Complete, "{report:?}");
    assert_eq!(report.digests[0].to_string(), right);
    assert_eq!(store.object("z"), None);
    assert_same(&scene.read("good"), &source, "the other one");
}

#[test]
fn what_cannot_be_read_of_an_origin_of_ones_own_is_listed() {
    let scene = Scene::new();
    let whole = bytes(1 << 20);
    let origin = Bytes { path: "mine".into(), bytes: whole.clone(), bad: Some(70_000) };
    let report = CopyJob::from_origin(origin, scene.path("copy")).run().unwrap();
    assert_eq!(report.outcome, Outcome::Partial);
    assert_eq!((report.failed[0].start, report.failed[0].end), (69_632, 70_144));
    let copy = scene.read("copy");
    assert_same(&copy[..69_632], &whole[..69_632], "before");
    assert_same(&copy[70_144..], &whole[70_144..], "behind");
}

/// A copy of one's own origin leaves a map like any other, and is resumed from it.
#[test]
fn a_copy_from_an_origin_of_ones_own_is_resumed() {
    let scene = Scene::new();
    let whole = bytes(1 << 20);
    let origin = |bad| Bytes { path: "mine".into(), bytes: whole.clone(), bad };
    let job = |bad| {
        CopyJob::from_origin(origin(bad), scene.path("copy"))
            .threads(1)
            .stripe_size(64 << 10)
            .io_size(64 << 10)
    };
    let stop = job(Some(700_000)).on_read_error(pcopy::OnReadError::Stop);
    let failed = stop.run().unwrap_err();
    assert!(failed.report().unwrap().resumable, "{failed}");
    let report = job(None).leftovers(pcopy::Leftovers::Resume).run().unwrap();
    assert_eq!(report.bytes.resumed, 655_360, "{report:?}");
    assert_same(&scene.read("copy"), &whole, "copy");
}

#[test]
fn null_and_zero_are_ends_like_others() {
    let scene = Scene::new();
    let source = scene.source("source", 300_000);
    let line = "--digest md5 --also copy --json source null:";
    let report = scene.run(line).code(0).report();
    assert_eq!(report["destination"]["path"], "null:");
    assert_eq!(report["durable"], false, "{report}");
    assert_eq!(report["also"][0]["durable"], true, "{report}");
    assert_same(&scene.read("copy"), &source, "beside null:");
    scene.run("--length 100000 zero: zeros").code(0);
    assert_eq!(scene.read("zeros"), vec![0; 100_000]);
    scene.run("--in-place --length 1000 --dest-offset 5000 zero: copy").code(0);
    let mut wiped = source.clone();
    wiped[5000..6000].fill(0);
    assert_same(&scene.read("copy"), &wiped, "wiped in place");
    scene.run("zero: endless").code(3).says(&["no end"]);
    scene.run("--verify source null:").code(2).says(&["null:"]);
    scene.run("--resume source null:").code(2).says(&["null:"]);
    assert_eq!(scene.names(), ["copy", "source", "zeros"]);
    // A file of such a name is named with its folder.
    scene.run("source ./null:").code(if cfg!(windows) { 3 } else { 0 });
}

/// What comes once cannot be read again to find out where it differs.
#[test]
fn a_damaged_copy_of_a_stream_is_found_by_its_fingerprints() {
    let store = Store { always: true, ..Store::default() };
    let reader = Pipe::reader("reader", std::io::Cursor::new(vec![1; 100_000]));
    let job = CopyJob::between(reader, store.upload("x")).range(0..100_000).verify(true);
    let failure = job.io_size(4096_u64).run().unwrap_err();
    assert_eq!(failure.outcome(), Outcome::Mismatch, "{failure}");
    let report = failure.report().unwrap();
    assert_eq!(
        (report.verified, &*report.mismatches),
        (Some(false), &[ByteRange::to(100_000)][..])
    );
    assert!(store.object("x").is_none());
}
