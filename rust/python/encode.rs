//! Text to ids: options, single texts and batches.

use std::borrow::Cow;
use std::cell::Cell;

use numpy::PyArray1;
use pyo3::prelude::*;
use pyo3::types::PyList;

use super::convert::{all_bytes, array, bytes_of, try_collect};
use super::core::Core;
use super::detach::{detached, go_on};
use super::options::GivenOptions;
use super::raise::raise;
use crate::encode::options::Options;
use crate::encode::parallel::Ragged;
use crate::error::{Check, Error};
use crate::machine::reserve;

/// Text of up to so many bytes is encoded while attached to the interpreter: a few microseconds.
pub(super) const MAX_ATTACHED_BYTES: usize = 1 << 11;
/// The ids of text of up to so many bytes are copied out of memory that stays with the thread.
const MAX_REUSED_BYTES: usize = 1 << 15;

/// `uint32[n]` and `int64[rows + 1]`.
pub(super) type IdsAndOffsets<'py> = (Bound<'py, PyArray1<u32>>, Bound<'py, PyArray1<i64>>);

thread_local! {
    static IDS: Cell<Vec<u32>> = const { Cell::new(Vec::new()) };
}

impl Core {
    /// Encodes `text` and gives the ids to `take`: those of a short text borrowed, from memory that is used
    /// again.
    pub(super) fn with_ids<T>(
        &self,
        text: &Bound<PyAny>,
        options: GivenOptions,
        take: impl FnOnce(Cow<[u32]>) -> PyResult<T>,
    ) -> PyResult<T> {
        let (py, options) = (text.py(), self.options(options)?);
        let bytes = bytes_of(text, || "text".to_owned())?;
        reserve::ready().map_err(|error| raise(py, error))?;
        if bytes.len() > MAX_REUSED_BYTES {
            let encode =
                |check: &Check, _: &_| self.encoder.encode_parallel(&bytes, &options, check);
            return take(Cow::Owned(detached(py, None, encode)?));
        }
        // If a signal handler interrupts this, the memory is taken already, and the handler gets new memory.
        let mut ids = IDS.take();
        ids.clear();
        let encoded = if bytes.len() <= MAX_ATTACHED_BYTES {
            let encoded = self.encoder.encode(&bytes, &options, &mut ids, &go_on);
            encoded.map_err(|error| raise(py, error))
        } else {
            detached(py, None, |check, _| self.encoder.encode(&bytes, &options, &mut ids, check))
        };
        let taken = encoded.and_then(|()| take(Cow::Borrowed(&ids)));
        IDS.set(ids);
        taken
    }

    /// How many ids a text has.
    pub(super) fn counted(&self, text: &Bound<PyAny>, options: GivenOptions) -> PyResult<usize> {
        let (py, options) = (text.py(), self.options(options)?);
        let bytes = bytes_of(text, || "text".to_owned())?;
        reserve::ready().map_err(|error| raise(py, error))?;
        if bytes.len() <= MAX_ATTACHED_BYTES {
            let counted = self.encoder.count(&bytes, &options, &go_on);
            return counted.map_err(|error| raise(py, error));
        }
        detached(py, None, |check, _| self.encoder.count_parallel(&bytes, &options, check))
    }

    pub(super) fn encode_groups(
        &self,
        texts: &Bound<PyList>,
        threads: usize,
        options: &Options,
    ) -> PyResult<Vec<Ragged>> {
        with_bytes(texts, |texts, check| self.encoder.encode_batch(texts, threads, options, check))
    }

    pub(super) fn encode_all(
        &self,
        texts: &Bound<PyList>,
        threads: usize,
        options: &Options,
    ) -> PyResult<Ragged> {
        with_bytes(texts, |texts, check| self.encoder.encode_ragged(texts, threads, options, check))
    }

    /// How many ids each text has.
    pub(super) fn counts(
        &self,
        texts: &Bound<PyList>,
        threads: usize,
        options: &Options,
    ) -> PyResult<Vec<i64>> {
        with_bytes(texts, |texts, check| self.encoder.count_batch(texts, threads, options, check))
    }
}

/// Gives the texts of a list to `work`, detached from the interpreter.
fn with_bytes<T: Send>(
    texts: &Bound<PyList>,
    work: impl FnOnce(&[Cow<[u8]>], &Check) -> Result<T, Error> + Send,
) -> PyResult<T> {
    let items = try_collect(texts.len(), texts.iter().map(Ok))?;
    let bytes = all_bytes(&items)?;
    detached(texts.py(), None, |check, _| work(&bytes, check))
}

/// Ragged ids as arrays; those of the ids have their memory.
pub(super) fn ids_and_offsets(py: Python, ragged: Ragged) -> PyResult<IdsAndOffsets> {
    let offsets = ragged.offsets.iter().map(|&offset| Ok(offset as i64));
    let offsets = try_collect(ragged.offsets.len(), offsets)?;
    Ok((array(py, ragged.ids)?, array(py, offsets)?))
}
