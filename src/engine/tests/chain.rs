//! What happens when an engine gives way (invariant I10).

use std::path::PathBuf;
use std::sync::Arc;

use crate::engine::{Engine, Positioned};
use crate::error::{ErrorKind, Result};
use crate::io::memory::Memory;
use crate::plan::{Cursor, Plan};
use crate::pool::controller::Controller;
use crate::pool::{
    self, Assignment, Control, Halt, Ledger, OnReadError, StripeIo, Transfer, Work, copy_buffered,
};
use crate::progress::{CancelToken, Event, Progress};
use crate::range::{ByteRange, Mapping, RangeSet};

/// Copies up to an offset and gives way there.
struct UpTo(u64);

impl Engine for UpTo {
    fn name(&self) -> &'static str {
        "up-to"
    }

    fn copy(&self, stripe: ByteRange, io: &mut StripeIo<'_>) -> std::result::Result<(), Halt> {
        let (head, tail) = stripe.split_at(self.0);
        copy_buffered(head, io)?;
        if tail.is_empty() {
            return Ok(());
        }
        Err(Halt::Unsupported { at: tail.start(), reason: "not here".to_owned() })
    }
}

struct Stripes<'a> {
    transfer: Arc<Transfer>,
    cursor: Cursor<'a>,
}

impl Work for Stripes<'_> {
    fn claim(&self) -> Result<Option<Assignment>> {
        let assign =
            |stripe| Assignment { ticket: 0, transfer: Arc::clone(&self.transfer), stripe };
        Ok(self.cursor.claim().map(assign))
    }
}

const LEN: u64 = 100_000;

/// Copies with `engines`; the transfer, the bytes of the destination, the
/// counters, and how it went.
fn copy(
    engines: Vec<Box<dyn Engine>>,
    threads: usize,
) -> (Arc<Transfer>, Vec<u8>, Progress, Result<()>) {
    let bytes: Vec<u8> = (0..LEN).map(|at| (at % 251) as u8).collect();
    let (source, sink) = (Arc::new(Memory::new(bytes)), Arc::new(Memory::zeroed(0)));
    let range = ByteRange::to(LEN);
    let transfer = Arc::new(Transfer::new(
        (source, PathBuf::from("source")),
        (sink.clone(), PathBuf::from("sink")),
        Mapping::to_start(range),
        512,
        engines,
    ));
    let (progress, cancel) = (Progress::new(), CancelToken::new());
    let control = Control {
        progress: &progress,
        cancel: &cancel,
        io_size: 1024,
        buffer_size: 1024,
        kernel_io_size: 1024,
        retries: 0,
        on_read_error: OnReadError::Record,
        throttle: None,
    };
    let plan = Plan::new(&RangeSet::from(range), 0, 8192);
    let work = Stripes { transfer: Arc::clone(&transfer), cursor: Cursor::new(&plan) };
    let (_, result) = pool::run(&control, &work, Controller::fixed(threads));
    (transfer, sink.bytes(), progress, result)
}

#[test]
fn a_fallback_goes_on_from_the_bytes_already_moved_and_is_reported_once() {
    for (at, threads) in [(0, 1), (0, 4), (1, 1), (50_000, 1), (50_000, 4), (LEN - 1, 4)] {
        let engines: Vec<Box<dyn Engine>> = vec![Box::new(UpTo(at)), Box::new(Positioned)];
        let (transfer, bytes, progress, result) = copy(engines, threads);
        result.unwrap();
        assert!(bytes.iter().enumerate().all(|(at, &byte)| byte == (at % 251) as u8));
        assert_eq!((bytes.len() as u64, progress.snapshot().copied), (LEN, LEN));
        assert_eq!(transfer.done(), RangeSet::from(ByteRange::to(LEN)));
        let fallbacks = transfer.fallbacks();
        assert_eq!(fallbacks.len(), 1, "{fallbacks:?}");
        assert_eq!((&*fallbacks[0].from, &*fallbacks[0].to), ("up-to", "positioned"));
        let events = std::iter::from_fn(|| progress.next_event());
        assert_eq!(events.filter(|event| matches!(event, Event::Fallback(_))).count(), 1);
    }
}

#[test]
fn without_a_stand_in_the_copy_fails_and_names_the_engine() {
    let (transfer, _, _, result) = copy(vec![Box::new(UpTo(20_000))], 1);
    let error = result.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::EngineGaveWay { engine: "up-to", .. }), "{error}");
    assert_eq!(transfer.done(), RangeSet::from(ByteRange::to(20_000)));
}
