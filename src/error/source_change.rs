//! What can be other than it was of a source that has been read.
//!
//! Some of it says that bytes were written, some only that they may have been.
//! This room knows what is told, and not how the bytes are compared.

use std::fmt;

use crate::range::ByteRange;

/// What of a source is not as it was when the job began.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum SourceChange {
    /// Its size, in bytes.
    Size {
        /// At the beginning.
        before: u64,
        /// At the end.
        now: u64,
    },
    /// Reads end elsewhere, although its file system claims the same size.
    End {
        /// Where they ended at the beginning, in bytes.
        before: u64,
    },
    /// Its modification time.
    Modified,
    /// The tag by which its server knows it. `None` is none, or not known.
    Tag {
        /// At the beginning.
        before: Option<String>,
        /// Later.
        now: Option<String>,
    },
    /// Its change time alone: it got another name, mode, owner or attribute, or
    /// it was written to and the modification time was put back.
    Attributes,
    /// Its bytes are not those that were copied.
    Content {
        /// The first of them, in bytes of the source.
        first: u64,
        /// How many bytes differ, in whole sectors; `None` if the comparison
        /// ended at the first.
        differing: Option<u64>,
    },
    /// The path leads to another file.
    Replaced,
    /// It cannot be asked any more.
    Unknown {
        /// What the system says.
        reason: String,
    },
}

impl SourceChange {
    /// Whether the bytes of `range`, which end where the user has said if
    /// `is_final`, may nevertheless be what they were, so that it is worth
    /// comparing them. A file may grow behind a range, and be renamed or linked.
    pub fn may_be_harmless(&self, range: ByteRange, is_final: bool) -> bool {
        match *self {
            SourceChange::Attributes => true,
            SourceChange::Size { now, .. } => is_final && range.end() <= now,
            _ => false,
        }
    }
}

impl fmt::Display for SourceChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SourceChange::Size { before, now } => {
                write!(f, "its size was {before} and is {now}")
            }
            SourceChange::End { before } => write!(f, "it does not end at byte {before} any more"),
            SourceChange::Modified => f.write_str("its modification time has changed"),
            SourceChange::Tag { before, now } => match (before, now) {
                (Some(before), Some(now)) => write!(f, "its tag was {before} and is {now}"),
                (Some(before), None) => write!(f, "its tag is not {before} any more"),
                (None, Some(now)) => write!(f, "its tag is {now}, and it had none before"),
                (None, None) => f.write_str("its tag is another"),
            },
            SourceChange::Attributes => f.write_str("its change time is another"),
            SourceChange::Content { first, differing } => {
                write!(f, "byte {first} of it is not what was copied")?;
                match differing {
                    Some(bytes) => write!(f, ", and {bytes} bytes differ in all"),
                    None => Ok(()),
                }
            }
            SourceChange::Replaced => {
                f.write_str("it is not the file that was there when the job began")
            }
            SourceChange::Unknown { reason } => write!(f, "it cannot be asked any more ({reason})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_have_left_the_range_as_it_was() {
        let range = ByteRange::between(100, 1000);
        let check = |change: SourceChange, is_final, expected| {
            assert_eq!(change.may_be_harmless(range, is_final), expected, "{change}");
        };
        let size = |now| SourceChange::Size { before: 1000, now };
        check(SourceChange::Attributes, true, true);
        check(SourceChange::Attributes, false, true);
        check(size(1001), true, true);
        check(size(1000), true, true);
        // What was to be copied to its end has another end.
        check(size(1001), false, false);
        check(size(999), true, false);
        check(size(0), true, false);
        check(SourceChange::Modified, true, false);
        check(SourceChange::End { before: 1000 }, true, false);
        check(SourceChange::Replaced, true, false);
    }
}
