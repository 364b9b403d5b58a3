//! The chunks of a file as bytes, for reports that give them to other tokenizers as well.

use std::mem::replace;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::convert::bytes_object;
use super::core::Core;
use super::detach::detached;
use super::raise::raise;
use crate::encode::Encoder;
use crate::encode::options::Options;
use crate::files::jsonl;
use crate::files::packed_limits::PackedLimits;
use crate::files::reader::{CutRule, FileReader, ReadStep, Reading};

/// An iterator over the chunks of a file, `(offset, line, text)`: the bytes and lines before the chunk,
/// and its text. A binary file has no chunk if binary files are left out.
#[pyclass(frozen, module = "llama3_tok._core")]
pub(super) struct FileChunks {
    encoder: Arc<Encoder>,
    state: Mutex<State>,
    lines: bool,
    size: usize,
}

/// Whether the file can be read on.
enum State {
    /// The next call reads on.
    Ready(FileReader),
    /// A call is reading.
    Reading,
    /// At the end of the file, or after an error.
    Ended,
}

#[pymethods]
impl FileChunks {
    /// Cuts `path` after lines, or where no id depends on it, into chunks of about `size` bytes.
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
        let reading = Reading { refuses_binary, ..Reading::default() };
        let reader = detached(py, None, |_, _| {
            FileReader::open(&path, false, reading, PackedLimits::default(), &meter)
        })?;
        let state = Mutex::new(State::Ready(reader));
        Ok(Self { encoder: Arc::clone(&core.encoder), state, lines, size })
    }

    fn __iter__(this: Py<Self>) -> Py<Self> {
        this
    }

    fn __next__<'py>(
        &self,
        py: Python<'py>,
    ) -> PyResult<Option<(usize, usize, Bound<'py, PyBytes>)>> {
        let State::Ready(mut reader) = self.take()? else { return Ok(None) };
        let (options, size) = (Options::default(), self.size);
        let cut_rule =
            if self.lines { CutRule::Lines } else { CutRule::Text(&self.encoder.added, &options) };
        let read = detached(py, None, |check, _| {
            loop {
                match reader.read(&cut_rule, size, Vec::new(), check)? {
                    ReadStep::More => {}
                    ReadStep::Chunk(chunk) => return Ok((Some(chunk), reader)),
                    ReadStep::Refused(_) => return Ok((None, reader)),
                }
            }
        });
        let (state, read) = match read {
            Ok((Some(chunk), reader)) if !chunk.last => (State::Ready(reader), Ok(Some(chunk))),
            Ok((chunk, _)) => (State::Ended, Ok(chunk)),
            Err(error) => (State::Ended, Err(error)),
        };
        *self.lock() = state;
        let Some(chunk) = read? else { return Ok(None) };
        let text = chunk.text().map_err(|error| raise(py, error))?;
        Ok(Some((chunk.offset, chunk.line, bytes_object(py, text)?)))
    }
}

impl FileChunks {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the reader, and leaves [`State::Reading`]; an error if another call is reading.
    fn take(&self) -> PyResult<State> {
        let mut state = self.lock();
        match replace(&mut *state, State::Reading) {
            State::Reading => Err(PyRuntimeError::new_err(
                "the file is being read by another thread, or by the call that a signal handler \
                 interrupts",
            )),
            State::Ended => Ok(replace(&mut *state, State::Ended)),
            ready => Ok(ready),
        }
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
