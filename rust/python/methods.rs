//! The methods of `Core`, which the class `Tokenizer` calls. What several of them do is in other files.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use numpy::PyArray1;
use pyo3::exceptions::PyUnicodeDecodeError;
use pyo3::prelude::*;
use pyo3::types::{IntoPyDict, PyBytes, PyDict, PyList, PyString};

use super::columns::Rows;
use super::convert::{
    GivenIds, array, array_of, ask_for_objects, bytes_object, bytes_of, list_of, list_of_rows,
    look_for_signals, try_collect,
};
use super::core::Core;
use super::detach::detached;
use super::encode::{IdsAndOffsets, ids_and_offsets};
use super::files::{self, Files, Gives, packed};
use super::options::GivenOptions;
use super::raise::raise;
use super::spans;
use super::stream_decoder::StreamDecoder;
use super::vocabulary::{self, Ranks};
use crate::encode::Encoder;
use crate::encode::cache::CacheInfo as Cached;
use crate::encode::parallel::Ids;
use crate::files::output::{EncodeTask, OutputKind, Records};

/// What `CacheInfo` has in Python.
#[derive(IntoPyObject)]
struct CacheInfo {
    used: usize,
    entries: usize,
    bytes: usize,
    limit: usize,
    threads: usize,
    bytes_of_all: usize,
}

#[pymethods]
impl Core {
    /// With the special tokens of a release; `file` is the vocabulary's, for messages.
    #[new]
    fn new(py: Python, ranks: &Ranks, file: &str, profile: &str) -> PyResult<Self> {
        let encoder = Encoder::new(Arc::clone(&ranks.vocabulary), file, profile);
        Ok(Self { encoder: Arc::new(encoder.map_err(|error| raise(py, error))?) })
    }

    /// With any added tokens; `release` is the profile whose conversations the core can write with them.
    #[staticmethod]
    fn with_added(
        py: Python,
        ranks: &Ranks,
        file: &str,
        tokens: Vec<vocabulary::GivenToken>,
        roles: vocabulary::GivenRoles,
        release: Option<&str>,
    ) -> PyResult<Self> {
        vocabulary::core(&ranks.vocabulary, file, tokens, roles, release)
            .map_err(|error| raise(py, error))
    }

    /// The same, but the special tokens that are keys of the dictionary have other names, its values.
    fn with_special_named(&self, py: Python, names: HashMap<String, String>) -> PyResult<Self> {
        let encoder = self.encoder.with_special_named(|name| names.get(name).cloned());
        Ok(Self { encoder: Arc::new(encoder.map_err(|error| raise(py, error))?) })
    }

    /// All added tokens, ascending by id.
    #[getter]
    fn added_tokens(&self, py: Python) -> PyResult<Vec<vocabulary::GivenToken>> {
        ask_for_objects(py, self.encoder.added.iter().count())?;
        Ok(self.encoder.added.iter().map(vocabulary::given).collect())
    }

    /// The same vocabulary and profile; the cache of each thread has at most so many bytes.
    fn with_cache(&self, py: Python, bytes: usize) -> PyResult<Self> {
        let encoder = self.encoder.again().map_err(|error| raise(py, error))?;
        Ok(Self { encoder: Arc::new(encoder.with_cache(bytes)) })
    }

    /// The cache of this thread, and those of all, as `llama3_tok.CacheInfo` has them.
    fn cache_info(&self) -> CacheInfo {
        let Cached { used, entries, bytes, limit, all_caches, all_bytes } =
            self.encoder.cache_info();
        let (threads, bytes_of_all) = (all_caches, all_bytes);
        CacheInfo { used, entries, bytes, limit, threads, bytes_of_all }
    }

    #[getter]
    fn vocab_size(&self) -> usize {
        self.encoder.vocab_size()
    }

    /// Special token names and ids, in the order of the ids.
    #[getter]
    fn special_tokens<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        ask_for_objects(py, self.encoder.added.iter().count())?;
        let special = self.encoder.added.iter().filter(|token| token.special);
        special.map(|token| (&token.name, token.id)).into_py_dict(py)
    }

    /// The ids with a meaning of their own.
    #[getter]
    fn roles(&self, py: Python) -> PyResult<vocabulary::GivenRoles> {
        ask_for_objects(py, self.encoder.roles.stops.len())?;
        Ok(vocabulary::given_roles(&self.encoder.roles))
    }

    #[pyo3(signature = (text, options=None))]
    fn encode<'py>(
        &self,
        text: &Bound<'py, PyAny>,
        options: GivenOptions,
    ) -> PyResult<Bound<'py, PyList>> {
        self.with_ids(text, options, |ids| list_of(text.py(), &ids))
    }

    #[pyo3(signature = (text, options=None))]
    fn encode_array<'py>(
        &self,
        text: &Bound<'py, PyAny>,
        options: GivenOptions,
    ) -> PyResult<Bound<'py, PyArray1<u32>>> {
        self.with_ids(text, options, |ids| array_of(text.py(), ids))
    }

    /// The ids, and the byte range and the character range of each: `uint32[n]` and twice `int64[n, 2]`.
    fn encode_spans<'py>(
        &self,
        text: &Bound<'py, PyAny>,
        options: GivenOptions,
    ) -> PyResult<spans::Spans<'py>> {
        spans::spans(&self.encoder, text, &self.options(options)?)
    }

    /// Where added tokens stand in a text: where each begins and ends, in bytes, and its id.
    fn added_spans<'py>(
        &self,
        text: &Bound<'py, PyAny>,
        options: GivenOptions,
    ) -> PyResult<Bound<'py, PyList>> {
        let (py, options) = (text.py(), self.options(options)?);
        let bytes = bytes_of(text, || "text".to_owned())?;
        let spans = detached(py, None, |check, _| {
            self.encoder.added.spans(&bytes, &options.allowed, check)
        })?;
        list_of_rows(py, spans)
    }

    /// The longest beginning of a text, or with `from_end` the longest end, of at most `limit` tokens.
    #[pyo3(signature = (text, limit, from_end, options=None))]
    fn truncate<'py>(
        &self,
        text: &Bound<'py, PyAny>,
        limit: usize,
        from_end: bool,
        options: GivenOptions,
    ) -> PyResult<Bound<'py, PyAny>> {
        spans::truncate(&self.encoder, text, limit, from_end, &self.options(options)?)
    }

    fn encode_batch<'py>(
        &self,
        texts: &Bound<'py, PyList>,
        threads: usize,
        options: GivenOptions,
    ) -> PyResult<Bound<'py, PyList>> {
        let options = self.options(options)?;
        let groups = self.encode_groups(texts, threads, &options)?;
        let lists = PyList::empty(texts.py());
        for (index, ids) in groups.iter().flat_map(|group| group.texts()).enumerate() {
            look_for_signals(texts.py(), index)?;
            let ids = ids.map_err(|error| raise(texts.py(), error))?;
            lists.append(list_of(texts.py(), ids)?)?;
        }
        Ok(lists)
    }

    /// `uint32[n]`, the ids of all texts end to end, and `int64[len + 1]`, where those of each begin and end.
    fn encode_ragged<'py>(
        &self,
        texts: &Bound<'py, PyList>,
        threads: usize,
        options: GivenOptions,
    ) -> PyResult<IdsAndOffsets<'py>> {
        let (py, options) = (texts.py(), self.options(options)?);
        ids_and_offsets(py, self.encode_all(texts, threads, &options)?)
    }

    /// The same as `encode_ragged` for texts that lie in `buffers`, `uint8` arrays: those from `starts` to
    /// `ends`, `int64[n]`, of the buffers whose numbers are in `buffer_of`, `int32[n]`, or of the first.
    /// A row whose start is negative is null and has no ids.
    fn encode_slices<'py>(
        &self,
        buffers: &Bound<'py, PyAny>,
        buffer_of: Option<&Bound<'py, PyAny>>,
        starts: &Bound<'py, PyAny>,
        ends: &Bound<'py, PyAny>,
        threads: usize,
        options: GivenOptions,
    ) -> PyResult<IdsAndOffsets<'py>> {
        let (py, options) = (starts.py(), self.options(options)?);
        let rows = Rows::of(buffers, buffer_of, starts, ends)?;
        let all = self.with_rows(py, &rows, |slices, check| {
            self.encoder.encode_slices(slices, threads, &options, check)
        })?;
        ids_and_offsets(py, all)
    }

    #[pyo3(signature = (text, options=None))]
    fn count(&self, text: &Bound<PyAny>, options: GivenOptions) -> PyResult<usize> {
        self.counted(text, options)
    }

    fn count_batch<'py>(
        &self,
        texts: &Bound<'py, PyList>,
        threads: usize,
        options: GivenOptions,
    ) -> PyResult<Bound<'py, PyArray1<i64>>> {
        array(texts.py(), self.counts(texts, threads, &self.options(options)?)?)
    }

    /// How many ids each row has; the parameters are those of `encode_slices`.
    fn count_slices<'py>(
        &self,
        buffers: &Bound<'py, PyAny>,
        buffer_of: Option<&Bound<'py, PyAny>>,
        starts: &Bound<'py, PyAny>,
        ends: &Bound<'py, PyAny>,
        threads: usize,
        options: GivenOptions,
    ) -> PyResult<Bound<'py, PyArray1<i64>>> {
        let (py, options) = (starts.py(), self.options(options)?);
        let rows = Rows::of(buffers, buffer_of, starts, ends)?;
        let counts = self.with_rows(py, &rows, |slices, check| {
            self.encoder.count_slices(slices, threads, &options, check)
        })?;
        array(py, counts)
    }

    /// `ids` is a list of integers, or an array of `uint32`, `int32` or `int64`; `argument` is what the
    /// caller calls it.
    #[pyo3(signature = (ids, skip_special=false, argument="ids"))]
    fn decode<'py>(
        &self,
        ids: &Bound<'py, PyAny>,
        skip_special: bool,
        argument: &str,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let given = GivenIds::of(ids, argument)?;
        let bytes = self.bytes(ids.py(), &given.slice()?, skip_special)?;
        bytes_object(ids.py(), &bytes)
    }

    /// The text of ids as in `decode`; `None` if the bytes are not UTF-8.
    #[pyo3(signature = (ids, skip_special=false))]
    fn decode_text<'py>(
        &self,
        ids: &Bound<'py, PyAny>,
        skip_special: bool,
    ) -> PyResult<Option<Bound<'py, PyString>>> {
        let (py, given) = (ids.py(), GivenIds::of(ids, "ids")?);
        let slice = given.slice()?;
        let text = match slice {
            Ids::U32(ids) => self.text(py, ids, skip_special),
            Ids::I32(ids) => self.text(py, ids, skip_special),
            Ids::I64(ids) => self.text(py, ids, skip_special),
        };
        match text {
            Err(error) if error.is_instance_of::<PyUnicodeDecodeError>(py) => Ok(None),
            text => text.map(Some),
        }
    }

    /// The bytes of each sequence of ids, which are as in `decode`.
    fn decode_batch<'py>(
        &self,
        sequences: &Bound<'py, PyList>,
        threads: usize,
        skip_special: bool,
    ) -> PyResult<Bound<'py, PyList>> {
        let py = sequences.py();
        let indexed = sequences.iter().enumerate();
        let given = indexed.map(|(index, ids)| {
            look_for_signals(py, index)?;
            GivenIds::in_batch(&ids, index)
        });
        let given = try_collect(sequences.len(), given)?;
        let slices = try_collect(given.len(), given.iter().map(GivenIds::slice))?;
        self.make_decode_table(slices.iter().map(Ids::len).sum());
        let groups = detached(py, None, |check, _| {
            self.encoder.decode_batch(&slices, threads, skip_special, check)
        })?;
        let list = PyList::empty(py);
        for (index, bytes) in groups.iter().flatten().enumerate() {
            look_for_signals(py, index)?;
            list.append(bytes_object(py, bytes)?)?;
        }
        Ok(list)
    }

    /// A decoder of ids that come a few at a time. Ids that no token has are an "error", or "skip" and "replace"
    /// give nothing and U+FFFD for them.
    fn stream_decoder(&self, skip_special: bool, unknown: &str) -> StreamDecoder {
        let unknown = match unknown {
            "skip" => Some(""),
            "replace" => Some("\u{FFFD}"),
            _ => None,
        };
        StreamDecoder::new(Arc::clone(&self.encoder), skip_special, unknown)
    }

    /// The tokens that begin with these bytes, and those that these bytes begin with, as `uint32[n]`.
    fn tokens_along<'py>(
        &self,
        py: Python<'py>,
        bytes: &[u8],
    ) -> PyResult<Bound<'py, PyArray1<u32>>> {
        array(py, detached(py, None, |_, _| self.encoder.tokens_along(bytes))?)
    }

    /// Whether encoding the text of `ids` gives the same ids.
    fn is_canonical(&self, ids: &Bound<PyAny>) -> PyResult<bool> {
        let given = GivenIds::of(ids, "ids")?;
        let slice = given.slice()?;
        detached(ids.py(), None, |check, _| match slice {
            Ids::U32(ids) => self.encoder.is_canonical(ids, check),
            Ids::I32(ids) => self.encoder.is_canonical(ids, check),
            Ids::I64(ids) => self.encoder.is_canonical(ids, check),
        })
    }

    fn token_id(&self, token: &Bound<PyAny>) -> PyResult<u32> {
        let bytes = bytes_of(token, || "token".to_owned())?;
        self.encoder.token_id(&bytes).map_err(|error| raise(token.py(), error))
    }

    fn count_file(
        &self,
        py: Python,
        path: PathBuf,
        field: Option<String>,
        threads: usize,
        options: GivenOptions,
        limits: (Option<u64>, Option<u64>),
    ) -> PyResult<i64> {
        let task = self.task(field, OutputKind::Tokens, self.options(options)?, limits);
        Ok(files::counts(py, task, vec![path], threads)?.iter().sum())
    }

    fn count_files<'py>(
        &self,
        py: Python<'py>,
        paths: Vec<PathBuf>,
        field: Option<String>,
        threads: usize,
        options: GivenOptions,
        limits: (Option<u64>, Option<u64>),
    ) -> PyResult<Bound<'py, PyArray1<i64>>> {
        let task = self.task(field, OutputKind::Tokens, self.options(options)?, limits);
        array(py, files::counts(py, task, paths, threads)?)
    }

    /// Totals of each file. `None` in `paths` is standard input. A flag says that a file is left out if it is
    /// binary or UTF-16, and the reason is given for it. With `decodes_utf16` UTF-16 is decoded. Of records
    /// of `field` it is counted how many have more tokens than `limit`, and with `skips` those without it are
    /// skipped. `progress` gets the bytes read so far.
    #[expect(clippy::too_many_arguments, reason = "all are options of one command")]
    fn totals(
        &self,
        paths: Vec<(Option<PathBuf>, bool)>,
        field: Option<String>,
        threads: usize,
        options: GivenOptions,
        limits: (Option<u64>, Option<u64>),
        progress: Option<Py<PyAny>>,
        decodes_utf16: bool,
        skips: bool,
        limit: Option<u64>,
    ) -> PyResult<Files> {
        let records = field.map(|field| Records { field, skips, limit });
        let encoder = Arc::clone(&self.encoder);
        let mut task =
            EncodeTask::new(encoder, records, OutputKind::Totals, self.options(options)?);
        task.limits = packed(limits);
        let files = files::given(paths, decodes_utf16);
        Ok(Files::new(task, files, threads, Gives::Totals, progress))
    }

    /// The ids of each file; with `whole=False` chunk by chunk.
    fn encode_files(
        &self,
        paths: Vec<PathBuf>,
        field: Option<String>,
        threads: usize,
        options: GivenOptions,
        limits: (Option<u64>, Option<u64>),
        whole: bool,
    ) -> PyResult<Files> {
        let task = self.task(field, OutputKind::Ids, self.options(options)?, limits);
        let gives = if whole { Gives::Files } else { Gives::Chunks };
        Ok(Files::new(task, files::named(paths), threads, gives, None))
    }
}
