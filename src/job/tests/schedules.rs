//! Copies that begin at one moment, with one destination, under every kind of schedule:
//! between any two calls on names, locks and lengths another one may go on. They are threads
//! and stand for processes; files and locks are real.

use std::path::PathBuf;
use std::time::Duration;

use shuttle::rand::{Rng, thread_rng};

use super::CopyJob;
use crate::Leftovers;
use crate::error::{ErrorKind, Outcome, Refusal};
use crate::progress::{CancelToken, Progress, Watch};
use crate::sync::tests::{check, meet, wait_some_time};
use crate::sync::thread;

/// Bytes of the source, which are those of three segments.
const LEN: usize = 10_000;

const SEGMENT: u64 = 4096;

/// About as many steps as a copy takes.
const LONGEST: usize = 500;

/// What all copies of a meeting do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Way {
    New,
    Replaced,
    InPlace,
    Split,
    SplitReplaced,
}

/// Copies that meet.
struct Meeting {
    folder: tempfile::TempDir,
    way: Way,
    len: usize,
    has_maps: bool,
}

impl Meeting {
    fn new(way: Way) -> Meeting {
        let folder = tempfile::tempdir().unwrap();
        // Runs that write nothing in place are in nobody's way, and each may leave a map.
        let len = if way != Way::InPlace && thread_rng().gen_bool(0.2) { 0 } else { LEN };
        let meeting = Meeting { folder, way, len, has_maps: thread_rng().gen_bool(0.8) };
        std::fs::create_dir(meeting.path("out")).unwrap();
        std::fs::write(meeting.path("source"), meeting.bytes()).unwrap();
        let old = match way {
            Way::New | Way::Split => Vec::new(),
            Way::Replaced | Way::InPlace => vec!["copy".to_owned()],
            Way::SplitReplaced => meeting.wanted(),
        };
        old.iter().for_each(|name| {
            std::fs::write(meeting.path("out").join(name), [7; 100]).unwrap();
        });
        meeting
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn bytes(&self) -> Vec<u8> {
        (0..self.len).map(|at| (at % 251) as u8 + 1).collect()
    }

    fn job(&self, leftovers: Leftovers) -> CopyJob {
        let job = CopyJob::new(self.path("source"), self.path("out/copy")).leftovers(leftovers);
        // With workers it has a map, and is over at once without.
        let job = match self.has_maps {
            true => job.threads(2).stripe_size(4096).io_size(4096).checkpoint_every(Duration::ZERO),
            false => job.threads(1),
        };
        match self.way {
            Way::New => job,
            Way::Replaced => job.force(true),
            Way::InPlace => job.in_place(true),
            Way::Split => job.split(SEGMENT),
            Way::SplitReplaced => job.split(SEGMENT).force(true),
        }
    }

    /// Names in the folder of the destination.
    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.path("out")).unwrap();
        let name = |entry: std::io::Result<std::fs::DirEntry>| {
            entry.unwrap().file_name().into_string().unwrap()
        };
        let mut names: Vec<_> = entries.map(name).collect();
        names.sort();
        names
    }

    /// What is there when a copy has ended well, and nothing else.
    fn wanted(&self) -> Vec<String> {
        match self.way {
            Way::Split | Way::SplitReplaced if self.len > 0 => {
                (1..=3).map(|n| format!("copy.{n:03}")).collect()
            }
            Way::Split | Way::SplitReplaced => vec!["copy.001".to_owned()],
            _ => vec!["copy".to_owned()],
        }
    }

    fn check_bytes(&self) {
        let read = |name: &String| std::fs::read(self.path("out").join(name)).unwrap();
        let mut found: Vec<u8> = self.wanted().iter().flat_map(read).collect();
        if self.way == Way::InPlace {
            found.truncate(self.len);
        }
        assert!(found == self.bytes(), "other bytes");
    }

    /// A run that ends early, before all others.
    fn interrupt(&self) {
        let cancel = CancelToken::new();
        thread::scope(|scope| {
            scope.spawn(|| {
                wait_some_time(LONGEST);
                cancel.cancel();
            });
            let job = scope.spawn(|| self.run(Leftovers::Refuse, &cancel, false));
            job.join().unwrap()
        });
    }

    /// A run after all others, which finds nothing that it could not discard, and leaves
    /// nothing.
    fn end(&self, is_done: bool) {
        let is_new = matches!(self.way, Way::New | Way::Split);
        match self.job(Leftovers::Restart).run() {
            Ok(_) => {
                self.check_bytes();
                assert_eq!(self.names(), self.wanted());
            }
            Err(failure) => {
                let said = failure.error().chain();
                assert!(is_done && is_new && said.ends_with("exists"), "{said}");
            }
        }
    }

    /// Runs one, which may be asked to stop by `cancel`; whether it ended well.
    fn run(&self, leftovers: Leftovers, cancel: &CancelToken, others_stop: bool) -> bool {
        let progress = Progress::new();
        let result = self.job(leftovers).run_watched(Watch::new(&progress, cancel));
        match result {
            Ok(_) => {
                self.check_bytes();
                true
            }
            Err(failure) => {
                let error = failure.error();
                let said = error.chain();
                match error.outcome() {
                    Outcome::Refused => {
                        let is_expected = matches!(
                            error.kind(),
                            ErrorKind::Refused(
                                Refusal::Exists { .. }
                                    | Refusal::Busy { .. }
                                    | Refusal::PieceBusy { .. }
                                    | Refusal::Split(_)
                            )
                        );
                        assert!(is_expected || others_stop, "{leftovers:?}: {said}");
                    }
                    Outcome::Interrupted => assert!(cancel.is_cancelled(), "{said}"),
                    // Of two that discard what an earlier one left, one is faster.
                    Outcome::Failed
                        if matches!(error.kind(), ErrorKind::Discarded { .. })
                            && leftovers == Leftovers::Restart
                            && others_stop => {}
                    outcome => panic!("{leftovers:?}: {outcome:?}: {said}"),
                }
                false
            }
        }
    }
}

fn copies_meet(way: Way) {
    check(move || {
        let meeting = Meeting::new(way);
        let mut random = thread_rng();
        let with_stops = random.gen_bool(0.4);
        if with_stops && random.gen_bool(0.5) {
            meeting.interrupt();
        }
        let all = [Leftovers::Refuse, Leftovers::Refuse, Leftovers::Resume, Leftovers::Restart];
        let choose = |_| (all[thread_rng().gen_range(0..all.len())], CancelToken::new());
        let runs: Vec<_> = (0..random.gen_range(2..=3)).map(choose).collect();
        let ended = meet(
            &runs,
            LONGEST,
            with_stops,
            |(leftovers, cancel)| meeting.run(*leftovers, cancel, with_stops),
            |(_, cancel)| cancel.cancel(),
        );
        if ended.contains(&true) {
            meeting.check_bytes();
        }
        if !with_stops {
            assert!(ended.contains(&true), "all are refused: {runs:?}");
            assert_eq!(meeting.names(), meeting.wanted(), "{runs:?} {ended:?}");
        }
        meeting.end(meeting.wanted().iter().any(|name| meeting.path("out").join(name).exists()));
    });
}

#[test]
fn a_new_file_is_made_by_one_of_several_copies() {
    copies_meet(Way::New);
}

#[test]
fn a_file_is_replaced_by_several_copies() {
    copies_meet(Way::Replaced);
}

#[test]
fn a_place_is_written_by_one_copy_after_the_other() {
    copies_meet(Way::InPlace);
}

#[test]
fn a_set_is_made_by_one_of_several_copies() {
    copies_meet(Way::Split);
}

#[test]
fn a_set_is_replaced_by_several_copies() {
    copies_meet(Way::SplitReplaced);
}
