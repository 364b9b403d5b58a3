//! The one place where the core's errors become exceptions.

use pyo3::exceptions::{
    PyKeyboardInterrupt, PyMemoryError, PyOSError, PyRuntimeError, PyValueError,
};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use crate::error::Error;

/// The exception that an error is.
pub(super) fn raise(py: Python, error: Error) -> PyErr {
    // Building the exception can fail itself, with an error that is more pressing.
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
        Error::File { path, line, error } => {
            fields.set_item("path", path.into_os_string())?;
            fields.set_item("line", line)?;
            *error
        }
        error => error,
    };
    let class = match error {
        Error::Item { .. } | Error::File { .. } => "Llama3TokError",
        Error::Vocabulary { file, line, reason } => {
            fields.set_item("file", file)?;
            fields.set_item("line", line)?;
            fields.set_item("reason", reason)?;
            "VocabularyError"
        }
        Error::UnknownProfile { .. }
        | Error::UnknownCodePath { .. }
        | Error::NoToken(_)
        | Error::DamagedColumn { .. } => "Llama3TokError",
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
        Error::Chat { index, field, .. } => {
            fields.set_item("index", index)?;
            fields.set_item("field", field)?;
            "ChatFormatError"
        }
        Error::Internal(_) => "InternalError",
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
        Error::NoRoom { .. } | Error::NothingFits { .. } => {
            return Ok(PyValueError::new_err(message));
        }
        Error::Forked | Error::Busy => return Ok(PyRuntimeError::new_err(message)),
        Error::OutOfMemory => return Ok(PyMemoryError::new_err(message)),
        Error::Interrupted => return Ok(PyKeyboardInterrupt::new_err(())),
    };
    exception(py, class, message, &fields)
}

/// An exception of `llama3_tok.errors`.
pub(super) fn exception(
    py: Python,
    class: &str,
    message: String,
    fields: &Bound<PyDict>,
) -> PyResult<PyErr> {
    let class = py.import("llama3_tok.errors")?.getattr(class)?;
    Ok(PyErr::from_value(class.call((message,), Some(fields))?))
}
