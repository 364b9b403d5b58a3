//! Conversion of arguments and results: text to bytes, ids to slices, and back to Python's objects.
//! Memory in the size of the input is requested so that it can be refused.

use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use numpy::{Element, PyArray1, PyArrayMethods, PyReadonlyArray1};
use pyo3::exceptions::{PyImportError, PyMemoryError, PyOverflowError, PyTypeError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyBytes, PyDict, PyList, PyString, PyTuple};

use super::raise::{exception, raise};
use crate::encode::parallel::Ids;
use crate::machine::prefetch::prefetch;
use crate::machine::reserve;
use crate::machine::threads;
use crate::text::utf8::whole_characters;

/// How many integers are shared: as many as Llama 3 has ids. They are made once lists have had so many ids.
const INTEGER_COUNT: u32 = 128_257;
const MANY_IDS: usize = 1 << 16;
/// The most ids of a list whose memory can't be refused.
const SHORT_LIST: usize = 4096;
/// With fewer bytes it is memory that is missing where NumPy can't be used.
const NUMPY_BYTES: usize = 1 << 24;
/// Python requests memory for small objects a megabyte at a time.
const OBJECTS_BYTES: usize = 1 << 21;
/// A dictionary of some fields, and a text.
const OBJECT_BYTES: usize = 1 << 11;
/// Bytes of text that become one string, which is then joined with others.
const PART_BYTES: usize = 1 << 14;
/// Items of a list between two looks for signals, some milliseconds.
const LIST_CHECK: usize = 1 << 18;
/// The same for items that may be much work each, as texts are.
const ITEM_CHECK: usize = 64;
/// How many items ahead an integer is prefetched.
const INTEGERS_AHEAD: usize = 16;

/// The text's bytes, without a copy but for a `str` with surrogates: their pairs are joined and
/// lone ones become U+FFFD, as tiktoken does.
pub(super) fn bytes_of<'a>(
    text: &'a Bound<PyAny>,
    argument: impl Fn() -> String,
) -> PyResult<Cow<'a, [u8]>> {
    if let Ok(bytes) = text.cast::<PyBytes>() {
        return Ok(Cow::Borrowed(bytes.as_bytes()));
    }
    let Ok(string) = text.cast::<PyString>() else {
        let (argument, kind) = (argument(), text.get_type().name()?);
        let hint = match argument == "text" && is_sequence(text) {
            true => "; several texts go to encode_batch, count_batch or encode_ragged",
            false => "",
        };
        let message = format!("{argument} must be str or bytes, not {kind}{hint}");
        return Err(PyTypeError::new_err(message));
    };
    Ok(match str_of(string)? {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    })
}

/// Whether it is a list or tuple: of texts or of ids, where one was wanted.
fn is_sequence(value: &Bound<PyAny>) -> bool {
    value.is_instance_of::<PyList>() || value.is_instance_of::<PyTuple>()
}

/// The same of what is known to be a `str`.
pub(super) fn str_of<'a>(string: &'a Bound<PyString>) -> PyResult<Cow<'a, str>> {
    match string.to_str() {
        Ok(text) => Ok(Cow::Borrowed(text)),
        Err(_) => Ok(Cow::Owned(without_surrogates(string)?)),
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

/// The offsets, in the bytes that [`bytes_of`] gives of a `str`, of its joined surrogate pairs, which are two
/// characters for Python.
pub(super) fn joined_pairs(text: &Bound<PyAny>) -> PyResult<Vec<usize>> {
    let mut places = Vec::new();
    if text.cast::<PyString>().is_ok_and(|string| string.to_str().is_ok()) || is_bytes(text) {
        return Ok(places);
    }
    let utf32 = text.call_method1("encode", ("utf-32-le", "surrogatepass"))?;
    let (units, _) = utf32.cast::<PyBytes>()?.as_bytes().as_chunks::<4>();
    let mut units = units.iter().map(|unit| u32::from_le_bytes(*unit)).peekable();
    let mut at = 0;
    while let Some(unit) = units.next() {
        let is_pair = (0xD800..0xDC00).contains(&unit)
            && units.next_if(|next| (0xDC00..0xE000).contains(next)).is_some();
        if is_pair {
            places.try_reserve(1).map_err(|_| PyMemoryError::new_err("out of memory"))?;
            places.push(at);
        }
        let character = char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER);
        at += if is_pair { 4 } else { character.len_utf8() };
    }
    Ok(places)
}

pub(super) fn is_bytes(text: &Bound<PyAny>) -> bool {
    text.is_instance_of::<PyBytes>()
}

pub(super) fn all_bytes<'a>(texts: &'a [Bound<PyAny>]) -> PyResult<Vec<Cow<'a, [u8]>>> {
    let indexed = texts.iter().enumerate();
    let bytes = indexed.map(|(index, text)| {
        look_for_signals(text.py(), index)?;
        bytes_of(text, || format!("texts[{index}]"))
    });
    try_collect(texts.len(), bytes)
}

/// Lets signal handlers run, once for several items of a list.
pub(super) fn look_for_signals(py: Python, index: usize) -> PyResult<()> {
    if index % ITEM_CHECK == ITEM_CHECK - 1 { py.check_signals() } else { Ok(()) }
}

/// A list of rows, which are looked for signals between.
pub(super) fn list_of_rows<'py, T: IntoPyObject<'py>>(
    py: Python<'py>,
    rows: impl IntoIterator<Item = T>,
) -> PyResult<Bound<'py, PyList>> {
    let list = PyList::empty(py);
    for (index, row) in rows.into_iter().enumerate() {
        look_for_signals(py, index)?;
        list.append(row)?;
    }
    Ok(list)
}

/// Collects items; memory that is refused is an error.
pub(super) fn try_collect<T>(
    count: usize,
    items: impl Iterator<Item = PyResult<T>>,
) -> PyResult<Vec<T>> {
    let mut all = Vec::new();
    all.try_reserve_exact(count).map_err(|_| PyMemoryError::new_err("out of memory"))?;
    for item in items {
        // The list may have grown since it was measured.
        all.try_reserve(1).map_err(|_| PyMemoryError::new_err("out of memory"))?;
        all.push(item?);
    }
    Ok(all)
}

pub(super) fn bytes_object<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    PyBytes::new_with(py, bytes.len(), |target| {
        target.copy_from_slice(bytes);
        Ok(())
    })
}

/// Appends the text of UTF-8 `bytes` to `parts`, as strings that are small enough to be made near the
/// processor. An error, that of Python's decoder, if they are not UTF-8. `units` is memory to use.
pub(super) fn append_text(
    parts: &Bound<PyList>,
    mut bytes: &[u8],
    units: &mut Vec<u16>,
) -> PyResult<()> {
    while !bytes.is_empty() {
        let place = bytes.get(..PART_BYTES).map_or(bytes.len(), whole_characters);
        // A place after the end is not possible; the rest would be one part then.
        let (part, rest) = bytes.split_at_checked(place).unwrap_or((bytes, &[]));
        parts.append(text_of(parts.py(), part, units)?)?;
        bytes = rest;
    }
    Ok(())
}

/// A string; where Python's decoder is slow, which is where many bytes are not ASCII, it gets UTF-16.
fn text_of<'py>(
    py: Python<'py>,
    bytes: &[u8],
    units: &mut Vec<u16>,
) -> PyResult<Bound<'py, PyString>> {
    #[cfg(target_arch = "x86_64")]
    if bytes.iter().step_by(16).filter(|byte| !byte.is_ascii()).count() > bytes.len() / 128
        && let Some(count) = crate::text::utf16::transcode(bytes, units)
    {
        // Python removes a byte order mark. Without this one it would remove one that is part of the text.
        const BYTE_ORDER_MARK: u16 = 0xFEFF;
        let encoded = PyBytes::new_with(py, 2 * count + 2, |target| {
            let (pairs, _) = target.as_chunks_mut::<2>();
            if let Some((mark, pairs)) = pairs.split_first_mut() {
                *mark = BYTE_ORDER_MARK.to_ne_bytes();
                let units = pairs.iter_mut().zip(units.iter());
                units.for_each(|(pair, unit)| *pair = unit.to_ne_bytes());
            }
            Ok(())
        })?;
        return PyString::from_encoded_object(&encoded, Some(c"utf-16"), None);
    }
    let _ = units;
    PyString::from_bytes(py, bytes)
}

/// Ids from Python, kept while the core reads them.
pub(super) enum GivenIds<'py> {
    List(Vec<i64>),
    U32(PyReadonlyArray1<'py, u32>),
    I32(PyReadonlyArray1<'py, i32>),
    I64(PyReadonlyArray1<'py, i64>),
}

impl<'py> GivenIds<'py> {
    pub(super) fn of(ids: &Bound<'py, PyAny>, argument: &str) -> PyResult<Self> {
        Self::at(ids, Place { argument, before: 0, sequence: None })
    }

    /// The same for ids that follow `before` others.
    pub(super) fn after(ids: &Bound<'py, PyAny>, argument: &str, before: usize) -> PyResult<Self> {
        Self::at(ids, Place { argument, before, sequence: None })
    }

    /// The same for a sequence of a batch.
    pub(super) fn in_batch(ids: &Bound<'py, PyAny>, index: usize) -> PyResult<Self> {
        let argument = &format!("sequences[{index}]");
        Self::at(ids, Place { argument, before: 0, sequence: Some(index) })
    }

    fn at(ids: &Bound<'py, PyAny>, place: Place) -> PyResult<Self> {
        if let Ok(list) = ids.cast::<PyList>() {
            let indexed = list.iter().enumerate();
            let values = indexed.map(|(index, id)| integer(place, index, &id));
            return Ok(Self::List(try_collect(list.len(), values)?));
        }
        load_numpy(ids.py())?;
        if let Ok(array) = ids.cast::<PyArray1<u32>>() {
            return Ok(Self::U32(array.try_readonly()?));
        }
        match ids.cast::<PyArray1<i32>>() {
            Ok(array) => Ok(Self::I32(array.try_readonly()?)),
            Err(_) => Ok(Self::I64(ids.cast::<PyArray1<i64>>()?.try_readonly()?)),
        }
    }

    pub(super) fn slice(&self) -> PyResult<Ids<'_>> {
        Ok(match self {
            Self::List(ids) => Ids::I64(ids),
            Self::U32(ids) => Ids::U32(ids.as_slice()?),
            Self::I32(ids) => Ids::I32(ids.as_slice()?),
            Self::I64(ids) => Ids::I64(ids.as_slice()?),
        })
    }
}

/// An error if there is no memory for a few thousand Python objects of a dictionary each. The crate `pyo3` would
/// panic where memory for one is refused.
pub(super) fn ask_for_objects(py: Python, count: usize) -> PyResult<()> {
    let bytes = OBJECTS_BYTES + count.saturating_mul(OBJECT_BYTES);
    reserve::ask(bytes).map_err(|error| raise(py, error))
}

/// Where ids were given, for messages.
#[derive(Clone, Copy)]
struct Place<'a> {
    /// What the caller calls them.
    argument: &'a str,
    /// How many were given before them.
    before: usize,
    /// Which sequence of a batch they are.
    sequence: Option<usize>,
}

fn integer(place: Place, index: usize, id: &Bound<PyAny>) -> PyResult<i64> {
    let Place { argument, before, sequence } = place;
    let py = id.py();
    if index % LIST_CHECK == LIST_CHECK - 1 {
        py.check_signals()?;
    }
    match id.extract() {
        Ok(value) if !id.is_instance_of::<PyBool>() => Ok(value),
        Err(error) if error.is_instance_of::<PyOverflowError>(py) => {
            let fields = PyDict::new(py);
            fields.set_item("id", id)?;
            let position = before + index;
            fields.set_item("position", position)?;
            fields.set_item("index", sequence)?;
            let place = sequence.map_or(String::new(), |_| format!("{argument}: "));
            // An integer of very many digits can't be written.
            let shown = id.str().map_or("an integer".to_owned(), |digits| digits.to_string());
            let message = format!("{place}{shown:.100} at position {position} is not a token id");
            Err(exception(py, "InvalidTokenId", message, &fields)?)
        }
        Err(error) if !error.is_instance_of::<PyTypeError>(py) => Err(error),
        _ => {
            let kind = id.get_type().name()?;
            let hint = match is_sequence(id) {
                true => "; several sequences go to decode_batch or pad",
                false => "",
            };
            let message = format!("{argument}[{index}] must be an integer, not {kind}{hint}");
            Err(PyTypeError::new_err(message))
        }
    }
}

/// Loads NumPy if it is not loaded yet. The crate `numpy` does so when it first needs it, but there an
/// exception that a signal handler raises meanwhile, as Ctrl-C does, would be a panic.
pub(super) fn load_numpy(py: Python) -> PyResult<()> {
    // Two threads may both load it: a lock would stay locked in a process that is forked meanwhile.
    static IS_LOADED: AtomicBool = AtomicBool::new(false);
    if IS_LOADED.load(Ordering::Relaxed) {
        return Ok(());
    }
    py.import("numpy")?;
    // Once more, by the crate: on another thread, where no signal handler runs.
    let empty = || Python::attach(|py| drop(PyArray1::<u32>::from_vec(py, Vec::new())));
    let used = || threads::spawn(None, empty).map(|thread| thread.join().is_ok());
    match py.detach(used) {
        Ok(true) => {
            IS_LOADED.store(true, Ordering::Relaxed);
            Ok(())
        }
        // Memory or threads are refused.
        Err(_) => Err(PyMemoryError::new_err("out of memory")),
        Ok(false) if reserve::ask(NUMPY_BYTES).is_err() => {
            Err(PyMemoryError::new_err("out of memory"))
        }
        Ok(false) => Err(PyImportError::new_err("this version of NumPy can't be used")),
    }
}

/// An array that has the values' memory.
pub(super) fn array<'py, T: Element>(
    py: Python<'py>,
    values: Vec<T>,
) -> PyResult<Bound<'py, PyArray1<T>>> {
    load_numpy(py)?;
    Ok(PyArray1::from_vec(py, values))
}

/// An array of ids: a copy of borrowed ids, or with the memory of owned ones.
pub(super) fn array_of<'py>(
    py: Python<'py>,
    ids: Cow<[u32]>,
) -> PyResult<Bound<'py, PyArray1<u32>>> {
    load_numpy(py)?;
    Ok(match ids {
        Cow::Borrowed(ids) => PyArray1::from_slice(py, ids),
        Cow::Owned(ids) => PyArray1::from_vec(py, ids),
    })
}

/// A list of ids. Integers are objects, and making them is most of the work of a list. So those of all
/// Llama 3 ids are made once, when lists have had so many ids that it pays.
pub(super) fn list_of<'py>(py: Python<'py>, ids: &[u32]) -> PyResult<Bound<'py, PyList>> {
    static INTEGERS: PyOnceLock<Vec<Py<PyAny>>> = PyOnceLock::new();
    static GIVEN: AtomicUsize = AtomicUsize::new(0);
    let make_integers = || (0..INTEGER_COUNT).map(|id| Ok(integer_of(py, id)?.unbind()));
    let integers: &[_] = match INTEGERS.get(py) {
        Some(integers) => integers,
        None if GIVEN.fetch_add(ids.len(), Ordering::Relaxed) + ids.len() < MANY_IDS => &[],
        None => {
            INTEGERS.get_or_try_init(py, || try_collect(INTEGER_COUNT as usize, make_integers()))?
        }
    };
    // All integers together do not fit the nearer caches.
    let prefetch_ahead = |index: usize| {
        let id = ids.get(index + INTEGERS_AHEAD).map_or(u32::MAX, |&id| id);
        if let Some(integer) = integers.get(id as usize) {
            prefetch(integer.as_ptr());
        }
    };
    if ids.len() < SHORT_LIST {
        return short_list(py, ids.len(), |index| {
            prefetch_ahead(index);
            // Never beyond the last one.
            let id = ids.get(index).map_or(0, |&id| id);
            match integers.get(id as usize) {
                Some(integer) => Ok(integer.clone_ref(py).into_bound(py)),
                None => integer_of(py, id),
            }
        });
    }
    // Signal handlers may run meanwhile, so the list is never without some of its items.
    let list = PyList::new(py, [py.None()])?.mul(ids.len())?.cast_into::<PyList>()?;
    for (index, &id) in ids.iter().enumerate() {
        if index % LIST_CHECK == LIST_CHECK - 1 {
            py.check_signals()?;
        }
        prefetch_ahead(index);
        match integers.get(id as usize) {
            Some(integer) => list.set_item(index, integer)?,
            None => list.set_item(index, integer_of(py, id)?)?,
        }
    }
    Ok(list)
}

/// An integer. That of the crate `pyo3` would panic where memory is refused.
#[expect(unsafe_code, reason = "the crate has no function that may fail")]
fn integer_of(py: Python<'_>, id: u32) -> PyResult<Bound<'_, PyAny>> {
    // SAFETY: the interpreter is attached, and what the function gives is a new reference, or null after an
    // exception.
    unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyLong_FromUnsignedLong(id.into())) }
}

/// A list of `count` items. That of the crate `pyo3` would panic where memory is refused.
#[expect(unsafe_code, reason = "the crate has no function that may fail")]
fn short_list<'py>(
    py: Python<'py>,
    count: usize,
    item: impl Fn(usize) -> PyResult<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyList>> {
    // SAFETY: the interpreter is attached, and what the function gives is a new reference to a list, or null
    // after an exception.
    let list = unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyList_New(count as isize))? };
    for index in 0..count {
        let item = item(index)?.into_ptr();
        // SAFETY: nobody else has the list yet, the index is below its length, and the reference is handed over.
        // A list that is dropped earlier may have items that are null.
        unsafe { ffi::PyList_SetItem(list.as_ptr(), index as isize, item) };
    }
    Ok(list.cast_into()?)
}
