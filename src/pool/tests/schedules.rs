//! The workers under every kind of schedule: each stripe is dealt with once, all of them
//! come to an end, and the error that is told is the right one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use super::requests::{FailedAt, Requests};
use super::writers::Writers;
use super::*;
use crate::digest::{Algorithm, Digester, hash_slice};
use crate::engine::Positioned;
use crate::error::{Error, ErrorKind};
use crate::io::memory::Memory;
use crate::plan::{Cursor, Plan};
use crate::progress::{Event, lock};
use crate::range::{ByteRange, Mapping, RangeSet};
use crate::sync::tests::check;
use crate::sync::{Instant, Mutex, thread};
use crate::testing::{Faulty, Operation, Rule};

const STRIPE: u64 = 16;

/// Steps that take stripes and do nothing with them but note that.
struct Taking<'a> {
    cursor: Cursor<'a>,
    progress: &'a Progress,
    fails: fn(ByteRange) -> bool,
    waits_for_nobody: bool,
    taken: std::sync::Mutex<Vec<ByteRange>>,
    failed: std::sync::Mutex<Vec<u64>>,
    at_work: AtomicUsize,
    most: AtomicUsize,
    /// How many workers there should be at least while stripes are left; 0 where a test
    /// does not look.
    wanted: AtomicUsize,
    stripes: usize,
}

impl<'a> Taking<'a> {
    fn new(plan: &'a Plan, progress: &'a Progress) -> Taking<'a> {
        Taking {
            cursor: Cursor::new(plan),
            progress,
            fails: |_| false,
            waits_for_nobody: false,
            taken: std::sync::Mutex::default(),
            failed: std::sync::Mutex::default(),
            at_work: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
            wanted: AtomicUsize::new(0),
            stripes: crate::io::as_usize(plan.stripes()),
        }
    }

    /// The stripes that were taken, ascending; none came twice.
    fn taken(self) -> Vec<ByteRange> {
        let mut taken = self.taken.into_inner().unwrap();
        taken.sort_unstable();
        assert!(taken.is_sorted_by(|a, b| a < b), "a stripe came twice: {taken:?}");
        taken
    }
}

impl Steps for Taking<'_> {
    type Buffers = ();
    const NAME: &'static str = "take";

    fn bytes(&self) -> usize {
        0
    }

    fn buffers(&self) -> Result<()> {
        Ok(())
    }

    fn step(&self, (): &mut (), _: Requests<'_>) -> Result<bool, FailedAt> {
        let Some(stripe) = self.cursor.claim() else { return Ok(false) };
        let now = self.at_work.fetch_add(1, SeqCst) + 1;
        self.most.fetch_max(now, SeqCst);
        lock(&self.taken).push(stripe);
        thread::sleep(std::time::Duration::ZERO);
        self.progress.add_copied(stripe.len());
        self.at_work.fetch_sub(1, SeqCst);
        if (self.fails)(stripe) {
            let at = stripe.start();
            lock(&self.failed).push(at);
            return Err(FailedAt { at, error: named(at) });
        }
        Ok(true)
    }

    fn needs_supervisor(&self) -> bool {
        !self.waits_for_nobody
    }

    /// Of workers that are too many, no more leave than that.
    fn workers_are(&self, threads: usize) {
        if self.wanted.load(SeqCst) == 0 {
            return;
        }
        while let Some(event) = self.progress.next_event() {
            if let Event::Threads { threads, .. } = event {
                self.wanted.store(threads, SeqCst);
            }
        }
        let are_left = lock(&self.taken).len() < self.stripes;
        assert!(!are_left || threads >= self.wanted.load(SeqCst), "{threads} workers");
    }
}

/// An error that is known again.
fn named(at: u64) -> Error {
    ErrorKind::WorkerPanicked { message: at.to_string() }.into()
}

fn plan(stripes: u64) -> Plan {
    Plan::new(&RangeSet::from(ByteRange::to(stripes * STRIPE)), 0, STRIPE)
}

fn control<'a>(progress: &'a Progress, cancel: &'a CancelToken) -> Control<'a> {
    Control {
        progress,
        cancel,
        io_size: STRIPE,
        buffer_size: STRIPE,
        kernel_io_size: STRIPE,
        retries: 0,
        on_read_error: OnReadError::Stop,
        throttle: None,
    }
}

/// The clock goes on by chance, so the controller sees any rates, and tries any numbers.
#[test]
fn every_stripe_is_taken_once_however_many_workers_there_are() {
    check(|| {
        // With so many stripes, some are left where the controller lowers the number.
        for (controller, stripes) in [(Controller::fixed(3), 6), (Controller::between(2, 4, 1), 80)]
        {
            let (plan, progress, cancel) = (plan(stripes), Progress::new(), CancelToken::new());
            let steps = Taking::new(&plan, &progress);
            steps.wanted.store(controller.threads(), SeqCst);
            let (report, ended) = run_steps(&control(&progress, &cancel), &steps, controller);
            ended.unwrap();
            assert!(report.threads <= 4 && steps.most.load(SeqCst) <= 4);
            assert_eq!(steps.taken(), plan.iter().collect::<Vec<_>>());
        }
    });
}

#[test]
fn threads_that_cannot_be_had_cost_no_stripe() {
    check(|| {
        thread::refuse(2);
        let (plan, progress, cancel) = (plan(5), Progress::new(), CancelToken::new());
        let steps = Taking { waits_for_nobody: true, ..Taking::new(&plan, &progress) };
        let control = control(&progress, &cancel);
        let (report, ended) = run_steps(&control, &steps, Controller::between(2, 4, 1));
        thread::refuse(0);
        ended.unwrap();
        assert!(report.threads >= 1);
        assert_eq!(steps.taken(), plan.iter().collect::<Vec<_>>());
    });
}

/// One that leaves wakes those who may come in: nobody waits for ever, however many are let
/// in at a time.
#[test]
fn every_writer_of_a_file_is_let_in() {
    check(|| {
        let (writers, written) = (Arc::new(Writers::new()), Arc::new(AtomicUsize::new(0)));
        let write = |number: u64| {
            let (writers, written) = (Arc::clone(&writers), Arc::clone(&written));
            shuttle::thread::spawn(move || {
                for _ in 0..3 {
                    writers.write(number, || {
                        shuttle::thread::yield_now();
                        written.fetch_add(1, SeqCst);
                    });
                }
            })
        };
        let all: Vec<_> = (1..=4).map(write).collect();
        all.into_iter().for_each(|one| one.join().unwrap());
        assert_eq!(written.load(SeqCst), 12);
    });
}

#[test]
fn the_first_error_stops_all_and_the_lowest_is_told() {
    check(|| {
        let (plan, progress, cancel) = (plan(6), Progress::new(), CancelToken::new());
        let fails = |stripe: ByteRange| stripe.start() >= 2 * STRIPE;
        let steps = Taking { fails, ..Taking::new(&plan, &progress) };
        let (_, ended) = run_steps(&control(&progress, &cancel), &steps, Controller::fixed(3));
        let lowest = *lock(&steps.failed).iter().min().expect("one has failed");
        assert_eq!(ended.unwrap_err().to_string(), named(lowest).to_string());
        let failed = lock(&steps.failed).len();
        assert!(failed <= 3, "a worker went on after its error");
        let taken = steps.taken();
        assert_eq!(taken, plan.iter().take(taken.len()).collect::<Vec<_>>(), "one was left out");
    });
}

#[test]
fn a_wish_to_stop_ends_all_workers_and_leaves_no_gap() {
    check(|| {
        let (plan, progress, cancel) = (plan(6), Progress::new(), CancelToken::new());
        let steps = Taking::new(&plan, &progress);
        let control = control(&progress, &cancel);
        // Not in a scope: the end of one here would wake the supervisor inside it.
        let user = cancel.clone();
        let user = shuttle::thread::spawn(move || user.cancel());
        let ended = run_steps(&control, &steps, Controller::between(2, 3, 1)).1;
        user.join().unwrap();
        let was_told = matches!(&ended, Err(error) if matches!(error.kind(), ErrorKind::Cancelled));
        let taken = steps.taken();
        assert!(was_told || ended.is_ok() && taken.len() == 6);
        assert_eq!(taken, plan.iter().take(taken.len()).collect::<Vec<_>>(), "one was left out");
    });
}

/// No thread is there to tick any more when the work is over.
#[test]
fn what_ticks_beside_ends_with_the_work() {
    check(|| {
        let ticks = AtomicUsize::new(0);
        let tick = || {
            ticks.fetch_add(1, SeqCst);
        };
        let every = std::time::Duration::from_millis(1);
        let result = beside(every, tick, || thread::sleep(every));
        assert_eq!(result, ());
        assert!(ticks.load(SeqCst) >= 1, "the last tick is when the work is over");
    });
}

/// The stripes of one transfer.
struct Whole<'a> {
    cursor: Cursor<'a>,
    transfer: Arc<Transfer>,
    finished: AtomicUsize,
}

impl Work for Whole<'_> {
    fn claim(&self) -> Result<Option<Assignment>> {
        let transfer = Arc::clone(&self.transfer);
        Ok(self.cursor.claim().map(|stripe| Assignment { ticket: 0, transfer, stripe }))
    }

    fn finished(&self, _: &Assignment) -> Result<()> {
        self.finished.fetch_add(1, SeqCst);
        Ok(())
    }
}

fn transfer(source: Arc<dyn crate::io::Source>, sink: Arc<Memory>, bytes: u64) -> Transfer {
    let range = ByteRange::to(bytes);
    let engines: Vec<Box<dyn crate::engine::Engine>> = vec![Box::new(Positioned)];
    let digester = Digester::new(&[Algorithm::Md5, Algorithm::Blake3, Algorithm::Crc32c], range);
    Transfer::new((source, "a".into()), (sink, "b".into()), Mapping::to_start(range), 1, engines)
        .observed(Observers::none().digests(digester))
}

/// A whole copy, with digests that take turns and a rate that is kept.
#[test]
fn a_copy_has_every_byte_and_the_digests_of_all_of_them() {
    check(|| {
        let bytes: Vec<u8> = (0..5 * STRIPE as u8).collect();
        let plan = plan(5);
        let sink = Arc::new(Memory::zeroed(bytes.len()));
        let source = Arc::new(Memory::new(bytes.clone()));
        let transfer = Arc::new(transfer(source, Arc::clone(&sink), plan.bytes()));
        let (progress, cancel) = (Progress::new(), CancelToken::new());
        let throttle = Some(Throttle::new(10_000));
        let control = Control { throttle, ..control(&progress, &cancel) };
        let (cursor, finished) = (Cursor::new(&plan), AtomicUsize::new(0));
        let work = Whole { cursor, transfer: Arc::clone(&transfer), finished };
        run(&control, &work, Controller::between(2, 3, STRIPE)).1.unwrap();
        assert_eq!(work.finished.load(SeqCst), 5);
        assert_eq!(transfer.done(), ByteRange::to(plan.bytes()).into());
        assert_eq!(sink.bytes(), bytes);
        let digests = transfer.observers().take_digests().expect("all of it was seen");
        for digest in digests {
            assert_eq!(digest, hash_slice(digest.algorithm(), &bytes));
        }
    });
}

/// Those who wait for the bytes of a worker that has failed go as well.
#[test]
fn a_copy_that_fails_leaves_nobody_waiting() {
    check(|| {
        let plan = plan(5);
        let sink = Arc::new(Memory::zeroed(5 * STRIPE as usize));
        let bad = Rule::on(Operation::Read).within(STRIPE..STRIPE + 1).persistent();
        let source = Arc::new(Faulty::new(Memory::zeroed(5 * STRIPE as usize)).with(bad));
        let transfer = Arc::new(transfer(source, sink, plan.bytes()));
        let (progress, cancel) = (Progress::new(), CancelToken::new());
        let control = control(&progress, &cancel);
        let (cursor, finished) = (Cursor::new(&plan), AtomicUsize::new(0));
        let work = Whole { cursor, transfer: Arc::clone(&transfer), finished };
        run(&control, &work, Controller::fixed(3)).1.unwrap_err();
        assert!(!transfer.done().covers(ByteRange::between(STRIPE, STRIPE + 1)));
        assert_eq!(transfer.observers().take_digests(), None);
    });
}

/// What is let through at any moment is what the rate allows until then.
#[test]
fn no_two_workers_book_the_same_time() {
    check(|| {
        let throttle = Throttle::new(1000);
        let cancel = CancelToken::new();
        let cost = std::time::Duration::from_millis(500);
        let begin = Instant::now();
        let let_through = Mutex::new(Vec::new());
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    for _ in 0..2 {
                        throttle.wait(500, &cancel);
                        let now = begin.elapsed();
                        lock(&let_through).push(now);
                    }
                });
            }
        });
        let mut let_through = crate::sync::into_inner(let_through);
        let_through.sort_unstable();
        for (number, moment) in let_through.into_iter().enumerate() {
            assert!(moment >= cost * number as u32, "request {number} at {moment:?}");
        }
    });
}
