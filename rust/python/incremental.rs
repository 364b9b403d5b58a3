//! Encoding a text that comes in pieces, and texts whose beginnings are known.

use std::borrow::Cow;
use std::sync::Arc;

use numpy::PyArray1;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};

use super::chat::{GivenChat, with_script};
use super::convert::{array, array_of, bytes_object, bytes_of, list_of};
use super::core::Core;
use super::detach::{detached, go_on};
use super::encode::MAX_ATTACHED_BYTES;
use super::options::PythonOptions;
use super::raise::raise;
use crate::chat::ChatSource;
use crate::encode::Encoder;
use crate::encode::incremental;
use crate::encode::options::Options;
use crate::encode::prefixes::{self, Kind, PrefixInfo, TextSource};
use crate::error::slice;

/// A text that comes in pieces, and its ids so far.
#[pyclass(module = "llama3_tok._core")]
pub(super) struct IncrementalEncoder {
    inner: incremental::IncrementalEncoder,
    ids: Vec<u32>,
}

#[pymethods]
impl IncrementalEncoder {
    #[new]
    fn new(py: Python, core: &Core, options: Option<&Bound<PythonOptions>>) -> PyResult<Self> {
        let options = core.options(options)?;
        let inner = incremental::IncrementalEncoder::new(Arc::clone(&core.encoder), options);
        Ok(Self { inner: inner.map_err(|error| raise(py, error))?, ids: Vec::new() })
    }

    /// The ids that are settled by more of the text; after an error nothing has changed.
    fn push<'py>(&mut self, text: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyList>> {
        let py = text.py();
        let bytes = bytes_of(text, || "text".to_owned())?;
        let Self { inner, ids } = self;
        let before = ids.len();
        if inner.pending().len() + bytes.len() <= MAX_ATTACHED_BYTES {
            inner.push(&bytes, ids, &go_on).map_err(|error| raise(py, error))?;
        } else {
            detached(py, None, |check, _| inner.push(&bytes, ids, check))?;
        }
        list_of(py, slice(ids, before..).map_err(|error| raise(py, error))?)
    }

    /// The ids of what is pending; the next text begins after that, and its ids are counted anew.
    fn finish<'py>(&mut self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let Self { inner, ids } = self;
        let before = ids.len();
        detached(py, None, |check, _| inner.finish(ids, check))?;
        list_of(py, slice(ids, before..).map_err(|error| raise(py, error))?)
    }

    /// Forgets the ids of a text that has ended.
    fn forget(&mut self) {
        self.ids = Vec::new();
    }

    /// All ids that were given.
    #[getter]
    fn ids<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        list_of(py, &self.ids)
    }

    #[getter]
    fn ids_array<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyArray1<u32>>> {
        array_of(py, Cow::Borrowed(&self.ids))
    }

    #[getter]
    fn pending<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        bytes_object(py, self.inner.pending())
    }

    /// How many bytes were pushed.
    #[getter]
    fn bytes(&self) -> usize {
        self.inner.bytes()
    }
}

/// The beginnings of texts and conversations that were encoded.
#[pyclass(frozen, module = "llama3_tok._core")]
pub(super) struct PrefixCache {
    encoder: Arc<Encoder>,
    /// Without BOS and EOS, which are these.
    options: Options,
    bos: Option<u32>,
    eos: Option<u32>,
    cache: prefixes::PrefixCache,
}

#[pymethods]
impl PrefixCache {
    #[new]
    fn new(
        py: Python,
        core: &Core,
        options: Option<&Bound<PythonOptions>>,
        limit: usize,
    ) -> PyResult<Self> {
        let (encoder, options) = (Arc::clone(&core.encoder), core.options(options)?);
        let (bos, eos) = encoder.ends(&options).map_err(|error| raise(py, error))?;
        Ok(Self {
            bos,
            eos,
            options: Options { bos: false, eos: false, ..options },
            cache: prefixes::PrefixCache::new(limit),
            encoder,
        })
    }

    fn encode<'py>(&self, text: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyList>> {
        list_of(text.py(), &self.ids(text)?)
    }

    /// The ids as `uint32[n]`.
    fn encode_array<'py>(&self, text: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyArray1<u32>>> {
        array(text.py(), self.ids(text)?)
    }

    /// The ids of a conversation as `uint32[n]`; `core` is that of the cache.
    fn encode_chat_array<'py>(
        &self,
        core: &Bound<'py, Core>,
        chat: GivenChat,
    ) -> PyResult<Bound<'py, PyArray1<u32>>> {
        let ids = with_script(core, &chat, |script, check| {
            let source = ChatSource::new(&self.encoder, script, check)?;
            let mut ids = Vec::new();
            self.cache.encode(Kind::Chat, &source, &mut ids, check)?;
            Ok(ids)
        })?;
        array(core.py(), ids)
    }

    /// Blocks, their bytes, texts, bytes of them that were known, and all bytes of them.
    fn info(&self, py: Python) -> (usize, usize, usize, usize, usize) {
        let PrefixInfo { blocks, bytes, texts, known_bytes, all_bytes } =
            py.detach(|| self.cache.info());
        (blocks, bytes, texts, known_bytes, all_bytes)
    }

    fn clear(&self, py: Python) -> PyResult<()> {
        detached(py, None, |_, _| self.cache.clear())
    }
}

impl PrefixCache {
    fn ids(&self, text: &Bound<PyAny>) -> PyResult<Vec<u32>> {
        let bytes = bytes_of(text, || "text".to_owned())?;
        detached(text.py(), None, |check, _| {
            let mut ids = Vec::new();
            ids.try_reserve(usize::from(self.bos.is_some()) + usize::from(self.eos.is_some()))?;
            ids.extend(self.bos);
            let source =
                TextSource { encoder: &self.encoder, options: &self.options, text: &bytes };
            self.cache.encode(Kind::Text, &source, &mut ids, check)?;
            ids.try_reserve(1)?;
            ids.extend(self.eos);
            Ok(ids)
        })
    }
}
