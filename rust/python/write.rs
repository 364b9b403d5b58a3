//! A vocabulary as files have it.

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyString};

use super::convert::bytes_object;
use super::core::Core;
use super::detach::detached;

/// The rank file.
#[pyfunction]
pub(super) fn rank_file<'py>(py: Python<'py>, core: &Core) -> PyResult<Bound<'py, PyBytes>> {
    let file = detached(py, None, |_, _| core.encoder.vocabulary.rank_file())?;
    bytes_object(py, &file)
}

/// The tokens in the byte-level alphabet, special tokens not among them.
#[pyfunction]
pub(super) fn written_tokens<'py>(py: Python<'py>, core: &Core) -> PyResult<Bound<'py, PyList>> {
    lines(py, &detached(py, None, |_, _| core.encoder.vocabulary.written_tokens())?)
}

/// The merges in the byte-level alphabet.
#[pyfunction]
pub(super) fn written_merges<'py>(py: Python<'py>, core: &Core) -> PyResult<Bound<'py, PyList>> {
    lines(py, &detached(py, None, |check, _| core.encoder.vocabulary.written_merges(check))?)
}

/// The lines of a text, made by Python: there refused memory is an exception.
fn lines<'py>(py: Python<'py>, text: &str) -> PyResult<Bound<'py, PyList>> {
    if text.is_empty() {
        return Ok(PyList::empty(py));
    }
    let text = PyString::from_bytes(py, text.as_bytes())?;
    Ok(text.call_method1("split", ("\n",))?.cast_into()?)
}
