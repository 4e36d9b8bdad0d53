//! How many workers a batch gets; and outputs for the tests of other files.

#[cfg(pcopy_model)]
mod schedules;

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Barrier, OnceLock};
use std::time::Duration;

use crate::ByteRange;
use crate::batch::Batch;
use crate::batch::handles::Handles;
use crate::batch::output::Output;
use crate::batch::outputs::{self, OpenFolder, Outputs, Previous};
use crate::batch::plan::BatchPlan;
use crate::batch::preflight::open_root;
use crate::batch::queue::{LARGEST_GAP, Together};
use crate::batch::wanted::Wanted;
use crate::durable::trust::Trust;
use crate::manifest::{Item, Runs};
use crate::pool::controller::{Controller, Workers};
use crate::sys::{self, Directory, Replace};

const TOGETHER: Together = Together { request: 1 << 20, gap: LARGEST_GAP };

/// For a hundred files of a MiB each.
fn controller(workers: Workers) -> Controller {
    let item = |n: u64| Item {
        line: n,
        name: std::path::Path::new(&n.to_string()).into(),
        source: None,
        runs: Runs::One(ByteRange::with_len(n << 20, 1 << 20).unwrap()),
        dest_offset: 0,
        details: None,
    };
    let items: Vec<Item> = (0..100).map(item).collect();
    let (plan, _) =
        BatchPlan::new(&items, |_, _| (0, 1 << 30), |_| false, |_| None, 1, TOGETHER).unwrap();
    let batch = Batch::new(items, "out");
    let batch =
        if let Workers::Exactly(threads) = workers { batch.threads(threads) } else { batch };
    batch.controller(&plan, workers)
}

/// The workers of `controller` on storage that answers each of them at the
/// same speed, however many they are.
fn on_patient_storage(mut controller: Controller) -> usize {
    let mut copied = 0;
    let mut most = 0;
    for tick in 0..200 {
        copied += controller.threads() as u64 * (8 << 20);
        controller.sample(Duration::from_millis(tick * 50), copied);
        most = most.max(controller.threads());
    }
    most
}

#[test]
fn auto_takes_as_many_workers_as_the_storage_rewards() {
    assert!(on_patient_storage(controller(Workers::auto())) > 16);
    assert_eq!(on_patient_storage(controller(Workers::UpTo(3))), 3);
    for threads in [1, 3, 64] {
        assert_eq!(on_patient_storage(controller(Workers::Exactly(threads))), threads);
    }
}

/// Many runs of one job begin at once, and one of them makes the directory.
#[test]
fn a_directory_that_another_run_has_just_made_is_taken() {
    if sys::WINDOWS_NAMES {
        // Wine lets nobody open a directory at the same time as somebody else does.
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for round in 0..200 {
        let path = folder.path().join(round.to_string());
        let makers = AtomicUsize::new(0);
        let (path, makers, start) = (&path, &makers, &Barrier::new(4));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(move || {
                    let made = OnceLock::new();
                    start.wait();
                    open_root(path, true, &made).expect("it is there, or is made");
                    makers.fetch_add(usize::from(made.get().is_some()), SeqCst);
                });
            }
        });
        assert_eq!(makers.load(SeqCst), 1, "one of them would remove it again");
    }
}

/// Outputs of three bytes with these names. No more than `open` of them stay open.
pub(super) fn outputs(
    folder: &Path,
    names: &[impl AsRef<Path>],
    open: usize,
    replace: Replace,
) -> Outputs {
    outputs_of(folder, names.iter().map(|name| wanted(name.as_ref(), replace)).collect(), open)
}

/// A file of three bytes.
pub(super) fn wanted(name: &Path, replace: Replace) -> Wanted {
    Wanted { len: 3, segments: 1, bytes: 3, replace, ..Wanted::of(name.into()) }
}

/// Outputs, of which no more than `open` stay open.
pub(super) fn outputs_of(folder: &Path, wanted: Vec<Wanted>, open: usize) -> Outputs {
    let handles = Handles { threads: 1, files: open, directories: 1, sources: 1 };
    let (directory, path) = (Directory::open(folder).unwrap(), folder.to_owned());
    Outputs::new(
        OpenFolder { number: 0, directory, path },
        wanted,
        Previous { discard: true, resume: true, trust: Trust::Own },
        handles,
        false,
    )
}

/// Writes `text` from the start of an output.
pub(super) fn write(outputs: &Outputs, output: &Arc<Output>, text: &[u8]) {
    outputs::write(outputs, output, 0, text).unwrap();
}
