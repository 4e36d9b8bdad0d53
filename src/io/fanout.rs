//! Several sinks written from one read.
//!
//! A sink that fails is left out from then on; the others go on. Only when no
//! sink is left is a write an error, so that the pool need not know that there
//! are several.

use std::fs::File;
use std::io;
use std::sync::Arc;

use super::{Sink, transfer};
use crate::progress::lock;
use crate::range::ByteRange;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, Ordering};

struct Branch {
    sink: Arc<dyn Sink>,
    failed: AtomicBool,
    failure: Mutex<Option<Failure>>,
}

/// Why a branch was left out.
#[derive(Debug)]
pub struct Failure {
    /// What was to be written; `None` if the sync failed.
    pub range: Option<ByteRange>,
    /// What the system said.
    pub error: io::Error,
}

/// One sink that writes to several.
pub struct Fanout {
    branches: Vec<Branch>,
}

impl Fanout {
    /// Writes to every one of `sinks`.
    pub fn new(sinks: Vec<Arc<dyn Sink>>) -> Fanout {
        let branch =
            |sink| Branch { sink, failed: AtomicBool::new(false), failure: Mutex::new(None) };
        Fanout { branches: sinks.into_iter().map(branch).collect() }
    }

    /// Leaves the sink at `index` out from now on.
    pub fn leave_out(&self, index: usize) {
        self.branches[index].failed.store(true, Ordering::Release);
    }

    /// Whether the sink at `index` is left out.
    pub fn has_failed(&self, index: usize) -> bool {
        self.branches[index].failed.load(Ordering::Acquire)
    }

    /// The failure of the sink at `index`, if it failed. It is taken out.
    pub fn take_failure(&self, index: usize) -> Option<Failure> {
        lock(&self.branches[index].failure).take()
    }

    /// Does `step` on every sink still in use. An error only when none is left.
    fn each(
        &self,
        range: Option<ByteRange>,
        step: impl Fn(&dyn Sink) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut alive = 0;
        let mut last = None;
        for branch in &self.branches {
            if branch.failed.load(Ordering::Acquire) {
                continue;
            }
            match step(&*branch.sink) {
                Ok(()) => alive += 1,
                Err(error) => {
                    last = Some(io::Error::new(error.kind(), error.to_string()));
                    branch.failed.store(true, Ordering::Release);
                    lock(&branch.failure).get_or_insert(Failure { range, error });
                }
            }
        }
        match (alive, last) {
            (0, Some(error)) => Err(error),
            (0, None) => Err(io::Error::other("every destination has failed")),
            _ => Ok(()),
        }
    }
}

impl Sink for Fanout {
    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<usize> {
        let range = ByteRange::with_len(offset, super::as_u64(data.len()));
        self.each(range, |sink| {
            transfer::write_full(sink, offset, data).map_err(|stop| stop.error)
        })?;
        Ok(data.len())
    }

    fn write_zeroes(&self, range: ByteRange) -> io::Result<()> {
        self.each(Some(range), |sink| sink.write_zeroes(range))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.each(None, |sink| sink.sync_data())
    }

    fn for_each_place(&self, range: ByteRange, visit: &mut dyn FnMut(&File, ByteRange)) {
        for branch in &self.branches {
            if !branch.failed.load(Ordering::Acquire) {
                branch.sink.for_each_place(range, visit);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::memory::Memory;

    struct Full;
    impl Sink for Full {
        fn write_at(&self, _: u64, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }
        fn sync_data(&self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn one_failing_sink_does_not_stop_the_others() {
        let good = Arc::new(Memory::zeroed(4));
        let both = Fanout::new(vec![good.clone(), Arc::new(Full)]);
        assert_eq!(both.write_at(1, b"ab").unwrap(), 2);
        both.sync_data().unwrap();
        assert_eq!(good.bytes(), b"\0ab\0");
        assert!(both.take_failure(0).is_none());
        assert_eq!(both.take_failure(1).unwrap().error.kind(), io::ErrorKind::StorageFull);
    }

    #[test]
    fn it_is_an_error_when_none_is_left() {
        let both = Fanout::new(vec![Arc::new(Full), Arc::new(Full)]);
        assert!(both.write_at(0, b"a").is_err());
        assert!(both.write_at(0, b"a").is_err());
        assert!(both.sync_data().is_err());
    }
}
