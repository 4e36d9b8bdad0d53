//! The end of a copy: made durable, looked at once more, given its name, and
//! found under it. The order of these steps is here and nowhere else.
//!
//! A checkpoint is true before any of them (invariant I3), a name is given after
//! all of them (I4), and an error of a sync or of a record ends the destination
//! (I9).

use super::branch::Branch;
use super::moving::{Moved, Sent};
use super::resolve::Task;
use crate::durable::intact::Written;
use crate::durable::stage;
use crate::error::{Error, ErrorKind, Outcome, Remedy, Result, SourceChange};
use crate::pool::Transfer;
use crate::progress::CancelToken;
use crate::range::RangeSet;

impl Task<'_> {
    /// What becomes of a step of destination `number`: the error of the only one
    /// is that of the copy, and so are a wish to stop and an error of the source;
    /// another destination is left out.
    ///
    /// # Errors
    ///
    /// Those two.
    pub fn settle_result(&mut self, number: usize, result: Result<()>) -> Result<()> {
        match result {
            Ok(()) => Ok(()),
            Err(error) if self.is_alone() || is_of_all(&error) => Err(error),
            Err(error) => {
                let branch = &mut self.branches[number];
                match error.kind() {
                    // What has its name is complete, whatever comes after that.
                    _ if branch.named => branch.leave(error),
                    ErrorKind::NotNamed { .. } => branch.leave(error),
                    _ => branch.fail(error),
                }
                Ok(())
            }
        }
    }

    /// Does `step` for every destination that is written.
    fn each(&mut self, mut step: impl FnMut(&Self, &Branch) -> Result<()>) -> Result<()> {
        for number in 0..self.branches.len() {
            if self.branches[number].draft.is_some() {
                let result = step(self, &self.branches[number]);
                self.settle_result(number, result)?;
            }
        }
        Ok(())
    }

    /// Makes durable what has been written, unless the user does not want that.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Sync`] among others.
    pub fn settle(&mut self, sent: &Sent, moved: &mut Moved) -> Result<()> {
        // A new file has at most the rights of the source, unless it gets all of them.
        let range = self.mapping.from();
        let rights = match (self.options.preserve, self.origin.file()) {
            (true, _) => None,
            (false, Some(source)) => Some(stage::rights(source, range)),
            (false, None) => Some(crate::preserve::OF_ANY_FILE),
        };
        let mut missing = Vec::new();
        self.each(|task, branch| {
            let Some(draft) = &branch.draft else { return Ok(()) };
            missing.extend(draft.settle(rights)?);
            if task.options.sync { draft.sync() } else { Ok(()) }
        })?;
        moved.take_notes(missing);
        let transfer = &sent.transfer;
        match self.is_ordered() {
            true => transfer.page_cache.finish_reading(&*transfer.source),
            false => transfer.page_cache.finish(&*transfer.source, &*transfer.sink),
        }
        Ok(())
    }

    /// Carries over what the source has besides its content. Reading back changes
    /// the time of access, so this comes after it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Sync`].
    pub fn preserve(&mut self, moved: &mut Moved) -> Result<()> {
        let mut lost = Vec::new();
        self.each(|task, branch| {
            if let (Some(draft), Some(source)) = (&branch.draft, task.origin.file()) {
                lost.extend(draft.preserve(source, task.options.sync)?);
            }
            Ok(())
        })?;
        moved.take_notes(lost);
        Ok(())
    }

    /// Makes sure, after the last sync, that every destination still has the
    /// bytes that were written. What it lacks is not recorded as done.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::DestinationChanged`] among others.
    pub fn check_intact(&mut self, sent: &Sent, moved: &Moved, cancel: &CancelToken) -> Result<()> {
        let (source, mapping) = (self.origin.source(), self.mapping);
        let mut holes = self.kept_holes.clone();
        holes.merge(&sent.transfer.holes);
        holes.merge(&moved.failed_set());
        self.each(|_, branch| {
            let Some(draft) = &branch.draft else { return Ok(()) };
            let written = Written {
                source: &*source,
                range: mapping.from(),
                to: mapping.to().start(),
                holes: holes.clone(),
                zeros: branch.left_zeros(mapping),
                made: sent.transfer.made_holes(),
            };
            let lost: RangeSet = draft.lost(&written, cancel)?;
            branch.invalidate(&sent.transfer, &lost)?;
            draft.check_written(&lost)
        })
    }

    /// Has the maps say what could not be read, to a later run or to ddrescue.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Journal`] among others.
    pub fn record_missing(&mut self, sent: &Sent, moved: &Moved) -> Result<()> {
        if moved.failed.is_empty() {
            return Ok(());
        }
        let failed = moved.failed_set();
        // What is complete once and for all takes nothing more.
        let lacks = |branch: &Branch| !branch.abilities.sealed && !branch.lacks(&failed).is_empty();
        self.each(|_, branch| match branch.checkpointer.as_ref().filter(|_| lacks(branch)) {
            Some(checkpointer) => checkpointer.save(&branch.ledger(&sent.transfer, None)),
            None => Ok(()),
        })?;
        for branch in self.branches.iter_mut().filter(|branch| branch.checkpointer.is_some()) {
            branch.resumable = lacks(branch);
        }
        Ok(())
    }

    /// Gives every destination its name, and looks whether the path that the user
    /// gave leads to what was written.
    ///
    /// # Errors
    ///
    /// Of the only destination.
    pub fn commit(&mut self, sent: &Sent, moved: &mut Moved) -> Result<()> {
        for number in 0..self.branches.len() {
            if self.branches[number].draft.is_none() {
                continue;
            }
            let result = self.commit_one(number, &sent.transfer, moved);
            if result.is_ok() {
                let branch = &mut self.branches[number];
                let is_durable = branch.draft.as_ref().is_some_and(|draft| draft.is_durable());
                let outcome = match branch.lacks(&moved.failed_set()).is_empty() {
                    true => Outcome::Complete,
                    false => Outcome::Partial,
                };
                (branch.outcome, branch.durable) = (outcome, self.options.sync && is_durable);
            }
            self.settle_result(number, result)?;
        }
        Ok(())
    }

    fn commit_one(&mut self, number: usize, transfer: &Transfer, moved: &mut Moved) -> Result<()> {
        let (sync, to, alone) = (self.options.sync, self.mapping.to(), self.is_alone());
        let branch = &mut self.branches[number];
        let Some(draft) = &mut branch.draft else { return Ok(()) };
        if let Err(error) = draft.commit(sync) {
            if alone || matches!(error.kind(), ErrorKind::NotNamed { .. }) {
                branch.keep_complete(transfer, sync, moved);
            }
            return Err(error);
        }
        branch.named = true;
        moved.take_notes(draft.notes(to));
        let found = draft.check_name(to);
        let in_place = branch.abilities.in_place;
        let Some(checkpointer) = &branch.checkpointer else { return found };
        let ledger = branch.ledger(transfer, None);
        if let Err(error) = found {
            if in_place {
                // Best effort: all of it is there, wherever that is, and there
                // is nothing to resume under this name.
                let _ = checkpointer.conclude(&ledger);
            }
            return Err(error);
        }
        match branch.abilities.sealed || branch.lacks(&moved.failed_set()).is_empty() {
            true => checkpointer.conclude(&ledger),
            false => Ok(()),
        }
    }

    /// Leaves a state to resume from after `error`. What several destinations
    /// hold that is not what was expected is of no use to any.
    pub fn keep(&mut self, sent: &Sent, moved: &mut Moved, error: &Error) {
        if !self.is_alone() && error.outcome() == Outcome::Mismatch {
            self.branches.iter_mut().for_each(Branch::discard_wrong);
            return;
        }
        if self.reads_once() {
            return self.keep_arrived(sent, moved);
        }
        for number in 0..self.branches.len() {
            self.branches[number].discard_useless(error);
            let branch = &self.branches[number];
            let Some(checkpointer) = branch.checkpointer.as_ref().filter(|_| branch.is_alive())
            else {
                continue;
            };
            moved.take_notes(branch.draft.iter().filter_map(|draft| draft.left_open()).collect());
            let ledger = branch.ledger(&sent.transfer, sent.member(number));
            let kept = checkpointer.keep(&ledger, error);
            let has_saved = checkpointer.has_saved();
            note_unrecorded(kept, moved);
            if !has_saved {
                continue;
            }
            let note = self.why_not_resumable(error);
            self.branches[number].resumable = note.is_none();
            if let Some((note, remedies)) = note {
                moved.take_notes(vec![note.to_owned()]);
                moved.remedies = remedies.to_vec();
            }
        }
    }

    /// Why a later run may not resume from here after `error`, and what helps.
    fn why_not_resumable(&self, error: &Error) -> Option<(&'static str, &'static [Remedy])> {
        const REMEDIES: &[Remedy] = &[Remedy::Restart, Remedy::AllowChangedSource];
        match error.kind() {
            // What is gone cannot be asked; a later run asks when it is back.
            ErrorKind::SourceGone { .. } => None,
            ErrorKind::SourceChanged { change: SourceChange::Content { .. }, .. } => {
                Some(("the source is not what it was when it was copied so far", REMEDIES))
            }
            _ if self.map_is_true() => None,
            _ => Some((
                "the source was written to: a resume goes on only if the bytes that were copied \
                 are still the same",
                REMEDIES,
            )),
        }
    }

    /// The error that a copy to several destinations ends in: a failure rather
    /// than a mismatch.
    pub fn first_error(&mut self) -> Option<Error> {
        let is_mismatch = |error: &Error| error.outcome() == Outcome::Mismatch;
        let failed = |b: &Branch| b.error.as_ref().is_some_and(|error| !is_mismatch(error));
        let first = self.branches.iter().position(failed);
        let first = first.or_else(|| self.branches.iter().position(|b| b.error.is_some()))?;
        self.branches[first].take_error()
    }
}

impl Branch {
    /// Takes back what nobody can see, and nobody will resume after `error`.
    fn discard_useless(&mut self, error: &Error) {
        let is_wrong = error.outcome() == Outcome::Mismatch;
        if self.abilities.sealed && (is_wrong || self.checkpointer.is_none()) {
            self.discard();
        }
    }

    /// Leaves a state to resume from when all was there but for the name. The
    /// data was synced, unless the user did not want that: only the directory
    /// may have failed to be.
    fn keep_complete(&mut self, transfer: &Transfer, synced: bool, moved: &mut Moved) {
        moved.take_notes(self.draft.iter().filter_map(|draft| draft.left_open()).collect());
        let Some(checkpointer) = &self.checkpointer else { return };
        let ledger = self.ledger(transfer, None);
        let saved =
            if synced { checkpointer.save_synced(&ledger) } else { checkpointer.save(&ledger) };
        let has_saved = checkpointer.has_saved();
        note_unrecorded(saved, moved);
        self.resumable = has_saved;
    }
}

/// Whether an error is none of a destination: the wish to stop, or the source.
pub fn is_of_all(error: &Error) -> bool {
    use ErrorKind::{Cancelled, Read, SourceChanged, SourceGone, SourceShrank, StreamEnded};
    matches!(
        error.kind(),
        Cancelled
            | Read { .. }
            | SourceChanged { .. }
            | SourceGone { .. }
            | SourceShrank { .. }
            | StreamEnded { .. }
    )
}

fn note_unrecorded(saved: Result<()>, moved: &mut Moved) {
    if let Err(error) = saved {
        let why = error.chain();
        moved.notes.push(format!("what was copied could not be recorded: {why}"));
    }
}
