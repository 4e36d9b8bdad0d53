//! Runs that write pieces of one file, under every kind of schedule: what a run has written
//! that ended well stays, whatever the others do before, meanwhile and later. The runs are
//! threads, the file and its locks are real.

use std::fs::OpenOptions;
use std::path::Path;

use shuttle::rand::{Rng, thread_rng};

use crate::durable::pieces::{Claim, Growth, Piece, claim};
use crate::error::{ErrorKind, Refusal};
use crate::progress::CancelToken;
use crate::range::ByteRange;
use crate::sync::tests::check;
use crate::sync::thread;
use crate::sys;

/// Places where a piece can begin or end, in bytes.
const PLACES: u64 = 9;

/// What the file holds before all of them.
const BEFORE: u8 = 0xff;

/// A run of the program.
#[derive(Debug)]
struct Run {
    start: u64,
    /// Where its bytes end, if that is known.
    end: Option<u64>,
    /// How many bytes it writes, each the same. Fewer than it was to write, and it fails.
    writes: u64,
    byte: u8,
    /// Whether it ends well where it can.
    succeeds: bool,
    /// Whether something speaks against it before its first byte.
    is_refused: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Ended {
    Well,
    Failed,
    /// Before its first byte.
    Refused,
}

impl Run {
    /// Some that write other bytes of one file.
    fn some() -> Vec<Run> {
        let mut random = thread_rng();
        let (mut runs, mut start) = (Vec::new(), random.gen_range(0..PLACES / 3));
        for number in 1..=random.gen_range(1..=3) {
            let len = random.gen_range(1..=PLACES / 3);
            let is_stream = number == 3 && random.gen_bool(0.5);
            let succeeds = random.gen_bool(0.5);
            let is_refused = !succeeds && random.gen_bool(0.5);
            let writes = match succeeds {
                true if !is_stream => len,
                _ if is_refused => 0,
                _ => random.gen_range(0..=len),
            };
            // Zeros look like what nobody has written.
            let byte = if random.gen_bool(0.3) { 0 } else { number };
            let end = (!is_stream).then_some(start + len);
            runs.push(Run { start, end, writes, byte, succeeds, is_refused });
            start += len + random.gen_range(0..=2);
        }
        runs
    }

    /// What `endpoint::in_place` does with the file at `path`.
    fn go(&self, path: &Path) -> Ended {
        let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
        let to = ByteRange::between(self.start, self.end.unwrap_or(u64::MAX));
        // Time passes by chance, and too much of it may.
        let Ok(claim) = claim(&file, path, to) else { return Ended::Refused };
        assert_eq!(claim, Claim::Piece, "another run has the whole file");
        let piece = Piece { start: self.start, end: self.end };
        let growth = match Growth::begin(&file, path, claim, piece, &CancelToken::new()) {
            Ok(growth) => growth,
            Err(error) => {
                assert!(matches!(error.kind(), ErrorKind::Refused(Refusal::Busy { .. })));
                return Ended::Refused;
            }
        };
        let end = self.start + self.writes;
        if !self.is_refused {
            growth.let_others(&file);
        }
        for at in self.start..end {
            assert_eq!(sys::write_at(&file, &[self.byte], at).unwrap(), 1);
        }
        if !self.succeeds {
            growth.take_back(&file, ByteRange::between(0, 0)).unwrap();
            return Ended::Failed;
        }
        let written = ByteRange::between(self.start, end);
        let end = if written.is_empty() { 0 } else { end };
        if self.end.is_none() {
            growth.fill_up(&file, end).unwrap();
            growth.take_back(&file, written).unwrap();
        }
        growth.check(&file, path, end).unwrap_or_else(|error| panic!("{self:?}: {error}"));
        Ended::Well
    }

    /// Looks at the bytes that it has written, in all that is there in the end.
    fn check(&self, bytes: &[u8]) {
        let at = |place: u64| bytes.get(usize::try_from(place).unwrap());
        for place in self.start..self.start + self.writes {
            assert_eq!(at(place), Some(&self.byte), "byte {place} of {self:?} in {bytes:?}");
        }
    }
}

#[test]
fn what_has_ended_well_stays_whatever_others_begin_and_take_back() {
    check(|| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let was = usize::try_from(thread_rng().gen_range(0..PLACES)).unwrap();
        std::fs::write(&path, vec![BEFORE; was]).unwrap();
        let runs = Run::some();
        let ended: Vec<Ended> = thread::scope(|scope| {
            let begin = |run| {
                scope.spawn({
                    let path = &path;
                    move || Run::go(run, path)
                })
            };
            let all: Vec<_> = runs.iter().map(begin).collect();
            all.into_iter().map(|run| run.join().unwrap()).collect()
        });
        let bytes = std::fs::read(&path).unwrap();
        let reach = |run: &Run| run.end.unwrap_or(run.start + run.writes);
        let longest = runs.iter().map(reach).max().unwrap().max(was as u64);
        assert!(bytes.len() as u64 <= longest, "{bytes:?} of {runs:?}");
        for (run, ended) in runs.iter().zip(&ended) {
            if *ended == Ended::Well {
                run.check(&bytes);
            }
        }
        for (place, byte) in bytes.iter().enumerate() {
            let is_in = |run: &Run| (run.start..run.start + run.writes).contains(&(place as u64));
            if !runs.iter().any(is_in) {
                let expected = if place < was { BEFORE } else { 0 };
                assert_eq!(*byte, expected, "byte {place} in {bytes:?} of {runs:?}");
            }
        }
        assert!(bytes.len() >= was, "{bytes:?} of {runs:?}");
        if let ([run], [Ended::Failed]) = (&runs[..], &ended[..])
            && run.is_refused
        {
            assert_eq!(bytes.len(), was, "{run:?} leaves what it found");
        }
    });
}
