//! The single steps of encoding: the interface of tiktoken needs them.

use std::sync::Arc;

use numpy::PyArray1;
use pyo3::prelude::*;
use pyo3::types::PyList;

use super::convert::{array, bytes_object};
use super::core::Core;
use super::detach::detached;
use crate::bpe::merge::MergeMemory;
use crate::error::Error;
use crate::text::pretokenize::Pretokens;
use crate::text::span::Span;

/// Pretokens between two looks for signals, some milliseconds.
const PRETOKENS_CHECK: usize = 1 << 14;

/// The bytes of each token, special tokens not among them.
#[pyfunction]
pub(super) fn tokens<'py>(py: Python<'py>, core: &Core) -> PyResult<Bound<'py, PyList>> {
    let list = PyList::empty(py);
    for (_, token) in core.encoder.vocabulary.iter() {
        list.append(bytes_object(py, token)?)?;
    }
    Ok(list)
}

/// Where the last pretoken of a text begins; 0 for the empty text.
#[pyfunction]
pub(super) fn last_pretoken(py: Python, text: &[u8]) -> PyResult<usize> {
    detached(py, None, |check, _| {
        let mut start = 0;
        for pretoken in Pretokens::new(text, check) {
            start = pretoken?.start;
        }
        Ok(start)
    })
}

/// Where each pretoken of a text ends, in bytes, as `int64[n]`.
#[pyfunction]
pub(super) fn pretoken_ends<'py>(
    py: Python<'py>,
    text: &[u8],
) -> PyResult<Bound<'py, PyArray1<i64>>> {
    let ends = detached(py, None, |check, _| {
        let mut ends: Vec<i64> = Vec::new();
        for pretoken in Pretokens::new(text, check) {
            let pretoken = pretoken?;
            if ends.len().is_multiple_of(PRETOKENS_CHECK) {
                check()?;
            }
            ends.try_reserve(1)?;
            ends.push(pretoken.end as i64);
        }
        Ok::<_, Error>(ends)
    })?;
    array(py, ends)
}

/// The ids that merging gives from each byte string, which is neither cut nor looked up as a whole.
#[pyfunction]
pub(super) fn merge_batch(
    py: Python,
    core: &Core,
    pieces: Vec<Vec<u8>>,
) -> PyResult<Vec<Vec<u32>>> {
    let vocabulary = Arc::clone(&core.encoder.vocabulary);
    detached(py, None, |check, _| {
        let mut memory = MergeMemory::default();
        memory.begin(vocabulary.number());
        let merge = |piece: &Vec<u8>| {
            let ids = vocabulary.merge(
                core.encoder.path(),
                piece,
                Span::all_of(piece),
                &mut memory,
                check,
            )?;
            Ok(ids.to_vec())
        };
        pieces.iter().map(merge).collect()
    })
}
