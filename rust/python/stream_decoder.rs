//! Decoding ids as they come.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::{PyList, PyString};

use super::convert::GivenIds;
use super::decode::{FEW_IDS, TEXT_IDS};
use super::detach::{detached, go_on};
use super::raise::raise;
use crate::encode::Encoder;
use crate::encode::decode::TextDecoder;
use crate::encode::parallel::Ids;
use crate::error::{Check, Error, slice};

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

    /// The text of the bytes that `stream` holds and of `ids`, which follow `before` others.
    fn decoded(
        &self,
        stream: &mut TextDecoder,
        ids: &Ids,
        before: usize,
        check: &Check,
    ) -> Result<String, Error> {
        stream.push(&self.bytes(ids, before, check)?)
    }
}

/// The ids from `start` on, at most so many as are decoded at a time.
fn part<'a>(ids: &Ids<'a>, start: usize) -> Result<Ids<'a>, Error> {
    let end = ids.len().min(start + TEXT_IDS);
    Ok(match ids {
        Ids::U32(ids) => Ids::U32(slice(ids, start..end)?),
        Ids::I32(ids) => Ids::I32(slice(ids, start..end)?),
        Ids::I64(ids) => Ids::I64(slice(ids, start..end)?),
    })
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
        let (all, mut stream) = (given.slice()?, self.stream.clone());
        let text = if all.len() <= FEW_IDS {
            let text = self.decoded(&mut stream, &all, self.count, &go_on);
            PyString::from_bytes(py, text.map_err(|error| raise(py, error))?.as_bytes())?
        } else {
            let parts = PyList::empty(py);
            for start in (0..all.len()).step_by(TEXT_IDS) {
                let text = detached(py, None, |check, _| {
                    self.decoded(&mut stream, &part(&all, start)?, self.count + start, check)
                })?;
                parts.append(PyString::from_bytes(py, text.as_bytes())?)?;
                py.check_signals()?;
            }
            PyString::new(py, "").call_method1("join", (parts,))?.cast_into()?
        };
        self.count += all.len();
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
