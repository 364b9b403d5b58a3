//! Two stages of the pipeline alone, for reports that explain ids: the pattern, and merging.

use numpy::PyArray1;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};

use super::convert::list_of;
use super::{Core, detached};
use crate::error::Error;
use crate::merge::Merging;
use crate::pretokenize::Pretokens;

/// Pretokens between two looks for signals, some milliseconds.
const CHECK: usize = 1 << 14;

/// Adds the functions to the module.
pub(super) fn add(module: &Bound<PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(pretoken_ends, module)?)?;
    module.add_function(wrap_pyfunction!(merged, module)?)
}

/// Where each pretoken of a text ends, in bytes, as `int64[n]`.
#[pyfunction]
fn pretoken_ends<'py>(text: &Bound<'py, PyBytes>) -> PyResult<Bound<'py, PyArray1<i64>>> {
    let bytes = text.as_bytes();
    let ends = detached(text.py(), None, |check, _| {
        let mut ends: Vec<i64> = Vec::new();
        for pretoken in Pretokens::new(bytes) {
            if ends.len() % CHECK == 0 {
                check()?;
            }
            ends.try_reserve(1)?;
            ends.push(pretoken.end as i64);
        }
        Ok::<_, Error>(ends)
    })?;
    Ok(PyArray1::from_vec(text.py(), ends))
}

/// The ids that merging alone gives: no pattern cuts the text, and no token is found whole.
#[pyfunction]
fn merged<'py>(core: &Bound<'py, Core>, text: &[u8]) -> PyResult<Bound<'py, PyList>> {
    let vocabulary = &core.get().encoder.vocabulary;
    let ids = detached(core.py(), None, |check, _| {
        let mut memory = Merging::default();
        memory.begin(vocabulary.number());
        vocabulary.merge(text, 0, text.len(), &mut memory, check).map(<[u32]>::to_vec)
    })?;
    list_of(core.py(), &ids)
}
