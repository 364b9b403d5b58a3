//! Ids to bytes, and to text.

use pyo3::prelude::*;
use pyo3::types::{PyList, PyString};

use super::convert::append_text;
use super::core::Core;
use super::detach::{detached, go_on};
use super::raise::raise;
use crate::encode::decode::MIN_IDS_TO_MAKE_TABLE;
use crate::encode::parallel::Ids;
use crate::error::{Check, slice};
use crate::text::utf8::whole_characters;

/// Up to so many ids are decoded while attached to the interpreter: a few microseconds.
pub(super) const FEW_IDS: usize = 1 << 9;
/// Ids that are decoded at a time before their text is made: some 32 KB of text, which stay near the processor.
pub(super) const TEXT_IDS: usize = 1 << 13;

impl Core {
    /// Makes the table for decoding if `count` ids are worth it. It is made while attached to the
    /// interpreter, so that no thread can fork the process meanwhile.
    pub(super) fn make_decode_table(&self, count: usize) {
        if count >= MIN_IDS_TO_MAKE_TABLE {
            self.encoder.vocabulary.make_decode_table();
        }
    }

    pub(super) fn bytes(&self, py: Python, ids: &Ids, skip_special: bool) -> PyResult<Vec<u8>> {
        self.make_decode_table(ids.len());
        let decode = |check: &Check| match ids {
            Ids::U32(ids) => self.encoder.decode(ids, skip_special, check),
            Ids::I32(ids) => self.encoder.decode(ids, skip_special, check),
            Ids::I64(ids) => self.encoder.decode(ids, skip_special, check),
        };
        if ids.len() <= FEW_IDS {
            return decode(&go_on).map_err(|error| raise(py, error));
        }
        detached(py, None, |check, _| decode(check))
    }

    /// An error of Python's decoder if the bytes are not UTF-8.
    pub(super) fn text<'py, I: Copy + Into<i64> + Sync>(
        &self,
        py: Python<'py>,
        ids: &[I],
        skip_special: bool,
    ) -> PyResult<Bound<'py, PyString>> {
        if let &[id] = ids {
            // As ids come from a model: its bytes are not copied.
            let bytes = self.encoder.decode_one(id.into(), 0, skip_special);
            return PyString::from_bytes(py, bytes.map_err(|error| raise(py, error))?);
        }
        if ids.len() <= FEW_IDS {
            let bytes = self.encoder.decode(ids, skip_special, &go_on);
            return PyString::from_bytes(py, &bytes.map_err(|error| raise(py, error))?);
        }
        self.make_decode_table(ids.len());
        let (parts, mut bytes, mut units) = (PyList::empty(py), Vec::new(), Vec::new());
        for (number, ids) in (0..).zip(ids.chunks(TEXT_IDS)) {
            let before = number * TEXT_IDS;
            detached(py, None, |check, _| {
                self.encoder.decode_into(&mut bytes, ids, before, skip_special, check)
            })?;
            let whole = whole_characters(&bytes);
            let characters = slice(&bytes, ..whole).map_err(|error| raise(py, error))?;
            append_text(&parts, characters, &mut units)?;
            bytes.drain(..whole);
            py.check_signals()?;
        }
        append_text(&parts, &bytes, &mut units)?;
        Ok(PyString::new(py, "").call_method1("join", (parts,))?.cast_into()?)
    }
}
