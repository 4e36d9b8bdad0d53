//! The wish to stop, heard also by what waits: for a name, a connection, an
//! answer, or the time until the next try.

use std::io;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread::Builder;
use std::time::{Duration, Instant};

use super::fault::Fault;
use crate::progress::CancelToken;
use crate::sync::{PoisonError, RwLock};

/// How soon a wish to stop is heard.
pub(super) const MOMENT: Duration = Duration::from_millis(50);

/// All that may ask to stop.
#[derive(Debug, Default)]
pub(in crate::endpoint) struct Stop(RwLock<CancelToken>);

impl Stop {
    /// Listens to `cancel` from now on.
    pub fn listen_to(&self, cancel: &CancelToken) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = cancel.clone();
    }

    /// Whether somebody asked to stop.
    pub fn is_asked(&self) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).is_cancelled()
    }

    /// An error, if somebody asked to stop.
    pub fn check(&self) -> Result<(), Fault> {
        if self.is_asked() { Err(Fault::Stopped) } else { Ok(()) }
    }

    /// Waits for `time`.
    pub fn sleep(&self, time: Duration) -> Result<(), Fault> {
        let end = Instant::now() + time;
        loop {
            self.check()?;
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            crate::sync::thread::sleep(left.min(MOMENT));
        }
    }

    /// Makes a call that nothing can interrupt, on a thread of its own, which is
    /// left alone when somebody asks to stop, or after `limit`.
    pub fn wait_for<T: Send + 'static>(
        &self,
        limit: Duration,
        call: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let (sender, receiver) = channel();
        let begin = Instant::now();
        // Nobody may listen any more.
        let work = move || sender.send(call()).unwrap_or(());
        Builder::new().name("http-wait".to_owned()).spawn(work)?;
        loop {
            match receiver.recv_timeout(MOMENT) {
                Ok(result) => return result,
                Err(RecvTimeoutError::Disconnected) => return Err(io::ErrorKind::Other.into()),
                Err(RecvTimeoutError::Timeout) => {}
            }
            self.check().map_err(io::Error::from)?;
            if begin.elapsed() > limit {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
    }
}
