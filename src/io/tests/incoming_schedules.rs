//! Workers that take turns at a stream, under every kind of schedule.

use std::collections::BTreeMap;

use super::*;
use crate::sync::tests::check;
use crate::sync::thread;

const STRIPE: u64 = 8;

/// So many bytes, a few at a time, with nothing now and then.
struct Drops {
    left: u64,
    at: u64,
    dry: bool,
}

impl Feed for Drops {
    fn read(&mut self, buffer: &mut [u8], _: Duration) -> io::Result<Option<usize>> {
        thread::sleep(Duration::ZERO);
        self.dry = !self.dry;
        if self.dry {
            return Ok(None);
        }
        let count = buffer.len().min(as_usize(self.left)).min(3);
        for byte in &mut buffer[..count] {
            *byte = self.at as u8;
            self.at += 1;
        }
        self.left -= as_u64(count);
        Ok(Some(count))
    }
}

const PATIENT: Patience<'static> = Patience { time: Duration::MAX, stop: &|| false };

/// What three workers find that claim up to `stripes` stripes, of which they read the
/// first half and then what `after` says.
fn read(
    stream: &Incoming,
    stripes: u64,
    after: impl Fn(&Incoming, ByteRange) -> bool + Sync,
) -> Vec<u8> {
    read_leaving(stream, stripes, after, &|| false)
}

/// The same, where a worker leaves behind a stripe if `leaves` says so.
fn read_leaving(
    stream: &Incoming,
    stripes: u64,
    after: impl Fn(&Incoming, ByteRange) -> bool + Sync,
    leaves: &(dyn Fn() -> bool + Sync),
) -> Vec<u8> {
    let claimed = std::sync::Mutex::new(0);
    let found = std::sync::Mutex::new(BTreeMap::new());
    let claim = || {
        let mut next = lock(&claimed);
        if *next == stripes {
            return None;
        }
        *next += 1;
        ByteRange::with_len((*next - 1) * STRIPE, STRIPE)
    };
    let fill = |part: ByteRange| {
        let mut memory = vec![0; as_usize(part.len())];
        match stream.fill(part.start(), &mut memory, &PATIENT) {
            Ok(count) => {
                memory.truncate(count);
                assert!(lock(&found).insert(part.start(), memory).is_none());
                true
            }
            Err(Unfilled::Stopped) => false,
            Err(Unfilled::Failed(error)) => panic!("{error}"),
        }
    };
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while let Some(claimed) = stream.claim(claim) {
                    let (first, second) = claimed.split_at(claimed.start() + STRIPE / 2);
                    if !fill(first) || after(stream, claimed) && !fill(second) || leaves() {
                        return;
                    }
                }
            });
        }
    });
    found.into_inner().unwrap().into_values().flatten().collect()
}

fn incoming(bytes: u64) -> Incoming {
    Incoming::new(Box::new(Drops { left: bytes, at: 0, dry: false }))
}

#[test]
fn every_byte_comes_once_and_all_workers_leave_at_the_end() {
    for bytes in [0, 3, 8, 29] {
        check(move || {
            let stream = incoming(bytes);
            let found = read(&stream, 99, |_, _| true);
            assert_eq!(found, (0..bytes as u8).collect::<Vec<_>>());
            assert_eq!(stream.end(), Some(bytes));
        });
    }
}

/// One that is too many leaves after its stripe, and another one has to take the turn.
#[test]
fn a_worker_that_leaves_hands_on_its_turn() {
    check(|| {
        let stream = incoming(29);
        let has_left = std::sync::atomic::AtomicBool::new(false);
        let found = read_leaving(&stream, 99, |_, _| true, &|| !has_left.swap(true, SeqCst));
        assert_eq!(found, (0..29).collect::<Vec<_>>());
    });
}

#[test]
fn all_workers_leave_when_nothing_is_left_to_claim() {
    check(|| {
        let stream = incoming(100);
        let found = read(&stream, 3, |_, _| true);
        assert_eq!(found, (0..3 * STRIPE as u8).collect::<Vec<_>>());
    });
}

#[test]
fn a_turn_that_is_passed_on_costs_what_was_not_read_of_it_and_no_more() {
    check(|| {
        let stream = incoming(29);
        let found = read(&stream, 3, |stream, claimed| {
            if claimed.start() == STRIPE {
                stream.pass(claimed.end());
            }
            claimed.start() != STRIPE
        });
        let expected: Vec<u8> = (0..12).chain(16..24).collect();
        assert_eq!(found, expected);
    });
}

/// One that is too many may leave right behind a turn that it has passed on.
#[test]
fn a_worker_that_passes_on_its_turn_may_leave() {
    check(|| {
        let stream = incoming(29);
        let has_passed = std::sync::atomic::AtomicBool::new(false);
        let pass = |stream: &Incoming, claimed: ByteRange| {
            let passes = claimed.start() == STRIPE;
            if passes {
                stream.pass(claimed.end());
                has_passed.store(true, SeqCst);
            }
            !passes
        };
        let found = read_leaving(&stream, 99, pass, &|| has_passed.swap(false, SeqCst));
        let expected: Vec<u8> = (0..12).chain(16..29).collect();
        assert_eq!(found, expected);
    });
}

#[test]
fn a_stream_that_is_abandoned_keeps_nobody() {
    check(|| {
        let stream = incoming(1000);
        let found = read(&stream, 99, |stream, claimed| {
            if claimed.start() == 2 * STRIPE {
                stream.abandon();
            }
            true
        });
        assert!(found.len() <= 30 && found.len() >= 20);
    });
}
