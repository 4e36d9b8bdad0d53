//! An error that ended a job, and what had been done until then.

use std::fmt;

use super::{Error, Refusal};

/// An error that ended a job, with the report of what was done until then.
///
/// `R` is the report of that kind of job.
pub struct Failure<R> {
    error: Error,
    report: Option<Box<R>>,
}

/// The result of a job: its report, or the error with the report until then.
pub type JobResult<R> = std::result::Result<R, Failure<R>>;

impl<R> Failure<R> {
    pub(super) fn new(error: Error, report: R) -> Failure<R> {
        Failure { error, report: Some(Box::new(report)) }
    }

    /// What went wrong.
    pub fn error(&self) -> &Error {
        &self.error
    }

    /// The error without the report.
    pub fn into_error(self) -> Error {
        self.error
    }

    /// The same with a report of another kind, of which there is none.
    pub(crate) fn without_report<S>(self) -> Failure<S> {
        self.error.into()
    }

    /// What had been done when it went wrong, where the job got far enough to know.
    pub fn report(&self) -> Option<&R> {
        self.report.as_deref()
    }
}

/// Everything that can be asked of the error can be asked of the failure.
impl<R> std::ops::Deref for Failure<R> {
    type Target = Error;

    fn deref(&self) -> &Error {
        &self.error
    }
}

/// A job that ended before there was anything to report.
impl<R> From<Error> for Failure<R> {
    fn from(error: Error) -> Failure<R> {
        Failure { error, report: None }
    }
}

impl<R> From<Refusal> for Failure<R> {
    fn from(refusal: Refusal) -> Failure<R> {
        Error::from(refusal).into()
    }
}

/// The error without the report.
impl<R> From<Failure<R>> for Error {
    fn from(failure: Failure<R>) -> Error {
        failure.error
    }
}

impl<R> fmt::Debug for Failure<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.error, f)
    }
}

impl<R> fmt::Display for Failure<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.error, f)
    }
}

impl<R> std::error::Error for Failure<R> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(&self.error)
    }
}
