//! How many requests a copy begins with, by how long the first answer took: as
//! many as Little's law asks for, and the controller of the workers does the rest.

use std::time::Duration;

use crate::engine::capabilities::Pace;
use crate::pool::controller::AIM;

/// Bytes of a request. Longer ones take longer to repeat, and more memory.
const REQUEST: u64 = 4 << 20;

/// Fewest requests under way unasked: while one is answered, another is written.
const FEWEST: usize = 4;

/// What answers sooner is near: of more connections than processors it gains little.
const NEAR: Duration = Duration::from_millis(5);

/// Most requests under way that are tried there.
const MOST_NEAR: usize = 8;

/// Most requests under way that are tried unasked, where answers come soon.
const MOST: usize = 32;

/// The same where more than half of those are needed from the beginning.
const MOST_FAR_AWAY: usize = 64;

/// Of a server that answers in `latency`. What the user asks for as `connections`
/// is what there is.
pub(in crate::endpoint) fn of(latency: Duration, connections: Option<usize>) -> Pace {
    let (start, most) = match connections {
        Some(count) => (count, count),
        None => unasked(latency),
    };
    Pace { request: REQUEST, piece: REQUEST, start, most }
}

/// What is under way is what arrives in a second times the seconds that each takes.
fn unasked(latency: Duration) -> (usize, usize) {
    let bytes = AIM * latency.as_secs_f64();
    let wanted = (bytes / REQUEST as f64).ceil() as usize;
    let most = match latency {
        _ if latency < NEAR => MOST_NEAR,
        _ if wanted > MOST / 2 => MOST_FAR_AWAY,
        _ => MOST,
    };
    (wanted.clamp(FEWEST, most / 2), most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_answers_late_is_asked_for_more_at_once() {
        let check = |milliseconds, connections, start, most| {
            let pace = of(Duration::from_millis(milliseconds), connections);
            assert_eq!((pace.start, pace.most), (start, most), "{milliseconds} ms");
        };
        check(0, None, 4, 8);
        check(1, None, 4, 8);
        check(5, None, 4, 32);
        check(20, None, 8, 32);
        check(40, None, 16, 32);
        check(50, None, 20, 64);
        check(100, None, 32, 64);
        check(10_000, None, 32, 64);
        check(50, Some(1), 1, 1);
        check(0, Some(100), 100, 100);
    }
}
