//! Which kind of end a name means: one row a kind.

use std::path::Path;
use std::sync::Arc;

use super::file::FileDestination;
use super::null::{self, Null};
use super::zero::{self, Zeros};
use super::{Destination, Origin};
use crate::error::Result;
use crate::options::Options;
use crate::source::OpenSource;

/// The kinds of origins that have a name of their own; everything else is a
/// file or device.
///
/// # Errors
///
/// A [`Refusal`](crate::Refusal) if it cannot be opened, or not be read at offsets.
pub fn origin(path: &Path) -> Result<Arc<dyn Origin>> {
    match path.to_str() {
        Some(zero::NAME) => Ok(Arc::new(Zeros::default())),
        _ => Ok(Arc::new(OpenSource::open(path)?)),
    }
}

/// The same of destinations. Where `path` is a directory, the file in it has the
/// name of `source`.
///
/// # Errors
///
/// A [`Refusal`](crate::Refusal); nothing has been changed.
pub fn destination(path: &Path, source: &Path, options: &Options) -> Result<Box<dyn Destination>> {
    match path.to_str() {
        Some(null::NAME) => Ok(Box::new(Null::default())),
        _ => Ok(Box::new(FileDestination::look_at(path, source, options.consent())?)),
    }
}
