//! A vocabulary as files have it.

use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::convert::bytes_object;
use super::core::Core;
use super::detach::detached;

/// The rank file.
#[pyfunction]
pub(super) fn rank_file<'py>(py: Python<'py>, core: &Core) -> PyResult<Bound<'py, PyBytes>> {
    let file = detached(py, None, |_, _| Ok(core.encoder.vocabulary.rank_file()))?;
    bytes_object(py, &file)
}

/// The tokens in the byte-level alphabet, special tokens not among them.
#[pyfunction]
pub(super) fn written_tokens(py: Python, core: &Core) -> PyResult<Vec<String>> {
    detached(py, None, |_, _| Ok(core.encoder.vocabulary.written_tokens()))
}

/// The merges in the byte-level alphabet.
#[pyfunction]
pub(super) fn written_merges(py: Python, core: &Core) -> PyResult<Vec<String>> {
    detached(py, None, |_, _| core.encoder.vocabulary.written_merges())
}
