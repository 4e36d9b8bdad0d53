//! Groups that ask for a sync at any time: one that hears that it is durable is.

use std::sync::Mutex as OfStd;

use super::*;
use crate::sync::tests::check;
use crate::sync::thread;

#[derive(Clone, Copy, Default)]
struct File {
    written: u32,
    durable: u32,
}

fn group() -> GroupSync {
    GroupSync { covers_files: true, begun: AtomicU64::new(0), failed: Mutex::new(false) }
}

/// Groups that write their file and ask for a sync, twice each. `fails` says which
/// sync, counted from 0, fails: what it should have made durable is lost.
fn work(fails: Option<u32>) {
    let (group, files) = (group(), OfStd::new([File::default(); 3]));
    let syncs = OfStd::new(0);
    let sync = || {
        let begun = *lock(&files);
        let number = {
            let mut syncs = lock(&syncs);
            *syncs += 1;
            *syncs - 1
        };
        // What is written from here on is not in it.
        thread::sleep(std::time::Duration::ZERO);
        if Some(number) == fails {
            return Err(io::ErrorKind::Other.into());
        }
        assert!(fails.is_none_or(|failed| number < failed), "a sync after one that failed");
        for (file, at_begin) in lock(&files).iter_mut().zip(begun) {
            file.durable = file.durable.max(at_begin.written);
        }
        Ok(())
    };
    thread::scope(|scope| {
        for number in 0..3 {
            let (group, files, sync) = (&group, &files, &sync);
            scope.spawn(move || {
                for round in 1..=2 {
                    lock(files)[number].written = round;
                    let is_durable = group.sync_by(sync).is_ok();
                    let file = lock(files)[number];
                    assert!(!is_durable || file.durable == round, "not durable");
                    if !is_durable {
                        assert!(fails.is_some(), "none has failed");
                        return;
                    }
                }
            });
        }
    });
    assert!(*lock(&syncs) >= 1);
}

#[test]
fn a_group_is_told_that_it_is_durable_only_when_a_sync_began_after_it_asked() {
    check(|| work(None));
}

#[test]
fn after_a_sync_that_failed_no_group_is_told_that_it_is_durable() {
    check(|| (0..3).for_each(|number| work(Some(number))));
}
