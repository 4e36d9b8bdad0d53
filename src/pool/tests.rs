mod turning;

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Barrier, Condvar, Mutex};
use std::time::Duration;

use super::controller::Workers as Wanted;
use super::*;
use crate::digest::{Algorithm, Digester};
use crate::engine::Positioned;
use crate::error::Error;
use crate::io::memory::Memory;
use crate::progress::lock;
use crate::range::{ByteRange, Mapping};
use crate::testing::{Faulty, Operation, Rule};

const STRIPE: u64 = 4096;

/// Two transfers of two stripes each. The first has a digest that needs its
/// bytes in order, and its first stripe fails, whose error is swallowed, when
/// the other waits for it.
struct Parts {
    transfers: [Arc<Transfer>; 2],
    next: AtomicU64,
    abandoned: AtomicU64,
    /// Stripes of the second transfer that are under way; both workers are needed.
    together: Mutex<u64>,
    arrived: Condvar,
}

impl Work for Parts {
    fn claim(&self) -> Result<Option<Assignment>> {
        let number = self.next.fetch_add(1, Relaxed);
        if number >= 4 {
            return Ok(None);
        }
        let transfer = Arc::clone(&self.transfers[crate::io::as_usize(number / 2)]);
        let stripe = ByteRange::with_len(number % 2 * STRIPE, STRIPE).expect("small");
        Ok(Some(Assignment { ticket: 0, transfer, stripe }))
    }

    fn finished(&self, assignment: &Assignment) -> Result<()> {
        if !Arc::ptr_eq(&assignment.transfer, &self.transfers[1]) {
            return Ok(());
        }
        let mut together = lock(&self.together);
        *together += 1;
        self.arrived.notify_all();
        let patience = Duration::from_secs(30);
        let (together, _) =
            self.arrived.wait_timeout_while(together, patience, |count| *count < 2).unwrap();
        assert_eq!(*together, 2, "a worker has gone");
        Ok(())
    }

    fn failed(&self, _: &Assignment, _: u64, _: Error) -> Result<()> {
        Ok(())
    }

    fn abandoned(&self, assignment: &Assignment) -> Result<()> {
        assert_eq!(assignment.stripe.start(), STRIPE);
        self.abandoned.fetch_add(1, Relaxed);
        Ok(())
    }
}

/// A source whose first stripe is read only when the second has been.
struct SecondFirst {
    inner: Faulty<Memory>,
    barrier: Barrier,
}

impl positioned_io::ReadAt for SecondFirst {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.barrier.wait();
        self.inner.read_at(offset, buffer)
    }
}

impl crate::io::Source for SecondFirst {
    fn size(&self) -> u64 {
        2 * STRIPE
    }
    fn next_extent(&self, from: u64) -> std::io::Result<crate::io::Extent> {
        self.inner.next_extent(from)
    }
}

fn transfer(source: Arc<dyn crate::io::Source>) -> Transfer {
    let sink = Arc::new(Memory::zeroed(2 * STRIPE as usize));
    let range = ByteRange::to(2 * STRIPE);
    let engines: Vec<Box<dyn crate::engine::Engine>> = vec![Box::new(Positioned)];
    Transfer::new((source, "a".into()), (sink, "b".into()), Mapping::to_start(range), 4096, engines)
}

/// Where work consists of independent parts, the failure of one of them must
/// not cost the others the worker that waited for its bytes.
#[test]
fn a_thread_that_waits_for_bytes_that_will_not_come_goes_on() {
    let range = ByteRange::to(2 * STRIPE);
    let bad = Rule::on(Operation::Read).within(0..1).persistent();
    let inner = Faulty::new(Memory::zeroed(2 * STRIPE as usize)).with(bad);
    let first = transfer(Arc::new(SecondFirst { inner, barrier: Barrier::new(2) }));
    let first =
        first.observed(Observers::none().digests(Digester::new(&[Algorithm::Sha256], range)));
    let second = transfer(Arc::new(Memory::zeroed(2 * STRIPE as usize)));
    let work = Parts {
        transfers: [Arc::new(first), Arc::new(second)],
        next: AtomicU64::new(0),
        abandoned: AtomicU64::new(0),
        together: Mutex::new(0),
        arrived: Condvar::new(),
    };
    let (progress, cancel) = (Progress::new(), CancelToken::new());
    let control = Control {
        progress: &progress,
        cancel: &cancel,
        io_size: STRIPE,
        buffer_size: STRIPE,
        kernel_io_size: STRIPE,
        retries: 0,
        on_read_error: OnReadError::Stop,
        throttle: None,
    };
    let (run, ended) = run(&control, &work, Wanted::Exactly(2).controller(4, STRIPE));
    ended.unwrap();
    assert_eq!(run.threads, 2);
    assert_eq!(work.abandoned.load(Relaxed), 1);
    assert_eq!(work.transfers[1].done().bytes(), 2 * STRIPE);
}
