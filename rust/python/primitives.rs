//! The single steps of encoding: the interface of tiktoken needs them.

use std::sync::Arc;

use numpy::{PyArray1, PyReadonlyArray1};
use pyo3::prelude::*;
use pyo3::types::PyList;

use super::convert::{array, bytes_object, list_of, list_of_rows};
use super::core::Core;
use super::detach::detached;
use crate::bpe::merge::MergeMemory;
use crate::error::Error;
use crate::text::pretokenize::Pretokens;
use crate::text::pretokenize::scalar::{Cut, cut};
use crate::text::span::Span;

type Cuts<'py> = (Bound<'py, PyArray1<i64>>, Bound<'py, PyArray1<u8>>);

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

/// The ids of an array as a list, as `encode` gives it.
#[pyfunction]
pub(super) fn listed<'py>(ids: PyReadonlyArray1<'py, u32>) -> PyResult<Bound<'py, PyList>> {
    list_of(ids.py(), ids.as_slice()?)
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

/// How a text is cut into pretokens: where each ends, in bytes, as `int64[n]`, and which alternative of the
/// pattern cut it, 1 to 7, as `uint8[n]`.
#[pyfunction]
pub(super) fn pretoken_cuts<'py>(py: Python<'py>, text: &[u8]) -> PyResult<Cuts<'py>> {
    let (ends, alternatives) = detached(py, None, |check, _| {
        let (mut ends, mut alternatives): (Vec<i64>, Vec<u8>) = Default::default();
        let mut at = 0;
        while let Some(Cut { end, alternative }) = cut(text, at, check)? {
            if ends.len().is_multiple_of(PRETOKENS_CHECK) {
                check()?;
            }
            ends.try_reserve(1)?;
            ends.push(end as i64);
            alternatives.try_reserve(1)?;
            alternatives.push(alternative);
            at = end;
        }
        Ok::<_, Error>((ends, alternatives))
    })?;
    Ok((array(py, ends)?, array(py, alternatives)?))
}

/// How merging joins the bytes of a piece: `(start, middle, end, id)` for each step, in order.
#[pyfunction]
pub(super) fn merge_steps<'py>(
    py: Python<'py>,
    core: &Core,
    piece: &[u8],
) -> PyResult<Bound<'py, PyList>> {
    let vocabulary = Arc::clone(&core.encoder.vocabulary);
    let steps = detached(py, None, |check, _| vocabulary.merge_steps(piece, check))?;
    list_of_rows(py, steps.iter().map(|step| (step.start, step.middle, step.end, step.id)))
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
        memory.begin(vocabulary.serial());
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
