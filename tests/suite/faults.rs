//! Every system call on the files of a copy fails, at every place: the program
//! never says that all is well when it is not, never shows partial content
//! under the final name, and resumes what it leaves.

use crate::inject::{Injected, Target, can_inject};

/// What a run with a fault may be.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Then {
    /// Absorbed: the copy is complete.
    Fine,
    /// Nothing can be read from there on: a source of which something was read is
    /// gone, one of which nothing was read has nothing but bad sectors.
    IsGone,
    /// Stopped before the first byte or later; or not needed.
    Stops,
}

/// Injects `fault` into the k-th of `calls`, for every k until none is left,
/// and returns how many there were.
fn sweep(target: fn() -> Target, calls: &str, fault: &str, last: &str, then: Then) -> u32 {
    for k in 1.. {
        let target = target();
        let what = format!("{calls}:{fault}:when={k}{last}");
        let injected = target.run(std::slice::from_ref(&what));
        if !injected.hit() {
            injected.ended.code(0);
            assert!(k < 200, "{what}: no end");
            return k - 1;
        }
        check(&injected, &what, then);
        target.check_names(then == Then::IsGone, &what);
        if injected.ended.status.code() == Some(0) {
            assert!(target.scene.read("copy") == target.bytes, "{what}");
            assert_eq!(target.scene.names(), ["copy", "source"], "{what}: litter");
        } else if target.scene.names() != ["copy", "source"] {
            target.resume(&what);
        }
        // Else all is there and only the sync after the removal of the map has
        // failed: nothing is left to go on with.
    }
    unreachable!("the loop ends with the calls")
}

#[track_caller]
fn check(injected: &Injected, what: &str, then: Then) {
    let Injected { ended, log } = injected;
    let code = ended.status.code();
    let right = match then {
        Then::Fine => code == Some(0),
        Then::IsGone => code == Some(if what.contains("when=1+") { 1 } else { 5 }),
        Then::Stops => {
            let is_needless = || injected.hit_an_empty_map() || injected.hit_the_confinement();
            matches!(code, Some(3 | 5)) || code == Some(0) && is_needless()
        }
    };
    assert!(right, "{what}: {}\n{}\n{log}", ended.status, ended.stderr);
    if code == Some(3) {
        assert!(!log.contains("pwrite64("), "{what}: refused after writing\n{log}");
    }
    if code == Some(5) && what.contains("pwrite64") {
        let bytes = ["0..", "65536..", "131072..", "196608..", "262144.."];
        let named = bytes.map(|start| format!("cannot write bytes {start}"));
        assert!(named.iter().any(|words| ended.stderr.contains(words)), "{what}: {}", ended.stderr);
    }
}

/// The job, the calls, the fault, `+` if it stays, and what is expected.
type Row = (fn() -> Target, &'static str, &'static str, &'static str, Then);

/// Runs all sweeps of a table, prints what was done.
fn sweep_all(title: &str, table: &[Row]) {
    if !can_inject() {
        return;
    }
    let mut all = 0;
    for &(target, calls, fault, last, then) in table {
        let faults = sweep(target, calls, fault, last, then);
        assert!(faults > 0, "{calls}:{fault} was never met: the table is out of date");
        all += faults;
    }
    println!("measured: {title}: {all} faults, 0 silent, 0 wrong final names, {all} resumed");
}

#[test]
fn every_read_fails_once_or_for_good() {
    sweep_all(
        "failing reads of the program",
        &[
            (Target::new, "pread64", "error=EIO", "", Then::Fine),
            (Target::new, "pread64", "error=EIO", "+", Then::IsGone),
            (Target::new, "pread64", "error=EINTR", "", Then::Fine),
            (Target::new, "pread64", "error=ENODEV", "+", Then::Stops),
            (Target::new, "pread64", "retval=0", "", Then::Stops),
        ],
    );
}

#[test]
fn every_write_fails() {
    sweep_all(
        "failing writes of the program",
        &[
            (Target::new, "pwrite64", "error=EIO", "", Then::Stops),
            (Target::new, "pwrite64", "error=ENOSPC", "+", Then::Stops),
            (Target::new, "pwrite64", "error=EDQUOT", "", Then::Stops),
            (Target::new, "pwrite64", "error=EFBIG", "", Then::Stops),
            (Target::new, "pwrite64", "error=EROFS", "+", Then::Stops),
            (Target::new, "pwrite64", "error=EINTR", "", Then::Fine),
        ],
    );
}

#[test]
fn the_message_of_a_failed_write_has_the_bytes_and_the_reason() {
    if !can_inject() {
        return;
    }
    let reasons = [
        ("ENOSPC", "No space left on device"),
        ("EDQUOT", "quota exceeded"),
        ("EIO", "Input/output error"),
        ("EFBIG", "File too large"),
        ("EROFS", "Read-only file system"),
    ];
    for (errno, reason) in reasons {
        let target = Target::new();
        let injected = target.run(&[format!("pwrite64:error={errno}:when=3")]);
        let words = ["cannot write bytes 131072..196608 of", "copy", reason, "--resume"];
        injected.ended.code(5).says(&words);
    }
}

#[test]
fn every_sync_of_data_map_and_names_fails() {
    sweep_all(
        "failing syncs of the program",
        &[
            (Target::new, "fsync,fdatasync", "error=EIO", "", Then::Stops),
            (Target::with_checkpoints, "fsync,fdatasync", "error=EIO", "", Then::Stops),
            (Target::with_checkpoints, "fsync", "error=ENOSPC", "+", Then::Stops),
            (Target::new, "fsync,fdatasync", "error=EDQUOT", "", Then::Stops),
            (Target::new, "fsync,fdatasync", "error=ESTALE", "", Then::Stops),
            (Target::new, "fsync,fdatasync", "error=ENOMEDIUM", "", Then::Stops),
        ],
    );
}

/// Invariant I9. A second sync of the same file may say yes to data that the
/// kernel has dropped.
#[test]
fn a_failed_sync_of_the_data_is_never_tried_again() {
    if !can_inject() {
        return;
    }
    for (call, target) in
        [("fsync", Target::new as fn() -> Target), ("fdatasync", Target::with_checkpoints)]
    {
        let target = target();
        let injected = target.run(&[format!("{call}:error=EIO:when=1")]);
        let is_sync = |line: &str| line.contains("fdatasync(") || line.contains("fsync(");
        assert!(!injected.after_the_fault().any(is_sync), "{}", injected.log);
        injected.ended.code(5).says(&["cannot make", "durable", "Input/output error"]);
    }
}

#[test]
fn every_step_of_a_map_save_fails() {
    sweep_all(
        "failing map saves of the program",
        &[
            (Target::with_checkpoints, "write", "error=ENOSPC", "", Then::Stops),
            (Target::with_checkpoints, "rename,renameat", "error=EIO", "", Then::Stops),
            (Target::with_checkpoints, "renameat2", "error=EIO", "", Then::Stops),
            (Target::with_checkpoints, "unlink,unlinkat", "error=EACCES", "", Then::Stops),
        ],
    );
}

#[test]
fn every_step_around_the_bytes_fails() {
    sweep_all(
        "failing steps around the bytes",
        &[
            (Target::new, "renameat2", "error=EIO", "", Then::Stops),
            (Target::new, "renameat2", "error=ENOSPC", "", Then::Stops),
            (Target::new, "renameat2", "error=EEXIST", "", Then::Stops),
            (Target::new, "renameat2", "error=EINVAL", "", Then::Fine),
            (Target::new, "ftruncate", "error=EFBIG", "", Then::Stops),
            (Target::new, "ftruncate", "error=ENOSPC", "", Then::Stops),
            (Target::new, "fchmod", "error=EIO", "", Then::Stops),
            (Target::new, "flock", "error=EAGAIN", "+", Then::Stops),
            (Target::new, "flock", "error=ENOLCK", "", Then::Fine),
            (Target::new, "openat", "error=EMFILE", "", Then::Stops),
            (Target::new, "openat", "error=EACCES", "", Then::Stops),
            (Target::new, "open", "error=EIO", "", Then::Stops),
            (Target::new, "lseek", "error=EINVAL", "", Then::Fine),
            // The answer of a file that is nothing but a hole.
            (Target::new, "lseek", "error=ENXIO", "", Then::Fine),
        ],
    );
}

/// What a sandbox or a file system keeps from a copy that needs nothing of it.
#[test]
fn every_call_that_is_not_needed_is_refused() {
    sweep_all(
        "refused calls that are not needed",
        &[
            (Target::new, "fchmod", "error=EPERM", "+", Then::Fine),
            (Target::with_an_old_file, "fchmod", "error=EACCES", "+", Then::Fine),
            (Target::new, "ftruncate", "error=EPERM", "+", Then::Fine),
            (Target::new, "faccessat2", "error=EPERM", "+", Then::Fine),
            (Target::in_place, "faccessat2", "error=ENOSYS", "+", Then::Fine),
            (Target::new, "renameat2", "error=EPERM", "+", Then::Fine),
            (Target::with_checkpoints, "renameat2", "error=ENOSYS", "+", Then::Fine),
            (Target::new, "flock", "error=EPERM", "+", Then::Fine),
            (Target::new, "fstatfs", "error=EPERM", "+", Then::Fine),
        ],
    );
}

/// The letter of the call that returned in a line of strace's log, if it
/// succeeded. A call during which another thread makes one has two lines:
/// `call(arguments <unfinished ...>` and `<... call resumed>) = result`.
fn step_that_succeeded(line: &str) -> Option<char> {
    if line.contains("<unfinished") || line.contains("= -1") {
        return None;
    }
    let is =
        |call: &str| line.contains(&format!(" {call}(")) || line.contains(&format!("<... {call} "));
    let steps = [
        ("pwrite64", 'w'),
        ("fdatasync", 'd'),
        ("fsync", 's'),
        ("renameat", 'm'),
        ("renameat2", 'n'),
        ("unlink", 'u'),
        ("unlinkat", 'u'),
    ];
    steps.iter().find(|(call, _)| is(call)).map(|&(_, letter)| letter)
}

/// The order that makes the rest true, in the calls themselves: data, map,
/// final data, name, directory, and only then the map is gone.
#[test]
fn data_is_synced_before_the_map_and_before_the_name() {
    if !can_inject() {
        return;
    }
    let log = Target::with_checkpoints().log();
    let order: String = log.lines().filter_map(step_that_succeeded).collect();
    // The worker goes on writing during a checkpoint.
    let of_maps = order.replace('w', "");
    let saves = of_maps.matches("dsms").count();
    assert!(
        saves > 0 && saves == order.matches('m').count(),
        "data, map, name of the map: {order}"
    );
    // One that records nothing may come before: a copy that is slow to begin makes it.
    // Before either, the directory is synced: a map speaks of no file without a name.
    let first = ["dssns", "ssnsdsms"].iter().any(|first| of_maps.starts_with(first));
    assert!(first, "the first map replaces nothing: {order}");
    assert!(order.ends_with("snsus"), "data, name, its directory, map gone, directory: {order}");
    let after_data = order.rfind('w').expect("something was written");
    assert!(order[after_data..].contains("sns"), "{order}");
}

/// The sync of the directory at the end fails, once or from then on: it is not tried again,
/// and if it can be recorded what was copied, a resume ends well.
#[test]
fn a_directory_that_cannot_be_synced_at_the_end_is_not_synced_again() {
    if !can_inject() {
        return;
    }
    for lasting in ["", "+"] {
        // A run that is slow to begin has one map more, with a sync of its own.
        let (target, what, injected) = (0..50)
            .map(|_| {
                let log = Target::new().log();
                let syncs = log.lines().filter(|line| line.contains(" fsync(")).count();
                let (target, what) =
                    (Target::new(), format!("fsync:error=EIO:when={syncs}{lasting}"));
                let injected = target.run(std::slice::from_ref(&what));
                (target, what, injected)
            })
            .find(|(.., injected)| {
                let before = injected.log.lines().take_while(|line| !line.contains("(INJECTED)"));
                let is_named = |line: &str| line.contains("rename") && line.contains("\"copy\"");
                let lines: Vec<&str> = before.collect();
                injected.hit() && lines.iter().any(|line| is_named(line))
            })
            .expect("the last sync fails");
        let failed = injected.log.lines().find(|line| line.contains("(INJECTED)"));
        let call = failed.and_then(|line| line.split_once(" fsync(")).expect(&what).1;
        let descriptor = call.split(')').next().expect("an argument");
        assert!(descriptor.contains('<') && !descriptor.contains("/copy"), "{what}: {call}");
        let again = format!(" fsync({descriptor})");
        let is_again = injected.after_the_fault().any(|line| line.contains(&again));
        assert!(!is_again, "{what}: {again}\n{}", injected.log);
        injected.ended.code(5);
        target.check_names(false, &what);
        // Where no sync works any more, there is no map either, and the copy is complete.
        if lasting.is_empty() {
            target.resume(&what);
        } else {
            assert!(target.scene.read("copy") == target.bytes, "{what}");
        }
    }
}
