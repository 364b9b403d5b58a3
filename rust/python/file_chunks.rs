//! The chunks of a file as bytes, for reports that give them to other tokenizers as well.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::convert::bytes_object;
use super::core::Core;
use super::detach::detached;
use crate::encode::Encoder;
use crate::encode::options::Options;
use crate::files::jsonl;
use crate::files::reader::{CutRule, FileReader, ReadStep};

/// An iterator over the chunks of a file, `(offset, line, text)`: the bytes and lines before the chunk,
/// and its text. A binary file has no chunk if binary files are left out.
#[pyclass(frozen, module = "llama3_tok._core")]
pub(super) struct FileChunks {
    encoder: Arc<Encoder>,
    /// `None` at the end, after an error, and while another thread reads.
    reader: Mutex<Option<FileReader>>,
    lines: bool,
    size: usize,
}

#[pymethods]
impl FileChunks {
    /// CutRule `path` after lines, or where no id depends on it, into chunks of about `size` bytes.
    #[new]
    fn new(
        py: Python,
        core: &Core,
        path: PathBuf,
        lines: bool,
        size: usize,
        refuses_binary: bool,
    ) -> PyResult<Self> {
        let meter = Arc::default();
        let reader =
            detached(py, None, |_, _| FileReader::open(&path, false, refuses_binary, &meter))?;
        let reader = Mutex::new(Some(reader));
        Ok(Self { encoder: Arc::clone(&core.encoder), reader, lines, size })
    }

    fn __iter__(this: Py<Self>) -> Py<Self> {
        this
    }

    fn __next__<'py>(
        &self,
        py: Python<'py>,
    ) -> PyResult<Option<(usize, usize, Bound<'py, PyBytes>)>> {
        let taken = self.reader.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut reader) = taken else { return Ok(None) };
        let (options, size) = (Options::default(), self.size);
        let cut_rule =
            if self.lines { CutRule::Lines } else { CutRule::Text(&self.encoder.added, &options) };
        let (chunk, reader) = detached(py, None, |check, _| {
            loop {
                match reader.read(&cut_rule, size, Vec::new(), check)? {
                    ReadStep::More => {}
                    ReadStep::Chunk(chunk) => return Ok((Some(chunk), reader)),
                    ReadStep::Binary => return Ok((None, reader)),
                }
            }
        })?;
        let Some(chunk) = chunk else { return Ok(None) };
        *self.reader.lock().unwrap_or_else(PoisonError::into_inner) =
            (!chunk.last).then_some(reader);
        Ok(Some((chunk.offset, chunk.line, bytes_object(py, chunk.text())?)))
    }
}

/// The text of a field of a JSONL record; `ValueError` says why there is none.
#[pyfunction]
pub(super) fn record_text<'py>(
    py: Python<'py>,
    record: &[u8],
    field: &str,
) -> PyResult<Bound<'py, PyBytes>> {
    let text = jsonl::field_of(record, field)
        .map_err(|error| PyValueError::new_err(jsonl::why_not(record, &error)))?;
    bytes_object(py, &text)
}
