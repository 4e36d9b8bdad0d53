//! The protocol of claims under every kind of schedule: processes are threads, and
//! another one may go on before each thing that one asks of the folder.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

use super::*;
use crate::fleet::hold::Hold;
use crate::progress::{CancelToken, Progress, Watch};
use crate::sync::tests::check;
use crate::sync::thread;

/// Shared storage that lets others go first.
#[derive(Default)]
struct Slow(Storage);

impl Slow {
    fn storage(&self) -> &Storage {
        thread::sleep(Duration::ZERO);
        &self.0
    }
}

impl Folder for Slow {
    fn names(&self) -> io::Result<BTreeSet<String>> {
        self.storage().names()
    }
    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        self.storage().read(name)
    }
    fn publish(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.storage().publish(name, bytes)
    }
    fn note(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.storage().note(name, bytes)
    }
    fn publish_new(&self, name: &str, bytes: &[u8]) -> io::Result<bool> {
        self.storage().publish_new(name, bytes)
    }
    fn claim(&self, name: &str, bytes: &[u8]) -> io::Result<bool> {
        self.storage().claim(name, bytes)
    }
    fn renew(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.storage().renew(name, bytes)
    }
}

fn process(number: u32) -> Process {
    Process { host: "h".into(), pid: number, token: number.to_string() }
}

fn shards(count: u64) -> Shards {
    let range = |number| ByteRange::between(number * 10, number * 10 + 10);
    Shards { plan: PLAN.to_owned(), ranges: (0..count).map(range).collect(), checks: false }
}

/// What all processes of a job have done together.
struct Job {
    folder: Slow,
    shards: Shards,
    copies: Vec<AtomicU32>,
    finishes: AtomicU32,
}

impl Job {
    fn new(count: u64) -> Job {
        let copies = (0..count).map(|_| AtomicU32::new(0)).collect();
        let (folder, shards) = (Slow::default(), shards(count));
        Job { folder, shards, copies, finishes: AtomicU32::new(0) }
    }

    /// A process at work, by a clock that goes on by `pace` whenever it looks. Dies with
    /// its claim in hand when it has the turn number `dies_at`.
    fn work(&self, number: u32, pace: u64, dies_at: Option<u32>) {
        let lease = Duration::from_secs(LEASE);
        let mut order: Vec<u32> = (0..self.shards.count()).collect();
        let first = number as usize % order.len();
        order.rotate_left(first);
        let mut member = Member::new(&self.folder, &self.shards, process(number), order, lease);
        let (mut now, mut turns) = (0, 0);
        loop {
            now += pace;
            match member.next(Duration::from_secs(now)).unwrap() {
                Next::Over(_) => return,
                Next::Wait => shuttle::thread::yield_now(),
                Next::Copy(turn) => {
                    if dies_at == Some(turns) {
                        return;
                    }
                    turns += 1;
                    self.copy(&process(number), turn);
                }
                Next::Check(turn) => panic!("nothing is to be compared: {turn:?}"),
                Next::Finish(turn) => self.finish(&member, number, turn),
            }
        }
    }

    fn copy(&self, by: &Process, turn: Turn) {
        for beat in 1..3 {
            if !still_has(&self.folder, PLAN, turn).unwrap() {
                return;
            }
            let renewal = Renewal { beat, bytes: beat, released: false };
            let name = claim_name(turn.shard, turn.generation);
            self.folder.renew(&name, &note(PLAN, by, renewal)).unwrap();
        }
        self.copies[turn.shard as usize].fetch_add(1, SeqCst);
        let record = record(self.shards.ranges[turn.shard as usize], turn.shard, by.clone());
        self.folder.publish(&record_name(turn.shard), &seal(&record)).unwrap();
    }

    fn finish(&self, member: &Member<'_>, number: u32, turn: Turn) {
        if !still_has(&self.folder, PLAN, turn).unwrap() {
            return;
        }
        assert_eq!(member.records().len(), self.shards.ranges.len());
        let is_missing = |copies: &AtomicU32| copies.load(SeqCst) == 0;
        assert!(!self.copies.iter().any(is_missing), "a false end");
        self.finishes.fetch_add(1, SeqCst);
        self.folder.publish(FINISHED, &seal(&finished(process(number)))).unwrap();
    }
}

/// Where no lease runs out, a claim is one process's alone.
#[test]
fn every_shard_is_copied_once_and_the_job_ends_once() {
    check(|| {
        let job = Arc::new(Job::new(3));
        thread::scope(|scope| {
            for number in 0..3 {
                let job = Arc::clone(&job);
                scope.spawn(move || job.work(number, 0, None));
            }
        });
        assert!(job.copies.iter().all(|copies| copies.load(SeqCst) == 1), "{:?}", job.copies);
        assert_eq!(job.finishes.load(SeqCst), 1);
    });
}

/// Where leases run out at any time, shards are copied again, and none is left out.
#[test]
fn a_process_that_dies_or_stands_still_costs_no_shard() {
    check(|| {
        let job = Arc::new(Job::new(2));
        thread::scope(|scope| {
            for (number, dies_at) in [(0, Some(0)), (1, Some(1)), (2, None)] {
                let job = Arc::clone(&job);
                scope.spawn(move || job.work(number, LEASE / 3, dies_at));
            }
        });
        assert!(job.copies.iter().all(|copies| copies.load(SeqCst) >= 1), "{:?}", job.copies);
        assert!(job.finishes.load(SeqCst) >= 1);
    });
}

/// A process whose shard is taken over meanwhile stops, and does not say that it is done.
#[test]
fn a_claim_that_is_taken_over_is_known_to_be_lost() {
    check(|| {
        let folder: Arc<dyn Folder> = Arc::new(Slow::default());
        let (turn, by) = (Turn { shard: 0, generation: 1 }, process(1));
        assert!(folder.claim(&claim_name(0, 1), &note(PLAN, &by, Renewal::default())).unwrap());
        let hold = Hold::new(&folder, PLAN, &by, turn, Duration::from_secs(1));
        let (progress, cancel) = (Progress::new(), CancelToken::new());
        // Not in a scope: `during` has one of its own.
        let same_folder = Arc::clone(&folder);
        let another =
            shuttle::thread::spawn(move || same_folder.claim(&claim_name(0, 2), b"another"));
        hold.during(Watch::new(&progress, &cancel), || {
            for _ in 0..3 {
                hold.progress.add_copied(1);
                if hold.cancel.is_cancelled() || hold.gate().check().is_err() {
                    assert!(hold.gate().is_lost());
                    return;
                }
            }
        });
        assert!(another.join().unwrap().unwrap());
        assert!(hold.gate().check_now().is_err() && hold.gate().is_lost());
        assert_eq!(progress.snapshot().copied, hold.progress.snapshot().copied);
    });
}
