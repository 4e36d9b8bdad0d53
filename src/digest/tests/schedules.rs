//! Pieces that wait for their turn, under every kind of schedule.

use super::{Abandoned, Algorithm, Digester, hash_slice};
use crate::range::ByteRange;
use crate::sync::atomic::{AtomicU64, Ordering::SeqCst};
use crate::sync::tests::check;
use crate::sync::thread;

const PIECE: u64 = 4;
const PIECES: u64 = 6;

fn bytes() -> Vec<u8> {
    let mut bytes: Vec<u8> = (1..=(PIECE * PIECES) as u8).collect();
    bytes[8..12].fill(0);
    bytes
}

/// Workers that claim pieces in ascending order and hand each to `hand_over`.
fn work(hand_over: impl Fn(u64) -> Result<(), Abandoned> + Sync) {
    let next = AtomicU64::new(0);
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                loop {
                    let piece = next.fetch_add(1, SeqCst);
                    if piece >= PIECES || hand_over(piece * PIECE).is_err() {
                        return;
                    }
                }
            });
        }
    });
}

fn hand_over(digester: &Digester, at: u64) -> Result<(), Abandoned> {
    // The third piece is a hole.
    if at == 2 * PIECE {
        return digester.update_zeroes(ByteRange::with_len(at, PIECE).unwrap());
    }
    digester.update(at, &bytes()[at as usize..(at + PIECE) as usize])
}

fn digester() -> Digester {
    let algorithms = [Algorithm::Sha256, Algorithm::Blake3, Algorithm::Md5, Algorithm::Crc32c];
    Digester::new(&algorithms, ByteRange::to(PIECE * PIECES))
}

#[test]
fn every_piece_gets_its_turn_and_the_digests_are_those_of_the_whole() {
    check(|| {
        let digester = digester();
        work(|at| hand_over(&digester, at));
        for digest in digester.finish().expect("all of it was handed over") {
            assert_eq!(digest, hash_slice(digest.algorithm(), &bytes()));
        }
    });
}

#[test]
fn a_piece_that_cannot_be_had_spoils_the_digests_and_keeps_nobody_waiting() {
    check(|| {
        let digester = digester();
        work(|at| {
            if at == 3 * PIECE {
                digester.spoil();
                return Ok(());
            }
            hand_over(&digester, at)
        });
        assert_eq!(digester.finish(), None);
    });
}

#[test]
fn digests_that_are_abandoned_keep_nobody_waiting() {
    check(|| {
        let digester = digester();
        work(|at| {
            if at == 2 * PIECE {
                digester.abandon();
                return Err(Abandoned);
            }
            hand_over(&digester, at)
        });
        assert_eq!(digester.finish(), None);
    });
}
