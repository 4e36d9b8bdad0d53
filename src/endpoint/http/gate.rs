//! How many requests a server has to answer at once, and when the next one may
//! be made. A server that says that it has too much to do gets half as many, and
//! none before the time it asks for; each answer after that allows a little more.

use std::time::{Duration, Instant};

use super::fault::Fault;
use super::stop::{MOMENT, Stop};
use crate::progress::lock;
use crate::sync::{Condvar, Mutex, PoisonError};

/// More than there are workers: no bound.
const UNBOUNDED: f64 = 1e9;

/// Refusals that arrive within this time are of one moment, and count once.
const SAME_MOMENT: Duration = Duration::from_millis(500);

/// The way to a server.
#[derive(Debug)]
pub(super) struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    /// Requests under way.
    active: usize,
    /// Requests at once, at most.
    allowed: f64,
    /// No request before.
    closed_until: Option<Instant>,
    /// When the number was last halved.
    halved: Option<Instant>,
}

/// A request under way.
pub(in crate::endpoint) struct Pass<'a>(&'a Gate);

impl Default for Gate {
    fn default() -> Gate {
        let state = State { active: 0, allowed: UNBOUNDED, closed_until: None, halved: None };
        Gate { state: Mutex::new(state), changed: Condvar::new() }
    }
}

impl Gate {
    /// Waits until a request may be made.
    pub fn enter(&self, stop: &Stop) -> Result<Pass<'_>, Fault> {
        let mut state = lock(&self.state);
        loop {
            stop.check()?;
            let is_closed = state.closed_until.is_some_and(|until| Instant::now() < until);
            if !is_closed && (state.active as f64) < state.allowed {
                state.active += 1;
                return Ok(Pass(self));
            }
            let waited = self.changed.wait_timeout(state, MOMENT);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The server has too much to do, and wants nothing for `wait`.
    pub fn is_overloaded(&self, wait: Duration) {
        let mut state = lock(&self.state);
        let now = Instant::now();
        let until = now + wait;
        state.closed_until = Some(state.closed_until.map_or(until, |before| before.max(until)));
        if state.halved.is_none_or(|then| now.duration_since(then) > SAME_MOMENT) {
            state.allowed = (state.allowed.min(state.active as f64) / 2.0).max(1.0);
            state.halved = Some(now);
        }
    }

    /// The server answered: another request more for each round of answers.
    pub fn has_answered(&self) {
        let mut state = lock(&self.state);
        if state.allowed < UNBOUNDED {
            state.allowed += 1.0 / state.allowed;
            self.changed.notify_one();
        }
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        lock(&self.0.state).active -= 1;
        self.0.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_with_too_much_to_do_gets_half_and_then_more_again() {
        let (gate, stop) = (Gate::default(), Stop::default());
        let passes: Vec<_> = (0..8).map(|_| gate.enter(&stop)).collect();
        assert!(passes.iter().all(Result::is_ok));
        gate.is_overloaded(Duration::ZERO);
        // Of the same moment.
        gate.is_overloaded(Duration::ZERO);
        assert_eq!(lock(&gate.state).allowed, 4.0);
        drop(passes);
        let again: Vec<_> = (0..4).map(|_| gate.enter(&stop)).collect();
        assert!(lock(&gate.state).active == 4 && again.iter().all(Result::is_ok));
        drop(again);
        (0..5).for_each(|_| gate.has_answered());
        let allowed = lock(&gate.state).allowed;
        assert!((5.0..5.5).contains(&allowed), "{allowed}");
    }

    #[test]
    fn a_wish_to_stop_ends_the_wait() {
        let (gate, stop) = (Gate::default(), Stop::default());
        gate.is_overloaded(Duration::from_secs(3600));
        let cancel = crate::CancelToken::new();
        stop.listen_to(&cancel);
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| gate.enter(&stop).map(drop));
            cancel.cancel();
            assert!(matches!(waiting.join().unwrap(), Err(Fault::Stopped)));
        });
    }
}
