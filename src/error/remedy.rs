//! What would help against an error, where there is a way: in the terms of the
//! job, for a caller who knows his own words for it.

use std::io;

use super::{Error, ErrorKind, Refusal};
use crate::sys::{self, AppendOnly};

/// A way that would lead on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Remedy {
    /// Writing in order, to the end of what is there or to a new file, as a
    /// stream does: see [`run_into`](crate::CopyJob::run_into).
    Append,
    /// The same for a new file.
    InOrder,
    /// Not believing what the file system says of its room: see
    /// [`ignore_space`](crate::CopyJob::ignore_space).
    IgnoreSpace,
}

impl Error {
    /// What would help, if that is known.
    pub fn remedy(&self) -> Option<Remedy> {
        match self.kind() {
            ErrorKind::Refused(refusal) | ErrorKind::Discarded { source: refusal } => {
                refusal.remedy()
            }
            // What takes no size and no bytes but at the end.
            ErrorKind::Write { source, .. } if sys::is_refused(source) => Some(Remedy::InOrder),
            ErrorKind::Destination { step: "resize", source, .. } if sys::is_refused(source) => {
                Some(Remedy::InOrder)
            }
            _ => None,
        }
    }
}

impl Refusal {
    fn remedy(&self) -> Option<Remedy> {
        let is_append_only =
            |error: &io::Error| error.get_ref().is_some_and(|inner| inner.is::<AppendOnly>());
        match self {
            Refusal::NoSpace { .. } => Some(Remedy::IgnoreSpace),
            Refusal::CannotCreate { source, .. } if is_append_only(source) => Some(Remedy::InOrder),
            Refusal::NoRename { .. } => Some(Remedy::InOrder),
            Refusal::CannotOpen { source, .. } | Refusal::CannotReplace { source, .. }
                if is_append_only(source) =>
            {
                Some(Remedy::Append)
            }
            _ => None,
        }
    }
}
