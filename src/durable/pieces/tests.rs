#[cfg(pcopy_model)]
mod schedules;

use std::fs::{File, OpenOptions};
use std::io::Write;

use super::*;

const PIECE: Piece = Piece { start: 2_000_000, end: Some(3_000_000) };

/// A file of ten bytes that a run has made longer, to write its piece; `None` where the
/// system has no locks for that.
fn grown() -> Option<(tempfile::NamedTempFile, Growth)> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&[1; 10]).unwrap();
    let growth = begin(file.as_file(), PIECE).unwrap();
    assert_eq!(len(&file), 3_000_000);
    growth.is_alone.load(Relaxed).then_some((file, growth))
}

fn begin(file: &File, piece: Piece) -> Result<Growth> {
    // Nobody waits for another run here.
    let cancel = CancelToken::new();
    cancel.cancel();
    Growth::begin(file, Path::new("file"), Claim::Piece, piece, &cancel)
}

fn another(file: &tempfile::NamedTempFile) -> File {
    OpenOptions::new().write(true).open(file.path()).unwrap()
}

fn len(file: &tempfile::NamedTempFile) -> u64 {
    file.as_file().metadata().unwrap().len()
}

fn take_back(file: &tempfile::NamedTempFile, growth: &Growth) {
    growth.take_back(file.as_file(), ByteRange::between(0, 0)).unwrap();
}

#[test]
fn a_length_is_taken_back_before_other_runs_may_begin() {
    let Some((file, growth)) = grown() else { return };
    take_back(&file, &growth);
    assert_eq!(len(&file), 10);
}

/// They may have used the length and changed nothing.
#[test]
fn what_lies_before_a_piece_stays_once_other_runs_may_have_begun() {
    let Some((file, growth)) = grown() else { return };
    growth.let_others(file.as_file());
    take_back(&file, &growth);
    assert_eq!(len(&file), 2_000_000);
}

/// Also those that need no more length than there is.
#[test]
fn nobody_begins_while_a_length_may_be_taken_back() {
    let Some((file, growth)) = grown() else { return };
    let other = another(&file);
    let piece = Piece { start: 10, end: Some(20) };
    let is_cancelled = |error: &Error| matches!(error.kind(), ErrorKind::Cancelled);
    assert!(begin(&other, piece).err().as_ref().is_some_and(is_cancelled));
    growth.let_others(file.as_file());
    let later = begin(&other, piece).unwrap();
    // It has made nothing longer, and keeps nobody waiting.
    assert!(!later.is_alone.load(Relaxed));
    take_back(&file, &growth);
    take_back(&file, &later);
    assert_eq!(len(&file), 2_000_000);
}

/// A stream makes the file longer by its bytes, and asks nobody.
#[test]
fn a_length_stays_as_long_as_another_run_writes_behind_it() {
    let Some((file, growth)) = grown() else { return };
    let other = another(&file);
    assert!(sys::try_lock_range(&other, ByteRange::between(3_000_000, 4_000_000)).unwrap());
    take_back(&file, &growth);
    assert_eq!(len(&file), 3_000_000);
}
