//! The binding, and the only place that names pyo3: each function converts its arguments, detaches
//! from the interpreter, calls the core and converts the result. Policy is Python's business.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use numpy::{PyArray1, PyArrayMethods, PyReadonlyArray1};
use pyo3::exceptions::{
    PyKeyboardInterrupt, PyMemoryError, PyOSError, PyOverflowError, PyTypeError, PyValueError,
};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{IntoPyDict, PyBool, PyBytes, PyDict, PyInt, PyList, PyString};

use crate::encode::{Encoder, Offsets, Options};
use crate::error::{Check, Error};
use crate::files::Job;
use crate::parallel::{self, Ids};
use crate::pretokenize::Path;
use crate::special::{BOS, EOS, EOT, PROFILES, Selection};
use crate::unicode::UNICODE_VERSION;
use crate::vocab::{Vocabulary, other_format};
use crate::walk::Walk;

/// As many integers as Llama 3 has ids, and from how many ids on they are worth making.
const INTEGER_COUNT: u32 = 128_257;
const LONG_LIST: usize = 4096;
/// Items of a list between two looks for signals, some milliseconds.
const LIST_CHECK: usize = 1 << 18;

/// How often long work looks for signals.
const SIGNALS: Duration = Duration::from_millis(50);

/// BOS, EOS, allowed and disallowed special tokens; the last two are `None`, `"all"` or names.
type Asked<'py> = (bool, bool, Option<Bound<'py, PyAny>>, Option<Bound<'py, PyAny>>);
/// Where a token begins and ends, in bytes.
type Span = (usize, usize);
type IdsAndOffsets<'py> = (Bound<'py, PyArray1<u32>>, Bound<'py, PyArray1<i64>>);
/// Texts, tokens, bytes, characters, whether there was invalid UTF-8.
type FileTotals = (u64, u64, u64, u64, bool);

/// A vocabulary with a profile: the part of a `Tokenizer` that is Rust.
#[pyclass(frozen, weakref, module = "llama3_tok._core")]
struct Core {
    encoder: Encoder,
}

#[pymethods]
impl Core {
    #[new]
    fn new(
        py: Python,
        data: &Bound<PyBytes>,
        file: &str,
        profile: &str,
        is_meta: bool,
    ) -> PyResult<Self> {
        let data = data.as_bytes();
        let encoder = detached(py, None, |_, _| {
            Encoder::new(Arc::new(Vocabulary::parse(data, file, is_meta)?), file, profile)
        })?;
        Ok(Self { encoder })
    }

    /// The same vocabulary with another profile.
    fn with_profile(&self, py: Python, file: &str, profile: &str) -> PyResult<Self> {
        let vocabulary = Arc::clone(&self.encoder.vocabulary);
        let encoder = Encoder::new(vocabulary, file, profile).map_err(|error| raise(py, error))?;
        Ok(Self { encoder })
    }

    /// The names of the ways to cut text that this processor has, the fastest last.
    #[staticmethod]
    fn paths() -> Vec<&'static str> {
        Path::available().into_iter().map(Path::name).collect()
    }

    /// The same vocabulary and profile, cutting text one of these ways: tests compare them.
    fn with_path(&self, py: Python, name: &str) -> PyResult<Self> {
        let core = self.with_profile(py, "", self.encoder.specials.profile.name)?;
        let path = Path::available().into_iter().find(|path| path.name() == name);
        let unknown = || PyValueError::new_err(format!("this processor has no path {name:?}"));
        Ok(Self { encoder: core.encoder.on_path(path.ok_or_else(unknown)?) })
    }

    #[getter]
    fn vocab_size(&self) -> usize {
        self.encoder.vocab_size()
    }

    /// Special token names and ids, in the order of the ids.
    #[getter]
    fn special_tokens<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let specials = &self.encoder.specials;
        specials.names().iter().zip(specials.first..).into_py_dict(py)
    }

    /// `(bos, eos, eot, pad)`.
    #[getter]
    fn special_ids(&self) -> (u32, u32, u32, Option<u32>) {
        let specials = &self.encoder.specials;
        let id = |place| specials.first + place;
        (id(BOS), id(EOS), id(EOT), specials.profile.pad.map(id))
    }

    #[getter]
    fn stop_ids(&self) -> Vec<u32> {
        let specials = &self.encoder.specials;
        specials.profile.stops.iter().map(|place| specials.first + place).collect()
    }

    fn encode<'py>(
        &self,
        text: &Bound<'py, PyAny>,
        asked: Option<Asked>,
    ) -> PyResult<Bound<'py, PyList>> {
        list_of(text.py(), &self.ids(text, asked)?)
    }

    fn encode_array<'py>(
        &self,
        text: &Bound<'py, PyAny>,
        asked: Option<Asked>,
    ) -> PyResult<Bound<'py, PyArray1<u32>>> {
        let ids = self.ids(text, asked)?;
        Ok(PyArray1::from_vec(text.py(), ids))
    }

    /// The ids, and the byte range of each as `(start, end)`.
    fn encode_spans(
        &self,
        text: &Bound<PyAny>,
        asked: Option<Asked>,
    ) -> PyResult<(Vec<u32>, Vec<Span>)> {
        let options = self.options(asked)?;
        let bytes = bytes_of(text, || "text".to_owned())?;
        let sink = detached(text.py(), None, |check, _| {
            let mut sink = Offsets::default();
            self.encoder.encode(&bytes, &options, &mut sink, check).map(|()| sink)
        })?;
        Ok((sink.ids, sink.spans.into_iter().map(|span| (span.start, span.end)).collect()))
    }

    fn encode_batch<'py>(
        &self,
        texts: &Bound<'py, PyList>,
        threads: usize,
        asked: Option<Asked>,
    ) -> PyResult<Bound<'py, PyList>> {
        let options = self.options(asked)?;
        let groups = self.encode_groups(texts, threads, &options)?;
        let lists = PyList::empty(texts.py());
        for ids in groups.iter().flat_map(|group| group.texts()) {
            lists.append(list_of(texts.py(), ids)?)?;
        }
        Ok(lists)
    }

    /// `uint32[n]` ids of all texts and `int64[len + 1]` places where each begins and ends.
    fn encode_ragged<'py>(
        &self,
        texts: &Bound<'py, PyList>,
        threads: usize,
        asked: Option<Asked>,
    ) -> PyResult<IdsAndOffsets<'py>> {
        let (py, options) = (texts.py(), self.options(asked)?);
        let groups = self.encode_groups(texts, threads, &options)?;
        let all = detached(py, None, |check, _| parallel::Ragged::concat(groups, check))?;
        let offsets = all.offsets.iter().map(|&offset| Ok(offset as i64));
        let offsets = gathered(all.offsets.len(), offsets)?;
        Ok((PyArray1::from_vec(py, all.ids), PyArray1::from_vec(py, offsets)))
    }

    fn count(&self, text: &Bound<PyAny>) -> PyResult<usize> {
        let bytes = bytes_of(text, || "text".to_owned())?;
        detached(text.py(), None, |check, _| self.encoder.count_whole(&bytes, check))
    }

    fn count_batch<'py>(
        &self,
        texts: &Bound<'py, PyList>,
        threads: usize,
    ) -> PyResult<Bound<'py, PyArray1<i64>>> {
        let items = gathered(texts.len(), texts.iter().map(Ok))?;
        let py = texts.py();
        let texts = all_bytes(&items)?;
        let counts =
            detached(py, None, |check, _| self.encoder.count_batch(&texts, threads, check))?;
        Ok(PyArray1::from_vec(py, counts))
    }

    /// `ids` is a list of integers, or an array of `uint32` or `int64`.
    fn decode<'py>(
        &self,
        ids: &Bound<'py, PyAny>,
        skip_special: bool,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let given = Given::of(ids, "ids")?;
        let slice = given.slice()?;
        let bytes = detached(ids.py(), None, |check, _| match slice {
            Ids::U32(ids) => self.encoder.decode(ids, skip_special, check),
            Ids::I64(ids) => self.encoder.decode(ids, skip_special, check),
        })?;
        bytes_object(ids.py(), &bytes)
    }

    /// The bytes of each sequence; they are what `decode` takes.
    fn decode_batch<'py>(
        &self,
        sequences: &Bound<'py, PyList>,
        threads: usize,
        skip_special: bool,
    ) -> PyResult<Bound<'py, PyList>> {
        let py = sequences.py();
        let indexed = sequences.iter().enumerate();
        let given = indexed.map(|(index, ids)| Given::of(&ids, &format!("sequences[{index}]")));
        let given = gathered(sequences.len(), given)?;
        let slices = gathered(given.len(), given.iter().map(Given::slice))?;
        let groups = detached(py, None, |check, _| {
            self.encoder.decode_batch(&slices, threads, skip_special, check)
        })?;
        let list = PyList::empty(py);
        for bytes in groups.iter().flatten() {
            list.append(bytes_object(py, bytes)?)?;
        }
        Ok(list)
    }

    fn token_id(&self, token: &Bound<PyAny>) -> PyResult<u32> {
        let bytes = bytes_of(token, || "token".to_owned())?;
        self.encoder.token_id(&bytes).map_err(|error| raise(token.py(), error))
    }

    /// `None` for a binary file that is to be skipped; `progress` gets the bytes read so far.
    fn count_file(
        &self,
        py: Python,
        path: PathBuf,
        field: Option<&str>,
        skip_binary: bool,
        progress: Option<&Bound<PyAny>>,
    ) -> PyResult<Option<FileTotals>> {
        let progress = progress.map(|callable| callable.clone().unbind());
        let totals = detached(py, progress, |check, read| {
            self.encoder.count_file(&Job { path: &path, field, skip_binary, read, check })
        })?;
        Ok(totals.map(|t| (t.texts, t.tokens, t.bytes, t.characters, t.invalid_utf8)))
    }
}

impl Core {
    fn options(&self, asked: Option<Asked>) -> PyResult<Options> {
        let Some((bos, eos, allowed, disallowed)) = asked else { return Ok(Options::default()) };
        let allowed = self.selection(allowed)?;
        let disallowed = match self.selection(disallowed)? {
            Selection::All => allowed.complement(),
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
        let selection = self.encoder.specials.select(&names.extract::<Vec<String>>()?);
        selection.map_err(|error| raise(names.py(), error))
    }

    fn ids(&self, text: &Bound<PyAny>, asked: Option<Asked>) -> PyResult<Vec<u32>> {
        let options = self.options(asked)?;
        let bytes = bytes_of(text, || "text".to_owned())?;
        detached(text.py(), None, |check, _| self.encoder.encode_whole(&bytes, &options, check))
    }

    fn encode_groups(
        &self,
        texts: &Bound<PyList>,
        threads: usize,
        options: &Options,
    ) -> PyResult<Vec<parallel::Ragged>> {
        let items = gathered(texts.len(), texts.iter().map(Ok))?;
        let py = texts.py();
        let texts = all_bytes(&items)?;
        detached(py, None, |check, _| self.encoder.encode_batch(&texts, threads, options, check))
    }
}

/// The files under a folder; one that could not be read is an exception in its place.
#[pyfunction]
fn walk<'py>(
    py: Python<'py>,
    root: PathBuf,
    hidden: bool,
    no_ignore: bool,
    globs: Vec<String>,
) -> PyResult<Bound<'py, PyList>> {
    let files = detached(py, None, |check, _| {
        Walk { hidden, no_ignore, globs: &globs }.files(&root, check)
    })?;
    let list = PyList::empty(py);
    for file in files {
        match file {
            Ok(path) => list.append(path.into_os_string())?,
            Err(error) => list.append(raise(py, error).into_value(py))?,
        }
    }
    Ok(list)
}

/// What a file is, told by its first bytes, if that is mistaken for a vocabulary; else `None`.
#[pyfunction]
fn not_a_vocabulary(head: &[u8]) -> Option<String> {
    other_format(head)
}

/// The instruction set extensions of this processor that matter here.
#[pyfunction]
fn cpu_features() -> Vec<&'static str> {
    let mut features = Vec::new();
    #[cfg(target_arch = "x86_64")]
    {
        macro_rules! detect {
            ($($name:tt)*) => { $(
                if std::arch::is_x86_feature_detected!($name) { features.push($name); }
            )* };
        }
        detect!("sse4.2" "avx" "avx2" "bmi1" "bmi2" "avx512f" "avx512bw" "avx512vl" "avx512vbmi" "avx512vbmi2");
    }
    #[cfg(target_arch = "aarch64")]
    features.push("neon");
    features
}

/// How many threads a batch runs on by default: the processors that this process may use.
#[pyfunction]
fn cpu_count() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

#[pymodule]
fn _core(module: &Bound<PyModule>) -> PyResult<()> {
    module.add_class::<Core>()?;
    module.add_function(wrap_pyfunction!(walk, module)?)?;
    module.add_function(wrap_pyfunction!(not_a_vocabulary, module)?)?;
    module.add_function(wrap_pyfunction!(cpu_features, module)?)?;
    module.add_function(wrap_pyfunction!(cpu_count, module)?)?;
    module.add("PROFILES", PROFILES.iter().map(|profile| profile.name).collect::<Vec<_>>())?;
    module.add("UNICODE_VERSION", UNICODE_VERSION)?;
    module.add("__version__", env!("CARGO_PKG_VERSION"))
}

/// A list of ids. Integers are objects, and making them is most of the work of a long list, so those
/// of all Llama 3 ids are made once, when the first long list is.
fn list_of<'py>(py: Python<'py>, ids: &[u32]) -> PyResult<Bound<'py, PyList>> {
    static INTEGERS: PyOnceLock<Vec<Py<PyInt>>> = PyOnceLock::new();
    let integers = match INTEGERS.get(py) {
        None if ids.len() < LONG_LIST => return PyList::new(py, ids),
        None => {
            INTEGERS.get_or_init(py, || (0..INTEGER_COUNT).map(|id| integer_of(py, id)).collect())
        }
        Some(integers) => integers,
    };
    // Such a list's memory may be refused, which making it from an iterator would not survive.
    let list = PyList::new(py, [py.None()])?.mul(ids.len())?.cast_into::<PyList>()?;
    for (index, &id) in ids.iter().enumerate() {
        if index % LIST_CHECK == LIST_CHECK - 1 {
            py.check_signals()?;
        }
        match integers.get(id as usize) {
            Some(integer) => list.set_item(index, integer)?,
            None => list.set_item(index, id)?,
        }
    }
    Ok(list)
}

fn integer_of(py: Python, id: u32) -> Py<PyInt> {
    PyInt::new(py, id).unbind()
}

/// Runs `work` detached from the interpreter. The check that it gets attaches now and then, to let
/// signal handlers run and to tell `progress` how much was read; what they raise ends the work.
fn detached<T: Send>(
    py: Python,
    progress: Option<Py<PyAny>>,
    work: impl FnOnce(&Check, &Cell<u64>) -> Result<T, Error> + Send,
) -> PyResult<T> {
    let (result, raised) = py.detach(|| {
        let (raised, last, read) = (RefCell::new(None), Cell::new(None), Cell::new(0));
        let check = || {
            let now = Instant::now();
            if last.replace(Some(last.get().unwrap_or(now))).is_some_and(|at| now - at < SIGNALS) {
                return Ok(());
            }
            last.set(Some(now));
            Python::attach(|py| report(py, progress.as_ref(), read.get())).map_err(|error| {
                raised.replace(Some(error));
                Error::Interrupted
            })
        };
        (work(&check, &read), raised.into_inner())
    });
    match raised {
        Some(error) => Err(error),
        None => result.map_err(|error| raise(py, error)),
    }
}

fn report(py: Python, progress: Option<&Py<PyAny>>, read: u64) -> PyResult<()> {
    py.check_signals()?;
    if let Some(progress) = progress {
        progress.call1(py, (read,))?;
    }
    Ok(())
}

/// The text's bytes, without a copy but for a `str` with surrogates: their pairs are joined and
/// lone ones become U+FFFD, as tiktoken does.
fn bytes_of<'a>(text: &'a Bound<PyAny>, argument: impl Fn() -> String) -> PyResult<Cow<'a, [u8]>> {
    if let Ok(bytes) = text.cast::<PyBytes>() {
        return Ok(Cow::Borrowed(bytes.as_bytes()));
    }
    let Ok(string) = text.cast::<PyString>() else {
        let kind = text.get_type().name()?;
        return Err(PyTypeError::new_err(format!(
            "{} must be str or bytes, not {kind}",
            argument()
        )));
    };
    match string.to_str() {
        Ok(text) => Ok(Cow::Borrowed(text.as_bytes())),
        Err(_) => Ok(Cow::Owned(without_surrogates(string)?.into_bytes())),
    }
}

fn without_surrogates(string: &Bound<PyString>) -> PyResult<String> {
    let utf16 = string.call_method1("encode", ("utf-16-le", "surrogatepass"))?;
    let (pairs, _) = utf16.cast::<PyBytes>()?.as_bytes().as_chunks::<2>();
    let units = || pairs.iter().map(|pair| u16::from_le_bytes(*pair));
    let chars = || char::decode_utf16(units()).map(|char| char.unwrap_or('\u{FFFD}'));
    let mut text = String::new();
    let refused = |_| PyMemoryError::new_err("out of memory");
    text.try_reserve_exact(chars().map(char::len_utf8).sum()).map_err(refused)?;
    text.extend(chars());
    Ok(text)
}

fn all_bytes<'a>(texts: &'a [Bound<PyAny>]) -> PyResult<Vec<Cow<'a, [u8]>>> {
    let indexed = texts.iter().enumerate();
    gathered(texts.len(), indexed.map(|(index, text)| bytes_of(text, || format!("texts[{index}]"))))
}

/// Collects, where memory that is refused is an error.
fn gathered<T>(count: usize, items: impl Iterator<Item = PyResult<T>>) -> PyResult<Vec<T>> {
    let mut all = Vec::new();
    all.try_reserve_exact(count).map_err(|_| PyMemoryError::new_err("out of memory"))?;
    for item in items {
        // The list may have grown since it was measured.
        all.try_reserve(1).map_err(|_| PyMemoryError::new_err("out of memory"))?;
        all.push(item?);
    }
    Ok(all)
}

fn bytes_object<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    PyBytes::new_with(py, bytes.len(), |target| {
        target.copy_from_slice(bytes);
        Ok(())
    })
}

/// Ids from Python, kept while the core reads them.
enum Given<'py> {
    List(Vec<i64>),
    U32(PyReadonlyArray1<'py, u32>),
    I64(PyReadonlyArray1<'py, i64>),
}

impl<'py> Given<'py> {
    fn of(ids: &Bound<'py, PyAny>, argument: &str) -> PyResult<Self> {
        if let Ok(list) = ids.cast::<PyList>() {
            let indexed = list.iter().enumerate();
            let values = indexed.map(|(index, id)| integer(argument, index, &id));
            return Ok(Self::List(gathered(list.len(), values)?));
        }
        match ids.cast::<PyArray1<u32>>() {
            Ok(array) => Ok(Self::U32(array.try_readonly()?)),
            Err(_) => Ok(Self::I64(ids.cast::<PyArray1<i64>>()?.try_readonly()?)),
        }
    }

    fn slice(&self) -> PyResult<Ids<'_>> {
        Ok(match self {
            Self::List(ids) => Ids::I64(ids),
            Self::U32(ids) => Ids::U32(ids.as_slice()?),
            Self::I64(ids) => Ids::I64(ids.as_slice()?),
        })
    }
}

fn integer(argument: &str, index: usize, id: &Bound<PyAny>) -> PyResult<i64> {
    let py = id.py();
    if index % LIST_CHECK == LIST_CHECK - 1 {
        py.check_signals()?;
    }
    match id.extract() {
        Ok(value) if !id.is_instance_of::<PyBool>() => Ok(value),
        Err(error) if error.is_instance_of::<PyOverflowError>(py) => {
            let fields = PyDict::new(py);
            fields.set_item("id", id)?;
            fields.set_item("position", index)?;
            let message = format!("{id} at position {index} is not a token id");
            Err(exception(py, "InvalidTokenId", message, &fields)?)
        }
        Err(error) if !error.is_instance_of::<PyTypeError>(py) => Err(error),
        _ => {
            let kind = id.get_type().name()?;
            Err(PyTypeError::new_err(format!("{argument}[{index}] must be an integer, not {kind}")))
        }
    }
}

/// The one place where the core's errors become exceptions.
fn raise(py: Python, error: Error) -> PyErr {
    // Building the exception can itself fail, then with the more pressing error.
    try_raise(py, error).unwrap_or_else(|failure| failure)
}

fn try_raise(py: Python, error: Error) -> PyResult<PyErr> {
    let message = error.to_string();
    let fields = PyDict::new(py);
    let error = match error {
        Error::Item { index, error, .. } => {
            fields.set_item("index", index)?;
            *error
        }
        error => error,
    };
    let class = match error {
        Error::Item { .. } => "Llama3TokError",
        Error::Vocabulary { file, line, reason } => {
            fields.set_item("file", file)?;
            fields.set_item("line", line)?;
            fields.set_item("reason", reason)?;
            "VocabularyError"
        }
        Error::UnknownProfile(_) => "Llama3TokError",
        Error::UnknownSpecialToken { token, .. } => {
            fields.set_item("token", token)?;
            "SpecialTokenError"
        }
        Error::DisallowedSpecialToken { token, offset } => {
            fields.set_item("token", token)?;
            fields.set_item("offset", offset)?;
            "SpecialTokenError"
        }
        Error::InvalidTokenId { id, position, .. } => {
            fields.set_item("id", id)?;
            fields.set_item("position", position)?;
            "InvalidTokenId"
        }
        Error::UnknownToken(token) => {
            fields.set_item("token", PyBytes::new(py, &token))?;
            "UnknownToken"
        }
        Error::Input { path, line, reason } => {
            fields.set_item("path", path.into_os_string())?;
            fields.set_item("line", line)?;
            fields.set_item("reason", reason)?;
            "InputError"
        }
        Error::Io { path, source } => {
            let Some(number) = source.raw_os_error() else {
                return Ok(PyOSError::new_err(message));
            };
            let reason = py.import("os")?.call_method1("strerror", (number,))?;
            let reason = reason.extract::<String>()?;
            return Ok(PyOSError::new_err((number, reason, path.into_os_string())));
        }
        Error::OutOfMemory => return Ok(PyMemoryError::new_err(message)),
        Error::Interrupted => return Ok(PyKeyboardInterrupt::new_err(())),
    };
    exception(py, class, message, &fields)
}

/// An exception of `llama3_tok.errors`.
fn exception(py: Python, class: &str, message: String, fields: &Bound<PyDict>) -> PyResult<PyErr> {
    let class = py.import("llama3_tok.errors")?.getattr(class)?;
    Ok(PyErr::from_value(class.call((message,), Some(fields))?))
}
