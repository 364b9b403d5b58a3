//! The class that a `Tokenizer` in Python holds. Its methods are in `methods.rs`, what they do in the other
//! files.

use std::sync::Arc;

use pyo3::prelude::*;

use crate::encode::Encoder;

/// A vocabulary with added tokens: the part of a `Tokenizer` that is Rust.
#[pyclass(frozen, weakref, module = "llama3_tok._core")]
pub(super) struct Core {
    pub(super) encoder: Arc<Encoder>,
}
