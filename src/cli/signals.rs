//! Signals: the first wish to stop is a request, the second is an order.

// How a system tells of such a wish.
#[path = "../sys/signals.rs"]
mod system;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use pcopy::CancelToken;

use super::exit::Exit;

/// What has arrived since the start.
#[derive(Clone)]
pub struct Signals {
    /// Number of the signal that asked to stop; 0 if none did.
    stop: Arc<AtomicUsize>,
    /// Whether any did: what the job looks at, so that it hears the signal
    /// itself and without delay.
    cancel: Arc<AtomicBool>,
    /// Somebody asked for a status line.
    status: Arc<AtomicBool>,
}

impl Signals {
    /// Starts to listen. Where a handler cannot be installed the signal keeps
    /// its default meaning, which is to end the process.
    pub fn install() -> Signals {
        let (stop, cancel, status) = Default::default();
        system::register(&stop, &cancel, &status, end_at_once);
        Signals { stop, cancel, status }
    }

    /// What asks the job to stop.
    pub fn cancel_token(&self) -> CancelToken {
        CancelToken::from_flag(Arc::clone(&self.cancel))
    }

    /// Whether somebody asked for a status line since the last call.
    pub fn take_status_request(&self) -> bool {
        self.status.swap(false, SeqCst)
    }

    /// Ends the process as other tools end when nobody reads what they write.
    /// Returns where there is no such signal.
    pub fn die_of_closed_pipe(&self) {
        system::die_of_closed_pipe();
    }

    /// Ends the process by the signal that interrupted the job, so that a
    /// shell sees what happened. Returns if the job was not interrupted.
    pub fn die_if_interrupted(&self, exit: Exit) {
        if exit != Exit::Interrupted {
            return;
        }
        system::end_by(self.stop.load(SeqCst));
    }
}

/// What the second wish to stop does where no signal does it.
fn end_at_once() -> ! {
    std::process::exit(Exit::Interrupted.code().into())
}
