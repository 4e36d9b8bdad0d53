//! Errors of a manifest: many at once, each with its line, and whether the
//! list is malformed (usage) or well-formed and refused.

use std::collections::BTreeSet;
use std::fmt;

use super::bounds::LONGEST_MESSAGE;
use crate::error::{Fault, escaped};

/// How many errors are kept; the rest is counted.
const KEPT: usize = 1000;
/// How many errors are printed before the count of the rest.
const PRINTED: usize = 20;

/// What a caller can do about an error.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ErrorKind {
    /// The text is wrong: correct the manifest.
    Usage,
    /// The text is understood, and what it asks for is refused.
    Refused,
}

/// One error of one line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ManifestError {
    /// Line of the manifest, from 1; 0 if no line is to blame.
    pub line: u64,
    /// Malformed or refused.
    pub kind: ErrorKind,
    /// What is wrong, without the line.
    pub message: Box<str>,
    /// What kind of fault it is.
    pub fault: Fault,
}

impl ManifestError {
    /// An error of `line`. The message may quote what stands there.
    pub(crate) fn new(line: u64, kind: ErrorKind, message: &str) -> ManifestError {
        let mut message = escaped(message);
        if message.len() > LONGEST_MESSAGE {
            let is_end = |at: &usize| message.is_char_boundary(*at);
            let end = (0..=LONGEST_MESSAGE).rev().find(is_end).unwrap_or(0);
            message.to_mut().truncate(end);
            message.to_mut().push_str("...");
        }
        ManifestError { line, kind, message: message.into(), fault: Fault::Other }
    }

    /// The same, of a kind of fault.
    pub(crate) fn of(self, fault: Fault) -> ManifestError {
        ManifestError { fault, ..self }
    }
}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(f, "line {}: ", self.line)?;
        }
        f.write_str(&self.message)
    }
}

/// All errors of a manifest, in order of lines. Printed, it is the first
/// twenty and the number of the others.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ManifestErrors {
    errors: Vec<ManifestError>,
    /// Errors counted and not kept.
    dropped: u64,
    /// Whether one of all errors, kept or not, is of usage.
    usage: bool,
}

impl std::error::Error for ManifestErrors {}

impl ManifestErrors {
    /// The first errors in order of lines, at most a thousand.
    pub fn first(&self) -> &[ManifestError] {
        &self.errors
    }

    /// How many errors there are in all.
    pub fn count(&self) -> u64 {
        self.errors.len() as u64 + self.dropped
    }

    /// Every kind of fault that there is.
    pub fn faults(&self) -> BTreeSet<Fault> {
        self.errors.iter().map(|error| error.fault).collect()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.errors.is_empty()
    }

    /// [`ErrorKind::Usage`] if any error is one, else [`ErrorKind::Refused`].
    pub fn kind(&self) -> ErrorKind {
        if self.usage { ErrorKind::Usage } else { ErrorKind::Refused }
    }

    /// Adds an error at the end. Callers go through lines in order, so that
    /// the ones kept are the first.
    pub(super) fn push(&mut self, error: ManifestError) {
        self.usage |= error.kind == ErrorKind::Usage;
        if self.errors.len() < KEPT {
            self.errors.push(error);
        } else {
            self.dropped += 1;
        }
    }

    /// Errors found in any order.
    pub(crate) fn from_unordered(mut errors: Vec<ManifestError>) -> ManifestErrors {
        errors.sort_by_key(|error| error.line);
        let mut all = ManifestErrors::default();
        errors.into_iter().for_each(|error| all.push(error));
        all
    }

    /// Takes in the errors of a further check.
    pub(crate) fn merge(&mut self, other: ManifestErrors) {
        self.dropped += other.dropped;
        self.usage |= other.usage;
        self.errors.extend(other.errors);
        self.errors.sort_by_key(|error| error.line);
        if self.errors.len() > KEPT {
            self.dropped += (self.errors.len() - KEPT) as u64;
            self.errors.truncate(KEPT);
        }
    }

    /// `value`, unless there are errors.
    pub(crate) fn or<T>(self, value: T) -> Result<T, ManifestErrors> {
        if self.is_empty() { Ok(value) } else { Err(self) }
    }
}

impl fmt::Display for ManifestErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, error) in self.errors.iter().take(PRINTED).enumerate() {
            if n > 0 {
                f.write_str("\n")?;
            }
            error.fmt(f)?;
        }
        match self.count().saturating_sub(PRINTED as u64) {
            0 => Ok(()),
            more => write!(f, "\nand {more} more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(line: u64, kind: ErrorKind) -> ManifestError {
        ManifestError::new(line, kind, "wrong")
    }

    #[test]
    fn the_first_twenty_are_printed_and_the_rest_counted() {
        for (count, last) in [(1, "line 1: wrong"), (20, "line 20: wrong"), (2500, "and 2480 more")]
        {
            let errors = (1..=count).rev().map(|line| error(line, ErrorKind::Refused)).collect();
            let errors = ManifestErrors::from_unordered(errors);
            assert_eq!(errors.count(), count);
            let text = errors.to_string();
            assert_eq!(text.lines().next(), Some("line 1: wrong"));
            assert_eq!(text.lines().last(), Some(last));
            assert!(text.lines().count() <= 21);
        }
    }

    #[test]
    fn one_usage_error_makes_all_of_them_usage_even_when_not_kept() {
        let mut errors = ManifestErrors::default();
        (1..=KEPT as u64).for_each(|line| errors.push(error(line, ErrorKind::Refused)));
        assert_eq!(errors.kind(), ErrorKind::Refused);
        errors.push(error(5000, ErrorKind::Usage));
        assert_eq!(errors.kind(), ErrorKind::Usage);
    }

    #[test]
    fn merged_errors_are_in_order_of_lines() {
        let mut errors = ManifestErrors::from_unordered(vec![error(3, ErrorKind::Usage)]);
        errors.merge(ManifestErrors::from_unordered(vec![error(1, ErrorKind::Refused)]));
        assert_eq!(errors.to_string(), "line 1: wrong\nline 3: wrong");
    }
}
