//! Why a map, which says what of a copy is done, is refused.

use std::io;
use std::path::PathBuf;

use super::Remedy;
use super::shown::quoted;

/// What is wrong with a map.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MapRefusal {
    /// The map belongs to another job.
    #[error("map {} is of another job: {what}", quoted(path))]
    Foreign {
        /// The map.
        path: PathBuf,
        /// The field that differs, and both values.
        what: String,
        /// What would help.
        remedies: &'static [Remedy],
    },
    /// The map is of another program, as ddrescue, and of no use here.
    #[error("map {} cannot be used: it is not of this program", quoted(path))]
    Alien {
        /// The map.
        path: PathBuf,
        /// What would help.
        remedies: &'static [Remedy],
    },
    /// The map would replace what the copy reads or writes.
    #[error("map {} is what the copy itself reads or writes", quoted(path))]
    InTheWay {
        /// The map.
        path: PathBuf,
    },
    /// No map can be made where it is to live.
    #[error("cannot make the map {}", quoted(path))]
    CannotMake {
        /// The map.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The map cannot be read.
    #[error("map {} cannot be used: {reason}", quoted(path))]
    Unusable {
        /// The map.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}
