//! The engine over simulated disks: every fault at every place, power cuts and
//! reordering, checked against invariant I3. Everything is the real thing
//! (pool, transfer, checkpoints, the map on a real file system) except for the
//! disks, which fail, tear and forget on request.
//!
//! Checkpoints are made by whichever worker ends a stripe, while the others
//! write, and so far more often and at worse moments than in a real run.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use positioned_io::ReadAt;

use pcopy::durable::checkpoint::Checkpointer;
use pcopy::durable::map::{Destination, Identity, Map, MapFile, Mode, Source as MapSource};
use pcopy::engine::{Engine, Positioned};
use pcopy::io::memory::Memory;
use pcopy::io::{Sink, Source};
use pcopy::plan::{Cursor, Plan};
use pcopy::pool::controller::Controller;
use pcopy::pool::{self, Assignment, Control, Transfer, Work};
use pcopy::testing::{Faulty, Operation, Random, Rule, Volatile};
use pcopy::{ByteRange, CancelToken, Error, ErrorKind, OnReadError, Progress, RangeSet};

use crate::common::rounds;

/// Small, so that every k-th call can be tried: 33 requests in 9 stripes.
const REQUEST: u64 = 512;
const STRIPE: u64 = 2048;
const LEN: u64 = 16 * 1024 + 7;

/// A disk with a write cache. Faults of writes are met on the way into the
/// cache, faults of syncs on the way out of it.
type Disk = Faulty<Volatile<Faulty<Arc<Memory>>>>;

fn disk(medium: &Arc<Memory>, rule: Option<Rule>) -> Arc<Disk> {
    let is_sync = |rule: &Rule| rule.operation() == Operation::Sync;
    let inside = Faulty::new(Arc::clone(medium));
    let inside = rule.filter(is_sync).into_iter().fold(inside, Faulty::with);
    let outside = Faulty::new(Volatile::new(inside));
    let others = rule.filter(|rule| !is_sync(rule));
    Arc::new(others.into_iter().fold(outside, Faulty::with))
}

/// A power supply that ends after so many writes and syncs.
struct Powered {
    disk: Arc<Disk>,
    left: AtomicI64,
}

impl Powered {
    fn check(&self) -> io::Result<()> {
        // Gives the other workers time to get in between.
        std::thread::yield_now();
        if self.left.fetch_sub(1, SeqCst) > 0 { Ok(()) } else { Err(io::Error::other("no power")) }
    }
}

impl Sink for Powered {
    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<usize> {
        self.check()?;
        self.disk.write_at(offset, data)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.check()?;
        let result = self.disk.sync_data();
        std::thread::yield_now();
        result
    }
}

/// Stripes, with a checkpoint after each.
struct Checkpointing<'a> {
    transfer: Arc<Transfer>,
    cursor: Cursor<'a>,
    checkpointer: &'a Checkpointer,
    /// One at a time, as the supervisor of a real run makes them.
    turn: Mutex<()>,
}

impl Work for Checkpointing<'_> {
    fn claim(&self) -> pcopy::Result<Option<Assignment>> {
        let transfer = || Arc::clone(&self.transfer);
        let assign = |stripe| Assignment { ticket: 0, transfer: transfer(), stripe };
        Ok(self.cursor.claim().map(assign))
    }

    fn finished(&self, assignment: &Assignment) -> pcopy::Result<()> {
        let _turn = self.turn.lock().expect("nothing panics in a checkpoint");
        self.checkpointer.save(&*assignment.transfer)
    }
}

/// What is copied, where to, and the map between runs.
struct World {
    folder: tempfile::TempDir,
    bytes: Vec<u8>,
    medium: Arc<Memory>,
}

impl World {
    fn new(seed: u64) -> World {
        // In memory where there is such a file system: ten thousand maps are synced.
        let memory = PathBuf::from("/dev/shm");
        let place = if memory.is_dir() { memory } else { std::env::temp_dir() };
        let folder = tempfile::tempdir_in(place).expect("a temporary folder");
        let bytes = Random::new(seed).bytes(LEN as usize);
        World { folder, bytes, medium: Arc::new(Memory::zeroed(LEN as usize)) }
    }

    fn map_file(&self) -> MapFile {
        MapFile::new(&self.folder.path().join("map")).expect("a good name")
    }

    fn map(&self) -> Map {
        self.map_file().load().expect("the map is always whole").unwrap_or_default()
    }

    fn source(&self, rule: Option<Rule>) -> Arc<Faulty<Memory>> {
        Arc::new(rule.into_iter().fold(Faulty::new(Memory::new(self.bytes.clone())), Faulty::with))
    }

    /// One run, as `CopyJob::run` has it: from where the map says, until the
    /// end or the first error, and what can be known is recorded.
    fn run(
        &self,
        source: Arc<dyn Source>,
        sink: Arc<dyn Sink>,
        workers: usize,
    ) -> Result<Vec<ByteRange>, Error> {
        self.run_watched(source, sink, workers, &Progress::new())
    }

    fn run_watched(
        &self,
        source: Arc<dyn Source>,
        sink: Arc<dyn Sink>,
        workers: usize,
        progress: &Progress,
    ) -> Result<Vec<ByteRange>, Error> {
        let whole = ByteRange::to(LEN);
        let todo = self.map().todo(whole);
        let checkpointer = Checkpointer::new(
            self.map_file(),
            identity(),
            Duration::ZERO,
            whole,
            todo.missing_from(whole),
            false,
        );
        let engines: Vec<Box<dyn Engine>> = vec![Box::new(Positioned)];
        let (source, sink) = ((source, "source".into()), (sink, "sink".into()));
        let transfer =
            Arc::new(Transfer::new(source, sink, pcopy::Mapping::to_start(whole), 512, engines));
        let plan = Plan::new(&todo, 0, STRIPE);
        let result = self.copy(&transfer, &checkpointer, &plan, workers, progress);
        match result {
            Ok(()) => Ok(transfer.failed().into_iter().map(|part| part.range).collect()),
            Err(error) => {
                // What it says is for the user; what it leaves is what counts here.
                let _ = checkpointer.keep(&*transfer, &error);
                Err(error)
            }
        }
    }

    fn copy(
        &self,
        transfer: &Arc<Transfer>,
        checkpointer: &Checkpointer,
        plan: &Plan,
        workers: usize,
        progress: &Progress,
    ) -> Result<(), Error> {
        let cancel = CancelToken::new();
        let control = Control {
            progress,
            cancel: &cancel,
            io_size: REQUEST,
            buffer_size: REQUEST,
            kernel_io_size: REQUEST,
            retries: 2,
            on_read_error: OnReadError::Record,
            throttle: None,
        };
        let controller =
            if workers == 1 { Controller::inline() } else { Controller::fixed(workers) };
        let (transfer, cursor) = (Arc::clone(transfer), Cursor::new(plan));
        let work = Checkpointing { transfer, cursor, checkpointer, turn: Mutex::new(()) };
        pool::run(&control, &work, controller).1?;
        let transfer = &work.transfer;
        transfer.sink.sync_data().map_err(|source| {
            let path = "sink".into();
            Error::from(ErrorKind::Sync { path, source })
        })?;
        if transfer.failed().is_empty() { Ok(()) } else { checkpointer.save(&**transfer) }
    }

    /// Invariant I3, after a power cut: what the map calls done is on the medium.
    fn check_map(&self, what: &str) {
        let (map, medium) = (self.map(), self.medium.bytes());
        for run in map.done.iter() {
            let run = run.start() as usize..run.end() as usize;
            assert!(medium[run.clone()] == self.bytes[run.clone()], "{what}: {run:?} is not there");
        }
    }

    /// After a power cut, everything but `failed` is on the medium.
    fn check_all_but(&self, failed: &RangeSet, what: &str) {
        let medium = self.medium.bytes();
        for run in failed.missing_from(ByteRange::to(LEN)).iter() {
            let run = run.start() as usize..run.end() as usize;
            assert!(medium[run.clone()] == self.bytes[run.clone()], "{what}: {run:?} differs");
        }
    }

    /// Goes on without faults and expects the whole source to be there.
    fn finish(&self, what: &str) {
        let sound = disk(&self.medium, None);
        let failed = self.run(self.source(None), sound.clone(), 2);
        assert_eq!(failed.expect("nothing goes wrong any more"), [], "{what}");
        sound.inner().crash(0).expect("memory takes everything");
        self.check_all_but(&RangeSet::new(), what);
    }
}

fn identity() -> Identity {
    let source = MapSource {
        path: "/source".into(),
        kind: "file".to_owned(),
        size: LEN,
        mtime_ns: None,
        ctime_ns: None,
        may_change: false,
        id: None,
    };
    let destination = Destination {
        path: "/sink".into(),
        offset: 0,
        kind: "file".to_owned(),
        mode: Mode::New,
        id: None,
    };
    Identity { source, range: ByteRange::to(LEN), destination, list: None }
}

/// What must be true after a run with `rule`, which applies to the source or the sink.
/// Returns whether the rule was met at all.
fn check(rule: Rule, workers: usize, seed: u64) -> bool {
    let what = format!("{rule:?}, {workers} workers, seed {seed}");
    let world = World::new(seed);
    let source = world.source((rule.operation() == Operation::Read).then_some(rule));
    let sink = disk(&world.medium, (rule.operation() != Operation::Read).then_some(rule));
    let result = world.run(source.clone(), sink.clone(), workers);
    let hits = source.hits() + sink.hits() + sink.inner().medium().hits();
    sink.inner().crash(seed).expect("memory takes everything");
    world.check_map(&what);
    match (&result, rule.operation()) {
        (Ok(failed), operation) => {
            let failed: RangeSet = failed.iter().copied().collect();
            let may_fail = operation == Operation::Read && rule.is_persistent();
            assert!(failed.is_empty() || may_fail, "{what}: {failed:?}");
            assert!(rule.is_harmless() || hits == 0 || operation == Operation::Read, "{what}");
            world.check_all_but(&failed, &what);
        }
        (Err(_), _) => assert!(hits > 0, "{what}: {result:?} out of nothing"),
    }
    world.finish(&what);
    hits > 0
}

/// The loop of SQLite's tests: the k-th call fails, for every k until none is
/// left to fail.
fn at_every_call(name: &str, rule: impl Fn(u64) -> Rule) {
    for workers in [1, 4] {
        let mut runs = 0;
        while check(rule(runs + 1), workers, runs) {
            runs += 1;
            assert!(runs < 1000, "{name}: {workers} workers never stop calling");
        }
        assert!(runs >= 8, "{name}: only {runs} calls");
        println!(
            "measured: simulated, {name}, {workers} workers: {runs} faults, 0 silent, 0 maps ahead of the data"
        );
    }
}

#[test]
fn a_fault_at_every_call_is_never_silent_and_the_map_never_ahead() {
    use Operation::{Read, Sync, Write};
    let (input_output, no_space) = (5, 28);
    at_every_call("transient EIO of a read", |k| Rule::on(Read).call(k).errno(input_output));
    at_every_call("lasting EIO of reads", |k| Rule::on(Read).call(k).errno(5).persistent());
    at_every_call("EIO of a write", |k| Rule::on(Write).call(k).errno(input_output));
    at_every_call("lasting ENOSPC of writes", |k| {
        Rule::on(Write).call(k).errno(no_space).persistent()
    });
    at_every_call("EIO of a sync", |k| Rule::on(Sync).call(k).errno(input_output));
    at_every_call("lasting EIO of syncs", |k| Rule::on(Sync).call(k).errno(5).persistent());
}

#[test]
fn short_counts_and_interruptions_change_nothing() {
    for operation in [Operation::Read, Operation::Write] {
        let interrupted = |k| Rule::on(operation).call(k).error(io::ErrorKind::Interrupted);
        at_every_call(&format!("interrupted {operation:?}"), interrupted);
        at_every_call(&format!("short {operation:?}"), |k| Rule::on(operation).call(k).short(1));
        for workers in [1, 4] {
            check(Rule::on(operation).short(1).persistent(), workers, 1);
        }
        at_every_call(&format!("{operation:?} of no bytes"), |k| {
            Rule::on(operation).call(k).short(0)
        });
    }
}

#[test]
fn a_panic_of_a_sink_ends_the_job_and_nothing_else() {
    for k in [1, 7, 33] {
        check(Rule::on(Operation::Write).call(k).panic(), 4, k);
    }
}

/// A source of which one byte does not come until somebody opens the gate.
struct Gated {
    inner: Memory,
    at: u64,
    opened: (Mutex<bool>, Condvar),
}

impl Gated {
    fn open(&self) {
        *self.opened.0.lock().expect("no panic") = true;
        self.opened.1.notify_all();
    }
}

impl ReadAt for Gated {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        if (offset..offset + buffer.len() as u64).contains(&self.at) {
            let wait = |opened: &mut bool| !*opened;
            drop(self.opened.1.wait_while(self.opened.0.lock().expect("no panic"), wait));
        }
        self.inner.read_at(offset, buffer)
    }
}

impl Source for Gated {
    fn size(&self) -> u64 {
        Source::size(&self.inner)
    }
}

/// A request that does not come back costs its stripe: every other is copied,
/// and the progress says which offset is waited for.
#[test]
fn a_stuck_request_delays_no_other_worker_and_is_named() {
    for at in [0, 5 * STRIPE, LEN - 1] {
        let world = World::new(at);
        let stuck = at / STRIPE * STRIPE;
        let others = LEN - (LEN - stuck).min(STRIPE);
        let inner = Memory::new(world.bytes.clone());
        let gated = Arc::new(Gated { inner, at, opened: Default::default() });
        let (sink, progress) = (disk(&world.medium, None), Progress::new());
        std::thread::scope(|scope| {
            let copy = scope.spawn(|| world.run_watched(gated.clone(), sink.clone(), 2, &progress));
            // The others may be done before the one that will be stuck has begun.
            let waiting = loop {
                let others_are_done = progress.snapshot().copied >= others;
                match progress.snapshot().waiting {
                    Some((offset, _)) if others_are_done => break offset,
                    _ => std::thread::yield_now(),
                }
                assert!(!copy.is_finished(), "nothing ends before the gate is open");
            };
            // Before anything can fail, or the scope would wait for ever.
            gated.open();
            assert_eq!(waiting, at / REQUEST * REQUEST);
            assert_eq!(copy.join().expect("no panic").expect("no error"), []);
        });
        sink.inner().crash(0).expect("memory takes everything");
        world.check_all_but(&RangeSet::new(), "after the gate was opened");
    }
}

/// One history: runs that each lose power at some point, until one gets through.
fn history(seed: u64) {
    let mut random = Random::new(seed);
    let world = World::new(seed);
    let cuts = 1 + random.below(3);
    for cut in 0..cuts {
        let what = format!("seed {seed}, cut {cut}");
        let disk = disk(&world.medium, None);
        let left = AtomicI64::new(random.below(60) as i64);
        let power = Arc::new(Powered { disk: Arc::clone(&disk), left });
        let workers = if random.chance(1, 4) { 1 } else { 4 };
        let result = world.run(world.source(None), power, workers);
        disk.inner().crash(random.number()).expect("memory takes everything");
        world.check_map(&what);
        if result.is_ok() {
            world.check_all_but(&RangeSet::new(), &what);
        }
    }
    world.finish(&format!("seed {seed}"));
}

/// Power cuts at any moment, under a disk that reorders and tears what was not
/// synced. The long tier sets the number of seeds.
#[test]
fn after_any_power_cut_what_the_map_calls_done_is_there() {
    let seeds = rounds("PCOPY_SEEDS", 1000);
    (0..seeds).for_each(history);
    println!(
        "measured: simulated, reordering and tearing, up to 3 power cuts each: {seeds} histories, 0 violations"
    );
}
