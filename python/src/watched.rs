//! A job on a thread of its own, while the calling thread hears signals and
//! tells how far it is.

use std::io;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use pcopy::{CancelToken, Progress, Snapshot, Watch};
use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::forks::Running;

/// How often the caller hears of the progress, and the job of Ctrl-C.
const TICK: Duration = Duration::from_millis(100);

/// Runs `job` without the lock of the interpreter. `progress` is called on this
/// thread at every tick and at the end, with the counters as keywords.
///
/// # Errors
///
/// What `progress` raises, and `KeyboardInterrupt`: the job is stopped then, and
/// leaves a state to resume from. `OSError` if there can be no further thread.
pub fn run<T: Send>(
    python: Python<'_>,
    progress: Option<&Bound<'_, PyAny>>,
    job: impl FnOnce(Watch<'_>) -> T + Send,
) -> PyResult<T> {
    let (counters, cancel) = (Progress::new(), CancelToken::new());
    let counted = Running::new();
    let ended = Ended::default();
    std::thread::scope(|scope| {
        let named = std::thread::Builder::new().name("pcopy".to_owned());
        let running = named.spawn_scoped(scope, || {
            // Also if it panics.
            let _told = Told(&ended);
            job(Watch::new(&counters, &cancel))
        });
        let running = running.map_err(no_thread)?;
        let mut stopped = None;
        loop {
            let is_over = python.detach(|| ended.wait(TICK));
            if stopped.is_none() {
                let heard = python.check_signals().and_then(|()| match progress {
                    Some(progress) => tell(progress, &counters),
                    None => Ok(()),
                });
                counted.end_if_forked();
                if let Err(error) = heard {
                    cancel.cancel();
                    stopped = Some(error);
                }
            }
            if is_over {
                break;
            }
        }
        let result = running.join();
        match (stopped, result) {
            (Some(error), _) => Err(error),
            (None, Ok(result)) => Ok(result),
            (None, Err(panic)) => std::panic::resume_unwind(panic),
        }
    })
}

fn no_thread(error: io::Error) -> PyErr {
    let number = error.raw_os_error().unwrap_or_default();
    PyOSError::new_err((number, format!("cannot start a thread: {error}")))
}

fn tell(progress: &Bound<'_, PyAny>, counters: &Progress) -> PyResult<()> {
    while counters.next_event().is_some() {}
    progress.call((), Some(&numbers(progress.py(), counters.snapshot())?))?;
    Ok(())
}

fn numbers(python: Python<'_>, now: Snapshot) -> PyResult<Bound<'_, PyDict>> {
    let numbers = PyDict::new(python);
    numbers.set_item("phase", now.phase.name())?;
    numbers.set_item("total", now.total)?;
    for (name, number) in [
        ("copied", now.copied),
        ("failed", now.failed),
        ("resumed", now.resumed),
        ("verified", now.verified),
        ("items", now.items),
        ("total_items", now.total_items),
    ] {
        numbers.set_item(name, number)?;
    }
    Ok(numbers)
}

/// Whether the job is over.
#[derive(Default)]
struct Ended {
    is_over: Mutex<bool>,
    told: Condvar,
}

impl Ended {
    /// Waits, at most for `time`; whether it is over.
    fn wait(&self, time: Duration) -> bool {
        let is_over = self.is_over.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.told.wait_timeout_while(is_over, time, |is_over| !*is_over);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

struct Told<'a>(&'a Ended);

impl Drop for Told<'_> {
    fn drop(&mut self) {
        *self.0.is_over.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.told.notify_all();
    }
}
