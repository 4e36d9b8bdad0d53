//! The folders that a batch writes to. Each gets every file from the same read. One
//! that fails as a whole, because it is full or a sync of it failed, is left out, and
//! the others become complete; the only one ends the batch.

use std::io;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use super::commit::{GROUP, GROUP_BYTES};
use super::once::Once;
use super::output::Output;
use super::outputs::{Outputs, storage_error};
use super::report::BatchReport;
use super::tree::Branches;
use super::why::Why;
use crate::endpoint::Origin;
use crate::error::{Error, ErrorKind, Outcome, Result};
use crate::progress::lock;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicU64, Ordering};

/// Outputs without a name that wait for their commit, at most. None of them is synced, and
/// the kernel finds in the caches of the processor what it needs to name them.
const GROUP_UNNAMED: usize = 16;

/// One of the folders.
pub struct Root {
    pub outputs: Arc<Outputs>,
    /// Outputs that wait for their commit, and their bytes.
    waiting: Mutex<Vec<Arc<Output>>>,
    waiting_bytes: AtomicU64,
    /// Outputs whose items were reported.
    reported: Vec<Once>,
    /// Why it is left out, in words.
    lost: OnceLock<Why>,
    /// The same, until it is the error of the batch.
    error: Mutex<Option<Error>>,
}

impl Root {
    pub fn new(outputs: Outputs) -> Root {
        Root {
            waiting: Mutex::default(),
            waiting_bytes: AtomicU64::new(0),
            reported: (0..outputs.len()).map(|_| Once::default()).collect(),
            lost: OnceLock::new(),
            error: Mutex::default(),
            outputs: Arc::new(outputs),
        }
    }

    /// Whether it is left out.
    pub fn is_lost(&self) -> bool {
        self.lost.get().is_some()
    }

    /// Whether nobody has reported the items of this output before.
    pub fn first_report(&self, output: u32) -> bool {
        self.reported[output as usize].first()
    }

    /// Has `output` wait for its commit; returns a group of them that is to be
    /// committed now.
    pub fn wait(&self, output: Arc<Output>) -> Option<Vec<Arc<Output>>> {
        let bytes = output.wanted.len;
        let mut waiting = lock(&self.waiting);
        waiting.push(output);
        let sum = self.waiting_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let most = if self.outputs.have_unnamed() { GROUP_UNNAMED } else { GROUP };
        if waiting.len() < most && sum < GROUP_BYTES {
            return None;
        }
        self.waiting_bytes.store(0, Ordering::Relaxed);
        Some(std::mem::take(&mut *waiting))
    }

    /// All that wait, taken out.
    pub fn take_waiting(&self) -> Vec<Arc<Output>> {
        std::mem::take(&mut *lock(&self.waiting))
    }
}

/// All folders of a batch: at least one.
pub struct Roots(Vec<Root>);

impl Roots {
    pub fn new(roots: Vec<Root>) -> Roots {
        Roots(roots)
    }

    /// Whether there is one, which ends the batch if it fails.
    pub fn is_alone(&self) -> bool {
        self.0.len() == 1
    }

    /// The folder that `output` is in.
    pub fn of(&self, output: &Output) -> &Root {
        &self.0[output.root]
    }

    /// Keeps the source of `output` open: it is asked once more when that is committed.
    pub fn keep(&self, output: &Output, source: &Arc<dyn Origin>) {
        self.of(output).outputs.keep(output, source);
    }

    /// Folder `number`.
    pub fn get(&self, number: usize) -> &Root {
        &self.0[number]
    }

    /// All of them, also those that are left out.
    pub fn all(&self) -> impl Iterator<Item = (usize, &Root)> {
        self.0.iter().enumerate()
    }

    /// The first of them, for what is said of all.
    pub fn first(&self) -> &Root {
        &self.0[0]
    }

    /// Those that need `output`.
    pub fn that_need(&self, output: u32) -> impl Iterator<Item = (usize, &Root)> {
        self.all().filter(move |(_, root)| !root.is_lost() && !root.outputs.wanted(output).complete)
    }

    /// Leaves folder `number` out because of `error`.
    ///
    /// # Errors
    ///
    /// `error`, if no other folder is left.
    pub fn lose(&self, number: usize, error: Error) -> Result<()> {
        if self.is_alone() {
            return Err(error);
        }
        let root = &self.0[number];
        if root.lost.set(Why::from(&error)).is_ok() {
            *lock(&root.error) = Some(error);
        }
        match self.0.iter().all(Root::is_lost) {
            true => Err(self.take_error().unwrap_or_else(|| self.none_left())),
            false => Ok(()),
        }
    }

    /// Makes the folders below each folder that is not left out.
    pub fn begin(&self, branches: &[Branches<'_, '_>]) {
        let left = self.all().zip(branches).filter(|((_, root), _)| !root.is_lost());
        left.for_each(|(_, branches)| branches.begin());
    }

    /// Makes what else there is besides files in each folder that is not left out.
    ///
    /// # Errors
    ///
    /// See [`lose`](Roots::lose).
    pub fn finish(&self, branches: &[Branches<'_, '_>]) -> Result<()> {
        let left = self.all().zip(branches).filter(|((_, root), _)| !root.is_lost());
        left.map(|((number, _), branches)| (number, branches.end()))
            .try_for_each(|(number, ended)| ended.or_else(|error| self.lose(number, error)))
    }

    /// Why the first of those that were left out was.
    pub fn take_error(&self) -> Option<Error> {
        let error = self.0.iter().find_map(|root| lock(&root.error).take())?;
        Some(match error.outcome() {
            Outcome::Refused => ErrorKind::LeftOut { refusal: error }.into(),
            _ => error,
        })
    }

    fn none_left(&self) -> Error {
        let path = self.0[0].outputs.path(Path::new(""));
        storage_error(path, io::Error::other("every folder has failed"))
    }

    /// Has `report` say what files could not be given, and which of several folders
    /// were left out. A batch that `ended` early has synced none for certain.
    pub fn record(&self, report: &mut BatchReport, ended: bool) {
        for note in self.0.iter().flat_map(|root| root.outputs.refused.notes()) {
            if !report.notes.contains(&note) {
                report.notes.push(note);
            }
        }
        for (root, folder) in self.0.iter().zip(&mut report.folders) {
            folder.durable &= !ended;
            if let Some(said) = root.lost.get() {
                folder.outcome = Outcome::Failed;
                folder.durable = false;
                (folder.error, folder.error_kind) = (Some(said.text.clone()), Some(said.word));
            }
        }
    }
}
