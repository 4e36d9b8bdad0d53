//! Bytes of a source in memory of the caller.

use std::path::PathBuf;
use std::sync::Arc;

use pcopy::endpoint::Origin;
use pcopy::io::ReadOrder;
use pcopy::{CopyJob, Refusal, address};
use pyo3::buffer::PyUntypedBuffer;
use pyo3::exceptions::{PyOSError, PyTypeError, PyValueError};
use pyo3::prelude::*;

use crate::outcome::{answer, options};
use crate::watched;

/// A writable buffer of the caller, whatever its items are, which stays exported while
/// this lives: its object neither moves nor becomes shorter.
struct Exported(PyUntypedBuffer);

impl Exported {
    /// # Errors
    ///
    /// `TypeError` and `ValueError` if it cannot be written from end to end.
    fn new(object: &Bound<'_, PyAny>) -> PyResult<Exported> {
        let buffer = PyUntypedBuffer::get(object)?;
        if buffer.readonly() {
            return Err(PyTypeError::new_err("the buffer must be writable"));
        }
        if !buffer.is_c_contiguous() {
            return Err(PyValueError::new_err("the buffer must be contiguous, row by row"));
        }
        Ok(Exported(buffer))
    }

    /// Its bytes, to be written while the interpreter runs on. Other threads of the
    /// program may read and write the object meanwhile, as with every `readinto`:
    /// they see bytes in any order.
    fn bytes(&mut self) -> &mut [u8] {
        match self.0.len_bytes() {
            0 => &mut [],
            // SAFETY: contiguous, writable, and as long as it says; it stays so while
            // this is borrowed.
            len => unsafe { std::slice::from_raw_parts_mut(self.0.buf_ptr().cast(), len) },
        }
    }
}

/// Reads a range into `buffer`, from its first byte on, by several workers.
#[pyfunction]
pub fn read_into(
    python: Python<'_>,
    source: PathBuf,
    buffer: &Bound<'_, PyAny>,
    wanted: &str,
    progress: Option<&Bound<'_, PyAny>>,
) -> PyResult<String> {
    let mut buffer = Exported::new(buffer)?;
    let memory = buffer.bytes();
    let job = CopyJob::new(source, "").options(options(wanted)?);
    Ok(answer(&watched::run(python, progress, |watch| job.run_into_memory(memory, watch))?))
}

pyo3::create_exception!(_pcopy, NotOpened, PyValueError, "Why a source cannot be read, as JSON.");

/// A source that is open for reading at any offset.
#[pyclass(frozen)]
pub struct Reader {
    origin: Arc<dyn Origin>,
    /// Whether a read may take so long that it must hear signals.
    is_far: bool,
}

#[pymethods]
impl Reader {
    /// Opens a file, image, block device or address.
    #[new]
    fn new(python: Python<'_>, path: PathBuf, wanted: &str) -> PyResult<Reader> {
        let options = options(wanted)?;
        let opened = watched::run(python, None, |watch| {
            let origin = pcopy::endpoint::origin(&path, &options, watch.cancel)?;
            match origin.read_order() {
                ReadOrder::Any => Ok(origin),
                _ => Err(Refusal::NotCopyable {
                    side: pcopy::error::Side::Source,
                    path: path.clone(),
                    what: "read once and in order",
                    hint: "copy it to a file first",
                }
                .into()),
            }
        })?;
        match opened {
            Ok(origin) => Ok(Reader { origin, is_far: address::scheme(&path).is_some() }),
            // As JSON: the Python half makes an exception of it.
            Err(error) => Err(NotOpened::new_err(crate::outcome::refused(&error))),
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
        buffer: &Bound<'_, PyAny>,
        limit: usize,
    ) -> PyResult<usize> {
        let mut buffer = Exported::new(buffer)?;
        let memory = buffer.bytes();
        let len = memory.len().min(limit);
        let memory = &mut memory[..len];
        let source = self.origin.source();
        let read = match self.is_far {
            true => watched::run(python, None, |watch| {
                self.origin.listen_to(watch.cancel);
                source.read_at(offset, memory)
            })?,
            false => python.detach(|| source.read_at(offset, memory)),
        };
        read.map_err(|error| {
            let path = self.origin.path().to_string_lossy().into_owned();
            match error.raw_os_error() {
                Some(number) => PyOSError::new_err((number, error.to_string(), path)),
                None => error.into(),
            }
        })
    }
}
