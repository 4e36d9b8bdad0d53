//! Bytes of a source in memory of the caller.

use std::path::PathBuf;
use std::sync::Arc;

use pcopy::endpoint::Origin;
use pcopy::{CancelToken, CopyJob, Options};
use pyo3::buffer::PyBuffer;
use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;

use crate::outcome::{answer, options};
use crate::watched;

/// The bytes of a buffer, to be written while the interpreter runs on.
///
/// # Safety
///
/// The buffer stays exported while the slice is used. Other threads of the
/// program may read and write the object meanwhile, as with every `readinto`:
/// they see bytes in any order.
unsafe fn bytes_of<'a>(buffer: &'a PyBuffer<u8>) -> PyResult<&'a mut [u8]> {
    if buffer.readonly() || !buffer.is_c_contiguous() {
        return Err(PyValueError::new_err("the buffer must be writable and contiguous"));
    }
    match buffer.len_bytes() {
        0 => Ok(&mut []),
        // SAFETY: contiguous, writable, and as long as it says.
        len => Ok(unsafe { std::slice::from_raw_parts_mut(buffer.buf_ptr().cast(), len) }),
    }
}

/// Reads a range into `buffer`, from its first byte on, by several workers.
#[pyfunction]
pub fn read_into(
    python: Python<'_>,
    source: PathBuf,
    buffer: PyBuffer<u8>,
    wanted: &str,
    progress: Option<&Bound<'_, PyAny>>,
) -> PyResult<String> {
    // SAFETY: `buffer` lives until the end of this function.
    let memory = unsafe { bytes_of(&buffer)? };
    let job = CopyJob::new(source, "").options(options(wanted)?);
    Ok(answer(&watched::run(python, progress, |watch| job.run_into_memory(memory, watch))?))
}

/// A source that is open for reading at any offset.
#[pyclass(frozen)]
pub struct Reader {
    origin: Arc<dyn Origin>,
}

#[pymethods]
impl Reader {
    /// Opens a file, image or block device.
    #[new]
    fn new(python: Python<'_>, path: PathBuf) -> PyResult<Reader> {
        let opened = python
            .detach(|| pcopy::endpoint::origin(&path, &Options::default(), &CancelToken::new()));
        match opened {
            Ok(origin) => Ok(Reader { origin }),
            // As JSON: the Python half makes an exception of it.
            Err(error) => Err(PyValueError::new_err(crate::outcome::refused(&error))),
        }
    }

    /// Size in bytes when it was opened.
    #[getter]
    fn size(&self) -> u64 {
        self.origin.source().size()
    }

    /// Bytes in a logical sector.
    #[getter]
    fn sector(&self) -> u32 {
        self.origin.sector()
    }

    /// Reads up to `limit` bytes from `offset` on into `buffer`; how many it were.
    fn read_at(
        &self,
        python: Python<'_>,
        offset: u64,
        buffer: PyBuffer<u8>,
        limit: usize,
    ) -> PyResult<usize> {
        // SAFETY: `buffer` lives until the end of this function.
        let memory = unsafe { bytes_of(&buffer)? };
        let len = memory.len().min(limit);
        let memory = &mut memory[..len];
        let source = self.origin.source();
        python.detach(|| source.read_at(offset, memory)).map_err(|error| {
            let path = self.origin.path().to_string_lossy().into_owned();
            match error.raw_os_error() {
                Some(number) => PyOSError::new_err((number, error.to_string(), path)),
                None => error.into(),
            }
        })
    }
}
