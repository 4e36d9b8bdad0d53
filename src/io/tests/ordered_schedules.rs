//! Pieces of several workers under every kind of schedule.

use std::io::{Read, Seek};
use std::sync::Arc;

use super::*;
use crate::sync::atomic::AtomicU64;
use crate::sync::tests::check;
use crate::sync::thread;

const PIECE: u64 = 4;
const PIECES: u64 = 6;

fn data() -> Vec<u8> {
    (1..=(PIECE * PIECES) as u8).collect()
}

fn written(stream: &Ordered) -> Vec<u8> {
    let (mut out, mut found) = (&stream.out, Vec::new());
    out.rewind().unwrap();
    out.read_to_end(&mut found).unwrap();
    found
}

/// Workers that claim pieces in ascending order. `act` says what one does with its piece;
/// where it says no, all of them give up.
fn work(stream: &Ordered, act: impl Fn(u64, &[u8]) -> bool + Sync) {
    let next = AtomicU64::new(0);
    let data = data();
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                loop {
                    let piece = next.fetch_add(1, SeqCst);
                    if piece >= PIECES {
                        return;
                    }
                    let at = piece * PIECE;
                    if !act(at, &data[at as usize..(at + PIECE) as usize]) {
                        return stream.abandon();
                    }
                }
            });
        }
    });
}

fn ordered(room: usize) -> Arc<Ordered> {
    Arc::new(Ordered::new(tempfile::tempfile().unwrap(), room, &CancelToken::new()))
}

#[test]
fn pieces_come_out_in_order_and_nobody_waits_for_ever() {
    for room in [0, 1, 2] {
        check(move || {
            let stream = ordered(room);
            work(&stream, |at, piece| {
                // As where something before a piece must be out before it is read.
                if at == 2 * PIECE || at == 3 * PIECE {
                    stream.wait_for(at).unwrap();
                }
                stream.write_at(at, piece).unwrap() == piece.len()
            });
            assert_eq!(written(&stream), data());
            assert!(lock(&stream.line).aside.is_empty());
        });
    }
}

#[test]
fn a_stream_that_is_abandoned_has_no_gap_and_keeps_nobody() {
    for room in [0, 2] {
        check(move || {
            let stream = ordered(room);
            work(&stream, |at, piece| at != 3 * PIECE && stream.write_at(at, piece).is_ok());
            let written = written(&stream);
            assert!(written.len() <= 3 * PIECE as usize);
            assert_eq!(written, data()[..written.len()]);
            assert!(stream.write_at(0, b"more").is_err());
        });
    }
}
