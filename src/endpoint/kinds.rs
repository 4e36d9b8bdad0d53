//! Which kind of end a name means: one row a kind.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::device::Device;
use super::file::NewFile;
use super::in_place::InPlace;
use super::null::{self, Null};
use super::pipe;
use super::zero::{self, Zeros};
use super::{Destination, Origin};
use crate::durable::target::{cannot_open, no_name};
use crate::error::{Refusal, Result, Side};
use crate::options::Options;
use crate::source::{OpenSource, copyable};
use crate::sys::{self, FileKind, Metadata};

/// The kinds of origins that have a name of their own, and streams; everything
/// else is a file or device.
///
/// # Errors
///
/// A [`Refusal`] if it cannot be opened, or not be read.
pub fn origin(path: &Path) -> Result<Arc<dyn Origin>> {
    match path.to_str() {
        Some(zero::NAME) => Ok(Arc::new(Zeros::default())),
        _ => match pipe::at(path)? {
            Some(stream) => Ok(stream),
            None => Ok(Arc::new(OpenSource::open(path)?)),
        },
    }
}

/// The same of destinations. Where `path` is a directory, the file in it is called
/// `name`.
///
/// # Errors
///
/// A [`Refusal`]; nothing has been changed.
pub fn destination(
    path: &Path,
    name: Option<&OsStr>,
    options: &Options,
) -> Result<Box<dyn Destination>> {
    if path.to_str() == Some(null::NAME) {
        return Ok(Box::new(Null::default()));
    }
    let (path, found) = look_at(path, name)?;
    let Some(found) = found else { return where_nothing_is(path, options) };
    copyable(Side::Destination, &path, found.node)?;
    match found.node {
        FileKind::BlockDevice => Ok(Box::new(Device::open(path, options)?)),
        _ if options.to_device => Err(Refusal::NotADevice { path }.into()),
        _ if options.in_place => Ok(Box::new(InPlace::open(path, options)?)),
        _ => Ok(Box::new(NewFile::look_at(path, options)?)),
    }
}

/// Nothing there, or a link that leads nowhere: the name decides.
fn where_nothing_is(path: PathBuf, options: &Options) -> Result<Box<dyn Destination>> {
    if options.in_place {
        return Err(Refusal::NothingInPlace { path }.into());
    }
    let new = NewFile::look_at(path, options)?;
    if options.to_device {
        let path = new.path().to_owned();
        return Err(Refusal::NotADevice { path }.into());
    }
    Ok(Box::new(new))
}

/// What `path` means, and what is there; in a directory, `name`.
fn look_at(path: &Path, name: Option<&OsStr>) -> Result<(PathBuf, Option<Metadata>), Refusal> {
    let look = |path: &Path| sys::facts_of_path(path).map_err(|error| cannot_open(path, error));
    let mut path = path.to_owned();
    let mut found = look(&path)?;
    if found.as_ref().is_some_and(|found| found.node == FileKind::Directory) {
        path.push(name.ok_or_else(|| no_name(&path))?);
        found = look(&path)?;
    }
    Ok((path, found))
}
