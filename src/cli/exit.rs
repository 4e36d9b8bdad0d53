//! Exit codes: a contract with scripts, table in the README.

use std::process::ExitCode;

use pcopy::{Error, ErrorKind, JobResult, Outcome, Report};

/// How the process ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Exit {
    /// Everything asked for was done.
    Success,
    /// Some source ranges could not be read; everything else is copied.
    Partial,
    /// The command line makes no sense.
    Usage,
    /// A check said no; nothing was written.
    Refused,
    /// Verification or an expected digest does not match.
    Mismatch,
    /// The job stopped.
    Failed,
    /// A job of several processes is not complete.
    Incomplete,
    /// Stopped by a signal; the process dies by it where it can.
    Interrupted,
}

impl Exit {
    /// The exit code of a result.
    pub fn of(result: &JobResult<Report>) -> Exit {
        match result {
            Ok(report) => Exit::from(report.outcome),
            Err(error) => Exit::of_error(error),
        }
    }

    /// The exit code of an error.
    pub fn of_error(error: &Error) -> Exit {
        match error.kind() {
            ErrorKind::Usage { .. } | ErrorKind::BadList { .. } => Exit::Usage,
            _ => Exit::from(error.outcome()),
        }
    }

    /// The number a shell sees.
    pub fn code(self) -> u8 {
        match self {
            Exit::Success => 0,
            Exit::Partial => 1,
            Exit::Usage => 2,
            Exit::Refused => 3,
            Exit::Mismatch => 4,
            Exit::Failed => 5,
            Exit::Incomplete => 75,
            Exit::Interrupted => 130,
        }
    }
}

/// Whether the reader of what was written has closed the pipe.
pub fn is_closed_pipe(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Write { source, .. } if source.kind() == std::io::ErrorKind::BrokenPipe
    )
}

impl From<Outcome> for Exit {
    fn from(outcome: Outcome) -> Exit {
        match outcome {
            Outcome::Complete | Outcome::Planned => Exit::Success,
            Outcome::Partial => Exit::Partial,
            Outcome::Refused => Exit::Refused,
            Outcome::Mismatch => Exit::Mismatch,
            Outcome::Interrupted => Exit::Interrupted,
            // `Failed`, and what this program does not know.
            _ => Exit::Failed,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_has_a_code_and_only_success_is_zero() {
        let outcomes = [
            (Outcome::Complete, 0),
            (Outcome::Planned, 0),
            (Outcome::Partial, 1),
            (Outcome::Refused, 3),
            (Outcome::Mismatch, 4),
            (Outcome::Failed, 5),
            (Outcome::Interrupted, 130),
        ];
        for (outcome, code) in outcomes {
            assert_eq!(Exit::from(outcome).code(), code);
        }
        assert_eq!(Exit::Usage.code(), 2);
    }
}
