//! Decoding ids as they come.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::PyString;

use super::convert::GivenIds;
use super::decode::FEW_IDS;
use super::detach::{detached, go_on};
use super::raise::raise;
use crate::encode::Encoder;
use crate::encode::decode::TextDecoder;
use crate::encode::parallel::Ids;
use crate::error::{Check, Error};

/// How many ids were decoded so far, and the beginning of a character that is held.
#[pyclass(module = "llama3_tok._core")]
pub(super) struct StreamDecoder {
    encoder: Arc<Encoder>,
    skip_special: bool,
    count: usize,
    stream: TextDecoder,
}

impl StreamDecoder {
    pub(super) fn new(encoder: Arc<Encoder>, skip_special: bool) -> Self {
        Self { encoder, skip_special, count: 0, stream: TextDecoder::default() }
    }

    /// The text of the held bytes and `ids`, and the stream after them.
    fn decoded(&self, ids: &Ids, check: &Check) -> Result<(String, TextDecoder), Error> {
        let (mut bytes, skip) = (Vec::new(), self.skip_special);
        match ids {
            Ids::U32(ids) => self.encoder.decode_into(&mut bytes, ids, self.count, skip, check),
            Ids::I32(ids) => self.encoder.decode_into(&mut bytes, ids, self.count, skip, check),
            Ids::I64(ids) => self.encoder.decode_into(&mut bytes, ids, self.count, skip, check),
        }?;
        let mut stream = self.stream.clone();
        Ok((stream.push(&bytes)?, stream))
    }
}

#[pymethods]
impl StreamDecoder {
    /// `ids` are as for `decode`; after an error nothing has changed.
    fn push<'py>(&mut self, ids: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyString>> {
        let py = ids.py();
        let given = GivenIds::after(ids, "ids", self.count)?;
        let slice = given.slice()?;
        let (text, stream) = if slice.len() <= FEW_IDS {
            self.decoded(&slice, &go_on).map_err(|error| raise(py, error))?
        } else {
            detached(py, None, |check, _| self.decoded(&slice, check))?
        };
        let text = PyString::from_bytes(py, text.as_bytes())?;
        self.count += slice.len();
        self.stream = stream;
        Ok(text)
    }

    fn flush(&mut self) -> &'static str {
        self.count = 0;
        self.stream.flush()
    }

    /// How many ids were pushed since the beginning, or since `flush`.
    #[getter]
    fn count(&self) -> usize {
        self.count
    }

    /// The bytes held.
    #[getter]
    fn held(&self) -> &[u8] {
        self.stream.held()
    }
}
