//! What corpora are read with: the bytes of packed files, and a field of many records at once.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use numpy::{PyArray1, PyReadonlyArray1};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use sha2::{Digest, Sha256};

use super::convert::{array, bytes_object};
use super::core::Core;
use super::detach::detached;
use super::files::packed;
use super::options::PythonOptions;
use crate::error::{Error, always, slice};
use crate::files::input;
use crate::files::jsonl;

/// A file whose bytes are read one after the other; `.gz` and `.zst` are unpacked.
#[pyclass(frozen, module = "llama3_tok._core")]
pub(super) struct UnpackedFile(Mutex<input::UnpackedFile>);

#[pymethods]
impl UnpackedFile {
    #[new]
    fn new(py: Python, path: PathBuf, limits: (Option<u64>, Option<u64>)) -> PyResult<Self> {
        let limits = packed(limits);
        detached(py, None, |_, _| Ok(Self(Mutex::new(input::UnpackedFile::open(&path, limits)?))))
    }

    /// The next `size` bytes; fewer at the end of the file.
    fn read<'py>(&self, py: Python<'py>, size: usize) -> PyResult<Bound<'py, PyBytes>> {
        let bytes = detached(py, None, |check, _| {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).read(size, check)
        })?;
        bytes_object(py, &bytes)
    }

    /// How many bytes were read, before unpacking.
    #[getter]
    fn stored_read(&self, py: Python) -> u64 {
        py.detach(|| self.0.lock().unwrap_or_else(PoisonError::into_inner).stored_read())
    }
}

type Array<'py, T> = Bound<'py, PyArray1<T>>;
type Column<'py> =
    (Array<'py, u8>, Array<'py, i64>, Array<'py, i64>, Array<'py, i64>, Vec<(i64, String)>);

/// The last position where a text may be cut whatever follows it; `None` if there is none.
#[pyfunction]
pub(super) fn last_cut(
    py: Python,
    core: &Core,
    text: &[u8],
    options: &Bound<PythonOptions>,
) -> PyResult<Option<usize>> {
    let chosen = core.options(Some(options))?;
    detached(py, None, |check, _| {
        core.encoder.added.last_cut(text, &chosen.allowed, &chosen.disallowed, check)
    })
}

/// The first eight bytes of the SHA-256 of each text from `starts[i]` to `ends[i]`, of which only the first
/// `limit` bytes count, as numbers, the first byte the highest.
#[pyfunction]
pub(super) fn digests<'py>(
    py: Python<'py>,
    data: PyReadonlyArray1<u8>,
    starts: PyReadonlyArray1<i64>,
    ends: PyReadonlyArray1<i64>,
    limit: usize,
) -> PyResult<Array<'py, u64>> {
    let (data, starts, ends) = (data.as_slice()?, starts.as_slice()?, ends.as_slice()?);
    let numbers = detached(py, None, |check, _| {
        always((starts.len() == ends.len()).then_some(()), "there is not one end for each start")?;
        let mut numbers = Vec::new();
        numbers.try_reserve_exact(starts.len())?;
        for (&start, &end) in starts.iter().zip(ends) {
            let (start, end) = (start as usize, end as usize);
            let text = slice(data, start..end.min(start.saturating_add(limit)))?;
            let digest: [u8; 32] = Sha256::digest(text).into();
            let [a, b, c, d, e, f, g, h, ..] = digest;
            numbers.push(u64::from_be_bytes([a, b, c, d, e, f, g, h]));
            check()?;
        }
        Ok::<_, Error>(numbers)
    })?;
    array(py, numbers)
}

/// How many newlines there are.
#[pyfunction]
pub(super) fn count_newlines(py: Python, text: &[u8]) -> usize {
    py.detach(|| memchr::memchr_iter(b'\n', text).count())
}

/// The texts of a field of the records of a chunk of JSONL: the texts end to end, their offsets, their
/// lines in the chunk from 0 and where these begin, and the lines that have no such text, with the reason.
#[pyfunction]
pub(super) fn jsonl_column<'py>(
    py: Python<'py>,
    chunk: &[u8],
    field: &str,
) -> PyResult<Column<'py>> {
    let column = detached(py, None, |check, _| jsonl::column(chunk, field, check))?;
    let (text, offsets) = (array(py, column.text)?, array(py, column.offsets)?);
    Ok((text, offsets, array(py, column.lines)?, array(py, column.starts)?, column.faults))
}
