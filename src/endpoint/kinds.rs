//! Which kind of end a name means: one row a kind.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::device::Device;
use super::file::NewFile;
#[cfg(feature = "http")]
use super::http::HttpOrigin;
use super::in_place::InPlace;
use super::null::{self, Null};
use super::pipe;
#[cfg(feature = "s3")]
use super::s3::{S3Destination, S3Origin};
use super::split::SplitDestination;
use super::zero::{self, Zeros};
use super::{Destination, Origin};
use crate::address;
use crate::durable::target::{cannot_open, no_name};
use crate::error::{Error, ErrorKind, Refusal, Result, Side};
use crate::options::Options;
use crate::progress::CancelToken;
use crate::source::{OpenSource, copyable};
use crate::sys::{self, FileKind, Metadata};

/// The kinds of origins that have a name of their own, and streams; everything
/// else is a file or device. Whatever takes long hears `cancel`.
///
/// # Errors
///
/// A [`Refusal`] if it cannot be opened, or not be read.
pub fn origin(path: &Path, options: &Options, cancel: &CancelToken) -> Result<Arc<dyn Origin>> {
    match special_origin(path, options, cancel)? {
        Some(origin) => Ok(origin),
        None => Ok(Arc::new(OpenSource::open_joined(path, options.join)?)),
    }
}

/// The same, but for files and devices.
///
/// # Errors
///
/// As of [`origin`].
pub(super) fn special_origin(
    path: &Path,
    options: &Options,
    cancel: &CancelToken,
) -> Result<Option<Arc<dyn Origin>>> {
    match (path.to_str(), address::scheme(path)) {
        (Some(zero::NAME), _) => Ok(Some(Arc::new(Zeros::default()))),
        (Some(address), Some("http" | "https")) => http(address, options, cancel).map(Some),
        (Some(address), Some("s3")) => s3(address, options, cancel).map(Some),
        (_, Some(scheme)) => Err(unknown(path, scheme)),
        _ => pipe::at(path),
    }
}

#[cfg(feature = "http")]
fn http(address: &str, options: &Options, cancel: &CancelToken) -> Result<Arc<dyn Origin>> {
    Ok(Arc::new(HttpOrigin::open(address, &options.remote, cancel)?))
}

#[cfg(feature = "s3")]
fn s3(address: &str, options: &Options, cancel: &CancelToken) -> Result<Arc<dyn Origin>> {
    Ok(Arc::new(S3Origin::open(address, &options.remote, cancel)?))
}

#[cfg(feature = "s3")]
fn to_s3(address: &str, name: Option<&OsStr>, options: &Options) -> Result<Box<dyn Destination>> {
    Ok(Box::new(S3Destination::new(address, name, options)?))
}

#[cfg(not(feature = "s3"))]
fn to_s3(address: &str, _name: Option<&OsStr>, _options: &Options) -> Result<Box<dyn Destination>> {
    Err(unknown(Path::new(address), "s3"))
}

#[cfg(not(feature = "s3"))]
fn s3(address: &str, _options: &Options, _cancel: &CancelToken) -> Result<Arc<dyn Origin>> {
    let name = crate::error::quoted(address::shown(Path::new(address)).as_ref()).to_string();
    let what = format!("{name} cannot be read: this program was built without S3");
    Err(Refusal::Other(what).into())
}

#[cfg(not(feature = "http"))]
fn http(address: &str, _options: &Options, _cancel: &CancelToken) -> Result<Arc<dyn Origin>> {
    let name = crate::error::quoted(address);
    let what = format!("{name} cannot be read: this program was built without HTTP");
    Err(Refusal::Other(what).into())
}

/// An address that cannot be used on that side, or by this program.
fn unknown(path: &Path, scheme: &str) -> Error {
    let name = crate::error::quoted(path).to_string();
    Refusal::Other(format!("{name} cannot be used: {scheme} is not a kind of end here")).into()
}

/// The same of the destination of a copy, which may be split. Where `path` is a
/// directory, the file in it is called `name`.
///
/// # Errors
///
/// A [`Refusal`]; nothing has been changed.
pub fn destination(
    path: &Path,
    name: Option<&OsStr>,
    options: &Options,
) -> Result<Box<dyn Destination>> {
    match options.split {
        None => whole_destination(path, name, options),
        Some(_) if path.to_str() == Some(null::NAME) => {
            Err(ErrorKind::usage_of(&["split"], "makes files, and null: is none").into())
        }
        Some(_) if address::scheme(path).is_some() => {
            let problem = "makes files, and an object on a server is none";
            Err(ErrorKind::usage_of(&["split"], problem).into())
        }
        Some(size) => {
            let (path, _) = look_at(path, name)?;
            Ok(Box::new(SplitDestination::new(path, size, options.force)?))
        }
    }
}

/// The same of a destination that is not split.
///
/// # Errors
///
/// A [`Refusal`]; nothing has been changed.
pub fn whole_destination(
    path: &Path,
    name: Option<&OsStr>,
    options: &Options,
) -> Result<Box<dyn Destination>> {
    if path.to_str() == Some(null::NAME) {
        return Ok(Box::new(Null::default()));
    }
    match (path.to_str(), address::scheme(path)) {
        (Some(address), Some("s3")) => return to_s3(address, name, options),
        (_, Some(scheme)) => return Err(unknown(path, scheme)),
        _ => {}
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
