//! Signals: the first wish to stop is a request, the second is an order.
//! Signals within a moment of each other are one wish.

// How a system tells of such a wish.
#[path = "../sys/signals.rs"]
mod system;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use pcopy::CancelToken;

use super::exit::Exit;
use system::Wishes;

/// What has arrived since the start.
#[derive(Clone)]
pub struct Signals {
    /// Signals that asked to stop.
    wishes: Arc<Wishes>,
    /// Somebody asked for a status line.
    status: Arc<AtomicBool>,
}

impl Signals {
    /// Starts to listen. Where a handler cannot be installed the signal keeps
    /// its default meaning, which is to end the process.
    pub fn install() -> Signals {
        let (wishes, status) = Default::default();
        system::register(&wishes, &status, end_at_once);
        Signals { wishes, status }
    }

    /// What asks the job to stop.
    pub fn cancel_token(&self) -> CancelToken {
        CancelToken::from_flag(Arc::clone(self.wishes.flag()))
    }

    /// Whether somebody asked to stop.
    pub fn asked_to_stop(&self) -> bool {
        self.wishes.flag().load(SeqCst)
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
        system::end_by(self.wishes.signal());
    }
}

/// What the second wish to stop does where no signal does it.
fn end_at_once() -> ! {
    std::process::exit(Exit::Interrupted.code().into())
}
