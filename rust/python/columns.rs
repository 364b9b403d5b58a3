//! Texts that lie in buffers, as those of Arrow columns do: no object is made for a text.

use numpy::PyReadonlyArray1;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use super::convert::load_numpy;
use super::core::Core;
use super::detach::detached;
use crate::encode::slices::Slices;
use crate::error::{Check, Error};

/// The rows of a column, as NumPy arrays.
pub(super) struct Rows<'py> {
    buffers: Vec<PyReadonlyArray1<'py, u8>>,
    buffer_of: Option<PyReadonlyArray1<'py, i32>>,
    starts: PyReadonlyArray1<'py, i64>,
    ends: PyReadonlyArray1<'py, i64>,
}

impl<'py> Rows<'py> {
    pub(super) fn of(
        buffers: &Bound<'py, PyAny>,
        buffer_of: Option<&Bound<'py, PyAny>>,
        starts: &Bound<'py, PyAny>,
        ends: &Bound<'py, PyAny>,
    ) -> PyResult<Self> {
        load_numpy(buffers.py())?;
        let rows = Self {
            buffers: buffers.extract()?,
            buffer_of: buffer_of.map(|numbers| numbers.extract()).transpose()?,
            starts: starts.extract()?,
            ends: ends.extract()?,
        };
        let count = rows.starts.as_slice()?.len();
        let numbers = match &rows.buffer_of {
            Some(numbers) => numbers.as_slice()?.len(),
            None => count,
        };
        if (rows.ends.as_slice()?.len(), numbers) != (count, count) {
            return Err(PyValueError::new_err(
                "there is not one end and one buffer for each start",
            ));
        }
        Ok(rows)
    }
}

impl Core {
    /// Gives the rows of a column to `work`, detached from the interpreter.
    pub(super) fn with_rows<T: Send>(
        &self,
        py: Python,
        rows: &Rows,
        work: impl FnOnce(&Slices, &Check) -> Result<T, Error> + Send,
    ) -> PyResult<T> {
        let buffers = rows.buffers.iter().map(|buffer| Ok(buffer.as_slice()?));
        let buffers = buffers.collect::<PyResult<Vec<_>>>()?;
        let buffer_of = rows.buffer_of.as_ref().map(|of| of.as_slice()).transpose()?;
        let (starts, ends) = (rows.starts.as_slice()?, rows.ends.as_slice()?);
        let slices = Slices { buffers: &buffers, buffer_of, starts, ends };
        detached(py, None, |check, _| work(&slices, check))
    }
}
