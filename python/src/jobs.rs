//! The jobs: a copy, a batch, a comparison, the list of devices.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use pcopy::batch::BatchReport;
use pcopy::manifest::{self, Format, Manifest, ManifestErrors, ReadOptions};
use pcopy::source::OpenSource;
use pcopy::{Batch, CopyJob, Error, Failure, Join, PatchJob, Progress, Refusal, Size, VerifyJob};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use serde_json::{Value, json};

use crate::outcome::{answer, options, refused};
use crate::watched;

/// Copies one range. `stream` is a file descriptor that is written in order
/// instead of `destination`.
#[pyfunction]
#[pyo3(signature = (source, destination, also, wanted, dry_run, stream, progress))]
pub fn copy(
    python: Python<'_>,
    source: PathBuf,
    destination: PathBuf,
    also: Vec<PathBuf>,
    wanted: &str,
    dry_run: bool,
    stream: Option<i32>,
    progress: Option<&Bound<'_, PyAny>>,
) -> PyResult<String> {
    let job = CopyJob::new(source, destination).options(options(wanted)?);
    let job = also.into_iter().fold(job, CopyJob::also);
    let stream = stream.map(own).transpose()?;
    let result = match (&stream, dry_run) {
        (None, true) => watched::run(python, progress, |watch| job.dry_run_watched(watch))?,
        (Some(stream), true) => python.detach(|| job.dry_run_into(stream, &Progress::new())),
        (None, false) => watched::run(python, progress, |watch| job.run_watched(watch))?,
        (Some(stream), false) => {
            watched::run(python, progress, |watch| job.run_into(stream, watch))?
        }
    };
    Ok(answer(&result))
}

/// A descriptor of our own for the caller's.
fn own(descriptor: i32) -> PyResult<File> {
    #[cfg(unix)]
    {
        use std::os::fd::BorrowedFd;
        // SAFETY: the Python half asked an object that is open for it, and holds
        // that object until this returns.
        let borrowed = unsafe { BorrowedFd::borrow_raw(descriptor) };
        Ok(borrowed.try_clone_to_owned().map_err(PyErr::from)?.into())
    }
    #[cfg(not(unix))]
    {
        let what = format!("descriptor {descriptor}: streams are written on Unix only");
        Err(pyo3::exceptions::PyOSError::new_err(what))
    }
}

/// Compares a range with what is in a destination.
#[pyfunction]
pub fn verify(
    python: Python<'_>,
    source: PathBuf,
    destination: PathBuf,
    wanted: &str,
    progress: Option<&Bound<'_, PyAny>>,
) -> PyResult<String> {
    let job = VerifyJob::new(source, destination).options(options(wanted)?);
    Ok(answer(&watched::run(python, progress, |watch| job.run_watched(watch))?))
}

/// Copies many ranges to many files. `list` is the text of a list, or the path
/// of one.
#[pyfunction]
#[pyo3(signature = (list, path, format, source, into, wanted, compare, dry_run, progress))]
pub fn batch(
    python: Python<'_>,
    list: Option<Vec<u8>>,
    path: Option<PathBuf>,
    format: Option<&str>,
    source: Option<PathBuf>,
    into: PathBuf,
    wanted: &str,
    compare: bool,
    dry_run: bool,
    progress: Option<&Bound<'_, PyAny>>,
) -> PyResult<String> {
    let format: Option<Format> = match format {
        None => None,
        Some(name) => {
            Some(name.parse().map_err(|_| PyValueError::new_err(format!("no format {name:?}")))?)
        }
    };
    let options = options(wanted)?;
    let join = options.join;
    let read = python.detach(|| read(list, path.as_deref(), format, source.as_deref(), join));
    let (manifest, errors) = match read {
        Ok(read) => read,
        Err(error) => return Ok(refused(&error)),
    };
    let notes = manifest.notes;
    let mut job = Batch::new(manifest.items, into).unread(errors).options(options);
    if let Some(source) = source {
        job = job.source(source);
    }
    if dry_run {
        let planned = python.detach(|| job.dry_run(&Progress::new()));
        let planned = planned.map(|planned| BatchReport::from(&planned)).map_err(Failure::from);
        return Ok(answer(&planned));
    }
    let items: Mutex<Vec<Value>> = Mutex::default();
    let on_item = |item: &pcopy::batch::ItemReport<'_>| {
        let item = serde_json::to_value(item).unwrap_or_default();
        items.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(item);
    };
    let result = watched::run(python, progress, |watch| match compare {
        true => job.compare(watch, &on_item),
        false => job.run_watched(watch, &on_item),
    })?;
    let mut value: Value = serde_json::from_slice(answer(&result).as_bytes()).unwrap_or_default();
    value["items"] = items.into_inner().unwrap_or_default().into();
    value["list_notes"] = json!(notes);
    Ok(value.to_string())
}

fn read(
    list: Option<Vec<u8>>,
    path: Option<&Path>,
    format: Option<Format>,
    source: Option<&Path>,
    join: Join,
) -> Result<(Manifest, ManifestErrors), Error> {
    let open = |of: Option<&Path>| {
        // A file that a row names is meant by itself.
        let join = if of.is_some() { Join::Never } else { join };
        OpenSource::open_joined(of.or(source)?, join).ok()
    };
    let sector = |of: Option<&Path>| open(of).map(|source| source.unit());
    let size = |of: Option<&Path>| open(of).map(|source| source.facts.size);
    let how = ReadOptions {
        manifest: path,
        source,
        sector_of: &sector,
        disk_size: size(None),
        size_of: &size,
        ..ReadOptions::default()
    };
    let (list, path) = match (list, path) {
        (Some(list), _) => return Ok(manifest::read_lenient(&list[..], format, &how)),
        (None, path) => (File::open(path.unwrap_or(Path::new(""))), path.unwrap_or(Path::new(""))),
    };
    let cannot_read = |source| Refusal::CannotRead { path: path.to_owned(), source };
    Ok(manifest::read_lenient(list.map_err(cannot_read)?, format, &how))
}

/// Writes bytes into the middle of a file or device. `wanted` is an object of the
/// consents.
#[pyfunction]
pub fn patch(
    python: Python<'_>,
    path: PathBuf,
    offset: &str,
    data: Vec<u8>,
    old: Option<Vec<u8>>,
    wanted: &str,
) -> PyResult<String> {
    let wrong = |error: String| PyValueError::new_err(error);
    let offset: Size = offset.parse().map_err(|error| wrong(format!("offset: {error}")))?;
    let given: Patching =
        serde_json::from_slice(wanted.as_bytes()).map_err(|error| wrong(error.to_string()))?;
    let job = PatchJob::new(path, offset, data)
        .keep_old(true)
        .grow(given.grow)
        .to_device(given.to_device)
        .even_if_in_use(given.even_if_in_use)
        .sync(given.sync)
        .verify(given.verify);
    let job = match old {
        Some(old) => job.expect_old(old),
        None => job,
    };
    Ok(answer(&watched::run(python, None, |watch| job.run_watched(watch))?))
}

/// The consents of a patch.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Patching {
    grow: bool,
    to_device: bool,
    even_if_in_use: bool,
    sync: bool,
    verify: bool,
}

/// The block devices of this machine, as JSON.
#[pyfunction]
pub fn devices(python: Python<'_>) -> PyResult<String> {
    let list = python.detach(pcopy::devices::list)?;
    Ok(pcopy::devices::to_json(&list))
}

/// The options of the library with their defaults, as JSON.
#[pyfunction]
pub fn defaults() -> String {
    serde_json::to_string(&pcopy::Options::default()).unwrap_or_default()
}
