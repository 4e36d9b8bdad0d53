//! What verification has found to be wrong is never taken for done again,
//! whatever goes wrong between finding it and repairing it.

use crate::common::assert_same;
use crate::inject::{Target, can_inject};

/// A write reports success without having been done: that of the second stripe.
const LIE: &str = "pwrite64:retval=65536:when=2";

/// So do those of the first two stripes, also when they are written again.
const LIES: &str = "pwrite64:retval=65536:when=1..2";

/// Options of a run that verifies; the run that resumes goes without them, and
/// so has to rely on the map.
const REPAIR: &str = " --verify --repair --retries 0 --json";

/// A lying kernel, and besides every one of `calls` that fails, one run for
/// each. Once a run has come to verifying, what it leaves is resumed, without
/// verifying, to the right bytes.
fn sweep(target: fn() -> Target, lie: &str, calls: &str, fault: &str) {
    let mut verified = 0;
    for k in 1.. {
        assert!(k < 200, "{calls}: no end");
        let mut target = target();
        // What is repaired is written in one request then: it is not the second
        // of its thread, and so no lie.
        target.options = target.options.replace("--limit-rate 1MiB", "--limit-rate 2MiB");
        target.options += REPAIR;
        let inject = format!("{calls}:{fault}").replace('K', &k.to_string());
        let what = format!("{lie} {inject}");
        let injected = target.run(&[lie.to_owned(), inject]);
        let other = |line: &&str| line.contains("(INJECTED)") && !line.contains("pwrite64");
        if injected.log.lines().filter(other).count() == 0 {
            // Undisturbed, it is repaired, or found not to be.
            let repaired = lie == LIE;
            injected.ended.code(if repaired { 0 } else { 4 });
            assert_eq!(target.scene.has("copy"), repaired, "{what}");
            break;
        }
        let report = injected.ended.report();
        let reached = report["seconds"]["verify"].as_f64() > Some(0.0);
        if injected.ended.status.code() == Some(0) {
            assert_same(&target.scene.read("copy"), &target.bytes, &what);
        } else if reached && target.scene.names() != ["copy", "source"] {
            verified += 1;
            target.options = target.options.replace(REPAIR, "");
            target.resume(&what);
        }
    }
    assert!(verified > 0, "{calls}: none met the verification");
}

#[test]
fn reads_that_fail_while_a_copy_is_repaired_leave_nothing_wrong_called_done() {
    if can_inject() {
        sweep(Target::new, LIE, "pread64", "error=EIO:when=K+");
        sweep(Target::with_checkpoints, LIE, "pread64", "error=EIO:when=K+");
    }
}

/// After a sync that failed no new map is made: the one on the disk must not
/// call done what was found to be wrong.
#[test]
fn syncs_that_fail_while_a_copy_is_repaired_leave_nothing_wrong_called_done() {
    if can_inject() {
        sweep(Target::new, LIES, "fsync", "error=EIO:when=K");
        sweep(Target::with_checkpoints, LIES, "fsync", "error=EIO:when=K");
    }
}
