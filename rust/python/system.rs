//! Functions that need no vocabulary: the files of a folder, what kind a file is, and the processor.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use once_cell::race::OnceNonZeroUsize;
use pyo3::prelude::*;
use pyo3::types::PyList;

use super::detach::detached;
use super::raise::raise;
use crate::files::walk::Walk;
use crate::machine::code_path::CodePath;
use crate::machine::lanes::features;
use crate::vocabulary::parse::other_format;

/// Adds the functions to the module.
pub(super) fn add(module: &Bound<PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(walk, module)?)?;
    module.add_function(wrap_pyfunction!(not_a_vocabulary, module)?)?;
    module.add_function(wrap_pyfunction!(cpu_features, module)?)?;
    module.add_function(wrap_pyfunction!(code_path, module)?)?;
    module.add_function(wrap_pyfunction!(code_paths, module)?)?;
    module.add_function(wrap_pyfunction!(cpu_count, module)?)
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

/// What a file is that is mistaken for a vocabulary, told by its first bytes; `None` if it may be one.
#[pyfunction]
fn not_a_vocabulary(head: &[u8]) -> Option<String> {
    other_format(head)
}

/// The instruction set extensions that some code path needs, of those that this processor has.
#[pyfunction]
fn cpu_features() -> Vec<&'static str> {
    features()
}

/// The name of the code path that is taken.
#[pyfunction]
fn code_path(py: Python) -> PyResult<&'static str> {
    Ok(CodePath::chosen().map_err(|error| raise(py, error))?.name())
}

/// The names of the code paths that this processor has, the fastest last.
#[pyfunction]
fn code_paths() -> Vec<&'static str> {
    CodePath::available().into_iter().map(CodePath::name).collect()
}

/// How many threads a batch runs on by default: the processors that this process may use.
#[pyfunction]
fn cpu_count() -> usize {
    // Determined once, as by the pool: the system reads files for it, which takes longer than to encode
    // a batch of a few short texts.
    static COUNT: OnceNonZeroUsize = OnceNonZeroUsize::new();
    let count = || std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    COUNT.get_or_init(count).get()
}
