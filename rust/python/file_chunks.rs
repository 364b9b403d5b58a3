//! Texts as they stand in files, for reports that show them to other tokenizers.

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
use crate::files::reader::{Cuts, Source, Step};

/// An iterator over the pieces of a file, `(offset, line, text)`: bytes and lines before it, and
/// itself. A binary file has no piece where such files are not wanted.
#[pyclass(frozen, module = "llama3_tok._core")]
pub(super) struct FileChunks {
    encoder: Arc<Encoder>,
    /// `None` at the end, after an error, and while another thread reads.
    source: Mutex<Option<Source>>,
    lines: bool,
    size: usize,
}

#[pymethods]
impl FileChunks {
    /// Cuts `path` after lines, or where no id depends on it, into pieces of about `size` bytes.
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
        let source = detached(py, None, |_, _| Source::open(&path, false, refuses_binary, &meter))?;
        let source = Mutex::new(Some(source));
        Ok(Self { encoder: Arc::clone(&core.encoder), source, lines, size })
    }

    fn __iter__(this: Py<Self>) -> Py<Self> {
        this
    }

    fn __next__<'py>(
        &self,
        py: Python<'py>,
    ) -> PyResult<Option<(usize, usize, Bound<'py, PyBytes>)>> {
        let taken = self.source.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut source) = taken else { return Ok(None) };
        let (options, size) = (Options::default(), self.size);
        let cuts = if self.lines { Cuts::Lines } else { Cuts::Text(&self.encoder.added, &options) };
        let (piece, source) = detached(py, None, |check, _| {
            loop {
                match source.read(&cuts, size, Vec::new(), check)? {
                    Step::More => {}
                    Step::Piece(piece) => return Ok((Some(piece), source)),
                    Step::Binary => return Ok((None, source)),
                }
            }
        })?;
        let Some(piece) = piece else { return Ok(None) };
        *self.source.lock().unwrap_or_else(PoisonError::into_inner) =
            (!piece.last).then_some(source);
        Ok(Some((piece.offset, piece.line, bytes_object(py, piece.text())?)))
    }
}

/// The text of a field of a JSONL record; ValueError says why there is none.
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
