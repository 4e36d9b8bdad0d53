//! Batches of one list that run at one moment, under every kind of schedule: their own
//! threads, and between any two calls on names, locks and lengths those of another one. Each
//! of them stands for a process; files and locks are real.

use std::path::PathBuf;
use std::time::Duration;

use shuttle::rand::{Rng, thread_rng};

use crate::batch::{Batch, Status};
use crate::error::{ErrorKind, Outcome, Refusal};
use crate::manifest::{Item, Runs};
use crate::progress::{CancelToken, Progress, Watch};
use crate::sync::tests::{check, meet};
use crate::{ByteRange, Leftovers};

/// A file: its name, and where its bytes begin and how many they are.
type OneFile = (&'static str, u64, u64);

/// The last one has a map, as large files do.
const FILES: [OneFile; 4] =
    [("a", 0, 3000), ("deep/b", 1000, 5000), ("deep/empty", 0, 0), ("large", 2000, 16_000)];

const LEN: u64 = 20_000;

/// About as many steps as a batch takes for a file.
const LONGEST: usize = 200;

/// Batches that meet.
struct Meeting {
    folder: tempfile::TempDir,
    files: &'static [OneFile],
    /// How many batches there are.
    runs: usize,
    /// Some are asked to stop.
    with_stops: bool,
    /// What is there already is replaced.
    replaces: bool,
    syncs: bool,
    verifies: bool,
    threads: usize,
}

impl Meeting {
    fn of(files: &'static [OneFile]) -> Meeting {
        let mut random = thread_rng();
        let folder = tempfile::tempdir().unwrap();
        let meeting = Meeting {
            folder,
            files,
            runs: random.gen_range(if files.len() > 1 { 1..=3 } else { 2..=3 }),
            with_stops: random.gen_bool(0.4),
            replaces: random.gen_bool(0.4),
            syncs: random.gen_bool(0.7),
            verifies: random.gen_bool(0.2),
            threads: random.gen_range(1..=2),
        };
        std::fs::create_dir_all(meeting.path("out/deep")).unwrap();
        std::fs::write(meeting.path("source"), bytes(0, LEN)).unwrap();
        if meeting.replaces {
            let is_there = |_: &&OneFile| thread_rng().gen_bool(0.5);
            files.iter().filter(is_there).for_each(|(name, ..)| {
                std::fs::write(meeting.path("out").join(name), [7; 100]).unwrap();
            });
        }
        meeting
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn batch(&self, leftovers: Leftovers) -> Batch {
        let item = |&(name, start, len): &OneFile| {
            Item::new(name, Runs::One(ByteRange::with_len(start, len).unwrap()))
        };
        Batch::new(self.files.iter().map(item).collect(), self.path("out"))
            .source(self.path("source"))
            .leftovers(leftovers)
            .force(self.replaces)
            .sync(self.syncs)
            .verify(self.verifies && self.syncs)
            .threads(self.threads)
            .stripe_size(4096)
            .io_size(4096)
            .checkpoint_every(Duration::ZERO)
    }

    fn is_right(&self, &(name, start, len): &OneFile) -> bool {
        std::fs::read(self.path("out").join(name)).is_ok_and(|found| found == bytes(start, len))
    }

    /// Under each final name there is nothing, what was there, or all of the file.
    fn check_names(&self) {
        for file in self.files {
            let found = std::fs::read(self.path("out").join(file.0));
            let is_old = self.replaces && found.as_ref().is_ok_and(|found| *found == [7; 100]);
            assert!(found.is_err() || is_old || self.is_right(file), "other bytes in {}", file.0);
        }
    }

    /// Names in the folder of the batch, and below it.
    fn names(&self) -> Vec<String> {
        let mut names = Vec::new();
        for folder in ["", "deep/"] {
            for entry in std::fs::read_dir(self.path("out").join(folder)).unwrap() {
                names.push(folder.to_owned() + entry.unwrap().file_name().to_str().unwrap());
            }
        }
        names.retain(|name| name != "deep");
        names.sort();
        names
    }

    /// Whether a batch may say that another one left something. Parts of small files are
    /// closed until they are synced, and nobody sees then whose they are.
    fn may_be_left(&self) -> bool {
        self.with_stops || self.files.len() > 1
    }

    /// Runs one, which may be asked to stop by `cancel`, beside others unless it is `alone`.
    /// Returns whether it completed all.
    fn run(&self, leftovers: Leftovers, cancel: &CancelToken, alone: bool) -> bool {
        let progress = Progress::new();
        let result = self.batch(leftovers).run_watched(Watch::new(&progress, cancel), &|item| {
            let file = self.files.iter().find(|file| *item.item.name == *file.0).unwrap();
            match item.status {
                Status::Complete | Status::Skipped => {
                    assert!(self.is_right(file), "{} is called complete", file.0);
                }
                Status::NotTried => {}
                // Another one has its name, or took its part away.
                Status::Failed if !alone || cancel.is_cancelled() => {}
                status => panic!("{leftovers:?}: {status:?}: {:?}", item.error),
            }
        });
        match result {
            Ok(report) => report.items.all_good(),
            Err(failure) => {
                let error = failure.error();
                let said = error.chain();
                match error.outcome() {
                    Outcome::Refused => {
                        let is_expected = match error.kind() {
                            ErrorKind::Refused(Refusal::Exists { .. } | Refusal::Busy { .. }) => {
                                true
                            }
                            ErrorKind::Refused(Refusal::Leftover { .. }) => self.may_be_left(),
                            _ => false,
                        };
                        assert!(is_expected && !alone, "{leftovers:?}: {said}");
                    }
                    Outcome::Interrupted => assert!(cancel.is_cancelled(), "{said}"),
                    outcome => panic!("{leftovers:?}: {outcome:?}: {said}"),
                }
                false
            }
        }
    }

    /// A run after all others makes what is not there, and leaves nothing else.
    fn end(mut self) {
        self.replaces = true;
        assert!(self.run(Leftovers::Restart, &CancelToken::new(), true));
        for file in self.files {
            assert!(self.is_right(file), "{}", file.0);
        }
        let wanted: Vec<_> = self.files.iter().map(|file| file.0).collect();
        assert_eq!(self.names(), wanted);
    }
}

fn bytes(start: u64, len: u64) -> Vec<u8> {
    (start..start + len).map(|at| (at % 251) as u8 + 1).collect()
}

/// Batches that meet leave no other bytes under a final name, call nothing complete that is
/// not, and a run after them completes all and clears away what they left.
fn batches_meet(files: &'static [OneFile]) {
    check(move || {
        let meeting = Meeting::of(files);
        // Where nothing can be left, those that refuse what is left are of interest.
        let all = match meeting.may_be_left() {
            true => &[Leftovers::Refuse, Leftovers::Resume, Leftovers::Restart][..],
            false => &[Leftovers::Refuse],
        };
        let choose = |_| (all[thread_rng().gen_range(0..all.len())], CancelToken::new());
        let runs: Vec<_> = (0..meeting.runs).map(choose).collect();
        let ended = meet(
            &runs,
            LONGEST * files.len(),
            meeting.with_stops,
            |(leftovers, cancel)| meeting.run(*leftovers, cancel, meeting.runs == 1),
            |(_, cancel)| cancel.cancel(),
        );
        meeting.check_names();
        if ended.contains(&true) {
            assert!(files.iter().all(|file| meeting.is_right(file)), "{runs:?}");
        }
        meeting.end();
    });
}

#[test]
fn a_list_is_copied_by_several_batches() {
    batches_meet(&FILES);
}

/// The part of a large file stays open, so a batch must not take that of another one that is
/// alive for what an earlier run left.
#[test]
fn a_large_file_is_copied_by_several_batches() {
    batches_meet(&FILES[3..]);
}
