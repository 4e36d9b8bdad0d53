//! What a job reads, as its builder was told: a name, an origin of a caller's own, or
//! a stream that is open already. It is opened when the job runs.

use std::fmt;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use super::{Origin, kinds, pipe};
use crate::error::Result;
use crate::options::Options;
use crate::progress::CancelToken;

/// What is read.
#[derive(Clone)]
pub enum From {
    /// A file, a device, an address or a pipe.
    Path(PathBuf),
    /// An end of any kind.
    Origin(Arc<dyn Origin>),
    /// What is open already, from where it stands.
    Stream(Arc<File>),
}

impl From {
    /// Opens it. Whatever takes long hears `cancel`.
    ///
    /// # Errors
    ///
    /// A [`Refusal`](crate::Refusal) if it cannot be opened, or not be read.
    pub fn open(&self, options: &Options, cancel: &CancelToken) -> Result<Arc<dyn Origin>> {
        match self {
            From::Path(path) => kinds::origin(path, options, cancel),
            From::Origin(origin) => Ok(Arc::clone(origin)),
            From::Stream(stream) => pipe::standing(stream),
        }
    }

    /// Opens it, unless it is the name of a file or device.
    ///
    /// # Errors
    ///
    /// As of [`open`](From::open).
    pub fn open_special(
        &self,
        options: &Options,
        cancel: &CancelToken,
    ) -> Result<Option<Arc<dyn Origin>>> {
        match self {
            From::Path(path) => kinds::special_origin(path, options, cancel),
            _ => self.open(options, cancel).map(Some),
        }
    }
}

impl fmt::Debug for From {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            From::Path(path) => path.fmt(f),
            From::Origin(origin) => origin.path().fmt(f),
            From::Stream(stream) => stream.fmt(f),
        }
    }
}
