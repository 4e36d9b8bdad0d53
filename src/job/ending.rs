//! The end of a copy: what was written is looked at once more, gets its name,
//! and is found under it.

use super::CopyJob;
use super::proof::Ledger;
use super::ready::Ready;
use crate::durable::checkpoint::Checkpointer;
use crate::durable::intact::Written;
use crate::durable::stage::Stage;
use crate::error::Result;
use crate::pool::Transfer;
use crate::progress::CancelToken;

impl CopyJob {
    /// Gives the final name, and looks whether the path that the user gave
    /// leads to what was written.
    pub(super) fn commit(
        &self,
        ready: &mut Ready,
        stage: &mut Stage,
        transfer: &Transfer,
        checkpointer: &Checkpointer,
    ) -> Result<()> {
        if let Err(error) = stage.commit(self.options.sync) {
            ready.keep_complete(transfer, checkpointer, self.options.sync);
            return Err(error);
        }
        if let Err(error) = stage.check_name(ready.to) {
            if ready.report.in_place {
                // Best effort: all of it is there, wherever that is, and there
                // is nothing to resume under this name.
                let _ = checkpointer.conclude(transfer);
            }
            return Err(error);
        }
        if ready.report.failed.is_empty() { checkpointer.conclude(transfer) } else { Ok(()) }
    }
}

impl Ready {
    /// Makes sure, after the last sync, that nobody has made the destination
    /// shorter or longer, and that it has the bytes that were written. What it
    /// lacks is not recorded as done.
    pub fn check_intact(
        &self,
        stage: &Stage,
        ledger: Ledger<'_>,
        cancel: &CancelToken,
    ) -> Result<()> {
        let lost = stage.lost(&self.written(ledger.transfer), cancel)?;
        ledger.invalidate_ranges(&lost, self.report.range)?;
        stage.check_written(&lost)
    }

    fn written<'a>(&'a self, transfer: &'a Transfer) -> Written<'a> {
        let mut holes = self.kept_holes.clone();
        holes.merge(&transfer.holes);
        holes.merge(&self.report.failed_set());
        Written {
            source: &*self.source.io,
            range: self.report.range,
            to: self.to.start(),
            holes,
            made: transfer.made_holes(),
        }
    }
}
