//! Text to ids: options, single texts and batches.

use std::borrow::Cow;
use std::cell::Cell;

use pyo3::prelude::*;
use pyo3::types::{PyList, PyString};

use super::convert::{all_bytes, bytes_of, try_collect};
use super::core::Core;
use super::detach::{detached, go_on};
use super::raise::raise;
use crate::added::Selection;
use crate::encode::options::Options;
use crate::encode::parallel::Ragged;
use crate::error::{Check, Error};

/// Text of up to so many bytes is encoded while attached to the interpreter: a few microseconds.
const MAX_ATTACHED_BYTES: usize = 1 << 11;
/// The ids of text of up to so many bytes are copied out of memory that stays with the thread.
const MAX_REUSED_BYTES: usize = 1 << 15;

thread_local! {
    static IDS: Cell<Vec<u32>> = const { Cell::new(Vec::new()) };
}

/// BOS, EOS, allowed and disallowed special tokens; the last two are `None`, `"all"` or names.
pub(super) type GivenOptions<'py> =
    (bool, bool, Option<Bound<'py, PyAny>>, Option<Bound<'py, PyAny>>);

impl Core {
    pub(super) fn options(&self, options: Option<GivenOptions>) -> PyResult<Options> {
        let Some((bos, eos, allowed, disallowed)) = options else { return Ok(Options::default()) };
        let allowed = self.selection(allowed)?;
        let disallowed = match self.selection(disallowed)? {
            Selection::All => self.encoder.added.complement(&allowed),
            selection => selection,
        };
        Ok(Options { bos, eos, allowed, disallowed })
    }

    /// `None`, `"all"` or a list of names, as `tokenizer.py` gives them.
    fn selection(&self, names: Option<Bound<PyAny>>) -> PyResult<Selection> {
        let Some(names) = names else { return Ok(Selection::None) };
        if names.is_instance_of::<PyString>() {
            return Ok(Selection::All);
        }
        let names_of = names.extract::<Vec<String>>()?;
        let selection = self.encoder.added.select(&names_of, self.encoder.profile());
        selection.map_err(|error| raise(names.py(), error))
    }

    /// Encodes `text` and gives the ids to `take`: if they are few, borrowed from memory that is used again.
    pub(super) fn with_ids<T>(
        &self,
        text: &Bound<PyAny>,
        options: Option<GivenOptions>,
        take: impl FnOnce(Cow<[u32]>) -> PyResult<T>,
    ) -> PyResult<T> {
        let (py, options) = (text.py(), self.options(options)?);
        let bytes = bytes_of(text, || "text".to_owned())?;
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
    pub(super) fn counted(&self, text: &Bound<PyAny>) -> PyResult<usize> {
        let bytes = bytes_of(text, || "text".to_owned())?;
        if bytes.len() <= MAX_ATTACHED_BYTES {
            return self.encoder.count(&bytes, &go_on).map_err(|error| raise(text.py(), error));
        }
        detached(text.py(), None, |check, _| self.encoder.count_parallel(&bytes, check))
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
    pub(super) fn counts(&self, texts: &Bound<PyList>, threads: usize) -> PyResult<Vec<i64>> {
        with_bytes(texts, |texts, check| self.encoder.count_batch(texts, threads, check))
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
