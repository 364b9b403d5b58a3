//! A text in chunks, and the tokens of its parts.

use std::borrow::Cow;
use std::sync::Arc;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use super::convert::{bytes_of, joined_pairs};
use super::core::Core;
use super::detach::{detached, go_on};
use super::options::PythonOptions;
use super::raise::raise;
use crate::added::Selection;
use crate::encode::Encoder;
use crate::encode::options::Options;
use crate::encode::split::{Chunk, Division};
use crate::encode::token_index;
use crate::error::slice;
use crate::text::breaks::BreakKind;

/// A text that is kept between calls: the object itself, or its bytes if they had to be made.
enum Text {
    Object(Py<PyAny>),
    Bytes(Vec<u8>),
}

impl Text {
    fn of(text: &Bound<PyAny>) -> PyResult<Self> {
        Ok(match bytes_of(text, || "text".to_owned())? {
            Cow::Borrowed(_) => Self::Object(text.clone().unbind()),
            Cow::Owned(bytes) => Self::Bytes(bytes),
        })
    }

    /// Gives the bytes to `work`.
    fn with<T>(&self, py: Python, work: impl FnOnce(&[u8]) -> PyResult<T>) -> PyResult<T> {
        match self {
            Self::Object(object) => work(&bytes_of(object.bind(py), || "text".to_owned())?),
            Self::Bytes(bytes) => work(bytes),
        }
    }
}

/// The first byte and the one after the last, the same for characters, and how many tokens.
type GivenChunk = (usize, usize, usize, usize, usize);

/// An iterator over chunks.
#[pyclass(module = "llama3_tok._core")]
pub(super) struct Splitter {
    encoder: Arc<Encoder>,
    options: Options,
    division: Division,
    text: Text,
    /// Where pairs of surrogates were joined, which are two characters for Python.
    pairs: Vec<usize>,
    before: Option<Chunk>,
    /// Characters before the chunk `before`.
    characters: usize,
}

#[pymethods]
impl Splitter {
    #[new]
    fn new(
        core: &Core,
        text: &Bound<PyAny>,
        limit: usize,
        overlap: usize,
        at: &str,
        options: Option<&Bound<PythonOptions>>,
    ) -> PyResult<Self> {
        let kind = BreakKind::find(at).ok_or_else(|| PyValueError::new_err("no such place"))?;
        let (py, options) = (text.py(), core.options(options)?);
        let bytes = bytes_of(text, || "text".to_owned())?;
        let added = &core.encoder.added;
        detached(py, None, |check, _| added.refuse(&bytes, &options.disallowed, check))?;
        Ok(Self {
            encoder: Arc::clone(&core.encoder),
            options: Options { disallowed: Selection::None, ..options },
            division: Division { limit, overlap, kind },
            text: Text::of(text)?,
            pairs: joined_pairs(text)?,
            before: None,
            characters: 0,
        })
    }

    fn __iter__(this: Py<Self>) -> Py<Self> {
        this
    }

    fn __next__(&mut self, py: Python) -> PyResult<Option<GivenChunk>> {
        let Self { encoder, options, division, text, pairs, before, characters } = self;
        text.with(py, |text| {
            let next = detached(py, None, |check, _| {
                encoder.next_chunk(text, *before, *division, options, check)
            })?;
            let Some(chunk) = next else { return Ok(None) };
            let count = |start: usize, end: usize| {
                let part = slice(text, start..end).map_err(|error| raise(py, error))?;
                let joined = |at| pairs.partition_point(|&pair| pair < at);
                Ok::<_, PyErr>(token_index::characters(part) + joined(end) - joined(start))
            };
            let first = *characters + count(before.map_or(0, |before| before.start), chunk.start)?;
            let last = first + count(chunk.start, chunk.end)?;
            (*before, *characters) = (Some(chunk), first);
            Ok(Some((chunk.start, chunk.end, first, last, chunk.tokens)))
        })
    }
}

/// The tokens of any part of a text.
#[pyclass(frozen, module = "llama3_tok._core")]
pub(super) struct TokenIndex {
    encoder: Arc<Encoder>,
    text: Py<PyAny>,
    index: token_index::TokenIndex,
}

#[pymethods]
impl TokenIndex {
    /// `text` is `bytes`, or a `str` without surrogates.
    #[new]
    fn new(core: &Core, text: &Bound<PyAny>) -> PyResult<Self> {
        let (py, encoder) = (text.py(), Arc::clone(&core.encoder));
        let bytes = bytes_of(text, || "text".to_owned())?;
        let index =
            detached(py, None, |check, _| token_index::TokenIndex::new(&encoder, &bytes, check))?;
        Ok(Self { encoder, text: text.clone().unbind(), index })
    }

    /// How many tokens the part has that begins at `start` and ends before `end`: bytes, or characters.
    fn count(&self, py: Python, start: usize, end: usize, in_characters: bool) -> PyResult<usize> {
        let text = bytes_of(self.text.bind(py), || "text".to_owned())?;
        let count = || {
            let (mut start, mut end) = (start, end);
            if in_characters {
                start = self.index.byte_of(&text, start)?;
                end = self.index.byte_of(&text, end)?;
            }
            self.index.count(&self.encoder, &text, start, end, &go_on)
        };
        count().map_err(|error| raise(py, error))
    }
}
