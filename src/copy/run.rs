//! A copy from the request to the report, in one page.

use super::branch::Branch;
use super::clock::Clock;
use super::moving::{Moved, Sent};
use super::report::{assemble, planned};
use super::resolve::{Purpose, Request, Task, resolve};
use crate::digest;
use crate::error::{ErrorKind, JobResult, Result};
use crate::progress::{Phase, Watch};
use crate::report::{Outcome, Report};

/// Copies. Returns when every destination is complete, visible and durable, or
/// complete but for what could not be read.
///
/// # Errors
///
/// Everything else, with the report of what was done where there is one.
pub fn run(request: Request<'_>, watch: Watch<'_>) -> JobResult<Report> {
    let mut task = resolve(request, Purpose::Copy, watch)?;
    task.announce(watch.progress);
    let (mut moved, mut clock) = (Moved::default(), Clock::start());
    let copied = copy(&mut task, &mut moved, &mut clock, watch);
    watch.progress.enter(Phase::Finished);
    let result = match copied {
        Ok(()) => task.first_error().map_or(Ok(()), Err),
        // Each of several destinations says for itself why it failed.
        Err(error) => Err(match error.kind() {
            ErrorKind::Write { .. } if !task.is_alone() => task.first_error().unwrap_or(error),
            _ => error,
        }),
    };
    let mut report = assemble(task, moved, &clock);
    match result {
        Ok(()) => Ok(report),
        Err(error) => {
            report.outcome = error.outcome();
            report.fail(&error);
            Err(error.with_report(report))
        }
    }
}

/// Does everything that `run` does before the first byte, and nothing else. Where
/// only what differs would be written, finds out how much that is.
///
/// # Errors
///
/// Whatever would make `run` refuse.
pub fn dry_run(request: Request<'_>, watch: Watch<'_>) -> JobResult<Report> {
    let task = resolve(request, Purpose::Plan, watch)?;
    let compared = task.compare_only(watch).transpose()?;
    watch.progress.enter(Phase::Finished);
    Ok(planned(task, compared))
}

/// Begins, moves, proves, commits. Whatever stops it leaves a state to resume
/// from, where a destination has one.
fn copy(task: &mut Task<'_>, moved: &mut Moved, clock: &mut Clock, watch: Watch<'_>) -> Result<()> {
    task.begin(watch)?;
    let sent = task.send(moved, watch.progress)?;
    if let Err(error) = complete(task, &sent, moved, clock, watch) {
        task.keep(&sent, moved, &error);
        return Err(error);
    }
    task.commit(&sent, moved)?;
    task.origin.was_copied(task.mapping.from());
    clock.finished();
    Ok(())
}

/// Everything between the first byte and the commit.
fn complete(
    task: &mut Task<'_>,
    sent: &Sent,
    moved: &mut Moved,
    clock: &mut Clock,
    watch: Watch<'_>,
) -> Result<()> {
    let result = task.move_bytes(sent, moved, watch);
    clock.copied();
    result?;
    let change = task.check_source(moved)?;
    moved.take_digests(&sent.transfer, !task.digests.is_empty());

    watch.progress.enter(Phase::Syncing);
    task.settle(sent, moved)?;
    clock.synced();
    task.prove_source(change, sent, moved, watch)?;
    if task.options.verifies() {
        watch.progress.enter(Phase::Verifying);
        let taken = sent.transfer.observers().take_fingerprints();
        let verified = task
            .verify(sent, &taken, moved, watch)
            .and_then(|()| task.check_source_again(sent, &taken, moved, watch));
        clock.verified();
        verified?;
    }
    digest::check(&moved.digests, &task.options.expected)?;
    digest::check_stated(&moved.digests, &task.stated)?;
    task.write_deferred(sent, moved)?;
    if task.options.preserve {
        task.preserve(moved)?;
    }
    task.check_intact(sent, moved, watch.cancel)?;
    task.record_missing(sent, moved)?;
    match task.branches.iter().any(Branch::is_alive) {
        true => Ok(()),
        false => Err(task.first_error().unwrap_or_else(|| ErrorKind::Cancelled.into())),
    }
}

/// How a copy ended that came to its end.
pub(super) fn outcome(moved: &Moved) -> Outcome {
    if moved.failed.is_empty() { Outcome::Complete } else { Outcome::Partial }
}
