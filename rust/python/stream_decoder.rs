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
    /// What an id that no token has becomes; `None` if it is an error.
    unknown: Option<&'static str>,
    count: usize,
    stream: TextDecoder,
}

/// Bytes that decide on what is held after them: one less than a character has at most.
const TAIL_BYTES: usize = 3;

impl StreamDecoder {
    pub(super) fn new(
        encoder: Arc<Encoder>,
        skip_special: bool,
        unknown: Option<&'static str>,
    ) -> Self {
        Self { encoder, skip_special, unknown, count: 0, stream: TextDecoder::default() }
    }

    /// The bytes of `ids`, which follow `before` others.
    fn bytes(&self, ids: &Ids, before: usize, check: &Check) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        match ids {
            Ids::U32(ids) => self.add(&mut bytes, ids, before, check),
            Ids::I32(ids) => self.add(&mut bytes, ids, before, check),
            Ids::I64(ids) => self.add(&mut bytes, ids, before, check),
        }?;
        Ok(bytes)
    }

    fn add<I: Copy + Into<i64>>(
        &self,
        bytes: &mut Vec<u8>,
        ids: &[I],
        before: usize,
        check: &Check,
    ) -> Result<(), Error> {
        let skip = self.skip_special;
        match self.unknown {
            None => self.encoder.decode_into(bytes, ids, before, skip, check),
            Some(text) => self.encoder.decode_lenient_into(bytes, ids, before, skip, text, check),
        }
    }

    /// The text of the held bytes and `ids`, and the stream after them.
    fn decoded(&self, ids: &Ids, check: &Check) -> Result<(String, TextDecoder), Error> {
        let bytes = self.bytes(ids, self.count, check)?;
        let mut stream = self.stream.clone();
        Ok((stream.push(&bytes)?, stream))
    }
}

#[pymethods]
impl StreamDecoder {
    /// Begins after other ids, of which `tail` are the last ones: what these leave open is held, and nothing of them
    /// is given. False if `tail` is too short to tell; then nothing has changed. `before` ids come before it.
    fn begin_after(&mut self, tail: &Bound<PyAny>, before: usize) -> PyResult<bool> {
        let (py, given) = (tail.py(), GivenIds::after(tail, "prompt_tail", before)?);
        let bytes = self.bytes(&given.slice()?, before, &go_on);
        let bytes = bytes.map_err(|error| raise(py, error))?;
        if before > 0 && bytes.len() < TAIL_BYTES {
            return Ok(false);
        }
        let mut stream = TextDecoder::default();
        stream.push(&bytes).map_err(|error| raise(py, error))?;
        (self.count, self.stream) = (0, stream);
        Ok(true)
    }

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
