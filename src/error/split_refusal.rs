//! Why a file that is split into several is refused, as a source or a destination.

use std::path::PathBuf;

use super::Remedy;
use super::shown::quoted;

/// What is wrong with the files that a split file consists of.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SplitRefusal {
    /// The source is one of several files that seem to be one that was split, and
    /// it is not clear that it is to be read with all of them, or by itself.
    #[error("{} seems to be a piece of a file that was split: {what}", quoted(path))]
    Piece {
        /// The file that was named.
        path: PathBuf,
        /// What is missing, or does not fit.
        what: String,
        /// What would help.
        remedies: &'static [Remedy],
    },
    /// A segment of the destination exists, and the user did not say to replace it.
    #[error("destination {} exists", quoted(path))]
    SegmentExists {
        /// The segment.
        path: PathBuf,
    },
    /// A file that would be taken for one more of the files of a split destination.
    #[error(
        "{} would be taken for one more of {}: remove it, or choose another name",
        quoted(path),
        match count {
            Some(count) => format!("the {count} files that would be made"),
            None => "the files that would be made, whose number is not known".to_owned(),
        }
    )]
    OneMorePiece {
        /// The file.
        path: PathBuf,
        /// How many there would be, if that is known.
        count: Option<usize>,
    },
}
