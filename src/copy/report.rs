//! What a copy did, written down when it is over. Nothing reads the report back.

use super::branch::Branch;
use super::clock::Clock;
use super::moving::Moved;
use super::resolve::Task;
use super::run::outcome;
use crate::endpoint::source_report;
use crate::error::{Error, ErrorKind, Outcome};
use crate::report::{AlsoReport, Mapped, PieceReport, Report};

/// The report of a copy that is planned and not made, of which `compared` was
/// found where both sides were read.
pub fn planned(task: Task<'_>, compared: Option<Moved>) -> Report {
    let mut report = begun(&task);
    (report.outcome, report.dry_run) = (Outcome::Planned, true);
    let is_compared = compared.is_some();
    if let Some(compared) = compared {
        if !compared.failed.is_empty() {
            report.outcome = Outcome::Partial;
        }
        report.bytes.failed = compared.failed_set().bytes();
        report.failed = compared.failed;
    }
    report.notes = task.notes;
    if task.open_ended {
        report
            .notes
            .push("it ends where the source does, which is not known in advance".to_owned());
    }
    report.notes.push("dry run: nothing was written".to_owned());
    report.also = task.branches.into_iter().skip(1).map(also).collect();
    for also in &mut report.also {
        also.outcome = Outcome::Planned;
    }
    if !is_compared {
        // Nothing is known of what is there.
        (report.bytes.written, report.bytes.equal) = (None, None);
        for also in &mut report.also {
            (also.written, also.equal) = (None, None);
        }
    }
    report
}

/// The report of a copy that is over.
pub fn assemble(task: Task<'_>, moved: Moved, clock: &Clock) -> Report {
    let mut report = begun(&task);
    report.outcome = outcome(&moved);
    report.bytes.copied = moved.copied;
    report.bytes.holes += moved.holes;
    report.bytes.failed = moved.failed_set().bytes();
    if let Some(engine) = moved.engine.filter(|engine| *engine != report.engine) {
        if moved.fallbacks.is_empty() {
            report.engine_reason = format!("it copied faster here than {}", report.engine);
        }
        report.engine = engine;
    }
    report.io_size = moved.request.unwrap_or(report.io_size);
    if moved.threads > 0 {
        report.threads = moved.threads;
    }
    report.failed = moved.failed;
    report.fallbacks = moved.fallbacks;
    report.digests = moved.digests;
    report.pieces = moved.pieces.into_iter().map(PieceReport::from).collect();
    report.notes = task.notes;
    report.notes.extend(moved.notes);
    report.notes.extend(task.branches.iter().filter_map(|branch| branch.left.clone()));
    report.remedies = moved.remedies;
    report.resumable = task.branches.iter().any(|branch| branch.resumable);
    let branches: Vec<Branch> = task.branches.into_iter().map(Branch::over).collect();
    let complete = branches.iter().filter(|branch| branch.outcome == Outcome::Complete);
    report.complete = complete.map(|branch| branch.report.path.clone()).collect();
    let mut branches = branches.into_iter();
    if let Some(first) = branches.next() {
        report.verified = first.verified;
        report.verified_by = first.verified_by;
        report.durable = first.durable;
        report.mismatches = first.mismatches;
    }
    report.also = branches.map(also).collect();
    clock.read(&mut report);
    report
}

/// What is known of a copy before its first byte.
fn begun(task: &Task<'_>) -> Report {
    let mut report = Report::new(source_report(&*task.origin), task.branches[0].report.clone());
    let range = task.mapping.from();
    report.range = if task.open_ended { range.split_at(range.start()).0 } else { range };
    report.dest_offset = task.mapping.to().start();
    report.clamped = task.clamped;
    report.in_place = task.branches.iter().any(|branch| branch.abilities.in_place);
    report.bytes.requested = task.requested;
    report.bytes.holes = task.kept_holes.common(&task.wanted).bytes();
    report.mapped = task.options.only.is_some().then(|| Mapped::of(&task.wanted));
    report.bytes.resumed = task.resumed;
    (report.bytes.written, report.bytes.equal) = task.branches[0].counts();
    report.engine = task.selection.name();
    report.engine_reason.clone_from(&task.selection.reason);
    report.threads = task.workers.most();
    (report.stripe_size, report.io_size) = (task.stripe_size, task.io_size);
    report
}

fn also(branch: Branch) -> AlsoReport {
    let (written, equal) = branch.counts();
    AlsoReport {
        written,
        equal,
        destination: branch.report,
        outcome: branch.outcome,
        verified: branch.verified,
        verified_by: branch.verified_by,
        mismatches: branch.mismatches,
        durable: branch.durable,
        error: branch.said,
        error_kind: branch.word,
    }
}

impl Branch {
    /// The same, with what its error says of it.
    fn over(mut self) -> Branch {
        if let Some(error) = self.error.take() {
            self.note(&error);
        }
        self
    }

    /// Takes its error, as that of the whole copy.
    pub fn take_error(&mut self) -> Option<Error> {
        let error = self.error.take()?;
        self.note(&error);
        Some(match error.outcome() {
            Outcome::Refused => ErrorKind::LeftOut { refusal: error }.into(),
            _ => error,
        })
    }

    fn note(&mut self, error: &Error) {
        self.outcome = as_failure(error);
        self.said = Some(error.chain());
        self.word = Some(error.word());
    }
}

/// When others have been written, nobody can say that nothing was.
fn as_failure(error: &Error) -> Outcome {
    match error.outcome() {
        Outcome::Refused => Outcome::Failed,
        outcome => outcome,
    }
}
