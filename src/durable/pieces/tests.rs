#[cfg(pcopy_model)]
mod schedules;

use std::fs::{File, OpenOptions};
use std::io::Write;

use super::*;

/// A file of ten bytes that a run has made 3,000,000 bytes long, to write those from
/// 2,000,000 on.
fn grown() -> (tempfile::NamedTempFile, Growth) {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&[1; 10]).unwrap();
    let piece = Piece { start: 2_000_000, end: Some(3_000_000) };
    let growth = begin(file.as_file(), piece);
    assert_eq!(len(file.as_file()), 3_000_000);
    (file, growth)
}

fn begin(file: &File, piece: Piece) -> Growth {
    Growth::begin(file, Path::new("file"), Claim::Piece, piece, &CancelToken::new()).unwrap()
}

fn len(file: &File) -> u64 {
    file.metadata().unwrap().len()
}

fn take_back(file: &File, growth: &Growth) {
    growth.take_back(file, ByteRange::between(0, 0)).unwrap();
}

#[test]
fn a_length_that_nobody_has_used_is_taken_back() {
    let (file, growth) = grown();
    take_back(file.as_file(), &growth);
    assert_eq!(len(file.as_file()), 10);
}

/// Where the clock of the system has not gone on, the bytes say it.
#[test]
fn what_another_run_has_written_before_the_piece_stays_though_no_time_passed() {
    for place in [10, 1_000_000, 1_999_999] {
        let (file, growth) = grown();
        let other = OpenOptions::new().write(true).open(file.path()).unwrap();
        sys::write_at(&other, &[7], place).unwrap();
        drop(other);
        growth.note_change(file.as_file());
        take_back(file.as_file(), &growth);
        assert_eq!(len(file.as_file()), 2_000_000, "byte {place}");
    }
}

/// What is not known is not taken for a hole.
#[test]
fn a_gap_that_is_full_of_zeros_stays() {
    let (file, growth) = grown();
    sys::write_at(file.as_file(), &vec![0; 1_500_000], 100).unwrap();
    growth.note_change(file.as_file());
    take_back(file.as_file(), &growth);
    assert_eq!(len(file.as_file()), 2_000_000);
}

/// A run that needs no more length waits as well until the length is another run's no more.
#[test]
fn nobody_begins_while_another_run_makes_the_file_longer() {
    let (file, _) = grown();
    let other = OpenOptions::new().write(true).open(file.path()).unwrap();
    if !sys::try_lock_range(&other, LENGTH).is_ok_and(|locked| locked) {
        return;
    }
    let cancel = CancelToken::new();
    cancel.cancel();
    let piece = Piece { start: 10, end: Some(20) };
    let begun = Growth::begin(file.as_file(), Path::new("file"), Claim::Piece, piece, &cancel);
    let is_cancelled = |error: &Error| matches!(error.kind(), ErrorKind::Cancelled);
    assert!(begun.err().as_ref().is_some_and(is_cancelled));
}
