//! Files, as Python counts them and iterates over their ids.

use std::path::PathBuf;
use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::PyString;

use super::convert::{array, load_numpy, try_collect};
use super::core::Core;
use super::detach::detached;
use crate::encode::options::Options;
use crate::files::output::{
    ChunkOutput, EncodeTask, OutputKind, Records, SkippedLine, Totals as Counted,
};
use crate::files::packed_limits::PackedLimits;
use crate::files::reader::{Reading, Refusal};
use crate::files::stream::{FileStream, InputFile};

/// What an iterator over files gives.
#[derive(Clone, Copy)]
pub(super) enum Gives {
    /// For each file [`Totals`], or for one that was left out the reason, `"binary"` or `"utf-16"`.
    Totals,
    /// The ids of each file.
    Files,
    /// The ids of one file, chunk by chunk.
    Chunks,
}

/// What a file holds: a dictionary of these in Python.
#[derive(IntoPyObject)]
struct Totals {
    texts: u64,
    tokens: u64,
    bytes: u64,
    characters: u64,
    invalid_utf8: bool,
    longest: u64,
    longest_line: usize,
    above: u64,
    skipped: u64,
    first_skipped: Option<SkippedLine>,
}

/// An iterator over files. It goes on after a file that raises, unless it is interrupted.
#[pyclass(frozen, module = "llama3_tok._core")]
pub(super) struct Files {
    stream: FileStream,
    gives: Gives,
    /// Ids are given as `(ids, offsets)`, not as one array.
    is_ragged: bool,
    /// Gets the bytes read so far.
    progress: Option<Py<PyAny>>,
}

#[pymethods]
impl Files {
    fn __iter__(this: Py<Self>) -> Py<Self> {
        this
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        // What is taken from the stream is not given again, so what may fail comes before.
        if !matches!(self.gives, Gives::Totals) {
            load_numpy(py)?;
        }
        let progress = self.progress.as_ref().map(|callable| callable.clone_ref(py));
        let output = detached(py, progress, |check, read| {
            let check = || {
                read.set(self.stream.read());
                check()
            };
            match self.gives {
                Gives::Totals | Gives::Files => self.stream.next_file(&check),
                Gives::Chunks => self.stream.next_output(&check),
            }
        })?;
        let object = output.map(|output| self.object(py, output)).transpose();
        if let (Gives::Chunks, Err(_)) = (self.gives, &object) {
            // The next chunk would seem to follow the one before the lost one.
            self.stream.end();
        }
        object
    }

    /// The bytes read so far of all files, before unpacking; files that were given up count as read.
    #[getter]
    fn read(&self) -> u64 {
        self.stream.read()
    }
}

impl Files {
    pub(super) fn new(
        task: EncodeTask,
        files: Vec<InputFile>,
        threads: usize,
        gives: Gives,
        progress: Option<Py<PyAny>>,
    ) -> Self {
        let is_ragged = task.has_records();
        Self { stream: FileStream::new(task, files, threads), gives, is_ragged, progress }
    }

    fn object<'py>(&self, py: Python<'py>, output: ChunkOutput) -> PyResult<Bound<'py, PyAny>> {
        if let Gives::Totals = self.gives {
            let ChunkOutput { totals, first_skipped, .. } = output;
            match output.refused {
                Some(Refusal::Binary) => return Ok(PyString::intern(py, "binary").into_any()),
                Some(Refusal::Utf16) => return Ok(PyString::intern(py, "utf-16").into_any()),
                None => {}
            }
            let Counted { texts, tokens, bytes, characters, invalid_utf8, .. } = totals;
            let Counted { longest, longest_line, above, skipped, .. } = totals;
            return Ok(Totals {
                texts,
                tokens,
                bytes,
                characters,
                invalid_utf8,
                longest,
                longest_line,
                above,
                skipped,
                first_skipped,
            }
            .into_pyobject(py)?
            .into_any());
        }
        if !self.is_ragged {
            return Ok(array(py, output.ids)?.into_any());
        }
        let offsets = std::iter::once(0).chain(output.ends.iter().map(|&end| end as i64));
        let offsets = try_collect(output.ends.len() + 1, offsets.map(Ok))?;
        let both = (array(py, output.ids)?, array(py, offsets)?);
        Ok(both.into_pyobject(py)?.into_any())
    }
}

impl Core {
    /// What is done with each file.
    pub(super) fn task(
        &self,
        field: Option<String>,
        kind: OutputKind,
        options: Options,
        limits: (Option<u64>, Option<u64>),
    ) -> EncodeTask {
        let records = field.map(|field| Records { field, ..Records::default() });
        let mut task = EncodeTask::new(Arc::clone(&self.encoder), records, kind, options);
        task.limits = packed(limits);
        task
    }
}

/// The limits of packed files: bytes, and how many times what is stored.
pub(super) fn packed((max_bytes, max_ratio): (Option<u64>, Option<u64>)) -> PackedLimits {
    PackedLimits { max_bytes, max_ratio }
}

/// Files by their paths.
pub(super) fn named(paths: Vec<PathBuf>) -> Vec<InputFile> {
    let named = |path| InputFile { path, is_standard_input: false, reading: Reading::default() };
    paths.into_iter().map(named).collect()
}

/// Files as the command line gives them: `None` is standard input, and the flag says whether a binary file is
/// left out, or UTF-16. With `decodes_utf16` that is decoded.
pub(super) fn given(paths: Vec<(Option<PathBuf>, bool)>, decodes_utf16: bool) -> Vec<InputFile> {
    let named = |(path, refuses_binary): (Option<PathBuf>, bool)| InputFile {
        is_standard_input: path.is_none(),
        path: path.unwrap_or_else(|| "-".into()),
        reading: Reading { refuses_binary, decodes_utf16 },
    };
    paths.into_iter().map(named).collect()
}

/// The number of tokens of each file.
pub(super) fn counts(
    py: Python,
    task: EncodeTask,
    paths: Vec<PathBuf>,
    threads: usize,
) -> PyResult<Vec<i64>> {
    let files = named(paths);
    detached(py, None, |check, _| {
        let mut counts = Vec::new();
        counts.try_reserve_exact(files.len())?;
        let stream = FileStream::new(task, files, threads);
        while let Some(file) = stream.next_file(check)? {
            counts.push(file.totals.tokens as i64);
        }
        Ok(counts)
    })
}
