//! One copy by several tasks: each of them takes part in the job of a folder.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use pcopy::fleet::{self, Share};
use pcopy::{SharedJob, address};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use serde_json::json;

use crate::outcome::{answer, options, refused};
use crate::watched;

/// Takes part in the job in `folder` until it is over, as number `number` (from 0) of
/// `count`. A process that stood still for `lease` seconds is not waited for.
#[pyfunction]
pub fn take_part(
    python: Python<'_>,
    folder: PathBuf,
    source: PathBuf,
    destination: PathBuf,
    wanted: &str,
    number: u32,
    count: u32,
    lease: f64,
) -> PyResult<String> {
    let lease = Duration::try_from_secs_f64(lease)
        .map_err(|error| PyValueError::new_err(format!("lease: {error}")))?;
    let job = SharedJob::new(folder, source, destination)
        .options(options(wanted)?)
        .share(Share::Of { number, count })
        .lease(lease);
    Ok(answer(&watched::run(python, None, |watch| job.run_watched(watch))?))
}

/// How far the job in `folder` is, as JSON.
#[pyfunction]
pub fn job_status(python: Python<'_>, folder: PathBuf) -> PyResult<String> {
    match python.detach(|| fleet::status(&folder)) {
        Ok(status) => {
            let status = serde_json::to_value(status);
            let status = status.map_err(|error| PyValueError::new_err(error.to_string()))?;
            Ok(json!({ "report": status }).to_string())
        }
        Err(error) => Ok(refused(&error)),
    }
}

/// `path` as a process with another working directory finds it. Addresses stay.
#[pyfunction]
pub fn absolute(path: PathBuf) -> PyResult<OsString> {
    let is_address = address::scheme(&path).is_some();
    let found = if is_address { path } else { std::path::absolute(Path::new(&path))? };
    Ok(found.into_os_string())
}

/// Looks at options that are for a process elsewhere.
///
/// # Errors
///
/// `ValueError` for a value that cannot be.
#[pyfunction]
pub fn check_options(wanted: &str) -> PyResult<()> {
    options(wanted).map(drop)
}
